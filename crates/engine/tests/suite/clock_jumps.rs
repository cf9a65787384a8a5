//! The wall clock jumps, forwards and backwards, by days and by centuries, between any two steps:
//! versions rise, what was written is there, a second writer waits as long as it was told, and
//! what names and files take their time from decides nothing.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::sync::Arc;
use std::time::Duration;

use cairn_engine::{
    Code, Collection, Database, Job, KeyType, MetricName, Options, SearchRequest, Stop, WriteKind,
    WriteOptions,
};
use cairn_env::{Clock, Env};
use cairn_testkit::{Rng, SimClock, SimDisk, seed_from_env, sim_env};

use crate::common;
#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
use crate::crash::planted;
use common::{Home, Model, Row, batch, number, plain, put, removal, small};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Where a clock may jump to from `now`: a little, a lot, the beginning of time, and its end.
fn jump(clock: &SimClock, rng: &mut Rng) {
    let now = clock.unix_ms();
    let to = match rng.below(7) {
        0 => now.saturating_sub(1),
        1 => now.saturating_sub(3 * 60 * 60 * 1000), // a change of summer time, and more
        2 => now.saturating_sub(400 * DAY_MS),
        3 => now.saturating_add(400 * DAY_MS),
        4 => 0,
        5 => (1 << 48) - 1, // the last that a name of a segment can hold
        _ => u64::MAX,
    };
    clock.set_unix_ms(to);
}

struct World {
    home: Home,
    clock: SimClock,
    database: Arc<Database>,
    collection: Arc<Collection>,
}

impl World {
    fn new() -> Self {
        let clock = SimClock::new();
        let env = Env {
            clock: Arc::new(clock.clone()),
            ..sim_env(&SimDisk::new())
        };
        let home = Home::on(env);
        let database = home.open(small());
        let schema = plain(KeyType::U64, 3, MetricName::L2);
        let collection = database.create_collection("c", schema).unwrap();
        Self {
            home,
            clock,
            database,
            collection,
        }
    }

    fn reopen(&mut self) {
        self.database.close().unwrap();
        self.database = self.home.open(small());
        self.collection = self.database.open_collection("c").unwrap();
    }
}

fn row(n: u64, x: f32) -> Row {
    Row::new(number(n), &[x, 1.0, 2.0]).with("n", i64::try_from(n).unwrap())
}

#[test]
fn versions_rise_and_nothing_is_lost_whatever_the_clock_does() {
    let mut rng = Rng::new(seed_from_env("CAIRN_SEED", 1));
    let mut world = World::new();
    let mut model = Model::new(world.collection.schema());
    let (mut last, mut segments) = (0, std::collections::BTreeSet::new());
    for step in 0..400_u64 {
        jump(&world.clock, &mut rng);
        let schema = world.collection.schema().clone();
        let version = match rng.below(10) {
            0 => {
                let gone = number(rng.below(60));
                let answer = world.collection.write(
                    removal(&schema, std::slice::from_ref(&gone)),
                    WriteOptions::default(),
                );
                model.write(
                    WriteKind::Delete,
                    &[Row::of(gone, vec![None])],
                    None,
                    &answer,
                );
                answer.unwrap().version
            }
            1 => {
                world.collection.commit().unwrap();
                last
            }
            2 => {
                world.collection.compact(&Job::default()).unwrap();
                last
            }
            3 => {
                world.reopen();
                last
            }
            _ => {
                let rows = [row(rng.below(60), step as f32)];
                let upsert = batch(&schema, WriteKind::Upsert, &rows);
                let answer = world.collection.write(upsert, WriteOptions::default());
                model.write(WriteKind::Upsert, &rows, None, &answer);
                let version = answer.unwrap().version;
                assert!(version > last, "step {step}");
                version
            }
        };
        assert!(version >= last, "step {step}");
        last = version;
        let stats = world.collection.stats().unwrap();
        segments.extend(stats.segments.iter().map(|segment| segment.id.clone()));
        model.check(&world.collection.snapshot().unwrap());
    }
    assert!(segments.len() > 20, "{} segments", segments.len());
}

