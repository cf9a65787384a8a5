//! Sparse vectors: a search equals a look at every record bit for bit, wherever records stand, and what
//! happens to records happens to their place in the index.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use cairn_engine::{
    BackupOptions, By, Code, Collection, Database, DeclaredField, Effort, Filter, Hits,
    HnswSettings, IndexKind, Job, Key, KeyType, MetricName, Options, QualityRequest, Queries,
    RepairOptions, Schema, SearchRequest, Select, Shape, Snapshot, Sources, Stop, VectorField,
    VectorKind, VectorSource, VerifyOptions, VersionId, WordSource, WriteKind, WriteOptions,
    repair, restore, sparse_vector, verify_directory,
};
use cairn_testkit::{Rng, seed_from_env};

use crate::common;
use crate::forge::forge;
use common::{
    Home, Row, Value, batch, everything, fused, key_of, keys, number, put, remove, schema, segment,
    small,
};

const DIM: u32 = 3_000;
const VECTORS: u32 = 4;
const VECTOR_ENDS: u32 = 15;
const SPARSE_INDEX: u32 = 16;

type Entries = BTreeMap<u32, f32>;

fn sparse(name: &str, dim: u32) -> VectorField {
    VectorField {
        kind: VectorKind::Sparse,
        ..common::vector_field(name, dim, MetricName::Dot, IndexKind::Auto)
    }
}

/// A sparse field, a dense one, a text and a group.
fn mixed() -> Schema {
    let field = |name: &str, kind: &str| DeclaredField {
        name: name.into(),
        kind: kind.into(),
        text: Default::default(),
    };
    Schema {
        fields: vec![field("group", "int"), field("text", "text")],
        ..schema(
            KeyType::U64,
            vec![
                common::vector_field("dense", 3, MetricName::L2, IndexKind::Auto),
                sparse("sparse", DIM),
            ],
        )
    }
}

/// Few indexes, low ones more often, and values that are often the same.
fn random(rng: &mut Rng) -> Entries {
    let mut entries = Entries::new();
    for _ in 0..=rng.below(20) {
        let index = rng.below(u64::from(DIM)).min(rng.below(300)) as u32;
        entries.insert(index, (rng.below(40) as f32 - 8.0) / 8.0);
    }
    entries
}

fn vector_of(entries: &Entries) -> Vec<f32> {
    let indices: Vec<u32> = entries.keys().copied().collect();
    let values: Vec<f32> = entries.values().copied().collect();
    sparse_vector(&indices, &values)
}

fn entries_of(vector: &[f32]) -> Entries {
    let count = vector[0].to_bits() as usize;
    let (indices, values) = vector[1..].split_at(count);
    let indices = indices.iter().map(|it| it.to_bits());
    indices.zip(values.iter().copied()).collect()
}

#[derive(Clone, Debug)]
struct Rec {
    dense: Vec<f32>,
    sparse: Entries,
    group: i64,
}

type Model = BTreeMap<u64, Rec>;

struct World {
    home: Home,
    database: Arc<Database>,
    collection: Arc<Collection>,
    model: Model,
    rng: Rng,
}

impl World {
    fn new(home: Home, seed: u64) -> Self {
        let database = home.open(small());
        let collection = database.create_collection("c", mixed()).unwrap();
        Self {
            home,
            database,
            collection,
            model: Model::new(),
            rng: Rng::new(seed),
        }
    }

    fn write(&mut self, numbers: impl Iterator<Item = u64>) {
        let mut rows = Vec::new();
        for key in numbers {
            let rec = Rec {
                dense: (0..3).map(|_| self.rng.below(50) as f32).collect(),
                sparse: random(&mut self.rng),
                group: self.rng.below(4) as i64,
            };
            let vectors = vec![Some(rec.dense.clone()), Some(vector_of(&rec.sparse))];
            let word = format!("word{} all", key % 5);
            let row = Row::of(number(key), vectors).with("group", rec.group);
            rows.push(row.with("text", Value::Text(word)));
            self.model.insert(key, rec);
        }
        put(&self.collection, &rows);
    }

