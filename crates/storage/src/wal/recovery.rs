//! Reading a log after a crash. See the essay in `mod.rs`.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_env::{Access, Bug, EntryKind, Env, planted};

use super::format::{
    FRAME_ALIGN, FRAME_HEADER_BYTES, FileHeader, FrameHeader, LOG_ID_AT, file_path,
};
use super::reader::{Found, LogReader};
use super::{Frame, WalOptions};
use crate::current::numbered;
use crate::error::{Result, StorageError};
use crate::fields::{list_dir, remove_if_there};

/// Takes frames as recovery delivers them.
pub(crate) type OnFrame<'a> = &'a mut dyn FnMut(Frame<'_>) -> Result<()>;

/// A file is made ready under this name, before it takes frames.
pub(crate) const NEXT: &str = "next";

/// A file whose frames are not needed any more, kept for its blocks.
pub(crate) const SPARE: &str = "spare";

/// What opening a log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The highest lsn known: of the log's last frame, or `from_lsn` if that is above.
    pub last_lsn: u64,
    /// Frames delivered.
    pub frames: u64,
    /// Files read.
    pub files: u64,
    /// Bytes behind the last whole frame of a file that a crash left there and that were cut.
    /// In a recycled file those that can be told from the log it held before.
    pub torn_bytes: u64,
    /// Files that had any.
    pub torn_files: u64,
    /// Bytes of frames that were whole but not proven durable, and were written again.
    pub rewritten_bytes: u64,
}

/// A file that takes no more frames.
#[derive(Clone, Debug)]
pub(crate) struct ClosedFile {
    pub first_lsn: u64,
    /// No frame in it is above.
    pub last_lsn: u64,
    /// Bytes of header and frames.
    pub live_bytes: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
}

/// Reads the whole log.
pub(crate) fn recover(
    env: &Env,
    dir: &Path,
    options: &WalOptions,
    from_lsn: u64,
    on_frame: OnFrame<'_>,
) -> Result<(Vec<ClosedFile>, Recovery)> {
    let firsts = list_files(env, dir)?;
    let mut recovery = Recovery {
        last_lsn: from_lsn,
        ..Recovery::default()
    };
    // A file ends where the next one begins, so a file whose successor begins at or before
    // `from_lsn` holds nothing that is needed, and may be damaged for all we care.
    let started = firsts.partition_point(|first| first.saturating_sub(1) <= from_lsn);
    if started == 0 && !firsts.is_empty() {
        return Err(StorageError::corrupt(
            &file_path(dir, firsts[0]),
            32,
            format!("log begins above lsn={from_lsn}, files before it are missing"),
        ));
    }
    let mut closed = Vec::with_capacity(firsts.len());
    for (index, &first_lsn) in firsts.iter().enumerate() {
        let scan = FileScan {
            env,
            path: file_path(dir, first_lsn),
            options,
            from_lsn,
            first_lsn,
            next_prev: firsts.get(index + 1).map(|next| next.saturating_sub(1)),
        };
        closed.push(match scan.next_prev {
            Some(next_prev) if index + 1 < started => scan.pass_over(next_prev)?,
            _ => scan.run(on_frame, &mut recovery)?,
        });
    }
    Ok((closed, recovery))
}

/// The first lsns of the log's files, ascending; clears away what never became one.
fn list_files(env: &Env, dir: &Path) -> Result<Vec<u64>> {
    let entries = list_dir(&*env.disk, dir)?;
    let mut firsts = Vec::with_capacity(entries.len());
    for entry in &entries {
        let path = dir.join(&entry.name);
        if entry.name == NEXT || entry.name == SPARE {
            remove_if_there(&*env.disk, &path)?;
        } else if let Some(first_lsn) = numbered(&entry.name, "wal") {
            if entry.kind != EntryKind::File {
                return Err(StorageError::corrupt(&path, 0, "not a regular file"));
            }
            firsts.push(first_lsn);
        }
    }
    firsts.sort_unstable();
    Ok(firsts)
}

