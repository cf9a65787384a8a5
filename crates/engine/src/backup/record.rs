//! What a directory of backups says of each: the body of a file of `backups`.
//!
//! It can be listed, verified and removed without a key: what that takes (names, lengths and
//! checksums of files) is readable also where the database is encrypted. What the version says of
//! collections is not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cairn_env::Env;
use cairn_storage::{StorageError, WrappedKeys};
use serde::{Deserialize, Serialize};

use crate::encryption;
use crate::error::{Code, Error, Result};
use crate::manifest::FileEntry;
use crate::options::Options;
use crate::retained::FileId;
use crate::ulid::Ulid;
use crate::verify::damaged;
use crate::versions::VersionRecord;

use super::files::Files;

/// One backup. Its files stand below the directory of backups.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct BackupRecord {
    /// Counts the backups of the directory; that of the file's name.
    pub id: u64,
    pub name: Option<String>,
    pub created_unix_ms: u64,
    /// Id of the database. Files of another one may have the same names.
    pub database: String,
    /// Files that were copied for this one, and their bytes; the others were there.
    pub files_copied: u64,
    pub bytes_copied: u64,
    /// The version that it has, and when that was made.
    pub version: u64,
    pub version_unix_ms: u64,
    /// Every file that it consists of.
    pub files: Vec<ListedFile>,
    /// Of an encrypted database: the data keys of its files, wrapped.
    pub keys: Option<KeySet>,
    /// The version's record, encrypted with them where there are any.
    pub contents: Vec<u8>,
}

/// A file, and what it must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ListedFile {
    collection: u64,
    segment: Ulid,
    /// The lsn of a file of deletions.
    deletions: Option<u64>,
    file: FileEntry,
}

/// A version of `keys/`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct KeySet {
    version: u64,
    body: Vec<u8>,
}

pub(super) const DIR: &str = "backups";
pub(super) const EXTENSION: &str = "bak";

impl BackupRecord {
    /// Takes a version in, encrypted as `env` does.
    ///
    /// # Errors
    /// When there are no random bytes.
    pub fn set_version(&mut self, env: &Env, version: &VersionRecord) -> Result<()> {
        let plain = version.encode()?;
        let about = about(self.id);
        (self.version, self.version_unix_ms) = (version.version, version.created_unix_ms);
        self.contents =
            cairn_storage::seal_part(env, &path(Path::new(""), self.id), &about, plain)?;
        let all = version.collections.iter();
        self.files = all.flat_map(|one| listed(&one.manifest)).collect();
        Ok(())
    }

    /// The data keys that everything in it, the version too, was encrypted with.
    pub fn set_keys(&mut self, keys: Option<WrappedKeys>) {
        self.keys = keys.map(|WrappedKeys { version, body }| KeySet { version, body });
    }

    /// The data keys, wrapped, if it is encrypted.
    pub fn keys(&self) -> Option<WrappedKeys> {
        let keys = self.keys.clone()?;
        Some(WrappedKeys {
            version: keys.version,
            body: keys.body,
        })
    }

    /// Id of the key that it needs.
    pub fn key_id(&self, dir: &Path) -> Result<Option<String>> {
        let id = |keys: WrappedKeys| keys.key_id(&path(dir, self.id)).map(str::to_owned);
        Ok(self.keys().map(id).transpose()?)
    }

    /// Every file that it consists of, and what each must be.
    pub fn files(&self) -> Files {
        let file = |listed: &ListedFile| {
            let (collection, segment) = (listed.collection, listed.segment);
            let id = match listed.deletions {
                Some(lsn) => FileId::deletions(collection, segment, lsn),
                None => FileId::segment(collection, segment),
            };
            (id, listed.file)
        };
        self.files.iter().map(file).collect()
    }

