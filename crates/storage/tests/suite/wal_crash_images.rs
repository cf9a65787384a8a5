//! Power is lost at any moment while a log is being used: written to, rotated, released,
//! reopened. The disk comes back in any state it may legally be in. The log opens, every frame
//! that was acknowledged as synced is there, and what else is there is a prefix of what was
//! appended.

use cairn_testkit::seed_from_env;

use crate::common;
use common::rounds;
use common::workload::Run;

#[test]
fn at_every_operation_of_random_runs() {
    let seed = seed_from_env("CAIRN_SEED", 0xca1);
    let (mut torn, mut rewritten, mut recycled) = (0, 0, 0);
    for round in 0..rounds(150) as u64 {
        let seed = seed + round;
        let mut run = Run::new(seed);
        let mut wal = run.open().unwrap();
        for _ in 0..40 {
            run.step(&mut wal).unwrap();
        }
        for at in run.base..=run.disk.op_count() {
            for image in run.disk.random_images(at, 6, seed) {
                let what = format!("seed {seed}: {image}");
                let (found, _) = run.crashed(image.disk, at, seed ^ 1, &what);
                torn += found.recovery.torn_bytes;
                rewritten += found.recovery.rewritten_bytes;
            }
        }
        let from_spare = |line: &&String| line.contains("rename /wal/spare");
        recycled += run.disk.trace().iter().filter(from_spare).count();
    }
    // The runs went where it hurts.
    assert!(torn > 0 && rewritten > 0 && recycled > 0);
}

#[test]
fn in_every_way_for_a_short_run() {
    let mut run = Run::new(3);
    let mut wal = run.open().unwrap();
    for _ in 0..12 {
        run.step(&mut wal).unwrap();
    }
    for at in run.base..=run.disk.op_count() {
        for image in run.disk.enumerate_images(at, 6) {
            run.crashed(image.disk.clone(), at, 9, &image.to_string());
        }
    }
}

#[test]
fn a_dead_process_loses_nothing_it_handed_to_the_kernel() {
    let mut run = Run::new(5);
    let mut wal = run.open().unwrap();
    for _ in 0..200 {
        run.step(&mut wal).unwrap();
        let at = run.disk.op_count();
        let (found, _) = run.crashed(run.disk.kill_image(at), at, 7, "killed");
        let unsafe_frames = run.frames.iter().filter(|f| f.lsn > run.safe_lsn());
        assert!(found.frames.iter().eq(unsafe_frames));
    }
}
