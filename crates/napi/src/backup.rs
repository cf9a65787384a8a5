//! Backups, archives and what becomes of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_engine::{
    Archive, BackupInfo, BackupOptions, Code, Database, Error, Options, RestoreInfo, Result,
    Unarchive, Verified, backup_key_ids, list_backups, prune_backups, restore, verify_backup,
};
use cairn_env::{Env, Lane};
use napi::bindgen_prelude::{BigInt, Object, ToNapiValue, Uint8Array};
use napi_derive::napi;
use parking_lot::Mutex;

use crate::convert::to_size;
use crate::database::{BindingDatabase, BindingKey, given_key, given_keys, process_env};
use crate::error::BindingError;
use crate::task::{Ticket, job, spawn};
use crate::versions::{Version, version_id};

/// One backup.
#[napi(object)]
pub struct BindingBackup {
    /// Its number in the directory.
    pub id: f64,
    /// What it was called.
    pub name: Option<String>,
    /// The version that it has.
    pub version: BigInt,
    /// When it was made, in milliseconds since 1970 UTC.
    pub created: f64,
    /// Files of it.
    pub files: f64,
    /// Bytes of them.
    pub bytes_total: f64,
    /// Files that were copied for it.
    pub files_copied: f64,
    /// Bytes of those.
    pub bytes_copied: f64,
    /// Why it cannot be used.
    pub error: Option<BindingError>,
}

/// What was restored, or archived.
#[napi(object)]
pub struct BindingRestored {
    /// Version of the database.
    pub version: BigInt,
    /// Files of it.
    pub files: f64,
    /// Bytes of them.
    pub bytes: f64,
}

/// What was verified.
#[napi(object)]
pub struct BindingVerified {
    /// Backups.
    pub backups: f64,
    /// Files, each once.
    pub files: f64,
    /// Bytes of them.
    pub bytes: f64,
}

/// Who works in a directory.
#[napi(object)]
pub struct BindingWorker {
    /// Workers of the pool; heeded by the first call of the process.
    pub threads: u32,
    /// Name of this machine.
    pub host: String,
    /// Process id.
    pub pid: u32,
}

/// What is restored.
#[napi(object)]
pub struct BindingWanted {
    /// A backup, or any.
    pub id: Option<f64>,
    /// A version, or any.
    pub version: Option<Version>,
    /// Keys that may be needed.
    pub keys: Vec<BindingKey>,
}

impl BindingWorker {
    fn split(&self) -> (Env, Options) {
        let options = Options {
            host: self.host.clone(),
            pid: self.pid,
            ..Options::default()
        };
        (process_env(self.threads), options)
    }
}

#[napi]
impl BindingDatabase {
    /// Copies this moment, or a recorded version, into a directory of backups.
    #[napi]
    pub fn backup<'env>(
        &self,
        env: &'env napi::Env,
        target: String,
        name: Option<String>,
        version: Option<Version>,
        verify: bool,
        ticket: Ticket<'_>,
    ) -> napi::Result<Object<'env>> {
        let job = job(&ticket);
        let options = BackupOptions {
            name,
            version: version.map(version_id),
            verify,
        };
        // A database in memory is backed up to the disk as well.
        let disk = process_env(1);
        let work =
            move |database: &Database| database.backup(&disk, Path::new(&target), &options, &job);
        self.run(env, Lane::Job, work, BindingBackup::from)
    }

    /// Begins an archive of this moment, or of a recorded version.
    #[napi]
    pub fn archive<'env>(
        &self,
        env: &'env napi::Env,
        version: Option<Version>,
    ) -> napi::Result<Object<'env>> {
        let (version, world) = (version.map(version_id), self.env.clone());
        let work = move |database: &Database| database.archive(version.as_ref());
        self.run(env, Lane::Job, work, move |archive| BindingArchive {
            inner: Arc::new(Mutex::new(Some(archive))),
            env: world,
        })
    }
}

/// An archive that is being written.
#[napi]
pub struct BindingArchive {
    inner: Arc<Mutex<Option<Archive>>>,
    env: Env,
}

