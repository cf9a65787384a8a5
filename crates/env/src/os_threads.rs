//! Threads of the operating system, in five lanes.
//!
//! Each lane is one queue, first in first out, with its own workers, so that a commit that
//! waits for the disk never stands in front of a search, and a merge that takes minutes in front
//! of neither. Workers start when work finds nobody idle, and no earlier: a program that does
//! nothing has no threads of ours.
//!
//! Nobody joins the workers. A process that exits takes them with it, in the middle of a task
//! if need be; what must survive that is the log's business. Dropping the pool lets the
//! queues run empty and then ends the threads, from whatever thread it happens on.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::{Clock, Lane, OsClock, SERVING, Task, Threads};

/// Commits and flushes block on the disk, one thread each: enough for 64 collections that sync at
/// once while 16 of them flush.
const COMMIT_WORKERS_MAX: usize = 64 + 16;

/// Calls that wait take one thread each as well; they hardly run.
const BLOCKING_WORKERS_MAX: usize = 64;

/// Merges that somebody awaits. Each builds a segment in memory, with helpers: 16 at once have
/// every core busy many times over, and more would take memory alone.
const JOB_WORKERS_MAX: usize = 16;

/// Where threads come on demand, an idle one is kept this long: bursts of commits come seconds
/// apart.
const IDLE_MAX: Duration = Duration::from_secs(5);

/// The operating system's threads.
///
/// # Examples
/// ```
/// use cairn_env::{Lane, OsThreads, Threads};
/// use std::sync::mpsc;
///
/// let threads = OsThreads::new(2);
/// let (sender, receiver) = mpsc::channel();
/// threads.spawn(Lane::Foreground, Box::new(move || sender.send(6 * 7).expect("a receiver")));
/// assert_eq!(receiver.recv(), Ok(42));
/// ```
#[derive(Debug)]
pub struct OsThreads {
    parallelism: usize,
    clock: OsClock,
    /// Milliseconds of `clock` when somebody was last served, and one.
    served: AtomicU64,
    foreground: Queue,
    commit: Queue,
    blocking: Queue,
    job: Queue,
    background: Queue,
}

impl OsThreads {
    /// A pool with `workers` foreground threads (at least 1), half as many background ones
    /// (at least 1), and threads on demand for the other lanes: at most 80 that commit and flush,
    /// 64 that block and 16 for jobs.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        let workers = workers.max(1);
        let background = (workers / 2).max(1);
        Self {
            parallelism: workers,
            clock: OsClock::new(),
            served: AtomicU64::new(0),
            foreground: Queue::new("cairn-search", workers, None, false),
            commit: Queue::new("cairn-commit", COMMIT_WORKERS_MAX, Some(IDLE_MAX), false),
            blocking: Queue::new("cairn-call", BLOCKING_WORKERS_MAX, Some(IDLE_MAX), false),
            job: Queue::new("cairn-job", JOB_WORKERS_MAX, Some(IDLE_MAX), true),
            background: Queue::new("cairn-build", background, None, true),
        }
    }
}

