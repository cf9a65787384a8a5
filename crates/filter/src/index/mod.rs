//! Which rows of a segment have which values in a field.
//!
//! The distinct values of the field stand in order, by kind and then by value; behind them, in the
//! same order, the rows that have each. So equal values, ranges and beginnings of text are one
//! piece of the list of rows, and how many rows match is known before any is looked at. A row whose
//! value is an array stands under each of its elements.
//!
//! Values that more than one row in [`DENSE_ONE_IN`] has are kept as bitmaps as well, so that no
//! single value costs more than reading those bits. Where every row has one value, so are the rows of the first
//! sixteenth of the list, of the first two sixteenths, and so on: a range is what two of these do not share, and a
//! thirty-second of the list at most at each end. Of a million rows half were found in 1.2 ms without these.
//!
//! Refused: bit slices (a range reads all of them, however few rows it has, and arrays do not fit),
//! compressed bitmaps for each value (unique values, the most common kind of keyword, take four
//! times the memory of a list).

mod build;
mod bytes;
mod dictionary;
mod walk;

use std::ops::Range;

use crate::bitmap::Bitmap;
use crate::scalar::Scalar;
use crate::tree::{Order, Test};
use dictionary::Dictionary;

pub use build::IndexBuilder;

/// A value that more than one row in so many has is kept as a bitmap, too: then the bits are no
/// more bytes than the list.
const DENSE_ONE_IN: usize = 32;

/// Pieces of a list at whose ends it is known which rows came before.
const STEPS: usize = 16;

/// Entries of a list from which on that is worth while.
const STEPPED_MIN: usize = 1_024;

/// The index of one field in one segment.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldIndex {
    /// Rows of the segment.
    rows: u32,
    values: Dictionary,
    /// Where in `list` the rows of each value begin, and where the last ones end.
    starts: Vec<u32>,
    /// Rows by value, ascending within each.
    list: Vec<u32>,
    /// Rows that have the field.
    present: Bitmap,
    /// Rows where it is an array.
    arrays: Bitmap,
    /// Whether every row that has the field stands in the list once.
    is_single: bool,
    /// By value, ascending.
    dense: Vec<(usize, Bitmap)>,
    /// The rows of the first entries of the list: of one [`STEPS`]th of them, of two, of all. Empty where rows have several
    /// values, or the list is short.
    steps: Vec<Bitmap>,
}

impl FieldIndex {
    /// Rows of the segment.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Distinct values.
    #[must_use]
    pub fn distinct(&self) -> usize {
        self.values.len()
    }

    /// Bytes in memory.
    #[must_use]
    pub fn memory(&self) -> usize {
        let bitmaps = 2 + self.dense.len() + self.steps.len();
        self.values.memory()
            + (self.starts.len() + self.list.len()) * 4
            + bitmaps * self.present.words().len() * 8
    }

    /// The smallest and the largest value, in the order of values.
    #[must_use]
    pub fn bounds(&self) -> Option<[Scalar<&str, &[u8]>; 2]> {
        let last = self.values.len().checked_sub(1)?;
        Some([self.values.get(0), self.values.get(last)])
    }

    /// At most so many rows pass a test. Exact for one value or range where no value is an array.
    #[must_use]
    pub fn estimate(&self, test: &Test) -> usize {
        match test {
            Test::Exists => self.present.count(),
            Test::In(set) if set.len() <= self.values.len() => {
                let found = set.iter().filter_map(|value| self.values.find(&value));
                found.map(|value| self.count(value..value + 1)).sum()
            }
            Test::Contains(value) => {
                let found = self.values.find(&value.borrow());
                found.map_or(0, |value| self.count(value..value + 1))
            }
            Test::Order(..) | Test::StartsWith(_) => self.count(self.range(test)),
            _ => self.list.len(),
        }
        .min(self.rows as usize)
    }

    /// Whether [`matching`](Self::matching) has an answer.
    #[must_use]
    pub fn answers(&self, test: &Test) -> bool {
        !matches!(test, Test::GeoRadius(_) | Test::GeoBox(_))
    }

    /// The rows that pass a test; `None` for a test that this index cannot answer.
    ///
    /// Cost: a range costs its rows, at most a sixteenth of all, and the bits of all; a value its rows, or the bits
    /// of all; a test that looks into text looks into each distinct value.
    #[must_use]
    pub fn matching(&self, test: &Test) -> Option<Bitmap> {
        Some(match test {
            Test::Exists => self.present.clone(),
            Test::In(set) if set.len() <= self.values.len() => {
                let mut found = Bitmap::none(self.rows);
                for value in set.iter().filter_map(|value| self.values.find(&value)) {
                    self.add_value(value, &mut found);
                }
                found
            }
            Test::Order(..) | Test::StartsWith(_) => self.of_range(self.range(test)),
            Test::Contains(value) => {
                let mut found = Bitmap::none(self.rows);
                if let Some(value) = self.values.find(&value.borrow()) {
                    self.add_value(value, &mut found);
                }
                found.intersect(&self.arrays);
                found
            }
            Test::In(_) | Test::Match(_) | Test::Regex(_) => {
                let mut found = Bitmap::none(self.rows);
                for value in 0..self.values.len() {
                    if test.holds_for(&self.values.get(value)) {
                        self.add_value(value, &mut found);
                    }
                }
                found
            }
            Test::GeoRadius(_) | Test::GeoBox(_) => return None,
        })
    }

