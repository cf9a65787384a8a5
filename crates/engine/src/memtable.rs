//! Recent records: flat, append-only, searchable at once.
//!
//! Rows live in chunks that never move once made. One writer appends; readers see the rows of
//! their snapshot by count (rows are appended in version order) and skip those whose deletion
//! their snapshot covers. A key's older rows hang on its newest one by `previous`, so that an
//! older snapshot still finds its own.

use std::cmp::Ordering as KeyOrder;
use std::sync::Arc;

use cairn_env::sync::RwLock;
use cairn_env::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use hashbrown::HashTable;

use cairn_distance::Metric;
use cairn_index::{Query, Vectors, flat};

use crate::batch::Payloads;
use crate::error::Result;
use crate::keys::{Key, KeyType, Keys};
use crate::payload;
use crate::query::SelectFields;
use crate::schema::Schema;
use crate::stop::Stop;

/// Rows of the first chunk; each next one doubles, up to [`CHUNK_ROWS_MAX`].
const CHUNK_ROWS_MIN: usize = 64;
/// Rows of the largest chunk: 4 MiB at 128 dims, so a scan holds its lock for well under a
/// millisecond.
const CHUNK_ROWS_MAX: usize = 8_192;
/// What a row costs besides its key, vectors and payload: created, deleted, previous, ends, map slot.
const ROW_OVERHEAD_BYTES: usize = 40;

/// No older row of the same key.
const NO_ROW: u32 = u32::MAX;
/// The version that deletes a row nobody has deleted.
const ALIVE: u64 = u64::MAX;

/// A memtable: one writer at a time (the commit leader), any number of readers.
pub(crate) struct Memtable {
    key_type: KeyType,
    fields: Vec<FieldShape>,
    chunks: RwLock<Vec<Arc<RwLock<Chunk>>>>,
    newest: RwLock<HashTable<u32>>,
    rows: AtomicUsize,
    bytes: AtomicUsize,
    unlogged: AtomicBool,
}

#[derive(Clone, Copy)]
struct FieldShape {
    dim: usize,
    metric: Metric,
}

struct Chunk {
    /// The vectors as given, per field; empty under metrics that do not normalise.
    raw: Vec<Vec<f32>>,
    /// The same ready for kernels: normalised under cosine, padded.
    prepared: Vec<Vectors>,
    keys: Keys,
    payloads: Payloads,
    created: Vec<u64>,
    deleted: Vec<AtomicU64>,
    previous: Vec<u32>,
}

/// A row to be appended.
pub(crate) struct NewRow<'a> {
    pub key: Key<'a>,
    /// One slice of `dim` for each vector field.
    pub vectors: &'a [&'a [f32]],
    pub payload: &'a [u8],
}

impl Memtable {
    pub fn new(schema: &Schema) -> Self {
        Self {
            key_type: schema.key,
            fields: schema
                .vectors
                .iter()
                .map(|field| FieldShape {
                    dim: field.dim as usize,
                    metric: field.metric.metric(),
                })
                .collect(),
            chunks: RwLock::new(Vec::new()),
            newest: RwLock::new(HashTable::new()),
            rows: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            unlogged: AtomicBool::new(false),
        }
    }

    /// Rows appended so far, dead ones and those of uncommitted batches included.
    pub fn rows(&self) -> usize {
        self.rows.load(Ordering::Acquire)
    }

    /// Bytes held, near enough to flush by.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether some change here, a deletion elsewhere included, is in no log.
    pub fn is_unlogged(&self) -> bool {
        self.unlogged.load(Ordering::Relaxed)
    }

    /// Notes that a batch was applied without a log frame.
    pub fn mark_unlogged(&self) {
        self.unlogged.store(true, Ordering::Relaxed);
    }

    /// Appends a record written by version `lsn`. The caller deletes the key's older row.
    pub fn append(&self, lsn: u64, row: &NewRow<'_>) {
        let rows = self.rows.load(Ordering::Relaxed);
        let number = u32::try_from(rows).expect("a memtable is flushed long before 2^32 rows");
        let (chunk_index, _) = locate(rows);
        if chunk_index == self.chunks.read().len() {
            let chunk = Chunk::new(self.key_type, &self.fields, chunk_rows(chunk_index));
            self.chunks.write().push(Arc::new(RwLock::new(chunk)));
        }
        let hash = row.key.hash64();
        let same_key = |&other: &u32| self.has_key(other, row.key);
        let previous = self.newest.read().find(hash, same_key).copied();
        self.chunk(chunk_index)
            .write()
            .push(lsn, row, previous.unwrap_or(NO_ROW), &self.fields);
        let mut newest = self.newest.write();
        match previous {
            Some(old) => {
                *newest
                    .find_mut(hash, |&other| other == old)
                    .expect("the row found above is still there") = number;
            }
            None => {
                let rehash = |&other: &u32| self.with_key(other, |key| key.hash64());
                newest.insert_unique(hash, number, rehash);
            }
        }
        drop(newest);
        let copies = |shape: &FieldShape| 1 + usize::from(shape.metric.normalises());
        let vectors: usize = self.fields.iter().map(|f| f.dim * 4 * copies(f)).sum();
        let key = match row.key {
            Key::Str(text) => text.len(),
            Key::U64(_) => 8,
        };
        let bytes = vectors + key + row.payload.len() + ROW_OVERHEAD_BYTES;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.rows.store(rows + 1, Ordering::Release);
    }

