//! The component types that have kernels.

use std::fmt;

use half::f16;

use crate::kernels::Table;
use crate::{Metric, Simd};

/// A component type that [`Kernels`](crate::Kernels) can compare: `f32`, [`struct@f16`], `i8`, or `u8`
/// for eight bits.
///
/// | type  | accumulated in | answer                                             |
/// |-------|----------------|----------------------------------------------------|
/// | `f32` | `f32`          | within the bound of [`reference`](crate::reference) |
/// | `f16` | `f32`          | the same bound; overflow is impossible              |
/// | `i8`  | `i32`          | exact, rounded once to `f32`                        |
/// | `u8`  | `i32`          | exact, rounded once to `f32`; `hamming` alone       |
///
/// Sealed: kernels exist for these types only.
pub trait Element:
    Sealed + Copy + Default + PartialEq + fmt::Debug + Send + Sync + 'static
{
    /// The stable name of the type: `"f32"`, `"f16"`, `"i8"`, `"u8"`.
    const NAME: &'static str;

    /// The longest vector the kernels take. Only `i8` and `u8` have a limit, the length up to which
    /// their 32-bit sums cannot overflow.
    const DIM_MAX: usize;

    /// Whether the cosine kernels take vectors to be of unit length, see [`Metric`].
    const UNIT_COSINE: bool;

    /// The same number in `f64`; exact.
    fn to_f64(self) -> f64;
}

pub trait Sealed: Sized {
    /// The kernels for `metric` on `simd`; `None` if this processor cannot run them, or if vectors of
    /// this type have no such distance.
    fn table(metric: Metric, simd: Simd) -> Option<Table<Self>>;
}

impl Element for f32 {
    const NAME: &'static str = "f32";
    const DIM_MAX: usize = usize::MAX;
    const UNIT_COSINE: bool = true;

    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

impl Element for f16 {
    const NAME: &'static str = "f16";
    const DIM_MAX: usize = usize::MAX;
    const UNIT_COSINE: bool = false;

    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(crate::scalar::half_to_f32(self))
    }
}

impl Element for i8 {
    const NAME: &'static str = "i8";
    const DIM_MAX: usize = 1 << 16;
    const UNIT_COSINE: bool = false;

    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

impl Element for u8 {
    const NAME: &'static str = "u8";
    const DIM_MAX: usize = 1 << 27;
    const UNIT_COSINE: bool = false;

    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

impl Sealed for f32 {
    fn table(metric: Metric, simd: Simd) -> Option<Table<Self>> {
        crate::dispatch::f32_table(metric, simd)
    }
}

impl Sealed for f16 {
    fn table(metric: Metric, simd: Simd) -> Option<Table<Self>> {
        crate::dispatch::f16_table(metric, simd)
    }
}

impl Sealed for i8 {
    fn table(metric: Metric, simd: Simd) -> Option<Table<Self>> {
        crate::dispatch::i8_table(metric, simd)
    }
}

impl Sealed for u8 {
    fn table(metric: Metric, simd: Simd) -> Option<Table<Self>> {
        crate::dispatch::u8_table(metric, simd)
    }
}
