//! Lists of neighbours for many rows at once.
//!
//! An insert finds its neighbours by a walk, hop by hop, and each hop waits for memory. Here rows come
//! together in leaves of a few hundred (`partition.rs`), whose distances are one product of matrices;
//! each row keeps the nearest it met in any of its leaves (`reservoir.rs`), and lists are pruned from
//! these (`prune.rs`). That is an order of magnitude fewer nanoseconds for each distance. What leaves cut
//! apart a walk over the finished graph finds again: see `qg/build.rs`.
//!
//! Every step gives the same result with any number of threads.

mod block;
mod partition;
mod prune;
mod reservoir;

use std::sync::atomic::{AtomicUsize, Ordering};

use cairn_distance::{Kernels, Metric};
use cairn_quantize::Isa;

use crate::parallel::{Cancelled, share};
use crate::{Hit, Progress, Vectors, Workers};
use block::{Block, nearest};
pub(crate) use partition::draw;
pub(crate) use prune::select;
use reservoir::{Reservoirs, hit, key};

/// No row.
pub(crate) const NONE: u32 = u32::MAX;

/// Rows of a leaf at most: their vectors stay in the second-level cache, at least for short ones.
const LEAF_ROWS: usize = 512;

/// Neighbours that a row takes from a leaf.
const LEAF_NEAREST: usize = 12;

/// Candidates that a row keeps.
const CANDIDATES: usize = 64;

/// Leaves that a row is in, more or less.
const ROW_LEAVES: usize = 16;

/// One of so many rows is also compared with a sample of them, one of so many of these with a smaller one,
/// and so on: links as long as those of upper layers of HNSW, without which nothing leads from one
/// cluster to another.
const SCALE: u64 = 16;

/// Candidates of a list that links back are added to, at most.
const MERGED_MAX: usize = 96;

/// Rows of a leaf whose candidates are asked for ahead of their turn.
const SLOTS_AHEAD: usize = 2;

/// Rows that a worker takes at a time.
const CHUNK_ROWS: usize = 128;

/// What the steps of a build share.
pub(crate) struct Bulk<'a> {
    vectors: &'a Vectors,
    /// Squared distances: for rows of unit length they order as cosine does.
    kernels: Kernels<f32>,
    products: Kernels<f32>,
    isa: Isa,
    workers: &'a dyn Workers,
    progress: &'a dyn Progress,
}

/// Up to `degree` neighbours of each row.
pub(crate) struct Lists {
    pub(crate) degree: usize,
    /// `degree` rows for each, the last ones [`NONE`] if they are fewer.
    ids: Vec<u32>,
    /// The squared distance of each.
    distances: Vec<f32>,
    /// How many of them, at the front, point in directions of their own.
    diverse: Vec<u16>,
}

/// Rows that a list is chosen from. They may repeat, and name the row of the list itself.
#[derive(Default)]
pub(crate) struct Candidates {
    /// With their squared distances.
    pub(crate) known: Vec<Hit>,
    /// Still to be measured.
    pub(crate) unmeasured: Vec<u32>,
}

impl Lists {
    pub(crate) fn new(rows: usize, degree: usize) -> Self {
        Self {
            degree,
            ids: vec![NONE; rows * degree],
            distances: vec![0.0; rows * degree],
            diverse: vec![0; rows],
        }
    }

    /// The neighbours of a row.
    pub(crate) fn of(&self, row: u32) -> &[u32] {
        let list = self.slots(row);
        let end = list.iter().position(|&id| id == NONE);
        &list[..end.unwrap_or(self.degree)]
    }

    /// The neighbours of a row with their distances, as they were chosen.
    pub(crate) fn hits(&self, row: u32) -> impl Iterator<Item = Hit> + '_ {
        let distances = &self.distances[row as usize * self.degree..];
        let rows = self.of(row).iter().zip(distances);
        rows.map(|(&row, &distance)| Hit { distance, row })
    }

    /// The neighbours of a row that point in directions of their own.
    fn diverse(&self, row: u32) -> impl Iterator<Item = Hit> + '_ {
        self.hits(row).take(usize::from(self.diverse[row as usize]))
    }

    /// The places of a row, [`NONE`] where there is no neighbour.
    pub(crate) fn slots(&self, row: u32) -> &[u32] {
        &self.ids[row as usize * self.degree..][..self.degree]
    }

    pub(crate) fn slots_mut(&mut self, row: u32) -> &mut [u32] {
        &mut self.ids[row as usize * self.degree..][..self.degree]
    }
}

/// Working memory of one thread.
#[derive(Default)]
struct Work {
    candidates: Candidates,
    distances: Vec<f32>,
    keys: Vec<u64>,
    kept: Vec<Hit>,
    pruned: Vec<Hit>,
}

