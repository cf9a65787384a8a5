//! A directory of collections with one writer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_env::sync::atomic::{AtomicU64, Ordering};
use cairn_env::sync::{Mutex, MutexGuard};
use cairn_env::{Bug, EntryKind, Env, planted};
use cairn_storage::{DataKeys, DirectoryLock, Holder, StorageError, SyncTimes};

use crate::backup::{MARK, refuse_backups, refuse_unfinished};
use crate::block_cache::BlockCache;
use crate::catalog::{self, Catalog, CatalogEntry};
use crate::collection::{self, Collection, Opening};
use crate::encryption::{self, KeyProvider};
use crate::error::{Code, Error, Result, closed, read_only};
use crate::expiry::Latest;
use crate::limits::COLLECTIONS_MAX;
use crate::manifest::{self, Manifest};
use crate::options::Options;
use crate::retained::{COLLECTIONS, Hold, Retained, collection_dir, dir_name};
use crate::schema::{Schema, refuse_device_name, validate_collection_name};
use crate::space::Unflushed;
use crate::stop::Job;
use crate::structure::Structure;
use crate::versions::Versions;

/// An open database.
///
/// Locks, in the order in which one thread may take them: `recorded_versions`, then `state`, then
/// those of collections.
pub struct Database {
    pub(crate) env: Env,
    pub(crate) dir: PathBuf,
    pub(crate) options: Options,
    pub(crate) versions: Arc<AtomicU64>,
    /// The wall clock as records with a time are hidden by it.
    latest: Arc<Latest>,
    unflushed: Unflushed,
    /// Whether another process writes here, whom this one follows; held while it does so, before
    /// `state`.
    pub(crate) follows: Mutex<bool>,
    pub(crate) retained: Arc<Retained>,
    pub(crate) blocks: Arc<BlockCache>,
    /// Of the logs of all collections.
    pub(crate) sync_times: Arc<SyncTimes>,
    pub(crate) recorded_versions: Mutex<Versions>,
    /// Why a version that should have come or gone by itself did not, the last time.
    pub(crate) version_error: Mutex<Option<String>>,
    state: Mutex<State>,
    /// Of an encrypted database; the environment seals with them.
    pub(crate) keys: Option<Arc<DataKeys>>,
}

pub(crate) struct State {
    /// `None` once closed.
    role: Option<Role>,
    /// Keeps the files of the version that this is open at.
    hold: Option<Hold>,
    pub(crate) catalog: Catalog,
    /// Collections by id; one that could not be opened keeps its error.
    pub(crate) open: BTreeMap<u64, Result<Arc<Collection>>>,
    /// A catalog could not be published: which one a restart finds is open, so nothing more is.
    poisoned: bool,
}

/// What this database may do with its directory.
pub(crate) enum Role {
    /// Everything, as long as it holds these locks: that of the directory and that of the logs, when
    /// they are elsewhere.
    Writer(
        #[expect(dead_code, reason = "held")] DirectoryLock,
        #[expect(dead_code, reason = "held")] Option<DirectoryLock>,
    ),
    /// Read, beside whoever else does anything.
    Reader,
}

/// One line of a listing.
#[derive(Debug)]
pub struct CollectionInfo {
    /// Its name.
    pub name: String,
    /// Its structure.
    pub schema: Schema,
    /// Declared fields whose index was dropped.
    pub unindexed: Vec<String>,
    /// Live records; 0 when it could not be opened.
    pub count: u64,
    /// Why it could not be opened.
    pub error: Option<Error>,
}