    /// The version that it has, for whoever has the key.
    ///
    /// # Errors
    /// `ERR_INVALID_ARGUMENT` naming the key that is needed, or when one was given for a database
    /// that is not encrypted; `ERR_CORRUPT` naming the file.
    pub fn version(&self, env: &Env, dir: &Path, options: &Options) -> Result<VersionRecord> {
        let file = path(dir, self.id);
        let mut env = env.clone();
        env.sealing = match self.keys() {
            Some(keys) => Some(keys.unlock(&env, dir, options.encryption.clone())? as _),
            None => None,
        };
        encryption::check(dir, options, self.keys.is_some())?;
        let contents = self.contents.clone();
        let plain = cairn_storage::open_part(&env, &file, &about(self.id), contents)?;
        let version = VersionRecord::decode(&plain).map_err(|what| damaged(file.clone(), what))?;
        if version.version != self.version || super::files_of(&version) != self.files() {
            return Err(damaged(file, "lists other files than its version"));
        }
        Ok(version)
    }
}

fn listed(manifest: &crate::manifest::Manifest) -> impl Iterator<Item = ListedFile> {
    let collection = manifest.collection;
    manifest.segments.iter().flat_map(move |entry| {
        let file = |deletions, file| ListedFile {
            collection,
            segment: entry.id,
            deletions,
            file,
        };
        let deletions = entry.deletions.map(|d| file(Some(d.lsn), d.file));
        [Some(file(None, entry.file)), deletions]
            .into_iter()
            .flatten()
    })
}

/// What the version of a backup is, for its encryption.
fn about(id: u64) -> Vec<u8> {
    [b"cairn backup 1".as_slice(), &id.to_le_bytes()].concat()
}

pub(super) fn path(dir: &Path, id: u64) -> PathBuf {
    dir.join(DIR).join(format!("{id:020}.{EXTENSION}"))
}

/// Ids of the backups in `dir`, ascending; none where there is no such directory.
pub(super) fn list(env: &Env, dir: &Path) -> Result<Vec<u64>> {
    let path = dir.join(DIR);
    let there = env.disk.entry(&path);
    if there.map_err(StorageError::io("entry", &path))?.is_none() {
        return Ok(Vec::new());
    }
    Ok(cairn_storage::list_versions(env, dir, DIR, EXTENSION)?)
}

/// One backup's record.
///
/// # Errors
/// `ERR_CORRUPT` or `ERR_UNSUPPORTED_FORMAT` naming the file.
pub(super) fn load(env: &Env, dir: &Path, id: u64) -> Result<BackupRecord> {
    let body = cairn_storage::load(env, dir, DIR, EXTENSION, id)?;
    let damaged = |what: String| damaged(path(dir, id), what);
    let record: BackupRecord =
        rmp_serde::from_slice(&body).map_err(|error| damaged(error.to_string()))?;
    if record.id != id {
        return Err(damaged("another backup".to_owned()));
    }
    let mut lengths = BTreeMap::new();
    for ListedFile {
        collection,
        segment,
        deletions,
        file,
    } in &record.files
    {
        if lengths
            .insert((collection, segment, deletions), file)
            .is_some()
        {
            return Err(damaged("a file stands twice".to_owned()));
        }
    }
    Ok(record)
}

/// Makes a backup count, its files being there.
pub(super) fn publish(env: &Env, dir: &Path, record: &BackupRecord) -> Result<()> {
    let body = rmp_serde::to_vec_named(record)
        .map_err(|error| Error::new(Code::Internal, error.to_string()))?;
    Ok(cairn_storage::record(
        env, dir, DIR, EXTENSION, record.id, &body,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::{list_backups, verify_backup};
    use crate::stop::Job;

    #[test]
    fn lengths_that_have_no_sum_are_summed_as_far_as_numbers_go() {
        let (env, dir) = (Env::memory(1), Path::new("/backups"));
        let file = |lsn| ListedFile {
            collection: 1,
            segment: Ulid([0; 16]),
            deletions: Some(lsn),
            file: FileEntry {
                bytes: u64::MAX,
                checksum: 0,
            },
        };
        let record = BackupRecord {
            id: 1,
            files: vec![file(1), file(2)],
            ..BackupRecord::default()
        };
        crate::collection::make_dirs(&env, &dir.join(DIR)).expect("a directory");
        publish(&env, dir, &record).expect("a record");
        let listed = list_backups(&env, dir).expect("a list");
        assert_eq!(listed[0].bytes_total, u64::MAX);
        let found = verify_backup(&env, dir, None, &Job::default());
        assert_eq!(found.expect_err("no files").code(), Code::Corrupt);
    }
}
