//! Checking a whole log without writing: every frame, every file, all damage.
//!
//! Recovery must stop at the first damage. A check goes on at the next whole frame behind it, so
//! that it can say which bytes are lost, and hand over the frames that are not.

use std::path::{Path, PathBuf};

use cairn_env::{Access, EntryKind, Env};

use super::Frame;
use super::format::{FRAME_HEADER_BYTES, FileHeader, FrameHeader, file_path};
use super::reader::{Found, LogReader};
use crate::check::{Finding, Inspector, inspect};
use crate::current::numbered;
use crate::error::{Result, StorageError};
use crate::fields::list_dir;

/// A sector is written whole or not at all; of larger ones the same is true.
const SECTOR_BYTES: u64 = 512;

/// Two undamaged headers of frames differ in more bits than this: their checksum sees to it.
const ROTTEN_BITS_MAX: u32 = 2;

/// Takes whole frames as a check delivers them, and says what is wrong with one's body.
pub type OnChecked<'a> = &'a mut dyn FnMut(Frame<'_>) -> std::result::Result<(), String>;

/// A file of a log that is open for appending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// Lowest lsn it may hold; its name.
    pub first_lsn: u64,
    /// Where its frames end for now, in bytes, if it still takes frames.
    pub end: Option<u64>,
}

/// Checks the log in `dir`: every file's header, every frame and its body, the mark behind the
/// last one, and that files follow each other. Whole frames go to `on_frame`, in order, those up
/// to `from_lsn` too; behind damage the next whole frame is looked for.
///
/// `from_lsn`: everything up to it is safe elsewhere, if that is known. `open`: the files of a log
/// that is being written; other files are passed over then, and so is what lies behind the frames
/// of the file that takes them.
///
/// What a crash may have left behind the last frame is told as [`Torn`](crate::Fault::Torn). In a
/// file that was recycled the frames of the log it held before are not checked; nobody reads them.
///
/// # Errors
/// [`StorageError::Io`].
pub fn check_log(
    env: &Env,
    dir: &Path,
    collection: u64,
    from_lsn: Option<u64>,
    open: Option<&[LogFile]>,
    inspector: &mut dyn Inspector,
    on_frame: OnChecked<'_>,
) -> Result<()> {
    let files = match open {
        Some(files) => files.to_vec(),
        None => match inspect(list_files(env, dir), inspector)? {
            Some(files) => files,
            None => return Ok(()),
        },
    };
    let first = files.first().map(|file| file.first_lsn);
    if let (Some(first), Some(from_lsn)) = (first, from_lsn)
        && first.saturating_sub(1) > from_lsn
    {
        let what = format!("log begins above lsn={from_lsn}, files before it are missing");
        inspector.found(Finding::damaged(&file_path(dir, first), 32, 0, what));
    }
    for (index, file) in files.iter().enumerate() {
        let check = FileCheck {
            env,
            path: file_path(dir, file.first_lsn),
            collection,
            file: *file,
            next_prev: files
                .get(index + 1)
                .map(|next| next.first_lsn.saturating_sub(1)),
        };
        let checked = check.run(inspector, on_frame);
        if !inspect(checked, inspector)?.unwrap_or(true) {
            break;
        }
    }
    Ok(())
}

/// The log's files by their names, ascending.
fn list_files(env: &Env, dir: &Path) -> Result<Vec<LogFile>> {
    let mut files: Vec<LogFile> = list_dir(&*env.disk, dir)?
        .iter()
        .filter(|entry| entry.kind == EntryKind::File)
        .filter_map(|entry| numbered(&entry.name, "wal"))
        .map(|first_lsn| LogFile {
            first_lsn,
            end: None,
        })
        .collect();
    files.sort_unstable_by_key(|file| file.first_lsn);
    Ok(files)
}

/// One file of the log.
struct FileCheck<'a> {
    env: &'a Env,
    path: PathBuf,
    collection: u64,
    file: LogFile,
    /// Where the next file says this one ends.
    next_prev: Option<u64>,
}

/// How far a check has come.
struct Place {
    /// Offset behind the last whole frame.
    at: u64,
    /// Its lsn.
    last_lsn: u64,
    /// Whether a mark stands at `at`.
    mark: bool,
}

