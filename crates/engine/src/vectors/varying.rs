//! Vectors that differ in length: those of sparse fields.
//!
//! Such a vector is a slice of `f32` on its way through the engine as any other is, and says itself how long it
//! is: its first four bytes are a `u32`, in the place of a float. Of a sparse vector that is how many values
//! it has; as many indexes follow, each a `u32` in the place of a float, and then the values. So one is copied,
//! logged and stored as it is, and is never calculated with as a whole.

use crate::error::{Code, Error, Result};
use crate::schema::{VectorField, VectorKind};

/// A vector of a sparse field: indexes that rise, all below the field's `dim`, and a finite value for each.
///
/// # Panics
/// If there are not as many of both.
#[must_use]
pub fn sparse_vector(indices: &[u32], values: &[f32]) -> Vec<f32> {
    assert_eq!(indices.len(), values.len(), "a value for each index");
    let count = u32::try_from(values.len()).expect("indexes are 32-bit");
    let numbers = std::iter::once(&count).chain(indices);
    let numbers = numbers.map(|number| f32::from_bits(*number));
    numbers.chain(values.iter().copied()).collect()
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
        match self.kind {
            VectorKind::Sparse => (first.to_bits() as usize).checked_mul(2)?.checked_add(1),
            _ => Some(self.width()),
        }
    }

    /// Bytes of a stored vector at least.
    pub(crate) fn row_bytes_least(&self) -> u64 {
        match self.kind {
            VectorKind::Sparse => 12,
            _ => self.row_bytes() as u64,
        }
    }

    /// Bytes of a stored vector at most.
    pub(crate) fn row_bytes_most(&self) -> u64 {
        match self.kind {
            VectorKind::Sparse => 4 + 8 * u64::from(self.dim),
            _ => self.row_bytes() as u64,
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
