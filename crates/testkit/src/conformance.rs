//! What every [`Disk`] does, as one suite for all of them.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use cairn_env::{Access, DirEntry, Disk, DiskFile, EntryKind};

type Case = fn(&Arc<dyn Disk>, &Path) -> io::Result<()>;

const CASES: [(&str, Case); 12] = [
    ("reads_what_was_written", reads_what_was_written),
    (
        "length_follows_writes_and_cuts",
        length_follows_writes_and_cuts,
    ),
    (
        "preallocation_extends_and_never_cuts",
        preallocation_extends_and_never_cuts,
    ),
    ("create_refuses_what_exists", create_refuses_what_exists),
    ("open_refuses_what_is_no_file", open_refuses_what_is_no_file),
    ("reading_handles_do_not_write", reading_handles_do_not_write),
    ("rename_replaces", rename_replaces),
    ("rename_moves_directories", rename_moves_directories),
    ("removed_files_stay_readable", removed_files_stay_readable),
    ("directories_list_sorted", directories_list_sorted),
    ("locks_exclude", locks_exclude),
    (
        "handles_are_shared_between_threads",
        handles_are_shared_between_threads,
    ),
];

/// Checks that disks made by `make` keep the promises of [`Disk`] that need no crash. Each
/// case gets a fresh disk and an empty directory of its own below `root`, which must exist.
///
/// # Panics
/// If a promise is broken; the message names the case.
///
/// # Examples
/// ```
/// use cairn_env::MemoryDisk;
/// use cairn_testkit::disk_conformance;
/// use std::path::Path;
/// use std::sync::Arc;
///
/// disk_conformance(Path::new("/"), || Arc::new(MemoryDisk::new()));
/// ```
pub fn disk_conformance(root: &Path, make: impl Fn() -> Arc<dyn Disk>) {
    for (name, case) in CASES {
        let disk = make();
        let dir = root.join(name);
        let result = disk.create_dir(&dir).and_then(|()| case(&disk, &dir));
        if let Err(error) = result {
            panic!("case {name} failed: {error}");
        }
    }
}

fn reads_what_was_written(disk: &Arc<dyn Disk>, dir: &Path) -> io::Result<()> {
    let file = disk.create(&dir.join("a"))?;
    // Across several chunks of every implementation, at an odd place.
    let bytes: Vec<u8> = (0..3_000_001u32).map(|n| (n % 251) as u8).collect();
    file.write_at(1_000_003, &bytes)?;
    file.write_at(1_500_000, b"here")?;
    let mut back = vec![1; 4_000_004];
    file.read_exact_at(0, &mut back)?;
    assert!(
        back[..1_000_003].iter().all(|&byte| byte == 0),
        "a hole reads zeros"
    );
    assert!(back[1_000_003..1_500_000] == bytes[..499_997]);
    assert_eq!(&back[1_500_000..1_500_004], b"here");
    assert!(back[1_500_004..] == bytes[500_001..]);
    file.sync_data()?;
    disk.sync_dir(dir)?;
    let again = disk.open(&dir.join("a"), Access::Read)?;
    let mut part = [0; 10];
    assert_eq!(again.read_at(4_000_000, &mut part)?, 4, "short at the end");
    assert_eq!(again.read_at(4_000_004, &mut part)?, 0);
    assert_eq!(again.read_at(1 << 39, &mut part)?, 0);
    assert_eq!(again.read_at(0, &mut [])?, 0);
    assert_eq!(
        kind(again.read_exact_at(4_000_000, &mut part)),
        Some(ErrorKind::UnexpectedEof)
    );
    Ok(())
}

fn length_follows_writes_and_cuts(disk: &Arc<dyn Disk>, dir: &Path) -> io::Result<()> {
    let file = disk.create(&dir.join("a"))?;
    assert!(file.is_empty()?);
    file.write_at(10, b"")?;
    assert_eq!(file.len()?, 0, "writing nothing does not grow a file");
    file.write_at(4090, &[7; 20])?;
    assert_eq!(file.len()?, 4110);
    file.set_len(4095)?;
    file.set_len(5000)?;
    let mut tail = [9; 10];
    file.read_exact_at(4090, &mut tail)?;
    assert_eq!(
        tail,
        [7, 7, 7, 7, 7, 0, 0, 0, 0, 0],
        "cut bytes come back as zeros"
    );
    file.write_at(4999, &[1, 2])?;
    assert_eq!(file.len()?, 5001);
    Ok(())
}

