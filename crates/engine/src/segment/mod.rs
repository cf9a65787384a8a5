//! Immutable sets of records: one file each, its graphs in memory, its vectors as well or mapped.

pub(crate) mod blocks;
mod build;
mod fields;
mod filtered;
mod indexes;
mod key_index;
mod mapped;
mod nearest;
mod open;
mod postings;
#[cfg(not(fuzzing))]
mod sections;
#[cfg(fuzzing)]
pub(crate) mod sections;
mod words;

use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use cairn_distance::Metric;
use cairn_env::{Bug, Env, KillPoint, planted};
use cairn_filter::Bitmap;
use cairn_index::Coded;
use cairn_storage::{SectionId, SegmentReader, StorageError};

use crate::block_cache::BlockCache;
use crate::codes::LazyCodes;
use crate::effort::Curve;
use crate::error::{Error, Result};
use crate::expiry::{Expiry, Moment};
use crate::keys::{Key, Keys};
use crate::manifest::SegmentEntry;
use crate::retained::{FileId, Retained};
use crate::schema::{VectorField, VectorKind};
use crate::sort::sort_until;
use crate::stop::Stop;
use crate::tombstones::Tombstones;
use crate::ulid::Ulid;
use crate::vectors::{FieldGraph, Matrix};

pub(crate) use build::{BuildPlan, GraphPlan, Meta, MetaVector, Origin, RowSource, build};
pub(crate) use fields::ReadAhead;
pub(crate) use nearest::{Outcome, Question};
pub(crate) use open::{
    check_contents, deletions_path, is_there, open, read_deletions, salvage, segment_path,
    verify_file, verify_stored, write_deletions,
};
pub(crate) use sections::{
    BLOCK_TABLE, BLOCKS, DELETIONS, KEYS, KNOWN, META, PAYLOAD, PAYLOAD_ENDS, VERSIONS, rows_in,
    section_name, vector_ends, vectors,
};

use fields::{Stored, end_to_end};
use indexes::Indexes;
use key_index::KeyIndex;
use mapped::Mapped;
use postings::Clusters;
use words::AllWords;

/// A segment that is open for reading: its file, and which of its rows are deleted. A reader
/// beside the writer has several of these over one file, each with the deletions of a manifest.
pub(crate) struct Segment {
    pub id: Ulid,
    pub entry: SegmentEntry,
    pub tombstones: Tombstones,
    body: Arc<Body>,
}

/// What of a segment never changes. Once it is doomed, its file goes with its last reader; a
/// [`Snapshot`](crate::Snapshot) sees to it that this happens on no thread that searches.
pub(crate) struct Body {
    env: Env,
    path: PathBuf,
    reader: SegmentReader,
    keys: Keys,
    key_index: KeyIndex,
    versions: Vec<u64>,
    /// The vector fields of the schema.
    shapes: Vec<VectorField>,
    fields: Vec<SegmentField>,
    stored: Stored,
    cache: Arc<BlockCache>,
    /// Its blocks have this number in the cache.
    number: u64,
    indexes: Indexes,
    words: AllWords,
    /// When its records are over, where some ever are.
    expiry: Option<Expiry>,
    /// Rows in key order, made when first scanned.
    by_key: OnceLock<Vec<u32>>,
    /// Who is asked for the file when the last reader has gone, once no newer state has it.
    doomed: OnceLock<(Arc<Retained>, FileId)>,
    retired: AtomicBool,
}

impl Deref for Segment {
    type Target = Body;

    fn deref(&self) -> &Body {
        &self.body
    }
}

struct SegmentField {
    metric: Metric,
    kind: VectorKind,
    row_bytes: usize,
    /// Where each vector ends in its section, where they differ in length.
    ends: Vec<u64>,
    /// Whether the vectors of the file are not those in memory.
    normalises: bool,
    vectors: Matrix,
    /// Where they are, if they are not a copy.
    mapped: Option<Arc<Mapped>>,
    graph: Option<FieldGraph>,
    /// In the place of a graph.
    clusters: Option<Clusters>,
    curve: Option<Curve>,
    /// Whether the segment has codes, or says that there are none.
    has_codes: bool,
    /// Codes that the schema asks for.
    coded: Option<Coded>,
    /// Those that searches asked for: in blocks where there is no graph, else row by row.
    lazy_codes: LazyCodes,
    may_have_codes: bool,
}

impl SegmentField {
    fn has_graph(&self) -> bool {
        self.graph.is_some() || self.clusters.is_some()
    }

    fn code_bytes(&self) -> usize {
        self.coded.as_ref().map_or(0, Coded::bytes) + self.lazy_codes.bytes()
    }

    /// Whether memory has the vectors as they are stored, and they were compared with their checksums.
    fn holds_stored(&self) -> bool {
        self.mapped.is_none() && !self.normalises && self.vectors.has_rows()
    }

    /// Where the row's vector lies in its section.
    fn range(&self, row: u32) -> Range<u64> {
        if self.kind.varies() {
            return end_to_end(&self.ends, row);
        }
        let bytes = self.row_bytes as u64;
        let start = u64::from(row) * bytes;
        start..start + bytes
    }

