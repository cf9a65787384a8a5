//! Threads and feedback, handed down by the caller: this crate starts no thread and reads no clock.

/// Threads that a build may use.
pub trait Workers: Sync {
    /// How many calls [`Workers::run`] makes. At least 1.
    fn count(&self) -> usize;

    /// Calls `work` once for every number in `0..count()`, at the same time as far as there are
    /// threads, and returns when all calls have returned.
    fn run(&self, work: &(dyn Fn(usize) + Sync));
}

/// The calling thread alone. A build with it is deterministic.
#[derive(Clone, Copy, Debug, Default)]
pub struct SingleThread;

impl Workers for SingleThread {
    fn count(&self) -> usize {
        1
    }

    fn run(&self, work: &(dyn Fn(usize) + Sync)) {
        work(0);
    }
}

/// Who hears how far a build is, and may end it.
pub trait Progress: Sync {
    /// `rows` more rows are in the graph.
    fn advance(&self, rows: usize);

    /// Whether the build should give up. Asked every few rows by every worker.
    fn cancelled(&self) -> bool;
}

/// Nobody listens.
impl Progress for () {
    fn advance(&self, _rows: usize) {}

    fn cancelled(&self) -> bool {
        false
    }
}
