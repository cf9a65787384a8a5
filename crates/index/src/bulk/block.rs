//! Rows side by side, and their products with others.

use std::ops::Range;

use cairn_distance::Kernels;
use cairn_quantize::Isa;
use cairn_quantize::fastscan::{ROWS, below};

use super::reservoir::key;
use crate::Vectors;

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

/// Replaces `keys` by the `count` nearest of a row of negated products, nearest first, as numbers of
/// columns; `squares` are those of the columns and `own` that of the row, `skip` is no column.
pub(super) fn nearest(
    isa: Isa,
    products: &[f32],
    squares: &[f32],
    own: f32,
    count: usize,
    skip: usize,
    keys: &mut Vec<u64>,
) {
    keys.clear();
    let mut offer = |at: usize, distance: f32, worst: &mut f32| {
        if at == skip {
            return;
        }
        let new = key(own + distance, at as u32);
        let place = keys.partition_point(|&key| key < new);
        if place == count {
            return; // By the rounding of the sum.
        }
        keys.truncate(count - 1);
        keys.insert(place, new);
        if keys.len() == count {
            *worst = f32::from_bits((keys[count - 1] >> 32) as u32) - own;
        }
    };
    // A NaN counts as below here, and enters nowhere: it is no key's distance.
    let mut worst = f32::INFINITY;
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
}
