//! Builds graphs over a data set and prints recall and speed for a sweep of `ef`.
//!
//! ```text
//! CAIRN_BENCH_DATA=<folder> cargo run --release -p cairn-index --example bench -- mnist-784
//! ```
//!
//! The folder holds `<set>.base.u8bin`, `<set>.query.u8bin` and `<set>.gt100.ibin`: little-endian
//! `u32` rows, `u32` dim, then the rows, of bytes or of `i32` row numbers of the nearest rows.
//!
//! | variable             | default               | meaning                                           |
//! |----------------------|-----------------------|---------------------------------------------------|
//! | `CAIRN_BENCH_DATA`   |                       | the folder                                        |
//! | `CAIRN_BENCH_INDEX`  | both                  | `hnsw`, `qg`, or both, interleaved; `ivf`: lists,  |
//! |                      |                       | of which `ef` is the number of probes             |
//! | `CAIRN_BENCH_GRAPH`  | build, do not keep    | a file: read the graph from it, or build and write |
//! | `CAIRN_BENCH_QG`     | build, do not keep    | the same for the quantised graph                  |
//! | `CAIRN_BENCH_THREADS`| 2                     | threads of the build; searches use one            |
//! | `CAIRN_BENCH_EF`     | 10,20,...             | the sweep                                         |
//! | `CAIRN_BENCH_CODES`  | none                  | codes that HNSW is searched by as well: `sq8,rabitq4,pq32` |
//! | `CAIRN_BENCH_K`      | 10                    | how many nearest rows                             |
//! | `CAIRN_BENCH_BITS`   | 1 from 256 dim, else 2| bits of a code of the quantised graph             |
//! | `CAIRN_BENCH_DEGREE` | 32                    | its links of a node                               |
//! | `CAIRN_BENCH_LISTS`  | one for 256 rows      | lists of `ivf`                                    |
//! | `CAIRN_BENCH_REFINE` | 0                     | its `ef_construction`                             |
//! | `CAIRN_BENCH_M`      | 16                    | `m`                                               |
//! | `CAIRN_BENCH_EFC`    | 200                   | `ef_construction`                                 |
//! | `CAIRN_BENCH_ROWS`   | all                   | the first rows only; the truth comes from a scan  |
//! | `CAIRN_BENCH_QUERIES`| 2000                  | how many queries, at most                         |
//! | `CAIRN_BENCH_REPEAT` | 3                     | passes; the median is printed with the extremes   |
//! | `CAIRN_BENCH_CLOCK`  | wall                  | `cpu`: only the time that the thread ran (Linux)  |
//! | `CAIRN_BENCH_ORDER`  | 0                     | 0: the rows of the file, 1: `locality_order`,     |
//! |                      |                       | 2: shuffled, 3: shuffled, then `locality_order`   |
#![expect(
    clippy::disallowed_methods,
    reason = "a program of its own, outside the rooms: it reads files and a clock"
)]

use std::cell::RefCell;
use std::error::Error;
use std::path::Path;
use std::time::Instant;
use std::{env, fs};

use cairn_index::{
    Coded, CodedSpace, Effort, Graph, Hit, HnswConfig, Metric, Quantisation, Query, Scratch,
    Vectors, Workers, flat, ivf, qg,
};

struct Threads(usize);

