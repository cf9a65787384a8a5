//! The same names over `shuttle`: every use is a step before which another thread may run.
//!
//! `shuttle` runs all threads of a test on one, so what is inside needs no protection of its own.
//! Memory is sequentially consistent here: an ordering that is too weak is not found.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, PoisonError};

pub use shuttle::{self, thread_local};

/// Atomic numbers and flags.
pub mod atomic {
    pub use shuttle::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
}

/// Lets another thread run.
pub fn step() {
    atomic::AtomicBool::new(false).load(atomic::Ordering::SeqCst);
}

/// A mutex that a panic does not poison.
#[derive(Debug, Default)]
pub struct Mutex<T>(shuttle::sync::Mutex<T>);

/// Its guard. Empty only while a [`Condvar`] waits.
#[derive(Debug)]
pub struct MutexGuard<'a, T>(Option<shuttle::sync::MutexGuard<'a, T>>);

impl<T> Mutex<T> {
    /// An unlocked one.
    pub const fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    /// Waits until it is free.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let locked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        MutexGuard(Some(locked))
    }

    /// Takes it if it is free.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(MutexGuard(Some(guard))),
            Err(std::sync::TryLockError::Poisoned(held)) => {
                Some(MutexGuard(Some(held.into_inner())))
            }
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }

    /// What it guards, for whoever has it alone.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody holds it.
    pub fn is_locked(&self) -> bool {
        self.try_lock().is_none()
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("not waiting")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("not waiting")
    }
}

/// A condition that threads wait for.
#[derive(Debug, Default)]
pub struct Condvar(shuttle::sync::Condvar);

impl Condvar {
    /// One that nobody waits for.
    pub const fn new() -> Self {
        Self(shuttle::sync::Condvar::new())
    }

    /// Lets go of the lock, waits to be woken, and takes it again.
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let held = guard.0.take().expect("not waiting");
        let woken = self.0.wait(held).unwrap_or_else(PoisonError::into_inner);
        guard.0 = Some(woken);
    }

    /// Wakes one.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// A lock for many readers or one writer. As in `parking_lot`, `read` queues behind a writer that
/// waits, and `read_recursive` does not.
#[derive(Debug, Default)]
pub struct RwLock<T> {
    holders: Mutex<Holders>,
    changed: Condvar,
    /// Never waited for: `holders` says who may come in.
    value: std::sync::RwLock<T>,
}

#[derive(Debug, Default)]
struct Holders {
    readers: usize,
    writing: bool,
    writers_waiting: usize,
}

/// A reader's guard.
#[derive(Debug)]
pub struct RwLockReadGuard<'a, T> {
    value: Option<std::sync::RwLockReadGuard<'a, T>>,
    lock: &'a RwLock<T>,
}

/// The writer's guard.
#[derive(Debug)]
pub struct RwLockWriteGuard<'a, T> {
    value: Option<std::sync::RwLockWriteGuard<'a, T>>,
    lock: &'a RwLock<T>,
}

impl<T> RwLock<T> {
    /// An unlocked one.
    pub const fn new(value: T) -> Self {
        Self {
            holders: Mutex::new(Holders {
                readers: 0,
                writing: false,
                writers_waiting: 0,
            }),
            changed: Condvar::new(),
            value: std::sync::RwLock::new(value),
        }
    }

    /// Waits until nobody writes or waits to write.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.read_when(|holders| !holders.writing && holders.writers_waiting == 0)
    }

    /// Waits until nobody writes.
    pub fn read_recursive(&self) -> RwLockReadGuard<'_, T> {
        self.read_when(|holders| !holders.writing)
    }

    fn read_when(&self, may: impl Fn(&Holders) -> bool) -> RwLockReadGuard<'_, T> {
        let mut holders = self.holders.lock();
        while !may(&holders) {
            self.changed.wait(&mut holders);
        }
        holders.readers += 1;
        drop(holders);
        let value = self.value.read().unwrap_or_else(PoisonError::into_inner);
        RwLockReadGuard {
            value: Some(value),
            lock: self,
        }
    }

    /// Waits until nobody reads or writes.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        let mut holders = self.holders.lock();
        holders.writers_waiting += 1;
        while holders.writing || holders.readers > 0 {
            self.changed.wait(&mut holders);
        }
        holders.writers_waiting -= 1;
        holders.writing = true;
        drop(holders);
        let value = self.value.write().unwrap_or_else(PoisonError::into_inner);
        RwLockWriteGuard {
            value: Some(value),
            lock: self,
        }
    }
}

impl<T> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("there until dropped")
    }
}

impl<T> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("there until dropped")
    }
}

impl<T> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("there until dropped")
    }
}

impl<T> Drop for RwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        self.value = None;
        let mut holders = self.lock.holders.lock();
        holders.readers -= 1;
        if holders.readers == 0 {
            self.lock.changed.notify_all();
        }
    }
}

impl<T> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        self.value = None;
        self.lock.holders.lock().writing = false;
        self.lock.changed.notify_all();
    }
}

/// A shared pointer that is swapped as a whole; readers never wait.
#[derive(Debug)]
pub struct ArcSwap<T>(std::sync::Mutex<Arc<T>>);

impl<T> ArcSwap<T> {
    /// A pointer to `value`.
    pub fn from_pointee(value: T) -> Self {
        Self(std::sync::Mutex::new(Arc::new(value)))
    }

    /// What it points to now.
    pub fn load(&self) -> Arc<T> {
        self.load_full()
    }

    /// What it points to now, to be kept.
    pub fn load_full(&self) -> Arc<T> {
        step();
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets it point to `value`.
    pub fn store(&self, value: Arc<T>) {
        step();
        // What it pointed to may go with this, and take steps of its own.
        let _before = {
            let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *held, value)
        };
        step();
    }
}
