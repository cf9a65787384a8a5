//! Algorithm 5: the nearest rows to a query.

use std::sync::atomic::Ordering;

use super::Graph;
use super::scratch::Scratch;
use super::walk::{Places, Rows, Walk};
use crate::coded::Asked;
use crate::{Coded, CodedSpace, Component, Effort, Hit, Query, Stopped, Vectors};

impl<T: Component> Graph<T> {
    /// Finds about the `k` accepted rows nearest to `query`.
    ///
    /// Shapes: `vectors` holds every row inserted; `query` has its stride. `hits` is cleared, then
    /// holds `min(k, accepted rows)` rows, nearest first, ties by lower row; which rows of an equal
    /// `k`-th distance are in it is not defined. Rows that are being inserted meanwhile may or may
    /// not be found.
    /// `ef` is the length of the candidate list, at least `k`. Larger: better recall, slower.
    /// Rows that are not accepted are walked through but never returned; when few are accepted the
    /// walk gets long, up to every row, rather than the answer short.
    /// Cost: about `ef * m0` distances, fewer for clustered data; no allocation if `scratch` is
    /// warm and `hits` has the capacity.
    ///
    /// # Errors
    /// [`Stopped`] if `stop` returned true; it is asked at least every 0.5 ms.
    ///
    /// # Panics
    /// If `query` has another stride than `vectors`, or if `vectors` lacks a row of the graph.
    #[expect(
        clippy::too_many_arguments,
        reason = "the inner entry point; callers wrap it"
    )]
    pub fn search(
        &self,
        vectors: &Vectors<T>,
        query: &Query<T>,
        k: usize,
        ef: usize,
        accept: impl Fn(u32) -> bool,
        scratch: &mut Scratch,
        stop: impl Fn() -> bool,
        hits: &mut Vec<Hit>,
    ) -> Result<Effort, Stopped> {
        let kernels = vectors.kernels(self.metric());
        let rows = Rows::new(&kernels, vectors, query.beside(vectors));
        self.walk(rows, k, ef, accept, scratch, stop, hits)
    }

    /// [`Graph::search`] among whatever the nodes are compared by.
    #[expect(
        clippy::too_many_arguments,
        reason = "the inner entry point; callers wrap it"
    )]
    fn walk(
        &self,
        places: impl Places,
        k: usize,
        ef: usize,
        accept: impl Fn(u32) -> bool,
        scratch: &mut Scratch,
        stop: impl Fn() -> bool,
        hits: &mut Vec<Hit>,
    ) -> Result<Effort, Stopped> {
        hits.clear();
        let mut effort = Effort::default();
        let Some((entry, level)) = self.entry.load() else {
            return Ok(effort);
        };
        if k == 0 {
            return Ok(effort);
        }
        let mut walk = Walk::new(&self.links, places);
        if scratch.lazy {
            walk.fetch_nothing_ahead();
        }
        let start = Hit {
            distance: walk.distance(entry),
            row: entry,
        };
        effort.distances += 1;
        let start = walk.descend(start, level, 1, scratch, &mut effort);
        // More than every row cannot be kept, so a huge `ef` costs no memory.
        let ef = ef.max(k).min(self.capacity());
        let twins = self.twins.load(Ordering::Relaxed) > 0;
        let mut queue = std::mem::take(&mut scratch.queue);
        // Only as the entry is it met at all.
        let hidden = scratch.hidden;
        let accept = |row| Some(row) != hidden && accept(row);
        let keep = |row| accept(row) || (twins && self.stands_for(row, &accept, &mut queue));
        let walked = walk.search(0, start, ef, scratch, keep, stop);
        if walked.is_err() {
            // No answer, not even a part of one.
        } else if twins {
            for hit in scratch.beam.hits() {
                self.unfold(hit, k, &accept, &mut queue, hits);
            }
            hits.sort_unstable_by(Hit::order);
        } else {
            hits.extend(scratch.beam.hits().take(k));
        }
        scratch.queue = queue;
        effort += walked?;
        Ok(effort)
    }

    /// Whether a twin behind `row` is accepted.
    #[cold]
    fn stands_for(&self, row: u32, accept: &impl Fn(u32) -> bool, queue: &mut Vec<u32>) -> bool {
        queue.clear();
        queue.extend(self.links.bottom(row).twins());
        while let Some(row) = queue.pop() {
            if accept(row) {
                return true;
            }
            queue.extend(self.links.bottom(row).twins());
        }
        false
    }

    /// Adds `hit` and the twins behind it to `hits` as far as they are accepted, up to `k` in all.
    fn unfold(
        &self,
        hit: Hit,
        k: usize,
        accept: &impl Fn(u32) -> bool,
        queue: &mut Vec<u32>,
        hits: &mut Vec<Hit>,
    ) {
        queue.clear();
        queue.push(hit.row);
        while hits.len() < k
            && let Some(row) = queue.pop()
        {
            if accept(row) {
                let distance = hit.distance;
                hits.push(Hit { distance, row });
            }
            queue.extend(self.links.bottom(row).twins());
        }
    }
}

impl Graph {
    /// [`Graph::search`] that compares codes on its way, and measures the `ef` rows that it ends with.
    ///
    /// `coded` are codes of the rows of `vectors`, under the metric of the graph. Distances are exact; what codes
    /// misjudge by more than the length of the list makes up for is missed.
    ///
    /// # Errors
    /// As [`Graph::search`].
    ///
    /// # Panics
    /// As [`Graph::search`]; and if `coded` lacks a row of the graph.
    #[expect(
        clippy::too_many_arguments,
        reason = "the inner entry point; callers wrap it"
    )]
    pub fn search_coded(
        &self,
        vectors: &Vectors,
        coded: &Coded,
        query: &Query,
        k: usize,
        ef: usize,
        accept: impl Fn(u32) -> bool,
        scratch: &mut Scratch,
        space: &mut CodedSpace,
        stop: impl Fn() -> bool,
        hits: &mut Vec<Hit>,
    ) -> Result<Effort, Stopped> {
        let beside = query.beside(vectors);
        let asked = space.query.fill(coded, &beside[..vectors.dim()]);
        let ef = ef.max(k);
        let mut effort = self.walk(
            asked,
            ef.min(self.capacity()),
            ef,
            accept,
            scratch,
            stop,
            hits,
        )?;
        let kernels = vectors.kernels(self.metric());
        let rows = Rows::new(&kernels, vectors, beside);
        for at in 0..hits.len() {
            if let Some(later) = hits.get(at + MEASURED_AHEAD) {
                rows.prefetch(later.row);
            }
            hits[at].distance = rows.distance(hits[at].row);
        }
        effort.distances += hits.len() as u32;
        hits.sort_unstable_by(Hit::order);
        hits.truncate(k);
        Ok(effort)
    }
}

/// Rows asked for ahead of the one being measured, of those that a walk over codes ends with.
const MEASURED_AHEAD: usize = 4;

impl Places for Asked<'_> {
    #[inline(always)]
    fn distance(&self, row: u32) -> f32 {
        Asked::distance(self, row)
    }

    #[inline(always)]
    fn bounded(&self, row: u32, _: f32) -> f32 {
        Asked::distance(self, row)
    }

    #[inline(always)]
    fn prefetch(&self, row: u32) {
        Asked::prefetch(self, row);
    }

    fn row_bytes(&self) -> usize {
        Asked::row_bytes(self)
    }
}
