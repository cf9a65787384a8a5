//! An index of a field gives the rows that a look at every record gives, for any values and tests;
//! and it reads back as it was written, or not at all.

mod common;

use cairn_filter::{
    Bitmap, FieldIndex, Filter, IndexBuilder, Key, KeyRows, Path, Record, Rows, Test,
    matching_rows, sorted_keys,
};
use cairn_testkit::{Rng, seed_from_env};
use common::{NAMES, Value, map, scalar};

/// Rows in memory, some of their fields indexed.
struct Table {
    rows: Vec<Vec<u8>>,
    indexes: Vec<(Path, FieldIndex)>,
}

impl Table {
    fn new(rows: Vec<Vec<u8>>, indexed: &[&str]) -> Self {
        let mut builder = IndexBuilder::new(indexed.iter().copied());
        for row in &rows {
            builder.push(row);
        }
        let indexes = indexed.iter().zip(builder.finish());
        let indexes = indexes.map(|(name, index)| {
            let path = Path::parse(name).expect("a name");
            (path, index.expect("values that can be indexed"))
        });
        Self {
            indexes: indexes.collect(),
            rows,
        }
    }

    fn record(&self, row: u32) -> Record<'_> {
        let fields = &self.rows[row as usize];
        let key = Key::Number(row.into());
        Record { key, fields }
    }

    fn all(&self) -> Bitmap {
        Bitmap::all(u32::try_from(self.rows.len()).expect("few"))
    }
}

impl Rows for Table {
    type Error = std::convert::Infallible;

    fn index(&self, path: &Path) -> Option<&FieldIndex> {
        let found = self.indexes.iter().find(|(indexed, _)| indexed == path);
        found.map(|(_, index)| index)
    }

    fn keys(&self) -> Option<&dyn KeyRows> {
        Some(self)
    }

    fn scan(
        &self,
        rows: &Bitmap,
        test: &dyn Fn(&Record<'_>) -> bool,
    ) -> Result<Bitmap, Self::Error> {
        let mut found = Bitmap::none(rows.rows());
        for row in rows.iter().filter(|row| test(&self.record(*row))) {
            found.insert(row);
        }
        Ok(found)
    }
}

impl KeyRows for Table {
    fn matching(&self, test: &Test) -> Bitmap {
        let mut found = self.all();
        found.subtract(&self.all());
        let count = self.rows.len();
        let key = |row: usize| Key::Number(row as u64);
        match sorted_keys(test, count, key) {
            Some(range) => range.for_each(|row| found.insert(u32::try_from(row).expect("few"))),
            None => (0..count)
                .filter(|&row| test.holds_for(&key(row).scalar()))
                .for_each(|row| found.insert(u32::try_from(row).expect("few"))),
        }
        found
    }

