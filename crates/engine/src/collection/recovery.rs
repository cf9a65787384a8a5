//! Opening a collection: the manifest's segments, then what the log holds beyond them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use cairn_env::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use cairn_env::sync::{ArcSwap, Condvar, Mutex, RwLock};
use cairn_env::{Bug, EntryKind, Env, planted};
use cairn_storage::{Frame, StorageError, SyncTimes, Wal, WalOptions};

use crate::block_cache::BlockCache;
use crate::error::Result;
use crate::expiry::Latest;
use crate::frame::is_known_kind;
use crate::idempotency::{self, Ledger, Outcome};
use crate::manifest::{self, Manifest, SegmentEntry};
use crate::options::Options;
use crate::retained::{FileId, Retained};
use crate::schema::Schema;
use crate::segment::{self, Segment};
use crate::space::{Share, Unflushed};
use crate::structure::{Structure, Structures};
use crate::view::{MemtableView, View};

use super::commit::{self, Queue};
use super::dirs::{expect_dir, list, make_dir, remove_file, sync_dir};
use super::{Backlog, Collection, Core, Dirs};

/// What a collection is opened with.
#[derive(Clone, Copy)]
pub(crate) struct Opening<'a> {
    pub env: &'a Env,
    pub id: u64,
    pub name: &'a str,
    pub structure: &'a Arc<Structure>,
    pub root: &'a Path,
    pub wal_dir: &'a Path,
    pub options: &'a Options,
    pub versions: &'a Arc<AtomicU64>,
    pub latest: &'a Arc<Latest>,
    pub unflushed: &'a Unflushed,
    pub retained: &'a Arc<Retained>,
    pub blocks: &'a Arc<BlockCache>,
    pub sync_times: &'a Arc<SyncTimes>,
}

/// Creates the directories of a new collection and its first manifest, durably.
///
/// # Errors
/// What the disk says.
pub(crate) fn create(env: &Env, root: &Path, wal_dir: &Path, first: &Manifest) -> Result<()> {
    let disk = &*env.disk;
    make_dir(disk, root)?;
    make_dir(disk, wal_dir)?;
    for dir in ["seg", "del", manifest::DIR] {
        make_dir(disk, &root.join(dir))?;
    }
    sync_dir(disk, root)?;
    for parent in [root.parent(), wal_dir.parent()].into_iter().flatten() {
        sync_dir(disk, parent)?;
    }
    manifest::publish(env, root, first)
}

/// Opens a collection that [`create`] made, and replays its log.
///
/// # Errors
/// `ERR_CORRUPT` or `ERR_UNSUPPORTED_FORMAT` naming the file; what the disk says.
pub(crate) fn open(opening: Opening<'_>) -> Result<Arc<Collection>> {
    let Opening { env, id, root, .. } = opening;
    expect_dir(&*env.disk, root)?;
    let manifest = manifest::read(env, root, id)?.ok_or_else(|| StorageError::Missing {
        file: root.join("CURRENT"),
    })?;
    // The process before may have been killed between renaming CURRENT and syncing the directory.
    // What the manifest before lists must stay until this one is sure to be found again.
    sync_dir(&*env.disk, root)?;
    let dirs = Dirs::new(root);
    let (kind, extension) = (manifest::DIR, manifest::EXTENSION);
    manifest::remove_others(env, root, kind, extension, manifest.version)?;
    remove_orphans(opening, &dirs, &manifest)?;
    let segments = open_segments(opening, &manifest)?;
    let mut outcomes = match &manifest.outcomes {
        Some(entry) => idempotency::read(env, &dirs.outcomes, entry)?,
        None => Vec::new(),
    };
    let (view, wal) = replay_log(opening, &manifest, segments, &mut outcomes)?;
    let collection = assemble(opening, manifest, view, Some((wal, outcomes)));
    collection.schedule_flush();
    collection.schedule_compaction();
    Ok(collection)
}

/// Opens the state of a collection that `manifest` describes, for reading only: no log is looked
/// at and nothing is written.
///
/// # Errors
/// `ERR_CORRUPT` or `ERR_UNSUPPORTED_FORMAT` naming the file; what the disk says.
pub(crate) fn open_frozen(opening: Opening<'_>, manifest: Manifest) -> Result<Arc<Collection>> {
    let segments = open_segments(opening, &manifest)?;
    let view = flushed_view(opening.structure, &manifest, segments);
    let collection = assemble(opening, manifest, view, None);
    collection.schedule_indexes();
    Ok(collection)
}

