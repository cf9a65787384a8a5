//! Checking everything that is stored: all damage, not only the first; nothing is written.
//!
//! [`verify_directory`] looks at a directory that nobody has open, also one that does not open.
//! [`Database::verify`](crate::Database::verify) does the same beside everything else a database
//! does: it looks at files through the handles that are open, and at the log up to where it was
//! written when the check began.

mod directory;
mod opened;
mod recorded;
mod unreadable;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_env::{DirEntry, EntryKind, Env};
use cairn_storage::{
    Fault, Finding, Inspector, LogFile, SegmentFile, SegmentReader, StorageError, check_log,
    inspect,
};

use crate::encryption::KeyProvider;
use crate::error::{Error, Fact, Result};
use crate::frame::is_known_kind;
use crate::idempotency;
use crate::manifest::{OutcomesEntry, SegmentEntry};
use crate::schema::Schema;
use crate::segment;
use crate::stop::Job;
use recorded::Recorded;

pub use directory::verify_directory;
pub(crate) use directory::{lock_quietly, unlock, verify_locked};
pub(crate) use unreadable::Unreadable;

/// What is wrong with a file or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// It is not what was written, or cannot be read, or something else stands in its place.
    Damaged,
    /// It is undamaged and of a format this version cannot read.
    Unsupported,
    /// A file that must be there is not.
    Missing,
    /// A file that is not of the database.
    Foreign,
    /// No problem: what a crash may leave at the end of a log. Opening cuts it off.
    Torn,
    /// No problem: a file that does not count, of work that was cut short. Opening removes it.
    Leftover,
    /// No problem: what is encrypted, and could be checked by its checksums alone.
    Sealed,
    /// No problem: what was not checked, because another process writes it.
    Unchecked,
}

impl ProblemKind {
    /// Its public name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Unsupported => "unsupported",
            Self::Missing => "missing",
            Self::Foreign => "foreign",
            Self::Torn => "torn",
            Self::Leftover => "leftover",
            Self::Sealed => "sealed",
            Self::Unchecked => "unchecked",
        }
    }
}

/// One thing that a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub kind: ProblemKind,
    /// The file or directory.
    pub file: PathBuf,
    /// The section, of files that have sections.
    pub section: Option<String>,
    /// Where it begins, in bytes from the start of the file.
    pub offset: u64,
    /// Bytes known to be wrong; 0 where that is not known.
    pub bytes: u64,
    /// Which rule is broken.
    pub what: String,
    /// Records it touches, where that can be told; of what was not checked, those that are in no segment.
    pub records: Option<u64>,
}

/// How much a check could see of what is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unlocked {
    /// Nothing is encrypted.
    #[default]
    Clear,
    /// Everything was decrypted: its tags are right, too, and what it says was checked.
    Decrypted,
    /// There was no key, or `keys/` is lost. Checksums, lengths, headers and the order of frames were
    /// checked; not what is in catalogs, manifests, records and deletions, so not which segments and log
    /// files must be there either, and not whether somebody forged them.
    ChecksumsOnly,
}

impl Unlocked {
    /// Its public name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clear => "none",
            Self::Decrypted => "decrypted",
            Self::ChecksumsOnly => "checksums",
        }
    }
}

/// How a check of a directory goes about it.
#[derive(Clone, Debug, Default)]
pub struct VerifyOptions {
    /// The key of an encrypted database. Without it checksums alone are checked.
    pub encryption: Option<Arc<dyn KeyProvider>>,
}

/// What a check came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Files that were checked.
    pub files: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// What is wrong, in the order in which it was found.
    pub problems: Vec<Problem>,
    /// What is worth knowing and right: torn ends of logs, leftovers, what was not checked.
    pub notes: Vec<Problem>,
    /// How much of it could be seen.
    pub encryption: Unlocked,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.problems.is_empty()
    }

    pub(crate) fn add(&mut self, problem: Problem) {
        match problem.kind {
            ProblemKind::Torn
            | ProblemKind::Leftover
            | ProblemKind::Sealed
            | ProblemKind::Unchecked => self.notes.push(problem),
            _ => self.problems.push(problem),
        }
    }
}

