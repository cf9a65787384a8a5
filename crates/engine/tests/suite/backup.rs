//! Backups: as many as are wanted in one directory, sharing files, each restored to exactly what it
//! was made of; and archives, which any tar unpacks to a database.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cairn_engine::{
    BackupInfo, BackupOptions, Code, Collection, Database, Fact, Job, KeyType, MetricName, Options,
    Stop, Unarchive, VersionId, list_backups, prune_backups, restore, verify_backup,
};
use cairn_env::{Access, EntryKind, Env};
use cairn_testkit::{Choice, Rng, SimDisk, sim_env, sim_env_seeded};

use crate::common;
use common::{Home, Model, Row, batch, number, plain, put, remove, small};

pub(crate) fn create(database: &Database, name: &str) -> Arc<Collection> {
    let schema = plain(KeyType::U64, 2, MetricName::Cosine);
    database.create_collection(name, schema).unwrap()
}

pub(crate) fn rows(from: u64, to: u64) -> Vec<Row> {
    let row = |n: u64| Row::new(number(n), &[n as f32, 1.0]).with("n", n as i64);
    (from..to).map(row).collect()
}

pub(crate) fn back_up(database: &Database, env: &Env, target: &Path) -> BackupInfo {
    let options = BackupOptions::default();
    database
        .backup(env, target, &options, &Job::default())
        .unwrap()
}

fn bring_back(env: &Env, source: &Path, target: &Path, id: Option<u64>) -> Arc<Database> {
    restore(env, source, target, id, None, &small(), &Job::default()).unwrap();
    Database::open(env.clone(), target, small()).unwrap()
}

/// Everything that a database has, by collection.
pub(crate) type Contents = Vec<(String, Vec<String>)>;

pub(crate) fn contents(database: &Database) -> Contents {
    let read = |info: cairn_engine::CollectionInfo| {
        let collection = database.open_collection(&info.name).unwrap();
        let mut scan = collection.snapshot().unwrap().scan(None).unwrap();
        let page = scan.next_page(100_000, &common::everything()).unwrap();
        let records = page.iter().map(|record| format!("{record:?}"));
        (info.name, records.collect())
    };
    database
        .collections()
        .unwrap()
        .into_iter()
        .map(read)
        .collect()
}

fn files(env: &Env, dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in env.disk.list(dir).unwrap_or_default() {
        let path = dir.join(&entry.name);
        if entry.kind == EntryKind::Dir {
            found.extend(files(env, &path));
        } else if !entry.name.starts_with("LOCK") {
            let file = env.disk.open(&path, Access::Read).unwrap();
            let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
            file.read_exact_at(0, &mut bytes).unwrap();
            found.push((path, bytes));
        }
    }
    found
}

fn flip(env: &Env, path: &Path, at: u64) {
    let file = env.disk.open(path, Access::Write).unwrap();
    let mut byte = [0];
    file.read_exact_at(at, &mut byte).unwrap();
    file.write_at(at, &[byte[0] ^ 1]).unwrap();
}

#[test]
fn each_backup_is_restored_to_what_it_was_made_of() {
    for home in [Home::memory(), Home::directory("backup")] {
        let (env, target) = (&home.env, home.path().with_extension("backups"));
        let mut rng = Rng::new(5);
        let database = home.open(small());
        let schema = plain(KeyType::U64, 2, MetricName::L2);
        let docs = database.create_collection("docs", schema.clone()).unwrap();
        let mut model = Model::new(&schema);
        let mut made = Vec::new();
        for round in 0..6 {
            for _ in 0..8 {
                let rows: Vec<Row> = (0..40)
                    .map(|_| {
                        let vector = [rng.below(9) as f32, rng.below(9) as f32];
                        Row::new(number(rng.below(400)), &vector).with("round", round)
                    })
                    .collect();
                let kind = if rng.chance(0.3) {
                    cairn_engine::WriteKind::Delete
                } else {
                    cairn_engine::WriteKind::Upsert
                };
                let answer = docs.write(batch(&schema, kind, &rows), Default::default());
                model.write(kind, &rows, None, &answer);
            }
            if round == 3 {
                docs.compact(&Job::default()).unwrap();
            }
            made.push((back_up(&database, env, &target), model.clone()));
        }
        let listed = list_backups(env, &target).unwrap();
        assert_eq!(listed.len(), 6);
        let verified = verify_backup(env, &target, None, &Job::default()).unwrap();
        assert_eq!(verified.backups, 6);
        drop((docs, database));
        for (info, model) in &made {
            let place = home.path().with_extension(format!("r{}", info.id));
            let restored = bring_back(env, &target, &place, Some(info.id));
            assert!(restored.verify(&Job::default()).unwrap().is_ok());
            let docs = restored.open_collection("docs").unwrap();
            model.check(&docs.snapshot().unwrap());
            // It is a database of its own: it takes writes, and opens again.
            put(&docs, &[Row::new(number(9_999), &[1.0, 1.0])]);
            docs.compact(&Job::default()).unwrap();
            restored.close().unwrap();
            let again = Database::open(env.clone(), &place, small()).unwrap();
            let docs = again.open_collection("docs").unwrap();
            let count = docs.snapshot().unwrap().count();
            assert_eq!(count, model.records.len() as u64 + 1);
        }
    }
}

