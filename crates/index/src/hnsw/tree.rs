//! The links that are never pruned.
//!
//! Every inserted row but the first has a parent, and the links from parent to child and from child to
//! parent on layer 0 are *protected*. Three facts make them a tree that spans all rows:
//!
//! - A row is visible to others only through links to it, the first of which is its parent's. So
//!   whoever chooses a parent finds a row that has its own parent already; no cycle can close.
//! - A list has room for the protected links: a quarter of it at most leads to children, an eighth to
//!   twins, and one link to the parent.
//! - There is always a parent to be found: below a node with all its children there is a node with
//!   fewer, at the latest a leaf.
//!
//! A row whose vector another row had before is a *twin*: a child of that row or of another twin,
//! through a link marked as such. Walks do not follow marked links, so other rows never have twins
//! as parents: the twins of a row are a tree of their own behind it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::links::Links;

/// The row is not in the graph.
const ABSENT: u32 = u32::MAX;
/// The row is being inserted and has no parent yet.
const CLAIMED: u32 = u32::MAX - 1;
/// Locks for the lists of nodes. A node's lock is shared with every 1024th other.
const LOCKS: usize = 1024;

/// What inserts know beyond the links.
pub(super) struct Tree {
    parents: Vec<AtomicU32>,
    locks: Vec<Mutex<()>>,
    raise: Mutex<()>,
    children_max: usize,
    twins_max: usize,
}

impl Tree {
    /// The tree of a graph without rows.
    pub(super) fn new(rows: usize, m0: usize) -> Self {
        let mut tree = Self {
            parents: Vec::new(),
            locks: Vec::new(),
            raise: Mutex::new(()),
            children_max: (m0 / 4).max(1),
            twins_max: (m0 / 8).max(1),
        };
        tree.extend(rows);
        tree
    }

    /// A tree over the rows that `links` connects, by breadth-first search from `entry` along links
    /// that lead both ways: the tree that was there before is made of such links, so every row of a
    /// graph of our own is reached. Any other row is left outside, as if absent.
    ///
    /// A node may get more children than [`Tree::children_max`]; it then takes no further ones.
    pub(super) fn over(links: &Links, rows: usize, entry: Option<u32>) -> Self {
        let tree = Self::new(links.rows(), links.room(0));
        let mut queue = Vec::with_capacity(rows);
        if let Some(entry) = entry {
            tree.plant(entry);
            queue.push(entry);
        }
        let mut at = 0;
        while let Some(&parent) = queue.get(at) {
            at += 1;
            for child in links.bottom(parent).rows() {
                let mutual = || links.bottom(child).rows().any(|row| row == parent);
                if tree.parent(child) == ABSENT && mutual() {
                    tree.set_parent(child, parent);
                    queue.push(child);
                }
            }
        }
        tree
    }

    /// Makes room for rows below `rows`.
    pub(super) fn extend(&mut self, rows: usize) {
        self.parents.resize_with(rows, || AtomicU32::new(ABSENT));
        self.locks.resize_with(LOCKS.min(rows), || Mutex::new(()));
    }

    /// Begins the insert of `row`; false if it was begun before.
    pub(super) fn claim(&self, row: u32) -> bool {
        let parent = &self.parents[row as usize];
        let claim = parent.compare_exchange(ABSENT, CLAIMED, Ordering::AcqRel, Ordering::Relaxed);
        claim.is_ok()
    }

    /// Makes `row` the root: its own parent.
    pub(super) fn plant(&self, row: u32) {
        self.set_parent(row, row);
    }

    /// Sets the parent of `row`. Before the first link to the row is written.
    pub(super) fn set_parent(&self, row: u32, parent: u32) {
        self.parents[row as usize].store(parent, Ordering::Relaxed);
    }

    /// The parent of `row`; no row if there is none yet.
    #[inline]
    pub(super) fn parent(&self, row: u32) -> u32 {
        self.parents[row as usize].load(Ordering::Relaxed)
    }

    /// Whether the link from `a` to `b`, in whichever direction, is protected.
    #[inline]
    pub(super) fn protects(&self, a: u32, b: u32) -> bool {
        self.parent(b) == a || self.parent(a) == b
    }

    /// Most children of a row, twins not counted.
    pub(super) fn children_max(&self) -> usize {
        self.children_max
    }

    /// Most twins that a row links to.
    pub(super) fn twins_max(&self) -> usize {
        self.twins_max
    }

    /// Keeps other writers of the lists of `row` away. Never taken twice by one thread: other rows
    /// share the lock.
    pub(super) fn lock(&self, row: u32) -> MutexGuard<'_, ()> {
        let lock = &self.locks[row as usize % self.locks.len()];
        // A panic elsewhere leaves lists valid at every instant.
        lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held while a row is inserted that will be the entry point.
    pub(super) fn raise(&self) -> MutexGuard<'_, ()> {
        self.raise.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Memory held, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.parents.capacity() * size_of::<AtomicU32>()
            + self.locks.capacity() * size_of::<Mutex<()>>()
    }
}
