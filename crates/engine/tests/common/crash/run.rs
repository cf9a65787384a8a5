//! A database in use: random batches of every kind, flushes, compactions, collections that come,
//! go and change their names, with everything that was answered taken into the model.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use cairn_engine::{
    BackupOptions, Code, Collection, Database, Durability, Error, Fact, Job, Options, Result,
    VersionId, WriteResult,
};
use cairn_env::{Env, KillPoint};
use cairn_testkit::{Rng, SimDisk};
use parking_lot::Mutex;

use super::check;
use super::data::{self, Planned};
use super::lanes::Machine;
use super::model::{self, Names, World};
use super::sealed;

/// Where the database is.
pub const DIR: &str = "/data/db";

/// And its backups, if it has any.
pub const BACKUPS: &str = "/data/backups";

/// A memtable is flushed when the log has half of so many bytes: every few batches.
const WAL_BYTES_MAX: [u64; 3] = [1_200, 3_000, 9_000];

pub fn options(seed: u64) -> Options {
    let sizes = WAL_BYTES_MAX.len() as u64;
    let chosen = usize::try_from(seed % sizes).expect("a small number");
    Options {
        wal_bytes_max: WAL_BYTES_MAX[chosen],
        memtable_bytes: 0,
        // A disk that fills up is to do so wherever it can.
        disk_reserve_bytes: 0,
        encryption: sealed::provider(),
        ..Options::default()
    }
}

/// What all callbacks of a run share.
pub struct Shared {
    pub disk: SimDisk,
    pub world: Mutex<World>,
    /// Codes of calls that failed because the disk did; a run without faults has none.
    pub failures: Mutex<Vec<Error>>,
    /// Wrong answers. Callbacks note them here: a panic in one would go no further.
    pub wrong: Mutex<Vec<String>>,
    /// Steps of the commit path that were passed, and after how many operations.
    pub moments: Mutex<Vec<(KillPoint, usize)>>,
    /// Backups, and after how many operations they were answered.
    pub backups: Mutex<Vec<(usize, u64)>>,
    /// Whether the disk fails in this run.
    pub faulty: bool,
}

impl Shared {
    pub fn new(disk: &SimDisk, world: World, faulty: bool) -> Arc<Self> {
        Arc::new(Self {
            disk: disk.clone(),
            world: Mutex::new(world),
            failures: Mutex::default(),
            wrong: Mutex::default(),
            moments: Mutex::default(),
            backups: Mutex::default(),
            faulty,
        })
    }
}

/// A database in use.
pub struct Run {
    pub shared: Arc<Shared>,
    pub machine: Machine,
    pub database: Arc<Database>,
    pub rng: Rng,
    /// Closed, and not open again because something failed.
    pub closed: bool,
    seed: u64,
    nested: Nested,
}

/// A write that happens in the middle of something else.
type Nested = Arc<Mutex<Option<(KillPoint, Box<dyn FnOnce() + Send>)>>>;

/// Steps at which no lock of the commit path is held, so that a write may come between. So few records
/// have no graphs.
const BETWEEN: [KillPoint; 11] = [
    KillPoint::K9SegmentCreated,
    KillPoint::K10Vectors,
    KillPoint::K13Payload,
    KillPoint::K14Keys,
    KillPoint::K15Footer,
    KillPoint::K16SegmentSynced,
    KillPoint::K17SegmentDirSynced,
    KillPoint::K18ManifestWritten,
    KillPoint::K19ManifestSynced,
    KillPoint::K20Renamed,
    KillPoint::K21DirSynced,
];

impl Run {
    /// A new database on an empty disk.
    pub fn new(seed: u64) -> Self {
        Self::empty(seed, false)
    }

    /// A new database on an empty disk, which may come to fail.
    pub fn empty(seed: u64, faulty: bool) -> Self {
        let disk = SimDisk::new();
        let machine = Machine::on(&disk, seed);
        let world = World::new(Vec::new(), Names::new());
        Self::open(&disk, machine, seed, world, faulty).expect("a new database opens")
    }

