//! A newer version has written a section this one has never heard of. If the section is optional
//! (an index that speeds something up), it is passed over; if it is required (rows that would
//! be missing), the file is refused by name and left alone.

use cairn_storage::{REQUIRED, SectionId, SegmentReader, StorageError};

use crate::common;
use common::segments::*;
use common::*;

const KEYS: SectionId = SectionId { kind: 1, field: 0 };
const NEWER: SectionId = SectionId { kind: 99, field: 3 };

fn segment(flags: u32) -> Vec<u8> {
    let env = memory_env();
    let bodies = [
        (KEYS, REQUIRED, b"keys".to_vec()),
        (NEWER, flags, vec![5; 100_000]),
    ];
    write(&env, &path(), 3, &bodies);
    read_file(&env, &path())
}

#[test]
fn an_unknown_optional_section_is_passed_over() {
    let env = disk_with(&segment(0));
    let reader = SegmentReader::open(&env, &path(), None, &KNOWN).unwrap();
    assert_eq!(
        reader.sections().iter().map(|s| s.id).collect::<Vec<_>>(),
        [KEYS]
    );
    assert_eq!(reader.read(KEYS).unwrap(), b"keys");
    assert_eq!(reader.len(NEWER), None);
    reader.verify_all().unwrap();
}

#[test]
fn an_unknown_required_section_is_refused() {
    let bytes = segment(REQUIRED);
    let env = disk_with(&bytes);
    let result = SegmentReader::open(&env, &path(), None, &KNOWN);
    assert!(
        matches!(result, Err(StorageError::Unsupported { .. })),
        "{result:?}"
    );
    assert_eq!(read_file(&env, &path()), bytes, "left alone");
    SegmentReader::open(&env, &path(), None, &[1, 99]).unwrap();
}

#[test]
fn a_section_with_unknown_flags_is_an_unknown_section() {
    // What a flag may mean (compressed, encrypted) this version cannot know.
    for (flags, refused) in [(2, false), (3, true), (1 << 31, false)] {
        let mut bytes = segment(0);
        let entry = footer_offset(&bytes) + 16;
        bytes[entry + 8..entry + 12].copy_from_slice(&u32::to_le_bytes(flags));
        seal(&mut bytes);
        let env = disk_with(&bytes);
        match SegmentReader::open(&env, &path(), None, &KNOWN) {
            Ok(reader) => assert!(!refused && reader.sections().is_empty()),
            Err(StorageError::Unsupported { .. }) => assert!(refused, "flags {flags}"),
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn damage_in_a_section_not_understood_is_still_found() {
    let mut bytes = segment(0);
    let end = footer_offset(&bytes);
    bytes[end - 5000] ^= 1;
    let env = disk_with(&bytes);
    let reader = SegmentReader::open(&env, &path(), None, &KNOWN).unwrap();
    assert_corrupt(reader.verify_all(), "optional section");
}

#[test]
fn a_newer_format_is_refused_by_name() {
    for part in [0, 1] {
        for (byte, value) in [(8, 2), (9, 1), (10, 1), (11, 0x80)] {
            let mut bytes = segment(0);
            let base = if part == 0 { 0 } else { bytes.len() - TRAILER };
            bytes[base + byte] = value;
            seal(&mut bytes);
            let result = SegmentReader::open(&disk_with(&bytes), &path(), None, &KNOWN);
            assert!(
                matches!(result, Err(StorageError::Unsupported { .. })),
                "{result:?}"
            );
        }
    }
}

#[test]
fn flags_a_writer_does_not_know_and_ids_that_repeat_are_refused() {
    let env = memory_env();
    let mut writer = cairn_storage::SegmentWriter::create(&env, &path(), [0; 16], 0).unwrap();
    assert!(matches!(
        writer.begin(KEYS, 2),
        Err(StorageError::Limit { .. })
    ));
    writer.begin(KEYS, 0).unwrap();
    writer.end().unwrap();
    assert!(matches!(
        writer.begin(KEYS, 0),
        Err(StorageError::Limit { .. })
    ));
    writer.finish().unwrap();
}
