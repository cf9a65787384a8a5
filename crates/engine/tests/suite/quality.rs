//! What is measured of the recall is what unseen queries get, and settings that reach one are kept.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use cairn_engine::{
    Code, Collection, Database, Effort, Filter, HnswSettings, IndexKind, Job, KeyType, MetricName,
    Options, Quality, QualityRequest, Queries, SearchRequest, Snapshot, Stop, TuneRequest,
};
use cairn_testkit::data;

use crate::common;
#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
use crate::crash;
use common::{Home, Row, number, plain, put, remove, schema, vector_field};

const DIM: usize = 32;
const ROWS: usize = 6_000;
const UNSEEN: usize = 400;

/// A graph that is hard to search: every component is drawn on its own, and links are few.
fn hard(home: &Home) -> (Arc<Database>, Arc<Collection>, Vec<f32>) {
    let database = home.open(Options::default());
    let hnsw = HnswSettings::for_m(16);
    let field = vector_field("vector", DIM as u32, MetricName::L2, IndexKind::Hnsw(hnsw));
    let schema = schema(KeyType::U64, vec![field]);
    let collection = database.create_collection("c", schema).unwrap();
    let mut vectors = data::uniform(5, ROWS + UNSEEN, DIM);
    let unseen = vectors.split_off(ROWS * DIM);
    let rows: Vec<Row> = (0..).zip(vectors.chunks(DIM)).map(row).collect();
    for rows in rows.chunks(1_000) {
        put(&collection, rows);
    }
    collection.compact(&Job::default()).unwrap();
    (database, collection, unseen)
}

fn row((key, vector): (u64, &[f32])) -> Row {
    Row::new(number(key), vector).with("even", key % 2 == 0)
}

fn measure(snapshot: &Snapshot, effort: Effort, queries: Queries<'_>) -> Quality {
    let request = request(effort, queries);
    snapshot.quality(&request, &Job::default()).unwrap()
}

