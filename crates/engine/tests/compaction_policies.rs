//! What each policy leaves behind, how fast the background may write, and what comes back at rest.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common;

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use cairn_engine::{
    Collection, Compaction, Durability, Job, KeyType, MetricName, Options, WriteKind, WriteOptions,
};
use cairn_env::{Clock, OsClock};
use cairn_testkit::{Rng, SimDisk, sim_env};

use common::{Home, Model, Row, batch, number, plain, put, small};

const DIM: usize = 32;

fn with_policy(compaction: Compaction) -> Options {
    Options {
        compaction,
        ..small()
    }
}

fn row(key: u64, rng: &mut Rng) -> Row {
    let vector: Vec<f32> = (0..DIM).map(|_| rng.normal() as f32).collect();
    Row::new(number(key), &vector)
}

/// Writes `keys` in batches of 100, waits for the background, and returns the rows of each segment.
fn written(home: &Home, collection: &Arc<Collection>, keys: std::ops::Range<u64>) -> Vec<u64> {
    let mut rng = Rng::new(keys.start);
    let rows: Vec<Row> = keys.map(|key| row(key, &mut rng)).collect();
    for part in rows.chunks(100) {
        put(collection, part);
    }
    home.at_rest(collection);
    let segments = collection.stats().unwrap().segments;
    segments.iter().map(|segment| segment.live).collect()
}

/// The tier of a segment: sizes within a factor of four, from 1,024 rows.
fn tier(rows: u64) -> u32 {
    (rows / 1024).max(1).ilog(4)
}

#[test]
fn each_policy_keeps_the_number_of_segments_it_promises() {
    let of_a_tier = |segments: &[u64], wanted: u32| {
        let same = segments.iter().filter(|&&rows| tier(rows) == wanted);
        same.count()
    };
    for (policy, most) in [(Compaction::SizeTiered, 3), (Compaction::Leveled, 1)] {
        let home = Home::directory("policy");
        let database = home.open(with_policy(policy));
        let schema = plain(KeyType::U64, DIM as u32, MetricName::L2);
        let collection = database.create_collection("c", schema).unwrap();
        for round in 0..6 {
            let segments = written(&home, &collection, round * 2_500..(round + 1) * 2_500);
            for wanted in 0..4 {
                let found = of_a_tier(&segments, wanted);
                assert!(
                    found <= most,
                    "{policy:?}: {found} of tier {wanted} in {segments:?}"
                );
            }
        }
        assert_eq!(collection.snapshot().unwrap().count(), 15_000);
    }
}

