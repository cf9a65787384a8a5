//! The public face: checked slices in, one indirect call to the kernel.

use crate::{Element, Metric, Simd};

/// One function per shape of work, all for one element type, metric and instruction set.
///
/// The functions are unsafe to call because the instruction set must be there and the lengths must
/// fit; [`Kernels`] sees to both.
#[derive(Debug)]
pub struct Table<T> {
    pub(crate) pair: PairFn<T>,
    pub(crate) bounded: BoundedFn<T>,
    pub(crate) many: ManyFn<T>,
    pub(crate) block: BlockFn<T>,
    pub(crate) matrix: BlockFn<T>,
}

type PairFn<T> = unsafe fn(&[T], &[T]) -> f32;
type BoundedFn<T> = unsafe fn(&[T], &[T], f32) -> f32;
type ManyFn<T> = unsafe fn(&[T], &[T], usize, &[u32], &mut [f32]);
type BlockFn<T> = unsafe fn(&[T], &[T], usize, &mut [f32]);

impl<T> Clone for Table<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Table<T> {}

/// The distance kernels for one metric over vectors of `T`.
///
/// Obtain once, copy freely: it is a handful of function pointers. `one`, `many` and `block` give
/// the same bits for the same pair; `matrix` adds in another order and agrees within the bound of
/// [`reference::error_bound`](crate::reference::error_bound). Different instruction sets also agree
/// within that bound; over `i8` and `u8` everything agrees exactly.
///
/// Components must be finite. Then no distance is NaN: `l2`, `l1` and `dot` are infinite when the
/// true value does not fit an `f32`, and `dot` is finite whenever the true value is.
///
/// # Examples
/// ```
/// use cairn_distance::{Kernels, Metric};
///
/// let l2 = Kernels::<f32>::new(Metric::L2);
/// assert_eq!(l2.one(&[1.0, 2.0], &[4.0, 6.0]), 25.0);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Kernels<T: Element> {
    metric: Metric,
    simd: Simd,
    table: Table<T>,
}

impl<T: Element> Kernels<T> {
    /// The kernels for `metric` on [`Simd::active`].
    ///
    /// # Panics
    /// If vectors of `T` have no such distance: `hamming` is of bits (`u8`), all others are of numbers.
    #[must_use]
    pub fn new(metric: Metric) -> Self {
        Self::with_simd(metric, Simd::active())
            .expect("the metric is one of this element type, the active instruction set available")
    }

    /// The kernels for `metric` on `simd`, or `None` if this processor or this build lacks it, or if
    /// vectors of `T` have no such distance.
    ///
    /// # Examples
    /// ```
    /// use cairn_distance::{Kernels, Metric, Simd};
    ///
    /// assert!(Kernels::<i8>::with_simd(Metric::Dot, Simd::Scalar).is_some());
    /// ```
    #[must_use]
    pub fn with_simd(metric: Metric, simd: Simd) -> Option<Self> {
        let table = T::table(metric, simd)?;
        Some(Self {
            metric,
            simd,
            table,
        })
    }

    /// The metric of these kernels.
    #[must_use]
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// The instruction set of these kernels.
    #[must_use]
    pub fn simd(&self) -> Simd {
        self.simd
    }

    /// The distance between `a` and `b`.
    ///
    /// # Panics
    /// If the lengths differ, or exceed [`Element::DIM_MAX`].
    #[inline]
    #[must_use]
    pub fn one(&self, a: &[T], b: &[T]) -> f32 {
        check_pair(a, b);
        // SAFETY: the lengths are equal and in range; `with_simd` has seen that the processor has
        // the instruction set.
        unsafe { (self.table.pair)(a, b) }
    }

    /// The distance between `a` and `b` if it is at most `bound`; otherwise any number above
    /// `bound`, found as early as possible.
    ///
    /// `l2` and `l1` look at the partial sum every 512 bytes (128 components of `f32`) and stop when it exceeds
    /// `bound`; what they return is then a lower bound of the distance. The other metrics compute
    /// the distance in any case. A result at most `bound` has the same bits as [`Kernels::one`].
    ///
    /// # Panics
    /// As for [`Kernels::one`].
    ///
    /// # Examples
    /// ```
    /// use cairn_distance::{Kernels, Metric};
    ///
    /// let l2 = Kernels::<f32>::new(Metric::L2);
    /// let (a, b) = ([0.0; 1000], [1.0; 1000]);
    /// assert_eq!(l2.one_bounded(&a, &b, 2000.0), 1000.0);
    /// assert!(l2.one_bounded(&a, &b, 10.0) > 10.0);
    /// ```
    #[inline]
    #[must_use]
    pub fn one_bounded(&self, a: &[T], b: &[T], bound: f32) -> f32 {
        check_pair(a, b);
        // SAFETY: as in `one`.
        unsafe { (self.table.bounded)(a, b, bound) }
    }

