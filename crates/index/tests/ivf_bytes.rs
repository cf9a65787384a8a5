//! Bytes of clustered postings: what was written is read, and nothing else panics or is believed.

#![allow(
    clippy::unwrap_used,
    reason = "functions that tests share, though no tests themselves"
)]

mod common;

use std::convert::Infallible;

use cairn_index::ivf::{
    CheckError, Config, FormatError, InMemory, Ivf, Region, Scratch, SearchError,
};
use cairn_index::{Metric, Query, SingleThread, Vectors};
use common::{Random, clustered, matrix, normal};

const DIM: usize = 20;
const ROWS: usize = 600;
const HEADER: usize = 32;

struct Files {
    vectors: Vectors,
    head: Vec<u8>,
    coarse: Vec<u8>,
    fine: Vec<u8>,
}

fn files() -> Files {
    let mut rows = clustered(DIM, ROWS - 100, 5, &mut Random::new(921));
    rows.extend(vec![rows[0].clone(); 100]);
    let vectors = matrix(&rows, Metric::L2);
    let config = Config {
        lists: Some(10),
        seed: 3,
    };
    let built = Ivf::build(&vectors, Metric::L2, &config, &SingleThread, &()).unwrap();
    let (mut head, mut coarse, mut fine) = (Vec::new(), Vec::new(), Vec::new());
    let put = |bytes: &mut Vec<u8>, part: &[u8]| {
        bytes.extend_from_slice(part);
        Ok::<(), Infallible>(())
    };
    built
        .head()
        .write_head(|part| put(&mut head, part))
        .unwrap();
    for (region, bytes) in [(Region::Coarse, &mut coarse), (Region::Fine, &mut fine)] {
        built
            .write_region(region, &vectors, &SingleThread, &(), |part| {
                put(bytes, part)
            })
            .unwrap();
    }
    Files {
        vectors,
        head,
        coarse,
        fine,
    }
}

fn read(bytes: &[u8]) -> Result<Ivf, FormatError> {
    Ivf::read_head(bytes, ROWS, DIM, Metric::L2)
}

/// Asks whatever was read; the answer may be wrong or an error, and nothing else.
fn exercise(head: &Ivf, files: &Files, coarse: &[u8], fine: &[u8]) -> bool {
    let postings = InMemory { coarse, fine };
    let (mut scratch, mut hits) = (Scratch::new(), Vec::new());
    let mut good = head.check(&postings).is_ok();
    for (row, probes) in [(0, 2), (300, usize::MAX)] {
        let query = Query::new(files.vectors.row(row), files.vectors.stride());
        let even = |row: u32| row.is_multiple_of(2);
        let found = head.search(
            &postings,
            &files.vectors,
            &query,
            70,
            probes,
            even,
            &mut scratch,
            || false,
            &mut hits,
        );
        good &= found.is_ok();
        if found.is_ok() {
            assert!(hits.len() <= 70);
            let right = |row: u32| row.is_multiple_of(2) && (row as usize) < ROWS;
            assert!(hits.iter().all(|hit| right(hit.row)));
        }
    }
    good
}

#[test]
fn what_was_written_is_read_and_written_again() {
    let files = files();
    let head = read(&files.head).unwrap();
    let mut again = Vec::new();
    head.write_head(|part| {
        again.extend_from_slice(part);
        Ok::<(), Infallible>(())
    })
    .unwrap();
    assert!(again == files.head);
    assert_eq!(head.region_bytes(Region::Coarse), files.coarse.len() as u64);
    assert_eq!(head.region_bytes(Region::Fine), files.fine.len() as u64);
    assert!(exercise(&head, &files, &files.coarse, &files.fine));
    let mut parts = 0;
    let refused = head.write_head(|_| {
        parts += 1;
        if parts == 2 { Err(7) } else { Ok(()) }
    });
    assert_eq!((refused, parts), (Err(7), 2));
}

