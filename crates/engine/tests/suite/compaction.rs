//! What is deleted goes for good, segments stay few, and nobody waits for that.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use cairn_engine::{
    Code, Collection, Compaction, Database, Durability, Effort, IndexKind, Job, KeyBuf, KeyType,
    MetricName, Options, SearchRequest, Stop, WriteKind, WriteOptions,
};
use cairn_env::{Clock, Env, OsClock};
use cairn_testkit::{SimClock, SimDisk, data, sim_env};

use crate::common;
use common::{
    HeldThreads, Home, Model, Row, batch, everything, number, plain, put, remove, schema, small,
    text, vector_field,
};

/// Keys that can be found in a file by their bytes.
fn marked(n: usize) -> KeyBuf {
    text(format!("<<marked key {n:05}>>"))
}

fn marked_row(n: usize) -> Row {
    let vector = [n as f32, -1.0, 0.5];
    Row::new(marked(n), &vector).with("secret", format!("<<secret {n:05}>>").as_str())
}

/// Whether the file's bytes hold the text.
fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|w| w == text.as_bytes())
}

fn segment_rows(collection: &Arc<Collection>) -> (u64, u64) {
    let segments = collection.stats().unwrap().segments;
    segments
        .iter()
        .fold((0, 0), |(rows, live), s| (rows + s.rows, live + s.live))
}

