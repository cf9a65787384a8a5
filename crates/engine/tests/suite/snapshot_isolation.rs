//! A reader sees whole batches or nothing of them, and a pinned version never changes.
//!
//! Every batch writes all rows of a group with one and the same number. Readers that run beside
//! the writer, its flushes and its compactions must never see two numbers in one group, whether
//! they scan, get or search; the numbers they see never fall; and a writer sees its own batch as
//! soon as it is acknowledged.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cairn_engine::{
    Collection, Effort, Job, KeyBuf, KeyType, MetricName, SearchRequest, Select, SelectFields,
    Snapshot, Stop,
};
use cairn_env::{Clock, OsClock};
use cairn_testkit::{Rng, seed_from_env};

use crate::common;
use common::{
    Home, Model, Row, Value, WatchedDisk, decode, eventually, everything, keys, number, plain, put,
    remove, small,
};

const ROWS: u64 = 50;
const GROUPS: u64 = 8;

fn group_key(group: u64, row: u64) -> KeyBuf {
    // Groups lie in between one another in key order.
    number(row * GROUPS + group)
}

fn group_rows(group: u64, round: u64) -> Vec<Row> {
    let row = |row: u64| {
        let vector = [group as f32 * 1_000.0, row as f32, round as f32];
        Row::new(group_key(group, row), &vector).with("round", round as i64)
    };
    (0..ROWS).map(row).collect()
}

fn round_of(fields: &[u8]) -> u64 {
    match decode(fields)["round"] {
        Value::Int(round) => round as u64,
        ref other => panic!("round={other:?}"),
    }
}

/// The round that each group is in, by one way of reading; panics when a group is in two.
fn rounds(snapshot: &Snapshot, how: u64) -> Vec<Option<u64>> {
    let mut rounds = vec![None; GROUPS as usize];
    let mut see = |group: u64, round: u64| {
        let seen = rounds[group as usize].get_or_insert(round);
        assert_eq!(*seen, round, "half a batch in group={group} how={how}");
    };
    match how {
        0 => {
            let mut scan = snapshot.scan(None).unwrap();
            let mut count = 0;
            loop {
                let page = scan.next_page(64, &everything()).unwrap();
                if page.is_empty() {
                    break;
                }
                for record in page {
                    count += 1;
                    let KeyBuf::U64(key) = record.key else {
                        panic!("number keys")
                    };
                    let round = round_of(&record.fields);
                    let vectors = record.vectors.unwrap();
                    assert_eq!(
                        vectors[0][2], round as f32,
                        "fields and vector of one write"
                    );
                    see(key % GROUPS, round);
                }
            }
            assert_eq!(count, snapshot.count());
            assert_eq!(count % ROWS, 0, "whole groups only");
        }
        1 => {
            for group in 0..GROUPS {
                let wanted: Vec<KeyBuf> = (0..ROWS).map(|row| group_key(group, row)).collect();
                let found = snapshot
                    .get(&keys(KeyType::U64, &wanted), &Select::default())
                    .unwrap();
                let there = found.iter().flatten().count() as u64;
                assert!(there == 0 || there == ROWS, "half a batch");
                for record in found.iter().flatten() {
                    see(group, round_of(&record.fields));
                }
            }
        }
        _ => {
            for group in 0..GROUPS {
                let query = [group as f32 * 1_000.0, 0.0, 0.0];
                let request = SearchRequest {
                    effort: Effort::Exact,
                    ..SearchRequest::new(&query, 1_000)
                };
                let hits = snapshot.search(&request, &Stop::never()).unwrap();
                let payloads = hits.payloads.as_ref().unwrap();
                assert_eq!(hits.distances.len() as u64, snapshot.count());
                for (rank, key) in hits.keys.iter().enumerate() {
                    let KeyBuf::U64(key) = key.to_buf() else {
                        panic!("number keys")
                    };
                    if key % GROUPS == group {
                        see(group, round_of(payloads.get(rank)));
                    }
                }
            }
        }
    }
    rounds
}

