//! Threads whose steps a scheduler puts in order, and the schedules that are tried.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use cairn_env::sync::shuttle::rand::Rng;
use cairn_env::sync::shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use cairn_env::sync::shuttle::{self, Config, FailurePersistence, MaxSteps, Runner};
use cairn_env::sync::{Condvar, Mutex, step};
use cairn_env::{Clock, Env, Faults, Lane, OsClock, Task, Threads};
use cairn_testkit::{SimClock, SimDisk, sim_env_seeded};

/// Schedules of each test, unless `CAIRN_SCHEDULES` says another number.
const SCHEDULES: usize = 4_000;
/// Places at which a schedule of priorities changes them.
const CHANGES: usize = 3;

fn config() -> Config {
    let mut config = Config::new();
    config.stack_size = 1024 * 1024;
    config.max_steps = MaxSteps::FailAfter(2_000_000);
    config.silence_warnings = true;
    let dir = env!("CARGO_TARGET_TMPDIR");
    config.failure_persistence = FailurePersistence::File(Some(dir.into()));
    config
}

/// Runs something under the scheduler's primitives, in one order.
pub fn once(what: impl Fn() + Send + Sync + 'static) {
    Runner::new(RandomScheduler::new_from_seed(1, 1), config()).run(what);
}

/// A number below `bound` that belongs to the schedule.
pub fn below(bound: usize) -> usize {
    shuttle::rand::thread_rng().gen_range(0..bound)
}

/// Runs a test in many schedules.
pub fn explore(name: &str, test: impl Fn() + Send + Sync + 'static) {
    if let Ok(schedule) = std::env::var("CAIRN_SCHEDULE") {
        // Of one test: name it, too.
        return shuttle::replay_from_file(test, schedule);
    }
    let number = |name: &str, default| {
        let text = std::env::var(name).ok();
        text.map_or(default, |text| text.parse().expect("a number"))
    };
    let seed = number("CAIRN_SEED", 1);
    let schedules = number("CAIRN_SCHEDULES", SCHEDULES as u64);
    let half = usize::try_from(schedules / 2).expect("a count");
    let clock = OsClock::new();
    let test = Arc::new(test);
    let run = |scheduler: Box<dyn Scheduler + Send>| {
        let test = Arc::clone(&test);
        Runner::new(scheduler, config()).run(move || test())
    };
    let about = About { name, seed };
    let pct = PctScheduler::new_from_seed(seed, CHANGES, half);
    let random = RandomScheduler::new_from_seed(seed, half);
    let ran = run(Box::new(pct)) + run(Box::new(random));
    drop(about);
    println!(
        "interleavings of {name}: {ran} schedules of seed {seed} in {:.1} s",
        clock.now().as_secs_f64()
    );
}

struct About<'a> {
    name: &'a str,
    seed: u64,
}

impl Drop for About<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { name, seed } = self;
            eprintln!("that was {name}, CAIRN_SEED={seed}");
        }
    }
}

/// An environment on a simulated disk whose threads are the scheduler's.
#[derive(Clone)]
pub struct Machine {
    pub env: Env,
    lanes: Arc<Lanes>,
}

impl Machine {
    pub fn on(disk: &SimDisk) -> Self {
        // Another one after each restart: names of files are drawn.
        let seed = below(usize::MAX) as u64;
        let lanes = Arc::new(Lanes::new());
        let faults = Faults::default();
        faults.observe(|_| step());
        let env = Env {
            clock: Arc::new(SteppedClock(SimClock::new())),
            threads: Arc::clone(&lanes) as Arc<dyn Threads>,
            faults,
            ..sim_env_seeded(disk, seed)
        };
        Self { env, lanes }
    }

    /// Waits until no task is left.
    pub fn rest(&self) {
        let mut lanes = self.lanes.state.lock();
        while lanes.iter().any(|lane| lane.workers > 0) {
            self.lanes.changed.wait(&mut lanes);
        }
    }
}

/// Virtual time; who sleeps lets others go on.
struct SteppedClock(SimClock);

impl Clock for SteppedClock {
    fn now(&self) -> Duration {
        self.0.now()
    }

    fn unix_ms(&self) -> u64 {
        self.0.unix_ms()
    }

    fn sleep(&self, duration: Duration) {
        self.0.sleep(duration);
        step();
    }
}

/// One worker for each lane, as few as the operating system's threads may have: a task that waits
/// for another one of its lane waits for ever, and is found.
struct Lanes {
    state: Arc<Mutex<[LaneState; 5]>>,
    changed: Arc<Condvar>,
}

#[derive(Default)]
struct LaneState {
    queue: VecDeque<Task>,
    workers: usize,
}

impl Lanes {
    fn new() -> Self {
        Self {
            state: Arc::default(),
            changed: Arc::default(),
        }
    }
}

impl Threads for Lanes {
    fn spawn(&self, lane: Lane, task: Task) {
        let lane = lane as usize;
        {
            let mut state = self.state.lock();
            state[lane].queue.push_back(task);
            if state[lane].workers > 0 {
                return;
            }
            state[lane].workers += 1;
        }
        let (state, changed) = (Arc::clone(&self.state), Arc::clone(&self.changed));
        shuttle::thread::spawn(move || {
            loop {
                let task = {
                    let mut state = state.lock();
                    let task = state[lane].queue.pop_front();
                    state[lane].workers -= usize::from(task.is_none());
                    task
                };
                match task {
                    Some(task) => task(),
                    None => return changed.notify_all(),
                }
            }
        });
    }

    fn parallelism(&self) -> usize {
        1
    }

    fn run(&self, workers: usize, work: &(dyn Fn(usize) + Sync)) {
        (0..workers).for_each(work);
    }
}