impl OsThreads {
    fn millis(&self) -> u64 {
        u64::try_from(self.clock.now().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Threads for OsThreads {
    fn spawn(&self, lane: Lane, task: Task) {
        match lane {
            Lane::Foreground => {
                self.serve();
                self.foreground.push(task);
            }
            Lane::Commit => self.commit.push(task),
            Lane::Blocking => self.blocking.push(task),
            Lane::Job => self.job.push(task),
            Lane::Background => self.background.push(task),
        }
    }

    fn parallelism(&self) -> usize {
        self.parallelism
    }

    fn serve(&self) {
        self.served.store(self.millis() + 1, Ordering::Relaxed);
    }

    fn is_serving(&self) -> bool {
        let served = self.served.load(Ordering::Relaxed);
        let since = self.millis().saturating_sub(served);
        served > 0 && u128::from(since) < SERVING.as_millis()
    }

    /// The helpers are fresh threads, because the lanes' workers may all be busy with callers
    /// of this very function. They inherit the caller's priority.
    ///
    /// # Panics
    /// If `work` does, once all of its calls have ended.
    fn run(&self, workers: usize, work: &(dyn Fn(usize) + Sync)) {
        if workers <= 1 {
            (0..workers).for_each(work);
            return;
        }
        thread::scope(|scope| {
            let left_over: Vec<usize> = (1..workers)
                .filter(|&worker| {
                    thread::Builder::new()
                        .name(format!("cairn-helper-{worker}"))
                        .spawn_scoped(scope, move || work(worker))
                        .is_err()
                })
                .collect();
            work(0);
            // The system refused a thread: one after another is slower, and right.
            left_over.into_iter().for_each(work);
        });
    }
}

/// One lane. Dropping it lets its workers finish what is queued and end.
#[derive(Debug)]
struct Queue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    prefix: &'static str,
    workers_max: usize,
    /// How long a worker waits for work before it ends; `None`: as long as the pool lives.
    idle_max: Option<Duration>,
    lowers_priority: bool,
    state: Mutex<State>,
    wake: Condvar,
}

/// Invariant: when the lock is free and `tasks` is not empty, some worker is running a task,
/// starting, or has been woken, and will look at the queue again.
#[derive(Default)]
struct State {
    tasks: VecDeque<Task>,
    /// Which worker numbers are taken; names are re-used, so that they stay short.
    numbers: Vec<bool>,
    workers: usize,
    idle: usize,
    closed: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("queued", &self.tasks.len())
            .field("workers", &self.workers)
            .field("idle", &self.idle)
            .finish_non_exhaustive()
    }
}

impl Queue {
    fn new(
        prefix: &'static str,
        workers_max: usize,
        idle_max: Option<Duration>,
        lowers_priority: bool,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                prefix,
                workers_max,
                idle_max,
                lowers_priority,
                state: Mutex::default(),
                wake: Condvar::new(),
            }),
        }
    }

    fn push(&self, task: Task) {
        let shared = &self.shared;
        let mut state = shared.state.lock();
        state.tasks.push_back(task);
        // An idle worker counts until it has taken the lock again, so compare with all that
        // is queued: two tasks pushed at once never wait for the same idle worker.
        if state.tasks.len() <= state.idle {
            shared.wake.notify_one();
        } else if state.workers < shared.workers_max {
            let number = state.take_number();
            drop(state);
            if self.start(number).is_err() {
                self.do_without(number);
            }
        }
    }

    fn start(&self, number: usize) -> std::io::Result<()> {
        let shared = Arc::clone(&self.shared);
        thread::Builder::new()
            .name(format!("{}-{number}", shared.prefix))
            .spawn(move || shared.work(number))
            .map(drop)
    }

    /// The system refused a thread. With other workers alive the queue is in good hands; with
    /// none, the caller works it off: late is better than never.
    fn do_without(&self, number: usize) {
        let mut state = self.shared.state.lock();
        state.give_number(number);
        while state.workers == 0 {
            let Some(task) = state.tasks.pop_front() else {
                return;
            };
            drop(state);
            run_guarded(task);
            state = self.shared.state.lock();
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.shared.state.lock().closed = true;
        self.shared.wake.notify_all();
    }
}

impl State {
    fn take_number(&mut self) -> usize {
        self.workers += 1;
        if let Some(free) = self.numbers.iter().position(|taken| !taken) {
            self.numbers[free] = true;
            free
        } else {
            self.numbers.push(true);
            self.numbers.len() - 1
        }
    }

    fn give_number(&mut self, number: usize) {
        self.workers -= 1;
        self.numbers[number] = false;
    }
}

impl Shared {
    fn work(&self, number: usize) {
        if self.lowers_priority {
            lower_priority();
        }
        while let Some(task) = self.next(number) {
            run_guarded(task);
        }
    }

    /// The oldest task, waiting for one if need be. `None` ends the worker, whose number is
    /// free by then.
    fn next(&self, number: usize) -> Option<Task> {
        let mut state = self.state.lock();
        loop {
            if let Some(task) = state.tasks.pop_front() {
                return Some(task);
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let timed_out = match self.idle_max {
                None => {
                    self.wake.wait(&mut state);
                    false
                }
                Some(idle_max) => self.wake.wait_for(&mut state, idle_max).timed_out(),
            };
            state.idle -= 1;
            // A task may have come together with the end of the wait: then it is ours.
            if timed_out && state.tasks.is_empty() {
                break;
            }
        }
        state.give_number(number);
        None
    }
}

/// A panic costs the task, not the worker. The panic hook has reported it by then.
fn run_guarded(task: Task) {
    let Err(payload) = catch_unwind(AssertUnwindSafe(task)) else {
        return;
    };
    // The payload's own destructor may panic, and then its payload's: that one is left alone.
    if let Err(of_payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(of_payload);
    }
}

/// On Linux "nice" belongs to the thread, although POSIX says the process, and id 0 is the
/// calling thread. 10 leaves a busy background thread a tenth of what a search gets
/// (weights 110 and 1024 in the scheduler's table). Refusal does no harm.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn lower_priority() {
    let _ = rustix::process::setpriority_process(None, 10);
}

