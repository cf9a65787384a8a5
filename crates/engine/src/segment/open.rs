//! Reading a segment back: every checksum compared, every length checked before it is believed.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use cairn_env::{Bug, Env, planted};
use cairn_index::{Graph, Vectors};
use cairn_storage::{REQUIRED, SectionId, SegmentReader, SegmentWriter, StorageError};

use crate::error::{Error, Result};
use crate::keys::{KeyType, Keys};
use crate::manifest::{DeletionEntry, FileEntry, SegmentEntry};
use crate::schema::Schema;
use crate::tombstones::Tombstones;
use crate::ulid::Ulid;

use super::build::Meta;
use super::key_index::KeyIndex;
use super::{Body, Segment, SegmentField, sections};

/// Bytes read at a time while vectors are loaded.
const READ_BYTES: usize = 1024 * 1024;

pub(crate) fn segment_path(dir: &Path, segment: Ulid) -> PathBuf {
    dir.join(format!("{segment}.seg"))
}

pub(crate) fn deletions_path(dir: &Path, segment: Ulid, lsn: u64) -> PathBuf {
    dir.join(format!("{segment}-{lsn:020}.del"))
}

/// Opens the segment that `entry` of a manifest describes.
///
/// # Errors
/// `ERR_CORRUPT` naming file, section and offset, or `ERR_UNSUPPORTED_FORMAT`.
pub(crate) fn open(
    env: &Env,
    dir: &Path,
    deletions_dir: &Path,
    schema: &Schema,
    entry: SegmentEntry,
) -> Result<Segment> {
    let path = segment_path(dir, entry.id);
    let reader = SegmentReader::open(env, &path, Some(entry.file.into()), &sections::KNOWN)?;
    let file = File {
        path: &path,
        reader: &reader,
    };
    file.check_meta(schema, entry.rows)?;
    let rows = entry.rows as usize;
    let keys = file.keys(schema.key, rows)?;
    let key_index =
        KeyIndex::new(&keys).ok_or_else(|| file.corrupt("KEYS", "a key stands twice"))?;
    let versions = file.numbers(sections::VERSIONS, "VERSIONS", rows)?;
    let mut fields = Vec::with_capacity(schema.vectors.len());
    for (index, field) in schema.vectors.iter().enumerate() {
        let metric = field.metric.metric();
        fields.push(SegmentField {
            metric,
            vectors: file.vectors(index, field.dim as usize, rows, metric.normalises())?,
            graph: file.graph(index, rows)?,
        });
    }
    let payload_ends = file.payload_ends(rows)?;
    let tombstones = read_deletions(env, deletions_dir, &entry)?;
    let body = Body {
        env: env.clone(),
        keys,
        key_index,
        versions,
        fields,
        payload_ends,
        by_key: OnceLock::new(),
        doomed: OnceLock::new(),
        retired: AtomicBool::new(false),
        path,
        reader,
    };
    Ok(Segment {
        id: entry.id,
        entry,
        tombstones,
        body: Arc::new(body),
    })
}

impl Segment {
    /// The same segment as `entry` of another manifest has it: with its deletions and no others.
    /// `None` when that one speaks of another file.
    ///
    /// # Errors
    /// As [`open`].
    pub fn with_deletions_of(
        &self,
        deletions_dir: &Path,
        entry: &SegmentEntry,
    ) -> Result<Option<Self>> {
        if (entry.id, entry.file, entry.rows) != (self.id, self.entry.file, self.entry.rows) {
            return Ok(None);
        }
        let entry = if planted(Bug::ReaderMixesVersions) {
            &self.entry
        } else {
            entry
        };
        Ok(Some(Self {
            id: self.id,
            entry: entry.clone(),
            tombstones: read_deletions(&self.env, deletions_dir, entry)?,
            body: Arc::clone(&self.body),
        }))
    }
}

/// Whether the file at `path` has the length and the footer that a manifest lists. Needs no key.
pub(crate) fn is_there(env: &Env, path: &Path, expected: FileEntry) -> bool {
    SegmentReader::verify_stored(env, path, expected.into(), false).is_ok()
}

/// Compares every checksum of a segment or deletion file as it is stored. Needs no key.
///
/// # Errors
/// As [`verify_file`].
pub(crate) fn verify_stored(env: &Env, path: &Path, expected: FileEntry) -> Result<()> {
    Ok(SegmentReader::verify_stored(
        env,
        path,
        expected.into(),
        true,
    )?)
}

