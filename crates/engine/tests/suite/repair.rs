//! A repair saves everything that is not damaged, nothing that was deleted, and says what it left.
//!
//! A database with files of every kind is at rest after a crash. One file at a time is damaged: bits
//! turned around all over it, cut, removed. What is saved opens, passes its check, holds nothing that
//! the database did not hold, and lacks no more than the rows that the report names.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::Path;

use cairn_engine::{
    Code, Compaction, Database, Job, KeyBuf, Options, Problem, RepairOptions, RepairReport, repair,
    verify_directory,
};
use cairn_env::Disk;
use cairn_testkit::{Rng, SimDisk, seed_from_env};

use crate::common;
use crate::crash;
use crate::rest;
use crash::lanes::Machine;
use rest::{Contents, DIR, Rest, kind, options};

const TARGET: &str = "/data/saved";

fn save(disk: &SimDisk, options: &RepairOptions) -> RepairReport {
    let env = Machine::on(disk, 3).env;
    let (source, target) = (Path::new(DIR), Path::new(TARGET));
    repair(&env, source, target, options, &Job::default()).expect("a repair works")
}

fn repairs() -> RepairOptions {
    RepairOptions {
        encryption: crash::sealed::provider(),
        ..RepairOptions::default()
    }
}

/// Everything in the new database, by name, and nothing wrong with it.
fn saved(disk: &SimDisk) -> Contents {
    let env = Machine::on(disk, 41).env;
    let report = verify_directory(&env, Path::new(TARGET), &rest::checks(), &Job::default())
        .expect("a report");
    assert_eq!((report.problems, report.notes), (vec![], vec![]));
    // What merges and graphs make of it has tests of its own.
    let options = Options {
        compaction: Compaction::None,
        ..options()
    };
    contents(&Database::open(env, Path::new(TARGET), options).expect("it opens"))
}

fn contents(database: &Database) -> Contents {
    let infos = database.collections().expect("a listing");
    let mut contents = Contents::new();
    for info in infos {
        let collection = database.open_collection(&info.name).expect("it opens");
        let name = match info.name.as_str() {
            // Their names are lost with the catalog.
            "recovered-1" => "words".to_owned(),
            "recovered-2" => "numbers".to_owned(),
            _ => info.name,
        };
        contents.insert(name, rest::read(&collection).expect("it reads"));
    }
    contents
}

fn bytes_of(disk: &SimDisk, dir: &str) -> Vec<(String, Vec<u8>)> {
    let paths = disk
        .paths()
        .into_iter()
        .filter(|path| path.starts_with(dir));
    let read = |path: String| {
        let bytes = disk.read_all(&path).expect("a listed file");
        (path, bytes)
    };
    paths.map(read).collect()
}

#[test]
fn an_undamaged_database_is_saved_whole_and_left_as_it_is() {
    let rest = Rest::new();
    let disk = rest.copy();
    let before = bytes_of(&disk, DIR);
    let report = save(&disk, &repairs());
    assert_eq!(bytes_of(&disk, DIR), before);
    assert_eq!(report.problems, []);
    assert!(report.lost.is_empty());
    let records: BTreeMap<_, _> = report
        .collections
        .iter()
        .map(|c| (c.name.clone(), c.records))
        .collect();
    for (name, state) in &rest.contents {
        assert_eq!(records[name], state.len() as u64, "{name}");
    }
    assert_eq!(saved(&disk), rest.contents);
    // What keyed writes did is left out.
    let has_outcomes = |dir| {
        bytes_of(&disk, dir)
            .iter()
            .any(|(path, _)| kind(path) == "outcomes")
    };
    assert!(has_outcomes(DIR) && !has_outcomes(TARGET));
    // It goes on from there, with higher versions.
    let env = Machine::on(&disk, 43).env;
    let database = Database::open(env, Path::new(TARGET), options()).expect("it opens");
    let words = database.open_collection("words").expect("it opens");
    let newest = rest.contents["words"]
        .values()
        .map(|rec| rec.0)
        .max()
        .unwrap();
    let gone = [common::text("word-1")];
    assert!(common::remove(&words, &gone).version > newest);
}

