//! A collection of records with one vector field, an index of a given kind over them, and queries that are none
//! of them.

use std::path::PathBuf;
use std::sync::Arc;

use cairn_engine::{
    Collection, Database, DeclaredField, Effort, Filter, Hits, IndexKind, Job, Key, KeyType,
    MetricName, Options, Schema, SearchRequest, Snapshot, Stop,
};
use cairn_testkit::data;

use crate::common;
use common::{Home, Row, number, put, remove, schema, vector_field};

pub const ROWS: usize = 4_000;
pub const QUERIES: usize = 100;

/// Records with `n`, their key, and as many vectors that are none of them.
pub struct World {
    pub home: Home,
    pub database: Arc<Database>,
    pub collection: Arc<Collection>,
    pub metric: MetricName,
    pub dim: usize,
    pub vectors: Vec<f32>,
    pub queries: Vec<f32>,
}

pub fn shape(index: IndexKind, dim: usize, metric: MetricName) -> Schema {
    let field = vector_field("vector", dim as u32, metric, index);
    let n = DeclaredField {
        name: "n".into(),
        kind: "int".into(),
        text: Default::default(),
    };
    Schema {
        fields: vec![n],
        ..schema(KeyType::U64, vec![field])
    }
}

impl World {
    pub fn empty(index: IndexKind, home: Home, dim: usize, metric: MetricName) -> Self {
        Self::with(Options::default(), index, home, dim, metric)
    }

    pub fn with(
        options: Options,
        index: IndexKind,
        home: Home,
        dim: usize,
        metric: MetricName,
    ) -> Self {
        let database = home.open(options);
        let collection = database.create_collection("c", shape(index, dim, metric));
        let mut vectors = data::clustered(23, ROWS + QUERIES, dim);
        let queries = vectors.split_off(ROWS * dim);
        Self {
            home,
            database,
            collection: collection.unwrap(),
            metric,
            dim,
            vectors,
            queries,
        }
    }

    /// All records in one segment with that index.
    pub fn new(index: IndexKind, dim: usize, metric: MetricName) -> Self {
        let name = match index {
            IndexKind::Ivf => "ivf",
            _ => "qg",
        };
        let world = Self::empty(index, Home::memory(), dim, metric);
        world.write(0..ROWS);
        world.collection.compact(&Job::default()).unwrap();
        assert_eq!(indexes(&world.collection), [name]);
        world
    }

    pub fn row(&self, key: usize) -> Row {
        let vector = &self.vectors[key * self.dim..][..self.dim];
        Row::new(number(key as u64), vector).with("n", i64::try_from(key).unwrap())
    }

    pub fn write(&self, keys: std::ops::Range<usize>) {
        for chunk in keys.collect::<Vec<_>>().chunks(1_000) {
            let rows: Vec<Row> = chunk.iter().map(|&key| self.row(key)).collect();
            put(&self.collection, &rows);
        }
    }

    pub fn delete(&self, keys: impl Iterator<Item = usize>) {
        let gone: Vec<_> = keys.map(|key| number(key as u64)).collect();
        remove(&self.collection, &gone);
    }

    pub fn queries(&self) -> impl Iterator<Item = &[f32]> {
        self.queries.chunks(self.dim)
    }

    pub fn snapshot(&self) -> Snapshot {
        self.collection.snapshot().unwrap()
    }

    /// The mean recall@`k` of the usual search against the exact one; each is as long as the exact one,
    /// says of every record how far it is.
    pub fn recall(&self, k: usize, filter: Option<&Filter>, effort: Effort) -> f64 {
        let snapshot = self.snapshot();
        let mut recall = 0.0;
        for query in self.queries() {
            let exact = search(&snapshot, query, k, filter, Effort::Exact);
            let usual = search(&snapshot, query, k, filter, effort);
            assert_eq!(usual.distances.len(), exact.distances.len());
            let last = exact.distances.last().copied().unwrap_or(f32::MAX);
            let near = usual.distances.iter().filter(|&&it| it <= last).count();
            recall += near as f64 / exact.distances.len().max(1) as f64;
            for (key, distance) in keys(&usual).into_iter().zip(&usual.distances) {
                let vector = &self.vectors[key as usize * self.dim..][..self.dim];
                let far = common::model::distance(self.metric, query, vector);
                assert!((far - f64::from(*distance)).abs() < 1e-4 * (1.0 + far.abs()));
            }
        }
        recall / QUERIES as f64
    }

    pub fn segment(&self) -> PathBuf {
        let files = self.home.files().into_iter().map(|(path, _)| path);
        let mut segments = files.filter(|path| path.extension().is_some_and(|it| it == "seg"));
        let only = segments.next().unwrap();
        assert_eq!(segments.next(), None);
        only
    }
}

pub fn search(
    snapshot: &Snapshot,
    vector: &[f32],
    k: usize,
    filter: Option<&Filter>,
    effort: Effort,
) -> Hits {
    let request = SearchRequest {
        effort,
        filter,
        explain: true,
        ..SearchRequest::new(vector, k)
    };
    snapshot.search(&request, &Stop::never()).unwrap()
}

pub fn keys(hits: &Hits) -> Vec<u64> {
    let number = |key: Key<'_>| match key {
        Key::U64(number) => number,
        Key::Str(text) => panic!("key={text}"),
    };
    hits.keys.iter().map(number).collect()
}

pub fn indexes(collection: &Arc<Collection>) -> Vec<&'static str> {
    let segments = collection.stats().unwrap().segments;
    segments.iter().map(|segment| segment.index).collect()
}

pub const USUAL: Effort = Effort::Recall(0.95);

/// Hits of every query, with their distances to the bit.
pub fn answers(snapshot: &Snapshot, world: &World) -> Vec<(Vec<u64>, Vec<u32>)> {
    let bits = |hits: &Hits| hits.distances.iter().map(|it| it.to_bits()).collect();
    let answer = |query| {
        let hits = search(snapshot, query, 10, None, USUAL);
        (keys(&hits), bits(&hits))
    };
    world.queries().map(answer).collect()
}
