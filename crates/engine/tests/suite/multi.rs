//! Several vectors a record: a search equals a look at every record wherever records stand, and what happens
//! to records happens to all their vectors.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use cairn_distance::reference;
use cairn_engine::limits::VECTORS_MAX;
use cairn_engine::{
    BackupOptions, By, Code, Collection, Database, DeclaredField, Effort, Filter, Hits,
    HnswSettings, IndexKind, Job, Key, KeyType, MetricName, Options, QualityRequest, Queries,
    RepairOptions, Schema, SearchRequest, Select, Shape, Snapshot, Sources, Stop, VectorField,
    VectorKind, VectorSource, VerifyOptions, VersionId, WriteKind, WriteOptions, multi_vector,
    repair, restore, verify_directory,
};
use cairn_testkit::{Rng, seed_from_env};

use crate::common;
use crate::forge::forge;
use common::{
    Home, Row, batch, everything, fused, key_of, keys, number, put, remove, schema, segment, small,
};

const VECTORS: u32 = 4;
const VECTOR_ENDS: u32 = 15;
/// Positions in the schema.
const DENSE: usize = 0;
const L2: usize = 2;

fn several(name: &str, dim: u32, metric: MetricName) -> VectorField {
    VectorField {
        kind: VectorKind::Multi,
        ..common::vector_field(name, dim, metric, IndexKind::Auto)
    }
}

/// A field of one vector, one of several under each metric, and a group.
fn mixed() -> Schema {
    let group = DeclaredField {
        name: "group".into(),
        kind: "int".into(),
        text: Default::default(),
    };
    let mut vectors = vec![common::vector_field(
        "dense",
        3,
        MetricName::L2,
        IndexKind::Auto,
    )];
    for (dim, metric) in [5, 3, 17, 16].into_iter().zip(common::METRICS) {
        vectors.push(several(&format!("{metric:?}"), dim, metric));
    }
    Schema {
        fields: vec![group],
        ..schema(KeyType::U64, vectors)
    }
}

/// One to nine vectors end to end, of small whole numbers, never zero.
fn random(rng: &mut Rng, field: &VectorField) -> Vec<f32> {
    let (dim, count) = (field.width(), 1 + rng.below(9) as usize);
    let mut values: Vec<f32> = (0..count * dim)
        .map(|_| rng.below(9) as f32 - 4.0)
        .collect();
    values.iter_mut().step_by(dim).for_each(|it| *it += 5.0);
    values
}

