//! Versions of the whole database: recorded at one moment, found by number, name or time, and whole
//! as long as somebody needs them.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cairn_engine::{
    BackupOptions, Code, Collection, Database, Job, KeyType, MetricName, Options, VersionId,
    WriteKind, WriteOptions, restore,
};
use cairn_testkit::{SimDisk, sim_env};

use crate::common;
use common::{Home, Row, batch, number, plain, put, remove, small};

fn name(name: &str) -> VersionId {
    VersionId::Name(name.into())
}

fn rows(from: u64, to: u64) -> Vec<Row> {
    let row = |n| Row::new(number(n), &[n as f32, 1.0]);
    (from..to).map(row).collect()
}

fn count(database: &Database, collection: &str) -> u64 {
    let collection = database.open_collection(collection).unwrap();
    collection.snapshot().unwrap().count()
}

fn create(database: &Database, name: &str) -> Arc<Collection> {
    let schema = plain(KeyType::U64, 2, MetricName::L2);
    database.create_collection(name, schema).unwrap()
}

/// Names of segments and deletion files below the home.
fn data_files(home: &Home) -> Vec<String> {
    let files = home.files().into_iter();
    let names = files.map(|(path, _)| path.file_name().unwrap().to_str().unwrap().to_owned());
    names
        .filter(|name| name.ends_with(".seg") || name.ends_with(".del"))
        .collect()
}

#[test]
fn a_version_is_found_by_number_name_and_time_and_stays_what_it_was() {
    for home in [Home::memory(), Home::directory("versions")] {
        let database = home.open(small());
        let docs = create(&database, "docs");
        put(&docs, &rows(0, 100));
        let first = database.snapshot(Some("first")).unwrap();
        assert_eq!(first.version, docs.snapshot().unwrap().version());
        put(&docs, &rows(100, 150));
        remove(&docs, &[number(0), number(1)]);
        let second = database.snapshot(None).unwrap();
        assert!(second.version > first.version);
        put(&docs, &rows(200, 300));
        docs.compact(&Job::default()).unwrap();

        for reopened in [false, true] {
            let database = if reopened {
                database.close().unwrap();
                home.open(small())
            } else {
                Arc::clone(&database)
            };
            assert_eq!(count(&database, "docs"), 248);
            let one = database.at(&name("first")).unwrap();
            assert_eq!(count(&one, "docs"), 100);
            assert_eq!(one.stats().unwrap().version, first.version);
            assert!(one.verify(&Job::default()).unwrap().is_ok());
            let two = database.at(&VersionId::Lsn(second.version)).unwrap();
            assert_eq!(count(&two, "docs"), 148);
            let now = database.at(&VersionId::Time(u64::MAX)).unwrap();
            assert_eq!(count(&now, "docs"), 148);
            let too_early = VersionId::Time(first.created_unix_ms - 1);
            for missing in [name("none"), VersionId::Lsn(1 << 40), too_early] {
                let refused = database.at(&missing).err().unwrap();
                assert_eq!(refused.code(), Code::NotFound, "{missing:?}");
            }
            let refused = one.snapshot(None).err().unwrap();
            assert_eq!(refused.code(), Code::ReadOnly);
            let listed = database.versions().unwrap();
            let listed: Vec<_> = listed
                .iter()
                .map(|v| (v.version, v.name.as_deref()))
                .collect();
            let expected = [(first.version, Some("first")), (second.version, None)];
            assert_eq!(listed, expected);
            let read_only =
                Database::open_read_only(home.env.clone(), home.path(), small()).unwrap();
            assert_eq!(count(&read_only.at(&name("first")).unwrap(), "docs"), 100);
            assert_eq!(read_only.versions().unwrap().len(), 2);
            database.close().unwrap();
        }
    }
}

#[test]
fn two_versions_of_one_moment_have_numbers_of_their_own() {
    let home = Home::memory();
    let database = home.open(small());
    let docs = create(&database, "docs");
    put(&docs, &rows(0, 3));
    let first = database.snapshot(Some("a")).unwrap();
    database.rename_collection("docs", "papers").unwrap();
    let second = database.snapshot(Some("b")).unwrap();
    assert!(second.version > first.version);
    let written = put(&docs, &rows(3, 4));
    assert!(written.version > second.version, "no number is used twice");
    assert_eq!(count(&database.at(&name("a")).unwrap(), "docs"), 3);
    assert_eq!(count(&database.at(&name("b")).unwrap(), "papers"), 3);
    database.close().unwrap();
    let again = home.open(small());
    let docs = again.open_collection("papers").unwrap();
    assert!(put(&docs, &rows(4, 5)).version > written.version);
}

