//! Headers of log files and frames, to bytes and back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_env::{Bug, DiskFile, Env, Seal, TAG_BYTES, planted};

use super::{FRAME_BODY_BYTES_MAX, FRAME_OVERHEAD_BYTES};
use crate::checksum::{Crc32c, crc32c};
use crate::crypt::{FLAG_SEALED, ORIGIN_BYTES, Origin, open_seal};
use crate::envelope;
use crate::error::{Result, StorageError};
use crate::fields::{get_u32, get_u64, mended, put_u32, put_u64, read_exact};

/// Bytes of a file's header.
pub(crate) const FILE_HEADER_BYTES: usize = 64;

/// Bytes of a frame's header.
pub(crate) const FRAME_HEADER_BYTES: usize = 56;

/// Frames start at multiples of this.
pub(crate) const FRAME_ALIGN: usize = 8;

/// Kind of the mark behind the last synced frame; callers number theirs from 1.
pub(crate) const KIND_MARK: u8 = 0;

/// Where a frame header holds its log id; the search for headers looks here first.
pub(crate) const LOG_ID_AT: usize = 16;

/// File flag: the file held another log before, so bytes behind the last frame may be its.
const FLAG_RECYCLED: u16 = 1;

/// Bytes behind the header of an encrypted file: where its key comes from, a checksum that covers
/// the header too, and zeros.
const ORIGIN_BLOCK_BYTES: usize = 32;

/// Where its zeros begin.
const ORIGIN_FILLING_AT: usize = ORIGIN_BYTES + 4;

/// Bytes before the first frame, at most.
pub(crate) const FILE_HEADER_BYTES_MAX: usize = FILE_HEADER_BYTES + ORIGIN_BLOCK_BYTES;

const FILE_MAGIC: [u8; 8] = *b"CAIRNWAL";

const _: () = assert!(FILE_HEADER_BYTES.is_multiple_of(FRAME_ALIGN));
const _: () = assert!(FRAME_HEADER_BYTES.is_multiple_of(FRAME_ALIGN));
const _: () = assert!(FRAME_BODY_BYTES_MAX <= u32::MAX as u64);
const _: () = assert!(ORIGIN_BLOCK_BYTES.is_multiple_of(FRAME_ALIGN));
const _: () =
    assert!((FRAME_HEADER_BYTES + TAG_BYTES + FRAME_ALIGN) as u64 <= FRAME_OVERHEAD_BYTES);

/// What a file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    /// Whether the file held another log before.
    pub recycled: bool,
    /// Random, new for every generation of a file, never zero.
    pub log_id: u64,
    /// Whose log it is.
    pub collection: u64,
    /// Where the log before this file ended; all frames here are above.
    pub prev_lsn: u64,
    /// Epoch of all frames in the file.
    pub epoch: u64,
    /// Wall time of its making; for people, nothing rests on it.
    pub created_unix_ms: u64,
    /// Of an encrypted file.
    pub origin: Option<Origin>,
}

/// A header, and the key of an encrypted file.
pub(crate) type Headed = (FileHeader, Option<Arc<dyn Seal>>);

impl FileHeader {
    /// The lowest lsn the file may hold: its name.
    pub(crate) fn first_lsn(&self) -> u64 {
        self.prev_lsn.saturating_add(1)
    }

    /// Where the first frame stands.
    pub(crate) fn bytes(&self) -> u64 {
        let origin = self.origin.map_or(0, |_| ORIGIN_BLOCK_BYTES);
        (FILE_HEADER_BYTES + origin) as u64
    }

