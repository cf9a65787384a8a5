//! Vectors of every kind as they are held in memory and stored.
//!
//! On its way through the engine a vector is a slice of `f32`: every `f16` and every `i8` is one
//! exactly, and eight bits are a number from 0 to 255. So there is one way from the caller to the log, to
//! memtables and segments, and back. What differs is how many bytes a value takes where it stays, and which
//! kernel compares it; this module is all that knows.

mod varying;

use std::cmp::Ordering;
use std::convert::identity;
use std::ops::Range;
use std::sync::Arc;

use cairn_distance::{Kernels, f16};
use cairn_env::{Bug, planted};
use cairn_filter::Bitmap;
use cairn_index::flat::{self, TopK};
use cairn_index::{
    Component, Effort, Graph, Hit, Lender, Metric, MultiQuery, MultiVectors, Query, SparseIndex,
    Stopped, Vectors,
};

use crate::schema::{VectorField, VectorKind};

pub(crate) use varying::{VectorRows, entries, refuse_wild, refuse_zero};
pub use varying::{multi_vector, sparse_vector};

use varying::several;

/// Rows in memory are padded to whole cache lines.
const LINE_BYTES: usize = 64;

/// Bytes compared in a millisecond, about.
const BYTES_AT_ONCE: usize = 16 * 1024 * 1024;

// What callers see to.
const WITHOUT_ROWS: &str = "vectors that differ in length are not in memory as they are stored";
const PREPARED: &str = "a query is prepared for its field";

/// Calls `$work` with the vectors of `$matrix`, whatever they are made of, if they are all of one length;
/// else does what `$pattern` says.
macro_rules! each {
    ($matrix:expr, $vectors:ident => $work:expr, $($pattern:pat => $other:expr),+) => {
        match $matrix {
            Matrix::F32($vectors) => $work,
            Matrix::F16($vectors) => $work,
            Matrix::I8($vectors) => $work,
            Matrix::Bits($vectors) => $work,
            $($pattern => $other,)+
        }
    };
}

mod clusters;
mod graph;

pub(crate) use clusters::{MadeClusters, Site, lent_rows};
pub(crate) use graph::{FieldGraph, GraphConfig};

/// The vectors of one field, as searches compare them: as they are stored, but for `f32` under cosine,
/// which are brought to length one. Of sparse ones the index by which they are searched, of several a record
/// their rows.
pub(crate) enum Matrix {
    F32(Vectors),
    F16(Vectors<f16>),
    I8(Vectors<i8>),
    Bits(Vectors<u8>),
    Sparse(SparseIndex),
    Multi(MultiVectors),
}

/// A query for one field.
pub(crate) enum FieldQuery {
    F32(Query),
    F16(Query<f16>),
    I8(Query<i8>),
    Bits(Query<u8>),
    Sparse(Vec<(u32, f32)>),
    Multi(MultiQuery),
}

/// What a value of a vector becomes where it stays.
trait Stored: Component {
    /// Of a value that was checked: exact but for `f16`, which is rounded.
    fn from_value(value: f32) -> Self;
    /// Exact.
    fn to_value(self) -> f32;
    fn query(query: &FieldQuery) -> &Query<Self>;
    fn graph(graph: &FieldGraph) -> &Graph<Self>;
    fn wrap(graph: Graph<Self>) -> FieldGraph;
}

macro_rules! stored {
    ($type:ty, $kind:ident, $from:expr, $to:expr) => {
        impl Stored for $type {
            #[inline(always)]
            fn from_value(value: f32) -> Self {
                $from(value)
            }

            #[inline(always)]
            fn to_value(self) -> f32 {
                $to(self)
            }

            fn query(query: &FieldQuery) -> &Query<Self> {
                match query {
                    FieldQuery::$kind(query) => query,
                    _ => unreachable!("{PREPARED}"),
                }
            }

            fn graph(graph: &FieldGraph) -> &Graph<Self> {
                match graph {
                    FieldGraph::$kind(graph) => graph,
                    _ => unreachable!("a graph is read for its field"),
                }
            }

            fn wrap(graph: Graph<Self>) -> FieldGraph {
                FieldGraph::$kind(graph)
            }
        }
    };
}

stored!(f32, F32, identity, identity);
stored!(f16, F16, to_half, f16::to_f32);
stored!(i8, I8, to_integer, f32::from);
stored!(u8, Bits, to_byte, f32::from);

