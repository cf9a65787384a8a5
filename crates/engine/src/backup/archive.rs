//! A version as a stream of bytes: a tar archive of a database directory.
//!
//! Unpacked by any tar it is a database. Everything but the immutable files is small and is laid
//! out in memory first, by the same code that lays out a restored database; `CURRENT`, without which
//! there is no database, comes last.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_env::{Access, DiskFile, EntryKind, Env, KillPoint, MemoryDisk};
use cairn_storage::{StorageError, WrappedKeys};

use crate::catalog;
use crate::collection;
use crate::database::Database;
use crate::encryption::KeyProvider;
use crate::error::{Code, Error, Result};
use crate::manifest::{self, FileEntry};
use crate::options::Options;
use crate::retained::{Hold, collection_dir};
use crate::segment;
use crate::versions::{Pinned, VersionId, VersionRecord, VersionedCollection};

use super::RestoreInfo;
use super::files::{Files, Place, bytes_of, tmp_of};
use super::files_of;
use super::restore::{Target, lay_out};
use super::tar::{BLOCK_BYTES, Header, Kind};

/// Where the small files are laid out in memory.
const ROOT: &str = "/";
/// Bytes of keys, catalog and manifests that an archive may have together: they are read into
/// memory. A segment takes less than a kilobyte of a manifest.
const SMALL_BYTES_MAX: u64 = 256 * 1024 * 1024; // 256 MiB
/// Such files, which take memory even when they are empty: ten of each of 10,000 collections.
const SMALL_FILES_MAX: usize = 100_000;
/// Files of segments and deletions: 10,000 collections of a hundred segments each.
const FILES_MAX: u64 = 2_000_000;
/// Bytes of a catalog: a collection takes some kilobytes at most.
const CATALOG_BYTES_MAX: u64 = 64 * 1024 * 1024; // 64 MiB
/// Bytes of a set of keys: each rotation adds about a hundred.
const KEYS_BYTES_MAX: u64 = 1024 * 1024; // 1 MiB
/// Bytes behind the end: tars fill their last record, of 10 KiB as a rule.
const FILLING_BYTES_MAX: u64 = 1024 * 1024; // 1 MiB
/// Bytes of every `CURRENT`.
const CURRENT_BYTES: u64 = 32;

/// An archive that is being written.
pub struct Archive {
    env: Env,
    entries: std::vec::IntoIter<Entry>,
    current: Option<Open>,
    seconds: u64,
    info: RestoreInfo,
    /// The two empty blocks behind the last entry were given.
    ended: bool,
    _hold: Hold,
}

struct Entry {
    header: Header,
    contents: Contents,
}

enum Contents {
    None,
    Small(Vec<u8>),
    File(PathBuf, FileEntry),
}

/// An entry whose header was given.
struct Open {
    header: Header,
    at: u64,
    contents: OpenContents,
}

enum OpenContents {
    Small(Vec<u8>),
    File(Arc<dyn DiskFile>, PathBuf),
}

impl Database {
    /// Begins an archive of the state of this moment, or of a recorded version.
    ///
    /// # Errors
    /// As [`Database::snapshot`] and [`Database::at`]; `ERR_LIMIT_EXCEEDED` when the catalog and the
    /// manifests are longer than any archive may have them.
    pub fn archive(&self, version: Option<&VersionId>) -> Result<Archive> {
        let Pinned { record, hold } = match version {
            Some(version) => self.pin(version)?,
            None => self.pin_now()?,
        };
        let memory = Env {
            disk: Arc::new(MemoryDisk::new()),
            ..self.env.clone()
        };
        lay_out(&memory, Path::new(ROOT), &record)?;
        if let Some(keys) = self.wrapped_keys()? {
            keys.publish(&memory, Path::new(ROOT))?;
        }
        let mut entries = Vec::new();
        gather(&memory, Path::new(ROOT), &mut entries)?;
        check_small(&entries)?;
        let files = files_of(&record);
        for (file, expected) in &files {
            let header = Header {
                path: file.path().display().to_string(),
                kind: Kind::File,
                bytes: expected.bytes,
            };
            let contents = Contents::File(self.dir.join(file.path()), *expected);
            entries.push(Entry { header, contents });
        }
        // Without it there is no database, so an archive that was cut short makes none.
        entries.sort_by_key(|entry| entry.header.path == "CURRENT");
        Ok(Archive {
            env: self.env.clone(),
            entries: entries.into_iter(),
            current: None,
            seconds: record.created_unix_ms / 1_000,
            info: RestoreInfo {
                version: record.version,
                files: files.len() as u64,
                bytes: bytes_of(&files),
            },
            ended: false,
            _hold: hold,
        })
    }
}