    /// What goes into the key of an encrypted file.
    pub(crate) fn about(&self) -> [u8; 40] {
        let mut about = [0; 40];
        about[..8].copy_from_slice(&FILE_MAGIC);
        put_u64(&mut about, 8, self.log_id);
        put_u64(&mut about, 16, self.collection);
        put_u64(&mut about, 24, self.prev_lsn);
        put_u64(&mut about, 32, self.epoch);
        about
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = [0; FILE_HEADER_BYTES];
        put_u64(&mut bytes, 16, self.log_id);
        put_u64(&mut bytes, 24, self.collection);
        put_u64(&mut bytes, 32, self.first_lsn());
        put_u64(&mut bytes, 40, self.prev_lsn);
        put_u64(&mut bytes, 48, self.epoch);
        put_u64(&mut bytes, 56, self.created_unix_ms);
        let recycled = if self.recycled { FLAG_RECYCLED } else { 0 };
        let sealed = if self.origin.is_some() {
            FLAG_SEALED
        } else {
            0
        };
        envelope::seal(&mut bytes, FILE_MAGIC, recycled | sealed);
        let mut whole = bytes.to_vec();
        if let Some(origin) = &self.origin {
            let mut block = [0; ORIGIN_BLOCK_BYTES];
            origin.put(&mut block, 0);
            let crc = origin_crc(&bytes, &block);
            put_u32(&mut block, ORIGIN_BYTES, crc);
            whole.extend(block);
        }
        whole
    }

    /// Reads the header of `file`, which is named by `first_lsn`, and the key of an encrypted one.
    pub(crate) fn read(
        env: &Env,
        file: &dyn DiskFile,
        path: &Path,
        first_lsn: u64,
        collection: u64,
    ) -> Result<Headed> {
        let mut bytes = [0; FILE_HEADER_BYTES];
        read_exact(file, path, 0, &mut bytes)?;
        let (mut header, sealed) = Self::decode(path, &bytes, first_lsn, collection)?;
        if sealed {
            let mut block = [0; ORIGIN_BLOCK_BYTES];
            read_exact(file, path, FILE_HEADER_BYTES as u64, &mut block)?;
            header.origin = Some(Self::decode_origin(path, &bytes, &block)?);
        }
        let seal = open_seal(env, path, header.origin, &header.about())?;
        Ok((header, seal.map(|(_, seal)| seal)))
    }

    /// What can be told of the header of a damaged file, and the key of an encrypted one: of one in
    /// which a bit turned around, all of it; of another, what one of the file's frames says. `None`
    /// where neither helps. The key may be a wrong one; the tags of frames tell.
    pub(crate) fn salvage(
        env: &Env,
        file: &dyn DiskFile,
        path: &Path,
        first_lsn: u64,
        collection: u64,
        frame: impl FnOnce() -> Result<Option<FrameHeader>>,
    ) -> Result<Option<Headed>> {
        let mut bytes = [0; FILE_HEADER_BYTES];
        if let Err(StorageError::Corrupt { .. }) = read_exact(file, path, 0, &mut bytes) {
            return Ok(None);
        }
        let decode = |bytes: &[u8]| {
            let bytes = bytes.try_into().ok()?;
            Self::decode(path, bytes, first_lsn, collection).ok()
        };
        let whole = decode(&bytes).or_else(|| mended(&mut bytes, FILE_HEADER_BYTES, decode));
        let (mut header, sealed) = match whole {
            Some(found) => found,
            None => {
                let Some(frame) = frame()? else {
                    return Ok(None);
                };
                let header = Self {
                    recycled: true,
                    log_id: frame.log_id,
                    collection,
                    prev_lsn: first_lsn.saturating_sub(1),
                    epoch: frame.epoch,
                    created_unix_ms: 0,
                    origin: None,
                };
                (header, env.sealing.is_some())
            }
        };
        if sealed {
            let mut block = [0; ORIGIN_BLOCK_BYTES];
            let read = read_exact(file, path, FILE_HEADER_BYTES as u64, &mut block);
            if let Err(StorageError::Corrupt { .. }) = read {
                return Ok(None);
            }
            let decode = |block: &[u8]| {
                let block = block.try_into().ok()?;
                Self::decode_origin(path, &bytes, block).ok()
            };
            let origin = decode(&block).or_else(|| mended(&mut block, ORIGIN_FILLING_AT, decode));
            header.origin = Some(origin.unwrap_or_else(|| Origin::get(&block, 0)));
        }
        match open_seal(env, path, header.origin, &header.about()) {
            Err(StorageError::Corrupt { .. }) => Ok(None),
            other => Ok(Some((header, other?.map(|(_, seal)| seal)))),
        }
    }

