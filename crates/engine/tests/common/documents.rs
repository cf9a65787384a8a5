//! Documents with texts and vectors, wherever they stand, and their scores by the definition.

#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_engine::{
    Collection, Database, DeclaredField, Hits, IndexKind, Key, KeyType, Language, MetricName,
    Options, Schema, SearchRequest, Snapshot, Sources, Stop, TextSettings, WordSource,
};
use cairn_testkit::Rng;
use cairn_text::Analyzer;

use crate::common::{Home, Row, Value, number, put, remove, schema, vector_field};

pub const WORDS: [&str; 16] = [
    "sea",
    "seas",
    "tide",
    "tides",
    "moon",
    "moons",
    "the",
    "of",
    "island",
    "running",
    "runs",
    "storm",
    "calm",
    "\u{e9}toile",
    "\u{1f30a}",
    "light",
];

pub fn shape() -> Schema {
    let text = |name: &str, kind: &str, language, weight| DeclaredField {
        name: name.into(),
        kind: kind.into(),
        text: TextSettings { language, weight },
    };
    Schema {
        fields: vec![
            DeclaredField {
                name: "n".into(),
                kind: "int".into(),
                text: TextSettings::default(),
            },
            text("title", "text", Language::None, 2.0),
            text("body", "text[]", Language::English, 1.0),
        ],
        ..schema(
            KeyType::U64,
            vec![
                vector_field("a", 4, MetricName::L2, IndexKind::Auto),
                vector_field("b", 3, MetricName::Dot, IndexKind::Auto),
            ],
        )
    }
}

#[derive(Clone, Debug)]
pub struct Document {
    pub n: i64,
    pub title: Option<String>,
    pub body: Vec<String>,
    pub a: Vec<f32>,
    pub b: Vec<f32>,
}

pub fn sentence(rng: &mut Rng, most: usize) -> String {
    let count = rng.range(0..most + 1);
    // Squared: the first ones are common.
    let pick = |rng: &mut Rng| WORDS[(rng.unit() * rng.unit() * WORDS.len() as f64) as usize];
    let words: Vec<&str> = (0..count).map(|_| pick(rng)).collect();
    words.join(" ")
}

impl Document {
    pub fn new(rng: &mut Rng) -> Self {
        // Few places, so that many are equally far.
        let vector = |rng: &mut Rng, dim: usize| -> Vec<f32> {
            (0..dim).map(|_| 1.0 + rng.below(4) as f32).collect()
        };
        let texts = rng.range(0..3);
        Self {
            n: rng.below(100) as i64,
            title: rng.chance(0.8).then(|| sentence(rng, 4)),
            body: (0..texts).map(|_| sentence(rng, 9)).collect(),
            a: vector(rng, 4),
            b: vector(rng, 3),
        }
    }

    pub fn row(&self, key: u64) -> Row {
        let vectors = vec![Some(self.a.clone()), Some(self.b.clone())];
        let row = Row::of(number(key), vectors).with("n", self.n);
        let row = match &self.title {
            Some(title) => row.with("title", &**title),
            None => row,
        };
        let texts = self.body.iter().map(|text| Value::Text(text.clone()));
        row.with("body", Value::List(texts.collect()))
    }

    /// Terms of a field: 0 the title, 1 the body.
    pub fn terms(&self, field: usize) -> Vec<String> {
        let (texts, analyzer) = match field {
            0 => (self.title.as_slice(), Analyzer::default()),
            _ => (&self.body[..], Analyzer::new(Language::English)),
        };
        let tokens = texts.iter().flat_map(|text| analyzer.tokens(text));
        tokens.map(|token| token.term.into_owned()).collect()
    }
}

pub type Model = BTreeMap<u64, Document>;

/// The score of every record that has any of the words, by the definition of BM25 over these records.
pub fn naive(model: &Model, words: &[&str]) -> BTreeMap<u64, f64> {
    let mut scores = BTreeMap::new();
    for (field, weight) in [(0, 2.0), (1, 1.0)] {
        let terms: Vec<_> = model
            .iter()
            .map(|(key, it)| (key, it.terms(field)))
            .collect();
        let with_terms: Vec<_> = terms.iter().filter(|(_, it)| !it.is_empty()).collect();
        let all = with_terms.len() as f64;
        let average = with_terms.iter().map(|(_, it)| it.len()).sum::<usize>() as f64 / all;
        let analyzer = match field {
            0 => Analyzer::default(),
            _ => Analyzer::new(Language::English),
        };
        for word in words {
            let Some(term) = analyzer.tokens(word).next().map(|it| it.term.into_owned()) else {
                continue;
            };
            let have = with_terms
                .iter()
                .filter(|(_, it)| it.contains(&term))
                .count() as f64;
            let logarithm = (1.0 + (all - have + 0.5) / (have + 0.5)).ln();
            for (key, terms) in &terms {
                let times = terms.iter().filter(|it| **it == term).count() as f64;
                if times > 0.0 {
                    let norm = 1.2 * (0.25 + 0.75 * terms.len() as f64 / average);
                    let score = weight * logarithm * times / (times + norm);
                    *scores.entry(**key).or_insert(0.0) += score;
                }
            }
        }
    }
    scores
}

