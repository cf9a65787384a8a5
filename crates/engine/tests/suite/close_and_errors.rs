//! The ends of a database's life: closed once, twice, at the same time, by dropping it, or never
//! opened at all; each answer by its code.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cairn_engine::{
    Code, Database, Durability, Error, Fact, Job, Key, KeyType, MetricName, Options, SearchRequest,
    Stop, WriteKind, WriteOptions,
};
use cairn_env::{Clock, OsClock};

use crate::common;
#[cfg(feature = "planted-bugs")]
use crate::crash::planted;
use common::{Home, Row, batch, everything, keys, number, plain, put, small};

fn open(home: &Home, options: Options) -> Result<Arc<Database>, Error> {
    Database::open(home.env.clone(), home.path(), options)
}

fn code<T>(result: Result<T, Error>) -> Option<Code> {
    result.err().map(|error| error.code())
}

fn row(n: u64) -> Row {
    Row::new(number(n), &[n as f32, 1.0])
}

#[test]
fn after_close_everything_answers_closed() {
    for home in [Home::memory(), Home::directory("closed")] {
        let database = home.open(small());
        let schema = plain(KeyType::U64, 2, MetricName::L2);
        let collection = database.create_collection("c", schema.clone()).unwrap();
        put(&collection, &[row(1), row(2)]);
        let snapshot = collection.snapshot().unwrap();
        let mut scan = snapshot.scan(None).unwrap();
        database.close().unwrap();
        database.close().unwrap();

        let closed = Some(Code::Closed);
        let upsert = || batch(&schema, WriteKind::Upsert, &[row(3)]);
        let job = Job::default();
        let query = [0.0, 0.0];
        assert_eq!(code(database.open_collection("c")), closed);
        assert_eq!(code(database.collection("c", Some(schema.clone()))), closed);
        assert_eq!(
            code(database.create_collection("d", schema.clone())),
            closed
        );
        assert_eq!(code(database.drop_collection("c")), closed);
        assert_eq!(code(database.rename_collection("c", "d")), closed);
        assert_eq!(code(database.collections()), closed);
        assert_eq!(code(database.commit()), closed);
        assert_eq!(code(database.compact(&job)), closed);
        assert_eq!(code(database.verify(&Job::default()).map(drop)), closed);
        assert_eq!(code(database.stats()), closed);
        assert_eq!(
            code(collection.write(upsert(), WriteOptions::default())),
            closed
        );
        assert_eq!(code(collection.snapshot()), closed);
        assert_eq!(code(collection.commit()), closed);
        assert_eq!(code(collection.compact(&job)), closed);
        assert_eq!(code(collection.stats()), closed);
        assert_eq!(code(collection.verify(&Job::default()).map(drop)), closed);
        let request = SearchRequest::new(&query, 1);
        let never = Stop::never();
        assert_eq!(code(snapshot.search(&request, &never)), closed);
        assert_eq!(
            code(snapshot.search_batch(&query, &request, &never)),
            closed
        );
        assert_eq!(code(snapshot.has(Key::U64(1))), closed);
        let wanted = keys(KeyType::U64, &[number(1)]);
        assert_eq!(code(snapshot.get(&wanted, &everything())), closed);
        assert_eq!(code(snapshot.scan(None)), closed);
        assert_eq!(code(scan.next_page(1, &everything())), closed);
        // What it is called and how it is built can still be told.
        assert_eq!(collection.name(), "c");
        assert_eq!((snapshot.count(), snapshot.schema()), (2, &schema));
        let (sender, receiver) = std::sync::mpsc::channel();
        let done = move |result| sender.send(code(result)).unwrap();
        collection.submit(upsert(), WriteOptions::default(), Box::new(done));
        assert_eq!(receiver.recv().unwrap(), closed);
    }
}

