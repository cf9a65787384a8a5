//! Searches by words and by several sources: the same hits wherever records stand, nothing that is
//! deleted or outside the filter, scores by the definition, and a fusion that equals one written apart.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cairn_engine::{
    Code, Collection, Database, Effort, Filter, Highlight, Job, Language, MetricName, Options,
    Schema, SearchRequest, Snapshot, Sources, Stop, VectorSource, WordSource,
};
use cairn_testkit::{Rng, seed_from_env};

use crate::common;
use crate::documents;
use crate::looks;
use common::model::distance;
use common::{Value, number, put, remove, small};
use documents::{Document, Model, World, ask, found, request, scored, shape, words_of};
use looks::Looks;

#[test]
fn scores_are_those_of_the_definition_wherever_records_stand() {
    let seed = seed_from_env("CAIRN_WORDS_SEED", 0x3d0);
    println!("CAIRN_WORDS_SEED={seed}");
    let rng = &mut Rng::new(seed);
    let mut world = World::new(small());
    world.write(rng, 0..50);
    world.check("in the memtable", true);
    for part in 1..16 {
        world.write(rng, part * 150..(part + 1) * 150);
    }
    world.home.at_rest(&world.collection);
    let segments = world.collection.stats().unwrap().segments.len();
    assert!(segments >= 1, "segments={segments}");
    world.check("in memtables and segments", true);
    world.reopen(small());
    world.check("after a reopen", true);
    let deleted = (0..2400).step_by(3);
    world.delete(deleted);
    world.write(rng, (1..2400).step_by(7));
    world.check("after deletions", false);
    world.reopen(small());
    world.check("after deletions and a reopen", false);
    world.collection.compact(&Job::default()).unwrap();
    assert_eq!(world.collection.stats().unwrap().segments.len(), 1);
    world.check("merged", true);
    world.reopen(small());
    world.check("merged, after a reopen", true);
}

#[test]
fn a_deleted_record_is_never_found_and_an_older_snapshot_still_finds_it() {
    let rng = &mut Rng::new(1);
    for is_flushed in [false, true] {
        let mut world = World::new(Options::default());
        world.write(rng, 0..40);
        let title = |text: &str| {
            let document = Document {
                title: Some(text.into()),
                body: Vec::new(),
                n: 0,
                a: vec![1.0; 4],
                b: vec![1.0; 3],
            };
            [document.row(99)]
        };
        put(&world.collection, &title("krakatoa"));
        if is_flushed {
            world.collection.compact(&Job::default()).unwrap();
        }
        let before = world.collection.snapshot().unwrap();
        put(&world.collection, &title("vesuvius"));
        let between = world.collection.snapshot().unwrap();
        remove(&world.collection, &[number(99)]);
        let after = world.collection.snapshot().unwrap();
        let seen = |snapshot: &Snapshot| {
            [
                "krakatoa",
                "vesuvius",
                "krakatoa sea -tide",
                "vesuv*",
                "\"krakatoa\"",
            ]
            .map(|words| found(&ask(snapshot, words, 10_000)).contains(&99))
        };
        let check = |about: &str| {
            assert_eq!(seen(&before), [true, false, true, false, true], "{about}");
            assert_eq!(seen(&between), [false, true, false, true, false], "{about}");
            assert_eq!(seen(&after), [false; 5], "{about}");
        };
        check("at once");
        let scores = scored(&ask(&before, "sea krakatoa", 100));
        world.write(rng, 40..600);
        check("after more writes");
        let again = scored(&ask(&before, "sea krakatoa", 100));
        assert_eq!(again, scores, "a snapshot's scores do not move");
        world.collection.compact(&Job::default()).unwrap();
        check("after a merge");
        let newest = world.collection.snapshot().unwrap();
        assert_eq!(seen(&newest), [false; 5]);
        drop((before, between, after, newest));
        world.reopen(Options::default());
        assert_eq!(seen(&world.collection.snapshot().unwrap()), [false; 5]);
    }
}

