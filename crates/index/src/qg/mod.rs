//! Quantised graphs: one exact distance a hop, and the neighbours' from codes.
//!
//! # The idea
//!
//! A hop of HNSW reads the vectors of up to 32 neighbours, each from another place in memory, to find the
//! few that matter. Here the record of a node holds a code of each neighbour, of one or two bits a component,
//! written around the node's own vector and packed for [`cairn_quantize::fastscan`]. A hop reads one vector
//! and one record: the exact distance of the node makes the codes of its neighbours into estimates,
//! 32 in one go, and those below the worst of the beam enter it. A node's own distance is known when its turn
//! comes, so what is returned is exact.
//!
//! Codes are of the neighbour as seen from the node, so their error shrinks with the length of the link:
//! the nearer a walk gets, the better it sees.
//!
//! ```text
//! |q - n|^2  =  |q - v|^2 + |n - v|^2 - 2 <q - v, n - v>      v the node, n its neighbour
//! ```
//!
//! All but the product with the query is exact or stored; see [`cairn_quantize::rabitq`].
//!
//! # Where a walk begins
//!
//! The *root* is a node without a vector: the centre of all rows. Its neighbours are a sample of the
//! rows, and their estimates need nothing but lookups, so hundreds cost as much as a few hops. There are no
//! layers.
//!
//! # What differs from the source
//!
//! - The vector is not in the record but in the matrix that every index shares: a second prefetch
//!   costs nothing, a second copy of all vectors does.
//! - A node enters the beam once, with its first estimate.
//! - Codes have one to four bits, in planes that share one table.
//! - Twins stand behind one node (`twins.rs`), and every row is in reach (`reach.rs`).
//!
//! Source: Gou & others, SymphonyQG, SIGMOD 2025; Iwasaki & Miyazaki, NGT-QG; Gao & Long, RaBitQ, 2024.

mod build;
mod calibrate;
mod check;
mod config;
mod format;
mod reach;
mod record;
mod search;
mod twins;

use std::fmt;

use cairn_distance::{Kernels, Metric, Simd};
pub use cairn_quantize::rotation::DIM_MAX;
use cairn_quantize::{Isa, Rotation};

use crate::arena::Arena;
pub use build::BuildError;
pub use check::Report;
pub use config::{Config, ConfigError};
pub use format::FormatError;
use record::Layout;
pub(crate) use search::Space;
use twins::Twins;

/// A sealed graph over the rows of a matrix, which it does not hold: every call that measures is given
/// it.
///
/// # Examples
/// ```
/// use cairn_index::qg::{Config, QuantisedGraph};
/// use cairn_index::{Metric, Query, Scratch, SingleThread, Vectors};
///
/// let mut vectors = Vectors::with_capacity(2, 100);
/// vectors.fill_rows(100, |row, slot| slot.copy_from_slice(&[row as f32, 0.0]));
/// let config = Config::new(2);
/// let graph = QuantisedGraph::build(&vectors, Metric::L2, &config, &SingleThread, &())?;
///
/// let query = Query::new(&[41.2, 0.0], vectors.stride());
/// let (mut scratch, mut hits) = (Scratch::new(), Vec::new());
/// graph.search(&vectors, &query, 3, 64, |row| row != 42, &mut scratch, || false, &mut hits)?;
/// assert_eq!(hits.iter().map(|hit| hit.row).collect::<Vec<_>>(), [41, 40, 43]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct QuantisedGraph {
    config: Config,
    kernels: Kernels<f32>,
    /// What a distance of the metric is multiplied by to be a squared one.
    scale: f32,
    isa: Isa,
    layout: Layout,
    rotation: Rotation,
    /// What vectors are seen from before they are rotated, `[dim]`.
    centre: Vec<f32>,
    rows: usize,
    /// A record for each row; those of twins are zeros.
    records: Arena,
    /// Blocks whose neighbours are the entries and whose origin is the centre.
    root: Arena,
    twins: Twins,
}

impl QuantisedGraph {
    /// A graph of `rows` rows without memory for their records.
    fn without_records(
        centre: Vec<f32>,
        rows: usize,
        metric: Metric,
        config: &Config,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        let dim = centre.len();
        if dim > DIM_MAX {
            return Err(ConfigError::Dim(dim));
        }
        let scale = match metric {
            Metric::L2 => 1.0,
            // Of vectors of unit length.
            Metric::Cosine => 2.0,
            Metric::Dot | Metric::L1 | Metric::Hamming => return Err(ConfigError::Metric(metric)),
        };
        let layout = Layout::new(dim, config.degree, config.bits);
        Ok(Self {
            config: *config,
            kernels: Kernels::new(metric),
            scale,
            isa: Isa::active(),
            layout,
            rotation: Rotation::new(dim, config.seed),
            centre,
            rows,
            records: Arena::new(0),
            root: Arena::new(0),
            twins: Twins::default(),
        })
    }

    /// The same graph, searched on another instruction set, or `None` if this processor or this build
    /// lacks it. Estimates are the same; distances differ in the last bits.
    #[must_use]
    pub fn with_simd(mut self, simd: Simd) -> Option<Self> {
        self.isa = Isa::with_simd(simd)?;
        self.kernels = Kernels::with_simd(self.metric(), simd)?;
        self.rotation = Rotation::with_isa(self.centre.len(), self.config.seed, self.isa);
        Some(self)
    }

    /// Rows that the graph is over.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Memory held beyond the vectors, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let nodes = self.rows - self.twins.pairs().len();
        nodes * self.layout.record_bytes() + self.root.bytes().len() + self.twins.bytes()
    }

    /// The parameters.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The metric.
    #[must_use]
    pub fn metric(&self) -> Metric {
        self.kernels.metric()
    }

    /// The record of a row.
    #[inline(always)]
    fn record(&self, row: u32) -> &[u8] {
        let bytes = self.layout.record_bytes();
        &self.records.bytes()[row as usize * bytes..][..bytes]
    }

    /// Replaces `rotated` by `vector` as codes see it.
    fn rotate(&self, vector: &[f32], rotated: &mut Vec<f32>) {
        rotated.clear();
        rotated.extend(vector.iter().zip(&self.centre).map(|(x, c)| x - c));
        rotated.resize(self.rotation.padded_dim(), 0.0);
        self.rotation.rotate_padded(rotated);
    }
}

impl fmt::Debug for QuantisedGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuantisedGraph")
            .field("metric", &self.metric())
            .field("config", &self.config)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}
