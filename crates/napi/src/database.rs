//! The database class.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cairn_engine::encryption::{self, KEY_BYTES, Key, KeyProvider, NamedKey};
use cairn_engine::{Code, Collection, CollectionInfo, Database, Error, Options, Result};
use cairn_env::{Env, Lane, MemoryDisk};
use napi::bindgen_prelude::{BigInt, Function, Object, ToNapiValue, Uint8Array};
use napi_derive::napi;

use crate::collection::BindingCollection;
use crate::convert::{
    BindingSchema, compaction, compression, durability, to_engine_schema, to_size,
};
use crate::error::BindingError;
use crate::owned::Owned;
use crate::stats::{BindingDatabaseStats, milliseconds};
use crate::task::{Ticket, job, spawn};
use crate::verify::{BindingFinding, BindingReport, all};
use crate::writes::{Answers, Writes};

/// Settings of an open database; see the public options of the same names.
#[napi(object)]
pub struct BindingOptions {
    /// Beside whoever writes, instead of writing.
    pub read_only: bool,
    /// `memory`, `os` or `sync`.
    pub durability: String,
    /// Bytes.
    pub memory_budget: f64,
    /// Bytes.
    pub memtable_bytes: f64,
    /// Bytes; 0 for none.
    pub block_cache_bytes: f64,
    /// Whether vectors of segments stay in their files, mapped.
    pub memory_map: bool,
    /// `lz4` or `none`.
    pub compression: String,
    /// Directory, or beside the data.
    pub wal_dir: Option<String>,
    /// Bytes.
    pub wal_bytes_max: f64,
    /// `size-tiered`, `leveled` or `none`.
    pub compaction: String,
    /// Bytes a second; 0 for no limit.
    pub compaction_rate_max: f64,
    /// Milliseconds.
    pub idempotency_window_ms: f64,
    /// Workers of the pool; heeded by the first open of the process.
    pub threads: u32,
    /// Versions without a name that are kept.
    pub retain_versions: f64,
    /// Milliseconds for which they are kept at least.
    pub retain_ms: f64,
    /// Name of this machine.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// Key of an encrypted database.
    pub encryption: Option<BindingKey>,
}

/// A key of an encrypted database. It is copied before a call returns.
#[napi(object)]
pub struct BindingKey {
    /// What it is called.
    pub id: String,
    /// 32 bytes.
    pub key: Uint8Array,
}

/// The key, copied out of JavaScript's memory.
pub(crate) fn given_key(given: &BindingKey) -> Result<Arc<dyn KeyProvider>> {
    Ok(Arc::new(named_key(given)?))
}

/// Several keys, or none; one alone by any name.
pub(crate) fn given_keys(given: &[BindingKey]) -> Result<Option<Arc<dyn KeyProvider>>> {
    match given {
        [] => Ok(None),
        [one] => given_key(one).map(Some),
        several => {
            let keys: Result<Vec<_>> = several.iter().map(named_key).collect();
            Ok(Some(Arc::new(Keys(keys?))))
        }
    }
}

/// Keys that backups of different times need.
#[derive(Debug)]
struct Keys(Vec<NamedKey>);

impl KeyProvider for Keys {
    fn current(&self) -> NamedKey {
        self.0.last().expect("there are several").clone()
    }

    fn key(&self, id: &str) -> Option<Key> {
        let named = self.0.iter().find(|named| named.id == id)?;
        Some(named.key.clone())
    }
}

pub(crate) fn named_key(given: &BindingKey) -> Result<NamedKey> {
    let bytes: &[u8; KEY_BYTES] = given.key[..]
        .try_into()
        .map_err(|_| Error::new(Code::InvalidArgument, "a key has 32 bytes"))?;
    Ok(NamedKey {
        id: given.id.clone(),
        key: Key::new(bytes),
    })
}

/// A collection as a listing shows it.
#[napi(object)]
pub struct BindingCollectionInfo {
    /// Its name.
    pub name: String,
    /// Its structure.
    pub schema: BindingSchema,
    /// Its live records; 0 when it could not be opened.
    pub count: f64,
    /// Why it could not be opened.
    pub error: Option<BindingError>,
}

/// An open database.
#[napi]
pub struct BindingDatabase {
    pub(crate) inner: Owned<Database>,
    /// Where answers to writes go.
    pub(crate) writes: Arc<Writes>,
    pub(crate) env: Env,
}

/// The pool, clock and disk of this process. Made by the first open, never torn down: a thread
/// may be in the middle of a sync when the process leaves.
pub(crate) fn process_env(threads: u32) -> Env {
    static ENV: OnceLock<Env> = OnceLock::new();
    ENV.get_or_init(|| Env::os(threads.max(1) as usize)).clone()
}

