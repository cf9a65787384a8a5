//! Following another process that writes: what its log says, and now and then its newest manifest.
//!
//! A look goes on in the log and adds to memtables. A new manifest brings nothing that the log does
//! not, unless memory was flushed that no log ever had: so nobody waits for its segments. They are
//! opened in the background, and take the place of the memtables that they were made of; a memtable
//! ends where a file of the log does, as the writer's do. Segments that are open stay open, with the
//! deletions of the new manifest in a copy, so that a state that is still read does not change.
//!
//! Where the log was released before it was read, where it is not all, and at the first look, the
//! state is made anew: from the newest manifest, and from what the log has beyond it. Nothing is shown
//! before it is whole.
//!
//! The writer removes what its newest manifest does not need. So an error of any kind counts only if
//! the manifest is still the newest, and a log file that is gone never at once; else the look
//! begins again. Files that are open stay readable.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cairn_env::{Bug, Lane, planted};
use cairn_storage::{Followed, StorageError, WalFollower, read_current};

use crate::error::Result;
use crate::expiry::Moment;
use crate::keys::Key;
use crate::manifest::{self, Manifest, SegmentEntry};
use crate::schema::Schema;
use crate::segment::{self, Segment};
use crate::verify::damaged;
use crate::view::{MemtableView, View};

use super::recovery::{apply_frame, flushed_view};
use super::{Collection, Opening, open_frozen};

/// Manifests that may replace each other during one look. A writer that publishes ten a second
/// outruns one that opens each of their segments in less than a hundred; the segments that were
/// opened are kept for the next try, so each is faster than the one before.
const TRIES: usize = 100;

/// What is remembered between two looks.
pub(super) struct Following {
    wal_dir: PathBuf,
    /// `None`: the state is made anew by the next look.
    follower: Option<WalFollower>,
    /// The file of the log that the last frame stood in.
    file: u64,
    /// Somebody opens what a newer manifest lists.
    adopting: bool,
}

/// What a look came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// All is shown, and the manifest is the newest.
    Done,
    /// All is shown. A newer manifest can be adopted.
    Ahead,
    /// It has to begin again.
    Again,
}

/// Opens a collection beside its writer.
///
/// # Errors
/// `ERR_CORRUPT` or `ERR_UNSUPPORTED_FORMAT` naming the file; what the disk says.
pub(crate) fn open_following(opening: Opening<'_>) -> Result<Arc<Collection>> {
    let collection = open_frozen(opening, Manifest::default())?;
    *collection.following.lock() = Some(Following {
        wal_dir: opening.wal_dir.to_path_buf(),
        follower: None,
        file: 0,
        adopting: false,
    });
    collection.refresh()?;
    Ok(collection)
}

impl Collection {
    /// Shows what another process has made durable in this collection; returns the version seen.
    /// Snapshots that are held stay as they are.
    ///
    /// # Errors
    /// `ERR_CLOSED`; `ERR_CORRUPT` or `ERR_UNSUPPORTED_FORMAT` naming the file; what the disk says.
    /// What was shown before stays, and the next call tries again.
    pub(crate) fn refresh(self: &Arc<Self>) -> Result<u64> {
        self.check_open()?;
        let mut adopts = false;
        if let Some(following) = &mut *self.following.lock() {
            let outcome = self.catch_up(following);
            let error = outcome.as_ref().err();
            *self.background_error.lock() = error.map(|error| self.background_error_now(error));
            adopts = outcome? && !std::mem::replace(&mut following.adopting, true);
        }
        if adopts {
            self.spawn(Lane::Job, Self::adopt_newest);
        }
        self.schedule_indexes();
        Ok(self.version())
    }

    /// The newest version that can be read.
    pub(crate) fn version(&self) -> u64 {
        self.view.load().lsn
    }

    /// Looks until all is shown; whether a newer manifest can be adopted then.
    fn catch_up(&self, following: &mut Following) -> Result<bool> {
        let root = &self.dirs.root;
        let mut opened = self.view.load().segments.to_vec();
        let mut outcome = Ok(());
        for _ in 0..TRIES {
            let current = read_current(&self.env, root)?;
            outcome = match self.look(following, current, &mut opened) {
                Ok(Look::Done) => return Ok(false),
                Ok(Look::Ahead) => return Ok(true),
                // The log of a manifest may be released long after it was published.
                Ok(Look::Again) => Err(damaged(following.wal_dir.clone(), "log files are missing")),
                Err(error) if read_current(&self.env, root)? == current => return Err(error),
                Err(overtaken) => Err(overtaken),
            };
        }
        outcome.map(|()| false)
    }

