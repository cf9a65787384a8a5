//! A database that was opened for reading shows what its writer made durable, refuses every change at
//! once and leaves the directory as it is.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::path::PathBuf;
use std::sync::Arc;

use cairn_engine::{
    Code, Database, Durability, Error, Job, KeyType, MetricName, Options, ProblemKind, WriteKind,
    WriteOptions,
};
use cairn_testkit::{SimDisk, sim_env};

use crate::common;
use common::{Home, Row, batch, number, plain, put};

#[test]
fn a_reader_sees_what_is_durable_and_refuses_every_change() {
    let schema = plain(KeyType::U64, 2, MetricName::L2);
    for home in [Home::memory(), Home::directory("read-only")] {
        let writer = home.open(Options::default());
        let collection = writer.create_collection("rows", schema.clone()).unwrap();
        let rows: Vec<Row> = (0..100)
            .map(|n| Row::new(number(n), &[n as f32, 0.0]))
            .collect();
        put(&collection, &rows);
        collection.compact(&Job::default()).unwrap();
        let more: Vec<Row> = (50..120)
            .map(|n| Row::new(number(n), &[0.0, 1.0]))
            .collect();
        put(&collection, &more);
        let before = home.files();

        let reader =
            Database::open_read_only(home.env.clone(), home.path(), Options::default()).unwrap();
        let read = reader.open_collection("rows").unwrap();
        assert_eq!(read.snapshot().unwrap().count(), 120);
        // What is another's to write is not checked, and that is told.
        for report in [read.verify(&Job::default()), reader.verify(&Job::default())] {
            let report = report.unwrap();
            let notes: Vec<_> = report.notes.iter().map(|note| note.kind.as_str()).collect();
            assert_eq!((report.problems, notes), (vec![], vec!["unchecked"]));
        }
        let refused = |result: Result<(), Error>| {
            assert_eq!(result.unwrap_err().code(), Code::ReadOnly);
        };
        refused(reader.create_collection("more", schema.clone()).map(drop));
        refused(reader.collection("more", Some(schema.clone())).map(drop));
        refused(reader.drop_collection("rows"));
        refused(reader.rename_collection("rows", "others"));
        refused(reader.commit().map(drop));
        refused(reader.compact(&Job::default()));
        let more = batch(&schema, WriteKind::Upsert, &rows[..1]);
        refused(read.write(more, WriteOptions::default()).map(drop));
        assert_eq!(
            reader
                .collection("rows", None)
                .unwrap()
                .snapshot()
                .unwrap()
                .count(),
            120
        );
        let other = plain(KeyType::U64, 3, MetricName::L2);
        let mismatch = reader.collection("rows", Some(other)).err().unwrap();
        assert_eq!(mismatch.code(), Code::SchemaMismatch);
        reader.collection("rows", Some(schema.clone())).unwrap();
        reader.refresh().unwrap();
        reader.close().unwrap();
        assert_eq!(home.files(), before);
        refused_after_close(&reader);
    }
}

/// Records that the log alone has are checked by nobody but the writer: the report has their number.
#[test]
fn a_check_beside_a_writer_says_what_it_has_not_looked_at() {
    let home = Home::on(sim_env(&SimDisk::new()));
    let writer = home.open(Options::default());
    let schema = plain(KeyType::U64, 2, MetricName::L2);
    let rows = writer.create_collection("rows", schema).unwrap();
    let some = |keys: std::ops::Range<u64>| -> Vec<Row> {
        let row = |n| Row::new(number(n), &[n as f32, 1.0]);
        keys.map(row).collect()
    };
    put(&rows, &some(0..6));
    put(&rows, &some(4..8));
    common::remove(&rows, &[number(0)]);
    let reader = open(&home, Options::default());
    let check = || {
        reader.refresh().unwrap();
        let report = reader.verify(&Job::default()).unwrap();
        assert_eq!((report.problems, report.notes.len()), (vec![], 1));
        let note = &report.notes[0];
        assert_eq!(note.kind, ProblemKind::Unchecked);
        (report.files, note.records, note.what.clone())
    };
    let (files, records, what) = check();
    assert_eq!((files, records), (0, Some(7)), "{what}");
    assert!(what.contains("segments checked: 0;"), "{what}");
    assert!(what.ends_with("7 records are in the log alone"), "{what}");

    rows.compact(&Job::default()).unwrap();
    let (files, records, what) = check();
    assert_eq!((files, records), (1, Some(0)), "{what}");
    assert!(what.contains("segments checked: 1;"), "{what}");
    put(&rows, &some(7..10));
    let (files, records, what) = check();
    assert_eq!((files, records), (1, Some(3)), "{what}");
    // Who writes checks the log, too.
    let report = writer.verify(&Job::default()).unwrap();
    assert_eq!((report.problems, report.notes), (vec![], vec![]));
    assert!(report.files >= 4, "{}", report.files);
}