fn preallocation_extends_and_never_cuts(disk: &Arc<dyn Disk>, dir: &Path) -> io::Result<()> {
    let file = disk.create(&dir.join("a"))?;
    file.preallocate(0)?;
    assert_eq!(file.len()?, 0);
    file.write_at(0, b"abc")?;
    file.preallocate(10_000)?;
    assert_eq!(file.len()?, 10_000);
    file.preallocate(5)?;
    assert_eq!(file.len()?, 10_000);
    let mut bytes = vec![9; 10_000];
    file.read_exact_at(0, &mut bytes)?;
    assert!(&bytes[..3] == b"abc" && bytes[3..].iter().all(|&byte| byte == 0));
    Ok(())
}

fn create_refuses_what_exists(disk: &Arc<dyn Disk>, dir: &Path) -> io::Result<()> {
    disk.create(&dir.join("a"))?;
    disk.create_dir(&dir.join("d"))?;
    for name in ["a", "d"] {
        assert_eq!(
            kind(disk.create(&dir.join(name))),
            Some(ErrorKind::AlreadyExists)
        );
        assert_eq!(
            kind(disk.create_dir(&dir.join(name))),
            Some(ErrorKind::AlreadyExists)
        );
    }
    assert_eq!(kind(disk.create_dir(dir)), Some(ErrorKind::AlreadyExists));
    assert_eq!(
        kind(disk.create(&dir.join("none/a"))),
        Some(ErrorKind::NotFound)
    );
    assert_eq!(
        kind(disk.create_dir(&dir.join("none/d"))),
        Some(ErrorKind::NotFound)
    );
    Ok(())
}

fn open_refuses_what_is_no_file(disk: &Arc<dyn Disk>, dir: &Path) -> io::Result<()> {
    for access in [Access::Read, Access::Write] {
        assert_eq!(
            kind(disk.open(&dir.join("none"), access)),
            Some(ErrorKind::NotFound)
        );
        assert_eq!(kind(disk.open(dir, access)), Some(ErrorKind::InvalidInput));
    }
    assert_eq!(disk.entry(&dir.join("none"))?, None);
    assert_eq!(disk.entry(dir)?, Some(EntryKind::Dir));
    disk.create(&dir.join("a"))?;
    assert_eq!(disk.entry(&dir.join("a"))?, Some(EntryKind::File));
    assert_eq!(
        disk.entry(&dir.join("a/b"))?,
        None,
        "nothing lies below a file"
    );
    Ok(())
}

fn reading_handles_do_not_write(disk: &Arc<dyn Disk>, dir: &Path) -> io::Result<()> {
    disk.create(&dir.join("a"))?.write_at(0, b"abc")?;
    let file = disk.open(&dir.join("a"), Access::Read)?;
    assert!(file.write_at(0, b"x").is_err());
    assert!(file.set_len(0).is_err());
    assert_eq!(file.len()?, 3);
    disk.open(&dir.join("a"), Access::Write)?
        .write_at(0, b"x")?;
    let mut bytes = [0; 3];
    file.read_exact_at(0, &mut bytes)?;
    assert_eq!(&bytes, b"xbc", "handles see each other's writes");
    Ok(())
}

fn rename_replaces(disk: &Arc<dyn Disk>, dir: &Path) -> io::Result<()> {
    let [a, b] = ["a", "b"].map(|name| dir.join(name));
    let held = disk.create(&b)?;
    held.write_at(0, b"old")?;
    disk.create(&a)?.write_at(0, b"new")?;
    disk.rename(&a, &b)?;
    assert_eq!(read(&*disk.open(&b, Access::Read)?)?, b"new");
    assert_eq!(read(&*held)?, b"old", "a replaced file stays readable");
    assert_eq!(disk.entry(&a)?, None);
    assert_eq!(kind(disk.rename(&a, &b)), Some(ErrorKind::NotFound));
    disk.rename(&b, &b)?;
    disk.create_dir(&a)?;
    assert!(
        disk.rename(&b, &a).is_err(),
        "a file does not replace a directory"
    );
    assert_eq!(read(&*disk.open(&b, Access::Read)?)?, b"new");
    Ok(())
}

fn rename_moves_directories(disk: &Arc<dyn Disk>, dir: &Path) -> io::Result<()> {
    let [d, e, full] = ["d", "e", "full"].map(|name| dir.join(name));
    for new in [&d, &full] {
        disk.create_dir(new)?;
        disk.create(&new.join("a"))?;
    }
    disk.rename(&d, &e)?;
    assert_eq!(disk.entry(&e.join("a"))?, Some(EntryKind::File));
    assert_eq!(disk.entry(&d)?, None);
    assert!(
        disk.rename(&e, &full).is_err(),
        "only an empty directory is replaced"
    );
    assert!(
        disk.rename(&e, &e.join("inside")).is_err(),
        "not into itself"
    );
    assert_eq!(disk.entry(&e.join("a"))?, Some(EntryKind::File));
    Ok(())
}