/// Holds what was saved against what was there; returns how many records are missing.
fn compare(
    rest: &Rest,
    report: &RepairReport,
    contents: &Contents,
    about: &str,
    is_log: bool,
) -> usize {
    let mut missing = 0;
    let told: u64 = report.lost.iter().map(|lost| lost.rows).sum();
    let keys: BTreeSet<&KeyBuf> = report.lost.iter().flat_map(|lost| &lost.keys).collect();
    let unnamed = report
        .lost
        .iter()
        .any(|lost| (lost.keys.len() as u64) < lost.rows);
    for (name, state) in &rest.contents {
        let empty = rest::State::new();
        let found = contents.get(name).unwrap_or(&empty);
        for (key, rec) in found {
            // An older version may stand where the log that replaced it is damaged.
            let right = match is_log {
                true => rest.history[name].contains(&(key.clone(), rec.clone())),
                false => state.get(key) == Some(rec),
            };
            assert!(right, "{about}: {key:?} is not what was there");
        }
        for key in state.keys().filter(|key| !found.contains_key(key)) {
            missing += 1;
            let named = is_log || unnamed || keys.contains(key);
            assert!(named, "{about}: {key:?} is missing and not named");
        }
    }
    assert!(
        is_log || missing as u64 <= told,
        "{about}: {missing} missing, {told} told"
    );
    missing
}

#[test]
fn a_damaged_block_is_left_behind() {
    let rest = Rest::new();
    for (path, _) in bytes_of(&rest.disk, DIR) {
        if kind(&path) != "segment" {
            continue;
        }
        // Vectors come first: no other section tells that they are wrong.
        let disk = rest.copy();
        disk.flip_bit(&path, 70, 3).expect("a bit of the file");
        let report = save(&disk, &repairs());
        assert!(!report.lost.is_empty(), "{path}");
        compare(&rest, &report, &saved(&disk), &path, false);
    }
}

/// A sector that cannot be read costs what a damaged one does, in files of every kind.
#[test]
fn a_sector_that_cannot_be_read_costs_no_more_than_itself() {
    let rest = Rest::new();
    let mut costly = 0;
    for (path, bytes) in bytes_of(&rest.disk, DIR) {
        if matches!(kind(&path), "lock" | "leftover" | "keys") {
            continue;
        }
        let length = bytes.len() as u64;
        for at in [0, length / 3, length / 2, length - 1] {
            let about = format!("{path} byte={at}");
            let disk = rest.copy();
            let sector = at - at % 512;
            disk.fail_reads(&path, sector..sector + 512)
                .expect("a listed file");
            let report = save(&disk, &repairs());
            let told =
                |p: &&Problem| p.file == Path::new(&path) && p.what.contains("cannot be read");
            assert!(report.problems.iter().any(|p| told(&p)), "{about}");
            let missing = compare(&rest, &report, &saved(&disk), &about, kind(&path) == "log");
            assert!(missing <= 1_100, "{about}: {missing} missing");
            costly += usize::from(missing > 0);
        }
    }
    assert!(costly > 0);
}

#[test]
fn one_damaged_place_costs_no_more_than_itself() {
    let seed = seed_from_env("CAIRN_SEED", 1);
    let rest = Rest::new();
    let mut table: BTreeMap<&str, (u64, u64, usize)> = BTreeMap::new();
    let (step, stride) = if cfg!(feature = "failpoints") {
        (256, 7)
    } else {
        (4_096, 53)
    };
    for (path, bytes) in bytes_of(&rest.disk, DIR) {
        if matches!(kind(&path), "lock" | "leftover") {
            continue;
        }
        let used = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count();
        let mut rng = Rng::new(seed);
        let edges = (0..64)
            .step_by(9)
            .chain(bytes.len().saturating_sub(420)..bytes.len())
            .step_by(stride);
        let inner = (64..used).step_by(step).map(|at| at + rng.range(0..step));
        let places: BTreeSet<usize> = edges.chain(inner).filter(|at| *at < used).collect();
        for at in places {
            let about = format!("{path} byte={at}");
            let disk = rest.copy();
            disk.flip_bit(&path, at as u64, 3)
                .expect("a bit of the file");
            let report = save(&disk, &repairs());
            let missing = compare(&rest, &report, &saved(&disk), &about, kind(&path) == "log");
            let section = report.problems.iter().find_map(|p| p.section.clone());
            let rows = match (kind(&path), section.as_deref()) {
                // A block of 4 KiB.
                (
                    "segment",
                    Some("VECTORS" | "VECTORS 1" | "KEYS" | "VERSIONS" | "BLOCKS" | "BLOCK_TABLE"),
                ) => 1_024,
                ("deletions", Some("DELETIONS")) => 1_100,
                // One frame or a few of one group.
                ("log", _) => 60,
                _ => 0,
            };
            assert!(
                missing <= rows,
                "{about}: {missing} of at most {rows} missing, {:?}",
                report.problems
            );
            let row = table.entry(kind(&path)).or_default();
            *row = (
                row.0 + 1,
                row.1 + u64::from(missing > 0),
                row.2.max(missing),
            );
        }
    }
    for (kind, (flips, costly, most)) in &table {
        println!("{kind:10} {flips:5} flips, {costly:4} cost records, {most:4} at most");
    }
}

