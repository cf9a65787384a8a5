//! Records in the order of a field.

use std::cmp::Ordering;

use cairn_filter::{Cursor, Filter, Path, Scalar, Value};

use crate::error::{Code, Error, Result};
use crate::keys::{Key, KeyBuf, KeyType};
use crate::query::{Record, Select};
use crate::scan::{Aheads, PAGE_BYTES};
use crate::snapshot::Snapshot;
use crate::stop::Stop;
use crate::view::Place;

use super::stream::Stream;

/// An order of records: by a field or by key, ties by key.
///
/// Values follow [`Scalar::order`]. Of an array counts what comes first in this order. Records that
/// lack the field, or have nothing there that has an order, come last, whatever the direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderBy {
    /// [`Path::Key`] for the keys themselves.
    pub(super) path: Path,
    pub(super) is_descending: bool,
}

/// The place of a record in an order: behind it a walk goes on, whether or not it is still there.
#[derive(Clone, Debug)]
pub struct Position {
    pub(super) value: Option<Scalar>,
    pub(super) key: KeyBuf,
}

impl OrderBy {
    /// By a field as filters spell it, or by `$key`.
    ///
    /// # Errors
    /// `ERR_INVALID_ARGUMENT` for what is no field.
    pub fn parse(field: &str, is_descending: bool) -> Result<Self> {
        match Path::parse(field) {
            Ok(path) => Ok(Self {
                path,
                is_descending,
            }),
            Err(what) => Err(Error::new(Code::InvalidArgument, what).text("field", field)),
        }
    }

    pub(super) fn is_by_key(&self) -> bool {
        self.path == Path::Key
    }

    /// What comes first of two records with these values and keys.
    pub(super) fn compare(
        &self,
        a: (Option<&Scalar<&str, &[u8]>>, Key<'_>),
        b: (Option<&Scalar<&str, &[u8]>>, Key<'_>),
    ) -> Ordering {
        let by_value = match (a.0, b.0) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) => self.directed(a.order(b)),
        };
        let by_key = a.1.cmp(&b.1);
        by_value.then(match self.is_by_key() {
            true => self.directed(by_key),
            false => by_key,
        })
    }

    fn directed(&self, ordering: Ordering) -> Ordering {
        match self.is_descending {
            true => ordering.reverse(),
            false => ordering,
        }
    }

    /// Whether a value comes before another.
    pub(super) fn is_before(&self, a: &Scalar<&str, &[u8]>, b: &Scalar<&str, &[u8]>) -> bool {
        self.directed(a.order(b)).is_lt()
    }
}

impl Position {
    /// Of a record with this value, as MessagePack; nothing where it is missing.
    ///
    /// # Errors
    /// `ERR_INVALID_ARGUMENT` for bytes that are not one value.
    pub fn new(value: Option<&[u8]>, key: KeyBuf) -> Result<Self> {
        let value = match value {
            None => None,
            Some(bytes) => {
                let mut cursor = Cursor::new(bytes);
                match cursor.value() {
                    Ok(Value::Scalar(value)) if cursor.at() == bytes.len() && !value.is_nan() => {
                        Some(value.own())
                    }
                    _ => {
                        let message = "a cursor has no value that records can have";
                        return Err(Error::new(Code::InvalidArgument, message));
                    }
                }
            }
        };
        Ok(Self { value, key })
    }
}

/// A walk through one pinned version in an order, page by page.
pub struct OrderedScan {
    snapshot: Snapshot,
    order: OrderBy,
    streams: Vec<Stream>,
    aheads: Aheads,
}

impl Snapshot {
    /// Records in an order, from the first one behind `after`: those that the filter holds for, or all.
    ///
    /// Cost: where segments have an index of the field, what is read; where they have none, and in
    /// memtables, a pass over the fields of all records for each 4,096 to 65,536 records read.
    /// Memory: a row number for each record with the same value, and 16 MiB for each part without an index.
    ///
    /// # Errors
    /// `ERR_INVALID_KEY` for a key of the other type; `ERR_CLOSED`; `ERR_ABORTED`, `ERR_DEADLINE` from
    /// `stop`; `ERR_CORRUPT`, `ERR_IO` from the disk.
    pub fn scan_ordered(
        &self,
        order: OrderBy,
        after: Option<Position>,
        filter: Option<&Filter>,
        stop: &Stop,
    ) -> Result<OrderedScan> {
        let order = OrderBy {
            path: self.stored_path(&order.path),
            ..order
        };
        if let Some(after) = &after {
            self.check_key_type(match after.key {
                KeyBuf::Str(_) => KeyType::String,
                KeyBuf::U64(_) => KeyType::U64,
            })?;
        }
        let wanted = self.wanted(filter, stop)?;
        for segment in self.view().segments.iter().filter(|_| order.is_by_key()) {
            segment.by_key_until(stop)?;
        }
        let parts = wanted.into_iter().enumerate();
        let streams = parts
            .map(|(source, rows)| Stream::new(self.view(), &order, source, rows, after.as_ref()));
        Ok(OrderedScan {
            streams: streams.collect(),
            aheads: Aheads::new(self.view()),
            snapshot: self.clone(),
            order,
        })
    }
}

impl OrderedScan {
    /// The version it walks.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.snapshot.version()
    }

    /// The next `rows` records at most, each with the value it is ordered by as MessagePack, no bytes
    /// where it is missing; fewer when they are large with all their fields, none at the end.
    ///
    /// # Errors
    /// `ERR_CLOSED`; `ERR_ABORTED`, `ERR_DEADLINE` from `stop`; `ERR_CORRUPT`, `ERR_IO` from the disk.
    pub fn next_page(
        &mut self,
        rows: usize,
        select: &Select,
        stop: &Stop,
    ) -> Result<Vec<(Record, Vec<u8>)>> {
        self.snapshot.collection().check_open()?;
        let (mut places, mut values) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        while places.len() < rows && bytes < PAGE_BYTES {
            let Some((place, value)) = self.next_place(stop)? else {
                break;
            };
            bytes += self.snapshot.bytes_at_most(place, select) + value.len();
            places.push(place);
            values.push(value);
        }
        let records = self
            .snapshot
            .read(&places, select, &mut self.aheads, stop)?;
        Ok(records.into_iter().zip(values).collect())
    }

    fn next_place(&mut self, stop: &Stop) -> Result<Option<(Place, Vec<u8>)>> {
        let view = self.snapshot.view();
        for stream in &mut self.streams {
            stream.fill(view, &self.order, stop)?;
        }
        let heads = self.streams.iter().enumerate();
        let heads = heads.filter_map(|(at, stream)| Some((at, stream.head()?)));
        let first = heads.min_by(|(_, a), (_, b)| a.compare(b, &self.order));
        let Some((at, _)) = first else {
            return Ok(None);
        };
        let Some((source, head)) = self.streams[at].take() else {
            return Ok(None);
        };
        let mut value = Vec::new();
        if let Some(scalar) = &head.value {
            scalar.borrow().write(&mut value);
        }
        let row = head.row;
        Ok(Some((Place { source, row }, value)))
    }
}