#[test]
fn a_second_backup_copies_new_files_only_and_writes_none_that_is_there() {
    let home = Home::memory();
    let database = home.open(small());
    let docs = create(&database, "docs");
    let target = Path::new("/backups");
    put(&docs, &rows(0, 1_000));
    let first = back_up(&database, &home.env, target);
    assert!(first.files >= 1 && first.files_copied == first.files);
    assert_eq!(first.bytes_copied, first.bytes_total);
    let before = files(&home.env, target);
    let again = back_up(&database, &home.env, target);
    assert_eq!((again.files_copied, again.bytes_copied), (0, 0));
    assert_eq!((again.files, again.id), (first.files, 2));
    put(&docs, &rows(1_000, 1_010));
    let more = back_up(&database, &home.env, target);
    assert_eq!((more.files, more.files_copied), (first.files + 1, 1));
    assert!(more.bytes_copied < first.bytes_copied);
    let after = files(&home.env, target);
    assert!(
        before.iter().all(|file| after.contains(file)),
        "what was there is as it was"
    );
}

#[test]
fn writes_go_on_while_a_backup_is_made_and_what_it_needs_is_not_removed() {
    let home = Home::directory("backup-writes");
    let database = home.open(small());
    let docs = create(&database, "docs");
    put(&docs, &rows(0, 20_000));
    let target = home.path().with_extension("backups");
    let done = AtomicBool::new(false);
    let written = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                put(&docs, &rows(0, 300));
                written.fetch_add(1, Ordering::Relaxed);
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                docs.compact(&Job::default()).unwrap();
            }
        });
        for _ in 0..5 {
            let before = written.load(Ordering::Relaxed);
            back_up(&database, &home.env, &target);
            common::eventually("a write", || written.load(Ordering::Relaxed) > before);
        }
        done.store(true, Ordering::Relaxed);
    });
    let verified = verify_backup(&home.env, &target, None, &Job::default()).unwrap();
    assert_eq!(verified.backups, 5);
    let restored = bring_back(
        &home.env,
        &target,
        &home.path().with_extension("restored"),
        None,
    );
    let count = restored
        .open_collection("docs")
        .unwrap()
        .snapshot()
        .unwrap()
        .count();
    assert_eq!(count, 20_000);
}

#[test]
fn a_recorded_version_is_backed_up_and_restored_by_its_name() {
    let home = Home::memory();
    let database = home.open(small());
    let docs = create(&database, "docs");
    put(&docs, &rows(0, 100));
    database.snapshot(Some("v1")).unwrap();
    remove(&docs, &[number(5)]);
    put(&docs, &rows(100, 200));
    database.drop_collection("docs").unwrap();
    let target = Path::new("/backups");
    let options = BackupOptions {
        name: Some("nightly".into()),
        version: Some(VersionId::Name("v1".into())),
        verify: false,
    };
    let job = Job::default();
    let made = database.backup(&home.env, target, &options, &job).unwrap();
    assert_eq!(made.name.as_deref(), Some("nightly"));
    back_up(&database, &home.env, target);
    for (place, name) in [("/a", "v1"), ("/b", "nightly")] {
        let version = VersionId::Name(name.into());
        let env = &home.env;
        let place = Path::new(place);
        restore(env, target, place, None, Some(&version), &small(), &job).unwrap();
        let restored = Database::open(env.clone(), place, small()).unwrap();
        let docs = restored.open_collection("docs").unwrap();
        assert_eq!(docs.snapshot().unwrap().count(), 100);
    }
    let none = VersionId::Lsn(999);
    let place = Path::new("/c");
    let missing = restore(&home.env, target, place, None, Some(&none), &small(), &job);
    assert_eq!(missing.unwrap_err().code(), Code::NotFound);
    assert_eq!(home.env.disk.entry(place).unwrap(), None);
}