/// The database is open: it is the collection that is gone, and by which name.
#[test]
fn handles_of_a_dropped_collection_say_that_it_was_dropped() {
    for home in [Home::memory(), Home::directory("dropped-handles")] {
        let database = home.open(small());
        let schema = plain(KeyType::U64, 2, MetricName::L2);
        let collection = database.create_collection("c", schema.clone()).unwrap();
        put(&collection, &[row(1), row(2)]);
        let reader = Database::open_read_only(home.env.clone(), home.path(), small()).unwrap();
        let read = reader.open_collection("c").unwrap();
        database.rename_collection("c", "renamed").unwrap();
        reader.refresh().unwrap();
        let snapshot = collection.snapshot().unwrap();
        let mut scan = snapshot.scan(None).unwrap();
        database.drop_collection("renamed").unwrap();

        let told = |result: Result<(), Error>| {
            let error = result.unwrap_err();
            assert_eq!(error.code(), Code::Closed, "{error}");
            assert_eq!(error.message(), "the collection was dropped");
            assert_eq!(error.details(), [("name", Fact::Text("renamed".into()))]);
            assert!(!error.retryable());
        };
        let upsert = || batch(&schema, WriteKind::Upsert, &[row(3)]);
        let (job, never) = (Job::default(), Stop::never());
        told(
            collection
                .write(upsert(), WriteOptions::default())
                .map(drop),
        );
        told(collection.snapshot().map(drop));
        told(collection.commit().map(drop));
        told(collection.compact(&job));
        told(collection.stats().map(drop));
        told(collection.verify(&job).map(drop));
        let change = cairn_engine::Alteration::default();
        told(database.alter(&collection, &change, &never));
        let query = [0.0, 0.0];
        let request = SearchRequest::new(&query, 1);
        told(snapshot.search(&request, &never).map(drop));
        told(snapshot.has(Key::U64(1)).map(drop));
        let wanted = keys(KeyType::U64, &[number(1)]);
        told(snapshot.get(&wanted, &everything()).map(drop));
        told(scan.next_page(1, &everything()).map(drop));
        let (sender, receiver) = std::sync::mpsc::channel();
        let done = move |result: Result<_, Error>| sender.send(result.map(drop)).unwrap();
        collection.submit(upsert(), WriteOptions::default(), Box::new(done));
        told(receiver.recv().unwrap());

        // A reader learns of it with its next look.
        assert_eq!(read.snapshot().unwrap().count(), 2);
        reader.refresh().unwrap();
        told(read.snapshot().map(drop));
        told(read.stats().map(drop));
        // Another one of this name is another one, and the database being closed changes nothing.
        let another = database.create_collection("renamed", schema).unwrap();
        put(&another, &[row(5)]);
        told(collection.snapshot().map(drop));
        database.close().unwrap();
        told(collection.snapshot().map(drop));
        let error = another.snapshot().map(drop).unwrap_err();
        assert_eq!(error.message(), "the database is closed");
    }
}

/// Writes that wait while a collection is dropped under them hear of that, and not of a log that failed.
#[test]
fn writes_beside_a_drop_say_that_it_was_dropped() {
    let home = Home::memory();
    let database = home.open(small());
    let schema = plain(KeyType::U64, 2, MetricName::L2);
    for round in 0..40 {
        let name = format!("c{round}");
        let collection = database.create_collection(&name, schema.clone()).unwrap();
        std::thread::scope(|scope| {
            for writer in 0..3 {
                let (collection, schema, name) = (&collection, &schema, &name);
                scope.spawn(move || {
                    for n in 0.. {
                        let upsert =
                            batch(schema, WriteKind::Upsert, &[row(writer * 1_000_000 + n)]);
                        if let Err(error) = collection.write(upsert, WriteOptions::default()) {
                            assert_eq!(error.message(), "the collection was dropped", "{error}");
                            assert_eq!(error.details(), [("name", Fact::Text(name.clone()))]);
                            return;
                        }
                    }
                });
            }
            database.drop_collection(&name).unwrap();
        });
    }
}

#[test]
fn many_closers_at_once_all_find_it_closed() {
    let home = Home::directory("closers");
    for round in 0..5 {
        let database = home.open(small());
        let schema = plain(KeyType::U64, 2, MetricName::L2);
        let collection = database.collection("c", Some(schema)).unwrap();
        std::thread::scope(|scope| {
            for n in 0..4 {
                let collection = &collection;
                scope.spawn(move || {
                    for m in 0.. {
                        let key = (round * 4 + n) * 1_000_000 + m;
                        let upsert = batch(collection.schema(), WriteKind::Upsert, &[row(key)]);
                        match collection.write(upsert, WriteOptions::default()) {
                            Ok(_) => {}
                            Err(error) => {
                                assert_eq!(error.code(), Code::Closed);
                                return m;
                            }
                        }
                    }
                    0
                });
            }
            OsClock::new().sleep(Duration::from_millis(30));
            for _ in 0..3 {
                scope.spawn(|| {
                    database.close().unwrap();
                    // Whoever comes back from `close()` finds the directory free.
                    drop(open(&home, small()));
                });
            }
        });
        assert_eq!(code(collection.stats()), Some(Code::Closed));
    }
}

