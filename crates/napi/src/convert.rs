//! Plain data of JavaScript to the engine's types and back.

use std::sync::Arc;

use cairn_engine::{
    Alteration, Code, Compaction, Compression, Condition, DeclaredField, Durability, Effort, Error,
    Extra, Filter, HnswSettings, IndexKind, KeyBuf, KeyType, Keys, Language, MetricName, Otherwise,
    Payloads, Quantize, Result, Schema, Select, SelectFields, Stop, TextSettings, VectorColumn,
    VectorField, VectorKind, WriteBatch, WriteKind, WriteOptions,
};
use napi::bindgen_prelude::{BigInt, Either};
use napi_derive::napi;

/// Structure of a collection.
#[napi(object)]
pub struct BindingSchema {
    /// `string` or `u64`.
    pub key: String,
    /// Vector fields in order.
    pub vectors: Vec<BindingVectorField>,
    /// Declared fields in order.
    pub fields: Vec<BindingField>,
    /// Whether undeclared fields are refused.
    pub reject_extra: bool,
    /// The field whose date ends a record, if any.
    pub expires_at: Option<String>,
    /// Fields whose index was dropped; only of what is stored, and absent where there are none.
    pub unindexed: Option<Vec<String>>,
}

/// What is to change in a collection.
#[napi(object)]
pub struct BindingAlteration {
    /// Fields to declare.
    pub add_fields: Vec<BindingField>,
    /// Fields that get other names.
    pub rename_fields: Vec<BindingFieldName>,
    /// Fields that get their index back.
    pub create_indexes: Vec<String>,
    /// Fields that lose their index.
    pub drop_indexes: Vec<String>,
}

/// The name of a field, and the one it gets.
#[napi(object)]
pub struct BindingFieldName {
    /// That it has.
    pub from: String,
    /// That it gets.
    pub to: String,
}

impl BindingSchema {
    /// With the fields whose index was dropped.
    pub fn without_indexes(self, unindexed: Vec<String>) -> Self {
        Self {
            unindexed: (!unindexed.is_empty()).then_some(unindexed),
            ..self
        }
    }
}

/// The engine's change. It is checked by the engine.
pub fn to_alteration(change: BindingAlteration) -> Result<Alteration> {
    let fields = change.add_fields.into_iter().map(declared_field);
    let renames = change.rename_fields.into_iter();
    Ok(Alteration {
        add_fields: fields.collect::<Result<_>>()?,
        rename_fields: renames.map(|it| (it.from, it.to)).collect(),
        create_indexes: change.create_indexes,
        drop_indexes: change.drop_indexes,
    })
}

/// One vector field.
#[napi(object)]
pub struct BindingVectorField {
    /// Its name.
    pub name: String,
    /// Components; bits of a binary field.
    pub dim: u32,
    /// `cosine`, `l2`, `dot`, `l1` or `hamming`.
    pub metric: String,
    /// `f32`, `f16`, `i8`, `binary`, `sparse` or `multi`. Vectors cross over as floats: of a binary field a byte
    /// each, of a sparse one as the engine's `sparse_vector` makes them, of several as its `multi_vector` does.
    #[napi(js_name = "type")]
    pub kind: String,
    /// `auto`, `flat`, `hnsw` or `qg`.
    pub index: String,
    /// Settings of `hnsw`; absent ones follow from `m`.
    pub hnsw: Option<BindingHnsw>,
    /// What searches compare in the place of vectors; absent for the vectors.
    pub quantize: Option<BindingQuantize>,
}

/// How vectors become codes.
#[napi(object)]
pub struct BindingQuantize {
    /// `sq8`, `sq4`, `pq` or `rabitq`.
    pub kind: String,
    /// Of `pq`: parts of a vector.
    pub subspaces: Option<u32>,
    /// Of `pq` and `rabitq`.
    pub bits: Option<u32>,
}

/// HNSW settings.
#[napi(object)]
pub struct BindingHnsw {
    /// Links a node gets per upper layer.
    pub m: Option<u32>,
    /// Most links on layer 0.
    pub m0: Option<u32>,
    /// Most links on an upper layer.
    pub m_max: Option<u32>,
    /// Candidate list while building.
    pub ef_construction: Option<u32>,
    /// Factor of the level law.
    pub level_mult: Option<f64>,
}

/// One declared field.
#[napi(object)]
pub struct BindingField {
    /// Its name.
    pub name: String,
    /// Its type as the schema spells it.
    pub kind: String,
    /// Of a text field: whose stems and stop words; none when absent.
    pub language: Option<String>,
    /// Of a text field: what its scores are multiplied by; 1 when absent.
    pub weight: Option<f64>,
}

