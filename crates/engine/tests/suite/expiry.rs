//! Records that are there for a time: hidden from their instant on for every question, wherever their
//! rows stand, after merges, restarts and crashes; and the disk gets their space back by itself.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cairn_engine::{
    Aggregate, Code, Collection, Database, DeclaredField, Effort, Filter, IndexKind, Job, Key,
    KeyBuf, KeyType, MetricName, Operation, Options, OrderBy, Payloads, Schema, SearchRequest,
    Select, Shape, Snapshot, Stop, VersionId, WriteBatch, WriteKind, WriteOptions, WriteResult,
};
use cairn_env::{Clock, Env};
use cairn_testkit::{Rng, SimClock, SimDisk, seed_from_env, sim_env, sim_env_seeded};

use crate::common;
#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
use crate::crash::planted;
use common::model::distance;
use common::{Home, Row, UPDATE, batch, keys, number, plain, removal, schema, small, vector_field};

const DIM: usize = 4;
const METRIC: MetricName = MetricName::L2;

fn declared() -> Schema {
    let field = |name: &str, kind: &str| DeclaredField {
        name: name.into(),
        kind: kind.into(),
        text: Default::default(),
    };
    Schema {
        fields: vec![
            field("end", "date"),
            field("n", "int"),
            field("body", "text"),
        ],
        expires_at: Some("end".into()),
        ..plain(KeyType::U64, DIM as u32, METRIC)
    }
}

/// A record of the model.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stored {
    vector: [f32; DIM],
    n: u8,
    /// Milliseconds since 1970; none is never.
    end: Option<i64>,
}

impl Stored {
    fn is_there(&self, now: i64) -> bool {
        self.end.is_none_or(|end| end > now)
    }

    /// `{ n, body: "word", m, end }`; without `end` where there is none or it is null.
    fn fields(&self) -> Vec<u8> {
        let mut bytes = vec![0x84, 0xa1, b'n', self.n, 0xa1, b'm', self.n];
        bytes.extend(b"\xa4body\xa4word\xa3end");
        match self.end {
            // Null half of the time; missing would need another header.
            None => bytes.push(0xc0),
            Some(ms) => {
                let nanos = u32::try_from(ms.rem_euclid(1000)).unwrap() * 1_000_000;
                bytes.extend([0xc7, 12, 0xff]);
                bytes.extend(nanos.to_be_bytes());
                bytes.extend(ms.div_euclid(1000).to_be_bytes());
            }
        }
        bytes
    }
}

fn row_batch(kind: WriteKind, rows: &[(u64, Stored)]) -> WriteBatch {
    let given: Vec<Row> = rows
        .iter()
        .map(|(key, it)| Row::new(number(*key), &it.vector))
        .collect();
    let mut payloads = Payloads::default();
    for (_, it) in rows {
        payloads.push(&it.fields());
    }
    WriteBatch {
        payloads: Some(payloads),
        ..batch(&declared(), kind, &given)
    }
}

struct World {
    home: Home,
    clock: SimClock,
    database: Arc<Database>,
    collection: Arc<Collection>,
    model: BTreeMap<u64, Stored>,
    options: Options,
}

impl World {
    fn new(options: Options) -> Self {
        let clock = SimClock::new();
        let env = Env {
            clock: Arc::new(clock.clone()),
            ..sim_env(&SimDisk::new())
        };
        let home = Home::on(env);
        let database = home.open(options.clone());
        let collection = database.create_collection("c", declared()).unwrap();
        Self {
            home,
            clock,
            database,
            collection,
            model: BTreeMap::new(),
            options,
        }
    }

    fn now(&self) -> i64 {
        i64::try_from(self.clock.unix_ms()).unwrap()
    }

    fn reopen(&mut self) {
        self.database.close().unwrap();
        self.database = self.home.open(self.options.clone());
        self.collection = self.database.open_collection("c").unwrap();
    }

    fn submit(&self, batch: WriteBatch) -> cairn_engine::Result<WriteResult> {
        self.collection.write(batch, WriteOptions::default())
    }

