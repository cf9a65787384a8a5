//! Saving what is left of a damaged database into a new one.
//!
//! Nothing of the damaged directory is changed. A record is saved when every byte of it has the
//! checksum it was written with, and when nothing that is left says that it was deleted or replaced:
//! of each key the newest version counts, be it a row of a segment, a put or a removal in the log,
//! or a mark of a deletion. A row that is known to be the newest and is damaged is lost; no older
//! version takes its place.
//!
//! Where the manifest that counts is whole, it says which segments count. Without it all segments in
//! the directory do, newest first: one that holds a row of a newer one, key and version alike, was
//! merged into that one and counts no more. The whole log is applied then.
//!
//! Recorded versions are left behind, and told. A segment that a version lists may be there for it
//! alone: where the manifest is lost nobody can tell, and its rows are doubtful.
//!
//! What keyed writes did is not saved: who repeats one of before writes it once more. A ledger with
//! gaps would answer some of them and not others.
//!
//! What cannot be told: records that only a damaged part of the log held, and what it deleted. An
//! older version of a record that such a frame replaced is saved; the report says that frames are lost.

mod fields;
mod rows;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_env::{EntryKind, Env};
use cairn_storage::{DataKeys, Finding, Inspector, KEYS_DIR, StorageError, check_log};

use crate::backup::Target;
use crate::catalog::{self, Catalog, CatalogEntry};
use crate::collection;
use crate::database::logs_dir;
use crate::encryption::KeyProvider;
use crate::error::{Code, Error, Result};
use crate::frame::is_known_kind;
use crate::idempotency;
use crate::keys::{KeyBuf, KeyState};
use crate::manifest::{self, Manifest, SegmentEntry};
use crate::options::Options;
use crate::retained::{COLLECTIONS, FileId, dir_name};
use crate::schema::{Extra, IndexKind, Quantize, Schema, VectorField};
use crate::segment::{self, BuildPlan, Meta, MetaVector, Origin, RowSource};
use crate::stop::Job;
use crate::ulid::Ulid;
use crate::verify::{
    Problem, ProblemKind, Unlocked, Unreadable, lock_quietly, unlock, verify_locked,
};
use crate::versions;

use rows::{LogRows, Mark, Saved};

/// How a repair goes about it.
#[derive(Clone, Debug, Default)]
pub struct RepairOptions {
    /// Whether rows are saved of which nobody can tell any more whether they were deleted. Default:
    /// no, so that nothing comes back.
    pub keep_doubtful: bool,
    /// The key of an encrypted database. The new one is encrypted with its current key.
    pub encryption: Option<Arc<dyn KeyProvider>>,
}

/// What a repair came to.
#[derive(Clone, Debug, Default)]
pub struct RepairReport {
    /// The collections of the new database.
    pub collections: Vec<Repaired>,
    /// What is wrong with the old one.
    pub problems: Vec<Problem>,
    /// Rows that were left behind.
    pub lost: Vec<Lost>,
    /// Recorded versions, which the new database does not have.
    pub versions: Vec<LeftVersion>,
}

/// A recorded version that was left behind. What it alone holds is in the old directory, and can be
/// read there as long as that opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftVersion {
    /// Its number.
    pub version: u64,
    /// Its name, unless it has none or its record cannot be read.
    pub name: Option<String>,
    /// Whether its record can be read.
    pub is_readable: bool,
}

/// One collection that was saved.
#[derive(Clone, Debug)]
pub struct Repaired {
    /// Its name; one of the repair's, when the old name is lost.
    pub name: String,
    /// Records saved.
    pub records: u64,
    /// Rows left behind because they are damaged.
    pub lost: u64,
    /// Rows left behind, or kept on demand, because nobody can tell whether they were deleted.
    pub doubtful: u64,
}

/// Neighbouring rows of a segment that were left behind.
#[derive(Clone, Debug)]
pub struct Lost {
    /// The segment.
    pub file: PathBuf,
    /// The first row.
    pub first_row: u64,
    /// How many.
    pub rows: u64,
    /// Those of their keys that can be read, at most 100.
    pub keys: Vec<KeyBuf>,
    /// Whether they are whole, but may have been deleted.
    pub doubtful: bool,
}

