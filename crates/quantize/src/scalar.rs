//! Scalar codes: every component becomes a whole number of 8 or 4 bits.
//!
//! # The idea
//!
//! The components of `v - c` lie between two bounds; a code divides what is between them into 255
//! (or 15) steps: `v[i] - c[i]` is about `offset + step * code[i]`. Then `<q, v - c>` is about
//! `offset * sum(q) + step * <q, code>`, and the last product is one of integers.
//!
//! *A scale for each vector, not for each dimension*: it costs 8 bytes a vector, needs no training,
//! and a vector unlike all that came before is encoded as well as any other, where a trained range
//! would clip it. It errs less on images and on clusters (`tests/certain_bounds.rs`); images of 256
//! grey levels lose nothing in 8 bits, because the levels are the codes. Scales for each dimension
//! pay where dimensions differ by orders of magnitude; for such data there is
//! [`rabitq`](crate::rabitq), which rotates.
//!
//! *The centre* is 0 or the mean of the sample, whichever gives the smaller error over it:
//! subtracting the mean takes away what all vectors share, unless the vectors were on a grid
//! before.
//!
//! *Four bits clip*: with 16 levels, covering the outermost components costs more at all others
//! than it gains. Of [`SHRINKS`] the range with the least error is taken, vector by vector.
//!
//! # Error bound
//!
//! The error `e = |v - v^|` of a code is measured when it is made and stored. With `h` the rounding
//! of the query to 16 bits, measured as well:
//!
//! ```text
//! l2      |estimate - distance| <= 2 e sqrt(estimate) + e^2 + 2 h |v^ - c|
//! dot     |estimate - distance| <= e |q| + h |v^ - c|
//! ```
//!
//! (triangle inequality; Cauchy and Schwarz). These are certain, not probable. A component is off
//! by at most half a step where nothing was clipped.

use cairn_distance::Metric;

use crate::bytes::{Reader, Writer, metric_code, read_metric};
use crate::error::{check_dim, check_sample};
use crate::fixed::Fixed;
use crate::integer::{nibble, pack_nibbles};
use crate::{ConfigError, Estimate, FormatError, Isa, TrainError};

/// Parts of the full range that are tried for four bits.
pub const SHRINKS: [f32; 6] = [1.0, 0.92, 0.84, 0.76, 0.68, 0.6];

/// Rows of a sample that the choice of the centre looks at.
const PROBE_ROWS: usize = 256;

const MAGIC: [u8; 8] = *b"CRNSCLR1";

/// What a quantiser is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Bits per component: 8 or 4.
    pub bits: u8,
    /// `Cosine`, `L2` or `Dot`; cosine expects vectors and queries of unit length.
    pub metric: Metric,
}

/// A scalar quantiser.
///
/// # Examples
/// ```
/// use cairn_distance::Metric;
/// use cairn_quantize::scalar::{Config, Scalar};
///
/// let rows: Vec<f32> = (0..4000).map(|i| ((i * i) as f32 * 0.37).sin()).collect();
/// let quantiser = Scalar::train(&rows, 40, Config { bits: 8, metric: Metric::L2 })?;
/// let (query, row) = (&rows[..40], &rows[40..80]);
///
/// let code = quantiser.encode(row);
/// let estimate = quantiser.query(query).estimate(&code.bytes, code.factors);
/// let exact: f32 = query.iter().zip(row).map(|(x, y)| (x - y) * (x - y)).sum();
/// assert!(estimate.lower() <= exact && exact <= estimate.upper());
/// # Ok::<(), cairn_quantize::TrainError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Scalar {
    config: Config,
    centre: Vec<f32>,
    isa: Isa,
}

/// What belongs to one code besides its levels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Factors {
    /// What one level is worth.
    pub step: f32,
    /// What level 0 is worth.
    pub offset: f32,
    /// Squared length of the decoded vector, as seen from the centre.
    pub square: f32,
    /// Distance between the vector and its decoded form, not squared, rounded up.
    pub error: f32,
}