/// How rows lie in the sections of a segment, to say how many records damage touches.
struct Shape<'a> {
    schema: Option<&'a Schema>,
    rows: u64,
    reader: Option<&'a SegmentReader>,
}

/// Collects what checks find.
pub(crate) struct Checker<'a> {
    pub env: &'a Env,
    pub job: &'a Job,
    pub report: Report,
    /// Bytes in all, for progress.
    pub total: u64,
    /// Files that were checked as what they were listed as: versions share them.
    seen: BTreeSet<(PathBuf, u64, u32)>,
    recorded: Recorded,
}

impl Inspector for Checker<'_> {
    fn found(&mut self, finding: Finding) {
        self.report.add(problem(finding, None));
    }

    fn passed(&mut self, bytes: u64) -> bool {
        self.count(bytes);
        if let Some(progress) = &self.job.progress {
            progress(self.report.bytes.min(self.total), self.total);
        }
        !self.job.stop.is_due()
    }
}

/// Hears of a segment, and knows how its rows lie.
struct SegmentInspector<'a, 'b> {
    checker: &'a mut Checker<'b>,
    found: Vec<Finding>,
}

impl Inspector for SegmentInspector<'_, '_> {
    fn found(&mut self, finding: Finding) {
        self.found.push(finding);
    }

    fn passed(&mut self, bytes: u64) -> bool {
        self.checker.passed(bytes)
    }
}

impl<'a> Checker<'a> {
    pub fn new(env: &'a Env, job: &'a Job, total: u64) -> Self {
        let encryption = match &env.sealing {
            None => Unlocked::Clear,
            Some(_) => Unlocked::Decrypted,
        };
        Self {
            env,
            job,
            report: Report {
                encryption,
                ..Report::default()
            },
            total,
            seen: BTreeSet::new(),
            recorded: Recorded::default(),
        }
    }

    /// Counts bytes that were read.
    fn count(&mut self, bytes: u64) {
        self.report.bytes = self.report.bytes.saturating_add(bytes);
    }

    /// Whether a file is still to be checked as this one.
    fn is_new(&mut self, path: &Path, file: SegmentFile) -> bool {
        self.seen
            .insert((path.to_path_buf(), file.bytes, file.checksum))
    }

    /// Whether what is read stays encrypted, so that nothing can be said of what it holds.
    fn is_blind(&self) -> bool {
        self.report.encryption == Unlocked::ChecksumsOnly
    }

    /// Notes a problem of a whole file or directory.
    pub fn note(&mut self, kind: ProblemKind, file: PathBuf, what: &str) {
        self.report.add(Problem {
            kind,
            file,
            section: None,
            offset: 0,
            bytes: 0,
            what: what.to_owned(),
            records: None,
        });
    }

