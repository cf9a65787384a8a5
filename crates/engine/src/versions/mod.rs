//! Versions of the whole database that can be opened again: by number, name or time.
//!
//! A version is a record of what the catalog and every manifest said at one moment (`cut.rs` has
//! how that moment is made). It costs the files that it lists and the current state does not.

mod record;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cairn_env::sync::MutexGuard;
use cairn_env::sync::atomic::{AtomicU64, Ordering};
use cairn_env::{Env, KillPoint};
use cairn_storage::StorageError;

use crate::catalog::Catalog;
use crate::collection::{self, Collection, Frozen, cut_all};
use crate::database::Database;
use crate::error::{Code, Error, Result};
use crate::retained::{Hold, Retained};
use crate::schema::validate_collection_name;

pub(crate) use record::{DIR, EXTENSION, VersionRecord, VersionedCollection, decode, list, load};

/// Automatic versions are at least so far apart, unless a commit asks for one.
const AUTOMATIC_EVERY: Duration = Duration::from_secs(60);

/// Which version is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionId {
    /// The one of this number.
    Lsn(u64),
    /// The one of this name.
    Name(String),
    /// The newest that was made at that time or before, in milliseconds since 1970 UTC.
    Time(u64),
}

/// A recorded version.
#[derive(Debug)]
pub struct VersionInfo {
    /// Every write up to this one is in it, and none after.
    pub version: u64,
    /// Versions without a name go by themselves, as the options say.
    pub name: Option<String>,
    /// Wall time at which it was made, in milliseconds since 1970 UTC; never before that of an
    /// older one.
    pub created_unix_ms: u64,
    /// Why it cannot be opened, if it is damaged.
    pub error: Option<Error>,
}

/// What the writer knows of the recorded versions.
#[derive(Default)]
pub(crate) struct Versions {
    recorded: BTreeMap<u64, Recorded>,
    /// When the last one was made by itself, in monotonic time.
    automatic_at: Option<Duration>,
}

/// One recorded version, and what keeps its files.
struct Recorded {
    info: VersionInfo,
    #[expect(dead_code, reason = "held")]
    hold: Option<Hold>,
}

impl VersionInfo {
    fn of(record: &VersionRecord) -> Self {
        Self {
            version: record.version,
            name: record.name.clone(),
            created_unix_ms: record.created_unix_ms,
            error: None,
        }
    }

    fn damaged(version: u64, error: Error) -> Self {
        Self {
            version,
            name: None,
            created_unix_ms: 0,
            error: Some(error),
        }
    }

    fn copy(&self) -> Self {
        Self {
            version: self.version,
            name: self.name.clone(),
            created_unix_ms: self.created_unix_ms,
            error: self.error.as_ref().map(Error::duplicate),
        }
    }
}

impl Versions {
    /// Removes what a crash left of a version that was being recorded, and makes sure that those
    /// that were are found again.
    pub fn settle(env: &Env, dir: &Path) -> Result<()> {
        let (disk, dir) = (&*env.disk, dir.join(DIR));
        let there = disk.entry(&dir).map_err(StorageError::io("entry", &dir))?;
        if there.is_none() {
            return Ok(());
        }
        for entry in collection::list(disk, &dir)? {
            if entry.name.ends_with(".tmp") {
                collection::remove_file(disk, &dir.join(&entry.name))?;
            }
        }
        collection::sync_dir(disk, &dir)
    }

    /// The recorded versions of the database whose files `retained` keeps. Those that cannot be
    /// read keep no other from being used, but nothing is removed as long as they are there.
    pub fn read(database: &Database, retained: &Arc<Retained>) -> Result<Self> {
        let mut versions = Self::default();
        for number in list(&database.env, &database.dir)? {
            let recorded = match load(&database.env, &database.dir, number) {
                Ok(record) => Recorded {
                    info: VersionInfo::of(&record),
                    hold: Some(Retained::hold(retained, record.files())),
                },
                Err(error) => Recorded {
                    info: VersionInfo::damaged(number, error),
                    hold: None,
                },
            };
            versions.recorded.insert(number, recorded);
        }
        retained.set_blind(versions.has_damaged());
        Ok(versions)
    }

