//! What a caller asks, and what comes back.

use crate::batch::Payloads;
use crate::keys::{KeyBuf, Keys};

/// How hard to look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Effort {
    /// A target share of the true neighbours, 0.5 to 1; 1 means exact.
    Recall(f32),
    /// A candidate list of this length in every graph, at least `k`.
    EfSearch(usize),
    /// Compare with every record.
    Exact,
}

/// A nearest-neighbour question.
#[derive(Clone, Debug)]
pub struct SearchRequest<'a> {
    /// Position of the vector field in the schema.
    pub field: usize,
    /// `[dim]`, as the user gave it.
    pub vector: &'a [f32],
    /// Results wanted, 1 to 10,000.
    pub k: usize,
    /// How hard to look.
    pub effort: Effort,
    /// Leave out anything farther.
    pub max_distance: Option<f32>,
    /// Leave out anything that scores lower.
    pub min_score: Option<f32>,
    /// Which parts of the records to return.
    pub select: Select,
    /// Whether to say what each part of the search did.
    pub explain: bool,
}

impl<'a> SearchRequest<'a> {
    /// The `k` records nearest to `vector` in the first vector field, at a recall of 0.95, with
    /// all fields.
    #[must_use]
    pub fn new(vector: &'a [f32], k: usize) -> Self {
        Self {
            field: 0,
            vector,
            k,
            effort: Effort::Recall(0.95),
            max_distance: None,
            min_score: None,
            select: Select::default(),
            explain: false,
        }
    }
}

/// Which parts of a record are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Select {
    /// Which fields.
    pub fields: SelectFields,
    /// Whether vectors come along.
    pub vectors: bool,
}

/// Which fields of a record are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SelectFields {
    /// All.
    #[default]
    All,
    /// These, where present.
    Some(Vec<String>),
    /// None; payloads are not read at all.
    None,
}

/// Records found, column by column, nearest first, ties by key.
#[derive(Clone, Debug)]
pub struct Hits {
    /// Keys.
    pub keys: Keys,
    /// Distances, smaller is nearer.
    pub distances: Vec<f32>,
    /// Scores, larger is better.
    pub scores: Vec<f32>,
    /// Versions of the records.
    pub versions: Vec<u64>,
    /// Fields, when wanted.
    pub payloads: Option<Payloads>,
    /// For each vector field of the schema the hits' vectors end to end, when wanted.
    pub vectors: Option<Vec<Vec<f32>>>,
    /// What each part of the search did, when asked.
    pub stages: Vec<Stage>,
}

/// What the search did in one memtable or segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// `memtable` or the segment's id.
    pub source: String,
    /// `flat` or `hnsw`.
    pub path: &'static str,
    /// Rows there, dead ones included.
    pub rows: u64,
    /// Candidate list used, 0 for flat.
    pub ef: u64,
    /// Nodes expanded.
    pub hops: u64,
    /// Distances computed.
    pub distances: u64,
    /// Microseconds.
    pub micros: u64,
}

/// One record read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its key.
    pub key: KeyBuf,
    /// The version that wrote it.
    pub version: u64,
    /// Its fields as a MessagePack map; empty when it has none or none were wanted.
    pub fields: Vec<u8>,
    /// Its vectors in the schema's order, when wanted; bit for bit what was written.
    pub vectors: Option<Vec<Vec<f32>>>,
}