/// Keys of lost rows that are told.
const KEYS_TOLD: usize = 100;

/// Rows of one segment of the new database.
const ROWS_PER_SEGMENT: usize = 1024 * 1024;

/// Saves everything of the database in `source` that can be proved into a new one in `target`, which
/// must be empty or missing. Logs go beside the data; graphs are built once it is opened.
///
/// # Errors
/// `ERR_NOT_FOUND`, `ERR_LOCKED` when a writer has `source` open, `ERR_ALREADY_EXISTS` when `target` is
/// not empty, `ERR_INVALID_ARGUMENT` when it lies inside a database or the key does not fit,
/// `ERR_CORRUPT` when nothing is left of the keys of an encrypted database, `ERR_ABORTED`, `ERR_IO`,
/// `ERR_NO_SPACE`. Then `target` is as it was. What a killed repair leaves there does not open; the next
/// one into the same target starts over.
pub fn repair(
    env: &Env,
    source: &Path,
    target: &Path,
    options: &RepairOptions,
    job: &Job,
) -> Result<RepairReport> {
    let _source_lock = lock_quietly(env, source)?;
    if target.starts_with(source) || source.starts_with(target) {
        return Err(inside(target));
    }
    refuse_inside(env, target)?;
    let (env, new_env) = (&mut env.clone(), &mut env.clone());
    let unreadable = Unreadable::watch(env);
    let encryption = unlock(env, source, options.encryption.as_ref())?;
    if encryption == Unlocked::ChecksumsOnly {
        // What keeps it locked: there is no key, or none of the key sets is whole.
        DataKeys::open(env, source, options.encryption.clone())?;
        let file = source.join(KEYS_DIR).join("CURRENT");
        return Err(StorageError::Missing { file }.into());
    }
    let me = Options {
        pid: std::process::id(),
        host: "repair".to_owned(),
        ..Options::default()
    };
    let claimed = Target::claim(new_env, target, &me)?;
    let mut report = RepairReport::default();
    let mut make = || {
        if let (Unlocked::Decrypted, Some(provider)) = (encryption, &options.encryption) {
            new_env.sealing = Some(DataKeys::create(new_env, target, provider)?);
        }
        report.problems = verify_locked(env, source, encryption, job)?.problems;
        let catalog = save_all(env, source, new_env, target, options, job, &mut report)?;
        report.problems.extend(unreadable.problems());
        catalog::publish(new_env, target, &catalog)?;
        // What was written is read back: a disk that damages one file may damage another.
        match verify_locked(new_env, target, encryption, job)?
            .problems
            .pop()
        {
            None => Ok(()),
            Some(problem) => Err(StorageError::Corrupt {
                file: problem.file,
                offset: problem.offset,
                section: problem.section,
                what: problem.what,
            }
            .into()),
        }
    };
    claimed.settle(make())?;
    Ok(report)
}

/// Levels of directories below that of a database.
const DEPTH: usize = 3;

/// Refuses a target inside a database, also where a link leads there: what a path says of it is not
/// all, so its parents are asked of the disk.
fn refuse_inside(env: &Env, target: &Path) -> Result<()> {
    for above in target.ancestors().skip(1) {
        let mut dir = above.to_path_buf();
        for _ in 0..=DEPTH {
            let has = |name: &str| matches!(env.disk.entry(&dir.join(name)), Ok(Some(_)));
            if has("LOCK") || has("CURRENT") {
                return Err(inside(target));
            }
            dir.push("..");
        }
    }
    Ok(())
}

fn inside(target: &Path) -> Error {
    let message = "the new directory must lie outside the damaged one, and every other database";
    Error::new(Code::InvalidArgument, message).text("target", target.display().to_string())
}

