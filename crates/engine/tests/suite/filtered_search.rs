//! What a filter promises: exactly `min(k, matches)` records, each of which it holds for, the nearest
//! ones of those, at every selectivity, wherever the records stand, with and without indexes.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::sync::Arc;

use cairn_engine::{
    Collection, Database, DeclaredField, Effort, Filter, Job, Key, KeyBuf, KeyType, MetricName,
    Options, Schema, SearchRequest, Select, Stop,
};
use cairn_testkit::{Rng, data, seed_from_env};

use crate::common;
use common::model::distance;
use common::{Home, Row, number, plain, put, remove, small};

const DIM: usize = 8;

fn declared(metric: MetricName) -> Schema {
    let field = |name: &str, kind: &str| DeclaredField {
        name: name.into(),
        kind: kind.into(),
        text: Default::default(),
    };
    Schema {
        fields: vec![field("n", "int"), field("tag", "keyword")],
        ..plain(KeyType::U64, DIM as u32, metric)
    }
}

/// What is stored, and where `n` is declared and `m`, its copy, is not.
struct World {
    #[expect(dead_code, reason = "it is closed with its last owner")]
    database: Arc<Database>,
    collection: Arc<Collection>,
    metric: MetricName,
    vectors: Vec<f32>,
    /// By key; `None` is deleted.
    n: Vec<Option<i64>>,
}

impl World {
    fn new(home: &Home, options: Options, metric: MetricName, rows: usize) -> Self {
        let database = home.open(options);
        let collection = database.create_collection("c", declared(metric)).unwrap();
        Self {
            database,
            collection,
            metric,
            vectors: data::clustered(3, rows, DIM),
            n: Vec::new(),
        }
    }

    fn vector(&self, key: usize) -> &[f32] {
        &self.vectors[key * DIM..][..DIM]
    }

    fn write(&mut self, keys: std::ops::Range<usize>, rng: &mut Rng) {
        for key in keys {
            let n = i64::try_from(rng.below(1000)).unwrap();
            let tag = if n % 2 == 0 { "even" } else { "odd" };
            let row = Row::new(number(key as u64), self.vector(key))
                .with("n", n)
                .with("m", n)
                .with("tag", tag);
            put(&self.collection, &[row]);
            self.n.push(Some(n));
        }
    }

    fn delete(&mut self, key: usize) {
        remove(&self.collection, &[number(key as u64)]);
        self.n[key] = None;
    }

    /// Keys that a test on `n` holds for, nearest to `query` first.
    fn truth(&self, query: &[f32], test: impl Fn(i64) -> bool) -> Vec<u64> {
        let keys = (0..self.n.len()).filter(|&key| self.n[key].is_some_and(&test));
        let mut keys: Vec<usize> = keys.collect();
        let far = |key: usize| distance(self.metric, query, self.vector(key));
        keys.sort_by(|&a, &b| far(a).total_cmp(&far(b)).then(a.cmp(&b)));
        keys.into_iter().map(|key| key as u64).collect()
    }

    fn search(&self, query: &[f32], filter: &Filter, k: usize, effort: Effort) -> Vec<u64> {
        let request = SearchRequest {
            filter: Some(filter),
            effort,
            ..SearchRequest::new(query, k)
        };
        let snapshot = self.collection.snapshot().unwrap();
        let hits = snapshot.search(&request, &Stop::never()).unwrap();
        let keys = hits.keys.iter().map(|key| match key {
            Key::U64(key) => key,
            Key::Str(key) => panic!("{key}"),
        });
        keys.collect()
    }

