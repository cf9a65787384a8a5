//! The nearest rows to a query.

use cairn_distance::{Kernels, Metric, prefetch, prefetch_f32};
use cairn_quantize::fastscan::{self, Lut, ROWS};

use super::QuantisedGraph;
use super::record::Block;
use crate::beam::Beam;
use crate::bulk::NONE;
use crate::flat::TopK;
use crate::visited::Visited;
use crate::{Effort, HOPS_PER_LOOK, Hit, Query, Scratch, Stopped, Vectors};

/// Places of the beam for each of `ef`. What ends a walk is how far it has to look, see [`reach`]; the beam
/// only bounds what that may cost.
const BEAM_PER_EF: usize = 2;

/// Until `k` distances are known, the `k`-th smallest estimate stands in for them, with so much more room:
/// the smallest of many estimates are too small.
const GUESS: f32 = 0.1;

/// What a search needs beyond the memory that graphs of all kinds share.
#[derive(Debug, Default)]
pub(crate) struct Space {
    /// The query as seen from the centre, rotated.
    rotated: Vec<f32>,
    lut: Lut,
    top: TopK,
    places: Vec<Hit>,
}

impl QuantisedGraph {
    /// Finds about the `k` accepted rows nearest to `query`; distances are exact.
    ///
    /// Shapes: `vectors` holds every row that the graph was built over; `query` has its stride. `hits`
    /// is cleared, then holds up to `k` rows, nearest first, ties by lower row; which rows of an
    /// equal `k`-th distance are in it is not defined.
    /// `ef` is the length of the candidate list, at least `k`. Larger: better recall, slower.
    /// Rows that are not accepted are walked through but never returned; when few are accepted the
    /// walk gets long, up to every row, rather than the answer short.
    /// Cost: for each hop, of which there are about `ef`, one distance and the lookup of 32 codes; no
    /// allocation if `scratch` is warm and `hits` has the capacity.
    ///
    /// # Errors
    /// [`Stopped`] if `stop` returned true; it is asked at least every 0.5 ms.
    ///
    /// # Panics
    /// If `query` has another stride than rows of its dimension, or if `vectors` lacks a row of the graph.
    #[expect(
        clippy::too_many_arguments,
        reason = "the inner entry point; callers wrap it"
    )]
    pub fn search(
        &self,
        vectors: &Vectors,
        query: &Query,
        k: usize,
        ef: usize,
        accept: impl Fn(u32) -> bool,
        scratch: &mut Scratch,
        stop: impl Fn() -> bool,
        hits: &mut Vec<Hit>,
    ) -> Result<Effort, Stopped> {
        self.search_until(NONE, vectors, query, k, ef, accept, scratch, stop, hits)
    }

    /// [`QuantisedGraph::search`] that ends when it has met the row `wanted`.
    #[expect(clippy::too_many_arguments, reason = "as above")]
    pub(super) fn search_until(
        &self,
        wanted: u32,
        vectors: &Vectors,
        query: &Query,
        k: usize,
        ef: usize,
        accept: impl Fn(u32) -> bool,
        scratch: &mut Scratch,
        stop: impl Fn() -> bool,
        hits: &mut Vec<Hit>,
    ) -> Result<Effort, Stopped> {
        hits.clear();
        if k == 0 || self.rows == 0 {
            return Ok(Effort::default());
        }
        let query = query.beside(vectors);
        assert!(vectors.len() >= self.rows, "vectors of every row");
        let Scratch {
            visited,
            beam,
            space,
            hidden,
            ..
        } = scratch;
        let hidden = *hidden;
        let accept = |row| Some(row) != hidden && accept(row);
        let product = vectors.has_scales().then(|| Kernels::new(Metric::Dot));
        // More than every row cannot be kept, so a huge `ef` costs no memory.
        let ef = ef.max(k);
        visited.begin(self.rows);
        beam.begin(ef.saturating_mul(BEAM_PER_EF).min(self.rows));
        space.top.reset(k.min(self.rows));
        let mut walk = Walk {
            graph: self,
            vectors,
            kernels: product.as_ref().unwrap_or(&self.kernels),
            query,
            hidden: hidden
                .filter(|&row| self.twins.behind(row).next().is_none())
                .unwrap_or(NONE),
            wanted,
            k,
            reach: 1.0 + reach(ef as f32 / k as f32),
            visited,
            beam,
            effort: Effort::default(),
            asked: [NONE; 2],
        };
        if self.twins.is_empty() {
            walk.run(space, &accept, stop)?;
            space.top.finish(|a, b| a.cmp(&b), hits);
        } else {
            let keep = |node| accept(node) || self.twins.behind(node).any(&accept);
            walk.run(space, &keep, stop)?;
            space.places.clear();
            space.top.finish(|a, b| a.cmp(&b), &mut space.places);
            self.unfold(&space.places, k, &accept, hits);
        }
        Ok(walk.effort)
    }

    /// Puts the rows at the places found into `hits` as far as they are accepted, up to `k`.
    fn unfold(&self, places: &[Hit], k: usize, accept: &impl Fn(u32) -> bool, hits: &mut Vec<Hit>) {
        for &Hit { distance, row } in places {
            let rows = std::iter::once(row).chain(self.twins.behind(row));
            let left = k - hits.len();
            let rows = rows.filter(|&row| accept(row)).take(left);
            hits.extend(rows.map(|row| Hit { distance, row }));
        }
        hits.sort_unstable_by(Hit::order);
    }
}

