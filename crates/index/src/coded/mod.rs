//! Codes of the rows of a matrix, compared in their place: a walk or a scan reads a quarter to a hundredth of the
//! bytes, and only the best of what it finds is measured.
//!
//! | codes      | bits per component       | learns                                   |
//! |------------|--------------------------|------------------------------------------|
//! | `sq8`      | 8, and 128 a row         | the mean of some rows                    |
//! | `sq4`      | 4, and 128 a row         | the mean of some rows                    |
//! | `pq`       | 8 or 4 a subspace        | a codebook for each subspace             |
//! | `rabitq`   | 1 to 8, and 96 a row     | the mean of some rows                    |
//!
//! They are those of [`cairn_quantize`]; here they lie beside each other, the numbers of a row behind its code, so that
//! a row costs one access to memory.

mod format;
mod measure;
mod scan;

use cairn_distance::Metric;
use cairn_quantize::pq::{self, Pq};
use cairn_quantize::rabitq::{self, Rabitq};
use cairn_quantize::scalar::{self, Scalar};
use cairn_quantize::{ConfigError, TrainError};

use crate::arena::Arena;
use crate::parallel::{Cancelled, share};
use crate::{Progress, Vectors, Workers};

pub use format::CodedFormatError;
pub(crate) use measure::{Asked, CodedQuery};
pub use scan::CodedSpace;

/// Rows whose mean codes are written around.
const MEAN_ROWS: usize = 4096;

/// Rows that a codebook learns from, for each centroid: four times as many take four times as long, at every merge.
const ROWS_PER_CENTROID: usize = 64;

/// Rows that a worker takes at once.
const PART_ROWS: usize = 512;

/// Records are as long as a multiple of this, or a power of two below a cache line, so that few lie in one line more
/// than they need.
const ALIGNMENT: usize = 16;

/// How rows become codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantisation {
    /// Whole numbers of 8 bits.
    Sq8,
    /// Whole numbers of 4 bits.
    Sq4,
    /// Product quantisation: `bits`, 8 or 4, for each of `subspaces` parts, at most as many as there are components.
    Pq {
        /// Parts of a vector.
        subspaces: usize,
        /// Bits of each.
        bits: u8,
    },
    /// RaBitQ codes of `bits` a component, 1 to 8.
    Rabitq {
        /// Bits of a component.
        bits: u8,
    },
}

impl Quantisation {
    /// Checks what can be said before there are rows.
    ///
    /// # Errors
    /// [`ConfigError`]: another number of bits or subspaces, or a metric that is no product: `L1`.
    pub fn validate(self, dim: usize, metric: Metric) -> Result<(), ConfigError> {
        match self {
            Self::Sq8 | Self::Sq4 => Scalar::new(vec![0.0; dim], self.scalar(metric)).map(|_| ()),
            Self::Rabitq { bits } => {
                Rabitq::new(vec![0.0; dim], Self::rabitq(bits, metric)).map(|_| ())
            }
            Self::Pq { subspaces, bits } => pq::Config {
                subspaces,
                bits,
                metric,
            }
            .check(dim),
        }
    }

    /// Rows that codebooks cannot do without; 1 where there is none.
    #[must_use]
    pub fn rows_min(self) -> usize {
        match self {
            Self::Pq { bits, .. } => 1 << bits,
            _ => 1,
        }
    }

    /// Bytes of a row in memory and in a file.
    #[must_use]
    pub fn row_bytes(self, dim: usize) -> usize {
        let words = dim.div_ceil(64) * size_of::<u64>();
        let (code, factors) = match self {
            Self::Sq8 => (dim, measure::SCALAR_FACTORS),
            Self::Sq4 => (dim.next_multiple_of(64) / 2, measure::SCALAR_FACTORS),
            Self::Pq { subspaces, bits: 4 } => (subspaces.div_ceil(2), measure::PQ_FACTORS),
            Self::Pq { subspaces, .. } => (subspaces, measure::PQ_FACTORS),
            Self::Rabitq { bits } => (words * usize::from(bits), measure::RABITQ_FACTORS),
        };
        record_bytes(code, factors)
    }

    fn scalar(self, metric: Metric) -> scalar::Config {
        let bits = if self == Self::Sq8 { 8 } else { 4 };
        scalar::Config { bits, metric }
    }

    fn rabitq(bits: u8, metric: Metric) -> rabitq::Config {
        rabitq::Config {
            bits,
            metric,
            seed: 1,
        }
    }
}

/// Codes of all rows of a matrix, which they do not hold.
pub struct Coded {
    quantiser: Quantiser,
    /// A record a row: its code, then its factors.
    records: Arena,
    record_bytes: usize,
    rows: usize,
}

enum Quantiser {
    Scalar(Scalar),
    Pq(Pq),
    Rabitq(Rabitq),
}