/// The code of one vector.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Code {
    /// Levels: a byte each, or packed as [`NIBBLE_BLOCK`](crate::integer::NIBBLE_BLOCK) says,
    /// padded to 64 components.
    pub bytes: Vec<u8>,
    /// The numbers that go with them.
    pub factors: Factors,
}

impl Scalar {
    /// A quantiser around 0 or the mean of a sample, whichever errs less.
    ///
    /// # Errors
    /// [`TrainError::Config`], [`TrainError::Shape`], [`TrainError::NotFinite`];
    /// [`TrainError::TooFewRows`] if the sample is empty.
    pub fn train(sample: &[f32], dim: usize, config: Config) -> Result<Self, TrainError> {
        let rows = check_sample(sample, dim)?;
        if rows == 0 {
            return Err(TrainError::TooFewRows { rows, needed: 1 });
        }
        let mut sums = vec![0.0f64; dim];
        for row in sample.chunks_exact(dim) {
            for (sum, &x) in sums.iter_mut().zip(row) {
                *sum += f64::from(x);
            }
        }
        let mean = sums.iter().map(|sum| (sum / rows as f64) as f32).collect();
        let zero = Self::new(vec![0.0; dim], config)?;
        let around_mean = Self::new(mean, config)?;
        let error = |quantiser: &Self| -> f64 {
            let step = rows.div_ceil(PROBE_ROWS);
            let probes = sample.chunks_exact(dim).step_by(step);
            probes
                .map(|row| f64::from(quantiser.encode(row).factors.error).powi(2))
                .sum()
        };
        if error(&around_mean) < error(&zero) {
            Ok(around_mean)
        } else {
            Ok(zero)
        }
    }

    /// A quantiser around `centre`, which has one component per dimension, all finite.
    ///
    /// # Errors
    /// [`ConfigError::Dim`], [`ConfigError::Bits`], [`ConfigError::Metric`].
    pub fn new(centre: Vec<f32>, config: Config) -> Result<Self, ConfigError> {
        Self::with_isa(centre, config, Isa::active())
    }

    /// [`Scalar::new`] on another instruction set; codes and estimates are the same.
    ///
    /// # Errors
    /// As [`Scalar::new`].
    pub fn with_isa(centre: Vec<f32>, config: Config, isa: Isa) -> Result<Self, ConfigError> {
        check_dim(centre.len())?;
        metric_code(config.metric)?;
        if ![4, 8].contains(&config.bits) {
            return Err(ConfigError::Bits { bits: config.bits });
        }
        Ok(Self {
            config,
            centre,
            isa,
        })
    }

    /// What it was made with.
    #[must_use]
    pub fn config(&self) -> Config {
        self.config
    }

    /// What is subtracted from every vector.
    #[must_use]
    pub fn centre(&self) -> &[f32] {
        &self.centre
    }