fn to_integer(value: f32) -> i8 {
    value as i8
}

fn to_byte(value: f32) -> u8 {
    value as u8
}

/// Rounded to the nearest half, ties to even.
fn to_half(value: f32) -> f16 {
    let half = f16::from_f32(value);
    if planted(Bug::HalvesCutOff) && half.to_f32().abs() > value.abs() {
        return f16::from_bits(half.to_bits() - 1);
    }
    half
}

impl VectorKind {
    /// Whether stored bytes are those of the values on their way.
    pub(crate) fn is_stored_as_given(self) -> bool {
        matches!(self, Self::F32 | Self::Sparse | Self::Multi)
    }

    /// Bytes that one value takes where it is stored.
    pub(crate) fn value_bytes(self) -> usize {
        match self {
            Self::F32 | Self::Sparse | Self::Multi => 4,
            Self::F16 => 2,
            Self::I8 | Self::Binary => 1,
        }
    }

    /// Appends values as they are stored.
    pub(crate) fn encode(self, values: &[f32], out: &mut Vec<u8>) {
        match self {
            Self::F32 | Self::Sparse | Self::Multi => {
                out.extend_from_slice(bytemuck::cast_slice(values));
            }
            Self::F16 => encode::<f16>(values, out),
            Self::I8 => encode::<i8>(values, out),
            Self::Binary => encode::<u8>(values, out),
        }
    }

    /// Values out of their bytes, as many as `out` has.
    pub(crate) fn decode(self, bytes: &[u8], out: &mut [f32]) {
        debug_assert_eq!(bytes.len(), out.len() * self.value_bytes());
        match self {
            Self::F32 | Self::Sparse | Self::Multi => {
                bytemuck::cast_slice_mut(out).copy_from_slice(bytes);
            }
            Self::F16 => decode::<f16>(bytes, out),
            Self::I8 => decode::<i8>(bytes, out),
            Self::Binary => decode::<u8>(bytes, out),
        }
    }
}

fn encode<T: Stored>(values: &[f32], out: &mut Vec<u8>) {
    let at = out.len();
    out.resize(at + values.len() * size_of::<T>(), 0);
    let slots = out[at..].chunks_exact_mut(size_of::<T>());
    for (slot, &value) in slots.zip(values) {
        slot.copy_from_slice(bytemuck::bytes_of(&T::from_value(value)));
    }
}

fn decode<T: Stored>(bytes: &[u8], out: &mut [f32]) {
    for (value, bytes) in out.iter_mut().zip(bytes.chunks_exact(size_of::<T>())) {
        *value = bytemuck::pod_read_unaligned::<T>(bytes).to_value();
    }
}

impl Matrix {
    /// Room for `rows` vectors of a field; where they differ in length, it grows.
    pub fn of(field: &VectorField, rows: usize) -> Self {
        let width = field.width();
        match field.kind {
            VectorKind::F32 => Self::F32(Vectors::of(width, rows)),
            VectorKind::F16 => Self::F16(Vectors::of(width, rows)),
            VectorKind::I8 => Self::I8(Vectors::of(width, rows)),
            VectorKind::Binary => Self::Bits(Vectors::of(width, rows)),
            VectorKind::Sparse => Self::Sparse(SparseIndex::default()),
            VectorKind::Multi => Self::Multi(MultiVectors::new(width)),
        }
    }

    /// The vectors of a field that `lender` has as they are stored, see [`Vectors::lent`].
    pub fn lent(field: &VectorField, lender: Arc<dyn Lender>, scales: Vec<f32>) -> Self {
        let width = field.width();
        match field.kind {
            VectorKind::F32 => Self::F32(Vectors::lent(width, lender, scales)),
            VectorKind::F16 => Self::F16(Vectors::lent(width, lender, scales)),
            VectorKind::I8 => Self::I8(Vectors::lent(width, lender, scales)),
            VectorKind::Binary => Self::Bits(Vectors::lent(width, lender, scales)),
            VectorKind::Sparse | VectorKind::Multi => unreachable!("{WITHOUT_ROWS}"),
        }
    }

    pub fn len(&self) -> usize {
        each!(
            self,
            vectors => vectors.len(),
            Matrix::Sparse(index) => index.len(),
            Matrix::Multi(vectors) => vectors.len()
        )
    }

