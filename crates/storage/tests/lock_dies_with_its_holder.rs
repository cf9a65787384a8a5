//! A process that holds a database is killed. Nobody has to remove a stale lock by hand: the
//! next one gets in at once.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use cairn_env::Env;
use cairn_storage::{DirectoryLock, Holder, StorageError};
use cairn_testkit::TempDir;

const CHILD_DIR: &str = "CAIRN_TEST_LOCK_DIR";

fn holder() -> Holder {
    Holder {
        pid: std::process::id(),
        host: "here".to_owned(),
        since_unix_ms: 1,
    }
}

/// Not a test of its own: what the child process does.
#[test]
fn child() {
    let Ok(dir) = std::env::var(CHILD_DIR) else {
        return;
    };
    let env = Env::os(1);
    let _lock = DirectoryLock::acquire(&env, Path::new(&dir), Duration::ZERO, holder()).unwrap();
    let mut out = std::io::stdout();
    out.write_all(b"\nheld\n").unwrap();
    out.flush().unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn a_killed_holder_frees_the_directory() {
    let (env, dir) = (Env::os(1), TempDir::new("lock-child"));
    for _ in 0..3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(CHILD_DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().trim() == "held"));

        let refused = DirectoryLock::acquire(&env, dir.path(), Duration::ZERO, holder());
        match refused {
            Err(StorageError::Locked { holder }) => assert_eq!(holder.pid, child.id()),
            other => panic!("{other:?}"),
        }
        child.kill().unwrap();
        child.wait().unwrap();
        DirectoryLock::acquire(&env, dir.path(), Duration::from_secs(10), holder()).unwrap();
    }
}
