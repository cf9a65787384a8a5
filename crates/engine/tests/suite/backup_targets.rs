//! Directories of backups that are something else, damaged, hostile, or changed by others meanwhile.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cairn_engine::{
    BackupInfo, BackupOptions, Code, Collection, Database, Job, KeyType, MetricName, Options,
    Result, Unarchive, VersionId, list_backups, prune_backups, restore, verify_backup,
};
use cairn_env::{Access, Env};
use cairn_testkit::HookedDisk;

use crate::common;
use common::{Home, Row, number, plain, put, small};

fn create(database: &Database, name: &str) -> Arc<Collection> {
    let schema = plain(KeyType::U64, 2, MetricName::L2);
    database.create_collection(name, schema).unwrap()
}

fn rows(from: u64, to: u64) -> Vec<Row> {
    let row = |n: u64| Row::new(number(n), &[n as f32, 1.0]);
    (from..to).map(row).collect()
}

fn back_up(database: &Database, env: &Env, target: &Path) -> Result<BackupInfo> {
    database.backup(env, target, &BackupOptions::default(), &Job::default())
}

fn bring_back(env: &Env, source: &Path, target: &Path) -> Arc<Database> {
    let job = Job::default();
    restore(env, source, target, None, None, &small(), &job).unwrap();
    Database::open(env.clone(), target, small()).unwrap()
}

fn make_all(env: &Env, dir: &Path) {
    if let Some(above) = dir.parent() {
        make_all(env, above);
    }
    let _ = env.disk.create_dir(dir);
}

fn write(env: &Env, path: &Path, bytes: &[u8]) {
    make_all(env, path.parent().unwrap());
    env.disk.create(path).unwrap().write_at(0, bytes).unwrap();
}

fn files(env: &Env, dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    common::gather(&*env.disk, dir, &mut found);
    found
}

fn find(env: &Env, dir: &Path, end: &str) -> PathBuf {
    let mut paths = files(env, dir).into_iter().map(|(path, _)| path);
    let found = paths.find(|path| path.to_str().unwrap().ends_with(end));
    found.unwrap()
}

#[test]
fn what_a_killed_restore_left_becomes_no_directory_of_backups() {
    let home = Home::memory();
    let env = &home.env;
    let database = home.open(small());
    put(&create(&database, "docs"), &rows(0, 10));
    let (backups, place) = (Path::new("/backups"), Path::new("/place"));
    back_up(&database, env, backups).unwrap();
    write(env, &place.join("RESTORING"), b"");
    let half = place.join("collections/0000000000000001/seg/x.seg.tmp");
    write(env, &half, b"half");
    let before = files(env, place);
    let refused = back_up(&database, env, place).unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(files(env, place), before);

    // Backups that stand beside the mark for whatever reason are erased by no restore.
    make_all(env, &place.join("backups"));
    let before = files(env, place);
    let job = Job::default();
    let refused = restore(env, backups, place, None, None, &small(), &job).unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    assert_eq!(files(env, place), before);

    env.disk.remove_dir(&place.join("backups")).unwrap();
    bring_back(env, backups, place);
}

#[test]
fn a_database_that_lost_its_catalog_keeps_its_files_when_taken_for_a_target() {
    let home = Home::memory();
    let env = &home.env;
    let database = home.open(small());
    put(&create(&database, "docs"), &rows(0, 10));
    let lost = Path::new("/lost");
    let segment = lost.join("collections/0000000000000001/seg/x.seg");
    write(env, &segment, b"all that is left");
    let before = files(env, lost);
    let refused = back_up(&database, env, lost).unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(files(env, lost), before);

    // An empty directory will do, and one that has only had a lock.
    for target in ["/empty", "/locked"].map(Path::new) {
        make_all(env, target);
        if target.ends_with("locked") {
            write(env, &target.join("LOCK"), b"");
        }
        back_up(&database, env, target).unwrap();
        back_up(&database, env, target).unwrap();
    }
}

#[test]
fn a_backup_that_verifies_heals_what_rots_in_earlier_ones() {
    let home = Home::memory();
    let env = &home.env;
    let database = home.open(small());
    put(&create(&database, "docs"), &rows(0, 500));
    let (target, job) = (Path::new("/backups"), Job::default());
    let first = back_up(&database, env, target).unwrap();
    let options = BackupOptions {
        verify: true,
        ..BackupOptions::default()
    };
    let whole = database.backup(env, target, &options, &job).unwrap();
    assert_eq!(whole.files_copied, 0);

    let file = env.disk.open(&find(env, target, ".seg"), Access::Write);
    file.unwrap().write_at(1_000, &[0xAB; 8]).unwrap();
    let found = verify_backup(env, target, Some(first.id), &job).unwrap_err();
    assert_eq!(found.code(), Code::Corrupt);
    let healing = database.backup(env, target, &options, &job).unwrap();
    assert_eq!(healing.files_copied, 1);
    assert_eq!(healing.bytes_copied, first.bytes_total);
    assert_eq!(verify_backup(env, target, None, &job).unwrap().backups, 3);
}