/// The answer of a write under a key comes again for the whole window, and a window is never cut
/// short: not by a jump while the database is open, nor by any that it finds when it opens.
#[test]
fn no_jump_backwards_forgets_a_key_before_its_window() {
    let mut rng = Rng::new(seed_from_env("CAIRN_SEED", 2));
    let mut world = World::new();
    let keyed = |key: u64| WriteOptions {
        idempotency_key: Some(format!("key {key}")),
        ..WriteOptions::default()
    };
    let write = |world: &World, key: u64| {
        let schema = world.collection.schema();
        let batch = batch(schema, WriteKind::Upsert, &[row(key, 1.0)]);
        world.collection.write(batch, keyed(key)).unwrap()
    };
    let mut answers = Vec::new();
    for key in 0..30 {
        answers.push(write(&world, key));
        // Backwards only, where the database is closed and opened again: forwards is what time does.
        let now = world.clock.unix_ms();
        world
            .clock
            .set_unix_ms(now.saturating_sub(rng.below(40 * DAY_MS)));
        match rng.below(3) {
            0 => world.reopen(),
            1 => world.collection.compact(&Job::default()).unwrap(),
            _ => world.clock.advance(Duration::from_secs(60)),
        }
        for (key, answer) in (0..).zip(&answers) {
            assert_eq!(write(&world, key), *answer, "key {key}");
        }
    }
    // While it is open, forwards is no passing of time either.
    world.clock.set_unix_ms(u64::MAX / 2);
    for (key, answer) in (0..).zip(&answers) {
        assert_eq!(write(&world, key), *answer, "key {key}");
    }
}

#[test]
fn a_second_writer_waits_as_long_as_it_was_told_by_no_wall_clock() {
    for to in [0, u64::MAX] {
        let world = World::new();
        let begun = world.clock.now();
        world.clock.set_unix_ms(to);
        let options = Options {
            lock_timeout: Duration::from_millis(500),
            ..small()
        };
        let refused = Database::open(world.home.env.clone(), world.home.path(), options);
        let error = refused.err().unwrap();
        assert_eq!(error.code(), Code::Locked);
        let waited = world.clock.now() - begun;
        assert!(waited >= Duration::from_millis(500), "{waited:?}");
        assert!(waited < Duration::from_secs(2), "{waited:?}");
        drop(world.collection);
    }
}

#[test]
fn a_deadline_is_measured_by_no_wall_clock() {
    let world = World::new();
    put(&world.collection, &[row(1, 1.0)]);
    let until = world.clock.now() + Duration::from_secs(5);
    let stop = Stop::never().at(Arc::new(world.clock.clone()), until);
    let snapshot = world.collection.snapshot().unwrap();
    let query = [1.0, 1.0, 2.0];
    let request = SearchRequest::new(&query, 1);
    world.clock.set_unix_ms(u64::MAX);
    assert_eq!(snapshot.search(&request, &stop).unwrap().distances.len(), 1);
    world.clock.set_unix_ms(0);
    world.clock.advance(Duration::from_secs(5));
    let late = snapshot.search(&request, &stop).unwrap_err();
    assert_eq!(late.code(), Code::Deadline);
}

/// A clock that was wrong for one version would keep every later one for as long as it was wrong by.
#[test]
fn versions_without_a_name_are_forgotten_though_the_clock_was_ahead_once() {
    for retain in [Duration::ZERO, Duration::from_secs(3600)] {
        let mut world = World::new();
        let options = Options {
            retain_versions: 3,
            retain,
            ..small()
        };
        world.database.close().unwrap();
        let open = |world: &mut World| {
            world.database = world.home.open(options.clone());
            world.collection = world.database.open_collection("c").unwrap();
        };
        open(&mut world);
        let right = world.clock.unix_ms();
        for n in 0..20 {
            let ahead = if n == 4 { 100 * 365 * DAY_MS } else { 0 };
            world.clock.set_unix_ms(right + n * 1000 + ahead);
            put(&world.collection, &[row(n, 1.0)]);
            world.database.commit().unwrap();
            if n == 10 {
                world.database.close().unwrap();
                open(&mut world);
            }
        }
        let left = world.database.versions().unwrap();
        // Those before the jump are of the last hour.
        let most = if retain.is_zero() { 3 } else { 3 + 4 };
        assert!(left.len() <= most, "{retain:?}: {left:?}");
        assert!(left.is_sorted_by_key(|version| version.created_unix_ms));
        let error = world.database.stats().unwrap().last_version_error;
        assert_eq!(error, None);
    }
}

/// A clock that goes back by less than versions are kept for takes none of them.
#[test]
fn a_small_step_back_forgets_no_version_that_is_still_to_be_kept() {
    let mut world = World::new();
    world.database.close().unwrap();
    world.database = world.home.open(Options {
        retain: Duration::from_secs(3600),
        ..small()
    });
    world.collection = world.database.open_collection("c").unwrap();
    let before = world.clock.unix_ms();
    for n in 0..10 {
        world.clock.set_unix_ms(before - n * 1000);
        put(&world.collection, &[row(n, 1.0)]);
        world.database.commit().unwrap();
    }
    assert_eq!(world.database.versions().unwrap().len(), 10);
}

#[cfg(all(feature = "failpoints", feature = "planted-bugs"))]
#[test]
fn planted_bugs_are_found() {
    planted::expect_all_found(module_path!());
}
