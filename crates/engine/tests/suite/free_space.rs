//! Before a disk is full, writes are refused: nothing happened, reads go on, what memory holds can
//! still be flushed, and writes go on by themselves when there is room.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::sync::Arc;

use cairn_engine::{
    Code, Collection, Database, Durability, Fact, Job, KeyType, MetricName, Options, WriteKind,
    WriteOptions,
};
use cairn_testkit::{Choice, SimDisk, sim_env, sim_env_seeded};

use crate::common;
use common::{Home, Row, batch, number, plain, put, small};

const KIB: u64 = 1024;
const ROWS: u64 = 20;

fn rows(first: u64) -> Vec<Row> {
    (first..first + ROWS)
        .map(|n| Row::new(number(n), &[n as f32; 64]))
        .collect()
}

struct Setup {
    disk: SimDisk,
    database: Arc<Database>,
    collection: Arc<Collection>,
}

fn setup(options: Options) -> Setup {
    let disk = SimDisk::new();
    let database = Home::on(sim_env(&disk)).open(options);
    let schema = plain(KeyType::U64, 64, MetricName::Cosine);
    let collection = database.create_collection("c", schema).unwrap();
    // So that no vector is zero.
    put(&collection, &rows(1));
    Setup {
        disk,
        database,
        collection,
    }
}

fn write(
    collection: &Arc<Collection>,
    first: u64,
    durability: Durability,
) -> cairn_engine::Result<u64> {
    let upsert = batch(collection.schema(), WriteKind::Upsert, &rows(first));
    let options = WriteOptions {
        durability: Some(durability),
        ..WriteOptions::default()
    };
    collection.write(upsert, options).map(|done| done.inserted)
}

/// Writes until it is refused; how many records there are then.
fn fill(setup: &Setup, durability: Durability) -> u64 {
    let mut next = 1 + ROWS;
    loop {
        match write(&setup.collection, next, durability) {
            Ok(inserted) => next += inserted,
            Err(error) => {
                assert_eq!(error.code(), Code::NoSpace, "{error}");
                return next - 1;
            }
        }
        assert!(next < 1_000_000, "the disk never filled up");
    }
}

#[test]
fn a_nearly_full_disk_refuses_writes_and_can_still_be_flushed() {
    for durability in [Durability::Sync, Durability::Os, Durability::Memory] {
        for mib in [2, 3, 5] {
            // A memtable that is full only when the disk is.
            let setup = setup(Options {
                memtable_bytes: 64 * 1024 * KIB as usize,
                ..Options::default()
            });
            let (disk, collection) = (&setup.disk, &setup.collection);
            disk.set_capacity(Some(disk.used_bytes() + mib * 1024 * KIB));
            let count = fill(&setup, durability);
            let what = format!("{durability:?} {mib} MiB: {count} records");
            assert!(count > 2 * ROWS, "{what}");

            // Nothing happened, again and again, and reads go on.
            let stats = collection.stats().unwrap();
            let used = disk.used_bytes();
            for _ in 0..5 {
                let refused = write(collection, count + 1, durability).unwrap_err();
                assert_eq!(refused.code(), Code::NoSpace);
                assert!(refused.retryable());
            }
            assert_eq!(disk.used_bytes(), used, "{what}");
            let after = collection.stats().unwrap();
            assert_eq!(
                (after.count, after.version, after.poisoned),
                (count, stats.version, false),
                "{what}"
            );
            assert!(
                !collection
                    .snapshot()
                    .unwrap()
                    .has(number(count + 1).as_key())
                    .unwrap()
            );

            // The reserve takes the flush that makes everything durable.
            setup
                .database
                .commit()
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            let mut choice = Choice::lose_all();
            let image = disk.crash_image(disk.op_count(), &mut choice);
            let database = Home::on(sim_env_seeded(&image, 5)).open(Options::default());
            let found = database.open_collection("c").unwrap();
            assert_eq!(found.snapshot().unwrap().count(), count, "{what}");

            // Room again: it goes on as if nothing had been.
            disk.set_capacity(None);
            assert_eq!(write(collection, count + 1, durability).unwrap(), ROWS);
            collection.compact(&Job::default()).unwrap();
            assert_eq!(collection.snapshot().unwrap().count(), count + ROWS);
            setup.database.close().unwrap();
        }
    }
}

#[test]
fn a_refusal_tells_what_there_is_and_what_is_needed() {
    let setup = setup(small());
    let free = 300 * KIB;
    setup
        .disk
        .set_capacity(Some(setup.disk.used_bytes() + free));
    let error = write(&setup.collection, 100, Durability::Sync).unwrap_err();
    assert_eq!(error.code(), Code::NoSpace);
    let number = |name| {
        let fact = error.details().iter().find(|(it, _)| *it == name);
        match fact {
            Some((_, Fact::Number(number))) => *number,
            other => panic!("{name}: {other:?}"),
        }
    };
    assert_eq!(number("free"), free);
    assert!(number("needed") > 1024 * KIB);
    assert!(error.details().iter().any(|(name, _)| *name == "directory"));
}

