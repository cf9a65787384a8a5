//! Registers without intrinsics: arrays, which the compiler may turn into whatever the baseline of
//! the target has (SSE2 on x86-64, NEON on 64-bit Arm).
//!
//! Products and sums are rounded one by one. `f32::mul_add` would become a library call where the
//! baseline has no fused instruction.

use half::f16;

use crate::generic::{Bytes, Floats, Isa, shells};

/// Four lanes in an array.
pub(crate) struct Lanes;

impl Isa for Lanes {
    fn is_available() -> bool {
        true
    }

    shells!(tile = 2, 2);
}

/// Lanes of [`Lanes`].
const WIDTH: usize = 4;

/// Bytes of its registers for absolute differences.
const RAW_WIDTH: usize = 16;

/// Widens a half, exactly, without a branch or a table.
///
/// Shifted into place, the bits of the half are those of an `f32` whose exponent is too small by
/// `127 - 15 = 112`; multiplying by `2^112` repairs it, and turns what was a denormal half into a
/// normal number on the way. Infinity and NaN have the largest exponent, for which the product is
/// replaced by setting all exponent bits.
#[inline(always)]
pub(crate) fn half_to_f32(half: f16) -> f32 {
    let bits = u32::from(half.to_bits());
    let sign = (bits & 0x8000) << 16;
    let magnitude = (bits & 0x7fff) << 13;
    let scaled = f32::from_bits(magnitude) * f32::from_bits((127 + 112) << 23);
    let special = if bits & 0x7c00 == 0x7c00 {
        0x7f80_0000
    } else {
        0
    };
    f32::from_bits(scaled.to_bits() | special | sign)
}

#[inline(always)]
fn zip<T: Copy>(mut x: [T; WIDTH], y: [T; WIDTH], f: impl Fn(T, T) -> T) -> [T; WIDTH] {
    for (x, y) in x.iter_mut().zip(y) {
        *x = f(*x, y);
    }
    x
}

/// Reads `count` components and fills up with `T::default()`, which is zero.
#[inline(always)]
unsafe fn partial<T: Copy + Default, const N: usize>(from: *const T, count: usize) -> [T; N] {
    let mut lanes = [T::default(); N];
    // SAFETY: the caller may read `count` components.
    let given = unsafe { std::slice::from_raw_parts(from, count) };
    for (lane, &component) in lanes.iter_mut().zip(given) {
        *lane = component;
    }
    lanes
}

impl Floats for Lanes {
    type Reg = [f32; WIDTH];

    const WIDTH: usize = WIDTH;

    #[inline(always)]
    unsafe fn zero() -> Self::Reg {
        [0.0; WIDTH]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::Reg {
        // SAFETY: the caller may read WIDTH components; no alignment is assumed.
        unsafe { from.cast::<Self::Reg>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_tail(from: *const f32, count: usize) -> Self::Reg {
        // SAFETY: same contract.
        unsafe { partial(from, count) }
    }

    #[inline(always)]
    unsafe fn load_half(from: *const f16) -> Self::Reg {
        // SAFETY: the caller may read WIDTH components; no alignment is assumed.
        let halves = unsafe { from.cast::<[f16; WIDTH]>().read_unaligned() };
        halves.map(half_to_f32)
    }

    #[inline(always)]
    unsafe fn load_half_tail(from: *const f16, count: usize) -> Self::Reg {
        // SAFETY: same contract.
        let halves: [f16; WIDTH] = unsafe { partial(from, count) };
        halves.map(half_to_f32)
    }

    #[inline(always)]
    unsafe fn add(x: Self::Reg, y: Self::Reg) -> Self::Reg {
        zip(x, y, |x, y| x + y)
    }

    #[inline(always)]
    unsafe fn sub(x: Self::Reg, y: Self::Reg) -> Self::Reg {
        zip(x, y, |x, y| x - y)
    }

    #[inline(always)]
    unsafe fn mul_add(x: Self::Reg, y: Self::Reg, acc: Self::Reg) -> Self::Reg {
        let product = zip(x, y, |x, y| x * y);
        zip(acc, product, |x, y| x + y)
    }

    #[inline(always)]
    unsafe fn abs(x: Self::Reg) -> Self::Reg {
        x.map(f32::abs)
    }

    #[inline(always)]
    unsafe fn sum(x: Self::Reg) -> f32 {
        (x[0] + x[2]) + (x[1] + x[3])
    }
}

impl Bytes for Lanes {
    type Reg = [i16; WIDTH];
    type Raw = [u8; RAW_WIDTH];
    type Sums = [i32; WIDTH];

    const WIDTH: usize = WIDTH;
    const RAW_WIDTH: usize = RAW_WIDTH;

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        [0; WIDTH]
    }

    #[inline(always)]
    unsafe fn add(x: Self::Sums, y: Self::Sums) -> Self::Sums {
        zip(x, y, |x, y| x + y)
    }

    #[inline(always)]
    unsafe fn sum(x: Self::Sums) -> i32 {
        x.into_iter().fold(0, i32::wrapping_add)
    }

    #[inline(always)]
    unsafe fn load(from: *const i8) -> Self::Reg {
        // SAFETY: the caller may read WIDTH components.
        let bytes = unsafe { from.cast::<[i8; WIDTH]>().read_unaligned() };
        bytes.map(i16::from)
    }

    #[inline(always)]
    unsafe fn load_tail(from: *const i8, count: usize) -> Self::Reg {
        // SAFETY: same contract.
        let bytes: [i8; WIDTH] = unsafe { partial(from, count) };
        bytes.map(i16::from)
    }

    #[inline(always)]
    unsafe fn product_add(x: Self::Reg, y: Self::Reg, mut acc: Self::Sums) -> Self::Sums {
        for ((acc, x), y) in acc.iter_mut().zip(x).zip(y) {
            *acc += i32::from(x) * i32::from(y);
        }
        acc
    }

    #[inline(always)]
    unsafe fn square_add(x: Self::Reg, y: Self::Reg, acc: Self::Sums) -> Self::Sums {
        let difference = zip(x, y, |x, y| x - y);
        // SAFETY: same contract.
        unsafe { Self::product_add(difference, difference, acc) }
    }

    #[inline(always)]
    unsafe fn load_raw(from: *const i8) -> Self::Raw {
        // SAFETY: the caller may read RAW_WIDTH components.
        let bytes = unsafe { from.cast::<[i8; RAW_WIDTH]>().read_unaligned() };
        bytes.map(|byte| byte.cast_unsigned() ^ 0x80)
    }

    #[inline(always)]
    unsafe fn load_raw_tail(from: *const i8, count: usize) -> Self::Raw {
        // SAFETY: same contract.
        let bytes: [i8; RAW_WIDTH] = unsafe { partial(from, count) };
        bytes.map(|byte| byte.cast_unsigned() ^ 0x80)
    }

    #[inline(always)]
    unsafe fn difference_add(x: Self::Raw, y: Self::Raw, mut acc: Self::Sums) -> Self::Sums {
        for (index, (x, y)) in x.into_iter().zip(y).enumerate() {
            acc[index % WIDTH] += i32::from(x.abs_diff(y));
        }
        acc
    }

    #[inline(always)]
    unsafe fn differing_add(x: Self::Raw, y: Self::Raw, mut acc: Self::Sums) -> Self::Sums {
        // Whole words: the compiler has an instruction for those, or a short sequence.
        let (x, y) = (u128::from_ne_bytes(x), u128::from_ne_bytes(y));
        acc[0] += (x ^ y).count_ones().cast_signed();
        acc
    }
}