#[napi]
impl BindingDatabase {
    /// Opens the directory at `path`, or a database in memory when there is none. Answers to
    /// writes go to `on_writes`.
    #[napi]
    pub fn open<'env>(
        env: &'env napi::Env,
        path: Option<String>,
        mut options: BindingOptions,
        on_writes: Function<'_, Answers, ()>,
    ) -> napi::Result<Object<'env>> {
        let writes = Writes::new(&on_writes)?;
        let mut world = process_env(options.threads);
        let dir = match path {
            Some(path) => PathBuf::from(path),
            None => {
                world.disk = Arc::new(MemoryDisk::new());
                PathBuf::from("/memory")
            }
        };
        let threads = Arc::clone(&world.threads);
        let key = options.encryption.take().as_ref().map(given_key);
        let work = move || {
            let key = key.transpose()?;
            let inner = open(world.clone(), &dir, &options, key)?;
            Ok(Self {
                inner: Owned::new(inner, &world.threads),
                writes,
                env: world,
            })
        };
        spawn(env, &threads, Lane::Blocking, work, |database| database)
    }

    /// Id of the key that the database at `path` was encrypted with; nothing when it was not.
    #[napi]
    pub fn key_id<'env>(
        env: &'env napi::Env,
        path: String,
        threads: u32,
    ) -> napi::Result<Object<'env>> {
        let world = process_env(threads);
        let threads = Arc::clone(&world.threads);
        let work = move || encryption::key_id(&world, Path::new(&path));
        spawn(env, &threads, Lane::Blocking, work, |id| id)
    }

    /// Has the database open with another key.
    #[napi]
    pub fn rotate_key<'env>(
        &self,
        env: &'env napi::Env,
        key: BindingKey,
    ) -> napi::Result<Object<'env>> {
        let key = given_key(&key);
        self.call(env, move |database| database.rotate_key(&key?), |()| ())
    }

    /// Makes a collection that must not exist.
    #[napi]
    pub fn create_collection<'env>(
        &self,
        env: &'env napi::Env,
        name: String,
        schema: BindingSchema,
    ) -> napi::Result<Object<'env>> {
        self.handle(env, move |database| {
            database.create_collection(&name, to_engine_schema(schema)?)
        })
    }

    /// Opens a collection that must exist.
    #[napi]
    pub fn open_collection<'env>(
        &self,
        env: &'env napi::Env,
        name: String,
    ) -> napi::Result<Object<'env>> {
        self.handle(env, move |database| database.open_collection(&name))
    }

    /// Opens a collection, or makes it when a schema is given.
    #[napi]
    pub fn collection<'env>(
        &self,
        env: &'env napi::Env,
        name: String,
        schema: Option<BindingSchema>,
    ) -> napi::Result<Object<'env>> {
        self.handle(env, move |database| {
            let schema = schema.map(to_engine_schema).transpose()?;
            database.collection(&name, schema)
        })
    }

    /// Removes a collection and its files.
    #[napi]
    pub fn drop_collection<'env>(
        &self,
        env: &'env napi::Env,
        name: String,
    ) -> napi::Result<Object<'env>> {
        let work = move |database: &Database| database.drop_collection(&name);
        self.call(env, work, |()| ())
    }

    /// Gives a collection another name.
    #[napi]
    pub fn rename_collection<'env>(
        &self,
        env: &'env napi::Env,
        from: String,
        to: String,
    ) -> napi::Result<Object<'env>> {
        let work = move |database: &Database| database.rename_collection(&from, &to);
        self.call(env, work, |()| ())
    }

    /// All collections, by name.
    #[napi]
    pub fn list_collections<'env>(&self, env: &'env napi::Env) -> napi::Result<Object<'env>> {
        self.call(env, Database::collections, |all| {
            all.into_iter()
                .map(BindingCollectionInfo::from)
                .collect::<Vec<_>>()
        })
    }

    /// Makes everything acknowledged durable; the version that is.
    #[napi]
    pub fn commit<'env>(&self, env: &'env napi::Env) -> napi::Result<Object<'env>> {
        self.call(env, Database::commit, BigInt::from)
    }

    /// Flushes, indexes and merges every collection.
    #[napi]
    pub fn compact<'env>(
        &self,
        env: &'env napi::Env,
        ticket: Ticket<'_>,
    ) -> napi::Result<Object<'env>> {
        let job = job(&ticket);
        let work = move |database: &Database| database.compact(&job);
        self.run(env, Lane::Job, work, |()| ())
    }

    /// Checks every byte of every file.
    #[napi]
    pub fn verify<'env>(
        &self,
        env: &'env napi::Env,
        ticket: Ticket<'_>,
    ) -> napi::Result<Object<'env>> {
        let job = job(&ticket);
        let work = move |database: &Database| database.verify(&job);
        self.run(env, Lane::Job, work, |report| BindingReport::from(&report))
    }

    /// Looks at everything, and tells what mends what is not as it should be.
    #[napi]
    pub fn doctor<'env>(
        &self,
        env: &'env napi::Env,
        wal_bytes_max: f64,
        ticket: Ticket<'_>,
    ) -> napi::Result<Object<'env>> {
        let (job, most) = (job(&ticket), to_size(wal_bytes_max) as u64);
        let work = move |database: &Database| database.doctor(most, &job);
        self.run(env, Lane::Job, work, |findings| {
            all::<_, BindingFinding>(&findings)
        })
    }

    /// Figures.
    #[napi]
    pub fn stats<'env>(&self, env: &'env napi::Env) -> napi::Result<Object<'env>> {
        self.call(env, Database::stats, |stats| {
            BindingDatabaseStats::from(&stats)
        })
    }

    /// The longest sync of a log that has ended since the last call or still runs, in milliseconds.
    #[napi]
    pub fn take_longest_sync(&self) -> f64 {
        milliseconds(self.inner.take_longest_sync())
    }

    /// Shows what another process has made durable; the newest version seen. What nobody awaits
    /// leaves the cores to the others, the writer among them.
    #[napi]
    pub fn refresh<'env>(
        &self,
        env: &'env napi::Env,
        is_awaited: bool,
    ) -> napi::Result<Object<'env>> {
        let lane = if is_awaited {
            Lane::Blocking
        } else {
            Lane::Job
        };
        self.run(env, lane, Database::refresh, BigInt::from)
    }

    /// Ends all work and frees the directory. Again is harmless.
    #[napi]
    pub fn close<'env>(&self, env: &'env napi::Env) -> napi::Result<Object<'env>> {
        self.call(env, Database::close, |()| ())
    }

    fn handle<'env>(
        &self,
        env: &'env napi::Env,
        work: impl FnOnce(&Database) -> Result<Arc<Collection>> + Send + 'static,
    ) -> napi::Result<Object<'env>> {
        let (database, world) = (self.inner.clone(), self.env.clone());
        let writes = Arc::clone(&self.writes);
        self.call(env, work, move |inner| {
            BindingCollection::new(inner, database, writes, world)
        })
    }

    /// Runs a call that may wait, where nobody else has to wait for it.
    pub(crate) fn call<'env, R, T>(
        &self,
        env: &'env napi::Env,
        work: impl FnOnce(&Database) -> Result<R> + Send + 'static,
        to_js: impl FnOnce(R) -> T + Send + 'static,
    ) -> napi::Result<Object<'env>>
    where
        R: Send + 'static,
        T: ToNapiValue + Send + 'static,
    {
        self.run(env, Lane::Blocking, work, to_js)
    }

    pub(crate) fn run<'env, R, T>(
        &self,
        env: &'env napi::Env,
        lane: Lane,
        work: impl FnOnce(&Database) -> Result<R> + Send + 'static,
        to_js: impl FnOnce(R) -> T + Send + 'static,
    ) -> napi::Result<Object<'env>>
    where
        R: Send + 'static,
        T: ToNapiValue + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        let work = move || work(&inner);
        spawn(env, &self.env.threads, lane, work, to_js)
    }
}

