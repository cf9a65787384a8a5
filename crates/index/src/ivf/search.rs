//! The nearest rows to a query, in two rounds.

use std::cmp::Ordering;
use std::ops::{ControlFlow, Range};

use cairn_distance::{Kernels, Metric};
use cairn_quantize::fastscan::{self, Edges, Lut, ROWS};
use cairn_quantize::rabitq::{self, Base, EPSILON};
use cairn_quantize::{Isa, scalar};

use super::layout::Block;
use super::{Ivf, Postings, Region};
use crate::flat::TopK;
use crate::{Effort, Hit, Query, Stopped, Vectors};

/// Candidates that leave the first round at most, for each row wanted, and at least.
const CANDIDATES_PER_K: usize = 16;
const CANDIDATES_MIN: usize = 512;

/// Candidates that are measured at most, for each row wanted, and at least. Most searches measure few more than `k`.
const MEASURED_PER_K: usize = 4;
const MEASURED_MIN: usize = 64;

/// Deviations that the bound of a fine code covers.
const FINE_DEVIATIONS: f32 = 4.0;

/// Centroids between two looks at `stop`: below half a millisecond with 4,096 components.
const CENTROIDS_PER_LOOK: usize = 512;

/// Rows that are measured between two looks at `stop`.
const ROWS_PER_LOOK: usize = 64;

/// Roundings of an estimate: as many half units in the last place of what is added up.
const ROUNDING: f32 = 4.0 / 16_777_216.0;

/// Why a search has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SearchError<E> {
    /// The caller's `stop` said so.
    #[error("the search was stopped by its caller")]
    Stopped,
    /// Postings could not be read.
    #[error("postings could not be read")]
    Source(#[source] E),
    /// A part has another length, or a number in it cannot be.
    #[error("a part of the postings is damaged, region={region}, list={list}")]
    Damaged {
        /// The region.
        region: Region,
        /// The list.
        list: u32,
    },
}

impl<E> From<Stopped> for SearchError<E> {
    fn from(Stopped: Stopped) -> Self {
        Self::Stopped
    }
}

/// Memory that searches of clustered postings reuse; it grows to what the largest needed and stays there.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Distances of the centroids, or of rows.
    distances: Vec<f32>,
    /// Lists with the distances of their centroids, those looked at first, nearest first.
    lists: Vec<Hit>,
    ranges: Vec<Range<u64>>,
    coarse: Option<rabitq::Query>,
    lut: Lut,
    fine: Option<scalar::Query>,
    /// The query as seen from a centroid.
    seen: Vec<f32>,
    /// The smallest of what distances are at most.
    uppers: TopK,
    candidates: Vec<Candidate>,
    rows: Vec<u32>,
    top: TopK,
}

impl Scratch {
    /// Empty: the first search fills it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// A row that may be among the nearest.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    /// About its distance, and what it is at least. Numbers, or infinite.
    estimate: f32,
    lower: f32,
    row: u32,
    list: u32,
    /// Its place in the list.
    at: u32,
}

impl Candidate {
    fn order(&self, other: &Self) -> Ordering {
        let nearer = self.estimate.total_cmp(&other.estimate);
        nearer.then(self.row.cmp(&other.row))
    }
}

