//! Versions, backups and archives of an encrypted database: nothing of it is readable in them, they
//! open with the key that the database had, and need none to be looked after.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_engine::encryption::{Key, KeyProvider, NamedKey};
use cairn_engine::{
    BackupOptions, Code, Collection, Database, Error, Fact, Job, KeyType, MetricName, Options,
    RestoreInfo, Unarchive, VersionId, backup_key_ids, list_backups, prune_backups, restore,
    verify_backup,
};
use cairn_env::{Access, Env};

use crate::common;
use common::{Home, Row, plain, put, remove, small, text};

fn named(id: &str, byte: u8) -> Arc<dyn KeyProvider> {
    Arc::new(NamedKey {
        id: id.to_owned(),
        key: Key::new(&[byte; 32]),
    })
}

fn with(id: &str, byte: u8) -> Options {
    Options {
        encryption: Some(named(id, byte)),
        ..small()
    }
}

const MARKS: [&str; 5] = [
    "collection-qzwx",
    "field-qzwx",
    "key-qzwx",
    "value-qzwx",
    "version-qzwx",
];

fn rows(from: u64, to: u64) -> Vec<Row> {
    let row = |n| {
        let value = format!("{} {n}", MARKS[3]);
        Row::new(text(format!("{} {n}", MARKS[2])), &[n as f32, 1.0]).with(MARKS[1], value.as_str())
    };
    (from..to).map(row).collect()
}

fn filled(env: &Env, dir: &Path, options: Options) -> (Arc<Database>, Arc<Collection>) {
    let database = Database::open(env.clone(), dir, options).unwrap();
    let schema = plain(KeyType::String, 2, MetricName::L2);
    let docs = database.create_collection(MARKS[0], schema).unwrap();
    put(&docs, &rows(0, 200));
    docs.compact(&Job::default()).unwrap();
    let gone: Vec<_> = (0..20).map(|n| text(format!("{} {n}", MARKS[2]))).collect();
    remove(&docs, &gone);
    (database, docs)
}

fn back_up(database: &Database, env: &Env, target: &Path) {
    let options = BackupOptions::default();
    let job = Job::default();
    database.backup(env, target, &options, &job).unwrap();
}

fn bring_back(
    env: &Env,
    target: &Path,
    id: Option<u64>,
    options: &Options,
) -> Result<RestoreInfo, Error> {
    restore(
        env,
        BACKUPS.as_ref(),
        target,
        id,
        None,
        options,
        &Job::default(),
    )
}

const BACKUPS: &str = "/backups";

fn count(env: &Env, dir: &str, options: Options) -> u64 {
    let database = Database::open(env.clone(), Path::new(dir), options).unwrap();
    assert!(database.verify(&Job::default()).unwrap().is_ok());
    let docs = database.open_collection(MARKS[0]).unwrap();
    let snapshot = docs.snapshot().unwrap();
    let mut scan = snapshot.scan(None).unwrap();
    let page = scan.next_page(10_000, &common::everything()).unwrap();
    assert_eq!(page.len() as u64, snapshot.count());
    snapshot.count()
}

fn files(env: &Env, dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    common::gather(&*env.disk, dir, &mut found);
    found
}

/// Which marks can be read in `bytes`.
fn readable(bytes: &[u8]) -> Vec<&'static str> {
    let has = |mark: &&str| {
        bytes
            .windows(mark.len())
            .any(|part| part == mark.as_bytes())
    };
    MARKS.into_iter().filter(|mark| has(mark)).collect()
}

fn archive(database: &Database) -> Vec<u8> {
    let mut archive = database.archive(None).unwrap();
    let mut all = Vec::new();
    loop {
        let part = archive.next(10_000).unwrap();
        if part.is_empty() {
            return all;
        }
        all.extend(part);
    }
}

fn unarchive(env: &Env, bytes: &[u8], target: &str, options: &Options) -> Result<(), Error> {
    let mut reader = Unarchive::new(env, Path::new(target), options)?;
    reader.write(bytes)?;
    reader.finish().map(drop)
}

#[track_caller]
fn refused<T>(result: Result<T, Error>, needed: Option<&str>, part: &str) {
    let error = result.err().expect("a key that does not fit");
    assert_eq!(error.code(), Code::InvalidArgument, "{error}");
    assert!(error.message().contains(part), "{error}");
    let named = error.details().iter().find_map(|(name, fact)| match fact {
        Fact::Text(text) if *name == "keyId" => Some(text.as_str()),
        _ => None,
    });
    assert_eq!(named, needed);
}

