//! Which rows of a memtable a filter holds for.

use std::cell::Cell;

use cairn_filter::{
    Bitmap, FieldIndex, Filter, KeyRows, Path, Record, Rows, Test, estimate, matching_rows,
    sorted_keys,
};

use crate::error::{Error, Result};
use crate::expiry::Moment;
use crate::keys::Key;
use crate::query::Looked;
use crate::stop::Stop;

use super::{Chunk, Memtable, NO_ROW, chunk_rows, row_number};

/// Records looked at between two looks at whether to go on.
const RECORDS_PER_CHECK: usize = 64;

impl Memtable {
    /// Those of the first `rows` rows that a snapshot at `moment` sees and the filter holds for. A test
    /// of keys costs what it finds, and a look at the keys of the chunk that grows.
    ///
    /// # Errors
    /// What `stop` says.
    pub fn matching(
        &self,
        filter: &Filter,
        rows: usize,
        moment: Moment,
        stop: &Stop,
    ) -> Result<(Bitmap, Looked)> {
        let asked = Asked::new(self, rows, moment, stop);
        // Which rows are seen is asked of those that are found, and not of all.
        let mut found = matching_rows(filter, &asked, &Bitmap::all(row_number(rows)))?;
        asked.keep_seen(&mut found)?;
        Ok((found, asked.looked.get()))
    }

    /// About how many of the first `rows` rows, dead ones counted, the filter holds for at most.
    pub fn estimate(&self, filter: &Filter, rows: usize, moment: Moment, stop: &Stop) -> usize {
        estimate(filter, &Asked::new(self, rows, moment, stop), rows)
    }

    /// The rows of a key, those before its newest one included.
    fn rows_of(&self, key: Key<'_>, mut each: impl FnMut(u32)) {
        let same_key = |&other: &u32| self.has_key(other, key);
        let newest = self.newest.read().find(key.hash64(), same_key).copied();
        let mut next = newest.unwrap_or(NO_ROW);
        while next != NO_ROW {
            each(next);
            next = self.with_row(next, |chunk, at| chunk.previous[at]);
        }
    }
}

/// The first rows of a memtable, asked about a filter.
struct Asked<'a> {
    table: &'a Memtable,
    rows: usize,
    moment: Moment,
    stop: &'a Stop,
    looked: Cell<Looked>,
}

impl<'a> Asked<'a> {
    fn new(table: &'a Memtable, rows: usize, moment: Moment, stop: &'a Stop) -> Self {
        Self {
            table,
            rows,
            moment,
            stop,
            looked: Cell::default(),
        }
    }

    /// Calls `each` with every one of `rows`, chunk by chunk.
    fn each(&self, rows: &Bitmap, mut each: impl FnMut(&Chunk, usize, u32)) -> Result<()> {
        let mut rows = rows.iter().peekable();
        for (index, (first, chunk)) in self.table.chunks_of(self.rows).into_iter().enumerate() {
            let end = row_number(first + chunk_rows(index));
            if rows.peek().is_none_or(|row| *row >= end) {
                continue;
            }
            self.stop.check()?;
            let chunk = chunk.read();
            let mut number = 0_usize;
            while let Some(row) = rows.next_if(|row| *row < end) {
                number += 1;
                if number.is_multiple_of(RECORDS_PER_CHECK) {
                    self.stop.check()?;
                }
                each(&chunk, row as usize - first, row);
            }
        }
        Ok(())
    }

    fn keep_seen(&self, found: &mut Bitmap) -> Result<()> {
        let mut unseen = Vec::new();
        self.each(found, |chunk, at, row| {
            if !chunk.sees(at, self.moment) {
                unseen.push(row);
            }
        })?;
        unseen.into_iter().for_each(|row| found.remove(row));
        Ok(())
    }

    /// Calls `each` with the rows of a chunk whose keys pass a test that goes by their order.
    fn of_full_chunk(&self, chunk: &Chunk, test: &Test, mut each: impl FnMut(usize)) -> bool {
        let keys = &chunk.keys;
        let order = chunk.by_key.get_or_init(|| {
            let count = u16::try_from(keys.len()).expect("a chunk has at most 8,192 rows");
            let mut order: Vec<u16> = (0..count).collect();
            order.sort_unstable_by(|&a, &b| keys.compare(a.into(), b.into()).then(a.cmp(&b)));
            order.into()
        });
        let key = |place: usize| keys.get(order[place].into()).for_filter();
        let Some(places) = sorted_keys(test, order.len(), key) else {
            return false;
        };
        Looked::keys(&self.looked, places.len());
        order[places].iter().for_each(|&at| each(at.into()));
        true
    }
}

impl Rows for Asked<'_> {
    type Error = Error;

    fn index(&self, _: &Path) -> Option<&FieldIndex> {
        None
    }

    fn keys(&self) -> Option<&dyn KeyRows> {
        Some(self)
    }

    fn scan(&self, rows: &Bitmap, test: &dyn Fn(&Record<'_>) -> bool) -> Result<Bitmap> {
        let mut found = Bitmap::none(rows.rows());
        let mut read = 0;
        self.each(rows, |chunk, at, row| {
            if chunk.sees(at, self.moment) {
                read += 1;
                let key = chunk.keys.get(at).for_filter();
                let fields = chunk.payloads.get(at);
                if test(&Record { key, fields }) {
                    found.insert(row);
                }
            }
        })?;
        Looked::records(&self.looked, read);
        Ok(found)
    }
}

impl KeyRows for Asked<'_> {
    fn matching(&self, test: &Test) -> Bitmap {
        let mut found = Bitmap::none(row_number(self.rows));
        if let Test::In(set) = test
            && set.len() <= self.rows
        {
            Looked::keys(&self.looked, set.len());
            for key in set.keys() {
                self.table.rows_of(Key::of_filter(key), |row| {
                    if (row as usize) < self.rows {
                        found.insert(row);
                    }
                });
            }
            return found;
        }
        for (index, (first, chunk)) in self.table.chunks_of(self.rows).into_iter().enumerate() {
            let chunk = chunk.read();
            let count = chunk.keys.len().min(self.rows - first);
            let is_full = count == chunk_rows(index);
            let mut add = |at: usize| found.insert(row_number(first + at));
            if is_full && self.of_full_chunk(&chunk, test, &mut add) {
                continue;
            }
            Looked::keys(&self.looked, count);
            let passes = |at: &usize| test.holds_for(&chunk.keys.get(*at).for_filter().scalar());
            (0..count).filter(passes).for_each(add);
        }
        found
    }

    /// A guess: keys are few compared with records that would be read.
    fn estimate(&self, test: &Test) -> usize {
        match test {
            Test::In(set) => set.len().min(self.rows),
            _ => self.rows / 2,
        }
    }
}
