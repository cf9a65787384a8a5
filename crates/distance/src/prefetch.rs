//! Asking for memory before it is needed.
//!
//! The hint is the one that fills the second-level cache, not the first: a first-level prefetch
//! holds one of the core's fill buffers until the line arrives. Zen 4 has about two dozen, which
//! limits a core to about 8 GB/s from DRAM, and records of half a kilobyte and more came in 1.5 to
//! 2 times faster through the second level, which has room for more misses in flight. On Zen 5 it
//! is the first-level hint that is faster, by 2 to 15 %, and by up to 29 % where hops have but 8
//! rows: the hint with the smaller worst case stays.

/// Bytes in a cache line on every processor with a kernel of its own here. Where lines are longer
/// the same line is asked for twice, which is harmless.
const LINE_BYTES: usize = 64;

/// Asks for every cache line of `bytes`, without waiting.
///
/// A hint only: the result of the program never depends on it. Does nothing where the processor
/// family has no such instruction known here.
///
/// # Examples
/// ```
/// let record = vec![0u8; 512];
/// cairn_distance::prefetch(&record);
/// ```
#[inline]
pub fn prefetch(bytes: &[u8]) {
    prefetch_raw(bytes.as_ptr(), bytes.len());
}

/// [`prefetch`] for a row of `f32`.
///
/// # Examples
/// ```
/// let matrix = vec![0.0f32; 4 * 128];
/// cairn_distance::prefetch_f32(&matrix[2 * 128..3 * 128]);
/// ```
#[inline]
pub fn prefetch_f32(vector: &[f32]) {
    prefetch_raw(vector.as_ptr().cast(), size_of_val(vector));
}

/// [`prefetch`] for records of any type, atomics included: nothing is read that the program sees.
///
/// # Examples
/// ```
/// use std::sync::atomic::AtomicU32;
///
/// let links = [const { AtomicU32::new(0) }; 32];
/// cairn_distance::prefetch_slice(&links);
/// ```
#[inline]
pub fn prefetch_slice<T>(records: &[T]) {
    prefetch_raw(records.as_ptr().cast(), size_of_val(records));
}

/// Prefetches the lines of `[start, start + bytes)`. Any address is allowed: prefetches do not
/// fault and read nothing that the program can see.
#[inline(always)]
pub(crate) fn prefetch_raw(start: *const u8, bytes: usize) {
    // From the start of the first line, so that the last one is reached for every alignment.
    let skew = start.addr() % LINE_BYTES;
    let first = start.wrapping_sub(skew);
    let mut offset = 0;
    while offset < skew + bytes {
        line(first.wrapping_add(offset));
        offset += LINE_BYTES;
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn line(address: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
    // SAFETY: SSE is part of the x86-64 baseline, and a prefetch may be given any address.
    unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
}

#[cfg(all(target_arch = "aarch64", not(miri)))]
#[inline(always)]
fn line(address: *const u8) {
    // SAFETY: PRFM is part of the base instruction set, may be given any address, and changes no
    // register, flag or visible memory. (The intrinsic for it is not stable.)
    unsafe {
        std::arch::asm!(
            "prfm pldl2keep, [{address}]",
            address = in(reg) address,
            options(nostack, preserves_flags, readonly)
        );
    }
}

#[cfg(not(any(target_arch = "x86_64", all(target_arch = "aarch64", not(miri)))))]
#[inline(always)]
fn line(_address: *const u8) {}
