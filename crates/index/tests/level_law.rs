//! Levels follow the law: a row reaches layer `l` with probability `exp(-l / level_mult)`.

mod common;

use cairn_index::{Graph, HnswConfig, Metric, Report};
use common::{Random, Threads, matrix, normal};

const ROWS: usize = 20_000;

fn levels(config: &HnswConfig) -> Report {
    let vectors = matrix(&normal(1, ROWS, &mut Random::new(21)), Metric::L2);
    let graph = Graph::build(&vectors, Metric::L2, config, &Threads(2), &());
    let graph = graph.expect("nobody cancels it");
    graph
        .check(&vectors, Metric::L2)
        .expect("the graph is sound")
}

#[test]
fn the_histogram_follows_the_geometric_law() {
    for (m, seed) in [(2, 1), (4, 2), (16, 3), (16, 4), (48, 5)] {
        let config = HnswConfig {
            seed,
            ef_construction: 8,
            ..HnswConfig::with_m(m)
        };
        let report = levels(&config);
        println!("m={m} seed={seed} levels={:?}", report.levels);
        assert_eq!(report.levels.iter().sum::<usize>(), ROWS);
        let mut reaching = ROWS;
        for (level, &rows) in report.levels.iter().enumerate() {
            let probability = (-(level as f64) / config.level_mult).exp();
            let expected = ROWS as f64 * probability;
            // Five standard deviations of the binomial law, and room for the few at the top.
            let slack = 5.0 * (expected * (1.0 - probability)).sqrt() + 3.0;
            let off = (reaching as f64 - expected).abs();
            assert!(
                off <= slack,
                "level={level} reaching={reaching} expected={expected}"
            );
            reaching -= rows;
        }
    }
}

#[test]
fn a_level_mult_of_zero_gives_one_layer() {
    let config = HnswConfig {
        level_mult: 0.0,
        ef_construction: 8,
        ..HnswConfig::default()
    };
    assert_eq!(levels(&config).levels, [ROWS]);
}

#[test]
fn levels_depend_on_seed_and_row_alone() {
    let config = |seed| HnswConfig {
        seed,
        ef_construction: 8,
        ..HnswConfig::default()
    };
    assert_eq!(levels(&config(7)).levels, levels(&config(7)).levels);
    assert_ne!(levels(&config(7)).levels, levels(&config(8)).levels);
}