#[test]
fn deleted_records_are_physically_gone_after_compact() {
    let home = Home::directory("gone");
    let database = home.open(small());
    let schema = plain(KeyType::String, 3, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    let all: Vec<Row> = (0..3_000).map(marked_row).collect();
    for part in all.chunks(250) {
        put(&collection, part);
    }
    collection.compact(&Job::default()).unwrap();
    let bytes = |name: &str| -> u64 {
        let files = home.files();
        let of_kind = |path: &Path| path.extension().is_some_and(|e| e == name);
        let files = files.iter().filter(|(path, _)| of_kind(path));
        files.map(|(_, bytes)| bytes.len() as u64).sum()
    };
    let before = bytes("seg");

    let gone: Vec<KeyBuf> = (0..3_000).filter(|n| n % 10 != 0).map(marked).collect();
    for part in gone.chunks(100) {
        remove(&collection, part);
    }
    collection.compact(&Job::default()).unwrap();
    assert_eq!(segment_rows(&collection), (300, 300));
    assert!(bytes("seg") < before / 5, "the space comes back");
    assert_eq!(bytes("del"), 0, "nothing is left to mark as deleted");
    let stats = collection.stats().unwrap();
    assert_eq!(stats.dead_bytes, 0);

    for (path, bytes) in home.files() {
        if path.extension().is_some_and(|e| e == "wal") || path.ends_with("wal/spare") {
            // A log file that waits to be used again is overwritten then.
            continue;
        }
        for n in (0..3_000).filter(|n| n % 10 != 0).step_by(37) {
            assert!(
                !holds(&bytes, &format!("<<marked key {n:05}>>")),
                "{path:?}"
            );
            assert!(!holds(&bytes, &format!("<<secret {n:05}>>")), "{path:?}");
        }
        assert!(
            path.extension().is_none_or(|e| e != "seg") || holds(&bytes, "<<marked key 00010>>"),
            "the search itself works"
        );
    }
    database.close().unwrap();
    let collection = home.open(small()).open_collection("c").map(drop);
    assert!(collection.is_ok());
}

#[test]
fn everything_deleted_leaves_no_segment() {
    let home = Home::directory("all-gone");
    let database = home.open(small());
    let schema = plain(KeyType::U64, 3, MetricName::Cosine);
    let collection = database.create_collection("c", schema).unwrap();
    let rows: Vec<Row> = (0..3_000)
        .map(|n| Row::new(number(n), &[1.0, n as f32, 2.0]))
        .collect();
    put(&collection, &rows);
    let keys: Vec<KeyBuf> = rows.iter().map(|row| row.key.clone()).collect();
    remove(&collection, &keys);
    collection.compact(&Job::default()).unwrap();
    let stats = collection.stats().unwrap();
    assert!(stats.segments.is_empty());
    assert_eq!((stats.count, stats.live_bytes, stats.dead_bytes), (0, 0, 0));
    put(&collection, &rows[..10]);
    database.close().unwrap();
    let database = home.open(small());
    let collection = database.open_collection("c").unwrap();
    assert_eq!(collection.snapshot().unwrap().count(), 10);
}

#[test]
fn segments_stay_few_however_many_flushes() {
    let home = Home::memory();
    let database = home.open(small());
    let schema = plain(KeyType::U64, 16, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    let vectors = data::uniform(1, 30_000, 16);
    let mut flushed = BTreeSet::new();
    let mut most = 0;
    for (n, part) in vectors.chunks(16 * 200).enumerate() {
        let rows: Vec<Row> = part
            .chunks(16)
            .zip(n as u64 * 200..)
            .map(|(vector, key)| Row::new(number(key), vector))
            .collect();
        put(&collection, &rows);
        let stats = collection.stats().unwrap();
        flushed.extend(stats.segments.iter().map(|s| s.id.clone()));
        most = most.max(stats.segments.len());
    }
    home.at_rest(&collection);
    let stats = collection.stats().unwrap();
    let rows: Vec<u64> = stats.segments.iter().map(|s| s.rows).collect();
    println!("seen={} most={most} at rest={rows:?}", flushed.len());
    assert!(flushed.len() > 20, "there were many flushes");
    // Tiers are powers of four of 1,024 rows: 30,000 rows make at most four of them, with at
    // most three segments each.
    assert!(rows.len() <= 12, "at rest={rows:?}");
    let mut tiers = [0; 10];
    for &rows in &rows {
        tiers[(rows / 1_024).max(1).ilog(4) as usize] += 1;
    }
    assert!(tiers.iter().all(|&segments| segments < 4), "{tiers:?}");
    assert_eq!(stats.last_background_error, None);
}

#[test]
fn the_dead_share_at_rest_stays_below_a_third() {
    let home = Home::memory();
    let options = Options {
        memtable_bytes: 1024 * 1024,
        ..Options::default()
    };
    let database = home.open(options);
    let schema = plain(KeyType::U64, 4, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    let row = |n: u64| Row::new(number(n), &[n as f32, 1.0, 2.0, 3.0]);
    let rows: Vec<Row> = (0..40_000).map(row).collect();
    for part in rows.chunks(5_000) {
        put(&collection, part);
    }
    home.at_rest(&collection);
    // Deletions alone: nothing fills a memtable, and the space must come back all the same.
    for part in (0..20_000).collect::<Vec<u64>>().chunks(500) {
        let keys: Vec<KeyBuf> = part.iter().map(|&n| number(n * 2)).collect();
        remove(&collection, &keys);
    }
    home.at_rest(&collection);
    let (rows, live) = segment_rows(&collection);
    println!("rows={rows} live={live}");
    assert!((rows - live) * 100 <= rows * 30, "rows={rows} live={live}");
    assert_eq!(collection.snapshot().unwrap().count(), 20_000);
    for segment in collection.stats().unwrap().segments {
        let dead = segment.rows - segment.live;
        // Fewer than a flush is worth may be left over.
        assert!(
            dead * 100 <= segment.rows * 30 || dead < 4_096,
            "{segment:?}"
        );
    }
}

#[test]
fn a_graph_appears_once_a_segment_is_large_and_only_where_it_may() {
    let home = Home::memory();
    let database = home.open(small());
    let kinds = [IndexKind::Auto, IndexKind::Flat];
    let [auto, flat] = kinds.map(|kind| {
        let name = format!("{kind:?}");
        let field = vector_field("vector", 16, MetricName::L2, kind);
        let schema = schema(KeyType::U64, vec![field]);
        database.create_collection(&name, schema).unwrap()
    });
    let vectors = data::uniform(2, 6_000, 16);
    for collection in [&auto, &flat] {
        for (n, part) in vectors.chunks(16 * 500).enumerate() {
            let rows: Vec<Row> = part
                .chunks(16)
                .zip(n as u64 * 500..)
                .map(|(vector, key)| Row::new(number(key), vector))
                .collect();
            put(collection, &rows);
        }
    }
    home.at_rest(&auto);
    home.at_rest(&flat);
    for segment in auto.stats().unwrap().segments {
        let expected = if segment.rows >= 1_024 {
            "hnsw"
        } else {
            "flat"
        };
        assert_eq!(segment.index, expected, "rows={}", segment.rows);
    }
    auto.compact(&Job::default()).unwrap();
    flat.compact(&Job::default()).unwrap();
    let stats = [&auto, &flat].map(|c| c.stats().unwrap());
    assert_eq!(stats[0].segments[0].index, "hnsw");
    assert_eq!(stats[1].segments[0].index, "flat");
    assert!(stats[0].graph_bytes > 0 && stats[1].graph_bytes == 0);
}

/// A collection of some thousand rows in many segments, with its oracle.
#[test]
fn rows_without_a_graph_get_one_before_a_much_larger_merge_begins() {
    let home = Home::memory();
    let manual = Options {
        compaction: Compaction::None,
        ..small()
    };
    let database = home.open(manual.clone());
    let (collection, _) = many_segments(&database, 12_000);
    collection.compact(&Job::default()).unwrap();
    let vector = |n: u64| (0..16).map(|d| ((n * (d + 5)) % 37) as f32).collect();
    let rows = |keys: std::ops::Range<u64>| -> Vec<Row> {
        let row = |key| Row::of(number(key), vec![Some(vector(key))]);
        keys.map(row).collect()
    };
    for first in (0..2_000).step_by(250) {
        put(&collection, &rows(first..first + 250));
    }
    type Segments = Vec<(u64, &'static str)>;
    let seen: Arc<Mutex<Vec<Segments>>> = Arc::default();
    let progress = {
        let (seen, collection) = (Arc::clone(&seen), Arc::clone(&collection));
        Arc::new(move |done: u64, of: u64| {
            if done == of || seen.lock().unwrap().is_empty() {
                let segments = collection.stats().unwrap().segments;
                let segments = segments.iter().map(|it| (it.rows, it.index)).collect();
                seen.lock().unwrap().push(segments);
            }
        })
    };
    let job = Job {
        progress: Some(progress),
        ..Job::default()
    };
    collection.compact(&job).unwrap();
    let seen = seen.lock().unwrap();
    assert!(!seen.is_empty());
    for segments in &*seen {
        assert_eq!(segments[..], [(12_000, "hnsw"), (2_000, "hnsw")]);
    }
    let segments = collection.stats().unwrap().segments;
    assert_eq!((segments.len(), segments[0].rows), (1, 12_000));
    // A graph was measured when it was built.
    let points = &segments[0].calibration;
    assert!(points.last().unwrap().recall >= 0.99, "{points:?}");
    database.close().unwrap();
    // And that is still known after a restart.
    let database = home.open(manual);
    let again = database.open_collection("c").unwrap().stats().unwrap();
    assert_eq!(&again.segments[0].calibration, points);
}

fn many_segments(database: &Arc<Database>, rows: usize) -> (Arc<Collection>, Model) {
    let schema = plain(KeyType::U64, 16, MetricName::L2);
    let collection = database.create_collection("c", schema.clone()).unwrap();
    let mut model = Model::new(&schema);
    for first in (0..rows).step_by(500) {
        let rows: Vec<Row> = (first..(first + 500).min(rows))
            .map(|n| {
                let vector: Vec<f32> = (0..16).map(|d| ((n * (d + 3)) % 41) as f32).collect();
                Row::new(number(n as u64), &vector)
            })
            .collect();
        let answer = collection.write(
            batch(&schema, WriteKind::Upsert, &rows),
            WriteOptions::default(),
        );
        model.write(WriteKind::Upsert, &rows, None, &answer);
    }
    (collection, model)
}

#[test]
fn a_compaction_that_is_stopped_keeps_what_was_there() {
    let home = Home::directory("stopped");
    let database = home.open(small());
    let (collection, mut model) = many_segments(&database, 6_000);
    // Whatever the background does meanwhile, no file of an attempt is left; and there is
    // something to compact again.
    let mut check = || {
        home.at_rest(&collection);
        model.check(&collection.snapshot().unwrap());
        let files = home.files();
        let is_segment = |path: &Path| path.extension().is_some_and(|e| e == "seg");
        let files = files.iter().filter(|(path, _)| is_segment(path)).count();
        assert_eq!(files, collection.stats().unwrap().segments.len());
        let rows = [Row::new(number(model.records.len() as u64), &[5.0; 16])];
        let add = batch(collection.schema(), WriteKind::Add, &rows);
        let answer = collection.write(add, WriteOptions::default());
        model.write(WriteKind::Add, &rows, None, &answer);
        model.records.len() as u64
    };
    check();

    // Stopped before it began: not even a flush.
    let job = Job {
        stop: Stop::never().when(Arc::new(AtomicBool::new(true))),
        progress: None,
    };
    let error = collection.compact(&job).unwrap_err();
    assert_eq!(error.code(), Code::Aborted);
    assert!(collection.stats().unwrap().memtable_rows > 0);
    check();

    // Stopped in the middle, by what it tells of its progress.
    let flag = Arc::new(AtomicBool::new(false));
    let calls = Arc::new(AtomicU64::new(0));
    let (raised, counted) = (Arc::clone(&flag), Arc::clone(&calls));
    let job = Job {
        stop: Stop::never().when(flag),
        progress: Some(Arc::new(move |done, total| {
            assert!(done <= total);
            counted.fetch_add(1, Ordering::Relaxed);
            raised.store(true, Ordering::Relaxed);
        })),
    };
    let error = collection.compact(&job).unwrap_err();
    assert_eq!(error.code(), Code::Aborted);
    assert!(calls.load(Ordering::Relaxed) > 0, "it was in the middle");
    check();

    // By a deadline.
    let clock = Arc::clone(&home.env.clock);
    let soon = clock.now() + Duration::from_millis(1);
    let job = Job {
        stop: Stop::never().at(clock, soon),
        progress: None,
    };
    let error = collection.compact(&job).unwrap_err();
    assert_eq!(error.code(), Code::Deadline);
    let rows = check();

    // The next one works and tells how far it is.
    let last = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&last);
    let job = Job {
        stop: Stop::never(),
        progress: Some(Arc::new(move |done, total| {
            if done == total {
                seen.fetch_max(total, Ordering::Relaxed);
            }
        })),
    };
    collection.compact(&job).unwrap();
    let told = last.load(Ordering::Relaxed);
    assert_eq!(told, rows, "progress counts rows");
    assert_eq!(collection.stats().unwrap().segments.len(), 1);
    check();
    assert_eq!(collection.stats().unwrap().last_background_error, None);
}

#[test]
fn what_is_deleted_and_written_during_a_compaction_stays_so() {
    let home = Home::directory("during");
    let database = home.open(small());
    let (collection, mut model) = many_segments(&database, 8_000);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..3 {
                collection.compact(&Job::default()).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        let mut n = 0;
        while !done.load(Ordering::Relaxed) {
            n += 1;
            let key = number(n * 7 % 8_000);
            let (kind, row) = match n % 3 {
                0 => (WriteKind::Delete, Row::new(key, &[0.0; 16])),
                1 => (WriteKind::Upsert, Row::new(key, &[n as f32; 16])),
                _ => (WriteKind::Delete, Row::new(key, &[0.0; 16])),
            };
            let rows = [row];
            let write = batch(&model.schema, kind, &rows);
            let answer = collection.write(write, WriteOptions::default());
            // The oracle copies itself for each write: apply it without.
            let version = answer.unwrap().version;
            let [row] = rows;
            match kind {
                WriteKind::Delete => drop(model.records.remove(&row.key)),
                _ => {
                    let vectors = row.vectors.into_iter().flatten().collect();
                    let stored = common::model::Stored {
                        version,
                        vectors,
                        fields: Default::default(),
                    };
                    model.records.insert(row.key, stored);
                }
            }
        }
        println!("writes during compactions={n}");
        assert!(n > 10, "there was a race");
    });
    model.check(&collection.snapshot().unwrap());
    model.check_exact(&collection.snapshot().unwrap(), 0, &[20.0; 16], 100);
    database.close().unwrap();
    let database = home.open(small());
    let collection = database.open_collection("c").unwrap();
    model.check(&collection.snapshot().unwrap());
}

#[test]
fn readers_go_on_while_a_compaction_runs() {
    let home = Home::memory();
    let database = home.open(Options::default());
    let (collection, model) = many_segments(&database, 12_000);
    let clock = OsClock::new();
    let done = AtomicBool::new(false);
    let query = [7.0; 16];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            collection.compact(&Job::default()).unwrap();
            done.store(true, Ordering::Relaxed);
        });
        let (mut reads, mut longest) = (0, 0);
        while !done.load(Ordering::Relaxed) {
            let since = clock.now();
            let snapshot = collection.snapshot().unwrap();
            let request = SearchRequest {
                effort: Effort::Exact,
                ..SearchRequest::new(&query, 10)
            };
            let hits = snapshot.search(&request, &Stop::never()).unwrap();
            model.check_hits(&hits, 0, &query, 10);
            assert!(snapshot.has(number(77).as_key()).unwrap());
            longest = longest.max((clock.now() - since).as_millis());
            reads += 1;
        }
        println!("reads={reads} longest={longest} ms");
        assert!(reads >= 10, "reads={reads} longest={longest} ms");
    });
    assert_eq!(collection.stats().unwrap().segments.len(), 1);
    model.check(&collection.snapshot().unwrap());
}