#[test]
fn every_length_of_a_head_but_the_right_one_is_refused() {
    let files = files();
    for length in 0..files.head.len() {
        let bytes = length;
        assert_eq!(
            read(&files.head[..length]).unwrap_err(),
            FormatError::Length { bytes }
        );
    }
    let longer = [&files.head[..], &[0]].concat();
    assert!(matches!(read(&longer), Err(FormatError::Length { .. })));
}

#[test]
fn every_changed_bit_of_a_head_is_refused_or_harmless() {
    let files = files();
    let lists = read(&files.head).unwrap().lists();
    let centroids = HEADER..HEADER + 4 * DIM * lists;
    let mut accepted = 0;
    for at in 0..files.head.len() {
        for bit in 0..8 {
            let mut head = files.head.clone();
            head[at] ^= 1 << bit;
            let Ok(head) = read(&head) else { continue };
            accepted += 1;
            assert!((24..32).contains(&at) || centroids.contains(&at), "{at}");
            exercise(&head, &files, &files.coarse, &files.fine);
        }
    }
    println!("accepted={accepted}");
    assert!(accepted > 0);
}

#[test]
fn fields_of_a_head_that_cannot_be_are_named() {
    let files = files();
    let lists = read(&files.head).unwrap().lists();
    let with = |at: usize, word: u32| {
        let mut head = files.head.clone();
        head[at..at + 4].copy_from_slice(&word.to_le_bytes());
        read(&head).unwrap_err()
    };
    let wrong = |offset| FormatError::Header { offset };
    assert_eq!(with(0, 7), FormatError::Magic);
    let (expected, found) = (ROWS, 7);
    assert_eq!(with(8, 7), FormatError::Rows { expected, found });
    assert_eq!(with(12, 21), wrong(12));
    assert_eq!(with(16, 0), wrong(16));
    assert_eq!(with(16, ROWS as u32 + 1), wrong(16));
    let bytes = files.head.len();
    assert_eq!(with(16, lists as u32 + 1), FormatError::Length { bytes });
    assert_eq!(with(20, 0x0400), wrong(20));
    assert_eq!(with(20, 0x0801), wrong(21));
    assert_eq!(with(20, 0x10401), wrong(22));
    let second = HEADER + 4 * DIM;
    for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(
            with(second + 8, odd.to_bits()),
            FormatError::Centroid { list: 1 }
        );
    }
    let counts = HEADER + 4 * DIM * lists;
    assert_eq!(with(counts + 4, 0), FormatError::Count { list: 1 });
    assert_eq!(with(counts + 4, 4097), FormatError::Count { list: 1 });
    assert_eq!(with(counts, 4096), FormatError::Count { list: lists });
    for metric in [Metric::Cosine, Metric::Dot] {
        assert_eq!(
            Ivf::read_head(&files.head, ROWS, DIM, metric).unwrap_err(),
            wrong(20)
        );
    }
    for metric in [Metric::L1, Metric::Hamming] {
        let refused = Ivf::read_head(&files.head, ROWS, DIM, metric);
        assert!(matches!(refused, Err(FormatError::Config(_))));
    }
    assert!(Ivf::read_head(&files.head, ROWS, 0, Metric::L2).is_err());
    assert!(Ivf::read_head(&files.head, ROWS, usize::MAX, Metric::L2).is_err());
}

