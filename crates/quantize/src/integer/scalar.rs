//! The plain loops: what the others are compared with, and what runs where there is nothing else.

use super::NIBBLE_BLOCK;

pub(super) fn bits(words: &[u64], vector: &[[i8; 64]]) -> i32 {
    let mut sum = 0;
    for (&word, part) in words.iter().zip(vector) {
        for (bit, &x) in part.iter().enumerate() {
            // All ones where the bit is set.
            let mask = -((word >> bit & 1) as i32);
            sum += i32::from(x) & mask;
        }
    }
    sum
}

pub(super) fn bytes(codes: &[u8], vector: &[i8]) -> i32 {
    let pairs = codes.iter().zip(vector);
    pairs
        .map(|(&code, &x)| i32::from(code) * i32::from(x))
        .sum()
}

pub(super) fn nibbles(blocks: &[[u8; NIBBLE_BLOCK]], vector: &[[i8; 64]]) -> i32 {
    let mut sum = 0;
    for (block, part) in blocks.iter().zip(vector) {
        let (low, high) = part.split_at(NIBBLE_BLOCK);
        for ((&byte, &x), &y) in block.iter().zip(low).zip(high) {
            sum += i32::from(byte & 15) * i32::from(x) + i32::from(byte >> 4) * i32::from(y);
        }
    }
    sum
}
