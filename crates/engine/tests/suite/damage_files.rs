//! Any file of a database may rot, shrink or vanish; nobody is ever told anything wrong.
//!
//! A small database is at rest after a crash: two collections, segments, deletion files, a log of
//! several files, one of them recycled. One bit is turned around, everywhere in turn: every bit of
//! small files and of headers and footers, and bits spread over all the rest. Each file is cut at
//! 0, 1, half and all but one byte, and removed. Then everything is read. It is exactly what was
//! written, or an error of the public table names the file. A damaged collection leaves the others
//! of its database usable. A log that was cut is as if the last writes had not happened; files
//! that are not ours are left alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cairn_engine::{Code, Database, Durability, Error, Fact};
use cairn_env::Disk;
use cairn_testkit::{Rng, SimDisk, seed_from_env};

use crate::crash;
use crash::check;
use crash::data::{self, Planned, State};
use crash::lanes::Machine;
use crash::run::{DIR, Run, options};
use parking_lot::Mutex;

/// What a collection held at each of its versions.
type History = BTreeMap<u64, State>;

/// A database at rest, and what is in it.
struct Rest {
    disk: SimDisk,
    /// By name.
    history: BTreeMap<String, History>,
    /// The newest version that may be missing because nobody was promised it would stay.
    unsynced: Option<u64>,
}

impl Rest {
    /// `last`: the durability of the last write to `alpha`.
    fn new(last: Durability) -> Self {
        // A large log, so that it does not end, and so get synced, behind the last write.
        let seed = if last == Durability::Sync { 0 } else { 2 };
        let mut run = Run::new(seed);
        let mut history: BTreeMap<String, History> = BTreeMap::new();
        run.create();
        run.create();
        let names = ["alpha", "beta"];
        let mut put = |run: &mut Run, id: usize, keys: &[u64], durability| {
            let planned = Planned::upsert(&mut run.rng, &data::schema(id), keys, durability);
            run.write(id, planned);
            note(run, &mut history, names[id], id);
        };
        // Flushes that leave a spare log file, segments with deletions, and no merge.
        for round in 0..3 {
            put(
                &mut run,
                0,
                &[round, round + 1, round + 2, 12],
                Durability::Sync,
            );
            put(&mut run, 1, &[round, 7], Durability::Sync);
            run.flush(0);
            run.flush(1);
        }
        // A recycled log that holds several frames, then one more file behind it.
        run.machine.lanes.defer(true);
        for keys in [[0, 9], [4, 5], [6, 7], [8, 9], [10, 11]] {
            put(&mut run, 0, &keys, Durability::Sync);
            put(&mut run, 1, &keys, Durability::Sync);
        }
        put(&mut run, 0, &[1, 2], last);
        let unsynced =
            (last != Durability::Sync).then(|| run.shared.world.lock().collections[0].version());
        let disk = run.shared.disk.kill_image(run.ops());
        Self {
            disk,
            history,
            unsynced,
        }
    }

    /// The disk anew.
    fn copy(&self) -> SimDisk {
        self.disk.kill_image(self.disk.op_count())
    }
}

fn note(run: &Run, history: &mut BTreeMap<String, History>, name: &str, id: usize) {
    let world = run.shared.world.lock();
    let model = &world.collections[id];
    let states = history.entry(name.to_owned()).or_default();
    states.insert(model.version(), model.live.clone());
}

/// What reading a damaged database came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Exact,
    Refused,
    Shorter,
}

/// What may happen beside the exact data and a refusal.
#[derive(Clone, Copy, PartialEq)]
enum Tolerance {
    None,
    /// The file is gone: the error may name what refers to it.
    Gone,
    /// The end of a log is gone.
    Cut,
}

