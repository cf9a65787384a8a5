//! Recent records: flat, append-only, searchable at once.
//!
//! Rows live in chunks that never move once made. One writer appends; readers see the rows of
//! their snapshot by count (rows are appended in version order) and skip those whose deletion
//! their snapshot covers. A key's older rows hang on its newest one by `previous`, so that an
//! older snapshot still finds its own.

mod filtered;
mod words;

use std::borrow::Cow;
use std::cmp::Ordering as KeyOrder;
use std::sync::{Arc, OnceLock};

use cairn_env::sync::RwLock;
use cairn_env::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use hashbrown::HashTable;

use cairn_distance::Metric;
use cairn_filter::Bitmap;
use cairn_index::flat::TopK;
use cairn_text::MemoryIndex;

use crate::batch::{Payloads, VectorColumn, WriteBatch};
use crate::codes::{ALLOWED_MIN, DEVIATIONS, LazyCodes, ScanSpace, may_have_codes, may_use_codes};
use crate::error::Result;
use crate::expiry::{Moment, end_of};
use crate::keys::{Key, KeyType, Keys};
use crate::payload;
use crate::query::{Effort, SelectFields};
use crate::schema::{Schema, VectorField};
use crate::stop::Stop;
use crate::text::TextFields;
use crate::vectors::{FieldQuery, Matrix, VectorRows};

pub(crate) use words::WordsOfChunk;

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
    vectors: Vec<VectorField>,
    fields: Vec<FieldShape>,
    texts: Option<TextFields>,
    /// The field whose date ends a record.
    expires_at: Option<Box<str>>,
    chunks: RwLock<Vec<Arc<RwLock<Chunk>>>>,
    /// The words of each chunk's texts, where there are text fields. Apart from the chunk, so that
    /// nobody else waits while a text is taken apart.
    words: RwLock<Vec<Arc<RwLock<MemoryIndex>>>>,
    newest: RwLock<HashTable<u32>>,
    rows: AtomicUsize,
    bytes: AtomicUsize,
    unlogged: AtomicBool,
}

#[derive(Clone, Copy)]
struct FieldShape {
    width: usize,
    /// Bytes that a vector takes, the given one and the one of length one; `None` where they differ.
    bytes: Option<usize>,
    keeps_given: bool,
    metric: Metric,
    normalises: bool,
    may_have_codes: bool,
}

/// A field of vectors as its schema has it, and what is needed of it here.
type Field<'a> = (&'a VectorField, &'a FieldShape);

struct Chunk {
    /// The vectors as given, per field; empty where memory has them as they are stored.
    raw: Vec<VectorRows>,
    /// The same ready for kernels: normalised under cosine, padded; of sparse ones their index.
    prepared: Vec<Matrix>,
    /// Of each field, once the chunk is full.
    codes: Vec<LazyCodes>,
    keys: Keys,
    payloads: Payloads,
    created: Vec<u64>,
    deleted: Vec<AtomicU64>,
    previous: Vec<u32>,
    /// When each record is over; empty where none ever is.
    ends: Vec<i64>,
    /// Its rows in the order of their keys, made when first asked for once the chunk is full.
    by_key: OnceLock<Box<[u16]>>,
}

/// A row to be appended.
pub(crate) struct NewRow<'a> {
    pub key: Key<'a>,
    /// One for each vector field.
    pub vectors: &'a [&'a [f32]],
    pub payload: &'a [u8],
}

