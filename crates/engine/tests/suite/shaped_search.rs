//! Searches beyond the nearest records: like a record, by groups, diverse, near to nothing. Each is held
//! against a slow and obvious answer over segments, memtables, deletions and replaced records.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use cairn_engine::{
    By, Code, Effort, Filter, GroupBy, Job, Key, KeyBuf, KeyType, MetricName, SearchRequest, Shape,
    Snapshot, Stop,
};
use cairn_testkit::{Rng, data, seed_from_env};

use crate::common;
#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
use crate::crash;
use crate::mixed;
use common::model::distance;
use common::{Fields, Home, METRICS, Row, Value, number, put};
use mixed::{COPIES, DIM, Mixed, any, never};

type Near = Vec<(KeyBuf, f32)>;

fn keys(snapshot: &Snapshot, request: &SearchRequest<'_>) -> Vec<KeyBuf> {
    let hits = snapshot.search(request, &never()).unwrap();
    hits.keys.iter().map(Key::to_buf).collect()
}

/// Records by distance, then by key.
fn nearest(mixed: &Mixed, metric: MetricName, query: &[f32], holds: fn(&Fields) -> bool) -> Near {
    let records = mixed
        .records
        .iter()
        .filter(|(_, (_, fields))| holds(fields));
    let far = |vector: &[f32]| distance(metric, query, vector);
    let mut all: Vec<(KeyBuf, f64)> = records
        .map(|(key, (vector, _))| (key.clone(), far(vector)))
        .collect();
    all.sort_by(|(key_a, a), (key_b, b)| a.total_cmp(b).then_with(|| key_a.cmp(key_b)));
    all.into_iter()
        .map(|(key, far)| (key, far as f32))
        .collect()
}

/// Whether two records are of one group.
fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        (Some(Value::Int(a)), Some(Value::Float(b)))
        | (Some(Value::Float(b)), Some(Value::Int(a))) => b.abs() < 1e18 && *a as f64 == *b,
        _ => a == b,
    }
}

/// The nearest `k` groups of at most `size`, the slow way.
fn groups(mixed: &Mixed, near: &Near, field: &str, k: usize, size: usize) -> Vec<KeyBuf> {
    let mut groups: Vec<(Option<&Value>, Vec<KeyBuf>)> = Vec::new();
    for (key, _) in near {
        let value = mixed.records[key].1.get(field);
        match groups.iter_mut().find(|(it, _)| same(*it, value)) {
            Some((_, keys)) => keys.push(key.clone()),
            None => groups.push((value, vec![key.clone()])),
        }
    }
    groups.truncate(k);
    let some = groups
        .into_iter()
        .flat_map(|(_, keys)| keys.into_iter().take(size));
    some.collect()
}

fn grouped<'a>(vector: &'a [f32], k: usize, field: &'a str, size: usize) -> SearchRequest<'a> {
    SearchRequest {
        effort: Effort::Exact,
        shape: Shape {
            group_by: Some(GroupBy { field, size }),
            ..Shape::default()
        },
        ..SearchRequest::new(vector, k)
    }
}

#[test]
fn a_search_by_groups_is_that_of_all_records_put_into_groups() {
    let seed = seed_from_env("CAIRN_SHAPE_SEED", 0x6209);
    println!("seed={seed:#x}");
    let mut rng = Rng::new(seed);
    let home = Home::memory();
    let some = |rng: &mut Rng| match rng.below(4) {
        0 => any(rng),
        1 => Value::Int(rng.below(300) as i64),
        // One has half of all records.
        _ => Value::Text("dominates".into()),
    };
    let mixed = Mixed::new(&home, KeyType::String, MetricName::L2, &mut rng, some);
    for compacted in [false, true] {
        if compacted {
            mixed.collection.compact(&Job::default()).unwrap();
        }
        let snapshot = mixed.collection.snapshot().unwrap();
        for _ in 0..20 {
            let query: Vec<f32> = (0..DIM).map(|_| rng.below(8) as f32).collect();
            let (k, size) = (1 + rng.below(60) as usize, 1 + rng.below(4) as usize);
            for field in COPIES {
                for (filter, holds) in &mixed.filters() {
                    let request = SearchRequest {
                        filter: filter.as_ref(),
                        ..grouped(&query, k, field, size)
                    };
                    let near = nearest(&mixed, MetricName::L2, &query, *holds);
                    let expected = groups(&mixed, &near, field, k, size);
                    let what = format!("seed={seed:#x} k={k} size={size} {field}");
                    assert_eq!(keys(&snapshot, &request), expected, "{what}");
                }
            }
        }
        // Only what is near enough, and more groups than there are.
        let query = [3.0; DIM];
        let near = nearest(&mixed, MetricName::L2, &query, |_| true);
        for limit in [0.0, 2.0, 9.0] {
            let near: Near = near
                .iter()
                .filter(|(_, far)| *far <= limit)
                .cloned()
                .collect();
            let request = SearchRequest {
                max_distance: Some(limit),
                ..grouped(&query, 5_000, "a", 2)
            };
            assert_eq!(
                keys(&snapshot, &request),
                groups(&mixed, &near, "a", 5_000, 2)
            );
        }
    }
}