#[test]
fn files_that_are_cut_or_gone_cost_what_was_in_them() {
    let rest = Rest::new();
    let places = versions_by_place(&rest);
    for (path, bytes) in bytes_of(&rest.disk, DIR) {
        if matches!(kind(&path), "lock" | "leftover") {
            continue;
        }
        // What may be missing: what was in this file, or in the segment that it tells the deletions of.
        let name = Path::new(&path)
            .file_name()
            .expect("a file")
            .to_str()
            .unwrap();
        let inside: Vec<_> = places
            .iter()
            .filter(
                |(place, _)| match (place.split('/').next_back(), kind(&path)) {
                    (Some(id), "segment" | "deletions") => name.starts_with(id),
                    (Some(id), "log") => id == "log",
                    _ => false,
                },
            )
            .collect();
        for cut in [
            None,
            Some(0),
            Some(bytes.len() as u64 / 2),
            Some(bytes.len() as u64 - 1),
        ] {
            let about = format!("{path} cut={cut:?}");
            let disk = rest.copy();
            match cut {
                None => disk.remove_file(Path::new(&path)).expect("a listed file"),
                Some(length) => disk.truncate(&path, length).expect("a listed file"),
            }
            if kind(&path) == "keys" {
                // Without its data keys nothing of an encrypted database can be read.
                let env = Machine::on(&disk, 3).env;
                let (source, target) = (Path::new(DIR), Path::new(TARGET));
                let refused = repair(&env, source, target, &repairs(), &Job::default());
                let code = refused.err().map(|error| error.code());
                assert_eq!(code, Some(Code::Corrupt), "{about}");
                continue;
            }
            let report = save(&disk, &repairs());
            let contents = saved(&disk);
            let told: u64 = report.lost.iter().map(|lost| lost.rows).sum();
            let mut missing = 0;
            for (name, state) in &rest.contents {
                let found = contents.get(name).expect("every collection is saved");
                for (key, rec) in found {
                    let ever = rest.history[name].contains(&(key.clone(), rec.clone()));
                    let right = if kind(&path) == "log" {
                        ever
                    } else {
                        state.get(key) == Some(rec)
                    };
                    assert!(right, "{about}: {name} {key:?}");
                }
                for (key, rec) in state.iter().filter(|(key, _)| !found.contains_key(key)) {
                    missing += 1;
                    let version = rec.0;
                    let was_there = inside.iter().any(|(path, it)| {
                        path.starts_with(&format!("{name}/")) && it.contains(&version)
                    });
                    assert!(was_there, "{about}: {name} {key:?} was elsewhere");
                }
            }
            match kind(&path) {
                "log" => {}
                "segment" | "deletions" => {
                    assert!(missing <= told, "{about}: {missing} missing, {told} told");
                    let counted: u64 = report.collections.iter().map(|c| c.lost + c.doubtful).sum();
                    assert_eq!(counted, told, "{about}");
                    assert!(!report.problems.is_empty(), "{about}");
                }
                _ => assert_eq!((missing, told), (0, 0), "{about}"),
            }
        }
    }
}

