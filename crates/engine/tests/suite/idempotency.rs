//! What is written again under the same idempotency key does nothing and answers as the first time,
//! for as long as the key is remembered; and a key stands for one write.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cairn_engine::{
    Code, Collection, Database, Durability, Error, Fact, Job, KeyType, MetricName, Options, Result,
    Schema, WriteBatch, WriteKind, WriteOptions, WriteResult,
};
use cairn_env::{Access, Clock, Env, Lane};
use cairn_testkit::{SimClock, SimDisk, sim_env};

use crate::common;
#[cfg(feature = "planted-bugs")]
use crate::crash::planted;
use common::{HeldThreads, Home, Row, batch, number, plain, put, removal, small};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn three() -> Schema {
    plain(KeyType::U64, 3, MetricName::L2)
}

fn row(n: u64) -> Row {
    Row::new(number(n), &[n as f32, 1.0, 2.0])
}

fn keyed(key: &str) -> WriteOptions {
    WriteOptions {
        idempotency_key: Some(key.to_owned()),
        ..WriteOptions::default()
    }
}

fn upsert(rows: &[Row]) -> WriteBatch {
    batch(&three(), WriteKind::Upsert, rows)
}

fn write(collection: &Arc<Collection>, key: &str, batch: WriteBatch) -> Result<WriteResult> {
    collection.write(batch, keyed(key))
}

/// A database of one collection.
struct Setup {
    home: Home,
    options: Options,
    clock: SimClock,
    database: Arc<Database>,
    collection: Arc<Collection>,
}

impl Setup {
    fn new(options: Options) -> Self {
        let clock = SimClock::new();
        let env = Env {
            clock: Arc::new(clock.clone()),
            ..sim_env(&SimDisk::new())
        };
        let home = Home::on(env);
        let database = home.open(options.clone());
        Self {
            collection: database.create_collection("c", three()).unwrap(),
            home,
            options,
            clock,
            database,
        }
    }

    fn reopen(&mut self) {
        self.database.close().unwrap();
        self.database = self.home.open(self.options.clone());
        self.collection = self.database.open_collection("c").unwrap();
    }

    /// Files of outcomes.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let is_one = |path: &Path| path.extension().is_some_and(|it| it == "idm");
        let files = self.home.files().into_iter();
        files.filter(|(path, _)| is_one(path)).collect()
    }
}

#[test]
fn every_kind_of_write_answers_as_the_first_time_and_does_nothing() {
    let mut setup = Setup::new(small());
    put(&setup.collection, &[row(0), row(1), row(2), row(3)]);
    let update = |missing: bool| WriteKind::Update {
        replace_fields: false,
        skip_missing: missing,
    };
    let schema = three();
    let writes: Vec<(&str, WriteBatch)> = vec![
        ("add", batch(&schema, WriteKind::Add, &[row(9)])),
        ("upsert", upsert(&[row(1), row(10)])),
        (
            "update",
            batch(&schema, update(true), &[row(2), row(99).with("x", "y")]),
        ),
        ("delete", removal(&schema, &[number(3), number(77)])),
        ("nothing", removal(&schema, &[number(78)])),
        ("empty", upsert(&[])),
    ];
    let first: Vec<WriteResult> = writes
        .iter()
        .map(|(key, batch)| write(&setup.collection, key, batch.clone()).unwrap())
        .collect();
    let counts = |r: &WriteResult| (r.inserted, r.updated, r.deleted, r.skipped);
    let expected = [
        (1, 0, 0, 0),
        (1, 1, 0, 0),
        (0, 1, 0, 1),
        (0, 0, 1, 1),
        (0, 0, 0, 1),
        (0, 0, 0, 0),
    ];
    assert_eq!(first.iter().map(counts).collect::<Vec<_>>(), expected);
    // What was not there when it was deleted comes now, and must not go again.
    put(&setup.collection, &[row(78), row(77)]);
    for how in [
        "at once",
        "reopened",
        "flushed",
        "reopened",
        "compacted",
        "reopened",
    ] {
        match how {
            "reopened" => setup.reopen(),
            "compacted" => setup.collection.compact(&Job::default()).unwrap(),
            "flushed" => {
                let memory = WriteOptions {
                    durability: Some(Durability::Memory),
                    ..WriteOptions::default()
                };
                setup.collection.write(upsert(&[row(0)]), memory).unwrap();
                setup.collection.commit().unwrap();
                assert_eq!(setup.files().len(), 1, "the log may go");
            }
            _ => {}
        }
        let newest = setup.collection.stats().unwrap().version;
        for ((key, batch), first) in writes.iter().zip(&first) {
            let again = write(&setup.collection, key, batch.clone()).unwrap();
            assert_eq!(again, *first, "{key} {how}");
        }
        let stats = setup.collection.stats().unwrap();
        assert_eq!((stats.version, stats.count), (newest, 7), "{how}");
    }
}

