//! The steps of several threads in every order that a scheduler comes up with, and every promise
//! holds.
//!
//! Built with the `interleavings` feature the engine's locks, atomics and view are those of a
//! scheduler (see `cairn_env::sync`), and each use of one, as well as each numbered step of the
//! commit path, is a place where another thread may go on. It runs the whole engine, on a disk that
//! can lose power, thousands of times; a thread that waits for ever is a failure as well. Half of
//! the schedules choose at random, half give threads priorities and change them at a few places.
//!
//! `CAIRN_SEED` chooses the schedules, `CAIRN_SCHEDULES` how many of them for each test; a failure
//! leaves its schedule in a file, which `CAIRN_SCHEDULE` runs again.

#![cfg(all(
    feature = "interleavings",
    feature = "failpoints",
    feature = "planted-bugs"
))]
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common;
#[path = "common/crash/planted.rs"]
mod planted;
#[path = "common/schedules.rs"]
mod schedules;

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, Mutex};

use cairn_engine::{
    Code, Collection, Compaction, Database, Durability, Effort, Error, Fact, Job, KeyType,
    MetricName, Options, Record, Result, Schema, SearchRequest, Snapshot, Stop, WriteKind,
    WriteOptions, WriteResult,
};
use cairn_env::sync::shuttle::sync::mpsc::{Receiver, channel};
use cairn_env::sync::shuttle::thread;
use cairn_env::{FaultAction, KillPoint};
use cairn_testkit::{Choice, SimDisk};

use common::{Row, Value, batch, decode, everything, keys, number, plain, removal};
use schedules::{Machine, below, explore};

const DIR: &str = "/db";
/// Half of the records of a pair.
const TWIN: u64 = 100;

fn shape() -> Schema {
    // Vectors as they were given are read from files under this metric.
    plain(KeyType::U64, 2, MetricName::Cosine)
}

fn options() -> Options {
    Options {
        // A memtable is flushed after two or three writes, and two segments are merged.
        wal_bytes_max: 1_200,
        memtable_bytes: 0,
        disk_reserve_bytes: 0,
        compaction: Compaction::Leveled,
        ..Options::default()
    }
}

/// Two records that are always written together.
fn pair(key: u64, value: u64) -> [Row; 2] {
    let row = |key| Row::new(number(key), &[1.0, value as f32]).with("value", value as i64);
    [row(key), row(key + TWIN)]
}

fn open(machine: &Machine) -> (Arc<Database>, Arc<Collection>) {
    let database = Database::open(machine.env.clone(), Path::new(DIR), options()).unwrap();
    let collection = database.open_collection("c").unwrap();
    (database, collection)
}

/// A disk with a database of two segments: pairs 0 to 3, written with value 0.
fn base() -> SimDisk {
    let made = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&made);
    schedules::once(move || {
        let disk = SimDisk::new();
        let machine = Machine::on(&disk);
        let unmerged = Options {
            compaction: Compaction::None,
            ..options()
        };
        let database = Database::open(machine.env.clone(), Path::new(DIR), unmerged).unwrap();
        let collection = database.create_collection("c", shape()).unwrap();
        for keys in [[0, 1], [2, 3]] {
            for key in keys {
                let rows = pair(key, 0);
                let memory = WriteOptions {
                    durability: Some(Durability::Memory),
                    ..WriteOptions::default()
                };
                let upsert = batch(&shape(), WriteKind::Upsert, &rows);
                collection.write(upsert, memory).unwrap();
            }
            // What memory alone holds is made durable by a flush.
            collection.commit().unwrap();
        }
        assert_eq!(collection.stats().unwrap().segments.len(), 2);
        database.close().unwrap();
        drop((collection, database));
        machine.rest();
        *slot.lock().unwrap() = Some(disk.kill_image(disk.op_count()));
    });
    let made = made.lock().unwrap().take();
    made.unwrap()
}

