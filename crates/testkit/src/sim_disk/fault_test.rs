//! Errors to order.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cairn_env::{Access, Clock, Disk};

use super::{Choice, SimDisk};
use crate::SimClock;

const A: &str = "/a";

/// Writes a small file the careful way; stops at the first error.
fn program(disk: &SimDisk) -> io::Result<()> {
    let file = disk.create(Path::new("/t"))?;
    file.preallocate(8)?;
    file.write_at(0, b"abcd")?;
    file.sync_data()?;
    disk.rename(Path::new("/t"), Path::new(A))?;
    disk.sync_dir(Path::new("/"))?;
    let mut bytes = [0; 4];
    disk.open(Path::new(A), Access::Read)?
        .read_exact_at(0, &mut bytes)
}

#[test]
fn every_call_can_fail_once() -> io::Result<()> {
    let disk = SimDisk::new();
    program(&disk)?;
    let calls = disk.calls();
    assert_eq!((calls, disk.syncs(), disk.op_count()), (8, 2, 6));
    for n in 1..=calls {
        let disk = SimDisk::new();
        disk.fail_nth(n, 28); // ENOSPC, where there is an errno
        let error = program(&disk).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(28));
        assert_eq!(disk.calls(), n, "the program stops at the failed call");
    }
    let disk = SimDisk::new();
    disk.fail_nth(calls + 1, ErrorKind::Other);
    program(&disk)
}

#[test]
fn a_failed_call_changes_nothing() -> io::Result<()> {
    let whole = SimDisk::new();
    program(&whole)?;
    for n in 1..=6 {
        let failed = SimDisk::new();
        failed.fail_nth(n, ErrorKind::PermissionDenied);
        let error = program(&failed).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        let before = whole.kill_image(usize::try_from(n - 1).unwrap());
        assert_eq!(failed.paths(), before.paths());
        for name in failed.paths() {
            assert_eq!(failed.read_all(&name)?, before.read_all(&name)?);
        }
    }
    Ok(())
}

#[test]
fn a_torn_failure_leaves_half_a_write() -> io::Result<()> {
    let disk = SimDisk::new();
    let file = disk.create(Path::new(A))?;
    disk.fail_nth_torn(2, ErrorKind::Other);
    assert!(file.write_at(0, b"abcd").is_err());
    assert_eq!(disk.read_all(A)?, b"ab");
    file.write_at(0, b"abcd")
}

#[test]
fn a_read_only_disk_still_reads() -> io::Result<()> {
    let disk = SimDisk::new();
    program(&disk)?;
    disk.fail_mutations(Some(ErrorKind::ReadOnlyFilesystem.into()));
    let file = disk.open(Path::new(A), Access::Read)?;
    assert_eq!(file.len()?, 8);
    let error = disk.create(Path::new("/b")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem);
    disk.clear_faults();
    disk.create(Path::new("/b")).map(drop)
}

#[test]
fn a_full_disk_writes_what_fits_and_recovers() -> io::Result<()> {
    let disk = SimDisk::new();
    disk.set_capacity(Some(3 * 4096 + 17));
    assert_eq!(disk.free_bytes(Path::new("/"))?, 3 * 4096);
    let file = disk.create(Path::new(A))?;
    let error = file.write_at(100, &[1; 5 * 4096]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(file.len()?, 3 * 4096);
    file.write_at(0, &[2; 4096])?; // blocks that are there can be overwritten
    let other = disk.create(Path::new("/b"))?;
    let full = |result: io::Result<()>| result.unwrap_err().kind() == ErrorKind::StorageFull;
    assert!(full(other.write_at(0, b"x")));
    assert!(full(other.preallocate(1)));
    other.set_len(1 << 30)?; // a hole takes no space
    disk.remove_file(Path::new(A))?;
    assert!(
        full(other.write_at(0, b"x")),
        "an open file keeps its space"
    );
    drop(file);
    assert_eq!(disk.used_bytes(), 0);
    other.preallocate(2 * 4096)?;
    other.write_at(4096, b"x")?;
    assert_eq!(disk.used_bytes(), 2 * 4096);
    other.set_len(0)?;
    assert_eq!(disk.free_bytes(Path::new("/"))?, 3 * 4096);
    Ok(())
}

#[test]
fn damage_is_durable() -> io::Result<()> {
    let disk = SimDisk::new();
    disk.put(A, b"abcd")?;
    disk.flip_bit(A, 1, 0)?;
    assert_eq!(disk.read_all(A)?, b"accd");
    disk.truncate(A, 2)?;
    let image = disk.crash_image(disk.op_count(), &mut Choice::lose_all());
    assert_eq!(image.read_all(A)?, b"ac");
    let error = disk.flip_bit(A, 2, 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(disk.calls(), 0);
    Ok(())
}

#[test]
fn latency_passes_on_the_given_clock() -> io::Result<()> {
    let (disk, clock) = (SimDisk::new(), SimClock::new());
    let ms = Duration::from_millis;
    disk.set_latency(ms(1), ms(10), Arc::new(clock.clone()));
    program(&disk)?;
    assert_eq!(clock.now(), ms(6 + 20));
    Ok(())
}

#[test]
fn the_trace_tells_the_story() -> io::Result<()> {
    let disk = SimDisk::new();
    program(&disk)?;
    assert_eq!(
        disk.trace(),
        [
            "#1 create /t",
            "#2 preallocate /t len=8",
            "#3 write /t offset=0 bytes=4",
            "#4 sync_data /t Done",
            "#5 rename /t to=.../a",
            "#6 sync_dir / Done",
        ]
    );
    Ok(())
}

#[test]
fn absurd_offsets_are_refused() -> io::Result<()> {
    let disk = SimDisk::new();
    let file = disk.create(Path::new(A))?;
    for result in [
        file.write_at(u64::MAX, b"x"),
        file.set_len(u64::MAX),
        file.preallocate(u64::MAX),
        disk.truncate(A, u64::MAX),
    ] {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::FileTooLarge);
    }
    assert_eq!(file.read_at(u64::MAX, &mut [0; 4])?, 0);
    Ok(())
}
