//! Reading a segment back: every checksum compared, every length checked before it is believed.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use cairn_env::{Bug, Env, planted};
use cairn_filter::FieldIndex;
use cairn_index::ivf::{Ivf, Region};
use cairn_index::{Coded, MultiVectors, SparseIndex};
use cairn_storage::{REQUIRED, SectionId, SegmentReader, SegmentWriter, StorageError};
use cairn_text::TextIndex;

use crate::block_cache::BlockCache;
use crate::codes::{LazyCodes, may_have_codes};
use crate::effort::Curve;
use crate::error::{Error, Result};
use crate::expiry::{Expiry, end_of};
use crate::keys::{KeyType, Keys};
use crate::manifest::{DeletionEntry, FileEntry, SegmentEntry};
use crate::query::SelectFields;
use crate::schema::{IndexKind, Schema, VectorField, VectorKind};
use crate::structure::Structure;
use crate::text::{Damaged, TextFields};
use crate::tombstones::Tombstones;
use crate::ulid::Ulid;
use crate::vectors::{FieldGraph, Matrix};

use super::blocks::{BlockTable, Fault};
use super::build::Meta;
use super::fields::{self, Stored};
use super::indexes::Indexes;
use super::key_index::KeyIndex;
use super::mapped::{self, Mapped};
use super::postings::Clusters;
use super::words::{AllWords, Words};
use super::{Body, ReadAhead, Segment, SegmentField, sections};

/// Bytes read at a time while vectors are loaded.
const READ_BYTES: usize = 1024 * 1024;

pub(crate) fn segment_path(dir: &Path, segment: Ulid) -> PathBuf {
    dir.join(format!("{segment}.seg"))
}

pub(crate) fn deletions_path(dir: &Path, segment: Ulid, lsn: u64) -> PathBuf {
    dir.join(format!("{segment}-{lsn:020}.del"))
}

/// Opens the segment that `entry` of a manifest describes; blocks of fields are kept in `cache`, and
/// vectors stay in the file with `memory_map`, where they can.
///
/// # Errors
/// `ERR_CORRUPT` naming file, section and offset, or `ERR_UNSUPPORTED_FORMAT`.
pub(crate) fn open(
    env: &Env,
    dir: &Path,
    deletions_dir: &Path,
    structure: &Structure,
    entry: SegmentEntry,
    cache: &Arc<BlockCache>,
    memory_map: bool,
) -> Result<Segment> {
    let schema = &structure.stored;
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
    // A graph takes its bytes once more while it is read, so all of them come before the vectors.
    let mut graphs = Vec::with_capacity(schema.vectors.len());
    for (index, field) in schema.vectors.iter().enumerate() {
        graphs.push((
            file.graph(index, field, rows)?,
            file.clusters(index, field, rows)?,
            file.codes(index, field, rows)?,
        ));
    }
    let mut fields = Vec::with_capacity(schema.vectors.len());
    for ((index, field), read) in schema.vectors.iter().enumerate().zip(graphs) {
        let (graph, clusters, codes) = read;
        // There are lists where vectors are more than memory, and before there are any, too.
        let stays = memory_map || field.index == IndexKind::Ivf || clusters.is_some();
        let jumps = graph.is_some() || clusters.is_some();
        let ends = file.vector_ends(index, field, rows)?;
        let lent = match stays {
            true if !field.kind.varies() => file.mapped(index, field, rows, jumps)?,
            _ => None,
        };
        let (vectors, mapped) = match lent {
            Some((vectors, mapped)) => (vectors, Some(mapped)),
            None => (file.matrix(index, field, rows, &ends)?, None),
        };
        fields.push(SegmentField {
            metric: field.metric.metric(),
            kind: field.kind,
            row_bytes: field.row_bytes(),
            ends,
            normalises: field.normalises(),
            vectors,
            mapped,
            graph,
            clusters: clusters.map(|head| Clusters::new(head, index, cache)),
            curve: file.curve(index)?,
            has_codes: codes.is_some(),
            coded: codes.flatten(),
            lazy_codes: LazyCodes::default(),
            may_have_codes: may_have_codes(field),
        });
    }
    let stored = file.stored(rows)?;
    let indexes = file.field_indexes(entry.rows)?;
    let words = Words::of(schema, |fields| file.text_index(fields, entry.rows))?;
    let tombstones = read_deletions(env, deletions_dir, &entry)?;
    let body = Body {
        env: env.clone(),
        keys,
        key_index,
        versions,
        shapes: schema.vectors.clone(),
        fields,
        stored,
        cache: Arc::clone(cache),
        number: cache.number(),
        indexes: Indexes::stored(indexes),
        words: AllWords::of(words),
        expiry: None,
        by_key: OnceLock::new(),
        doomed: OnceLock::new(),
        retired: AtomicBool::new(false),
        path,
        reader,
    };
    let mut segment = Segment {
        id: entry.id,
        entry,
        tombstones,
        body: Arc::new(body),
    };
    if let Some(field) = &schema.expires_at {
        let expiry = segment.read_expiry(field)?;
        let body = Arc::get_mut(&mut segment.body).expect("nobody else has it yet");
        body.expiry = expiry;
    }
    segment.keep_indexes(structure);
    Ok(segment)
}