#[test]
fn there_are_k_groups_even_where_one_has_nearly_all_records() {
    let home = Home::memory();
    let database = home.open(cairn_engine::Options::default());
    let schema = mixed::schema(KeyType::U64, MetricName::L2);
    let collection = database.create_collection("c", schema).unwrap();
    let vectors = data::clustered(5, 6_000, DIM);
    for (chunk, vectors) in vectors.chunks(DIM * 1_000).enumerate() {
        let rows = vectors.chunks(DIM).enumerate().map(|(at, vector)| {
            let key = (chunk * 1_000 + at) as u64;
            // Far away, and of five more groups.
            let (vector, group) = match key % 1_000 {
                3 => (vec![1e4 + key as f32; DIM], key as i64),
                _ => (vector.to_vec(), -1),
            };
            Row::new(number(key), &vector)
                .with("a", group)
                .with("b", group)
        });
        put(&collection, &rows.collect::<Vec<_>>());
    }
    for compacted in [false, true] {
        if compacted {
            collection.compact(&Job::default()).unwrap();
        }
        let snapshot = collection.snapshot().unwrap();
        for field in COPIES {
            for effort in [Effort::Recall(0.95), Effort::EfSearch(20), Effort::Exact] {
                let request = SearchRequest {
                    effort,
                    ..grouped(&vectors[..DIM], 5, field, 3)
                };
                let found = snapshot.search(&request, &never()).unwrap();
                assert_eq!(found.keys.len(), 3 + 4, "{field} {effort:?}");
                let far = found.keys.iter().skip(3).map(|key| match key {
                    Key::U64(key) => key % 1_000,
                    Key::Str(_) => 0,
                });
                assert!(far.eq([3; 4]), "{field} {effort:?}");
            }
        }
    }
}

#[test]
fn the_neighbours_of_a_record_are_those_of_its_vector_without_itself() {
    let seed = seed_from_env("CAIRN_SHAPE_SEED", 0x11e);
    println!("seed={seed:#x}");
    let mut rng = Rng::new(seed);
    for metric in METRICS {
        let home = Home::memory();
        let mixed = Mixed::new(&home, KeyType::U64, metric, &mut rng, any);
        let snapshot = mixed.collection.snapshot().unwrap();
        let all: Vec<&KeyBuf> = mixed.records.keys().collect();
        for _ in 0..20 {
            let key = (*rng.choose(&all).unwrap()).clone();
            let vector = &mixed.records[&key].0;
            let k = 1 + rng.below(30) as usize;
            for (filter, _) in &mixed.filters() {
                let plain = SearchRequest {
                    effort: Effort::Exact,
                    filter: filter.as_ref(),
                    ..SearchRequest::new(vector, 10_000)
                };
                let expected = keys(&snapshot, &plain).into_iter().filter(|it| *it != key);
                let like = SearchRequest {
                    shape: Shape {
                        by: By::Like(key.as_key()),
                        ..Shape::default()
                    },
                    vector: &[],
                    k,
                    ..plain.clone()
                };
                let expected: Vec<KeyBuf> = expected.take(k).collect();
                assert_eq!(
                    keys(&snapshot, &like),
                    expected,
                    "seed={seed:#x} {metric:?} {key:?}"
                );
            }
        }
        let like = |key| SearchRequest {
            shape: Shape {
                by: By::Like(key),
                ..Shape::default()
            },
            ..SearchRequest::new(&[], 5)
        };
        let missing = snapshot.search(&like(Key::U64(1)), &never()).unwrap_err();
        assert_eq!(missing.code(), Code::NotFound);
        let other = snapshot.search(&like(Key::Str("a")), &never()).unwrap_err();
        assert_eq!(other.code(), Code::InvalidKey);
    }
}

