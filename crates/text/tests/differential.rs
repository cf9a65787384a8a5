//! Every kind of query over small random collections, against a scorer that looks at every word.
//!
//! `CAIRN_TEXT_SEED` is the number of the first collection; a failure names its own.

mod common;

use cairn_testkit::{Rng, seed_from_env};
use cairn_text::{Analyzer, Language, PREFIXES_MAX, QueryField, TERMS_MAX};
use common::{Ask, Collection, Row};

/// Few words, so that everything meets: some are prefixes of others, some have one stem, some are left
/// out in English.
const WORDS: [&str; 20] = [
    "sea",
    "seal",
    "seals",
    "seaside",
    "tide",
    "tides",
    "tidal",
    "the",
    "of",
    "and",
    "run",
    "running",
    "runner",
    "moon",
    "moons",
    "Sun",
    "ISLAND",
    "o'clock",
    "3.14",
    "gr\u{fc}n",
];

fn words(rng: &mut Rng, most: usize) -> String {
    let count = rng.range(0..most + 1);
    // Squared: the first ones are common.
    let pick = |rng: &mut Rng| WORDS[(rng.unit() * rng.unit() * WORDS.len() as f64) as usize];
    let words: Vec<&str> = (0..count).map(|_| pick(rng)).collect();
    words.join([" ", ", ", " - "][rng.range(0..3)])
}

fn row(rng: &mut Rng, fields: usize) -> Row {
    let mut row = Vec::new();
    for _ in 0..rng.range(0..fields + 1) {
        let texts = [0, 1, 1, 1, 1, 2, 3][rng.range(0..7)];
        row.push((0..texts).map(|_| words(rng, 12)).collect());
    }
    row
}

fn collection(rng: &mut Rng) -> Collection {
    let analyzers = [
        Analyzer::default(),
        Analyzer::new(Language::English),
        Analyzer {
            drops_stop_words: false,
            ..Analyzer::new(Language::English)
        },
    ];
    let fields = 1 + rng.range(0..3);
    let analyzers: Vec<Analyzer> = (0..fields).map(|_| analyzers[rng.range(0..3)]).collect();
    let mut searched: Vec<usize> = (0..fields).collect();
    searched.retain(|field| *field == 0 || rng.chance(0.7));
    let searched: Vec<QueryField> = searched
        .into_iter()
        .map(|field| QueryField {
            field,
            analyzer: analyzers[field],
            weight: [1.0, 0.3, 2.5][rng.range(0..3)],
        })
        .collect();
    // Some are large enough for full blocks.
    let count = if rng.chance(0.1) {
        rng.range(400..900)
    } else {
        rng.range(0..60)
    };
    Collection {
        rows: (0..count).map(|_| row(rng, fields)).collect(),
        analyzers,
        fields: searched,
        bm25: [(1.2, 0.75), (0.0, 0.0), (2.0, 1.0), (0.9, 0.4)][rng.range(0..4)],
    }
}

fn ask(rng: &mut Rng, depth: usize) -> Ask {
    let kinds = if depth == 0 { 4 } else { 7 };
    match rng.range(0..kinds) {
        0 | 1 => Ask::Words(WORDS[rng.range(0..17)].into()),
        2 => {
            let count = 2 + rng.range(0..2);
            let words: Vec<&str> = (0..count).map(|_| WORDS[rng.range(0..12)]).collect();
            Ask::Words(words.join(" "))
        }
        3 => Ask::Prefix(["s", "se", "sea", "TI", "r", "run", "x"][rng.range(0..7)].into()),
        _ => {
            let mut some = |most: usize| {
                let count = rng.range(0..most + 1);
                (0..count)
                    .map(|_| ask(rng, depth - 1))
                    .collect::<Vec<Ask>>()
            };
            let (must, mut should, not) = (some(2), some(3), some(1));
            if must.len() + should.len() + not.len() == 0 {
                should.push(Ask::Words("sea".into()));
            }
            Ask::Group { must, should, not }
        }
    }
}

