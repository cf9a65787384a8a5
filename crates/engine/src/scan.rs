//! All records of one version, by key.

use crate::error::Result;
use crate::keys::KeyBuf;
use crate::query::{Record, Select};
use crate::snapshot::{Snapshot, record_bytes};
use crate::view::{Place, Source};

/// A page ends with the record that brings it to this many bytes.
const PAGE_BYTES: usize = 32 * 1024 * 1024; // 32 MiB: 256 records of 128 KiB

/// Walks a pinned version in key order, page by page.
pub struct Scan {
    snapshot: Snapshot,
    sources: Vec<Cursor>,
}

/// Rows of one memtable or segment that are still to come, smallest key last.
struct Cursor {
    source: usize,
    rows: Rows,
}

enum Rows {
    /// A position in the segment's own key order.
    Segment(usize),
    /// Visible rows of a memtable with their keys, largest first.
    Memtable(Vec<(KeyBuf, u32)>),
}

impl Scan {
    pub(crate) fn new(snapshot: Snapshot, after: Option<&KeyBuf>) -> Self {
        let view = snapshot.view();
        let mut sources = Vec::new();
        for (source, segment) in view.segments.iter().enumerate() {
            let order = segment.by_key();
            let is_past = |row: &u32| after.is_some_and(|key| segment.key(*row) <= key.as_key());
            let rows = Rows::Segment(order.partition_point(is_past));
            sources.push(Cursor { source, rows });
        }
        for (index, memtable) in view.memtables.iter().enumerate() {
            let mut rows = Vec::new();
            memtable
                .table
                .for_each_visible(memtable.rows, view.lsn, |row, key| {
                    if after.is_none_or(|after| key > after.as_key()) {
                        rows.push((key.to_buf(), row));
                    }
                });
            rows.sort_unstable_by(|a, b| b.cmp(a));
            sources.push(Cursor {
                source: view.segments.len() + index,
                rows: Rows::Memtable(rows),
            });
        }
        Self { snapshot, sources }
    }

    /// The version it walks.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.snapshot.version()
    }

    /// The next `rows` records at most, fewer when they are large; none at the end.
    ///
    /// # Errors
    /// `ERR_CLOSED`; `ERR_CORRUPT`, `ERR_IO` from the disk.
    pub fn next_page(&mut self, rows: usize, select: &Select) -> Result<Vec<Record>> {
        self.snapshot.collection().check_open()?;
        let fields = self.snapshot.schema().vectors.len();
        let mut page = Vec::with_capacity(rows.min(1_024));
        let mut bytes = 0;
        while page.len() < rows && bytes < PAGE_BYTES {
            let Some(place) = self.next_place() else {
                break;
            };
            let record = self.snapshot.view().record(place, fields, select)?;
            bytes += record_bytes(&record);
            page.push(record);
        }
        Ok(page)
    }

    fn next_place(&mut self) -> Option<Place> {
        let view = self.snapshot.view();
        let mut best: Option<(KeyBuf, usize)> = None;
        for (index, cursor) in self.sources.iter_mut().enumerate() {
            let key = match (&mut cursor.rows, view.source(cursor.source)) {
                (Rows::Memtable(rows), _) => rows.last().map(|(key, _)| key.clone()),
                (Rows::Segment(position), Source::Segment(segment)) => {
                    let order = segment.by_key();
                    while let Some(&row) = order.get(*position)
                        && !segment.tombstones.sees(row, view.lsn)
                    {
                        *position += 1;
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
        let cursor = &mut self.sources[best?.1];
        let source = cursor.source;
        let row = match (&mut cursor.rows, view.source(source)) {
            (Rows::Memtable(rows), _) => rows.pop()?.1,
            (Rows::Segment(position), Source::Segment(segment)) => {
                *position += 1;
                segment.by_key()[*position - 1]
            }
            (Rows::Segment(_), Source::Memtable(_)) => return None,
        };
        Some(Place { source, row })
    }
}