#[napi]
impl BindingArchive {
    /// What it has.
    #[napi]
    #[must_use]
    pub fn info(&self) -> Option<BindingRestored> {
        let inner = self.inner.lock();
        inner.as_ref().map(|archive| archive.info().into())
    }

    /// The next bytes, about so many; none at the end.
    #[napi]
    pub fn next<'env>(&self, env: &'env napi::Env, bytes_max: f64) -> napi::Result<Object<'env>> {
        let inner = Arc::clone(&self.inner);
        let work = move || match &mut *inner.lock() {
            Some(archive) => archive.next(to_size(bytes_max).max(1)),
            None => Err(ended()),
        };
        spawn(env, &self.env.threads, Lane::Job, work, Uint8Array::from)
    }

    /// Lets go of what it holds.
    #[napi]
    pub fn close<'env>(&self, env: &'env napi::Env) -> napi::Result<Object<'env>> {
        let inner = Arc::clone(&self.inner);
        let work = move || {
            drop(inner.lock().take());
            Ok(())
        };
        spawn(env, &self.env.threads, Lane::Blocking, work, |()| ())
    }
}

/// An archive that is being read into a directory.
#[napi]
pub struct BindingUnarchive {
    inner: Arc<Mutex<Option<Unarchive>>>,
    env: Env,
}

#[napi]
impl BindingUnarchive {
    /// Takes an empty or absent directory.
    #[napi]
    pub fn open<'env>(
        env: &'env napi::Env,
        target: String,
        worker: BindingWorker,
    ) -> napi::Result<Object<'env>> {
        let (world, options) = worker.split();
        let threads = Arc::clone(&world.threads);
        let work = move || {
            let reader = Unarchive::new(&world, &PathBuf::from(target), &options)?;
            Ok(Self {
                inner: Arc::new(Mutex::new(Some(reader))),
                env: world,
            })
        };
        spawn(env, &threads, Lane::Job, work, |reader| reader)
    }

    /// Takes the next bytes, which are copied before this returns.
    #[napi]
    pub fn write<'env>(&self, env: &'env napi::Env, bytes: &[u8]) -> napi::Result<Object<'env>> {
        let (inner, bytes) = (Arc::clone(&self.inner), bytes.to_vec());
        let work = move || match &mut *inner.lock() {
            Some(reader) => reader.write(&bytes),
            None => Err(ended()),
        };
        spawn(env, &self.env.threads, Lane::Job, work, |()| ())
    }

    /// Id of the key that it needs, once all of it was taken.
    #[napi]
    pub fn key_id<'env>(&self, env: &'env napi::Env) -> napi::Result<Object<'env>> {
        let inner = Arc::clone(&self.inner);
        let work = move || match &*inner.lock() {
            Some(reader) => reader.key_id(),
            None => Err(ended()),
        };
        spawn(env, &self.env.threads, Lane::Blocking, work, |id| id)
    }

    /// Makes the database.
    #[napi]
    pub fn finish<'env>(
        &self,
        env: &'env napi::Env,
        key: Option<BindingKey>,
    ) -> napi::Result<Object<'env>> {
        let inner = Arc::clone(&self.inner);
        let key = key.as_ref().map(given_key);
        let work = move || {
            let mut reader = inner.lock().take().ok_or_else(ended)?;
            if let Some(key) = key.transpose()? {
                reader.set_key(key);
            }
            reader.finish()
        };
        let threads = &self.env.threads;
        spawn(env, threads, Lane::Job, work, BindingRestored::from)
    }

    /// Gives up; the directory is as it was.
    #[napi]
    pub fn close<'env>(&self, env: &'env napi::Env) -> napi::Result<Object<'env>> {
        let inner = Arc::clone(&self.inner);
        let work = move || {
            drop(inner.lock().take());
            Ok(())
        };
        spawn(env, &self.env.threads, Lane::Blocking, work, |()| ())
    }
}

fn ended() -> Error {
    Error::new(Code::Closed, "the archive has ended")
}

/// Calls about directories of backups, which need no database.
#[napi]
pub struct BindingBackups;

