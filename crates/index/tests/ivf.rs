//! Clustered postings: what is found, what is read for it, and that no rows are too odd.

#![allow(
    clippy::unwrap_used,
    reason = "functions that tests share, though no tests themselves"
)]
#![expect(unsafe_code, reason = "an allocator that counts has to be one")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cairn_index::ivf::{
    BuildError, Built, Config, ConfigError, Each, InMemory, Ivf, OutOfRange, Postings, Region,
    Scratch, SearchError, WriteError,
};
use cairn_index::{Effort, Hit, Lender, Metric, Progress, Query, SingleThread, Vectors, Workers};
use common::{Random, Threads, clustered, exact, matrix, normal, prepared};

const METRICS: [Metric; 3] = [Metric::L2, Metric::Cosine, Metric::Dot];

/// A head with its regions in memory.
struct Index {
    head: Ivf,
    coarse: Vec<u8>,
    fine: Vec<u8>,
}

impl Index {
    fn postings(&self) -> InMemory<'_> {
        InMemory {
            coarse: &self.coarse,
            fine: &self.fine,
        }
    }

    fn search(
        &self,
        vectors: &Vectors,
        query: &[f32],
        k: usize,
        probes: usize,
        accept: impl Fn(u32) -> bool,
    ) -> (Vec<Hit>, Effort) {
        let query = Query::new(query, query.len().next_multiple_of(16));
        let (mut scratch, mut hits) = (Scratch::new(), Vec::new());
        let effort = self
            .head
            .search(
                &self.postings(),
                vectors,
                &query,
                k,
                probes,
                accept,
                &mut scratch,
                || false,
                &mut hits,
            )
            .unwrap();
        (hits, effort)
    }
}

fn region(built: &Built, region: Region, vectors: &Vectors, workers: &dyn Workers) -> Vec<u8> {
    let mut bytes = Vec::new();
    built
        .write_region(region, vectors, workers, &(), |part| {
            bytes.extend_from_slice(part);
            Ok::<(), Infallible>(())
        })
        .unwrap();
    assert_eq!(bytes.len() as u64, built.head().region_bytes(region));
    bytes
}

fn index_with(vectors: &Vectors, metric: Metric, config: &Config, workers: &dyn Workers) -> Index {
    let built = Ivf::build(vectors, metric, config, workers, &()).unwrap();
    let index = Index {
        coarse: region(&built, Region::Coarse, vectors, workers),
        fine: region(&built, Region::Fine, vectors, workers),
        head: built.into_head(),
    };
    let report = index.head.check(&index.postings()).unwrap();
    assert_eq!(
        (report.rows, report.lists),
        (vectors.len(), index.head.lists())
    );
    assert!(report.list_rows_max <= 4096);
    index
}

fn index(vectors: &Vectors, metric: Metric) -> Index {
    index_with(vectors, metric, &Config::default(), &SingleThread)
}

fn uniform(dim: usize, rows: usize, random: &mut Random) -> Vec<Vec<f32>> {
    let mut row = || (0..dim).map(|_| random.uniform()).collect();
    (0..rows).map(|_| row()).collect()
}

/// The part of the 10 nearest that is found, by distance, and lists looked at.
fn recall(
    index: &Index,
    vectors: &Vectors,
    queries: &[Vec<f32>],
    probes: usize,
    accept: impl Fn(u32) -> bool,
) -> f64 {
    let (mut found, mut wanted) = (0, 0);
    for query in queries {
        let query = prepared(query, index.head.metric());
        let truth = exact(vectors, index.head.metric(), &query, vectors.len());
        let truth: Vec<&Hit> = truth
            .iter()
            .filter(|hit| accept(hit.row))
            .take(10)
            .collect();
        let Some(last) = truth.last() else { continue };
        let (hits, _) = index.search(vectors, &query, 10, probes, &accept);
        assert!(hits.is_sorted_by(|a, b| (a.distance, a.row) < (b.distance, b.row)));
        assert!(hits.iter().all(|hit| accept(hit.row)));
        wanted += truth.len();
        found += hits
            .iter()
            .filter(|hit| hit.distance <= last.distance)
            .count();
    }
    found as f64 / wanted.max(1) as f64
}

