//! k-means: `k` points such that rows are near to one of them.
//!
//! Lloyd's iteration: each row goes to its nearest centroid, each centroid to the mean of its rows.
//! The assignment is nearly all of the cost and goes through the matrix-shaped distance kernels;
//! rows are taken in chunks whose distances to all centroids stay in the cache.
//!
//! *Seeds* are drawn by k-means++ (Arthur & Vassilvitskii 2007): each row with a probability in
//! proportion to its squared distance from the seeds so far, which bounds the expected error by
//! `8 (ln k + 2)` times the best.
//!
//! *An empty cluster* takes the row of the largest cluster that is farthest from its centroid.
//!
//! *Deterministic*: chunks do not depend on the number of threads, a mean is summed in the order of
//! its rows, and ties go to the lower number. The same seed gives the same bits with any number of
//! threads, on the same instruction set; distances of different ones differ in the last bits.

use std::sync::{Mutex, PoisonError};

use cairn_distance::{Kernels, Metric};

use crate::error::check_sample;
use crate::random::Random;
use crate::{ConfigError, Progress, TrainError, Workers};

/// Distances that a worker holds at a time: 256 KiB.
const CHUNK_DISTANCES: usize = 1 << 16;

/// Rows of a chunk, at most.
const CHUNK_ROWS: usize = 256;

/// Rows whose distance from a new seed is computed together.
const SEED_CHUNK_ROWS: usize = 1024;

/// How to cluster.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// Centroids wanted; at least 1 and at most the number of rows.
    pub centroids: usize,
    /// Rounds at most. Default 25. More: a little closer.
    pub iterations: usize,
    /// Ends when a round lowers the sum of squared distances by less than this share. Default
    /// `1e-4`.
    pub tolerance: f64,
    /// Decides the seeds.
    pub seed: u64,
}

impl Config {
    /// `centroids` with defaults for the rest.
    #[must_use]
    pub fn new(centroids: usize, seed: u64) -> Self {
        Self {
            centroids,
            iterations: 25,
            tolerance: 1e-4,
            seed,
        }
    }
}

/// Centroids, and what belongs to each.
#[derive(Clone, Debug, PartialEq)]
pub struct Clusters {
    /// `[centroids, dim]`, row by row.
    pub centroids: Vec<f32>,
    /// The nearest centroid of each row.
    pub assignment: Vec<u32>,
    /// The sum of the squared distances of rows from their centroids.
    pub inertia: f64,
    /// Rounds that it took.
    pub iterations: usize,
}

/// Clusters `rows`, `[count, dim]` row by row, by squared Euclidean distance.
///
/// # Errors
/// [`TrainError::Config`], [`TrainError::Shape`], [`TrainError::NotFinite`];
/// [`TrainError::TooFewRows`] if there are fewer rows than centroids; [`TrainError::Cancelled`].
///
/// # Examples
/// ```
/// use cairn_quantize::{SingleThread, kmeans};
///
/// let rows = [0.0, 0.2, 9.8, 10.0, 10.2];
/// let config = kmeans::Config::new(2, 1);
/// let clusters = kmeans::train(&rows, 1, &config, &SingleThread, &())?;
/// let mut centroids = clusters.centroids;
/// centroids.sort_by(f32::total_cmp);
/// assert!((centroids[0] - 0.1).abs() < 1e-6 && (centroids[1] - 10.0).abs() < 1e-6);
/// # Ok::<(), cairn_quantize::TrainError>(())
/// ```
pub fn train(
    rows: &[f32],
    dim: usize,
    config: &Config,
    workers: &dyn Workers,
    progress: &dyn Progress,
) -> Result<Clusters, TrainError> {
    let count = check_sample(rows, dim)?;
    let k = config.centroids;
    if k == 0 || u32::try_from(count).is_err() {
        return Err(ConfigError::Centroids { centroids: k }.into());
    }
    if count < k {
        return Err(TrainError::TooFewRows {
            rows: count,
            needed: k,
        });
    }
    let mut run = Run {
        rows,
        dim,
        k,
        kernels: Kernels::new(Metric::L2),
        workers,
        progress,
        assignment: vec![0; count],
        distances: vec![0.0; count],
    };
    let mut centroids = run.seeds(&mut Random::new(config.seed))?;
    let mut last = f64::INFINITY;
    let mut iterations = 0;
    loop {
        let changed = run.assign(&centroids)?;
        let inertia: f64 = run.distances.iter().map(|&x| f64::from(x)).sum();
        let gained = last - inertia > config.tolerance * last;
        let settled = iterations > 0 && !(changed && gained);
        // A row moved to an empty cluster asks for one more round.
        if iterations >= config.iterations || (!run.fill_empty() && settled) {
            return Ok(Clusters {
                centroids,
                assignment: run.assignment,
                inertia,
                iterations,
            });
        }
        run.update(&mut centroids)?;
        (last, iterations) = (inertia, iterations + 1);
    }
}

