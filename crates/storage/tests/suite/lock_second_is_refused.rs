//! Two programs open the same database. The second is told at once who has it, or waits as long
//! as it was told to; it never gets in beside the first.

#![expect(
    clippy::unwrap_used,
    reason = "functions that tests share are test code"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cairn_env::{Clock, Env};
use cairn_storage::{DirectoryLock, Holder, StorageError};
use cairn_testkit::{SimClock, TempDir};

use crate::common;
use common::*;

fn holder(pid: u32) -> Holder {
    Holder {
        pid,
        host: "left-bank".to_owned(),
        since_unix_ms: 1_735_689_600_000,
    }
}

fn refused(env: &Env, dir: &Path) -> Holder {
    match DirectoryLock::acquire(env, dir, Duration::ZERO, holder(2)) {
        Err(StorageError::Locked { holder }) => holder,
        other => panic!("{other:?}"),
    }
}

fn second_is_refused(env: &Env, dir: &Path) {
    let first = DirectoryLock::acquire(env, dir, Duration::ZERO, holder(1)).unwrap();
    assert_eq!(refused(env, dir), holder(1));
    drop(first);
    assert!(!names(env, dir).contains(&"LOCK.holder".to_owned()));
    let second = DirectoryLock::acquire(env, dir, Duration::ZERO, holder(2)).unwrap();
    assert_eq!(refused(env, dir), holder(2));
    drop(second);
}

#[test]
fn in_memory() {
    let env = memory_env();
    env.disk.create_dir(Path::new("/db")).unwrap();
    second_is_refused(&env, Path::new("/db"));
}

#[test]
fn on_the_real_file_system() {
    let dir = TempDir::new("lock");
    second_is_refused(&Env::os(1), dir.path());
}

#[test]
fn waiting_ends_when_the_time_is_up() {
    let clock = SimClock::new();
    let env = Env {
        clock: Arc::new(clock.clone()),
        ..memory_env()
    };
    let dir = Path::new("/");
    let _first = DirectoryLock::acquire(&env, dir, Duration::ZERO, holder(1)).unwrap();
    let wait = Duration::from_millis(350);
    let second = DirectoryLock::acquire(&env, dir, wait, holder(2));
    assert!(matches!(second, Err(StorageError::Locked { .. })));
    assert_eq!(clock.now(), wait);
}

#[test]
fn waiting_ends_when_the_holder_leaves() {
    let env = memory_env();
    let dir = Path::new("/");
    let first = DirectoryLock::acquire(&env, dir, Duration::ZERO, holder(1)).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let wait = Duration::from_secs(60);
            DirectoryLock::acquire(&env, dir, wait, holder(2)).unwrap();
        });
        drop(first);
    });
}

#[test]
fn a_holder_file_that_cannot_be_read_names_nobody_and_lets_nobody_in() {
    let env = memory_env();
    let dir = Path::new("/");
    let _first = DirectoryLock::acquire(&env, dir, Duration::ZERO, holder(1)).unwrap();
    for text in [&b""[..], b"{\"pid\":1", b"\xff\xfe", &[b' '; 100_000]] {
        write_file(&env, Path::new("/LOCK.holder"), text);
        assert_eq!(refused(&env, dir).pid, 0);
    }
    env.disk.remove_file(Path::new("/LOCK.holder")).unwrap();
    assert_eq!(refused(&env, dir).host, "unknown");
}
