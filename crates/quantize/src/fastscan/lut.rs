//! The table of a query, rounded to bytes.

use super::{GROUP_BYTES, block_bytes};
use crate::Isa;
use crate::isa::by_isa;

/// A table of 16 numbers for each group, rounded to bytes in one unit for all groups.
///
/// Each group is shifted so that its smallest entry is 0; the shifts go into the offset. The value
/// of a sum is `step * sum + offset`, and differs from that of the numbers by at most half a step
/// for each group.
///
/// # Examples
/// ```
/// use cairn_quantize::fastscan::Lut;
///
/// let table: Vec<f32> = (0..32).map(|i| (i as f32).sqrt()).collect(); // two groups
/// let mut lut = Lut::new();
/// lut.fill(&table);
/// let sum = u32::from(lut.table()[3]) + u32::from(lut.table()[16 + 7]);
/// assert!((lut.value(sum) - (table[3] + table[16 + 7])).abs() <= lut.error_max());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Lut {
    bytes: Vec<u8>,
    groups: usize,
    step: f32,
    offset: f32,
}

impl Lut {
    /// A table of no groups.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over `table`, 16 finite numbers for each group.
    ///
    /// # Panics
    /// If the length is no multiple of 16.
    pub fn fill(&mut self, table: &[f32]) {
        let (groups, rest) = table.as_chunks::<16>();
        assert!(rest.is_empty(), "16 entries for each group");
        self.groups = groups.len();
        self.bytes.clear();
        self.bytes.resize(block_bytes(groups.len()), 0);
        let (mut widest, mut offset) = (0.0f32, 0.0f64);
        for group in groups {
            let (low, high) = extremes(group);
            widest = widest.max(high - low);
            offset += f64::from(low);
        }
        self.offset = offset as f32;
        // Not finite only where the numbers of a group span more than an f32 holds.
        self.step = (widest / 255.0).min(f32::MAX);
        let per_step = if self.step > 0.0 {
            1.0 / self.step
        } else {
            0.0
        };
        let parts = self.bytes.chunks_exact_mut(GROUP_BYTES);
        for (bytes, group) in parts.zip(groups) {
            let (low, _) = extremes(group);
            for (byte, &number) in bytes.iter_mut().zip(group) {
                // Not negative; the cast stops at 255.
                *byte = ((number - low) * per_step + 0.5) as u8;
            }
        }
    }

    /// The table of products of a rotated query with signs, `+1/2` and `-1/2`: four components are
    /// a group. The query is one of [`rabitq`](crate::rabitq), or any vector.
    ///
    /// # Panics
    /// If the length is no multiple of 4.
    pub fn fill_signs(&mut self, rotated: &[f32]) {
        let (quads, rest) = rotated.as_chunks::<4>();
        assert!(rest.is_empty(), "four components for each group");
        self.groups = quads.len();
        self.bytes.clear();
        self.bytes.resize(block_bytes(quads.len()), 0);
        let bytes = &mut self.bytes.as_chunks_mut::<GROUP_BYTES>().0[..quads.len()];
        (self.step, self.offset) = by_isa!(Isa::active(), signs(quads, bytes));
    }

    /// The bytes, for [`sums`](super::sums): groups padded to a multiple of four with zeros.
    #[must_use]
    pub fn table(&self) -> &[u8] {
        &self.bytes
    }

    /// What one unit of a sum is worth.
    #[must_use]
    pub fn step(&self) -> f32 {
        self.step
    }

    /// What a sum of 0 is worth.
    #[must_use]
    pub fn offset(&self) -> f32 {
        self.offset
    }

    /// What a sum is worth.
    #[must_use]
    #[inline]
    pub fn value(&self, sum: u32) -> f32 {
        self.step * sum as f32 + self.offset
    }

    /// How far a value may be from that of the numbers, rounding to `f32` aside.
    #[must_use]
    pub fn error_max(&self) -> f32 {
        // A hundredth of a step more, for the roundings of the division.
        0.51 * self.step * self.groups as f32
    }

    /// The standard deviation of a value from that of the numbers, over many codes: roundings of
    /// different groups have nothing to do with each other.
    #[must_use]
    pub fn deviation(&self) -> f32 {
        self.step * (self.groups as f32 / 12.0).sqrt()
    }
}

fn extremes(group: &[f32; 16]) -> (f32, f32) {
    group.iter().fold((group[0], group[0]), |(low, high), &x| {
        (low.min(x), high.max(x))
    })
}

/// 2^23: the sum with a number below has no bits for a fraction left.
const WHOLE: f32 = 8_388_608.0;

/// The sign of each of four components in each of the 16 entries.
const SIGNS: [[f32; 16]; 4] = {
    let mut signs = [[-1.0; 16]; 4];
    let mut entry = 0;
    while entry < 16 {
        let mut component = 0;
        while component < 4 {
            if entry >> component & 1 == 1 {
                signs[component][entry] = 1.0;
            }
            component += 1;
        }
        entry += 1;
    }
    signs
};

/// [`Lut::fill`] of the products with signs: the extremes are known, and every entry is had with a
/// few operations on registers. Step and offset. Inlined into a function of each instruction set.
#[inline(always)]
fn signs(quads: &[[f32; 4]], bytes: &mut [[u8; GROUP_BYTES]]) -> (f32, f32) {
    let low = |[a, b, c, d]: [f32; 4]| -((a.abs() + b.abs()) + (c.abs() + d.abs()));
    let (mut widest, mut offset) = (0.0f32, 0.0f64);
    for &quad in quads {
        let low = low(quad.map(|x| 0.5 * x));
        widest = widest.max(-low - low);
        offset += f64::from(low);
    }
    let step = (widest / 255.0).min(f32::MAX);
    let per_step = if step > 0.0 { 1.0 / step } else { 0.0 };
    for (bytes, quad) in bytes.iter_mut().zip(quads) {
        let quad = quad.map(|x| 0.5 * x);
        let ([a, b, c, d], low) = (quad, low(quad));
        for (entry, byte) in bytes.iter_mut().enumerate() {
            let [e, f, g, h] = [0, 1, 2, 3].map(|component: usize| SIGNS[component][entry]);
            let number = (a * e + b * f) + (c * g + d * h);
            // Rounded to a whole number in the low bits: a cast would go one number at a time.
            *byte = ((number - low) * per_step + WHOLE).to_bits() as u8;
        }
    }
    (step, offset as f32)
}

/// [`signs`] compiled for one instruction set.
macro_rules! compiled {
    ($($features:literal)?) => {
        $(#[target_feature(enable = $features)])?
        pub(super) fn signs(
            quads: &[[f32; 4]],
            bytes: &mut [[u8; super::GROUP_BYTES]],
        ) -> (f32, f32) {
            super::signs(quads, bytes)
        }
    };
}

mod scalar {
    compiled!();
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    compiled!("avx2");
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    compiled!("avx512f,avx512bw,avx512vl,avx512dq");
}

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod neon {
    compiled!("neon");
}
