//! Vectors of 16 and 8 bits and of single bits: what is stored is what was rounded, searches are exact over
//! it, and nothing of that changes when records are flushed, merged, written over, deleted or opened anew.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use cairn_distance::{Element, f16, reference};
use cairn_engine::{
    BackupOptions, Code, Collection, Database, Effort, Error, Hits, IndexKind, Job, Key, KeyType,
    MetricName, Options, RepairOptions, Schema, SearchRequest, Select, Shape, Snapshot, Stop,
    VectorField, VectorKind, VerifyOptions, VersionId, WriteKind, WriteOptions, repair, restore,
    verify_directory,
};
use cairn_testkit::{Rng, seed_from_env};

use crate::common;
use common::{Home, Row, batch, everything, key_of, keys, number, put, remove, schema, small};

fn field(name: &str, dim: u32, metric: MetricName, kind: VectorKind) -> VectorField {
    VectorField {
        kind,
        ..common::vector_field(name, dim, metric, IndexKind::Auto)
    }
}

/// Every kind with each of its metrics.
fn every_field() -> Vec<VectorField> {
    let mut fields = vec![
        field("bits", 72, MetricName::Hamming, VectorKind::Binary),
        field("wide bits", 1_024, MetricName::Hamming, VectorKind::Binary),
    ];
    for metric in common::METRICS {
        fields.push(field(
            &format!("halves {metric:?}"),
            19,
            metric,
            VectorKind::F16,
        ));
        fields.push(field(
            &format!("bytes {metric:?}"),
            70,
            metric,
            VectorKind::I8,
        ));
    }
    fields
}

/// What a caller may give for a field.
fn random(rng: &mut Rng, field: &VectorField) -> Vec<f32> {
    let value = |rng: &mut Rng| match field.kind {
        VectorKind::Binary => rng.below(256) as f32,
        VectorKind::I8 => rng.below(256) as f32 - 128.0,
        // Between two halves, as a rule.
        _ => (rng.normal() * 10.0) as f32,
    };
    (0..field.width()).map(|_| value(rng)).collect()
}

/// What is stored of it.
fn stored(field: &VectorField, vector: &[f32]) -> Vec<f32> {
    let round = |&x: &f32| match field.kind {
        VectorKind::F16 => f16::from_f32(x).to_f32(),
        _ => x,
    };
    vector.iter().map(round).collect()
}

/// The distance in double precision, and how far the one of 32 bits may be off.
fn measured(field: &VectorField, a: &[f32], b: &[f32]) -> (f64, f64) {
    fn of<T: Element>(field: &VectorField, a: &[f32], b: &[f32], to: fn(f32) -> T) -> (f64, f64) {
        let stored = |v: &[f32]| v.iter().map(|&x| to(x)).collect::<Vec<T>>();
        let metric = field.metric.metric();
        let exact = reference::distance(metric, &stored(a), &stored(b));
        let bound = reference::error_bound::<T>(metric, a.len(), exact);
        (exact.distance, bound)
    }
    match field.kind {
        VectorKind::F16 => of(field, a, b, f16::from_f32),
        VectorKind::I8 => of(field, a, b, |x| x as i8),
        VectorKind::Binary => of(field, a, b, |x| x as u8),
        VectorKind::F32 | VectorKind::Sparse | VectorKind::Multi => {
            unreachable!("not of this suite")
        }
    }
}

fn exact(field: &VectorField, a: &[f32], b: &[f32]) -> f64 {
    measured(field, a, b).0
}

/// The vectors of each record as they are stored.
type Model = BTreeMap<u64, Vec<Vec<f32>>>;

struct World {
    home: Home,
    database: Arc<Database>,
    collection: Arc<Collection>,
    model: Model,
    rng: Rng,
}

impl World {
    fn new(schema: Schema, rng: Rng) -> Self {
        let home = Home::memory();
        let database = home.open(small());
        let collection = database.create_collection("c", schema).unwrap();
        Self {
            home,
            database,
            collection,
            model: Model::new(),
            rng,
        }
    }