    /// Marks a row as deleted by version `lsn`.
    pub fn delete(&self, row: u32, lsn: u64) {
        self.with_row(row, |chunk, at| {
            chunk.deleted[at].store(lsn, Ordering::Release);
        });
    }

    /// The row of `key` that a snapshot at `lsn` sees.
    pub fn find(&self, key: Key<'_>, lsn: u64) -> Option<u32> {
        let same_key = |&other: &u32| self.has_key(other, key);
        let mut row = *self.newest.read().find(key.hash64(), same_key)?;
        loop {
            let (created, deleted, previous) = self.with_row(row, |chunk, at| {
                let deleted = chunk.deleted[at].load(Ordering::Acquire);
                (chunk.created[at], deleted, chunk.previous[at])
            });
            if created <= lsn {
                return (deleted > lsn).then_some(row);
            }
            if previous == NO_ROW {
                return None;
            }
            row = previous;
        }
    }

    /// The version that wrote a row.
    pub fn version(&self, row: u32) -> u64 {
        self.with_row(row, |chunk, at| chunk.created[at])
    }

    /// The version that deleted a row, if any has.
    pub fn deleted_by(&self, row: u32) -> Option<u64> {
        let deleted = self.with_row(row, |chunk, at| chunk.deleted[at].load(Ordering::Acquire));
        (deleted != ALIVE).then_some(deleted)
    }

    /// Calls `f` with the row's key.
    pub fn with_key<R>(&self, row: u32, f: impl FnOnce(Key<'_>) -> R) -> R {
        self.with_row(row, |chunk, at| f(chunk.keys.get(at)))
    }

    /// Calls `f` with the row's vector in field `field`, as it was given.
    pub fn with_vector<R>(&self, row: u32, field: usize, f: impl FnOnce(&[f32]) -> R) -> R {
        let shape = self.fields[field];
        self.with_row(row, |chunk, at| f(chunk.vector(at, field, shape)))
    }

    /// Appends the row's selected fields to `out`.
    pub fn payload(&self, row: u32, select: &SelectFields, out: &mut Vec<u8>) -> Result<()> {
        self.with_row(row, |chunk, at| {
            let bytes = chunk.payloads.get(at);
            match select {
                SelectFields::All => out.extend_from_slice(bytes),
                SelectFields::Some(names) => out.extend(payload::select(bytes, names)?),
                SelectFields::None => {}
            }
            Ok(())
        })
    }

    /// Calls `f` with each of the first `rows` rows that a snapshot at `lsn` sees, in order.
    pub fn for_each_visible(&self, rows: usize, lsn: u64, mut f: impl FnMut(u32, Key<'_>)) {
        for (first, chunk) in self.chunks_of(rows) {
            let chunk = chunk.read();
            for at in 0..chunk.created.len().min(rows - first) {
                if chunk.sees(at, lsn) {
                    f(row_number(first + at), chunk.keys.get(at));
                }
            }
        }
    }

    /// Offers `hits` the `k` nearest of the first `rows` rows that a snapshot at `lsn` sees, chunk
    /// by chunk and at most `k` of each; returns how many distances were computed.
    ///
    /// # Errors
    /// What `stop` says.
    #[expect(
        clippy::too_many_arguments,
        reason = "one question, asked by the search alone"
    )]
    pub fn search(
        &self,
        field: usize,
        query: &Query,
        k: usize,
        rows: usize,
        lsn: u64,
        stop: &Stop,
        hits: &mut Vec<cairn_index::Hit>,
    ) -> Result<u64> {
        let metric = self.fields[field].metric;
        let mut found = Vec::new();
        let mut distances = 0;
        for (first, chunk) in self.chunks_of(rows) {
            let chunk = chunk.read();
            let count = row_number(chunk.created.len().min(rows - first));
            let searched = flat::search(
                &chunk.prepared[field],
                metric,
                query,
                k,
                0..count,
                |row| chunk.sees(row as usize, lsn),
                |a, b| -> KeyOrder { chunk.keys.compare(a as usize, b as usize) },
                || stop.is_due(),
                &mut found,
            );
            let Ok(effort) = searched else {
                stop.check()?;
                continue;
            };
            distances += u64::from(effort.distances);
            let first = row_number(first);
            hits.extend(found.drain(..).map(|hit| cairn_index::Hit {
                row: first + hit.row,
                ..hit
            }));
        }
        Ok(distances)
    }