pub fn words_of(words: &str) -> Sources<'_> {
    Sources {
        vectors: Vec::new(),
        words: Some(WordSource {
            words,
            fields: None,
            weight: 1.0,
            highlight: None,
        }),
        rrf_k: 60.0,
    }
}

pub fn request<'a>(sources: &'a Sources<'a>, k: usize) -> SearchRequest<'a> {
    SearchRequest {
        sources: Some(sources),
        ..SearchRequest::new(&[], k)
    }
}

pub fn ask(snapshot: &Snapshot, words: &str, k: usize) -> Hits {
    let sources = words_of(words);
    snapshot
        .search(&request(&sources, k), &Stop::never())
        .unwrap()
}

pub fn scored(hits: &Hits) -> Vec<(u64, f32)> {
    assert!(
        hits.scores
            .iter()
            .zip(&hits.distances)
            .all(|(score, far)| *score == -far)
    );
    let key = |key: Key<'_>| match key {
        Key::U64(key) => key,
        Key::Str(key) => panic!("{key}"),
    };
    hits.keys
        .iter()
        .map(key)
        .zip(hits.scores.iter().copied())
        .collect()
}

pub fn found(hits: &Hits) -> Vec<u64> {
    scored(hits).into_iter().map(|(key, _)| key).collect()
}

pub struct World {
    pub home: Home,
    pub database: Arc<Database>,
    pub collection: Arc<Collection>,
    pub model: Model,
}

impl World {
    pub fn new(options: Options) -> Self {
        let home = Home::memory();
        let database = home.open(options);
        let collection = database.create_collection("c", shape()).unwrap();
        Self {
            home,
            database,
            collection,
            model: Model::new(),
        }
    }

    pub fn write(&mut self, rng: &mut Rng, keys: impl Iterator<Item = u64>) {
        let mut rows = Vec::new();
        for key in keys {
            let document = Document::new(rng);
            rows.push(document.row(key));
            self.model.insert(key, document);
        }
        put(&self.collection, &rows);
    }

    pub fn delete(&mut self, keys: impl Iterator<Item = u64>) {
        let keys: Vec<u64> = keys.collect();
        let gone: Vec<_> = keys.iter().map(|key| number(*key)).collect();
        remove(&self.collection, &gone);
        self.model.retain(|key, _| !keys.contains(key));
    }

    pub fn reopen(&mut self, options: Options) {
        self.database.close().unwrap();
        self.database = self.home.open(options);
        self.collection = self.database.open_collection("c").unwrap();
    }

    /// Records with any of the words are found, and no others: best first, ties by key. While nothing
    /// is deleted that is not merged away, scores are those of the definition.
    pub fn check(&self, about: &str, is_exact: bool) {
        let snapshot = self.collection.snapshot().unwrap();
        for words in [
            "sea",
            "tide moon",
            "the",
            "of island",
            "runs storm calm",
            "nothing",
        ] {
            let list: Vec<&str> = words.split(' ').collect();
            let expected = naive(&self.model, &list);
            let hits = scored(&ask(&snapshot, words, 10_000));
            let mut keys: Vec<u64> = hits.iter().map(|(key, _)| *key).collect();
            keys.sort_unstable();
            let wanted: Vec<u64> = expected.keys().copied().collect();
            assert_eq!(keys, wanted, "{about}: {words}");
            let is_sorted = |a: &(u64, f32), b: &(u64, f32)| (b.1, a.0) < (a.1, b.0);
            assert!(hits.is_sorted_by(is_sorted), "{about}: {words}");
            if is_exact {
                for (key, score) in &hits {
                    let own = expected[key];
                    let differs = (f64::from(*score) - own).abs();
                    assert!(
                        differs <= 1e-5 * own,
                        "{about}: {words}: key={key} {score} {own}"
                    );
                }
            }
            for k in [1, 7, 40] {
                let first = scored(&ask(&snapshot, words, k));
                assert_eq!(first, hits[..k.min(hits.len())], "{about}: {words} k={k}");
            }
        }
    }
}
