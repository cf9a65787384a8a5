//! Codes in blocks of 32 rows.

use super::{GROUP_BYTES, ROWS, block_bytes};

/// Four-bit codes, packed for lookups: 32 rows of `groups` groups to a block.
///
/// # Examples
/// ```
/// use cairn_quantize::fastscan::Blocks;
///
/// let mut blocks = Blocks::new(6);
/// blocks.push(|group| group as u8);
/// blocks.push(|_| 9);
/// assert_eq!((blocks.rows(), blocks.block_count()), (2, 1));
/// assert_eq!((blocks.code(0, 5), blocks.code(1, 5)), (5, 9));
/// ```
#[derive(Clone, Debug)]
pub struct Blocks {
    groups: usize,
    rows: usize,
    bytes: Vec<u8>,
}

impl Blocks {
    /// No rows yet, of codes of `groups` groups.
    #[must_use]
    pub fn new(groups: usize) -> Self {
        Self {
            groups,
            rows: 0,
            bytes: Vec::new(),
        }
    }

    /// Groups of a code.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Rows pushed.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Blocks begun. The rows that the last one lacks have codes of 0.
    #[must_use]
    pub fn block_count(&self) -> usize {
        self.rows.div_ceil(ROWS)
    }

    /// Adds a row; of `code(group)` the low four bits count.
    pub fn push(&mut self, code: impl FnMut(usize) -> u8) {
        let length = block_bytes(self.groups);
        if self.rows.is_multiple_of(ROWS) {
            self.bytes.resize(self.bytes.len() + length, 0);
        }
        let start = self.rows / ROWS * length;
        let slot = self.rows % ROWS;
        self.rows += 1;
        put(&mut self.bytes[start..][..length], slot, self.groups, code);
    }

    /// Adds a row of signs, one plane of a RaBitQ code; `groups` is 16 for each word.
    ///
    /// # Panics
    /// If the words are not that many.
    pub fn push_signs(&mut self, signs: &[u64]) {
        assert_eq!(self.groups, 16 * signs.len(), "one bit per component");
        self.push(|group| (signs[group / 16] >> (group % 16 * 4)) as u8);
    }

    /// The code of one row and group.
    ///
    /// # Panics
    /// If there is no such row or group.
    #[must_use]
    pub fn code(&self, row: usize, group: usize) -> u8 {
        assert!(row < self.rows && group < self.groups, "no such code");
        let slot = row % ROWS;
        let byte = self.block(row / ROWS)[group * GROUP_BYTES + slot % GROUP_BYTES];
        if slot < GROUP_BYTES {
            byte & 15
        } else {
            byte >> 4
        }
    }

    /// The bytes of one block.
    ///
    /// # Panics
    /// If there is no such block.
    #[must_use]
    #[inline]
    pub fn block(&self, index: usize) -> &[u8] {
        let length = block_bytes(self.groups);
        &self.bytes[index * length..][..length]
    }
}

/// Writes the code of row `slot` into a block kept elsewhere, in place of what was there; of
/// `code(group)` the low four bits count.
///
/// # Panics
/// If `slot` is not below [`ROWS`], or `block` is shorter than [`block_bytes`] of `groups`.
///
/// # Examples
/// ```
/// use cairn_quantize::fastscan::{block_bytes, put};
///
/// let mut block = vec![0; block_bytes(2)];
/// put(&mut block, 17, 2, |group| 3 + group as u8);
/// assert_eq!((block[1], block[17]), (0x30, 0x40));
/// ```
pub fn put(block: &mut [u8], slot: usize, groups: usize, mut code: impl FnMut(usize) -> u8) {
    assert!(slot < ROWS, "no such row in a block");
    for group in 0..groups {
        let nibble = code(group) & 15;
        let byte = &mut block[group * GROUP_BYTES + slot % GROUP_BYTES];
        *byte = if slot < GROUP_BYTES {
            *byte & 0xf0 | nibble
        } else {
            *byte & 0x0f | nibble << 4
        };
    }
}

/// Writes the signs of [`ROWS`] rows into a block kept elsewhere: `words` has one plane for each row, one
/// after the other. What [`put`] would write row by row, many times faster.
///
/// # Panics
/// If `words` is not a plane for each row, or `block` not as long as they are together.
///
/// # Examples
/// ```
/// use cairn_quantize::fastscan::{ROWS, pack_signs, put};
///
/// let words: Vec<u64> = (0..2 * ROWS as u64).map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
/// let mut packed = vec![0; 8 * words.len()];
/// pack_signs(&mut packed, &words);
/// let mut one_by_one = vec![0; 8 * words.len()];
/// for (row, words) in words.chunks_exact(2).enumerate() {
///     let nibble = |group: usize| (words[group / 16] >> (group % 16 * 4)) as u8;
///     put(&mut one_by_one, row, 32, nibble);
/// }
/// assert_eq!(packed, one_by_one);
/// ```
pub fn pack_signs(block: &mut [u8], words: &[u64]) {
    const EVEN: u64 = 0x0f0f_0f0f_0f0f_0f0f;
    assert!(words.len().is_multiple_of(ROWS), "a plane for each row");
    assert_eq!(block.len(), 8 * words.len(), "a block of as many bits");
    let plane_words = words.len() / ROWS;
    let groups = block.as_chunks_mut::<GROUP_BYTES>().0;
    let (low, high) = words.split_at(words.len() / 2);
    let rows = low
        .chunks_exact(plane_words)
        .zip(high.chunks_exact(plane_words));
    for (slot, (low, high)) in rows.enumerate() {
        let pairs = low.iter().zip(high);
        for (groups, (&low, &high)) in groups.chunks_exact_mut(16).zip(pairs) {
            // A byte of a word is two groups, of which each takes half a byte of either row.
            let even = (low & EVEN) | (high & EVEN) << 4;
            let odd = (low >> 4 & EVEN) | (high & !EVEN);
            let bytes = even.to_le_bytes().into_iter().zip(odd.to_le_bytes());
            for (two, (even, odd)) in groups.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
                (two[0][slot], two[1][slot]) = (even, odd);
            }
        }
    }
}