    fn write(&mut self, numbers: impl Iterator<Item = u64>) {
        let schema = self.collection.schema().clone();
        let mut rows = Vec::new();
        for key in numbers {
            let fields = schema.vectors.iter();
            let given: Vec<Vec<f32>> = fields.map(|field| random(&mut self.rng, field)).collect();
            let fields = schema.vectors.iter().zip(&given);
            let kept = fields.map(|(field, vector)| stored(field, vector));
            self.model.insert(key, kept.collect());
            rows.push(Row::of(number(key), given.into_iter().map(Some).collect()));
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
        let schema = self.collection.schema().clone();
        for (at, field) in schema.vectors.iter().enumerate() {
            for k in [1, 10, self.model.len() + 1] {
                let query = random(&mut self.rng, field);
                let hits = search(&snapshot, at, &query, k, Effort::Exact);
                check_hits(&self.model, &schema, at, &query, &hits, k, when);
            }
        }
    }
}

fn check_records(snapshot: &Snapshot, model: &Model, when: &str) {
    assert_eq!(snapshot.count(), model.len() as u64, "{when}");
    let wanted: Vec<_> = model.keys().copied().map(number).collect();
    let column = keys(KeyType::U64, &wanted);
    let records = snapshot.get(&column, &everything()).unwrap();
    for (record, (key, vectors)) in records.iter().zip(model) {
        let record = record.as_ref().expect(when);
        let read = record.vectors.as_ref().unwrap();
        for (read, stored) in read.iter().zip(vectors) {
            let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(read), bits(stored), "{when}: key {key}");
        }
    }
    let mut scan = snapshot.scan(None).unwrap();
    let page = scan.next_page(100_000, &everything()).unwrap();
    assert!(
        page.iter()
            .map(|it| &it.vectors)
            .eq(records.iter().map(|it| &it.as_ref().unwrap().vectors))
    );
}

fn search(snapshot: &Snapshot, field: usize, query: &[f32], k: usize, effort: Effort) -> Hits {
    let request = SearchRequest {
        field,
        effort,
        explain: true,
        select: Select {
            vectors: true,
            ..Select::default()
        },
        ..SearchRequest::new(query, k)
    };
    snapshot.search(&request, &Stop::never()).unwrap()
}

