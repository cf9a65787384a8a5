//! Power is lost while versions come and go, and each that was recorded is whole.
//!
//! A seeded workload writes, records versions, merges, drops collections and versions, and starts
//! again, on a disk that remembers what was synced when. Behind every operation the disk is asked
//! what a machine could have come back with. There every version whose recording was answered must
//! be found, and every version that is found must have exactly the records of its moment; one whose
//! dropping was answered must be gone. `CAIRN_SEED` chooses the workloads, `CAIRN_CRASH_IMAGES` how
//! many images.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use cairn_engine::{
    Alteration, Database, DeclaredField, Durability, Job, Key, KeyType, Keys, MetricName, Options,
    Quantize, Schema, Select, Stop, VectorColumn, VectorField, VectorKind, VersionId, WriteBatch,
    WriteKind, WriteOptions,
};
use cairn_testkit::{Choice, Rng, SimDisk, seed_from_env};

use crate::crash;
use crash::lanes::Machine;

const DIR: &str = "/data/db";

/// The suite that runs with fail points is the one that counts; the plain one looks in.
const IMAGES: u64 = if cfg!(feature = "failpoints") {
    20_000
} else {
    2_000
};

/// Of each collection by name: names of its fields, and records, key and first component.
type State = BTreeMap<String, (Vec<String>, BTreeMap<u64, u32>)>;

/// One version as it was made.
struct Made {
    state: State,
    /// Operations of the disk when its recording began, and was answered.
    began: usize,
    answered: usize,
    /// The same of its dropping.
    dropping: usize,
    dropped: usize,
}

struct World {
    rng: Rng,
    disk: SimDisk,
    machine: Machine,
    database: Arc<Database>,
    now: State,
    /// By name: a number may be given out again when its version was dropped.
    made: BTreeMap<String, Made>,
    names: u64,
}

fn options() -> Options {
    Options {
        wal_bytes_max: 2_000,
        memtable_bytes: 0,
        retain_versions: usize::MAX,
        ..Options::default()
    }
}

fn schema() -> Schema {
    Schema {
        key: KeyType::U64,
        vectors: vec![VectorField {
            name: "vector".into(),
            dim: 2,
            metric: MetricName::L2,
            index: cairn_engine::IndexKind::Auto,
            kind: VectorKind::F32,
            quantize: Quantize::None,
        }],
        fields: Vec::new(),
        extra: cairn_engine::Extra::Allow,
        expires_at: None,
    }
}

fn read(database: &Database) -> State {
    let read_one = |info: cairn_engine::CollectionInfo| {
        let collection = database.open_collection(&info.name).unwrap();
        let select = Select {
            vectors: true,
            ..Select::default()
        };
        let mut scan = collection.snapshot().unwrap().scan(None).unwrap();
        let page = scan.next_page(1_000, &select).unwrap();
        let records = page.into_iter().map(|record| {
            let Key::U64(key) = record.key.as_key() else {
                panic!("keys are numbers")
            };
            (key, record.vectors.unwrap()[0][0] as u32)
        });
        let fields = info.schema.fields.into_iter().map(|field| field.name);
        (info.name, (fields.collect(), records.collect()))
    };
    let listed = database.collections().unwrap();
    listed.into_iter().map(read_one).collect()
}

impl Drop for World {
    /// Closing waits for tasks, which would wait for this thread.
    fn drop(&mut self) {
        self.machine.lanes.drain();
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new();
        let machine = Machine::on(&disk, seed);
        let database = Database::open(machine.env.clone(), Path::new(DIR), options()).unwrap();
        Self {
            rng: Rng::new(seed),
            disk,
            machine,
            database,
            now: State::new(),
            made: BTreeMap::new(),
            names: 0,
        }
    }

    fn any(&mut self) -> Option<String> {
        let names: Vec<_> = self.now.keys().cloned().collect();
        self.rng.choose(&names).cloned()
    }

    fn step(&mut self) {
        if self.rng.chance(0.5) {
            self.machine.lanes.drain();
        } else {
            self.machine.lanes.defer(true);
        }
        match self.rng.below(22) {
            20 | 21 => self.alter(),
            0..9 => self.write(),
            9..13 => self.record(),
            13..15 => self.forget(),
            15 | 16 => self.database.compact(&Job::default()).unwrap(),
            17 => self.drop_one(),
            18 => self.create(),
            _ => self.restart(),
        }
    }

