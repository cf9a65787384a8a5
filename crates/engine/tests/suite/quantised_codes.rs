//! A field whose vectors are quantised: searches go by codes and answer with exact distances, under every index and
//! metric that can, whatever is filtered and deleted, the same after a reopen; and a section that is checked as
//! every other.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::path::PathBuf;
use std::sync::Arc;

use cairn_engine::{
    Code, Collection, Database, Effort, Error, Fact, Hits, IndexKind, Job, KeyType, MetricName,
    Options, Quantize, Schema, SearchRequest, Stop, VectorField, VectorKind, verify_directory,
};
use cairn_testkit::data;

use crate::common;
use crate::forge::forge;
use common::{Home, Row, key_of, number, put, remove, schema, vector_field};

const ROWS: usize = 1_600;
const QUERIES: usize = 40;
const DIM: usize = 72;
const CODES: u32 = 18;

const QUANTISERS: [Quantize; 5] = [
    Quantize::Sq8,
    Quantize::Sq4,
    Quantize::Pq {
        subspaces: 24,
        bits: 8,
    },
    Quantize::Rabitq { bits: 1 },
    Quantize::Rabitq { bits: 4 },
];

fn shape(metric: MetricName, index: IndexKind, quantize: Quantize) -> Schema {
    let field = VectorField {
        quantize,
        ..vector_field("vector", DIM as u32, metric, index)
    };
    schema(KeyType::U64, vec![field])
}

fn hnsw() -> IndexKind {
    IndexKind::Hnsw(cairn_engine::HnswSettings::for_m(16))
}

struct World {
    home: Home,
    database: Arc<Database>,
    collection: Arc<Collection>,
    metric: MetricName,
    vectors: Vec<f32>,
    queries: Vec<f32>,
}

impl World {
    /// All records in one segment.
    fn new(metric: MetricName, index: IndexKind, quantize: Quantize) -> Self {
        let home = Home::memory();
        let database = home.open(Options::default());
        let collection = database.create_collection("c", shape(metric, index, quantize));
        let mut vectors = data::clustered(29, ROWS + QUERIES, DIM);
        let queries = vectors.split_off(ROWS * DIM);
        let world = Self {
            home,
            database,
            collection: collection.unwrap(),
            metric,
            vectors,
            queries,
        };
        let rows = world.vectors.chunks(DIM).enumerate();
        let rows: Vec<Row> = rows
            .map(|(key, vector)| Row::new(number(key as u64), vector))
            .collect();
        for chunk in rows.chunks(1_000) {
            put(&world.collection, chunk);
        }
        world.collection.compact(&Job::default()).unwrap();
        world
    }

    fn reopen(&mut self, options: Options) {
        self.database.close().unwrap();
        self.database = Database::open(self.home.env.clone(), self.home.path(), options).unwrap();
        self.collection = self.database.open_collection("c").unwrap();
    }

    fn search(&self, vector: &[f32], k: usize, effort: Effort) -> Hits {
        let request = SearchRequest {
            effort,
            explain: true,
            ..SearchRequest::new(vector, k)
        };
        let snapshot = self.collection.snapshot().unwrap();
        snapshot.search(&request, &Stop::never()).unwrap()
    }

    /// The mean recall@10 of the usual search; each answer is as long as the exact one, goes by `path`, and says of
    /// every record how far it is.
    fn recall(&self, path: &str) -> f64 {
        let mut recall = 0.0;
        for query in self.queries.chunks(DIM) {
            let exact = self.search(query, 10, Effort::Exact);
            assert_eq!(exact.stages[0].path, "flat");
            let usual = self.search(query, 10, Effort::Recall(0.95));
            assert_eq!(usual.stages[0].path, path);
            assert_eq!(usual.distances.len(), exact.distances.len());
            assert!(usual.distances.is_sorted());
            let last = *exact.distances.last().unwrap();
            let near = usual.distances.iter().filter(|&&it| it <= last).count();
            recall += near as f64 / exact.distances.len() as f64;
            for (key, distance) in usual.keys.iter().map(key_of).zip(&usual.distances) {
                let vector = &self.vectors[key as usize * DIM..][..DIM];
                let far = common::model::distance(self.metric, query, vector);
                assert!((far - f64::from(*distance)).abs() < 1e-4 * (1.0 + far.abs()));
            }
        }
        recall / QUERIES as f64
    }

    fn segment(&self) -> PathBuf {
        common::segment(&self.home)
    }

    fn row_bytes(&self) -> u64 {
        let stats = self.collection.stats().unwrap();
        stats.code_bytes / stats.segments[0].rows
    }
}

