//! Codes of rows that are compared one by one: made in the background once they are asked for often.
//!
//! Rows that were just written are compared one by one until a graph is built over them. A code of
//! one bit a component says of most that they cannot be among the nearest: 20,000 rows of 784
//! components are searched ten times as fast, of 128 components four times, and what is found was
//! the same in 1,000 of 1,000 searches. Whoever only writes pays nothing for it.
//!
//! Under a graph stand the rows that a filter leaves, where they are too few for a walk to meet them: those have their codes
//! row by row, because most are passed over.

use std::sync::OnceLock;

use cairn_env::sync::atomic::{AtomicUsize, Ordering};
use cairn_index::flat::{CodeSpace, Codes};
use cairn_index::ivf;
use cairn_index::{
    Coded, CodedSpace, Metric, Progress, Quantisation, SingleThread, TrainError, Vectors,
};

use crate::query::Effort;
use crate::schema::{IndexKind, VectorField, VectorKind};

/// Deviations of an estimate's error that are allowed for: one row in two thousand at the very edge
/// of an answer is missed.
pub(crate) const DEVIATIONS: f32 = 3.3;

/// Scans after which codes are made: they cost about as much.
const SCANS: usize = 8;

/// Rows from which codes are worth while.
pub(crate) const ROWS_MIN: usize = 1_024;

/// With fewer components an estimate of one bit each says little, and a row is read as fast as its code.
const ROW_DIM_MIN: usize = 64;

/// A filter that leaves fewer than one row in so many is faster without codes.
pub(crate) const ALLOWED_MIN: usize = 4;

/// The codes of one matrix that will not change any more, once they are made.
#[derive(Default)]
pub(crate) struct LazyCodes {
    scans: AtomicUsize,
    made: OnceLock<Option<Made>>,
}

enum Made {
    /// Of rows most of which are looked at.
    Blocks(Codes),
    /// Of rows few of which are.
    Rows(Coded),
}

/// What searches of one thread reuse for codes.
#[derive(Default)]
pub(crate) struct ScanSpace {
    pub codes: CodeSpace,
    pub coded: CodedSpace,
    pub clusters: ivf::Scratch,
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
    /// The codes of [`make`](Self::make), if they are made; a [`wish`](Self::wish) for them if not.
    pub fn get(&self, rows: usize, space: &mut ScanSpace) -> Option<&Codes> {
        self.wish(rows, space);
        match self.made.get()? {
            Some(Made::Blocks(codes)) => Some(codes),
            Some(Made::Rows(_)) | None => None,
        }
    }

    /// The codes of [`make_rows`](Self::make_rows), if they are made.
    pub fn by_row(&self) -> Option<&Coded> {
        match self.made.get()? {
            Some(Made::Rows(codes)) => Some(codes),
            Some(Made::Blocks(_)) | None => None,
        }
    }

    /// Counts a search that codes of `rows` rows would speed up, unless they are made; notes in `space` if it is
    /// time to make them.
    pub fn wish(&self, rows: usize, space: &mut ScanSpace) {
        if self.made.get().is_none()
            && rows >= ROWS_MIN
            && self.scans.fetch_add(1, Ordering::Relaxed) >= SCANS
        {
            space.wanted = true;
        }
    }

    fn is_due(&self) -> bool {
        self.made.get().is_none() && self.scans.load(Ordering::Relaxed) > SCANS
    }

    /// Makes codes of `vectors` in blocks if searches asked for them; their bytes.
    pub fn make(&self, vectors: &Vectors, metric: Metric) -> usize {
        if !self.is_due() {
            return 0;
        }
        self.made
            .get_or_init(|| Codes::new(vectors, metric).map(Made::Blocks));
        self.bytes()
    }

    /// Makes codes of `vectors` row by row if searches asked for them, unless `stop` returns true.
    pub fn make_rows(&self, vectors: &Vectors, metric: Metric, stop: impl Fn() -> bool + Sync) {
        if !self.is_due() {
            return;
        }
        if metric == Metric::L1 || vectors.dim() < ROW_DIM_MIN {
            self.made.get_or_init(|| None);
            return;
        }
        let (one_bit, until) = (Quantisation::Rabitq { bits: 1 }, Until(stop));
        match Coded::new(vectors, metric, one_bit, &SingleThread, &until) {
            Ok(codes) => {
                self.made.get_or_init(|| Some(Made::Rows(codes)));
            }
            Err(TrainError::Cancelled) => {}
            Err(_) => {
                self.made.get_or_init(|| None);
            }
        }
    }

    pub fn bytes(&self) -> usize {
        match self.made.get() {
            Some(Some(Made::Blocks(codes))) => codes.bytes(),
            Some(Some(Made::Rows(codes))) => codes.bytes(),
            Some(None) | None => 0,
        }
    }
}

/// Work that goes on until a function says that it is to end.
struct Until<F>(F);

impl<F: Fn() -> bool + Sync> Progress for Until<F> {
    fn advance(&self, _rows: usize) {}

    fn cancelled(&self) -> bool {
        self.0()
    }
}