impl Memtable {
    pub fn new(schema: &Schema) -> Self {
        Self {
            key_type: schema.key,
            vectors: schema.vectors.clone(),
            fields: schema
                .vectors
                .iter()
                .map(|field| FieldShape {
                    width: field.width(),
                    bytes: (!field.kind.varies())
                        .then(|| field.row_bytes() * (1 + usize::from(field.normalises()))),
                    keeps_given: field.keeps_given(),
                    metric: field.metric.metric(),
                    normalises: field.normalises(),
                    may_have_codes: may_have_codes(field),
                })
                .collect(),
            texts: TextFields::of(schema),
            expires_at: schema.expires_at.as_deref().map(Into::into),
            chunks: RwLock::new(Vec::new()),
            words: RwLock::new(Vec::new()),
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

    /// Bytes that the rows of `batch` would add, but for the words of their texts.
    pub fn bytes_of(&self, batch: &WriteBatch) -> usize {
        let bytes = |((field, shape), column): (Field<'_>, &Option<VectorColumn>)| {
            let column = column.as_ref();
            column.map_or(0, |column| match shape.bytes {
                Some(bytes) => bytes * batch.keys.len(),
                None => field.memory_of(column.data.len()),
            })
        };
        let vectors: usize = self.shapes().zip(&batch.vectors).map(bytes).sum();
        let payloads = batch.payloads.as_ref().map_or(0, |it| it.bytes.len());
        vectors + payloads + batch.keys.bytes() + batch.keys.len() * ROW_OVERHEAD_BYTES
    }

    fn shapes(&self) -> impl Iterator<Item = Field<'_>> {
        self.vectors.iter().zip(&self.fields)
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
            let chunk = Chunk::new(self.key_type, &self.vectors, chunk_rows(chunk_index));
            self.chunks.write().push(Arc::new(RwLock::new(chunk)));
        }
        let words = self.append_words(chunk_index, row.payload);
        let end = self.expires_at.as_deref();
        let end = end.map(|field| end_of(row.payload, field));
        let hash = row.key.hash64();
        let same_key = |&other: &u32| self.has_key(other, row.key);
        let previous = self.newest.read().find(hash, same_key).copied();
        self.chunk(chunk_index).write().push(
            lsn,
            row,
            previous.unwrap_or(NO_ROW),
            &self.fields,
            end,
        );
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
        let bytes = |((field, shape), vector): (Field<'_>, &&[f32])| {
            let bytes = shape.bytes;
            bytes.unwrap_or_else(|| field.memory_of(vector.len()))
        };
        let vectors: usize = self.shapes().zip(row.vectors).map(bytes).sum();
        let bytes = vectors + row.key.bytes() + row.payload.len() + words + ROW_OVERHEAD_BYTES;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.rows.store(rows + 1, Ordering::Release);
    }

    /// The same rows with another schema, which differs in its texts alone.
    pub fn copied(&self, schema: &Schema) -> Self {
        let copy = Self::new(schema);
        if self.is_unlogged() {
            copy.mark_unlogged();
        }
        for row in 0..row_number(self.rows()) {
            self.with_row(row, |chunk, at| {
                let vectors = self.fields.iter().enumerate();
                let vectors: Vec<Cow<'_, [f32]>> = vectors
                    .map(|(field, shape)| chunk.vector(at, field, *shape))
                    .collect();
                let vectors: Vec<&[f32]> = vectors.iter().map(AsRef::as_ref).collect();
                let new = NewRow {
                    key: chunk.keys.get(at),
                    vectors: &vectors,
                    payload: chunk.payloads.get(at),
                };
                copy.append(chunk.created[at], &new);
            });
            if let Some(lsn) = self.deleted_by(row) {
                copy.delete(row, lsn);
            }
        }
        copy
    }

    /// Marks a row as deleted by version `lsn`.
    pub fn delete(&self, row: u32, lsn: u64) {
        self.with_row(row, |chunk, at| {
            chunk.deleted[at].store(lsn, Ordering::Release);
        });
    }

    /// The row of `key` that a snapshot at `moment` sees.
    pub fn find(&self, key: Key<'_>, moment: Moment) -> Option<u32> {
        let same_key = |&other: &u32| self.has_key(other, key);
        let mut row = *self.newest.read().find(key.hash64(), same_key)?;
        loop {
            let (created, is_seen, previous) = self.with_row(row, |chunk, at| {
                let is_seen = chunk.sees(at, moment);
                (chunk.created[at], is_seen, chunk.previous[at])
            });
            if created <= moment.lsn {
                return is_seen.then_some(row);
            }
            if previous == NO_ROW {
                return None;
            }
            row = previous;
        }
    }