#[test]
fn a_huge_claim_takes_no_memory() {
    let files = files();
    let rows = u32::MAX as usize;
    let mut head = files.head.clone();
    head[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    for lists in [u32::MAX, 1 << 31, 1] {
        head[16..20].copy_from_slice(&lists.to_le_bytes());
        let refused = Ivf::read_head(&head, rows, DIM, Metric::L2);
        assert!(
            matches!(refused, Err(FormatError::Length { .. })),
            "{lists}"
        );
    }
}

#[test]
fn every_changed_byte_of_a_region_is_refused_or_harmless() {
    let files = files();
    let head = read(&files.head).unwrap();
    let mut random = Random::new(922);
    let (mut accepted, mut refused) = (0, 0);
    for fine in [false, true] {
        let whole = if fine { &files.fine } else { &files.coarse };
        for at in (0..whole.len()).step_by(3) {
            let mut damaged = whole.clone();
            damaged[at] = match random.below(4) {
                0 => random.next() as u8,
                1 => damaged[at] ^ (1 << random.below(8)),
                2 => 0xff,
                _ => 0x7f,
            };
            let good = if fine {
                exercise(&head, &files, &files.coarse, &damaged)
            } else {
                exercise(&head, &files, &damaged, &files.fine)
            };
            *(if good { &mut accepted } else { &mut refused }) += 1;
        }
    }
    println!("accepted={accepted} refused={refused}");
    assert!(accepted > 100 && refused > 100);
}

#[test]
fn numbers_of_a_region_that_cannot_be_are_named() {
    let files = files();
    let head = read(&files.head).unwrap();
    let with = |region, at: u64, word: u32| {
        let (mut coarse, mut fine) = (files.coarse.clone(), files.fine.clone());
        let bytes = match region {
            Region::Coarse => &mut coarse,
            Region::Fine => &mut fine,
        };
        let at = at as usize;
        bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        let postings = InMemory {
            coarse: &coarse,
            fine: &fine,
        };
        let query = Query::new(files.vectors.row(1), files.vectors.stride());
        let found = head.search(
            &postings,
            &files.vectors,
            &query,
            ROWS,
            usize::MAX,
            |_| true,
            &mut Scratch::new(),
            || false,
            &mut Vec::new(),
        );
        (head.check(&postings), found)
    };
    let list = 2;
    let region = Region::Coarse;
    let part = head.part(region, list).start;
    let odd = [f32::NAN, f32::INFINITY].map(f32::to_bits);
    let words = [(0, ROWS as u32), (4, u32::MAX)];
    let factors = [128, 256, 384].map(|at| (at, odd[0]));
    for (at, word) in words.into_iter().chain(factors).chain([(388, odd[1])]) {
        let (checked, found) = with(region, part + at, word);
        assert_eq!(checked, Err(CheckError::Damaged { region, list }), "{at}");
        assert_eq!(found, Err(SearchError::Damaged { region, list }), "{at}");
    }
    let first = u32::from_le_bytes(files.coarse[..4].try_into().unwrap());
    let (checked, found) = with(region, part, first);
    assert_eq!(checked, Err(CheckError::Twice { row: first, list }));
    assert!(
        found.is_ok(),
        "a search does not look at all lists, and cannot know"
    );
    let region = Region::Fine;
    let part = head.part(region, list).start;
    for at in [0, 4, 8, 12, 16] {
        let (checked, _) = with(region, part + at, odd[0]);
        assert_eq!(checked, Err(CheckError::Damaged { region, list }), "{at}");
    }
}

#[test]
fn regions_that_end_too_early_are_refused() {
    let files = files();
    let head = read(&files.head).unwrap();
    for length in (0..files.coarse.len()).step_by(97) {
        assert!(!exercise(
            &head,
            &files,
            &files.coarse[..length],
            &files.fine
        ));
    }
    for length in (0..files.fine.len()).step_by(97) {
        assert!(!exercise(
            &head,
            &files,
            &files.coarse,
            &files.fine[..length]
        ));
    }
    // Those of other rows.
    let other = matrix(&normal(DIM, 1_000, &mut Random::new(923)), Metric::L2);
    let built = Ivf::build(&other, Metric::L2, &Config::default(), &SingleThread, &()).unwrap();
    let mut coarse = Vec::new();
    let put = |part: &[u8]| {
        coarse.extend_from_slice(part);
        Ok::<(), Infallible>(())
    };
    built
        .write_region(Region::Coarse, &other, &SingleThread, &(), put)
        .unwrap();
    assert!(!exercise(&head, &files, &coarse, &files.fine));
}
