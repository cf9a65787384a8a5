//! Answers to writes, brought to JavaScript many at a time.
//!
//! A promise that native code settles costs several microseconds: a queue of its own is made for
//! it and torn down. Writes are many and small, and one sync decides about all of a group, so
//! JavaScript keeps their promises itself, by number, and is called once for what has been
//! decided meanwhile.

use std::mem;
use std::sync::Arc;

use cairn_engine::{Result, WriteResult};
use napi::Status;
use napi::bindgen_prelude::{BigUint64Array, Float64Array, FnArgs, Function, Uint32Array};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;
use parking_lot::Mutex;

use crate::error::BindingError;

/// A write that failed.
#[napi(object)]
pub struct BindingFailedWrite {
    /// The number it was given.
    pub id: u32,
    /// Why.
    pub error: BindingError,
}

/// Numbers, versions, and four counts each (inserted, updated, deleted, skipped) of the writes
/// that succeeded, then those that failed.
pub type Answers = FnArgs<(
    Uint32Array,
    BigUint64Array,
    Float64Array,
    Vec<BindingFailedWrite>,
)>;

/// Calls JavaScript. Weak: it keeps no process alive; JavaScript sees to that while it waits.
type Call = ThreadsafeFunction<(), (), Answers, Status, false, true>;

type Decided = Vec<(u32, Result<WriteResult>)>;

/// Where the answers to the writes of one database go.
pub struct Writes {
    decided: Arc<Mutex<Decided>>,
    call: Call,
}

impl Writes {
    /// Answers go to `callback`, on its thread.
    pub fn new(callback: &Function<'_, Answers, ()>) -> napi::Result<Arc<Self>> {
        let decided: Arc<Mutex<Decided>> = Arc::default();
        let taken = Arc::clone(&decided);
        let call = callback
            .build_threadsafe_function::<()>()
            .weak::<true>()
            .build_callback(move |_| Ok(pack(mem::take(&mut *taken.lock()))))?;
        Ok(Arc::new(Self { decided, call }))
    }

    /// Brings the answer to write `id` to JavaScript. Nobody hears it once its thread has ended.
    pub fn answer(&self, id: u32, result: Result<WriteResult>) {
        let is_first = {
            let mut decided = self.decided.lock();
            decided.push((id, result));
            decided.len() == 1
        };
        if is_first {
            self.call.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }
}

fn pack(decided: Decided) -> Answers {
    let mut ids = Vec::with_capacity(decided.len());
    let mut versions = Vec::with_capacity(decided.len());
    let mut counts = Vec::with_capacity(decided.len() * 4);
    let mut failed = Vec::new();
    for (id, result) in decided {
        match result {
            Ok(done) => {
                ids.push(id);
                versions.push(done.version);
                let rows = [done.inserted, done.updated, done.deleted, done.skipped];
                counts.extend(rows.map(|rows| rows as f64));
            }
            Err(error) => failed.push(BindingFailedWrite {
                id,
                error: BindingError::from(&error),
            }),
        }
    }
    (ids.into(), versions.into(), counts.into(), failed).into()
}
