//! What a merge costs beside its result: room on the disk, and time of those who read and write meanwhile. And what
//! it may not touch: files that are there.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use cairn_engine::{
    Collection, Compaction, Durability, Effort, Job, KeyType, MetricName, Options, SearchRequest,
    Stop, WriteKind, WriteOptions,
};
use cairn_env::{Access, Clock, Disk, EntryKind, Env, OsClock};
use cairn_testkit::{HookedDisk, Rng, SimDisk, seed_from_env, sim_env};

use crate::common;
use common::{Home, Row, batch, number, plain, put, remove, small};

/// For headers and footers.
const SLACK: u64 = 64 * 1024;

fn rows(from: u64, to: u64, dim: u64) -> Vec<Row> {
    let vector = |n: u64| (0..dim).map(move |d| ((n * (d + 3)) % 41) as f32);
    (from..to)
        .map(|n| Row::new(number(n), &vector(n).collect::<Vec<_>>()).with("n", n as i64))
        .collect()
}

/// Bytes of all segments and deletion files below `dir`, as they are now.
fn bytes_below(disk: &dyn Disk, dir: &Path) -> u64 {
    let mut sum = 0;
    for entry in disk.list(dir).unwrap_or_default() {
        let path = dir.join(&entry.name);
        let counts = path
            .extension()
            .is_some_and(|end| end == "seg" || end == "del");
        sum += match entry.kind {
            EntryKind::Dir => bytes_below(disk, &path),
            _ if !counts => 0,
            // One may be renamed between the listing and here.
            _ => disk
                .open(&path, Access::Read)
                .map_or(0, |file| file.len().unwrap()),
        };
    }
    sum
}

/// While records come and are merged, by themselves and then all together, the disk holds what was there and what it
/// becomes: at most twice the larger of the two.
#[test]
fn a_merge_takes_at_most_twice_the_data_of_the_disk() {
    for compaction in [
        Compaction::SizeTiered,
        Compaction::Leveled,
        Compaction::None,
    ] {
        // Half of the records are dead in the second round, none in the first.
        for dead in [false, true] {
            let plain_disk = Env::memory(2);
            let raw = Arc::clone(&plain_disk.disk);
            let hooked = HookedDisk::around(Arc::clone(&raw));
            let home = Home::on(Env {
                disk: Arc::new(hooked.clone()),
                ..plain_disk
            });
            let options = Options {
                compaction,
                memtable_bytes: 512 * 1024,
                ..Options::default()
            };
            let database = home.open(options);
            let schema = plain(KeyType::U64, 128, MetricName::L2);
            let collection = database.create_collection("c", schema).unwrap();
            let path = home.path().to_path_buf();
            let peak = Arc::new(AtomicU64::new(0));
            let (seen, disk, dir) = (Arc::clone(&peak), Arc::clone(&raw), path.clone());
            hooked.set_hook(Some(Box::new(move || {
                seen.fetch_max(bytes_below(&*disk, &dir), Ordering::Relaxed);
            })));
            for first in (0..8_000).step_by(500) {
                put(&collection, &rows(first, first + 500, 128));
            }
            if dead {
                let gone: Vec<_> = (0..8_000).step_by(2).map(number).collect();
                remove(&collection, &gone);
            }
            home.at_rest(&collection);
            let before = bytes_below(&*raw, &path);
            collection.compact(&Job::default()).unwrap();
            hooked.set_hook(None);
            home.at_rest(&collection);
            let (peak, after) = (peak.load(Ordering::Relaxed), bytes_below(&*raw, &path));
            let data = before.max(after);
            println!(
                "{compaction:?}, dead: {dead}: {before} bytes, {peak} at most, {after} at the end"
            );
            assert_eq!(collection.stats().unwrap().segments.len(), 1);
            // Of what the background has merged already nothing is left to do.
            let merges = compaction == Compaction::None || dead;
            assert!(peak > before || !merges, "the merge was not seen");
            assert!(
                peak <= 2 * data + SLACK,
                "{compaction:?}, dead: {dead}: {before} bytes, {peak} at most, {after} at the end"
            );
            if dead {
                assert!(after < before, "what was deleted is gone");
            }
        }
    }
}