    /// The value, or `None` once its damage was noted.
    ///
    /// # Errors
    /// Those that are not about what a file holds.
    pub fn inspect<T>(&mut self, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                self.report.add(of_error(error)?);
                Ok(None)
            }
        }
    }

    /// Checks a segment whole: every byte, and that its sections say the same as its manifest.
    pub fn segment(
        &mut self,
        path: &Path,
        entry: Option<&SegmentEntry>,
        schema: Option<&Schema>,
    ) -> Result<()> {
        let expected = entry.map(|entry| entry.file.into());
        if expected.is_some_and(|expected| !self.is_new(path, expected)) {
            return Ok(());
        }
        let known = [&segment::KNOWN[..], &idempotency::KNOWN].concat();
        let opened = SegmentReader::open(self.env, path, expected, &known);
        if let Some(reader) = inspect(opened, self)? {
            self.open_segment(&reader, entry, schema)?;
        }
        self.report.files += 1;
        Ok(())
    }

    /// As [`segment`](Self::segment) of one that is open.
    pub fn open_segment(
        &mut self,
        reader: &SegmentReader,
        entry: Option<&SegmentEntry>,
        schema: Option<&Schema>,
    ) -> Result<()> {
        self.job.stop.check()?;
        self.is_new(reader.path(), reader.file());
        let mut inspector = SegmentInspector {
            checker: self,
            found: Vec::new(),
        };
        reader.check(&mut inspector)?;
        let found = inspector.found;
        self.job.stop.check()?;
        self.passed(reader.rest_bytes());
        let shape = Shape {
            schema,
            rows: entry.map_or(0, |entry| u64::from(entry.rows)),
            reader: Some(reader),
        };
        let undamaged = found.is_empty();
        for finding in found {
            self.report.add(problem(finding, Some(&shape)));
        }
        if let (true, Some(entry), Some(schema)) = (undamaged, entry, schema) {
            let contents = segment::check_contents(reader, schema, entry);
            self.inspect(contents)?;
        }
        Ok(())
    }

    /// Checks a deletion file whole.
    pub fn deletions(&mut self, dir: &Path, entry: &SegmentEntry) -> Result<()> {
        let Some(deletions) = &entry.deletions else {
            return Ok(());
        };
        let path = segment::deletions_path(dir, entry.id, deletions.lsn);
        if !self.is_new(&path, deletions.file.into()) {
            return Ok(());
        }
        let env = self.env;
        let read = || segment::read_deletions(env, dir, entry).map(drop);
        self.small(&path, deletions.file.into(), &segment::KNOWN, read)
    }

    /// Checks a file of outcomes whole.
    pub fn outcomes(&mut self, dir: &Path, entry: &OutcomesEntry) -> Result<()> {
        let path = idempotency::path(dir, entry.lsn);
        let env = self.env;
        let read = || idempotency::read(env, dir, entry).map(drop);
        self.small(&path, entry.file.into(), &idempotency::KNOWN, read)
    }

    /// Checks a file with sections whole, and where it is undamaged that `read` can read it.
    fn small(
        &mut self,
        path: &Path,
        expected: SegmentFile,
        known: &[u32],
        read: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let opened = SegmentReader::open(self.env, path, Some(expected), known);
        if let Some(reader) = inspect(opened, self)? {
            let before = self.report.problems.len();
            reader.check(self)?;
            self.passed(reader.rest_bytes());
            if self.report.problems.len() == before {
                self.inspect(read())?;
            }
        }
        self.report.files += 1;
        Ok(())
    }

    /// Checks the log of a collection.
    pub fn log(
        &mut self,
        dir: &Path,
        collection: u64,
        from_lsn: Option<u64>,
        files: Option<&[LogFile]>,
        schema: Option<&Schema>,
    ) -> Result<()> {
        let blind = self.is_blind();
        let mut check_frame = |frame: cairn_storage::Frame<'_>| {
            if !is_known_kind(frame.kind) {
                return Err(format!("frame kind {}", frame.kind));
            }
            let Some(schema) = schema.filter(|_| !blind) else {
                return Ok(());
            };
            idempotency::decode_frame(&frame, schema)
                .map(drop)
                .map_err(str::to_owned)
        };
        let env = self.env;
        check_log(
            env,
            dir,
            collection,
            from_lsn,
            files,
            self,
            &mut check_frame,
        )?;
        self.job.stop.check()
    }
}