#[test]
fn a_replayed_log_gives_the_same_hits_and_so_does_a_reader_beside_the_writer() {
    let rng = &mut Rng::new(2);
    let mut world = World::new(Options::default());
    world.write(rng, 0..300);
    world.delete(0..20);
    world.write(rng, 10..15);
    let hits = |collection: &Arc<Collection>| {
        let snapshot = collection.snapshot().unwrap();
        ["sea", "tide moon", "ru*", "\"the sea\"", "+sea -moon"]
            .map(|words| scored(&ask(&snapshot, words, 10_000)))
    };
    let before = hits(&world.collection);
    assert!(before.iter().all(|it| !it.is_empty()), "{before:?}");
    let read = || {
        let (env, path) = (world.home.env.clone(), world.home.path());
        let reader = Database::open_read_only(env, path, Options::default()).unwrap();
        let collection = reader.open_collection("c").unwrap();
        let seen = hits(&collection);
        reader.close().unwrap();
        seen
    };
    assert_eq!(read(), before, "a reader of the log");
    world.database.close().unwrap();
    world.database = world.home.open(Options::default());
    world.collection = world.database.open_collection("c").unwrap();
    assert_eq!(world.collection.stats().unwrap().segments.len(), 0);
    assert_eq!(hits(&world.collection), before, "replayed");
    // Merged, rows that were deleted are not counted any more, so scores move, and records stay.
    world.collection.compact(&Job::default()).unwrap();
    let keys = |all: [Vec<(u64, f32)>; 5]| {
        all.map(|hits| {
            hits.into_iter()
                .map(|it| it.0)
                .collect::<std::collections::BTreeSet<_>>()
        })
    };
    assert_eq!(keys(hits(&world.collection)), keys(before));
    world.check("merged", true);
}

#[test]
fn filters_limits_and_signals_hold_for_words() {
    let rng = &mut Rng::new(3);
    let mut world = World::new(small());
    world.write(rng, 0..3000);
    world.home.at_rest(&world.collection);
    world.write(rng, 3000..3300);
    let snapshot = world.collection.snapshot().unwrap();
    let all = scored(&ask(&snapshot, "sea tide", 10_000));
    let sources = words_of("sea tide");
    for below in [0, 1, 10, 50, 100] {
        let json = format!(r#"{{"n":{{"lt":{below}}}}}"#);
        let filter = Filter::parse(json.as_bytes()).unwrap();
        let is_allowed = |key: u64| world.model[&key].n < below;
        let allowed = all.iter().copied().filter(|(key, _)| is_allowed(*key));
        let allowed: Vec<(u64, f32)> = allowed.collect();
        for k in [3, 10_000] {
            let request = SearchRequest {
                filter: Some(&filter),
                ..request(&sources, k)
            };
            let hits = snapshot.search(&request, &Stop::never()).unwrap();
            assert_eq!(
                scored(&hits),
                allowed[..k.min(allowed.len())],
                "below={below}"
            );
        }
    }
    let middle = all[all.len() / 2].1;
    let limited = SearchRequest {
        min_score: Some(middle),
        explain: true,
        ..request(&sources, 10_000)
    };
    let hits = snapshot.search(&limited, &Stop::never()).unwrap();
    let enough = all.iter().filter(|(_, score)| *score >= middle);
    assert_eq!(hits.scores.len(), enough.count());
    let paths: Vec<&str> = hits.stages.iter().map(|stage| stage.path).collect();
    assert!(paths.iter().all(|path| *path == "text"), "{paths:?}");
    let rows: u64 = hits.stages.iter().map(|stage| stage.matches).sum();
    assert_eq!(rows, 3300);

    let code = |request: &SearchRequest<'_>, stop: &Stop| {
        snapshot.search(request, stop).unwrap_err().code()
    };
    let aborted = Stop::never().when(Arc::new(AtomicBool::new(true)));
    assert_eq!(code(&request(&sources, 5), &aborted), Code::Aborted);
    let clock = Arc::clone(&world.home.env.clock);
    let late = Stop::never().at(Arc::clone(&clock), clock.now());
    assert_eq!(code(&request(&sources, 5), &late), Code::Deadline);
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let rng = &mut Rng::new(4);
    let mut world = World::new(small());
    world.write(rng, 0..10);
    let snapshot = world.collection.snapshot().unwrap();
    let code =
        |request: &SearchRequest<'_>| snapshot.search(request, &Stop::never()).unwrap_err().code();
    let unknown = ["nope".to_owned()];
    let number = ["n".to_owned()];
    let vector = [1.0; 4];
    let long = "sea ".repeat(20_000);
    let one = |field, weight| VectorSource {
        field,
        vector: &vector,
        weight,
    };
    let words = |words| WordSource {
        words,
        fields: None,
        weight: 1.0,
        highlight: None,
    };
    let sources = |vectors, words| Sources {
        vectors,
        words,
        rrf_k: 60.0,
    };
    let wrong = [
        sources(vec![], None),
        sources(vec![one(0, 1.0), one(0, 1.0)], None),
        sources(vec![one(9, 1.0)], None),
        sources(vec![one(0, 0.0)], Some(words("sea"))),
        sources(vec![one(0, f64::NAN)], Some(words("sea"))),
        Sources {
            rrf_k: -1.0,
            ..sources(vec![one(0, 1.0)], Some(words("sea")))
        },
    ];
    for sources in &wrong {
        assert_eq!(
            code(&request(sources, 5)),
            Code::InvalidArgument,
            "{sources:?}"
        );
    }
    for fields in [&unknown, &number] {
        let mut asked = words_of("sea");
        asked.words.as_mut().unwrap().fields = Some(fields);
        assert_eq!(code(&request(&asked, 5)), Code::InvalidArgument);
        let mut asked = words_of("sea");
        asked.words.as_mut().unwrap().highlight = Some(Highlight::Named(fields));
        assert_eq!(code(&request(&asked, 5)), Code::InvalidArgument);
    }
    let asked = sources(vec![one(1, 1.0)], Some(words("sea")));
    assert_eq!(code(&request(&asked, 5)), Code::DimMismatch);
    let asked = words_of(&long);
    assert_eq!(code(&request(&asked, 5)), Code::LimitExceeded);
    let asked = words_of("sea");
    let limited = SearchRequest {
        max_distance: Some(1.0),
        ..request(&asked, 5)
    };
    assert_eq!(code(&limited), Code::InvalidArgument);
    assert_eq!(code(&request(&asked, 0)), Code::InvalidArgument);
    assert_eq!(code(&request(&asked, 10_001)), Code::LimitExceeded);
}

