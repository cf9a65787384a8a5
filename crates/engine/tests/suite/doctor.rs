//! A doctor tells what is not as it should be, each with what mends it; and figures equal an
//! independent count.

use std::path::Path;

use cairn_engine::{Database, DoctorOptions, Finding, Health, Job, KeyBuf, Severity, doctor};
use cairn_env::{Access, Disk};
use cairn_testkit::SimDisk;

use crate::common;
use crate::crash;
use crate::rest;
use common::{Row, put, remove, text};
use crash::lanes::Machine;
use rest::{DIR, Rest, kind, options};

fn look(disk: &SimDisk, wal_bytes_max: u64) -> Vec<Finding> {
    let env = Machine::on(disk, 3).env;
    let options = DoctorOptions {
        encryption: rest::checks().encryption,
        wal_bytes_max,
    };
    doctor(&env, Path::new(DIR), &options, &Job::default()).expect("an answer")
}

fn codes(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.code).collect()
}

#[test]
fn a_closed_database_has_nothing_but_its_kernels_told() {
    let disk = SimDisk::new();
    let machine = Machine::on(&disk, 3);
    let database = Database::open(machine.env.clone(), Path::new(DIR), options()).unwrap();
    let collection = database.create_collection(
        "numbers",
        common::plain(
            cairn_engine::KeyType::String,
            2,
            cairn_engine::MetricName::L2,
        ),
    );
    put(&collection.unwrap(), &[Row::new(text("a"), &[1.0, 2.0])]);
    let open = look(&disk, 1 << 30);
    assert_eq!(codes(&open), ["kernels", "locked"]);
    assert!(open[1].what.contains("process"), "{open:?}");
    let inside = database.doctor(1 << 30, &Job::default()).unwrap();
    assert_eq!(codes(&inside), ["kernels"]);
    database.close().unwrap();
    let closed = look(&disk, 1 << 30);
    assert_eq!(codes(&closed), ["kernels"], "{closed:?}");
}

/// Each symptom, made and told once.
#[test]
fn each_symptom_has_its_finding() {
    let rest = Rest::with_version();
    let told = |change: &dyn Fn(&SimDisk), wal_bytes_max| {
        let disk = rest.copy();
        change(&disk);
        look(&disk, wal_bytes_max)
    };
    let plain = told(&|_| {}, 1 << 30);
    assert!(codes(&plain).contains(&"lock-left-behind"), "{plain:?}");
    assert!(
        plain
            .iter()
            .all(|finding| finding.severity < Severity::Error)
    );
    let path_of = |wanted| {
        let paths = rest.disk.paths();
        paths.into_iter().find(|path| kind(path) == wanted).unwrap()
    };
    let segment = path_of("segment");
    type Change<'a> = &'a dyn Fn(&SimDisk);
    let flip: Change<'_> = &|disk| disk.flip_bit(&segment, 100, 1).unwrap();
    let manifest = path_of("manifest");
    let unreadable: Change<'_> = &|disk| disk.fail_reads(&manifest, 0..1).unwrap();
    let gone: Change<'_> = &|disk| disk.remove_file(Path::new(&segment)).unwrap();
    let stranger: Change<'_> = &|disk| disk.put("/data/db/notes.txt", b"mine").unwrap();
    let tmp: Change<'_> = &|disk| disk.put("/data/db/CURRENT.tmp", b"").unwrap();
    let newer: Change<'_> = &|disk| {
        let path = path_of("pointer");
        let mut bytes = disk.read_all(&path).unwrap();
        bytes[8] = 9;
        let mut crc = cairn_storage::Crc32c::new();
        crc.update(&bytes[..12]);
        crc.update(&bytes[16..]);
        bytes[12..16].copy_from_slice(&crc.finish().to_le_bytes());
        disk.put(&path, &bytes).unwrap();
    };
    for (code, severity, change, log) in [
        ("damaged", Severity::Error, flip, 1 << 30),
        ("damaged", Severity::Error, unreadable, 1 << 30),
        ("missing", Severity::Error, gone, 1 << 30),
        ("foreign-file", Severity::Warning, stranger, 1 << 30),
        ("leftover", Severity::Info, tmp, 1 << 30),
        ("newer-format", Severity::Error, newer, 1 << 30),
        ("large-log", Severity::Warning, &|_| {}, 1_000),
    ] {
        let findings = told(change, log);
        let found = findings.iter().find(|finding| finding.code == code);
        let found = found.unwrap_or_else(|| panic!("{code}: {findings:?}"));
        assert_eq!(found.severity, severity, "{found:?}");
        assert!(!found.what.is_empty() && !found.place.is_empty() && !found.remedy.is_empty());
    }
}