fn text_of(error: &Error, name: &str) -> String {
    let mut facts = error.details().iter();
    match facts.find(|(it, _)| *it == name) {
        Some((_, Fact::Text(text))) => text.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn searches_go_by_codes_and_answer_with_exact_distances() {
    for metric in [MetricName::Cosine, MetricName::L2, MetricName::Dot] {
        for quantize in QUANTISERS {
            let is_first = metric == MetricName::Cosine;
            if !is_first && !matches!(quantize, Quantize::Sq8 | Quantize::Rabitq { bits: 4 }) {
                continue;
            }
            for (index, path) in [
                (IndexKind::Flat, "codes"),
                (hnsw(), "hnsw"),
                (IndexKind::Auto, "hnsw"),
            ] {
                let mut world = World::new(metric, index.clone(), quantize);
                let what = format!("{metric:?} {quantize:?} {index:?}");
                let bytes = world.row_bytes();
                assert!((1..DIM as u64 * 2).contains(&bytes), "{what}: {bytes}");
                let before = world.recall(path);
                println!("{what}: recall={before} bytes={bytes}");
                // Bounds of codes that are certain miss nothing.
                let is_exact = path == "codes" && !matches!(quantize, Quantize::Rabitq { .. });
                // What was measured when the graph was built is a sample, and so is this.
                let least = if is_exact { 1.0 } else { 0.92 };
                assert!(before >= least, "{what}: {before}");
                for key in (0..ROWS).step_by(113) {
                    let own = &world.vectors[key * DIM..][..DIM];
                    let hits = world.search(own, 3, Effort::Recall(0.95));
                    let is_nearest = metric == MetricName::Dot
                        || hits.keys.iter().map(key_of).next() == Some(key as u64);
                    assert!(is_nearest, "{what}: {key}");
                }
                let gone: Vec<_> = (0..ROWS as u64).step_by(5).map(number).collect();
                remove(&world.collection, &gone);
                let found = world.recall(path);
                for query in world.queries.chunks(DIM) {
                    let hits = world.search(query, 20, Effort::Recall(0.95));
                    assert!(hits.keys.iter().map(key_of).all(|key| key % 5 != 0));
                    assert_eq!(hits.distances.len(), 20);
                }
                // The same codes, and so the same answers, out of the file.
                let options = Options {
                    memory_map: matches!(index, IndexKind::Flat),
                    ..Options::default()
                };
                world.reopen(options);
                assert_eq!(world.row_bytes(), bytes, "{what}");
                assert_eq!(world.recall(path).to_bits(), found.to_bits(), "{what}");
            }
        }
    }
}

#[test]
fn rows_without_a_graph_yet_are_searched_and_get_their_codes_by_themselves() {
    let home = Home::memory();
    let database = home.open(Options::default());
    let schema = shape(MetricName::L2, IndexKind::Flat, Quantize::Sq8);
    let collection = database.create_collection("c", schema).unwrap();
    let vectors = data::clustered(31, ROWS, DIM);
    let rows: Vec<Row> = vectors
        .chunks(DIM)
        .enumerate()
        .map(|(key, vector)| Row::new(number(key as u64), vector))
        .collect();
    put(&collection, &rows);
    assert_eq!(collection.stats().unwrap().code_bytes, 0);
    collection.compact(&Job::default()).unwrap();
    let stats = collection.stats().unwrap();
    assert_eq!(stats.segments.len(), 1);
    assert!(stats.code_bytes > 0);
    // What has all that it should have is not written again.
    let id = stats.segments[0].id.clone();
    collection.compact(&Job::default()).unwrap();
    assert_eq!(collection.stats().unwrap().segments[0].id, id);
}

#[test]
fn vectors_that_are_too_long_for_codes_are_searched_without() {
    let home = Home::memory();
    let database = home.open(Options::default());
    for (name, quantize) in [
        ("a", Quantize::Sq8),
        ("b", QUANTISERS[2]),
        ("c", QUANTISERS[4]),
    ] {
        let schema = shape(MetricName::L2, hnsw(), quantize);
        let collection = database.create_collection(name, schema).unwrap();
        let mut vectors = data::clustered(37, ROWS, DIM);
        vectors.iter_mut().for_each(|x| *x *= 1e18);
        let rows: Vec<Row> = vectors
            .chunks(DIM)
            .enumerate()
            .map(|(key, vector)| Row::new(number(key as u64), vector))
            .collect();
        put(&collection, &rows);
        collection.compact(&Job::default()).unwrap();
        let stats = collection.stats().unwrap();
        let id = stats.segments[0].id.clone();
        collection.compact(&Job::default()).unwrap();
        assert_eq!(
            collection.stats().unwrap().segments[0].id,
            id,
            "{quantize:?}"
        );
        let request = SearchRequest::new(&vectors[..DIM], 3);
        let hits = collection
            .snapshot()
            .unwrap()
            .search(&request, &Stop::never())
            .unwrap();
        assert_eq!(hits.distances.len(), 3);
    }
    database.close().unwrap();
    let database = home.open(Options::default());
    for name in ["a", "b", "c"] {
        assert!(database.open_collection(name).is_ok(), "{name}");
    }
}

#[test]
fn codes_that_are_none_of_their_segment_are_refused_and_absent_ones_are_made_again() {
    type Change = fn(Vec<u8>) -> Option<Vec<u8>>;
    let changes: [(&str, Change); 6] = [
        ("of other rows", |mut bytes| {
            bytes[12] ^= 1;
            Some(bytes)
        }),
        ("of another metric", |mut bytes| {
            bytes[24 + 9] = 2;
            Some(bytes)
        }),
        ("of another kind", |mut bytes| {
            bytes[8] = 7;
            Some(bytes)
        }),
        ("cut", |mut bytes| {
            bytes.truncate(bytes.len() - 4);
            Some(bytes)
        }),
        ("of a newer format", |mut bytes| {
            bytes[7] += 1;
            Some(bytes)
        }),
        ("with a factor that is no number", |mut bytes| {
            let end = bytes.len();
            bytes[end - 16..].fill(0xFF);
            Some(bytes)
        }),
    ];
    for (what, change) in changes {
        let world = World::new(MetricName::L2, hnsw(), Quantize::Sq8);
        world.database.close().unwrap();
        let (env, path) = (&world.home.env, world.segment());
        forge(env, &path, &|kind, bytes| match kind {
            CODES => change(bytes),
            _ => Some(bytes),
        });
        let opened = Database::open(env.clone(), world.home.path(), Options::default());
        let error = opened
            .and_then(|it| it.open_collection("c"))
            .err()
            .expect(what);
        assert_eq!(error.code(), Code::Corrupt, "{what}: {error}");
        assert!(format!("{error:?}").contains("CODES"), "{what}: {error:?}");
        let report =
            verify_directory(env, world.home.path(), &Default::default(), &Job::default()).unwrap();
        assert!(!report.problems.is_empty(), "{what}");
    }
    let mut world = World::new(MetricName::L2, hnsw(), Quantize::Sq8);
    world.database.close().unwrap();
    let path = world.segment();
    forge(&world.home.env, &path, &|kind, bytes| {
        (kind != CODES).then_some(bytes)
    });
    world.database = world.home.open(Options::default());
    world.collection = world.database.open_collection("c").unwrap();
    assert!(world.recall("hnsw") > 0.92);
    world.collection.compact(&Job::default()).unwrap();
    assert!(world.collection.stats().unwrap().code_bytes > 0);
}

#[test]
fn fields_that_are_not_quantised_are_refused_and_another_quantiser_is_another_schema() {
    let home = Home::memory();
    let database = home.open(Options::default());
    let create = |field: VectorField| {
        let schema = schema(KeyType::U64, vec![field]);
        database.create_collection("c", schema).map(|_| ())
    };
    let field = |metric, index, quantize| VectorField {
        quantize,
        ..vector_field("vector", DIM as u32, metric, index)
    };
    let (l2, sq8) = (MetricName::L2, Quantize::Sq8);
    let pq = |subspaces, bits| Quantize::Pq { subspaces, bits };
    for wrong in [
        field(MetricName::L1, hnsw(), sq8),
        field(l2, IndexKind::Qg, sq8),
        VectorField {
            kind: VectorKind::F16,
            ..field(l2, hnsw(), sq8)
        },
        VectorField {
            kind: VectorKind::Multi,
            ..field(l2, IndexKind::Auto, sq8)
        },
        field(l2, hnsw(), pq(0, 8)),
        field(l2, hnsw(), pq(DIM as u32 + 1, 8)),
        field(l2, hnsw(), pq(8, 5)),
        field(l2, hnsw(), Quantize::Rabitq { bits: 0 }),
        field(l2, hnsw(), Quantize::Rabitq { bits: 9 }),
    ] {
        let what = format!("{wrong:?}");
        let error = create(wrong).expect_err(&what);
        assert_eq!(error.code(), Code::InvalidArgument, "{what}");
        assert_eq!(text_of(&error, "field"), "vector", "{what}");
    }
    create(field(l2, hnsw(), sq8)).unwrap();
    let other = schema(KeyType::U64, vec![field(l2, hnsw(), Quantize::None)]);
    let error = database.collection("c", Some(other)).err().unwrap();
    assert_eq!(error.code(), Code::SchemaMismatch);
    assert_eq!(text_of(&error, "path"), "vectors.vector.quantize");
}
