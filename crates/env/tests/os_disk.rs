//! Promise: the real disk opens regular files and nothing else, keeps others out of what it
//! creates, and its lock lives exactly as long as the process that holds it.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::io::{self, BufRead, BufReader, ErrorKind};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cairn_env::{Access, Clock, Disk, EntryKind, OsClock, OsDisk};

/// A directory of this test, removed on drop.
struct Temp(PathBuf);

impl Temp {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("cairn-os-disk-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        OsDisk.create_dir(&path).unwrap();
        Self(path)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path)
        .unwrap()
        .permissions()
        .mode()
        & 0o777
}

/// Both ways to open, and the lock, refuse what is at `path`.
fn refused(path: &Path) -> bool {
    let invalid = |error: Option<io::Error>| error.unwrap().kind() == ErrorKind::InvalidInput;
    invalid(OsDisk.open(path, Access::Read).err())
        && invalid(OsDisk.open(path, Access::Write).err())
        && invalid(OsDisk.lock(path).err())
}

#[test]
fn others_are_kept_out() -> io::Result<()> {
    let temp = Temp::new("modes");
    assert_eq!(mode(&temp.0), 0o700);
    OsDisk.create(&temp.at("file"))?;
    let _lock = OsDisk.lock(&temp.at("LOCK"))?;
    assert_eq!(
        (mode(&temp.at("file")), mode(&temp.at("LOCK"))),
        (0o600, 0o600)
    );
    Ok(())
}

#[test]
fn links_are_not_followed() -> io::Result<()> {
    let temp = Temp::new("links");
    let target = temp.at("target");
    OsDisk.create(&target)?.write_at(0, b"safe")?;
    let link = temp.at("link");
    symlink(&target, &link)?;
    assert!(refused(&link));
    assert_eq!(OsDisk.entry(&link)?, Some(EntryKind::Other));
    let dangling = temp.at("dangling");
    symlink(temp.at("none"), &dangling)?;
    assert_eq!(
        OsDisk.create(&dangling).unwrap_err().kind(),
        ErrorKind::AlreadyExists
    );
    assert!(refused(&dangling));
    assert_eq!(OsDisk.entry(&temp.at("none"))?, None);
    // A rename replaces the link and leaves its target alone.
    OsDisk.create(&temp.at("new"))?;
    OsDisk.rename(&temp.at("new"), &link)?;
    assert_eq!(OsDisk.open(&target, Access::Read)?.len()?, 4);
    assert_eq!(OsDisk.entry(&link)?, Some(EntryKind::File));
    Ok(())
}

#[test]
fn pipes_are_refused_without_waiting_for_a_peer() -> io::Result<()> {
    let temp = Temp::new("pipes");
    let pipe = temp.at("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status()?;
    assert!(made.success());
    assert!(refused(&pipe));
    assert_eq!(OsDisk.entry(&pipe)?, Some(EntryKind::Other));
    Ok(())
}

#[test]
fn sockets_devices_and_directories_are_refused() -> io::Result<()> {
    let temp = Temp::new("sockets");
    let socket = temp.at("s");
    let _listener = UnixListener::bind(&socket)?;
    assert!(refused(&socket));
    assert!(refused(&temp.0));
    assert!(refused(Path::new("/dev/null")));
    Ok(())
}

#[test]
fn names_that_are_not_text_are_left_out() -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let temp = Temp::new("names");
    let odd = temp.0.join(std::ffi::OsStr::from_bytes(b"\xff"));
    // Some file systems refuse such names themselves.
    if OsDisk.create(&odd).is_ok() {
        OsDisk.create(&temp.at("a"))?;
        let names: Vec<String> = OsDisk.list(&temp.0)?.into_iter().map(|e| e.name).collect();
        assert_eq!(names, ["a"]);
    }
    Ok(())
}

#[test]
fn impossible_lengths_are_errors() -> io::Result<()> {
    let temp = Temp::new("lengths");
    let file = OsDisk.create(&temp.at("a"))?;
    file.write_at(0, b"abc")?;
    assert!(file.set_len(u64::MAX).is_err());
    assert!(file.preallocate(1 << 62).is_err());
    assert!(file.write_at(u64::MAX - 1, b"abc").is_err());
    assert!(file.read_at(u64::MAX, &mut [0]).is_err());
    assert_eq!(file.len()?, 3);
    assert!(OsDisk.free_bytes(&temp.0)? > 0);
    Ok(())
}

