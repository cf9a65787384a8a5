//! A collection is a map: whatever is written, flushed, compacted, renamed, dropped, pinned or
//! reopened, in whatever order, each answer is the one a `BTreeMap` gives.
//!
//! Long seeded runs of every operation against that map, with memtables so small that flushes and
//! compactions never end. `CAIRN_MODEL_SEED` repeats a run, `CAIRN_MODEL_OPS` makes it longer.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_engine::{
    Code, Collection, Database, Durability, Effort, Hits, IndexKind, Job, KeyBuf, KeyType,
    MetricName, Schema, SearchRequest, Snapshot, Stop, WriteKind, WriteOptions,
};
use cairn_testkit::{Rng, SimDisk, seed_from_env, sim_env};

use crate::common;
use common::model::distance;
use common::{Fields, Home, Model, Row, Value, batch, everything, number, schema, small, text};

/// What a run is made of.
struct Plan {
    schema: Schema,
    /// Keys to choose from.
    keys: u64,
    /// Rows of a batch, at most.
    rows: usize,
    /// Steps, unless the environment says otherwise.
    ops: u64,
}

fn ops(default: u64) -> u64 {
    let ops = std::env::var("CAIRN_MODEL_OPS").ok();
    ops.map_or(default, |text| {
        text.parse().expect("CAIRN_MODEL_OPS is a number")
    })
}

fn three_fields(key: KeyType) -> Schema {
    let field = common::vector_field;
    schema(
        key,
        vec![
            field("image", 5, MetricName::Cosine, IndexKind::Auto),
            field("sound", 17, MetricName::L2, IndexKind::Flat),
            field("text", 3, MetricName::Dot, IndexKind::Auto),
        ],
    )
}

/// One collection beside its map, and versions of both that are held on to.
struct Held {
    collection: Arc<Collection>,
    model: Model,
    pinned: Vec<(Snapshot, Model)>,
}

struct World<'a> {
    plan: &'a Plan,
    home: &'a Home,
    rng: Rng,
    database: Arc<Database>,
    held: BTreeMap<String, Held>,
    names: u64,
}

