//! Locks, atomics and swapped pointers of the engine, in one place, so that a test can decide at
//! each use of one who goes on.
//!
//! Built as usual these are `parking_lot`, `std` and `arc-swap` themselves. Built with the
//! `interleavings` feature they are those of the scheduler `shuttle` under the same names: the code
//! that is tested is the code that is shipped. Only what orders the engine's own steps comes from
//! here; a lock that is held across no other use of one may come from anywhere.

#[cfg(not(feature = "interleavings"))]
mod plain {
    pub use arc_swap::ArcSwap;
    pub use parking_lot::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
    pub use std::thread_local;

    /// Atomic numbers and flags.
    pub mod atomic {
        pub use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
    }
}

#[cfg(not(feature = "interleavings"))]
pub use plain::*;

#[cfg(feature = "interleavings")]
mod scheduled;

#[cfg(feature = "interleavings")]
pub use scheduled::*;
