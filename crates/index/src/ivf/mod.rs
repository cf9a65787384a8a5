//! Clustered postings: for rows that are more than fit in memory.
//!
//! # The idea
//!
//! Rows are divided into lists of neighbours, about 256 each, and a list is known by its centroid. A search compares
//! the query with the centroids, which stay in memory, and looks at the nearest lists alone. What it looks at lies
//! in two regions that are read in as many rounds, each with all of its places known beforehand:
//!
//! | what            | where                 | bytes a row at 128 / 768 components  | a search reads                |
//! |-----------------|-----------------------|-------------------------------------:|-------------------------------|
//! | centroids       | the head, in memory   |                              2 / 12  | all                           |
//! | short codes     | [`Region::Coarse`]    |                            48 / 112  | the lists it probes           |
//! | longer codes    | [`Region::Fine`]      |                           148 / 788  | a record for each candidate   |
//! | the rows        | with whoever has them |                         512 / 3,072  | a few more than `k`           |
//!
//! A graph reads one place after the other, each known only when the one before it was read: ten rounds and more,
//! which a disk or a network makes slow. Here it is two, whatever the number of rows.
//!
//! # What an answer is worth
//!
//! *Coarse*: a code is a RaBitQ code of the row as seen from its centroid, of 1 to 4 bits a component; 32 are estimated
//! together ([`cairn_quantize::fastscan`]). An estimate comes with how far it may be off. With `t` the `k`-th smallest
//! of what the distances are at most, a row whose distance is at least above `t` is ruled out. A row among the
//! nearest is lost only if two bounds of 1.9 deviations together are exceeded.
//!
//! *Fine*: eight bits a component of the same difference, with a bound of 4 deviations. Rows whose distance may be among
//! the `k` smallest are measured, `max(4 k, 64)` at most, so distances are exact.
//!
//! So what is found among the lists probed is nearly always what there is to find; what is missed lies in other
//! lists. [`Ivf::calibrate`] measures how many lists a recall takes. To bound memory and reads, no more than
//! `max(16 k, 512)` candidates leave the first round, those with the smallest estimates.
//!
//! # Differences from the sources
//!
//! A row is in one list, not in several: rows at borders are found by more probes. Lists are never changed in place.
//!
//! Source: Jegou & others, IVFADC, 2011; Chen & others, SPANN, 2021 (lists on disk, centroids in memory); Gao & Long,
//! RaBitQ, 2024; Andre & others, 2015 (FastScan).

mod build;
mod calibrate;
mod check;
mod config;
mod encode;
mod format;
mod layout;
mod partition;
mod postings;
mod search;

use std::fmt;
use std::ops::Range;

use cairn_distance::{Kernels, Metric};
use cairn_quantize::rabitq::{self, Rabitq};
use cairn_quantize::scalar::{self, Scalar};

pub use build::{BuildError, Built};
pub use check::{CheckError, Report};
pub use config::{Config, ConfigError};
pub use encode::WriteError;
pub use format::FormatError;
use layout::Layout;
pub use postings::{Each, InMemory, OutOfRange, Postings, Region};
pub use search::{Scratch, SearchError};

/// The head of clustered postings: what stays in memory. It holds neither rows nor postings; every call that
/// reads is given them.
///
/// # Examples
/// ```
/// use cairn_index::ivf::{Config, InMemory, Ivf, Region, Scratch};
/// use cairn_index::{Metric, Query, SingleThread, Vectors};
///
/// let mut vectors = Vectors::with_capacity(2, 2000);
/// vectors.fill_rows(2000, |row, slot| slot.copy_from_slice(&[row as f32, 0.0]));
/// let built = Ivf::build(&vectors, Metric::L2, &Config::default(), &SingleThread, &())?;
/// let (mut coarse, mut fine) = (Vec::new(), Vec::new());
/// for (region, bytes) in [(Region::Coarse, &mut coarse), (Region::Fine, &mut fine)] {
///     built.write_region(region, &vectors, &SingleThread, &(), |part| {
///         bytes.extend_from_slice(part);
///         Ok::<(), std::convert::Infallible>(())
///     })?;
/// }
/// let head = built.into_head();
///
/// let postings = InMemory { coarse: &coarse, fine: &fine };
/// let query = Query::new(&[41.2, 0.0], vectors.stride());
/// let (mut scratch, mut hits) = (Scratch::new(), Vec::new());
/// head.search(
///     &postings, &vectors, &query, 3, 4, |row| row != 42, &mut scratch, || false, &mut hits,
/// )?;
/// assert_eq!(hits.iter().map(|hit| hit.row).collect::<Vec<_>>(), [41, 40, 43]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Ivf {
    metric: Metric,
    seed: u64,
    rows: usize,
    layout: Layout,
    /// `[lists, dim]`, row by row.
    centroids: Vec<f32>,
    /// Rows of each list.
    counts: Vec<u32>,
    /// Where the part of each list starts in either region, and the end of the last one.
    coarse_starts: Vec<u64>,
    fine_starts: Vec<u64>,
    squares: Kernels<f32>,
    products: Kernels<f32>,
    rabitq: Rabitq,
    scalar: Scalar,
}

