//! What the tests of this crate share.

#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_env::{Access, Disk, Env, Faults, InlineThreads, MemoryDisk, OsClock, SeededEntropy};
use cairn_storage::{FrameToWrite, Recovery, Result, StorageError, Wal, WalOptions};

/// Bytes of a log file's header and of a frame's, as FORMAT.md has them.
pub const FILE_HEADER: usize = 64;
pub const FRAME_HEADER: usize = 56;

/// An environment on an empty disk in memory.
pub fn memory_env() -> Env {
    env_on(Arc::new(MemoryDisk::new()), 1)
}

/// An environment on `disk` that is otherwise the same every time.
pub fn env_on(disk: Arc<dyn Disk>, seed: u64) -> Env {
    Env {
        disk,
        clock: Arc::new(OsClock::new()),
        entropy: Arc::new(SeededEntropy::new(seed)),
        threads: InlineThreads::shared(),
        faults: Faults::from_environment(),
        sealing: None,
    }
}

/// `default` rounds, or that many times `CAIRN_ROUNDS` for a long run.
pub fn rounds(default: usize) -> usize {
    let factor = std::env::var("CAIRN_ROUNDS").ok();
    default * factor.map_or(1, |text| text.parse().expect("CAIRN_ROUNDS is a number"))
}

/// One frame, owned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owned {
    pub lsn: u64,
    pub kind: u8,
    pub body: Vec<u8>,
}

impl Owned {
    /// A frame whose bytes follow from its lsn. None of them is zero.
    pub fn new(lsn: u64, bytes: usize) -> Self {
        let mut state = lsn.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let body = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state.to_le_bytes()[7] | 1
        });
        Self {
            lsn,
            kind: u8::try_from(lsn % 3).expect("below three") + 1,
            body: body.take(bytes).collect(),
        }
    }

    /// Bytes of the frame in a log.
    pub fn frame_bytes(&self) -> usize {
        FRAME_HEADER + self.body.len().next_multiple_of(8)
    }
}

/// Bytes of a log file with these frames, without what is reserved behind them.
pub fn log_bytes(frames: &[Owned]) -> usize {
    FILE_HEADER + frames.iter().map(Owned::frame_bytes).sum::<usize>()
}

/// Where the logs of these tests live.
pub fn wal_dir() -> PathBuf {
    PathBuf::from("/wal")
}

/// Makes the log's directory, durably.
pub fn make_wal_dir(env: &Env) {
    env.disk.create_dir(&wal_dir()).expect("an empty disk");
    env.disk.sync_dir(Path::new("/")).expect("an empty disk");
}

/// Small steps, so that files stay small.
pub fn small_options() -> WalOptions {
    WalOptions {
        collection: 7,
        file_bytes: 64 * 1024,
        preallocate_bytes_min: 4096,
        preallocate_bytes_max: 8192,
        ..WalOptions::default()
    }
}

/// What [`open_wal`] found.
#[derive(Debug)]
pub struct Opened {
    pub wal: Wal,
    pub recovery: Recovery,
    pub frames: Vec<Owned>,
}

/// Opens the log and gathers its frames.
pub fn open_wal(env: &Env, options: WalOptions, from_lsn: u64) -> Result<Opened> {
    let mut frames = Vec::new();
    let (wal, recovery) = Wal::open(env, &wal_dir(), options, from_lsn, &mut |frame| {
        frames.push(Owned {
            lsn: frame.lsn,
            kind: frame.kind,
            body: frame.body.to_vec(),
        });
        Ok(())
    })?;
    assert_eq!(recovery.frames, frames.len() as u64);
    Ok(Opened {
        wal,
        recovery,
        frames,
    })
}

/// Appends `frames` as one group, bodies in two parts each.
pub fn append(wal: &Wal, frames: &[Owned], sync: bool) -> Result<()> {
    let parts: Vec<[&[u8]; 2]> = frames
        .iter()
        .map(|frame| frame.body.split_at(frame.body.len() / 2).into())
        .collect();
    let group: Vec<FrameToWrite<'_>> = frames
        .iter()
        .zip(&parts)
        .map(|(frame, body)| FrameToWrite {
            lsn: frame.lsn,
            kind: frame.kind,
            body,
        })
        .collect();
    wal.append(&group, sync)
}