/// Keys of JavaScript: strings in UTF-8 end to end, or numbers.
pub type KeyColumn<'a> = Either<&'a [u8], &'a [u64]>;

/// A write, borrowed from JavaScript for the length of one call.
pub struct BatchParts<'a> {
    /// `add`, `upsert`, `delete`, or `update` with `replace` and `skip` behind it.
    pub kind: &'a str,
    /// Keys.
    pub keys: KeyColumn<'a>,
    /// Where each string key ends; empty for numbers.
    pub key_ends: &'a [u32],
    /// A matrix for each vector field, where given.
    pub vectors: Vec<Option<&'a [f32]>>,
    /// For each vector field, which rows have one; all when absent.
    pub present: Vec<Option<&'a [u8]>>,
    /// Fields of all rows end to end.
    pub payload: Option<&'a [u8]>,
    /// Where the fields of each row end.
    pub payload_ends: Option<&'a [u32]>,
}

/// A number that is a count of bytes. The cast saturates, and that is what a limit wants.
pub fn to_size(number: f64) -> usize {
    number as usize
}

/// A durability by its public name.
pub fn durability(name: &str) -> Result<Durability> {
    match name {
        "memory" => Ok(Durability::Memory),
        "os" => Ok(Durability::Os),
        "sync" => Ok(Durability::Sync),
        other => Err(unknown("durability", other)),
    }
}

/// The engine's policy of compaction.
pub fn compaction(name: &str) -> Result<Compaction> {
    match name {
        "size-tiered" => Ok(Compaction::SizeTiered),
        "leveled" => Ok(Compaction::Leveled),
        "none" => Ok(Compaction::None),
        other => Err(unknown("compaction", other)),
    }
}

/// The engine's word.
pub fn compression(name: &str) -> Result<Compression> {
    match name {
        "lz4" => Ok(Compression::Lz4),
        "none" => Ok(Compression::None),
        other => Err(unknown("compression", other)),
    }
}

/// The engine's schema. It is validated by the engine.
pub fn to_engine_schema(schema: BindingSchema) -> Result<Schema> {
    let key = match schema.key.as_str() {
        "string" => KeyType::String,
        "u64" => KeyType::U64,
        other => return Err(unknown("key type", other)),
    };
    let vectors = schema.vectors.into_iter().map(vector_field);
    let fields = schema.fields.into_iter().map(declared_field);
    Ok(Schema {
        key,
        vectors: vectors.collect::<Result<_>>()?,
        fields: fields.collect::<Result<_>>()?,
        extra: if schema.reject_extra {
            Extra::Reject
        } else {
            Extra::Allow
        },
        expires_at: schema.expires_at,
    })
}

fn declared_field(field: BindingField) -> Result<DeclaredField> {
    let mut text = TextSettings::default();
    if let Some(name) = &field.language {
        text.language = Language::of_name(name)
            .ok_or_else(|| unknown("language", name).text("field", field.name.clone()))?;
    }
    text.weight = field.weight.unwrap_or(text.weight);
    Ok(DeclaredField {
        name: field.name,
        kind: field.kind,
        text,
    })
}

fn vector_field(field: BindingVectorField) -> Result<VectorField> {
    let metric = match field.metric.as_str() {
        "cosine" => MetricName::Cosine,
        "l2" => MetricName::L2,
        "dot" => MetricName::Dot,
        "l1" => MetricName::L1,
        "hamming" => MetricName::Hamming,
        other => return Err(unknown("metric", other).text("field", field.name)),
    };
    let index = match field.index.as_str() {
        "auto" => IndexKind::Auto,
        "flat" => IndexKind::Flat,
        "hnsw" => IndexKind::Hnsw(hnsw(field.hnsw)),
        "qg" => IndexKind::Qg,
        "ivf" => IndexKind::Ivf,
        other => return Err(unknown("index", other).text("field", field.name)),
    };
    let kind = match field.kind.as_str() {
        "f32" => VectorKind::F32,
        "f16" => VectorKind::F16,
        "i8" => VectorKind::I8,
        "binary" => VectorKind::Binary,
        "sparse" => VectorKind::Sparse,
        "multi" => VectorKind::Multi,
        other => return Err(unknown("type of vectors", other).text("field", field.name)),
    };
    Ok(VectorField {
        name: field.name,
        dim: field.dim,
        metric,
        index,
        kind,
        quantize: field.quantize.map_or(Ok(Quantize::None), quantize)?,
    })
}

