//! The record of a node: whom it is linked to, and codes to estimate their distances from.
//!
//! ```text
//! block    32 ids          u32
//!          32 summands     f32
//!          32 multipliers  f32
//!          planes          for each bit the codes of the 32, packed for lookups
//! record   degree / 32 blocks
//! ```
//!
//! All parts are whole cache lines. A place without a neighbour has the id [`NONE`], an infinite
//! summand and a multiplier of zero, so its estimate is infinite and no comparison lets it pass.

use cairn_distance::prefetch_f32;
use cairn_quantize::fastscan::{Edges, ROWS, block_bytes, pack_signs};
use cairn_quantize::rabitq::{Edge, encode_edge};
use cairn_quantize::{Isa, Rotation};

use crate::arena::Arena;
use crate::bulk::NONE;

/// Bytes of an array of a block.
const ARRAY_BYTES: usize = 4 * ROWS;
/// Where the planes begin.
pub(super) const PLANES: usize = 3 * ARRAY_BYTES;

/// The sizes of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) bits: u8,
    /// Blocks of a record.
    pub(super) blocks: usize,
    /// Groups of four components of a rotated vector.
    groups: usize,
}

impl Layout {
    pub(super) fn new(dim: usize, degree: usize, bits: u8) -> Self {
        Self {
            bits,
            blocks: degree / ROWS,
            groups: dim.next_multiple_of(cairn_quantize::rotation::PAD) / 4,
        }
    }

    pub(super) fn block_bytes(self) -> usize {
        PLANES + usize::from(self.bits) * block_bytes(self.groups)
    }

    pub(super) fn record_bytes(self) -> usize {
        self.blocks * self.block_bytes()
    }
}

/// One block, read.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) ids: &'a [u32; ROWS],
    pub(super) edges: Edges<'a>,
}

impl<'a> Block<'a> {
    /// # Panics
    /// If the bytes are not those of a block, on a boundary of four bytes.
    #[inline(always)]
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let (heads, planes) = bytes.split_at(PLANES);
        let (ids, factors) = heads.split_at(ARRAY_BYTES);
        let (add, rescale) = factors.split_at(ARRAY_BYTES);
        Self {
            ids: bytemuck::from_bytes(ids),
            edges: Edges {
                planes,
                add: bytemuck::from_bytes(add),
                rescale: bytemuck::from_bytes(rescale),
            },
        }
    }

    /// One bit for each place that has a neighbour, the lowest for the first.
    #[inline(always)]
    pub(super) fn taken(self) -> u32 {
        let ids = self.ids.iter().enumerate();
        ids.fold(0, |taken, (at, &id)| taken | u32::from(id != NONE) << at)
    }

    /// The rows linked to.
    pub(super) fn links(self) -> impl Iterator<Item = u32> + 'a {
        self.ids.iter().copied().filter(|&id| id != NONE)
    }
}

/// Every row rotated, as seen from a centre.
pub(super) struct Rotated {
    arena: Arena,
    padded_dim: usize,
}

impl Rotated {
    pub(super) fn new(rows: usize, rotation: &Rotation) -> Self {
        let padded_dim = rotation.padded_dim();
        let bytes = rows.checked_mul(padded_dim * size_of::<f32>());
        Self {
            arena: Arena::new(bytes.expect("rotated rows fit the address space")),
            padded_dim,
        }
    }

    pub(super) fn all_mut(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(self.arena.bytes_mut())
    }

    pub(super) fn row(&self, row: u32) -> &[f32] {
        let all: &[f32] = bytemuck::cast_slice(self.arena.bytes());
        &all[row as usize * self.padded_dim..][..self.padded_dim]
    }
}

/// Writes a block for neighbours of `origin`, which is rotated as they are.
pub(super) fn write(
    layout: Layout,
    isa: Isa,
    rotated: &Rotated,
    origin: &[f32],
    ids: &[u32],
    words: &mut Vec<u64>,
    block: &mut [u8],
) {
    let (heads, planes) = block.split_at_mut(PLANES);
    let (id_slots, factors) = heads.split_at_mut(ARRAY_BYTES);
    let (adds, rescales) = factors.split_at_mut(ARRAY_BYTES);
    let id_slots: &mut [u32; ROWS] = bytemuck::from_bytes_mut(id_slots);
    let adds: &mut [f32; ROWS] = bytemuck::from_bytes_mut(adds);
    let rescales: &mut [f32; ROWS] = bytemuck::from_bytes_mut(rescales);
    (*id_slots, *adds, *rescales) = ([NONE; ROWS], [f32::INFINITY; ROWS], [0.0; ROWS]);
    let (bits, plane_words) = (usize::from(layout.bits), layout.groups / 16);
    // All rows of a plane together, and room for one code before them.
    let plane = ROWS * plane_words;
    words.clear();
    words.resize(bits * (plane_words + plane), 0);
    let (code, all) = words.split_at_mut(bits * plane_words);
    for (slot, &id) in ids.iter().enumerate().take_while(|id| *id.1 != NONE) {
        if let Some(&later) = ids.get(slot + 2)
            && later != NONE
        {
            prefetch_f32(rotated.row(later));
        }
        let Edge { add, rescale } = encode_edge(isa, layout.bits, rotated.row(id), origin, code);
        (id_slots[slot], adds[slot], rescales[slot]) = (id, add, rescale);
        let planes = all.chunks_exact_mut(plane);
        for (plane, words) in planes.zip(code.chunks_exact(plane_words)) {
            plane[slot * plane_words..][..plane_words].copy_from_slice(words);
        }
    }
    let blocks = planes.chunks_exact_mut(block_bytes(layout.groups));
    for (block, words) in blocks.zip(all.chunks_exact(plane)) {
        pack_signs(block, words);
    }
}
