//! Small records, and batches of them.

use std::collections::BTreeMap;

use cairn_engine::{
    Durability, Extra, IndexKind, Key, KeyBuf, KeyType, Keys, MetricName, Payloads, Quantize,
    Record, Schema, VectorColumn, VectorField, VectorKind, WriteBatch, WriteKind, WriteOptions,
    multi_vector, sparse_vector,
};
use cairn_testkit::Rng;

/// Keys of one collection: few, so that most writes replace or remove something.
pub const KEYS: u64 = 14;

/// Fields of a record.
pub type Fields = BTreeMap<String, Value>;

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Small(u8),
    Text(String),
}

/// A record as it must be found.
#[derive(Clone, Debug, PartialEq)]
pub struct Rec {
    pub version: u64,
    pub fields: Fields,
    pub vectors: Vec<Vec<f32>>,
}

/// All records of a collection.
pub type State = BTreeMap<KeyBuf, Rec>;

/// The three structures that collections take turns in.
pub fn schema(kind: usize) -> Schema {
    let field = |name: &str, dim, metric| VectorField {
        name: name.into(),
        dim,
        metric,
        index: IndexKind::Auto,
        kind: VectorKind::F32,
        quantize: Quantize::None,
    };
    let (key, vectors) = match kind % 3 {
        0 => (KeyType::String, vec![field("v", 2, MetricName::L2)]),
        1 => (KeyType::U64, vec![field("v", 3, MetricName::Cosine)]),
        _ => (
            KeyType::String,
            vec![
                VectorField {
                    kind: VectorKind::I8,
                    ..field("a", 2, MetricName::L2)
                },
                field("b", 4, MetricName::Cosine),
                VectorField {
                    kind: VectorKind::F16,
                    ..field("c", 3, MetricName::Cosine)
                },
                VectorField {
                    kind: VectorKind::Binary,
                    ..field("d", 16, MetricName::Hamming)
                },
                VectorField {
                    kind: VectorKind::Sparse,
                    ..field("e", 12, MetricName::Dot)
                },
                VectorField {
                    kind: VectorKind::Multi,
                    ..field("f", 2, MetricName::L2)
                },
            ],
        ),
    };
    Schema {
        key,
        vectors,
        fields: Vec::new(),
        extra: Extra::Allow,
        expires_at: None,
    }
}

pub fn key(key_type: KeyType, number: u64) -> KeyBuf {
    match key_type {
        KeyType::String => KeyBuf::Str(format!("key-{number:02}").into()),
        KeyType::U64 => KeyBuf::U64(number),
    }
}

/// Every key a workload may have written.
pub fn all_keys(key_type: KeyType) -> Vec<KeyBuf> {
    (0..KEYS).map(|number| key(key_type, number)).collect()
}

/// One row of a batch; what it lacks stays as it is (updates alone lack anything).
#[derive(Clone, Debug)]
pub struct Row {
    pub key: KeyBuf,
    pub fields: Option<Fields>,
    pub vectors: Vec<Option<Vec<f32>>>,
}

/// A batch to write.
#[derive(Clone, Debug)]
pub struct Planned {
    pub kind: WriteKind,
    pub rows: Vec<Row>,
    pub durability: Durability,
    pub if_version: Option<u64>,
    pub idempotency_key: Option<String>,
}

impl Planned {
    /// A random batch of up to `rows_max` rows; `live` is what is there now.
    pub fn random(
        rng: &mut Rng,
        schema: &Schema,
        live: &State,
        durability: Durability,
        rows_max: usize,
    ) -> Self {
        let kind = match rng.below(12) {
            0 | 1 => WriteKind::Delete,
            2..=4 => WriteKind::Update {
                replace_fields: rng.chance(0.3),
                skip_missing: rng.chance(0.8),
            },
            5 => WriteKind::Add,
            _ => WriteKind::Upsert,
        };
        let updates = matches!(kind, WriteKind::Update { .. });
        let rows: Vec<Row> = (0..rng.range(1..rows_max + 1))
            .map(|_| Row {
                key: key(schema.key, rng.below(KEYS)),
                fields: rng.chance(0.8).then(|| random_fields(rng)),
                vectors: schema
                    .vectors
                    .iter()
                    .map(|field| {
                        let given = !updates || rng.chance(0.6);
                        given.then(|| random_vector(rng, field))
                    })
                    .collect(),
            })
            .collect();
        let if_version = (rows.len() == 1 && rng.chance(0.15)).then(|| {
            let stored = live.get(&rows[0].key).map_or(0, |rec| rec.version);
            if rng.chance(0.7) { stored } else { stored + 1 }
        });
        Self {
            kind,
            rows,
            durability,
            if_version,
            idempotency_key: None,
        }
    }

    /// Whole records under these keys.
    pub fn upsert(rng: &mut Rng, schema: &Schema, keys: &[u64], durability: Durability) -> Self {
        let rows = keys
            .iter()
            .map(|&number| Row {
                key: key(schema.key, number),
                fields: Some(random_fields(rng)),
                vectors: schema
                    .vectors
                    .iter()
                    .map(|field| Some(random_vector(rng, field)))
                    .collect(),
            })
            .collect();
        Self {
            kind: WriteKind::Upsert,
            rows,
            durability,
            if_version: None,
            idempotency_key: None,
        }
    }