impl Workers for Threads {
    fn run(&self, work: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for worker in 0..self.0 {
                scope.spawn(move || work(worker));
            }
        });
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let set = env::args().nth(1).unwrap_or_else(|| "mnist-784".into());
    let folder = env::var("CAIRN_BENCH_DATA")?;
    let path = |part: &str| Path::new(&folder).join(format!("{set}.{part}"));
    let (rows, dim, base) = read(&path("base.u8bin"), 1)?;
    let (queries, _, query_bytes) = read(&path("query.u8bin"), 1)?;
    let (_, depth, truth_bytes) = read(&path("gt100.ibin"), 4)?;
    let (rows, all_rows) = (rows.min(setting("ROWS", usize::MAX)), rows);
    let queries = queries.min(setting("QUERIES", 2000));
    let k = setting("K", 10);

    let mut vectors = Vectors::with_capacity(dim, rows);
    vectors.fill_rows(rows, |row, slot| widen(&base, row as usize, slot));
    let mut query_rows = vec![0.0; queries * dim];
    for (row, slot) in query_rows.chunks_exact_mut(dim).enumerate() {
        widen(&query_bytes, row, slot);
    }
    let truth = if rows == all_rows {
        let (truth, _) = truth_bytes.as_chunks::<4>();
        let rows = truth
            .chunks_exact(depth)
            .take(queries)
            .flat_map(|nearest| &nearest[..k]);
        rows.map(|row| u32::from_le_bytes(*row)).collect()
    } else {
        scan(&vectors, &query_rows, k)?
    };
    // What is printed here is read by bench/native/cairn.mjs.
    let index = env::var("CAIRN_BENCH_INDEX").unwrap_or_else(|_| "both".into());
    println!(
        "{set}: rows={rows} dim={dim} vectors={:.1} MB",
        vectors.bytes() as f64 / 1e6
    );
    let listed = if index == "ivf" {
        Some(Listed::new(&vectors)?)
    } else {
        None
    };
    let quantised = if index == "hnsw" || index == "ivf" {
        None
    } else {
        Some(quantised(&vectors)?)
    };
    // Recall is counted in the numbers of the file.
    let hnsw = if index == "qg" || index == "ivf" {
        None
    } else {
        Some(hnsw(&vectors)?)
    };
    let codes = match &hnsw {
        Some((_, vectors, _)) => codes(vectors)?,
        None => Vec::new(),
    };
    let sweep = env::var("CAIRN_BENCH_EF")
        .unwrap_or_else(|_| "10,15,20,25,30,40,50,60,70,80,100,120,150,200,300,400".into());
    let own: Vec<u32> = (0..rows as u32).collect();
    for ef in sweep.split(',') {
        let ef = ef.parse()?;
        if let Some((graph, vectors, numbers)) = &hnsw {
            let sweep = Sweep {
                name: "hnsw",
                vectors,
                queries: &query_rows,
                numbers,
                truth: &truth,
                k,
            };
            sweep.run(ef, |query, scratch, hits| {
                let all = |_| true;
                graph.search(vectors, query, k, ef, all, scratch, || false, hits)
            });
        }
        for (name, coded) in &codes {
            let (graph, vectors, numbers) = hnsw.as_ref().expect("codes are walked over in it");
            let sweep = Sweep {
                name,
                vectors,
                queries: &query_rows,
                numbers,
                truth: &truth,
                k,
            };
            let space = RefCell::new(CodedSpace::default());
            sweep.run(ef, |query, scratch, hits| {
                let (all, space, never) = (|_| true, &mut *space.borrow_mut(), || false);
                graph.search_coded(
                    vectors, coded, query, k, ef, all, scratch, space, never, hits,
                )
            });
        }
        if let Some(listed) = &listed {
            let sweep = Sweep {
                name: "ivf",
                vectors: &vectors,
                queries: &query_rows,
                numbers: &own,
                truth: &truth,
                k,
            };
            let (postings, scratch) = (listed.postings(), RefCell::default());
            sweep.run(ef, |query, _, hits| {
                let (all, scratch, never) = (|_| true, &mut *scratch.borrow_mut(), || false);
                let head = &listed.head;
                head.search(&postings, &vectors, query, k, ef, all, scratch, never, hits)
            });
        }
        if let Some(graph) = &quantised {
            let sweep = Sweep {
                name: "qg",
                vectors: &vectors,
                queries: &query_rows,
                numbers: &own,
                truth: &truth,
                k,
            };
            sweep.run(ef, |query, scratch, hits| {
                let all = |_| true;
                graph.search(&vectors, query, k, ef, all, scratch, || false, hits)
            });
        }
    }
    Ok(())
}

