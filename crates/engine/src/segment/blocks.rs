//! Stored fields in blocks: the bytes of the sections BLOCKS and BLOCK_TABLE.
//!
//! Fields of neighbouring rows look alike, so they are compressed together: whole rows, up to 16 KiB
//! of them, which is what a read of one row costs. Smaller blocks compress worse, larger ones make
//! reading one row dearer. LZ4, because it is decompressed at gigabytes a second: a cold read is
//! the disk's, not ours. What it does not make an eighth smaller is kept as it is, and then costs
//! a copy instead.

use std::ops::Range;

use cairn_storage::SegmentWriter;
use lz4_flex::block::{
    CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size,
};

use crate::error::{Code, Error, Result};
use crate::limits::FIELDS_BYTES_MAX;
use crate::options::Compression;

/// A block is full when the next row would bring it above this; a larger row is one by itself.
const BLOCK_FIELDS_BYTES: usize = 16 * 1024;

/// Bytes of a block in the table.
pub(crate) const BLOCK_ENTRY_BYTES: usize = 32;

/// How a block is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Plain,
    Lz4,
}

/// A block, as the table has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    /// Where it begins in the section.
    offset: u64,
    first_row: u32,
    rows: u32,
    stored: u32,
    plain: u32,
    codec: Codec,
}

/// Why bytes are not a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// They are no table of this section.
    Wrong(&'static str),
    /// A compression that came later.
    UnknownCodec,
}

impl Block {
    fn to_bytes(self) -> [u8; BLOCK_ENTRY_BYTES] {
        let codec: u32 = match self.codec {
            Codec::Plain => 0,
            Codec::Lz4 => 1,
        };
        let mut bytes = [0; BLOCK_ENTRY_BYTES];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        let words = [self.first_row, self.rows, self.stored, self.plain, codec];
        for (word, at) in words.iter().zip(bytes[8..].chunks_exact_mut(4)) {
            at.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads an entry, and checks what it can say of itself.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn from_bytes(bytes: &[u8; BLOCK_ENTRY_BYTES]) -> Result<Self, Fault> {
        let (words, _) = bytes.as_chunks::<4>();
        let word = |at: usize| u32::from_le_bytes(words[at]);
        let codec = match word(6) {
            0 => Codec::Plain,
            1 => Codec::Lz4,
            _ => return Err(Fault::UnknownCodec),
        };
        let block = Self {
            offset: u64::from(word(0)) | u64::from(word(1)) << 32,
            first_row: word(2),
            rows: word(3),
            stored: word(4),
            plain: word(5),
            codec,
        };
        let fits = match codec {
            Codec::Plain => block.stored == block.plain,
            Codec::Lz4 => block.stored < block.plain,
        };
        // Memory is taken for this many bytes.
        if !fits || block.plain as usize > FIELDS_BYTES_MAX {
            return Err(Fault::Wrong("a block of a length that none has"));
        }
        let ends = block.offset.checked_add(block.stored.into()).is_some();
        if !ends || block.rows == 0 || block.first_row.checked_add(block.rows).is_none() {
            return Err(Fault::Wrong("a block without rows, or of too many"));
        }
        Ok(block)
    }

    /// Where it lies in its section.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset + u64::from(self.stored)
    }

    pub fn rows(&self) -> Range<u32> {
        self.first_row..self.first_row + self.rows
    }

    /// Bytes of its fields.
    pub fn plain_bytes(&self) -> usize {
        self.plain as usize
    }

    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Fills `plain`, of [`plain_bytes`](Self::plain_bytes), from what is stored. Nothing is
    /// written beyond, whatever the bytes say.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn unpack(&self, stored: &[u8], plain: &mut [u8]) -> Result<(), &'static str> {
        match self.codec {
            Codec::Plain => plain.copy_from_slice(stored),
            Codec::Lz4 if decompress_into(stored, plain).ok() != Some(plain.len()) => {
                return Err("a block that is not compressed as it says");
            }
            Codec::Lz4 => {}
        }
        Ok(())
    }
}

/// Where the fields of each row lie.
pub(crate) struct BlockTable {
    blocks: Box<[Block]>,
    /// Where each row ends in the bytes of its block.
    ends: Box<[u32]>,
}

impl BlockTable {
    /// How many blocks a table of `bytes` bytes has; `None` where no table of so many rows has that
    /// length.
    pub fn block_count(bytes: u64, rows: usize) -> Option<usize> {
        let entries = bytes.checked_sub(rows as u64 * 4)?;
        let blocks = usize::try_from(entries / BLOCK_ENTRY_BYTES as u64).ok()?;
        let even = entries.is_multiple_of(BLOCK_ENTRY_BYTES as u64);
        (even && (1..=rows).contains(&blocks)).then_some(blocks)
    }

