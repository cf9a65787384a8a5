//! A database that another process writes: opened for reading, and looked at again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cairn_env::Env;
use cairn_storage::{StorageError, read_current};

use crate::catalog::{self, Catalog};
use crate::collection::Collection;
use crate::database::{Database, Role};
use crate::encryption;
use crate::error::{Code, Error, Result};
use crate::options::Options;

/// Lists of collections that may replace each other during one look.
const TRIES: usize = 100;

impl Database {
    /// Opens the database in `dir` for reading, beside its writer if there is one. It shows what is
    /// durable there now; [`Database::refresh`] shows what became so since. Nothing is written, and
    /// no lock is taken.
    ///
    /// # Errors
    /// `ERR_NOT_FOUND` when no database is there, else as [`Database::open`].
    pub fn open_read_only(mut env: Env, dir: &Path, options: Options) -> Result<Arc<Self>> {
        let keys = encryption::unlock(&mut env, dir, &options)?;
        let catalogs = dir.join(catalog::DIR);
        let there = env.disk.entry(&catalogs);
        let current = match there.map_err(StorageError::io("entry", &catalogs))? {
            Some(_) => read_current(&env, dir)?,
            None => None,
        };
        if current.is_none() {
            return Err(Error::new(Code::NotFound, "no database is there")
                .text("path", dir.display().to_string()));
        }
        encryption::check(dir, &options, keys.is_some())?;
        let role = Role::Reader;
        let database = Self::with(env, dir, options, role, Catalog::default(), keys);
        *database.follows.lock() = true;
        // A collection that is damaged is reported when it is asked for.
        let _each_keeps_its_error = database.catch_up()?;
        Ok(Arc::new(database))
    }

    /// Shows what another process has made durable since the last look: every collection at its
    /// newest version, none at a mixture, and those that were created, renamed or dropped. What
    /// was acknowledged as synced before the call is seen. Returns the newest version seen.
    ///
    /// Versions of different collections may be of different moments. Snapshots that are held stay
    /// as they are. Where this process is the writer, all is seen already.
    ///
    /// # Errors
    /// `ERR_CLOSED`; `ERR_CORRUPT`, `ERR_UNSUPPORTED_FORMAT`, `ERR_IO`: the first of a collection;
    /// the others are looked at all the same. What was seen before stays.
    pub fn refresh(&self) -> Result<u64> {
        drop(self.state()?);
        let follows = self.follows.lock();
        if *follows {
            self.catch_up()??;
            return Ok(self.versions.load(Ordering::Relaxed));
        }
        // The counter may be ahead of what was acknowledged.
        let state = self.state()?;
        let seen = state.open.values().flatten().map(|open| open.version());
        Ok(seen.max().unwrap_or(0))
    }

    /// The outer error is that of the list of collections, the inner one the first of a collection.
    fn catch_up(&self) -> Result<Result<()>> {
        let mut outcome = Ok(Ok(()));
        for _ in 0..TRIES {
            let current = read_current(&self.env, &self.dir)?;
            outcome = self.look(current);
            // A collection that was dropped meanwhile is no error.
            if matches!(outcome, Ok(Ok(()))) || read_current(&self.env, &self.dir)? == current {
                break;
            }
        }
        outcome
    }

    /// One look at the catalog `current` and at every collection it lists.
    fn look(&self, current: Option<u64>) -> Result<Result<()>> {
        let known = self.state()?.catalog.clone();
        let known_version = known.version;
        let catalog = if Some(known.version) == current {
            known
        } else {
            catalog::read(&self.env, &self.dir)?.ok_or_else(|| StorageError::Missing {
                file: self.dir.join("CURRENT"),
            })?
        };
        let is_new = known_version != catalog.version;
        let mut outcome = Ok(());
        let mut opened = Vec::new();
        for entry in &catalog.collections {
            let open = match self.state()?.open.get(&entry.id) {
                Some(Ok(collection)) => Some(Arc::clone(collection)),
                _ => None,
            };
            let refreshed = match open {
                Some(collection) => {
                    // First: what was written since has its names.
                    if is_new {
                        collection.follow_structure(entry.structure()?);
                    }
                    collection.refresh().map(drop)
                }
                None => {
                    let made = self.open_following(entry, &catalog);
                    let refreshed = made.as_ref().map(drop).map_err(Error::duplicate);
                    opened.push((entry.id, made));
                    refreshed
                }
            };
            outcome = outcome.and(refreshed);
        }
        self.show(catalog, opened)?;
        Ok(outcome)
    }

    /// Makes `catalog` the one that counts, with the collections that were `opened` for it.
    fn show(&self, catalog: Catalog, opened: Vec<(u64, Result<Arc<Collection>>)>) -> Result<()> {
        let gone = {
            let mut state = self.state()?;
            state.open.extend(opened);
            if state.catalog.version == catalog.version {
                return Ok(());
            }
            for entry in &catalog.collections {
                if let Some(Ok(collection)) = state.open.get(&entry.id) {
                    collection.rename(&entry.name);
                }
            }
            let listed: BTreeSet<u64> = catalog.collections.iter().map(|c| c.id).collect();
            state.catalog = catalog;
            let open = std::mem::take(&mut state.open).into_iter();
            let (kept, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
                open.partition(|(id, _)| listed.contains(id));
            state.open = kept;
            gone
        };
        for collection in gone.into_values().flatten() {
            // As in the process that dropped it: so its handles answer.
            collection.mark_dropped();
            collection.abandon();
        }
        Ok(())
    }
}
