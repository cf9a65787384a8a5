//! Indexes over vectors in memory: exact scans and HNSW graphs.
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
//! | rows that arrive one by one            | [`Graph::with_capacity`], [`Graph::insert`] |
//!
//! Distances come from [`cairn_distance`]: smaller is nearer for every metric, `l2` is squared.
//! Cosine expects rows and queries of unit length.

#![deny(unsafe_code)]

pub mod flat;
mod hit;
mod hnsw;
mod query;
mod vectors;
mod visited;
mod workers;

pub use cairn_distance::Metric;

pub use hit::{Effort, Hit, Stopped};
pub use hnsw::{BuildError, ConfigError, FormatError, Graph, HnswConfig, Report, Scratch};
pub use query::Query;
pub use vectors::Vectors;
pub use workers::{Progress, SingleThread, Workers};