/// Opens the segments that `manifest` lists.
fn open_segments(opening: Opening<'_>, manifest: &Manifest) -> Result<Arc<[Arc<Segment>]>> {
    let dirs = Dirs::new(opening.root);
    let open = |entry: &SegmentEntry| {
        let Opening {
            env,
            structure,
            blocks,
            ..
        } = opening;
        let (segments, deletions) = (&dirs.segments, &dirs.deletions);
        let (entry, mapped) = (entry.clone(), opening.options.memory_map);
        segment::open(env, segments, deletions, structure, entry, blocks, mapped).map(Arc::new)
    };
    manifest.segments.iter().map(open).collect()
}

/// What a collection looks like before anything of its log is replayed.
pub(super) fn flushed_view(
    structure: &Arc<Structure>,
    manifest: &Manifest,
    segments: Arc<[Arc<Segment>]>,
) -> View {
    View {
        lsn: manifest.flushed_lsn,
        count: segments.iter().map(|segment| segment.live() as u64).sum(),
        memtables: vec![MemtableView::active(&structure.stored)],
        segments,
        stretch: manifest.stretch.as_slice().into(),
        structure: Arc::clone(structure),
    }
}

/// Puts a collection together; without a log, and what keyed writes did, it is for reading only.
fn assemble(
    opening: Opening<'_>,
    manifest: Manifest,
    view: View,
    log: Option<(Wal, Vec<Outcome>)>,
) -> Arc<Collection> {
    let (wal, outcomes) = log.unzip();
    let window = opening.options.idempotency_window;
    let ledger = Ledger::new(window, &*opening.env.clock, outcomes.unwrap_or_default());
    if !planted(Bug::VersionsRepeat) {
        opening.versions.fetch_max(view.lsn, Ordering::Relaxed);
    }
    let collection = Arc::new(Collection {
        id: opening.id,
        name: RwLock::new(opening.name.to_owned()),
        structures: Structures::new(Arc::clone(opening.structure)),
        env: opening.env.clone(),
        dirs: Dirs::new(opening.root),
        wal_dir: opening.wal_dir.to_path_buf(),
        read_only: wal.is_none(),
        following: Mutex::default(),
        options: opening.options.clone(),
        versions: Arc::clone(opening.versions),
        latest: Arc::clone(opening.latest),
        queue: Mutex::new(Queue::default()),
        queue_changed: Condvar::new(),
        core: Mutex::new(Core {
            wal,
            poisoned: false,
            dropped: None,
            live: view.count,
            buried: 0,
            ledger,
        }),
        view: ArcSwap::from_pointee(view),
        unflushed: Share::of(opening.unflushed),
        flushed_lsn: AtomicU64::new(manifest.flushed_lsn),
        flushed_at: AtomicU64::new(0),
        manifest: Mutex::new(manifest),
        cuts: Mutex::default(),
        retained: Arc::clone(opening.retained),
        blocks: Arc::clone(opening.blocks),
        flushing: Mutex::new(()),
        compacting: Mutex::new(()),
        compaction_cancel: Arc::default(),
        compactions_awaited: AtomicU64::new(0),
        backlog: Mutex::new(Backlog::default()),
        backlog_changed: Condvar::new(),
        closed: AtomicBool::new(false),
        dropped: AtomicBool::new(false),
        ending: Arc::default(),
        background_error: Mutex::new(None),
    });
    collection.note_unflushed();
    if !collection.read_only {
        let owner = Arc::downgrade(&collection);
        collection.unflushed.offer(owner);
        // The logs of many collections may hold more than fits. What a flush cannot do is noted.
        let _ = collection
            .unflushed
            .claim(0, collection.options.memtables_bytes_max());
    }
    collection
}

