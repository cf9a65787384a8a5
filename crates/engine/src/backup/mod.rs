//! Backups of a database in a directory: as many as are wanted, each a version, sharing the files
//! that they have in common.
//!
//! ```text
//! <target>/
//!   LOCK  LOCK.holder                       one at a time
//!   backups/<id:020>.bak                    what each backup consists of
//!   collections/<id:016x>/seg, del          immutable files under the names they have at home
//! ```
//!
//! Of an encrypted database the files stay encrypted, and the record has what opens them: the data
//! keys, wrapped with the key of that moment. So a rotation breaks no backup that was made before.
//!
//! A backup pins a version, copies the files that are not there yet, and publishes its record last,
//! atomically. So a crash leaves the earlier ones as they were, and files that no record lists,
//! which the next backup uses when they are whole and removes when nobody needs them.

mod archive;
mod files;
mod record;
mod restore;
mod tar;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use cairn_env::{Bug, EntryKind, Env, planted};
use cairn_storage::{DirectoryLock, Holder, StorageError, WrappedKeys};

use crate::collection;
use crate::database::Database;
use crate::error::{Code, Error, Result};
use crate::options::Options;
use crate::stop::Job;
use crate::verify::damaged;
use crate::versions::{Pinned, VersionId, VersionRecord, validate_version_name};

pub use archive::{Archive, Unarchive};
use files::{Files, Place, Progress, bytes_of};
use record::{BackupRecord, DIR, EXTENSION};
use restore::is_lock;
pub(crate) use restore::{MARK, Target, UNFINISHED, refuse_unfinished};
pub use restore::{RestoreInfo, restore};

/// What a backup is of, and what it is called.
#[derive(Clone, Debug, Default)]
pub struct BackupOptions {
    /// Something to call it by. Need not be unique.
    pub name: Option<String>,
    /// A recorded version instead of the state of this moment.
    pub version: Option<VersionId>,
    /// Compares every checksum of the files that are there from earlier backups, and copies those
    /// that are damaged again: earlier backups have them as well. Else their lengths and ends are
    /// looked at, which does not show what rots in between.
    pub verify: bool,
}

/// One backup.
#[derive(Debug)]
pub struct BackupInfo {
    /// Its number in the directory.
    pub id: u64,
    /// What it was called.
    pub name: Option<String>,
    /// The version that it has.
    pub version: u64,
    /// Wall time at which it was made, in milliseconds since 1970 UTC.
    pub created_unix_ms: u64,
    /// Files that it consists of.
    pub files: u64,
    /// Bytes of them.
    pub bytes_total: u64,
    /// Files that were copied for it; the others were there from earlier ones.
    pub files_copied: u64,
    /// Bytes of those.
    pub bytes_copied: u64,
    /// Why it cannot be used: its record is damaged.
    pub error: Option<Error>,
}

/// What a verification has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Backups.
    pub backups: u64,
    /// Files, each once.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
}

impl BackupInfo {
    fn of(record: &BackupRecord) -> Self {
        let files = record.files();
        Self {
            id: record.id,
            name: record.name.clone(),
            version: record.version,
            created_unix_ms: record.created_unix_ms,
            files: files.len() as u64,
            bytes_total: bytes_of(&files),
            files_copied: record.files_copied,
            bytes_copied: record.bytes_copied,
            error: None,
        }
    }

    fn damaged(id: u64, error: Error) -> Self {
        Self {
            id,
            name: None,
            version: 0,
            created_unix_ms: 0,
            files: 0,
            bytes_total: 0,
            files_copied: 0,
            bytes_copied: 0,
            error: Some(error),
        }
    }
}

/// Who works in a directory, for the next one who wants to.
fn holder(env: &Env, options: &Options) -> Holder {
    Holder {
        pid: options.pid,
        host: options.host.clone(),
        since_unix_ms: env.clock.unix_ms(),
    }
}

fn lock(place: Place<'_>, options: &Options) -> Result<DirectoryLock> {
    let me = holder(place.env, options);
    let lock = DirectoryLock::acquire(place.env, place.dir, Duration::ZERO, me);
    Ok(lock?)
}

fn files_of(version: &VersionRecord) -> Files {
    let all = version.collections.iter();
    all.flat_map(|one| one.manifest.listed()).collect()
}

