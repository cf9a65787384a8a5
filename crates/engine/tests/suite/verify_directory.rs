//! A check of a directory finds every damaged byte, tells all of it, and never writes.
//!
//! A database with files of every kind is at rest after a crash. One bit is turned around in each
//! sector of 512 bytes of each file. The check says so, every time; and whoever opens and reads the
//! database all the same is told, or reads what was written.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use cairn_engine::{
    Code, Database, Job, ProblemKind, Report, Unlocked, VerifyOptions, verify_directory,
};
use cairn_env::Disk;
use cairn_testkit::{Rng, SimDisk, seed_from_env};

use crate::crash;
use crate::rest;
use crash::lanes::Machine;
use parking_lot::Mutex;
use rest::{DIR, Rest, kind, options};

const SECTOR: usize = 512;

/// Set where a check must do without the key.
const KEYLESS: &str = "CAIRN_KEYLESS";

fn check(disk: &SimDisk) -> Report {
    let env = Machine::on(disk, 3).env;
    if std::env::var_os(KEYLESS).is_some() {
        let options = VerifyOptions::default();
        let report = verify_directory(&env, Path::new(DIR), &options, &Job::default());
        let report = report.expect("a check answers");
        assert_eq!(report.encryption, Unlocked::ChecksumsOnly);
        return report;
    }
    verify_directory(&env, Path::new(DIR), &rest::checks(), &Job::default())
        .expect("a check answers")
}

/// Everything in the database on `disk`, or the first refusal.
fn read_all(disk: &SimDisk) -> cairn_engine::Result<rest::Contents> {
    let machine = Machine::on(disk, 41);
    let database = Database::open(machine.env, Path::new(DIR), options())?;
    let mut contents = rest::Contents::new();
    for name in ["numbers", "words"] {
        contents.insert(name.into(), rest::read(&database.open_collection(name)?)?);
    }
    Ok(contents)
}

#[test]
fn an_undamaged_database_has_no_problems() {
    let rest = Rest::with_version();
    let before: Vec<_> = files(&rest.disk);
    let report = check(&rest.disk);
    assert_eq!(report.problems, []);
    assert!(report.is_ok());
    assert_eq!(files(&rest.disk), before, "a check writes nothing");
    let counted = before
        .iter()
        .filter(|(path, _)| !matches!(kind(path), "lock" | "leftover"));
    assert!(report.files >= counted.count() as u64, "{report:?}");
    for wanted in [
        "catalog",
        "manifest",
        "version",
        "log",
        "segment",
        "deletions",
        "outcomes",
        "pointer",
    ] {
        assert!(
            before.iter().any(|(path, _)| kind(path) == wanted),
            "{wanted}"
        );
    }
    for (path, bytes) in &before {
        println!("{path} {}", bytes.len());
    }
    let logs = before.iter().filter(|(path, _)| kind(path) == "log");
    assert!(logs.count() >= 3, "logs of several files");
    assert_eq!(read_all(&rest.disk).expect("undamaged"), rest.contents);
}

#[test]
fn what_versions_alone_hold_is_checked_as_well() {
    let rest = Rest::with_version();
    let clean = check(&rest.disk);
    assert_eq!(clean.problems, []);
    let machine = Machine::on(&rest.disk, 41);
    let database = Database::open(machine.env.clone(), Path::new(DIR), options()).unwrap();
    // Kept for the version: they are in no collection that is open.
    let listed: Vec<String> = ["words", "numbers"]
        .iter()
        .flat_map(|name| {
            database
                .open_collection(name)
                .unwrap()
                .stats()
                .unwrap()
                .segments
        })
        .map(|segment| segment.id)
        .collect();
    let held: Vec<_> = files(&rest.disk)
        .into_iter()
        .filter(|(path, _)| kind(path) == "segment")
        .filter(|(path, _)| !listed.iter().any(|id| path.contains(id.as_str())))
        .collect();
    assert!(
        held.len() >= 2,
        "a merged one and one of a dropped collection"
    );
    for (path, _) in &held {
        rest.disk.flip_bit(path, 66, 1).unwrap();
        let report = database.verify(&Job::default()).expect("a report");
        let told = report.problems.iter().any(|p| p.file == Path::new(path));
        assert!(told, "{path}: {:?}", report.problems);
        rest.disk.flip_bit(path, 66, 1).unwrap();
    }
    let (record, _) = files(&rest.disk)
        .into_iter()
        .find(|(path, _)| kind(path) == "version")
        .expect("a record");
    rest.disk.flip_bit(&record, 60, 1).unwrap();
    let report = database.verify(&Job::default()).expect("a report");
    assert!(report.problems.iter().any(|p| p.file == Path::new(&record)));
}