/// The only log file.
pub fn only_wal_file(env: &Env) -> PathBuf {
    let files = wal_files(env);
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

/// All log files, in order.
pub fn wal_files(env: &Env) -> Vec<PathBuf> {
    names(env, &wal_dir())
        .into_iter()
        .filter(|name| name.ends_with(".wal"))
        .map(|name| wal_dir().join(name))
        .collect()
}

pub fn names(env: &Env, dir: &Path) -> Vec<String> {
    let entries = env.disk.list(dir).expect("the directory is there");
    entries.into_iter().map(|entry| entry.name).collect()
}

pub fn read_file(env: &Env, path: &Path) -> Vec<u8> {
    let file = env
        .disk
        .open(path, Access::Read)
        .expect("the file is there");
    let len = file.len().expect("a file has a length");
    let mut bytes = vec![0; usize::try_from(len).expect("a small file")];
    file.read_exact_at(0, &mut bytes)
        .expect("reads what is there");
    bytes
}

/// Replaces the file's contents, or makes the file.
pub fn write_file(env: &Env, path: &Path, bytes: &[u8]) {
    let file = match env.disk.open(path, Access::Write) {
        Ok(file) => file,
        Err(_) => env.disk.create(path).expect("a new file"),
    };
    file.set_len(0).expect("cuts the file");
    file.write_at(0, bytes).expect("writes the file");
}

/// A file and its bytes.
pub type Saved = (PathBuf, Vec<u8>);

/// A copy of every file in `dir`, to go back to.
pub fn snapshot(env: &Env, dir: &Path) -> Vec<Saved> {
    names(env, dir)
        .into_iter()
        .map(|name| dir.join(name))
        .map(|path| (path.clone(), read_file(env, &path)))
        .collect()
}

/// A fresh disk in memory that holds `files`, all in `dir`.
pub fn restore(dir: &Path, files: &[Saved], seed: u64) -> Env {
    let env = env_on(Arc::new(MemoryDisk::new()), seed);
    env.disk.create_dir(dir).expect("an empty disk");
    for (path, bytes) in files {
        write_file(&env, path, bytes);
    }
    env
}

/// Sets the four bytes at `at` to the CRC-32C of `bytes` without them.
pub fn fix_crc(bytes: &mut [u8], at: usize) {
    let mut crc = cairn_storage::Crc32c::new();
    crc.update(&bytes[..at]);
    crc.update(&bytes[at + 4..]);
    bytes[at..at + 4].copy_from_slice(&crc.finish().to_le_bytes());
}

#[track_caller]
pub fn assert_corrupt<T: std::fmt::Debug>(result: Result<T>, what: &str) {
    match result {
        Err(StorageError::Corrupt { .. }) => {}
        other => panic!("{what}: expected Corrupt, got {other:?}"),
    }
}

pub mod workload;

/// Segments for tests.
pub mod segments {
    use super::*;
    use cairn_storage::{REQUIRED, SectionId, SegmentFile, SegmentReader, SegmentWriter};

    pub const HEADER: usize = 64;
    pub const TRAILER: usize = 48;

    /// Section kinds the tests understand.
    pub const KNOWN: [u32; 6] = [1, 2, 3, 4, 5, 6];

    pub fn path() -> PathBuf {
        PathBuf::from("/a.seg")
    }

    /// One section: id, flags, body.
    pub type Body = (SectionId, u32, Vec<u8>);

    /// Sections of every length at which something changes: empty, less than the alignment, a
    /// block less one, a block, a block and one, and one longer than a read.
    pub fn bodies() -> Vec<Body> {
        let lengths = [0, 1, 64, 65_535, 65_536, 65_537, (1 << 20) + 200_003];
        let body = |(index, length): (usize, &usize)| {
            let number = u32::try_from(index).expect("few");
            let id = SectionId {
                kind: number % 6 + 1,
                field: number,
            };
            let body = Owned::new(u64::from(number) + 1, *length).body;
            (id, if index % 2 == 0 { REQUIRED } else { 0 }, body)
        };
        lengths.iter().enumerate().map(body).collect()
    }

    /// Writes a segment, bodies in pieces of odd lengths.
    pub fn write(env: &Env, path: &Path, identity: u8, bodies: &[Body]) -> SegmentFile {
        let mut writer = SegmentWriter::create(env, path, [identity; 16], 7).expect("creates");
        for (id, flags, body) in bodies {
            writer.begin(*id, *flags).expect("begins");
            for piece in body.chunks(40_009) {
                writer.write(piece).expect("writes");
            }
            writer.end().expect("ends");
        }
        let file = writer.finish().expect("finishes");
        assert_eq!(file.bytes, read_file(env, path).len() as u64);
        file
    }

    /// A disk with this segment alone.
    pub fn disk_with(bytes: &[u8]) -> Env {
        let env = memory_env();
        write_file(&env, &path(), bytes);
        env
    }

    /// Opens a segment of these bytes, reads it in every way and compares it with `bodies`.
    pub fn check(bytes: &[u8], expected: Option<SegmentFile>, bodies: &[Body]) -> Result<()> {
        let env = disk_with(bytes);
        let reader = SegmentReader::open(&env, &path(), expected, &KNOWN)?;
        // Every section is read, the first damage is reported, a wrong byte is a failed test.
        let mut result = Ok(());
        for (id, _, body) in bodies {
            match reader.read(*id) {
                Ok(read) => assert_eq!(read, *body, "silently wrong: {id}"),
                Err(error) => result = result.and(Err(error)),
            }
        }
        result.and_then(|()| reader.verify_all())
    }

    /// Where the footer of these bytes stands.
    pub fn footer_offset(bytes: &[u8]) -> usize {
        let at = bytes.len() - TRAILER + 16;
        let offset = u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        usize::try_from(offset).expect("a small file")
    }

    /// Makes the checksums of header, footer and trailer right again.
    pub fn seal(bytes: &mut [u8]) {
        let trailer = bytes.len() - TRAILER;
        fix_crc(&mut bytes[..HEADER], 12);
        let footer = footer_offset(bytes).min(trailer);
        let mut crc = cairn_storage::Crc32c::new();
        crc.update(&bytes[..HEADER]);
        crc.update(&bytes[footer..trailer]);
        bytes[trailer + 40..trailer + 44].copy_from_slice(&crc.finish().to_le_bytes());
        fix_crc(&mut bytes[trailer..], 12);
    }
}
