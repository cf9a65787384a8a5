//! A disk whose syncs take seconds: writes that asked for one wait for it and share it, and nobody
//! else waits. Reads and writes of lower durability go on, nothing piles up, and nothing is
//! acknowledged before the sync that it is to survive.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cairn_engine::{
    Collection, Durability, Effort, KeyType, MetricName, Options, SearchRequest, Stop, WriteKind,
    WriteOptions,
};
use cairn_env::{Clock, OsClock};
use common::{Home, Row, WatchedDisk, batch, everything, keys, number, plain, put};

const SYNC: Duration = Duration::from_millis(1_500);

/// What one who waits for nothing may take on a busy machine.
const SOON: Duration = Duration::from_millis(500);

fn row(n: u64) -> Row {
    Row::new(number(n), &[n as f32, 1.0])
}

fn write(collection: &Arc<Collection>, n: u64, durability: Durability) {
    let options = WriteOptions {
        durability: Some(durability),
        ..WriteOptions::default()
    };
    let upsert = batch(collection.schema(), WriteKind::Upsert, &[row(n)]);
    collection.write(upsert, options).unwrap();
}

struct Slow {
    disk: WatchedDisk,
    home: Home,
    collections: Vec<Arc<Collection>>,
}

impl Slow {
    fn new() -> Self {
        let disk = WatchedDisk::new();
        let home = Home::on(disk.env(4));
        let database = home.open(Options::default());
        let schema = plain(KeyType::U64, 2, MetricName::L2);
        let collections =
            ["busy", "other"].map(|name| database.create_collection(name, schema.clone()).unwrap());
        for collection in &collections {
            put(collection, &(0..100).map(row).collect::<Vec<_>>());
        }
        let slow = u64::try_from(SYNC.as_micros()).unwrap();
        disk.watch.wal_sync_us.store(slow, Ordering::Relaxed);
        // The database lives as long as its collections do.
        std::mem::forget(database);
        Self {
            disk,
            home,
            collections: collections.into(),
        }
    }

    fn fast_again(&self) {
        self.disk.watch.wal_sync_us.store(0, Ordering::Relaxed);
    }
}

/// How long the slowest of many calls took until `done`.
fn slowest(done: &AtomicBool, mut call: impl FnMut(u64)) -> (Duration, u64) {
    let clock = OsClock::new();
    let (mut worst, mut calls) = (Duration::ZERO, 0);
    while !done.load(Ordering::Relaxed) {
        let begun = clock.now();
        call(calls);
        worst = worst.max(clock.now() - begun);
        calls += 1;
        clock.sleep(Duration::from_millis(5));
    }
    (worst, calls)
}

#[test]
fn one_sync_that_stalls_holds_up_nobody_who_did_not_ask_for_it() {
    let slow = Slow::new();
    let [busy, other] = [&slow.collections[0], &slow.collections[1]];
    let done = AtomicBool::new(false);
    let (reads, memory, waited) = std::thread::scope(|scope| {
        let reads = scope.spawn(|| {
            let request = SearchRequest {
                effort: Effort::Exact,
                ..SearchRequest::new(&[3.0, 1.0], 5)
            };
            slowest(&done, |n| {
                let snapshot = busy.snapshot().unwrap();
                let wanted = keys(KeyType::U64, &[number(n % 100)]);
                assert!(snapshot.get(&wanted, &everything()).unwrap()[0].is_some());
                let hits = snapshot.search(&request, &Stop::never()).unwrap();
                assert_eq!(hits.distances.len(), 5);
                assert!(snapshot.count() >= 100);
            })
        });
        let memory =
            scope.spawn(|| slowest(&done, |n| write(other, 1_000 + n, Durability::Memory)));
        let clock = OsClock::new();
        write(busy, 500, Durability::Sync);
        let waited = clock.now();
        done.store(true, Ordering::Relaxed);
        (reads.join().unwrap(), memory.join().unwrap(), waited)
    });
    println!("the write took {waited:?}, reads {reads:?}, writes to memory {memory:?}");
    assert!(
        waited >= SYNC,
        "acknowledged after {waited:?}, before its sync"
    );
    assert!(reads.1 > 10 && memory.1 > 10, "they went on meanwhile");
    assert!(reads.0 < SOON, "{reads:?}");
    assert!(memory.0 < SOON, "{memory:?}");
    slow.fast_again();
}

/// Those who come while a sync stalls share the next one, however many they are.
#[test]
fn writers_that_wait_for_a_slow_sync_share_the_next_one() {
    const CALLERS: u64 = 24;
    let slow = Slow::new();
    let busy = &slow.collections[0];
    let syncs = || slow.disk.watch.wal_syncs.load(Ordering::Relaxed);
    let before = syncs();
    let early = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let early = &early;
            scope.spawn(move || {
                let clock = OsClock::new();
                write(busy, 200 + caller, Durability::Sync);
                early.fetch_add(u64::from(clock.now() < SYNC), Ordering::Relaxed);
            });
        }
    });
    assert_eq!(
        early.load(Ordering::Relaxed),
        0,
        "acknowledged before a sync"
    );
    let syncs = syncs() - before;
    println!("{CALLERS} writers, {syncs} syncs");
    assert!((1..=4).contains(&syncs), "{syncs} syncs");
    assert_eq!(busy.snapshot().unwrap().count(), 100 + CALLERS);
    slow.fast_again();
    slow.home.at_rest(busy);
}

/// What was written below `Sync` is durable once a commit has returned, and not before its sync.
#[test]
fn a_commit_waits_for_the_sync_that_it_promises() {
    let slow = Slow::new();
    let busy = &slow.collections[0];
    let clock = OsClock::new();
    for n in 0..50 {
        write(busy, 300 + n, Durability::Os);
    }
    let written = clock.now();
    assert!(written < SYNC, "handed to the kernel after {written:?}");
    let before = slow.disk.watch.wal_syncs.load(Ordering::Relaxed);
    busy.commit().unwrap();
    let took = clock.now() - written;
    assert!(took >= SYNC, "a commit after {took:?}");
    assert!(slow.disk.watch.wal_syncs.load(Ordering::Relaxed) > before);
    slow.fast_again();
}
