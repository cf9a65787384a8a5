//! All rows at once, by many threads.

use std::sync::{Mutex, PoisonError};

use cairn_distance::{Kernels, Metric};
use cairn_quantize::Isa;
use cairn_quantize::fastscan::ROWS;

use super::reach::connect;
use super::record::{Layout, Rotated, write};
use super::twins::Twins;
use super::{Config, ConfigError, QuantisedGraph};
use crate::arena::Arena;
use crate::bulk::{Bulk, Lists, draw, seed_of};
use crate::hnsw::ROWS_MAX;
use crate::parallel::{Cancelled, Steps, share};
use crate::{Progress, Query, Scratch, Vectors, Workers};

/// Rows that a worker takes at a time.
const CHUNK_ROWS: usize = 64;

/// Rows that the centre is the mean of, at most.
const CENTRE_ROWS: usize = 10_000;

/// Entries for each root of the number of rows: more entries, fewer hops to get near.
const ENTRIES_PER_ROOT: f64 = 1.5;
const ENTRIES_MAX: usize = 1_024;

/// Every row is searched for in the end, as a careless user would.
const FIND_K: usize = 10;
const FIND_EF: usize = 30;

/// Rows that entries are chosen from, at most.
const ENTRY_ROWS: usize = 4_096;

/// Why there is no graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// [`Progress::cancelled`] said so.
    #[error("the build was cancelled")]
    Cancelled,
    /// A parameter is outside its range, or the metric is not one of a quantised graph.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl From<Cancelled> for BuildError {
    fn from(Cancelled: Cancelled) -> Self {
        Self::Cancelled
    }
}

impl QuantisedGraph {
    /// Builds the graph over every row of `vectors`.
    ///
    /// The result depends on the arguments alone, not on the number of threads; across instruction
    /// sets, whose distances differ in the last bits, it may differ.
    /// Memory, beyond vectors and graph: about 1 KiB for each row, and a rotated copy of the vectors.
    ///
    /// # Errors
    /// [`BuildError::Cancelled`] if `progress` said so; [`BuildError::Config`] if a parameter is
    /// outside its range, or the metric is neither `l2` nor `cosine`.
    ///
    /// # Panics
    /// If there are more than 2^31 - 2 rows.
    pub fn build(
        vectors: &Vectors,
        metric: Metric,
        config: &Config,
        workers: &dyn Workers,
        progress: &dyn Progress,
    ) -> Result<Self, BuildError> {
        assert!(
            vectors.len() <= ROWS_MAX,
            "a graph holds at most 2^31 - 2 rows"
        );
        let refined = config.ef_construction > 0;
        let steps = Steps::new(progress, if refined { 9 } else { 6 });
        let bulk = Bulk::new(vectors, workers, &steps);
        let twins = Twins::find(vectors);
        let nodes: Vec<u32> = (0..vectors.len() as u32)
            .filter(|&row| !twins.contains(row))
            .collect();
        let sample = draw(&nodes, CENTRE_ROWS, seed_of(config.seed, 0));
        let centre = bulk.mean(&sample);
        let mut graph = Self::without_records(centre, vectors.len(), metric, config)?;
        let bytes = graph.layout.record_bytes().checked_mul(vectors.len());
        graph.records = Arena::new(bytes.expect("records fit the address space"));
        graph.twins = twins;
        let build = Build {
            vectors,
            workers,
            progress: &steps,
            rotated: graph.rotated(vectors, workers, &steps)?,
        };
        let lists = bulk.lists(&nodes, config.degree, config.seed)?;
        let mut lists = bulk.with_links_back(&lists)?;
        let entries = entries(vectors, &nodes, seed_of(config.seed, 1));
        build.write_root(&mut graph, &entries);
        if refined {
            build.write_records(&mut graph, &lists)?;
            lists = build.refine(&graph, &bulk, &lists)?;
            lists = bulk.with_links_back(&lists)?;
        }
        let tree = connect(&graph, vectors, &entries, &nodes, &mut lists);
        build.write_records(&mut graph, &lists)?;
        for (row, near) in build.lost(&graph)? {
            if !lists.of(near[0]).contains(&row)
                && let Some(from) = tree.link(near, row, &mut lists)
            {
                build.write_record(&mut graph, from, &lists);
            }
        }
        Ok(graph)
    }

