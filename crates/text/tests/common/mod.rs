//! Collections, queries, and a scorer that looks at every word of every row.

#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::collections::BTreeSet;

use cairn_testkit::Rng;
use cairn_text::{
    Analyzer, Bm25, FirstRows, Hit, IndexBuilder, MemoryIndex, POSITION_GAP, Query, QueryField,
    Statistics, TextIndex,
};

/// Texts of one row, by field.
pub type Row = Vec<Vec<String>>;

/// What is asked for, apart from how it is written.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Words next to each other; one by itself is a word.
    Words(String),
    Prefix(String),
    Group {
        must: Vec<Ask>,
        should: Vec<Ask>,
        not: Vec<Ask>,
    },
}

impl Ask {
    pub fn any(words: &[&str]) -> Self {
        Self::Group {
            must: vec![],
            should: words
                .iter()
                .map(|word| Self::Words((*word).into()))
                .collect(),
            not: vec![],
        }
    }

    /// Words of all, as a query counts them.
    pub fn terms(&self) -> usize {
        match self {
            Self::Words(words) => words.split(' ').count(),
            Self::Prefix(_) => 1,
            Self::Group { must, should, not } => {
                must.iter().chain(should).chain(not).map(Self::terms).sum()
            }
        }
    }

    pub fn prefixes(&self) -> usize {
        match self {
            Self::Words(_) => 0,
            Self::Prefix(_) => 1,
            Self::Group { must, should, not } => must
                .iter()
                .chain(should)
                .chain(not)
                .map(Self::prefixes)
                .sum(),
        }
    }

    /// As somebody would type it; there is more than one way.
    pub fn typed(&self, rng: &mut Rng) -> String {
        match self {
            Self::Words(words) if words.contains(' ') => format!("\"{words}\""),
            Self::Words(word) => word.clone(),
            Self::Prefix(start) => format!("{start}*"),
            Self::Group { must, should, not } => {
                let mut item = |sign: &str, ask: &Self| match ask {
                    Self::Group { .. } => format!("{sign}({})", ask.typed(rng)),
                    _ => format!("{sign}{}", ask.typed(rng)),
                };
                let all_must = should.is_empty() && must.len() + not.len() > 1;
                let musts: Vec<String> = must.iter().map(|it| item("", it)).collect();
                let nots: Vec<String> = not.iter().map(|it| item("", it)).collect();
                let shoulds: Vec<String> = should.iter().map(|it| item("", it)).collect();
                let is_chain = all_must && !must.is_empty() && rng.chance(0.5);
                let mut parts: Vec<String> = Vec::new();
                if is_chain {
                    parts.extend(musts);
                    parts.extend(nots.iter().map(|it| format!("NOT {it}")));
                    return parts.join(" AND ");
                }
                parts.extend(musts.iter().map(|it| format!("+{it}")));
                parts.extend(nots.iter().map(|it| match rng.chance(0.5) {
                    true => format!("-{it}"),
                    false => format!("NOT {it}"),
                }));
                parts.extend(shoulds);
                rng.shuffle(&mut parts);
                let between = if rng.chance(0.3) { " OR " } else { " " };
                parts.join(between)
            }
        }
    }
}

/// Everything that is stored, and what is searched.
pub struct Collection {
    pub rows: Vec<Row>,
    pub analyzers: Vec<Analyzer>,
    pub fields: Vec<QueryField>,
    pub bm25: (f64, f64),
}

/// Terms of a field of a row with their positions.
fn places(analyzer: Analyzer, texts: &[String]) -> Vec<(String, u32)> {
    let mut base = 0;
    let mut found: Vec<(String, u32)> = Vec::new();
    for text in texts {
        let before = found.len();
        for token in analyzer.tokens(text) {
            found.push((token.term.into_owned(), base + token.position));
        }
        let last = if found.len() > before {
            found[found.len() - 1].1
        } else {
            base
        };
        base = last + 1 + POSITION_GAP;
    }
    found
}

/// How often the wanted terms stand as far from each other as wanted.
fn phrases(wanted: &[(String, u32)], terms: &[(String, u32)]) -> usize {
    let Some((first, begin)) = wanted.first() else {
        return 0;
    };
    let here: BTreeSet<(&str, u32)> = terms.iter().map(|it| (it.0.as_str(), it.1)).collect();
    let starts = terms.iter().filter(|it| it.0 == *first);
    let whole = starts.filter(|start| {
        let mut all = wanted.iter();
        all.all(|it| here.contains(&(it.0.as_str(), start.1 + it.1 - begin)))
    });
    whole.count()
}