#[test]
fn every_acknowledged_write_of_a_closed_database_is_there() {
    let home = Home::directory("acknowledged");
    let mut expected = 0;
    for round in 0..4 {
        let database = home.open(small());
        let schema = plain(KeyType::U64, 2, MetricName::L2);
        let collection = database.collection("c", Some(schema)).unwrap();
        assert_eq!(collection.snapshot().unwrap().count(), expected);
        let written: u64 = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..3)
                .map(|n| {
                    let collection = &collection;
                    scope.spawn(move || {
                        let mut written = 0;
                        loop {
                            let key = (round * 3 + n) * 1_000_000 + written;
                            let upsert = batch(collection.schema(), WriteKind::Add, &[row(key)]);
                            if collection.write(upsert, WriteOptions::default()).is_err() {
                                return written;
                            }
                            written += 1;
                        }
                    })
                })
                .collect();
            OsClock::new().sleep(Duration::from_millis(100));
            database.close().unwrap();
            writers.into_iter().map(|w| w.join().unwrap()).sum()
        });
        assert!(written > 0);
        expected += written;
    }
    let database = home.open(small());
    let collection = database.open_collection("c").unwrap();
    assert_eq!(collection.snapshot().unwrap().count(), expected);
}

#[test]
fn dropping_the_last_handle_closes() {
    let home = Home::directory("dropped");
    let schema = plain(KeyType::U64, 2, MetricName::L2);
    let database = home.open(small());
    let collection = database.create_collection("c", schema).unwrap();
    put(&collection, &[row(1)]);
    drop(database);
    // The collection's handle outlives the database, and is closed with it.
    assert_eq!(code(collection.stats()), Some(Code::Closed));
    let database = home.open(small());
    let collection = database.open_collection("c").unwrap();
    assert_eq!(collection.snapshot().unwrap().count(), 1);
}

#[test]
fn a_second_writer_is_told_who_has_the_directory() {
    for home in [Home::memory(), Home::directory("locked")] {
        let options = Options {
            host: "the first machine".into(),
            pid: 4_242,
            ..small()
        };
        let database = home.open(options);
        let error = open(&home, small()).map(drop).unwrap_err();
        assert_eq!(error.code(), Code::Locked);
        assert!(error.retryable());
        let details = error.details();
        assert!(details.contains(&("pid", Fact::Number(4_242))), "{error}");
        let host = Fact::Text("the first machine".into());
        assert!(details.contains(&("host", host)), "{error}");
        database.close().unwrap();
        open(&home, small()).unwrap();
    }
}

#[test]
fn a_writer_waits_for_the_lock_as_long_as_it_was_told() {
    let home = Home::directory("waits");
    let database = home.open(small());
    let clock = OsClock::new();
    let patient = |ms| Options {
        lock_timeout: Duration::from_millis(ms),
        ..small()
    };
    let error = open(&home, patient(150)).map(drop).unwrap_err();
    assert_eq!(error.code(), Code::Locked);
    assert!(clock.now() >= Duration::from_millis(150));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| open(&home, patient(30_000)).map(drop));
        clock.sleep(Duration::from_millis(50));
        database.close().unwrap();
        assert!(
            waiting.join().unwrap().is_ok(),
            "let in when the first left"
        );
    });
}

#[test]
fn a_path_that_is_a_file_is_refused() {
    let home = Home::directory("file");
    home.open(small());
    let lock = home.path().join("LOCK");
    for path in [lock.clone(), lock.join("below")] {
        let error = Database::open(home.env.clone(), &path, small());
        let error = error.map(drop).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        let shown = error.to_string();
        assert!(shown.contains("LOCK"), "it names the path: {shown}");
    }
}

#[test]
fn directories_that_are_missing_are_made() {
    let home = Home::directory("deep");
    let path = home.path().join("a/b/c");
    let database = Database::open(home.env.clone(), &path, small()).unwrap();
    database.close().unwrap();
    Database::open(home.env.clone(), &path, small()).unwrap();
}

