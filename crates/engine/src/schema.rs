//! What a collection holds: its key type, vector fields and declared fields.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use cairn_distance::Metric;
use cairn_index::{HnswConfig, Quantisation, ivf, qg};
use cairn_text::{Language, WEIGHT_MAX};

use crate::error::{Code, Error, Result};
use crate::keys::KeyType;
use crate::limits::{DIM_MAX, NAME_CHARS_MAX, SCHEMA_FIELDS_MAX};
use crate::vectors::GraphConfig;

/// Structure of a collection. Stored with it; a different one is refused at open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// Type of the keys.
    pub key: KeyType,
    /// Vector fields, in the order given.
    pub vectors: Vec<VectorField>,
    /// Declared fields, in the order given.
    pub fields: Vec<DeclaredField>,
    /// Whether records may have fields that are not declared.
    pub extra: Extra,
    /// The field, declared as a `date`, from whose instant on a record is hidden, and then removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// One vector field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VectorField {
    /// Its name.
    pub name: String,
    /// Components, 1 to 65,536; of a binary field bits, a multiple of eight. Of a sparse one indexes are below it.
    pub dim: u32,
    /// How distance is measured.
    pub metric: MetricName,
    /// How it is indexed.
    pub index: IndexKind,
    /// What a vector is made of, and so how it is stored.
    #[serde(
        rename = "type",
        default,
        skip_serializing_if = "VectorKind::is_default"
    )]
    pub kind: VectorKind,
    /// What searches compare in the place of vectors.
    #[serde(default, skip_serializing_if = "Quantize::is_none")]
    pub quantize: Quantize,
}

/// What searches of a segment compare in the place of its vectors, before the best are measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Quantize {
    /// The vectors.
    #[default]
    None,
    /// Codes of 8 bits a component.
    Sq8,
    /// Codes of 4 bits a component.
    Sq4,
    /// Product quantisation.
    Pq {
        /// Parts of a vector, at most as many as it has components.
        subspaces: u32,
        /// Bits of each: 8 or 4.
        bits: u8,
    },
    /// RaBitQ codes.
    Rabitq {
        /// Bits a component, 1 to 8.
        bits: u8,
    },
}

impl Quantize {
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// How codes are made, or `None` where there are none.
    pub(crate) fn quantisation(self) -> Option<Quantisation> {
        Some(match self {
            Self::None => return None,
            Self::Sq8 => Quantisation::Sq8,
            Self::Sq4 => Quantisation::Sq4,
            Self::Pq { subspaces, bits } => Quantisation::Pq {
                subspaces: subspaces as usize,
                bits,
            },
            Self::Rabitq { bits } => Quantisation::Rabitq { bits },
        })
    }
}

/// What the vectors of a field are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VectorKind {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats of IEEE 754: what is given is rounded to the nearest, ties to even.
    F16,
    /// Whole numbers from -128 to 127.
    I8,
    /// Bits, eight a byte. As a vector of the engine: a value from 0 to 255 for each byte.
    Binary,
    /// 32-bit floats of which only some are there; see [`sparse_vector`](crate::sparse_vector).
    Sparse,
    /// One or more vectors of 32-bit floats a record; see [`multi_vector`](crate::multi_vector).
    Multi,
}

impl VectorKind {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether its vectors are of different lengths.
    pub(crate) fn varies(self) -> bool {
        matches!(self, Self::Sparse | Self::Multi)
    }
}

/// A metric by its public name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricName {
    /// 1 - cos.
    Cosine,
    /// Squared Euclidean.
    L2,
    /// Minus the inner product.
    Dot,
    /// Sum of absolute differences.
    L1,
    /// Bits that differ; of binary fields, and their only one.
    Hamming,
}

/// How a vector field is indexed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum IndexKind {
    /// Chosen by size, kind and memory: flat while small, above that a quantised graph where there can be one and
    /// memory allows, else HNSW; clustered postings where there can be any and memory allows neither.
    Auto,
    /// Always exact.
    Flat,
    /// HNSW with these settings.
    Hnsw(HnswSettings),
    /// Flat while small, a quantised graph above; of vectors of `f32` under `cosine` or `l2`.
    Qg,
    /// Flat while small, clustered postings above, which stay in their file as the vectors do; of vectors of `f32`
    /// under `cosine`, `l2` or `dot`.
    Ivf,
}

const _: () = assert!(
    DIM_MAX <= qg::DIM_MAX,
    "a quantised graph takes every length"
);

/// With fewer components a code says little of a neighbour, and its vector is read as fast.
const QUANTISED_DIM_MIN: u32 = 64;

