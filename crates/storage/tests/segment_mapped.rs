//! A section is mapped: its bytes are those of the file, at addresses of the file, and a page that
//! somebody cuts away is told instead of ending the process.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use cairn_env::{Access, Disk, DiskFile, OsDisk};
use cairn_storage::{REQUIRED, SectionId, SegmentReader, SegmentWriter, StorageError};
use cairn_testkit::TempDir;

mod common;
use common::*;

const ID: SectionId = SectionId { kind: 1, field: 0 };
const CHILD: &str = "CAIRN_CUT_CHILD";

/// A file of one section of so many bytes.
fn written(dir: &Path, bytes: usize) -> (SegmentReader, Vec<u8>) {
    let env = env_on(Arc::new(OsDisk), 1);
    let path = dir.join("mapped.seg");
    let body: Vec<u8> = (0..bytes).map(|at| (at / 3 % 251) as u8 + 1).collect();
    let mut writer = SegmentWriter::create(&env, &path, [7; 16], 1).unwrap();
    writer.begin(ID, REQUIRED).unwrap();
    writer.write(&body).unwrap();
    writer.end().unwrap();
    writer.finish().unwrap();
    let reader = SegmentReader::open(&env, &path, None, &[1]).unwrap();
    (reader, body)
}

/// Addresses at which this process has mapped `path`.
#[cfg(target_os = "linux")]
fn addresses_of(path: &Path) -> Vec<Range<usize>> {
    let maps = OsDisk
        .open(Path::new("/proc/self/maps"), Access::Read)
        .unwrap();
    let (mut text, mut piece) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        let read = maps.read_at(text.len() as u64, &mut piece).unwrap();
        text.extend_from_slice(&piece[..read]);
        if read == 0 {
            break;
        }
    }
    let path = path.to_str().unwrap();
    let text = String::from_utf8(text).unwrap();
    let lines = text.lines().filter(|line| line.ends_with(path));
    let range = |line: &str| {
        let (range, _) = line.split_once(' ').unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let address = |text| usize::from_str_radix(text, 16).unwrap();
        address(start)..address(end)
    };
    lines.map(range).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_mapped_is_the_file_and_no_copy_of_it() {
    let dir = TempDir::new("mapped");
    let (reader, body) = written(dir.path(), 5_000_000);
    let mapping = reader.map(ID).unwrap().unwrap();
    assert!(mapping.bytes() == body);
    let start = mapping.bytes().as_ptr().addr();
    assert_eq!(start % 64, 0, "floats can be read in place");
    let end = start + body.len();
    let ranges = addresses_of(reader.path());
    let inside = |range: &Range<usize>| range.start <= start && end <= range.end;
    assert!(ranges.iter().any(inside), "{start:#x} {ranges:x?}");
    // Pages that were let go come back.
    mapping.let_go(0..body.len());
    mapping.let_go(100_000..200_000);
    assert!(mapping.bytes() == body);
    assert!(mapping.is_whole());
    reader.check_mapping(ID, &mapping).unwrap();
    drop(mapping);
    assert!(addresses_of(reader.path()).is_empty());
}

#[test]
fn what_is_encrypted_or_not_a_file_of_the_system_is_not_mapped() {
    let env = memory_env();
    let path = Path::new("/made.seg");
    let mut writer = SegmentWriter::create(&env, path, [7; 16], 1).unwrap();
    writer.begin(ID, REQUIRED).unwrap();
    writer.write(&[1; 10_000]).unwrap();
    writer.end().unwrap();
    writer.finish().unwrap();
    let reader = SegmentReader::open(&env, path, None, &[1]).unwrap();
    assert!(reader.map(ID).unwrap().is_none());
    let missing = SectionId { kind: 2, field: 0 };
    let error = reader.map(missing).unwrap_err();
    assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
}

#[test]
fn a_file_that_is_cut_while_it_is_mapped_is_told_and_ends_nobody() {
    let dir = TempDir::new("mapped");
    let (reader, body) = written(dir.path(), 3_000_000);
    let (first, second) = (reader.map(ID).unwrap(), reader.map(ID).unwrap());
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(first.bytes() == body);
    let file = OsDisk.open(reader.path(), Access::Write).unwrap();
    file.set_len(1_000_000).unwrap();
    // From several threads at once: each meets pages that are not there.
    let zeros = |mapping: &cairn_storage::Mapping| {
        let count = |part: &[u8]| part.iter().filter(|byte| **byte == 0).count();
        std::thread::scope(|scope| {
            let parts = mapping.bytes().chunks(200_000);
            let counts: Vec<_> = parts.map(|part| scope.spawn(move || count(part))).collect();
            counts
                .into_iter()
                .map(|it| it.join().unwrap())
                .sum::<usize>()
        })
    };
    assert!(zeros(&first) >= 3_000_000 - 1_000_000 - 64);
    assert!(!first.is_whole());
    assert!(second.is_whole(), "nobody has looked there");
    for mapping in [&first, &second] {
        let error = reader.check_mapping(ID, mapping).unwrap_err();
        assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
        assert!(!mapping.is_whole());
    }
    // Once the file has its length again, what was seen was not its bytes all the same.
    file.set_len(reader.file().bytes).unwrap();
    assert!(reader.check_mapping(ID, &second).is_err());
    drop((first, second));
    let again = reader.map(ID).unwrap().unwrap();
    assert!(
        again.is_whole(),
        "a mapping does not inherit the damage of another"
    );
}

#[test]
fn the_signal_for_memory_of_others_does_what_it_did_before() {
    if let Some(dir) = std::env::var_os(CHILD) {
        let (reader, _) = written(Path::new(&dir), 100_000);
        // One is watched, so the handler is there; the other is not.
        let _watched = reader.map(ID).unwrap().unwrap();
        let file = OsDisk.open(reader.path(), Access::Write).unwrap();
        let first = first_byte_of_a_cut_file(&*file);
        panic!("went on with {first}");
    }
    let name = "the_signal_for_memory_of_others_does_what_it_did_before";
    let dir = TempDir::new("mapped");
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CHILD, dir.path())
        .status()
        .unwrap();
    // 7 on Linux, 10 on macOS.
    let bus = if cfg!(target_vendor = "apple") { 10 } else { 7 };
    assert_eq!(status.signal(), Some(bus), "{status}");
}

/// Maps a file without anybody watching, cuts it, and reads.
#[expect(unsafe_code, reason = "a mapping that is not ours")]
fn first_byte_of_a_cut_file(file: &dyn DiskFile) -> u8 {
    // SAFETY: a mapping of its own, read once; that this ends the process is what is tested.
    let map = unsafe {
        memmap2::MmapOptions::new()
            .len(100_000)
            .map(&file.descriptor().unwrap())
    };
    let map = map.unwrap();
    file.set_len(0).unwrap();
    std::hint::black_box(map[50_000])
}