    /// One look at what the manifest `current` and the log say.
    fn look(
        &self,
        following: &mut Following,
        current: Option<u64>,
        opened: &mut Vec<Arc<Segment>>,
    ) -> Result<Look> {
        if let Some(mut follower) = following.follower.take() {
            let is_newest = Some(self.manifest.lock().version) == current;
            let mut view = View::clone(&self.view.load());
            let mut go_on = || -> Result<Followed> {
                if !is_newest && !self.has_all_in_log()? {
                    return Ok(Followed::Lost);
                }
                self.advance(&mut follower, following, &mut view)
            };
            match go_on() {
                Ok(Followed::All) => {
                    self.show(view, None)?;
                    following.follower = Some(follower);
                    return Ok(if is_newest { Look::Done } else { Look::Ahead });
                }
                Err(error) if is_newest => return Err(error),
                Ok(Followed::NoLog | Followed::Lost) if is_newest => return Ok(Look::Again),
                // What was read may have been released.
                _ => {}
            }
        }
        let (next, mut view) = self.flushed(opened)?;
        let mut follower =
            WalFollower::new(&self.env, &following.wal_dir, self.id, next.flushed_lsn);
        let answer = self.advance(&mut follower, following, &mut view)?;
        let lost = match answer {
            Followed::All => false,
            // Unless all of it was released meanwhile.
            Followed::NoLog => read_current(&self.env, &self.dirs.root)? != current,
            Followed::Lost => true,
        };
        if lost {
            return Ok(Look::Again);
        }
        self.show(view, Some(next))?;
        following.follower = Some(follower);
        Ok(Look::Done)
    }

    /// Whether the newest manifest has nothing that the log did not have, since the one that is known.
    fn has_all_in_log(&self) -> Result<bool> {
        let newest = self.newest_manifest()?;
        Ok(newest.unlogged_lsn == self.manifest.lock().unlogged_lsn)
    }

    /// Adds to `view` what the log has beyond it.
    fn advance(
        &self,
        follower: &mut WalFollower,
        following: &mut Following,
        view: &mut View,
    ) -> Result<Followed> {
        let Following { wal_dir, file, .. } = following;
        let memtable_bytes = self.options.memtable_bytes_effective();
        let followed = follower.advance(&mut |frame| {
            if std::mem::replace(file, frame.file) != frame.file {
                freeze(view, self.stored());
            }
            apply_frame(view, frame, self.stored(), wal_dir, memtable_bytes).map(drop)
        });
        Ok(followed?)
    }

    /// Opens what the newest manifest lists and puts it in the place of the memtables it was made of.
    fn adopt_newest(self: &Arc<Self>) {
        let mut adopting = Adopting {
            collection: self,
            failed: true,
        };
        adopting.failed = self.adopt().is_err();
    }

    fn adopt(&self) -> Result<()> {
        let mut opened = self.view.load().segments.to_vec();
        // This takes long, and looks go on meanwhile.
        let (next, flushed) = self.flushed(&mut opened)?;
        // Let go of when looks can go on again: that takes a while, too.
        let early = self.view.load_full();
        transfer_deletions(&early, &flushed, flushed.lsn);
        let mut following = self.following.lock();
        let Some(following) = &mut *following else {
            return Ok(());
        };
        self.check_open()?;
        if following.follower.is_none() || self.manifest.lock().version >= next.version {
            return Ok(());
        }
        let is_logged = next.unlogged_lsn == self.manifest.lock().unlogged_lsn;
        let over = || over(&self.view.load(), flushed, early.lsn, self.stored());
        match is_logged.then(over).flatten() {
            Some(view) => self.show(view, Some(next)),
            None => {
                following.follower = None;
                Ok(())
            }
        }
    }

    fn newest_manifest(&self) -> Result<Manifest> {
        let root = &self.dirs.root;
        let newest = manifest::read(&self.env, root, self.id)?;
        Ok(newest.ok_or_else(|| StorageError::Missing {
            file: root.join("CURRENT"),
        })?)
    }

    /// The newest manifest, and what it alone says. Segments among `opened` are not opened again;
    /// those that are opened join them.
    fn flushed(&self, opened: &mut Vec<Arc<Segment>>) -> Result<(Manifest, View)> {
        let manifest = self.newest_manifest()?;
        let open = |entry: &SegmentEntry| self.take_or_open(entry, opened).map(Arc::new);
        let segments = manifest.segments.iter().map(open).collect::<Result<_>>()?;
        let view = flushed_view(self.structures.newest(), &manifest, segments);
        Ok((manifest, view))
    }

    fn take_or_open(
        &self,
        entry: &SegmentEntry,
        opened: &mut Vec<Arc<Segment>>,
    ) -> Result<Segment> {
        let (segments, deletions) = (&self.dirs.segments, &self.dirs.deletions);
        if let Some(open) = opened.iter().find(|segment| segment.id == entry.id)
            && let Some(same) = open.with_deletions_of(deletions, entry)?
        {
            return Ok(same);
        }
        let whole = SegmentEntry {
            deletions: None,
            ..entry.clone()
        };
        let (env, structure) = (&self.env, self.structures.newest());
        let (blocks, mapped) = (&self.blocks, self.options.memory_map);
        let body = segment::open(env, segments, deletions, structure, whole, blocks, mapped)?;
        let segment = body.with_deletions_of(deletions, entry)?;
        opened.push(Arc::new(body));
        segment.ok_or_else(|| damaged(segments.to_path_buf(), "a segment is another than listed"))
    }