    /// Puts rows and compares the counts of the answer.
    fn put(&mut self, rows: &[(u64, Stored)]) {
        let now = self.now();
        let there = |key: &u64| self.model.get(key).is_some_and(|it| it.is_there(now));
        let updated = rows.iter().filter(|(key, _)| there(key)).count() as u64;
        let done = self.submit(row_batch(WriteKind::Upsert, rows)).unwrap();
        assert_eq!(done.updated, updated);
        assert_eq!(done.inserted, rows.len() as u64 - updated);
        self.model.extend(rows.iter().copied());
    }

    fn visible(&self) -> BTreeMap<u64, Stored> {
        let now = self.now();
        let all = self.model.iter();
        let there = all.filter(|(_, it)| it.is_there(now));
        there.map(|(key, it)| (*key, *it)).collect()
    }

    /// Asks every question there is and compares with the model.
    fn check(&self) {
        let visible = self.visible();
        let snapshot = self.collection.snapshot().unwrap();
        check_snapshot(&snapshot, &self.model, &visible);
        let stats = self.collection.stats().unwrap();
        assert_eq!(stats.count, visible.len() as u64, "stats");
    }
}

fn keys_of(hits: &cairn_engine::Hits) -> Vec<u64> {
    let key = |key: Key<'_>| match key {
        Key::U64(key) => key,
        Key::Str(key) => panic!("{key}"),
    };
    hits.keys.iter().map(key).collect()
}

fn nearest(visible: &BTreeMap<u64, Stored>, query: &[f32], k: usize) -> Vec<u64> {
    let mut all: Vec<(f64, u64)> = visible
        .iter()
        .map(|(key, it)| (distance(METRIC, query, &it.vector), *key))
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all.into_iter().take(k).map(|(_, key)| key).collect()
}

fn check_snapshot(
    snapshot: &Snapshot,
    stored: &BTreeMap<u64, Stored>,
    visible: &BTreeMap<u64, Stored>,
) {
    let never = Stop::never();
    assert_eq!(snapshot.count(), visible.len() as u64, "count");
    for key in stored.keys() {
        let has = snapshot.has(Key::U64(*key)).unwrap();
        assert_eq!(has, visible.contains_key(key), "has {key}");
    }
    let all: Vec<KeyBuf> = stored.keys().map(|key| number(*key)).collect();
    let got = snapshot.get(&keys(KeyType::U64, &all), &common::everything());
    for ((key, _), record) in stored.iter().zip(got.unwrap()) {
        assert_eq!(record.is_some(), visible.contains_key(key), "get {key}");
    }
    let expected: Vec<u64> = visible.keys().copied().collect();
    let mut scan = snapshot.scan(None).unwrap();
    let page = scan.next_page(usize::MAX, &Select::default()).unwrap();
    let scanned: Vec<KeyBuf> = page.into_iter().map(|record| record.key).collect();
    let wanted: Vec<KeyBuf> = expected.iter().map(|key| number(*key)).collect();
    assert_eq!(scanned, wanted, "scan");
    let order = OrderBy::parse("n", true).unwrap();
    let mut ordered = snapshot.scan_ordered(order, None, None, &never).unwrap();
    let page = ordered.next_page(usize::MAX, &Select::default(), &never);
    assert_eq!(page.unwrap().len(), visible.len(), "ordered");

    // `n` is declared and has an index, `m` is its copy and has none.
    for json in [
        r#"{"n":{"gte":5}}"#,
        r#"{"m":{"gte":5}}"#,
        r#"{"$key":{"gte":0},"n":{"gte":5}}"#,
    ] {
        let filter = Filter::parse(json.as_bytes()).unwrap();
        let large = visible.iter().filter(|(_, it)| it.n >= 5);
        let large: BTreeMap<u64, Stored> = large.map(|(key, it)| (*key, *it)).collect();
        let count = snapshot.count_matching(&filter, &never).unwrap();
        assert_eq!(count, large.len() as u64, "{json}");
        let query = [500.0; DIM];
        let request = SearchRequest {
            filter: Some(&filter),
            effort: Effort::Exact,
            ..SearchRequest::new(&query, 7)
        };
        let hits = snapshot.search(&request, &never).unwrap();
        assert_eq!(keys_of(&hits), nearest(&large, &query, 7), "{json}");
    }
    let query = [250.0, 500.0, 750.0, 100.0];
    for k in [1, 10, stored.len() + 1] {
        let exact = SearchRequest {
            effort: Effort::Exact,
            ..SearchRequest::new(&query, k)
        };
        let hits = snapshot.search(&exact, &never).unwrap();
        assert_eq!(keys_of(&hits), nearest(visible, &query, k), "exact k={k}");
        let request = SearchRequest::new(&query, k);
        let hits = keys_of(&snapshot.search(&request, &never).unwrap());
        assert_eq!(hits.len(), k.min(visible.len()), "k={k}");
        assert!(hits.iter().all(|key| visible.contains_key(key)), "k={k}");
    }
    let facets = snapshot.facet("n", 300, None, &never).unwrap();
    let counted: u64 = facets.iter().map(|value| value.count).sum();
    assert_eq!(counted, visible.len() as u64, "facet");
    let wanted = [("n".to_owned(), Operation::Count)];
    let counted = snapshot.aggregate(&wanted, None, &never).unwrap();
    assert_eq!(counted, [Aggregate::Count(visible.len() as u64)]);
    let words = cairn_engine::Sources {
        vectors: Vec::new(),
        words: Some(cairn_engine::WordSource {
            words: "word",
            fields: None,
            weight: 1.0,
            highlight: None,
        }),
        rrf_k: 60.0,
    };
    let by_words = SearchRequest {
        sources: Some(&words),
        ..SearchRequest::new(&[], stored.len() + 1)
    };
    let found = snapshot.search(&by_words, &never).unwrap();
    assert_eq!(keys_of(&found).len(), visible.len(), "words");
    let listed = SearchRequest {
        shape: Shape {
            by: cairn_engine::By::Nothing,
            ..Shape::default()
        },
        ..SearchRequest::new(&[], stored.len() + 1)
    };
    let listed = snapshot.search(&listed, &never).unwrap();
    assert_eq!(keys_of(&listed), expected, "list");
}

