//! An encrypted database shows nothing to who reads its files, opens with its key and no other, and
//! changes its key without rewriting what is there.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_engine::encryption::{Key, KeyProvider, NamedKey, key_id};
use cairn_engine::{
    Code, Collection, Database, Durability, Error, Fact, IndexKind, Job, KeyType, MetricName,
    Options, WriteKind, WriteOptions,
};
use cairn_env::{Access, Disk, EntryKind, Env};
use cairn_storage::crc32c;
use cairn_testkit::{Choice, SimDisk, sim_env_seeded};

use crate::common;
use common::{
    Home, Row, batch, everything, number, plain, put, remove, schema, text, vector_field,
};

/// A key whose bytes are all `byte`.
fn named(id: &str, byte: u8) -> Arc<dyn KeyProvider> {
    Arc::new(NamedKey {
        id: id.to_owned(),
        key: Key::new(&[byte; 32]),
    })
}

fn with(keys: Arc<dyn KeyProvider>) -> Options {
    Options {
        encryption: Some(keys),
        ..common::small()
    }
}

/// Texts and numbers that are recognised wherever they stand.
const COLLECTION: &str = "collection-qzwx";
const VECTOR_FIELD: &str = "vectorfieldqzwx";
const KEY: &str = "key-qzwx-";
const FIELD: &str = "fieldqzwx";
const VALUE: &str = "value of a field, qzwx";
const VECTOR: [f32; 4] = [1.234_567_8, -8.765_432, 3.333_333_7, 9.876_543];

fn marks() -> Vec<(&'static str, Vec<u8>)> {
    let vector = VECTOR.iter().flat_map(|number| number.to_le_bytes());
    vec![
        ("collection's name", COLLECTION.into()),
        ("vector field's name", VECTOR_FIELD.into()),
        ("key", KEY.into()),
        ("field's name", FIELD.into()),
        ("field", VALUE.into()),
        ("vector", vector.collect()),
    ]
}

