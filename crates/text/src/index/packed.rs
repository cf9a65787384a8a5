//! The postings of a term as bytes.

use crate::block::{BLOCK, Block, Impact, frontier};
use crate::packing::{Reader, bits, pack, put_number, unpack};
use crate::postings::END;

/// Bytes of the header of a block.
const HEADER: usize = 20;

/// The postings of a term. The module of the index says what the bytes are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packed<'a> {
    count: u32,
    /// Of each full block.
    headers: &'a [[u8; HEADER]],
    /// The full blocks, and the rows that are left.
    data: &'a [u8],
    positions: &'a [u8],
}

/// Where the parts of a block end.
struct Header {
    data_end: usize,
    positions_end: usize,
}

impl Header {
    fn of(bytes: &[u8; HEADER]) -> Option<Self> {
        let mut reader = Reader(bytes);
        reader.u32()?; // the last row
        Some(Self {
            data_end: reader.length()?,
            positions_end: reader.length()?,
        })
    }
}

impl<'a> Packed<'a> {
    pub fn new(count: u32, postings: &'a [u8], positions: &'a [u8]) -> Option<Self> {
        let full = count as usize / BLOCK;
        let mut reader = Reader(postings);
        let (headers, _) = reader.take(full.checked_mul(HEADER)?)?.as_chunks();
        Some(Self {
            count,
            headers,
            data: reader.0,
            positions,
        })
    }

    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// The last row of a full block; [`END`] for the rows that are left.
    #[inline]
    pub fn last_row(&self, block: usize) -> u32 {
        let last = self
            .headers
            .get(block)
            .and_then(|header| header.first_chunk());
        last.map_or(END, |bytes| u32::from_le_bytes(*bytes))
    }

    /// Reads a block; `None` if it is none.
    pub fn read(&self, block: usize, into: &mut Block) -> Option<()> {
        let mut next = match block.checked_sub(1) {
            Some(before) => u64::from(self.last_row(before)) + 1,
            None => 0,
        };
        let mut reader = Reader(self.data_of(block)?);
        if block < self.headers.len() {
            read_rows(&mut reader, into)?;
            for row in &mut into.rows {
                next += u64::from(*row);
                *row = u32::try_from(next).ok()?;
                next += 1;
            }
            into.len = BLOCK;
            return Some(());
        }
        let left = self.count() % BLOCK;
        for at in 0..left {
            let number = reader.number()?;
            next = next.checked_add(number >> 1)?;
            into.rows[at] = u32::try_from(next).ok()?;
            into.times[at] = match number & 1 {
                1 => 1,
                _ => reader.small()?,
            };
            next += 1;
        }
        into.len = left;
        reader.0.is_empty().then_some(())
    }

    /// The impacts of a block; of the rows that are left, which have none, as they are.
    pub fn impacts(&self, block: usize, lengths: &[u32], into: &mut Vec<Impact>) -> Option<()> {
        if block < self.headers.len() {
            let mut reader = Reader(self.data_of(block)?);
            let [row_bits, times_bits] = [reader.byte()?, reader.byte()?].map(usize::from);
            reader.take(16 * (row_bits + times_bits))?;
            for _ in 0..reader.byte()? {
                into.push((reader.small()?, reader.small()?));
            }
            return reader.0.is_empty().then_some(());
        }
        let mut left = Block::default();
        self.read(block, &mut left)?;
        for (row, times) in left.rows().iter().zip(left.times()) {
            into.push((*times, *lengths.get(*row as usize)?));
        }
        Some(())
    }

    /// The positions of a block and of all behind it.
    pub fn positions(&self, block: usize) -> Reader<'a> {
        let start = self.end_before(block).map(|header| header.positions_end);
        Reader(start.and_then(|it| self.positions.get(it..)).unwrap_or(&[]))
    }

    /// The positions of a block and where they end; `None` if its header is wrong.
    pub fn positions_of(&self, block: usize) -> Option<&'a [u8]> {
        let start = self.end_before(block)?.positions_end;
        let end = match self.headers.get(block) {
            Some(header) => Header::of(header)?.positions_end,
            None => self.positions.len(),
        };
        self.positions.get(start..end)
    }

    fn data_of(&self, block: usize) -> Option<&'a [u8]> {
        let start = self.end_before(block)?.data_end;
        let end = match self.headers.get(block) {
            Some(header) => Header::of(header)?.data_end,
            None => self.data.len(),
        };
        self.data.get(start..end)
    }

    /// Where what is in front of a block ends.
    fn end_before(&self, block: usize) -> Option<Header> {
        match block.checked_sub(1) {
            Some(before) => Header::of(self.headers.get(before)?),
            None => Some(Header {
                data_end: 0,
                positions_end: 0,
            }),
        }
    }
}

/// Reads what is between rows, and times.
fn read_rows(reader: &mut Reader<'_>, into: &mut Block) -> Option<()> {
    let [row_bits, times_bits] = [reader.byte()?, reader.byte()?];
    unpack(
        reader.take(16 * usize::from(row_bits))?,
        row_bits,
        &mut into.rows,
    )?;
    unpack(
        reader.take(16 * usize::from(times_bits))?,
        times_bits,
        &mut into.times,
    )?;
    for times in &mut into.times {
        *times = times.checked_add(1)?;
    }
    Some(())
}

/// Writes the postings of a term.
#[derive(Default)]
pub(super) struct PackedWriter {
    headers: Vec<u8>,
    data: Vec<u8>,
    block: Block,
    impacts: Vec<Impact>,
    /// The row behind the last full block.
    next: u32,
}

impl PackedWriter {
    /// Takes the next row. `positions` is where, in those of the term, its own end.
    pub fn push(&mut self, row: u32, times: u32, length: u32, positions: usize) {
        let at = self.block.len;
        self.block.rows[at] = row;
        self.block.times[at] = times;
        self.block.len += 1;
        self.impacts.push((times, length));
        if self.block.len == BLOCK {
            self.write_block(positions);
        }
    }

    fn write_block(&mut self, positions: usize) {
        let last = self.block.rows[BLOCK - 1];
        let mut between = [0; BLOCK];
        for (between, row) in between.iter_mut().zip(self.block.rows) {
            *between = row - self.next;
            self.next = row + 1;
        }
        let fewer = self.block.times.map(|times| times - 1);
        let widths = [bits(&between), bits(&fewer)];
        self.data.extend(widths);
        pack(&between, widths[0], &mut self.data);
        pack(&fewer, widths[1], &mut self.data);
        let impacts = frontier(std::mem::take(&mut self.impacts));
        self.data.push(impacts.len() as u8); // at most 128
        for (times, length) in impacts {
            put_number(u64::from(times), &mut self.data);
            put_number(u64::from(length), &mut self.data);
        }
        self.headers.extend(last.to_le_bytes());
        self.headers.extend((self.data.len() as u64).to_le_bytes());
        self.headers.extend((positions as u64).to_le_bytes());
        self.block.len = 0;
    }

    /// Appends all that was taken, and begins anew.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        for (row, times) in self.block.rows().iter().zip(self.block.times()) {
            let between = u64::from(row - self.next);
            self.next = row + 1;
            put_number(between << 1 | u64::from(*times == 1), &mut self.data);
            if *times != 1 {
                put_number(u64::from(*times), &mut self.data);
            }
        }
        out.append(&mut self.headers);
        out.append(&mut self.data);
        self.block.len = 0;
        self.impacts.clear();
        self.next = 0;
    }
}
