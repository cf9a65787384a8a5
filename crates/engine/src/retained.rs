//! Which files must stay although no current manifest lists them.
//!
//! Every recorded version, and every use of one (a database that is open at it, a backup that
//! copies it), holds the files that it lists. Whoever finds that the current state needs a file no
//! more says so with [`Retained::abandon`]; an abandoned file goes when the last hold on it does.
//! One process does this for a directory, the writer. What is lost with it is found at the next
//! open: a file that neither a manifest nor a recorded version lists is nobody's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_env::sync::Mutex;
use cairn_env::{Bug, EntryKind, Env, planted};

use crate::collection;
use crate::error::Result;
use crate::segment;
use crate::ulid::Ulid;

/// One immutable file of a collection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileId {
    collection: u64,
    name: String,
}

impl FileId {
    /// A segment.
    pub fn segment(collection: u64, id: Ulid) -> Self {
        Self::of(collection, &segment::segment_path(Path::new(""), id))
    }

    /// The deletions in a segment as of an lsn.
    pub fn deletions(collection: u64, id: Ulid, lsn: u64) -> Self {
        let path = segment::deletions_path(Path::new(""), id, lsn);
        Self::of(collection, &path)
    }

    /// The file of that name, if it is one of ours.
    pub fn named(collection: u64, name: &str) -> Option<Self> {
        let ours = name.ends_with(".seg") || name.ends_with(".del");
        ours.then(|| Self {
            collection,
            name: name.to_owned(),
        })
    }

    fn of(collection: u64, path: &Path) -> Self {
        let name = path.display().to_string();
        Self { collection, name }
    }

    /// Its name, without a directory.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it stands below the directory of a database, or of backups.
    pub fn path(&self) -> PathBuf {
        let kind = if self.name.ends_with(".del") {
            "del"
        } else {
            "seg"
        };
        collection_dir(self.collection).join(kind).join(&self.name)
    }
}

/// Directory of all collections.
pub(crate) const COLLECTIONS: &str = "collections";

/// Where a collection stands below the directory of a database, or of backups.
pub(crate) fn collection_dir(id: u64) -> PathBuf {
    Path::new(COLLECTIONS).join(dir_name(id))
}

/// Name of a collection's directory.
pub(crate) fn dir_name(id: u64) -> String {
    format!("{id:016x}")
}

/// Files of a directory that somebody needs.
pub(crate) struct Retained {
    env: Env,
    dir: PathBuf,
    state: Mutex<State>,
    /// Held while files are removed. Taken before `state`.
    removing: Mutex<()>,
}

#[derive(Default)]
struct State {
    holds: BTreeMap<FileId, usize>,
    /// Held, and in no current manifest.
    abandoned: BTreeSet<FileId>,
    /// Collections that no catalog lists, of which files are held.
    dropped: BTreeSet<u64>,
    /// A recorded version cannot be read: nobody knows which files it needs, so all stay.
    blind: bool,
    /// The directory may be another writer's: nothing is removed any more.
    closed: bool,
}

impl State {
    fn is_held(&self, file: &FileId) -> bool {
        self.blind || self.holds.contains_key(file)
    }

    fn has_any_of(&self, collection: u64) -> bool {
        self.blind || self.holds.keys().any(|file| file.collection == collection)
    }

    /// What may go now.
    fn needless(&mut self) -> (BTreeSet<FileId>, BTreeSet<u64>) {
        if self.blind || self.closed {
            return Default::default();
        }
        let held = |file: &FileId| self.holds.contains_key(file);
        let (kept, files) = std::mem::take(&mut self.abandoned)
            .into_iter()
            .partition(held);
        let has_any = |id: &u64| self.holds.keys().any(|file| file.collection == *id);
        let (used, gone) = std::mem::take(&mut self.dropped)
            .into_iter()
            .partition(has_any);
        (self.abandoned, self.dropped) = (kept, used);
        (files, gone)
    }
}

impl Retained {
    /// Of the database in `dir`.
    pub fn new(env: &Env, dir: &Path) -> Arc<Self> {
        Arc::new(Self {
            env: env.clone(),
            dir: dir.to_path_buf(),
            state: Mutex::default(),
            removing: Mutex::default(),
        })
    }

