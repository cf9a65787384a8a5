//! Shells for x86-64 beyond its baseline.

mod avx2;
mod avx512;

pub(crate) use avx2::Avx2;
pub(crate) use avx512::{Avx512, Popcount};
