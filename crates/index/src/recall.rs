//! What part of the nearest rows a search finds, measured with rows of the matrix as queries.

use std::cmp::Ordering;
use std::sync::Mutex;

use cairn_distance::{Kernels, Metric};

use crate::flat::TopK;
use crate::parallel::{Cancelled, share};
use crate::{Component, Hit, Progress, Scratch, Stopped, Vectors, Workers};

/// Queries that are compared with a tile of rows together, and that a worker takes at a time.
const QUERIES_PER_TURN: usize = 16;

/// Rows of a tile: their distances stay in the first-level cache.
const TILE_ROWS: usize = 64;

/// Neighbours that a curve is of.
pub(crate) const K: usize = 10;

/// Rows that are queries of a curve: with 400 the recall at 0.95 is within a point.
const QUERIES: usize = 400;

/// Fewer of small graphs: one row in so many, so that measuring stays a small part of building.
const ROWS_PER_QUERY: usize = 25;

/// A list so long or a recall so high is not exceeded.
const EF_MAX: usize = 2_048;
const RECALL_MAX: f32 = 0.9995;

/// A list of candidates, and the recall@10 that it reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Length of the list.
    pub ef: u32,
    /// In 0 ... 1.
    pub recall: f32,
}

/// How many of so many rows are queries of a curve.
pub(crate) fn query_count(rows: usize) -> usize {
    QUERIES.min(rows / ROWS_PER_QUERY)
}

/// Whether, of a query and a row, the row may be found.
pub(crate) type Counts<'a> = &'a (dyn Fn(u32, u32) -> bool + Sync);

/// A search for a row with a list of some length, which leaves what it found in the hits.
pub(crate) type Find<'a> = &'a (dyn Fn(u32, usize, &mut Scratch, &mut Vec<Hit>) + Sync);

/// Rows as queries, each with the nearest of the others, found exactly.
pub(crate) struct Sample {
    rows: Vec<u32>,
    /// Of each row its nearest others, nearest first.
    nearest: Vec<Vec<Hit>>,
}

impl Sample {
    /// Finds the `k` rows nearest to each of `rows` among those that count for it.
    ///
    /// Cost: a distance for each of `rows` and each row of `vectors`, shared by the workers.
    ///
    /// # Errors
    /// [`Stopped`] if `progress` said so.
    ///
    /// # Panics
    /// If one of `rows` is not a row of `vectors`.
    pub fn new<T: Component>(
        vectors: &Vectors<T>,
        metric: Metric,
        rows: Vec<u32>,
        k: usize,
        counts: Counts<'_>,
        workers: &dyn Workers,
        progress: &dyn Progress,
    ) -> Result<Self, Stopped> {
        let kernels = Kernels::new(metric);
        let nearest = in_turns(&rows, workers, progress, |rows, _| {
            exact(&kernels, vectors, rows, k, counts, progress)
        })?;
        Ok(Self { rows, nearest })
    }

    /// The share of the nearest rows that `find` finds, in 0 ... 1. It is given a row and leaves what
    /// it found in the hits. A row as near as the last of the nearest counts as one of them.
    ///
    /// # Errors
    /// [`Stopped`] if `progress` said so.
    pub fn recall(
        &self,
        workers: &dyn Workers,
        progress: &dyn Progress,
        find: &(dyn Fn(u32, &mut Scratch, &mut Vec<Hit>) + Sync),
    ) -> Result<f32, Stopped> {
        let queries: Vec<(u32, &[Hit])> = self
            .rows
            .iter()
            .zip(&self.nearest)
            .map(|(&row, nearest)| (row, &nearest[..]))
            .collect();
        let found = in_turns(&queries, workers, progress, |queries, scratch| {
            let mut hits = Vec::new();
            let counts = queries.iter().map(|&(row, nearest)| {
                find(row, scratch, &mut hits);
                count_found(nearest, &hits)
            });
            Ok(counts.collect())
        })?;
        let wanted: usize = self.nearest.iter().map(Vec::len).sum();
        Ok(found.iter().sum::<usize>() as f32 / wanted.max(1) as f32)
    }

