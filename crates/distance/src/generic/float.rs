//! Folds in `f32` lanes, for `f32` and `f16` components.

use std::marker::PhantomData;

use half::f16;

use super::Fold;
use crate::Element;

/// A register of `f32` lanes.
///
/// # Safety
/// As for [`Fold`].
pub(crate) trait Floats {
    type Reg: Copy;

    /// Lanes.
    const WIDTH: usize;

    unsafe fn zero() -> Self::Reg;
    unsafe fn load(from: *const f32) -> Self::Reg;
    unsafe fn load_tail(from: *const f32, count: usize) -> Self::Reg;
    /// Loads `WIDTH` halves and widens them, which is exact.
    unsafe fn load_half(from: *const f16) -> Self::Reg;
    unsafe fn load_half_tail(from: *const f16, count: usize) -> Self::Reg;
    unsafe fn add(x: Self::Reg, y: Self::Reg) -> Self::Reg;
    unsafe fn sub(x: Self::Reg, y: Self::Reg) -> Self::Reg;
    /// `x * y + acc`, rounded once or twice.
    unsafe fn mul_add(x: Self::Reg, y: Self::Reg, acc: Self::Reg) -> Self::Reg;
    unsafe fn abs(x: Self::Reg) -> Self::Reg;
    /// The sum of the lanes.
    unsafe fn sum(x: Self::Reg) -> f32;
}

/// A component type that loads into `f32` lanes.
///
/// # Safety
/// As for [`Fold`].
pub(crate) trait Storage: Element {
    unsafe fn load<V: Floats>(from: *const Self) -> V::Reg;
    unsafe fn load_tail<V: Floats>(from: *const Self, count: usize) -> V::Reg;
}

impl Storage for f32 {
    #[inline(always)]
    unsafe fn load<V: Floats>(from: *const Self) -> V::Reg {
        // SAFETY: same contract.
        unsafe { V::load(from) }
    }

    #[inline(always)]
    unsafe fn load_tail<V: Floats>(from: *const Self, count: usize) -> V::Reg {
        // SAFETY: same contract.
        unsafe { V::load_tail(from, count) }
    }
}

impl Storage for f16 {
    #[inline(always)]
    unsafe fn load<V: Floats>(from: *const Self) -> V::Reg {
        // SAFETY: same contract.
        unsafe { V::load_half(from) }
    }

    #[inline(always)]
    unsafe fn load_tail<V: Floats>(from: *const Self, count: usize) -> V::Reg {
        // SAFETY: same contract.
        unsafe { V::load_half_tail(from, count) }
    }
}

/// What one metric does with a pair of registers, and with the sum.
///
/// # Safety
/// As for [`Fold`].
pub(crate) trait Term {
    const GROWS: bool;

    unsafe fn step<V: Floats>(acc: V::Reg, a: V::Reg, b: V::Reg) -> V::Reg;
    fn finish(sum: f32) -> f32;

    #[inline(always)]
    fn settle<T: Element>(distance: f32, _a: &[T], _b: &[T]) -> f32 {
        distance
    }
}

/// Squared Euclidean distance.
///
/// With finite components the answer is never NaN: a difference may overflow to an infinity, its
/// square is then `+inf`, and sums of terms that are not negative stay `+inf`.
pub(crate) struct L2;

impl Term for L2 {
    const GROWS: bool = true;

    #[inline(always)]
    unsafe fn step<V: Floats>(acc: V::Reg, a: V::Reg, b: V::Reg) -> V::Reg {
        // SAFETY: same contract.
        unsafe {
            let difference = V::sub(a, b);
            V::mul_add(difference, difference, acc)
        }
    }

    #[inline(always)]
    fn finish(sum: f32) -> f32 {
        sum
    }
}

/// Sum of absolute differences.
pub(crate) struct L1;

impl Term for L1 {
    const GROWS: bool = true;

    #[inline(always)]
    unsafe fn step<V: Floats>(acc: V::Reg, a: V::Reg, b: V::Reg) -> V::Reg {
        // SAFETY: same contract.
        unsafe { V::add(acc, V::abs(V::sub(a, b))) }
    }

    #[inline(always)]
    fn finish(sum: f32) -> f32 {
        sum
    }
}

/// Negated inner product.
///
/// Terms of both signs may overflow in different lanes, and `inf - inf` is NaN although the true
/// result is small. Such a result is thrown away and computed again in `f64`, where the product of
/// two `f32` is exact and cannot overflow. Components of that size are rare enough that the price
/// is one compare per distance, foreseen by the branch predictor.
pub(crate) struct Dot;

impl Term for Dot {
    const GROWS: bool = false;

    #[inline(always)]
    unsafe fn step<V: Floats>(acc: V::Reg, a: V::Reg, b: V::Reg) -> V::Reg {
        // SAFETY: same contract.
        unsafe { V::mul_add(a, b, acc) }
    }