/// Applies the log's frames beyond those of `manifest` to memtables over `segments`, and adds to
/// `outcomes` what its keyed writes did.
fn replay_log(
    opening: Opening<'_>,
    manifest: &Manifest,
    segments: Arc<[Arc<Segment>]>,
    outcomes: &mut Vec<Outcome>,
) -> Result<(View, Wal)> {
    let Opening {
        structure, wal_dir, ..
    } = opening;
    let schema = &structure.stored;
    let mut view = flushed_view(structure, manifest, segments);
    let memtable_bytes = opening.options.memtable_bytes_effective();
    let mut replay = |frame: Frame<'_>| {
        let outcome = apply_frame(&mut view, frame, schema, wal_dir, memtable_bytes)?;
        outcomes.extend(outcome);
        Ok(())
    };
    let options = WalOptions {
        collection: opening.id,
        sync_times: Arc::clone(opening.sync_times),
        ..WalOptions::default()
    };
    let (wal, recovery) = Wal::open(
        opening.env,
        wal_dir,
        options,
        manifest.flushed_lsn,
        &mut replay,
    )?;
    view.lsn = view.lsn.max(recovery.last_lsn);
    Ok((view, wal))
}

/// Makes the change of one frame in `view`, and returns what it says of a keyed write. A memtable of
/// `memtable_bytes` takes no more.
pub(super) fn apply_frame(
    view: &mut View,
    frame: Frame<'_>,
    schema: &Schema,
    wal_dir: &Path,
    memtable_bytes: usize,
) -> Result<Option<Outcome>, StorageError> {
    let file = wal_dir.to_path_buf();
    if !is_known_kind(frame.kind) {
        let what = format!("frame kind {}", frame.kind);
        return Err(StorageError::Unsupported { file, what });
    }
    let malformed = |what: &str| StorageError::Corrupt {
        file,
        offset: 0,
        section: Some(format!("frame {}", frame.lsn)),
        what: what.to_owned(),
    };
    let (outcome, changes) = idempotency::decode_frame(&frame, schema).map_err(malformed)?;
    let (inserted, deleted) = commit::replay(view, changes, frame.lsn);
    view.count = view.count + inserted - deleted;
    view.lsn = frame.lsn;
    let active = view.memtables.last_mut().expect("there is an active one");
    active.rows = active.table.rows();
    if active.table.bytes() >= memtable_bytes {
        active.frozen_at = Some(frame.lsn);
        view.memtables.push(MemtableView::active(schema));
    }
    Ok(outcome)
}

/// Names of the files that a manifest lists.
pub(crate) fn listed_files(manifest: Option<&Manifest>) -> BTreeSet<String> {
    let files = manifest.iter().flat_map(|manifest| manifest.files());
    let outcomes = manifest.and_then(|manifest| manifest.outcomes);
    let outcomes = outcomes.map(|outcomes| idempotency::path(Path::new(""), outcomes.lsn));
    files
        .map(|file| file.name().to_owned())
        .chain(outcomes.map(|path| path.display().to_string()))
        .collect()
}

/// Removes files that neither the manifest lists nor a recorded version: of flushes and compactions
/// that never came so far, and of versions that were dropped.
fn remove_orphans(opening: Opening<'_>, dirs: &Dirs, manifest: &Manifest) -> Result<()> {
    let disk = &*opening.env.disk;
    let listed = manifest.files();
    for dir in [&dirs.segments, &dirs.deletions] {
        let mut removed = false;
        for entry in list(disk, dir)? {
            let Some(file) = FileId::named(opening.id, &entry.name) else {
                continue;
            };
            let needless = entry.kind == EntryKind::File && !listed.contains(&file);
            if needless && opening.retained.abandon(file) {
                remove_file(disk, &dir.join(&entry.name))?;
                removed = true;
            }
        }
        if removed {
            sync_dir(disk, dir)?;
        }
    }
    remove_old_outcomes(opening.env, &dirs.outcomes, manifest)
}

/// Removes files of outcomes but the one that the manifest lists; versions list none.
fn remove_old_outcomes(env: &Env, dir: &Path, manifest: &Manifest) -> Result<()> {
    let disk = &*env.disk;
    let there = disk.entry(dir).map_err(StorageError::io("entry", dir))?;
    if there.is_none() {
        return Ok(());
    }
    let listed = manifest.outcomes.map(|it| idempotency::path(dir, it.lsn));
    let mut removed = false;
    for entry in list(disk, dir)? {
        let path = dir.join(&entry.name);
        let ours = path.extension() == Some(idempotency::EXTENSION.as_ref());
        if entry.kind == EntryKind::File && ours && listed.as_ref() != Some(&path) {
            remove_file(disk, &path)?;
            removed = true;
        }
    }
    if removed {
        sync_dir(disk, dir)?;
    }
    Ok(())
}
