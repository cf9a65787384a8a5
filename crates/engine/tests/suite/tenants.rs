//! Tenants in one collection, told apart by how their keys begin: what is asked under one prefix never
//! sees a record of another, wherever the records stand, and costs what the tenant has.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_engine::{
    Collection, Effort, Filter, Job, Key, KeyBuf, KeyType, Looked, MetricName, Options,
    SearchRequest, Select, Stage, Stop,
};
use cairn_testkit::{Rng, seed_from_env};

use crate::common;
#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
use crate::crash::planted;
use common::{Home, Row, plain, put, remove, small, text};

const DIM: usize = 4;

/// Prefixes that are easily mistaken for each other.
const TENANTS: [&str; 7] = ["a/", "b/", "a0/", "a", "a/b/", "\u{e9}/", "B/"];

struct World {
    collection: Arc<Collection>,
    /// Key to what its record has.
    model: BTreeMap<String, i64>,
}

fn key_of(key: Key<'_>) -> String {
    match key {
        Key::Str(key) => key.into(),
        Key::U64(key) => panic!("{key}"),
    }
}

impl World {
    fn matching(&self, test: impl Fn(&str, i64) -> bool) -> Vec<String> {
        let all = self.model.iter().filter(|(key, n)| test(key, **n));
        all.map(|(key, _)| key.clone()).collect()
    }

    fn ask(&self, json: &str, expected: &[String]) {
        let filter = Filter::parse(json.as_bytes()).unwrap();
        let never = Stop::never();
        let snapshot = self.collection.snapshot().unwrap();
        let count = snapshot.count_matching(&filter, &never).unwrap();
        assert_eq!(count, expected.len() as u64, "{json}");
        let mut scan = snapshot.scan_matching(None, &filter, &never).unwrap();
        let page = scan.next_page(usize::MAX, &Select::default()).unwrap();
        let scanned: Vec<String> = page.iter().map(|it| key_of(it.key.as_key())).collect();
        assert_eq!(scanned, expected, "{json}");
        for effort in [Effort::Exact, Effort::Recall(0.9)] {
            let request = SearchRequest {
                filter: Some(&filter),
                effort,
                ..SearchRequest::new(&[0.5; DIM], 9)
            };
            let hits = snapshot.search(&request, &never).unwrap();
            let keys: Vec<String> = hits.keys.iter().map(key_of).collect();
            assert_eq!(keys.len(), expected.len().min(9), "{json}");
            for key in keys {
                assert!(expected.contains(&key), "{json}: sees {key}");
            }
        }
    }
}

