//! Rows that no graph stands over are searched by codes once they are asked for often: the same is
//! found, of every version, by measuring fewer rows.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::sync::Arc;

use cairn_engine::{
    Collection, Compaction, Database, DeclaredField, Effort, Filter, Hits, IndexKind, Job, Key,
    KeyType, MetricName, Options, Schema, SearchRequest, Snapshot, Stop,
};
use cairn_testkit::{SimDisk, data, sim_env};

use crate::common;
use common::{Home, Row, number, plain, put, remove, schema, vector_field};

const DIM: usize = 96;

fn row(key: u64, vectors: &[f32]) -> Row {
    let at = key as usize % (vectors.len() / DIM) * DIM;
    Row::new(number(key), &vectors[at..at + DIM])
}

fn search(snapshot: &Snapshot, vector: &[f32], effort: Effort) -> Hits {
    let request = SearchRequest {
        effort,
        explain: true,
        ..SearchRequest::new(vector, 10)
    };
    snapshot.search(&request, &Stop::never()).unwrap()
}

fn keys(hits: &Hits) -> Vec<u64> {
    let number = |key: Key<'_>| match key {
        Key::U64(number) => number,
        Key::Str(text) => panic!("key={text}"),
    };
    hits.keys.iter().map(number).collect()
}

/// What was found by the usual search, after it was compared with the exact one.
fn found(collection: &Arc<Collection>, vector: &[f32]) -> Hits {
    let snapshot = collection.snapshot().unwrap();
    let usual = search(&snapshot, vector, Effort::Recall(0.95));
    let exact = search(&snapshot, vector, Effort::Exact);
    assert_eq!(keys(&usual), keys(&exact));
    assert_eq!(usual.distances, exact.distances);
    assert!(exact.stages.iter().all(|stage| stage.path == "flat"));
    usual
}

fn paths(hits: &Hits) -> Vec<(&'static str, bool)> {
    let stage = |stage: &cairn_engine::Stage| (stage.path, stage.distances < stage.rows);
    hits.stages.iter().map(stage).collect()
}

fn without_merges() -> Options {
    Options {
        compaction: Compaction::None,
        ..Options::default()
    }
}

fn open(index: IndexKind) -> (Home, Arc<Database>, Arc<Collection>) {
    let home = Home::on(sim_env(&SimDisk::new()));
    let database = home.open(without_merges());
    let field = vector_field("vector", DIM as u32, MetricName::L2, index);
    let schema = schema(KeyType::U64, vec![field]);
    let collection = database.create_collection("c", schema).unwrap();
    (home, database, collection)
}

#[test]
fn a_memtable_that_is_searched_often_is_searched_by_codes() {
    let (_home, _database, collection) = open(IndexKind::Auto);
    let vectors = data::uniform(31, 5_000, DIM);
    put(
        &collection,
        &(0..4_000).map(|key| row(key, &vectors)).collect::<Vec<_>>(),
    );
    let query = &vectors[4_500 * DIM..][..DIM];
    // Who is asked seldom makes none.
    assert_eq!(paths(&found(&collection, query)), [("flat", false)]);
    for _ in 0..10 {
        found(&collection, query);
    }
    assert_eq!(paths(&found(&collection, query)), [("codes", true)]);

    // What is deleted and written over is as in the exact search; an older version stays what it was.
    let before = collection.snapshot().unwrap();
    let first = search(&before, query, Effort::Recall(0.95));
    let gone = &keys(&first)[..3];
    remove(
        &collection,
        &gone.iter().copied().map(number).collect::<Vec<_>>(),
    );
    put(
        &collection,
        &[row(4_500, &vectors), row(17, &vectors[DIM..])],
    );
    let now = found(&collection, query);
    assert_eq!(paths(&now), [("codes", true)]);
    let again = search(&before, query, Effort::Recall(0.95));
    assert_eq!(again.distances, first.distances);
    assert!(keys(&now).iter().all(|key| !gone.contains(key)));
    // Every record finds itself.
    let snapshot = collection.snapshot().unwrap();
    for key in (20..4_000).step_by(7) {
        let at = key * DIM;
        let hits = search(&snapshot, &vectors[at..at + DIM], Effort::Recall(0.95));
        if !gone.contains(&(key as u64)) {
            assert_eq!(hits.distances[0], 0.0, "key {key}");
        }
    }
}

#[test]
fn a_segment_without_a_graph_is_searched_by_codes_and_its_codes_are_counted() {
    let (home, database, _) = open(IndexKind::Auto);
    database.close().unwrap();
    let database = home.open(Options {
        memtable_bytes: 700 * 1024,
        ..without_merges()
    });
    let collection = database.open_collection("c").unwrap();
    let vectors = data::uniform(32, 3_100, DIM);
    for first in (0..2_000).step_by(100) {
        let rows = (first..first + 100).map(|key| row(key, &vectors));
        put(&collection, &rows.collect::<Vec<_>>());
    }
    home.at_rest(&collection);
    let rows = collection.stats().unwrap().segments[0].rows;
    assert!(rows >= 1_024, "{rows}");
    let bytes = || collection.stats().unwrap().segments[0].bytes_memory;
    let before = bytes();
    let query = &vectors[3_050 * DIM..][..DIM];
    assert_eq!(paths(&found(&collection, query))[0], ("flat", false));
    for _ in 0..10 {
        found(&collection, query);
    }
    assert_eq!(paths(&found(&collection, query))[0], ("codes", true));
    let took = bytes() - before;
    assert!(
        took > rows * DIM as u64 / 8 && took < rows * DIM as u64 / 2,
        "{took}"
    );
}

