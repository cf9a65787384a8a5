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
const LONG_DIM: usize = 256;

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

/// Writes all rows twice, and merges them twice: what the second merge had in memory at most beside what was there,
/// and what it made.
fn write_again_and_merge(index: IndexKind, dim: usize, memory_map: bool) -> (u64, u64) {
    let home = Home::directory("merge");
    let database = home.open(Options {
        compaction: Compaction::None,
        durability: Durability::Memory,
        memtable_bytes: 4 << 20,
        memory_map,
        ..Options::default()
    });
    let field = vector_field("vector", dim as u32, MetricName::L2, index);
    let shape = schema(KeyType::U64, vec![field]);
    let collection = database.create_collection("c", shape).unwrap();
    let vectors = data::uniform(7, ROWS, dim);
    let write_all = || {
        for first in (0..ROWS).step_by(2_000) {
            let row = |n: usize| Row::new(number(n as u64), &vectors[n * dim..][..dim]);
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
    println!(
        "{} mapped {memory_map}: {} MB before, {} MB at most, {} MB merged",
        stats.segments[0].index,
        before / 1_000_000,
        most / 1_000_000,
        merged / 1_000_000
    );
    (most.saturating_sub(before), merged)
}

fn with_a_graph(memory_map: bool) {
    // A graph of the usual size that is built in a fifth of the time.
    let quick = HnswSettings {
        m: 16,
        m0: 32,
        m_max: 16,
        ef_construction: 32,
        level_mult: 0.36,
    };
    let (most, merged) = write_again_and_merge(IndexKind::Hnsw(quick), DIM, memory_map);
    let factor = most as f64 / merged as f64;
    assert!(factor < 1.5, "{factor}");
}

fn with_lists() {
    let (most, _) = write_again_and_merge(IndexKind::Ivf, LONG_DIM, false);
    let share = most as f64 / (ROWS * LONG_DIM * 4) as f64;
    // Samples of eight thousand vectors, buffers, and some bytes a row; of more rows a smaller share.
    assert!(share < 0.4, "{share}");
}

#[test]
fn a_merge_takes_less_than_twice_what_it_makes() {
    if let Some(child) = std::env::var_os(CHILD) {
        return with_a_graph(child == "mapped");
    }
    for child in ["copied", "mapped"] {
        alone("a_merge_takes_less_than_twice_what_it_makes", child);
    }
}

#[test]
fn a_merge_of_lists_takes_less_than_its_vectors() {
    match std::env::var_os(CHILD) {
        Some(_) => with_lists(),
        None => alone("a_merge_of_lists_takes_less_than_its_vectors", "lists"),
    }
}

/// Runs a test of this program in a process of its own.
fn alone(name: &str, child: &str) {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CHILD, child)
        .status()
        .unwrap();
    assert!(status.success(), "{child}: {status}");
}