    fn has_key(&self, row: u32, key: Key<'_>) -> bool {
        self.with_key(row, |other| other == key)
    }

    fn with_row<R>(&self, row: u32, f: impl FnOnce(&Chunk, usize) -> R) -> R {
        let (chunk, at) = locate(row as usize);
        f(&self.chunk(chunk).read_recursive(), at)
    }

    fn chunk(&self, index: usize) -> Arc<RwLock<Chunk>> {
        Arc::clone(&self.chunks.read_recursive()[index])
    }

    /// The chunks that hold the first `rows` rows, each with its first row.
    fn chunks_of(&self, rows: usize) -> Vec<(usize, Arc<RwLock<Chunk>>)> {
        let mut first = 0;
        let mut out = Vec::new();
        for (index, chunk) in self.chunks.read_recursive().iter().enumerate() {
            if first >= rows {
                break;
            }
            out.push((first, Arc::clone(chunk)));
            first += chunk_rows(index);
        }
        out
    }
}

impl Chunk {
    fn new(key_type: KeyType, fields: &[FieldShape], rows: usize) -> Self {
        Self {
            raw: fields.iter().map(|_| Vec::new()).collect(),
            prepared: fields
                .iter()
                .map(|field| Vectors::with_capacity(field.dim, rows))
                .collect(),
            keys: Keys::new(key_type),
            payloads: Payloads::default(),
            created: Vec::with_capacity(rows),
            deleted: Vec::with_capacity(rows),
            previous: Vec::with_capacity(rows),
        }
    }

    fn push(&mut self, lsn: u64, row: &NewRow<'_>, previous: u32, fields: &[FieldShape]) {
        for (index, (vector, shape)) in row.vectors.iter().zip(fields).enumerate() {
            if shape.metric.normalises() {
                self.raw[index].extend_from_slice(vector);
            }
            push_prepared(&mut self.prepared[index], shape.metric, vector);
        }
        self.keys.push(row.key);
        self.payloads.push(row.payload);
        self.created.push(lsn);
        self.deleted.push(AtomicU64::new(ALIVE));
        self.previous.push(previous);
    }

    fn vector(&self, at: usize, field: usize, shape: FieldShape) -> &[f32] {
        if shape.metric.normalises() {
            &self.raw[field][at * shape.dim..(at + 1) * shape.dim]
        } else {
            self.prepared[field].row(row_number(at))
        }
    }

    fn sees(&self, at: usize, lsn: u64) -> bool {
        self.created[at] <= lsn && self.deleted[at].load(Ordering::Acquire) > lsn
    }
}

/// Appends a vector in the form kernels want: of length one under cosine.
pub(crate) fn push_prepared(vectors: &mut Vectors, metric: Metric, raw: &[f32]) {
    vectors.fill_rows(1, |_, row| {
        row.copy_from_slice(raw);
        if metric.normalises() {
            // A zero vector was refused before it got here; left as it is, it is merely far away.
            let _ = cairn_distance::normalise(row);
        }
    });
}

fn row_number(row: usize) -> u32 {
    u32::try_from(row).expect("rows are counted in 32 bits")
}

/// Rows that chunk `index` has room for.
fn chunk_rows(index: usize) -> usize {
    CHUNK_ROWS_MAX.min(CHUNK_ROWS_MIN << index.min(DOUBLING))
}

/// Chunks that double: 64, 128, ... 4,096 rows; from the eighth on each has 8,192.
const DOUBLING: usize = 7;
const _: () = assert!(CHUNK_ROWS_MIN << DOUBLING == CHUNK_ROWS_MAX);

/// Chunk of a row and its place in it.
fn locate(row: usize) -> (usize, usize) {
    const DOUBLED_ROWS: usize = CHUNK_ROWS_MIN * ((1 << DOUBLING) - 1);
    if row < DOUBLED_ROWS {
        let index = (row / CHUNK_ROWS_MIN + 1).ilog2() as usize;
        (index, row - CHUNK_ROWS_MIN * ((1 << index) - 1))
    } else {
        let rest = row - DOUBLED_ROWS;
        (DOUBLING + rest / CHUNK_ROWS_MAX, rest % CHUNK_ROWS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_one_place() {
        let mut expected = (0, 0);
        for row in 0..100_000 {
            assert_eq!(locate(row), expected, "row={row}");
            expected.1 += 1;
            if expected.1 == chunk_rows(expected.0) {
                expected = (expected.0 + 1, 0);
            }
        }
    }
}