fn files(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let read = |path: String| {
        let bytes = disk.read_all(&path).expect("a listed file");
        (path, bytes)
    };
    disk.paths().into_iter().map(read).collect()
}

/// Bytes that nobody ever reads, and why a flip in them is told as a note or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Dead {
    /// Behind the last frame of a log: told as torn.
    Tail,
    /// Behind the last frame of a log file that held another log before: frames of the other log.
    Recycled,
    /// The mark behind the last frame, where it lies in two sectors: a crash may leave half of it.
    Mark,
    /// The lock is empty, its holder only for people.
    Lock,
    /// Removed at the next open.
    Leftover,
}

/// Where the frames of a log file end, where the mark behind them does, and whether it is recycled.
fn end_of_log(bytes: &[u8]) -> (usize, usize, bool) {
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight"));
    let header = if bytes[10] & 2 == 0 { 64 } else { 96 };
    let (log_id, mut at) = (number(16), header);
    let here = |at: usize| at + 56 <= bytes.len() && number(at + 16) == log_id;
    while here(at) && bytes[at + 12] != 0 {
        let body = u32::from_le_bytes(bytes[at + 8..at + 12].try_into().expect("four"));
        at += 56 + (body as usize).next_multiple_of(8);
    }
    (at, if here(at) { at + 56 } else { at }, bytes[10] & 1 == 1)
}

fn dead(path: &str, bytes: &[u8], at: usize) -> Option<Dead> {
    match kind(path) {
        "lock" => Some(Dead::Lock),
        "leftover" => Some(Dead::Leftover),
        "log" => match end_of_log(bytes) {
            (frames, _, _) if at < frames => None,
            (frames, mark, _) if at < mark && frames / SECTOR == (mark - 1) / SECTOR => None,
            (_, mark, _) if at < mark => Some(Dead::Mark),
            (_, _, true) => Some(Dead::Recycled),
            (_, _, false) => Some(Dead::Tail),
        },
        _ => None,
    }
}

#[test]
fn a_flipped_bit_in_any_sector_is_found() {
    let seed = seed_from_env("CAIRN_SEED", 1);
    let rest = Rest::with_version();
    let clean = check(&rest.disk);
    type Table = BTreeMap<(&'static str, Option<Dead>, &'static str), u64>;
    let found: Mutex<Table> = Mutex::default();
    let (files, next) = (files(&rest.disk), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((path, bytes)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut rng = Rng::new(seed);
                    for sector in 0..bytes.len().div_ceil(SECTOR) {
                        let start = sector * SECTOR;
                        let at = start + rng.range(0..SECTOR.min(bytes.len() - start));
                        let bit = u8::try_from(rng.below(8)).expect("a bit");
                        let told = flip(&rest, &clean, path, bytes, at, bit);
                        let key = (kind(path), dead(path, bytes, at), told);
                        *found.lock().entry(key).or_default() += 1;
                    }
                }
            });
        }
    });
    let found = found.into_inner();
    let live = |((_, dead, _), _): &(&(_, Option<Dead>, _), _)| dead.is_none();
    let total: u64 = found.iter().filter(live).map(|(_, count)| count).sum();
    let told = |((_, _, told), _): &(&(_, _, &str), _)| *told == "problem";
    let covered: u64 = found
        .iter()
        .filter(live)
        .filter(told)
        .map(|(_, count)| count)
        .sum();
    let dead: u64 = found.values().sum::<u64>() - total;
    println!("flipped bits found: {covered} of {total} sectors that are read; {dead} are not");
    assert_eq!(covered, total);
    for ((kind, dead, told), count) in &found {
        println!(
            "{kind:10} {:10} {told:8} {count:6}",
            dead.map_or("live".into(), |d| format!("{d:?}"))
        );
    }
    for kind in [
        "catalog",
        "manifest",
        "version",
        "log",
        "segment",
        "deletions",
        "outcomes",
        "pointer",
    ] {
        assert!(found.contains_key(&(kind, None, "problem")), "{kind}");
    }
}

