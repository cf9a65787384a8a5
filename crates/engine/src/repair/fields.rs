//! Stored fields that can be saved of a segment that may be damaged, in either layout.

use std::cell::RefCell;
use std::ops::Range;

use cairn_storage::{SectionId, SegmentReader};

use crate::error::{Code, Error, Result};
use crate::limits::FIELDS_BYTES_MAX;
use crate::segment::blocks::{BLOCK_ENTRY_BYTES, Block, BlockTable, Codec};
use crate::segment::{BLOCK_TABLE, BLOCKS, PAYLOAD, PAYLOAD_ENDS};

use super::rows::{Bad, numbers};

/// Where the fields of each row are, as far as that can be read.
pub(super) enum SavedFields {
    /// What says so is not there.
    Lost,
    /// No row has any.
    Nothing,
    EndToEnd {
        bytes: u64,
        ends: Vec<Option<u64>>,
    },
    Blocks(Blocks),
}

pub(super) struct Blocks {
    /// Those whose entry is right, and whose bytes are where they are compressed.
    blocks: Vec<Block>,
    /// The block of each row, by its place in `blocks`.
    of_rows: Vec<Option<u32>>,
    /// Where each row ends in its block.
    ends: Vec<Option<u32>>,
    /// The block that was read last.
    last: RefCell<Option<(u32, Vec<u8>)>>,
}

impl SavedFields {
    pub fn of(reader: &SegmentReader, bad: &Bad, rows: usize) -> Result<Self> {
        if let (Some(stored), Some(table)) = (reader.len(BLOCKS), reader.len(BLOCK_TABLE)) {
            return match (stored, table) {
                (0, 0) => Ok(Self::Nothing),
                _ => Blocks::of(reader, bad, rows, stored),
            };
        }
        match reader.len(PAYLOAD) {
            None => Ok(Self::Lost),
            Some(0) => Ok(Self::Nothing),
            Some(bytes) => Ok(Self::EndToEnd {
                bytes,
                ends: numbers(reader, bad, PAYLOAD_ENDS)?.unwrap_or_default(),
            }),
        }
    }

    /// Whether the fields of the row can be read.
    pub fn are_whole(&self, reader: &SegmentReader, bad: &Bad, row: usize) -> bool {
        match self {
            Self::Lost => false,
            Self::Nothing => true,
            Self::EndToEnd { bytes, ends } => range(ends, row, 0).is_some_and(|range| {
                range.end <= *bytes
                    && range.end - range.start <= FIELDS_BYTES_MAX as u64
                    && bad.spares(reader, PAYLOAD, range)
            }),
            Self::Blocks(blocks) => blocks.place(row).is_some_and(|(number, range)| {
                let block = &blocks.blocks[number as usize];
                let start = block.range().start;
                range.end <= block.plain_bytes() as u64
                    && (block.codec() == Codec::Lz4
                        || bad.spares(reader, BLOCKS, start + range.start..start + range.end))
            }),
        }
    }

    /// Appends the fields of a row that are whole.
    pub fn read(&self, reader: &SegmentReader, row: usize, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Lost | Self::Nothing => Ok(()),
            Self::EndToEnd { ends, .. } => match range(ends, row, 0) {
                Some(range) => read_range(reader, PAYLOAD, range, out),
                None => Ok(()),
            },
            Self::Blocks(blocks) => blocks.read(reader, row, out),
        }
    }
}

