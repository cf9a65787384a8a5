//! Stored fields of an open segment: in blocks, or end to end as they were written before there
//! were any. Whoever wants some row goes through the cache; whoever goes through the rows in their order
//! reads far ahead and leaves the cache alone.

use std::ops::Range;
use std::sync::Arc;

use cairn_storage::{BLOCK_BYTES, SectionId, SegmentReader, StorageError};

use crate::error::{Error, Result};
use crate::payload;
use crate::query::SelectFields;

use super::blocks::{Block, BlockTable};
use super::{BLOCKS, Body, PAYLOAD, sections};

/// Bytes that are read at once by whoever goes on in order: 256 KiB take a cheap disk about a
/// millisecond, most of which is not the way there.
const READ_AHEAD_BYTES: u64 = 256 * 1024;

/// Bytes beyond those that the disk is told of: it fetches them while these are used.
const TOLD_BYTES: u64 = 4 * READ_AHEAD_BYTES;

/// Bytes that are passed over in order to go on; reading them costs less than another read.
const GAP_BYTES: u64 = 64 * 1024;

/// Where the fields of a segment's rows are.
pub(super) enum Stored {
    /// No row has any.
    Nothing,
    /// One behind the other; where each row ends.
    EndToEnd(Vec<u64>),
    Blocks(BlockTable),
}

impl Stored {
    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::EndToEnd(ends) => size_of_val(&ends[..]),
            Self::Blocks(table) => table.bytes(),
        }
    }
}

/// What somebody keeps who goes through the rows of a segment in their order.
#[derive(Default)]
pub(crate) struct ReadAhead {
    window: Window,
    /// The block that the last row was in.
    block: Option<(usize, Arc<[u8]>)>,
    /// Of each vector field that is read from the file.
    vectors: Vec<Window>,
}

/// A stretch of a section that was read at once.
#[derive(Default)]
struct Window {
    start: u64,
    bytes: Vec<u8>,
    /// Up to where the disk was told.
    told: u64,
}

impl Window {
    /// The bytes `range` of a section; what comes behind them is read, too, when they follow what
    /// was read last.
    fn get(
        &mut self,
        reader: &SegmentReader,
        id: SectionId,
        range: Range<u64>,
    ) -> Result<&[u8], StorageError> {
        let end = self.start + self.bytes.len() as u64;
        if range.start < self.start || range.end > end {
            let follows = (self.start..=end + GAP_BYTES).contains(&range.start);
            let ahead = if follows { READ_AHEAD_BYTES } else { 0 };
            let wanted = range.start..range.end.max(range.start + ahead);
            if follows {
                let until = wanted.end + TOLD_BYTES;
                let is_next = (wanted.end..=until).contains(&self.told);
                let from = if is_next { self.told } else { wanted.end };
                reader.will_read(id, from..until);
                self.told = until;
            }
            self.read(reader, id, wanted)?;
        }
        let start = usize::try_from(range.start - self.start).expect("it lies in the window");
        let end = usize::try_from(range.end - self.start).expect("it lies in the window");
        Ok(&self.bytes[start..end])
    }

    /// Reads the bytes `range`, or up to the end of the section, and what shares a checksum with
    /// them: in one piece that is verified where it lands.
    fn read(
        &mut self,
        reader: &SegmentReader,
        id: SectionId,
        range: Range<u64>,
    ) -> Result<(), StorageError> {
        let unit = BLOCK_BYTES as u64;
        let end = range.end.next_multiple_of(unit);
        let end = end.min(reader.len(id).unwrap_or(0));
        let start = range.start - range.start % unit;
        let length = usize::try_from(end - start).expect("a block and what is read ahead");
        self.start = start;
        self.bytes.resize(length, 0);
        let read = reader.read_range(id, start, &mut self.bytes);
        read.inspect_err(|_| self.bytes.clear())
    }
}

impl Body {
    /// Appends the row's selected fields to `out`.
    pub fn payload(&self, row: u32, select: &SelectFields, out: &mut Vec<u8>) -> Result<()> {
        if *select == SelectFields::None {
            return Ok(());
        }
        match &self.stored {
            Stored::Nothing => Ok(()),
            Stored::EndToEnd(ends) => {
                let range = end_to_end(ends, row);
                let mut fields = vec![0; length(&range)];
                self.reader.read_range(PAYLOAD, range.start, &mut fields)?;
                append(&fields, select, out)
            }
            Stored::Blocks(table) => {
                let number = table.block_of(row);
                let range = table.range_in(number, row);
                if range.is_empty() {
                    return Ok(());
                }
                append(&self.block(table, number)?[range], select, out)
            }
        }
    }