fn quantize(given: BindingQuantize) -> Result<Quantize> {
    let bits = u8::try_from(given.bits.unwrap_or_default()).unwrap_or(u8::MAX);
    Ok(match given.kind.as_str() {
        "sq8" => Quantize::Sq8,
        "sq4" => Quantize::Sq4,
        "pq" => Quantize::Pq {
            subspaces: given.subspaces.unwrap_or_default(),
            bits,
        },
        "rabitq" => Quantize::Rabitq { bits },
        other => return Err(unknown("quantiser", other)),
    })
}

impl BindingQuantize {
    fn of(quantize: Quantize) -> Option<Self> {
        let (kind, subspaces, bits) = match quantize {
            Quantize::None => return None,
            Quantize::Sq8 => ("sq8", None, None),
            Quantize::Sq4 => ("sq4", None, None),
            Quantize::Pq { subspaces, bits } => ("pq", Some(subspaces), Some(bits.into())),
            Quantize::Rabitq { bits } => ("rabitq", None, Some(bits.into())),
        };
        Some(Self {
            kind: kind.to_owned(),
            subspaces,
            bits,
        })
    }
}

fn hnsw(given: Option<BindingHnsw>) -> HnswSettings {
    let Some(given) = given else {
        return HnswSettings::for_m(16);
    };
    let by_rule = HnswSettings::for_m(given.m.unwrap_or(16));
    HnswSettings {
        m: by_rule.m,
        m0: given.m0.unwrap_or(by_rule.m0),
        m_max: given.m_max.unwrap_or(by_rule.m_max),
        ef_construction: given.ef_construction.unwrap_or(by_rule.ef_construction),
        level_mult: given.level_mult.unwrap_or(by_rule.level_mult),
    }
}

fn unknown(what: &str, got: &str) -> Error {
    Error::new(Code::InvalidArgument, format!("unknown {what}")).text("got", got)
}

impl From<&Schema> for BindingSchema {
    fn from(schema: &Schema) -> Self {
        let vectors = schema.vectors.iter().map(|field| {
            let (index, hnsw) = match &field.index {
                IndexKind::Auto => ("auto", None),
                IndexKind::Flat => ("flat", None),
                IndexKind::Hnsw(settings) => ("hnsw", Some(BindingHnsw::from(settings))),
                IndexKind::Qg => ("qg", None),
                IndexKind::Ivf => ("ivf", None),
            };
            BindingVectorField {
                name: field.name.clone(),
                dim: field.dim,
                metric: metric_name(field.metric).to_owned(),
                kind: kind_name(field.kind).to_owned(),
                index: index.to_owned(),
                hnsw,
                quantize: BindingQuantize::of(field.quantize),
            }
        });
        let fields = schema.fields.iter().map(|field| BindingField {
            name: field.name.clone(),
            kind: field.kind.clone(),
            language: (field.text != TextSettings::default())
                .then(|| field.text.language.name().to_owned()),
            weight: (field.text != TextSettings::default()).then_some(field.text.weight),
        });
        Self {
            key: match schema.key {
                KeyType::String => String::from("string"),
                KeyType::U64 => String::from("u64"),
            },
            vectors: vectors.collect(),
            fields: fields.collect(),
            reject_extra: schema.extra == Extra::Reject,
            expires_at: schema.expires_at.clone(),
            unindexed: None,
        }
    }
}

impl From<&HnswSettings> for BindingHnsw {
    fn from(settings: &HnswSettings) -> Self {
        Self {
            m: Some(settings.m),
            m0: Some(settings.m0),
            m_max: Some(settings.m_max),
            ef_construction: Some(settings.ef_construction),
            level_mult: Some(settings.level_mult),
        }
    }
}

fn metric_name(metric: MetricName) -> &'static str {
    match metric {
        MetricName::Cosine => "cosine",
        MetricName::L2 => "l2",
        MetricName::Dot => "dot",
        MetricName::L1 => "l1",
        MetricName::Hamming => "hamming",
    }
}

fn kind_name(kind: VectorKind) -> &'static str {
    match kind {
        VectorKind::F32 => "f32",
        VectorKind::F16 => "f16",
        VectorKind::I8 => "i8",
        VectorKind::Binary => "binary",
        VectorKind::Sparse => "sparse",
        VectorKind::Multi => "multi",
    }
}

/// A column of keys, copied.
pub fn to_keys(keys: &KeyColumn<'_>, ends: &[u32]) -> Result<Keys> {
    match keys {
        Either::A(bytes) => Keys::from_utf8(bytes.to_vec(), ends.to_vec()),
        Either::B(numbers) => Ok(Keys::U64(numbers.to_vec())),
    }
}

