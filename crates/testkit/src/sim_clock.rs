//! Time that moves only when told.

use std::sync::Arc;
use std::time::Duration;

use cairn_env::Clock;
use parking_lot::Mutex;

/// A virtual clock. Clones show the same time; sleeping moves it and does not wait.
///
/// # Examples
/// ```
/// use cairn_env::Clock;
/// use cairn_testkit::SimClock;
/// use std::time::Duration;
///
/// let clock = SimClock::new();
/// clock.sleep(Duration::from_secs(3600));
/// assert_eq!(clock.now(), Duration::from_secs(3600));
/// ```
#[derive(Clone, Debug)]
pub struct SimClock {
    time: Arc<Mutex<Time>>,
}

#[derive(Debug)]
struct Time {
    monotonic: Duration,
    /// Wall time minus monotonic time; a jump of the wall clock changes this alone.
    unix_ms_at_zero: i128,
}

impl SimClock {
    /// A clock at 0 s, on 2025-01-01 00:00 UTC.
    #[must_use]
    pub fn new() -> Self {
        Self {
            time: Arc::new(Mutex::new(Time {
                monotonic: Duration::ZERO,
                unix_ms_at_zero: 1_735_689_600_000,
            })),
        }
    }

    /// Lets `duration` pass, on both clocks.
    pub fn advance(&self, duration: Duration) {
        self.time.lock().monotonic += duration;
    }

    /// Sets the wall clock, forwards or backwards. Monotonic time goes on as if nothing had
    /// happened.
    pub fn set_unix_ms(&self, unix_ms: u64) {
        let mut time = self.time.lock();
        time.unix_ms_at_zero = i128::from(unix_ms) - millis(time.monotonic);
    }
}

impl Default for SimClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SimClock {
    fn now(&self) -> Duration {
        self.time.lock().monotonic
    }

    fn unix_ms(&self) -> u64 {
        let time = self.time.lock();
        let unix_ms = time.unix_ms_at_zero + millis(time.monotonic);
        u64::try_from(unix_ms.max(0)).unwrap_or(u64::MAX)
    }

    fn sleep(&self, duration: Duration) {
        self.advance(duration);
    }
}

fn millis(duration: Duration) -> i128 {
    i128::try_from(duration.as_millis()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_jumps_alone() {
        let clock = SimClock::new();
        clock.advance(Duration::from_millis(1500));
        assert_eq!(clock.unix_ms(), 1_735_689_601_500);
        clock.set_unix_ms(1000);
        assert_eq!(clock.now(), Duration::from_millis(1500));
        clock.clone().sleep(Duration::from_millis(5));
        assert_eq!(
            (clock.unix_ms(), clock.now()),
            (1005, Duration::from_millis(1505))
        );
    }
}