    /// The same question of the declared field, of the undeclared one, and of half of each.
    fn check(&self, query: &[f32], json: &str, test: impl Fn(i64) -> bool + Copy) -> f64 {
        let truth = self.truth(query, test);
        let both = format!(r#"{{"and":[{json},{}]}}"#, json.replace(r#""n""#, r#""m""#));
        let mut shares = Vec::new();
        for json in [json.to_owned(), json.replace(r#""n""#, r#""m""#), both] {
            let filter = Filter::parse(json.as_bytes()).unwrap();
            let snapshot = self.collection.snapshot().unwrap();
            let count = snapshot.count_matching(&filter, &Stop::never()).unwrap();
            assert_eq!(count, truth.len() as u64, "{json}");
            let mut scan = snapshot
                .scan_matching(None, &filter, &Stop::never())
                .unwrap();
            let page = scan.next_page(usize::MAX, &Select::default()).unwrap();
            let mut sorted = truth.clone();
            sorted.sort_unstable();
            let scanned = page.iter().map(|record| match record.key {
                KeyBuf::U64(key) => key,
                KeyBuf::Str(_) => panic!("a text key"),
            });
            assert!(scanned.eq(sorted), "{json}");
            let wanted = truth.len().min(10);
            let exact = self.search(query, &filter, 10, Effort::Exact);
            assert_eq!(exact, truth[..wanted], "{json}");
            let usual = self.search(query, &filter, 10, Effort::Recall(0.95));
            assert_eq!(usual.len(), wanted, "{json}");
            for key in &usual {
                let n = self.n[usize::try_from(*key).unwrap()];
                assert!(n.is_some_and(test), "{json}: key={key} n={n:?}");
            }
            let right = usual.iter().filter(|key| exact.contains(key)).count();
            shares.push(right as f64 / wanted.max(1) as f64);
            if wanted == 0 {
                shares.pop();
            }
        }
        shares.iter().sum::<f64>() / shares.len().max(1) as f64
    }

    /// At many selectivities, from no record to all; the mean recall.
    fn check_all(&self, rng: &mut Rng) -> f64 {
        let mut recalls = Vec::new();
        for below in [0, 1, 2, 5, 10, 50, 100, 300, 500, 900, 990, 1000] {
            let near = rng.range(0..self.n.len());
            let query: Vec<f32> = self.vector(near).iter().map(|x| x + 0.01).collect();
            let json = format!(r#"{{"n":{{"lt":{below}}}}}"#);
            let recall = self.check(&query, &json, |n| n < below);
            if below > 0 {
                recalls.push(recall);
            }
            let json = format!(r#"{{"n":{{"gte":{below}}},"tag":"odd"}}"#);
            self.check(&query, &json, |n| n >= below && n % 2 == 1);
            let json = format!(r#"{{"or":[{{"n":{below}}},{{"not":{{"n":{{"gt":3}}}}}}]}}"#);
            self.check(&query, &json, |n| n == below || n <= 3);
        }
        recalls.iter().sum::<f64>() / recalls.len() as f64
    }
}

#[test]
fn every_selectivity_gives_the_nearest_matches_at_every_stage() {
    let seed = seed_from_env("CAIRN_SEED", 0xf17);
    let mut rng = Rng::new(seed);
    let home = Home::memory();
    let mut world = World::new(&home, small(), MetricName::L2, 4000);
    world.write(0..300, &mut rng);
    world.check_all(&mut rng);
    world.write(300..4000, &mut rng);
    for key in (0..4000).step_by(7) {
        world.delete(key);
    }
    world.check_all(&mut rng);
    world.collection.compact(&Job::default()).unwrap();
    assert_eq!(world.collection.stats().unwrap().segments.len(), 1);
    let recall = world.check_all(&mut rng);
    println!("recall={recall}");
    assert!(recall >= 0.95, "recall={recall}");
    for key in (1..4000).step_by(11) {
        world.delete(key);
    }
    world.check_all(&mut rng);
}

#[test]
fn every_metric_gives_the_nearest_matches() {
    let seed = seed_from_env("CAIRN_SEED", 0xf18);
    for metric in [MetricName::Cosine, MetricName::Dot, MetricName::L1] {
        let mut rng = Rng::new(seed);
        let home = Home::memory();
        let mut world = World::new(&home, small(), metric, 2_500);
        world.write(0..2_500, &mut rng);
        for key in (0..2_500).step_by(9) {
            world.delete(key);
        }
        world.check_all(&mut rng);
        world.collection.compact(&Job::default()).unwrap();
        let recall = world.check_all(&mut rng);
        println!("metric={metric:?} recall={recall}");
        assert!(recall >= 0.95, "metric={metric:?} recall={recall}");
    }
}

#[test]
fn a_snapshot_filters_its_own_version() {
    let home = Home::memory();
    let mut world = World::new(&home, Options::default(), MetricName::L2, 100);
    world.write(0..100, &mut Rng::new(1));
    world.collection.compact(&Job::default()).unwrap();
    let before = world.collection.snapshot().unwrap();
    let filter = Filter::parse(br#"{"n":{"gte":0}}"#).unwrap();
    for key in 0..50 {
        world.delete(key);
    }
    let after = world.collection.snapshot().unwrap();
    let count = |snapshot: &cairn_engine::Snapshot| {
        snapshot.count_matching(&filter, &Stop::never()).unwrap()
    };
    assert_eq!((count(&before), count(&after)), (100, 50));
}

#[test]
fn indexes_tell_beforehand_how_many_records_a_filter_holds_for_at_most() {
    const ROWS: usize = 2_000;
    let home = Home::memory();
    let mut world = World::new(&home, small(), MetricName::L2, ROWS);
    world.write(0..ROWS, &mut Rng::new(2));
    world.collection.compact(&Job::default()).unwrap();
    let told = |world: &World, json: &str| {
        let filter = Filter::parse(json.as_bytes()).unwrap();
        let request = SearchRequest {
            filter: Some(&filter),
            explain: true,
            ..SearchRequest::new(world.vector(0), 10)
        };
        let snapshot = world.collection.snapshot().unwrap();
        let hits = snapshot.search(&request, &Stop::never()).unwrap();
        let stage = &hits.stages[0];
        (stage.estimate, stage.matches)
    };
    let counted = |world: &World, below: i64| {
        let passes = |n: &&Option<i64>| n.is_some_and(|n| n < below);
        world.n.iter().filter(passes).count() as u64
    };
    for below in [0, 1, 7, 100, 500, 999, 1_000] {
        let count = counted(&world, below);
        let range = format!(r#"{{"n":{{"lt":{below}}}}}"#);
        assert_eq!(told(&world, &range), (count, count), "{range}");
        let not = format!(r#"{{"not":{range}}}"#);
        let left = ROWS as u64 - count;
        assert_eq!(told(&world, &not), (left, left), "{not}");
        let both = format!(r#"{{"and":[{range},{{"tag":"even"}}]}}"#);
        let (estimate, matches) = told(&world, &both);
        assert!(estimate >= matches && estimate <= count, "{both}");
        // Of a field without an index nothing is known.
        let unknown = format!(r#"{{"m":{{"lt":{below}}}}}"#);
        assert_eq!(told(&world, &unknown), (ROWS as u64, count), "{unknown}");
        let neither = format!(r#"{{"not":{unknown}}}"#);
        assert_eq!(told(&world, &neither), (ROWS as u64, left), "{neither}");
    }
    for key in (0..ROWS).step_by(3) {
        world.delete(key);
    }
    let (estimate, matches) = told(&world, r#"{"n":{"lt":500}}"#);
    assert!(estimate > matches);
    assert_eq!(matches, counted(&world, 500));
}

/// Rows that are far from the query are met by a walk only after it went through all that are near.
#[test]
fn a_walk_that_would_cost_more_than_comparing_with_every_match_is_given_up() {
    const ROWS: usize = 12_000;
    let home = Home::memory();
    let world = World::new(&home, small(), MetricName::L2, ROWS);
    let query = world.vector(0);
    let mut nearest: Vec<usize> = (0..ROWS).collect();
    let far = |row: usize| distance(MetricName::L2, query, world.vector(row));
    nearest.sort_by(|&a, &b| far(a).total_cmp(&far(b)));
    for (n, &key) in (0..).zip(&nearest) {
        let row = Row::new(number(key as u64), world.vector(key)).with("n", n);
        put(&world.collection, &[row]);
    }
    world.collection.compact(&Job::default()).unwrap();
    for (json, from, path) in [
        (r#"{"n":{"lt":6000}}"#, 0, "hnsw"),
        (r#"{"n":{"gte":6000}}"#, 6000, "flat"),
        (r#"{"n":{"gte":100}}"#, 100, "hnsw"),
    ] {
        let filter = Filter::parse(json.as_bytes()).unwrap();
        let request = SearchRequest {
            filter: Some(&filter),
            effort: Effort::EfSearch(64),
            explain: true,
            ..SearchRequest::new(query, 10)
        };
        let snapshot = world.collection.snapshot().unwrap();
        let hits = snapshot.search(&request, &Stop::never()).unwrap();
        // The segment, and behind it the empty memtable.
        assert_eq!(hits.stages[0].path, path, "{json}: {:?}", hits.stages);
        let right = hits.keys.iter().filter(|key| {
            let Key::U64(key) = key else {
                panic!("{key:?}")
            };
            nearest[from..from + 10].contains(&(*key as usize))
        });
        let right = right.count();
        assert!(right >= 9, "{json}: {right} of 10");
    }
}