impl Database {
    /// Opens the database in `dir`, or creates it. Takes the directory's lock and recovers every
    /// collection; one that is damaged is reported when it is asked for.
    ///
    /// # Errors
    /// `ERR_LOCKED` naming the holder, `ERR_CORRUPT`, `ERR_UNSUPPORTED_FORMAT`, `ERR_IO`,
    /// `ERR_NO_SPACE`; `ERR_INVALID_ARGUMENT` when `dir` is no directory or one of backups, the log directory is
    /// another than the recorded one, or the key does not fit: a wrong one, none for an encrypted
    /// database, or one for a database that is not.
    pub fn open(mut env: Env, dir: &Path, options: Options) -> Result<Arc<Self>> {
        collection::make_dirs(&env, dir)?;
        refuse_backups(&env, dir)?;
        let me = Holder {
            pid: options.pid,
            host: options.host.clone(),
            since_unix_ms: env.clock.unix_ms(),
        };
        let lock = DirectoryLock::acquire(&env, dir, options.lock_timeout, me.clone())?;
        let mut keys = encryption::unlock_to_write(&mut env, dir, &options)?;
        collection::make_dir(&*env.disk, &dir.join(catalog::DIR))?;
        collection::make_dir(&*env.disk, &dir.join(COLLECTIONS))?;
        let catalog = match catalog::read(&env, dir)? {
            Some(catalog) => {
                encryption::check(dir, &options, keys.is_some())?;
                catalog::settle(&env, dir, &catalog)?;
                check_wal_dir(&catalog, &options)?;
                // The restore that made it was killed at its very end.
                collection::remove_file(&*env.disk, &dir.join(MARK))?;
                catalog
            }
            None => {
                let first = Catalog {
                    version: 1,
                    next_id: 1,
                    wal_dir: options.wal_dir.as_ref().map(|d| d.display().to_string()),
                    id: catalog::fresh_id(&env),
                    collections: Vec::new(),
                };
                refuse_unfinished(&env, dir)?;
                refuse_lost_catalog(&env, dir)?;
                if let Some(logs) = logs_dir(&first) {
                    collection::make_dirs(&env, &logs)?;
                    collection::sync_names_above(&env, &logs)?;
                }
                collection::sync_dir(&*env.disk, dir)?;
                collection::sync_names_above(&env, dir)?;
                encryption::begin(&mut env, dir, &options, &mut keys)?;
                catalog::publish(&env, dir, &first)?;
                first
            }
        };
        // A copy of this database has the same directory of logs, and must not be open beside it.
        let logs_lock = match logs_dir(&catalog) {
            Some(logs) => Some(DirectoryLock::acquire(
                &env,
                &logs,
                options.lock_timeout,
                me,
            )?),
            None => None,
        };
        let role = Role::Writer(lock, logs_lock);
        let database = Self::with(env, dir, options, role, catalog, keys);
        Versions::settle(&database.env, dir)?;
        let recorded = Versions::read(&database, &database.retained)?;
        // A version may have a higher number than any write.
        let counter = &database.versions;
        counter.fetch_max(recorded.last(), Ordering::Relaxed);
        *database.recorded_versions.lock() = recorded;
        database.open_all()?;
        Ok(Arc::new(database))
    }

    /// A database that has opened none of its collections yet.
    pub(crate) fn with(
        env: Env,
        dir: &Path,
        options: Options,
        role: Role,
        catalog: Catalog,
        keys: Option<Arc<DataKeys>>,
    ) -> Self {
        Self {
            retained: Retained::new(&env, dir),
            blocks: BlockCache::new(options.block_cache_bytes_effective()),
            sync_times: Arc::default(),
            env,
            dir: dir.to_path_buf(),
            options,
            versions: Arc::new(AtomicU64::new(0)),
            latest: Arc::default(),
            unflushed: Unflushed::default(),
            follows: Mutex::new(false),
            recorded_versions: Mutex::default(),
            version_error: Mutex::default(),
            state: Mutex::new(State {
                role: Some(role),
                hold: None,
                catalog,
                open: BTreeMap::new(),
                poisoned: false,
            }),
            keys,
        }
    }

    /// Wraps the data keys with the current key of `provider`, which opens the database from now
    /// on, and seals new files with a new data key. Files that are there stay as they are, under
    /// their data keys, until a merge replaces them.
    ///
    /// A crash leaves a database that opens with the old key or with the new one, whole.
    ///
    /// # Errors
    /// `ERR_INVALID_ARGUMENT` when the database is not encrypted, and naming `keyId` for another key under
    /// the id of the current one; `ERR_LIMIT_EXCEEDED` for an id that is empty or too long;
    /// `ERR_NO_SPACE`: nothing has changed. After `ERR_IO` either key may be the one that opens, and the
    /// next rotation needs a reopen.
    pub fn rotate_key(&self, provider: &Arc<dyn KeyProvider>) -> Result<()> {
        // Held to the end: the directory must not be freed meanwhile.
        let _state = self.writable()?;
        encryption::rotate(self.keys.as_ref(), provider)
    }