fn refused_after_close(reader: &Database) {
    assert_eq!(reader.refresh().unwrap_err().code(), Code::Closed);
    assert_eq!(reader.commit().unwrap_err().code(), Code::Closed);
}

#[test]
fn without_a_collection_every_change_is_refused_too() {
    let home = Home::memory();
    let writer = home.open(Options::default());
    let reader = open(&home, Options::default());
    assert_eq!(reader.commit().unwrap_err().code(), Code::ReadOnly);
    let compacted = reader.compact(&Job::default());
    assert_eq!(compacted.unwrap_err().code(), Code::ReadOnly);
    writer.close().unwrap();
}

fn open(home: &Home, options: Options) -> Arc<Database> {
    Database::open_read_only(home.env.clone(), home.path(), options).unwrap()
}

#[test]
fn a_reader_shows_more_when_it_is_refreshed_and_only_then() {
    let home = Home::directory("refresh");
    let writer = home.open(Options::default());
    let schema = plain(KeyType::U64, 2, MetricName::L2);
    let rows = writer.create_collection("rows", schema.clone()).unwrap();
    put(&rows, &[Row::new(number(1), &[1.0, 0.0])]);
    let reader = open(&home, Options::default());
    let read = reader.open_collection("rows").unwrap();
    let first = read.snapshot().unwrap();

    let second = put(&rows, &[Row::new(number(2), &[2.0, 0.0])]);
    common::remove(&rows, &[number(1)]);
    writer.create_collection("more", schema).unwrap();
    writer.rename_collection("rows", "renamed").unwrap();
    assert_eq!(read.snapshot().unwrap().count(), 1);
    assert_eq!(reader.refresh().unwrap(), second.version + 1);
    assert_eq!(read.snapshot().unwrap().version(), second.version + 1);
    assert!(read.snapshot().unwrap().has(number(2).as_key()).unwrap());
    assert!(!read.snapshot().unwrap().has(number(1).as_key()).unwrap());
    assert!(first.has(number(1).as_key()).unwrap(), "it was pinned");
    assert_eq!(read.name(), "renamed");
    let names: Vec<_> = reader.collections().unwrap();
    let names: Vec<_> = names.into_iter().map(|info| info.name).collect();
    assert_eq!(names, ["more", "renamed"]);

    rows.compact(&Job::default()).unwrap();
    reader.refresh().unwrap();
    assert_eq!(read.stats().unwrap().segments.len(), 1);
    assert!(first.has(number(1).as_key()).unwrap(), "it is pinned still");
    // Where this process writes, all is seen already.
    assert_eq!(writer.refresh().unwrap(), second.version + 1);
    writer.drop_collection("renamed").unwrap();
    reader.refresh().unwrap();
    assert_eq!(read.snapshot().err().unwrap().code(), Code::Closed);
    assert_eq!(reader.verify(&Job::default()).unwrap().problems, []);
}

