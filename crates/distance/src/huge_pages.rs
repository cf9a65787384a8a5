//! Asking for large pages under memory that is read at random.
//!
//! An index larger than what the processor's address caches cover pays for a walk through the page
//! tables at nearly every jump. Pages of 2 MiB make one entry cover 512 times as much. Linux gives them
//! to those who ask (`transparent_hugepage` is `madvise` on most systems).

use std::mem::MaybeUninit;

/// Size and alignment of what is asked for.
#[cfg(any(test, all(target_os = "linux", not(miri))))]
const HUGE_PAGE_BYTES: usize = 2 * 1024 * 1024;

/// Asks the system to back `memory`, where it spans whole 2 MiB pages, by such pages.
///
/// Best before the first write, when no page is there yet. A hint only: nothing that a program can
/// read changes, a refusal is ignored, and only Linux is asked.
///
/// # Examples
/// ```
/// let mut table: Vec<u64> = Vec::with_capacity(1 << 20);
/// cairn_distance::advise_huge_pages(table.spare_capacity_mut());
/// table.resize(1 << 20, 0);
/// ```
pub fn advise_huge_pages<T>(memory: &mut [MaybeUninit<T>]) {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        let bytes = size_of_val(memory);
        let start = memory.as_mut_ptr().cast::<u8>();
        let skip = start.addr().next_multiple_of(HUGE_PAGE_BYTES) - start.addr();
        let whole = bytes.saturating_sub(skip) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
        if whole > 0 {
            // SAFETY: `skip + whole <= bytes`, so the range lies in `memory`, which the caller has
            // borrowed to us alone; it starts and ends on page boundaries. The advice changes by
            // which pages the range is backed, never what is in it, and its failure has no effect.
            unsafe { madvise(start.add(skip).cast(), whole, MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    let _ = memory;
}

/// `MADV_HUGEPAGE` of `linux/mman.h`, the same on every architecture that has it.
#[cfg(all(target_os = "linux", not(miri)))]
const MADV_HUGEPAGE: std::ffi::c_int = 14;

#[cfg(all(target_os = "linux", not(miri)))]
unsafe extern "C" {
    /// `madvise(2)`, in every C library of Linux; the standard library links one.
    fn madvise(
        address: *mut std::ffi::c_void,
        bytes: usize,
        advice: std::ffi::c_int,
    ) -> std::ffi::c_int;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_leaves_the_contents_alone() {
        for bytes in [0, 1, 4096, HUGE_PAGE_BYTES, 5 * HUGE_PAGE_BYTES + 77] {
            let mut memory: Vec<u8> = Vec::with_capacity(2 * bytes);
            memory.extend((0..bytes).map(|at| at as u8));
            advise_huge_pages(memory.spare_capacity_mut());
            memory.resize(2 * bytes, 7);
            assert!((0..bytes).all(|at| memory[at] == at as u8));
            assert!(memory[bytes..].iter().all(|&byte| byte == 7));
        }
    }
}