    /// Distances from `query` to the rows of a matrix that are named by `rows`, in that order.
    ///
    /// Row `r` is `base[r * stride..][..query.len()]`. The rows ahead are prefetched while one is
    /// computed; callers that know the rows earlier than this call may do better with
    /// [`prefetch`](crate::prefetch()).
    ///
    /// # Panics
    /// If `rows` and `out` differ in length, if `stride` is shorter than the query, or if a row
    /// reaches beyond `base`.
    ///
    /// # Examples
    /// ```
    /// use cairn_distance::{Kernels, Metric};
    ///
    /// let base = [0.0, 0.0, 3.0, 4.0, 6.0, 8.0];
    /// let mut out = [0.0; 2];
    /// Kernels::<f32>::new(Metric::L2).many(&[0.0, 0.0], &base, 2, &[2, 1], &mut out);
    /// assert_eq!(out, [100.0, 25.0]);
    /// ```
    #[inline]
    pub fn many(&self, query: &[T], base: &[T], stride: usize, rows: &[u32], out: &mut [f32]) {
        check_rows(query, stride);
        assert_eq!(rows.len(), out.len(), "one distance per row");
        // SAFETY: the instruction set as in `one`; the kernel checks each row against `base`.
        unsafe { (self.table.many)(query, base, stride, rows, out) }
    }

    /// Distances from `query` to the first `out.len()` rows of a matrix.
    ///
    /// # Panics
    /// If `stride` is shorter than the query, or if the last row reaches beyond `base`.
    ///
    /// # Examples
    /// ```
    /// use cairn_distance::{Kernels, Metric};
    ///
    /// let base = [1.0, 0.0, 0.0, 1.0];
    /// let mut out = [0.0; 2];
    /// Kernels::<f32>::new(Metric::Cosine).block(&[1.0, 0.0], &base, 2, &mut out);
    /// assert_eq!(out, [0.0, 1.0]);
    /// ```
    #[inline]
    pub fn block(&self, query: &[T], base: &[T], stride: usize, out: &mut [f32]) {
        check_rows(query, stride);
        // SAFETY: the instruction set as in `one`; the kernel checks each row against `base`.
        unsafe { (self.table.block)(query, base, stride, out) }
    }

    /// Distances between all `queries` and all rows of `base`, both matrices of `dim` columns
    /// without gaps: `out[q * rows + r]`.
    ///
    /// Several queries share each load of a row, which is why this is faster than a loop over
    /// [`Kernels::block`] from four queries up.
    ///
    /// # Panics
    /// If `dim` is zero or above [`Element::DIM_MAX`], if a matrix is not a whole number of rows,
    /// or if `out` is not of the product of both counts.
    ///
    /// # Examples
    /// ```
    /// use cairn_distance::{Kernels, Metric};
    ///
    /// let (queries, base) = ([1.0, 0.0], [2.0, 3.0, 4.0, 5.0]);
    /// let mut out = [0.0; 2];
    /// Kernels::<f32>::new(Metric::Dot).matrix(&queries, &base, 2, &mut out);
    /// assert_eq!(out, [-2.0, -4.0]);
    /// ```
    #[inline]
    pub fn matrix(&self, queries: &[T], base: &[T], dim: usize, out: &mut [f32]) {
        assert!(dim > 0 && dim <= T::DIM_MAX, "dim {dim} out of range");
        assert!(
            queries.len().is_multiple_of(dim),
            "queries are not whole rows"
        );
        assert!(base.len().is_multiple_of(dim), "base is not whole rows");
        let pairs = (queries.len() / dim).checked_mul(base.len() / dim);
        assert_eq!(pairs, Some(out.len()), "one distance per pair");
        // SAFETY: the shapes were just checked; the instruction set as in `one`.
        unsafe { (self.table.matrix)(queries, base, dim, out) }
    }
}

#[inline(always)]
fn check_pair<T: Element>(a: &[T], b: &[T]) {
    assert_eq!(a.len(), b.len(), "vectors of different lengths");
    assert!(
        a.len() <= T::DIM_MAX,
        "vector too long for its element type"
    );
}

#[inline(always)]
fn check_rows<T: Element>(query: &[T], stride: usize) {
    assert!(
        stride >= query.len(),
        "rows overlap: stride shorter than the query"
    );
    assert!(
        query.len() <= T::DIM_MAX,
        "vector too long for its element type"
    );
}
