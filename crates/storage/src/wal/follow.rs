//! Following a log that somebody else writes: what was appended since the last look.
//!
//! Nothing is written, not even to repair, and no lock is taken. The first thing that is not a
//! whole frame ends a look, because it may be a frame that is being written at this moment.
//!
//! # What is shown
//!
//! Frames that are proven durable, and no others: a frame that is written and not yet synced may
//! be gone after power loss, and a reader that had shown it would have shown a state that never
//! was. The proofs are those of recovery: the mark behind the last synced frame, the `synced` of a
//! later frame, the next file, which is made after a sync of the one before. The writer puts the
//! mark before it acknowledges, so what was acknowledged as synced before a look began is seen by
//! it. The next group overwrites the mark with the header of its first frame, which says the same in
//! the same bytes; those are compared one by one, so that it proves as much when it is half written.
//!
//! # Files that go meanwhile
//!
//! A file is released once a manifest has its frames in segments; it may be used again, under
//! another `log_id` and another name. So a chain that ends is believed only if afterwards the file
//! still has its name and its `log_id`; otherwise this place is lost, and the caller reads the
//! manifest again. Files are released oldest first, so while this one is there the next one is,
//! too.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_env::{Access, Bug, DiskFile, Env, Seal, planted};

use super::Frame;
use super::format::{FRAME_HEADER_BYTES, FileHeader, FrameHeader, file_path};
use super::reader::{Found, LogReader};
use super::recovery::OnFrame;
use crate::current::numbered;
use crate::error::{Result, StorageError};

/// A file may be recycled between its opening and the reading of its header.
const OPEN_TRIES: usize = 3;

/// A place in a log that another process writes. See the essay at the top of `follow.rs`.
pub struct WalFollower {
    env: Env,
    dir: PathBuf,
    collection: u64,
    /// Frames up to it were delivered, or were not asked for.
    delivered: u64,
    at: Option<Place>,
}

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// Everything that is proven durable was delivered.
    All,
    /// There is no log: nothing was written, or all of it was released since the manifest was read.
    NoLog,
    /// A file that is needed is gone: read the manifest and begin anew.
    Lost,
}

/// Where in which file.
struct Place {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    header: FileHeader,
    /// The key of an encrypted file.
    seal: Option<Arc<dyn Seal>>,
    /// Offset behind the last whole frame.
    end: u64,
    /// Its lsn.
    last_lsn: u64,
    /// The highest lsn proven durable.
    proven: u64,
    /// Offset and lsn of whole frames that are not proven yet.
    waiting: VecDeque<(u64, u64)>,
    /// What stood at `end` when a look ended there.
    rest: Option<Rest>,
}

/// Bytes that are no frame.
struct Rest {
    end: u64,
    bytes: Vec<u8>,
    /// Whether what lies behind was searched for a proof that a frame is missing.
    searched: bool,
}

/// Where a log goes on.
enum Next {
    /// Nowhere yet.
    Here,
    File(Box<Place>),
    Gone,
}

impl std::fmt::Debug for WalFollower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WalFollower")
            .field("dir", &self.dir)
            .field("delivered", &self.delivered)
            .finish_non_exhaustive()
    }
}

impl WalFollower {
    /// Of the log in `dir`, from the first frame above `from_lsn` on. Reads nothing yet.
    #[must_use]
    pub fn new(env: &Env, dir: &Path, collection: u64, from_lsn: u64) -> Self {
        Self {
            env: env.clone(),
            dir: dir.to_path_buf(),
            collection,
            delivered: from_lsn,
            at: None,
        }
    }

