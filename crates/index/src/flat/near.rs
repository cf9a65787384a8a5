//! What scans over codes share: the quantiser, memory, and the rows that codes could not rule out.

use std::cmp::Ordering;

use cairn_distance::{Kernels, Metric};
use cairn_quantize::fastscan::{Lut, ROWS};
use cairn_quantize::rabitq::{self, Base, Config, EPSILON, Rabitq};

use super::TopK;
use crate::{Effort, Query, Vectors};

/// Rows whose mean the codes are written around.
const SAMPLE_ROWS: usize = 256;

/// With fewer components an estimate says little, and a row is read as fast as its code.
const DIM_MIN: usize = 64;

/// Rows that are measured together: their places are known, so they are fetched ahead.
const BATCH_ROWS: usize = 64;

/// A quantiser of one bit around the mean of `vectors`. `None` where codes would be no gain: under `l1`,
/// and with fewer than 64 components.
pub(super) fn quantiser(vectors: &Vectors, metric: Metric) -> Option<Rabitq> {
    let (dim, rows) = (vectors.dim(), vectors.len());
    if metric == Metric::L1 || dim < DIM_MIN || rows == 0 {
        return None;
    }
    let config = Config {
        bits: 1,
        metric,
        seed: 1,
    };
    let mut prepared = vec![0.0; dim];
    let mut sample = Vec::with_capacity(dim * SAMPLE_ROWS);
    for row in (0..rows).step_by(rows.div_ceil(SAMPLE_ROWS)) {
        vectors.read_prepared(row as u32, &mut prepared);
        sample.extend_from_slice(&prepared);
    }
    Rabitq::train(&sample, dim, config).ok()
}

/// The query's part of estimates whose error is allowed so many deviations.
pub(super) fn allowing(base: Base, deviations: f32) -> Base {
    Base {
        norm: base.norm * (deviations / EPSILON),
        ..base
    }
}

/// Memory that scans over codes reuse.
#[derive(Debug, Default)]
pub struct CodeSpace {
    query: Option<rabitq::Query>,
    lut: Option<Lut>,
    rows: Vec<u32>,
    distances: Vec<f32>,
}

impl CodeSpace {
    /// The query for codes, the table that belongs to it, not filled yet, and no rows so far.
    pub(super) fn begin<'a>(
        &'a mut self,
        quantiser: &Rabitq,
        vectors: &'a Vectors,
        metric: Metric,
        query: &'a Query,
    ) -> (&'a rabitq::Query, &'a mut Lut, Near<'a>) {
        let query = query.beside(vectors);
        let seen = &query[..vectors.dim()];
        let coded = self.query.get_or_insert_with(|| quantiser.query(seen));
        quantiser.fill_query(seen, coded);
        let kernels = vectors.kernels(metric);
        let near = Near::new(kernels, query, vectors, &mut self.rows, &mut self.distances);
        (coded, self.lut.get_or_insert_with(Lut::new), near)
    }
}

/// Rows that may be among the nearest, as far as their codes tell.
pub(crate) struct Near<'a> {
    kernels: Kernels<f32>,
    query: &'a [f32],
    vectors: &'a Vectors,
    rows: &'a mut Vec<u32>,
    distances: &'a mut [f32],
    effort: Effort,
}

impl<'a> Near<'a> {
    /// None so far. `query` is laid out as a row.
    pub(crate) fn new(
        kernels: Kernels<f32>,
        query: &'a [f32],
        vectors: &'a Vectors,
        rows: &'a mut Vec<u32>,
        distances: &'a mut Vec<f32>,
    ) -> Self {
        rows.clear();
        distances.resize(BATCH_ROWS + ROWS, 0.0);
        Self {
            kernels,
            query,
            vectors,
            rows,
            distances,
            effort: Effort::default(),
        }
    }

    /// At most 32 rows between two calls of [`Near::measure_some`].
    pub(crate) fn push(&mut self, row: u32) {
        self.rows.push(row);
    }

    /// Measures the rows if they are many, or if there is no threshold yet, which each may lower.
    pub(crate) fn measure_some(&mut self, tie: &impl Fn(u32, u32) -> Ordering, top: &mut TopK) {
        if self.rows.len() >= BATCH_ROWS || top.threshold() == f32::INFINITY {
            self.measure(tie, top);
        }
    }

    /// Measures what is left; what all of it cost.
    pub(crate) fn finish(mut self, tie: &impl Fn(u32, u32) -> Ordering, top: &mut TopK) -> Effort {
        self.measure(tie, top);
        self.effort
    }

    fn measure(&mut self, tie: &impl Fn(u32, u32) -> Ordering, top: &mut TopK) {
        let (rows, vectors) = (&*self.rows, self.vectors);
        let distances = &mut self.distances[..rows.len()];
        let (base, stride) = (vectors.as_slice(), vectors.stride());
        self.kernels.many(self.query, base, stride, rows, distances);
        for (&row, &distance) in rows.iter().zip(&*distances) {
            top.push(vectors.scaled(row, distance), row, tie);
        }
        self.effort.distances = self.effort.distances.saturating_add(rows.len() as u32);
        self.rows.clear();
    }
}
