//! A disk whose process dies: from one operation on every call fails and nothing reaches the disk
//! below, which keeps what it has, synced or not. Another process may then use that disk.

use std::io;
use std::path::Path;
use std::sync::Arc;

use cairn_env::{Access, DirEntry, DirLock, Disk, DiskFile, EntryKind};
use cairn_testkit::SimDisk;

/// A [`SimDisk`] as a process sees it that is killed before operation number `last + 1`.
#[derive(Clone)]
pub struct Killable {
    disk: SimDisk,
    last: usize,
}

#[derive(Debug)]
struct File {
    disk: SimDisk,
    last: usize,
    file: Arc<dyn DiskFile>,
}

impl Killable {
    pub fn new(disk: &SimDisk, last: usize) -> Self {
        Self {
            disk: disk.clone(),
            last,
        }
    }

    fn alive(&self) -> io::Result<&SimDisk> {
        alive(&self.disk, self.last).map(|()| &self.disk)
    }

    fn file(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(File {
            disk: self.disk.clone(),
            last: self.last,
            file,
        })
    }
}

fn alive(disk: &SimDisk, last: usize) -> io::Result<()> {
    if disk.op_count() < last {
        Ok(())
    } else {
        Err(io::Error::other("the process was killed"))
    }
}

impl Disk for Killable {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(self.alive()?.create(path)?))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(self.alive()?.open(path, access)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.alive()?.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.alive()?.remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.alive()?.create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.alive()?.remove_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.alive()?.list(dir)
    }

    fn entry(&self, path: &Path) -> io::Result<Option<EntryKind>> {
        self.alive()?.entry(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.alive()?.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DirLock>>> {
        self.alive()?.lock(path)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.alive()?.free_bytes(dir)
    }
}

impl File {
    fn alive(&self) -> io::Result<&dyn DiskFile> {
        alive(&self.disk, self.last).map(|()| &*self.file)
    }
}

impl DiskFile for File {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.alive()?.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.alive()?.write_at(offset, bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.alive()?.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        self.alive()?.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.alive()?.set_len(len)
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        self.alive()?.preallocate(len)
    }
}
