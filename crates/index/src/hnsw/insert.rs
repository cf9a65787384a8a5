//! Algorithm 1: a row enters the graph.
//!
//! Neighbours are searched from the top layer down, but links are written from layer 0 up: whoever
//! meets the new row on some layer can go down from there. On layer 0 the parent's link is written
//! first, see `tree.rs`. A writer holds one lock at a time, so there is no order of locks to keep.

use std::sync::atomic::Ordering;

use super::Graph;
use super::level::mix;
use super::links::TWIN;
use super::prune::select;
use super::scratch::Scratch;
use super::tree::Tree;
use super::walk::{Rows, Walk};
use crate::{Component, Effort, Hit, Vectors};

/// The candidate list of the search that an insert ends with: short, as those of the most careless
/// users will be.
const FIND_EF: usize = 32;

impl<T: Component> Graph<T> {
    /// Inserts `row`, whose vector is in `vectors`. Returns false if it was inserted before.
    ///
    /// Any number of threads may insert different rows while others search; an insert that has
    /// returned is seen by every search that begins afterwards. Inserting the same rows in the same
    /// order from one thread always gives the same graph.
    /// Before it returns it searches for the row itself and, should that end elsewhere, adds a link
    /// from there: rows that come sorted by region would otherwise not all be found.
    /// Cost: that of a search with `ef_construction`, and about as much again for links. The first
    /// insert into a graph that was read from bytes or permuted also looks at every link once.
    ///
    /// # Panics
    /// If `row` is not below [`Graph::capacity`], or not in `vectors`.
    pub fn insert(&self, vectors: &Vectors<T>, row: u32, scratch: &mut Scratch) -> bool {
        let added = self.add(vectors, row, scratch);
        if added {
            self.make_findable(vectors, row, scratch);
        }
        added
    }

    /// [`Graph::insert`] without the search at the end. A build does not need it: its order of rows
    /// sees to it that regions know each other.
    pub(super) fn add(&self, vectors: &Vectors<T>, row: u32, scratch: &mut Scratch) -> bool {
        assert!(
            (row as usize) < self.capacity(),
            "no room, capacity={}",
            self.capacity()
        );
        assert!(
            (row as usize) < vectors.len(),
            "no vector, rows={}",
            vectors.len()
        );
        let tree = self.tree();
        if !tree.claim(row) {
            return false;
        }
        let level = self.links.level(row);
        // Whoever raises the entry point does it alone, or two rows would each begin a layer that
        // the other is not part of.
        let raises = |entry: Option<(u32, u8)>| entry.is_none_or(|(_, top)| level > top);
        let guard = raises(self.entry.load()).then(|| tree.raise());
        let entry = self.entry.load();
        let twin = match entry {
            None => {
                tree.plant(row);
                false
            }
            Some(entry) => self.connect(vectors, tree, row, entry, scratch),
        };
        if twin {
            self.twins.fetch_add(1, Ordering::Relaxed);
        } else if guard.is_some() && raises(entry) {
            self.entry.store(row, level);
        }
        self.rows.fetch_add(1, Ordering::AcqRel);
        true
    }

    /// Searches for `row`; if the search ends elsewhere, links from there.
    ///
    /// The place where it ends has no link to anything nearer, so pruning has no reason to drop the
    /// new link at once. Later it may: of 10,000 rows in 50 clusters, sorted, 164 were not found right
    /// after their insert without this and 264 in the end, with it none and 41.
    fn make_findable(&self, vectors: &Vectors<T>, row: u32, scratch: &mut Scratch) {
        let Some((entry, top)) = self.entry.load() else {
            return;
        };
        let rows = Rows::new(&self.kernels, vectors, vectors.padded_row(row));
        let walk = Walk::new(&self.links, rows);
        let start = Hit {
            distance: walk.distance(entry),
            row: entry,
        };
        let start = walk.descend(start, top, 1, scratch, &mut Effort::default());
        let walked = walk.search(0, start, FIND_EF, scratch, |_| true, || false);
        walked.expect("nobody stops an insert");
        let end = scratch.beam.hits().next();
        let end = end.expect("a walk holds at least its start");
        // A twin is found with the first of its kind.
        if end.row != row && walk.places.row(end.row) != walk.places.row(row) {
            let tree = self.tree();
            let _guard = tree.lock(end.row);
            self.link(vectors, tree, end.row, row, 0, scratch);
        }
    }

    /// What inserts need, made by the first one.
    fn tree(&self) -> &Tree {
        self.tree.get_or_init(|| {
            let entry = self.entry.load().map(|(row, _)| row);
            Tree::over(&self.links, self.rows(), entry)
        })
    }