impl Blocks {
    fn of(reader: &SegmentReader, bad: &Bad, rows: usize, stored: u64) -> Result<SavedFields> {
        let bytes = reader.read_unchecked(BLOCK_TABLE)?;
        let Some(count) = BlockTable::block_count(bytes.len() as u64, rows) else {
            return Ok(SavedFields::Lost);
        };
        let (entries, ends) = bytes.split_at(count * BLOCK_ENTRY_BYTES);
        let right = |range: Range<usize>| {
            bad.spares(reader, BLOCK_TABLE, range.start as u64..range.end as u64)
        };
        let end = |(at, end): (usize, &[u8; 4])| {
            let at = entries.len() + at * 4;
            right(at..at + 4).then(|| u32::from_le_bytes(*end))
        };
        let ends = ends.as_chunks::<4>().0.iter().enumerate().map(end);
        let mut saved = Self {
            blocks: Vec::new(),
            of_rows: vec![None; rows],
            ends: ends.collect(),
            last: RefCell::default(),
        };
        let (entries, _) = entries.as_chunks::<BLOCK_ENTRY_BYTES>();
        for (entry, at) in entries.iter().zip((0..).step_by(BLOCK_ENTRY_BYTES)) {
            let Ok(block) = Block::from_bytes(entry) else {
                continue;
            };
            let of_rows = saved.of_rows.get_mut(range_of_rows(&block));
            let fits = right(at..at + entry.len()) && block.range().end <= stored;
            let (Some(of_rows), true) = (of_rows, fits) else {
                continue;
            };
            if block.codec() == Codec::Lz4 && unpack(reader, bad, &block).is_none() {
                continue;
            }
            let number = u32::try_from(saved.blocks.len()).expect("no more blocks than rows");
            of_rows.fill(Some(number));
            saved.blocks.push(block);
        }
        Ok(SavedFields::Blocks(saved))
    }

    /// The row's block, and where the row lies in the bytes of it.
    fn place(&self, row: usize) -> Option<(u32, Range<u64>)> {
        let number = (*self.of_rows.get(row)?)?;
        let first = self.blocks[number as usize].rows().start as usize;
        Some((number, range(&self.ends, row, first)?))
    }

    fn read(&self, reader: &SegmentReader, row: usize, out: &mut Vec<u8>) -> Result<()> {
        let Some((number, range)) = self.place(row) else {
            return Ok(());
        };
        let block = &self.blocks[number as usize];
        let start = block.range().start;
        if block.codec() == Codec::Plain {
            return read_range(reader, BLOCKS, start + range.start..start + range.end, out);
        }
        let mut last = self.last.borrow_mut();
        if last.as_ref().is_none_or(|(at, _)| *at != number) {
            let plain = unpack(reader, &Bad::default(), block);
            let plain = plain.ok_or_else(|| Error::new(Code::Corrupt, "a block has changed"))?;
            *last = Some((number, plain));
        }
        let range = usize::try_from(range.start)
            .ok()
            .zip(usize::try_from(range.end).ok());
        if let (Some((_, plain)), Some((start, end))) = (&*last, range) {
            out.extend_from_slice(&plain[start..end]);
        }
        Ok(())
    }
}

/// The bytes of a compressed block that is what was written.
fn unpack(reader: &SegmentReader, bad: &Bad, block: &Block) -> Option<Vec<u8>> {
    if !bad.spares(reader, BLOCKS, block.range()) {
        return None;
    }
    let mut stored = Vec::new();
    read_range(reader, BLOCKS, block.range(), &mut stored).ok()?;
    let mut plain = vec![0; block.plain_bytes()];
    block.unpack(&stored, &mut plain).ok()?;
    Some(plain)
}

/// Where a row lies among others that lie end to end from row `first` on.
fn range<N: Copy + Into<u64>>(ends: &[Option<N>], row: usize, first: usize) -> Option<Range<u64>> {
    let start = if row == first {
        0
    } else {
        (*ends.get(row - 1)?)?.into()
    };
    let end = (*ends.get(row)?)?.into();
    (start <= end).then_some(start..end)
}

fn range_of_rows(block: &Block) -> Range<usize> {
    let rows = block.rows();
    rows.start as usize..rows.end as usize
}

fn read_range(
    reader: &SegmentReader,
    id: SectionId,
    range: Range<u64>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let at = out.len();
    let length = usize::try_from(range.end - range.start).expect("it lies in the section");
    out.resize(at + length, 0);
    Ok(reader.read_range(id, range.start, &mut out[at..])?)
}
