//! Memory that searches and inserts reuse.

use crate::Hit;
use crate::beam::Beam;
use crate::qg::Space;
use crate::visited::Visited;

/// Working memory of one search or insert at a time.
///
/// Serves any graph; grows to what the largest needed and stays there, so a warm search allocates
/// nothing. Keep one per thread.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(crate) visited: Visited,
    pub(crate) beam: Beam,
    /// Links of the node being expanded that were not seen before.
    pub(super) fresh: Vec<u32>,
    /// Twins still to look at.
    pub(crate) queue: Vec<u32>,
    /// Candidates for a list, nearest first.
    pub(super) candidates: Vec<Hit>,
    /// Neighbours chosen for a new node, one list per layer.
    pub(super) chosen: Vec<Vec<Hit>>,
    /// What only searches of a quantised graph need.
    pub(crate) space: Space,
    /// Neighbours kept by the pruning of another node's list.
    pub(super) kept: Vec<Hit>,
    /// A row that searches pass by as if it had never been inserted.
    pub(crate) hidden: Option<u32>,
    /// Whether searches read each row when its turn comes, and none ahead.
    pub(super) lazy: bool,
}

impl Scratch {
    /// Empty: the first search fills it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Has searches of graphs of either kind pass by `row` from now on, so that what is asked for
    /// its vector is an unseen query: its own links would name its neighbours. A row with twins, which
    /// can be reached through it alone, is still walked through.
    pub fn hide(&mut self, row: Option<u32>) {
        self.hidden = row;
    }

    /// Has [`Graph::search`](crate::Graph::search) read each row when its turn comes, and ask the memory for none
    /// ahead: the peer of a measurement of what that is worth.
    #[doc(hidden)]
    pub fn fetch_nothing_ahead(&mut self) {
        self.lazy = true;
    }
}
