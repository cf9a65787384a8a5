//! What a merge takes of memory beside what it merges: `docs/sizing.md` says how much, and this holds it
//! to that. The system counts, in a process of its own.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common;
#[path = "common/resident.rs"]
mod resident;

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cairn_engine::{
    Compaction, Durability, HnswSettings, IndexKind, Job, KeyType, MetricName, Options,
};
use cairn_env::{Clock, OsClock};
use cairn_testkit::data;

use common::{Home, Row, number, put, schema, vector_field};
use resident::status;

const CHILD: &str = "CAIRN_MERGE_CHILD";
const ROWS: usize = 60_000;
const DIM: usize = 64;

/// The most that this process has of its own while `work` runs.
fn most_while(work: impl FnOnce()) -> u64 {
    let (done, most) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let clock = OsClock::new();
            while !done.load(Ordering::Relaxed) {
                most.fetch_max(status("RssAnon"), Ordering::Relaxed);
                clock.sleep(Duration::from_millis(1));
            }
        });
        work();
        done.store(true, Ordering::Relaxed);
    });
    most.into_inner()
}

fn write_again_and_merge(memory_map: bool) {
    let home = Home::directory("merge");
    let database = home.open(Options {
        compaction: Compaction::None,
        durability: Durability::Memory,
        memtable_bytes: 4 << 20,
        memory_map,
        ..Options::default()
    });
    // A graph of the usual size that is built in a fifth of the time.
    let quick = HnswSettings {
        m: 16,
        m0: 32,
        m_max: 16,
        ef_construction: 32,
        level_mult: 0.36,
    };
    let field = vector_field("vector", DIM as u32, MetricName::L2, IndexKind::Hnsw(quick));
    let shape = schema(KeyType::U64, vec![field]);
    let collection = database.create_collection("c", shape).unwrap();
    let vectors = data::uniform(7, ROWS, DIM);
    let write_all = || {
        for first in (0..ROWS).step_by(2_000) {
            let row = |n: usize| Row::new(number(n as u64), &vectors[n * DIM..][..DIM]);
            put(
                &collection,
                &(first..first + 2_000).map(row).collect::<Vec<_>>(),
            );
        }
        database.commit().unwrap();
    };
    write_all();
    collection.compact(&Job::default()).unwrap();
    write_all();
    home.at_rest(&collection);
    let before = status("RssAnon");
    let most = most_while(|| collection.compact(&Job::default()).unwrap());
    let stats = collection.stats().unwrap();
    assert_eq!(stats.segments.len(), 1);
    let merged = stats.segments[0].bytes_memory + stats.mapped_bytes;
    let factor = most.saturating_sub(before) as f64 / merged as f64;
    println!(
        "mapped {memory_map}: {} MB before, {} MB at most, {} MB merged: {factor:.2} times",
        before / 1_000_000,
        most / 1_000_000,
        merged / 1_000_000
    );
    assert!(factor < 1.5, "{factor}");
}

#[test]
fn a_merge_takes_less_than_twice_what_it_makes() {
    if let Some(child) = std::env::var_os(CHILD) {
        return write_again_and_merge(child == "mapped");
    }
    for child in ["copied", "mapped"] {
        let name = "a_merge_takes_less_than_twice_what_it_makes";
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture", "--test-threads=1"])
            .env(CHILD, child)
            .status()
            .unwrap();
        assert!(status.success(), "{child}: {status}");
    }
}