/// A query on its way through a graph.
struct Walk<'a> {
    graph: &'a QuantisedGraph,
    vectors: &'a Vectors,
    kernels: &'a Kernels<f32>,
    /// Laid out as a row.
    query: &'a [f32],
    /// A row that is not met, or none.
    hidden: u32,
    /// A row that ends the walk, or none.
    wanted: u32,
    k: usize,
    /// How much farther than the `k`-th nearest so far an estimate may be, as a factor.
    reach: f32,
    visited: &'a mut Visited,
    beam: &'a mut Beam,
    /// Rows asked for last.
    asked: [u32; 2],
    effort: Effort,
}

impl Walk<'_> {
    /// Expands nodes, nearest estimate first, until none is left that could improve the answer. The exact
    /// distances of those that `keep` names end up in `space.top`.
    fn run(
        &mut self,
        space: &mut Space,
        keep: &impl Fn(u32) -> bool,
        stop: impl Fn() -> bool,
    ) -> Result<(), Stopped> {
        let Space {
            rotated, lut, top, ..
        } = space;
        let graph = self.graph;
        graph.rotate(&self.query[..graph.centre.len()], rotated);
        lut.fill_signs(rotated);
        let mut bound = None;
        // The centre is the root: a node without a vector of its own, whose neighbours are entries.
        self.offer(graph.root.bytes(), square(rotated), bound, lut, keep);
        while let Some(Hit { distance, row }) = self.beam.next_hit() {
            if bound.is_some_and(|bound| distance > bound) {
                break;
            }
            if self.effort.hops.is_multiple_of(HOPS_PER_LOOK) && stop() {
                return Err(Stopped);
            }
            self.effort.hops += 1;
            self.effort.distances += 1;
            self.ask_for_next();
            let measured = self.kernels.one(self.query, self.vectors.padded_row(row));
            let distance = self.vectors.scaled(row, measured);
            if keep(row) {
                top.push(distance, row, |a, b| a.cmp(&b));
                let worst = top.threshold();
                bound = (worst < f32::INFINITY).then_some(worst * graph.scale * self.reach);
            }
            if row == self.wanted {
                break;
            }
            self.offer(graph.record(row), distance * graph.scale, bound, lut, keep);
            self.ask_for_next();
        }
        Ok(())
    }

    /// Estimates the neighbours in `blocks` of a node at the squared distance `base`, and adds to the
    /// beam those that may be near enough: below `bound`, or a guess at it, and the worst of the beam.
    #[inline(always)]
    fn offer(
        &mut self,
        blocks: &[u8],
        base: f32,
        bound: Option<f32>,
        lut: &Lut,
        keep: &impl Fn(u32) -> bool,
    ) {
        let graph = self.graph;
        let mut estimates = [0.0; ROWS];
        for bytes in blocks.chunks_exact(graph.layout.block_bytes()) {
            let block = Block::new(bytes);
            let known = bound.unwrap_or_else(|| self.beam.nth(self.k) * (self.reach + GUESS));
            let bound = known.min(self.beam.bound());
            let mut near =
                fastscan::nearer(graph.isa, lut, base, block.edges, bound, &mut estimates);
            if bound == f32::INFINITY {
                // Where lengths overflow, estimates are infinite, too, and those rows are still wanted.
                near = block.taken();
            }
            while near != 0 {
                let at = near.trailing_zeros() as usize;
                near &= near - 1;
                let (row, estimate) = (block.ids[at], estimates[at]);
                if row == self.hidden || self.beam.is_full() && estimate >= self.beam.bound() {
                    continue;
                }
                if self.visited.mark(row) {
                    self.visited.remember(&[row]);
                    if keep(row) {
                        self.beam.keep(estimate, row);
                    } else {
                        self.beam.pass(estimate, row);
                    }
                }
            }
        }
    }

    /// Asks for all that the next hop will read, as far as is known now.
    #[inline(always)]
    fn ask_for_next(&mut self) {
        if let Some(row) = self.beam.peek()
            && !self.asked.contains(&row)
        {
            self.asked = [row, self.asked[0]];
            prefetch_f32(self.vectors.padded_row(row));
            prefetch(self.graph.record(row));
        }
    }
}

/// How much farther than the `k`-th nearest found a node may be estimated and still be expanded, for an `ef`
/// so many times `k`.
///
/// A list of fixed length looks as far for easy queries as for hard ones. This bound is far for those that
/// have not come near yet, and close once `k` near rows are known.
///
/// Source: Al-Jazzazi & others, distance adaptive beam search (2025), with `ef` as the knob.
fn reach(ratio: f32) -> f32 {
    ratio / (ratio + 36.0)
}

/// The squared length, in sixteen sums side by side.
fn square(vector: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 16];
    for part in vector.as_chunks::<16>().0 {
        for (lane, x) in lanes.iter_mut().zip(part) {
            *lane += x * x;
        }
    }
    lanes.iter().sum()
}
