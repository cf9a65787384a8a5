//! Power is lost at every moment of a database's life, and nothing acknowledged is lost with it.
//!
//! A seeded workload runs on a disk that remembers which operation was synced when: writes of
//! every kind and durability, group commits, flushes, compactions, logs that are rotated and
//! recycled, collections that are created, renamed and dropped, restarts. Then the disk is asked,
//! behind every single operation, what a machine could have come back with: all lost that was not
//! synced, all kept, and any mixture, writes torn in sectors. Each such image is opened. There
//! must be every write acknowledged as synced before that moment, exactly; of each other batch all
//! rows or none, and none without the logged ones before it; nothing that was never written; and
//! counts, searches and statistics that agree. Some images are written to and crash again.
//!
//! `CAIRN_SEED` chooses the workloads, `CAIRN_CRASH_IMAGES` how many images; a failure prints the
//! seed of its workload and what the crash decided.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cairn_env::{Clock, OsClock};
use cairn_testkit::{Choice, CrashPoint, Rng, SimDisk, seed_from_env};

use crate::crash;
use crash::check;
use crash::killable::Killable;
use crash::lanes::Machine;
use crash::model::{Loss, World};
use crash::run::{Run, Shared};

/// The suite that runs with fail points is the one that counts; the plain one looks in.
const IMAGES: u64 = if cfg!(feature = "failpoints") {
    200_000
} else {
    2_000
};
/// And so many of encrypted databases.
const IMAGES_ENCRYPTED: &str = if cfg!(feature = "failpoints") {
    "15000"
} else {
    "1000"
};
/// Things a workload does.
const STEPS: usize = 40;
/// Crashes one after another.
const DEPTH_MAX: u64 = 10;

/// What a crash is drawn by.
#[derive(Clone, Copy, Debug)]
enum Draw {
    Kill,
    LoseAll,
    Seeded(u64),
}

impl Draw {
    fn choice(self) -> Choice {
        match self {
            Self::Kill => Choice::keep_all(),
            Self::LoseAll => Choice::lose_all(),
            Self::Seeded(seed) => Choice::seeded(seed),
        }
    }

    fn loss(self) -> Loss {
        match self {
            Self::Kill => Loss::Process,
            Self::LoseAll | Self::Seeded(_) => Loss::Power,
        }
    }
}

#[derive(Default)]
struct Counts {
    images: AtomicU64,
    written_to: AtomicU64,
    again: AtomicU64,
    deepest: AtomicU64,
    workloads: AtomicU64,
    operations: AtomicU64,
    /// Some thread found something wrong.
    failed: AtomicBool,
}

impl Counts {
    fn add(counter: &AtomicU64, count: u64) -> u64 {
        counter.fetch_add(count, Ordering::Relaxed)
    }

    fn is_enough(&self, images: u64) -> bool {
        self.images.load(Ordering::Relaxed) >= images || self.failed.load(Ordering::Relaxed)
    }
}

/// Opens one image of `point` and checks it; says where it came from when something is wrong.
fn check_image(
    point: &CrashPoint,
    draw: Draw,
    seed: u64,
    world: &World,
    what: &str,
) -> (SimDisk, check::Found) {
    let image = point.recorded_image(&mut draw.choice());
    match check::after_crash(&image.disk, seed, world, point.at(), draw.loss()) {
        Ok(found) => (image.disk, found),
        Err(wrong) => panic!("{what}, {draw:?}: {wrong}\n{image}"),
    }
}

/// A database that was found goes on.
fn go_on(disk: &SimDisk, found: check::Found, seed: u64) -> Run {
    let shared = Shared::new(disk, found.world, false);
    Run::with(shared, found.machine, found.database, seed)
}

/// Writes to an image, crashes, writes to what is found then, and so on.
fn crash_again(mut run: Run, rng: &mut Rng, counts: &Counts, what: &str) {
    for depth in 1..=rng.below(DEPTH_MAX) + 1 {
        run.steps(rng.range(0..5));
        // A half of the crashes come while the one before is being recovered from.
        let ops = run.ops();
        let at = rng.range(0..ops + 1);
        let draw = match rng.below(4) {
            0 => Draw::Kill,
            1 => Draw::LoseAll,
            _ => Draw::Seeded(rng.next_u64()),
        };
        let what = format!("{what}, crash {depth} after it");
        let world = run.shared.world.lock();
        let point = run.shared.disk.crash_point(at);
        let seed = rng.next_u64();
        let (disk, found) = check_image(&point, draw, seed, &world, &what);
        drop(world);
        Counts::add(&counts.images, 1);
        Counts::add(&counts.again, 1);
        counts.deepest.fetch_max(depth, Ordering::Relaxed);
        run = go_on(&disk, found, seed);
    }
}

