//! What a version of the whole database consists of: the body of a file of `versions`.

use std::collections::BTreeSet;
use std::path::Path;

use cairn_env::Env;
use cairn_storage::StorageError;
use serde::{Deserialize, Serialize};

use crate::catalog::CatalogEntry;
use crate::error::{Code, Error, Result};
use crate::manifest::Manifest;
use crate::retained::FileId;
use crate::verify::damaged;

/// One state of all collections at one version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct VersionRecord {
    /// Every write up to this one is in it, and none after; part of the file's name.
    pub version: u64,
    pub name: Option<String>,
    pub created_unix_ms: u64,
    pub collections: Vec<VersionedCollection>,
}

/// A collection as a version has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct VersionedCollection {
    pub entry: CatalogEntry,
    pub manifest: Manifest,
}

/// Where versions stand in a database's directory.
pub(crate) const DIR: &str = "versions";
/// What their names end with.
pub(crate) const EXTENSION: &str = "ver";

impl VersionRecord {
    /// Every file it lists.
    pub fn files(&self) -> BTreeSet<FileId> {
        let all = self.collections.iter();
        all.flat_map(|one| one.manifest.files()).collect()
    }

    /// The body of a file.
    pub fn encode(&self) -> Result<Vec<u8>> {
        rmp_serde::to_vec_named(self).map_err(|error| Error::new(Code::Internal, error.to_string()))
    }

    /// What [`VersionRecord::encode`] wrote, checked as far as one can without opening files.
    ///
    /// # Errors
    /// Why it is none.
    pub fn decode(body: &[u8]) -> Result<Self, String> {
        let record: Self = rmp_serde::from_slice(body).map_err(|error| error.to_string())?;
        record.check()?;
        Ok(record)
    }

    /// Whether its parts fit each other.
    ///
    /// # Errors
    /// Which do not.
    pub fn check(&self) -> Result<(), String> {
        let mut names = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for VersionedCollection { entry, manifest } in &self.collections {
            let invalid = |error: Error| format!("{}: {error}", entry.name);
            entry.structure().map_err(invalid)?;
            if manifest.collection != entry.id || manifest.flushed_lsn > self.version {
                return Err(format!("{}: a manifest of another state", entry.name));
            }
            if !names.insert(&entry.name) || !ids.insert(entry.id) {
                return Err(format!("{}: a collection stands twice", entry.name));
            }
        }
        Ok(())
    }
}

/// Numbers of the recorded versions, ascending.
pub(crate) fn list(env: &Env, dir: &Path) -> Result<Vec<u64>> {
    let path = dir.join(DIR);
    let there = env.disk.entry(&path);
    if there.map_err(StorageError::io("entry", &path))?.is_none() {
        return Ok(Vec::new());
    }
    Ok(cairn_storage::list_versions(env, dir, DIR, EXTENSION)?)
}

/// One recorded version.
///
/// # Errors
/// `ERR_CORRUPT` or `ERR_UNSUPPORTED_FORMAT` naming the file.
pub(crate) fn load(env: &Env, dir: &Path, number: u64) -> Result<VersionRecord> {
    let body = cairn_storage::load(env, dir, DIR, EXTENSION, number)?;
    decode(dir, number, &body)
}

/// The record `number`, whose file has this body.
///
/// # Errors
/// As [`load`].
pub(crate) fn decode(dir: &Path, number: u64, body: &[u8]) -> Result<VersionRecord> {
    let file = dir.join(DIR).join(format!("{number:020}.{EXTENSION}"));
    let damaged = |what: String| damaged(file.clone(), what);
    let record = VersionRecord::decode(body).map_err(damaged)?;
    if record.version != number {
        return Err(damaged("another version".to_owned()));
    }
    Ok(record)
}