    /// As [`payload`](Self::payload), for somebody who wants many rows in their order.
    pub fn payload_in_order(
        &self,
        row: u32,
        select: &SelectFields,
        ahead: &mut ReadAhead,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        if *select == SelectFields::None {
            return Ok(());
        }
        match &self.stored {
            Stored::Nothing => Ok(()),
            Stored::EndToEnd(ends) => {
                let range = end_to_end(ends, row);
                append(ahead.window.get(&self.reader, PAYLOAD, range)?, select, out)
            }
            Stored::Blocks(table) => {
                let number = table.block_of(row);
                let range = table.range_in(number, row);
                if range.is_empty() {
                    return Ok(());
                }
                let block = match ahead.block.take() {
                    Some((at, block)) if at == number => block,
                    _ => match self.cache.peek(self.number, block_number(number)) {
                        Some(block) => block,
                        None => read_block(&self.reader, table, number, &mut ahead.window)?,
                    },
                };
                append(&block[range], select, out)?;
                ahead.block = Some((number, block));
                Ok(())
            }
        }
    }

    /// As [`Segment::vector`](super::Segment::vector), for somebody who wants those of many rows in
    /// their order.
    pub fn vector_in_order(
        &self,
        row: u32,
        field: usize,
        ahead: &mut ReadAhead,
        out: &mut Vec<f32>,
    ) -> Result<()> {
        let id = sections::vectors(field);
        if self.fields[field].holds_stored() {
            return self.vector(row, field, out);
        }
        let at = out.len();
        out.resize(at + self.vector_values(row, field), 0.0);
        if ahead.vectors.len() <= field {
            ahead.vectors.resize_with(field + 1, Window::default);
        }
        let (window, field) = (&mut ahead.vectors[field], &self.fields[field]);
        let stored = window.get(&self.reader, id, field.range(row))?;
        field.kind.decode(stored, &mut out[at..]);
        self.check_varying(id, &out[at..])
    }

    /// Bytes of the row's fields.
    pub fn payload_bytes(&self, row: u32) -> usize {
        match &self.stored {
            Stored::Nothing => 0,
            Stored::EndToEnd(ends) => length(&end_to_end(ends, row)),
            Stored::Blocks(table) => table.range_in(table.block_of(row), row).len(),
        }
    }

    fn block(&self, table: &BlockTable, number: usize) -> Result<Arc<[u8]>> {
        let id = block_number(number);
        if let Some(block) = self.cache.get(self.number, id) {
            return Ok(block);
        }
        let at = table.blocks()[number].range();
        let mut window = Window::default();
        window.read(&self.reader, BLOCKS, at)?;
        let block = read_block(&self.reader, table, number, &mut window)?;
        self.cache.insert(self.number, id, &block);
        Ok(block)
    }
}

/// Reads every block, which tells whether it can be decompressed.
///
/// # Errors
/// `ERR_CORRUPT` naming the first that cannot, or `ERR_IO`.
pub(super) fn check_blocks(reader: &SegmentReader, table: &BlockTable) -> Result<()> {
    let mut window = Window::default();
    for number in 0..table.blocks().len() {
        read_block(reader, table, number, &mut window)?;
    }
    Ok(())
}

fn read_block(
    reader: &SegmentReader,
    table: &BlockTable,
    number: usize,
    window: &mut Window,
) -> Result<Arc<[u8]>> {
    let block = &table.blocks()[number];
    let stored = window.get(reader, BLOCKS, block.range())?;
    let mut plain: Arc<[u8]> = std::iter::repeat_n(0, block.plain_bytes()).collect();
    let bytes = Arc::get_mut(&mut plain).expect("nobody else has it yet");
    let unpacked = block.unpack(stored, bytes);
    unpacked.map_err(|what| damage(reader, block, what))?;
    Ok(plain)
}

fn damage(reader: &SegmentReader, block: &Block, what: &str) -> Error {
    StorageError::Corrupt {
        file: reader.path().to_path_buf(),
        offset: reader.offset(BLOCKS).unwrap_or(0) + block.range().start,
        section: Some("BLOCKS".to_owned()),
        what: what.to_owned(),
    }
    .into()
}

fn append(fields: &[u8], select: &SelectFields, out: &mut Vec<u8>) -> Result<()> {
    match select {
        SelectFields::Some(names) => out.extend(payload::select(fields, names)?),
        SelectFields::All => out.extend_from_slice(fields),
        SelectFields::None => {}
    }
    Ok(())
}

pub(super) fn end_to_end(ends: &[u64], row: u32) -> Range<u64> {
    let row = row as usize;
    let start = if row == 0 { 0 } else { ends[row - 1] };
    start..ends[row]
}

fn length(range: &Range<u64>) -> usize {
    usize::try_from(range.end - range.start).expect("it lies in a section")
}

fn block_number(number: usize) -> u32 {
    u32::try_from(number).expect("there are no more blocks than rows")
}
