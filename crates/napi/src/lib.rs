//! The Node addon: conversion and nothing else.
//!
//! Every class here is a thin shell around one of the engine's: it copies its arguments on the
//! JavaScript thread, hands the work to the engine's pool, and brings the answer back in one
//! piece. Four rules hold everywhere:
//!
//! - **Errors cross as data.** A call answers either its value or a `BindingError`; the
//!   TypeScript layer turns the latter into its one error class. Nothing is thrown or rejected.
//! - **Rows cross as one block of bytes.** Results of reads and searches are packed by
//!   `pack.rs` into a single buffer with a small header, so that a thousand rows cost as many
//!   Node-API calls as one.
//! - **Nothing unwinds into JavaScript.** Panics become `ERR_INTERNAL`, on whatever thread.
//! - **The JavaScript thread waits for nothing.** What is dropped on it goes to the pool first, when
//!   dropping it takes long (`owned.rs`); `searchSync` and `count` alone work there.

#![deny(missing_docs, unsafe_code)]

mod backup;
mod collection;
mod convert;
mod database;
mod error;
mod owned;
mod pack;
mod quality;
mod scan;
mod shape;
mod sources;
mod stats;
mod task;
pub mod verify;
mod versions;
mod writes;

use napi_derive::napi;

/// The kernels chosen on this machine, such as `avx512`.
#[napi]
#[must_use]
pub fn simd_level() -> String {
    cairn_engine::simd_level().to_owned()
}
