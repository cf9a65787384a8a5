//! Rows in lists of neighbours, each row in one.
//!
//! A set of rows is divided by k-means over a sample of it, and each part again, until parts are small: the cost
//! for each row is a few hundred distances however many rows there are. Parts follow each other so that near ones
//! are neighbours, which makes the order of the lists. What division cut apart is put right afterwards: each row
//! goes to the nearest of the centroids around its own, and centroids to the means of their rows, a few times.
//!
//! *Lists of hardly a row*, which outliers make, are given up: their rows go to the nearest list that is larger.
//! Otherwise centroids could take as much memory as rows.
//!
//! *Rows that no centroid tells apart*, such as thousands of equal ones, are cut as they come. No list is larger
//! than twice what it was made for.
//!
//! Memory, beyond the vectors: a few numbers for each row, and a sample of 8,192 rows for each worker.

use std::sync::{Mutex, PoisonError};

use cairn_distance::{Kernels, Metric};
use cairn_quantize::{TrainError, kmeans};

use crate::bulk::seed_of;
use crate::parallel::{Cancelled, share};
use crate::{Progress, SingleThread, Vectors, Workers};

/// Parts of one division, at most.
const FAN: usize = 128;

/// Rows of a sample for each centroid.
const SAMPLE_ROWS: usize = 64;

/// Rounds of k-means: a division is put right later.
const ITERATIONS: usize = 10;
const TOLERANCE: f64 = 1e-3;

/// Divisions, after which rows are cut without looking.
const DEPTH_MAX: usize = 12;

/// Times that rows go to the nearest centroid.
const ROUNDS: usize = 3;

/// Times that rows are told to `progress` in all: by the first division, and by each round.
pub(super) const PASSES: usize = 1 + ROUNDS;

/// A list with fewer rows than one in so many of those that it was made for is given up.
const LEAST: usize = 16;

/// Centroids around a list that its rows may go to, itself counted.
const AROUND: usize = 64;

/// Centroids on either side of a list, in the order of lists, that are looked at for those around it.
const WINDOW: usize = 16_384;

/// Rows whose centroids are found together.
const CHUNK_ROWS: usize = 64;

/// Lists of rows, and the mean of each.
pub(super) struct Lists {
    /// `[lists, dim]`, row by row.
    pub centroids: Vec<f32>,
    /// Rows of each list, rising; no list is empty.
    pub members: Vec<Vec<u32>>,
}

/// What all steps need.
pub(super) struct Partition<'a> {
    pub vectors: &'a Vectors,
    /// Rows that a list is made for, and rows that it may have.
    pub target: usize,
    pub most: usize,
    pub seed: u64,
    pub workers: &'a dyn Workers,
    pub progress: &'a dyn Progress,
}

/// Hears of the rows of the first division alone.
struct Quiet<'a>(&'a dyn Progress);

impl Progress for Quiet<'_> {
    fn advance(&self, _rows: usize) {}

    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
}

/// A division, and who works on it.
struct Division<'a> {
    depth: usize,
    seed: u64,
    workers: &'a dyn Workers,
    progress: &'a dyn Progress,
}

/// Working memory of one thread.
#[derive(Default)]
struct Work {
    rows: Vec<f32>,
    centroids: Vec<f32>,
    distances: Vec<f32>,
    order: Vec<u32>,
}

