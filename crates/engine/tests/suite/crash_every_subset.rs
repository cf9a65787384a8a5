//! Short lives, looked at completely: whatever subset of the unsynced operations arrives, every
//! promise holds.
//!
//! Random images find what is likely; here nothing is left to luck. A small database is opened and
//! one, two or three things are done to it, things of every kind. Behind each operation of the disk
//! every way to keep or lose the undecided operations before it is tried, and then every write torn
//! in typical ways.
//!
//! The rule is about moments with up to eight undecided operations, and there it has no exception.
//! Those with more are counted apart: up to eleven are tried completely as well in lives of one and
//! two things; of more, all subsets of the youngest with the older ones all kept and all lost, and
//! random ones.
//!
//! Lives of one and two things are all lived, of those of three a share, which `CAIRN_SEED` chooses.
//! `CAIRN_EVERY_SUBSET_SHARE=1` lives them all; `CAIRN_EVERY_SUBSET_STEPS=1` only the shortest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use cairn_engine::{Durability, WriteKind};
use cairn_testkit::{Coverage, Rng, SimDisk, seed_from_env};

use crate::crash;
use crash::check;
use crash::data::{self, Planned};
use crash::lanes::Machine;
use crash::model::{Loss, World};
use crash::run::{Run, Shared};
use parking_lot::Mutex;

/// Undecided operations up to which every subset must be tried.
const RULE: usize = 8;
/// And up to which it is, in lives of one and two things.
const WIDTH: usize = 11;
/// Random images of a moment with more.
const RANDOM: usize = 200;
/// One of so many lives of three things is lived, those of [`CORE`] not counted.
const SHARE: u64 = 40;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Action {
    Insert,
    Put(Durability),
    PutKeyed,
    Update,
    Remove(Durability),
    Flush,
    Commit,
    Compact,
    Create,
    Drop,
    Rename,
    /// A close, and the open that follows it.
    Reopen,
}

const ALL: [Action; 15] = [
    Action::Insert,
    Action::Put(Durability::Sync),
    Action::Put(Durability::Os),
    Action::Put(Durability::Memory),
    Action::PutKeyed,
    Action::Update,
    Action::Remove(Durability::Sync),
    Action::Remove(Durability::Os),
    Action::Flush,
    Action::Compact,
    Action::Commit,
    Action::Create,
    Action::Drop,
    Action::Rename,
    Action::Reopen,
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
    images: AtomicU64,
    torn: AtomicU64,
    /// Moments that the rule is about, and those with more undecided operations.
    ruled: Moments,
    wider: Moments,
    /// How many of the latter are of which action.
    wider_by: Mutex<BTreeMap<String, u64>>,
    /// Some thread found something wrong.
    failed: AtomicBool,
}

#[derive(Default)]
struct Moments {
    points: AtomicU64,
    complete: AtomicU64,
    subsets: AtomicU64,
    covered: AtomicU64,
    /// The most undecided operations of one.
    widest: AtomicU64,
}

impl Moments {
    fn add(&self, coverage: Coverage) {
        let few = |count: u128| u64::try_from(count).unwrap_or(u64::MAX);
        let complete = u64::from(coverage.covered == coverage.subsets);
        let (subsets, covered) = (few(coverage.subsets), few(coverage.covered));
        self.points.fetch_add(1, Ordering::Relaxed);
        self.complete.fetch_add(complete, Ordering::Relaxed);
        self.subsets.fetch_add(subsets, Ordering::Relaxed);
        self.covered.fetch_add(covered, Ordering::Relaxed);
        let undecided = coverage.undecided as u64;
        self.widest.fetch_max(undecided, Ordering::Relaxed);
    }
}

