//! A bit rots in a segment. Whoever reads it gets an error that names file, offset and section,
//! never a wrong byte; and whoever reads another block of it gets what was written.

use cairn_storage::{BLOCK_BYTES, SectionId, SegmentReader, StorageError};

use crate::common;
use common::segments::*;
use common::*;

fn segment() -> (Vec<Body>, cairn_storage::SegmentFile, Vec<u8>) {
    let (env, bodies) = (memory_env(), bodies());
    let file = write(&env, &path(), 9, &bodies);
    let bytes = read_file(&env, &path());
    (bodies, file, bytes)
}

#[track_caller]
fn assert_found(bytes: &[u8], bodies: &[Body], bit: usize) {
    let mut bytes = bytes.to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    assert_corrupt(check(&bytes, None, bodies), &format!("bit {bit}"));
}

#[test]
fn an_undamaged_segment_reads_back() {
    let (bodies, file, bytes) = segment();
    check(&bytes, Some(file), &bodies).unwrap();
}

#[test]
fn one_bit_in_every_sector_of_the_bodies() {
    let (bodies, _, bytes) = segment();
    for sector in (0..footer_offset(&bytes)).step_by(512) {
        // Another bit in every sector, so that all positions have their turn.
        let bit = sector * 8 + (sector / 512 * 331) % 4096;
        assert_found(&bytes, &bodies, bit.min(footer_offset(&bytes) * 8 - 1));
    }
}

#[test]
fn every_bit_of_header_footer_and_trailer() {
    // Few and short sections, so that the file is small and the footer still has every part.
    let bodies = &bodies()[..4];
    let env = memory_env();
    write(&env, &path(), 9, bodies);
    let bytes = read_file(&env, &path());
    let ends = (0..HEADER * 8).chain(footer_offset(&bytes) * 8..bytes.len() * 8);
    for bit in ends {
        assert_found(&bytes, bodies, bit);
    }
}

#[test]
fn every_bit_of_the_filling_between_sections() {
    let bodies = &bodies()[..4];
    let env = memory_env();
    write(&env, &path(), 9, bodies);
    let bytes = read_file(&env, &path());
    // The one byte of the second section stands at 64; zeros follow up to 128.
    for bit in 65 * 8..128 * 8 {
        assert_found(&bytes, bodies, bit);
    }
}

#[test]
fn only_the_damaged_block_is_refused() {
    let (bodies, file, mut bytes) = segment();
    let (id, _, body) = &bodies[6];
    let start = footer_offset(&bytes) - body.len().next_multiple_of(64);
    let damaged = 3;
    bytes[start + damaged * BLOCK_BYTES + 77] ^= 0x40;
    let env = disk_with(&bytes);
    let reader = SegmentReader::open(&env, &path(), Some(file), &KNOWN).unwrap();
    let mut buf = vec![0; 1000];
    for block in 0..body.len().div_ceil(BLOCK_BYTES) {
        let at = (block * BLOCK_BYTES + 10).min(body.len() - buf.len());
        let result = reader.read_range(*id, at as u64, &mut buf);
        if block != damaged {
            result.unwrap();
            assert_eq!(buf, body[at..at + buf.len()], "block {block}");
            continue;
        }
        match result {
            Err(StorageError::Corrupt {
                file,
                offset,
                section,
                ..
            }) => {
                assert_eq!(file, path());
                assert_eq!(offset, (start + damaged * BLOCK_BYTES) as u64);
                assert_eq!(section.as_deref(), Some("kind=1 field=6"));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_corrupt(reader.read(*id), "whole section");
    reader.read(bodies[5].0).unwrap();
    assert_corrupt(reader.verify_all(), "whole file");
}

#[test]
fn every_range_reads_what_was_written() {
    let (bodies, _, bytes) = segment();
    let env = disk_with(&bytes);
    let reader = SegmentReader::open(&env, &path(), None, &KNOWN).unwrap();
    let (id, _, body) = &bodies[6];
    let edges = [
        0,
        1,
        BLOCK_BYTES - 1,
        BLOCK_BYTES,
        BLOCK_BYTES + 1,
        3 * BLOCK_BYTES,
        1 << 20,
    ];
    let ends = edges.iter().copied().chain([body.len() - 1, body.len()]);
    for from in edges {
        for to in ends.clone().filter(|to| *to >= from) {
            let mut buf = vec![0; to - from];
            reader.read_range(*id, from as u64, &mut buf).unwrap();
            assert!(buf == body[from..to], "{from}..{to}");
        }
    }
    let mut whole = vec![0; body.len()];
    reader.read_into(*id, &mut whole).unwrap();
    assert!(whole == *body);
    let outside = reader.read_range(*id, body.len() as u64, &mut [0]);
    assert_corrupt(outside, "one byte past the end");
    assert_corrupt(reader.read_range(*id, u64::MAX, &mut [0; 2]), "overflow");
    let other = SectionId { kind: 6, field: 77 };
    assert_corrupt(reader.read(other), "no such section");
    assert_eq!(reader.len(other), None);
}

#[test]
fn a_right_block_in_a_wrong_place_is_damage() {
    // Two blocks of one section with the same bytes, and the same blocks in another file.
    let id = SectionId { kind: 1, field: 0 };
    let mut body = vec![1; BLOCK_BYTES];
    body.extend_from_slice(&[2; BLOCK_BYTES]);
    let bodies = [(id, 0, body)];
    let (env, other) = (memory_env(), memory_env());
    write(&env, &path(), 1, &bodies);
    write(&other, &path(), 2, &bodies);
    let bytes = read_file(&env, &path());

    let mut swapped = bytes.clone();
    let (left, right) = swapped[HEADER..].split_at_mut(BLOCK_BYTES);
    left.swap_with_slice(&mut right[..BLOCK_BYTES]);
    assert_corrupt(check(&swapped, None, &[]), "blocks swapped");

    // Footer and trailer of a file with the same sections and lengths.
    let at = footer_offset(&bytes);
    let mut mixed = bytes.clone();
    mixed[at..].copy_from_slice(&read_file(&other, &path())[at..]);
    assert_corrupt(check(&mixed, None, &[]), "footer of another file");

    // Same sections, same bytes, other file: not one checksum may be the same.
    for (ours, theirs) in bytes[at + 48..at + 56]
        .chunks_exact(4)
        .zip(mixed[at + 48..].chunks_exact(4))
    {
        assert_ne!(ours, theirs);
    }
}

#[test]
fn another_file_in_its_place_is_damage() {
    let (bodies, file, bytes) = segment();
    let env = memory_env();
    let mut changed = bodies.clone();
    changed[3].2[5] ^= 1;
    write(&env, &path(), 9, &changed);
    let result = check(&read_file(&env, &path()), Some(file), &bodies);
    assert_corrupt(result, "an older version of the file");
    let missing = SegmentReader::open(&memory_env(), &path(), Some(file), &KNOWN);
    assert!(matches!(missing, Err(StorageError::Missing { .. })));
    assert_corrupt(check(&bytes[..bytes.len() - 1], Some(file), &bodies), "cut");
}