/// Saves every collection; returns the catalog that lists them, which is still to be published.
fn save_all(
    env: &Env,
    source: &Path,
    new_env: &Env,
    target: &Path,
    options: &RepairOptions,
    job: &Job,
    report: &mut RepairReport,
) -> Result<Catalog> {
    let plan = find_collections(env, source)?;
    let versions = find_versions(env, source)?;
    report.versions.clone_from(&versions.left);
    for dir in [catalog::DIR, COLLECTIONS] {
        collection::make_dir(&*new_env.disk, &target.join(dir))?;
    }
    for root in plan.unreadable {
        report.problems.push(Problem {
            kind: ProblemKind::Missing,
            file: root,
            section: None,
            offset: 0,
            bytes: 0,
            what: "no catalog and no segment tells its structure: nothing of it is saved"
                .to_owned(),
            records: None,
        });
    }
    for (entry, wal) in &plan.collections {
        let rescue = Rescue {
            env,
            new_env,
            root: source.join(COLLECTIONS).join(dir_name(entry.id)),
            wal: wal.clone(),
            entry,
            target: target.join(COLLECTIONS).join(dir_name(entry.id)),
            options,
            versions: &versions,
            job,
        };
        let repaired = rescue.run(report)?;
        report.collections.push(repaired);
    }
    collection::sync_dir(&*new_env.disk, target)?;
    collection::sync_names_above(new_env, target)?;
    let entries = plan.collections.into_iter();
    Ok(Catalog {
        version: 1,
        next_id: plan.next_id,
        wal_dir: None,
        id: catalog::fresh_id(new_env),
        collections: entries.map(|(entry, _)| entry).collect(),
    })
}

/// What is to be saved, and where its logs are.
struct Plan {
    collections: Vec<(CatalogEntry, PathBuf)>,
    next_id: u64,
    /// Directories of collections of which nothing tells the structure any more.
    unreadable: Vec<PathBuf>,
}

/// The collections by the catalog that counts; without it by the newest one that is whole, and by
/// the directories that are there.
fn find_collections(env: &Env, source: &Path) -> Result<Plan> {
    let counts = unless_damaged(catalog::read(env, source))?.flatten();
    let is_sure = counts.is_some();
    let catalog = match counts {
        Some(catalog) => Some(catalog),
        None => newest_catalog(env, source)?,
    };
    let mut plan = Plan {
        collections: Vec::new(),
        next_id: catalog.as_ref().map_or(1, |catalog| catalog.next_id),
        unreadable: Vec::new(),
    };
    let logs = catalog.as_ref().and_then(logs_dir);
    let place = |id: u64| match &logs {
        Some(logs) => logs.join(dir_name(id)),
        None => source.join(COLLECTIONS).join(dir_name(id)).join("wal"),
    };
    for entry in catalog.iter().flat_map(|catalog| &catalog.collections) {
        plan.collections.push((entry.clone(), place(entry.id)));
    }
    if is_sure {
        return Ok(plan);
    }
    let dir = source.join(COLLECTIONS);
    for found in unless_damaged(collection::list(&*env.disk, &dir))?.unwrap_or_default() {
        let id = u64::from_str_radix(&found.name, 16).ok();
        let Some(id) = id.filter(|id| dir_name(*id) == found.name && found.kind == EntryKind::Dir)
        else {
            continue;
        };
        let Some(next_id) = id.checked_add(1) else {
            // No database has so many: whatever it is, it is told.
            plan.unreadable.push(dir.join(&found.name));
            continue;
        };
        plan.next_id = plan.next_id.max(next_id);
        if plan.collections.iter().any(|(entry, _)| entry.id == id) {
            continue;
        }
        let root = dir.join(&found.name);
        match schema_of(env, &root, id)? {
            Some(schema) => {
                let mut name = format!("recovered-{id}");
                while plan.collections.iter().any(|(it, _)| it.name == name) {
                    name.push('_');
                }
                let entry = CatalogEntry::new(id, name, schema);
                plan.collections.push((entry, place(id)));
            }
            None => plan.unreadable.push(root),
        }
    }
    Ok(plan)
}

/// Recorded versions of the old database.
#[derive(Default)]
struct OldVersions {
    left: Vec<LeftVersion>,
    /// Every file that a readable one lists.
    files: BTreeSet<FileId>,
}

