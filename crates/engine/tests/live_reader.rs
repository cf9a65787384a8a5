//! Readers beside a writer: whatever moment they look at, they see one version that was, no older
//! than what had been acknowledged, no newer than what survives a loss of power; and every older
//! version that they hold stays what it was.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common;

#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
#[path = "common/crash/planted.rs"]
mod planted;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cairn_engine::{
    Collection, Database, Durability, Job, KeyType, MetricName, Options, Schema, Snapshot,
    WriteKind, WriteOptions,
};
use cairn_env::{Env, Lane};
use cairn_testkit::{Choice, HookedDisk, Rng, SimDisk, seed_from_env, sim_env_seeded};
use parking_lot::Mutex;

use common::{HeldThreads, Row, Value, batch, everything, number, plain, put, removal, small};

/// Records of a collection: version and content of each.
type State = BTreeMap<u64, (u64, f32)>;

/// A collection's versions, and which of them is safe.
#[derive(Default)]
struct History {
    states: BTreeMap<u64, State>,
    /// The last version that was acknowledged as synced.
    acked: u64,
}

impl History {
    fn at(&self, version: u64) -> State {
        let known = self.states.range(..=version).next_back();
        known.map(|(_, state)| state.clone()).unwrap_or_default()
    }
}

/// What both sides know.
#[derive(Default)]
struct Shared {
    /// By name. While a collection is renamed, it stands under both names.
    histories: BTreeMap<String, Arc<Mutex<History>>>,
    /// All that ever were.
    ever: BTreeMap<String, Arc<Mutex<History>>>,
    /// Names that come or go at this moment.
    moving: Vec<String>,
}

fn rows_of(snapshot: &Snapshot) -> State {
    let mut scan = snapshot.scan(None).unwrap();
    let mut state = State::new();
    loop {
        let page = scan.next_page(100, &everything()).unwrap();
        if page.is_empty() {
            return state;
        }
        for record in page {
            let key = match record.key {
                cairn_engine::KeyBuf::U64(key) => key,
                cairn_engine::KeyBuf::Str(_) => unreachable!("keys are numbers"),
            };
            let vectors = record.vectors.unwrap();
            let fields = common::decode(&record.fields);
            // One write, one content: vector and fields agree.
            assert_eq!(fields["n"], Value::Float(f64::from(vectors[0][0])));
            state.insert(key, (record.version, vectors[0][0]));
        }
    }
}

struct Reader {
    disk: SimDisk,
    shared: Arc<Mutex<Shared>>,
    rng: Rng,
    database: Option<Arc<Database>>,
    /// Collections that were seen, and the version.
    versions: BTreeMap<String, u64>,
    pinned: Vec<(Snapshot, State)>,
    env: Env,
    looks: u64,
    /// While it compares, nobody else has a turn.
    is_comparing: Arc<AtomicBool>,
}

impl Reader {
    fn new(disk: &SimDisk, env: Env, shared: &Arc<Mutex<Shared>>, seed: u64) -> Self {
        Self {
            disk: disk.clone(),
            shared: Arc::clone(shared),
            rng: Rng::new(seed),
            database: None,
            versions: BTreeMap::new(),
            pinned: Vec::new(),
            env,
            looks: 0,
            is_comparing: Arc::default(),
        }
    }

    /// Looks, from its first open on, and compares.
    fn look(&mut self) {
        let before = self.shared.lock().histories.clone();
        let acked = before
            .iter()
            .map(|(name, h)| (name.clone(), h.lock().acked));
        let acked: BTreeMap<String, u64> = acked.collect();
        let moving = self.shared.lock().moving.clone();
        let database = match &self.database {
            Some(database) => {
                database.refresh().unwrap();
                Arc::clone(database)
            }
            None => {
                let options = small();
                let opened = Database::open_read_only(self.env.clone(), "/db".as_ref(), options);
                Arc::clone(self.database.insert(opened.unwrap()))
            }
        };
        self.looks += 1;
        self.is_comparing.store(true, Ordering::Relaxed);
        let seen = database.collections().unwrap();
        for info in &seen {
            assert_eq!(info.error.as_ref().map(ToString::to_string), None);
            let history = self.shared.lock().ever.get(&info.name).cloned();
            let Some(history) = history else {
                panic!("{} is nothing the writer made", info.name);
            };
            let collection = database.open_collection(&info.name).unwrap();
            self.check(&info.name, &collection, &history, acked.get(&info.name));
        }
        let shared = self.shared.lock();
        let expected = acked.keys().filter(|name| {
            let is_moving = moving.contains(name) || shared.moving.contains(name);
            !is_moving && shared.histories.contains_key(*name)
        });
        for name in expected {
            assert!(
                seen.iter().any(|info| info.name == *name),
                "{name} is missing"
            );
        }
        drop(shared);
        for (snapshot, state) in &self.pinned {
            // One of a collection that was dropped answers that it is closed.
            if snapshot.scan(None).is_ok() {
                assert_eq!(rows_of(snapshot), *state, "a held version changed");
            }
        }
        if self.pinned.len() > 3 {
            self.pinned.swap_remove(self.rng.range(0..4));
        }
        if self.rng.chance(0.1) {
            self.lose_power(&database);
        }
        if self.rng.chance(0.02) {
            self.database = None;
        }
        self.is_comparing.store(false, Ordering::Relaxed);
    }