    /// Hands every frame that is durable and was not delivered yet to `on_frame`, in order, each
    /// once.
    ///
    /// Cost when nothing is new: two files opened, two headers read, and what is read ahead.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] for frames that do not fit their chain, and for a frame that is
    /// missing although something behind it proves that it was durable (found by the second look
    /// that ends there); [`StorageError::Unsupported`] for a newer format; what the disk says;
    /// whatever `on_frame` returns. After an error this place is lost.
    pub fn advance(&mut self, on_frame: OnFrame<'_>) -> Result<Followed> {
        let mut place = match self.at.take() {
            Some(place) => place,
            None => match self.begin()? {
                Ok(place) => place,
                Err(answer) => return Ok(answer),
            },
        };
        loop {
            if !place.look(&mut self.delivered, on_frame)? {
                return Ok(Followed::Lost);
            }
            match self.next(&place)? {
                Next::Gone => return Ok(Followed::Lost),
                Next::File(next) => {
                    // The file before was synced before this one was made.
                    place.proven = place.last_lsn;
                    let mut reader = place.reader()?;
                    if !place.deliver(&mut reader, &mut self.delivered, on_frame)? {
                        return Ok(Followed::Lost);
                    }
                    place = *next;
                }
                Next::Here => {
                    if !self.search_rest(&mut place)? {
                        return Ok(Followed::Lost);
                    }
                    self.at = Some(place);
                    return Ok(Followed::All);
                }
            }
        }
    }

    /// The beginning of the last file that may hold the first frame wanted, or what to answer
    /// where there is none.
    fn begin(&self) -> Result<std::result::Result<Place, Followed>> {
        let firsts = self.first_lsns()?;
        if firsts.is_empty() {
            return Ok(Err(Followed::NoLog));
        }
        let started = firsts.partition_point(|first| first.saturating_sub(1) <= self.delivered);
        let Some(&first) = firsts[..started].last() else {
            return Ok(Err(Followed::Lost));
        };
        Ok(self.open(first)?.ok_or(Followed::Lost))
    }

    /// Where the log goes on behind the end of `place`.
    fn next(&self, place: &Place) -> Result<Next> {
        let first = place.header.first_lsn();
        let next = place.last_lsn.saturating_add(1);
        if next != first
            && let Some(next) = self.open(next)?
        {
            return Ok(Next::File(Box::new(next)));
        }
        Ok(match self.open(first)? {
            Some(same) if same.header.log_id == place.header.log_id => Next::Here,
            // It held nothing but a torn tail, and another one took its name.
            Some(other) if next == first => Next::File(Box::new(other)),
            _ => Next::Gone,
        })
    }

    /// Opens the file named by `first_lsn`, if it is there.
    fn open(&self, first_lsn: u64) -> Result<Option<Place>> {
        let path = file_path(&self.dir, first_lsn);
        let mut outcome = Ok(None);
        for _ in 0..OPEN_TRIES {
            let opened = self.env.disk.open(&path, Access::Read);
            let file = match opened.map_err(StorageError::io("open", &path)) {
                Err(StorageError::Missing { .. }) => return Ok(None),
                other => other?,
            };
            let header = FileHeader::read(&self.env, &*file, &path, first_lsn, self.collection);
            outcome = match header {
                Ok((header, seal)) => return Ok(Some(Place::new(file, path, header, seal))),
                // Damage, unless the name is another file's by now.
                Err(error @ StorageError::Corrupt { .. }) => Err(error),
                Err(other) => return Err(other),
            };
        }
        outcome
    }

    /// The names of the log's files, ascending.
    fn first_lsns(&self) -> Result<Vec<u64>> {
        let dir = &self.dir;
        let entries = self.env.disk.list(dir);
        let entries = entries.map_err(StorageError::io("list", dir))?;
        let mut firsts: Vec<u64> = entries
            .iter()
            .filter_map(|entry| numbered(&entry.name, "wal"))
            .collect();
        firsts.sort_unstable();
        Ok(firsts)
    }

