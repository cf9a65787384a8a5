//! Short codes of rows: a scan reads one bit of each component, and only rows that may be among the
//! nearest are measured.

use std::cmp::Ordering;

use cairn_distance::Metric;
use cairn_quantize::Isa;
use cairn_quantize::fastscan::{BlockEstimates, BlockFactors, Blocks, ROWS, below, estimates};
use cairn_quantize::rabitq::{Code, Rabitq};

use super::TopK;
use super::near::{self, CodeSpace, allowing};
use crate::{Effort, Query, Stopped, Vectors};

/// Blocks between two looks at `stop`: below 100 microseconds with 4,096 components.
const BLOCKS_PER_LOOK: usize = 128;

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

impl Codes {
    /// The codes of all rows of `vectors`. `None` where they would be no gain: under `l1`, and with
    /// fewer than 64 components.
    ///
    /// Cost: a rotation of each row, about as long as eight distances.
    #[must_use]
    pub fn new(vectors: &Vectors, metric: Metric) -> Option<Self> {
        let rows = vectors.len();
        let quantiser = near::quantiser(vectors, metric)?;
        let mut prepared = vec![0.0; vectors.dim()];
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
        let (coded, lut, mut near) = space.begin(&self.quantiser, vectors, self.metric, query);
        let base = allowing(coded.base(), deviations);
        lut.fill_signs(coded.rotated());
        let mut estimated = BlockEstimates::default();
        for (block, factors) in self.factors.iter().enumerate() {
            if block % BLOCKS_PER_LOOK == 0 && stop() {
                return Err(Stopped);
            }
            let threshold = top.threshold();
            let first = block * ROWS;
            let count = ROWS.min(self.rows() - first);
            let mut nearer = u32::MAX >> (ROWS - count);
            if threshold < f32::INFINITY {
                let codes = self.blocks.block(block);
                estimates(isa, lut, base, codes, factors, &mut estimated);
                nearer &= below(isa, &estimated.lower, threshold);
            }
            while nearer != 0 {
                let row = first as u32 + nearer.trailing_zeros();
                nearer &= nearer - 1;
                if accept(row) {
                    near.push(row);
                }
            }
            near.measure_some(&tie, top);
        }
        Ok(near.finish(&tie, top))
    }
}
