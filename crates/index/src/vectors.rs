//! The matrix that every index reads.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use cairn_distance::{Element, Kernels, Metric};

use crate::arena::Arena;

/// Bytes of lent rows after which a scan says that it is done with them.
const STEP_BYTES: usize = 4 * 1024 * 1024; // 4 MiB: a thousand pages a call

/// Bytes in a cache line; rows are padded to a multiple of this.
const LINE_BYTES: usize = 64;

/// What rows are made of: numbers of some width, or `u8` for eight bits.
pub trait Component: Element + bytemuck::Pod {}

impl<T: Element + bytemuck::Pod> Component for T {}

/// Row-major matrix in one anonymous arena, of `f32` unless said otherwise.
///
/// Rows are padded with zeros to a multiple of 64 bytes ([`Vectors::stride`]) and start on 64-byte
/// boundaries: a row never shares a cache line with another, and kernels never meet a tail. Zeros
/// change no distance of any [`Metric`](cairn_distance::Metric).
///
/// The arena is mapped, not allocated: pages cost memory only once a row is written to them. From
/// 2 MiB on it asks for huge pages, which make random rows 1.3 to 1.9 times cheaper to reach.
///
/// # Examples
/// ```
/// use cairn_index::Vectors;
///
/// let mut vectors = Vectors::with_capacity(3, 2);
/// let row = vectors.push(&[1.0, 2.0, 3.0]);
/// assert_eq!(row, 0);
/// assert_eq!(vectors.row(0), [1.0, 2.0, 3.0]);
/// assert_eq!(vectors.padded_row(0).len(), 16);
/// assert_eq!(vectors.padded_row(0)[3..], [0.0; 13]);
/// ```
///
/// Rows may also be [lent](Vectors::lent) by somebody who has them already, in a file that is mapped
/// for example. Those are as they are: without padding, and under cosine of any length.
#[derive(Debug)]
pub struct Vectors<T = f32> {
    rows: Rows,
    dim: usize,
    stride: usize,
    len: usize,
    capacity: usize,
    /// Of lent rows that should be of length one: one over the length of each.
    scales: Vec<f32>,
    component: PhantomData<T>,
}

#[derive(Debug)]
enum Rows {
    Own(Arena),
    Lent(Arc<dyn Lender>),
}

/// Who has the rows of a matrix in memory of its own.
pub trait Lender: Debug + Send + Sync {
    /// All rows end to end, the same slice whenever it is asked for, aligned as their components are.
    fn bytes(&self) -> &[u8];

    /// A scan is done with these bytes: memory behind them may go.
    fn passed(&self, _bytes: Range<usize>) {}
}

impl Vectors {
    /// [`Vectors::of`] for rows of `f32`.
    ///
    /// # Panics
    /// As [`Vectors::of`].
    #[must_use]
    pub fn with_capacity(dim: usize, rows: usize) -> Self {
        Self::of(dim, rows)
    }

    /// Writes row `row` as distances see it: of length one, where it has a scale.
    ///
    /// # Panics
    /// If there is no such row, or `out` is not `[dim]`.
    pub fn read_prepared(&self, row: u32, out: &mut [f32]) {
        out.copy_from_slice(self.row(row));
        if self.has_scales() {
            // A row without a length has no scale either.
            let _ = cairn_distance::normalise(out);
        }
    }
}

impl<T: Component> Vectors<T> {
    /// An empty matrix with room for `rows` rows of `dim` components.
    ///
    /// # Panics
    /// If `dim` is zero, if `rows` is not below `u32::MAX` (that row number means "none" in a
    /// graph), or if the system refuses the address space.
    #[must_use]
    pub fn of(dim: usize, rows: usize) -> Self {
        assert!(dim > 0, "a vector has at least one component");
        assert!(
            rows < u32::MAX as usize,
            "row numbers are u32, the last one is reserved"
        );
        let stride = stride_of::<T>(dim);
        let bytes = rows
            .checked_mul(stride * size_of::<T>())
            .expect("the matrix fits the address space");
        Self {
            rows: Rows::Own(Arena::new(bytes)),
            dim,
            stride,
            len: 0,
            capacity: rows,
            scales: Vec::new(),
            component: PhantomData,
        }
    }

