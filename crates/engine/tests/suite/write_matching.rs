//! Writes to the records of a filter: all that it holds for, none that it does not, in one batch.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::sync::Arc;

use cairn_engine::{
    Code, Collection, Condition, Filter, Job, KeyType, Matching, MetricName, Options, Otherwise,
    Stop, WriteBatch, WriteKind, WriteOptions,
};

use crate::common;
use common::{Home, Row, encode, keys, number, plain, put};

fn filter(json: &str) -> Arc<Filter> {
    Arc::new(Filter::parse(json.as_bytes()).unwrap())
}

fn count(collection: &Arc<Collection>, json: &str) -> u64 {
    let snapshot = collection.snapshot().unwrap();
    snapshot
        .count_matching(&filter(json), &Stop::never())
        .unwrap()
}

fn row(key: u64, n: i64) -> Row {
    Row::new(number(key), &[0.0]).with("n", n)
}

fn removal(of: &[u64]) -> WriteBatch {
    let of: Vec<_> = of.iter().map(|&key| number(key)).collect();
    WriteBatch {
        kind: WriteKind::Delete,
        keys: keys(KeyType::U64, &of),
        vectors: Vec::new(),
        payloads: None,
    }
}

#[test]
fn a_record_that_was_changed_meanwhile_is_asked_again() {
    let home = Home::memory();
    let database = home.open(Options::default());
    let schema = plain(KeyType::U64, 1, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    put(&collection, &[row(1, 5), row(2, 5), row(3, 5)]);
    collection.compact(&Job::default()).unwrap();
    let seen = collection.snapshot().unwrap().version();
    put(&collection, &[row(2, 6), row(3, 5)]);
    let condition = |otherwise| WriteOptions {
        conditions: vec![Condition {
            filter: filter(r#"{"n":5}"#),
            holds_at: seen,
            otherwise,
        }],
        ..WriteOptions::default()
    };
    let failed = collection.write(removal(&[1, 2, 3]), condition(Otherwise::Fail));
    assert_eq!(failed.unwrap_err().code(), Code::ConditionFailed);
    assert_eq!(count(&collection, "{}"), 3);
    let done = collection.write(removal(&[1, 2, 3, 4]), condition(Otherwise::Skip));
    let done = done.unwrap();
    assert_eq!((done.deleted, done.skipped), (2, 2));
    assert_eq!(count(&collection, r#"{"n":6}"#), 1);
    assert_eq!(count(&collection, "{}"), 1);
}

#[test]
fn more_records_than_a_batch_may_name_are_removed_in_one() {
    const ROWS: u64 = 150_000;
    let home = Home::memory();
    let database = home.open(Options::default());
    let schema = plain(KeyType::U64, 1, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    for first in (0..ROWS).step_by(50_000) {
        let rows: Vec<Row> = (first..first + 50_000).map(|key| row(key, 1)).collect();
        put(&collection, &rows);
    }
    put(&collection, &[row(ROWS, 2)]);
    let all = |json: &str| {
        let options = WriteOptions::default();
        collection.write_matching(json.as_bytes(), &Matching::Delete, None, options)
    };
    let done = all(r#"{"n":1}"#).unwrap();
    assert_eq!(done.deleted, ROWS);
    assert_eq!(count(&collection, "{}"), 1);
    // The log has it as one frame, which is replayed.
    database.close().unwrap();
    let again = home.open(Options::default());
    let collection = again.open_collection("c").unwrap();
    assert_eq!(count(&collection, "{}"), 1);
    assert_eq!(count(&collection, r#"{"n":2}"#), 1);
}

#[test]
fn an_update_of_too_many_records_changes_nothing() {
    let home = Home::memory();
    let database = home.open(Options::default());
    let schema = plain(KeyType::U64, 1, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    let rows: Vec<Row> = (0..400).map(|key| row(key, 1)).collect();
    put(&collection, &rows);
    let mut fields = Row::new(number(0), &[0.0]).with("long", &*"x".repeat(1_000_000));
    let change = Matching::Update {
        fields: encode(&fields.fields.take().unwrap()),
        replace_fields: false,
    };
    let refused = collection.write_matching(b"{}", &change, None, WriteOptions::default());
    assert_eq!(refused.unwrap_err().code(), Code::LimitExceeded);
    assert_eq!(count(&collection, r#"{"long":{"exists":true}}"#), 0);
}
