//! AVX-512: 512-bit registers and masked loads of every width.
//!
//! A masked load reads only the lanes whose bit is set, does not fault on the others and gives zero
//! for them, so a tail is one step like any other.

use std::arch::x86_64::*;

use half::f16;

use crate::generic::{Bytes, Floats, Fold, Isa, shells};
use crate::kernels::Table;

/// The instruction set.
pub(crate) struct Avx512;

impl Isa for Avx512 {
    fn is_available() -> bool {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
    }

    // 16 sums, 4 rows, 1 query and a temporary: 22 of 32 registers.
    shells!(
        features = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c",
        tile = 4,
        4
    );
}

impl Floats for Avx512 {
    type Reg = __m512;

    const WIDTH: usize = 16;

    #[inline(always)]
    unsafe fn zero() -> __m512 {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        // SAFETY: same contract; the load is an unaligned one.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_tail(from: *const f32, count: usize) -> __m512 {
        debug_assert!(count < 16);
        // SAFETY: only the first `count` lanes are read.
        unsafe { _mm512_maskz_loadu_ps((1 << count) - 1, from) }
    }

    #[inline(always)]
    unsafe fn load_half(from: *const f16) -> __m512 {
        // SAFETY: same contract: sixteen halves are 32 bytes.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_half_tail(from: *const f16, count: usize) -> __m512 {
        debug_assert!(count < 16);
        // SAFETY: only the first `count` lanes are read.
        unsafe { _mm512_cvtph_ps(_mm256_maskz_loadu_epi16((1 << count) - 1, from.cast())) }
    }

    #[inline(always)]
    unsafe fn add(x: __m512, y: __m512) -> __m512 {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { _mm512_add_ps(x, y) }
    }

    #[inline(always)]
    unsafe fn sub(x: __m512, y: __m512) -> __m512 {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { _mm512_sub_ps(x, y) }
    }

    #[inline(always)]
    unsafe fn mul_add(x: __m512, y: __m512, acc: __m512) -> __m512 {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { _mm512_fmadd_ps(x, y, acc) }
    }

    #[inline(always)]
    unsafe fn abs(x: __m512) -> __m512 {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { _mm512_abs_ps(x) }
    }

    #[inline(always)]
    unsafe fn sum(x: __m512) -> f32 {
        // SAFETY: the instruction set is the caller's promise.
        unsafe {
            let eight = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps::<1>(x));
            let four = _mm_add_ps(
                _mm256_castps256_ps128(eight),
                _mm256_extractf128_ps::<1>(eight),
            );
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }
}

impl Bytes for Avx512 {
    /// 32 lanes of 16 bits.
    type Reg = __m512i;
    type Raw = __m512i;
    type Sums = __m512i;

    const WIDTH: usize = 32;
    const RAW_WIDTH: usize = 64;