    /// The values that pass a test on their order.
    fn range(&self, test: &Test) -> Range<usize> {
        match test {
            Test::Order(order, bound) => {
                let bound = bound.borrow();
                let of_kind = self.values.of_kind(&bound);
                let below = self.values.below(&bound);
                let through = below + usize::from(self.values.find(&bound).is_some());
                match order {
                    Order::Gt => through..of_kind.end,
                    Order::Gte => below..of_kind.end,
                    Order::Lt => of_kind.start..below,
                    Order::Lte => of_kind.start..through,
                }
            }
            Test::StartsWith(prefix) => self.values.starting(prefix),
            _ => 0..0,
        }
    }

    /// Entries of the list for these values.
    fn count(&self, values: Range<usize>) -> usize {
        self.piece(values).len()
    }

    fn piece(&self, values: Range<usize>) -> Range<usize> {
        if values.is_empty() {
            return 0..0;
        }
        self.starts[values.start] as usize..self.starts[values.end] as usize
    }

    fn of_range(&self, values: Range<usize>) -> Bitmap {
        let piece = self.piece(values.clone());
        if !self.steps.is_empty() && piece.len() > self.list.len() / STEPS {
            let mut found = self.rows_before(piece.end);
            if piece.start > 0 {
                found.subtract(&self.rows_before(piece.start));
            }
            return found;
        }
        let mut found = Bitmap::none(self.rows);
        self.add_range(values, &mut found);
        found
    }

    /// The rows of the first `end` entries of the list, where there are steps.
    fn rows_before(&self, end: usize) -> Bitmap {
        let length = self.list.len() / STEPS;
        let steps = ((end + length / 2) / length).min(STEPS);
        let (known, at) = (steps.checked_sub(1), steps * length);
        let mut rows = known.map_or_else(|| Bitmap::none(self.rows), |it| self.steps[it].clone());
        if at < end {
            rows.insert_all(&self.list[at..end]);
        }
        for &row in self.list.get(end..at).unwrap_or_default() {
            rows.remove(row);
        }
        rows
    }

    /// Adds the rows of neighbouring values: those that have bitmaps by their bits, and what is
    /// between them as one piece of the list.
    fn add_range(&self, values: Range<usize>, found: &mut Bitmap) {
        let first = self
            .dense
            .partition_point(|(value, _)| *value < values.start);
        let mut from = values.start;
        for (value, bits) in self.dense[first..]
            .iter()
            .take_while(|(value, _)| *value < values.end)
        {
            found.insert_all(&self.list[self.piece(from..*value)]);
            found.unite(bits);
            from = value + 1;
        }
        found.insert_all(&self.list[self.piece(from..values.end)]);
    }

    fn add_value(&self, value: usize, found: &mut Bitmap) {
        self.add_range(value..value + 1, found);
    }

    /// Puts together what was built or read.
    fn new(parts: Parts) -> Self {
        let Parts {
            rows,
            values,
            starts,
            list,
            present,
            arrays,
        } = parts;
        let few = (rows as usize / DENSE_ONE_IN).max(64);
        let dense = starts
            .windows(2)
            .enumerate()
            .filter(|(_, ends)| (ends[1] - ends[0]) as usize > few)
            .map(|(value, ends)| {
                let mut bits = Bitmap::none(rows);
                bits.insert_all(&list[ends[0] as usize..ends[1] as usize]);
                (value, bits)
            })
            .collect();
        let is_single = list.len() == present.count() && arrays.is_empty();
        let mut before = Bitmap::none(rows);
        let steps = match is_single && list.len() >= STEPPED_MIN {
            true => list.chunks_exact(list.len() / STEPS).take(STEPS),
            false => [].chunks_exact(1).take(0),
        };
        let steps = steps.map(|step| {
            before.insert_all(step);
            before.clone()
        });
        Self {
            steps: steps.collect(),
            is_single,
            rows,
            values,
            starts,
            list,
            present,
            arrays,
            dense,
        }
    }
}

/// What an index consists of.
struct Parts {
    rows: u32,
    values: Dictionary,
    starts: Vec<u32>,
    list: Vec<u32>,
    present: Bitmap,
    arrays: Bitmap,
}
