//! Product quantisation: a codebook for each part of a vector.
//!
//! # The idea
//!
//! Components are divided into `subspaces` runs of nearly equal length, and k-means finds 256 (or
//! 16) centroids in each. A code names the nearest centroid of each run: one byte, or four bits. A
//! query turns into a table of its distances from all centroids, run by run; the distance to the
//! decoded vector is the sum of the entries that a code names. With four bits that is what
//! [`fastscan`](crate::fastscan) does for 32 rows at once.
//!
//! PQ is for budgets below what one bit a component costs, and for vectors of few components, where
//! a random rotation does not yet make components alike. Otherwise [`rabitq`](crate::rabitq) needs
//! no training and errs less.
//!
//! # Error bound
//!
//! As for [`scalar`](crate::scalar): the distance `e` of a vector from its decoded form is measured
//! and stored. Under `l2` a distance is off by at most `2 e sqrt(estimate) + e^2`, under `dot` and
//! `cosine` by `e |q|`, for certain.
//!
//! Source: Jegou, Douze & Schmid 2011 (product quantisation, asymmetric distances).

mod format;
mod query;

pub use query::Query;

use cairn_distance::{Kernels, Metric};

use crate::error::{check_dim, check_sample};
use crate::{ConfigError, Progress, TrainError, Workers, kmeans};

/// Rows of a sample that training looks at, for each centroid: more change little.
const SAMPLE_PER_CENTROID: usize = 256;

/// What a quantiser is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Parts that a vector is divided into; 1 to `dim`. More: closer, longer codes.
    pub subspaces: usize,
    /// Bits for each: 8 or 4.
    pub bits: u8,
    /// `Cosine`, `L2` or `Dot`; cosine expects vectors and queries of unit length.
    pub metric: Metric,
}

impl Config {
    /// Checks every range, for vectors of `dim` components.
    ///
    /// # Errors
    /// [`ConfigError`] for the first setting that no quantiser has.
    pub fn check(&self, dim: usize) -> Result<(), ConfigError> {
        check_dim(dim)?;
        crate::bytes::metric_code(self.metric)?;
        if ![4, 8].contains(&self.bits) {
            return Err(ConfigError::Bits { bits: self.bits });
        }
        if !(1..=dim).contains(&self.subspaces) {
            return Err(ConfigError::Subspaces {
                subspaces: self.subspaces,
                dim,
            });
        }
        Ok(())
    }

    /// Centroids of each codebook.
    #[must_use]
    pub fn centroids(&self) -> usize {
        1 << self.bits
    }
}

/// A product quantiser.
///
/// # Examples
/// ```
/// use cairn_distance::Metric;
/// use cairn_quantize::SingleThread;
/// use cairn_quantize::pq::{Config, Pq};
///
/// let rows: Vec<f32> = (0..16_000).map(|i| ((i * i) as f32 * 0.37).sin()).collect();
/// let config = Config { subspaces: 8, bits: 4, metric: Metric::L2 };
/// let quantiser = Pq::train(&rows, 16, config, 1, &SingleThread, &())?;
/// let (query, row) = (&rows[..16], &rows[16..32]);
///
/// let code = quantiser.encode(row);
/// assert_eq!(code.bytes.len(), 4);
/// let estimate = quantiser.query(query).estimate(&code.bytes, code.error);
/// let exact: f32 = query.iter().zip(row).map(|(x, y)| (x - y) * (x - y)).sum();
/// assert!(estimate.lower() <= exact && exact <= estimate.upper());
/// # Ok::<(), cairn_quantize::TrainError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Pq {
    config: Config,
    dim: usize,
    /// The codebooks one after the other, each `[centroids, its components]`.
    codebooks: Vec<f32>,
    /// The length of the longest vector that a code can stand for.
    longest: f64,
    l2: Kernels<f32>,
    dot: Kernels<f32>,
}

/// The code of one vector.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Code {
    /// One byte for each subspace, or for two: the first in the low half.
    pub bytes: Vec<u8>,
    /// Distance between the vector and its decoded form, not squared, rounded up.
    pub error: f32,
}

impl Pq {
    /// Learns the codebooks from a sample, `[rows, dim]` row by row. Of a large sample evenly
    /// spaced rows are used, 256 for each centroid.
    ///
    /// # Errors
    /// [`TrainError`]; [`TrainError::TooFewRows`] for fewer rows than centroids.
    pub fn train(
        sample: &[f32],
        dim: usize,
        config: Config,
        seed: u64,
        workers: &dyn Workers,
        progress: &dyn Progress,
    ) -> Result<Self, TrainError> {
        config.check(dim)?;
        let rows = check_sample(sample, dim)?;
        let step = rows
            .div_ceil(SAMPLE_PER_CENTROID * config.centroids())
            .max(1);
        let mut codebooks = Vec::with_capacity(config.centroids() * dim);
        for subspace in 0..config.subspaces {
            let (start, end) = bounds(subspace, config.subspaces, dim);
            let chosen = sample.chunks_exact(dim).step_by(step);
            let part: Vec<f32> = chosen.flat_map(|row| &row[start..end]).copied().collect();
            let own_seed = seed.wrapping_add(subspace as u64);
            let config = kmeans::Config::new(config.centroids(), own_seed);
            let clusters = kmeans::train(&part, end - start, &config, workers, progress)?;
            codebooks.extend(clusters.centroids);
        }
        Ok(Self::from_parts(config, dim, codebooks))
    }

