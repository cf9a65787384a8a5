//! What optimises in the background makes no search worse: after a merge of everything searches with the
//! same lists of candidates find what they found before, and compute fewer distances for it. Those that
//! ask for a recall get it, before and after. They may find less than before, where that was more than
//! they asked for: of several parts each gives ten, and what no graph stands over is compared whole.
//! That reads go on meanwhile is shown by `compaction::readers_go_on_while_a_compaction_runs`.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::sync::Arc;

use cairn_engine::{
    Collection, Compaction, Durability, Effort, IndexKind, Job, KeyType, MetricName, Options,
    SearchRequest, Stop, WriteKind, WriteOptions,
};
use cairn_testkit::{SimDisk, data, sim_env};

use crate::common;
use common::{Home, Row, batch, number, put, schema, vector_field};

const DIM: usize = 16;
const ROWS: usize = 6_000;
const QUERIES: usize = 100;
/// Rows of a flush; four of them are a tier, which would be merged by itself.
const FLUSHED: usize = 1_500;

/// What searches ask for that name no list.
const RECALL: f32 = 0.95;
const ASKED: Effort = Effort::Recall(RECALL);

/// What searches of one kind came to.
#[derive(Clone, Copy, Debug)]
struct Measured {
    recall: f64,
    distances: u64,
}

fn measure(collection: &Arc<Collection>, queries: &[f32], effort: Effort) -> Measured {
    let snapshot = collection.snapshot().unwrap();
    let find = |vector: &[f32], effort| {
        let request = SearchRequest {
            effort,
            explain: true,
            ..SearchRequest::new(vector, 10)
        };
        snapshot.search(&request, &Stop::never()).unwrap()
    };
    let (mut found, mut distances) = (0, 0);
    for query in queries.chunks(DIM) {
        let truth = find(query, Effort::Exact).distances;
        let hits = find(query, effort);
        let is_near = |distance: &&f32| **distance <= truth[9];
        found += hits.distances.iter().filter(is_near).count();
        distances += hits.stages.iter().map(|stage| stage.distances).sum::<u64>();
    }
    Measured {
        recall: found as f64 / (10 * QUERIES) as f64,
        distances,
    }
}

fn is_no_worse(index: IndexKind, vectors: &[f32], what: &str) {
    let home = Home::on(sim_env(&SimDisk::new()));
    let database = home.open(Options {
        compaction: Compaction::SizeTiered,
        ..Options::default()
    });
    let field = vector_field("vector", DIM as u32, MetricName::L2, index);
    let collection = database.create_collection("c", schema(KeyType::U64, vec![field]));
    let collection = collection.unwrap();
    let (stored, queries) = vectors.split_at(ROWS * DIM);
    let rows: Vec<Row> = (0..)
        .zip(stored.chunks(DIM))
        .map(|(key, vector)| Row::new(number(key), vector))
        .collect();
    // Three flushes, each of which gets a graph of its own in the background, and the rest in memory.
    let (flushed, in_memory) = rows.split_at(3 * FLUSHED);
    let memory = || WriteOptions {
        durability: Some(Durability::Memory),
        ..WriteOptions::default()
    };
    for rows in flushed.chunks(FLUSHED) {
        let upsert = batch(collection.schema(), WriteKind::Upsert, rows);
        collection.write(upsert, memory()).unwrap();
        collection.commit().unwrap();
    }
    put(&collection, in_memory);
    home.at_rest(&collection);
    let stats = collection.stats().unwrap();
    assert!(
        stats.segments.len() >= 3,
        "{what}: {}",
        stats.segments.len()
    );
    assert!(stats.segments.iter().all(|it| it.index != "flat"), "{what}");
    assert_eq!(stats.memtable_rows as usize, in_memory.len(), "{what}");

    let efforts = [Effort::EfSearch(64), Effort::EfSearch(200), ASKED];
    let before = efforts.map(|effort| measure(&collection, queries, effort));
    collection.compact(&Job::default()).unwrap();
    let stats = collection.stats().unwrap();
    assert_eq!(
        (stats.segments.len(), stats.memtable_rows),
        (1, 0),
        "{what}"
    );
    let after = efforts.map(|effort| measure(&collection, queries, effort));
    for ((effort, before), after) in efforts.into_iter().zip(before).zip(after) {
        let what = format!("{what} {effort:?}: {before:?} before, {after:?} after");
        println!("{what}");
        let due = match effort {
            ASKED => f64::from(RECALL),
            _ => before.recall - 0.01,
        };
        assert!(after.recall >= due, "{what}");
        assert!(after.distances <= before.distances, "{what}");
    }
}

#[test]
fn a_compaction_makes_no_search_worse() {
    let count = ROWS + QUERIES;
    for (vectors, of) in [
        (data::clustered(23, count, DIM), "clustered"),
        (data::uniform(23, count, DIM), "uniform"),
    ] {
        for index in [IndexKind::Auto, IndexKind::Qg] {
            let what = format!("{of} {index:?}");
            is_no_worse(index, &vectors, &what);
        }
    }
}
