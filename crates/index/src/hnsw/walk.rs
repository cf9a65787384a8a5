//! Following links towards a query: the part that searches and inserts share.
//!
//! # Waiting for memory
//!
//! A graph of any size lies in DRAM, where a row takes longer to arrive than to be measured: at 784
//! components 140 ns against 15. So the walk asks for rows early, and never for too many:
//!
//! - Some rows ahead of the one being measured, about 6 KiB worth. With 128 components on a Zen 5:
//!   2 rows ahead 15,700 queries a second, 4 rows 17,800, 8 rows 19,900, 12 rows 20,600, 16 rows
//!   19,000.
//! - When nothing of this hop is left to ask for, the first rows of the hop that will probably be next:
//!   the wait at the start of each hop goes away. 20,600 to 24,900 queries a second.
//! - The list of every node that enters the beam, for most of them are expanded. Only that of the
//!   next one was asked for before: with a million rows 20,300 queries a second, now 21,300.
//! - Of long rows only the first three quarters. The kernels give up on a row once it is known to be
//!   too far, most often before its end, and what they need beyond the prefetched part the
//!   processor fetches by itself, for it sees consecutive lines. With 784 components: 12,100 to
//!   13,500 queries a second.
//!
//! Rows are measured one by one, because the bound falls while a hop is measured and a kernel that
//! leaves early needs it: measuring a whole hop in one call took 24 % off at 128 components, and
//! added 3 % at 784.

use cairn_distance::{Kernels, prefetch_slice};

use super::links::{Links, List};
use super::scratch::Scratch;
use crate::visited::Visited;
use crate::{Component, Effort, HOPS_PER_LOOK, Hit, Stopped, Vectors};

/// Bytes of rows asked for ahead of the one being measured.
const AHEAD_BYTES: usize = 6 * 1024;

/// Short rows: no more than this many.
const AHEAD_ROWS_MAX: usize = 16;

/// Rows longer than this are asked for in part. Kernels look whether to give up every 512 bytes.
const LONG_BYTES: usize = 2048;

/// A query before what the nodes of a graph are compared by: their rows, or codes of them.
pub(super) trait Places {
    /// The distance from the query to `row`.
    fn distance(&self, row: u32) -> f32;

    /// The distance from the query to `row` if it is at most `bound`, otherwise something above.
    fn bounded(&self, row: u32, bound: f32) -> f32;

    /// Asks the memory for `row`.
    fn prefetch(&self, row: u32);

    /// Bytes that are asked for with each row.
    fn row_bytes(&self) -> usize;
}

/// A query before rows.
pub(super) struct Rows<'a, T: Component> {
    kernels: &'a Kernels<T>,
    vectors: &'a Vectors<T>,
    base: &'a [T],
    stride: usize,
    query: &'a [T],
    /// How much of a row is asked for, in components.
    head: usize,
}

impl<'a, T: Component> Rows<'a, T> {
    /// `query` is laid out as a row; `kernels` are those that measure `vectors`.
    pub(super) fn new(kernels: &'a Kernels<T>, vectors: &'a Vectors<T>, query: &'a [T]) -> Self {
        let stride = vectors.stride();
        assert_eq!(query.len(), stride, "the query has another stride");
        let long = stride * size_of::<T>() > LONG_BYTES;
        Self {
            kernels,
            vectors,
            base: vectors.as_slice(),
            stride,
            query,
            head: if long { stride / 4 * 3 } else { stride },
        }
    }

    /// The vector of `row`, padded.
    #[inline(always)]
    pub(super) fn row(&self, row: u32) -> &'a [T] {
        let start = row as usize * self.stride;
        &self.base[start..start + self.stride]
    }

    /// The distance between two rows if it is at most `bound`, otherwise something above.
    #[inline(always)]
    pub(super) fn between(&self, a: u32, b: u32, bound: f32) -> f32 {
        self.kernels.one_bounded(self.row(a), self.row(b), bound)
    }
}

impl<T: Component> Places for Rows<'_, T> {
    #[inline(always)]
    fn distance(&self, row: u32) -> f32 {
        let measured = self.kernels.one(self.query, self.row(row));
        self.vectors.scaled(row, measured)
    }

    #[inline(always)]
    fn bounded(&self, row: u32, bound: f32) -> f32 {
        let measured = self.kernels.one_bounded(self.query, self.row(row), bound);
        // Products are computed to their end, whatever the bound.
        self.vectors.scaled(row, measured)
    }

    #[inline(always)]
    fn prefetch(&self, row: u32) {
        prefetch_slice(&self.row(row)[..self.head]);
    }

    fn row_bytes(&self) -> usize {
        self.stride * size_of::<T>()
    }
}

/// A query on its way through a graph.
pub(super) struct Walk<'a, P> {
    links: &'a Links,
    /// What it compares with.
    pub(super) places: P,
    /// Rows asked for before the one being measured.
    ahead: usize,
}

impl<'a, P: Places> Walk<'a, P> {
    /// `places` has every row that the links name.
    pub(super) fn new(links: &'a Links, places: P) -> Self {
        let ahead = (AHEAD_BYTES / places.row_bytes()).clamp(2, AHEAD_ROWS_MAX);
        Self {
            links,
            places,
            ahead,
        }
    }

    /// Asks the memory for no row before its turn comes.
    pub(super) fn fetch_nothing_ahead(&mut self) {
        self.ahead = 0;
    }

    /// The distance from the query to `row`.
    #[inline(always)]
    pub(super) fn distance(&self, row: u32) -> f32 {
        self.places.distance(row)
    }