    /// Where zeros are expected behind the origin, and are not: the place of the first.
    pub(crate) fn wrong_filling(&self, file: &dyn DiskFile, path: &Path) -> Result<Option<u64>> {
        let at = FILE_HEADER_BYTES as u64 + ORIGIN_FILLING_AT as u64;
        if self.origin.is_none() {
            return Ok(None);
        }
        let mut filling = [0; ORIGIN_BLOCK_BYTES - ORIGIN_FILLING_AT];
        read_exact(file, path, at, &mut filling)?;
        let wrong = filling.iter().zip(at..).find(|(byte, _)| **byte != 0);
        Ok(wrong.map(|(_, at)| at))
    }

    /// Reads what stands behind the header of an encrypted file.
    fn decode_origin(
        file: &Path,
        header: &[u8; FILE_HEADER_BYTES],
        block: &[u8; ORIGIN_BLOCK_BYTES],
    ) -> Result<Origin> {
        if get_u32(block, ORIGIN_BYTES) != origin_crc(header, block) {
            let at = (FILE_HEADER_BYTES + ORIGIN_BYTES) as u64;
            return Err(StorageError::corrupt(
                file,
                at,
                "wrong checksum of the key's origin",
            ));
        }
        Ok(Origin::get(block, 0))
    }

    /// Reads the header of the file named by `first_lsn`, and whether the file is encrypted; the
    /// origin of its key is still to be read.
    fn decode(
        file: &Path,
        bytes: &[u8; FILE_HEADER_BYTES],
        first_lsn: u64,
        collection: u64,
    ) -> Result<(Self, bool)> {
        let known = FLAG_RECYCLED | FLAG_SEALED;
        let flags = envelope::check(file, 0, bytes, FILE_MAGIC, known)?;
        let header = Self {
            recycled: flags & FLAG_RECYCLED != 0,
            log_id: get_u64(bytes, 16),
            collection: get_u64(bytes, 24),
            prev_lsn: get_u64(bytes, 40),
            epoch: get_u64(bytes, 48),
            created_unix_ms: get_u64(bytes, 56),
            origin: None,
        };
        let corrupt = |at, what: &str| Err(StorageError::corrupt(file, at, what));
        if header.log_id == 0 {
            return corrupt(16, "log_id is zero");
        }
        if header.collection != collection {
            return corrupt(24, "belongs to another collection");
        }
        if get_u64(bytes, 32) != first_lsn || header.first_lsn() != first_lsn {
            return corrupt(32, "first_lsn is not the one in its name");
        }
        Ok((header, flags & FLAG_SEALED != 0))
    }
}

fn origin_crc(header: &[u8], block: &[u8]) -> u32 {
    let mut crc = Crc32c::new();
    crc.update(header);
    crc.update(&block[..ORIGIN_BYTES]);
    crc.finish()
}

/// What stands before a frame's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// CRC-32C of the body and the zeros that fill it up to a multiple of eight.
    pub body_crc: u32,
    /// Bytes of the body, without filling.
    pub body_bytes: u32,
    /// [`KIND_MARK`], or the caller's.
    pub kind: u8,
    /// None yet; a bit that is set means a newer format.
    pub flags: u8,
    /// The file's.
    pub log_id: u64,
    /// The frame's version; for a mark, that of the frame before it.
    pub lsn: u64,
    /// The version of the frame before it in this log.
    pub prev: u64,
    /// How far the log was known durable when the frame was encoded.
    pub synced: u64,
    /// The file's.
    pub epoch: u64,
}

impl FrameHeader {
    /// The mark that says the log is durable up to `lsn`.
    pub(crate) fn mark(file: &FileHeader, lsn: u64) -> Self {
        Self {
            body_crc: crc32c(&[]),
            body_bytes: 0,
            kind: KIND_MARK,
            flags: 0,
            log_id: file.log_id,
            lsn,
            prev: lsn,
            synced: lsn,
            epoch: file.epoch,
        }
    }

