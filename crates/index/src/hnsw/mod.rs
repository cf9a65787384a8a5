//! Hierarchical navigable small world graphs.
//!
//! Source: Malkov & Yashunin, "Efficient and robust approximate nearest neighbor search using
//! Hierarchical Navigable Small World graphs", 2018. Every row is a node of layer 0 and of a random
//! number of layers above, each a graph with links to near rows in different directions. A search
//! goes greedily down the sparse layers and then, on layer 0, keeps the `ef` nearest nodes found
//! while it follows the links of the nearest one not yet followed.
//!
//! | paper                        | here                                             |
//! |------------------------------|--------------------------------------------------|
//! | algorithm 1, insert          | `insert.rs`, `build.rs`                          |
//! | algorithm 2, search a layer  | `walk.rs`, with the queues of `../beam.rs`       |
//! | algorithm 4, heuristic       | `prune.rs`                                       |
//! | algorithm 5, search          | `search.rs`                                      |
//!
//! # What is added: nothing is ever lost
//!
//! Pruning drops links, and in the paper nothing prevents the last link to a node from being
//! dropped. Here every node but the first has a *parent* on layer 0, chosen when it is inserted, and
//! the two links between them are never pruned. A parent was in the graph before its child, so these
//! links form a tree over all rows: layer 0 is connected in both directions from any node, after any
//! sequence of inserts. A search whose results are not full walks until nothing is left, so it
//! returns `k` rows whenever `k` are accepted. See `tree.rs`.
//!
//! # What is added: twins
//!
//! Rows with equal vectors poison a graph in the plain algorithm: a thousand twins are each other's
//! nearest neighbours, fill every list and every candidate queue near them, and cut the place off
//! from the rest. Here the second and later rows of a vector hang behind the first one, by links that
//! walks do not follow: a walk meets one node at each place. Only when a search hands over its
//! results does it unfold them into all the rows that they stand for.

mod build;
mod calibrate;
mod check;
mod config;
mod format;
mod insert;
mod level;
mod links;
mod order;
mod prune;
mod scratch;
mod search;
mod tree;
mod walk;

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use cairn_distance::{Kernels, Metric};

pub use build::BuildError;
pub use check::Report;
pub use config::{ConfigError, HnswConfig};
pub use format::FormatError;
pub use scratch::Scratch;

pub(crate) use level::mix;

use crate::Component;

use links::Links;
use tree::Tree;

/// A graph over the rows of a matrix, which it does not hold: every call that measures is given it.
/// Rows are of `f32` unless said otherwise.
///
/// Searches may run while rows are inserted, from any number of threads.
///
/// # Examples
/// ```
/// use cairn_index::{Graph, HnswConfig, Metric, Query, Scratch, SingleThread, Vectors};
///
/// let mut vectors = Vectors::with_capacity(2, 100);
/// vectors.fill_rows(100, |row, slot| slot.copy_from_slice(&[row as f32, 0.0]));
/// let graph = Graph::build(&vectors, Metric::L2, &HnswConfig::default(), &SingleThread, &())?;
///
/// let query = Query::new(&[41.2, 0.0], vectors.stride());
/// let (mut scratch, mut hits) = (Scratch::new(), Vec::new());
/// graph.search(&vectors, &query, 3, 64, |row| row != 42, &mut scratch, || false, &mut hits)?;
/// assert_eq!(hits.iter().map(|hit| hit.row).collect::<Vec<_>>(), [41, 40, 43]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Graph<T: Component = f32> {
    config: HnswConfig,
    kernels: Kernels<T>,
    links: Links,
    entry: EntryPoint,
    /// Rows inserted.
    rows: AtomicUsize,
    /// How many of them are twins.
    twins: AtomicUsize,
    /// What inserts need beyond the links; searches do without.
    tree: OnceLock<Tree>,
}

impl Graph {
    /// An empty graph with room for `rows` rows of `f32`.
    ///
    /// # Errors
    /// [`ConfigError`] if a parameter is outside its range.
    ///
    /// # Panics
    /// If `rows` is above 2^31 - 2.
    pub fn with_capacity(
        metric: Metric,
        config: &HnswConfig,
        rows: usize,
    ) -> Result<Self, ConfigError> {
        Self::empty(metric, config, rows)
    }
}

impl<T: Component> Graph<T> {
    /// An empty graph with room for `rows` rows.
    fn empty(metric: Metric, config: &HnswConfig, rows: usize) -> Result<Self, ConfigError> {
        config.validate()?;
        assert!(rows <= ROWS_MAX, "a graph holds at most 2^31 - 2 rows");
        let levels = level::levels(config, 0..rows as u32);
        Ok(Self {
            config: *config,
            kernels: Kernels::new(metric),
            links: Links::new(levels, config.m0, config.m_max),
            entry: EntryPoint::none(),
            rows: AtomicUsize::new(0),
            twins: AtomicUsize::new(0),
            tree: OnceLock::new(),
        })
    }

    /// Makes room for `rows` rows in total, so that a graph that was built or read can grow.
    ///
    /// # Panics
    /// If `rows` is above 2^31 - 2.
    pub fn reserve(&mut self, rows: usize) {
        assert!(rows <= ROWS_MAX, "a graph holds at most 2^31 - 2 rows");
        let held = self.links.rows();
        if rows > held {
            let levels = level::levels(&self.config, held as u32..rows as u32);
            self.links.extend(levels);
            if let Some(tree) = self.tree.get_mut() {
                tree.extend(rows);
            }
        }
    }

    /// Rows inserted.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows.load(Ordering::Acquire)
    }

    /// Rows that fit, see [`Graph::reserve`].
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.links.rows()
    }

    /// Layers, counting layer 0; 0 if the graph is empty.
    #[must_use]
    pub fn levels(&self) -> usize {
        self.entry
            .load()
            .map_or(0, |(_, level)| usize::from(level) + 1)
    }

    /// Memory held beyond the vectors, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.links.bytes() + self.tree.get().map_or(0, Tree::bytes)
    }

    /// The parameters.
    #[must_use]
    pub fn config(&self) -> &HnswConfig {
        &self.config
    }

    /// The metric.
    #[must_use]
    pub fn metric(&self) -> Metric {
        self.kernels.metric()
    }
}

impl<T: Component> fmt::Debug for Graph<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph")
            .field("metric", &self.metric())
            .field("config", &self.config)
            .field("rows", &self.rows())
            .field("levels", &self.levels())
            .finish_non_exhaustive()
    }
}

/// Most rows of a graph: a row, shifted by one bit, is part of a queue entry, and two numbers of the
/// remaining ones have a meaning of their own in the tree.
pub(crate) const ROWS_MAX: usize = (1 << 31) - 2;

const _: () = assert!(ROWS_MAX < crate::beam::ROWS_MAX);

/// Where every search starts: the row and its level, in one word so that they change together.
struct EntryPoint(AtomicU64);

impl EntryPoint {
    fn none() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }

    fn load(&self) -> Option<(u32, u8)> {
        let word = self.0.load(Ordering::Acquire);
        (word != u64::MAX).then_some((word as u32, (word >> 32) as u8))
    }

    fn store(&self, row: u32, level: u8) {
        let word = u64::from(level) << 32 | u64::from(row);
        self.0.store(word, Ordering::Release);
    }
}
