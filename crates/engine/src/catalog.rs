//! Which collections a database has: the body of a catalog file.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use cairn_env::Env;
use cairn_storage::StorageError;

use crate::collection;
use crate::error::{Code, Error, Result};
use crate::manifest;
use crate::schema::{Schema, validate_collection_name};
use crate::structure::{Names, Structure};
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
#[serde(try_from = "Written", into = "Written")]
pub(crate) struct CatalogEntry {
    pub id: u64,
    pub name: String,
    /// With the names that records have.
    pub schema: Schema,
    /// The names that users know instead.
    pub names: Names,
    /// Fields whose type has an index, and which have none; by the names that records have.
    pub unindexed: Vec<String>,
}

/// An entry as it is written. Where names differ its schema has another key: a program that overlooks
/// them would take the stored names for those of the user, and so finds no schema at all.
#[derive(Serialize, Deserialize)]
struct Written {
    id: u64,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schema: Option<Schema>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stored_schema: Option<Schema>,
    #[serde(default, skip_serializing_if = "Names::is_empty")]
    names: Names,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unindexed: Vec<String>,
}

impl From<CatalogEntry> for Written {
    fn from(entry: CatalogEntry) -> Self {
        let has_names = !entry.names.is_empty();
        let (stored_schema, schema) = match has_names {
            true => (Some(entry.schema), None),
            false => (None, Some(entry.schema)),
        };
        Self {
            id: entry.id,
            name: entry.name,
            schema,
            stored_schema,
            names: entry.names,
            unindexed: entry.unindexed,
        }
    }
}

impl TryFrom<Written> for CatalogEntry {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, &'static str> {
        let has_names = !written.names.is_empty();
        let schema = match (written.schema, written.stored_schema) {
            (Some(schema), None) if !has_names => schema,
            (None, Some(schema)) if has_names => schema,
            _ => return Err("not one schema, of the names that are listed"),
        };
        Ok(Self {
            id: written.id,
            name: written.name,
            schema,
            names: written.names,
            unindexed: written.unindexed,
        })
    }
}

impl CatalogEntry {
    /// Of a new collection.
    pub fn new(id: u64, name: String, schema: Schema) -> Self {
        Self {
            id,
            name,
            schema,
            names: Names::default(),
            unindexed: Vec::new(),
        }
    }

    /// The same collection with another structure.
    pub fn with(self, structure: &Structure) -> Self {
        Self {
            schema: structure.stored.clone(),
            names: structure.names.clone(),
            unindexed: structure.unindexed.clone(),
            ..self
        }
    }

    /// What the collection holds.
    ///
    /// # Errors
    /// For what is no structure; none of an entry that was checked.
    pub fn structure(&self) -> Result<Structure> {
        let (names, unindexed) = (self.names.clone(), self.unindexed.clone());
        Structure::new(self.schema.clone(), names, unindexed)
    }
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
    let (mut names, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for entry in &catalog.collections {
        let invalid = |error: Error| damaged(format!("{}: {error}", entry.name));
        validate_collection_name(&entry.name).map_err(invalid)?;
        entry.structure().map_err(invalid)?;
        if !names.insert(&entry.name) || !ids.insert(entry.id) {
            return Err(damaged(format!("{}: it is listed twice", entry.name)));
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyType;
    use crate::schema::{Extra, IndexKind, MetricName, Quantize, VectorField, VectorKind};

    fn entry(id: u64, name: &str) -> CatalogEntry {
        let vector = VectorField {
            name: "vector".into(),
            dim: 2,
            metric: MetricName::L2,
            index: IndexKind::Auto,
            kind: VectorKind::F32,
            quantize: Quantize::None,
        };
        let schema = Schema {
            key: KeyType::U64,
            vectors: vec![vector],
            fields: Vec::new(),
            extra: Extra::Allow,
            expires_at: None,
        };
        CatalogEntry::new(id, name.into(), schema)
    }

    #[test]
    fn names_that_no_collection_can_have_and_entries_listed_twice_are_damage() {
        let read = |collections: &[(u64, &str)]| {
            let catalog = Catalog {
                collections: collections
                    .iter()
                    .map(|&(id, name)| entry(id, name))
                    .collect(),
                ..Catalog::default()
            };
            let body = rmp_serde::to_vec_named(&catalog).unwrap();
            decode(Path::new("/db"), catalog.version, &body)
        };
        assert_eq!(read(&[(1, "a"), (2, "b")]).unwrap().collections.len(), 2);
        let long = "x".repeat(129);
        let wrong: [&[(u64, &str)]; 6] = [
            &[(1, "gr(ph")],
            &[(1, "")],
            &[(1, ".a")],
            &[(1, &long)],
            &[(1, "a"), (2, "a")],
            &[(1, "a"), (1, "b")],
        ];
        for collections in wrong {
            let code = read(collections).unwrap_err().code();
            assert_eq!(code, Code::Corrupt, "{collections:?}");
        }
    }
}
