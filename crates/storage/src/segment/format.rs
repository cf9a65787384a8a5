//! Header, footer, trailer and block checksums of a segment, to bytes and back.

use std::path::Path;

use cairn_env::{Nonce, TAG_BYTES, Tag};

use super::{BLOCK_BYTES, REQUIRED, SectionId, SegmentFile};
use crate::checksum::Crc32c;
use crate::crypt::{FLAG_SEALED, ORIGIN_BYTES, Origin, block_nonce};
use crate::envelope;
use crate::error::{Result, StorageError};
use crate::fields::{get_u32, get_u64, put_u32, put_u64};

/// Bytes of the header.
pub(crate) const HEADER_BYTES: usize = 64;

/// Bytes of the trailer.
pub(crate) const TRAILER_BYTES: usize = 48;

/// Sections and the footer start at multiples of this.
pub(crate) const ALIGN: u64 = 64;

const HEADER_MAGIC: [u8; 8] = *b"CAIRNSEG";
const TRAILER_MAGIC: [u8; 8] = *b"CAIRNEND";

/// Bytes of the footer before its first entry.
const FOOTER_START_BYTES: usize = 16;
const ENTRY_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 4;

const _: () = assert!((HEADER_BYTES as u64).is_multiple_of(ALIGN));

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub identity: [u8; 16],
    pub collection: u64,
    /// Of an encrypted file.
    pub origin: Option<Origin>,
}

/// Where a header holds the origin of its file's key.
const ORIGIN_AT: usize = 40;

const _: () = assert!(ORIGIN_AT + ORIGIN_BYTES == HEADER_BYTES);

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[16..32].copy_from_slice(&self.identity);
        put_u64(&mut bytes, 32, self.collection);
        let flags = if let Some(origin) = &self.origin {
            origin.put(&mut bytes, ORIGIN_AT);
            FLAG_SEALED
        } else {
            0
        };
        envelope::seal(&mut bytes, HEADER_MAGIC, flags);
        bytes
    }

    pub(crate) fn decode(file: &Path, bytes: &[u8; HEADER_BYTES]) -> Result<Self> {
        let flags = envelope::check(file, 0, bytes, HEADER_MAGIC, FLAG_SEALED)?;
        Ok(Self {
            identity: bytes[16..32].try_into().expect("sixteen bytes"),
            collection: get_u64(bytes, 32),
            origin: (flags & FLAG_SEALED != 0).then(|| Origin::get(bytes, ORIGIN_AT)),
        })
    }

    /// What goes into the key of an encrypted file.
    pub(crate) fn about(&self) -> [u8; 32] {
        let mut about = [0; 32];
        about[..8].copy_from_slice(&HEADER_MAGIC);
        about[8..24].copy_from_slice(&self.identity);
        put_u64(&mut about, 24, self.collection);
        about
    }
}

/// Where the footer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub footer_offset: u64,
    pub footer_bytes: u64,
    pub footer_crc: u32,
}

impl Trailer {
    pub(crate) fn encode(&self) -> [u8; TRAILER_BYTES] {
        let mut bytes = [0; TRAILER_BYTES];
        put_u64(&mut bytes, 16, self.footer_offset);
        put_u64(&mut bytes, 24, self.footer_bytes);
        put_u64(&mut bytes, 32, self.file().bytes);
        put_u32(&mut bytes, 40, self.footer_crc);
        envelope::seal(&mut bytes, TRAILER_MAGIC, 0);
        bytes
    }

    /// Reads the trailer of a file of `file_bytes` bytes, which end with it.
    pub(crate) fn decode(
        file: &Path,
        bytes: &[u8; TRAILER_BYTES],
        file_bytes: u64,
    ) -> Result<Self> {
        let at = file_bytes - TRAILER_BYTES as u64;
        envelope::check(file, at, bytes, TRAILER_MAGIC, 0)?;
        let trailer = Self {
            footer_offset: get_u64(bytes, 16),
            footer_bytes: get_u64(bytes, 24),
            footer_crc: get_u32(bytes, 40),
        };
        let footer_end = trailer.footer_offset.checked_add(trailer.footer_bytes);
        if get_u64(bytes, 32) != file_bytes || footer_end != Some(at) {
            let what = "lengths in the trailer are not the file's";
            return Err(StorageError::corrupt(file, at, what));
        }
        Ok(trailer)
    }

    /// What a manifest remembers.
    pub(crate) fn file(&self) -> SegmentFile {
        SegmentFile {
            bytes: self.footer_offset + self.footer_bytes + TRAILER_BYTES as u64,
            checksum: self.footer_crc,
        }
    }
}

/// One section as the footer lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub id: SectionId,
    pub flags: u32,
    pub offset: u64,
    pub bytes: u64,
    /// One per block.
    pub checksums: Vec<u32>,
    /// One per block of an encrypted file.
    pub tags: Vec<Tag>,
}

/// The footer's bytes.
pub(crate) fn encode_footer(entries: &[Entry]) -> Vec<u8> {
    let count = |length: usize| u32::try_from(length).expect("the writer bounds sections");
    let mut bytes = vec![0; FOOTER_START_BYTES + entries.len() * ENTRY_BYTES];
    put_u32(&mut bytes, 0, count(entries.len()));
    for (row, entry) in bytes[FOOTER_START_BYTES..]
        .chunks_exact_mut(ENTRY_BYTES)
        .zip(entries)
    {
        put_u32(row, 0, entry.id.kind);
        put_u32(row, 4, entry.id.field);
        put_u32(row, 8, entry.flags);
        put_u32(row, 12, count(entry.checksums.len()));
        put_u64(row, 16, entry.offset);
        put_u64(row, 24, entry.bytes);
    }
    let checksums = entries.iter().flat_map(|entry| &entry.checksums);
    bytes.extend(checksums.flat_map(|checksum| checksum.to_le_bytes()));
    bytes.extend(entries.iter().flat_map(|entry| &entry.tags).flatten());
    bytes
}