/// Bytes that the entry of this name may have, if it is one of those that are read into memory.
fn small_bytes_max(path: &str) -> Option<u64> {
    let parts: Vec<&str> = path.split('/').collect();
    match parts[..] {
        ["CURRENT"] | ["keys", "CURRENT"] => Some(CURRENT_BYTES),
        ["keys", "set", name] if is_name(name, ".key") => Some(KEYS_BYTES_MAX),
        ["catalog", name] if is_name(name, ".cat") => Some(CATALOG_BYTES_MAX),
        ["collections", id, "CURRENT"] if is_id(id) => Some(CURRENT_BYTES),
        ["collections", id, manifest::DIR, name] if is_id(id) && is_name(name, ".man") => {
            Some(SMALL_BYTES_MAX)
        }
        _ => None,
    }
}

fn is_id(id: &str) -> bool {
    id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_name(name: &str, end: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    name.ends_with(end) && !name.starts_with('.') && name.bytes().all(plain)
}

/// Refuses to write what nobody would read.
fn check_small(entries: &[Entry]) -> Result<()> {
    let headers = entries.iter().map(|entry| &entry.header);
    let is_long = |header: &Header| {
        small_bytes_max(&header.path).is_some_and(|bytes_max| header.bytes > bytes_max)
    };
    let all: u64 = headers.clone().map(|header| header.bytes).sum();
    let fits = all <= SMALL_BYTES_MAX && headers.len() <= SMALL_FILES_MAX;
    if fits && !headers.clone().any(is_long) {
        return Ok(());
    }
    let message = "the catalog and the manifests are too long for an archive: make a backup";
    Err(Error::new(Code::LimitExceeded, message).number("bytes", all))
}

fn gather(env: &Env, dir: &Path, entries: &mut Vec<Entry>) -> Result<()> {
    for entry in collection::list(&*env.disk, dir)? {
        let path = dir.join(&entry.name);
        let below = path.strip_prefix(ROOT).unwrap_or(&path);
        let mut header = Header {
            path: below.display().to_string().replace('\\', "/"),
            kind: Kind::Dir,
            bytes: 0,
        };
        if entry.kind == EntryKind::Dir {
            let contents = Contents::None;
            entries.push(Entry { header, contents });
            gather(env, &path, entries)?;
        } else {
            let bytes = read_all(env, &path)?;
            (header.kind, header.bytes) = (Kind::File, bytes.len() as u64);
            let contents = Contents::Small(bytes);
            entries.push(Entry { header, contents });
        }
    }
    Ok(())
}

fn read_all(env: &Env, path: &Path) -> Result<Vec<u8>> {
    let file = env.disk.open(path, Access::Read);
    let file = file.map_err(StorageError::io("open", path))?;
    let bytes = file.len().map_err(StorageError::io("len", path))?;
    let mut all = vec![0; usize::try_from(bytes).expect("a small file")];
    file.read_exact_at(0, &mut all)
        .map_err(StorageError::io("read", path))?;
    Ok(all)
}

impl Archive {
    /// What it has.
    #[must_use]
    pub fn info(&self) -> RestoreInfo {
        self.info
    }

    /// The next bytes, at most `bytes_max` of them and 512 more; none at the end. Every file is
    /// checked before any of it is given.
    ///
    /// # Errors
    /// `ERR_CORRUPT` naming a damaged file, `ERR_IO`.
    pub fn next(&mut self, bytes_max: usize) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        while out.len() < bytes_max && !self.ended {
            match &mut self.current {
                Some(open) => {
                    if open.read(&mut out, bytes_max)? {
                        self.current = None;
                    }
                }
                None => self.begin_next(&mut out)?,
            }
        }
        Ok(out)
    }

    fn begin_next(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let Some(Entry { header, contents }) = self.entries.next() else {
            out.extend_from_slice(&[0; 2 * BLOCK_BYTES]);
            self.ended = true;
            return Ok(());
        };
        let contents = match contents {
            Contents::None => None,
            Contents::Small(bytes) => Some(OpenContents::Small(bytes)),
            Contents::File(path, expected) => {
                segment::verify_file(&self.env, &path, expected)?;
                let file = self.env.disk.open(&path, Access::Read);
                let file = file.map_err(StorageError::io("open", &path))?;
                Some(OpenContents::File(file, path))
            }
        };
        out.extend_from_slice(&header.encode(self.seconds));
        self.current = contents.map(|contents| Open {
            header,
            at: 0,
            contents,
        });
        Ok(())
    }
}

