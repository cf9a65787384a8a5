//! The operating system's files.
//!
//! Everything that differs between platforms is in `os_disk/unix.rs` and
//! `os_disk/windows.rs`, which offer the same few functions:
//!
//! | function | Linux | macOS | Windows |
//! |---|---|---|---|
//! | refuse links, devices, pipes | `O_NOFOLLOW`, `O_NONBLOCK`, `fstat` | the same | reparse points opened, then refused |
//! | `sync_data` | `fdatasync` | `F_FULLFSYNC` | `FlushFileBuffers` |
//! | `sync_dir` | `fsync` | `F_FULLFSYNC` | nothing to call |
//! | `preallocate` | `fallocate` | `F_PREALLOCATE` | length only |
//! | `free_bytes` | `statvfs` | `statvfs` | unknown: `u64::MAX` |
//! | `will_read` | `fadvise` | `F_RDADVISE` | nothing to call |
//! | `create_unnamed` | `O_TMPFILE` | none | none |
//!
//! Errors keep the number of the operating system: a full disk is
//! [`io::ErrorKind::StorageFull`], an exhausted quota [`io::ErrorKind::QuotaExceeded`].
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is the one place that touches the file system"
)]

#[cfg(not(windows))]
#[path = "os_disk/unix.rs"]
mod platform;
#[cfg(windows)]
#[path = "os_disk/windows.rs"]
mod platform;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::{Access, DirEntry, DirLock, Disk, DiskFile, EntryKind};

/// The operating system's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = platform::options(Access::Write)
            .create_new(true)
            .open(path)?;
        Ok(Arc::new(OsFile { file }))
    }

    fn create_unnamed(&self, dir: &Path) -> io::Result<Option<Arc<dyn DiskFile>>> {
        let file = platform::create_unnamed(dir)?;
        Ok(file.map(|file| Arc::new(OsFile { file }) as _))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let file = platform::options(access)
            .open(path)
            .map_err(|error| platform::name_open_error(error, path))?;
        refuse_irregular(&file)?;
        Ok(Arc::new(OsFile { file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        platform::dir_builder().create(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string() {
                let kind = kind_of(entry.file_type()?);
                entries.push(DirEntry { name, kind });
            }
        }
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn entry(&self, path: &Path) -> io::Result<Option<EntryKind>> {
        match fs::symlink_metadata(path) {
            Ok(metadata) => Ok(Some(kind_of(metadata.file_type()))),
            // A path through a file names nothing either.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        platform::sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DirLock>>> {
        lock(
            path,
            platform::options(Access::Write)
                .create(true)
                .truncate(false),
        )
    }

    fn lock_existing(&self, path: &Path) -> io::Result<Option<Box<dyn DirLock>>> {
        // Network file systems make a lock on ranges of it, and that takes a right to write.
        lock(path, &platform::options(Access::Read))
            .or_else(|_| lock(path, &platform::options(Access::Write)))
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        platform::free_bytes(dir)
    }
}

/// An open file of the operating system.
#[derive(Debug)]
struct OsFile {
    file: File,
}

impl DiskFile for OsFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match platform::read_once(&self.file, offset + done as u64, &mut buf[done..]) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            match platform::write_once(&self.file, offset + done as u64, &bytes[done..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        platform::sync_data(&self.file)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        platform::preallocate(&self.file, len)
    }

    fn will_read(&self, offset: u64, bytes: u64) {
        platform::will_read(&self.file, offset, bytes);
    }

    #[cfg(unix)]
    fn descriptor(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        Some(std::os::fd::AsFd::as_fd(&self.file))
    }
}

/// The kernel frees the lock when the last descriptor of this open file is closed, at the latest
/// when the process ends in any way.
struct OsLock {
    file: File,
}

impl DirLock for OsLock {}

impl Drop for OsLock {
    /// Closing alone may come late: a process being started by another thread holds a copy of the
    /// descriptor from its fork to its exec.
    fn drop(&mut self) {
        // Should it fail, closing is what is left.
        let _ = self.file.unlock();
    }
}

/// Extends the length to `len` if it is shorter: what is left of `preallocate` where blocks
/// cannot be reserved.
fn extend(file: &File, len: u64) -> io::Result<()> {
    if file.metadata()?.len() < len {
        file.set_len(len)?;
    }
    Ok(())
}

/// Opens a file with these options and takes its lock, unless somebody has it.
fn lock(path: &Path, options: &fs::OpenOptions) -> io::Result<Option<Box<dyn DirLock>>> {
    // If the file was unlinked between our open and our lock, we hold a lock on a file
    // without a name. A few rounds settle it; a name that changes faster than that
    // belongs to somebody else.
    const ROUNDS: usize = 16;
    for _ in 0..ROUNDS {
        let file = options
            .open(path)
            .map_err(|error| platform::name_open_error(error, path))?;
        refuse_irregular(&file)?;
        match file.try_lock() {
            Ok(()) if platform::is_still_at(&file, path)? => {
                return Ok(Some(Box::new(OsLock { file })));
            }
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(None)
}

fn refuse_irregular(file: &File) -> io::Result<()> {
    if file.metadata()?.file_type().is_file() {
        Ok(())
    } else {
        Err(not_a_file())
    }
}

fn not_a_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

fn kind_of(file_type: fs::FileType) -> EntryKind {
    if file_type.is_file() {
        EntryKind::File
    } else if file_type.is_dir() {
        EntryKind::Dir
    } else {
        EntryKind::Other
    }
}
