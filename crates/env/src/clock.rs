//! Time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A clock. Correctness never rests on wall time.
pub trait Clock: Send + Sync + 'static {
    /// Monotonic time since an arbitrary start.
    fn now(&self) -> Duration;
    /// Wall time, in milliseconds since 1970-01-01 UTC.
    fn unix_ms(&self) -> u64;
    /// Blocks the calling thread.
    fn sleep(&self, duration: Duration);
}

/// The operating system's clock.
#[derive(Debug)]
pub struct OsClock {
    start: Instant,
}

impl OsClock {
    /// A clock whose monotonic time starts now.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the clock"
    )]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for OsClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for OsClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the clock"
    )]
    fn unix_ms(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| {
                u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
            })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that sleeps"
    )]
    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}
