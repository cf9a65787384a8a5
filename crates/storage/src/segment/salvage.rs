//! Opening a sectioned file that does not open: what its damaged ends said, from what is left.
//!
//! The header holds nothing but what its caller knows, and in an encrypted file where its key comes
//! from: there its checksum tells the one bit that turned around, and the file is lost with more. The
//! footer stands before the trailer and must
//! describe the file without a gap, so that it can be found without the trailer; and where the
//! trailer is whole, its checksum of the footer tells the one bit that turned around. Blocks keep
//! their checksums through all this: nothing is believed that would not be otherwise.

use std::path::Path;

use cairn_env::{Access, Env, TAG_BYTES};

use super::SegmentReader;
use super::format::{
    Entry, HEADER_BYTES, Header, TRAILER_BYTES, Trailer, decode_footer, footer_crc,
};
use super::reader::select;
use crate::crypt::open_seal;
use crate::error::{Result, StorageError};
use crate::fields::{mended, read_exact};

/// A footer has four bytes for each block of 4 KiB, and this much for its table of sections.
const TABLE_BYTES_MAX: u64 = 64 * 1024;

/// Longer footers are not searched for a flipped bit: that would take minutes.
const MENDED_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of a footer's table in which a flipped bit is looked for: 60 sections.
const MENDED_TABLE_BYTES: usize = 2048;

impl SegmentReader {
    /// Opens a file whose header, footer or trailer may be damaged. `identity`, `collection`: what
    /// its header says, known from its name and place. `None` where too little is left of it.
    ///
    /// # Errors
    /// [`StorageError::Missing`], [`StorageError::Unsupported`], [`StorageError::Io`].
    pub fn salvage(
        env: &Env,
        path: &Path,
        identity: [u8; 16],
        collection: u64,
        known: &[u32],
    ) -> Result<Option<Self>> {
        let file = env.disk.open(path, Access::Read);
        let file = file.map_err(StorageError::io("open", path))?;
        let bytes = file.len().map_err(StorageError::io("len", path))?;
        if bytes < (HEADER_BYTES + TRAILER_BYTES) as u64 {
            return Ok(None);
        }
        let mut head = [0; HEADER_BYTES];
        read_exact(&*file, path, 0, &mut head)?;
        let ours = |bytes: &[u8]| {
            let header = Header::decode(path, bytes.try_into().ok()?).ok()?;
            (header.identity == identity && header.collection == collection).then_some(header)
        };
        let header = ours(&head).or_else(|| mended(&mut head, HEADER_BYTES, ours));
        let header = match header {
            Some(header) => header,
            // Where the key comes from is in the header alone.
            None if env.sealing.is_some() => return Ok(None),
            None => Header {
                identity,
                collection,
                origin: None,
            },
        };
        let sealed = match open_seal(env, path, header.origin, &header.about()) {
            Err(StorageError::Corrupt { .. }) => return Ok(None),
            other => other?,
        };
        let seal = sealed.map(|(_, seal)| seal);
        let end = bytes - TRAILER_BYTES as u64;
        let mut tail = [0; TRAILER_BYTES];
        read_exact(&*file, path, end, &mut tail)?;
        let trailer = Trailer::decode(path, &tail, bytes).ok();
        let from = match &trailer {
            Some(trailer) => trailer.footer_offset,
            None => end
                .saturating_sub(bytes / 128 + TABLE_BYTES_MAX)
                .max(HEADER_BYTES as u64)
                .next_multiple_of(64),
        };
        let length = usize::try_from(end.saturating_sub(from));
        let Ok(length) = length else { return Ok(None) };
        let mut footer = vec![0; length];
        read_exact(&*file, path, from, &mut footer)?;
        let found = match &trailer {
            Some(trailer) => {
                let right = |footer: &[u8]| {
                    (footer_crc(&header.encode(), footer) == trailer.footer_crc).then_some(())
                };
                if right(&footer).is_none() && footer.len() <= MENDED_BYTES_MAX {
                    mended(&mut footer, MENDED_TABLE_BYTES, right);
                }
                // A checksum of a block may be the damaged part: that block alone is lost then.
                entries(path, from, &footer, &header).map(|entries| (from, entries))
            }
            None => search(path, from, &footer, &header),
        };
        let Some((footer_offset, entries)) = found else {
            return Ok(None);
        };
        Ok(Some(Self {
            sections: select(path, &entries, known)?,
            file,
            path: path.to_path_buf(),
            header,
            trailer: trailer.unwrap_or(Trailer {
                footer_offset,
                footer_bytes: end - footer_offset,
                footer_crc: 0,
            }),
            entries,
            seal,
        }))
    }
}

/// The sections of a footer at `offset`. Its own tag is not asked: each block has one.
fn entries(path: &Path, offset: u64, footer: &[u8], header: &Header) -> Option<Vec<Entry>> {
    let is_sealed = header.origin.is_some();
    let own = if is_sealed { TAG_BYTES } else { 0 };
    let table = footer.get(..footer.len().checked_sub(own)?)?;
    decode_footer(path, offset, table, is_sealed).ok()
}

/// The footer in the last bytes before a trailer that is lost; `from` is where they begin.
fn search(path: &Path, from: u64, bytes: &[u8], header: &Header) -> Option<(u64, Vec<Entry>)> {
    let places = (0..bytes.len()).step_by(64).rev();
    let mut found = places.filter_map(|at| {
        let offset = from + at as u64;
        let entries = entries(path, offset, &bytes[at..], header)?;
        (!entries.is_empty()).then_some((offset, entries))
    });
    found.next()
}
