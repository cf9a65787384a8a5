//! Sums over four-bit codes, 32 rows together, by looking up registers instead of memory.
//!
//! # The idea
//!
//! A code of `m` groups of four bits stands for `m` choices out of 16. A query turns into a table
//! of `m x 16` numbers, and the product (or distance) of the query and a row is the sum of the `m`
//! entries that its code names. Rounded to bytes, the 16 entries of a group are one register, and
//! one shuffle instruction looks up 16 rows at once:
//!
//! ```text
//! block   for each group 16 bytes; byte j: row j in the low half, row j + 16 in the high half
//! for each group:
//!     low  = table[group] shuffled by (block & 15)        rows 0 to 15
//!     high = table[group] shuffled by (block >> 4)        rows 16 to 31
//!     sums of 16 bits += low, high
//! ```
//!
//! AVX2 does two groups in a step and AVX-512 four, NEON one. Sums are of 16 bits for 256 groups,
//! `256 * 255 < 2^16`, and are then carried over to 32 bits, so no code is too long. All of it is
//! exact: every instruction set gives the same sums.
//!
//! Two kinds of codes come in groups of four bits: signs of [`rabitq`], where a
//! group is four components, and [`pq`](crate::pq) codes of four bits, where it is a subspace.
//!
//! *x86 adds bytes as words*: there is no instruction that adds a byte to a sum of 16 bits. Added
//! as words, `odd * 256 + even`, sums of even bytes get mixed with odd ones; the odd ones are
//! summed by themselves as well, from the same words shifted right by 8, and taken away at the end.
//! Both modulo `2^16`, in which the true sums fit.
//!
//! Source: Andre & others, Cache locality is not enough (2015) and Quicker ADC (2019); the FastScan
//! indexes of FAISS.

mod blocks;
mod kernels;
mod lut;

pub use blocks::{Blocks, pack_signs, put};
pub use lut::Lut;

use crate::isa::by_isa;
use crate::rabitq::{Base, Factors};
use crate::{Isa, rabitq};
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
use kernels::neon;
use kernels::scalar;
#[cfg(target_arch = "x86_64")]
use kernels::{avx2, avx512};

/// Rows of a block.
pub const ROWS: usize = 32;

/// Groups are padded to a multiple of this, with table entries of zero.
pub const GROUP_PAD: usize = 4;

/// Bytes that one group takes in a block.
pub const GROUP_BYTES: usize = 16;

/// Groups whose sums stay inside 16 bits.
const GROUPS_PER_CARRY: usize = 256;
const _: () = assert!(GROUPS_PER_CARRY * 255 < 1 << 16);

/// Bytes of a block of codes of `groups` groups.
///
/// # Examples
/// ```
/// // 832 signs are 208 groups.
/// assert_eq!(cairn_quantize::fastscan::block_bytes(208), 32 * 832 / 8);
/// ```
#[must_use]
pub const fn block_bytes(groups: usize) -> usize {
    groups.next_multiple_of(GROUP_PAD) * GROUP_BYTES
}

/// The sum of table entries for each row of a block.
///
/// # Panics
/// If `block` and `table` differ in length, or are not whole groups padded to [`GROUP_PAD`].
#[inline]
pub fn sums(isa: Isa, table: &[u8], block: &[u8], out: &mut [u32; ROWS]) {
    assert_eq!(table.len(), block.len(), "a table for other codes");
    let (table, rest) = table.as_chunks::<{ GROUP_PAD * GROUP_BYTES }>();
    assert!(rest.is_empty(), "groups are padded to four");
    let block = block.as_chunks::<{ GROUP_PAD * GROUP_BYTES }>().0;
    by_isa!(isa, sums(table, block, out));
}

/// Factors of the rows of a block, one array for each kind.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockFactors {
    /// [`Factors::add`].
    pub add: [f32; ROWS],
    /// [`Factors::rescale`].
    pub rescale: [f32; ROWS],
    /// [`Factors::error`].
    pub error: [f32; ROWS],
}

impl Default for BlockFactors {
    fn default() -> Self {
        Self {
            add: [0.0; ROWS],
            rescale: [0.0; ROWS],
            error: [0.0; ROWS],
        }
    }
}

impl BlockFactors {
    /// Sets those of one row.
    ///
    /// # Panics
    /// If `row` is not below [`ROWS`].
    pub fn set(&mut self, row: usize, factors: Factors) {
        self.add[row] = factors.add;
        self.rescale[row] = factors.rescale;
        self.error[row] = factors.error;
    }
}

/// Distances of the rows of a block, and the smallest that each may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockEstimates {
    /// Estimated distances.
    pub distance: [f32; ROWS],
    /// Lower bounds.
    pub lower: [f32; ROWS],
}

impl Default for BlockEstimates {
    fn default() -> Self {
        Self {
            distance: [0.0; ROWS],
            lower: [0.0; ROWS],
        }
    }
}

/// What is the same for all rows of a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// What one unit of a sum is worth.
    pub step: f32,
    /// What a sum of 0 is worth.
    pub offset: f32,
    /// How far the product may be off.
    pub slack: f32,
    /// The query's part.
    pub base: Base,
}