    fn check(
        &mut self,
        name: &str,
        collection: &Arc<Collection>,
        history: &Arc<Mutex<History>>,
        acked: Option<&u64>,
    ) {
        let snapshot = collection.snapshot().unwrap();
        let version = snapshot.version();
        let state = rows_of(&snapshot);
        assert_eq!(state.len() as u64, snapshot.count());
        assert_eq!(state, history.lock().at(version), "{name} at {version}");
        let before = self.versions.entry(name.to_owned()).or_default();
        assert!(version >= *before, "{name} went back");
        *before = version;
        let acked = acked.copied().unwrap_or(0);
        assert!(
            version >= acked,
            "{name} at {version}, acknowledged: {acked}"
        );
        if self.rng.chance(0.05) {
            self.pinned.push((snapshot, state));
        }
    }

    /// Power is lost now, and with it all that no sync covered: what is shown is there.
    fn lose_power(&self, database: &Arc<Database>) {
        let ops = self.disk.op_count();
        let image = self.disk.crash_image(ops, &mut Choice::lose_all());
        let env = sim_env_seeded(&image, 3);
        let after = Database::open(env, "/db".as_ref(), small()).unwrap();
        for info in database.collections().unwrap() {
            let Ok(kept) = after.open_collection(&info.name) else {
                continue;
            };
            let seen = database.open_collection(&info.name).unwrap();
            let (seen, kept) = (seen.snapshot().unwrap(), kept.snapshot().unwrap());
            let name = &info.name;
            assert!(
                seen.version() <= kept.version(),
                "{name} shows what is lost"
            );
        }
    }
}

struct Writer {
    env: Env,
    rng: Rng,
    shared: Arc<Mutex<Shared>>,
    schema: Schema,
    database: Arc<Database>,
    version: u64,
    names: u64,
    content: f32,
}

impl Writer {
    fn new(env: Env, shared: &Arc<Mutex<Shared>>, seed: u64) -> Self {
        let database = Database::open(env.clone(), "/db".as_ref(), small()).unwrap();
        Self {
            env,
            rng: Rng::new(seed),
            shared: Arc::clone(shared),
            schema: plain(KeyType::U64, 2, MetricName::L2),
            database,
            version: 0,
            names: 0,
            content: 0.0,
        }
    }

    fn step(&mut self) {
        match self.rng.below(100) {
            0..70 => self.write(),
            70..76 => {
                let (_, collection, history) = self.any();
                collection.commit().unwrap();
                Self::ack(&history);
            }
            76..84 => {
                let (_, collection, history) = self.any();
                match self.rng.chance(0.5) {
                    true => collection.compact(&Job::default()).unwrap(),
                    false => collection.tidy().unwrap(),
                }
                collection.commit().unwrap();
                Self::ack(&history);
            }
            84..90 => self.reopen(),
            90..93 => self.rename(),
            93..96 => self.drop_one(),
            _ => self.create(),
        }
    }

    fn any(&mut self) -> (String, Arc<Collection>, Arc<Mutex<History>>) {
        let shared = self.shared.lock();
        let names: Vec<&String> = shared.histories.keys().collect();
        let name = (*self.rng.choose(&names).unwrap()).clone();
        let history = Arc::clone(&shared.histories[&name]);
        drop(shared);
        let collection = self.database.open_collection(&name).unwrap();
        (name, collection, history)
    }

    /// Everything that was written so far is durable.
    fn ack(history: &Arc<Mutex<History>>) {
        let mut history = history.lock();
        history.acked = history.states.keys().next_back().copied().unwrap_or(0);
    }