/// Lists of the settings, their postings in memory.
struct Listed {
    head: ivf::Ivf,
    coarse: Vec<u8>,
    fine: Vec<u8>,
}

impl Listed {
    fn new(vectors: &Vectors) -> Result<Self, Box<dyn Error>> {
        let lists = setting("LISTS", 0);
        let config = ivf::Config {
            lists: (lists > 0).then_some(lists),
            seed: 0,
        };
        let threads = Threads(setting("THREADS", 2));
        let started = Instant::now();
        let built = ivf::Ivf::build(vectors, Metric::L2, &config, &threads, &())?;
        let seconds = started.elapsed().as_secs_f64();
        let started = Instant::now();
        let (mut coarse, mut fine) = (Vec::new(), Vec::new());
        for (region, bytes) in [
            (ivf::Region::Coarse, &mut coarse),
            (ivf::Region::Fine, &mut fine),
        ] {
            built.write_region(region, vectors, &threads, &(), |part| {
                bytes.extend_from_slice(part);
                Ok::<(), std::convert::Infallible>(())
            })?;
        }
        let encoded = started.elapsed().as_secs_f64();
        let head = built.into_head();
        println!(
            "ivf: lists={} build={seconds:.1} s encoded={encoded:.1} s head={:.1} MB coarse={:.1} MB fine={:.1} MB",
            head.lists(),
            head.memory_bytes() as f64 / 1e6,
            coarse.len() as f64 / 1e6,
            fine.len() as f64 / 1e6,
        );
        let listed = Self { head, coarse, fine };
        println!("{:?}", listed.head.check(&listed.postings())?);
        Ok(listed)
    }

    fn postings(&self) -> ivf::InMemory<'_> {
        ivf::InMemory {
            coarse: &self.coarse,
            fine: &self.fine,
        }
    }
}

/// The graph of the settings, its rows in the order wanted, and their numbers in the file.
fn hnsw(vectors: &Vectors) -> Result<Arranged, Box<dyn Error>> {
    let (graph, seconds) = graph(vectors)?;
    println!(
        "hnsw: build={seconds:.1} s links={:.1} MB",
        graph.bytes() as f64 / 1e6
    );
    let rows = vectors.len();
    let mut copy = Vectors::with_capacity(vectors.dim(), rows);
    copy.fill_rows(rows, |row, slot| slot.copy_from_slice(vectors.row(row)));
    let mut arranged = (graph, copy, (0..rows as u32).collect());
    let order = setting("ORDER", 0);
    if order >= 2 {
        arranged = rearrange(&arranged, &shuffled(rows));
    }
    if order % 2 == 1 {
        let started = Instant::now();
        arranged = rearrange(&arranged, &arranged.0.locality_order());
        println!("order={:.2} s", started.elapsed().as_secs_f64());
    }
    Ok(arranged)
}

/// Codes of the settings, by name: `sq8`, `sq4`, `rabitq1` to `rabitq8`, `pq<subspaces>`.
fn codes(vectors: &Vectors) -> Result<Vec<(String, Coded)>, Box<dyn Error>> {
    let names = env::var("CAIRN_BENCH_CODES").unwrap_or_default();
    let names = names.split(',').filter(|name| !name.is_empty());
    let mut all = Vec::new();
    for name in names {
        let number = |prefix: &str| name.strip_prefix(prefix).and_then(|it| it.parse().ok());
        let quantisation = match name {
            "sq8" => Quantisation::Sq8,
            "sq4" => Quantisation::Sq4,
            _ => match (number("rabitq"), number("pq")) {
                (Some(bits), _) => Quantisation::Rabitq { bits: bits as u8 },
                (_, Some(subspaces)) => Quantisation::Pq { subspaces, bits: 8 },
                _ => return Err(format!("no such codes: {name}").into()),
            },
        };
        let started = Instant::now();
        let threads = Threads(setting("THREADS", 2));
        let coded = Coded::new(vectors, Metric::L2, quantisation, &threads, &())?;
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "{name}: encoded={seconds:.1} s codes={:.1} MB",
            coded.bytes() as f64 / 1e6
        );
        all.push((name.to_owned(), coded));
    }
    Ok(all)
}