    fn delete(&mut self, numbers: impl Iterator<Item = u64>) {
        let gone: Vec<u64> = numbers.collect();
        self.model.retain(|key, _| !gone.contains(key));
        let gone: Vec<_> = gone.into_iter().map(number).collect();
        remove(&self.collection, &gone);
    }

    fn reopen(&mut self) {
        self.home.at_rest(&self.collection);
        self.database.close().unwrap();
        self.database = self.home.open(small());
        self.collection = self.database.open_collection("c").unwrap();
    }

    fn check(&mut self, when: &str) {
        let snapshot = self.collection.snapshot().unwrap();
        check_records(&snapshot, &self.model, when);
        for k in [1, 3, 10, self.model.len() + 1] {
            let query = random(&mut self.rng);
            check_search(&snapshot, &self.model, &query, k, when);
        }
    }
}

fn check_records(snapshot: &Snapshot, model: &Model, when: &str) {
    assert_eq!(snapshot.count(), model.len() as u64, "{when}");
    let wanted: Vec<_> = model.keys().copied().map(number).collect();
    let records = snapshot
        .get(&keys(KeyType::U64, &wanted), &everything())
        .unwrap();
    for (record, (key, rec)) in records.iter().zip(model) {
        let read = record.as_ref().expect(when).vectors.as_ref().unwrap();
        assert_eq!(read[0], rec.dense, "{when}: key {key}");
        assert_eq!(entries_of(&read[1]), rec.sparse, "{when}: key {key}");
    }
    let page = snapshot
        .scan(None)
        .unwrap()
        .next_page(100_000, &everything());
    let scanned: Vec<_> = page.unwrap().into_iter().map(|it| it.vectors).collect();
    let got = records.into_iter().map(|it| it.unwrap().vectors);
    assert!(scanned.into_iter().eq(got), "{when}");
}

/// The inner product in double precision in the order of the indexes, rounded once; `None` where no index
/// is shared.
fn score(query: &Entries, entries: &Entries) -> Option<f32> {
    let shared = entries
        .iter()
        .filter_map(|(index, value)| Some((query.get(index)?, value)));
    let products = shared.map(|(weight, value)| f64::from(*weight) * f64::from(*value));
    products
        .fold(None, |sum: Option<f64>, it| Some(sum.unwrap_or(0.0) + it))
        .map(|it| it as f32)
}

/// Keys and scores, best first, ties by key.
fn naive(model: &Model, query: &Entries, holds: impl Fn(&Rec) -> bool) -> Vec<(u64, f32)> {
    let records = model.iter().filter(|(_, rec)| holds(rec));
    let scored = records.filter_map(|(key, rec)| Some((*key, score(query, &rec.sparse)?)));
    let mut all: Vec<(u64, f32)> = scored.collect();
    all.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap().then(a.0.cmp(&b.0)));
    all
}

fn request<'a>(vector: &'a [f32], k: usize) -> SearchRequest<'a> {
    SearchRequest {
        field: 1,
        explain: true,
        ..SearchRequest::new(vector, k)
    }
}

fn found(hits: &Hits) -> Vec<(u64, f32)> {
    hits.keys
        .iter()
        .map(key_of)
        .zip(hits.scores.iter().copied())
        .collect()
}