#[test]
fn most_of_the_nearest_are_found_in_few_lists() {
    let mut random = Random::new(901);
    for dim in [3, 24, 65, 128, 300] {
        for spread in [true, false] {
            let all = if spread {
                uniform(dim, 6_050, &mut random)
            } else {
                clustered(dim, 6_050, 40, &mut random)
            };
            let (rows, queries) = all.split_at(6_000);
            for metric in METRICS {
                let vectors = matrix(rows, metric);
                let index = index(&vectors, metric);
                let lists = index.head.lists();
                assert!((15..=60).contains(&lists), "{lists}");
                // Uniform rows of many components have no neighbourhoods: nearly all lists are needed.
                let probes = match (spread, dim) {
                    (false, _) => 6,
                    (true, 3) => 6,
                    (true, 24) => lists * 3 / 4,
                    (true, 300) => lists * 15 / 16,
                    (true, _) => lists * 7 / 8,
                };
                let some = recall(&index, &vectors, queries, probes, |_| true);
                let all = recall(&index, &vectors, queries, lists, |_| true);
                println!(
                    "dim={dim} {metric} spread={spread} lists={lists} probes={probes} {some:.4} all={all:.4}"
                );
                assert!(some >= 0.95, "{dim} {metric} spread={spread}: {some}");
                // One bit a component of rows that are all equally far: more than 512 others seem nearer to some.
                let least = if spread && dim == 300 { 0.98 } else { 0.998 };
                assert!(all >= least, "{dim} {metric} spread={spread}: {all}");
            }
        }
    }
}

#[test]
fn rows_of_any_shape_are_found_and_have_few_lists() {
    let mut random = Random::new(916);
    let shapes: [fn(usize, f32) -> f32; 3] = [
        |at, x| if at == 0 { 1000.0 * x } else { x },
        |at, x| x * (-0.1 * at as f32).exp(),
        |_, x| x * x * x,
    ];
    for (shape, dim) in shapes.into_iter().zip([128, 100, 300]) {
        let shaped = |row: Vec<f32>| row.into_iter().enumerate().map(|(at, x)| shape(at, x));
        let all = normal(dim, 6_030, &mut random).into_iter();
        let all: Vec<Vec<f32>> = all.map(|row| shaped(row).collect()).collect();
        let (rows, queries) = all.split_at(6_000);
        for metric in [Metric::L2, Metric::Dot] {
            let vectors = matrix(rows, metric);
            let index = index(&vectors, metric);
            let lists = index.head.lists();
            let share = recall(&index, &vectors, queries, lists, |_| true);
            println!("dim={dim} {metric} lists={lists} {share:.4}");
            assert!(share >= 0.99 && lists <= 100, "{share} {lists}");
        }
    }
}

#[test]
fn distances_are_those_of_a_scan() {
    let mut random = Random::new(902);
    for metric in METRICS {
        let rows = clustered(33, 1_500, 10, &mut random);
        let vectors = matrix(&rows, metric);
        let index = index(&vectors, metric);
        for query in &rows[..20] {
            let query = prepared(query, metric);
            let truth = exact(&vectors, metric, &query, vectors.len());
            let (hits, effort) = index.search(&vectors, &query, 10, 3, |_| true);
            assert_eq!(hits.len(), 10);
            for hit in hits {
                let right = truth.iter().find(|it| it.row == hit.row).unwrap();
                assert_eq!(hit.distance, right.distance);
            }
            assert_eq!(effort.hops, 3);
            assert!(effort.distances as usize <= index.head.lists() + 64);
        }
    }
}

