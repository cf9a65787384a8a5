//! Files and directories as the storage layer needs them.

use std::any::Any;
use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A file system.
///
/// Guarantees an implementation gives:
/// - what [`DiskFile::sync_data`] covered survives power loss, contents and length alike;
/// - a name created, renamed or removed survives power loss once [`Disk::sync_dir`]
///   of its directory has returned, and is undecided before;
/// - [`Disk::rename`] replaces the target atomically;
/// - a short or interrupted system call is retried inside, never seen by the caller;
/// - symbolic links are never followed at the last component of a file's path.
pub trait Disk: Send + Sync + 'static {
    /// Creates a file that must not exist, open for reading and writing (mode 0600).
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Creates a file below `dir` that has no name, open for reading and writing: nothing of it is left once it
    /// is closed, whatever happens. `None` where there are no such files.
    fn create_unnamed(&self, _dir: &Path) -> io::Result<Option<Arc<dyn DiskFile>>> {
        Ok(None)
    }
    /// Opens an existing regular file. Anything else is `InvalidInput`.
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>>;
    /// Moves `from` over `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file's name. Open handles keep reading.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Creates one directory (mode 0700). `AlreadyExists` if there is one.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// The directory's entries, sorted by name.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;
    /// What stands at `path`, or `None`.
    fn entry(&self, path: &Path) -> io::Result<Option<EntryKind>>;
    /// Makes creations, renames and removals in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the exclusive lock on the file at `path` (created if missing), or `None` when
    /// another holder, in this process or any other, has it. Freed on drop and when the holder dies.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DirLock>>>;
    /// As [`Disk::lock`], of a file that is there and may be read: nothing is created, and no right to
    /// write is needed. `NotFound` if there is no such file.
    fn lock_existing(&self, path: &Path) -> io::Result<Option<Box<dyn DirLock>>> {
        self.open(path, Access::Read)?;
        self.lock(path)
    }
    /// Bytes that may still be written below `dir`.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// An open file. Offsets are bytes from its start; there is no cursor.
pub trait DiskFile: Send + Sync + Debug {
    /// Reads up to `buf.len()` bytes; fewer only at the end of the file.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
    /// Writes all of `bytes`, growing the file if needed.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes contents and length durable.
    fn sync_data(&self) -> io::Result<()>;
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file is empty.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts or extends (with zeros) to `len`.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Reserves blocks so that writes below `len` cannot run out of space; extends the
    /// length to `len` (reading zeros). Falls back to [`DiskFile::set_len`] where unsupported.
    fn preallocate(&self, len: u64) -> io::Result<()>;

    /// Says that these bytes are read next, so that they can be fetched meanwhile. A hint: nothing
    /// waits for it, and nothing is wrong without it.
    fn will_read(&self, _offset: u64, _bytes: u64) {}

    /// The open file as the operating system knows it, for whoever maps it; `None` where it is not
    /// one of the system's.
    #[cfg(unix)]
    fn descriptor(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }

    /// Reads exactly `buf.len()` bytes or fails with `UnexpectedEof`.
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if self.read_at(offset, buf)? == buf.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}

/// A held directory lock; dropping it frees the lock.
pub trait DirLock: Send + Sync + Any {}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading only.
    Read,
    /// Reading and writing.
    Write,
}

/// Kind of a directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// Anything else: link, socket, device.
    Other,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name, without its directory. Names that are not UTF-8 are left out of listings.
    pub name: String,
    /// What it names.
    pub kind: EntryKind,
}
