//! Vectors that differ in length: those of sparse fields, and several vectors a record.
//!
//! Such a vector is a slice of `f32` on its way through the engine as any other is, and says itself how long it
//! is: its first four bytes are a `u32`, in the place of a float. Of a sparse vector that is how many values
//! it has; as many indexes follow, each a `u32` in the place of a float, and then the values. Of several
//! vectors it is their number; they follow end to end. So one is copied, logged and stored as it is, and is
//! never calculated with as a whole.

use crate::error::{Code, Error, Result};
use crate::limits::VECTORS_MAX;
use crate::schema::{MetricName, VectorField, VectorKind};

use super::LINE_BYTES;

/// A vector of a sparse field: indexes that rise, all below the field's `dim`, and a finite value for each.
///
/// # Panics
/// If there are not as many of both.
#[must_use]
pub fn sparse_vector(indices: &[u32], values: &[f32]) -> Vec<f32> {
    assert_eq!(indices.len(), values.len(), "a value for each index");
    let numbers = indices.iter().map(|number| f32::from_bits(*number));
    let count = std::iter::once(counted(values.len()));
    count.chain(numbers).chain(values.iter().copied()).collect()
}

/// A vector of a field of several a record: `[count * dim]` finite values, at least one vector.
///
/// # Panics
/// If these are no whole vectors.
#[must_use]
pub fn multi_vector(vectors: &[f32], dim: usize) -> Vec<f32> {
    assert!(vectors.len().is_multiple_of(dim), "whole vectors");
    let count = std::iter::once(counted(vectors.len() / dim));
    count.chain(vectors.iter().copied()).collect()
}

/// A number in the place of a float.
fn counted(count: usize) -> f32 {
    f32::from_bits(u32::try_from(count).expect("lengths are 32-bit"))
}

/// The vectors of one that has several, end to end.
pub(crate) fn several(vector: &[f32]) -> &[f32] {
    vector.get(1..).unwrap_or_default()
}

/// Indexes and values of a sparse vector.
pub(crate) fn entries(vector: &[f32]) -> impl Iterator<Item = (u32, f32)> {
    let rest = vector.get(1..).unwrap_or_default();
    let (indices, values) = rest.split_at(rest.len() / 2);
    indices
        .iter()
        .map(|it| it.to_bits())
        .zip(values.iter().copied())
}

impl VectorField {
    /// Values of the vector that `values` begin with; `None` where no whole one is there.
    #[must_use]
    pub fn length_of_first(&self, values: &[f32]) -> Option<usize> {
        let length = self.length_after(*values.first()?)?;
        (length <= values.len()).then_some(length)
    }

    /// Values of a vector by its first one; `None` where nothing has so many.
    pub(crate) fn length_after(&self, first: f32) -> Option<usize> {
        let values_each = match self.kind {
            VectorKind::Sparse => 2,
            VectorKind::Multi => self.dim as usize,
            _ => return Some(self.width()),
        };
        let count = first.to_bits() as usize;
        count.checked_mul(values_each)?.checked_add(1)
    }

    /// Whether a stored vector can take so many bytes.
    pub(crate) fn may_take(&self, bytes: u64) -> bool {
        let dim = u64::from(self.dim);
        let (bytes_each, most) = match self.kind {
            VectorKind::Sparse => (8, dim),
            VectorKind::Multi => (4 * dim, VECTORS_MAX as u64),
            _ => return bytes == self.row_bytes() as u64,
        };
        let rest = bytes.checked_sub(4);
        rest.is_some_and(|rest| {
            rest.is_multiple_of(bytes_each) && (1..=most).contains(&(rest / bytes_each))
        })
    }

    /// Bytes that vectors of so many values take in a memtable, near enough.
    pub(crate) fn memory_of(&self, values: usize) -> usize {
        let bytes = values * size_of::<f32>();
        match self.kind {
            // As they were given, and in rows of whole cache lines.
            VectorKind::Multi => {
                let row_bytes = self.dim as usize * size_of::<f32>();
                bytes + values.div_ceil(self.dim as usize) * row_bytes.next_multiple_of(LINE_BYTES)
            }
            // Once as it was given, and an entry of its index takes about as much again.
            _ => 3 * bytes,
        }
    }

    /// The score of a distance from `query`. Of several vectors under cosine it is the sum of the cosines,
    /// as it is of one.
    pub(crate) fn score(&self, query: &[f32], distance: f32) -> f32 {
        match (self.kind, self.metric) {
            (VectorKind::Multi, MetricName::Cosine) => {
                let count = query.first().map_or(0, |first| first.to_bits());
                count as f32 - distance
            }
            _ => self.metric.metric().score(distance),
        }
    }

