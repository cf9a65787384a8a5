//! Memory that is read at random: mapped, in huge pages where they pay.

use memmap2::MmapMut;

/// Bytes in a huge page. Larger arenas start on such a boundary, so that the system can back them
/// with huge pages from the first byte on.
pub(crate) const HUGE_PAGE_BYTES: usize = 2 * 1024 * 1024;

/// Zeroed bytes on a page boundary. Pages cost memory only once something is written to them.
#[derive(Debug)]
pub(crate) struct Arena {
    map: MmapMut,
    /// Where the first byte stands in `map`.
    start: usize,
    bytes: usize,
}

impl Arena {
    /// An arena of `bytes` bytes, aligned to a huge page if it is at least as large as one, and to an
    /// ordinary page otherwise.
    ///
    /// # Panics
    /// If the system refuses the address space.
    pub(crate) fn new(bytes: usize) -> Self {
        Self::try_new(bytes).expect("the system has address space for an arena")
    }

    /// [`Arena::new`], or `None` if the system refuses.
    pub(crate) fn try_new(bytes: usize) -> Option<Self> {
        let huge = bytes >= HUGE_PAGE_BYTES;
        // Address space only: pages that nobody writes to are never backed by memory.
        let spare = if huge { HUGE_PAGE_BYTES } else { 0 };
        let mapped = bytes.checked_add(spare)?;
        // No bytes cannot be mapped; a page that nobody writes to costs nothing.
        let map = MmapMut::map_anon(mapped.max(1)).ok()?;
        let mut start = 0;
        if huge {
            // A refusal costs speed, never correctness: kernels without huge pages are common.
            #[cfg(target_os = "linux")]
            let _ = map.advise(memmap2::Advice::HugePage);
            let past = map.as_ptr().addr() % HUGE_PAGE_BYTES;
            start = (HUGE_PAGE_BYTES - past) % HUGE_PAGE_BYTES;
        }
        Some(Self { map, start, bytes })
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map[self.start..self.start + self.bytes]
    }

    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.map[self.start..self.start + self.bytes]
    }
}
