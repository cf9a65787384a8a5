//! The commit point of flush and compaction: one manifest replaces another, then one view another.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cairn_env::{Bug, KillPoint, planted};
use cairn_storage::StorageError;

use crate::error::{Code, Error, Result, closed};
use crate::idempotency;
use crate::manifest::{self, Manifest, SegmentEntry};
use crate::memtable::Memtable;
use crate::retained::FileId;
use crate::segment::{self, Segment};
use crate::ulid::Ulid;
use crate::view::View;

use super::dirs::{make_dir, sync_dir};
use super::{Collection, Core};

/// Marks rows of a new segment as deleted whose origins were deleted since it was built. Called
/// more than once; a deletion that is there already changes nothing.
pub(super) type Transfer = Box<dyn Fn(&Segment) + Send>;

/// What a publication changes.
#[derive(Default)]
pub(super) struct Edit {
    /// A segment on disk that no manifest lists yet.
    pub added: Option<(SegmentEntry, Transfer)>,
    /// Segments it replaces.
    pub removed: Vec<Ulid>,
    /// The memtable it replaces, and the version through which everything is now in segments.
    pub flushed: Option<(Arc<Memtable>, u64)>,
    /// The factor of the candidate lists of a vector field, by its position.
    pub stretch: Option<(usize, f32)>,
}

/// Files that a publication made needless.
struct Stale {
    /// Recorded versions may list them.
    deletions: Vec<FileId>,
    /// No version lists outcomes.
    outcomes: Option<PathBuf>,
}

impl Collection {
    /// Publishes `edit` durably, then shows it to readers.
    ///
    /// Deletions up to the flushed version go into deletion files that the manifest lists; later
    /// ones are in the log, and replay finds their rows by key, in the new segment as in the old.
    pub(super) fn publish_edit(self: &Arc<Self>, edit: Edit) -> Result<()> {
        // Reading a large segment takes long, and nobody need wait for it.
        let added = match edit.added {
            Some((entry, transfer)) => Some((self.open_built(entry)?, transfer)),
            None => None,
        };
        let new = added.as_ref().map(|(segment, _)| segment);
        let mut current = self.manifest.lock();
        // Once closed, the directory may be another writer's.
        if let Err(error) = self.core.lock().writable() {
            // No manifest lists it, and none will.
            new.inspect(|segment| segment.doom(&self.retained));
            return Err(error);
        }
        let mut next = current.clone();
        next.version += 1;
        next.segments.retain(|s| !edit.removed.contains(&s.id));
        if let Some((table, lsn)) = &edit.flushed {
            next.flushed_lsn = *lsn;
            if table.is_unlogged() {
                next.unlogged_lsn = *lsn;
            }
        }
        if let Some((field, factor)) = edit.stretch {
            next.stretch.resize(self.stored().vectors.len(), 1.0);
            next.stretch[field] = factor;
        }
        if let Some((segment, transfer)) = &added {
            next.segments.push(segment.entry.clone());
            let _no_writes = self.core.lock();
            transfer(segment);
        }
        if planted(Bug::RemoveWalEarly) {
            self.release_log(&self.core.lock(), next.flushed_lsn)?;
        }
        let segments = self.next_segments(&edit.removed, new);
        let mut stale = self.publish_files(&mut next, &segments).inspect_err(|_| {
            if let Some(segment) = new.filter(|_| !self.core.lock().poisoned) {
                // The next try writes another.
                segment.doom(&self.retained);
            }
        })?;
        self.keep_for_cuts(&current);
        let before = std::mem::replace(&mut *current, next);
        self.flushed_lsn
            .store(current.flushed_lsn, Ordering::Release);
        for segment in &segments {
            segment.tombstones.mark_persisted(current.flushed_lsn);
        }
        {
            let core = self.core.lock();
            if let Some((segment, transfer)) = &added {
                if !planted(Bug::ForgetsLateDeletion) {
                    transfer(segment);
                }
                // The structure may be another than when it was written.
                segment.keep_indexes(&self.view.load().structure);
            }
            let flushed = edit.flushed.as_ref().map(|(table, _)| table);
            self.swap_segments(&segments, &current.stretch, flushed);
            let _ = self.env.faults.hit(KillPoint::K22Swapped);
            if let Err(error) = self.release_log(&core, current.flushed_lsn) {
                // The edit stands all the same; the next one tries again.
                self.note_background_error(&error);
            }
        }
        let removed = before.segments.iter();
        let removed = removed.filter(|entry| !current.segments.iter().any(|s| s.id == entry.id));
        let file = |entry: &SegmentEntry| {
            let deletions = entry.deletions?;
            Some(FileId::deletions(self.id, entry.id, deletions.lsn))
        };
        stale.deletions.extend(removed.filter_map(file));
        self.clean_up(&before, stale);
        Ok(())
    }

