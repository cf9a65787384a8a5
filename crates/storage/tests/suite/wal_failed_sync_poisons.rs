//! A sync fails. The kernel may have dropped what it could not write and may answer the next
//! sync with success, so nothing more is believed of this log: the append that failed says so,
//! every later call answers that the log is closed, and no sync is tried again. A new start
//! finds what is really there, and makes that durable before it shows it.

use std::io::ErrorKind;

use cairn_storage::{FRAME_OVERHEAD_BYTES, StorageError};
use cairn_testkit::{Choice, SimDisk, sim_env};

use crate::common;
use common::*;

#[test]
fn after_a_failed_sync_every_call_is_refused_and_none_is_repeated() {
    // The first append syncs the new file's header, its directory, and the frame; the second
    // only its frame.
    for failing in 1..=4 {
        let disk = SimDisk::new();
        let env = sim_env(&disk);
        make_wal_dir(&env);
        let wal = open_wal(&env, small_options(), 0).unwrap().wal;
        disk.fail_sync_nth(disk.syncs() + failing, ErrorKind::Other);
        let frames = [Owned::new(1, 600), Owned::new(2, 600), Owned::new(3, 10)];
        let first = append(&wal, &frames[..1], true);
        if failing == 4 {
            first.unwrap();
            assert!(matches!(
                append(&wal, &frames[1..2], true),
                Err(StorageError::Io { op: "sync", .. })
            ));
        } else {
            assert!(matches!(first, Err(StorageError::Io { .. })), "{first:?}");
        }
        assert!(wal.is_poisoned());
        let calls = disk.calls();
        let poisoned = |result| assert!(matches!(result, Err(StorageError::Poisoned)));
        poisoned(append(&wal, &frames[2..], true));
        poisoned(append(&wal, &frames[2..], false));
        poisoned(wal.sync());
        poisoned(wal.rotate());
        assert_eq!(disk.calls(), calls, "the disk was asked again");
        assert_eq!(wal.synced_lsn(), if failing == 4 { 1 } else { 0 });
        drop(wal);

        // What the failed sync left in the cache looks written. After recovery it has to be.
        let opened = open_wal(&env, small_options(), 0).unwrap();
        let image = disk.crash_image(disk.op_count(), &mut Choice::lose_all());
        let after = open_wal(&sim_env(&image), small_options(), 0).unwrap();
        assert_eq!(after.frames, opened.frames, "sync {failing}");
        append(&opened.wal, &frames[2..], true).unwrap();
        let image = disk.crash_image(disk.op_count(), &mut Choice::lose_all());
        let after = open_wal(&sim_env(&image), small_options(), 0).unwrap();
        assert_eq!(after.frames.last(), frames.last());
    }
}

#[test]
fn a_failed_sync_is_not_success_later() {
    let disk = SimDisk::new();
    let env = sim_env(&disk);
    make_wal_dir(&env);
    let wal = open_wal(&env, small_options(), 0).unwrap().wal;
    append(&wal, &[Owned::new(1, 10)], true).unwrap();
    append(&wal, &[Owned::new(2, 10)], false).unwrap();
    disk.fail_sync_nth(disk.syncs() + 1, ErrorKind::Other);
    assert!(wal.sync().is_err());
    assert!(matches!(wal.sync(), Err(StorageError::Poisoned)));
    assert_eq!((wal.synced_lsn(), wal.last_lsn()), (1, 2));
}

#[test]
fn a_full_disk_refuses_and_recovers_without_a_restart() {
    let disk = SimDisk::new();
    let env = sim_env(&disk);
    make_wal_dir(&env);
    let wal = open_wal(&env, small_options(), 0).unwrap().wal;
    append(&wal, &[Owned::new(1, 3000)], true).unwrap();
    disk.set_capacity(Some(disk.used_bytes()));
    let large = [Owned::new(2, 9000)];
    for _ in 0..3 {
        let full = append(&wal, &large, true);
        assert!(
            matches!(full, Err(StorageError::NoSpace { .. })),
            "{full:?}"
        );
        assert!(!wal.is_poisoned());
    }
    assert!(matches!(
        wal.reserve(9000),
        Err(StorageError::NoSpace { .. })
    ));
    assert!(!wal.is_poisoned());
    disk.set_capacity(None);
    append(&wal, &large, true).unwrap();
    drop(wal);
    let image = disk.crash_image(disk.op_count(), &mut Choice::lose_all());
    let frames = open_wal(&sim_env(&image), small_options(), 0)
        .unwrap()
        .frames;
    assert_eq!(frames.len(), 2);
}

#[test]
fn what_was_reserved_cannot_run_out_of_space() {
    let disk = SimDisk::new();
    let env = sim_env(&disk);
    make_wal_dir(&env);
    let wal = open_wal(&env, small_options(), 0).unwrap().wal;
    let groups = [
        vec![Owned::new(1, 30_001)],
        vec![Owned::new(2, 0), Owned::new(3, 7)],
    ];
    let bodies: usize = groups.iter().flatten().map(|frame| frame.body.len()).sum();
    wal.reserve(bodies as u64 + 3 * FRAME_OVERHEAD_BYTES)
        .unwrap();
    disk.set_capacity(Some(disk.used_bytes()));
    for group in &groups {
        append(&wal, group, true).unwrap();
    }
    assert!(!wal.is_poisoned(), "not even the mark lacked room");
}

#[test]
fn no_room_for_a_write_that_had_begun_is_an_open_outcome() {
    // A file system that cannot reserve: the write itself finds the disk full, half way.
    let disk = SimDisk::new();
    let env = sim_env(&disk);
    make_wal_dir(&env);
    let wal = open_wal(&env, small_options(), 0).unwrap().wal;
    append(&wal, &[Owned::new(1, 100)], true).unwrap();
    disk.fail_nth_torn(disk.calls() + 1, ErrorKind::StorageFull);
    let result = append(&wal, &[Owned::new(2, 100)], true);
    assert!(
        matches!(result, Err(StorageError::Io { op: "write", .. })),
        "{result:?}"
    );
    assert!(wal.is_poisoned());
}