#[test]
fn two_memory_databases_share_nothing() {
    let path = Path::new("/db");
    let open = || Database::open(cairn_env::Env::memory(1), path, small()).unwrap();
    let (a, b) = (open(), open());
    let schema = plain(KeyType::U64, 2, MetricName::L2);
    a.create_collection("c", schema).unwrap();
    assert_eq!(code(b.open_collection("c")), Some(Code::NotFound));
}

#[test]
fn unknown_collections_and_bad_names_are_told_apart() {
    let home = Home::memory();
    let database = home.open(small());
    let schema = plain(KeyType::U64, 2, MetricName::L2);
    assert_eq!(
        code(database.open_collection("nobody")),
        Some(Code::NotFound)
    );
    assert_eq!(
        code(database.collection("nobody", None)),
        Some(Code::NotFound)
    );
    assert_eq!(
        code(database.drop_collection("nobody")),
        Some(Code::NotFound)
    );
    for name in [
        "", ".", "..", ".hidden", "a/b", "a\\b", "a b", "\u{e9}", "a\0", "a:b",
    ] {
        let bad = Some(Code::InvalidName);
        assert_eq!(
            code(database.create_collection(name, schema.clone())),
            bad,
            "{name}"
        );
        assert_eq!(code(database.open_collection(name)), bad, "{name}");
        assert_eq!(code(database.drop_collection(name)), bad, "{name}");
        assert_eq!(code(database.rename_collection("c", name)), bad, "{name}");
    }
    for name in [
        "a",
        "A.b-c_9",
        "__proto__",
        "constructor",
        "-",
        "9",
        "console",
        "com10",
        "com",
    ] {
        database.create_collection(name, schema.clone()).unwrap();
        assert_eq!(database.open_collection(name).unwrap().name(), name);
    }
    // Devices of Windows, also with an ending, and what it would cut short.
    for name in [
        "con",
        "CON",
        "nul.txt",
        "Aux.tar.gz",
        "prn",
        "com1",
        "LPT9",
        "com0.x",
        "a.",
    ] {
        let bad = Some(Code::InvalidName);
        let made = database.create_collection(name, schema.clone());
        assert_eq!(code(made), bad, "{name}");
        let made = database.collection(name, Some(schema.clone()));
        assert_eq!(code(made), bad, "{name}");
        assert_eq!(code(database.rename_collection("a", name)), bad, "{name}");
        assert_eq!(
            code(database.open_collection(name)),
            Some(Code::NotFound),
            "{name}"
        );
    }
}

#[test]
fn a_failed_log_closes_the_collection_to_writes_and_not_to_reads() {
    let disk = cairn_testkit::SimDisk::new();
    let home = Home::on(cairn_testkit::sim_env(&disk));
    let database = home.open(small());
    let schema = plain(KeyType::U64, 2, MetricName::L2);
    let collection = database.create_collection("c", schema.clone()).unwrap();
    let other = database.create_collection("d", schema.clone()).unwrap();
    put(&collection, &[row(1)]);
    put(&other, &[row(1)]);
    disk.fail_sync_nth(disk.syncs() + 1, std::io::ErrorKind::Other);
    let upsert = || batch(&schema, WriteKind::Upsert, &[row(1), row(2)]);
    let error = collection.write(upsert(), WriteOptions::default());
    assert_eq!(code(error), Some(Code::OutcomeUnknown));
    // Not seen, since nobody may say that it happened; and nothing is written behind it.
    let snapshot = collection.snapshot().unwrap();
    assert_eq!(snapshot.count(), 1);
    let error = collection.write(upsert(), WriteOptions::default());
    assert_eq!(code(error), Some(Code::Closed));
    assert_eq!(code(collection.commit()), Some(Code::Closed));
    assert_eq!(
        code(collection.compact(&Job::default())),
        Some(Code::Closed)
    );
    let stats = collection.stats().unwrap();
    assert!(stats.poisoned && stats.last_background_error.is_some());
    assert!(snapshot.has(Key::U64(1)).unwrap());
    // The neighbour is well.
    put(&other, &[row(2)]);
    database.close().unwrap();
    let database = home.open(small());
    let collection = database.open_collection("c").unwrap();
    let count = collection.snapshot().unwrap().count();
    assert!(count == 1 || count == 2, "all of the batch or nothing");
    put(&collection, &[row(3)]);
}