/// Versions of records by where they are: of each segment by `collection/id`, and of the log.
fn versions_by_place(rest: &Rest) -> Vec<(String, RangeInclusive<u64>)> {
    let env = Machine::on(&rest.copy(), 47).env;
    let database = Database::open_read_only(env, Path::new(DIR), options()).expect("it opens");
    let mut places = Vec::new();
    for name in rest.contents.keys() {
        let collection = database.open_collection(name).expect("it opens");
        let mut flushed = 0;
        for segment in collection.stats().expect("figures").segments {
            flushed = flushed.max(segment.version_max);
            let versions = segment.version_min..=segment.version_max;
            places.push((format!("{name}/{}", segment.id), versions));
        }
        places.push((format!("{name}/log"), flushed + 1..=u64::MAX));
    }
    places
}

/// A segment of which nothing can be read is told with all of its rows.
#[test]
fn a_segment_that_is_wholly_lost_is_told() {
    let rest = Rest::new();
    for (path, bytes) in bytes_of(&rest.disk, DIR) {
        if kind(&path) != "segment" {
            continue;
        }
        for cut in [None, Some(0), Some(bytes.len() as u64 / 2)] {
            let about = format!("{path} cut={cut:?}");
            let disk = rest.copy();
            match cut {
                None => disk.remove_file(Path::new(&path)).expect("a listed file"),
                Some(length) => disk.truncate(&path, length).expect("a listed file"),
            }
            let report = save(&disk, &repairs());
            let lost: Vec<_> = report.lost.iter().collect();
            assert_eq!(lost.len(), 1, "{about}: {lost:?}");
            assert_eq!(lost[0].file, Path::new(&path), "{about}");
            assert!(lost[0].first_row == 0 && lost[0].rows > 0 && !lost[0].doubtful);
            let counted: u64 = report.collections.iter().map(|c| c.lost).sum();
            assert_eq!(counted, lost[0].rows, "{about}");
        }
    }
}

/// Without the manifest, and without the catalog, segments and the log tell it all.
#[test]
fn a_lost_manifest_and_a_lost_catalog_cost_nothing_but_the_name() {
    let rest = Rest::new();
    let disk = rest.copy();
    for path in disk.paths() {
        if path.ends_with("CURRENT") || path.contains("/manifest/") || path.contains("/catalog/") {
            disk.remove_file(Path::new(&path)).expect("a listed file");
        }
    }
    let report = save(&disk, &repairs());
    assert_eq!(report.collections[0].name, "recovered-1");
    assert_eq!(saved(&disk), rest.contents);
}

#[test]
fn rows_that_may_have_been_deleted_are_kept_on_demand_only() {
    let rest = Rest::new();
    let deletions = rest
        .disk
        .paths()
        .into_iter()
        .find(|path| kind(path) == "deletions");
    let path = deletions.expect("a deletion file");
    let disk = rest.copy();
    disk.remove_file(Path::new(&path)).expect("a listed file");
    let kept = rest.copy();
    kept.remove_file(Path::new(&path)).expect("a listed file");
    let strict = save(&disk, &repairs());
    let doubtful: u64 = strict.collections.iter().map(|c| c.doubtful).sum();
    assert!(doubtful > 0 && strict.lost.iter().any(|lost| lost.doubtful));
    save(
        &kept,
        &RepairOptions {
            keep_doubtful: true,
            ..repairs()
        },
    );
    let (few, many) = (saved(&disk), saved(&kept));
    assert!(many["words"].len() > few["words"].len());
    assert!(
        rest.contents["words"]
            .keys()
            .all(|key| many["words"].contains_key(key))
    );
}

#[test]
fn a_repair_never_writes_over_anything() {
    let rest = Rest::new();
    let disk = rest.copy();
    let env = Machine::on(&disk, 3).env;
    let code = |source: &str, target: &str| {
        let (source, target) = (Path::new(source), Path::new(target));
        let done = repair(&env, source, target, &repairs(), &Job::default());
        done.err().map(|error| error.code())
    };
    let inside = format!("{DIR}/saved");
    assert_eq!(code(DIR, &inside), Some(Code::InvalidArgument));
    assert_eq!(code(DIR, DIR), Some(Code::InvalidArgument));
    assert_eq!(code("/data/none", TARGET), Some(Code::NotFound));
    disk.create_dir(Path::new("/data/full"))
        .expect("a free name");
    disk.put("/data/full/file", b"kept").expect("room");
    assert_eq!(code(DIR, "/data/full"), Some(Code::AlreadyExists));
    let _open =
        Database::open(Machine::on(&disk, 5).env, Path::new(DIR), options()).expect("it opens");
    assert_eq!(code(DIR, TARGET), Some(Code::Locked));
}

