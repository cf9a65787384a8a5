//! The fast Hadamard transform, without its scale.
//!
//! Stage `h` combines components `i` and `i + h`. The four stages up to `h = 8` happen inside
//! blocks of 16 components, in registers; stages from 16 on combine whole blocks. Two of those are
//! done at once: half the loads and stores, the same additions.
//!
//! Each instruction set has a module with what it does to the registers of one block; the loops
//! around them are [`stages`], the same for all.

use crate::Isa;
use crate::isa::by_isa;

/// Components that are in registers together.
const BLOCK: usize = 16;

/// Transforms `vector`, whose length is a power of two from 16 on.
pub(super) fn transform(isa: Isa, vector: &mut [f32]) {
    debug_assert!(vector.len().is_power_of_two() && vector.len() >= BLOCK);
    by_isa!(isa, transform(vector));
}

/// Writes `transform` over `load`, `store`, `add`, `sub` and `inside`, which does the stages inside
/// a block.
macro_rules! stages {
    ($($features:literal)?) => {
        $(#[target_feature(enable = $features)])?
        pub(super) fn transform(vector: &mut [f32]) {
            let blocks = vector.as_chunks_mut::<BLOCK>().0;
            for block in &mut *blocks {
                store(block, inside(load(block)));
            }
            let mut h = 1;
            while 4 * h <= blocks.len() {
                for group in blocks.chunks_exact_mut(4 * h) {
                    let (low, high) = group.split_at_mut(2 * h);
                    let (a, b) = low.split_at_mut(h);
                    let (c, d) = high.split_at_mut(h);
                    for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
                        let (w, x, y, z) = (load(a), load(b), load(c), load(d));
                        let (p, q) = (add(w, x), sub(w, x));
                        let (r, s) = (add(y, z), sub(y, z));
                        store(a, add(p, r));
                        store(b, add(q, s));
                        store(c, sub(p, r));
                        store(d, sub(q, s));
                    }
                }
                h *= 4;
            }
            if 2 * h <= blocks.len() {
                let (low, high) = blocks.split_at_mut(h);
                for (a, b) in low.iter_mut().zip(high) {
                    let (x, y) = (load(a), load(b));
                    store(a, add(x, y));
                    store(b, sub(x, y));
                }
            }
        }
    };
}

mod scalar {
    use std::array::from_fn;

    use super::BLOCK;

    type Reg = [f32; BLOCK];

    stages!();

    fn load(block: &Reg) -> Reg {
        *block
    }

    fn store(block: &mut Reg, x: Reg) {
        *block = x;
    }

    fn add(x: Reg, y: Reg) -> Reg {
        from_fn(|at| x[at] + y[at])
    }

    fn sub(x: Reg, y: Reg) -> Reg {
        from_fn(|at| x[at] - y[at])
    }