#[napi]
impl BindingBackups {
    /// All backups of a directory, oldest first.
    #[napi]
    pub fn list<'env>(
        env: &'env napi::Env,
        target: String,
        worker: BindingWorker,
    ) -> napi::Result<Object<'env>> {
        let work = move |world: &Env, _: &Options| list_backups(world, Path::new(&target));
        run(env, &worker, work, |all| {
            all.into_iter().map(BindingBackup::from).collect::<Vec<_>>()
        })
    }

    /// Compares every checksum of one backup, or of all.
    #[napi]
    pub fn verify<'env>(
        env: &'env napi::Env,
        target: String,
        id: Option<f64>,
        worker: BindingWorker,
        ticket: Ticket<'_>,
    ) -> napi::Result<Object<'env>> {
        let job = job(&ticket);
        let id = id.map(|id| to_size(id) as u64);
        let work =
            move |world: &Env, _: &Options| verify_backup(world, Path::new(&target), id, &job);
        run(env, &worker, work, BindingVerified::from)
    }

    /// Removes all but the newest good ones; the ids of those that went.
    #[napi]
    pub fn prune<'env>(
        env: &'env napi::Env,
        target: String,
        keep: f64,
        worker: BindingWorker,
    ) -> napi::Result<Object<'env>> {
        let work = move |world: &Env, options: &Options| {
            prune_backups(world, Path::new(&target), to_size(keep), options)
        };
        run(env, &worker, work, |ids| {
            ids.into_iter().map(|id| id as f64).collect::<Vec<_>>()
        })
    }

    /// Makes a database of a backup.
    #[napi]
    pub fn restore<'env>(
        env: &'env napi::Env,
        source: String,
        target: String,
        wanted: BindingWanted,
        worker: BindingWorker,
        ticket: Ticket<'_>,
    ) -> napi::Result<Object<'env>> {
        let job = job(&ticket);
        let BindingWanted { id, version, keys } = wanted;
        let (id, version) = (id.map(|id| to_size(id) as u64), version.map(version_id));
        let keys = given_keys(&keys);
        let work = move |world: &Env, options: &Options| {
            let (source, target) = (Path::new(&source), Path::new(&target));
            let options = Options {
                encryption: keys?,
                ..options.clone()
            };
            restore(world, source, target, id, version.as_ref(), &options, &job)
        };
        run(env, &worker, work, BindingRestored::from)
    }

    /// Ids of the keys that a directory of backups needs, or a database.
    #[napi]
    pub fn key_ids<'env>(
        env: &'env napi::Env,
        source: String,
        worker: BindingWorker,
    ) -> napi::Result<Object<'env>> {
        let work = move |world: &Env, _: &Options| backup_key_ids(world, Path::new(&source));
        run(env, &worker, work, |ids| {
            ids.into_iter().collect::<Vec<_>>()
        })
    }
}

fn run<'env, R, T>(
    env: &'env napi::Env,
    worker: &BindingWorker,
    work: impl FnOnce(&Env, &Options) -> Result<R> + Send + 'static,
    to_js: impl FnOnce(R) -> T + Send + 'static,
) -> napi::Result<Object<'env>>
where
    R: Send + 'static,
    T: ToNapiValue + Send + 'static,
{
    let (world, options) = worker.split();
    let threads = Arc::clone(&world.threads);
    spawn(
        env,
        &threads,
        Lane::Job,
        move || work(&world, &options),
        to_js,
    )
}

impl From<BackupInfo> for BindingBackup {
    fn from(info: BackupInfo) -> Self {
        Self {
            id: info.id as f64,
            name: info.name,
            version: BigInt::from(info.version),
            created: info.created_unix_ms as f64,
            files: info.files as f64,
            bytes_total: info.bytes_total as f64,
            files_copied: info.files_copied as f64,
            bytes_copied: info.bytes_copied as f64,
            error: info.error.as_ref().map(BindingError::from),
        }
    }
}

impl From<RestoreInfo> for BindingRestored {
    fn from(info: RestoreInfo) -> Self {
        Self {
            version: BigInt::from(info.version),
            files: info.files as f64,
            bytes: info.bytes as f64,
        }
    }
}

impl From<Verified> for BindingVerified {
    fn from(verified: Verified) -> Self {
        Self {
            backups: verified.backups as f64,
            files: verified.files as f64,
            bytes: verified.bytes as f64,
        }
    }
}