    /// Finds the neighbours of `row` on each of its layers and links it; or, if another row has its
    /// vector, hangs it behind that row and returns true.
    fn connect(
        &self,
        vectors: &Vectors<T>,
        tree: &Tree,
        row: u32,
        (entry, top): (u32, u8),
        scratch: &mut Scratch,
    ) -> bool {
        let rows = Rows::new(&self.kernels, vectors, vectors.padded_row(row));
        let walk = Walk::new(&self.links, rows);
        let level = self.links.level(row).min(top);
        let start = Hit {
            distance: walk.distance(entry),
            row: entry,
        };
        let mut effort = Effort::default();
        let mut nearest = walk.descend(start, top, level + 1, scratch, &mut effort);
        if scratch.chosen.len() <= usize::from(level) {
            scratch.chosen.resize_with(usize::from(level) + 1, Vec::new);
        }
        for layer in (0..=level).rev() {
            self.candidates(&walk, layer, nearest, scratch);
            nearest = scratch.candidates[0];
            if layer == 0
                && let Some(same) = twin(&walk, row, &scratch.candidates)
                && self.connect_twin(vectors, tree, row, same, scratch)
            {
                return true;
            }
            let room = self.config.m.min(self.links.room(layer));
            let chosen = &mut scratch.chosen[usize::from(layer)];
            select(&walk.places, &scratch.candidates, room, |_| false, chosen);
        }
        for layer in 0..=level {
            let chosen = std::mem::take(&mut scratch.chosen[usize::from(layer)]);
            let parent = if layer == 0 {
                self.connect_to_parent(vectors, tree, row, &chosen, scratch)
            } else {
                let _guard = tree.lock(row);
                self.links
                    .list(row, layer)
                    .set(chosen.iter().map(|hit| hit.row));
                row
            };
            for hit in chosen.iter().filter(|hit| hit.row != parent) {
                let _guard = tree.lock(hit.row);
                self.link(vectors, tree, hit.row, row, layer, scratch);
            }
            scratch.chosen[usize::from(layer)] = chosen;
        }
        false
    }

    /// Leaves in `scratch` the `ef_construction` nodes of `layer` nearest to the query, at least one.
    fn candidates(
        &self,
        walk: &Walk<'_, Rows<'_, T>>,
        layer: u8,
        start: Hit,
        scratch: &mut Scratch,
    ) {
        let ef = self.config.ef_construction.min(self.capacity());
        let walked = walk.search(layer, start, ef, scratch, |_| true, || false);
        walked.expect("nobody stops an insert");
        scratch.candidates.clear();
        scratch.candidates.extend(scratch.beam.hits());
    }

    /// Hangs `row` on the nearest of `chosen` that may have another child, otherwise somewhere
    /// below the nearest. Returns the parent.
    fn connect_to_parent(
        &self,
        vectors: &Vectors<T>,
        tree: &Tree,
        row: u32,
        chosen: &[Hit],
        scratch: &mut Scratch,
    ) -> u32 {
        let mut own: Vec<u32> = chosen.iter().map(|hit| hit.row).collect();
        let mut below = None;
        for hit in chosen {
            match self.adopt(vectors, tree, hit.row, row, &own, scratch) {
                Adoption::Done => return hit.row,
                Adoption::Below(child) => below = below.or(Some(child)),
                Adoption::Refused => {}
            }
        }
        own.truncate(self.links.room(0) - 1);
        while let Some(parent) = below {
            own.retain(|&other| other != parent);
            own.push(parent);
            match self.adopt(vectors, tree, parent, row, &own, scratch) {
                Adoption::Done => return parent,
                Adoption::Below(child) => below = Some(child),
                Adoption::Refused => break,
            }
            own.pop();
        }
        // Only a graph that was read and is not of our own making gets here.
        row
    }

    /// Makes `row`, with the links `own`, a child of `parent` if that may have another child.
    ///
    /// The list of `row` is complete before the first link to it is written. It is written under
    /// the lock of `row`, so that whoever finds `row` and locks it sees list and parent.
    fn adopt(
        &self,
        vectors: &Vectors<T>,
        tree: &Tree,
        parent: u32,
        row: u32,
        own: &[u32],
        scratch: &mut Scratch,
    ) -> Adoption {
        self.announce(tree, row, parent, own);
        let _guard = tree.lock(parent);
        let children = || {
            let links = self.links.bottom(parent).slots();
            links.filter(|&slot| slot & TWIN == 0 && tree.parent(slot) == parent)
        };
        if children().count() >= tree.children_max() || !self.has_room(tree, parent) {
            return Adoption::refused(children(), row);
        }
        self.link(vectors, tree, parent, row, 0, scratch);
        Adoption::Done
    }

