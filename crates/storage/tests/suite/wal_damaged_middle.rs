//! A bit rots in a log whose frames were synced and acknowledged. That is no torn tail: the log
//! must say so, naming file and offset, or hand over exactly what was acknowledged (where the
//! bit was of no meaning). It must never skip a frame, change one, or end early without a word.

use cairn_env::Env;
use cairn_storage::{StorageError, WalOptions};

use crate::common;
use common::*;

fn options() -> WalOptions {
    WalOptions {
        preallocate_bytes_min: 1024,
        ..small_options()
    }
}

/// A log of four synced groups of six frames, in one file or in two.
fn log(two_files: bool) -> (Vec<Owned>, Vec<Saved>) {
    let env = memory_env();
    make_wal_dir(&env);
    let wal = open_wal(&env, options(), 0).expect("an empty log").wal;
    let frames: Vec<Owned> = (1..=6)
        .map(|n| Owned::new(n + 10, 3 * n as usize))
        .collect();
    append(&wal, &frames[..1], true).expect("appends");
    append(&wal, &frames[1..3], true).expect("appends");
    if two_files {
        wal.rotate().expect("rotates");
    }
    append(&wal, &frames[3..5], true).expect("appends");
    append(&wal, &frames[5..], true).expect("appends");
    (frames, snapshot(&env, &wal_dir()))
}

fn damaged(files: &[Saved], file: usize, change: impl FnOnce(&mut Vec<u8>)) -> Env {
    let mut files = files.to_vec();
    change(&mut files[file].1);
    restore(&wal_dir(), &files, 2)
}

/// Whether the damage was reported; otherwise the content must be what was acknowledged.
fn reported(env: &Env, frames: &[Owned], what: &str) -> bool {
    match open_wal(env, options(), 0) {
        Ok(opened) => {
            assert_eq!(opened.frames, frames, "{what}: silently wrong");
            false
        }
        Err(StorageError::Corrupt { .. }) => true,
        Err(other) => panic!("{what}: {other:?}"),
    }
}

