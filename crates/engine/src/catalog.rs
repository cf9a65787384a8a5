//! Which collections a database has: the body of a catalog file.

use std::path::Path;

use serde::{Deserialize, Serialize};

use cairn_env::Env;
use cairn_storage::StorageError;

use crate::collection;
use crate::error::{Code, Error, Result};
use crate::manifest;
use crate::schema::Schema;
use crate::verify;

/// One state of the list of collections. Published like a manifest: a numbered file, then CURRENT.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Catalog {
    /// Counts the catalogs of this database.
    pub version: u64,
    /// The next collection's id; ids are never used twice.
    pub next_id: u64,
    /// Where logs go, when not beside the data.
    pub wal_dir: Option<String>,
    /// Tells this database from others whose logs go to the same place: 32 hexadecimal digits.
    #[serde(default)]
    pub id: String,
    pub collections: Vec<CatalogEntry>,
}

/// One collection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CatalogEntry {
    pub id: u64,
    pub name: String,
    pub schema: Schema,
}

/// Where catalogs stand in a database's directory.
pub(crate) const DIR: &str = "catalog";
/// What their names end with.
pub(crate) const EXTENSION: &str = "cat";

impl Catalog {
    pub fn find(&self, name: &str) -> Option<&CatalogEntry> {
        self.collections.iter().find(|entry| entry.name == name)
    }
}

/// An id that no other database has.
pub(crate) fn fresh_id(env: &Env) -> String {
    let random = || env.entropy.next_u64();
    format!("{:016x}{:016x}", random(), random())
}

/// The current catalog, or `None` in a directory that has none yet. Nothing is written.
pub(crate) fn read(env: &Env, dir: &Path) -> Result<Option<Catalog>> {
    let Some(version) = cairn_storage::read_current(env, dir)? else {
        // The first catalog lists nothing, so losing it loses nothing. Later ones are published
        // when there is a CURRENT, and it must not have gone.
        let versions = cairn_storage::list_versions(env, dir, DIR, EXTENSION)?;
        if versions.iter().any(|&version| version > 1) {
            let file = dir.join("CURRENT");
            return Err(StorageError::Missing { file }.into());
        }
        return Ok(None);
    };
    let body = cairn_storage::load(env, dir, DIR, EXTENSION, version)?;
    decode(dir, version, &body).map(Some)
}

/// The catalog that a file's body holds.
///
/// # Errors
/// `ERR_CORRUPT` when it is none, or of another version.
pub(crate) fn decode(dir: &Path, version: u64, body: &[u8]) -> Result<Catalog> {
    let damaged = |what: String| {
        verify::damaged(
            dir.join(DIR).join(format!("{version:020}.{EXTENSION}")),
            what,
        )
    };
    let catalog: Catalog =
        rmp_serde::from_slice(body).map_err(|error| damaged(error.to_string()))?;
    if catalog.version != version {
        return Err(damaged("a catalog of another version".into()));
    }
    for entry in &catalog.collections {
        let invalid = |error: Error| damaged(format!("{}: {error}", entry.name));
        entry.schema.validate().map_err(invalid)?;
    }
    Ok(catalog)
}

/// Makes sure that `catalog`, which was just read, is found again, and removes all others.
pub(crate) fn settle(env: &Env, dir: &Path, catalog: &Catalog) -> Result<()> {
    // The process before may have been killed between renaming CURRENT and syncing the directory.
    // What the catalog before lists must stay until this one is sure to be found again.
    collection::sync_dir(&*env.disk, dir)?;
    manifest::remove_others(env, dir, DIR, EXTENSION, catalog.version)
}

/// Makes `catalog` the current one, atomically and durably, and removes the one before it.
pub(crate) fn publish(env: &Env, dir: &Path, catalog: &Catalog) -> Result<()> {
    let body = rmp_serde::to_vec_named(catalog)
        .map_err(|error| Error::new(Code::Internal, error.to_string()))?;
    cairn_storage::publish(env, dir, DIR, EXTENSION, catalog.version, &body)?;
    // What stays behind is removed at the next open.
    let _ = cairn_storage::remove_version(env, dir, DIR, EXTENSION, catalog.version - 1);
    Ok(())
}