#[test]
fn a_target_of_another_kind_is_refused() {
    let home = Home::memory();
    let (env, job) = (&home.env, Job::default());
    let database = home.open(small());
    put(&create(&database, "docs"), &rows(0, 10));
    let code = |target: &Path| {
        let refused = database.backup(env, target, &BackupOptions::default(), &job);
        refused.unwrap_err().code()
    };
    assert_eq!(code(home.path()), Code::InvalidArgument, "itself");
    let other = Database::open(env.clone(), Path::new("/other"), small()).unwrap();
    assert_eq!(
        code(Path::new("/other")),
        Code::InvalidArgument,
        "another database"
    );
    back_up(&other, env, Path::new("/backups"));
    assert_eq!(
        code(Path::new("/backups")),
        Code::InvalidArgument,
        "backups of another"
    );
    let listed = list_backups(env, Path::new("/none"));
    assert_eq!(listed.unwrap_err().code(), Code::NotFound);
    back_up(&database, env, Path::new("/mine"));
    // A database is nowhere but in an empty directory.
    for occupied in [home.path(), Path::new("/mine")] {
        let before = files(env, occupied);
        let refused = restore(
            env,
            Path::new("/mine"),
            occupied,
            None,
            None,
            &small(),
            &job,
        );
        assert_eq!(refused.unwrap_err().code(), Code::AlreadyExists);
        assert_eq!(files(env, occupied), before);
    }
    env.disk.create_dir(Path::new("/empty")).unwrap();
    bring_back(env, Path::new("/mine"), Path::new("/empty"), None);
}

#[test]
fn a_copy_of_a_database_that_went_another_way_is_refused() {
    let home = Home::memory();
    let env = &home.env;
    let database = home.open(small());
    let docs = create(&database, "docs");
    put(&docs, &rows(0, 100));
    database.commit().unwrap();
    docs.compact(&Job::default()).unwrap();
    drop(docs);
    database.close().unwrap();
    let copy = Path::new("/copy");
    for (path, bytes) in files(env, home.path()) {
        let path = copy.join(path.strip_prefix(home.path()).unwrap());
        make_all(env, path.parent().unwrap());
        env.disk.create(&path).unwrap().write_at(0, &bytes).unwrap();
    }
    for empty in ["del", "seg", "wal"] {
        make_all(env, &copy.join("collections/0000000000000001").join(empty));
    }
    let (one, two) = (
        home.open(small()),
        Database::open(env.clone(), copy, small()).unwrap(),
    );
    remove(&one.open_collection("docs").unwrap(), &[number(1)]);
    remove(
        &two.open_collection("docs").unwrap(),
        &[number(1), number(2)],
    );
    let target = Path::new("/backups");
    back_up(&one, env, target);
    let refused = two.backup(env, target, &BackupOptions::default(), &Job::default());
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    verify_backup(env, target, None, &Job::default()).unwrap();
}

fn make_all(env: &Env, dir: &Path) {
    if let Some(above) = dir.parent() {
        make_all(env, above);
    }
    let _ = env.disk.create_dir(dir);
}

