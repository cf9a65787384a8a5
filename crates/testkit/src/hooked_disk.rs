//! A disk that lets somebody else have a turn in the middle of everything.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use cairn_env::{Access, DirEntry, DirLock, Disk, DiskFile, EntryKind};

type Hook = Box<dyn FnMut() + Send>;

/// A disk around another one that calls a hook before each call and in the middle of each write,
/// so that one thread plays two processes, interleaved as the hook likes. While the hook runs, it
/// is not called again.
///
/// # Examples
/// ```
/// use cairn_env::{Disk, MemoryDisk};
/// use cairn_testkit::HookedDisk;
/// use std::path::Path;
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// let calls = Arc::new(AtomicU64::new(0));
/// let disk = HookedDisk::around(Arc::new(MemoryDisk::new()));
/// let counted = Arc::clone(&calls);
/// disk.set_hook(Some(Box::new(move || {
///     counted.fetch_add(1, Ordering::Relaxed);
/// })));
/// let file = disk.create(Path::new("/a"))?;
/// file.write_at(0, b"two halves")?;
/// assert_eq!(calls.load(Ordering::Relaxed), 3);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct HookedDisk {
    inner: Arc<dyn Disk>,
    hook: Arc<Mutex<Option<Hook>>>,
}

struct HookedFile {
    inner: Arc<dyn DiskFile>,
    disk: HookedDisk,
}

impl HookedDisk {
    /// `inner` with no hook yet.
    #[must_use]
    pub fn around(inner: Arc<dyn Disk>) -> Self {
        Self {
            inner,
            hook: Arc::default(),
        }
    }

    /// Sets what is called; `None` calls nothing.
    pub fn set_hook(&self, hook: Option<Hook>) {
        *self.hook.lock().unwrap_or_else(PoisonError::into_inner) = hook;
    }

    fn call(&self) -> &dyn Disk {
        let taken = || self.hook.lock().unwrap_or_else(PoisonError::into_inner);
        let hook = taken().take();
        if let Some(mut hook) = hook {
            hook();
            taken().get_or_insert(hook);
        }
        &*self.inner
    }

    fn wrap(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let disk = self.clone();
        Arc::new(HookedFile { inner: file, disk })
    }
}

impl Disk for HookedDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(self.call().create(path)?))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(self.call().open(path, access)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call().rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.call().remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.call().create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.call().remove_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.call().list(dir)
    }

    fn entry(&self, path: &Path) -> io::Result<Option<EntryKind>> {
        self.call().entry(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.call().sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DirLock>>> {
        self.call().lock(path)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.call().free_bytes(dir)
    }
}

impl HookedFile {
    fn call(&self) -> &dyn DiskFile {
        self.disk.call();
        &*self.inner
    }
}

impl DiskFile for HookedFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.call().read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        // Now within a small header, now within what follows it.
        let half = if offset.is_multiple_of(16) {
            bytes.len() / 2
        } else {
            bytes.len().min(28)
        };
        self.call().write_at(offset, &bytes[..half])?;
        self.call().write_at(offset + half as u64, &bytes[half..])
    }

    fn sync_data(&self) -> io::Result<()> {
        self.call().sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        self.call().len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.call().set_len(len)
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        self.call().preallocate(len)
    }
}

impl fmt::Debug for HookedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
