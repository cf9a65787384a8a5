//! Rows with equal vectors.
//!
//! A thousand twins would fill each other's lists and cut their place off from the rest. One of them, the
//! lowest row, is the node; the others stand behind it and have no record. A walk meets one node at
//! each place, and a search unfolds its results into all the rows that they stand for.

use cairn_distance::prefetch_f32;

use crate::Vectors;

/// Which rows stand behind which.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Twins {
    /// `(node, row)`, in order.
    pairs: Vec<(u32, u32)>,
    /// The rows, in order.
    rows: Vec<u32>,
}

impl Twins {
    /// The twins among all rows.
    pub(super) fn find(vectors: &Vectors) -> Self {
        let mut hashes: Vec<(u64, u32)> = (0..vectors.len() as u32)
            .map(|row| {
                if row as usize + 8 < vectors.len() {
                    prefetch_f32(vectors.padded_row(row + 8));
                }
                (hash(vectors.row(row)), row)
            })
            .collect();
        hashes.sort_unstable();
        let mut pairs = Vec::new();
        let mut nodes: Vec<u32> = Vec::new();
        for equal in hashes.chunk_by(|a, b| a.0 == b.0) {
            // Rows of one hash are nearly always equal; those that are not have nodes of their own.
            nodes.clear();
            for &(_, row) in equal {
                let same = |&&node: &&u32| bits(vectors.row(node)).eq(bits(vectors.row(row)));
                match nodes.iter().find(same) {
                    Some(&node) => pairs.push((node, row)),
                    None => nodes.push(row),
                }
            }
        }
        Self::new(pairs)
    }

    /// `pairs` of nodes and rows behind them, in any order.
    pub(super) fn new(mut pairs: Vec<(u32, u32)>) -> Self {
        pairs.sort_unstable();
        let mut rows: Vec<u32> = pairs.iter().map(|&(_, row)| row).collect();
        rows.sort_unstable();
        Self { pairs, rows }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Every node with each row behind it.
    pub(super) fn pairs(&self) -> &[(u32, u32)] {
        &self.pairs
    }

    /// Whether `row` stands behind a node.
    pub(super) fn contains(&self, row: u32) -> bool {
        self.rows.binary_search(&row).is_ok()
    }

    /// The rows behind a node.
    pub(super) fn behind(&self, node: u32) -> impl Iterator<Item = u32> + '_ {
        let start = self.pairs.partition_point(|pair| pair.0 < node);
        let pairs = self.pairs[start..].iter();
        let behind = pairs.take_while(move |pair| pair.0 == node);
        behind.map(|pair| pair.1)
    }

    /// Memory held, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.pairs.capacity() * size_of::<(u32, u32)>() + self.rows.capacity() * size_of::<u32>()
    }
}

fn bits(row: &[f32]) -> impl Iterator<Item = u32> + '_ {
    row.iter().map(|x| x.to_bits())
}

/// Eight sums side by side, mixed in the end.
fn hash(row: &[f32]) -> u64 {
    const LANES: usize = 8;
    let mut lanes = [0x9E37_79B9u32; LANES];
    let (parts, rest) = row.as_chunks::<LANES>();
    for part in parts {
        for (lane, x) in lanes.iter_mut().zip(part) {
            *lane = (lane.rotate_left(5) ^ x.to_bits()).wrapping_mul(0x85EB_CA6B);
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane = (lane.rotate_left(5) ^ x.to_bits()).wrapping_mul(0x85EB_CA6B);
    }
    lanes
        .into_iter()
        .fold(0, |hash, lane| crate::hnsw::mix(hash ^ u64::from(lane)))
}
