//! Appending to a log, and letting go of what is not needed any more.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_env::sync::Mutex;
use cairn_env::sync::atomic::{AtomicU64, Ordering};
use cairn_env::{Access, Bug, DiskFile, Env, KillPoint, Seal, TAG_BYTES, planted};

use super::FRAME_BODY_BYTES_MAX;
use super::check::LogFile;
use super::format::{
    FILE_HEADER_BYTES_MAX, FRAME_ALIGN, FRAME_HEADER_BYTES, FileHeader, FrameHeader, KIND_MARK,
    file_path,
};
use super::recovery::{ClosedFile, NEXT, OnFrame, Recovery, SPARE, recover};
use super::sync_times::SyncTimes;
use crate::checksum::crc32c;
use crate::crypt::{offset_nonce, seal_new};
use crate::error::{Result, StorageError};
use crate::fields::{remove_if_there, sync_dir};

/// A group's buffer that grew past this is given back after the append.
const BUFFER_BYTES_KEPT: usize = 16 * 1024 * 1024; // 16 MiB: ten bulk batches of 1 000 x 384 f32

/// Room made for small groups is written with zeros, so much at a time. The first sync of blocks
/// that are reserved and never written also changes the file's map of blocks, which takes a
/// journal twice as long as the data; so it is paid once for many groups. Large groups, of a
/// sixteenth of it or more, would write everything twice.
const ZEROED_BYTES_MAX: u64 = 1024 * 1024; // 1 MiB

/// How a log behaves.
#[derive(Clone, Debug)]
pub struct WalOptions {
    /// Whose log it is; a file of another collection is refused. Any number, fixed for life.
    pub collection: u64,
    /// Epoch written into new files; 0 where there are no epochs.
    pub epoch: u64,
    /// Bytes after which the next append begins a new file. Default 64 MiB. Larger: fewer files,
    /// but space comes back later.
    pub file_bytes: u64,
    /// Bytes a new file is given at once; every further step doubles the file, up to
    /// `preallocate_bytes_max` at a time. Default 256 KiB, so that a tiny database stays tiny.
    pub preallocate_bytes_min: u64,
    /// Largest step, in bytes. Default 16 MiB. Larger: fewer syncs that must also grow the file.
    pub preallocate_bytes_max: u64,
    /// A released file of at most so many bytes is kept to be used again; there is at most one.
    /// Default 64 MiB; 0 keeps none.
    pub spare_bytes_max: u64,
    /// Where its syncs are timed; logs may share one.
    pub sync_times: Arc<SyncTimes>,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self {
            collection: 0,
            epoch: 0,
            file_bytes: 64 * 1024 * 1024,
            preallocate_bytes_min: 256 * 1024,
            preallocate_bytes_max: 16 * 1024 * 1024,
            spare_bytes_max: 64 * 1024 * 1024,
            sync_times: Arc::default(),
        }
    }
}

/// One frame to append.
#[derive(Clone, Copy, Debug)]
pub struct FrameToWrite<'a> {
    /// Its version, above all before it.
    pub lsn: u64,
    /// What the body is, from 1; the caller's numbering.
    pub kind: u8,
    /// The body, in parts that are joined; at most [`FRAME_BODY_BYTES_MAX`] together.
    pub body: &'a [&'a [u8]],
}

/// The log of one collection, open for appending.
///
/// Methods take `&self` and lock inside; appends exclude each other and go in call order.
/// [`release`](Self::release) does its disk work beside appends.
pub struct Wal {
    env: Env,
    dir: PathBuf,
    options: WalOptions,
    active: Mutex<Active>,
    shelf: Mutex<Shelf>,
    /// Held by the one call of [`Wal::release`] that runs.
    releasing: Mutex<()>,
    last_lsn: AtomicU64,
    synced_lsn: AtomicU64,
    live_bytes: AtomicU64,
    syncs: AtomicU64,
}

/// What appends need.
#[derive(Default)]
struct Active {
    file: Option<ActiveFile>,
    buffer: Vec<u8>,
    poisoned: bool,
}

/// The file that takes frames.
struct ActiveFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    header: FileHeader,
    /// The key of an encrypted file.
    seal: Option<Arc<dyn Seal>>,
    /// Where the next frame goes.
    end: u64,
    /// Bytes the file has.
    allocated: u64,
}