#[derive(Clone, Debug)]
struct Rec {
    dense: Vec<f32>,
    /// Of each other field in the order of the schema, end to end.
    several: Vec<Vec<f32>>,
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
    fn new(seed: u64) -> Self {
        let home = Home::memory();
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

    fn fields(&self) -> Vec<VectorField> {
        self.collection.schema().vectors[DENSE + 1..].to_vec()
    }

    fn write(&mut self, numbers: impl Iterator<Item = u64>) {
        let (fields, mut rows) = (self.fields(), Vec::new());
        for key in numbers {
            let rec = Rec {
                dense: (0..3).map(|_| self.rng.below(50) as f32).collect(),
                several: fields.iter().map(|it| random(&mut self.rng, it)).collect(),
                group: self.rng.below(4) as i64,
            };
            let each = fields.iter().zip(&rec.several);
            let given = each.map(|(field, it)| Some(multi_vector(it, field.width())));
            let vectors = std::iter::once(Some(rec.dense.clone())).chain(given);
            rows.push(Row::of(number(key), vectors.collect()).with("group", rec.group));
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

    fn reopen(&mut self, memory_map: bool) {
        self.home.at_rest(&self.collection);
        self.database.close().unwrap();
        let options = Options {
            memory_map,
            ..small()
        };
        self.database = self.home.open(options);
        self.collection = self.database.open_collection("c").unwrap();
    }

    fn check(&mut self, when: &str) {
        let snapshot = self.collection.snapshot().unwrap();
        check_records(&snapshot, &self.model, when);
        for (at, field) in self.fields().iter().enumerate() {
            for k in [1, 10, self.model.len() + 1] {
                let query = random(&mut self.rng, field);
                check_search(&snapshot, &self.model, at + 1, &query, k, when);
            }
        }
    }
}

fn check_records(snapshot: &Snapshot, model: &Model, when: &str) {
    assert_eq!(snapshot.count(), model.len() as u64, "{when}");
    let wanted: Vec<_> = model.keys().copied().map(number).collect();
    let column = keys(KeyType::U64, &wanted);
    let records = snapshot.get(&column, &everything()).unwrap();
    let fields = &snapshot.schema().vectors;
    for (record, (key, rec)) in records.iter().zip(model) {
        let read = record.as_ref().expect(when).vectors.as_ref().unwrap();
        assert_eq!(read[DENSE], rec.dense, "{when}: key {key}");
        for (at, given) in rec.several.iter().enumerate() {
            let expected = multi_vector(given, fields[at + 1].width());
            let bits = |v: &[f32]| v.iter().map(|it| it.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&read[at + 1]), bits(&expected), "{when}: key {key}");
        }
    }
    let mut scan = snapshot.scan(None).unwrap();
    let page = scan.next_page(100_000, &everything()).unwrap();
    let scanned = page.into_iter().map(|it| it.vectors);
    assert!(
        scanned.eq(records.into_iter().map(|it| it.unwrap().vectors)),
        "{when}"
    );
}

/// The sum of the smallest distances in double precision.
fn distance(field: &VectorField, query: &[f32], record: &[f32]) -> f64 {
    let (dim, metric) = (field.width(), field.metric.metric());
    let prepared = |one: &[f32]| {
        let mut one = one.to_vec();
        if metric.normalises() {
            cairn_distance::normalise(&mut one).unwrap();
        }
        one
    };
    let record: Vec<Vec<f32>> = record.chunks(dim).map(prepared).collect();
    let least = |one: &[f32]| {
        let one = prepared(one);
        let each = record.iter();
        let distances = each.map(|it| reference::distance(metric, &one, it).distance);
        distances.fold(f64::INFINITY, f64::min)
    };
    query.chunks(dim).map(least).sum()
}

/// Distances and keys, nearest first, ties by key.
fn naive(
    model: &Model,
    at: usize,
    field: &VectorField,
    query: &[f32],
    holds: impl Fn(&Rec) -> bool,
) -> Vec<(f64, u64)> {
    let records = model.iter().filter(|(_, rec)| holds(rec));
    let far = |rec: &Rec| distance(field, query, &rec.several[at - 1]);
    let mut all: Vec<(f64, u64)> = records.map(|(key, rec)| (far(rec), *key)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all
}

fn request(vector: &[f32], field: usize, k: usize) -> SearchRequest<'_> {
    SearchRequest {
        field,
        explain: true,
        ..SearchRequest::new(vector, k)
    }
}

fn found(hits: &Hits) -> Vec<(f64, u64)> {
    let distances = hits.distances.iter().map(|it| f64::from(*it));
    distances.zip(hits.keys.iter().map(key_of)).collect()
}

/// Exactly so: but under cosine distances of whole numbers are whole.
fn expect_hits(field: &VectorField, hits: &Hits, expected: &[(f64, u64)], when: &str) {
    let name = &field.name;
    if field.metric != MetricName::Cosine {
        assert_eq!(found(hits), expected, "{when}: {name}");
        return;
    }
    assert_eq!(hits.distances.len(), expected.len(), "{when}: {name}");
    for (got, expected) in found(hits).iter().zip(expected) {
        assert!((got.0 - expected.0).abs() < 1e-5, "{when}: {name}");
    }
}

fn check_search(
    snapshot: &Snapshot,
    model: &Model,
    at: usize,
    query: &[f32],
    k: usize,
    when: &str,
) {
    let field = &snapshot.schema().vectors[at];
    let vector = multi_vector(query, field.width());
    let asked = SearchRequest {
        select: Select {
            vectors: true,
            ..Select::default()
        },
        ..request(&vector, at, k)
    };
    let hits = snapshot.search(&asked, &Stop::never()).unwrap();
    let mut expected = naive(model, at, field, query, |_| true);
    expected.truncate(k);
    expect_hits(field, &hits, &expected, when);
    for (distance, score) in hits.distances.iter().zip(&hits.scores) {
        let count = (query.len() / field.width()) as f32;
        let expected = match field.metric {
            // The sum of the cosines, and that of the greatest products.
            MetricName::Cosine => count - distance,
            MetricName::Dot => -distance,
            _ => 1.0 / (1.0 + distance),
        };
        assert_eq!(*score, expected, "{when}");
    }
    assert!(hits.stages.iter().all(|it| it.path == "flat"), "{when}");
    let (columns, ends) = (hits.vectors.as_ref().unwrap(), &hits.vector_ends);
    for (rank, (_, key)) in found(&hits).iter().enumerate() {
        let before = rank.checked_sub(1);
        let start = before.map_or(0, |before| ends[at][before] as usize);
        let vector = &columns[at][start + 1..ends[at][rank] as usize];
        assert_eq!(vector, model[key].several[at - 1], "{when}");
    }

    let filter = Filter::parse(br#"{"group":[1,3]}"#).unwrap();
    let filtered = SearchRequest {
        filter: Some(&filter),
        ..request(&vector, at, k)
    };
    let hits = snapshot.search(&filtered, &Stop::never()).unwrap();
    let mut expected = naive(model, at, field, query, |rec| rec.group % 2 == 1);
    expected.truncate(k);
    expect_hits(field, &hits, &expected, &format!("{when}, filtered"));
}

#[test]
fn a_search_of_several_vectors_is_a_look_at_every_record() {
    let seed = seed_from_env("CAIRN_MULTI_SEED", 0x3A_01);
    println!("CAIRN_MULTI_SEED={seed}");
    let mut world = World::new(seed);
    world.write(0..40);
    world.check("in a memtable");
    for part in 1..6 {
        world.write(part * 100..(part + 1) * 100 + 20);
    }
    world.check("in memtables and segments");
    world.delete((0..600).step_by(3));
    world.write((1..600).step_by(7));
    world.check("after deletions and overwrites");
    world.reopen(false);
    world.check("after a reopen");
    world.collection.compact(&Job::default()).unwrap();
    world.check("merged");
    world.reopen(true);
    world.check("merged, after a reopen with mapped files");
    world.write(10_000..10_003);
    world.delete(5..9);
    world.reopen(false);
    world.check("out of the log");
}

#[test]
fn a_memtable_that_takes_long_is_searched_some_records_at_a_time() {
    let (dim, count) = (256, 64);
    let home = Home::memory();
    let database = home.open(Options::default());
    let field = several("m", dim as u32, MetricName::L2);
    let shape = schema(KeyType::U64, vec![field.clone()]);
    let collection = database.create_collection("c", shape).unwrap();
    let mut rng = Rng::new(6);
    let mut some = || -> Vec<f32> { (0..dim * count).map(|_| rng.below(9) as f32).collect() };
    let given: Vec<Vec<f32>> = (0..70)
        .map(|key| if key % 9 == 8 { vec![1.0; dim] } else { some() })
        .collect();
    let rows = (0..)
        .zip(&given)
        .map(|(key, it)| Row::new(number(key), &multi_vector(it, dim)));
    put(&collection, &rows.collect::<Vec<_>>());
    let query = some();
    let each = (0..).zip(&given);
    let mut expected: Vec<(f64, u64)> = each
        .map(|(key, it)| (distance(&field, &query, it), key))
        .collect();
    expected.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let snapshot = collection.snapshot().unwrap();
    let vector = multi_vector(&query, dim);
    for k in [1, 9, 100] {
        let asked = request(&vector, 0, k);
        let hits = snapshot.search(&asked, &Stop::never()).unwrap();
        assert_eq!(found(&hits), expected[..k.min(70)]);
    }
}

#[test]
fn an_update_replaces_all_vectors_and_an_older_snapshot_finds_the_old_ones() {
    let mut world = World::new(3);
    world.write(0..60);
    for is_flushed in [false, true] {
        if is_flushed {
            world.collection.compact(&Job::default()).unwrap();
        }
        let (before, model) = (world.collection.snapshot().unwrap(), world.model.clone());
        let (schema, fields) = (world.collection.schema().clone(), world.fields());
        let mut rows = Vec::new();
        for key in (0..60).step_by(4) {
            let mut vectors = vec![None; schema.vectors.len()];
            if key % 8 == 0 {
                let given = random(&mut world.rng, &fields[L2 - 1]);
                vectors[L2] = Some(multi_vector(&given, fields[L2 - 1].width()));
                world.model.get_mut(&key).unwrap().several[L2 - 1] = given;
            }
            rows.push(Row::of(number(key), vectors));
        }
        let update = batch(&schema, common::UPDATE, &rows);
        let written = world.collection.write(update, WriteOptions::default());
        written.unwrap();
        world.check("after updates");
        check_records(&before, &model, "an older snapshot");
        let query = random(&mut world.rng, &fields[L2 - 1]);
        check_search(&before, &model, L2, &query, 7, "an older snapshot");
    }
}

#[test]
fn several_vectors_and_one_are_fused_by_their_ranks() {
    let mut world = World::new(21);
    world.write(0..200);
    world.collection.compact(&Job::default()).unwrap();
    world.write(150..320);
    let snapshot = world.collection.snapshot().unwrap();
    let field = &snapshot.schema().vectors[L2];
    let (dense, query) = ([5.0, 6.0, 7.0], random(&mut world.rng, field));
    let vector = multi_vector(&query, field.width());
    let source = |field, vector| VectorSource {
        field,
        vector,
        weight: 1.0,
    };
    let sources = Sources {
        vectors: vec![source(DENSE, &dense[..]), source(L2, &vector)],
        words: None,
        rrf_k: 60.0,
    };
    let near = SearchRequest {
        effort: Effort::Exact,
        ..request(&dense, DENSE, 100)
    };
    let near = snapshot.search(&near, &Stop::never()).unwrap();
    let ranks = |list: Vec<(f64, u64)>| list.into_iter().map(|(_, key)| key).collect();
    let late = naive(&world.model, L2, field, &query, |_| true);
    let scores = fused(&[ranks(found(&near)), ranks(late)]);
    let asked = SearchRequest {
        sources: Some(&sources),
        ..request(&[], DENSE, 20)
    };
    let hits = snapshot.search(&asked, &Stop::never()).unwrap();
    assert_eq!(hits.scores.len(), 20);
    let mut best: Vec<f32> = scores.values().map(|score| *score as f32).collect();
    best.sort_by(|a, b| b.total_cmp(a));
    for ((key, score), best) in hits.keys.iter().map(key_of).zip(&hits.scores).zip(best) {
        assert_eq!((*score, scores[&key] as f32), (best, best));
    }
}

#[test]
fn neighbours_of_a_record_groups_bounds_and_batches_are_there_for_several_vectors() {
    let mut world = World::new(8);
    world.write(0..120);
    world.collection.compact(&Job::default()).unwrap();
    world.write(100..160);
    let snapshot = world.collection.snapshot().unwrap();
    let (never, field) = (Stop::never(), &snapshot.schema().vectors[L2]);
    let all = |query: &[f32]| naive(&world.model, L2, field, query, |_| true);
    let like = SearchRequest {
        shape: Shape {
            by: By::Like(Key::U64(7)),
            ..Shape::default()
        },
        ..request(&[], L2, 5)
    };
    let mut expected = all(&world.model[&7].several[L2 - 1]);
    expected.retain(|(_, key)| *key != 7);
    expected.truncate(5);
    assert_eq!(found(&snapshot.search(&like, &never).unwrap()), expected);

    let queries: Vec<Vec<f32>> = (0..4).map(|_| random(&mut world.rng, field)).collect();
    let each = queries.iter();
    let vectors: Vec<f32> = each
        .flat_map(|it| multi_vector(it, field.width()))
        .collect();
    let (hits, offsets) = snapshot
        .search_batch(&vectors, &request(&[], L2, 6), &never)
        .unwrap();
    for (at, query) in queries.iter().enumerate() {
        let (start, end) = (offsets[at] as usize, offsets[at + 1] as usize);
        assert_eq!(found(&hits)[start..end], all(query)[..6]);
    }
    let cut = &vectors[..vectors.len() - 1];
    let cut = snapshot.search_batch(cut, &request(&[], L2, 6), &never);
    assert_eq!(cut.unwrap_err().code(), Code::DimMismatch);

    let query = &queries[0];
    let vector = multi_vector(query, field.width());
    let grouped = SearchRequest {
        shape: Shape {
            group_by: Some(cairn_engine::GroupBy {
                field: "group",
                size: 1,
            }),
            ..Shape::default()
        },
        ..request(&vector, L2, 3)
    };
    let mut groups: Vec<(f64, u64)> = Vec::new();
    for (distance, key) in all(query) {
        let group = |key: &u64| world.model[key].group;
        if !groups.iter().any(|(_, other)| group(other) == group(&key)) {
            groups.push((distance, key));
        }
    }
    let hits = snapshot.search(&grouped, &never).unwrap();
    assert_eq!(found(&hits), groups[..3]);

    // Scores under cosine are sums of cosines, and so is the least one that is wanted.
    let cosine = &snapshot.schema().vectors[1];
    let one = random(&mut world.rng, cosine);
    let one = multi_vector(&one, cosine.width());
    let hits = snapshot.search(&request(&one, 1, 30), &never).unwrap();
    let least = SearchRequest {
        min_score: Some(hits.scores[11]),
        ..request(&one, 1, 30)
    };
    let near = snapshot.search(&least, &never).unwrap();
    assert!(near.scores.len() >= 12 && near.scores.iter().all(|it| *it >= hits.scores[11]));

    let diverse = SearchRequest {
        shape: Shape {
            diversity: Some(0.5),
            ..Shape::default()
        },
        ..request(&vector, L2, 3)
    };
    let error = snapshot.search(&diverse, &never).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument, "{error}");

    let quality = QualityRequest {
        field: L2,
        k: 5,
        effort: Effort::Recall(0.9),
        filter: None,
        queries: Queries::Sample(20),
    };
    let measured = snapshot.quality(&quality, &Job::default()).unwrap();
    assert_eq!(measured.recall.mean, 1.0, "every search is exact");
}

#[test]
fn what_is_not_several_vectors_is_refused_and_changes_nothing() {
    let home = Home::memory();
    let database = home.open(Options::default());
    let shape = schema(KeyType::U64, vec![several("m", 2, MetricName::Cosine)]);
    let collection = database.create_collection("c", shape.clone()).unwrap();
    let counting = |count: u32, values: &[f32]| {
        let count = std::iter::once(f32::from_bits(count));
        count.chain(values.iter().copied()).collect::<Vec<f32>>()
    };
    let two = [1.0, 2.0, 3.0, 4.0];
    for (vector, code) in [
        (counting(0, &[]), Code::InvalidArgument),
        (
            multi_vector(&vec![1.0; 2 * (VECTORS_MAX + 1)], 2),
            Code::LimitExceeded,
        ),
        (multi_vector(&[1.0, 2.0, 0.0, 0.0], 2), Code::ZeroVector),
        (multi_vector(&[1.0, 2.0, f32::NAN, 0.0], 2), Code::NotFinite),
        (multi_vector(&[f32::INFINITY, 2.0], 2), Code::NotFinite),
        (Vec::new(), Code::DimMismatch),
        (counting(1, &two), Code::DimMismatch),
        (counting(2, &two[..3]), Code::DimMismatch),
        (counting(3, &two), Code::DimMismatch),
        (counting(u32::MAX, &two), Code::DimMismatch),
    ] {
        let row = Row::new(number(1), &vector);
        let upsert = batch(&shape, WriteKind::Upsert, &[row]);
        let written = collection.write(upsert, WriteOptions::default());
        let error = written.unwrap_err();
        let short = &vector[..vector.len().min(9)];
        assert_eq!(error.code(), code, "{short:?}: {error}");
        let snapshot = collection.snapshot().unwrap();
        let asked = SearchRequest::new(&vector, 1);
        let error = snapshot.search(&asked, &Stop::never()).unwrap_err();
        assert_eq!(error.code(), code, "asked for {short:?}: {error}");
        assert_eq!(snapshot.count(), 0);
    }
    let most = multi_vector(&vec![1.0; 2 * VECTORS_MAX], 2);
    put(&collection, &[Row::new(number(1), &most)]);
    let snapshot = collection.snapshot().unwrap();
    let hits = snapshot.search(&SearchRequest::new(&most, 1), &Stop::never());
    assert_eq!(hits.unwrap().distances.len(), 1);
}

#[test]
fn a_field_of_several_vectors_is_compared_by_numbers_and_has_no_graph() {
    let check = |field| schema(KeyType::U64, vec![field]).validate();
    for metric in common::METRICS {
        for index in [IndexKind::Auto, IndexKind::Flat] {
            let field = several("m", 16, metric);
            check(VectorField { index, ..field }).unwrap();
        }
        for index in [IndexKind::Hnsw(HnswSettings::for_m(8)), IndexKind::Qg] {
            let field = several("m", 16, metric);
            let error = check(VectorField { index, ..field }).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{metric:?}");
        }
    }
    let error = check(several("m", 16, MetricName::Hamming)).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
}

/// That a database elsewhere has these records and finds them.
fn has(database: &Database, model: &Model, when: &str) {
    let collection = database.open_collection("c").unwrap();
    let snapshot = collection.snapshot().unwrap();
    check_records(&snapshot, model, when);
    let fields = &snapshot.schema().vectors;
    for (at, field) in fields.iter().enumerate().skip(DENSE + 1) {
        let query = random(&mut Rng::new(77), field);
        check_search(&snapshot, model, at, &query, 9, when);
    }
}

#[test]
fn readers_versions_checks_backups_and_repairs_have_all_vectors() {
    let mut world = World::new(13);
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
fn memory_is_what_the_padded_rows_take() {
    let home = Home::memory();
    let database = home.open(Options::default());
    let shape = schema(KeyType::U64, vec![several("m", 20, MetricName::Dot)]);
    let collection = database.create_collection("c", shape).unwrap();
    let rows = (0..500_u64).map(|key| {
        let values = vec![key as f32 + 1.0; 20 * (1 + key as usize % 30)];
        Row::new(number(key), &multi_vector(&values, 20))
    });
    put(&collection, &rows.collect::<Vec<_>>());
    let before = collection.stats().unwrap();
    collection.compact(&Job::default()).unwrap();
    let after = collection.stats().unwrap();
    let vectors: u64 = (0..500).map(|key| 1 + key % 30).sum();
    println!(
        "{vectors} vectors: {} and {} bytes",
        before.memtable_bytes, after.vector_bytes
    );
    // 20 components are two lines; a memtable has the given ones beside them.
    assert!(before.memtable_bytes >= vectors * (128 + 80));
    assert_eq!(after.vector_bytes, vectors * 128 + 500 * 4);
}

/// The only segment of a closed database.
fn one_segment() -> (Home, Model) {
    let mut world = World::new(31);
    world.write(0..50);
    world.collection.compact(&Job::default()).unwrap();
    world.home.at_rest(&world.collection);
    world.database.close().unwrap();
    (world.home, world.model)
}

#[test]
fn sections_that_lie_about_several_vectors_are_refused() {
    type Change = fn(Vec<u8>) -> Option<Vec<u8>>;
    let changes: [(u32, &str, Change); 9] = [
        (VECTOR_ENDS, "absent", |_| None),
        (VECTOR_ENDS, "short", |bytes| Some(bytes[8..].to_vec())),
        (VECTOR_ENDS, "an end that falls", |mut bytes| {
            bytes[8..16].fill(0);
            Some(bytes)
        }),
        (VECTOR_ENDS, "no whole vector", |mut bytes| {
            bytes[0] += 4;
            Some(bytes)
        }),
        (VECTOR_ENDS, "far away", |mut bytes| {
            let last = bytes.len() - 4;
            bytes[last..].fill(0xff);
            Some(bytes)
        }),
        (VECTORS, "cut", |mut bytes| {
            bytes.truncate(bytes.len() - 4);
            Some(bytes)
        }),
        (VECTORS, "another count", |mut bytes| {
            bytes[0] ^= 1;
            Some(bytes)
        }),
        (VECTORS, "endless", |mut bytes| {
            bytes[..4].fill(0xff);
            Some(bytes)
        }),
        (VECTORS, "not a number", |mut bytes| {
            bytes[4..8].fill(0xff);
            Some(bytes)
        }),
    ];
    for (kind, what, change) in changes {
        let (home, _) = one_segment();
        // The field of one vector has a section of this length.
        let is_dense = |bytes: &[u8]| bytes.len() == 50 * 12;
        forge(
            &home.env,
            &segment(&home),
            &|section, bytes| match section == kind {
                true if kind == VECTORS && is_dense(&bytes) => Some(bytes),
                true => change(bytes),
                false => Some(bytes),
            },
        );
        let opened = Database::open(home.env.clone(), home.path(), small());
        let opened = opened.and_then(|database| database.open_collection("c"));
        let error = opened.err().expect(what);
        assert_eq!(error.code(), Code::Corrupt, "{kind} {what}: {error}");
        // A repair leaves what nobody can read.
        let saved = home.path().with_extension("saved");
        let (env, job) = (&home.env, Job::default());
        repair(env, home.path(), &saved, &RepairOptions::default(), &job).unwrap();
        let database = Database::open(env.clone(), &saved, small()).unwrap();
        database.open_collection("c").unwrap();
    }
}

#[test]
fn a_repair_leaves_behind_what_is_damaged_of_several_vectors() {
    let (home, model) = one_segment();
    let path = segment(&home);
    let file = home.env.disk.open(&path, cairn_env::Access::Write).unwrap();
    let reader = cairn_storage::SegmentReader::open(&home.env, &path, None, &crate::forge::KINDS);
    let id = |kind, field| cairn_storage::SectionId { kind, field };
    let reader = reader.unwrap();
    // The last byte of the vectors is one of the last row.
    let last = id(VECTORS, 4);
    let end = reader.offset(last).unwrap() + reader.len(last).unwrap();
    let mut byte = [0];
    file.read_at(end - 1, &mut byte).unwrap();
    file.write_at(end - 1, &[byte[0] ^ 0xff]).unwrap();
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
    assert!(!left.is_empty(), "the section has more than 4,096 bytes");
    has(&database, &left, "what was left");
}

#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
#[test]
fn planted_bugs_are_found() {
    if std::env::var_os("CAIRN_BUG").is_none() {
        crate::crash::planted::expect_all_found(module_path!());
    }
}
