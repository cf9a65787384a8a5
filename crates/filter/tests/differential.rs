//! Random filters over random records agree with an evaluator that was written apart: it works on
//! a tree of values in memory, knows neither MessagePack nor JSON, and follows the rules one by one.

mod common;

use std::cmp::Ordering;

use cairn_filter::{Filter, Key, Record};
use cairn_testkit::{Rng, seed_from_env};
use common::{Value, map, scalar};

/// A filter as the rules speak of it.
#[derive(Clone, Debug)]
enum Rule {
    And(Vec<Rule>),
    Or(Vec<Rule>),
    Not(Box<Rule>),
    Field(&'static [&'static str], Op),
}

#[derive(Clone, Debug)]
enum Op {
    Eq(Value),
    Ne(Value),
    Order(&'static str, Value),
    In(Vec<Value>),
    Nin(Vec<Value>),
    All(Vec<Value>),
    Contains(Value),
    Exists(bool),
    IsNull(bool),
    StartsWith(&'static str),
}

impl Rule {
    fn json(&self) -> String {
        let list = |rules: &[Self]| {
            let all: Vec<_> = rules.iter().map(Self::json).collect();
            format!("[{}]", all.join(","))
        };
        match self {
            Self::And(rules) => format!(r#"{{"and":{}}}"#, list(rules)),
            Self::Or(rules) => format!(r#"{{"$or":{}}}"#, list(rules)),
            Self::Not(rule) => format!(r#"{{"not":{}}}"#, rule.json()),
            Self::Field(path, op) => format!(r#"{{"{}":{}}}"#, path.join("."), op.json()),
        }
    }

    fn holds(&self, record: &Value) -> bool {
        match self {
            Self::And(rules) => rules.iter().all(|rule| rule.holds(record)),
            Self::Or(rules) => rules.iter().any(|rule| rule.holds(record)),
            Self::Not(rule) => !rule.holds(record),
            Self::Field(path, op) => op.holds(&at(record, path)),
        }
    }
}

impl Op {
    fn json(&self) -> String {
        let list = |values: &[Value]| {
            let all: Vec<_> = values.iter().map(Value::json).collect();
            format!("[{}]", all.join(","))
        };
        match self {
            Self::Eq(value) => value.json(),
            Self::Ne(value) => format!(r#"{{"$ne":{}}}"#, value.json()),
            Self::Order(name, value) => format!(r#"{{"{name}":{}}}"#, value.json()),
            Self::In(values) => list(values),
            Self::Nin(values) => format!(r#"{{"nin":{}}}"#, list(values)),
            Self::All(values) => format!(r#"{{"all":{}}}"#, list(values)),
            Self::Contains(value) => format!(r#"{{"contains":{}}}"#, value.json()),
            Self::Exists(wanted) => format!(r#"{{"exists":{wanted}}}"#),
            Self::IsNull(wanted) => format!(r#"{{"isNull":{wanted}}}"#),
            Self::StartsWith(prefix) => format!(r#"{{"startsWith":"{prefix}"}}"#),
        }
    }

    /// Whether it holds for what was found; nothing was found where the field is missing.
    fn holds(&self, found: &[&Value]) -> bool {
        let any = |test: &dyn Fn(&Value) -> bool| {
            found.iter().any(|value| match value {
                Value::Array(elements) => elements.iter().any(test),
                value => test(value),
            })
        };
        match self {
            Self::Eq(wanted) => any(&|value| equal(value, wanted)),
            Self::Ne(wanted) => !any(&|value| equal(value, wanted)),
            Self::Order(name, bound) => any(&|value| {
                compare(value, bound).is_some_and(|ordering| match *name {
                    "gt" => ordering == Ordering::Greater,
                    "$gte" => ordering != Ordering::Less,
                    "lt" => ordering == Ordering::Less,
                    _ => ordering != Ordering::Greater,
                })
            }),
            Self::In(wanted) => any(&|value| wanted.iter().any(|one| equal(value, one))),
            Self::Nin(wanted) => !any(&|value| wanted.iter().any(|one| equal(value, one))),
            Self::All(wanted) => {
                !found.is_empty() && wanted.iter().all(|one| any(&|value| equal(value, one)))
            }
            Self::Contains(wanted) => found.iter().any(|value| match value {
                Value::Array(elements) => elements.iter().any(|one| equal(one, wanted)),
                _ => false,
            }),
            Self::Exists(wanted) => *wanted != found.is_empty(),
            Self::IsNull(wanted) => *wanted == any(&|value| matches!(value, Value::Null)),
            Self::StartsWith(prefix) => {
                any(&|value| matches!(value, Value::Text(text) if text.starts_with(prefix)))
            }
        }
    }
}

/// What a path leads to; arrays on the way are looked into.
fn at<'a>(value: &'a Value, path: &[&str]) -> Vec<&'a Value> {
    let Some((first, rest)) = path.split_first() else {
        return vec![value];
    };
    match value {
        Value::Map(entries) => {
            let fitting = entries.iter().filter(|(name, _)| name == first);
            fitting.flat_map(|(_, value)| at(value, rest)).collect()
        }
        Value::Array(elements) => elements.iter().flat_map(|one| at(one, path)).collect(),
        _ => Vec::new(),
    }
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Bytes(a), Value::Bytes(b)) => a == b,
        _ => compare(a, b) == Some(Ordering::Equal),
    }
}

fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        // Halves of both are exact in 128 bits for all the floats that are made here.
        (Value::Int(a), Value::Float(b)) => Some((i128::from(*a) * 4).cmp(&quarters(*b))),
        (Value::Float(a), Value::Int(b)) => Some(quarters(*a).cmp(&(i128::from(*b) * 4))),
        (Value::Date(a), Value::Date(b)) => Some(a.cmp(b)),
        (Value::Text(a), Value::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
        _ => None,
    }
}

fn quarters(value: f64) -> i128 {
    #[expect(clippy::cast_possible_truncation, reason = "whole by construction")]
    let quarters = (value * 4.0) as i128;
    quarters
}

const PATHS: [&[&str]; 8] = [
    &["a"],
    &["b"],
    &["c"],
    &["__proto__"],
    &["and so"],
    &["a", "b"],
    &["b", "a", "c"],
    &["c", "c"],
];

fn ordered(rng: &mut Rng) -> Value {
    loop {
        let value = scalar(rng);
        if !matches!(value, Value::Null | Value::Bool(_) | Value::Bytes(_)) {
            return value;
        }
    }
}

fn some(rng: &mut Rng) -> Vec<Value> {
    (0..rng.below(4)).map(|_| scalar(rng)).collect()
}

fn op(rng: &mut Rng) -> Op {
    match rng.below(12) {
        0 | 1 => Op::Eq(scalar(rng)),
        2 => Op::Ne(scalar(rng)),
        3..=5 => {
            let names = ["gt", "$gte", "lt", "lte"];
            Op::Order(rng.choose(&names).expect("some"), ordered(rng))
        }
        6 => Op::In(some(rng)),
        7 => Op::Nin(some(rng)),
        8 => Op::All(some(rng)),
        9 => Op::Contains(scalar(rng)),
        10 if rng.chance(0.5) => Op::Exists(rng.chance(0.5)),
        10 => Op::IsNull(rng.chance(0.5)),
        _ => Op::StartsWith(rng.choose(&["", "a", "ab", "\u{e9}"]).expect("some")),
    }
}

fn rule(rng: &mut Rng, depth: usize) -> Rule {
    let inner = |rng: &mut Rng| (0..rng.below(4)).map(|_| rule(rng, depth - 1)).collect();
    match rng.below(8) {
        0 | 1 if depth > 0 => Rule::And(inner(rng)),
        2 | 3 if depth > 0 => Rule::Or(inner(rng)),
        4 if depth > 0 => Rule::Not(Box::new(rule(rng, depth - 1))),
        _ => Rule::Field(rng.choose(&PATHS).expect("some"), op(rng)),
    }
}

#[test]
fn random_filters_agree_with_an_evaluator_written_apart() {
    let seed = seed_from_env("CAIRN_SEED", 0xf117e2);
    let mut held = [0_u64; 2];
    for round in 0..common::rounds(3000) as u64 {
        let mut rng = Rng::new(seed + round);
        let rule = rule(&mut rng, 4);
        let json = rule.json();
        let filter = Filter::parse(json.as_bytes()).unwrap_or_else(|e| panic!("{json}: {e}"));
        for _ in 0..20 {
            let record = map(&mut rng, 3);
            let fields = record.msgpack();
            let asked = Record {
                key: Key::Number(1),
                fields: &fields,
            };
            let expected = rule.holds(&record);
            assert_eq!(filter.matches(&asked), expected, "{json} of {record:?}");
            held[usize::from(expected)] += 1;
        }
    }
    println!("false and true: {held:?}");
    assert!(held.iter().all(|&count| count > 5000), "{held:?}");
}