/// The quantised graph of the settings.
fn quantised(vectors: &Vectors) -> Result<qg::QuantisedGraph, Box<dyn Error>> {
    let config = qg::Config::new(vectors.dim());
    let config = qg::Config {
        degree: setting("DEGREE", config.degree),
        bits: setting("BITS", usize::from(config.bits)) as u8,
        ef_construction: setting("REFINE", config.ef_construction),
        ..config
    };
    let kept = env::var("CAIRN_BENCH_QG").ok();
    if let Some(bytes) = kept.as_ref().and_then(|path| fs::read(path).ok()) {
        let graph = qg::QuantisedGraph::from_bytes(&bytes, vectors.dim(), vectors.len())?;
        return Ok(graph);
    }
    let threads = Threads(setting("THREADS", 2));
    let started = Instant::now();
    let graph = qg::QuantisedGraph::build(vectors, Metric::L2, &config, &threads, &())?;
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "qg: build={seconds:.1} s records={:.1} MB",
        graph.bytes() as f64 / 1e6
    );
    println!("{:?}", graph.check(vectors)?);
    if let Some(path) = kept {
        fs::write(path, graph.to_bytes())?;
    }
    Ok(graph)
}

/// The rows nearest to each query.
fn scan(vectors: &Vectors, queries: &[f32], k: usize) -> Result<Vec<u32>, Box<dyn Error>> {
    let mut query = Query::new(&[], vectors.stride());
    let (mut truth, mut hits) = (Vec::new(), Vec::new());
    for vector in queries.chunks_exact(vectors.dim()) {
        query.set(vector);
        let (rows, tie) = (0..vectors.len() as u32, |a: u32, b: u32| a.cmp(&b));
        flat::search(
            vectors,
            Metric::L2,
            &query,
            k,
            rows,
            |_| true,
            tie,
            || false,
            &mut hits,
        )?;
        truth.extend(hits.iter().map(|hit| hit.row));
    }
    Ok(truth)
}

type Arranged = (Graph, Vectors, Vec<u32>);

/// Graph, rows and their numbers in another order.
fn rearrange((graph, vectors, numbers): &Arranged, order: &[u32]) -> Arranged {
    let mut moved = Vectors::with_capacity(vectors.dim(), order.len());
    moved.fill_rows(order.len(), |row, slot| {
        slot.copy_from_slice(vectors.row(order[row as usize]));
    });
    let numbers = order.iter().map(|&row| numbers[row as usize]).collect();
    (graph.permuted(order), moved, numbers)
}

fn shuffled(rows: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..rows as u32).collect();
    let mut state = 1u64;
    for last in (1..rows).rev() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        order.swap(last, (state >> 33) as usize % (last + 1));
    }
    order
}

/// Time since a moment: of this thread on a core with `CAIRN_BENCH_CLOCK=cpu`, otherwise of the world.
struct Clock(Instant, Option<f64>);

impl Clock {
    fn start() -> Self {
        Self(Instant::now(), Self::cpu())
    }

    fn seconds(&self) -> f64 {
        match (self.1, Self::cpu()) {
            (Some(from), Some(to)) => to - from,
            _ => self.0.elapsed().as_secs_f64(),
        }
    }

    fn cpu() -> Option<f64> {
        env::var("CAIRN_BENCH_CLOCK")
            .ok()
            .filter(|clock| clock == "cpu")?;
        let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        let nanoseconds: f64 = text.split(' ').next()?.parse().ok()?;
        Some(nanoseconds / 1e9)
    }
}

/// One point of a sweep.
struct Sweep<'a> {
    name: &'a str,
    vectors: &'a Vectors,
    queries: &'a [f32],
    numbers: &'a [u32],
    truth: &'a [u32],
    k: usize,
}

