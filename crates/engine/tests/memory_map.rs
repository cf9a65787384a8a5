//! Vectors that stay in their files: the same answers as from memory, nothing that was not compared
//! with its checksum, and no end of the process when a file is cut.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

#[path = "common/crash/mod.rs"]
mod crash;

mod common;

use std::path::PathBuf;
use std::sync::Arc;

use cairn_engine::{
    Code, Collection, Compaction, Database, Effort, Error, Fact, Hits, IndexKind, Job, Key,
    KeyType, MetricName, Options, SearchRequest, Shape, Stop, VectorField, VectorKind,
};
use cairn_env::{Access, Disk, OsDisk};
use cairn_testkit::{Rng, seed_from_env};

use common::{
    Home, METRICS, Row, everything, keys, number, plain, put, remove, schema, vector_field,
};

fn mapped() -> Options {
    Options {
        memory_map: true,
        ..Options::default()
    }
}

fn random(rng: &mut Rng, dim: usize) -> Vec<f32> {
    // Of all lengths, for cosine.
    let length = 10.0_f64.powf(rng.unit() * 6.0 - 3.0) as f32;
    let component = |_| (rng.unit() as f32 - 0.5) * length;
    (0..dim).map(component).collect()
}

fn search(collection: &Arc<Collection>, vector: &[f32], effort: Effort, shape: Shape<'_>) -> Hits {
    let request = SearchRequest {
        effort,
        select: everything(),
        shape,
        explain: true,
        ..SearchRequest::new(vector, 12)
    };
    let snapshot = collection.snapshot().unwrap();
    snapshot.search(&request, &Stop::never()).unwrap()
}

fn found(hits: &Hits) -> Vec<u64> {
    let number = |key: Key<'_>| match key {
        Key::U64(number) => number,
        Key::Str(text) => panic!("key={text}"),
    };
    hits.keys.iter().map(number).collect()
}

/// Equal but for the last bits of distances, and the order of those that are as near.
fn assert_alike(copied: &Hits, mapped: &Hits, what: &str) {
    assert_eq!(copied.distances.len(), mapped.distances.len(), "{what}");
    for (at, (a, b)) in copied.distances.iter().zip(&mapped.distances).enumerate() {
        assert!((a - b).abs() <= 1e-5 * a.abs().max(1.0), "{what}: {a} {b}");
        if found(copied)[at] != found(mapped)[at] {
            let mut others = copied.distances.iter().enumerate();
            let is_tied = |(other, d): (usize, &f32)| other != at && (d - a).abs() <= 1e-5;
            let is_last = at + 1 == copied.distances.len();
            assert!(others.any(is_tied) || is_last, "{what} at {at}");
        }
    }
}

/// All vectors by key, as a scan gives them.
fn scanned(collection: &Arc<Collection>) -> Result<Vec<(u64, Vec<f32>)>, Error> {
    let snapshot = collection.snapshot()?;
    let mut scan = snapshot.scan(None)?;
    let mut all = Vec::new();
    loop {
        let page = scan.next_page(700, &everything())?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page.into_iter().map(|record| {
            let Key::U64(key) = record.key.as_key() else {
                panic!("keys are numbers");
            };
            (key, record.vectors.unwrap().swap_remove(0))
        }));
    }
}

fn mapped_bytes(collection: &Arc<Collection>) -> u64 {
    collection.stats().unwrap().mapped_bytes
}

