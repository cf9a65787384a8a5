//! What is not as it should be, and what mends it: damage, and what is no damage yet.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_env::{EntryKind, Env};
use cairn_storage::{StorageError, holder_of};

use crate::catalog;
use crate::collection;
use crate::database::{Database, logs_dir};
use crate::encryption::KeyProvider;
use crate::error::{Code, Result};
use crate::manifest;
use crate::options::Options;
use crate::repair::unless_damaged;
use crate::retained::{collection_dir, dir_name};
use crate::stop::Job;
use crate::verify::{
    Problem, ProblemKind, Unlocked, Unreadable, VerifyOptions, unlock, verify_directory,
};

/// Dead rows, of a hundred, above which they are told.
const DEAD_PERCENT: u64 = 30; // what compaction takes as a reason to rewrite a segment

/// Rows below which nobody cares how many are dead.
const ROWS_MIN: u64 = 1_024;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// It may become bad.
    Warning,
    /// Something is lost, or will not work.
    Error,
}

impl Severity {
    /// Its public name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that a doctor found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is called; part of the API.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is the case.
    pub what: String,
    /// The file, directory or collection.
    pub place: String,
    /// What mends it.
    pub remedy: &'static str,
}

/// What a doctor is told.
#[derive(Clone, Debug)]
pub struct DoctorOptions {
    /// The key of an encrypted database.
    pub encryption: Option<Arc<dyn KeyProvider>>,
    /// Bytes that the log of a collection may have.
    pub wal_bytes_max: u64,
}

impl Default for DoctorOptions {
    fn default() -> Self {
        Self {
            encryption: None,
            wal_bytes_max: Options::default().wal_bytes_max,
        }
    }
}

/// Bytes that should be free beside `stored` ones. A merge writes all of them anew before the old
/// ones go, and the log and what readers and versions keep take room as well: a disk should have
/// three to four times the data.
pub(crate) fn headroom(stored: u64) -> u64 {
    stored.saturating_mul(2)
}

/// Looks at the database in `dir`, which need not open, as [`verify_directory`] does, and at how it
/// lives. Nothing is written.
///
/// # Errors
/// `ERR_NOT_FOUND`, `ERR_INVALID_ARGUMENT` for a wrong key, `ERR_ABORTED`, `ERR_IO`. A database that
/// somebody has open is no error, but little is said of it: [`Database::doctor`] says more.
pub fn doctor(env: &Env, dir: &Path, options: &DoctorOptions, job: &Job) -> Result<Vec<Finding>> {
    let mut findings = vec![kernels()];
    let checks = VerifyOptions {
        encryption: options.encryption.clone(),
    };
    let report = match verify_directory(env, dir, &checks, job) {
        Err(error) if error.code() == Code::Locked => {
            let holder = holder_of(env, dir);
            findings.push(Finding {
                code: "locked",
                severity: Severity::Info,
                what: format!(
                    "process {} on {} has it open since {} ms after 1970",
                    holder.pid, holder.host, holder.since_unix_ms
                ),
                place: shown(dir),
                remedy: "ask there: db.doctor()",
            });
            return Ok(findings);
        }
        other => other?,
    };
    let left = dir.join("LOCK.holder");
    let there = env.disk.entry(&left);
    if there.map_err(StorageError::io("entry", &left))?.is_some() {
        let holder = holder_of(env, dir);
        findings.push(Finding {
            code: "lock-left-behind",
            severity: Severity::Info,
            what: format!(
                "process {} on {} ended without closing it",
                holder.pid, holder.host
            ),
            place: shown(&left),
            remedy: "nothing: the next open takes the lock over and recovers",
        });
    }
    findings.extend(report.problems.iter().chain(&report.notes).map(of_problem));
    if report.encryption == Unlocked::ChecksumsOnly {
        return Ok(findings);
    }
    let env = &mut env.clone();
    // What cannot be read was told by the check.
    Unreadable::watch(env);
    unlock(env, dir, options.encryption.as_ref())?;
    let stored = closed_collections(env, dir, options, &mut findings)?;
    findings.extend(space(env, dir, stored));
    Ok(findings)
}

/// Looks at every collection by its manifest and the length of its log; returns bytes in all.
fn closed_collections(
    env: &Env,
    dir: &Path,
    options: &DoctorOptions,
    findings: &mut Vec<Finding>,
) -> Result<u64> {
    let Some(Some(catalog)) = unless_damaged(catalog::read(env, dir))? else {
        return Ok(0);
    };
    let mut stored = 0;
    for entry in &catalog.collections {
        let root = dir.join(collection_dir(entry.id));
        let Some(Some(manifest)) = unless_damaged(manifest::read(env, &root, entry.id))? else {
            continue;
        };
        let logs = logs_dir(&catalog)
            .map_or_else(|| root.join("wal"), |logs| logs.join(dir_name(entry.id)));
        let log_bytes = bytes_in(env, &logs)?;
        let (mut rows, mut dead) = (0, 0);
        for segment in &manifest.segments {
            rows += u64::from(segment.rows);
            dead += segment
                .deletions
                .map_or(0, |deletions| u64::from(deletions.rows));
            stored += segment.file.bytes;
        }
        stored += log_bytes;
        findings.extend(dead_rows(&entry.name, rows, dead));
        findings.extend(large_log(&entry.name, log_bytes, options.wal_bytes_max));
    }
    Ok(stored)
}

