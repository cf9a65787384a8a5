//! Which rows of a segment are deleted, and since which version.
//!
//! A bit says that a row has been deleted by somebody; for deletions since the last open a table
//! says by which version, so that older snapshots go on seeing the row. Bits only ever go from
//! clear to set.

use cairn_env::sync::RwLock;
use cairn_env::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use cairn_filter::Bitmap;
use hashbrown::HashMap;

use crate::error::{Code, Error, Result};

/// Deletions since the last open.
#[derive(Default)]
struct Since {
    by_row: HashMap<u32, u64, foldhash::fast::FixedState>,
    /// The versions of `by_row`, ascending.
    versions: Vec<u64>,
}

impl Since {
    fn insert(&mut self, row: u32, lsn: u64) {
        self.by_row.insert(row, lsn);
        let place = self.versions.len() - self.later_than(lsn);
        self.versions.insert(place, lsn);
    }

    /// How many are later than `lsn`.
    fn later_than(&self, lsn: u64) -> usize {
        self.versions.len() - self.versions.partition_point(|&version| version <= lsn)
    }
}

/// Deletions of one segment.
pub(crate) struct Tombstones {
    bits: Vec<AtomicU64>,
    count: AtomicUsize,
    since: RwLock<Since>,
    /// Deletions up to this version are in a deletion file.
    persisted: AtomicU64,
}

impl Tombstones {
    /// No deletions among `rows` rows.
    pub fn new(rows: usize) -> Self {
        Self {
            bits: (0..rows.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            count: AtomicUsize::new(0),
            since: RwLock::new(Since::default()),
            persisted: AtomicU64::new(0),
        }
    }

    /// The deletions that [`Tombstones::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`Code::Corrupt`] when the bitmap is not one of `rows` rows.
    pub fn from_bytes(bytes: &[u8], rows: usize) -> Result<Self> {
        let damaged = || Error::new(Code::Corrupt, "a deletion bitmap has the wrong size");
        let (words, rest) = bytes.as_chunks::<8>();
        if words.len() != rows.div_ceil(64) || !rest.is_empty() {
            return Err(damaged());
        }
        let out = Self::new(rows);
        let mut count = 0;
        for (slot, word) in out.bits.iter().zip(words) {
            let word = u64::from_le_bytes(*word);
            slot.store(word, Ordering::Relaxed);
            count += word.count_ones() as usize;
        }
        let past_the_end = |last: &AtomicU64| last.load(Ordering::Relaxed) >> (rows % 64) != 0;
        if !rows.is_multiple_of(64) && out.bits.last().is_some_and(past_the_end) {
            return Err(damaged());
        }
        out.count.store(count, Ordering::Relaxed);
        Ok(out)
    }

    /// One bit a row, little-endian words: the deletions that a snapshot at `lsn` sees.
    pub fn to_bytes(&self, lsn: u64) -> Vec<u8> {
        let since = self.since.read();
        let load = |word: &AtomicU64| word.load(Ordering::Acquire);
        let mut words: Vec<u64> = self.bits.iter().map(load).collect();
        for (&row, &deleted) in &since.by_row {
            if deleted > lsn {
                words[row as usize / 64] &= !(1 << (row % 64));
            }
        }
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Deletes a row as of version `lsn`. Later deletions of the same row change nothing.
    pub fn delete(&self, row: u32, lsn: u64) {
        let bit = 1 << (row % 64);
        let word = &self.bits[row as usize / 64];
        let mut since = self.since.write();
        if word.load(Ordering::Relaxed) & bit == 0 {
            since.insert(row, lsn);
            word.fetch_or(bit, Ordering::Release);
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Deletes rows, each as of its version, in the order that costs least: that of versions.
    pub fn delete_all(&self, mut deletions: Vec<(u32, u64)>) {
        deletions.sort_unstable_by_key(|&(_, lsn)| lsn);
        for (row, lsn) in deletions {
            self.delete(row, lsn);
        }
    }

    /// Whether a snapshot at `lsn` sees the row.
    pub fn sees(&self, row: u32, lsn: u64) -> bool {
        let bit = 1 << (row % 64);
        if self.bits[row as usize / 64].load(Ordering::Acquire) & bit == 0 {
            return true;
        }
        let since = self.since.read();
        since.by_row.get(&row).is_some_and(|&deleted| deleted > lsn)
    }

    /// The rows of `rows` that a snapshot at `lsn` sees.
    pub fn seen(&self, rows: usize, lsn: u64) -> Bitmap {
        let rows = u32::try_from(rows).expect("rows are counted in 32 bits");
        if self.count() == 0 {
            return Bitmap::all(rows);
        }
        let since = self.since.read();
        let load = |word: &AtomicU64| word.load(Ordering::Acquire);
        let deleted = Bitmap::from_words(self.bits.iter().map(load).collect(), rows);
        let mut seen = deleted.expect("no bit is set past the rows");
        seen.invert();
        for (&row, _) in since.by_row.iter().filter(|(_, deleted)| **deleted > lsn) {
            seen.insert(row);
        }
        seen
    }

    /// Rows deleted by anybody.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Rows that a snapshot at `lsn` sees as deleted.
    pub fn count_at(&self, lsn: u64) -> usize {
        if self.count() == 0 {
            return 0;
        }
        let since = self.since.read();
        self.count() - since.later_than(lsn)
    }

    /// Deletions after version `lsn`, with their versions.
    pub fn after(&self, lsn: u64) -> Vec<(u32, u64)> {
        let since = self.since.read();
        let later = since.by_row.iter().filter(|&(_, &deleted)| deleted > lsn);
        later.map(|(&row, &deleted)| (row, deleted)).collect()
    }

    /// Whether deletions up to `lsn` wait to be written to a deletion file.
    pub fn is_dirty(&self, lsn: u64) -> bool {
        let persisted = self.persisted.load(Ordering::Relaxed);
        let since = self.since.read();
        since.later_than(persisted) > since.later_than(lsn)
    }

    /// Notes that a deletion file holds everything up to `lsn`.
    pub fn mark_persisted(&self, lsn: u64) {
        self.persisted.fetch_max(lsn, Ordering::Relaxed);
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let since = self.since.read();
        self.bits.len() * 8 + since.by_row.capacity() * 17 + since.versions.capacity() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_snapshot_keeps_its_rows() {
        let tombstones = Tombstones::new(130);
        tombstones.delete(129, 7);
        tombstones.delete(129, 9);
        assert!(tombstones.sees(129, 6));
        assert!(!tombstones.sees(129, 7));
        assert_eq!((tombstones.count_at(6), tombstones.count_at(7)), (0, 1));
    }

    #[test]
    fn a_deletion_file_holds_what_its_version_saw() {
        let tombstones = Tombstones::new(70);
        tombstones.delete(3, 5);
        tombstones.delete(69, 8);
        assert!(tombstones.is_dirty(5));
        let bytes = tombstones.to_bytes(5);
        tombstones.mark_persisted(5);
        assert!(!tombstones.is_dirty(5));
        assert!(tombstones.is_dirty(8));
        let read = Tombstones::from_bytes(&bytes, 70).unwrap();
        assert!(!read.sees(3, 100));
        assert!(read.sees(69, 100));
        assert_eq!(read.count(), 1);
    }

    #[test]
    fn a_bitmap_of_another_size_is_refused() {
        assert!(Tombstones::from_bytes(&[0; 8], 65).is_err());
        assert!(Tombstones::from_bytes(&[0xff; 8], 63).is_err());
        assert!(Tombstones::from_bytes(&[0xff; 8], 64).is_ok());
    }
}
