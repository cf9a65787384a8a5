//! Buffers of batches, used again.
//!
//! A batch is copied on the thread of the program that writes it, and its copy is let go on the
//! thread that commits. An allocator answers such traffic by giving memory back to the system and
//! asking for it again, and the asking waits while another thread, of low priority perhaps, gives
//! back a large region: stalls of tens of milliseconds were measured.

use parking_lot::Mutex;

/// Smaller ones are the allocator's daily bread.
const FLOATS_MIN: usize = 16 * 1024; // 64 KiB
/// Larger ones are rare.
const FLOATS_MAX: usize = 1024 * 1024; // 4 MiB
/// More than are under way when batches are written one behind another.
const KEPT_MAX: usize = 8;

static KEPT: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());

/// An empty buffer with room for `floats`.
#[must_use]
pub fn take_buffer(floats: usize) -> Vec<f32> {
    if (FLOATS_MIN..=FLOATS_MAX).contains(&floats) {
        let mut kept = KEPT.lock();
        if let Some(fitting) = kept.iter().position(|buffer| buffer.capacity() >= floats) {
            return kept.swap_remove(fitting);
        }
    }
    Vec::with_capacity(floats)
}

/// Keeps a buffer for the next batch, unless there are enough.
pub(crate) fn give_buffer(mut buffer: Vec<f32>) {
    if !(FLOATS_MIN..=FLOATS_MAX).contains(&buffer.capacity()) {
        return;
    }
    buffer.clear();
    let mut kept = KEPT.lock();
    if kept.len() < KEPT_MAX {
        kept.push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty_and_large_enough() {
        let mut buffer = take_buffer(FLOATS_MIN);
        buffer.push(1.0);
        give_buffer(buffer);
        for _ in 0..2 * KEPT_MAX {
            give_buffer(Vec::with_capacity(FLOATS_MIN));
        }
        assert!(KEPT.lock().len() <= KEPT_MAX);
        let again = take_buffer(FLOATS_MIN);
        assert!(again.is_empty() && again.capacity() >= FLOATS_MIN);
        give_buffer(Vec::with_capacity(FLOATS_MAX + 1));
        let small = |buffer: &Vec<f32>| buffer.capacity() <= FLOATS_MAX;
        assert!(KEPT.lock().iter().all(small));
    }
}