/// What is wrong, as the error of whoever met it says it.
pub(crate) fn of_error(error: Error) -> Result<Problem> {
    let kind = match error.code() {
        crate::error::Code::Corrupt => ProblemKind::Damaged,
        crate::error::Code::UnsupportedFormat => ProblemKind::Unsupported,
        _ => return Err(error),
    };
    let text = |wanted: &str| {
        let mut facts = error.details().iter();
        facts.find_map(|(name, fact)| match fact {
            Fact::Text(text) if *name == wanted => Some(text.clone()),
            _ => None,
        })
    };
    let offset = error.details().iter().find_map(|(name, fact)| match fact {
        Fact::Number(number) if *name == "offset" => Some(*number),
        _ => None,
    });
    let missing = kind == ProblemKind::Damaged && text("what").is_none();
    Ok(Problem {
        kind: if missing { ProblemKind::Missing } else { kind },
        file: text("file").unwrap_or_default().into(),
        section: text("section"),
        offset: offset.unwrap_or(0),
        bytes: 0,
        what: text("what").unwrap_or_else(|| error.message().to_owned()),
        records: None,
    })
}

fn problem(finding: Finding, shape: Option<&Shape<'_>>) -> Problem {
    let kind = match finding.fault {
        Fault::Damaged => ProblemKind::Damaged,
        Fault::Unsupported => ProblemKind::Unsupported,
        Fault::Missing => ProblemKind::Missing,
        Fault::Torn => ProblemKind::Torn,
    };
    Problem {
        kind,
        section: finding.section.map(segment::section_name),
        records: shape.and_then(|shape| shape.records(&finding)),
        file: finding.file,
        offset: finding.offset,
        bytes: finding.bytes,
        what: finding.what,
    }
}

impl Shape<'_> {
    /// Rows of which a damaged stretch holds anything; `None` where that cannot be told.
    fn records(&self, finding: &Finding) -> Option<u64> {
        let (id, schema) = (finding.section?, self.schema?);
        if self.rows == 0 {
            return None;
        }
        let start = self.reader?.offset(id)?;
        let from = finding.offset.checked_sub(start)?;
        let rows = segment::rows_in(schema, id, self.rows, from..from + finding.bytes)?;
        Some(rows.end - rows.start)
    }
}

/// What an entry of a directory should be.
pub(crate) enum Expected {
    /// A file of ours.
    File,
    /// A directory of ours.
    Dir,
    /// A file or directory of work that was cut short.
    Leftover,
    /// Nothing of ours.
    Foreign,
}

impl Checker<'_> {
    /// Looks at what is in a directory of ours; returns the names that are what they should be.
    /// Nothing is followed: a link in the place of a file is damage.
    pub fn names(
        &mut self,
        dir: &Path,
        expected: impl Fn(&DirEntry) -> Expected,
    ) -> Result<Option<BTreeSet<String>>> {
        let listed = cairn_storage::list_dir(&*self.env.disk, dir);
        let Some(entries) = inspect(listed, self)? else {
            return Ok(None);
        };
        let mut names = BTreeSet::new();
        for entry in entries {
            let path = dir.join(&entry.name);
            match (expected(&entry), entry.kind) {
                (Expected::File, EntryKind::File) | (Expected::Dir, EntryKind::Dir) => {
                    names.insert(entry.name);
                }
                (Expected::File, _) => {
                    self.note(ProblemKind::Damaged, path, "not a regular file");
                }
                (Expected::Dir, _) => self.note(ProblemKind::Damaged, path, "not a directory"),
                (Expected::Leftover, EntryKind::File | EntryKind::Dir) => {
                    let what = "of work that was cut short; the next open removes it";
                    self.note(ProblemKind::Leftover, path, what);
                }
                (Expected::Leftover | Expected::Foreign, EntryKind::Other) => {
                    let what = "a link or a special file that is not of the database";
                    self.note(ProblemKind::Foreign, path, what);
                }
                (Expected::Foreign, _) => {
                    self.note(ProblemKind::Foreign, path, "not of the database");
                }
            }
        }
        Ok(Some(names))
    }
}

/// Damage of a file without sections.
pub(crate) fn damaged(file: PathBuf, what: impl Into<String>) -> Error {
    StorageError::Corrupt {
        file,
        offset: 0,
        section: None,
        what: what.into(),
    }
    .into()
}