fn check_search(snapshot: &Snapshot, model: &Model, query: &Entries, k: usize, when: &str) {
    let vector = vector_of(query);
    let asked = SearchRequest {
        select: Select {
            vectors: true,
            ..Select::default()
        },
        ..request(&vector, k)
    };
    let hits = snapshot.search(&asked, &Stop::never()).unwrap();
    let mut expected = naive(model, query, |_| true);
    expected.truncate(k);
    assert_eq!(found(&hits), expected, "{when}");
    let distances = hits.distances.iter().map(|distance| -distance);
    assert!(distances.eq(hits.scores.iter().copied()), "{when}");
    assert!(
        hits.stages
            .iter()
            .all(|it| it.path == "sparse" && it.field == Some(1))
    );
    let (columns, ends) = (hits.vectors.as_ref().unwrap(), &hits.vector_ends);
    for (rank, (key, _)) in expected.iter().enumerate() {
        let start = rank
            .checked_sub(1)
            .map_or(0, |before| ends[1][before] as usize);
        let vector = &columns[1][start..ends[1][rank] as usize];
        assert_eq!(entries_of(vector), model[key].sparse, "{when}");
        assert_eq!(ends[0][rank] as usize, 3 * (rank + 1));
    }

    let filter = Filter::parse(br#"{"group":[1,3]}"#).unwrap();
    let filtered = SearchRequest {
        filter: Some(&filter),
        ..request(&vector, k)
    };
    let hits = snapshot.search(&filtered, &Stop::never()).unwrap();
    let mut expected = naive(model, query, |rec| rec.group % 2 == 1);
    expected.truncate(k);
    assert_eq!(found(&hits), expected, "{when}, filtered");
}

#[test]
fn a_search_of_sparse_vectors_is_a_look_at_every_record() {
    let seed = seed_from_env("CAIRN_SPARSE_SEED", 0x5A_01);
    println!("CAIRN_SPARSE_SEED={seed}");
    let mut world = World::new(Home::memory(), seed);
    world.write(0..40);
    world.check("in a memtable");
    for part in 1..8 {
        world.write(part * 100..(part + 1) * 100 + 20);
    }
    world.check("in memtables and segments");
    world.delete((0..800).step_by(3));
    world.write((1..800).step_by(7));
    world.check("after deletions and overwrites");
    world.reopen();
    world.check("after a reopen");
    world.collection.compact(&Job::default()).unwrap();
    world.check("merged");
    world.reopen();
    world.check("merged, after a reopen");
    world.write(10_000..10_003);
    world.delete(5..9);
    world.reopen();
    world.check("out of the log");
}

#[test]
fn an_update_replaces_a_sparse_vector_and_an_older_snapshot_finds_the_old_one() {
    let mut world = World::new(Home::memory(), 3);
    world.write(0..60);
    for is_flushed in [false, true] {
        if is_flushed {
            world.collection.compact(&Job::default()).unwrap();
        }
        let (before, model) = (world.collection.snapshot().unwrap(), world.model.clone());
        let schema = world.collection.schema().clone();
        let mut rows = Vec::new();
        for key in (0..60).step_by(4) {
            let entries = random(&mut world.rng);
            let sparse = (key % 8 == 0).then(|| vector_of(&entries));
            if sparse.is_some() {
                world.model.get_mut(&key).unwrap().sparse = entries;
            }
            rows.push(Row::of(number(key), vec![None, sparse]));
        }
        let update = batch(&schema, common::UPDATE, &rows);
        world
            .collection
            .write(update, WriteOptions::default())
            .unwrap();
        world.check("after updates");
        check_records(&before, &model, "an older snapshot");
        let query = random(&mut world.rng);
        check_search(&before, &model, &query, 7, "an older snapshot");
    }
}

#[test]
fn a_key_that_stands_twice_in_a_batch_keeps_the_last_sparse_vector() {
    let home = Home::memory();
    let database = home.open(small());
    let shape = schema(KeyType::U64, vec![sparse("s", 10)]);
    let collection = database.create_collection("c", shape).unwrap();
    let rows: Vec<Row> = [(1, 2), (2, 3), (1, 4), (3, 5), (2, 6)]
        .map(|(key, index)| Row::new(number(key), &sparse_vector(&[index, 9], &[1.0, 2.0])))
        .into();
    put(&collection, &rows);
    let snapshot = collection.snapshot().unwrap();
    let page = snapshot
        .scan(None)
        .unwrap()
        .next_page(9, &everything())
        .unwrap();
    let kept: Vec<Vec<u32>> = page
        .into_iter()
        .map(|it| entries_of(&it.vectors.unwrap()[0]).into_keys().collect())
        .collect();
    assert_eq!(kept, [[4, 9], [6, 9], [5, 9]]);
}

#[test]
fn sparse_and_dense_vectors_and_words_are_fused_by_their_ranks() {
    let mut world = World::new(Home::memory(), 21);
    world.write(0..300);
    world.collection.compact(&Job::default()).unwrap();
    world.write(250..420);
    let snapshot = world.collection.snapshot().unwrap();
    for with_words in [false, true] {
        let (dense, query) = ([5.0, 6.0, 7.0], random(&mut world.rng));
        let vector = vector_of(&query);
        let source = |field, vector| VectorSource {
            field,
            vector,
            weight: 1.0,
        };
        let words = WordSource {
            words: "word3",
            fields: None,
            weight: 1.0,
            highlight: None,
        };
        let sources = Sources {
            vectors: vec![source(0, &dense[..]), source(1, &vector)],
            words: with_words.then_some(words.clone()),
            rrf_k: 60.0,
        };
        let alone = Sources {
            vectors: Vec::new(),
            words: Some(words),
            rrf_k: 60.0,
        };
        let ask = |sources, k| {
            let asked = SearchRequest {
                sources: Some(sources),
                ..request(&[], k)
            };
            snapshot.search(&asked, &Stop::never()).unwrap()
        };
        let near = SearchRequest {
            field: 0,
            effort: Effort::Exact,
            ..request(&dense, 100)
        };
        let near = snapshot.search(&near, &Stop::never()).unwrap();
        let ranks = |list: Vec<(u64, f32)>| list.into_iter().map(|(key, _)| key).collect();
        let mut lists: Vec<Vec<u64>> = vec![
            ranks(found(&near)),
            ranks(naive(&world.model, &query, |_| true)),
        ];
        if with_words {
            lists.push(ranks(found(&ask(&alone, 100))));
        }
        let scores = fused(&lists);
        let hits = found(&ask(&sources, 20));
        assert_eq!(hits.len(), 20);
        let mut best: Vec<f32> = scores.values().map(|score| *score as f32).collect();
        best.sort_by(|a, b| b.total_cmp(a));
        for ((key, score), best) in hits.into_iter().zip(best) {
            assert_eq!((score, scores[&key] as f32), (best, best));
        }
    }
}

#[test]
fn neighbours_of_a_record_groups_and_batches_are_there_for_sparse_vectors() {
    let mut world = World::new(Home::memory(), 8);
    world.write(0..120);
    world.collection.compact(&Job::default()).unwrap();
    world.write(100..160);
    let snapshot = world.collection.snapshot().unwrap();
    let never = Stop::never();
    let itself = world.model[&7].sparse.clone();
    let like = SearchRequest {
        shape: Shape {
            by: By::Like(Key::U64(7)),
            ..Shape::default()
        },
        ..request(&[], 5)
    };
    let mut expected = naive(&world.model, &itself, |_| true);
    expected.retain(|(key, _)| *key != 7);
    expected.truncate(5);
    assert_eq!(found(&snapshot.search(&like, &never).unwrap()), expected);

    let queries: Vec<Entries> = (0..4).map(|_| random(&mut world.rng)).collect();
    let vectors: Vec<f32> = queries.iter().flat_map(vector_of).collect();
    let (hits, offsets) = snapshot
        .search_batch(&vectors, &request(&[], 6), &never)
        .unwrap();
    let all = found(&hits);
    for (at, query) in queries.iter().enumerate() {
        let mut expected = naive(&world.model, query, |_| true);
        expected.truncate(6);
        let (start, end) = (offsets[at] as usize, offsets[at + 1] as usize);
        assert_eq!(all[start..end], expected);
    }
    let cut = snapshot.search_batch(&vectors[..vectors.len() - 1], &request(&[], 6), &never);
    assert_eq!(cut.unwrap_err().code(), Code::DimMismatch);

    let vector = vector_of(&queries[0]);
    let grouped = SearchRequest {
        shape: Shape {
            group_by: Some(cairn_engine::GroupBy {
                field: "group",
                size: 1,
            }),
            ..Shape::default()
        },
        ..request(&vector, 3)
    };
    let mut groups = Vec::new();
    for (key, score) in naive(&world.model, &queries[0], |_| true) {
        let group = world.model[&key].group;
        if !groups.iter().any(|(_, _, other)| *other == group) {
            groups.push((key, score, group));
        }
    }
    let best: Vec<(u64, f32)> = groups.into_iter().map(|it| (it.0, it.1)).take(3).collect();
    assert_eq!(found(&snapshot.search(&grouped, &never).unwrap()), best);

    let diverse = SearchRequest {
        shape: Shape {
            diversity: Some(0.5),
            ..Shape::default()
        },
        ..request(&vector, 3)
    };
    let error = snapshot.search(&diverse, &never).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument, "{error}");

    let quality = QualityRequest {
        field: 1,
        k: 5,
        effort: Effort::Recall(0.9),
        filter: None,
        queries: Queries::Sample(20),
    };
    let measured = snapshot.quality(&quality, &Job::default()).unwrap();
    assert_eq!(measured.recall.mean, 1.0, "every search is exact");
}

