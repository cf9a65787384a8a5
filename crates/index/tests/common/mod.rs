//! Seeded data and small functions that the tests share.
#![allow(dead_code, reason = "each test uses some of it")]
#![allow(clippy::unwrap_used, reason = "shared by tests, though no test itself")]

use cairn_index::{
    Graph, Hit, HnswConfig, Metric, Query, Scratch, SingleThread, Vectors, Workers, flat,
};

/// SplitMix64: a stream of numbers decided by its seed.
pub struct Random(u64);

impl Random {
    /// Prints the seed, so that a failure can be repeated.
    pub fn new(seed: u64) -> Self {
        println!("seed={seed}");
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// About normal: the sum of twelve uniform numbers.
    pub fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.uniform()).sum::<f32>() - 6.0
    }

    pub fn vector(&mut self, dim: usize) -> Vec<f32> {
        (0..dim).map(|_| self.normal()).collect()
    }
}

/// Rows around `clusters` centres, ten times as far apart as the rows of a cluster.
pub fn clustered(dim: usize, rows: usize, clusters: usize, random: &mut Random) -> Vec<Vec<f32>> {
    let centres: Vec<Vec<f32>> = (0..clusters).map(|_| random.vector(dim)).collect();
    let mut row = || {
        let centre = &centres[random.below(clusters)];
        centre.iter().map(|x| 10.0 * x + random.normal()).collect()
    };
    (0..rows).map(|_| row()).collect()
}

pub fn normal(dim: usize, rows: usize, random: &mut Random) -> Vec<Vec<f32>> {
    (0..rows).map(|_| random.vector(dim)).collect()
}

/// The rows as a matrix, of unit length if the metric wants it.
pub fn matrix(rows: &[Vec<f32>], metric: Metric) -> Vectors {
    let mut vectors = Vectors::with_capacity(rows[0].len(), rows.len());
    for row in rows {
        vectors.push(&prepared(row, metric));
    }
    vectors
}

pub fn prepared(row: &[f32], metric: Metric) -> Vec<f32> {
    let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
    if metric == Metric::Cosine && length > 0.0 {
        row.iter().map(|x| x / length).collect()
    } else {
        row.to_vec()
    }
}

pub fn build(vectors: &Vectors, metric: Metric, config: &HnswConfig) -> Graph {
    let graph = Graph::build(vectors, metric, config, &SingleThread, &()).unwrap();
    graph.check(vectors, metric).unwrap();
    graph
}

/// The `k` nearest by the graph.
pub fn nearest(graph: &Graph, vectors: &Vectors, query: &[f32], k: usize, ef: usize) -> Vec<Hit> {
    let query = Query::new(query, vectors.stride());
    let (mut scratch, mut hits) = (Scratch::new(), Vec::new());
    graph
        .search(
            vectors,
            &query,
            k,
            ef,
            |_| true,
            &mut scratch,
            || false,
            &mut hits,
        )
        .unwrap();
    hits
}

/// The `k` nearest by a scan.
pub fn exact(vectors: &Vectors, metric: Metric, query: &[f32], k: usize) -> Vec<Hit> {
    let query = Query::new(query, vectors.stride());
    let (all, mut hits) = (0..vectors.len() as u32, Vec::new());
    let tie = |a: u32, b: u32| a.cmp(&b);
    flat::search(
        vectors,
        metric,
        &query,
        k,
        all,
        |_| true,
        tie,
        || false,
        &mut hits,
    )
    .unwrap();
    hits
}

/// The part of the `k` nearest that the graph finds, by distance: of rows at one distance any counts.
pub fn recall(graph: &Graph, vectors: &Vectors, queries: &[Vec<f32>], k: usize, ef: usize) -> f64 {
    let mut found = 0;
    let mut wanted = 0;
    for query in queries {
        let query = prepared(query, graph.metric());
        let truth = exact(vectors, graph.metric(), &query, k);
        let farthest = truth.last().unwrap().distance;
        let hits = nearest(graph, vectors, &query, k, ef);
        wanted += truth.len();
        found += hits.iter().filter(|hit| hit.distance <= farthest).count();
    }
    found as f64 / wanted as f64
}

/// As many threads.
pub struct Threads(pub usize);

impl Workers for Threads {
    fn run(&self, work: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for worker in 0..self.0 {
                scope.spawn(move || work(worker));
            }
        });
    }
}
