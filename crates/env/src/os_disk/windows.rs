//! Windows.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::{extend, not_a_file};
use crate::Access;

/// Opens a link itself instead of what it points to; the type check then refuses it.
const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;

/// Access rights follow from the parent directory's list; there are no modes to set. The
/// standard library shares files for reading, writing and deleting, so that an open file can
/// be renamed over or removed, as elsewhere.
pub(super) fn options(access: Access) -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(access == Access::Write)
        .custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
    options
}

/// A directory answers "access denied" to an open as a file.
pub(super) fn name_open_error(error: io::Error, path: &Path) -> io::Error {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_file() => not_a_file(),
        _ => error,
    }
}

pub(super) fn create_unnamed(_dir: &Path) -> io::Result<Option<File>> {
    Ok(None)
}

pub(super) fn dir_builder() -> DirBuilder {
    DirBuilder::new()
}

/// The end of the file is an error to this call when the offset lies behind it.
pub(super) fn read_once(file: &File, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
    const ERROR_HANDLE_EOF: i32 = 38;
    match file.seek_read(buf, offset) {
        Err(error) if error.raw_os_error() == Some(ERROR_HANDLE_EOF) => Ok(0),
        result => result,
    }
}

pub(super) fn write_once(file: &File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
    file.seek_write(bytes, offset)
}

/// `FlushFileBuffers`, which covers length and data and reaches the medium.
pub(super) fn sync_data(file: &File) -> io::Result<()> {
    file.sync_data()
}

/// Windows has no call that syncs a directory: NTFS writes names to its journal in order, and
/// `FlushFileBuffers` on a file flushes the journal up to that file's own entry. Only the
/// existence of the directory is checked.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    if std::fs::metadata(dir)?.is_dir() {
        Ok(())
    } else {
        Err(io::ErrorKind::NotADirectory.into())
    }
}

/// An open file keeps its name here as long as nobody forces it away.
pub(super) fn is_still_at(_file: &File, path: &Path) -> io::Result<bool> {
    path.try_exists()
}

/// The standard library cannot ask; "unknown" must not refuse writes.
pub(super) fn free_bytes(dir: &Path) -> io::Result<u64> {
    sync_dir(dir).map(|()| u64::MAX)
}

/// The call that reserves blocks (`SetFileInformationByHandle`) is out of reach without
/// `unsafe`. On NTFS a longer length reserves its clusters all the same.
pub(super) fn preallocate(file: &File, len: u64) -> io::Result<()> {
    extend(file, len)
}

/// The cache is told of reads only by reading (`FILE_FLAG_SEQUENTIAL_SCAN` is for a whole handle).
pub(super) fn will_read(_file: &File, _offset: u64, _bytes: u64) {}
