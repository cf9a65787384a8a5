//! Every step of the commit path that this crate knows is a named fail point. Each is passed by
//! a plain run, and an error at any pass of any of them costs nothing that was acknowledged.

#![cfg(feature = "failpoints")]
#![expect(
    clippy::unwrap_used,
    reason = "functions that tests share are test code"
)]

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use cairn_env::{Env, FaultAction, KillPoint};
use cairn_storage::{
    Result, StorageError, list_versions, load, publish, read_current, record, sync_segment_dir,
};
use cairn_testkit::{Choice, SimDisk, sim_env_seeded};

use crate::common;
use common::*;

const POINTS: [KillPoint; 17] = [
    KillPoint::K2Encoded,
    KillPoint::K3PartialWrite,
    KillPoint::K4Written,
    KillPoint::K5SyncIssued,
    KillPoint::K6Synced,
    KillPoint::K9SegmentCreated,
    KillPoint::K15Footer,
    KillPoint::K16SegmentSynced,
    KillPoint::K17SegmentDirSynced,
    KillPoint::K18ManifestWritten,
    KillPoint::K19ManifestSynced,
    KillPoint::K20Renamed,
    KillPoint::K21DirSynced,
    KillPoint::K23WalRotated,
    KillPoint::K24WalRemoved,
    KillPoint::K29RecordWritten,
    KillPoint::K30RecordPublished,
];

/// What was acknowledged before the first error.
#[derive(Default)]
struct Acknowledged {
    frames: u64,
    safe: u64,
    version: u64,
    recorded: u64,
}

/// Three rounds of: append two groups, write a segment, publish it, record it, release the log.
fn run(env: &Env, done: &mut Acknowledged) -> Result<()> {
    let root = Path::new("/");
    let wal = open_wal(env, small_options(), 0)?.wal;
    for round in 1..=3 {
        for _ in 0..2 {
            let lsn = wal.last_lsn() + 1;
            append(&wal, &[Owned::new(lsn, 900)], true)?;
            done.frames = lsn;
        }
        let path = root.join(format!("{round}.seg"));
        let id = cairn_storage::SectionId { kind: 1, field: 0 };
        let mut writer = cairn_storage::SegmentWriter::create(env, &path, [round; 16], 7)?;
        writer.begin(id, 0)?;
        writer.write(&[round; 5000])?;
        writer.end()?;
        writer.finish()?;
        sync_segment_dir(env, root)?;
        wal.rotate()?;
        let safe = wal.last_lsn();
        publish(
            env,
            root,
            "manifest",
            "man",
            u64::from(round),
            &safe.to_le_bytes(),
        )?;
        done.version = u64::from(round);
        let number = u64::from(round);
        record(env, root, "manifest", "ver", number, &safe.to_le_bytes())?;
        done.recorded = number;
        done.safe = safe;
        wal.release(safe)?;
    }
    Ok(())
}

fn new_disk() -> SimDisk {
    let disk = SimDisk::new();
    let env = sim_env_seeded(&disk, 0);
    make_wal_dir(&env);
    env.disk.create_dir(Path::new("/manifest")).unwrap();
    env.disk.sync_dir(Path::new("/")).unwrap();
    disk
}

fn check(disk: &SimDisk, done: &Acknowledged, what: &str) {
    let env = sim_env_seeded(disk, 5);
    let version = read_current(&env, Path::new("/")).unwrap().unwrap_or(0);
    assert!(version >= done.version, "{what}");
    let safe = match version {
        0 => 0,
        _ => {
            let body = load(&env, Path::new("/"), "manifest", "man", version).unwrap();
            u64::from_le_bytes(body.try_into().unwrap())
        }
    };
    assert!(safe >= done.safe, "{what}");
    let recorded = list_versions(&env, Path::new("/"), "manifest", "ver").unwrap();
    let expected: Vec<u64> = (1..=recorded.len() as u64).collect();
    assert_eq!(recorded, expected, "{what}");
    assert!(
        recorded.len() as u64 >= done.recorded,
        "{what}: a record is lost"
    );
    for number in recorded {
        load(&env, Path::new("/"), "manifest", "ver", number).unwrap();
    }
    let opened = open_wal(&env, small_options(), safe);
    let opened = opened.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(opened.wal.last_lsn() >= done.frames, "{what}: lost");
    assert!(
        opened
            .frames
            .iter()
            .map(|f| f.lsn)
            .eq(safe + 1..=opened.wal.last_lsn()),
        "{what}"
    );
}

/// A full disk is told as one only where nothing has been committed: behind these steps, nobody knows.
const UNDECIDED: [KillPoint; 7] = [
    KillPoint::K3PartialWrite,
    KillPoint::K4Written,
    KillPoint::K5SyncIssued,
    KillPoint::K6Synced,
    KillPoint::K20Renamed,
    KillPoint::K21DirSynced,
    KillPoint::K23WalRotated,
];

#[test]
fn an_error_at_any_pass_of_any_point() {
    for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
        for point in POINTS.into_iter().chain([KillPoint::K26CleanupSynced]) {
            for pass in 1.. {
                let disk = new_disk();
                let env = sim_env_seeded(&disk, 1);
                env.faults.arm(point, pass, FaultAction::Error(kind));
                let mut done = Acknowledged::default();
                let result = run(&env, &mut done);
                if env.faults.hits(point) < pass {
                    result.unwrap();
                    assert!(pass > 3, "{point:?} is passed in every round");
                    break;
                }
                let what = format!("{kind:?} at {point:?} pass {pass}");
                let is_full = kind == ErrorKind::StorageFull && !UNDECIDED.contains(&point);
                match result.unwrap_err() {
                    StorageError::NoSpace { .. } if is_full => {}
                    StorageError::Io { source, .. } if !is_full => assert_eq!(source.kind(), kind),
                    other => panic!("{what}: {other}"),
                }
                let at = disk.op_count();
                check(&disk.kill_image(at), &done, &what);
                check(&disk.crash_image(at, &mut Choice::lose_all()), &done, &what);
                for seed in 0..20 {
                    let mut choice = Choice::seeded(seed);
                    check(&disk.crash_image(at, &mut choice), &done, &what);
                }
            }
        }
    }
}

#[test]
fn a_panic_in_the_middle_of_an_append_poisons_nothing_else() {
    let disk = new_disk();
    let env = sim_env_seeded(&disk, 1);
    env.faults
        .arm(KillPoint::K3PartialWrite, 2, FaultAction::Panic);
    let mut done = Acknowledged::default();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        run(&env, &mut done).unwrap();
    }));
    assert!(panicked.is_err());
    check(&disk.kill_image(disk.op_count()), &done, "panic");
}

#[test]
fn the_steps_come_in_their_order() {
    let disk = new_disk();
    let env = sim_env_seeded(&disk, 1);
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    env.faults
        .observe(move |point| log.lock().unwrap().push(point));
    run(&env, &mut Acknowledged::default()).unwrap();
    let seen = seen.lock().unwrap();
    let second_round = seen
        .iter()
        .skip(1)
        .position(|p| *p == KillPoint::K23WalRotated);
    let first_round = &seen[1..=second_round.unwrap()];
    let mut expected: Vec<KillPoint> = POINTS[..5].repeat(2);
    expected.extend(&POINTS[5..13]);
    expected.extend([
        KillPoint::K18ManifestWritten,
        KillPoint::K29RecordWritten,
        KillPoint::K30RecordPublished,
    ]);
    expected.extend([KillPoint::K24WalRemoved, KillPoint::K26CleanupSynced]);
    assert_eq!(first_round, expected);
}
