//! A field with an index of kind `ivf`: lists that stay in their file, near answers with exact distances, whatever is
//! filtered and deleted, the same after a reopen, and sections that are checked as every other.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use cairn_engine::{
    Code, Collection, Database, Effort, Error, Fact, Filter, IndexKind, Job, KeyType, MetricName,
    Options, Quantize, Stop, VectorField, VectorKind, verify_directory,
};
use cairn_storage::SegmentReader;

use crate::common;
use crate::crash;
use crate::forge::{self, forge};
use crate::searched::{ROWS, USUAL, World, answers, indexes, keys, search, shape};
use common::{Home, number, put, schema, vector_field};

const CLUSTERS: u32 = 19;
const COARSE: u32 = 20;
const FINE: u32 = 21;

fn world(dim: usize, metric: MetricName) -> World {
    World::new(IndexKind::Ivf, dim, metric)
}

fn text_of(error: &Error, name: &str) -> String {
    let mut facts = error.details().iter();
    match facts.find(|(it, _)| *it == name) {
        Some((_, Fact::Text(text))) => text.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn the_usual_search_finds_95_of_100_nearest_records_in_few_lists() {
    for (dim, metric) in [
        (32, MetricName::L2),
        (96, MetricName::Dot),
        (128, MetricName::Cosine),
        (300, MetricName::L2),
    ] {
        let world = world(dim, metric);
        for k in [1, 10, 100] {
            let recall = world.recall(k, None, USUAL);
            println!("dim={dim} {metric:?} k={k} recall={recall}");
            assert!(recall >= 0.94, "dim={dim} {metric:?} k={k} {recall}");
        }
        let snapshot = world.snapshot();
        for key in (0..ROWS).step_by(37) {
            let vector = &world.vectors[key * dim..][..dim];
            let hits = search(&snapshot, vector, 3, None, USUAL);
            assert!(metric == MetricName::Dot || keys(&hits)[0] == key as u64);
            let stage = &hits.stages[0];
            assert_eq!((stage.path, stage.matches), ("ivf", ROWS as u64));
            assert!(stage.ef > 0 && stage.hops > 0 && stage.distances < ROWS as u64 / 2);
        }
    }
}

#[test]
fn more_lists_find_more_and_a_stopped_search_nothing() {
    let world = world(48, MetricName::L2);
    let recalls = [1, 4, 64].map(|lists| world.recall(10, None, Effort::EfSearch(lists)));
    println!("{recalls:?}");
    assert!(recalls.is_sorted() && recalls[2] > 0.998, "{recalls:?}");
    let stopped = Stop::never().when(Arc::new(AtomicBool::new(true)));
    let request = cairn_engine::SearchRequest::new(&world.queries[..48], 10);
    let error = world.snapshot().search(&request, &stopped).unwrap_err();
    assert_eq!(error.code(), Code::Aborted);
}

#[test]
fn a_filter_leaves_exactly_the_records_that_it_holds_for() {
    let world = world(64, MetricName::Cosine);
    for matches in [0, 1, 9, 10, 40, 400, 1_200, 2_400, 3_600, ROWS] {
        let json = format!(r#"{{"n":{{"lt":{matches}}}}}"#);
        let filter = Filter::parse(json.as_bytes()).unwrap();
        for effort in [USUAL, Effort::EfSearch(2)] {
            let snapshot = world.snapshot();
            for query in world.queries() {
                let hits = search(&snapshot, query, 10, Some(&filter), effort);
                assert_eq!(hits.distances.len(), matches.min(10));
                assert!(keys(&hits).iter().all(|&key| key < matches as u64));
            }
        }
        let recall = world.recall(10, Some(&filter), USUAL);
        println!("matches={matches} recall={recall}");
        assert!(matches == 0 || recall >= 0.94, "matches={matches} {recall}");
    }
}

#[test]
fn deleted_and_replaced_records_are_never_found() {
    let world = world(40, MetricName::L2);
    let before = world.snapshot();
    world.delete((0..ROWS).filter(|key| key % 4 == 1));
    let moved = (0..ROWS).step_by(80).map(|key| {
        let other = &world.vectors[(key + 2) % ROWS * 40..][..40];
        common::Row::new(number(key as u64), other)
    });
    put(&world.collection, &moved.collect::<Vec<_>>());
    let snapshot = world.snapshot();
    for key in (0..ROWS).step_by(7) {
        let vector = &world.vectors[key * 40..][..40];
        let found = keys(&search(&snapshot, vector, 10, None, USUAL));
        assert!(found.iter().all(|key| key % 4 != 1));
        assert_eq!(found.len(), 10);
        let is_there = key % 4 != 1 && key % 80 != 0;
        assert!(
            !is_there || found[..2].contains(&(key as u64)),
            "{key}: {found:?}"
        );
        assert_eq!(keys(&search(&before, vector, 1, None, USUAL)), [key as u64]);
    }
    for key in (0..ROWS).step_by(80) {
        let other = &world.vectors[(key + 2) % ROWS * 40..][..40];
        let found = keys(&search(&snapshot, other, 2, None, USUAL));
        assert!(found.contains(&(key as u64)), "{key} moved: {found:?}");
    }
}

#[test]
fn a_reopened_collection_answers_as_before_and_a_merge_finds_as_much() {
    for metric in [MetricName::L2, MetricName::Cosine, MetricName::Dot] {
        let world = world(72, metric);
        world.delete((0..ROWS).step_by(10));
        world.collection.compact(&Job::default()).unwrap();
        let stats = world.collection.stats().unwrap();
        let expected = answers(&world.snapshot(), &world);
        world.database.close().unwrap();
        let database = world.home.open(Options::default());
        let collection = database.open_collection("c").unwrap();
        assert_eq!(collection.schema().vectors[0].index, IndexKind::Ivf);
        let again = collection.stats().unwrap();
        assert_eq!(indexes(&collection), ["ivf"]);
        assert_eq!(again.segments[0].calibration, stats.segments[0].calibration);
        assert!(!again.segments[0].calibration.is_empty());
        // Centroids of about one row in 256, and no more.
        assert!(
            (1..ROWS as u64 * 8).contains(&again.graph_bytes),
            "{again:?}"
        );
        assert_eq!(answers(&collection.snapshot().unwrap(), &world), expected);
        let world = World {
            database,
            collection,
            ..world
        };
        put(&world.collection, &[world.row(0), world.row(10)]);
        world.collection.compact(&Job::default()).unwrap();
        assert_eq!(indexes(&world.collection), ["ivf"]);
        let recall = world.recall(10, None, USUAL);
        assert!(recall >= 0.94, "{metric:?} {recall}");
    }
}

#[test]
fn vectors_and_lists_stay_in_the_file_and_the_cache_keeps_what_is_asked_for() {
    let world = World::empty(
        IndexKind::Ivf,
        Home::directory("clusters"),
        64,
        MetricName::Cosine,
    );
    world.write(0..ROWS);
    world.collection.compact(&Job::default()).unwrap();
    let stats = world.collection.stats().unwrap();
    assert_eq!(stats.mapped_bytes, ROWS as u64 * 64 * 4);
    assert!(stats.vector_bytes < ROWS as u64 * 16, "{stats:?}");
    let cache = || world.database.stats().unwrap().block_cache;
    let before = cache();
    assert!(world.recall(10, None, USUAL) >= 0.94);
    let once = cache();
    assert!(once.misses > before.misses && once.bytes <= once.bytes_max);
    // All that was asked for fits: nothing of it is read again.
    world.recall(10, None, USUAL);
    let twice = cache();
    assert_eq!(twice.misses, once.misses);
    assert!(twice.hits > once.hits);
    world.database.close().unwrap();
    let without = Options {
        block_cache_bytes: 0,
        ..Options::default()
    };
    let database = world.home.open(without);
    let collection = database.open_collection("c").unwrap();
    let world = World {
        database,
        collection,
        ..world
    };
    assert!(world.recall(10, None, USUAL) >= 0.94);
    assert_eq!(world.database.stats().unwrap().block_cache.bytes, 0);
}

#[test]
fn who_leaves_the_choice_gets_lists_where_vectors_and_graph_are_more_than_memory() {
    let bytes = ROWS * 64 * 4;
    for (memory_budget, metric, name) in [
        (bytes, MetricName::Cosine, "ivf"),
        (bytes, MetricName::L1, "hnsw"),
        (2 * bytes, MetricName::Dot, "hnsw"),
        (16 * bytes, MetricName::L2, "qg"),
    ] {
        let options = Options {
            memory_budget,
            ..Options::default()
        };
        let home = Home::directory("choice");
        let world = World::with(options, IndexKind::Auto, home, 64, metric);
        world.write(0..ROWS);
        world.collection.compact(&Job::default()).unwrap();
        assert_eq!(
            indexes(&world.collection),
            [name],
            "{memory_budget} {metric:?}"
        );
        let stats = world.collection.stats().unwrap();
        assert_eq!(stats.mapped_bytes > 0, name == "ivf");
        world.database.close().unwrap();
    }
}

#[test]
fn lists_of_an_encrypted_database_are_read_through_its_key() {
    let options = || Options {
        encryption: Some(crash::sealed::next_key()),
        ..Options::default()
    };
    let (home, metric) = (Home::memory(), MetricName::L2);
    let world = World::with(options(), IndexKind::Ivf, home, 64, metric);
    world.write(0..ROWS);
    world.collection.compact(&Job::default()).unwrap();
    let expected = answers(&world.snapshot(), &world);
    world.database.close().unwrap();
    let database = world.home.open(options());
    let collection = database.open_collection("c").unwrap();
    assert_eq!(indexes(&collection), ["ivf"]);
    assert_eq!(collection.stats().unwrap().mapped_bytes, 0);
    assert_eq!(answers(&collection.snapshot().unwrap(), &world), expected);
}

#[test]
fn damage_is_named_whether_a_search_or_a_check_meets_it() {
    let of_kind = |world: &World, kind: u32| {
        let path = world.segment();
        let reader = SegmentReader::open(&world.home.env, &path, None, &forge::KINDS).unwrap();
        let section = reader
            .sections()
            .iter()
            .find(|it| it.id.kind == kind)
            .unwrap();
        (
            path.clone(),
            reader.offset(section.id).unwrap(),
            section.bytes,
        )
    };
    for (kind, name) in [(COARSE, "COARSE_POSTINGS"), (FINE, "FINE_POSTINGS")] {
        let world = world(64, MetricName::L2);
        world.database.close().unwrap();
        let (path, offset, bytes) = of_kind(&world, kind);
        let file = world
            .home
            .env
            .disk
            .open(&path, cairn_env::Access::Write)
            .unwrap();
        for at in (offset..offset + bytes).step_by(4_096) {
            let mut byte = [0];
            file.read_at(at, &mut byte).unwrap();
            file.write_at(at, &[byte[0] ^ 0x10]).unwrap();
        }
        file.sync_data().unwrap();
        // Regions are not read by an open: whoever needs them meets the damage.
        let database = world.home.open(Options::default());
        let collection = database.open_collection("c").unwrap();
        let request = cairn_engine::SearchRequest::new(&world.queries[..64], 10);
        let found = collection
            .snapshot()
            .unwrap()
            .search(&request, &Stop::never());
        let error = found.expect_err(name);
        assert_eq!(error.code(), Code::Corrupt, "{name}: {error}");
        let section = text_of(&error, "section");
        assert!(
            section.contains(&format!("kind={kind} ")),
            "{name}: {section}"
        );
        let exact = cairn_engine::SearchRequest {
            effort: Effort::Exact,
            ..request
        };
        assert!(
            collection
                .snapshot()
                .unwrap()
                .search(&exact, &Stop::never())
                .is_ok()
        );
        database.close().unwrap();
        let report = verify_directory(
            &world.home.env,
            world.home.path(),
            &Default::default(),
            &Job::default(),
        );
        let problems = report.unwrap().problems;
        assert!(!problems.is_empty(), "{name}");
    }
}

#[test]
fn sections_that_contradict_each_other_are_refused_and_absent_ones_are_made_again() {
    type Change = fn(u32, Vec<u8>) -> Option<Vec<u8>>;
    let changes: [(&str, &str, Change); 4] = [
        ("of other rows", "CLUSTERS", |kind, mut bytes| {
            if kind == CLUSTERS {
                bytes[8] ^= 1;
            }
            Some(bytes)
        }),
        (
            "a region too short",
            "COARSE_POSTINGS",
            |kind, mut bytes| {
                if kind == COARSE {
                    bytes.truncate(bytes.len() - 64);
                }
                Some(bytes)
            },
        ),
        ("a region too long", "FINE_POSTINGS", |kind, mut bytes| {
            if kind == FINE {
                bytes.extend([0; 64]);
            }
            Some(bytes)
        }),
        ("a region that is absent", "FINE_POSTINGS", |kind, bytes| {
            (kind != FINE).then_some(bytes)
        }),
    ];
    for (what, section, change) in changes {
        let world = world(40, MetricName::L2);
        world.database.close().unwrap();
        let env = &world.home.env;
        forge(env, &world.segment(), &|kind, bytes| change(kind, bytes));
        let opened = Database::open(env.clone(), world.home.path(), Options::default());
        let error = opened
            .and_then(|it| it.open_collection("c"))
            .err()
            .expect(what);
        assert_eq!(error.code(), Code::Corrupt, "{what}: {error}");
        assert_eq!(text_of(&error, "section"), section, "{what}");
    }
    let world = world(40, MetricName::L2);
    world.database.close().unwrap();
    let is_of_lists = |kind: u32| [CLUSTERS, COARSE, FINE].contains(&kind);
    forge(&world.home.env, &world.segment(), &|kind, bytes| {
        (!is_of_lists(kind)).then_some(bytes)
    });
    let database = world.home.open(Options::default());
    let collection: Arc<Collection> = database.open_collection("c").unwrap();
    assert_eq!(indexes(&collection), ["flat"]);
    collection.compact(&Job::default()).unwrap();
    assert_eq!(indexes(&collection), ["ivf"]);
}

#[test]
fn a_row_that_is_none_is_damage_and_no_panic() {
    let world = world(40, MetricName::L2);
    world.database.close().unwrap();
    forge(&world.home.env, &world.segment(), &|kind, mut bytes| {
        if kind == COARSE {
            // The first row number of every block is one beyond the last row.
            let block = bytes.len() / bytes.len().div_ceil(512 + 4 * 4 * 64);
            for block in bytes.chunks_mut(block) {
                block[..4].copy_from_slice(&(ROWS as u32).to_le_bytes());
            }
        }
        Some(bytes)
    });
    let database = world.home.open(Options::default());
    let collection = database.open_collection("c").unwrap();
    let request = cairn_engine::SearchRequest::new(&world.queries[..40], 10);
    let found = collection
        .snapshot()
        .unwrap()
        .search(&request, &Stop::never());
    let error = found.err().unwrap();
    assert_eq!(error.code(), Code::Corrupt, "{error}");
    assert_eq!(text_of(&error, "section"), "COARSE_POSTINGS");
}

#[test]
fn fields_that_cannot_have_lists_are_refused() {
    let home = Home::memory();
    let database = home.open(Options::default());
    let field = |metric| vector_field("vector", 64, metric, IndexKind::Ivf);
    for wrong in [
        field(MetricName::L1),
        VectorField {
            kind: VectorKind::F16,
            ..field(MetricName::L2)
        },
        VectorField {
            kind: VectorKind::Multi,
            ..field(MetricName::L2)
        },
        VectorField {
            quantize: Quantize::Sq8,
            ..field(MetricName::L2)
        },
    ] {
        let what = format!("{wrong:?}");
        let schema = schema(KeyType::U64, vec![wrong]);
        let error = database.create_collection("c", schema).err().expect(&what);
        assert_eq!(error.code(), Code::InvalidArgument, "{what}");
        assert_eq!(text_of(&error, "field"), "vector", "{what}");
    }
    database
        .create_collection("c", shape(IndexKind::Ivf, 64, MetricName::Dot))
        .unwrap();
}