    /// Whether what was seen of the vectors was theirs; asked after each use.
    fn check(&self, reader: &SegmentReader) -> Result<()> {
        match &self.mapped {
            Some(mapped) => mapped.check(reader),
            None => Ok(()),
        }
    }
}

impl Body {
    /// Values of the row's vector.
    pub fn vector_values(&self, row: u32, field: usize) -> usize {
        let field = &self.fields[field];
        let range = field.range(row);
        (range.end - range.start) as usize / field.kind.value_bytes()
    }

    /// Appends the row's vector as it is stored. Under cosine memory may hold the unit vector, of those that differ
    /// in length it has what searches need, and what is mapped is not compared with its checksum: then it is read
    /// from the file.
    pub fn vector(&self, row: u32, field: usize, out: &mut Vec<f32>) -> Result<()> {
        let id = vectors(field);
        let at = out.len();
        out.resize(at + self.vector_values(row, field), 0.0);
        let (values, field) = (&mut out[at..], &self.fields[field]);
        if field.holds_stored() {
            field.vectors.read(row, values);
            return Ok(());
        }
        let start = field.range(row).start;
        if field.kind.is_stored_as_given() {
            let bytes = bytemuck::cast_slice_mut(values);
            self.reader.read_range(id, start, bytes)?;
            return self.check_varying(id, values);
        }
        let mut bytes = vec![0; field.row_bytes];
        self.reader.read_range(id, start, &mut bytes)?;
        field.kind.decode(&bytes, values);
        Ok(())
    }

    /// Refuses what is no vector of its field, where they differ in length.
    ///
    /// # Errors
    /// `ERR_CORRUPT`.
    fn check_varying(&self, id: SectionId, vector: &[f32]) -> Result<()> {
        let shape = &self.shapes[id.field as usize];
        if !shape.kind.varies() {
            return Ok(());
        }
        shape.check_varying(vector).map_err(|error| {
            let offset = self.reader.offset(id).unwrap_or(0);
            corrupt(self.reader.path(), offset, id, error.message())
        })
    }
}

impl Segment {
    /// Rows, dead ones included.
    pub fn rows(&self) -> usize {
        self.versions.len()
    }

    /// Rows nobody has deleted.
    pub fn live(&self) -> usize {
        self.rows() - self.tombstones.count()
    }

    /// The row of `key`, dead or alive.
    pub fn row_of(&self, key: Key<'_>) -> Option<u32> {
        self.key_index
            .find(key.hash64(), |row| self.keys.get(row as usize) == key)
    }

    /// The row of `key` that a snapshot at `at` sees.
    pub fn find(&self, key: Key<'_>, at: Moment) -> Option<u32> {
        let row = self.row_of(key)?;
        self.sees(row, at).then_some(row)
    }

    /// Whether a snapshot at `at` sees the row.
    pub fn sees(&self, row: u32, at: Moment) -> bool {
        self.tombstones.sees(row, at.lsn) && self.expiry().is_none_or(|it| !it.is_over(row, at.now))
    }

    /// The rows that a snapshot at `at` sees.
    pub fn seen(&self, at: Moment) -> Bitmap {
        let mut seen = self.tombstones.seen(self.rows(), at.lsn);
        for &row in self.expiry().map_or(&[][..], |it| it.over(at.now)) {
            seen.remove(row);
        }
        seen
    }

    /// How many rows a snapshot at `at` does not see.
    pub fn count_gone(&self, at: Moment) -> usize {
        match self.expiry() {
            Some(expiry) => expiry.count_gone(&self.tombstones, at),
            None => self.tombstones.count_at(at.lsn),
        }
    }

    fn expiry(&self) -> Option<&Expiry> {
        let expiry = self.expiry.as_ref();
        expiry.filter(|_| !planted(Bug::SegmentForgetsExpiry))
    }