fn contains(bytes: &[u8], mark: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == mark[0]) {
        if rest[at..].starts_with(mark) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

fn rows(from: u64, count: u64) -> Vec<Row> {
    let row = |n| {
        let row = Row::new(text(format!("{KEY}{n}")), &VECTOR);
        row.with(FIELD, format!("{VALUE} {n}").as_str())
    };
    (from..from + count).map(row).collect()
}

/// Writes, flushes, merges with a graph, deletes, renames, rotates and writes again.
fn live(env: Env, options: Options) {
    let rotated = options.encryption.is_some();
    let database = Database::open(env, Path::new("/db"), options).unwrap();
    let mut structure = plain(KeyType::String, 4, MetricName::Cosine);
    structure.vectors[0].name = VECTOR_FIELD.into();
    let collection = database.create_collection("first", structure).unwrap();
    database.rename_collection("first", COLLECTION).unwrap();
    for round in 0..6 {
        put(&collection, &rows(round * 250, 250));
    }
    collection.compact(&Job::default()).unwrap();
    put(&collection, &rows(2_000, 300));
    let gone: Vec<_> = (0..40).map(|n| text(format!("{KEY}{n}"))).collect();
    remove(&collection, &gone);
    flush(&collection, rows(2_500, 1));
    if rotated {
        database.rotate_key(&named("second", 2)).unwrap();
    }
    put(&collection, &rows(3_000, 300));
    collection.commit().unwrap();
    put(&collection, &rows(4_000, 2));
}

/// Which marks stand in which kinds of files, at any moment of a life and after crashes in it.
fn found(options: Options) -> BTreeSet<(&'static str, String)> {
    let disk = SimDisk::new();
    live(sim_env_seeded(&disk, 5), options);
    let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let (mut files, ops) = (0, disk.op_count());
    for at in 0..=ops {
        let mut images = vec![disk.kill_image(at)];
        if at % 8 == 0 || at + 20 > ops {
            images.push(disk.crash_image(at, &mut Choice::seeded(at as u64)));
        }
        for image in images {
            for path in image.paths() {
                let bytes = image.read_all(&path).unwrap();
                if !seen.insert((path.clone(), bytes.len(), crc32c(&bytes))) {
                    continue;
                }
                files += 1;
                let kind = Path::new(&path).extension();
                let kind = kind.map_or(path.clone(), |kind| kind.display().to_string());
                for (name, mark) in marks() {
                    if contains(&bytes, &mark) {
                        found.insert((name, kind.clone()));
                    }
                }
            }
        }
    }
    println!("{ops} operations, {files} states of files, found: {found:?}");
    assert!(files > 60);
    found
}

#[test]
fn nothing_that_was_written_is_readable_in_any_file_at_any_moment() {
    let in_clear = found(common::small());
    for (mark, _) in marks() {
        let seen = in_clear.iter().any(|(name, _)| *name == mark);
        assert!(seen, "the search is blind for a {mark}");
    }
    for kind in ["wal", "seg", "cat", "man"] {
        let seen = in_clear.iter().any(|(_, other)| other == kind);
        assert!(seen, "the search is blind in .{kind}");
    }
    let encrypted = found(with(named("first", 1)));
    assert!(encrypted.is_empty(), "readable: {encrypted:?}");
}

/// Blocks that are equal do not look equal, in one file or in two.
#[test]
fn equal_records_do_not_look_equal() {
    let home = Home::memory();
    let database = home.open(with(named("first", 1)));
    let points = plain(KeyType::U64, 16, MetricName::L2);
    for name in ["one", "other"] {
        let collection = database.create_collection(name, points.clone()).unwrap();
        let rows: Vec<Row> = (0..1_000)
            .map(|n| Row::new(number(n), &[1.5; 16]))
            .collect();
        put(&collection, &rows);
        collection.compact(&Job::default()).unwrap();
        home.at_rest(&collection);
    }
    let mut blocks = BTreeSet::new();
    let mut count = 0;
    for (path, bytes) in home.files() {
        if path.extension().is_some_and(|end| end == "seg") {
            // The vectors come first.
            for block in bytes[64..].chunks(4_096).take(15) {
                blocks.insert(block.to_vec());
                count += 1;
            }
        }
    }
    assert_eq!(count, 30);
    assert_eq!(blocks.len(), count, "equal blocks look equal");
}

/// A reader that knows no encryption refuses by the flag, before it looks at anything behind it.
#[test]
fn every_file_says_that_it_is_encrypted() {
    for (encrypted, options) in [(true, with(named("first", 1))), (false, common::small())] {
        let home = Home::memory();
        let (_database, collection) = filled(&home, options);
        remove(&collection, &[number(1)]);
        flush(&collection, points_of(4_000..4_001));
        put(&collection, &[Row::new(number(5_000), &[0.0; 2])]);
        let mut kinds = BTreeSet::new();
        for (path, bytes) in home.files() {
            let end = path.extension().map(|end| end.display().to_string());
            let Some(end) = end.filter(|end| ["wal", "seg", "del", "cat", "man"].contains(&&**end))
            else {
                continue;
            };
            assert_eq!(bytes[10] & 2 != 0, encrypted, "{path:?}");
            kinds.insert(end);
        }
        assert_eq!(kinds.len(), 5, "{kinds:?}");
    }
}

/// A database with a segment and something in its log.
fn filled(home: &Home, options: Options) -> (Arc<Database>, Arc<Collection>) {
    let database = home.open(options);
    let points = plain(KeyType::U64, 2, MetricName::L2);
    let collection = database.create_collection("points", points).unwrap();
    put(&collection, &points_of(0..100));
    collection.compact(&Job::default()).unwrap();
    put(&collection, &points_of(100..120));
    home.at_rest(&collection);
    (database, collection)
}

/// Flushes without a merge: what only memory has is made durable by it.
fn flush(collection: &Arc<Collection>, rows: Vec<Row>) {
    let upsert = batch(collection.schema(), WriteKind::Upsert, &rows);
    let options = WriteOptions {
        durability: Some(Durability::Memory),
        ..WriteOptions::default()
    };
    collection.write(upsert, options).unwrap();
    collection.commit().unwrap();
}

fn points_of(range: std::ops::Range<u64>) -> Vec<Row> {
    let row = |n| Row::new(number(n), &[n as f32, 1.0]).with("n", n as i64);
    range.map(row).collect()
}

fn count(database: &Arc<Database>) -> u64 {
    let collection = database.open_collection("points").unwrap();
    assert!(collection.verify(&Job::default()).unwrap().is_ok());
    let snapshot = collection.snapshot().unwrap();
    let records = snapshot
        .scan(None)
        .unwrap()
        .next_page(10_000, &everything())
        .unwrap();
    assert_eq!(records.len() as u64, snapshot.count());
    snapshot.count()
}

fn key_needed(error: &Error) -> Option<&str> {
    error.details().iter().find_map(|(name, fact)| match fact {
        Fact::Text(text) if *name == "keyId" => Some(text.as_str()),
        _ => None,
    })
}

#[track_caller]
fn refused<T>(result: Result<T, Error>, needed: Option<&str>, part: &str) {
    let error = result.err().expect("a key that does not fit");
    assert_eq!(error.code(), Code::InvalidArgument, "{error}");
    assert!(error.message().contains(part), "{error}");
    assert_eq!(key_needed(&error), needed);
}

#[test]
fn a_key_that_does_not_fit_is_refused_and_nothing_is_touched() {
    for home in [Home::memory(), Home::directory("wrong-key")] {
        let open = |options| Database::open(home.env.clone(), home.path(), options);
        let (database, _) = filled(&home, with(named("first", 1)));
        database.close().unwrap();
        drop(database);
        let before = home.files();
        refused(
            open(with(named("first", 2))),
            Some("first"),
            "does not open",
        );
        refused(open(common::small()), Some("first"), "no key was given");
        let read = |options| Database::open_read_only(home.env.clone(), home.path(), options);
        refused(read(with(named("x", 2))), Some("first"), "does not open");
        refused(read(common::small()), Some("first"), "no key was given");
        let after = home.files();
        assert_eq!(names(&before), names(&after));
        assert!(before == after);
        assert_eq!(
            key_id(&home.env, home.path()).unwrap().as_deref(),
            Some("first")
        );
        assert_eq!(count(&open(with(named("whatever", 1))).unwrap()), 120);
    }
}

fn names(files: &[(PathBuf, Vec<u8>)]) -> Vec<&Path> {
    files.iter().map(|(path, _)| path.as_path()).collect()
}

#[test]
fn a_key_for_a_database_in_clear_is_refused() {
    let home = Home::memory();
    assert_eq!(key_id(&home.env, home.path()).unwrap(), None);
    let (database, _) = filled(&home, common::small());
    refused(database.rotate_key(&named("x", 1)), None, "not encrypted");
    database.close().unwrap();
    let before = home.files();
    let opened = Database::open(home.env.clone(), home.path(), with(named("x", 1)));
    refused(opened, None, "not encrypted");
    let opened = Database::open_read_only(home.env.clone(), home.path(), with(named("x", 1)));
    refused(opened, None, "not encrypted");
    assert!(before == home.files());
    assert_eq!(count(&home.open(common::small())), 120);
    assert_eq!(key_id(&home.env, home.path()).unwrap(), None);
}

#[test]
fn keys_that_were_never_finished_make_no_later_open_fail() {
    // What a crash leaves of a database that was to be encrypted.
    let home = Home::memory();
    let keys = home.path().join("keys");
    home.env.disk.create_dir(home.path()).unwrap();
    home.env.disk.create_dir(&keys).unwrap();
    home.env.disk.create(&keys.join("half.tmp")).unwrap();
    for _ in 0..2 {
        home.open(common::small()).close().unwrap();
        assert_eq!(key_id(&home.env, home.path()).unwrap(), None);
    }
    let home = Home::memory();
    home.env.disk.create_dir(home.path()).unwrap();
    home.env.disk.create_dir(&home.path().join("keys")).unwrap();
    for _ in 0..2 {
        let opened = Database::open(home.env.clone(), home.path(), with(named("x", 1)));
        opened.unwrap().close().unwrap();
    }
}

#[test]
fn a_reader_with_the_key_sees_what_the_writer_flushed_also_after_a_rotation() {
    let home = Home::memory();
    let (database, collection) = filled(&home, with(named("first", 1)));
    collection.compact(&Job::default()).unwrap();
    let read = |keys| Database::open_read_only(home.env.clone(), home.path(), with(keys));
    assert_eq!(count(&read(named("first", 1)).unwrap()), 120);
    database.rotate_key(&named("second", 2)).unwrap();
    assert_eq!(count(&read(named("second", 2)).unwrap()), 120);
    refused(read(named("first", 1)), Some("second"), "does not open");
}

/// Ids of the data keys of segments.
fn data_keys(home: &Home) -> BTreeSet<u8> {
    let files = home.files().into_iter();
    let segments = files.filter(|(path, _)| path.extension().is_some_and(|end| end == "seg"));
    segments.map(|(_, bytes)| bytes[40]).collect()
}

#[test]
fn a_rotation_leaves_files_as_they_are_and_merges_move_them_to_the_new_key() {
    let home = Home::memory();
    let (database, collection) = filled(&home, with(named("first", 1)));
    let segments = |files: Vec<(PathBuf, Vec<u8>)>| -> Vec<_> {
        let kept = |path: &Path| !path.starts_with(home.path().join("keys"));
        files.into_iter().filter(|(path, _)| kept(path)).collect()
    };
    let before = segments(home.files());
    database.rotate_key(&named("second", 2)).unwrap();
    assert!(before == segments(home.files()), "a file was rewritten");
    assert_eq!(data_keys(&home), BTreeSet::from([1]));
    put(&collection, &points_of(120..130));
    assert_eq!(count(&database), 130);
    database.close().unwrap();
    drop((database, collection));

    let open = |keys| Database::open(home.env.clone(), home.path(), with(keys));
    refused(open(named("first", 1)), Some("second"), "does not open");
    let database = open(named("second", 2)).unwrap();
    assert_eq!(count(&database), 130);
    let collection = database.open_collection("points").unwrap();
    remove(&collection, &[number(3)]);
    collection.compact(&Job::default()).unwrap();
    home.at_rest(&collection);
    assert_eq!(data_keys(&home), BTreeSet::from([2]));
    database.rotate_key(&named("third", 3)).unwrap();
    database.rotate_key(&named("first", 1)).unwrap();
    assert_eq!(count(&database), 129);
    database.close().unwrap();
    drop((database, collection));
    assert_eq!(count(&open(named("first", 1)).unwrap()), 129);
}

/// Knows the first key still, and wraps with the second.
#[derive(Debug)]
struct WentOn;

impl KeyProvider for WentOn {
    fn current(&self) -> NamedKey {
        named("second", 2).current()
    }

    fn key(&self, id: &str) -> Option<Key> {
        (id == "first").then(|| Key::new(&[1; 32]))
    }
}

/// An id is all there is to tell keys apart: whoever keeps an old backup, or asks which key a directory
/// needs, would be sent to the wrong one.
#[test]
fn a_new_key_under_the_id_of_the_current_one_is_refused_and_changes_nothing() {
    let home = Home::memory();
    let (database, _) = filled(&home, with(named("first", 1)));
    let before = home.files();
    let rotated = database.rotate_key(&named("first", 2));
    refused(rotated, Some("first"), "an id of its own");
    assert_eq!(home.files(), before);
    // The same key once more: files to come get another data key.
    database.rotate_key(&named("first", 1)).unwrap();
    database.rotate_key(&named("second", 2)).unwrap();
    let rotated = database.rotate_key(&named("second", 1));
    refused(rotated, Some("second"), "an id of its own");
    // An id that was given up may be given again.
    database.rotate_key(&named("first", 3)).unwrap();
    database.close().unwrap();
    drop(database);
    let opened = Database::open(home.env.clone(), home.path(), with(named("first", 1)));
    refused(opened, Some("first"), "does not open");
    assert_eq!(count(&home.open(with(named("first", 3)))), 120);
}

/// The provider is asked for the key that the database has, whatever its current one is.
#[test]
fn a_provider_that_went_on_still_opens_what_it_wrapped_before() {
    let home = Home::memory();
    let (database, _) = filled(&home, with(named("first", 1)));
    database.close().unwrap();
    drop(database);
    let went_on: Arc<dyn KeyProvider> = Arc::new(WentOn);
    let database = home.open(with(Arc::clone(&went_on)));
    assert_eq!(count(&database), 120);
    database.rotate_key(&went_on).unwrap();
    database.close().unwrap();
    drop(database);
    assert_eq!(count(&home.open(with(named("second", 2)))), 120);
    // Nor does it open what it has no key for.
    let opened = Database::open(home.env.clone(), home.path(), with(went_on));
    refused(opened, Some("second"), "does not open");
    let file = home.path().join("CURRENT");
    assert_eq!(key_id(&home.env, &file).unwrap(), None, "not a directory");
}

#[test]
fn a_copy_of_all_files_opens_with_the_key_and_stays_encrypted() {
    let home = Home::memory();
    let (database, _) = filled(&home, with(named("first", 1)));
    let copy = Home::memory();
    copy_tree(&home.env, &copy.env, home.path());
    refused(
        Database::open(copy.env.clone(), copy.path(), common::small()),
        Some("first"),
        "no key",
    );
    assert_eq!(count(&copy.open(with(named("first", 1)))), 120);
    drop(database);
}

fn copy_tree(from: &Env, to: &Env, dir: &Path) {
    to.disk.create_dir(dir).unwrap();
    for entry in from.disk.list(dir).unwrap() {
        let path = dir.join(&entry.name);
        if entry.kind == EntryKind::Dir {
            copy_tree(from, to, &path);
        } else {
            let bytes = bytes_of(&*from.disk, &path);
            to.disk.create(&path).unwrap().write_at(0, &bytes).unwrap();
        }
    }
}

/// A file of another database is refused, though it is whole and of the same key.
#[test]
fn a_file_of_another_database_of_the_same_key_is_refused() {
    let (home, other) = (Home::memory(), Home::memory());
    for home in [&home, &other] {
        let (database, _) = filled(home, with(named("first", 1)));
        database.close().unwrap();
    }
    let foreign = other.files();
    for (path, bytes) in home.files() {
        let end = path.extension().map(|end| end.display().to_string());
        let Some(end) = end.filter(|end| ["cat", "man", "wal"].contains(&&**end)) else {
            continue;
        };
        let (_, theirs) = foreign.iter().find(|(it, _)| *it == path).unwrap();
        let replace = |bytes: &[u8]| {
            home.env.disk.remove_file(&path).unwrap();
            let file = home.env.disk.create(&path).unwrap();
            file.write_at(0, bytes).unwrap();
        };
        replace(theirs);
        let read = Database::open(home.env.clone(), home.path(), with(named("first", 1)))
            .and_then(|database| database.open_collection("points").map(drop));
        let error = read.expect_err("a foreign file");
        assert_eq!(error.code(), Code::Corrupt, ".{end}: {error}");
        replace(&bytes);
    }
    assert_eq!(count(&home.open(with(named("first", 1)))), 120);
}

#[test]
fn keys_stand_in_no_error_statistic_or_setting() {
    let home = Home::memory();
    let options = with(named("first", 0x5a));
    let (database, _) = filled(&home, options.clone());
    let shown = [
        format!("{options:?}"),
        format!("{:?}", database.stats().unwrap()),
    ];
    database.close().unwrap();
    drop(database);
    let wrong = Database::open(home.env.clone(), home.path(), with(named("first", 0x5b)));
    let error = wrong.err().unwrap();
    for text in shown.into_iter().chain([format!("{error:?} {error}")]) {
        for secret in ["90, 90", "91, 91", "5a5a", "5b5b", "ZZZZ"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[test]
fn several_vector_fields_and_a_log_elsewhere_are_encrypted_too() {
    let home = Home::memory();
    let options = || Options {
        wal_dir: Some("/logs".into()),
        ..with(named("first", 1))
    };
    let database = home.open(options());
    let fields = ["a", "b"].map(|name| vector_field(name, 4, MetricName::Dot, IndexKind::Auto));
    let structure = schema(KeyType::String, fields.to_vec());
    let collection = database
        .create_collection("two", structure.clone())
        .unwrap();
    let row = |n: u64| Row::of(text(format!("{KEY}{n}")), vec![Some(VECTOR.to_vec()); 2]);
    let rows: Vec<Row> = (0..50).map(row).collect();
    let upsert = batch(&structure, WriteKind::Upsert, &rows);
    collection.write(upsert, WriteOptions::default()).unwrap();
    let logs = files_below(&*home.env.disk, Path::new("/logs"));
    assert!(logs.iter().any(|bytes| bytes.len() > 2_000));
    for bytes in logs {
        for (name, mark) in marks() {
            assert!(!contains(&bytes, &mark), "{name}");
        }
    }
    database.close().unwrap();
    drop((database, collection));
    let database = home.open(options());
    let collection = database.open_collection("two").unwrap();
    assert_eq!(collection.snapshot().unwrap().count(), 50);
}

fn bytes_of(disk: &dyn Disk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, Access::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

fn files_below(disk: &dyn Disk, dir: &Path) -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    for entry in disk.list(dir).unwrap() {
        let path = dir.join(&entry.name);
        if entry.kind == EntryKind::Dir {
            files.extend(files_below(disk, &path));
        } else {
            files.push(bytes_of(disk, &path));
        }
    }
    files
}

#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
#[test]
fn planted_bugs_are_found() {
    if std::env::var_os("CAIRN_BUG").is_none() {
        crate::crash::planted::expect_all_found(module_path!());
    }
}
