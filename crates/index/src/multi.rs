//! Records of several vectors each, searched exactly (late interaction, MaxSim).
//!
//! The distance between a query `q_1 ... q_n` and a record `r_1 ... r_m` is
//!
//! ```text
//! sum over i of  min over j of  distance(q_i, r_j)
//! ```
//!
//! so under `dot` it is minus the sum of the greatest products, which is MaxSim. Sums are taken in double
//! precision in the order of the query and rounded once.
//!
//! All vectors stand in flat matrices, those of a record side by side. A record is measured by some vectors
//! of the query at a time, which share each load of its own: 20,000 records of 80 vectors of 128 components
//! and a query of 32 took 340 ms under `cosine` on one core of a busy EPYC, and 550 ms one vector of the query
//! at a time. Where no distance is below zero the sum only grows, and a record is given up once it is beyond
//! the `k`-th best: 280 ms with `k` 10, of records that are all about as far; more where they are not.
//!
//! A record is measured alone and always in the same blocks. So its distance has the same bits wherever it
//! stands, and equal records are ties.
//!
//! Source: O. Khattab, M. Zaharia: ColBERT: Efficient and Effective Passage Search via Contextualized Late
//! Interaction over BERT, 2020.

use std::cmp::Ordering;

use cairn_distance::{Kernels, Metric};

use crate::flat::TopK;
use crate::vectors::stride_of;
use crate::{Effort, Query, Stopped, Vectors};

/// Vectors of a query that are compared together.
const GROUP: usize = 8;

/// Vectors of a record that are compared together, at most.
const BLOCK_ROWS: usize = 64;

/// Bytes of those, as far as one is not longer: they stay in the second-level cache.
const BLOCK_BYTES: usize = 64 * 1024;

/// Bytes compared between two looks at `stop`: about 50 microseconds at 10 GB/s.
const BYTES_PER_LOOK: usize = 512 * 1024;

/// What passing over a record counts for, in bytes compared.
const RECORD_BYTES: usize = 64;

/// Bytes of the first matrix; each next one has twice as many, as often as [`DOUBLING`] says.
const PART_BYTES: usize = 64 * 1024;
const DOUBLING: usize = 6; // up to 4 MiB

/// One or more vectors of `f32` for each row, appended row by row.
///
/// Vectors never move once they are there: where a matrix is full, the next one is begun.
///
/// # Examples
/// ```
/// use cairn_distance::Kernels;
/// use cairn_index::flat::TopK;
/// use cairn_index::{Metric, MultiQuery, MultiVectors};
///
/// let mut vectors = MultiVectors::new(2);
/// vectors.push(&[1.0, 0.0, 0.0, 1.0]);
/// vectors.push(&[3.0, 0.0]);
/// let mut query = MultiQuery::default();
/// query.set(&[1.0, 0.0, 0.0, 2.0], 2);
/// let (accept, tie, stop) = (|_| true, |a: u32, b: u32| a.cmp(&b), || false);
/// let mut top = TopK::new(2);
/// vectors.scan(Kernels::new(Metric::Dot), &query, 0..2, accept, tie, stop, &mut top)?;
/// let mut hits = Vec::new();
/// top.finish(tie, &mut hits);
/// let found: Vec<(u32, f32)> = hits.iter().map(|hit| (hit.row, hit.distance)).collect();
/// assert_eq!(found, [(0, -3.0), (1, -3.0)]);
/// # Ok::<(), cairn_index::Stopped>(())
/// ```
#[derive(Debug)]
pub struct MultiVectors {
    dim: usize,
    parts: Vec<Part>,
    /// Where the vectors of each row end in its part.
    ends: Vec<u32>,
}

/// The vectors of some rows.
#[derive(Debug)]
struct Part {
    first: u32,
    vectors: Vectors,
}

