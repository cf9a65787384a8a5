//! A real process on a real file system appends, says so, and is killed at a random moment.
//! Whatever it said it had appended is there.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use cairn_env::Env;
use cairn_storage::{FrameToWrite, Wal};
use cairn_testkit::{Rng, TempDir, seed_from_env};
use common::*;

const CHILD_DIR: &str = "CAIRN_TEST_WAL_DIR";

fn open(dir: &Path) -> (Wal, Vec<u64>) {
    let mut lsns = Vec::new();
    let opened = Wal::open(&Env::os(1), dir, small_options(), 0, &mut |frame| {
        let expected = Owned::new(frame.lsn, frame.body.len());
        assert!(
            frame.body == expected.body,
            "wrong bytes in lsn={}",
            frame.lsn
        );
        lsns.push(frame.lsn);
        Ok(())
    });
    (
        opened.expect("a killed process leaves a log that opens").0,
        lsns,
    )
}

/// Not a test of its own: what the child process does.
#[test]
fn child() {
    let Ok(dir) = std::env::var(CHILD_DIR) else {
        return;
    };
    let (wal, _) = open(Path::new(&dir));
    let mut out = std::io::stdout();
    loop {
        let frame = Owned::new(wal.last_lsn() + 1, 2000);
        let group = FrameToWrite {
            lsn: frame.lsn,
            kind: frame.kind,
            body: &[&frame.body],
        };
        // A killed process loses nothing it handed to the kernel, synced or not.
        wal.append(&[group], frame.lsn.is_multiple_of(8)).unwrap();
        writeln!(out, "\nacknowledged {}", frame.lsn).unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn what_was_acknowledged_is_there() {
    let mut rng = Rng::new(seed_from_env("CAIRN_SEED", 0x111));
    let dir = TempDir::new("wal-child");
    let mut acknowledged = 0;
    for _ in 0..rounds(6) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(CHILD_DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let patience = Duration::from_millis(rng.below(150) + 5);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                Env::os(1).clock.sleep(patience);
                child.kill().unwrap();
                child.wait().unwrap();
            });
            for line in lines {
                if let Some(lsn) = line.unwrap().strip_prefix("acknowledged ") {
                    acknowledged = lsn.parse().unwrap_or(acknowledged);
                }
            }
        });
        let (_, lsns) = open(dir.path());
        let last = lsns.last().copied().unwrap_or(0);
        assert!(last >= acknowledged, "lost: {last} of {acknowledged}");
        assert!(lsns.iter().copied().eq(1..=last));
    }
    assert!(acknowledged > 0, "killed before it could do anything");
}
