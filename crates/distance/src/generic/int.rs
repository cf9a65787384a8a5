//! Folds in 32-bit integer lanes, for `i8` components and for bits. Exact.
//!
//! On x86 components are widened to 16 bits, where the multiply-and-add-pairs instruction takes
//! them: a pair gives at most `2 * 128^2 = 2^15` of products or `2 * 255^2 < 2^17` of squared
//! differences. The byte form of that instruction (`maddubs`) is not used: it saturates at 16 bits,
//! which `2 * 128 * 128` exceeds, and wants one side unsigned, for which `-128` has no counterpart.
//! Arm multiplies bytes to 16 bits without saturating, so there bytes stay bytes; a difference of
//! two `i8` is taken absolute, which fits a byte, and the square of that fits 16 bits.
//!
//! *No overflow*: sums are kept modulo `2^32`, which loses nothing as long as the true total has one
//! reading. Over `2^16` components, the longest vector accepted, products add up to `+-2^30`, read
//! as `i32`; squared differences add up to at most `2^16 * 255^2 < 2^32` and absolute ones to less,
//! read as `u32`. The result is rounded once, to `f32`.
//!
//! Absolute differences take another road on x86: bytes stay bytes, and the instruction that sums
//! absolute differences of unsigned bytes does all the work. Flipping the top bit maps `i8` to `u8`
//! in order, which keeps differences. Bits that differ are counted in the same registers: a flip of both
//! sides changes none of them.

use std::marker::PhantomData;

use super::Fold;

/// Registers of small integers.
///
/// # Safety
/// As for [`Fold`].
pub(crate) trait Bytes {
    /// `WIDTH` components, in the form that products want.
    type Reg: Copy;
    /// `RAW_WIDTH` components, in the form that absolute differences want.
    type Raw: Copy;
    /// 32-bit sums, modulo `2^32`.
    type Sums: Copy;

    const WIDTH: usize;
    const RAW_WIDTH: usize;

    unsafe fn zero() -> Self::Sums;
    unsafe fn add(x: Self::Sums, y: Self::Sums) -> Self::Sums;
    /// The sum of the lanes, modulo `2^32`.
    unsafe fn sum(x: Self::Sums) -> i32;

    unsafe fn load(from: *const i8) -> Self::Reg;
    unsafe fn load_tail(from: *const i8, count: usize) -> Self::Reg;
    /// Adds each `x * y` to one of the sums.
    unsafe fn product_add(x: Self::Reg, y: Self::Reg, acc: Self::Sums) -> Self::Sums;
    /// Adds each `(x - y)^2` to one of the sums.
    unsafe fn square_add(x: Self::Reg, y: Self::Reg, acc: Self::Sums) -> Self::Sums;

    unsafe fn load_raw(from: *const i8) -> Self::Raw;
    /// The lanes not loaded are equal for every call, so that their difference is zero.
    unsafe fn load_raw_tail(from: *const i8, count: usize) -> Self::Raw;
    /// Adds each `abs(x - y)` to one of the sums.
    unsafe fn difference_add(x: Self::Raw, y: Self::Raw, acc: Self::Sums) -> Self::Sums;
    /// Adds how many bits of `x` and `y` differ to the sums.
    unsafe fn differing_add(x: Self::Raw, y: Self::Raw, acc: Self::Sums) -> Self::Sums;
}

/// What one metric does with two registers, and with the sum.
///
/// # Safety
/// As for [`Fold`].
pub(crate) trait IntTerm {
    const GROWS: bool;

    unsafe fn step<V: Bytes>(acc: V::Sums, a: V::Reg, b: V::Reg) -> V::Sums;
    fn finish(sum: i32) -> f32;
}

/// Squared Euclidean distance.
pub(crate) struct L2;

impl IntTerm for L2 {
    const GROWS: bool = true;

    #[inline(always)]
    unsafe fn step<V: Bytes>(acc: V::Sums, a: V::Reg, b: V::Reg) -> V::Sums {
        // SAFETY: same contract.
        unsafe { V::square_add(a, b, acc) }
    }

    #[inline(always)]
    fn finish(sum: i32) -> f32 {
        sum.cast_unsigned() as f32
    }
}

/// Negated inner product.
pub(crate) struct Dot;

impl IntTerm for Dot {
    const GROWS: bool = false;

    #[inline(always)]
    unsafe fn step<V: Bytes>(acc: V::Sums, a: V::Reg, b: V::Reg) -> V::Sums {
        // SAFETY: same contract.
        unsafe { V::product_add(a, b, acc) }
    }

    #[inline(always)]
    fn finish(sum: i32) -> f32 {
        (-sum) as f32
    }
}

/// The fold of one term.
pub(crate) struct IntFold<V, M>(PhantomData<(V, M)>);

impl<V: Bytes, M: IntTerm> Fold for IntFold<V, M> {
    type Element = i8;
    type Reg = V::Reg;
    type Acc = V::Sums;

    const WIDTH: usize = V::WIDTH;
    const GROWS: bool = M::GROWS;
    const SUMS: usize = 1;

    #[inline(always)]
    unsafe fn zero() -> V::Sums {
        // SAFETY: same contract.
        unsafe { V::zero() }
    }

    #[inline(always)]
    unsafe fn load(from: *const i8) -> V::Reg {
        // SAFETY: same contract.
        unsafe { V::load(from) }
    }

    #[inline(always)]
    unsafe fn load_tail(from: *const i8, count: usize) -> V::Reg {
        // SAFETY: same contract.
        unsafe { V::load_tail(from, count) }
    }

    #[inline(always)]
    unsafe fn step(acc: V::Sums, a: V::Reg, b: V::Reg) -> V::Sums {
        // SAFETY: same contract.
        unsafe { M::step::<V>(acc, a, b) }
    }