#[test]
fn a_number_above_all_writes_is_not_used_again_after_a_restart() {
    let home = Home::memory();
    let database = home.open(small());
    put(&create(&database, "docs"), &rows(0, 3));
    database.snapshot(Some("a")).unwrap();
    let last = database.snapshot(Some("b")).unwrap();
    database.close().unwrap();
    let database = home.open(small());
    let docs = database.open_collection("docs").unwrap();
    assert!(put(&docs, &rows(3, 4)).version > last.version);
}

#[test]
fn names_are_unique_and_checked() {
    let database = Home::memory().open(small());
    database.snapshot(Some("v1")).unwrap();
    let code = |name: &str| database.snapshot(Some(name)).err().unwrap().code();
    assert_eq!(code("v1"), Code::AlreadyExists);
    assert_eq!(code(".hidden"), Code::InvalidName);
    assert_eq!(code("a/b"), Code::InvalidName);
    database.drop_version(&name("v1")).unwrap();
    database.snapshot(Some("v1")).unwrap();
    let missing = database.drop_version(&name("v2")).err().unwrap();
    assert_eq!(missing.code(), Code::NotFound);
}

#[test]
fn a_dropped_collection_lives_on_in_a_version_and_goes_with_the_last_use_of_it() {
    for home in [Home::memory(), Home::directory("dropped")] {
        let database = home.open(small());
        let docs = create(&database, "docs");
        put(&docs, &rows(0, 50));
        remove(&docs, &[number(7)]);
        database.snapshot(Some("v")).unwrap();
        put(&docs, &rows(50, 60));
        drop(docs);
        database.drop_collection("docs").unwrap();
        let at = database.at(&name("v")).unwrap();
        assert_eq!(count(&at, "docs"), 49);
        drop(at);
        database.close().unwrap();

        let database = home.open(small());
        assert!(database.collections().unwrap().is_empty());
        let at = database.at(&name("v")).unwrap();
        database.drop_version(&name("v")).unwrap();
        assert!(!data_files(&home).is_empty(), "somebody reads them");
        assert!(at.verify(&Job::default()).unwrap().is_ok());
        assert_eq!(count(&at, "docs"), 49);
        at.close().unwrap();
        assert_eq!(data_files(&home), [""; 0]);
        let collections = home.env.disk.list(&home.path().join("collections"));
        assert_eq!(collections.unwrap(), []);
    }
}

#[test]
fn what_no_version_lists_any_more_is_removed_at_once() {
    let home = Home::memory();
    let database = home.open(small());
    let docs = create(&database, "docs");
    put(&docs, &rows(0, 100));
    database.snapshot(Some("a")).unwrap();
    remove(&docs, &[number(3)]);
    database.snapshot(Some("b")).unwrap();
    docs.compact(&Job::default()).unwrap();
    home.at_rest(&docs);
    let files = |at_least: usize| {
        let files = data_files(&home);
        assert!(files.len() >= at_least, "{files:?}");
        files
    };
    let all = files(3);
    database.drop_version(&name("a")).unwrap();
    assert_eq!(files(3), all, "the other version has them too");
    database.drop_version(&name("b")).unwrap();
    assert_eq!(data_files(&home).len(), 1, "the merged segment alone");
    assert_eq!(count(&database, "docs"), 99);
    assert!(docs.verify(&Job::default()).unwrap().is_ok());
}

#[test]
fn what_a_writer_left_behind_goes_at_the_next_open() {
    let home = Home::memory();
    let database = home.open(small());
    let docs = create(&database, "docs");
    put(&docs, &rows(0, 100));
    database.snapshot(Some("a")).unwrap();
    put(&docs, &rows(0, 100));
    docs.compact(&Job::default()).unwrap();
    let at = database.at(&name("a")).unwrap();
    database.drop_version(&name("a")).unwrap();
    database.close().unwrap();
    // The directory may be another's now: nothing is removed.
    let before = data_files(&home);
    drop(at);
    assert_eq!(data_files(&home), before);
    drop(home.open(small()));
    assert_eq!(data_files(&home).len(), 1);
}

