//! A writer that is faster than the disk is slowed down, never refused, and neither the memtables
//! nor the log outgrow their caps meanwhile.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common;
#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
#[path = "common/crash/planted.rs"]
mod planted;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cairn_engine::{
    Collection, Job, KeyType, MetricName, Options, WriteBatch, WriteKind, WriteOptions,
};
use cairn_env::{Clock, OsClock};

use common::{Home, Row, WatchedDisk, batch, number, plain, put, remove};

const KIB: u64 = 1024;

fn rows(first: u64, count: u64) -> Vec<Row> {
    (first..first + count)
        .map(|n| Row::new(number(n), &[n as f32 + 1.0; 32]))
        .collect()
}

/// Bytes of one row in a memtable and in the log are about the same here: 128 of its vector, 8 of
/// its key, some 40 beside.
const ROW_BYTES: u64 = 200;

/// The highest figures seen while a closure ran.
#[derive(Default)]
struct Peaks {
    memtable: AtomicU64,
    wal: AtomicU64,
    frozen: AtomicU64,
}

fn watching<R>(collection: &Arc<Collection>, work: impl FnOnce() -> R) -> (R, Peaks) {
    let peaks = Peaks::default();
    let done = AtomicBool::new(false);
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let stats = collection.stats().unwrap();
                let max = Ordering::Relaxed;
                peaks.memtable.fetch_max(stats.memtable_bytes, max);
                peaks.wal.fetch_max(stats.wal_bytes, max);
                peaks.frozen.fetch_max(stats.frozen_memtables, max);
                OsClock::new().sleep(std::time::Duration::from_micros(300));
            }
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        result
    });
    (result, peaks)
}