#[test]
fn a_filter_leaves_as_many_hits_as_there_are_rows() {
    let mut random = Random::new(903);
    let all = clustered(48, 8_030, 30, &mut random);
    let (rows, queries) = all.split_at(8_000);
    let vectors = matrix(rows, Metric::L2);
    let index = index(&vectors, Metric::L2);
    let lists = index.head.lists();
    for per_thousand in [1, 10, 100, 500, 990] {
        let accept = |row: u32| u64::from(row).wrapping_mul(0x9E37_79B9) % 1000 < per_thousand;
        let accepted = (0..8_000).filter(|&row| accept(row)).count();
        for query in queries {
            let (hits, effort) = index.search(&vectors, query, 10, 2, accept);
            assert_eq!(hits.len(), accepted.min(10), "{per_thousand} in 1000");
            assert!(hits.iter().all(|hit| accept(hit.row)));
            assert!(effort.hops >= 2);
        }
        let share = recall(&index, &vectors, queries, lists, accept);
        println!("{per_thousand} in 1000: {accepted} rows, all lists {share:.4}");
        assert!(share >= 0.995, "{per_thousand}: {share}");
    }
    let (hits, effort) = index.search(&vectors, &queries[0], 10, 1, |_| false);
    assert_eq!((hits.len(), effort.hops as usize), (0, lists));
    let (hits, _) = index.search(&vectors, &queries[0], 10, 1, |row| row == 4_321);
    assert_eq!(hits[0].row, 4_321);
}

#[test]
fn more_rows_than_are_near_are_still_returned() {
    let mut random = Random::new(904);
    let vectors = matrix(&clustered(20, 3_000, 10, &mut random), Metric::L2);
    let index = index(&vectors, Metric::L2);
    let query = random.vector(20);
    for k in [1, 7, 256, 700, 2_999, 3_000, 5_000, usize::MAX] {
        let (hits, _) = index.search(&vectors, &query, k, 1, |_| true);
        assert_eq!(hits.len(), k.min(3_000));
    }
    let (hits, effort) = index.search(&vectors, &query, 0, 1, |_| true);
    assert_eq!((hits.len(), effort), (0, Effort::default()));
    let (all, _) = index.search(&vectors, &query, 3_000, usize::MAX, |_| true);
    assert_eq!(all, exact(&vectors, Metric::L2, &query, 3_000));
}

#[test]
fn bytes_are_the_same_with_any_number_of_threads() {
    let mut random = Random::new(905);
    for (dim, count) in [(8, 5_000), (70, 3_000)] {
        let mut rows = clustered(dim, count, 9, &mut random);
        rows.extend(vec![rows[0].clone(); 1_500]);
        for metric in METRICS {
            let vectors = matrix(&rows, metric);
            let config = Config {
                lists: None,
                seed: 7,
            };
            let alone = index_with(&vectors, metric, &config, &SingleThread);
            for threads in [2, 5] {
                let shared = index_with(&vectors, metric, &config, &Threads(threads));
                assert!(head_of(&shared.head) == head_of(&alone.head), "{metric}");
                assert!(shared.coarse == alone.coarse && shared.fine == alone.fine);
            }
            let other = index_with(&vectors, metric, &Config { seed: 8, ..config }, &Threads(2));
            assert!(other.coarse != alone.coarse);
        }
    }
}

fn head_of(head: &Ivf) -> Vec<u8> {
    let mut bytes = Vec::new();
    head.write_head(|part| {
        bytes.extend_from_slice(part);
        Ok::<(), Infallible>(())
    })
    .unwrap();
    assert_eq!(bytes.len(), head.head_bytes());
    bytes
}

