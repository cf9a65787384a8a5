//! Linux, macOS and their relatives.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::{extend, not_a_file};
use crate::Access;

/// `O_NOFOLLOW` refuses a link at the last component. `O_NONBLOCK` keeps the open of a pipe
/// without a peer from waiting for one, and does nothing to regular files.
pub(super) fn options(access: Access) -> OpenOptions {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(access == Access::Write)
        .mode(0o600)
        .custom_flags(flags.bits().cast_signed());
    options
}

/// What the kernel says about things that are no regular file, in one word.
pub(super) fn name_open_error(error: io::Error, _path: &Path) -> io::Error {
    use rustix::io::Errno;
    match Errno::from_io_error(&error) {
        // A link; a directory opened for writing; a socket, or a pipe nobody reads.
        Some(Errno::LOOP | Errno::MLINK | Errno::ISDIR | Errno::NXIO | Errno::OPNOTSUPP) => {
            not_a_file()
        }
        _ => error,
    }
}

/// Not every file system can.
#[cfg(target_os = "linux")]
pub(super) fn create_unnamed(dir: &Path) -> io::Result<Option<File>> {
    use rustix::fs::Mode;
    use rustix::io::Errno;
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Ok(Some(file.into())),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn create_unnamed(_dir: &Path) -> io::Result<Option<File>> {
    Ok(None)
}

pub(super) fn dir_builder() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

pub(super) fn read_once(file: &File, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
    file.read_at(buf, offset)
}

pub(super) fn write_once(file: &File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
    file.write_at(bytes, offset)
}

/// `fdatasync` writes the length too when it grew; access times it leaves alone.
#[cfg(not(target_vendor = "apple"))]
pub(super) fn sync_data(file: &File) -> io::Result<()> {
    file.sync_data()
}

/// `fsync` on macOS stops at the drive's cache; `F_FULLFSYNC` empties that as well. File
/// systems that do not know it (network shares) get the plain `fsync`.
#[cfg(target_vendor = "apple")]
pub(super) fn sync_data(file: &File) -> io::Result<()> {
    use rustix::io::Errno;
    loop {
        return match rustix::fs::fcntl_fullfsync(file) {
            Ok(()) => Ok(()),
            Err(Errno::INTR) => continue,
            Err(Errno::NOTSUP | Errno::NOTTY | Errno::INVAL) => Ok(rustix::fs::fsync(file)?),
            Err(error) => Err(error.into()),
        };
    }
}

pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    let dir = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::DIRECTORY.bits().cast_signed())
        .open(dir)?;
    #[cfg(target_vendor = "apple")]
    return sync_data(&dir);
    #[cfg(not(target_vendor = "apple"))]
    dir.sync_all()
}

/// Whether `path` still names this open file.
pub(super) fn is_still_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(named) => Ok((held.dev(), held.ino()) == (named.dev(), named.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) fn free_bytes(dir: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_vendor = "apple"
))]
pub(super) fn preallocate(file: &File, len: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    // The call on macOS also cuts the file down to `len`, and there is nothing to reserve below.
    if cfg!(target_vendor = "apple") && file.metadata()?.len() >= len {
        return Ok(());
    }
    loop {
        return match fallocate(file, FallocateFlags::empty(), 0, len) {
            Ok(()) => Ok(()),
            Err(Errno::INTR) => continue,
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => extend(file, len),
            Err(error) => Err(error.into()),
        };
    }
}

#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_vendor = "apple"
)))]
pub(super) fn preallocate(file: &File, len: u64) -> io::Result<()> {
    extend(file, len)
}

/// A call for more than the window of a disk is cut to it, and 128 KiB is the smallest there is.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub(super) fn will_read(file: &File, offset: u64, bytes: u64) {
    use rustix::fs::{Advice, fadvise};
    use std::num::NonZeroU64;
    const WINDOW_BYTES: u64 = 128 * 1024;
    let end = offset.saturating_add(bytes);
    let mut at = offset;
    while let Some(length) = NonZeroU64::new((end - at).min(WINDOW_BYTES)) {
        if fadvise(file, at, Some(length), Advice::WillNeed).is_err() {
            return;
        }
        at += length.get();
    }
}

#[cfg(target_vendor = "apple")]
pub(super) fn will_read(file: &File, offset: u64, bytes: u64) {
    let _ = rustix::fs::fcntl_rdadvise(file, offset, bytes);
}

#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_vendor = "apple"
)))]
pub(super) fn will_read(_file: &File, _offset: u64, _bytes: u64) {}
