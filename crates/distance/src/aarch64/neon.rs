//! NEON, part of every 64-bit Arm processor.
//!
//! Registers are 128 bits wide and cores have two to four pipes for them, so a register of this
//! shell is a pair: with four chains in the generic loop that makes eight in flight.
//!
//! There are no masked loads; tails go through the stack.

use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected};

use half::f16;

use crate::generic::{Bytes, Floats, Isa, shells};

/// The instruction set.
pub(crate) struct Neon;

impl Isa for Neon {
    fn is_available() -> bool {
        is_aarch64_feature_detected!("neon")
    }

    // 2 x 4 x 2 sums, 4 x 2 of rows, 2 of a query: 26 of 32 registers.
    shells!(features = "neon", tile = 2, 4);
}

/// Copies `count < 16 / size_of::<T>()` components into a register, zeros above.
///
/// # Safety
/// `count` components must be readable.
#[inline(always)]
unsafe fn partial_bytes<T>(from: *const T, count: usize) -> uint8x16_t {
    let mut bytes = [0u8; 16];
    let wanted = count * size_of::<T>();
    debug_assert!(wanted < 16);
    // SAFETY: the caller may read `count` components; the buffer holds 16 bytes and does not
    // overlap.
    unsafe {
        std::ptr::copy_nonoverlapping(from.cast(), bytes.as_mut_ptr(), wanted);
        vld1q_u8(bytes.as_ptr())
    }
}