#[test]
fn a_version_cuts_all_collections_at_one_moment_while_writers_go_on() {
    let home = Home::directory("cut");
    let database = home.open(small());
    let (left, right) = (create(&database, "left"), create(&database, "right"));
    let (done, written) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0;
            while !done.load(Ordering::Relaxed) {
                // Left is never behind right, and at most one ahead.
                put(&left, &rows(n, n + 1));
                put(&right, &rows(n, n + 1));
                n += 1;
                written.store(2 * n, Ordering::Relaxed);
            }
        });
        let _done = SetAtEnd(&done);
        for n in 0..20 {
            // A version that has no write of its own has a number of its own.
            let before = written.load(Ordering::Relaxed);
            while written.load(Ordering::Relaxed) == before {
                home.env.clock.sleep(Duration::from_millis(1));
            }
            let made = database.snapshot(Some(&format!("v{n}"))).unwrap();
            let at = database.at(&VersionId::Lsn(made.version)).unwrap();
            let counts = (count(&at, "left"), count(&at, "right"));
            assert!(
                counts.0 == counts.1 || counts.0 == counts.1 + 1,
                "at {}: {counts:?}",
                made.version
            );
            // Each write was one version, so the number tells how many there were.
            assert_eq!(
                counts.0 + counts.1,
                made.version,
                "all writes until then, and no other"
            );
        }
    });
}

/// Ends the loops of other threads also where an assertion ends this one.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn old_versions_go_when_count_and_time_allow_and_named_ones_stay() {
    let disk = SimDisk::new();
    let home = Home::on(sim_env(&disk));
    let options = Options {
        retain_versions: 3,
        retain: Duration::from_secs(500),
        ..small()
    };
    let database = home.open(options);
    let docs = create(&database, "docs");
    database.snapshot(Some("kept")).unwrap();
    for n in 0..10 {
        put(&docs, &rows(n, n + 1));
        database.commit().unwrap();
        // A commit of nothing new is no new version.
        database.commit().unwrap();
        home.env.clock.sleep(Duration::from_secs(100));
    }
    let counts = |versions: Vec<cairn_engine::VersionInfo>| {
        let at = |v: &cairn_engine::VersionInfo| database.at(&VersionId::Lsn(v.version)).unwrap();
        versions
            .iter()
            .map(|v| count(&at(v), "docs"))
            .collect::<Vec<_>>()
    };
    // Those of the last 500 seconds, though more than three, and the one with a name.
    assert_eq!(counts(database.versions().unwrap()), [0, 6, 7, 8, 9, 10]);
    home.env.clock.sleep(Duration::from_secs(3_000));
    put(&docs, &rows(10, 11));
    database.commit().unwrap();
    assert_eq!(counts(database.versions().unwrap()), [0, 9, 10, 11]);
    // While there are writes, one a minute and no more.
    put(&docs, &rows(11, 12));
    assert!(!database.record_when_due().unwrap());
    home.env.clock.sleep(Duration::from_secs(60));
    assert!(database.record_when_due().unwrap());
    home.env.clock.sleep(Duration::from_secs(60));
    assert!(!database.record_when_due().unwrap(), "nothing was written");
    assert_eq!(counts(database.versions().unwrap()), [0, 10, 11, 12]);
    assert_eq!(database.stats().unwrap().last_version_error, None);
}

#[test]
fn without_retention_nothing_is_recorded_by_itself_and_the_last_version_stays() {
    let home = Home::memory();
    let database = home.open(small());
    let docs = create(&database, "docs");
    put(&docs, &rows(0, 1));
    database.commit().unwrap();
    assert!(!database.record_when_due().unwrap());
    assert!(database.versions().unwrap().is_empty());
    database.snapshot(None).unwrap();
    put(&docs, &rows(1, 2));
    let second = database.snapshot(None).unwrap().version;
    let listed = database.versions().unwrap();
    let listed: Vec<_> = listed.iter().map(|v| v.version).collect();
    assert_eq!(listed, [second]);
}

