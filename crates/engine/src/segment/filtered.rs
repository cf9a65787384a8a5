//! Which rows of a segment a filter holds for.

use std::cell::Cell;
use std::sync::Arc;

use cairn_env::{Bug, planted};
use cairn_filter::{
    Bitmap, FieldIndex, Filter, Key as FilterKey, KeyRows, Path, Record, Rows, Test, estimate,
    matching_rows, sorted_keys,
};

use crate::error::{Error, Result};
use crate::expiry::Moment;
use crate::keys::Key;
use crate::query::{Looked, SelectFields};
use crate::stop::Stop;

use super::indexes::Made;
use super::{ReadAhead, Segment};

/// Records read between two looks at whether to go on.
const RECORDS_PER_CHECK: usize = 16;

impl Segment {
    /// The rows that a snapshot at `at` sees and the filter holds for. Indexes answer what they
    /// can; the records of rows that they leave undecided are read.
    ///
    /// # Errors
    /// What reading a record says, and what `stop` does.
    pub fn matching(&self, filter: &Filter, at: Moment, stop: &Stop) -> Result<(Bitmap, Looked)> {
        let mut by_order = false;
        filter.for_each_test(&mut |path, test| {
            by_order |= *path == Path::Key && !matches!(test, Test::In(_));
        });
        if by_order {
            self.by_key_until(stop)?;
        }
        let seen = self.seen(at);
        let rows = Stoppable::new(self, stop);
        let found = matching_rows(filter, &rows, &seen)?;
        Ok((found, rows.looked.get()))
    }

    /// About how many rows, dead ones counted, the filter holds for at most, as far as indexes tell.
    pub fn estimate(&self, filter: &Filter, stop: &Stop) -> usize {
        estimate(filter, &Stoppable::new(self, stop), self.rows())
    }

    /// The key of the row that is so far in the order of keys.
    fn sorted_key(&self, place: usize) -> FilterKey<'_> {
        self.key(self.by_key()[place]).for_filter()
    }
}

struct Stoppable<'a> {
    segment: &'a Segment,
    /// As they were when it began.
    indexes: Arc<Made>,
    stop: &'a Stop,
    looked: Cell<Looked>,
}

impl<'a> Stoppable<'a> {
    fn new(segment: &'a Segment, stop: &'a Stop) -> Self {
        Self {
            segment,
            indexes: segment.indexes.load(),
            stop,
            looked: Cell::default(),
        }
    }
}

impl Rows for Stoppable<'_> {
    type Error = Error;

    fn index(&self, path: &Path) -> Option<&FieldIndex> {
        self.indexes.of(path).map(|index| &**index)
    }

    fn keys(&self) -> Option<&dyn KeyRows> {
        Some(self)
    }

    fn scan(&self, rows: &Bitmap, test: &dyn Fn(&Record<'_>) -> bool) -> Result<Bitmap> {
        Looked::records(&self.looked, rows.count());
        let mut found = Bitmap::none(rows.rows());
        let (mut fields, mut ahead) = (Vec::new(), ReadAhead::default());
        for (number, row) in rows.iter().enumerate() {
            if number.is_multiple_of(RECORDS_PER_CHECK) {
                self.stop.check()?;
            }
            fields.clear();
            let all = &SelectFields::All;
            self.segment
                .payload_in_order(row, all, &mut ahead, &mut fields)?;
            let key = self.segment.key(row).for_filter();
            let fields = &fields;
            if test(&Record { key, fields }) {
                found.insert(row);
            }
        }
        Ok(found)
    }
}

impl KeyRows for Stoppable<'_> {
    /// One key costs a probe, a beginning or a range two searches among the keys in their order; only
    /// words and expressions are asked of each key.
    fn matching(&self, test: &Test) -> Bitmap {
        let segment = self.segment;
        let mut found = Bitmap::none(segment.entry.rows);
        if let Test::In(set) = test
            && set.len() <= segment.rows()
        {
            Looked::keys(&self.looked, set.len());
            let rows = set
                .keys()
                .filter_map(|key| segment.row_of(Key::of_filter(key)));
            rows.for_each(|row| found.insert(row));
        } else if let Some(places) = sorted_keys(test, segment.rows(), |at| segment.sorted_key(at))
        {
            let end = match planted(Bug::PrefixTakesNext) {
                true => segment.rows().min(places.end + 1),
                false => places.end,
            };
            Looked::keys(&self.looked, places.len());
            found.insert_all(&segment.by_key()[places.start..end]);
        } else {
            Looked::keys(&self.looked, segment.rows());
            for row in 0..segment.entry.rows {
                if test.holds_for(&segment.key(row).for_filter().scalar()) {
                    found.insert(row);
                }
            }
        }
        found
    }

    fn estimate(&self, test: &Test) -> usize {
        let (segment, rows) = (self.segment, self.segment.rows());
        match test {
            Test::In(set) => set.len().min(rows),
            _ => sorted_keys(test, rows, |at| segment.sorted_key(at))
                .map_or(rows, |places| places.len()),
        }
    }
}