/// HNSW settings; [`HnswSettings::for_m`] gives the usual ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HnswSettings {
    /// Links a node gets when it is inserted.
    pub m: u32,
    /// Most links of a node on layer 0.
    pub m0: u32,
    /// Most links of a node on an upper layer.
    pub m_max: u32,
    /// Candidate list while building.
    pub ef_construction: u32,
    /// Factor of the level law.
    pub level_mult: f64,
}

/// A declared field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeclaredField {
    /// Its name.
    pub name: String,
    /// Its type as spelled in the schema, such as `keyword` or `int[]`.
    pub kind: String,
    /// Of a field of type `text`: how it is searched. The default for all others.
    #[serde(default, skip_serializing_if = "TextSettings::is_default")]
    pub text: TextSettings,
}

/// How a field of type `text` is searched.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TextSettings {
    /// Whose stems and stop words; none by default.
    #[serde(with = "by_name")]
    pub language: Language,
    /// What its scores are multiplied by, above 0 and at most 1,000,000; 1 by default.
    pub weight: f64,
}

impl Default for TextSettings {
    fn default() -> Self {
        Self {
            language: Language::None,
            weight: 1.0,
        }
    }
}

impl TextSettings {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A language as its name.
mod by_name {
    use cairn_text::Language;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
    pub fn serialize<S: Serializer>(language: &Language, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(language.name())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Language, D::Error> {
        let name = String::deserialize(from)?;
        let unknown = || D::Error::custom(format!("unknown language {name}"));
        Language::of_name(&name).ok_or_else(unknown)
    }
}

/// What happens to fields that are not declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Extra {
    /// Kept.
    #[default]
    Allow,
    /// Refused.
    Reject,
}

/// Types a declared field may have, without the `[]` of arrays.
pub const FIELD_TYPES: [&str; 9] = [
    "keyword", "text", "int", "float", "bool", "date", "geo", "json", "bytes",
];

impl MetricName {
    /// The kernel's metric.
    #[must_use]
    pub fn metric(self) -> Metric {
        match self {
            Self::Cosine => Metric::Cosine,
            Self::L2 => Metric::L2,
            Self::Dot => Metric::Dot,
            Self::L1 => Metric::L1,
            Self::Hamming => Metric::Hamming,
        }
    }
}

impl HnswSettings {
    /// Settings for `m` links, the rest by the rules of the paper: `m0 = 2 m`, `m_max = m`,
    /// `level_mult = 1 / ln m`.
    #[must_use]
    pub fn for_m(m: u32) -> Self {
        Self {
            m,
            m0: m.saturating_mul(2),
            m_max: m,
            ef_construction: 200,
            level_mult: 1.0 / f64::from(m.max(2)).ln(),
        }
    }

    fn config(&self, seed: u64) -> HnswConfig {
        HnswConfig {
            m: self.m as usize,
            m0: self.m0 as usize,
            m_max: self.m_max as usize,
            ef_construction: self.ef_construction as usize,
            level_mult: self.level_mult,
            seed,
        }
    }
}

impl DeclaredField {
    /// Whether it holds texts that are searched by their words.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.kind.strip_suffix("[]").unwrap_or(&self.kind) == "text"
    }
}

impl Schema {
    /// Names of the declared fields that have indexes.
    pub(crate) fn indexed(&self) -> impl Iterator<Item = &str> {
        let kinds = ["keyword", "int", "float", "bool", "date"];
        let fields = self.fields.iter().filter(move |field| {
            kinds.contains(&field.kind.strip_suffix("[]").unwrap_or(&field.kind))
        });
        fields.map(|field| &*field.name)
    }

