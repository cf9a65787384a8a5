//! Values in memory, to bytes and to JSON.

#![allow(dead_code, reason = "each test file uses its own part of this")]

use cairn_testkit::Rng;

/// A value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Date(i64),
    Text(String),
    Bytes(Vec<u8>),
    Array(Vec<Value>),
    Map(Vec<(String, Value)>),
}

impl Value {
    /// As fields are stored.
    pub fn msgpack(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.put(&mut out);
        out
    }

    fn put(&self, out: &mut Vec<u8>) {
        let length = |length: usize| u32::try_from(length).expect("small").to_be_bytes();
        match self {
            Self::Null => out.push(0xc0),
            Self::Bool(value) => out.push(0xc2 + u8::from(*value)),
            Self::Int(value) => match i8::try_from(*value) {
                Ok(small @ -32..) => out.push(small.cast_unsigned()),
                _ => {
                    out.push(0xd3);
                    out.extend(value.to_be_bytes());
                }
            },
            Self::Float(value) => {
                out.push(0xcb);
                out.extend(value.to_be_bytes());
            }
            Self::Date(ms) => {
                out.extend([0xc7, 12, 0xff]);
                let nanos = u32::try_from(ms.rem_euclid(1000)).expect("below 1000") * 1_000_000;
                out.extend(nanos.to_be_bytes());
                out.extend(ms.div_euclid(1000).to_be_bytes());
            }
            Self::Text(text) => {
                out.push(0xdb);
                out.extend(length(text.len()));
                out.extend(text.as_bytes());
            }
            Self::Bytes(bytes) => {
                out.push(0xc6);
                out.extend(length(bytes.len()));
                out.extend(bytes);
            }
            Self::Array(elements) => {
                out.push(0xdd);
                out.extend(length(elements.len()));
                elements.iter().for_each(|element| element.put(out));
            }
            Self::Map(entries) => {
                out.push(0xdf);
                out.extend(length(entries.len()));
                for (name, value) in entries {
                    Self::Text(name.clone()).put(out);
                    value.put(out);
                }
            }
        }
    }

    /// As a filter names it.
    pub fn json(&self) -> String {
        match self {
            Self::Null => "null".into(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => format!("{value:?}"),
            Self::Date(ms) => format!(r#"{{"$date":{ms}}}"#),
            Self::Text(text) => format!("{text:?}"),
            Self::Bytes(bytes) => format!(r#"{{"$bytes":{bytes:?}}}"#),
            Self::Array(_) | Self::Map(_) => panic!("no filter names {self:?}"),
        }
    }
}

/// Names of fields.
pub const NAMES: [&str; 5] = ["a", "b", "c", "__proto__", "and so"];
/// Few values of each kind, so that they meet; some that only an exact comparison tells apart.
pub fn scalar(rng: &mut Rng) -> Value {
    const INTS: [i64; 7] = [0, 1, -1, 5, i64::MAX, i64::MIN, (1 << 53) + 1];
    const FLOATS: [f64; 8] = [
        0.0,
        0.5,
        1.0,
        -1.25,
        5.0,
        9_007_199_254_740_992.0,
        1e19,
        -1e19,
    ];
    const TEXTS: [&str; 6] = ["", "a", "ab", "b", "\u{e9}", "0"];
    match rng.below(7) {
        0 => Value::Null,
        1 => Value::Bool(rng.chance(0.5)),
        2 | 3 => Value::Int(*rng.choose(&INTS).expect("some")),
        4 => Value::Float(*rng.choose(&FLOATS).expect("some")),
        5 if rng.chance(0.3) => Value::Date(*rng.choose(&[0, 1, -1500, 1 << 40]).expect("some")),
        5 if rng.chance(0.2) => Value::Bytes(rng.bytes(1)),
        _ => Value::Text((*rng.choose(&TEXTS).expect("some")).into()),
    }
}

/// A value with parts `depth` levels deep at most.
pub fn value(rng: &mut Rng, depth: usize) -> Value {
    match rng.below(10) {
        0 | 1 if depth > 0 => {
            Value::Array((0..rng.below(4)).map(|_| value(rng, depth - 1)).collect())
        }
        2 | 3 if depth > 0 => map(rng, depth - 1),
        _ => scalar(rng),
    }
}

/// Fields, some of them, in any order.
pub fn map(rng: &mut Rng, depth: usize) -> Value {
    let mut entries = Vec::new();
    for name in NAMES {
        if rng.chance(0.6) {
            entries.push((name.to_owned(), value(rng, depth)));
        }
    }
    rng.shuffle(&mut entries);
    Value::Map(entries)
}

/// `default` rounds, or that many times `CAIRN_ROUNDS` for a long run.
pub fn rounds(default: usize) -> usize {
    let factor = std::env::var("CAIRN_ROUNDS").ok();
    default * factor.map_or(1, |text| text.parse().expect("CAIRN_ROUNDS is a number"))
}