impl Collection {
    fn terms(&self, row: usize, at: usize) -> Vec<(String, u32)> {
        let field = &self.fields[at];
        let texts = self.rows[row].get(field.field).cloned().unwrap_or_default();
        places(self.analyzers[field.field], &texts)
    }

    /// The score of every row that matches, by the definition: nothing is indexed or skipped.
    pub fn naive(&self, ask: &Ask) -> Vec<Option<f64>> {
        let Ask::Group { must, should, not } = ask else {
            return self.naive_leaf(ask);
        };
        let of = |asks: &[Ask]| {
            let asks = asks.iter().filter(|ask| self.says_anything(ask));
            asks.map(|ask| self.naive(ask)).collect::<Vec<_>>()
        };
        let (must, should, not) = (of(must), of(should), of(not));
        let row = |row: usize| {
            let is_found = match must.is_empty() {
                true => should.iter().any(|it| it[row].is_some()),
                false => must.iter().all(|it| it[row].is_some()),
            };
            let is_left = not.iter().all(|it| it[row].is_none());
            let all = must.iter().chain(&should).filter_map(|it| it[row]);
            (is_found && is_left).then(|| all.sum())
        };
        (0..self.rows.len()).map(row).collect()
    }

    /// Whether the analyzers leave anything of it.
    fn says_anything(&self, ask: &Ask) -> bool {
        match ask {
            Ask::Group { must, should, not } => {
                let mut all = must.iter().chain(should).chain(not);
                all.any(|ask| self.says_anything(ask))
            }
            Ask::Prefix(_) => true,
            Ask::Words(words) => {
                let mut fields = self.fields.iter();
                fields.any(|it| it.analyzer.tokens(words).next().is_some())
            }
        }
    }

    /// The sum over the fields that have it.
    fn naive_leaf(&self, ask: &Ask) -> Vec<Option<f64>> {
        let mut sums = vec![None; self.rows.len()];
        for at in 0..self.fields.len() {
            for (sum, score) in sums.iter_mut().zip(self.naive_field(ask, at)) {
                if let Some(score) = score {
                    *sum = Some(sum.unwrap_or(0.0) + score);
                }
            }
        }
        sums
    }

    fn naive_field(&self, ask: &Ask, at: usize) -> Vec<Option<f64>> {
        let field = &self.fields[at];
        let rows: Vec<_> = (0..self.rows.len())
            .map(|row| self.terms(row, at))
            .collect();
        let with_terms = rows.iter().filter(|terms| !terms.is_empty()).count() as f64;
        let average = rows.iter().map(Vec::len).sum::<usize>() as f64 / with_terms;
        let logarithm = |test: &dyn Fn(&str) -> bool| {
            let have = rows
                .iter()
                .filter(|terms| terms.iter().any(|it| test(&it.0)));
            let have = have.count() as f64;
            (1.0 + (with_terms - have + 0.5) / (have + 0.5)).ln()
        };
        let (times, logarithm): (Vec<usize>, f64) = match ask {
            Ask::Prefix(start) => {
                let test = |term: &str| term.starts_with(&start.to_lowercase());
                let times =
                    |terms: &Vec<(String, u32)>| terms.iter().filter(|it| test(&it.0)).count();
                (rows.iter().map(times).collect(), logarithm(&test))
            }
            Ask::Words(words) => {
                let wanted = places(field.analyzer, std::slice::from_ref(words));
                let each = wanted
                    .iter()
                    .map(|it| logarithm(&|term: &str| term == it.0));
                let times = |terms: &Vec<(String, u32)>| phrases(&wanted, terms);
                (rows.iter().map(times).collect(), each.sum())
            }
            Ask::Group { .. } => unreachable!("a leaf"),
        };
        let (k1, b) = self.bm25;
        let score = |(times, terms): (usize, &Vec<(String, u32)>)| {
            let norm = k1 * (1.0 - b + b * terms.len() as f64 / average);
            let damped = times as f64 / (times as f64 + norm);
            (times > 0).then(|| f64::from(field.weight) * logarithm * damped)
        };
        times.into_iter().zip(&rows).map(score).collect()
    }