impl MultiVectors {
    /// No rows yet; their vectors have `dim` components.
    ///
    /// # Panics
    /// If `dim` is zero.
    #[must_use]
    pub fn new(dim: usize) -> Self {
        assert!(dim > 0, "a vector has at least one component");
        Self {
            dim,
            parts: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// As [`MultiVectors::new`], with room for so many vectors in one piece: address space, not memory.
    ///
    /// # Panics
    /// If `dim` is zero, or the system refuses the address space.
    #[must_use]
    pub fn with_capacity(dim: usize, vectors: usize) -> Self {
        let mut empty = Self::new(dim);
        empty.begin(vectors);
        empty
    }

    /// Appends a row with these vectors, `[count * dim]`; returns its number.
    ///
    /// # Panics
    /// If that is no whole number of vectors, or none; with 2^32 - 1 rows.
    pub fn push(&mut self, vectors: &[f32]) -> u32 {
        let dim = self.dim;
        assert!(vectors.len().is_multiple_of(dim), "whole vectors");
        self.fill(vectors.len() / dim, |at, slot| {
            slot.copy_from_slice(&vectors[at * dim..(at + 1) * dim]);
        })
    }

    /// Appends a row of `count` vectors and lets `fill` write each one in place, by its number.
    ///
    /// # Panics
    /// If there is no vector; with 2^32 - 1 rows.
    pub fn fill(&mut self, count: usize, mut fill: impl FnMut(usize, &mut [f32])) -> u32 {
        assert!(count > 0, "a row has at least one vector");
        let row = u32::try_from(self.ends.len()).expect("rows are counted in 32 bits");
        let left = |part: &Part| part.vectors.capacity() - part.vectors.len();
        if self.parts.last().is_none_or(|part| left(part) < count) {
            let bytes = PART_BYTES << self.parts.len().min(DOUBLING);
            let usual = bytes / (stride_of::<f32>(self.dim) * size_of::<f32>());
            self.begin(usual.max(count));
        }
        let part = self.parts.last_mut().expect("one was begun");
        let first = part.vectors.len();
        let fill = |at: u32, slot: &mut [f32]| fill(at as usize - first, slot);
        part.vectors.fill_rows(count, fill);
        let end = u32::try_from(part.vectors.len()).expect("a matrix has fewer than 2^32 rows");
        self.ends.push(end);
        row
    }

    fn begin(&mut self, vectors: usize) {
        let first = u32::try_from(self.ends.len()).expect("rows are counted in 32 bits");
        let vectors = Vectors::of(self.dim, vectors.min(u32::MAX as usize - 1));
        self.parts.push(Part { first, vectors });
    }

    /// Components of a vector.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes in memory, padding counted.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let vectors: usize = self.parts.iter().map(|part| part.vectors.bytes()).sum();
        vectors + size_of_val(&self.ends[..])
    }

    /// The vectors of a row with their padding.
    fn vectors(&self, row: u32) -> &[f32] {
        let part = self.parts.partition_point(|part| part.first <= row) - 1;
        let Part { first, vectors } = &self.parts[part];
        let start = match row > *first {
            true => self.ends[row as usize - 1] as usize,
            false => 0,
        };
        let stride = vectors.stride();
        &vectors.as_slice()[start * stride..self.ends[row as usize] as usize * stride]
    }

    /// Offers those of `rows` that are accepted to `top`, which other scans may share. Distances are within
    /// the range of an `f32`.
    ///
    /// `kernels` are of the metric; under cosine vectors and query are of length one.
    /// Cost: a distance for each vector of the query and each of an accepted row, as far as the row is not
    /// given up. Allocates nothing if `top` is warm.
    ///
    /// # Errors
    /// [`Stopped`] if `stop` returned true; it is asked at least every 0.5 ms. `top` then holds some of the
    /// rows.
    ///
    /// # Panics
    /// If there is no such row, or if the query is empty or of another `dim`.
    #[expect(
        clippy::too_many_arguments,
        reason = "the inner entry point; callers wrap it"
    )]
    pub fn scan(
        &self,
        kernels: Kernels<f32>,
        query: &MultiQuery,
        rows: impl Iterator<Item = u32>,
        accept: impl Fn(u32) -> bool,
        tie: impl Fn(u32, u32) -> Ordering,
        stop: impl Fn() -> bool,
        top: &mut TopK,
    ) -> Result<Effort, Stopped> {
        let mut scan = Scan {
            kernels,
            query: query.padded(),
            stride: stride_of::<f32>(self.dim),
            distances: [0.0; GROUP * BLOCK_ROWS],
            pairs: 0,
            unseen: BYTES_PER_LOOK,
            stop,
        };
        assert_eq!(query.stride, scan.stride, "the query has another stride");
        for row in rows {
            scan.look(RECORD_BYTES)?;
            if accept(row)
                && let Some(distance) = scan.measure(self.vectors(row), top.threshold())?
            {
                top.push(distance, row, &tie);
            }
        }
        Ok(Effort {
            hops: 0,
            distances: u32::try_from(scan.pairs).unwrap_or(u32::MAX),
        })
    }
}