/// Opens the database on `disk`, on which `path` is damaged, and reads everything.
fn read(rest: &Rest, disk: &SimDisk, path: &str, tolerance: Tolerance) -> Result<Outcome, String> {
    let opened = Database::open(Machine::on(disk, 41).env, Path::new(DIR), options(0));
    let database = match opened {
        Ok(database) => database,
        Err(error) if path.contains("/collections/") => {
            return Err(format!("one collection closes the database: {error}"));
        }
        Err(error) => return refused(&error, path, tolerance),
    };
    let mut outcome = Outcome::Exact;
    for (name, history) in &rest.history {
        let read = database
            .open_collection(name)
            .and_then(|collection| check::read(&collection));
        let hit = path.contains(&format!("/{}/", dir_of(name)));
        let (newest, whole) = history.last_key_value().expect("it was written to");
        match read {
            Ok((state, version)) if version == *newest && state == *whole => {}
            Ok((state, version)) => {
                let torn = rest.unsynced.is_some() && version < *newest;
                if !hit || !(torn || tolerance == Tolerance::Cut) {
                    return Err(format!("{name} answers wrongly at version {version}"));
                }
                if history.get(&version) != Some(&state) {
                    return Err(format!("{name} is not what it was at version {version}"));
                }
                outcome = Outcome::Shorter;
            }
            Err(error) if hit => outcome = refused(&error, path, tolerance)?,
            Err(error) => return Err(format!("{name} was not damaged: {error}")),
        }
        if !hit {
            write_to(&database, name)?;
        }
    }
    Ok(outcome)
}

fn refused(error: &Error, path: &str, tolerance: Tolerance) -> Result<Outcome, String> {
    if !matches!(error.code(), Code::Corrupt | Code::UnsupportedFormat) {
        return Err(format!("answers {:?}: {error}", error.code()));
    }
    let named = error.details().iter().find_map(|(name, fact)| match fact {
        Fact::Text(text) if *name == "file" => Some(text.as_str()),
        _ => None,
    });
    let same_dir = |named: &str| Path::new(named).parent() == Path::new(path).parent();
    match named {
        Some(named) if named == path => Ok(Outcome::Refused),
        // A whole frame that cannot be understood is one of the log, not of one of its files.
        Some(named) if kind(path) == "log" && Path::new(path).starts_with(named) => {
            Ok(Outcome::Refused)
        }
        Some(named) if tolerance == Tolerance::Gone && same_dir(named) => Ok(Outcome::Refused),
        named => Err(format!("the error names {named:?}: {error}")),
    }
}

/// A collection beside a damaged one goes on.
fn write_to(database: &Arc<Database>, name: &str) -> Result<(), String> {
    let collection = database.open_collection(name).map_err(|e| e.to_string())?;
    let planned = Planned::upsert(
        &mut Rng::new(3),
        collection.schema(),
        &[0],
        Durability::Sync,
    );
    let batch = planned.batch(collection.schema());
    let written = collection.write(batch, planned.options());
    written.map(drop).map_err(|e| format!("{name}: {e}"))
}

/// Ids count from 1.
fn dir_of(name: &str) -> &'static str {
    match name {
        "alpha" => "0000000000000001",
        _ => "0000000000000002",
    }
}

/// What kind of file a path names, to be counted.
fn kind(path: &str) -> &'static str {
    let kinds = [
        ("/keys/set/", "keys"),
        ("/catalog/", "catalog"),
        ("/manifest/", "manifest"),
        ("/wal/", "log"),
        ("/seg/", "segment"),
        ("/del/", "deletions"),
        ("/LOCK", "lock"),
        ("/CURRENT", "pointer"),
    ];
    let found = kinds.iter().find(|(part, _)| path.contains(part));
    found.map_or("other", |(_, kind)| kind)
}

/// Bits to turn around in a file: all of the header and the footer, and of a small file if `every`
/// bit is wanted; else one in every 24 bytes where there is something, and one in every sector
/// where there are zeros.
fn bits(bytes: &[u8], every: bool, rng: &mut Rng) -> Vec<(u64, u8)> {
    let used = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |at| at + 1);
    let mut bits = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let small = every && bytes.len() <= 512;
        let edge = small || at < 64 || (used == bytes.len() && at + 192 >= used);
        if edge {
            bits.extend((0..8).map(|bit| (at as u64, bit)));
            at += 1;
            continue;
        }
        let step = if at < used { 24 } else { 512 };
        let offset = at + rng.range(0..step).min(bytes.len() - 1 - at);
        let bit = u8::try_from(rng.below(8)).expect("a bit");
        bits.push((offset as u64, bit));
        at += step;
    }
    bits
}

