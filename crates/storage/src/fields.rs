//! Fixed-offset little-endian fields, and calls every module makes.

use std::io;
use std::path::Path;

use cairn_env::{Bug, Disk, DiskFile, planted};

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