    fn write(&mut self) {
        let (_, collection, history) = self.any();
        let mut state = history.lock().at(u64::MAX);
        let version = self.version + 1;
        let keys = self.rng.range(1..12);
        let mut keys: Vec<u64> = (0..keys).map(|_| self.rng.below(40)).collect();
        keys.sort_unstable();
        keys.dedup();
        let written = if self.rng.chance(0.3) {
            state.retain(|key, _| !keys.contains(key));
            let gone: Vec<_> = keys.iter().map(|&key| number(key)).collect();
            removal(&self.schema, &gone)
        } else {
            self.content += 1.0;
            let content = self.content;
            let filling = "x".repeat(self.rng.range(0..6_000));
            let row = |&key: &u64| {
                Row::new(number(key), &[content, 0.0])
                    .with("n", f64::from(content))
                    .with("filling", filling.as_str())
            };
            let rows: Vec<Row> = keys.iter().map(row).collect();
            state.extend(keys.iter().map(|&key| (key, (version, content))));
            batch(&self.schema, WriteKind::Upsert, &rows)
        };
        let changes = state != history.lock().at(u64::MAX);
        if changes {
            self.version = version;
            // A reader may see it before its writer hears that it is done.
            history.lock().states.insert(version, state);
        }
        let is_synced = self.rng.chance(0.7);
        let durability = if is_synced {
            Durability::Sync
        } else {
            Durability::Os
        };
        let options = WriteOptions {
            durability: Some(durability),
            ..WriteOptions::default()
        };
        let result = collection.write(written, options).unwrap();
        if changes {
            assert_eq!(result.version, version);
            if is_synced {
                Self::ack(&history);
            }
        }
    }

    fn reopen(&mut self) {
        let histories: Vec<_> = self.shared.lock().histories.values().cloned().collect();
        self.database.close().unwrap();
        self.database = Database::open(self.env.clone(), "/db".as_ref(), small()).unwrap();
        histories.iter().for_each(Self::ack);
        // The counter goes on at the last version there is.
        self.version = self.database.stats().unwrap().version;
    }

    fn new_name(&mut self) -> String {
        self.names += 1;
        format!("c{}", self.names)
    }

    fn create(&mut self) {
        if self.shared.lock().histories.len() >= 3 {
            return;
        }
        let name = self.new_name();
        {
            let mut shared = self.shared.lock();
            shared.histories.insert(name.clone(), Arc::default());
            let history = Arc::clone(&shared.histories[&name]);
            shared.ever.insert(name.clone(), history);
            shared.moving = vec![name.clone()];
        }
        let made = self.database.create_collection(&name, self.schema.clone());
        made.unwrap();
        self.shared.lock().moving.clear();
    }

    fn rename(&mut self) {
        let (from, _, history) = self.any();
        let to = self.new_name();
        {
            let mut shared = self.shared.lock();
            shared.ever.insert(to.clone(), Arc::clone(&history));
            shared.histories.insert(to.clone(), history);
            shared.moving = vec![from.clone(), to.clone()];
        }
        self.database.rename_collection(&from, &to).unwrap();
        let mut shared = self.shared.lock();
        shared.histories.remove(&from);
        shared.moving.clear();
    }

    fn drop_one(&mut self) {
        if self.shared.lock().histories.len() < 2 {
            return;
        }
        let (name, _, _) = self.any();
        self.shared.lock().moving = vec![name.clone()];
        self.database.drop_collection(&name).unwrap();
        let mut shared = self.shared.lock();
        shared.histories.remove(&name);
        shared.moving.clear();
    }
}

/// A writer and a reader on one disk; `hooked` is the one that gives the other one its turns.
struct World {
    hooked: HookedDisk,
    writer: Writer,
    reader: Reader,
}

fn world(seed: u64, hook_writer: bool) -> World {
    let disk = SimDisk::new();
    let hooked = HookedDisk::around(Arc::new(disk.clone()));
    let env = |is_hooked: bool| {
        let plain = sim_env_seeded(&disk, seed);
        match is_hooked {
            true => Env {
                disk: Arc::new(hooked.clone()),
                ..plain
            },
            false => plain,
        }
    };
    let shared = Arc::default();
    let mut writer = Writer::new(env(hook_writer), &shared, seed);
    writer.create();
    let reader = Reader::new(&disk, env(!hook_writer), &shared, seed ^ 1);
    World {
        writer,
        reader,
        hooked,
    }
}

/// Runs `turn` as another process would: with nothing of this thread's.
fn apart(turn: impl FnOnce() + Send) {
    std::thread::scope(|scope| scope.spawn(turn).join().unwrap());
}

/// A reader looks in the middle of what a writer does: between any two calls of the disk, and
/// between the halves of a write. Returns how often.
fn look_while_writing(seed: u64) -> u64 {
    let World {
        hooked,
        mut writer,
        reader,
    } = world(seed, true);
    let reader = Arc::new(Mutex::new(reader));
    let turn = Arc::clone(&reader);
    let mut rng = Rng::new(seed ^ 2);
    hooked.set_hook(Some(Box::new(move || {
        if rng.chance(0.08) {
            apart(|| turn.lock().look());
        }
    })));
    for _ in 0..60 {
        writer.step();
    }
    hooked.set_hook(None);
    let mut reader = reader.lock();
    reader.look();
    reader.looks
}