    #[inline(always)]
    unsafe fn join(x: V::Sums, y: V::Sums) -> V::Sums {
        // SAFETY: same contract.
        unsafe { V::add(x, y) }
    }

    #[inline(always)]
    unsafe fn finish(acc: V::Sums) -> f32 {
        // SAFETY: same contract.
        M::finish(unsafe { V::sum(acc) })
    }
}

/// Sum of absolute differences, on bytes.
pub(crate) struct L1Fold<V>(PhantomData<V>);

impl<V: Bytes> Fold for L1Fold<V> {
    type Element = i8;
    type Reg = V::Raw;
    type Acc = V::Sums;

    const WIDTH: usize = V::RAW_WIDTH;
    const GROWS: bool = true;
    const SUMS: usize = 1;

    #[inline(always)]
    unsafe fn zero() -> V::Sums {
        // SAFETY: same contract.
        unsafe { V::zero() }
    }

    #[inline(always)]
    unsafe fn load(from: *const i8) -> V::Raw {
        // SAFETY: same contract.
        unsafe { V::load_raw(from) }
    }

    #[inline(always)]
    unsafe fn load_tail(from: *const i8, count: usize) -> V::Raw {
        // SAFETY: same contract.
        unsafe { V::load_raw_tail(from, count) }
    }

    #[inline(always)]
    unsafe fn step(acc: V::Sums, a: V::Raw, b: V::Raw) -> V::Sums {
        // SAFETY: same contract.
        unsafe { V::difference_add(a, b, acc) }
    }

    #[inline(always)]
    unsafe fn join(x: V::Sums, y: V::Sums) -> V::Sums {
        // SAFETY: same contract.
        unsafe { V::add(x, y) }
    }

    #[inline(always)]
    unsafe fn finish(acc: V::Sums) -> f32 {
        // SAFETY: same contract.
        let sum = unsafe { V::sum(acc) };
        sum.cast_unsigned() as f32
    }
}

/// Bits that differ. 2^30 of them, the most a vector may have, fit 32-bit sums.
pub(crate) struct HammingFold<V>(PhantomData<V>);

impl<V: Bytes> Fold for HammingFold<V> {
    type Element = u8;
    type Reg = V::Raw;
    type Acc = V::Sums;

    const WIDTH: usize = V::RAW_WIDTH;
    const GROWS: bool = true;
    const SUMS: usize = 1;

    #[inline(always)]
    unsafe fn zero() -> V::Sums {
        // SAFETY: same contract.
        unsafe { V::zero() }
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> V::Raw {
        // SAFETY: same contract.
        unsafe { V::load_raw(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_tail(from: *const u8, count: usize) -> V::Raw {
        // SAFETY: same contract.
        unsafe { V::load_raw_tail(from.cast(), count) }
    }

    #[inline(always)]
    unsafe fn step(acc: V::Sums, a: V::Raw, b: V::Raw) -> V::Sums {
        // SAFETY: same contract.
        unsafe { V::differing_add(a, b, acc) }
    }

    #[inline(always)]
    unsafe fn join(x: V::Sums, y: V::Sums) -> V::Sums {
        // SAFETY: same contract.
        unsafe { V::add(x, y) }
    }

    #[inline(always)]
    unsafe fn finish(acc: V::Sums) -> f32 {
        // SAFETY: same contract.
        let sum = unsafe { V::sum(acc) };
        sum.cast_unsigned() as f32
    }
}

/// Cosine distance, both lengths measured on the way: three sums.
pub(crate) struct CosineFold<V>(PhantomData<V>);

impl<V: Bytes> Fold for CosineFold<V> {
    type Element = i8;
    type Reg = V::Reg;
    /// Products, squares of `a`, squares of `b`.
    type Acc = (V::Sums, V::Sums, V::Sums);

    const WIDTH: usize = V::WIDTH;
    const GROWS: bool = false;
    const SUMS: usize = 3;

    #[inline(always)]
    unsafe fn zero() -> Self::Acc {
        // SAFETY: same contract.
        unsafe { (V::zero(), V::zero(), V::zero()) }
    }

    #[inline(always)]
    unsafe fn load(from: *const i8) -> V::Reg {
        // SAFETY: same contract.
        unsafe { V::load(from) }
    }

    #[inline(always)]
    unsafe fn load_tail(from: *const i8, count: usize) -> V::Reg {
        // SAFETY: same contract.
        unsafe { V::load_tail(from, count) }
    }

    #[inline(always)]
    unsafe fn step((dot, aa, bb): Self::Acc, a: V::Reg, b: V::Reg) -> Self::Acc {
        // SAFETY: same contract.
        unsafe {
            (
                V::product_add(a, b, dot),
                V::product_add(a, a, aa),
                V::product_add(b, b, bb),
            )
        }
    }

    #[inline(always)]
    unsafe fn join(x: Self::Acc, y: Self::Acc) -> Self::Acc {
        // SAFETY: same contract.
        unsafe { (V::add(x.0, y.0), V::add(x.1, y.1), V::add(x.2, y.2)) }
    }

    #[inline(always)]
    unsafe fn finish((dot, aa, bb): Self::Acc) -> f32 {
        // SAFETY: same contract.
        let (dot, aa, bb) = unsafe { (V::sum(dot), V::sum(aa), V::sum(bb)) };
        // Both squares are at most 2^30: their product is exact in i64.
        let lengths = ((i64::from(aa) * i64::from(bb)) as f64).sqrt();
        if lengths == 0.0 {
            1.0
        } else {
            (1.0 - f64::from(dot) / lengths).clamp(0.0, 2.0) as f32
        }
    }
}
