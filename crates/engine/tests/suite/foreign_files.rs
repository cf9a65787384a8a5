//! What is not of the database: links, pipes and directories in the place of files are refused at
//! open and never followed, strange names are told by a check and left alone. And headers that are
//! whole but say something else: each field of each kind of file, changed and sealed again.

#![cfg(unix)]
use std::path::{Path, PathBuf};
use std::process::Command;

use cairn_engine::{
    Code, Database, Error, Job, Options, ProblemKind, Report, VersionId, verify_directory,
};
use cairn_env::{Access, Disk, Env, OsDisk};
use cairn_storage::Crc32c;
use cairn_testkit::{SimDisk, TempDir};

use crate::crash;
use crate::rest;
use crash::lanes::Machine;
use rest::{DIR, Rest, kind};

/// The database of `rest` as files of the operating system.
fn on_disk(rest: &Rest, root: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let mut dirs: Vec<PathBuf> = Vec::new();
    for path in rest.disk.paths() {
        let inside = path.strip_prefix(DIR).expect("below the database");
        let target = root.join(inside.trim_start_matches('/'));
        let above = target.ancestors().skip(1).map(Path::to_path_buf);
        dirs.extend(above.take_while(|dir| dir != root.parent().expect("a parent")));
        paths.push((path.clone(), target));
    }
    for id in ["0000000000000001", "0000000000000002"] {
        for dir in ["seg", "del", "idem", "wal", "manifest"] {
            dirs.push(root.join("collections").join(id).join(dir));
        }
    }
    dirs.sort();
    dirs.dedup();
    for dir in dirs {
        OsDisk.create_dir(&dir).expect("a new directory");
    }
    let mut files = Vec::new();
    for (path, target) in paths {
        let bytes = rest.disk.read_all(&path).expect("a listed file");
        let file = OsDisk.create(&target).expect("a new file");
        file.write_at(0, &bytes).expect("room");
        files.push(target);
    }
    files
}

fn open_all(dir: &Path) -> Result<(), Error> {
    let database = Database::open(Env::os(1), dir, Options::default())?;
    for name in ["numbers", "words"] {
        rest::read(&database.open_collection(name)?)?;
    }
    Ok(())
}

fn check(dir: &Path) -> Report {
    verify_directory(&Env::os(1), dir, &rest::checks(), &Job::default()).expect("a check answers")
}

fn run(program: &str, args: &[&str]) {
    let done = Command::new(program).args(args).status().expect(program);
    assert!(done.success(), "{program} {args:?}");
}

type Place = fn(&Path, &Path);

/// What may stand in the place of a file.
const STRANGERS: [(&str, Place); 4] = [
    ("a link to the file itself, moved away", |file, aside| {
        OsDisk.rename(file, aside).expect("a file");
        run(
            "ln",
            &[
                "-s",
                &aside.display().to_string(),
                &file.display().to_string(),
            ],
        );
    }),
    ("a link to nothing", |file, aside| {
        OsDisk.rename(file, aside).expect("a file");
        run(
            "ln",
            &["-s", "/nonexistent/nothing", &file.display().to_string()],
        );
    }),
    ("a pipe", |file, aside| {
        OsDisk.rename(file, aside).expect("a file");
        run("mkfifo", &[&file.display().to_string()]);
    }),
    ("a directory", |file, aside| {
        OsDisk.rename(file, aside).expect("a file");
        OsDisk.create_dir(file).expect("a free name");
    }),
];

#[test]
fn what_stands_in_the_place_of_a_file_is_refused_and_not_followed() {
    let rest = Rest::new();
    for (what, place) in STRANGERS {
        let dir = TempDir::new("strangers");
        let names = on_disk(&rest, &dir.path().join("db"));
        for (index, name) in names.iter().enumerate() {
            let shown = name.display().to_string();
            if kind(&shown) == "leftover" || shown.ends_with("LOCK.holder") {
                continue;
            }
            // One of each kind.
            let same = |other: &&PathBuf| kind(&other.display().to_string()) == kind(&shown);
            if names.iter().find(same) != Some(name) {
                continue;
            }
            let root = dir.path().join(format!("{index}"));
            let files = on_disk(&rest, &root);
            let aside = dir.path().join(format!("aside-{index}"));
            place(&files[index], &aside);
            let report = check(&root);
            let told = report.problems.iter().find(|p| p.file == files[index]);
            let told = told.unwrap_or_else(|| panic!("{what}, {shown}: {:?}", report.problems));
            assert_eq!(told.kind, ProblemKind::Damaged, "{what}, {shown}");
            let error = open_all(&root).expect_err(&format!("{what}, {shown}"));
            assert_eq!(error.code(), Code::Corrupt, "{what}, {shown}: {error}");
        }
    }
}