impl Database {
    /// Copies the state of this moment, or a recorded version, into the directory `target` of `to`,
    /// which is made when missing. Only files that earlier backups there do not have are copied.
    /// Writes go on meanwhile. The job hears bytes.
    ///
    /// # Errors
    /// `ERR_INVALID_ARGUMENT` when the directory is a database, has something else than backups, or
    /// backups of another database,
    /// `ERR_LOCKED` when another backup runs there, `ERR_NOT_FOUND` when there is no such version,
    /// `ERR_CORRUPT` naming a damaged file, `ERR_NO_SPACE`, `ERR_IO`; as the job's stop. The
    /// backups that were there stay as they were.
    pub fn backup(
        &self,
        to: &Env,
        target: &Path,
        options: &BackupOptions,
        job: &Job,
    ) -> Result<BackupInfo> {
        if let Some(name) = &options.name {
            validate_version_name(name)?;
        }
        // What is encrypted here is copied as it is, and nothing else there is.
        let to = &Env {
            sealing: None,
            ..to.clone()
        };
        let place = Place {
            env: to,
            dir: target,
        };
        if options.version.is_none() {
            // Before anything is made there: who only reads has no state of this moment.
            drop(self.writable()?);
        }
        refuse_other_use(place)?;
        let database = self.state()?.catalog.id.clone();
        collection::make_dirs(to, &target.join(DIR))?;
        let _alone = lock(place, &self.options)?;
        // A restore may have claimed it meanwhile.
        refuse_other_use(place)?;
        let earlier = Earlier::read(place)?;
        let id = earlier.next_id(place)?;
        earlier.refuse_another(&database)?;
        job.stop.check()?;
        let Pinned { record, hold } = match &options.version {
            Some(version) => self.pin(version)?,
            None => self.pin_now()?,
        };
        let files = files_of(&record);
        earlier.refuse_fork(&files)?;
        let mut missing = Files::new();
        for (file, &expected) in &files {
            job.stop.check()?;
            let is_whole = place.has(file, expected)
                && (!options.verify || place.verify(file, expected).is_ok());
            if !is_whole {
                missing.insert(file.clone(), expected);
            }
        }
        let mut made = BackupRecord {
            id,
            name: options.name.clone(),
            created_unix_ms: to.clock.unix_ms(),
            database,
            files_copied: missing.len() as u64,
            bytes_copied: bytes_of(&missing),
            ..BackupRecord::default()
        };
        made.set_version(&self.env, &record)?;
        made.set_keys(self.wrapped_keys()?);
        let here = Place {
            env: &self.env,
            dir: &self.dir,
        };
        let copy = || {
            copy_all(here, place, &missing, job)?;
            // Those that were there may have been left by a crash, their names not synced.
            place.sync_dirs(&files)
        };
        let publish = || record::publish(to, target, &made);
        let copied = if planted(Bug::BackupBeforeFiles) {
            publish().and_then(|()| copy())
        } else {
            copy().and_then(|()| publish())
        };
        drop(hold);
        if let Err(error) = copied {
            earlier.undo(place, made.id, &missing);
            return Err(error);
        }
        // What fails here is tried again by the next one.
        let _ = earlier.remove_unlisted(place, |file| files.contains_key(file));
        Ok(BackupInfo::of(&made))
    }
}

impl Database {
    /// What opens the files of an encrypted database. To be asked after the last of them was made: a
    /// rotation meanwhile only adds to it.
    pub(super) fn wrapped_keys(&self) -> Result<Option<WrappedKeys>> {
        match self.keys {
            Some(_) => Ok(WrappedKeys::read(&self.env, &self.dir)?),
            None => Ok(None),
        }
    }
}

fn copy_all(from: Place<'_>, to: Place<'_>, files: &Files, job: &Job) -> Result<()> {
    to.make_dirs(files)?;
    let mut progress = Progress {
        job,
        done: 0,
        total: bytes_of(files),
    };
    for (file, expected) in files {
        job.stop.check()?;
        to.copy(from, file, *expected, &mut progress)?;
    }
    to.sync_dirs(files)
}

/// Makes sure that no backup of that id is there.
fn withdraw(place: Place<'_>, id: u64) -> Result<()> {
    cairn_storage::remove_version(place.env, place.dir, DIR, EXTENSION, id)?;
    collection::sync_dir(&*place.env.disk, &place.dir.join(DIR))
}

