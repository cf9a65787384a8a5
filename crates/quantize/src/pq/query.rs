//! A query against codes.

use cairn_distance::Metric;

use super::{Pq, bounds};
use crate::Estimate;
use crate::fastscan::Lut;

/// A query of a [`Pq`] quantiser: its distances from all centroids.
#[derive(Clone, Debug)]
pub struct Query {
    /// `[subspaces, centroids]`.
    table: Vec<f32>,
    bits: u8,
    subspaces: usize,
    metric: Metric,
    norm: f32,
    /// How far the sum of entries may be off through rounding.
    rounding: f32,
}

impl Query {
    /// A query of no components yet.
    pub(super) fn new(quantiser: &Pq) -> Self {
        Self {
            table: Vec::new(),
            bits: quantiser.config.bits,
            subspaces: 0,
            metric: quantiser.config.metric,
            norm: 0.0,
            rounding: 0.0,
        }
    }

    pub(super) fn fill_from(&mut self, quantiser: &Pq, query: &[f32]) {
        assert_eq!(query.len(), quantiser.dim, "another dim");
        let config = quantiser.config;
        let centroids = config.centroids();
        let kernels = match config.metric {
            Metric::L2 => &quantiser.l2,
            _ => &quantiser.dot,
        };
        self.table.clear();
        self.table.resize(config.subspaces * centroids, 0.0);
        let mut largest = 0.0f64;
        for (subspace, entries) in self.table.chunks_exact_mut(centroids).enumerate() {
            let (start, end) = bounds(subspace, config.subspaces, quantiser.dim);
            let part = &query[start..end];
            kernels.block(part, quantiser.codebook(subspace), part.len(), entries);
            largest += f64::from(entries.iter().fold(0.0f32, |max, x| max.max(x.abs())));
        }
        let squares = query.iter().map(|&x| f64::from(x) * f64::from(x));
        let norm = squares.sum::<f64>().sqrt();
        // Each entry passes through up to dim / 4 + 16 roundings, see `cairn_distance::reference`;
        // products may cancel, but each is below the norm of its part times that of a centroid.
        // Sums are of f64.
        let terms = match config.metric {
            Metric::L2 => largest,
            _ => norm * quantiser.longest,
        };
        let steps = quantiser.dim as f64 / 4.0 + 20.0;
        self.rounding = (steps * terms / f64::from(1 << 24)) as f32;
        self.norm = norm as f32;
        self.bits = config.bits;
        self.subspaces = config.subspaces;
        self.metric = config.metric;
    }

    /// The table, `[subspaces, centroids]`: squared distances, or products negated.
    #[must_use]
    pub fn table(&self) -> &[f32] {
        &self.table
    }

    /// Makes `lut` the table of this query in bytes, of codes of four bits. The value of a sum is
    /// `estimate(..).distance`, for cosine less 1, within [`Lut::error_max`].
    ///
    /// # Panics
    /// If codes have 8 bits.
    pub fn fill(&self, lut: &mut Lut) {
        assert_eq!(self.bits, 4, "tables of 16 entries only");
        lut.fill(&self.table);
    }

    /// The distance to the vector of a code whose [`error`](super::Code::error) is given. The bound
    /// is certain.
    ///
    /// # Panics
    /// If the code has another length than those of the quantiser.
    #[must_use]
    #[inline]
    pub fn estimate(&self, bytes: &[u8], error: f32) -> Estimate {
        let sum: f64 = if self.bits == 8 {
            assert_eq!(bytes.len(), self.subspaces, "a code of another quantiser");
            let parts = self.table.chunks_exact(256).zip(bytes);
            parts
                .map(|(entries, &code)| f64::from(entries[usize::from(code)]))
                .sum()
        } else {
            assert_eq!(
                bytes.len(),
                self.subspaces.div_ceil(2),
                "a code of another quantiser"
            );
            let parts = self.table.as_chunks::<16>().0.iter().enumerate();
            parts
                .map(|(subspace, entries)| {
                    let code = bytes[subspace / 2] >> (subspace % 2 * 4) & 15;
                    f64::from(entries[usize::from(code)])
                })
                .sum()
        };
        let sum = sum as f32;
        let (distance, bound) = match self.metric {
            Metric::L2 => {
                let decoded = sum + self.rounding;
                (sum, 2.0 * error * decoded.sqrt() + error * error)
            }
            Metric::Cosine => (1.0 + sum, error * self.norm),
            _ => (sum, error * self.norm),
        };
        Estimate {
            distance,
            error: (bound + self.rounding) * (1.0 + 4.0 * f32::EPSILON),
        }
    }
}
