//! A query against codes of one row after the other.

use cairn_distance::Metric;

use super::{Base, EPSILON, Factors, Rabitq, product};
use crate::fixed::Fixed;
use crate::{Estimate, Isa};

/// A query of a [`Rabitq`] quantiser: rotated, and rounded to fixed point.
#[derive(Clone, Debug)]
pub struct Query {
    rotated: Vec<f32>,
    fixed: Fixed,
    base: Base,
    bits: u8,
    /// How far the product with the signs, and with all planes, may be off through rounding.
    coarse_slack: f32,
    fine_slack: f32,
    isa: Isa,
}

impl Query {
    /// A query of no components yet.
    pub(super) fn new(isa: Isa) -> Self {
        Self {
            rotated: Vec::new(),
            fixed: Fixed::default(),
            base: Base {
                add: 0.0,
                norm: 0.0,
            },
            bits: 1,
            coarse_slack: 0.0,
            fine_slack: 0.0,
            isa,
        }
    }

    pub(super) fn fill(&mut self, quantiser: &Rabitq, query: &[f32]) {
        assert_eq!(query.len(), quantiser.dim(), "another dim");
        self.rotated.clear();
        let pairs = query.iter().zip(&quantiser.centre);
        self.rotated.extend(pairs.map(|(x, c)| x - c));
        let square = product(&self.rotated, &self.rotated);
        let centre_product = quantiser.centre_square + product(&quantiser.centre, &self.rotated);
        self.rotated.resize(quantiser.rotation.padded_dim(), 0.0);
        quantiser.rotation.rotate_padded(&mut self.rotated);
        let add = match quantiser.config.metric {
            Metric::L2 => square,
            Metric::Cosine => 1.0 - centre_product,
            _ => -centre_product,
        };
        self.base = Base {
            add: add as f32,
            norm: square.sqrt() as f32,
        };
        let length = self.rotated.len();
        self.fixed.fill(&self.rotated, length);
        self.bits = quantiser.config.bits;
        let largest = f32::from((1u16 << self.bits) - 1) / 2.0;
        self.coarse_slack = slack(256.0 * self.fixed.unit, 0.5, length);
        self.fine_slack = slack(self.fixed.unit, largest, length);
        self.isa = quantiser.isa;
    }

    /// The query as seen from the centre, rotated: what a
    /// [`Lut`](crate::fastscan::Lut::fill_signs) is made from.
    #[must_use]
    pub fn rotated(&self) -> &[f32] {
        &self.rotated
    }

    /// The query's part of distances to codes around the centre.
    #[must_use]
    pub fn base(&self) -> Base {
        self.base
    }

    /// The product with the signs of a code, the first plane; off by [`Query::coarse_slack`] at
    /// most as often as a bound is missed.
    ///
    /// # Panics
    /// If `signs` is not one plane.
    #[must_use]
    #[inline]
    pub fn coarse_product(&self, signs: &[u64]) -> f32 {
        let sum = i64::from(crate::integer::bits(self.isa, signs, &self.fixed.high));
        // Twice the sum of +1/2 and -1/2 times components.
        (2 * sum - self.fixed.high_sum) as f32 * (128.0 * self.fixed.unit)
    }

    /// How far [`Query::coarse_product`] may be off.
    #[must_use]
    pub fn coarse_slack(&self) -> f32 {
        self.coarse_slack
    }

    /// The distance as the signs have it, for a code around the centre.
    ///
    /// The error is exceeded by about 5.7 in 100 estimates, see [`rabitq`](super).
    ///
    /// # Panics
    /// If `signs` is not one plane.
    #[must_use]
    #[inline]
    pub fn coarse(&self, signs: &[u64], factors: Factors) -> Estimate {
        factors.estimate(self.base, self.coarse_product(signs), self.coarse_slack)
    }

    /// The product with all planes of a code.
    ///
    /// # Panics
    /// If `planes` is not as many words as a code has.
    #[must_use]
    #[inline]
    pub fn fine_product(&self, planes: &[u64]) -> f32 {
        let words = self.rotated.len() / 64;
        assert_eq!(planes.len(), words * usize::from(self.bits), "all planes");
        let mut sum = 0;
        for plane in planes.chunks_exact(words) {
            sum = 2 * sum + self.fixed.bits(self.isa, plane);
        }
        let middle = i64::from((1u16 << self.bits) - 1);
        (2 * sum - middle * self.fixed.sum) as f32 * (0.5 * self.fixed.unit)
    }

    /// The distance as all planes have it, for a code around the centre.
    ///
    /// # Panics
    /// If `planes` is not as many words as a code has.
    #[must_use]
    #[inline]
    pub fn fine(&self, planes: &[u64], factors: Factors) -> Estimate {
        factors.estimate(self.base, self.fine_product(planes), self.fine_slack)
    }
}

/// A component is rounded by up to half a step, with deviation `step / sqrt(12)`; the grid point
/// that multiplies it has no component above `largest`.
fn slack(step: f32, largest: f32, padded_dim: usize) -> f32 {
    EPSILON * step * largest * (padded_dim as f32 / 12.0).sqrt()
}