/// Flips one bit, checks and reads; returns how the check tells it.
fn flip(rest: &Rest, clean: &Report, path: &str, bytes: &[u8], at: usize, bit: u8) -> &'static str {
    let told = check_flipped(rest, clean, path, bytes, at, bit);
    // What nobody reads is looked at now and then.
    if dead(path, bytes, at).is_some() && !(at / SECTOR).is_multiple_of(16) {
        return told;
    }
    let disk = rest.copy();
    disk.flip_bit(path, at as u64, bit)
        .expect("a bit of the file");
    let about = format!("{path} byte={at} bit={bit}");
    match read_all(&disk) {
        Ok(contents) => assert!(contents == rest.contents, "{about}: answers wrongly"),
        Err(error) => {
            let refused = matches!(error.code(), Code::Corrupt | Code::UnsupportedFormat);
            assert!(refused && told == "problem", "{about}: {error}");
        }
    }
    told
}

fn check_flipped(
    rest: &Rest,
    clean: &Report,
    path: &str,
    bytes: &[u8],
    at: usize,
    bit: u8,
) -> &'static str {
    let disk = rest.copy();
    disk.flip_bit(path, at as u64, bit)
        .expect("a bit of the file");
    let about = format!("{path} byte={at} bit={bit}");
    let report = check(&disk);
    match dead(path, bytes, at) {
        None => {
            assert!(!report.is_ok(), "{about}: not found");
            let named = |problem: &&cairn_engine::Problem| problem.file == Path::new(path);
            let problem = report.problems.iter().find(named);
            let problem = problem.unwrap_or_else(|| panic!("{about}: {:?}", report.problems));
            // Where a checksum does not say more, the place is that of the checksum.
            let stretch = problem.offset..problem.offset + problem.bytes;
            let here = problem.bytes == 0 || stretch.contains(&(at as u64));
            assert!(here, "{about}: {problem:?}");
            "problem"
        }
        Some(Dead::Tail | Dead::Mark) => {
            assert!(report.is_ok(), "{about}: {:?}", report.problems);
            assert!(report.notes.len() > clean.notes.len(), "{about}: not told");
            "note"
        }
        Some(_) => {
            assert!(report.is_ok(), "{about}: {:?}", report.problems);
            "-"
        }
    }
}

/// Headers, and the mark that proves how far a log was durable, bit by bit.
#[test]
fn every_bit_of_a_header_or_a_mark_is_found() {
    let rest = Rest::with_version();
    let clean = check(&rest.disk);
    let mut marks = 0;
    for (path, bytes) in files(&rest.disk) {
        let header = match kind(&path) {
            "lock" | "leftover" => continue,
            "pointer" => 0..32,
            "catalog" | "manifest" | "keys" | "version" => 0..48,
            "log" if bytes[10] & 2 != 0 => 0..96,
            _ => 0..64,
        };
        let end = match kind(&path) {
            "segment" | "deletions" | "outcomes" => bytes.len() - 48..bytes.len(),
            "log" => {
                let (frames, mark, _) = end_of_log(&bytes);
                marks += usize::from(mark > frames);
                frames..mark
            }
            _ => 0..0,
        };
        let bits = header
            .chain(end)
            .flat_map(|at| (0..8).map(move |bit| (at, bit)));
        for (at, bit) in bits.step_by(if cfg!(feature = "failpoints") { 1 } else { 5 }) {
            let told = check_flipped(&rest, &clean, &path, &bytes, at, bit);
            assert!(told == "problem" || dead(&path, &bytes, at) == Some(Dead::Mark));
        }
    }
    assert!(marks > 0, "no mark was there");
}

/// What nothing lists is checked by its bytes alone, the last section too. What is left of a dropped
/// collection is nobody's once no version is there.
#[test]
fn without_a_manifest_every_section_is_checked_all_the_same() {
    let rest = Rest::with_version();
    let mut sections = 0;
    for (path, bytes) in files(&rest.disk) {
        let collection = path.rsplitn(3, '/').last().expect("three directories up");
        let manifests = format!("{collection}/manifest/");
        let mut paths = rest.disk.paths().into_iter();
        let is_listed = paths.any(|other| other.starts_with(&manifests));
        if !is_listed || !matches!(kind(&path), "segment" | "deletions" | "outcomes") {
            continue;
        }
        for at in last_bytes_of(&bytes) {
            let disk = rest.copy();
            for other in disk.paths() {
                if other.contains("/manifest/") || other.contains("/versions/") {
                    disk.remove_file(Path::new(&other)).expect("a listed file");
                }
            }
            disk.flip_bit(&path, at as u64, 3)
                .expect("a bit of the file");
            let report = check(&disk);
            let told = report.problems.iter().any(|p| p.file == Path::new(&path));
            assert!(told, "{path} byte={at}: {:?}", report.problems);
            sections += 1;
        }
    }
    assert!(sections > 20, "{sections}");
}