fn race(home: &Home, seconds: u64) {
    let database = home.open(small());
    let schema = plain(KeyType::U64, 3, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    let done = AtomicBool::new(false);
    let reads = AtomicU64::new(0);
    let clock = OsClock::new();
    let seed = seed_from_env("CAIRN_ISOLATION_SEED", 0x150);
    std::thread::scope(|scope| {
        for reader in 0..2 {
            let (collection, done, reads) = (&collection, &done, &reads);
            scope.spawn(move || {
                let mut last = vec![None; GROUPS as usize];
                let mut version = 0;
                let mut how = reader;
                while !done.load(Ordering::Relaxed) {
                    let snapshot = collection.snapshot().unwrap();
                    assert!(snapshot.version() >= version, "versions rise");
                    version = snapshot.version();
                    let seen = rounds(&snapshot, how % 3);
                    // The same snapshot, read another way, is the same.
                    assert_eq!(seen, rounds(&snapshot, (how + 1) % 3), "one version");
                    for (last, seen) in last.iter_mut().zip(seen) {
                        // A group that was deleted comes back with a higher number.
                        assert!(seen.is_none() || *last <= seen, "rounds rise");
                        *last = seen.or(*last);
                    }
                    how += 1;
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let stopped = StopOnDrop(&done);
        let mut rng = Rng::new(seed);
        let mut round = 0;
        while clock.now() < Duration::from_secs(seconds) {
            round += 1;
            let group = rng.below(GROUPS);
            let gone: Vec<KeyBuf> = (0..ROWS).map(|row| group_key(group, row)).collect();
            if rng.chance(0.1) {
                remove(&collection, &gone);
                let snapshot = collection.snapshot().unwrap();
                assert!(!snapshot.has(gone[0].as_key()).unwrap());
            } else {
                let result = put(&collection, &group_rows(group, round));
                let snapshot = collection.snapshot().unwrap();
                assert!(snapshot.version() >= result.version, "one's own write");
                let wanted = keys(KeyType::U64, &gone[..1]);
                let found = snapshot.get(&wanted, &Select::default()).unwrap();
                assert_eq!(round_of(&found[0].as_ref().unwrap().fields), round);
            }
            if rng.chance(0.01) {
                collection.compact(&Job::default()).unwrap();
            }
        }
        drop(stopped);
    });
    let stats = collection.stats().unwrap();
    assert_eq!(stats.last_background_error, None);
    println!("reads={reads:?} version={}", stats.version);
    database.close().unwrap();
}

/// Ends the readers also when the writer fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn readers_beside_a_writer_never_see_half_a_batch() {
    race(&Home::memory(), 3);
}

#[test]
fn nor_do_they_in_a_directory() {
    race(&Home::directory("isolation"), 2);
}

/// Rows of which some are replaced and some removed, so that a pinned version has to differ.
fn churn(collection: &Arc<Collection>, model: &mut Model, round: u64) {
    let rows: Vec<Row> = (0..400)
        .map(|row| {
            let vector = [row as f32, round as f32, -1.0];
            Row::new(number((row * 7 + round * 13) % 997), &vector).with("round", round as i64)
        })
        .collect();
    let upsert = common::batch(collection.schema(), cairn_engine::WriteKind::Upsert, &rows);
    let answer = collection.write(upsert, Default::default());
    model.write(cairn_engine::WriteKind::Upsert, &rows, None, &answer);
    let gone: Vec<Row> = rows.iter().step_by(3).cloned().collect();
    let delete = common::batch(collection.schema(), cairn_engine::WriteKind::Delete, &gone);
    let answer = collection.write(delete, Default::default());
    model.write(cairn_engine::WriteKind::Delete, &gone, None, &answer);
}

#[test]
fn pinned_versions_outlive_flush_compaction_and_deletion() {
    for home in [Home::memory(), Home::directory("pinned")] {
        let database = home.open(small());
        let schema = plain(KeyType::U64, 3, MetricName::L2);
        let collection = database.create_collection("c", schema.clone()).unwrap();
        let mut model = Model::new(&schema);
        let mut pinned = Vec::new();
        for round in 0..20 {
            churn(&collection, &mut model, round);
            pinned.push((collection.snapshot().unwrap(), model.clone()));
            if round % 5 == 4 {
                collection.compact(&Job::default()).unwrap();
            }
        }
        remove(
            &collection,
            &model.records.keys().cloned().collect::<Vec<_>>(),
        );
        collection.compact(&Job::default()).unwrap();
        assert_eq!(collection.snapshot().unwrap().count(), 0);
        for (snapshot, model) in &pinned {
            model.check(snapshot);
            model.check_exact(snapshot, 0, &[3.0, 5.0, 0.0], 40);
        }
        // Files that only snapshots kept alive go with the last of them.
        let segments = |home: &Home| {
            let files = home.files();
            let is_segment = |path: &std::path::Path| path.extension().is_some_and(|e| e == "seg");
            files.iter().filter(|(path, _)| is_segment(path)).count()
        };
        assert!(segments(&home) > 0);
        pinned.clear();
        // The last readers leave that to other threads.
        eventually("their files go", || segments(&home) == 0);
    }
}

#[test]
fn a_scan_walks_the_version_it_began_with() {
    let home = Home::memory();
    let database = home.open(small());
    let schema = plain(KeyType::U64, 3, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    let model = {
        let mut model = Model::new(collection.schema());
        churn(&collection, &mut model, 1);
        model
    };
    let mut scan = collection.snapshot().unwrap().scan(None).unwrap();
    let mut seen = Vec::new();
    let mut round = 2;
    loop {
        let page = scan.next_page(10, &everything()).unwrap();
        if page.is_empty() {
            break;
        }
        seen.extend(page);
        let mut other = Model::new(collection.schema());
        other.records = collection_as_map(&collection);
        churn(&collection, &mut other, round);
        round += 1;
        if round % 10 == 0 {
            collection.compact(&Job::default()).unwrap();
        }
    }
    assert_eq!(seen.len(), model.records.len());
    for (record, (key, stored)) in seen.iter().zip(&model.records) {
        common::model::check_record(key, stored, record);
    }
}

fn collection_as_map(
    collection: &Arc<Collection>,
) -> std::collections::BTreeMap<KeyBuf, common::model::Stored> {
    let mut scan = collection.snapshot().unwrap().scan(None).unwrap();
    let all = scan.next_page(usize::MAX, &everything()).unwrap();
    let stored = |record: cairn_engine::Record| {
        let stored = common::model::Stored {
            version: record.version,
            vectors: record.vectors.unwrap(),
            fields: decode(&record.fields),
        };
        (record.key, stored)
    };
    all.into_iter().map(stored).collect()
}

#[test]
fn a_count_needs_no_fields() {
    let home = Home::memory();
    let database = home.open(small());
    let schema = plain(KeyType::U64, 3, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    put(&collection, &group_rows(1, 1));
    let nothing = Select {
        fields: SelectFields::None,
        vectors: false,
    };
    let mut scan = collection.snapshot().unwrap().scan(None).unwrap();
    let page = scan.next_page(1_000, &nothing).unwrap();
    assert_eq!(page.len() as u64, ROWS);
    assert!(
        page.iter()
            .all(|r| r.fields.is_empty() && r.vectors.is_none())
    );
}

/// A search on the thread that runs a whole program's loop may be the last reader of a segment
/// that was merged away: it must not be the one that unmaps gigabytes and removes the file.
#[test]
fn the_last_reader_of_a_merged_segment_hands_it_to_another_thread() {
    let disk = WatchedDisk::new();
    let home = Home::on(disk.env(2));
    let database = home.open(small());
    let schema = plain(KeyType::U64, 3, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    put(&collection, &group_rows(0, 1));
    collection.compact(&Job::default()).unwrap();
    let snapshot = collection.snapshot().unwrap();
    let scan = snapshot.scan(None).unwrap();
    put(&collection, &group_rows(1, 1));
    collection.compact(&Job::default()).unwrap();
    home.at_rest(&collection);

    let removers = || disk.watch.segment_removers.lock().clone();
    let before = removers().len();
    drop(snapshot);
    assert_eq!(removers().len(), before, "the scan reads it still");
    drop(scan);
    eventually("its file is removed", || removers().len() > before);
    assert!(
        removers()[before].starts_with("cairn-call"),
        "{:?}",
        removers()
    );
}
