//! Bytes from anywhere are read without a panic and without memory out of proportion; what is read
//! after all can be searched and grown.

mod common;

use cairn_index::{FormatError, Graph, HnswConfig, Metric, Query, Scratch, Vectors};
use common::{Random, build, clustered, matrix};

const ROWS: usize = 300;

fn graph() -> (Vectors, Vec<u8>) {
    let mut random = Random::new(71);
    let mut rows = clustered(6, ROWS - 30, 6, &mut random);
    rows.extend(vec![rows[3].clone(); 30]);
    let vectors = matrix(&rows, Metric::L2);
    let bytes = build(&vectors, Metric::L2, &HnswConfig::with_m(4)).to_bytes();
    (vectors, bytes)
}

#[test]
fn bytes_come_back_as_the_same_graph() {
    let (vectors, bytes) = graph();
    let read = Graph::from_bytes(&bytes, ROWS).unwrap();
    assert_eq!(read.to_bytes(), bytes);
    assert_eq!(read.check(&vectors, Metric::L2).unwrap().twins, 30);
    for metric in Metric::ALL {
        let empty = Graph::with_capacity(metric, &HnswConfig::default(), 0).unwrap();
        let read = Graph::from_bytes(&empty.to_bytes(), 0).unwrap();
        assert_eq!((read.metric(), read.rows()), (metric, 0));
    }
    let mut one = Vectors::with_capacity(2, 1);
    one.push(&[1.0, 2.0]);
    let alone = build(&one, Metric::L2, &HnswConfig::default());
    let read = Graph::from_bytes(&alone.to_bytes(), 1).unwrap();
    read.check(&one, Metric::L2).unwrap();
}

#[test]
fn every_cut_is_refused() {
    let (_, bytes) = graph();
    for length in 0..bytes.len() {
        assert!(
            Graph::from_bytes(&bytes[..length], ROWS).is_err(),
            "length={length}"
        );
    }
    let mut longer = bytes.clone();
    longer.push(0);
    let refused = Graph::from_bytes(&longer, ROWS).unwrap_err();
    assert_eq!(
        refused,
        FormatError::Length {
            bytes: longer.len()
        }
    );
    assert!(matches!(
        Graph::from_bytes(&bytes, ROWS + 1),
        Err(FormatError::Rows { expected, found }) if expected == ROWS + 1 && found == ROWS
    ));
}

/// Whatever was read must hold up in use.
fn exercise(graph: &mut Graph, vectors: &Vectors) {
    let query = Query::new(vectors.row(0), vectors.stride());
    let (mut scratch, mut hits) = (Scratch::new(), Vec::new());
    graph
        .search(
            vectors,
            &query,
            10,
            40,
            |row| row % 2 == 0,
            &mut scratch,
            || false,
            &mut hits,
        )
        .expect("nobody stops it");
    let _ = graph.check(vectors, Metric::L2);
    let order = graph.locality_order();
    assert_eq!(order.len(), graph.rows());
    let _ = graph.permuted(&order);
    graph.reserve(vectors.len());
    for row in ROWS..vectors.len() {
        graph.insert(vectors, row as u32, &mut scratch);
    }
}

#[test]
fn changed_bytes_are_refused_or_harmless() {
    let (vectors, bytes) = graph();
    let mut random = Random::new(72);
    let mut grown = Vectors::with_capacity(vectors.dim(), ROWS + 20);
    grown.fill_rows(ROWS, |row, slot| slot.copy_from_slice(vectors.row(row)));
    for row in 0..20 {
        grown.push(vectors.row(row));
    }
    let mut accepted = 0;
    for _ in 0..4_000 {
        let mut bytes = bytes.clone();
        for _ in 0..1 + random.below(3) {
            let at = random.below(bytes.len());
            bytes[at] = match random.below(4) {
                0 => random.next() as u8,
                1 => bytes[at] ^ (1 << random.below(8)),
                2 => 0xFF,
                _ => 0,
            };
        }
        if let Ok(mut graph) = Graph::from_bytes(&bytes, ROWS) {
            accepted += 1;
            exercise(&mut graph, &grown);
        }
    }
    println!("accepted={accepted}");
    assert!(accepted > 100);
}

#[test]
fn circles_of_twins_are_refused() {
    // Two rows and a circle of two: the links of rows 1 and 2 are marked as twins of each other.
    let mut bytes = Vec::new();
    bytes.extend(b"CRNHNSW1");
    for number in [3u32, 2, 4, 2, 10] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend([1, 0, 0, 0]);
    bytes.extend(1.0f64.to_le_bytes());
    bytes.extend(0u64.to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend([0, 0, 0]);
    let lists = |marks: [u32; 3]| {
        let mut bytes = bytes.clone();
        for (to, mark) in [1u32, 2, 1].into_iter().zip(marks) {
            bytes.extend([1, 0]);
            bytes.extend((to | mark << 31).to_le_bytes());
        }
        Graph::from_bytes(&bytes, 3).map(|graph| graph.rows())
    };
    assert_eq!(lists([0, 0, 0]), Ok(3));
    assert_eq!(lists([0, 1, 0]), Ok(3));
    assert_eq!(lists([0, 1, 1]), Err(FormatError::Twin { row: 1 }));
    assert_eq!(lists([1, 0, 1]), Err(FormatError::Twin { row: 1 }));
}

#[test]
fn a_huge_claim_allocates_nothing() {
    let mut bytes = graph().1[..56].to_vec();
    let rows = (1u32 << 31) - 2;
    bytes[8..12].copy_from_slice(&rows.to_le_bytes());
    bytes.extend(vec![0; 1_000]);
    let refused = Graph::from_bytes(&bytes, rows as usize).unwrap_err();
    assert_eq!(refused, FormatError::Length { bytes: 1_056 });
}