    /// The vectors that stand end to end in `values`; `None` where they do not come out even.
    pub(crate) fn split<'a>(&self, values: &'a [f32]) -> Option<Vec<&'a [f32]>> {
        let mut vectors = Vec::new();
        let mut rest = values;
        while !rest.is_empty() {
            let (vector, behind) = rest.split_at(self.length_of_first(rest)?);
            vectors.push(vector);
            rest = behind;
        }
        Some(vectors)
    }

    /// Checks a vector of a kind whose vectors differ in length.
    pub(crate) fn check_varying(&self, vector: &[f32]) -> Result<()> {
        if self.length_of_first(vector) != Some(vector.len()) {
            return Err(Error::new(
                Code::DimMismatch,
                "a vector of another length than it says",
            ));
        }
        match self.kind {
            VectorKind::Multi => self.check_several(several(vector)),
            _ => self.check_sparse(vector),
        }
    }

    fn check_several(&self, values: &[f32]) -> Result<()> {
        let count = values.len() / self.dim as usize;
        if count == 0 {
            let message = "a record and a query have at least one vector";
            return Err(Error::new(Code::InvalidArgument, message));
        }
        if count > VECTORS_MAX {
            return Err(Error::new(Code::LimitExceeded, "too many vectors")
                .number("limit", VECTORS_MAX)
                .number("got", count));
        }
        let vectors = values.chunks_exact(self.dim as usize);
        for (position, vector) in vectors.enumerate() {
            let checked =
                refuse_wild(vector).and_then(|()| refuse_zero(vector, self.metric, |x| x == 0.0));
            checked.map_err(|error| error.number("position", position))?;
        }
        Ok(())
    }

    fn check_sparse(&self, vector: &[f32]) -> Result<()> {
        if vector.len() == 1 {
            let message = "a sparse vector needs at least one value";
            return Err(Error::new(Code::InvalidArgument, message));
        }
        let mut before = None;
        for (at, (index, value)) in entries(vector).enumerate() {
            if index >= self.dim {
                let error = Error::new(Code::DimMismatch, "an index is not below dim");
                return Err(error
                    .number("position", at)
                    .number("dim", self.dim)
                    .number("got", index));
            }
            if before.is_some_and(|before| index <= before) {
                let message = "the indexes of a sparse vector must rise";
                return Err(Error::new(Code::InvalidArgument, message)
                    .number("position", at)
                    .number("got", index));
            }
            if !value.is_finite() {
                return Err(Error::new(Code::NotFinite, "a value is not finite")
                    .number("position", at)
                    .text("got", value.to_string()));
            }
            before = Some(index);
        }
        Ok(())
    }
}

/// Refuses NaN and infinity.
pub(crate) fn refuse_wild(vector: &[f32]) -> Result<()> {
    // Or-ing over all components vectorises; returning at the first one does not.
    let wild = vector.iter().fold(false, |wild, x| wild | !x.is_finite());
    if !wild {
        return Ok(());
    }
    let component = vector.iter().position(|x| !x.is_finite()).unwrap_or(0);
    Err(Error::new(Code::NotFinite, "a component is not finite")
        .number("component", component)
        .text("got", vector[component].to_string()))
}

/// Refuses the zero vector under cosine.
pub(crate) fn refuse_zero(
    vector: &[f32],
    metric: MetricName,
    is_zero: impl Fn(f32) -> bool,
) -> Result<()> {
    if metric == MetricName::Cosine && vector.iter().all(|x| is_zero(*x)) {
        let message = "cosine has no direction for a zero vector";
        return Err(Error::new(Code::ZeroVector, message));
    }
    Ok(())
}

/// The vectors of some rows of one field, end to end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct VectorRows {
    /// Values of each; 0 where they differ.
    width: usize,
    values: Vec<f32>,
    /// Where each ends, where they differ.
    ends: Vec<usize>,
}

impl VectorRows {
    /// No rows yet.
    pub fn none(field: &VectorField) -> Self {
        let width = if field.kind.varies() {
            0
        } else {
            field.width()
        };
        Self {
            width,
            values: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Those that stand end to end in `values`; `None` where they do not come out even.
    pub fn of(field: &VectorField, values: Vec<f32>) -> Option<Self> {
        let mut rows = Self::none(field);
        if rows.width == 0 {
            let lengths = field.split(&values)?.into_iter().map(<[f32]>::len);
            let ends = lengths.scan(0, |end, length| {
                *end += length;
                Some(*end)
            });
            rows.ends = ends.collect();
        }
        rows.values = values;
        Some(rows)
    }

    pub fn push(&mut self, vector: &[f32]) {
        self.values.extend_from_slice(vector);
        if self.width == 0 {
            self.ends.push(self.values.len());
        }
    }

    pub fn get(&self, row: usize) -> &[f32] {
        if self.width > 0 {
            return &self.values[row * self.width..(row + 1) * self.width];
        }
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.values[start..self.ends[row]]
    }

    /// All of them, end to end.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}