/// A directory with the highest id there is, and no catalog: it is told, and no id is above it.
#[test]
fn a_directory_of_the_highest_id_is_told() {
    let rest = Rest::new();
    let disk = rest.copy();
    for path in disk.paths() {
        if path == format!("{DIR}/CURRENT") || path.contains("/catalog/") {
            disk.remove_file(Path::new(&path)).expect("a listed file");
        }
    }
    let highest = format!("{DIR}/collections/{:016x}", u64::MAX);
    disk.create_dir(Path::new(&highest)).expect("a free name");
    let report = save(&disk, &repairs());
    let told = |p: &Problem| p.file == Path::new(&highest);
    assert!(report.problems.iter().any(told), "{:?}", report.problems);
    assert_eq!(saved(&disk), rest.contents);
}

/// What a repair was stopped in is the whole database or does not open, not even as a new one; and
/// the next repair into the same directory starts over.
#[test]
fn a_repair_that_was_killed_leaves_nothing_that_opens_as_complete() {
    let rest = Rest::new();
    let disk = rest.copy();
    let began = disk.op_count();
    save(&disk, &repairs());
    let ended = disk.op_count();
    let (source, target) = (Path::new(DIR), Path::new(TARGET));
    let (mut refused, mut again) = (0, 0);
    for at in began..=ended {
        let image = disk.kill_image(at);
        let names = image.list(target).unwrap_or_default();
        let untouched = names.iter().all(|entry| entry.name.starts_with("LOCK"));
        let env = Machine::on(&image, 41).env;
        match Database::open(env, target, options()) {
            Ok(_) if untouched => assert!(at < ended),
            Ok(database) => assert_eq!(contents(&database), rest.contents, "at {at} of {ended}"),
            Err(error) => {
                assert!(at < ended, "at {at} of {ended}: {error}");
                assert_eq!(error.code(), Code::Corrupt, "at {at} of {ended}: {error}");
                refused += 1;
            }
        }
        if at % 5 > 0 {
            continue;
        }
        let image = disk.kill_image(at);
        let env = Machine::on(&image, 43).env;
        match repair(&env, source, target, &repairs(), &Job::default()) {
            Ok(_) => again += 1,
            Err(error) => assert_eq!(error.code(), Code::AlreadyExists, "at {at}: {error}"),
        }
        let database = Database::open(env, target, options()).expect("it opens");
        assert_eq!(contents(&database), rest.contents, "at {at} of {ended}");
    }
    println!("repairs cut short: {refused} do not open, {again} were begun again");
    assert!(refused > 20 && again > 5);
}

/// What a repair that fails has made goes with it.
#[test]
fn a_repair_that_fails_leaves_the_target_as_it_was() {
    let rest = Rest::new();
    let disk = rest.copy();
    let began = disk.calls();
    save(&disk, &repairs());
    let calls = disk.calls() - began;
    for nth in (0..20).map(|n| calls / 2 + n * calls / 40) {
        let disk = rest.copy();
        disk.fail_nth(disk.calls() + nth, 5);
        let env = Machine::on(&disk, 3).env;
        let (source, target) = (Path::new(DIR), Path::new(TARGET));
        if repair(&env, source, target, &repairs(), &Job::default()).is_err() {
            assert_eq!(disk.entry(target).unwrap(), None, "call {nth} of {calls}");
        }
    }
}