/// Two backups, of which the first has files that the second has not.
fn two_backups(home: &Home, target: &Path) -> Arc<Database> {
    let database = home.open(small());
    let names = ["left", "right"];
    for name in names {
        put(&create(&database, name), &rows(0, 100));
    }
    back_up(&database, &home.env, target).unwrap();
    for name in names {
        let collection = database.open_collection(name).unwrap();
        put(&collection, &rows(0, 100));
        collection.compact(&Job::default()).unwrap();
    }
    back_up(&database, &home.env, target).unwrap();
    database
}

/// A job at whose first progress all backups but the newest are pruned.
fn pruning(env: &Env, target: &'static Path) -> Job {
    let (env, done) = (env.clone(), AtomicBool::new(false));
    let prune = move |_, _| {
        if !done.swap(true, Ordering::Relaxed) {
            let went = prune_backups(&env, target, 1, &small()).unwrap();
            assert_eq!(went, [1]);
        }
    };
    Job {
        progress: Some(Arc::new(prune)),
        ..Job::default()
    }
}

#[test]
fn files_that_are_pruned_while_backups_are_verified_are_no_damage() {
    let home = Home::memory();
    let (env, target) = (&home.env, Path::new("/backups"));
    let _database = two_backups(&home, target);
    let all = list_backups(env, target).unwrap();
    let files: u64 = all.iter().map(|one| one.files).sum();
    let verified = verify_backup(env, target, None, &pruning(env, target)).unwrap();
    assert!(verified.files < files, "some went");
    let segment = find(env, target, ".seg");
    env.disk.remove_file(&segment).unwrap();
    let found = verify_backup(env, target, None, &Job::default());
    assert_eq!(found.unwrap_err().code(), Code::Corrupt, "a backup has it");
}

#[test]
fn a_restore_of_a_backup_that_is_pruned_meanwhile_says_that_it_is_gone() {
    let home = Home::memory();
    let (env, target) = (&home.env, Path::new("/backups"));
    let _database = two_backups(&home, target);
    let (place, job) = (Path::new("/restored"), pruning(env, target));
    let gone = restore(env, target, place, Some(1), None, &small(), &job).unwrap_err();
    assert_eq!(gone.code(), Code::NotFound, "{gone}");
    assert_eq!(env.disk.entry(place).unwrap(), None);
}

#[test]
fn a_restore_of_a_version_that_is_let_go_meanwhile_says_that_it_is_gone() {
    let home = Home::memory();
    let (env, place) = (&home.env, Path::new("/restored"));
    let database = home.open(small());
    let collection = create(&database, "docs");
    // A segment each.
    put(&collection, &rows(0, 100));
    database.snapshot(Some("older")).unwrap();
    put(&collection, &rows(100, 200));
    database.snapshot(Some("old")).unwrap();
    put(&collection, &rows(50, 150));
    collection.compact(&Job::default()).unwrap();
    let old = VersionId::Name("old".into());
    let names = [VersionId::Name("older".into()), old.clone()];
    let (gone, done) = (Arc::clone(&database), AtomicBool::new(false));
    let job = Job {
        progress: Some(Arc::new(move |_, _| {
            if !done.swap(true, Ordering::Relaxed) {
                names
                    .iter()
                    .for_each(|name| gone.drop_version(name).unwrap());
            }
        })),
        ..Job::default()
    };
    let source = Path::new("/db");
    let refused = restore(env, source, place, None, Some(&old), &small(), &job).unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "{refused}");
    assert_eq!(env.disk.entry(place).unwrap(), None);
}

#[test]
fn a_directory_of_backups_is_not_opened_as_a_database_and_stays_one() {
    let home = Home::memory();
    let (env, target) = (&home.env, Path::new("/backups"));
    let database = two_backups(&home, target);
    let before = files(env, target);
    let refused = Database::open(env.clone(), target, small()).err().unwrap();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    assert_eq!(files(env, target), before);
    assert_eq!(back_up(&database, env, target).unwrap().id, 3);
}

/// A process that takes the directory as soon as its lock is free has its own files there.
#[test]
fn a_restore_that_fails_removes_nothing_of_who_opens_there_next() {
    let home = Home::memory();
    let env = &home.env;
    let database = home.open(small());
    put(&create(&database, "docs"), &rows(0, 100));
    let (source, target) = (Path::new("/backups"), Path::new("/restored"));
    back_up(&database, env, source).unwrap();
    let segment = find(env, source, ".seg");
    let file = env.disk.open(&segment, Access::Write).unwrap();
    file.write_at(100, &[0xff; 8]).unwrap();
    let hooked = HookedDisk::around(Arc::clone(&env.disk));
    let next: Arc<Mutex<Option<Arc<Database>>>> = Arc::default();
    let (other, opened) = (env.clone(), Arc::clone(&next));
    let mut has_begun = false;
    hooked.set_hook(Some(Box::new(move || {
        let is_there = |name: &str| other.disk.entry(&target.join(name)).unwrap().is_some();
        let is_marked = is_there("RESTORING");
        has_begun |= is_marked;
        let mut opened = opened.lock().unwrap();
        if !has_begun || is_marked || opened.is_some() || !is_there("") {
            return;
        }
        let options = Options {
            lock_timeout: Duration::ZERO,
            ..small()
        };
        if let Ok(database) = Database::open(other.clone(), target, options) {
            put(&create(&database, "own"), &rows(0, 10));
            database.commit().unwrap();
            *opened = Some(database);
        }
    })));
    let restoring = Env {
        disk: Arc::new(hooked),
        ..env.clone()
    };
    let job = Job::default();
    let refused = restore(&restoring, source, target, None, None, &small(), &job).unwrap_err();
    assert_eq!(refused.code(), Code::Corrupt);
    let next = next.lock().unwrap().take().expect("it was opened");
    next.close().unwrap();
    drop(next);
    let again = Database::open(env.clone(), target, small()).unwrap();
    let own = again.open_collection("own").unwrap();
    assert_eq!(own.snapshot().unwrap().count(), 10);
}