    /// A version of `base`, whose files `hold` keeps, without its collections.
    pub(crate) fn for_reading(
        base: &Self,
        catalog: Catalog,
        versions: Arc<AtomicU64>,
        hold: Hold,
    ) -> Self {
        let (env, options) = (base.env.clone(), base.options.clone());
        let keys = base.keys.clone();
        let mut database = Self::with(env, &base.dir, options, Role::Reader, catalog, keys);
        database.retained = Arc::clone(&base.retained);
        database.blocks = Arc::clone(&base.blocks);
        database.versions = versions;
        database.latest = Arc::clone(&base.latest);
        database.state.get_mut().hold = Some(hold);
        database
    }

    /// Opens what `manifest` says of a collection that the catalog lists.
    pub(crate) fn open_version_of(&self, entry: &CatalogEntry, manifest: Manifest) {
        let root = self.root_of(entry.id);
        let structure = entry.structure().map(Arc::new);
        let opened = structure.and_then(|structure| {
            let opening = self.opening(entry, &structure, &root, &root);
            collection::open_frozen(opening, manifest)
        });
        self.state.lock().open.insert(entry.id, opened);
    }

    /// Creates a collection.
    ///
    /// # Errors
    /// `ERR_ALREADY_EXISTS`, `ERR_INVALID_NAME`, `ERR_INVALID_ARGUMENT`, `ERR_LIMIT_EXCEEDED`.
    pub fn create_collection(&self, name: &str, schema: Schema) -> Result<Arc<Collection>> {
        validate_collection_name(name)?;
        schema.validate()?;
        let mut state = self.writable()?;
        if state.catalog.find(name).is_some() {
            return Err(
                Error::new(Code::AlreadyExists, "a collection of this name exists")
                    .text("name", name),
            );
        }
        self.create_locked(&mut state, name, schema)
    }

    /// Opens a collection that exists.
    ///
    /// # Errors
    /// `ERR_NOT_FOUND`; `ERR_CORRUPT` when its files are damaged.
    pub fn open_collection(&self, name: &str) -> Result<Arc<Collection>> {
        validate_collection_name(name)?;
        self.state()?.find(name)
    }

    /// Opens a collection, or creates it when it is missing and a schema is given.
    ///
    /// # Errors
    /// `ERR_SCHEMA_MISMATCH` naming the first difference, else as [`Database::open_collection`]
    /// and [`Database::create_collection`].
    pub fn collection(&self, name: &str, schema: Option<Schema>) -> Result<Arc<Collection>> {
        let Some(schema) = schema else {
            return self.open_collection(name);
        };
        validate_collection_name(name)?;
        schema.validate()?;
        let state = self.state()?;
        if let Some(entry) = state.catalog.find(name) {
            entry.structure()?.shown.expect_equal(&schema)?;
            return state.find(name);
        }
        drop(state);
        let mut state = self.writable()?;
        match state.catalog.find(name) {
            // It was created meanwhile.
            Some(_) => {
                drop(state);
                self.collection(name, Some(schema))
            }
            None => self.create_locked(&mut state, name, schema),
        }
    }

    /// Drops a collection with everything in it, save what recorded versions have of it.
    ///
    /// # Errors
    /// `ERR_NOT_FOUND`; what the disk says. Once the catalog is published it is gone for good.
    pub fn drop_collection(&self, name: &str) -> Result<()> {
        validate_collection_name(name)?;
        // A version that is being made has it or has it not.
        let _no_version_is_made = self.recorded_versions.lock();
        let (id, wal_dir, dropped) = {
            let mut state = self.writable()?;
            let id = state.entry(name)?.id;
            let wal_dir = self.wal_dir_of(id, &state.catalog);
            let mut next = state.catalog.clone();
            next.collections.retain(|entry| entry.id != id);
            self.publish(&mut state, next)?;
            let dropped = state.open.remove(&id);
            if let Some(Ok(collection)) = &dropped {
                collection.mark_dropped();
            }
            (id, wal_dir, dropped)
        };
        if let Some(Ok(collection)) = dropped {
            collection.abandon();
        }
        self.retained.remove_collection(id)?;
        collection::remove_tree(&self.env, &wal_dir)
    }

