//! Fixed-offset little-endian fields, and calls every module makes.

use std::io;
use std::path::Path;

use cairn_env::{Bug, DirEntry, Disk, DiskFile, EntryKind, planted};

use crate::error::{Result, StorageError};

/// The two-byte number at `at`.
pub(crate) fn get_u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

/// The four-byte number at `at`.
pub(crate) fn get_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// The eight-byte number at `at`.
pub(crate) fn get_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// Puts `value` at `at`.
pub(crate) fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

/// Puts `value` at `at`.
pub(crate) fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// Puts `value` at `at`.
pub(crate) fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

/// Makes names in `dir` durable.
pub(crate) fn sync_dir(disk: &dyn Disk, dir: &Path) -> Result<()> {
    if planted(Bug::SkipDirSync) {
        return Ok(());
    }
    disk.sync_dir(dir)
        .map_err(StorageError::io("sync_dir", dir))
}

/// What is in a directory, which must be one: a link to one is not followed.
///
/// # Errors
/// [`StorageError::Missing`]; [`StorageError::Corrupt`] when something else is in its place.
pub fn list_dir(disk: &dyn Disk, dir: &Path) -> Result<Vec<DirEntry>> {
    let there = disk.entry(dir).map_err(StorageError::io("entry", dir))?;
    match there {
        Some(EntryKind::Dir) => disk.list(dir).map_err(StorageError::io("list", dir)),
        Some(_) => Err(StorageError::corrupt(dir, 0, "not a directory")),
        None => Err(StorageError::Missing {
            file: dir.to_path_buf(),
        }),
    }
}

/// Removes a file if it is there.
pub(crate) fn remove_if_there(disk: &dyn Disk, path: &Path) -> Result<()> {
    match disk.remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(StorageError::io("remove_file", path)),
    }
}

/// Fills `buf`; a file that ends before it does is damaged.
pub(crate) fn read_exact(
    file: &dyn DiskFile,
    path: &Path,
    offset: u64,
    buf: &mut [u8],
) -> Result<()> {
    file.read_exact_at(offset, buf).map_err(|error| {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            StorageError::corrupt(path, offset, "file ends too early")
        } else {
            StorageError::io("read", path)(error)
        }
    })
}

/// What `right` makes of `bytes` once one bit of the first `among` is turned around; it stays so.
/// Where none is the one, `None`, and they are as they were.
pub(crate) fn mended<T>(
    bytes: &mut [u8],
    among: usize,
    right: impl Fn(&[u8]) -> Option<T>,
) -> Option<T> {
    for bit in 0..among.min(bytes.len()) * 8 {
        let mask = 1 << (bit % 8);
        bytes[bit / 8] ^= mask;
        if let Some(found) = right(bytes) {
            return Some(found);
        }
        bytes[bit / 8] ^= mask;
    }
    None
}
