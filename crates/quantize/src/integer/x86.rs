//! AVX2, AVX-512 and its byte products.

use std::arch::x86_64::*;

use super::NIBBLE_BLOCK;

pub(super) mod avx2 {
    use super::*;

    /// The 32 bytes of an array.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn load<T>(bytes: &[T; 32]) -> __m256i {
        const { assert!(size_of::<T>() == 1) };
        // SAFETY: the array is the 32 bytes of one register; no alignment is assumed.
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    pub(super) fn sum(x: __m256i) -> i32 {
        let four = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
        let two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
        _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<1>(two)))
    }

    /// Bytes `k / 8` of the four given, so that byte `k` holds the bit of component `k`.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn spread(bits: u32) -> __m256i {
        let which = _mm256_setr_epi64x(
            0,
            0x0101_0101_0101_0101,
            0x0202_0202_0202_0202,
            0x0303_0303_0303_0303,
        );
        // The lowest byte is that of the bit 0, the highest that of bit 7.
        let select = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64.cast_signed());
        let bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(bits.cast_signed()), which);
        _mm256_cmpeq_epi8(_mm256_and_si256(bytes, select), select)
    }

    #[target_feature(enable = "avx2")]
    pub(in super::super) fn bits(words: &[u64], vector: &[[i8; 64]]) -> i32 {
        let (byte_ones, ones) = (_mm256_set1_epi8(1), _mm256_set1_epi16(1));
        let mut total = _mm256_setzero_si256();
        for (&word, part) in words.iter().zip(vector) {
            let (halves, _) = part.as_chunks::<32>();
            let low = _mm256_and_si256(load(&halves[0]), spread(word as u32));
            let high = _mm256_and_si256(load(&halves[1]), spread((word >> 32) as u32));
            // Pairs of at most 2 * 128, four components on a lane.
            let pairs = _mm256_add_epi16(
                _mm256_maddubs_epi16(byte_ones, low),
                _mm256_maddubs_epi16(byte_ones, high),
            );
            total = _mm256_add_epi32(total, _mm256_madd_epi16(pairs, ones));
        }
        sum(total)
    }

    #[target_feature(enable = "avx2")]
    pub(in super::super) fn bytes(codes: &[u8], vector: &[i8]) -> i32 {
        let (codes, codes_tail) = codes.as_chunks::<32>();
        let (vector, vector_tail) = vector.as_chunks::<32>();
        let mut total = _mm256_setzero_si256();
        for (code, x) in codes.iter().zip(vector) {
            let (code, x) = (load(code), load(x));
            let low = _mm256_madd_epi16(
                _mm256_cvtepu8_epi16(_mm256_castsi256_si128(code)),
                _mm256_cvtepi8_epi16(_mm256_castsi256_si128(x)),
            );
            let high = _mm256_madd_epi16(
                _mm256_cvtepu8_epi16(_mm256_extracti128_si256::<1>(code)),
                _mm256_cvtepi8_epi16(_mm256_extracti128_si256::<1>(x)),
            );
            total = _mm256_add_epi32(total, _mm256_add_epi32(low, high));
        }
        sum(total) + super::super::scalar::bytes(codes_tail, vector_tail)
    }

    #[target_feature(enable = "avx2")]
    pub(in super::super) fn nibbles(blocks: &[[u8; NIBBLE_BLOCK]], vector: &[[i8; 64]]) -> i32 {
        let (mask, ones) = (_mm256_set1_epi8(15), _mm256_set1_epi16(1));
        let mut total = _mm256_setzero_si256();
        for (block, part) in blocks.iter().zip(vector) {
            let (halves, _) = part.as_chunks::<32>();
            let codes = load(block);
            let low = _mm256_and_si256(codes, mask);
            let high = _mm256_and_si256(_mm256_srli_epi16::<4>(codes), mask);
            let pairs = _mm256_add_epi16(
                _mm256_maddubs_epi16(low, load(&halves[0])),
                _mm256_maddubs_epi16(high, load(&halves[1])),
            );
            total = _mm256_add_epi32(total, _mm256_madd_epi16(pairs, ones));
        }
        sum(total)
    }
}

pub(super) mod avx512 {
    use super::*;

    /// The 64 bytes of an array.
    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    pub(super) fn load<T>(bytes: &[T; 64]) -> __m512i {
        const { assert!(size_of::<T>() == 1) };
        // SAFETY: the array is the 64 bytes of one register; no alignment is assumed.
        unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
    }

    /// The first `bytes.len() < 64` lanes, zeros above.
    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    pub(super) fn load_tail<T>(bytes: &[T]) -> __m512i {
        const { assert!(size_of::<T>() == 1) };
        debug_assert!(bytes.len() < 64);
        // SAFETY: only the lanes inside the slice are read.
        unsafe { _mm512_maskz_loadu_epi8((1 << bytes.len()) - 1, bytes.as_ptr().cast()) }
    }