    /// Gives a collection another name.
    ///
    /// # Errors
    /// `ERR_NOT_FOUND`, `ERR_ALREADY_EXISTS`, `ERR_INVALID_NAME`.
    pub fn rename_collection(&self, from: &str, to: &str) -> Result<()> {
        validate_collection_name(from)?;
        validate_collection_name(to)?;
        let mut state = self.writable()?;
        let id = state.entry(from)?.id;
        refuse_device_name(to)?;
        if state.catalog.find(to).is_some() {
            return Err(
                Error::new(Code::AlreadyExists, "a collection of this name exists")
                    .text("name", to),
            );
        }
        let mut next = state.catalog.clone();
        for entry in next.collections.iter_mut().filter(|entry| entry.id == id) {
            to.clone_into(&mut entry.name);
        }
        self.publish(&mut state, next)?;
        if let Some(Ok(collection)) = state.open.get(&id) {
            collection.rename(to);
        }
        Ok(())
    }

    /// Name, structure and count of every collection, by name.
    ///
    /// # Errors
    /// `ERR_CLOSED`.
    pub fn collections(&self) -> Result<Vec<CollectionInfo>> {
        let listed: Vec<_> = {
            let state = self.state()?;
            let entries = state.catalog.collections.iter();
            entries
                .map(|entry| (entry.clone(), state.find(&entry.name)))
                .collect()
        };
        let mut infos = Vec::new();
        for (entry, opened) in listed {
            let structure = entry.structure()?;
            let (count, error) = match opened.map(|collection| collection.snapshot()) {
                Ok(Ok(snapshot)) => (snapshot.count(), None),
                // It was dropped meanwhile, unless the database was closed.
                Ok(Err(_)) => {
                    drop(self.state()?);
                    continue;
                }
                Err(damage) => (0, Some(damage)),
            };
            infos.push(CollectionInfo {
                name: entry.name,
                unindexed: structure.shown_unindexed(),
                schema: structure.shown,
                count,
                error,
            });
        }
        infos.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(infos)
    }

    /// Makes everything acknowledged so far survive power loss and returns the version it covers.
    ///
    /// # Errors
    /// `ERR_CLOSED`, `ERR_NO_SPACE`, `ERR_IO`, `ERR_CORRUPT`: the first of a collection; the others
    /// are committed all the same.
    pub fn commit(&self) -> Result<u64> {
        self.refuse_reader()?;
        // Read first: what is written meanwhile may not be covered.
        let version = self.versions.load(Ordering::Relaxed);
        self.each(|collection| collection.commit().map(drop))?;
        self.record_after_commit();
        Ok(version)
    }

    /// Compacts every collection.
    ///
    /// # Errors
    /// As [`Collection::compact`]: the first of a collection; the others are compacted all the
    /// same.
    pub fn compact(&self, job: &Job) -> Result<()> {
        self.refuse_reader()?;
        self.each(|collection| collection.compact(job))
    }

    /// Makes everything acknowledged durable, ends background work and frees the directory. A
    /// second close does nothing.
    ///
    /// # Errors
    /// The first error of a collection's close; everything is closed all the same.
    pub fn close(&self) -> Result<()> {
        let mut state = self.state.lock();
        if state.role.is_none() {
            return Ok(());
        }
        let mut outcome = Ok(());
        for collection in std::mem::take(&mut state.open).into_values().flatten() {
            outcome = outcome.and(collection.close());
        }
        // The last merges have ended; who reads on removes nothing from here.
        if !state.is_reader() {
            self.retained.close();
        }
        if !planted(Bug::LockOutlivesClose) {
            state.role = None;
        }
        let hold = state.hold.take();
        drop(state);
        // Files may go with it.
        drop(hold);
        outcome
    }

    fn create_locked(
        &self,
        state: &mut State,
        name: &str,
        schema: Schema,
    ) -> Result<Arc<Collection>> {
        refuse_device_name(name)?;
        if state.catalog.collections.len() >= COLLECTIONS_MAX {
            return Err(
                Error::new(Code::LimitExceeded, "a database has too many collections")
                    .number("limit", COLLECTIONS_MAX),
            );
        }
        let id = state.catalog.next_id;
        let entry = CatalogEntry::new(id, name.to_owned(), schema);
        let dirs = [self.root_of(id), self.wal_dir_of(id, &state.catalog)];
        // A crash before the catalog was published may have left these.
        for dir in &dirs {
            collection::remove_tree(&self.env, dir)?;
        }
        let created = self.create_files(state, entry, &dirs);
        if created.is_err() && !state.poisoned {
            for dir in &dirs {
                // Best effort: the next creation or open removes what stays.
                let _ = collection::remove_tree(&self.env, dir);
            }
        }
        created
    }