    /// What lists of rising lengths reach, from [`K`] candidates on in steps of the square root of two,
    /// until hardly a neighbour is missing; nothing without a query. `find` is given a row and the length.
    ///
    /// # Errors
    /// As [`Sample::recall`].
    pub fn points(
        &self,
        workers: &dyn Workers,
        progress: &dyn Progress,
        find: Find<'_>,
    ) -> Result<Vec<Point>, Stopped> {
        let mut points = Vec::new();
        let mut ef = K;
        while !self.rows.is_empty() && ef <= EF_MAX {
            let recall = self.recall(workers, progress, &|row, scratch, hits| {
                find(row, ef, scratch, hits);
            })?;
            points.push(Point {
                ef: ef as u32,
                recall,
            });
            if recall >= RECALL_MAX {
                break;
            }
            ef = (ef as f32 * std::f32::consts::SQRT_2).ceil() as usize;
        }
        Ok(points)
    }
}

/// How many of the `nearest` are among the `hits`, or others in their place that are as near.
fn count_found(nearest: &[Hit], hits: &[Hit]) -> usize {
    let Some(last) = nearest.last() else {
        return 0;
    };
    let is_near = |hit: &&Hit| {
        hit.distance <= last.distance || nearest.iter().any(|near| near.row == hit.row)
    };
    hits.iter().filter(is_near).count().min(nearest.len())
}

/// Calls `work` with a few of `items` after the other, shared by the workers; what it returned for
/// each, in their order.
fn in_turns<T: Sync, R: Send>(
    items: &[T],
    workers: &dyn Workers,
    progress: &dyn Progress,
    work: impl Fn(&[T], &mut Scratch) -> Result<Vec<R>, Stopped> + Sync,
) -> Result<Vec<R>, Stopped> {
    let done = Mutex::new(Vec::new());
    let turns = items.chunks(QUERIES_PER_TURN).enumerate();
    let shared = share(
        turns,
        workers,
        progress,
        &Scratch::new,
        &|(turn, items), scratch| {
            // What is stopped was cancelled, and then no result counts.
            if let Ok(results) = work(items, scratch) {
                let mut done = done.lock().expect("nobody panics with it");
                done.push((turn, results));
            }
        },
    );
    shared.map_err(|Cancelled| Stopped)?;
    let mut done = done.into_inner().expect("nobody panics with it");
    done.sort_unstable_by_key(|&(turn, _)| turn);
    Ok(done.into_iter().flat_map(|(_, results)| results).collect())
}

fn exact<T: Component>(
    kernels: &Kernels<T>,
    vectors: &Vectors<T>,
    rows: &[u32],
    k: usize,
    counts: Counts<'_>,
    progress: &dyn Progress,
) -> Result<Vec<Vec<Hit>>, Stopped> {
    let (stride, base) = (vectors.stride(), vectors.as_slice());
    let vector = |row: u32| &base[row as usize * stride..][..stride];
    let queries: Vec<T> = rows.iter().flat_map(|&row| vector(row)).copied().collect();
    let tie = |a: u32, b: u32| -> Ordering { a.cmp(&b) };
    let mut tops: Vec<TopK> = rows.iter().map(|_| TopK::new(k)).collect();
    let mut distances = vec![0.0; rows.len() * TILE_ROWS];
    for (tile, base) in base.chunks(TILE_ROWS * stride).enumerate() {
        if progress.cancelled() {
            return Err(Stopped);
        }
        let count = base.len() / stride;
        let distances = &mut distances[..rows.len() * count];
        kernels.matrix(&queries, base, stride, distances);
        let first = (tile * TILE_ROWS) as u32;
        for ((top, &query), distances) in tops.iter_mut().zip(rows).zip(distances.chunks(count)) {
            for (row, &distance) in (first..).zip(distances) {
                if distance <= top.threshold() && counts(query, row) {
                    top.push(distance, row, tie);
                }
            }
        }
    }
    let finish = |top: &mut TopK| {
        let mut hits = Vec::new();
        top.finish(tie, &mut hits);
        hits
    };
    Ok(tops.iter_mut().map(finish).collect())
}