fn open(
    world: Env,
    dir: &Path,
    options: &BindingOptions,
    key: Option<Arc<dyn KeyProvider>>,
) -> Result<Arc<Database>> {
    let open = if options.read_only {
        Database::open_read_only
    } else {
        Database::open
    };
    open(
        world,
        dir,
        Options {
            durability: durability(&options.durability)?,
            lock_timeout: Duration::ZERO, // the caller waits, off the pool
            memory_budget: to_size(options.memory_budget),
            memtable_bytes: to_size(options.memtable_bytes),
            block_cache_bytes: to_size(options.block_cache_bytes),
            memory_map: options.memory_map,
            compression: compression(&options.compression)?,
            encryption: key,
            wal_dir: options.wal_dir.as_ref().map(PathBuf::from),
            wal_bytes_max: to_size(options.wal_bytes_max) as u64,
            compaction: compaction(&options.compaction)?,
            compaction_rate_max: NonZeroU64::new(to_size(options.compaction_rate_max) as u64),
            idempotency_window: Duration::from_millis(to_size(options.idempotency_window_ms) as u64),
            retain_versions: to_size(options.retain_versions),
            retain: Duration::from_millis(to_size(options.retain_ms) as u64),
            host: options.host.clone(),
            pid: options.pid,
            ..Options::default()
        },
    )
}

impl From<CollectionInfo> for BindingCollectionInfo {
    fn from(info: CollectionInfo) -> Self {
        Self {
            name: info.name,
            schema: BindingSchema::from(&info.schema).without_indexes(info.unindexed),
            count: info.count as f64,
            error: info.error.as_ref().map(BindingError::from),
        }
    }
}
