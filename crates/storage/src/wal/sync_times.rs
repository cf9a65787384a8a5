//! How long syncs take, for who must not wait for one to learn it.

use std::time::Duration;

use cairn_env::Clock;
use cairn_env::sync::Mutex;

/// Times the syncs of one log or of several.
///
/// Asking for them waits for no sync: a disk that hangs is told while it does.
///
/// # Examples
/// ```
/// use cairn_env::{Clock, OsClock};
/// use cairn_storage::SyncTimes;
/// use std::time::Duration;
///
/// let (times, clock) = (SyncTimes::default(), OsClock::new());
/// times.time(&clock, || clock.sleep(Duration::from_millis(2)));
/// assert!(times.longest(&clock) >= Duration::from_millis(2));
/// assert!(times.take_recent(&clock) >= Duration::from_millis(2));
/// assert_eq!(times.take_recent(&clock), Duration::ZERO);
/// ```
#[derive(Debug, Default)]
pub struct SyncTimes {
    times: Mutex<Times>,
}

#[derive(Debug, Default)]
struct Times {
    /// When each sync began that has not ended, in no order: one a log at most.
    running: Vec<Duration>,
    /// The longest of those that have ended.
    longest: Duration,
    /// The longest of those that have ended since somebody asked.
    recent: Duration,
}

impl SyncTimes {
    /// Runs `sync` and counts how long it takes.
    pub fn time<T>(&self, clock: &dyn Clock, sync: impl FnOnce() -> T) -> T {
        let begun = clock.now();
        self.times.lock().running.push(begun);
        // Even if it panics: one that is gone must not look as if it still ran.
        let _end = End {
            times: self,
            clock,
            begun,
        };
        sync()
    }

    /// The longest sync, one that still runs included; zero when there was none.
    #[must_use]
    pub fn longest(&self, clock: &dyn Clock) -> Duration {
        let times = self.times.lock();
        times.longest.max(times.runs_for(clock))
    }

    /// As [`longest`](Self::longest), of those that have ended since the last call or still run.
    #[must_use]
    pub fn take_recent(&self, clock: &dyn Clock) -> Duration {
        let mut times = self.times.lock();
        let recent = std::mem::take(&mut times.recent);
        recent.max(times.runs_for(clock))
    }
}

impl Times {
    /// How long the oldest that still runs does so.
    fn runs_for(&self, clock: &dyn Clock) -> Duration {
        let oldest = self.running.iter().min();
        oldest.map_or(Duration::ZERO, |begun| clock.now().saturating_sub(*begun))
    }
}

struct End<'a> {
    times: &'a SyncTimes,
    clock: &'a dyn Clock,
    begun: Duration,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        let took = self.clock.now().saturating_sub(self.begun);
        let mut times = self.times.times.lock();
        if let Some(at) = times.running.iter().position(|begun| *begun == self.begun) {
            times.running.swap_remove(at);
        }
        times.longest = times.longest.max(took);
        times.recent = times.recent.max(took);
    }
}