/// The median of the longest calls of windows of 100 ms.
fn median_of_windows(calls: &[(Duration, Duration)]) -> Duration {
    let mut windows = BTreeMap::new();
    for (at, took) in calls {
        let longest = windows.entry(at.as_millis() / 100).or_insert(*took);
        *longest = (*longest).max(*took);
    }
    let mut longest: Vec<_> = windows.into_values().collect();
    longest.sort_unstable();
    longest[longest.len() / 2]
}

/// Calls `call` until `done`; when each began and how long it took.
fn timed(done: &AtomicBool, mut call: impl FnMut(u64)) -> Vec<(Duration, Duration)> {
    let (clock, mut calls) = (OsClock::new(), Vec::new());
    while !done.load(Ordering::Relaxed) || calls.len() < 10 {
        let begun = clock.now();
        call(calls.len() as u64);
        calls.push((begun, clock.now() - begun));
    }
    calls
}

fn beside_a_compaction(compaction: Compaction) -> [Duration; 2] {
    let home = Home::memory();
    let options = Options {
        compaction,
        memtable_bytes: 256 * 1024,
        ..Options::default()
    };
    let database = home.open(options);
    let schema = plain(KeyType::U64, 16, MetricName::L2);
    let collection: Arc<Collection> = database.create_collection("c", schema).unwrap();
    for first in (0..12_000).step_by(500) {
        put(&collection, &rows(first, first + 500, 16));
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            collection.compact(&Job::default()).unwrap();
            done.store(true, Ordering::Relaxed);
        });
        let reads = scope.spawn(|| {
            let request = SearchRequest {
                effort: Effort::Exact,
                ..SearchRequest::new(&[7.0; 16], 10)
            };
            timed(&done, |n| {
                let snapshot = collection.snapshot().unwrap();
                let hits = snapshot.search(&request, &Stop::never()).unwrap();
                assert_eq!(hits.distances.len(), 10);
                assert!(snapshot.has(number(n % 12_000).as_key()).unwrap());
            })
        });
        let writes = timed(&done, |n| {
            let upsert = batch(
                collection.schema(),
                WriteKind::Upsert,
                &rows(20_000 + n, 20_001 + n, 16),
            );
            let options = WriteOptions {
                durability: Some(Durability::Sync),
                ..WriteOptions::default()
            };
            collection.write(upsert, options).unwrap();
        });
        let reads = reads.join().unwrap();
        println!(
            "{compaction:?}: {} reads, {} writes",
            reads.len(),
            writes.len()
        );
        [&reads, &writes].map(|calls| median_of_windows(calls))
    })
}

/// A machine that does something else holds up anybody, so the median of windows decides, and the best of three.
#[test]
fn no_read_and_no_write_stands_for_100_ms_beside_a_compaction() {
    for compaction in [Compaction::SizeTiered, Compaction::Leveled] {
        let longest = || beside_a_compaction(compaction).into_iter().max().unwrap();
        let tries: Vec<Duration> = (0..3)
            .map(|_| longest())
            .scan(false, |fine, took| {
                let go_on = !*fine;
                *fine = took <= Duration::from_millis(100);
                go_on.then_some(took)
            })
            .collect();
        println!("{compaction:?}: {tries:?}");
        assert!(
            tries.iter().any(|took| *took <= Duration::from_millis(100)),
            "{compaction:?}: {tries:?}"
        );
    }
}

