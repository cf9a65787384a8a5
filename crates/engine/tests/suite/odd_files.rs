//! Pipes, sockets, links and directories in the places of files: a database that meets one refuses
//! it by name, waits for nobody, and touches nothing that a link leads to.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use cairn_engine::{
    Code, Database, Error, Fact, Job, KeyType, MetricName, Options, RepairOptions, WriteKind,
    WriteOptions, repair,
};
use cairn_env::{Access, Clock, Disk, Env, OsClock, OsDisk};
use cairn_testkit::TempDir;

use crate::common;
use common::{Home, Row, batch, everything, number, plain, put, remove};

/// What stands in a file's place.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Odd {
    Pipe,
    Socket,
    /// To a file that is whole, elsewhere.
    Link,
    Dangling,
    Circle,
    Device,
    Directory,
}

const ALL: [Odd; 7] = [
    Odd::Pipe,
    Odd::Socket,
    Odd::Link,
    Odd::Dangling,
    Odd::Circle,
    Odd::Device,
    Odd::Directory,
];

impl Odd {
    /// Puts it at `path`, where nothing is; `aside` takes what it needs.
    fn put(self, path: &Path, aside: &Path, whole: &[u8]) {
        match self {
            Self::Pipe => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
            Self::Socket => {
                // Paths of sockets are short.
                let made = aside.join("s");
                drop(UnixListener::bind(&made).unwrap());
                OsDisk.rename(&made, path).unwrap();
            }
            Self::Link => {
                let target = aside.join("target");
                OsDisk.create(&target).unwrap().write_at(0, whole).unwrap();
                symlink(&target, path).unwrap();
            }
            Self::Dangling => symlink(aside.join("nothing"), path).unwrap(),
            Self::Circle => symlink(path, path).unwrap(),
            Self::Device => symlink("/dev/zero", path).unwrap(),
            Self::Directory => OsDisk.create_dir(path).unwrap(),
        }
    }
}

/// Paths below the database, with what stands there.
type Files = Vec<(PathBuf, Vec<u8>)>;

/// Every kind of file there is.
fn files() -> Files {
    let home = Home::directory("odd-made");
    let shape = plain(KeyType::U64, 3, MetricName::L2);
    let row = |n: u64| Row::new(number(n), &[n as f32, 1.0, 2.0]);
    let database = home.open(Options::default());
    let collection = database.create_collection("c", shape.clone()).unwrap();
    put(&collection, &(0..50).map(row).collect::<Vec<_>>());
    let keyed = WriteOptions {
        idempotency_key: Some("once".to_owned()),
        ..WriteOptions::default()
    };
    let more = batch(&shape, WriteKind::Upsert, &[row(100)]);
    collection.write(more, keyed).unwrap();
    collection.compact(&Job::default()).unwrap();
    remove(&collection, &[number(3)]);
    collection.commit().unwrap();
    put(&collection, &[row(200)]);
    database.close().unwrap();
    let relative = |(path, bytes): (PathBuf, Vec<u8>)| {
        (path.strip_prefix(home.path()).unwrap().to_path_buf(), bytes)
    };
    home.files().into_iter().map(relative).collect()
}

/// A copy on the file system of the operating system.
struct Copy {
    dir: TempDir,
}

impl Copy {
    fn new(files: &Files) -> Self {
        let dir = TempDir::new("odd");
        let db = dir.path().join("db");
        for (path, bytes) in files {
            let path = db.join(path);
            for above in path.ancestors().skip(1).collect::<Vec<_>>().iter().rev() {
                let _ = OsDisk.create_dir(above);
            }
            OsDisk.create(&path).unwrap().write_at(0, bytes).unwrap();
        }
        for empty in ["wal", "seg", "del"] {
            let _ = OsDisk.create_dir(&db.join("collections/0000000000000001").join(empty));
        }
        Self { dir }
    }

    fn db(&self) -> PathBuf {
        self.dir.path().join("db")
    }
}

fn read(dir: &Path, only: bool) -> Result<u64, Error> {
    let env = Env::os(1);
    let database = if only {
        Database::open_read_only(env, dir, Options::default())?
    } else {
        Database::open(env, dir, Options::default())?
    };
    let collection = database.open_collection("c")?;
    let snapshot = collection.snapshot()?;
    let page = snapshot.scan(None)?.next_page(1_000, &everything())?;
    let records = page.len() as u64;
    database.close()?;
    Ok(records)
}

fn names(error: &Error, path: &Path) -> bool {
    let text = path.display().to_string();
    let named = |(name, fact): &(&str, Fact)| {
        matches!(*name, "file" | "path") && matches!(fact, Fact::Text(t) if *t == text)
    };
    error.details().iter().any(named)
}

