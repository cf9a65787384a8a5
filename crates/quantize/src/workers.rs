//! Threads and feedback, handed down by the caller: this crate starts no thread and reads no clock.

/// Threads that long work may use.
pub trait Workers: Sync {
    /// Calls `work` once for every number below the number of threads, at the same time as far as
    /// there are threads, and returns when all calls have returned.
    fn run(&self, work: &(dyn Fn(usize) + Sync));

    /// Asked by a worker before it takes more rows: whether others need its core. Then it has waited
    /// a little here, and asks again. One of the workers at least is never told so.
    fn gives_way(&self, _worker: usize) -> bool {
        false
    }
}

/// The calling thread alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct SingleThread;

impl Workers for SingleThread {
    fn run(&self, work: &(dyn Fn(usize) + Sync)) {
        work(0);
    }
}

/// Who hears how far the work is, and may end it.
pub trait Progress: Sync {
    /// So many more rows are done: in the graph, or compared with all centroids there are. Of a
    /// training with `R` rows of the sample that is up to `R * (iterations + 1)` rows in all, for each
    /// codebook.
    fn advance(&self, rows: usize);

    /// Whether to give up. Asked every few rows, or few thousand distances, by every worker.
    fn cancelled(&self) -> bool;
}

/// Nobody listens.
impl Progress for () {
    fn advance(&self, _rows: usize) {}

    fn cancelled(&self) -> bool {
        false
    }
}
