//! A scan goes through the keys in order, in pages of any size, and can be taken up again behind
//! any key, known or not, in this version or in a later one.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_engine::{
    Collection, IndexKind, Job, KeyBuf, KeyType, MetricName, Select, SelectFields, Snapshot,
};
use cairn_testkit::{Rng, seed_from_env};

use crate::common;
use common::model::Stored;
use common::{
    Home, Model, Row, batch, decode, everything, number, put, remove, schema, small, text,
    vector_field,
};

/// Records in every kind of place: segments, a memtable, replaced, removed.
fn spread(collection: &Arc<Collection>, make: impl Fn(u64) -> KeyBuf) -> Model {
    let mut rng = Rng::new(seed_from_env("CAIRN_SCAN_SEED", 0x5ca4));
    let mut model = Model::new(collection.schema());
    for round in 0..30 {
        let kind = match round % 5 {
            4 => cairn_engine::WriteKind::Delete,
            _ => cairn_engine::WriteKind::Upsert,
        };
        let rows: Vec<Row> = (0..120)
            .map(|_| {
                let n = rng.below(2_000);
                Row::new(make(n), &[n as f32; 8]).with("n", n as i64)
            })
            .collect();
        let write = batch(collection.schema(), kind, &rows);
        let answer = collection.write(write, Default::default());
        model.write(kind, &rows, None, &answer);
    }
    let stats = collection.stats().unwrap();
    assert!(stats.memtable_rows > 0 && !stats.segments.is_empty());
    model
}

fn flat(key: KeyType) -> cairn_engine::Schema {
    let field = vector_field("vector", 8, MetricName::L2, IndexKind::Flat);
    schema(key, vec![field])
}

fn check(snapshot: &Snapshot, after: Option<&KeyBuf>, page: usize, model: &Model) {
    let expected: Vec<(&KeyBuf, &Stored)> = model
        .records
        .iter()
        .filter(|(key, _)| after.is_none_or(|after| *key > after))
        .collect();
    let mut scan = snapshot.scan(after).unwrap();
    let mut seen = 0;
    loop {
        let records = scan.next_page(page, &everything()).unwrap();
        assert!(records.len() <= page);
        if records.is_empty() {
            break;
        }
        for record in &records {
            let (key, stored) = expected[seen];
            common::model::check_record(key, stored, record);
            seen += 1;
        }
        assert!(
            records.len() == page || seen == expected.len(),
            "full pages"
        );
    }
    assert_eq!(seen, expected.len());
    assert!(
        scan.next_page(page, &everything()).unwrap().is_empty(),
        "the end is the end"
    );
}