/// Versions are left behind and told; what one alone holds comes back on demand only.
#[test]
fn versions_are_told_and_bring_nothing_back() {
    let rest = Rest::with_version();
    let disk = rest.copy();
    let report = save(&disk, &repairs());
    assert_eq!(saved(&disk), rest.contents);
    let told: Vec<_> = report
        .versions
        .iter()
        .map(|version| (version.name.as_deref(), version.is_readable))
        .collect();
    assert_eq!(told, [(Some("kept"), true)]);
    // Without the manifests a segment may be there for the version alone.
    let manifests = |disk: &SimDisk| {
        for path in disk.paths() {
            if path.contains("/manifest/") {
                disk.remove_file(Path::new(&path)).expect("a listed file");
            }
        }
    };
    let (strict, loose) = (rest.copy(), rest.copy());
    manifests(&strict);
    manifests(&loose);
    let report = save(&strict, &repairs());
    let found = saved(&strict);
    for (name, state) in &rest.contents {
        for (key, rec) in &found[name] {
            assert_eq!(state.get(key), Some(rec), "{name}: {key:?} comes back");
        }
    }
    assert!(report.lost.iter().any(|lost| lost.doubtful));
    let keep = RepairOptions {
        keep_doubtful: true,
        ..repairs()
    };
    save(&loose, &keep);
    let found = saved(&loose);
    for (name, state) in &rest.contents {
        let missing = state.keys().filter(|key| !found[name].contains_key(key));
        assert_eq!(missing.count(), 0, "{name}");
    }
    // A record that cannot be read is told, too.
    let path = rest.disk.paths().into_iter().find(|p| kind(p) == "version");
    let path = path.expect("a record");
    let disk = rest.copy();
    disk.flip_bit(&path, 50, 1).expect("a bit of the file");
    let report = save(&disk, &repairs());
    assert!(!report.versions[0].is_readable);
    assert_eq!(saved(&disk), rest.contents);
}

/// The same of an encrypted database, and none without its key.
#[test]
fn encrypted_databases_are_saved_encrypted() {
    crash::sealed::run_again(
        module_path!(),
        &[
            "an_undamaged_database_is_saved_whole_and_left_as_it_is",
            "one_damaged_place_costs_no_more_than_itself",
            "files_that_are_cut_or_gone_cost_what_was_in_them",
            "a_lost_manifest_and_a_lost_catalog_cost_nothing_but_the_name",
            "rows_that_may_have_been_deleted_are_kept_on_demand_only",
            "a_repair_takes_the_key_and_no_other",
            "a_repair_that_was_killed_leaves_nothing_that_opens_as_complete",
            "a_sector_that_cannot_be_read_costs_no_more_than_itself",
            "versions_are_told_and_bring_nothing_back",
        ],
        &[],
    );
}

#[test]
fn a_repair_takes_the_key_and_no_other() {
    if !crash::sealed::is_on() {
        return;
    }
    let rest = Rest::new();
    let code = |encryption| {
        let disk = rest.copy();
        let env = Machine::on(&disk, 3).env;
        let options = RepairOptions {
            encryption,
            ..RepairOptions::default()
        };
        let (source, target) = (Path::new(DIR), Path::new(TARGET));
        let done = repair(&env, source, target, &options, &Job::default());
        assert!(bytes_of(&disk, TARGET).is_empty(), "nothing is made");
        done.err().map(|error| error.code())
    };
    assert_eq!(code(None), Some(Code::InvalidArgument));
    let wrong = cairn_engine::encryption::NamedKey {
        id: "key 0".to_owned(),
        key: cairn_engine::encryption::Key::new(&[9; 32]),
    };
    let wrong = std::sync::Arc::new(wrong);
    assert_eq!(code(Some(wrong)), Some(Code::InvalidArgument));
    // What is saved is as unreadable as what was there.
    let disk = rest.copy();
    save(&disk, &repairs());
    let saved = bytes_of(&disk, TARGET);
    let flagged = saved.iter().filter(|(path, bytes)| {
        matches!(kind(path), "segment" | "manifest" | "catalog") && bytes[10] & 2 != 0
    });
    assert!(flagged.count() >= 5);
    for word in [&b"word-"[..], b"title", b"words"] {
        let readable =
            |(_, bytes): &(String, Vec<u8>)| bytes.windows(word.len()).any(|w| w == word);
        assert!(!saved.iter().any(readable));
    }
}

#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
#[test]
fn planted_bugs_are_found() {
    if std::env::var_os("CAIRN_BUG").is_none() {
        crash::planted::expect_all_found(module_path!());
    }
}