/// Distances of the codes of a block of RaBitQ signs.
///
/// As [`Factors::estimate`] for each row, without what rounding of the result itself adds to the
/// bound. The bound is exceeded as often as that of [`Query::coarse`](rabitq::Query::coarse).
///
/// # Panics
/// As [`sums`].
pub fn estimates(
    isa: Isa,
    lut: &Lut,
    base: Base,
    block: &[u8],
    factors: &BlockFactors,
    out: &mut BlockEstimates,
) {
    let mut total = [0; ROWS];
    sums(isa, lut.table(), block, &mut total);
    let scale = Scale {
        step: lut.step(),
        offset: lut.offset(),
        slack: rabitq::EPSILON * lut.deviation(),
        base,
    };
    by_isa!(isa, finish(&total, scale, factors, out));
}

/// Codes of the 32 neighbours of one node of a graph, see [`Edge`](rabitq::Edge).
#[derive(Clone, Copy, Debug)]
pub struct Edges<'a> {
    /// The planes, most significant first, each a block of [`block_bytes`].
    pub planes: &'a [u8],
    /// [`Edge::add`](rabitq::Edge::add) of each.
    pub add: &'a [f32; ROWS],
    /// [`Edge::rescale`](rabitq::Edge::rescale) of each.
    pub rescale: &'a [f32; ROWS],
}

/// What is the same for all neighbours of a node.
#[derive(Clone, Copy, Debug)]
struct Line {
    /// What one unit of a sum over all planes is worth.
    step: f32,
    /// What a sum of 0 is worth.
    offset: f32,
    /// The squared distance from the query to the node.
    base: f32,
    threshold: f32,
}

/// Squared distances from a query to the neighbours of a node at the squared distance `base`, and
/// one bit for each that is below `threshold`, as [`below`] has it.
///
/// `lut` is the table of the rotated query ([`Lut::fill_signs`]). The result has the same bits on
/// every instruction set.
///
/// # Panics
/// If the planes are not whole blocks of codes as long as the table's.
///
/// # Examples
/// ```
/// use cairn_quantize::fastscan::{Edges, Lut, ROWS, block_bytes, nearer, put};
/// use cairn_quantize::rabitq::{Edge, encode_edge};
/// use cairn_quantize::{Isa, Rotation};
///
/// let rotation = Rotation::new(64, 7);
/// let rotated = |seed: usize| {
///     let vector: Vec<f32> = (0..64).map(|i| ((i * seed) as f32).sin()).collect();
///     let mut rotated = vec![0.0; 64];
///     rotation.rotate(&vector, &mut rotated);
///     rotated
/// };
/// let (query, node, neighbour) = (rotated(1), rotated(2), rotated(3));
/// let square = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f32>();
///
/// let (mut words, mut planes) = ([0; 2], vec![0; 2 * block_bytes(16)]);
/// let edge = encode_edge(Isa::active(), 2, &neighbour, &node, &mut words);
/// for (plane, word) in planes.chunks_exact_mut(block_bytes(16)).zip(words) {
///     put(plane, 0, 16, |group| (word >> (4 * group)) as u8);
/// }
/// let (mut add, mut rescale) = ([f32::INFINITY; ROWS], [0.0; ROWS]);
/// (add[0], rescale[0]) = (edge.add, edge.rescale);
/// let mut lut = Lut::new();
/// lut.fill_signs(&query);
/// let edges = Edges { planes: &planes, add: &add, rescale: &rescale };
/// let mut out = [0.0; ROWS];
/// let near = nearer(Isa::active(), &lut, square(&query, &node), edges, f32::INFINITY, &mut out);
/// assert_eq!(near, 1); // the others have no code, so they are infinitely far
/// let exact = square(&query, &neighbour);
/// assert!((out[0] - exact).abs() < 0.3 * exact);
/// ```
#[must_use]
#[inline]
pub fn nearer(
    isa: Isa,
    lut: &Lut,
    base: f32,
    edges: Edges<'_>,
    threshold: f32,
    out: &mut [f32; ROWS],
) -> u32 {
    const QUAD: usize = GROUP_PAD * GROUP_BYTES;
    let table = lut.table();
    assert!(
        !table.is_empty() && edges.planes.len().is_multiple_of(table.len()),
        "a table for other codes"
    );
    let bits = edges.planes.len() / table.len();
    let line = Line {
        step: lut.step(),
        // Each plane adds its own share of the offset, weighted as its bit.
        offset: lut.offset() * ((1u32 << bits) - 1) as f32,
        base,
        threshold,
    };
    let (table, planes) = (
        table.as_chunks::<QUAD>().0,
        edges.planes.as_chunks::<QUAD>().0,
    );
    by_isa!(isa, nearer(table, planes, line, edges, out))
}

/// One bit for each of 32 numbers, the lowest for the first: whether it is below `threshold`. A NaN
/// counts as below, so that nothing is excluded for it.
///
/// # Examples
/// ```
/// use cairn_quantize::{Isa, fastscan};
///
/// let mut distances = [2.0; 32];
/// (distances[1], distances[31]) = (0.5, 1.0);
/// assert_eq!(fastscan::below(Isa::active(), &distances, 1.0), 0b10);
/// ```
#[must_use]
#[inline]
pub fn below(isa: Isa, values: &[f32; ROWS], threshold: f32) -> u32 {
    by_isa!(isa, below(values, threshold))
}
