//! What a search promises: the exact one equals brute force, ties by key included, wherever the
//! records stand; the approximate one reaches its recall, never returns fewer hits than there are
//! records, and always finds a record by its own vector.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use cairn_engine::{
    Code, Collection, Database, Effort, Hits, HnswSettings, IndexKind, Job, Key, KeyBuf, KeyType,
    MetricName, Options, SearchRequest, Select, SelectFields, Snapshot, Stop, WriteKind,
    WriteOptions,
};
use cairn_testkit::{Rng, data, seed_from_env};

use crate::common;
use common::model::distance;
use common::{
    Home, METRICS, Model, Row, batch, everything, number, plain, put, remove, schema, small, text,
    vector_field,
};

fn search(snapshot: &Snapshot, request: &SearchRequest<'_>) -> Hits {
    snapshot.search(request, &Stop::never()).unwrap()
}

fn key_numbers(hits: &Hits) -> Vec<u64> {
    let number = |key: Key<'_>| match key {
        Key::U64(number) => number,
        Key::Str(text) => panic!("key={text}"),
    };
    hits.keys.iter().map(number).collect()
}

/// One collection with a field for each metric and kind of index, all of the same vectors.
struct Bench {
    home: Home,
    database: Arc<Database>,
    collection: Arc<Collection>,
    dim: usize,
    vectors: Vec<f32>,
    /// Of the same kind as the vectors, and none of them.
    queries: Vec<f32>,
}

/// Queries with a brute-force answer beside them.
const QUERIES: usize = 150;

const KINDS: usize = 3;

fn bench(rows: usize, dim: usize) -> Bench {
    let home = Home::memory();
    let database = home.open(Options::default());
    let hnsw = HnswSettings {
        ef_construction: 250,
        ..HnswSettings::for_m(20)
    };
    let kinds = [IndexKind::Flat, IndexKind::Auto, IndexKind::Hnsw(hnsw)];
    let mut fields = Vec::new();
    for metric in METRICS {
        for (n, kind) in kinds.iter().enumerate() {
            let name = format!("{metric:?}{n}");
            fields.push(vector_field(&name, dim as u32, metric, kind.clone()));
        }
    }
    let schema = schema(KeyType::U64, fields);
    let collection = database.create_collection("c", schema).unwrap();
    let mut vectors = data::clustered(11, rows + QUERIES, dim);
    for vector in vectors.chunks_mut(dim) {
        // Of length one, so that the nearest under `dot` is the record itself too.
        let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        vector.iter_mut().for_each(|x| *x /= norm);
    }
    let queries = vectors.split_off(rows * dim);
    Bench {
        home,
        database,
        collection,
        dim,
        vectors,
        queries,
    }
}

impl Bench {
    fn vector(&self, n: u64) -> &[f32] {
        &self.vectors[n as usize * self.dim..][..self.dim]
    }

    fn write(&self, keys: std::ops::Range<u64>) {
        let keys: Vec<u64> = keys.collect();
        for part in keys.chunks(1_000) {
            let vectors = |n: u64| vec![Some(self.vector(n).to_vec()); 4 * KINDS];
            let rows: Vec<Row> = part
                .iter()
                .map(|&n| Row::of(number(n), vectors(n)))
                .collect();
            put(&self.collection, &rows);
        }
    }

    fn truth(&self, metric: MetricName, query: &[f32], k: usize) -> Vec<u32> {
        let truth = data::ground_truth(&self.vectors, query, self.dim, k, |a, b| {
            distance(metric, a, b)
        });
        truth[0].iter().map(|hit| hit.row).collect()
    }

    /// For each query the true ten nearest.
    fn truths(&self, metric: MetricName) -> Vec<Vec<u32>> {
        let queries = self.queries.chunks(self.dim);
        queries.map(|query| self.truth(metric, query, 10)).collect()
    }

    /// Share of the true ten nearest that are found.
    fn recall(&self, field: usize, effort: Effort, truths: &[Vec<u32>]) -> f64 {
        let snapshot = self.collection.snapshot().unwrap();
        let mut found = 0;
        for (query, truth) in self.queries.chunks(self.dim).zip(truths) {
            let request = SearchRequest {
                field,
                effort,
                ..SearchRequest::new(query, 10)
            };
            let hits = key_numbers(&search(&snapshot, &request));
            assert_eq!(hits.len(), 10);
            found += truth
                .iter()
                .filter(|&&t| hits.contains(&u64::from(t)))
                .count();
        }
        found as f64 / (10 * QUERIES) as f64
    }
}

