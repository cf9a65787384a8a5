//! Every numbered step of the commit path is passed, and power may be lost at each of them.
//!
//! The steps K1 to K30 are those between which a crash leaves something else on the disk: a frame
//! encoded, half of a group written, the log synced, a manifest written, CURRENT renamed, an old
//! log removed, a version pinned, a file of a backup copied, its record published. Workloads pass all of them, counted; at each pass the disk is asked what a crash
//! could leave at that very moment. K11 and K12, the steps of graphs, need more records than these
//! workloads have: a merge of its own passes them.

#![cfg(feature = "failpoints")]
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use cairn_engine::{
    Compaction, Database, IndexKind, Job, KeyType, MetricName, Options, SearchRequest, Stop,
};
use cairn_env::KillPoint;
use cairn_testkit::{Choice, Rng, SimDisk, data, seed_from_env, sim_env, sim_env_seeded};
use parking_lot::Mutex;

use crate::common;
use crate::crash;
use common::{Home, Row, number, put, remove, schema, vector_field};
use crash::check;
use crash::model::Loss;
use crash::run::Run;

/// Passes of one step of one workload that are looked at.
const PASSES_MAX: usize = 8;
/// Random images of each, beside the one that lost all and the one that lost nothing.
const IMAGES: usize = 8;
const WORKLOADS: u64 = 6;

const GRAPHS: [KillPoint; 2] = [KillPoint::K11Graph, KillPoint::K12Codes];

#[test]
fn every_step_is_passed_and_survived() {
    let first = seed_from_env("CAIRN_SEED", 100);
    let mut table: BTreeMap<KillPoint, (u64, u64)> = BTreeMap::new();
    for seed in first..first + WORKLOADS {
        let mut run = Run::new(seed);
        let faults = run.machine.env.faults.clone();
        for _ in 0..4 {
            run.steps(10);
            run.pass_through_a_version();
        }
        let shared = Arc::clone(&run.shared);
        drop(run);
        let mut rng = Rng::new(seed);
        for point in of_all_segments() {
            let all = shared.moments.lock();
            let passes = all.iter().filter(|(passed, _)| *passed == point);
            let mut moments: Vec<usize> = passes.map(|(_, at)| *at).collect();
            drop(all);
            rng.shuffle(&mut moments);
            moments.truncate(PASSES_MAX);
            let row = table.entry(point).or_default();
            row.0 += faults.hits(point);
            for at in moments {
                row.1 += check_moment(&shared, point, at, seed, &mut rng);
            }
        }
    }
    println!("step                  passed  images");
    for (point, (passed, images)) in &table {
        println!("{:20} {passed:7} {images:7}", format!("{point:?}"));
    }
    let images: u64 = table.values().map(|(_, images)| images).sum();
    println!(
        "kill points: {} of {} passed, {images} images",
        table.len(),
        KillPoint::ALL.len()
    );
    for point in of_all_segments() {
        assert!(table[&point].0 > 0, "{point:?} was never passed");
        assert!(table[&point].1 > 0, "no image of {point:?}");
    }
}

/// All steps but those of graphs.
fn of_all_segments() -> impl Iterator<Item = KillPoint> {
    let is_of_graphs = |point: &KillPoint| GRAPHS.contains(point);
    KillPoint::ALL
        .into_iter()
        .filter(move |it| !is_of_graphs(it))
}

fn check_moment(
    shared: &crash::run::Shared,
    point: KillPoint,
    at: usize,
    seed: u64,
    rng: &mut Rng,
) -> u64 {
    let world = shared.world.lock();
    let moment = shared.disk.crash_point(at);
    let mut choices = vec![
        (Choice::keep_all(), Loss::Process),
        (Choice::lose_all(), Loss::Power),
    ];
    choices.extend((0..IMAGES).map(|_| (Choice::seeded(rng.next_u64()), Loss::Power)));
    let count = choices.len();
    for (mut choice, loss) in choices {
        let image = moment.recorded_image(&mut choice);
        if let Err(wrong) = check::after_crash(&image.disk, rng.next_u64(), &world, at, loss) {
            panic!("CAIRN_SEED={seed} {point:?} at={at} {loss:?}: {wrong}\n{image}");
        }
        let backups = shared.backups.lock();
        let checked = check::backups_after_crash(&image.disk, rng.next_u64(), &backups, at);
        if let Err(wrong) = checked {
            panic!("CAIRN_SEED={seed} {point:?} at={at} {loss:?}: {wrong}\n{image}");
        }
    }
    count as u64
}

/// Rows from which there are graphs, and some.
const ROWS: usize = 1_100;
const DIM: usize = 4;
const NAME: &str = "c";

