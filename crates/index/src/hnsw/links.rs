//! Who is linked to whom.
//!
//! A node's list on one layer is an array of slots in whole cache lines, ended by [`NONE`] unless it
//! is full: with `m0` 32, a list on layer 0 is exactly two lines. Lists above layer 0 exist only for
//! the layers that a row reaches, packed one after the other.
//!
//! Slots are atomic so that searches may read a list while an insert writes it. Writers of one node
//! are kept apart by a lock elsewhere; readers take none, and may see a list half old, half new.
//! Every value they can see is a row of the graph or `NONE`, so all they lose is a link for a moment.
//! Relaxed order suffices: a slot is a number, and what it points to (levels, vectors) was complete
//! before the graph was shared.

use std::sync::atomic::{AtomicU32, Ordering};

/// Ends a list; no row has this number.
pub(super) const NONE: u32 = u32::MAX;

/// Set in a slot whose row has the same vector as the node and stands behind it, see `tree.rs`.
pub(super) const TWIN: u32 = 1 << 31;

/// Slots in a cache line.
const LINE_SLOTS: usize = 16; // 64 bytes

/// A cache line of slots.
#[repr(C, align(64))]
struct Line([AtomicU32; LINE_SLOTS]);

const _: () = assert!(size_of::<Line>() == 64);

impl Line {
    fn empty() -> Self {
        Self([const { AtomicU32::new(NONE) }; LINE_SLOTS])
    }
}

/// Every list of a graph.
pub(super) struct Links {
    /// The lists of layer 0, in row order, `bottom_lines` lines each.
    bottom: Vec<Line>,
    bottom_lines: usize,
    /// The lists of the layers above, `upper_lines` lines each: for each row layers `1..=level`.
    upper: Vec<Line>,
    upper_lines: usize,
    /// The highest layer of each row.
    levels: Vec<u8>,
    /// How many upper lists stand before those of each row.
    upper_start: Vec<u32>,
    m0: usize,
    m_max: usize,
}

impl Links {
    /// Empty lists for rows with the given levels.
    pub(super) fn new(levels: Vec<u8>, m0: usize, m_max: usize) -> Self {
        let mut links = Self {
            bottom: Vec::new(),
            bottom_lines: m0.div_ceil(LINE_SLOTS),
            upper: Vec::new(),
            upper_lines: m_max.div_ceil(LINE_SLOTS),
            levels: Vec::new(),
            upper_start: Vec::new(),
            m0,
            m_max,
        };
        links.extend(levels);
        links
    }

    /// Adds rows with the given levels and empty lists.
    pub(super) fn extend(&mut self, levels: Vec<u8>) {
        let mut lists = self.upper.len() / self.upper_lines;
        self.upper_start.reserve_exact(levels.len());
        for &level in &levels {
            let start = u32::try_from(lists).expect("upper lists fit memory, so they fit u32");
            self.upper_start.push(start);
            lists += usize::from(level);
        }
        if self.levels.is_empty() {
            self.levels = levels;
        } else {
            self.levels.extend(levels);
        }
        grow(&mut self.bottom, self.levels.len() * self.bottom_lines);
        grow(&mut self.upper, lists * self.upper_lines);
    }

    /// Rows that have lists.
    pub(super) fn rows(&self) -> usize {
        self.levels.len()
    }

    /// Most links of a node on `layer`.
    pub(super) fn room(&self, layer: u8) -> usize {
        if layer == 0 { self.m0 } else { self.m_max }
    }

    /// The highest layer of `row`.
    #[inline]
    pub(super) fn level(&self, row: u32) -> u8 {
        self.levels[row as usize]
    }

    /// The highest layer of each row.
    pub(super) fn levels(&self) -> &[u8] {
        &self.levels
    }

