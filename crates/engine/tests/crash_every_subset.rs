//! Short lives, looked at completely: whatever subset of the unsynced operations arrives, every
//! promise holds.
//!
//! Random images find what is likely; here nothing is left to luck. A small database is opened and
//! one, two or three things are done to it. Behind each operation of the disk every way to keep or
//! lose the undecided operations before it is tried (up to eleven of them; of more, the
//! youngest eleven with the older ones all kept and all lost), and then every write torn in typical
//! ways.
//!
//! `CAIRN_EVERY_SUBSET_STEPS` makes the lives longer.

#[path = "common/crash/mod.rs"]
mod crash;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use cairn_engine::Durability;
use cairn_testkit::SimDisk;
use crash::check;
use crash::data::{self, Planned};
use crash::lanes::Machine;
use crash::model::{Loss, World};
use crash::run::{Run, Shared};

/// Undecided operations of which every subset is tried.
const WIDTH: usize = 11;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Action {
    Put(Durability),
    Remove(Durability),
    Commit,
    Compact,
    Create,
    Drop,
    Rename,
}

const ALL: [Action; 10] = [
    Action::Put(Durability::Sync),
    Action::Put(Durability::Os),
    Action::Put(Durability::Memory),
    Action::Remove(Durability::Sync),
    Action::Remove(Durability::Os),
    Action::Compact,
    Action::Commit,
    Action::Create,
    Action::Drop,
    Action::Rename,
];

/// Those of which three in a row are tried.
const CORE: [Action; 4] = [
    Action::Put(Durability::Sync),
    Action::Put(Durability::Memory),
    Action::Remove(Durability::Os),
    Action::Compact,
];

#[derive(Default)]
struct Counts {
    lives: AtomicU64,
    points: AtomicU64,
    complete: AtomicU64,
    images: AtomicU64,
    subsets: AtomicU64,
    covered: AtomicU64,
    torn: AtomicU64,
    /// Some thread found something wrong.
    failed: AtomicBool,
}

/// A database with two collections, one of them with a segment.
fn base() -> SimDisk {
    let mut run = Run::new(0);
    run.create();
    run.create();
    for id in [0, 1] {
        let keys: [u64; 3] = [0, 1, 2];
        let planned = Planned::upsert(&mut run.rng, &data::schema(id), &keys, Durability::Sync);
        run.write(id, planned);
    }
    run.compact_quietly(0);
    let shared = Arc::clone(&run.shared);
    drop(run);
    shared.disk.kill_image(shared.disk.op_count())
}

fn open(disk: &SimDisk, world: World) -> Run {
    // Another seed than the base's: a process draws new numbers when it starts again.
    Run::open(disk, Machine::on(disk, 3), 3, world, false).expect("a database in good order")
}

/// What is known of the base, the same for every life.
fn known(base: &SimDisk) -> World {
    let disk = base.kill_image(base.op_count());
    let database = cairn_engine::Database::open(
        Machine::on(&disk, 7).env,
        std::path::Path::new(crash::run::DIR),
        crash::run::options(0),
    );
    check::trusted(&database.expect("a database in good order"))
}

fn act(run: &mut Run, action: Action, step: usize) {
    let step = step as u64;
    match action {
        Action::Put(durability) => {
            // One that is there, one that is not, and one that the step before put.
            let keys = [step, 4 + step, 3 + step];
            let planned = Planned::upsert(&mut run.rng, &data::schema(0), &keys, durability);
            run.write(0, planned);
        }
        Action::Remove(durability) => {
            let planned = Planned::delete(&data::schema(0), &[1, 3 + step], durability);
            run.write(0, planned);
        }
        Action::Commit => run.commit_quietly(0),
        Action::Compact => run.compact_quietly(0),
        Action::Create => run.create(),
        Action::Drop => run.drop_named("beta"),
        Action::Rename => run.rename_to("beta", "beta-too"),
    }
}

