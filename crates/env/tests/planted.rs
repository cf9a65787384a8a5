//! Promise: a planted bug is committed when it is named, and never otherwise.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::process::Command;

use cairn_env::{Bug, planted};

/// The bugs that [`child_lists_planted_bugs`] finds planted.
fn planted_in_child(name: &str) -> Vec<String> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "child_lists_planted_bugs",
            "--ignored",
            "--nocapture",
        ])
        .env("CAIRN_BUG", name)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("bug "));
    lines.map(str::to_owned).collect()
}

#[test]
fn only_the_named_bug_is_planted() {
    for name in ["SkipWalSync", "IgnoreBlockChecksum"] {
        let expected: &[&str] = if cfg!(feature = "planted-bugs") {
            &[name]
        } else {
            &[]
        };
        assert_eq!(planted_in_child(name), expected);
    }
    assert!(planted_in_child("").is_empty());
}

#[test]
#[ignore = "runs as a child of only_the_named_bug_is_planted"]
fn child_lists_planted_bugs() {
    println!();
    for bug in Bug::ALL {
        if planted(bug) {
            println!("bug {bug:?}");
        }
    }
}