#[test]
fn a_field_that_is_declared_flat_is_always_searched_exactly() {
    let (_home, _database, collection) = open(IndexKind::Flat);
    let vectors = data::uniform(33, 3_100, DIM);
    put(
        &collection,
        &(0..3_000).map(|key| row(key, &vectors)).collect::<Vec<_>>(),
    );
    for _ in 0..20 {
        found(&collection, &vectors[3_050 * DIM..][..DIM]);
    }
    let hits = found(&collection, &vectors[3_050 * DIM..][..DIM]);
    assert_eq!(paths(&hits), [("flat", false)]);
}

#[test]
fn rows_of_few_components_have_no_codes() {
    let home = Home::memory();
    let database = home.open(without_merges());
    let schema = plain(KeyType::U64, 8, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    let vectors = data::uniform(34, 2_000, 8);
    let row = |n: usize| Row::new(number(n as u64), &vectors[n * 8..n * 8 + 8]);
    put(&collection, &(0..2_000).map(row).collect::<Vec<_>>());
    for _ in 0..20 {
        found(&collection, &vectors[..8]);
    }
    assert_eq!(paths(&found(&collection, &vectors[..8])), [("flat", false)]);
}

#[test]
fn an_older_version_that_is_held_and_searched_often_is_searched_by_codes_too() {
    let (_home, _database, collection) = open(IndexKind::Auto);
    let vectors = data::uniform(35, 4_100, DIM);
    let rows = (0..4_000).map(|key| row(key, &vectors));
    put(&collection, &rows.collect::<Vec<_>>());
    let older = collection.snapshot().unwrap();
    // Its memtable is none of the newest version's any more.
    collection.compact(&Job::default()).unwrap();
    let query = &vectors[4_050 * DIM..][..DIM];
    for _ in 0..10 {
        search(&older, query, Effort::Recall(0.95));
    }
    let hits = search(&older, query, Effort::Recall(0.95));
    assert_eq!(paths(&hits), [("codes", true)]);
}

/// Of few rows a walk would meet too few, and of many it meets enough.
#[test]
fn the_few_rows_of_a_filter_under_a_graph_are_searched_by_codes() {
    const ROWS: u64 = 4_000;
    let home = Home::on(sim_env(&SimDisk::new()));
    let database = home.open(without_merges());
    let declared = Schema {
        fields: vec![DeclaredField {
            name: "n".into(),
            kind: "int".into(),
            text: Default::default(),
        }],
        ..schema(
            KeyType::U64,
            vec![vector_field(
                "vector",
                DIM as u32,
                MetricName::L2,
                IndexKind::Auto,
            )],
        )
    };
    let collection = database.create_collection("c", declared).unwrap();
    let vectors = data::uniform(36, 4_100, DIM);
    let rows = (0..ROWS).map(|key| row(key, &vectors).with("n", (key % 10) as i64));
    put(&collection, &rows.collect::<Vec<_>>());
    collection.compact(&Job::default()).unwrap();
    remove(&collection, &(0..200).map(number).collect::<Vec<_>>());

    let few = Filter::parse(br#"{"n":{"lt":2}}"#).unwrap();
    let most = Filter::parse(br#"{"n":{"lt":9}}"#).unwrap();
    let search = |filter: &Filter, at: usize, effort: Effort| {
        let request = SearchRequest {
            filter: Some(filter),
            effort,
            explain: true,
            ..SearchRequest::new(&vectors[at * DIM..][..DIM], 10)
        };
        let snapshot = collection.snapshot().unwrap();
        snapshot.search(&request, &Stop::never()).unwrap()
    };
    let usual = Effort::EfSearch(40);
    let bytes = || collection.stats().unwrap().segments[0].bytes_memory;
    assert_eq!(search(&few, 4_000, usual).stages[0].path, "flat");
    let before = bytes();
    for at in 4_000..4_020 {
        search(&few, at, usual);
    }
    for at in 4_000..4_100 {
        let (exact, coded) = (search(&few, at, Effort::Exact), search(&few, at, usual));
        assert_eq!(keys(&coded), keys(&exact));
        assert_eq!(coded.distances, exact.distances);
        assert_eq!(
            (exact.stages[0].path, coded.stages[0].path),
            ("flat", "codes")
        );
        let (matches, measured) = (coded.stages[0].matches, coded.stages[0].distances);
        assert!(
            matches == 760 && measured < matches,
            "{measured} of {matches}"
        );
    }
    let took = bytes() - before;
    assert!((ROWS * 32..ROWS * 64).contains(&took), "{took}");
    let short = Effort::EfSearch(10);
    assert_eq!(search(&most, 4_000, short).stages[0].path, "qg");
    assert_eq!(search(&most, 4_000, Effort::Exact).stages[0].path, "flat");
}
