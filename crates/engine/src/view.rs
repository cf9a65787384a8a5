//! One immutable state of a collection as readers see it.

use std::sync::Arc;

use cairn_env::{Bug, planted};

use crate::error::Result;
use crate::keys::{Key, KeyBuf};
use crate::memtable::Memtable;
use crate::query::{Record, Select, SelectFields};
use crate::schema::Schema;
use crate::segment::Segment;

/// Everything a reader needs. Published whole by the commit leader and by the publisher of
/// manifests, both under the core lock; read without one.
#[derive(Clone)]
pub(crate) struct View {
    /// The last version whose changes are seen.
    pub lsn: u64,
    /// Live records.
    pub count: u64,
    /// Oldest first; the last one takes the writes.
    pub memtables: Vec<MemtableView>,
    /// Oldest first.
    pub segments: Arc<[Arc<Segment>]>,
}

/// A memtable as one view sees it.
#[derive(Clone)]
pub(crate) struct MemtableView {
    pub table: Arc<Memtable>,
    /// Rows of it that belong to the view.
    pub rows: usize,
    /// The last version in it, once it takes no more writes.
    pub frozen_at: Option<u64>,
}

/// Where a record stands in a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Segments first, then memtables, by position.
    pub source: usize,
    pub row: u32,
}

/// A part of a view.
pub(crate) enum Source<'a> {
    Segment(&'a Segment),
    Memtable(&'a Memtable),
}

impl MemtableView {
    /// An empty memtable that takes writes.
    pub fn active(schema: &Schema) -> Self {
        Self {
            table: Arc::new(Memtable::new(schema)),
            rows: 0,
            frozen_at: None,
        }
    }
}

impl View {
    pub fn source(&self, index: usize) -> Source<'_> {
        match self.segments.get(index) {
            Some(segment) => Source::Segment(segment),
            None => Source::Memtable(&self.memtables[index - self.segments.len()].table),
        }
    }

    /// The memtable that takes the writes.
    pub fn active(&self) -> &MemtableView {
        self.memtables
            .last()
            .expect("a view always has an active memtable")
    }

    /// Memtables that wait to be flushed.
    pub fn frozen(&self) -> usize {
        self.memtables.len() - 1
    }

    /// Where a snapshot at `lsn` finds `key`; newest places are looked at first.
    pub fn find(&self, key: Key<'_>, lsn: u64) -> Option<Place> {
        let segments = self.segments.len();
        for (index, view) in self.memtables.iter().enumerate().rev() {
            if let Some(row) = view.table.find(key, lsn) {
                let source = segments + index;
                return Some(Place { source, row });
            }
        }
        for (source, segment) in self.segments.iter().enumerate().rev() {
            if let Some(row) = segment.find(key, lsn) {
                return Some(Place { source, row });
            }
        }
        None
    }

    /// Deletes the record at `place` as of version `lsn`.
    pub fn delete(&self, place: Place, lsn: u64) {
        match self.source(place.source) {
            Source::Segment(_) if planted(Bug::DeleteMissesSegment) => {}
            Source::Segment(segment) => segment.tombstones.delete(place.row, lsn),
            Source::Memtable(table) => table.delete(place.row, lsn),
        }
    }

    /// Calls `f` with the record's key.
    pub fn with_key<R>(&self, place: Place, f: impl FnOnce(Key<'_>) -> R) -> R {
        match self.source(place.source) {
            Source::Segment(segment) => f(segment.key(place.row)),
            Source::Memtable(table) => table.with_key(place.row, f),
        }
    }

    pub fn key(&self, place: Place) -> KeyBuf {
        self.with_key(place, |key| key.to_buf())
    }

    pub fn version(&self, place: Place) -> u64 {
        match self.source(place.source) {
            Source::Segment(segment) => segment.version(place.row),
            Source::Memtable(table) => table.version(place.row),
        }
    }

    /// Appends the vector, as it was given, to `out`.
    pub fn vector(&self, place: Place, field: usize, out: &mut Vec<f32>) -> Result<()> {
        match self.source(place.source) {
            Source::Segment(segment) => {
                let at = out.len();
                out.resize(at + segment.dim(field), 0.0);
                segment.vector(place.row, field, &mut out[at..])?;
            }
            Source::Memtable(table) => {
                table.with_vector(place.row, field, |vector| out.extend_from_slice(vector));
            }
        }
        Ok(())
    }

    /// Appends the selected fields to `out`.
    pub fn payload(&self, place: Place, select: &SelectFields, out: &mut Vec<u8>) -> Result<()> {
        match self.source(place.source) {
            Source::Segment(segment) => segment.payload(place.row, select, out),
            Source::Memtable(table) => table.payload(place.row, select, out),
        }
    }

    /// All vectors of a record, in the schema's order.
    pub fn vectors(&self, place: Place, fields: usize) -> Result<Vec<Vec<f32>>> {
        let read = |field| {
            let mut vector = Vec::new();
            self.vector(place, field, &mut vector)?;
            Ok(vector)
        };
        (0..fields).map(read).collect()
    }

    /// The selected parts of the record at `place`.
    pub fn record(&self, place: Place, fields: usize, select: &Select) -> Result<Record> {
        let mut payload = Vec::new();
        self.payload(place, &select.fields, &mut payload)?;
        let vectors = match select.vectors {
            true => Some(self.vectors(place, fields)?),
            false => None,
        };
        Ok(Record {
            key: self.key(place),
            version: self.version(place),
            fields: payload,
            vectors,
        })
    }
}
