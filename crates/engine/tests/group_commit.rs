//! Writers that come together share one sync, and nobody waits for a timer.
//!
//! A disk that counts syncs of the log, and a clock that counts sleeps. One caller after another
//! pays one sync a write; 64 callers at once pay far fewer than one each; each caller's writes
//! happen in the order in which they were submitted.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use cairn_engine::{
    Collection, Durability, KeyBuf, KeyType, MetricName, Options, Result, Select, WriteKind,
    WriteOptions, WriteResult,
};
use cairn_env::{Clock, Env, Lane, OsClock};
use cairn_testkit::{SimDisk, sim_env};

use common::{HeldThreads, Home, Row, Value, WatchedDisk, batch, decode, keys, number, plain, put};

/// A clock that counts who sleeps.
struct WatchedClock {
    inner: OsClock,
    sleeps: AtomicU64,
}

impl Clock for WatchedClock {
    fn now(&self) -> Duration {
        self.inner.now()
    }

    fn unix_ms(&self) -> u64 {
        self.inner.unix_ms()
    }

    fn sleep(&self, duration: Duration) {
        self.sleeps.fetch_add(1, Ordering::Relaxed);
        self.inner.sleep(duration);
    }
}

struct Setup {
    disk: WatchedDisk,
    clock: Arc<WatchedClock>,
    database: Arc<cairn_engine::Database>,
    collection: Arc<Collection>,
}

fn setup(options: Options) -> Setup {
    let disk = WatchedDisk::new();
    let clock = Arc::new(WatchedClock {
        inner: OsClock::new(),
        sleeps: AtomicU64::new(0),
    });
    let env = Env {
        clock: clock.clone(),
        ..disk.env(2)
    };
    let database = Home::on(env).open(options);
    let schema = plain(KeyType::U64, 4, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    Setup {
        disk,
        clock,
        database,
        collection,
    }
}

impl Setup {
    fn syncs(&self) -> u64 {
        self.disk.watch.wal_syncs.load(Ordering::Relaxed)
    }

    fn slow(&self, sync_us: u64) {
        let slow = &self.disk.watch.wal_sync_us;
        slow.store(sync_us, Ordering::Relaxed);
    }
}

fn one(key: u64, value: u64) -> Row {
    Row::new(number(key), &[key as f32, value as f32, 0.0, 1.0]).with("value", value as i64)
}

fn value(collection: &Arc<Collection>, key: u64) -> u64 {
    let snapshot = collection.snapshot().unwrap();
    let wanted = keys(KeyType::U64, &[number(key)]);
    let found = snapshot.get(&wanted, &Select::default()).unwrap();
    match decode(&found[0].as_ref().unwrap().fields)["value"] {
        Value::Int(value) => value as u64,
        ref other => panic!("value={other:?}"),
    }
}

#[test]
fn one_caller_pays_one_sync_for_each_write_whatever_its_rows() {
    let setup = setup(Options::default());
    put(&setup.collection, &[one(0, 0)]);
    let before = setup.syncs();
    for n in 1..=100 {
        put(&setup.collection, &[one(n, n)]);
    }
    assert_eq!(setup.syncs() - before, 100);
    let rows: Vec<Row> = (0..1_000).map(|n| one(n, n)).collect();
    let before = setup.syncs();
    put(&setup.collection, &rows);
    assert_eq!(setup.syncs() - before, 1, "a batch is one sync");
    assert_eq!(setup.clock.sleeps.load(Ordering::Relaxed), 0, "no timer");
}

#[test]
fn callers_at_once_share_syncs() {
    const CALLERS: u64 = 64;
    const WRITES: u64 = 20;
    let setup = setup(Options::default());
    put(&setup.collection, &[one(1_000, 0)]);
    setup.slow(2_000);
    let before = setup.syncs();
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let collection = &setup.collection;
            scope.spawn(move || {
                let mut last = 0;
                for n in 0..WRITES {
                    let result = put(collection, &[one(caller, n)]);
                    assert!(result.version > last, "versions of one caller rise");
                    last = result.version;
                    assert_eq!(value(collection, caller), n, "one's own write is seen");
                }
            });
        }
    });
    let (writes, syncs) = (CALLERS * WRITES, setup.syncs() - before);
    println!("writes={writes} syncs={syncs}");
    assert!(syncs * 8 <= writes, "writes={writes} syncs={syncs}");
    assert!(syncs >= WRITES, "a caller never has two writes in one sync");
    let snapshot = setup.collection.snapshot().unwrap();
    assert_eq!(snapshot.count(), CALLERS + 1);
    assert_eq!(setup.clock.sleeps.load(Ordering::Relaxed), 0, "no timer");
}

/// Collects answers that come on another thread.
#[derive(Default)]
struct Answers {
    got: Mutex<Vec<Vec<u64>>>,
    changed: Condvar,
}

