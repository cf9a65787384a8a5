//! A field with an index of kind `qg`: near answers with exact distances over segments, whatever is filtered
//! and deleted, the same after a reopen, and a section that is checked as every other.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cairn_engine::{
    Code, Database, Effort, Error, Filter, IndexKind, Job, KeyType, MetricName, Options,
    ProblemKind, QualityRequest, Queries, RepairOptions, SearchRequest, Snapshot, Stop,
    TuneRequest, VectorField, VectorKind, repair, verify_directory,
};
use cairn_env::{Access, Env};
use cairn_storage::SegmentReader;

use crate::common;
#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
use crate::crash;
use crate::forge::{self, forge};
use crate::searched::{ROWS, USUAL, World, answers, indexes, keys, search, shape};
use common::{Home, put, schema, vector_field};

const QUANTISED_GRAPH: u32 = 17;
const CALIBRATION: u32 = 14;

#[test]
fn the_usual_search_finds_95_of_100_nearest_records() {
    for (dim, metric) in [
        (32, MetricName::L2),
        (128, MetricName::Cosine),
        (300, MetricName::L2),
        (384, MetricName::Cosine),
    ] {
        let world = World::new(IndexKind::Qg, dim, metric);
        for k in [1, 10, 100] {
            let recall = world.recall(k, None, USUAL);
            println!("dim={dim} {metric:?} k={k} recall={recall}");
            assert!(recall >= 0.95, "dim={dim} {metric:?} k={k} {recall}");
        }
        // Every record is found by its own vector, and the answer says what was done.
        let snapshot = world.snapshot();
        for key in (0..ROWS).step_by(37) {
            let vector = &world.vectors[key * dim..][..dim];
            let hits = search(&snapshot, vector, 3, None, USUAL);
            assert_eq!(keys(&hits)[0], key as u64);
            let stage = &hits.stages[0];
            assert_eq!((stage.path, stage.matches), ("qg", ROWS as u64));
            assert!(stage.ef > 0 && stage.hops > 0 && stage.distances < ROWS as u64 / 2);
        }
    }
}

#[test]
fn a_longer_list_finds_more_and_a_stopped_search_nothing() {
    let world = World::new(IndexKind::Qg, 48, MetricName::L2);
    let recalls = [10, 40, 400].map(|ef| world.recall(10, None, Effort::EfSearch(ef)));
    println!("{recalls:?}");
    assert!(recalls.is_sorted() && recalls[2] > 0.998, "{recalls:?}");
    let stopped = Stop::never().when(Arc::new(AtomicBool::new(true)));
    let request = SearchRequest::new(&world.queries[..48], 10);
    let error = world.snapshot().search(&request, &stopped).unwrap_err();
    assert_eq!(error.code(), Code::Aborted);
}