/// A batch, copied.
pub fn to_batch(parts: &BatchParts<'_>) -> Result<WriteBatch> {
    let kind = match parts.kind {
        "add" => WriteKind::Add,
        "upsert" => WriteKind::Upsert,
        "delete" => WriteKind::Delete,
        update => WriteKind::Update {
            replace_fields: update.contains("replace"),
            skip_missing: update.contains("skip"),
        },
    };
    let present = |field: usize| parts.present.get(field).copied().flatten();
    let column = |(field, data): (usize, &Option<&[f32]>)| {
        data.map(|data| VectorColumn {
            data: data.to_vec(),
            present: present(field).map(|rows| rows.iter().map(|row| *row != 0).collect()),
        })
    };
    let payloads = parts.payload.zip(parts.payload_ends);
    Ok(WriteBatch {
        kind,
        keys: to_keys(&parts.keys, parts.key_ends)?,
        vectors: parts.vectors.iter().enumerate().map(column).collect(),
        payloads: payloads.map(|(bytes, ends)| Payloads {
            bytes: bytes.to_vec(),
            ends: ends.to_vec(),
        }),
    })
}

/// Conditions and wishes of a write, as they cross over.
pub struct Wishes {
    /// The version that every key must have.
    pub if_version: Option<BigInt>,
    /// A filter in JSON that must hold for the record of every key.
    pub if_filter: Option<String>,
    /// Under which the write happens once.
    pub idempotency_key: Option<String>,
    /// `memory`, `os` or `sync`.
    pub durability: Option<String>,
    /// By whose names: changes of the structure that the caller knows.
    pub changes: u32,
}

impl Wishes {
    /// The engine's options of a write.
    pub fn options(self, stop: Stop) -> Result<WriteOptions> {
        let filter = self.if_filter.as_deref().map(to_filter).transpose()?;
        let condition = filter.map(|filter| Condition {
            filter: Arc::new(filter),
            holds_at: 0,
            otherwise: Otherwise::Fail,
        });
        Ok(WriteOptions {
            if_version: self.if_version.map(|version| version.get_u64().1),
            conditions: Vec::from_iter(condition),
            durability: self.durability.as_deref().map(durability).transpose()?,
            idempotency_key: self.idempotency_key,
            changes: Some(self.changes),
            stop,
        })
    }
}

/// A filter as it crosses over.
pub fn to_filter(json: &str) -> Result<Filter> {
    Ok(Filter::parse(json.as_bytes())?)
}

/// The numbers of a query, at fixed places of one array so that a call converts one argument
/// instead of nine. `ts/search.ts` has the same table.
#[derive(Clone, Debug)]
pub struct QueryNumbers {
    /// 0: position of the vector field.
    pub field: usize,
    /// 1: results wanted.
    pub k: usize,
    /// 2 and 3: how hard to look (0 recall, 1 candidate list, 2 exact) and its value.
    pub effort: Effort,
    /// 4: NaN for none.
    pub max_distance: Option<f32>,
    /// 5: NaN for none.
    pub min_score: Option<f32>,
    /// 6 and 7: fields (0 none, 1 all, 2 some) and whether vectors come along.
    pub select: Select,
    /// 8: milliseconds, 0 for none.
    pub deadline_ms: f64,
}

impl QueryNumbers {
    /// Reads the array.
    pub fn read(numbers: &[f64], names: Option<Vec<String>>) -> Result<Self> {
        let &[
            field,
            k,
            effort,
            value,
            max_distance,
            min_score,
            fields,
            vectors,
            deadline_ms,
        ] = numbers
        else {
            return Err(Error::new(Code::Internal, "a query is nine numbers"));
        };
        let limit = |number: f64| (!number.is_nan()).then_some(number as f32);
        Ok(Self {
            field: to_size(field),
            k: to_size(k),
            effort: match to_size(effort) {
                0 => Effort::Recall(value as f32),
                1 => Effort::EfSearch(to_size(value)),
                _ => Effort::Exact,
            },
            max_distance: limit(max_distance),
            min_score: limit(min_score),
            select: to_select(to_size(fields), names, vectors != 0.0),
            deadline_ms,
        })
    }
}

/// Which parts of a record are wanted: fields 0 none, 1 all, 2 those named.
pub fn to_select(fields: usize, names: Option<Vec<String>>, vectors: bool) -> Select {
    Select {
        fields: match fields {
            0 => SelectFields::None,
            1 => SelectFields::All,
            _ => SelectFields::Some(names.unwrap_or_default()),
        },
        vectors,
    }
}

/// One key, owned.
pub fn to_key_buf(key: Either<String, BigInt>) -> KeyBuf {
    match key {
        Either::A(text) => KeyBuf::Str(text.into()),
        Either::B(number) => KeyBuf::U64(number.get_u64().1),
    }
}