/// Compares with a look at every record, in double precision over what is stored.
fn check_hits(
    model: &Model,
    schema: &Schema,
    at: usize,
    query: &[f32],
    hits: &Hits,
    k: usize,
    when: &str,
) {
    let field = &schema.vectors[at];
    let far = |vectors: &Vec<Vec<f32>>| exact(field, query, &vectors[at]);
    let mut all: Vec<(f64, u64)> = model.iter().map(|(key, it)| (far(it), *key)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all.truncate(k);
    assert_eq!(hits.distances.len(), all.len(), "{when}: {}", field.name);
    let whole = field.kind != VectorKind::F16 && field.metric != MetricName::Cosine;
    let columns = hits.vectors.as_ref().unwrap();
    for (rank, (expected, key)) in all.iter().enumerate() {
        let found = key_of(hits.keys.get(rank));
        let got = f64::from(hits.distances[rank]);
        let (own, bound) = measured(field, query, &model[&found][at]);
        // What stands before another one by mistake differs by less than both may.
        let slack = measured(field, query, &model[key][at]).1 + bound;
        if whole {
            assert_eq!((got, found), (*expected, *key), "{when}: {}", field.name);
        }
        let name = &field.name;
        assert!((got - own).abs() <= bound, "{when}: {name}: {got} is {own}");
        assert!(
            (got - expected).abs() <= slack,
            "{when}: {name}: rank {rank}"
        );
        let score = field.metric.metric().score(hits.distances[rank]);
        assert_eq!(hits.scores[rank], score);
        let width = field.width();
        assert_eq!(columns[at][rank * width..][..width], model[&found][at]);
    }
}

#[test]
fn a_search_is_exact_over_what_is_stored() {
    let seed = seed_from_env("CAIRN_KINDS_SEED", 0x16_08_01);
    println!("CAIRN_KINDS_SEED={seed}");
    let mut world = World::new(schema(KeyType::U64, every_field()), Rng::new(seed));
    world.write(0..40);
    world.check("in a memtable");
    for part in 1..8 {
        world.write(part * 60..(part + 1) * 60 + 10);
    }
    world.check("in memtables and segments");
    world.delete((0..500).step_by(3));
    world.write((1..500).step_by(7));
    world.check("after deletions and overwrites");
    world.reopen();
    world.check("after a reopen");
    world.collection.compact(&Job::default()).unwrap();
    world.check("merged");
    world.reopen();
    world.check("merged, after a reopen");
    world.write(1_000..1_003);
    world.reopen();
    world.check("out of the log");
}

#[test]
fn an_update_replaces_the_vectors_it_brings_and_older_snapshots_keep_theirs() {
    let mut world = World::new(schema(KeyType::U64, every_field()), Rng::new(5));
    world.write(0..20);
    for is_flushed in [false, true] {
        if is_flushed {
            world.collection.compact(&Job::default()).unwrap();
        }
        let before = (world.collection.snapshot().unwrap(), world.model.clone());
        let schema = world.collection.schema().clone();
        for (at, field) in schema.vectors.iter().enumerate() {
            let key = at as u64;
            let given = random(&mut world.rng, field);
            world.model.get_mut(&key).unwrap()[at] = stored(field, &given);
            let mut vectors = vec![None; schema.vectors.len()];
            vectors[at] = Some(given);
            let update = batch(&schema, common::UPDATE, &[Row::of(number(key), vectors)]);
            let options = WriteOptions::default();
            world.collection.write(update, options).unwrap();
        }
        world.check("after updates");
        check_records(&before.0, &before.1, "an older snapshot");
    }
}

/// Rows enough for a graph, around a few centres.
fn clustered(rng: &mut Rng, field: &VectorField, centres: &[Vec<f32>]) -> Vec<f32> {
    let centre = &centres[rng.range(0..centres.len())];
    let near = |(&x, rng): (&f32, &mut Rng)| match field.kind {
        VectorKind::Binary => {
            let flip = if rng.chance(0.2) {
                1 << rng.below(8)
            } else {
                0
            };
            f32::from(x as u8 ^ flip)
        }
        VectorKind::I8 => (x * 0.8 + (rng.normal() * 8.0) as f32)
            .round()
            .clamp(-128.0, 127.0),
        _ => x + rng.normal() as f32,
    };
    centre.iter().map(|x| near((x, &mut *rng))).collect()
}

#[test]
fn graphs_stand_over_every_kind_and_find_what_is_near() {
    let seed = seed_from_env("CAIRN_KINDS_SEED", 0x16_08_02);
    println!("CAIRN_KINDS_SEED={seed}");
    let fields = vec![
        field("bits", 128, MetricName::Hamming, VectorKind::Binary),
        field("halves", 24, MetricName::Cosine, VectorKind::F16),
        field("bytes", 24, MetricName::Cosine, VectorKind::I8),
        field("bytes l2", 24, MetricName::L2, VectorKind::I8),
    ];
    let schema = schema(KeyType::U64, fields);
    let rng = &mut Rng::new(seed);
    let home = Home::memory();
    let mut database = home.open(Options::default());
    let mut collection = database.create_collection("c", schema.clone()).unwrap();
    let centres: Vec<Vec<Vec<f32>>> = schema
        .vectors
        .iter()
        .map(|field| (0..12).map(|_| random(rng, field)).collect())
        .collect();
    let vectors = |rng: &mut Rng| -> Vec<Vec<f32>> {
        let fields = schema.vectors.iter().zip(&centres);
        fields.map(|(it, at)| clustered(rng, it, at)).collect()
    };
    let mut model = Model::new();
    for part in 0..3_u64 {
        let mut rows = Vec::new();
        for key in part * 700..(part + 1) * 700 {
            let given = vectors(rng);
            let kept = schema.vectors.iter().zip(&given);
            let kept: Vec<_> = kept.map(|(it, given)| stored(it, given)).collect();
            model.insert(key, kept);
            rows.push(Row::of(number(key), given.into_iter().map(Some).collect()));
        }
        put(&collection, &rows);
    }
    collection.compact(&Job::default()).unwrap();
    for reopened in [false, true] {
        if reopened {
            database.close().unwrap();
            database = home.open(Options::default());
            collection = database.open_collection("c").unwrap();
        }
        let snapshot = collection.snapshot().unwrap();
        for (at, field) in schema.vectors.iter().enumerate() {
            let (mut found, mut wanted) = (0, 0);
            for _ in 0..40 {
                let query = vectors(rng).swap_remove(at);
                let usual = search(&snapshot, at, &query, 10, Effort::Recall(0.95));
                let mut stages = usual.stages.iter().filter(|stage| stage.rows > 0);
                assert!(
                    stages.all(|stage| stage.path == "hnsw"),
                    "{}: {:?}",
                    field.name,
                    usual.stages
                );
                let truth = search(&snapshot, at, &query, 10, Effort::Exact);
                check_hits(&model, &schema, at, &query, &truth, 10, "with a graph");
                let last = truth.distances[9];
                found += usual.distances.iter().filter(|&&d| d <= last).count();
                wanted += 10;
                assert_eq!(usual.distances.len(), 10);
            }
            let recall = found as f64 / f64::from(wanted);
            println!("{}: recall {recall}", field.name);
            assert!(recall >= 0.93, "{}: recall {recall}", field.name);
        }
    }
}

#[test]
fn short_kinds_take_their_share_of_memory_log_and_file() {
    let bytes = |kind: VectorKind| {
        let metric = match kind {
            VectorKind::Binary => MetricName::Hamming,
            _ => MetricName::L2,
        };
        let home = Home::memory();
        let database = home.open(Options::default());
        let schema = schema(KeyType::U64, vec![field("v", 512, metric, kind)]);
        let collection = database.create_collection("c", schema.clone()).unwrap();
        let rng = &mut Rng::new(7);
        let rows: Vec<Row> = (0..500)
            .map(|key| Row::new(number(key), &random(rng, &schema.vectors[0])))
            .collect();
        put(&collection, &rows);
        let before = collection.stats().unwrap();
        collection.compact(&Job::default()).unwrap();
        let after = collection.stats().unwrap();
        (before.wal_bytes, before.memtable_bytes, after.vector_bytes)
    };
    let whole = bytes(VectorKind::F32);
    for (kind, share) in [
        (VectorKind::F16, 2),
        (VectorKind::I8, 4),
        (VectorKind::Binary, 32),
    ] {
        let short = bytes(kind);
        println!("{kind:?}: {short:?} of {whole:?}");
        assert_eq!(short.2, whole.2 / share, "vectors in memory");
        // Keys, versions and frames are what they were.
        let most = |all: u64| all / share + 500 * 64 + 4_096;
        assert!(short.1 <= most(whole.1), "memtable");
        assert!(short.0 <= most(whole.0), "log");
    }
}

#[test]
fn what_a_field_cannot_store_is_refused_and_changes_nothing() {
    let fields = vec![
        field("halves", 3, MetricName::Cosine, VectorKind::F16),
        field("bytes", 3, MetricName::Cosine, VectorKind::I8),
        field("bits", 24, MetricName::Hamming, VectorKind::Binary),
    ];
    let home = Home::memory();
    let database = home.open(Options::default());
    let schema = schema(KeyType::U64, fields);
    let collection = database.create_collection("c", schema.clone()).unwrap();
    let good = [[1.0, 2.0, 3.0], [1.0, -128.0, 127.0], [0.0, 255.0, 7.0]];
    let refused = |at: usize, vector: [f32; 3]| -> Error {
        let mut vectors: Vec<_> = good.iter().map(|it| Some(it.to_vec())).collect();
        vectors[at] = Some(vector.to_vec());
        let upsert = batch(
            &schema,
            WriteKind::Upsert,
            &[Row::of(number(1), vectors.clone())],
        );
        let error = collection.write(upsert, WriteOptions::default());
        let error = error.expect_err("it cannot be stored");
        let request = SearchRequest {
            field: at,
            ..SearchRequest::new(&vector, 1)
        };
        let snapshot = collection.snapshot().unwrap();
        let asked = snapshot.search(&request, &Stop::never()).unwrap_err();
        assert_eq!(asked.code(), error.code(), "nor asked for");
        assert_eq!(snapshot.count(), 0);
        error
    };
    for (at, vector, code) in [
        (0, [1.0, 65_505.0, 0.0], Code::InvalidArgument),
        (0, [1.0, -1e30, 0.0], Code::InvalidArgument),
        (0, [f32::NAN, 0.0, 0.0], Code::NotFinite),
        (0, [f32::INFINITY, 0.0, 0.0], Code::NotFinite),
        // Smaller than half of the smallest half: zero, once stored.
        (0, [2.9e-8, 0.0, -1e-30], Code::ZeroVector),
        (0, [0.0, -0.0, 0.0], Code::ZeroVector),
        (1, [128.0, 0.0, 0.0], Code::InvalidArgument),
        (1, [-129.0, 0.0, 0.0], Code::InvalidArgument),
        (1, [0.5, 0.0, 0.0], Code::InvalidArgument),
        (1, [f32::NAN, 0.0, 0.0], Code::NotFinite),
        (1, [0.0, 0.0, 0.0], Code::ZeroVector),
        (2, [256.0, 0.0, 0.0], Code::InvalidArgument),
        (2, [-1.0, 0.0, 0.0], Code::InvalidArgument),
        (2, [0.25, 0.0, 0.0], Code::InvalidArgument),
        (2, [f32::NEG_INFINITY, 0.0, 0.0], Code::NotFinite),
    ] {
        let error = refused(at, vector);
        assert_eq!(error.code(), code, "{vector:?}: {error}");
    }
    let kept = [65_504.0, -65_504.0, 6e-8];
    let vectors = vec![
        Some(kept.to_vec()),
        Some(good[1].to_vec()),
        Some(good[2].to_vec()),
    ];
    put(&collection, &[Row::of(number(1), vectors)]);
}

#[test]
fn a_schema_says_what_kinds_there_are() {
    let refused = |field: VectorField| {
        let error = schema(KeyType::U64, vec![field]).validate();
        error.expect_err("no such field").code()
    };
    for (dim, metric, kind) in [
        (8, MetricName::L2, VectorKind::Binary),
        (8, MetricName::Hamming, VectorKind::F32),
        (8, MetricName::Hamming, VectorKind::I8),
        (12, MetricName::Hamming, VectorKind::Binary),
        (1, MetricName::Hamming, VectorKind::Binary),
    ] {
        let code = refused(field("v", dim, metric, kind));
        assert_eq!(code, Code::InvalidArgument, "{dim} {metric:?} {kind:?}");
    }
    let home = Home::memory();
    let database = home.open(Options::default());
    let halves = |kind| schema(KeyType::U64, vec![field("v", 8, MetricName::Dot, kind)]);
    database
        .create_collection("c", halves(VectorKind::F16))
        .unwrap();
    let other = database.create_collection("c", halves(VectorKind::F32));
    assert!(other.is_err());
    let differs = halves(VectorKind::F16).expect_equal(&halves(VectorKind::I8));
    let error = differs.unwrap_err();
    assert_eq!(error.code(), Code::SchemaMismatch);
    assert!(format!("{error:?}").contains("vectors.v.type"), "{error:?}");
}

/// That a database elsewhere has these records.
fn has(database: &Database, model: &Model, when: &str) {
    let collection = database.open_collection("c").unwrap();
    check_records(&collection.snapshot().unwrap(), model, when);
}

#[test]
fn readers_versions_checks_backups_and_repairs_have_every_kind() {
    let mut world = World::new(schema(KeyType::U64, every_field()), Rng::new(13));
    world.write(0..200);
    world.collection.compact(&Job::default()).unwrap();
    world.delete((0..200).step_by(9));
    let kept = world.model.clone();
    let database = Arc::clone(&world.database);
    database.snapshot(Some("kept")).unwrap();
    world.write(150..260);
    let (env, path) = (&world.home.env, world.home.path());
    let job = Job::default();

    let reader = Database::open_read_only(env.clone(), path, small()).unwrap();
    has(&reader, &world.model, "a reader");
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
    drop((version, reader));
    database.close().unwrap();
    let report = verify_directory(env, path, &VerifyOptions::default(), &job).unwrap();
    assert_eq!(report.problems, []);
    let saved = path.with_extension("saved");
    let report = repair(env, path, &saved, &RepairOptions::default(), &job).unwrap();
    assert!(report.lost.is_empty());
    has(&open(&saved), &world.model, "repaired");
}

#[test]
fn diverse_hits_and_neighbours_of_a_record_are_there_for_every_kind() {
    let mut world = World::new(schema(KeyType::U64, every_field()), Rng::new(11));
    world.write(0..60);
    for is_flushed in [false, true] {
        if is_flushed {
            world.collection.compact(&Job::default()).unwrap();
        }
        let snapshot = world.collection.snapshot().unwrap();
        let schema = world.collection.schema().clone();
        for (at, field) in schema.vectors.iter().enumerate() {
            let query = random(&mut world.rng, field);
            let request = SearchRequest {
                field: at,
                effort: Effort::Exact,
                shape: Shape {
                    diversity: Some(0.4),
                    ..Shape::default()
                },
                ..SearchRequest::new(&query, 5)
            };
            let hits = snapshot.search(&request, &Stop::never()).unwrap();
            let found: Vec<u64> = hits.keys.iter().map(key_of).collect();
            let expected = diverse(&world.model, field, at, &query, 5);
            assert_eq!(found, expected, "{}", field.name);
            let like = SearchRequest {
                shape: Shape {
                    by: cairn_engine::By::Like(Key::U64(7)),
                    ..Shape::default()
                },
                ..request.clone()
            };
            let near = snapshot.search(&like, &Stop::never()).unwrap();
            let itself = world.model[&7][at].clone();
            let all = search(&snapshot, at, &itself, 6, Effort::Exact);
            let others = all.keys.iter().map(key_of).filter(|&key| key != 7);
            let others: Vec<u64> = others.take(5).collect();
            assert!(near.keys.iter().map(key_of).eq(others), "{}", field.name);
        }
    }
}

/// Maximal marginal relevance by its definition.
fn diverse(model: &Model, field: &VectorField, at: usize, query: &[f32], k: usize) -> Vec<u64> {
    let diversity = f64::from(0.4_f32);
    // Rounded as the engine's, so that ties are the same.
    let far = |a: &[f32], b: &[f32]| exact(field, a, b) as f32;
    let between = |a: &[f32], b: &[f32]| f64::from(field.metric.metric().score(far(a, b)));
    let mut taken: Vec<u64> = Vec::new();
    while taken.len() < k {
        let value = |key: u64| {
            let own = between(query, &model[&key][at]);
            let like = taken
                .iter()
                .map(|other| between(&model[other][at], &model[&key][at]))
                .fold(f64::NEG_INFINITY, f64::max);
            match taken.is_empty() {
                true => own,
                false => (1.0 - diversity) * own - diversity * like,
            }
        };
        let left = model.keys().copied().filter(|key| !taken.contains(key));
        // Of equals the nearest, then by key.
        let own = |key: u64| (far(query, &model[&key][at]), key);
        let best = left.max_by(|&a, &b| {
            let nearest = own(b).partial_cmp(&own(a)).unwrap();
            value(a).total_cmp(&value(b)).then(nearest)
        });
        taken.push(best.unwrap());
    }
    taken
}

#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
#[test]
fn planted_bugs_are_found() {
    if std::env::var_os("CAIRN_BUG").is_none() {
        crate::crash::planted::expect_all_found(module_path!());
    }
}