    /// The number of the newest one.
    pub fn last(&self) -> u64 {
        self.recorded.keys().next_back().copied().unwrap_or(0)
    }

    fn has_damaged(&self) -> bool {
        self.recorded.values().any(|one| one.info.error.is_some())
    }

    fn infos(&self) -> impl DoubleEndedIterator<Item = &VersionInfo> {
        self.recorded.values().map(|recorded| &recorded.info)
    }
}

/// A version that is there as long as this is, recorded or not.
pub(crate) struct Pinned {
    pub record: VersionRecord,
    pub hold: Hold,
}

impl Database {
    /// Records the state of all collections at one moment as a version that can be opened again.
    /// What it has is durable. Writers are held while that moment is chosen, and go on while it is
    /// flushed.
    ///
    /// # Errors
    /// `ERR_ALREADY_EXISTS` when another version has the name, `ERR_INVALID_NAME`,
    /// `ERR_READ_ONLY`, `ERR_CLOSED`, `ERR_CORRUPT` when a collection cannot be opened, or what
    /// the disk says: then no version was made.
    pub fn snapshot(&self, name: Option<&str>) -> Result<VersionInfo> {
        let mut versions = self.recorded_versions.lock();
        if let Some(name) = name {
            validate_version_name(name)?;
            if versions
                .infos()
                .any(|info| info.name.as_deref() == Some(name))
            {
                let exists = Error::new(Code::AlreadyExists, "a version of this name exists");
                return Err(exists.text("name", name));
            }
        }
        self.record(&mut versions, name)
    }

    /// All recorded versions, oldest first; damaged ones with their error.
    ///
    /// # Errors
    /// `ERR_CLOSED`; of a reader, what the disk says.
    pub fn versions(&self) -> Result<Vec<VersionInfo>> {
        let versions = self.look_at_versions()?;
        Ok(versions.infos().map(VersionInfo::copy).collect())
    }

    /// Opens a recorded version for reading. Its files stay as long as it is open, also when the
    /// version is dropped meanwhile. It is closed by itself, not with this database.
    ///
    /// # Errors
    /// `ERR_NOT_FOUND` when there is none, `ERR_CORRUPT`, `ERR_CLOSED`, `ERR_IO`.
    pub fn at(&self, version: &VersionId) -> Result<Arc<Self>> {
        let Pinned { record, hold } = self.pin(version)?;
        let catalog = Catalog {
            version: 1,
            id: self.state()?.catalog.id.clone(),
            collections: record
                .collections
                .iter()
                .map(|one| one.entry.clone())
                .collect(),
            ..Catalog::default()
        };
        let counter = Arc::new(AtomicU64::new(record.version));
        let opened = Self::for_reading(self, catalog, counter, hold);
        for VersionedCollection { entry, manifest } in record.collections {
            opened.open_version_of(&entry, manifest);
        }
        Ok(Arc::new(opened))
    }

    /// Forgets a recorded version; files that nothing else lists go with it, or with the last
    /// database that is open at it.
    ///
    /// # Errors
    /// `ERR_NOT_FOUND`, `ERR_READ_ONLY`, `ERR_CLOSED`, or what the disk says.
    pub fn drop_version(&self, version: &VersionId) -> Result<()> {
        let mut versions = self.recorded_versions.lock();
        drop(self.writable()?);
        let number = find(&versions, version)?;
        self.forget(&mut versions, number)
    }

    /// Records a version without a name when the options ask for such versions, something was
    /// written since the last one, and that is a minute ago or more. To be called now and then
    /// while there are writes. Whether it did.
    ///
    /// # Errors
    /// As [`Database::snapshot`].
    pub fn record_when_due(&self) -> Result<bool> {
        self.record_automatic(AUTOMATIC_EVERY)
    }

