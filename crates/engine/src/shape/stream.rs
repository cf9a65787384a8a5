//! The records of one segment or memtable in an order, one after another.
//!
//! Where there is an index its values are walked as they stand, and the rows of each are put in the
//! order of their keys. Elsewhere a pass over all records keeps those that come next, as many as a
//! bounded memory holds, and the next pass goes on behind the last of them.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use cairn_env::{Bug, planted};
use cairn_filter::{Bitmap, FieldIndex, Record, Scalar};

use crate::error::Result;
use crate::keys::{Key, KeyBuf};
use crate::query::SelectFields;
use crate::segment::{ReadAhead, Segment};
use crate::stop::Stop;
use crate::view::{Place, Source, View};

use super::LOOKS_PER_CHECK;
use super::order::{OrderBy, Position};

/// Records kept by the first pass; each later one keeps four times as many, up to [`KEPT_MAX`].
const KEPT_MIN: usize = 4_096;
const KEPT_MAX: usize = 65_536;
/// Bytes of values and keys that a pass keeps.
const KEPT_BYTES: usize = 8 * 1024 * 1024; // 8 MiB: 65,536 of 128 bytes

/// The records of one part of a view.
pub(super) struct Stream {
    source: usize,
    /// Rows that are asked for.
    wanted: Bitmap,
    way: Way,
    head: Option<Head>,
}

/// The record that comes next.
pub(super) struct Head {
    pub value: Option<Scalar>,
    key: KeyBuf,
    pub row: u32,
}

enum Way {
    /// By the index of the field.
    Values(Values),
    /// By the keys of a segment, from the last one down: how many are still to come.
    Keys(usize),
    /// By passes over all records.
    Passes(Passes),
}

/// A walk through the values of an index.
struct Values {
    index: Arc<FieldIndex>,
    /// Numbers of those still to come.
    left: Range<usize>,
    /// Rows of the value that was taken last, the next one last.
    rows: Vec<u32>,
    value: Option<Scalar>,
    /// Rows that came under an earlier value; there where rows may have several.
    seen: Option<Bitmap>,
    after: Option<Position>,
    /// Rows without a value are the last.
    is_last: bool,
}

struct Passes {
    /// What the last pass kept, the next one last.
    kept: Vec<Head>,
    /// Behind it the next pass begins.
    after: Option<(Option<Scalar>, KeyBuf)>,
    limit: usize,
    is_last: bool,
}

impl Head {
    pub fn compare(&self, other: &Self, order: &OrderBy) -> Ordering {
        let (a, b) = (self.value.as_ref(), other.value.as_ref());
        let (a, b) = (a.map(Scalar::borrow), b.map(Scalar::borrow));
        order.compare(
            (a.as_ref(), self.key.as_key()),
            (b.as_ref(), other.key.as_key()),
        )
    }

    fn bytes(&self) -> usize {
        let value = match &self.value {
            Some(Scalar::Text(text)) => text.len(),
            Some(Scalar::Bytes(bytes)) => bytes.len(),
            _ => 0,
        };
        let key = match &self.key {
            KeyBuf::Str(key) => key.len(),
            KeyBuf::U64(_) => 0,
        };
        size_of::<Self>() + value + key
    }
}

impl Stream {
    pub fn new(
        view: &View,
        order: &OrderBy,
        source: usize,
        wanted: Bitmap,
        after: Option<&Position>,
    ) -> Self {
        let way = match view.source(source) {
            Source::Segment(segment) if order.is_by_key() && order.is_descending => {
                let before = |row: &u32| after.is_none_or(|at| segment.key(*row) < at.key.as_key());
                Way::Keys(segment.by_key().partition_point(before))
            }
            Source::Segment(segment) => match segment.index_of(&order.path) {
                Some(index) => Way::Values(Values::new(index, order, after)),
                None => Way::Passes(Passes::new(after)),
            },
            Source::Memtable(_) => Way::Passes(Passes::new(after)),
        };
        Self {
            source,
            wanted,
            way,
            head: None,
        }
    }

    /// The next record, once it was looked for.
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// Takes the next record, with the number of this part.
    pub fn take(&mut self) -> Option<(usize, Head)> {
        Some((self.source, self.head.take()?))
    }

