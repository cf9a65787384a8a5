//! RaBitQ: codes of 1 to 8 bits a component, with unbiased estimates and a bound on their error.
//!
//! # The idea
//!
//! Let `c` be a centre, `r = v - c` a vector seen from it and `p = q - c` a query. Everything that
//! a distance needs besides two lengths is `<p, r>`. Rotate both at random. The code of `r` is the
//! point `x` of a grid (components `-1/2, +1/2` for one bit; odd multiples of `1/2` up to `(2^B -
//! 1)/2` for `B`) that has the smallest angle with the rotated `r`. Then
//!
//! ```text
//! <p, r>  is about  f * <p', x>,    f = |r|^2 / <r', x>
//! ```
//!
//! *Unbiased*: split `p'` into the part along `r'` and a part orthogonal to it. The first is exact
//! by the choice of `f`. The second meets `x` only in what of `x` is orthogonal to `r'`, which
//! after a random rotation points anywhere with equal probability, so its mean is 0 and its
//! deviation is
//!
//! ```text
//! |p| |r| sqrt((1/a^2 - 1) / (n - 1)),    a = cos(x, r'), n = padded dim
//! ```
//!
//! [`EPSILON`] of these are the stated bound: `1.9` deviations of what is nearly a normal
//! distribution are exceeded by 5.7 in 100 estimates, 2.9 on either side. For one bit `a` is near
//! `sqrt(2/pi) = 0.80`; each further bit nearly halves `sqrt(1/a^2 - 1)`.
//!
//! # Distances
//!
//! Each is `base.add + add + rescale * <p', x>`, with `base` of the query and the rest of the code:
//!
//! | metric   | `base.add`    | `add`      | `rescale` |
//! |----------|---------------|------------|-----------|
//! | `l2`     | `abs(p)^2`    | `abs(r)^2` | `-2 f`    |
//! | `dot`    | `- <q, c>`    | `- <c, r>` | `- f`     |
//! | `cosine` | `1 - <q, c>`  | `- <c, r>` | `- f`     |
//!
//! A code may also be written around another origin than the quantiser's centre, such as the vertex
//! of a graph whose neighbour it is: [`Encoder::encode_around`]. The same rotated query serves all
//! origins; what differs goes into `add`.
//!
//! # Codes
//!
//! A code is `B` bit planes of `n / 64` words, most significant first. The first plane holds the
//! signs and is a code of one bit by itself, with factors of its own; the others, the remainder,
//! refine it. Both are had with integer arithmetic from a query in fixed point
//! ([`integer::bits`](crate::integer::bits)), of 8 bits for the signs and 16 for the whole; what
//! rounding the query costs is in the bound. Signs of 32 codes together go through
//! [`fastscan`](crate::fastscan).
//!
//! *Refused*: grids that are not even (Lloyd-Max levels). Their squared error is smaller, by 18 % with
//! 4 bits (Max 1960), and they cannot be added up in integers, nor divided into planes.
//!
//! Source: Gao & Long, RaBitQ, SIGMOD 2024 (estimator and bound); Gao & others, SIGMOD 2025
//! (several bits); Max 1960 (the step of the grid). Difference: the remainder is stored in planes,
//! and several bits start from Max's step, then climb by coordinates.

mod edge;
mod encode;
mod format;
mod query;

pub use edge::{Edge, encode_edge};
pub use encode::{Code, Encoder, Origin};
pub use query::Query;

use cairn_distance::Metric;

use crate::error::{check_dim, check_sample};
use crate::rotation::Rotation;
use crate::{ConfigError, Estimate, Isa, TrainError};

/// Deviations that a bound covers.
pub const EPSILON: f32 = 1.9;

/// The most bits a component may have.
pub const BITS_MAX: u8 = 8;

/// What a quantiser is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Bits per component, 1 to 8. More: closer estimates, longer codes.
    pub bits: u8,
    /// `Cosine`, `L2` or `Dot`; cosine expects vectors and queries of unit length.
    pub metric: Metric,
    /// Decides the rotation.
    pub seed: u64,
}

/// A RaBitQ quantiser: a rotation and a centre.
///
/// # Examples
/// ```
/// use cairn_distance::Metric;
/// use cairn_quantize::rabitq::{Config, Rabitq};
///
/// let rows: Vec<f32> = (0..4000).map(|i| ((i * i) as f32 * 0.37).sin()).collect();
/// let config = Config { bits: 4, metric: Metric::L2, seed: 1 };
/// let quantiser = Rabitq::train(&rows, 40, config)?;
/// let (query, row) = (&rows[..40], &rows[40..80]);
///
/// let code = quantiser.encode(row);
/// let estimate = quantiser.query(query).fine(&code.planes, code.fine);
/// let exact: f32 = query.iter().zip(row).map(|(x, y)| (x - y) * (x - y)).sum();
/// assert!((estimate.distance - exact).abs() < 0.1 * exact);
/// # Ok::<(), cairn_quantize::TrainError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rabitq {
    config: Config,
    rotation: Rotation,
    centre: Vec<f32>,
    /// Squared length of the centre.
    centre_square: f64,
    isa: Isa,
}