/// The sections of a footer whose checksum is right; `offset` is where it stands. That of a file
/// that is `sealed` has tags too; its own is cut off already.
///
/// Nothing is believed for that: every count is held against the footer's length before
/// anything is allocated, and sections must lie one behind the other, from the header to the
/// footer, each once.
pub(crate) fn decode_footer(
    file: &Path,
    offset: u64,
    footer: &[u8],
    sealed: bool,
) -> Result<Vec<Entry>> {
    let corrupt = |at: usize, what: String| StorageError::corrupt(file, offset + at as u64, what);
    if footer.len() < FOOTER_START_BYTES {
        return Err(corrupt(0, "footer is too short".to_owned()));
    }
    let count = get_u32(footer, 0) as usize;
    let table = count
        .checked_mul(ENTRY_BYTES)
        .and_then(|bytes| bytes.checked_add(FOOTER_START_BYTES))
        .filter(|bytes| *bytes <= footer.len())
        .ok_or_else(|| corrupt(0, format!("{count} sections do not fit the footer")))?;
    let (rows, mut checksums) = (&footer[FOOTER_START_BYTES..table], &footer[table..]);
    let mut entries: Vec<Entry> = Vec::with_capacity(count);
    let mut next_offset = HEADER_BYTES as u64;
    for (index, row) in rows.chunks_exact(ENTRY_BYTES).enumerate() {
        let at = FOOTER_START_BYTES + index * ENTRY_BYTES;
        let id = SectionId {
            kind: get_u32(row, 0),
            field: get_u32(row, 4),
        };
        let (start, bytes) = (get_u64(row, 16), get_u64(row, 24));
        let blocks = get_u32(row, 12);
        if start != next_offset {
            let what = format!("section {id} starts at {start}, not at {next_offset}");
            return Err(corrupt(at + 16, what));
        }
        next_offset = start
            .checked_add(bytes)
            .and_then(|end| end.checked_next_multiple_of(ALIGN))
            .filter(|end| *end <= offset)
            .ok_or_else(|| corrupt(at + 24, format!("section {id} runs into the footer")))?;
        if u64::from(blocks) != bytes.div_ceil(BLOCK_BYTES as u64) {
            let what = format!("section {id} of {bytes} bytes has {blocks} blocks");
            return Err(corrupt(at + 12, what));
        }
        let (own, rest) = (blocks as usize)
            .checked_mul(CHECKSUM_BYTES)
            .and_then(|bytes| checksums.split_at_checked(bytes))
            .ok_or_else(|| corrupt(at + 12, format!("section {id} lacks checksums")))?;
        checksums = rest;
        entries.push(Entry {
            id,
            flags: get_u32(row, 8),
            offset: start,
            bytes,
            checksums: own.chunks_exact(4).map(|sum| get_u32(sum, 0)).collect(),
            tags: Vec::new(),
        });
    }
    let whole = if sealed {
        decode_tags(checksums, &mut entries)
    } else {
        checksums.is_empty()
    };
    if next_offset != offset || !whole {
        let what = "sections do not fill the file up to the footer";
        return Err(corrupt(0, what.to_owned()));
    }
    let mut ids: Vec<SectionId> = entries.iter().map(|entry| entry.id).collect();
    ids.sort_unstable();
    if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(corrupt(0, format!("section {} stands twice", twice[0])));
    }
    Ok(entries)
}

/// Gives the blocks of all sections their tags; whether there are exactly as many.
fn decode_tags(bytes: &[u8], entries: &mut [Entry]) -> bool {
    let (mut tags, odd) = bytes.as_chunks::<TAG_BYTES>();
    for entry in entries {
        let Some((own, rest)) = tags.split_at_checked(entry.checksums.len()) else {
            return false;
        };
        entry.tags = own.to_vec();
        tags = rest;
    }
    tags.is_empty() && odd.is_empty()
}

/// The footer's checksum: it covers the header too, so that the two cannot come from two files.
pub(crate) fn footer_crc(header: &[u8; HEADER_BYTES], footer: &[u8]) -> u32 {
    let mut crc = Crc32c::new();
    crc.update(header);
    crc.update(footer);
    crc.finish()
}

/// The nonce of block `index` of a section.
pub(crate) fn nonce(id: SectionId, index: u64) -> Nonce {
    let index = u32::try_from(index).expect("blocks are counted in u32");
    block_nonce(id.kind, id.field, index)
}

/// The nonce of the footer's own tag. No block has it: their indices end one below.
pub(crate) const FOOTER_NONCE: Nonce = [0xff; 12];

/// What the footer's own tag proves: header and footer. Nobody can leave out a section, or the end
/// of one, and make the checksum right again.
pub(crate) fn footer_proves(header: &[u8; HEADER_BYTES], footer: &[u8]) -> Vec<u8> {
    [header, footer].concat()
}

/// A checksum that has taken in the place of block `index`, but none of its bytes.
pub(crate) fn block_crc(identity: &[u8; 16], id: SectionId, index: u64) -> Crc32c {
    let mut place = [0; 32];
    place[..16].copy_from_slice(identity);
    put_u32(&mut place, 16, id.kind);
    put_u32(&mut place, 20, id.field);
    put_u64(&mut place, 24, index);
    let mut crc = Crc32c::new();
    crc.update(&place);
    crc
}

/// Whether all flags of a section are ones this version knows.
pub(crate) fn flags_known(flags: u32) -> bool {
    flags & !REQUIRED == 0
}