#[test]
fn a_damaged_version_is_listed_with_its_error_and_keeps_every_file() {
    let home = Home::memory();
    let database = home.open(small());
    let docs = create(&database, "docs");
    put(&docs, &rows(0, 100));
    let version = database.snapshot(Some("a")).unwrap().version;
    put(&docs, &rows(0, 100));
    docs.compact(&Job::default()).unwrap();
    database.close().unwrap();
    let path = home.path().join(format!("versions/{version:020}.ver"));
    let file = home.env.disk.open(&path, cairn_env::Access::Write).unwrap();
    let mut byte = [0];
    file.read_exact_at(60, &mut byte).unwrap();
    file.write_at(60, &[byte[0] ^ 4]).unwrap();
    let before = data_files(&home);

    let database = home.open(small());
    assert_eq!(count(&database, "docs"), 100);
    assert_eq!(
        data_files(&home),
        before,
        "nobody knows which of them it needs"
    );
    let listed = database.versions().unwrap();
    assert_eq!(listed[0].error.as_ref().unwrap().code(), Code::Corrupt);
    let refused = database.at(&VersionId::Lsn(version)).err().unwrap();
    assert_eq!(refused.code(), Code::Corrupt);
    database.drop_version(&VersionId::Lsn(version)).unwrap();
    assert_eq!(data_files(&home).len(), 1);
}

#[test]
fn who_reads_longer_than_the_database_is_open_takes_no_file_of_a_version() {
    let home = Home::memory();
    let database = home.open(small());
    let docs = create(&database, "docs");
    put(&docs, &rows(0, 100));
    database.snapshot(Some("a")).unwrap();
    put(&docs, &rows(100, 200));
    database.snapshot(Some("b")).unwrap();
    let reading = docs.snapshot().unwrap();
    docs.compact(&Job::default()).unwrap();
    database.close().unwrap();
    drop((docs, database));
    drop(reading);
    home.idle();

    let database = home.open(small());
    assert_eq!(count(&database.at(&name("a")).unwrap(), "docs"), 100);
    assert_eq!(count(&database.at(&name("b")).unwrap(), "docs"), 200);
}

#[test]
fn backups_and_archives_of_an_idle_database_are_no_reason_for_a_version() {
    let home = Home::on(sim_env(&SimDisk::new()));
    let options = Options {
        retain_versions: 5,
        ..small()
    };
    let database = home.open(options);
    let docs = create(&database, "docs");
    for n in 0..5 {
        put(&docs, &rows(n, n + 1));
        database.commit().unwrap();
    }
    let numbers = || -> Vec<u64> {
        let versions = database.versions().unwrap();
        versions.iter().map(|one| one.version).collect()
    };
    let before = numbers();
    assert_eq!(before.len(), 5);
    let (target, options) = (home.path().with_extension("b"), BackupOptions::default());
    for _ in 0..6 {
        home.env.clock.sleep(Duration::from_secs(3_600));
        let made = database.backup(&home.env, &target, &options, &Job::default());
        assert_eq!(made.unwrap().version, before[4]);
        assert_eq!(
            database.archive(None).unwrap().info().version,
            before[4],
            "it is the same state"
        );
        assert!(!database.record_when_due().unwrap(), "nothing was written");
    }
    assert_eq!(numbers(), before);
}

#[test]
fn the_number_of_a_backup_is_no_later_write_s_after_a_restart() {
    let home = Home::memory();
    let database = home.open(small());
    put(&create(&database, "docs"), &rows(0, 3));
    database.snapshot(Some("a")).unwrap();
    let (target, options) = (home.path().with_extension("b"), BackupOptions::default());
    let made = database.backup(&home.env, &target, &options, &Job::default());
    database.close().unwrap();
    let database = home.open(small());
    let docs = database.open_collection("docs").unwrap();
    assert!(put(&docs, &rows(3, 4)).version > made.unwrap().version);
}

#[test]
fn why_a_version_that_was_due_was_not_made_is_in_the_statistics() {
    let home = Home::memory();
    let options = Options {
        retain_versions: 5,
        ..small()
    };
    let database = home.open(options);
    put(&create(&database, "docs"), &rows(0, 3));
    let dir = home.path().join("versions");
    home.env.disk.create(&dir).unwrap();
    database.record_when_due().unwrap_err();
    let error = database.stats().unwrap().last_version_error.unwrap();
    assert!(error.contains("not a directory"), "{error}");
    home.env.disk.remove_file(&dir).unwrap();
    database.snapshot(None).unwrap();
    assert_eq!(database.stats().unwrap().last_version_error, None);
}