/// One field of each kind of graph.
fn with_graphs(database: &Arc<Database>) -> Arc<cairn_engine::Collection> {
    let fields = [("links", IndexKind::Auto), ("codes", IndexKind::Qg)];
    let fields = fields.map(|(name, index)| vector_field(name, DIM as u32, MetricName::L2, index));
    let schema = schema(KeyType::U64, fields.to_vec());
    database.collection(NAME, Some(schema)).unwrap()
}

fn merges_when_told() -> Options {
    Options {
        compaction: Compaction::None,
        encryption: crash::sealed::provider(),
        ..Options::default()
    }
}

#[test]
fn the_steps_of_graphs_are_passed_and_survived() {
    let seed = seed_from_env("CAIRN_SEED", 100);
    println!("CAIRN_SEED={seed}");
    let disk = SimDisk::new();
    let home = Home::on(sim_env(&disk));
    let database = home.open(merges_when_told());
    let collection = with_graphs(&database);
    let (links, codes) = (
        data::uniform(seed, ROWS, DIM),
        data::uniform(seed + 1, ROWS, DIM),
    );
    let row = |n: usize| {
        let of = |vectors: &[f32]| Some(vectors[n * DIM..][..DIM].to_vec());
        Row::of(number(n as u64), vec![of(&links), of(&codes)])
    };
    for half in [0..ROWS / 2, ROWS / 2..ROWS] {
        put(&collection, &half.map(row).collect::<Vec<_>>());
        collection.compact(&Job::default()).unwrap();
    }
    // A merge that leaves something behind, and what it was told of since.
    let gone: Vec<_> = (0..20).map(number).collect();
    remove(&collection, &gone);
    let (from, log) = (disk.op_count(), Arc::new(Mutex::new(Vec::new())));
    let (moments, clock) = (Arc::clone(&log), disk.clone());
    let faults = home.env.faults.clone();
    faults.observe(move |point| moments.lock().push((point, clock.op_count())));
    collection.compact(&Job::default()).unwrap();
    let at_rest = collection.stats().unwrap();
    assert_eq!(at_rest.segments.len(), 1);
    let passed = log.lock().clone();
    let merge = passed.iter().map(|(point, _)| *point);
    let merge: Vec<_> = merge
        .skip_while(|it| *it != KillPoint::K10Vectors)
        .collect();
    let graphs = [
        KillPoint::K10Vectors,
        KillPoint::K11Graph,
        KillPoint::K12Codes,
        KillPoint::K13Payload,
    ];
    assert_eq!(merge[..4], graphs, "each once, in this order");

    let (mut rng, mut images) = (Rng::new(seed), 0);
    for (point, at) in passed {
        assert!(at >= from);
        let mut choices = vec![Choice::keep_all(), Choice::lose_all()];
        choices.extend((0..2).map(|_| Choice::seeded(rng.next_u64())));
        for mut choice in choices {
            let image = disk.crash_point(at).recorded_image(&mut choice);
            let what = format!("CAIRN_SEED={seed} {point:?} at={at}\n{image}");
            let env = sim_env_seeded(&image.disk, 9);
            let database = Database::open(env, Path::new("/db"), merges_when_told());
            let database = database.unwrap_or_else(|error| panic!("{error}: {what}"));
            let collection = with_graphs(&database);
            let snapshot = collection.snapshot().unwrap();
            assert_eq!(snapshot.count() as usize, ROWS - gone.len(), "{what}");
            let report = database.verify(&Job::default()).unwrap();
            assert_eq!(report.problems, [], "{what}");
            let left = image.disk.paths();
            let left = left.iter().filter(|path| path.ends_with(".seg")).count();
            let listed = collection.stats().unwrap().segments.len();
            assert_eq!(left, listed, "no orphans: {what}");
            for (field, vectors) in [&links, &codes].into_iter().enumerate() {
                let request = SearchRequest {
                    field,
                    ..SearchRequest::new(&vectors[900 * DIM..][..DIM], 1)
                };
                let hits = snapshot.search(&request, &Stop::never()).unwrap();
                assert_eq!(hits.keys.get(0), number(900).as_key(), "{what}");
            }
            images += 1;
        }
    }
    println!(
        "a merge with graphs: {} steps, {images} images",
        log.lock().len()
    );
}

#[test]
fn encrypted_databases_keep_the_same_promises() {
    let tests = [
        "every_step_is_passed_and_survived",
        "the_steps_of_graphs_are_passed_and_survived",
    ];
    crash::sealed::run_again(module_path!(), &tests, &[]);
}