#[test]
fn recall_reaches_its_target_on_every_metric_and_index() {
    const ROWS: u64 = 20_000;
    let bench = bench(ROWS as usize, 12);
    bench.write(0..ROWS);
    bench.collection.compact(&Job::default()).unwrap();
    assert_eq!(bench.collection.stats().unwrap().segments.len(), 1);
    for (m, metric) in METRICS.into_iter().enumerate() {
        let truths = bench.truths(metric);
        for kind in 0..KINDS {
            let field = m * KINDS + kind;
            // Single precision may swap two neighbours at the very end of the list.
            let exact = bench.recall(field, Effort::Exact, &truths);
            assert!(exact >= 0.995, "{metric:?} kind={kind} exact={exact}");
            let usual = bench.recall(field, Effort::Recall(0.95), &truths);
            let high = bench.recall(field, Effort::EfSearch(400), &truths);
            println!("{metric:?} kind={kind} exact={exact} 0.95={usual} ef400={high}");
            assert!(usual >= 0.95, "{metric:?} kind={kind} recall={usual}");
            assert!(high >= 0.99, "{metric:?} kind={kind} recall={high}");
            if kind == 0 {
                assert_eq!(usual, exact, "flat is exact");
            }
        }
    }
    // Every record, by every field, is its own nearest neighbour; half of them here, all below.
    finds_itself(&bench, (0..ROWS).step_by(20), "after compaction");
    bench.database.close().unwrap();
}

/// Every record is found by its own vector, in every field.
fn finds_itself(bench: &Bench, keys: impl Iterator<Item = u64>, when: &str) {
    let snapshot = bench.collection.snapshot().unwrap();
    for n in keys {
        for field in 0..4 * KINDS {
            let request = SearchRequest {
                field,
                select: Select {
                    fields: SelectFields::None,
                    vectors: false,
                },
                ..SearchRequest::new(bench.vector(n), 1)
            };
            let hits = search(&snapshot, &request);
            assert_eq!(key_numbers(&hits), [n], "field={field} {when}");
        }
    }
}

#[test]
fn every_record_finds_itself_at_every_stage_of_its_life() {
    const ROWS: u64 = 3_000;
    let mut bench = bench(ROWS as usize, 9);
    bench.database.close().unwrap();
    bench.database = bench.home.open(small());
    bench.collection = bench.database.open_collection("c").unwrap();
    for first in (0..ROWS).step_by(100) {
        bench.write(first..first + 100);
        // Right after the answer, wherever flush and compaction are by then.
        finds_itself(&bench, first..first + 100, "after insert");
    }
    bench.home.at_rest(&bench.collection);
    finds_itself(&bench, (0..ROWS).step_by(3), "after flush");
    bench.collection.compact(&Job::default()).unwrap();
    let segments = bench.collection.stats().unwrap().segments;
    assert_eq!(segments.len(), 1);
    finds_itself(&bench, 0..ROWS, "after compaction");
    bench.database.close().unwrap();
    bench.database = bench.home.open(small());
    bench.collection = bench.database.open_collection("c").unwrap();
    finds_itself(&bench, (0..ROWS).step_by(3), "after reopen");
}

/// Records of small whole numbers with many ties, spread over a memtable and several segments.
fn tied(home: &Home, metric: MetricName) -> (Arc<Database>, Arc<Collection>, Model) {
    let database = home.open(small());
    let field = vector_field("vector", 6, metric, IndexKind::Auto);
    let schema = schema(KeyType::String, vec![field]);
    let collection = database.create_collection("c", schema.clone()).unwrap();
    let mut model = Model::new(&schema);
    let mut rng = Rng::new(seed_from_env("CAIRN_SEARCH_SEED", 0x7135));
    let mut keys: Vec<u64> = (0..2_500).collect();
    rng.shuffle(&mut keys);
    for part in keys.chunks(125) {
        let rows: Vec<Row> = part
            .iter()
            .map(|n| {
                let mut vector = vec![1.0];
                vector.extend((0..5).map(|_| rng.range(0..3) as f32));
                Row::new(text(format!("{n}")), &vector).with("n", *n as i64)
            })
            .collect();
        let answer = collection.write(
            batch(&schema, WriteKind::Upsert, &rows),
            WriteOptions::default(),
        );
        model.write(WriteKind::Upsert, &rows, None, &answer);
    }
    (database, collection, model)
}