    /// After a commit: what it covers is a version.
    pub(crate) fn record_after_commit(&self) {
        // What was committed is, whatever becomes of its version; statistics have the error.
        let _ = self.record_automatic(Duration::ZERO);
    }

    fn record_automatic(&self, every: Duration) -> Result<bool> {
        let options = &self.options;
        if options.retain_versions <= 1 && options.retain == Duration::ZERO {
            return Ok(false);
        }
        let mut versions = self.recorded_versions.lock();
        let now = self.env.clock.now();
        let is_early = versions.automatic_at.is_some_and(|at| now < at + every);
        if is_early || self.versions.load(Ordering::Relaxed) <= versions.last() {
            return Ok(false);
        }
        versions.automatic_at = Some(now);
        let recorded = self.record(&mut versions, None);
        recorded.inspect_err(|error| self.note_version_error(error))?;
        Ok(true)
    }

    fn note_version_error(&self, error: &Error) {
        *self.version_error.lock() = Some(error.to_string());
    }

    /// Keeps a version, recorded or not, for as long as the answer is there.
    pub(crate) fn pin(&self, version: &VersionId) -> Result<Pinned> {
        let versions = self.look_at_versions()?;
        let number = find(&versions, version)?;
        let record = load(&self.env, &self.dir, number)?;
        let hold = Retained::hold(&self.retained, record.files());
        self.pinned(Pinned { record, hold })
    }

    /// Keeps the state of this moment without recording it. A database that is open at a version
    /// has no other.
    pub(crate) fn pin_now(&self) -> Result<Pinned> {
        let versions = self.recorded_versions.lock();
        self.freeze_all(&versions, |last| last)
    }

    /// Cuts all collections at one moment; `number` makes the version's of that of the last write
    /// or version. Whoever drops a collection waits for the lock that
    /// `versions` is behind, so none goes meanwhile.
    fn freeze_all(&self, versions: &Versions, number: impl FnOnce(u64) -> u64) -> Result<Pinned> {
        let (entries, number, cuts) = {
            let state = self.writable()?;
            let entries = state.catalog.collections.clone();
            let mut opened: Vec<(u64, Arc<Collection>)> = Vec::new();
            for entry in &entries {
                opened.push((entry.id, state.find(&entry.name)?));
            }
            opened.sort_by_key(|&(id, _)| id);
            let all: Vec<_> = opened
                .into_iter()
                .map(|(_, collection)| collection)
                .collect();
            let number = || number(self.versions.load(Ordering::Relaxed));
            let (number, cuts) = cut_all(&all, number)?;
            let mut entries = entries;
            entries.sort_by_key(|entry| entry.id);
            (entries, number, cuts)
        };
        let mut hold = Retained::hold(&self.retained, Default::default());
        let mut collections = Vec::with_capacity(entries.len());
        for (entry, cut) in entries.into_iter().zip(cuts) {
            let Frozen {
                manifest,
                hold: its,
            } = cut.flush()?;
            hold.join(its);
            collections.push(VersionedCollection { entry, manifest });
        }
        let newest = versions.infos().map(|info| info.created_unix_ms).max();
        let record = VersionRecord {
            version: number,
            name: None,
            created_unix_ms: self.env.clock.unix_ms().max(newest.unwrap_or(0)),
            collections,
        };
        self.pinned(Pinned { record, hold })
    }

    fn pinned(&self, pinned: Pinned) -> Result<Pinned> {
        let passed = self.env.faults.hit(KillPoint::K27VersionPinned);
        passed.map_err(StorageError::io("fail_point", &self.dir))?;
        Ok(pinned)
    }

