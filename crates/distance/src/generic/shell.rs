//! From an instruction set to its tables of kernels.

use half::f16;

use super::{Bytes, Floats, Fold, float, int};
use crate::Metric;
use crate::kernels::Table;

/// An instruction set: its registers, and shells in which its instructions are enabled.
pub(crate) trait Isa: Floats + Bytes + Sized {
    /// Whether this processor has it.
    fn is_available() -> bool;

    /// The kernels of one fold. Calling them is sound only if [`Isa::is_available`].
    fn table<F: Fold>() -> Table<F::Element>;
}

/// Writes [`Isa::table`]: one shell around each function of [`generic`](super), with the target
/// features named, and the size of the tile of `matrix` (queries, rows).
macro_rules! shells {
    ($(features = $features:literal,)? tile = $queries:literal, $rows:literal) => {
        fn table<F: $crate::generic::Fold>() -> $crate::kernels::Table<F::Element> {
            $(#[target_feature(enable = $features)])?
            unsafe fn pair<F: $crate::generic::Fold>(a: &[F::Element], b: &[F::Element]) -> f32 {
                // SAFETY: the features are enabled here; the rest is the caller's promise.
                unsafe { $crate::generic::pair::<F>(a, b) }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn bounded<F: $crate::generic::Fold>(
                a: &[F::Element],
                b: &[F::Element],
                bound: f32,
            ) -> f32 {
                // SAFETY: the features are enabled here; the rest is the caller's promise.
                unsafe { $crate::generic::bounded::<F>(a, b, bound) }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn many<F: $crate::generic::Fold>(
                query: &[F::Element],
                base: &[F::Element],
                stride: usize,
                rows: &[u32],
                out: &mut [f32],
            ) {
                // SAFETY: the features are enabled here; the rest is the caller's promise.
                unsafe { $crate::generic::many::<F>(query, base, stride, rows, out) }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn block<F: $crate::generic::Fold>(
                query: &[F::Element],
                base: &[F::Element],
                stride: usize,
                out: &mut [f32],
            ) {
                // SAFETY: the features are enabled here; the rest is the caller's promise.
                unsafe { $crate::generic::block::<F>(query, base, stride, out) }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn matrix<F: $crate::generic::Fold>(
                queries: &[F::Element],
                base: &[F::Element],
                dim: usize,
                out: &mut [f32],
            ) {
                // SAFETY: the features are enabled here; the rest is the caller's promise.
                unsafe { $crate::generic::matrix::<F, $queries, $rows>(queries, base, dim, out) }
            }

            $crate::kernels::Table {
                pair: pair::<F>,
                bounded: bounded::<F>,
                many: many::<F>,
                block: block::<F>,
                matrix: matrix::<F>,
            }
        }
    };
}

pub(crate) use shells;

/// The kernels over `f32`; `None` if the processor cannot run them.
pub(crate) fn f32_table<I: Isa>(metric: Metric) -> Option<Table<f32>> {
    Some(match metric {
        _ if !I::is_available() => return None,
        Metric::Cosine => I::table::<float::FloatFold<I, f32, float::UnitCosine>>(),
        Metric::L2 => I::table::<float::FloatFold<I, f32, float::L2>>(),
        Metric::Dot => I::table::<float::FloatFold<I, f32, float::Dot>>(),
        Metric::L1 => I::table::<float::FloatFold<I, f32, float::L1>>(),
        Metric::Hamming => return None,
    })
}

/// The kernels over `f16`; `None` if the processor cannot run them.
pub(crate) fn f16_table<I: Isa>(metric: Metric) -> Option<Table<f16>> {
    Some(match metric {
        _ if !I::is_available() => return None,
        Metric::Cosine => I::table::<float::CosineFold<I, f16>>(),
        Metric::L2 => I::table::<float::FloatFold<I, f16, float::L2>>(),
        Metric::Dot => I::table::<float::FloatFold<I, f16, float::Dot>>(),
        Metric::L1 => I::table::<float::FloatFold<I, f16, float::L1>>(),
        Metric::Hamming => return None,
    })
}

/// The kernels over `i8`; `None` if the processor cannot run them.
pub(crate) fn i8_table<I: Isa>(metric: Metric) -> Option<Table<i8>> {
    Some(match metric {
        _ if !I::is_available() => return None,
        Metric::Cosine => I::table::<int::CosineFold<I>>(),
        Metric::L2 => I::table::<int::IntFold<I, int::L2>>(),
        Metric::Dot => I::table::<int::IntFold<I, int::Dot>>(),
        Metric::L1 => I::table::<int::L1Fold<I>>(),
        Metric::Hamming => return None,
    })
}

/// The kernel over bits; `None` if the processor cannot run it, and for any other metric.
pub(crate) fn u8_table<I: Isa>(metric: Metric) -> Option<Table<u8>> {
    (metric == Metric::Hamming && I::is_available()).then(I::table::<int::HammingFold<I>>)
}
