//! Eight threads do everything at once for some seconds: nothing panics, nothing hangs, every
//! answer is one of the contract, and what the answers add up to is what is there at the end.
//!
//! Each thread writes keys of its own, so the oracle needs no order between threads; readers,
//! compactions, commits, renames and a neighbour that comes and goes run across all of them.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cairn_engine::{
    Code, Database, Durability, Effort, IndexKind, Job, KeyType, MetricName, Schema, SearchRequest,
    Stop, WriteKind, WriteOptions,
};
use cairn_env::{Clock, OsClock};
use cairn_testkit::{Rng, seed_from_env};

use crate::common;
use common::{
    Home, Model, Row, batch, everything, number, plain, put, schema, small, vector_field,
};

const WRITERS: u64 = 4;
const KEYS: u64 = 300;

fn two_fields() -> Schema {
    let image = vector_field("image", 9, MetricName::Cosine, IndexKind::Auto);
    let sound = vector_field("sound", 4, MetricName::L1, IndexKind::Auto);
    schema(KeyType::U64, vec![image, sound])
}

fn random_row(rng: &mut Rng, writer: u64, partial: bool) -> Row {
    let vector = |rng: &mut Rng, dim: usize| {
        let absent = partial && rng.chance(0.4);
        (!absent).then(|| (0..dim).map(|_| rng.normal() as f32).collect::<Vec<f32>>())
    };
    let vectors = vec![vector(rng, 9), vector(rng, 4)];
    let key = number(rng.below(KEYS) * WRITERS + writer);
    Row::of(key, vectors).with("n", rng.next_u64() as i64)
}

/// One thread's writes, each checked against its own model.
fn write(database: &Database, writer: u64, seed: u64, done: &AtomicBool) -> Model {
    let schema = two_fields();
    let mut model = Model::new(&schema);
    let mut rng = Rng::new(seed ^ writer);
    let collection = database.collection("c", Some(schema.clone())).unwrap();
    while !done.load(Ordering::Relaxed) {
        let kind = match rng.below(8) {
            0 => WriteKind::Add,
            1 | 2 => WriteKind::Delete,
            3 => WriteKind::Update {
                replace_fields: rng.chance(0.5),
                skip_missing: rng.chance(0.9),
            },
            _ => WriteKind::Upsert,
        };
        let partial = matches!(kind, WriteKind::Update { .. });
        let rows: Vec<Row> = (0..rng.range(1..20))
            .map(|_| random_row(&mut rng, writer, partial))
            .collect();
        let options = WriteOptions {
            durability: rng.chance(0.3).then_some(Durability::Os),
            ..WriteOptions::default()
        };
        let answer = collection.write(batch(&schema, kind, &rows), options);
        model.write(kind, &rows, None, &answer);
        let snapshot = collection.snapshot().unwrap();
        let keys = rows.iter().map(|row| &row.key);
        model.check_get(&snapshot, keys);
    }
    model
}

fn read(database: &Database, seed: u64, done: &AtomicBool, reads: &AtomicU64) {
    let mut rng = Rng::new(seed);
    let collection = database.open_collection("c").unwrap();
    while !done.load(Ordering::Relaxed) {
        let snapshot = collection.snapshot().unwrap();
        let count = snapshot.count();
        let mut scan = snapshot.scan(None).unwrap();
        let mut seen = 0;
        let mut last = None;
        loop {
            let page = scan.next_page(100, &everything()).unwrap();
            let Some(record) = page.last() else { break };
            assert!(last < Some(record.key.clone()), "keys rise");
            last = Some(record.key.clone());
            seen += page.len() as u64;
        }
        assert_eq!(seen, count, "a snapshot counts what it scans");
        let field = rng.range(0..2);
        let query: Vec<f32> = (0..[9, 4][field]).map(|_| rng.normal() as f32).collect();
        let request = SearchRequest {
            field,
            effort: [Effort::Exact, Effort::Recall(0.9), Effort::EfSearch(1)][rng.range(0..3)],
            ..SearchRequest::new(&query, rng.range(1..2_000))
        };
        let hits = snapshot.search(&request, &Stop::never()).unwrap();
        assert_eq!(hits.distances.len() as u64, count.min(request.k as u64));
        reads.fetch_add(1, Ordering::Relaxed);
    }
}

