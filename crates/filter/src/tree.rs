//! What a filter is once it was read.

use std::cmp::Ordering;

use regex::Regex;

use crate::geo::{GeoBox, GeoRadius};
use crate::path::Path;
use crate::scalar::{Scalar, ScalarSet};

/// A condition on records.
#[derive(Clone, Debug)]
pub enum Filter {
    /// All of them hold; so does none at all.
    And(Vec<Self>),
    /// One of them holds; none at all does not.
    Or(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// A test on what a path leads to: it holds if it does for one of the values there.
    Field {
        /// Where.
        path: Path,
        /// What is asked.
        test: Test,
    },
}

/// A question about one value.
#[derive(Clone, Debug)]
pub enum Test {
    /// Whether it is there, whatever it is.
    Exists,
    /// Whether it equals one of these.
    In(Box<ScalarSet>),
    /// Whether it comes so beside this value, which is of a kind that has an order.
    Order(Order, Scalar),
    /// Whether it is an array with an element that equals this.
    Contains(Scalar),
    /// Whether it is text that begins so.
    StartsWith(Box<str>),
    /// Whether it is text with all these words.
    Match(Vec<Box<str>>),
    /// Whether it is text in which the expression matches somewhere.
    Regex(Regex),
    /// Whether it is a place so near.
    GeoRadius(GeoRadius),
    /// Whether it is a place in there.
    GeoBox(GeoBox),
}

/// How a value compares with the one of the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Above it.
    Gt,
    /// Above it, or equal.
    Gte,
    /// Below it.
    Lt,
    /// Below it, or equal.
    Lte,
}

impl Order {
    /// Whether a value that compares so with the one of the filter is meant.
    #[must_use]
    pub fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Gt => ordering.is_gt(),
            Self::Gte => ordering.is_ge(),
            Self::Lt => ordering.is_lt(),
            Self::Lte => ordering.is_le(),
        }
    }
}

impl Filter {
    /// The opposite.
    pub(crate) fn negated(self) -> Self {
        Self::Not(Box::new(self))
    }

    /// The same filter about other paths.
    #[must_use]
    pub fn with_paths(&self, other: &impl Fn(&Path) -> Path) -> Self {
        let all = |parts: &[Self]| parts.iter().map(|part| part.with_paths(other)).collect();
        match self {
            Self::And(parts) => Self::And(all(parts)),
            Self::Or(parts) => Self::Or(all(parts)),
            Self::Not(part) => Self::Not(Box::new(part.with_paths(other))),
            Self::Field { path, test } => Self::Field {
                path: other(path),
                test: test.clone(),
            },
        }
    }

    /// Calls `each` for every test, with its path.
    pub fn for_each_test<'a>(&'a self, each: &mut impl FnMut(&'a Path, &'a Test)) {
        match self {
            Self::And(parts) | Self::Or(parts) => {
                for part in parts {
                    part.for_each_test(each);
                }
            }
            Self::Not(part) => part.for_each_test(each),
            Self::Field { path, test } => each(path, test),
        }
    }
}