#[test]
fn what_is_no_sparse_vector_is_refused_and_changes_nothing() {
    let home = Home::memory();
    let database = home.open(Options::default());
    let shape = schema(KeyType::U64, vec![sparse("s", 10)]);
    let collection = database.create_collection("c", shape.clone()).unwrap();
    let mut longer = sparse_vector(&[1], &[1.0]);
    longer[0] = f32::from_bits(2);
    let mut endless = longer.clone();
    endless[0] = f32::from_bits(u32::MAX);
    for (vector, code) in [
        (sparse_vector(&[], &[]), Code::InvalidArgument),
        (sparse_vector(&[3, 2], &[1.0, 1.0]), Code::InvalidArgument),
        (sparse_vector(&[2, 2], &[1.0, 1.0]), Code::InvalidArgument),
        (sparse_vector(&[0, 10], &[1.0, 1.0]), Code::DimMismatch),
        (sparse_vector(&[u32::MAX], &[1.0]), Code::DimMismatch),
        (sparse_vector(&[1], &[f32::NAN]), Code::NotFinite),
        (sparse_vector(&[1], &[f32::INFINITY]), Code::NotFinite),
        (Vec::new(), Code::DimMismatch),
        (longer, Code::DimMismatch),
        (endless, Code::DimMismatch),
        (
            [sparse_vector(&[1], &[1.0]), vec![0.0]].concat(),
            Code::DimMismatch,
        ),
    ] {
        let row = Row::new(number(1), &vector);
        let upsert = batch(&shape, WriteKind::Upsert, &[row]);
        let error = collection
            .write(upsert, WriteOptions::default())
            .unwrap_err();
        assert_eq!(error.code(), code, "{vector:?}: {error}");
        let snapshot = collection.snapshot().unwrap();
        let asked = SearchRequest::new(&vector, 1);
        let error = snapshot.search(&asked, &Stop::never()).unwrap_err();
        assert_eq!(error.code(), code, "asked for {vector:?}: {error}");
        assert_eq!(snapshot.count(), 0);
    }
    put(
        &collection,
        &[Row::new(number(1), &sparse_vector(&[0, 9], &[0.0, -1.0]))],
    );
}