impl Segment {
    /// When its records are over: by the index of the field, or by all records where it has none.
    fn read_expiry(&self, field: &str) -> Result<Option<Expiry>> {
        if let Some(index) = self.index_named(field) {
            return Ok(Expiry::of_index(&index));
        }
        let (mut fields, mut ahead) = (Vec::new(), ReadAhead::default());
        let mut ends = Vec::with_capacity(self.rows());
        for row in 0..self.entry.rows {
            fields.clear();
            self.payload_in_order(row, &SelectFields::All, &mut ahead, &mut fields)?;
            ends.push(end_of(&fields, field));
        }
        Ok(Expiry::of_ends(ends))
    }

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
/// Vectors are not looked at where any bytes of theirs are some.
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
        let ends = file.vector_ends(index, field, rows)?;
        match field.kind {
            VectorKind::Sparse => drop(file.sparse_index(index, field, rows)?),
            VectorKind::Multi => file.each_several(index, field, &ends, |_| {})?,
            _ => file.expect_vectors(index, field, rows)?,
        }
        file.graph(index, field, rows)?;
        file.clusters(index, field, rows)?;
        file.codes(index, field, rows)?;
        file.curve(index)?;
    }
    file.field_indexes(entry.rows)?;
    Words::of(schema, |fields| file.text_index(fields, entry.rows))?;
    if let Stored::Blocks(table) = file.stored(rows)? {
        fields::check_blocks(reader, &table)?;
    }
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

