//! Power is lost while backups come and go, and while one is restored.
//!
//! A seeded workload writes, backs up this moment or a recorded version, prunes, merges, creates and
//! drops collections, changes the key of an encrypted database and starts again, on a disk that
//! remembers what was synced when. Behind every operation the disk is asked what a machine could
//! have come back with. There every backup that was answered must be found and be whole, every one
//! that is found must be restored to exactly the keys, fields, vectors and versions of its moment,
//! and one whose removal was answered must be gone. `CAIRN_SEED` chooses the workloads,
//! `CAIRN_CRASH_IMAGES` how many images.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use cairn_engine::{
    BackupOptions, Code, Database, Durability, Job, KeyType, MetricName, Options, VersionId,
    WriteKind, WriteOptions, list_backups, prune_backups, restore, verify_backup,
};
use cairn_testkit::{Choice, CrashPoint, Rng, SimDisk, seed_from_env};

use crate::common;
use crate::crash;
use common::{Row, batch, everything, number, plain};
use crash::lanes::Machine;
use crash::sealed;

const DIR: &str = "/data/db";
const TARGET: &str = "/backups/of/db";
const RESTORED: &str = "/restored/db";

/// The suite that runs with fail points is the one that counts; the plain one looks in.
const IMAGES: u64 = if cfg!(feature = "failpoints") {
    12_000
} else {
    2_000
};
const IMAGES_ENCRYPTED: &str = if cfg!(feature = "failpoints") {
    "2000"
} else {
    "150"
};

/// Every record of each collection by name, all that it has as text.
type Contents = BTreeMap<String, Vec<String>>;

/// One backup as it was made.
struct Made {
    contents: Contents,
    /// Operations of the disk when it began, and was answered; the same of its removal.
    began: usize,
    answered: usize,
    removing: usize,
    removed: usize,
}

struct World {
    rng: Rng,
    disk: SimDisk,
    machine: Machine,
    database: Arc<Database>,
    made: BTreeMap<u64, Made>,
    names: u64,
}

fn options() -> Options {
    Options {
        wal_bytes_max: 2_000,
        memtable_bytes: 0,
        encryption: sealed::provider(),
        ..Options::default()
    }
}

