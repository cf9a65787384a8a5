//! Codes of neighbours in a graph: many of them, each around another origin.
//!
//! What [`Encoder::encode_around`](super::Encoder::encode_around) does, for vectors that are rotated
//! already and for squared distances alone. A graph of a million nodes has 32 million codes, so this
//! works in `f32`, in sixteen sums side by side, and takes the step of a normal distribution as it is.

use super::encode::STEPS;
use crate::Isa;
use crate::isa::by_isa;

/// Sums side by side: every instruction set adds the same numbers in the same order.
const LANES: usize = 16;

/// The most bits of an edge's code.
const BITS_MAX: u8 = 4;

/// What belongs to the code of a neighbour. With the squared distance `base` from the query to the
/// node and `x` the grid point of the code, the one to the neighbour is about
///
/// ```text
/// base + add + rescale * <rotated query, x>
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Edge {
    /// The summand.
    pub add: f32,
    /// What the product is multiplied by.
    pub rescale: f32,
}

/// Writes the code of `vector` around `origin` into `planes`, most significant first. Both are rotated,
/// and seen from the same centre as the query will be.
///
/// Where lengths overflow an `f32`, the estimate is the distance of the node: the neighbour is
/// looked at rather than lost. The same bits on every instruction set.
///
/// # Panics
/// If `bits` is not 1 to 4, if the vectors differ in length or are not whole words, or if `planes` is
/// not `bits` times as many words.
#[must_use]
pub fn encode_edge(isa: Isa, bits: u8, vector: &[f32], origin: &[f32], planes: &mut [u64]) -> Edge {
    assert!((1..=BITS_MAX).contains(&bits), "1 to 4 bits");
    assert_eq!(vector.len(), origin.len(), "another dim");
    let (words, rest) = vector.as_chunks::<64>();
    assert!(rest.is_empty(), "rotated vectors are whole words");
    assert_eq!(planes.len(), words.len() * usize::from(bits), "all planes");
    let origin = origin.as_chunks::<64>().0;
    if bits == 1 {
        by_isa!(isa, signs(words, origin, planes))
    } else {
        by_isa!(isa, encode(bits, words, origin, planes))
    }
}

/// [`encode`] for one bit, in one pass: both levels are half a step away, whatever the step is.
#[inline(always)]
fn signs(vector: &[[f32; 64]], origin: &[[f32; 64]], plane: &mut [u64]) -> Edge {
    let (mut squares, mut along, mut shift) = ([0.0f32; LANES], [0.0f32; LANES], [0.0f32; LANES]);
    for ((v, o), word) in vector.iter().zip(origin).zip(plane) {
        let mut ones = [0u8; 64];
        let parts = v.as_chunks::<LANES>().0.iter();
        let parts = parts.zip(o.as_chunks::<LANES>().0);
        for ((v, o), ones) in parts.zip(ones.as_chunks_mut::<LANES>().0) {
            for lane in 0..LANES {
                let r = v[lane] - o[lane];
                squares[lane] += r * r;
                along[lane] += 0.5 * r.abs();
                shift[lane] += o[lane] * 0.5f32.copysign(r);
                ones[lane] = u8::from(r.is_sign_positive());
            }
        }
        *word = plane_of(&ones, 0);
    }
    finish(sum(&squares), sum(&along), sum(&shift))
}

/// Inlined into a function of each instruction set; nothing is fused, so all agree to the bit.
#[inline(always)]
fn encode(bits: u8, vector: &[[f32; 64]], origin: &[[f32; 64]], planes: &mut [u64]) -> Edge {
    let mut squares = [0.0f32; LANES];
    for (v, o) in vector.iter().zip(origin) {
        for (v, o) in v
            .as_chunks::<LANES>()
            .0
            .iter()
            .zip(o.as_chunks::<LANES>().0)
        {
            for lane in 0..LANES {
                let r = v[lane] - o[lane];
                squares[lane] += r * r;
            }
        }
    }
    let square = sum(&squares);
    let deviation = (square / (64 * vector.len()) as f32).sqrt();
    let step = STEPS[usize::from(bits) - 1] as f32 * deviation;
    let per_step = if step > 0.0 { 1.0 / step } else { 0.0 };
    let half = 1i32 << (bits - 1);
    let (mut along, mut shift) = ([0.0f32; LANES], [0.0f32; LANES]);
    let words = vector.len();
    for (word, (v, o)) in vector.iter().zip(origin).enumerate() {
        let mut numbers = [0u8; 64];
        let parts = v
            .as_chunks::<LANES>()
            .0
            .iter()
            .zip(o.as_chunks::<LANES>().0);
        for ((v, o), numbers) in parts.zip(numbers.as_chunks_mut::<LANES>().0) {
            for lane in 0..LANES {
                let r = v[lane] - o[lane];
                // The cast stops at the ends of the type; a step of 0 belongs to a vector of zeros.
                let level = ((r.abs() * per_step) as i32).min(half - 1);
                let value = (level as f32 + 0.5).copysign(r);
                along[lane] += r * value;
                shift[lane] += o[lane] * value;
                let number = if r.is_sign_negative() {
                    half - 1 - level
                } else {
                    half + level
                };
                numbers[lane] = number as u8;
            }
        }
        for plane in 0..usize::from(bits) {
            planes[plane * words + word] = plane_of(&numbers, usize::from(bits) - 1 - plane);
        }
    }
    finish(square, sum(&along), sum(&shift))
}

/// From the squared length, and the products of the code with the vector and with its origin.
#[inline(always)]
fn finish(square: f32, along: f32, shift: f32) -> Edge {
    // Only a vector at its origin has no direction; its distance is the origin's own.
    let ratio = if along > 0.0 { square / along } else { 0.0 };
    let (add, rescale) = (square + 2.0 * ratio * shift, -2.0 * ratio);
    if add.is_finite() && rescale.is_finite() {
        Edge { add, rescale }
    } else {
        Edge::default()
    }
}

/// Bit `at` of each number, the first lowest.
#[inline(always)]
fn plane_of(numbers: &[u8; 64], at: usize) -> u64 {
    /// Moves bit 0 of byte `i` to bit `56 + i`; no two products meet.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let mut bytes = [0; 8];
    for (byte, eight) in bytes.iter_mut().zip(numbers.as_chunks::<8>().0) {
        let ones = (u64::from_le_bytes(*eight) >> at) & 0x0101_0101_0101_0101;
        *byte = (ones.wrapping_mul(GATHER) >> 56) as u8;
    }
    u64::from_le_bytes(bytes)
}

#[inline(always)]
fn sum(lanes: &[f32; LANES]) -> f32 {
    let mut lanes = *lanes;
    for width in [8, 4, 2, 1] {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
    }
    lanes[0]
}

/// [`encode`] and [`signs`] compiled for one instruction set.
macro_rules! compiled {
    ($($features:literal)?) => {
        $(#[target_feature(enable = $features)])?
        pub(super) fn encode(
            bits: u8,
            vector: &[[f32; 64]],
            origin: &[[f32; 64]],
            planes: &mut [u64],
        ) -> super::Edge {
            super::encode(bits, vector, origin, planes)
        }

        $(#[target_feature(enable = $features)])?
        pub(super) fn signs(
            vector: &[[f32; 64]],
            origin: &[[f32; 64]],
            plane: &mut [u64],
        ) -> super::Edge {
            super::signs(vector, origin, plane)
        }
    };
}

mod scalar {
    compiled!();
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    compiled!("avx2");
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    compiled!("avx512f,avx512bw,avx512vl,avx512dq");
}

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod neon {
    compiled!("neon");
}