/// The last byte of each section of a file, by its footer.
fn last_bytes_of(bytes: &[u8]) -> Vec<usize> {
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight"));
    let footer = usize::try_from(number(bytes.len() - 48 + 16)).expect("an offset");
    let count = u32::from_le_bytes(bytes[footer..footer + 4].try_into().expect("four"));
    let entries = (0..count as usize).map(|index| footer + 16 + index * 32);
    let filled = entries.filter(|entry| number(entry + 24) > 0);
    let last = filled.map(|entry| number(entry + 16) + number(entry + 24) - 1);
    last.map(|at| usize::try_from(at).expect("an offset"))
        .collect()
}

/// Zeros between sections and behind the last one are told, wherever they are.
#[test]
fn filling_that_is_not_zero_is_found() {
    let rest = Rest::with_version();
    let mut fillings = 0;
    for (path, bytes) in files(&rest.disk) {
        if kind(&path) != "segment" {
            continue;
        }
        for at in fillings_of(&bytes) {
            fillings += 1;
            let disk = rest.copy();
            disk.flip_bit(&path, at as u64, 2)
                .expect("a bit of the file");
            let report = check(&disk);
            let here = report.problems.iter().find(|p| p.offset == at as u64);
            assert!(here.is_some(), "{path} byte={at}: {:?}", report.problems);
        }
    }
    assert!(fillings > 20, "{fillings}");
}

/// Bytes of a segment between its sections, by its footer.
fn fillings_of(bytes: &[u8]) -> Vec<usize> {
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight"));
    let footer = usize::try_from(number(bytes.len() - 48 + 16)).expect("an offset");
    let count = u32::from_le_bytes(bytes[footer..footer + 4].try_into().expect("four"));
    let mut out = Vec::new();
    for entry in (0..count as usize).map(|index| footer + 16 + index * 32) {
        let end = usize::try_from(number(entry + 16) + number(entry + 24)).expect("an offset");
        out.extend(end..end.next_multiple_of(64));
    }
    out
}

/// All damage is told, not the first alone, with the records it touches.
#[test]
fn every_damaged_place_is_told() {
    let rest = Rest::with_version();
    let disk = rest.copy();
    let mut hit = Vec::new();
    for (path, bytes) in files(&rest.disk) {
        if matches!(kind(&path), "segment" | "deletions" | "outcomes" | "log") {
            disk.flip_bit(&path, 70, 1).expect("a bit of the file");
            hit.push(path.clone());
        }
        if kind(&path) == "segment" && bytes.len() > 40_000 {
            disk.flip_bit(&path, 9_000, 1).expect("a bit of the file");
            let twice = check(&disk);
            let here = twice.problems.iter().filter(|p| p.file == Path::new(&path));
            let blocks: Vec<_> = here
                .map(|p| (p.section.clone(), p.offset, p.records))
                .collect();
            let body = Some("VECTORS".to_owned());
            assert_eq!(blocks[0], (body.clone(), 64, Some(256)), "{path}");
            assert_eq!(blocks[1], (body, 64 + 2 * 4096, Some(256)), "{path}");
        }
    }
    let report = check(&disk);
    for path in hit {
        assert!(
            report.problems.iter().any(|p| p.file == Path::new(&path)),
            "{path}"
        );
    }
}

/// A sector that cannot be read is told as damage of its place, and everything else is checked.
#[test]
fn a_sector_that_cannot_be_read_is_told() {
    let rest = Rest::with_version();
    for (path, bytes) in files(&rest.disk) {
        let length = bytes.len() as u64;
        for at in [0, length / 2, length.saturating_sub(1)] {
            if dead(&path, &bytes, usize::try_from(at).unwrap()).is_some() {
                continue;
            }
            let disk = rest.copy();
            let sector = at - at % SECTOR as u64;
            disk.fail_reads(&path, sector..sector + SECTOR as u64)
                .expect("a listed file");
            let report = check(&disk);
            let here = |p: &&cairn_engine::Problem| {
                p.file == Path::new(&path)
                    && p.what.contains("cannot be read")
                    && (p.offset..p.offset + p.bytes).contains(&at)
            };
            let problem = report.problems.iter().find(here);
            let problem = problem.unwrap_or_else(|| panic!("{path} {at}: {:?}", report.problems));
            assert!(problem.bytes <= 4_096, "{path} {at}: {problem:?}");
        }
    }
}

