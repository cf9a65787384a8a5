//! Work in parts, by whichever worker comes for them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::{Progress, Workers};

/// The caller wanted no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cancelled;

/// Has `work` done once for every part; each worker has a scratch of its own.
///
/// What a part becomes must not depend on the others, nor on the worker: then the result is the same
/// with any number of threads.
pub(crate) fn share<T, S>(
    parts: impl Iterator<Item = T> + Send,
    workers: &dyn Workers,
    progress: &dyn Progress,
    scratch: &(dyn Fn() -> S + Sync),
    work: &(dyn Fn(T, &mut S) + Sync),
) -> Result<(), Cancelled> {
    let queue = Mutex::new(parts);
    workers.run(&|worker| {
        let mut scratch = scratch();
        while !progress.cancelled() {
            if workers.gives_way(worker) {
                continue;
            }
            // A worker that panicked took its part with it, and the panic goes on in `run`.
            let part = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(part) = part else { return };
            work(part, &mut scratch);
        }
    });
    if progress.cancelled() {
        Err(Cancelled)
    } else {
        Ok(())
    }
}

/// Feedback of work that passes every row several times: each row is told of once in all.
pub(crate) struct Steps<'a> {
    progress: &'a dyn Progress,
    passes: usize,
    done: AtomicUsize,
}

impl<'a> Steps<'a> {
    /// `passes` calls of [`Progress::advance`] for a row come together as one.
    pub(crate) fn new(progress: &'a dyn Progress, passes: usize) -> Self {
        Self {
            progress,
            passes,
            done: AtomicUsize::new(0),
        }
    }
}

impl Progress for Steps<'_> {
    fn advance(&self, rows: usize) {
        let before = self.done.fetch_add(rows, Ordering::Relaxed);
        let whole = (before + rows) / self.passes - before / self.passes;
        if whole > 0 {
            self.progress.advance(whole);
        }
    }

    fn cancelled(&self) -> bool {
        self.progress.cancelled()
    }
}
