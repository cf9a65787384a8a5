//! A query in fixed point, so that products with codes are integers.

use crate::{Isa, integer};

/// The largest component in fixed point: `127 * 256`, so that its high byte stays an `i8`.
const LIMIT: f64 = 32_512.0;

/// A vector rounded to 16 bits a component, in one unit for all, as two vectors of bytes:
/// component `i` is about `unit * (256 * high[i] + low[i])`.
///
/// The rounding of one component is at most `unit / 2`; that of the high bytes alone, which take
/// half the time, `128.5 * unit`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fixed {
    pub(crate) high: Vec<i8>,
    low: Vec<i8>,
    pub(crate) unit: f32,
    /// Sums of the components, of the high bytes alone and of both.
    pub(crate) high_sum: i64,
    pub(crate) sum: i64,
}

impl Fixed {
    /// Becomes `vector`, padded with zeros to `len`. Keeps its memory.
    pub(crate) fn fill(&mut self, vector: &[f32], len: usize) {
        let largest = vector.iter().fold(0.0f32, |max, x| max.max(x.abs()));
        // Not above the largest f32 divided by anything: finite components give a finite unit.
        self.unit = (f64::from(largest) / LIMIT) as f32;
        let scale = if self.unit > 0.0 {
            1.0 / f64::from(self.unit)
        } else {
            0.0
        };
        for bytes in [&mut self.high, &mut self.low] {
            bytes.clear();
            bytes.resize(len, 0);
        }
        (self.high_sum, self.sum) = (0, 0);
        let bytes = self.high.iter_mut().zip(&mut self.low);
        for (&x, (high, low)) in vector.iter().zip(bytes) {
            let scaled = (f64::from(x) * scale).clamp(-LIMIT, LIMIT);
            // Rounds to the nearest, without a call where the baseline has no such instruction.
            let whole = (scaled + 32_768.5) as i32 - 32_768;
            let upper = (whole + 128) >> 8;
            *high = upper as i8;
            *low = (whole - 256 * upper) as i8;
            self.high_sum += i64::from(upper);
            self.sum += i64::from(whole);
        }
    }

    /// The distance between `vector`, of which this was made, and its rounded form.
    pub(crate) fn rounding(&self, vector: &[f32]) -> f64 {
        let bytes = self.high.iter().zip(&self.low);
        let squares = vector.iter().zip(bytes).map(|(&x, (&high, &low))| {
            let whole = 256.0 * f64::from(high) + f64::from(low);
            (f64::from(x) - f64::from(self.unit) * whole).powi(2)
        });
        squares.sum::<f64>().sqrt()
    }

    /// The sum of the components whose bit is set.
    #[inline]
    pub(crate) fn bits(&self, isa: Isa, words: &[u64]) -> i64 {
        self.both(|part| integer::bits(isa, words, part))
    }

    /// The product with byte codes.
    #[inline]
    pub(crate) fn bytes(&self, isa: Isa, codes: &[u8]) -> i64 {
        self.both(|part| integer::bytes(isa, codes, part))
    }

    /// The product with four-bit codes.
    #[inline]
    pub(crate) fn nibbles(&self, isa: Isa, packed: &[u8]) -> i64 {
        self.both(|part| integer::nibbles(isa, packed, part))
    }

    #[inline]
    fn both(&self, product: impl Fn(&[i8]) -> i32) -> i64 {
        256 * i64::from(product(&self.high)) + i64::from(product(&self.low))
    }
}

#[cfg(test)]
mod tests {
    use super::Fixed;

    #[test]
    fn every_component_is_within_half_a_unit() {
        let mut fixed = Fixed::default();
        for scale in [1e-30f32, 1.0, 1e30] {
            let vector: Vec<f32> = (0..100).map(|i| (i as f32 * 0.7).sin() * scale).collect();
            fixed.fill(&vector, 128);
            let whole = |at| 256.0 * f64::from(fixed.high[at]) + f64::from(fixed.low[at]);
            for (at, &x) in vector.iter().enumerate() {
                let error = f64::from(x) - f64::from(fixed.unit) * whole(at);
                assert!(
                    error.abs() <= 0.5001 * f64::from(fixed.unit),
                    "{at} {error}"
                );
                let coarse = f64::from(fixed.unit) * 256.0 * f64::from(fixed.high[at]);
                assert!((f64::from(x) - coarse).abs() <= 128.6 * f64::from(fixed.unit));
            }
            assert_eq!(whole(120), 0.0);
        }
        fixed.fill(&[0.0; 3], 64);
        assert_eq!((fixed.unit, fixed.sum), (0.0, 0));
    }
}