/// The suite that runs with fail points is the one that counts; the plain one looks in.
fn stride() -> usize {
    if cfg!(feature = "failpoints") && !crash::sealed::is_on() {
        1
    } else {
        13
    }
}

type Table = BTreeMap<(&'static str, Outcome), u64>;

fn print(title: &str, table: &Table) {
    println!("{title}:");
    for ((kind, outcome), count) in table {
        println!(
            "  {kind:10} {outcome:8} {count:6}",
            outcome = format!("{outcome:?}")
        );
    }
}

/// Turns bits around one at a time and reads; several threads, file by file.
fn flip_everywhere(rest: &Rest, seed: u64) -> Table {
    let (table, next) = (Mutex::new(Table::new()), AtomicUsize::new(0));
    let (paths, failed) = (rest.disk.paths(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let _alarm = crash::Alarm(&failed);
                while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let bytes = rest.disk.read_all(path).expect("a listed file");
                    let first = paths.iter().find(|other| kind(other) == kind(path));
                    let every = first == Some(path);
                    let bits = bits(&bytes, every, &mut Rng::new(seed));
                    for (byte, bit) in bits.into_iter().step_by(stride()) {
                        if failed.load(Ordering::Relaxed) {
                            return;
                        }
                        let disk = rest.copy();
                        disk.flip_bit(path, byte, bit).expect("a bit of the file");
                        let outcome = read(rest, &disk, path, Tolerance::None);
                        let outcome = outcome.unwrap_or_else(|wrong| {
                            panic!("CAIRN_SEED={seed} {path} byte={byte} bit={bit}: {wrong}")
                        });
                        *table.lock().entry((kind(path), outcome)).or_default() += 1;
                    }
                }
            });
        }
    });
    table.into_inner()
}

#[test]
fn no_bit_anywhere_can_turn_around_unnoticed() {
    let seed = seed_from_env("CAIRN_SEED", 1);
    let table = flip_everywhere(&Rest::new(Durability::Sync), seed);
    print("one bit turned around", &table);
    for kind in [
        "catalog",
        "manifest",
        "log",
        "segment",
        "deletions",
        "pointer",
    ] {
        assert!(
            table.contains_key(&(kind, Outcome::Refused)),
            "damage of a {kind} is seen"
        );
        // What was synced is there or missed, never cut off without a word.
        assert!(!table.contains_key(&(kind, Outcome::Shorter)), "{kind}");
    }
}

/// The last write was handed to the kernel and not synced: nothing behind it proves that it was
/// ever whole. Damaged, it may be missing, but it must not be another.
#[test]
fn a_damaged_last_write_is_missing_or_exact() {
    let seed = seed_from_env("CAIRN_SEED", 1);
    let rest = Rest::new(Durability::Os);
    let paths = rest.disk.paths();
    let log = paths
        .iter()
        .rfind(|path| path.contains(&format!("{}/wal/0", dir_of("alpha"))));
    let log = log.expect("a log").clone();
    let bytes = rest.disk.read_all(&log).expect("a listed file");
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
    let mut table = Table::new();
    // The last frame and what stands before it.
    for byte in used.saturating_sub(600) as u64..=used as u64 {
        for bit in 0..8 {
            let disk = rest.copy();
            disk.flip_bit(&log, byte, bit).expect("a bit of the file");
            let outcome = read(&rest, &disk, &log, Tolerance::None);
            let outcome = outcome.unwrap_or_else(|wrong| {
                panic!("CAIRN_SEED={seed} {log} byte={byte} bit={bit}: {wrong}")
            });
            *table.entry(("log", outcome)).or_default() += 1;
        }
    }
    print("one bit of a log whose last write was not synced", &table);
    assert!(table.contains_key(&("log", Outcome::Shorter)));
}