    /// Looks for proof that a frame is missing at the end of the chain, once the same bytes have
    /// ended two looks: whoever writes slowly has gone on by then. False when the file turns out to
    /// be another one's by now.
    fn search_rest(&self, place: &mut Place) -> Result<bool> {
        let mut reader = place.reader()?;
        if !matches!(reader.frame(place.end)?, Found::Nothing) {
            place.rest = None;
            return Ok(true);
        }
        let bytes = reader.bytes(place.end, FRAME_HEADER_BYTES)?.to_vec();
        let known = place.rest.take();
        let known = known.filter(|rest| rest.end == place.end && rest.bytes == bytes);
        let Some(mut rest) = known else {
            place.rest = Some(Rest {
                end: place.end,
                bytes,
                searched: false,
            });
            return Ok(true);
        };
        if !std::mem::replace(&mut rest.searched, true) {
            let (end, last_lsn) = (place.end, place.last_lsn);
            let remains = reader.remains(end, last_lsn, place.header.recycled, false)?;
            let mut above = self.first_lsns()?.into_iter();
            let next = above.find(|&first| first > last_lsn.saturating_add(1));
            let missing = match (remains.witness, next) {
                (Some((offset, witness)), _) => {
                    Some(format!("offset={offset} proves synced={}", witness.synced))
                }
                (None, Some(first)) => Some(format!("the log goes on at lsn={first}")),
                (None, None) => None,
            };
            // The writer may have gone on since the chain was followed.
            let still = matches!(place.reader()?.frame(end)?, Found::Nothing);
            if let Some(proof) = missing.filter(|_| still) {
                if !self.is_still(place)? {
                    return Ok(false);
                }
                let what = format!("nothing valid after lsn={last_lsn}, but {proof}");
                return Err(StorageError::corrupt(&place.path, end, what));
            }
        }
        place.rest = Some(rest);
        Ok(true)
    }

    /// Whether the file of `place` still has its name and has not been used again.
    fn is_still(&self, place: &Place) -> Result<bool> {
        let same = self.open(place.header.first_lsn())?;
        Ok(same.is_some_and(|same| same.header.log_id == place.header.log_id))
    }
}

impl Place {
    fn new(
        file: Arc<dyn DiskFile>,
        path: PathBuf,
        header: FileHeader,
        seal: Option<Arc<dyn Seal>>,
    ) -> Self {
        Self {
            file,
            path,
            header,
            seal,
            end: header.bytes(),
            last_lsn: header.prev_lsn,
            proven: header.prev_lsn,
            waiting: VecDeque::new(),
            rest: None,
        }
    }

    /// The file as it is now; nothing of an earlier look is kept.
    fn reader(&self) -> Result<LogReader> {
        let file = Arc::clone(&self.file);
        let len = file.len().map_err(StorageError::io("len", &self.path))?;
        let reader = LogReader::new(file, &self.path, len, self.header.log_id);
        Ok(reader.sealed_with(self.seal.clone()))
    }

    /// Follows the chain to its end and delivers what is proven. False when the file turns out to
    /// be another one's by now.
    fn look(&mut self, delivered: &mut u64, on_frame: OnFrame<'_>) -> Result<bool> {
        let mut reader = self.reader()?;
        while let Found::Frame(header) = reader.frame(self.end)? {
            header
                .check_follows(self.last_lsn, &self.header)
                .map_err(|misfit| misfit.at(&self.path, self.end))?;
            self.waiting.push_back((self.end, header.lsn));
            self.proven = self.proven.max(header.synced);
            self.last_lsn = header.lsn;
            self.end += header.frame_bytes();
            if !self.deliver(&mut reader, delivered, on_frame)? {
                return Ok(false);
            }
        }
        let mark = FrameHeader::mark(&self.header, self.last_lsn);
        if let Found::Mark(found) = reader.frame(self.end)?
            && found != mark
        {
            let what = format!("mark lsn={} behind lsn={}", found.lsn, self.last_lsn);
            return Err(StorageError::corrupt(&self.path, self.end, what));
        }
        if mark.is_or_was_at(reader.bytes(self.end, FRAME_HEADER_BYTES)?) {
            self.proven = self.last_lsn;
        }
        self.deliver(&mut reader, delivered, on_frame)
    }

    /// Delivers the frames that are proven.
    fn deliver(
        &mut self,
        reader: &mut LogReader,
        delivered: &mut u64,
        on_frame: OnFrame<'_>,
    ) -> Result<bool> {
        while let Some(&(offset, lsn)) = self.waiting.front() {
            if lsn > self.proven && !planted(Bug::ReaderShowsUnsynced) {
                break;
            }
            if lsn > *delivered {
                let header = match reader.frame(offset)? {
                    Found::Frame(header) if header.lsn == lsn => header,
                    _ => return Ok(false),
                };
                on_frame(Frame {
                    lsn,
                    kind: header.kind,
                    epoch: header.epoch,
                    file: self.header.first_lsn(),
                    body: reader.body(offset, &header)?,
                })?;
                *delivered = lsn;
            }
            self.waiting.pop_front();
        }
        Ok(true)
    }
}
