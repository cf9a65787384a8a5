//! The bytes of one file, shared between all the moments and images that agree about them.

use std::ops::Range;
use std::sync::Arc;

/// Bytes per shared chunk; also what one block of the simulated disk holds.
pub(super) const CHUNK: usize = 4096;

type Chunk = [u8; CHUNK];

/// Copy-on-write bytes: a clone costs one reference, a write copies the chunks it touches (and
/// the table of chunks once, if it is shared).
///
/// Invariants: a missing chunk is all zeros; bytes at or past `len` are zero.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    chunks: Arc<Vec<Option<Arc<Chunk>>>>,
    len: u64,
    /// Blocks below this number are reserved, written or not.
    reserved: usize,
    /// Blocks that take up space: reserved, or beyond that and written.
    blocks: usize,
}

impl Contents {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Space taken up, in bytes.
    pub(super) fn allocated(&self) -> u64 {
        (self.blocks * CHUNK) as u64
    }

    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        let count = to_usize(self.len.saturating_sub(offset)).min(buf.len());
        if count == 0 {
            return 0;
        }
        let offset = to_usize(offset);
        for piece in pieces(offset..offset + count) {
            let out = &mut buf[piece.start() - offset..piece.end() - offset];
            match self.chunk(piece.chunk) {
                Some(chunk) => out.copy_from_slice(&chunk[piece.range.clone()]),
                None => out.fill(0),
            }
        }
        count
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; to_usize(self.len)];
        self.read(0, &mut bytes);
        bytes
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let offset = to_usize(offset);
        let end = offset + bytes.len();
        for piece in pieces(offset..end) {
            let new = &bytes[piece.start() - offset..piece.end() - offset];
            self.chunk_mut(piece.chunk)[piece.range.clone()].copy_from_slice(new);
        }
        self.len = self.len.max(end as u64);
    }

    /// How many of `count` bytes at `offset` can be written with `blocks` more blocks.
    pub(super) fn fitting(&self, offset: u64, count: usize, mut blocks: u64) -> usize {
        let offset = to_usize(offset);
        for piece in pieces(offset..offset + count) {
            if piece.chunk >= self.reserved && self.chunk(piece.chunk).is_none() {
                if blocks == 0 {
                    return piece.start() - offset;
                }
                blocks -= 1;
            }
        }
        count
    }

    /// Cuts or extends with zeros.
    pub(super) fn set_len(&mut self, len: u64) {
        let shorter = len < self.len;
        self.len = len;
        if shorter {
            self.clear_past_end();
            self.reserved = self.reserved.min(to_usize(len).div_ceil(CHUNK));
            self.recount();
        }
    }

    /// Blocks that [`Contents::preallocate`] would take.
    pub(super) fn missing_blocks(&self, len: u64) -> u64 {
        let wanted = to_usize(len).div_ceil(CHUNK);
        (self.reserved..wanted)
            .filter(|&index| self.chunk(index).is_none())
            .count() as u64
    }

    /// Reserves blocks and extends the length, if it is shorter.
    pub(super) fn preallocate(&mut self, len: u64) {
        self.len = self.len.max(len);
        self.reserved = self.reserved.max(to_usize(len).div_ceil(CHUNK));
        self.recount();
    }

    /// Takes over `range` of `newer`, beyond the end of this file too. Whoever is done with
    /// that calls [`Contents::finish`].
    pub(super) fn take(&mut self, newer: &Self, range: Range<u64>) {
        let end = self.chunks.len().max(newer.chunks.len()) * CHUNK;
        for piece in pieces(to_usize(range.start)..to_usize(range.end).min(end)) {
            let whole = piece.range == (0..CHUNK);
            match newer.chunk(piece.chunk) {
                Some(chunk) if whole => *self.slot(piece.chunk) = Some(Arc::clone(chunk)),
                Some(chunk) => {
                    let new = &chunk[piece.range.clone()];
                    self.chunk_mut(piece.chunk)[piece.range.clone()].copy_from_slice(new);
                }
                None if self.chunk(piece.chunk).is_none() => {}
                None if whole => *self.slot(piece.chunk) = None,
                None => self.chunk_mut(piece.chunk)[piece.range.clone()].fill(0),
            }
        }
    }

    /// Sets the length after a series of [`Contents::take`].
    pub(super) fn finish(&mut self, len: u64) {
        self.len = len;
        self.clear_past_end();
        self.reserved = self.reserved.min(to_usize(len).div_ceil(CHUNK));
        self.recount();
    }

    /// Turns one bit around, if the file has it.
    pub(super) fn flip(&mut self, byte: u64, bit: u8) {
        if byte < self.len && bit < 8 {
            let byte = to_usize(byte);
            self.chunk_mut(byte / CHUNK)[byte % CHUNK] ^= 1 << bit;
        }
    }

    fn chunk(&self, index: usize) -> Option<&Arc<Chunk>> {
        self.chunks.get(index).and_then(Option::as_ref)
    }

    fn slot(&mut self, index: usize) -> &mut Option<Arc<Chunk>> {
        let chunks = Arc::make_mut(&mut self.chunks);
        if chunks.len() <= index {
            chunks.resize(index + 1, None);
        }
        &mut chunks[index]
    }

    fn chunk_mut(&mut self, index: usize) -> &mut Chunk {
        if self.chunk(index).is_none() && index >= self.reserved {
            self.blocks += 1;
        }
        let slot = self.slot(index);
        Arc::make_mut(slot.get_or_insert_with(|| Arc::new([0; CHUNK])))
    }

    fn clear_past_end(&mut self) {
        let len = to_usize(self.len);
        let (last, rest) = (len / CHUNK, len % CHUNK..CHUNK);
        if self.chunks.len() > len.div_ceil(CHUNK) {
            Arc::make_mut(&mut self.chunks).truncate(len.div_ceil(CHUNK));
        }
        let dirty = |chunk: &Arc<Chunk>| chunk[rest.clone()].iter().any(|&byte| byte != 0);
        if self.chunk(last).is_some_and(dirty) {
            self.chunk_mut(last)[rest].fill(0);
        }
    }

    fn recount(&mut self) {
        let beyond = self.chunks.iter().skip(self.reserved).flatten().count();
        self.blocks = self.reserved + beyond;
    }
}