#[test]
fn pages_of_any_size_from_any_key() {
    let home = Home::directory("scan");
    let database = home.open(small());
    for key in [KeyType::String, KeyType::U64] {
        let name = format!("{key:?}");
        let collection = database.create_collection(&name, flat(key)).unwrap();
        let make = |n: u64| match key {
            KeyType::String => text(format!("k{n}")),
            KeyType::U64 => number(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        };
        let model = spread(&collection, make);
        let snapshot = collection.snapshot().unwrap();
        for page in [1, 2, 7, 1_000, usize::MAX] {
            check(&snapshot, None, page, &model);
        }
        // Behind keys that are there, that were deleted, and that nobody ever had.
        let edges = match key {
            KeyType::String => vec![text("a"), text("k"), text("k1999\0"), text("z")],
            KeyType::U64 => vec![number(0), number(1), number(u64::MAX)],
        };
        let known = model.records.keys().step_by(97).cloned();
        for after in edges.into_iter().chain((0..40).map(make)).chain(known) {
            check(&snapshot, Some(&after), 50, &model);
        }
        collection.compact(&Job::default()).unwrap();
        check(&collection.snapshot().unwrap(), None, 33, &model);
        check(&snapshot, Some(&make(5)), 33, &model);
    }
}

#[test]
fn a_scan_is_taken_up_by_its_last_key_in_a_version_that_has_moved_on() {
    let home = Home::memory();
    let database = home.open(small());
    let collection = database.create_collection("c", flat(KeyType::U64)).unwrap();
    let mut model = spread(&collection, number);
    let mut after: Option<KeyBuf> = None;
    let mut seen = BTreeMap::new();
    let mut round = 0_u64;
    loop {
        // One page, then the cursor is all that is kept.
        let snapshot = collection.snapshot().unwrap();
        let mut scan = snapshot.scan(after.as_ref()).unwrap();
        assert_eq!(scan.version(), snapshot.version());
        let page = scan.next_page(60, &everything()).unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        for record in page {
            let stored = &model.records[&record.key];
            common::model::check_record(&record.key.clone(), stored, &record);
            assert!(
                seen.insert(record.key, record.version).is_none(),
                "no record twice"
            );
        }
        // Behind and before the cursor, records come and go.
        round += 1;
        let rows = [round * 37 % 2_000, round * 91 % 2_000]
            .map(|n| Row::new(number(n), &[-1.0; 8]).with("round", round as i64));
        let kind = match round % 2 {
            0 => cairn_engine::WriteKind::Delete,
            _ => cairn_engine::WriteKind::Upsert,
        };
        let answer = collection.write(batch(collection.schema(), kind, &rows), Default::default());
        model.write(kind, &rows, None, &answer);
    }
    let last = seen.keys().last().unwrap();
    assert!(model.records.keys().all(|key| key <= last));
    assert!(seen.len() > 600);
}

#[test]
fn only_what_is_selected_comes_along() {
    let home = Home::memory();
    let database = home.open(small());
    let collection = database.create_collection("c", flat(KeyType::U64)).unwrap();
    let row = |n: u64| {
        Row::new(number(n), &[n as f32; 8])
            .with("a", n as i64)
            .with("b", "x")
            .with("c", true)
    };
    put(&collection, &(0..10).map(row).collect::<Vec<_>>());
    put(&collection, &[Row::new(number(10), &[0.0; 8])]);
    for _ in 0..2 {
        let snapshot = collection.snapshot().unwrap();
        let page = |fields, vectors| {
            let mut scan = snapshot.scan(None).unwrap();
            scan.next_page(20, &Select { fields, vectors }).unwrap()
        };
        let names =
            |record: &cairn_engine::Record| decode(&record.fields).into_keys().collect::<Vec<_>>();
        let all = page(SelectFields::All, true);
        assert_eq!(names(&all[3]), ["a", "b", "c"]);
        assert_eq!(all[3].vectors.as_ref().unwrap()[0], [3.0; 8]);
        let some = page(
            SelectFields::Some(vec!["c".into(), "zzz".into(), "a".into()]),
            false,
        );
        assert_eq!(names(&some[3]), ["a", "c"]);
        assert!(some[3].vectors.is_none());
        let none = page(SelectFields::None, true);
        assert!(none.iter().all(|record| record.fields.is_empty()));
        assert!(none[3].vectors.is_some());
        assert!(names(&all[10]).is_empty());
        // The same from a segment.
        collection.compact(&Job::default()).unwrap();
    }
    remove(&collection, &(0..11).map(number).collect::<Vec<_>>());
    let mut scan = collection.snapshot().unwrap().scan(None).unwrap();
    assert!(scan.next_page(1, &everything()).unwrap().is_empty());
}

#[test]
fn a_page_of_large_records_ends_early() {
    let home = Home::memory();
    let database = home.open(Default::default());
    let schema = flat(KeyType::U64);
    let collection = database.create_collection("c", schema).unwrap();
    let megabyte = "x".repeat(1_000_000);
    for first in (0..80).step_by(20) {
        let row = |n| Row::new(number(n), &[0.0; 8]).with("text", &*megabyte);
        put(
            &collection,
            &(first..first + 20).map(row).collect::<Vec<_>>(),
        );
    }
    let mut scan = collection.snapshot().unwrap().scan(None).unwrap();
    let mut pages = Vec::new();
    loop {
        let page = scan.next_page(1_000, &everything()).unwrap();
        if page.is_empty() {
            break;
        }
        pages.push(page.len());
    }
    assert_eq!(pages, [34, 34, 12], "a page ends once it has 32 MiB");
}
