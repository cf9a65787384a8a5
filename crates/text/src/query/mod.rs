//! What is looked for.

mod highlight;
mod parse;

use crate::Analyzer;

/// Words of a query, prefixes included and those of phrases counted one by one. More are not looked for.
pub const TERMS_MAX: usize = 64;
/// Prefixes of a query. Those behind are looked for as words.
pub const PREFIXES_MAX: usize = 8;
/// How deep parentheses may stand in each other. What is deeper is read as words.
pub const DEPTH_MAX: usize = 32;
/// A larger weight counts as this one.
pub const WEIGHT_MAX: f32 = 1e6;

/// A field that is searched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QueryField {
    /// Its number in the index.
    pub field: usize,
    /// How its texts became terms.
    pub analyzer: Analyzer,
    /// What its scores are multiplied by: above 0, at most [`WEIGHT_MAX`]. A field with a weight that
    /// is no such number is not searched.
    pub weight: f32,
}

/// A query, read once and asked of any number of indexes.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub(crate) fields: Vec<QueryField>,
    pub(crate) leaves: Vec<Leaf>,
    /// `None` when there is nothing to look for.
    pub(crate) root: Option<Node>,
}

/// One thing to look for, in any of the fields.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Leaf {
    /// By field of the query; `None` where the analyzer leaves nothing of it.
    pub parts: Vec<Option<Part>>,
    /// Rows that have it are left out, rather than found.
    pub is_denied: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part {
    Word(Box<str>),
    /// Terms, each with how far behind the first it stands.
    Phrase(Vec<(u32, Box<str>)>),
    Prefix(Box<str>),
}

impl Part {
    /// The terms whose rows are counted.
    pub fn terms(&self) -> usize {
        match self {
            Self::Word(_) | Self::Prefix(_) => 1,
            Self::Phrase(terms) => terms.len(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    /// An index into the leaves.
    Leaf(usize),
    Clause(Clause),
}

/// All of `must`, or without any the least of `should`, and none of `not`. The scores of all that match
/// in `must` and `should` count.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Clause {
    pub must: Vec<Node>,
    pub should: Vec<Node>,
    pub not: Vec<Node>,
}

impl Query {
    /// Reads what somebody typed.
    ///
    /// | typed             | rows that have                                                    |
    /// |-------------------|-------------------------------------------------------------------|
    /// | `spring tide`     | any of the words; also `spring OR tide`                           |
    /// | `"spring tide"`   | the words in this order, next to each other                       |
    /// | `tid*`            | a word that begins so                                             |
    /// | `+spring tide`    | the first; the second raises the score                            |
    /// | `spring -tide`    | the first and not the second; also `spring NOT tide`              |
    /// | `spring AND tide` | both; binds closer than `OR` and than words side by side          |
    /// | `(a OR b) AND c`  | as it stands                                                      |
    ///
    /// `AND`, `OR` and `NOT` are upper case. What signs join, as in `well-known`, is looked for as a
    /// phrase; so is writing without spaces. `NOT` and `-` take away from what stands beside them
    /// in the same parentheses; alone they find nothing. A prefix is compared with terms as they
    /// are indexed: in a field with stems, with stems. Words that the analyzer of a field leaves out
    /// are not looked for in it.
    ///
    /// There are no errors: a query that is not well-formed (a quote or parenthesis without its
    /// other half, an operator without its words, parentheses deeper than [`DEPTH_MAX`]) is read as
    /// words, all signs left out. What does not fit into [`TERMS_MAX`] words is not looked for.
    #[must_use]
    pub fn parse(text: &str, fields: &[QueryField]) -> Self {
        parse::parse(text, fields)
    }

    /// Whether there is nothing to look for, so that no row can match.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// All leaves' parts with the index of their field in the query, in the order of statistics.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (usize, &Part)> {
        let parts = self.leaves.iter().map(|leaf| leaf.parts.iter().enumerate());
        parts
            .flatten()
            .filter_map(|(at, part)| Some((at, part.as_ref()?)))
    }

    /// The leaves, when the query is no more than any of them.
    pub(crate) fn any_of(&self) -> Option<Vec<usize>> {
        match self.root.as_ref()? {
            Node::Leaf(leaf) => Some(vec![*leaf]),
            Node::Clause(Clause { must, should, not }) if must.is_empty() && not.is_empty() => {
                let leaf = |node: &Node| match node {
                    Node::Leaf(leaf) => Some(*leaf),
                    Node::Clause(_) => None,
                };
                should.iter().map(leaf).collect()
            }
            Node::Clause(_) => None,
        }
    }
}