    /// Makes the files of a collection, opens it and lists it in the catalog.
    fn create_files(
        &self,
        state: &mut State,
        entry: CatalogEntry,
        [root, wal_dir]: &[PathBuf; 2],
    ) -> Result<Arc<Collection>> {
        let id = entry.id;
        let first = Manifest {
            version: 1,
            collection: id,
            ..Manifest::default()
        };
        collection::create(&self.env, root, wal_dir, &first)?;
        let opened = self.open_entry(&entry, &state.catalog)?;
        let mut next = state.catalog.clone();
        next.next_id += 1;
        next.collections.push(entry);
        if let Err(error) = self.publish(state, next) {
            opened.abandon();
            return Err(error);
        }
        state.open.insert(id, Ok(Arc::clone(&opened)));
        Ok(opened)
    }

    pub(crate) fn publish(&self, state: &mut State, mut next: Catalog) -> Result<()> {
        next.version += 1;
        if let Err(error) = catalog::publish(&self.env, &self.dir, &next) {
            let (dir, extension) = (catalog::DIR, catalog::EXTENSION);
            let undone = error.code() == Code::NoSpace
                && manifest::withdraw(&self.env, &self.dir, dir, extension, next.version);
            state.poisoned = !undone;
            return Err(error);
        }
        state.catalog = next;
        Ok(())
    }

    fn open_all(&self) -> Result<()> {
        let mut state = self.state.lock();
        let catalog = state.catalog.clone();
        self.remove_dropped(&catalog)?;
        for entry in &catalog.collections {
            let opened = self.open_entry(entry, &catalog);
            state.open.insert(entry.id, opened);
        }
        Ok(())
    }

    /// Removes directories of collections that no catalog lists: dropped, or never published.
    fn remove_dropped(&self, catalog: &Catalog) -> Result<()> {
        let listed = |name: &str| catalog.collections.iter().any(|c| dir_name(c.id) == name);
        for dir in [self.dir.join(COLLECTIONS)]
            .into_iter()
            .chain(logs_dir(catalog).filter(|_| !catalog.id.is_empty()))
        {
            for entry in collection::list(&*self.env.disk, &dir)? {
                let ours =
                    u64::from_str_radix(&entry.name, 16).is_ok_and(|id| dir_name(id) == entry.name);
                if entry.kind != EntryKind::Dir || !ours || listed(&entry.name) {
                    continue;
                }
                match u64::from_str_radix(&entry.name, 16) {
                    // Versions may have files of it.
                    Ok(id) if dir == self.dir.join(COLLECTIONS) => {
                        self.retained.remove_collection(id)?;
                    }
                    _ => collection::remove_tree(&self.env, &dir.join(&entry.name))?,
                }
            }
        }
        Ok(())
    }

    fn open_entry(&self, entry: &CatalogEntry, catalog: &Catalog) -> Result<Arc<Collection>> {
        let (root, wal_dir) = (self.root_of(entry.id), self.wal_dir_of(entry.id, catalog));
        let structure = Arc::new(entry.structure()?);
        collection::open(self.opening(entry, &structure, &root, &wal_dir))
    }

    /// Opens a collection beside its writer.
    pub(crate) fn open_following(
        &self,
        entry: &CatalogEntry,
        catalog: &Catalog,
    ) -> Result<Arc<Collection>> {
        let (root, wal_dir) = (self.root_of(entry.id), self.wal_dir_of(entry.id, catalog));
        let structure = Arc::new(entry.structure()?);
        collection::open_following(self.opening(entry, &structure, &root, &wal_dir))
    }