#[test]
fn closing_says_what_a_failed_log_can_no_longer_make_durable() {
    for (durability, lost) in [
        (Durability::Sync, false),
        (Durability::Os, true),
        (Durability::Memory, true),
    ] {
        let disk = cairn_testkit::SimDisk::new();
        let home = Home::on(cairn_testkit::sim_env(&disk));
        let database = home.open(small());
        let schema = plain(KeyType::U64, 2, MetricName::L2);
        let collection = database.create_collection("c", schema.clone()).unwrap();
        let write = |key, durability| {
            let batch = batch(&schema, WriteKind::Upsert, &[row(key)]);
            collection.write(
                batch,
                WriteOptions {
                    durability,
                    ..WriteOptions::default()
                },
            )
        };
        write(1, Some(durability)).unwrap();
        disk.fail_sync_nth(disk.syncs() + 1, std::io::ErrorKind::Other);
        assert!(write(2, Some(Durability::Sync)).is_err());
        assert!(collection.stats().unwrap().poisoned);
        let expected = lost.then_some(Code::Closed);
        assert_eq!(code(database.close()), expected, "{durability:?}");
        let database = home.open(small());
        assert!(database.open_collection("c").is_ok(), "the lock is free");
    }
}

#[test]
fn a_full_disk_refuses_and_forgets_nothing() {
    let disk = cairn_testkit::SimDisk::new();
    let home = Home::on(cairn_testkit::sim_env(&disk));
    let to_the_end = || Options {
        disk_reserve_bytes: 0,
        ..small()
    };
    let database = home.open(to_the_end());
    let schema = plain(KeyType::U64, 64, MetricName::L2);
    let collection = database.create_collection("c", schema.clone()).unwrap();
    let rows = |first: u64| -> Vec<Row> {
        let vector = |n: u64| vec![n as f32; 64];
        (first..first + 50)
            .map(|n| Row::new(number(n), &vector(n)))
            .collect()
    };
    put(&collection, &rows(0));
    disk.set_capacity(Some(disk.used_bytes() + 600 * 1024));
    let mut written = 50;
    let error = loop {
        let add = batch(&schema, WriteKind::Add, &rows(written));
        match collection.write(add, WriteOptions::default()) {
            Ok(_) => written += 50,
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), Code::NoSpace, "{error}");
    assert!(error.retryable());
    for _ in 0..20 {
        // Trying again does not eat what little is left.
        let used = disk.used_bytes();
        let add = batch(&schema, WriteKind::Add, &rows(written));
        if let Ok(result) = collection.write(add, WriteOptions::default()) {
            written += result.inserted;
        }
        assert!(disk.used_bytes() <= used + 64 * 1024);
    }
    assert_eq!(collection.snapshot().unwrap().count(), written);
    // Room again: it goes on as if nothing had been.
    disk.set_capacity(None);
    put(&collection, &rows(written));
    collection.compact(&Job::default()).unwrap();
    assert_eq!(collection.snapshot().unwrap().count(), written + 50);
    database.close().unwrap();
    let database = home.open(small());
    let collection = database.open_collection("c").unwrap();
    assert_eq!(collection.snapshot().unwrap().count(), written + 50);
}

/// Creates and drops collections while `calls` runs again and again.
fn beside_drops(database: &Arc<Database>, mut calls: impl FnMut()) {
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let schema = plain(KeyType::U64, 2, MetricName::L2);
            for n in 0..150 {
                let name = format!("short-lived-{n}");
                let collection = database.create_collection(&name, schema.clone()).unwrap();
                put(&collection, &[row(n)]);
                database.drop_collection(&name).unwrap();
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            calls();
        }
    });
}

#[test]
fn a_collection_dropped_beside_a_call_for_all_of_them_is_passed_over() {
    let database = Home::memory().open(small());
    let schema = plain(KeyType::U64, 2, MetricName::L2);
    let stays = database.create_collection("stays", schema).unwrap();
    put(&stays, &[row(1)]);
    beside_drops(&database, || {
        database.commit().unwrap();
        database.compact(&Job::default()).unwrap();
        assert_eq!(database.verify(&Job::default()).unwrap().problems, []);
        let named = database.stats().unwrap().collections;
        assert!(named.iter().any(|(name, _)| name == "stays"));
    });
}

#[cfg(feature = "planted-bugs")]
#[test]
fn planted_bugs_are_found() {
    planted::expect_all_found(module_path!());
}
