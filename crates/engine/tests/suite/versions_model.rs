//! A version is what the map was at its number, exactly, whatever is written, merged, renamed,
//! dropped, forgotten or reopened afterwards.
//!
//! `CAIRN_MODEL_SEED` repeats a run, `CAIRN_MODEL_OPS` makes it longer.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_engine::{
    Code, Database, Durability, Job, KeyType, MetricName, Stop, VersionId, WriteKind, WriteOptions,
};
use cairn_testkit::{Rng, SimDisk, seed_from_env, sim_env};

use crate::common;
use common::{Home, Model, Row, batch, number, plain, small};

struct World {
    home: Home,
    rng: Rng,
    database: Arc<Database>,
    now: BTreeMap<String, Model>,
    recorded: BTreeMap<u64, (Option<String>, BTreeMap<String, Model>)>,
    open: Vec<(Arc<Database>, BTreeMap<String, Model>)>,
    names: u64,
}

impl World {
    fn step(&mut self) {
        match self.rng.below(100) {
            0..60 => self.write(),
            60..72 => self.record(),
            72..80 => self.look(),
            80..84 => self.forget(),
            84..88 => self.compact(),
            88..91 => self.create(),
            91..93 => self.drop_one(),
            93..95 => self.rename(),
            95..97 => self.reopen(),
            _ => self.look_at_open(),
        }
    }

    fn any(&mut self) -> Option<String> {
        let names: Vec<String> = self.now.keys().cloned().collect();
        self.rng.choose(&names).cloned()
    }

    fn fresh_name(&mut self) -> String {
        self.names += 1;
        format!("n{}", self.names)
    }

    fn write(&mut self) {
        let Some(name) = self.any() else {
            return self.create();
        };
        let model = self.now.get_mut(&name).unwrap();
        let collection = self.database.open_collection(&name).unwrap();
        let kind = if self.rng.chance(0.3) {
            WriteKind::Delete
        } else {
            WriteKind::Upsert
        };
        let rows: Vec<Row> = (0..self.rng.range(1..30))
            .map(|_| {
                let vector = [self.rng.below(9) as f32, self.rng.below(9) as f32];
                Row::new(number(self.rng.below(200)), &vector)
                    .with("n", i64::try_from(self.rng.below(1_000)).unwrap())
            })
            .collect();
        let durability = [Durability::Memory, Durability::Os, Durability::Sync];
        let options = WriteOptions {
            durability: self.rng.choose(&durability).copied(),
            stop: Stop::never(),
            ..WriteOptions::default()
        };
        let answer = collection.write(batch(&model.schema, kind, &rows), options);
        model.write(kind, &rows, None, &answer);
    }

    fn record(&mut self) {
        let name = self.rng.chance(0.7).then(|| self.fresh_name());
        let made = self.database.snapshot(name.as_deref()).unwrap();
        let newest = self.now.values().map(|model| model.version).max();
        assert!(made.version >= newest.unwrap_or(0));
        if name.is_none() {
            self.recorded.retain(|_, (name, _)| name.is_some());
        }
        let twice = self.recorded.insert(made.version, (name, self.now.clone()));
        assert!(twice.is_none(), "a number of its own");
        let listed = self.database.versions().unwrap();
        let listed: Vec<_> = listed.iter().map(|v| (v.version, v.name.clone())).collect();
        let expected = self
            .recorded
            .iter()
            .map(|(v, (name, _))| (*v, name.clone()));
        assert_eq!(listed, expected.collect::<Vec<_>>());
    }

    fn some_version(&mut self) -> Option<u64> {
        let all: Vec<u64> = self.recorded.keys().copied().collect();
        self.rng.choose(&all).copied()
    }

    fn look(&mut self) {
        let Some(version) = self.some_version() else {
            return self.record();
        };
        let (name, models) = self.recorded[&version].clone();
        let id = match name {
            Some(name) if self.rng.chance(0.5) => VersionId::Name(name),
            _ => VersionId::Lsn(version),
        };
        let at = self.database.at(&id).unwrap();
        check(&at, &models);
        assert!(at.verify(&Job::default()).unwrap().is_ok());
        if self.rng.chance(0.4) && self.open.len() < 4 {
            self.open.push((at, models));
        }
    }

    fn look_at_open(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let chosen = self.rng.range(0..self.open.len());
        let (at, models) = &self.open[chosen];
        check(at, models);
        assert!(at.verify(&Job::default()).unwrap().is_ok());
        if self.rng.chance(0.5) {
            self.open.swap_remove(chosen);
        }
    }