    /// Keeps the factor of the candidate lists of a vector field, by its position.
    pub(crate) fn keep_stretch(self: &Arc<Self>, field: usize, factor: f32) -> Result<()> {
        self.publish_edit(Edit {
            stretch: Some((field, factor)),
            ..Edit::default()
        })
    }

    /// Opens a segment that was just built; one that cannot be opened is not kept.
    fn open_built(&self, entry: SegmentEntry) -> Result<Arc<Segment>> {
        let path = segment::segment_path(&self.dirs.segments, entry.id);
        let opened = self.open_segment(entry).inspect_err(|_| {
            // Best effort: an orphan is removed at the next open.
            let _ = self.env.disk.remove_file(&path);
        });
        opened.map(Arc::new)
    }

    /// Writes the deletion files and the outcomes that `next` needs, then `next` itself. Returns
    /// what it no longer needs.
    fn publish_files(&self, next: &mut Manifest, segments: &[Arc<Segment>]) -> Result<Stale> {
        let stale = Stale {
            deletions: self.write_deletion_files(next, segments)?,
            outcomes: self.write_outcomes(next)?,
        };
        manifest::publish(&self.env, &self.dirs.root, next)
            .map_err(|error| self.publication_failed(next, error))?;
        Ok(stale)
    }

    pub(super) fn open_segment(&self, entry: SegmentEntry) -> Result<Segment> {
        let (segments, deletions) = (&self.dirs.segments, &self.dirs.deletions);
        let (env, structure) = (&self.env, self.structures.newest());
        let mapped = self.options.memory_map;
        segment::open(
            env,
            segments,
            deletions,
            structure,
            entry,
            &self.blocks,
            mapped,
        )
    }

    fn next_segments(&self, removed: &[Ulid], added: Option<&Arc<Segment>>) -> Vec<Arc<Segment>> {
        let view = self.view.load();
        let kept = view.segments.iter().filter(|s| !removed.contains(&s.id));
        kept.chain(added).cloned().collect()
    }

    /// Writes a deletion file for each segment with deletions that the log will no longer hold,
    /// and returns the files they replace.
    fn write_deletion_files(
        &self,
        next: &mut Manifest,
        segments: &[Arc<Segment>],
    ) -> Result<Vec<FileId>> {
        let lsn = next.flushed_lsn;
        let dir = &self.dirs.deletions;
        let mut stale = Vec::new();
        let mut written = false;
        for (entry, segment) in next.segments.iter_mut().zip(segments) {
            if !segment.tombstones.is_dirty(lsn) {
                continue;
            }
            let deletions = segment::write_deletions(&self.env, dir, self.id, segment, lsn)?;
            if let Some(old) = entry.deletions.replace(deletions) {
                stale.push(FileId::deletions(self.id, entry.id, old.lsn));
            }
            written = true;
        }
        if written {
            cairn_storage::sync_segment_dir(&self.env, dir)?;
        }
        Ok(stale)
    }

