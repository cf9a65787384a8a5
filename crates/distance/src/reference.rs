//! The naive oracle: every distance in `f64`, term by term, and how far a kernel may be off.
//!
//! Written to be obviously right, and slow. Tests of this and other crates compare with it.
//!
//! # Examples
//! A kernel keeps to its bound:
//! ```
//! use cairn_distance::{Kernels, Metric, reference};
//!
//! let a: Vec<f32> = (0..300).map(|i| (i as f32).sin()).collect();
//! let b: Vec<f32> = (0..300).map(|i| (i as f32).cos()).collect();
//! let exact = reference::distance(Metric::L2, &a, &b);
//! let computed = Kernels::new(Metric::L2).one(&a, &b);
//! let bound = reference::error_bound::<f32>(Metric::L2, 300, exact);
//! assert!((f64::from(computed) - exact.distance).abs() <= bound);
//! ```

use crate::{Element, Metric};

/// A distance computed the slow and obvious way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reference {
    /// The distance.
    pub distance: f64,
    /// Sum of the absolute values of the terms: what rounding errors are proportional to. For
    /// cosine the terms are the products, of the vectors scaled to unit length unless
    /// [`Element::UNIT_COSINE`].
    pub magnitude: f64,
}

/// The distance between `a` and `b` in `f64`.
///
/// # Panics
/// If the lengths differ.
#[must_use]
pub fn distance<T: Element>(metric: Metric, a: &[T], b: &[T]) -> Reference {
    assert_eq!(a.len(), b.len(), "vectors of different lengths");
    let sum = |term: fn(f64, f64) -> f64| -> f64 {
        a.iter()
            .zip(b)
            .map(|(x, y)| term(x.to_f64(), y.to_f64()))
            .sum()
    };
    match metric {
        Metric::L2 => growing(sum(|x, y| (x - y) * (x - y))),
        Metric::L1 => growing(sum(|x, y| (x - y).abs())),
        Metric::Hamming => growing(sum(|x, y| f64::from((x as u64 ^ y as u64).count_ones()))),
        Metric::Dot => Reference {
            distance: -sum(|x, y| x * y),
            magnitude: sum(|x, y| (x * y).abs()),
        },
        Metric::Cosine => {
            let lengths = if T::UNIT_COSINE {
                1.0
            } else {
                sum(|x, _| x * x).sqrt() * sum(|_, y| y * y).sqrt()
            };
            if lengths == 0.0 {
                return Reference {
                    distance: 1.0,
                    magnitude: 0.0,
                };
            }
            Reference {
                distance: (1.0 - sum(|x, y| x * y) / lengths).clamp(0.0, 2.0),
                magnitude: sum(|x, y| (x * y).abs()) / lengths,
            }
        }
    }
}

/// The largest error a kernel over `T` may make on vectors of `dim` components.
///
/// With `u = 2^-24`, `T = magnitude`, and `s = dim / 4 + 16` roundings that a term passes through:
///
/// | metric            | `f32`, `f16`                                    | `i8`             |
/// |-------------------|-------------------------------------------------|------------------|
/// | `l2`, `l1`, `dot` | `s * u * T + dim * 2^-149`                      | `u * distance`   |
/// | `cosine`          | the same, plus `2 * u` for the last subtraction | `2 * u`          |
/// | `cosine`, `f16`   | `2 * s * u * T + 6 * u`                         |                  |
///
/// Of the last line, one `s * u * T` comes from the product and one from the two lengths, whose
/// errors are halved by the root; `6 * u` from multiplication, root, division and subtraction.
/// Terms of second order are covered by a hundredth on top.
#[must_use]
pub fn error_bound<T: Element>(metric: Metric, dim: usize, exact: Reference) -> f64 {
    let unit = 2f64.powi(-24);
    let steps = dim as f64 / 4.0 + 16.0;
    let sum = steps * unit * exact.magnitude + dim as f64 * 2f64.powi(-149);
    let bound = match (T::NAME, metric) {
        ("i8", Metric::Cosine) => 2.0 * unit,
        ("i8" | "u8", _) => unit * exact.distance.abs(),
        (_, Metric::Cosine) if T::UNIT_COSINE => sum + 2.0 * unit,
        (_, Metric::Cosine) => 2.0 * steps * unit * exact.magnitude + 6.0 * unit,
        (_, _) => sum,
    };
    1.01 * bound
}

/// A sum of terms none of which is negative.
fn growing(sum: f64) -> Reference {
    Reference {
        distance: sum,
        magnitude: sum,
    }
}
