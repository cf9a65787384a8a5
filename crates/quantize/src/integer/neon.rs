//! NEON: bytes multiply to 16 bits without saturating.

use std::arch::aarch64::*;

use super::NIBBLE_BLOCK;

#[target_feature(enable = "neon")]
#[inline]
fn load(bytes: &[u8; 16]) -> uint8x16_t {
    // SAFETY: the array is the 16 bytes of one register.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

#[target_feature(enable = "neon")]
#[inline]
fn load_signed(bytes: &[i8; 16]) -> int8x16_t {
    // SAFETY: the array is the 16 bytes of one register.
    unsafe { vld1q_s8(bytes.as_ptr()) }
}

#[target_feature(enable = "neon")]
pub(super) fn bits(words: &[u64], vector: &[[i8; 64]]) -> i32 {
    const SELECT: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];
    let select = load(&SELECT);
    let mut sum = vdupq_n_s32(0);
    for (word, part) in words.iter().zip(vector) {
        let pairs = word.to_le_bytes();
        let mut total = vdupq_n_s16(0);
        for (bytes, lanes) in pairs
            .as_chunks::<2>()
            .0
            .iter()
            .zip(part.as_chunks::<16>().0)
        {
            let spread = vcombine_u8(vdup_n_u8(bytes[0]), vdup_n_u8(bytes[1]));
            let mask = vreinterpretq_s8_u8(vtstq_u8(spread, select));
            // Four times two bytes: far inside 16 bits.
            total = vpadalq_s8(total, vandq_s8(load_signed(lanes), mask));
        }
        sum = vpadalq_s16(sum, total);
    }
    vaddvq_s32(sum)
}

#[target_feature(enable = "neon")]
pub(super) fn bytes(codes: &[u8], vector: &[i8]) -> i32 {
    let (codes, codes_tail) = codes.as_chunks::<16>();
    let (vector, vector_tail) = vector.as_chunks::<16>();
    let mut sum = vdupq_n_s32(0);
    for (code, x) in codes.iter().zip(vector) {
        let (code, x) = (load(code), load_signed(x));
        let low = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(code)));
        let high = vreinterpretq_s16_u16(vmovl_high_u8(code));
        let (x_low, x_high) = (vmovl_s8(vget_low_s8(x)), vmovl_high_s8(x));
        sum = vmlal_s16(sum, vget_low_s16(low), vget_low_s16(x_low));
        sum = vmlal_high_s16(sum, low, x_low);
        sum = vmlal_s16(sum, vget_low_s16(high), vget_low_s16(x_high));
        sum = vmlal_high_s16(sum, high, x_high);
    }
    vaddvq_s32(sum) + super::scalar::bytes(codes_tail, vector_tail)
}

#[target_feature(enable = "neon")]
pub(super) fn nibbles(blocks: &[[u8; NIBBLE_BLOCK]], vector: &[[i8; 64]]) -> i32 {
    let mut sum = vdupq_n_s32(0);
    for (block, part) in blocks.iter().zip(vector) {
        let (low, high) = part.split_at(NIBBLE_BLOCK);
        let (low, high) = (low.as_chunks::<16>().0, high.as_chunks::<16>().0);
        for ((codes, x), y) in block.as_chunks::<16>().0.iter().zip(low).zip(high) {
            let codes = load(codes);
            let first = vreinterpretq_s8_u8(vandq_u8(codes, vdupq_n_u8(15)));
            let second = vreinterpretq_s8_u8(vshrq_n_u8::<4>(codes));
            let (x, y) = (load_signed(x), load_signed(y));
            // Four products of at most 15 * 128 on a lane: 7,680.
            let mut total = vmull_s8(vget_low_s8(first), vget_low_s8(x));
            total = vmlal_high_s8(total, first, x);
            total = vmlal_s8(total, vget_low_s8(second), vget_low_s8(y));
            total = vmlal_high_s8(total, second, y);
            sum = vpadalq_s16(sum, total);
        }
    }
    vaddvq_s32(sum)
}