impl FileCheck<'_> {
    /// Returns whether to go on with the next file.
    fn run(&self, inspector: &mut dyn Inspector, on_frame: OnChecked<'_>) -> Result<bool> {
        let path = &self.path;
        let file = self.env.disk.open(path, Access::Read);
        let file = file.map_err(StorageError::io("open", path))?;
        let len = file.len().map_err(StorageError::io("len", path))?;
        let len = self.file.end.map_or(len, |end| end.min(len));
        let (first_lsn, collection) = (self.file.first_lsn, self.collection);
        let read = FileHeader::read(self.env, &*file, path, first_lsn, collection);
        let found = match inspect(read, inspector)? {
            Some(found) => Some(found),
            None => {
                let frame = || {
                    let mut any = LogReader::new(file.clone(), path, len, 0);
                    any.generation(first_lsn.saturating_sub(1))
                };
                FileHeader::salvage(self.env, &*file, path, first_lsn, collection, frame)?
            }
        };
        let Some((header, seal)) = found else {
            return Ok(inspector.passed(len));
        };
        if let Some(at) = header.wrong_filling(&*file, path)? {
            self.damaged(at, 1, "filling is not zero".to_owned(), inspector);
        }
        let mut reader = LogReader::new(file, path, len, header.log_id).sealed_with(seal);
        let mut place = Place {
            at: header.bytes(),
            last_lsn: header.prev_lsn,
            mark: false,
        };
        loop {
            self.chain(&mut reader, &header, &mut place, inspector, on_frame)?;
            if !self.pass_damage(&mut reader, &header, &mut place, inspector)? {
                break;
            }
        }
        self.check_end(&place, inspector);
        Ok(inspector.passed(len))
    }

    /// Follows whole frames to the first thing that is none.
    fn chain(
        &self,
        reader: &mut LogReader,
        file: &FileHeader,
        place: &mut Place,
        inspector: &mut dyn Inspector,
        on_frame: OnChecked<'_>,
    ) -> Result<()> {
        loop {
            let at = place.at;
            let header = match reader.frame(at)? {
                Found::Frame(header) => header,
                Found::Mark(mark) => {
                    place.mark = true;
                    if mark != FrameHeader::mark(file, place.last_lsn) {
                        let what = format!("mark lsn={} behind lsn={}", mark.lsn, place.last_lsn);
                        self.damaged(at, FRAME_HEADER_BYTES as u64, what, inspector);
                    }
                    return Ok(());
                }
                Found::Nothing => return Ok(()),
            };
            let bytes = header.frame_bytes();
            let rule = header.check_follows(place.last_lsn, file);
            let rule = rule.map_err(|misfit| misfit.at(&self.path, at));
            if inspect(rule, inspector)?.is_some() {
                let taken = match reader.body(at, &header) {
                    Ok(body) => on_frame(Frame {
                        lsn: header.lsn,
                        kind: header.kind,
                        epoch: header.epoch,
                        file: file.first_lsn(),
                        body,
                    }),
                    Err(StorageError::Corrupt { what, .. }) => Err(what),
                    Err(other) => return Err(other),
                };
                if let Err(what) = taken {
                    let what = format!("frame {}: {what}", header.lsn);
                    self.damaged(at, bytes, what, inspector);
                }
            }
            place.last_lsn = place.last_lsn.max(header.lsn);
            place.at = at + bytes;
        }
    }

    /// Looks at what lies behind the last whole frame. Where something proves that more was
    /// durable, tells the damage and goes on behind it: true.
    fn pass_damage(
        &self,
        reader: &mut LogReader,
        file: &FileHeader,
        place: &mut Place,
        inspector: &mut dyn Inspector,
    ) -> Result<bool> {
        let (at, last) = (place.at, place.last_lsn);
        let remains = reader.remains(at, last, file.recycled, place.mark)?;
        let Some((_, witness)) = remains.witness else {
            if self.file.end.is_some_and(|end| at < end) {
                let what = format!("nothing valid after lsn={last}");
                self.damaged(at, 0, what, inspector);
            } else if !place.mark && self.mark_is_rotten(reader, file, place)? {
                let what = format!("the mark behind lsn={last} is not what was written");
                self.damaged(at, FRAME_HEADER_BYTES as u64, what, inspector);
            } else if remains.torn_bytes > 0 {
                let what = format!("what a crash may leave behind lsn={last}; never read");
                let mut finding = Finding::damaged(&self.path, at, remains.torn_bytes, what);
                finding.fault = crate::check::Fault::Torn;
                inspector.found(finding);
            }
            return Ok(false);
        };
        let from = at
            + if place.mark {
                FRAME_HEADER_BYTES as u64
            } else {
                0
            };
        let (next, header) = reader
            .next_whole(from, last)?
            .unwrap_or((reader.len(), witness));
        let what = format!(
            "frames after lsn={last} are damaged, up to lsn={}",
            header.prev
        );
        self.damaged(at, next - at, what, inspector);
        *place = Place {
            at: next,
            last_lsn: header.prev,
            mark: false,
        };
        Ok(next < reader.len())
    }

    /// Whether the mark that belongs behind the last frame is there but for a bit or two. A crash
    /// leaves whole sectors old or new, never that; where the mark lies in two sectors it might.
    fn mark_is_rotten(
        &self,
        reader: &mut LogReader,
        file: &FileHeader,
        place: &Place,
    ) -> Result<bool> {
        let end = place.at + FRAME_HEADER_BYTES as u64;
        if place.at / SECTOR_BYTES != (end - 1) / SECTOR_BYTES {
            return Ok(false);
        }
        let mark = FrameHeader::mark(file, place.last_lsn).encode();
        let there = reader.bytes(place.at, FRAME_HEADER_BYTES)?;
        let differing: u32 = mark
            .iter()
            .zip(there)
            .map(|(a, b)| (a ^ b).count_ones())
            .sum();
        Ok(there.len() == mark.len() && (1..=ROTTEN_BITS_MAX).contains(&differing))
    }

    /// Holds the file's end against the beginning of the next.
    fn check_end(&self, place: &Place, inspector: &mut dyn Inspector) {
        let last = place.last_lsn;
        if let Some(next_prev) = self.next_prev.filter(|next_prev| *next_prev != last) {
            let what = format!("log ends at lsn={last}, but goes on after lsn={next_prev}");
            self.damaged(place.at, 0, what, inspector);
        }
    }

    fn damaged(&self, at: u64, bytes: u64, what: String, inspector: &mut dyn Inspector) {
        inspector.found(Finding::damaged(&self.path, at, bytes, what));
    }
}