/// A query of one or more vectors, laid out as rows are; reusable.
#[derive(Debug, Default)]
pub struct MultiQuery {
    /// Room for all of it; may be more than is needed.
    room: Option<Query>,
    stride: usize,
    count: usize,
}

impl MultiQuery {
    /// Replaces the vectors by `[count * dim]`. Allocates only where there was never room for so much.
    ///
    /// # Panics
    /// If that is no whole number of vectors, or none.
    pub fn set(&mut self, vectors: &[f32], dim: usize) {
        assert!(
            !vectors.is_empty() && vectors.len().is_multiple_of(dim),
            "whole vectors"
        );
        self.stride = stride_of::<f32>(dim);
        self.count = vectors.len() / dim;
        let needed = self.count * self.stride;
        let old = self.room.take().filter(|it| it.padded().len() >= needed);
        let room = self
            .room
            .insert(old.unwrap_or_else(|| Query::new(&[], needed)));
        let slots = room.padded_mut().chunks_exact_mut(self.stride);
        for (slot, vector) in slots.zip(vectors.chunks_exact(dim)) {
            slot[..dim].copy_from_slice(vector);
            slot[dim..].fill(0.0);
        }
    }

    /// Vectors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether none was set yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let room = self.room.as_ref();
        room.map_or(0, |room| size_of_val(room.padded()))
    }

    fn padded(&self) -> &[f32] {
        let room = self.room.as_ref().map_or(&[][..], Query::padded);
        &room[..self.count * self.stride]
    }
}

/// What measures one record after another.
struct Scan<'a, S> {
    kernels: Kernels<f32>,
    query: &'a [f32],
    stride: usize,
    distances: [f32; GROUP * BLOCK_ROWS],
    pairs: u64,
    /// Bytes compared since `stop` was asked.
    unseen: usize,
    stop: S,
}

impl<S: Fn() -> bool> Scan<'_, S> {
    /// Asks whether to stop if it is time, with so much to be compared next.
    #[inline(always)]
    fn look(&mut self, bytes: usize) -> Result<(), Stopped> {
        self.unseen += bytes;
        if self.unseen > BYTES_PER_LOOK {
            self.unseen = 0;
            if (self.stop)() {
                return Err(Stopped);
            }
        }
        Ok(())
    }

    /// The distance of a record; `None` once it is known to be above `threshold`.
    fn measure(&mut self, vectors: &[f32], threshold: f32) -> Result<Option<f32>, Stopped> {
        let stride = self.stride;
        let row_bytes = stride * size_of::<f32>();
        let block_rows = (BLOCK_BYTES / row_bytes).clamp(1, BLOCK_ROWS);
        let grows = self.kernels.metric() != Metric::Dot;
        let mut sum = 0.0_f64;
        for group in self.query.chunks(GROUP * stride) {
            let queries = group.len() / stride;
            let mut least = [f32::INFINITY; GROUP];
            for block in vectors.chunks(block_rows * stride) {
                let rows = block.len() / stride;
                self.look(queries * rows * row_bytes)?;
                let distances = &mut self.distances[..queries * rows];
                self.kernels.matrix(group, block, stride, distances);
                for (least, distances) in least.iter_mut().zip(distances.chunks_exact(rows)) {
                    *least = smaller(*least, smallest(distances));
                }
                self.pairs += (queries * rows) as u64;
            }
            for least in &least[..queries] {
                sum += f64::from(least.clamp(f32::MIN, f32::MAX));
            }
            // Rounding never turns an order around, so what is beyond by now stays so.
            if grows && rounded(sum) > threshold {
                return Ok(None);
            }
        }
        Ok(Some(rounded(sum)))
    }
}

/// A sum that no `f32` holds is the one next to it.
fn rounded(sum: f64) -> f32 {
    (sum as f32).clamp(f32::MIN, f32::MAX)
}

/// What the processor has an instruction for; components are finite, so no distance is NaN.
#[inline(always)]
fn smaller(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// The smallest, in lanes that do not wait for each other.
#[inline(always)]
fn smallest(distances: &[f32]) -> f32 {
    let (eights, rest) = distances.as_chunks::<8>();
    let mut lanes = [f32::INFINITY; 8];
    for eight in eights {
        for (lane, &distance) in lanes.iter_mut().zip(eight) {
            *lane = smaller(distance, *lane);
        }
    }
    let all = lanes.iter().chain(rest);
    all.fold(f32::INFINITY, |least, &distance| smaller(distance, least))
}
