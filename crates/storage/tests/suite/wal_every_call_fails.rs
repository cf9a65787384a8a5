//! Every single call to the disk fails once: the first, the second, and so on until a run gets
//! by without. Whatever fails, the log answers with an error and no panic, what it acknowledged
//! stays, and after a restart it works again, with or without a loss of power between.

use std::io::ErrorKind;

use cairn_storage::{Result, StorageError, Wal};
use cairn_testkit::{Choice, SimDisk, sim_env_seeded};

use crate::common;
use common::*;

/// What a run has achieved when it ends, however it ends.
#[derive(Default)]
struct Outcome {
    appended: Vec<Owned>,
    synced: usize,
    safe: u64,
}

/// Uses everything a log can do. Returns the first error; goes on after errors that leave the
/// log usable.
fn run(disk: &SimDisk, outcome: &mut Outcome) -> Result<()> {
    let mut first_error = None;
    for life in 0..3 {
        let env = sim_env_seeded(disk, life);
        let opened = open_wal(&env, workload::options(), outcome.safe)?;
        let wal = opened.wal;
        outcome.appended.retain(|frame| frame.lsn <= outcome.safe);
        outcome.appended.extend(opened.frames);
        outcome.synced = outcome.appended.len();
        for step in 0..8 {
            if let Err(error) = one_step(&wal, step, outcome) {
                let refused = matches!(error, StorageError::NoSpace { .. });
                assert!(
                    !(refused && wal.is_poisoned()),
                    "no room means that nothing happened"
                );
                if wal.is_poisoned() {
                    check_poisoned(&wal);
                    return Err(error);
                }
                first_error = first_error.or(Some(error));
            }
        }
    }
    first_error.map_or(Ok(()), Err)
}

fn one_step(wal: &Wal, step: u64, outcome: &mut Outcome) -> Result<()> {
    let lsn = wal.last_lsn() + 1;
    let group = [
        Owned::new(lsn, 700),
        Owned::new(lsn + 1, 100 * step as usize),
    ];
    let sync = step.is_multiple_of(2);
    // A refused append leaves nothing behind; one with an open outcome poisons.
    append(wal, &group, sync).inspect_err(|_| {
        if wal.is_poisoned() {
            outcome.appended.extend(group.iter().cloned());
        }
    })?;
    outcome.appended.extend(group.iter().cloned());
    if sync {
        outcome.synced = outcome.appended.len();
    }
    if step == 3 {
        wal.rotate()?;
        outcome.synced = outcome.appended.len();
        outcome.safe = lsn;
    }
    if step == 5 {
        wal.release(outcome.safe)?;
    }
    Ok(())
}

fn check_poisoned(wal: &Wal) {
    let frame = Owned::new(wal.last_lsn() + 10, 1);
    assert!(matches!(
        append(wal, &[frame], true),
        Err(StorageError::Poisoned)
    ));
    assert!(matches!(wal.sync(), Err(StorageError::Poisoned)));
}

/// A log on `disk` holds what was acknowledged, and nothing that was not appended.
fn check(disk: &SimDisk, outcome: &Outcome, durable: bool, what: &str) {
    let env = sim_env_seeded(disk, 77);
    let opened = open_wal(&env, workload::options(), outcome.safe);
    let opened = opened.unwrap_or_else(|error| panic!("{what}: {error}"));
    let expected = |frames: &[Owned]| -> Vec<Owned> {
        let needed = frames.iter().filter(|frame| frame.lsn > outcome.safe);
        needed.cloned().collect()
    };
    let (all, synced) = (
        expected(&outcome.appended),
        expected(&outcome.appended[..outcome.synced]),
    );
    assert!(all.starts_with(&opened.frames), "{what}: phantom frames");
    assert!(
        !durable || opened.frames.len() >= synced.len(),
        "{what}: lost"
    );
    let next = Owned::new(opened.wal.last_lsn() + 1, 50);
    append(&opened.wal, &[next], true).unwrap_or_else(|error| panic!("{what}: {error}"));
}

#[test]
fn once_each_until_none_is_left() {
    for error in [
        ErrorKind::Other,
        ErrorKind::StorageFull,
        ErrorKind::PermissionDenied,
    ] {
        for torn in [false, true] {
            let mut failed = 0;
            for call in 1.. {
                let disk = SimDisk::new();
                make_wal_dir(&sim_env_seeded(&disk, 0));
                let start = disk.calls();
                if torn {
                    disk.fail_nth_torn(start + call, error);
                } else {
                    disk.fail_nth(start + call, error);
                }
                let mut outcome = Outcome::default();
                let result = run(&disk, &mut outcome);
                if disk.calls() < start + call {
                    result.unwrap();
                    assert!(call > 100, "the run is too short to say anything");
                    break;
                }
                let what = format!("{error:?} at call {call}, torn {torn}");
                failed += u64::from(result.is_err());
                if let Err(error) = result {
                    // Poisoned: what failed was the mark behind a sync that did not.
                    assert!(
                        !matches!(error, StorageError::Corrupt { .. }),
                        "{what}: {error:?}"
                    );
                }
                let at = disk.op_count();
                disk.clear_faults();
                for seed in 0..4 {
                    let image = disk.crash_image(at, &mut Choice::seeded(seed));
                    check(&image, &outcome, true, &what);
                }
                check(
                    &disk.crash_image(at, &mut Choice::lose_all()),
                    &outcome,
                    true,
                    &what,
                );
                check(&disk.kill_image(at), &outcome, true, &what);
            }
            assert!(failed > 80, "most calls are worth an error, not {failed}");
        }
    }
}

#[test]
fn at_every_capacity() {
    for blocks in 0..12 {
        let disk = SimDisk::new();
        make_wal_dir(&sim_env_seeded(&disk, 0));
        disk.set_capacity(Some(blocks * 4096));
        let mut outcome = Outcome::default();
        if let Err(error) = run(&disk, &mut outcome) {
            assert!(matches!(error, StorageError::NoSpace { .. }), "{error:?}");
        }
        disk.set_capacity(None);
        let what = format!("{blocks} blocks");
        let image = disk.crash_image(disk.op_count(), &mut Choice::lose_all());
        check(&image, &outcome, true, &what);
        check(&disk, &outcome, true, &what);
    }
}
