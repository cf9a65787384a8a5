//! Following another process that writes: its newest manifest, then what its log holds beyond.
//!
//! A look goes on in the log while the manifest stays the same, and adds to the memtable. When
//! there is a new manifest, the state is made anew from it: segments that are open stay open, with
//! the deletions of the new manifest in a copy, so that a state that is still read does not change;
//! and the log is replayed from where the new manifest ends. Nothing is shown before it is whole.
//!
//! The writer removes what its newest manifest does not need. So an error of any kind counts only if
//! the manifest is still the newest, and a log file that is gone never at once; else the look
//! begins again. Files that are open stay readable.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cairn_storage::{Followed, StorageError, WalFollower, read_current};

use crate::error::{Error, Result};
use crate::manifest::{self, Manifest, SegmentEntry};
use crate::segment::{self, Segment};
use crate::view::View;

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
    pub(crate) fn refresh(&self) -> Result<u64> {
        self.check_open()?;
        if let Some(following) = &mut *self.following.lock() {
            let outcome = self.catch_up(following);
            let error = outcome.as_ref().err();
            *self.background_error.lock() = error.map(|error| self.background_error_now(error));
            outcome?;
        }
        Ok(self.version())
    }

    /// The newest version that can be read.
    pub(crate) fn version(&self) -> u64 {
        self.view.load().lsn
    }

    fn catch_up(&self, following: &mut Following) -> Result<()> {
        let root = &self.dirs.root;
        let mut opened = self.view.load().segments.to_vec();
        let mut outcome = Ok(());
        for _ in 0..TRIES {
            let current = read_current(&self.env, root)?;
            outcome = match self.look(following, current, &mut opened) {
                Ok(true) => return Ok(()),
                // The log of a manifest may be released long after it was published.
                Ok(false) => Err(self.damaged(&following.wal_dir, "log files are missing")),
                Err(error) if read_current(&self.env, root)? == current => return Err(error),
                overtaken => overtaken.map(drop),
            };
        }
        outcome
    }

    /// One look at what the manifest `current` and the log say; false when it has to begin again.
    fn look(
        &self,
        following: &mut Following,
        current: Option<u64>,
        opened: &mut Vec<Arc<Segment>>,
    ) -> Result<bool> {
        let Following { wal_dir, follower } = following;
        let known = follower.take();
        let known = known.filter(|_| Some(self.manifest.lock().version) == current);
        let (next, mut view, mut ahead) = match known {
            Some(follower) => (None, View::clone(&self.view.load()), follower),
            None => {
                let (next, view) = self.flushed(opened)?;
                let from = next.flushed_lsn;
                let follower = WalFollower::new(&self.env, wal_dir, self.id, from);
                (Some(next), view, follower)
            }
        };
        let memtable_bytes = self.options.memtable_bytes_effective();
        let answer = ahead.advance(&mut |frame| {
            apply_frame(&mut view, frame, &self.schema, wal_dir, memtable_bytes).map(drop)
        })?;
        let lost = match answer {
            Followed::All => false,
            // Unless all of it was released meanwhile.
            Followed::NoLog => read_current(&self.env, &self.dirs.root)? != current,
            Followed::Lost => true,
        };
        if !lost {
            self.show(view, next)?;
            *follower = Some(ahead);
        }
        Ok(!lost)
    }

    /// The newest manifest, and what it alone says. Segments among `opened` are not opened again;
    /// those that are opened join them.
    fn flushed(&self, opened: &mut Vec<Arc<Segment>>) -> Result<(Manifest, View)> {
        let root = &self.dirs.root;
        let manifest =
            manifest::read(&self.env, root, self.id)?.ok_or_else(|| StorageError::Missing {
                file: root.join("CURRENT"),
            })?;
        let open = |entry: &SegmentEntry| self.take_or_open(entry, opened).map(Arc::new);
        let segments = manifest.segments.iter().map(open).collect::<Result<_>>()?;
        let view = flushed_view(&self.schema, manifest.flushed_lsn, segments);
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
        let body = segment::open(&self.env, segments, deletions, &self.schema, whole)?;
        let segment = body.with_deletions_of(deletions, entry)?;
        opened.push(Arc::new(body));
        segment.ok_or_else(|| self.damaged(segments, "a segment is another than listed"))
    }

    /// Shows `view`, of the manifest `next` if that is a new one.
    fn show(&self, view: View, next: Option<Manifest>) -> Result<()> {
        let before = self.view.load_full();
        if next.is_none() && view.lsn == before.lsn {
            return Ok(());
        }
        if view.lsn < before.lsn {
            return Err(self.damaged(&self.dirs.root, "an older state than was seen before"));
        }
        self.versions.fetch_max(view.lsn, Ordering::Relaxed);
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

    fn damaged(&self, file: &Path, what: &str) -> Error {
        let error = StorageError::Corrupt {
            file: file.to_path_buf(),
            offset: 0,
            section: None,
            what: what.to_owned(),
        };
        error.into()
    }
}
