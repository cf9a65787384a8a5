//! One distance.
//!
//! # Leaving early
//!
//! A graph search throws a candidate away as soon as it is farther than the worst one kept. When
//! all terms are at least zero, the sum so far is a lower bound of the whole, and [`bounded`]
//! returns it once it exceeds the bound. Rounding does not break the argument: floating-point
//! addition is monotone, so no lane ever shrinks, and adding the lanes in a fixed order is monotone
//! in each of them. Hence `partial <= final` holds for the computed numbers, bit for bit, and
//! leaving early happens only when the full computation would also have given more than the bound.
//! When it does not happen, the same operations were done in the same order as in [`pair`]: the
//! result is identical, not merely close.

use super::Fold;

/// Bytes of one vector between two looks at the partial sum: 128 components of `f32`, 512 of `i8`.
/// Adding up the lanes costs about as much as two steps; this is at least eight of the widest.
const CHECK_BYTES: usize = 512;

/// The distance between `a` and `b`.
///
/// # Safety
/// - `a.len() == b.len()`.
/// - The instruction set of `F` is enabled, see [`Fold`].
#[inline(always)]
pub(crate) unsafe fn pair<F: Fold>(a: &[F::Element], b: &[F::Element]) -> f32 {
    // SAFETY: same contract.
    unsafe { fold::<F, false>(a, b, f32::INFINITY) }
}

/// The distance between `a` and `b` if it is at most `bound`, else some number above `bound`.
///
/// # Safety
/// As for [`pair`].
#[inline(always)]
pub(crate) unsafe fn bounded<F: Fold>(a: &[F::Element], b: &[F::Element], bound: f32) -> f32 {
    // SAFETY: same contract.
    unsafe {
        if F::GROWS {
            fold::<F, true>(a, b, bound)
        } else {
            fold::<F, false>(a, b, bound)
        }
    }
}

#[inline(always)]
unsafe fn fold<F: Fold, const LEAVE: bool>(a: &[F::Element], b: &[F::Element], bound: f32) -> f32 {
    debug_assert_eq!(a.len(), b.len());
    let dim = a.len();
    let (a_start, b_start) = (a.as_ptr(), b.as_ptr());
    let mut at = 0;
    // SAFETY: `at` counts components of which at least as many as are loaded are left in both
    // slices (`dim - at`, tested before each load); the instruction set is the caller's promise.
    unsafe {
        let mut acc = [F::zero(); 4];
        let quad = 4 * F::WIDTH;
        // At least one round between checks.
        let rounds = const {
            let rounds = CHECK_BYTES / (4 * F::WIDTH * size_of::<F::Element>());
            if rounds == 0 { 1 } else { rounds }
        };
        if LEAVE {
            while dim - at >= rounds * quad {
                for _ in 0..rounds {
                    acc = four::<F>(acc, a_start.add(at), b_start.add(at));
                    at += quad;
                }
                // The last look is `finish` itself.
                if at < dim {
                    let partial = F::finish(total::<F>(acc));
                    if partial > bound {
                        return partial;
                    }
                }
            }
        }
        while dim - at >= quad {
            acc = four::<F>(acc, a_start.add(at), b_start.add(at));
            at += quad;
        }
        let left = dim - at;
        if left > 0 {
            acc = rest::<F>(acc, a_start.add(at), b_start.add(at), left);
        }
        F::settle(F::finish(total::<F>(acc)), a, b)
    }
}

#[inline(always)]
unsafe fn four<F: Fold>(
    acc: [F::Acc; 4],
    a: *const F::Element,
    b: *const F::Element,
) -> [F::Acc; 4] {
    let width = F::WIDTH;
    // SAFETY: the caller has 4 * WIDTH components at both pointers.
    unsafe {
        [
            F::step(acc[0], F::load(a), F::load(b)),
            F::step(acc[1], F::load(a.add(width)), F::load(b.add(width))),
            F::step(acc[2], F::load(a.add(2 * width)), F::load(b.add(2 * width))),
            F::step(acc[3], F::load(a.add(3 * width)), F::load(b.add(3 * width))),
        ]
    }
}

/// The last `left < 4 * WIDTH` components.
#[inline(always)]
unsafe fn rest<F: Fold>(
    mut acc: [F::Acc; 4],
    a: *const F::Element,
    b: *const F::Element,
    left: usize,
) -> [F::Acc; 4] {
    let width = F::WIDTH;
    // SAFETY: the caller has `left` components at both pointers; each load is guarded by `left`.
    unsafe {
        if left >= width {
            acc[0] = F::step(acc[0], F::load(a), F::load(b));
        }
        if left >= 2 * width {
            acc[1] = F::step(acc[1], F::load(a.add(width)), F::load(b.add(width)));
        }
        if left >= 3 * width {
            acc[2] = F::step(acc[2], F::load(a.add(2 * width)), F::load(b.add(2 * width)));
        }
        let tail = left % width;
        if tail > 0 {
            let at = left - tail;
            acc[3] = F::step(
                acc[3],
                F::load_tail(a.add(at), tail),
                F::load_tail(b.add(at), tail),
            );
        }
        acc
    }
}

#[inline(always)]
unsafe fn total<F: Fold>(acc: [F::Acc; 4]) -> F::Acc {
    // SAFETY: same contract as the caller's.
    unsafe { F::join(F::join(acc[0], acc[1]), F::join(acc[2], acc[3])) }
}
