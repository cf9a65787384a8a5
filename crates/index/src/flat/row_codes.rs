//! Short codes of single rows: few rows of many are told apart by a cache line each.

use std::cmp::Ordering;

use cairn_distance::{Metric, prefetch};
use cairn_quantize::rabitq::{Code, Factors, Rabitq};

use super::TopK;
use super::near::{self, CodeSpace, allowing, widening};
use crate::arena::Arena;
use crate::{Effort, Query, Stopped, Vectors};

/// Words behind the code of a row: two factors, and the third with nothing.
const FACTOR_WORDS: usize = 2;

/// Rows between two looks at `stop`: below 100 microseconds with 4,096 components.
const ROWS_PER_LOOK: usize = 1024;

/// Rows whose codes are written between two looks at `stop`: about a millisecond.
const WRITTEN_PER_LOOK: usize = 256;

/// Codes that are asked for ahead of the one being looked at.
const AHEAD: usize = 16;

/// One-bit codes of the rows of a matrix, which they do not hold: each with its factors in one place, so that a row
/// costs the same whichever others are looked at. Where most rows are, [`Codes`](super::Codes) are
/// faster.
///
/// Source: RaBitQ codes ([`cairn_quantize::rabitq`]).
pub struct RowCodes {
    quantiser: Rabitq,
    /// A record a row: the plane, then the factors.
    records: Arena,
    record_bytes: usize,
    rows: usize,
    metric: Metric,
}

impl RowCodes {
    /// The codes of all rows of `vectors`. `None` where they would be no gain: under `l1`, and with
    /// fewer than 64 components.
    ///
    /// Cost: a rotation of each row, about as long as eight distances.
    ///
    /// # Errors
    /// [`Stopped`] if `stop` returned true; it is asked about every millisecond.
    pub fn new(
        vectors: &Vectors,
        metric: Metric,
        stop: impl Fn() -> bool,
    ) -> Result<Option<Self>, Stopped> {
        let Some(quantiser) = near::quantiser(vectors, metric) else {
            return Ok(None);
        };
        let rows = vectors.len();
        let record_bytes = record_words(quantiser.plane_words()) * size_of::<u64>();
        let Some(mut records) = Arena::try_new(rows * record_bytes) else {
            return Ok(None);
        };
        let (mut encoder, mut code) = (quantiser.encoder(), Code::default());
        let mut prepared = vec![0.0; vectors.dim()];
        let mut behind = vectors.behind(0);
        for (row, record) in records
            .bytes_mut()
            .chunks_exact_mut(record_bytes)
            .enumerate()
        {
            if row.is_multiple_of(WRITTEN_PER_LOOK) && stop() {
                return Err(Stopped);
            }
            vectors.read_prepared(row as u32, &mut prepared);
            behind.reached(row as u32);
            encoder.encode(&prepared, &mut code);
            let (plane, factors) = record.split_at_mut(size_of_val(&*code.planes));
            plane.copy_from_slice(bytemuck::cast_slice(&code.planes));
            let Factors {
                add,
                rescale,
                error,
            } = code.coarse;
            factors[..12].copy_from_slice(bytemuck::cast_slice(&[add, rescale, error]));
        }
        Ok(Some(Self {
            quantiser,
            records,
            record_bytes,
            rows,
            metric,
        }))
    }

    /// Bytes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.rows * self.record_bytes
    }

    /// Offers those of the listed rows to `top` that are nearer than what it has, as far as `deviations` of
    /// the error of an estimate tell; see [`Codes::scan`](super::Codes::scan).
    ///
    /// `rows` are below the number of rows there were. Allocates nothing if `space` and `top` are warm.
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
        mut rows: impl Iterator<Item = u32>,
        tie: impl Fn(u32, u32) -> Ordering,
        stop: impl Fn() -> bool,
        space: &mut CodeSpace,
        top: &mut TopK,
    ) -> Result<Effort, Stopped> {
        let (coded, _, mut near) = space.begin(&self.quantiser, vectors, self.metric, query);
        let base = allowing(coded.base(), deviations);
        let slack = coded.coarse_slack() * widening(deviations);
        let plane_words = self.quantiser.plane_words();
        // Rows whose codes are on their way, in a ring.
        let mut coming = [0u32; AHEAD];
        let mut count = 0;
        for (slot, row) in coming.iter_mut().zip(&mut rows) {
            prefetch(self.record(row));
            *slot = row;
            count += 1;
        }
        for at in 0usize.. {
            if count == 0 {
                break;
            }
            if at.is_multiple_of(ROWS_PER_LOOK) && stop() {
                return Err(Stopped);
            }
            let row = coming[at % AHEAD];
            match rows.next() {
                Some(later) => {
                    prefetch(self.record(later));
                    coming[at % AHEAD] = later;
                }
                None => count -= 1,
            }
            let words: &[u64] = bytemuck::cast_slice(self.record(row));
            let (plane, factors) = words.split_at(plane_words);
            let factors: &[f32] = bytemuck::cast_slice(&factors[..FACTOR_WORDS]);
            let factors = Factors {
                add: factors[0],
                rescale: factors[1],
                error: factors[2],
            };
            let estimate = factors.estimate(base, coded.coarse_product(plane), slack);
            if estimate.lower() >= top.threshold() {
                continue;
            }
            near.push(row);
            near.measure_some(&tie, top);
        }
        Ok(near.finish(&tie, top))
    }

    #[inline]
    fn record(&self, row: u32) -> &[u8] {
        let start = row as usize * self.record_bytes;
        &self.records.bytes()[start..start + self.record_bytes]
    }
}

/// Words of a record: a power of two, or whole cache lines, so that none lies in one line more than it needs.
fn record_words(plane_words: usize) -> usize {
    let words = plane_words + FACTOR_WORDS;
    if words <= 8 {
        words.next_power_of_two()
    } else {
        words.next_multiple_of(8)
    }
}