#[test]
fn a_collection_dropped_beside_a_damaged_version_goes_with_it() {
    let home = Home::memory();
    let database = home.open(small());
    put(&create(&database, "docs"), &rows(0, 100));
    let version = database.snapshot(Some("a")).unwrap().version;
    database.close().unwrap();
    let path = home.path().join(format!("versions/{version:020}.ver"));
    let file = home.env.disk.open(&path, cairn_env::Access::Write).unwrap();
    file.write_at(60, &[0xFF; 4]).unwrap();

    let database = home.open(small());
    database.drop_collection("docs").unwrap();
    assert_eq!(data_files(&home).len(), 1, "nobody knows who needs it");
    database.drop_version(&VersionId::Lsn(version)).unwrap();
    assert_eq!(data_files(&home), [""; 0]);
    let collections = home.env.disk.list(&home.path().join("collections"));
    assert_eq!(collections.unwrap(), []);
}

#[test]
fn a_version_has_what_was_acknowledged_in_memory_alone() {
    let home = Home::memory();
    let database = home.open(small());
    let docs = create(&database, "docs");
    let options = WriteOptions {
        durability: Some(cairn_engine::Durability::Memory),
        ..WriteOptions::default()
    };
    let upsert = batch(docs.schema(), WriteKind::Upsert, &rows(0, 10));
    docs.write(upsert, options).unwrap();
    database.snapshot(Some("a")).unwrap();
    assert_eq!(count(&database.at(&name("a")).unwrap(), "docs"), 10);
}

#[test]
fn a_live_reader_opens_versions_and_records_and_drops_none() {
    let home = Home::memory();
    let database = home.open(small());
    let docs = create(&database, "docs");
    put(&docs, &rows(0, 100));
    database.snapshot(Some("first")).unwrap();
    let retaining = Options {
        retain_versions: 5,
        ..small()
    };
    let reader = Database::open_read_only(home.env.clone(), home.path(), retaining).unwrap();
    let past = reader.at(&name("first")).unwrap();
    put(&docs, &rows(100, 150));
    database.commit().unwrap();
    reader.refresh().unwrap();
    past.refresh().unwrap();
    assert_eq!(count(&reader, "docs"), 150);
    assert_eq!(count(&past, "docs"), 100);

    for frozen in [&reader, &past] {
        let target = home.path().join("backups");
        let options = BackupOptions::default();
        let backed_up = frozen.backup(&home.env, &target, &options, &Job::default());
        let refused = [
            frozen.snapshot(None).map(drop),
            frozen.snapshot(Some("second")).map(drop),
            frozen.drop_version(&name("first")),
            frozen.record_when_due().map(drop),
            backed_up.map(drop),
        ];
        for (nth, result) in refused.into_iter().enumerate() {
            let code = result.err().map(|error| error.code());
            assert_eq!(code, Some(Code::ReadOnly), "{nth}");
        }
    }
    database.snapshot(Some("second")).unwrap();
    assert_eq!(reader.versions().unwrap().len(), 2);
    let second = reader.at(&name("second")).unwrap();
    assert_eq!(count(&second, "docs"), 150);
}

#[test]
fn idempotency_keys_are_no_part_of_a_version_or_a_backup() {
    let home = Home::memory();
    let database = home.open(small());
    let docs = create(&database, "docs");
    let keyed = |collection: &Arc<Collection>| {
        let options = WriteOptions {
            idempotency_key: Some("once".into()),
            ..WriteOptions::default()
        };
        let schema = plain(KeyType::U64, 2, MetricName::L2);
        let rows = batch(&schema, WriteKind::Upsert, &rows(1, 50));
        collection.write(rows, options).unwrap()
    };
    let first = keyed(&docs);
    // The log lets go of it: now it is in a file of outcomes.
    docs.compact(&Job::default()).unwrap();
    database.snapshot(Some("here")).unwrap();
    let past = database.at(&name("here")).unwrap();
    assert_eq!(count(&past, "docs"), 49);

    let [backups, restored] = ["/backups", "/restored"].map(std::path::Path::new);
    let (env, job) = (&home.env, Job::default());
    let options = BackupOptions::default();
    database.backup(env, backups, &options, &job).unwrap();
    restore(env, backups, restored, None, None, &small(), &job).unwrap();
    let other = Database::open(env.clone(), restored, small()).unwrap();
    assert!(other.verify(&Job::default()).unwrap().is_ok());
    let copy = other.open_collection("docs").unwrap();
    assert!(
        keyed(&copy).version > first.version,
        "written, not answered"
    );

    database.close().unwrap();
    let database = home.open(small());
    let docs = database.open_collection("docs").unwrap();
    assert_eq!(keyed(&docs).version, first.version, "answered");
}
