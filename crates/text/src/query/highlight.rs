//! What of a text a query looks for.

use std::ops::Range;

use super::{Part, Query};
use crate::Token;

impl Query {
    /// The bytes of `text` that match, as ranges in order that do not touch each other.
    ///
    /// `text` is one of field `field`, a number as in [`QueryField`](crate::QueryField). A phrase is one
    /// range. What rows must not have is not marked; what must be there beside something else is
    /// marked also where that is absent.
    ///
    /// # Examples
    /// ```
    /// use cairn_text::{Analyzer, Language, Query, QueryField};
    ///
    /// let analyzer = Analyzer::new(Language::English);
    /// let query = Query::parse("tide", &[QueryField { field: 0, analyzer, weight: 1.0 }]);
    /// let text = "Tides rise.";
    /// let marked: Vec<&str> = query.highlight(0, text).into_iter().map(|it| &text[it]).collect();
    /// assert_eq!(marked, ["Tides"]);
    /// ```
    #[must_use]
    pub fn highlight(&self, field: usize, text: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let fields = self.fields.iter().enumerate();
        for (at, asked) in fields.filter(|(_, asked)| asked.field == field) {
            let tokens: Vec<Token<'_>> = asked.analyzer.tokens(text).collect();
            for leaf in self.leaves.iter().filter(|leaf| !leaf.is_denied) {
                if let Some(part) = &leaf.parts[at] {
                    mark(part, &tokens, &mut found);
                }
            }
        }
        found.sort_unstable_by_key(|range| (range.start, range.end));
        found.dedup_by(|next, last| {
            let touches = next.start <= last.end;
            if touches {
                last.end = last.end.max(next.end);
            }
            touches
        });
        found
    }
}

fn mark(part: &Part, tokens: &[Token<'_>], found: &mut Vec<Range<usize>>) {
    match part {
        Part::Word(word) => {
            let same = tokens.iter().filter(|token| *token.term == **word);
            found.extend(same.map(|token| token.range.clone()));
        }
        Part::Prefix(prefix) => {
            let same = tokens.iter().filter(|it| it.term.starts_with(&**prefix));
            found.extend(same.map(|token| token.range.clone()));
        }
        Part::Phrase(terms) => {
            for (at, first) in tokens.iter().enumerate() {
                found.extend(phrase_end(terms, &tokens[at..]).map(|end| first.range.start..end));
            }
        }
    }
}

/// Where the phrase ends that begins with the first of `tokens`.
fn phrase_end(terms: &[(u32, Box<str>)], tokens: &[Token<'_>]) -> Option<usize> {
    let mut rest = tokens;
    let mut end = None;
    for (offset, term) in terms {
        let position = tokens.first()?.position + offset;
        let at = rest.iter().position(|token| token.position >= position)?;
        let token = &rest[at];
        if token.position != position || *token.term != **term {
            return None;
        }
        end = Some(token.range.end);
        rest = &rest[at + 1..];
    }
    end
}
