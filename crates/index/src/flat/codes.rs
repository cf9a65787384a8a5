//! Short codes of rows: a scan reads one bit of each component, and only rows that may be among the
//! nearest are measured.

use std::cmp::Ordering;

use cairn_distance::Metric;
use cairn_quantize::Isa;
use cairn_quantize::fastscan::{BlockEstimates, BlockFactors, Blocks, Lut, ROWS, below, estimates};
use cairn_quantize::rabitq::{self, Base, Code, Config, EPSILON, Rabitq};

use super::TopK;
use crate::{Effort, Query, Stopped, Vectors};

/// Rows whose mean the codes are written around.
const SAMPLE_ROWS: usize = 256;

/// With fewer components an estimate says little, and a row is read as fast as its code.
const DIM_MIN: usize = 64;

/// Blocks between two looks at `stop`: below 100 microseconds with 4,096 components.
const BLOCKS_PER_LOOK: usize = 128;

/// Rows that are measured together: their places are known, so they are fetched ahead.
const BATCH_ROWS: usize = 64;

/// One-bit codes of the first rows of a matrix, which they do not hold.
///
/// Source: RaBitQ codes ([`cairn_quantize::rabitq`]) looked up 32 at a time
/// ([`cairn_quantize::fastscan`]).
pub struct Codes {
    quantiser: Rabitq,
    blocks: Blocks,
    factors: Vec<BlockFactors>,
    metric: Metric,
}

/// Memory that scans reuse.
#[derive(Debug, Default)]
pub struct CodeSpace {
    query: Option<rabitq::Query>,
    lut: Option<Lut>,
    rows: Vec<u32>,
    distances: Vec<f32>,
}

impl Codes {
    /// The codes of all rows of `vectors`. `None` where they would be no gain: under `l1`, and with
    /// fewer than 64 components.
    ///
    /// Cost: a rotation of each row, about as long as eight distances.
    #[must_use]
    pub fn new(vectors: &Vectors, metric: Metric) -> Option<Self> {
        let (dim, rows) = (vectors.dim(), vectors.len());
        if metric == Metric::L1 || dim < DIM_MIN || rows == 0 {
            return None;
        }
        let config = Config {
            bits: 1,
            metric,
            seed: 1,
        };
        let step = rows.div_ceil(SAMPLE_ROWS);
        let mut prepared = vec![0.0; dim];
        let mut sample = Vec::with_capacity(dim * SAMPLE_ROWS);
        for row in (0..rows).step_by(step) {
            vectors.read_prepared(row as u32, &mut prepared);
            sample.extend_from_slice(&prepared);
        }
        let quantiser = Rabitq::train(&sample, dim, config).ok()?;
        let mut codes = Self {
            blocks: Blocks::new(16 * quantiser.plane_words()),
            factors: vec![BlockFactors::default(); rows.div_ceil(ROWS)],
            metric,
            quantiser,
        };
        let (mut encoder, mut code) = (codes.quantiser.encoder(), Code::default());
        let mut behind = vectors.behind(0);
        for row in 0..rows {
            vectors.read_prepared(row as u32, &mut prepared);
            behind.reached(row as u32);
            encoder.encode(&prepared, &mut code);
            codes.blocks.push_signs(&code.planes);
            codes.factors[row / ROWS].set(row % ROWS, code.coarse);
        }
        Some(codes)
    }

    /// Rows that have a code.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.blocks.rows()
    }

    /// Bytes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let blocks = self.blocks.block_count();
        blocks * (self.blocks.groups() * 16 + size_of::<BlockFactors>())
    }

    /// Offers the accepted rows to `top` that are nearer than what it has, as far as `deviations` of
    /// the error of an estimate tell: with 1.9, two or three in a hundred rows at the very edge of the
    /// answer are missed, with 3.3 one in two thousand. All that is offered was measured.
    ///
    /// `vectors` is the matrix that the codes were made of, `query` has its stride. Allocates nothing if
    /// `space` and `top` are warm.
    ///
    /// # Errors
    /// [`Stopped`] if `stop` returned true; `top` then holds some of the rows.
    #[expect(
        clippy::too_many_arguments,
        reason = "the inner entry point; callers wrap it"
    )]
    pub fn scan(
        &self,
        vectors: &Vectors,
        query: &Query,
        deviations: f32,
        accept: impl Fn(u32) -> bool,
        tie: impl Fn(u32, u32) -> Ordering,
        stop: impl Fn() -> bool,
        space: &mut CodeSpace,
        top: &mut TopK,
    ) -> Result<Effort, Stopped> {
        let isa = Isa::active();
        let seen = &query.beside(vectors)[..vectors.dim()];
        let coded = space
            .query
            .get_or_insert_with(|| self.quantiser.query(seen));
        self.quantiser.fill_query(seen, coded);
        let lut = space.lut.get_or_insert_with(Lut::new);
        lut.fill_signs(coded.rotated());
        let base = Base {
            norm: coded.base().norm * (deviations / EPSILON),
            ..coded.base()
        };
        let (rows, distances) = (&mut space.rows, &mut space.distances);
        rows.clear();
        distances.resize(BATCH_ROWS + ROWS, 0.0);
        let kernels = vectors.kernels(self.metric);
        let query = query.beside(vectors);
        let mut effort = Effort::default();
        let mut measure = |rows: &mut Vec<u32>, top: &mut TopK| {
            let distances = &mut distances[..rows.len()];
            kernels.many(query, vectors.as_slice(), vectors.stride(), rows, distances);
            for (&row, &distance) in rows.iter().zip(&*distances) {
                top.push(vectors.scaled(row, distance), row, &tie);
            }
            effort.distances += rows.len() as u32;
            rows.clear();
        };
        let mut estimated = BlockEstimates::default();
        for (block, factors) in self.factors.iter().enumerate() {
            if block % BLOCKS_PER_LOOK == 0 && stop() {
                return Err(Stopped);
            }
            let threshold = top.threshold();
            let first = block * ROWS;
            let count = ROWS.min(self.rows() - first);
            let mut near = u32::MAX >> (ROWS - count);
            if threshold < f32::INFINITY {
                let codes = self.blocks.block(block);
                estimates(isa, lut, base, codes, factors, &mut estimated);
                near &= below(isa, &estimated.lower, threshold);
            }
            while near != 0 {
                let row = first as u32 + near.trailing_zeros();
                near &= near - 1;
                if accept(row) {
                    rows.push(row);
                }
            }
            // Until there is a threshold, each row that is measured may lower it.
            if rows.len() >= BATCH_ROWS || threshold == f32::INFINITY {
                measure(rows, top);
            }
        }
        measure(rows, top);
        Ok(effort)
    }
}