impl Ivf {
    /// Finds about the `k` accepted rows nearest to `query`; distances are exact.
    ///
    /// Shapes: `vectors` holds every row that the lists were built over; `query` has its stride. `hits` is
    /// cleared, then holds up to `k` rows, nearest first, ties by lower row; which rows of an equal `k`-th distance
    /// are in it is not defined.
    /// `probes` is how many lists are looked at, those with the nearest centroids; 1 to all of them, other numbers
    /// count as the nearest of these. More: better recall, more bytes read. Where these lists have fewer than `k`
    /// accepted rows, as many more are looked at, and so on: `hits` has `min(k, accepted rows)` rows.
    /// Rounds: one call of [`Postings::read`] for the lists, another for each time that they are not enough, and one
    /// for the candidates, left out if these are so few that all are measured.
    /// Bound: an accepted row of the lists looked at that belongs to the answer is missed if its estimate is off by
    /// more than the bounds of `ivf/mod.rs` allow, or if the estimates of `max(16 k, 512)` others are smaller; in the
    /// second round, if those of `max(4 k, 64)` others are.
    /// Cost: a distance for each centroid, the lookup of a code for each row of the lists; no allocation if `scratch`
    /// is warm and `hits` has the capacity. [`Effort::hops`] are lists, [`Effort::distances`] centroids and rows.
    ///
    /// # Errors
    /// [`SearchError::Stopped`] if `stop` returned true, which is asked for every list; [`SearchError::Source`] with
    /// the error of `postings`; [`SearchError::Damaged`] if what was read cannot be.
    ///
    /// # Panics
    /// If `query` has another stride than rows of its dimension, or if `vectors` lacks a row of the lists or has
    /// another dimension.
    #[expect(
        clippy::too_many_arguments,
        reason = "the inner entry point; callers wrap it"
    )]
    pub fn search<P: Postings>(
        &self,
        postings: &P,
        vectors: &Vectors,
        query: &Query,
        k: usize,
        probes: usize,
        accept: impl Fn(u32) -> bool,
        scratch: &mut Scratch,
        stop: impl Fn() -> bool,
        hits: &mut Vec<Hit>,
    ) -> Result<Effort, SearchError<P::Error>> {
        hits.clear();
        let k = k.min(self.rows);
        if k == 0 {
            return Ok(Effort::default());
        }
        let beside = query.beside(vectors);
        assert_eq!(vectors.dim(), self.dim(), "vectors of another dim");
        assert!(vectors.len() >= self.rows, "vectors of every row");
        let search = Search {
            ivf: self,
            vectors,
            beside,
            query: &beside[..self.dim()],
            k,
            stop: &stop,
        };
        search.rank(scratch)?;
        search.coarse_query(scratch);
        let (mut done, mut wanted) = (0, probes.clamp(1, self.lists()));
        while done < wanted {
            search.scan(done..wanted, postings, &accept, scratch)?;
            done = wanted;
            if scratch.uppers.len() < k {
                wanted = done.saturating_mul(2).min(self.lists());
            }
        }
        search.keep_candidates(scratch);
        if scratch.candidates.len() > search.measured_max() {
            search.refine(postings, scratch)?;
            search.keep_refined(scratch);
        }
        let measured = search.measure(scratch)?;
        scratch.top.finish(|a, b| a.cmp(&b), hits);
        Ok(Effort {
            hops: done as u32,
            distances: (self.lists() as u32).saturating_add(measured),
        })
    }
}

/// What all steps need.
struct Search<'a, S> {
    ivf: &'a Ivf,
    vectors: &'a Vectors,
    /// The query laid out as a row, and its components.
    beside: &'a [f32],
    query: &'a [f32],
    k: usize,
    stop: &'a S,
}

