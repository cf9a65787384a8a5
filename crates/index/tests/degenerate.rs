//! Data at the edge of sense: no dimension to speak of, one row, constant components, every metric;
//! and the one knob that must only ever help.

mod common;

use cairn_index::{Graph, HnswConfig, Metric, Query, Scratch, SingleThread, Vectors};
use common::{Random, Threads, build, matrix, nearest, normal, recall};

#[test]
fn an_empty_graph_answers_with_nothing() {
    let vectors = Vectors::with_capacity(3, 0);
    for metric in Metric::ALL {
        let graph = build(&vectors, metric, &HnswConfig::default());
        assert_eq!(nearest(&graph, &vectors, &[1.0, 2.0, 3.0], 5, 10), []);
        assert_eq!((graph.rows(), graph.levels()), (0, 0));
        assert!(graph.locality_order().is_empty());
    }
}

#[test]
fn few_rows_are_all_found() {
    for metric in Metric::ALL {
        for rows in [1, 2, 3, 5, 17, 33] {
            for dim in [1, 2, 3, 16, 17] {
                let vectors = matrix(&normal(dim, rows, &mut Random::new(81)), metric);
                for m in [2, 16] {
                    let graph = build(&vectors, metric, &HnswConfig::with_m(m));
                    for ef in [1, 100_000_000] {
                        let hits = nearest(&graph, &vectors, vectors.row(0), 100, ef);
                        assert_eq!(hits.len(), rows, "{metric} dim={dim} m={m}");
                    }
                }
            }
        }
    }
}

#[test]
fn k_of_zero_gives_nothing() {
    let vectors = matrix(&normal(4, 50, &mut Random::new(82)), Metric::L2);
    let graph = build(&vectors, Metric::L2, &HnswConfig::default());
    assert_eq!(nearest(&graph, &vectors, vectors.row(0), 0, 10), []);
}

#[test]
fn every_metric_recalls_in_few_and_in_constant_dimensions() {
    let mut random = Random::new(83);
    for metric in Metric::ALL {
        for dim in [1, 2, 3, 30] {
            let mut rows = normal(dim, 2_000, &mut random);
            let mut queries = normal(dim, 100, &mut random);
            if dim == 30 {
                // All but four components are the same everywhere.
                for row in rows.iter_mut().chain(&mut queries) {
                    row[4..].fill(2.5);
                }
            }
            let vectors = matrix(&rows, metric);
            let graph = build(&vectors, metric, &HnswConfig::default());
            let recall = recall(&graph, &vectors, &queries, 10, 100);
            println!("{metric} dim={dim} recall={recall}");
            // Inner products have their nearest rows at the rim, where lists point elsewhere.
            let least = if metric == Metric::Dot { 0.9 } else { 0.99 };
            assert!(recall >= least, "{metric} dim={dim} recall={recall}");
        }
    }
}

#[test]
fn zeros_and_extremes_break_nothing() {
    let mut rows = vec![vec![0.0; 5]; 50];
    rows.extend(vec![vec![f32::MAX; 5]; 50]);
    rows.extend(vec![vec![f32::MIN; 5]; 50]);
    rows.extend(vec![vec![f32::MIN_POSITIVE; 5]; 50]);
    rows.extend(normal(5, 100, &mut Random::new(84)));
    for metric in [Metric::L2, Metric::L1, Metric::Dot] {
        let vectors = matrix(&rows, metric);
        let graph = build(&vectors, metric, &HnswConfig::default());
        for row in [0, 60, 120, 170, 250] {
            assert_eq!(
                nearest(&graph, &vectors, &rows[row], 300, 300).len(),
                300,
                "{metric}"
            );
        }
    }
}

#[test]
fn a_longer_candidate_list_never_lowers_recall() {
    let mut random = Random::new(85);
    let vectors = matrix(&normal(20, 4_000, &mut random), Metric::L2);
    let queries = normal(20, 300, &mut random);
    let mut recalls = Vec::new();
    for ef_construction in [5, 10, 20, 50, 100, 200, 400] {
        let config = HnswConfig {
            ef_construction,
            ..HnswConfig::default()
        };
        let graph = build(&vectors, Metric::L2, &config);
        recalls.push(recall(&graph, &vectors, &queries, 10, 50));
    }
    println!("recalls={recalls:?}");
    // Within the noise of 3,000 neighbours.
    assert!(recalls.windows(2).all(|pair| pair[1] >= pair[0] - 0.005));
    assert!(recalls[6] > recalls[0] + 0.02);
}

#[test]
fn parameters_outside_their_range_are_refused() {
    let config = HnswConfig::default();
    for (wrong, message) in [
        (
            HnswConfig { m: 1, ..config },
            "m is out of range, value=1, min=2, max=128",
        ),
        (
            HnswConfig { m: 129, ..config },
            "m is out of range, value=129, min=2, max=128",
        ),
        (
            HnswConfig { m0: 513, ..config },
            "m0 is out of range, value=513, min=4, max=512",
        ),
        (
            HnswConfig { m_max: 0, ..config },
            "m_max is out of range, value=0, min=2, max=128",
        ),
        (
            HnswConfig {
                ef_construction: 0,
                ..config
            },
            "ef_construction is out of range, value=0, min=1, max=10000",
        ),
        (
            HnswConfig {
                level_mult: f64::NAN,
                ..config
            },
            "level_mult is out of range, value=NaN, min=0, max=4",
        ),
    ] {
        let vectors = Vectors::with_capacity(1, 0);
        let refused = Graph::build(&vectors, Metric::L2, &wrong, &SingleThread, &()).unwrap_err();
        assert_eq!(refused.to_string(), message);
        assert!(Graph::with_capacity(Metric::L2, &wrong, 10).is_err());
    }
    config.validate().unwrap();
}

#[test]
fn one_scratch_serves_graphs_of_all_sizes() {
    let mut random = Random::new(86);
    let mut scratch = Scratch::new();
    for rows in [10, 3_000, 2, 500, 3_001] {
        let vectors = matrix(&normal(3, rows, &mut random), Metric::L2);
        let config = HnswConfig::with_m(6);
        let graph = Graph::build(&vectors, Metric::L2, &config, &Threads(2), &()).unwrap();
        let query = Query::new(vectors.row(1), vectors.stride());
        let mut hits = Vec::new();
        graph
            .search(
                &vectors,
                &query,
                1,
                20,
                |_| true,
                &mut scratch,
                || false,
                &mut hits,
            )
            .unwrap();
        assert_eq!(hits[0].row, 1);
    }
}