#[test]
fn words_of_a_hit_are_marked_in_the_fields_that_are_wanted() {
    let world = World::new(small());
    let document = Document {
        n: 0,
        title: Some("\u{1f30a} The Tide, the tides".into()),
        body: vec!["calm".into(), "Tides of \u{e9}toile".into()],
        a: vec![1.0; 4],
        b: vec![1.0; 3],
    };
    put(&world.collection, &[document.row(1)]);
    let marks = |highlight: Highlight<'_>, fields: Option<&[String]>, words: &str| {
        let mut sources = words_of(words);
        let source = sources.words.as_mut().unwrap();
        source.highlight = Some(highlight);
        source.fields = fields;
        let snapshot = world.collection.snapshot().unwrap();
        let hits = snapshot
            .search(&request(&sources, 5), &Stop::never())
            .unwrap();
        let marked = hits.highlights.unwrap();
        assert_eq!(marked.ends.len(), hits.scores.len());
        common::decode(&marked.bytes)
    };
    let pair = |start: i64, end: i64| Value::List(vec![Value::Int(start), Value::Int(end)]);
    let title = Value::List(vec![pair(7, 11)]);
    let body = Value::List(vec![Value::List(vec![]), Value::List(vec![pair(0, 5)])]);
    let all = marks(Highlight::Searched, None, "tide");
    assert_eq!(
        all,
        [
            ("body".into(), body.clone()),
            ("title".into(), title.clone())
        ]
        .into()
    );
    let names = ["title".to_owned()];
    assert_eq!(
        marks(Highlight::Named(&names), None, "tide"),
        [("title".into(), title.clone())].into()
    );
    assert_eq!(
        marks(Highlight::Searched, Some(&names), "tide"),
        [("title".into(), title)].into()
    );
    let star = marks(Highlight::Searched, None, "\u{e9}toile");
    let place = Value::List(vec![Value::List(vec![]), Value::List(vec![pair(9, 15)])]);
    assert_eq!(star, [("body".into(), place)].into());
}

/// The best of all records by one vector, nearest first, ties by key.
fn nearest(
    model: &Model,
    metric: MetricName,
    query: &[f32],
    of: fn(&Document) -> &[f32],
) -> Vec<u64> {
    let far = |it: &Document| distance(metric, query, of(it)) as f32;
    let mut all: Vec<(f32, u64)> = model.iter().map(|(key, it)| (far(it), *key)).collect();
    all.sort_by(|a, b| a.partial_cmp(b).unwrap());
    all.into_iter().map(|(_, key)| key).collect()
}

