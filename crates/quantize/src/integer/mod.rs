//! Inner products of short integers, exact and therefore the same on every instruction set.
//!
//! | function  | codes                                     | with              |
//! |-----------|-------------------------------------------|-------------------|
//! | [`bits`]  | one bit each, 64 to a word, lowest first  | `i8`              |
//! | [`bytes`] | `u8`                                      | `i8`              |
//! | [`nibbles`] | four bits each, 64 to a [`NIBBLE_BLOCK`] | `i8`             |
//!
//! *No overflow*: a product is at most `255 * 128 < 2^15`, and over [`LEN_MAX`] components sums
//! stay below `2^31`.
//!
//! *Why not `vpmaddubsw` for bytes*: it adds two products and saturates at 16 bits, which `2 * 255
//! * 127` exceeds. Where VNNI is missing, bytes are widened first. For bits and nibbles the
//! products are small enough: `2 * 15 * 128 < 2^12`.

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod neon;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "x86_64")]
use x86::{avx2, avx512};

use crate::Isa;
use crate::isa::by_isa;

/// Components of the longest vectors.
pub const LEN_MAX: usize = 1 << 16;

/// Bytes that hold 64 four-bit codes: the low halves are components 0 to 31, the high ones 32 to
/// 63.
pub const NIBBLE_BLOCK: usize = 32;

/// The sum of the components of `vector` whose bit is set: bit `i % 64` of word `i / 64` belongs to
/// component `i`.
///
/// # Panics
/// If `vector` is not 64 times as long as `words`, or longer than [`LEN_MAX`].
///
/// # Examples
/// ```
/// use cairn_quantize::{Isa, integer};
///
/// let mut vector = [0i8; 64];
/// (vector[0], vector[3], vector[63]) = (5, 7, -100);
/// assert_eq!(integer::bits(Isa::active(), &[0b1001], &vector), 12);
/// ```
#[must_use]
#[inline]
pub fn bits(isa: Isa, words: &[u64], vector: &[i8]) -> i32 {
    assert_eq!(words.len() * 64, vector.len(), "one bit per component");
    assert!(vector.len() <= LEN_MAX, "vector too long");
    by_isa!(isa, bits(words, vector.as_chunks::<64>().0))
}

/// `sum codes[i] * vector[i]`.
///
/// # Panics
/// If the lengths differ or exceed [`LEN_MAX`].
///
/// # Examples
/// ```
/// use cairn_quantize::{Isa, integer};
///
/// assert_eq!(integer::bytes(Isa::active(), &[255, 1], &[-128, 3]), 3 - 255 * 128);
/// ```
#[must_use]
#[inline]
pub fn bytes(isa: Isa, codes: &[u8], vector: &[i8]) -> i32 {
    assert_eq!(codes.len(), vector.len(), "one code per component");
    assert!(vector.len() <= LEN_MAX, "vector too long");
    #[cfg(target_arch = "x86_64")]
    if isa.vnni() {
        // SAFETY: a value of `Isa` has it only on processors that do.
        return unsafe { x86::vnni::bytes(codes, vector) };
    }
    by_isa!(isa, bytes(codes, vector))
}

/// `sum code(i) * vector[i]`, the codes packed as [`NIBBLE_BLOCK`] says.
///
/// # Panics
/// If `vector` is not twice as long as `packed`, no multiple of 64, or longer than [`LEN_MAX`].
///
/// # Examples
/// ```
/// use cairn_quantize::{Isa, integer};
///
/// let (mut packed, mut vector) = ([0; 32], [0; 64]);
/// packed[0] = 0x2f; // component 0 is 15, component 32 is 2
/// (vector[0], vector[32]) = (10, -100);
/// assert_eq!(integer::nibbles(Isa::active(), &packed, &vector), -50);
/// ```
#[must_use]
#[inline]
pub fn nibbles(isa: Isa, packed: &[u8], vector: &[i8]) -> i32 {
    let (blocks, rest) = packed.as_chunks::<NIBBLE_BLOCK>();
    assert!(rest.is_empty(), "whole blocks only");
    assert_eq!(packed.len() * 2, vector.len(), "one code per component");
    assert!(vector.len() <= LEN_MAX, "vector too long");
    let vector = vector.as_chunks::<64>().0;
    #[cfg(target_arch = "x86_64")]
    if isa.vnni() {
        // SAFETY: a value of `Isa` has it only on processors that do.
        return unsafe { x86::vnni::nibbles(blocks, vector) };
    }
    by_isa!(isa, nibbles(blocks, vector))
}

/// Packs four-bit codes, whose number is a multiple of 64.
pub(crate) fn pack_nibbles(codes: &[u8], packed: &mut [u8]) {
    debug_assert_eq!(codes.len(), 2 * packed.len());
    let blocks = packed.chunks_exact_mut(NIBBLE_BLOCK);
    for (block, codes) in blocks.zip(codes.as_chunks::<64>().0) {
        for (at, byte) in block.iter_mut().enumerate() {
            *byte = codes[at] | codes[at + NIBBLE_BLOCK] << 4;
        }
    }
}

/// The code of one component.
pub(crate) fn nibble(packed: &[u8], at: usize) -> u8 {
    let byte = packed[at / 64 * NIBBLE_BLOCK + at % NIBBLE_BLOCK];
    if at % 64 < NIBBLE_BLOCK {
        byte & 15
    } else {
        byte >> 4
    }
}
