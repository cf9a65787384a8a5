//! Immutable sets of records: one file each, its vectors and graphs in memory.

mod build;
mod key_index;
mod open;
#[cfg(not(fuzzing))]
mod sections;
#[cfg(fuzzing)]
pub(crate) mod sections;

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use cairn_distance::Metric;
use cairn_env::{Bug, Env, KillPoint, planted};
use cairn_index::{Graph, Hit, Query, Scratch, Vectors, flat};
use cairn_storage::SegmentReader;

use crate::effort;
use crate::error::Result;
use crate::keys::{Key, Keys};
use crate::manifest::SegmentEntry;
use crate::payload;
use crate::query::{Effort, SelectFields};
use crate::retained::{FileId, Retained};
use crate::stop::Stop;
use crate::tombstones::Tombstones;
use crate::ulid::Ulid;

pub(crate) use build::{BuildPlan, GraphPlan, Meta, MetaVector, Origin, RowSource, build};
pub(crate) use open::{
    check_contents, deletions_path, is_there, open, read_deletions, salvage, segment_path,
    verify_file, verify_stored, write_deletions,
};
pub(crate) use sections::{
    DELETIONS, KEYS, KNOWN, META, PAYLOAD, PAYLOAD_ENDS, VERSIONS, rows_in, section_name, vectors,
};

use key_index::KeyIndex;

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
    fields: Vec<SegmentField>,
    /// End of each row's payload in its section; empty when no row has any.
    payload_ends: Vec<u64>,
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
    vectors: Vectors,
    graph: Option<Graph>,
}

/// What a search of one segment or memtable did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub path: &'static str,
    pub ef: usize,
    pub hops: u64,
    pub distances: u64,
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

    /// The row of `key` that a snapshot at `lsn` sees.
    pub fn find(&self, key: Key<'_>, lsn: u64) -> Option<u32> {
        let row = self.row_of(key)?;
        self.tombstones.sees(row, lsn).then_some(row)
    }

    pub fn key(&self, row: u32) -> Key<'_> {
        self.keys.get(row as usize)
    }

    pub fn version(&self, row: u32) -> u64 {
        self.versions[row as usize]
    }

    pub fn dim(&self, field: usize) -> usize {
        self.fields[field].vectors.dim()
    }

    /// The row's vector as it was given. Under cosine memory holds the unit vector, so the given
    /// one is read from the file.
    pub fn vector(&self, row: u32, field: usize, out: &mut [f32]) -> Result<()> {
        let SegmentField {
            metric, vectors, ..
        } = &self.fields[field];
        if metric.normalises() {
            let offset = u64::from(row) * size_of_val(out) as u64;
            let bytes = bytemuck::cast_slice_mut(out);
            self.reader
                .read_range(sections::vectors(field), offset, bytes)?;
        } else {
            out.copy_from_slice(vectors.row(row));
        }
        Ok(())
    }

    /// Appends the row's selected fields to `out`.
    pub fn payload(&self, row: u32, select: &SelectFields, out: &mut Vec<u8>) -> Result<()> {
        if self.payload_ends.is_empty() || *select == SelectFields::None {
            return Ok(());
        }
        let row = row as usize;
        let start = if row == 0 {
            0
        } else {
            self.payload_ends[row - 1]
        };
        let length = usize::try_from(self.payload_ends[row] - start)
            .expect("the fields of a record are below 1 MiB");
        if length == 0 {
            return Ok(());
        }
        let at = out.len();
        out.resize(at + length, 0);
        self.reader.read_range(PAYLOAD, start, &mut out[at..])?;
        if let SelectFields::Some(names) = select {
            let cut = payload::select(&out[at..], names)?;
            out.truncate(at);
            out.extend_from_slice(&cut);
        }
        Ok(())
    }

    /// Whether a graph stands over the field.
    pub fn has_graph(&self, field: usize) -> bool {
        self.fields[field].graph.is_some()
    }

    /// The `k` nearest rows that a snapshot at `lsn` sees, nearest first; at least
    /// `min(k, rows it sees)` of them.
    #[expect(
        clippy::too_many_arguments,
        reason = "one question, asked by the search alone"
    )]
    pub fn search(
        &self,
        field: usize,
        query: &Query,
        k: usize,
        wanted: Effort,
        lsn: u64,
        stop: &Stop,
        scratch: &mut Scratch,
        hits: &mut Vec<Hit>,
    ) -> Result<Outcome> {
        let SegmentField {
            metric,
            vectors,
            graph,
        } = &self.fields[field];
        let accept =
            |row: u32| self.tombstones.sees(row, lsn) || planted(Bug::SearchReturnsDeleted);
        let due = || stop.is_due();
        let live = self.rows() - self.tombstones.count_at(lsn);
        if let (Some(graph), Some(ef)) = (graph, effort::ef_search(wanted, k, live)) {
            let found = graph.search(vectors, query, k, ef, accept, scratch, due, hits);
            stop.check()?;
            // Deletions can cut a graph into islands; the promise of k results stands.
            if let Ok(effort) = found
                && hits.len() >= k.min(live)
            {
                return Ok(Outcome {
                    path: "hnsw",
                    ef,
                    hops: u64::from(effort.hops),
                    distances: u64::from(effort.distances),
                });
            }
        }
        let rows = u32::try_from(self.rows()).expect("rows are counted in 32 bits");
        let tie = |a: u32, b: u32| self.keys.compare(a as usize, b as usize);
        let found = flat::search(vectors, *metric, query, k, 0..rows, accept, tie, due, hits);
        stop.check()?;
        Ok(Outcome {
            path: "flat",
            ef: 0,
            hops: 0,
            distances: found.map_or(0, |effort| u64::from(effort.distances)),
        })
    }

    /// All rows, by key.
    pub fn by_key(&self) -> &[u32] {
        self.by_key.get_or_init(|| {
            let rows = u32::try_from(self.rows()).expect("rows are counted in 32 bits");
            let mut order: Vec<u32> = (0..rows).collect();
            order.sort_unstable_by(|&a, &b| self.keys.compare(a as usize, b as usize));
            order
        })
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

    pub fn memory(&self) -> Memory {
        let graphs = self.fields.iter().filter_map(|field| field.graph.as_ref());
        Memory {
            vectors: self.fields.iter().map(|f| f.vectors.bytes()).sum(),
            graphs: graphs.map(Graph::bytes).sum(),
            keys: self.keys.bytes(),
            key_index: self.key_index.bytes(),
            rest: self.versions.len() * 8
                + self.payload_ends.len() * 8
                + self.tombstones.bytes()
                + self.by_key.get().map_or(0, |order| order.len() * 4),
        }
    }
}

/// Bytes a segment holds in memory, by use.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub vectors: usize,
    pub graphs: usize,
    pub keys: usize,
    pub key_index: usize,
    pub rest: usize,
}

impl Memory {
    pub fn total(self) -> usize {
        self.vectors + self.graphs + self.keys + self.key_index + self.rest
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let doomed = self.doomed.take();
        if doomed.is_some_and(|(retained, file)| retained.abandon(file)) {
            // Should the removal fail, the file is an orphan that the next open removes.
            let _ = self.env.disk.remove_file(&self.path);
            let _ = self.env.faults.hit(KillPoint::K25SegmentUnlinked);
        }
    }
}