#[test]
fn mapped_vectors_answer_as_copied_ones_do() {
    let seed = seed_from_env("CAIRN_MAP_SEED", 0xa11);
    println!("CAIRN_MAP_SEED={seed}");
    let mut rng = Rng::new(seed);
    for metric in METRICS {
        for (dim, index) in [
            (96, IndexKind::Auto),
            (17, IndexKind::Auto),
            (40, IndexKind::Flat),
        ] {
            let what = format!("{metric:?} {dim} {index:?}");
            let home = Home::directory("mapped");
            let field = vector_field("vector", dim as u32, metric, index);
            let shape = schema(KeyType::U64, vec![field]);
            let given: Vec<Vec<f32>> = (0..2_600).map(|_| random(&mut rng, dim)).collect();
            let rows: Vec<Row> = (0..)
                .zip(&given)
                .map(|(n, v)| Row::new(number(n), v))
                .collect();
            let queries: Vec<Vec<f32>> = (0..8).map(|_| random(&mut rng, dim)).collect();

            let database = home.open(mapped());
            let collection = database.create_collection("c", shape).unwrap();
            put(&collection, &rows[..2_000]);
            collection.compact(&Job::default()).unwrap();
            put(&collection, &rows[2_000..]);
            put(&collection, &rows[100..200]);
            remove(&collection, &(300..400).map(number).collect::<Vec<_>>());
            home.at_rest(&collection);
            let stats = collection.stats().unwrap();
            assert_eq!(stats.mapped_bytes, 2_000 * dim as u64 * 4, "{what}");
            let scales = if metric == MetricName::Cosine {
                4 * 2_000
            } else {
                0
            };
            assert_eq!(stats.vector_bytes, scales, "{what}");
            let ask = |collection: &Arc<Collection>| -> Vec<Hits> {
                let mut all = Vec::new();
                for _ in 0..10 {
                    // Often, so that codes are made where there is no graph.
                    for query in &queries {
                        all.push(search(collection, query, Effort::Exact, Shape::default()));
                    }
                }
                for query in &queries {
                    all.push(search(
                        collection,
                        query,
                        Effort::EfSearch(200),
                        Shape::default(),
                    ));
                    let diverse = Shape {
                        diversity: Some(0.3),
                        ..Shape::default()
                    };
                    all.push(search(collection, query, Effort::Exact, diverse));
                }
                all
            };
            let from_files = ask(&collection);
            let all = scanned(&collection).unwrap();
            let wanted = keys(KeyType::U64, &[number(150), number(1_500)]);
            let got = collection
                .snapshot()
                .unwrap()
                .get(&wanted, &everything())
                .unwrap();
            assert_eq!(
                got[1].as_ref().unwrap().vectors.as_ref().unwrap()[0],
                given[1_500]
            );
            database.close().unwrap();

            let database = home.open(Options::default());
            let collection = database.open_collection("c").unwrap();
            assert_eq!(mapped_bytes(&collection), 0);
            for (at, (copied, mapped)) in ask(&collection).iter().zip(&from_files).enumerate() {
                let what = format!("{what}, search {at}");
                assert_alike(copied, mapped, &what);
                assert_eq!(copied.vectors.as_ref().unwrap().len(), 1);
            }
            assert_eq!(scanned(&collection).unwrap(), all, "{what}");
            assert_eq!(all.len(), 2_500);
            for (key, vector) in &all {
                assert_eq!(
                    *vector, given[*key as usize],
                    "{what}: every bit as it was given"
                );
            }
            database.close().unwrap();

            // What is merged from mapped segments is what they had.
            let database = home.open(mapped());
            let collection = database.open_collection("c").unwrap();
            collection.compact(&Job::default()).unwrap();
            home.at_rest(&collection);
            assert_eq!(mapped_bytes(&collection), 2_500 * dim as u64 * 4, "{what}");
            assert_eq!(scanned(&collection).unwrap(), all, "{what}");
            database.close().unwrap();
        }
    }
}

#[test]
fn vectors_of_every_kind_are_mapped_as_they_are_stored() {
    let mut rng = Rng::new(seed_from_env("CAIRN_MAP_SEED", 0x16));
    for (kind, metric, dim, row_bytes) in [
        (VectorKind::F16, MetricName::Cosine, 37, 74),
        (VectorKind::F16, MetricName::L2, 64, 128),
        (VectorKind::I8, MetricName::Cosine, 75, 75),
        (VectorKind::I8, MetricName::Dot, 64, 64),
        (VectorKind::Binary, MetricName::Hamming, 264, 33),
    ] {
        for index in [IndexKind::Flat, IndexKind::Auto] {
            let what = format!("{kind:?} {metric:?} {index:?}");
            let home = Home::directory("mapped");
            let field = VectorField {
                kind,
                ..vector_field("vector", dim, metric, index)
            };
            let width = if kind == VectorKind::Binary {
                row_bytes
            } else {
                dim as usize
            };
            let value = |rng: &mut Rng| match kind {
                VectorKind::Binary => rng.below(256) as f32,
                _ => rng.below(255) as f32 - 127.0,
            };
            let mut vector = || -> Vec<f32> { (0..width).map(|_| value(&mut rng)).collect() };
            let given: Vec<Vec<f32>> = (0..1_500).map(|_| vector()).collect();
            let query = vector();
            let mut answers = Vec::new();
            for memory_map in [true, false] {
                let database = home.open(Options {
                    memory_map,
                    ..Options::default()
                });
                let collection = if memory_map {
                    let shape = schema(KeyType::U64, vec![field.clone()]);
                    let collection = database.create_collection("c", shape).unwrap();
                    let rows = (0..).zip(&given);
                    let rows = rows.map(|(n, vector)| Row::new(number(n), vector));
                    put(&collection, &rows.collect::<Vec<_>>());
                    collection.compact(&Job::default()).unwrap();
                    home.at_rest(&collection);
                    assert_eq!(
                        mapped_bytes(&collection),
                        1_500 * row_bytes as u64,
                        "{what}"
                    );
                    collection
                } else {
                    database.open_collection("c").unwrap()
                };
                answers.push((
                    search(&collection, &query, Effort::Exact, Shape::default()),
                    search(&collection, &query, Effort::EfSearch(100), Shape::default()),
                    scanned(&collection).unwrap(),
                ));
                database.close().unwrap();
            }
            let (mapped, copied) = (&answers[0], &answers[1]);
            assert_alike(&copied.0, &mapped.0, &what);
            assert_alike(&copied.1, &mapped.1, &what);
            assert_eq!(copied.2, mapped.2, "{what}");
            let all: Vec<&Vec<f32>> = mapped.2.iter().map(|(_, vector)| vector).collect();
            assert_eq!(all, given.iter().collect::<Vec<_>>(), "{what}");
        }
    }
}