    /// Every row as codes see it.
    fn rotated(
        &self,
        vectors: &Vectors,
        workers: &dyn Workers,
        progress: &dyn Progress,
    ) -> Result<Rotated, Cancelled> {
        let mut rotated = Rotated::new(vectors.len(), &self.rotation);
        let padded_dim = self.rotation.padded_dim();
        let parts = rotated.all_mut().chunks_mut(CHUNK_ROWS * padded_dim);
        share(
            parts.enumerate(),
            workers,
            progress,
            &Vec::new,
            &|(part, rows), buffer| {
                let first = (part * CHUNK_ROWS) as u32;
                progress.advance(rows.len() / padded_dim);
                for (row, slot) in (first..).zip(rows.chunks_exact_mut(padded_dim)) {
                    self.rotate(vectors.row(row), buffer);
                    slot.copy_from_slice(buffer);
                }
            },
        )?;
        Ok(rotated)
    }
}

/// Rows for searches to begin with: the first by chance, each further one with a probability in proportion
/// to its squared distance from those there are, so that clusters far from all others have theirs.
///
/// Source: Arthur & Vassilvitskii, k-means++, 2007.
fn entries(vectors: &Vectors, nodes: &[u32], seed: u64) -> Vec<u32> {
    let pool = draw(nodes, ENTRY_ROWS, seed);
    let wanted = (ENTRIES_PER_ROOT * (nodes.len() as f64).sqrt()) as usize;
    let wanted = wanted.next_multiple_of(ROWS).clamp(ROWS, ENTRIES_MAX);
    if pool.len() <= wanted {
        return pool;
    }
    let kernels = Kernels::<f32>::new(Metric::L2);
    let (all, stride) = (vectors.as_slice(), vectors.stride());
    let mut distances = vec![0.0; pool.len()];
    let mut nearest = vec![f32::MAX; pool.len()];
    let mut entries = vec![pool[0]];
    while entries.len() < wanted {
        let newest = vectors.padded_row(entries[entries.len() - 1]);
        kernels.many(newest, all, stride, &pool, &mut distances);
        for (nearest, &distance) in nearest.iter_mut().zip(&distances) {
            *nearest = nearest.min(distance);
        }
        let total: f64 = nearest.iter().map(|&x| f64::from(x)).sum();
        let chance = seed_of(seed, entries.len() as u64) as f64 / u64::MAX as f64;
        let mut left = chance * total;
        let drawn = nearest.iter().position(|&x| {
            left -= f64::from(x);
            left < 0.0 && x > 0.0
        });
        // Rounding may leave none, and so may distances that underflow.
        let farthest = || (0..pool.len()).max_by(|&a, &b| nearest[a].total_cmp(&nearest[b]));
        match drawn.or_else(farthest) {
            Some(at) if nearest[at] > 0.0 => entries.push(pool[at]),
            _ => break,
        }
    }
    entries
}

/// What the last steps share.
struct Build<'a> {
    vectors: &'a Vectors,
    workers: &'a dyn Workers,
    progress: &'a dyn Progress,
    rotated: Rotated,
}

