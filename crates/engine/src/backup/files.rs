//! Copies of immutable files: whole, checked and durable before they have their name.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use cairn_env::{Access, Bug, EntryKind, Env, KillPoint, planted};
use cairn_storage::StorageError;

use crate::collection;
use crate::error::Result;
use crate::manifest::FileEntry;
use crate::retained::{COLLECTIONS, FileId};
use crate::segment;
use crate::stop::{Job, Stop};

/// Bytes copied at a time, each time synced: a log on the same disk waits for what is ahead of it
/// there. Beside pieces of 128 KiB the p99 of a write was measured at 4.5 to 6 times that of an
/// idle disk, beside these at 1.6 to 2, at a third of the rate (90 MB/s). Starting the writing out
/// without a sync (`sync_file_range`, `posix_fadvise`) was worse than either.
const COPY_BYTES: usize = 32 * 1024;

/// Files, each with what it must be.
pub(super) type Files = BTreeMap<FileId, FileEntry>;

/// A directory and where it is. Files are checked as they are stored, and decrypted for it where
/// the environment has keys.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub env: &'a Env,
    pub dir: &'a Path,
}

/// Bytes of all of them together.
pub(super) fn bytes_of(files: &Files) -> u64 {
    // What a record says of lengths may be anything.
    files
        .values()
        .fold(0, |sum, file| sum.saturating_add(file.bytes))
}

/// Counts bytes for whoever watches.
pub(super) struct Progress<'a> {
    pub job: &'a Job,
    pub done: u64,
    pub total: u64,
}

impl Progress<'_> {
    fn add(&mut self, bytes: u64) {
        self.done = self.done.saturating_add(bytes);
        if let Some(report) = &self.job.progress {
            report(self.done, self.total);
        }
    }
}

impl Place<'_> {
    /// Passes a step at which a test may end it all.
    pub fn hit(&self, point: KillPoint) -> Result<()> {
        let passed = self.env.faults.hit(point);
        Ok(passed.map_err(StorageError::io("fail_point", self.dir))?)
    }

    pub fn path(&self, file: &FileId) -> PathBuf {
        self.dir.join(file.path())
    }

    /// Whether a file of this name is there and has the right length and footer. Its blocks are
    /// not read.
    pub fn has(&self, file: &FileId, expected: FileEntry) -> bool {
        segment::is_there(self.env, &self.path(file), expected)
    }

    /// Compares every checksum of a file.
    ///
    /// # Errors
    /// `ERR_CORRUPT` naming file and offset, also when it is missing.
    pub fn verify(&self, file: &FileId, expected: FileEntry) -> Result<()> {
        verify(self.env, &self.path(file), expected)
    }

    /// Creates the directories that `files` stand in.
    pub fn make_dirs(&self, files: &Files) -> Result<()> {
        let mut dirs: Vec<PathBuf> = Vec::new();
        for file in files.keys() {
            let path = self.path(file);
            let dir = path.parent().expect("a file stands in a directory");
            if dirs.last().is_none_or(|last| last != dir) {
                dirs.push(dir.to_path_buf());
            }
        }
        dirs.dedup();
        dirs.iter()
            .try_for_each(|dir| collection::make_dirs(self.env, dir))
    }

    /// Makes the names of `files` durable, and those of the directories that they are in: a process
    /// that made them may have been killed before it came to that.
    pub fn sync_dirs(&self, files: &Files) -> Result<()> {
        let mut dirs = BTreeSet::from([self.dir.to_path_buf()]);
        for file in files.keys() {
            let path = self.path(file);
            let above = path.ancestors().skip(1);
            dirs.extend(
                above
                    .take_while(|dir| *dir != self.dir)
                    .map(Path::to_path_buf),
            );
        }
        for dir in &dirs {
            collection::sync_dir(&*self.env.disk, dir)?;
        }
        collection::sync_names_above(self.env, self.dir)
    }

    /// Copies a file from another place. It has its name here once it is whole and synced.
    ///
    /// # Errors
    /// `ERR_CORRUPT` naming the damaged file, `ERR_NO_SPACE`, `ERR_IO`; as the job's stop: then
    /// nothing of it is here.
    pub fn copy(
        &self,
        from: Place<'_>,
        file: &FileId,
        expected: FileEntry,
        progress: &mut Progress<'_>,
    ) -> Result<()> {
        let (path, tmp) = (self.path(file), tmp_of(&self.path(file)));
        let copied = copy_bytes(from, file, expected, self.env, &tmp, progress).and_then(|()| {
            if let Err(damage) = verify(self.env, &tmp, expected) {
                // Most likely it was damaged before.
                from.verify(file, expected)?;
                return Err(damage);
            }
            let renamed = self.env.disk.rename(&tmp, &path);
            renamed.map_err(StorageError::io("rename", &path))?;
            self.hit(KillPoint::K28FileCopied)
        });
        copied.inspect_err(|_| {
            let _ = self.env.disk.remove_file(&tmp);
        })
    }

    /// Every file of ours below the collections, those not finished included.
    pub fn list(&self) -> Result<Vec<(PathBuf, Option<FileId>)>> {
        let disk = &*self.env.disk;
        let mut found = Vec::new();
        let all = self.dir.join(COLLECTIONS);
        let there = disk.entry(&all).map_err(StorageError::io("entry", &all))?;
        if there.is_none() {
            return Ok(found);
        }
        let dirs = |dir: &Path| -> Result<Vec<String>> {
            let entries = collection::list(disk, dir)?.into_iter();
            let dirs = entries.filter(|entry| entry.kind == EntryKind::Dir);
            Ok(dirs.map(|entry| entry.name).collect())
        };
        for collection in dirs(&all)? {
            let Ok(id) = u64::from_str_radix(&collection, 16) else {
                continue;
            };
            for kind in dirs(&all.join(&collection))? {
                let dir = all.join(&collection).join(kind);
                for entry in collection::list(disk, &dir)? {
                    let path = dir.join(&entry.name);
                    let finished = FileId::named(id, &entry.name);
                    if finished.is_some() || entry.name.ends_with(".tmp") {
                        found.push((path, finished));
                    }
                }
            }
        }
        Ok(found)
    }

    /// Removes finished files that are not `wanted`, and all unfinished ones.
    pub fn remove_others(&self, wanted: impl Fn(&FileId) -> bool) -> Result<()> {
        for (path, file) in self.list()? {
            if !file.is_some_and(|file| wanted(&file)) {
                collection::remove_file(&*self.env.disk, &path)?;
            }
        }
        Ok(())
    }
}