#[test]
fn codes_of_mapped_rows_find_what_is_near() {
    let mut rng = Rng::new(seed_from_env("CAIRN_MAP_SEED", 0xc0d));
    for metric in [MetricName::Cosine, MetricName::L2] {
        let home = Home::directory("mapped");
        let database = home.open(Options {
            memtable_bytes: 2 << 20,
            compaction: Compaction::None,
            ..mapped()
        });
        let collection = database
            .create_collection("c", plain(KeyType::U64, 96, metric))
            .unwrap();
        for first in (0..12_000).step_by(500) {
            let row = |n| Row::new(number(n), &random(&mut rng, 96));
            put(
                &collection,
                &(first..first + 500).map(row).collect::<Vec<_>>(),
            );
        }
        home.at_rest(&collection);
        assert!(mapped_bytes(&collection) > 1 << 20);
        let query = random(&mut rng, 96);
        let exact = search(&collection, &query, Effort::Exact, Shape::default());
        common::eventually("codes are made", || {
            let hits = search(&collection, &query, Effort::Recall(0.95), Shape::default());
            assert_alike(&exact, &hits, &format!("{metric:?}"));
            let stages = hits.stages.iter();
            stages.filter(|stage| stage.path == "codes").count() >= 2
        });
    }
}

#[test]
fn lengths_that_have_no_scale_are_copied() {
    let home = Home::directory("mapped");
    let database = home.open(mapped());
    let collection = database
        .create_collection("c", plain(KeyType::U64, 2, MetricName::Cosine))
        .unwrap();
    put(
        &collection,
        &[
            Row::new(number(1), &[3e38, 3e38]),
            Row::new(number(2), &[1e-30, -1e-30]),
        ],
    );
    collection.compact(&Job::default()).unwrap();
    assert_eq!(mapped_bytes(&collection), 0);
    let hits = search(&collection, &[1.0, 1.0], Effort::Exact, Shape::default());
    assert_eq!(found(&hits), [1, 2]);
    assert!(hits.distances[0].abs() < 1e-6 && (hits.distances[1] - 1.0).abs() < 1e-6);
}

fn segment_of(home: &Home) -> (PathBuf, Vec<u8>) {
    let is_segment = |(path, _): &(PathBuf, Vec<u8>)| path.extension().is_some_and(|e| e == "seg");
    home.files().into_iter().find(is_segment).unwrap()
}

/// A directory with one segment of 1,000 rows of 32 floats, closed.
fn closed(home: &Home) {
    let database = home.open(Options {
        compaction: Compaction::None,
        ..mapped()
    });
    let collection = database
        .create_collection("c", plain(KeyType::U64, 32, MetricName::L2))
        .unwrap();
    let rows: Vec<Row> = (0..1_000)
        .map(|n| Row::new(number(n), &[n as f32; 32]))
        .collect();
    put(&collection, &rows);
    collection.compact(&Job::default()).unwrap();
    home.at_rest(&collection);
    database.close().unwrap();
}

fn names(error: &Error, path: &std::path::Path) -> bool {
    let text = path.display().to_string();
    let mut details = error.details().iter();
    details.any(|(_, fact)| matches!(fact, Fact::Text(t) if *t == text))
}

