//! The parts of the regions, byte by byte.
//!
//! A list has one part in each region, which starts at a multiple of 64 bytes. All numbers are little-endian,
//! those with a fraction IEEE 754 binary32 and finite.
//!
//! *Coarse*: a block for each 32 rows.
//!
//! | bytes          | field                                                                          |
//! |---------------:|--------------------------------------------------------------------------------|
//! |            128 | row numbers, those of the list rising; `u32::MAX` in places without a row      |
//! |  128, 128, 128 | factors of their codes: summands, multipliers, errors                          |
//! | `4 n` a plane  | the planes of the codes, packed for FastScan; `n` is the dim padded to 64      |
//!
//! *Fine*: a record for each row in the same order, then zeros up to a multiple of 64: five factors, step, offset,
//! square and error of the code, and a summand; the code, a byte for each component; zeros up to a multiple of 4. The
//! summand is the product of the centroid and the row as seen from it, negated; zero under `l2`.
//!
//! A row whose lengths overflow has factors of zero and the largest error: nothing is known of it, so it is never
//! ruled out.

use cairn_quantize::fastscan::{BlockFactors, ROWS, block_bytes};
use cairn_quantize::{rabitq, scalar};

use super::Region;

/// A place of a block without a row.
pub(super) const EMPTY: u32 = u32::MAX;

/// Parts start at a multiple of this.
const ALIGNMENT: u64 = 64;

/// Row numbers, and three factors each.
const BLOCK_HEAD_BYTES: usize = 4 * ROWS * 4;

/// Step, offset, square, error and summand.
const RECORD_HEAD_BYTES: usize = 20;

/// Codes from this many components on have one bit for each, shorter ones more: the error of an estimate falls
/// with the root of the dim.
const ONE_BIT_DIM: usize = 256;
const TWO_BIT_DIM: usize = 64;

/// How long things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub dim: usize,
    /// Bits of a coarse code for each component.
    pub bits: u8,
    /// Bytes of a plane of a block.
    plane_bytes: usize,
}

impl Layout {
    pub fn new(dim: usize) -> Self {
        let bits = match dim {
            ONE_BIT_DIM.. => 1,
            _ if dim > TWO_BIT_DIM => 2,
            _ => 4,
        };
        let padded_dim = dim.next_multiple_of(64);
        Self {
            dim,
            bits,
            plane_bytes: block_bytes(padded_dim / 4),
        }
    }

    pub fn block_bytes(&self) -> usize {
        BLOCK_HEAD_BYTES + usize::from(self.bits) * self.plane_bytes
    }

    pub fn record_bytes(&self) -> usize {
        RECORD_HEAD_BYTES + self.dim.next_multiple_of(4)
    }

    /// Bytes of the part of a list of `rows` rows, which are at most `u32::MAX`.
    pub fn part_bytes(&self, region: Region, rows: u32) -> u64 {
        match region {
            Region::Coarse => u64::from(rows.div_ceil(ROWS as u32)) * self.block_bytes() as u64,
            Region::Fine => {
                (u64::from(rows) * self.record_bytes() as u64).next_multiple_of(ALIGNMENT)
            }
        }
    }

    /// Words of the coarse codes of one plane and row.
    pub fn plane_words(&self) -> usize {
        self.plane_bytes / (8 * ROWS)
    }

    /// Writes a block over zeros: row numbers, factors, and the planes of the rows, one after the other for each
    /// row.
    pub fn write_block(
        &self,
        rows: &[u32],
        factors: &BlockFactors,
        words: &[u64],
        block: &mut [u8],
    ) {
        let mut ids = [EMPTY; ROWS];
        ids[..rows.len()].copy_from_slice(rows);
        let (head, planes) = block.split_at_mut(BLOCK_HEAD_BYTES);
        let factors = [&factors.add, &factors.rescale, &factors.error];
        let bits = factors.into_iter().flatten().map(|factor| factor.to_bits());
        let slots = head.as_chunks_mut::<4>().0.iter_mut();
        for (slot, word) in slots.zip(ids.into_iter().chain(bits)) {
            *slot = word.to_le_bytes();
        }
        let (plane_words, bits) = (self.plane_words(), usize::from(self.bits));
        let mut signs = vec![0; plane_words * ROWS];
        for (plane, packed) in planes.chunks_exact_mut(self.plane_bytes).enumerate() {
            let of_rows = words.chunks_exact(plane_words * bits);
            for (slot, words) in signs.chunks_exact_mut(plane_words).zip(of_rows) {
                slot.copy_from_slice(&words[plane * plane_words..][..plane_words]);
            }
            cairn_quantize::fastscan::pack_signs(packed, &signs);
        }
    }