#[test]
fn diverse_results_are_each_the_best_by_maximal_marginal_relevance() {
    let seed = seed_from_env("CAIRN_SHAPE_SEED", 0xd1f);
    println!("seed={seed:#x}");
    let mut rng = Rng::new(seed);
    for metric in METRICS {
        let home = Home::memory();
        let mixed = Mixed::new(&home, KeyType::U64, metric, &mut rng, any);
        let snapshot = mixed.collection.snapshot().unwrap();
        let score = |far: f64| match metric {
            MetricName::Cosine => 1.0 - far,
            MetricName::Dot => -far,
            _ => 1.0 / (1.0 + far),
        };
        for diversity in [0.0, 0.3, 0.5, 1.0] {
            let query: Vec<f32> = (0..DIM).map(|_| 1.0 + rng.below(7) as f32).collect();
            let k = 1 + rng.below(12) as usize;
            let diverse = SearchRequest {
                effort: Effort::Exact,
                shape: Shape {
                    diversity: Some(diversity as f32),
                    ..Shape::default()
                },
                ..SearchRequest::new(&query, k)
            };
            let found = keys(&snapshot, &diverse);
            let pool = SearchRequest {
                effort: Effort::Exact,
                ..SearchRequest::new(&query, 100)
            };
            let pool = keys(&snapshot, &pool);
            assert_eq!(found.len(), k);
            if diversity == 0.0 {
                assert_eq!(found, pool[..k], "without diversity the nearest");
            }
            assert_eq!(found[0], pool[0], "the nearest is the first");
            let vector = |key: &KeyBuf| &mixed.records[key].0;
            let like = |a: &[f32], b: &[f32]| score(distance(metric, a, b));
            for taken in 1..found.len() {
                let value = |key: &KeyBuf| {
                    let others = found[..taken]
                        .iter()
                        .map(|it| like(vector(key), vector(it)));
                    let most = others.fold(f64::MIN, f64::max);
                    (1.0 - diversity) * like(&query, vector(key)) - diversity * most
                };
                let left = pool.iter().filter(|key| !found[..taken].contains(key));
                let best = left.map(value).fold(f64::MIN, f64::max);
                let own = value(&found[taken]);
                let what = format!("seed={seed:#x} {metric:?} d={diversity} at {taken}");
                assert!(
                    own >= best - 1e-4 * best.abs().max(1.0),
                    "{what}: {own} of {best}"
                );
                assert!(pool.contains(&found[taken]), "{what}");
                assert!(!found[..taken].contains(&found[taken]), "{what}");
            }
        }
    }
}