#[test]
fn no_bit_of_a_vector_turns_around_unnoticed_before_it_is_mapped() {
    let home = Home::directory("mapped");
    closed(&home);
    let (path, bytes) = segment_of(&home);
    let file = OsDisk.open(&path, Access::Write).unwrap();
    // The vectors are the first section, behind a header of 64 bytes.
    for at in (64..64 + 1_000 * 128).step_by(7_001) {
        let turned = bytes[at] ^ 1 << (at % 8);
        file.write_at(at as u64, &[turned]).unwrap();
        let database = home.open(mapped());
        let error = database.open_collection("c").map(drop).unwrap_err();
        assert_eq!(error.code(), Code::Corrupt, "byte {at}: {error}");
        assert!(names(&error, &path), "{error}");
        database.close().unwrap();
        file.write_at(at as u64, &bytes[at..=at]).unwrap();
    }
    let database = home.open(mapped());
    let collection = database.open_collection("c").unwrap();
    assert_eq!(mapped_bytes(&collection), 128_000);
}

#[test]
fn a_mapped_segment_that_is_cut_fails_the_search_and_not_the_process() {
    for cut in [0, 64, 60_000, 128_000] {
        let home = Home::directory("mapped");
        closed(&home);
        let database = home.open(mapped());
        let collection = database.open_collection("c").unwrap();
        let (path, bytes) = segment_of(&home);
        assert!(cut < bytes.len());
        let file = OsDisk.open(&path, Access::Write).unwrap();
        file.set_len(cut as u64).unwrap();
        let snapshot = collection.snapshot().unwrap();
        let vector = [3.0; 32];
        let diverse = Shape {
            diversity: Some(0.5),
            ..Shape::default()
        };
        for shape in [Shape::default(), diverse] {
            let request = SearchRequest {
                effort: Effort::Exact,
                shape,
                ..SearchRequest::new(&vector, 5)
            };
            let error = snapshot.search(&request, &Stop::never());
            let error = error.map(drop).unwrap_err();
            assert_eq!(error.code(), Code::Corrupt, "cut to {cut}: {error}");
            assert!(names(&error, &path), "{error}");
        }
        let error = scanned(&collection).map(drop).unwrap_err();
        assert_eq!(error.code(), Code::Corrupt, "{error}");
        // Writes go on, and what they wrote is there.
        put(&collection, &[Row::new(number(5_000), &[1.0; 32])]);
        let is_there = collection.snapshot().unwrap().has(number(5_000).as_key());
        assert!(is_there.unwrap());
    }
}

#[test]
fn a_search_that_runs_while_its_segment_is_cut_ends_with_an_error_or_all_its_hits() {
    let home = Home::directory("mapped");
    closed(&home);
    let database = home.open(mapped());
    let collection = database.open_collection("c").unwrap();
    let (path, _) = segment_of(&home);
    let vector = [500.0; 32];
    let ask = || {
        let request = SearchRequest {
            effort: Effort::Exact,
            ..SearchRequest::new(&vector, 3)
        };
        collection
            .snapshot()
            .unwrap()
            .search(&request, &Stop::never())
    };
    std::thread::scope(|scope| {
        let searches = [0, 1].map(|_| {
            scope.spawn(|| {
                let mut answers = 0;
                loop {
                    match ask() {
                        Ok(hits) => assert_eq!(found(&hits), [500, 499, 501]),
                        Err(error) => break (error.code(), answers),
                    }
                    answers += 1;
                }
            })
        });
        ask().unwrap();
        let file = OsDisk.open(&path, Access::Write).unwrap();
        file.set_len(4_096).unwrap();
        for search in searches {
            assert_eq!(search.join().unwrap().0, Code::Corrupt);
        }
    });
}

#[test]
fn an_encrypted_database_and_one_in_memory_are_not_mapped_and_answer() {
    let sealed = Options {
        encryption: Some(crash::sealed::next_key()),
        ..mapped()
    };
    for (home, options) in [
        (Home::directory("mapped"), sealed),
        (Home::memory(), mapped()),
    ] {
        let database: Arc<Database> = home.open(options);
        let collection = database
            .create_collection("c", plain(KeyType::U64, 2, MetricName::L2))
            .unwrap();
        put(&collection, &[Row::new(number(1), &[1.0, 2.0])]);
        collection.compact(&Job::default()).unwrap();
        let stats = collection.stats().unwrap();
        assert_eq!((stats.mapped_bytes, stats.vector_bytes), (0, 64));
        let hits = search(&collection, &[1.0, 2.0], Effort::Exact, Shape::default());
        assert_eq!(found(&hits), [1]);
    }
}

#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
#[test]
fn planted_bugs_are_found() {
    if std::env::var_os("CAIRN_BUG").is_none() {
        crash::planted::expect_all_found(module_path!());
    }
}
