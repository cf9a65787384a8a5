//! A state of several collections at one version: how a version of the database is made.
//!
//! The writers of all collections are held, for as long as it takes to freeze their memtables.
//! They go on while those are flushed. The manifest that a flush publishes is exactly the state at
//! the cut, and it is taken before the next publication replaces it: rows that came later are in
//! no segment of it, and deletions that came later in no deletion file.

use std::sync::Arc;

use cairn_env::sync::{Mutex, MutexGuard};

use crate::error::{Code, Error, Result};
use crate::manifest::Manifest;
use crate::retained::{Hold, Retained};

use super::{Collection, Core};

/// A manifest whose files stay as long as this is there.
pub(crate) struct Frozen {
    pub manifest: Manifest,
    pub hold: Hold,
}

impl Frozen {
    fn of(manifest: &Manifest, retained: &Arc<Retained>) -> Self {
        let manifest = Manifest {
            // A keyed write is answered from its key by the database that it was made in, and for a
            // time; their file is replaced as time goes by, and no version keeps it.
            outcomes: None,
            ..manifest.clone()
        };
        Self {
            hold: Retained::hold(retained, manifest.files()),
            manifest,
        }
    }
}

/// The manifest of an lsn that somebody waits for.
pub(super) struct Awaited {
    lsn: u64,
    taken: Taken,
}

type Taken = Arc<Mutex<Option<Frozen>>>;

/// The state of one collection at a cut, not yet flushed.
pub(crate) struct Cut {
    collection: Arc<Collection>,
    lsn: u64,
    taken: Taken,
}

impl Cut {
    /// Flushes what the cut has and gives the manifest of exactly that.
    ///
    /// # Errors
    /// As a flush; `ERR_CLOSED`.
    pub fn flush(self) -> Result<Frozen> {
        let collection = &self.collection;
        collection.flush_through(self.lsn)?;
        let current = collection.manifest.lock();
        if let Some(frozen) = self.taken.lock().take() {
            return Ok(frozen);
        }
        if current.flushed_lsn != self.lsn {
            return Err(Error::new(Code::Internal, "a version lost its manifest"));
        }
        Ok(Frozen::of(&current, &collection.retained))
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        let mut cuts = self.collection.cuts.lock();
        cuts.retain(|awaited| !Arc::ptr_eq(&awaited.taken, &self.taken));
    }
}

/// Cuts all `collections`, which come in the order of their ids, at one moment. `number` is asked
/// at that moment, while nobody writes.
///
/// # Errors
/// `ERR_CLOSED`, or what the disk says of the end of a log file.
pub(crate) fn cut_all(
    collections: &[Arc<Collection>],
    number: impl FnOnce() -> u64,
) -> Result<(u64, Vec<Cut>)> {
    // What may take long, before anybody is held up.
    for collection in collections {
        collection.check_writable()?;
        collection.core.lock().writable()?.sync()?;
    }
    let cut = {
        let mut cores: Vec<MutexGuard<'_, Core>> =
            collections.iter().map(|it| it.core.lock()).collect();
        let all = collections.iter().zip(&mut cores);
        let cuts: Result<Vec<Cut>> = all.map(|(it, core)| it.cut(core)).collect();
        cuts.map(|cuts| (number(), cuts))
    };
    for collection in collections {
        collection.schedule_flush();
    }
    cut
}

impl Collection {
    /// Freezes what was written so far; the manifest of exactly that will be taken.
    fn cut(self: &Arc<Self>, core: &mut Core) -> Result<Cut> {
        core.writable()?;
        self.freeze(core)?;
        let cut = Cut {
            collection: Arc::clone(self),
            lsn: self.view.load().lsn,
            taken: Taken::default(),
        };
        self.cuts.lock().push(Awaited {
            lsn: cut.lsn,
            taken: Arc::clone(&cut.taken),
        });
        Ok(cut)
    }

    /// Takes the manifest that is about to be replaced for those who wait for its lsn. Called by
    /// the publisher, which holds the lock of manifests.
    pub(super) fn keep_for_cuts(&self, before: &Manifest) {
        for awaited in &*self.cuts.lock() {
            let mut taken = awaited.taken.lock();
            if awaited.lsn == before.flushed_lsn && taken.is_none() {
                *taken = Some(Frozen::of(before, &self.retained));
            }
        }
    }
}