#[test]
fn a_search_near_to_nothing_gives_records_by_key() {
    let home = Home::memory();
    let mut rng = Rng::new(0x715);
    let mixed = Mixed::new(&home, KeyType::String, MetricName::Cosine, &mut rng, any);
    let snapshot = mixed.collection.snapshot().unwrap();
    for (filter, holds) in &mixed.filters() {
        let request = SearchRequest {
            filter: filter.as_ref(),
            explain: true,
            shape: Shape {
                by: By::Nothing,
                ..Shape::default()
            },
            ..SearchRequest::new(&[], 50)
        };
        let hits = snapshot.search(&request, &never()).unwrap();
        let expected = mixed
            .records
            .iter()
            .filter(|(_, (_, fields))| holds(fields));
        let all = expected.clone().count() as u64;
        let found: Vec<KeyBuf> = hits.keys.iter().map(Key::to_buf).collect();
        let expected: Vec<KeyBuf> = expected.map(|(key, _)| key.clone()).take(50).collect();
        assert_eq!(found, expected);
        assert!(
            hits.distances
                .iter()
                .chain(&hits.scores)
                .all(|it| *it == 0.0)
        );
        assert!(hits.stages.iter().all(|stage| stage.path == "keys"));
        assert_eq!(
            hits.stages.iter().map(|stage| stage.matches).sum::<u64>(),
            all
        );
        let limited = SearchRequest {
            min_score: Some(0.5),
            ..request
        };
        let refused = snapshot.search(&limited, &never()).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
}

#[test]
fn limits_of_distance_and_score_hold_on_every_way() {
    let home = Home::memory();
    let mut rng = Rng::new(0x3a8);
    let mixed = Mixed::new(&home, KeyType::U64, MetricName::L2, &mut rng, any);
    let snapshot = mixed.collection.snapshot().unwrap();
    let query = [3.0; DIM];
    let key = mixed.records.keys().next().unwrap();
    for shape in [
        Shape::default(),
        Shape {
            by: By::Like(key.as_key()),
            ..Shape::default()
        },
        Shape {
            diversity: Some(0.4),
            ..Shape::default()
        },
        Shape {
            group_by: Some(GroupBy {
                field: "a",
                size: 3,
            }),
            ..Shape::default()
        },
    ] {
        for (max_distance, min_score) in
            [(Some(4.0), None), (None, Some(0.2)), (Some(9.0), Some(0.2))]
        {
            let request = SearchRequest {
                shape,
                max_distance,
                min_score,
                ..SearchRequest::new(&query, 500)
            };
            let found = snapshot.search(&request, &never()).unwrap();
            assert!(!found.distances.is_empty(), "{shape:?}");
            let far = max_distance.unwrap_or(f32::MAX);
            assert!(found.distances.iter().all(|it| *it <= far), "{shape:?}");
            let low = min_score.unwrap_or(f32::MIN);
            assert!(found.scores.iter().all(|it| *it >= low), "{shape:?}");
        }
    }
    let request = SearchRequest {
        max_distance: Some(4.0),
        ..SearchRequest::new(&[], 500)
    };
    let (found, _) = snapshot
        .search_batch(&[query, query].concat(), &request, &never())
        .unwrap();
    assert!(!found.distances.is_empty());
    assert!(found.distances.iter().all(|it| *it <= 4.0));
}

#[test]
fn what_contradicts_itself_is_refused_and_what_is_stopped_ends() {
    let home = Home::memory();
    let mut rng = Rng::new(0x3a9);
    let mixed = Mixed::new(&home, KeyType::U64, MetricName::L2, &mut rng, any);
    let snapshot = mixed.collection.snapshot().unwrap();
    let code = |shape: Shape<'_>| {
        let request = SearchRequest {
            shape,
            ..SearchRequest::new(&[1.0; DIM], 5)
        };
        snapshot
            .search(&request, &never())
            .err()
            .map(|error| error.code())
    };
    let group = |field, size| Some(GroupBy { field, size });
    let plain = Shape::default();
    let wrong = Some(Code::InvalidArgument);
    assert_eq!(
        code(Shape {
            diversity: Some(1.5),
            ..plain
        }),
        wrong
    );
    assert_eq!(
        code(Shape {
            diversity: Some(f32::NAN),
            ..plain
        }),
        wrong
    );
    assert_eq!(
        code(Shape {
            group_by: group("a", 0),
            ..plain
        }),
        wrong
    );
    assert_eq!(
        code(Shape {
            group_by: group("$key", 1),
            ..plain
        }),
        wrong
    );
    assert_eq!(
        code(Shape {
            group_by: group("a", 1),
            diversity: Some(0.5),
            ..plain
        }),
        wrong
    );
    assert_eq!(
        code(Shape {
            group_by: group("a", 10_001),
            ..plain
        }),
        Some(Code::LimitExceeded)
    );
    let stopped = Stop::never().when(Arc::new(AtomicBool::new(true)));
    let half = Filter::parse(br#"{"half":1}"#).unwrap();
    for shape in [
        Shape {
            group_by: group("b", 2),
            ..plain
        },
        Shape {
            diversity: Some(0.5),
            ..plain
        },
        Shape {
            by: By::Nothing,
            ..plain
        },
    ] {
        let request = SearchRequest {
            shape,
            filter: Some(&half),
            ..SearchRequest::new(&[1.0; DIM], 5)
        };
        let ended = snapshot
            .search(&request, &stopped)
            .err()
            .map(|error| error.code());
        assert_eq!(ended, Some(Code::Aborted), "{shape:?}");
        let refused = match shape.by {
            By::Nothing => None,
            _ => snapshot.search_batch(&[1.0; DIM], &request, &never()).err(),
        };
        assert!(
            refused.is_none_or(|error| error.code() == Code::InvalidArgument),
            "{shape:?}"
        );
    }
}

#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
#[test]
fn its_planted_bugs_are_found() {
    if std::env::var_os("CAIRN_BUG").is_none() {
        crash::planted::expect_all_found(module_path!());
    }
}