/// A split of all rows, in order.
fn sizes(rng: &mut Rng, rows: usize) -> Vec<usize> {
    let mut sizes = Vec::new();
    let mut left = rows;
    while left > 0 && sizes.len() < 4 {
        let size = rng.range(0..left + 1);
        sizes.push(size);
        left -= size;
    }
    sizes.push(left);
    sizes
}

fn check(seed: u64) {
    let rng = &mut Rng::new(seed);
    let collection = collection(rng);
    let deleted = rng.range(2..9) as u32;
    let accept = |row: u32| !row.is_multiple_of(deleted);
    for _ in 0..12 {
        let ask = loop {
            let ask = ask(rng, 3);
            if ask.terms() <= TERMS_MAX && ask.prefixes() <= PREFIXES_MAX {
                break ask;
            }
        };
        let typed = ask.typed(rng);
        let said = format!("seed {seed}: {typed} over {:?}", collection.fields);
        let naive = collection.naive(&ask);
        let k = [1, 3, 10, 10_000][rng.range(0..4)];
        let [one, other] = [
            sizes(rng, collection.rows.len()),
            vec![collection.rows.len()],
        ];
        let hits = collection.search(&typed, &one, true, k, &accept);
        let whole = collection.search(&typed, &other, false, k, &accept);
        assert_eq!(hits, whole, "{said}: the same in one index as in {one:?}");

        let mut expected: Vec<f64> = (0_u32..)
            .zip(&naive)
            .filter_map(|(row, score)| score.filter(|_| accept(row)))
            .collect();
        expected.sort_by(|a, b| b.total_cmp(a));
        expected.truncate(k);
        assert_eq!(hits.len(), expected.len(), "{said}");
        for (hit, best) in hits.iter().zip(expected) {
            assert!(accept(hit.row), "{said}: row {} is deleted", hit.row);
            let near = |score: f64| (f64::from(hit.score) - score).abs() <= 1e-5 * best.max(1.0);
            let own = naive[hit.row as usize].expect(&said);
            assert!(
                near(own),
                "{said}: row {} has {} and not {own}",
                hit.row,
                hit.score
            );
            assert!(near(best), "{said}: {} where {best} is best", hit.score);
        }
    }
}

#[test]
fn every_kind_of_query_scores_as_by_definition() {
    let first = seed_from_env("CAIRN_TEXT_SEED", 0);
    (first..first + 250).for_each(check);
}

#[test]
fn ties_are_in_the_order_of_the_caller_and_none_of_them_is_skipped() {
    let analyzer = Analyzer::default();
    let fields = [QueryField {
        field: 0,
        analyzer,
        weight: 1.0,
    }];
    let rng = &mut Rng::new(seed_from_env("CAIRN_TEXT_SEED", 0));
    let mut builder = cairn_text::IndexBuilder::new(&[analyzer]);
    let rows = 9000;
    for _ in 0..rows {
        builder.push(&[&[["sea tide", "tide moon", "sea", "moon moon"][rng.range(0..4)]]]);
    }
    let index = builder.finish();
    // Some order that is no order of rows.
    let rank = |row: u32| row.wrapping_mul(0x9e37_79b1);
    let tie = |a: u32, b: u32| rank(a).cmp(&rank(b));
    for typed in ["sea", "sea tide", "moon tide", "+sea tide", "se*"] {
        let query = cairn_text::Query::parse(typed, &fields);
        let search = |k: usize| {
            let gathered = index.gather(&query, || false).expect("nobody stops it");
            let gathered = gathered.ties_by(&tie);
            let statistics = gathered.statistics().clone();
            let (bm25, mut hits) = (cairn_text::Bm25::default(), Vec::new());
            gathered
                .search(&statistics, bm25, k, |row| row % 5 > 0, || false, &mut hits)
                .expect("nobody stops it");
            hits
        };
        let all = search(rows);
        let is_sorted = |a: &cairn_text::Hit, b: &cairn_text::Hit| {
            b.score.total_cmp(&a.score).then(tie(a.row, b.row)).is_lt()
        };
        assert!(all.len() > 2000 && all.is_sorted_by(is_sorted), "{typed}");
        for k in [1, 10, 100, 1000] {
            assert_eq!(search(k), all[..k], "{typed} k={k}");
        }
    }
}