impl OldVersions {
    /// Whether a segment may be there for a version alone.
    fn may_list(&self, collection: u64, segment: Ulid) -> bool {
        let unknown = self.left.iter().any(|version| !version.is_readable);
        unknown || self.files.contains(&FileId::segment(collection, segment))
    }
}

fn find_versions(env: &Env, source: &Path) -> Result<OldVersions> {
    let mut old = OldVersions::default();
    for number in unless_damaged(versions::list(env, source))?.unwrap_or_default() {
        let record = unless_damaged(versions::load(env, source, number))?;
        old.left.push(LeftVersion {
            version: number,
            name: record.as_ref().and_then(|record| record.name.clone()),
            is_readable: record.is_some(),
        });
        old.files
            .extend(record.iter().flat_map(|record| record.files()));
    }
    Ok(old)
}

fn newest_catalog(env: &Env, source: &Path) -> Result<Option<Catalog>> {
    let (sub, ext) = (catalog::DIR, catalog::EXTENSION);
    let versions = cairn_storage::list_versions(env, source, sub, ext).map_err(Error::from);
    for version in unless_damaged(versions)?
        .unwrap_or_default()
        .into_iter()
        .rev()
    {
        let body = cairn_storage::load(env, source, sub, ext, version).map_err(Error::from);
        let catalog = body.and_then(|body| catalog::decode(source, version, &body));
        if let Some(catalog) = unless_damaged(catalog)? {
            return Ok(Some(catalog));
        }
    }
    Ok(None)
}

/// The schema of a collection that no catalog lists, by what one of its segments says. Declared
/// fields are in the catalog alone: they are saved as fields that are not declared.
fn schema_of(env: &Env, root: &Path, id: u64) -> Result<Option<Schema>> {
    for (path, ulid) in segment_files(env, root)? {
        let opened = segment::salvage(env, &path, ulid, id)?;
        let meta = opened.and_then(|reader| reader.read(segment::META).ok());
        let Some(meta) = meta.and_then(|bytes| rmp_serde::from_slice::<Meta>(&bytes).ok()) else {
            continue;
        };
        let vector = |field: MetaVector| VectorField {
            name: field.name,
            dim: field.dim,
            metric: field.metric,
            index: IndexKind::Auto,
            kind: field.kind,
            quantize: Quantize::None,
        };
        let schema = Schema {
            key: meta.key,
            vectors: meta.vectors.into_iter().map(vector).collect(),
            fields: Vec::new(),
            extra: Extra::Allow,
            expires_at: None,
        };
        if schema.validate().is_ok() {
            return Ok(Some(schema));
        }
    }
    Ok(None)
}

/// Segment files in the directory of a collection, newest first.
fn segment_files(env: &Env, root: &Path) -> Result<Vec<(PathBuf, Ulid)>> {
    let dir = root.join("seg");
    let entries = unless_damaged(collection::list(&*env.disk, &dir))?.unwrap_or_default();
    let file = |entry: &cairn_env::DirEntry| {
        let ulid = Ulid::parse(entry.name.strip_suffix(".seg")?)?;
        (entry.kind == EntryKind::File).then(|| (dir.join(&entry.name), ulid))
    };
    let mut files: Vec<_> = entries.iter().filter_map(file).collect();
    files.sort_by_key(|(_, ulid)| std::cmp::Reverse(*ulid));
    Ok(files)
}

/// The value, or `None` where something is damaged.
pub(crate) fn unless_damaged<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Err(error) if matches!(error.code(), Code::Corrupt | Code::UnsupportedFormat) => Ok(None),
        other => other.map(Some),
    }
}

/// One collection that is being saved.
struct Rescue<'a> {
    /// Opens what is damaged.
    env: &'a Env,
    /// Makes what is new.
    new_env: &'a Env,
    root: PathBuf,
    wal: PathBuf,
    entry: &'a CatalogEntry,
    target: PathBuf,
    options: &'a RepairOptions,
    versions: &'a OldVersions,
    job: &'a Job,
}

