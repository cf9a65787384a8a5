//! Rows that are not accepted are walked through and never returned, and the answer holds `k` rows as
//! long as `k` are accepted, however few those are.

mod common;

use cairn_index::{Graph, Hit, HnswConfig, Metric, Query, Scratch, Stopped, Vectors};
use common::{Random, build, clustered, exact, matrix};

fn search(
    graph: &Graph,
    vectors: &Vectors,
    query: &[f32],
    (k, ef): (usize, usize),
    accept: impl Fn(u32) -> bool,
) -> Vec<Hit> {
    let query = Query::new(query, vectors.stride());
    let (mut scratch, mut hits) = (Scratch::new(), Vec::new());
    graph
        .search(
            vectors,
            &query,
            k,
            ef,
            accept,
            &mut scratch,
            || false,
            &mut hits,
        )
        .expect("nobody stops it");
    hits
}

#[test]
fn any_share_of_tombstones_leaves_full_answers() {
    let mut random = Random::new(31);
    let rows = clustered(12, 5_000, 25, &mut random);
    let mut near = |row: &[f32]| row.iter().map(|x| x + random.normal()).collect();
    let queries: Vec<Vec<f32>> = rows.iter().step_by(100).map(|row| near(row)).collect();
    let vectors = matrix(&rows, Metric::L2);
    let graph = build(&vectors, Metric::L2, &HnswConfig::default());
    for per_mille in [0, 1, 5, 20, 100, 500, 900, 1000] {
        let alive: Vec<bool> = rows
            .iter()
            .map(|_| random.below(1_000) < per_mille)
            .collect();
        let count = alive.iter().filter(|&&alive| alive).count();
        let (mut found, mut wanted) = (0, 0);
        for query in &queries {
            let hits = search(&graph, &vectors, query, (10, 64), |row| alive[row as usize]);
            assert_eq!(hits.len(), count.min(10), "alive={count}");
            assert!(hits.iter().all(|hit| alive[hit.row as usize]));
            assert!(hits.is_sorted_by(|a, b| a.distance <= b.distance));
            let mut truth = exact(&vectors, Metric::L2, query, 5_000);
            truth.retain(|hit| alive[hit.row as usize]);
            truth.truncate(10);
            wanted += truth.len();
            found += hits.iter().filter(|hit| truth.contains(hit)).count();
        }
        println!(
            "alive={count} recall={}",
            found as f64 / wanted.max(1) as f64
        );
        assert!(found as f64 >= 0.97 * wanted as f64, "alive={count}");
    }
}

#[test]
fn the_last_row_alive_is_found_from_anywhere() {
    let mut random = Random::new(32);
    let rows = clustered(8, 3_000, 30, &mut random);
    let vectors = matrix(&rows, Metric::L2);
    let graph = build(&vectors, Metric::L2, &HnswConfig::with_m(4));
    for _ in 0..200 {
        let alive = random.below(3_000) as u32;
        let from = random.below(3_000);
        let hits = search(&graph, &vectors, &rows[from], (1, 1), |row| row == alive);
        assert_eq!(hits.iter().map(|hit| hit.row).collect::<Vec<_>>(), [alive]);
    }
}

#[test]
fn duplicates_of_a_dead_row_are_found() {
    let mut random = Random::new(33);
    let mut rows = clustered(8, 2_000, 20, &mut random);
    let twin = rows[77].clone();
    rows.extend(vec![twin.clone(); 1_000]);
    let vectors = matrix(&rows, Metric::L2);
    let graph = build(&vectors, Metric::L2, &HnswConfig::default());
    for _ in 0..50 {
        let alive = 2_000 + random.below(1_000) as u32;
        let hits = search(&graph, &vectors, &twin, (1, 10), |row| {
            row == alive || row < 77
        });
        assert_eq!((hits[0].row, hits[0].distance), (alive, 0.0));
    }
}

#[test]
fn stop_ends_a_search_without_an_answer() {
    let vectors = matrix(&clustered(8, 500, 5, &mut Random::new(34)), Metric::L2);
    let graph = build(&vectors, Metric::L2, &HnswConfig::default());
    let query = Query::new(vectors.row(0), vectors.stride());
    let (mut scratch, mut hits) = (Scratch::new(), Vec::new());
    let stopped = graph.search(
        &vectors,
        &query,
        5,
        50,
        |_| true,
        &mut scratch,
        || true,
        &mut hits,
    );
    assert_eq!(stopped, Err(Stopped));
    assert!(hits.is_empty());
}
