//! Making a database of a version: its files, then the manifests and the catalog that list them.

use std::path::{Path, PathBuf};

use cairn_env::{Bug, Env, KillPoint, planted};
use cairn_storage::{DirectoryLock, StorageError, WrappedKeys};

use crate::catalog::{self, Catalog};
use crate::collection;
use crate::encryption;
use crate::error::{Code, Error, Result};
use crate::options::Options;
use crate::retained::collection_dir;
use crate::stop::Job;
use crate::verify::damaged;
use crate::versions::{self, VersionId, VersionRecord};

use super::files::{Place, bytes_of};
use super::record::{self, BackupRecord};
use super::{copy_all, existing, files_of, is_gone, lock, no_backup};

/// What was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestoreInfo {
    /// The version that the new database has.
    pub version: u64,
    /// Files that were copied.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// Makes a database in `target`, which must be empty or absent, of a backup in the directory
/// `source`: the newest, the one of this id, or the newest of a version. Where `source` is a
/// database, of a recorded version. It is a database of its own, with its logs beside the data; of
/// an encrypted one it is encrypted as that was, and the options have the key. The job hears bytes.
///
/// What a killed restore leaves does not open; the next one into the same target starts over.
///
/// # Errors
/// `ERR_ALREADY_EXISTS` when the target is not empty, `ERR_NOT_FOUND` when there is no such backup or
/// it was pruned, or the version let go, meanwhile,
/// `ERR_INVALID_ARGUMENT` when the key does not fit, `ERR_CORRUPT` naming a damaged file, `ERR_NO_SPACE`, `ERR_IO`; as the job's stop. Then the
/// target is as it was.
pub fn restore(
    env: &Env,
    source: &Path,
    target: &Path,
    id: Option<u64>,
    version: Option<&VersionId>,
    options: &Options,
    job: &Job,
) -> Result<RestoreInfo> {
    let source = Place { env, dir: source };
    let Chosen {
        origin,
        version,
        keys,
    } = match existing(env, source.dir) {
        Ok(backups) => choose(backups, id, version, options)?,
        Err(missing) => choose_recorded(source, id, version, options)?.ok_or(missing)?,
    };
    let files = files_of(&version);
    let mut target = Target::claim(env, target, options)?;
    let restored = target.unlock(keys, options).and_then(|()| {
        let place = target.place();
        copy_all(source, place, &files, job)?;
        job.stop.check()?;
        lay_out(place.env, place.dir, &version)
    });
    let restored = restored.map_err(|error| unless_gone(source, origin, error));
    target.settle(restored)?;
    Ok(RestoreInfo {
        version: version.version,
        files: files.len() as u64,
        bytes: bytes_of(&files),
    })
}

/// Where a version was found, by its number there.
#[derive(Clone, Copy)]
enum ChosenFrom {
    Backups(u64),
    /// Of a database.
    Versions(u64),
}

/// What is restored, and the data keys of its files.
struct Chosen {
    origin: ChosenFrom,
    version: VersionRecord,
    keys: Option<WrappedKeys>,
}

/// The error, unless it is that the backup was pruned, or the version let go, meanwhile.
fn unless_gone(source: Place<'_>, origin: ChosenFrom, error: Error) -> Error {
    if error.code() != Code::Corrupt {
        return error;
    }
    match origin {
        ChosenFrom::Backups(id) if is_gone(source, id).unwrap_or(false) => {
            no_backup().number("id", id)
        }
        ChosenFrom::Versions(number)
            if versions::list(source.env, source.dir).is_ok_and(|all| !all.contains(&number)) =>
        {
            Error::new(Code::NotFound, "the version was let go meanwhile").number("number", number)
        }
        _ => error,
    }
}

fn choose(
    source: Place<'_>,
    id: Option<u64>,
    version: Option<&VersionId>,
    options: &Options,
) -> Result<Chosen> {
    let open = |record: &BackupRecord| -> Result<Chosen> {
        Ok(Chosen {
            origin: ChosenFrom::Backups(record.id),
            version: record.version(source.env, source.dir, options)?,
            keys: record.keys(),
        })
    };
    let ids = record::list(source.env, source.dir)?;
    let newest_first = ids.into_iter().rev();
    let Some(version) = version else {
        let mut wanted = newest_first.filter(|one| id.is_none_or(|id| id == *one));
        let found = wanted.next().ok_or_else(|| match id {
            Some(id) => no_backup().number("id", id),
            None => no_backup(),
        })?;
        return match record::load(source.env, source.dir, found) {
            Ok(record) => open(&record),
            Err(error) => Err(unless_gone(source, ChosenFrom::Backups(found), error)),
        };
    };
    let mut refused = None;
    for one in newest_first.filter(|one| id.is_none_or(|id| id == *one)) {
        // A damaged one may be the one that is meant, but nobody can tell.
        let Ok(record) = record::load(source.env, source.dir, one) else {
            continue;
        };
        let fits = match version {
            VersionId::Lsn(number) => record.version == *number,
            VersionId::Time(ms) => record.version_unix_ms <= *ms,
            VersionId::Name(name) if record.name.as_ref() == Some(name) => true,
            // The name of a version is as secret as those of collections.
            VersionId::Name(name) => match open(&record) {
                Ok(chosen) if chosen.version.name.as_ref() == Some(name) => return Ok(chosen),
                Err(error) if error.code() == Code::InvalidArgument => {
                    refused = Some(error);
                    false
                }
                _ => false,
            },
        };
        if fits {
            return open(&record);
        }
    }
    Err(refused.unwrap_or_else(no_backup))
}