impl<S: Fn() -> bool> Search<'_, S> {
    /// Leaves all lists in the scratch, in no order, with what their centroids are worth.
    fn rank(&self, scratch: &mut Scratch) -> Result<(), Stopped> {
        let ivf = self.ivf;
        let dim = ivf.dim();
        let kernels = match ivf.metric {
            Metric::Dot => &ivf.products,
            _ => &ivf.squares,
        };
        scratch.distances.resize(ivf.lists(), 0.0);
        let parts = ivf.centroids.chunks(CENTROIDS_PER_LOOK * dim);
        for (out, part) in scratch.distances.chunks_mut(CENTROIDS_PER_LOOK).zip(parts) {
            if (self.stop)() {
                return Err(Stopped);
            }
            kernels.block(self.query, part, dim, out);
        }
        scratch.lists.clear();
        let lists = (0u32..).zip(&scratch.distances);
        scratch.lists.extend(lists.map(|(row, &distance)| Hit {
            distance: number(distance),
            row,
        }));
        Ok(())
    }

    /// Makes the query one for coarse codes.
    fn coarse_query(&self, scratch: &mut Scratch) {
        let quantiser = &self.ivf.rabitq;
        let fresh = || quantiser.query(self.query);
        match &mut scratch.coarse {
            Some(query) => quantiser.fill_query(self.query, query),
            none => *none = Some(fresh()),
        }
        let coarse = scratch.coarse.as_ref().expect("filled above");
        scratch.lut.fill_signs(coarse.rotated());
        scratch.uppers.reset(self.k);
        scratch.candidates.clear();
    }

    /// What of distances to rows of a list belongs to the query.
    fn base(&self, list: u32) -> Base {
        let ivf = self.ivf;
        let centroid = ivf.centroid(list);
        let square = Base::l2(ivf.squares.one(self.query, centroid));
        let product = || ivf.products.one(self.query, centroid);
        let add = match ivf.metric {
            Metric::L2 => return square,
            Metric::Cosine => 1.0 + product(),
            _ => product(),
        };
        Base { add, ..square }
    }

    /// Reads the lists at these places of the ranking, and adds what may be among the nearest to the candidates.
    fn scan<P: Postings>(
        &self,
        places: Range<usize>,
        postings: &P,
        accept: &impl Fn(u32) -> bool,
        scratch: &mut Scratch,
    ) -> Result<(), SearchError<P::Error>> {
        let ivf = self.ivf;
        let lists = &mut scratch.lists[places.start..];
        let count = places.len();
        if count < lists.len() {
            lists.select_nth_unstable_by(count, Hit::order);
        }
        let lists = &mut lists[..count];
        lists.sort_unstable_by(Hit::order);
        scratch.ranges.clear();
        let parts = lists.iter().map(|list| ivf.part(Region::Coarse, list.row));
        scratch.ranges.extend(parts);
        let mut scan = Scan::new(
            self,
            &scratch.lut,
            &mut scratch.uppers,
            &mut scratch.candidates,
        );
        let mut result = Ok(());
        let read = postings.read(Region::Coarse, &scratch.ranges, &mut |place, bytes| {
            if (self.stop)() {
                result = Err(SearchError::Stopped);
            } else if let Some(&Hit { row: list, .. }) = lists.get(place)
                && scan.offer(list, bytes, self.base(list), accept).is_none()
            {
                let region = Region::Coarse;
                result = Err(SearchError::Damaged { region, list });
            }
            flow(&result)
        });
        read.map_err(SearchError::Source)?;
        result
    }

    fn candidates_max(&self) -> usize {
        CANDIDATES_MIN.max(self.k.saturating_mul(CANDIDATES_PER_K))
    }

    fn measured_max(&self) -> usize {
        MEASURED_MIN.max(self.k.saturating_mul(MEASURED_PER_K))
    }

    /// Drops candidates that are too far by what is known in the end, and the farthest of too many.
    fn keep_candidates(&self, scratch: &mut Scratch) {
        let farthest = scratch.uppers.threshold();
        let candidates = &mut scratch.candidates;
        candidates.retain(|candidate| candidate.lower <= farthest);
        trim(candidates, self.candidates_max());
        candidates.sort_unstable_by_key(|candidate| (candidate.list, candidate.at));
    }

    /// Reads the records of the candidates, and replaces their estimates.
    fn refine<P: Postings>(
        &self,
        postings: &P,
        scratch: &mut Scratch,
    ) -> Result<(), SearchError<P::Error>> {
        let ivf = self.ivf;
        let record_bytes = ivf.layout.record_bytes() as u64;
        // The stated bound holds for a query in the very direction in which the code errs. What rounding leaves
        // points anywhere, so the deviation from an estimate is less by the root of the dim.
        let probable = (FINE_DEVIATIONS / (ivf.dim() as f32).sqrt()).min(1.0);
        let candidates = &mut scratch.candidates;
        scratch.ranges.clear();
        scratch.ranges.extend(candidates.iter().map(|candidate| {
            let part = ivf.part(Region::Fine, candidate.list);
            let start = part.start + u64::from(candidate.at) * record_bytes;
            start..start + record_bytes
        }));
        let mut last = None;
        let (fine, seen) = (&mut scratch.fine, &mut scratch.seen);
        let mut result = Ok(());
        let read = postings.read(Region::Fine, &scratch.ranges, &mut |place, bytes| {
            let Some(candidate) = candidates.get_mut(place) else {
                return ControlFlow::Continue(());
            };
            let list = candidate.list;
            let add = match last {
                Some((same, add)) if same == list => add,
                _ => {
                    if (self.stop)() {
                        result = Err(SearchError::Stopped);
                        return ControlFlow::Break(());
                    }
                    let add = self.fine_query(list, fine, seen);
                    last = Some((list, add));
                    add
                }
            };
            let whole = bytes.len() as u64 == record_bytes;
            let record = whole.then(|| ivf.layout.read_record(bytes)).flatten();
            if let (Some((code, factors)), Some(query)) = (record, &*fine) {
                let estimate = query.estimate(code, factors.code);
                let add = add + factors.add;
                let distance = estimate.distance + add;
                let error =
                    probable * estimate.error + ROUNDING * (distance.abs() + 2.0 * add.abs());
                candidate.estimate = number(distance);
                candidate.lower = least(distance - error);
            } else {
                let region = Region::Fine;
                result = Err(SearchError::Damaged { region, list });
            }
            flow(&result)
        });
        read.map_err(SearchError::Source)?;
        result
    }

    /// Makes `fine` the query for records of a list; what is to be added to the distances it gives.
    fn fine_query(&self, list: u32, fine: &mut Option<scalar::Query>, seen: &mut Vec<f32>) -> f32 {
        let ivf = self.ivf;
        seen.clear();
        let pairs = self.query.iter().zip(ivf.centroid(list));
        seen.extend(pairs.map(|(x, c)| x - c));
        match fine {
            Some(query) => ivf.scalar.fill_query(seen, query),
            none => *none = Some(ivf.scalar.query(seen)),
        }
        match ivf.metric {
            Metric::L2 => 0.0,
            // Products are divided as those of coarse codes: of query and centroid, of centroid and row, and of
            // both as seen from the centroid, which alone is estimated.
            _ => self.base(list).add,
        }
    }

    /// Drops candidates that are too far by their records, and the farthest of too many.
    fn keep_refined(&self, scratch: &mut Scratch) {
        let Scratch {
            candidates, uppers, ..
        } = scratch;
        uppers.reset(self.k);
        for candidate in &*candidates {
            // As far above the estimate as the lower bound is below it.
            let upper = candidate.estimate + (candidate.estimate - candidate.lower);
            uppers.push(upper, candidate.row, |a, b| a.cmp(&b));
        }
        let farthest = uppers.threshold();
        candidates.retain(|candidate| candidate.lower <= farthest);
        trim(candidates, self.measured_max());
    }

    /// Measures the candidates into the scratch's `top`; how many these were.
    fn measure(&self, scratch: &mut Scratch) -> Result<u32, Stopped> {
        let vectors = self.vectors;
        scratch.rows.clear();
        let rows = scratch.candidates.iter().map(|candidate| candidate.row);
        scratch.rows.extend(rows);
        scratch.rows.sort_unstable();
        scratch.distances.resize(ROWS_PER_LOOK, 0.0);
        scratch.top.reset(self.k);
        let kernels: Kernels<f32> = vectors.kernels(self.ivf.metric);
        let (base, stride) = (vectors.as_slice(), vectors.stride());
        for rows in scratch.rows.chunks(ROWS_PER_LOOK) {
            if (self.stop)() {
                return Err(Stopped);
            }
            let distances = &mut scratch.distances[..rows.len()];
            kernels.many(self.beside, base, stride, rows, distances);
            for (&row, &distance) in rows.iter().zip(&*distances) {
                let distance = vectors.scaled(row, distance);
                scratch.top.push(distance, row, |a, b| a.cmp(&b));
            }
        }
        Ok(scratch.rows.len() as u32)
    }
}