    /// Memory that the rows occupy.
    pub fn bytes(&self) -> usize {
        each!(
            self,
            vectors => vectors.bytes(),
            Matrix::Sparse(index) => index.memory(),
            Matrix::Multi(vectors) => vectors.bytes()
        )
    }

    /// Values of a row, where all have as many.
    pub fn width(&self) -> usize {
        each!(self, vectors => vectors.dim(), Matrix::Sparse(_) | Matrix::Multi(_) => 0)
    }

    /// Whether vectors can be read out of it: those that differ in length cannot.
    pub fn has_rows(&self) -> bool {
        !matches!(self, Self::Sparse(_) | Self::Multi(_))
    }

    /// What searches call their way through it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sparse(_) => "sparse",
            _ => "flat",
        }
    }

    /// The matrix, where it is of `f32`.
    pub fn as_f32(&self) -> Option<&Vectors> {
        match self {
            Self::F32(vectors) => Some(vectors),
            _ => None,
        }
    }

    /// Appends a vector; `normalise` where the field [`normalises`](VectorField::normalises).
    pub fn push(&mut self, vector: &[f32], normalise: bool) {
        fn push<T: Stored>(vectors: &mut Vectors<T>, vector: &[f32]) {
            vectors.fill_rows(1, |_, row| {
                for (slot, &value) in row.iter_mut().zip(vector) {
                    *slot = T::from_value(value);
                }
            });
        }
        match self {
            Self::F32(vectors) => vectors.fill_rows(1, |_, row| {
                row.copy_from_slice(vector);
                bring_to_length_one(row, normalise);
            }),
            Self::F16(vectors) => push(vectors, vector),
            Self::I8(vectors) => push(vectors, vector),
            Self::Bits(vectors) => push(vectors, vector),
            Self::Sparse(index) => {
                index.push(entries(vector));
            }
            Self::Multi(vectors) => push_several(vectors, several(vector), normalise),
        }
    }

    /// Appends rows as a segment has them.
    pub fn push_stored(&mut self, bytes: &[u8], normalise: bool) {
        fn push<T: Stored>(vectors: &mut Vectors<T>, bytes: &[u8], finish: impl Fn(&mut [T])) {
            let row_bytes = vectors.dim() * size_of::<T>();
            let mut rows = bytes.chunks_exact(row_bytes);
            vectors.fill_rows(rows.len(), |_, row| {
                let bytes = rows.next().expect("as many rows as were counted");
                bytemuck::cast_slice_mut(row).copy_from_slice(bytes);
                finish(row);
            });
        }
        match self {
            Self::F32(vectors) => push(vectors, bytes, |row| bring_to_length_one(row, normalise)),
            Self::F16(vectors) => push(vectors, bytes, |_| {}),
            Self::I8(vectors) => push(vectors, bytes, |_| {}),
            Self::Bits(vectors) => push(vectors, bytes, |_| {}),
            Self::Sparse(_) | Self::Multi(_) => unreachable!("{WITHOUT_ROWS}"),
        }
    }

    /// Writes a row's values to `out`, where it [has rows](Self::has_rows).
    pub fn read(&self, row: u32, out: &mut [f32]) {
        fn read<T: Stored>(vectors: &Vectors<T>, row: u32, out: &mut [f32]) {
            for (value, &stored) in out.iter_mut().zip(vectors.row(row)) {
                *value = stored.to_value();
            }
        }
        match self {
            Self::F32(vectors) => vectors.read_prepared(row, out),
            Self::F16(vectors) => read(vectors, row, out),
            Self::I8(vectors) => read(vectors, row, out),
            Self::Bits(vectors) => read(vectors, row, out),
            Self::Sparse(_) | Self::Multi(_) => unreachable!("{WITHOUT_ROWS}"),
        }
    }

    /// Rows that a search goes through in a millisecond or so where one of them may take long; else all.
    pub fn rows_at_once(&self, query: &FieldQuery) -> usize {
        match (self, query) {
            (Self::Multi(vectors), FieldQuery::Multi(query)) => {
                let row_bytes = vectors.bytes() / vectors.len().max(1);
                (BYTES_AT_ONCE / (row_bytes * query.len()).max(1)).max(1)
            }
            _ => usize::MAX,
        }
    }

    /// [`flat::search`] of the accepted rows, or of those that are `listed`. Of several vectors a row, what
    /// `hits` has is kept as far as it is among the nearest: so rows may be searched some at a time.
    ///
    /// # Errors
    /// As that one.
    #[expect(
        clippy::too_many_arguments,
        reason = "one question, asked by the search alone"
    )]
    pub fn search(
        &self,
        metric: Metric,
        query: &FieldQuery,
        k: usize,
        rows: Range<u32>,
        listed: Option<&Bitmap>,
        accept: impl Fn(u32) -> bool,
        tie: impl Fn(u32, u32) -> Ordering,
        stop: impl Fn() -> bool,
        hits: &mut Vec<Hit>,
    ) -> Result<Effort, Stopped> {
        each!(
            self,
            vectors => {
                let query = Stored::query(query);
                let Some(listed) = listed else {
                    return flat::search(vectors, metric, query, k, rows, accept, tie, stop, hits);
                };
                hits.clear();
                let mut top = TopK::new(k);
                let listed = listed.iter();
                let effort = flat::scan_listed(vectors, metric, query, listed, &tie, stop, &mut top)?;
                top.finish(tie, hits);
                Ok(effort)
            },
            Matrix::Sparse(index) => {
                let FieldQuery::Sparse(query) = query else {
                    unreachable!("{PREPARED}")
                };
                index.search(query, k, rows, accept, tie, stop, hits)
            },
            Matrix::Multi(vectors) => {
                let FieldQuery::Multi(query) = query else {
                    unreachable!("{PREPARED}")
                };
                let (kernels, mut top) = (Kernels::new(metric), TopK::new(k));
                for hit in hits.drain(..) {
                    top.push(hit.distance, hit.row, &tie);
                }
                let effort = match listed {
                    Some(listed) => {
                        let listed = listed.iter();
                        vectors.scan(kernels, query, listed, accept, &tie, stop, &mut top)?
                    }
                    None => vectors.scan(kernels, query, rows, accept, &tie, stop, &mut top)?,
                };
                top.finish(tie, hits);
                Ok(effort)
            }
        )
    }
}