#[test]
fn a_key_stands_for_one_write() {
    let setup = Setup::new(Options::default());
    let with = |x: f32| Row::new(number(1), &[x, 1.0, 2.0]).with("a", 1_i64);
    let first = write(&setup.collection, "k", upsert(&[with(1.0)])).unwrap();
    let schema = three();
    let other_fields = Row::new(number(1), &[1.0, 1.0, 2.0]).with("a", 2_i64);
    let other_key = Row::new(number(2), &[1.0, 1.0, 2.0]).with("a", 1_i64);
    let others = [
        batch(&schema, WriteKind::Add, &[with(1.0)]),
        batch(&schema, common::UPDATE, &[with(1.0)]),
        upsert(&[with(1.5)]),
        upsert(&[other_fields]),
        upsert(&[other_key]),
        upsert(&[with(1.0), with(1.0)]),
        upsert(&[Row::new(number(1), &[1.0, 1.0, 2.0])]),
        upsert(&[]),
        removal(&schema, &[number(1)]),
    ];
    for (n, other) in others.into_iter().enumerate() {
        let error = write(&setup.collection, "k", other).unwrap_err();
        assert_eq!(error.code(), Code::Conflict, "{n}");
        assert!(!error.retryable(), "{n}");
        let details = error.details();
        assert!(details.contains(&("idempotencyKey", Fact::Text("k".into()))));
        assert!(details.contains(&("version", Fact::Number(first.version))));
    }
    assert_eq!(setup.collection.stats().unwrap().version, first.version);
    // How it is asked for is no part of it: that it holds no more is what the first one did.
    let options = WriteOptions {
        if_version: Some(0),
        durability: Some(Durability::Memory),
        ..keyed("k")
    };
    let again = setup.collection.write(upsert(&[with(1.0)]), options);
    assert_eq!(again.unwrap(), first);
}

#[test]
fn another_collection_has_keys_of_its_own() {
    let setup = Setup::new(Options::default());
    let other = setup.database.create_collection("d", three()).unwrap();
    let first = write(&setup.collection, "k", upsert(&[row(1)])).unwrap();
    let second = write(&other, "k", upsert(&[row(2)])).unwrap();
    assert!(second.version > first.version);
}

#[test]
fn a_write_that_failed_is_not_remembered() {
    let setup = Setup::new(Options::default());
    put(&setup.collection, &[row(1)]);
    let add = |n| batch(&three(), WriteKind::Add, &[row(n)]);
    for _ in 0..2 {
        let error = write(&setup.collection, "k", add(1)).unwrap_err();
        assert_eq!(error.code(), Code::AlreadyExists);
    }
    assert_eq!(write(&setup.collection, "k", add(2)).unwrap().inserted, 1);
}

#[test]
fn a_key_has_1_to_128_bytes() {
    let setup = Setup::new(Options::default());
    let long = "\u{e9}".repeat(64);
    for key in ["x", &long, "\u{1f600}", "a\0b"] {
        let first = write(&setup.collection, key, upsert(&[row(1)])).unwrap();
        let again = write(&setup.collection, key, upsert(&[row(1)])).unwrap();
        assert_eq!(again, first, "{key:?}");
    }
    let refused = |key: &str| write(&setup.collection, key, upsert(&[row(1)])).unwrap_err();
    assert_eq!(refused("").code(), Code::InvalidArgument);
    assert_eq!(refused(&"x".repeat(129)).code(), Code::LimitExceeded);
}

