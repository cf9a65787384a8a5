//! Rows side by side, and their products with others.

use std::ops::Range;

use cairn_distance::Kernels;
use cairn_quantize::Isa;
use cairn_quantize::fastscan::{ROWS, below};

use super::reservoir::key;
use crate::Vectors;

/// Rows multiplied with all that follow them together.
const STRIP: usize = 16;

/// Rows copied together, as seen from a point near them: squared distances come from products, and would
/// drown in the rounding of long vectors.
#[derive(Default)]
pub(super) struct Block {
    stride: usize,
    rows: Vec<f32>,
    /// Squared lengths.
    pub(super) squares: Vec<f32>,
}

impl Block {
    /// Takes copies of `rows`, minus `centre` (`[dim]`).
    pub(super) fn fill(&mut self, vectors: &Vectors, rows: &[u32], centre: &[f32]) {
        self.stride = vectors.stride();
        self.rows.clear();
        self.squares.clear();
        for (at, &row) in rows.iter().enumerate() {
            if let Some(&later) = rows.get(at + 4) {
                cairn_distance::prefetch_f32(vectors.padded_row(later));
            }
            let start = self.rows.len();
            let row = vectors.row(row);
            self.rows.extend(row.iter().zip(centre).map(|(x, c)| x - c));
            self.rows.resize(start + self.stride, 0.0);
            self.squares.push(square(&self.rows[start..]));
        }
    }

    /// Replaces `out` by the negated products of some rows with those of `other` from `first` on.
    pub(super) fn products(
        &self,
        kernels: &Kernels<f32>,
        rows: Range<usize>,
        other: &Block,
        first: usize,
        out: &mut Vec<f32>,
    ) {
        let stride = self.stride;
        let others = &other.rows[first * stride..];
        out.clear();
        out.resize(rows.len() * (others.len() / stride), 0.0);
        let rows = &self.rows[rows.start * stride..rows.end * stride];
        kernels.matrix(rows, others, stride, out);
    }

    /// Replaces `out` (`[rows, rows]`) by the negated products of all rows with each other. Each pair is
    /// multiplied once, and stands in two places.
    pub(super) fn products_of_all(
        &self,
        kernels: &Kernels<f32>,
        strip: &mut Vec<f32>,
        out: &mut Vec<f32>,
    ) {
        let count = self.squares.len();
        out.resize(count * count, 0.0);
        for first in (0..count).step_by(STRIP) {
            let rows = first..count.min(first + STRIP);
            self.products(kernels, rows.clone(), self, first, strip);
            let products = strip.chunks_exact(count - first);
            for (row, products) in rows.clone().zip(products) {
                out[row * count + first..][..products.len()].copy_from_slice(products);
            }
            for below in rows.end..count {
                let column = &mut out[below * count + first..][..rows.len()];
                for (row, slot) in column.iter_mut().enumerate() {
                    *slot = strip[row * (count - first) + below - first];
                }
            }
        }
    }
}

/// Sixteen sums side by side, which compilers turn into registers.
fn square(row: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 16];
    for part in row.as_chunks::<16>().0 {
        for (lane, x) in lanes.iter_mut().zip(part) {
            *lane += x * x;
        }
    }
    lanes.iter().sum()
}

/// A place that no column has taken.
const NOBODY: u64 = u64::MAX;

/// Replaces `keys` by the `count` nearest of a row of negated products, nearest first, as numbers of
/// columns; `squares` are those of the columns and `own` that of the row, `skip` is no column. Those at
/// the squared distance `bound` or farther may be left out.
#[expect(
    clippy::too_many_arguments,
    reason = "numbers of one row, and what it asks for"
)]
pub(super) fn nearest(
    isa: Isa,
    products: &[f32],
    squares: &[f32],
    own: f32,
    bound: f32,
    count: usize,
    skip: usize,
    keys: &mut Vec<u64>,
) {
    keys.clear();
    keys.resize(count, NOBODY);
    let mut offer = |at: usize, distance: f32, worst: &mut f32| {
        if at == skip {
            return;
        }
        let mut new = key(own + distance, at as u32);
        // So few that no branch is worth its mistakes.
        for key in &mut *keys {
            (*key, new) = ((*key).min(new), (*key).max(new));
        }
        let last = keys[count - 1];
        if last != NOBODY {
            *worst = f32::from_bits((last >> 32) as u32) - own;
        }
    };
    // Never below what the sums could round to: what is left out must not depend on when `bound` was asked.
    let mut worst = bound + 4.0 * f32::EPSILON * (bound + own) - own;
    if worst.is_nan() {
        worst = f32::INFINITY;
    }
    // A NaN counts as below here, and enters nowhere: it is no key's distance.
    let (products, rest) = products.as_chunks::<ROWS>();
    let (squares, squares_rest) = squares.as_chunks::<ROWS>();
    for (part, (products, squares)) in products.iter().zip(squares).enumerate() {
        let mut distances = [0.0; ROWS];
        for lane in 0..ROWS {
            distances[lane] = squares[lane] + 2.0 * products[lane];
        }
        let mut near = below(isa, &distances, worst);
        while near != 0 {
            let lane = near.trailing_zeros() as usize;
            near &= near - 1;
            if distances[lane] < worst {
                offer(part * ROWS + lane, distances[lane], &mut worst);
            }
        }
    }
    let start = products.len() * ROWS;
    for (lane, (product, square)) in rest.iter().zip(squares_rest).enumerate() {
        let distance = square + 2.0 * product;
        if distance < worst {
            offer(start + lane, distance, &mut worst);
        }
    }
    while keys.last() == Some(&NOBODY) {
        keys.pop();
    }
}
