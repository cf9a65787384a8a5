//! Fields of a record as a tree, and as MessagePack through another encoder than the engine's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A value of a field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    Nil(()),
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
}

/// Fields by name.
pub type Fields = BTreeMap<String, Value>;

pub fn encode(fields: &Fields) -> Vec<u8> {
    rmp_serde::to_vec_named(fields).expect("plain data")
}

/// No bytes at all are no fields.
pub fn decode(bytes: &[u8]) -> Fields {
    if bytes.is_empty() {
        return Fields::new();
    }
    rmp_serde::from_slice(bytes).expect("fields come back well-formed")
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}