    /// A database on a disk, of which `world` is known.
    pub fn open(
        disk: &SimDisk,
        machine: Machine,
        seed: u64,
        world: World,
        faulty: bool,
    ) -> Result<Self> {
        let shared = Shared::new(disk, world, faulty);
        watch(&machine.env, &shared, &Nested::default());
        let database = Database::open(machine.env.clone(), Path::new(DIR), options(seed))?;
        Ok(Self::with(shared, machine, database, seed))
    }

    /// A database that is open already.
    pub fn with(shared: Arc<Shared>, machine: Machine, database: Arc<Database>, seed: u64) -> Self {
        let nested = Nested::default();
        watch(&machine.env, &shared, &nested);
        Self {
            shared,
            machine,
            database,
            rng: Rng::new(seed),
            closed: false,
            seed,
            nested,
        }
    }

    pub fn ops(&self) -> usize {
        self.shared.disk.op_count()
    }

    /// Does `count` random things and compares what there is with what should be.
    pub fn steps(&mut self, count: usize) {
        for _ in 0..count {
            self.step();
            if self.failed() {
                return;
            }
        }
        self.compare();
    }

    /// Whether a call failed because the disk did.
    pub fn failed(&self) -> bool {
        !self.shared.failures.lock().is_empty()
    }

    /// Does one random thing.
    pub fn step(&mut self) {
        self.step_at_all();
        self.check_answers();
    }

    fn step_at_all(&mut self) {
        if self.closed {
            return;
        }
        let Some((id, collection)) = self.pick() else {
            return self.create();
        };
        self.choose_when(&collection);
        if sealed::is_on() && self.rng.chance(0.05) {
            return self.rotate_key();
        }
        match self.rng.below(100) {
            0..=59 => {
                let planned = self.plan(id, 4);
                submit(&self.shared, &collection, id, planned, Vec::new());
            }
            60..=67 => self.burst(id, &collection),
            68..=73 => self.commit(id, &collection),
            74 | 75 => self.commit_all(),
            76..=84 => {
                let nested = self.rng.chance(0.7);
                self.compact(id, &collection, nested);
            }
            85..=88 => self.create(),
            89 | 90 => self.drop_one(),
            91..=93 => self.rename(),
            94..=96 => self.restart(),
            _ => self.compare(),
        }
    }

    /// Compares every record with what it should be.
    pub fn compare(&self) {
        if self.closed {
            return;
        }
        let world = self.shared.world.lock();
        for (name, &id) in world.names() {
            let model = &world.collections[id];
            let opened = self.database.open_collection(name);
            let Some((found, _)) = self.noted(opened.and_then(|it| check::read(&it))) else {
                return;
            };
            assert!(
                found == model.live,
                "{name} while open: {}",
                model::difference(&model.live, &found)
            );
        }
    }

    /// Decides whether flushes and compactions run at once or wait a while.
    fn choose_when(&mut self, collection: &Arc<Collection>) {
        let frozen = collection.stats().map_or(2, |stats| stats.frozen_memtables);
        // Writers wait for a flush when two memtables are frozen, so it must run then.
        if frozen > 1 || self.rng.chance(0.6) {
            self.machine.lanes.drain();
        } else {
            self.machine.lanes.defer(true);
        }
    }

    fn pick(&mut self) -> Option<(usize, Arc<Collection>)> {
        let names: Vec<(String, usize)> = self
            .shared
            .world
            .lock()
            .names()
            .iter()
            .map(|(name, id)| (name.clone(), *id))
            .collect();
        let (name, id) = self.rng.choose(&names)?;
        let collection = self.database.open_collection(name);
        Some((*id, self.noted(collection)?))
    }

    /// Writes one batch.
    pub fn write(&mut self, id: usize, planned: Planned) {
        let collection = self.handle(id);
        submit(&self.shared, &collection, id, planned, Vec::new());
        self.check_answers();
    }

    pub fn commit_quietly(&mut self, id: usize) {
        let collection = self.handle(id);
        self.commit(id, &collection);
    }