/// So it is in a database that is open, of a segment whose file is long.
#[test]
fn a_sector_that_cannot_be_read_is_told_while_open() {
    let rest = Rest::new();
    let machine = Machine::on(&rest.disk, 5);
    let database = Database::open(machine.env, Path::new(DIR), options()).expect("it opens");
    for (path, bytes) in files(&rest.disk) {
        if !matches!(kind(&path), "segment" | "manifest" | "catalog") {
            continue;
        }
        let at = 64 + bytes.len() as u64 / 3 / 4_096 * 4_096;
        rest.disk.fail_reads(&path, at..at + 1).unwrap();
        let report = database.verify(&Job::default()).expect("a report");
        rest.disk.clear_faults();
        let told = |p: &&cairn_engine::Problem| {
            p.file == Path::new(&path) && p.what.contains("cannot be read")
        };
        let counts = kind(&path) == "segment" || bytes.len() > 64;
        let problem = report.problems.iter().find(told);
        assert!(
            problem.is_some() || !counts,
            "{path}: {:?}",
            report.problems
        );
        assert!(problem.is_none_or(|p| p.bytes <= 4_096), "{problem:?}");
    }
}

#[test]
fn what_is_missing_is_told_and_where_nothing_is_nothing_is_made() {
    let rest = Rest::with_version();
    for (path, _) in files(&rest.disk) {
        let newest_log = kind(&path) == "log"
            && rest.disk.paths().iter().rfind(|other| {
                Path::new(other).parent() == Path::new(&path).parent() && kind(other) == "log"
            }) == Some(&path);
        // Which of these must be there is encrypted, and so is where the log must begin.
        let oldest_log = kind(&path) == "log"
            && rest.disk.paths().iter().find(|other| {
                Path::new(other).parent() == Path::new(&path).parent() && kind(other) == "log"
            }) == Some(&path);
        let listed = matches!(kind(&path), "segment" | "deletions" | "outcomes") || oldest_log;
        let unlisted = listed && std::env::var_os(KEYLESS).is_some();
        // Being there is what makes a version: one that is gone was dropped.
        let counts = !matches!(kind(&path), "lock" | "leftover" | "version");
        if !counts || newest_log || unlisted {
            continue;
        }
        let disk = rest.copy();
        disk.remove_file(Path::new(&path)).expect("a listed file");
        let report = check(&disk);
        assert!(!report.is_ok(), "{path} is gone");
    }
    let env = Machine::on(&rest.disk, 3).env;
    let nowhere = verify_directory(
        &env,
        Path::new("/data/none"),
        &rest::checks(),
        &Job::default(),
    );
    assert_eq!(nowhere.err().map(|e| e.code()), Some(Code::NotFound));
}

/// Without the lock a check goes on only where nobody can write: on a disk that is read-only, or
/// where there is no lock to take.
#[test]
fn a_lock_that_cannot_be_opened_is_not_passed_over() {
    use std::io::ErrorKind;
    const TOO_MANY_FILES: i32 = 24;
    let rest = Rest::new();
    let checked = |disk: &SimDisk| {
        let env = Machine::on(disk, 3).env;
        let report = verify_directory(&env, Path::new(DIR), &rest::checks(), &Job::default());
        report.map(|report| report.is_ok()).map_err(|e| e.code())
    };
    // The entry of the directory, that of the lock, and then the lock itself.
    let refusing = |error: cairn_testkit::InjectedError| {
        let disk = rest.copy();
        disk.fail_nth(disk.calls() + 3, error);
        checked(&disk)
    };
    assert_eq!(refusing(ErrorKind::ReadOnlyFilesystem.into()), Ok(true));
    assert_eq!(refusing(ErrorKind::PermissionDenied.into()), Err(Code::Io));
    assert_eq!(refusing(TOO_MANY_FILES.into()), Err(Code::Io));
    let disk = rest.copy();
    disk.remove_file(&Path::new(DIR).join("LOCK"))
        .expect("it is there");
    assert_eq!(checked(&disk), Ok(true));
}