/// A repair never changes what it saves from, not even by a path that leads there through a link.
#[test]
fn a_repair_into_the_database_through_a_link_is_refused() {
    let home = TempDir::new("repair-link");
    let (source, link) = (home.path().join("db"), home.path().join("link"));
    let env = Env::os(1);
    drop(Database::open(env.clone(), &source, Options::default()).unwrap());
    symlink(&source, &link).unwrap();
    let deep = home.path().join("deep");
    symlink(source.join("collections"), &deep).unwrap();
    let before = OsDisk.list(&source).unwrap();
    let targets = [
        link.join("saved"),
        link.join("new/saved"),
        link.join("collections/saved"),
        deep.join("saved"),
    ];
    for target in targets {
        let (options, job) = (RepairOptions::default(), Job::default());
        let refused = repair(&env, &source, &target, &options, &job).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert_eq!(OsDisk.list(&source).unwrap(), before);
    }
}

#[test]
fn anything_but_a_file_in_a_files_place_is_refused_by_name() {
    let files = files();
    let whole = read(&Copy::new(&files).db(), false).unwrap();
    assert_eq!(whole, 51);
    let clock = OsClock::new();
    let (mut refused, mut harmless) = (0, 0);
    for (name, bytes) in &files {
        for odd in ALL {
            for only in [false, true] {
                let what = format!("{odd:?} for {} only={only}", name.display());
                let copy = Copy::new(&files);
                let path = copy.db().join(name);
                OsDisk.remove_file(&path).unwrap();
                odd.put(&path, copy.dir.path(), bytes);
                let begun = clock.now();
                let answer = read(&copy.db(), only);
                let took = clock.now() - begun;
                assert!(took.as_secs() < 5, "{what} took {took:?}");
                match answer {
                    Ok(records) => {
                        // What only people read; and what a reader has no use for: the lock, and
                        // what writes under keys did.
                        let unread = name.ends_with("LOCK")
                            || name.extension().is_some_and(|it| it == "idm");
                        let idle = name.ends_with("LOCK.holder") || only && unread;
                        assert!(idle, "{what} was read");
                        assert_eq!(records, whole, "{what}");
                        harmless += 1;
                    }
                    Err(error) => {
                        assert_eq!(error.code(), Code::Corrupt, "{what}: {error}");
                        assert!(names(&error, &path), "{what}: {error}");
                        refused += 1;
                    }
                }
                if odd == Odd::Link {
                    let target = copy.dir.path().join("target");
                    let target = OsDisk.open(&target, Access::Read).unwrap();
                    let mut now = vec![0; bytes.len()];
                    assert_eq!(target.read_at(0, &mut now).unwrap(), bytes.len(), "{what}");
                    assert!(now == *bytes, "{what}: the target was written to");
                }
                let made = copy.dir.path().join("nothing");
                assert_eq!(OsDisk.entry(&made).unwrap(), None, "{what} made a file");
            }
        }
    }
    println!(
        "{refused} refused, {harmless} harmless, {} files",
        files.len()
    );
    assert!(files.len() >= 8 && refused >= 90, "{refused}");
}

#[test]
fn odd_things_beside_the_files_hold_up_nobody() {
    let files = files();
    let root = "collections/0000000000000001";
    let beside = [
        format!("{root}/seg/01HZZZZZZZZZZZZZZZZZZZZZZZ.seg"),
        format!("{root}/del/01HZZZZZZZZZZZZZZZZZZZZZZZ-00000000000000000001.del"),
        format!("{root}/idem/00000000000000000009.idm"),
        format!("{root}/manifest/00000000000000009999.man"),
        "catalog/00000000000000009999.cat".to_owned(),
        "collections/00000000000000ff".to_owned(),
        "notes".to_owned(),
    ];
    for name in &beside {
        for odd in ALL {
            if odd == Odd::Directory && name.ends_with("ff") {
                continue; // a directory of nobody's collection, which goes
            }
            let what = format!("{odd:?} at {name}");
            let copy = Copy::new(&files);
            let path = copy.db().join(name);
            odd.put(&path, copy.dir.path(), b"not ours");
            assert_eq!(read(&copy.db(), false).unwrap(), 51, "{what}");
            assert!(OsDisk.entry(&path).unwrap().is_some(), "{what} is not ours");
        }
    }
    // A log has no name that is not its own.
    for odd in ALL {
        let copy = Copy::new(&files);
        let path = copy.db().join(root).join("wal/00000000000000009999.wal");
        odd.put(&path, copy.dir.path(), b"");
        let error = read(&copy.db(), false).unwrap_err();
        assert_eq!(error.code(), Code::Corrupt, "{odd:?}: {error}");
        assert!(names(&error, &path), "{odd:?}: {error}");
    }
}