    /// Whether `bytes` are this mark, or the header of the frame that takes its place, or some of
    /// the one and some of the other. Where the two differ (checksums, length, kind, lsn) is not
    /// looked at; all the rest is the same in both, `log_id` and `synced` among it.
    pub(crate) fn is_or_was_at(&self, bytes: &[u8]) -> bool {
        let mark = self.encode();
        let same = [LOG_ID_AT..LOG_ID_AT + 8, 32..FRAME_HEADER_BYTES];
        bytes.len() == mark.len() && same.into_iter().all(|at| bytes[at.clone()] == mark[at])
    }

    /// Why this frame cannot stand behind the frame `last_lsn` of `file`, if it cannot.
    pub(crate) fn check_follows(
        &self,
        last_lsn: u64,
        file: &FileHeader,
    ) -> std::result::Result<(), Misfit> {
        let what = if self.flags != 0 {
            return Err(Misfit::Unknown(format!("frame flags={:#x}", self.flags)));
        } else if self.lsn <= last_lsn {
            format!(
                "lsn={} repeats or goes back behind lsn={last_lsn}",
                self.lsn
            )
        } else if self.prev != last_lsn {
            format!("frame follows lsn={}, not lsn={last_lsn}", self.prev)
        } else if self.synced > last_lsn {
            format!("synced={} is above the frame before", self.synced)
        } else if self.epoch != file.epoch {
            format!("epoch={} is not the file's", self.epoch)
        } else {
            return Ok(());
        };
        Err(Misfit::Damage(what))
    }

    /// Bytes of the whole frame, filling included.
    pub(crate) fn frame_bytes(&self) -> u64 {
        let body = u64::from(self.body_bytes);
        FRAME_HEADER_BYTES as u64 + body.next_multiple_of(FRAME_ALIGN as u64)
    }

    pub(crate) fn encode(&self) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        put_u32(&mut bytes, 4, self.body_crc);
        put_u32(&mut bytes, 8, self.body_bytes);
        bytes[12] = self.kind;
        bytes[13] = self.flags;
        put_u64(&mut bytes, LOG_ID_AT, self.log_id);
        put_u64(&mut bytes, 24, self.lsn);
        put_u64(&mut bytes, 32, self.prev);
        put_u64(&mut bytes, 40, self.synced);
        put_u64(&mut bytes, 48, self.epoch);
        let crc = crc32c(&bytes[4..]);
        put_u32(&mut bytes, 0, crc);
        bytes
    }

    /// What the tag of the body proves beside it: all of the header but its checksums.
    pub(crate) fn proves(&self) -> [u8; FRAME_HEADER_BYTES - 8] {
        let bytes = self.encode();
        bytes[8..].try_into().expect("the rest of the header")
    }

    /// Reads a header of generation `log_id`; `None` for anything else: zeros, another
    /// generation's frame, damage.
    pub(crate) fn decode(bytes: &[u8], log_id: u64) -> Option<Self> {
        let right = get_u32(bytes, 0) == crc32c(&bytes[4..FRAME_HEADER_BYTES]);
        let header = Self {
            body_crc: get_u32(bytes, 4),
            body_bytes: get_u32(bytes, 8),
            kind: bytes[12],
            flags: bytes[13],
            log_id: get_u64(bytes, LOG_ID_AT),
            lsn: get_u64(bytes, 24),
            prev: get_u64(bytes, 32),
            synced: get_u64(bytes, 40),
            epoch: get_u64(bytes, 48),
        };
        let believed = right || planted(Bug::ChecksumSkipsHeader);
        (believed && header.log_id == log_id).then_some(header)
    }
}

/// Why a frame with a right checksum cannot stand where it stands.
pub(crate) enum Misfit {
    Damage(String),
    /// Of a newer format.
    Unknown(String),
}

impl Misfit {
    /// The error of a frame at `offset` of `file`.
    pub(crate) fn at(self, file: &Path, offset: u64) -> StorageError {
        match self {
            Self::Damage(what) => StorageError::corrupt(file, offset, what),
            Self::Unknown(what) => StorageError::unsupported(file, what),
        }
    }
}

/// The path of the file whose lowest lsn is `first_lsn`.
pub(crate) fn file_path(dir: &Path, first_lsn: u64) -> PathBuf {
    dir.join(format!("{first_lsn:020}.wal"))
}