    fn record(&self, versions: &mut Versions, name: Option<&str>) -> Result<VersionInfo> {
        let recorded = &versions.recorded;
        let free = |last| {
            if recorded.contains_key(&last) {
                // Collections may have come, gone or changed their names without a write.
                return self.versions.fetch_add(1, Ordering::Relaxed) + 1;
            }
            last
        };
        let Pinned { mut record, hold } = self.freeze_all(versions, free)?;
        record.name = name.map(str::to_owned);
        // Once closed, the directory may be another writer's.
        let open = self.writable()?;
        collection::make_dir(&*self.env.disk, &self.dir.join(DIR))?;
        collection::sync_dir(&*self.env.disk, &self.dir)?;
        let (number, body) = (record.version, record.encode()?);
        if let Err(error) =
            cairn_storage::record(&self.env, &self.dir, DIR, EXTENSION, number, &body)
        {
            if self.remove_record(number).is_err() {
                // A restart may find it, and then it needs its files.
                hold.forget();
            }
            return Err(error.into());
        }
        drop(open);
        let info = VersionInfo::of(&record);
        let recorded = Recorded {
            info: info.copy(),
            hold: Some(hold),
        };
        versions.recorded.insert(number, recorded);
        *self.version_error.lock() = None;
        if name.is_none() {
            self.forget_old(versions);
        }
        Ok(info)
    }

    /// Forgets versions without a name that no option keeps. The newest one always stays.
    fn forget_old(&self, versions: &mut Versions) {
        let keep = self.options.retain_versions.max(1);
        let now = self.env.clock.unix_ms();
        let retain_ms = u64::try_from(self.options.retain.as_millis()).unwrap_or(u64::MAX);
        let unnamed = versions.infos().rev();
        let unnamed = unnamed.filter(|info| info.name.is_none() && info.error.is_none());
        // One that is that far ahead is of a clock that was wrong, or inherited from one: its time says
        // nothing, and the number of versions alone decides.
        let is_old = |info: &&VersionInfo| info.created_unix_ms.abs_diff(now) >= retain_ms;
        let old: Vec<u64> = unnamed
            .skip(keep)
            .filter(is_old)
            .map(|info| info.version)
            .collect();
        for number in old {
            if let Err(error) = self.forget(versions, number) {
                self.note_version_error(&error);
            }
        }
    }

    fn forget(&self, versions: &mut Versions, number: u64) -> Result<()> {
        self.remove_record(number)?;
        // Only now: as long as a restart may find the record, it needs its files.
        let damaged_before = versions.has_damaged();
        versions.recorded.remove(&number);
        if damaged_before {
            self.retained.set_blind(versions.has_damaged());
        }
        Ok(())
    }

    fn remove_record(&self, number: u64) -> Result<(), StorageError> {
        cairn_storage::remove_version(&self.env, &self.dir, DIR, EXTENSION, number)?;
        let dir = self.dir.join(DIR);
        let synced = self.env.disk.sync_dir(&dir);
        synced.map_err(StorageError::io("sync_dir", &dir))
    }

    /// What is recorded: as the writer knows it, or as a reader finds it now.
    fn look_at_versions(&self) -> Result<MutexGuard<'_, Versions>> {
        let mut versions = self.recorded_versions.lock();
        if self.state()?.is_reader() {
            *versions = Versions::read(self, &Retained::new(&self.env, &self.dir))?;
        }
        Ok(versions)
    }
}

fn find(versions: &Versions, version: &VersionId) -> Result<u64> {
    let fits = |info: &&VersionInfo| match version {
        VersionId::Lsn(number) => info.version == *number,
        VersionId::Name(name) => info.name.as_ref() == Some(name),
        VersionId::Time(ms) => info.error.is_none() && info.created_unix_ms <= *ms,
    };
    let found = versions.infos().rev().find(fits);
    found.map(|info| info.version).ok_or_else(|| {
        let missing = Error::new(Code::NotFound, "there is no such version");
        match version {
            VersionId::Lsn(number) => missing.number("version", *number),
            VersionId::Name(name) => missing.text("name", name.as_str()),
            VersionId::Time(ms) => missing.number("time", *ms),
        }
    })
}

/// Versions are named as collections are.
pub(crate) fn validate_version_name(name: &str) -> Result<()> {
    validate_collection_name(name)
}
