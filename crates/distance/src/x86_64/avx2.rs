//! AVX2 with FMA and F16C: 256-bit registers, every x86-64 server and desktop processor since 2015.
//!
//! There is no masked load of bytes or halves, so tails of those go through the stack. Tails of
//! `f32` use the masked load, which does not touch the lanes left out and so cannot fault on them.

use std::arch::x86_64::*;

use half::f16;

use crate::generic::{Bytes, Floats, Isa, shells};

/// The instruction set.
pub(crate) struct Avx2;

impl Isa for Avx2 {
    fn is_available() -> bool {
        is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
    }

    // 4 x 2 sums, 2 rows, 1 query and a temporary: 12 of 16 registers.
    shells!(features = "avx2,fma,f16c", tile = 4, 2);
}

/// Copies `count < 16` bytes into a register, zeros above.
///
/// # Safety
/// `count` bytes must be readable.
#[inline(always)]
unsafe fn partial_bytes(from: *const u8, count: usize) -> __m128i {
    let mut bytes = [0u8; 16];
    // SAFETY: the caller may read `count` bytes; the buffer holds 16 and does not overlap.
    unsafe {
        std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), count);
        _mm_loadu_si128(bytes.as_ptr().cast())
    }
}

impl Floats for Avx2 {
    type Reg = __m256;

    const WIDTH: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> __m256 {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { _mm256_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        // SAFETY: same contract; the load is an unaligned one.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_tail(from: *const f32, count: usize) -> __m256 {
        debug_assert!(count < 8);
        /// Eight lanes from `8 - count` on: the first `count` are set.
        static WINDOW: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
        // SAFETY: `count < 8`, so the eight lanes of the mask lie inside the window; of `from` only
        // the lanes that are set are read.
        unsafe {
            let mask = _mm256_loadu_si256(WINDOW.as_ptr().add(8 - count).cast());
            _mm256_maskload_ps(from, mask)
        }
    }

    #[inline(always)]
    unsafe fn load_half(from: *const f16) -> __m256 {
        // SAFETY: same contract: eight halves are 16 bytes.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_half_tail(from: *const f16, count: usize) -> __m256 {
        // SAFETY: same contract; `count < 8` halves are less than 16 bytes.
        unsafe { _mm256_cvtph_ps(partial_bytes(from.cast(), 2 * count)) }
    }

    #[inline(always)]
    unsafe fn add(x: __m256, y: __m256) -> __m256 {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { _mm256_add_ps(x, y) }
    }

    #[inline(always)]
    unsafe fn sub(x: __m256, y: __m256) -> __m256 {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { _mm256_sub_ps(x, y) }
    }

    #[inline(always)]
    unsafe fn mul_add(x: __m256, y: __m256, acc: __m256) -> __m256 {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { _mm256_fmadd_ps(x, y, acc) }
    }

    #[inline(always)]
    unsafe fn abs(x: __m256) -> __m256 {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), x) }
    }

    #[inline(always)]
    unsafe fn sum(x: __m256) -> f32 {
        // SAFETY: the instruction set is the caller's promise.
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }
}

impl Bytes for Avx2 {
    /// 16 lanes of 16 bits.
    type Reg = __m256i;
    type Raw = __m256i;
    type Sums = __m256i;

    const WIDTH: usize = 16;
    const RAW_WIDTH: usize = 32;

    #[inline(always)]
    unsafe fn zero() -> __m256i {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    unsafe fn add(x: __m256i, y: __m256i) -> __m256i {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { _mm256_add_epi32(x, y) }
    }

    #[inline(always)]
    unsafe fn sum(x: __m256i) -> i32 {
        // SAFETY: the instruction set is the caller's promise.
        unsafe {
            let four = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
            let two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
            _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<1>(two)))
        }
    }

    #[inline(always)]
    unsafe fn load(from: *const i8) -> __m256i {
        // SAFETY: same contract.
        unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_tail(from: *const i8, count: usize) -> __m256i {
        // SAFETY: same contract.
        unsafe { _mm256_cvtepi8_epi16(partial_bytes(from.cast(), count)) }
    }

    #[inline(always)]
    unsafe fn product_add(x: __m256i, y: __m256i, acc: __m256i) -> __m256i {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { _mm256_add_epi32(acc, _mm256_madd_epi16(x, y)) }
    }

    #[inline(always)]
    unsafe fn square_add(x: __m256i, y: __m256i, acc: __m256i) -> __m256i {
        // SAFETY: the instruction set is the caller's promise.
        unsafe {
            let difference = _mm256_sub_epi16(x, y);
            _mm256_add_epi32(acc, _mm256_madd_epi16(difference, difference))
        }
    }

    #[inline(always)]
    unsafe fn load_raw(from: *const i8) -> __m256i {
        // SAFETY: same contract.
        unsafe { flip(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_raw_tail(from: *const i8, count: usize) -> __m256i {
        // SAFETY: `count < 32`: either both parts of the first branch or the one of the second are
        // inside the `count` bytes that may be read, and the part not whole is below 16.
        unsafe {
            let bytes = if count >= 16 {
                let low = _mm_loadu_si128(from.cast());
                let high = if count > 16 {
                    partial_bytes(from.add(16).cast(), count - 16)
                } else {
                    _mm_setzero_si128()
                };
                _mm256_set_m128i(high, low)
            } else {
                _mm256_zextsi128_si256(partial_bytes(from.cast(), count))
            };
            flip(bytes)
        }
    }

    #[inline(always)]
    unsafe fn difference_add(x: __m256i, y: __m256i, acc: __m256i) -> __m256i {
        // The instruction leaves its sums in 64-bit lanes; they are small, so adding them as
        // 32-bit lanes is the same.
        // SAFETY: the instruction set is the caller's promise.
        unsafe { _mm256_add_epi32(acc, _mm256_sad_epu8(x, y)) }
    }

    #[inline(always)]
    unsafe fn differing_add(x: __m256i, y: __m256i, acc: __m256i) -> __m256i {
        // Each half of a byte looks its count up; the bytes are added as above.
        // SAFETY: the instruction set is the caller's promise.
        unsafe {
            let counts = _mm256_broadcastsi128_si256(_mm_setr_epi8(
                0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
            ));
            let low_half = _mm256_set1_epi8(0x0f);
            let bits = _mm256_xor_si256(x, y);
            let low = _mm256_shuffle_epi8(counts, _mm256_and_si256(bits, low_half));
            let high = _mm256_and_si256(_mm256_srli_epi16::<4>(bits), low_half);
            let ones = _mm256_add_epi8(low, _mm256_shuffle_epi8(counts, high));
            _mm256_add_epi32(acc, _mm256_sad_epu8(ones, _mm256_setzero_si256()))
        }
    }
}

/// Maps `i8` to `u8` in order.
#[inline(always)]
unsafe fn flip(bytes: __m256i) -> __m256i {
    // SAFETY: the instruction set is the caller's promise.
    unsafe { _mm256_xor_si256(bytes, _mm256_set1_epi8(i8::MIN)) }
}