fn bytes_in(env: &Env, dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in unless_damaged(collection::list(&*env.disk, dir))?.unwrap_or_default() {
        if entry.kind == EntryKind::File {
            let file = env
                .disk
                .open(&dir.join(&entry.name), cairn_env::Access::Read);
            bytes += file.and_then(|file| file.len()).unwrap_or(0);
        }
    }
    Ok(bytes)
}

impl Database {
    /// Looks at everything that [`Database::verify`] does, and at how the database lives.
    ///
    /// # Errors
    /// As [`Database::verify`].
    pub fn doctor(&self, wal_bytes_max: u64, job: &Job) -> Result<Vec<Finding>> {
        let mut findings = vec![kernels()];
        let report = self.verify(job)?;
        findings.extend(report.problems.iter().chain(&report.notes).map(of_problem));
        let stats = self.stats()?;
        for (name, stats) in &stats.collections {
            let rows = stats.segments.iter().map(|segment| segment.rows).sum();
            let live: u64 = stats.segments.iter().map(|segment| segment.live).sum();
            findings.extend(dead_rows(name, rows, rows - live));
            findings.extend(large_log(name, stats.wal_bytes, wal_bytes_max));
            if let Some(error) = &stats.last_background_error {
                findings.push(Finding {
                    code: "background-error",
                    severity: Severity::Warning,
                    what: format!("at {} ms after 1970: {}", error.unix_ms, error.what),
                    place: name.clone(),
                    remedy: "mend what it names; it is tried again with the next write",
                });
            }
            if stats.poisoned {
                findings.push(Finding {
                    code: "log-failed",
                    severity: Severity::Error,
                    what: "a write or sync of the log failed: writes are refused".to_owned(),
                    place: name.clone(),
                    remedy: "look at the disk, close the database and open it again",
                });
            }
            let flat = stats
                .segments
                .iter()
                .filter(|segment| segment.health == crate::Health::NoGraph);
            if let rows @ 1.. = flat.map(|segment| segment.live).sum::<u64>() {
                findings.push(Finding {
                    code: "no-graph",
                    severity: Severity::Info,
                    what: format!("{rows} rows are searched one by one until their graph is built"),
                    place: name.clone(),
                    remedy: "await db.compact(), or wait for the background",
                });
            }
        }
        findings.extend(space(&self.env, &self.dir, stats.stored_bytes));
        Ok(findings)
    }
}

fn kernels() -> Finding {
    let level = crate::simd_level();
    let slow = level == "scalar";
    Finding {
        code: "kernels",
        severity: if slow {
            Severity::Warning
        } else {
            Severity::Info
        },
        what: format!("distances are computed with {level}"),
        place: "this machine".to_owned(),
        remedy: if slow {
            "a processor with AVX2 or NEON searches several times faster"
        } else {
            "nothing"
        },
    }
}

fn dead_rows(name: &str, rows: u64, dead: u64) -> Option<Finding> {
    (rows >= ROWS_MIN && dead * 100 > rows * DEAD_PERCENT).then(|| Finding {
        code: "many-dead-rows",
        severity: Severity::Warning,
        what: format!("{dead} of {rows} rows are deleted or replaced and still stored"),
        place: name.to_owned(),
        remedy: "await db.compact()",
    })
}

fn large_log(name: &str, bytes: u64, most: u64) -> Option<Finding> {
    (bytes > most).then(|| Finding {
        code: "large-log",
        severity: Severity::Warning,
        what: format!("its log has {bytes} bytes, more than {most}: opening replays them"),
        place: name.to_owned(),
        remedy: "open it and await db.compact()",
    })
}

fn space(env: &Env, dir: &Path, stored: u64) -> Option<Finding> {
    let (free, wanted) = (env.disk.free_bytes(dir).ok()?, headroom(stored));
    (free < wanted).then(|| Finding {
        code: "low-headroom",
        severity: Severity::Warning,
        what: format!("{free} bytes are free; {stored} are stored, and {wanted} should be free"),
        place: shown(dir),
        remedy: "make room: a disk should have three to four times the data",
    })
}

fn of_problem(problem: &Problem) -> Finding {
    use ProblemKind::{Damaged, Foreign, Leftover, Missing, Sealed, Torn, Unchecked, Unsupported};
    let (code, severity, remedy) = match problem.kind {
        Damaged => (
            "damaged",
            Severity::Error,
            "restore a backup, or repair into a new directory",
        ),
        Missing => (
            "missing",
            Severity::Error,
            "restore a backup, or repair into a new directory",
        ),
        Unsupported => (
            "newer-format",
            Severity::Error,
            "open it with the newer version of the package that wrote it",
        ),
        Foreign => ("foreign-file", Severity::Warning, "move it elsewhere"),
        Torn => (
            "torn-log",
            Severity::Info,
            "nothing: the next open cuts it off",
        ),
        Leftover => (
            "leftover",
            Severity::Info,
            "nothing: the next open removes it",
        ),
        Sealed => (
            "sealed",
            Severity::Info,
            "give the key, and more can be checked",
        ),
        Unchecked => (
            "unchecked",
            Severity::Info,
            "ask its writer: db.verify(), or verify the directory once that is closed",
        ),
    };
    let section = problem
        .section
        .as_deref()
        .map(|section| format!(" in {section}"));
    let what = match (problem.kind, problem.offset) {
        (Damaged, at) => format!(
            "{}{} at byte {at}",
            problem.what,
            section.unwrap_or_default()
        ),
        _ => problem.what.clone(),
    };
    Finding {
        code,
        severity,
        what,
        place: shown(&problem.file),
        remedy,
    }
}

fn shown(path: impl Into<PathBuf>) -> String {
    path.into().display().to_string()
}
