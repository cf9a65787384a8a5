//! The kernels of each instruction set.

use super::{
    BlockEstimates, BlockFactors, Edges, GROUP_BYTES, GROUP_PAD, GROUPS_PER_CARRY, Line, ROWS,
    Scale,
};

/// Four groups.
type Quad = [u8; GROUP_PAD * GROUP_BYTES];

/// From sums to distances. Inlined into a function of each instruction set; products and sums are
/// rounded one by one everywhere, so all agree to the bit.
#[expect(clippy::needless_range_loop, reason = "six arrays walk together")]
#[inline(always)]
fn finish(sums: &[u32; ROWS], scale: Scale, factors: &BlockFactors, out: &mut BlockEstimates) {
    for row in 0..ROWS {
        // Sums are below 2^31, and signed numbers convert on more instruction sets.
        let product = scale.step * (sums[row].cast_signed() as f32) + scale.offset;
        let rescale = factors.rescale[row];
        let distance = (scale.base.add + factors.add[row]) + rescale * product;
        let error = factors.error[row] * scale.base.norm + rescale.abs() * scale.slack;
        out.distance[row] = distance;
        out.lower[row] = distance - error;
    }
}

/// From sums over all planes to distances, rounded one by one as in [`finish`].
#[inline(always)]
fn settle(total: &[u32; ROWS], line: Line, edges: Edges<'_>, out: &mut [f32; ROWS]) {
    for row in 0..ROWS {
        let product = line.step * (total[row].cast_signed() as f32) + line.offset;
        out[row] = (line.base + edges.add[row]) + edges.rescale[row] * product;
    }
}

