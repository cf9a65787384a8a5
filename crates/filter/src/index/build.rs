//! Making indexes of the fields of rows, one row after the other.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::dictionary::{Dictionary, Number};
use super::{FieldIndex, Parts};
use crate::bitmap::Bitmap;
use crate::msgpack::{Cursor, Fault, Value};
use crate::scalar::Scalar;

/// Deeper than any field of a record.
const DEPTH_MAX: usize = 64;

/// Gathers the values of some fields.
pub struct IndexBuilder {
    fields: Vec<Gathered>,
    rows: u32,
    /// The fields of a row are not what they should be.
    is_broken: bool,
}

/// The values of one field.
struct Gathered {
    name: Box<str>,
    /// Distinct values, in the order in which they came.
    numbers: HashMap<Value1, u32, FixedState>,
    values: Vec<Scalar>,
    /// Value and row, in the order of rows.
    entries: Vec<(u32, u32)>,
    present: Vec<u32>,
    arrays: Vec<u32>,
    /// A value is NaN, or there is too much of them.
    is_beyond: bool,
}

/// A value to look up: floats by their bits.
#[derive(PartialEq, Eq, Hash)]
enum Value1 {
    Null,
    Bool(bool),
    Int(i128),
    Float(u64),
    Date(i64),
    Text(Box<str>),
    Bytes(Box<[u8]>),
}

impl Value1 {
    fn of(value: &Scalar<&str, &[u8]>) -> Self {
        match *value {
            Scalar::Null => Self::Null,
            Scalar::Bool(value) => Self::Bool(value),
            Scalar::Int(value) => Self::Int(value),
            Scalar::Float(value) => Self::Float(value.to_bits()),
            Scalar::Date(ms) => Self::Date(ms),
            Scalar::Text(text) => Self::Text(text.into()),
            Scalar::Bytes(bytes) => Self::Bytes(bytes.into()),
        }
    }
}

impl IndexBuilder {
    /// For the fields of these names.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let gathered = |name: &str| Gathered {
            name: name.into(),
            numbers: HashMap::default(),
            values: Vec::new(),
            entries: Vec::new(),
            present: Vec::new(),
            arrays: Vec::new(),
            is_beyond: false,
        };
        Self {
            fields: names.into_iter().map(gathered).collect(),
            rows: 0,
            is_broken: false,
        }
    }

    /// Takes the next row: its fields as one MessagePack map, empty when it has none.
    pub fn push(&mut self, fields: &[u8]) {
        let row = self.rows;
        self.rows += 1;
        if !fields.is_empty() && self.take(row, fields).is_err() {
            self.is_broken = true;
        }
    }

    fn take(&mut self, row: u32, fields: &[u8]) -> Result<(), Fault> {
        let mut cursor = Cursor::new(fields);
        let Value::Map(count) = cursor.value()? else {
            return Err(Fault::NotAMap);
        };
        for _ in 0..count {
            let name = cursor.name()?;
            match self.fields.iter_mut().find(|field| *field.name == *name) {
                Some(field) => field.take(row, &mut cursor)?,
                None => cursor.skip(DEPTH_MAX)?,
            }
        }
        Ok(())
    }

    /// The indexes, in the order of the names; `None` for a field whose values are beyond an
    /// index: a number that is none, more than 4 GiB of them, or fields that are no MessagePack.
    #[must_use]
    pub fn finish(self) -> Vec<Option<FieldIndex>> {
        let (rows, is_broken) = (self.rows, self.is_broken);
        let fields = self.fields.into_iter();
        let finished = fields.map(|field| if is_broken { None } else { field.finish(rows) });
        finished.collect()
    }
}

impl Gathered {
    fn take(&mut self, row: u32, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        self.present.push(row);
        match cursor.value()? {
            Value::Scalar(value) => self.add(row, &value),
            Value::Array(count) => {
                self.arrays.push(row);
                let first = self.entries.len();
                for _ in 0..count {
                    match cursor.value()? {
                        Value::Scalar(value) => self.add(row, &value),
                        nested => cursor.skip_rest(nested, DEPTH_MAX)?,
                    }
                }
                // The same element twice is one entry.
                let added = self.entries.split_off(first);
                let distinct: std::collections::BTreeSet<_> = added.into_iter().collect();
                self.entries.extend(distinct);
            }
            map @ Value::Map(_) => cursor.skip_rest(map, DEPTH_MAX)?,
        }
        Ok(())
    }

    fn add(&mut self, row: u32, value: &Scalar<&str, &[u8]>) {
        self.is_beyond |= matches!(value, Scalar::Float(number) if number.is_nan());
        let next = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry(Value1::of(value)).or_insert_with(|| {
            self.values.push(value.own());
            next
        });
        self.entries.push((number, row));
    }

    fn finish(self, rows: u32) -> Option<FieldIndex> {
        if self.is_beyond || u32::try_from(self.entries.len()).is_err() {
            return None;
        }
        let mut sorted: Vec<u32> = (0..).take(self.values.len()).collect();
        let value = |number: u32| &self.values[number as usize];
        sorted.sort_unstable_by(|&a, &b| value(a).borrow().order(&value(b).borrow()));
        let mut values = Dictionary::default();
        // Where each value has come to, by the number it had until now.
        let mut places = vec![0_usize; sorted.len()];
        for (place, &number) in sorted.iter().enumerate() {
            places[number as usize] = place;
            push(&mut values, value(number))?;
        }
        let mut starts = vec![0_u32; values.len() + 1];
        for &(number, _) in &self.entries {
            starts[places[number as usize] + 1] += 1;
        }
        for value in 0..values.len() {
            starts[value + 1] += starts[value];
        }
        let mut next = starts.clone();
        let mut list = vec![0; self.entries.len()];
        for (number, row) in self.entries {
            let at = &mut next[places[number as usize]];
            list[*at as usize] = row;
            *at += 1;
        }
        let bits = |members: &[u32]| {
            let mut bits = Bitmap::none(rows);
            bits.insert_all(members);
            bits
        };
        Some(FieldIndex::new(Parts {
            rows,
            values,
            starts,
            list,
            present: bits(&self.present),
            arrays: bits(&self.arrays),
        }))
    }
}

/// Appends a value above all that are there; `None` when there is no room.
fn push(values: &mut Dictionary, value: &Scalar) -> Option<()> {
    match value {
        Scalar::Null => values.has_null = true,
        Scalar::Bool(value) => values.bools.push(*value),
        Scalar::Int(value) => values.numbers.push(Number::Int(*value)),
        Scalar::Float(value) => values.numbers.push(Number::Float(*value)),
        Scalar::Date(ms) => values.dates.push(*ms),
        Scalar::Text(text) => return values.texts.push(text.as_bytes()).then_some(()),
        Scalar::Bytes(bytes) => return values.bytes.push(bytes).then_some(()),
    }
    Some(())
}