fn random_record(rng: &mut Rng, now: i64) -> Stored {
    // Whole numbers: their distances are exact, and so are ties.
    let component = |rng: &mut Rng| rng.below(1000) as f32;
    Stored {
        vector: std::array::from_fn(|_| component(rng)),
        n: u8::try_from(rng.below(10)).unwrap(),
        end: match rng.below(4) {
            0 => None,
            1 => Some(now + i64::try_from(rng.below(50)).unwrap()),
            _ => Some(now + i64::try_from(rng.below(5_000)).unwrap()),
        },
    }
}

#[test]
fn whatever_happens_exactly_what_is_not_over_is_seen() {
    for seed in 0..4 {
        run(seed_from_env("CAIRN_SEED", 1) + seed);
    }
}

fn run(seed: u64) {
    let mut rng = Rng::new(seed);
    let mut world = World::new(small());
    for step in 0..150 {
        let now = world.now();
        match rng.below(12) {
            0..=4 => {
                // Enough that memtables are flushed and some segments get a graph.
                let count = if rng.below(4) == 0 { 700 } else { 10 };
                let mut rows = BTreeMap::new();
                for _ in 0..count {
                    rows.insert(rng.below(3_000), random_record(&mut rng, now));
                }
                let rows: Vec<(u64, Stored)> = rows.into_iter().collect();
                world.put(&rows);
            }
            5 => {
                let key = rng.below(3_000);
                let record = random_record(&mut rng, now);
                let is_there = world.model.get(&key).is_some_and(|it| it.is_there(now));
                match world.submit(row_batch(WriteKind::Add, &[(key, record)])) {
                    Ok(done) => {
                        assert!(!is_there, "{seed} {step}: added twice");
                        assert_eq!(done.inserted, 1);
                        world.model.insert(key, record);
                    }
                    Err(error) => {
                        assert!(is_there, "{seed} {step}: {error}");
                        assert_eq!(error.code(), Code::AlreadyExists);
                    }
                }
            }
            6 => {
                let key = rng.below(3_000);
                let record = random_record(&mut rng, now);
                let is_there = world.model.get(&key).is_some_and(|it| it.is_there(now));
                match world.submit(row_batch(UPDATE, &[(key, record)])) {
                    Ok(_) => {
                        assert!(is_there, "{seed} {step}: updated what is over");
                        world.model.insert(key, record);
                    }
                    Err(error) => {
                        assert!(!is_there, "{seed} {step}: {error}");
                        assert_eq!(error.code(), Code::NotFound);
                    }
                }
            }
            7 => {
                let key = rng.below(3_000);
                let is_there = world.model.get(&key).is_some_and(|it| it.is_there(now));
                let done = world.submit(removal(&declared(), &[number(key)])).unwrap();
                assert_eq!(done.deleted, u64::from(is_there), "{seed} {step}");
                assert_eq!(done.skipped, u64::from(!is_there), "{seed} {step}");
                if is_there {
                    world.model.remove(&key);
                }
            }
            8 => world.collection.compact(&Job::default()).unwrap(),
            9 => world.reopen(),
            10 => world.collection.tidy().unwrap(),
            _ => {
                let ms = rng.below(1_000);
                world.clock.advance(Duration::from_millis(ms));
            }
        }
        world.check();
    }
}

