//! A file system that lives and dies with its handles.
//!
//! One lock guards the tree of names and is held for the length of a lookup; each file has a
//! lock of its own, shared by readers. Contents are kept in chunks, so that a growing file is
//! never copied and untouched ranges (of a preallocated log, say) cost nothing.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::ops::Range;
use std::path::{Component, Path};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

use crate::{Access, DirEntry, DirLock, Disk, DiskFile, EntryKind};

/// Bytes per chunk of a file.
const CHUNK: usize = 1024 * 1024;

/// Files in memory. The root directory always exists; relative and absolute paths are the
/// same, and nothing is ever written anywhere.
///
/// # Examples
/// ```
/// use cairn_env::{Disk, MemoryDisk};
/// use std::path::Path;
///
/// let disk = MemoryDisk::new();
/// disk.create_dir(Path::new("/db"))?;
/// let file = disk.create(Path::new("/db/a"))?;
/// file.write_at(2, b"xy")?;
/// let mut bytes = [9; 4];
/// file.read_exact_at(0, &mut bytes)?;
/// assert_eq!(bytes, [0, 0, b'x', b'y']);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct MemoryDisk {
    root: RwLock<Dir>,
}

type Dir = BTreeMap<String, Node>;

#[derive(Debug)]
enum Node {
    File(Arc<File>),
    Dir(Dir),
}