    /// Writes what keyed writes did that the log will no longer hold, if that has changed, and
    /// returns the path of the file it replaces.
    ///
    /// A file of its own and not a part of the manifest: 100,000 outcomes are megabytes, and most
    /// publications change none.
    fn write_outcomes(&self, next: &mut Manifest) -> Result<Option<PathBuf>> {
        let dir = &self.dirs.outcomes;
        let listed = next.outcomes.map(|entry| entry.lsn);
        let outcomes = {
            let ledger = &mut self.core.lock().ledger;
            let newest = ledger.newest(&*self.env.clock, next.flushed_lsn);
            if newest == listed || planted(Bug::ForgetsIdempotencyKey) {
                return Ok(None);
            }
            ledger.up_to(next.flushed_lsn)
        };
        next.outcomes = if outcomes.is_empty() {
            None
        } else {
            let disk = &*self.env.disk;
            let there = disk.entry(dir).map_err(StorageError::io("entry", dir))?;
            if there.is_none() {
                make_dir(disk, dir)?;
                sync_dir(disk, &self.dirs.root)?;
            }
            Some(idempotency::write(&self.env, dir, self.id, &outcomes)?)
        };
        Ok(listed.map(|lsn| idempotency::path(dir, lsn)))
    }

    /// A manifest that found no room changes nothing, once what is there of it is gone. Any other
    /// failure leaves open which of the two a restart will find, so nothing more may be written
    /// before one.
    fn publication_failed(&self, next: &Manifest, error: Error) -> Error {
        let (root, version) = (&self.dirs.root, next.version);
        let (dir, extension) = (manifest::DIR, manifest::EXTENSION);
        let undone = error.code() == Code::NoSpace
            && manifest::withdraw(&self.env, root, dir, extension, version);
        if !undone {
            self.core.lock().poisoned = true;
        }
        error
    }

    fn swap_segments(
        &self,
        segments: &[Arc<Segment>],
        stretch: &[f32],
        flushed: Option<&Arc<Memtable>>,
    ) {
        let view = self.view.load();
        let is_flushed = |table: &Arc<Memtable>| flushed.is_some_and(|f| Arc::ptr_eq(f, table));
        let memtables = view.memtables.iter().filter(|m| !is_flushed(&m.table));
        self.view.store(Arc::new(View {
            lsn: view.lsn,
            count: view.count,
            memtables: memtables.cloned().collect(),
            segments: segments.into(),
            stretch: stretch.into(),
            structure: Arc::clone(&view.structure),
        }));
        self.note_unflushed();
        let is_kept = |id: Ulid| segments.iter().any(|s| s.id == id);
        for segment in view.segments.iter().filter(|s| !is_kept(s.id)) {
            segment.doom(&self.retained);
            if planted(Bug::RemovesPinnedSegment) {
                let path = segment::segment_path(&self.dirs.segments, segment.id);
                let _ = self.env.disk.remove_file(&path);
            }
        }
    }

    fn release_log(&self, core: &Core, through: u64) -> Result<()> {
        core.wal.as_ref().ok_or_else(closed)?.release(through)?;
        Ok(())
    }

    /// Removes what the new manifest no longer needs. What fails here is an orphan that the next
    /// open removes.
    fn clean_up(&self, before: &Manifest, stale: Stale) {
        for file in stale.deletions {
            let path = self.dirs.deletions.join(file.name());
            if self.retained.abandon(file) {
                let _ = self.env.disk.remove_file(&path);
            }
        }
        if let Some(path) = stale.outcomes {
            let _ = self.env.disk.remove_file(&path);
        }
        let (root, version) = (&self.dirs.root, before.version);
        let (dir, extension) = (manifest::DIR, manifest::EXTENSION);
        let _ = cairn_storage::remove_version(&self.env, root, dir, extension, version);
        let _ = self.env.faults.hit(KillPoint::K26CleanupSynced);
    }
}