impl World<'_> {
    fn step(&mut self) {
        let roll = self.rng.below(1_000);
        match roll {
            0..860 => self.write(),
            860..890 => self.pin(),
            890..930 => self.look_at_pinned(),
            930..955 => self.unpin(),
            955..970 => self.commit(),
            970..980 => self.compact(),
            980..985 => self.reopen(),
            985..992 => self.rename(),
            992..996 => self.drop_one(),
            _ => self.create(),
        }
    }

    fn any(&mut self) -> (String, Rng) {
        let names: Vec<&String> = self.held.keys().collect();
        let name = self.rng.choose(&names).expect("there is always one");
        ((*name).clone(), self.rng.fork())
    }

    fn write(&mut self) {
        let (name, mut rng) = self.any();
        let plan = self.plan;
        let held = self.held.get_mut(&name).unwrap();
        let kind = random_kind(&mut rng);
        let count = rng.range(0..plan.rows + 1);
        let rows: Vec<Row> = (0..count)
            .map(|_| random_row(&mut rng, plan, kind))
            .collect();
        let if_version = random_condition(&mut rng, &held.model, &rows);
        let options = WriteOptions {
            if_version,
            durability: random_durability(&mut rng),
            ..WriteOptions::default()
        };
        let answer = held
            .collection
            .write(batch(&plan.schema, kind, &rows), options);
        held.model.write(kind, &rows, if_version, &answer);

        let snapshot = held.collection.snapshot().unwrap();
        assert!(snapshot.version() >= held.model.version, "versions rise");
        assert_eq!(snapshot.count(), held.model.records.len() as u64);
        held.model
            .check_get(&snapshot, rows.iter().map(|row| &row.key));
        search(&mut rng, plan, &held.model, &snapshot);
        if rng.chance(0.05) {
            let page = rng.range(1..200);
            held.model.check_scan(&snapshot, page);
        }
    }

    fn pin(&mut self) {
        let (name, _) = self.any();
        let held = self.held.get_mut(&name).unwrap();
        let snapshot = held.collection.snapshot().unwrap();
        held.pinned.push((snapshot, held.model.clone()));
    }

    fn look_at_pinned(&mut self) {
        let (name, mut rng) = self.any();
        let held = &self.held[&name];
        if let Some((snapshot, model)) = rng.choose(&held.pinned) {
            model.check(snapshot);
            search(&mut rng, self.plan, model, snapshot);
        }
    }

    fn unpin(&mut self) {
        let (name, mut rng) = self.any();
        let pinned = &mut self.held.get_mut(&name).unwrap().pinned;
        if !pinned.is_empty() {
            pinned.swap_remove(rng.range(0..pinned.len()));
        }
    }

    fn commit(&mut self) {
        let (name, mut rng) = self.any();
        let held = &self.held[&name];
        if rng.chance(0.5) {
            self.database.commit().unwrap();
        } else {
            assert!(held.collection.commit().unwrap() >= held.model.version);
        }
    }

    fn compact(&mut self) {
        let (name, mut rng) = self.any();
        let held = &self.held[&name];
        held.collection.compact(&Job::default()).unwrap();
        let snapshot = held.collection.snapshot().unwrap();
        let stats = held.collection.stats().unwrap();
        let rows: u64 = stats.segments.iter().map(|s| s.rows).sum();
        assert_eq!(rows, held.model.records.len() as u64, "no dead row is left");
        assert!(stats.segments.len() <= 1);
        held.model.check(&snapshot);
        search(&mut rng, self.plan, &held.model, &snapshot);
    }

    fn reopen(&mut self) {
        for held in self.held.values_mut() {
            held.pinned.clear();
        }
        if self.rng.chance(0.5) {
            self.database.close().unwrap();
            let (name, _) = self.any();
            let closed = self.held[&name].collection.snapshot();
            assert_eq!(closed.err().map(|e| e.code()), Some(Code::Closed));
        }
        // Without `close()`, the last handle closes.
        let unused = Database::open(
            cairn_env::Env::memory(1),
            self.home.path(),
            Default::default(),
        );
        self.database = unused.unwrap();
        self.database = self.home.open(small());
        for (name, held) in &mut self.held {
            let schema = Some(self.plan.schema.clone());
            held.collection = self.database.collection(name, schema).unwrap();
            held.model.check(&held.collection.snapshot().unwrap());
        }
        let listed = self.database.collections().unwrap();
        let counts = listed.iter().map(|info| (info.name.as_str(), info.count));
        let expected = self.held.iter();
        let expected = expected.map(|(name, h)| (name.as_str(), h.model.records.len() as u64));
        assert!(counts.eq(expected), "the listing");
    }

    fn rename(&mut self) {
        let (from, _) = self.any();
        let to = self.new_name();
        self.database.rename_collection(&from, &to).unwrap();
        let held = self.held.remove(&from).unwrap();
        assert_eq!(held.collection.name(), to);
        let gone = self.database.open_collection(&from);
        assert_eq!(gone.err().map(|e| e.code()), Some(Code::NotFound));
        self.held.insert(to, held);
    }

    fn drop_one(&mut self) {
        if self.held.len() < 2 {
            return self.create();
        }
        let (name, _) = self.any();
        self.database.drop_collection(&name).unwrap();
        let held = self.held.remove(&name).unwrap();
        let closed = held.collection.snapshot();
        assert_eq!(closed.err().map(|e| e.code()), Some(Code::Closed));
    }

    fn create(&mut self) {
        if self.held.len() >= 3 {
            return;
        }
        let name = self.new_name();
        let schema = self.plan.schema.clone();
        let held = Held {
            model: Model::new(&schema),
            collection: self.database.create_collection(&name, schema).unwrap(),
            pinned: Vec::new(),
        };
        self.held.insert(name, held);
    }

    fn new_name(&mut self) -> String {
        self.names += 1;
        format!("collection.{}", self.names)
    }
}

fn random_kind(rng: &mut Rng) -> WriteKind {
    match rng.below(10) {
        0 => WriteKind::Add,
        1..=4 => WriteKind::Upsert,
        5 | 6 => WriteKind::Update {
            replace_fields: rng.chance(0.3),
            skip_missing: rng.chance(0.8),
        },
        _ => WriteKind::Delete,
    }
}

fn random_key(rng: &mut Rng, plan: &Plan) -> KeyBuf {
    let n = rng.below(plan.keys);
    match plan.schema.key {
        // Spread over the whole range, the ends included.
        KeyType::U64 => number(
            n.wrapping_mul(u64::MAX / plan.keys.max(2) + 1)
                .wrapping_sub(1),
        ),
        KeyType::String => text(format!("{}{n}", "long ".repeat((n % 7) as usize))),
    }
}

fn random_vector(rng: &mut Rng, schema: &Schema, field: usize) -> Vec<f32> {
    let field = &schema.vectors[field];
    loop {
        let vector: Vec<f32> = (0..field.dim)
            .map(|_| rng.range(0..7) as f32 - 3.0)
            .collect();
        if field.metric != MetricName::Cosine || vector.iter().any(|&x| x != 0.0) {
            return vector;
        }
    }
}