    /// Compacts without anything happening meanwhile.
    pub fn compact_quietly(&mut self, id: usize) {
        let collection = self.handle(id);
        self.compact(id, &collection, false);
    }

    /// Flushes without merging: a commit of something that only memory has.
    pub fn flush(&mut self, id: usize) {
        let kind = self.shared.world.lock().collections[id].kind;
        let schema = data::schema(kind);
        let planned = Planned::upsert(&mut self.rng, &schema, &[13], Durability::Memory);
        self.write(id, planned);
        self.commit_quietly(id);
    }

    fn handle(&self, id: usize) -> Arc<Collection> {
        let world = self.shared.world.lock();
        let mut names = world.names().iter();
        let (name, _) = names
            .find(|(_, other)| **other == id)
            .expect("a model's number");
        self.database.open_collection(name).expect("it is open")
    }

    fn check_answers(&self) {
        let wrong = self.shared.wrong.lock();
        assert!(wrong.is_empty(), "wrong answers: {wrong:?}");
    }

    fn durability(&mut self) -> Durability {
        match self.rng.below(4) {
            0 => Durability::Memory,
            1 => Durability::Os,
            _ => Durability::Sync,
        }
    }

    fn plan(&mut self, id: usize, rows_max: usize) -> Planned {
        let durability = self.durability();
        let world = self.shared.world.lock();
        let model = &world.collections[id];
        let schema = data::schema(model.kind);
        Planned::random(&mut self.rng, &schema, &model.live, durability, rows_max)
    }

    /// Several batches that one group commits.
    fn burst(&mut self, id: usize, collection: &Arc<Collection>) {
        self.machine.lanes.drain();
        let mut batches: Vec<Planned> = (0..self.rng.range(3..6))
            .map(|_| self.plan_upsert(id))
            .collect();
        let first = batches.remove(0);
        submit(&self.shared, collection, id, first, batches);
    }

    fn plan_upsert(&mut self, id: usize) -> Planned {
        let durability = self.durability();
        let kind = self.shared.world.lock().collections[id].kind;
        let keys: Vec<u64> = (0..self.rng.range(1..4))
            .map(|_| self.rng.below(data::KEYS))
            .collect();
        Planned::upsert(&mut self.rng, &data::schema(kind), &keys, durability)
    }

    fn commit(&mut self, id: usize, collection: &Arc<Collection>) {
        if let Some(version) = self.noted(collection.commit()) {
            let mut world = self.shared.world.lock();
            let model = &mut world.collections[id];
            assert!(version >= model.version(), "a commit covers everything");
            let version = model.version();
            model.made_durable(self.ops(), version);
        }
    }

    fn commit_all(&mut self) {
        let committed = self.database.commit();
        if self.noted(committed).is_some() {
            self.all_durable();
        }
    }

    pub fn all_durable(&self) {
        let mut world = self.shared.world.lock();
        let ids: Vec<usize> = world.names().values().copied().collect();
        for id in ids {
            let model = &mut world.collections[id];
            let version = model.version();
            model.made_durable(self.ops(), version);
        }
    }

    fn compact(&mut self, id: usize, collection: &Arc<Collection>, nested: bool) {
        if nested {
            self.machine.lanes.drain();
            self.nest(id, collection);
            // The flush that is running cannot run inside itself.
            self.machine.lanes.defer(true);
        }
        let version = self.shared.world.lock().collections[id].version();
        let compacted = collection.compact(&Job::default());
        *self.nested.lock() = None;
        if self.noted(compacted).is_some() {
            let ops = self.ops();
            self.shared.world.lock().collections[id].made_durable(ops, version);
        }
    }

    /// Lets a write happen at a random step of what comes.
    fn nest(&mut self, id: usize, collection: &Arc<Collection>) {
        let point = BETWEEN[self.rng.range(0..BETWEEN.len())];
        let mut planned = self.plan_upsert(id);
        if self.rng.chance(0.5) {
            planned.kind = cairn_engine::WriteKind::Delete;
        }
        let (shared, collection) = (Arc::clone(&self.shared), Arc::clone(collection));
        let write = move || submit(&shared, &collection, id, planned, Vec::new());
        *self.nested.lock() = Some((point, Box::new(write)));
    }