    /// The rows of `dim` components that `lender` has. `scales` is empty, or one over the length of
    /// each row where distances under cosine are those of rows of length one.
    ///
    /// # Panics
    /// If `dim` is zero, if the bytes are no whole rows or too many of them, or if there are scales of
    /// other rows.
    #[must_use]
    pub fn lent(dim: usize, lender: Arc<dyn Lender>, scales: Vec<f32>) -> Self {
        assert!(dim > 0, "a vector has at least one component");
        let (bytes, row_bytes) = (lender.bytes().len(), dim * size_of::<T>());
        assert!(bytes.is_multiple_of(row_bytes), "whole rows");
        let len = bytes / row_bytes;
        assert!(len < u32::MAX as usize, "row numbers are u32");
        assert!(
            scales.is_empty() || scales.len() == len,
            "a scale for each row"
        );
        Self {
            rows: Rows::Lent(lender),
            dim,
            stride: dim,
            len,
            capacity: len,
            scales,
            component: PhantomData,
        }
    }

    /// Components per row, padding not counted.
    #[inline]
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Components from the start of one row to the start of the next: [`Vectors::dim`] rounded up to
    /// whole cache lines, a multiple of 16 `f32`; as it is where rows are lent.
    #[inline]
    #[must_use]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Rows held.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no row is held.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Rows that fit.
    #[inline]
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Appends a row and returns its number.
    ///
    /// # Panics
    /// If `row` is not `[dim]`, or if the matrix is full: the caller sizes it.
    pub fn push(&mut self, row: &[T]) -> u32 {
        assert_eq!(
            row.len(),
            self.dim,
            "the row has the dimension of the matrix"
        );
        let first = self.len;
        self.fill_rows(1, |_, slot| slot.copy_from_slice(row));
        u32::try_from(first).expect("capacity is below u32::MAX")
    }

    /// Appends `rows` rows and lets `fill` write each one in place: it gets the row's number and
    /// its `[dim]` components, zero before.
    ///
    /// # Panics
    /// If the rows do not fit.
    pub fn fill_rows(&mut self, rows: usize, mut fill: impl FnMut(u32, &mut [T])) {
        let first = self.len;
        assert!(
            rows <= self.capacity - first,
            "the matrix is full, capacity={}",
            self.capacity
        );
        let (dim, stride) = (self.dim, self.stride);
        let from = first * stride * size_of::<T>();
        let bytes = rows * stride * size_of::<T>();
        let Rows::Own(arena) = &mut self.rows else {
            unreachable!("lent rows fill their matrix");
        };
        let slots = &mut arena.bytes_mut()[from..from + bytes];
        let slots: &mut [T] = bytemuck::cast_slice_mut(slots);
        for (row, slot) in (first..).zip(slots.chunks_exact_mut(stride)) {
            fill(row as u32, &mut slot[..dim]);
        }
        self.len = first + rows;
    }

    /// Row `row`, `[dim]`.
    ///
    /// # Panics
    /// If there is no such row.
    #[inline]
    #[must_use]
    pub fn row(&self, row: u32) -> &[T] {
        &self.padded_row(row)[..self.dim]
    }

    /// Row `row` with its padding, `[stride]`, 64-byte aligned; a lent one as it is.
    ///
    /// # Panics
    /// If there is no such row.
    #[inline]
    #[must_use]
    pub fn padded_row(&self, row: u32) -> &[T] {
        let start = row as usize * self.stride;
        &self.as_slice()[start..start + self.stride]
    }