/// One acknowledged write: what it left under its key, `None` where it removed the pair.
#[derive(Clone, Copy, Debug)]
struct Ack {
    key: u64,
    value: Option<u64>,
    version: u64,
    durability: Durability,
    /// Operations of the disk that had happened.
    at: usize,
}

/// What the threads of one schedule share.
#[derive(Clone)]
struct Scene {
    disk: SimDisk,
    machine: Machine,
    database: Arc<Database>,
    collection: Arc<Collection>,
    acks: Arc<Mutex<Vec<Ack>>>,
}

impl Scene {
    fn on(base: &SimDisk) -> Self {
        let disk = base.kill_image(base.op_count());
        let machine = Machine::on(&disk);
        let (database, collection) = open(&machine);
        Self {
            disk,
            machine,
            database,
            collection,
            acks: Arc::default(),
        }
    }

    /// Begins to write a pair, or to remove it; what comes of it is sent.
    fn begin(
        &self,
        key: u64,
        value: Option<u64>,
        durability: Durability,
        held: bool,
    ) -> Receiver<(Result<WriteResult>, usize)> {
        let (answer, answered) = channel();
        let gone = || [number(key), number(key + TWIN)];
        let batch = match value {
            Some(value) => batch(&shape(), WriteKind::Upsert, &pair(key, value)),
            None => removal(&shape(), &gone()),
        };
        let options = WriteOptions {
            durability: Some(durability),
            ..WriteOptions::default()
        };
        let disk = self.disk.clone();
        // Taken here: afterwards more may have happened on the disk.
        let done = move |result| answer.send((result, disk.op_count())).unwrap();
        if held {
            if self.collection.submit_held(batch, options, Box::new(done)) {
                self.collection.start();
            }
        } else {
            self.collection.submit(batch, options, Box::new(done));
        }
        answered
    }

    /// Writes and waits; remembers what was acknowledged.
    fn write(&self, key: u64, value: Option<u64>, durability: Durability) -> Result<WriteResult> {
        let held = below(4) == 0;
        let (result, at) = self.begin(key, value, durability, held).recv().unwrap();
        if let Ok(result) = &result {
            self.acks.lock().unwrap().push(Ack {
                key,
                value,
                version: result.version,
                durability,
                at,
            });
        }
        result
    }

    /// Ends the database and all its threads.
    fn end(self) -> (SimDisk, Vec<Ack>) {
        let Self {
            disk,
            machine,
            database,
            collection,
            acks,
        } = self;
        // One that was closed already says nothing new.
        database.close().unwrap();
        drop((database, collection));
        machine.rest();
        let acks = acks.lock().unwrap().clone();
        (disk, acks)
    }
}

/// What a snapshot holds, read in every way; pairs are whole.
fn contents(snapshot: &Snapshot) -> BTreeMap<u64, (u64, u64)> {
    let page = snapshot.scan(None).unwrap().next_page(100, &everything());
    let records = page.unwrap();
    assert_eq!(snapshot.count(), records.len() as u64, "the count counts");
    let wanted = keys(KeyType::U64, records.iter().map(|record| &record.key));
    let again = snapshot.get(&wanted, &everything()).unwrap();
    let again: Vec<Record> = again.into_iter().flatten().collect();
    assert_eq!(records, again, "get and scan agree");
    let request = SearchRequest {
        effort: Effort::Exact,
        ..SearchRequest::new(&[1.0, 0.5], 100)
    };
    let hits = snapshot.search(&request, &Stop::never()).unwrap();
    let found: BTreeSet<_> = (0..hits.keys.len())
        .map(|n| hits.keys.get(n).to_buf())
        .collect();
    let there: BTreeSet<_> = records.iter().map(|record| record.key.clone()).collect();
    assert_eq!(found, there, "search and scan agree");
    let mut all = BTreeMap::new();
    for record in records {
        let cairn_engine::KeyBuf::U64(key) = record.key else {
            panic!("keys are numbers")
        };
        let Value::Int(value) = decode(&record.fields)["value"] else {
            panic!("values are numbers")
        };
        let value = u64::try_from(value).unwrap();
        assert_eq!(record.vectors.unwrap()[0], [1.0, value as f32]);
        assert!(record.version <= snapshot.version(), "of a later version");
        all.insert(key, (value, record.version));
    }
    for (key, pair) in all.range(..TWIN) {
        assert_eq!(all.get(&(key + TWIN)), Some(pair), "half a pair {key}");
    }
    let twins = all.range(TWIN..).count();
    assert_eq!(twins * 2, all.len(), "half a pair");
    all
}