    fn forget(&mut self) {
        if let Some(version) = self.some_version() {
            self.database
                .drop_version(&VersionId::Lsn(version))
                .unwrap();
            self.recorded.remove(&version);
            let gone = self.database.at(&VersionId::Lsn(version)).err().unwrap();
            assert_eq!(gone.code(), Code::NotFound);
        }
    }

    fn compact(&mut self) {
        self.database.compact(&Job::default()).unwrap();
    }

    fn create(&mut self) {
        if self.now.len() < 4 {
            let name = self.fresh_name();
            let schema = plain(KeyType::U64, 2, MetricName::L2);
            self.database
                .create_collection(&name, schema.clone())
                .unwrap();
            self.now.insert(name, Model::new(&schema));
        }
    }

    fn drop_one(&mut self) {
        if let Some(name) = self.any() {
            self.database.drop_collection(&name).unwrap();
            self.now.remove(&name);
        }
    }

    fn rename(&mut self) {
        if let Some(name) = self.any() {
            let to = self.fresh_name();
            self.database.rename_collection(&name, &to).unwrap();
            let model = self.now.remove(&name).unwrap();
            self.now.insert(to, model);
        }
    }

    fn reopen(&mut self) {
        self.database.close().unwrap();
        self.database = self.home.open(small());
        check(&self.database, &self.now);
        for (version, (_, models)) in &self.recorded {
            check(
                &self.database.at(&VersionId::Lsn(*version)).unwrap(),
                models,
            );
        }
        // Those that are open read on, but files of forgotten versions have gone.
        self.open.clear();
    }

    /// Nothing is left of what nobody needs.
    fn end(mut self) {
        self.open.clear();
        for version in self.recorded.keys() {
            self.database
                .drop_version(&VersionId::Lsn(*version))
                .unwrap();
        }
        self.database.compact(&Job::default()).unwrap();
        check(&self.database, &self.now);
        let stats = self.database.stats().unwrap().collections;
        let segments: usize = stats.iter().map(|(_, stats)| stats.segments.len()).sum();
        let files = self.home.files();
        let count = |end: &str| {
            let ends = |(path, _): &&(std::path::PathBuf, _)| path.to_str().unwrap().ends_with(end);
            files.iter().filter(ends).count()
        };
        assert_eq!(
            (count(".seg"), count(".del"), count(".ver")),
            (segments, 0, 0)
        );
        assert_eq!(count(".man"), self.now.len());
    }
}

fn check(database: &Database, models: &BTreeMap<String, Model>) {
    let listed = database.collections().unwrap();
    let names: Vec<&String> = listed.iter().map(|info| &info.name).collect();
    assert_eq!(names, models.keys().collect::<Vec<_>>());
    for (name, model) in models {
        let snapshot = database.open_collection(name).unwrap().snapshot().unwrap();
        model.check(&snapshot);
        model.check_exact(&snapshot, 0, &[3.0, 4.0], 7);
    }
}

fn run(home: Home, seed: u64, steps: u64) {
    println!("CAIRN_MODEL_SEED={seed}");
    let database = home.open(small());
    let mut world = World {
        home,
        rng: Rng::new(seed),
        database,
        now: BTreeMap::new(),
        recorded: BTreeMap::new(),
        open: Vec::new(),
        names: 0,
    };
    for _ in 0..steps {
        world.step();
    }
    world.end();
}

fn steps(default: u64) -> u64 {
    let ops = std::env::var("CAIRN_MODEL_OPS").ok();
    ops.map_or(default, |ops| {
        ops.parse().expect("CAIRN_MODEL_OPS is a number")
    })
}

#[test]
fn every_version_is_the_map_at_its_number_in_memory() {
    let first = seed_from_env("CAIRN_MODEL_SEED", 1);
    for seed in first..first + 6 {
        run(Home::memory(), seed, steps(300));
    }
}

#[test]
fn every_version_is_the_map_at_its_number_on_a_simulated_disk() {
    let first = seed_from_env("CAIRN_MODEL_SEED", 101);
    for seed in first..first + 6 {
        run(Home::on(sim_env(&SimDisk::new())), seed, steps(300));
    }
}

#[test]
fn every_version_is_the_map_at_its_number_in_a_directory() {
    let seed = seed_from_env("CAIRN_MODEL_SEED", 201);
    run(Home::directory("versions-model"), seed, steps(250));
}
