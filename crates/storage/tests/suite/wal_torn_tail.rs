//! A process dies while the log is being written. The disk keeps the beginning of what was
//! written, or parts of it, or its length with other bytes. Whatever is left: the log opens, what
//! was synced is there, what follows is a prefix of what was appended, and the cut is counted.

use std::path::{Path, PathBuf};

use crate::common;
use common::*;

struct Log {
    frames: Vec<Owned>,
    /// Where each frame starts, and where the last one ends.
    offsets: Vec<usize>,
    path: PathBuf,
    bytes: Vec<u8>,
}

/// Six synced frames, then three that are not.
fn log() -> Log {
    let env = memory_env();
    make_wal_dir(&env);
    let wal = open_wal(&env, small_options(), 0)
        .expect("an empty log")
        .wal;
    let frames: Vec<Owned> = (1..=9)
        .map(|n| Owned::new(n * 2, 5 + n as usize * 7))
        .collect();
    append(&wal, &frames[..2], true).expect("appends");
    append(&wal, &frames[2..6], true).expect("appends");
    append(&wal, &frames[6..], false).expect("appends");
    let path = only_wal_file(&env);
    Log {
        offsets: (0..=frames.len())
            .map(|n| log_bytes(&frames[..n]))
            .collect(),
        bytes: read_file(&env, &path),
        frames,
        path,
    }
}

/// Opens a log of these bytes, checks it, appends to it and checks it again.
fn check(path: &Path, bytes: &[u8], frames: &[Owned], what: &str) -> usize {
    let env = restore(&wal_dir(), &[(path.to_path_buf(), bytes.to_vec())], 2);
    let opened = open_wal(&env, small_options(), 0).unwrap_or_else(|e| panic!("{what}: {e}"));
    let count = opened.frames.len();
    assert!(count >= 6, "{what}: a synced frame is lost");
    assert_eq!(opened.frames, frames[..count], "{what}");
    assert_eq!(opened.wal.last_lsn(), frames[count - 1].lsn);

    let next = Owned::new(opened.wal.last_lsn() + 1, 30);
    append(&opened.wal, std::slice::from_ref(&next), true).expect("appends behind a torn tail");
    drop(opened);
    let again = open_wal(&env, small_options(), 0).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(again.frames[..count], frames[..count], "{what}");
    assert_eq!(again.frames[count..], [next], "{what}");
    count
}

#[test]
fn a_file_cut_at_any_byte_of_its_last_frames_opens() {
    let log = log();
    for cut in log.offsets[6]..=log.offsets[9] {
        let what = format!("cut at {cut}");
        let count = check(&log.path, &log.bytes[..cut], &log.frames, &what);
        let whole = log.offsets[1..].iter().filter(|end| **end <= cut).count();
        assert_eq!(count, whole, "{what}");
    }
}

#[test]
fn what_is_missing_behind_any_byte_reads_as_zeros_or_garbage() {
    let log = log();
    for cut in log.offsets[6]..log.offsets[9] {
        for fill in [0, 0xa5] {
            let mut torn = log.bytes.clone();
            torn[cut..log.offsets[9]].fill(fill);
            let same = torn == log.bytes;
            let what = format!("filled with {fill:#x} from {cut}");
            let count = check(&log.path, &torn, &log.frames, &what);
            let whole = log.offsets[1..].iter().filter(|end| **end <= cut).count();
            // A frame of which only filling is missing is whole with zeros.
            let filled = fill == 0 && log.offsets[whole + 1] - cut < 8;
            assert!(
                count == whole || filled && count == whole + 1 || same,
                "{what}"
            );
        }
    }
}

#[test]
fn a_later_frame_without_the_one_before_it_is_cut_too() {
    let log = log();
    let mut torn = log.bytes;
    torn[log.offsets[6] + 60] ^= 0x10;
    let what = "first unsynced frame torn";
    assert_eq!(check(&log.path, &torn, &log.frames, what), 6);

    let env = restore(&wal_dir(), &[(log.path, torn)], 2);
    let recovery = open_wal(&env, small_options(), 0).unwrap().recovery;
    assert_eq!(recovery.torn_files, 1);
    assert_eq!(
        recovery.torn_bytes,
        (log.offsets[9] - log.offsets[6]) as u64
    );
}

#[test]
fn whole_frames_that_were_never_synced_are_made_durable_before_they_are_used() {
    let log = log();
    let env = restore(&wal_dir(), &[(log.path, log.bytes)], 2);
    let opened = open_wal(&env, small_options(), 0).unwrap();
    assert_eq!(opened.frames, log.frames);
    let unsynced = (log.offsets[9] - log.offsets[6]) as u64;
    assert_eq!(opened.recovery.rewritten_bytes, unsynced);
    assert_eq!(opened.recovery.torn_bytes, 0);
}

#[test]
fn the_mark_of_recovery_never_completes_a_header_in_the_torn_tail() {
    let env = memory_env();
    make_wal_dir(&env);
    let wal = open_wal(&env, small_options(), 0).unwrap().wal;
    append(&wal, &[Owned::new(1, 8)], true).unwrap();
    drop(wal);
    let mut bytes = read_file(&env, &only_wal_file(&env));
    let log_id: [u8; 8] = bytes[16..24].try_into().unwrap();

    // The rest of a header that claims a later frame was durable. Its beginning, with its checksum,
    // is to be the end of the mark: the version that the mark proves, and the epoch.
    let end = FILE_HEADER + Owned::new(1, 8).frame_bytes();
    let header = end + 40;
    bytes[end..header + FRAME_HEADER].fill(0);
    bytes[header + 16..header + 24].copy_from_slice(&log_id);
    bytes[header + 40..header + 48].copy_from_slice(&u64::MAX.to_le_bytes());
    // The checksum is the low half of that version, so the frame before gets this version.
    let version = cairn_storage::crc32c(&bytes[header + 4..header + FRAME_HEADER]);
    let version = u64::from(version);
    bytes[32..40].copy_from_slice(&version.to_le_bytes());
    bytes[40..48].copy_from_slice(&(version - 1).to_le_bytes());
    fix_crc(&mut bytes[..FILE_HEADER], 12);
    let frame = &mut bytes[FILE_HEADER..end];
    frame[24..32].copy_from_slice(&version.to_le_bytes());
    frame[32..40].copy_from_slice(&(version - 1).to_le_bytes());
    frame[40..48].copy_from_slice(&(version - 1).to_le_bytes());
    let crc = cairn_storage::crc32c(&frame[4..FRAME_HEADER]);
    frame[..4].copy_from_slice(&crc.to_le_bytes());

    let path = wal_dir().join(format!("{version:020}.wal"));
    let env = restore(&wal_dir(), &[(path, bytes)], 2);
    for time in ["first", "second"] {
        let opened = open_wal(&env, small_options(), version - 1);
        let opened = opened.unwrap_or_else(|error| panic!("the {time} time: {error}"));
        assert_eq!(opened.frames.len(), 1);
        assert_eq!(opened.frames[0].lsn, version);
    }
}