#[test]
fn one_of_many_gets_the_lock() -> io::Result<()> {
    let temp = Temp::new("race");
    for round in 0..50 {
        let path = temp.at(&format!("LOCK{round}"));
        let held = AtomicUsize::new(0);
        let gate = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    gate.wait();
                    let lock = OsDisk.lock(&path).unwrap();
                    held.fetch_add(usize::from(lock.is_some()), Ordering::Relaxed);
                    gate.wait(); // nobody lets go before everybody has tried
                });
            }
        });
        assert_eq!(held.load(Ordering::Relaxed), 1);
    }
    Ok(())
}

/// Who may only read is kept out by a writer, and keeps writers out.
#[test]
fn a_lock_that_is_there_is_taken_without_a_right_to_write() -> io::Result<()> {
    let temp = Temp::new("reads");
    let path = temp.at("LOCK");
    let missing = OsDisk.lock_existing(&path).err();
    assert_eq!(missing.map(|it| it.kind()), Some(ErrorKind::NotFound));
    assert_eq!(OsDisk.entry(&path)?, None, "nothing is made");

    let writer = OsDisk.lock(&path)?;
    assert!(writer.is_some() && OsDisk.lock_existing(&path)?.is_none());
    drop(writer);
    let modes = |file, dir| -> io::Result<()> {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(file))?;
        std::fs::set_permissions(&temp.0, PermissionsExt::from_mode(dir))
    };
    modes(0o400, 0o500)?;
    let reader = OsDisk.lock_existing(&path)?;
    assert!(reader.is_some());
    // A superuser may write whatever the modes say: what counts is what was asked for.
    #[cfg(target_os = "linux")]
    assert_eq!(opened_to_write(&path)?, [false]);
    assert!(OsDisk.lock_existing(&path)?.is_none());
    modes(0o600, 0o700)?;
    assert!(OsDisk.lock(&path)?.is_none());
    drop(reader);
    assert!(OsDisk.lock(&path)?.is_some());
    let link = temp.at("link");
    symlink(&path, &link)?;
    let refused = OsDisk.lock_existing(&link).err();
    assert_eq!(refused.map(|it| it.kind()), Some(ErrorKind::InvalidInput));
    Ok(())
}

/// Of each handle that this process has of a file, whether it may write.
#[cfg(target_os = "linux")]
fn opened_to_write(path: &Path) -> io::Result<Vec<bool>> {
    let mut found = Vec::new();
    for handle in std::fs::read_dir("/proc/self/fd")? {
        let handle = handle?;
        if std::fs::read_link(handle.path()).is_ok_and(|it| it == path) {
            let info = Path::new("/proc/self/fdinfo").join(handle.file_name());
            let info = std::fs::read_to_string(info)?;
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
            // In octal; the last two bits are 0 for reading, 1 and 2 where it may write.
            let last = flags.and_then(|flags| flags.trim().chars().last()?.to_digit(8));
            found.push(last.unwrap() & 0b11 != 0);
        }
    }
    Ok(found)
}

#[test]
fn the_lock_of_a_killed_process_is_free() -> io::Result<()> {
    let temp = Temp::new("kill");
    let path = temp.at("LOCK");
    for _ in 0..3 {
        let mut child = spawn_holder(&path)?;
        let refused = OsDisk.lock(&path)?.is_none();
        child.kill()?;
        child.wait()?;
        assert!(refused, "a living process keeps its lock");
        let lock = OsDisk.lock(&path)?;
        assert!(lock.is_some(), "a dead one does not");
    }
    Ok(())
}

const HOLD: &str = "CAIRN_TEST_HOLD_LOCK";

/// This very program, running only [`child_holds_a_lock`]; returns once it has the lock.
fn spawn_holder(path: &Path) -> io::Result<Child> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--exact", "child_holds_a_lock", "--ignored", "--nocapture"])
        .env(HOLD, path)
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().expect("the pipe asked for");
    let held = BufReader::new(stdout)
        .lines()
        .any(|line| line.is_ok_and(|line| line.contains("held")));
    assert!(held, "the child takes the lock");
    Ok(child)
}

#[test]
#[ignore = "runs as a child of the_lock_of_a_killed_process_is_free"]
fn child_holds_a_lock() {
    let Ok(path) = std::env::var(HOLD) else {
        return;
    };
    let lock = OsDisk.lock(Path::new(&path)).unwrap();
    assert!(lock.is_some());
    println!("held");
    // The parent kills this process; should it die first, so do we, in the end.
    OsClock::new().sleep(Duration::from_secs(60));
}
