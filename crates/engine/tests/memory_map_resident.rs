//! A database whose vectors are several times larger than the memory that its process takes to search
//! and to scan all of them. Each part runs in a process of its own, whose memory the system counts.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common;
#[path = "common/resident.rs"]
mod resident;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use cairn_engine::{
    Collection, Compaction, Database, Durability, Effort, IndexKind, KeyType, MetricName, Options,
    SearchRequest, Select, SelectFields, Stop, WriteKind, WriteOptions,
};
use cairn_env::Env;
use cairn_testkit::TempDir;

use common::{Row, batch, number, schema, vector_field};
use resident::status;

const PART: &str = "CAIRN_RESIDENT_PART";
const DIR: &str = "CAIRN_RESIDENT_DIR";

const DIM: usize = 1_024;
const ROWS: u64 = 100_000;
/// Bytes of vectors: 410 MB.
const DATA: u64 = ROWS * DIM as u64 * 4;

fn open(dir: &Path, memory_map: bool) -> Arc<Database> {
    let options = Options {
        memory_map,
        compaction: Compaction::None,
        memtable_bytes: 32 << 20,
        durability: Durability::Memory,
        ..Options::default()
    };
    Database::open(Env::os(2), dir, options).unwrap()
}

fn vector(n: u64) -> Vec<f32> {
    let component = |at: u64| ((n * 31 + at * 17) % 1_009) as f32;
    (0..DIM as u64).map(component).collect()
}

fn fill(dir: &Path) {
    let database = open(dir, false);
    let field = vector_field("vector", DIM as u32, MetricName::L2, IndexKind::Flat);
    let shape = schema(KeyType::U64, vec![field]);
    let collection = database.create_collection("c", shape).unwrap();
    for first in (0..ROWS).step_by(1_000) {
        let row = |n| Row::new(number(n), &vector(n));
        let rows: Vec<Row> = (first..first + 1_000).map(row).collect();
        let upsert = batch(collection.schema(), WriteKind::Upsert, &rows);
        collection.write(upsert, WriteOptions::default()).unwrap();
    }
    database.close().unwrap();
}

fn search_all(collection: &Arc<Collection>) {
    for n in [0, ROWS / 2, ROWS - 1] {
        let wanted = vector(n);
        let request = SearchRequest {
            effort: Effort::Exact,
            ..SearchRequest::new(&wanted, 1)
        };
        let snapshot = collection.snapshot().unwrap();
        let hits = snapshot.search(&request, &Stop::never()).unwrap();
        assert_eq!(hits.distances, [0.0]);
    }
}

fn scan_all(collection: &Arc<Collection>) {
    let select = Select {
        fields: SelectFields::None,
        vectors: true,
    };
    let mut scan = collection.snapshot().unwrap().scan(None).unwrap();
    let mut next = 0;
    loop {
        let page = scan.next_page(500, &select).unwrap();
        if page.is_empty() {
            break;
        }
        for record in page {
            let given = record.vectors.unwrap().swap_remove(0);
            assert!(next % 5_000 != 0 || given == vector(next), "record {next}");
            next += 1;
        }
    }
    assert_eq!(next, ROWS);
}

fn tell(what: &str) -> (u64, u64) {
    let (own, most) = (status("RssAnon"), status("VmHWM"));
    println!(
        "{what}: {} MB of its own, {} MB at most, with {} MB of vectors",
        own / 1_000_000,
        most / 1_000_000,
        DATA / 1_000_000
    );
    (own, most)
}

fn mapped(dir: &Path) {
    let database = open(dir, true);
    let collection = database.open_collection("c").unwrap();
    assert_eq!(collection.stats().unwrap().mapped_bytes, DATA);
    tell("opened");
    search_all(&collection);
    tell("searched");
    scan_all(&collection);
    let (own, most) = tell("scanned");
    assert!(own < DATA / 8, "{own}");
    assert!(most < DATA / 2, "{most}");
}

/// That the figures tell the one from the other.
fn copied(dir: &Path) {
    let database = open(dir, false);
    let collection = database.open_collection("c").unwrap();
    assert_eq!(collection.stats().unwrap().mapped_bytes, 0);
    let (own, _) = tell("copied");
    assert!(own > DATA, "{own}");
}

#[test]
fn all_of_a_mapped_database_is_searched_and_scanned_in_less_memory_than_it_has() {
    let name = "all_of_a_mapped_database_is_searched_and_scanned_in_less_memory_than_it_has";
    if let Some(part) = std::env::var_os(PART) {
        let dir = std::env::var_os(DIR).unwrap();
        let dir = Path::new(&dir);
        match part.to_str().unwrap() {
            "fill" => fill(dir),
            "mapped" => mapped(dir),
            _ => copied(dir),
        }
        return;
    }
    let home = TempDir::new("resident");
    for part in ["fill", "mapped", "copied"] {
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture", "--test-threads=1"])
            .env(PART, part)
            .env(DIR, home.path().join("db"))
            .status()
            .unwrap();
        assert!(status.success(), "{part}: {status}");
    }
}
