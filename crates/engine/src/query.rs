//! What a caller asks, and what comes back.

use std::cell::Cell;
use std::time::Duration;

use cairn_filter::Filter;

use crate::batch::Payloads;
use crate::keys::{KeyBuf, Keys};
use crate::shape::Shape;

/// How hard to look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Effort {
    /// A target share of the true neighbours, 0.5 to 1; 1 means exact.
    Recall(f32),
    /// The same with candidate lists longer by this factor than those that reached it when the graph
    /// was built, in place of the factor of the collection.
    Stretched(f32, f32),
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
    /// Leave out records that it does not hold for.
    pub filter: Option<&'a Filter>,
    /// Leave out anything farther.
    pub max_distance: Option<f32>,
    /// Leave out anything that scores lower.
    pub min_score: Option<f32>,
    /// Which parts of the records to return.
    pub select: Select,
    /// Whether to say what each part of the search did.
    pub explain: bool,
    /// What it is beyond the records nearest to the vector.
    pub shape: Shape<'a>,
    /// Words, or several vectors, instead of the one above; their answers are fused.
    pub sources: Option<&'a Sources<'a>>,
}

/// What is asked, when that is not one vector.
///
/// Words alone are ranked by BM25. Otherwise each source gives its best max(`k`, 100) records,
/// and a record scores the sum of `weight / (rrf_k + rank)` over the sources that it is among the best
/// of, with the first rank 1: reciprocal rank fusion (Cormack, Clarke and Buettcher 2009). Ranks within a
/// source are by distance or score, ties by key. A distance of the answer is minus its score.
#[derive(Clone, Debug)]
pub struct Sources<'a> {
    /// Vectors, each of another field.
    pub vectors: Vec<VectorSource<'a>>,
    /// Words.
    pub words: Option<WordSource<'a>>,
    /// At least 0: how little the first ranks stand out; 60 is usual.
    pub rrf_k: f64,
}

/// A vector among several sources.
#[derive(Clone, Debug)]
pub struct VectorSource<'a> {
    /// Position of the vector field in the schema.
    pub field: usize,
    /// `[dim]`, as the user gave it.
    pub vector: &'a [f32],
    /// Above 0; 1 is usual.
    pub weight: f64,
}

/// Words as somebody typed them.
#[derive(Clone, Debug)]
pub struct WordSource<'a> {
    /// What was typed, at most 64 KiB; no text is an error.
    pub words: &'a str,
    /// Names of the text fields to look in; all of the schema without them.
    pub fields: Option<&'a [String]>,
    /// Above 0; 1 is usual.
    pub weight: f64,
    /// Whether to say where in which of these fields the words stand.
    pub highlight: Option<Highlight<'a>>,
}

/// Fields of hits in which words are marked.
#[derive(Clone, Copy, Debug)]
pub enum Highlight<'a> {
    /// Those that are looked in.
    Searched,
    /// Text fields of these names, as far as they are looked in.
    Named(&'a [String]),
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
            filter: None,
            max_distance: None,
            min_score: None,
            select: Select::default(),
            explain: false,
            shape: Shape::default(),
            sources: None,
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
    /// For each of those columns where the vector of each hit ends.
    pub vector_ends: Vec<Vec<u32>>,
    /// Where words stand, when asked: of each hit a MessagePack map from names of fields to arrays of
    /// `[start, end]` in UTF-16 code units, or to an array of those for each element of an array.
    pub highlights: Option<Payloads>,
    /// What each part of the search did, when asked.
    pub stages: Vec<Stage>,
    /// How long it took, when asked.
    pub times: Times,
}

/// How long a search took, by what it did. One follows the other, so their sum is within the call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Finding the rows that the filter holds for; nothing without one.
    pub filter: Duration,
    /// Asking memtables and segments, and putting their answers in order.
    pub search: Duration,
    /// Reading fields and vectors of the hits, and marking words in them.
    pub read: Duration,
}

/// How the rows of a filter were found in one memtable or segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Keys that were looked up or compared one by one.
    pub keys: u64,
    /// Records that were read.
    pub records: u64,
}

impl Looked {
    pub(crate) fn keys(looked: &Cell<Self>, count: usize) {
        let before = looked.get();
        looked.set(Self {
            keys: before.keys + count as u64,
            ..before
        });
    }

    pub(crate) fn records(looked: &Cell<Self>, count: usize) {
        let before = looked.get();
        looked.set(Self {
            records: before.records + count as u64,
            ..before
        });
    }
}

/// What the search did in one memtable or segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// `memtable` or the segment's id.
    pub source: String,
    /// The vector field that was asked; `None` for words, and where nothing was asked.
    pub field: Option<usize>,
    /// `flat`, `codes`, `hnsw`, `sparse`, `text`, or `keys` for records in the order of their keys.
    pub path: &'static str,
    /// Rows there, dead ones included.
    pub rows: u64,
    /// Rows that the filter was expected to hold for, at most, before any was looked at; dead ones are counted, and those
    /// of which no index tells. Without a filter as many as `matches`.
    pub estimate: u64,
    /// Rows that could be returned: those alive, or those of them that the filter holds for.
    pub matches: u64,
    /// Candidate list used, 0 for flat.
    pub ef: u64,
    /// Nodes expanded.
    pub hops: u64,
    /// Distances computed.
    pub distances: u64,
    /// Microseconds that finding the rows of the filter took; 0 without one.
    pub filter_micros: u64,
    /// How they were found, and by how many looks.
    pub looked: Looked,
    /// Fields of the filter that have an index which is not made here yet: records were read instead.
    pub waited_for: Vec<String>,
    /// Microseconds that the search among them took.
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