impl std::fmt::Display for Moments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        write!(
            f,
            "{} of {} moments completely, {} of {} subsets (at most {} undecided)",
            show(&self.complete),
            show(&self.points),
            show(&self.covered),
            show(&self.subsets),
            show(&self.widest)
        )
    }
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
    let schema = data::schema(0);
    match action {
        Action::Insert => {
            let durability = Durability::Sync;
            let mut planned = Planned::upsert(&mut run.rng, &schema, &[8 + step], durability);
            planned.kind = WriteKind::Add;
            run.write(0, planned);
        }
        Action::PutKeyed => {
            let keys = [step, 4 + step];
            let mut planned = Planned::upsert(&mut run.rng, &schema, &keys, Durability::Sync);
            planned.idempotency_key = Some(format!("write {step}"));
            run.write(0, planned);
        }
        Action::Update => {
            // One that is there, and one that may have been put before.
            let keys = [2, 3 + step];
            let mut planned = Planned::upsert(&mut run.rng, &schema, &keys, Durability::Sync);
            planned.kind = WriteKind::Update {
                replace_fields: false,
                skip_missing: true,
            };
            run.write(0, planned);
        }
        Action::Flush => run.flush(0),
        Action::Reopen => run.restart(),
        Action::Put(durability) => {
            // One that is there, one that is not, and one that the step before put.
            let keys = [step, 4 + step, 3 + step];
            let planned = Planned::upsert(&mut run.rng, &schema, &keys, durability);
            run.write(0, planned);
        }
        Action::Remove(durability) => {
            let planned = Planned::delete(&schema, &[1, 3 + step], durability);
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
    let action = actions.last().expect("a life of at least one thing");
    let width = if actions.len() < 3 { WIDTH } else { RULE };
    for at in from..=to {
        let mut images = disk.enumerate_images(at, width);
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
        counts.torn.fetch_add(coverage.torn, Ordering::Relaxed);
        let is_ruled = coverage.undecided <= RULE;
        let moments = if is_ruled {
            &counts.ruled
        } else {
            &counts.wider
        };
        moments.add(coverage);
        if !is_ruled {
            let name = format!("{action:?}");
            *counts.wider_by.lock().entry(name).or_default() += 1;
        }
        if coverage.covered == coverage.subsets {
            continue;
        }
        for image in disk.random_images(at, RANDOM, 5) {
            let found = check::after_crash(&image.disk, 9, &world, at, Loss::Power);
            if let Err(wrong) = found {
                panic!("{actions:?} at={at}: {wrong}\n{image}");
            }
            counts.images.fetch_add(1, Ordering::Relaxed);
        }
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
    let longer = crash::number("CAIRN_EVERY_SUBSET_STEPS", 3);
    let steps = if cfg!(feature = "failpoints") {
        usize::try_from(longer).expect("a small number")
    } else {
        1
    };
    let mut lives = sequences(&ALL, steps);
    if steps == 3 {
        let share = crash::number("CAIRN_EVERY_SUBSET_SHARE", SHARE);
        let mut rng = Rng::new(seed_from_env("CAIRN_SEED", 1));
        let is_core = |life: &[Action]| life.iter().all(|action| CORE.contains(action));
        lives.retain(|life| life.len() < 3 || is_core(life) || rng.below(share) == 0);
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
    crash::tell(format_args!(
        "every subset: {} lives, {} images, {} of them with a torn write",
        show(&counts.lives),
        show(&counts.images),
        show(&counts.torn),
    ));
    crash::tell(format_args!(
        "every subset, up to {RULE} undecided: {}",
        counts.ruled
    ));
    crash::tell(format_args!("every subset, with more: {}", counts.wider));
    println!(
        "every subset, with more, by action: {:?}",
        counts.wider_by.lock()
    );
    assert_eq!(show(&counts.ruled.covered), show(&counts.ruled.subsets));
    assert_eq!(show(&counts.ruled.complete), show(&counts.ruled.points));
}

#[test]
fn encrypted_databases_keep_the_same_promises() {
    let tests = ["every_subset_of_what_was_not_synced_leaves_what_was_promised"];
    crash::sealed::run_again(module_path!(), &tests, &[("CAIRN_EVERY_SUBSET_STEPS", "1")]);
}
