//! Exact search: every row is measured.
//!
//! Rows are taken in blocks small enough that their distances stay in the first-level cache. A block
//! whose rows are all wanted goes through the kernel for consecutive rows; one that is filtered goes
//! through the kernel for listed rows, so a row that is not accepted is never read.

mod codes;
mod near;
mod top_k;

use std::cmp::Ordering;
use std::ops::Range;

use cairn_distance::Metric;

pub use codes::Codes;
pub use near::CodeSpace;
pub(crate) use near::Near;
pub use top_k::TopK;

use crate::{Component, Effort, Hit, Query, Stopped, Vectors};

/// Rows measured together.
const BLOCK_ROWS: usize = 64;

/// Bytes read between two looks at `stop`: about 50 microseconds at 10 GB/s.
const BYTES_PER_LOOK: usize = 512 * 1024;

/// Finds the `k` accepted rows of `range` nearest to `query`, exactly.
///
/// Shapes: `query` has the stride of `vectors`; `range` is clamped to the rows held. `hits` is
/// cleared, then holds `min(k, accepted rows)` rows, nearest first.
/// Ties: `tie(a, b)` orders rows at equal distance, see [`TopK`]; it decides as well which rows of
/// an equal `k`-th distance are kept.
/// Cost: one kernel call per 64 rows, and memory for `k` hits; to reuse it, see [`scan`].
///
/// # Errors
/// [`Stopped`] if `stop` returned true; it is asked at least every 0.5 ms.
///
/// # Panics
/// If `query` has another stride than `vectors`.
///
/// # Examples
/// ```
/// use cairn_index::{Metric, Query, Vectors, flat};
///
/// let mut vectors = Vectors::with_capacity(2, 3);
/// for row in [[0.0, 0.0], [3.0, 4.0], [1.0, 0.0]] {
///     vectors.push(&row);
/// }
/// let query = Query::new(&[0.0, 0.0], vectors.stride());
/// let (accept, tie, stop) = (|row| row != 0, |a: u32, b: u32| a.cmp(&b), || false);
/// let mut hits = Vec::new();
/// flat::search(&vectors, Metric::L2, &query, 2, 0..3, accept, tie, stop, &mut hits)?;
/// assert_eq!(hits.iter().map(|hit| hit.row).collect::<Vec<_>>(), [2, 1]);
/// assert_eq!(hits[1].distance, 25.0);
/// # Ok::<(), cairn_index::Stopped>(())
/// ```
#[expect(
    clippy::too_many_arguments,
    reason = "the inner entry point; callers wrap it"
)]
pub fn search<T: Component>(
    vectors: &Vectors<T>,
    metric: Metric,
    query: &Query<T>,
    k: usize,
    range: Range<u32>,
    accept: impl Fn(u32) -> bool,
    tie: impl Fn(u32, u32) -> Ordering,
    stop: impl Fn() -> bool,
    hits: &mut Vec<Hit>,
) -> Result<Effort, Stopped> {
    hits.clear();
    let mut top = TopK::new(k);
    let effort = scan(
        vectors, metric, query, range, 0, accept, &tie, stop, &mut top,
    )?;
    top.finish(tie, hits);
    Ok(effort)
}

/// Offers the accepted rows of `range` to `top`, which other scans may share.
///
/// `accept` is asked about rows of this matrix; `top` and `tie` see `offset` added, so a caller that
/// holds its rows in several matrices gives each the number of rows before it. Allocates nothing if
/// `top` is warm.
///
/// # Errors
/// [`Stopped`] if `stop` returned true; `top` then holds some of the rows.
///
/// # Panics
/// As [`search`]; and if a row number plus `offset` overflows.
#[expect(
    clippy::too_many_arguments,
    reason = "the inner entry point; callers wrap it"
)]
pub fn scan<T: Component>(
    vectors: &Vectors<T>,
    metric: Metric,
    query: &Query<T>,
    range: Range<u32>,
    offset: u32,
    accept: impl Fn(u32) -> bool,
    tie: impl Fn(u32, u32) -> Ordering,
    stop: impl Fn() -> bool,
    top: &mut TopK,
) -> Result<Effort, Stopped> {
    let stride = vectors.stride();
    let query = query.beside(vectors);
    let kernels = vectors.kernels(metric);
    let base = vectors.as_slice();
    let end = range.end.min(vectors.len() as u32);
    offset.checked_add(end).expect("row numbers are u32");
    let blocks_per_look = (BYTES_PER_LOOK / (stride * size_of::<T>() * BLOCK_ROWS)).max(1);

    let mut effort = Effort::default();
    let mut rows = [0u32; BLOCK_ROWS];
    let mut distances = [0.0f32; BLOCK_ROWS];
    let blocks = (range.start..end).step_by(BLOCK_ROWS);
    let mut behind = vectors.behind(range.start);
    for (block, first) in blocks.enumerate() {
        if block % blocks_per_look == 0 && stop() {
            return Err(Stopped);
        }
        behind.reached(first);
        let last = end.min(first.saturating_add(BLOCK_ROWS as u32));
        let mut count = 0;
        for row in first..last {
            rows[count] = row;
            count += usize::from(accept(row));
        }
        let distances = &mut distances[..count];
        if count == (last - first) as usize {
            let block = first as usize * stride..last as usize * stride;
            kernels.block(query, &base[block], stride, distances);
        } else {
            kernels.many(query, base, stride, &rows[..count], distances);
        }
        effort.distances = effort.distances.saturating_add(count as u32);
        for (&row, &distance) in rows[..count].iter().zip(&*distances) {
            top.push(vectors.scaled(row, distance), offset + row, &tie);
        }
    }
    behind.reached(end);
    Ok(effort)
}

/// Offers the listed rows to `top`: [`scan`] for few rows, whose cost is theirs alone.
///
/// `rows` rise, and are rows of this matrix. Allocates nothing if `top` is warm.
///
/// # Errors
/// [`Stopped`] if `stop` returned true; `top` then holds some of the rows.
///
/// # Panics
/// If `query` has another stride than `vectors`.
pub fn scan_listed<T: Component>(
    vectors: &Vectors<T>,
    metric: Metric,
    query: &Query<T>,
    mut rows: impl Iterator<Item = u32>,
    tie: impl Fn(u32, u32) -> Ordering,
    stop: impl Fn() -> bool,
    top: &mut TopK,
) -> Result<Effort, Stopped> {
    let stride = vectors.stride();
    let query = query.beside(vectors);
    let kernels = vectors.kernels(metric);
    let blocks_per_look = (BYTES_PER_LOOK / (stride * size_of::<T>() * BLOCK_ROWS)).max(1);
    let mut effort = Effort::default();
    let mut listed = [0u32; BLOCK_ROWS];
    let mut distances = [0.0f32; BLOCK_ROWS];
    let mut behind = vectors.behind(0);
    for block in 0usize.. {
        if block.is_multiple_of(blocks_per_look) && stop() {
            return Err(Stopped);
        }
        let mut count = 0;
        for (slot, row) in listed.iter_mut().zip(&mut rows) {
            *slot = row;
            count += 1;
        }
        let (listed, distances) = (&listed[..count], &mut distances[..count]);
        let Some(&first) = listed.first() else {
            break;
        };
        behind.reached(first);
        kernels.many(query, vectors.as_slice(), stride, listed, distances);
        effort.distances = effort.distances.saturating_add(count as u32);
        for (&row, &distance) in listed.iter().zip(&*distances) {
            top.push(vectors.scaled(row, distance), row, &tie);
        }
    }
    Ok(effort)
}
