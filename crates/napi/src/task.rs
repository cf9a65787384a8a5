//! Work that a promise waits for.
//!
//! A promise is settled through [`JsDeferred`], which may be used from any thread and, once the
//! environment it belongs to is gone (a worker that was terminated), drops its answer silently.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cairn_engine::{Code, Error, Job, Result, Stop};
use cairn_env::{Clock, Lane, Threads};
use napi::JsDeferred;
use napi::bindgen_prelude::{ClassInstance, Env, Object, ToNapiValue};
use napi_derive::napi;

use crate::error::{Answer, answer, guarded, quiet_panics};

type Resolver<T> = Box<dyn FnOnce(Env) -> napi::Result<Answer<T>> + Send>;

/// Longer than a year is as good as for ever, and cannot overflow a clock.
const DEADLINE_MS_MAX: f64 = 365.0 * 24.0 * 3_600_000.0;

/// A promise that is still open. Dropped unsettled, it answers `ERR_INTERNAL`.
pub struct Pending<T: ToNapiValue + Send + 'static> {
    deferred: Option<JsDeferred<Answer<T>, Resolver<T>>>,
}

impl<T: ToNapiValue + Send + 'static> Pending<T> {
    /// A promise and the end that settles it.
    pub fn new(env: &Env) -> napi::Result<(Self, Object<'_>)> {
        quiet_panics();
        let (deferred, promise) = env.create_deferred::<Answer<T>, Resolver<T>>()?;
        let pending = Self {
            deferred: Some(deferred),
        };
        Ok((pending, promise))
    }

    /// Settles it. `to_js` runs on the JavaScript thread.
    pub fn settle<R: Send + 'static>(
        mut self,
        result: Result<R>,
        to_js: impl FnOnce(R) -> T + Send + 'static,
    ) {
        if let Some(deferred) = self.deferred.take() {
            deferred.resolve(Box::new(move |_| Ok(answer(result.map(to_js)))));
        }
    }
}

impl<T: ToNapiValue + Send + 'static> Drop for Pending<T> {
    fn drop(&mut self) {
        if let Some(deferred) = self.deferred.take() {
            let lost = Error::new(Code::Internal, "the work was dropped before it ended");
            deferred.resolve(Box::new(move |_| Ok(answer(Err(lost)))));
        }
    }
}

/// Runs `work` on a lane of the pool; the promise answers what `to_js` makes of its result.
pub fn spawn<'env, R, T>(
    env: &'env Env,
    threads: &Arc<dyn Threads>,
    lane: Lane,
    work: impl FnOnce() -> Result<R> + Send + 'static,
    to_js: impl FnOnce(R) -> T + Send + 'static,
) -> napi::Result<Object<'env>>
where
    R: Send + 'static,
    T: ToNapiValue + Send + 'static,
{
    let (pending, promise) = Pending::<T>::new(env)?;
    let task = Box::new(move || pending.settle(guarded(work), to_js));
    threads.spawn(lane, task);
    Ok(promise)
}

/// Lets the caller end a running call early, and watch it.
#[napi]
pub struct BindingTicket {
    cancelled: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    total: Arc<AtomicU64>,
}

#[napi]
impl BindingTicket {
    /// A ticket for one call.
    #[napi(constructor)]
    #[must_use]
    pub fn new() -> Self {
        Self {
            cancelled: Arc::default(),
            done: Arc::default(),
            total: Arc::default(),
        }
    }

    /// Asks the call to end.
    #[napi]
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Steps done and steps in all, as far as they are known.
    #[napi]
    #[must_use]
    pub fn progress(&self) -> Vec<f64> {
        [&self.done, &self.total]
            .map(|steps| steps.load(Ordering::Relaxed) as f64)
            .to_vec()
    }
}

/// A ticket as an argument.
pub type Ticket<'env> = Option<ClassInstance<'env, BindingTicket>>;

/// When work is to end early: by ticket, by a deadline in milliseconds from now (0: none).
pub fn stop(ticket: &Ticket<'_>, clock: &Arc<dyn Clock>, deadline_ms: f64) -> Stop {
    let mut stop = Stop::never();
    if let Some(ticket) = ticket {
        stop = stop.when(Arc::clone(&ticket.cancelled));
    }
    if deadline_ms > 0.0 {
        let left = Duration::from_secs_f64(deadline_ms.min(DEADLINE_MS_MAX) / 1e3);
        stop = stop.at(Arc::clone(clock), clock.now() + left);
    }
    stop
}

/// A background job under a ticket.
pub fn job(ticket: &Ticket<'_>) -> Job {
    let Some(ticket) = ticket else {
        return Job::default();
    };
    let (done, total) = (Arc::clone(&ticket.done), Arc::clone(&ticket.total));
    Job {
        stop: Stop::never().when(Arc::clone(&ticket.cancelled)),
        progress: Some(Arc::new(move |now, all| {
            done.store(now, Ordering::Relaxed);
            total.store(all, Ordering::Relaxed);
        })),
    }
}