    /// Looks for the next record, unless it is known.
    pub fn fill(&mut self, view: &View, order: &OrderBy, stop: &Stop) -> Result<()> {
        if self.head.is_some() {
            return Ok(());
        }
        let wanted = &self.wanted;
        self.head = match (&mut self.way, view.source(self.source)) {
            (Way::Values(values), Source::Segment(segment)) => {
                values.next(segment, order, wanted, stop)?
            }
            (Way::Keys(left), Source::Segment(segment)) => {
                let rows = segment.by_key();
                let next = rows[..*left].iter().rposition(|&row| wanted.contains(row));
                *left = next.unwrap_or(0);
                next.map(|at| Head {
                    value: None,
                    key: segment.key(rows[at]).to_buf(),
                    row: rows[at],
                })
            }
            (Way::Passes(passes), _) => passes.next(view, self.source, order, wanted, stop)?,
            (Way::Values(_) | Way::Keys(_), Source::Memtable(_)) => None,
        };
        Ok(())
    }
}

impl Values {
    fn new(index: Arc<FieldIndex>, order: &OrderBy, after: Option<&Position>) -> Self {
        let all = index.distinct();
        // The value of the record behind which it begins is looked at again: others have it, too.
        let left = match after {
            None => 0..all,
            Some(Position { value: None, .. }) => 0..0,
            Some(Position {
                value: Some(value), ..
            }) => {
                let value = value.borrow();
                match order.is_descending {
                    false => index.below(&value)..all,
                    true => 0..index.below(&value) + usize::from(index.number_of(&value).is_some()),
                }
            }
        };
        let seen = (!index.is_single()).then(|| {
            let mut seen = Bitmap::none(index.rows());
            for passed in [0..left.start, left.end..all] {
                passed.for_each(|number| seen.insert_all(index.rows_of(number)));
            }
            seen
        });
        Self {
            index,
            left,
            rows: Vec::new(),
            value: None,
            seen,
            after: after.cloned(),
            is_last: false,
        }
    }

    fn next(
        &mut self,
        segment: &Segment,
        order: &OrderBy,
        wanted: &Bitmap,
        stop: &Stop,
    ) -> Result<Option<Head>> {
        let mut looks = 0_usize;
        while self.rows.is_empty() && !self.is_last {
            if looks.is_multiple_of(LOOKS_PER_CHECK) {
                stop.check()?;
            }
            looks += 1;
            self.take_value(segment, order, wanted);
        }
        Ok(self.rows.pop().map(|row| Head {
            value: self.value.clone(),
            key: segment.key(row).to_buf(),
            row,
        }))
    }

    /// Gathers the rows of the next value, or, behind the last one, those without any.
    fn take_value(&mut self, segment: &Segment, order: &OrderBy, wanted: &Bitmap) {
        let index = Arc::clone(&self.index);
        let number = match order.is_descending {
            false => self.left.next(),
            true => self.left.next_back(),
        };
        let Some(number) = number else {
            let mut without = wanted.clone();
            without.subtract(&index.with_values());
            self.rows.extend(without.iter());
            self.value = None;
            self.is_last = true;
            self.put_in_order(segment);
            return;
        };
        let value = index.value(number);
        let is_seen = |row: &u32| self.seen.as_ref().is_some_and(|rows| rows.contains(*row));
        let rows = index.rows_of(number).iter().copied();
        let rows = rows.filter(|row| wanted.contains(*row) && !is_seen(row));
        self.rows.extend(rows);
        if let Some(seen) = &mut self.seen {
            seen.insert_all(index.rows_of(number));
        }
        self.value = Some(value.own());
        self.put_in_order(segment);
    }

    /// Leaves out what comes before the beginning, and sorts the rest by key, first one last.
    fn put_in_order(&mut self, segment: &Segment) {
        if let Some(after) = &self.after
            && after.value == self.value
            && !planted(Bug::OrderForgetsKey)
        {
            self.rows
                .retain(|&row| segment.key(row) > after.key.as_key());
        }
        self.rows
            .sort_unstable_by(|&a, &b| segment.key(b).cmp(&segment.key(a)));
    }
}

impl Passes {
    fn new(after: Option<&Position>) -> Self {
        Self {
            kept: Vec::new(),
            after: after.map(|at| (at.value.clone(), at.key.clone())),
            limit: KEPT_MIN,
            is_last: false,
        }
    }