#[test]
fn repetitions_in_one_group_share_one_frame_and_one_answer() {
    let threads = HeldThreads::of(Lane::Commit);
    let env = Env {
        threads: threads.shared(),
        ..sim_env(&SimDisk::new())
    };
    let home = Home::on(env);
    let database = home.open(Options::default());
    let collection = database.create_collection("c", three()).unwrap();
    let answers: Arc<Mutex<Vec<Result<WriteResult, Code>>>> = Arc::default();
    let submit = |batch: WriteBatch| {
        let answers = Arc::clone(&answers);
        let done = move |result: Result<WriteResult>| {
            let answer = result.map_err(|error: Error| error.code());
            answers.lock().unwrap().push(answer);
        };
        collection.submit(batch, keyed("k"), Box::new(done));
    };
    submit(upsert(&[row(1)]));
    submit(upsert(&[row(2)]));
    submit(upsert(&[row(1)]));
    threads.run_held();
    let mut answers = answers.lock().unwrap().clone();
    let conflicts = answers.iter().filter(|it| **it == Err(Code::Conflict));
    assert_eq!(conflicts.count(), 1);
    answers.retain(|answer| answer.is_ok());
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0], answers[1]);
    let stats = collection.stats().unwrap();
    assert_eq!((stats.count, stats.memtable_rows), (1, 1));
}

#[test]
fn a_key_is_remembered_for_the_window_and_no_longer() {
    let mut setup = Setup::new(Options {
        idempotency_window: DAY,
        ..small()
    });
    let write = |setup: &Setup, key| write(&setup.collection, key, upsert(&[row(1)])).unwrap();
    let first = write(&setup, "k");
    setup.clock.advance(DAY - Duration::from_millis(1));
    assert_eq!(write(&setup, "k"), first);
    setup.clock.advance(Duration::from_millis(1));
    let second = write(&setup, "k");
    assert!(second.version > first.version, "it was forgotten");
    assert_eq!(write(&setup, "k"), second, "and is remembered anew");

    // So it is when the database was closed meanwhile, whether a log or a file remembers.
    setup.clock.advance(DAY / 2);
    setup.reopen();
    assert_eq!(write(&setup, "k"), second);
    setup.collection.compact(&Job::default()).unwrap();
    assert_eq!(setup.files().len(), 1);
    setup.reopen();
    assert_eq!(write(&setup, "k"), second);
    setup.clock.advance(DAY / 2);
    setup.reopen();
    put(&setup.collection, &[row(5)]);
    setup.collection.compact(&Job::default()).unwrap();
    assert!(setup.files().is_empty(), "nothing is left to remember");
    let third = write(&setup, "k");
    assert!(third.version > second.version);
    setup.collection.compact(&Job::default()).unwrap();
    assert_eq!(setup.files().len(), 1);
    setup.reopen();
    assert_eq!(write(&setup, "k"), third);
}

#[test]
fn no_jump_of_the_wall_clock_makes_an_open_database_forget() {
    let setup = Setup::new(small());
    let write = |key| write(&setup.collection, key, upsert(&[row(1)])).unwrap();
    let now = setup.clock.unix_ms();
    let ms = |days: u64| days * DAY.as_millis() as u64;
    let first = write("a");
    setup.clock.set_unix_ms(now + ms(400));
    let second = write("b");
    assert_eq!(write("a"), first, "a leap forwards");
    setup.clock.set_unix_ms(now - ms(400));
    let third = write("c");
    assert_eq!((write("a"), write("b")), (first, second), "and back");
    setup.clock.advance(DAY - Duration::from_millis(1));
    assert_eq!((write("a"), write("b"), write("c")), (first, second, third));
    setup.clock.advance(Duration::from_millis(1));
    assert!(write("a").version > third.version, "a day is a day");
}

#[test]
fn a_clock_that_was_set_back_before_the_open_keeps_keys_longer() {
    let mut setup = Setup::new(small());
    let write = |setup: &Setup, key| write(&setup.collection, key, upsert(&[row(1)])).unwrap();
    let first = write(&setup, "k");
    setup
        .clock
        .set_unix_ms(setup.clock.unix_ms() - 10 * DAY.as_millis() as u64);
    setup.reopen();
    assert_eq!(write(&setup, "k"), first);
    setup.clock.advance(DAY - Duration::from_millis(1));
    assert_eq!(write(&setup, "k"), first);
    setup.clock.advance(Duration::from_millis(1));
    assert!(
        write(&setup, "k").version > first.version,
        "a day of being open"
    );
}

