//! Power is lost, and lost again while the log recovers, ten times over, with a few appends now
//! and then between. Each recovery starts from what the one before left behind half done.
//! Nothing acknowledged is ever lost, and recovery always comes to an end.

use cairn_testkit::{Choice, seed_from_env};

use crate::common;
use common::rounds;
use common::workload::Run;

#[test]
fn ten_crashes_deep() {
    let seed = seed_from_env("CAIRN_SEED", 0xdee9);
    for round in 0..rounds(1000) as u64 {
        let seed = seed + round;
        let mut run = Run::new(seed);
        let mut wal = run.open().unwrap();
        for _ in 0..run.rng.range(1..25) {
            run.step(&mut wal).unwrap();
        }
        let mut choice = Choice::seeded(seed);
        for depth in 0..10 {
            // Often in the middle of recovery, which comes first.
            let ops = run.disk.op_count();
            let end = if run.rng.chance(0.5) {
                ops
            } else {
                ops.min(run.base + 4)
            };
            let at = run.rng.range(run.base..end + 1);
            let image = run.disk.crash_image(at, &mut choice);
            let what = format!("seed {seed} depth {depth} at {at}");
            (run, wal) = run.crashed(image, at, seed + depth, &what);
            if run.rng.chance(0.6) {
                for _ in 0..run.rng.range(1..6) {
                    run.step(&mut wal).unwrap();
                }
            }
        }
    }
}

#[test]
fn a_torn_tail_costs_no_write_to_recover() {
    let mut run = Run::new(1);
    let wal = run.open().unwrap();
    for _ in 0..6 {
        run.append(&wal).unwrap();
    }
    wal.sync().unwrap();
    let disk = run.disk.kill_image(run.disk.op_count());
    let (found, _) = run.crashed(disk.clone(), run.disk.op_count(), 2, "after a sync");
    assert_eq!(found.disk.op_count(), 0, "{:?}", disk.trace());
}
