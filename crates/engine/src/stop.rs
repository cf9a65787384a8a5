//! Cancellation, deadlines and progress of long work.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cairn_env::Clock;

use crate::error::{Code, Error, Result};

/// Asks running work whether it should end early.
#[derive(Clone, Default)]
pub struct Stop {
    cancelled: [Option<Arc<AtomicBool>>; 2],
    deadline: Option<(Arc<dyn Clock>, Duration)>,
}

impl Stop {
    /// Work that always runs to its end.
    #[must_use]
    pub fn never() -> Self {
        Self::default()
    }

    /// Ends when `flag` becomes true.
    #[must_use]
    pub fn when(mut self, flag: Arc<AtomicBool>) -> Self {
        self.cancelled[0] = Some(flag);
        self
    }

    /// Ends as well when `flag` becomes true: the engine's own wish beside the caller's.
    #[must_use]
    pub(crate) fn when_also(mut self, flag: Arc<AtomicBool>) -> Self {
        self.cancelled[1] = Some(flag);
        self
    }

    /// Ends when the clock's monotonic time passes `at`.
    #[must_use]
    pub fn at(mut self, clock: Arc<dyn Clock>, at: Duration) -> Self {
        self.deadline = Some((clock, at));
        self
    }

    /// Whether to end now.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.check().is_err()
    }

    /// Whether to end now, and why.
    ///
    /// # Errors
    /// [`Code::Aborted`] or [`Code::Deadline`].
    pub fn check(&self) -> Result<()> {
        let set = |flag: &Arc<AtomicBool>| flag.load(Ordering::Relaxed);
        if self.cancelled.iter().flatten().any(set) {
            return Err(Error::new(Code::Aborted, "the call was aborted"));
        }
        if let Some((clock, at)) = &self.deadline
            && clock.now() >= *at
        {
            return Err(Error::new(Code::Deadline, "the deadline passed"));
        }
        Ok(())
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop")
            .field("due", &self.is_due())
            .finish_non_exhaustive()
    }
}

/// Keeps work to so many bytes a second.
pub(crate) struct Pace {
    clock: Arc<dyn Clock>,
    bytes_per_second: NonZeroU64,
    began: Duration,
    bytes: AtomicU64,
}

/// The longest sleep between two looks at whether the work was stopped.
const NAP: Duration = Duration::from_millis(20);

impl Pace {
    /// Begins now.
    pub fn new(clock: Arc<dyn Clock>, bytes_per_second: NonZeroU64) -> Self {
        Self {
            began: clock.now(),
            clock,
            bytes_per_second,
            bytes: AtomicU64::new(0),
        }
    }

    /// Counts `bytes` and waits until so many were due, or `stop` is.
    pub fn spend(&self, bytes: usize, stop: &Stop) {
        let bytes = bytes as u64;
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let seconds = bytes as f64 / self.bytes_per_second.get() as f64;
        let due = self.began + Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX / 2);
        loop {
            let now = self.clock.now();
            if now >= due || stop.is_due() {
                return;
            }
            self.clock.sleep((due - now).min(NAP));
        }
    }
}

/// Hears how far a job is: units done, units in all.
pub type ProgressFn = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// A long piece of work as its caller sees it.
#[derive(Clone, Default)]
pub struct Job {
    /// Ends it early.
    pub stop: Stop,
    /// Hears how far it is; the unit is rows.
    pub progress: Option<ProgressFn>,
}