/// Widens eight halves. The instruction is part of the base; its intrinsic takes a type that was
/// not stable when this was written.
#[inline(always)]
unsafe fn widen(halves: uint16x8_t) -> (float32x4_t, float32x4_t) {
    let low: float32x4_t;
    let high: float32x4_t;
    // SAFETY: register to register, no memory, no flags.
    unsafe {
        asm!(
            "fcvtl {low:v}.4s, {halves:v}.4h",
            "fcvtl2 {high:v}.4s, {halves:v}.8h",
            low = out(vreg) low,
            high = lateout(vreg) high,
            halves = in(vreg) halves,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    (low, high)
}

impl Floats for Neon {
    type Reg = (float32x4_t, float32x4_t);

    const WIDTH: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> Self::Reg {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { (vdupq_n_f32(0.0), vdupq_n_f32(0.0)) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::Reg {
        // SAFETY: same contract.
        unsafe { (vld1q_f32(from), vld1q_f32(from.add(4))) }
    }

    #[inline(always)]
    unsafe fn load_tail(from: *const f32, count: usize) -> Self::Reg {
        debug_assert!(count < 8);
        // SAFETY: `count < 8`: the whole half is read only if it is there, the other one through
        // a copy of what is there.
        unsafe {
            if count >= 4 {
                let high = partial_bytes(from.add(4), count - 4);
                (vld1q_f32(from), vreinterpretq_f32_u8(high))
            } else {
                (
                    vreinterpretq_f32_u8(partial_bytes(from, count)),
                    vdupq_n_f32(0.0),
                )
            }
        }
    }

    #[inline(always)]
    unsafe fn load_half(from: *const f16) -> Self::Reg {
        // SAFETY: same contract: eight halves are one register.
        unsafe { widen(vld1q_u16(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_half_tail(from: *const f16, count: usize) -> Self::Reg {
        debug_assert!(count < 8);
        // SAFETY: same contract.
        unsafe { widen(vreinterpretq_u16_u8(partial_bytes(from, count))) }
    }

    #[inline(always)]
    unsafe fn add(x: Self::Reg, y: Self::Reg) -> Self::Reg {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { (vaddq_f32(x.0, y.0), vaddq_f32(x.1, y.1)) }
    }

    #[inline(always)]
    unsafe fn sub(x: Self::Reg, y: Self::Reg) -> Self::Reg {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { (vsubq_f32(x.0, y.0), vsubq_f32(x.1, y.1)) }
    }

    #[inline(always)]
    unsafe fn mul_add(x: Self::Reg, y: Self::Reg, acc: Self::Reg) -> Self::Reg {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { (vfmaq_f32(acc.0, x.0, y.0), vfmaq_f32(acc.1, x.1, y.1)) }
    }

    #[inline(always)]
    unsafe fn abs(x: Self::Reg) -> Self::Reg {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { (vabsq_f32(x.0), vabsq_f32(x.1)) }
    }

    #[inline(always)]
    unsafe fn sum(x: Self::Reg) -> f32 {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { vaddvq_f32(vaddq_f32(x.0, x.1)) }
    }
}

impl Bytes for Neon {
    type Reg = int8x16_t;
    type Raw = int8x16_t;
    type Sums = int32x4_t;

    const WIDTH: usize = 16;
    const RAW_WIDTH: usize = 16;

    #[inline(always)]
    unsafe fn zero() -> int32x4_t {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { vdupq_n_s32(0) }
    }

    #[inline(always)]
    unsafe fn add(x: int32x4_t, y: int32x4_t) -> int32x4_t {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { vaddq_s32(x, y) }
    }

    #[inline(always)]
    unsafe fn sum(x: int32x4_t) -> i32 {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { vaddvq_s32(x) }
    }

    #[inline(always)]
    unsafe fn load(from: *const i8) -> int8x16_t {
        // SAFETY: same contract.
        unsafe { vld1q_s8(from) }
    }

    #[inline(always)]
    unsafe fn load_tail(from: *const i8, count: usize) -> int8x16_t {
        // SAFETY: same contract.
        unsafe { vreinterpretq_s8_u8(partial_bytes(from, count)) }
    }

    #[inline(always)]
    unsafe fn product_add(x: int8x16_t, y: int8x16_t, acc: int32x4_t) -> int32x4_t {
        // A product is at most 2^14 and fits 16 bits.
        // SAFETY: the instruction set is the caller's promise.
        unsafe {
            let acc = vpadalq_s16(acc, vmull_s8(vget_low_s8(x), vget_low_s8(y)));
            vpadalq_s16(acc, vmull_high_s8(x, y))
        }
    }

    #[inline(always)]
    unsafe fn square_add(x: int8x16_t, y: int8x16_t, acc: int32x4_t) -> int32x4_t {
        // The absolute difference is at most 255 and its square at most 255^2 < 2^16, both
        // unsigned.
        // SAFETY: the instruction set is the caller's promise.
        unsafe {
            let difference = vreinterpretq_u8_s8(vabdq_s8(x, y));
            let low = vget_low_u8(difference);
            let acc = vreinterpretq_u32_s32(acc);
            let acc = vpadalq_u16(acc, vmull_u8(low, low));
            vreinterpretq_s32_u32(vpadalq_u16(acc, vmull_high_u8(difference, difference)))
        }
    }

    #[inline(always)]
    unsafe fn load_raw(from: *const i8) -> int8x16_t {
        // SAFETY: same contract.
        unsafe { vld1q_s8(from) }
    }

    #[inline(always)]
    unsafe fn load_raw_tail(from: *const i8, count: usize) -> int8x16_t {
        // SAFETY: same contract.
        unsafe { vreinterpretq_s8_u8(partial_bytes(from, count)) }
    }

    #[inline(always)]
    unsafe fn difference_add(x: int8x16_t, y: int8x16_t, acc: int32x4_t) -> int32x4_t {
        // SAFETY: the instruction set is the caller's promise.
        unsafe {
            let pairs = vpaddlq_u8(vreinterpretq_u8_s8(vabdq_s8(x, y)));
            vreinterpretq_s32_u32(vpadalq_u16(vreinterpretq_u32_s32(acc), pairs))
        }
    }

    #[inline(always)]
    unsafe fn differing_add(x: int8x16_t, y: int8x16_t, acc: int32x4_t) -> int32x4_t {
        // SAFETY: the instruction set is the caller's promise.
        unsafe {
            let pairs = vpaddlq_u8(vcntq_u8(vreinterpretq_u8_s8(veorq_s8(x, y))));
            vreinterpretq_s32_u32(vpadalq_u16(vreinterpretq_u32_s32(acc), pairs))
        }
    }
}
