//! Encryption at rest: who hands over keys, and which databases take one.
//!
//! The bytes are the storage crate's business; the engine hands it an environment that seals.

use std::path::Path;
use std::sync::Arc;

use cairn_env::{EntryKind, Env};
use cairn_storage::{DataKeys, KEYS_DIR, StorageError};

pub use cairn_storage::{KEY_BYTES, Key, KeyProvider, NamedKey};

use crate::collection;
use crate::error::{Code, Error, Result};
use crate::options::Options;

/// Id of the key that opens the database in `dir`; `None` for one that is not encrypted, or is not
/// there. Needs no key and writes nothing.
///
/// # Errors
/// `ERR_CORRUPT`, `ERR_UNSUPPORTED_FORMAT`, `ERR_IO`.
pub fn key_id(env: &Env, dir: &Path) -> Result<Option<String>> {
    let there = env.disk.entry(dir);
    match there.map_err(StorageError::io("entry", dir))? {
        Some(EntryKind::Dir) => Ok(cairn_storage::wrapping_key_id(env, dir)?),
        _ => Ok(None),
    }
}

/// The data keys of the database in `dir`, with which `env` seals and opens files from now on;
/// `None` where there are none.
pub(crate) fn unlock(
    env: &mut Env,
    dir: &Path,
    options: &Options,
) -> Result<Option<Arc<DataKeys>>> {
    let keys = DataKeys::open(env, dir, options.encryption.clone())?;
    env.sealing = keys.as_ref().map(|keys| Arc::clone(keys) as _);
    Ok(keys)
}

/// [`unlock`] for the holder of the directory's lock, who removes all key sets but this one.
pub(crate) fn unlock_to_write(
    env: &mut Env,
    dir: &Path,
    options: &Options,
) -> Result<Option<Arc<DataKeys>>> {
    let keys = unlock(env, dir, options)?;
    if let Some(keys) = &keys {
        keys.settle()?;
    }
    Ok(keys)
}

/// Encrypts a new database, where `options` have a key; else clears away what a crash left of one
/// that was to be encrypted, which would be missed from then on.
pub(crate) fn begin(
    env: &mut Env,
    dir: &Path,
    options: &Options,
    keys: &mut Option<Arc<DataKeys>>,
) -> Result<()> {
    if let (None, Some(provider)) = (&keys, &options.encryption) {
        let made = DataKeys::create(env, dir, provider)?;
        env.sealing = Some(Arc::clone(&made) as _);
        *keys = Some(made);
    } else if keys.is_none() {
        collection::remove_tree(env, &dir.join(KEYS_DIR))?;
        collection::sync_dir(&*env.disk, dir)?;
    }
    Ok(())
}

/// Refuses a key for a database that was found in clear. That an encrypted one has its key was seen
/// before its catalog was read.
pub(crate) fn check(dir: &Path, options: &Options, is_encrypted: bool) -> Result<()> {
    match &options.encryption {
        Some(_) if !is_encrypted => Err(DataKeys::not_encrypted(dir).into()),
        _ => Ok(()),
    }
}

/// Wraps the data keys anew.
pub(crate) fn rotate(keys: Option<&Arc<DataKeys>>, provider: &Arc<dyn KeyProvider>) -> Result<()> {
    let keys =
        keys.ok_or_else(|| Error::new(Code::InvalidArgument, "the database is not encrypted"))?;
    keys.rotate(provider).map_err(|error| match error {
        StorageError::Poisoned => Error::new(
            Code::Closed,
            "an earlier rotation of the key failed; another one needs a reopen",
        ),
        other => other.into(),
    })
}