#[test]
fn many_dead_rows_are_told_with_what_mends_them() {
    let disk = SimDisk::new();
    let machine = Machine::on(&disk, 3);
    let options = cairn_engine::Options {
        compaction: cairn_engine::Compaction::None,
        ..options()
    };
    let database = Database::open(machine.env.clone(), Path::new(DIR), options).unwrap();
    let schema = common::plain(
        cairn_engine::KeyType::String,
        2,
        cairn_engine::MetricName::L2,
    );
    let collection = database.create_collection("points", schema).unwrap();
    let key = |n: u32| text(format!("k{n}"));
    let rows: Vec<Row> = (0..3_000)
        .map(|n| Row::new(key(n), &[n as f32, 1.0]))
        .collect();
    put(&collection, &rows);
    collection.compact(&Job::default()).unwrap();
    let gone: Vec<KeyBuf> = (0..1_500).map(key).collect();
    remove(&collection, &gone);
    let stats = collection.stats().unwrap();
    assert!(
        stats.segments.iter().any(|s| s.health == Health::ManyDead),
        "{stats:?}"
    );
    let findings = database.doctor(1 << 30, &Job::default()).unwrap();
    assert!(codes(&findings).contains(&"many-dead-rows"), "{findings:?}");
    collection.compact(&Job::default()).unwrap();
    let findings = database.doctor(1 << 30, &Job::default()).unwrap();
    assert!(
        !codes(&findings).contains(&"many-dead-rows"),
        "{findings:?}"
    );
}

/// Bytes by the lengths of files, rows by what was written and removed.
#[test]
fn figures_equal_what_is_counted_otherwise() {
    let rest = Rest::new();
    let machine = Machine::on(&rest.disk, 5);
    let database = Database::open(machine.env.clone(), Path::new(DIR), options()).unwrap();
    let words = database.open_collection("words").unwrap();
    let gone: Vec<KeyBuf> = (300..400).map(|n| text(format!("word-{n}"))).collect();
    remove(&words, &gone);
    let all = database.stats().unwrap();
    let (mut stored, length) = (0, |path: &Path| {
        let file = rest.disk.open(path, Access::Read).unwrap();
        file.len().unwrap()
    });
    for (name, stats) in &all.collections {
        let collection = database.open_collection(name).unwrap();
        let state = rest::read(&collection).unwrap();
        assert_eq!(stats.count, state.len() as u64);
        let id = if name == "words" { 1 } else { 2 };
        let root = format!("{DIR}/collections/{id:016x}");
        let (mut live, mut dead) = (0.0, 0.0);
        for segment in &stats.segments {
            let file = length(Path::new(&format!("{root}/seg/{}.seg", segment.id)));
            let deletions = rest.disk.paths().into_iter();
            let deletions =
                deletions.filter(|p| p.starts_with(&format!("{root}/del/{}-", segment.id)));
            let bytes = file + deletions.map(|path| length(Path::new(&path))).sum::<u64>();
            assert_eq!(segment.bytes_disk, bytes, "{name} {}", segment.id);
            let versions = segment.version_min..=segment.version_max;
            let share = segment.live as f64 / segment.rows as f64;
            // Rows of the segment by their versions, where no two segments share one.
            let here = state
                .values()
                .filter(|rec| versions.contains(&rec.0))
                .count();
            assert!(segment.live <= here as u64, "{name} {}", segment.id);
            live += bytes as f64 * share;
            dead += bytes as f64 * (1.0 - share);
        }
        let near = |a: u64, b: f64| (a as f64 - b).abs() <= stats.segments.len() as f64;
        assert!(
            near(stats.live_bytes, live),
            "{name}: {} {live}",
            stats.live_bytes
        );
        assert!(
            near(stats.dead_bytes, dead),
            "{name}: {} {dead}",
            stats.dead_bytes
        );
        let logs = rest.disk.paths().into_iter();
        let logs = logs
            .filter(|path| path.starts_with(&format!("{root}/wal/0")))
            .count();
        assert_eq!(stats.wal_files, logs as u64, "{name}");
        stored += stats.live_bytes + stats.dead_bytes + stats.wal_bytes;
    }
    assert!(
        all.collections
            .iter()
            .any(|(_, stats)| stats.dead_bytes > 0)
    );
    assert_eq!(all.stored_bytes, stored);
    assert_eq!(all.headroom_bytes, 2 * stored);
    assert!(all.since_unix_ms > 0 && !all.host.is_empty());
}

#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
#[test]
fn planted_bugs_are_found() {
    if std::env::var_os("CAIRN_BUG").is_none() {
        crash::planted::expect_all_found(module_path!());
    }
}