#[test]
fn a_tenant_never_sees_the_record_of_another() {
    let seed = seed_from_env("CAIRN_SEED", 0x7e7a);
    for round in 0..3 {
        let mut rng = Rng::new(seed + round);
        let home = Home::memory();
        let schema = plain(KeyType::String, DIM as u32, MetricName::L2);
        let database = home.open(small());
        let collection = database.create_collection("c", schema).unwrap();
        let mut world = World {
            collection,
            model: BTreeMap::new(),
        };
        for _ in 0..60 {
            match rng.below(10) {
                0 => world.collection.compact(&Job::default()).unwrap(),
                1 => {
                    let keys: Vec<String> = world.model.keys().cloned().collect();
                    if let Some(key) = rng.choose(&keys) {
                        remove(&world.collection, &[text(key.clone())]);
                        world.model.remove(key);
                    }
                }
                _ => {
                    let rows: Vec<Row> = (0..rng.range(1..150))
                        .map(|_| {
                            let tenant = rng.choose(&TENANTS).unwrap();
                            let key = format!("{tenant}{}", rng.below(80));
                            let n = i64::try_from(rng.below(10)).unwrap();
                            world.model.insert(key.clone(), n);
                            let vector: [f32; DIM] =
                                std::array::from_fn(|_| rng.below(100) as f32 / 100.0);
                            Row::new(text(key), &vector).with("n", n)
                        })
                        .collect();
                    let mut last: BTreeMap<KeyBuf, Row> = BTreeMap::new();
                    for row in rows {
                        last.insert(row.key.clone(), row);
                    }
                    let rows: Vec<Row> = last.into_values().collect();
                    put(&world.collection, &rows);
                }
            }
            let tenant = rng.choose(&TENANTS).unwrap();
            let begins = |key: &str| key.starts_with(tenant);
            let prefix = format!(r#""$key":{{"startsWith":"{tenant}"}}"#);
            world.ask(
                &format!("{{{prefix}}}"),
                &world.matching(|key, _| begins(key)),
            );
            world.ask(
                &format!(r#"{{{prefix},"n":{{"gte":5}}}}"#),
                &world.matching(|key, n| begins(key) && n >= 5),
            );
            world.ask(
                &format!(r#"{{"not":{{{prefix}}},"n":3}}"#),
                &world.matching(|key, n| !begins(key) && n == 3),
            );
            world.ask(
                &format!(r#"{{"or":[{{{prefix}}},{{"n":1}}]}}"#),
                &world.matching(|key, n| begins(key) || n == 1),
            );
            let one = format!("{tenant}7");
            world.ask(
                &format!(r#"{{"$key":["{one}","nobody"]}}"#),
                &world.matching(|key, _| key == one),
            );
            world.ask(
                &format!(r#"{{"$key":{{"gt":"{one}","lte":"b/3"}}}}"#),
                &world.matching(|key, _| key > one.as_str() && key <= "b/3"),
            );
            world.ask(
                r#"{"$key":{"regex":"/1"}}"#,
                &world.matching(|key, _| key.contains("/1")),
            );
        }
    }
}

fn looked(collection: &Arc<Collection>, json: &str) -> (usize, Looked) {
    let filter = Filter::parse(json.as_bytes()).unwrap();
    let request = SearchRequest {
        filter: Some(&filter),
        explain: true,
        ..SearchRequest::new(&[0.5; DIM], 10)
    };
    let snapshot = collection.snapshot().unwrap();
    let hits = snapshot.search(&request, &Stop::never()).unwrap();
    let sum = |f: fn(&Stage) -> u64| hits.stages.iter().map(f).sum();
    let looked = Looked {
        keys: sum(|stage| stage.looked.keys),
        records: sum(|stage| stage.looked.records),
    };
    (hits.keys.len(), looked)
}

#[test]
fn what_a_tenant_asks_costs_what_the_tenant_has_and_not_what_all_have() {
    let home = Home::memory();
    let schema = plain(KeyType::String, DIM as u32, MetricName::L2);
    let database = home.open(Options::default());
    let collection = database.create_collection("c", schema).unwrap();
    // 400 tenants with 100 records each, and one chunk that is not full behind the full ones.
    let rows: Vec<Row> = (0..40_000)
        .map(|n| {
            let key = format!("t{:03}/{n}", n % 400);
            Row::new(text(key), &[n as f32, 1.0, 2.0, 3.0]).with("n", i64::from(n % 7))
        })
        .collect();
    for chunk in rows.chunks(5_000) {
        put(&collection, chunk);
    }
    for place in ["memtable", "segment"] {
        if place == "segment" {
            collection.compact(&Job::default()).unwrap();
        }
        // Keys of a chunk that grows are in no order.
        let growing = if place == "memtable" { 8_192 } else { 0 };
        let (found, cost) = looked(&collection, r#"{"$key":{"startsWith":"t007/"}}"#);
        assert_eq!(found, 10, "{place}");
        assert!(
            (100..=100 + growing).contains(&cost.keys),
            "{place} {cost:?}"
        );
        assert_eq!(cost.records, 0, "{place}");
        let both = r#"{"$key":{"startsWith":"t007/"},"n":{"lt":3}}"#;
        let (_, cost) = looked(&collection, both);
        assert!(cost.keys <= 100 + growing, "{place} {cost:?}");
        assert_eq!(cost.records, 100, "{place}: those of the tenant alone");
        let (found, cost) = looked(&collection, r#"{"$key":["t001/1","t002/2","x"]}"#);
        assert_eq!(found, 2, "{place}");
        // Segments and memtables without rows are asked nothing, or the same again.
        assert!(cost.keys <= 6, "{place} {cost:?}");
        assert_eq!(cost.records, 0, "{place}");
        let (_, cost) = looked(&collection, r#"{"n":{"lt":3}}"#);
        assert_eq!(cost.records, 40_000, "{place}: without an index, all");
    }
}

#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
#[test]
fn planted_bugs_are_found() {
    if std::env::var_os("CAIRN_BUG").is_none() {
        planted::expect_all_found(module_path!());
    }
}