impl MemoryDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Disk for MemoryDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut root = self.root.write();
        let (dir, name) = parent_of(&mut root, path)?;
        match dir.entry(name) {
            Entry::Occupied(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Entry::Vacant(slot) => {
                let file = Arc::new(File::default());
                slot.insert(Node::File(Arc::clone(&file)));
                Ok(Arc::new(Handle {
                    file,
                    access: Access::Write,
                }))
            }
        }
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let root = self.root.read();
        match find(&root, &names_of(path)?)? {
            Found::File(file) => Ok(Arc::new(Handle {
                file: Arc::clone(file),
                access,
            })),
            Found::Dir(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut root = self.root.write();
        let (source, target) = (names_of(from)?, names_of(to)?);
        let moves_dir = matches!(find(&root, &source)?, Found::Dir(_));
        if source == target {
            return Ok(());
        }
        if target.starts_with(&source) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (dir, name) = parent_of(&mut root, to)?;
        match dir.get(&name) {
            Some(Node::File(_)) if moves_dir => return Err(io::ErrorKind::NotADirectory.into()),
            Some(Node::Dir(_)) if !moves_dir => return Err(io::ErrorKind::IsADirectory.into()),
            Some(Node::Dir(inner)) if !inner.is_empty() => {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            _ => {}
        }
        let (dir, name) = parent_of(&mut root, from)?;
        let node = dir.remove(&name).expect("the source was found above");
        let (dir, name) = parent_of(&mut root, to)?;
        dir.insert(name, node);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut root = self.root.write();
        let (dir, name) = parent_of(&mut root, path)?;
        match dir.get(&name) {
            None => Err(io::ErrorKind::NotFound.into()),
            Some(Node::Dir(_)) => Err(io::ErrorKind::IsADirectory.into()),
            Some(Node::File(_)) => {
                dir.remove(&name);
                Ok(())
            }
        }
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut root = self.root.write();
        if names_of(path)?.is_empty() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let (dir, name) = parent_of(&mut root, path)?;
        match dir.entry(name) {
            Entry::Occupied(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Entry::Vacant(slot) => {
                slot.insert(Node::Dir(Dir::new()));
                Ok(())
            }
        }
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut root = self.root.write();
        let (dir, name) = parent_of(&mut root, path)?;
        match dir.get(&name) {
            None => Err(io::ErrorKind::NotFound.into()),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            Some(Node::Dir(inner)) if !inner.is_empty() => {
                Err(io::ErrorKind::DirectoryNotEmpty.into())
            }
            Some(Node::Dir(_)) => {
                dir.remove(&name);
                Ok(())
            }
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let root = self.root.read();
        match find(&root, &names_of(dir)?)? {
            Found::File(_) => Err(io::ErrorKind::NotADirectory.into()),
            Found::Dir(dir) => Ok(dir
                .iter()
                .map(|(name, node)| DirEntry {
                    name: name.clone(),
                    kind: match node {
                        Node::File(_) => EntryKind::File,
                        Node::Dir(_) => EntryKind::Dir,
                    },
                })
                .collect()),
        }
    }

    fn entry(&self, path: &Path) -> io::Result<Option<EntryKind>> {
        let root = self.root.read();
        Ok(match find(&root, &names_of(path)?) {
            Ok(Found::File(_)) => Some(EntryKind::File),
            Ok(Found::Dir(_)) => Some(EntryKind::Dir),
            Err(_) => None,
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        match find(&self.root.read(), &names_of(dir)?)? {
            Found::File(_) => Err(io::ErrorKind::NotADirectory.into()),
            Found::Dir(_) => Ok(()),
        }
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DirLock>>> {
        let mut root = self.root.write();
        let (dir, name) = parent_of(&mut root, path)?;
        let node = dir
            .entry(name)
            .or_insert_with(|| Node::File(Arc::new(File::default())));
        match node {
            Node::Dir(_) => Err(io::ErrorKind::InvalidInput.into()),
            Node::File(file) if file.locked.swap(true, Ordering::AcqRel) => Ok(None),
            Node::File(file) => Ok(Some(Box::new(Lock {
                file: Arc::clone(file),
            }))),
        }
    }

    /// Memory has no limit that this disk could know.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.sync_dir(dir).map(|()| u64::MAX)
    }
}

enum Found<'a> {
    File(&'a Arc<File>),
    Dir(&'a Dir),
}

/// The path's names below the root, for disks that are no file system.
///
/// # Errors
/// `InvalidInput` for a name that is not UTF-8, or one that leads upwards.
pub fn names_of(path: &Path) -> io::Result<Vec<&str>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => {
                names.push(name.to_str().ok_or(io::ErrorKind::InvalidInput)?);
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
            Component::ParentDir => return Err(io::ErrorKind::InvalidInput.into()),
        }
    }
    Ok(names)
}

fn find<'a>(root: &'a Dir, names: &[&str]) -> io::Result<Found<'a>> {
    let mut found = Found::Dir(root);
    for name in names {
        found = match found {
            Found::File(_) => return Err(io::ErrorKind::NotADirectory.into()),
            Found::Dir(dir) => match dir.get(*name) {
                None => return Err(io::ErrorKind::NotFound.into()),
                Some(Node::File(file)) => Found::File(file),
                Some(Node::Dir(dir)) => Found::Dir(dir),
            },
        };
    }
    Ok(found)
}

/// The directory that holds (or would hold) the path's last name, and that name.
fn parent_of<'a>(root: &'a mut Dir, path: &Path) -> io::Result<(&'a mut Dir, String)> {
    let mut names = names_of(path)?;
    let last = names.pop().ok_or(io::ErrorKind::InvalidInput)?;
    let mut dir = root;
    for name in names {
        dir = match dir.get_mut(name) {
            None => return Err(io::ErrorKind::NotFound.into()),
            Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
            Some(Node::Dir(inner)) => inner,
        };
    }
    Ok((dir, last.to_owned()))
}

#[derive(Debug, Default)]
struct File {
    contents: RwLock<Contents>,
    locked: AtomicBool,
}

/// Every byte not in a chunk is zero; no chunk holds bytes at or past `len`.
#[derive(Debug, Default)]
struct Contents {
    chunks: Vec<Vec<u8>>,
    len: u64,
}

impl Contents {
    fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        let count = self.len.saturating_sub(offset).min(buf.len() as u64);
        let buf = &mut buf[..usize::try_from(count).expect("at most the buffer's length")];
        for_each_chunk(offset, buf.len(), |index, start, range| {
            let chunk = self.chunks.get(index).map_or(&[][..], Vec::as_slice);
            let stored = chunk.get(start..).unwrap_or_default();
            let out = &mut buf[range];
            let stored = &stored[..stored.len().min(out.len())];
            out[..stored.len()].copy_from_slice(stored);
            out[stored.len()..].fill(0);
        });
        buf.len()
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let end = offset
            .checked_add(bytes.len() as u64)
            .filter(|end| *end <= FILE_BYTES_MAX)
            .ok_or(io::ErrorKind::FileTooLarge)?;
        for_each_chunk(offset, bytes.len(), |index, start, range| {
            if self.chunks.len() <= index {
                self.chunks.resize_with(index + 1, Vec::new);
            }
            let chunk = &mut self.chunks[index];
            let end = start + range.len();
            if chunk.len() < end {
                // Small files stay small; a file past its first chunk will fill the others.
                if index > 0 && chunk.capacity() < CHUNK {
                    chunk.reserve_exact(CHUNK - chunk.len());
                }
                chunk.resize(end, 0);
            }
            chunk[start..end].copy_from_slice(&bytes[range]);
        });
        self.len = self.len.max(end);
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        if len > FILE_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let keep = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        if len < self.len {
            self.chunks.truncate(keep.div_ceil(CHUNK));
            if let Some(chunk) = self.chunks.get_mut(keep / CHUNK) {
                chunk.truncate(keep % CHUNK);
            }
        }
        self.len = len;
        Ok(())
    }
}

/// 1 TiB (of address space: half of it on a 32-bit target): more than memory holds, and its
/// empty chunk table still is only 24 MiB.
const FILE_BYTES_MAX: u64 = if usize::BITS == 64 { 1 << 40 } else { 1 << 31 };

/// Cuts `count` bytes at `offset` at chunk boundaries: calls `part(chunk, start in the
/// chunk, range of the buffer)` for each piece.
fn for_each_chunk(offset: u64, count: usize, mut part: impl FnMut(usize, usize, Range<usize>)) {
    let mut done = 0;
    // An offset past the address space reads nothing, so `count` is 0 there.
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    while done < count {
        let at = offset + done;
        let start = at % CHUNK;
        let size = (CHUNK - start).min(count - done);
        part(at / CHUNK, start, done..done + size);
        done += size;
    }
}

#[derive(Debug)]
struct Handle {
    file: Arc<File>,
    access: Access,
}

impl Handle {
    fn writable(&self) -> io::Result<()> {
        match self.access {
            Access::Write => Ok(()),
            Access::Read => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }
}

impl DiskFile for Handle {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.file.contents.read().read(offset, buf))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.writable()?;
        self.file.contents.write().write(offset, bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.contents.read().len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.writable()?;
        self.file.contents.write().set_len(len)
    }

    /// Chunks appear when they are written: there are no blocks to reserve.
    fn preallocate(&self, len: u64) -> io::Result<()> {
        self.writable()?;
        let mut contents = self.file.contents.write();
        let len = len.max(contents.len);
        contents.set_len(len)
    }
}

struct Lock {
    file: Arc<File>,
}

impl DirLock for Lock {}

impl Drop for Lock {
    fn drop(&mut self) {
        self.file.locked.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> &Path {
        Path::new(text)
    }

    #[test]
    fn growing_copies_no_chunk_but_the_first() -> io::Result<()> {
        let mut contents = Contents::default();
        let bytes = vec![7; 1000];
        let mut addresses = Vec::new();
        for at in 0..5 * CHUNK / bytes.len() {
            contents.write((at * bytes.len()) as u64, &bytes)?;
            let now: Vec<*const u8> = contents.chunks.iter().map(|c| c.as_ptr()).collect();
            for (chunk, address) in now.iter().enumerate().skip(1) {
                assert!(addresses.get(chunk).is_none_or(|old| old == address));
            }
            addresses = now;
        }
        assert_eq!(contents.chunks.len(), 5);
        Ok(())
    }

    #[test]
    fn reserved_space_costs_nothing() -> io::Result<()> {
        let disk = MemoryDisk::new();
        let file = disk.create(path("a"))?;
        file.preallocate(1 << 39)?;
        let mut bytes = [1; 8];
        file.read_exact_at((1 << 39) - 8, &mut bytes)?;
        assert_eq!(bytes, [0; 8]);
        for result in [file.set_len(u64::MAX), file.write_at(u64::MAX, b"x")] {
            let error = result.expect_err("too large");
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        }
        Ok(())
    }

    #[test]
    fn paths_are_the_same_with_and_without_a_root() -> io::Result<()> {
        let disk = MemoryDisk::new();
        disk.create_dir(path("db"))?;
        disk.create(path("/db/./a"))?;
        assert_eq!(disk.entry(path("db/a"))?, Some(EntryKind::File));
        assert!(disk.entry(path("db/../db/a")).is_err(), "no way up");
        Ok(())
    }
}
