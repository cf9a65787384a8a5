//! What one write changed, as the body of a log frame.
//!
//! Frames hold results, not wishes: whole records put and keys removed. Replaying one needs no
//! earlier state, and replaying it twice changes nothing.
//!
//! Little-endian: `u32` puts, `u32` removals, `u32` vector fields, `u32` 1 when payloads follow;
//! the keys put, the keys removed, the vectors put as each field stores them, then the payloads.
//! A key column is `u64` bytes of text, a `u32` end for each key and the text, or a `u64` for
//! each key. Payloads are `u64` bytes, a `u32` end for each put, and the maps end to end.

use std::cell::OnceCell;

use hashbrown::HashSet;

use crate::batch::Payloads;
use crate::error::Result;
use crate::keys::{KeyState, KeyType, Keys};
use crate::payload;
use crate::schema::{Schema, VectorField, VectorKind};
use crate::vectors::VectorRows;

/// Kind of a frame that holds changes to records.
pub(crate) const KIND_CHANGES: u8 = 1;
/// Kind of a frame that holds the outcome of a keyed write, and then its changes.
pub(crate) const KIND_KEYED_CHANGES: u8 = 2;

/// Whether this version can read a frame of that kind.
pub(crate) fn is_known_kind(kind: u8) -> bool {
    matches!(kind, KIND_CHANGES | KIND_KEYED_CHANGES)
}

/// Records put and keys removed by one version.
#[derive(Clone, Debug)]
pub(crate) struct Changes {
    pub keys: Keys,
    /// For each vector field, the vectors of all puts.
    pub vectors: Vec<VectorRows>,
    /// One entry a key, or none at all.
    pub payloads: Payloads,
    pub removed: Keys,
}

/// Why a frame that passed its checksum cannot be applied.
pub(crate) type Malformed = &'static str;

impl Changes {
    /// Nothing put, nothing removed.
    pub fn none(schema: &Schema) -> Self {
        Self {
            keys: Keys::new(schema.key),
            vectors: schema.vectors.iter().map(VectorRows::none).collect(),
            payloads: Payloads::default(),
            removed: Keys::new(schema.key),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.removed.is_empty()
    }

    /// The vector of put `row` in field `field`.
    pub fn vector(&self, row: usize, field: usize) -> &[f32] {
        self.vectors[field].get(row)
    }

    /// The encoded fields of put `row`.
    pub fn payload(&self, row: usize) -> &[u8] {
        if self.payloads.ends.is_empty() {
            &[]
        } else {
            self.payloads.get(row)
        }
    }

    /// Put `row` alone, or the removal that comes that far after the puts.
    pub fn row(&self, row: usize, schema: &Schema) -> Self {
        let mut one = Self::none(schema);
        match row.checked_sub(self.keys.len()) {
            Some(removal) => one.removed.push(self.removed.get(removal)),
            None => {
                one.keys.push(self.keys.get(row));
                one.payloads.push(self.payload(row));
                for (field, column) in one.vectors.iter_mut().enumerate() {
                    column.push(self.vector(row, field));
                }
            }
        }
        one
    }

    /// The frame's body: a header of its own, then the columns, slices of them as they lie in memory
    /// where that is how they are stored.
    pub fn encode<'a>(&'a self, schema: &Schema) -> Encoded<'a> {
        let count = |len: usize| u32::try_from(len).expect("a batch has at most 100,000 rows");
        let numbers = [
            count(self.keys.len()),
            count(self.removed.len()),
            count(self.vectors.len()),
            u32::from(!self.payloads.ends.is_empty()),
        ];
        let text_len = |keys: &Keys| match keys {
            Keys::Str { bytes, .. } => (bytes.len() as u64).to_le_bytes(),
            Keys::U64(_) => [0; 8],
        };
        Encoded {
            header: numbers.map(u32::to_le_bytes).concat(),
            key_len: text_len(&self.keys),
            removed_len: text_len(&self.removed),
            payload_len: (self.payloads.bytes.len() as u64).to_le_bytes(),
            columns: schema.vectors.iter().map(EncodedColumn::of).collect(),
            changes: self,
        }
    }

    /// Reads a body back.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes are not changes to records of this schema.
    pub fn decode(bytes: &[u8], schema: &Schema) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let puts = reader.u32()?;
        let removals = reader.u32()?;
        let fields = reader.u32()?;
        let with_payloads = reader.u32()?;
        if fields != schema.vectors.len() || with_payloads > 1 {
            return Err("a frame of another schema");
        }
        let keys = reader.keys(schema.key, puts)?;
        let removed = reader.keys(schema.key, removals)?;
        if has_repeats(&keys, &removed) {
            return Err("a key that stands twice");
        }
        let mut vectors = Vec::with_capacity(fields);
        for field in &schema.vectors {
            vectors.push(reader.vectors(field, puts)?);
        }
        let mut payloads = Payloads::default();
        if with_payloads == 1 {
            let length = reader.u64()?;
            payloads.ends = reader.numbers::<u32>(puts)?;
            payloads.bytes = reader.take(length)?.to_vec();
            let ends = &payloads.ends;
            if !ends.is_sorted() || ends.last().map_or(0, |&end| end as usize) != length {
                return Err("payload ends that do not fit");
            }
            for row in 0..puts {
                payload::validate(payloads.get(row)).map_err(|_| "fields that are not a map")?;
            }
        }
        if !reader.bytes.is_empty() {
            return Err("bytes after the last column");
        }
        Ok(Self {
            keys,
            vectors,
            payloads,
            removed,
        })
    }
}