    #[inline(always)]
    unsafe fn zero() -> __m512i {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn add(x: __m512i, y: __m512i) -> __m512i {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { _mm512_add_epi32(x, y) }
    }

    #[inline(always)]
    unsafe fn sum(x: __m512i) -> i32 {
        // SAFETY: the instruction set is the caller's promise.
        unsafe {
            let high = _mm512_extracti32x8_epi32::<1>(x);
            let eight = _mm256_add_epi32(_mm512_castsi512_si256(x), high);
            let high = _mm256_extracti128_si256::<1>(eight);
            let four = _mm_add_epi32(_mm256_castsi256_si128(eight), high);
            let two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
            _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<1>(two)))
        }
    }

    #[inline(always)]
    unsafe fn load(from: *const i8) -> __m512i {
        // SAFETY: same contract.
        unsafe { _mm512_cvtepi8_epi16(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_tail(from: *const i8, count: usize) -> __m512i {
        debug_assert!(count < 32);
        // SAFETY: only the first `count` lanes are read.
        unsafe { _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8((1 << count) - 1, from)) }
    }

    #[inline(always)]
    unsafe fn product_add(x: __m512i, y: __m512i, acc: __m512i) -> __m512i {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { _mm512_add_epi32(acc, _mm512_madd_epi16(x, y)) }
    }

    #[inline(always)]
    unsafe fn square_add(x: __m512i, y: __m512i, acc: __m512i) -> __m512i {
        // SAFETY: the instruction set is the caller's promise.
        unsafe {
            let difference = _mm512_sub_epi16(x, y);
            _mm512_add_epi32(acc, _mm512_madd_epi16(difference, difference))
        }
    }

    #[inline(always)]
    unsafe fn load_raw(from: *const i8) -> __m512i {
        // SAFETY: same contract.
        unsafe { flip(_mm512_loadu_si512(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_raw_tail(from: *const i8, count: usize) -> __m512i {
        debug_assert!(count < 64);
        // SAFETY: only the first `count` lanes are read.
        unsafe { flip(_mm512_maskz_loadu_epi8((1 << count) - 1, from)) }
    }

    #[inline(always)]
    unsafe fn difference_add(x: __m512i, y: __m512i, acc: __m512i) -> __m512i {
        // The instruction leaves its sums in 64-bit lanes; they are small, so adding them as
        // 32-bit lanes is the same.
        // SAFETY: the instruction set is the caller's promise.
        unsafe { _mm512_add_epi32(acc, _mm512_sad_epu8(x, y)) }
    }

    #[inline(always)]
    unsafe fn differing_add(x: __m512i, y: __m512i, acc: __m512i) -> __m512i {
        // Each half of a byte looks its count up; the bytes are added as above.
        // SAFETY: the instruction set is the caller's promise.
        unsafe {
            let counts = _mm512_broadcast_i32x4(_mm_setr_epi8(
                0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
            ));
            let low_half = _mm512_set1_epi8(0x0f);
            let bits = _mm512_xor_si512(x, y);
            let low = _mm512_shuffle_epi8(counts, _mm512_and_si512(bits, low_half));
            let high = _mm512_and_si512(_mm512_srli_epi16::<4>(bits), low_half);
            let ones = _mm512_add_epi8(low, _mm512_shuffle_epi8(counts, high));
            _mm512_add_epi32(acc, _mm512_sad_epu8(ones, _mm512_setzero_si512()))
        }
    }
}

/// Bits that differ, where the processor counts the ones of whole registers.
pub(crate) struct Popcount;

impl Popcount {
    /// The kernel over bits; `None` without the instruction.
    pub(crate) fn hamming() -> Option<Table<u8>> {
        let is_available = Avx512::is_available() && is_x86_feature_detected!("avx512vpopcntdq");
        is_available.then(Self::table::<Self>)
    }

    shells!(
        features = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx2,fma,f16c",
        tile = 4,
        4
    );
}

impl Fold for Popcount {
    type Element = u8;
    type Reg = __m512i;
    /// Eight sums of 64 bits.
    type Acc = __m512i;

    const WIDTH: usize = 64;
    const GROWS: bool = true;
    const SUMS: usize = 1;

    #[inline(always)]
    unsafe fn zero() -> __m512i {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> __m512i {
        // SAFETY: same contract; the load is an unaligned one.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_tail(from: *const u8, count: usize) -> __m512i {
        debug_assert!(count < 64);
        // SAFETY: only the first `count` lanes are read.
        unsafe { _mm512_maskz_loadu_epi8((1 << count) - 1, from.cast()) }
    }

    #[inline(always)]
    unsafe fn step(acc: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { _mm512_add_epi64(acc, _mm512_popcnt_epi64(_mm512_xor_si512(a, b))) }
    }

    #[inline(always)]
    unsafe fn join(x: __m512i, y: __m512i) -> __m512i {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { _mm512_add_epi64(x, y) }
    }

    #[inline(always)]
    unsafe fn finish(acc: __m512i) -> f32 {
        // SAFETY: the instruction set is the caller's promise.
        unsafe { _mm512_reduce_add_epi64(acc) as f32 }
    }
}

/// Maps `i8` to `u8` in order.
#[inline(always)]
unsafe fn flip(bytes: __m512i) -> __m512i {
    // SAFETY: the instruction set is the caller's promise.
    unsafe { _mm512_xor_si512(bytes, _mm512_set1_epi8(i8::MIN)) }
}