/// A recorded version of a database in this place, which may be open, or of what somebody copied
/// of one: files that a recorded version lists are never removed or changed.
fn choose_recorded(
    source: Place<'_>,
    id: Option<u64>,
    version: Option<&VersionId>,
    options: &Options,
) -> Result<Option<Chosen>> {
    let numbers = versions::list(source.env, source.dir)?;
    if numbers.is_empty() {
        return Ok(None);
    }
    let mut env = source.env.clone();
    let unlocked = encryption::unlock(&mut env, source.dir, options)?;
    encryption::check(source.dir, options, unlocked.is_some())?;
    let newest_first = numbers.into_iter().rev();
    for number in newest_first.filter(|_| id.is_none()) {
        let record = versions::load(&env, source.dir, number);
        let fits = |record: &VersionRecord| match version {
            None => true,
            Some(VersionId::Lsn(wanted)) => record.version == *wanted,
            Some(VersionId::Name(name)) => record.name.as_ref() == Some(name),
            Some(VersionId::Time(ms)) => record.created_unix_ms <= *ms,
        };
        if let Ok(record) = record
            && fits(&record)
        {
            // Read after the last use of one: a rotation meanwhile only adds to them.
            let keys = match unlocked {
                Some(_) => WrappedKeys::read(&env, source.dir)?,
                None => None,
            };
            return Ok(Some(Chosen {
                origin: ChosenFrom::Versions(number),
                version: record,
                keys,
            }));
        }
    }
    Ok(None)
}

/// Publishes in `dir`, where the files of `version` are, a database that consists of them.
///
/// # Errors
/// `ERR_CORRUPT` when a collection has the last id that there is; what the disk says.
pub(crate) fn lay_out(env: &Env, dir: &Path, version: &VersionRecord) -> Result<()> {
    let ids = version.collections.iter().map(|one| one.entry.id);
    let next_id = ids.max().unwrap_or(0).checked_add(1);
    let next_id = next_id.ok_or_else(|| damaged(dir.to_path_buf(), "an id above all"))?;
    for name in [catalog::DIR, crate::retained::COLLECTIONS] {
        collection::make_dir(&*env.disk, &dir.join(name))?;
    }
    collection::sync_dir(&*env.disk, dir)?;
    for one in &version.collections {
        let root = dir.join(collection_dir(one.entry.id));
        let mut manifest = one.manifest.clone();
        manifest.version = 1;
        collection::create(env, &root, &root.join("wal"), &manifest)?;
    }
    let place = Place { env, dir };
    place.hit(KillPoint::K29RecordWritten)?;
    let catalog = Catalog {
        version: 1,
        next_id,
        wal_dir: None,
        id: catalog::fresh_id(env),
        collections: version
            .collections
            .iter()
            .map(|one| one.entry.clone())
            .collect(),
    };
    catalog::publish(env, dir, &catalog)?;
    place.hit(KillPoint::K30RecordPublished)
}

/// An empty directory that is being made a database.
pub(crate) struct Target {
    env: Env,
    dir: PathBuf,
    /// It was not there before.
    is_new: bool,
    lock: DirectoryLock,
}

impl Target {
    /// Takes a directory that is empty, or not there.
    pub fn claim(env: &Env, dir: &Path, options: &Options) -> Result<Self> {
        let there = env.disk.entry(dir);
        let is_new = there.map_err(StorageError::io("entry", dir))?.is_none();
        collection::make_dirs(env, dir)?;
        let place = Place { env, dir };
        refuse_occupied(place)?;
        let lock = lock(place, options)?;
        refuse_occupied(place)?;
        let target = Self {
            env: env.clone(),
            dir: dir.to_path_buf(),
            is_new,
            lock,
        };
        let marked = empty(env, dir, |name| !is_lock(name)).and_then(|()| mark(env, dir));
        match marked {
            Ok(()) => Ok(target),
            Err(error) => Err(target.settle(Err(error)).expect_err("it was one")),
        }
    }