#[test]
fn close_cuts_a_compaction_short() {
    let home = Home::directory("cut-short");
    let database = home.open(small());
    let (collection, model) = many_segments(&database, 20_000);
    let (started, running) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let (flag, inside) = (Arc::clone(&started), Arc::clone(&running));
    let job = Job {
        stop: Stop::never(),
        progress: Some(Arc::new(move |_, _| {
            inside.fetch_add(1, Ordering::SeqCst);
            flag.store(true, Ordering::SeqCst);
            OsClock::new().sleep(Duration::from_millis(50));
            inside.fetch_sub(1, Ordering::SeqCst);
        })),
    };
    std::thread::scope(|scope| {
        let compaction = scope.spawn(|| collection.compact(&job));
        common::eventually("the graph is being built", || {
            started.load(Ordering::SeqCst)
        });
        database.close().unwrap();
        assert_eq!(
            running.load(Ordering::SeqCst),
            0,
            "nothing runs behind a close"
        );
        // By the time the directory is free, nothing of ours writes there any more.
        let again = home.open(small());
        let collection = again.open_collection("c").unwrap();
        let outcome = compaction.join().unwrap();
        assert!(matches!(
            outcome.map_err(|error| error.code()),
            Ok(()) | Err(Code::Aborted | Code::Closed)
        ));
        model.check(&collection.snapshot().unwrap());
        assert_eq!(collection.verify(&Job::default()).unwrap().problems, []);
    });
}

