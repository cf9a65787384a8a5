//! Time per distance: every element type, metric and instruction set of this machine, on vectors
//! that fit the cache; and gathered from memory that does not.
//!
//! `cargo bench -p cairn-distance`, with a part of a name to choose: `-- f32`, `-- gather`.
//! Compare columns of one run only; machines and their neighbours differ.

use cairn_distance::{Element, Kernels, Metric, Simd, f16};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

const DIMS: [usize; 4] = [128, 384, 768, 784];

/// Rows that stay in the first cache or close to it.
const HOT_ROWS: usize = 16;

fn main() {
    println!("best instruction set here: {}", Simd::active());
    divan::main();
}

/// One line of the table.
#[derive(Clone, Copy)]
struct Case {
    simd: Simd,
    metric: Metric,
    dim: usize,
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.metric, self.dim, self.simd)
    }
}

fn cases() -> impl Iterator<Item = Case> {
    let dims = || DIMS.into_iter();
    let pairs = Metric::ALL
        .into_iter()
        .flat_map(move |metric| dims().map(move |dim| (metric, dim)));
    pairs.flat_map(|(metric, dim)| {
        Simd::available()
            .iter()
            .map(move |&simd| Case { simd, metric, dim })
    })
}

fn l2_cases() -> impl Iterator<Item = Case> {
    cases().filter(|case| case.metric == Metric::L2)
}

/// An element type with made-up components.
trait Make: Element {
    fn make(index: usize) -> Self;
}

impl Make for f32 {
    fn make(index: usize) -> Self {
        (index.wrapping_mul(2_654_435_761) >> 8 & 0xffff) as f32 / 65_536.0 - 0.5
    }
}

impl Make for f16 {
    fn make(index: usize) -> Self {
        f16::from_f32(f32::make(index))
    }
}

impl Make for i8 {
    fn make(index: usize) -> Self {
        (f32::make(index) * 255.0) as i8
    }
}

fn vectors<T: Make>(count: usize) -> Vec<T> {
    (0..count).map(T::make).collect()
}

fn kernels<T: Element>(case: Case) -> Kernels<T> {
    Kernels::with_simd(case.metric, case.simd).expect("cases are of available instruction sets")
}

#[divan::bench(types = [f32, f16, i8], args = cases())]
fn one<T: Make>(bencher: Bencher, case: Case) {
    let (kernels, dim) = (kernels::<T>(case), case.dim);
    let base: Vec<T> = vectors(HOT_ROWS * dim);
    bencher.counter(ItemsCount::new(HOT_ROWS)).bench_local(|| {
        for row in base.chunks_exact(dim) {
            black_box(kernels.one(black_box(&base[..dim]), row));
        }
    });
}

/// A bound that is never reached: what looking at it costs.
#[divan::bench(types = [f32, f16, i8], args = l2_cases())]
fn one_bounded<T: Make>(bencher: Bencher, case: Case) {
    let (kernels, dim) = (kernels::<T>(case), case.dim);
    let base: Vec<T> = vectors(HOT_ROWS * dim);
    bencher.counter(ItemsCount::new(HOT_ROWS)).bench_local(|| {
        for row in base.chunks_exact(dim) {
            black_box(kernels.one_bounded(black_box(&base[..dim]), row, f32::INFINITY));
        }
    });
}

/// Eight queries against a panel.
#[divan::bench(types = [f32, f16, i8], args = l2_cases())]
fn matrix<T: Make>(bencher: Bencher, case: Case) {
    let (kernels, dim) = (kernels::<T>(case), case.dim);
    let base: Vec<T> = vectors(64 * dim);
    let mut out = vec![0.0; 8 * 64];
    bencher.counter(ItemsCount::new(out.len())).bench_local(|| {
        kernels.matrix(black_box(&base[..8 * dim]), &base, dim, &mut out);
    });
}

/// Thirty-two rows anywhere in 512 MiB, as a graph names them. Every call names others.
#[divan::bench(args = l2_cases(), sample_size = 100)]
fn gather(bencher: Bencher, case: Case) {
    const HOP: usize = 32;
    let (kernels, dim) = (kernels::<f32>(case), case.dim);
    let count = (512 << 20) / (dim * size_of::<f32>());
    let base: Vec<f32> = vectors(count * dim);
    let mut out = [0.0; HOP];
    let mut state = 1u64;
    bencher.counter(ItemsCount::new(HOP)).bench_local(|| {
        let rows: [u32; HOP] = std::array::from_fn(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            ((state >> 33) % count as u64) as u32
        });
        kernels.many(black_box(&base[..dim]), &base, dim, &rows, &mut out);
        out[0]
    });
}
