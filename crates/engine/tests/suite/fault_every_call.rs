//! Every single call to the disk fails once, and a full disk fills at every size; what was
//! acknowledged stays readable, and is there when the database is opened again.
//!
//! For each call of a workload, in turn: the call fails (an I/O error, no space, or half a write).
//! The engine must not panic. The caller hears a code from the public table: refused, or outcome
//! unknown. Reads go on and answer exactly what was acknowledged. Once a log's sync has failed it
//! is never tried again: that collection takes no more writes. Then the database is opened anew,
//! by another process and after a power loss, and everything acknowledged is there.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_engine::{Code, Durability};
use cairn_testkit::{Choice, InjectedError, Rng, SimDisk, seed_from_env};

use crate::crash;
use crash::check;
use crash::data::{self, Planned};
use crash::lanes::Machine;
use crash::model::{Loss, Names, World};
use crash::run::{Run, Shared, is_of_the_disk};

const STEPS: usize = if cfg!(feature = "failpoints") { 60 } else { 8 };
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// What the suites saw, to be printed.
#[derive(Default)]
struct Seen {
    calls: u64,
    codes: BTreeMap<&'static str, u64>,
    refused_after_sync: u64,
    images: u64,
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} calls failed, {} closed by a failed sync, {} images, answers {:?}",
            self.calls, self.refused_after_sync, self.images, self.codes
        )
    }
}

/// Fails call after call of one workload until one runs through without.
fn every_call(name: &str, arm: impl Fn(&SimDisk, u64), count: impl Fn(&SimDisk) -> u64) {
    let seed = seed_from_env("CAIRN_SEED", 21);
    let mut seen = Seen::default();
    for call in 1.. {
        let disk = SimDisk::new();
        arm(&disk, call);
        let what = format!("CAIRN_SEED={seed} {name} of call {call}");
        if one_failure(&disk, seed, &count, &mut seen, &what) < call {
            assert!(call > 20, "a workload makes more calls than that");
            break;
        }
        seen.calls += 1;
    }
    println!("{name}: {seen}");
}

/// Runs the workload; returns how many calls it made.
fn one_failure(
    disk: &SimDisk,
    seed: u64,
    count: &impl Fn(&SimDisk) -> u64,
    seen: &mut Seen,
    what: &str,
) -> u64 {
    let _about = crash::About(what);
    let calls;
    let world = World::new(Vec::new(), Names::new());
    let machine = Machine::on(disk, seed);
    let shared = match Run::open(disk, machine, seed, world, true) {
        Ok(mut run) => {
            run.steps(if crash::sealed::is_on() {
                STEPS.min(20)
            } else {
                STEPS
            });
            run.machine.lanes.drain();
            calls = count(disk);
            // What has not struck by now is not to strike while we look.
            disk.clear_faults();
            for error in run.shared.failures.lock().iter() {
                *seen.codes.entry(error.code().as_str()).or_default() += 1;
            }
            if !run.closed {
                read_in_place(&run, what);
                write_on(&mut run, disk, seen, what);
                read_in_place(&run, what);
            }
            Arc::clone(&run.shared)
        }
        Err(error) => {
            calls = count(disk);
            assert!(is_of_the_disk(&error), "{what}: {error}");
            *seen.codes.entry(error.code().as_str()).or_default() += 1;
            Shared::new(disk, World::new(Vec::new(), Names::new()), true)
        }
    };
    let at = disk.op_count();
    let world = shared.world.lock();
    let mut rng = Rng::new(at as u64);
    let power = [Choice::lose_all(), Choice::seeded(rng.next_u64())];
    for mut choice in power {
        let image = disk.crash_point(at).recorded_image(&mut choice);
        if let Err(wrong) = check::after_crash(&image.disk, 77, &world, at, Loss::Power) {
            panic!("{what}, then power lost: {wrong}\n{image}");
        }
        seen.images += 1;
    }
    let found = check::after_crash(disk, 77, &world, at, Loss::Process);
    let found = found.unwrap_or_else(|wrong| panic!("{what}, opened again: {wrong}"));
    let shared = Shared::new(disk, found.world, false);
    Run::with(shared, found.machine, found.database, 77).steps(1);
    calls
}

/// What can be read is exactly what was acknowledged.
fn read_in_place(run: &Run, what: &str) {
    let world = run.shared.world.lock();
    let listed = run.database.collections();
    let listed = listed.unwrap_or_else(|error| panic!("{what}: {error}"));
    let names = world.names();
    assert!(
        names.keys().eq(listed.iter().map(|info| &info.name)),
        "{what}: {listed:?} is not {names:?}"
    );
    for (name, &id) in names {
        let collection = run.database.open_collection(name).expect("a listed one");
        let read = check::read(&collection);
        let (found, _) = read.unwrap_or_else(|error| panic!("{what}: {name}: {error}"));
        let live = &world.collections[id].live;
        let difference = crash::model::difference(live, &found);
        assert!(found == *live, "{what}: {name}: {difference}");
    }
}

