//! Checking a directory that nobody has open.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_env::{Access, DirLock, EntryKind, Env};
use cairn_storage::{
    DataKeys, KEYS_DIR, KEYS_EXTENSION, KEYS_SUB, StorageError, check_keys, check_version,
    numbered, read_current, sealing_unread,
};

use crate::backup::{MARK, UNFINISHED};
use crate::catalog::{self, Catalog};
use crate::collection;
use crate::database::logs_dir;
use crate::encryption::KeyProvider;
use crate::error::{Code, Error, Result};
use crate::idempotency;
use crate::manifest::{self, Manifest};
use crate::retained::{COLLECTIONS, dir_name};
use crate::schema::Schema;
use crate::segment;
use crate::stop::Job;
use crate::versions;

use super::{Checker, Expected, ProblemKind, Report, Unlocked, Unreadable, VerifyOptions};

/// Checks every file of the database in `dir`, which need not open. Nothing is written; while it
/// runs, nobody else can open the directory for writing, unless its file `LOCK` is missing.
///
/// Every byte is checked but that of `LOCK` and `LOCK.holder`, of leftovers, and of what lies in a
/// recycled log file behind its last frame: none of these is ever read. Without the key of an encrypted
/// database its checksums are checked, and [`Report::encryption`] says so.
///
/// # Errors
/// `ERR_LOCKED` when a writer has it open (its own `verify` checks it), `ERR_NOT_FOUND` when there
/// is no directory, `ERR_INVALID_ARGUMENT` for a wrong key, or one for a database that is not
/// encrypted, `ERR_ABORTED`, `ERR_IO`, also when `LOCK` may not be read.
pub fn verify_directory(
    env: &Env,
    dir: &Path,
    options: &VerifyOptions,
    job: &Job,
) -> Result<Report> {
    let _lock = lock_quietly(env, dir)?;
    let mut env = env.clone();
    let unreadable = Unreadable::watch(&mut env);
    let encryption = unlock(&mut env, dir, options.encryption.as_ref())?;
    let mut report = verify_locked(&env, dir, encryption, job)?;
    report.problems.extend(unreadable.problems());
    Ok(report)
}

/// As [`verify_directory`], of a directory that is ours, and that `env` unlocks so far.
pub(crate) fn verify_locked(
    env: &Env,
    dir: &Path,
    encryption: Unlocked,
    job: &Job,
) -> Result<Report> {
    let mut total = 0;
    add_sizes(env, dir, &mut total);
    let mut checker = Checker::new(env, job, total);
    checker.report.encryption = encryption;
    if encryption == Unlocked::ChecksumsOnly {
        let what = "encrypted: checksums are checked, not what they cover";
        checker.note(ProblemKind::Sealed, dir.join(KEYS_DIR), what);
    }
    checker.database(dir)?;
    job.stop.check()?;
    Ok(checker.report)
}

/// Has `env` open what is encrypted in `dir`, as far as that can be done with `provider`. Damage of
/// `keys/` is none of its errors; a check tells it.
pub(crate) fn unlock(
    env: &mut Env,
    dir: &Path,
    provider: Option<&Arc<dyn KeyProvider>>,
) -> Result<Unlocked> {
    let keys = dir.join(KEYS_DIR);
    let there = env.disk.entry(&keys);
    if there.map_err(StorageError::io("entry", &keys))?.is_none() {
        // A database that lost its keys is damaged, and all of its files are told.
        let catalog = catalog::read(env, dir);
        return match provider {
            Some(_) if matches!(catalog, Ok(Some(_))) => Err(DataKeys::not_encrypted(dir).into()),
            _ => Ok(Unlocked::Clear),
        };
    }
    if let Some(provider) = provider {
        match DataKeys::salvage(env, dir, provider) {
            Ok(Some(keys)) => {
                env.sealing = Some(keys);
                return Ok(Unlocked::Decrypted);
            }
            Ok(None)
            | Err(
                StorageError::Corrupt { .. }
                | StorageError::Missing { .. }
                | StorageError::Unsupported { .. },
            ) => {}
            Err(error) => return Err(error.into()),
        }
    }
    env.sealing = Some(sealing_unread());
    Ok(Unlocked::ChecksumsOnly)
}

