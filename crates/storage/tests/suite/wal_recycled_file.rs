//! A log file whose frames are safe elsewhere is used again for its blocks. Its old frames are
//! still in it, whole, with right checksums, at the very offsets where the new ones will end.
//! None of them may ever come back.

use cairn_storage::WalOptions;

use crate::common;
use common::*;

/// Frames of one size, so that old and new ones stand at the same offsets.
fn frame(lsn: u64) -> Owned {
    Owned::new(lsn, 40)
}

#[test]
fn old_frames_never_come_back() {
    let env = memory_env();
    make_wal_dir(&env);
    let wal = open_wal(&env, small_options(), 0).unwrap().wal;
    for lsn in 1..=20 {
        append(&wal, &[frame(lsn)], true).unwrap();
    }
    wal.rotate().unwrap();
    assert_eq!(wal.release(20).unwrap(), 1);
    assert_eq!(names(&env, &wal_dir()), ["spare"]);
    let old = read_file(&env, &wal_dir().join("spare"));

    for lsn in 21..=30 {
        append(&wal, &[frame(lsn)], true).unwrap();
        // Power may be lost here: the file as it is, on a disk of its own.
        let files = snapshot(&env, &wal_dir());
        assert_eq!(files.len(), 1, "the spare file was used");
        let image = restore(&wal_dir(), &files, 9);
        let opened = open_wal(&image, small_options(), 20).unwrap();
        assert!(opened.frames.iter().map(|f| f.lsn).eq(21..=lsn));
        assert_eq!(
            opened.recovery.torn_bytes, 0,
            "old frames are not torn ones"
        );
    }
    let new = read_file(&env, &only_wal_file(&env));
    assert_eq!(new.len(), old.len(), "blocks are kept");
    let tail = FILE_HEADER + 11 * frame(1).frame_bytes();
    assert_eq!(new[tail..], old[tail..], "the old frames are still there");
}

#[test]
fn a_torn_tail_on_top_of_old_frames_is_cut() {
    let env = memory_env();
    make_wal_dir(&env);
    let wal = open_wal(&env, small_options(), 0).unwrap().wal;
    let old: Vec<Owned> = (1..=20).map(frame).collect();
    append(&wal, &old, true).unwrap();
    wal.rotate().unwrap();
    wal.release(20).unwrap();
    let spare = read_file(&env, &wal_dir().join("spare"));
    append(&wal, &[frame(21), frame(22)], true).unwrap();
    append(&wal, &[frame(23), frame(24)], false).unwrap();
    drop(wal);
    let path = only_wal_file(&env);
    let bytes = read_file(&env, &path);
    let size = frame(1).frame_bytes();
    let (from, to) = (FILE_HEADER + 2 * size, FILE_HEADER + 4 * size);
    for cut in from..=to {
        // What did not arrive is not zero here: it is the old generation.
        for lost in [cut..to, from..cut] {
            let mut torn = bytes.clone();
            torn[lost.clone()].copy_from_slice(&spare[lost.clone()]);
            let image = restore(&wal_dir(), &[(path.clone(), torn)], 9);
            let opened = open_wal(&image, small_options(), 20).unwrap();
            let lsns: Vec<u64> = opened.frames.iter().map(|f| f.lsn).collect();
            assert!(lsns.starts_with(&[21, 22]), "{lost:?}: {lsns:?}");
            assert!([21, 22, 23, 24].starts_with(&lsns), "{lost:?}: {lsns:?}");
            assert!(opened.frames.iter().all(|f| *f == frame(f.lsn)));
        }
    }
}

#[test]
fn at_most_one_file_is_kept_and_no_large_one() {
    let env = memory_env();
    make_wal_dir(&env);
    let options = WalOptions {
        spare_bytes_max: 10_000,
        ..small_options()
    };
    let wal = open_wal(&env, options, 0).unwrap().wal;
    append(&wal, &[Owned::new(1, 20_000)], true).unwrap();
    wal.rotate().unwrap();
    wal.release(1).unwrap();
    assert!(names(&env, &wal_dir()).is_empty(), "too large to keep");
    for lsn in 2..=5 {
        append(&wal, &[frame(lsn)], true).unwrap();
        wal.rotate().unwrap();
    }
    assert_eq!(wal_files(&env).len(), 4);
    assert_eq!(wal.release(4).unwrap(), 3);
    assert_eq!(
        names(&env, &wal_dir()),
        ["00000000000000000005.wal", "spare"]
    );
    append(&wal, &[frame(6)], true).unwrap();
    let bytes = (log_bytes(&[frame(5)]) + log_bytes(&[frame(6)])) as u64;
    assert_eq!(wal.bytes(), bytes);
    drop(wal);
    let opened = open_wal(&env, small_options(), 4).unwrap();
    assert_eq!(opened.frames, [frame(5), frame(6)]);
    assert_eq!(opened.wal.bytes(), bytes);
}

#[test]
fn what_was_being_made_ready_is_removed_at_open() {
    let env = memory_env();
    make_wal_dir(&env);
    let wal = open_wal(&env, small_options(), 0).unwrap().wal;
    append(&wal, &[frame(1)], true).unwrap();
    drop(wal);
    let bytes = read_file(&env, &only_wal_file(&env));
    for name in ["spare", "next"] {
        write_file(&env, &wal_dir().join(name), &bytes);
    }
    assert_eq!(
        open_wal(&env, small_options(), 0).unwrap().frames,
        [frame(1)]
    );
    assert_eq!(names(&env, &wal_dir()), ["00000000000000000001.wal"]);
}

#[test]
fn files_are_released_only_when_all_their_frames_are() {
    let env = memory_env();
    make_wal_dir(&env);
    let options = WalOptions {
        file_bytes: 400,
        ..small_options()
    };
    let wal = open_wal(&env, options.clone(), 0).unwrap().wal;
    for lsn in 1..=20 {
        append(&wal, &[frame(lsn)], lsn % 3 == 0).unwrap();
    }
    assert!(wal_files(&env).len() > 3, "files end by size");
    for through in 0..=20 {
        wal.release(through).unwrap();
        let image = restore(&wal_dir(), &snapshot(&env, &wal_dir()), through);
        let opened = open_wal(&image, options.clone(), through).unwrap();
        assert!(opened.frames.iter().map(|f| f.lsn).eq(through + 1..=20));
    }
}
