//! Checks and repairs, of an open database and of a directory that does not open.

use std::path::PathBuf;
use std::sync::Arc;

use cairn_engine::encryption::{Key, KeyProvider, NamedKey};
use cairn_engine::{
    DoctorOptions, Finding, KeyBuf, LeftVersion, Lost, Problem, RepairOptions, RepairReport,
    Repaired, Report, VerifyOptions, doctor, repair, verify_directory,
};
use cairn_env::Lane;
use napi::bindgen_prelude::{BigInt, Object};
use napi_derive::napi;

use crate::convert::to_size;
use crate::database::{BindingKey, named_key, process_env};
use crate::task::{Ticket, job, spawn};

/// Something that a check found.
#[napi(object)]
pub struct BindingProblem {
    /// `damaged`, `unsupported`, `missing`, `foreign`, `torn`, `leftover`, `sealed` or `unchecked`.
    pub kind: String,
    /// The file or directory.
    pub file: String,
    /// The section, of files that have sections.
    pub section: Option<String>,
    /// Bytes from the start of the file.
    pub offset: f64,
    /// Bytes known to be wrong; 0 where that is not known.
    pub bytes: f64,
    /// Which rule is broken.
    pub what: String,
    /// Records it touches, where that can be told; of what is unchecked, those in no segment.
    pub records: Option<f64>,
}

/// What a check came to.
#[napi(object)]
pub struct BindingReport {
    /// Files that were checked.
    pub files: f64,
    /// Bytes that were read.
    pub bytes: f64,
    /// What is wrong.
    pub problems: Vec<BindingProblem>,
    /// What is worth knowing.
    pub notes: Vec<BindingProblem>,
    /// `none`, `decrypted` or `checksums`.
    pub encryption: String,
}

/// One collection that was saved.
#[napi(object)]
pub struct BindingRepaired {
    /// Its name.
    pub name: String,
    /// Records saved.
    pub records: f64,
    /// Rows that are damaged.
    pub lost: f64,
    /// Rows of which nobody can tell whether they were deleted.
    pub doubtful: f64,
}

/// Neighbouring rows of a segment that were left behind.
#[napi(object)]
pub struct BindingLost {
    /// The segment.
    pub file: String,
    /// The first row.
    pub first_row: f64,
    /// How many.
    pub rows: f64,
    /// Keys that can be read, at most 100; numbers in decimal digits.
    pub keys: Vec<String>,
    /// Whether they are whole, but may have been deleted.
    pub doubtful: bool,
}

/// What a repair came to.
#[napi(object)]
pub struct BindingRepairReport {
    /// The collections of the new database.
    pub collections: Vec<BindingRepaired>,
    /// What is wrong with the old one.
    pub problems: Vec<BindingProblem>,
    /// Rows that were left behind.
    pub lost: Vec<BindingLost>,
    /// Versions that were left behind.
    pub versions: Vec<BindingLeftVersion>,
}

/// A recorded version that was left behind.
#[napi(object)]
pub struct BindingLeftVersion {
    /// Its number.
    pub version: BigInt,
    /// Its name.
    pub name: Option<String>,
    /// Whether its record can be read.
    pub is_readable: bool,
}

/// Checks a directory that nobody has open.
#[napi]
pub fn verify<'env>(
    env: &'env napi::Env,
    path: String,
    key: Option<BindingKey>,
    threads: u32,
    ticket: Ticket<'_>,
) -> napi::Result<Object<'env>> {
    let (world, job) = (process_env(threads), job(&ticket));
    let pool = Arc::clone(&world.threads);
    let key = key.as_ref().map(named_key).transpose();
    let work = move || {
        let encryption = key?.map(|key| Arc::new(key) as Arc<dyn KeyProvider>);
        let options = VerifyOptions { encryption };
        verify_directory(&world, &PathBuf::from(path), &options, &job)
    };
    spawn(env, &pool, Lane::Job, work, |report| {
        BindingReport::from(&report)
    })
}

/// Something that a doctor found.
#[napi(object)]
pub struct BindingFinding {
    /// What it is called.
    pub code: String,
    /// `info`, `warning` or `error`.
    pub severity: String,
    /// What is the case.
    pub what: String,
    /// The file, directory or collection.
    #[napi(js_name = "where")]
    pub place: String,
    /// What mends it.
    pub remedy: String,
}

/// Looks at a directory, which need not open.
#[napi(js_name = "doctor")]
pub fn doctor_directory<'env>(
    env: &'env napi::Env,
    path: String,
    key: Option<BindingKey>,
    wal_bytes_max: f64,
    threads: u32,
    ticket: Ticket<'_>,
) -> napi::Result<Object<'env>> {
    let (world, job) = (process_env(threads), job(&ticket));
    let pool = Arc::clone(&world.threads);
    let key = key.as_ref().map(named_key).transpose();
    let work = move || {
        let options = DoctorOptions {
            encryption: key?.map(|key| Arc::new(key) as Arc<dyn KeyProvider>),
            wal_bytes_max: to_size(wal_bytes_max) as u64,
        };
        doctor(&world, &PathBuf::from(path), &options, &job)
    };
    spawn(env, &pool, Lane::Job, work, |findings| {
        all::<_, BindingFinding>(&findings)
    })
}