    fn create(&mut self) {
        self.names += 1;
        let name = format!("c{}", self.names);
        self.database.create_collection(&name, schema()).unwrap();
        self.now.insert(name, Default::default());
    }

    /// Another field, or another name for one.
    fn alter(&mut self) {
        let Some(name) = self.any() else {
            return self.create();
        };
        let collection = self.database.open_collection(&name).unwrap();
        self.names += 1;
        let field = format!("f{}", self.names);
        let fields = &mut self.now.get_mut(&name).unwrap().0;
        let mut change = Alteration::default();
        if fields.is_empty() || self.rng.chance(0.5) {
            change.add_fields.push(DeclaredField {
                name: field.clone(),
                kind: "int".into(),
                text: Default::default(),
            });
            fields.push(field);
        } else {
            let last = fields.last_mut().unwrap();
            change.rename_fields.push((last.clone(), field.clone()));
            *last = field;
        }
        self.machine.lanes.drain();
        self.database
            .alter(&collection, &change, &Stop::never())
            .unwrap();
    }

    fn write(&mut self) {
        let Some(name) = self.any() else {
            return self.create();
        };
        let records = &mut self.now.get_mut(&name).unwrap().1;
        let mut keys = Keys::new(KeyType::U64);
        let mut data = Vec::new();
        let delete = self.rng.chance(0.3);
        let first = self.rng.below(20);
        for key in first..first + self.rng.below(7) + 1 {
            keys.push(Key::U64(key));
            let value = u32::try_from(self.rng.below(1_000)).unwrap();
            if delete {
                records.remove(&key);
            } else {
                records.insert(key, value);
                data.extend([value as f32, 0.0]);
            }
        }
        let durability = [Durability::Memory, Durability::Os, Durability::Sync];
        let options = WriteOptions {
            durability: self.rng.choose(&durability).copied(),
            ..WriteOptions::default()
        };
        let vectors = if delete {
            Vec::new()
        } else {
            vec![Some(VectorColumn {
                data,
                present: None,
            })]
        };
        let batch = WriteBatch {
            kind: if delete {
                WriteKind::Delete
            } else {
                WriteKind::Upsert
            },
            keys,
            vectors,
            payloads: None,
        };
        let collection = self.database.open_collection(&name).unwrap();
        // Two memtables that wait would have to be flushed by a lane that is deferred.
        if collection.stats().unwrap().frozen_memtables > 1 {
            self.machine.lanes.drain();
        }
        collection.write(batch, options).unwrap();
    }

    fn record(&mut self) {
        let began = self.disk.op_count();
        self.names += 1;
        let name = format!("v{}", self.names);
        let made = self.database.snapshot(Some(&name)).unwrap();
        let made_now = Made {
            state: self.now.clone(),
            began,
            answered: self.disk.op_count(),
            dropping: usize::MAX,
            dropped: usize::MAX,
        };
        assert_eq!(made.name.as_ref(), Some(&name));
        self.made.insert(name, made_now);
    }

    fn forget(&mut self) {
        let kept = self
            .made
            .iter()
            .filter(|(_, made)| made.dropped == usize::MAX);
        let kept: Vec<String> = kept.map(|(name, _)| name.clone()).collect();
        if let Some(name) = self.rng.choose(&kept) {
            let dropping = self.disk.op_count();
            let version = VersionId::Name(name.clone());
            self.database.drop_version(&version).unwrap();
            let made = self.made.get_mut(name).unwrap();
            (made.dropping, made.dropped) = (dropping, self.disk.op_count());
        }
    }

    fn drop_one(&mut self) {
        if let Some(name) = self.any() {
            // It waits for tasks of the collection, which would wait for this thread.
            self.machine.lanes.drain();
            self.database.drop_collection(&name).unwrap();
            self.now.remove(&name);
        }
    }

    fn restart(&mut self) {
        self.machine.lanes.drain();
        self.database.close().unwrap();
        let env = self.machine.env.clone();
        self.database = Database::open(env, Path::new(DIR), options()).unwrap();
        assert_eq!(read(&self.database), self.now);
    }