/// Elsewhere "nice" would slow the whole process, and the calls that lower one thread
/// (QoS classes on macOS, `SetThreadPriority` on Windows) need `unsafe`.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn lower_priority() {}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn eventually(condition: impl Fn() -> bool) -> bool {
        let clock = OsClock::new();
        while !condition() {
            if clock.now() > Duration::from_secs(30) {
                return false;
            }
            clock.sleep(Duration::from_millis(5));
        }
        true
    }

    fn worker_count(queue: &Queue) -> usize {
        queue.shared.state.lock().workers
    }

    #[test]
    fn whoever_is_served_is_noticed_for_a_moment() {
        let threads = OsThreads::new(1);
        assert!(!threads.is_serving());
        threads.serve();
        assert!(threads.is_serving());
        assert!(eventually(|| !threads.is_serving()));
        for lane in [Lane::Commit, Lane::Blocking, Lane::Job, Lane::Background] {
            threads.spawn(lane, Box::new(|| {}));
        }
        assert!(!threads.is_serving());
        threads.spawn(Lane::Foreground, Box::new(|| {}));
        assert!(threads.is_serving());
    }

    #[test]
    fn threads_start_with_the_first_task() {
        let queue = Queue::new("test", 4, None, false);
        assert_eq!(worker_count(&queue), 0);
        queue.push(Box::new(|| {}));
        assert_eq!(worker_count(&queue), 1);
    }

    #[test]
    fn idle_workers_end_and_their_numbers_are_used_again() {
        let queue = Queue::new("test", 4, Some(Duration::from_millis(10)), false);
        for _ in 0..3 {
            let (sender, receiver) = mpsc::channel();
            let task = move || {
                let name = thread::current().name().map(str::to_owned);
                sender.send(name).expect("a receiver");
            };
            queue.push(Box::new(task));
            assert_eq!(receiver.recv(), Ok(Some("test-0".to_owned())));
            assert!(eventually(|| worker_count(&queue) == 0));
        }
    }

    #[test]
    fn an_idle_worker_is_used_before_another_is_started() {
        let queue = Queue::new("test", 4, None, false);
        for _ in 0..20 {
            queue.push(Box::new(|| {}));
            // A worker that was woken counts as idle until it has taken its task.
            assert!(eventually(|| {
                let state = queue.shared.state.lock();
                state.tasks.is_empty() && state.idle == state.workers
            }));
        }
        assert_eq!(worker_count(&queue), 1);
    }

    #[test]
    fn a_task_that_comes_as_its_worker_gives_up_is_not_forgotten() {
        const IDLE: Duration = Duration::from_millis(20);
        let queue = Queue::new("test", 2, Some(IDLE), false);
        let mut meetings = 0;
        while meetings < 3 {
            queue.push(Box::new(|| {}));
            assert!(eventually(|| queue.shared.state.lock().tasks.is_empty()));
            // Hold the lock until the worker's wait has ended and it waits for the lock.
            let mut state = queue.shared.state.lock();
            OsClock::new().sleep(3 * IDLE);
            if state.idle == 0 || !state.tasks.is_empty() {
                continue;
            }
            // What `push` does when it finds somebody idle.
            let (sender, receiver) = mpsc::channel();
            state
                .tasks
                .push_back(Box::new(move || sender.send(()).expect("a receiver")));
            queue.shared.wake.notify_one();
            drop(state);
            let done = receiver.recv_timeout(Duration::from_secs(30));
            assert!(done.is_ok(), "nobody took the task");
            meetings += 1;
        }
    }

    #[test]
    fn workers_that_give_up_at_once_still_do_everything() {
        let queue = Queue::new("test", 2, Some(Duration::ZERO), false);
        for round in 0..1000u32 {
            let (sender, receiver) = mpsc::channel();
            for _ in 0..1 + round % 3 {
                let sender = sender.clone();
                queue.push(Box::new(move || sender.send(()).expect("a receiver")));
            }
            drop(sender);
            assert_eq!(receiver.iter().count() as u32, 1 + round % 3);
        }
    }

    #[test]
    fn dropping_the_queue_ends_its_workers() {
        let queue = Queue::new("test", 4, None, false);
        for _ in 0..4 {
            queue.push(Box::new(|| {}));
        }
        let shared = Arc::clone(&queue.shared);
        drop(queue);
        assert!(eventually(|| shared.state.lock().workers == 0));
        assert!(eventually(|| Arc::strong_count(&shared) == 1));
    }

    #[test]
    fn without_any_thread_the_caller_works_the_queue_off() {
        let queue = Queue::new("test", 1, None, false);
        let number = queue.shared.state.lock().take_number();
        let (sender, receiver) = mpsc::channel();
        for n in 0..3 {
            let sender = sender.clone();
            queue.push(Box::new(move || sender.send(n).expect("a receiver")));
        }
        queue.do_without(number);
        drop(sender);
        assert!(receiver.iter().eq(0..3));
    }
}
