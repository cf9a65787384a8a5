//! What the tests share: seeded numbers, the images of the demo, exact answers.

#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "shared by tests, though no test itself")]

use std::sync::OnceLock;

use cairn_distance::{Kernels, Metric};
use cairn_quantize::Workers;

/// SplitMix64: a stream of numbers decided by its seed.
pub struct Random(u64);

impl Random {
    /// Prints the seed, so that a failure can be repeated.
    pub fn new(seed: u64) -> Self {
        println!("seed={seed}");
        Self(seed)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.bits() % end as u64) as usize
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// About normal: the sum of twelve uniform numbers.
    pub fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.uniform()).sum::<f32>() - 6.0
    }

    pub fn vector(&mut self, dim: usize) -> Vec<f32> {
        (0..dim).map(|_| self.normal()).collect()
    }
}

/// `rows` vectors around 20 centres: closer to embeddings than numbers without order.
pub fn clustered(dim: usize, rows: usize, random: &mut Random) -> Vec<f32> {
    let centres: Vec<Vec<f32>> = (0..20).map(|_| random.vector(dim)).collect();
    (0..rows)
        .flat_map(|_| {
            let centre = &centres[random.below(20)];
            let row: Vec<f32> = centre.iter().map(|x| x + 0.7 * random.normal()).collect();
            row
        })
        .collect()
}

/// Pixels of an image.
pub const PIXELS: usize = 784;

/// The 10,000 images of the demo, from 0 to 1, row by row.
pub fn images() -> &'static [f32] {
    static IMAGES: OnceLock<Vec<f32>> = OnceLock::new();
    IMAGES.get_or_init(|| {
        let file = include_bytes!("../../../../demo/data/mnist-784.query.u8bin.gz");
        // Ten bytes of gzip header, and a name that ends with a zero if bit 3 of the flags is set.
        let name = if file[3] & 8 == 0 {
            0
        } else {
            file[10..].iter().position(|&byte| byte == 0).unwrap() + 1
        };
        let bytes = miniz_oxide::inflate::decompress_to_vec(&file[10 + name..file.len() - 8]);
        let bytes = bytes.expect("the file of the demo");
        assert_eq!(bytes.len(), 8 + 10_000 * PIXELS);
        bytes[8..]
            .iter()
            .map(|&pixel| f32::from(pixel) / 255.0)
            .collect()
    })
}

/// Every second pixel of every second line, averaged over four: 196 components.
pub fn small_images() -> Vec<f32> {
    let mut small = Vec::with_capacity(10_000 * 196);
    for image in images().chunks_exact(PIXELS) {
        for at in 0..196 {
            let corner = at / 14 * 56 + at % 14 * 2;
            let sum: f32 = [0, 1, 28, 29].iter().map(|next| image[corner + next]).sum();
            small.push(sum / 4.0);
        }
    }
    small
}

/// Rows brought to unit length.
pub fn normalised(rows: &[f32], dim: usize) -> Vec<f32> {
    let mut rows = rows.to_vec();
    for row in rows.chunks_exact_mut(dim) {
        cairn_distance::normalise(row).expect("no row of zeros");
    }
    rows
}

/// A set to search: rows, and queries that are not among them.
pub struct Set {
    pub dim: usize,
    pub metric: Metric,
    pub base: Vec<f32>,
    pub queries: Vec<f32>,
    /// Exact distances, `[queries, rows]`.
    pub exact: Vec<f32>,
}

impl Set {
    /// The last `queries` rows ask for the others.
    pub fn new(rows: &[f32], dim: usize, metric: Metric, queries: usize) -> Self {
        let rows = match metric {
            Metric::Cosine => normalised(rows, dim),
            _ => rows.to_vec(),
        };
        let (base, queries) = rows.split_at(rows.len() - queries * dim);
        let mut exact = vec![0.0; base.len() / dim * (queries.len() / dim)];
        Kernels::<f32>::new(metric).matrix(queries, base, dim, &mut exact);
        Self {
            dim,
            metric,
            base: base.to_vec(),
            queries: queries.to_vec(),
            exact,
        }
    }

    pub fn rows(&self) -> usize {
        self.base.len() / self.dim
    }

    pub fn row(&self, row: usize) -> &[f32] {
        &self.base[row * self.dim..][..self.dim]
    }

    pub fn queries(&self) -> impl Iterator<Item = (&[f32], &[f32])> {
        let rows = self.rows();
        self.queries
            .chunks_exact(self.dim)
            .zip(self.exact.chunks_exact(rows))
    }

    /// Recall@10 when the `candidates` rows of the smallest estimates are ranked by exact distance.
    pub fn recall(&self, candidates: usize, estimates: impl Fn(&[f32]) -> Vec<f32>) -> f64 {
        let (mut found, mut asked) = (0, 0);
        for (query, exact) in self.queries() {
            let estimates = estimates(query);
            let best = smallest(&estimates, candidates);
            // A row counts that is no farther than the tenth: ties are as good.
            let tenth = exact[smallest(exact, 10)[9]];
            found += best
                .iter()
                .filter(|&&row| exact[row] <= tenth)
                .count()
                .min(10);
            asked += 10;
        }
        let recall = f64::from(u32::try_from(found).unwrap()) / f64::from(asked);
        println!("recall@10 of {candidates} candidates: {recall:.4}");
        recall
    }
}

/// The rows of the `count` smallest numbers.
pub fn smallest(numbers: &[f32], count: usize) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..numbers.len()).collect();
    let order = |a: &usize, b: &usize| numbers[*a].total_cmp(&numbers[*b]).then(a.cmp(b));
    if count < rows.len() {
        rows.select_nth_unstable_by(count, order);
        rows.truncate(count);
    }
    rows.sort_by(order);
    rows
}

/// Threads, for trainings.
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