    /// Checks names, counts, dims and index settings.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`], [`Code::InvalidName`] or [`Code::LimitExceeded`], naming the field.
    pub fn validate(&self) -> Result<()> {
        if self.vectors.is_empty() {
            return Err(Error::new(
                Code::InvalidArgument,
                "a schema needs a vector field: name its dim and metric",
            ));
        }
        for count in [self.vectors.len(), self.fields.len()] {
            if count > SCHEMA_FIELDS_MAX {
                return Err(
                    Error::new(Code::LimitExceeded, "a schema has too many fields")
                        .number("limit", SCHEMA_FIELDS_MAX)
                        .number("got", count),
                );
            }
        }
        for field in &self.vectors {
            field.validate()?;
        }
        for field in &self.fields {
            validate_field_name(&field.name)?;
            let base = field.kind.strip_suffix("[]").unwrap_or(&field.kind);
            if !FIELD_TYPES.contains(&base) {
                return Err(Error::new(Code::InvalidArgument, "unknown field type")
                    .text("field", field.name.clone())
                    .text("got", field.kind.clone()));
            }
            let TextSettings { weight, .. } = field.text;
            if !field.is_text() && !field.text.is_default() {
                let message = "only a field of type text has a language or a weight";
                return Err(
                    Error::new(Code::InvalidArgument, message).text("field", field.name.clone())
                );
            }
            if !(weight as f32 > 0.0 && weight <= f64::from(WEIGHT_MAX)) {
                let message = "a weight is above 0 and at most 1,000,000";
                return Err(Error::new(Code::InvalidArgument, message)
                    .text("field", field.name.clone())
                    .text("got", weight.to_string()));
            }
        }
        if let Some(name) = &self.expires_at {
            let declared = self.fields.iter().find(|field| field.name == *name);
            if declared.is_none_or(|field| field.kind != "date") {
                let message = "records expire at a field that is declared as a date";
                let kind = declared.map_or(ABSENT, |field| &field.kind);
                return Err(Error::new(Code::InvalidArgument, message)
                    .text("path", "expiresAt")
                    .text("field", name.clone())
                    .text("got", kind));
            }
        }
        refuse_repeated(self.vectors.iter().map(|field| field.name.as_str()))?;
        refuse_repeated(self.fields.iter().map(|field| field.name.as_str()))
    }

    /// The vector field of that name, or the only one when no name is given.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`] naming what there is.
    pub fn vector_field(&self, name: Option<&str>) -> Result<usize> {
        match name {
            None if self.vectors.len() == 1 => Ok(0),
            None => Err(Error::new(
                Code::InvalidArgument,
                "name the vector field: the schema has several",
            )),
            Some(name) => self
                .vectors
                .iter()
                .position(|field| field.name == name)
                .ok_or_else(|| {
                    Error::new(Code::InvalidArgument, "unknown vector field").text("field", name)
                }),
        }
    }

    /// Refuses a schema that differs from the stored one, naming the first difference.
    ///
    /// # Errors
    /// [`Code::SchemaMismatch`] with `path`, `stored` and `given`.
    pub fn expect_equal(&self, given: &Self) -> Result<()> {
        self.facts_of_key_and_vectors(given)?;
        for stored in &self.fields {
            let path = format!("fields.{}", stored.name);
            match given.fields.iter().find(|f| f.name == stored.name) {
                None => return differs(path, &stored.kind, ABSENT),
                Some(other) if other.kind != stored.kind => {
                    return differs(path, &stored.kind, &other.kind);
                }
                Some(other) if other.text.language != stored.text.language => {
                    let [stored, given] = [stored, other].map(|it| it.text.language.name());
                    return differs(format!("{path}.language"), stored, given);
                }
                Some(other) if other.text.weight != stored.text.weight => {
                    let [stored, given] = [stored, other].map(|it| it.text.weight.to_string());
                    return differs(format!("{path}.weight"), &stored, &given);
                }
                Some(_) => {}
            }
        }
        let declared = |name: &str| self.fields.iter().any(|s| s.name == name);
        if let Some(other) = given.fields.iter().find(|f| !declared(&f.name)) {
            return differs(format!("fields.{}", other.name), ABSENT, &other.kind);
        }
        if self.extra != given.extra {
            return differs("extra".into(), &show(self.extra), &show(given.extra));
        }
        if self.expires_at != given.expires_at {
            let [stored, given] =
                [self, given].map(|it| it.expires_at.as_deref().unwrap_or(ABSENT));
            return differs("expiresAt".into(), stored, given);
        }
        Ok(())
    }

    fn facts_of_key_and_vectors(&self, given: &Self) -> Result<()> {
        if self.key != given.key {
            return differs("key".into(), &show(self.key), &show(given.key));
        }
        for stored in &self.vectors {
            let path = |part: &str| format!("vectors.{}{part}", stored.name);
            let Some(other) = given.vectors.iter().find(|f| f.name == stored.name) else {
                return differs(path(""), PRESENT, ABSENT);
            };
            if stored.dim != other.dim {
                return differs(path(".dim"), &show(stored.dim), &show(other.dim));
            }
            if stored.kind != other.kind {
                return differs(path(".type"), &show(stored.kind), &show(other.kind));
            }
            if stored.metric != other.metric {
                return differs(path(".metric"), &show(stored.metric), &show(other.metric));
            }
            if stored.quantize != other.quantize {
                let [stored, other] = [stored, other].map(|it| show(it.quantize));
                return differs(path(".quantize"), &stored, &other);
            }
            if stored.index != other.index {
                return differs(path(".index"), &show(&stored.index), &show(&other.index));
            }
        }
        let known = |name: &str| self.vectors.iter().any(|s| s.name == name);
        match given.vectors.iter().find(|f| !known(&f.name)) {
            Some(other) => differs(format!("vectors.{}", other.name), ABSENT, PRESENT),
            None => Ok(()),
        }
    }
}