#[test]
fn exact_is_brute_force_with_ties_by_key_across_memtable_and_segments() {
    for metric in METRICS {
        let home = Home::memory();
        let (_database, collection, model) = tied(&home, metric);
        let snapshot = collection.snapshot().unwrap();
        let stats = collection.stats().unwrap();
        assert!(stats.memtable_rows > 0 && !stats.segments.is_empty());
        for k in [1, 2, 10, 333, 2_499, 2_500, 2_501, 10_000] {
            let query = [1.0, 1.0, 0.0, 2.0, 1.0, 0.0];
            model.check_exact(&snapshot, 0, &query, k);
        }
        collection.compact(&Job::default()).unwrap();
        model.check_exact(&collection.snapshot().unwrap(), 0, &[1.0; 6], 700);
    }
}

#[test]
fn there_are_never_fewer_hits_than_records() {
    let home = Home::memory();
    let database = home.open(Options::default());
    let schema = plain(KeyType::U64, 8, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    let vectors = data::uniform(4, 5_000, 8);
    let rows: Vec<Row> = vectors
        .chunks(8)
        .zip(0..)
        .map(|(vector, n)| Row::new(number(n), vector))
        .collect();
    put(&collection, &rows);
    collection.compact(&Job::default()).unwrap();
    assert_eq!(collection.stats().unwrap().segments[0].index, "hnsw");
    // Nearly everything goes, without a compaction behind it: the graph is full of the dead.
    let kept = |n: u64| n.is_multiple_of(500);
    let gone: Vec<KeyBuf> = (0..5_000).filter(|&n| !kept(n)).map(number).collect();
    for part in gone.chunks(900) {
        remove(&collection, part);
        let snapshot = collection.snapshot().unwrap();
        let live = snapshot.count() as usize;
        for (n, effort) in [
            Effort::Recall(0.5),
            Effort::EfSearch(1),
            Effort::Recall(0.99),
        ]
        .into_iter()
        .enumerate()
        {
            for k in [1, 10, 100, 5_000] {
                let query = &vectors[n * 8..n * 8 + 8];
                let request = SearchRequest {
                    effort,
                    ..SearchRequest::new(query, k)
                };
                let hits = search(&snapshot, &request);
                assert_eq!(hits.distances.len(), k.min(live), "k={k} live={live}");
                let keys = key_numbers(&hits);
                let unique: std::collections::BTreeSet<_> = keys.iter().collect();
                assert_eq!(unique.len(), keys.len(), "no record twice");
                assert!(hits.distances.is_sorted());
            }
        }
    }
    assert_eq!(collection.snapshot().unwrap().count(), 10);
}

#[test]
fn bounds_on_distance_and_score_cut_the_end_of_the_list() {
    for metric in METRICS {
        let home = Home::memory();
        let (_database, collection, _) = tied(&home, metric);
        let snapshot = collection.snapshot().unwrap();
        let query = [1.0, 0.0, 1.0, 2.0, 1.0, 0.0];
        let request = SearchRequest {
            effort: Effort::Exact,
            ..SearchRequest::new(&query, 100)
        };
        let all = search(&snapshot, &request);
        for (distance, score) in all.distances.iter().zip(&all.scores) {
            let expected = match metric {
                MetricName::Cosine => 1.0 - distance,
                MetricName::Dot => -distance,
                MetricName::L2 | MetricName::L1 | MetricName::Hamming => 1.0 / (1.0 + distance),
            };
            assert_eq!(*score, expected, "{metric:?}");
        }
        let max = all.distances[40];
        let bounded = search(
            &snapshot,
            &SearchRequest {
                max_distance: Some(max),
                ..request.clone()
            },
        );
        let expected = all.distances.iter().filter(|&&d| d <= max).count();
        assert_eq!(bounded.distances[..], all.distances[..expected]);
        let min = all.scores[40];
        let bounded = search(
            &snapshot,
            &SearchRequest {
                min_score: Some(min),
                ..request.clone()
            },
        );
        let expected = all.scores.iter().filter(|&&s| s >= min).count();
        assert_eq!(bounded.scores[..], all.scores[..expected]);
        let nothing = search(
            &snapshot,
            &SearchRequest {
                max_distance: Some(f32::NEG_INFINITY),
                ..request.clone()
            },
        );
        assert!(nothing.keys.is_empty() && nothing.distances.is_empty());
    }
}

#[test]
fn a_batch_of_queries_equals_the_single_ones() {
    let home = Home::memory();
    let (_database, collection, _) = tied(&home, MetricName::Cosine);
    let snapshot = collection.snapshot().unwrap();
    let queries = data::normal(5, 40, 6);
    let template = SearchRequest {
        select: everything(),
        max_distance: Some(0.15),
        ..SearchRequest::new(&[], 30)
    };
    let (all, offsets) = snapshot
        .search_batch(&queries, &template, &Stop::never())
        .unwrap();
    assert_eq!(offsets.len(), 41);
    let lengths: Vec<u32> = offsets.windows(2).map(|w| w[1] - w[0]).collect();
    assert!(
        lengths.iter().any(|&l| l != lengths[0]),
        "of different lengths"
    );
    for (n, query) in queries.chunks(6).enumerate() {
        let request = SearchRequest {
            vector: query,
            ..template.clone()
        };
        let one = search(&snapshot, &request);
        let (from, to) = (offsets[n] as usize, offsets[n + 1] as usize);
        assert_eq!(one.distances[..], all.distances[from..to]);
        assert_eq!(one.scores[..], all.scores[from..to]);
        assert_eq!(one.versions[..], all.versions[from..to]);
        for (rank, hit) in (from..to).enumerate() {
            assert_eq!(one.keys.get(rank), all.keys.get(hit));
            let (a, b) = (
                one.payloads.as_ref().unwrap(),
                all.payloads.as_ref().unwrap(),
            );
            assert_eq!(a.get(rank), b.get(hit));
        }
        let (a, b) = (one.vectors.as_ref().unwrap(), all.vectors.as_ref().unwrap());
        assert_eq!(a[0][..], b[0][from * 6..to * 6]);
    }
    let (none, offsets) = snapshot
        .search_batch(&[], &template, &Stop::never())
        .unwrap();
    assert!(none.keys.is_empty() && offsets == [0]);
    let error = snapshot.search_batch(&queries[..7], &template, &Stop::never());
    assert_eq!(error.unwrap_err().code(), Code::DimMismatch);
    let mut bad = queries.clone();
    bad[6 * 3 + 1] = f32::NAN;
    let error = snapshot.search_batch(&bad, &template, &Stop::never());
    let error = error.unwrap_err();
    assert_eq!(error.code(), Code::NotFinite);
    let query = ("query", cairn_engine::Fact::Number(3));
    assert!(error.details().contains(&query), "{error}");
}

#[test]
fn explain_names_every_part_and_its_path() {
    let home = Home::memory();
    let database = home.open(Options::default());
    let schema = plain(KeyType::U64, 8, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    let vectors = data::uniform(6, 4_000, 8);
    let row = |n: usize| Row::new(number(n as u64), &vectors[n * 8..n * 8 + 8]);
    put(&collection, &(0..3_000).map(row).collect::<Vec<_>>());
    collection.compact(&Job::default()).unwrap();
    put(&collection, &(3_000..4_000).map(row).collect::<Vec<_>>());
    let snapshot = collection.snapshot().unwrap();
    let mut request = SearchRequest {
        explain: true,
        effort: Effort::EfSearch(50),
        ..SearchRequest::new(&vectors[..8], 10)
    };
    let stages = search(&snapshot, &request).stages;
    let id = collection.stats().unwrap().segments[0].id.clone();
    assert_eq!(stages.len(), 2);
    assert_eq!(
        (stages[0].source.as_str(), stages[0].path),
        (id.as_str(), "hnsw")
    );
    assert_eq!((stages[0].rows, stages[0].ef), (3_000, 50));
    assert!(stages[0].hops > 0 && stages[0].distances > 50 && stages[0].distances < 3_000);
    assert_eq!(
        (stages[1].source.as_str(), stages[1].path),
        ("memtable", "flat")
    );
    assert_eq!((stages[1].rows, stages[1].distances), (1_000, 1_000));
    request.effort = Effort::Exact;
    let stages = search(&snapshot, &request).stages;
    assert_eq!((stages[0].path, stages[0].distances), ("flat", 3_000));
    request.explain = false;
    assert!(search(&snapshot, &request).stages.is_empty());
}

#[test]
fn a_longer_candidate_list_never_computes_less() {
    let bench = bench(4_000, 8);
    bench.write(0..4_000);
    bench.collection.compact(&Job::default()).unwrap();
    let snapshot = bench.collection.snapshot().unwrap();
    let query = data::normal(8, 1, 8);
    let mut last = 0;
    for ef in [10, 20, 50, 100, 500, 4_000, 100_000] {
        let request = SearchRequest {
            field: 1,
            effort: Effort::EfSearch(ef),
            explain: true,
            ..SearchRequest::new(&query, 10)
        };
        let stage = &search(&snapshot, &request).stages[0];
        assert_eq!(stage.path, "hnsw");
        assert!(stage.distances >= last, "ef={ef}");
        last = stage.distances;
    }
}

#[test]
fn bad_requests_are_refused_by_name() {
    let home = Home::memory();
    let (_database, collection, _) = tied(&home, MetricName::Cosine);
    let snapshot = collection.snapshot().unwrap();
    let good = [1.0; 6];
    let ask = |request: SearchRequest<'_>| {
        let refused = snapshot.search(&request, &Stop::never());
        refused.expect_err("a bad request").code()
    };
    let new = SearchRequest::new;
    let with = |effort| SearchRequest {
        effort,
        ..SearchRequest::new(&good, 1)
    };
    assert_eq!(ask(new(&good[..5], 1)), Code::DimMismatch);
    assert_eq!(ask(new(&[], 1)), Code::DimMismatch);
    assert_eq!(ask(new(&[0.0; 6], 1)), Code::ZeroVector);
    assert_eq!(ask(new(&[f32::NAN; 6], 1)), Code::NotFinite);
    assert_eq!(ask(new(&[f32::INFINITY; 6], 1)), Code::NotFinite);
    assert_eq!(ask(new(&good, 0)), Code::InvalidArgument);
    assert_eq!(ask(new(&good, 10_001)), Code::LimitExceeded);
    assert_eq!(ask(new(&good, 1_000_000_000)), Code::LimitExceeded);
    assert_eq!(ask(with(Effort::Recall(0.49))), Code::InvalidArgument);
    assert_eq!(ask(with(Effort::Recall(1.01))), Code::InvalidArgument);
    assert_eq!(ask(with(Effort::Recall(f32::NAN))), Code::InvalidArgument);
    assert_eq!(ask(with(Effort::EfSearch(0))), Code::InvalidArgument);
    assert_eq!(ask(with(Effort::EfSearch(100_001))), Code::LimitExceeded);
    let field = SearchRequest {
        field: 1,
        ..new(&good, 1)
    };
    assert_eq!(ask(field), Code::InvalidArgument);
    let numbers = common::keys(KeyType::U64, &[number(1)]);
    let error = snapshot.get(&numbers, &everything()).unwrap_err();
    assert_eq!(error.code(), Code::InvalidKey);
    let error = snapshot.has(Key::U64(1)).unwrap_err();
    assert_eq!(error.code(), Code::InvalidKey);
    let error = snapshot.scan(Some(&number(1))).map(drop).unwrap_err();
    assert_eq!(error.code(), Code::InvalidKey);
}

#[test]
fn a_search_ends_when_it_is_told_to() {
    let home = Home::memory();
    let (_database, collection, _) = tied(&home, MetricName::L2);
    let snapshot = collection.snapshot().unwrap();
    let query = [1.0; 6];
    for effort in [Effort::Exact, Effort::Recall(0.9)] {
        let request = SearchRequest {
            effort,
            ..SearchRequest::new(&query, 10)
        };
        let stop = Stop::never().when(Arc::new(AtomicBool::new(true)));
        let error = snapshot.search(&request, &stop).unwrap_err();
        assert_eq!(error.code(), Code::Aborted);
        let clock = Arc::clone(&home.env.clock);
        let stop = Stop::never().at(clock, Duration::ZERO);
        let error = snapshot.search(&request, &stop).unwrap_err();
        assert_eq!(error.code(), Code::Deadline);
        assert!(error.retryable());
        let far = Stop::never().at(Arc::clone(&home.env.clock), Duration::from_secs(1 << 40));
        assert_eq!(snapshot.search(&request, &far).unwrap().distances.len(), 10);
    }
    let template = SearchRequest::new(&[], 10);
    let stop = Stop::never().when(Arc::new(AtomicBool::new(true)));
    let error = snapshot.search_batch(&query, &template, &stop).unwrap_err();
    assert_eq!(error.code(), Code::Aborted);
}

#[test]
fn huge_and_tiny_components_give_finite_order() {
    for metric in METRICS {
        let home = Home::memory();
        let database = home.open(small());
        let schema = plain(KeyType::U64, 3, metric);
        let collection = database.create_collection("c", schema).unwrap();
        let values = [1e-45, 1e-38, 1e-20, 1.0, 1e20, 1e38, f32::MAX, -f32::MAX];
        let rows: Vec<Row> = values
            .iter()
            .zip(0..)
            .map(|(&x, n)| Row::new(number(n), &[x, -x, x]))
            .collect();
        put(&collection, &rows);
        for _ in 0..2 {
            let snapshot = collection.snapshot().unwrap();
            for &x in &values {
                let query = [x, x, -x];
                let hits = search(&snapshot, &SearchRequest::new(&query, 100));
                assert_eq!(hits.distances.len(), values.len(), "{metric:?}");
                assert!(hits.distances.iter().all(|d| !d.is_nan()), "{metric:?}");
                assert!(hits.distances.is_sorted(), "{metric:?}");
            }
            collection.compact(&Job::default()).unwrap();
        }
    }
}
