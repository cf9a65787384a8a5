//! Inverted indexes of sparse vectors: of each index that any row has, which rows have it, with their values.
//!
//! A row's score is the inner product with the query, added up in the order of the indexes in double precision
//! (a product of two 32-bit floats is exact there) and rounded once: the same wherever a row stands, and
//! whichever rows were passed over. Only rows that share an index with the query are found.
//!
//! A search goes through windows of rows. What the best row of a window could score follows from the largest
//! and the smallest value of every 128 entries of a list, so windows that cannot matter are passed over whole.
//! Source: S. Ding, T. Suel: Faster Top-k Document Retrieval Using Block-Max Indexes, 2011.

mod bytes;
mod search;

use std::collections::BTreeMap;

/// Entries of a list that share a bound.
const BLOCK: usize = 128;

/// An inverted index that grows row by row, or was read whole.
///
/// # Examples
/// ```
/// use cairn_index::SparseIndex;
///
/// let mut index = SparseIndex::default();
/// index.push([(3, 0.5), (70, 2.0)]);
/// index.push([(3, 1.0)]);
/// let tie = |a: u32, b: u32| a.cmp(&b);
/// let mut hits = Vec::new();
/// index.search(&[(3, 2.0), (8, 1.0)], 10, 0..2, |_| true, tie, || false, &mut hits)?;
/// let found: Vec<(u32, f32)> = hits.iter().map(|hit| (hit.row, hit.distance)).collect();
/// assert_eq!(found, [(1, -2.0), (0, -1.0)]);
/// # Ok::<(), cairn_index::Stopped>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SparseIndex {
    lists: BTreeMap<u32, List>,
    rows: u32,
    entries: usize,
}

/// The rows that have one index, ascending, with their values.
#[derive(Clone, Debug, Default, PartialEq)]
struct List {
    rows: Vec<u32>,
    values: Vec<f32>,
    bounds: Vec<Bound>,
}

/// Smallest and largest value of a block.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bound {
    low: f32,
    high: f32,
}

impl SparseIndex {
    /// Appends a row, its indexes rising and its values finite; returns its number.
    ///
    /// # Panics
    /// With 2^32 - 1 rows.
    pub fn push(&mut self, entries: impl IntoIterator<Item = (u32, f32)>) -> u32 {
        let row = self.rows;
        self.rows = row.checked_add(1).expect("rows are counted in 32 bits");
        for (index, value) in entries {
            self.lists.entry(index).or_default().push(row, value);
            self.entries += 1;
        }
        row
    }

    /// Rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows as usize
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Bytes in memory, near enough.
    #[must_use]
    pub fn memory(&self) -> usize {
        let of_entry = 8 + size_of::<Bound>() / BLOCK;
        self.entries * of_entry + self.lists.len() * (size_of::<List>() + size_of::<Bound>() + 4)
    }
}

impl List {
    fn push(&mut self, row: u32, value: f32) {
        if self.rows.len().is_multiple_of(BLOCK) {
            self.bounds.push(Bound {
                low: value,
                high: value,
            });
        } else if let Some(bound) = self.bounds.last_mut() {
            bound.low = bound.low.min(value);
            bound.high = bound.high.max(value);
        }
        self.rows.push(row);
        self.values.push(value);
    }
}