#[test]
fn writes_to_memory_alone_are_seen_once_they_are_committed() {
    let home = Home::memory();
    let writer = home.open(Options::default());
    let schema = plain(KeyType::U64, 2, MetricName::L2);
    let rows = writer.create_collection("rows", schema.clone()).unwrap();
    let reader = open(&home, Options::default());
    let read = reader.open_collection("rows").unwrap();
    let count = || {
        reader.refresh().unwrap();
        read.snapshot().unwrap().count()
    };
    for (key, durability) in [(1, Durability::Memory), (2, Durability::Os)] {
        let row = [Row::new(number(key), &[1.0, 0.0])];
        let options = WriteOptions {
            durability: Some(durability),
            ..WriteOptions::default()
        };
        let upsert = batch(&schema, WriteKind::Upsert, &row);
        rows.write(upsert, options).unwrap();
        assert_eq!(count(), key - 1, "{durability:?}");
        rows.commit().unwrap();
        assert_eq!(count(), key, "{durability:?}");
    }
}

#[test]
fn a_reader_starts_another_memtable_when_one_is_full() {
    let home = Home::memory();
    let writer = home.open(Options::default());
    let schema = plain(KeyType::U64, 64, MetricName::L2);
    let rows = writer.create_collection("rows", schema).unwrap();
    let reader = open(&home, common::small());
    let read = reader.open_collection("rows").unwrap();
    for batch in 0..8 {
        let row = |n: u64| Row::new(number(batch * 90 + n), &[n as f32; 64]);
        let batch: Vec<Row> = (0..100).map(row).collect();
        put(&rows, &batch);
        reader.refresh().unwrap();
        assert_eq!(
            read.snapshot().unwrap().count(),
            rows.snapshot().unwrap().count()
        );
    }
    assert_eq!(rows.stats().unwrap().frozen_memtables, 0);
    assert!(read.stats().unwrap().frozen_memtables >= 2);
}

#[test]
fn damage_is_reported_and_what_was_seen_stays() {
    let home = Home::directory("refresh-damage");
    let writer = home.open(Options::default());
    let schema = plain(KeyType::U64, 2, MetricName::L2);
    let rows = writer.create_collection("rows", schema.clone()).unwrap();
    let sound = writer.create_collection("sound", schema).unwrap();
    put(&rows, &[Row::new(number(1), &[1.0, 0.0])]);
    let reader = open(&home, Options::default());
    let read = reader.open_collection("rows").unwrap();
    rows.compact(&Job::default()).unwrap();
    put(&sound, &[Row::new(number(1), &[1.0, 0.0])]);
    // The new segment loses its file behind the writer's back.
    let files = home.files();
    let is_segment = |(path, _): &&(PathBuf, Vec<u8>)| path.extension().is_some_and(|e| e == "seg");
    let (segment, bytes) = files.iter().find(is_segment).unwrap();
    home.env.disk.remove_file(segment).unwrap();
    for _ in 0..2 {
        let error = reader.refresh().unwrap_err();
        assert_eq!(error.code(), Code::Corrupt);
        assert!(error.to_string().contains(".seg"), "{error}");
        assert!(read.stats().unwrap().last_background_error.is_some());
        assert_eq!(read.snapshot().unwrap().count(), 1);
        let other = reader.open_collection("sound").unwrap();
        assert_eq!(other.snapshot().unwrap().count(), 1, "the others go on");
    }
    let file = home.env.disk.create(segment).unwrap();
    file.write_at(0, bytes).unwrap();
    reader.refresh().unwrap();
    assert_eq!(read.stats().unwrap().last_background_error, None);
    assert_eq!(read.stats().unwrap().segments.len(), 1);
}

#[test]
fn where_no_database_is_nothing_is_opened_or_made() {
    let home = Home::directory("no-database");
    let opened = || Database::open_read_only(home.env.clone(), home.path(), Options::default());
    assert_eq!(opened().err().unwrap().code(), Code::NotFound);
    home.env.disk.create_dir(home.path()).unwrap();
    assert_eq!(opened().err().unwrap().code(), Code::NotFound);
    assert_eq!(home.files(), []);
}