fn verify(env: &Env, path: &Path, expected: FileEntry) -> Result<()> {
    match env.sealing {
        Some(_) => segment::verify_file(env, path, expected),
        // A directory of backups is nobody's database, and has no keys to look with.
        None => segment::verify_stored(env, path, expected),
    }
}

pub(super) fn tmp_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

fn copy_bytes(
    from: Place<'_>,
    file: &FileId,
    expected: FileEntry,
    env: &Env,
    to: &Path,
    progress: &mut Progress<'_>,
) -> Result<()> {
    let stop: &Stop = &progress.job.stop.clone();
    let source_path = from.path(file);
    let source = from.env.disk.open(&source_path, Access::Read);
    let source = source.map_err(StorageError::io("open", &source_path))?;
    match env.disk.remove_file(to) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        other => other.map_err(StorageError::io("remove_file", to))?,
    }
    let target = env.disk.create(to);
    let target = target.map_err(StorageError::io("create", to))?;
    let mut buffer = vec![0; COPY_BYTES];
    let mut at = 0;
    while at < expected.bytes {
        stop.check()?;
        let wanted = (expected.bytes - at).min(COPY_BYTES as u64);
        let part = &mut buffer[..usize::try_from(wanted).expect("at most the buffer")];
        let read = source.read_at(at, part);
        let read = read.map_err(StorageError::io("read", &source_path))?;
        if read < part.len() {
            let short = StorageError::Corrupt {
                file: source_path,
                offset: at + read as u64,
                section: None,
                what: "file ends too early".to_owned(),
            };
            return Err(short.into());
        }
        let written = target.write_at(at, part);
        written.map_err(StorageError::io("write", to))?;
        if !planted(Bug::CopySkipsSync) {
            target.sync_data().map_err(StorageError::io("sync", to))?;
        }
        at += wanted;
        progress.add(wanted);
    }
    Ok(())
}