    fn estimate(&self, test: &Test) -> usize {
        self.matching(test).count()
    }
}

fn random_test(rng: &mut Rng) -> String {
    let one = |rng: &mut Rng| scalar(rng).json();
    match rng.below(12) {
        0 => one(rng),
        1 | 2 => {
            let values: Vec<String> = (0..rng.below(30)).map(|_| one(rng)).collect();
            let name = rng.choose(&["in", "nin", "all"]).expect("some");
            format!(r#"{{"{name}":[{}]}}"#, values.join(","))
        }
        3..=7 => loop {
            let bound = scalar(rng);
            if !matches!(bound, Value::Null | Value::Bool(_) | Value::Bytes(_)) {
                let name = rng.choose(&["gt", "gte", "lt", "lte"]).expect("some");
                break format!(r#"{{"{name}":{}}}"#, bound.json());
            }
        },
        8 => format!(r#"{{"contains":{}}}"#, one(rng)),
        9 => format!(r#"{{"exists":{}}}"#, rng.chance(0.5)),
        10 => {
            let name = rng.choose(&["startsWith", "regex"]).expect("some");
            let text = rng.choose(&["", "a", "ab", "b", "0"]).expect("some");
            format!(r#"{{"{name}":"{text}"}}"#)
        }
        _ => format!(r#"{{"ne":{}}}"#, one(rng)),
    }
}

fn random_filter(rng: &mut Rng, depth: usize) -> String {
    let list = |rng: &mut Rng| {
        let count = rng.below(4);
        let parts: Vec<String> = (0..count).map(|_| random_filter(rng, depth - 1)).collect();
        parts.join(",")
    };
    match rng.below(7) {
        0 | 1 if depth > 0 => format!(r#"{{"and":[{}]}}"#, list(rng)),
        2 | 3 if depth > 0 => format!(r#"{{"or":[{}]}}"#, list(rng)),
        4 if depth > 0 => format!(r#"{{"not":{}}}"#, random_filter(rng, depth - 1)),
        _ => {
            let name = match rng.below(5) {
                0 => "$key",
                _ => rng.choose(&NAMES).expect("some"),
            };
            format!(r#"{{"{name}":{}}}"#, random_test(rng))
        }
    }
}

fn table(rng: &mut Rng) -> Table {
    let count = *rng.choose(&[0, 1, 63, 64, 65, 300, 3000]).expect("some");
    let depth = rng.range(0..3);
    let rows = (0..count).map(|_| match rng.below(20) {
        0 => Vec::new(),
        _ => map(rng, depth).msgpack(),
    });
    let rows = rows.collect();
    let indexed: Vec<&str> = NAMES.into_iter().filter(|_| rng.chance(0.6)).collect();
    Table::new(rows, &indexed)
}

#[test]
fn rows_by_index_are_those_of_a_look_at_every_record() {
    let seed = seed_from_env("CAIRN_SEED", 0x1dec5);
    for round in 0..common::rounds(150) as u64 {
        let mut rng = Rng::new(seed + round);
        let table = table(&mut rng);
        for _ in 0..30 {
            let json = random_filter(&mut rng, 3);
            let filter = Filter::parse(json.as_bytes()).unwrap_or_else(|e| panic!("{json}: {e}"));
            let mut within = table.all();
            if rng.chance(0.5) {
                let mut some = Bitmap::none(within.rows());
                within
                    .iter()
                    .filter(|_| rng.chance(0.5))
                    .for_each(|row| some.insert(row));
                within = some;
            }
            let Ok(found) = matching_rows(&filter, &table, &within);
            let expected = within
                .iter()
                .filter(|row| filter.matches(&table.record(*row)));
            assert!(
                found.iter().eq(expected),
                "seed {}: {json}: {:?}",
                seed + round,
                found.iter().collect::<Vec<_>>()
            );
        }
    }
}

/// Lists that are long have known rows at some places, and a range may begin and end anywhere beside them.
#[test]
fn ranges_of_a_long_list_are_exact_wherever_they_begin_and_end() {
    let seed = seed_from_env("CAIRN_SEED", 0x57e9);
    println!("CAIRN_SEED={seed}");
    let mut rng = Rng::new(seed);
    for (rows, distinct) in [(1_024, 5_000), (1_037, 40), (4_999, 5_000), (5_000, 3)] {
        let values: Vec<Option<i64>> = (0..rows)
            .map(|_| rng.chance(0.95).then(|| rng.below(distinct) as i64))
            .collect();
        let fields = |value: &Option<i64>| match value {
            Some(n) => Value::Map(vec![("a".into(), Value::Int(*n))]).msgpack(),
            None => Vec::new(),
        };
        let table = Table::new(values.iter().map(fields).collect(), &["a"]);
        for _ in 0..300 {
            let (one, other) = (rng.below(distinct + 1), rng.below(distinct + 1));
            let (from, to) = (one.min(other) as i64, one.max(other) as i64);
            let json = match rng.below(4) {
                0 => format!(r#"{{"a":{{"lt":{to}}}}}"#),
                1 => format!(r#"{{"a":{{"gte":{from}}}}}"#),
                _ => format!(r#"{{"a":{{"gte":{from},"lt":{to}}}}}"#),
            };
            let filter = Filter::parse(json.as_bytes()).expect("a filter");
            let Ok(found) = matching_rows(&filter, &table, &table.all());
            let all = table.all();
            let expected = all.iter().filter(|row| filter.matches(&table.record(*row)));
            assert!(found.iter().eq(expected), "rows={rows} {json}");
        }
    }
}

#[test]
fn an_estimate_is_exact_for_one_value_and_one_range() {
    let rows = (0..1000).map(|n| {
        let value = Value::Int(n % 10);
        Value::Map(vec![("a".into(), value)]).msgpack()
    });
    let table = Table::new(rows.collect(), &["a"]);
    for (json, expected) in [
        (r#"{"a":3}"#, 100),
        (r#"{"a":[3,4,77]}"#, 200),
        (r#"{"a":{"gte":8}}"#, 200),
        (r#"{"a":{"lt":0}}"#, 0),
        (r#"{"a":{"lt":100}}"#, 1000),
        (r#"{"a":{"exists":true}}"#, 1000),
        (r#"{"a":{"gt":"text"}}"#, 0),
    ] {
        let filter = Filter::parse(json.as_bytes()).expect(json);
        filter.for_each_test(&mut |path, test| {
            let index = table.index(path).expect("indexed");
            assert_eq!(index.estimate(test), expected, "{json}");
            assert_eq!(
                index.matching(test).expect("answered").count(),
                expected,
                "{json}"
            );
        });
    }
    let index = &table.indexes[0].1;
    assert_eq!(index.distinct(), 10);
    assert_eq!(index.rows(), 1000);
}

#[test]
fn an_index_reads_back_as_it_was_written() {
    let seed = seed_from_env("CAIRN_SEED", 0xb17e5);
    for round in 0..common::rounds(60) as u64 {
        let mut rng = Rng::new(seed + round);
        for (_, index) in table(&mut rng).indexes {
            let bytes = index.to_bytes();
            assert_eq!(
                FieldIndex::from_bytes(&bytes).as_ref(),
                Some(&index),
                "seed {seed}"
            );
        }
    }
}

#[test]
fn damaged_bytes_are_refused_or_an_index_that_answers() {
    let seed = seed_from_env("CAIRN_SEED", 0xdead);
    let mut refused = 0;
    for round in 0..common::rounds(40) as u64 {
        let mut rng = Rng::new(seed + round);
        for (_, index) in table(&mut rng).indexes {
            let whole = index.to_bytes();
            for _ in 0..40 {
                let mut bytes = whole.clone();
                match rng.below(3) {
                    0 => bytes.truncate(rng.range(0..bytes.len() + 1)),
                    1 => bytes.push(0),
                    _ => {
                        let at = rng.range(0..bytes.len());
                        bytes[at] ^= 1 << rng.below(8);
                    }
                }
                let Some(read) = FieldIndex::from_bytes(&bytes) else {
                    refused += 1;
                    continue;
                };
                let filter = Filter::parse(random_filter(&mut rng, 0).as_bytes()).expect("a test");
                filter.for_each_test(&mut |_, test| {
                    let found = read.matching(test).expect("answered");
                    assert!(found.count() <= index.rows() as usize);
                });
            }
        }
    }
    assert!(refused > 1000, "{refused}");
}

#[test]
fn what_cannot_be_ordered_has_no_index() {
    let nan = Value::Map(vec![("a".into(), Value::Float(f64::NAN))]).msgpack();
    let mut builder = IndexBuilder::new(["a", "b"]);
    builder.push(&nan);
    let indexes = builder.finish();
    assert!(indexes[0].is_none());
    assert!(indexes[1].is_some());
    let mut builder = IndexBuilder::new(["a"]);
    builder.push(&nan[..nan.len() - 1]);
    assert!(builder.finish()[0].is_none());
}