    /// The `k` best of all rows that `accept` takes, from indexes of so many rows each; every other
    /// one is of memory if `mixed`.
    pub fn search(
        &self,
        typed: &str,
        sizes: &[usize],
        mixed: bool,
        k: usize,
        accept: &dyn Fn(u32) -> bool,
    ) -> Vec<Hit> {
        let query = Query::parse(typed, &self.fields);
        let mut indexes = Vec::new();
        let mut start = 0;
        for (number, size) in sizes.iter().enumerate() {
            let rows = &self.rows[start..start + size];
            let index = match mixed {
                // Of every other one there are rows that this search does not see.
                true if number % 4 == 0 => {
                    let mut all = rows.to_vec();
                    all.extend(self.rows.iter().take(9).cloned());
                    match Index::of(&all, &self.analyzers, true) {
                        Index::Memory(index) => Index::First(index, *size as u32),
                        other => other,
                    }
                }
                mixed => Index::of(rows, &self.analyzers, mixed && number % 2 == 0),
            };
            indexes.push((start, index));
            start += size;
        }
        assert_eq!(start, self.rows.len(), "every row is in an index");
        search(&query, &indexes, self.bm25, k, accept)
    }
}

/// One of the two kinds of indexes.
pub enum Index {
    Text(TextIndex),
    Memory(MemoryIndex),
    /// The first so many rows.
    First(MemoryIndex, u32),
}

impl Index {
    pub fn of(rows: &[Row], analyzers: &[Analyzer], in_memory: bool) -> Self {
        let mut memory = MemoryIndex::new(analyzers);
        let mut builder = IndexBuilder::new(analyzers);
        for row in rows {
            let texts: Vec<Vec<&str>> = row
                .iter()
                .map(|it| it.iter().map(String::as_str).collect())
                .collect();
            let texts: Vec<&[&str]> = texts.iter().map(Vec::as_slice).collect();
            match in_memory {
                true => memory.push(&texts),
                false => builder.push(&texts),
            }
        }
        if in_memory {
            return Self::Memory(memory);
        }
        let bytes = builder.finish().as_bytes().to_vec();
        Self::Text(TextIndex::from_bytes(bytes).expect("an index that was just written"))
    }
}

/// The `k` best of all rows that `accept` takes; each index with the number of its first row.
pub fn search(
    query: &Query,
    indexes: &[(usize, Index)],
    bm25: (f64, f64),
    k: usize,
    accept: &dyn Fn(u32) -> bool,
) -> Vec<Hit> {
    let bm25 = Bm25::new(bm25.0, bm25.1).expect("good settings");
    let firsts: Vec<Option<FirstRows<'_>>> = indexes
        .iter()
        .map(|(_, index)| match index {
            Index::First(index, rows) => Some(index.first(*rows)),
            _ => None,
        })
        .collect();
    let gathered: Vec<_> = indexes
        .iter()
        .zip(&firsts)
        .map(|((start, index), first)| match (index, first) {
            (_, Some(first)) => (*start as u32, first.gather(query, || false)),
            (Index::Text(index), _) => (*start as u32, index.gather(query, || false)),
            (Index::Memory(index) | Index::First(index, _), _) => {
                (*start as u32, index.gather(query, || false))
            }
        })
        .map(|(start, gathered)| (start, gathered.expect("nobody stops it")))
        .collect();
    let mut statistics = Statistics::default();
    for (_, index) in &gathered {
        statistics.merge(index.statistics());
    }
    let mut all: Vec<Hit> = Vec::new();
    let mut hits = Vec::new();
    for (start, index) in &gathered {
        let accept = |row| accept(start + row);
        index
            .search(&statistics, bm25, k, accept, || false, &mut hits)
            .expect("nobody stops it");
        assert!(hits.len() <= k);
        assert!(
            hits.is_sorted_by(|a, b| (b.score, a.row) < (a.score, b.row)),
            "{hits:?}"
        );
        all.extend(hits.iter().map(|hit| Hit {
            row: start + hit.row,
            ..*hit
        }));
    }
    all.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.row.cmp(&b.row)));
    all.truncate(k);
    all
}