/// One file of the log.
struct FileScan<'a> {
    env: &'a Env,
    path: PathBuf,
    options: &'a WalOptions,
    from_lsn: u64,
    first_lsn: u64,
    /// Where the next file says this one ends.
    next_prev: Option<u64>,
}

/// How far a scan has come.
struct Progress {
    /// Offset behind the last frame.
    end: u64,
    /// Its lsn.
    last_lsn: u64,
    /// The highest lsn proven durable.
    proven: u64,
    /// Offset and lsn of the frames that are not.
    unproven: VecDeque<(u64, u64)>,
    /// Whether a mark stands at `end`.
    mark: bool,
}

impl FileScan<'_> {
    /// Takes in a file of which nothing is needed, unread.
    fn pass_over(&self, next_prev: u64) -> Result<ClosedFile> {
        let file = self.env.disk.open(&self.path, Access::Read);
        let file = file.map_err(StorageError::io("open", &self.path))?;
        let bytes = file.len().map_err(StorageError::io("len", &self.path))?;
        Ok(ClosedFile {
            first_lsn: self.first_lsn,
            last_lsn: next_prev,
            live_bytes: bytes,
            file_bytes: bytes,
        })
    }

    fn run(&self, on_frame: OnFrame<'_>, recovery: &mut Recovery) -> Result<ClosedFile> {
        let path = &self.path;
        let file = self.env.disk.open(path, Access::Read);
        let file = file.map_err(StorageError::io("open", path))?;
        let len = file.len().map_err(StorageError::io("len", path))?;
        let collection = self.options.collection;
        let (header, seal) = FileHeader::read(self.env, &*file, path, self.first_lsn, collection)?;
        let mut reader = LogReader::new(file, path, len, header.log_id).sealed_with(seal);
        let mut progress = Progress {
            end: header.bytes(),
            last_lsn: header.prev_lsn,
            proven: header.prev_lsn.max(self.from_lsn),
            unproven: VecDeque::new(),
            mark: false,
        };
        loop {
            self.chain(&mut reader, &header, &mut progress, on_frame, recovery)?;
            let Progress { end, last_lsn, .. } = progress;
            let remains = reader.remains(end, last_lsn, header.recycled, progress.mark)?;
            match remains.witness {
                Some((offset, witness)) if planted(Bug::SkipDamagedFrame) => {
                    progress.end = offset;
                    progress.last_lsn = witness.prev;
                }
                Some((offset, witness)) => {
                    let synced = witness.synced;
                    return Err(self.corrupt(
                        end,
                        format!("nothing valid after lsn={last_lsn}, but offset={offset} proves synced={synced}"),
                    ));
                }
                None => {
                    recovery.torn_bytes += remains.torn_bytes;
                    recovery.torn_files += u64::from(remains.torn_bytes > 0);
                    break;
                }
            }
        }
        self.check_end(&progress)?;
        recovery.rewritten_bytes += self.prove(&mut reader, &header, &progress)?;
        recovery.files += 1;
        recovery.last_lsn = recovery.last_lsn.max(progress.last_lsn);
        Ok(ClosedFile {
            first_lsn: self.first_lsn,
            last_lsn: progress.last_lsn,
            live_bytes: progress.end,
            file_bytes: len,
        })
    }

    /// Follows the chain of valid frames to its end.
    fn chain(
        &self,
        reader: &mut LogReader,
        file: &FileHeader,
        progress: &mut Progress,
        on_frame: OnFrame<'_>,
        recovery: &mut Recovery,
    ) -> Result<()> {
        loop {
            let at = progress.end;
            let header = match reader.frame(at)? {
                Found::Frame(header) => header,
                Found::Mark(mark) => {
                    self.check_mark(&mark, file, progress)?;
                    progress.mark = true;
                    progress.prove_through(mark.synced);
                    return Ok(());
                }
                Found::Nothing => return Ok(()),
            };
            header
                .check_follows(progress.last_lsn, file)
                .map_err(|misfit| misfit.at(&self.path, at))?;
            let end = at + header.frame_bytes();
            let dropped = planted(Bug::ReplayStopsEarly)
                && self.next_prev.is_none()
                && !matches!(reader.frame(end)?, Found::Frame(_));
            if header.lsn > self.from_lsn && !dropped {
                recovery.frames += 1;
                on_frame(Frame {
                    lsn: header.lsn,
                    kind: header.kind,
                    epoch: header.epoch,
                    file: file.first_lsn(),
                    body: reader.body(at, &header)?,
                })?;
            }
            progress.unproven.push_back((at, header.lsn));
            progress.prove_through(header.synced);
            progress.last_lsn = header.lsn;
            progress.end = end;
        }
    }

    fn check_mark(&self, mark: &FrameHeader, file: &FileHeader, progress: &Progress) -> Result<()> {
        if *mark == FrameHeader::mark(file, progress.last_lsn) {
            return Ok(());
        }
        let what = format!("mark lsn={} behind lsn={}", mark.lsn, progress.last_lsn);
        Err(self.corrupt(progress.end, what))
    }

    /// Holds the file's end against the beginning of the next.
    fn check_end(&self, progress: &Progress) -> Result<()> {
        let last = progress.last_lsn;
        match self.next_prev {
            Some(next_prev) if next_prev != last => Err(self.corrupt(
                progress.end,
                format!(
                    "log ends at lsn={last}, but goes on after lsn={next_prev} in the next file"
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Makes the frames of the last file durable that may not be, and marks them so for those who
    /// only read; returns their bytes. Those of earlier files were, or there would be no next file.
    fn prove(&self, reader: &mut LogReader, file: &FileHeader, progress: &Progress) -> Result<u64> {
        let (None, Some(&(from, _))) = (self.next_prev, progress.unproven.front()) else {
            return Ok(0);
        };
        let (path, end) = (&self.path, progress.end);
        let disk_file = self.env.disk.open(path, Access::Write);
        let disk_file = disk_file.map_err(StorageError::io("open", path))?;
        LogReader::new(Arc::clone(&disk_file), path, end, 0).rewrite(from, end)?;
        let mark = FrameHeader::mark(file, progress.last_lsn).encode();
        let len = disk_file.len().map_err(StorageError::io("len", path))?;
        // There is room, unless the file was cut; it is no reason to make it longer.
        if end + mark.len() as u64 <= len && stands_alone(&mark, reader, end)? {
            let marked = disk_file.write_at(end, &mark);
            marked.map_err(StorageError::io("write", path))?;
        }
        Ok(end - from)
    }

    fn corrupt(&self, offset: u64, what: String) -> StorageError {
        StorageError::corrupt(&self.path, offset, what)
    }
}

/// Whether no header begins inside `mark`, written at `end`, and ends in the torn tail behind it:
/// it might prove what never was.
fn stands_alone(mark: &[u8; FRAME_HEADER_BYTES], reader: &mut LogReader, end: u64) -> Result<bool> {
    let log_id = &mark[LOG_ID_AT..LOG_ID_AT + 8];
    let behind = reader.bytes(end + mark.len() as u64, LOG_ID_AT)?;
    let inside = &mark[LOG_ID_AT + FRAME_ALIGN..];
    let mut words = inside.chunks(8).chain(behind.chunks(8));
    Ok(words.all(|word| word != log_id))
}

impl Progress {
    fn prove_through(&mut self, lsn: u64) {
        self.proven = self.proven.max(lsn);
        let proven = self.proven;
        while self.unproven.front().is_some_and(|(_, lsn)| *lsn <= proven) {
            self.unproven.pop_front();
        }
    }
}