#[test]
fn a_database_that_is_open_is_checked_by_itself_alone() {
    let rest = Rest::new();
    let machine = Machine::on(&rest.disk, 5);
    let database =
        Database::open(machine.env.clone(), Path::new(DIR), options()).expect("it opens");
    let refused = verify_directory(
        &machine.env,
        Path::new(DIR),
        &rest::checks(),
        &Job::default(),
    );
    assert_eq!(refused.err().map(|e| e.code()), Some(Code::Locked));
    let report = database.verify(&Job::default()).expect("a report");
    assert_eq!(report.problems, []);
    for (path, _) in files(&rest.disk) {
        if matches!(kind(&path), "segment" | "deletions" | "outcomes") {
            rest.disk.flip_bit(&path, 66, 0).expect("a bit of the file");
            let report = database.verify(&Job::default()).expect("a report");
            assert!(
                report
                    .problems
                    .iter()
                    .any(|p| p.file == Path::new(&path) && p.kind == ProblemKind::Damaged),
                "{path}"
            );
        }
    }
}

/// The same of an encrypted database with its key, and without it by the checksums.
#[test]
fn encrypted_databases_are_checked_as_well() {
    let tests = [
        "an_undamaged_database_has_no_problems",
        "a_flipped_bit_in_any_sector_is_found",
        "every_bit_of_a_header_or_a_mark_is_found",
        "filling_that_is_not_zero_is_found",
        "what_is_missing_is_told_and_where_nothing_is_nothing_is_made",
    ];
    let with_key = [
        "every_damaged_place_is_told",
        "the_key_of_a_database_is_asked_for",
    ];
    let open = "a_database_that_is_open_is_checked_by_itself_alone";
    crash::sealed::run_again(
        module_path!(),
        &[&tests[..], &with_key, &[open]].concat(),
        &[],
    );
    crash::sealed::run_again(module_path!(), &tests, &[(KEYLESS, "1")]);
}

#[test]
fn the_key_of_a_database_is_asked_for() {
    use cairn_engine::encryption::{Key, NamedKey};
    let rest = Rest::with_version();
    let env = Machine::on(&rest.disk, 3).env;
    let wrong = NamedKey {
        id: "key 0".to_owned(),
        key: Key::new(&[9; 32]),
    };
    let options = VerifyOptions {
        encryption: Some(std::sync::Arc::new(wrong)),
    };
    let refused = verify_directory(&env, Path::new(DIR), &options, &Job::default());
    let refused = refused.expect_err("the key does not fit");
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    let report = check(&rest.disk);
    if !crash::sealed::is_on() {
        assert_eq!(report.encryption, Unlocked::Clear);
        return;
    }
    assert_eq!(report.encryption, Unlocked::Decrypted);
    let blind = verify_directory(
        &env,
        Path::new(DIR),
        &VerifyOptions::default(),
        &Job::default(),
    );
    let blind = blind.expect("a report");
    assert_eq!(
        (blind.encryption, blind.problems),
        (Unlocked::ChecksumsOnly, vec![])
    );
    assert!(blind.notes.iter().any(|n| n.kind == ProblemKind::Sealed));
}

/// What has right checksums and was put together by another hand is told where there is the key.
#[test]
fn a_forgery_with_right_checksums_is_told_by_its_tag() {
    if !crash::sealed::is_on() {
        return crash::sealed::run_again(
            module_path!(),
            &["a_forgery_with_right_checksums_is_told_by_its_tag"],
            &[],
        );
    }
    let rest = Rest::with_version();
    let mut forged = 0;
    for (path, mut bytes) in files(&rest.disk) {
        if !matches!(kind(&path), "log") {
            continue;
        }
        let body = u32::from_le_bytes(bytes[104..108].try_into().unwrap()) as usize;
        let end = 96 + 56 + body.next_multiple_of(8);
        if bytes[96 + 12] == 0 || end > bytes.len() {
            continue;
        }
        bytes[96 + 56] ^= 1;
        let crc = cairn_storage::crc32c(&bytes[96 + 56..end]);
        bytes[100..104].copy_from_slice(&crc.to_le_bytes());
        let crc = cairn_storage::crc32c(&bytes[100..152]);
        bytes[96..100].copy_from_slice(&crc.to_le_bytes());
        let disk = rest.copy();
        disk.put(&path, &bytes).expect("room");
        let report = check(&disk);
        let here = report.problems.iter().find(|p| p.file == Path::new(&path));
        let here = here.unwrap_or_else(|| panic!("{path}: {:?}", report.problems));
        assert_eq!(
            (here.offset, here.bytes),
            (96, (end - 96) as u64),
            "{here:?}"
        );
        forged += 1;
    }
    assert!(forged >= 3, "{forged}");
}

#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
#[test]
fn planted_bugs_are_found() {
    if std::env::var_os("CAIRN_BUG").is_none() {
        crash::planted::expect_all_found(module_path!());
    }
}