    /// Components of a vector.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.centre.len()
    }

    /// Bytes of a code, without its factors.
    #[must_use]
    pub fn code_bytes(&self) -> usize {
        match self.config.bits {
            8 => self.dim(),
            _ => self.dim().next_multiple_of(64) / 2,
        }
    }

    /// The code of one vector. Its squared length must fit an `f32`.
    ///
    /// # Panics
    /// If `vector` is not [`Scalar::dim`] long.
    #[must_use]
    pub fn encode(&self, vector: &[f32]) -> Code {
        assert_eq!(vector.len(), self.dim(), "another dim");
        let seen: Vec<f32> = difference(vector, &self.centre);
        let (low, high) = seen
            .iter()
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &x| {
                (low.min(x), high.max(x))
            });
        let shrinks: &[f32] = if self.config.bits == 8 {
            &SHRINKS[..1]
        } else {
            &SHRINKS
        };
        let mut best = self.levels(&seen, low, high);
        for shrink in &shrinks[1..] {
            let (middle, half) = (0.5 * low + 0.5 * high, 0.5 * shrink * (high - low));
            let narrower = self.levels(&seen, middle - half, middle + half);
            if narrower.1.error < best.1.error {
                best = narrower;
            }
        }
        let (mut levels, factors) = best;
        let bytes = if self.config.bits == 8 {
            levels
        } else {
            levels.resize(self.dim().next_multiple_of(64), 0);
            let mut packed = vec![0; self.code_bytes()];
            pack_nibbles(&levels, &mut packed);
            packed
        };
        Code { bytes, factors }
    }

    /// Levels between two bounds, a byte each, and what they lose.
    fn levels(&self, seen: &[f32], low: f32, high: f32) -> (Vec<u8>, Factors) {
        let top = f32::from((1u16 << self.config.bits) - 1);
        let step = (high - low) / top;
        let per_step = if step > 0.0 { 1.0 / step } else { 0.0 };
        let (mut square, mut error) = (0.0f64, 0.0f64);
        let levels = seen
            .iter()
            .map(|&x| {
                // The cast takes what is clipped below to 0; `min` keeps the other end.
                let level = ((x - low) * per_step + 0.5).min(top) as u8;
                let decoded = f64::from(low) + f64::from(step) * f64::from(level);
                square += decoded * decoded;
                error += (f64::from(x) - decoded).powi(2);
                level
            })
            .collect();
        let factors = Factors {
            step,
            offset: low,
            square: square as f32,
            error: (error.sqrt() as f32).next_up(),
        };
        (levels, factors)
    }

    /// The vector that a code stands for.
    ///
    /// # Panics
    /// If the code has another length than those of this quantiser.
    #[must_use]
    pub fn decode(&self, bytes: &[u8], factors: Factors) -> Vec<f32> {
        assert_eq!(
            bytes.len(),
            self.code_bytes(),
            "a code of another quantiser"
        );
        let level = |at: usize| match self.config.bits {
            8 => bytes[at],
            _ => nibble(bytes, at),
        };
        let parts = self.centre.iter().enumerate();
        parts
            .map(|(at, c)| c + factors.offset + factors.step * f32::from(level(at)))
            .collect()
    }

    /// A query, ready to be compared with codes.
    ///
    /// # Panics
    /// If `query` is not [`Scalar::dim`] long.
    #[must_use]
    pub fn query(&self, query: &[f32]) -> Query {
        let mut filled = Query::new(self);
        filled.fill(self, query);
        filled
    }

    /// [`Scalar::query`] into a query that was used before, of this or another quantiser: takes no
    /// memory if it was as long.
    ///
    /// # Panics
    /// As [`Scalar::query`].
    pub fn fill_query(&self, query: &[f32], filled: &mut Query) {
        filled.fill(self, query);
    }

    /// The quantiser as bytes: `CRNSCLR1`, bits (1 byte), metric (1: 0 cosine, 1 l2, 2 dot), two
    /// zeros, `dim` (4), the centre (`dim` numbers of IEEE 754 binary32); little-endian.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let metric = metric_code(self.config.metric).expect("checked when it was made");
        let mut writer = Writer::new(MAGIC, 8 + 4 * self.dim());
        for byte in [self.config.bits, metric, 0, 0] {
            writer.u8(byte);
        }
        writer.u32(self.dim());
        writer.floats(&self.centre);
        writer.finish()
    }

    /// Reads what [`Scalar::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`FormatError`] for any other bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes, MAGIC)?;
        let bits = reader.u8()?;
        let metric = read_metric(&mut reader)?;
        reader.zeros(2)?;
        let dim = reader.u32()?;
        check_dim(dim)?;
        let centre = reader.floats(dim)?;
        reader.finish()?;
        Ok(Self::new(centre, Config { bits, metric })?)
    }
}

