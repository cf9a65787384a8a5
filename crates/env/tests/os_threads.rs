//! Promise: every task runs once, in its lane's order, whatever other tasks do; and no thread
//! of ours stands in the way of anybody's exit.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use cairn_env::{Clock, Lane, OsClock, OsThreads, Threads};

const LANES: [Lane; 5] = [
    Lane::Foreground,
    Lane::Commit,
    Lane::Blocking,
    Lane::Job,
    Lane::Background,
];

/// Lanes that have one worker a thread of the pool, or half as many; the others start workers on
/// demand.
const FIXED: [Lane; 2] = [Lane::Foreground, Lane::Background];

/// More tasks than any lane runs at once.
const FULL: usize = 100;

/// Longer than anything here takes, shorter than patience lasts.
const SOON: Duration = Duration::from_secs(30);

fn thread_name() -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

/// Runs `work` in `lane` and returns what it says.
fn ask<T: Send + 'static>(
    threads: &OsThreads,
    lane: Lane,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (sender, receiver) = mpsc::channel();
    threads.spawn(lane, Box::new(move || sender.send(work()).unwrap()));
    receiver.recv_timeout(SOON).unwrap()
}

#[test]
fn workers_are_named_after_their_lane() {
    let threads = OsThreads::new(3);
    let names = ["search", "commit", "call", "job", "build"];
    for (lane, name) in LANES.into_iter().zip(names) {
        assert_eq!(ask(&threads, lane, thread_name), format!("cairn-{name}-0"));
    }
    assert_eq!(threads.parallelism(), 3);
    assert_eq!(OsThreads::new(0).parallelism(), 1);
}

#[test]
fn as_many_foreground_tasks_run_at_once_as_there_are_workers() {
    let threads = OsThreads::new(4);
    // Passes only if four of them are in it together.
    let barrier = Arc::new(Barrier::new(4));
    let (sender, receiver) = mpsc::channel();
    for _ in 0..40 {
        let (sender, barrier) = (sender.clone(), Arc::clone(&barrier));
        let task = move || {
            barrier.wait();
            sender.send(thread_name()).unwrap();
        };
        threads.spawn(Lane::Foreground, Box::new(task));
    }
    let names: BTreeSet<String> = (0..40)
        .map(|_| receiver.recv_timeout(SOON).unwrap())
        .collect();
    let expected = (0..4).map(|n| format!("cairn-search-{n}"));
    assert_eq!(names, expected.collect());
}

#[test]
fn commits_and_calls_that_wait_can_wait_together() {
    let threads = OsThreads::new(1);
    for (lane, tasks) in [(Lane::Commit, 80), (Lane::Blocking, 64), (Lane::Job, 16)] {
        let barrier = Arc::new(Barrier::new(tasks));
        let (sender, receiver) = mpsc::channel();
        for _ in 0..tasks {
            let (sender, barrier) = (sender.clone(), Arc::clone(&barrier));
            let task = move || {
                barrier.wait();
                sender.send(()).unwrap();
            };
            threads.spawn(lane, Box::new(task));
        }
        for _ in 0..tasks {
            receiver.recv_timeout(SOON).unwrap();
        }
    }
}

/// A hundred merges that run for minutes, say, while a commit waits to be led.
#[test]
fn a_lane_full_of_tasks_that_wait_delays_no_other() {
    for full in LANES {
        let threads = OsThreads::new(2);
        let (release, gate) = mpsc::channel::<()>();
        let gate = Arc::new(parking_lot::Mutex::new(gate));
        for _ in 0..FULL {
            let gate = Arc::clone(&gate);
            threads.spawn(full, Box::new(move || assert!(gate.lock().recv().is_err())));
        }
        for other in LANES.into_iter().filter(|other| *other != full) {
            assert_eq!(
                ask(&threads, other, || 1),
                1,
                "{other:?} waits for {full:?}"
            );
        }
        drop(release);
        assert_eq!(ask(&threads, full, || 1), 1);
    }
}

#[test]
fn one_worker_keeps_the_order() {
    let threads = OsThreads::new(1);
    for lane in FIXED {
        let (sender, receiver) = mpsc::channel();
        for n in 0..1000 {
            let sender = sender.clone();
            threads.spawn(lane, Box::new(move || sender.send(n).unwrap()));
        }
        drop(sender);
        assert!(receiver.iter().eq(0..1000));
    }
}

#[test]
fn a_panic_costs_the_task_and_not_the_worker() {
    let threads = OsThreads::new(1);
    for lane in LANES {
        let before = ask(&threads, lane, || thread::current().id());
        for _ in 0..3 {
            threads.spawn(lane, Box::new(|| panic!("on purpose")));
        }
        let after = ask(&threads, lane, || thread::current().id());
        // Where workers come on demand it may be another one.
        assert!(!FIXED.contains(&lane) || before == after);
    }
}

#[test]
fn what_is_queued_runs_after_the_pool_is_dropped() {
    let (sender, receiver) = mpsc::channel();
    let threads = OsThreads::new(2);
    for lane in LANES {
        for _ in 0..500 {
            let sender = sender.clone();
            threads.spawn(lane, Box::new(move || sender.send(()).unwrap()));
        }
    }
    drop((threads, sender));
    // Ends when the last task is gone, so it hangs if one is forgotten in a queue.
    assert_eq!(receiver.iter().count(), 500 * LANES.len());
}

#[test]
fn the_pool_may_be_dropped_by_its_own_threads() {
    for lane in LANES {
        let threads = Arc::new(OsThreads::new(2));
        let (sender, receiver) = mpsc::channel();
        let (go, gate) = mpsc::channel::<()>();
        let last = Arc::clone(&threads);
        let task = move || {
            gate.recv().unwrap_err();
            drop(last);
            sender.send(()).unwrap();
        };
        threads.spawn(lane, Box::new(task));
        drop(threads);
        drop(go); // now the task holds the only handle
        receiver.recv_timeout(SOON).unwrap();
    }
}

