//! Text to terms.

mod language;

use std::borrow::Cow;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rust_stemmers::Stemmer;
use unicode_segmentation::UnicodeSegmentation;

pub use language::Language;

/// A longer term is cut, so that a text without spaces does not fill the dictionary.
pub const TERM_BYTES_MAX: usize = 256;

/// How a text becomes terms: words by Unicode's rules (UAX 29), in lower case, without the most
/// common words of the language and reduced to their stems.
///
/// A collection must be indexed and asked with the same one.
///
/// # Examples
/// ```
/// use cairn_text::{Analyzer, Language};
///
/// let analyzer = Analyzer::new(Language::English);
/// let terms: Vec<_> = analyzer.tokens("The Tides were running").map(|it| it.term).collect();
/// assert_eq!(terms, ["tide", "run"]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Analyzer {
    /// Whose stems and stop words. None by default.
    pub language: Language,
    /// Whether words are reduced to their stems (Snowball). Not by default.
    pub stems: bool,
    /// Whether the most common words of the language are left out. Not by default.
    pub drops_stop_words: bool,
}

/// A term and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// What is looked for.
    pub term: Cow<'a, str>,
    /// Words in front of it in its text, those that were left out included.
    pub position: u32,
    /// The bytes of the text that it was made of.
    pub range: Range<usize>,
}

impl Analyzer {
    /// With stems and without stop words, as far as the language has them.
    #[must_use]
    pub fn new(language: Language) -> Self {
        let has_words = language != Language::None;
        Self {
            language,
            stems: has_words,
            drops_stop_words: has_words,
        }
    }

    /// The terms of a text, in order.
    pub fn tokens<'a>(&self, text: &'a str) -> impl Iterator<Item = Token<'a>> + use<'a> {
        let stop_words = if self.drops_stop_words {
            self.language.stop_words()
        } else {
            None
        };
        let algorithm = self.language.algorithm().filter(|_| self.stems);
        let stemmer = algorithm.map(Stemmer::create);
        words(text).filter_map(move |token| {
            if stop_words.is_some_and(|words| words.contains(&*token.term)) {
                return None;
            }
            let term = match &stemmer {
                Some(stemmer) => stem(stemmer, token.term),
                None => token.term,
            };
            Some(Token { term, ..token })
        })
    }
}

/// The words of a text in lower case, neither reduced to stems nor left out.
pub(crate) fn words(text: &str) -> impl Iterator<Item = Token<'_>> {
    let words = text.unicode_word_indices().zip(0_u32..);
    words.map(|((start, word), position)| Token {
        term: folded(word),
        position,
        range: start..start + word.len(),
    })
}

/// A word in lower case, with the straight apostrophe that stems and stop words know.
fn folded(word: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii() && !byte.is_ascii_uppercase();
    if word.bytes().all(is_plain) {
        return Cow::Borrowed(&word[..word.len().min(TERM_BYTES_MAX)]);
    }
    let mut lower = word.to_lowercase();
    if lower.contains('\u{2019}') {
        lower = lower.replace('\u{2019}', "'");
    }
    Cow::Owned(cut(lower))
}

/// The stem of a word: the word itself where it has none, or where the algorithm fails.
///
/// That of Greek removes an ending and then cuts where it was, in words that have some endings twice;
/// whoever indexes a text must outlive that. A stemmer keeps nothing between words, so all indexes and
/// queries read such a word alike.
fn stem<'a>(stemmer: &Stemmer, word: Cow<'a, str>) -> Cow<'a, str> {
    let Ok(stemmed) = catch_unwind(AssertUnwindSafe(|| stemmer.stem(&word))) else {
        return word;
    };
    if stemmed.is_empty() || stemmed == word {
        return word;
    }
    Cow::Owned(cut(stemmed.into_owned()))
}

fn cut(mut term: String) -> String {
    let mut end = term.len().min(TERM_BYTES_MAX);
    while !term.is_char_boundary(end) {
        end -= 1;
    }
    term.truncate(end);
    term
}