/// A query of a [`Scalar`] quantiser, in fixed point.
#[derive(Clone, Debug)]
pub struct Query {
    /// What is multiplied with codes, and its fixed form.
    factor: Vec<f32>,
    fixed: Fixed,
    config: Config,
    code_bytes: usize,
    /// The distance of the centre.
    add: f64,
    /// Length of the factor, and how far its fixed form is from it.
    norm: f64,
    rounding: f64,
    isa: Isa,
}

impl Query {
    /// A query of no components yet.
    fn new(quantiser: &Scalar) -> Self {
        Self {
            factor: Vec::new(),
            fixed: Fixed::default(),
            config: quantiser.config,
            code_bytes: 0,
            add: 0.0,
            norm: 0.0,
            rounding: 0.0,
            isa: quantiser.isa,
        }
    }

    fn fill(&mut self, quantiser: &Scalar, query: &[f32]) {
        assert_eq!(query.len(), quantiser.dim(), "another dim");
        self.config = quantiser.config;
        self.factor.clear();
        match self.config.metric {
            Metric::L2 => {
                let pairs = query.iter().zip(&quantiser.centre);
                self.factor.extend(pairs.map(|(x, c)| x - c));
            }
            _ => self.factor.extend_from_slice(query),
        }
        let square: f64 = products(&self.factor, &self.factor).sum();
        let centre_product = || products(query, &quantiser.centre).sum::<f64>();
        self.add = match self.config.metric {
            Metric::L2 => square,
            Metric::Cosine => 1.0 - centre_product(),
            _ => -centre_product(),
        };
        self.norm = square.sqrt();
        let length = match self.config.bits {
            8 => query.len(),
            _ => query.len().next_multiple_of(64),
        };
        self.fixed.fill(&self.factor, length);
        self.rounding = self.fixed.rounding(&self.factor);
        self.code_bytes = quantiser.code_bytes();
        self.isa = quantiser.isa;
    }

    /// The distance to the vector of a code. The error is a certain bound.
    ///
    /// # Panics
    /// If the code has another length than those of the quantiser.
    #[must_use]
    #[inline]
    pub fn estimate(&self, bytes: &[u8], factors: Factors) -> Estimate {
        /// Roundings to `f32`: of factors, distance and error.
        const ROUNDING: f64 = 4.0 / 16_777_216.0;
        assert_eq!(bytes.len(), self.code_bytes, "a code of another quantiser");
        let sum = match self.config.bits {
            8 => self.fixed.bytes(self.isa, bytes),
            _ => self.fixed.nibbles(self.isa, bytes),
        };
        let levels = f64::from(factors.step) * sum as f64;
        let offsets = f64::from(factors.offset) * self.fixed.sum as f64;
        let product = f64::from(self.fixed.unit) * (levels + offsets);
        let (square, e) = (f64::from(factors.square), f64::from(factors.error));
        let rounded = self.rounding * square.sqrt();
        let (distance, error, size) = match self.config.metric {
            Metric::L2 => {
                let distance = (self.add + square - 2.0 * product).max(0.0);
                // The true distance to the decoded vector may be larger by what was rounded.
                let decoded = distance + 2.0 * rounded;
                let error = 2.0 * e * decoded.sqrt() + e * e + 2.0 * rounded;
                (distance, error, self.add + square)
            }
            _ => {
                let error = e * self.norm + rounded;
                (self.add - product, error, self.add.abs() + product.abs())
            }
        };
        Estimate {
            distance: distance as f32,
            error: (error + ROUNDING * size) as f32,
        }
    }
}

fn difference(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(x, y)| x - y).collect()
}

/// In `f64`, where the product of two `f32` is exact.
fn products(a: &[f32], b: &[f32]) -> impl Iterator<Item = f64> {
    let pairs = a.iter().zip(b);
    pairs.map(|(&x, &y)| f64::from(x) * f64::from(y))
}
