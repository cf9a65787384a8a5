//! How many records have each value of a field.

use hashbrown::HashMap;

use cairn_filter::{Bitmap, Cursor, FieldIndex, Filter, Path, Scalar, Value};

use crate::error::Result;
use crate::keys::KeyState;
use crate::search::check_k;
use crate::snapshot::{RECORD_BYTES, Snapshot, check_answer};
use crate::stop::Stop;

use super::{LOOKS_PER_CHECK, field_path, fields_alone};

/// A value, and how many records have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FacetValue {
    /// As MessagePack.
    pub value: Vec<u8>,
    /// Records that have it, each once.
    pub count: u64,
}

impl Snapshot {
    /// The `k` values that most records have in a field, the most frequent first, then by value. A
    /// filter `{ field: value }` holds for exactly `count` of them: an array counts for each of its
    /// elements once, `null` is a value, and what is missing is none.
    ///
    /// # Errors
    /// `ERR_INVALID_ARGUMENT` for what is no field or a `k` of 0; `ERR_LIMIT_EXCEEDED` for a `k` over
    /// its limit, or as soon as the values have more bytes than an answer may; `ERR_CLOSED`;
    /// `ERR_ABORTED`, `ERR_DEADLINE` from `stop`; `ERR_CORRUPT`, `ERR_IO` from the disk.
    pub fn facet(
        &self,
        field: &str,
        k: usize,
        filter: Option<&Filter>,
        stop: &Stop,
    ) -> Result<Vec<FacetValue>> {
        let path = self.stored_path(&field_path(field)?);
        check_k(k)?;
        let mut counts = Counts::default();
        for (source, rows) in self.wanted(filter, stop)?.iter().enumerate() {
            match self.index_of(source, &path) {
                Some(index) => counts.add_index(&index, rows, stop)?,
                None => self.each_record(source, rows, stop, |fields| {
                    counts.add_record(&path, fields)
                })?,
            }
        }
        stop.check()?;
        Ok(counts.most_frequent(k))
    }
}

/// Counts by the bytes of values.
#[derive(Default)]
struct Counts {
    by_value: HashMap<Box<[u8]>, u64, KeyState>,
    bytes: usize,
    /// Values of one record, end to end.
    written: Vec<u8>,
    ends: Vec<usize>,
}

impl Counts {
    fn add_index(&mut self, index: &FieldIndex, rows: &Bitmap, stop: &Stop) -> Result<()> {
        for number in 0..index.distinct() {
            if number.is_multiple_of(LOOKS_PER_CHECK) {
                stop.check()?;
            }
            let count = index.count_within(number, rows) as u64;
            if count > 0 {
                self.written.clear();
                index.value(number).write(&mut self.written);
                Self::add(&mut self.by_value, &mut self.bytes, &self.written, count)?;
            }
        }
        Ok(())
    }

    fn add_record(&mut self, path: &Path, fields: &[u8]) -> Result<()> {
        self.written.clear();
        self.ends.clear();
        path.for_each_scalar(&fields_alone(fields), &mut |value| {
            if !value.is_nan() {
                value.write(&mut self.written);
                self.ends.push(self.written.len());
            }
        });
        let mut values: Vec<&[u8]> = Vec::with_capacity(self.ends.len());
        let mut start = 0;
        for &end in &self.ends {
            values.push(&self.written[start..end]);
            start = end;
        }
        values.sort_unstable();
        values.dedup();
        for value in values {
            Self::add(&mut self.by_value, &mut self.bytes, value, 1)?;
        }
        Ok(())
    }

    fn add(
        by_value: &mut HashMap<Box<[u8]>, u64, KeyState>,
        bytes: &mut usize,
        value: &[u8],
        count: u64,
    ) -> Result<()> {
        if let Some(counted) = by_value.get_mut(value) {
            *counted += count;
            return Ok(());
        }
        *bytes += value.len() + RECORD_BYTES;
        check_answer(*bytes)?;
        by_value.insert(value.into(), count);
        Ok(())
    }

    fn most_frequent(self, k: usize) -> Vec<FacetValue> {
        let mut all: Vec<(Box<[u8]>, u64)> = self.by_value.into_iter().collect();
        all.sort_unstable_by(|(a, count_a), (b, count_b)| {
            let by_count = count_b.cmp(count_a);
            by_count.then_with(|| scalar(a).order(&scalar(b)))
        });
        all.truncate(k);
        let values = all.into_iter().map(|(value, count)| FacetValue {
            value: value.into_vec(),
            count,
        });
        values.collect()
    }
}

/// What [`Scalar::write`] wrote.
fn scalar(bytes: &[u8]) -> Scalar<&str, &[u8]> {
    match Cursor::new(bytes).value() {
        Ok(Value::Scalar(scalar)) => scalar,
        _ => unreachable!("it was written as a value without parts"),
    }
}