fn record(end: Option<i64>) -> Stored {
    Stored {
        vector: [1.0, 2.0, 3.0, 4.0],
        n: 7,
        end,
    }
}

#[test]
fn a_record_is_hidden_from_its_very_instant_on_and_its_key_is_free() {
    type Place = (&'static str, fn(&mut World));
    let places: [Place; 4] = [
        ("memtable", |_| {}),
        ("segment", |world| {
            world.collection.compact(&Job::default()).unwrap();
        }),
        ("log, after a restart", World::reopen),
        ("segment, after a restart", |world| {
            world.collection.compact(&Job::default()).unwrap();
            world.reopen();
        }),
    ];
    for (place, bring) in places {
        let mut world = World::new(Options::default());
        let end = world.now() + 100_000;
        world.put(&[(1, record(Some(end))), (2, record(None))]);
        bring(&mut world);
        world.clock.set_unix_ms(u64::try_from(end - 1).unwrap());
        world.check();
        assert_eq!(world.visible().len(), 2);
        let early = world.collection.snapshot().unwrap();
        world.clock.advance(Duration::from_millis(1));
        world.check();
        assert_eq!(world.visible().len(), 1, "{place}");
        assert_eq!(early.count(), 2, "{place}: a snapshot has one instant");

        let only_version = WriteOptions {
            if_version: Some(0),
            ..WriteOptions::default()
        };
        let again = record(Some(end + 50));
        let add = row_batch(WriteKind::Add, &[(1, again)]);
        let added = world.collection.write(add, only_version).unwrap();
        assert_eq!((added.inserted, added.updated), (1, 0), "{place}");
        world.model.insert(1, again);
        world.check();
        // A clock that goes back shows neither the old record nor, once it is over, the new one.
        world.clock.advance(Duration::from_millis(60));
        world.check();
        world.clock.set_unix_ms(u64::try_from(end - 1_000).unwrap());
        assert_eq!(world.collection.snapshot().unwrap().count(), 1, "{place}");
        // Another process reads the clock anew; of one key there is one record all the same.
        world.reopen();
        world.check();
    }
}

#[test]
fn what_is_over_leaves_the_disk_without_a_call_for_it() {
    let mut world = World::new(Options::default());
    let end = world.now() + 60_000;
    let mut rng = Rng::new(5);
    let rows: Vec<(u64, Stored)> = (0..20_000)
        .map(|key| {
            let end = (key % 10 != 0).then_some(end);
            let random = random_record(&mut rng, 0);
            (key, Stored { end, ..random })
        })
        .collect();
    for chunk in rows.chunks(1_000) {
        world.put(chunk);
    }
    let held: fn(&World) -> u64 = |world| {
        let stats = world.collection.stats().unwrap();
        stats.wal_bytes + stats.live_bytes + stats.dead_bytes
    };
    let before = held(&world);
    world.collection.compact(&Job::default()).unwrap();
    world.clock.advance(Duration::from_secs(61));
    let stats = world.collection.stats().unwrap();
    assert_eq!(stats.count, 2_000);
    assert!(stats.dead_bytes > stats.live_bytes * 5, "counted as dead");
    // What a collection does by itself when it rests.
    world.collection.tidy().unwrap();
    let stats = world.collection.stats().unwrap();
    let rows: u64 = stats.segments.iter().map(|segment| segment.rows).sum();
    assert_eq!(rows, 2_000, "{:?}", stats.segments);
    assert!(held(&world) * 4 < before, "{} of {before}", held(&world));

    // Records that never left the log go with it.
    let end = world.now() + 1_000;
    let short: Vec<(u64, Stored)> = (30_000..50_000)
        .map(|key| (key, record(Some(end))))
        .collect();
    for chunk in short.chunks(1_000) {
        world.put(chunk);
    }
    world.clock.advance(Duration::from_secs(2));
    world.collection.tidy().unwrap();
    assert_eq!(world.collection.snapshot().unwrap().count(), 2_000);
    assert!(held(&world) * 4 < before, "{} of {before}", held(&world));
}

#[test]
fn a_crash_anywhere_brings_nothing_back_and_loses_nothing() {
    let disk = SimDisk::new();
    let clock = SimClock::new();
    let env = |disk: &SimDisk, seed| Env {
        clock: Arc::new(clock.clone()),
        ..sim_env_seeded(disk, seed)
    };
    let open = |env: Env| Database::open(env, std::path::Path::new("/db"), small()).unwrap();
    let database = open(env(&disk, 0));
    let collection = database.create_collection("c", declared()).unwrap();
    let began = i64::try_from(clock.unix_ms()).unwrap();
    let rows: Vec<(u64, Stored)> = (0..400)
        .map(|key| (key, record((key % 2 == 0).then_some(began + 10_000))))
        .collect();
    let write = |kind, rows: &[(u64, Stored)]| {
        let written = collection.write(row_batch(kind, rows), WriteOptions::default());
        written.unwrap();
    };
    write(WriteKind::Add, &rows);
    let from = disk.op_count();
    clock.advance(Duration::from_secs(10));
    // All of this is after the end of half of them: flush, merge, and new records under old keys.
    collection.compact(&Job::default()).unwrap();
    let again: Vec<(u64, Stored)> = (0..20).map(|key| (key * 2, record(None))).collect();
    write(WriteKind::Add, &again);
    collection.compact(&Job::default()).unwrap();
    let to = disk.op_count();
    let now = clock.unix_ms();
    for at in from..=to {
        clock.set_unix_ms(now);
        let image = disk.kill_image(at);
        let database = open(env(&image, at as u64 + 1));
        let collection = database.open_collection("c").unwrap();
        let count = collection.snapshot().unwrap().count();
        assert!(count == 200 || count == 220, "{count} after {at}");
        // With the clock of before: a key has one record, whichever was kept of those that were over.
        drop(collection);
        database.close().unwrap();
        clock.set_unix_ms(u64::try_from(began).unwrap());
        let database = open(env(&image, at as u64 + 10_001));
        let collection = database.open_collection("c").unwrap();
        let snapshot = collection.snapshot().unwrap();
        let mut scan = snapshot.scan(None).unwrap();
        let page = scan.next_page(usize::MAX, &Select::default()).unwrap();
        let keys: std::collections::BTreeSet<KeyBuf> =
            page.iter().map(|record| record.key.clone()).collect();
        assert_eq!(keys.len(), page.len(), "a key stands once");
        assert!(page.len() >= 200, "{} after {at}", page.len());
        assert_eq!(snapshot.count(), page.len() as u64);
    }
}

#[test]
fn readers_beside_the_writer_hide_by_the_clock_as_well() {
    let mut world = World::new(small());
    let end = world.now() + 100_000;
    let rows: Vec<(u64, Stored)> = (0..2_000)
        .map(|key| (key, record((key % 2 == 0).then_some(end))))
        .collect();
    for chunk in rows.chunks(100) {
        world.put(chunk);
    }
    let reader =
        Database::open_read_only(world.home.env.clone(), world.home.path(), small()).unwrap();
    let seen = reader.open_collection("c").unwrap();
    let count = || seen.snapshot().unwrap().count();
    assert_eq!(count(), 2_000);
    world.clock.set_unix_ms(u64::try_from(end).unwrap());
    assert_eq!(count(), 1_000, "without a look at the disk");
    check_snapshot(&seen.snapshot().unwrap(), &world.model, &world.visible());
    world.put(&[(0, record(None))]);
    world.collection.compact(&Job::default()).unwrap();
    for _ in 0..3 {
        reader.refresh().unwrap();
        check_snapshot(&seen.snapshot().unwrap(), &world.model, &world.visible());
    }
}

#[test]
fn recorded_versions_hide_by_the_clock_of_today() {
    let mut world = World::new(Options::default());
    let end = world.now() + 100_000;
    world.put(&[(1, record(Some(end))), (2, record(None))]);
    world.database.snapshot(Some("then")).unwrap();
    let then = world.database.at(&VersionId::Name("then".into())).unwrap();
    let then = then.open_collection("c").unwrap();
    assert_eq!(then.snapshot().unwrap().count(), 2);
    world.clock.set_unix_ms(u64::try_from(end).unwrap());
    assert_eq!(then.snapshot().unwrap().count(), 1);
}

#[test]
fn the_field_must_be_declared_as_one_date_and_is_part_of_the_schema() {
    let database = Home::memory().open(Options::default());
    let wrong = |name: &str, expected: Code| {
        let schema = Schema {
            expires_at: Some(name.into()),
            ..declared()
        };
        let made = database.create_collection("wrong", schema);
        assert_eq!(made.map(|_| ()).unwrap_err().code(), expected, "{name}");
    };
    wrong("n", Code::InvalidArgument);
    wrong("absent", Code::InvalidArgument);
    wrong("vector", Code::InvalidArgument);
    database.create_collection("c", declared()).unwrap();
    database.collection("c", Some(declared())).unwrap();
    let without = Schema {
        expires_at: None,
        ..declared()
    };
    let refused = database.collection("c", Some(without));
    assert_eq!(
        refused.map(|_| ()).unwrap_err().code(),
        Code::SchemaMismatch
    );
}

#[test]
fn a_field_that_no_index_can_hold_ends_records_all_the_same() {
    // Not a number stands in the field of one record, so that its segment has no index of it.
    let mut world = World::new(Options::default());
    let end = world.now() + 100_000;
    world.put(&[(1, record(Some(end))), (2, record(None))]);
    let nan = [&b"\x81\xa3end\xcb"[..], &f64::NAN.to_be_bytes()].concat();
    let mut payloads = Payloads::default();
    payloads.push(&nan);
    let vector = vec![9.0; DIM];
    let one = schema(
        KeyType::U64,
        vec![vector_field("vector", DIM as u32, METRIC, IndexKind::Auto)],
    );
    let odd = WriteBatch {
        payloads: Some(payloads),
        ..batch(&one, WriteKind::Add, &[Row::new(number(3), &vector)])
    };
    world.submit(odd).unwrap();
    world.collection.compact(&Job::default()).unwrap();
    world.reopen();
    let count = || world.collection.snapshot().unwrap().count();
    assert_eq!(count(), 3);
    world.clock.set_unix_ms(u64::try_from(end).unwrap());
    assert_eq!(count(), 2);
}

#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
#[test]
fn planted_bugs_are_found() {
    if std::env::var_os("CAIRN_BUG").is_none() {
        planted::expect_all_found(module_path!());
    }
}