    fn inside(mut x: Reg) -> Reg {
        for h in [1, 2, 4, 8] {
            for pair in x.chunks_exact_mut(2 * h) {
                let (low, high) = pair.split_at_mut(h);
                for (a, b) in low.iter_mut().zip(high) {
                    (*a, *b) = (*a + *b, *a - *b);
                }
            }
        }
        x
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::BLOCK;

    stages!("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma");

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn load(block: &[f32; BLOCK]) -> __m512 {
        // SAFETY: a block is the 16 components of one register; no alignment is assumed.
        unsafe { _mm512_loadu_ps(block.as_ptr()) }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn store(block: &mut [f32; BLOCK], x: __m512) {
        // SAFETY: as for `load`.
        unsafe { _mm512_storeu_ps(block.as_mut_ptr(), x) }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn add(x: __m512, y: __m512) -> __m512 {
        _mm512_add_ps(x, y)
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn sub(x: __m512, y: __m512) -> __m512 {
        _mm512_sub_ps(x, y)
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn inside(x: __m512) -> __m512 {
        let x = butterfly::<0xAAAA>(x, _mm512_permute_ps::<0b10_11_00_01>(x));
        let x = butterfly::<0xCCCC>(x, _mm512_permute_ps::<0b01_00_11_10>(x));
        let x = butterfly::<0xF0F0>(x, _mm512_shuffle_f32x4::<0b10_11_00_01>(x, x));
        butterfly::<0xFF00>(x, _mm512_shuffle_f32x4::<0b01_00_11_10>(x, x))
    }

    /// Sums where `HIGH` has no bit, and partner minus component where it has one.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn butterfly<const HIGH: u16>(x: __m512, partner: __m512) -> __m512 {
        _mm512_mask_sub_ps(_mm512_add_ps(x, partner), HIGH, partner, x)
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::BLOCK;

    type Reg = (__m256, __m256);

    stages!("avx2,fma");

    #[target_feature(enable = "avx2")]
    #[inline]
    fn load(block: &[f32; BLOCK]) -> Reg {
        let start = block.as_ptr();
        // SAFETY: a block is the 16 components of two registers; no alignment is assumed.
        unsafe { (_mm256_loadu_ps(start), _mm256_loadu_ps(start.add(8))) }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn store(block: &mut [f32; BLOCK], x: Reg) {
        let start = block.as_mut_ptr();
        // SAFETY: as for `load`.
        unsafe {
            _mm256_storeu_ps(start, x.0);
            _mm256_storeu_ps(start.add(8), x.1);
        }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn add(x: Reg, y: Reg) -> Reg {
        (_mm256_add_ps(x.0, y.0), _mm256_add_ps(x.1, y.1))
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn sub(x: Reg, y: Reg) -> Reg {
        (_mm256_sub_ps(x.0, y.0), _mm256_sub_ps(x.1, y.1))
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn inside(x: Reg) -> Reg {
        let (x, y) = (eight(x.0), eight(x.1));
        (_mm256_add_ps(x, y), _mm256_sub_ps(x, y))
    }

    /// The three stages inside a register.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn eight(x: __m256) -> __m256 {
        let x = butterfly::<0xAA>(x, _mm256_permute_ps::<0b10_11_00_01>(x));
        let x = butterfly::<0xCC>(x, _mm256_permute_ps::<0b01_00_11_10>(x));
        butterfly::<0xF0>(x, _mm256_permute2f128_ps::<0x01>(x, x))
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn butterfly<const HIGH: i32>(x: __m256, partner: __m256) -> __m256 {
        _mm256_blend_ps::<HIGH>(_mm256_add_ps(x, partner), _mm256_sub_ps(partner, x))
    }
}

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod neon {
    use std::arch::aarch64::*;

    use super::BLOCK;

    type Reg = float32x4x4_t;

    stages!("neon");

    #[target_feature(enable = "neon")]
    #[inline]
    fn load(block: &[f32; BLOCK]) -> Reg {
        // SAFETY: a block is the 16 components of four registers.
        unsafe { vld1q_f32_x4(block.as_ptr()) }
    }

    #[target_feature(enable = "neon")]
    #[inline]
    fn store(block: &mut [f32; BLOCK], x: Reg) {
        // SAFETY: as for `load`.
        unsafe { vst1q_f32_x4(block.as_mut_ptr(), x) }
    }

    #[target_feature(enable = "neon")]
    #[inline]
    fn add(float32x4x4_t(a, b, c, d): Reg, y: Reg) -> Reg {
        float32x4x4_t(
            vaddq_f32(a, y.0),
            vaddq_f32(b, y.1),
            vaddq_f32(c, y.2),
            vaddq_f32(d, y.3),
        )
    }

    #[target_feature(enable = "neon")]
    #[inline]
    fn sub(float32x4x4_t(a, b, c, d): Reg, y: Reg) -> Reg {
        float32x4x4_t(
            vsubq_f32(a, y.0),
            vsubq_f32(b, y.1),
            vsubq_f32(c, y.2),
            vsubq_f32(d, y.3),
        )
    }

    #[target_feature(enable = "neon")]
    #[inline]
    fn inside(x: Reg) -> Reg {
        let (a, b, c, d) = (four(x.0), four(x.1), four(x.2), four(x.3));
        let (p, q) = (vaddq_f32(a, b), vsubq_f32(a, b));
        let (r, s) = (vaddq_f32(c, d), vsubq_f32(c, d));
        float32x4x4_t(
            vaddq_f32(p, r),
            vaddq_f32(q, s),
            vsubq_f32(p, r),
            vsubq_f32(q, s),
        )
    }

    /// The two stages inside a register.
    #[target_feature(enable = "neon")]
    #[inline]
    fn four(x: float32x4_t) -> float32x4_t {
        let partner = vrev64q_f32(x);
        let x = vtrn1q_f32(vaddq_f32(x, partner), vsubq_f32(x, partner));
        let partner = vextq_f32::<2>(x, x);
        let (sum, difference) = (vaddq_f32(x, partner), vsubq_f32(x, partner));
        vcombine_f32(vget_low_f32(sum), vget_low_f32(difference))
    }
}

#[cfg(test)]
mod tests {
    use super::transform;
    use crate::Isa;
    use crate::random::Random;

    /// Entry `(i, j)` of the matrix is -1 to the number of bits that `i` and `j` share.
    fn naive(vector: &[f32]) -> Vec<f64> {
        let entry = |i: usize, j: usize| 1.0 - 2.0 * f64::from((i & j).count_ones() % 2);
        let row = |i| {
            vector
                .iter()
                .enumerate()
                .map(move |(j, &x)| entry(i, j) * f64::from(x))
        };
        (0..vector.len()).map(|i| row(i).sum()).collect()
    }

    #[test]
    fn agrees_with_the_matrix_and_to_the_bit_on_every_instruction_set() {
        let mut random = Random::new(3);
        for log in 4..=11 {
            let vector: Vec<f32> = (0..1 << log).map(|_| random.unit() as f32 - 0.5).collect();
            let expected = naive(&vector);
            let mut first: Option<Vec<f32>> = None;
            for isa in Isa::available() {
                let mut computed = vector.clone();
                transform(isa, &mut computed);
                for (x, y) in computed.iter().zip(&expected) {
                    // `log` roundings, of numbers that are sums of up to 2^log components.
                    assert!(
                        (f64::from(*x) - y).abs() < 1e-6 * f64::from(1 << log),
                        "{isa} {log}"
                    );
                }
                assert_eq!(
                    first.get_or_insert_with(|| computed.clone()),
                    &computed,
                    "{isa}"
                );
            }
        }
    }
}