#[test]
fn a_link_in_the_place_of_a_directory_is_refused() {
    let rest = Rest::new();
    for inside in [
        "catalog",
        "collections",
        "collections/0000000000000001",
        "collections/0000000000000001/seg",
        "collections/0000000000000001/del",
        "collections/0000000000000001/wal",
        "collections/0000000000000001/manifest",
    ] {
        let dir = TempDir::new("links");
        let root = dir.path().join("db");
        on_disk(&rest, &root);
        let (place, aside) = (root.join(inside), dir.path().join("aside"));
        OsDisk.rename(&place, &aside).expect("a directory");
        run(
            "ln",
            &[
                "-s",
                &aside.display().to_string(),
                &place.display().to_string(),
            ],
        );
        assert!(
            check(&root).problems.iter().any(|p| p.file == place),
            "{inside}"
        );
        let error = open_all(&root).expect_err(inside);
        assert_eq!(error.code(), Code::Corrupt, "{inside}: {error}");
    }
}

#[test]
fn strange_names_are_told_and_left_alone() {
    let rest = Rest::new();
    let dir = TempDir::new("foreign");
    let root = dir.path().join("db");
    on_disk(&rest, &root);
    let one = root.join("collections/0000000000000001");
    let mut strangers = Vec::new();
    for at in [
        &root,
        &root.join("catalog"),
        &root.join("collections"),
        &one,
    ] {
        strangers.push(at.join("notes.txt"));
    }
    for sub in ["wal", "seg", "del", "idem", "manifest"] {
        strangers.push(one.join(sub).join("notes.txt"));
        strangers.push(one.join(sub).join("1.wal"));
    }
    for path in &strangers {
        OsDisk.create(path).expect("a free name");
    }
    let link = one.join("seg/link");
    run("ln", &["-s", "/etc/passwd", &link.display().to_string()]);
    strangers.push(link);
    let report = check(&root);
    for path in &strangers {
        let told = report.problems.iter().find(|p| p.file == *path);
        assert_eq!(
            told.map(|p| p.kind),
            Some(ProblemKind::Foreign),
            "{}",
            path.display()
        );
    }
    assert_eq!(report.problems.len(), strangers.len());
    open_all(&root).expect("it opens beside them");
    for path in &strangers {
        assert!(
            OsDisk.entry(path).expect("an answer").is_some(),
            "{}",
            path.display()
        );
    }
    assert!(OsDisk.open(&root.join("CURRENT"), Access::Read).is_ok());
}

/// A change to a header at `at`, which is sealed again.
struct Change {
    kind: &'static str,
    field: &'static str,
    /// Where the header begins, from the end when negative, and its bytes.
    header: (i64, usize),
    at: usize,
    bytes: &'static [u8],
    code: Code,
}

const BOMB: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 0x40];

