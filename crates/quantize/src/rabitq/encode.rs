//! From a vector to planes and factors.

use cairn_distance::Metric;

use super::{EPSILON, Factors, Rabitq, product};

/// Steps of the best even quantiser of a normal distribution of deviation 1, for `2^B` levels (Max
/// 1960, table II, carried on to 256 levels).
pub(super) const STEPS: [f64; 8] = [
    1.596, 0.9957, 0.5860, 0.3352, 0.1881, 0.1041, 0.0569, 0.0308,
];

/// Passes over the components that look for a better neighbour on the grid. Few vectors change
/// after the third.
const REFINEMENTS: usize = 5;

/// The code of one vector.
///
/// The planes are `bits * plane_words` words, most significant first; of these the first
/// `plane_words` are the signs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Code {
    /// All planes.
    pub planes: Vec<u64>,
    /// For the signs alone.
    pub coarse: Factors,
    /// For all planes together; the same as `coarse` for one bit.
    pub fine: Factors,
}

/// A point that codes are written around, instead of the quantiser's centre.
#[derive(Clone, Debug)]
pub struct Origin {
    vector: Vec<f32>,
    /// The origin as seen from the centre, rotated.
    rotated: Vec<f32>,
}

impl Origin {
    /// # Panics
    /// If `vector` is not [`Rabitq::dim`] long.
    #[must_use]
    pub fn new(quantiser: &Rabitq, vector: &[f32]) -> Self {
        assert_eq!(vector.len(), quantiser.dim(), "another dim");
        let seen = difference(vector, &quantiser.centre);
        let mut rotated = vec![0.0; quantiser.rotation.padded_dim()];
        quantiser.rotation.rotate(&seen, &mut rotated);
        Self {
            vector: vector.to_vec(),
            rotated,
        }
    }
}

/// Encodes vectors, keeping the memory it needs.
#[derive(Clone, Debug)]
pub struct Encoder<'a> {
    quantiser: &'a Rabitq,
    /// The vector as seen from its origin, rotated.
    rotated: Vec<f32>,
    /// Distance of each component from the middle of the grid, in steps, rounded down.
    levels: Vec<u8>,
}

impl<'a> Encoder<'a> {
    pub(super) fn new(quantiser: &'a Rabitq) -> Self {
        let padded_dim = quantiser.rotation.padded_dim();
        Self {
            quantiser,
            rotated: Vec::with_capacity(padded_dim),
            levels: vec![0; padded_dim],
        }
    }

    /// Encodes `vector` around the centre of the quantiser.
    ///
    /// # Panics
    /// If `vector` is not [`Rabitq::dim`] long.
    pub fn encode(&mut self, vector: &[f32], code: &mut Code) {
        let quantiser = self.quantiser;
        self.code(vector, &quantiser.centre, &[], code);
    }

    /// Encodes `vector` around `origin`. The same queries serve; the [`Base`](super::Base) of an
    /// estimate is then the query's as seen from the origin: the closer the vector is to its
    /// origin, the closer the estimate.
    ///
    /// # Panics
    /// If `vector` is not [`Rabitq::dim`] long.
    pub fn encode_around(&mut self, vector: &[f32], origin: &Origin, code: &mut Code) {
        self.code(vector, &origin.vector, &origin.rotated, code);
    }

    /// `shift` is the origin as seen from the centre, rotated; empty if it is the centre.
    fn code(&mut self, vector: &[f32], origin: &[f32], shift: &[f32], code: &mut Code) {
        let quantiser = self.quantiser;
        assert_eq!(vector.len(), quantiser.dim(), "another dim");
        self.rotated.clear();
        self.rotated
            .extend(vector.iter().zip(origin).map(|(x, y)| x - y));
        let around = Around {
            metric: quantiser.config.metric,
            square: product(&self.rotated, &self.rotated),
            origin_product: product(origin, &self.rotated),
            padded_dim: self.levels.len() as f64,
        };
        self.rotated.resize(self.levels.len(), 0.0);
        quantiser.rotation.rotate_padded(&mut self.rotated);
        let bits = quantiser.config.bits;
        code.planes.clear();
        code.planes
            .resize(quantiser.plane_words() * usize::from(bits), 0);

        // The grid of one bit has no other level.
        self.levels.fill(0);
        self.write_planes(1, &mut code.planes[..quantiser.plane_words()]);
        code.coarse = around.factors(self.measure(shift));
        code.fine = code.coarse;
        if bits > 1 {
            self.choose_levels(bits, around.square);
            self.write_planes(bits, &mut code.planes);
            code.fine = around.factors(self.measure(shift));
        }
    }