    /// The list of `row` on layer 0.
    #[inline]
    pub(super) fn bottom(&self, row: u32) -> List<'_> {
        let start = row as usize * self.bottom_lines;
        List {
            lines: &self.bottom[start..start + self.bottom_lines],
            room: self.m0,
        }
    }

    /// The list of `row` on `layer`.
    ///
    /// # Panics
    /// If the row does not reach the layer.
    #[inline]
    pub(super) fn list(&self, row: u32, layer: u8) -> List<'_> {
        if layer == 0 {
            return self.bottom(row);
        }
        assert!(layer <= self.level(row), "the row reaches the layer");
        let list = self.upper_start[row as usize] as usize + usize::from(layer) - 1;
        let start = list * self.upper_lines;
        List {
            lines: &self.upper[start..start + self.upper_lines],
            room: self.m_max,
        }
    }

    /// Memory held, in bytes.
    pub(super) fn bytes(&self) -> usize {
        (self.bottom.capacity() + self.upper.capacity()) * size_of::<Line>()
            + self.levels.capacity()
            + self.upper_start.capacity() * size_of::<u32>()
    }
}

fn grow(lines: &mut Vec<Line>, count: usize) {
    lines.reserve_exact(count - lines.len());
    // Before the pages are there. With 128 components, 4 % more searches over 200,000 rows and 14 %
    // more over a million.
    cairn_distance::advise_huge_pages(lines.spare_capacity_mut());
    lines.resize_with(count, Line::empty);
}

/// The list of one node on one layer.
#[derive(Clone, Copy)]
pub(super) struct List<'a> {
    lines: &'a [Line],
    room: usize,
}

impl<'a> List<'a> {
    /// Links that fit.
    pub(super) fn room(self) -> usize {
        self.room
    }

    /// The slots in use: rows, some with [`TWIN`].
    #[inline]
    pub(super) fn slots(self) -> impl Iterator<Item = u32> + Clone + 'a {
        let slots = self.lines.iter().flat_map(|line| &line.0);
        slots
            .map(|slot| slot.load(Ordering::Relaxed))
            .take_while(|&slot| slot != NONE)
    }

    /// The rows linked to, twins included.
    pub(super) fn rows(self) -> impl Iterator<Item = u32> + Clone + 'a {
        self.slots().map(|slot| slot & !TWIN)
    }

    /// The twins behind the node that it links to.
    pub(super) fn twins(self) -> impl Iterator<Item = u32> + Clone + 'a {
        self.slots()
            .filter(|slot| slot & TWIN != 0)
            .map(|slot| slot & !TWIN)
    }

    /// Calls `visit` with every row linked to that is not a twin: what a walk follows.
    #[inline(always)]
    pub(super) fn for_each(self, mut visit: impl FnMut(u32)) {
        for line in self.lines {
            for slot in &line.0 {
                let slot = slot.load(Ordering::Relaxed);
                if slot & TWIN == 0 {
                    visit(slot);
                } else if slot == NONE {
                    return;
                }
            }
        }
    }

    /// Replaces the list. The caller is the only writer of this node.
    ///
    /// # Panics
    /// If `slots` are more than fit.
    pub(super) fn set(self, slots: impl Iterator<Item = u32>) {
        let mut slots = slots.fuse();
        for (at, to) in self.lines.iter().flat_map(|line| &line.0).enumerate() {
            let from = slots.next();
            assert!(
                at < self.room || from.is_none(),
                "a list never exceeds its cap"
            );
            to.store(from.unwrap_or(NONE), Ordering::Relaxed);
        }
        assert!(slots.next().is_none(), "a list never exceeds its cap");
    }

    /// Adds a link after the first `count`. The caller is the only writer of this node and knows
    /// that the list holds `count` links, fewer than its room.
    pub(super) fn append(self, count: usize, slot: u32) {
        debug_assert!(count < self.room, "a list never exceeds its cap");
        self.lines[count / LINE_SLOTS].0[count % LINE_SLOTS].store(slot, Ordering::Relaxed);
    }

    /// Asks for the cache lines of the list.
    #[inline(always)]
    pub(super) fn prefetch(self) {
        cairn_distance::prefetch_slice(self.lines);
    }
}
