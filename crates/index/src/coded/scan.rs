//! The nearest rows of a matrix by codes of them: what may be among the nearest is measured.

use std::cmp::Ordering;

use super::{Coded, CodedQuery};
use crate::flat::{Near, TopK};
use crate::{Effort, Query, Stopped, Vectors};

/// Codes between two looks at `stop`: below half a millisecond with 4,096 components.
const ROWS_PER_LOOK: usize = 1024;

/// Codes asked for ahead of the one being looked at.
const AHEAD: usize = 16;

impl Coded {
    /// Offers those of `rows` to `top` that may be nearer than what it has: of `sq8`, `sq4` and `pq` the nearest for
    /// certain, of `rabitq` as far as `deviations` of the error of an estimate tell.
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
        mut rows: impl Iterator<Item = u32>,
        tie: impl Fn(u32, u32) -> Ordering,
        stop: impl Fn() -> bool,
        space: &mut CodedSpace,
        top: &mut TopK,
    ) -> Result<Effort, Stopped> {
        let beside = query.beside(vectors);
        let asked = space.query.fill(self, &beside[..vectors.dim()]);
        let mut near = Near::new(
            vectors.kernels(self.metric()),
            beside,
            vectors,
            &mut space.rows,
            &mut space.distances,
        );
        // Rows whose codes are on their way, in a ring.
        let mut coming = [0u32; AHEAD];
        let mut count = 0;
        for (slot, row) in coming.iter_mut().zip(&mut rows) {
            asked.prefetch(row);
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
                    asked.prefetch(later);
                    coming[at % AHEAD] = later;
                }
                None => count -= 1,
            }
            if asked.estimate(row, deviations).lower() >= top.threshold() {
                continue;
            }
            near.push(row);
            near.measure_some(&tie, top);
        }
        Ok(near.finish(&tie, top))
    }
}

/// Memory that searches by codes reuse.
#[derive(Debug, Default)]
pub struct CodedSpace {
    pub(crate) query: CodedQuery,
    rows: Vec<u32>,
    distances: Vec<f32>,
}
