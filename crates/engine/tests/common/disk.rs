//! A disk that counts what is synced and takes as long as it is told.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use cairn_env::{
    Access, Clock, DirEntry, DirLock, Disk, DiskFile, EntryKind, Env, MemoryDisk, OsClock,
};

/// A disk around another one.
#[derive(Clone)]
pub struct WatchedDisk {
    inner: Arc<dyn Disk>,
    pub watch: Arc<Watch>,
}

/// What was seen, and how slow to be.
#[derive(Debug, Default)]
pub struct Watch {
    /// Syncs of log files.
    pub wal_syncs: AtomicU64,
    /// Most bytes that a file under construction had written and not synced.
    pub unsynced_max: AtomicU64,
    /// Writes to log files.
    pub wal_writes: AtomicU64,
    /// Microseconds each sync of a log file takes.
    pub wal_sync_us: AtomicU64,
    /// Microseconds each sync of a segment file takes.
    pub segment_sync_us: AtomicU64,
    /// Bytes of each read of a segment file.
    pub segment_reads: Mutex<Vec<usize>>,
    /// Names of the threads that removed a segment file.
    pub segment_removers: Mutex<Vec<String>>,
}

impl WatchedDisk {
    /// A disk in memory that is watched.
    pub fn new() -> Self {
        Self::around(Arc::new(MemoryDisk::new()))
    }

    pub fn around(inner: Arc<dyn Disk>) -> Self {
        Self {
            inner,
            watch: Arc::default(),
        }
    }

    /// An environment on this disk, with threads of the operating system.
    pub fn env(&self, threads: usize) -> Env {
        Env {
            disk: Arc::new(self.clone()),
            ..Env::os(threads)
        }
    }

    fn wrap(&self, path: &Path, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(WatchedFile {
            inner: file,
            path: path.to_path_buf(),
            watch: Arc::clone(&self.watch),
            unsynced: AtomicU64::new(0),
        })
    }
}

struct WatchedFile {
    inner: Arc<dyn DiskFile>,
    path: PathBuf,
    watch: Arc<Watch>,
    unsynced: AtomicU64,
}

impl WatchedFile {
    fn is_log(&self) -> bool {
        let parent = self.path.parent().and_then(Path::file_name);
        parent.is_some_and(|name| name == "wal")
    }

    fn is_segment(&self) -> bool {
        is_segment(&self.path)
    }
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "seg")
}

impl fmt::Debug for WatchedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WatchedFile").field(&self.path).finish()
    }
}

fn pause(us: &AtomicU64) {
    let us = us.load(Ordering::Relaxed);
    if us > 0 {
        OsClock::new().sleep(Duration::from_micros(us));
    }
}

impl DiskFile for WatchedFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        if self.is_segment() {
            self.watch.segment_reads.lock().push(buf.len());
        }
        self.inner.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self.is_log() {
            self.watch.wal_writes.fetch_add(1, Ordering::Relaxed);
        }
        if self.path.extension().is_some_and(|e| e == "tmp") {
            let more = bytes.len() as u64;
            let unsynced = self.unsynced.fetch_add(more, Ordering::Relaxed) + more;
            self.watch
                .unsynced_max
                .fetch_max(unsynced, Ordering::Relaxed);
        }
        self.inner.write_at(offset, bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.unsynced.store(0, Ordering::Relaxed);
        if self.is_log() {
            self.watch.wal_syncs.fetch_add(1, Ordering::Relaxed);
            pause(&self.watch.wal_sync_us);
        }
        if self.is_segment() {
            pause(&self.watch.segment_sync_us);
        }
        self.inner.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        self.inner.preallocate(len)
    }
}

impl Disk for WatchedDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(path, self.inner.create(path)?))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(path, self.inner.open(path, access)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        if is_segment(path) {
            let remover = thread::current().name().unwrap_or_default().to_owned();
            self.watch.segment_removers.lock().push(remover);
        }
        self.inner.remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.list(dir)
    }

    fn entry(&self, path: &Path) -> io::Result<Option<EntryKind>> {
        self.inner.entry(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DirLock>>> {
        self.inner.lock(path)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.inner.free_bytes(dir)
    }
}