#[test]
fn files_that_were_cut_or_removed_are_missed() {
    let rest = Rest::new(Durability::Sync);
    let mut table = Table::new();
    for path in rest.disk.paths() {
        let length = rest.disk.read_all(&path).expect("a listed file").len() as u64;
        let newest_log = |path: &str| {
            let same = |other: &String| Path::new(other).parent() == Path::new(path).parent();
            kind(path) == "log" && rest.disk.paths().iter().rfind(|p| same(p)) == Some(&path.into())
        };
        let tolerance = if newest_log(&path) {
            Tolerance::Cut
        } else {
            Tolerance::None
        };
        let mut cuts = vec![0, 1, length / 2, length.saturating_sub(1)];
        if kind(&path) == "log" {
            // Every byte of header and frames.
            cuts.extend(0..length.min(1_800));
        }
        for cut in cuts.into_iter().filter(|cut| *cut < length) {
            let disk = rest.copy();
            disk.truncate(&path, cut).expect("a listed file");
            let outcome = read(&rest, &disk, &path, tolerance);
            let outcome = outcome.unwrap_or_else(|wrong| panic!("{path} cut to {cut}: {wrong}"));
            *table.entry((kind(&path), outcome)).or_default() += 1;
        }
        let disk = rest.copy();
        disk.remove_file(Path::new(&path)).expect("a listed file");
        // The newest file of a log leaves no trace elsewhere: a log that was never begun looks
        // the same.
        let tolerance = if tolerance == Tolerance::Cut {
            tolerance
        } else {
            Tolerance::Gone
        };
        let outcome = read(&rest, &disk, &path, tolerance);
        let outcome = outcome.unwrap_or_else(|wrong| panic!("{path} removed: {wrong}"));
        *table.entry((kind(&path), outcome)).or_default() += 1;
    }
    print("cut or removed", &table);
}

/// A database whose list of collections is gone is damaged, not new.
#[test]
fn a_lost_pointer_is_never_taken_for_a_new_database() {
    let rest = Rest::new(Durability::Sync);
    let disk = rest.copy();
    for path in disk.paths() {
        if path.starts_with(&format!("{DIR}/CURRENT")) || path.contains("/catalog/") {
            disk.remove_file(Path::new(&path)).expect("a listed file");
        }
    }
    let before = disk.paths().len();
    let opened = Database::open(Machine::on(&disk, 41).env, Path::new(DIR), options(0));
    let error = opened.err().expect("not a new database");
    assert_eq!(error.code(), Code::Corrupt, "{error}");
    assert!(disk.paths().len() + 1 >= before, "nothing was removed");
}

#[test]
fn files_that_are_not_ours_are_left_alone() {
    let rest = Rest::new(Durability::Sync);
    let disk = rest.copy();
    let root = format!("{DIR}/collections/{}", dir_of("alpha"));
    let mut strangers = Vec::new();
    for dir in [
        DIR,
        &format!("{DIR}/catalog"),
        &format!("{DIR}/collections"),
        &root,
    ] {
        for name in ["notes.txt", ".hidden", "CURRENT.bak", "1.man", "0000"] {
            strangers.push(format!("{dir}/{name}"));
        }
    }
    for dir in ["wal", "seg", "del", "manifest"] {
        for name in ["notes.txt", "x.wal", "00000000000000000001.wal.old"] {
            strangers.push(format!("{root}/{dir}/{name}"));
        }
    }
    for path in &strangers {
        disk.put(path, b"not ours")
            .expect("a directory that is there");
    }
    let other = Path::new(DIR).join("collections/backup");
    disk.create_dir(&other).expect("a new directory");
    disk.put(other.join("kept"), b"not ours")
        .expect("a new file");
    let outcome = read(&rest, &disk, "nothing", Tolerance::None);
    assert_eq!(outcome, Ok(Outcome::Exact));
    for path in &strangers {
        assert_eq!(
            disk.read_all(path).ok().as_deref(),
            Some(&b"not ours"[..]),
            "{path}"
        );
    }
    assert!(
        disk.read_all(other.join("kept")).is_ok(),
        "a directory that is not ours"
    );
}

#[test]
fn encrypted_databases_keep_the_same_promises() {
    let tests = [
        "no_bit_anywhere_can_turn_around_unnoticed",
        "a_damaged_last_write_is_missing_or_exact",
        "files_that_were_cut_or_removed_are_missed",
        "a_lost_pointer_is_never_taken_for_a_new_database",
        "files_that_are_not_ours_are_left_alone",
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