    pub fn key(&self, row: u32) -> Key<'_> {
        self.keys.get(row as usize)
    }

    pub fn version(&self, row: u32) -> u64 {
        self.versions[row as usize]
    }

    /// Appends the row's vector as memory holds it: of length one where the field normalises.
    ///
    /// # Errors
    /// `ERR_CORRUPT` if it is mapped and its file was cut.
    pub fn prepared(&self, row: u32, field: usize, out: &mut Vec<f32>) -> Result<()> {
        if !self.fields[field].vectors.has_rows() {
            return self.vector(row, field, out);
        }
        let at = out.len();
        out.resize(at + self.vector_values(row, field), 0.0);
        let field = &self.fields[field];
        field.vectors.read(row, &mut out[at..]);
        field.check(&self.reader)
    }

    /// Whether a graph stands over the field, or lists do.
    pub fn has_graph(&self, field: usize) -> bool {
        self.fields[field].has_graph()
    }

    /// Whether the field has what the schema asks for besides its vectors.
    pub fn is_indexed(&self, field: usize, shape: &VectorField) -> bool {
        let field = &self.fields[field];
        (field.has_graph() || !shape.has_graphs())
            && (field.has_codes || shape.quantisation().is_none())
    }

    /// How searches call the graph over the field; `flat` where there is none.
    pub fn index_name(&self, field: usize) -> &'static str {
        let field = &self.fields[field];
        match (&field.graph, &field.clusters) {
            (Some(graph), _) => graph.name(),
            (None, Some(_)) => "ivf",
            (None, None) => "flat",
        }
    }

    /// What was measured of that graph.
    pub fn curve(&self, field: usize) -> Option<&Curve> {
        self.fields[field].curve.as_ref()
    }

    /// Makes the codes that searches asked for, unless `stop` returns true.
    pub fn make_codes(&self, stop: impl Fn() -> bool + Sync) {
        for field in self.fields.iter().filter(|it| it.coded.is_none()) {
            let Some(vectors) = field.vectors.as_f32() else {
                continue;
            };
            if field.has_graph() {
                field.lazy_codes.make_rows(vectors, field.metric, &stop);
            } else {
                field.lazy_codes.make(vectors, field.metric);
            }
        }
    }

    /// All rows, by key. Sorts them when they are first asked for.
    pub fn by_key(&self) -> &[u32] {
        self.by_key_until(&Stop::never())
            .expect("nobody stops the sorting")
    }

    /// As [`by_key`](Self::by_key), unless the sorting is to end early.
    ///
    /// # Errors
    /// What `stop` says.
    pub fn by_key_until(&self, stop: &Stop) -> Result<&[u32]> {
        if let Some(order) = self.by_key.get() {
            return Ok(order);
        }
        let rows = u32::try_from(self.rows()).expect("rows are counted in 32 bits");
        let mut order: Vec<u32> = (0..rows).collect();
        let compare = |&a: &u32, &b: &u32| self.keys.compare(a as usize, b as usize);
        sort_until(&mut order, compare, stop)?;
        Ok(self.by_key.get_or_init(|| order))
    }

    /// The file may go once nobody reads it and no version has it.
    pub fn doom(&self, retained: &Arc<Retained>) {
        self.doomed.get_or_init(|| {
            let file = FileId::segment(self.reader.collection(), self.id);
            (Arc::clone(retained), file)
        });
        self.retire();
    }

    /// No newer state has it: its memory goes with the last snapshot of an older one.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Whether letting go of it may take long.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Its file, open.
    pub fn reader(&self) -> &SegmentReader {
        &self.reader
    }

    fn mapped(&self) -> impl Iterator<Item = &Mapped> {
        self.fields
            .iter()
            .filter_map(|field| field.mapped.as_deref())
    }

    pub fn memory(&self) -> Memory {
        let graphs = self.fields.iter().filter_map(|field| field.graph.as_ref());
        let heads = self.fields.iter().filter_map(|it| it.clusters.as_ref());
        let heads: usize = heads.map(|it| it.head.memory_bytes()).sum();
        Memory {
            vectors: self.fields.iter().map(|f| f.vectors.bytes()).sum(),
            mapped: self.mapped().map(Mapped::length).sum(),
            graphs: graphs.map(FieldGraph::bytes).sum::<usize>() + heads,
            codes: self.fields.iter().map(SegmentField::code_bytes).sum(),
            keys: self.keys.bytes(),
            key_index: self.key_index.bytes(),
            texts: self.words.memory(),
            rest: self.versions.len() * 8
                + self.stored.bytes()
                + self.tombstones.bytes()
                + self.fields.iter().map(|f| f.ends.len() * 8).sum::<usize>()
                + self.index_memory().map(|(_, bytes)| bytes).sum::<usize>()
                + self.expiry.as_ref().map_or(0, Expiry::memory)
                + self.by_key.get().map_or(0, |order| order.len() * 4),
        }
    }
}

/// `ERR_CORRUPT` about a section.
fn corrupt(file: &Path, offset: u64, id: SectionId, what: &str) -> Error {
    StorageError::Corrupt {
        file: file.to_path_buf(),
        offset,
        section: Some(section_name(id)),
        what: what.to_owned(),
    }
    .into()
}

/// Bytes a segment holds in memory, by use.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub vectors: usize,
    /// Not counted with the others: the system has these pages, and takes them back at will.
    pub mapped: usize,
    pub graphs: usize,
    pub codes: usize,
    pub keys: usize,
    pub key_index: usize,
    pub texts: usize,
    pub rest: usize,
}

impl Memory {
    pub fn total(self) -> usize {
        self.vectors
            + self.graphs
            + self.codes
            + self.keys
            + self.key_index
            + self.texts
            + self.rest
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.cache.forget(self.number);
        for clusters in self.fields.iter().filter_map(|it| it.clusters.as_ref()) {
            clusters.forget(&self.cache);
        }
        let doomed = self.doomed.take();
        if doomed.is_some_and(|(retained, file)| retained.abandon(file)) {
            // Should the removal fail, the file is an orphan that the next open removes.
            let _ = self.env.disk.remove_file(&self.path);
            let _ = self.env.faults.hit(KillPoint::K25SegmentUnlinked);
        }
    }
}