#[test]
fn nothing_can_be_read_in_versions_backups_and_archives() {
    for (encrypted, options) in [(false, small()), (true, with("first", 1))] {
        let home = Home::memory();
        let env = &home.env;
        let (database, docs) = filled(env, home.path(), options.clone());
        database.snapshot(Some(MARKS[4])).unwrap();
        put(&docs, &rows(500, 700));
        back_up(&database, env, BACKUPS.as_ref());
        let version = BackupOptions {
            name: None,
            version: Some(VersionId::Name(MARKS[4].to_owned())),
            verify: false,
        };
        let job = Job::default();
        database
            .backup(env, BACKUPS.as_ref(), &version, &job)
            .unwrap();
        bring_back(env, Path::new("/restored"), Some(2), &options).unwrap();
        let mut all = archive(&database);
        if encrypted {
            assert!(readable(&all).is_empty());
            // The path of every entry of ours is plain.
            unarchive(env, &all, "/unpacked", &options).unwrap();
        }
        for dir in [home.path(), BACKUPS.as_ref(), Path::new("/restored")] {
            for (path, bytes) in files(env, dir) {
                let marks = readable(&bytes);
                assert!(!encrypted || marks.is_empty(), "{marks:?} in {path:?}");
                all.extend(bytes);
            }
        }
        if !encrypted {
            assert_eq!(readable(&all), MARKS, "the search is blind");
        }
    }
}

#[test]
fn a_backup_opens_with_the_key_of_its_time_and_with_no_other() {
    let home = Home::memory();
    let env = &home.env;
    let (database, docs) = filled(env, home.path(), with("first", 1));
    back_up(&database, env, BACKUPS.as_ref());
    let before = archive(&database);

    database.rotate_key(&named("second", 2)).unwrap();
    put(&docs, &rows(300, 310));
    back_up(&database, env, BACKUPS.as_ref());
    let after = archive(&database);
    let ids = backup_key_ids(env, BACKUPS.as_ref()).unwrap();
    assert_eq!(ids.into_iter().collect::<Vec<_>>(), ["first", "second"]);
    let of_home = backup_key_ids(env, home.path()).unwrap();
    assert_eq!(of_home.into_iter().collect::<Vec<_>>(), ["second"]);

    let nowhere = Path::new("/nowhere");
    for (id, needed, wrong) in [(1, "first", 2), (2, "second", 1)] {
        let (none, other) = (small(), with("x", wrong));
        refused(
            bring_back(env, nowhere, Some(id), &none),
            Some(needed),
            "no key was given",
        );
        refused(
            bring_back(env, nowhere, Some(id), &other),
            Some(needed),
            "does not open",
        );
    }
    for (bytes, needed, wrong) in [(&before, "first", 2), (&after, "second", 1)] {
        let other = with("x", wrong);
        refused(
            unarchive(env, bytes, "/nowhere", &small()),
            Some(needed),
            "no key was given",
        );
        refused(
            unarchive(env, bytes, "/nowhere", &other),
            Some(needed),
            "does not open",
        );
    }
    assert_eq!(env.disk.entry(nowhere).unwrap(), None);

    bring_back(env, Path::new("/1"), Some(1), &with("first", 1)).unwrap();
    bring_back(env, Path::new("/2"), Some(2), &with("second", 2)).unwrap();
    assert_eq!(count(env, "/1", with("first", 1)), 180);
    assert_eq!(count(env, "/2", with("second", 2)), 190);
    unarchive(env, &before, "/3", &with("first", 1)).unwrap();
    unarchive(env, &after, "/4", &with("second", 2)).unwrap();
    assert_eq!(count(env, "/3", with("first", 1)), 180);
    assert_eq!(count(env, "/4", with("second", 2)), 190);
    // What was restored is a database of its own, whose key changes as any other's.
    let restored = Database::open(env.clone(), Path::new("/1"), with("first", 1)).unwrap();
    restored.rotate_key(&named("third", 3)).unwrap();
    drop(restored);
    assert_eq!(count(env, "/1", with("third", 3)), 180);
}

