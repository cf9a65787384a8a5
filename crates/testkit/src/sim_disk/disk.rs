//! The calls of [`Disk`] and [`DiskFile`] on the simulation.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use cairn_env::{Access, DirEntry, DirLock, Disk, DiskFile, EntryKind};

use super::contents::CHUNK;
use super::faults::CallKind;
use super::log::{Change, Op};
use super::state::{Node, NodeId};
use super::{Inner, SimDisk, check_end, text};

/// What an unlimited disk reports as free.
const FREE_BYTES: u64 = 1 << 40;

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.call(CallKind::Mutate)?;
        let (slot, node) = inner.state.slot(path)?;
        if node.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = inner.create_file(path, slot);
        Ok(self.handle(&mut inner, path, file, Access::Write))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.call(CallKind::Read)?;
        let file = inner.state.find_file(path)?;
        Ok(self.handle(&mut inner, path, file, access))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.call(CallKind::Mutate)?;
        let state = &inner.state;
        let (source, node) = state.slot(from)?;
        let node = node.ok_or(io::ErrorKind::NotFound)?;
        let (target, replaced) = state.slot(to)?;
        if source == target {
            return Ok(());
        }
        match (node, replaced) {
            (Node::Dir(dir), _) if state.is_within(target.dir, dir) => {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            (Node::Dir(_), Some(Node::File(_))) => return Err(io::ErrorKind::NotADirectory.into()),
            (Node::File(_), Some(Node::Dir(_))) => return Err(io::ErrorKind::IsADirectory.into()),
            (Node::Dir(_), Some(Node::Dir(inner))) if !state.is_empty_dir(inner) => {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            _ => {}
        }
        let op = Op::Rename {
            from: source,
            to: target,
        };
        inner.record(from, op);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.call(CallKind::Mutate)?;
        let (at, node) = inner.state.slot(path)?;
        match node {
            None => Err(io::ErrorKind::NotFound.into()),
            Some(Node::Dir(_)) => Err(io::ErrorKind::IsADirectory.into()),
            Some(Node::File(_)) => {
                inner.record(path, Op::RemoveFile { at });
                Ok(())
            }
        }
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.call(CallKind::Mutate)?;
        if inner.state.find(path).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let (at, _) = inner.state.slot(path)?;
        let dir = NodeId(inner.state.next);
        inner.record(path, Op::CreateDir { at, dir });
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.call(CallKind::Mutate)?;
        let (at, node) = inner.state.slot(path)?;
        match node {
            None => Err(io::ErrorKind::NotFound.into()),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            Some(Node::Dir(dir)) if !inner.state.is_empty_dir(dir) => {
                Err(io::ErrorKind::DirectoryNotEmpty.into())
            }
            Some(Node::Dir(_)) => {
                inner.record(path, Op::RemoveDir { at });
                Ok(())
            }
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let inner = self.call(CallKind::Read)?;
        let dir = inner.state.find_dir(dir)?;
        let names = inner.state.dirs[&dir].live.iter();
        Ok(names
            .map(|(name, node)| DirEntry {
                name: name.to_string(),
                kind: kind_of(*node),
            })
            .collect())
    }

    fn entry(&self, path: &Path) -> io::Result<Option<EntryKind>> {
        let inner = self.call(CallKind::Read)?;
        Ok(inner.state.find(path).ok().map(kind_of))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.wait(CallKind::Sync);
        let mut inner = self.inner();
        let strike = inner.faults.pass(CallKind::Sync);
        let dir = inner.state.find_dir(path)?;
        let outcome = inner.faults.outcome(strike.is_some());
        inner.record(path, Op::SyncDir { dir, outcome });
        strike.map_or(Ok(()), |strike| Err(strike.error))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DirLock>>> {
        let mut inner = self.call(CallKind::Mutate)?;
        let (slot, node) = inner.state.slot(path)?;
        let file = match node {
            Some(Node::Dir(_)) => return Err(io::ErrorKind::InvalidInput.into()),
            Some(Node::File(file)) => file,
            None => inner.create_file(path, slot),
        };
        Ok(inner.locks.insert(file).then(|| {
            let disk = self.clone();
            Box::new(SimLock { disk, file }) as Box<dyn DirLock>
        }))
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let inner = self.call(CallKind::Read)?;
        inner.state.find_dir(dir)?;
        let blocks = inner.free_blocks();
        Ok(blocks.map_or(FREE_BYTES, |blocks| blocks * CHUNK as u64))
    }
}

impl SimDisk {
    fn handle(
        &self,
        inner: &mut Inner,
        path: &Path,
        file: NodeId,
        access: Access,
    ) -> Arc<dyn DiskFile> {
        *inner.handles.entry(file).or_default() += 1;
        Arc::new(SimFile {
            disk: self.clone(),
            path: text(path),
            file,
            access,
        })
    }
}

/// An open file of a [`SimDisk`].
struct SimFile {
    disk: SimDisk,
    path: Arc<str>,
    file: NodeId,
    access: Access,
}

impl SimFile {
    fn change(&self, inner: &mut Inner, change: Change) {
        let file = self.file;
        inner.record_text(Arc::clone(&self.path), Op::Change { file, change });
    }

    fn writable(&self) -> io::Result<()> {
        match self.access {
            Access::Write => Ok(()),
            Access::Read => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let inner = self.disk.call(CallKind::Read)?;
        inner.faults.check_read(self.file, offset, buf.len())?;
        Ok(inner.state.files[&self.file].live.read(offset, buf))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.wait(CallKind::Mutate);
        let mut inner = self.disk.inner();
        let strike = inner.faults.pass(CallKind::Mutate);
        self.writable()?;
        check_end(offset, bytes.len() as u64)?;
        let wanted = match &strike {
            None => bytes.len(),
            Some(strike) if strike.torn => bytes.len() / 2,
            Some(_) => 0,
        };
        let fitting = match inner.free_blocks() {
            None => wanted,
            Some(blocks) => inner.state.files[&self.file]
                .live
                .fitting(offset, wanted, blocks),
        };
        if fitting > 0 {
            let bytes = bytes[..fitting].into();
            self.change(&mut inner, Change::Write { offset, bytes });
        }
        match strike {
            Some(strike) => Err(strike.error),
            None if fitting < bytes.len() => Err(io::ErrorKind::StorageFull.into()),
            None => Ok(()),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.wait(CallKind::Sync);
        let mut inner = self.disk.inner();
        let strike = inner.faults.pass(CallKind::Sync);
        let outcome = inner.faults.outcome(strike.is_some());
        let file = self.file;
        inner.record_text(Arc::clone(&self.path), Op::SyncData { file, outcome });
        strike.map_or(Ok(()), |strike| Err(strike.error))
    }

    fn len(&self) -> io::Result<u64> {
        let inner = self.disk.call(CallKind::Read)?;
        Ok(inner.state.files[&self.file].live.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut inner = self.disk.call(CallKind::Mutate)?;
        self.writable()?;
        check_end(len, 0)?;
        self.change(&mut inner, Change::SetLen(len));
        Ok(())
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        let mut inner = self.disk.call(CallKind::Mutate)?;
        self.writable()?;
        check_end(len, 0)?;
        // Looking for gaps takes a while in a large file, so only where space is short.
        if let Some(free) = inner.free_blocks() {
            let missing = inner.state.files[&self.file].live.missing_blocks(len);
            if free < missing {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        self.change(&mut inner, Change::Preallocate(len));
        Ok(())
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFile")
            .field("path", &self.path)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut inner = self.disk.inner();
        if let Some(count) = inner.handles.get_mut(&self.file) {
            *count -= 1;
            if *count == 0 {
                inner.handles.remove(&self.file);
            }
        }
    }
}

struct SimLock {
    disk: SimDisk,
    file: NodeId,
}

impl DirLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.inner().locks.remove(&self.file);
    }
}

fn kind_of(node: Node) -> EntryKind {
    match node {
        Node::File(_) => EntryKind::File,
        Node::Dir(_) => EntryKind::Dir,
    }
}
