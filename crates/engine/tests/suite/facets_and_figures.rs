//! Facets and figures are what a look at every record gives: with indexes and without, in segments and
//! memtables, with a filter and without; and the same however the rows are split.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use cairn_engine::{
    Aggregate, AggregateValue, Buckets, Code, Job, KeyType, MetricName, Operation, Snapshot, Stop,
};
use cairn_testkit::{Rng, seed_from_env};

use crate::common;
use crate::mixed;
use common::{Fields, Home, Value, put};
use mixed::{COPIES, Mixed, any, never, order, values};

/// One value from its MessagePack, through another decoder than the engine's.
fn value(bytes: &[u8]) -> Value {
    rmp_serde::from_slice(bytes).unwrap()
}

fn facet(
    snapshot: &Snapshot,
    field: &str,
    k: usize,
    filter: Option<&cairn_engine::Filter>,
) -> Vec<(Value, u64)> {
    let found = snapshot.facet(field, k, filter, &never()).unwrap();
    found
        .iter()
        .map(|it| (value(&it.value), it.count))
        .collect()
}

fn equal(a: &Value, b: &Value) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b) && order(a, b).is_eq()
        || matches!(
            (a, b),
            (Value::Int(_), Value::Float(_)) | (Value::Float(_), Value::Int(_))
        ) && order(a, b).is_eq()
}

/// Every value with its count, the slow way.
fn naive(mixed: &Mixed, field: &str, holds: fn(&Fields) -> bool) -> Vec<(Value, u64)> {
    let mut counts: Vec<(Value, u64)> = Vec::new();
    for (_, fields) in mixed.records.values().filter(|(_, fields)| holds(fields)) {
        let mut own: Vec<Value> = Vec::new();
        for value in values(fields, field) {
            if !own.iter().any(|it| equal(it, &value)) {
                own.push(value);
            }
        }
        for value in own {
            match counts.iter_mut().find(|(it, _)| equal(it, &value)) {
                Some((_, count)) => *count += 1,
                None => counts.push((value, 1)),
            }
        }
    }
    counts.sort_by(|(a, count_a), (b, count_b)| count_b.cmp(count_a).then(order(a, b)));
    counts
}

#[test]
fn a_facet_counts_exactly_what_the_records_have() {
    let seed = seed_from_env("CAIRN_FACET_SEED", 0xface);
    println!("seed={seed:#x}");
    let mut rng = Rng::new(seed);
    let home = Home::memory();
    let mixed = Mixed::new(&home, KeyType::String, MetricName::L2, &mut rng, any);
    for compacted in [false, true] {
        if compacted {
            mixed.collection.compact(&Job::default()).unwrap();
        }
        let snapshot = mixed.collection.snapshot().unwrap();
        for field in COPIES {
            for (filter, holds) in &mixed.filters() {
                let expected = naive(&mixed, field, *holds);
                let found = facet(&snapshot, field, 10_000, filter.as_ref());
                assert_eq!(found.len(), expected.len(), "seed={seed:#x} {field}");
                for ((value, count), (wanted, wanted_count)) in found.iter().zip(&expected) {
                    assert!(
                        equal(value, wanted),
                        "seed={seed:#x} {field}: {value:?} {wanted:?}"
                    );
                    assert_eq!(count, wanted_count, "seed={seed:#x} {field} {value:?}");
                }
                assert_eq!(facet(&snapshot, field, 3, filter.as_ref()), found[..3]);
            }
        }
        assert_eq!(facet(&snapshot, "nobody", 10, None), []);
        assert!(
            !facet(&snapshot, "b.x", 10, None).is_empty(),
            "nested by a dotted path"
        );
    }
}

/// Numbers of a field, arrays element by element.
fn numbers(mixed: &Mixed, field: &str, holds: fn(&Fields) -> bool) -> Vec<f64> {
    let records = mixed.records.values().filter(|(_, fields)| holds(fields));
    let all = records.flat_map(|(_, fields)| values(fields, field));
    all.filter_map(|value| match value {
        Value::Int(value) => Some(value as f64),
        Value::Float(value) => Some(value),
        _ => None,
    })
    .collect()
}

fn float(answer: &Aggregate) -> f64 {
    match answer {
        Aggregate::Value(AggregateValue::Int(value)) => *value as f64,
        Aggregate::Value(AggregateValue::Float(value)) => *value,
        other => panic!("{other:?}"),
    }
}

