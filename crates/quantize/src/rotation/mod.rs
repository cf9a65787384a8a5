//! A random rotation in `O(dim log dim)`.
//!
//! # Why rotate
//!
//! A quantiser that treats all components alike wants vectors without preferred components. After a
//! random rotation the components of any vector look like draws from one normal distribution,
//! whatever the vector was, and the error of a code no longer depends on the data. A matrix of
//! random numbers does that in `dim^2` steps and as much memory; the product below mixes as well
//! for the purpose, in microseconds, and is stored as its seed.
//!
//! # How
//!
//! Vectors are padded with zeros to `n`, a multiple of 64 and not of a power of two: 784 becomes
//! 832 and not 1,024, which would be a quarter more of every code. With `t` the largest power of
//! two up to `n`, each of four rounds does
//!
//! ```text
//! signs      x[i] = s[i] * x[i], s[i] = +1 or -1 by a random bit
//! hadamard   x[w] = H x[w] / sqrt(t), over a window w of t components:
//!            the first t in rounds 0 and 2, the last t in rounds 1 and 3
//! walk       (x[i], x[i + n/2]) = (x[i] + x[i + n/2], x[i] - x[i + n/2]) / sqrt(2), unless t = n
//! ```
//!
//! The walk (after Kac's random walk) carries what one window mixed into the part that only the
//! other one covers.
//!
//! *Orthogonal*: signs are a diagonal of units; `H H = t`, and a window leaves the rest alone;
//! `(a + b)^2 + (a - b)^2 = 2 (a^2 + b^2)`. Every factor keeps every length, so the product does.
//! Both `H` and the walk are their own inverse up to scale, so the way back is the same steps in
//! reverse. Both scales are folded into the signs.
//!
//! *The same bits everywhere*: a butterfly is one addition and one subtraction of the same two
//! numbers on every instruction set, in the same order, and nothing is fused. A code written on one
//! processor is read by another, so this is a promise, and tested.
//!
//! Source: Ailon & Chazelle 2009 (signs and Hadamard transforms); Gao & others, RaBitQ 2024 and
//! SymphonyQG 2025 (as the rotation of binary codes).

mod fht;

use crate::Isa;
use crate::random::Random;

/// Components are padded to a multiple of this: the bits of a word, and of eight FastScan groups.
pub const PAD: usize = 64;

/// The longest vector that a rotation takes.
pub const DIM_MAX: usize = 1 << 16;

const ROUNDS: usize = 4;

/// A random rotation of vectors of `dim` components into `padded_dim` ones.
///
/// # Examples
/// ```
/// use cairn_quantize::Rotation;
///
/// let rotation = Rotation::new(100, 7);
/// assert_eq!(rotation.padded_dim(), 128);
/// let vector = vec![0.1; 100]; // of length 1
/// let mut rotated = vec![0.0; 128];
/// rotation.rotate(&vector, &mut rotated);
/// let length: f32 = rotated.iter().map(|x| x * x).sum();
/// assert!((length - 1.0).abs() < 1e-5);
///
/// rotation.unrotate(&mut rotated);
/// assert!(rotated[..100].iter().all(|x| (x - 0.1).abs() < 1e-5));
/// ```
#[derive(Clone, Debug)]
pub struct Rotation {
    dim: usize,
    padded_dim: usize,
    /// Components of a window.
    window: usize,
    seed: u64,
    /// One factor per component and round: the sign, times what makes the round orthogonal.
    factors: Vec<f32>,
    isa: Isa,
}

impl Rotation {
    /// The rotation that belongs to `seed`, for good.
    ///
    /// # Panics
    /// If `dim` is 0 or above [`DIM_MAX`].
    #[must_use]
    pub fn new(dim: usize, seed: u64) -> Self {
        Self::with_isa(dim, seed, Isa::active())
    }