impl Open {
    /// Appends what is left, as far as `bytes_max` allows. Whether that was all.
    fn read(&mut self, out: &mut Vec<u8>, bytes_max: usize) -> Result<bool> {
        let left = self.header.bytes - self.at;
        let room = (bytes_max - out.len()) as u64;
        let wanted = usize::try_from(left.min(room)).expect("at most the room");
        let start = out.len();
        match &self.contents {
            OpenContents::Small(bytes) => {
                let at = usize::try_from(self.at).expect("a small file");
                out.extend_from_slice(&bytes[at..at + wanted]);
            }
            OpenContents::File(file, path) => {
                out.resize(start + wanted, 0);
                let read = file.read_exact_at(self.at, &mut out[start..]);
                read.map_err(StorageError::io("read", path))?;
            }
        }
        self.at += wanted as u64;
        if self.at < self.header.bytes {
            return Ok(false);
        }
        let filled = self.header.filled().expect("the length of a file");
        let fill = usize::try_from(filled - self.header.bytes).expect("less than a block");
        out.extend_from_slice(&[0; BLOCK_BYTES][..fill]);
        Ok(true)
    }
}

/// An archive that is being read, into a database.
pub struct Unarchive {
    /// There until it is settled.
    target: Option<Target>,
    env: Env,
    memory: Env,
    /// With the key, if one is needed.
    options: Options,
    small_bytes: u64,
    small_files: usize,
    /// Segments and deletions begun so far.
    files: u64,
    /// Bytes taken in so far.
    at: u64,
    block: Vec<u8>,
    state: Reading,
    copied: u64,
}

enum Reading {
    Header,
    Contents {
        sink: Sink,
        written: u64,
        bytes: u64,
        /// Bytes of contents and filling that are still to come.
        left: u64,
    },
    Ended {
        /// Bytes that came behind the end.
        filling: u64,
    },
}

enum Sink {
    Nowhere,
    Memory(Arc<dyn DiskFile>, PathBuf),
    File(Arc<dyn DiskFile>, PathBuf),
}

impl Unarchive {
    /// Begins to read an archive into `target`, which must be empty or absent. The options have the
    /// key of an encrypted one, or it is given before the end.
    ///
    /// # Errors
    /// `ERR_ALREADY_EXISTS` when the target is not empty, `ERR_LOCKED`, `ERR_IO`.
    pub fn new(env: &Env, target: &Path, options: &Options) -> Result<Self> {
        Ok(Self {
            target: Some(Target::claim(env, target, options)?),
            env: env.clone(),
            memory: Env {
                disk: Arc::new(MemoryDisk::new()),
                ..env.clone()
            },
            options: options.clone(),
            small_bytes: 0,
            small_files: 0,
            files: 0,
            at: 0,
            block: Vec::with_capacity(BLOCK_BYTES),
            state: Reading::Header,
            copied: 0,
        })
    }