    /// Shows `view`, of the manifest `next` if that is a new one.
    fn show(&self, view: View, next: Option<Manifest>) -> Result<()> {
        let before = self.view.load_full();
        if next.is_none() && view.lsn == before.lsn {
            return Ok(());
        }
        if view.lsn < before.lsn {
            return Err(damaged(
                self.dirs.root.clone(),
                "an older state than was seen before",
            ));
        }
        self.versions.fetch_max(view.lsn, Ordering::Relaxed);
        for segment in view.segments.iter() {
            segment.keep_indexes(&view.structure);
        }
        let view = Arc::new(view);
        self.view.store(Arc::clone(&view));
        if let Some(next) = next {
            self.flushed_lsn.store(next.flushed_lsn, Ordering::Release);
            *self.manifest.lock() = next;
            let is_kept = |gone: &Segment| view.segments.iter().any(|kept| kept.id == gone.id);
            let gone = before.segments.iter().filter(|segment| !is_kept(segment));
            gone.for_each(|segment| segment.retire());
        }
        Ok(())
    }
}

/// The end of an adoption, also of one that panics.
struct Adopting<'a> {
    collection: &'a Collection,
    failed: bool,
}

impl Drop for Adopting<'_> {
    fn drop(&mut self) {
        if let Some(following) = &mut *self.collection.following.lock() {
            following.adopting = false;
            if self.failed {
                // The next look opens it again, and says what is wrong if it is still the newest.
                following.follower = None;
            }
        }
    }
}

/// Lets no more rows into the active memtable.
fn freeze(view: &mut View, schema: &Schema) {
    let active = view.memtables.last_mut().expect("there is an active one");
    if active.rows > 0 {
        active.frozen_at = Some(view.lsn);
        view.memtables.push(MemtableView::active(schema));
    }
}

/// The state of `shown` with the segments of `flushed` in the place of its own, and of the memtables
/// they were made of. `None` where a memtable has rows of both sides. Deletions up to `transferred` are
/// in those segments.
fn over(shown: &View, flushed: View, transferred: u64, schema: &Schema) -> Option<View> {
    let (kept, gone) = split(shown, flushed.lsn);
    let is_whole = |table: &&MemtableView| version_of(table, table.rows - 1) <= flushed.lsn;
    if shown.lsn < flushed.lsn || !gone.iter().all(is_whole) {
        return None;
    }
    transfer_deletions(shown, &flushed, transferred.max(flushed.lsn));
    let mut memtables: Vec<MemtableView> = kept.into_iter().cloned().collect();
    if memtables.last().is_none_or(|last| last.frozen_at.is_some()) {
        memtables.push(MemtableView::active(schema));
    }
    Some(View {
        lsn: shown.lsn,
        count: shown.count,
        memtables,
        segments: flushed.segments,
        stretch: flushed.stretch,
        structure: Arc::clone(&shown.structure),
    })
}

/// Marks as deleted in the segments of `flushed` what `shown` has deleted after version `lsn`.
fn transfer_deletions(shown: &View, flushed: &View, lsn: u64) {
    if planted(Bug::ReaderForgetsDeletion) {
        return;
    }
    let mut deletions: Vec<Vec<(u32, u64)>> = vec![Vec::new(); flushed.segments.len()];
    // A key stands in one of them at most; the newest come last.
    let at = Moment::stored(flushed.lsn);
    let find = |key: Key<'_>| {
        let mut segments = flushed.segments.iter().enumerate().rev();
        segments.find_map(|(place, segment)| Some((place, segment.find(key, at)?)))
    };
    for segment in shown.segments.iter() {
        let later = segment.tombstones.after(lsn);
        let same = flushed.segments.iter().position(|it| it.id == segment.id);
        for (row, deleted) in later {
            let found = match same {
                Some(place) => Some((place, row)),
                None => find(segment.key(row)),
            };
            if let Some((place, row)) = found {
                deletions[place].push((row, deleted));
            }
        }
    }
    for MemtableView { table, rows, .. } in split(shown, flushed.lsn).1 {
        for row in (0..*rows).map(row_number) {
            if let Some(deleted) = table.deleted_by(row).filter(|&deleted| deleted > lsn)
                && let Some((place, row)) = table.with_key(row, find)
            {
                deletions[place].push((row, deleted));
            }
        }
    }
    for (segment, deletions) in flushed.segments.iter().zip(deletions) {
        segment.tombstones.delete_all(deletions);
    }
}

/// Memtables that begin behind version `lsn`, and the others.
fn split(view: &View, lsn: u64) -> (Vec<&MemtableView>, Vec<&MemtableView>) {
    let begins_behind = |table: &&MemtableView| table.rows == 0 || version_of(table, 0) > lsn;
    view.memtables.iter().partition(begins_behind)
}

fn version_of(table: &MemtableView, row: usize) -> u64 {
    table.table.version(row_number(row))
}

fn row_number(row: usize) -> u32 {
    u32::try_from(row).expect("a memtable has fewer than 2^32 rows")
}
