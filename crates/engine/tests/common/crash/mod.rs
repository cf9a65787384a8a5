//! What the crash suites share: a seeded workload on a disk that crashes, a model that knows what
//! was acknowledged when, and a check of what is found afterwards.
//!
//! `data` makes records and batches, `model` says what they do and what a crash may leave, `run`
//! drives a database with them, `check` opens what a crash left and compares.

#![allow(dead_code, reason = "each suite uses a part of it")]

pub mod check;
pub mod data;
pub mod files;
pub mod killable;
pub mod lanes;
pub mod model;
pub mod planted;
pub mod run;
pub mod sealed;

use std::sync::atomic::{AtomicBool, Ordering};

/// A number from the environment, else `default`.
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number"))
    })
}

/// Prints a figure also where the test passes: whatever else a test prints is shown only when it fails.
pub fn tell(figure: std::fmt::Arguments<'_>) {
    use std::io::Write;
    // Who listens no more misses nothing.
    let _ = writeln!(std::io::stdout().lock(), "{figure}");
}

/// Says what a thread was about when it panics inside something that does not know.
pub struct About<'a>(pub &'a str);

impl Drop for About<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("that was {}", self.0);
        }
    }
}

/// Rings when the thread that holds it panics, so that the others need not go on.
pub struct Alarm<'a>(pub &'a AtomicBool);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}