/// A directory that is a database, what is left of one, or was to become one, must not become a
/// directory of backups: what the one does not list the other removes.
fn refuse_other_use(place: Place<'_>) -> Result<()> {
    let disk = &*place.env.disk;
    let there = disk.entry(place.dir);
    match there.map_err(StorageError::io("entry", place.dir))? {
        None | Some(EntryKind::File) => return Ok(()),
        Some(EntryKind::Dir | EntryKind::Other) => {}
    }
    let entries = collection::list(disk, place.dir)?;
    let find = |name: &str| entries.iter().find(|entry| entry.name == name);
    let (found, message) = if let Some(mark) = find(MARK) {
        let message = "a restore into the target did not end: back up into another directory";
        (mark, message)
    } else if let Some(of_it) = find("CURRENT").or_else(|| find(crate::catalog::DIR)) {
        let message = "the target is a database: back up into another directory";
        (of_it, message)
    } else if let (None, Some(other)) = (
        find(DIR),
        entries.iter().find(|entry| !is_lock(&entry.name)),
    ) {
        let message = "the target is neither empty nor has it backups";
        (other, message)
    } else {
        return Ok(());
    };
    Err(Error::new(Code::InvalidArgument, message)
        .text("path", place.dir.display().to_string())
        .text("found", found.name.as_str()))
}

/// The backups that a directory has.
struct Earlier {
    all: Vec<(u64, Result<BackupRecord>)>,
}

impl Earlier {
    fn read(place: Place<'_>) -> Result<Self> {
        let ids = record::list(place.env, place.dir)?;
        let load = |id| (id, record::load(place.env, place.dir, id));
        let all = ids.into_iter().map(load).collect();
        Ok(Self { all })
    }

    fn whole(&self) -> impl Iterator<Item = &BackupRecord> {
        self.all
            .iter()
            .filter_map(|(_, record)| record.as_ref().ok())
    }

    fn next_id(&self, place: Place<'_>) -> Result<u64> {
        let last = self.all.last().map_or(0, |(id, _)| *id);
        let next = last.checked_add(1);
        let strange = || damaged(record::path(place.dir, last), "an id above all");
        next.ok_or_else(strange)
    }

    fn lists(&self, file: &crate::retained::FileId) -> bool {
        let has = |record: &BackupRecord| record.files().contains_key(file);
        self.has_damaged() || self.whole().any(has)
    }

    fn has_damaged(&self) -> bool {
        self.all.iter().any(|(_, record)| record.is_err())
    }

    fn refuse_another(&self, database: &str) -> Result<()> {
        match self.whole().find(|record| record.database != database) {
            None => Ok(()),
            Some(other) => Err(Error::new(
                Code::InvalidArgument,
                "the target has backups of another database",
            )
            .text("expected", database)
            .text("got", other.database.as_str())),
        }
    }

    /// Copies of one directory that were both written to since have files of one name and another
    /// content.
    fn refuse_fork(&self, files: &Files) -> Result<()> {
        for record in self.whole() {
            for (file, theirs) in record.files() {
                if files.get(&file).is_some_and(|ours| *ours != theirs) {
                    let message = "the target has backups of a copy of this database";
                    let refused = Error::new(Code::InvalidArgument, message);
                    return Err(refused.text("file", file.path().display().to_string()));
                }
            }
        }
        Ok(())
    }

    /// Room for whoever needs it, unless the record of a failed backup may be found by the next one.
    fn undo(&self, place: Place<'_>, id: u64, copied: &Files) {
        if withdraw(place, id).is_ok() {
            for file in copied.keys().filter(|file| !self.lists(file)) {
                let _ = place.env.disk.remove_file(&place.path(file));
            }
        }
    }

    /// Removes files that no backup lists and that are not `wanted`. None, as long as there is a
    /// backup of which nobody knows what it lists.
    fn remove_unlisted(
        &self,
        place: Place<'_>,
        wanted: impl Fn(&crate::retained::FileId) -> bool,
    ) -> Result<()> {
        if self.has_damaged() {
            return place.remove_others(|_| true);
        }
        let mut listed = Files::new();
        let forgets = usize::from(planted(Bug::PruneTakesShared));
        for record in self.whole().skip(forgets) {
            listed.extend(record.files());
        }
        place.remove_others(|file| listed.contains_key(file) || wanted(file))
    }
}

/// All backups of a directory, oldest first; those that are damaged with their error.
///
/// # Errors
/// `ERR_NOT_FOUND` when there is no such directory; what the disk says.
pub fn list_backups(env: &Env, target: &Path) -> Result<Vec<BackupInfo>> {
    let place = existing(env, target)?;
    let info = |(id, record): (u64, Result<BackupRecord>)| match record {
        Ok(record) => BackupInfo::of(&record),
        Err(error) => BackupInfo::damaged(id, error),
    };
    Ok(Earlier::read(place)?.all.into_iter().map(info).collect())
}