impl<'a> Bulk<'a> {
    pub(crate) fn new(
        vectors: &'a Vectors,
        workers: &'a dyn Workers,
        progress: &'a dyn Progress,
    ) -> Self {
        Self {
            vectors,
            kernels: Kernels::new(Metric::L2),
            products: Kernels::new(Metric::Dot),
            isa: Isa::active(),
            workers,
            progress,
        }
    }

    /// Lists of near rows, from leaves alone, for each of `rows`, which are in order.
    pub(crate) fn lists(&self, rows: &[u32], degree: usize, seed: u64) -> Result<Lists, Cancelled> {
        let told = AtomicUsize::new(0);
        let all = self.vectors.len();
        // Every row is in so many leaves, more or less; what is missing in the end is told then.
        let tell = |rows: usize| {
            let before = told.fetch_add(rows, Ordering::Relaxed).min(all);
            self.progress.advance((before + rows).min(all) - before);
        };
        let near = self.nearest_of(rows, CANDIDATES, seed, &|leaf| tell(leaf / ROW_LEAVES))?;
        tell(all);
        let mut scales = Vec::new();
        let mut sample = rows.to_vec();
        for scale in 1.. {
            let seed = seed_of(seed, scale);
            sample.retain(|&row| seed_of(seed, u64::from(row)).is_multiple_of(SCALE));
            if sample.len() < 2 {
                break;
            }
            let far = self.nearest_of(&sample, LEAF_NEAREST, seed, &|_| ())?;
            scales.push((sample.clone(), far));
        }
        self.fill_lists(degree, &|| (), &|row, (), candidates| {
            if let Ok(slot) = rows.binary_search(&row) {
                near.read(slot, &mut candidates.known);
            }
            for (sample, far) in &scales {
                let Ok(slot) = sample.binary_search(&row) else {
                    return;
                };
                far.read(slot, &mut candidates.known);
            }
        })
    }

    /// The `room` nearest of each of `rows` among them, as far as leaves show.
    fn nearest_of(
        &self,
        rows: &[u32],
        room: usize,
        seed: u64,
        tell: &(dyn Fn(usize) + Sync),
    ) -> Result<Reservoirs, Cancelled> {
        let reservoirs = Reservoirs::new(rows.len(), room);
        let mut slots = vec![NONE; self.vectors.len()];
        for (slot, &row) in (0..).zip(rows) {
            slots[row as usize] = slot;
        }
        self.leaves(rows.to_vec(), seed, &Leaf::default, &|rows, leaf| {
            leaf.slots.clear();
            let slots = rows.iter().map(|&row| slots[row as usize] as usize);
            leaf.slots.extend(slots);
            self.compare(rows, leaf, &reservoirs);
            tell(rows.len());
        })?;
        Ok(reservoirs)
    }

    /// Lists with the links back as candidates.
    pub(crate) fn with_links_back(&self, lists: &Lists) -> Result<Lists, Cancelled> {
        let (starts, sources) = back(lists);
        self.fill_lists(lists.degree, &|| (), &|row, (), candidates| {
            let [start, end] = [row as usize, row as usize + 1].map(|at| starts[at] as usize);
            candidates.known.extend(lists.hits(row));
            candidates.known.extend(&sources[start..end]);
        })
    }

    /// Lists from the candidates that `find` gives for each row.
    pub(crate) fn fill_lists<S>(
        &self,
        degree: usize,
        scratch: &(dyn Fn() -> S + Sync),
        find: &(dyn Fn(u32, &mut S, &mut Candidates) + Sync),
    ) -> Result<Lists, Cancelled> {
        let rows = self.vectors.len();
        let mut lists = Lists::new(rows, degree);
        let ids = lists.ids.chunks_mut(CHUNK_ROWS * degree);
        let distances = lists.distances.chunks_mut(CHUNK_ROWS * degree);
        let parts = ids.zip(distances).zip(lists.diverse.chunks_mut(CHUNK_ROWS));
        let parts = parts.enumerate();
        share(
            parts,
            self.workers,
            self.progress,
            &|| (scratch(), Work::default()),
            &|(part, ((ids, distances), diverse)), (scratch, work)| {
                let first = (part * CHUNK_ROWS) as u32;
                let count = diverse.len();
                let lists = ids.chunks_exact_mut(degree);
                let lists = lists.zip(distances.chunks_exact_mut(degree)).zip(diverse);
                for (row, ((ids, distances), diverse)) in (first..).zip(lists) {
                    find(row, scratch, &mut work.candidates);
                    *diverse = self.choose(row, work, degree) as u16;
                    for ((hit, id), distance) in work.kept.iter().zip(ids).zip(distances) {
                        (*id, *distance) = (hit.row, hit.distance);
                    }
                }
                self.progress.advance(count);
            },
        )?;
        Ok(lists)
    }