#[test]
fn a_merge_that_has_not_begun_holds_up_no_close_and_no_drop() {
    let threads = HeldThreads::default();
    let home = Home::on(Env {
        threads: threads.shared(),
        ..Env::memory(1)
    });
    let database = home.open(small());
    let (_, model) = many_segments(&database, 6_000);
    let schema = plain(KeyType::U64, 16, MetricName::L2);
    let other = database.create_collection("other", schema).unwrap();
    for part in 0..6 {
        let row = |n: u64| Row::new(number(part * 1_000 + n), &[n as f32; 16]);
        put(&other, &(0..800).map(row).collect::<Vec<_>>());
    }
    // As when they stand in their lane behind the merge of yet another collection.
    assert_eq!(threads.waiting(), 2);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            database.drop_collection("other").unwrap();
            database.close().unwrap();
            ended.store(true, Ordering::SeqCst);
        });
        common::eventually("both end", || ended.load(Ordering::SeqCst));
    });
    // Their turn comes when the directory may have another owner: they leave it alone.
    let before = home.files();
    threads.run_held();
    assert!(home.files() == before, "somebody writes behind a close");
    let again = home.open(small());
    model.check(&again.open_collection("c").unwrap().snapshot().unwrap());
}

/// Half as many threads merge in the background as there are cores, for all collections.
#[test]
fn the_background_does_not_wait_while_a_job_merges() {
    let threads = HeldThreads::default();
    let home = Home::on(Env {
        threads: threads.shared(),
        ..Env::memory(1)
    });
    let database = home.open(small());
    let (collection, _) = many_segments(&database, 6_000);
    threads.run_held();
    put(&collection, &[Row::new(number(6_000), &[0.5; 16])]);
    let (started, is_inside) = mpsc::channel();
    let (end, gate) = mpsc::channel::<()>();
    let (started, gate) = (Mutex::new(started), Mutex::new(gate));
    let job = Job {
        stop: Stop::never(),
        progress: Some(Arc::new(move |_, _| {
            // Until the test has no more to say; nobody hears it the second time.
            let _ = started.lock().unwrap().send(());
            let _ = gate.lock().unwrap().recv();
        })),
    };
    let went_on = std::thread::scope(|scope| {
        let merging = scope.spawn(|| collection.compact(&job));
        is_inside.recv().unwrap();
        // Five segments that the job has not seen.
        for part in 0..5 {
            let row = |n: u64| Row::new(number(10_000 + part * 1_000 + n), &[n as f32; 16]);
            put(&collection, &(0..800).map(row).collect::<Vec<_>>());
        }
        let (done, is_done) = mpsc::channel();
        let background = threads.clone();
        scope.spawn(move || {
            background.run_held();
            // Nobody hears it once it took too long.
            let _ = done.send(());
        });
        let went_on = is_done.recv_timeout(Duration::from_secs(20));
        drop(end);
        merging.join().unwrap().unwrap();
        went_on
    });
    let segments = || collection.stats().unwrap().segments.len();
    let (before, waiting) = (segments(), threads.waiting());
    threads.run_held();
    assert_eq!(went_on, Ok(()), "the background goes on to other things");
    assert!(before >= 5, "nothing was merged meanwhile: {before}");
    assert!(waiting > 0, "what the job did not see is looked at");
    assert!(segments() <= 2, "and merged: {}", segments());
    assert_eq!(collection.snapshot().unwrap().count(), 10_001);
}