    /// Writes a record over zeros.
    pub fn write_record(&self, code: &[u8], factors: FineFactors, record: &mut [u8]) {
        let slots = record.as_chunks_mut::<4>().0;
        for (slot, factor) in slots.iter_mut().zip(factors.numbers()) {
            *slot = factor.to_le_bytes();
        }
        record[RECORD_HEAD_BYTES..][..code.len()].copy_from_slice(code);
    }

    /// Code and factors of a record, if they are numbers.
    #[inline]
    pub fn read_record<'a>(&self, record: &'a [u8]) -> Option<(&'a [u8], FineFactors)> {
        let (head, code) = record.split_at_checked(RECORD_HEAD_BYTES)?;
        let number = |at: usize| f32::from_le_bytes([0, 1, 2, 3].map(|byte| head[4 * at + byte]));
        let code_factors = scalar::Factors {
            step: number(0),
            offset: number(1),
            square: number(2),
            error: number(3),
        };
        let factors = FineFactors {
            code: code_factors,
            add: number(4),
        };
        factors.known().then_some((code.get(..self.dim)?, factors))
    }
}

/// What belongs to a fine code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FineFactors {
    pub code: scalar::Factors,
    /// What of the distance is known exactly.
    pub add: f32,
}

impl FineFactors {
    /// Of a row of which nothing is known.
    pub const UNKNOWN: Self = Self {
        code: scalar::Factors {
            step: 0.0,
            offset: 0.0,
            square: 0.0,
            error: f32::MAX,
        },
        add: 0.0,
    };

    fn numbers(self) -> [f32; 5] {
        let scalar::Factors {
            step,
            offset,
            square,
            error,
        } = self.code;
        [step, offset, square, error, self.add]
    }

    /// Whether all are numbers.
    pub fn known(self) -> bool {
        self.numbers().iter().all(|factor| factor.is_finite())
    }
}

/// Factors of a row of which nothing is known.
pub(super) const UNKNOWN: rabitq::Factors = rabitq::Factors {
    add: 0.0,
    rescale: 0.0,
    error: f32::MAX,
};

/// A block as it was read.
pub(super) struct Block<'a> {
    pub ids: [u32; ROWS],
    pub add: [f32; ROWS],
    pub rescale: [f32; ROWS],
    pub error: [f32; ROWS],
    pub planes: &'a [u8],
}

impl<'a> Block<'a> {
    /// The block in `bytes`, with `taken` rows, if these are below `rows` and all factors numbers.
    ///
    /// # Panics
    /// If `bytes` are not a block, or `taken` is not 1 to 32.
    #[inline]
    pub fn read(bytes: &'a [u8], taken: usize, rows: usize) -> Option<Self> {
        let (head, planes) = bytes.split_at(BLOCK_HEAD_BYTES);
        let block = Self {
            ids: array(head, 0, u32::from_le_bytes),
            add: array(head, 1, f32::from_le_bytes),
            rescale: array(head, 2, f32::from_le_bytes),
            error: array(head, 3, f32::from_le_bytes),
            planes,
        };
        let (there, beyond) = block.ids.split_at(taken);
        // No early ends: each of these is a few vector instructions.
        let below = |all: bool, &id: &u32| all & ((id as usize) < rows);
        let finite = |all: bool, factor: &f32| all & factor.is_finite();
        let good = there.iter().fold(true, below)
            & beyond.iter().all(|&id| id == EMPTY)
            & block.add.iter().fold(true, finite)
            & block.rescale.iter().fold(true, finite)
            & block.error.iter().fold(true, finite);
        good.then_some(block)
    }
}

/// The `at`-th array of a head: copied, for its bytes may lie anywhere.
#[inline(always)]
fn array<T: Default + Copy>(head: &[u8], at: usize, read: impl Fn([u8; 4]) -> T) -> [T; ROWS] {
    let mut array = [T::default(); ROWS];
    let words = head[at * 4 * ROWS..][..4 * ROWS].as_chunks::<4>().0;
    for (slot, &word) in array.iter_mut().zip(words) {
        *slot = read(word);
    }
    array
}