    fn next(
        &mut self,
        view: &View,
        source: usize,
        order: &OrderBy,
        wanted: &Bitmap,
        stop: &Stop,
    ) -> Result<Option<Head>> {
        if self.kept.is_empty() && !self.is_last {
            self.pass(view, source, order, wanted, stop)?;
        }
        Ok(self.kept.pop())
    }

    /// Goes over all records once.
    fn pass(
        &mut self,
        view: &View,
        source: usize,
        order: &OrderBy,
        wanted: &Bitmap,
        stop: &Stop,
    ) -> Result<()> {
        let (mut fields, mut ahead) = (Vec::new(), ReadAhead::default());
        let mut best = Best {
            order,
            limit: self.limit,
            kept: Vec::new(),
            bytes: 0,
            worst: None,
        };
        for (number, row) in wanted.iter().enumerate() {
            if number.is_multiple_of(LOOKS_PER_CHECK) {
                stop.check()?;
            }
            fields.clear();
            if !order.is_by_key() {
                let all = &SelectFields::All;
                match view.source(source) {
                    Source::Segment(segment) => {
                        segment.payload_in_order(row, all, &mut ahead, &mut fields)?;
                    }
                    Source::Memtable(table) => table.payload(row, all, &mut fields)?,
                }
            }
            let value = first_of(order, &fields);
            view.with_key(Place { source, row }, |key| {
                let is_behind = self.after.as_ref().is_none_or(|(last, last_key)| {
                    let last = last.as_ref().map(Scalar::borrow);
                    let last = (last.as_ref(), last_key.as_key());
                    order.compare((value.as_ref(), key), last).is_gt()
                });
                if is_behind {
                    best.offer(value.as_ref(), key, row);
                }
            });
        }
        best.cut();
        self.is_last = best.worst.is_none();
        self.kept = best.kept;
        if let Some(last) = self.kept.last() {
            self.after = Some((last.value.clone(), last.key.clone()));
        }
        self.kept.reverse();
        self.limit = KEPT_MAX.min(self.limit * 4);
        Ok(())
    }
}

/// The records that come first of those offered, as many as memory allows.
struct Best<'a> {
    order: &'a OrderBy,
    limit: usize,
    kept: Vec<Head>,
    bytes: usize,
    /// The last of those that were kept when some were not: what comes behind it is not kept either.
    worst: Option<usize>,
}

impl Best<'_> {
    fn offer(&mut self, value: Option<&Scalar<&str, &[u8]>>, key: Key<'_>, row: u32) {
        if let Some(worst) = self.worst.map(|at| &self.kept[at]) {
            let bound = worst.value.as_ref().map(Scalar::borrow);
            let bound = (bound.as_ref(), worst.key.as_key());
            if self.order.compare((value, key), bound).is_gt() {
                return;
            }
        }
        let head = Head {
            value: value.map(Scalar::own),
            key: key.to_buf(),
            row,
        };
        self.bytes += head.bytes();
        self.kept.push(head);
        if self.kept.len() >= 2 * self.limit || self.bytes >= 2 * KEPT_BYTES {
            self.cut();
        }
    }

    /// Sorts, and keeps what comes first: at least one.
    fn cut(&mut self) {
        let order = self.order;
        self.kept.sort_unstable_by(|a, b| a.compare(b, order));
        let (mut bytes, mut fit) = (0, 0);
        for head in self.kept.iter().take(self.limit) {
            bytes += head.bytes();
            if fit > 0 && bytes > KEPT_BYTES {
                bytes -= head.bytes();
                break;
            }
            fit += 1;
        }
        if fit < self.kept.len() || self.worst.is_some() {
            self.worst = fit.checked_sub(1);
        }
        self.kept.truncate(fit);
        self.bytes = bytes;
    }
}

/// What a record with these fields is ordered by: of several values the one that comes first.
fn first_of<'a>(order: &OrderBy, fields: &'a [u8]) -> Option<Scalar<&'a str, &'a [u8]>> {
    if order.is_by_key() {
        return None;
    }
    let mut first: Option<Scalar<&str, &[u8]>> = None;
    let key = cairn_filter::Key::Number(0);
    order
        .path
        .for_each_scalar(&Record { key, fields }, &mut |value| {
            if !value.is_nan() && first.is_none_or(|first| order.is_before(&value, &first)) {
                first = Some(value);
            }
        });
    first
}