/// Compares every checksum of a segment or deletion file that is not open, and decrypts it where
/// the database is encrypted.
///
/// # Errors
/// `ERR_CORRUPT` naming file, section and offset, or the file that is missing.
pub(crate) fn verify_file(env: &Env, path: &Path, expected: FileEntry) -> Result<()> {
    let reader = SegmentReader::open(env, path, Some(expected.into()), &sections::KNOWN)?;
    Ok(reader.verify_all()?)
}

/// Opens a segment or a deletion file whose ends may be damaged; `None` where too little is left.
///
/// # Errors
/// `ERR_CORRUPT` when it is missing, `ERR_UNSUPPORTED_FORMAT`, what the disk says.
pub(crate) fn salvage(
    env: &Env,
    path: &Path,
    segment: Ulid,
    collection: u64,
) -> Result<Option<SegmentReader>> {
    let known = &sections::KNOWN;
    Ok(SegmentReader::salvage(
        env, path, segment.0, collection, known,
    )?)
}

/// Checks that the sections of an undamaged segment are those that `entry` of a manifest describes.
/// Vectors are not looked at: any bytes of theirs are some.
///
/// # Errors
/// As [`open`].
pub(crate) fn check_contents(
    reader: &SegmentReader,
    schema: &Schema,
    entry: &SegmentEntry,
) -> Result<()> {
    let file = File {
        path: reader.path(),
        reader,
    };
    file.check_meta(schema, entry.rows)?;
    let rows = entry.rows as usize;
    let keys = file.keys(schema.key, rows)?;
    KeyIndex::new(&keys).ok_or_else(|| file.corrupt("KEYS", "a key stands twice"))?;
    file.numbers(sections::VERSIONS, "VERSIONS", rows)?;
    for (index, field) in schema.vectors.iter().enumerate() {
        let bytes = rows as u64 * u64::from(field.dim) * 4;
        file.expect_len(sections::vectors(index), "VECTORS", bytes)?;
        file.graph(index, rows)?;
    }
    file.payload_ends(rows)?;
    Ok(())
}

/// The deletions that a manifest lists of a segment.
///
/// # Errors
/// As [`open`].
pub(crate) fn read_deletions(env: &Env, dir: &Path, segment: &SegmentEntry) -> Result<Tombstones> {
    let rows = segment.rows as usize;
    let Some(entry) = &segment.deletions else {
        return Ok(Tombstones::new(rows));
    };
    let path = deletions_path(dir, segment.id, entry.lsn);
    let reader = SegmentReader::open(env, &path, Some(entry.file.into()), &sections::KNOWN)?;
    let file = File {
        path: &path,
        reader: &reader,
    };
    let tombstones = Tombstones::from_bytes(&reader.read(sections::DELETIONS)?, rows)
        .map_err(|error| file.corrupt("DELETIONS", error.message()))?;
    if tombstones.count() != entry.rows as usize {
        return Err(file.corrupt("DELETIONS", "a bitmap that counts other rows"));
    }
    tombstones.mark_persisted(entry.lsn);
    Ok(tombstones)
}

/// Writes the deletions up to `lsn` as a new file, synced.
///
/// # Errors
/// What the disk says.
pub(crate) fn write_deletions(
    env: &Env,
    dir: &Path,
    collection: u64,
    segment: &Segment,
    lsn: u64,
) -> Result<DeletionEntry> {
    let bytes = segment.tombstones.to_bytes(lsn);
    let path = deletions_path(dir, segment.id, lsn);
    // A publication that failed may have left a file of this name that no manifest lists.
    let left = env.disk.entry(&path);
    if left.map_err(StorageError::io("entry", &path))?.is_some() {
        let removed = env.disk.remove_file(&path);
        removed.map_err(StorageError::io("remove_file", &path))?;
    }
    let mut writer = SegmentWriter::create(env, &path, segment.id.0, collection)?;
    writer.begin(sections::DELETIONS, REQUIRED)?;
    writer.write(&bytes)?;
    writer.end()?;
    let file = writer.finish()?;
    Ok(DeletionEntry {
        file: file.into(),
        lsn,
        rows: bytes.iter().map(|byte| byte.count_ones()).sum(),
    })
}

struct File<'a> {
    path: &'a Path,
    reader: &'a SegmentReader,
}