/// Compares every checksum of one backup, or of all. The job hears bytes. Backups that are pruned
/// meanwhile are left out.
///
/// # Errors
/// `ERR_CORRUPT` naming file and offset of the first damage, or the file that is missing;
/// `ERR_NOT_FOUND`; as the job's stop.
pub fn verify_backup(env: &Env, target: &Path, id: Option<u64>, job: &Job) -> Result<Verified> {
    let place = existing(env, target)?;
    let mut verified = Verified::default();
    let mut files = Files::new();
    for one in record::list(env, target)? {
        if id.is_none_or(|id| id == one) {
            match record::load(env, target, one) {
                Ok(record) => files.extend(record.files()),
                Err(_) if is_gone(place, one)? => continue,
                Err(error) => return Err(error),
            }
            verified.backups += 1;
        }
    }
    if let Some(id) = id.filter(|_| verified.backups == 0) {
        return Err(no_backup().number("id", id));
    }
    let total = bytes_of(&files);
    for (file, expected) in &files {
        job.stop.check()?;
        if let Err(damage) = place.verify(file, *expected) {
            if Earlier::read(place)?.lists(file) {
                return Err(damage);
            }
            // It went with the last backup that had it.
            continue;
        }
        verified.files += 1;
        verified.bytes = verified.bytes.saturating_add(expected.bytes);
        if let Some(report) = &job.progress {
            report(verified.bytes, total);
        }
    }
    Ok(verified)
}

/// Removes all backups but the newest `keep` good ones, and the files that only those had. Good is
/// one whose files are all there, by length and footer. At least one stays, and those that are
/// damaged and newer than what is kept. Returns the ids of those that went.
///
/// # Errors
/// `ERR_LOCKED` when a backup runs there, `ERR_NOT_FOUND`, or what the disk says.
pub fn prune_backups(env: &Env, target: &Path, keep: usize, options: &Options) -> Result<Vec<u64>> {
    let place = existing(env, target)?;
    let _alone = lock(place, options)?;
    let is_good = |record: &BackupRecord| {
        let mut files = record.files().into_iter();
        files.all(|(file, expected)| place.has(&file, expected))
    };
    let mut good = 0;
    let mut needless = Vec::new();
    for (id, record) in Earlier::read(place)?.all.iter().rev() {
        if good >= keep.max(1) {
            needless.push(*id);
        } else if record.as_ref().is_ok_and(is_good) {
            good += 1;
        }
    }
    needless.reverse();
    // Files go when it is certain that no record of them comes back.
    needless.iter().try_for_each(|&id| withdraw(place, id))?;
    Earlier::read(place)?.remove_unlisted(place, |_| false)?;
    Ok(needless)
}

/// Ids of the keys that the backups in `source` need, or the database there: none where nothing is
/// encrypted. No key is needed to ask.
///
/// # Errors
/// What the disk says; `ERR_CORRUPT` of a database.
pub fn backup_key_ids(env: &Env, source: &Path) -> Result<BTreeSet<String>> {
    let Ok(place) = existing(env, source) else {
        return Ok(crate::encryption::key_id(env, source)?
            .into_iter()
            .collect());
    };
    let id = |record: &BackupRecord| record.key_id(source).transpose();
    let earlier = Earlier::read(place)?;
    earlier.whole().filter_map(id).collect()
}

fn existing<'a>(env: &'a Env, dir: &'a Path) -> Result<Place<'a>> {
    let backups = dir.join(DIR);
    let there = env.disk.entry(&backups);
    if there
        .map_err(StorageError::io("entry", &backups))?
        .is_none()
    {
        let missing = Error::new(Code::NotFound, "there are no backups");
        return Err(missing.text("path", dir.display().to_string()));
    }
    Ok(Place { env, dir })
}

/// Refuses to make a database of a directory of backups, which could take none any more.
pub(crate) fn refuse_backups(env: &Env, dir: &Path) -> Result<()> {
    // What cannot be listed is told by whoever needs it.
    if record::list(env, dir).is_ok_and(|ids| !ids.is_empty()) {
        let message = "this is a directory of backups: restore one into another directory";
        return Err(
            Error::new(Code::InvalidArgument, message).text("directory", dir.display().to_string())
        );
    }
    Ok(())
}

/// Whether a backup that was there is not any more.
fn is_gone(place: Place<'_>, id: u64) -> Result<bool> {
    Ok(!record::list(place.env, place.dir)?.contains(&id))
}

fn no_backup() -> Error {
    Error::new(Code::NotFound, "there is no such backup")
}
