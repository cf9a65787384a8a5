//! One immutable state of a collection as readers see it.

use std::sync::Arc;

use cairn_env::{Bug, planted};

use crate::error::Result;
use crate::expiry::Moment;
use crate::keys::{Key, KeyBuf};
use crate::memtable::Memtable;
use crate::query::{Record, Select, SelectFields};
use crate::schema::Schema;
use crate::segment::{ReadAhead, Segment};
use crate::structure::Structure;

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
    /// Of each vector field the factor of its candidate lists; empty while nobody tuned them.
    pub stretch: Arc<[f32]>,
    pub structure: Arc<Structure>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// The same records with another structure. Memtables are made anew where their texts are searched
    /// otherwise: called while nobody writes to them and none is flushed.
    pub fn with_structure(&self, structure: Arc<Structure>) -> Self {
        let mut next = self.clone();
        if !structure.has_texts_of(&self.structure) {
            for memtable in &mut next.memtables {
                memtable.table = Arc::new(memtable.table.copied(&structure.stored));
            }
        }
        next.structure = structure;
        next
    }

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

    /// Where a snapshot at `at` finds `key`; newest places are looked at first.
    pub fn find(&self, key: Key<'_>, at: Moment) -> Option<Place> {
        let segments = self.segments.len();
        for (index, view) in self.memtables.iter().enumerate().rev() {
            if let Some(row) = view.table.find(key, at) {
                let source = segments + index;
                return Some(Place { source, row });
            }
        }
        for (source, segment) in self.segments.iter().enumerate().rev() {
            if let Some(row) = segment.find(key, at) {
                return Some(Place { source, row });
            }
        }
        None
    }

    /// Whether a snapshot at `at` sees the record at `place`.
    pub fn sees(&self, place: Place, at: Moment) -> bool {
        match self.source(place.source) {
            Source::Segment(segment) => segment.sees(place.row, at),
            Source::Memtable(table) => table.sees(place.row, at),
        }
    }

    /// How many records a snapshot at `at` sees, counted one by one in memtables.
    pub fn count_seen(&self, at: Moment) -> u64 {
        let segments = self.segments.iter();
        let segments = segments.map(|segment| segment.rows() - segment.count_gone(at));
        let memtables = self.memtables.iter();
        let memtables = memtables.map(|memtable| memtable.table.visible(memtable.rows, at));
        segments.chain(memtables).map(|rows| rows as u64).sum()
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

    /// Appends the vector, as it is stored, to `out`.
    pub fn vector(&self, place: Place, field: usize, out: &mut Vec<f32>) -> Result<()> {
        match self.source(place.source) {
            Source::Segment(segment) => segment.vector(place.row, field, out)?,
            Source::Memtable(table) => {
                table.with_vector(place.row, field, |vector| out.extend_from_slice(vector));
            }
        }
        Ok(())
    }

    /// Appends the vector to `out`: of length one where memory holds it so.
    pub fn prepared(&self, place: Place, field: usize, out: &mut Vec<f32>) -> Result<()> {
        match self.source(place.source) {
            Source::Segment(segment) => segment.prepared(place.row, field, out)?,
            Source::Memtable(table) => {
                table.with_prepared(place.row, field, |vector| out.extend_from_slice(vector));
            }
        }
        Ok(())
    }

    /// Appends the selected fields to `out`, with the names that they are stored under.
    pub fn payload(&self, place: Place, select: &SelectFields, out: &mut Vec<u8>) -> Result<()> {
        match self.source(place.source) {
            Source::Segment(segment) => segment.payload(place.row, select, out),
            Source::Memtable(table) => table.payload(place.row, select, out),
        }
    }

    /// Values of the vector.
    pub fn vector_values(&self, place: Place, field: usize) -> usize {
        match self.source(place.source) {
            Source::Segment(segment) => segment.vector_values(place.row, field),
            Source::Memtable(table) => table.vector_values(place.row, field),
        }
    }

    /// Bytes of all fields of the record.
    pub fn payload_bytes(&self, place: Place) -> usize {
        match self.source(place.source) {
            Source::Segment(segment) => segment.payload_bytes(place.row),
            Source::Memtable(table) => table.payload_bytes(place.row),
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

    /// The selected parts of the record at `place`, with names as users know them; `ahead` is given by
    /// those who read many in the order of the rows.
    pub fn record(
        &self,
        place: Place,
        fields: usize,
        select: &Select,
        ahead: Option<&mut ReadAhead>,
    ) -> Result<Record> {
        let names = &self.structure.names;
        let stored = &*names.stored_select(&select.fields);
        let mut payload = Vec::new();
        let mut vectors = None;
        match (self.source(place.source), ahead) {
            (Source::Segment(segment), Some(ahead)) => {
                segment.payload_in_order(place.row, stored, ahead, &mut payload)?;
                if select.vectors {
                    let read = |field| {
                        let mut vector = Vec::new();
                        segment.vector_in_order(place.row, field, ahead, &mut vector)?;
                        Ok(vector)
                    };
                    vectors = Some((0..fields).map(read).collect::<Result<_>>()?);
                }
            }
            _ => {
                self.payload(place, stored, &mut payload)?;
                if select.vectors {
                    vectors = Some(self.vectors(place, fields)?);
                }
            }
        }
        names.show(&mut payload, 0)?;
        Ok(Record {
            key: self.key(place),
            version: self.version(place),
            fields: payload,
            vectors,
        })
    }
}
