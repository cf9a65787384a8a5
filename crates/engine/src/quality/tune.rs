//! The shortest candidate lists that reach a recall on the user's own queries.

use std::sync::Arc;

use cairn_filter::Filter;

use crate::collection::Collection;
use crate::error::{Code, Error, Result};
use crate::query::Effort;
use crate::snapshot::Snapshot;
use crate::stop::Job;

use super::{Cases, Quality, QualityRequest, Queries};

/// Factors of the candidate lists that are tried: in steps of the fourth root of two, from a quarter
/// to sixteen times what was measured when the graphs were built.
const STEPS_BELOW: i32 = 8;
const STEPS_ABOVE: i32 = 16;
const STEPS_PER_DOUBLING: f32 = 4.0;

/// What is to be reached.
#[derive(Clone, Debug)]
pub struct TuneRequest<'a> {
    /// Position of the vector field in the schema.
    pub field: usize,
    /// Neighbours that are looked for, 1 to 10,000.
    pub k: usize,
    /// The share of them that are to be found, from 0.5 to below 1.
    pub recall: f32,
    /// Searches are for records that it holds for.
    pub filter: Option<&'a Filter>,
    /// What is asked for.
    pub queries: Queries<'a>,
    /// Whether searches of the collection go by it from now on.
    pub apply: bool,
}

/// What was found out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuned {
    /// The factor of the candidate lists so far.
    pub before: (f32, Quality),
    /// The smallest factor that reaches the recall, or the largest that there is where none does.
    pub after: (f32, Quality),
    /// Whether searches go by it from now on.
    pub applied: bool,
}

impl Collection {
    /// Finds the shortest candidate lists that reach a recall, as a factor of those that reached it when
    /// each graph was built, and keeps it with the collection where that is wanted: searches with a
    /// recall, and graphs built later, go by it. Where graphs stand over less than half of the rows, the rest
    /// is compared with every query anyway: that says nothing of lists, and nothing is kept.
    ///
    /// The job hears queries.
    ///
    /// # Errors
    /// As [`Snapshot::quality`](crate::Snapshot::quality); `ERR_READ_ONLY` where it is to be kept and
    /// nothing can be written.
    pub fn tune(self: &Arc<Self>, request: &TuneRequest<'_>, job: &Job) -> Result<Tuned> {
        if !(0.5..1.0).contains(&request.recall) {
            let message =
                "recall must be from 0.5 to below 1: 1 is exact, and nothing can be tuned";
            return Err(Error::new(Code::InvalidArgument, message));
        }
        if request.apply {
            self.check_writable()?;
        }
        let snapshot = self.snapshot()?;
        let asked = QualityRequest {
            field: request.field,
            k: request.k,
            effort: Effort::Recall(request.recall),
            filter: request.filter,
            queries: request.queries,
        };
        let cases = Cases::new(&snapshot, &asked, job)?;
        let try_factor =
            |factor: f32| cases.measure(Effort::Stretched(request.recall, factor), job);
        let stretch = &snapshot.view().stretch;
        let factor = stretch.get(request.field).copied().unwrap_or(1.0);
        let before = (factor, try_factor(factor)?);
        // Longer lists find more, so the first that suffices is found by halving.
        let (mut low, mut high) = (-STEPS_BELOW, STEPS_ABOVE);
        let mut after = None;
        while low < high {
            let middle = (low + high).div_euclid(2);
            let quality = try_factor(factor_of(middle))?;
            if quality.recall.mean >= f64::from(request.recall) {
                after = Some((factor_of(middle), quality));
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        let after = match after {
            Some(found) if found.0 == factor_of(high) => found,
            _ => (factor_of(high), try_factor(factor_of(high))?),
        };
        let applied = request.apply && has_graphs(&snapshot, request.field);
        if applied {
            self.keep_stretch(request.field, after.0)?;
        }
        Ok(Tuned {
            before,
            after,
            applied,
        })
    }
}

/// Whether graphs stand over at least half of the live rows.
fn has_graphs(snapshot: &Snapshot, field: usize) -> bool {
    let segments = snapshot.view().segments.iter();
    let with_graph = segments.filter(|segment| segment.has_graph(field));
    let rows: usize = with_graph.map(|segment| segment.live()).sum();
    rows as u64 * 2 >= snapshot.view().count
}

fn factor_of(step: i32) -> f32 {
    (step as f32 / STEPS_PER_DOUBLING).exp2()
}