#[test]
fn a_recorded_version_stays_readable_after_rotations_and_is_taken_out_of_a_copy() {
    let home = Home::memory();
    let env = &home.env;
    let (database, docs) = filled(env, home.path(), with("first", 1));
    database.snapshot(Some("v")).unwrap();
    database.rotate_key(&named("second", 2)).unwrap();
    put(&docs, &rows(300, 310));
    docs.compact(&Job::default()).unwrap();
    let read = |database: &Database| {
        let past = database.at(&VersionId::Name("v".into())).unwrap();
        let docs = past.open_collection(MARKS[0]).unwrap();
        docs.snapshot().unwrap().count()
    };
    assert_eq!(read(&database), 180);
    drop((database, docs));
    let database = Database::open(env.clone(), home.path(), with("second", 2)).unwrap();
    assert_eq!(read(&database), 180);
    let version = VersionId::Name("v".into());
    let take = |target: &str, options: &Options| {
        let job = Job::default();
        let target = Path::new(target);
        restore(
            env,
            home.path(),
            target,
            None,
            Some(&version),
            options,
            &job,
        )
    };
    refused(take("/out", &small()), Some("second"), "no key was given");
    take("/out", &with("second", 2)).unwrap();
    assert_eq!(count(env, "/out", with("second", 2)), 180);
}

#[test]
fn backups_are_listed_verified_and_pruned_without_a_key() {
    let home = Home::memory();
    let env = &home.env;
    let (database, docs) = filled(env, home.path(), with("first", 1));
    let target = Path::new(BACKUPS);
    for n in 0..3 {
        put(&docs, &rows(300 + n, 301 + n));
        docs.compact(&Job::default()).unwrap();
        back_up(&database, env, target);
    }
    let listed = list_backups(env, target).unwrap();
    assert!(
        listed.len() == 3
            && listed
                .iter()
                .all(|one| one.error.is_none() && one.files > 0)
    );
    let job = Job::default();
    assert_eq!(verify_backup(env, target, None, &job).unwrap().backups, 3);
    assert_eq!(prune_backups(env, target, 2, &small()).unwrap(), [1]);
    assert_eq!(verify_backup(env, target, None, &job).unwrap().backups, 2);
    // Damage is found without a key as well, in any byte of any file.
    let all = files(env, target);
    let stored = all.iter().filter(|(path, _)| !path.ends_with("LOCK"));
    for (path, bytes) in stored {
        for at in (0..bytes.len()).step_by(97) {
            let file = env.disk.open(path, Access::Write).unwrap();
            file.write_at(at as u64, &[bytes[at] ^ 4]).unwrap();
            let found = verify_backup(env, target, None, &job).unwrap_err();
            let codes = [Code::Corrupt, Code::UnsupportedFormat];
            assert!(codes.contains(&found.code()), "{path:?} {at}: {found}");
            file.write_at(at as u64, &[bytes[at]]).unwrap();
        }
    }
    verify_backup(env, target, None, &job).unwrap();
}

/// Who can write to the backups but has no key changes nothing unseen.
#[test]
fn a_forged_backup_is_refused_by_the_restore() {
    let home = Home::memory();
    let env = &home.env;
    let (one, docs) = filled(env, home.path(), with("first", 1));
    let target = Path::new(BACKUPS);
    back_up(&one, env, target);
    put(&docs, &rows(300, 301));
    docs.compact(&Job::default()).unwrap();
    back_up(&one, env, target);
    // The record of the second under the name and number of the first.
    let record = |id: u64| target.join(format!("backups/{id:020}.bak"));
    let bytes = files(env, target);
    let second = bytes.iter().find(|(path, _)| *path == record(2)).unwrap();
    env.disk.remove_file(&record(1)).unwrap();
    let file = env.disk.create(&record(1)).unwrap();
    file.write_at(0, &second.1).unwrap();
    let refused = bring_back(env, Path::new("/r"), Some(1), &with("first", 1));
    assert_eq!(refused.unwrap_err().code(), Code::Corrupt);
    assert_eq!(env.disk.entry(Path::new("/r")).unwrap(), None);
    bring_back(env, Path::new("/r"), Some(2), &with("first", 1)).unwrap();
}

#[test]
fn a_key_for_what_is_in_clear_is_refused() {
    let home = Home::memory();
    let env = &home.env;
    let (database, _) = filled(env, home.path(), small());
    back_up(&database, env, BACKUPS.as_ref());
    assert!(backup_key_ids(env, BACKUPS.as_ref()).unwrap().is_empty());
    let (target, key) = (Path::new("/r"), with("first", 1));
    refused(bring_back(env, target, None, &key), None, "not encrypted");
    let bytes = archive(&database);
    refused(unarchive(env, &bytes, "/r", &key), None, "not encrypted");
    assert_eq!(env.disk.entry(target).unwrap(), None);
}
