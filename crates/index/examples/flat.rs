//! Compares a scan of rows with a scan of their codes: time, rows measured, and what is missed.
//!
//! ```text
//! CAIRN_BENCH_DATA=<folder> cargo run --release -p cairn-index --example flat -- mnist-784 20000
//! ```
//!
//! The folder is that of the example `bench`. One thread; of each query the faster of two runs, in
//! turns.
#![expect(
    clippy::disallowed_methods,
    reason = "a program of its own, outside the rooms: it reads files and a clock"
)]

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{env, fs};

use cairn_index::flat::{self, CodeSpace, Codes, TopK};
use cairn_index::{Metric, Query, Vectors};

const K: usize = 10;
const QUERIES: usize = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let set = arguments.next().unwrap_or_else(|| "mnist-784".into());
    let rows: usize = arguments.next().map_or(Ok(20_000), |rows| rows.parse())?;
    let folder = env::var("CAIRN_BENCH_DATA")?;
    let read = |part: &str| fs::read(Path::new(&folder).join(format!("{set}.{part}.u8bin")));
    let (base, queries) = (read("base")?, read("query")?);
    let word = |at: usize| base[at..at + 4].try_into().map(u32::from_le_bytes);
    let (held, dim) = (word(0)? as usize, word(4)? as usize);
    let rows = rows.min(held);
    let widen = |bytes: &[u8], slot: &mut [f32]| {
        for (x, &byte) in slot.iter_mut().zip(bytes) {
            *x = f32::from(byte);
        }
    };
    let mut vectors = Vectors::with_capacity(dim, rows);
    let step = held / rows;
    vectors.fill_rows(rows, |row, slot| {
        widen(&base[8 + row as usize * step * dim..][..dim], slot);
    });
    let started = Instant::now();
    let codes = Codes::new(&vectors, Metric::L2).ok_or("no codes for these rows")?;
    let built = started.elapsed();
    println!(
        "{set}: rows={rows} dim={dim} codes={:.1} % of the rows, {:.2} us a row",
        codes.bytes() as f64 / vectors.bytes() as f64 * 100.0,
        built.as_secs_f64() * 1e6 / rows as f64,
    );
    let (mut space, mut hits) = (CodeSpace::default(), Vec::new());
    let tie = |a: u32, b: u32| a.cmp(&b);
    for deviations in [1.9, 2.6, 3.3] {
        let (mut whole, mut short) = (Duration::ZERO, Duration::ZERO);
        let (mut found, mut measured) = (0, 0);
        for query in queries[8..].chunks_exact(dim).take(QUERIES) {
            let mut slot = vec![0.0; dim];
            widen(query, &mut slot);
            let query = Query::new(&slot, vectors.stride());
            let (mut best, mut best_short) = (Duration::MAX, Duration::MAX);
            let mut nearest = Vec::new();
            for _ in 0..2 {
                let started = Instant::now();
                let all = 0..rows as u32;
                flat::search(
                    &vectors,
                    Metric::L2,
                    &query,
                    K,
                    all,
                    |_| true,
                    tie,
                    || false,
                    &mut nearest,
                )?;
                best = best.min(started.elapsed());
                let started = Instant::now();
                let mut top = TopK::new(K);
                let effort = codes.scan(
                    &vectors,
                    &query,
                    deviations,
                    |_| true,
                    tie,
                    || false,
                    &mut space,
                    &mut top,
                )?;
                hits.clear();
                top.finish(tie, &mut hits);
                best_short = best_short.min(started.elapsed());
                measured += effort.distances as usize;
            }
            whole += best;
            short += best_short;
            found += nearest.iter().filter(|near| hits.contains(near)).count();
        }
        let micros = |sum: Duration| sum.as_secs_f64() * 1e6 / QUERIES as f64;
        println!(
            "deviations={deviations}: rows {:.0} us, codes {:.0} us ({:.1}x), measured {:.1} %, recall {:.4}",
            micros(whole),
            micros(short),
            whole.as_secs_f64() / short.as_secs_f64(),
            measured as f64 / (2 * QUERIES * rows) as f64 * 100.0,
            found as f64 / (K * QUERIES) as f64,
        );
    }
    Ok(())
}