    /// Takes the next bytes of the archive.
    ///
    /// # Errors
    /// `ERR_CORRUPT` with the offset in the archive, `ERR_NO_SPACE`, `ERR_IO`: then it is of no more
    /// use, and dropping it leaves the target as it was.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let taken = match &mut self.state {
                Reading::Header => self.take_header(bytes)?,
                Reading::Contents { .. } => self.take_contents(bytes)?,
                Reading::Ended { .. } => self.take_filling(bytes)?,
            };
            self.at += taken as u64;
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// Id of the key that the archive needs, if its database is encrypted and that part of it was
    /// taken.
    ///
    /// # Errors
    /// `ERR_CORRUPT`.
    pub fn key_id(&self) -> Result<Option<String>> {
        let root = Path::new(ROOT);
        let keys = WrappedKeys::read(&self.memory, root)?;
        let id = |keys: WrappedKeys| keys.key_id(root).map(str::to_owned);
        Ok(keys.map(id).transpose()?)
    }

    /// Gives the key that the archive needs.
    pub fn set_key(&mut self, provider: Arc<dyn KeyProvider>) {
        self.options.encryption = Some(provider);
    }

    /// Makes the database of what was taken, once all of it is there and every checksum is right.
    ///
    /// # Errors
    /// `ERR_INVALID_ARGUMENT` when the key does not fit; `ERR_CORRUPT` when something is missing or damaged, `ERR_NO_SPACE`, `ERR_IO`: then the target
    /// is as it was.
    pub fn finish(mut self) -> Result<RestoreInfo> {
        let mut target = self.target.take().expect("it is there until settled");
        let version = self.check(&mut target);
        let made = version.and_then(|version| {
            let place = target.place();
            lay_out(place.env, place.dir, &version)?;
            Ok(version)
        });
        match made {
            Ok(version) => {
                target.settle(Ok(()))?;
                let files = files_of(&version);
                Ok(RestoreInfo {
                    version: version.version,
                    files: files.len() as u64,
                    bytes: bytes_of(&files),
                })
            }
            Err(error) => Err(target.settle(Err(error)).expect_err("it was one")),
        }
    }

    fn place(&self) -> Place<'_> {
        let target = self.target.as_ref();
        target.expect("it is there until settled").place()
    }

    fn corrupt(&self, what: &str) -> Error {
        Error::new(Code::Corrupt, "the archive is damaged")
            .number("offset", self.at)
            .text("what", what)
    }

    fn take_header(&mut self, bytes: &[u8]) -> Result<usize> {
        let taken = bytes.len().min(BLOCK_BYTES - self.block.len());
        self.block.extend_from_slice(&bytes[..taken]);
        if self.block.len() < BLOCK_BYTES {
            return Ok(taken);
        }
        let block: [u8; BLOCK_BYTES] = self.block[..].try_into().expect("a whole block");
        self.block.clear();
        let header = Header::decode(&block).map_err(|what| self.corrupt(what))?;
        self.state = match header {
            None => Reading::Ended { filling: 0 },
            Some(header) => {
                let left = header.filled();
                let left = left.ok_or_else(|| self.corrupt("a length that is no number"))?;
                let bytes = header.bytes;
                let mut sink = self.sink(header)?;
                if left == 0 {
                    self.close(&mut sink)?;
                    Reading::Header
                } else {
                    Reading::Contents {
                        sink,
                        written: 0,
                        bytes,
                        left,
                    }
                }
            }
        };
        Ok(taken)
    }

    fn take_contents(&mut self, bytes: &[u8]) -> Result<usize> {
        let Reading::Contents {
            sink,
            written,
            bytes: length,
            left,
        } = &mut self.state
        else {
            unreachable!("contents are being read");
        };
        let taken = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let wanted = usize::try_from(*length - *written).map_or(taken, |rest| rest.min(taken));
        match sink {
            Sink::Nowhere => {}
            Sink::Memory(file, path) | Sink::File(file, path) => {
                let put = file.write_at(*written, &bytes[..wanted]);
                put.map_err(StorageError::io("write", path))?;
            }
        }
        *written += wanted as u64;
        *left -= taken as u64;
        if *left == 0 {
            let ended = std::mem::replace(&mut self.state, Reading::Header);
            if let Reading::Contents { mut sink, .. } = ended {
                self.close(&mut sink)?;
            }
        }
        Ok(taken)
    }

    /// Passes over what comes behind the end. It is bounded, because of ten megabytes that are
    /// compressed ten gigabytes may come.
    fn take_filling(&mut self, bytes: &[u8]) -> Result<usize> {
        if let Reading::Ended { filling } = &mut self.state {
            *filling += bytes.len() as u64;
            if *filling > FILLING_BYTES_MAX {
                return Err(self.corrupt("it goes on behind its end"));
            }
        }
        Ok(bytes.len())
    }

    /// Where the contents of an entry go. Only names that a database has are taken.
    fn sink(&mut self, header: Header) -> Result<Sink> {
        let strange = |path: &str| {
            let message = "the archive has an entry that no archive of a database has";
            Err(Error::new(Code::InvalidArgument, message).text("path", path))
        };
        if header.kind == Kind::Facts {
            return Ok(Sink::Nowhere);
        }
        if header.kind == Kind::Dir {
            return Ok(Sink::Nowhere);
        }
        let path = Path::new(&header.path);
        if let Some(bytes_max) = small_bytes_max(&header.path) {
            return self.small(path, header.bytes, bytes_max);
        }
        let parts: Vec<&str> = header.path.split('/').collect();
        match parts[..] {
            ["collections", id, "seg", name] if is_id(id) && is_name(name, ".seg") => {
                self.file(path)
            }
            ["collections", id, "del", name] if is_id(id) && is_name(name, ".del") => {
                self.file(path)
            }
            _ => strange(&header.path),
        }
    }

    fn small(&mut self, path: &Path, bytes: u64, bytes_max: u64) -> Result<Sink> {
        self.small_bytes = self.small_bytes.saturating_add(bytes);
        self.small_files += 1;
        if bytes > bytes_max || self.small_bytes > SMALL_BYTES_MAX {
            return Err(self.corrupt("keys, a catalog or manifests longer than any"));
        }
        if self.small_files > SMALL_FILES_MAX {
            return Err(self.corrupt("more manifests than any database has"));
        }
        let path = Path::new(ROOT).join(path);
        let dir = path.parent().expect("a file stands in a directory");
        collection::make_dirs(&self.memory, dir)?;
        let created = self.memory.disk.create(&path);
        let file = created.map_err(|_| self.corrupt("an entry stands twice"))?;
        Ok(Sink::Memory(file, path))
    }

    /// Not under its name before it is whole: what is there under its name is never looked at twice.
    fn file(&mut self, path: &Path) -> Result<Sink> {
        self.files += 1;
        if self.files > FILES_MAX {
            return Err(self.corrupt("more files than any database has"));
        }
        let path = self.place().dir.join(path);
        let dir = path.parent().expect("a file stands in a directory");
        collection::make_dirs(&self.env, dir)?;
        let file = self.env.disk.create(&tmp_of(&path));
        let file = file.map_err(StorageError::io("create", &path))?;
        Ok(Sink::File(file, path))
    }

    fn close(&mut self, sink: &mut Sink) -> Result<()> {
        match sink {
            Sink::Nowhere | Sink::Memory(..) => {}
            Sink::File(file, path) => {
                file.sync_data().map_err(StorageError::io("sync", path))?;
                let renamed = self.env.disk.rename(&tmp_of(path), path);
                renamed.map_err(StorageError::io("rename", path))?;
                self.place().hit(KillPoint::K28FileCopied)?;
                self.copied += 1;
            }
        }
        Ok(())
    }

    /// The version that was taken, once every file of it is there and right, and no other.
    fn check(&mut self, target: &mut Target) -> Result<VersionRecord> {
        if !matches!(self.state, Reading::Ended { .. }) {
            return Err(self.corrupt("it ends too early"));
        }
        let root = Path::new(ROOT);
        let keys = WrappedKeys::read(&self.memory, root)?;
        target.unlock(keys, &self.options)?;
        self.memory.sealing.clone_from(&target.place().env.sealing);
        let there = self.memory.disk.entry(&root.join(catalog::DIR));
        let catalog = match there {
            Ok(Some(_)) => catalog::read(&self.memory, root)?,
            _ => None,
        };
        let catalog = catalog.ok_or_else(|| self.corrupt("it has no database"))?;
        let mut version = VersionRecord::default();
        for entry in catalog.collections {
            let dir = root.join(collection_dir(entry.id));
            let manifest = manifest::read(&self.memory, &dir, entry.id)?;
            let manifest = manifest.ok_or_else(|| self.corrupt("a manifest is missing"))?;
            version.version = version.version.max(manifest.flushed_lsn);
            version
                .collections
                .push(VersionedCollection { entry, manifest });
        }
        version.check().map_err(|what| self.corrupt(&what))?;
        let files: Files = files_of(&version);
        for (file, expected) in &files {
            target.place().verify(file, *expected)?;
        }
        if self.copied != files.len() as u64 {
            return Err(self.corrupt("it has files that its manifests do not list"));
        }
        if !files.is_empty() {
            target.place().sync_dirs(&files)?;
        }
        Ok(version)
    }
}

impl Drop for Unarchive {
    fn drop(&mut self) {
        if let Some(target) = self.target.take() {
            let given_up = Error::new(Code::Aborted, "the archive was not read to its end");
            // Nobody waits for it.
            let _ = target.settle(Err(given_up));
        }
    }
}