    /// Goes to ever nearer neighbours, layer by layer from `from` down to and including `to`.
    ///
    /// Algorithm 2 with `ef` 1. A row that was not the nearest when it was measured never will be,
    /// not on the layers below either, so none is measured twice.
    pub(super) fn descend(
        &self,
        mut nearest: Hit,
        from: u8,
        to: u8,
        scratch: &mut Scratch,
        effort: &mut Effort,
    ) -> Hit {
        if from < to {
            return nearest;
        }
        let Scratch {
            visited,
            fresh,
            hidden,
            ..
        } = scratch;
        visited.begin(self.links.rows());
        visited.insert(nearest.row);
        self.pass_by(*hidden, visited);
        for layer in (to..=from).rev() {
            loop {
                let before = nearest.row;
                unseen(self.links.list(before, layer), visited, fresh);
                effort.hops += 1;
                effort.distances += fresh.len() as u32;
                self.measure(fresh, nearest.distance, |row, distance| {
                    if distance < nearest.distance {
                        nearest = Hit { distance, row };
                    }
                    nearest.distance
                });
                if nearest.row == before {
                    break;
                }
            }
        }
        nearest
    }

    /// Finds the `ef` nodes of `layer` nearest to the query among those that `keep` names, from
    /// `start` on; the others are walked through.
    ///
    /// Algorithm 2. The results are in `scratch.beam`.
    pub(super) fn search(
        &self,
        layer: u8,
        start: Hit,
        ef: usize,
        scratch: &mut Scratch,
        mut keep: impl FnMut(u32) -> bool,
        stop: impl Fn() -> bool,
    ) -> Result<Effort, Stopped> {
        let Scratch {
            visited,
            beam,
            fresh,
            hidden,
            ..
        } = scratch;
        visited.begin(self.links.rows());
        beam.begin(ef);
        visited.insert(start.row);
        self.pass_by(*hidden, visited);
        if keep(start.row) {
            beam.keep(start.distance, start.row);
        } else {
            beam.pass(start.distance, start.row);
        }
        let mut effort = Effort::default();
        while let Some(row) = beam.next() {
            if effort.hops % HOPS_PER_LOOK == 0 && stop() {
                return Err(Stopped);
            }
            effort.hops += 1;
            unseen(self.links.list(row, layer), visited, fresh);
            effort.distances += fresh.len() as u32;
            for &row in fresh.iter().take(self.ahead) {
                self.prefetch(row);
            }
            let idle = fresh.len().saturating_sub(self.ahead);
            let mut bound = beam.bound();
            for (at, &row) in fresh.iter().enumerate() {
                if let Some(&later) = fresh.get(at + self.ahead) {
                    self.prefetch(later);
                }
                if at == idle
                    && let Some(next) = beam.peek()
                {
                    self.prefetch_hop(self.links.list(next, layer), visited);
                }
                let distance = self.places.bounded(row, bound);
                if distance < bound || !beam.is_full() {
                    if keep(row) {
                        beam.keep(distance, row);
                        self.links.list(row, layer).prefetch();
                    } else {
                        beam.pass(distance, row);
                    }
                    bound = beam.bound();
                }
            }
        }
        Ok(effort)
    }

    /// Has a walk that begins pass by a row, unless others are reached through it alone.
    fn pass_by(&self, row: Option<u32>, visited: &mut Visited) {
        if let Some(row) = row
            && self.links.bottom(row).twins().next().is_none()
        {
            visited.insert(row);
        }
    }

    /// Replaces `hits` by `rows` and their distances, in the same order.
    pub(super) fn measure_all(&self, rows: &[u32], hits: &mut Vec<Hit>) {
        hits.clear();
        self.measure(rows, f32::INFINITY, |row, distance| {
            hits.push(Hit { distance, row });
            f32::INFINITY
        });
    }

    /// Calls `visit` with every row and its distance, or with something above the bound if the
    /// distance is; the bound is what the previous call returned.
    #[inline(always)]
    fn measure(&self, rows: &[u32], mut bound: f32, mut visit: impl FnMut(u32, f32) -> f32) {
        for &row in rows.iter().take(self.ahead) {
            self.prefetch(row);
        }
        for (at, &row) in rows.iter().enumerate() {
            if let Some(&later) = rows.get(at + self.ahead) {
                self.prefetch(later);
            }
            let distance = self.places.bounded(row, bound);
            bound = visit(row, distance);
        }
    }

    /// Asks for the first rows of a hop that is likely to be the next.
    #[inline(always)]
    fn prefetch_hop(&self, list: List<'_>, visited: &Visited) {
        let mut left = self.ahead;
        list.for_each(|row| {
            if left > 0 && !visited.contains(row) {
                left -= 1;
                self.prefetch(row);
            }
        });
    }

    #[inline(always)]
    fn prefetch(&self, row: u32) {
        self.places.prefetch(row);
    }
}

/// Replaces `fresh` by the rows of `list` that `visited` lacked.
///
/// Every row is written, and the next one over it unless it counts: which rows were seen before is
/// a coin toss to the processor, and a branch on it would be guessed wrong every other time.
#[inline(always)]
fn unseen(list: List<'_>, visited: &mut Visited, fresh: &mut Vec<u32>) {
    fresh.resize(list.room(), 0);
    let slots = &mut fresh[..];
    let mut count = 0;
    list.for_each(|row| {
        slots[count] = row;
        count += usize::from(visited.mark(row));
    });
    fresh.truncate(count);
    visited.remember(fresh);
}