/// Sums, distances and the comparison in one function of an instruction set: called for every hop of
/// a walk, where each part by itself would be short.
macro_rules! nearer {
    ($($features:literal)?) => {
        $(#[target_feature(enable = $features)])?
        pub(in super::super) fn nearer(
            table: &[Quad],
            planes: &[Quad],
            line: Line,
            edges: Edges<'_>,
            out: &mut [f32; ROWS],
        ) -> u32 {
            let mut total = [0; ROWS];
            let mut planes = planes.chunks_exact(table.len().max(1));
            if let Some(first) = planes.next() {
                sums(table, first, &mut total);
            }
            for plane in planes {
                let mut part = [0; ROWS];
                sums(table, plane, &mut part);
                for (total, part) in total.iter_mut().zip(part) {
                    *total = 2 * *total + part;
                }
            }
            super::settle(&total, line, edges, out);
            below(out, line.threshold)
        }
    };
}

pub(super) mod scalar {
    use super::*;

    nearer!();

    pub(in super::super) fn sums(table: &[Quad], block: &[Quad], out: &mut [u32; ROWS]) {
        out.fill(0);
        for (table, codes) in table.iter().zip(block) {
            let groups = table.as_chunks::<GROUP_BYTES>().0.iter();
            for (entries, codes) in groups.zip(codes.as_chunks::<GROUP_BYTES>().0) {
                for (slot, &code) in codes.iter().enumerate() {
                    out[slot] += u32::from(entries[usize::from(code & 15)]);
                    out[slot + GROUP_BYTES] += u32::from(entries[usize::from(code >> 4)]);
                }
            }
        }
    }

    pub(in super::super) fn finish(
        sums: &[u32; ROWS],
        scale: Scale,
        factors: &BlockFactors,
        out: &mut BlockEstimates,
    ) {
        super::finish(sums, scale, factors, out);
    }

    pub(in super::super) fn below(values: &[f32; ROWS], threshold: f32) -> u32 {
        let mut mask = 0;
        for (row, &value) in values.iter().enumerate() {
            mask |= u32::from(!at_least(value, threshold)) << row;
        }
        mask
    }

    fn at_least(value: f32, threshold: f32) -> bool {
        value >= threshold
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2 {
    use std::arch::x86_64::*;

    use super::*;

    nearer!("avx2");

    /// Pairs of groups until a carry.
    const PAIRS: usize = GROUPS_PER_CARRY / 2;

    #[target_feature(enable = "avx2")]
    #[inline]
    fn load(bytes: &[u8; 32]) -> __m256i {
        // SAFETY: the array is the 32 bytes of one register; no alignment is assumed.
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx2")]
    pub(in super::super) fn sums(table: &[Quad], block: &[Quad], out: &mut [u32; ROWS]) {
        out.fill(0);
        let table = table.as_flattened().as_chunks::<32>().0;
        let block = block.as_flattened().as_chunks::<32>().0;
        for (table, block) in table.chunks(PAIRS).zip(block.chunks(PAIRS)) {
            let [low, high] = carry_free(table, block);
            let (low_out, high_out) = out.split_at_mut(GROUP_BYTES);
            carry(low, low_out);
            carry(high, high_out);
        }
    }

    /// Words of even rows (mixed with odd ones) and of odd rows, for the low and the high half.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn carry_free(table: &[[u8; 32]], block: &[[u8; 32]]) -> [[__m256i; 2]; 2] {
        let mask = _mm256_set1_epi8(15);
        let zero = _mm256_setzero_si256();
        let (mut low, mut low_odd, mut high, mut high_odd) = (zero, zero, zero, zero);
        for (entries, codes) in table.iter().zip(block) {
            let (entries, codes) = (load(entries), load(codes));
            let x = _mm256_shuffle_epi8(entries, _mm256_and_si256(codes, mask));
            let shifted = _mm256_srli_epi16::<4>(codes);
            let y = _mm256_shuffle_epi8(entries, _mm256_and_si256(shifted, mask));
            low = _mm256_add_epi16(low, x);
            low_odd = _mm256_add_epi16(low_odd, _mm256_srli_epi16::<8>(x));
            high = _mm256_add_epi16(high, y);
            high_odd = _mm256_add_epi16(high_odd, _mm256_srli_epi16::<8>(y));
        }
        [[low, low_odd], [high, high_odd]]
    }

    /// Adds the sums of 16 rows to `out`.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn carry([mixed, odd]: [__m256i; 2], out: &mut [u32]) {
        let even = _mm256_sub_epi16(mixed, _mm256_slli_epi16::<8>(odd));
        // One half of a register has the even groups, the other one the odd groups.
        let (even, odd) = (halves(even), halves(odd));
        let rows = [_mm_unpacklo_epi16(even, odd), _mm_unpackhi_epi16(even, odd)];
        for (rows, out) in rows.into_iter().zip(out.as_chunks_mut::<8>().0) {
            let wide = _mm256_cvtepu16_epi32(rows);
            // SAFETY: the array is the 32 bytes of one register; no alignment is assumed.
            unsafe {
                let at = out.as_mut_ptr().cast();
                _mm256_storeu_si256(at, _mm256_add_epi32(_mm256_loadu_si256(at), wide));
            }
        }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn halves(x: __m256i) -> __m128i {
        _mm_add_epi16(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x))
    }

    #[target_feature(enable = "avx2")]
    pub(in super::super) fn finish(
        sums: &[u32; ROWS],
        scale: Scale,
        factors: &BlockFactors,
        out: &mut BlockEstimates,
    ) {
        super::finish(sums, scale, factors, out);
    }

    #[target_feature(enable = "avx2")]
    pub(in super::super) fn below(values: &[f32; ROWS], threshold: f32) -> u32 {
        let threshold = _mm256_set1_ps(threshold);
        let mut mask = 0;
        for (part, eight) in values.as_chunks::<8>().0.iter().enumerate() {
            // SAFETY: the array is the 32 bytes of one register; no alignment is assumed.
            let eight = unsafe { _mm256_loadu_ps(eight.as_ptr()) };
            let not = _mm256_cmp_ps::<_CMP_NGE_UQ>(eight, threshold);
            mask |= _mm256_movemask_ps(not).cast_unsigned() << (8 * part);
        }
        mask
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod avx512 {
    use std::arch::x86_64::*;

    use super::*;

    nearer!("avx512f,avx512bw,avx512vl,avx512dq");

    /// Quads of groups until a carry.
    const QUADS: usize = GROUPS_PER_CARRY / GROUP_PAD;

    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn load(bytes: &Quad) -> __m512i {
        // SAFETY: the array is the 64 bytes of one register; no alignment is assumed.
        unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    pub(in super::super) fn sums(table: &[Quad], block: &[Quad], out: &mut [u32; ROWS]) {
        let mut total = [_mm512_setzero_si512(); 2];
        for (table, block) in table.chunks(QUADS).zip(block.chunks(QUADS)) {
            let words = carry_free(table, block);
            for (total, words) in total.iter_mut().zip(words) {
                *total = _mm512_add_epi32(*total, rows(words));
            }
        }
        for (total, out) in total.into_iter().zip(out.as_chunks_mut::<16>().0) {
            // SAFETY: the array is the 64 bytes of one register; no alignment is assumed.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), total) };
        }
    }

    /// Words of even rows (mixed with odd ones) and of odd rows, for the low and the high half.
    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn carry_free(table: &[Quad], block: &[Quad]) -> [[__m512i; 2]; 2] {
        let mask = _mm512_set1_epi8(15);
        let zero = _mm512_setzero_si512();
        let (mut low, mut low_odd, mut high, mut high_odd) = (zero, zero, zero, zero);
        for (entries, codes) in table.iter().zip(block) {
            let (entries, codes) = (load(entries), load(codes));
            let x = _mm512_shuffle_epi8(entries, _mm512_and_si512(codes, mask));
            let shifted = _mm512_srli_epi16::<4>(codes);
            let y = _mm512_shuffle_epi8(entries, _mm512_and_si512(shifted, mask));
            low = _mm512_add_epi16(low, x);
            low_odd = _mm512_add_epi16(low_odd, _mm512_srli_epi16::<8>(x));
            high = _mm512_add_epi16(high, y);
            high_odd = _mm512_add_epi16(high_odd, _mm512_srli_epi16::<8>(y));
        }
        [[low, low_odd], [high, high_odd]]
    }

    /// The sums of 16 rows, of 32 bits.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    #[inline]
    fn rows([mixed, odd]: [__m512i; 2]) -> __m512i {
        let even = quarters(_mm512_sub_epi16(mixed, _mm512_slli_epi16::<8>(odd)));
        let odd = quarters(odd);
        let low = _mm_unpacklo_epi16(even, odd);
        let high = _mm_unpackhi_epi16(even, odd);
        _mm512_cvtepu16_epi32(_mm256_set_m128i(high, low))
    }

    /// The sum of the four quarters, one for each group of a quad.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    #[inline]
    fn quarters(x: __m512i) -> __m128i {
        let two = _mm256_add_epi16(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64::<1>(x));
        _mm_add_epi16(
            _mm256_castsi256_si128(two),
            _mm256_extracti128_si256::<1>(two),
        )
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    pub(in super::super) fn finish(
        sums: &[u32; ROWS],
        scale: Scale,
        factors: &BlockFactors,
        out: &mut BlockEstimates,
    ) {
        super::finish(sums, scale, factors, out);
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    pub(in super::super) fn below(values: &[f32; ROWS], threshold: f32) -> u32 {
        let threshold = _mm512_set1_ps(threshold);
        let mut mask = 0;
        for (part, sixteen) in values.as_chunks::<16>().0.iter().enumerate() {
            // SAFETY: the array is the 64 bytes of one register; no alignment is assumed.
            let sixteen = unsafe { _mm512_loadu_ps(sixteen.as_ptr()) };
            let not = _mm512_cmp_ps_mask::<_CMP_NGE_UQ>(sixteen, threshold);
            mask |= u32::from(not) << (16 * part);
        }
        mask
    }
}

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
pub(super) mod neon {
    use std::arch::aarch64::*;

    use super::*;

    nearer!("neon");

    #[target_feature(enable = "neon")]
    #[inline]
    fn load(bytes: &[u8; GROUP_BYTES]) -> uint8x16_t {
        // SAFETY: the array is the 16 bytes of one register.
        unsafe { vld1q_u8(bytes.as_ptr()) }
    }

    #[target_feature(enable = "neon")]
    pub(in super::super) fn sums(table: &[Quad], block: &[Quad], out: &mut [u32; ROWS]) {
        out.fill(0);
        let table = table.as_flattened().as_chunks::<GROUP_BYTES>().0;
        let block = block.as_flattened().as_chunks::<GROUP_BYTES>().0;
        let parts = table.chunks(GROUPS_PER_CARRY);
        for (table, block) in parts.zip(block.chunks(GROUPS_PER_CARRY)) {
            let mut words = [vdupq_n_u16(0); 4];
            for (entries, codes) in table.iter().zip(block) {
                let (entries, codes) = (load(entries), load(codes));
                let low = vqtbl1q_u8(entries, vandq_u8(codes, vdupq_n_u8(15)));
                let high = vqtbl1q_u8(entries, vshrq_n_u8::<4>(codes));
                words[0] = vaddw_u8(words[0], vget_low_u8(low));
                words[1] = vaddw_high_u8(words[1], low);
                words[2] = vaddw_u8(words[2], vget_low_u8(high));
                words[3] = vaddw_high_u8(words[3], high);
            }
            for (words, out) in words.into_iter().zip(out.as_chunks_mut::<8>().0) {
                let mut eight = [0u16; 8];
                // SAFETY: the array is the 16 bytes of one register.
                unsafe { vst1q_u16(eight.as_mut_ptr(), words) };
                for (out, word) in out.iter_mut().zip(eight) {
                    *out += u32::from(word);
                }
            }
        }
    }

    #[target_feature(enable = "neon")]
    pub(in super::super) fn finish(
        sums: &[u32; ROWS],
        scale: Scale,
        factors: &BlockFactors,
        out: &mut BlockEstimates,
    ) {
        super::finish(sums, scale, factors, out);
    }

    #[target_feature(enable = "neon")]
    pub(in super::super) fn below(values: &[f32; ROWS], threshold: f32) -> u32 {
        const WEIGHTS: [u32; 4] = [1, 2, 4, 8];
        // SAFETY: the array is the 16 bytes of one register.
        let weights = unsafe { vld1q_u32(WEIGHTS.as_ptr()) };
        let threshold = vdupq_n_f32(threshold);
        let mut mask = 0;
        for (part, four) in values.as_chunks::<4>().0.iter().enumerate() {
            // SAFETY: as above.
            let four = unsafe { vld1q_f32(four.as_ptr()) };
            let not = vmvnq_u32(vcgeq_f32(four, threshold));
            mask |= vaddvq_u32(vandq_u32(not, weights)) << (4 * part);
        }
        mask
    }
}
