//! A directory that may be read and no more, because its files are somebody else's (modes 0400 and 0500)
//! or its disk is mounted so, is looked at like any other: checked, told of, and saved from. Writers are
//! kept out meanwhile, and keep a check out.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cairn_engine::{
    Code, Database, DoctorOptions, Job, RepairOptions, Severity, VerifyOptions, doctor, repair,
    verify_directory,
};
use cairn_env::{Access, DirEntry, DirLock, Disk, DiskFile, EntryKind, Env};
use cairn_testkit::SimDisk;

use crate::crash::lanes::Machine;
use crate::rest::{self, DIR, Rest, options};

/// A disk that refuses whatever would write below [`DIR`].
struct Unwritable {
    inner: SimDisk,
    refusal: ErrorKind,
}

impl Unwritable {
    fn env(disk: &SimDisk, refusal: ErrorKind) -> Env {
        let inner = disk.clone();
        Env {
            disk: Arc::new(Self { inner, refusal }),
            ..Machine::on(disk, 3).env
        }
    }

    fn may_write(&self, path: &Path) -> io::Result<&SimDisk> {
        match path.starts_with(DIR) {
            true => Err(self.refusal.into()),
            false => Ok(&self.inner),
        }
    }
}

impl Disk for Unwritable {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.may_write(path)?.create(path)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        match access {
            Access::Read => self.inner.open(path, access),
            Access::Write => self.may_write(path)?.open(path, access),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.may_write(from)?;
        self.may_write(to)?.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.may_write(path)?.remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.may_write(path)?.create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.may_write(path)?.remove_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.list(dir)
    }

    fn entry(&self, path: &Path) -> io::Result<Option<EntryKind>> {
        self.inner.entry(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DirLock>>> {
        self.may_write(path)?.lock(path)
    }

    fn lock_existing(&self, path: &Path) -> io::Result<Option<Box<dyn DirLock>>> {
        self.inner.lock_existing(path)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.inner.free_bytes(dir)
    }
}

const REFUSALS: [ErrorKind; 2] = [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem];

fn files(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let read = |path: String| {
        let bytes = disk.read_all(&path).unwrap();
        (path, bytes)
    };
    disk.paths().into_iter().map(read).collect()
}

fn check(env: &Env, job: &Job) -> cairn_engine::Result<cairn_engine::Report> {
    verify_directory(env, Path::new(DIR), &VerifyOptions::default(), job)
}

#[test]
fn what_may_only_be_read_is_checked_and_writers_are_kept_out_meanwhile() {
    let rest = Rest::new();
    let usual = check(&Machine::on(&rest.disk, 3).env, &Job::default()).unwrap();
    for refusal in REFUSALS {
        let disk = rest.copy();
        let before = files(&disk);
        let (same, refused) = (disk.clone(), Arc::new(AtomicU64::new(0)));
        let count = Arc::clone(&refused);
        let job = Job {
            progress: Some(Arc::new(move |_, _| {
                let opened = Database::open(Machine::on(&same, 8).env, Path::new(DIR), options());
                assert_eq!(opened.err().map(|error| error.code()), Some(Code::Locked));
                count.fetch_add(1, Ordering::Relaxed);
            })),
            ..Job::default()
        };
        let report = check(&Unwritable::env(&disk, refusal), &job).unwrap();
        assert_eq!(report.problems, [], "{refusal:?}");
        assert_eq!((report.files, report.bytes), (usual.files, usual.bytes));
        assert_eq!(report.notes, usual.notes, "{refusal:?}");
        assert!(refused.load(Ordering::Relaxed) > 0);
        assert_eq!(files(&disk), before, "{refusal:?}");
    }
}

#[test]
fn a_writer_that_has_it_open_keeps_a_check_out() {
    for refusal in REFUSALS {
        let rest = Rest::new();
        let machine = Machine::on(&rest.disk, 5);
        let database = Database::open(machine.env, Path::new(DIR), options()).unwrap();
        let env = Unwritable::env(&rest.disk, refusal);
        let refused = check(&env, &Job::default());
        assert_eq!(refused.err().map(|error| error.code()), Some(Code::Locked));
        let found = doctor(
            &env,
            Path::new(DIR),
            &DoctorOptions::default(),
            &Job::default(),
        );
        assert!(found.unwrap().iter().any(|it| it.code == "locked"));
        database.close().unwrap();
        check(&env, &Job::default()).unwrap();
    }
}

#[test]
fn a_doctor_looks_at_what_may_only_be_read_and_a_repair_saves_from_it() {
    for refusal in REFUSALS {
        let rest = Rest::new();
        let env = Unwritable::env(&rest.disk, refusal);
        let (dir, job) = (Path::new(DIR), Job::default());
        let found = doctor(&env, dir, &DoctorOptions::default(), &job).unwrap();
        let ill = found.iter().filter(|it| it.severity == Severity::Error);
        assert_eq!(ill.count(), 0, "{refusal:?}: {found:?}");

        let before = files(&rest.disk);
        let target = Path::new("/data/saved");
        let saved = repair(&env, dir, target, &RepairOptions::default(), &job).unwrap();
        assert_eq!(saved.problems, [], "{refusal:?}");
        let after: Vec<_> = (files(&rest.disk).into_iter())
            .filter(|(path, _)| path.starts_with(&format!("{DIR}/")))
            .collect();
        assert_eq!(after, before, "{refusal:?}");
        let database = Database::open(env, target, options()).unwrap();
        for (name, expected) in &rest.contents {
            let collection = database.open_collection(name).unwrap();
            assert_eq!(rest::read(&collection).unwrap().len(), expected.len());
        }
    }
}