    /// Keeps `files` until the hold is dropped.
    pub fn hold(retained: &Arc<Self>, files: BTreeSet<FileId>) -> Hold {
        let mut state = retained.state.lock();
        for file in &files {
            *state.holds.entry(file.clone()).or_default() += 1;
        }
        Hold {
            retained: Arc::clone(retained),
            files,
        }
    }

    /// The current state needs `file` no more. Whether it may be removed now; if not, it goes
    /// with the last hold on it, or at the next open.
    pub fn abandon(&self, file: FileId) -> bool {
        if planted(Bug::GarbageIgnoresVersions) {
            return true;
        }
        let mut state = self.state.lock();
        if state.closed {
            // The holds of recorded versions went with the database, the versions did not.
            return false;
        }
        let held = state.is_held(&file);
        if held {
            state.abandoned.insert(file);
        }
        !held
    }

    /// Removes what is there of a collection that no catalog lists, but for files that are held.
    ///
    /// # Errors
    /// What the disk says; what was removed until then stays removed.
    pub fn remove_collection(&self, id: u64) -> Result<()> {
        let _alone = self.removing.lock();
        let root = self.dir.join(collection_dir(id));
        {
            let mut state = self.state.lock();
            if state.blind {
                state.dropped.insert(id);
                return Ok(());
            }
            if state.has_any_of(id) && !planted(Bug::GarbageIgnoresVersions) {
                let ours = |file: &&FileId| file.collection == id;
                let held: Vec<_> = state.holds.keys().filter(ours).cloned().collect();
                state.abandoned.extend(held);
                state.dropped.insert(id);
            } else {
                drop(state);
                return collection::remove_tree(&self.env, &root);
            }
        }
        let disk = &*self.env.disk;
        for entry in collection::list(disk, &root)? {
            let path = root.join(&entry.name);
            let holds_files = entry.name == "seg" || entry.name == "del";
            match entry.kind {
                EntryKind::Dir if holds_files => self.remove_unheld(id, &path)?,
                EntryKind::Dir => collection::remove_tree(&self.env, &path)?,
                EntryKind::File | EntryKind::Other => collection::remove_file(disk, &path)?,
            }
        }
        Ok(())
    }

    fn remove_unheld(&self, id: u64, dir: &Path) -> Result<()> {
        let disk = &*self.env.disk;
        for entry in collection::list(disk, dir)? {
            let held =
                FileId::named(id, &entry.name).is_some_and(|file| self.state.lock().is_held(&file));
            if !held {
                collection::remove_file(disk, &dir.join(&entry.name))?;
            }
        }
        Ok(())
    }

    /// Says whether there is a version of which nobody knows which files it needs.
    pub fn set_blind(&self, blind: bool) {
        self.state.lock().blind = blind;
        self.remove_needless();
    }

    /// Ends all removing: the directory is about to be free for others.
    pub fn close(&self) {
        let _nobody_removes = self.removing.lock();
        self.state.lock().closed = true;
    }

    /// Best effort: what stays is an orphan that the next open removes.
    fn remove_needless(&self) {
        let _alone = self.removing.lock();
        let (files, collections) = self.state.lock().needless();
        for file in files {
            let _ = self.env.disk.remove_file(&self.dir.join(file.path()));
        }
        for id in collections {
            let _ = collection::remove_tree(&self.env, &self.dir.join(collection_dir(id)));
        }
    }
}

/// Files that stay as long as this is there.
pub(crate) struct Hold {
    retained: Arc<Retained>,
    files: BTreeSet<FileId>,
}

impl Hold {
    /// Keeps the files for good: whether something needs them will be known at the next open.
    pub fn forget(mut self) {
        self.files.clear();
    }

    /// One hold for two.
    pub fn join(&mut self, mut other: Self) {
        debug_assert!(
            other.files.is_disjoint(&self.files),
            "collections have no file in common"
        );
        self.files.append(&mut other.files);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut last = false;
        {
            let mut state = self.retained.state.lock();
            for file in &self.files {
                if planted(Bug::DropTakesShared) {
                    state.holds.remove(file);
                    state.abandoned.insert(file.clone());
                    last = true;
                } else if let Some(holds) = state.holds.get_mut(file) {
                    *holds -= 1;
                    if *holds == 0 {
                        state.holds.remove(file);
                        last = true;
                    }
                }
            }
        }
        if last {
            self.retained.remove_needless();
        }
    }
}
