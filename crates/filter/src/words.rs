//! Words of a text, for the operator `match`: those of the full-text search, without stems.

use cairn_text::Analyzer;
use hashbrown::HashSet;

/// The words of a text (Unicode UAX 29), in lower case.
pub(crate) fn words(text: &str) -> impl Iterator<Item = Box<str>> {
    let tokens = Analyzer::default().tokens(text);
    tokens.map(|token| token.term.into())
}

/// Whether every word of `wanted` is in `text`.
pub(crate) fn has_all(text: &str, wanted: &[Box<str>]) -> bool {
    let found: HashSet<Box<str>, foldhash::fast::FixedState> = words(text).collect();
    wanted.iter().all(|word| found.contains(word))
}