/// The newest that is known of a key.
#[derive(Clone, Copy)]
struct Newest {
    version: u64,
    state: Newer,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Newer {
    /// It is damaged.
    Lost,
    /// It is there.
    Saved(u32, u32),
    /// It was deleted or replaced.
    Gone,
}

/// Keys with versions.
type Identities = HashSet<(KeyBuf, u64), KeyState>;

/// Of every key the newest that is known.
type Keys = HashMap<KeyBuf, Newest, KeyState>;

fn offer(keys: &mut Keys, key: KeyBuf, version: u64, state: Newer) {
    let offered = Newest { version, state };
    let newest = keys.entry(key).or_insert(offered);
    if (version, state) > (newest.version, newest.state) {
        *newest = offered;
    }
}

impl Rescue<'_> {
    fn run(&self, report: &mut RepairReport) -> Result<Repaired> {
        let manifest = self.manifest()?;
        let mut repaired = Repaired {
            name: self.entry.name.clone(),
            records: 0,
            lost: 0,
            doubtful: 0,
        };
        let saved = match &manifest {
            Some(manifest) => self.listed(manifest, &mut repaired, report)?,
            None => self.scanned()?,
        };
        let from_lsn = manifest.as_ref().map_or(0, |manifest| manifest.flushed_lsn);
        let mut keys = Keys::default();
        for (index, rows) in saved.iter().enumerate() {
            self.weigh(index, rows, &mut keys, &mut repaired, report);
        }
        let log = self.log(from_lsn)?;
        for (at, (place, lsn)) in log.places().enumerate() {
            let source = u32::try_from(saved.len()).expect("segments are counted in 32 bits");
            let row = u32::try_from(at).expect("rows of a log are counted in 32 bits");
            let state = if place.is_put {
                Newer::Saved(source, row)
            } else {
                Newer::Gone
            };
            offer(&mut keys, place.key, lsn, state);
        }
        self.write(&saved, &log, &keys, from_lsn, &mut repaired)?;
        Ok(repaired)
    }

    /// The manifest that counts, or none when it is damaged. Where only the pointer is, the newest
    /// counts if all it lists is there.
    fn manifest(&self) -> Result<Option<Manifest>> {
        let (env, id) = (self.env, self.entry.id);
        if let Some(Some(manifest)) = unless_damaged(manifest::read(env, &self.root, id))? {
            return Ok(Some(manifest));
        }
        let current = cairn_storage::read_current(env, &self.root).map_err(Error::from);
        if let Some(Some(_)) = unless_damaged(current)? {
            return Ok(None);
        }
        let (sub, ext) = (manifest::DIR, manifest::EXTENSION);
        let versions = cairn_storage::list_versions(env, &self.root, sub, ext).map_err(Error::from);
        let Some(&version) = unless_damaged(versions)?
            .as_ref()
            .and_then(|all| all.last())
        else {
            return Ok(None);
        };
        let body = cairn_storage::load(env, &self.root, sub, ext, version).map_err(Error::from);
        let manifest = body.and_then(|body| manifest::decode(&self.root, id, version, &body));
        let Some(manifest) = unless_damaged(manifest)? else {
            return Ok(None);
        };
        for entry in &manifest.segments {
            let path = segment::segment_path(&self.root.join("seg"), entry.id);
            let there = env.disk.entry(&path);
            if there.map_err(StorageError::io("entry", &path))?.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(manifest))
    }

    /// Rows of the segments that a manifest lists. Notes segments of which nothing can be read.
    fn listed(
        &self,
        manifest: &Manifest,
        repaired: &mut Repaired,
        report: &mut RepairReport,
    ) -> Result<Vec<Saved>> {
        let mut all = Vec::new();
        for entry in &manifest.segments {
            let path = segment::segment_path(&self.root.join("seg"), entry.id);
            let deletions = entry.deletions.map(|deletions| {
                let dir = self.root.join("del");
                let path = segment::deletions_path(&dir, entry.id, deletions.lsn);
                (path, Some(deletions.rows))
            });
            match self.saved(&path, entry.id, Some(entry), deletions)? {
                Some(rows) => all.push(rows),
                None => {
                    repaired.lost += u64::from(entry.rows);
                    report.lost.push(Lost {
                        file: path,
                        first_row: 0,
                        rows: u64::from(entry.rows),
                        keys: Vec::new(),
                        doubtful: false,
                    });
                }
            }
        }
        Ok(all)
    }