/// Files that take no frames.
#[derive(Default)]
struct Shelf {
    closed: Vec<ClosedFile>,
    /// Bytes of the file named [`SPARE`], if there is one that may be used.
    spare: Option<u64>,
}

impl std::fmt::Debug for Wal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wal")
            .field("dir", &self.dir)
            .field("last_lsn", &self.last_lsn())
            .field("synced_lsn", &self.synced_lsn())
            .finish_non_exhaustive()
    }
}

impl Wal {
    /// Opens the log in `dir` (its own directory, which must exist): hands every whole frame above
    /// `from_lsn` to `on_frame`, in order, each exactly once, then is ready for appends.
    ///
    /// `from_lsn`: everything up to it is safe elsewhere. Frames handed over are durable once this
    /// returns. The first append starts a new file; opening alone creates none.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] for bytes that were durable and have changed, files missing
    /// between `from_lsn` and the log's end, or files of another collection;
    /// [`StorageError::Unsupported`] for a newer format; whatever `on_frame` returns.
    ///
    /// # Examples
    /// ```
    /// use cairn_env::Env;
    /// use cairn_storage::{FrameToWrite, Wal, WalOptions};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let env = Env::memory(1);
    /// let dir = std::path::Path::new("/wal");
    /// env.disk.create_dir(dir)?;
    /// let (wal, _) = Wal::open(&env, dir, WalOptions::default(), 0, &mut |_| Ok(()))?;
    /// wal.append(&[FrameToWrite { lsn: 1, kind: 1, body: &[b"hello, ", b"log"] }], true)?;
    /// drop(wal);
    ///
    /// let mut seen = Vec::new();
    /// let (_, recovery) = Wal::open(&env, dir, WalOptions::default(), 0, &mut |frame| {
    ///     seen.push((frame.lsn, frame.body.to_vec()));
    ///     Ok(())
    /// })?;
    /// assert_eq!(seen, [(1, b"hello, log".to_vec())]);
    /// assert_eq!(recovery.torn_bytes, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn open(
        env: &Env,
        dir: &Path,
        options: WalOptions,
        from_lsn: u64,
        on_frame: OnFrame<'_>,
    ) -> Result<(Self, Recovery)> {
        let (closed, recovery) = recover(env, dir, &options, from_lsn, on_frame)?;
        let live_bytes = closed.iter().map(|file| file.live_bytes).sum();
        let wal = Self {
            env: env.clone(),
            dir: dir.to_path_buf(),
            options,
            active: Mutex::default(),
            shelf: Mutex::new(Shelf {
                closed,
                spare: None,
            }),
            releasing: Mutex::new(()),
            last_lsn: AtomicU64::new(recovery.last_lsn),
            synced_lsn: AtomicU64::new(recovery.last_lsn),
            live_bytes: AtomicU64::new(live_bytes),
            syncs: AtomicU64::new(0),
        };
        Ok((wal, recovery))
    }

    /// Appends `group` with one write and, if `sync`, one sync.
    ///
    /// When it returns `Ok`, the frames are in the kernel's hands (`sync == false`) or durable.
    /// Cost: one copy and one checksum pass over the bodies, one system call for each of the two.
    ///
    /// # Errors
    /// - [`StorageError::Limit`] for lsns that do not rise, kind 0, or a body too long, and
    ///   [`StorageError::NoSpace`] when there is no room to reserve: nothing was written, and a
    ///   later append may succeed.
    /// - Any other error of the write or the sync leaves the outcome open until the log is opened
    ///   again, and every later call answers [`StorageError::Poisoned`]. A sync is never retried.
    pub fn append(&self, group: &[FrameToWrite<'_>], sync: bool) -> Result<()> {
        let active = &mut *self.active.lock();
        active.check()?;
        self.check_group(group)?;
        if group.is_empty() {
            return Ok(());
        }
        self.ready_file(active)?;
        let last_lsn = self.encode(active, group);
        let result = self.write_group(active, last_lsn, sync);
        if active.buffer.capacity() > BUFFER_BYTES_KEPT {
            active.buffer = Vec::new();
        }
        result
    }

    /// Makes room for the next appends, `bytes` bytes of frames in all (a frame takes its body
    /// and up to [`FRAME_OVERHEAD_BYTES`](super::FRAME_OVERHEAD_BYTES) more), so that they cannot
    /// fail for want of space.
    ///
    /// # Errors
    /// [`StorageError::NoSpace`] if there is no room: nothing was written. Otherwise as
    /// [`append`](Self::append).
    pub fn reserve(&self, bytes: u64) -> Result<()> {
        let active = &mut *self.active.lock();
        active.check()?;
        self.ready_file(active)?;
        let file = active.file.as_mut().expect("a file was made ready");
        let end = file.end.saturating_add(bytes);
        self.grow(file, end.saturating_add(FRAME_HEADER_BYTES as u64))
    }

    /// Bytes of the disk that [`reserve`](Self::reserve) of so many would take, if it had them.
    #[must_use]
    pub fn growth(&self, bytes: u64) -> u64 {
        let active = self.active.lock();
        let open = active.file.as_ref();
        let (end, allocated) = match open.filter(|file| file.end < self.options.file_bytes) {
            Some(file) => (file.end, file.allocated),
            None => (FILE_HEADER_BYTES_MAX as u64, 0),
        };
        let needed = end
            .saturating_add(bytes)
            .saturating_add(FRAME_HEADER_BYTES as u64);
        if needed <= allocated {
            return 0;
        }
        self.room(end, allocated, needed) - allocated
    }

    /// Makes everything appended so far durable.
    ///
    /// # Errors
    /// As [`append`](Self::append); a failed sync poisons.
    pub fn sync(&self) -> Result<()> {
        let active = &mut *self.active.lock();
        active.check()?;
        self.sync_rest(active)
    }

    /// Ends the current file, durable as it is; the next append begins a new one. After this
    /// every frame appended so far can be released.
    ///
    /// # Errors
    /// As [`sync`](Self::sync).
    pub fn rotate(&self) -> Result<()> {
        let active = &mut *self.active.lock();
        active.check()?;
        self.close_file(active)
    }

    /// Lets go of files all of whose frames are `<= through_lsn`: one may be kept for its blocks,
    /// the others are removed. Returns how many went. The file that takes frames stays.
    ///
    /// To be called only when everything up to `through_lsn` is durable elsewhere, and that
    /// fact too: the next [`open`](Self::open) must be given a `from_lsn` at least as high.
    ///
    /// # Errors
    /// [`StorageError::Io`]; the log itself is not harmed, and a later call tries again.
    pub fn release(&self, through_lsn: u64) -> Result<usize> {
        let _alone = self.releasing.lock();
        let released: Vec<ClosedFile> = {
            let closed = &mut self.shelf.lock().closed;
            let needless = |file: &mut ClosedFile| file.last_lsn <= through_lsn;
            closed.extract_if(.., needless).collect()
        };
        if released.is_empty() {
            return Ok(0);
        }
        let mut spare = None;
        for (index, file) in released.iter().enumerate() {
            if let Err(error) = self.release_file(file, &mut spare) {
                let kept = released[index..].iter().cloned();
                self.shelf.lock().closed.splice(..0, kept);
                return Err(error);
            }
            self.live_bytes
                .fetch_sub(file.live_bytes, Ordering::Relaxed);
        }
        self.hit(KillPoint::K24WalRemoved)?;
        // Before this a crash could bring the old name back, over whatever the spare holds then.
        sync_dir(&*self.env.disk, &self.dir)?;
        if spare.is_some() {
            self.shelf.lock().spare = spare;
        }
        self.hit(KillPoint::K26CleanupSynced)?;
        Ok(released.len())
    }

    /// Gives the file that is kept to be used again back to the file system.
    ///
    /// # Errors
    /// [`StorageError::Io`]; the log itself is not harmed.
    pub fn drop_spare(&self) -> Result<()> {
        let _alone = self.releasing.lock();
        let shelf = &mut *self.shelf.lock();
        if shelf.spare.take().is_some() {
            remove_if_there(&*self.env.disk, &self.dir.join(SPARE))?;
        }
        Ok(())
    }

    /// The log's files, oldest first, the one that takes frames included.
    #[must_use]
    pub fn files(&self) -> Vec<LogFile> {
        let active = self.active.lock();
        let mut files: Vec<LogFile> = {
            let closed = &self.shelf.lock().closed;
            let file = |file: &ClosedFile| LogFile {
                first_lsn: file.first_lsn,
                end: None,
            };
            closed.iter().map(file).collect()
        };
        files.extend(active.file.as_ref().map(|file| LogFile {
            first_lsn: file.header.first_lsn(),
            end: Some(file.end),
        }));
        files
    }

    /// Bytes of headers and frames in all files of the log.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.live_bytes.load(Ordering::Relaxed)
    }

    /// The highest lsn appended.
    #[must_use]
    pub fn last_lsn(&self) -> u64 {
        self.last_lsn.load(Ordering::Acquire)
    }

    /// The highest lsn known durable.
    #[must_use]
    pub fn synced_lsn(&self) -> u64 {
        self.synced_lsn.load(Ordering::Acquire)
    }

    /// How many syncs have made frames durable since the log was opened.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// Whether a write or a sync has failed, so that the log takes nothing more.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.active.lock().poisoned
    }

    fn check_group(&self, group: &[FrameToWrite<'_>]) -> Result<()> {
        let mut last = self.last_lsn();
        for frame in group {
            let body_bytes: u64 = frame.body.iter().map(|part| part.len() as u64).sum();
            if frame.lsn <= last {
                let what = format!("lsn={} is not above lsn={last}", frame.lsn);
                return Err(StorageError::limit(what));
            }
            if frame.kind == KIND_MARK {
                return Err(StorageError::limit("frame kind 0 is the log's own"));
            }
            if body_bytes > FRAME_BODY_BYTES_MAX {
                let what = format!("frame body of {body_bytes} bytes");
                return Err(StorageError::limit(what));
            }
            last = frame.lsn;
        }
        Ok(())
    }

    /// Sees to it that there is a file to append to.
    fn ready_file(&self, active: &mut Active) -> Result<()> {
        let full = |file: &ActiveFile| file.end >= self.options.file_bytes;
        if active.file.as_ref().is_some_and(full) {
            self.close_file(active)?;
        }
        if active.file.is_none() {
            active.file = Some(self.start_file(&mut active.poisoned)?);
        }
        Ok(())
    }

    /// Puts the group's frames into the buffer; returns the last one's lsn.
    fn encode(&self, active: &mut Active, group: &[FrameToWrite<'_>]) -> u64 {
        let file = active.file.as_ref().expect("a file was made ready");
        let buffer = &mut active.buffer;
        buffer.clear();
        let (mut prev, synced) = (self.last_lsn(), self.synced_lsn());
        for frame in group {
            let start = buffer.len();
            let body = start + FRAME_HEADER_BYTES;
            buffer.resize(body, 0);
            for part in frame.body {
                buffer.extend_from_slice(part);
            }
            let plain_bytes = buffer.len() - body;
            let tag_bytes = file.seal.as_ref().map_or(0, |_| TAG_BYTES);
            let body_bytes = plain_bytes + tag_bytes;
            buffer.resize(body + body_bytes.next_multiple_of(FRAME_ALIGN), 0);
            let mut header = FrameHeader {
                body_crc: 0,
                body_bytes: u32::try_from(body_bytes).expect("bounded by check_group"),
                kind: frame.kind,
                flags: 0,
                log_id: file.header.log_id,
                lsn: frame.lsn,
                prev,
                synced,
                epoch: file.header.epoch,
            };
            if let Some(seal) = &file.seal {
                // No two frames that reach the file have an offset in common: a failed write ends
                // the file, and recovery writes the same bytes again.
                let nonce = offset_nonce(file.end + start as u64);
                let (sealed, rest) = buffer[body..].split_at_mut(plain_bytes);
                if !planted(Bug::WalInClear) {
                    let tag = seal.seal(&nonce, &header.proves(), sealed);
                    rest[..TAG_BYTES].copy_from_slice(&tag);
                }
            }
            header.body_crc = crc32c(&buffer[body..]);
            buffer[start..body].copy_from_slice(&header.encode());
            prev = frame.lsn;
        }
        prev
    }

    /// Writes the buffer behind the last frame.
    fn write_group(&self, active: &mut Active, last_lsn: u64, sync: bool) -> Result<()> {
        self.hit(KillPoint::K2Encoded)?;
        let file = active.file.as_mut().expect("a file was made ready");
        let bytes = active.buffer.len() as u64;
        // Room for the mark too, so that writing it never grows the file.
        self.grow(file, file.end + bytes + FRAME_HEADER_BYTES as u64)?;
        let written = self.write_buffer(file, &active.buffer);
        active.poisoned |= written.is_err();
        written.map_err(StorageError::into_undecided)?;
        file.end += bytes;
        self.live_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.last_lsn.store(last_lsn, Ordering::Release);
        if sync { self.sync_rest(active) } else { Ok(()) }
    }

    fn write_buffer(&self, file: &ActiveFile, buffer: &[u8]) -> Result<()> {
        let write = |from: usize, to: usize| {
            let written = file
                .file
                .write_at(file.end + from as u64, &buffer[from..to]);
            written.map_err(StorageError::io("write", &file.path))
        };
        if cfg!(feature = "failpoints") {
            let half = buffer.len() / 2;
            write(0, half)?;
            self.hit(KillPoint::K3PartialWrite)?;
            write(half, buffer.len())?;
        } else {
            write(0, buffer.len())?;
        }
        self.hit(KillPoint::K4Written)
    }

    /// Makes what is not durable yet durable, and marks it so.
    fn sync_rest(&self, active: &mut Active) -> Result<()> {
        let lsn = self.last_lsn();
        let Some(file) = active.file.as_ref().filter(|_| self.synced_lsn() < lsn) else {
            return Ok(());
        };
        let synced = self
            .timed(|| {
                self.hit(KillPoint::K5SyncIssued)?;
                sync_file(&*file.file, &file.path)
            })
            .and_then(|()| self.hit(KillPoint::K6Synced));
        active.poisoned |= synced.is_err();
        synced.map_err(StorageError::into_undecided)?;
        self.synced_lsn.store(lsn, Ordering::Release);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        let mark = FrameHeader::mark(&file.header, lsn).encode();
        // What was synced is safe, mark or no mark, so this call still succeeds.
        active.poisoned |= file.file.write_at(file.end, &mark).is_err();
        Ok(())
    }

    /// Gives the file room up to `end`. Failing leaves the log as it was.
    fn grow(&self, file: &mut ActiveFile, end: u64) -> Result<()> {
        if end <= file.allocated {
            return Ok(());
        }
        let wanted = self.room(file.end, file.allocated, end);
        let reserve = |bytes| file.file.preallocate(bytes).map(|()| bytes);
        // On a nearly full disk the whole step may not fit where the group alone would.
        let reserved = reserve(wanted).or_else(|_| reserve(end));
        let before = file.allocated;
        file.allocated = reserved.map_err(StorageError::io("preallocate", &file.path))?;
        if is_small(file.end, end) {
            zero(&*file.file, before, file.allocated);
        }
        Ok(())
    }

    /// How many bytes a file is given that has `allocated`, ends at `from` and is to reach `end`.
    fn room(&self, from: u64, allocated: u64, end: u64) -> u64 {
        let options = &self.options;
        let step_max = if is_small(from, end) {
            options.preallocate_bytes_max.min(ZEROED_BYTES_MAX)
        } else {
            options.preallocate_bytes_max
        };
        let step = allocated.max(options.preallocate_bytes_min).min(step_max);
        let wanted = end.max(allocated + step);
        wanted.checked_next_multiple_of(4096).unwrap_or(end)
    }

    /// Makes a new file ready: its header and its name are durable before it takes frames.
    fn start_file(&self, poisoned: &mut bool) -> Result<ActiveFile> {
        let disk = &*self.env.disk;
        let next = self.dir.join(NEXT);
        let spare = self.take_spare(&next)?;
        let mut header = self.new_header(spare.is_some());
        let (origin, seal) = seal_new(&self.env, &next, &header.about())?.unzip();
        header.origin = origin;
        let (file, allocated) = if let Some(bytes) = spare {
            let file = disk.open(&next, Access::Write);
            (file.map_err(StorageError::io("open", &next))?, bytes)
        } else {
            remove_if_there(disk, &next)?;
            let file = disk.create(&next);
            let file = file.map_err(StorageError::io("create", &next))?;
            let bytes = self.options.preallocate_bytes_min.max(header.bytes());
            file.preallocate(bytes)
                .map_err(StorageError::io("preallocate", &next))?;
            zero(&*file, 0, bytes);
            (file, bytes)
        };
        let path = file_path(&self.dir, header.first_lsn());
        let publish = || {
            file.write_at(0, &header.encode())
                .map_err(StorageError::io("write", &next))?;
            self.timed(|| sync_file(&*file, &next))?;
            disk.rename(&next, &path)
                .map_err(StorageError::io("rename", &path))?;
            sync_dir(disk, &self.dir)?;
            self.hit(KillPoint::K23WalRotated)
        };
        let published = publish();
        *poisoned |= published.is_err();
        published.map_err(StorageError::into_undecided)?;
        // A file of the same name held nothing but a torn tail, and is gone now.
        let replaced = |file: &mut ClosedFile| file.first_lsn == header.first_lsn();
        for file in self.shelf.lock().closed.extract_if(.., replaced) {
            self.live_bytes
                .fetch_sub(file.live_bytes, Ordering::Relaxed);
        }
        self.live_bytes.fetch_add(header.bytes(), Ordering::Relaxed);
        Ok(ActiveFile {
            file,
            path,
            end: header.bytes(),
            header,
            seal,
            allocated,
        })
    }

    /// Moves the spare file, if there is one, to `next`, out of the way of the next one that is
    /// released; returns its bytes.
    fn take_spare(&self, next: &Path) -> Result<Option<u64>> {
        let shelf = &mut *self.shelf.lock();
        let Some(bytes) = shelf.spare.take() else {
            return Ok(None);
        };
        let spare = self.dir.join(SPARE);
        let renamed = self.env.disk.rename(&spare, next);
        renamed.map_err(StorageError::io("rename", &spare))?;
        Ok(Some(bytes))
    }

    fn new_header(&self, recycled: bool) -> FileHeader {
        let prev_lsn = self.last_lsn();
        // Mixed with the lsn, which no two generations share, so that not even a source of
        // randomness that repeats itself after a restart makes two generations look alike.
        let mut log_id = self.env.entropy.next_u64() ^ prev_lsn.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        if planted(Bug::RecycledLogKeepsId) {
            log_id = 1;
        }
        FileHeader {
            recycled,
            log_id: log_id.max(1),
            collection: self.options.collection,
            prev_lsn,
            epoch: self.options.epoch,
            created_unix_ms: self.env.clock.unix_ms(),
            origin: None,
        }
    }

    /// Ends the current file, if there is one.
    fn close_file(&self, active: &mut Active) -> Result<()> {
        self.sync_rest(active)?;
        if let Some(file) = active.file.take() {
            self.shelf.lock().closed.push(ClosedFile {
                first_lsn: file.header.first_lsn(),
                last_lsn: self.last_lsn(),
                live_bytes: file.end,
                file_bytes: file.allocated,
            });
        }
        Ok(())
    }

    /// Removes one file, or makes it the spare one if there is none.
    fn release_file(&self, file: &ClosedFile, spare: &mut Option<u64>) -> Result<()> {
        let disk = &*self.env.disk;
        let path = file_path(&self.dir, file.first_lsn);
        let keep = spare.is_none()
            && self.shelf.lock().spare.is_none()
            && file.file_bytes <= self.options.spare_bytes_max;
        if !keep {
            return remove_if_there(disk, &path);
        }
        disk.rename(&path, &self.dir.join(SPARE))
            .map_err(StorageError::io("rename", &path))?;
        *spare = Some(file.file_bytes);
        Ok(())
    }

    fn timed<T>(&self, sync: impl FnOnce() -> T) -> T {
        self.options.sync_times.time(&*self.env.clock, sync)
    }

    fn hit(&self, point: KillPoint) -> Result<()> {
        let failed = StorageError::io("fail_point", &self.dir);
        self.env.faults.hit(point).map_err(failed)
    }
}

impl Active {
    fn check(&self) -> Result<()> {
        if self.poisoned && !planted(Bug::PoisonedLogAccepts) {
            Err(StorageError::Poisoned)
        } else {
            Ok(())
        }
    }
}

/// Whether groups from `from` to `end` are so small that room for them is written with zeros.
fn is_small(from: u64, end: u64) -> bool {
    end - from <= ZEROED_BYTES_MAX / 16
}

/// Writes zeros over room that holds nothing. Failing does no harm: it only would have been faster.
fn zero(file: &dyn DiskFile, from: u64, to: u64) {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    let mut at = from;
    while at < to {
        let bytes = usize::try_from(to - at).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
        if file.write_at(at, &ZEROS[..bytes]).is_err() {
            return;
        }
        at += bytes as u64;
    }
}

/// Makes a log file durable. A failure is final: the kernel may have dropped the pages.
fn sync_file(file: &dyn DiskFile, path: &Path) -> Result<()> {
    if planted(Bug::SkipWalSync) {
        return Ok(());
    }
    let mut result = file.sync_data();
    if result.is_err() && planted(Bug::RetryFailedSync) {
        result = file.sync_data();
    }
    result.map_err(StorageError::io("sync", path))
}