#[test]
fn damage_is_found_with_file_and_offset_and_refused_by_a_restore() {
    let home = Home::memory();
    let env = &home.env;
    let database = home.open(small());
    put(&create(&database, "docs"), &rows(0, 500));
    let target = Path::new("/backups");
    back_up(&database, env, target);
    let path = |end: &str| {
        let all = files(env, target).into_iter().map(|(path, _)| path);
        all.into_iter()
            .find(|path| path.to_str().unwrap().ends_with(end))
            .unwrap()
    };
    let segment = path(".seg");
    flip(env, &segment, 1_000);
    let job = Job::default();
    let found = verify_backup(env, target, Some(1), &job).unwrap_err();
    assert_eq!(found.code(), Code::Corrupt);
    let fact = |name: &str| {
        found
            .details()
            .iter()
            .find(|(n, _)| *n == name)
            .unwrap()
            .1
            .clone()
    };
    assert_eq!(fact("file"), Fact::Text(segment.display().to_string()));
    // The block that has the byte begins behind the header of 64 bytes.
    assert_eq!(fact("offset"), Fact::Number(64));
    let place = Path::new("/restored");
    let refused = restore(env, target, place, None, None, &small(), &job).unwrap_err();
    assert_eq!(refused.code(), Code::Corrupt);
    assert_eq!(
        env.disk.entry(place).unwrap(),
        None,
        "nothing is left of it"
    );

    env.disk.remove_file(&segment).unwrap();
    let found = verify_backup(env, target, None, &job).unwrap_err();
    assert_eq!(found.code(), Code::Corrupt);
    // The next backup brings back what is missing.
    back_up(&database, env, target);
    assert_eq!(verify_backup(env, target, None, &job).unwrap().backups, 2);

    flip(env, &path("001.bak"), 70);
    assert_eq!(
        verify_backup(env, target, None, &job).unwrap_err().code(),
        Code::Corrupt
    );
    let listed = list_backups(env, target).unwrap();
    assert_eq!(listed[0].error.as_ref().unwrap().code(), Code::Corrupt);
    assert!(listed[1].error.is_none());
    bring_back(env, target, place, None);
}

#[test]
fn a_damaged_database_makes_no_backup() {
    let home = Home::memory();
    let env = &home.env;
    let database = home.open(small());
    put(&create(&database, "docs"), &rows(0, 500));
    let target = Path::new("/backups");
    database.snapshot(Some("v")).unwrap();
    let seg = home.path().join("collections/0000000000000001/seg");
    let name = env.disk.list(&seg).unwrap()[0].name.clone();
    flip(env, &seg.join(&name), 1_000);
    let refused = database.backup(env, target, &BackupOptions::default(), &Job::default());
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::Corrupt);
    let file = Fact::Text(seg.join(name).display().to_string());
    assert!(
        refused.details().iter().any(|(_, fact)| *fact == file),
        "{refused}"
    );
    assert!(list_backups(env, target).unwrap().is_empty());
    let mut archive = database.archive(None).unwrap();
    let failed = loop {
        match archive.next(4_096) {
            Ok(bytes) => assert!(!bytes.is_empty(), "it ended"),
            Err(error) => break error,
        }
    };
    assert_eq!(failed.code(), Code::Corrupt);
}

#[test]
fn old_backups_go_and_the_last_good_one_stays() {
    let home = Home::memory();
    let env = &home.env;
    let database = home.open(small());
    let docs = create(&database, "docs");
    let target = Path::new("/backups");
    for n in 0..5 {
        put(&docs, &rows(n * 10, n * 10 + 10));
        docs.compact(&Job::default()).unwrap();
        back_up(&database, env, target);
    }
    let ids = || -> Vec<u64> {
        list_backups(env, target)
            .unwrap()
            .iter()
            .map(|backup| backup.id)
            .collect()
    };
    assert_eq!(prune_backups(env, target, 3, &small()).unwrap(), [1, 2]);
    assert_eq!(ids(), [3, 4, 5]);
    let segments = || {
        let all = files(env, target);
        all.iter()
            .filter(|(path, _)| path.extension().unwrap() == "seg")
            .count()
    };
    assert_eq!(segments(), 3, "what only those had has gone");
    verify_backup(env, target, None, &Job::default()).unwrap();
    // The newest one loses a file: it does not count, and what is kept instead is older.
    let newest = database
        .open_collection("docs")
        .unwrap()
        .stats()
        .unwrap()
        .segments[0]
        .id
        .clone();
    let path = target.join(format!("collections/0000000000000001/seg/{newest}.seg"));
    env.disk.remove_file(&path).unwrap();
    assert_eq!(prune_backups(env, target, 0, &small()).unwrap(), [3]);
    assert_eq!(ids(), [4, 5]);
    let restored = bring_back(env, target, Path::new("/restored"), Some(4));
    assert_eq!(restored.collections().unwrap()[0].count, 40);
}

