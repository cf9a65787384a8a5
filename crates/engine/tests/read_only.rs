//! A database that was opened for reading shows what its writer flushed, refuses every change at once
//! and leaves the directory as it is.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common;

use cairn_engine::{
    Code, Database, Error, Job, KeyType, MetricName, Options, WriteKind, WriteOptions,
};

use common::{Home, Row, batch, number, plain, put};

#[test]
fn a_reader_sees_what_was_flushed_and_refuses_every_change() {
    let schema = plain(KeyType::U64, 2, MetricName::L2);
    for home in [Home::memory(), Home::directory("read-only")] {
        let writer = home.open(Options::default());
        let collection = writer.create_collection("rows", schema.clone()).unwrap();
        let rows: Vec<Row> = (0..100)
            .map(|n| Row::new(number(n), &[n as f32, 0.0]))
            .collect();
        put(&collection, &rows);
        collection.compact(&Job::default()).unwrap();
        let before = home.files();

        let reader =
            Database::open_read_only(home.env.clone(), home.path(), Options::default()).unwrap();
        let read = reader.open_collection("rows").unwrap();
        assert_eq!(read.snapshot().unwrap().count(), 100);
        read.verify().unwrap();
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
            100
        );
        reader.close().unwrap();
        assert_eq!(home.files(), before);
    }
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