/// What must be there of acknowledged writes, if nothing else was written.
fn left_by(acks: &[Ack]) -> BTreeMap<u64, (u64, u64)> {
    let mut all: BTreeMap<u64, Option<(u64, u64)>> = BTreeMap::new();
    let mut sorted = acks.to_vec();
    sorted.sort_by_key(|ack| ack.version);
    for ack in &sorted {
        let left = ack.value.map(|value| (value, ack.version));
        all.insert(ack.key, left);
        all.insert(ack.key + TWIN, left);
    }
    all.into_iter()
        .filter_map(|(key, left)| Some((key, left?)))
        .collect()
}

/// The same with the pairs of the base, of which versions are not known.
fn values(acks: &[Ack]) -> BTreeMap<u64, u64> {
    let mut all: BTreeMap<u64, u64> = (0..4).flat_map(|key| [(key, 0), (key + TWIN, 0)]).collect();
    for ack in acks {
        all.remove(&ack.key);
        all.remove(&(ack.key + TWIN));
    }
    let written = left_by(acks)
        .into_iter()
        .map(|(key, (value, _))| (key, value));
    all.extend(written);
    all
}

fn of_values(contents: &BTreeMap<u64, (u64, u64)>) -> BTreeMap<u64, u64> {
    contents
        .iter()
        .map(|(&key, &(value, _))| (key, value))
        .collect()
}

/// What a disk holds when it is opened again.
fn found_on(disk: &SimDisk) -> BTreeMap<u64, (u64, u64)> {
    let machine = Machine::on(disk);
    let (database, collection) = open(&machine);
    let found = contents(&collection.snapshot().unwrap());
    database.close().unwrap();
    drop((database, collection));
    machine.rest();
    found
}

/// Power is lost after `at` operations with all that was not synced: each write acknowledged as
/// synced before, or a later one of its key, is there.
fn survives(disk: &SimDisk, at: usize, acks: &[Ack]) {
    let found = found_on(&disk.crash_image(at, &mut Choice::lose_all()));
    let synced = |ack: &&Ack| ack.durability == Durability::Sync && ack.at <= at;
    for ack in acks.iter().filter(synced) {
        match (found.get(&ack.key), ack.value) {
            (Some((_, version)), _) if *version > ack.version => {}
            (Some(record), Some(value)) => {
                assert_eq!(*record, (value, ack.version), "{ack:?} at={at}");
            }
            (None, Some(_)) => {
                let removed = acks.iter().any(|later| {
                    later.key == ack.key && later.version > ack.version && later.value.is_none()
                });
                assert!(removed, "acknowledged as synced and lost: {ack:?} at={at}");
            }
            (Some(record), None) => panic!("{ack:?} is undone at={at}: {record:?}"),
            (None, None) => {}
        }
    }
}