    /// Every row with its padding, `[len * stride]`.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        match &self.rows {
            Rows::Own(arena) => {
                let bytes = self.len * self.stride * size_of::<T>();
                bytemuck::cast_slice(&arena.bytes()[..bytes])
            }
            Rows::Lent(lender) => bytemuck::cast_slice(lender.bytes()),
        }
    }

    /// Memory that the rows occupy, padding counted, in bytes; of lent ones what is kept beside them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self.rows {
            Rows::Own(_) => self.len * self.stride * size_of::<T>(),
            Rows::Lent(_) => size_of_val(&self.scales[..]),
        }
    }

    /// What measures these rows under `metric`: with [`Vectors::scaled`] applied to what it says. Of
    /// rows that have scales it is the product.
    pub(crate) fn kernels(&self, metric: Metric) -> Kernels<T> {
        let scaled = self.has_scales();
        Kernels::new(if scaled { Metric::Dot } else { metric })
    }

    /// Whether rows are of any length where they should be of length one.
    pub(crate) fn has_scales(&self) -> bool {
        !self.scales.is_empty()
    }

    /// The distance of `row`, given what [`Vectors::kernels`] said of it.
    #[inline(always)]
    pub(crate) fn scaled(&self, row: u32, measured: f32) -> f32 {
        match self.scales.get(row as usize) {
            Some(scale) => (1.0 + measured * scale).clamp(0.0, 2.0),
            None => measured,
        }
    }

    /// Watches a scan of the rows from `first` on, in their order.
    pub(crate) fn behind(&self, first: u32) -> Behind<'_> {
        let row_bytes = self.stride * size_of::<T>();
        let (lender, rows) = match &self.rows {
            Rows::Own(_) => (None, usize::MAX),
            Rows::Lent(lender) => (Some(&**lender), (STEP_BYTES / row_bytes).max(1)),
        };
        Behind {
            lender,
            row_bytes,
            since: first as usize,
            rows,
        }
    }
}

/// Tells the lender of rows which of them a scan is done with.
pub(crate) struct Behind<'a> {
    lender: Option<&'a dyn Lender>,
    row_bytes: usize,
    since: usize,
    /// So many at once.
    rows: usize,
}

impl Behind<'_> {
    /// The scan is done with all rows before `row`.
    #[inline]
    pub(crate) fn reached(&mut self, row: u32) {
        let row = row as usize;
        if let Some(lender) = self.lender
            && row.saturating_sub(self.since) >= self.rows
        {
            lender.passed(self.since * self.row_bytes..row * self.row_bytes);
            self.since = row;
        }
    }
}

/// `dim` rounded up to whole cache lines, in components.
pub(crate) fn stride_of<T>(dim: usize) -> usize {
    dim.next_multiple_of(LINE_BYTES / size_of::<T>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::HUGE_PAGE_BYTES;

    #[test]
    fn rows_are_padded_and_aligned_at_every_size() {
        for (dim, rows) in [(1, 1), (16, 3), (17, 5), (784, 2000), (128, 5000)] {
            let mut vectors = Vectors::with_capacity(dim, rows);
            for row in 0..rows {
                assert_eq!(vectors.push(&vec![row as f32 + 1.0; dim]), row as u32);
            }
            for row in 0..rows as u32 {
                let padded = vectors.padded_row(row);
                assert_eq!(padded.as_ptr().addr() % 64, 0);
                assert_eq!(padded[..dim], vec![row as f32 + 1.0; dim]);
                assert!(padded[dim..].iter().all(|&x| x == 0.0));
            }
            if vectors.bytes() >= HUGE_PAGE_BYTES {
                assert_eq!(vectors.as_slice().as_ptr().addr() % HUGE_PAGE_BYTES, 0);
            }
        }
    }

    #[test]
    fn rows_of_any_component_are_aligned() {
        fn check<T: Component>(one: T) {
            for dim in [1, 31, 64, 100, 129] {
                let mut vectors = Vectors::<T>::of(dim, 3);
                for _ in 0..3 {
                    vectors.push(&vec![one; dim]);
                }
                for row in 0..3 {
                    let padded = vectors.padded_row(row);
                    assert_eq!(padded.as_ptr().addr() % 64, 0);
                    assert_eq!(padded[..dim], vec![one; dim]);
                    assert!(padded[dim..].iter().all(|&x| x == T::default()));
                }
                let line = 64 / size_of::<T>();
                assert_eq!(
                    vectors.bytes(),
                    3 * dim.next_multiple_of(line) * size_of::<T>()
                );
            }
        }
        check(cairn_distance::f16::from_f32(1.5));
        check(-1_i8);
        check(1_u8);
    }

    #[test]
    fn an_empty_matrix_has_empty_slices() {
        let vectors = Vectors::with_capacity(7, 0);
        assert!(vectors.is_empty());
        assert!(vectors.as_slice().is_empty());
        assert_eq!(vectors.bytes(), 0);
    }

    #[test]
    #[should_panic(expected = "full")]
    fn a_full_matrix_refuses_a_row() {
        let mut vectors = Vectors::with_capacity(1, 1);
        vectors.push(&[1.0]);
        vectors.push(&[2.0]);
    }
}