    #[inline(always)]
    fn finish(sum: f32) -> f32 {
        // Not `-sum`: the distance of orthogonal vectors is 0, not -0.
        0.0 - sum
    }

    #[inline(always)]
    fn settle<T: Element>(distance: f32, a: &[T], b: &[T]) -> f32 {
        if distance.is_finite() {
            distance
        } else {
            0.0 - dot_in_f64(a, b)
        }
    }
}

/// Cosine distance of unit vectors: `1 - dot`. The clamp removes the few `2^-24` by which rounding
/// leaves the range. NaN stays NaN.
pub(crate) struct UnitCosine;

impl Term for UnitCosine {
    const GROWS: bool = false;

    #[inline(always)]
    unsafe fn step<V: Floats>(acc: V::Reg, a: V::Reg, b: V::Reg) -> V::Reg {
        // SAFETY: same contract.
        unsafe { V::mul_add(a, b, acc) }
    }

    #[inline(always)]
    fn finish(sum: f32) -> f32 {
        (1.0 - sum).clamp(0.0, 2.0)
    }
}

#[cold]
#[inline(never)]
fn dot_in_f64<T: Element>(a: &[T], b: &[T]) -> f32 {
    let terms = a.iter().zip(b).map(|(&x, &y)| x.to_f64() * y.to_f64());
    terms.sum::<f64>() as f32
}

/// The fold of one term.
pub(crate) struct FloatFold<V, T, M>(PhantomData<(V, T, M)>);

impl<V: Floats, T: Storage, M: Term> Fold for FloatFold<V, T, M> {
    type Element = T;
    type Reg = V::Reg;
    type Acc = V::Reg;

    const WIDTH: usize = V::WIDTH;
    const GROWS: bool = M::GROWS;
    const SUMS: usize = 1;

    #[inline(always)]
    unsafe fn zero() -> V::Reg {
        // SAFETY: same contract.
        unsafe { V::zero() }
    }

    #[inline(always)]
    unsafe fn load(from: *const T) -> V::Reg {
        // SAFETY: same contract.
        unsafe { T::load::<V>(from) }
    }

    #[inline(always)]
    unsafe fn load_tail(from: *const T, count: usize) -> V::Reg {
        // SAFETY: same contract.
        unsafe { T::load_tail::<V>(from, count) }
    }

    #[inline(always)]
    unsafe fn step(acc: V::Reg, a: V::Reg, b: V::Reg) -> V::Reg {
        // SAFETY: same contract.
        unsafe { M::step::<V>(acc, a, b) }
    }

    #[inline(always)]
    unsafe fn join(x: V::Reg, y: V::Reg) -> V::Reg {
        // SAFETY: same contract.
        unsafe { V::add(x, y) }
    }

    #[inline(always)]
    unsafe fn finish(acc: V::Reg) -> f32 {
        // SAFETY: same contract.
        M::finish(unsafe { V::sum(acc) })
    }

    #[inline(always)]
    fn settle(distance: f32, a: &[T], b: &[T]) -> f32 {
        M::settle(distance, a, b)
    }
}

/// Cosine distance of vectors of any length, both lengths measured on the way: three sums.
///
/// For `f16` only. Its products lie in `[2^-48, 2^32]`, so no sum overflows or loses a term.
pub(crate) struct CosineFold<V, T>(PhantomData<(V, T)>);

impl<V: Floats, T: Storage> Fold for CosineFold<V, T> {
    type Element = T;
    type Reg = V::Reg;
    /// Products, squares of `a`, squares of `b`.
    type Acc = (V::Reg, V::Reg, V::Reg);

    const WIDTH: usize = V::WIDTH;
    const GROWS: bool = false;
    const SUMS: usize = 3;

    #[inline(always)]
    unsafe fn zero() -> Self::Acc {
        // SAFETY: same contract.
        unsafe { (V::zero(), V::zero(), V::zero()) }
    }

    #[inline(always)]
    unsafe fn load(from: *const T) -> V::Reg {
        // SAFETY: same contract.
        unsafe { T::load::<V>(from) }
    }

    #[inline(always)]
    unsafe fn load_tail(from: *const T, count: usize) -> V::Reg {
        // SAFETY: same contract.
        unsafe { T::load_tail::<V>(from, count) }
    }

    #[inline(always)]
    unsafe fn step((dot, aa, bb): Self::Acc, a: V::Reg, b: V::Reg) -> Self::Acc {
        // SAFETY: same contract.
        unsafe {
            (
                V::mul_add(a, b, dot),
                V::mul_add(a, a, aa),
                V::mul_add(b, b, bb),
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
        // The square of a length is at most 2^32 * dim: the product of two stays inside f32 for
        // every dim below 2^32.
        let lengths = (aa * bb).sqrt();
        if lengths == 0.0 {
            1.0
        } else {
            (1.0 - dot / lengths).clamp(0.0, 2.0)
        }
    }
}