    /// Moves the neighbours chosen among the candidates to `work.kept`; how many are diverse.
    fn choose(&self, row: u32, work: &mut Work, room: usize) -> usize {
        let Work {
            candidates: Candidates { known, unmeasured },
            distances,
            keys,
            kept,
            pruned,
        } = work;
        distances.resize(unmeasured.len(), 0.0);
        let (query, stride) = (self.vectors.padded_row(row), self.vectors.stride());
        let all = self.vectors.as_slice();
        self.kernels.many(query, all, stride, unmeasured, distances);
        let measured = unmeasured.drain(..).zip(&*distances);
        known.extend(measured.map(|(row, &distance)| Hit { distance, row }));
        // As numbers they are sorted in a third of the time. What is known of a row from several places
        // may differ in the last bits.
        keys.clear();
        let others = known.drain(..).filter(|candidate| candidate.row != row);
        keys.extend(others.map(|hit| key(hit.distance, hit.row).rotate_left(32)));
        keys.sort_unstable();
        keys.dedup_by_key(|key| *key >> 32);
        keys.iter_mut().for_each(|key| *key = key.rotate_left(32));
        keys.sort_unstable();
        keys.truncate(MERGED_MAX);
        known.extend(keys.iter().map(|&key| hit(key)));
        let diverse = select(&self.kernels, self.vectors, known, room, kept, pruned);
        known.clear();
        diverse
    }

    /// Compares all rows of a leaf with each other, and offers each its nearest.
    fn compare(&self, rows: &[u32], leaf: &mut Leaf, reservoirs: &Reservoirs) {
        let Leaf {
            slots,
            block,
            products,
            strip,
            keys,
        } = leaf;
        let centre = self.mean(&rows[..rows.len().min(64)]);
        block.fill(self.vectors, rows, &centre);
        block.products_of_all(&self.products, strip, products);
        for (at, products) in products.chunks_exact(rows.len().max(1)).enumerate() {
            if let Some(&later) = slots.get(at + SLOTS_AHEAD) {
                reservoirs.ask_for(later);
            }
            // Most of a leaf is farther than what other leaves had.
            let bound = reservoirs.bound(slots[at]);
            let own = block.squares[at];
            let squares = &block.squares;
            nearest(
                self.isa,
                products,
                squares,
                own,
                bound,
                LEAF_NEAREST,
                at,
                keys,
            );
            for key in &mut *keys {
                *key = *key >> 32 << 32 | u64::from(rows[*key as u32 as usize]);
            }
            reservoirs.offer(slots[at], keys);
        }
    }

    /// The mean of some rows.
    pub(crate) fn mean(&self, rows: &[u32]) -> Vec<f32> {
        let mut sums = vec![0.0f64; self.vectors.dim()];
        for &row in rows {
            for (sum, &x) in sums.iter_mut().zip(self.vectors.row(row)) {
                *sum += f64::from(x);
            }
        }
        let count = rows.len().max(1) as f64;
        sums.iter().map(|sum| (sum / count) as f32).collect()
    }
}

/// Working memory of comparisons.
#[derive(Default)]
struct Leaf {
    /// Where each row has its candidates.
    slots: Vec<usize>,
    block: Block,
    products: Vec<f32>,
    strip: Vec<f32>,
    keys: Vec<u64>,
}

/// Where the diverse links to each row come from: the sources of row `r` stand at
/// `starts[r]..starts[r + 1]`, as far from it as it is from them.
fn back(lists: &Lists) -> (Vec<u32>, Vec<Hit>) {
    let rows = lists.diverse.len();
    let mut starts = vec![0u32; rows + 1];
    for row in 0..rows as u32 {
        for to in lists.diverse(row) {
            starts[to.row as usize + 1] += 1;
        }
    }
    for row in 0..rows {
        starts[row + 1] += starts[row];
    }
    let nowhere = Hit {
        distance: 0.0,
        row: NONE,
    };
    let mut sources = vec![nowhere; starts[rows] as usize];
    let mut ends = starts.clone();
    for row in 0..rows as u32 {
        for Hit { distance, row: to } in lists.diverse(row) {
            let end = &mut ends[to as usize];
            sources[*end as usize] = Hit { distance, row };
            *end += 1;
        }
    }
    (starts, sources)
}

/// A seed for each number, that has nothing to do with those of others.
pub(crate) fn seed_of(seed: u64, at: u64) -> u64 {
    crate::hnsw::mix(seed ^ crate::hnsw::mix(at.wrapping_add(1)))
}