/// Appends a row of several vectors, `[count * dim]`.
fn push_several(vectors: &mut MultiVectors, values: &[f32], normalise: bool) {
    let dim = vectors.dim();
    let count = values.len() / dim;
    let lost = usize::from(planted(Bug::MultiVectorForgetsLastVector) && count > 1);
    vectors.fill(count - lost, |at, row| {
        row.copy_from_slice(&values[at * dim..(at + 1) * dim]);
        bring_to_length_one(row, normalise);
    });
}

/// Does so if `wanted`. A zero vector was refused before it got here; it stays as it is.
fn bring_to_length_one(row: &mut [f32], wanted: bool) {
    if wanted {
        let _ = cairn_distance::normalise(row);
    }
}

impl FieldQuery {
    /// Puts `vector` into the form that kernels want: padded, of length one where the field
    /// [`normalises`](VectorField::normalises). What `slot` held is used again if it fits.
    pub fn prepare<'a>(
        slot: &'a mut Option<Self>,
        field: &VectorField,
        vector: &[f32],
        normalised: &mut Vec<f32>,
    ) -> &'a Self {
        /// One that has room for so many values.
        fn room<T: Stored>(old: Option<Query<T>>, values: usize) -> Query<T> {
            let stride = values.next_multiple_of(LINE_BYTES / size_of::<T>());
            let fits = |query: &Query<T>| query.padded().len() == stride;
            old.filter(fits).unwrap_or_else(|| Query::of(&[], stride))
        }
        fn set<T: Stored>(old: Option<Query<T>>, values: &[f32]) -> Query<T> {
            let mut query = room(old, values.len());
            query.fill(values.iter().map(|&value| T::from_value(value)));
            query
        }
        fn copy(old: Option<Query>, values: &[f32]) -> Query {
            let mut query = room(old, values.len());
            query.set(values);
            query
        }
        if field.kind == VectorKind::Sparse {
            let mut query = match slot.take() {
                Some(Self::Sparse(query)) => query,
                _ => Vec::new(),
            };
            query.clear();
            query.extend(entries(vector));
            return slot.insert(Self::Sparse(query));
        }
        normalised.clear();
        if field.kind == VectorKind::Multi {
            normalised.extend_from_slice(several(vector));
            for vector in normalised.chunks_exact_mut(field.width()) {
                bring_to_length_one(vector, field.normalises());
            }
            let mut query = match slot.take() {
                Some(Self::Multi(query)) => query,
                _ => MultiQuery::default(),
            };
            query.set(normalised, field.width());
            return slot.insert(Self::Multi(query));
        }
        normalised.extend_from_slice(vector);
        bring_to_length_one(normalised, field.normalises());
        let old = slot.take();
        let query = match (field.kind, old) {
            (VectorKind::F32, Some(Self::F32(old))) => Self::F32(copy(Some(old), normalised)),
            (VectorKind::F16, Some(Self::F16(old))) => Self::F16(set(Some(old), normalised)),
            (VectorKind::I8, Some(Self::I8(old))) => Self::I8(set(Some(old), normalised)),
            (VectorKind::Binary, Some(Self::Bits(old))) => Self::Bits(set(Some(old), normalised)),
            (VectorKind::F32, _) => Self::F32(copy(None, normalised)),
            (VectorKind::F16, _) => Self::F16(set(None, normalised)),
            (VectorKind::I8, _) => Self::I8(set(None, normalised)),
            (VectorKind::Binary, _) => Self::Bits(set(None, normalised)),
            (VectorKind::Sparse | VectorKind::Multi, _) => unreachable!("prepared above"),
        };
        slot.insert(query)
    }

    /// Bytes that it keeps beyond what one vector takes.
    pub fn spare_bytes(&self) -> usize {
        match self {
            Self::Multi(query) => query.bytes(),
            Self::Sparse(entries) => entries.capacity() * size_of::<(u32, f32)>(),
            _ => 0,
        }
    }

    /// The query, where it is of `f32`.
    pub fn as_f32(&self) -> Option<&Query> {
        match self {
            Self::F32(query) => Some(query),
            _ => None,
        }
    }
}