    /// Hangs `row` behind `same`, whose vector it has. False if there is no place for it.
    fn connect_twin(
        &self,
        vectors: &Vectors<T>,
        tree: &Tree,
        row: u32,
        same: u32,
        scratch: &mut Scratch,
    ) -> bool {
        let (mut parent, mut twins_max) = (same, tree.twins_max());
        loop {
            self.announce(tree, row, parent, &[parent]);
            let _guard = tree.lock(parent);
            let twins = || self.links.bottom(parent).twins();
            if twins().count() < twins_max && self.has_room(tree, parent) {
                self.link(vectors, tree, parent, row | TWIN, 0, scratch);
                return true;
            }
            let Adoption::Below(twin) = Adoption::refused(twins(), row) else {
                return false;
            };
            parent = twin;
            // Behind the first of its kind, a list serves no other purpose.
            twins_max = self.links.room(0);
        }
    }

    /// Whether the list of `node` on layer 0 holds a link that may be dropped, or none yet.
    ///
    /// Always so for a node with few children. A tree that was found again in a graph that was
    /// read may have all links of a node in it.
    fn has_room(&self, tree: &Tree, node: u32) -> bool {
        let list = self.links.bottom(node);
        let kept = |&slot: &u32| slot & TWIN != 0 || tree.protects(node, slot);
        list.slots().filter(kept).count() < list.room()
    }

    /// Writes the list and the parent of a row that nobody can find yet.
    fn announce(&self, tree: &Tree, row: u32, parent: u32, own: &[u32]) {
        let _guard = tree.lock(row);
        tree.set_parent(row, parent);
        self.links.bottom(row).set(own.iter().copied());
    }

    /// Adds a link from `node` to `row`, which may be marked as a twin; prunes the list of `node` if
    /// it is full. The caller holds the lock of `node`.
    fn link(
        &self,
        vectors: &Vectors<T>,
        tree: &Tree,
        node: u32,
        row: u32,
        layer: u8,
        scratch: &mut Scratch,
    ) {
        let list = self.links.list(node, layer);
        let count = list.slots().count();
        if list.slots().any(|slot| slot == row) {
            return;
        }
        if count < list.room() {
            list.append(count, row);
            return;
        }
        let Scratch {
            fresh,
            candidates,
            kept,
            ..
        } = scratch;
        // Twins are no candidates; they stay where they are.
        let with_row = || list.slots().chain(std::iter::once(row));
        let twins = || with_row().filter(|slot| slot & TWIN != 0);
        fresh.clear();
        fresh.extend(with_row().filter(|slot| slot & TWIN == 0));
        let rows = Rows::new(&self.kernels, vectors, vectors.padded_row(node));
        let walk = Walk::new(&self.links, rows);
        walk.measure_all(fresh, candidates);
        candidates.sort_unstable_by(Hit::order);
        let must = |other| layer == 0 && tree.protects(node, other);
        select(
            &walk.places,
            candidates,
            list.room() - twins().count(),
            must,
            kept,
        );
        fresh.clear();
        fresh.extend(twins());
        fresh.extend(kept.iter().map(|hit| hit.row));
        list.set(fresh.iter().copied());
    }
}

/// What came of the wish to have a certain parent.
enum Adoption {
    Done,
    /// It has its children; this is one of them.
    Below(u32),
    /// It has no room and no children.
    Refused,
}

impl Adoption {
    /// One of the children, the same for the same `row`, different for different ones.
    fn refused(children: impl Iterator<Item = u32> + Clone, row: u32) -> Self {
        let count = children.clone().count().max(1);
        let at = mix(u64::from(row)) % count as u64;
        let mut children = children.skip(at as usize);
        children.next().map_or(Self::Refused, Self::Below)
    }
}

/// A candidate with the vector of `row`.
fn twin<T: Component>(walk: &Walk<'_, Rows<'_, T>>, row: u32, candidates: &[Hit]) -> Option<u32> {
    // The kernels give equal vectors equal distances, so few candidates are compared in full.
    let own = walk.distance(row);
    let same = |hit: &&Hit| hit.distance == own && walk.places.row(hit.row) == walk.places.row(row);
    candidates.iter().find(same).map(|hit| hit.row)
}