/// At each call that a merge makes of the disk, the one that publishes it included, a read and a write begin and end.
#[test]
fn a_merge_that_stands_at_any_of_its_disk_calls_holds_up_no_read_and_no_write() {
    let plain_disk = Env::memory(2);
    let hooked = HookedDisk::around(Arc::clone(&plain_disk.disk));
    let home = Home::on(Env {
        disk: Arc::new(hooked.clone()),
        ..plain_disk
    });
    let options = Options {
        compaction: Compaction::None,
        memtable_bytes: 64 * 1024,
        ..Options::default()
    };
    let database = home.open(options);
    let schema = plain(KeyType::U64, 16, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    for first in (0..4_000).step_by(500) {
        put(&collection, &rows(first, first + 500, 16));
    }
    home.at_rest(&collection);
    let merging = std::thread::current().id();
    let (asked, to_do) = mpsc::channel::<u64>();
    let (did_read, has_read) = mpsc::channel();
    let (did_write, has_written) = mpsc::channel();
    let calls = Arc::new(AtomicU64::new(0));
    let (held_reads, held_writes) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    std::thread::scope(|scope| {
        let caller = Arc::clone(&collection);
        scope.spawn(move || {
            for n in to_do {
                let request = SearchRequest::new(&[7.0; 16], 10);
                let snapshot = caller.snapshot().unwrap();
                assert_eq!(
                    snapshot
                        .search(&request, &Stop::never())
                        .unwrap()
                        .distances
                        .len(),
                    10
                );
                let _ = did_read.send(());
                put(&caller, &rows(20_000 + n, 20_001 + n, 16));
                let _ = did_write.send(());
            }
        });
        let seen = Arc::clone(&calls);
        let (reads, writes) = (Arc::clone(&held_reads), Arc::clone(&held_writes));
        hooked.set_hook(Some(Box::new(move || {
            if std::thread::current().id() != merging {
                return;
            }
            let _ = asked.send(seen.fetch_add(1, Ordering::Relaxed));
            if has_read.recv_timeout(Duration::from_secs(5)).is_err() {
                reads.fetch_add(1, Ordering::Relaxed);
            } else if has_written.recv_timeout(Duration::from_secs(1)).is_err() {
                writes.fetch_add(1, Ordering::Relaxed);
            }
        })));
        collection.compact(&Job::default()).unwrap();
        hooked.set_hook(None);
    });
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (calls, reads, writes) = (count(&calls), count(&held_reads), count(&held_writes));
    println!("{calls} calls, {reads} held up a read, {writes} a write");
    assert!(calls >= 30, "too few calls to prove anything: {calls}");
    assert_eq!((reads, writes), (0, 0));
}

/// Whatever happens to a collection, a segment's file is from its first sight to its last what it was.
#[test]
fn a_segments_file_never_changes_as_long_as_it_is_there() {
    let seed = seed_from_env("CAIRN_SEED", 77);
    let disk = SimDisk::new();
    // All work runs at once, so no file is looked at while it is made.
    let home = Home::on(sim_env(&disk));
    let mut rng = Rng::new(seed);
    let mut database = home.open(small());
    let schema = plain(KeyType::U64, 4, MetricName::Cosine);
    database.create_collection("c", schema.clone()).unwrap();
    let mut first_seen: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    let mut looks = 0;
    for step in 0..300 {
        let collection = database.open_collection("c").unwrap();
        match rng.below(20) {
            0 => collection.compact(&Job::default()).unwrap(),
            1 => drop(collection.commit().unwrap()),
            2 => drop(database.snapshot(None).unwrap()),
            3 => {
                drop(collection);
                database.close().unwrap();
                database = home.open(small());
            }
            4..8 => {
                let from = rng.below(3_000);
                let gone: Vec<_> = (from..from + rng.below(200)).map(number).collect();
                remove(&collection, &gone);
            }
            _ => {
                let from = rng.below(3_000);
                let mut rows = rows(from, from + 1 + rng.below(200), 4);
                for row in &mut rows {
                    row.vectors[0] = Some(vec![1.0, step as f32, 2.0, 3.0]);
                }
                put(&collection, &rows);
            }
        }
        for (path, bytes) in home.files() {
            if path.extension().is_some_and(|end| end == "seg") {
                let first = first_seen
                    .entry(path.clone())
                    .or_insert_with(|| bytes.clone());
                assert!(
                    *first == bytes,
                    "seed {seed}, step {step}: {path:?} changed"
                );
                looks += 1;
            }
        }
    }
    println!("{} segments, looked at {looks} times", first_seen.len());
    assert!(first_seen.len() >= 30 && looks > 3 * first_seen.len());
}