/// One workload, and images behind each of its operations.
fn workload(seed: u64, counts: &Counts, images: u64) {
    let what = format!("the workload of CAIRN_SEED={seed}");
    let about = crash::About(&what);
    let mut run = Run::new(seed);
    run.steps(STEPS);
    drop(about);
    let shared = Arc::clone(&run.shared);
    drop(run);
    let (disk, world) = (&shared.disk, shared.world.lock());
    let mut rng = Rng::new(seed ^ 0x1a9e);
    Counts::add(&counts.workloads, 1);
    Counts::add(&counts.operations, disk.op_count() as u64);
    for at in 0..=disk.op_count() {
        if counts.is_enough(images) {
            return;
        }
        let point = disk.crash_point(at);
        let mut draws = vec![Draw::Seeded(rng.next_u64()), Draw::Seeded(rng.next_u64())];
        draws.push(if rng.chance(0.5) {
            Draw::Kill
        } else {
            Draw::LoseAll
        });
        for draw in draws {
            let what = format!("CAIRN_SEED={seed} at={at}");
            let opening = rng.next_u64();
            let (image, found) = check_image(&point, draw, opening, &world, &what);
            Counts::add(&counts.images, 1);
            match rng.below(32) {
                0 => crash_again(go_on(&image, found, opening), &mut rng, counts, &what),
                1..=8 => {
                    go_on(&image, found, opening).steps(2);
                    Counts::add(&counts.written_to, 1);
                }
                _ => {}
            }
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_wherever_power_is() {
    let first = seed_from_env("CAIRN_SEED", 1);
    let images = crash::number("CAIRN_CRASH_IMAGES", IMAGES);
    let (counts, next) = (Counts::default(), AtomicU64::new(first));
    let clock = OsClock::new();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let _alarm = crash::Alarm(&counts.failed);
                while !counts.is_enough(images) {
                    workload(next.fetch_add(1, Ordering::Relaxed), &counts, images);
                }
            });
        }
    });
    let spent = clock.now().max(Duration::from_millis(1)).as_secs_f64();
    let show = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    crash::tell(format_args!(
        "crash images: {} checked, {} written to, {} of them after another crash (up to {} deep), \
         {} workloads, {} operations, {:.0} images/s",
        show(&counts.images),
        show(&counts.written_to),
        show(&counts.again),
        show(&counts.deepest),
        show(&counts.workloads),
        show(&counts.operations),
        show(&counts.images) as f64 / spent
    ));
    assert!(show(&counts.images) >= images);
}

/// Processes that are killed, restarted, and then lose power in the default run.
const KILLS: u64 = if cfg!(feature = "failpoints") {
    400
} else {
    40
};

/// A process is killed at some operation; the next one finds what the kernel still holds, goes
/// on and acknowledges more. Then power is lost: what the first process left unsynced and the
/// second one built on must not pull anything down with it.
#[test]
fn a_killed_process_leaves_nothing_that_a_later_power_loss_could_take_back() {
    let first = seed_from_env("CAIRN_SEED", 1);
    let mut images = 0;
    for seed in first..first + 4 {
        let ops = {
            let mut run = Run::new(seed);
            run.steps(25);
            run.ops()
        };
        let mut rng = Rng::new(seed ^ 0x517);
        for _ in 0..KILLS / 4 {
            let last = rng.range(1..ops + 1);
            images += killed_then_power_lost(seed, last, &mut rng);
        }
    }
    println!("killed, restarted, then power lost: {images} images of {KILLS} restarts");
}

fn killed_then_power_lost(seed: u64, last: usize, rng: &mut Rng) -> u64 {
    let disk = SimDisk::new();
    let machine = Machine::new(&disk, Arc::new(Killable::new(&disk, last)), seed);
    let world = World::new(Vec::new(), Default::default());
    let world = match Run::open(&disk, machine, seed, world, true) {
        Ok(mut run) => {
            run.steps(25);
            let shared = Arc::clone(&run.shared);
            drop(run);
            std::mem::replace(
                &mut *shared.world.lock(),
                World::new(Vec::new(), Default::default()),
            )
        }
        Err(_) => World::new(Vec::new(), Default::default()),
    };
    let at = disk.op_count();
    let what = format!("CAIRN_SEED={seed} killed at={at}");
    let found = check::after_crash(&disk, seed ^ 1, &world, at, Loss::Process);
    let found = found.unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
    let opened = disk.op_count();
    let mut run = go_on(&disk, found, seed ^ 1);
    run.steps(3);
    let ended = run.ops();
    let shared = Arc::clone(&run.shared);
    drop(run);
    let known = shared.world.lock();
    for _ in 0..6 {
        let at = rng.range(opened..ended + 1);
        let draw = if rng.chance(0.4) {
            Draw::LoseAll
        } else {
            Draw::Seeded(rng.next_u64())
        };
        let point = disk.crash_point(at);
        check_image(
            &point,
            draw,
            rng.next_u64(),
            &known,
            &format!("{what}, power lost at={at}"),
        );
    }
    6
}

#[test]
fn encrypted_databases_keep_the_same_promises() {
    let tests = [
        "nothing_acknowledged_is_lost_wherever_power_is",
        "a_killed_process_leaves_nothing_that_a_later_power_loss_could_take_back",
    ];
    crash::sealed::run_again(
        module_path!(),
        &tests,
        &[("CAIRN_CRASH_IMAGES", IMAGES_ENCRYPTED)],
    );
}

#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
#[test]
fn planted_bugs_are_found() {
    if std::env::var_os("CAIRN_BUG").is_none() {
        crash::planted::expect_all_found(module_path!());
    }
}
