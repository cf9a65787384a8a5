//! Objects of the engine that objects of JavaScript own.

use std::ops::Deref;
use std::sync::Arc;

use cairn_env::{Lane, Threads};

/// A share of an engine object, held by an object of JavaScript.
///
/// Those die in finalizers on the JavaScript thread: when they are collected, when their worker is
/// terminated, when the process leaves. Dropping a database closes it, which waits for syncs and
/// merges, and dropping a collection may give gigabytes back, so the last share is dropped on the
/// pool. A process that leaves takes the pool along in the middle of that; what was acknowledged
/// as synced is in the log.
pub struct Owned<T: Send + Sync + 'static> {
    /// There until dropped.
    object: Option<Arc<T>>,
    threads: Arc<dyn Threads>,
}

impl<T: Send + Sync + 'static> Owned<T> {
    /// A share.
    pub fn new(object: Arc<T>, threads: &Arc<dyn Threads>) -> Self {
        Self {
            object: Some(object),
            threads: Arc::clone(threads),
        }
    }
}

impl<T: Send + Sync + 'static> Clone for Owned<T> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(self), &self.threads)
    }
}

impl<T: Send + Sync + 'static> Deref for Owned<T> {
    type Target = Arc<T>;

    fn deref(&self) -> &Arc<T> {
        self.object.as_ref().expect("it is there until dropped")
    }
}

impl<T: Send + Sync + 'static> Drop for Owned<T> {
    fn drop(&mut self) {
        if let Some(object) = self.object.take().and_then(Arc::into_inner) {
            self.threads
                .spawn(Lane::Blocking, Box::new(move || drop(object)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread;
    use std::time::Duration;

    use cairn_env::OsThreads;

    use super::*;

    /// Says on which thread it is dropped.
    struct Witness(Sender<Option<String>>);

    impl Drop for Witness {
        fn drop(&mut self) {
            let name = thread::current().name().map(str::to_owned);
            // Nobody listens any more when a test has failed.
            let _ = self.0.send(name);
        }
    }

    fn witness() -> (Owned<Witness>, Receiver<Option<String>>) {
        let threads: Arc<dyn Threads> = Arc::new(OsThreads::new(1));
        let (sender, receiver) = channel();
        (Owned::new(Arc::new(Witness(sender)), &threads), receiver)
    }

    #[test]
    fn the_last_share_is_dropped_on_the_pool() {
        let (owned, dropped) = witness();
        let other = owned.clone();
        drop(owned);
        assert!(dropped.try_recv().is_err(), "another share is left");
        drop(other);
        let name = dropped.recv_timeout(Duration::from_secs(30));
        assert_eq!(name, Ok(Some("cairn-call-0".to_owned())));
    }

    #[test]
    fn shares_of_calls_under_way_count() {
        let (owned, dropped) = witness();
        let call = Arc::clone(&owned);
        drop(owned);
        assert!(dropped.try_recv().is_err(), "a call is under way");
        drop(call);
        assert!(dropped.try_recv().is_ok());
    }
}
