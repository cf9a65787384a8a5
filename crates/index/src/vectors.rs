//! The matrix that every index reads.

use memmap2::MmapMut;

/// Floats in a cache line; rows are padded to a multiple of this.
const LINE_FLOATS: usize = 16; // 64 bytes

/// Bytes in a huge page. Larger arenas start on such a boundary, so that the system can back them
/// with huge pages from the first byte on.
const HUGE_PAGE_BYTES: usize = 2 * 1024 * 1024;

/// Row-major `f32` matrix in one anonymous arena.
///
/// Rows are padded with zeros to a multiple of 16 floats ([`Vectors::stride`]) and start on 64-byte
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
#[derive(Debug)]
pub struct Vectors {
    /// `None` for an arena of no bytes, which cannot be mapped.
    map: Option<MmapMut>,
    /// Where row 0 starts in `map`, in bytes.
    start: usize,
    dim: usize,
    stride: usize,
    len: usize,
    capacity: usize,
}

impl Vectors {
    /// An empty matrix with room for `rows` rows of `dim` components.
    ///
    /// # Panics
    /// If `dim` is zero, if `rows` is not below `u32::MAX` (that row number means "none" in a
    /// graph), or if the system refuses the address space.
    #[must_use]
    pub fn with_capacity(dim: usize, rows: usize) -> Self {
        assert!(dim > 0, "a vector has at least one component");
        assert!(
            rows < u32::MAX as usize,
            "row numbers are u32, the last one is reserved"
        );
        let stride = stride_of(dim);
        let bytes = rows
            .checked_mul(stride * size_of::<f32>())
            .expect("the matrix fits the address space");
        let (map, start) = map_arena(bytes);
        Self {
            map,
            start,
            dim,
            stride,
            len: 0,
            capacity: rows,
        }
    }

    /// Components per row, padding not counted.
    #[inline]
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Floats from the start of one row to the start of the next: [`Vectors::dim`] rounded up to a
    /// multiple of 16.
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
    pub fn push(&mut self, row: &[f32]) -> u32 {
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
    pub fn fill_rows(&mut self, rows: usize, mut fill: impl FnMut(u32, &mut [f32])) {
        let first = self.len;
        assert!(
            rows <= self.capacity - first,
            "the matrix is full, capacity={}",
            self.capacity
        );
        let (dim, stride) = (self.dim, self.stride);
        let Some(map) = &mut self.map else {
            return; // No capacity, so no rows.
        };
        let from = self.start + first * stride * size_of::<f32>();
        let bytes = rows * stride * size_of::<f32>();
        let floats: &mut [f32] = bytemuck::cast_slice_mut(&mut map[from..from + bytes]);
        for (row, slot) in (first..).zip(floats.chunks_exact_mut(stride)) {
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
    pub fn row(&self, row: u32) -> &[f32] {
        &self.padded_row(row)[..self.dim]
    }

    /// Row `row` with its padding, `[stride]`, 64-byte aligned.
    ///
    /// # Panics
    /// If there is no such row.
    #[inline]
    #[must_use]
    pub fn padded_row(&self, row: u32) -> &[f32] {
        let start = row as usize * self.stride;
        &self.as_slice()[start..start + self.stride]
    }

    /// Every row with its padding, `[len * stride]`.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[f32] {
        let bytes = self.len * self.stride * size_of::<f32>();
        match &self.map {
            Some(map) => bytemuck::cast_slice(&map[self.start..self.start + bytes]),
            None => &[],
        }
    }

    /// Memory that the rows occupy, padding counted, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.len * self.stride * size_of::<f32>()
    }
}

/// `dim` rounded up to whole cache lines, in floats.
pub(crate) fn stride_of(dim: usize) -> usize {
    dim.next_multiple_of(LINE_FLOATS)
}

/// Zeroed memory of at least `bytes` bytes behind the returned offset, which is aligned to a huge
/// page if the arena is at least as large as one, and to an ordinary page otherwise.
fn map_arena(bytes: usize) -> (Option<MmapMut>, usize) {
    if bytes == 0 {
        return (None, 0);
    }
    let huge = bytes >= HUGE_PAGE_BYTES;
    // Address space only: pages that nobody writes to are never backed by memory.
    let spare = if huge { HUGE_PAGE_BYTES } else { 0 };
    let mapped = bytes
        .checked_add(spare)
        .expect("the matrix fits the address space");
    let map = MmapMut::map_anon(mapped).expect("the system has address space for the matrix");
    if !huge {
        return (Some(map), 0);
    }
    // A refusal costs speed, never correctness: kernels without huge pages are common.
    #[cfg(target_os = "linux")]
    let _ = map.advise(memmap2::Advice::HugePage);
    let past = map.as_ptr().addr() % HUGE_PAGE_BYTES;
    let start = (HUGE_PAGE_BYTES - past) % HUGE_PAGE_BYTES;
    (Some(map), start)
}

#[cfg(test)]
mod tests {
    use super::*;

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