#[test]
fn what_other_collections_have_in_memory_counts() {
    let setup = setup(Options::default());
    let schema = plain(KeyType::U64, 64, MetricName::Cosine);
    let other = setup.database.create_collection("other", schema).unwrap();
    put(&other, &rows(1));
    let before = write(&other, 100, Durability::Memory);
    assert!(before.is_ok());
    for n in 0..50 {
        write(&setup.collection, 1_000 + n * ROWS, Durability::Memory).unwrap();
    }
    let held = setup.collection.stats().unwrap().memtable_bytes;
    assert!(held > 512 * KIB);
    // Enough for the reserve and a little; not for what the first collection has.
    let room = 1024 * KIB + 200 * KIB;
    setup
        .disk
        .set_capacity(Some(setup.disk.used_bytes() + room));
    let refused = write(&other, 200, Durability::Memory).unwrap_err();
    assert_eq!(refused.code(), Code::NoSpace);
    // Once that is gone, there is room for the other one.
    setup.database.drop_collection("c").unwrap();
    write(&other, 200, Durability::Memory).unwrap();
}

#[test]
fn a_repetition_and_a_write_that_changes_nothing_need_no_room() {
    let setup = setup(Options::default());
    let upsert = || batch(setup.collection.schema(), WriteKind::Upsert, &rows(500));
    let keyed = || WriteOptions {
        idempotency_key: Some("k".into()),
        ..WriteOptions::default()
    };
    let first = setup.collection.write(upsert(), keyed()).unwrap();
    setup.disk.set_capacity(Some(setup.disk.used_bytes()));
    assert_eq!(setup.collection.write(upsert(), keyed()).unwrap(), first);
    let nothing = common::removal(setup.collection.schema(), &[number(9_999)]);
    let done = setup.collection.write(nothing, WriteOptions::default());
    assert_eq!(done.unwrap().skipped, 1);
}

#[test]
fn a_merge_that_would_take_the_reserve_does_not_begin() {
    let setup = setup(Options::default());
    for n in 0..20 {
        write(&setup.collection, 1_000 + n * 100 * ROWS, Durability::Sync).unwrap();
        if n % 10 == 0 {
            write(&setup.collection, 500_000 + n * ROWS, Durability::Memory).unwrap();
            setup.collection.commit().unwrap();
        }
    }
    let segments = setup.collection.stats().unwrap().segments.len();
    assert!(segments > 1);
    let used = setup.disk.used_bytes();
    setup.disk.set_capacity(Some(used + 1024 * KIB));
    let error = setup.collection.compact(&Job::default()).unwrap_err();
    assert_eq!(error.code(), Code::NoSpace, "{error}");
    let stats = setup.collection.stats().unwrap();
    assert_eq!((stats.poisoned, stats.count), (false, 23 * ROWS));
    setup.disk.set_capacity(None);
    setup.collection.compact(&Job::default()).unwrap();
    assert_eq!(setup.collection.stats().unwrap().segments.len(), 1);
}

/// Segments of flushes have no graphs; what they are merged to has, and links of short vectors take more
/// than these do.
fn without_graphs() -> (SimDisk, Arc<Database>, Arc<Collection>) {
    let disk = SimDisk::new();
    let database = Home::on(sim_env(&disk)).open(Options::default());
    let schema = plain(KeyType::U64, 2, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    let row = |n: u64| Row::new(number(n), &[(n % 97) as f32, (n % 89) as f32]);
    let rows: Vec<Row> = (0..3000).map(row).collect();
    put(&collection, &rows);
    (disk, database, collection)
}

fn refused_for_the_reserve(collection: &Arc<Collection>, job: &Job) {
    let error = collection.compact(job).unwrap_err();
    assert_eq!(error.code(), Code::NoSpace, "{error}");
    let facts: Vec<&str> = error.details().iter().map(|(name, _)| *name).collect();
    assert!(facts.contains(&"needed"), "it began: {error} {facts:?}");
}

#[test]
fn a_merge_counts_the_graphs_that_its_inputs_do_not_have() {
    let (disk, database, collection) = without_graphs();
    // Enough for the segment of the flush and another one without a graph.
    let reserve = Options::default().disk_reserve_bytes;
    disk.set_capacity(Some(disk.used_bytes() + reserve + 350 * KIB));
    refused_for_the_reserve(&collection, &Job::default());
    disk.set_capacity(None);
    collection.compact(&Job::default()).unwrap();
    database.close().unwrap();
}

#[test]
fn a_merge_looks_again_when_its_graphs_are_built() {
    let (disk, database, collection) = without_graphs();
    let filling = disk.clone();
    let job = Job {
        progress: Some(Arc::new(move |_, _| {
            filling.set_capacity(Some(filling.used_bytes() + 1024 * KIB));
        })),
        ..Job::default()
    };
    refused_for_the_reserve(&collection, &job);
    disk.set_capacity(None);
    collection.compact(&Job::default()).unwrap();
    database.close().unwrap();
}

#[test]
fn without_a_reserve_nobody_looks_at_the_disk() {
    let setup = setup(Options {
        disk_reserve_bytes: 0,
        ..Options::default()
    });
    setup
        .disk
        .set_capacity(Some(setup.disk.used_bytes() + 100 * KIB));
    // The log has room, and that is all it takes.
    assert_eq!(
        write(&setup.collection, 100, Durability::Sync).unwrap(),
        ROWS
    );
}
