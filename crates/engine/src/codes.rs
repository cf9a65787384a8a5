//! Codes of rows that no graph stands over: made in the background once they are asked for often.
//!
//! Rows that were just written are compared one by one until a graph is built over them. A code of
//! one bit a component says of most that they cannot be among the nearest: 20,000 rows of 784
//! components are searched ten times as fast, of 128 components four times, and what is found was
//! the same in 1,000 of 1,000 searches. Whoever only writes pays nothing for it.

use std::sync::OnceLock;

use cairn_env::sync::atomic::{AtomicUsize, Ordering};
use cairn_index::flat::{CodeSpace, Codes};
use cairn_index::{Metric, Vectors};

use crate::query::Effort;
use crate::schema::{IndexKind, VectorField, VectorKind};

/// Deviations of an estimate's error that are allowed for: one row in two thousand at the very edge
/// of an answer is missed.
pub(crate) const DEVIATIONS: f32 = 3.3;

/// Scans after which codes are made: they cost about as much.
const SCANS: usize = 8;

/// Rows from which codes are worth while.
pub(crate) const ROWS_MIN: usize = 1_024;

/// A filter that leaves fewer than one row in so many is faster without codes.
pub(crate) const ALLOWED_MIN: usize = 4;

/// The codes of one matrix that will not change any more, once they are made.
#[derive(Default)]
pub(crate) struct LazyCodes {
    scans: AtomicUsize,
    made: OnceLock<Option<Codes>>,
}

/// What searches of one thread reuse for codes.
#[derive(Default)]
pub(crate) struct ScanSpace {
    pub codes: CodeSpace,
    /// Somewhere it would be worth while to make codes.
    pub wanted: bool,
}

/// Whether searches of a field may go by codes where there is no graph. A field that is declared flat is
/// always searched exactly, and so is one whose vectors are short themselves.
pub(crate) fn may_have_codes(field: &VectorField) -> bool {
    field.index != IndexKind::Flat && field.kind == VectorKind::F32
}

/// Whether a search with this effort may.
pub(crate) fn may_use_codes(effort: Effort) -> bool {
    match effort {
        Effort::Exact => false,
        Effort::Recall(recall) | Effort::Stretched(recall, _) => recall < 1.0,
        Effort::EfSearch(_) => true,
    }
}

impl LazyCodes {
    /// The codes, if they are made. Counts the call as a scan of `rows` rows, and notes in `space` if
    /// it is time to make them.
    pub fn get(&self, rows: usize, space: &mut ScanSpace) -> Option<&Codes> {
        if let Some(made) = self.made.get() {
            return made.as_ref();
        }
        if rows >= ROWS_MIN && self.scans.fetch_add(1, Ordering::Relaxed) >= SCANS {
            space.wanted = true;
        }
        None
    }

    /// Makes the codes of `vectors` if searches asked for them; their bytes.
    pub fn make(&self, vectors: &Vectors, metric: Metric) -> usize {
        if self.made.get().is_some() || self.scans.load(Ordering::Relaxed) <= SCANS {
            return 0;
        }
        let made = self.made.get_or_init(|| Codes::new(vectors, metric));
        made.as_ref().map_or(0, Codes::bytes)
    }

    pub fn bytes(&self) -> usize {
        let made = self.made.get().and_then(Option::as_ref);
        made.map_or(0, Codes::bytes)
    }
}