impl File<'_> {
    fn corrupt(&self, section: &str, what: &str) -> Error {
        StorageError::Corrupt {
            file: self.path.to_path_buf(),
            offset: 0,
            section: Some(section.to_owned()),
            what: what.to_owned(),
        }
        .into()
    }

    fn check_meta(&self, schema: &Schema, rows: u32) -> Result<()> {
        let meta: Meta = rmp_serde::from_slice(&self.reader.read(sections::META)?)
            .map_err(|error| self.corrupt("META", &error.to_string()))?;
        if meta != Meta::of(schema, rows) {
            return Err(self.corrupt("META", "a segment of another schema or row count"));
        }
        Ok(())
    }

    /// Checks that a section is there and has that many bytes.
    fn expect_len(&self, id: SectionId, name: &str, bytes: u64) -> Result<()> {
        match self.reader.len(id) {
            Some(length) if length == bytes => Ok(()),
            Some(_) => Err(self.corrupt(name, "a section of another length than its rows")),
            None => Err(self.corrupt(name, "a required section is absent")),
        }
    }

    fn numbers(&self, id: SectionId, name: &str, count: usize) -> Result<Vec<u64>> {
        self.expect_len(id, name, count as u64 * 8)?;
        let mut numbers = vec![0_u64; count];
        let bytes = bytemuck::cast_slice_mut(&mut numbers);
        self.reader.read_into(id, bytes)?;
        Ok(numbers)
    }

    fn keys(&self, key_type: KeyType, rows: usize) -> Result<Keys> {
        if key_type == KeyType::U64 {
            return Ok(Keys::U64(self.numbers(sections::KEYS, "KEYS", rows)?));
        }
        let mut bytes = self.reader.read(sections::KEYS)?;
        if bytes.len() < rows * 4 {
            return Err(self.corrupt("KEYS", "a section shorter than its rows"));
        }
        let text = bytes.split_off(rows * 4);
        let (ends, _) = bytes.as_chunks::<4>();
        let ends = ends.iter().map(|end| u32::from_le_bytes(*end)).collect();
        Keys::from_utf8(text, ends).map_err(|error| self.corrupt("KEYS", error.message()))
    }

    fn vectors(&self, field: usize, dim: usize, rows: usize, normalise: bool) -> Result<Vectors> {
        let id = sections::vectors(field);
        let row_bytes = dim * 4;
        self.expect_len(id, "VECTORS", rows as u64 * row_bytes as u64)?;
        let mut vectors = Vectors::with_capacity(dim, rows);
        let rows_per_read = (READ_BYTES / row_bytes).max(1);
        let mut buffer = vec![0.0_f32; rows_per_read.min(rows) * dim];
        let mut done = 0;
        while done < rows {
            let count = rows_per_read.min(rows - done);
            let part = &mut buffer[..count * dim];
            let offset = done as u64 * row_bytes as u64;
            self.reader
                .read_range(id, offset, bytemuck::cast_slice_mut(part))?;
            let mut given = part.chunks_exact(dim);
            vectors.fill_rows(count, |_, row| {
                row.copy_from_slice(given.next().expect("as many rows as were read"));
                if normalise {
                    // A zero vector was refused when it was written.
                    let _ = cairn_distance::normalise(row);
                }
            });
            done += count;
        }
        Ok(vectors)
    }

    fn graph(&self, field: usize, rows: usize) -> Result<Option<Graph>> {
        let id = sections::graph(field);
        if self.reader.len(id).is_none() {
            return Ok(None);
        }
        Graph::from_bytes(&self.reader.read(id)?, rows)
            .map(Some)
            .map_err(|error| self.corrupt("GRAPH", &error.to_string()))
    }

    fn payload_ends(&self, rows: usize) -> Result<Vec<u64>> {
        let payload = self
            .reader
            .len(sections::PAYLOAD)
            .ok_or_else(|| self.corrupt("PAYLOAD", "a required section is absent"))?;
        if payload == 0 {
            self.expect_len(sections::PAYLOAD_ENDS, "PAYLOAD_ENDS", 0)?;
            return Ok(Vec::new());
        }
        let ends = self.numbers(sections::PAYLOAD_ENDS, "PAYLOAD_ENDS", rows)?;
        if !ends.is_sorted() || ends.last() != Some(&payload) {
            return Err(self.corrupt("PAYLOAD_ENDS", "ends that do not fit the payload"));
        }
        Ok(ends)
    }
}
