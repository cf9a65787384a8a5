//! Threads that know whether they are busy, and threads whose background work waits.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use cairn_env::{Lane, Task, Threads};

/// Runs everything inside `spawn`, except the work of one lane: that waits for
/// [`HeldThreads::run_held`].
#[derive(Clone)]
pub struct HeldThreads {
    held: Lane,
    waiting: Arc<Mutex<VecDeque<Task>>>,
}

impl Default for HeldThreads {
    fn default() -> Self {
        Self::of(Lane::Background)
    }
}

impl HeldThreads {
    pub fn of(held: Lane) -> Self {
        Self {
            held,
            waiting: Arc::default(),
        }
    }

    pub fn shared(&self) -> Arc<dyn Threads> {
        Arc::new(self.clone())
    }

    /// How many tasks wait.
    pub fn waiting(&self) -> usize {
        self.waiting.lock().unwrap().len()
    }

    /// Runs what waits, and what that spawns.
    pub fn run_held(&self) {
        loop {
            let task = self.waiting.lock().unwrap().pop_front();
            match task {
                Some(task) => task(),
                None => return,
            }
        }
    }
}

impl Threads for HeldThreads {
    fn spawn(&self, lane: Lane, task: Task) {
        if lane == self.held {
            self.waiting.lock().unwrap().push_back(task);
        } else {
            task();
        }
    }

    fn parallelism(&self) -> usize {
        1
    }

    fn run(&self, workers: usize, work: &(dyn Fn(usize) + Sync)) {
        (0..workers).for_each(work);
    }
}

/// Other threads, and how many tasks of theirs have not ended.
#[derive(Clone)]
pub struct BusyThreads {
    inner: Arc<dyn Threads>,
    busy: Arc<AtomicUsize>,
}

impl BusyThreads {
    pub fn around(inner: Arc<dyn Threads>) -> Self {
        Self {
            inner,
            busy: Arc::default(),
        }
    }

    /// Whether every task has ended. One that spawns another does so before it ends.
    pub fn is_idle(&self) -> bool {
        self.busy.load(Ordering::SeqCst) == 0
    }
}

struct End(Arc<AtomicUsize>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Threads for BusyThreads {
    fn spawn(&self, lane: Lane, task: Task) {
        self.busy.fetch_add(1, Ordering::SeqCst);
        let end = End(Arc::clone(&self.busy));
        let task = move || {
            let _end = end;
            task();
        };
        self.inner.spawn(lane, Box::new(task));
    }

    fn parallelism(&self) -> usize {
        self.inner.parallelism()
    }

    fn run(&self, workers: usize, work: &(dyn Fn(usize) + Sync)) {
        self.inner.run(workers, work);
    }
}