/// Whether a key stands twice among both columns.
fn has_repeats(keys: &Keys, removed: &Keys) -> bool {
    let rows = keys.len() + removed.len();
    let mut seen = HashSet::with_capacity_and_hasher(rows, KeyState::default());
    !keys
        .iter()
        .chain(removed.iter())
        .all(|key| seen.insert(key))
}

/// A body in parts, borrowed from the changes it encodes.
pub(crate) struct Encoded<'a> {
    header: Vec<u8>,
    key_len: [u8; 8],
    removed_len: [u8; 8],
    payload_len: [u8; 8],
    columns: Vec<EncodedColumn>,
    changes: &'a Changes,
}

/// How the vectors of a field are stored, and their bytes once they are asked for.
struct EncodedColumn {
    kind: VectorKind,
    bytes: OnceCell<Vec<u8>>,
}

impl EncodedColumn {
    fn of(field: &VectorField) -> Self {
        Self {
            kind: field.kind,
            bytes: OnceCell::new(),
        }
    }

    fn bytes<'a>(&'a self, values: &'a [f32]) -> &'a [u8] {
        if self.kind.is_stored_as_given() {
            return bytemuck::cast_slice(values);
        }
        self.bytes.get_or_init(|| {
            let mut bytes = Vec::with_capacity(values.len() * self.kind.value_bytes());
            self.kind.encode(values, &mut bytes);
            bytes
        })
    }
}

impl Encoded<'_> {
    /// The parts in order.
    pub fn parts(&self) -> Vec<&[u8]> {
        let mut parts = self.keys();
        for (column, values) in self.columns.iter().zip(&self.changes.vectors) {
            parts.push(column.bytes(values.values()));
        }
        parts.extend(self.payloads());
        parts
    }

    /// Header and keys.
    fn keys(&self) -> Vec<&[u8]> {
        let mut parts: Vec<&[u8]> = vec![&self.header];
        push_keys(&mut parts, &self.changes.keys, &self.key_len);
        push_keys(&mut parts, &self.changes.removed, &self.removed_len);
        parts
    }

    fn payloads(&self) -> Vec<&[u8]> {
        let mut parts: Vec<&[u8]> = Vec::new();
        if !self.changes.payloads.ends.is_empty() {
            parts.push(&self.payload_len);
            parts.push(bytemuck::cast_slice(&self.changes.payloads.ends));
            parts.push(&self.changes.payloads.bytes);
        }
        parts
    }

    /// Bytes of all parts.
    pub fn len(&self) -> u64 {
        let others = self.keys().into_iter().chain(self.payloads());
        let others: usize = others.map(<[u8]>::len).sum();
        let columns = self.columns.iter().zip(&self.changes.vectors);
        let columns = columns.map(|(column, rows)| rows.values().len() * column.kind.value_bytes());
        (others + columns.sum::<usize>()) as u64
    }
}

fn push_keys<'a>(parts: &mut Vec<&'a [u8]>, keys: &'a Keys, length: &'a [u8]) {
    match keys {
        Keys::Str { bytes, ends } => {
            parts.push(length);
            parts.push(bytemuck::cast_slice(ends));
            parts.push(bytes.as_bytes());
        }
        Keys::U64(numbers) => parts.push(bytemuck::cast_slice(numbers)),
    }
}