/// How a repair goes about it.
#[napi(object)]
pub struct BindingRepairOptions {
    /// Whether rows are saved that may have been deleted.
    pub keep_doubtful: bool,
    /// Key of an encrypted database.
    pub key: Option<BindingKey>,
    /// Key of the new one.
    pub new_key: Option<BindingKey>,
}

/// The key of a damaged database, and that of the one it is saved into.
#[derive(Debug)]
struct OldAndNew {
    old: NamedKey,
    new: NamedKey,
}

impl KeyProvider for OldAndNew {
    fn current(&self) -> NamedKey {
        self.new.clone()
    }

    fn key(&self, id: &str) -> Option<Key> {
        let of = if id == self.new.id {
            &self.new
        } else {
            &self.old
        };
        Some(of.key.clone())
    }
}

/// Saves what is left of the database in `source` into a new one in `target`.
#[napi(js_name = "repair")]
pub fn repair_directory<'env>(
    env: &'env napi::Env,
    source: String,
    target: String,
    options: BindingRepairOptions,
    threads: u32,
    ticket: Ticket<'_>,
) -> napi::Result<Object<'env>> {
    let (world, job) = (process_env(threads), job(&ticket));
    let pool = Arc::clone(&world.threads);
    let old = options.key.as_ref().map(named_key).transpose();
    let new = options.new_key.as_ref().map(named_key).transpose();
    let keep_doubtful = options.keep_doubtful;
    let work = move || {
        let both = old?.zip(new?).map(|(old, new)| OldAndNew { old, new });
        let options = RepairOptions {
            keep_doubtful,
            encryption: both.map(|both| Arc::new(both) as Arc<dyn KeyProvider>),
        };
        let (source, target) = (PathBuf::from(source), PathBuf::from(target));
        repair(&world, &source, &target, &options, &job)
    };
    spawn(env, &pool, Lane::Job, work, |report| {
        BindingRepairReport::from(&report)
    })
}

pub(crate) fn all<'a, A, B: From<&'a A>>(many: &'a [A]) -> Vec<B> {
    many.iter().map(B::from).collect()
}

impl From<&Problem> for BindingProblem {
    fn from(problem: &Problem) -> Self {
        Self {
            kind: problem.kind.as_str().to_owned(),
            file: problem.file.display().to_string(),
            section: problem.section.clone(),
            offset: problem.offset as f64,
            bytes: problem.bytes as f64,
            what: problem.what.clone(),
            records: problem.records.map(|records| records as f64),
        }
    }
}

impl From<&Report> for BindingReport {
    fn from(report: &Report) -> Self {
        Self {
            files: report.files as f64,
            bytes: report.bytes as f64,
            problems: all(&report.problems),
            notes: all(&report.notes),
            encryption: report.encryption.as_str().to_owned(),
        }
    }
}

impl From<&Repaired> for BindingRepaired {
    fn from(repaired: &Repaired) -> Self {
        Self {
            name: repaired.name.clone(),
            records: repaired.records as f64,
            lost: repaired.lost as f64,
            doubtful: repaired.doubtful as f64,
        }
    }
}

impl From<&Finding> for BindingFinding {
    fn from(finding: &Finding) -> Self {
        Self {
            code: finding.code.to_owned(),
            severity: finding.severity.as_str().to_owned(),
            what: finding.what.clone(),
            place: finding.place.clone(),
            remedy: finding.remedy.to_owned(),
        }
    }
}

impl From<&LeftVersion> for BindingLeftVersion {
    fn from(left: &LeftVersion) -> Self {
        Self {
            version: BigInt::from(left.version),
            name: left.name.clone(),
            is_readable: left.is_readable,
        }
    }
}

impl From<&Lost> for BindingLost {
    fn from(lost: &Lost) -> Self {
        let key = |key: &KeyBuf| match key {
            KeyBuf::Str(text) => text.to_string(),
            KeyBuf::U64(number) => number.to_string(),
        };
        Self {
            file: lost.file.display().to_string(),
            first_row: lost.first_row as f64,
            rows: lost.rows as f64,
            keys: lost.keys.iter().map(key).collect(),
            doubtful: lost.doubtful,
        }
    }
}

impl From<&RepairReport> for BindingRepairReport {
    fn from(report: &RepairReport) -> Self {
        Self {
            collections: all(&report.collections),
            problems: all(&report.problems),
            lost: all(&report.lost),
            versions: all(&report.versions),
        }
    }
}
