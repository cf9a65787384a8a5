//! Memory that searches and inserts reuse.

use super::beam::Beam;
use crate::Hit;
use crate::visited::Visited;

/// Working memory of one search or insert at a time.
///
/// Serves any graph; grows to what the largest needed and stays there, so a warm search allocates
/// nothing. Keep one per thread.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) visited: Visited,
    pub(super) beam: Beam,
    /// Links of the node being expanded that were not seen before.
    pub(super) fresh: Vec<u32>,
    /// Twins still to look at.
    pub(super) queue: Vec<u32>,
    /// Candidates for a list, nearest first.
    pub(super) candidates: Vec<Hit>,
    /// Neighbours chosen for a new node, one list per layer.
    pub(super) chosen: Vec<Vec<Hit>>,
    /// Neighbours kept by the pruning of another node's list.
    pub(super) kept: Vec<Hit>,
}

impl Scratch {
    /// Empty: the first search fills it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}
