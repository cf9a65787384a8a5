//! Power is lost at every moment, and what was written under an idempotency key and is written again
//! has happened once: it is there and the answer is the first one's, or it was lost and happens now.
//!
//! A seeded workload adds records under keys, with every durability, between flushes, compactions
//! and restarts. An `add` that happens twice is an error, so nothing can hide. Then images of what
//! a crash may leave are opened, everything is written again, and some of them crash once more.
//!
//! `CAIRN_SEED` chooses the workloads, `CAIRN_CRASH_IMAGES` how many images.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::path::Path;
use std::sync::Arc;

use cairn_engine::{
    Code, Collection, Database, Durability, IndexKind, Job, Key, KeyBuf, KeyType, Keys, MetricName,
    Options, Quantize, Schema, Select, VectorColumn, VectorField, VectorKind, WriteBatch,
    WriteKind, WriteOptions, WriteResult,
};
use cairn_testkit::{Choice, Rng, SimDisk, seed_from_env, sim_env_seeded};

use crate::crash;

const IMAGES: u64 = if cfg!(feature = "failpoints") {
    6_000
} else {
    1_000
};
const STEPS: u64 = 50;
/// Records that are removed under a key before they are there.
const ABSENT: u64 = 1_000;

fn schema() -> Schema {
    Schema {
        key: KeyType::U64,
        vectors: vec![VectorField {
            name: "v".into(),
            dim: 2,
            metric: MetricName::L2,
            index: IndexKind::Flat,
            kind: VectorKind::F32,
            quantize: Quantize::None,
        }],
        fields: Vec::new(),
        extra: cairn_engine::Extra::Allow,
        expires_at: None,
    }
}

/// The log is flushed every few batches.
fn options() -> Options {
    Options {
        wal_bytes_max: 3_000,
        memtable_bytes: 0,
        ..Options::default()
    }
}

fn open(disk: &SimDisk, seed: u64) -> Arc<Database> {
    let env = sim_env_seeded(disk, seed);
    Database::open(env, Path::new("/db"), options()).unwrap()
}

fn write(
    collection: &Arc<Collection>,
    kind: WriteKind,
    record: u64,
    key: Option<String>,
    durability: Durability,
) -> cairn_engine::Result<WriteResult> {
    let data = vec![record as f32, 1.0];
    let vectors = vec![Some(VectorColumn {
        data,
        present: None,
    })];
    let batch = WriteBatch {
        kind,
        keys: Keys::U64(vec![record]),
        vectors: if kind == WriteKind::Delete {
            Vec::new()
        } else {
            vectors
        },
        payloads: None,
    };
    let options = WriteOptions {
        idempotency_key: key,
        durability: Some(durability),
        ..WriteOptions::default()
    };
    collection.write(batch, options)
}

fn add(collection: &Arc<Collection>, n: u64, durability: Durability) -> WriteResult {
    let key = Some(format!("add {n}"));
    write(collection, WriteKind::Add, n, key, durability)
        .unwrap_or_else(|error| panic!("record {n} again: {error}"))
}

fn remove_absent(collection: &Arc<Collection>, n: u64) -> WriteResult {
    let (record, key) = (ABSENT + n, Some(format!("remove {n}")));
    write(collection, WriteKind::Delete, record, key, Durability::Sync).unwrap()
}

/// The version of a record, if it is there.
fn version(collection: &Arc<Collection>, record: u64) -> Option<u64> {
    let mut keys = Keys::new(KeyType::U64);
    keys.push(KeyBuf::U64(record).as_key());
    let snapshot = collection.snapshot().unwrap();
    let found = snapshot.get(&keys, &Select::default()).unwrap();
    found[0].as_ref().map(|record| record.version)
}

/// A write under a key, and when it was begun and answered.
struct Written {
    n: u64,
    started: usize,
    answered: usize,
    durability: Durability,
    result: WriteResult,
}

/// Runs a workload; gives what was added, in order.
fn workload(disk: &SimDisk, seed: u64) -> Vec<Written> {
    let mut rng = Rng::new(seed);
    let mut database = open(disk, seed);
    database.create_collection("c", schema()).unwrap();
    let mut written: Vec<Written> = Vec::new();
    for n in 0..STEPS {
        let collection = database.open_collection("c").unwrap();
        match rng.below(20) {
            0 => drop(collection.commit().unwrap()),
            1 => collection.compact(&Job::default()).unwrap(),
            2 => {
                database.close().unwrap();
                database = open(disk, seed ^ n);
            }
            3..=5 if !written.is_empty() => {
                let again = rng.choose(&written).unwrap();
                let durability = Durability::Sync;
                assert_eq!(add(&collection, again.n, durability), again.result);
            }
            6 | 7 => {
                let result = remove_absent(&collection, n);
                assert_eq!((result.deleted, result.skipped), (0, 1));
                let (kind, record) = (WriteKind::Upsert, ABSENT + n);
                write(&collection, kind, record, None, Durability::Sync).unwrap();
                let again = remove_absent(&collection, n);
                assert_eq!(again, result);
            }
            draw => {
                let durability = match draw {
                    8..=10 => Durability::Memory,
                    11 | 12 => Durability::Os,
                    _ => Durability::Sync,
                };
                let started = disk.op_count();
                let result = add(&collection, n, durability);
                assert_eq!(result.inserted, 1);
                written.push(Written {
                    n,
                    started,
                    answered: disk.op_count(),
                    durability,
                    result,
                });
            }
        }
    }
    written
}