    fn opening<'a>(
        &'a self,
        entry: &'a CatalogEntry,
        structure: &'a Arc<Structure>,
        root: &'a Path,
        wal_dir: &'a Path,
    ) -> Opening<'a> {
        Opening {
            env: &self.env,
            id: entry.id,
            name: &entry.name,
            structure,
            root,
            wal_dir,
            options: &self.options,
            versions: &self.versions,
            latest: &self.latest,
            unflushed: &self.unflushed,
            retained: &self.retained,
            blocks: &self.blocks,
            sync_times: &self.sync_times,
        }
    }

    pub(crate) fn root_of(&self, id: u64) -> PathBuf {
        self.dir.join(collection_dir(id))
    }

    fn wal_dir_of(&self, id: u64, catalog: &Catalog) -> PathBuf {
        match logs_dir(catalog) {
            Some(dir) => dir.join(dir_name(id)),
            None => self.root_of(id).join("wal"),
        }
    }

    pub(crate) fn state(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.state.lock();
        match state.role {
            Some(_) => Ok(state),
            None => Err(closed()),
        }
    }

    pub(crate) fn writable(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.state()?;
        state.refuse_reader()?;
        if state.poisoned {
            return Err(crate::error::poisoned());
        }
        Ok(state)
    }

    fn refuse_reader(&self) -> Result<()> {
        self.state()?.refuse_reader()
    }

    /// Does something with every collection and returns the first error; one that could not be
    /// opened keeps no other from its turn.
    fn each(&self, what: impl Fn(&Arc<Collection>) -> Result<()>) -> Result<()> {
        let collections: Vec<_> = {
            let state = self.state()?;
            state.open.keys().map(|id| state.share(*id)).collect()
        };
        let mut outcome = Ok(());
        for collection in collections {
            let done = collection.and_then(|collection| {
                let done = what(&collection);
                self.unless_dropped(&collection, done)
            });
            outcome = outcome.and(done.map(drop));
        }
        outcome
    }

    /// A collection that is closed while the database is open was dropped meanwhile: what it says
    /// then is about files that are being removed.
    pub(crate) fn unless_dropped<T>(
        &self,
        of: &Collection,
        result: Result<T>,
    ) -> Result<Option<T>> {
        match result {
            Err(_) if of.check_open().is_err() && self.state().is_ok() => Ok(None),
            other => other.map(Some),
        }
    }
}

impl State {
    pub(crate) fn is_reader(&self) -> bool {
        matches!(self.role, Some(Role::Reader))
    }

    /// An open collection, or why it is not.
    pub(crate) fn share(&self, id: u64) -> Result<Arc<Collection>> {
        let opened = self
            .open
            .get(&id)
            .expect("every listed collection was opened");
        opened.as_ref().map(Arc::clone).map_err(Error::duplicate)
    }

    fn refuse_reader(&self) -> Result<()> {
        if self.is_reader() {
            return Err(read_only());
        }
        Ok(())
    }

    fn entry(&self, name: &str) -> Result<&CatalogEntry> {
        self.catalog.find(name).ok_or_else(|| {
            Error::new(Code::NotFound, "no collection of this name").text("name", name)
        })
    }

    pub(crate) fn find(&self, name: &str) -> Result<Arc<Collection>> {
        self.share(self.entry(name)?.id)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Nobody is left to hear an error; what was acknowledged as synced is on disk.
        let _ = self.close();
    }
}

/// Where the logs of all collections stand, when not beside the data: a directory that no other
/// database uses.
pub(crate) fn logs_dir(catalog: &Catalog) -> Option<PathBuf> {
    let dir = catalog.wal_dir.as_ref()?;
    Some(Path::new(dir).join(&catalog.id))
}

/// Refuses to begin anew in a directory that has collections: what listed them has gone.
fn refuse_lost_catalog(env: &Env, dir: &Path) -> Result<()> {
    let entries = collection::list(&*env.disk, &dir.join(COLLECTIONS))?;
    if entries.iter().any(|entry| entry.kind == EntryKind::Dir) {
        let file = dir.join("CURRENT");
        return Err(StorageError::Missing { file }.into());
    }
    Ok(())
}

fn check_wal_dir(catalog: &Catalog, options: &Options) -> Result<()> {
    let given = options
        .wal_dir
        .as_ref()
        .map(|dir| dir.display().to_string());
    if given.is_none() || given == catalog.wal_dir {
        return Ok(());
    }
    let recorded = catalog
        .wal_dir
        .clone()
        .unwrap_or_else(|| "beside the data".into());
    Err(Error::new(
        Code::InvalidArgument,
        "the log directory is another than recorded",
    )
    .text("recorded", recorded)
    .text("given", given.unwrap_or_default()))
}
