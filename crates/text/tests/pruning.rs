//! What is skipped is nothing that counts: the best ten are the first ten of all.

mod common;

use cairn_testkit::Rng;
use cairn_text::{Analyzer, Query, QueryField};
use common::{Index, Row, search};

/// Words as in language: the n-th is about n times as rare as the first.
fn word(rng: &mut Rng) -> String {
    let rank = 1.0 / (rng.unit() + 0.002);
    format!("w{}", rank as u32)
}

fn rows(rng: &mut Rng, count: usize) -> Vec<Row> {
    let text = |rng: &mut Rng| {
        let length = 1 + (rng.unit() * rng.unit() * 40.0) as usize;
        let words: Vec<String> = (0..length).map(|_| word(rng)).collect();
        words.join(" ")
    };
    (0..count)
        .map(|_| vec![vec![text(rng)], vec![text(rng)]])
        .collect()
}

#[test]
fn the_best_few_are_the_first_of_all() {
    let rng = &mut Rng::new(11);
    let rows = rows(rng, 12_000);
    let analyzers = [Analyzer::default(); 2];
    let indexes = [
        (0, Index::of(&rows[..9_000], &analyzers, false)),
        (9_000, Index::of(&rows[9_000..], &analyzers, true)),
    ];
    let field = |field, weight| QueryField {
        field,
        analyzer: Analyzer::default(),
        weight,
    };
    for round in 0..60 {
        let words: Vec<String> = (0..1 + round % 6).map(|_| word(rng)).collect();
        let mut typed = words.join(" ");
        match round % 5 {
            1 => typed += " \"w1 w2\"",
            2 => typed += " w33*",
            _ => {}
        }
        let fields = [field(0, 1.0), field(1, [0.2, 1.0, 3.0][round % 3])];
        let query = Query::parse(&typed, &fields[..1 + round % 2]);
        let accept = |row: u32| row % 13 != 5;
        let bm25 = [(1.2, 0.75), (0.0, 0.5), (3.0, 1.0)][round % 3];
        let all = search(&query, &indexes, bm25, 100_000, &accept);
        for k in [1, 10, 200] {
            let best = search(&query, &indexes, bm25, k, &accept);
            assert_eq!(
                best,
                all[..k.min(all.len())],
                "{typed}, {k} of {}",
                all.len()
            );
        }
    }
}

#[test]
fn equal_rows_come_in_order_and_the_first_of_them_are_kept() {
    let rows = vec![vec![vec!["the same words".to_string()]]; 5_000];
    let analyzer = Analyzer::default();
    let index = [(0, Index::of(&rows, &[analyzer], false))];
    let query = Query::parse(
        "same words",
        &[QueryField {
            field: 0,
            analyzer,
            weight: 1.0,
        }],
    );
    let hits = search(&query, &index, (1.2, 0.75), 20, &|row| row >= 3_000);
    let found: Vec<u32> = hits.iter().map(|hit| hit.row).collect();
    assert_eq!(found, (3_000..3_020).collect::<Vec<u32>>());
}

#[test]
fn a_search_that_is_stopped_has_no_answer() {
    let rng = &mut Rng::new(12);
    let rows = rows(rng, 20_000);
    let analyzer = Analyzer::default();
    let Index::Text(index) = Index::of(&rows, &[analyzer], false) else {
        unreachable!("it was asked for");
    };
    for typed in ["w1 w2", "w1 AND w2", "\"w1 w2\"", "w1 -w2", "w*", "w33*"] {
        let query = Query::parse(
            typed,
            &[QueryField {
                field: 0,
                analyzer,
                weight: 1.0,
            }],
        );
        let mut answered = false;
        for patience in 0_u32.. {
            let mut looks = 0;
            let mut stop = || {
                looks += 1;
                looks > patience
            };
            let mut hits = Vec::new();
            let answer = index.gather(&query, &mut stop).and_then(|gathered| {
                let (statistics, bm25) = (gathered.statistics(), Default::default());
                gathered.search(statistics, bm25, 10, |_| true, &mut stop, &mut hits)
            });
            answered = answer.is_ok();
            assert_eq!(
                answered,
                looks <= patience,
                "{typed}: {looks} looks of {patience}"
            );
            assert_eq!(answered, !hits.is_empty());
            if answered {
                assert!(patience >= 2, "{typed}: {patience} looks at 20,000 rows");
                break;
            }
        }
        assert!(answered);
    }
}
