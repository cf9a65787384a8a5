//! A preallocated file ends in zeros, and a crash may add more: a length that grew without its
//! data. Zeros are no frame. They end the log cleanly, however many there are, and count as
//! neither torn nor damaged.

use crate::common;
use common::*;

#[test]
fn zeros_behind_the_last_frame_end_the_log() {
    let env = memory_env();
    make_wal_dir(&env);
    let wal = open_wal(&env, small_options(), 0).unwrap().wal;
    let frames = [Owned::new(1, 100), Owned::new(2, 0), Owned::new(3, 8)];
    append(&wal, &frames, true).unwrap();
    drop(wal);
    let path = only_wal_file(&env);
    let bytes = read_file(&env, &path);
    let end = log_bytes(&frames);
    let marked = end + FRAME_HEADER;
    for length in [
        end,
        end + 1,
        end + 55,
        marked,
        marked + 3,
        4096,
        1 << 16,
        3 << 20,
    ] {
        for mark in [false, true] {
            let mut bytes = bytes.clone();
            if !mark {
                bytes[end..].fill(0);
            }
            bytes.resize(length, 0);
            let env = restore(&wal_dir(), &[(path.clone(), bytes)], 2);
            let opened = open_wal(&env, small_options(), 0).unwrap();
            assert_eq!(opened.frames, frames, "length {length}");
            if length >= marked || !mark {
                assert_eq!(opened.recovery.torn_bytes, 0, "length {length}");
                assert_eq!(opened.recovery.torn_files, 0, "length {length}");
            }
        }
    }
}

#[test]
fn a_file_that_never_took_a_frame_is_empty_and_its_name_is_used_again() {
    let env = memory_env();
    make_wal_dir(&env);
    let wal = open_wal(&env, small_options(), 0).unwrap().wal;
    append(&wal, &[Owned::new(5, 20)], false).unwrap();
    drop(wal);
    // The frame never reached the disk.
    let path = only_wal_file(&env);
    let mut bytes = read_file(&env, &path);
    bytes[FILE_HEADER..].fill(0);
    write_file(&env, &path, &bytes);

    let opened = open_wal(&env, small_options(), 0).unwrap();
    assert!(opened.frames.is_empty());
    let frame = Owned::new(3, 33);
    append(&opened.wal, std::slice::from_ref(&frame), true).unwrap();
    assert_eq!(
        opened.wal.bytes(),
        log_bytes(std::slice::from_ref(&frame)) as u64
    );
    drop(opened);
    assert_eq!(only_wal_file(&env), path);
    assert_eq!(open_wal(&env, small_options(), 0).unwrap().frames, [frame]);
}

#[test]
fn a_header_of_zeros_is_damage() {
    // A file gets its name only once its header is durable, so no crash leaves this behind.
    let path = wal_dir().join(format!("{:020}.wal", 1));
    for length in [0, 1, 63, 64, 4096] {
        let env = restore(&wal_dir(), &[(path.clone(), vec![0; length])], 1);
        assert_corrupt(open_wal(&env, small_options(), 0), "zeros");
    }
}
