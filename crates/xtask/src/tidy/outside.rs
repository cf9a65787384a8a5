//! Disk, clocks, threads and randomness are reached through `cairn_env` alone.
//!
//! Clippy bans the calls; this second net also sees code that another platform compiles. A place that
//! must make an exception says so to clippy with a reason, which counts here as well.

use super::{Finding, lines};
use crate::scrub::scrub;
use crate::tree::File;

/// What belongs to the outside world, with what to use instead.
const BANNED: [(&str, &str); 9] = [
    ("std::fs", "env.disk"),
    ("std::net", "nothing: the engine opens no socket"),
    ("Instant::now", "env.clock"),
    ("SystemTime::now", "env.clock"),
    ("thread::spawn", "env.threads"),
    ("thread::sleep", "env.clock"),
    ("RandomState", "a hasher with a seed, or env.entropy"),
    ("getrandom", "env.entropy"),
    ("thread_rng", "env.entropy"),
];

/// The crates that are the outside world, or only watch from there.
const EXEMPT: [&str; 3] = ["crates/env/", "crates/testkit/", "crates/xtask/"];

/// How far above a banned call its `#[expect]` may stand.
const EXPECT_LINES: usize = 6;

pub fn check(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !is_product_code(&file.path) {
        return findings;
    }
    let scrubbed = scrub(&file.text);
    let raw: Vec<&str> = file.text.lines().collect();
    for (number, line) in lines(&scrubbed) {
        // Unit tests are the last thing in a file.
        if line.trim() == "#[cfg(test)]" {
            break;
        }
        for (word, instead) in BANNED {
            if line.contains(word) && !is_expected(&raw[..number]) {
                findings.push(Finding::error(
                    file,
                    number,
                    format!("{word}: use {instead}"),
                ));
            }
        }
    }
    findings
}

fn is_product_code(path: &str) -> bool {
    path.starts_with("crates/")
        && path.contains("/src/")
        && path.ends_with(".rs")
        && !path.ends_with("_test.rs")
        && !path.ends_with("/tests.rs")
        && !path.contains("/tests/")
        && !EXEMPT.iter().any(|folder| path.starts_with(folder))
}

fn is_expected(up_to: &[&str]) -> bool {
    up_to
        .iter()
        .rev()
        .take(EXPECT_LINES)
        .any(|line| line.contains("clippy::disallowed"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_found, file};
    use super::check;

    const CALL: &str = "fn f() {\n    let t = std::time::Instant::now();\n}\n";

    #[test]
    fn a_clock_outside_env_is_found() {
        assert_found(
            check(&file("crates/engine/src/lib.rs", CALL)),
            &[(2, "use env.clock")],
        );
        for path in [
            "crates/env/src/clock.rs",
            "crates/testkit/src/lib.rs",
            "crates/engine/tests/recovery.rs",
            "crates/engine/examples/bench.rs",
            "crates/engine/src/planner_test.rs",
        ] {
            assert_found(check(&file(path, CALL)), &[]);
        }
    }

    #[test]
    fn randomness_outside_env_is_found() {
        let text = "type State = foldhash::fast::RandomState;\n";
        assert_found(
            check(&file("crates/engine/src/keys.rs", text)),
            &[(1, "use a hasher with a seed, or env.entropy")],
        );
    }

    #[test]
    fn comments_unit_tests_and_stated_exceptions_are_fine() {
        let text = "// std::fs is not used here\n";
        assert_found(check(&file("crates/engine/src/a.rs", text)), &[]);
        let text = "fn f() {}\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";
        assert_found(check(&file("crates/engine/src/a.rs", text)), &[]);
        let text = "#[expect(clippy::disallowed_methods, reason = \"no env here\")]\nfn f() {\n    std::thread::spawn(g);\n}\n";
        assert_found(check(&file("crates/engine/src/a.rs", text)), &[]);
    }
}