    /// Opens an image of the disk after `at` operations and compares.
    fn check(&self, image: &SimDisk, at: usize, seed: u64) -> Result<(), String> {
        let machine = Machine::on(image, seed);
        let opened = Database::open(machine.env.clone(), Path::new(DIR), options());
        let database = opened.map_err(|error| format!("does not open: {error}"))?;
        // What the next merge leaves behind goes, and a version must not go with it.
        let compacted = database.compact(&Job::default());
        compacted.map_err(|error| format!("does not merge: {error}"))?;
        let listed = database.versions().map_err(|error| error.to_string())?;
        if let Some(damaged) = listed.iter().find(|info| info.error.is_some()) {
            return Err(format!("a damaged version: {damaged:?}"));
        }
        let found: Vec<String> = listed.iter().flat_map(|info| info.name.clone()).collect();
        for (version, made) in &self.made {
            if made.answered <= at && made.dropping >= at && !found.contains(version) {
                return Err(format!("version {version} is lost"));
            }
            if (made.dropped <= at || at <= made.began) && found.contains(version) {
                return Err(format!("version {version} should not be there"));
            }
        }
        for version in found {
            let made = self
                .made
                .get(&version)
                .ok_or("a version that was never made")?;
            let opened = database.at(&VersionId::Name(version.clone()));
            let opened = opened.map_err(|error| format!("version {version}: {error}"))?;
            let report = opened.verify(&Job::default());
            let report = report.map_err(|error| format!("version {version}: {error}"))?;
            if !report.is_ok() {
                return Err(format!("version {version}: {:?}", report.problems));
            }
            let state = read(&opened);
            if state != made.state {
                let expected = &made.state;
                return Err(format!(
                    "version {version}: {state:?}, expected {expected:?}"
                ));
            }
        }
        Ok(())
    }
}

#[test]
fn a_recorded_version_is_whole_wherever_power_is_lost() {
    let first = seed_from_env("CAIRN_SEED", 1);
    let wanted = crash::number("CAIRN_CRASH_IMAGES", IMAGES);
    let (mut images, mut workloads) = (0, 0);
    while images < wanted {
        let seed = first + workloads;
        workloads += 1;
        let mut world = World::new(seed);
        for _ in 0..40 {
            world.step();
        }
        let mut rng = Rng::new(seed ^ 0x7e5);
        for at in 0..=world.disk.op_count() {
            if images >= wanted || !rng.chance(0.3) {
                continue;
            }
            let point = world.disk.crash_point(at);
            for number in 0..2 {
                let mut choice = match rng.below(4) {
                    0 => Choice::keep_all(),
                    1 => Choice::lose_all(),
                    _ => Choice::seeded(rng.next_u64()),
                };
                let image = point.recorded_image(&mut choice);
                // A process draws other numbers when it starts again.
                let checked = world.check(&image.disk, at, (seed << 8) ^ 0xa5 ^ number);
                if let Err(wrong) = checked {
                    panic!("CAIRN_SEED={seed} at={at}: {wrong}\n{image}");
                }
                images += 1;
            }
        }
    }
    println!("versions after a crash: {images} images of {workloads} workloads");
}

/// A disk that fails in the middle of recording leaves the version there or not, and never half.
#[test]
fn a_version_that_could_not_be_recorded_is_whole_or_absent() {
    let mut failed = 0;
    for call in 1..120 {
        let mut world = World::new(7);
        world.create();
        for _ in 0..6 {
            world.write();
        }
        world.record();
        world.write();
        world
            .disk
            .fail_nth(world.disk.calls() + call, std::io::ErrorKind::Other);
        let made = world.database.snapshot(Some("next"));
        world.disk.clear_faults();
        failed += u64::from(made.is_err());
        let expected = world.now.clone();
        let answered = made.is_ok();
        let _ = world.database.close();
        let env = world.machine.env.clone();
        let database = Database::open(env, Path::new(DIR), options()).unwrap();
        database.compact(&Job::default()).unwrap();
        match database.at(&VersionId::Name("next".into())) {
            Ok(at) => assert_eq!(read(&at), expected, "call {call}"),
            Err(error) => {
                assert!(!answered, "call {call}: {error}");
                assert_eq!(error.code(), cairn_engine::Code::NotFound, "call {call}");
            }
        }
        for (version, made) in &world.made {
            let at = database.at(&VersionId::Name(version.clone())).unwrap();
            assert_eq!(read(&at), made.state, "call {call}");
        }
    }
    assert!(failed > 10, "{failed} calls failed");
}

#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
#[test]
fn planted_bugs_are_found() {
    if std::env::var_os("CAIRN_BUG").is_none() {
        crash::planted::expect_all_found(module_path!());
    }
}
