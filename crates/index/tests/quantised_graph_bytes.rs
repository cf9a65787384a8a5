//! Bytes of a quantised graph: what was written is read, and nothing else panics or is believed.

#![allow(
    clippy::unwrap_used,
    reason = "functions that tests share, though no tests themselves"
)]

mod common;

use cairn_index::qg::{Config, FormatError, QuantisedGraph};
use cairn_index::{Metric, Query, Scratch, SingleThread, Vectors};
use common::{Random, clustered, matrix};

const DIM: usize = 20;
const ROWS: usize = 300;

fn graph() -> (Vectors, Vec<u8>) {
    let mut rows = clustered(DIM, ROWS - 20, 5, &mut Random::new(81));
    rows.extend(rows[..20].to_vec());
    let vectors = matrix(&rows, Metric::L2);
    let config = Config::new(DIM);
    let graph = QuantisedGraph::build(&vectors, Metric::L2, &config, &SingleThread, &()).unwrap();
    assert_eq!(graph.check(&vectors).unwrap().twins, 20);
    let bytes = graph.to_bytes();
    assert_eq!(bytes.len(), graph.byte_count());
    (vectors, bytes)
}

fn read(bytes: &[u8]) -> Result<QuantisedGraph, FormatError> {
    QuantisedGraph::from_bytes(bytes, DIM, ROWS)
}

/// Whatever was read must hold up in use.
fn exercise(graph: &QuantisedGraph, vectors: &Vectors) {
    let query = Query::new(vectors.row(0), vectors.stride());
    let (mut scratch, mut hits) = (Scratch::new(), Vec::new());
    let even = |row: u32| row.is_multiple_of(2);
    graph
        .search(
            vectors,
            &query,
            10,
            40,
            even,
            &mut scratch,
            || false,
            &mut hits,
        )
        .unwrap();
    assert!(hits.iter().all(|hit| hit.row.is_multiple_of(2)));
    let _ = graph.check(vectors);
}

#[test]
fn what_was_written_is_read_and_written_again() {
    let (vectors, bytes) = graph();
    let read = read(&bytes).unwrap();
    read.check(&vectors).unwrap();
    assert!(read.to_bytes() == bytes);
    let mut parts = Vec::new();
    read.write(|part| {
        parts.extend_from_slice(part);
        Ok::<(), ()>(())
    })
    .unwrap();
    assert!(parts == bytes);
    let refused = read.write(|part| if part.len() == 896 { Err(7) } else { Ok(()) });
    assert_eq!(refused, Err(7));
}

#[test]
fn every_length_but_the_right_one_is_refused() {
    let (_, bytes) = graph();
    let mut lengths: Vec<usize> = (0..400).collect();
    lengths.extend((400..bytes.len()).step_by(101));
    for length in lengths {
        assert!(read(&bytes[..length]).is_err(), "length={length}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    let bytes = longer.len();
    assert_eq!(read(&longer).unwrap_err(), FormatError::Length { bytes });
}

#[test]
fn every_changed_byte_of_the_header_is_refused_or_harmless() {
    let (vectors, bytes) = graph();
    let mut accepted = Vec::new();
    for at in 0..48 + 4 * DIM + 8 * 20 {
        for change in [1, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] ^= change;
            if let Ok(graph) = read(&bytes) {
                accepted.push(at);
                exercise(&graph, &vectors);
            }
        }
    }
    // The metric, the seed, the effort of the build, components of the centre, and which of two
    // nodes a twin stands behind. Nothing else is left open.
    let open = |at: &usize| *at == 21 || (24..36).contains(at) || *at >= 48;
    assert!(accepted.iter().all(open), "{accepted:?}");
}

#[test]
fn changed_bytes_are_refused_or_harmless() {
    let (vectors, bytes) = graph();
    let mut random = Random::new(82);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..3_000 {
        let mut bytes = bytes.clone();
        for _ in 0..1 + random.below(3) {
            let at = random.below(bytes.len());
            bytes[at] = match random.below(4) {
                0 => random.next() as u8,
                1 => bytes[at] ^ (1 << random.below(8)),
                2 => 0xff,
                _ => 0,
            };
        }
        match read(&bytes) {
            Ok(graph) => {
                accepted += 1;
                exercise(&graph, &vectors);
            }
            Err(_) => refused += 1,
        }
    }
    println!("accepted={accepted} refused={refused}");
    assert!(accepted > 100 && refused > 100);
}

#[test]
fn links_factors_and_twins_that_cannot_be_are_named() {
    let (_, bytes) = graph();
    let twins = 48 + 4 * DIM;
    let root = twins + 8 * 20;
    let block = 3 * 128 + 2 * 4 * 64;
    let record = root + block; // The first one, of row 0: 32 entries are one block.
    let with = |at: usize, word: u32| {
        let mut bytes = bytes.clone();
        bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        read(&bytes).unwrap_err()
    };
    let id = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    assert_eq!(
        with(record, 0),
        FormatError::Link {
            row: Some(0),
            to: 0
        }
    );
    let to = ROWS as u32;
    assert_eq!(with(record, to), FormatError::Link { row: Some(0), to });
    let to = ROWS as u32 - 1; // A twin.
    assert_eq!(with(root, to), FormatError::Link { row: None, to });
    let to = id(record);
    assert_eq!(with(record + 4, to), FormatError::Link { row: Some(0), to });
    assert_eq!(with(record, u32::MAX), FormatError::Factor { row: Some(0) });
    let nan = f32::NAN.to_bits();
    assert_eq!(
        with(record + 128, nan),
        FormatError::Factor { row: Some(0) }
    );
    assert_eq!(with(root + 256, nan), FormatError::Factor { row: None });
    assert_eq!(with(twins + 4, 0), FormatError::Twin { row: 0 });
    assert!(matches!(
        with(twins, ROWS as u32 - 1),
        FormatError::Twin { .. }
    ));
    assert_eq!(
        with(8, 7),
        FormatError::Rows {
            expected: ROWS,
            found: 7
        }
    );
    assert_eq!(with(12, 7), FormatError::Header { offset: 12 });
    assert_eq!(with(0, 7), FormatError::Magic);
}

#[test]
fn a_huge_claim_allocates_nothing() {
    let (_, bytes) = graph();
    for (at, number) in [(36, u32::MAX), (36, 1 << 30), (40, 299)] {
        let mut bytes = bytes.clone();
        bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        assert!(read(&bytes).is_err());
    }
    let rows = (1usize << 31) - 2;
    let mut bytes = bytes[..48 + 4 * DIM].to_vec();
    bytes[8..12].copy_from_slice(&(rows as u32).to_le_bytes());
    bytes[40..44].copy_from_slice(&(rows as u32 - 1).to_le_bytes());
    assert!(QuantisedGraph::from_bytes(&bytes, DIM, rows).is_err());
    assert!(QuantisedGraph::from_bytes(&bytes, 1 << 40, rows).is_err());
}
