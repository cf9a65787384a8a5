//! No kernel reads a byte beyond its slices: they end where the next page may not be read, and
//! begin where the page before may not be.

#![cfg(unix)]

mod common;

use std::ptr::null_mut;

use cairn_distance::{Metric, f16};
use common::{Random, Sample, kernels, samples};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

/// At least as large as the page of any supported processor.
const PAGE: usize = 64 * 1024;

/// A readable page between two that are not.
struct Fenced(*mut u8);

impl Fenced {
    fn new() -> Self {
        // SAFETY: a fresh anonymous mapping, owned by this value; the outer thirds are closed
        // before anything points into them.
        unsafe {
            let protection = ProtFlags::READ | ProtFlags::WRITE;
            let start = mmap_anonymous(null_mut(), 3 * PAGE, protection, MapFlags::PRIVATE)
                .expect("three pages of memory");
            mprotect(start, PAGE, MprotectFlags::empty()).expect("close the first");
            mprotect(start.byte_add(2 * PAGE), PAGE, MprotectFlags::empty())
                .expect("close the last");
            Self(start.cast())
        }
    }

    /// `vector`, moved to the very start or the very end of the page.
    fn place<T: Sample>(&mut self, vector: &[T], at_end: bool) -> &[T] {
        let bytes = size_of_val(vector);
        assert!(bytes <= PAGE);
        let offset = if at_end { 2 * PAGE - bytes } else { PAGE };
        // SAFETY: the range lies in the readable page and is aligned for `T`, because both ends of
        // the page are and `bytes` is a multiple of its size; the borrow of `self` keeps it from
        // being written again.
        unsafe {
            let start = self.0.add(offset).cast::<T>();
            start.copy_from_nonoverlapping(vector.as_ptr(), vector.len());
            std::slice::from_raw_parts(start, vector.len())
        }
    }
}

impl Drop for Fenced {
    fn drop(&mut self) {
        // SAFETY: the mapping of `new`, whose borrows have ended.
        unsafe { munmap(self.0.cast(), 3 * PAGE).expect("the mapping is ours") }
    }
}

#[test]
fn at_both_ends_of_a_page() {
    let mut random = Random::new("at_both_ends_of_a_page");
    both_ends::<f32>(&mut random);
    both_ends::<f16>(&mut random);
    both_ends::<i8>(&mut random);
}

fn both_ends<T: Sample>(random: &mut Random) {
    let (mut page_a, mut page_b) = (Fenced::new(), Fenced::new());
    let mut page_base = Fenced::new();
    for dim in 0..=300 {
        let a: Vec<T> = samples(random, dim);
        let b: Vec<T> = samples(random, dim);
        let rows = 5;
        let base: Vec<T> = samples(random, rows * dim);
        for at_end in [false, true] {
            let a = page_a.place(&a, at_end);
            let b = page_b.place(&b, at_end);
            let base = page_base.place(&base, at_end);
            for kernels in Metric::ALL.into_iter().flat_map(kernels::<T>) {
                let _ = kernels.one(a, b);
                let _ = kernels.one_bounded(a, b, 1e6);
                let mut out = [0.0; 5];
                kernels.many(a, base, dim, &[4, 0, 3, 1, 2], &mut out);
                kernels.block(a, base, dim, &mut out);
                if dim > 0 {
                    kernels.matrix(base, a, dim, &mut out);
                    kernels.matrix(a, base, dim, &mut out);
                    kernels.matrix(base, base, dim, &mut [0.0; 25]);
                }
                cairn_distance::prefetch(bytes_of(base));
            }
        }
    }
}

/// Any bytes of the page; prefetching is tested for not faulting near its ends.
fn bytes_of<T: Sample>(base: &[T]) -> &[u8] {
    // SAFETY: the element types are plain numbers without padding.
    unsafe { std::slice::from_raw_parts(base.as_ptr().cast(), size_of_val(base)) }
}
