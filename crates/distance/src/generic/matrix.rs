//! Many queries against many rows.
//!
//! # Blocking
//!
//! A single distance does two loads per step and is limited by them. A tile of `Q` queries and `R`
//! rows does `Q + R` loads for `Q * R` steps and keeps `Q * R` sums in registers; with 4 x 4 the
//! arithmetic becomes the limit. One chain per pair is enough here, since a tile has 16 of them.
//!
//! Rows are taken in panels that stay in the second-level cache while every query passes over them,
//! so a matrix too large for the cache is read once, not once for every four queries.
//!
//! Sums are formed in another order than in [`pair`]: results agree with it within the error bound,
//! not to the bit.

use super::{Fold, pair};

/// Half of a small second-level cache.
const PANEL_BYTES: usize = 256 * 1024;

/// `out[q * rows + r]` = distance of query `q` and row `r`; both matrices without gaps.
///
/// # Safety
/// - `dim > 0`, `queries.len()` and `base.len()` are multiples of it, and `out` holds the product
///   of both counts.
/// - The instruction set of `F` is enabled, see [`Fold`].
#[inline(always)]
pub(crate) unsafe fn matrix<F: Fold, const Q: usize, const R: usize>(
    queries: &[F::Element],
    base: &[F::Element],
    dim: usize,
    out: &mut [f32],
) {
    let count = base.len() / dim;
    let panel_rows = (PANEL_BYTES / (dim * size_of::<F::Element>()))
        .next_multiple_of(R)
        .max(R);
    for panel in (0..count).step_by(panel_rows) {
        let panel_end = (panel + panel_rows).min(count);
        for (index, block) in queries.chunks(Q * dim).enumerate() {
            let out = &mut out[index * Q * count..];
            let mut row = panel;
            if F::SUMS == 1 && block.len() == Q * dim {
                while row + R <= panel_end {
                    // SAFETY: `block` holds Q vectors and `rows` R of them; the instruction set is
                    // the caller's promise.
                    unsafe {
                        let rows = &base[row * dim..(row + R) * dim];
                        tile::<F, Q, R>(block, rows, dim, &mut out[row..], count);
                    }
                    row += R;
                }
            }
            for row in row..panel_end {
                let record = &base[row * dim..(row + 1) * dim];
                for (q, query) in block.chunks_exact(dim).enumerate() {
                    // SAFETY: both are `dim` long; the instruction set is the caller's promise.
                    out[q * count + row] = unsafe { pair::<F>(query, record) };
                }
            }
        }
    }
}

/// One tile: `out[q * out_stride + r]`.
#[inline(always)]
unsafe fn tile<F: Fold, const Q: usize, const R: usize>(
    queries: &[F::Element],
    rows: &[F::Element],
    dim: usize,
    out: &mut [f32],
    out_stride: usize,
) {
    let (q_start, r_start) = (queries.as_ptr(), rows.as_ptr());
    // SAFETY: the caller passes Q and R vectors of `dim` components, and `at + WIDTH <= dim` or the
    // tail is what is left of `dim`.
    unsafe {
        let mut acc = [[F::zero(); R]; Q];
        let mut at = 0;
        while dim - at >= F::WIDTH {
            let mut r_reg = [F::load(r_start.add(at)); R];
            for (r, reg) in r_reg.iter_mut().enumerate() {
                *reg = F::load(r_start.add(r * dim + at));
            }
            for (q, acc) in acc.iter_mut().enumerate() {
                let q_reg = F::load(q_start.add(q * dim + at));
                for (acc, &r_reg) in acc.iter_mut().zip(&r_reg) {
                    *acc = F::step(*acc, q_reg, r_reg);
                }
            }
            at += F::WIDTH;
        }
        let tail = dim - at;
        if tail > 0 {
            for (q, acc) in acc.iter_mut().enumerate() {
                let q_reg = F::load_tail(q_start.add(q * dim + at), tail);
                for (r, acc) in acc.iter_mut().enumerate() {
                    *acc = F::step(*acc, q_reg, F::load_tail(r_start.add(r * dim + at), tail));
                }
            }
        }
        for (q, acc) in acc.iter().enumerate() {
            let query = &queries[q * dim..(q + 1) * dim];
            for (r, &acc) in acc.iter().enumerate() {
                let row = &rows[r * dim..(r + 1) * dim];
                out[q * out_stride + r] = F::settle(F::finish(acc), query, row);
            }
        }
    }
}