impl Build<'_> {
    /// Writes the blocks that every search begins with.
    fn write_root(&self, graph: &mut QuantisedGraph, entries: &[u32]) {
        let layout = graph.layout;
        let centre = vec![0.0; graph.rotation.padded_dim()];
        graph.root = Arena::new(entries.len().div_ceil(ROWS) * layout.block_bytes());
        let blocks = graph
            .root
            .bytes_mut()
            .chunks_exact_mut(layout.block_bytes());
        let mut words = Vec::new();
        for (block, ids) in blocks.zip(entries.chunks(ROWS)) {
            write(
                layout,
                graph.isa,
                &self.rotated,
                &centre,
                ids,
                &mut words,
                block,
            );
        }
    }

    /// Writes the record of every node.
    fn write_records(&self, graph: &mut QuantisedGraph, lists: &Lists) -> Result<(), Cancelled> {
        let (layout, isa): (Layout, _) = (graph.layout, graph.isa);
        let twins = &graph.twins;
        let record_bytes = layout.record_bytes();
        let parts = graph
            .records
            .bytes_mut()
            .chunks_mut(CHUNK_ROWS * record_bytes);
        share(
            parts.enumerate(),
            self.workers,
            self.progress,
            &Vec::new,
            &|(part, records), words| {
                let first = (part * CHUNK_ROWS) as u32;
                let rows = records.len() / record_bytes;
                for (row, record) in (first..).zip(records.chunks_exact_mut(record_bytes)) {
                    if !twins.contains(row) {
                        self.encode(layout, isa, row, lists, words, record);
                    }
                }
                self.progress.advance(rows);
            },
        )
    }

    /// Writes the record of one node again.
    fn write_record(&self, graph: &mut QuantisedGraph, row: u32, lists: &Lists) {
        let (layout, isa) = (graph.layout, graph.isa);
        let start = row as usize * layout.record_bytes();
        let record = &mut graph.records.bytes_mut()[start..][..layout.record_bytes()];
        self.encode(layout, isa, row, lists, &mut Vec::new(), record);
    }

    fn encode(
        &self,
        layout: Layout,
        isa: Isa,
        row: u32,
        lists: &Lists,
        words: &mut Vec<u64>,
        record: &mut [u8],
    ) {
        let origin = self.rotated.row(row);
        let blocks = record.chunks_exact_mut(layout.block_bytes());
        for (block, ids) in blocks.zip(lists.slots(row).chunks(ROWS)) {
            write(layout, isa, &self.rotated, origin, ids, words, block);
        }
    }

    /// The nodes that a search for their own vector does not find, each with what it finds instead.
    fn lost(&self, graph: &QuantisedGraph) -> Result<Vec<(u32, Vec<u32>)>, Cancelled> {
        let lost = Mutex::new(Vec::new());
        let scratch = || {
            let query = Query::new(&[], self.vectors.stride());
            (Scratch::new(), query, Vec::new())
        };
        let rows = graph.rows;
        share(
            (0..rows).step_by(CHUNK_ROWS),
            self.workers,
            self.progress,
            &scratch,
            &|first, (scratch, query, hits)| {
                let last = rows.min(first + CHUNK_ROWS);
                for row in first as u32..last as u32 {
                    if graph.twins.contains(row) {
                        continue;
                    }
                    query.set(self.vectors.row(row));
                    let all = |_| true;
                    graph
                        .search_until(
                            row,
                            self.vectors,
                            query,
                            FIND_K,
                            FIND_EF,
                            all,
                            scratch,
                            || false,
                            hits,
                        )
                        .expect("nobody stops it");
                    if hits.iter().all(|hit| hit.row != row) {
                        let near = hits.iter().map(|hit| hit.row);
                        let near = near.filter(|&row| !graph.twins.contains(row)).collect();
                        lost.lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push((row, near));
                    }
                }
                self.progress.advance(last - first);
            },
        )?;
        let mut lost = lost.into_inner().unwrap_or_else(PoisonError::into_inner);
        lost.retain(|(_, near): &(u32, Vec<u32>)| !near.is_empty());
        lost.sort_unstable();
        Ok(lost)
    }

    /// Lists from what a search for each row finds in `graph`, next to those there were.
    fn refine(
        &self,
        graph: &QuantisedGraph,
        bulk: &Bulk<'_>,
        lists: &Lists,
    ) -> Result<Lists, Cancelled> {
        let ef = graph.config.ef_construction;
        let scratch = || {
            let query = Query::new(&[], self.vectors.stride());
            (Scratch::new(), query, Vec::new())
        };
        bulk.fill_lists(
            lists.degree,
            &scratch,
            &|row, (scratch, query, hits), candidates| {
                if graph.twins.contains(row) {
                    return;
                }
                query.set(self.vectors.row(row));
                let all = |_| true;
                graph
                    .search(self.vectors, query, ef, ef, all, scratch, || false, hits)
                    .expect("nobody stops it");
                candidates.known.extend(lists.hits(row));
                // Its distances may be those of another metric.
                let found = hits.iter().map(|hit| hit.row);
                let found = found.filter(|&row| !graph.twins.contains(row));
                candidates.unmeasured.extend(found);
            },
        )
    }
}