#[test]
fn a_sparse_field_has_the_metric_dot_and_no_graph() {
    for metric in [
        MetricName::Cosine,
        MetricName::L2,
        MetricName::L1,
        MetricName::Hamming,
    ] {
        let field = VectorField {
            metric,
            ..sparse("s", 16)
        };
        let error = schema(KeyType::U64, vec![field]).validate().unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{metric:?}");
    }
    let index = IndexKind::Hnsw(HnswSettings::for_m(8));
    let field = VectorField {
        index,
        ..sparse("s", 16)
    };
    let error = schema(KeyType::U64, vec![field]).validate().unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    let field = VectorField {
        index: IndexKind::Flat,
        ..sparse("s", 16)
    };
    schema(KeyType::U64, vec![field]).validate().unwrap();
}

/// That a database elsewhere has these records and finds them.
fn has(database: &Database, model: &Model, when: &str) {
    let collection = database.open_collection("c").unwrap();
    let snapshot = collection.snapshot().unwrap();
    check_records(&snapshot, model, when);
    let query = random(&mut Rng::new(77));
    check_search(&snapshot, model, &query, 9, when);
}

#[test]
fn readers_versions_checks_backups_and_repairs_have_sparse_vectors() {
    let mut world = World::new(Home::memory(), 13);
    world.write(0..200);
    world.collection.compact(&Job::default()).unwrap();
    world.delete((0..200).step_by(9));
    let kept = world.model.clone();
    let database = Arc::clone(&world.database);
    database.snapshot(Some("kept")).unwrap();
    world.write(150..260);
    let (env, path) = (&world.home.env, world.home.path());
    let job = Job::default();

    let mapped = Options {
        memory_map: true,
        ..small()
    };
    for options in [small(), mapped] {
        let reader = Database::open_read_only(env.clone(), path, options).unwrap();
        has(&reader, &world.model, "a reader");
    }
    let version = database.at(&VersionId::Name("kept".into())).unwrap();
    has(&version, &kept, "a version");
    assert!(version.verify(&job).unwrap().is_ok());

    let backups = path.with_extension("backups");
    let options = BackupOptions::default();
    database.backup(env, &backups, &options, &job).unwrap();
    let restored = path.with_extension("restored");
    restore(env, &backups, &restored, None, None, &small(), &job).unwrap();
    let open = |path: &Path| Database::open(env.clone(), path, small()).unwrap();
    has(&open(&restored), &world.model, "restored");

    world.home.at_rest(&world.collection);
    drop(version);
    database.close().unwrap();
    let report = verify_directory(env, path, &VerifyOptions::default(), &job).unwrap();
    assert_eq!(report.problems, []);
    let saved = path.with_extension("saved");
    let report = repair(env, path, &saved, &RepairOptions::default(), &job).unwrap();
    assert!(report.lost.is_empty());
    has(&open(&saved), &world.model, "repaired");
}