impl Partition<'_> {
    /// All rows in lists.
    pub(super) fn lists(&self) -> Result<Lists, Cancelled> {
        let all: Vec<u32> = (0..self.vectors.len() as u32).collect();
        let mut members = self.first(all)?;
        for _ in 0..ROUNDS {
            let centroids = self.means(&members)?;
            members = self.settle(&members, &centroids)?;
        }
        let mut bounded = Vec::with_capacity(members.len());
        let quiet = Quiet(self.progress);
        for (at, rows) in (0u64..).zip(members) {
            if rows.len() <= self.most {
                bounded.push(rows);
            } else {
                let division = Division {
                    depth: 0,
                    seed: seed_of(self.seed, !at),
                    workers: self.workers,
                    progress: &quiet,
                };
                self.split(rows, &division, &mut bounded)?;
            }
        }
        let centroids = self.means(&bounded)?;
        Ok(Lists {
            centroids,
            members: bounded,
        })
    }

    /// The first division by all workers, the parts of it by one each.
    fn first(&self, all: Vec<u32>) -> Result<Vec<Vec<u32>>, Cancelled> {
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let whole = Division {
            depth: 0,
            seed: self.seed,
            workers: self.workers,
            progress: self.progress,
        };
        let parts = match self.wanted(all.len()) {
            1 => vec![all],
            _ => self.divide(&all, &whole)?,
        };
        let done = Mutex::new(Vec::new());
        let quiet = Quiet(self.progress);
        share(
            (0u64..).zip(parts),
            self.workers,
            self.progress,
            &|| (),
            &|(at, rows), ()| {
                let division = Division {
                    depth: 1,
                    seed: seed_of(self.seed, at),
                    workers: &SingleThread,
                    progress: &quiet,
                };
                let mut lists = Vec::new();
                // What is cancelled counts for nothing.
                if self.split(rows, &division, &mut lists).is_ok() {
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    done.push((at, lists));
                }
            },
        )?;
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_unstable_by_key(|&(at, _)| at);
        Ok(done.into_iter().flat_map(|(_, lists)| lists).collect())
    }

    /// Lists that so many rows should be in.
    fn wanted(&self, rows: usize) -> usize {
        ((rows + self.target / 2) / self.target).max(1)
    }

    /// Adds the lists of `rows`, in their order, to `lists`.
    fn split(
        &self,
        rows: Vec<u32>,
        division: &Division<'_>,
        lists: &mut Vec<Vec<u32>>,
    ) -> Result<(), Cancelled> {
        if self.wanted(rows.len()) == 1 {
            lists.push(rows);
            return Ok(());
        }
        let parts = if division.depth < DEPTH_MAX {
            self.divide(&rows, division)?
        } else {
            Vec::new()
        };
        if parts.len() < 2 {
            lists.extend(rows.chunks(self.target).map(<[u32]>::to_vec));
            return Ok(());
        }
        for (at, part) in (0u64..).zip(parts) {
            let next = Division {
                depth: division.depth + 1,
                seed: seed_of(division.seed, at),
                ..*division
            };
            self.split(part, &next, lists)?;
        }
        Ok(())
    }

    /// The parts of `rows`, none empty, near ones beside each other. Only one if nothing tells rows apart.
    fn divide(&self, rows: &[u32], division: &Division<'_>) -> Result<Vec<Vec<u32>>, Cancelled> {
        let quiet = Quiet(self.progress);
        let fan = fan(self.wanted(rows.len()));
        let sample = self.sample(rows, fan * SAMPLE_ROWS, division.seed);
        let dim = self.vectors.dim();
        let config = kmeans::Config {
            centroids: fan.min(sample.len() / dim),
            iterations: ITERATIONS,
            tolerance: TOLERANCE,
            seed: division.seed,
        };
        let learnt = kmeans::train(&sample, dim, &config, division.workers, &quiet);
        drop(sample);
        let centroids = match learnt {
            Ok(clusters) => chained(&clusters.centroids, dim),
            Err(TrainError::Cancelled) => return Err(Cancelled),
            // No row of the sample has a length.
            Err(_) => return Ok(vec![rows.to_vec()]),
        };
        let mut places = vec![0u32; rows.len()];
        let chunks = rows.chunks(CHUNK_ROWS).zip(places.chunks_mut(CHUNK_ROWS));
        let kernels = Kernels::new(Metric::L2);
        share(
            chunks,
            division.workers,
            self.progress,
            &Work::default,
            &|(rows, places), work| {
                self.gather(rows, &mut work.rows);
                nearest(
                    &kernels,
                    &work.rows,
                    &centroids,
                    dim,
                    &mut work.distances,
                    places,
                );
                division.progress.advance(rows.len());
            },
        )?;
        let mut parts = vec![Vec::new(); centroids.len() / dim];
        for (&row, &place) in rows.iter().zip(&places) {
            parts[place as usize].push(row);
        }
        parts.retain(|part| !part.is_empty());
        Ok(parts)
    }

    /// Up to `count` of `rows`, one of each stretch of them, as far as they are finite: `[sample, dim]`.
    fn sample(&self, rows: &[u32], count: usize, seed: u64) -> Vec<f32> {
        let count = count.min(rows.len());
        let dim = self.vectors.dim();
        let mut sample = vec![0.0; count * dim];
        let mut kept = 0;
        for at in 0..count {
            let (start, end) = (at * rows.len() / count, (at + 1) * rows.len() / count);
            let drawn = start + (seed_of(seed, at as u64) % (end - start) as u64) as usize;
            let slot = &mut sample[kept * dim..][..dim];
            self.vectors.read_prepared(rows[drawn], slot);
            kept += usize::from(slot.iter().all(|x| x.is_finite()));
        }
        sample.truncate(kept * dim);
        sample
    }

    /// Replaces `out` by `rows` as distances see them.
    fn gather(&self, rows: &[u32], out: &mut Vec<f32>) {
        let dim = self.vectors.dim();
        out.resize(rows.len() * dim, 0.0);
        for (&row, slot) in rows.iter().zip(out.chunks_exact_mut(dim)) {
            self.vectors.read_prepared(row, slot);
        }
    }

    /// The mean of each list: `[lists, dim]`.
    fn means(&self, lists: &[Vec<u32>]) -> Result<Vec<f32>, Cancelled> {
        let dim = self.vectors.dim();
        let mut means = vec![0.0f32; lists.len() * dim];
        share(
            lists.iter().zip(means.chunks_exact_mut(dim)),
            self.workers,
            self.progress,
            &|| (vec![0.0f32; dim], vec![0.0f64; dim]),
            &|(rows, mean), (row_of, sums)| {
                sums.fill(0.0);
                for &row in rows {
                    self.vectors.read_prepared(row, row_of);
                    for (sum, &x) in sums.iter_mut().zip(&*row_of) {
                        *sum += f64::from(x);
                    }
                }
                for (x, sum) in mean.iter_mut().zip(sums) {
                    let whole = (*sum / rows.len() as f64) as f32;
                    // Of rows that are no numbers there is no mean, and a centroid has to be one.
                    *x = if whole.is_finite() { whole } else { 0.0 };
                }
            },
        )?;
        Ok(means)
    }

    /// Moves each row to the nearest of the centroids around its own.
    fn settle(&self, lists: &[Vec<u32>], centroids: &[f32]) -> Result<Vec<Vec<u32>>, Cancelled> {
        let mut places = vec![0u32; self.vectors.len()];
        let mut rest = &mut places[..];
        let parts = lists.iter().enumerate().map(move |(at, rows)| {
            let (part, later) = std::mem::take(&mut rest).split_at_mut(rows.len());
            rest = later;
            (at, rows, part)
        });
        let kernels = Kernels::new(Metric::L2);
        let dim = self.vectors.dim();
        let stays = |list: usize| lists[list].len() >= self.target / LEAST;
        share(
            parts,
            self.workers,
            self.progress,
            &Work::default,
            &|(at, rows, places), work| {
                around(&kernels, at, centroids, dim, stays, work);
                let chunks = rows.chunks(CHUNK_ROWS).zip(places.chunks_mut(CHUNK_ROWS));
                for (rows, places) in chunks {
                    self.gather(rows, &mut work.rows);
                    let distances = &mut work.distances;
                    nearest(
                        &kernels,
                        &work.rows,
                        &work.centroids,
                        dim,
                        distances,
                        places,
                    );
                    for place in places {
                        *place = work.order[*place as usize];
                    }
                }
                self.progress.advance(rows.len());
            },
        )?;
        let mut settled = vec![Vec::new(); lists.len()];
        for (&row, &place) in lists.iter().flatten().zip(&places) {
            settled[place as usize].push(row);
        }
        settled.retain(|rows| !rows.is_empty());
        settled.iter_mut().for_each(|rows| rows.sort_unstable());
        Ok(settled)
    }
}