/// Takes the lock of a directory that is there, without making anything and without a right to write: its
/// files may be somebody else's. None is held where the disk is read-only and gives no locks, because nobody
/// else can write there either, and where there is no lock file to take: a writer that opens the directory
/// meanwhile makes one, and what it changes may be told as damage.
pub(crate) fn lock_quietly(env: &Env, dir: &Path) -> Result<Option<Box<dyn DirLock>>> {
    let there = env
        .disk
        .entry(dir)
        .map_err(StorageError::io("entry", dir))?;
    match there {
        None => {
            return Err(Error::new(Code::NotFound, "no database is there")
                .text("path", dir.display().to_string()));
        }
        Some(EntryKind::Dir) => {}
        Some(EntryKind::File | EntryKind::Other) => {
            return Err(
                Error::new(Code::InvalidArgument, "the path is not a directory")
                    .text("path", dir.display().to_string()),
            );
        }
    }
    let path = dir.join("LOCK");
    let there = env.disk.entry(&path);
    if there.map_err(StorageError::io("entry", &path))? != Some(EntryKind::File) {
        return Ok(None);
    }
    match env.disk.lock_existing(&path) {
        Ok(Some(lock)) => Ok(Some(lock)),
        Ok(None) => {
            let holder = cairn_storage::holder_of(env, dir);
            Err(StorageError::Locked { holder }.into())
        }
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(None),
        Err(error) => Err(StorageError::io("lock", &path)(error).into()),
    }
}

/// Bytes of all regular files below `dir`, as far as they can be seen: for progress alone.
fn add_sizes(env: &Env, dir: &Path, total: &mut u64) {
    for entry in env.disk.list(dir).unwrap_or_default() {
        let path = dir.join(&entry.name);
        match entry.kind {
            EntryKind::Dir => add_sizes(env, &path, total),
            // What cannot be opened is found later, and told.
            EntryKind::File => {
                let file = env.disk.open(&path, Access::Read);
                let bytes = file.and_then(|file| file.len()).unwrap_or(0);
                *total = total.saturating_add(bytes);
            }
            EntryKind::Other => {}
        }
    }
}

