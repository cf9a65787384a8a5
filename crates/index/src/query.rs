//! The query, laid out as the rows are.

use crate::vectors::stride_of;
use crate::{Component, Vectors};

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
pub struct Query<T = f32> {
    components: Vec<T>,
    /// Where the aligned copy starts in `components`.
    start: usize,
    stride: usize,
}

impl Query {
    /// [`Query::of`] for rows of `f32`.
    ///
    /// # Panics
    /// As [`Query::of`].
    #[must_use]
    pub fn new(vector: &[f32], stride: usize) -> Self {
        Self::of(vector, stride)
    }
}

impl<T: Component> Query<T> {
    /// Copies `vector` into a row of `stride` components, see [`Vectors::stride`](crate::Vectors::stride).
    ///
    /// # Panics
    /// If `stride` is not a multiple of 64 bytes, or if `vector` is longer.
    #[must_use]
    pub fn of(vector: &[T], stride: usize) -> Self {
        let line = stride_of::<T>(1);
        assert_eq!(stride, stride_of::<T>(stride), "rows are whole cache lines");
        let components = vec![T::default(); stride + line - 1];
        let past = components.as_ptr().addr() % 64 / size_of::<T>();
        let start = (line - past) % line;
        let mut query = Self {
            components,
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
    pub fn set(&mut self, vector: &[T]) {
        let row = self.padded_mut();
        row[..vector.len()].copy_from_slice(vector);
        row[vector.len()..].fill(T::default());
    }

    /// Replaces the vector by what `components` gives; allocates nothing. What does not fit is left out.
    pub fn fill(&mut self, components: impl Iterator<Item = T>) {
        let row = self.padded_mut();
        let padded = components.chain(std::iter::repeat(T::default()));
        for (slot, component) in row.iter_mut().zip(padded) {
            *slot = component;
        }
    }

    /// The vector as the rows of `vectors` are laid out: with their padding, or without any.
    ///
    /// # Panics
    /// If the query has another stride than rows of that dimension have.
    #[inline]
    pub(crate) fn beside(&self, vectors: &Vectors<T>) -> &[T] {
        let stride = stride_of::<T>(vectors.dim());
        assert_eq!(self.stride, stride, "the query has another stride");
        &self.padded()[..vectors.stride()]
    }

    /// The vector with its padding, `[stride]`.
    #[inline]
    #[must_use]
    pub fn padded(&self) -> &[T] {
        &self.components[self.start..self.start + self.stride]
    }

    /// The same to be written to.
    #[inline]
    pub(crate) fn padded_mut(&mut self) -> &mut [T] {
        &mut self.components[self.start..self.start + self.stride]
    }
}

impl<T: Component> Clone for Query<T> {
    /// A fresh copy: the alignment of the old one says nothing about the new allocation.
    fn clone(&self) -> Self {
        Self::of(self.padded(), self.stride)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_aligned_whatever_the_allocator_returns() {
        let mut kept = Vec::new();
        for dim in 1..200 {
            let query = Query::new(&vec![1.0; dim], stride_of::<f32>(dim)).clone();
            assert_eq!(query.padded().as_ptr().addr() % 64, 0);
            assert_eq!(query.padded().iter().sum::<f32>(), dim as f32);
            kept.push(query);
            let bits = Query::of(&vec![1_u8; dim], stride_of::<u8>(dim)).clone();
            assert_eq!(bits.padded().as_ptr().addr() % 64, 0);
            assert_eq!(bits.padded().iter().filter(|&&x| x == 1).count(), dim);
        }
    }
}