#[test]
fn every_bit_of_a_synced_log() {
    for two_files in [false, true] {
        let (frames, files) = log(two_files);
        let split = if two_files { 3 } else { frames.len() };
        let ends = [log_bytes(&frames[..split]), log_bytes(&frames[split..])];
        for (index, (path, bytes)) in files.iter().enumerate() {
            for bit in 0..bytes.len() * 8 {
                let env = damaged(&files, index, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
                let what = format!("{} bit {bit}", path.display());
                let reported = reported(&env, &frames, &what);
                assert_eq!(reported, bit / 8 < ends[index], "{what}");
            }
        }
    }
}

#[test]
fn without_the_mark_all_but_the_last_group_is_still_safe() {
    // Power was lost right after the last sync, before the mark behind it reached the disk.
    let (frames, mut files) = log(false);
    let (last, end) = (log_bytes(&frames[..5]), log_bytes(&frames));
    files[0].1[end..end + FRAME_HEADER].fill(0);
    for byte in FILE_HEADER..last {
        let env = damaged(&files, 0, |bytes| bytes[byte] ^= 4);
        assert!(reported(&env, &frames, "no mark"), "byte {byte}");
    }
    // Rot on top of a crash, in the one group nothing vouches for, cannot be told from a torn
    // write. It must look exactly like one.
    let env = damaged(&files, 0, |bytes| bytes[last + 60] ^= 4);
    let opened = open_wal(&env, options(), 0).unwrap();
    assert_eq!(opened.frames, frames[..5]);
    assert!(opened.recovery.torn_bytes > 0);
}

#[test]
fn the_report_names_file_and_offset() {
    let (frames, files) = log(false);
    let second = log_bytes(&frames[..1]);
    let env = damaged(&files, 0, |bytes| bytes[second + 57] ^= 1);
    match open_wal(&env, options(), 0) {
        Err(StorageError::Corrupt { file, offset, .. }) => {
            assert_eq!((file, offset), (files[0].0.clone(), second as u64));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lost_sector_in_the_middle_is_reported() {
    let (frames, files) = log(false);
    let end = log_bytes(&frames);
    for start in (0..end).step_by(16) {
        for length in [16, 64, 200] {
            let stop = (start + length).min(end);
            let env = damaged(&files, 0, |bytes| bytes[start..stop].fill(0));
            let was_zero = files[0].1[start..stop].iter().all(|byte| *byte == 0);
            let what = format!("zeros {start}..{stop}");
            assert_eq!(reported(&env, &frames, &what), !was_zero, "{what}");
        }
    }
}

#[test]
fn a_frame_that_stands_twice_or_in_another_place_is_reported() {
    let (frames, files) = log(false);
    let first = FILE_HEADER..log_bytes(&frames[..1]);
    let last = log_bytes(&frames[..5])..log_bytes(&frames);
    let env = damaged(&files, 0, |bytes| {
        bytes.copy_within(first.clone(), last.end)
    });
    assert!(reported(
        &env,
        &frames,
        "the first frame again behind the last"
    ));
    let env = damaged(&files, 0, |bytes| {
        bytes.copy_within(last.clone(), first.start)
    });
    assert!(reported(
        &env,
        &frames,
        "the last frame in place of the first"
    ));
}

#[test]
fn a_missing_file_is_reported() {
    let (frames, files) = log(true);
    let env = restore(&wal_dir(), &files[1..], 2);
    assert!(reported(&env, &frames, "first file missing"));
    // Nothing in the log proves that there was a second file; a manifest has to.
    let env = restore(&wal_dir(), &files[..1], 2);
    assert_eq!(open_wal(&env, options(), 0).unwrap().frames, frames[..3]);
}

#[test]
fn a_file_that_is_not_needed_any_more_may_be_damaged_or_gone() {
    let (frames, files) = log(true);
    let gone = restore(&wal_dir(), &files[1..], 2);
    let damaged = damaged(&files, 0, |bytes| bytes.fill(0xee));
    for env in [gone, damaged] {
        let opened = open_wal(&env, options(), frames[2].lsn).unwrap();
        assert_eq!(opened.frames, frames[3..]);
    }
}

#[test]
fn foreign_files_are_reported() {
    let (frames, files) = log(false);
    let (path, bytes) = &files[0];

    let renamed = wal_dir().join(format!("{:020}.wal", 5));
    let from = open_wal(
        &restore(&wal_dir(), &[(renamed, bytes.clone())], 2),
        options(),
        4,
    );
    assert_corrupt(from, "under another name");

    let env = restore(&wal_dir(), &files, 2);
    let other = WalOptions {
        collection: 8,
        ..options()
    };
    assert_corrupt(open_wal(&env, other, 0), "of another collection");

    let env = restore(&wal_dir(), &[], 2);
    env.disk.create_dir(path).unwrap();
    assert!(reported(&env, &frames, "a directory"));
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let (_, files) = log(false);
    for byte in [8, 11] {
        let env = damaged(&files, 0, |bytes| {
            bytes[byte] = 2;
            fix_crc(&mut bytes[..FILE_HEADER], 12);
        });
        let result = open_wal(&env, options(), 0);
        assert!(
            matches!(result, Err(StorageError::Unsupported { .. })),
            "{result:?}"
        );
    }
}

#[test]
fn checksums_made_right_again_do_not_make_a_chain() {
    // Offset of a field in the second frame's header, and what is put there.
    let fields = [
        (24, 11),       // lsn, repeated
        (24, 3),        // lsn, going back
        (24, u64::MAX), // lsn, beyond the frame behind it
        (32, 10),       // prev, before the frame before it
        (32, 99),       // prev, a gap
        (40, 99),       // synced, in the future
        (48, 1),        // epoch
    ];
    let (frames, files) = log(false);
    let second = log_bytes(&frames[..1]);
    for (field, value) in fields {
        let env = damaged(&files, 0, |bytes| {
            let header = &mut bytes[second..second + FRAME_HEADER];
            header[field..field + 8].copy_from_slice(&u64::to_le_bytes(value));
            fix_crc(header, 0);
        });
        assert!(reported(&env, &frames, "forged"), "field {field} = {value}");
    }
    // A body beyond the end of the file takes no memory and is no frame.
    for length in [u32::MAX, u32::MAX - 7, 1 << 29, 4000] {
        let env = damaged(&files, 0, |bytes| {
            let header = &mut bytes[second..second + FRAME_HEADER];
            header[8..12].copy_from_slice(&length.to_le_bytes());
            fix_crc(header, 0);
        });
        assert!(reported(&env, &frames, "length"), "length {length}");
    }
}