    /// Rows of all segments that are there, but of those that were merged into newer ones.
    fn scanned(&self) -> Result<Vec<Saved>> {
        let mut deletions: BTreeMap<Ulid, (u64, PathBuf)> = BTreeMap::new();
        let dir = self.root.join("del");
        for file in unless_damaged(collection::list(&*self.env.disk, &dir))?.unwrap_or_default() {
            let name = file
                .name
                .strip_suffix(".del")
                .and_then(|name| name.split_once('-'));
            let parsed = name.and_then(|(ulid, lsn)| Some((Ulid::parse(ulid)?, lsn.parse().ok()?)));
            let Some((ulid, lsn)) = parsed.filter(|_| file.kind == EntryKind::File) else {
                continue;
            };
            let newest = deletions.entry(ulid).or_insert((lsn, dir.join(&file.name)));
            if lsn > newest.0 {
                *newest = (lsn, dir.join(&file.name));
            }
        }
        let mut all: Vec<Saved> = Vec::new();
        // Rows of newer segments: whole ones, and those whose older copy would be welcome.
        let mut newer = Identities::default();
        let mut wanted = Identities::default();
        for (path, ulid) in segment_files(self.env, &self.root)? {
            let bits = deletions.get(&ulid).map(|(_, path)| (path.clone(), None));
            let Some(mut rows) = self.saved(&path, ulid, None, bits)? else {
                continue;
            };
            let merged = rows
                .identities()
                .any(|(_, identity)| newer.contains(&identity));
            if merged {
                rows.keep_only(&wanted);
            } else if self.versions.may_list(self.entry.id, ulid) {
                rows.doubt_all(self.options.keep_doubtful);
            }
            for (row, identity) in rows.identities() {
                if rows.mark(row) == Mark::Damaged {
                    wanted.insert(identity.clone());
                }
                newer.insert(identity);
            }
            all.push(rows);
        }
        Ok(all)
    }

    fn saved(
        &self,
        path: &Path,
        ulid: Ulid,
        entry: Option<&SegmentEntry>,
        deletions: Option<(PathBuf, Option<u32>)>,
    ) -> Result<Option<Saved>> {
        self.job.stop.check()?;
        let opened = segment::salvage(self.env, path, ulid, self.entry.id);
        let Some(reader) = unless_damaged(opened)?.flatten() else {
            return Ok(None);
        };
        let rows = entry.map(|entry| entry.rows as usize);
        let Some(mut saved) = Saved::new(reader, &self.entry.schema, rows)? else {
            return Ok(None);
        };
        if let Some((path, count)) = deletions {
            let opened = segment::salvage(self.env, &path, ulid, self.entry.id);
            let reader = unless_damaged(opened)?.flatten();
            saved.mark_deleted(reader.as_ref(), count, self.options.keep_doubtful)?;
        }
        Ok(Some(saved))
    }

    /// Offers every row of a segment, and notes those that are left behind.
    fn weigh(
        &self,
        source: usize,
        rows: &Saved,
        keys: &mut Keys,
        repaired: &mut Repaired,
        report: &mut RepairReport,
    ) {
        let source = u32::try_from(source).expect("segments are counted in 32 bits");
        for row in 0..rows.len() {
            let mark = rows.mark(row);
            let number = u32::try_from(row).expect("rows are counted in 32 bits");
            let state = match mark {
                Mark::Whole => Newer::Saved(source, number),
                Mark::Deleted => Newer::Gone,
                Mark::Damaged | Mark::Doubtful => Newer::Lost,
                Mark::Merged => continue,
            };
            repaired.doubtful += u64::from(mark == Mark::Doubtful || rows.was_doubtful(row));
            if state == Newer::Lost {
                repaired.lost += u64::from(mark == Mark::Damaged);
                note_lost(report, rows, row, mark == Mark::Doubtful);
            }
            if let Some(key) = rows.key(row) {
                offer(keys, key.clone(), rows.version_or_newest(row), state);
            }
        }
    }

