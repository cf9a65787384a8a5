//! Short codes for vectors, and distances estimated from them with a bound on the error.
//!
//! A search over codes reads a tenth or a thirtieth of the memory that vectors take, and compares
//! many at once. What it finds are candidates; their exact distances decide. This crate makes
//! codes, and compares queries with them. It knows no graph, no row numbers and no file.
//!
//! | want                                            | use                          | bits per component |
//! |-------------------------------------------------|------------------------------|-------------------:|
//! | codes that need no training, estimates unbiased | [`rabitq`]                   |             1 to 8 |
//! | data of bytes or small whole numbers            | [`scalar`]                   |             4 or 8 |
//! | less than one bit a component                   | [`pq`], [`opq`]              |    from about 0.05 |
//! | 32 codes at once                                | [`fastscan`]                 |  signs, 4-bit `pq` |
//! | a partition of the data                         | [`kmeans`]                   |                    |
//!
//! # Bounds
//!
//! Every estimate comes with how far it may be off ([`Estimate`]): for certain with [`scalar`] and
//! [`pq`], which store what a code lost, and with a stated probability with [`rabitq`], which does
//! not need to. A candidate whose lower bound is above the worst distance kept needs no second
//! look.
//!
//! # One answer on every processor
//!
//! Rotations, codes of [`rabitq`] and [`scalar`], products of integers and FastScan sums are the
//! same to the bit on every instruction set ([`Isa`]). Codes are stored: a file written on one
//! machine is read on another. Codebooks of [`kmeans`], [`pq`] and [`opq`] are learnt once and
//! stored, and may differ in the last bits by where they were learnt.
//!
//! # Example
//! ```
//! use cairn_distance::Metric;
//! use cairn_quantize::rabitq::{Config, Rabitq};
//!
//! let rows: Vec<f32> = (0..6400).map(|i| ((i * i) as f32 * 0.11).sin()).collect();
//! let config = Config { bits: 1, metric: Metric::L2, seed: 7 };
//! let quantiser = Rabitq::train(&rows, 64, config)?;
//! let codes: Vec<_> = rows.chunks_exact(64).map(|row| quantiser.encode(row)).collect();
//! assert_eq!(codes[0].planes.len(), 1); // 64 bits instead of 256 bytes
//!
//! let query = quantiser.query(&rows[..64]);
//! let nearest = (0..codes.len()).min_by(|&a, &b| {
//!     let distance = |row: usize| query.coarse(&codes[row].planes, codes[row].coarse).distance;
//!     distance(a).total_cmp(&distance(b))
//! });
//! assert_eq!(nearest, Some(0));
//! # Ok::<(), cairn_quantize::TrainError>(())
//! ```

mod bytes;
mod eigen;
mod error;
mod estimate;
pub mod fastscan;
mod fixed;
pub mod integer;
mod isa;
pub mod kmeans;
pub mod opq;
pub mod pq;
pub mod rabitq;
mod random;
pub mod rotation;
pub mod scalar;
mod workers;

pub use error::{ConfigError, FormatError, TrainError};
pub use estimate::Estimate;
pub use isa::Isa;
pub use rotation::Rotation;
pub use workers::{Progress, SingleThread, Workers};