/// A writer works in the middle of a reader's look: what it reads next may be gone.
fn write_while_looking(seed: u64) {
    let World {
        hooked,
        writer,
        mut reader,
    } = world(seed, false);
    let writer = Arc::new(Mutex::new(writer));
    let turn = Arc::clone(&writer);
    let mut rng = Rng::new(seed ^ 3);
    let is_comparing = Arc::clone(&reader.is_comparing);
    hooked.set_hook(Some(Box::new(move || {
        if !is_comparing.load(Ordering::Relaxed) && rng.chance(0.1) {
            apart(|| turn.lock().step());
        }
    })));
    for _ in 0..60 {
        reader.look();
    }
}

#[test]
fn a_look_in_the_middle_of_anything_sees_one_durable_version() {
    let seed = seed_from_env("CAIRN_SEED", 0x1_00c);
    let looks: u64 = (0..25).map(|round| look_while_writing(seed + round)).sum();
    println!("{looks} looks");
    assert!(looks > 1_000, "{looks}");
}

#[test]
fn a_look_that_is_overtaken_sees_one_version_all_the_same() {
    let seed = seed_from_env("CAIRN_SEED", 0x2_00c);
    for round in 0..25 {
        write_while_looking(seed + round);
    }
}

struct Beside {
    _database: Arc<Database>,
    writer: Arc<Collection>,
    reader: Arc<Database>,
}

/// A writer's collection, and a reader beside it whose work in the background waits.
fn beside() -> (Beside, HeldThreads) {
    let disk = SimDisk::new();
    let env = sim_env_seeded(&disk, 1);
    let path = Path::new("/db");
    let writer = Database::open(env.clone(), path, Options::default()).unwrap();
    let schema = plain(KeyType::U64, 1, MetricName::L2);
    let collection = writer.create_collection("c", schema).unwrap();
    let held = HeldThreads::of(Lane::Job);
    let env = Env {
        threads: held.shared(),
        ..sim_env_seeded(&disk, 2)
    };
    let reader = Database::open_read_only(env, path, Options::default()).unwrap();
    let both = Beside {
        _database: writer,
        writer: collection,
        reader,
    };
    (both, held)
}

fn record(key: u64, n: f64) -> Row {
    Row::new(number(key), &[n as f32]).with("n", n)
}

#[test]
fn a_look_does_not_wait_for_segments_to_be_opened() {
    let (both, held) = beside();
    let Beside { writer, reader, .. } = &both;
    let read = reader.open_collection("c").unwrap();
    let rows: Vec<Row> = (0..100).map(|key| record(key, 1.0)).collect();
    put(writer, &rows);
    reader.refresh().unwrap();
    writer.compact(&Job::default()).unwrap();
    put(writer, &[record(7, 2.0), record(100, 2.0)]);
    assert_eq!(
        reader.refresh().unwrap(),
        writer.snapshot().unwrap().version()
    );
    // All is seen, from the log alone.
    let seen = rows_of(&read.snapshot().unwrap());
    assert_eq!(seen, rows_of(&writer.snapshot().unwrap()));
    assert_eq!(
        (held.waiting(), read.stats().unwrap().segments.len()),
        (1, 0)
    );
    // Looks go on meanwhile, and ask for nothing twice.
    put(writer, &[record(8, 3.0)]);
    reader.refresh().unwrap();
    assert_eq!(held.waiting(), 1);
    let before = rows_of(&read.snapshot().unwrap());
    held.run_held();
    assert_eq!(read.stats().unwrap().segments.len(), 1);
    assert_eq!(rows_of(&read.snapshot().unwrap()), before);
    assert_eq!(before, rows_of(&writer.snapshot().unwrap()));
    // And the next one opens what comes then.
    writer.compact(&Job::default()).unwrap();
    put(writer, &[record(9, 4.0)]);
    reader.refresh().unwrap();
    assert_eq!(held.waiting(), 1);
}

#[test]
fn a_look_waits_for_what_no_log_ever_had() {
    let (both, held) = beside();
    let Beside { writer, reader, .. } = &both;
    let read = reader.open_collection("c").unwrap();
    put(writer, &[record(1, 1.0)]);
    reader.refresh().unwrap();
    let unlogged = WriteOptions {
        durability: Some(Durability::Memory),
        ..WriteOptions::default()
    };
    let upsert = batch(writer.schema(), WriteKind::Upsert, &[record(2, 2.0)]);
    writer.write(upsert, unlogged).unwrap();
    writer.commit().unwrap();
    reader.refresh().unwrap();
    assert_eq!(held.waiting(), 0);
    assert_eq!(
        rows_of(&read.snapshot().unwrap()),
        rows_of(&writer.snapshot().unwrap())
    );
}

#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
#[test]
fn every_bug_of_readers_is_found() {
    planted::expect_all_found(module_path!());
}