#[test]
fn memtables_and_log_stay_inside_their_caps_beside_a_slow_disk() {
    const BATCH: u64 = 100;
    let disk = WatchedDisk::new();
    let slow = &disk.watch.segment_sync_us;
    slow.store(15_000, Ordering::Relaxed);
    let options = Options {
        memtable_bytes: 256 * 1024,
        wal_bytes_max: 1024 * KIB,
        ..Options::default()
    };
    let cap = options.wal_bytes_max;
    let memtable = options.memtable_bytes as u64;
    let home = Home::on(disk.env(2));
    let database = home.open(options);
    let schema = plain(KeyType::U64, 32, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    let (written, peaks) = watching(&collection, || {
        let mut written = 0;
        for round in 0..200 {
            // `put` panics when a write is refused.
            written += put(&collection, &rows(round * BATCH, BATCH)).inserted;
        }
        written
    });
    assert_eq!(collection.snapshot().unwrap().count(), written);
    let peak = |peak: &AtomicU64| peak.load(Ordering::Relaxed);
    println!(
        "memtable={} wal={} frozen={}",
        peak(&peaks.memtable),
        peak(&peaks.wal),
        peak(&peaks.frozen)
    );
    let one_record = BATCH * ROW_BYTES;
    assert!(peak(&peaks.frozen) <= 2);
    assert!(
        peak(&peaks.frozen) >= 1,
        "the disk was too fast to prove anything"
    );
    assert!(peak(&peaks.memtable) <= 3 * (memtable + one_record));
    assert!(peak(&peaks.wal) <= cap + one_record);

    // At rest there is a flush behind the writes, and the log is small again.
    slow.store(0, Ordering::Relaxed);
    home.at_rest(&collection);
    assert!(collection.stats().unwrap().wal_bytes <= 2 * memtable);
    collection.compact(&Job::default()).unwrap();
    let stats = collection.stats().unwrap();
    assert_eq!((stats.memtable_rows, stats.memtable_bytes), (0, 0));
    assert!(stats.wal_bytes <= KIB);
    assert_eq!(stats.last_background_error, None);
}

#[test]
fn many_callers_in_one_group_do_not_pass_the_caps_either() {
    let disk = WatchedDisk::new();
    disk.watch.segment_sync_us.store(10_000, Ordering::Relaxed);
    disk.watch.wal_sync_us.store(2_000, Ordering::Relaxed);
    let options = Options {
        memtable_bytes: 256 * 1024,
        wal_bytes_max: 1024 * KIB,
        ..Options::default()
    };
    let cap = options.wal_bytes_max;
    let memtable = options.memtable_bytes as u64;
    let home = Home::on(disk.env(2));
    let database = home.open(options);
    let schema = plain(KeyType::U64, 32, MetricName::Cosine);
    let collection = database.create_collection("c", schema).unwrap();
    let ((), peaks) = watching(&collection, || {
        std::thread::scope(|scope| {
            for caller in 0..32 {
                let collection = &collection;
                scope.spawn(move || {
                    for n in 0..12 {
                        put(collection, &rows((caller * 12 + n) * 200, 200));
                    }
                });
            }
        });
    });
    let wal = peaks.wal.load(Ordering::Relaxed);
    let memtables = peaks.memtable.load(Ordering::Relaxed);
    println!("wal={wal} memtables={memtables}");
    assert!(wal <= cap + 200 * ROW_BYTES);
    // Under cosine a memtable has each vector twice.
    assert!(memtables <= 3 * memtable + 200 * 2 * ROW_BYTES);
    assert_eq!(collection.snapshot().unwrap().count(), 32 * 12 * 200);
}

#[test]
fn deletions_alone_keep_the_log_inside_its_cap() {
    let disk = WatchedDisk::new();
    let options = Options {
        memtable_bytes: 256 * 1024,
        wal_bytes_max: 256 * KIB,
        ..Options::default()
    };
    let cap = options.wal_bytes_max;
    let home = Home::on(disk.env(2));
    let database = home.open(options);
    let schema = plain(KeyType::U64, 1, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    let row = |n| Row::new(number(n), &[n as f32]);
    let all: Vec<Row> = (0..60_000).map(row).collect();
    put(&collection, &all);
    let ((), peaks) = watching(&collection, || {
        for part in all.chunks(500) {
            let gone: Vec<_> = part.iter().map(|row| row.key.clone()).collect();
            remove(&collection, &gone);
        }
    });
    // The first batch alone is larger than the cap: one record above it is what is allowed.
    let first = 60_000 * 16;
    assert!(peaks.wal.load(Ordering::Relaxed) <= cap + first);
    assert_eq!(collection.snapshot().unwrap().count(), 0);
    home.at_rest(&collection);
    assert!(collection.stats().unwrap().wal_bytes <= cap);
}

#[test]
fn more_collections_than_commit_threads_still_find_room() {
    // Each has a writer whose memtables are full; no writer may wait for a flush that waits for a
    // thread which the writers themselves occupy.
    let disk = WatchedDisk::new();
    let database = Home::on(disk.env(2)).open(common::small());
    let collections: Vec<Arc<Collection>> = (0..80)
        .map(|n| {
            let schema = plain(KeyType::U64, 32, MetricName::L2);
            database
                .create_collection(&format!("c{n}"), schema)
                .unwrap()
        })
        .collect();
    // Slow enough that every writer is at work before the first one needs room.
    disk.watch.wal_sync_us.store(60_000, Ordering::Relaxed);
    let upsert = |round: u64| {
        let rows = rows(round * 400, 400);
        batch(collections[0].schema(), WriteKind::Upsert, &rows)
    };
    let batches: Vec<WriteBatch> = (0..5).map(upsert).collect();
    let left = Arc::new(AtomicU64::new(0));
    for collection in &collections {
        for batch in &batches {
            left.fetch_add(1, Ordering::Relaxed);
            let answered = Arc::clone(&left);
            let done = move |result: cairn_engine::Result<_>| {
                result.expect("writers are slowed, never refused");
                answered.fetch_sub(1, Ordering::Relaxed);
            };
            collection.submit(batch.clone(), WriteOptions::default(), Box::new(done));
        }
    }
    common::within(60, "every writer finds room", || {
        left.load(Ordering::Relaxed) == 0
    });
    for collection in &collections {
        assert_eq!(collection.snapshot().unwrap().count(), 2_000);
    }
}

#[test]
fn all_collections_stay_inside_one_budget() {
    const COLLECTIONS: u64 = 48;
    const BATCH: u64 = 100;
    let options = Options {
        memory_budget: 2 * 1024 * 1024,
        block_cache_bytes: 512 * 1024,
        ..Options::default()
    };
    let limit = (options.memory_budget - options.block_cache_bytes) as u64;
    let disk = WatchedDisk::new();
    let database = Home::on(disk.env(2)).open(options);
    let collections: Vec<Arc<Collection>> = (0..COLLECTIONS)
        .map(|n| {
            let schema = plain(KeyType::U64, 32, MetricName::L2);
            database
                .create_collection(&format!("c{n}"), schema)
                .unwrap()
        })
        .collect();
    let held = || -> u64 {
        let bytes = collections
            .iter()
            .map(|one| one.stats().unwrap().memtable_bytes);
        bytes.sum()
    };
    let mut peak = 0;
    // The last ones get no more than a batch: what the others hold makes room for it.
    for round in 0..20 {
        for (n, collection) in (0..).zip(&collections) {
            if n < COLLECTIONS / 2 || round == 0 {
                put(collection, &rows(round * BATCH, BATCH));
                peak = peak.max(held());
            }
        }
    }
    println!("limit={limit} peak={peak}");
    assert!(peak > limit / 2, "too little was written to prove anything");
    assert!(peak <= limit + BATCH * ROW_BYTES);
    for (n, collection) in (0..).zip(&collections) {
        let rounds = if n < COLLECTIONS / 2 { 20 } else { 1 };
        assert_eq!(collection.snapshot().unwrap().count(), rounds * BATCH);
        assert_eq!(collection.stats().unwrap().last_background_error, None);
    }
}

#[test]
fn writers_of_many_collections_at_once_stay_inside_one_budget() {
    const COLLECTIONS: u64 = 40;
    const BATCH: u64 = 800;
    let options = Options {
        memory_budget: 2 * 1024 * 1024,
        block_cache_bytes: 512 * 1024,
        ..Options::default()
    };
    let limit = (options.memory_budget - options.block_cache_bytes) as u64;
    let disk = WatchedDisk::new();
    disk.watch.wal_sync_us.store(3_000, Ordering::Relaxed);
    let database = Home::on(disk.env(2)).open(options);
    let collections: Vec<Arc<Collection>> = (0..COLLECTIONS)
        .map(|n| {
            let schema = plain(KeyType::U64, 32, MetricName::L2);
            database
                .create_collection(&format!("c{n}"), schema)
                .unwrap()
        })
        .collect();
    let left = AtomicU64::new(COLLECTIONS);
    let mut peak = 0;
    std::thread::scope(|scope| {
        for collection in &collections {
            let left = &left;
            scope.spawn(move || {
                for round in 0..5 {
                    put(collection, &rows(round * BATCH, BATCH));
                }
                left.fetch_sub(1, Ordering::Relaxed);
            });
        }
        while left.load(Ordering::Relaxed) > 0 {
            let held = |one: &Arc<Collection>| one.stats().unwrap().memtable_bytes;
            peak = peak.max(collections.iter().map(held).sum());
        }
    });
    println!("limit={limit} peak={peak}");
    assert!(peak > limit / 2, "too little was written to prove anything");
    // The collections are asked one after the other, and what moves meanwhile is counted twice. If
    // all 40 saw the same room, they would have 6.4 MB.
    assert!(peak <= limit + 6 * BATCH * ROW_BYTES);
    for collection in &collections {
        assert_eq!(collection.snapshot().unwrap().count(), 5 * BATCH);
    }
}

#[test]
fn what_many_logs_hold_is_inside_the_budget_once_they_are_open() {
    const COLLECTIONS: u64 = 40;
    let home = Home::memory();
    let roomy = home.open(Options::default());
    for n in 0..COLLECTIONS {
        let schema = plain(KeyType::U64, 32, MetricName::L2);
        let collection = roomy.create_collection(&format!("c{n}"), schema).unwrap();
        put(&collection, &rows(0, 800));
    }
    roomy.close().unwrap();
    drop(roomy);
    let options = Options {
        memory_budget: 2 * 1024 * 1024,
        block_cache_bytes: 512 * 1024,
        ..Options::default()
    };
    let limit = (options.memory_budget - options.block_cache_bytes) as u64;
    let database = home.open(options);
    let mut held = 0;
    for n in 0..COLLECTIONS {
        let collection = database.open_collection(&format!("c{n}")).unwrap();
        assert_eq!(collection.snapshot().unwrap().count(), 800);
        held += collection.stats().unwrap().memtable_bytes;
    }
    println!("limit={limit} held={held}");
    assert!(held > 0, "the logs held something");
    assert!(held <= limit, "{held} of {limit}");
}

#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
#[test]
fn every_bug_of_the_budget_is_found() {
    planted::expect_all_found(module_path!());
}