const PRESENT: &str = "present";
const ABSENT: &str = "absent";

fn show<T: Debug>(value: T) -> String {
    format!("{value:?}").to_lowercase()
}

fn differs(path: String, stored: &str, given: &str) -> Result<()> {
    Err(
        Error::new(Code::SchemaMismatch, "the stored schema differs")
            .text("path", path)
            .text("stored", stored)
            .text("given", given),
    )
}

impl VectorField {
    /// Values of a vector on its way through the engine: its components, or the bytes of its bits. Of a kind
    /// whose vectors differ in length it says nothing; see [`length_of_first`](Self::length_of_first).
    #[must_use]
    pub fn width(&self) -> usize {
        match self.kind {
            VectorKind::Binary => self.dim as usize / 8,
            _ => self.dim as usize,
        }
    }

    /// Bytes of a vector where it is stored.
    pub(crate) fn row_bytes(&self) -> usize {
        self.width() * self.kind.value_bytes()
    }

    /// Whether its vectors ever get a graph.
    pub(crate) fn has_graphs(&self) -> bool {
        !self.kind.varies() && self.index != IndexKind::Flat
    }

    /// Settings of a graph over `rows` of its vectors, or `None` where it never has one. Where it may choose,
    /// it is the quantised graph over vectors of 64 components or more, unless that takes more than a quarter of
    /// `memory` bytes; and lists, which stay in the file, where vectors and graph would take more than all of them.
    pub(crate) fn graph(&self, seed: u64, rows: usize, memory: usize) -> Option<GraphConfig> {
        if !self.has_graphs() {
            return None;
        }
        let settings = match &self.index {
            IndexKind::Hnsw(settings) => settings.clone(),
            _ => HnswSettings::for_m(16),
        };
        let hnsw = GraphConfig::Hnsw(settings.config(seed));
        let is_listed = match self.index {
            IndexKind::Auto => {
                let row_bytes = self.row_bytes() + hnsw.row_bytes(self.width());
                let is_too_much = rows.saturating_mul(row_bytes) > memory;
                self.quantize.is_none() && self.may_be_listed() && is_too_much
            }
            _ => self.index == IndexKind::Ivf,
        };
        if is_listed {
            let config = ivf::Config { lists: None, seed };
            return Some(GraphConfig::Clusters(config));
        }
        let usual = qg::Config::new(self.dim as usize);
        let fits = || rows.saturating_mul(usual.record_bytes(self.dim as usize)) <= memory / 4;
        let is_quantised = match self.index {
            IndexKind::Auto => {
                let is_long = self.dim >= QUANTISED_DIM_MIN && self.may_be_quantised();
                self.quantize.is_none() && is_long && fits()
            }
            _ => self.index == IndexKind::Qg,
        };
        Some(match is_quantised {
            true => GraphConfig::Quantised(qg::Config { seed, ..usual }),
            false => hnsw,
        })
    }

    /// How its vectors become codes, or `None` where they do not.
    pub(crate) fn quantisation(&self) -> Option<Quantisation> {
        self.quantize.quantisation()
    }

    /// Whether a quantised graph can be over its vectors.
    pub(crate) fn may_be_quantised(&self) -> bool {
        let is_estimated = matches!(self.metric, MetricName::Cosine | MetricName::L2);
        is_estimated && self.kind == VectorKind::F32
    }

    /// Whether lists can be made of its vectors.
    fn may_be_listed(&self) -> bool {
        self.kind == VectorKind::F32 && self.metric != MetricName::L1
    }

    /// Whether memory holds vectors of length one, and the given ones are kept beside them. Rounded ones
    /// are compared as they are.
    pub(crate) fn normalises(&self) -> bool {
        let is_of_f32 = matches!(self.kind, VectorKind::F32 | VectorKind::Multi);
        is_of_f32 && self.metric == MetricName::Cosine
    }

    /// Whether memtables keep vectors as they were given beside those that searches compare.
    pub(crate) fn keeps_given(&self) -> bool {
        self.normalises() || self.kind.varies()
    }