    /// The grid point next to the rotated vector, at the step that suits a normal distribution,
    /// moved along single components as long as that makes the angle smaller.
    fn choose_levels(&mut self, bits: u8, square: f64) {
        let top = (1u16 << (bits - 1)) - 1;
        let deviation = (square / self.rotated.len() as f64).sqrt();
        let step = STEPS[usize::from(bits) - 1] * deviation;
        let per_step = if step > 0.0 { 1.0 / step } else { 0.0 };
        let (mut along, mut length) = (0.0f64, 0.0f64);
        for (level, &x) in self.levels.iter_mut().zip(&self.rotated) {
            let size = f64::from(x.abs());
            // The cast stops at the largest u16, which `min` then lowers.
            let chosen = ((size * per_step) as u16).min(top);
            *level = chosen as u8;
            let value = f64::from(chosen) + 0.5;
            along += size * value;
            length += value * value;
        }
        for _ in 0..REFINEMENTS {
            let mut moved = false;
            for (level, &x) in self.levels.iter_mut().zip(&self.rotated) {
                let (size, value) = (f64::from(x.abs()), f64::from(*level) + 0.5);
                // The square of the cosine is along^2 / length, but for a constant.
                let up = (along + size, length + 2.0 * value + 1.0);
                let down = (along - size, length - 2.0 * value + 1.0);
                let better = |to: (f64, f64)| to.0 * to.0 * length > along * along * to.1;
                if u16::from(*level) < top && better(up) {
                    *level += 1;
                    ((along, length), moved) = (up, true);
                } else if *level > 0 && down.0 > 0.0 && better(down) {
                    *level -= 1;
                    ((along, length), moved) = (down, true);
                }
            }
            if !moved {
                break;
            }
        }
    }

    /// Writes level and sign of each component as a number from 0 to `2^bits - 1`, in planes.
    fn write_planes(&self, bits: u8, planes: &mut [u64]) {
        let words = planes.len() / usize::from(bits);
        let half = 1u16 << (bits - 1);
        let parts = self.rotated.as_chunks::<64>().0.iter();
        for (word, (part, levels)) in parts.zip(self.levels.as_chunks::<64>().0).enumerate() {
            let mut numbers = [0u16; 64];
            for ((number, x), &level) in numbers.iter_mut().zip(part).zip(levels) {
                *number = if x.is_sign_negative() {
                    half - 1 - u16::from(level)
                } else {
                    half + u16::from(level)
                };
            }
            for plane in 0..bits {
                let shift = bits - 1 - plane;
                let bit = |(at, number): (usize, &u16)| u64::from(number >> shift & 1) << at;
                let set = numbers.iter().enumerate().map(bit);
                planes[usize::from(plane) * words + word] = set.fold(0, |all, bit| all | bit);
            }
        }
    }

    /// Products of the chosen grid point.
    fn measure(&self, shift: &[f32]) -> Measured {
        let mut measured = Measured::default();
        let value = |x: f32, level: u8| (f64::from(level) + 0.5).copysign(f64::from(x));
        for (&x, &level) in self.rotated.iter().zip(&self.levels) {
            let value = value(x, level);
            measured.along += f64::from(x) * value;
            measured.square += value * value;
        }
        let shifts = shift.iter().zip(self.rotated.iter().zip(&self.levels));
        for (&shift, (&x, &level)) in shifts {
            measured.shift += f64::from(shift) * value(x, level);
        }
        measured
    }
}

/// Products with a point of the grid.
#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    /// With the rotated vector.
    along: f64,
    /// With itself.
    square: f64,
    /// With the shift of the origin.
    shift: f64,
}

/// What the factors of all codes of a vector share.
struct Around {
    metric: Metric,
    /// Squared length of the vector, as seen from its origin.
    square: f64,
    /// Its product with the origin.
    origin_product: f64,
    padded_dim: f64,
}

impl Around {
    fn factors(&self, grid: Measured) -> Factors {
        // Only a vector at its origin has no direction; its distance is the query's own.
        let ratio = if grid.along > 0.0 {
            self.square / grid.along
        } else {
            0.0
        };
        let inverse_cosine = ratio * ratio * grid.square / self.square.max(f64::MIN_POSITIVE);
        let deviation =
            (self.square * (inverse_cosine - 1.0).max(0.0) / (self.padded_dim - 1.0)).sqrt();
        let error = f64::from(EPSILON) * deviation;
        let factors = |add, rescale, error| Factors {
            add: add as f32,
            rescale: rescale as f32,
            error: error as f32,
        };
        match self.metric {
            Metric::L2 => {
                let add = self.square + 2.0 * ratio * grid.shift;
                factors(add, -2.0 * ratio, 2.0 * error)
            }
            _ => {
                let add = -self.origin_product + ratio * grid.shift;
                factors(add, -ratio, error)
            }
        }
    }
}

fn difference(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(x, y)| x - y).collect()
}

#[cfg(test)]
mod tests {
    use super::STEPS;

    /// Mean squared error of the even quantiser with `2^bits` levels for a normal distribution.
    fn error(bits: u8, step: f64) -> f64 {
        let top = f64::from((1u16 << (bits - 1)) - 1);
        let grain = 1e-3;
        let mut sum = 0.0;
        for at in 0..8000 {
            let z = (f64::from(at) + 0.5) * grain;
            let density = 2.0 * (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt();
            let value = ((z / step).floor().min(top) + 0.5) * step;
            sum += density * (z - value) * (z - value) * grain;
        }
        sum
    }

    #[test]
    fn no_other_step_errs_less() {
        for (bits, step) in (1u8..).zip(STEPS) {
            let at_step = error(bits, step);
            for other in [0.9, 0.97, 1.03, 1.1] {
                assert!(at_step < error(bits, step * other), "{bits} bits");
            }
        }
    }
}
