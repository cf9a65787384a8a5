//! Inverted indexes of sparse vectors: searches equal a naive one, bytes that are none are refused.

mod common;

use std::collections::BTreeMap;

use cairn_index::SparseIndex;
use common::Random;

type Entries = Vec<(u32, f32)>;

/// Indexes below `dim`, low ones more often, with values of a few sizes.
fn vector(rng: &mut Random, dim: u32, most: usize) -> Entries {
    let mut entries = BTreeMap::new();
    for _ in 0..=rng.below(most) {
        let index = rng.below(dim as usize).min(rng.below(dim as usize));
        let value = (rng.below(2_001) as f32 - 500.0) / 64.0;
        entries.insert(index as u32, value);
    }
    entries.into_iter().collect()
}

/// All rows that share an index, best first, ties by row.
fn naive(rows: &[Entries], query: &Entries, accept: impl Fn(u32) -> bool) -> Vec<(u32, f32)> {
    let weights: BTreeMap<u32, f32> = query.iter().copied().collect();
    let mut found = Vec::new();
    for (row, entries) in (0..).zip(rows) {
        let mut shared = 0;
        let mut sum = 0.0_f64;
        for (index, value) in entries {
            if let Some(weight) = weights.get(index) {
                shared += 1;
                sum += f64::from(*weight) * f64::from(*value);
            }
        }
        if shared > 0 && accept(row) {
            found.push((row, -sum as f32));
        }
    }
    found.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    found
}

fn search(
    index: &SparseIndex,
    query: &Entries,
    k: usize,
    end: u32,
    accept: impl Fn(u32) -> bool,
) -> Vec<(u32, f32)> {
    let mut hits = Vec::new();
    let tie = |a: u32, b: u32| a.cmp(&b);
    index
        .search(query, k, 0..end, accept, tie, || false, &mut hits)
        .expect("nobody stops it");
    hits.iter().map(|hit| (hit.row, hit.distance)).collect()
}

fn bytes_of(index: &SparseIndex) -> Vec<u8> {
    let mut bytes = Vec::new();
    index
        .write(|part| {
            bytes.extend_from_slice(part);
            Ok::<_, ()>(())
        })
        .expect("memory takes it");
    bytes
}

#[test]
fn searches_equal_a_naive_one_bit_for_bit() {
    for seed in 0..40 {
        let mut rng = Random::new(seed);
        let dim = 1 + rng.below(300) as u32;
        let count = 1 + rng.below(if seed % 4 == 0 { 20_000 } else { 600 });
        let rows: Vec<Entries> = (0..count).map(|_| vector(&mut rng, dim, 12)).collect();
        let mut index = SparseIndex::default();
        for row in &rows {
            index.push(row.iter().copied());
        }
        let read = SparseIndex::from_bytes(&bytes_of(&index), count as u32, dim);
        assert_eq!(read.as_ref(), Some(&index), "what was written reads back");
        for _ in 0..12 {
            let query = vector(&mut rng, dim + 2, 9);
            let k = 1 + rng.below(20);
            let end = rng.below(count + 1) as u32;
            let third = rng.below(3) as u32;
            let accept = |row: u32| row % 3 != third;
            let mut expected = naive(&rows[..end as usize], &query, accept);
            expected.truncate(k);
            assert_eq!(search(&index, &query, k, end, accept), expected);
        }
    }
}

#[test]
fn windows_that_cannot_matter_are_passed_over_and_nothing_is_missed() {
    // Good rows come first, so that all others are below what is found by then.
    let rows: Vec<Entries> = (0..100_000_u32)
        .map(|row| vec![(row % 7, if row < 100 { 50.0 } else { 1.0 }), (7, -1.0)])
        .collect();
    let mut index = SparseIndex::default();
    for row in &rows {
        index.push(row.iter().copied());
    }
    let query = vec![(1, 1.0), (2, 1.0), (7, 0.5)];
    let mut hits = Vec::new();
    let tie = |a: u32, b: u32| a.cmp(&b);
    let effort = index
        .search(&query, 10, 0..100_000, |_| true, tie, || false, &mut hits)
        .expect("nobody stops it");
    let expected = naive(&rows, &query, |_| true);
    let found: Vec<(u32, f32)> = hits.iter().map(|hit| (hit.row, hit.distance)).collect();
    assert_eq!(found, expected[..10]);
    assert!(effort.distances <= 4_096, "{effort:?}");
}

#[test]
fn scores_stay_within_the_range_of_an_f32() {
    let mut index = SparseIndex::default();
    index.push([(0, f32::MAX), (1, f32::MAX)]);
    index.push([(0, f32::MIN), (1, f32::MAX)]);
    index.push([(2, 1.0)]);
    let found = search(&index, &vec![(0, f32::MAX), (1, f32::MAX)], 3, 3, |_| true);
    assert_eq!(found, [(0, f32::MIN), (1, 0.0)]);
}

#[test]
fn a_search_ends_when_it_is_told_to() {
    let mut index = SparseIndex::default();
    index.push([(0, 1.0)]);
    let tie = |a: u32, b: u32| a.cmp(&b);
    let mut hits = Vec::new();
    let stopped = index.search(&[(0, 1.0)], 1, 0..1, |_| true, tie, || true, &mut hits);
    assert!(stopped.is_err());
}

#[test]
fn bytes_that_are_no_index_are_refused() {
    let mut index = SparseIndex::default();
    index.push([(3, 0.5), (70, 2.0)]);
    index.push([(3, 1.0)]);
    let bytes = bytes_of(&index);
    let read = |bytes: &[u8]| SparseIndex::from_bytes(bytes, 2, 71);
    assert_eq!(read(&bytes), Some(index));
    assert!(SparseIndex::from_bytes(&bytes, 3, 71).is_none(), "rows");
    assert!(SparseIndex::from_bytes(&bytes, 2, 70).is_none(), "dim");
    for cut in 0..bytes.len() {
        assert!(read(&bytes[..cut]).is_none(), "cut={cut}");
    }
    assert!(read(&[&bytes[..], &[0]].concat()).is_none(), "left over");
    // Header, indexes, ends and rows: every bit counts. Of values only those that are not finite are refused.
    let values = bytes.len() - 3 * 4;
    for at in 0..values {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            if let Some(other) = read(&changed) {
                assert_ne!(Some(other), read(&bytes), "at={at} bit={bit}");
                assert!(at >= 32, "a header that lies, at={at} bit={bit}");
            }
        }
    }
    let mut wild = bytes;
    wild[values..values + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    assert!(read(&wild).is_none());
}

#[test]
fn a_header_that_promises_much_takes_no_memory() {
    let mut header = [0_u8; 32];
    header[..4].copy_from_slice(&1_u32.to_le_bytes());
    for (lists, entries) in [(u32::MAX, 0), (0, u64::MAX), (u32::MAX, u64::MAX / 8)] {
        header[8..12].copy_from_slice(&lists.to_le_bytes());
        header[16..24].copy_from_slice(&entries.to_le_bytes());
        assert!(SparseIndex::from_bytes(&header, 0, 10).is_none());
    }
}
