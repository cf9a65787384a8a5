//! What a collection holds: its key type, vector fields and declared fields.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use cairn_distance::Metric;
use cairn_index::HnswConfig;

use crate::error::{Code, Error, Result};
use crate::keys::KeyType;
use crate::limits::{DIM_MAX, NAME_CHARS_MAX, SCHEMA_FIELDS_MAX};

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
}

/// One dense vector field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VectorField {
    /// Its name.
    pub name: String,
    /// Components, 1 to 65,536.
    pub dim: u32,
    /// How distance is measured.
    pub metric: MetricName,
    /// How it is indexed.
    pub index: IndexKind,
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
}

/// How a vector field is indexed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum IndexKind {
    /// Chosen by size: flat while small, HNSW above.
    Auto,
    /// Always exact.
    Flat,
    /// HNSW with these settings.
    Hnsw(HnswSettings),
}

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

impl IndexKind {
    /// Graph settings, or `None` for a field that stays flat.
    #[must_use]
    pub(crate) fn hnsw(&self, seed: u64) -> Option<HnswConfig> {
        match self {
            Self::Flat => None,
            Self::Auto => Some(HnswSettings::for_m(16).config(seed)),
            Self::Hnsw(settings) => Some(settings.config(seed)),
        }
    }
}

impl Schema {
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
            if stored.metric != other.metric {
                return differs(path(".metric"), &show(stored.metric), &show(other.metric));
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
        if let Some(config) = self.index.hnsw(0) {
            config.validate().map_err(|error| {
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

fn validate_field_name(name: &str) -> Result<()> {
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