#[test]
fn run_calls_each_worker_once_and_the_caller_is_the_first() {
    let threads = OsThreads::new(2);
    for workers in [0, 1, 2, 7] {
        let calls: Vec<AtomicUsize> = (0..workers).map(|_| AtomicUsize::new(0)).collect();
        let caller = thread::current().id();
        threads.run(workers, &|worker| {
            calls[worker].fetch_add(1, Ordering::Relaxed);
            assert_eq!(worker == 0, thread::current().id() == caller);
        });
        assert!(calls.iter().all(|n| n.load(Ordering::Relaxed) == 1));
    }
}

#[test]
fn run_works_inside_tasks_that_fill_the_pool() {
    let threads = Arc::new(OsThreads::new(2));
    let (sender, receiver) = mpsc::channel();
    for _ in 0..8 {
        let (inner, sender) = (Arc::clone(&threads), sender.clone());
        let task = move || {
            let sum = AtomicUsize::new(0);
            inner.run(3, &|worker| {
                sum.fetch_add(worker + 1, Ordering::Relaxed);
            });
            sender.send(sum.into_inner()).unwrap();
        };
        threads.spawn(Lane::Foreground, Box::new(task));
    }
    for _ in 0..8 {
        assert_eq!(receiver.recv_timeout(SOON), Ok(6));
    }
}

#[test]
fn a_panic_in_run_reaches_the_caller() {
    let threads = OsThreads::new(2);
    for culprit in 0..2 {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            threads.run(2, &|worker| assert_ne!(worker, culprit, "on purpose"));
        }));
        assert!(result.is_err());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn background_work_is_nice_and_its_helpers_too() {
    let nice = || rustix::process::getpriority_process(None).unwrap();
    let threads = Arc::new(OsThreads::new(2));
    let usual = nice();
    for lane in [Lane::Foreground, Lane::Commit, Lane::Blocking] {
        assert_eq!(ask(&threads, lane, nice), usual);
    }
    for lane in [Lane::Job, Lane::Background] {
        assert_eq!(ask(&threads, lane, nice), 10.max(usual));
    }
    let inner = Arc::clone(&threads);
    let helpers = ask(&threads, Lane::Background, move || {
        let seen = parking_lot::Mutex::new(Vec::new());
        inner.run(3, &|_| seen.lock().push(nice()));
        seen.into_inner()
    });
    assert_eq!(helpers, [10.max(usual); 3]);
    assert_eq!(nice(), usual, "the rest of the process is left alone");
}

/// Tasks that spawn tasks, from several threads, into every lane, with panics among them.
#[test]
fn a_storm_of_tasks_is_weathered() {
    fn storm(threads: &Arc<OsThreads>, depth: usize, done: &Sender<()>) {
        for (number, lane) in LANES.into_iter().enumerate() {
            let (inner, done) = (Arc::clone(threads), done.clone());
            let task = move || {
                done.send(()).unwrap();
                if depth > 0 {
                    storm(&inner, depth - 1, &done);
                }
                assert!(number != 1 || depth != 1, "on purpose");
            };
            threads.spawn(lane, Box::new(task));
        }
    }
    for workers in [1, 2, 5] {
        let threads = Arc::new(OsThreads::new(workers));
        let (done, receiver): (Sender<()>, Receiver<()>) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| storm(&threads, 3, &done));
            }
        });
        drop((threads, done));
        // Each storm is 5 + 25 + 125 + 625 tasks.
        let tasks: usize = (1..=4).map(|depth| LANES.len().pow(depth)).sum();
        assert_eq!(receiver.iter().count(), 4 * tasks);
    }
}

#[test]
fn bursts_and_pauses_lose_no_wake_up() {
    let threads = OsThreads::new(3);
    let clock = OsClock::new();
    for round in 0u64..200 {
        let (sender, receiver) = mpsc::channel();
        for n in 0..round % 7 {
            let sender = sender.clone();
            let lane = LANES[usize::try_from(n).unwrap() % LANES.len()];
            threads.spawn(lane, Box::new(move || sender.send(()).unwrap()));
        }
        if round.is_multiple_of(10) {
            clock.sleep(Duration::from_millis(1));
        }
        for _ in 0..round % 7 {
            receiver.recv_timeout(SOON).unwrap();
        }
    }
}

#[test]
fn a_process_may_exit_in_the_middle_of_tasks() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_exits_while_tasks_run", "--ignored"])
        .env("CAIRN_TEST_EXIT", "1")
        .spawn()
        .unwrap();
    let clock = OsClock::new();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if clock.now() > SOON {
            child.kill().unwrap();
            panic!("the child hangs in its exit");
        }
        clock.sleep(Duration::from_millis(10));
    };
    assert!(status.success());
}

#[test]
#[ignore = "runs as a child of a_process_may_exit_in_the_middle_of_tasks"]
fn child_exits_while_tasks_run() {
    static POOL: std::sync::OnceLock<OsThreads> = std::sync::OnceLock::new();
    if std::env::var_os("CAIRN_TEST_EXIT").is_none() {
        return;
    }
    let threads = POOL.get_or_init(|| OsThreads::new(2));
    let (sender, receiver) = mpsc::channel();
    for lane in LANES {
        let sender = sender.clone();
        let task = move || {
            sender.send(()).unwrap();
            OsClock::new().sleep(2 * SOON);
        };
        threads.spawn(lane, Box::new(task));
    }
    for _ in LANES {
        receiver.recv_timeout(SOON).unwrap();
    }
}