    fn from_parts(config: Config, dim: usize, codebooks: Vec<f32>) -> Self {
        let mut quantiser = Self {
            config,
            dim,
            codebooks,
            longest: 0.0,
            l2: Kernels::new(Metric::L2),
            dot: Kernels::new(Metric::Dot),
        };
        let longest = |subspace| {
            let (start, end) = bounds(subspace, config.subspaces, dim);
            let centroids = quantiser.codebook(subspace).chunks_exact(end - start);
            let squares = centroids.map(|c| c.iter().map(|&x| f64::from(x).powi(2)).sum());
            squares.fold(0.0f64, f64::max)
        };
        let square: f64 = (0..config.subspaces).map(longest).sum();
        quantiser.longest = square.sqrt();
        quantiser
    }

    /// What it was made with.
    #[must_use]
    pub fn config(&self) -> Config {
        self.config
    }

    /// Components of a vector.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Bytes of a code, without its error.
    #[must_use]
    pub fn code_bytes(&self) -> usize {
        match self.config.bits {
            8 => self.config.subspaces,
            _ => self.config.subspaces.div_ceil(2),
        }
    }

    /// The code of one vector.
    ///
    /// # Panics
    /// If `vector` is not [`Pq::dim`] long.
    #[must_use]
    pub fn encode(&self, vector: &[f32]) -> Code {
        assert_eq!(vector.len(), self.dim, "another dim");
        let mut bytes = vec![0; self.code_bytes()];
        let mut distances = [0.0; 256];
        let distances = &mut distances[..self.config.centroids()];
        let mut square = 0.0f64;
        for subspace in 0..self.config.subspaces {
            let (start, end) = bounds(subspace, self.config.subspaces, self.dim);
            let (part, codebook) = (&vector[start..end], self.codebook(subspace));
            self.l2.block(part, codebook, part.len(), distances);
            let nearest = kmeans::nearest(distances) as usize;
            let centroid = &codebook[nearest * part.len()..][..part.len()];
            for (&x, &y) in part.iter().zip(centroid) {
                square += (f64::from(x) - f64::from(y)).powi(2);
            }
            match self.config.bits {
                8 => bytes[subspace] = nearest as u8,
                _ => bytes[subspace / 2] |= (nearest as u8) << (subspace % 2 * 4),
            }
        }
        Code {
            bytes,
            error: (square.sqrt() as f32).next_up(),
        }
    }

    /// The centroid that a code names in one subspace.
    ///
    /// # Panics
    /// If there is no such subspace in the code.
    #[must_use]
    pub fn centroid(&self, bytes: &[u8], subspace: usize) -> u8 {
        match self.config.bits {
            8 => bytes[subspace],
            _ => bytes[subspace / 2] >> (subspace % 2 * 4) & 15,
        }
    }

    /// The vector that a code stands for.
    ///
    /// # Panics
    /// If the code has another length than those of this quantiser.
    #[must_use]
    pub fn decode(&self, bytes: &[u8]) -> Vec<f32> {
        assert_eq!(
            bytes.len(),
            self.code_bytes(),
            "a code of another quantiser"
        );
        let mut vector = Vec::with_capacity(self.dim);
        for subspace in 0..self.config.subspaces {
            let (start, end) = bounds(subspace, self.config.subspaces, self.dim);
            let at = usize::from(self.centroid(bytes, subspace)) * (end - start);
            vector.extend_from_slice(&self.codebook(subspace)[at..at + end - start]);
        }
        vector
    }

    /// A query, ready to be compared with codes.
    ///
    /// # Panics
    /// If `query` is not [`Pq::dim`] long.
    #[must_use]
    pub fn query(&self, query: &[f32]) -> Query {
        let mut filled = Query::new(self);
        filled.fill_from(self, query);
        filled
    }

    /// [`Pq::query`] into a query that was used before, of this or another quantiser: takes no
    /// memory if it was as long.
    ///
    /// # Panics
    /// As [`Pq::query`].
    pub fn fill_query(&self, query: &[f32], filled: &mut Query) {
        filled.fill_from(self, query);
    }

    fn codebook(&self, subspace: usize) -> &[f32] {
        let (start, end) = bounds(subspace, self.config.subspaces, self.dim);
        let centroids = self.config.centroids();
        &self.codebooks[start * centroids..end * centroids]
    }
}

/// The components of one subspace.
pub(crate) fn bounds(subspace: usize, subspaces: usize, dim: usize) -> (usize, usize) {
    (subspace * dim / subspaces, (subspace + 1) * dim / subspaces)
}