/// The nearest centroid of each row: its number and its squared distance.
///
/// # Errors
/// [`TrainError::Cancelled`].
///
/// # Panics
/// If `rows`, `centroids` or the outputs are not whole rows of `dim`, or there are no centroids.
pub fn assign(
    rows: &[f32],
    dim: usize,
    centroids: &[f32],
    workers: &dyn Workers,
    progress: &dyn Progress,
) -> Result<(Vec<u32>, Vec<f32>), TrainError> {
    assert!(rows.len().is_multiple_of(dim), "whole rows");
    assert!(
        !centroids.is_empty() && centroids.len().is_multiple_of(dim),
        "whole centroids"
    );
    let count = rows.len() / dim;
    let mut run = Run {
        rows,
        dim,
        k: centroids.len() / dim,
        kernels: Kernels::new(Metric::L2),
        workers,
        progress,
        assignment: vec![0; count],
        distances: vec![0.0; count],
    };
    run.assign(centroids)?;
    Ok((run.assignment, run.distances))
}

/// What all steps need.
struct Run<'a> {
    rows: &'a [f32],
    dim: usize,
    k: usize,
    kernels: Kernels<f32>,
    workers: &'a dyn Workers,
    progress: &'a dyn Progress,
    assignment: Vec<u32>,
    /// Squared distance of each row from its centroid, or from the nearest seed so far.
    distances: Vec<f32>,
}

impl Run<'_> {
    /// Rows that are seeds, by k-means++.
    fn seeds(&mut self, random: &mut Random) -> Result<Vec<f32>, TrainError> {
        let dim = self.dim;
        let row = |at: usize| &self.rows[at * dim..][..dim];
        let mut seeds = Vec::with_capacity(self.k * dim);
        seeds.extend_from_slice(row(random.below(self.distances.len())));
        self.distances.fill(f32::INFINITY);
        while seeds.len() < self.k * dim {
            let newest = &seeds[seeds.len() - dim..];
            let parts = self.rows.chunks(SEED_CHUNK_ROWS * dim);
            let parts = parts.zip(self.distances.chunks_mut(SEED_CHUNK_ROWS));
            share(
                parts,
                self.workers,
                self.progress,
                &|(rows, nearest), scratch| {
                    scratch.resize(nearest.len(), 0.0);
                    self.kernels.block(newest, rows, dim, scratch);
                    for (nearest, &distance) in nearest.iter_mut().zip(&*scratch) {
                        *nearest = nearest.min(distance);
                    }
                },
            )?;
            let next = draw(&self.distances, random);
            seeds.extend_from_slice(row(next));
        }
        Ok(seeds)
    }

    /// Finds the nearest centroid of every row; whether any row changed its own.
    fn assign(&mut self, centroids: &[f32]) -> Result<bool, TrainError> {
        let (dim, k) = (self.dim, self.k);
        let chunk_rows = (CHUNK_DISTANCES / k).clamp(4, CHUNK_ROWS);
        let changed = std::sync::atomic::AtomicBool::new(false);
        let rows = self.rows.chunks(chunk_rows * dim);
        let out = self.assignment.chunks_mut(chunk_rows);
        let parts = rows.zip(out.zip(self.distances.chunks_mut(chunk_rows)));
        let (kernels, progress) = (&self.kernels, self.progress);
        share(
            parts,
            self.workers,
            progress,
            &|(rows, (out, distances)), scratch| {
                scratch.resize(out.len() * k, 0.0);
                kernels.matrix(rows, centroids, dim, scratch);
                let rows = scratch.chunks_exact(k);
                for ((all, out), distance) in rows.zip(&mut *out).zip(distances) {
                    let nearest = nearest(all);
                    if *out != nearest {
                        *out = nearest;
                        changed.store(true, std::sync::atomic::Ordering::Relaxed);
                    }
                    *distance = all[nearest as usize];
                }
                progress.advance(out.len());
            },
        )?;
        Ok(changed.into_inner())
    }

    /// Gives each cluster without rows the farthest row of the largest; whether there was one.
    fn fill_empty(&mut self) -> bool {
        let mut sizes = vec![0usize; self.k];
        for &cluster in &self.assignment {
            sizes[cluster as usize] += 1;
        }
        let mut filled = false;
        for empty in 0..self.k {
            if sizes[empty] > 0 {
                continue;
            }
            let largest = (0..self.k)
                .rev()
                .max_by_key(|&cluster| sizes[cluster])
                .expect("there is a cluster");
            let members = (0..self.assignment.len())
                .rev()
                .filter(|&row| self.assignment[row] as usize == largest);
            let farthest = members
                .max_by(|&a, &b| self.distances[a].total_cmp(&self.distances[b]))
                .expect("the largest cluster has rows");
            self.assignment[farthest] = empty as u32;
            self.distances[farthest] = 0.0;
            sizes[largest] -= 1;
            sizes[empty] = 1;
            filled = true;
        }
        filled
    }

    /// Moves each centroid to the mean of its rows.
    fn update(&self, centroids: &mut [f32]) -> Result<(), TrainError> {
        let dim = self.dim;
        // Rows in the order of their clusters, by counting.
        let mut ends = vec![0usize; self.k + 1];
        for &cluster in &self.assignment {
            ends[cluster as usize + 1] += 1;
        }
        for at in 0..self.k {
            ends[at + 1] += ends[at];
        }
        let starts = ends.clone();
        let mut order = vec![0usize; self.assignment.len()];
        for (row, &cluster) in self.assignment.iter().enumerate() {
            let slot = &mut ends[cluster as usize];
            order[*slot] = row;
            *slot += 1;
        }
        let parts = centroids.chunks_exact_mut(dim).enumerate();
        share(
            parts,
            self.workers,
            self.progress,
            &|(cluster, centroid), _| {
                let members = &order[starts[cluster]..starts[cluster + 1]];
                if members.is_empty() {
                    return;
                }
                let mut sums = vec![0.0f64; dim];
                for &row in members {
                    for (sum, &x) in sums.iter_mut().zip(&self.rows[row * dim..][..dim]) {
                        *sum += f64::from(x);
                    }
                }
                for (x, sum) in centroid.iter_mut().zip(sums) {
                    *x = (sum / members.len() as f64) as f32;
                }
            },
        )
    }
}