/// Asks with rows and with others; all that is promised must hold.
fn exercise(rows: &[Vec<f32>], metric: Metric, config: &Config) -> Index {
    let vectors = matrix(rows, metric);
    let index = index_with(&vectors, metric, config, &Threads(2));
    let dim = rows[0].len();
    let mut queries = vec![rows[0].clone(), rows[rows.len() / 2].clone()];
    queries.extend([
        vec![0.0; dim],
        vec![1.0; dim],
        vec![1e30; dim],
        vec![1e-40; dim],
    ]);
    for query in &queries {
        for (k, probes) in [(1, 1), (10, 1), (10, usize::MAX), (rows.len(), 2)] {
            let query = prepared(query, metric);
            let (hits, _) = index.search(&vectors, &query, k, probes, |_| true);
            assert_eq!(hits.len(), k.min(rows.len()));
            let (hits, _) = index.search(&vectors, &query, k, probes, |row| row % 3 == 0);
            assert_eq!(hits.len(), k.min(rows.len().div_ceil(3)));
        }
    }
    index
}

#[test]
fn odd_rows_are_rows() {
    let mut random = Random::new(906);
    for dim in [1, 2, 3, 63, 64, 65, 257] {
        for metric in METRICS {
            let config = Config::default();
            let some = normal(dim, 700, &mut random);
            for count in [1, 2, 31, 33, 700] {
                exercise(&some[..count], metric, &config);
            }
            let with = |scale: f32| -> Vec<Vec<f32>> {
                let scaled = |row: &Vec<f32>| row.iter().map(|x| x * scale).collect();
                some.iter().map(scaled).collect()
            };
            for scale in [0.0, 1e-42, 1e-30, 1e15, 1e25, 3e37] {
                exercise(&with(scale), metric, &config);
            }
            // One row so far away that its lengths overflow, and rows that are no numbers.
            let mut mixed = some.clone();
            mixed[5] = vec![1e38; dim];
            exercise(&mixed, metric, &config);
            mixed[9] = vec![f32::NAN; dim];
            mixed[300] = vec![f32::INFINITY; dim];
            exercise(&mixed, metric, &config);
        }
    }
}

#[test]
fn equal_rows_are_cut_into_lists() {
    let mut random = Random::new(907);
    let one = random.vector(17);
    for metric in METRICS {
        let index = exercise(&vec![one.clone(); 5_000], metric, &Config::default());
        assert!((10..=20).contains(&index.head.lists()), "{:?}", index.head);
        let mut rows = clustered(17, 2_000, 5, &mut random);
        for at in [0, 1, 2] {
            rows.extend(vec![rows[at].clone(); 1_500]);
        }
        let index = exercise(&rows, metric, &Config::default());
        let report = index.head.check(&index.postings()).unwrap();
        assert!(report.list_rows_max <= 512, "{report:?}");
    }
}

#[test]
fn there_are_about_as_many_lists_as_wanted() {
    let mut random = Random::new(908);
    let rows = normal(12, 5_000, &mut random);
    for (wanted, range) in [
        (1, 2..=4),
        (2, 1..=5),
        (50, 35..=70),
        (5_000, 2_000..=5_000),
    ] {
        let config = Config {
            lists: Some(wanted),
            seed: 0,
        };
        let index = exercise(&rows, Metric::L2, &config);
        let lists = index.head.lists();
        println!("wanted={wanted} lists={lists}");
        assert!(range.contains(&lists), "{wanted}: {lists}");
    }
    let config = Config {
        lists: Some(usize::MAX),
        seed: 0,
    };
    exercise(&rows[..10], Metric::L2, &config);
}

#[test]
fn no_rows_have_no_lists() {
    let vectors = Vectors::with_capacity(5, 0);
    let index = index(&vectors, Metric::L2);
    assert_eq!((index.head.lists(), index.head.rows()), (0, 0));
    let (hits, _) = index.search(&vectors, &[0.0; 5], 10, 1, |_| true);
    assert_eq!(hits, []);
    let read = Ivf::read_head(&head_of(&index.head), 0, 5, Metric::L2).unwrap();
    assert_eq!(read.lists(), 0);
}