/// The name of a field, and the bytes of its index behind it.
fn split_name(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (name, rest) = rest.split_at_checked(length)?;
    Some((str::from_utf8(name).ok()?, rest))
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

    /// What searches of a field need in memory. `ends`: of its vectors, where they differ in length.
    fn matrix(
        &self,
        index: usize,
        field: &VectorField,
        rows: usize,
        ends: &[u64],
    ) -> Result<Matrix> {
        match field.kind {
            VectorKind::Sparse => Ok(Matrix::Sparse(self.sparse_index(index, field, rows)?)),
            VectorKind::Multi => self.several(index, field, ends),
            _ => self.vectors(index, field, rows),
        }
    }

    fn several(&self, index: usize, field: &VectorField, ends: &[u64]) -> Result<Matrix> {
        // A number for each row, and the rest are vectors; the section is as long as the ends say.
        let bytes = ends.last().copied().unwrap_or(0) - 4 * ends.len() as u64;
        let count = usize::try_from(bytes).unwrap_or(usize::MAX) / field.row_bytes();
        let mut vectors = Matrix::Multi(MultiVectors::with_capacity(field.width(), count));
        self.each_several(index, field, ends, |vector| {
            vectors.push(vector, field.normalises());
        })?;
        Ok(vectors)
    }

    /// Hands over each row's vectors, checked, of a field that has several a row.
    fn each_several(
        &self,
        index: usize,
        field: &VectorField,
        ends: &[u64],
        mut each: impl FnMut(&[f32]),
    ) -> Result<()> {
        let id = sections::vectors(index);
        let (mut values, mut start, mut rest) = (Vec::<f32>::new(), 0, ends);
        while let Some(first) = rest.first() {
            // Some whole rows at a time, and one at least.
            let most = (*first).max(start + READ_BYTES as u64);
            let (some, behind) = rest.split_at(rest.partition_point(|end| *end <= most));
            let end = some.last().copied().unwrap_or(start);
            values.resize((end - start) as usize / 4, 0.0);
            self.reader.will_read(id, end..end + READ_BYTES as u64);
            self.reader
                .read_range(id, start, bytemuck::cast_slice_mut(&mut values))?;
            let mut left = &values[..];
            for end in some {
                let (vector, others) = left.split_at((*end - start) as usize / 4);
                let checked = field.check_varying(vector);
                checked.map_err(|error| self.corrupt("VECTORS", error.message()))?;
                each(vector);
                (left, start) = (others, *end);
            }
            rest = behind;
        }
        Ok(())
    }

    fn vectors(&self, index: usize, field: &VectorField, rows: usize) -> Result<Matrix> {
        self.expect_vectors(index, field, rows)?;
        let mut vectors = Matrix::of(field, rows);
        self.each_stored(index, field, rows, |stored| {
            vectors.push_stored(stored, field.normalises());
        })?;
        Ok(vectors)
    }

    /// Vectors that stay in the file, once all of them were compared with their checksums; `None`
    /// where they cannot. `jumps`: they are read here and there.
    fn mapped(
        &self,
        index: usize,
        field: &VectorField,
        rows: usize,
        jumps: bool,
    ) -> Result<Option<(Matrix, Arc<Mapped>)>> {
        self.expect_vectors(index, field, rows)?;
        let Some(mapped) = Mapped::new(self.reader, index, jumps)? else {
            return Ok(None);
        };
        let mut scales = Vec::with_capacity(if field.normalises() { rows } else { 0 });
        if field.normalises() || !planted(Bug::MapsUnchecked) {
            let mut vector = vec![0.0; field.width()];
            self.each_stored(index, field, rows, |stored| {
                if field.normalises() {
                    scales.extend(stored.chunks_exact(field.row_bytes()).map(|stored| {
                        field.kind.decode(stored, &mut vector);
                        mapped::scale(&vector)
                    }));
                }
            })?;
        }
        // One that has no scale, and the field is copied.
        let scales: Option<Vec<f32>> = scales.into_iter().collect();
        Ok(scales.map(|scales| {
            let lender = Arc::clone(&mapped);
            (Matrix::lent(field, lender, scales), mapped)
        }))
    }

    fn expect_vectors(&self, index: usize, field: &VectorField, rows: usize) -> Result<()> {
        let bytes = rows as u64 * field.row_bytes() as u64;
        self.expect_len(sections::vectors(index), "VECTORS", bytes)
    }

    /// Where each vector ends, where they differ in length; nothing where they do not.
    fn vector_ends(&self, index: usize, field: &VectorField, rows: usize) -> Result<Vec<u64>> {
        if !field.kind.varies() {
            return Ok(Vec::new());
        }
        let ends = self.numbers(sections::vector_ends(index), "VECTOR_ENDS", rows)?;
        let fits = |(start, end): (u64, u64)| {
            let bytes = end.checked_sub(start);
            bytes.is_some_and(|bytes| field.may_take(bytes))
        };
        let starts = std::iter::once(0).chain(ends.iter().copied());
        if !starts.zip(ends.iter().copied()).all(fits) {
            return Err(self.corrupt("VECTOR_ENDS", "ends that no vectors have"));
        }
        let bytes = ends.last().copied().unwrap_or(0);
        self.expect_len(sections::vectors(index), "VECTORS", bytes)?;
        Ok(ends)
    }

    fn sparse_index(&self, index: usize, field: &VectorField, rows: usize) -> Result<SparseIndex> {
        let id = sections::sparse_index(index);
        let wrong = |what| self.corrupt("SPARSE_INDEX", what);
        if self.reader.len(id).is_none() {
            return Err(wrong("a required section is absent"));
        }
        let rows = u32::try_from(rows).expect("rows are counted in 32 bits");
        let read = SparseIndex::from_bytes(&self.reader.read(id)?, rows, field.dim);
        read.ok_or_else(|| wrong("not an index of this segment's vectors"))
    }

    /// Hands over all vectors as they are stored, some whole rows at a time, verified.
    fn each_stored(
        &self,
        index: usize,
        field: &VectorField,
        rows: usize,
        mut each: impl FnMut(&[u8]),
    ) -> Result<()> {
        let id = sections::vectors(index);
        let row_bytes = field.row_bytes();
        let rows_per_read = (READ_BYTES / row_bytes).max(1);
        let mut buffer = vec![0_u8; rows_per_read.min(rows) * row_bytes];
        let mut done = 0;
        while done < rows {
            let count = rows_per_read.min(rows - done);
            let part = &mut buffer[..count * row_bytes];
            let offset = done as u64 * row_bytes as u64;
            let end = offset + part.len() as u64;
            self.reader.will_read(id, end..end + READ_BYTES as u64);
            self.reader.read_range(id, offset, part)?;
            each(part);
            done += count;
        }
        Ok(())
    }

    fn field_indexes(&self, rows: u32) -> Result<Vec<(Box<str>, FieldIndex)>> {
        let mut indexes = Vec::new();
        for number in 0.. {
            let id = sections::field_index(number);
            if self.reader.len(id).is_none() {
                break;
            }
            let bytes = self.reader.read(id)?;
            let named = split_name(&bytes).and_then(|(name, bytes)| {
                let index = FieldIndex::from_bytes(bytes)?;
                (index.rows() == rows).then_some((name.into(), index))
            });
            let wrong = || self.corrupt("FIELD_INDEX", "not an index of this segment");
            indexes.push(named.ok_or_else(wrong)?);
        }
        Ok(indexes)
    }

    /// `None` where there is none of these fields.
    fn text_index(&self, fields: &TextFields, rows: u32) -> Result<Option<TextIndex>> {
        if self.reader.len(sections::TEXT_INDEX).is_none() {
            return Ok(None);
        }
        let section = self.reader.read(sections::TEXT_INDEX)?;
        let wrong = |Damaged| self.corrupt("TEXT_INDEX", "not an index of this segment's texts");
        fields.read(section, rows).map_err(wrong)
    }

    fn graph(&self, index: usize, field: &VectorField, rows: usize) -> Result<Option<FieldGraph>> {
        let quantised = sections::quantised_graph(index);
        // A field may have had a graph of the other kind when older segments were written.
        let is_quantised = self.reader.len(quantised).is_some();
        let (id, name) = match is_quantised {
            true => (quantised, "QUANTISED_GRAPH"),
            false => (sections::graph(index), "GRAPH"),
        };
        if self.reader.len(id).is_none() {
            return Ok(None);
        }
        if is_quantised && !field.may_be_quantised() {
            return Err(self.corrupt(name, "a graph over vectors that cannot have it"));
        }
        let bytes = self.reader.read(id)?;
        let read = match is_quantised {
            true => FieldGraph::quantised(&bytes, field, rows),
            false => {
                FieldGraph::from_bytes(field.kind, &bytes, rows).map_err(|error| error.to_string())
            }
        };
        read.map(Some).map_err(|what| self.corrupt(name, &what))
    }

    /// The head of clustered postings; both regions are there.
    fn clusters(&self, index: usize, field: &VectorField, rows: usize) -> Result<Option<Ivf>> {
        let id = sections::clusters(index);
        if self.reader.len(id).is_none() {
            return Ok(None);
        }
        let wrong = |what: &str| self.corrupt("CLUSTERS", what);
        if field.kind != VectorKind::F32 {
            return Err(wrong("lists of vectors that cannot have them"));
        }
        let metric = field.metric.metric();
        let head = Ivf::read_head(&self.reader.read(id)?, rows, field.width(), metric);
        let head = head.map_err(|error| wrong(&error.to_string()))?;
        for (region, name) in [
            (Region::Coarse, "COARSE_POSTINGS"),
            (Region::Fine, "FINE_POSTINGS"),
        ] {
            let id = sections::postings(index, region);
            self.expect_len(id, name, head.region_bytes(region))?;
        }
        Ok(Some(head))
    }

    /// `Some(None)` where vectors are too long to have any.
    fn codes(
        &self,
        index: usize,
        field: &VectorField,
        rows: usize,
    ) -> Result<Option<Option<Coded>>> {
        let id = sections::codes(index);
        match self.reader.len(id) {
            None => return Ok(None),
            Some(0) => return Ok(Some(None)),
            Some(_) => {}
        }
        let wrong = |what: &str| self.corrupt("CODES", what);
        let coded = Coded::from_bytes(&self.reader.read(id)?, rows);
        let coded = coded.map_err(|error| wrong(&error.to_string()))?;
        let is_of_field = field.kind == VectorKind::F32
            && (coded.dim(), coded.metric()) == (field.width(), field.metric.metric());
        match is_of_field {
            true => Ok(Some(Some(coded))),
            false => Err(wrong("codes of other vectors")),
        }
    }

    fn curve(&self, field: usize) -> Result<Option<Curve>> {
        let id = sections::calibration(field);
        if self.reader.len(id).is_none() {
            return Ok(None);
        }
        let wrong = || self.corrupt("CALIBRATION", "not what a graph was measured to be");
        Curve::from_bytes(&self.reader.read(id)?)
            .map(Some)
            .ok_or_else(wrong)
    }

    fn stored(&self, rows: usize) -> Result<Stored> {
        match self.reader.len(sections::BLOCKS) {
            Some(bytes) => self.blocks(rows, bytes),
            None => self.end_to_end(rows),
        }
    }

    fn blocks(&self, rows: usize, bytes: u64) -> Result<Stored> {
        let id = sections::BLOCK_TABLE;
        let wrong = |what: &str| self.corrupt("BLOCK_TABLE", what);
        let table_bytes = self.reader.len(id);
        let table_bytes = table_bytes.ok_or_else(|| wrong("a required section is absent"))?;
        if (bytes, table_bytes) == (0, 0) {
            return Ok(Stored::Nothing);
        }
        // The length tells the rest: nothing is read of a table that cannot be one.
        BlockTable::block_count(table_bytes, rows)
            .ok_or_else(|| wrong("a section of another length than its rows"))?;
        BlockTable::from_bytes(&self.reader.read(id)?, rows, bytes)
            .map(Stored::Blocks)
            .map_err(|fault| match fault {
                Fault::Wrong(what) => wrong(what),
                Fault::UnknownCodec => StorageError::Unsupported {
                    file: self.path.to_path_buf(),
                    what: "fields that are compressed in a way that is not known".to_owned(),
                }
                .into(),
            })
    }

    /// As versions before blocks wrote them.
    fn end_to_end(&self, rows: usize) -> Result<Stored> {
        let payload = self
            .reader
            .len(sections::PAYLOAD)
            .ok_or_else(|| self.corrupt("BLOCKS", "a required section is absent"))?;
        if payload == 0 {
            self.expect_len(sections::PAYLOAD_ENDS, "PAYLOAD_ENDS", 0)?;
            return Ok(Stored::Nothing);
        }
        let ends = self.numbers(sections::PAYLOAD_ENDS, "PAYLOAD_ENDS", rows)?;
        if !ends.is_sorted() || ends.last() != Some(&payload) {
            return Err(self.corrupt("PAYLOAD_ENDS", "ends that do not fit the payload"));
        }
        Ok(Stored::EndToEnd(ends))
    }
}
