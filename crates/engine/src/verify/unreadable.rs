//! Going on where the disk refuses to read.
//!
//! A bad sector must cost what lies in it and no more. What cannot be read is handed over as bytes
//! that have no right checksum, so that every check takes it for damage, and is told by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_env::sync::Mutex;
use cairn_env::{Access, DirEntry, DirLock, Disk, DiskFile, EntryKind, Env};

use super::{Problem, ProblemKind};

/// Where a read fails, what is in the page is lost: memory pages and sectors are no larger.
const PAGE_BYTES: u64 = 4_096;

/// Stands for bytes that cannot be read. Not zero: that would look like the end of a log.
const FILL: u8 = 0xA5;

/// What could not be read: the pages of each file, and why.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unreadable(Arc<Mutex<BTreeMap<PathBuf, Pages>>>);

#[derive(Debug, Default)]
struct Pages {
    starts: BTreeSet<u64>,
    why: String,
}

impl Unreadable {
    /// From here on reads by `env` do not fail for bytes that cannot be read.
    pub fn watch(env: &mut Env) -> Self {
        let unreadable = Self::default();
        env.disk = Arc::new(Watched {
            inner: Arc::clone(&env.disk),
            unreadable: unreadable.clone(),
        });
        unreadable
    }

    fn note(&self, path: &Path, start: u64, error: &io::Error) {
        let mut files = self.0.lock();
        let pages = files.entry(path.to_path_buf()).or_default();
        pages.starts.insert(start);
        if pages.why.is_empty() {
            pages.why = format!("cannot be read: {error}");
        }
    }

    /// What could not be read so far, neighbouring pages as one.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = Vec::new();
        for (file, pages) in &*self.0.lock() {
            for &offset in &pages.starts {
                let before = problems
                    .last_mut()
                    .filter(|last| last.file == *file && last.offset + last.bytes == offset);
                if let Some(before) = before {
                    before.bytes += PAGE_BYTES;
                    continue;
                }
                problems.push(Problem {
                    kind: ProblemKind::Damaged,
                    file: file.clone(),
                    section: None,
                    offset,
                    bytes: PAGE_BYTES,
                    what: pages.why.clone(),
                    records: None,
                });
            }
        }
        problems
    }
}

struct Watched {
    inner: Arc<dyn Disk>,
    unreadable: Unreadable,
}

impl Watched {
    fn wrap(&self, path: &Path, inner: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(WatchedFile {
            inner,
            path: path.to_path_buf(),
            unreadable: self.unreadable.clone(),
        })
    }
}

impl Disk for Watched {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.inner.create(path)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(path, self.inner.open(path, access)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
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

    fn lock_existing(&self, path: &Path) -> io::Result<Option<Box<dyn DirLock>>> {
        self.inner.lock_existing(path)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.inner.free_bytes(dir)
    }
}

#[derive(Debug)]
struct WatchedFile {
    inner: Arc<dyn DiskFile>,
    path: PathBuf,
    unreadable: Unreadable,
}

impl WatchedFile {
    /// Page by page, with something else in the place of those that cannot be read.
    fn read_pages(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.inner.len()?.saturating_sub(offset);
        let wanted = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
        let mut done = 0;
        while done < wanted {
            let at = offset + done as u64;
            let page = at - at % PAGE_BYTES;
            let in_page = usize::try_from(page + PAGE_BYTES - at).expect("at most a page");
            let part = &mut buf[done..wanted.min(done + in_page)];
            if let Err(error) = self.inner.read_exact_at(at, part) {
                self.unreadable.note(&self.path, page, &error);
                part.fill(FILL);
            }
            done += part.len();
        }
        Ok(done)
    }
}

impl DiskFile for WatchedFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        match self.inner.read_at(offset, buf) {
            Ok(bytes) => Ok(bytes),
            Err(_) => self.read_pages(offset, buf),
        }
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_at(offset, bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
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