#[test]
fn what_cannot_be_is_refused() {
    let vectors = matrix(&normal(4, 10, &mut Random::new(909)), Metric::L2);
    let build = |metric, config: &Config| {
        Ivf::build(&vectors, metric, config, &SingleThread, &()).map(|_| ())
    };
    for metric in [Metric::L1, Metric::Hamming] {
        let refused = Err(BuildError::Config(ConfigError::Metric(metric)));
        assert_eq!(build(metric, &Config::default()), refused);
    }
    let none = Config {
        lists: Some(0),
        seed: 0,
    };
    assert_eq!(
        build(Metric::L2, &none),
        Err(BuildError::Config(ConfigError::Lists))
    );
}

/// Gives up after so many questions.
struct Impatient {
    left: AtomicUsize,
    told: AtomicUsize,
}

impl Progress for Impatient {
    fn advance(&self, rows: usize) {
        self.told.fetch_add(rows, Ordering::Relaxed);
    }

    fn cancelled(&self) -> bool {
        let less = |left: usize| Some(left.saturating_sub(1));
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            == Ok(0)
    }
}

#[test]
fn a_build_can_be_cancelled_at_any_time() {
    let vectors = matrix(&clustered(10, 3_000, 6, &mut Random::new(910)), Metric::L2);
    let config = Config::default();
    let impatient = |left| Impatient {
        left: AtomicUsize::new(left),
        told: AtomicUsize::new(0),
    };
    let patient = impatient(usize::MAX);
    let built = Ivf::build(&vectors, Metric::L2, &config, &SingleThread, &patient).unwrap();
    assert_eq!(patient.told.into_inner(), 3_000, "each row is told of once");
    let asked = usize::MAX - patient.left.into_inner();
    for left in (0..asked).step_by(asked / 40) {
        let build = Ivf::build(&vectors, Metric::L2, &config, &Threads(2), &impatient(left));
        assert_eq!(build.map(|_| ()), Err(BuildError::Cancelled), "{left}");
    }
    let never = |_: &[u8]| -> Result<(), u8> { panic!("nothing was encoded") };
    let cancelled = built.write_region(
        Region::Coarse,
        &vectors,
        &SingleThread,
        &impatient(0),
        never,
    );
    assert_eq!(cancelled, Err(WriteError::Cancelled));
    let refused = built.write_region(Region::Fine, &vectors, &SingleThread, &(), |_| Err(3));
    assert_eq!(refused, Err(WriteError::Put(3)));
    let patient = impatient(usize::MAX);
    let put = |_: &[u8]| Ok::<(), Infallible>(());
    let written = built.write_region(Region::Fine, &vectors, &SingleThread, &patient, put);
    assert_eq!(written, Ok(()));
    assert_eq!(patient.told.into_inner(), 3_000);
}

/// Notes what is read, and hands it over backwards and unaligned if told to.
struct Noting<'a> {
    inner: InMemory<'a>,
    backwards: bool,
    calls: RefCell<Vec<(Region, Vec<Range<u64>>)>>,
}

impl Postings for Noting<'_> {
    type Error = OutOfRange;

    fn read(
        &self,
        region: Region,
        ranges: &[Range<u64>],
        each: &mut Each<'_>,
    ) -> Result<(), OutOfRange> {
        self.calls.borrow_mut().push((region, ranges.to_vec()));
        if !self.backwards {
            return self.inner.read(region, ranges, each);
        }
        let places = (0..ranges.len()).rev();
        let mut shifted = Vec::new();
        for place in places {
            let mut flow = std::ops::ControlFlow::Continue(());
            let range = std::slice::from_ref(&ranges[place]);
            self.inner.read(region, range, &mut |_, bytes| {
                shifted.clear();
                shifted.push(0);
                shifted.extend_from_slice(bytes);
                flow = each(place, &shifted[1..]);
                flow
            })?;
            if flow.is_break() {
                break;
            }
        }
        Ok(())
    }
}