    fn validate_kind(&self) -> Result<()> {
        let wrong = |message: &str| {
            let error = Error::new(Code::InvalidArgument, message);
            Err(error.text("field", self.name.clone()))
        };
        let is_binary = self.kind == VectorKind::Binary;
        if is_binary != (self.metric == MetricName::Hamming) {
            return wrong("a binary field has the metric hamming, and no other field has it");
        }
        if is_binary && !self.dim.is_multiple_of(8) {
            return wrong("dim of a binary field is a number of bits, a multiple of 8");
        }
        if self.kind == VectorKind::Sparse && self.metric != MetricName::Dot {
            return wrong("a sparse field has the metric dot");
        }
        if self.kind.varies() && matches!(self.index, IndexKind::Hnsw(_)) {
            return wrong("a field whose vectors differ in length has no graph");
        }
        if self.index == IndexKind::Ivf && !self.may_be_listed() {
            return wrong("an index of kind ivf is over vectors of f32 under cosine, l2 or dot");
        }
        if self.index == IndexKind::Qg && !self.may_be_quantised() {
            return wrong("an index of kind qg is over vectors of f32 under cosine or l2");
        }
        let Some(quantisation) = self.quantisation() else {
            return Ok(());
        };
        if self.kind != VectorKind::F32 {
            return wrong("only vectors of f32 are quantised");
        }
        if matches!(self.index, IndexKind::Qg | IndexKind::Ivf) {
            return wrong("an index of this kind has codes of its own");
        }
        let checked = quantisation.validate(self.dim as usize, self.metric.metric());
        checked.or_else(|error| wrong(&error.to_string()))
    }

    fn validate(&self) -> Result<()> {
        validate_field_name(&self.name)?;
        if self.dim == 0 {
            return Err(Error::new(Code::InvalidArgument, "dim must be at least 1")
                .text("field", self.name.clone()));
        }
        if self.dim as usize > DIM_MAX {
            return Err(Error::new(Code::LimitExceeded, "dim is over the limit")
                .text("field", self.name.clone())
                .number("limit", DIM_MAX)
                .number("got", self.dim));
        }
        self.validate_kind()?;
        if let Some(config) = self.graph(0, 0, 0) {
            let valid = config.validate(self.dim as usize, self.metric.metric());
            valid.map_err(|error| {
                Error::new(Code::InvalidArgument, error.to_string())
                    .text("field", self.name.clone())
            })?;
        }
        Ok(())
    }
}

/// Checks a collection name: 1 to 128 of `[A-Za-z0-9_.-]`, not starting with a dot.
///
/// # Errors
/// [`Code::InvalidName`], or [`Code::LimitExceeded`] when it is only too long.
pub fn validate_collection_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(allowed) {
        return Err(Error::new(
            Code::InvalidName,
            "a collection name is 1 to 128 of A-Z a-z 0-9 _ . - and does not start with a dot",
        )
        .text("name", name));
    }
    if name.len() > NAME_CHARS_MAX {
        return Err(
            Error::new(Code::LimitExceeded, "a collection name is too long")
                .number("limit", NAME_CHARS_MAX)
                .number("got", name.len()),
        );
    }
    Ok(())
}

/// Refuses names that are devices on Windows, and those it cuts short, for a collection that is made
/// or renamed: an export, a backup or a bucket may be called after it. One that has such a name
/// already keeps it.
///
/// # Errors
/// [`Code::InvalidName`].
pub(crate) fn refuse_device_name(name: &str) -> Result<()> {
    const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
    const NUMBERED: [&str; 2] = ["com", "lpt"];
    // What stands behind the first dot makes no difference to it.
    let stem = name.split('.').next().unwrap_or(name).to_ascii_lowercase();
    let numbered = |device: &str| {
        let number = stem.strip_prefix(device);
        number.is_some_and(|number| number.len() == 1 && number.as_bytes()[0].is_ascii_digit())
    };
    if DEVICES.contains(&&*stem) || NUMBERED.into_iter().any(numbered) || name.ends_with('.') {
        return Err(Error::new(
            Code::InvalidName,
            "no file can have this name on Windows: it is a device's, or ends with a dot",
        )
        .text("name", name));
    }
    Ok(())
}

pub(crate) fn validate_field_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > 1_024 || name.starts_with('$') || name.contains('\0') {
        return Err(Error::new(
            Code::InvalidName,
            "a field name is 1 to 1,024 bytes, without NUL, and does not start with a dollar sign",
        )
        .text("name", name));
    }
    Ok(())
}

fn refuse_repeated<'a>(names: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(
                Error::new(Code::InvalidName, "a field is declared twice").text("name", name)
            );
        }
    }
    Ok(())
}