#[test]
fn a_filter_leaves_exactly_the_records_that_it_holds_for() {
    let world = World::new(IndexKind::Qg, 64, MetricName::Cosine);
    let mut paths = BTreeSet::new();
    for matches in [0, 1, 9, 10, 40, 400, 1_200, 2_400, 3_600, ROWS] {
        let json = format!(r#"{{"n":{{"lt":{matches}}}}}"#);
        let filter = Filter::parse(json.as_bytes()).unwrap();
        for effort in [USUAL, Effort::EfSearch(24)] {
            let snapshot = world.snapshot();
            for query in world.queries() {
                let hits = search(&snapshot, query, 10, Some(&filter), effort);
                assert_eq!(hits.distances.len(), matches.min(10));
                assert!(keys(&hits).iter().all(|&key| key < matches as u64));
                paths.insert(hits.stages[0].path);
            }
        }
        let recall = world.recall(10, Some(&filter), USUAL);
        println!("matches={matches} recall={recall}");
        assert!(matches == 0 || recall >= 0.95, "matches={matches} {recall}");
    }
    // Codes are made in the background, once the few rows of filters were compared often.
    paths.remove("codes");
    assert_eq!(paths, BTreeSet::from(["flat", "qg"]));
}

#[test]
fn deleted_records_are_walked_through_and_never_found() {
    let world = World::new(IndexKind::Qg, 40, MetricName::L2);
    let before = world.snapshot();
    let is_gone = |key: usize| key % 4 == 1;
    world.delete((0..ROWS).filter(|&key| is_gone(key)));
    let snapshot = world.snapshot();
    for key in (1..ROWS).step_by(4).step_by(7) {
        let vector = &world.vectors[key * 40..][..40];
        let hits = search(&snapshot, vector, 10, None, USUAL);
        assert_eq!(hits.stages[0].path, "qg");
        assert_eq!(hits.distances.len(), 10);
        assert!(keys(&hits).iter().all(|&key| !is_gone(key as usize)));
        // Who looked before still sees them.
        assert_eq!(keys(&search(&before, vector, 1, None, USUAL)), [key as u64]);
    }
    assert!(world.recall(10, None, USUAL) >= 0.95);
    // With hardly a record left, all of them are found.
    world.delete((0..ROWS).filter(|&key| !is_gone(key) && key % 800 != 0));
    let snapshot = world.snapshot();
    for query in world.queries() {
        for effort in [USUAL, Effort::EfSearch(10)] {
            let mut found = keys(&search(&snapshot, query, 10, None, effort));
            found.sort_unstable();
            assert_eq!(found, [0, 800, 1_600, 2_400, 3_200]);
        }
    }
}

#[test]
fn a_reopened_collection_answers_as_before_and_a_merge_finds_as_much() {
    for metric in [MetricName::L2, MetricName::Cosine] {
        let world = World::new(IndexKind::Qg, 72, metric);
        world.delete((0..ROWS).step_by(10));
        world.collection.compact(&Job::default()).unwrap();
        let stats = world.collection.stats().unwrap();
        let expected = answers(&world.snapshot(), &world);
        world.database.close().unwrap();
        let database = world.home.open(Options::default());
        let collection = database.open_collection("c").unwrap();
        assert_eq!(collection.schema().vectors[0].index, IndexKind::Qg);
        let again = collection.stats().unwrap();
        assert_eq!(again.graph_bytes, stats.graph_bytes);
        assert_eq!(indexes(&collection), ["qg"]);
        assert_eq!(again.segments[0].calibration, stats.segments[0].calibration);
        assert!(again.segments[0].calibration.len() > 1);
        // 32 links, three words each, and two bits of each of 128 components for each of them.
        let record_bytes = 32 * (12 + 2 * 128 / 8);
        assert!(again.graph_bytes >= 3_600 * record_bytes, "{again:?}");
        let snapshot = collection.snapshot().unwrap();
        assert_eq!(answers(&snapshot, &world), expected);
        // Small segments have no graph of their own until they are merged.
        let world = World {
            database,
            collection,
            ..world
        };
        put(&world.collection, &[world.row(0), world.row(10)]);
        world.collection.compact(&Job::default()).unwrap();
        assert_eq!(indexes(&world.collection), ["qg"]);
        let recall = world.recall(10, None, USUAL);
        assert!(recall >= 0.95, "{metric:?} {recall}");
        let exact = |snapshot: &Snapshot, query| {
            let hits = search(snapshot, query, 10, None, Effort::Exact);
            (keys(&hits), hits.distances)
        };
        let merged = world.snapshot();
        for query in world.queries() {
            let usual = search(&merged, query, 10, None, Effort::EfSearch(1_000));
            assert_eq!((keys(&usual), usual.distances), exact(&merged, query));
        }
    }
}

#[test]
fn a_small_segment_is_searched_exactly() {
    let world = World::empty(IndexKind::Qg, Home::memory(), 16, MetricName::L2);
    world.write(0..500);
    world.collection.compact(&Job::default()).unwrap();
    assert_eq!(indexes(&world.collection), ["flat"]);
    assert_eq!(world.recall(10, None, USUAL), 1.0);
}

#[test]
fn mapped_vectors_are_searched_by_the_graph_as_copied_ones() {
    for metric in [MetricName::L2, MetricName::Cosine] {
        let world = World::empty(IndexKind::Qg, Home::directory("quantised"), 50, metric);
        world.write(0..ROWS);
        world.collection.compact(&Job::default()).unwrap();
        let copied = answers(&world.snapshot(), &world);
        world.database.close().unwrap();
        let database = world.home.open(Options {
            memory_map: true,
            ..Options::default()
        });
        let collection = database.open_collection("c").unwrap();
        assert!(collection.stats().unwrap().mapped_bytes > 0);
        let mapped = collection.snapshot().unwrap();
        let query = &world.queries[..50];
        let hits = search(&mapped, query, 10, None, USUAL);
        assert_eq!(hits.stages[0].path, "qg");
        let distances =
            |bits: &[u32]| -> Vec<f32> { bits.iter().map(|&bits| f32::from_bits(bits)).collect() };
        for ((_, copied), (_, mapped)) in copied.iter().zip(&answers(&mapped, &world)) {
            assert_eq!(copied.len(), mapped.len());
            for (a, b) in distances(copied).iter().zip(distances(mapped)) {
                assert!((a - b).abs() < 1e-5 * (1.0 + a), "{metric:?} {a} {b}");
            }
        }
        drop(mapped);
        database.close().unwrap();
    }
}

#[test]
fn the_recall_is_measured_and_tuned() {
    let world = World::new(IndexKind::Qg, 32, MetricName::L2);
    let snapshot = world.snapshot();
    let asked = |queries| QualityRequest {
        field: 0,
        k: 10,
        effort: Effort::EfSearch(12),
        filter: None,
        queries,
    };
    let measure = |queries| {
        let quality = snapshot.quality(&asked(queries), &Job::default());
        quality.unwrap().recall.mean
    };
    let unseen = measure(Queries::Vectors(&world.queries));
    // Stored records are asked for as if they were not, so their links give nothing away.
    let stored = measure(Queries::Sample(400));
    println!("unseen={unseen} stored={stored}");
    assert!((unseen - stored).abs() < 0.05, "{unseen} {stored}");
    let request = TuneRequest {
        field: 0,
        k: 10,
        recall: 0.97,
        filter: None,
        queries: Queries::Vectors(&world.queries),
        apply: true,
    };
    let tuned = world.collection.tune(&request, &Job::default()).unwrap();
    assert!(tuned.applied && tuned.after.1.recall.mean >= 0.97);
}

#[test]
fn a_build_tells_how_far_it_is_and_can_be_stopped() {
    let world = World::empty(IndexKind::Qg, Home::memory(), 24, MetricName::L2);
    world.write(0..ROWS);
    let stop = Arc::new(AtomicBool::new(false));
    let (told, most) = (Arc::new(AtomicU64::new(0)), ROWS as u64);
    let progress = {
        let (stop, told) = (Arc::clone(&stop), Arc::clone(&told));
        move |done: u64, total: u64| {
            assert!(done <= total && total == most, "{done} of {total}");
            told.fetch_max(done, Ordering::Relaxed);
            stop.store(true, Ordering::Relaxed);
        }
    };
    let job = Job {
        stop: Stop::never().when(stop),
        progress: Some(Arc::new(progress)),
    };
    let error = world.collection.compact(&job).unwrap_err();
    assert_eq!(error.code(), Code::Aborted);
    assert!((1..most).contains(&told.load(Ordering::Relaxed)));
    world.collection.compact(&Job::default()).unwrap();
    assert_eq!(indexes(&world.collection), ["qg"]);
}

/// Where the body of the graph's section begins, and its length.
fn graph_section(env: &Env, path: &std::path::Path) -> (u64, u64) {
    let reader = SegmentReader::open(env, path, None, &forge::KINDS).unwrap();
    let mut sections = reader.sections().iter();
    let graph = sections.find(|it| it.id.kind == QUANTISED_GRAPH).unwrap();
    (reader.offset(graph.id).unwrap(), graph.bytes)
}

#[test]
fn a_flipped_bit_of_the_graph_is_found_and_costs_no_record() {
    let world = World::new(IndexKind::Qg, 20, MetricName::L2);
    world.database.close().unwrap();
    let (env, path) = (&world.home.env, world.segment());
    let (offset, bytes) = graph_section(env, &path);
    let verify = || verify_directory(env, world.home.path(), &Default::default(), &Job::default());
    assert_eq!(verify().unwrap().problems, []);
    let file = env.disk.open(&path, Access::Write).unwrap();
    let flip = |at: u64| {
        let mut byte = [0];
        file.read_exact_at(at, &mut byte).unwrap();
        file.write_at(at, &[byte[0] ^ 4]).unwrap();
    };
    for at in [0, 9, 47, 48, bytes / 3, bytes / 2, bytes - 1] {
        flip(offset + at);
        let report = verify().unwrap();
        let [problem] = &report.problems[..] else {
            panic!("at={at} {report:?}");
        };
        assert_eq!(problem.section.as_deref(), Some("QUANTISED_GRAPH"));
        assert_eq!(
            (problem.kind, problem.records),
            (ProblemKind::Damaged, Some(0))
        );
        flip(offset + at);
    }
    flip(offset + bytes / 2);
    let opened = Database::open(env.clone(), world.home.path(), Options::default());
    let error = opened.and_then(|database| database.open_collection("c"));
    assert_eq!(error.err().unwrap().code(), Code::Corrupt);
    // A repair has every record and makes the graph anew.
    let saved = world.home.path().with_file_name("saved");
    let (from, options) = (world.home.path(), RepairOptions::default());
    let report = repair(env, from, &saved, &options, &Job::default()).unwrap();
    assert!(report.lost.is_empty(), "{:?}", report.lost);
    let database = Database::open(env.clone(), &saved, Options::default()).unwrap();
    let collection = database.open_collection("c").unwrap();
    assert_eq!(collection.schema().vectors[0].index, IndexKind::Qg);
    collection.compact(&Job::default()).unwrap();
    assert_eq!(indexes(&collection), ["qg"]);
    assert_eq!(collection.snapshot().unwrap().count(), ROWS as u64);
}

#[test]
fn a_graph_that_is_none_of_its_segment_is_refused_and_one_that_is_absent_is_not_needed() {
    type Change = fn(Vec<u8>) -> Option<Vec<u8>>;
    let changes: [(&str, Change); 6] = [
        ("of other rows", |mut bytes| {
            bytes[8] ^= 1;
            Some(bytes)
        }),
        ("of another metric", |mut bytes| {
            bytes[21] = 0;
            Some(bytes)
        }),
        ("with a link to nowhere", |mut bytes| {
            let at = 48 + 4 * 16;
            bytes[at..at + 4].copy_from_slice(&9_999_u32.to_le_bytes());
            Some(bytes)
        }),
        ("cut", |mut bytes| {
            bytes.truncate(bytes.len() - 4);
            Some(bytes)
        }),
        ("empty", |_| Some(Vec::new())),
        ("of a newer format", |mut bytes| {
            bytes[7] += 1;
            Some(bytes)
        }),
    ];
    let world = World::new(IndexKind::Qg, 16, MetricName::L2);
    world.database.close().unwrap();
    let (env, path) = (&world.home.env, world.segment());
    let open = || {
        let database = Database::open(env.clone(), world.home.path(), Options::default())?;
        let collection = database.open_collection("c")?;
        Ok::<_, Error>((database, collection))
    };
    let restore = |files: &[(PathBuf, Vec<u8>)]| {
        for (path, _) in world.home.files() {
            let _ = env.disk.remove_file(&path);
        }
        for (path, bytes) in files {
            env.disk.create(path).unwrap().write_at(0, bytes).unwrap();
        }
    };
    let mut files = world.home.files();
    files.retain(|(path, _)| !path.to_string_lossy().contains("LOCK"));
    for (what, change) in changes {
        forge(env, &path, &|kind, bytes| match kind {
            QUANTISED_GRAPH => change(bytes),
            _ => Some(bytes),
        });
        let error = open().err().expect(what);
        assert_eq!(error.code(), Code::Corrupt, "{what}: {error}");
        let told = error.to_string() + &format!("{error:?}");
        assert!(told.contains("QUANTISED_GRAPH"), "{what}: {told}");
        restore(&files);
    }
    forge(env, &path, &|kind, bytes| {
        (![QUANTISED_GRAPH, CALIBRATION].contains(&kind)).then_some(bytes)
    });
    let (_database, collection) = open().unwrap();
    let hits = search(
        &collection.snapshot().unwrap(),
        &world.queries[..16],
        10,
        None,
        USUAL,
    );
    assert_eq!((hits.stages[0].path, hits.distances.len()), ("flat", 10));
}

#[test]
fn fields_that_no_quantised_graph_is_over_are_refused() {
    let field = |dim, metric, kind| VectorField {
        kind,
        ..vector_field("v", dim, metric, IndexKind::Qg)
    };
    let check = |field: VectorField| schema(KeyType::U64, vec![field]).validate();
    for metric in [MetricName::L2, MetricName::Cosine] {
        for dim in [1, 3, 65_536] {
            check(field(dim, metric, VectorKind::F32)).unwrap();
        }
        for kind in [VectorKind::F16, VectorKind::I8] {
            let error = check(field(8, metric, kind)).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{kind:?}");
        }
    }
    for (metric, kind) in [
        (MetricName::Dot, VectorKind::F32),
        (MetricName::L1, VectorKind::F32),
        (MetricName::Hamming, VectorKind::Binary),
        (MetricName::Dot, VectorKind::Sparse),
        (MetricName::L2, VectorKind::Multi),
    ] {
        let error = check(field(8, metric, kind)).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{metric:?} {kind:?}");
        assert!(error.message().contains("qg"), "{error}");
    }
    let error = check(field(65_537, MetricName::L2, VectorKind::F32)).unwrap_err();
    assert_eq!(error.code(), Code::LimitExceeded);
    // The kind of index is part of the structure.
    let world = World::empty(IndexKind::Qg, Home::memory(), 4, MetricName::L2);
    let mut other = shape(IndexKind::Qg, 4, MetricName::L2);
    other.vectors[0].index = IndexKind::Auto;
    let error = world.database.collection("c", Some(other)).err().unwrap();
    assert_eq!(error.code(), Code::SchemaMismatch);
}

#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
#[test]
fn planted_bugs_are_found() {
    if std::env::var_os("CAIRN_BUG").is_none() {
        crash::planted::expect_all_found(module_path!());
    }
}