/// The number of the smallest; the first of equals.
pub(crate) fn nearest(distances: &[f32]) -> u32 {
    let mut best = 0;
    for (at, &distance) in distances.iter().enumerate() {
        if distance < distances[best] {
            best = at;
        }
    }
    best as u32
}

/// A row, with probability in proportion to its weight; any row if no weight is of use.
fn draw(weights: &[f32], random: &mut Random) -> usize {
    let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
    if !(total > 0.0 && total.is_finite()) {
        return random.below(weights.len());
    }
    let mut left = random.unit() * total;
    let mut last = 0;
    for (at, &weight) in weights.iter().enumerate() {
        if weight > 0.0 {
            last = at;
            left -= f64::from(weight);
            if left < 0.0 {
                break;
            }
        }
    }
    last
}

/// Has every part worked on once, by whichever worker comes for it; each worker has a buffer.
fn share<T>(
    parts: impl Iterator<Item = T> + Send,
    workers: &dyn Workers,
    progress: &dyn Progress,
    work: &(dyn Fn(T, &mut Vec<f32>) + Sync),
) -> Result<(), TrainError> {
    let queue = Mutex::new(parts);
    workers.run(&|_| {
        let mut buffer = Vec::new();
        while !progress.cancelled() {
            // A worker that panicked took its part with it, and the panic goes on in `run`.
            let part = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(part) = part else { return };
            work(part, &mut buffer);
        }
    });
    if progress.cancelled() {
        Err(TrainError::Cancelled)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use cairn_distance::{Kernels, Metric};

    use super::Run;
    use crate::SingleThread;

    #[test]
    fn an_empty_cluster_takes_the_farthest_row_of_the_largest() {
        let rows = [0.0, 1.0, 5.0, 2.0, 9.0, 9.5];
        let mut run = Run {
            rows: &rows,
            dim: 1,
            k: 4,
            kernels: Kernels::new(Metric::L2),
            workers: &SingleThread,
            progress: &(),
            assignment: vec![1, 1, 1, 1, 3, 3],
            distances: vec![1.0, 0.0, 16.0, 1.0, 0.0, 0.25],
        };
        assert!(run.fill_empty());
        // The largest is cluster 1, with row 2 the farthest; then rows 0 and 3, of which the first.
        assert_eq!(run.assignment, [2, 1, 0, 1, 3, 3]);
        assert!(!run.fill_empty());

        let mut centroids = vec![0.0; 4];
        run.update(&mut centroids).expect("nobody stops it");
        assert_eq!(centroids, [5.0, 1.5, 0.0, 9.25]);
    }
}
