//! The query, laid out as the rows are.

use crate::vectors::stride_of;

/// A padded, 64-byte aligned copy of a query vector, reusable.
///
/// # Examples
/// ```
/// use cairn_index::Query;
///
/// let mut query = Query::new(&[1.0, 2.0, 3.0], 16);
/// assert_eq!(query.padded()[..4], [1.0, 2.0, 3.0, 0.0]);
/// query.set(&[4.0]);
/// assert_eq!(query.padded()[..4], [4.0, 0.0, 0.0, 0.0]);
/// ```
#[derive(Debug)]
pub struct Query {
    floats: Vec<f32>,
    /// Where the aligned copy starts in `floats`.
    start: usize,
    stride: usize,
}

impl Query {
    /// Copies `vector` into a row of `stride` floats, see [`Vectors::stride`](crate::Vectors::stride).
    ///
    /// # Panics
    /// If `stride` is not a multiple of 16, or if `vector` is longer.
    #[must_use]
    pub fn new(vector: &[f32], stride: usize) -> Self {
        assert_eq!(stride, stride_of(stride), "rows are whole cache lines");
        let spare = stride_of(1) - 1;
        let floats = vec![0.0f32; stride + spare];
        let past = floats.as_ptr().addr() % 64 / size_of::<f32>();
        let start = (stride_of(1) - past) % stride_of(1);
        let mut query = Self {
            floats,
            start,
            stride,
        };
        query.set(vector);
        query
    }

    /// Replaces the vector; allocates nothing.
    ///
    /// # Panics
    /// If `vector` is longer than the row.
    pub fn set(&mut self, vector: &[f32]) {
        let row = &mut self.floats[self.start..self.start + self.stride];
        row[..vector.len()].copy_from_slice(vector);
        row[vector.len()..].fill(0.0);
    }

    /// The vector with its padding, `[stride]`.
    #[inline]
    #[must_use]
    pub fn padded(&self) -> &[f32] {
        &self.floats[self.start..self.start + self.stride]
    }
}

impl Clone for Query {
    /// A fresh copy: the alignment of the old one says nothing about the new allocation.
    fn clone(&self) -> Self {
        Self::new(self.padded(), self.stride)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_aligned_whatever_the_allocator_returns() {
        let mut kept = Vec::new();
        for dim in 1..200 {
            let query = Query::new(&vec![1.0; dim], stride_of(dim)).clone();
            assert_eq!(query.padded().as_ptr().addr() % 64, 0);
            assert_eq!(query.padded().iter().sum::<f32>(), dim as f32);
            kept.push(query);
        }
    }
}
