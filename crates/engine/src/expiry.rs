//! Records that are there for a time: from what instant on which rows are hidden.
//!
//! A schema may name one field of type `date` whose instant ends a record. From that instant on,
//! itself included, nobody sees the record: its row stays where it is, and a flush or a merge leaves it
//! out. Nothing is written for it, so nothing has to be made durable, and a record that is hidden
//! needs no reader to notice it first. A snapshot has one instant, that of its beginning.

use cairn_env::Clock;
use cairn_env::sync::Mutex;
use cairn_env::sync::atomic::{AtomicU64, Ordering};
use cairn_filter::{Cursor, FieldIndex, Scalar, Value};

use crate::tombstones::Tombstones;

/// The end of a record that has none.
pub(crate) const NEVER: i64 = i64::MAX;

/// Deeper than any field of a record.
const DEPTH_MAX: usize = 64;

/// From where a reader looks: a version, and an instant in milliseconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub lsn: u64,
    pub now: i64,
}

impl Moment {
    /// Sees what is stored at a version, whether or not its time has passed.
    pub fn stored(lsn: u64) -> Self {
        let now = i64::MIN;
        Self { lsn, now }
    }
}

/// The wall clock of one open database: it does not go back, so what was hidden stays hidden.
pub(crate) struct Latest(AtomicU64);

impl Default for Latest {
    fn default() -> Self {
        Self(AtomicU64::new(0))
    }
}

impl Latest {
    /// Milliseconds since 1970 UTC, or the latest that were ever read.
    pub fn now(&self, clock: &dyn Clock) -> i64 {
        let now = clock.unix_ms();
        let latest = self.0.fetch_max(now, Ordering::AcqRel).max(now);
        // Before `NEVER`, whatever the clock says.
        i64::try_from(latest).unwrap_or(NEVER).min(NEVER - 1)
    }
}

/// The end of a record by its fields: the date in `field`, or [`NEVER`].
pub(crate) fn end_of(fields: &[u8], field: &str) -> i64 {
    let find = || {
        let mut cursor = Cursor::new(fields);
        let Value::Map(count) = cursor.value().ok()? else {
            return None;
        };
        for _ in 0..count {
            if cursor.name().ok()? != field {
                cursor.skip(DEPTH_MAX).ok()?;
                continue;
            }
            return match cursor.value().ok()? {
                Value::Scalar(Scalar::Date(ms)) => Some(ms),
                _ => None,
            };
        }
        None
    };
    if fields.is_empty() {
        return NEVER;
    }
    find().unwrap_or(NEVER)
}

/// The ends of a segment's records. There is none where no record of it has an end.
pub(crate) struct Expiry {
    ends: Box<[i64]>,
    /// Rows that have an end, the earliest first.
    order: Box<[u32]>,
    /// How many rows are both over and deleted, for numbers of those that are over and of those
    /// that are deleted: neither kind ever shrinks, so numbers tell which they are.
    both: Mutex<[usize; 3]>,
}

impl Expiry {
    /// Of the end of each row.
    pub fn of_ends(ends: Vec<i64>) -> Option<Self> {
        let rows = u32::try_from(ends.len()).expect("rows are counted in 32 bits");
        let mut order: Vec<u32> = (0..rows)
            .filter(|&row| ends[row as usize] != NEVER)
            .collect();
        if order.is_empty() {
            return None;
        }
        order.sort_unstable_by_key(|&row| ends[row as usize]);
        Some(Self {
            ends: ends.into(),
            order: order.into(),
            both: Mutex::new([0; 3]),
        })
    }

    /// Of an index of the field; a value in an array ends nothing.
    pub fn of_index(index: &FieldIndex) -> Option<Self> {
        let mut ends = vec![NEVER; index.rows() as usize];
        for number in 0..index.distinct() {
            if let Scalar::Date(ms) = index.value(number) {
                for &row in index.rows_of(number) {
                    if !index.is_array(row) {
                        ends[row as usize] = ms;
                    }
                }
            }
        }
        Self::of_ends(ends)
    }

    /// Whether the time of a row has passed.
    pub fn is_over(&self, row: u32, now: i64) -> bool {
        self.ends[row as usize] <= now
    }

    /// The rows whose time has passed, the earliest first.
    pub fn over(&self, now: i64) -> &[u32] {
        let is_over = |row: &u32| self.is_over(*row, now);
        &self.order[..self.order.partition_point(is_over)]
    }

    /// How many rows are deleted at the version of `at`, or over at its instant.
    pub fn count_gone(&self, deletions: &Tombstones, at: Moment) -> usize {
        let deleted = deletions.count_at(at.lsn);
        let over = self.over(at.now);
        if deleted == 0 || over.is_empty() {
            return deleted + over.len();
        }
        let mut known = self.both.lock();
        if known[..2] != [deleted, over.len()] {
            let is_deleted = |row: &&u32| !deletions.sees(**row, at.lsn);
            let both = over.iter().filter(is_deleted).count();
            *known = [deleted, over.len(), both];
        }
        deleted + over.len() - known[2]
    }

    /// Bytes in memory.
    pub fn memory(&self) -> usize {
        size_of_val(&*self.ends) + size_of_val(&*self.order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_over_from_its_instant_on() {
        let expiry = Expiry::of_ends(vec![NEVER, 7, i64::MIN, 5]).expect("some have an end");
        assert_eq!(expiry.over(i64::MIN), [2]);
        assert_eq!(expiry.over(4), [2]);
        assert_eq!(expiry.over(5), [2, 3]);
        assert_eq!(expiry.over(NEVER - 1), [2, 3, 1]);
        assert!(!expiry.is_over(0, NEVER - 1));
        assert!(Expiry::of_ends(vec![NEVER; 3]).is_none());
    }

    #[test]
    fn what_is_deleted_and_over_is_gone_once() {
        let expiry = Expiry::of_ends(vec![1, 2, 3, NEVER]).expect("some have an end");
        let deletions = Tombstones::new(4);
        deletions.delete(1, 10);
        deletions.delete(3, 11);
        let gone = |lsn, now| expiry.count_gone(&deletions, Moment { lsn, now });
        assert_eq!(gone(9, 0), 0);
        assert_eq!(gone(9, 2), 2);
        assert_eq!(gone(10, 2), 2);
        assert_eq!(gone(11, 2), 3);
        assert_eq!(gone(11, 3), 4);
        assert_eq!(gone(11, 0), 2);
    }

    #[test]
    fn only_a_date_ends_a_record() {
        // { "e": <ext -1, 4 bytes: 5 s> }, then with 5, null, [date], and another name.
        let date = b"\x81\xa1e\xd6\xff\x00\x00\x00\x05";
        assert_eq!(end_of(date, "e"), 5_000);
        assert_eq!(end_of(date, "f"), NEVER);
        for other in [
            &b"\x81\xa1e\x05"[..],
            b"\x81\xa1e\xc0",
            b"\x81\xa1e\x91\xd6\xff\x00\x00\x00\x05",
            b"",
            b"\x81",
        ] {
            assert_eq!(end_of(other, "e"), NEVER);
        }
    }
}
