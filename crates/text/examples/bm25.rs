//! Times searches for two common words, and writes what another implementation needs to check scores.
//!
//! ```text
//! cargo run --release -p cairn-text --example bm25 -- time <texts> [passes]
//! cargo run --release -p cairn-text --example bm25 -- tokens <texts> <terms>
//! cargo run --release -p cairn-text --example bm25 -- scores <texts> <queries> <scores>
//! ```
//!
//! `<texts>` holds one text a line. `time` prints the time of the ten best rows of pairs of the most
//! common words, of rare ones, and of other queries: half of the searches take less than p50. `tokens`
//! writes the terms of each text, `scores` for each line of `<queries>` the hundred best rows as `row
//! score`, a line each.
#![expect(
    clippy::disallowed_methods,
    reason = "a program of its own, outside the rooms: it reads files and a clock"
)]

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write;
use std::time::Instant;
use std::{env, fs};

use cairn_text::{Analyzer, Bm25, Hit, IndexBuilder, Query, QueryField, TextIndex};

/// Words in lower case: what another implementation is told of tokens is the same.
const ANALYZER: Analyzer = Analyzer {
    language: cairn_text::Language::None,
    stems: false,
    drops_stop_words: false,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["time", texts] => time(&fs::read_to_string(texts)?, 21),
        ["time", texts, passes] => time(&fs::read_to_string(texts)?, passes.parse()?),
        ["tokens", texts, to] => fs::write(to, tokens(&fs::read_to_string(texts)?))?,
        ["scores", texts, queries, to] => {
            let (texts, queries) = (fs::read_to_string(texts)?, fs::read_to_string(queries)?);
            fs::write(to, scores(&texts, &queries))?;
        }
        _ => {
            return Err(
                "time <texts> [passes] | tokens <texts> <to> | scores <texts> <queries> <to>"
                    .into(),
            );
        }
    }
    Ok(())
}

fn index(texts: &str) -> TextIndex {
    let mut builder = IndexBuilder::new(&[ANALYZER]);
    for text in texts.lines() {
        builder.push(&[&[text]]);
    }
    builder.finish()
}

fn search(index: &TextIndex, typed: &str, k: usize, hits: &mut Vec<Hit>) {
    let field = QueryField {
        field: 0,
        analyzer: ANALYZER,
        weight: 1.0,
    };
    let query = Query::parse(typed, &[field]);
    let gathered = index.gather(&query, || false).expect("nobody stops it");
    let (statistics, bm25) = (gathered.statistics(), Bm25::default());
    gathered
        .search(statistics, bm25, k, |_| true, || false, hits)
        .expect("nobody stops it");
}

fn tokens(texts: &str) -> String {
    let mut out = String::new();
    for text in texts.lines() {
        let terms: Vec<_> = ANALYZER.tokens(text).map(|it| it.term).collect();
        out += &terms.join(" ");
        out.push('\n');
    }
    out
}

fn scores(texts: &str, queries: &str) -> String {
    let index = index(texts);
    let mut out = String::new();
    let mut hits = Vec::new();
    for query in queries.lines() {
        search(&index, query, 100, &mut hits);
        let _ = writeln!(out, "{query}");
        for hit in &hits {
            let _ = writeln!(out, "{} {}", hit.row, hit.score);
        }
        out.push('\n');
    }
    out
}

fn time(texts: &str, passes: usize) {
    let began = Instant::now();
    let index = index(texts);
    let built = began.elapsed();
    let bytes = index.as_bytes().to_vec();
    let length = bytes.len();
    let began = Instant::now();
    let index = TextIndex::from_bytes(bytes).expect("an index");
    println!(
        "{} texts of {} bytes, {} terms: {length} bytes, built in {built:.0?}, opened in {:.0?}",
        index.rows(),
        texts.len(),
        index.terms(0),
        began.elapsed()
    );
    let mut counts: HashMap<String, u32> = HashMap::new();
    for text in texts.lines() {
        for token in ANALYZER.tokens(text) {
            *counts.entry(token.term.into_owned()).or_default() += 1;
        }
    }
    let mut words: Vec<(u32, String)> = counts.into_iter().map(|it| (it.1, it.0)).collect();
    words.sort_unstable_by(|a, b| b.cmp(a));
    let pairs = |from: usize, join: &str| {
        let words = &words[from.min(words.len().saturating_sub(16))..];
        let pairs = (0..16.min(words.len())).flat_map(|a| (0..a).map(move |b| (a, b)));
        pairs
            .map(|(a, b)| format!("{}{join}{}", words[a].1, words[b].1))
            .collect::<Vec<_>>()
    };
    let phrases = pairs(0, " ")
        .into_iter()
        .map(|it| format!("\"{it}\""))
        .collect();
    let starts: Vec<String> = ('a'..='z').map(|letter| format!("{letter}*")).collect();
    let six = pairs(0, " ").windows(3).map(|it| it.join(" ")).collect();
    for (name, queries) in [
        ("two of the 16 most common words", pairs(0, " ")),
        ("two of the words 100 to 115", pairs(100, " ")),
        ("two of the words 5000 to 5015", pairs(5_000, " ")),
        ("six of the 16 most common words", six),
        ("both of two of the most common", pairs(0, " AND ")),
        ("two of the most common as a phrase", phrases),
        ("words that begin with a letter", starts),
    ] {
        let mut times = Vec::with_capacity(queries.len() * passes);
        let mut hits = Vec::new();
        for _ in 0..passes {
            for query in &queries {
                let began = Instant::now();
                search(&index, query, 10, &mut hits);
                times.push(began.elapsed());
            }
        }
        times.sort_unstable();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        println!(
            "{name}: p50 {:.3?}, p99 {:.3?} over {} searches of {} queries",
            at(0.5),
            at(0.99),
            times.len(),
            queries.len()
        );
    }
}