fn join(threads: Vec<thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

fn is_closed(error: &Error) -> bool {
    error.code() == Code::Closed
}

#[test]
fn a_write_is_answered_after_its_sync_and_seen_by_whoever_knows_of_it() {
    let base = base();
    explore("group commit", move || {
        let scene = Scene::on(&base);
        let mut threads = Vec::new();
        for writer in 0..3 {
            let scene = scene.clone();
            threads.push(thread::spawn(move || {
                let mut last = 0;
                for value in 1..3 {
                    let key = 10 + writer;
                    let result = scene.write(key, Some(value), Durability::Sync).unwrap();
                    assert!(result.version > last, "versions rise");
                    last = result.version;
                    let snapshot = scene.collection.snapshot().unwrap();
                    assert!(snapshot.version() >= last, "acknowledged and not shown");
                    let seen = contents(&snapshot)[&key];
                    assert_eq!(seen, (value, last), "a writer reads its own write");
                }
            }));
        }
        let reader = scene.clone();
        threads.push(thread::spawn(move || {
            let mut last = 0;
            for _ in 0..3 {
                let snapshot = reader.collection.snapshot().unwrap();
                assert!(snapshot.version() >= last, "versions go back");
                last = snapshot.version();
                contents(&snapshot);
            }
        }));
        join(threads);
        let (disk, acks) = scene.end();
        let versions: BTreeSet<u64> = acks.iter().map(|ack| ack.version).collect();
        assert_eq!(versions.len(), acks.len(), "a version stands for one batch");
        let at = acks[below(acks.len())].at;
        survives(&disk, at, &acks);
        assert_eq!(of_values(&found_on(&disk)), values(&acks));
    });
}

/// No reads here, so that writes come again the moment they are answered.
#[test]
fn a_batch_is_left_to_somebody_whenever_it_comes() {
    let base = base();
    explore("leaders", move || {
        let scene = Scene::on(&base);
        let mut threads = Vec::new();
        for writer in 0..3 {
            let scene = scene.clone();
            threads.push(thread::spawn(move || {
                for value in 1..4 {
                    scene
                        .write(10 + writer, Some(value), Durability::Memory)
                        .unwrap();
                }
            }));
        }
        join(threads);
        let expected = values(&scene.acks.lock().unwrap());
        let snapshot = scene.collection.snapshot().unwrap();
        assert_eq!(of_values(&contents(&snapshot)), expected);
        drop(snapshot);
        scene.end();
    });
}

#[test]
fn what_is_acknowledged_while_a_collection_closes_is_kept() {
    let base = base();
    explore("a write beside close", move || {
        let scene = Scene::on(&base);
        let mut threads = Vec::new();
        for writer in 0..2 {
            let scene = scene.clone();
            threads.push(thread::spawn(move || {
                for value in 1..3 {
                    if let Err(error) = scene.write(10 + writer, Some(value), Durability::Memory) {
                        assert!(is_closed(&error), "{error}");
                    }
                }
            }));
        }
        scene.database.close().unwrap();
        let at = scene.disk.op_count();
        join(threads);
        let (disk, acks) = scene.end();
        let found = found_on(&disk.crash_image(at, &mut Choice::lose_all()));
        assert_eq!(of_values(&found), values(&acks), "lost by a close");
    });
}

/// The version that a write of unknown outcome may have made.
fn version_of(error: &Error) -> Option<u64> {
    let facts = error.details().iter();
    let mut versions = facts.filter_map(|(name, fact)| match fact {
        Fact::Number(version) if *name == "version" => Some(*version),
        _ => None,
    });
    versions.next()
}

#[test]
fn a_group_whose_sync_failed_is_never_seen_and_nothing_is_taken_after_it() {
    let base = base();
    explore("poison", move || {
        let scene = Scene::on(&base);
        let nth = 1 + below(3) as u64;
        let faults = &scene.machine.env.faults;
        let passed = faults.hits(KillPoint::K5SyncIssued);
        faults.arm(
            KillPoint::K5SyncIssued,
            passed + nth,
            FaultAction::Error(ErrorKind::Other),
        );
        let unknown: Arc<Mutex<BTreeSet<u64>>> = Arc::default();
        let seen: Arc<Mutex<BTreeSet<u64>>> = Arc::default();
        let mut threads = Vec::new();
        for writer in 0..3 {
            let (scene, unknown) = (scene.clone(), Arc::clone(&unknown));
            threads.push(thread::spawn(move || {
                let mut failed = false;
                for value in 1..4 {
                    match scene.write(10 + writer, Some(value), Durability::Sync) {
                        Ok(_) => assert!(!failed, "taken after a failed sync"),
                        Err(error) => {
                            let codes = [Code::OutcomeUnknown, Code::Closed];
                            assert!(codes.contains(&error.code()), "{error}");
                            failed = true;
                            unknown.lock().unwrap().extend(version_of(&error));
                        }
                    }
                }
            }));
        }
        let (reader, shown) = (scene.clone(), Arc::clone(&seen));
        threads.push(thread::spawn(move || {
            for _ in 0..4 {
                let snapshot = reader.collection.snapshot().unwrap();
                let versions = contents(&snapshot)
                    .into_values()
                    .map(|(_, version)| version);
                shown.lock().unwrap().extend(versions);
            }
        }));
        join(threads);
        let versions = contents(&scene.collection.snapshot().unwrap()).into_values();
        seen.lock()
            .unwrap()
            .extend(versions.map(|(_, version)| version));
        {
            let (unknown, seen) = (unknown.lock().unwrap(), seen.lock().unwrap());
            let both: Vec<_> = unknown.intersection(&seen).collect();
            assert!(both.is_empty(), "of a failed group and seen: {both:?}");
        }
        // It frees the directory whatever it answers.
        let _ = scene.database.close();
        let (disk, acks) = scene.end();
        survives(&disk, disk.op_count(), &acks);
    });
}

#[test]
fn what_a_snapshot_pins_stays_and_what_is_deleted_meanwhile_stays_deleted() {
    let base = base();
    explore("publish and pin", move || {
        let scene = Scene::on(&base);
        let segments = |scene: &Scene| -> Vec<String> {
            let stats = scene.collection.stats().unwrap().segments;
            stats.into_iter().map(|segment| segment.id).collect()
        };
        let mut threads = Vec::new();
        for _ in 0..2 {
            let reader = scene.clone();
            threads.push(thread::spawn(move || {
                let before = segments(&reader);
                let snapshot = reader.collection.snapshot().unwrap();
                // Where nothing was published in between, these are what it pins.
                let pinned = (segments(&reader) == before).then_some(before);
                let first = contents(&snapshot);
                for _ in 0..3 {
                    cairn_env::sync::step();
                    let paths = reader.disk.paths();
                    for id in pinned.iter().flatten() {
                        let there = paths.iter().any(|path| path.contains(id.as_str()));
                        assert!(there, "segment {id} is pinned and gone");
                    }
                    assert_eq!(contents(&snapshot), first, "a snapshot changed");
                }
            }));
        }
        let writer = scene.clone();
        threads.push(thread::spawn(move || {
            writer.write(0, None, Durability::Sync).unwrap();
            writer.write(1, Some(5), Durability::Sync).unwrap();
            writer.write(2, None, Durability::Os).unwrap();
            writer.write(20, Some(6), Durability::Sync).unwrap();
        }));
        let compactor = scene.clone();
        threads.push(thread::spawn(move || {
            compactor.collection.compact(&Job::default()).unwrap();
        }));
        join(threads);
        let expected = values(&scene.acks.lock().unwrap());
        let snapshot = scene.collection.snapshot().unwrap();
        assert_eq!(of_values(&contents(&snapshot)), expected);
        drop(snapshot);
        scene.machine.rest();
        scene.collection.compact(&Job::default()).unwrap();
        scene.machine.rest();
        let kept = segments(&scene);
        let paths = scene.disk.paths();
        let files = paths.iter().filter(|path| path.ends_with(".seg")).count();
        assert_eq!(files, kept.len(), "files of segments that nobody reads");
        let (disk, acks) = scene.end();
        assert_eq!(of_values(&found_on(&disk)), values(&acks));
    });
}

#[test]
fn close_waits_for_everything_and_nothing_happens_after_it() {
    let base = base();
    explore("close", move || {
        let scene = Scene::on(&base);
        let mut threads = Vec::new();
        for (writer, durability) in [Durability::Memory, Durability::Sync]
            .into_iter()
            .enumerate()
        {
            let scene = scene.clone();
            threads.push(thread::spawn(move || {
                let mut ended = false;
                for value in 1..4 {
                    match scene.write(10 + writer as u64, Some(value), durability) {
                        Ok(_) => assert!(!ended, "taken by a closed collection"),
                        Err(error) => {
                            assert!(is_closed(&error), "{error}");
                            ended = true;
                        }
                    }
                }
            }));
        }
        let reader = scene.clone();
        threads.push(thread::spawn(move || {
            for _ in 0..3 {
                let Ok(snapshot) = reader.collection.snapshot() else {
                    return;
                };
                let request = SearchRequest::new(&[1.0, 0.5], 3);
                match snapshot.search(&request, &Stop::never()) {
                    Ok(hits) => assert_eq!(hits.distances.len(), 3),
                    Err(error) => assert!(is_closed(&error), "{error}"),
                }
            }
        }));
        let compactor = scene.clone();
        threads.push(thread::spawn(move || {
            if let Err(error) = compactor.collection.compact(&Job::default()) {
                let codes = [Code::Closed, Code::Aborted];
                assert!(codes.contains(&error.code()), "{error}");
            }
        }));
        for _ in 0..below(60) {
            cairn_env::sync::step();
        }
        scene.database.close().unwrap();
        let at = scene.disk.op_count();
        assert!(
            scene
                .collection
                .snapshot()
                .err()
                .is_some_and(|e| is_closed(&e))
        );
        join(threads);
        scene.machine.rest();
        let trace = scene.disk.trace();
        // A segment that was merged away goes with its last reader, whenever that is.
        let after = trace[at..].iter().filter(|line| !line.contains("remove"));
        let after: Vec<_> = after.collect();
        assert!(after.is_empty(), "done by a closed database: {after:?}");
        let (disk, acks) = scene.end();
        let found = found_on(&disk.crash_image(at, &mut Choice::lose_all()));
        assert_eq!(of_values(&found), values(&acks), "lost by a close");
    });
}

#[test]
fn a_collection_that_is_dropped_ends_whoever_uses_it() {
    let base = base();
    explore("drop", move || {
        let scene = Scene::on(&base);
        let mut threads = Vec::new();
        let writer = scene.clone();
        threads.push(thread::spawn(move || {
            for value in 1..3 {
                if let Err(error) = writer.write(10, Some(value), Durability::Os) {
                    let codes = [Code::Closed, Code::OutcomeUnknown];
                    assert!(codes.contains(&error.code()), "{error}");
                }
            }
        }));
        let watcher = scene.clone();
        threads.push(thread::spawn(move || {
            for _ in 0..2 {
                watcher.database.collections().unwrap();
                let stats = watcher.database.stats().unwrap();
                assert!(stats.collections.len() <= 1);
                watcher.database.commit().unwrap();
            }
        }));
        let dropper = scene.clone();
        threads.push(thread::spawn(move || {
            dropper.database.drop_collection("c").unwrap();
            dropper.database.create_collection("c", shape()).unwrap();
        }));
        join(threads);
        let fresh = scene.database.open_collection("c").unwrap();
        assert_eq!(contents(&fresh.snapshot().unwrap()), BTreeMap::new());
        drop(fresh);
        scene.database.close().unwrap();
        let (disk, _) = scene.end();
        assert_eq!(found_on(&disk), BTreeMap::new());
    });
}

#[test]
fn planted_bugs_are_found() {
    planted::expect_all_found(module_path!());
}