/// Takes numbers and bytes from the front of others.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What was not taken.
    pub fn rest(self) -> &'a [u8] {
        self.bytes
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(count)
            .ok_or("a frame that ends early")?;
        self.bytes = rest;
        Ok(taken)
    }

    pub fn u32(&mut self) -> Result<usize, Malformed> {
        let bytes = self.take(4)?.try_into().expect("four bytes were taken");
        Ok(u32::from_le_bytes(bytes) as usize)
    }

    pub fn long(&mut self) -> Result<u64, Malformed> {
        let bytes = self.take(8)?.try_into().expect("eight bytes were taken");
        Ok(u64::from_le_bytes(bytes))
    }

    fn u64(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.long()?).map_err(|_| "a length out of range")
    }

    fn numbers<T: bytemuck::Pod>(&mut self, count: usize) -> Result<Vec<T>, Malformed> {
        let length = count
            .checked_mul(size_of::<T>())
            .ok_or("a length out of range")?;
        let bytes = self.take(length)?;
        let mut numbers = vec![T::zeroed(); count];
        bytemuck::cast_slice_mut(&mut numbers).copy_from_slice(bytes);
        Ok(numbers)
    }

    fn vectors(&mut self, field: &VectorField, rows: usize) -> Result<VectorRows, Malformed> {
        if field.kind.varies() {
            return self.varying(field, rows);
        }
        let bytes = rows.checked_mul(field.row_bytes());
        let bytes = self.take(bytes.ok_or("a frame with too many rows")?)?;
        let mut values = vec![0.0; rows * field.width()];
        field.kind.decode(bytes, &mut values);
        VectorRows::of(field, values).ok_or("vectors of another length")
    }

    /// Vectors that say themselves how long they are.
    fn varying(&mut self, field: &VectorField, rows: usize) -> Result<VectorRows, Malformed> {
        let mut all = VectorRows::none(field);
        let mut vector = Vec::new();
        for _ in 0..rows {
            let (whole, _) = self.bytes.as_chunks::<4>();
            let first = whole.first().map(|bytes| f32::from_le_bytes(*bytes));
            let first = first.ok_or("a frame that ends early")?;
            let bytes = field.length_after(first).and_then(|it| it.checked_mul(4));
            let bytes = self.take(bytes.ok_or("a length out of range")?)?;
            vector.clear();
            vector.resize(bytes.len() / 4, 0.0);
            field.kind.decode(bytes, &mut vector);
            let checked = field.check_varying(&vector);
            checked.map_err(|_| "a vector that no field has")?;
            all.push(&vector);
        }
        Ok(all)
    }

    fn keys(&mut self, key_type: KeyType, count: usize) -> Result<Keys, Malformed> {
        match key_type {
            KeyType::U64 => Ok(Keys::U64(self.numbers(count)?)),
            KeyType::String => {
                let length = self.u64()?;
                let ends = self.numbers::<u32>(count)?;
                let text = self.take(length)?.to_vec();
                Keys::from_utf8(text, ends).map_err(|_| "keys that are not strings")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Key;
    use crate::schema::{Extra, IndexKind, MetricName, Quantize};

    fn schema(key: KeyType, kind: VectorKind) -> Schema {
        Schema {
            key,
            vectors: vec![VectorField {
                name: "v".into(),
                dim: 2,
                metric: MetricName::L2,
                index: IndexKind::Flat,
                kind,
                quantize: Quantize::None,
            }],
            fields: Vec::new(),
            extra: Extra::Allow,
            expires_at: None,
        }
    }

    fn changes(key_type: KeyType) -> Changes {
        let mut changes = Changes::none(&schema(key_type, VectorKind::F32));
        for number in 0..3 {
            let text = format!("key-{number}");
            let key = match key_type {
                KeyType::U64 => Key::U64(number),
                KeyType::String => Key::Str(&text),
            };
            if number < 2 {
                changes.keys.push(key);
            } else {
                changes.removed.push(key);
            }
        }
        changes.payloads.push(&[0x81, 0xa1, b'a', 1]);
        changes.payloads.push(&[]);
        changes.vectors[0].push(&[1.0, 2.0]);
        changes.vectors[0].push(&[-0.0, 4.0]);
        changes
    }

    #[test]
    fn a_body_reads_back_as_written_and_no_truncation_does() {
        for key in [KeyType::String, KeyType::U64] {
            for kind in [VectorKind::F32, VectorKind::F16, VectorKind::I8] {
                let (schema, changes) = (schema(key, kind), changes(key));
                let encoded = changes.encode(&schema);
                let body = encoded.parts().concat();
                assert_eq!(encoded.len(), body.len() as u64);
                let read = Changes::decode(&body, &schema).unwrap();
                assert_eq!(read.encode(&schema).parts().concat(), body);
                assert_eq!(read.vectors, changes.vectors);
                for cut in 0..body.len() {
                    assert!(Changes::decode(&body[..cut], &schema).is_err(), "cut={cut}");
                }
            }
        }
    }

    #[test]
    fn no_byte_pattern_panics() {
        let schema = schema(KeyType::String, VectorKind::F16);
        let body = changes(KeyType::String).encode(&schema).parts().concat();
        for at in 0..body.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut body = body.clone();
                body[at] = value;
                let _ = Changes::decode(&body, &schema);
            }
        }
    }
}