fn request(effort: Effort, queries: Queries<'_>) -> QualityRequest<'_> {
    QualityRequest {
        field: 0,
        k: 10,
        effort,
        filter: None,
        queries,
    }
}

fn tuning(recall: f32, apply: bool, queries: Queries<'_>) -> TuneRequest<'_> {
    TuneRequest {
        field: 0,
        k: 10,
        recall,
        filter: None,
        queries,
        apply,
    }
}

#[test]
fn the_recall_is_that_of_the_searches_themselves() {
    let home = Home::memory();
    let (_database, collection, unseen) = hard(&home);
    let gone: Vec<_> = (0..500).map(number).collect();
    remove(&collection, &gone);
    let snapshot = collection.snapshot().unwrap();
    let filter = Filter::parse(br#"{"even":true}"#).unwrap();
    for filter in [None, Some(&filter)] {
        let find = |vector: &[f32], effort| {
            let request = SearchRequest {
                effort,
                filter,
                ..SearchRequest::new(vector, 10)
            };
            snapshot.search(&request, &Stop::never()).unwrap().distances
        };
        let share = |vector: &[f32]| {
            let truth = find(vector, Effort::Exact);
            let found = find(vector, Effort::EfSearch(12));
            let last = truth.last().unwrap();
            found.iter().filter(|distance| *distance <= last).count() as f64 / 10.0
        };
        let expected = unseen.chunks(DIM).map(share).sum::<f64>() / UNSEEN as f64;
        let request = QualityRequest {
            filter,
            ..request(Effort::EfSearch(12), Queries::Vectors(&unseen))
        };
        let measured = snapshot.quality(&request, &Job::default()).unwrap();
        let recall = measured.recall;
        assert!(
            (recall.mean - expected).abs() < 1e-9,
            "{measured:?} {expected}"
        );
        assert!(recall.low < recall.mean && recall.mean < recall.high);
        assert!(recall.high - recall.low < 0.06, "{recall:?}");
        assert_eq!(measured.queries, UNSEEN);
    }
}

/// A record that is asked for while it is stored is found by its own links.
#[test]
fn stored_records_are_asked_for_as_if_they_were_not() {
    let home = Home::memory();
    let (_database, collection, unseen) = hard(&home);
    let snapshot = collection.snapshot().unwrap();
    for ef in [10, 20, 40] {
        let effort = Effort::EfSearch(ef);
        let truth = measure(&snapshot, effort, Queries::Vectors(&unseen));
        let sample = measure(&snapshot, effort, Queries::Sample(UNSEEN));
        assert_eq!(sample.queries, UNSEEN);
        let (truth, sample) = (truth.recall, sample.recall);
        println!("ef={ef} unseen={:.3} sample={:.3}", truth.mean, sample.mean);
        // A graph with a hole finds a little less: rather too low than too high.
        let more = sample.mean - truth.mean;
        assert!(
            (-0.1..0.025).contains(&more),
            "ef={ef} {truth:?} {sample:?}"
        );
    }
}

#[test]
fn what_is_exact_finds_everything() {
    let home = Home::memory();
    let database = home.open(Options::default());
    let collection = database.create_collection("c", plain(KeyType::U64, 4, MetricName::Cosine));
    let collection = collection.unwrap();
    let vectors = data::normal(3, 300, 4);
    // Some in a segment, some in memory, many of them twins.
    let twice =
        (0..600_u64).map(|key| Row::new(number(key), &vectors[key as usize % 300 * 4..][..4]));
    let rows: Vec<Row> = twice.collect();
    put(&collection, &rows[..400]);
    collection.compact(&Job::default()).unwrap();
    put(&collection, &rows[400..]);
    let snapshot = collection.snapshot().unwrap();
    let found = measure(&snapshot, Effort::Exact, Queries::Sample(10_000));
    assert_eq!(found.queries, 600, "no record is drawn twice");
    assert_eq!((found.recall.mean, found.recall.high), (1.0, 1.0));
    assert!(found.recall.low > 0.99);
    let usual = measure(&snapshot, Effort::Recall(0.95), Queries::Sample(100));
    assert!(usual.recall.mean > 0.95, "{usual:?}");
}

#[test]
fn tuning_reaches_the_recall_and_is_kept() {
    let home = Home::directory("tuned");
    let (database, collection, unseen) = hard(&home);
    let queries = Queries::Vectors(&unseen);
    let ef = |collection: &Arc<Collection>| {
        let request = SearchRequest {
            effort: Effort::Recall(0.9),
            explain: true,
            ..SearchRequest::new(&unseen[..DIM], 10)
        };
        let snapshot = collection.snapshot().unwrap();
        let hits = snapshot.search(&request, &Stop::never()).unwrap();
        hits.stages.iter().map(|stage| stage.ef).max().unwrap()
    };
    let untuned = ef(&collection);
    let proposed = collection.tune(&tuning(0.9, false, queries), &Job::default());
    let proposed = proposed.unwrap();
    assert_eq!(proposed.before.0, 1.0);
    assert_eq!(ef(&collection), untuned, "a proposal changes nothing");
    let (factor, after) = proposed.after;
    assert!(after.recall.mean >= 0.9, "{proposed:?}");
    // A step less does not suffice.
    let snapshot = collection.snapshot().unwrap();
    let less = Effort::Stretched(0.9, factor / 2_f32.powf(0.25));
    let less = measure(&snapshot, less, queries);
    assert!(
        less.recall.mean < 0.9 || factor <= 0.26,
        "{less:?} {proposed:?}"
    );

    let applied = collection.tune(&tuning(0.97, true, queries), &Job::default());
    let applied = applied.unwrap();
    assert!(applied.applied && !proposed.applied);
    assert!(applied.after.1.recall.mean >= 0.97, "{applied:?}");
    let tuned = ef(&collection);
    let expected = untuned as f32 * applied.after.0;
    assert!((tuned as f32 - expected).abs() <= 2.0, "{tuned} {expected}");
    // It outlives a flush, a merge and a restart.
    put(&collection, &[Row::new(number(1_000_000), &unseen[..DIM])]);
    collection.compact(&Job::default()).unwrap();
    let again = collection.tune(&tuning(0.97, false, queries), &Job::default());
    assert_eq!(again.unwrap().before.0, applied.after.0);
    drop((snapshot, collection, database));
    let database = home.open(Options::default());
    let collection = database.collection("c", None).unwrap();
    let again = collection.tune(&tuning(0.97, false, queries), &Job::default());
    assert_eq!(again.unwrap().before.0, applied.after.0);
}

#[test]
fn what_is_compared_with_every_query_tunes_no_list() {
    let home = Home::memory();
    let database = home.open(Options::default());
    let hnsw = HnswSettings::for_m(16);
    let field = vector_field("vector", DIM as u32, MetricName::L2, IndexKind::Hnsw(hnsw));
    let schema = schema(KeyType::U64, vec![field]);
    let collection = database.create_collection("c", schema).unwrap();
    let vectors = data::uniform(5, 500, DIM);
    let rows: Vec<Row> = (0..).zip(vectors.chunks(DIM)).map(row).collect();
    put(&collection, &rows);
    let queries = Queries::Vectors(&vectors[..20 * DIM]);
    let tuned = collection.tune(&tuning(0.9, true, queries), &Job::default());
    let tuned = tuned.unwrap();
    assert_eq!(tuned.after.1.recall.mean, 1.0);
    assert!(!tuned.applied, "every list finds all of 500 rows");
    let again = collection.tune(&tuning(0.9, false, queries), &Job::default());
    assert_eq!(again.unwrap().before.0, 1.0, "nothing was kept");
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let home = Home::memory();
    let database = home.open(Options::default());
    let collection = database.create_collection("c", plain(KeyType::U64, 2, MetricName::Cosine));
    let collection = collection.unwrap();
    let refused = |request: QualityRequest<'_>| {
        let snapshot = collection.snapshot().unwrap();
        snapshot
            .quality(&request, &Job::default())
            .unwrap_err()
            .code()
    };
    let usual = Effort::Recall(0.95);
    let of = |queries| request(usual, queries);
    assert_eq!(refused(of(Queries::Sample(5))), Code::NotFound);
    put(&collection, &[Row::new(number(1), &[1.0, 0.0])]);
    assert_eq!(refused(of(Queries::Sample(0))), Code::InvalidArgument);
    assert_eq!(refused(of(Queries::Sample(10_001))), Code::LimitExceeded);
    assert_eq!(refused(of(Queries::Vectors(&[]))), Code::DimMismatch);
    assert_eq!(refused(of(Queries::Vectors(&[1.0; 3]))), Code::DimMismatch);
    assert_eq!(refused(of(Queries::Vectors(&[0.0; 2]))), Code::ZeroVector);
    assert_eq!(
        refused(of(Queries::Vectors(&[f32::NAN, 0.0]))),
        Code::NotFinite
    );
    let sample = Queries::Sample(1);
    assert_eq!(
        refused(QualityRequest { k: 0, ..of(sample) }),
        Code::InvalidArgument
    );
    assert_eq!(
        refused(QualityRequest {
            k: 10_001,
            ..of(sample)
        }),
        Code::LimitExceeded
    );
    assert_eq!(
        refused(QualityRequest {
            field: 1,
            ..of(sample)
        }),
        Code::InvalidArgument
    );
    assert_eq!(
        refused(request(Effort::Recall(0.4), sample)),
        Code::InvalidArgument
    );
    for recall in [0.49, 1.0, f32::NAN] {
        let tuned = collection.tune(&tuning(recall, true, sample), &Job::default());
        assert_eq!(tuned.unwrap_err().code(), Code::InvalidArgument);
    }
    let job = Job {
        stop: Stop::never().when(Arc::new(AtomicBool::new(true))),
        ..Job::default()
    };
    let stopped = collection.tune(&tuning(0.9, true, sample), &job);
    assert_eq!(stopped.unwrap_err().code(), Code::Aborted);
}

#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
#[test]
fn planted_bugs_are_found() {
    if std::env::var_os("CAIRN_BUG").is_none() {
        crash::planted::expect_all_found(module_path!());
    }
}
