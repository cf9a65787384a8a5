//! Unit length.

use std::error::Error;
use std::fmt;

/// The vector has no direction: every component is zero, or one is not finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZeroNorm;

impl fmt::Display for ZeroNorm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("vector has no direction: its norm is zero or not finite")
    }
}

impl Error for ZeroNorm {}

/// Scales `vector` to unit length in place and returns the length it had.
///
/// The sum of squares is taken in `f64`. Squares of `f32` lie in `[2^-298, 2^256]`, well inside the
/// range of `f64`, so nothing overflows, nothing is lost from vectors of denormal numbers, and no
/// scaling pass is needed. Each component is divided in `f64` and rounded once: the new length is
/// within `2^-23` of 1.
///
/// A length above [`f32::MAX`] is returned as `f32::MAX`; the scaled vector is right all the same.
///
/// # Errors
/// [`ZeroNorm`] if all components are zero, or if one is infinite or NaN; `vector` is then
/// unchanged.
///
/// # Examples
/// ```
/// let mut vector = [3.0, 4.0];
/// assert_eq!(cairn_distance::normalise(&mut vector), Ok(5.0));
/// assert_eq!(vector, [0.6, 0.8]);
/// assert!(cairn_distance::normalise(&mut [0.0, 0.0]).is_err());
/// ```
pub fn normalise(vector: &mut [f32]) -> Result<f32, ZeroNorm> {
    let norm = squares(vector).sqrt();
    if !(norm > 0.0 && norm.is_finite()) {
        return Err(ZeroNorm);
    }
    for component in vector {
        *component = (f64::from(*component) / norm) as f32;
    }
    Ok(norm.min(f64::from(f32::MAX)) as f32)
}

/// Sum of squares on eight independent chains, which the compiler turns into vector code.
fn squares(vector: &[f32]) -> f64 {
    let mut sums = [0.0f64; 8];
    let mut eights = vector.chunks_exact(8);
    for eight in &mut eights {
        for (sum, &x) in sums.iter_mut().zip(eight) {
            *sum += f64::from(x) * f64::from(x);
        }
    }
    for (sum, &x) in sums.iter_mut().zip(eights.remainder()) {
        *sum += f64::from(x) * f64::from(x);
    }
    sums.iter().sum()
}
