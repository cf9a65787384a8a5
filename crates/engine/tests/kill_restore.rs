//! A real process is killed in the middle of a restore, and what it leaves is the whole database or
//! does not open; the next restore into the same directory starts over.

#![cfg(feature = "failpoints")]
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common;
#[path = "common/crash/mod.rs"]
mod crash;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use cairn_engine::{BackupOptions, Code, Database, Job, KeyType, MetricName, Options, restore};
use cairn_env::{Env, KillPoint};
use cairn_testkit::{Rng, TempDir, seed_from_env};
use common::{Row, number, plain, put};
use crash::sealed;

const CHILD_DIR: &str = "CAIRN_RESTORE_DIR";

/// Steps that a restore passes, each so often at least.
const STEPS: [(KillPoint, u64); 7] = [
    (KillPoint::K18ManifestWritten, 4),
    (KillPoint::K19ManifestSynced, 4),
    (KillPoint::K20Renamed, 4),
    (KillPoint::K21DirSynced, 4),
    (KillPoint::K28FileCopied, 6),
    (KillPoint::K29RecordWritten, 1),
    (KillPoint::K30RecordPublished, 1),
];

fn options() -> Options {
    Options {
        encryption: sealed::provider(),
        ..common::small()
    }
}

fn bring_back(dir: &Path) -> cairn_engine::Result<cairn_engine::RestoreInfo> {
    let (env, job) = (Env::os(1), Job::default());
    let (source, target) = (dir.join("backups"), dir.join("restored"));
    restore(&env, &source, &target, None, None, &options(), &job)
}

/// Not a test of its own: what the child process does.
#[test]
fn child() {
    if let Ok(dir) = std::env::var(CHILD_DIR) {
        bring_back(Path::new(&dir)).unwrap();
    }
}

fn counts(database: &Arc<Database>) -> Vec<(String, u64)> {
    assert!(database.verify(&Job::default()).unwrap().is_ok());
    let listed = database.collections().unwrap().into_iter();
    listed.map(|info| (info.name, info.count)).collect()
}

/// Three collections, with two segments each.
fn back_up(dir: &Path) -> Vec<(String, u64)> {
    let env = Env::os(1);
    let database = Database::open(env.clone(), &dir.join("db"), options()).unwrap();
    for (at, name) in ["a", "b", "c"].into_iter().enumerate() {
        let schema = plain(KeyType::U64, 2, MetricName::L2);
        let docs = database.create_collection(name, schema).unwrap();
        for from in [0, 1_000] {
            let row = |n| Row::new(number(n), &[n as f32, 1.0]);
            let rows: Vec<Row> = (from..from + 300 + at as u64).map(row).collect();
            put(&docs, &rows);
            // A version flushes, and merges nothing.
            database.snapshot(None).unwrap();
        }
    }
    let (target, none) = (dir.join("backups"), BackupOptions::default());
    let made = database.backup(&env, &target, &none, &Job::default());
    assert!(made.unwrap().files >= 6);
    counts(&database)
}

#[test]
fn what_a_killed_restore_leaves_is_whole_or_does_not_open() {
    let mut rng = Rng::new(seed_from_env("CAIRN_SEED", 8));
    let (mut kills, mut whole) = (0, 0);
    let dir = TempDir::new("kill-restore");
    let expected = back_up(dir.path());
    let target = dir.path().join("restored");
    for (point, passes) in STEPS {
        for pass in 1..=passes {
            let status = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "child", "--nocapture", "--test-threads=1"])
                .env(CHILD_DIR, dir.path())
                .env("CAIRN_FAIL", format!("K{}:{pass}:kill", point as u8))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap();
            let what = format!("killed at {point:?}, pass {pass}");
            assert!(status.code().is_none(), "{what}: ended by itself, {status}");
            kills += 1;
            match Database::open(Env::os(1), &target, options()) {
                Ok(opened) => {
                    assert_eq!(counts(&opened), expected, "{what}");
                    let refused = bring_back(dir.path()).unwrap_err();
                    assert_eq!(refused.code(), Code::AlreadyExists, "{what}");
                    whole += 1;
                }
                Err(error) => assert_eq!(error.code(), Code::Corrupt, "{what}: {error}"),
            }
            // Every now and then the next child restores over what this one left.
            if rng.chance(0.5) && env_has_no_catalog(&target) {
                continue;
            }
            if env_has_no_catalog(&target) {
                bring_back(dir.path()).unwrap();
                let opened = Database::open(Env::os(1), &target, options()).unwrap();
                assert_eq!(counts(&opened), expected, "{what}");
            }
            std::fs::remove_dir_all(&target).unwrap();
        }
    }
    println!("killed restores: {kills} kills, {whole} whole, all others did not open");
    assert!(whole >= 1 && whole < kills);
}

fn env_has_no_catalog(target: &Path) -> bool {
    let there = Env::os(1).disk.entry(&target.join("CURRENT"));
    there.unwrap().is_none()
}

#[test]
fn encrypted_databases_keep_the_same_promises() {
    let tests = ["what_a_killed_restore_leaves_is_whole_or_does_not_open"];
    sealed::run_again(module_path!(), &tests, &[]);
}
