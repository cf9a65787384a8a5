//! What a collection consists of at one moment: the body of a manifest file.
//!
//! A manifest lists every file it needs with length and checksum. Publishing one is the commit
//! point of flush and compaction. The bytes are a MessagePack map with named members, so a later
//! version can add members that this one skips.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use cairn_env::Env;
use cairn_storage::SegmentFile;

use crate::error::{Code, Error, Result};
use crate::keys::{Key, KeyBuf};
use crate::retained::FileId;
use crate::ulid::Ulid;
use crate::verify;

/// One state of a collection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Counts the manifests of this collection.
    pub version: u64,
    /// The collection this belongs to.
    pub collection: u64,
    /// Every write up to this one is in the segments below; later ones are in the log.
    pub flushed_lsn: u64,
    /// Oldest first.
    pub segments: Vec<SegmentEntry>,
    /// The newest flush that took writes from memory that no log ever had; 0 if there was none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unlogged_lsn: u64,
    /// What keyed writes up to `flushed_lsn` did; their frames may have left the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcomes: Option<OutcomesEntry>,
    /// Of each vector field the factor of its candidate lists; empty while nobody tuned them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stretch: Vec<f32>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A file of outcomes of keyed writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutcomesEntry {
    pub file: FileEntry,
    /// The version of the newest; part of its name.
    pub lsn: u64,
    pub count: u32,
}

impl Manifest {
    /// Every file it lists.
    pub fn files(&self) -> BTreeSet<FileId> {
        self.listed().map(|(file, _)| file).collect()
    }

    /// Every file it lists, and what the file must be.
    pub fn listed(&self) -> impl Iterator<Item = (FileId, FileEntry)> {
        let of = |entry: &SegmentEntry| {
            let segment = FileId::segment(self.collection, entry.id);
            let of = |d: DeletionEntry| FileId::deletions(self.collection, entry.id, d.lsn);
            let deletions = entry.deletions.map(|d| (of(d), d.file));
            [Some((segment, entry.file)), deletions]
        };
        self.segments.iter().flat_map(of).flatten()
    }
}

/// One segment of a manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SegmentEntry {
    pub id: Ulid,
    pub file: FileEntry,
    pub rows: u32,
    pub lsn_min: u64,
    pub lsn_max: u64,
    pub key_min: StoredKey,
    pub key_max: StoredKey,
    /// Per vector field: the mean of its vectors and the largest distance from it.
    pub spread: Vec<Spread>,
    /// The newest deletion file, when rows are deleted.
    pub deletions: Option<DeletionEntry>,
}

/// Length of a segment container and the checksum of its footer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileEntry {
    pub bytes: u64,
    pub checksum: u32,
}

/// A deletion bitmap on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeletionEntry {
    pub file: FileEntry,
    /// The deletions it holds are those up to this version; part of its name.
    pub lsn: u64,
    pub rows: u32,
}

/// Where the vectors of a field lie, as kernels see them (of length one under cosine).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub centroid: Vec<f32>,
    /// Euclidean, not squared.
    pub radius: f32,
}

/// A key in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StoredKey {
    Str(String),
    U64(u64),
}

impl From<Key<'_>> for StoredKey {
    fn from(key: Key<'_>) -> Self {
        match key {
            Key::Str(text) => Self::Str(text.to_owned()),
            Key::U64(number) => Self::U64(number),
        }
    }
}

impl From<&KeyBuf> for StoredKey {
    fn from(key: &KeyBuf) -> Self {
        key.as_key().into()
    }
}

impl From<SegmentFile> for FileEntry {
    fn from(file: SegmentFile) -> Self {
        Self {
            bytes: file.bytes,
            checksum: file.checksum,
        }
    }
}

impl From<FileEntry> for SegmentFile {
    fn from(file: FileEntry) -> Self {
        Self {
            bytes: file.bytes,
            checksum: file.checksum,
        }
    }
}

/// Where manifests stand in a collection's directory.
pub(crate) const DIR: &str = "manifest";
/// What their names end with.
pub(crate) const EXTENSION: &str = "man";

/// The current manifest of the collection in `dir`, or `None` before the first.
pub(crate) fn read(env: &Env, dir: &Path, collection: u64) -> Result<Option<Manifest>> {
    let Some(version) = cairn_storage::read_current(env, dir)? else {
        return Ok(None);
    };
    let body = cairn_storage::load(env, dir, DIR, EXTENSION, version)?;
    decode(dir, collection, version, &body).map(Some)
}

/// The manifest that a file's body holds.
///
/// # Errors
/// `ERR_CORRUPT` when it is none, or of another version or collection.
pub(crate) fn decode(dir: &Path, collection: u64, version: u64, body: &[u8]) -> Result<Manifest> {
    let damaged = |what: &str| {
        verify::damaged(
            dir.join(DIR).join(format!("{version:020}.{EXTENSION}")),
            what,
        )
    };
    let manifest: Manifest =
        rmp_serde::from_slice(body).map_err(|error| damaged(&error.to_string()))?;
    if manifest.version != version || manifest.collection != collection {
        return Err(damaged("a manifest of another version or collection"));
    }
    let is_factor = |factor: &f32| factor.is_finite() && *factor > 0.0;
    if !manifest.stretch.iter().all(is_factor) {
        return Err(damaged("a factor of candidate lists that is none"));
    }
    Ok(manifest)
}

/// Removes every file of `sub` that is not `version`: never published, or of an older state.
///
/// To be called when `version` is sure to be found again after power loss.
pub(crate) fn remove_others(
    env: &Env,
    dir: &Path,
    sub: &str,
    extension: &str,
    version: u64,
) -> Result<()> {
    cairn_storage::remove_leftovers(env, dir, sub, extension, Some(version))?;
    for older in cairn_storage::list_versions(env, dir, sub, extension)? {
        if older < version {
            cairn_storage::remove_version(env, dir, sub, extension, older)?;
        }
    }
    Ok(())
}

/// Takes back `version`, whose publication failed for want of room, unless it may count already.
/// Returns whether the state before still counts.
pub(crate) fn withdraw(env: &Env, dir: &Path, sub: &str, extension: &str, version: u64) -> bool {
    let counts = cairn_storage::read_current(env, dir);
    matches!(counts, Ok(current) if current != Some(version))
        && cairn_storage::remove_version(env, dir, sub, extension, version).is_ok()
}

/// Makes `manifest` the current one, atomically and durably.
pub(crate) fn publish(env: &Env, dir: &Path, manifest: &Manifest) -> Result<()> {
    let body = rmp_serde::to_vec_named(manifest)
        .map_err(|error| Error::new(Code::Internal, error.to_string()))?;
    cairn_storage::publish(env, dir, DIR, EXTENSION, manifest.version, &body)?;
    Ok(())
}