    /// Gives the database its data keys, and the key that opens them. Where there are none, there
    /// must be no key.
    pub fn unlock(&mut self, keys: Option<WrappedKeys>, options: &Options) -> Result<()> {
        encryption::check(&self.dir, options, keys.is_some())?;
        if let Some(keys) = keys {
            let unlocked = keys.unlock(&self.env, &self.dir, options.encryption.clone())?;
            keys.publish(&self.env, &self.dir)?;
            self.env.sealing = Some(unlocked as _);
        }
        Ok(())
    }

    pub(super) fn place(&self) -> Place<'_> {
        Place {
            env: &self.env,
            dir: &self.dir,
        }
    }

    /// Leaves what was made, or nothing of it.
    pub fn settle(self, made: Result<()>) -> Result<()> {
        let Err(error) = made else {
            // It counts by now. The mark is removed at the open, if not here.
            let _ = collection::remove_file(&*self.env.disk, &self.dir.join(MARK));
            return Ok(());
        };
        let Self {
            env,
            dir,
            is_new,
            lock,
        } = self;
        // The error is what counts; what stays makes the next try say that it is there.
        let _ = empty(&env, &dir, |name| !is_lock(name));
        if is_new {
            // The lock's file goes while it is held: who waits for it finds that it has no name any
            // more. From then on the directory may be somebody else's, and goes only if it is empty.
            let _ = empty(&env, &dir, is_lock);
            drop(lock);
            let _ = env.disk.remove_dir(&dir);
        }
        Err(error)
    }
}

/// Says that a directory is being made a database of: it does not open without a catalog.
pub(crate) const MARK: &str = "RESTORING";

fn mark(env: &Env, dir: &Path) -> Result<()> {
    if planted(Bug::RestoreUnmarked) {
        return Ok(());
    }
    let path = dir.join(MARK);
    let created = env.disk.create(&path);
    created.map_err(StorageError::io("create", &path))?;
    collection::sync_dir(&*env.disk, dir)
}

/// What is said of a directory with the mark.
pub(crate) const UNFINISHED: &str =
    "a restore or a repair into this directory did not end: begin it again";

/// Refuses to begin a new database where one was being restored: what is missing would seem never
/// to have been.
///
/// # Errors
/// `ERR_CORRUPT`.
pub(crate) fn refuse_unfinished(env: &Env, dir: &Path) -> Result<()> {
    let path = dir.join(MARK);
    let there = env.disk.entry(&path);
    if there.map_err(StorageError::io("entry", &path))?.is_none() {
        return Ok(());
    }
    Err(Error::new(Code::Corrupt, UNFINISHED).text("file", path.display().to_string()))
}

/// Names that a lock leaves.
pub(super) fn is_lock(name: &str) -> bool {
    name.starts_with("LOCK")
}

fn refuse_occupied(place: Place<'_>) -> Result<()> {
    let entries = collection::list(&*place.env.disk, place.dir)?;
    let has = |name: &str| entries.iter().any(|entry| entry.name == name);
    if has(MARK) && !has("CURRENT") && !has(record::DIR) {
        // Left by a restore that was killed.
        return Ok(());
    }
    match entries.iter().find(|entry| !is_lock(&entry.name)) {
        None => Ok(()),
        Some(entry) => Err(
            Error::new(Code::AlreadyExists, "the target must be empty or absent")
                .text("path", place.dir.display().to_string())
                .text("found", entry.name.as_str()),
        ),
    }
}

/// Removes what `goes` by its name; the mark last, so that what stays is still known for what it is.
fn empty(env: &Env, dir: &Path, goes: impl Fn(&str) -> bool) -> Result<()> {
    let mut entries = collection::list(&*env.disk, dir)?;
    entries.sort_by_key(|entry| (entry.name == MARK, entry.name != "CURRENT"));
    for entry in entries {
        let path = dir.join(&entry.name);
        if !goes(&entry.name) {
            continue;
        }
        if entry.kind == cairn_env::EntryKind::Dir {
            collection::remove_tree(env, &path)?;
        } else {
            collection::remove_file(&*env.disk, &path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::CatalogEntry;
    use crate::keys::KeyType;
    use crate::manifest::Manifest;
    use crate::schema::{Extra, Schema};
    use crate::versions::VersionedCollection;

    #[test]
    fn a_version_with_the_last_collection_id_there_is_makes_no_database() {
        let version = VersionRecord {
            collections: vec![VersionedCollection {
                entry: CatalogEntry::new(
                    u64::MAX,
                    "docs".to_owned(),
                    Schema {
                        key: KeyType::U64,
                        vectors: Vec::new(),
                        fields: Vec::new(),
                        extra: Extra::Reject,
                        expires_at: None,
                    },
                ),
                manifest: Manifest {
                    collection: u64::MAX,
                    ..Manifest::default()
                },
            }],
            ..VersionRecord::default()
        };
        let refused = lay_out(&Env::memory(1), Path::new("/r"), &version);
        assert_eq!(refused.unwrap_err().code(), Code::Corrupt);
    }
}