#[test]
fn what_one_caller_submits_without_waiting_happens_in_its_order() {
    const CALLERS: usize = 16;
    const WRITES: u64 = 200;
    let setup = setup(common::small());
    setup.slow(500);
    let answers = Arc::new(Answers::default());
    answers.got.lock().unwrap().resize(CALLERS, Vec::new());
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (collection, answers) = (&setup.collection, &answers);
            scope.spawn(move || {
                for n in 0..WRITES {
                    // Each write depends on the one before: add first, then update.
                    let kind = if n == 0 {
                        WriteKind::Add
                    } else {
                        common::UPDATE
                    };
                    let write = batch(collection.schema(), kind, &[one(caller as u64, n)]);
                    let answers = Arc::clone(answers);
                    let done = move |result: Result<WriteResult>| {
                        let version = result.expect("each follows on the one before").version;
                        answers.got.lock().unwrap()[caller].push(version);
                        answers.changed.notify_all();
                    };
                    collection.submit(write, WriteOptions::default(), Box::new(done));
                }
            });
        }
    });
    let got = answers.got.lock().unwrap();
    let all = |got: &mut Vec<Vec<u64>>| got.iter().any(|g| g.len() < WRITES as usize);
    let got = answers.changed.wait_while(got, all).unwrap();
    for (caller, versions) in got.iter().enumerate() {
        assert!(versions.is_sorted_by(|a, b| a < b), "caller={caller}");
        assert_eq!(value(&setup.collection, caller as u64), WRITES - 1);
    }
    let mut every: Vec<u64> = got.iter().flatten().copied().collect();
    every.sort_unstable();
    every.dedup();
    assert_eq!(
        every.len(),
        CALLERS * WRITES as usize,
        "one version a write"
    );
}

#[test]
fn a_refused_batch_of_a_group_leaves_its_neighbours_alone() {
    let setup = setup(Options::default());
    setup.slow(20_000);
    let answers = Arc::new(Answers::default());
    answers.got.lock().unwrap().resize(30, Vec::new());
    // The first sync holds the leader; the rest is one group.
    for n in 0..30 {
        let key = if n % 3 == 2 { 0 } else { n as u64 };
        let add = batch(setup.collection.schema(), WriteKind::Add, &[one(key, 1)]);
        let answers = Arc::clone(&answers);
        let done = move |result: Result<WriteResult>| {
            answers.got.lock().unwrap()[n].push(u64::from(result.is_ok()));
            answers.changed.notify_all();
        };
        setup
            .collection
            .submit(add, WriteOptions::default(), Box::new(done));
    }
    let got = answers.got.lock().unwrap();
    let missing = |got: &mut Vec<Vec<u64>>| got.iter().any(Vec::is_empty);
    let got = answers.changed.wait_while(got, missing).unwrap();
    for (n, answer) in got.iter().enumerate() {
        assert_eq!(answer[..], [u64::from(n % 3 != 2)], "n={n}");
    }
    assert_eq!(setup.collection.snapshot().unwrap().count(), 20);
}

#[test]
fn lower_durability_costs_no_sync_until_commit_asks_for_it() {
    let setup = setup(Options::default());
    put(&setup.collection, &[one(0, 0)]);
    for durability in [Durability::Os, Durability::Memory] {
        let (before, writes) = (setup.syncs(), &setup.disk.watch.wal_writes);
        let written = writes.load(Ordering::Relaxed);
        for n in 0..50 {
            let options = WriteOptions {
                durability: Some(durability),
                ..WriteOptions::default()
            };
            let upsert = batch(setup.collection.schema(), WriteKind::Upsert, &[one(n, n)]);
            setup.collection.write(upsert, options).unwrap();
        }
        assert_eq!(setup.syncs(), before);
        let written = writes.load(Ordering::Relaxed) - written;
        // With fail points a group is written in two halves, one of them between.
        let halves = if cfg!(feature = "failpoints") { 2 } else { 1 };
        let expected = if durability == Durability::Os {
            50 * halves
        } else {
            0
        };
        assert_eq!(written, expected);
        setup.collection.commit().unwrap();
    }
    assert_eq!(setup.collection.stats().unwrap().count, 50);
    let key: KeyBuf = number(49);
    assert!(
        setup
            .collection
            .snapshot()
            .unwrap()
            .has(key.as_key())
            .unwrap()
    );
}

#[test]
fn commit_covers_a_deletion_in_memory_of_a_row_that_is_being_flushed() {
    let sim = SimDisk::new();
    let disk = WatchedDisk::around(Arc::new(sim.clone()));
    let database = Home::on(disk.env(2)).open(common::small());
    let schema = plain(KeyType::U64, 4, MetricName::L2);
    let collection = database.create_collection("c", schema.clone()).unwrap();
    disk.watch.segment_sync_us.store(100_000, Ordering::Relaxed);
    let rows: Vec<Row> = (0..2_000).map(|n| one(n, n)).collect();
    put(&collection, &rows);
    assert_eq!(collection.stats().unwrap().frozen_memtables, 1);
    let options = WriteOptions {
        durability: Some(Durability::Memory),
        ..WriteOptions::default()
    };
    let delete = common::removal(&schema, &[number(7)]);
    assert_eq!(collection.write(delete, options).unwrap().deleted, 1);
    assert!(collection.stats().unwrap().segments.is_empty());
    collection.commit().unwrap();

    for image in sim.random_images(sim.op_count(), 5, 1) {
        let home = Home::on(sim_env(&image.disk));
        let database = home.open(common::small());
        let collection = database.open_collection("c").unwrap();
        let snapshot = collection.snapshot().unwrap();
        assert!(!snapshot.has(number(7).as_key()).unwrap());
        assert_eq!(snapshot.count(), 1_999);
    }
}