#[test]
fn an_old_record_goes_only_when_its_replacement_is_safe() {
    // Background work is held back and let go when a replacement is in memory alone, or in a log
    // that is not synced. Whatever a loss of power takes then, one of the two records is there.
    for durability in [Durability::Memory, Durability::Os] {
        let disk = SimDisk::new();
        let threads = HeldThreads::default();
        let env = Env {
            threads: threads.shared(),
            ..sim_env(&disk)
        };
        let database = Database::open(env, Path::new("/db"), small()).unwrap();
        let schema = plain(KeyType::U64, 32, MetricName::L2);
        let collection = database.create_collection("c", schema.clone()).unwrap();
        let row = |n: u64, value: f32| Row::new(number(n), &[value; 32]);
        for first in [0, 500, 1_000, 1_500, 2_000] {
            let rows: Vec<Row> = (first..first + 500).map(|n| row(n, 1.0)).collect();
            put(&collection, &rows);
        }
        assert!(collection.stats().unwrap().segments.len() >= 4);
        assert!(threads.waiting() > 0, "a compaction waits");
        let rows: Vec<Row> = (0..20).map(|n| row(n, 2.0)).collect();
        let options = WriteOptions {
            durability: Some(durability),
            ..WriteOptions::default()
        };
        let replace = batch(&schema, WriteKind::Upsert, &rows);
        collection.write(replace, options).unwrap();
        threads.run_held();
        assert!(collection.stats().unwrap().segments.len() <= 2);

        for image in disk.random_images(disk.op_count(), 20, 7) {
            let database = Database::open(sim_env(&image.disk), Path::new("/db"), small()).unwrap();
            let collection = database.open_collection("c").unwrap();
            let snapshot = collection.snapshot().unwrap();
            assert_eq!(snapshot.count(), 2_500, "durability={durability:?}");
            let column = common::keys(KeyType::U64, rows.iter().map(|row| &row.key));
            let found = snapshot.get(&column, &everything()).unwrap();
            let value = |n: usize| found[n].as_ref().unwrap().vectors.as_ref().unwrap()[0][0];
            assert!(
                (1..20).all(|n| value(n) == value(0)),
                "all of a batch or nothing"
            );
        }
        threads.run_held();
        database.close().unwrap();
    }
}