/// The part of one chunk.
struct Piece {
    chunk: usize,
    range: Range<usize>,
}

impl Piece {
    fn start(&self) -> usize {
        self.chunk * CHUNK + self.range.start
    }

    fn end(&self) -> usize {
        self.chunk * CHUNK + self.range.end
    }
}

/// Cuts `range` at the boundaries of chunks.
fn pieces(range: Range<usize>) -> impl Iterator<Item = Piece> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        (at < range.end).then(|| {
            let start = at % CHUNK;
            let size = (CHUNK - start).min(range.end - at);
            let piece = Piece {
                chunk: at / CHUNK,
                range: start..start + size,
            };
            at += size;
            piece
        })
    })
}

/// Offsets are checked against the largest file before they come here.
fn to_usize(offset: u64) -> usize {
    usize::try_from(offset).expect("offsets of the simulation fit the address space")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_do_not_see_later_writes() {
        let mut contents = Contents::default();
        contents.write(CHUNK as u64 - 1, b"ab");
        let before = contents.clone();
        contents.write(CHUNK as u64, b"X");
        assert_eq!(&before.to_vec()[CHUNK - 1..], b"ab");
        assert_eq!(&contents.to_vec()[CHUNK - 1..], b"aX");
    }

    #[test]
    fn cut_bytes_do_not_come_back() {
        let mut contents = Contents::default();
        contents.write(0, &[7; 5000]);
        contents.set_len(10);
        contents.set_len(5000);
        assert_eq!(contents.to_vec()[..10], [7; 10]);
        assert!(contents.to_vec()[10..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn blocks_count_what_is_written_or_reserved() {
        let mut contents = Contents::default();
        contents.set_len(1 << 20);
        assert_eq!(contents.allocated(), 0);
        contents.write(2 * CHUNK as u64, b"x");
        assert_eq!(contents.allocated(), CHUNK as u64);
        assert_eq!(contents.missing_blocks(4 * CHUNK as u64), 3);
        contents.preallocate(4 * CHUNK as u64);
        assert_eq!(contents.allocated(), 4 * CHUNK as u64);
        assert_eq!(contents.fitting(0, 6 * CHUNK, 1), 5 * CHUNK);
        contents.set_len(1);
        assert_eq!(contents.allocated(), CHUNK as u64);
    }

    #[test]
    fn taking_ranges_merges_two_versions() {
        let (mut old, mut new) = (Contents::default(), Contents::default());
        old.write(0, &[1; 3 * CHUNK]);
        new.write(0, &[2; 3 * CHUNK]);
        old.take(&new, 512..(2 * CHUNK as u64));
        old.finish(3 * CHUNK as u64 - 1);
        let bytes = old.to_vec();
        assert_eq!(bytes.len(), 3 * CHUNK - 1);
        assert!(bytes[..512].iter().all(|&byte| byte == 1));
        assert!(bytes[512..2 * CHUNK].iter().all(|&byte| byte == 2));
        assert!(bytes[2 * CHUNK..].iter().all(|&byte| byte == 1));
    }
}