/// Small numbers: whole ones and halves, whose sums floats hold exactly in any order.
fn small_numbers(rng: &mut Rng) -> Value {
    match rng.below(8) {
        0 => Value::Text("no number".into()),
        1 => Value::Float(rng.below(100) as f64 / 2.0 - 10.0),
        2 => Value::List(vec![Value::Int(3), Value::Int(3), Value::Float(0.5)]),
        3 => Value::Nil(()),
        _ => Value::Int(rng.below(100) as i64 - 50),
    }
}

#[test]
fn figures_are_those_of_the_records() {
    let seed = seed_from_env("CAIRN_FACET_SEED", 0xf16);
    println!("seed={seed:#x}");
    let mut rng = Rng::new(seed);
    let home = Home::memory();
    let mixed = Mixed::new(&home, KeyType::U64, MetricName::L2, &mut rng, small_numbers);
    let bounds = [-20.0, -10.0, 0.0, 7.5, 30.0];
    for compacted in [false, true] {
        if compacted {
            mixed.collection.compact(&Job::default()).unwrap();
        }
        let snapshot = mixed.collection.snapshot().unwrap();
        for field in COPIES {
            for (filter, holds) in &mixed.filters() {
                let what = format!("seed={seed:#x} {field}");
                let all = numbers(&mixed, field, *holds);
                let wanted: Vec<(String, Operation)> = [
                    Operation::Min,
                    Operation::Max,
                    Operation::Sum,
                    Operation::Mean,
                    Operation::CountNumbers,
                    Operation::Histogram(Buckets::Equal(7)),
                    Operation::Histogram(Buckets::Bounds(
                        bounds.map(AggregateValue::Float).to_vec(),
                    )),
                ]
                .map(|operation| (field.to_owned(), operation))
                .to_vec();
                let found = snapshot
                    .aggregate(&wanted, filter.as_ref(), &never())
                    .unwrap();
                let (min, max) = all.iter().fold((f64::MAX, f64::MIN), |(min, max), &value| {
                    (min.min(value), max.max(value))
                });
                let sum: f64 = all.iter().sum();
                assert_eq!(float(&found[0]), min, "{what}");
                assert_eq!(float(&found[1]), max, "{what}");
                assert_eq!(float(&found[2]), sum, "{what}");
                assert_eq!(float(&found[3]), sum / all.len() as f64, "{what}");
                assert_eq!(found[4], Aggregate::Count(all.len() as u64), "{what}");
                let Aggregate::Histogram(seven) = &found[5] else {
                    panic!("{what}")
                };
                assert_eq!(seven.counts.len(), 7);
                assert_eq!(
                    seven.counts.iter().sum::<u64>(),
                    all.len() as u64,
                    "all are in"
                );
                let Aggregate::Histogram(given) = &found[6] else {
                    panic!("{what}")
                };
                for (bucket, count) in given.counts.iter().enumerate() {
                    let (from, to) = (bounds[bucket], bounds[bucket + 1]);
                    let is_last = bucket + 2 == bounds.len();
                    let is_in = |value: &&f64| {
                        from <= **value && (**value < to || is_last && **value == to)
                    };
                    assert_eq!(
                        *count,
                        all.iter().filter(is_in).count() as u64,
                        "{what} {bucket}"
                    );
                }
                let count = vec![(field.to_owned(), Operation::Count)];
                let found = snapshot
                    .aggregate(&count, filter.as_ref(), &never())
                    .unwrap();
                let records = mixed.records.values().filter(|(_, fields)| holds(fields));
                let present = records.flat_map(|(_, fields)| values(fields, field));
                let present = present.filter(|value| *value != Value::Nil(())).count();
                assert_eq!(found, [Aggregate::Count(present as u64)], "{what}");
            }
        }
    }
}

