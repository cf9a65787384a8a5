//! The sixteen bytes every fixed header of every format begins with.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic |
//! | 8 | 2 | format version |
//! | 10 | 2 | flags; an unknown bit means an unknown format |
//! | 12 | 4 | CRC-32C of the whole header, these four bytes left out |
//!
//! Length and checksum rule of a header stay the same in every future version, so damage is
//! told from age before the version is believed.

use std::path::Path;

use crate::checksum::Crc32c;
use crate::error::{Result, StorageError};
use crate::fields::{get_u16, get_u32, put_u16, put_u32};

/// Bytes of the common beginning.
pub(crate) const ENVELOPE_BYTES: usize = 16;

/// The one version there is.
pub(crate) const FORMAT_VERSION: u16 = 1;

/// Fills the first sixteen bytes of `header`, whose rest is complete.
pub(crate) fn seal(header: &mut [u8], magic: [u8; 8], flags: u16) {
    header[..8].copy_from_slice(&magic);
    put_u16(header, 8, FORMAT_VERSION);
    put_u16(header, 10, flags);
    let crc = header_crc(header);
    put_u32(header, 12, crc);
}

/// Checks the header that stands at `offset` of `file` and returns its flags.
///
/// # Errors
/// [`StorageError::Corrupt`] for a wrong magic or checksum, [`StorageError::Unsupported`] for
/// an undamaged header of another version or with flags other than `flags_known`.
pub(crate) fn check(
    file: &Path,
    offset: u64,
    header: &[u8],
    magic: [u8; 8],
    flags_known: u16,
) -> Result<u16> {
    if header[..8] != magic {
        return Err(StorageError::corrupt(file, offset, "wrong magic"));
    }
    if get_u32(header, 12) != header_crc(header) {
        return Err(StorageError::corrupt(
            file,
            offset + 12,
            "wrong header checksum",
        ));
    }
    let version = get_u16(header, 8);
    if version != FORMAT_VERSION {
        return Err(StorageError::unsupported(
            file,
            format!("format_version={version}"),
        ));
    }
    let flags = get_u16(header, 10);
    if flags & !flags_known != 0 {
        return Err(StorageError::unsupported(file, format!("flags={flags:#x}")));
    }
    Ok(flags)
}

fn header_crc(header: &[u8]) -> u32 {
    let mut crc = Crc32c::new();
    crc.update(&header[..12]);
    crc.update(&header[ENVELOPE_BYTES..]);
    crc.finish()
}