/// One more write to each collection: taken, or refused because the log's end is in doubt.
fn write_on(run: &mut Run, disk: &SimDisk, seen: &mut Seen, what: &str) {
    run.machine.lanes.drain();
    let doubtful: Vec<String> = disk
        .trace()
        .into_iter()
        .filter(|line| line.contains("sync_data") && line.ends_with("Failed"))
        .collect();
    let names: Vec<(String, usize)> = {
        let world = run.shared.world.lock();
        let names = world.names().iter();
        names.map(|(name, id)| (name.clone(), *id)).collect()
    };
    for (name, id) in names {
        let opened = run.database.open_collection(&name);
        let collection = opened.expect("a listed one");
        let kind = run.shared.world.lock().collections[id].kind;
        let planned = Planned::upsert(&mut run.rng, &data::schema(kind), &[1, 2], Durability::Sync);
        let before = run.shared.failures.lock().len();
        crash::run::submit(&run.shared, &collection, id, planned, Vec::new());
        let failures = run.shared.failures.lock();
        let answer = failures[before..].first();
        let code = answer.map(cairn_engine::Error::code);
        assert!(
            matches!(code, None | Some(Code::Closed)),
            "{what}: a write after it answers {code:?}"
        );
        let stats = collection.stats().expect("an open collection");
        assert_eq!(stats.poisoned, code.is_some(), "{what}: statistics say so");
        // Ids count from 1.
        let log = format!("{:016x}/wal/", id + 1);
        if let Some(line) = doubtful.iter().find(|line| line.contains(&log)) {
            assert_eq!(
                code,
                Some(Code::Closed),
                "{what}: {line}, and {name} writes"
            );
            seen.refused_after_sync += 1;
        }
    }
    let wrong = run.shared.wrong.lock();
    assert!(wrong.is_empty(), "{what}: {wrong:?}");
}

#[test]
fn an_io_error_at_every_call() {
    every_call("EIO", |disk, call| disk.fail_nth(call, EIO), SimDisk::calls);
}

#[test]
fn no_space_at_every_call() {
    every_call(
        "ENOSPC",
        |disk, call| disk.fail_nth(call, ENOSPC),
        SimDisk::calls,
    );
}

#[test]
fn half_a_write_at_every_call() {
    every_call(
        "half a write",
        |disk, call| disk.fail_nth_torn(call, EIO),
        SimDisk::calls,
    );
}

#[test]
fn an_io_error_at_every_sync() {
    every_call(
        "EIO at syncs",
        |disk, sync| {
            disk.fail_sync_nth(sync, InjectedError::Os(EIO));
        },
        SimDisk::syncs,
    );
}

/// How a database did on a disk that filled up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fill {
    /// It never filled up.
    Fits,
    /// Writes were refused until there was room.
    Recovered,
    /// It was closed while the disk was full, and opened when there was room.
    Reopened,
}

/// A disk that fills up at every size refuses what does not fit, keeps what is there, and takes
/// writes again once there is room, without a restart.
#[test]
fn a_disk_that_fills_up_recovers_without_a_restart() {
    let seed = seed_from_env("CAIRN_SEED", 12);
    let sizes = if cfg!(feature = "failpoints") {
        160
    } else {
        20
    };
    let mut fills: BTreeMap<Fill, u64> = BTreeMap::new();
    for blocks in 0..sizes {
        let what = format!("CAIRN_SEED={seed} {blocks} blocks free");
        *fills.entry(fill(seed, blocks, &what)).or_default() += 1;
    }
    println!("full disk: {sizes} sizes, {fills:?}");
    assert!(fills[&Fill::Recovered] > sizes / 8, "the disk does fill up");
}

fn fill(seed: u64, blocks: u64, what: &str) -> Fill {
    let _about = crash::About(what);
    let mut run = Run::empty(seed, true);
    run.create();
    run.create();
    let disk = run.shared.disk.clone();
    disk.set_capacity(Some(disk.used_bytes() + blocks * 4096));
    for _ in 0..40 {
        run.step();
        if run.shared.failures.lock().len() > 3 {
            break;
        }
    }
    run.machine.lanes.drain();
    if run.closed {
        // What was in memory alone could not be kept.
        let shared = Arc::clone(&run.shared);
        drop(run);
        disk.set_capacity(None);
        let (world, at) = (shared.world.lock(), disk.op_count());
        let found = check::after_crash(&disk, 79, &world, at, Loss::Process);
        found.unwrap_or_else(|wrong| panic!("{what}, closed and opened: {wrong}"));
        return Fill::Reopened;
    }
    read_in_place(&run, what);
    let refused = std::mem::take(&mut *run.shared.failures.lock());
    for error in &refused {
        assert_eq!(error.code(), Code::NoSpace, "{what}: {error}");
    }
    disk.set_capacity(None);
    let committed = run.database.commit();
    assert!(committed.is_ok(), "{what}: {committed:?}");
    run.all_durable();
    run.steps(6);
    let failures = std::mem::take(&mut *run.shared.failures.lock());
    assert!(failures.is_empty(), "{what}, then room: {failures:?}");
    run.machine.lanes.drain();
    if let Err(orphans) = check::refuse_orphans(&disk, &run.database) {
        panic!("{what}, then room: {orphans}");
    }
    let shared = Arc::clone(&run.shared);
    drop(run);
    let (world, at) = (shared.world.lock(), disk.op_count());
    let image = disk.crash_image(at, &mut Choice::lose_all());
    if let Err(wrong) = check::after_crash(&image, 78, &world, at, Loss::Power) {
        panic!("{what}, then room, then power lost: {wrong}");
    }
    if refused.is_empty() {
        Fill::Fits
    } else {
        Fill::Recovered
    }
}

#[test]
fn encrypted_databases_keep_the_same_promises() {
    let tests = [
        "an_io_error_at_every_call",
        "no_space_at_every_call",
        "half_a_write_at_every_call",
        "an_io_error_at_every_sync",
        "a_disk_that_fills_up_recovers_without_a_restart",
    ];
    crash::sealed::run_again(module_path!(), &tests, &[]);
}

#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
#[test]
fn planted_bugs_are_found() {
    if std::env::var_os("CAIRN_BUG").is_none() {
        crash::planted::expect_all_found(module_path!());
    }
}