/// Compares vectors on their way through the engine, of any kind.
pub(crate) enum Measure {
    Numbers(Kernels<f32>),
    Bits,
}

impl Measure {
    pub fn of(metric: Metric) -> Self {
        match metric {
            Metric::Hamming => Self::Bits,
            _ => Self::Numbers(Kernels::new(metric)),
        }
    }

    /// The distance between two vectors as [`Snapshot`](crate::Snapshot) reads them; under cosine both of
    /// length one.
    pub fn distance(&self, a: &[f32], b: &[f32]) -> f32 {
        match self {
            Self::Numbers(kernels) => kernels.one(a, b),
            Self::Bits => {
                let differing = |(&a, &b): (&f32, &f32)| (a as u8 ^ b as u8).count_ones();
                a.iter().zip(b).map(differing).sum::<u32>() as f32
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_rounded_to_the_nearest_and_ties_to_even() {
        // Between 2,048 and 4,096 halves are two apart.
        for (value, expected) in [
            (2048.9, 2048.0),
            (2049.0, 2048.0),
            (2051.0, 2052.0),
            (-2051.0, -2052.0),
            (65_504.0, 65_504.0),
            (5.960_464_5e-8, 5.960_464_5e-8),
            (2.9e-8, 0.0),
        ] {
            let mut bytes = Vec::new();
            VectorKind::F16.encode(&[value], &mut bytes);
            let mut back = [1.0];
            VectorKind::F16.decode(&bytes, &mut back);
            assert_eq!(back, [expected], "value={value}");
        }
    }

    #[test]
    fn what_is_stored_reads_back_exactly() {
        let bytes: Vec<f32> = (0..=255_u8).map(f32::from).collect();
        let numbers: Vec<f32> = (i8::MIN..=i8::MAX).map(f32::from).collect();
        let halves: Vec<f32> = (0..=u16::MAX)
            .map(f16::from_bits)
            .filter(|half| half.is_finite())
            .map(f16::to_f32)
            .collect();
        for (kind, values) in [
            (VectorKind::Binary, bytes),
            (VectorKind::I8, numbers),
            (VectorKind::F16, halves.clone()),
            (VectorKind::F32, halves),
        ] {
            let mut stored = Vec::new();
            kind.encode(&values, &mut stored);
            assert_eq!(stored.len(), values.len() * kind.value_bytes());
            let mut back = vec![0.5; values.len()];
            kind.decode(&stored, &mut back);
            let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits();
            assert!(values.iter().zip(&back).all(same), "{kind:?}");
        }
    }
}
