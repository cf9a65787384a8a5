//! Time per distance, guarded: every metric at several dimensions, for each element type, on the best
//! instruction set of this machine. The peer is a plain loop over `f32`, timed in turns with the kernel,
//! so that only their ratio counts. `tests/baseline/latency.txt` has the ratios that were measured
//! when the kernels were last looked at; a third of one is a regression.
//!
//! `CAIRN_BASELINE=write cargo test --release -p cairn-distance --test latency` writes those of this machine's
//! instruction set. Without optimisation times say nothing, so there is nothing to see here then.

#![cfg(not(debug_assertions))]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use cairn_distance::{Element, Kernels, Metric, Simd, f16};

const DIMS: [usize; 5] = [64, 128, 384, 768, 1536];
/// Rows that stay in the first two caches.
const ROWS: usize = 16;
const ROUNDS: usize = 200;
/// Of what was stored, so much has to be reached: one processor computes 512 bits at once where another of the
/// same instruction set takes two steps, and neighbours take their share.
const SHARE: f64 = 0.3;

type Ratios = BTreeMap<String, f64>;

#[test]
fn no_kernel_is_slower_than_it_was() {
    if Simd::active() == Simd::Scalar {
        println!("no vector instructions here: there is nothing to compare");
        return;
    }
    let mut measured = Ratios::new();
    measure::<f32>("f32", |x| x, &mut measured);
    measure::<f16>("f16", f16::from_f32, &mut measured);
    measure::<i8>("i8", |x| (x * 127.0) as i8, &mut measured);

    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/baseline/latency.txt");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    if std::env::var("CAIRN_BASELINE").is_ok_and(|value| value == "write") {
        std::fs::write(path, rewritten(&text, &measured)).expect("the baseline is written");
        return;
    }
    let stored = stored(&text);
    let known = measured
        .keys()
        .filter(|name| stored.contains_key(*name))
        .count();
    println!(
        "{known} of {} ratios are stored for {}",
        measured.len(),
        Simd::active()
    );
    let slower: Vec<String> = measured
        .iter()
        .filter_map(|(name, &ratio)| {
            let was = *stored.get(name)?;
            (ratio < was * SHARE)
                .then(|| format!("{name}: {ratio:.2}x a plain loop, was {was:.2}x"))
        })
        .collect();
    assert!(slower.is_empty(), "{slower:#?}");
}

/// How often faster the kernels are than a plain loop.
fn measure<T: Element>(element: &str, make: impl Fn(f32) -> T, measured: &mut Ratios) {
    for metric in [Metric::Cosine, Metric::L2, Metric::Dot, Metric::L1] {
        for dim in DIMS {
            let plain: Vec<f32> = (0..ROWS * dim).map(component).collect();
            let own: Vec<T> = plain.iter().map(|&x| make(x)).collect();
            let kernels = Kernels::<T>::new(metric);
            let (mut loop_ns, mut kernel_ns) = (f64::INFINITY, f64::INFINITY);
            for _ in 0..ROUNDS {
                let (a, rows) = (black_box(&plain[..dim]), black_box(&plain));
                loop_ns = loop_ns.min(per_row(|| {
                    rows.chunks_exact(dim)
                        .map(|row| plain_loop(metric, a, row))
                        .sum()
                }));
                let (a, rows) = (black_box(&own[..dim]), black_box(&own));
                kernel_ns = kernel_ns.min(per_row(|| {
                    rows.chunks_exact(dim).map(|row| kernels.one(a, row)).sum()
                }));
            }
            let name = format!("{} {element} {metric} {dim}", Simd::active());
            println!("{name}: {kernel_ns:.1} ns, a plain loop {loop_ns:.1} ns");
            measured.insert(name, loop_ns / kernel_ns);
        }
    }
}

/// Nanoseconds for one of [`ROWS`] rows, of eight passes.
fn per_row(mut pass: impl FnMut() -> f32) -> f64 {
    const PASSES: u32 = 8;
    let started = Instant::now();
    for _ in 0..PASSES {
        black_box(pass());
    }
    started.elapsed().as_secs_f64() * 1e9 / f64::from(PASSES) / ROWS as f64
}

fn plain_loop(metric: Metric, a: &[f32], b: &[f32]) -> f32 {
    let pairs = a.iter().zip(b);
    match metric {
        Metric::L2 => pairs.map(|(x, y)| (x - y) * (x - y)).sum(),
        Metric::L1 => pairs.map(|(x, y)| (x - y).abs()).sum(),
        _ => pairs.map(|(x, y)| x * y).sum(),
    }
}

fn component(index: usize) -> f32 {
    (index.wrapping_mul(2_654_435_761) >> 8 & 0xffff) as f32 / 65_536.0 - 0.5
}

fn stored(text: &str) -> Ratios {
    let line = |line: &str| {
        let (name, ratio) = line.rsplit_once(": ")?;
        Some((name.to_owned(), ratio.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// The lines of other instruction sets stay.
fn rewritten(text: &str, measured: &Ratios) -> String {
    let mut all = stored(text);
    all.extend(measured.iter().map(|(name, &ratio)| (name.clone(), ratio)));
    all.iter().fold(String::new(), |mut lines, (name, ratio)| {
        let _ = writeln!(lines, "{name}: {ratio:.2}");
        lines
    })
}