impl Ivf {
    /// A head of lists with these rows each, whose centroids are finite.
    fn new(
        centroids: Vec<f32>,
        counts: Vec<u32>,
        dim: usize,
        metric: Metric,
        seed: u64,
    ) -> Result<Self, ConfigError> {
        let layout = Layout::new(dim);
        let starts = |region| {
            let mut start = 0;
            let mut starts = vec![start];
            for &rows in &counts {
                start += layout.part_bytes(region, rows);
                starts.push(start);
            }
            starts
        };
        let refused = |error| match error {
            cairn_quantize::ConfigError::Metric { metric } => ConfigError::Metric(metric),
            _ => ConfigError::Dim(dim),
        };
        let coarse = rabitq::Config {
            bits: layout.bits,
            metric,
            seed,
        };
        let fine = scalar::Config {
            bits: 8,
            metric: if metric == Metric::L2 {
                metric
            } else {
                Metric::Dot
            },
        };
        Ok(Self {
            metric,
            seed,
            rows: counts.iter().map(|&rows| rows as usize).sum(),
            layout,
            coarse_starts: starts(Region::Coarse),
            fine_starts: starts(Region::Fine),
            squares: Kernels::new(Metric::L2),
            products: Kernels::new(Metric::Dot),
            rabitq: Rabitq::new(mean(&centroids, dim), coarse).map_err(refused)?,
            scalar: Scalar::new(vec![0.0; dim], fine).map_err(refused)?,
            centroids,
            counts,
        })
    }

    /// Rows in all lists.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Lists.
    #[must_use]
    pub fn lists(&self) -> usize {
        self.counts.len()
    }

    /// Components of a row.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.layout.dim
    }

    /// The metric.
    #[must_use]
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// Length of a region, in bytes.
    #[must_use]
    pub fn region_bytes(&self, region: Region) -> u64 {
        self.starts(region)[self.lists()]
    }

    /// Where the part of a list lies in a region, in bytes.
    ///
    /// # Panics
    /// If there is no such list.
    #[must_use]
    pub fn part(&self, region: Region, list: u32) -> Range<u64> {
        let (starts, list) = (self.starts(region), list as usize);
        starts[list]..starts[list + 1]
    }

    /// Memory held, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        // The rotation has four factors for each component, the quantisers a centre each.
        let quantisers = 4 * self.rabitq.rotation().padded_dim() + 2 * self.dim();
        let lists = 4 + 2 * size_of::<u64>();
        size_of::<f32>() * (self.centroids.len() + quantisers) + lists * self.lists()
    }

    fn starts(&self, region: Region) -> &[u64] {
        match region {
            Region::Coarse => &self.coarse_starts,
            Region::Fine => &self.fine_starts,
        }
    }

    fn centroid(&self, list: u32) -> &[f32] {
        let dim = self.dim();
        &self.centroids[list as usize * dim..][..dim]
    }
}

impl fmt::Debug for Ivf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ivf")
            .field("metric", &self.metric)
            .field("dim", &self.dim())
            .field("rows", &self.rows)
            .field("lists", &self.lists())
            .finish_non_exhaustive()
    }
}

/// What all centroids are seen from: as near to queries as can be, so that fixed point loses little of them.
fn mean(centroids: &[f32], dim: usize) -> Vec<f32> {
    let mut sums = vec![0.0f64; dim];
    for centroid in centroids.chunks_exact(dim.max(1)) {
        for (sum, &x) in sums.iter_mut().zip(centroid) {
            *sum += f64::from(x);
        }
    }
    let count = (centroids.len() / dim.max(1)).max(1) as f64;
    sums.iter().map(|sum| (sum / count) as f32).collect()
}