/// Compactions (some of them given up), commits, statistics, and a neighbour that comes and goes.
fn disturb(database: &Database, seed: u64, done: &AtomicBool) {
    let mut rng = Rng::new(seed);
    let mut round = 0_u64;
    while !done.load(Ordering::Relaxed) {
        round += 1;
        match rng.below(6) {
            0 => {
                let collection = database.open_collection("c").unwrap();
                collection.compact(&Job::default()).unwrap();
            }
            1 => {
                let clock = std::sync::Arc::new(OsClock::new());
                let at = Duration::from_millis(rng.below(30));
                let job = Job {
                    stop: Stop::never().at(clock, at),
                    progress: None,
                };
                match database.compact(&job) {
                    Ok(()) => {}
                    Err(error) => assert_eq!(error.code(), Code::Deadline),
                }
            }
            2 => drop(database.commit().unwrap()),
            3 => {
                let stats = database.stats().unwrap();
                for (_, stats) in stats.collections {
                    assert_eq!(stats.last_background_error, None);
                }
                database.collections().unwrap();
                assert_eq!(database.verify(&Job::default()).unwrap().problems, []);
            }
            _ => {
                let name = format!("neighbour-{}", rng.below(2));
                let schema = plain(KeyType::U64, 2, MetricName::L2);
                let neighbour = database.collection(&name, Some(schema)).unwrap();
                put(&neighbour, &[Row::new(number(round), &[1.0, 2.0])]);
                let other = format!("{name}-renamed-{round}");
                database.rename_collection(&name, &other).unwrap();
                assert_eq!(neighbour.name(), other);
                database.drop_collection(&other).unwrap();
                let closed = neighbour.snapshot().err().map(|e| e.code());
                assert_eq!(closed, Some(Code::Closed));
            }
        }
        OsClock::new().sleep(Duration::from_millis(rng.below(5)));
    }
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn hammer(home: &Home, seconds: u64, seed: u64) {
    let database = home.open(small());
    database.create_collection("c", two_fields()).unwrap();
    let done = AtomicBool::new(false);
    let reads = AtomicU64::new(0);
    let models: Vec<Model> = std::thread::scope(|scope| {
        let (database, done, reads) = (&*database, &done, &reads);
        let guarded = |work: &mut dyn FnMut()| {
            // The first to fail ends the others.
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            result.unwrap_or_else(|panic| {
                done.store(true, Ordering::Relaxed);
                std::panic::resume_unwind(panic)
            });
        };
        for n in 0..3 {
            scope.spawn(move || guarded(&mut || read(database, seed + 100 + n, done, reads)));
        }
        scope.spawn(move || guarded(&mut || disturb(database, seed + 200, done)));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || {
                    let mut model = None;
                    guarded(&mut || model = Some(write(database, writer, seed, done)));
                    model.unwrap()
                })
            })
            .collect();
        let stop = StopOnDrop(done);
        let clock = OsClock::new();
        while clock.now() < Duration::from_secs(seconds) && !done.load(Ordering::Relaxed) {
            clock.sleep(Duration::from_millis(20));
        }
        drop(stop);
        writers.into_iter().map(|w| w.join().unwrap()).collect()
    });
    let mut all = Model::new(&two_fields());
    for model in models {
        all.records.extend(model.records);
    }
    let collection = database.open_collection("c").unwrap();
    let version = collection.stats().unwrap().version;
    println!("versions={version} reads={}", reads.load(Ordering::Relaxed));
    assert!(version > 100 && reads.load(Ordering::Relaxed) > 10);
    all.check(&collection.snapshot().unwrap());
    database.close().unwrap();
    let database = home.open(small());
    let collection = database.open_collection("c").unwrap();
    all.check(&collection.snapshot().unwrap());
    collection.compact(&Job::default()).unwrap();
    all.check(&collection.snapshot().unwrap());
}

#[test]
fn eight_threads_in_memory() {
    let seed = seed_from_env("CAIRN_HAMMER_SEED", 0x8a33e4);
    hammer(&Home::memory(), 4, seed);
}

#[test]
fn eight_threads_in_a_directory() {
    let seed = seed_from_env("CAIRN_HAMMER_SEED", 0x8a33e5);
    hammer(&Home::directory("hammer"), 3, seed);
}