    /// [`Rotation::new`] on another instruction set; gives the same bits.
    ///
    /// # Panics
    /// As [`Rotation::new`].
    #[must_use]
    pub fn with_isa(dim: usize, seed: u64, isa: Isa) -> Self {
        assert!((1..=DIM_MAX).contains(&dim), "dim is out of range");
        let padded_dim = dim.next_multiple_of(PAD);
        let window = 1 << padded_dim.ilog2();
        let walk = if window < padded_dim { 0.5 } else { 1.0 };
        let (inside, outside) = ((walk / window as f64).sqrt(), walk.sqrt());
        let mut random = Random::new(seed);
        let mut factors = Vec::with_capacity(ROUNDS * padded_dim);
        for round in 0..ROUNDS {
            let start = window_start(round, padded_dim, window);
            for word in 0..padded_dim / 64 {
                let bits = random.bits();
                for bit in 0..64 {
                    let at = word * 64 + bit;
                    let within = (start..start + window).contains(&at);
                    let scale = if within { inside } else { outside } as f32;
                    factors.push(if bits >> bit & 1 == 1 { -scale } else { scale });
                }
            }
        }
        Self {
            dim,
            padded_dim,
            window,
            seed,
            factors,
            isa,
        }
    }

    /// Components of a vector.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Components of a rotated vector: `dim` padded to a multiple of [`PAD`].
    #[must_use]
    pub fn padded_dim(&self) -> usize {
        self.padded_dim
    }

    /// What the rotation was made from.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Rotates `vector` into `rotated`. Its length is kept within a relative `1e-5`.
    ///
    /// # Panics
    /// If `vector` is not `dim` long or `rotated` not `padded_dim`.
    pub fn rotate(&self, vector: &[f32], rotated: &mut [f32]) {
        assert_eq!(vector.len(), self.dim, "another dim than the rotation's");
        assert_eq!(rotated.len(), self.padded_dim, "no room for the padding");
        rotated[..self.dim].copy_from_slice(vector);
        rotated[self.dim..].fill(0.0);
        self.rotate_padded(rotated);
    }

    /// [`Rotation::rotate`] in place, of a vector that was padded with zeros.
    ///
    /// # Panics
    /// If `vector` is not `padded_dim` long.
    pub fn rotate_padded(&self, vector: &mut [f32]) {
        assert_eq!(vector.len(), self.padded_dim, "not a padded vector");
        for round in 0..ROUNDS {
            self.scale(round, vector);
            self.hadamard(round, vector);
            self.walk(vector);
        }
    }

    /// Undoes [`Rotation::rotate`] in place; the vector is the first `dim` components, and of what
    /// was rotated before, the others are 0 but for rounding.
    ///
    /// # Panics
    /// If `rotated` is not `padded_dim` long.
    pub fn unrotate(&self, rotated: &mut [f32]) {
        assert_eq!(rotated.len(), self.padded_dim, "not a rotated vector");
        for round in (0..ROUNDS).rev() {
            self.walk(rotated);
            self.hadamard(round, rotated);
            self.scale(round, rotated);
        }
    }

    fn scale(&self, round: usize, vector: &mut [f32]) {
        let factors = &self.factors[round * self.padded_dim..][..self.padded_dim];
        for (x, factor) in vector.iter_mut().zip(factors) {
            *x *= factor;
        }
    }

    fn hadamard(&self, round: usize, vector: &mut [f32]) {
        let start = window_start(round, self.padded_dim, self.window);
        fht::transform(self.isa, &mut vector[start..start + self.window]);
    }

    fn walk(&self, vector: &mut [f32]) {
        if self.window == self.padded_dim {
            return;
        }
        let (low, high) = vector.split_at_mut(self.padded_dim / 2);
        for (a, b) in low.iter_mut().zip(high) {
            (*a, *b) = (*a + *b, *a - *b);
        }
    }
}

/// Where the window of a round begins.
fn window_start(round: usize, padded_dim: usize, window: usize) -> usize {
    if round.is_multiple_of(2) {
        0
    } else {
        padded_dim - window
    }
}