    /// Reads the table of a section of `stored` bytes.
    ///
    /// # Errors
    /// [`Fault`] unless its blocks lie one behind the other and fill the section, and each row ends
    /// where the next one of its block begins.
    pub fn from_bytes(bytes: &[u8], rows: usize, stored: u64) -> Result<Self, Fault> {
        let count = Self::block_count(bytes.len() as u64, rows);
        let count = count.ok_or(Fault::Wrong("a table of another length than its rows"))?;
        let (entries, ends) = bytes.split_at(count * BLOCK_ENTRY_BYTES);
        let (ends, _) = ends.as_chunks::<4>();
        let ends: Box<[u32]> = ends.iter().map(|end| u32::from_le_bytes(*end)).collect();
        let (entries, _) = entries.as_chunks::<BLOCK_ENTRY_BYTES>();
        let (mut row, mut offset) = (0, 0);
        let read = |entry: &[u8; BLOCK_ENTRY_BYTES]| -> Result<Block, Fault> {
            let block = Block::from_bytes(entry)?;
            if (block.first_row, block.offset) != (row, offset) {
                return Err(Fault::Wrong("blocks that do not follow each other"));
            }
            (row, offset) = (block.rows().end, block.range().end);
            let rows = block.first_row as usize..row as usize;
            let ends = ends.get(rows).filter(|ends| ends.is_sorted());
            if ends.and_then(<[u32]>::last) != Some(&block.plain) {
                return Err(Fault::Wrong("ends that do not fit their block"));
            }
            Ok(block)
        };
        let blocks = entries.iter().map(read).collect::<Result<_, _>>()?;
        if row as usize != rows || offset != stored {
            return Err(Fault::Wrong("blocks that do not fit the section"));
        }
        Ok(Self { blocks, ends })
    }

    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The number of the row's block.
    pub fn block_of(&self, row: u32) -> usize {
        self.blocks.partition_point(|block| block.first_row <= row) - 1
    }

    /// Where the row lies in the bytes of its block.
    pub fn range_in(&self, block: usize, row: u32) -> Range<usize> {
        let at = row as usize;
        let start = if self.blocks[block].first_row == row {
            0
        } else {
            self.ends[at - 1]
        };
        start as usize..self.ends[at] as usize
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.blocks) + size_of_val(&*self.ends)
    }
}

/// Packs fields into blocks, row after row.
pub(super) struct BlockWriter {
    compression: Compression,
    table: CompressTable,
    plain: Vec<u8>,
    packed: Vec<u8>,
    entries: Vec<u8>,
    ends: Vec<u32>,
    first_row: u32,
    offset: u64,
}

impl BlockWriter {
    pub fn new(compression: Compression, rows: usize) -> Self {
        Self {
            compression,
            table: CompressTable::default(),
            plain: Vec::with_capacity(BLOCK_FIELDS_BYTES),
            packed: Vec::new(),
            entries: Vec::new(),
            ends: Vec::with_capacity(rows),
            first_row: 0,
            offset: 0,
        }
    }

    /// Takes the next row. `writer` has begun the section of the blocks.
    ///
    /// # Errors
    /// What the disk says; `ERR_CORRUPT` for a row larger than any may be.
    pub fn push(&mut self, fields: &[u8], writer: &mut SegmentWriter) -> Result<()> {
        if fields.len() > FIELDS_BYTES_MAX {
            return Err(Error::new(
                Code::Corrupt,
                "stored fields are larger than any may be",
            ));
        }
        let has_rows = self.ends.len() > self.first_row as usize;
        if has_rows && self.plain.len() + fields.len() > BLOCK_FIELDS_BYTES {
            self.end_block(writer)?;
        }
        self.plain.extend_from_slice(fields);
        self.ends.push(small(self.plain.len()));
        Ok(())
    }

    /// Writes what is left, and returns the table: nothing where no row has fields.
    ///
    /// # Errors
    /// What the disk says.
    pub fn finish(mut self, writer: &mut SegmentWriter) -> Result<Vec<u8>> {
        self.end_block(writer)?;
        if self.ends.iter().all(|&end| end == 0) {
            return Ok(Vec::new());
        }
        self.entries
            .extend_from_slice(bytemuck::cast_slice(&self.ends));
        Ok(self.entries)
    }

    fn end_block(&mut self, writer: &mut SegmentWriter) -> Result<()> {
        let next_row = small(self.ends.len());
        let packed = self.pack();
        let stored = packed.map_or(&self.plain[..], |length| &self.packed[..length]);
        let block = Block {
            offset: self.offset,
            first_row: self.first_row,
            rows: next_row - self.first_row,
            stored: small(stored.len()),
            plain: small(self.plain.len()),
            codec: packed.map_or(Codec::Plain, |_| Codec::Lz4),
        };
        writer.write(stored)?;
        self.offset = block.range().end;
        self.first_row = next_row;
        self.entries.extend_from_slice(&block.to_bytes());
        self.plain.clear();
        Ok(())
    }