#[test]
fn two_rounds_read_the_lists_probed_and_nothing_else() {
    let mut random = Random::new(911);
    let all = clustered(40, 10_050, 100, &mut random);
    let (rows, queries) = all.split_at(10_000);
    for metric in METRICS {
        let vectors = matrix(rows, metric);
        let index = index(&vectors, metric);
        let head = &index.head;
        let parts = |region| (0..head.lists() as u32).map(move |list| head.part(region, list));
        let (mut scratch, mut hits) = (Scratch::new(), Vec::new());
        for (query, backwards) in queries.iter().zip([false, true].into_iter().cycle()) {
            let postings = Noting {
                inner: index.postings(),
                backwards,
                calls: RefCell::new(Vec::new()),
            };
            let query = Query::new(&prepared(query, metric), vectors.stride());
            let effort = head
                .search(
                    &postings,
                    &vectors,
                    &query,
                    10,
                    5,
                    |_| true,
                    &mut scratch,
                    || false,
                    &mut hits,
                )
                .unwrap();
            assert_eq!((hits.len(), effort.hops), (10, 5));
            let calls = postings.calls.into_inner();
            assert!(calls.len() <= 2, "{}", calls.len());
            let (region, first) = &calls[0];
            assert_eq!((*region, first.len()), (Region::Coarse, 5));
            let mut probed = Vec::new();
            for range in first {
                assert_eq!(range.start % 64, 0);
                let list = parts(Region::Coarse)
                    .position(|part| part == *range)
                    .unwrap();
                assert!(!probed.contains(&(list as u32)));
                probed.push(list as u32);
            }
            let Some((region, second)) = calls.get(1) else {
                continue;
            };
            assert_eq!(*region, Region::Fine);
            assert!(second.len() > 64 && second.len() <= 512, "{}", second.len());
            assert!(second.is_sorted_by(|a, b| a.end <= b.start));
            for range in second {
                let within = |part: Range<u64>| part.start <= range.start && range.end <= part.end;
                assert!(
                    probed
                        .iter()
                        .any(|&list| within(head.part(Region::Fine, list)))
                );
            }
        }
    }
}

/// Fails at a call.
struct Failing<'a>(InMemory<'a>, Cell<usize>);

impl Postings for Failing<'_> {
    type Error = &'static str;

    fn read(
        &self,
        region: Region,
        ranges: &[Range<u64>],
        each: &mut Each<'_>,
    ) -> Result<(), &'static str> {
        if self.1.replace(self.1.get().wrapping_sub(1)) == 0 {
            return Err("the disk is gone");
        }
        self.0
            .read(region, ranges, each)
            .map_err(|_| "out of range")
    }
}

#[test]
fn errors_of_the_source_and_stops_end_a_search() {
    let mut random = Random::new(912);
    let vectors = matrix(&normal(128, 4_000, &mut random), Metric::L2);
    let index = index(&vectors, Metric::L2);
    let query = Query::new(&random.vector(128), vectors.stride());
    let (mut scratch, mut hits) = (Scratch::new(), Vec::new());
    let mut ask = |at: usize, looks: usize| {
        let (left, looked) = (Cell::new(looks), Cell::new(0));
        let stop = || {
            looked.set(looked.get() + 1);
            left.replace(left.get().saturating_sub(1)) == 0
        };
        let postings = Failing(index.postings(), Cell::new(at));
        let found = index.head.search(
            &postings,
            &vectors,
            &query,
            10,
            8,
            |_| true,
            &mut scratch,
            stop,
            &mut hits,
        );
        (found.map(|_| ()), looked.get())
    };
    for at in [0, 1] {
        let (found, _) = ask(at, usize::MAX);
        assert_eq!(found, Err(SearchError::Source("the disk is gone")));
    }
    let (found, looked) = ask(2, usize::MAX);
    assert_eq!(found, Ok(()));
    assert!(looked > 8, "once a list at least");
    for looks in 0..looked {
        assert_eq!(ask(2, looks).0, Err(SearchError::Stopped), "{looks}");
    }
    assert_eq!(ask(2, looked).0, Ok(()));
}