    /// The removal of these keys.
    pub fn delete(schema: &Schema, keys: &[u64], durability: Durability) -> Self {
        let row = |&number: &u64| Row {
            key: key(schema.key, number),
            fields: None,
            vectors: Vec::new(),
        };
        Self {
            kind: WriteKind::Delete,
            rows: keys.iter().map(row).collect(),
            durability,
            if_version: None,
            idempotency_key: None,
        }
    }

    /// The batch as the engine takes it.
    pub fn batch(&self, schema: &Schema) -> WriteBatch {
        let mut keys = Keys::new(schema.key);
        for row in &self.rows {
            keys.push(row.key.as_key());
        }
        if self.kind == WriteKind::Delete {
            return WriteBatch {
                kind: self.kind,
                keys,
                vectors: Vec::new(),
                payloads: None,
            };
        }
        let column = |field: usize| {
            let given = self.rows.iter().map(|row| row.vectors[field].as_ref());
            let present: Vec<bool> = given.clone().map(|vector| vector.is_some()).collect();
            VectorColumn {
                data: given.flatten().flatten().copied().collect(),
                present: present.contains(&false).then_some(present),
            }
        };
        let payloads = self.rows.iter().any(|row| row.fields.is_some()).then(|| {
            let mut payloads = Payloads::default();
            for row in &self.rows {
                payloads.push(&row.fields.as_ref().map_or(Vec::new(), encode));
            }
            payloads
        });
        WriteBatch {
            kind: self.kind,
            keys,
            vectors: (0..schema.vectors.len()).map(|f| Some(column(f))).collect(),
            payloads,
        }
    }

    pub fn options(&self) -> WriteOptions {
        WriteOptions {
            if_version: self.if_version,
            idempotency_key: self.idempotency_key.clone(),
            durability: Some(self.durability),
            ..WriteOptions::default()
        }
    }
}

fn random_vector(rng: &mut Rng, field: &VectorField) -> Vec<f32> {
    if field.kind == VectorKind::Sparse {
        // All have one index, so that each is found by any other.
        let mut indices: Vec<u32> = (1..field.dim).filter(|_| rng.chance(0.3)).collect();
        indices.insert(0, 0);
        let values: Vec<f32> = indices.iter().map(|_| rng.unit() as f32 + 0.01).collect();
        return sparse_vector(&indices, &values);
    }
    // Never zero, which cosine refuses; and what the field stores exactly.
    let value = |rng: &mut Rng| match field.kind {
        VectorKind::F32 | VectorKind::Multi => rng.unit() as f32 + 0.01,
        _ => 1.0 + rng.below(127) as f32,
    };
    let mut vector = || (0..field.width()).map(|_| value(rng)).collect::<Vec<_>>();
    if field.kind != VectorKind::Multi {
        return vector();
    }
    let mut several = vector();
    several.extend((0..several[0].to_bits() % 3).flat_map(|_| vector()));
    multi_vector(&several, field.width())
}

fn random_fields(rng: &mut Rng) -> Fields {
    let mut fields = Fields::new();
    for name in ["a", "b", "c"] {
        if rng.chance(0.5) {
            let value = u8::try_from(rng.below(128)).expect("below 128");
            fields.insert(name.into(), Value::Small(value));
        }
    }
    if rng.chance(0.3) {
        // Long enough for a frame to lie in several sectors.
        let text = "cairn ".repeat(rng.range(1..40));
        fields.insert("text".into(), Value::Text(text));
    }
    fields
}

/// The fields as a MessagePack map.
pub fn encode(fields: &Fields) -> Vec<u8> {
    let small = |length: usize| u8::try_from(length).expect("short");
    let mut out = vec![0x80 | small(fields.len())];
    for (name, value) in fields {
        out.push(0xa0 | small(name.len()));
        out.extend_from_slice(name.as_bytes());
        match value {
            Value::Small(number) => out.push(*number),
            Value::Text(text) => {
                out.extend([0xd9, small(text.len())]);
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
    out
}

/// What [`encode`] wrote, in any order of its members.
pub fn decode(bytes: &[u8]) -> Fields {
    let mut fields = Fields::new();
    let Some((&head, mut rest)) = bytes.split_first() else {
        return fields;
    };
    assert_eq!(head & 0xf0, 0x80, "a small map");
    let mut take = |count: usize| {
        let (taken, after) = rest.split_at(count);
        rest = after;
        taken
    };
    for _ in 0..head & 0x0f {
        let length = take(1)[0] & 0x1f;
        let name = String::from_utf8(take(length.into()).to_vec()).expect("a name");
        let value = match take(1)[0] {
            0xd9 => {
                let length = take(1)[0];
                Value::Text(String::from_utf8(take(length.into()).to_vec()).expect("a text"))
            }
            number => Value::Small(number),
        };
        assert!(
            fields.insert(name, value).is_none(),
            "a field stands once in a record"
        );
    }
    assert!(rest.is_empty(), "nothing behind the map");
    fields
}

/// A record that was read, with its fields and vectors.
pub fn rec(record: Record) -> (KeyBuf, Rec) {
    let rec = Rec {
        version: record.version,
        fields: decode(&record.fields),
        vectors: record.vectors.expect("vectors were asked for"),
    };
    (record.key, rec)
}

/// One column of these keys.
pub fn column<'a>(key_type: KeyType, keys: impl IntoIterator<Item = &'a KeyBuf>) -> Keys {
    let mut column = Keys::new(key_type);
    for key in keys {
        let key: Key<'_> = key.as_key();
        column.push(key);
    }
    column
}
