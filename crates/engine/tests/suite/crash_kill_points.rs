//! Every numbered step of the commit path is passed, and power may be lost at each of them.
//!
//! The steps K1 to K30 are those between which a crash leaves something else on the disk: a frame
//! encoded, half of a group written, the log synced, a manifest written, CURRENT renamed, an old
//! log removed, a version pinned, a file of a backup copied, its record published. Workloads pass all of them, counted; at each pass the disk is asked what a crash
//! could leave at that very moment.

#![cfg(feature = "failpoints")]

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_env::KillPoint;
use cairn_testkit::{Choice, Rng, seed_from_env};

use crate::crash;
use crash::check;
use crash::model::Loss;
use crash::run::Run;

/// Passes of one step of one workload that are looked at.
const PASSES_MAX: usize = 8;
/// Random images of each, beside the one that lost all and the one that lost nothing.
const IMAGES: usize = 8;
const WORKLOADS: u64 = 6;

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
        for point in KillPoint::ALL {
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
    for point in KillPoint::ALL {
        assert!(table[&point].0 > 0, "{point:?} was never passed");
        assert!(table[&point].1 > 0, "no image of {point:?}");
    }
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

#[test]
fn encrypted_databases_keep_the_same_promises() {
    let tests = ["every_step_is_passed_and_survived"];
    crash::sealed::run_again(module_path!(), &tests, &[]);
}