#[test]
fn a_measured_recall_is_that_of_unseen_queries() {
    let mut random = Random::new(913);
    let all = normal(12, 10_400, &mut random);
    let (rows, queries) = all.split_at(10_000);
    for metric in METRICS {
        let vectors = matrix(rows, metric);
        let index = index(&vectors, metric);
        let workers = Threads(2);
        let points = index
            .head
            .calibrate(&index.postings(), &vectors, &workers, &())
            .unwrap();
        assert_eq!(points[0].ef, 1);
        assert!(points.is_sorted_by(|a, b| a.ef < b.ef));
        assert!(points.last().unwrap().recall >= 0.995);
        for point in points {
            let unseen = recall(&index, &vectors, queries, point.ef as usize, |_| true) as f32;
            println!(
                "{metric} probes={} {:.4} {unseen:.4}",
                point.ef, point.recall
            );
            let tolerance = 0.015 + 0.15 * (1.0 - point.recall);
            assert!((unseen - point.recall).abs() < tolerance);
        }
        let stopped = Impatient {
            left: AtomicUsize::new(30),
            told: AtomicUsize::new(0),
        };
        let stopped = index
            .head
            .calibrate(&index.postings(), &vectors, &workers, &stopped);
        assert_eq!(stopped, Err(SearchError::Stopped));
    }
}

/// Counts what a thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn warm_searches_allocate_nothing() {
    let mut random = Random::new(914);
    let all = normal(70, 5_050, &mut random);
    let (rows, queries) = all.split_at(5_000);
    for metric in METRICS {
        let vectors = matrix(rows, metric);
        let index = index(&vectors, metric);
        let postings = index.postings();
        let (mut scratch, mut hits) = (Scratch::new(), Vec::new());
        let mut query = Query::new(&[], vectors.stride());
        let mut pass = || {
            let before = ALLOCATIONS.get();
            for vector in queries {
                let mut unit = [0.0; 70];
                let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
                for (slot, x) in unit.iter_mut().zip(vector) {
                    *slot = x / length;
                }
                query.set(&unit);
                for (probes, one_in) in [(1, 1), (3, 40), (8, 1), (usize::MAX, 2)] {
                    index
                        .head
                        .search(
                            &postings,
                            &vectors,
                            &query,
                            10,
                            probes,
                            |row| row % one_in == 0,
                            &mut scratch,
                            || false,
                            &mut hits,
                        )
                        .unwrap();
                }
            }
            ALLOCATIONS.get() - before
        };
        let (cold, warm) = (pass(), pass());
        println!("{metric} cold={cold} warm={warm}");
        assert!(cold > 0);
        assert_eq!(warm, 0);
    }
}

/// Rows as they lie in a file.
#[derive(Debug)]
struct Lent(Vec<f32>);

impl Lender for Lent {
    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

#[test]
fn rows_that_are_lent_are_found_as_own_ones_are() {
    let mut random = Random::new(915);
    let all = clustered(21, 3_030, 12, &mut random);
    let (rows, queries) = all.split_at(3_000);
    for metric in METRICS {
        let own = matrix(rows, metric);
        let length = |row: &Vec<f32>| row.iter().map(|x| x * x).sum::<f32>().sqrt();
        let scales = match metric {
            Metric::Cosine => rows.iter().map(|row| 1.0 / length(row)).collect(),
            _ => Vec::new(),
        };
        let lent = Vectors::lent(21, Arc::new(Lent(rows.concat())), scales);
        let (of_own, of_lent) = (index(&own, metric), index(&lent, metric));
        for query in queries {
            let query = prepared(query, metric);
            let (near, _) = of_own.search(&own, &query, 10, usize::MAX, |_| true);
            let (hits, _) = of_lent.search(&lent, &query, 10, usize::MAX, |_| true);
            for (hit, near) in hits.iter().zip(&near) {
                assert!((hit.distance - near.distance).abs() <= 1e-5 * (1.0 + near.distance.abs()));
            }
            assert_eq!(hits.len(), near.len());
        }
    }
}