#[test]
fn segments_end_at_the_size_of_a_memtable_and_at_the_limit_of_rows() {
    const ROWS: u64 = 20_000;
    let segment_files = |home: &Home| -> Vec<u64> {
        let files = home.files();
        let segments = files
            .iter()
            .filter(|(path, _)| path.extension().is_some_and(|e| e == "seg"));
        segments.map(|(_, bytes)| bytes.len() as u64).collect()
    };
    let row_bytes = 4 * DIM as u64 + 8;
    for limit in [3_000, usize::MAX] {
        let home = Home::directory("rotation");
        let options = Options {
            segment_rows_max: limit,
            ..with_policy(Compaction::SizeTiered)
        };
        let memtable_bytes = options.memtable_bytes as u64;
        let database = home.open(options);
        let schema = plain(KeyType::U64, DIM as u32, MetricName::L2);
        let collection = database.create_collection("c", schema).unwrap();
        let rows = written(&home, &collection, 0..ROWS);
        let files = segment_files(&home);
        println!("limit {limit}: {rows:?} in files of {files:?}");
        assert_eq!(rows.len(), files.len());
        let largest = rows.iter().max().copied().unwrap();
        if limit == usize::MAX {
            assert!(largest > 3_000, "so the limit is what ended them");
            continue;
        }
        assert!(largest <= 3_000, "{rows:?}");
        assert!(largest > memtable_bytes / row_bytes, "some were merged");
        // Keys, versions, links of a graph and the tables of the file come on top.
        let most = 3_000 * (row_bytes + 16 + 160) + 64 * 1024;
        assert!(files.iter().all(|&bytes| bytes < most), "{files:?}");
        assert!(files.iter().sum::<u64>() > ROWS * row_bytes);
    }
    let home = Home::directory("rotation-flush");
    let options = with_policy(Compaction::None);
    let memtable_bytes = options.memtable_bytes as u64;
    let database = home.open(options);
    let schema = plain(KeyType::U64, DIM as u32, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    written(&home, &collection, 0..ROWS);
    let files = segment_files(&home);
    assert!(files.len() as u64 > ROWS * row_bytes / (2 * memtable_bytes));
    let batch = 100 * row_bytes;
    let most = memtable_bytes + batch + 16 * 1024;
    assert!(files.iter().all(|&bytes| bytes < most), "{files:?}");
}

#[test]
fn without_a_policy_nothing_is_merged_until_it_is_asked_for() {
    let home = Home::directory("no-policy");
    let database = home.open(with_policy(Compaction::None));
    let schema = plain(KeyType::U64, DIM as u32, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    let segments = written(&home, &collection, 0..5_000);
    assert!(segments.len() > 8, "{segments:?}");
    collection.tidy().unwrap();
    home.at_rest(&collection);
    assert_eq!(collection.stats().unwrap().segments.len(), segments.len());
    collection.compact(&Job::default()).unwrap();
    assert_eq!(collection.stats().unwrap().segments.len(), 1);
}

#[test]
fn ten_times_overwritten_keys_take_little_more_than_they_need_once_at_rest() {
    // All in one memtable; a few memtables; many.
    for (name, options, keys) in [
        ("one", Options::default(), 4_000),
        (
            "few",
            Options {
                memtable_bytes: 2 << 20,
                ..Options::default()
            },
            20_000,
        ),
        (
            "many",
            Options {
                memtable_bytes: 256 << 10,
                ..Options::default()
            },
            20_000,
        ),
    ] {
        let home = Home::directory("overwritten");
        let database = home.open(options);
        let schema = plain(KeyType::U64, DIM as u32, MetricName::L2);
        let collection = database.create_collection("c", schema.clone()).unwrap();
        let mut model = Model::new(&schema);
        let mut rng = Rng::new(7);
        for _ in 0..10 {
            let rows: Vec<Row> = (0..keys).map(|key| row(key, &mut rng)).collect();
            for part in rows.chunks(500) {
                let upsert = batch(&schema, WriteKind::Upsert, part);
                let answer = collection.write(upsert, WriteOptions::default());
                model.write(WriteKind::Upsert, part, None, &answer);
            }
        }
        home.at_rest(&collection);
        let bytes = || -> u64 {
            let sizes = home
                .files()
                .into_iter()
                .map(|(_, bytes)| bytes.len() as u64);
            sizes.sum()
        };
        let busy = bytes();
        collection.tidy().unwrap();
        home.at_rest(&collection);
        // A row: vector, key, version, key index and graph, about 300 bytes at 32 dims.
        let stats = collection.stats().unwrap();
        let live = stats.live_bytes + stats.memtable_bytes;
        let rested = bytes();
        println!("{name}: {busy} bytes before the rest, {rested} after, {live} live");
        assert!(
            rested * 2 <= live * 3 + 2 * 512 * 1024,
            "{name}: {rested} for {live}"
        );
        assert!(name != "one" || busy > 3 * live, "{name}: the test can see");
        let worst = stats
            .segments
            .iter()
            .map(|s| (s.rows - s.live) * 100 / s.rows);
        assert!(worst.max().unwrap() <= 30, "{name}: dead rows at rest");
        model.check(&collection.snapshot().unwrap());
        database.close().unwrap();
        let database = home.open(Options::default());
        model.check(&database.open_collection("c").unwrap().snapshot().unwrap());
    }
}

#[test]
fn a_collection_that_wastes_nothing_is_left_alone_at_rest() {
    let home = Home::memory();
    let database = home.open(Options::default());
    let schema = plain(KeyType::U64, DIM as u32, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    written(&home, &collection, 0..8_000);
    let before = home.files();
    collection.tidy().unwrap();
    home.at_rest(&collection);
    assert_eq!(home.files(), before);
}

#[test]
fn merging_in_the_background_writes_no_faster_than_it_may() {
    const RATE: u64 = 100_000;
    let home = Home::on(sim_env(&SimDisk::new()));
    let options = Options {
        compaction_rate_max: NonZeroU64::new(RATE),
        ..with_policy(Compaction::SizeTiered)
    };
    let database = home.open(options);
    let schema = plain(KeyType::U64, DIM as u32, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    let began = home.env.clock.now();
    written(&home, &collection, 0..3_000);
    let stats = collection.stats().unwrap();
    // The vectors of the largest segment went through the background at least once.
    let merged = stats.segments.iter().map(|s| s.rows).max().unwrap() * DIM as u64 * 4;
    let seconds = (home.env.clock.now() - began).as_secs_f64();
    assert!(merged > 100_000, "{merged}");
    assert!(
        seconds * RATE as f64 >= merged as f64,
        "{merged} bytes in {seconds} s"
    );

    // Asked for, it is as fast as can be: the simulated clock stands still but for sleeps.
    let began = home.env.clock.now();
    collection.compact(&Job::default()).unwrap();
    assert!((home.env.clock.now() - began).as_secs_f64() < 0.5);
}

#[test]
fn overwriting_faster_than_merges_run_leaves_no_heap_of_small_segments() {
    // Without merges, as where they cannot keep up, and with a memtable that holds all.
    let options = Options {
        compaction: Compaction::None,
        ..Options::default()
    };
    let home = Home::memory();
    let database = home.open(options);
    let schema = plain(KeyType::U64, DIM as u32, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    let mut rng = Rng::new(5);
    for round in 0..4 {
        for first in (0..40_000).step_by(500) {
            let rows: Vec<Row> = (first..first + 500).map(|key| row(key, &mut rng)).collect();
            put(&collection, &rows);
        }
        if round == 0 {
            collection.compact(&Job::default()).unwrap();
        }
    }
    let segments = collection.stats().unwrap().segments;
    let rows: Vec<u64> = segments.iter().map(|segment| segment.rows).collect();
    assert!(rows.len() <= 6, "{rows:?}");
}

#[test]
fn segments_without_a_live_row_go_while_rows_stream_in() {
    let options = Options {
        durability: Durability::Memory,
        ..Options::default()
    };
    let home = Home::directory("dead-segments");
    let database = home.open(options);
    let schema = plain(KeyType::U64, DIM as u32, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    let mut rng = Rng::new(6);
    let rows: Vec<Row> = (0..50).map(|key| row(key, &mut rng)).collect();
    let mut most = 0;
    for _ in 0..24 {
        put(&collection, &rows);
        // What no log has is flushed. A stream goes on as long as flushes are 250 ms apart.
        collection.commit().unwrap();
        OsClock::new().sleep(Duration::from_millis(50));
        most = most.max(collection.stats().unwrap().segments.len());
    }
    assert!(most <= 12, "{most} segments of which one is alive");
}
