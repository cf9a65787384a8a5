//! Distances between dense vectors: one kernel per element type, metric and instruction set,
//! chosen once at run time.
//!
//! # The idea
//!
//! Nearly all the time of a vector search goes into one loop: load a piece of two vectors, combine,
//! add up. This crate holds that loop and nothing else. It knows no index, no file and no thread.
//!
//! * [`Kernels`] is what callers hold: a few function pointers for one [`Metric`] and one
//!   [`Element`] type (`f32`, [`struct@f16`], `i8`, `u8` for eight bits), behind safe functions that
//!   check lengths.
//! * The loop exists once, in `generic`, over a trait of register operations; `scalar`, `x86_64`
//!   and `aarch64` supply the registers. The essay on why it is fast and how wrong it can be is at
//!   the top of `generic/mod.rs`.
//! * [`reference`](mod@reference) is the oracle: `f64`, term by term, with the error bound as a
//!   function. Every kernel is tested against it at every dimension up to 4096.
//!
//! # Choosing the instruction set
//!
//! The crate compiles for the baseline of its target, and picks the best set the processor has when
//! the first kernels are asked for. `CAIRN_SIMD` overrides the choice, see [`Simd::active`].
//! Compiling for one processor instead would give binaries that crash on older ones,
//! and one file of code per instruction set would make each kernel a chance to differ.
//!
//! # Example
//! ```
//! use cairn_distance::{Kernels, Metric, normalise};
//!
//! // Three stored vectors of two components, one after the other, of unit length.
//! let mut base = [3.0f32, 4.0, -1.0, 0.0, 5.0, 12.0];
//! for vector in base.chunks_exact_mut(2) {
//!     normalise(vector)?;
//! }
//! let mut query = [1.0, 2.0];
//! normalise(&mut query)?;
//!
//! let mut distances = [0.0; 3];
//! Kernels::new(Metric::Cosine).block(&query, &base, 2, &mut distances);
//! let cosines = distances.map(|distance| Metric::Cosine.score(distance));
//! for (cosine, expected) in cosines.into_iter().zip([0.98387, -0.44721, 0.99763]) {
//!     assert!((cosine - expected).abs() < 1e-5);
//! }
//! # Ok::<(), cairn_distance::ZeroNorm>(())
//! ```

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod aarch64;
mod dispatch;
mod element;
mod generic;
mod huge_pages;
mod kernels;
mod metric;
mod normalise;
mod prefetch;
pub mod reference;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub use half::f16;

pub use dispatch::{Choice, Simd, choose};
pub use element::Element;
pub use huge_pages::advise_huge_pages;
pub use kernels::Kernels;
pub use metric::{Metric, UnknownMetric};
pub use normalise::{ZeroNorm, normalise};
pub use prefetch::{prefetch, prefetch_f32, prefetch_slice};