#[test]
fn a_backup_that_is_ended_early_leaves_what_was_there() {
    let home = Home::memory();
    let env = &home.env;
    let database = home.open(small());
    let docs = create(&database, "docs");
    put(&docs, &rows(0, 100));
    let target = Path::new("/backups");
    back_up(&database, env, target);
    let before = files(env, target);
    put(&docs, &rows(100, 40_000));
    let flag = Arc::new(AtomicBool::new(false));
    let seen = Arc::new(AtomicU64::new(0));
    let (ends, hears) = (Arc::clone(&flag), Arc::clone(&seen));
    let job = Job {
        stop: Stop::never().when(flag),
        progress: Some(Arc::new(move |done, total| {
            assert!(done <= total);
            hears.store(done, Ordering::Relaxed);
            ends.store(true, Ordering::Relaxed);
        })),
    };
    let ended = database.backup(env, target, &BackupOptions::default(), &job);
    assert_eq!(ended.unwrap_err().code(), Code::Aborted);
    assert!(seen.load(Ordering::Relaxed) > 0, "it had begun");
    assert_eq!(files(env, target), before);
    let ended = restore(env, target, Path::new("/r"), None, None, &small(), &job);
    assert_eq!(ended.unwrap_err().code(), Code::Aborted);
    assert_eq!(env.disk.entry(Path::new("/r")).unwrap(), None);
}

#[test]
fn one_backup_at_a_time_in_a_directory() {
    let home = Home::directory("backup-locked");
    let database = home.open(small());
    let target = home.path().with_extension("backups");
    back_up(&database, &home.env, &target);
    let _held = home.env.disk.lock(&target.join("LOCK")).unwrap().unwrap();
    let refused = database.backup(
        &home.env,
        &target,
        &BackupOptions::default(),
        &Job::default(),
    );
    assert_eq!(refused.unwrap_err().code(), Code::Locked);
    let refused = prune_backups(&home.env, &target, 1, &Options::default());
    assert_eq!(refused.unwrap_err().code(), Code::Locked);
}

/// A world on a simulated disk: a database with one backup, about to make another.
fn about_to_back_up() -> (SimDisk, Env, Arc<Database>, Contents) {
    let disk = SimDisk::new();
    let env = sim_env(&disk);
    let database = Database::open(env.clone(), Path::new("/db"), small()).unwrap();
    let docs = create(&database, "docs");
    put(&docs, &rows(0, 50));
    remove(&docs, &[number(3)]);
    back_up(&database, &env, Path::new("/backups"));
    let first = contents(&database);
    put(&docs, &rows(50, 90));
    remove(&docs, &[number(60)]);
    (disk, env, database, first)
}

#[test]
fn no_failing_call_harms_the_backups_that_were_there() {
    let (mut failed, target) = (0, Path::new("/backups"));
    for call in 1..200 {
        let (disk, env, database, first) = about_to_back_up();
        let kind = [std::io::ErrorKind::StorageFull, std::io::ErrorKind::Other];
        disk.fail_nth(
            disk.calls() + call,
            kind[usize::try_from(call % 2).unwrap()],
        );
        let made = database.backup(&env, target, &BackupOptions::default(), &Job::default());
        disk.clear_faults();
        let Err(error) = made else {
            continue;
        };
        failed += 1;
        let codes = [Code::NoSpace, Code::Io, Code::Closed];
        assert!(codes.contains(&error.code()), "call {call}: {error}");
        let restored = bring_back(&env, target, Path::new("/r1"), Some(1));
        assert_eq!(contents(&restored), first, "call {call}");
        verify_backup(&env, target, None, &Job::default()).unwrap();
        // The next one succeeds, and leaves nothing behind that nobody needs.
        let _ = database.close();
        let database = Database::open(env.clone(), Path::new("/db"), small()).unwrap();
        let made = back_up(&database, &env, target);
        let now = contents(&database);
        let place = Path::new("/r2");
        assert_eq!(
            contents(&bring_back(&env, target, place, Some(made.id))),
            now,
            "call {call}"
        );
        assert!(
            disk.paths().iter().all(|path| !path.ends_with(".tmp")),
            "call {call}"
        );
    }
    assert!(failed > 20, "{failed} calls failed");
}