/// Leaves in `work.order` the lists around list `at`, itself first, and their centroids in `work.centroids`, as far as
/// they `stay`; if none does, only itself.
fn around(
    kernels: &Kernels<f32>,
    at: usize,
    centroids: &[f32],
    dim: usize,
    stays: impl Fn(usize) -> bool,
    work: &mut Work,
) {
    let lists = centroids.len() / dim;
    let window = at.saturating_sub(WINDOW)..(at + WINDOW).min(lists);
    let (own, base) = (
        &centroids[at * dim..][..dim],
        &centroids[window.start * dim..],
    );
    work.distances.resize(window.len(), 0.0);
    kernels.block(own, base, dim, &mut work.distances);
    work.order.clear();
    let places = 0..window.len() as u32;
    let (first, own_place) = (window.start, (at - window.start) as u32);
    work.order
        .extend(places.filter(|&place| stays(first + place as usize)));
    if work.order.is_empty() {
        work.order.push(own_place);
    }
    let distances = &work.distances;
    // Itself first, so that a row which is as near to another stays.
    let key = |&place: &u32| (place != own_place, distances[place as usize]);
    let order = |a: &u32, b: &u32| {
        let ((a_other, a_far), (b_other, b_far)) = (key(a), key(b));
        a_other
            .cmp(&b_other)
            .then(a_far.total_cmp(&b_far))
            .then(a.cmp(b))
    };
    if work.order.len() > AROUND {
        work.order.select_nth_unstable_by(AROUND - 1, order);
        work.order.truncate(AROUND);
    }
    work.order.sort_unstable_by(order);
    work.centroids.clear();
    for place in &mut work.order {
        *place += window.start as u32;
        let centroid = &centroids[*place as usize * dim..][..dim];
        work.centroids.extend_from_slice(centroid);
    }
}