#[rustfmt::skip]
const CHANGES: [Change; 36] = {
    const fn c(kind: &'static str, field: &'static str, header: (i64, usize), at: usize, bytes: &'static [u8], code: Code) -> Change {
        Change { kind, field, header, at, bytes, code }
    }
    use Code::{Corrupt, UnsupportedFormat};
    [
        c("pointer", "magic", (0, 32), 0, b"CAIRNVER", Corrupt),
        c("pointer", "format version", (0, 32), 8, &[2, 0], UnsupportedFormat),
        c("pointer", "flags", (0, 32), 10, &[0, 0x80], UnsupportedFormat),
        c("pointer", "version that counts", (0, 32), 16, BOMB, Corrupt),
        c("manifest", "magic", (0, 48), 0, b"CAIRNCUR", Corrupt),
        c("manifest", "format version", (0, 48), 8, &[9, 0], UnsupportedFormat),
        c("manifest", "flags", (0, 48), 10, &[1, 0], UnsupportedFormat),
        c("manifest", "version", (0, 48), 16, &[99], Corrupt),
        c("manifest", "body length", (0, 48), 24, BOMB, Corrupt),
        c("manifest", "body checksum", (0, 48), 32, &[1, 2, 3, 4], Corrupt),
        c("manifest", "kind", (0, 48), 36, b"cat", Corrupt),
        c("catalog", "format version", (0, 48), 8, &[2, 0], UnsupportedFormat),
        c("catalog", "flag of encryption", (0, 48), 10, &[2, 0], Corrupt),
        c("catalog", "version", (0, 48), 16, &[99], Corrupt),
        c("catalog", "body length", (0, 48), 24, BOMB, Corrupt),
        c("catalog", "kind", (0, 48), 36, b"man", Corrupt),
        c("log", "magic", (0, 64), 0, b"CAIRNSEG", Corrupt),
        c("log", "format version", (0, 64), 8, &[2, 0], UnsupportedFormat),
        c("log", "flags", (0, 64), 10, &[4, 0], UnsupportedFormat),
        c("log", "flag of encryption", (0, 64), 10, &[2, 0], Corrupt),
        c("log", "log_id", (0, 64), 16, &[0; 8], Corrupt),
        c("log", "collection", (0, 64), 24, &[99], Corrupt),
        c("log", "first_lsn", (0, 64), 32, BOMB, Corrupt),
        c("log", "prev_lsn", (0, 64), 40, BOMB, Corrupt),
        c("segment", "magic", (0, 64), 0, b"CAIRNWAL", Corrupt),
        c("segment", "format version", (0, 64), 8, &[2, 0], UnsupportedFormat),
        c("segment", "flags", (0, 64), 10, &[4, 0], UnsupportedFormat),
        c("segment", "flag of encryption", (0, 64), 10, &[2, 0], Corrupt),
        c("segment", "identity", (0, 64), 16, &[1, 2, 3], Corrupt),
        c("segment", "collection", (0, 64), 32, &[99], Corrupt),
        c("segment", "trailer's magic", (-48, 48), 0, b"CAIRNSEG", Corrupt),
        c("segment", "trailer's format version", (-48, 48), 8, &[2, 0], UnsupportedFormat),
        c("segment", "footer offset", (-48, 48), 16, BOMB, Corrupt),
        c("segment", "footer length", (-48, 48), 24, BOMB, Corrupt),
        c("segment", "file length", (-48, 48), 32, BOMB, Corrupt),
        c("deletions", "footer checksum", (-48, 48), 40, &[1, 2, 3, 4], Corrupt),
    ]
};

/// A length of 2^62 is among them: memory taken for it would end this process.
#[test]
fn a_header_that_says_something_else_is_refused_whole_as_it_is() {
    let rest = Rest::with_version();
    for change in &CHANGES {
        for path in rest
            .disk
            .paths()
            .iter()
            .filter(|path| kind(path) == change.kind)
        {
            let about = format!("{path}: {}", change.field);
            let mut bytes = rest.disk.read_all(path).expect("a listed file");
            let (from, length) = change.header;
            let start = usize::try_from(if from < 0 {
                bytes.len() as i64 + from
            } else {
                from
            });
            let start = start.expect("an offset");
            let header = &mut bytes[start..start + length];
            header[change.at..change.at + change.bytes.len()].copy_from_slice(change.bytes);
            let mut crc = Crc32c::new();
            crc.update(&header[..12]);
            crc.update(&header[16..]);
            header[12..16].copy_from_slice(&crc.finish().to_le_bytes());
            let disk = rest.copy();
            disk.put(path, &bytes).expect("room");
            expect_refused(&disk, change, &about);
        }
    }
}

fn expect_refused(disk: &SimDisk, change: &Change, about: &str) {
    let env = Machine::on(disk, 3).env;
    let report =
        verify_directory(&env, Path::new(DIR), &rest::checks(), &Job::default()).expect("a report");
    let wanted = match change.code {
        Code::UnsupportedFormat => &[ProblemKind::Unsupported][..],
        _ => &[ProblemKind::Damaged, ProblemKind::Missing],
    };
    let told = report.problems.iter().any(|p| wanted.contains(&p.kind));
    assert!(told, "{about}: {:?}", report.problems);
    let opened = Database::open(Machine::on(disk, 41).env, Path::new(DIR), rest::options());
    let read = opened.and_then(|database| {
        for name in ["numbers", "words"] {
            rest::read(&database.open_collection(name)?)?;
        }
        // The files of the recorded version, too.
        for version in database.versions()? {
            let past = database.at(&VersionId::Lsn(version.version))?;
            for collection in past.collections()? {
                rest::read(&past.open_collection(&collection.name)?)?;
            }
        }
        Ok(())
    });
    let error = read.expect_err(about);
    assert_eq!(error.code(), change.code, "{about}: {error}");
}