    /// Whether a snapshot at `moment` sees a row.
    pub fn sees(&self, row: u32, moment: Moment) -> bool {
        self.with_row(row, |chunk, at| chunk.sees(at, moment))
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

    /// Values of the row's vector in field `field`.
    pub fn vector_values(&self, row: u32, field: usize) -> usize {
        match self.fields[field].bytes {
            Some(_) => self.fields[field].width,
            None => self.with_vector(row, field, <[f32]>::len),
        }
    }

    /// Calls `f` with the row's vector in field `field`, as it is stored.
    pub fn with_vector<R>(&self, row: u32, field: usize, f: impl FnOnce(&[f32]) -> R) -> R {
        let shape = self.fields[field];
        self.with_row(row, |chunk, at| f(&chunk.vector(at, field, shape)))
    }

    /// Calls `f` with the row's vector in field `field` as searches compare it.
    pub fn with_prepared<R>(&self, row: u32, field: usize, f: impl FnOnce(&[f32]) -> R) -> R {
        let shape = self.fields[field];
        self.with_row(row, |chunk, at| f(&chunk.prepared(at, field, shape)))
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

    /// Bytes of the row's fields.
    pub fn payload_bytes(&self, row: u32) -> usize {
        self.with_row(row, |chunk, at| chunk.payloads.get(at).len())
    }

    /// Calls `f` with each of the first `rows` rows that a snapshot at `moment` sees, in order.
    pub fn for_each_visible(&self, rows: usize, moment: Moment, f: impl FnMut(u32, Key<'_>)) {
        let never = Stop::never();
        self.for_each_visible_until(rows, moment, &never, f)
            .expect("nobody stops it");
    }

    /// As [`for_each_visible`](Self::for_each_visible), unless it is to end early.
    ///
    /// # Errors
    /// What `stop` says.
    pub fn for_each_visible_until(
        &self,
        rows: usize,
        moment: Moment,
        stop: &Stop,
        mut f: impl FnMut(u32, Key<'_>),
    ) -> Result<()> {
        for (first, chunk) in self.chunks_of(rows) {
            stop.check()?;
            let chunk = chunk.read();
            for at in 0..chunk.created.len().min(rows - first) {
                if chunk.sees(at, moment) {
                    f(row_number(first + at), chunk.keys.get(at));
                }
            }
        }
        Ok(())
    }

    /// How many of the first `rows` rows a snapshot at `moment` sees.
    pub fn visible(&self, rows: usize, moment: Moment) -> usize {
        let mut count = 0;
        self.for_each_visible(rows, moment, |_, _| count += 1);
        count
    }

    /// Offers `hits` the `k` nearest of the first `rows` rows that a snapshot at `moment` sees, or
    /// of those of them that are `allowed`, chunk by chunk and at most `k` of each; returns how many
    /// distances were computed, one for each such row and fewer where codes tell, and whether any do.
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
        query: &FieldQuery,
        k: usize,
        rows: usize,
        allowed: Option<&Bitmap>,
        moment: Moment,
        effort: Effort,
        stop: &Stop,
        space: &mut ScanSpace,
        hits: &mut Vec<cairn_index::Hit>,
    ) -> Result<(u64, bool)> {
        let shape = self.fields[field];
        // Of a filter that leaves few rows, those are read and no others.
        let few = allowed.is_some_and(|allowed| allowed.count() * ALLOWED_MIN < rows);
        let by_codes = shape.may_have_codes && may_use_codes(effort) && !few;
        let mut found = Vec::new();
        let (mut distances, mut coded) = (0, false);
        for (index, (first, chunk)) in self.chunks_of(rows).into_iter().enumerate() {
            let mut from = 0;
            // A chunk that takes long is let go of now and then: whoever writes waits for it.
            loop {
                let chunk = chunk.read();
                let count = chunk.created.len().min(rows - first);
                let is_full = count == chunk_rows(index);
                let accept = |row: u32| match allowed {
                    Some(rows) => rows.contains(row_number(first) + row),
                    None => chunk.sees(row as usize, moment),
                };
                let tie =
                    |a: u32, b: u32| -> KeyOrder { chunk.keys.compare(a as usize, b as usize) };
                let (vectors, due) = (&chunk.prepared[field], || stop.is_due());
                let until = count.min(vectors.rows_at_once(query).saturating_add(from));
                let codes = (by_codes && is_full).then(|| chunk.codes[field].get(count, space));
                let coded_rows = codes.flatten().zip(vectors.as_f32()).zip(query.as_f32());
                let searched = match coded_rows {
                    Some(((codes, vectors), query)) => {
                        coded = true;
                        let (space, mut top) = (&mut space.codes, TopK::new(k));
                        let scanned = codes.scan(
                            vectors, query, DEVIATIONS, accept, tie, due, space, &mut top,
                        );
                        top.finish(tie, &mut found);
                        scanned
                    }
                    None => {
                        let (metric, rows) = (shape.metric, row_number(from)..row_number(until));
                        vectors.search(metric, query, k, rows, None, accept, tie, due, &mut found)
                    }
                };
                let Ok(effort) = searched else {
                    found.clear();
                    stop.check()?;
                    break;
                };
                distances += u64::from(effort.distances);
                from = until;
                if from == count {
                    break;
                }
            }
            let first = row_number(first);
            hits.extend(found.drain(..).map(|hit| cairn_index::Hit {
                row: first + hit.row,
                ..hit
            }));
        }
        Ok((distances, coded))
    }

    /// Makes the codes that searches asked for, of chunks that are full.
    pub fn make_codes(&self) {
        let rows = self.rows();
        for (index, (first, chunk)) in self.chunks_of(rows).into_iter().enumerate() {
            if rows - first < chunk_rows(index) {
                return;
            }
            let chunk = chunk.read();
            let fields = chunk.codes.iter().zip(&chunk.prepared).zip(&self.fields);
            let made = fields.map(|((codes, vectors), shape)| {
                let vectors = vectors.as_f32();
                vectors.map_or(0, |vectors| codes.make(vectors, shape.metric))
            });
            self.bytes.fetch_add(made.sum(), Ordering::Relaxed);
        }
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
    fn new(key_type: KeyType, fields: &[VectorField], rows: usize) -> Self {
        Self {
            raw: fields.iter().map(VectorRows::none).collect(),
            prepared: fields.iter().map(|field| Matrix::of(field, rows)).collect(),
            codes: fields.iter().map(|_| LazyCodes::default()).collect(),
            keys: Keys::new(key_type),
            payloads: Payloads::default(),
            created: Vec::with_capacity(rows),
            deleted: Vec::with_capacity(rows),
            previous: Vec::with_capacity(rows),
            ends: Vec::new(),
            by_key: OnceLock::new(),
        }
    }

    fn push(
        &mut self,
        lsn: u64,
        row: &NewRow<'_>,
        previous: u32,
        fields: &[FieldShape],
        end: Option<i64>,
    ) {
        for (index, (vector, shape)) in row.vectors.iter().zip(fields).enumerate() {
            if shape.keeps_given {
                self.raw[index].push(vector);
            }
            self.prepared[index].push(vector, shape.normalises);
        }
        self.keys.push(row.key);
        self.payloads.push(row.payload);
        self.created.push(lsn);
        self.deleted.push(AtomicU64::new(ALIVE));
        self.previous.push(previous);
        self.ends.extend(end);
    }

    fn vector(&self, at: usize, field: usize, shape: FieldShape) -> Cow<'_, [f32]> {
        if shape.keeps_given {
            Cow::Borrowed(self.raw[field].get(at))
        } else {
            self.prepared(at, field, shape)
        }
    }

    fn prepared(&self, at: usize, field: usize, shape: FieldShape) -> Cow<'_, [f32]> {
        let (vectors, row) = (&self.prepared[field], row_number(at));
        if let Some(vectors) = vectors.as_f32() {
            return Cow::Borrowed(vectors.row(row));
        }
        if !vectors.has_rows() {
            return Cow::Borrowed(self.raw[field].get(at));
        }
        let mut values = vec![0.0; shape.width];
        vectors.read(row, &mut values);
        Cow::Owned(values)
    }

    fn sees(&self, at: usize, Moment { lsn, now }: Moment) -> bool {
        self.created[at] <= lsn
            && self.deleted[at].load(Ordering::Acquire) > lsn
            && self.ends.get(at).is_none_or(|end| *end > now)
    }
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
