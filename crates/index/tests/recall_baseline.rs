//! Recall and effort stay what they were: a change of the graph or the walk shows here as a diff.
//!
//! `tests/baseline/recall.json` is what this test found when it was last written, by
//! `CAIRN_BASELINE=write cargo test -p cairn-index --test recall_baseline`.

mod common;

use cairn_index::{HnswConfig, Metric, Query, Scratch};
use common::{Random, build, clustered, exact, matrix, normal, prepared};
use serde_json::{Value, json};

/// Kernels of different processors round differently, so graphs differ in a few links.
const RECALL_SLACK: f64 = 0.006;
const DISTANCES_SLACK: f64 = 0.03;

/// For one data set and one `m`: recall of the ten nearest and distances per query, by `ef`.
fn measure(rows: &[Vec<f32>], queries: &[Vec<f32>], metric: Metric, m: usize) -> Value {
    let vectors = matrix(rows, metric);
    let config = HnswConfig {
        ef_construction: 100,
        ..HnswConfig::with_m(m)
    };
    let graph = build(&vectors, metric, &config);
    let (mut scratch, mut hits) = (Scratch::new(), Vec::new());
    let mut points = Vec::new();
    for ef in [10, 20, 50, 100] {
        let (mut found, mut distances) = (0, 0);
        for query in queries {
            let query = prepared(query, metric);
            let truth = exact(&vectors, metric, &query, 10);
            let query = Query::new(&query, vectors.stride());
            let effort = graph
                .search(
                    &vectors,
                    &query,
                    10,
                    ef,
                    |_| true,
                    &mut scratch,
                    || false,
                    &mut hits,
                )
                .expect("nobody stops it");
            distances += effort.distances;
            found += hits
                .iter()
                .filter(|hit| truth.iter().any(|near| near.row == hit.row))
                .count();
        }
        points.push(json!({
            "ef": ef,
            "recall": found as f64 / (10 * queries.len()) as f64,
            "distances": f64::from(distances) / queries.len() as f64,
        }));
    }
    json!({ "metric": metric.name(), "dim": rows[0].len(), "rows": rows.len(), "m": m, "points": points })
}

fn baseline() -> Value {
    let mut random = Random::new(91);
    let mut found = Vec::new();
    for (name, dim, metric, m) in [
        ("normal", 16, Metric::L2, 16),
        ("normal", 16, Metric::L2, 8),
        ("normal", 32, Metric::Cosine, 16),
        ("normal", 12, Metric::L1, 12),
        ("normal", 12, Metric::Dot, 16),
        ("clusters", 32, Metric::L2, 16),
    ] {
        let mut rows = if name == "normal" {
            normal(dim, 5_200, &mut random)
        } else {
            clustered(dim, 5_200, 40, &mut random)
        };
        let queries = rows.split_off(5_000);
        let mut measured = measure(&rows, &queries, metric, m);
        measured["data"] = json!(name);
        found.push(measured);
    }
    Value::Array(found)
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the baseline is a file of the repository"
)]
fn recall_and_effort_are_those_of_the_baseline() {
    let found = baseline();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/baseline/recall.json");
    if std::env::var("CAIRN_BASELINE").is_ok_and(|wish| wish == "write") {
        let text = serde_json::to_string_pretty(&found).unwrap();
        std::fs::write(path, text + "\n").unwrap();
        return;
    }
    let kept: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let pairs = found
        .as_array()
        .unwrap()
        .iter()
        .zip(kept.as_array().unwrap());
    for (found, kept) in pairs {
        for part in ["data", "metric", "dim", "rows", "m"] {
            assert_eq!(
                found[part], kept[part],
                "the baseline is of other data; write it anew"
            );
        }
        let points = found["points"].as_array().unwrap().iter();
        for (found, kept) in points.zip(kept["points"].as_array().unwrap()) {
            println!("found={found} kept={kept}");
            let number = |point: &Value, part: &str| point[part].as_f64().unwrap();
            let recall = number(found, "recall") - number(kept, "recall");
            let distances = number(found, "distances") / number(kept, "distances") - 1.0;
            assert!(recall.abs() <= RECALL_SLACK, "found={found} kept={kept}");
            assert!(
                distances.abs() <= DISTANCES_SLACK,
                "found={found} kept={kept}"
            );
        }
    }
}