#[test]
fn a_fusion_is_the_one_that_is_written_apart() {
    let seed = seed_from_env("CAIRN_WORDS_SEED", 0xf05e);
    println!("CAIRN_WORDS_SEED={seed}");
    for round in 0..12 {
        let rng = &mut Rng::new(seed + round);
        let mut world = World::new(small());
        let rows = [5, 60, 400, 1500][rng.range(0..4)];
        world.write(rng, 0..rows);
        if rng.chance(0.5) {
            world.delete((0..rows).step_by(4));
        }
        if rng.chance(0.5) {
            world.collection.compact(&Job::default()).unwrap();
        }
        for _ in 0..10 {
            let vector = |rng: &mut Rng, dim: usize| -> Vec<f32> {
                (0..dim).map(|_| 1.0 + rng.below(5) as f32).collect()
            };
            let (a, b) = (vector(rng, 4), vector(rng, 3));
            let below = [30, 101][rng.range(0..2)];
            let json = format!(r#"{{"n":{{"lt":{below}}}}}"#);
            let filter = Filter::parse(json.as_bytes()).unwrap();
            let weight = |rng: &mut Rng| [1.0, 1.0, 0.5, 3.0][rng.range(0..4)];
            let rrf_k = [60.0, 1.0, 0.0][rng.range(0..3)];
            let words = ["sea", "storm tide", "nothing"][rng.range(0..3)];
            let mut sources = words_of(words);
            sources.rrf_k = rrf_k;
            sources.words.as_mut().unwrap().weight = weight(rng);
            let of = |field, vector| VectorSource {
                field,
                vector,
                weight: 1.0,
            };
            sources.vectors = vec![of(0, &a)];
            sources.vectors[0].weight = weight(rng);
            if rng.chance(0.6) {
                sources.vectors.push(of(1, &b));
            }
            if rng.chance(0.3) {
                sources.words = None;
            }
            let k = [1, 10, 300][rng.range(0..3)];
            let about = format!("seed={} {sources:?} below={below} k={k}", seed + round);

            let mut seen = world.model.clone();
            seen.retain(|_, it| it.n < below);
            let depth = k.max(100);
            let mut lists = Vec::new();
            for source in &sources.vectors {
                let ranked = match source.field {
                    0 => nearest(&seen, MetricName::L2, source.vector, |it| &it.a),
                    _ => nearest(&seen, MetricName::Dot, source.vector, |it| &it.b),
                };
                lists.push((source.weight, ranked));
            }
            let snapshot = world.collection.snapshot().unwrap();
            if let Some(source) = &sources.words {
                // Its own ranking is compared with the definition above.
                let alone = words_of(source.words);
                let alone = SearchRequest {
                    filter: Some(&filter),
                    ..request(&alone, depth)
                };
                let hits = snapshot.search(&alone, &Stop::never()).unwrap();
                lists.push((source.weight, found(&hits)));
            }
            let mut sums: BTreeMap<u64, f64> = BTreeMap::new();
            for (weight, ranked) in &lists {
                for (rank, key) in ranked.iter().take(depth).enumerate() {
                    *sums.entry(*key).or_insert(0.0) += weight / (rrf_k + rank as f64 + 1.0);
                }
            }
            let mut expected: Vec<(u64, f32)> = sums
                .into_iter()
                .map(|(key, sum)| (key, sum as f32))
                .collect();
            expected.sort_by(|x, y| y.1.total_cmp(&x.1).then(x.0.cmp(&y.0)));
            expected.truncate(k);

            let request = SearchRequest {
                filter: Some(&filter),
                effort: Effort::Exact,
                ..request(&sources, k)
            };
            let hits = scored(&snapshot.search(&request, &Stop::never()).unwrap());
            assert_eq!(hits.len(), k.min(seen.len()), "{about}");
            assert_eq!(hits, expected, "{about}");
        }
    }
}

#[test]
fn schemas_differ_by_language_and_weight() {
    let world = World::new(small());
    let differs = |change: &dyn Fn(&mut Schema)| {
        let mut given = shape();
        change(&mut given);
        world.collection.schema().expect_equal(&given).unwrap_err()
    };
    for (change, path) in [
        (
            (&|it: &mut Schema| it.fields[2].text.language = Language::German)
                as &dyn Fn(&mut Schema),
            "fields.body.language",
        ),
        (&|it| it.fields[1].text.weight = 1.0, "fields.title.weight"),
        (&|it| it.fields[1].kind = "text[]".into(), "fields.title"),
    ] {
        let error = differs(change);
        assert_eq!(error.code(), Code::SchemaMismatch);
        assert!(format!("{error:?}").contains(path), "{error:?}");
    }
    let refused = |change: &dyn Fn(&mut Schema)| {
        let mut given = shape();
        change(&mut given);
        given.validate().unwrap_err().code()
    };
    for weight in [0.0, -1.0, 1e-99, f64::NAN, 1e7] {
        let code = refused(&|it| it.fields[1].text.weight = weight);
        assert_eq!(code, Code::InvalidArgument, "{weight}");
    }
    let code = refused(&|it| it.fields[0].text.language = Language::English);
    assert_eq!(code, Code::InvalidArgument);
}

/// A stemmer that fails over a word would take the commit thread with it, and all later writes.
#[test]
fn a_word_that_its_stemmer_fails_over_is_indexed_found_and_marked_as_it_is() {
    let mut schema = shape();
    schema.fields[1].text.language = Language::Greek;
    let home = common::Home::memory();
    let mut database = home.open(small());
    let collection = database.create_collection("c", schema).unwrap();
    let row = |key: u64, title: &str| {
        let vectors = vec![Some(vec![1.0; 4]), Some(vec![1.0; 3])];
        common::Row::of(number(key), vectors).with("title", title)
    };
    let isa = "\u{3b9}\u{3c3}\u{3b1}";
    let word = isa.repeat(2);
    put(&collection, &[row(1, &word), row(2, isa)]);
    put(&collection, &[row(3, &format!("other {word}"))]);
    drop(collection);
    for place in ["in the memtable", "after a reopen", "in a segment"] {
        let collection = database.open_collection("c").unwrap();
        if place == "in a segment" {
            collection.compact(&Job::default()).unwrap();
        }
        let snapshot = collection.snapshot().unwrap();
        let mut sources = words_of(&word);
        sources.words.as_mut().unwrap().highlight = Some(Highlight::Searched);
        let hits = snapshot.search(&request(&sources, 10), &Stop::never());
        let hits = hits.unwrap();
        let mut keys: Vec<u64> = scored(&hits).iter().map(|(key, _)| *key).collect();
        keys.sort_unstable();
        assert_eq!(keys, [1, 3], "{place}");
        drop((snapshot, collection));
        database.close().unwrap();
        database = home.open(small());
    }
}

/// Hits are read from the disk, and their texts taken apart: after the ranking that may be most of it.
#[test]
fn a_deadline_holds_while_hits_are_read_and_marked() {
    let rng = &mut Rng::new(7);
    let mut world = World::new(small());
    world.write(rng, 0..2000);
    let snapshot = world.collection.snapshot().unwrap();
    let mut sources = words_of("sea tide");
    sources.words.as_mut().unwrap().highlight = Some(Highlight::Searched);
    let marked = |k: usize| request(&sources, k);
    let vector = [1.0; 4];
    let near = |k: usize| SearchRequest::new(&vector, k);
    let looks = |request: &SearchRequest<'_>| {
        let (looks, stop) = Looks::until(usize::MAX, || ());
        let hits = snapshot.search(request, &stop).unwrap();
        (looks.count(), hits.scores.len())
    };
    for (many, one, hits_per_look) in [(marked(500), marked(1), 1), (near(500), near(1), 64)] {
        let (all, hits) = looks(&many);
        assert_eq!(hits, 500);
        let (ranking, _) = looks(&one);
        let reading = 500 / hits_per_look;
        assert!(all + 1 >= ranking + reading, "{all} {ranking} {reading}");
        let (_, stop) = Looks::until(all - 1, || ());
        let error = snapshot.search(&many, &stop).unwrap_err();
        assert_eq!(error.code(), Code::Deadline);
    }
}

