//! Indexes over vectors in memory: exact scans, HNSW graphs and quantised graphs.
//!
//! This crate knows rows and distances, and nothing else: no files, no keys, no threads of its own.
//! Rows live in [`Vectors`]; an index names them by number. What belongs to the world (threads,
//! progress, when to stop) is handed in.
//!
//! | want                                   | use                                         |
//! |----------------------------------------|---------------------------------------------|
//! | the exact answer, or a few rows        | [`flat::search`]                            |
//! | the exact answer over several matrices | [`flat::scan`] into one [`flat::TopK`]      |
//! | a fast answer over many rows           | [`Graph::build`], [`Graph::search`]         |
//! | a faster one over rows that stay       | [`qg::QuantisedGraph`]                      |
//! | more rows than memory has room for     | [`ivf::Ivf`]                                |
//! | rows that arrive one by one            | [`Graph::with_capacity`], [`Graph::insert`] |
//! | less memory read for each row          | [`Coded`], [`Graph::search_coded`]          |
//! | rows of which most components are zero | [`SparseIndex`]                             |
//! | several vectors a row                  | [`MultiVectors`]                            |
//!
//! Distances come from [`cairn_distance`]: smaller is nearer for every metric, `l2` is squared.
//! Cosine expects rows and queries of `f32` to be of unit length. Graphs and exact scans take rows of any
//! [`Component`], all else rows of `f32`.

#![deny(unsafe_code)]

mod arena;
mod beam;
mod bulk;
mod coded;
pub mod flat;
mod hit;
mod hnsw;
mod input;
pub mod ivf;
mod multi;
mod parallel;
pub mod qg;
mod query;
mod recall;
mod sparse;
mod vectors;
mod visited;

pub use cairn_distance::Metric;
pub use cairn_quantize::{Progress, SingleThread, TrainError, Workers};

pub use coded::{Coded, CodedFormatError, CodedSpace, Quantisation};
pub use hit::{Effort, HOPS_PER_LOOK, Hit, Stopped};
pub use hnsw::{BuildError, ConfigError, FormatError, Graph, HnswConfig, Report, Scratch};
pub use multi::{MultiQuery, MultiVectors};
pub use query::Query;
pub use recall::Point;
pub use sparse::SparseIndex;
pub use vectors::{Component, Lender, Vectors};
