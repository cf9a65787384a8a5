//! Rows in leaves of neighbours, each row in several.
//!
//! A set of rows is divided by leaders drawn from it: each row goes to its nearest ones, and what is still
//! too large is divided again. Rows on a border are in the leaves on either side of it, which is what
//! holds a graph made of leaves together. Which leaders a row is near to comes from matrix products, so
//! the cost of a comparison is a fraction of that of a walk.
//!
//! Source: Rubel & others, PiPNN (2026); the leaders of ParlayANN's HCNNG and of ball carving.

use std::sync::{Mutex, PoisonError};

use super::block::{Block, nearest};
use super::{Bulk, LEAF_ROWS, NONE, seed_of};
use crate::parallel::{Cancelled, share};

/// Leaders of one division, at most: their distances from a row stay in the first-level cache.
const LEADERS_MAX: usize = 1000;

/// Leaves that a row goes to on each level of division.
const FANS: [usize; 2] = [8, 2];

/// Divisions, after which leaves are cut without looking: rows that no leader tells apart.
const DEPTH_MAX: usize = 12;

/// Rows whose leaders are found together.
const CHUNK_ROWS: usize = 64;

/// A set of rows that may have to be divided.
struct Task {
    rows: Vec<u32>,
    depth: usize,
    seed: u64,
}

impl Bulk<'_> {
    /// Calls `leaf` with sets of at most [`LEAF_ROWS`] rows, from all workers.
    pub(super) fn leaves<S>(
        &self,
        rows: Vec<u32>,
        seed: u64,
        scratch: &(dyn Fn() -> S + Sync),
        leaf: &(dyn Fn(&[u32], &mut S) + Sync),
    ) -> Result<(), Cancelled> {
        let root = Task {
            rows,
            depth: 0,
            seed,
        };
        // The first division is shared by all workers, the others are tasks of one each.
        let tasks = self.divide(&root, true)?;
        let queue = Mutex::new(tasks);
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
        self.workers.run(&|worker| {
            let (mut scratch, mut own) = (scratch(), Vec::new());
            while !self.progress.cancelled() {
                if self.workers.gives_way(worker) && own.is_empty() {
                    continue;
                }
                let Some(task) = own.pop().or_else(next) else {
                    return;
                };
                if task.rows.len() <= LEAF_ROWS {
                    leaf(&task.rows, &mut scratch);
                } else if task.depth >= DEPTH_MAX {
                    for rows in task.rows.chunks(LEAF_ROWS) {
                        leaf(rows, &mut scratch);
                    }
                } else if let Ok(tasks) = self.divide(&task, false) {
                    own.extend(tasks);
                }
            }
        });
        if self.progress.cancelled() {
            Err(Cancelled)
        } else {
            Ok(())
        }
    }

    /// The parts of a set, by its leaders.
    fn divide(&self, task: &Task, together: bool) -> Result<Vec<Task>, Cancelled> {
        let count = task.rows.len();
        if count <= LEAF_ROWS {
            let (rows, depth, seed) = (task.rows.clone(), task.depth + 1, task.seed);
            return Ok(vec![Task { rows, depth, seed }]);
        }
        let fan = FANS.get(task.depth).copied().unwrap_or(1);
        let wanted = (2 * count * fan).div_ceil(LEAF_ROWS);
        let leaders = draw(&task.rows, wanted.clamp(2, LEADERS_MAX), task.seed);
        let fan = fan.min(leaders.len());
        let mut block = Block::default();
        let centre = self.mean(&leaders);
        block.fill(self.vectors, &leaders, &centre);
        let mut nearest_leaders = vec![NONE; count * fan];
        let find = |(rows, out): (&[u32], &mut [u32]), scratch: &mut (Block, Vec<f32>)| {
            let (chunk, products) = scratch;
            chunk.fill(self.vectors, rows, &centre);
            chunk.products(&self.products, 0..rows.len(), &block, 0, products);
            let mut keys = Vec::with_capacity(fan + 1);
            let all = products.chunks_exact(leaders.len());
            let all = all.zip(&chunk.squares);
            for ((products, &own), out) in all.zip(out.chunks_exact_mut(fan)) {
                nearest(
                    self.isa,
                    products,
                    &block.squares,
                    own,
                    f32::INFINITY,
                    fan,
                    usize::MAX,
                    &mut keys,
                );
                for (out, &key) in out.iter_mut().zip(&keys) {
                    *out = key as u32;
                }
            }
        };
        let chunks = task.rows.chunks(CHUNK_ROWS);
        let chunks = chunks.zip(nearest_leaders.chunks_mut(CHUNK_ROWS * fan));
        if together {
            share(
                chunks,
                self.workers,
                self.progress,
                &Default::default,
                &find,
            )?;
        } else {
            let mut scratch = Default::default();
            for chunk in chunks {
                if self.progress.cancelled() {
                    return Err(Cancelled);
                }
                find(chunk, &mut scratch);
            }
        }
        let mut parts = vec![Vec::new(); leaders.len()];
        for (row, nearest) in task.rows.iter().zip(nearest_leaders.chunks_exact(fan)) {
            // Where lengths overflow a row may have no nearest leader; it goes to the first one.
            let leaders = nearest.iter().filter(|&&leader| leader != NONE);
            let leaders = leaders.map(|&leader| leader as usize);
            if nearest[0] == NONE {
                parts[0].push(*row);
            }
            leaders.for_each(|leader| parts[leader].push(*row));
        }
        let depth = task.depth + 1;
        let tasks = (0u64..).zip(parts).filter(|(_, rows)| rows.len() > 1);
        Ok(tasks
            .map(|(at, rows)| Task {
                rows,
                depth,
                seed: seed_of(task.seed, at),
            })
            .collect())
    }
}

/// `count` of `rows`, or all, drawn without putting back.
pub(crate) fn draw(rows: &[u32], count: usize, seed: u64) -> Vec<u32> {
    let mut pool = rows.to_vec();
    let count = count.min(pool.len());
    for at in 0..count {
        let left = (pool.len() - at) as u64;
        pool.swap(at, at + (seed_of(seed, at as u64) % left) as usize);
    }
    pool.truncate(count);
    pool
}
