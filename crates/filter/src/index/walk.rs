//! The values of an index, one after another, for those who order and count.

use crate::bitmap::Bitmap;
use crate::scalar::Scalar;

use super::FieldIndex;

impl FieldIndex {
    /// The value of a number below [`distinct`](Self::distinct): numbers follow
    /// [`Scalar::order`].
    ///
    /// # Panics
    /// If there is no such value.
    #[must_use]
    pub fn value(&self, number: usize) -> Scalar<&str, &[u8]> {
        self.values.get(number)
    }

    /// How many values come before `value`.
    #[must_use]
    pub fn below(&self, value: &Scalar<&str, &[u8]>) -> usize {
        self.values.below(value)
    }

    /// The number of a value.
    #[must_use]
    pub fn number_of(&self, value: &Scalar<&str, &[u8]>) -> Option<usize> {
        self.values.find(value)
    }

    /// The rows that have a value, ascending.
    #[must_use]
    pub fn rows_of(&self, number: usize) -> &[u32] {
        &self.list[self.piece(number..number + 1)]
    }

    /// How many rows of `within` have a value.
    #[must_use]
    pub fn count_within(&self, number: usize, within: &Bitmap) -> usize {
        if let Ok(at) = self
            .dense
            .binary_search_by_key(&number, |(value, _)| *value)
        {
            return self.dense[at].1.count_common(within);
        }
        let rows = self.rows_of(number).iter();
        rows.filter(|row| within.contains(**row)).count()
    }

    /// Whether the value of a row is an array.
    #[must_use]
    pub fn is_array(&self, row: u32) -> bool {
        self.arrays.contains(row)
    }

    /// Whether every row that has the field has one value in it: no array, no map.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.is_single
    }

    /// The rows that have some value.
    #[must_use]
    pub fn with_values(&self) -> Bitmap {
        if self.is_single {
            return self.present.clone();
        }
        let mut rows = Bitmap::none(self.rows);
        rows.insert_all(&self.list);
        rows
    }
}
