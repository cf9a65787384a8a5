//! All records of one version, by key.

use cairn_filter::Bitmap;

use crate::error::Result;
use crate::keys::{Key, KeyBuf};
use crate::query::{Record, Select, SelectFields};
use crate::segment::ReadAhead;
use crate::snapshot::{RECORD_BYTES, Snapshot};
use crate::sort::sort_until;
use crate::stop::Stop;
use crate::view::{Place, Source, View};

/// A page ends with the record that brings it to this many bytes.
pub(crate) const PAGE_BYTES: usize = 32 * 1024 * 1024; // 32 MiB: 256 records of 128 KiB

/// Rows passed over between two looks at whether to go on.
const ROWS_PER_CHECK: usize = 4_096;
/// Records read between two looks.
const RECORDS_PER_CHECK: usize = 16;

/// Walks a pinned version in key order, page by page.
pub struct Scan {
    snapshot: Snapshot,
    sources: Vec<Cursor>,
    aheads: Aheads,
}

/// What is read ahead of each segment and memtable of a view.
pub(crate) struct Aheads(Vec<ReadAhead>);

impl Aheads {
    pub fn new(view: &View) -> Self {
        let parts = view.segments.len() + view.memtables.len();
        Self((0..parts).map(|_| ReadAhead::default()).collect())
    }
}

/// Rows of one memtable or segment that are still to come, smallest key last.
struct Cursor {
    source: usize,
    /// The rows wanted, if not all.
    wanted: Option<Bitmap>,
    rows: Rows,
}

enum Rows {
    /// A position in the segment's own key order.
    Segment(usize),
    /// Visible rows of a memtable with their keys, and which of them are still to come, largest
    /// first.
    Memtable(Vec<(KeyBuf, u32)>, Vec<u32>),
}

impl Scan {
    /// `wanted` are rows of each segment, then of each memtable; all without it.
    pub(crate) fn new(
        snapshot: Snapshot,
        after: Option<&KeyBuf>,
        wanted: Option<Vec<Bitmap>>,
        stop: &Stop,
    ) -> Result<Self> {
        let view = snapshot.view();
        let mut wanted = wanted.into_iter().flatten();
        let mut sources = Vec::new();
        for (source, segment) in view.segments.iter().enumerate() {
            let order = segment.by_key_until(stop)?;
            let is_past = |row: &u32| after.is_some_and(|key| segment.key(*row) <= key.as_key());
            let rows = Rows::Segment(order.partition_point(is_past));
            let wanted = wanted.next();
            sources.push(Cursor {
                source,
                wanted,
                rows,
            });
        }
        for (index, memtable) in view.memtables.iter().enumerate() {
            let wanted = wanted.next();
            let is_wanted = |row| wanted.as_ref().is_none_or(|rows| rows.contains(row));
            let mut rows = Vec::new();
            let (table, at) = (&memtable.table, snapshot.moment());
            table.for_each_visible_until(memtable.rows, at, stop, |row, key| {
                if after.is_none_or(|after| key > after.as_key()) && is_wanted(row) {
                    rows.push((key.to_buf(), row));
                }
            })?;
            let count = u32::try_from(rows.len()).expect("rows are counted in 32 bits");
            let mut left: Vec<u32> = (0..count).collect();
            let key = |at: u32| &rows[at as usize].0;
            sort_until(&mut left, |&a, &b| key(b).cmp(key(a)), stop)?;
            sources.push(Cursor {
                source: view.segments.len() + index,
                wanted: None,
                rows: Rows::Memtable(rows, left),
            });
        }
        let aheads = Aheads::new(view);
        Ok(Self {
            snapshot,
            sources,
            aheads,
        })
    }