    /// Records a version, backs it up with what came after it, and lets go of it.
    pub fn pass_through_a_version(&mut self) {
        let version = self.database.snapshot(Some("passing"));
        let Some(version) = self.noted(version) else {
            return;
        };
        self.all_durable();
        let (env, job) = (self.machine.env.clone(), Job::default());
        for wanted in [Some(VersionId::Lsn(version.version)), None] {
            let options = BackupOptions {
                name: None,
                version: wanted,
                verify: false,
            };
            let made = self.database.backup(&env, BACKUPS.as_ref(), &options, &job);
            if let Some(made) = self.noted(made) {
                let at = self.ops();
                self.shared.backups.lock().push((at, made.id));
            }
        }
        self.all_durable();
        let dropped = self.database.drop_version(&VersionId::Lsn(version.version));
        self.noted(dropped);
    }

    fn rotate_key(&mut self) {
        let rotated = self.database.rotate_key(&sealed::next_key());
        self.noted(rotated);
    }

    pub fn create(&mut self) {
        let mut names = self.shared.world.lock().names().clone();
        let free = ["alpha", "beta", "gamma", "delta"]
            .into_iter()
            .find(|name| !names.contains_key(*name));
        let Some(name) = free.filter(|_| names.len() < 3) else {
            return;
        };
        let started = self.ops();
        let id = {
            let collections = &mut self.shared.world.lock().collections;
            let id = collections.len();
            let schema = data::schema(id);
            let model = model::Collection::new(id, schema.key, data::State::new(), 0);
            collections.push(model);
            id
        };
        names.insert(name.to_owned(), id);
        let created = self.database.create_collection(name, data::schema(id));
        self.catalog(started, names, created.map(drop));
    }

    fn drop_one(&mut self) {
        let all: Vec<String> = self.shared.world.lock().names().keys().cloned().collect();
        let Some(name) = self.rng.choose(&all).filter(|_| all.len() > 1) else {
            return;
        };
        self.drop_named(name);
    }

    pub fn drop_named(&mut self, name: &str) {
        let mut names = self.shared.world.lock().names().clone();
        self.machine.lanes.drain();
        let started = self.ops();
        names.remove(name);
        let dropped = self.database.drop_collection(name);
        self.catalog(started, names, dropped);
    }

    fn rename(&mut self) {
        let names = self.shared.world.lock().names().clone();
        let all: Vec<String> = names.keys().cloned().collect();
        let Some(from) = self.rng.choose(&all) else {
            return;
        };
        let to = format!("{from}-{}", self.rng.below(10));
        if to.len() > 30 || names.contains_key(&to) {
            return;
        }
        self.rename_to(from, &to);
    }

    pub fn rename_to(&mut self, from: &str, to: &str) {
        let mut names = self.shared.world.lock().names().clone();
        let started = self.ops();
        let id = names.remove(from).expect("a name of the list");
        names.insert(to.to_owned(), id);
        let renamed = self.database.rename_collection(from, to);
        self.catalog(started, names, renamed);
    }

    fn catalog(&self, started: usize, names: Names, outcome: Result<()>) {
        if self.noted(outcome).is_some() {
            let mut world = self.shared.world.lock();
            return world.catalog(started, self.ops(), names);
        }
        let listed = self.database.collections();
        let counts = listed.is_ok_and(|listed| names.keys().eq(listed.iter().map(|it| &it.name)));
        let mut world = self.shared.world.lock();
        world.catalog_failed(started, names, counts);
    }

    /// Closes the database in good order and opens it again.
    pub fn restart(&mut self) {
        self.machine.lanes.drain();
        let closed = self.database.close();
        self.closed = true;
        if self.noted(closed).is_none() {
            return;
        }
        self.all_durable();
        self.reopen();
    }

