//! What a search answers, and what it cost.

use std::cmp::Ordering;

/// One stored vector and how far it is from the query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// In the units of the metric; smaller is nearer.
    pub distance: f32,
    /// The row of the matrix.
    pub row: u32,
}

impl Hit {
    /// Nearest first, then lower row. Distances are numbers.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        let nearer = self.distance.partial_cmp(&other.distance);
        nearer
            .unwrap_or(Ordering::Equal)
            .then(self.row.cmp(&other.row))
    }
}

/// What a search cost; `explain` shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Nodes whose links were followed; 0 for an exact scan.
    pub hops: u32,
    /// Distances asked of the kernels, whether or not one ended early.
    pub distances: u32,
}

impl std::ops::AddAssign for Effort {
    fn add_assign(&mut self, other: Self) {
        self.hops = self.hops.saturating_add(other.hops);
        self.distances = self.distances.saturating_add(other.distances);
    }
}

/// Hops between two times that a walk asks its caller's `stop`: with 32 links of 3 KiB a hop takes less than 10
/// microseconds.
pub const HOPS_PER_LOOK: u32 = 32;

/// The caller's `stop` said so before the search was done; there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the search was stopped by its caller")]
pub struct Stopped;