#[test]
fn power_lost_during_a_backup_leaves_the_earlier_ones_whole() {
    let target = Path::new("/backups");
    let (disk, env, database, first) = about_to_back_up();
    let began = disk.op_count();
    back_up(&database, &env, target);
    let answered = disk.op_count();
    let second = contents(&database);
    drop(database);
    let mut rng = Rng::new(11);
    for at in began..=answered {
        for round in 0..6 {
            let mut choice = match round {
                0 => Choice::keep_all(),
                1 => Choice::lose_all(),
                _ => Choice::seeded(rng.next_u64()),
            };
            let image = disk.crash_point(at).image(&mut choice);
            let env = sim_env_seeded(&image, rng.next_u64());
            let what = format!("at {at} of {began}..{answered}");
            verify_backup(&env, target, None, &Job::default()).expect(&what);
            let ids: Vec<u64> = list_backups(&env, target)
                .unwrap()
                .iter()
                .map(|one| one.id)
                .collect();
            assert!(ids.starts_with(&[1]), "{what}");
            assert!(
                at < answered || ids == [1, 2],
                "{what}: what was answered is there"
            );
            let restored = bring_back(&env, target, Path::new("/r1"), Some(1));
            assert_eq!(contents(&restored), first, "{what}");
            if ids.len() == 2 {
                let restored = bring_back(&env, target, Path::new("/r2"), Some(2));
                assert_eq!(contents(&restored), second, "{what}");
            }
            let database = Database::open(env.clone(), Path::new("/db"), small()).unwrap();
            let made = back_up(&database, &env, target);
            verify_backup(&env, target, Some(made.id), &Job::default()).expect(&what);
            assert!(
                image.paths().iter().all(|path| !path.ends_with(".tmp")),
                "{what}"
            );
        }
    }
}

#[test]
fn power_lost_during_a_restore_leaves_the_database_or_none() {
    let (disk, env, database, _) = about_to_back_up();
    let target = Path::new("/backups");
    back_up(&database, &env, target);
    let expected = contents(&database);
    drop(database);
    let began = disk.op_count();
    restore(
        &env,
        target,
        Path::new("/r"),
        None,
        None,
        &small(),
        &Job::default(),
    )
    .unwrap();
    let answered = disk.op_count();
    let mut rng = Rng::new(3);
    for at in began..=answered {
        for _ in 0..4 {
            let image = disk
                .crash_point(at)
                .image(&mut Choice::seeded(rng.next_u64()));
            let env = sim_env_seeded(&image, rng.next_u64());
            match Database::open_read_only(env.clone(), Path::new("/r"), small()) {
                Ok(restored) => assert_eq!(contents(&restored), expected, "at {at}"),
                Err(error) => {
                    assert!(at < answered, "at {at}: {error}");
                    let codes = [Code::NotFound, Code::Corrupt];
                    assert!(codes.contains(&error.code()), "at {at}: {error}");
                }
            }
        }
    }
}

#[test]
fn a_full_disk_below_the_target_is_said_and_nothing_is_harmed() {
    let (disk, env, database, first) = about_to_back_up();
    let target = Path::new("/backups");
    let docs = database.open_collection("docs").unwrap();
    put(&docs, &rows(0, 5_000));
    docs.compact(&Job::default()).unwrap();
    disk.set_capacity(Some(disk.used_bytes() + 20_000));
    let refused = database.backup(&env, target, &BackupOptions::default(), &Job::default());
    assert_eq!(refused.unwrap_err().code(), Code::NoSpace);
    disk.set_capacity(None);
    verify_backup(&env, target, None, &Job::default()).unwrap();
    assert_eq!(
        contents(&bring_back(&env, target, Path::new("/r"), None)),
        first
    );
    put(&docs, &rows(5_000, 5_001));
}