#[test]
fn the_index_is_counted_and_takes_what_its_entries_take() {
    let home = Home::memory();
    let database = home.open(Options::default());
    let shape = schema(KeyType::U64, vec![sparse("s", DIM)]);
    let collection = database.create_collection("c", shape).unwrap();
    let mut rng = Rng::new(2);
    let all: Vec<Entries> = (0..500).map(|_| random(&mut rng)).collect();
    let rows = (0..)
        .zip(&all)
        .map(|(key, it)| Row::new(number(key), &vector_of(it)));
    put(&collection, &rows.collect::<Vec<_>>());
    let before = collection.stats().unwrap();
    collection.compact(&Job::default()).unwrap();
    let after = collection.stats().unwrap();
    let entries = all.iter().map(|entries| entries.len() as u64).sum::<u64>();
    println!(
        "{entries} entries: {} and {} bytes",
        before.memtable_bytes, after.vector_bytes
    );
    assert!(before.memtable_bytes >= entries * 16);
    assert!(after.vector_bytes >= entries * 8);
    // About 100 bytes for each index that any row has.
    assert!(after.vector_bytes <= entries * 9 + 300 * 120);
}

/// The only segment of a closed database of sparse vectors.
fn one_segment() -> (Home, Model) {
    let mut world = World::new(Home::memory(), 31);
    world.write(0..50);
    world.collection.compact(&Job::default()).unwrap();
    world.home.at_rest(&world.collection);
    world.database.close().unwrap();
    (world.home, world.model)
}