/// The first round on its way through the lists.
struct Scan<'a> {
    ivf: &'a Ivf,
    isa: Isa,
    lut: &'a Lut,
    /// How far the product of query and code may be off, in units of the grid.
    slack: f32,
    uppers: &'a mut TopK,
    candidates: &'a mut Vec<Candidate>,
    candidates_max: usize,
    /// So many candidates were there that those beyond this estimate are dropped.
    farthest: f32,
}

impl<'a> Scan<'a> {
    fn new<S: Fn() -> bool>(
        search: &Search<'a, S>,
        lut: &'a Lut,
        uppers: &'a mut TopK,
        candidates: &'a mut Vec<Candidate>,
    ) -> Self {
        // Tables of planes are rounded alike, each plane counts twice the one after it.
        let planes = f32::from((1u16 << (2 * search.ivf.layout.bits)) - 1) / 3.0;
        Self {
            ivf: search.ivf,
            isa: Isa::active(),
            lut,
            slack: EPSILON * lut.deviation() * planes.sqrt(),
            uppers,
            candidates,
            candidates_max: search.candidates_max(),
            farthest: f32::INFINITY,
        }
    }

    /// Offers the rows of a list. Nothing if its part is damaged.
    fn offer(
        &mut self,
        list: u32,
        part: &[u8],
        base: Base,
        accept: &impl Fn(u32) -> bool,
    ) -> Option<()> {
        let ivf = self.ivf;
        let count = ivf.counts[list as usize];
        if part.len() as u64 != ivf.layout.part_bytes(Region::Coarse, count) {
            return None;
        }
        let mut estimates = [0.0; ROWS];
        let (mut errors, mut lower) = ([0.0; ROWS], [0.0; ROWS]);
        let blocks = part.chunks_exact(ivf.layout.block_bytes());
        for (first, bytes) in (0..count).step_by(ROWS).zip(blocks) {
            let taken = ROWS.min((count - first) as usize);
            let block = Block::read(bytes, taken, ivf.rows)?;
            self.estimate(&block, base, &mut estimates, &mut errors);
            for ((lower, estimate), error) in lower.iter_mut().zip(&estimates).zip(&errors) {
                *lower = estimate - error;
            }
            let threshold = self.uppers.threshold();
            let mut near = u32::MAX >> (ROWS - taken);
            if threshold < f32::INFINITY {
                near &= fastscan::below(self.isa, &lower, threshold);
            }
            while near != 0 {
                let place = near.trailing_zeros() as usize;
                near &= near - 1;
                let (row, estimate) = (block.ids[place], number(estimates[place]));
                if estimate > self.farthest || !accept(row) {
                    continue;
                }
                self.uppers
                    .push(estimate + errors[place], row, |a, b| a.cmp(&b));
                self.candidates.push(Candidate {
                    estimate,
                    lower: least(lower[place]),
                    row,
                    list,
                    at: first + place as u32,
                });
            }
            if self.candidates.len() >= 2 * self.candidates_max {
                trim(self.candidates, self.candidates_max);
                self.farthest = self.candidates[self.candidates_max - 1].estimate;
            }
        }
        Some(())
    }