    /// 64 codes with the low halves of two blocks' worth of bytes in order.
    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    pub(super) fn unpack(block: &[u8; NIBBLE_BLOCK]) -> __m512i {
        // SAFETY: the array is the 32 bytes of one register; no alignment is assumed.
        let codes = unsafe { _mm256_loadu_si256(block.as_ptr().cast()) };
        let high = _mm256_srli_epi16::<4>(codes);
        let both = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(codes), high);
        _mm512_and_si512(both, _mm512_set1_epi8(15))
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    pub(in super::super) fn bits(words: &[u64], vector: &[[i8; 64]]) -> i32 {
        let (byte_ones, ones) = (_mm512_set1_epi8(1), _mm512_set1_epi16(1));
        let mut total = _mm512_setzero_si512();
        for (&word, part) in words.iter().zip(vector) {
            let kept = _mm512_maskz_mov_epi8(word, load(part));
            let pairs = _mm512_maddubs_epi16(byte_ones, kept);
            total = _mm512_add_epi32(total, _mm512_madd_epi16(pairs, ones));
        }
        _mm512_reduce_add_epi32(total)
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn products(code: __m512i, x: __m512i) -> __m512i {
        let low = _mm512_madd_epi16(
            _mm512_cvtepu8_epi16(_mm512_castsi512_si256(code)),
            _mm512_cvtepi8_epi16(_mm512_castsi512_si256(x)),
        );
        let high = _mm512_madd_epi16(
            _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64::<1>(code)),
            _mm512_cvtepi8_epi16(_mm512_extracti64x4_epi64::<1>(x)),
        );
        _mm512_add_epi32(low, high)
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    pub(in super::super) fn bytes(codes: &[u8], vector: &[i8]) -> i32 {
        let (codes, codes_tail) = codes.as_chunks::<64>();
        let (vector, vector_tail) = vector.as_chunks::<64>();
        let mut total = products(load_tail(codes_tail), load_tail(vector_tail));
        for (code, x) in codes.iter().zip(vector) {
            total = _mm512_add_epi32(total, products(load(code), load(x)));
        }
        _mm512_reduce_add_epi32(total)
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    pub(in super::super) fn nibbles(blocks: &[[u8; NIBBLE_BLOCK]], vector: &[[i8; 64]]) -> i32 {
        let ones = _mm512_set1_epi16(1);
        let mut total = _mm512_setzero_si512();
        for (block, part) in blocks.iter().zip(vector) {
            let pairs = _mm512_maddubs_epi16(unpack(block), load(part));
            total = _mm512_add_epi32(total, _mm512_madd_epi16(pairs, ones));
        }
        _mm512_reduce_add_epi32(total)
    }
}

/// AVX-512 with `vpdpbusd`, which multiplies bytes and adds four products to a lane of 32 bits in
/// one step, exactly. Two chains, because one waits for itself.
pub(super) mod vnni {
    use super::avx512::{load, load_tail, unpack};
    use super::*;

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(in super::super) fn bytes(codes: &[u8], vector: &[i8]) -> i32 {
        let (codes, codes_tail) = codes.as_chunks::<64>();
        let (vector, vector_tail) = vector.as_chunks::<64>();
        let zero = _mm512_setzero_si512();
        let mut even = _mm512_dpbusd_epi32(zero, load_tail(codes_tail), load_tail(vector_tail));
        let mut odd = zero;
        let (code_pairs, last_code) = codes.as_chunks::<2>();
        let (pairs, last) = vector.as_chunks::<2>();
        for (code, x) in code_pairs.iter().zip(pairs) {
            even = _mm512_dpbusd_epi32(even, load(&code[0]), load(&x[0]));
            odd = _mm512_dpbusd_epi32(odd, load(&code[1]), load(&x[1]));
        }
        for (code, x) in last_code.iter().zip(last) {
            odd = _mm512_dpbusd_epi32(odd, load(code), load(x));
        }
        _mm512_reduce_add_epi32(_mm512_add_epi32(even, odd))
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(in super::super) fn nibbles(blocks: &[[u8; NIBBLE_BLOCK]], vector: &[[i8; 64]]) -> i32 {
        let (mut even, mut odd) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        let (block_pairs, last_block) = blocks.as_chunks::<2>();
        let (pairs, last) = vector.as_chunks::<2>();
        for (block, x) in block_pairs.iter().zip(pairs) {
            even = _mm512_dpbusd_epi32(even, unpack(&block[0]), load(&x[0]));
            odd = _mm512_dpbusd_epi32(odd, unpack(&block[1]), load(&x[1]));
        }
        for (block, x) in last_block.iter().zip(last) {
            odd = _mm512_dpbusd_epi32(odd, unpack(block), load(x));
        }
        _mm512_reduce_add_epi32(_mm512_add_epi32(even, odd))
    }
}