fn contents(database: &Database) -> Contents {
    let read = |info: cairn_engine::CollectionInfo| {
        let collection = database.open_collection(&info.name).unwrap();
        let mut scan = collection.snapshot().unwrap().scan(None).unwrap();
        let page = scan.next_page(10_000, &everything()).unwrap();
        let records = page.iter().map(|record| format!("{record:?}")).collect();
        (info.name, records)
    };
    let listed = database.collections().unwrap();
    listed.into_iter().map(read).collect()
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
            made: BTreeMap::new(),
            names: 0,
        }
    }

    fn step(&mut self) {
        if self.rng.chance(0.5) {
            self.machine.lanes.drain();
        } else {
            self.machine.lanes.defer(true);
        }
        match self.rng.below(20) {
            0..9 => self.write(),
            9..12 => self.back_up(None),
            12 => self.back_up_a_version(),
            13 | 14 => self.prune(),
            15 | 16 => self.database.compact(&Job::default()).unwrap(),
            17 => self.create(),
            18 => self.drop_or_rotate(),
            _ => self.restart(),
        }
    }

    fn create(&mut self) {
        self.names += 1;
        let schema = plain(KeyType::U64, 2, MetricName::L2);
        let name = format!("c{}", self.names);
        self.database.create_collection(&name, schema).unwrap();
    }

    fn any(&mut self) -> Option<String> {
        let listed = self.database.collections().unwrap();
        self.rng.choose(&listed).map(|info| info.name.clone())
    }

    fn write(&mut self) {
        let Some(name) = self.any() else {
            return self.create();
        };
        let collection = self.database.open_collection(&name).unwrap();
        // Two memtables that wait would have to be flushed by a lane that is deferred.
        if collection.stats().unwrap().frozen_memtables > 1 {
            self.machine.lanes.drain();
        }
        let kind = if self.rng.chance(0.3) {
            WriteKind::Delete
        } else {
            WriteKind::Upsert
        };
        let first = self.rng.below(20);
        let count = self.rng.below(7) + 1;
        let rng = &mut self.rng;
        let mut row = |key| {
            let vector = [rng.below(1_000) as f32, key as f32];
            Row::new(number(key), &vector).with("n", rng.below(1_000) as i64)
        };
        let rows: Vec<Row> = (first..first + count).map(&mut row).collect();
        let durability = [Durability::Memory, Durability::Os, Durability::Sync];
        let options = WriteOptions {
            durability: self.rng.choose(&durability).copied(),
            ..WriteOptions::default()
        };
        let batch = batch(collection.schema(), kind, &rows);
        collection.write(batch, options).unwrap();
    }

    fn back_up(&mut self, version: Option<(VersionId, Contents)>) {
        let began = self.disk.op_count();
        let (version, contents) = match version {
            Some((version, contents)) => (Some(version), contents),
            None => (None, contents(&self.database)),
        };
        let options = BackupOptions {
            name: None,
            version,
            verify: false,
        };
        let (env, job) = (self.machine.env.clone(), Job::default());
        let made = self.database.backup(&env, TARGET.as_ref(), &options, &job);
        let made_now = Made {
            contents,
            began,
            answered: self.disk.op_count(),
            removing: usize::MAX,
            removed: usize::MAX,
        };
        let id = made.unwrap().id;
        assert!(self.made.insert(id, made_now).is_none(), "{id} came twice");
    }

    /// A version of before some writes, which is dropped as soon as it is backed up.
    fn back_up_a_version(&mut self) {
        let then = contents(&self.database);
        let version = VersionId::Lsn(self.database.snapshot(Some("v")).unwrap().version);
        self.machine.lanes.drain();
        for _ in 0..3 {
            self.write();
        }
        self.back_up(Some((version.clone(), then)));
        self.database.drop_version(&version).unwrap();
    }

    fn prune(&mut self) {
        if self.made.is_empty() {
            return;
        }
        let removing = self.disk.op_count();
        let keep = usize::try_from(self.rng.below(3) + 1).unwrap();
        let env = &self.machine.env;
        let gone = prune_backups(env, TARGET.as_ref(), keep, &options()).unwrap();
        let removed = self.disk.op_count();
        for id in gone {
            let made = self.made.get_mut(&id).unwrap();
            (made.removing, made.removed) = (removing, removed);
        }
    }

    fn drop_or_rotate(&mut self) {
        if sealed::is_on() && self.rng.chance(0.7) {
            return self.database.rotate_key(&sealed::next_key()).unwrap();
        }
        if let Some(name) = self.any() {
            // It waits for tasks of the collection, which would wait for this thread.
            self.machine.lanes.drain();
            self.database.drop_collection(&name).unwrap();
        }
    }

    fn restart(&mut self) {
        self.machine.lanes.drain();
        self.database.close().unwrap();
        let env = self.machine.env.clone();
        self.database = Database::open(env, Path::new(DIR), options()).unwrap();
    }

    /// Lists, verifies and restores what an image of the disk after `at` operations has.
    fn check(&self, image: &SimDisk, at: usize, rng: &mut Rng) -> Result<(), String> {
        let env = Machine::on(image, rng.next_u64()).env;
        let (target, job) = (Path::new(TARGET), Job::default());
        let listed = match list_backups(&env, target) {
            Err(error) if error.code() == Code::NotFound => Vec::new(),
            other => other.map_err(|error| format!("does not list: {error}"))?,
        };
        if let Some(damaged) = listed.iter().find(|info| info.error.is_some()) {
            return Err(format!("listed and damaged: {damaged:?}"));
        }
        let found: Vec<u64> = listed.iter().map(|info| info.id).collect();
        for (id, made) in &self.made {
            let is_found = found.contains(id);
            if made.answered <= at && made.removing >= at && !is_found {
                return Err(format!("backup {id} is lost"));
            }
            if (made.removed <= at || at <= made.began) && is_found {
                return Err(format!("backup {id} should not be there"));
            }
        }
        if !found.is_empty() {
            let verified = verify_backup(&env, target, None, &job);
            verified.map_err(|error| format!("is not whole: {error}"))?;
        }
        if let Some(&id) = rng.choose(&found) {
            let made = self.made.get(&id).ok_or("a backup that was never made")?;
            let place = Path::new(RESTORED);
            let restored = restore(&env, target, place, Some(id), None, &options(), &job);
            restored.map_err(|error| format!("backup {id} is not restored: {error}"))?;
            let opened = Database::open(env.clone(), place, options());
            let opened = opened.map_err(|error| format!("backup {id} does not open: {error}"))?;
            let report = opened.verify(&job).map_err(|error| error.to_string())?;
            if !report.is_ok() {
                return Err(format!("backup {id}: {:?}", report.problems));
            }
            compare(id, &contents(&opened), &made.contents)?;
        }
        // The next one is made in what the crash left, and clears it away.
        let database = Database::open(env.clone(), Path::new(DIR), options());
        let database = database.map_err(|error| format!("the database: {error}"))?;
        let next = database.backup(&env, target, &BackupOptions::default(), &job);
        let next = next.map_err(|error| format!("the next backup: {error}"))?;
        let verified = verify_backup(&env, target, None, &job);
        verified.map_err(|error| format!("after the next backup {}: {error}", next.id))?;
        let left = image.paths();
        let left = left.iter().find(|path| path.ends_with(".tmp"));
        left.map_or(Ok(()), |path| Err(format!("left behind: {path}")))
    }
}

fn compare(id: u64, found: &Contents, expected: &Contents) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!("backup {id}: {found:?}, expected {expected:?}"))
}

