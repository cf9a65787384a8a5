//! Somebody hands over a segment made to hurt: cut anywhere, counts and offsets at their limits,
//! sections on top of each other, every checksum made right again. It is refused, or what it
//! holds is read; it is never a panic, a hang, or memory beyond the size of the file (a length
//! believed would abort these tests).

use cairn_storage::{SectionId, SegmentReader, StorageError};
use cairn_testkit::{Rng, seed_from_env};

use crate::common;
use common::segments::*;
use common::*;

fn segment() -> Vec<u8> {
    let env = memory_env();
    write(&env, &path(), 4, &bodies()[..5]);
    read_file(&env, &path())
}

/// Opens and reads everything; errors are fine as long as they are about the file.
fn survive(bytes: &[u8], what: &str) {
    let env = disk_with(bytes);
    let reader = match SegmentReader::open(&env, &path(), None, &KNOWN) {
        Ok(reader) => reader,
        Err(StorageError::Corrupt { .. } | StorageError::Unsupported { .. }) => return,
        Err(other) => panic!("{what}: {other:?}"),
    };
    for section in reader.sections() {
        assert!(section.bytes <= bytes.len() as u64, "{what}");
        match reader.read(section.id) {
            Ok(body) => assert_eq!(body.len() as u64, section.bytes),
            Err(StorageError::Corrupt { .. }) => {}
            Err(other) => panic!("{what}: {other:?}"),
        }
    }
    match reader.verify_all() {
        Ok(()) | Err(StorageError::Corrupt { .. }) => {}
        Err(other) => panic!("{what}: {other:?}"),
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let bytes = segment();
    let short = (0..200).chain((200..bytes.len()).step_by(997));
    for length in short.chain(footer_offset(&bytes)..bytes.len()) {
        let env = disk_with(&bytes[..length]);
        let result = SegmentReader::open(&env, &path(), None, &KNOWN);
        assert_corrupt(result, &format!("cut at {length}"));
    }
    let mut longer = bytes;
    longer.push(0);
    assert_corrupt(check(&longer, None, &[]), "one byte more");
}

#[test]
fn every_field_at_its_limits_with_right_checksums() {
    let bytes = segment();
    let footer = footer_offset(&bytes);
    let trailer = bytes.len() - TRAILER;
    for at in (footer..bytes.len()).step_by(4) {
        for width in [4, 8] {
            if at + width > bytes.len() || (at < trailer && at + width > trailer) {
                continue;
            }
            let mut field = [0; 8];
            field[..width].copy_from_slice(&bytes[at..at + width]);
            let old = u64::from_le_bytes(field);
            let limits = [
                0,
                1,
                u64::MAX,
                u64::MAX - 1,
                u64::MAX - 63,
                i64::MAX as u64,
                1 << 31,
            ];
            let near = [
                old.wrapping_add(1),
                old.wrapping_sub(1),
                old.wrapping_mul(2),
                old ^ (1 << 16),
                old.wrapping_add(64),
            ];
            for value in limits.into_iter().chain(near) {
                let mut bytes = bytes.clone();
                bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
                seal(&mut bytes);
                survive(&bytes, &format!("{value:#x} at {at}"));
            }
        }
    }
}

/// Sets the offset and length of the second section with a body and expects a refusal.
fn refused(offset: u64, length: u64) {
    let mut bytes = segment();
    let entry = footer_offset(&bytes) + 16 + 2 * 32;
    bytes[entry + 16..entry + 24].copy_from_slice(&offset.to_le_bytes());
    bytes[entry + 24..entry + 32].copy_from_slice(&length.to_le_bytes());
    seal(&mut bytes);
    assert_corrupt(check(&bytes, None, &[]), &format!("{length} at {offset}"));
}

#[test]
fn sections_that_overlap_or_leave_the_file_are_refused() {
    let file = segment().len() as u64;
    for (offset, length) in [
        (64, 64),            // on top of the first
        (0, 64),             // on top of the header
        (129, 64),           // not aligned
        (192, 64),           // a gap
        (128, 65),           // into the next one
        (128, file),         // beyond the end
        (file, 64),          // behind the end
        (128, u64::MAX),     // overflow
        (u64::MAX - 63, 64), // overflow
        (128, u64::MAX - 191),
    ] {
        refused(offset, length);
    }
}

#[test]
fn a_section_that_stands_twice_is_refused() {
    let mut bytes = segment();
    let first = footer_offset(&bytes) + 16;
    bytes.copy_within(first..first + 8, first + 32);
    seal(&mut bytes);
    assert_corrupt(check(&bytes, None, &[]), "twice");
}

#[test]
fn millions_of_sections_do_not_fit_a_small_footer() {
    let mut bytes = segment();
    let footer = footer_offset(&bytes);
    for count in [6, 1000, u32::MAX / 32, u32::MAX] {
        bytes[footer..footer + 4].copy_from_slice(&count.to_le_bytes());
        seal(&mut bytes);
        assert_corrupt(check(&bytes, None, &[]), &format!("{count} sections"));
    }
}

#[test]
fn random_changes_with_right_checksums() {
    let mut rng = Rng::new(seed_from_env("CAIRN_SEED", 0x5e9));
    let bytes = segment();
    for round in 0..rounds(2000) {
        let mut bytes = bytes.clone();
        let from = if rng.chance(0.8) {
            footer_offset(&bytes)
        } else {
            0
        };
        for _ in 0..rng.range(1..6) {
            let at = rng.range(from..bytes.len());
            bytes[at] = u8::try_from(rng.below(256)).expect("a byte");
        }
        if rng.chance(0.9) {
            seal(&mut bytes);
        }
        survive(&bytes, &format!("round {round}"));
    }
}

#[test]
fn names_of_missing_sections_are_no_panic() {
    let env = disk_with(&segment());
    let reader = SegmentReader::open(&env, &path(), None, &KNOWN).unwrap();
    let id = SectionId {
        kind: u32::MAX,
        field: u32::MAX,
    };
    assert_corrupt(reader.read(id), "missing");
    assert_corrupt(reader.read_into(id, &mut []), "missing");
}