/// The place of the nearest centroid of each row, the first of equals.
fn nearest(
    kernels: &Kernels<f32>,
    rows: &[f32],
    centroids: &[f32],
    dim: usize,
    distances: &mut Vec<f32>,
    places: &mut [u32],
) {
    let count = centroids.len() / dim;
    distances.resize(places.len() * count, 0.0);
    kernels.matrix(rows, centroids, dim, distances);
    for (place, distances) in places.iter_mut().zip(distances.chunks_exact(count)) {
        let mut best = 0;
        for (at, &distance) in distances.iter().enumerate() {
            if distance < distances[best] {
                best = at;
            }
        }
        *place = best as u32;
    }
}

/// Parts of a division of which so many lists are wanted: all of them, or so few that as many steps of equal size
/// lead there as are needed.
fn fan(wanted: usize) -> usize {
    let mut steps = 1;
    while FAN.saturating_pow(steps) < wanted {
        steps += 1;
    }
    let fan = (wanted as f64).powf(1.0 / f64::from(steps)).ceil();
    (fan as usize).clamp(2, FAN)
}

/// The centroids in another order: each is followed by the nearest of those that are left.
fn chained(centroids: &[f32], dim: usize) -> Vec<f32> {
    let kernels = Kernels::<f32>::new(Metric::L2);
    let mut left: Vec<&[f32]> = centroids.chunks_exact(dim).collect();
    let mut chain = Vec::with_capacity(centroids.len());
    let mut last = left[0];
    while !left.is_empty() {
        let mut best = (0, f32::INFINITY);
        for (at, centroid) in left.iter().enumerate() {
            let distance = kernels.one(last, centroid);
            if distance < best.1 {
                best = (at, distance);
            }
        }
        last = left.remove(best.0);
        chain.extend_from_slice(last);
    }
    chain
}
