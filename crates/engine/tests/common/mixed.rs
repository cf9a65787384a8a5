//! Records with fields of every kind, in segments and memtables, replaced and removed, and the same
//! records in a map.

#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_engine::{
    Collection, Database, DeclaredField, Filter, KeyBuf, KeyType, MetricName, Schema, Stop,
};
use cairn_testkit::Rng;

use crate::common::{
    Fields, Home, Row, Value, eventually, number, plain, put, remove, small, text,
};

pub const DIM: usize = 4;

/// The indexed field, and its copy that has no index.
pub const COPIES: [&str; 2] = ["a", "b"];

/// What a filter says of a record's fields.
pub type Holds = fn(&Fields) -> bool;

pub struct Mixed {
    /// Closed with its last owner.
    database: Arc<Database>,
    pub collection: Arc<Collection>,
    pub records: BTreeMap<KeyBuf, (Vec<f32>, Fields)>,
    key: KeyType,
}

/// `a` is declared and indexed in segments, `b` is its undeclared copy.
pub fn schema(key: KeyType, metric: MetricName) -> Schema {
    let field = |name: &str, kind: &str| DeclaredField {
        name: name.into(),
        kind: kind.into(),
        text: Default::default(),
    };
    Schema {
        fields: vec![field("a", "keyword"), field("half", "int")],
        ..plain(key, DIM as u32, metric)
    }
}

/// A value of any kind, few enough of each that they meet.
pub fn any(rng: &mut Rng) -> Value {
    match rng.below(12) {
        0 => Value::Nil(()),
        1 => Value::Bool(rng.chance(0.5)),
        2..=4 => Value::Int(
            *rng.choose(&[0, 1, -1, 7, i64::MAX, i64::MIN, 1 << 53])
                .unwrap(),
        ),
        5 | 6 => Value::Float(*rng.choose(&[0.5, -0.25, 1.0, 1e19, 1e300]).unwrap()),
        7 | 8 => Value::Text((*rng.choose(&["", "a", "ab", "\u{e9}"]).unwrap()).into()),
        9 => Value::List((0..rng.below(4)).map(|_| leaf(rng)).collect()),
        10 => Value::Map(BTreeMap::from([("x".into(), leaf(rng))])),
        _ => Value::List(vec![Value::List(vec![leaf(rng)])]),
    }
}

fn leaf(rng: &mut Rng) -> Value {
    match rng.below(3) {
        0 => Value::Int(rng.below(3) as i64),
        1 => Value::Float(0.5),
        _ => Value::Text("a".into()),
    }
}

impl Mixed {
    /// Writes, replaces and removes; `some` is what the fields have.
    pub fn new(
        home: &Home,
        key: KeyType,
        metric: MetricName,
        rng: &mut Rng,
        some: impl Fn(&mut Rng) -> Value,
    ) -> Self {
        let database = home.open(small());
        let name = format!("c{}", rng.next_u64());
        let collection = database
            .create_collection(&name, schema(key, metric))
            .unwrap();
        let mut mixed = Self {
            database,
            collection,
            records: BTreeMap::new(),
            key,
        };
        for round in 0..24 {
            let rows: Vec<Row> = (0..100).map(|_| mixed.row(rng, &some)).collect();
            if round % 6 == 5 {
                let gone: Vec<KeyBuf> = rows.into_iter().map(|row| row.key).collect();
                remove(&mixed.collection, &gone);
                gone.iter().for_each(|key| drop(mixed.records.remove(key)));
            } else {
                mixed.put(rows);
            }
        }
        let stats = || mixed.collection.stats().unwrap();
        eventually("a memtable is flushed", || !stats().segments.is_empty());
        // Whatever was flushed, these are in a memtable.
        let rows: Vec<Row> = (0..20).map(|_| mixed.row(rng, &some)).collect();
        mixed.put(rows);
        mixed
    }

    fn put(&mut self, rows: Vec<Row>) {
        put(&self.collection, &rows);
        for row in rows {
            let vector = row.vectors[0].clone().unwrap();
            let fields = row.fields.unwrap_or_default();
            self.records.insert(row.key, (vector, fields));
        }
    }

    fn row(&self, rng: &mut Rng, some: &impl Fn(&mut Rng) -> Value) -> Row {
        let n = rng.below(900);
        let key = match self.key {
            KeyType::String => text(format!("k{n}")),
            KeyType::U64 => number(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        };
        // Few places, so that many records are equally far.
        let vector: Vec<f32> = (0..DIM).map(|_| 1.0 + rng.below(6) as f32).collect();
        let mut row = Row::new(key, &vector).with("half", n as i64 % 2);
        if rng.chance(0.8) {
            let value = some(rng);
            row = row.with("a", value.clone()).with("b", value);
        }
        row
    }

    /// A filter that holds for half of them, by index, and one that holds for all.
    pub fn filters(&self) -> [(Option<Filter>, Holds); 2] {
        let half = Filter::parse(br#"{"half":1}"#).unwrap();
        [
            (None, |_| true),
            (Some(half), |fields| {
                fields.get("half") == Some(&Value::Int(1))
            }),
        ]
    }
}

/// Values without parts that a field has: itself, or the elements of an array.
pub fn values(fields: &Fields, field: &str) -> Vec<Value> {
    let is_leaf = |value: &Value| !matches!(value, Value::List(_) | Value::Map(_));
    match fields.get(field) {
        None | Some(Value::Map(_)) => Vec::new(),
        Some(Value::List(all)) => all.iter().filter(|value| is_leaf(value)).cloned().collect(),
        Some(value) => vec![value.clone()],
    }
}

/// By kind, then by value, as the documentation says.
pub fn order(a: &Value, b: &Value) -> Ordering {
    let kind = |value: &Value| match value {
        Value::Nil(()) => 0,
        Value::Bool(_) => 1,
        Value::Int(_) | Value::Float(_) => 2,
        Value::Text(_) => 3,
        Value::List(_) | Value::Map(_) => panic!("no order"),
    };
    kind(a).cmp(&kind(b)).then_with(|| match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Float(a), Value::Float(b)) => a.total_cmp(b),
        // The floats of these tests are small fractions or far beyond any integer.
        (Value::Int(a), Value::Float(b)) if b.abs() > 1e18 => 0.0_f64.total_cmp(b).then(a.cmp(a)),
        (Value::Float(a), Value::Int(_)) if a.abs() > 1e18 => a.total_cmp(&0.0),
        (Value::Int(a), Value::Float(b)) => (*a as f64).total_cmp(b),
        (Value::Float(a), Value::Int(b)) => a.total_cmp(&(*b as f64)),
        _ => Ordering::Equal,
    })
}

/// What is never asked to stop.
pub fn never() -> Stop {
    Stop::never()
}