    /// Whole frames of the log above `from_lsn`.
    fn log(&self, from_lsn: u64) -> Result<LogRows> {
        struct Quiet<'a>(&'a Job);
        impl Inspector for Quiet<'_> {
            // What is wrong was told before.
            fn found(&mut self, _finding: Finding) {}

            fn passed(&mut self, _bytes: u64) -> bool {
                !self.0.stop.is_due()
            }
        }
        let mut log = LogRows::default();
        let schema = &self.entry.schema;
        let mut take = |frame: cairn_storage::Frame<'_>| {
            if frame.lsn <= from_lsn || !is_known_kind(frame.kind) {
                return Ok(());
            }
            let decoded = idempotency::decode_frame(&frame, schema);
            let (_, changes) = decoded.map_err(str::to_owned)?;
            log.push(frame.lsn, changes);
            Ok(())
        };
        let (env, id, mut quiet) = (self.env, self.entry.id, Quiet(self.job));
        check_log(env, &self.wal, id, None, None, &mut quiet, &mut take)?;
        self.job.stop.check()?;
        Ok(log)
    }

    /// Writes what is the newest of each key.
    fn write(
        &self,
        saved: &[Saved],
        log: &LogRows,
        keys: &Keys,
        from_lsn: u64,
        repaired: &mut Repaired,
    ) -> Result<()> {
        let id = self.entry.id;
        let first = Manifest {
            version: 1,
            collection: id,
            ..Manifest::default()
        };
        let wal = self.target.join("wal");
        collection::create(self.new_env, &self.target, &wal, &first)?;
        let mut sources: Vec<&dyn RowSource> = Vec::new();
        sources.extend(saved.iter().map(|rows| rows as &dyn RowSource));
        sources.push(log);
        let mut origins: Vec<Origin> = keys
            .values()
            .filter_map(|newest| match newest.state {
                Newer::Saved(source, row) => Some(Origin { source, row }),
                Newer::Lost | Newer::Gone => None,
            })
            .collect();
        origins.sort_unstable_by_key(|origin| (origin.source, origin.row));
        repaired.records = origins.len() as u64;
        let newest = keys.values().map(|newest| newest.version);
        let mut manifest = Manifest {
            version: 2,
            collection: id,
            flushed_lsn: newest.fold(from_lsn, u64::max),
            ..Manifest::default()
        };
        let dir = self.target.join("seg");
        let plan = BuildPlan::default();
        let of_one_source = origins.chunk_by(|a, b| a.source == b.source);
        for chunk in of_one_source.flat_map(|rows| rows.chunks(ROWS_PER_SEGMENT)) {
            let (schema, rows) = (&self.entry.schema, chunk.to_vec());
            let built = segment::build(
                self.new_env,
                &dir,
                id,
                schema,
                &sources,
                rows,
                &plan,
                self.job,
            )?;
            manifest.segments.push(built.entry);
        }
        manifest
            .segments
            .sort_by_key(|entry| (entry.lsn_min, entry.id));
        manifest::publish(self.new_env, &self.target, &manifest)?;
        let (sub, ext) = (manifest::DIR, manifest::EXTENSION);
        manifest::remove_others(self.new_env, &self.target, sub, ext, manifest.version)
    }
}

/// Notes a row that is left behind, with its neighbours.
fn note_lost(report: &mut RepairReport, rows: &Saved, row: usize, doubtful: bool) {
    let next = |lost: &&mut Lost| {
        lost.file == rows.path()
            && lost.first_row + lost.rows == row as u64
            && lost.doubtful == doubtful
    };
    if report
        .lost
        .last_mut()
        .as_ref()
        .is_none_or(|lost| !next(lost))
    {
        report.lost.push(Lost {
            file: rows.path().to_path_buf(),
            first_row: row as u64,
            rows: 0,
            keys: Vec::new(),
            doubtful,
        });
    }
    let lost = report.lost.last_mut().expect("one was just there");
    lost.rows += 1;
    if lost.keys.len() < KEYS_TOLD {
        lost.keys.extend(rows.key(row).cloned());
    }
}