    /// Distances to the rows of a block, and how far they may be off.
    #[inline]
    fn estimate(
        &self,
        block: &Block<'_>,
        base: Base,
        estimates: &mut [f32; ROWS],
        errors: &mut [f32; ROWS],
    ) {
        let edges = Edges {
            planes: block.planes,
            add: &block.add,
            rescale: &block.rescale,
        };
        let (isa, all) = (self.isa, f32::INFINITY);
        let _ = fastscan::nearer(isa, self.lut, base.add, edges, all, estimates);
        for place in 0..ROWS {
            // What is added up is not larger than its result and the other two together.
            let size = 2.0 * (base.add.abs() + block.add[place].abs()) + estimates[place].abs();
            errors[place] = block.error[place] * base.norm
                + block.rescale[place].abs() * self.slack
                + ROUNDING * size;
        }
    }
}

/// Drops all but the `most` candidates with the smallest estimates; the farthest of these is then the last.
fn trim(candidates: &mut Vec<Candidate>, most: usize) {
    if candidates.len() > most {
        candidates.select_nth_unstable_by(most - 1, Candidate::order);
        candidates.truncate(most);
    }
}

fn flow<E>(result: &Result<(), E>) -> ControlFlow<()> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    }
}

/// Where numbers have overflowed, a distance is infinite.
fn number(distance: f32) -> f32 {
    if distance.is_nan() {
        f32::INFINITY
    } else {
        distance
    }
}

/// Where numbers have overflowed, a distance may be anything.
fn least(lower: f32) -> f32 {
    if lower.is_nan() {
        f32::NEG_INFINITY
    } else {
        lower
    }
}