#[test]
fn beyond_100_000_keys_the_oldest_are_forgotten() {
    const MOST: u64 = 100_000;
    let mut setup = Setup::new(Options::default());
    let write = |setup: &Setup, n: u64| {
        let options = WriteOptions {
            durability: Some(Durability::Memory),
            ..keyed(&format!("key {n}"))
        };
        setup
            .collection
            .write(removal(&three(), &[number(n)]), options)
            .unwrap()
    };
    let versions: Vec<u64> = (0..=MOST).map(|n| write(&setup, n).version).collect();
    for round in 0..2 {
        for n in [1, 2, MOST / 2, MOST] {
            assert_eq!(
                write(&setup, n).version,
                versions[n as usize],
                "round {round}"
            );
        }
        // All that memory alone had is flushed, and read back.
        setup.reopen();
        let bytes: usize = setup.files().iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(
            bytes as u64 > MOST * 50 && (bytes as u64) < MOST * 70,
            "{bytes}"
        );
    }
    assert!(
        write(&setup, 0).version > versions[MOST as usize],
        "the oldest"
    );
    assert!(
        write(&setup, 1).version > versions[MOST as usize],
        "the next"
    );
}

#[test]
fn the_file_is_written_when_keys_came_and_stays_when_none_did() {
    let setup = Setup::new(small());
    put(&setup.collection, &[row(1)]);
    setup.collection.compact(&Job::default()).unwrap();
    assert!(setup.files().is_empty(), "no keys, no file");
    write(&setup.collection, "a", upsert(&[row(2)])).unwrap();
    setup.collection.compact(&Job::default()).unwrap();
    let one = setup.files();
    assert_eq!(one.len(), 1);
    put(&setup.collection, &[row(3)]);
    setup.collection.compact(&Job::default()).unwrap();
    assert_eq!(setup.files(), one, "as it was");
    write(&setup.collection, "b", upsert(&[row(4)])).unwrap();
    setup.collection.compact(&Job::default()).unwrap();
    let two = setup.files();
    assert_eq!(two.len(), 1, "one takes the place of the other");
    assert_ne!(two[0].0, one[0].0);
}

#[test]
fn no_bit_of_a_file_of_outcomes_turns_unnoticed() {
    let mut setup = Setup::new(small());
    for n in 0..5 {
        write(&setup.collection, &format!("key {n}"), upsert(&[row(n)])).unwrap();
    }
    setup.collection.compact(&Job::default()).unwrap();
    let (path, bytes) = setup.files().remove(0);
    for at in 0..bytes.len() {
        setup.database.close().unwrap();
        let disk = &setup.home.env.disk;
        let file = disk.open(&path, Access::Write).unwrap();
        file.write_at(at as u64, &[bytes[at] ^ 0x10]).unwrap();
        setup.database = setup.home.open(small());
        match setup.database.open_collection("c") {
            Err(error) => {
                let known = [Code::Corrupt, Code::UnsupportedFormat];
                assert!(known.contains(&error.code()), "byte {at}: {error}");
                let name = path.display().to_string();
                assert!(error.details().contains(&("file", Fact::Text(name))));
            }
            // Bytes between sections hold nothing.
            Ok(collection) => {
                assert_eq!(bytes[at], 0, "byte {at}");
                for n in 0..5 {
                    let again = write(&collection, &format!("key {n}"), upsert(&[row(n)]));
                    assert_eq!(again.unwrap().inserted, 1, "byte {at}");
                }
            }
        }
        file.write_at(at as u64, &bytes[at..=at]).unwrap();
    }
    setup.reopen();
    let missing = setup.home.env.disk.remove_file(&path);
    missing.unwrap();
    setup.database.close().unwrap();
    let database = setup.home.open(small());
    let error = database.open_collection("c").map(drop).unwrap_err();
    assert_eq!(error.code(), Code::Corrupt, "{error}");
}

#[cfg(feature = "planted-bugs")]
#[test]
fn planted_bugs_are_found() {
    planted::expect_all_found(module_path!());
}