fn random_row(rng: &mut Rng, plan: &Plan, kind: WriteKind) -> Row {
    let partial = matches!(kind, WriteKind::Update { .. });
    let vectors = (0..plan.schema.vectors.len())
        .map(|field| {
            let absent = partial && rng.chance(0.5);
            (!absent).then(|| random_vector(rng, &plan.schema, field))
        })
        .collect();
    let mut row = Row::of(random_key(rng, plan), vectors);
    if rng.chance(0.7) {
        let mut fields = Fields::new();
        for _ in 0..rng.below(4) {
            let name = ["a", "b", "__proto__", "\u{e9}", "a.b"][rng.range(0..5)];
            let value = match rng.below(6) {
                0 => Value::Nil(()),
                1 => Value::Bool(rng.chance(0.5)),
                2 => Value::Int(rng.next_u64() as i64),
                3 => Value::Float(rng.normal()),
                4 => Value::List(vec![Value::Int(1), Value::Text("x".into())]),
                _ => Value::Text("y".repeat(rng.range(0..60))),
            };
            fields.insert(name.into(), value);
        }
        row.fields = Some(fields);
    }
    row
}

fn random_condition(rng: &mut Rng, model: &Model, rows: &[Row]) -> Option<u64> {
    let known = rows.first().and_then(|row| model.records.get(&row.key));
    match rng.below(20) {
        0 => Some(0),
        1 => Some(rng.below(1_000)),
        2 => Some(known.map_or(0, |stored| stored.version)),
        _ => None,
    }
}

fn random_durability(rng: &mut Rng) -> Option<Durability> {
    match rng.below(8) {
        0 => Some(Durability::Memory),
        1 => Some(Durability::Os),
        2 => Some(Durability::Sync),
        _ => None,
    }
}

/// One exact search, equal to the oracle's, and one that may miss but must not lie.
fn search(rng: &mut Rng, plan: &Plan, model: &Model, snapshot: &Snapshot) {
    let field = rng.range(0..plan.schema.vectors.len());
    let query = random_vector(rng, &plan.schema, field);
    let k = match rng.below(10) {
        0 => 10_000,
        1 => 1,
        _ => rng.range(1..30),
    };
    model.check_exact(snapshot, field, &query, k);
    let request = SearchRequest {
        field,
        effort: Effort::Recall(0.9),
        select: everything(),
        ..SearchRequest::new(&query, k)
    };
    let hits = snapshot.search(&request, &Stop::never()).unwrap();
    sound(model, &hits, field, &query, k);
}

/// As many hits as there are, each a record, at its true distance, nearest first.
fn sound(model: &Model, hits: &Hits, field: usize, query: &[f32], k: usize) {
    assert_eq!(hits.distances.len(), k.min(model.records.len()));
    let metric = model.schema.vectors[field].metric;
    for (rank, key) in hits.keys.iter().enumerate() {
        let stored = &model.records[&key.to_buf()];
        let own = distance(metric, query, &stored.vectors[field]);
        let got = f64::from(hits.distances[rank]);
        assert!((got - own).abs() < 1e-5 * (1.0 + own.abs()));
        assert_eq!(hits.versions[rank], stored.version);
        assert!(rank == 0 || hits.distances[rank - 1] <= hits.distances[rank]);
    }
}

fn run(plan: &Plan, home: &Home, seed: u64) {
    let mut world = World {
        plan,
        home,
        rng: Rng::new(seed),
        database: home.open(small()),
        held: BTreeMap::new(),
        names: 0,
    };
    world.create();
    for _ in 0..ops(plan.ops) {
        world.step();
    }
    world.reopen();
}

#[test]
fn with_threads_in_a_directory_under_string_keys() {
    let plan = Plan {
        schema: three_fields(KeyType::String),
        keys: 400,
        rows: 60,
        ops: 2_500,
    };
    let seed = seed_from_env("CAIRN_MODEL_SEED", 0x5eed_0001);
    run(&plan, &Home::directory("model"), seed);
}

#[test]
fn with_threads_in_memory_under_numbers() {
    let field = common::vector_field;
    let plan = Plan {
        schema: schema(
            KeyType::U64,
            vec![
                field("a", 1, MetricName::L1, IndexKind::Auto),
                field("b", 33, MetricName::Cosine, IndexKind::Flat),
            ],
        ),
        keys: 500,
        rows: 80,
        ops: 2_500,
    };
    let seed = seed_from_env("CAIRN_MODEL_SEED", 0x5eed_0002);
    run(&plan, &Home::memory(), seed);
}

#[test]
fn with_graphs_in_memory() {
    let plan = Plan {
        schema: three_fields(KeyType::U64),
        keys: 4_000,
        rows: 700,
        ops: 250,
    };
    let seed = seed_from_env("CAIRN_MODEL_SEED", 0x5eed_0003);
    run(&plan, &Home::memory(), seed);
}

#[test]
fn in_a_simulation_where_every_task_runs_at_once() {
    let plan = Plan {
        schema: three_fields(KeyType::String),
        keys: 300,
        rows: 50,
        ops: 2_500,
    };
    let seed = seed_from_env("CAIRN_MODEL_SEED", 0x5eed_0004);
    run(&plan, &Home::on(sim_env(&SimDisk::new())), seed);
}
