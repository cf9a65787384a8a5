//! What is wrong with a filter, and where.

use std::fmt;

/// Why a filter cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    /// Where in the filter, as a program would write it: `and[1].year.gte`. Empty for the whole.
    pub path: String,
    /// What is wrong there.
    pub what: String,
    /// The limit that is exceeded, if that is what is wrong.
    pub limit: Option<usize>,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "filter: {}", self.what),
            path => write!(f, "filter at {path}: {}", self.what),
        }
    }
}

impl std::error::Error for FilterError {}