impl Sweep<'_> {
    fn run<E: std::fmt::Debug>(
        &self,
        ef: usize,
        search: impl Fn(&Query, &mut Scratch, &mut Vec<Hit>) -> Result<Effort, E>,
    ) {
        let mut query = Query::new(&[], self.vectors.stride());
        let (mut scratch, mut hits) = (Scratch::new(), Vec::with_capacity(self.k));
        let count = self.queries.len() / self.vectors.dim();
        let (mut found, mut hops, mut distances) = (0, 0, 0);
        let mut speeds = Vec::new();
        for pass in 0..setting("REPEAT", 3) {
            let started = Clock::start();
            let mut answers = Vec::with_capacity(count);
            for vector in self.queries.chunks_exact(self.vectors.dim()) {
                query.set(vector);
                let effort = search(&query, &mut scratch, &mut hits).expect("nobody stops it");
                if pass == 0 {
                    answers.push(hits.clone());
                    hops += effort.hops;
                    distances += effort.distances;
                }
            }
            speeds.push(count as f64 / started.seconds());
            for (at, hits) in answers.iter().enumerate() {
                let number = |hit: &Hit| self.numbers[hit.row as usize];
                let right = |row: &&u32| hits.iter().any(|hit| number(hit) == **row);
                found += self.truth[at * self.k..(at + 1) * self.k]
                    .iter()
                    .filter(right)
                    .count();
            }
        }
        if speeds.len() > 1 {
            speeds.remove(0); // Warm-up, and it kept the answers.
        }
        speeds.sort_by(f64::total_cmp);
        println!(
            "{:4} ef={ef:4} recall={:.4} qps={:8.0} ({:.0}-{:.0}) hops={:.1} distances={:.0}",
            self.name,
            found as f64 / (count * self.k) as f64,
            speeds[speeds.len() / 2],
            speeds[0],
            speeds[speeds.len() - 1],
            f64::from(hops) / count as f64,
            f64::from(distances) / count as f64,
        );
    }
}

fn graph(vectors: &Vectors) -> Result<(Graph, f64), Box<dyn Error>> {
    let kept = env::var("CAIRN_BENCH_GRAPH").ok();
    if let Some(bytes) = kept.as_ref().and_then(|path| fs::read(path).ok()) {
        return Ok((Graph::from_bytes(&bytes, vectors.len())?, 0.0));
    }
    let config = HnswConfig {
        ef_construction: setting("EFC", 200),
        ..HnswConfig::with_m(setting("M", 16))
    };
    let started = Instant::now();
    let threads = Threads(setting("THREADS", 2));
    let graph = Graph::build(vectors, Metric::L2, &config, &threads, &())?;
    let seconds = started.elapsed().as_secs_f64();
    println!("{:?}", graph.check(vectors, Metric::L2)?);
    if let Some(path) = kept {
        fs::write(path, graph.to_bytes())?;
    }
    Ok((graph, seconds))
}

fn setting(name: &str, default: usize) -> usize {
    let value = env::var(format!("CAIRN_BENCH_{name}"));
    value
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

/// Rows, dim, and the bytes of the rows.
fn read(path: &Path, component_bytes: usize) -> Result<(usize, usize, Vec<u8>), Box<dyn Error>> {
    let mut bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let number = |at: usize| -> Result<usize, Box<dyn Error>> {
        let number = bytes.get(at..at + 4).ok_or("the file has no header")?;
        Ok(u32::from_le_bytes(number.try_into()?) as usize)
    };
    let (rows, dim) = (number(0)?, number(4)?);
    if bytes.len() != 8 + rows * dim * component_bytes {
        return Err(format!("{}: wrong length", path.display()).into());
    }
    bytes.drain(..8);
    Ok((rows, dim, bytes))
}

fn widen(bytes: &[u8], row: usize, slot: &mut [f32]) {
    let dim = slot.len();
    for (to, from) in slot.iter_mut().zip(&bytes[row * dim..]) {
        *to = f32::from(*from);
    }
}