impl Rabitq {
    /// A quantiser around the mean of a sample, `[rows, dim]` row by row.
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
        let centre = sums.iter().map(|sum| (sum / rows as f64) as f32).collect();
        Ok(Self::new(centre, config)?)
    }

    /// A quantiser around `centre`, which has one component per dimension, all finite.
    ///
    /// # Errors
    /// [`ConfigError::Dim`], [`ConfigError::Bits`], [`ConfigError::Metric`].
    pub fn new(centre: Vec<f32>, config: Config) -> Result<Self, ConfigError> {
        Self::with_isa(centre, config, Isa::active())
    }

    /// [`Rabitq::new`] on another instruction set; codes and estimates are the same.
    ///
    /// # Errors
    /// As [`Rabitq::new`].
    pub fn with_isa(centre: Vec<f32>, config: Config, isa: Isa) -> Result<Self, ConfigError> {
        check_dim(centre.len())?;
        crate::bytes::metric_code(config.metric)?;
        if !(1..=BITS_MAX).contains(&config.bits) {
            return Err(ConfigError::Bits { bits: config.bits });
        }
        Ok(Self {
            config,
            rotation: Rotation::with_isa(centre.len(), config.seed, isa),
            centre_square: product(&centre, &centre),
            centre,
            isa,
        })
    }

    /// What it was made with.
    #[must_use]
    pub fn config(&self) -> Config {
        self.config
    }

    /// Components of a vector.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.centre.len()
    }

    /// The rotation of vectors and queries, after the centre was subtracted.
    #[must_use]
    pub fn rotation(&self) -> &Rotation {
        &self.rotation
    }

    /// Words of one plane: a code has [`Config::bits`] planes.
    #[must_use]
    pub fn plane_words(&self) -> usize {
        self.rotation.padded_dim() / 64
    }

    /// Something that encodes one vector after the other without taking memory for each.
    #[must_use]
    pub fn encoder(&self) -> Encoder<'_> {
        Encoder::new(self)
    }

    /// The code of one vector. Its squared length must fit an `f32`.
    ///
    /// # Panics
    /// If `vector` is not [`Rabitq::dim`] long.
    #[must_use]
    pub fn encode(&self, vector: &[f32]) -> Code {
        let mut code = Code::default();
        self.encoder().encode(vector, &mut code);
        code
    }

    /// The vector that a code stands for: longer by `1/a` than the nearest one on its ray, because
    /// an estimate from it shall be unbiased.
    ///
    /// The code must be around the quantiser's centre.
    ///
    /// # Panics
    /// If the planes are not those of a code of this quantiser.
    #[must_use]
    pub fn decode(&self, code: &Code) -> Vec<f32> {
        self.check_planes(&code.planes);
        let per_product = match self.config.metric {
            Metric::L2 => -0.5,
            _ => -1.0,
        };
        let scale = code.fine.rescale * per_product;
        let words = self.plane_words();
        let half = f32::from((1u16 << self.config.bits) - 1) / 2.0;
        let mut vector: Vec<f32> = (0..self.rotation.padded_dim())
            .map(|at| {
                let planes = code.planes.chunks_exact(words);
                let level = planes.fold(0u16, |level, plane| {
                    level << 1 | (plane[at / 64] >> (at % 64) & 1) as u16
                });
                scale * (f32::from(level) - half)
            })
            .collect();
        self.rotation.unrotate(&mut vector);
        vector.truncate(self.dim());
        for (x, c) in vector.iter_mut().zip(&self.centre) {
            *x += c;
        }
        vector
    }

    /// A query, ready to be compared with codes.
    ///
    /// # Panics
    /// If `query` is not [`Rabitq::dim`] long.
    #[must_use]
    pub fn query(&self, query: &[f32]) -> Query {
        let mut filled = Query::new(self.isa);
        filled.fill(self, query);
        filled
    }

    /// [`Rabitq::query`] into a query that was used before, of this or another quantiser: takes no
    /// memory if it was as long.
    ///
    /// # Panics
    /// As [`Rabitq::query`].
    pub fn fill_query(&self, query: &[f32], filled: &mut Query) {
        filled.fill(self, query);
    }

    fn check_planes(&self, planes: &[u64]) {
        let expected = self.plane_words() * usize::from(self.config.bits);
        assert_eq!(planes.len(), expected, "a code of another quantiser");
    }
}

/// What of a distance belongs to the query, seen from an origin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Base {
    /// The summand; see the table of [`rabitq`](self).
    pub add: f32,
    /// Length of the query as seen from the origin, which the error is proportional to.
    pub norm: f32,
}

impl Base {
    /// Of a query at squared distance `distance` from an origin of codes, under `l2`.
    #[must_use]
    pub fn l2(distance: f32) -> Self {
        Self {
            add: distance,
            norm: distance.max(0.0).sqrt(),
        }
    }
}

/// What of a distance belongs to the code.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Factors {
    /// The summand; see the table of [`rabitq`](self).
    pub add: f32,
    /// What the product of query and code is multiplied by.
    pub rescale: f32,
    /// The bound on the error for a query of length 1.
    pub error: f32,
}

impl Factors {
    /// The distance for a `product` of query and code that is itself known within `slack`.
    #[must_use]
    #[inline]
    pub fn estimate(self, base: Base, product: f32, slack: f32) -> Estimate {
        /// Roundings of this computation and of the factors: `4 * 2^-24` of what is added.
        const ROUNDING: f32 = 4.0 / 16_777_216.0;
        let term = self.rescale * product;
        let size = base.add.abs() + self.add.abs() + term.abs();
        Estimate {
            distance: (base.add + self.add) + term,
            error: (self.error * base.norm + self.rescale.abs() * slack) + ROUNDING * size,
        }
    }
}

/// In `f64`, where the product of two `f32` is exact.
fn product(a: &[f32], b: &[f32]) -> f64 {
    let pairs = a.iter().zip(b);
    pairs.map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
}