impl Checker<'_> {
    fn database(&mut self, dir: &Path) -> Result<()> {
        let names = self.names(dir, |entry| known_in_root(&entry.name))?;
        let names = names.unwrap_or_default();
        let current = self.inspect(read_current(self.env, dir).map_err(Error::from))?;
        self.report.files += u64::from(names.contains("CURRENT"));
        if names.contains(KEYS_DIR) {
            self.keys(dir, current.flatten().is_some())?;
        }
        if names.contains(versions::DIR) {
            self.records(dir)?;
        }
        let catalog = match current {
            Some(Some(version)) => self.catalog(dir, version)?,
            Some(None) => {
                self.no_catalog(dir, &names)?;
                None
            }
            None => None,
        };
        if names.contains(catalog::DIR) {
            let only = current.flatten();
            self.versions(&dir.join(catalog::DIR), catalog::EXTENSION, only)?;
        }
        let ids = if names.contains(COLLECTIONS) {
            self.collection_dirs(&dir.join(COLLECTIONS), catalog.as_ref())?
        } else {
            BTreeSet::new()
        };
        if let Some(logs) = catalog.as_ref().and_then(logs_dir) {
            self.logs(&logs, catalog.as_ref())?;
        }
        for entry in catalog.iter().flat_map(|catalog| &catalog.collections) {
            if !ids.contains(&entry.id) {
                let root = dir.join(COLLECTIONS).join(dir_name(entry.id));
                let what = "the directory of a collection is missing";
                self.note(ProblemKind::Missing, root, what);
            }
        }
        for id in ids {
            let root = dir.join(COLLECTIONS).join(dir_name(id));
            let listed = catalog
                .iter()
                .flat_map(|catalog| &catalog.collections)
                .find(|entry| entry.id == id);
            let elsewhere = catalog.as_ref().and_then(logs_dir);
            if listed.is_none() && (catalog.is_some() || self.looks_dropped(&root, id)?) {
                self.dropped_collection(&root, id)?;
                continue;
            }
            self.collection(&root, id, listed.map(|entry| &entry.schema), elsewhere)?;
            self.job.stop.check()?;
        }
        Ok(())
    }

    /// Checks the catalog of a database that is open. `now`: the version that counts.
    pub(crate) fn root(&mut self, dir: &Path, catalog: &Catalog, now: u64) -> Result<()> {
        self.names(dir, |entry| known_in_root(&entry.name))?;
        if self.env.sealing.is_some() {
            self.keys(dir, true)?;
        }
        let current = self.inspect(read_current(self.env, dir).map_err(Error::from))?;
        self.report.files += 1;
        if let Some(version) = current {
            if version != Some(now) {
                let what = "names another catalog than the one that counts";
                self.note(ProblemKind::Damaged, dir.join("CURRENT"), what);
            }
            self.catalog(dir, now)?;
        }
        if let Some(logs) = logs_dir(catalog) {
            self.logs(&logs, Some(catalog))?;
        }
        Ok(())
    }

    fn catalog(&mut self, dir: &Path, version: u64) -> Result<Option<Catalog>> {
        let (sub, ext) = (catalog::DIR, catalog::EXTENSION);
        let body = check_version(self.env, dir, sub, ext, version, self)?;
        let Some(body) = body else { return Ok(None) };
        self.report.files += 1;
        self.count(body.len() as u64);
        if self.is_blind() {
            return Ok(None);
        }
        self.inspect(catalog::decode(dir, version, &body))
    }

    /// Checks `keys/`, as far as that needs no key. `counts`: whether the database has a catalog, and so
    /// must have its keys.
    fn keys(&mut self, dir: &Path, counts: bool) -> Result<()> {
        let keys = dir.join(KEYS_DIR);
        let names = self.names(&keys, |entry| match entry.name.as_str() {
            "CURRENT" => Expected::File,
            "CURRENT.tmp" => Expected::Leftover,
            KEYS_SUB => Expected::Dir,
            _ => Expected::Foreign,
        })?;
        let Some(names) = names else { return Ok(()) };
        self.report.files += u64::from(names.contains("CURRENT"));
        let current = self.inspect(read_current(self.env, &keys).map_err(Error::from))?;
        match current {
            Some(Some(version)) => {
                self.report.files += 1;
                let bytes = check_keys(self.env, dir, version, self)?;
                self.count(bytes);
            }
            Some(None) if counts => {
                let what = "nothing says which key set counts";
                self.note(ProblemKind::Missing, keys.join("CURRENT"), what);
            }
            _ => {}
        }
        if names.contains(KEYS_SUB) {
            self.versions(&keys.join(KEYS_SUB), KEYS_EXTENSION, current.flatten())?;
        }
        Ok(())
    }

    /// Without CURRENT there may only be a database whose creation was cut short.
    fn no_catalog(&mut self, dir: &Path, names: &BTreeSet<String>) -> Result<()> {
        let mut more = false;
        for (sub, what) in [
            (catalog::DIR, EntryKind::File),
            (COLLECTIONS, EntryKind::Dir),
        ] {
            if names.contains(sub) {
                let sub_dir = dir.join(sub);
                let entries = cairn_storage::list_dir(&*self.env.disk, &sub_dir)?;
                let first = format!("{:020}.{}", 1, catalog::EXTENSION);
                more |= entries
                    .iter()
                    .any(|entry| entry.kind == what && entry.name != first);
            }
        }
        let mark = dir.join(MARK);
        let unfinished = self.env.disk.entry(&mark);
        if unfinished
            .map_err(StorageError::io("entry", &mark))?
            .is_some()
        {
            self.note(ProblemKind::Missing, dir.join("CURRENT"), UNFINISHED);
        } else if more || !names.contains(catalog::DIR) {
            let what = "nothing says which catalog counts";
            self.note(ProblemKind::Missing, dir.join("CURRENT"), what);
        }
        Ok(())
    }

    /// Looks at the names of versioned files; `only` is the one that counts and is checked
    /// elsewhere.
    fn versions(&mut self, dir: &Path, ext: &str, only: Option<u64>) -> Result<()> {
        self.names(dir, |entry| match numbered(&entry.name, ext) {
            Some(version) if only.is_none_or(|only| only == version) => Expected::File,
            Some(_) => Expected::Leftover,
            None => Expected::Foreign,
        })?;
        Ok(())
    }

    /// Ids that names in a directory say.
    fn ids_in(&self, dir: &Path) -> Result<Vec<u64>> {
        let entries = match cairn_storage::list_dir(&*self.env.disk, dir) {
            // Told when it is looked at.
            Err(StorageError::Corrupt { .. } | StorageError::Missing { .. }) => Vec::new(),
            other => other?,
        };
        Ok(entries.iter().filter_map(|it| id_of(&it.name)).collect())
    }

    /// Ids of the collections that have a directory, dropped ones that a version has among them.
    fn collection_dirs(&mut self, dir: &Path, catalog: Option<&Catalog>) -> Result<BTreeSet<u64>> {
        let listed = |id: u64| {
            catalog.is_none_or(|catalog| catalog.collections.iter().any(|entry| entry.id == id))
                || self.recorded.may_have(id)
        };
        let ids = self.ids_in(dir)?;
        let listed: BTreeSet<u64> = ids.into_iter().filter(|id| listed(*id)).collect();
        let names = self.names(dir, |entry| match id_of(&entry.name) {
            Some(id) if listed.contains(&id) => Expected::Dir,
            Some(_) => Expected::Leftover,
            None => Expected::Foreign,
        })?;
        let names = names.unwrap_or_default();
        Ok(names.iter().filter_map(|name| id_of(name)).collect())
    }

    /// Looks at the directory of logs that are elsewhere.
    fn logs(&mut self, dir: &Path, catalog: Option<&Catalog>) -> Result<()> {
        let listed =
            |id: u64| catalog.is_some_and(|c| c.collections.iter().any(|entry| entry.id == id));
        self.names(dir, |entry| match entry.name.as_str() {
            "LOCK" | "LOCK.holder" => Expected::File,
            "LOCK.holder.tmp" => Expected::Leftover,
            name => match id_of(name) {
                Some(id) if listed(id) => Expected::Dir,
                Some(_) => Expected::Leftover,
                None => Expected::Foreign,
            },
        })?;
        Ok(())
    }

    /// Checks a collection as its files lie; nobody writes them.
    pub(crate) fn collection(
        &mut self,
        root: &Path,
        id: u64,
        schema: Option<&Schema>,
        logs: Option<PathBuf>,
    ) -> Result<()> {
        let beside = logs.is_none();
        let names = self.names(root, |entry| match entry.name.as_str() {
            "CURRENT" => Expected::File,
            "CURRENT.tmp" => Expected::Leftover,
            manifest::DIR | "seg" | "del" | idempotency::DIR => Expected::Dir,
            "wal" if beside => Expected::Dir,
            _ => Expected::Foreign,
        })?;
        let names = names.unwrap_or_default();
        for dir in [manifest::DIR, "seg", "del"] {
            if !names.contains(dir) {
                let what = "a directory of a collection is missing";
                self.note(ProblemKind::Missing, root.join(dir), what);
            }
        }
        let (version, manifest) = self.manifest_and_version(root, id)?;
        if names.contains(manifest::DIR) {
            self.versions(&root.join(manifest::DIR), manifest::EXTENSION, version)?;
        }
        self.segments(root, id, manifest.as_ref(), schema, &names)?;
        self.versioned_files(root, id)?;
        if beside && self.is_blind() && !names.contains("wal") {
            let what = "the log is elsewhere, and where is encrypted: it is not checked";
            self.note(ProblemKind::Sealed, root.to_path_buf(), what);
            return Ok(());
        }
        let wal = logs.map_or_else(|| root.join("wal"), |logs| logs.join(dir_name(id)));
        let logs = self.names(&wal, |entry| match entry.name.as_str() {
            "next" | "spare" => Expected::Leftover,
            name if numbered(name, "wal").is_some() => Expected::File,
            _ => Expected::Foreign,
        })?;
        if let Some(logs) = logs {
            self.report.files += logs.len() as u64;
            let from_lsn = manifest.as_ref().map(|manifest| manifest.flushed_lsn);
            self.log(&wal, id, from_lsn, None, schema)?;
        }
        Ok(())
    }

    /// Whether a directory has no more than versions may hold of a collection that was dropped.
    fn looks_dropped(&self, root: &Path, id: u64) -> Result<bool> {
        for name in [manifest::DIR, "CURRENT"] {
            let path = root.join(name);
            let there = self.env.disk.entry(&path);
            if there.map_err(StorageError::io("entry", &path))?.is_some() {
                return Ok(false);
            }
        }
        Ok(self.recorded.may_have(id))
    }

    /// Checks what versions hold of a collection that was dropped.
    fn dropped_collection(&mut self, root: &Path, id: u64) -> Result<()> {
        let names = self.names(root, |entry| match entry.name.as_str() {
            "seg" | "del" => Expected::Dir,
            _ => Expected::Leftover,
        })?;
        let nothing = Manifest::default();
        let names = names.unwrap_or_default();
        self.segments(root, id, Some(&nothing), None, &names)?;
        self.versioned_files(root, id)
    }

    /// The manifest that counts, unless it is damaged.
    pub(crate) fn manifest(&mut self, root: &Path, id: u64) -> Result<Option<Manifest>> {
        let (_, manifest) = self.manifest_and_version(root, id)?;
        Ok(manifest)
    }

    /// As [`manifest`](Self::manifest), and which one counts, where that can be told.
    fn manifest_and_version(
        &mut self,
        root: &Path,
        id: u64,
    ) -> Result<(Option<u64>, Option<Manifest>)> {
        let current = read_current(self.env, root).map_err(Error::from);
        let Some(version) = self.inspect(current)? else {
            self.report.files += 1;
            return Ok((None, None));
        };
        let Some(version) = version else {
            let what = "nothing says which manifest counts";
            self.note(ProblemKind::Missing, root.join("CURRENT"), what);
            return Ok((None, None));
        };
        self.report.files += 2;
        let (sub, ext) = (manifest::DIR, manifest::EXTENSION);
        let body = check_version(self.env, root, sub, ext, version, self)?;
        let Some(body) = body else {
            return Ok((Some(version), None));
        };
        self.count(body.len() as u64);
        if self.is_blind() {
            return Ok((Some(version), None));
        }
        let manifest = self.inspect(manifest::decode(root, id, version, &body))?;
        Ok((Some(version), manifest))
    }

    fn segments(
        &mut self,
        root: &Path,
        id: u64,
        manifest: Option<&Manifest>,
        schema: Option<&Schema>,
        names: &BTreeSet<String>,
    ) -> Result<()> {
        let (segments, deletions) = (root.join("seg"), root.join("del"));
        let outcomes = root.join(idempotency::DIR);
        let mut listed = collection::listed_files(manifest);
        listed.extend(self.recorded.files(id));
        // Whether all is known that anything needs.
        let known = manifest.is_some() && !self.recorded.unknown;
        let dirs = [
            (&segments, "seg"),
            (&deletions, "del"),
            (&outcomes, idempotency::EXTENSION),
        ];
        for (dir, ext) in dirs {
            let name = dir.file_name().and_then(|name| name.to_str());
            if !name.is_some_and(|name| names.contains(name)) {
                continue;
            }
            let there = self.names(dir, |entry| {
                let counts = listed.contains(&entry.name);
                match Path::new(&entry.name).extension() == Some(ext.as_ref()) {
                    true if counts || !known => Expected::File,
                    true => Expected::Leftover,
                    false => Expected::Foreign,
                }
            })?;
            if !known {
                // Nothing says which of them count: their bytes are checked.
                let unlisted = there.unwrap_or_default();
                for name in unlisted.into_iter().filter(|name| !listed.contains(name)) {
                    self.segment(&dir.join(name), None, None)?;
                }
            }
        }
        for entry in manifest.iter().flat_map(|manifest| &manifest.segments) {
            let path = segment::segment_path(&segments, entry.id);
            self.segment(&path, Some(entry), schema)?;
            self.deletions(&deletions, entry)?;
        }
        if let Some(entry) = manifest.and_then(|manifest| manifest.outcomes.as_ref()) {
            self.outcomes(&outcomes, entry)?;
        }
        Ok(())
    }
}

fn known_in_root(name: &str) -> Expected {
    match name {
        "LOCK" | "LOCK.holder" | "CURRENT" => Expected::File,
        catalog::DIR | COLLECTIONS | KEYS_DIR | versions::DIR => Expected::Dir,
        "LOCK.holder.tmp" | "CURRENT.tmp" | MARK => Expected::Leftover,
        _ => Expected::Foreign,
    }
}

/// The id that a directory of a collection is named by.
fn id_of(name: &str) -> Option<u64> {
    let id = u64::from_str_radix(name, 16).ok()?;
    (dir_name(id) == name).then_some(id)
}