/// A write waits for the lock of the chunk that grows, and every other search by words for that write.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a write that waits must not hold up the search that it waits for"
)]
fn a_write_goes_on_while_a_search_by_words_is_in_the_segments() {
    let rng = &mut Rng::new(8);
    let mut world = World::new(small());
    world.write(rng, 0..3000);
    world.collection.compact(&Job::default()).unwrap();
    world.write(rng, 3000..3050);
    let snapshot = world.collection.snapshot().unwrap();
    let sources = words_of("sea tide");
    let one = request(&sources, 1);
    let (looks, stop) = Looks::until(usize::MAX, || ());
    snapshot.search(&one, &stop).unwrap();
    // The last look is before the hit is read, the one before it at the end of the ranking.
    let (collection, row) = (Arc::clone(&world.collection), Document::new(rng).row(3050));
    let has_written = Arc::new(AtomicBool::new(false));
    let written = Arc::clone(&has_written);
    let write = move || {
        let (collection, row) = (Arc::clone(&collection), row.clone());
        let (done, wait) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            put(&collection, &[row]);
            let _ = done.send(());
        });
        let is_done = wait.recv_timeout(Duration::from_secs(20)).is_ok();
        written.store(is_done, Ordering::Relaxed);
    };
    let (_, stop) = Looks::until(looks.count() - 2, write);
    let error = snapshot.search(&one, &stop).unwrap_err();
    assert_eq!(error.code(), Code::Deadline);
    assert!(has_written.load(Ordering::Relaxed), "the write waited");
}

#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
#[test]
fn planted_bugs_are_found() {
    if std::env::var_os("CAIRN_BUG").is_none() {
        crate::crash::planted::expect_all_found(module_path!());
    }
}
