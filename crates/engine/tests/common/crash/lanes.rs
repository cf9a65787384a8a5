//! One thread, and a say in when background work runs: at once, or later.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cairn_env::{Disk, Env, Lane, Task, Threads};
use cairn_testkit::{SimDisk, sim_env_seeded};
use parking_lot::Mutex;

/// Runs each task inside its `spawn`, as a simulation does; while deferring, tasks that other
/// tasks spawn (a flush by a commit, a compaction by a flush) wait for [`Lanes::drain`].
#[derive(Default)]
pub struct Lanes {
    deferring: AtomicBool,
    level: AtomicUsize,
    waiting: Mutex<VecDeque<Task>>,
}

impl Lanes {
    pub fn defer(&self, deferring: bool) {
        self.deferring.store(deferring, Ordering::Relaxed);
    }

    /// Runs what waits, and what that spawns.
    pub fn drain(&self) {
        self.defer(false);
        loop {
            let Some(task) = self.waiting.lock().pop_front() else {
                return;
            };
            self.run_now(task);
        }
    }

    fn run_now(&self, task: Task) {
        self.level.fetch_add(1, Ordering::Relaxed);
        task();
        self.level.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Threads for Lanes {
    fn spawn(&self, _lane: Lane, task: Task) {
        if self.deferring.load(Ordering::Relaxed) && self.level.load(Ordering::Relaxed) > 0 {
            self.waiting.lock().push_back(task);
        } else {
            self.run_now(task);
        }
    }

    fn parallelism(&self) -> usize {
        1
    }

    fn run(&self, workers: usize, work: &(dyn Fn(usize) + Sync)) {
        (0..workers).for_each(work);
    }
}

/// An environment and its threads.
#[derive(Clone)]
pub struct Machine {
    pub env: Env,
    pub lanes: Arc<Lanes>,
}

impl Machine {
    /// One on `disk`, whose operations `sim` counts.
    pub fn new(sim: &SimDisk, disk: Arc<dyn Disk>, seed: u64) -> Self {
        let lanes = Arc::new(Lanes::default());
        let env = Env {
            disk,
            threads: Arc::clone(&lanes) as Arc<dyn Threads>,
            ..sim_env_seeded(sim, seed)
        };
        Self { env, lanes }
    }

    /// One on a simulated disk itself.
    pub fn on(disk: &SimDisk, seed: u64) -> Self {
        Self::new(disk, Arc::new(disk.clone()), seed)
    }

    /// The same machine with other random numbers: a process that starts again.
    pub fn restarted(&self, sim: &SimDisk, seed: u64) -> Self {
        let fresh = Self::new(sim, Arc::clone(&self.env.disk), seed);
        let env = Env {
            clock: fresh.env.clock,
            entropy: fresh.env.entropy,
            threads: fresh.env.threads,
            ..self.env.clone()
        };
        Self { env, ..fresh }
    }
}