#[test]
fn an_answer_that_panics_harms_nobody() {
    let setup = setup(Options::default());
    let upsert = |n| batch(setup.collection.schema(), WriteKind::Upsert, &[one(n, n)]);
    let done = |_: Result<WriteResult>| panic!("on purpose, in the caller's own code");
    setup
        .collection
        .submit(upsert(1), WriteOptions::default(), Box::new(done));
    for n in 2..10 {
        setup
            .collection
            .write(upsert(n), WriteOptions::default())
            .unwrap();
    }
    assert_eq!(setup.collection.snapshot().unwrap().count(), 9);
    assert!(!setup.collection.stats().unwrap().poisoned);
}

/// Commit leaders run when they are told to, so that it is known who waits for them together.
struct Held {
    threads: HeldThreads,
    disk: WatchedDisk,
    collection: Arc<Collection>,
    answered: Arc<AtomicU64>,
    _database: Arc<cairn_engine::Database>,
}

impl Held {
    fn new() -> Self {
        let (disk, threads) = (WatchedDisk::new(), HeldThreads::of(Lane::Commit));
        let env = Env {
            threads: threads.shared(),
            ..disk.env(1)
        };
        let database = Home::on(env).open(Options::default());
        let schema = plain(KeyType::U64, 4, MetricName::L2);
        let held = Self {
            collection: database.create_collection("c", schema).unwrap(),
            answered: Arc::default(),
            threads,
            disk,
            _database: database,
        };
        // The first write makes the log's file, which is synced as well.
        assert!(!held.submit_held(0));
        held.lead();
        held
    }

    fn done(&self) -> cairn_engine::Done {
        let answered = Arc::clone(&self.answered);
        Box::new(move |result| {
            result.expect("it is written");
            answered.fetch_add(1, Ordering::Relaxed);
        })
    }

    fn submit_held(&self, key: u64) -> bool {
        let write = batch(self.collection.schema(), WriteKind::Upsert, &[one(key, 0)]);
        self.collection
            .submit_held(write, WriteOptions::default(), self.done())
    }

    /// Runs the leaders that were started: how many there were, how many syncs they made, and
    /// how many writes they answered.
    fn lead(&self) -> (usize, u64, u64) {
        let syncs = || self.disk.watch.wal_syncs.load(Ordering::Relaxed);
        let answered = || self.answered.load(Ordering::Relaxed);
        let (leaders, before) = (self.threads.waiting(), (syncs(), answered()));
        self.threads.run_held();
        (leaders, syncs() - before.0, answered() - before.1)
    }
}

#[test]
fn held_writes_wait_for_half_of_the_last_group_or_for_the_start_and_share_one_sync() {
    let held = Held::new();
    // One came before: the first starts at once, and the others join its leader.
    for key in 0..8 {
        assert!(!held.submit_held(key), "key={key}");
    }
    assert_eq!(held.lead(), (1, 1, 8));
    // The last group was eight.
    for key in 0..3 {
        assert!(held.submit_held(key), "key={key}");
    }
    assert_eq!(held.threads.waiting(), 0, "three are less than half");
    assert!(!held.submit_held(3), "four are half of eight");
    assert!(!held.submit_held(4), "the leader takes it along");
    assert_eq!(held.lead(), (1, 1, 5));
    // Half of five is two: one waits until it is started.
    assert!(held.submit_held(0));
    assert_eq!(held.lead(), (0, 0, 0));
    held.collection.start();
    held.collection.start();
    assert_eq!(held.lead(), (1, 1, 1));
    held.collection.start();
    assert_eq!(held.lead(), (0, 0, 0), "nothing waits");
}

#[test]
fn one_write_that_is_not_held_takes_along_those_that_are() {
    let held = Held::new();
    for key in 0..8 {
        held.submit_held(key);
    }
    held.lead();
    assert!(held.submit_held(0) && held.submit_held(1));
    let write = batch(held.collection.schema(), WriteKind::Upsert, &[one(2, 0)]);
    held.collection
        .submit(write, WriteOptions::default(), held.done());
    assert_eq!(held.lead(), (1, 1, 3));
}

#[test]
fn closing_writes_what_was_held_and_never_started() {
    let setup = setup(Options::default());
    setup.slow(20_000);
    let answered = Arc::new(AtomicU64::new(0));
    for key in 0..20 {
        let write = batch(setup.collection.schema(), WriteKind::Upsert, &[one(key, 0)]);
        let answered = Arc::clone(&answered);
        let done = move |result: Result<WriteResult>| {
            result.expect("it is written");
            answered.fetch_add(1, Ordering::Relaxed);
        };
        setup
            .collection
            .submit_held(write, WriteOptions::default(), Box::new(done));
    }
    setup.database.close().unwrap();
    assert_eq!(answered.load(Ordering::Relaxed), 20);
}
