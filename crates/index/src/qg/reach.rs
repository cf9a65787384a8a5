//! No row is out of reach.
//!
//! Pruning may leave a row without a link to it, or a set of rows linked to none but each other. A
//! search tree from the entries shows which; each such row is linked from a near one that is reached, in
//! place of its last link that is no branch of the tree. The tree only grows by that, so in the end
//! every row is on it. A row may be in reach and yet not be found, when walks end before they come to it. So in
//! the end every row is searched for, and those not found are linked from where the search ended, by the same
//! rule.

use super::QuantisedGraph;
use crate::bulk::{Lists, NONE};
use crate::{Query, Scratch, Vectors};

/// How many near rows are asked for a free place.
const NEAR: usize = 32;

/// Changes `lists` so that the entries lead to every node. `graph` is what near rows are searched in; it
/// may have other lists, or none.
pub(super) fn connect(
    graph: &QuantisedGraph,
    vectors: &Vectors,
    entries: &[u32],
    nodes: &[u32],
    lists: &mut Lists,
) -> Tree {
    let mut tree = Tree {
        parents: vec![NONE; vectors.len()],
        queue: Vec::new(),
        order: Vec::new(),
    };
    for &entry in entries {
        tree.plant(entry, entry, lists);
    }
    let mut query = Query::new(&[], vectors.stride());
    let (mut scratch, mut hits) = (Scratch::new(), Vec::new());
    for &node in nodes {
        if tree.reaches(node) {
            continue;
        }
        query.set(vectors.row(node));
        let reached = |row| tree.reaches(row);
        graph
            .search(
                vectors,
                &query,
                NEAR,
                NEAR,
                reached,
                &mut scratch,
                || false,
                &mut hits,
            )
            .expect("nobody stops it");
        let near = hits.iter().map(|hit| hit.row);
        // A tree has fewer branches than places, so somewhere there is one.
        let near = near.chain(tree.order.iter().copied());
        let from = tree.link(near, node, lists);
        let from = from.expect("rows reached have more places than branches");
        tree.plant(node, from, lists);
    }
    tree
}

/// A tree of links that lead from the entries to rows.
pub(super) struct Tree {
    /// The row that leads to each; an entry's own, [`NONE`] for rows not reached.
    parents: Vec<u32>,
    queue: Vec<u32>,
    /// Rows reached, in order.
    order: Vec<u32>,
}

impl Tree {
    fn reaches(&self, row: u32) -> bool {
        self.parents[row as usize] != NONE
    }

    /// Adds a row, and all that it leads to.
    fn plant(&mut self, row: u32, parent: u32, lists: &Lists) {
        if self.reaches(row) {
            return;
        }
        self.parents[row as usize] = parent;
        self.queue.push(row);
        while let Some(row) = self.queue.pop() {
            self.order.push(row);
            for &next in lists.of(row) {
                if !self.reaches(next) {
                    self.parents[next as usize] = row;
                    self.queue.push(next);
                }
            }
        }
    }

    /// Links the first of some rows that has a place to spare to `row`; which one that was.
    pub(super) fn link(
        &self,
        from: impl IntoIterator<Item = u32>,
        row: u32,
        lists: &mut Lists,
    ) -> Option<u32> {
        let spare = |from| Some((from, self.free_place(from, lists)?));
        let (from, place) = from.into_iter().find_map(spare)?;
        lists.slots_mut(from)[place] = row;
        Some(from)
    }

    /// The last place of a row that is empty or no branch of the tree.
    fn free_place(&self, row: u32, lists: &Lists) -> Option<usize> {
        let links = lists.of(row);
        if links.len() < lists.degree {
            return Some(links.len());
        }
        links
            .iter()
            .rposition(|&next| self.parents[next as usize] != row)
    }
}