fn removed_files_stay_readable(disk: &Arc<dyn Disk>, dir: &Path) -> io::Result<()> {
    let a = dir.join("a");
    let held = disk.create(&a)?;
    held.write_at(0, b"abc")?;
    disk.remove_file(&a)?;
    assert_eq!(disk.entry(&a)?, None);
    assert_eq!(kind(disk.open(&a, Access::Read)), Some(ErrorKind::NotFound));
    assert_eq!(read(&*held)?, b"abc");
    disk.create(&a)?.write_at(0, b"other")?;
    assert_eq!(
        read(&*held)?,
        b"abc",
        "a new file of that name is another file"
    );
    disk.remove_file(&a)?;
    assert_eq!(kind(disk.remove_file(&a)), Some(ErrorKind::NotFound));
    Ok(())
}

fn directories_list_sorted(disk: &Arc<dyn Disk>, dir: &Path) -> io::Result<()> {
    for name in ["b", "a10", "a9", "Z"] {
        disk.create(&dir.join(name))?;
    }
    disk.create_dir(&dir.join("aa"))?;
    let file = EntryKind::File;
    let expected = [
        ("Z", file),
        ("a10", file),
        ("a9", file),
        ("aa", EntryKind::Dir),
        ("b", file),
    ];
    let expected = expected.map(|(name, kind)| DirEntry {
        name: name.to_owned(),
        kind,
    });
    assert_eq!(disk.list(dir)?, expected);
    assert_eq!(
        kind(disk.list(&dir.join("none"))),
        Some(ErrorKind::NotFound)
    );
    assert!(disk.list(&dir.join("b")).is_err());
    assert!(disk.remove_dir(dir).is_err(), "not empty");
    assert!(disk.remove_dir(&dir.join("b")).is_err(), "not a directory");
    assert!(disk.remove_file(&dir.join("aa")).is_err(), "not a file");
    disk.remove_dir(&dir.join("aa"))?;
    assert_eq!(
        kind(disk.remove_dir(&dir.join("aa"))),
        Some(ErrorKind::NotFound)
    );
    disk.sync_dir(dir)?;
    assert_eq!(
        kind(disk.sync_dir(&dir.join("none"))),
        Some(ErrorKind::NotFound)
    );
    assert!(disk.free_bytes(dir)? > 0);
    Ok(())
}

fn locks_exclude(disk: &Arc<dyn Disk>, dir: &Path) -> io::Result<()> {
    let path = dir.join("LOCK");
    let held = disk.lock(&path)?;
    assert!(held.is_some(), "the lock file is created");
    assert!(disk.lock(&path)?.is_none());
    assert!(disk.lock(&dir.join("OTHER"))?.is_some());
    let disk = Arc::clone(disk);
    let elsewhere = std::thread::scope(|scope| {
        let refused = scope.spawn(|| disk.lock(&path).map(|lock| lock.is_none()));
        refused.join().expect("the thread does not panic")
    });
    assert!(elsewhere?, "threads exclude each other");
    assert!(disk.lock_existing(&path)?.is_none());
    drop(held);
    assert!(disk.lock(&path)?.is_some(), "freed on drop");
    assert_eq!(disk.entry(&path)?, Some(EntryKind::File));
    let held = disk.lock_existing(&path)?;
    assert!(held.is_some() && disk.lock(&path)?.is_none());
    let none = dir.join("NONE");
    let missing = disk.lock_existing(&none).err();
    assert_eq!(missing.map(|it| it.kind()), Some(ErrorKind::NotFound));
    assert_eq!(disk.entry(&none)?, None, "it makes nothing");
    Ok(())
}

fn handles_are_shared_between_threads(disk: &Arc<dyn Disk>, dir: &Path) -> io::Result<()> {
    const PART: u64 = 300_000;
    let file = disk.create(&dir.join("a"))?;
    std::thread::scope(|scope| {
        for writer in 0..4u8 {
            let file = &file;
            scope.spawn(move || {
                let start = u64::from(writer) * PART;
                for at in (start..start + PART).step_by(10_000) {
                    file.write_at(at, &[writer + 1; 10_000]).expect("a write");
                    let mut back = [0; 10_000];
                    file.read_exact_at(at, &mut back).expect("a read");
                    assert!(back == [writer + 1; 10_000]);
                }
            });
        }
    });
    let bytes = read(&*file)?;
    assert!((0..4u8).all(|n| {
        bytes[usize::from(n) * PART as usize..][..PART as usize]
            .iter()
            .all(|&byte| byte == n + 1)
    }));
    Ok(())
}

fn read(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.len()?).expect("a small file")];
    file.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}

fn kind<T>(result: io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}
