//! A clock by which a test counts looks at a deadline, and ends work at any of them.

#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cairn_engine::Stop;
use cairn_env::Clock;

/// A clock that counts who looks at it. At look `late` it does something, and from then on a deadline of
/// one second is over.
pub struct Looks {
    count: AtomicUsize,
    late: usize,
    then: Box<dyn Fn() + Send + Sync>,
}

impl Looks {
    pub fn until(late: usize, then: impl Fn() + Send + Sync + 'static) -> (Arc<Self>, Stop) {
        let looks = Arc::new(Self {
            count: AtomicUsize::new(0),
            late,
            then: Box::new(then),
        });
        let stop = Stop::never().at(looks.clone(), Duration::from_secs(1));
        (looks, stop)
    }

    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

impl Clock for Looks {
    fn now(&self) -> Duration {
        let before = self.count.fetch_add(1, Ordering::Relaxed);
        if before == self.late {
            (self.then)();
        }
        Duration::from_secs(if before < self.late { 0 } else { 2 })
    }

    fn unix_ms(&self) -> u64 {
        0
    }

    fn sleep(&self, _: Duration) {}
}