/// One life: checks every image of the moments of its last action, as those before are the last
/// ones of a shorter life.
fn live(base: &SimDisk, actions: &[Action], counts: &Counts) {
    let disk = base.kill_image(base.op_count());
    let mut run = open(&disk, known(base));
    let mut from = 0;
    for (step, &action) in actions.iter().enumerate() {
        if step > 0 {
            from = disk.op_count() + 1;
        }
        // What it drops or renames must still be there under its name.
        let gone = [Action::Drop, Action::Rename];
        if gone.contains(&action) && actions[..step].iter().any(|past| gone.contains(past)) {
            return;
        }
        act(&mut run, action, step);
    }
    run.compare();
    let to = disk.op_count();
    let shared: Arc<Shared> = Arc::clone(&run.shared);
    drop(run);
    let world = shared.world.lock();
    counts.lives.fetch_add(1, Ordering::Relaxed);
    for at in from..=to {
        let mut images = disk.enumerate_images(at, WIDTH);
        for image in &mut images {
            if counts.failed.load(Ordering::Relaxed) {
                return;
            }
            let found = check::after_crash(&image.disk, 9, &world, at, Loss::Power);
            if let Err(wrong) = found {
                panic!("{actions:?} at={at}: {wrong}\n{image}");
            }
            counts.images.fetch_add(1, Ordering::Relaxed);
        }
        let coverage = images.coverage();
        let few = |count: u128| u64::try_from(count).unwrap_or(u64::MAX);
        counts.points.fetch_add(1, Ordering::Relaxed);
        let complete = u64::from(coverage.covered == coverage.subsets);
        counts.complete.fetch_add(complete, Ordering::Relaxed);
        counts.torn.fetch_add(coverage.torn, Ordering::Relaxed);
        counts
            .subsets
            .fetch_add(few(coverage.subsets), Ordering::Relaxed);
        counts
            .covered
            .fetch_add(few(coverage.covered), Ordering::Relaxed);
    }
}

/// All sequences of up to `steps` actions.
fn sequences(alphabet: &[Action], steps: usize) -> Vec<Vec<Action>> {
    let mut all: Vec<Vec<Action>> = vec![Vec::new()];
    let mut longest = all.clone();
    for _ in 0..steps {
        longest = longest
            .iter()
            .flat_map(|before| {
                alphabet.iter().map(|&action| {
                    let mut next = before.clone();
                    next.push(action);
                    next
                })
            })
            .collect();
        all.extend(longest.iter().cloned());
    }
    all.remove(0);
    all
}

#[test]
fn every_subset_of_what_was_not_synced_leaves_what_was_promised() {
    // The suite that runs with fail points is the one that counts; the plain one looks in.
    let longer = crash::number("CAIRN_EVERY_SUBSET_STEPS", 2);
    let steps = if cfg!(feature = "failpoints") {
        usize::try_from(longer).expect("a small number")
    } else {
        1
    };
    let mut lives = sequences(&ALL, steps);
    if steps == 2 {
        lives.extend(
            sequences(&CORE, 3)
                .into_iter()
                .filter(|life| life.len() == 3),
        );
    }
    let (base, counts, next) = (base(), Counts::default(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let _alarm = crash::Alarm(&counts.failed);
                while let Some(life) = lives.get(next.fetch_add(1, Ordering::Relaxed)) {
                    live(&base, life, &counts);
                }
            });
        }
    });
    let show = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "every subset: {} lives, {} of {} crash points completely, covered {}/{} subsets, \
         {} torn variants, {} images",
        show(&counts.lives),
        show(&counts.complete),
        show(&counts.points),
        show(&counts.covered),
        show(&counts.subsets),
        show(&counts.torn),
        show(&counts.images)
    );
}

#[test]
fn encrypted_databases_keep_the_same_promises() {
    let tests = ["every_subset_of_what_was_not_synced_leaves_what_was_promised"];
    crash::sealed::run_again(&tests, &[("CAIRN_EVERY_SUBSET_STEPS", "1")]);
}