    /// The version it walks.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.snapshot.version()
    }

    /// The next `rows` records at most, fewer when they are large with all their fields; none at the
    /// end.
    ///
    /// # Errors
    /// `ERR_CLOSED`; `ERR_CORRUPT`, `ERR_IO` from the disk.
    pub fn next_page(&mut self, rows: usize, select: &Select) -> Result<Vec<Record>> {
        self.next_page_until(rows, select, &Stop::never())
    }

    /// As [`next_page`](Self::next_page), unless it is to end early; the scan is of no use then.
    ///
    /// # Errors
    /// As `next_page`; `ERR_ABORTED`, `ERR_DEADLINE` from `stop`.
    pub fn next_page_until(
        &mut self,
        rows: usize,
        select: &Select,
        stop: &Stop,
    ) -> Result<Vec<Record>> {
        self.snapshot.collection().check_open()?;
        let mut places = Vec::with_capacity(rows.min(1_024));
        let mut bytes = 0;
        while places.len() < rows && bytes < PAGE_BYTES {
            let Some(place) = self.next_place(stop)? else {
                break;
            };
            bytes += self.snapshot.bytes_at_most(place, select);
            places.push(place);
        }
        self.snapshot.read(&places, select, &mut self.aheads, stop)
    }

    pub(crate) fn next_place(&mut self, stop: &Stop) -> Result<Option<Place>> {
        let (view, at) = (self.snapshot.view(), self.snapshot.moment());
        let mut best: Option<(KeyBuf, usize)> = None;
        for (index, cursor) in self.sources.iter_mut().enumerate() {
            let key = match (&mut cursor.rows, view.source(cursor.source)) {
                (Rows::Memtable(rows, left), _) => {
                    left.last().map(|&at| rows[at as usize].0.clone())
                }
                (Rows::Segment(position), Source::Segment(segment)) => {
                    let order = segment.by_key();
                    let is_wanted = |row| match &cursor.wanted {
                        Some(rows) => rows.contains(row),
                        None => segment.sees(row, at),
                    };
                    while let Some(&row) = order.get(*position)
                        && !is_wanted(row)
                    {
                        *position += 1;
                        if position.is_multiple_of(ROWS_PER_CHECK) {
                            stop.check()?;
                        }
                    }
                    order.get(*position).map(|&row| segment.key(row).to_buf())
                }
                (Rows::Segment(_), Source::Memtable(_)) => None,
            };
            if let Some(key) = key
                && best.as_ref().is_none_or(|(smallest, _)| key < *smallest)
            {
                best = Some((key, index));
            }
        }
        let Some((_, best)) = best else {
            return Ok(None);
        };
        let cursor = &mut self.sources[best];
        let source = cursor.source;
        let row = match (&mut cursor.rows, view.source(source)) {
            (Rows::Memtable(rows, left), _) => left.pop().map(|at| rows[at as usize].1),
            (Rows::Segment(position), Source::Segment(segment)) => {
                *position += 1;
                Some(segment.by_key()[*position - 1])
            }
            (Rows::Segment(_), Source::Memtable(_)) => None,
        };
        Ok(row.map(|row| Place { source, row }))
    }
}

impl Snapshot {
    /// Bytes that a record takes in a page, at most.
    pub(crate) fn bytes_at_most(&self, place: Place, select: &Select) -> usize {
        let view = self.view();
        let key = view.with_key(place, |key| match key {
            Key::Str(text) => text.len(),
            Key::U64(_) => size_of::<u64>(),
        });
        let fields = match select.fields {
            SelectFields::None => 0,
            _ => view.payload_bytes(place),
        };
        let fields_of_vectors = 0..self.schema().vectors.len();
        let values = fields_of_vectors.map(|field| view.vector_values(place, field));
        let vectors = match select.vectors {
            true => values.sum::<usize>() * size_of::<f32>(),
            false => 0,
        };
        RECORD_BYTES + key + fields + vectors
    }

    /// The records at `places`, read in the order in which they lie in their segments.
    pub(crate) fn read(
        &self,
        places: &[Place],
        select: &Select,
        aheads: &mut Aheads,
        stop: &Stop,
    ) -> Result<Vec<Record>> {
        let mut order: Vec<usize> = (0..places.len()).collect();
        order.sort_unstable_by_key(|&at| (places[at].source, places[at].row));
        let view = self.view();
        let fields = self.schema().vectors.len();
        let mut records: Vec<Option<Record>> = places.iter().map(|_| None).collect();
        for (number, at) in order.into_iter().enumerate() {
            if number.is_multiple_of(RECORDS_PER_CHECK) {
                stop.check()?;
            }
            let place = places[at];
            let ahead = &mut aheads.0[place.source];
            records[at] = Some(view.record(place, fields, select, Some(ahead))?);
        }
        Ok(records.into_iter().flatten().collect())
    }
}