#[test]
fn sections_that_lie_about_sparse_vectors_are_refused() {
    type Change = fn(Vec<u8>) -> Option<Vec<u8>>;
    let changes: [(u32, &str, Change); 9] = [
        (VECTOR_ENDS, "absent", |_| None),
        (VECTOR_ENDS, "short", |bytes| Some(bytes[8..].to_vec())),
        (VECTOR_ENDS, "an end that falls", |mut bytes| {
            bytes[8..16].fill(0);
            Some(bytes)
        }),
        (
            VECTOR_ENDS,
            "a vector of no whole number of values",
            |mut bytes| {
                bytes[0] += 1;
                Some(bytes)
            },
        ),
        (SPARSE_INDEX, "absent", |_| None),
        (SPARSE_INDEX, "of other rows", |mut bytes| {
            bytes[4] += 1;
            Some(bytes)
        }),
        (SPARSE_INDEX, "cut", |mut bytes| {
            bytes.truncate(bytes.len() - 4);
            Some(bytes)
        }),
        (SPARSE_INDEX, "empty", |_| Some(Vec::new())),
        (VECTORS, "cut", |mut bytes| {
            bytes.truncate(bytes.len() - 4);
            Some(bytes)
        }),
    ];
    for (kind, what, change) in changes {
        let (home, _) = one_segment();
        // Of the two fields of vectors the sparse one has the larger section.
        forge(
            &home.env,
            &segment(&home),
            &|section, bytes| match section == kind {
                true if kind == VECTORS && bytes.len() == 50 * 12 => Some(bytes),
                true => change(bytes),
                false => Some(bytes),
            },
        );
        let opened = Database::open(home.env.clone(), home.path(), small());
        let opened = opened.and_then(|database| database.open_collection("c"));
        let error = opened.err().expect(what);
        assert_eq!(error.code(), Code::Corrupt, "{kind} {what}: {error}");
    }
    // A vector that is none is told when it is read.
    let (home, _) = one_segment();
    forge(&home.env, &segment(&home), &|section, mut bytes| {
        if section == VECTORS && bytes.len() != 50 * 12 {
            bytes[0] ^= 1;
        }
        Some(bytes)
    });
    let database = home.open(small());
    let snapshot = database.open_collection("c").unwrap().snapshot().unwrap();
    let error = snapshot.get(&keys(KeyType::U64, &[number(0)]), &everything());
    assert_eq!(error.unwrap_err().code(), Code::Corrupt);
}

#[test]
fn a_repair_leaves_behind_what_is_damaged_of_sparse_vectors() {
    let (home, model) = one_segment();
    let path = segment(&home);
    let file = home.env.disk.open(&path, cairn_env::Access::Write).unwrap();
    let reader = cairn_storage::SegmentReader::open(&home.env, &path, None, &crate::forge::KINDS);
    let id = |kind, field| cairn_storage::SectionId { kind, field };
    let reader = reader.unwrap();
    // The last byte of the vectors is one of the last row, the index is of no account.
    let end = reader.offset(id(VECTORS, 1)).unwrap() + reader.len(id(VECTORS, 1)).unwrap();
    let index = reader.offset(id(SPARSE_INDEX, 1)).unwrap();
    for at in [end - 1, index + 40] {
        let mut byte = [0];
        file.read_at(at, &mut byte).unwrap();
        file.write_at(at, &[byte[0] ^ 0xff]).unwrap();
    }
    drop((reader, file));
    let saved = home.path().with_extension("saved");
    let (env, job) = (&home.env, Job::default());
    let report = repair(env, home.path(), &saved, &RepairOptions::default(), &job).unwrap();
    println!("{report:?}");
    let database = Database::open(env.clone(), &saved, small()).unwrap();
    let snapshot = database.open_collection("c").unwrap().snapshot().unwrap();
    let mut left = model.clone();
    left.retain(|key, _| snapshot.has(Key::U64(*key)).unwrap());
    assert!(left.len() < model.len(), "a checksum covers 4,096 bytes");
    has(&database, &left, "what was left");
}

#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
#[test]
fn planted_bugs_are_found() {
    if std::env::var_os("CAIRN_BUG").is_none() {
        crate::crash::planted::expect_all_found(module_path!());
    }
}
