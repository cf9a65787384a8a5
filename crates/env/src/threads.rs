//! Where work runs.

use std::sync::Arc;
use std::time::Duration;

/// A piece of work. It must not panic; the runner catches what does and drops it.
pub type Task = Box<dyn FnOnce() + Send>;

/// What kind of work a task is; decides where and with what priority it runs.
///
/// Lanes are told apart by what their tasks wait for. A task must not wait for one that is still
/// queued in its own lane: enough of them would fill the lane and wait for ever. So what everybody
/// waits for, commits and the flushes that make room for them, has a lane whose tasks wait for the
/// disk alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Searches and reads that somebody awaits. They wait for no sync and for no writer.
    Foreground,
    /// Commit leaders, and flushes. They wait for the disk and for what already runs; a leader
    /// that needs the room of a flush lends a hand. Flushes are not of low priority: they map and
    /// unmap much memory, and whoever waits for that waits for them.
    Commit,
    /// Calls that wait for the disk, for a lock, for commits or for the end of other work: open,
    /// close, create, drop, rename, list, commit, statistics. And destructors that take long.
    Blocking,
    /// Merges that somebody awaits: minutes each, low priority.
    Job,
    /// Merges that nobody awaits: low priority, and so few at a time that searches keep cores.
    Background,
}

/// A scheduler. `spawn` is called without any lock held, because a simulation may run
/// the task at once, inside the call.
pub trait Threads: Send + Sync + 'static {
    /// Runs `task` some time later (or now).
    fn spawn(&self, lane: Lane, task: Task);
    /// How many foreground workers there are, at least 1.
    fn parallelism(&self) -> usize;
    /// Runs `work(0) ... work(workers - 1)` at the same time, or one after another, and
    /// returns when all are done. Worker 0 is the calling thread.
    fn run(&self, workers: usize, work: &(dyn Fn(usize) + Sync));
    /// Says that somebody is served on a thread of the caller's. Foreground tasks say so themselves.
    fn serve(&self) {}
    /// Whether somebody was served within the last [`SERVING`]: work that nobody waits for keeps a
    /// core free meanwhile.
    fn is_serving(&self) -> bool {
        false
    }
}

/// How long after a search the next one is expected.
pub const SERVING: Duration = Duration::from_millis(20);

/// Runs every task inside `spawn`: one thread, one order, for simulations.
#[derive(Debug, Default)]
pub struct InlineThreads;

impl InlineThreads {
    /// As a trait object.
    #[must_use]
    pub fn shared() -> Arc<dyn Threads> {
        Arc::new(Self)
    }
}

impl Threads for InlineThreads {
    fn spawn(&self, _lane: Lane, task: Task) {
        task();
    }

    fn parallelism(&self) -> usize {
        1
    }

    fn run(&self, workers: usize, work: &(dyn Fn(usize) + Sync)) {
        (0..workers).for_each(work);
    }
}