    /// Opens the database that was closed.
    pub fn reopen(&mut self) {
        self.seed = self.seed.wrapping_add(1);
        self.machine = self.machine.restarted(&self.shared.disk, self.seed);
        let env = self.machine.env.clone();
        let opened = Database::open(env, Path::new(DIR), options(self.seed));
        if let Some(database) = self.noted(opened) {
            self.database = database;
            let whole = self.database.collections().and_then(|listed| {
                let mut errors = listed.into_iter().filter_map(|it| it.error);
                errors.next().map_or(Ok(()), Err)
            });
            self.closed = self.noted(whole).is_none();
            self.compare();
        }
    }

    /// What a call answered; an error must be one of a failing disk.
    fn noted<T>(&self, outcome: Result<T>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(error) if self.shared.faulty && is_of_the_disk(&error) => {
                self.shared.failures.lock().push(error);
                None
            }
            Err(error) => panic!("{error}"),
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Closing waits for what was spawned, also when a test has failed.
        let drain = || self.machine.lanes.drain();
        let drained = catch_unwind(AssertUnwindSafe(drain));
        assert!(
            drained.is_ok() || std::thread::panicking(),
            "background work panics"
        );
    }
}

/// Whether an error is one that a failing disk may cause.
pub fn is_of_the_disk(error: &Error) -> bool {
    matches!(
        error.code(),
        Code::Io | Code::NoSpace | Code::Closed | Code::OutcomeUnknown
    )
}

/// Writes a batch; once it is acknowledged, writes those of `after`, which one group commits.
pub fn submit(
    shared: &Arc<Shared>,
    collection: &Arc<Collection>,
    id: usize,
    planned: Planned,
    after: Vec<Planned>,
) {
    let started = shared.disk.op_count();
    let (batch, options, ticket) = {
        let mut world = shared.world.lock();
        let model = &mut world.collections[id];
        let batch = planned.batch(&data::schema(model.kind));
        let options = planned.options();
        (batch, options, model.submitted(planned, started))
    };
    let (here, same) = (Arc::clone(shared), Arc::clone(collection));
    let done = move |answer: Result<WriteResult>| {
        take_answer(&here, id, ticket, answer);
        for planned in after {
            submit(&here, &same, id, planned, Vec::new());
        }
    };
    collection.submit(batch, options, Box::new(done));
}

fn take_answer(shared: &Shared, id: usize, ticket: model::Ticket, answer: Result<WriteResult>) {
    let now = shared.disk.op_count();
    let model = &mut shared.world.lock().collections[id];
    match answer {
        Err(error) if shared.faulty && is_of_the_disk(&error) => {
            let unknown = (error.code() == Code::OutcomeUnknown).then(|| version_of(&error));
            model.failed(ticket, unknown);
            shared.failures.lock().push(error);
        }
        answer => {
            let taken = model.answered(ticket, now, &answer);
            shared.wrong.lock().extend(taken.err());
        }
    }
}

/// The version a write may have made.
fn version_of(error: &Error) -> u64 {
    error
        .details()
        .iter()
        .find_map(|(name, fact)| match fact {
            Fact::Number(version) if *name == "version" => Some(*version),
            _ => None,
        })
        .expect("an unknown outcome names its version")
}

#[cfg(feature = "failpoints")]
fn watch(env: &Env, shared: &Arc<Shared>, nested: &Nested) {
    let (shared, nested) = (Arc::clone(shared), Arc::clone(nested));
    env.faults.observe(move |point| {
        let now = shared.disk.op_count();
        shared.moments.lock().push((point, now));
        let due = {
            let mut slot = nested.lock();
            match slot.as_ref() {
                Some((at, _)) if *at == point => slot.take(),
                _ => None,
            }
        };
        if let Some((_, write)) = due {
            write();
        }
    });
}

#[cfg(not(feature = "failpoints"))]
fn watch(_env: &Env, _shared: &Arc<Shared>, _nested: &Nested) {}