#[test]
fn sums_of_integers_are_exact_and_those_of_floats_are_rounded_once() {
    let home = Home::memory();
    let mut rng = Rng::new(0x5a5);
    let some = |_: &mut Rng| Value::Nil(());
    let mut mixed = Mixed::new(&home, KeyType::U64, MetricName::L2, &mut rng, some);
    let keys: Vec<_> = mixed.records.keys().cloned().collect();
    let write = |mixed: &Mixed, all: &[Value]| {
        let rows = keys.iter().zip(all.iter().cycle()).take(600);
        let rows: Vec<common::Row> = rows
            .map(|(key, value)| {
                let row = common::Row::new(key.clone(), &[1.0; 4]);
                row.with("a", value.clone()).with("b", value.clone())
            })
            .collect();
        put(&mixed.collection, &rows);
    };
    assert!(keys.len() >= 600);
    let sum = |mixed: &Mixed, field: &str| {
        let wanted = [
            (field.to_owned(), Operation::Sum),
            (field.to_owned(), Operation::Mean),
        ];
        let snapshot = mixed.collection.snapshot().unwrap();
        snapshot.aggregate(&wanted, None, &never()).unwrap()
    };
    write(
        &mixed,
        &[
            Value::Int(i64::MAX),
            Value::Int(i64::MAX - 1),
            Value::Int(1),
        ],
    );
    for field in COPIES {
        let exact = 200 * (2 * i128::from(i64::MAX));
        let found = sum(&mixed, field);
        assert_eq!(
            found[0],
            Aggregate::Value(AggregateValue::Int(exact)),
            "{field}"
        );
        assert_eq!(float(&found[1]), exact as f64 / 600.0);
    }
    write(
        &mixed,
        &[Value::Float(1e300), Value::Float(-1e300), Value::Float(0.1)],
    );
    for _ in 0..2 {
        for field in COPIES {
            // 200 times the float that is next to 0.1.
            assert_eq!(float(&sum(&mixed, field)[0]), 20.0, "{field}");
        }
        mixed.collection.compact(&Job::default()).unwrap();
    }
    write(
        &mixed,
        &[
            Value::Float(f64::INFINITY),
            Value::Float(f64::NAN),
            Value::Int(2),
        ],
    );
    for field in COPIES {
        let found = sum(&mixed, field);
        assert_eq!(
            found[0],
            Aggregate::Value(AggregateValue::Int(400)),
            "{field}"
        );
        assert_eq!(
            found[1],
            Aggregate::Value(AggregateValue::Float(2.0)),
            "{field}"
        );
    }
    mixed.records.clear();
}

#[test]
fn nothing_has_no_figures_and_what_is_wrong_is_refused() {
    let home = Home::memory();
    let mut rng = Rng::new(0x33);
    let mixed = Mixed::new(&home, KeyType::U64, MetricName::L2, &mut rng, |_| {
        Value::Text("a".into())
    });
    let snapshot = mixed.collection.snapshot().unwrap();
    let ask =
        |operation: Operation| snapshot.aggregate(&[("a".to_owned(), operation)], None, &never());
    for operation in [
        Operation::Min,
        Operation::Max,
        Operation::Sum,
        Operation::Mean,
    ] {
        assert_eq!(ask(operation).unwrap(), [Aggregate::Nothing]);
    }
    assert_eq!(
        ask(Operation::Histogram(Buckets::Equal(3))).unwrap(),
        [Aggregate::Nothing]
    );
    assert_eq!(ask(Operation::CountNumbers).unwrap(), [Aggregate::Count(0)]);
    let bounds = |bounds: &[f64]| {
        let bounds = bounds.iter().map(|bound| AggregateValue::Float(*bound));
        Operation::Histogram(Buckets::Bounds(bounds.collect()))
    };
    for wrong in [
        Operation::Histogram(Buckets::Equal(0)),
        bounds(&[]),
        bounds(&[1.0]),
        bounds(&[1.0, 1.0]),
        bounds(&[2.0, 1.0]),
        bounds(&[0.0, f64::NAN]),
    ] {
        assert_eq!(
            ask(wrong).err().map(|it| it.code()),
            Some(Code::InvalidArgument)
        );
    }
    let over = ask(Operation::Histogram(Buckets::Equal(10_001)));
    assert_eq!(over.err().map(|it| it.code()), Some(Code::LimitExceeded));
    let many = vec![("a".to_owned(), Operation::Min); 101];
    let over = snapshot.aggregate(&many, None, &never());
    assert_eq!(over.err().map(|it| it.code()), Some(Code::LimitExceeded));
    let stopped = Stop::never().when(Arc::new(AtomicBool::new(true)));
    for field in ["", "$key", "a..b"] {
        let refused = snapshot.facet(field, 1, None, &never());
        assert_eq!(
            refused.err().map(|it| it.code()),
            Some(Code::InvalidArgument),
            "{field}"
        );
    }
    for field in COPIES {
        let facet = snapshot.facet(field, 1, None, &stopped);
        assert_eq!(facet.err().map(|it| it.code()), Some(Code::Aborted));
        let figures = snapshot.aggregate(&[(field.to_owned(), Operation::Min)], None, &stopped);
        assert_eq!(figures.err().map(|it| it.code()), Some(Code::Aborted));
    }
    assert_eq!(
        snapshot
            .facet("a", 0, None, &never())
            .err()
            .map(|it| it.code()),
        Some(Code::InvalidArgument)
    );
    let over = snapshot.facet("a", 10_001, None, &never());
    assert_eq!(over.err().map(|it| it.code()), Some(Code::LimitExceeded));
}