/// What a [`StreamClock`] does in each sleep.
type OnSleep = Box<dyn FnMut() + Send>;

/// A virtual clock in whose sleeps a stream of rows goes on.
struct StreamClock {
    inner: SimClock,
    stream: Mutex<Option<OnSleep>>,
}

impl Clock for StreamClock {
    fn now(&self) -> Duration {
        self.inner.now()
    }

    fn unix_ms(&self) -> u64 {
        self.inner.unix_ms()
    }

    fn sleep(&self, duration: Duration) {
        self.inner.sleep(duration);
        let stream = self.stream.lock().unwrap().take();
        if let Some(mut stream) = stream {
            stream();
            self.stream.lock().unwrap().get_or_insert(stream);
        }
    }
}

/// Starts a background merge beside a stream of `flushes` more segments, one each time the merge
/// looks whether the stream has paused. Returns how many segments each look found, the number at
/// the end, and how long it all took.
fn merge_beside_stream(flushes: usize) -> (Vec<usize>, usize, Duration) {
    let disk = SimDisk::new();
    let threads = HeldThreads::default();
    let clock = Arc::new(StreamClock {
        inner: SimClock::new(),
        stream: Mutex::new(None),
    });
    let env = Env {
        threads: threads.shared(),
        clock: clock.clone(),
        ..sim_env(&disk)
    };
    let database = Database::open(env, Path::new("/db"), small()).unwrap();
    let schema = plain(KeyType::U64, 32, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    let segments = {
        let collection = Arc::clone(&collection);
        move || collection.stats().unwrap().segments.len()
    };
    // One batch fills a memtable, which is flushed before the write returns.
    let flush = {
        let collection = Arc::clone(&collection);
        move |n: u64| {
            let rows = (n * 500..(n + 1) * 500).map(|key| Row::new(number(key), &[key as f32; 32]));
            put(&collection, &rows.collect::<Vec<_>>());
        }
    };
    (0..4).for_each(&flush);
    assert_eq!(
        (segments(), threads.waiting()),
        (4, 1),
        "there is something to merge"
    );

    let looks = Arc::new(Mutex::new(Vec::new()));
    let (seen, count) = (Arc::clone(&looks), segments.clone());
    let mut flushed = 0;
    *clock.stream.lock().unwrap() = Some(Box::new(move || {
        seen.lock().unwrap().push(count());
        if flushed < flushes {
            flush(4 + flushed as u64);
            flushed += 1;
        }
    }));
    let began = clock.now();
    threads.run_held();
    *clock.stream.lock().unwrap() = None;
    let stats = collection.stats().unwrap();
    assert_eq!(stats.count, 500 * (4 + flushes as u64));
    let looks = looks.lock().unwrap().clone();
    (looks, stats.segments.len(), clock.now() - began)
}

#[test]
fn no_merge_begins_while_flushes_follow_each_other_and_one_does_after_a_pause() {
    const FLUSHES: usize = 12;
    let (looks, left, took) = merge_beside_stream(FLUSHES);
    // Each look of the stream found what the one before it had flushed, and nothing merged; the
    // looks after the last flush make up the pause.
    let streaming: Vec<usize> = (4..4 + FLUSHES).collect();
    assert_eq!(looks[..FLUSHES], streaming);
    assert!(
        looks[FLUSHES..].iter().all(|&n| n == 4 + FLUSHES),
        "{looks:?}"
    );
    assert_eq!(
        looks.len() - FLUSHES,
        10,
        "a pause of a quarter of a second: {looks:?}"
    );
    assert_eq!(took, Duration::from_millis(25) * looks.len() as u32);
    assert_eq!(left, 1, "merged once");
}

#[test]
fn after_32_more_segments_a_stream_is_merged_all_the_same() {
    const FLUSHES: usize = 40;
    let (looks, _, _) = merge_beside_stream(FLUSHES);
    let streaming: Vec<usize> = (4..4 + 32).collect();
    assert_eq!(looks[..32], streaming);
    // All 36 became one; then the stream goes on.
    assert_eq!(looks[32], 1, "{looks:?}");
}