#[test]
fn a_backup_with_the_last_id_there_is_is_followed_by_none() {
    let home = Home::memory();
    let (env, target) = (&home.env, Path::new("/backups"));
    let database = home.open(small());
    put(&create(&database, "docs"), &rows(0, 10));
    back_up(&database, env, target).unwrap();
    let hostile = target.join(format!("backups/{:020}.bak", u64::MAX));
    write(env, &hostile, b"something");
    let before = files(env, &target.join("backups"));
    let refused = back_up(&database, env, target).unwrap_err();
    assert_eq!(refused.code(), Code::Corrupt);
    assert_eq!(files(env, &target.join("backups")), before);
    assert!(list_backups(env, target).unwrap()[1].error.is_some());
    env.disk.remove_file(&hostile).unwrap();
    assert_eq!(back_up(&database, env, target).unwrap().id, 2);
}

/// The header of a file in a tar archive.
fn header(path: &str, bytes: u64) -> [u8; 512] {
    let mut block = [0_u8; 512];
    block[..path.len()].copy_from_slice(path.as_bytes());
    block[124..135].copy_from_slice(format!("{bytes:011o}").as_bytes());
    block[148..156].copy_from_slice(b"        ");
    block[156] = b'0';
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[test]
fn an_archive_s_small_files_are_refused_by_their_lengths_before_they_take_memory() {
    let env = Env::memory(1);
    let take = |headers: &[(&str, u64)]| {
        let mut reader = Unarchive::new(&env, Path::new("/r"), &small()).unwrap();
        let mut taken = headers.iter().map(|&(path, bytes)| {
            reader.write(&header(path, bytes))?;
            let filled = usize::try_from(bytes.next_multiple_of(512)).unwrap();
            // The contents of what is too long are not waited for.
            if filled > 1024 * 1024 {
                return Ok(());
            }
            reader.write(&vec![0; filled])
        });
        let outcome: Result<()> = taken.by_ref().collect();
        outcome.map_err(|error| error.code())
    };
    let mib = 1024 * 1024;
    let manifest = "collections/0000000000000001/manifest/1.man";
    for (path, bytes_max) in [
        ("CURRENT", 32),
        ("keys/CURRENT", 32),
        ("collections/0000000000000001/CURRENT", 32),
        ("keys/set/1.key", mib),
        ("catalog/1.cat", 64 * mib),
        (manifest, 256 * mib),
    ] {
        assert_eq!(take(&[(path, bytes_max)]), Ok(()), "{path}");
        let long = take(&[(path, bytes_max + 1)]);
        assert_eq!(long, Err(Code::Corrupt), "{path}");
    }
    let together = take(&[("CURRENT", 32), (manifest, 256 * mib)]);
    assert_eq!(together, Err(Code::Corrupt));
}

#[test]
fn an_archive_s_empty_files_are_refused_by_their_number() {
    let env = Env::memory(1);
    let mut reader = Unarchive::new(&env, Path::new("/r"), &small()).unwrap();
    let refused_at = (0..200_000_u64).find(|id| {
        let path = format!("collections/{id:016x}/CURRENT");
        reader.write(&header(&path, 0)).is_err()
    });
    assert_eq!(refused_at, Some(100_000));
}

#[test]
fn a_copy_is_synced_in_pieces_so_that_a_log_beside_it_waits_for_little() {
    let home = Home::memory();
    let database = home.open(small());
    let schema = plain(KeyType::U64, 256, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    let rows: Vec<Row> = (0..1_000)
        .map(|n| Row::new(number(n), &[n as f32; 256]))
        .collect();
    put(&collection, &rows);
    collection.compact(&Job::default()).unwrap();
    let disk = common::WatchedDisk::new();
    let env = Env {
        disk: Arc::new(disk.clone()),
        ..home.env.clone()
    };
    let made = back_up(&database, &env, Path::new("/backups")).unwrap();
    assert!(made.bytes_copied > 1_000_000, "{}", made.bytes_copied);
    let most = disk.watch.unsynced_max.load(Ordering::Relaxed);
    assert!((1..=128 * 1024).contains(&most), "{most} bytes");
}