    /// Compresses the block, where that pays; the length it has then.
    fn pack(&mut self) -> Option<usize> {
        if self.compression == Compression::None {
            return None;
        }
        let most = get_maximum_output_size(self.plain.len());
        if self.packed.len() < most {
            self.packed.resize(most, 0);
        }
        let packed = compress_into_with_table(&self.plain, &mut self.packed, &mut self.table);
        let length = packed.expect("there is room for the worst");
        (length + self.plain.len() / 8 < self.plain.len()).then_some(length)
    }
}

fn small(n: usize) -> u32 {
    u32::try_from(n).expect("rows and blocks are counted in 32 bits")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use cairn_env::Env;
    use cairn_storage::{REQUIRED, SegmentReader};

    use super::super::sections::{BLOCKS, KNOWN};
    use super::*;

    /// What is stored of `rows`, and its table.
    fn packed(rows: &[Vec<u8>], compression: Compression) -> (Vec<u8>, Vec<u8>) {
        let env = Env::memory(1);
        let path = Path::new("/made.seg");
        let mut writer = SegmentWriter::create(&env, path, [1; 16], 1).expect("a new file");
        writer.begin(BLOCKS, REQUIRED).expect("a section");
        let mut blocks = BlockWriter::new(compression, rows.len());
        for row in rows {
            blocks.push(row, &mut writer).expect("room");
        }
        let table = blocks.finish(&mut writer).expect("room");
        writer.end().expect("an end");
        writer.finish().expect("a whole file");
        let reader = SegmentReader::open(&env, path, None, &KNOWN).expect("what was written");
        (reader.read(BLOCKS).expect("its bytes"), table)
    }

    fn rows() -> Vec<Vec<u8>> {
        let mut seed = 1_u64;
        let mut noise = |bytes: usize| {
            let step = |_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 56) as u8
            };
            (0..bytes).map(step).collect::<Vec<u8>>()
        };
        let mut rows: Vec<Vec<u8>> = (0..300).map(|n| vec![n as u8; n % 90]).collect();
        rows.extend([
            noise(9_000),
            noise(9_000),
            Vec::new(),
            vec![1; FIELDS_BYTES_MAX],
        ]);
        rows.extend([Vec::new(), vec![2; 16 * 1024], vec![3]]);
        rows
    }

    #[test]
    fn rows_come_out_of_their_blocks_as_they_went_in() {
        let rows = rows();
        for compression in [Compression::Lz4, Compression::None] {
            let (stored, table) = packed(&rows, compression);
            let table = BlockTable::from_bytes(&table, rows.len(), stored.len() as u64);
            let table = table.expect("a good table");
            for (row, fields) in (0..).zip(&rows) {
                let number = table.block_of(row);
                let block = &table.blocks()[number];
                assert!(block.rows().contains(&row));
                let many = block.rows().len() > 1;
                assert!(
                    !many || block.plain_bytes() <= BLOCK_FIELDS_BYTES,
                    "{block:?}"
                );
                let range = block.range();
                let stored = &stored[range.start as usize..range.end as usize];
                let mut plain = vec![0; block.plain_bytes()];
                block.unpack(stored, &mut plain).expect("what was packed");
                assert!(plain[table.range_in(number, row)] == *fields, "row {row}");
            }
            let all: usize = rows.iter().map(Vec::len).sum();
            match compression {
                Compression::Lz4 => assert!(stored.len() < all / 10, "{}", stored.len()),
                Compression::None => assert_eq!(stored.len(), all),
            }
            let noise = table.blocks()[table.block_of(300)];
            assert_eq!(
                noise.codec(),
                Codec::Plain,
                "what cannot be compressed is not"
            );
        }
        assert_eq!(
            packed(&[Vec::new(), Vec::new()], Compression::Lz4),
            (vec![], vec![])
        );
    }

    #[test]
    fn whatever_bit_turns_around_no_row_leaves_its_block_and_nothing_panics() {
        let rows: Vec<Vec<u8>> = (0..40).map(|n| vec![n; 1_000]).collect();
        let (stored, table) = packed(&rows, Compression::Lz4);
        let mut believed = 0;
        for bit in 0..table.len() * 8 {
            let mut turned = table.clone();
            turned[bit / 8] ^= 1 << (bit % 8);
            let Ok(table) = BlockTable::from_bytes(&turned, rows.len(), stored.len() as u64) else {
                continue;
            };
            believed += 1;
            for row in 0..40 {
                let number = table.block_of(row);
                let block = &table.blocks()[number];
                assert!(table.range_in(number, row).end <= block.plain_bytes());
            }
        }
        // Four bytes of each block are not read, and an end may move between its neighbours.
        assert!(believed > 0);
        let good = BlockTable::from_bytes(&table, rows.len(), stored.len() as u64);
        let good = good.expect("a good table");
        for bit in 0..stored.len() * 8 {
            let mut turned = stored.clone();
            turned[bit / 8] ^= 1 << (bit % 8);
            for block in good.blocks() {
                let range = block.range();
                let bytes = &turned[range.start as usize..range.end as usize];
                let _ = block.unpack(bytes, &mut vec![0; block.plain_bytes()]);
            }
        }
    }
}