pub(crate) fn archive(database: &Database, version: Option<&VersionId>) -> Vec<u8> {
    let mut archive = database.archive(version).unwrap();
    let mut all = Vec::new();
    loop {
        let part = archive.next(10_000).unwrap();
        if part.is_empty() {
            return all;
        }
        all.extend(part);
    }
}

pub(crate) fn unarchive(env: &Env, bytes: &[u8], place: &Path) -> cairn_engine::Result<u64> {
    let mut reader = Unarchive::new(env, place, &small())?;
    for part in bytes.chunks(777) {
        reader.write(part)?;
    }
    reader.finish().map(|info| info.files)
}

#[test]
fn an_archive_comes_back_as_the_database_it_is_of() {
    let home = Home::memory();
    let env = &home.env;
    let database = home.open(small());
    let docs = create(&database, "docs");
    create(&database, "empty");
    put(&docs, &rows(0, 3_000));
    remove(&docs, &[number(4), number(5)]);
    let before = contents(&database);
    database.snapshot(Some("v")).unwrap();
    put(&docs, &rows(0, 2));
    let now = contents(&database);
    let version = VersionId::Name("v".into());
    for (place, version, expected) in [("/a", None, now), ("/b", Some(&version), before)] {
        let bytes = archive(&database, version);
        assert_eq!(bytes.len() % 512, 0);
        assert!(unarchive(env, &bytes, Path::new(place)).unwrap() >= 1);
        let restored = Database::open(env.clone(), Path::new(place), small()).unwrap();
        assert_eq!(contents(&restored), expected);
        assert!(restored.verify(&Job::default()).unwrap().is_ok());
    }
}

#[test]
fn a_cut_or_damaged_archive_makes_no_database() {
    let home = Home::memory();
    let env = &home.env;
    let database = home.open(small());
    put(&create(&database, "docs"), &rows(0, 60));
    let whole = archive(&database, None);
    let place = Path::new("/r");
    for length in (0..whole.len() - 1024).step_by(509) {
        let refused = unarchive(env, &whole[..length], place).unwrap_err();
        assert_eq!(refused.code(), Code::Corrupt, "cut at {length}");
        assert_eq!(env.disk.entry(place).unwrap(), None, "cut at {length}");
    }
    let mut rng = Rng::new(9);
    let (mut refused, mut harmless) = (0, 0);
    let expected = contents(&database);
    for _ in 0..400 {
        let mut damaged = whole.clone();
        let at = rng.range(0..damaged.len() - 1024);
        damaged[at] ^= 1 << rng.below(8);
        match unarchive(env, &damaged, place) {
            Ok(_) => {
                // A bit of a tar's own filling.
                let restored = Database::open(env.clone(), place, small()).unwrap();
                assert_eq!(contents(&restored), expected, "byte {at}");
                harmless += 1;
            }
            Err(error) => {
                let codes = [
                    Code::Corrupt,
                    Code::InvalidArgument,
                    Code::UnsupportedFormat,
                ];
                assert!(codes.contains(&error.code()), "byte {at}: {error}");
                refused += 1;
            }
        }
        remove_all(env, place);
    }
    assert!(refused > 200, "{refused} refused, {harmless} harmless");
}

pub(crate) fn remove_all(env: &Env, dir: &Path) {
    for entry in env.disk.list(dir).unwrap_or_default() {
        let path = dir.join(&entry.name);
        if entry.kind == EntryKind::Dir {
            remove_all(env, &path);
        } else {
            env.disk.remove_file(&path).unwrap();
        }
    }
    let _ = env.disk.remove_dir(dir);
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let env = Env::memory(1);
    for path in [
        "../x.seg",
        "/etc/passwd",
        "collections/0000000000000001/seg/../../x.seg",
        "a",
    ] {
        let mut block = [0_u8; 512];
        block[..path.len()].copy_from_slice(path.as_bytes());
        block[124..135].copy_from_slice(b"00000000005");
        block[148..156].copy_from_slice(b"        ");
        block[156] = b'0';
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let mut reader = Unarchive::new(&env, Path::new("/r"), &small()).unwrap();
        let refused = reader.write(&block).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{path}");
        drop(reader);
        assert_eq!(env.disk.entry(Path::new("/r")).unwrap(), None);
    }
}