fn draw(rng: &mut Rng) -> Choice {
    match rng.below(4) {
        0 => Choice::keep_all(),
        1 => Choice::lose_all(),
        _ => Choice::seeded(rng.next_u64()),
    }
}

#[test]
fn a_backup_is_whole_and_exact_wherever_power_is_lost() {
    let first = seed_from_env("CAIRN_SEED", 1);
    let wanted = crash::number("CAIRN_CRASH_IMAGES", IMAGES);
    let (mut images, mut workloads, mut backups) = (0, 0, 0);
    while images < wanted {
        let seed = first + workloads;
        workloads += 1;
        let mut world = World::new(seed);
        for _ in 0..30 {
            world.step();
        }
        world.machine.lanes.drain();
        backups += world.made.len();
        let mut rng = Rng::new(seed ^ 0xbac);
        for at in 0..=world.disk.op_count() {
            if images >= wanted || !rng.chance(0.25) {
                continue;
            }
            let image = world
                .disk
                .crash_point(at)
                .recorded_image(&mut draw(&mut rng));
            if let Err(wrong) = world.check(&image.disk, at, &mut rng) {
                panic!("CAIRN_SEED={seed} at={at}: {wrong}\n{image}");
            }
            images += 1;
        }
    }
    println!("backups after a crash: {images} images of {workloads} workloads, {backups} backups");
}

/// What a restore was stopped in is the whole database or does not open: not even as a new one,
/// once anything of it is there.
#[test]
fn a_restore_that_was_killed_leaves_nothing_that_opens_as_complete() {
    let mut rng = Rng::new(seed_from_env("CAIRN_SEED", 1));
    let (mut images, mut again) = (0, 0);
    for round in 0..4 {
        let mut world = World::new(rng.next_u64());
        world.create();
        for _ in 0..=round * 3 {
            world.write();
        }
        world.back_up(None);
        let began = world.disk.op_count();
        let (env, job) = (world.machine.env.clone(), Job::default());
        let place = Path::new(RESTORED);
        restore(&env, TARGET.as_ref(), place, None, None, &options(), &job).unwrap();
        let answered = world.disk.op_count();
        let expected = world.made[&1].contents.clone();
        for at in began..=answered {
            let point = world.disk.crash_point(at);
            for _ in 0..4 {
                let decided = rng.next_u64();
                let lost = |point: &CrashPoint| match decided % 4 {
                    0 => point.image(&mut Choice::keep_all()),
                    1 => point.image(&mut Choice::lose_all()),
                    _ => point.image(&mut Choice::seeded(decided)),
                };
                let what = format!("at {at} of {began}..{answered}, choice {decided}");
                check_restored(&lost(&point), &expected, at >= answered, decided, &what);
                again += u64::from(restores_again(&lost(&point), &expected, decided, &what));
                images += 1;
            }
        }
    }
    println!("restores cut short: {images} images, {again} of them restored again");
    assert!(again > 50);
}

fn check_restored(image: &SimDisk, expected: &Contents, answered: bool, seed: u64, what: &str) {
    let env = Machine::on(image, seed).env;
    let place = Path::new(RESTORED);
    let names = env.disk.list(place).unwrap_or_default();
    let untouched = names.iter().all(|entry| entry.name.starts_with("LOCK"));
    match Database::open_read_only(env.clone(), place, options()) {
        Ok(restored) => assert_eq!(&contents(&restored), expected, "{what}"),
        Err(error) => assert!(!answered, "{what}: {error}"),
    }
    match Database::open(env, place, options()) {
        Ok(opened) if untouched => assert!(contents(&opened).is_empty() && !answered, "{what}"),
        Ok(opened) => assert_eq!(&contents(&opened), expected, "{what}"),
        Err(error) => {
            assert!(!answered, "{what}: {error}");
            assert_eq!(error.code(), Code::Corrupt, "{what}: {error}");
        }
    }
}

/// Whether what a crash left was taken for nothing, and replaced.
fn restores_again(image: &SimDisk, expected: &Contents, seed: u64, what: &str) -> bool {
    let env = Machine::on(image, seed).env;
    let (place, job) = (Path::new(RESTORED), Job::default());
    let again = match restore(&env, TARGET.as_ref(), place, None, None, &options(), &job) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.code(), Code::AlreadyExists, "{what}: {error}");
            false
        }
    };
    let opened = Database::open(env, place, options());
    let opened = opened.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(&contents(&opened), expected, "{what}");
    again
}

#[test]
fn encrypted_databases_keep_the_same_promises() {
    let tests = [
        "a_backup_is_whole_and_exact_wherever_power_is_lost",
        "a_restore_that_was_killed_leaves_nothing_that_opens_as_complete",
    ];
    sealed::run_again(
        module_path!(),
        &tests,
        &[("CAIRN_CRASH_IMAGES", IMAGES_ENCRYPTED)],
    );
}

#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
#[test]
fn planted_bugs_are_found() {
    if std::env::var_os("CAIRN_BUG").is_none() {
        crash::planted::expect_all_found(module_path!());
    }
}