/// Writes everything again that had begun, in what a crash left.
fn write_again(collection: &Arc<Collection>, written: &[Written], at: usize) {
    for n in 0..STEPS {
        // It was removed under its key before, or it would not be there.
        if let Some(there) = version(collection, ABSENT + n) {
            let again = remove_absent(collection, n);
            assert_eq!((again.deleted, again.skipped), (0, 1), "removal {n}");
            assert_eq!(version(collection, ABSENT + n), Some(there), "removal {n}");
        }
    }
    for one in written.iter().filter(|one| one.started <= at) {
        let n = one.n;
        let before = version(collection, n);
        if one.answered <= at && one.durability == Durability::Sync {
            assert!(before.is_some(), "record {n} was acknowledged");
        }
        let newest = collection.snapshot().unwrap().version();
        let again = add(collection, n, Durability::Sync);
        assert_eq!((again.inserted, again.updated), (1, 0), "record {n}");
        match before {
            Some(there) => assert_eq!(again.version, there, "record {n} is answered as it was"),
            None => assert!(again.version > newest, "record {n} happens now"),
        }
        assert_eq!(version(collection, n), Some(again.version), "record {n}");
        assert_eq!(add(collection, n, Durability::Sync), again, "record {n}");
    }
}

/// Opens an image, writes everything again, and lets some crash once more.
fn check(image: &SimDisk, written: &[Written], at: usize, rng: &mut Rng, depth: usize) {
    let database = open(image, rng.next_u64());
    let Ok(collection) = database.open_collection("c") else {
        assert!(written.iter().all(|one| one.answered > at));
        return;
    };
    let opened = image.op_count();
    write_again(&collection, written, at);
    let compacted = rng.chance(0.2);
    if compacted {
        collection.compact(&Job::default()).unwrap();
        write_again(&collection, written, at);
    }
    let begun = written.iter().filter(|one| one.started <= at).count();
    let keys = (0..STEPS).filter(|&n| version(&collection, n).is_some());
    assert_eq!(keys.count(), begun, "every record once");
    drop((collection, database));
    if depth > 0 && rng.chance(0.3) {
        let again = rng.range(opened..image.op_count() + 1);
        let crashed = image.crash_image(again, &mut Choice::seeded(rng.next_u64()));
        let late: Vec<Written> = written
            .iter()
            .filter(|one| one.started <= at)
            .map(|one| Written {
                // What was written again was begun in the second life, and lost or not.
                started: 0,
                answered: usize::MAX,
                ..*one
            })
            .collect();
        check(&crashed, &late, again, rng, depth - 1);
    }
}

#[test]
fn a_keyed_write_happens_once_wherever_power_is_lost() {
    let first = seed_from_env("CAIRN_SEED", 1);
    let images = crash::number("CAIRN_CRASH_IMAGES", IMAGES);
    let (mut checked, mut seed) = (0, first);
    while checked < images {
        let what = format!("the workload of CAIRN_SEED={seed}");
        let _about = crash::About(&what);
        let disk = SimDisk::new();
        let written = workload(&disk, seed);
        let mut rng = Rng::new(seed ^ 0xdead);
        for at in (0..=disk.op_count()).step_by(3) {
            let mut choice = match rng.below(4) {
                0 => Choice::keep_all(),
                1 => Choice::lose_all(),
                _ => Choice::seeded(rng.next_u64()),
            };
            let image = disk.crash_point(at).recorded_image(&mut choice);
            let what = format!("CAIRN_SEED={seed} at={at}");
            let _about = crash::About(&what);
            check(&image.disk, &written, at, &mut rng, 2);
            checked += 1;
        }
        seed += 1;
    }
    println!(
        "keyed writes: {checked} images of {} workloads",
        seed - first
    );
}

/// The disk refuses one call, whichever: of the write, or of the flush behind it. Whatever the
/// caller hears, what is opened afterwards takes the write again and has it once.
#[test]
fn a_write_whose_outcome_is_unknown_is_repeated_and_happens_once() {
    let mut unknown = 0;
    for call in 1.. {
        let disk = SimDisk::new();
        let database = open(&disk, 1);
        let collection = database.create_collection("c", schema()).unwrap();
        add(&collection, 0, Durability::Sync);
        let before = disk.calls();
        disk.fail_nth(before + call, std::io::ErrorKind::Other);
        let key = || Some(String::from("once"));
        let first = write(&collection, WriteKind::Add, 1, key(), Durability::Sync);
        drop(collection.compact(&Job::default()));
        let calls = disk.calls() - before;
        disk.clear_faults();
        drop(database.close());
        drop((collection, database));

        let database = open(&disk, 2);
        let collection = database.open_collection("c").unwrap();
        let there = version(&collection, 1);
        let again = write(&collection, WriteKind::Add, 1, key(), Durability::Sync);
        let again = again.unwrap_or_else(|error| panic!("call {call}: {error}"));
        assert_eq!(again.inserted, 1, "call {call}");
        assert!(there.is_none_or(|version| again.version == version));
        match first {
            Ok(first) => assert_eq!(again, first, "call {call}"),
            Err(error) if error.code() == Code::OutcomeUnknown => {
                unknown += 1;
                let names = |(name, _): &(&str, _)| *name == "version";
                assert!(error.details().iter().any(names), "{error}");
            }
            Err(_) => assert_eq!(there, None, "call {call}: it did not happen"),
        }
        let snapshot = collection.snapshot().unwrap();
        assert!(snapshot.has(Key::U64(1)).unwrap() && snapshot.count() == 2);
        if calls < call {
            assert!(unknown > 0 && call > 10);
            println!("one call of {call} failed: {unknown} outcomes were unknown");
            return;
        }
    }
}

#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
#[test]
fn planted_bugs_are_found() {
    if std::env::var_os("CAIRN_BUG").is_none() {
        crash::planted::expect_all_found(module_path!());
    }
}