impl Coded {
    /// Learns from rows of `vectors`, and encodes all of them.
    ///
    /// The same with any number of workers, but for codebooks, which may differ in the last bits by the instruction
    /// set. Cost: of `sq8`, `sq4` and `rabitq` some distances a row; of `pq` one for each centroid.
    ///
    /// # Errors
    /// [`TrainError`]; [`TrainError::Cancelled`] when `progress` says so, [`TrainError::TooFewRows`] for fewer rows than
    /// [`Quantisation::rows_min`], [`TrainError::NotFinite`] for rows whose squared length is beyond `f32`.
    pub fn new(
        vectors: &Vectors,
        metric: Metric,
        quantisation: Quantisation,
        workers: &dyn Workers,
        progress: &dyn Progress,
    ) -> Result<Self, TrainError> {
        let quantiser = Quantiser::train(vectors, metric, quantisation, workers, progress)?;
        let record_bytes = quantisation.row_bytes(vectors.dim());
        let rows = vectors.len();
        let mut records = Arena::new(rows * record_bytes);
        let parts = records.bytes_mut().chunks_mut(record_bytes * PART_ROWS);
        let parts = (0u32..).step_by(PART_ROWS).zip(parts);
        share(
            parts,
            workers,
            progress,
            &|| vec![0.0; vectors.dim()],
            &|(first, part), prepared| {
                for (row, record) in (first..).zip(part.chunks_exact_mut(record_bytes)) {
                    vectors.read_prepared(row, prepared);
                    quantiser.encode(prepared, record);
                }
            },
        )
        .map_err(|Cancelled| TrainError::Cancelled)?;
        let coded = Self {
            quantiser,
            records,
            record_bytes,
            rows,
        };
        match coded.first_wild() {
            Some(row) => Err(TrainError::NotFinite { row }),
            None => Ok(coded),
        }
    }

    /// Rows that have a code.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Components of the vectors that they are of.
    #[must_use]
    pub fn dim(&self) -> usize {
        match &self.quantiser {
            Quantiser::Scalar(it) => it.dim(),
            Quantiser::Pq(it) => it.dim(),
            Quantiser::Rabitq(it) => it.dim(),
        }
    }

    /// How they were made.
    #[must_use]
    pub fn quantisation(&self) -> Quantisation {
        match &self.quantiser {
            Quantiser::Scalar(it) if it.config().bits == 8 => Quantisation::Sq8,
            Quantiser::Scalar(_) => Quantisation::Sq4,
            Quantiser::Pq(it) => Quantisation::Pq {
                subspaces: it.config().subspaces,
                bits: it.config().bits,
            },
            Quantiser::Rabitq(it) => Quantisation::Rabitq {
                bits: it.config().bits,
            },
        }
    }

    /// The metric that they estimate.
    #[must_use]
    pub fn metric(&self) -> Metric {
        match &self.quantiser {
            Quantiser::Scalar(it) => it.config().metric,
            Quantiser::Pq(it) => it.config().metric,
            Quantiser::Rabitq(it) => it.config().metric,
        }
    }

    /// Bytes in memory, but for what was learnt.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.rows * self.record_bytes
    }

    /// The first row that has a factor which is no finite number.
    fn first_wild(&self) -> Option<usize> {
        let factors = self.quantiser.factors();
        let is_wild = |record: &[u8]| {
            let factors: &[f32] = bytemuck::cast_slice(&record[factors.clone()]);
            factors.iter().any(|factor| !factor.is_finite())
        };
        let mut records = self.records.bytes().chunks_exact(self.record_bytes);
        records.position(is_wild)
    }

    #[inline(always)]
    fn record(&self, row: u32) -> &[u8] {
        let start = row as usize * self.record_bytes;
        &self.records.bytes()[start..start + self.record_bytes]
    }
}

impl Quantiser {
    fn train(
        vectors: &Vectors,
        metric: Metric,
        quantisation: Quantisation,
        workers: &dyn Workers,
        progress: &dyn Progress,
    ) -> Result<Self, TrainError> {
        let dim = vectors.dim();
        let some = match quantisation {
            Quantisation::Pq { bits, .. } => ROWS_PER_CENTROID << bits.min(8),
            _ => MEAN_ROWS,
        };
        let mut sample = Vec::new();
        let step = vectors.len().div_ceil(some).max(1);
        let mut prepared = vec![0.0; dim];
        for row in (0..vectors.len()).step_by(step) {
            vectors.read_prepared(row as u32, &mut prepared);
            sample.extend_from_slice(&prepared);
        }
        Ok(match quantisation {
            Quantisation::Sq8 | Quantisation::Sq4 => {
                Self::Scalar(Scalar::train(&sample, dim, quantisation.scalar(metric))?)
            }
            Quantisation::Rabitq { bits } => {
                let config = Quantisation::rabitq(bits, metric);
                Self::Rabitq(Rabitq::train(&sample, dim, config)?)
            }
            Quantisation::Pq { subspaces, bits } => {
                let config = pq::Config {
                    subspaces,
                    bits,
                    metric,
                };
                let learnt = Pq::train(&sample, dim, config, 1, workers, progress)?;
                // Means of numbers that large may be none.
                let read = Pq::from_bytes(&learnt.to_bytes());
                Self::Pq(read.map_err(|_| TrainError::NotFinite { row: 0 })?)
            }
        })
    }
}

fn record_bytes(code: usize, factors: usize) -> usize {
    let bytes = code.next_multiple_of(size_of::<f32>()) + factors;
    match bytes {
        0..=64 => bytes.next_power_of_two().max(ALIGNMENT),
        _ => bytes.next_multiple_of(ALIGNMENT),
    }
}
