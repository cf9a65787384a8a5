//! One log file, read through a window.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_env::{Bug, DiskFile, Seal, TAG_BYTES, planted};

use super::format::{
    FILE_HEADER_BYTES, FRAME_ALIGN, FRAME_HEADER_BYTES, FrameHeader, KIND_MARK, LOG_ID_AT,
};
use crate::checksum::crc32c;
use crate::crypt::{FORGED, offset_nonce};
use crate::error::{Result, StorageError};
use crate::fields::{get_u64, read_exact};

/// Bytes read ahead at a time; a frame longer than this is read whole.
const WINDOW_BYTES: usize = 1024 * 1024; // 1 MiB: past this a read costs no less per byte

/// A log file open for recovery.
pub(crate) struct LogReader {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    len: u64,
    log_id: u64,
    window: Vec<u8>,
    window_start: u64,
    /// The key of an encrypted file.
    seal: Option<Arc<dyn Seal>>,
    /// The last body that was decrypted.
    plain: Vec<u8>,
}

/// What stands at an offset.
#[derive(Clone, Copy)]
pub(crate) enum Found {
    /// A frame with an undamaged body.
    Frame(FrameHeader),
    /// A mark: the log was durable up to here.
    Mark(FrameHeader),
    /// Anything else: zeros, another generation, damage, the end of the file.
    Nothing,
}

/// What lies behind the end of the valid chain.
pub(crate) struct Remains {
    /// The first header that proves durability above the chain's last lsn, and its offset.
    pub witness: Option<(u64, FrameHeader)>,
    /// Bytes of the torn tail, as far as it can be recognised.
    pub torn_bytes: u64,
}

impl LogReader {
    /// `log_id`: the generation whose frames are looked for.
    pub(crate) fn new(file: Arc<dyn DiskFile>, path: &Path, len: u64, log_id: u64) -> Self {
        Self {
            file,
            path: path.to_path_buf(),
            len,
            log_id,
            window: Vec::new(),
            window_start: 0,
            seal: None,
            plain: Vec::new(),
        }
    }

    /// For a file whose bodies are to be decrypted.
    pub(crate) fn sealed_with(mut self, seal: Option<Arc<dyn Seal>>) -> Self {
        self.seal = seal;
        self
    }

    /// The frame at `offset`.
    pub(crate) fn frame(&mut self, offset: u64) -> Result<Found> {
        let log_id = self.log_id;
        let bytes = self.view(offset, FRAME_HEADER_BYTES as u64)?;
        if bytes.len() < FRAME_HEADER_BYTES {
            return Ok(Found::Nothing);
        }
        let Some(header) = FrameHeader::decode(bytes, log_id) else {
            return Ok(Found::Nothing);
        };
        if header.kind == KIND_MARK {
            return Ok(Found::Mark(header));
        }
        if header.frame_bytes() > self.len - offset {
            // Nothing is read for a body the file cannot hold.
            return Ok(Found::Nothing);
        }
        let frame = self.view(offset, header.frame_bytes())?;
        if crc32c(&frame[FRAME_HEADER_BYTES..]) == header.body_crc {
            Ok(Found::Frame(header))
        } else {
            Ok(Found::Nothing)
        }
    }

    /// What stands at `offset`; fewer bytes at the end of the file.
    pub(crate) fn bytes(&mut self, offset: u64, bytes: usize) -> Result<&[u8]> {
        self.view(offset, bytes as u64)
    }

    /// The body of the frame found at `offset`, in clear.
    pub(crate) fn body(&mut self, offset: u64, header: &FrameHeader) -> Result<&[u8]> {
        let (start, bytes) = (
            offset + FRAME_HEADER_BYTES as u64,
            u64::from(header.body_bytes),
        );
        let Some(seal) = self.seal.clone() else {
            return self.view(start, bytes);
        };
        let mut plain = std::mem::take(&mut self.plain);
        plain.clear();
        let stored = self.view(start, bytes)?.split_last_chunk::<TAG_BYTES>();
        let right = stored.is_some_and(|(sealed, tag)| {
            plain.extend_from_slice(sealed);
            let (nonce, proves) = (offset_nonce(offset), header.proves());
            planted(Bug::WalInClear) || seal.open(&nonce, &proves, &mut plain, tag)
        });
        if !right {
            return Err(StorageError::corrupt(&self.path, offset, FORGED));
        }
        self.plain = plain;
        Ok(&self.plain)
    }

    /// Looks at everything from `offset`, where the valid chain ended with `last_lsn`, and where
    /// a mark stands if `mark`.
    ///
    /// In a file that was `recycled` only what carries this generation's id counts as torn.
    pub(crate) fn remains(
        &mut self,
        offset: u64,
        last_lsn: u64,
        recycled: bool,
        mark: bool,
    ) -> Result<Remains> {
        let (log_id, len) = (self.log_id, self.len);
        let tail = offset + if mark { FRAME_HEADER_BYTES as u64 } else { 0 };
        let (mut torn_end, mut base) = (tail, offset);
        while base < len {
            // Windows overlap by a header, so that each is seen whole in one of them.
            let window = self.view(base, (WINDOW_BYTES + FRAME_HEADER_BYTES) as u64)?;
            let step = window.len().min(WINDOW_BYTES);
            let mut next = 0;
            while next < step {
                let at = next;
                next += FRAME_ALIGN;
                let here = base + at as u64;
                let word = &window[at..next.min(step)];
                if word.iter().all(|byte| *byte == 0) {
                    // No header stands where its id would be zeros.
                    let zeros = if log_id == 0 {
                        0
                    } else {
                        leading_zeros(&window[at..])
                    };
                    next = next.max((at + zeros).saturating_sub(LOG_ID_AT));
                } else if !recycled {
                    torn_end = torn_end.max((here + FRAME_ALIGN as u64).min(len));
                }
                let Some(bytes) = window.get(at..at + FRAME_HEADER_BYTES) else {
                    continue;
                };
                if get_u64(bytes, LOG_ID_AT) != log_id {
                    continue;
                }
                let header = FrameHeader::decode(bytes, log_id);
                if let Some(header) = header.filter(|header| header.synced > last_lsn) {
                    return Ok(Remains {
                        witness: Some((here, header)),
                        torn_bytes: 0,
                    });
                }
                if here >= tail {
                    let bytes = header.map_or(FRAME_HEADER_BYTES as u64, |h| h.frame_bytes());
                    torn_end = torn_end.max(here.saturating_add(bytes).min(len));
                }
            }
            base += step as u64;
        }
        Ok(Remains {
            witness: None,
            torn_bytes: torn_end.saturating_sub(tail),
        })
    }

    /// The next whole frame or mark from `offset` on that follows `last_lsn`, and where it stands.
    pub(crate) fn next_whole(
        &mut self,
        offset: u64,
        last_lsn: u64,
    ) -> Result<Option<(u64, FrameHeader)>> {
        let mut at = offset.next_multiple_of(FRAME_ALIGN as u64);
        while at < self.len {
            // A view moves the window only past its end, so this costs one pass.
            let bytes = self.view(at, FRAME_HEADER_BYTES as u64)?;
            if bytes.len() < FRAME_HEADER_BYTES {
                break;
            }
            if get_u64(bytes, LOG_ID_AT) == self.log_id {
                match self.frame(at)? {
                    Found::Frame(header) | Found::Mark(header) if header.prev >= last_lsn => {
                        return Ok(Some((at, header)));
                    }
                    _ => {}
                }
            }
            at += FRAME_ALIGN as u64;
        }
        Ok(None)
    }

    /// The first frame of any generation that is not below `prev_lsn`: of the generation that the
    /// file was made for, because all before it were below.
    pub(crate) fn generation(&mut self, prev_lsn: u64) -> Result<Option<FrameHeader>> {
        let mut at = FILE_HEADER_BYTES as u64;
        while at < self.len {
            let bytes = self.view(at, FRAME_HEADER_BYTES as u64)?;
            if bytes.len() < FRAME_HEADER_BYTES {
                break;
            }
            let log_id = get_u64(bytes, LOG_ID_AT);
            let header = (log_id != 0).then(|| FrameHeader::decode(bytes, log_id));
            let ours = |header: &FrameHeader| header.prev >= prev_lsn && header.lsn > prev_lsn;
            if let Some(header) = header.flatten().filter(ours) {
                return Ok(Some(header));
            }
            at += FRAME_ALIGN as u64;
        }
        Ok(None)
    }

    /// Bytes of the file that are looked at.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Writes `from..to` again as it is and makes it durable.
    pub(crate) fn rewrite(&mut self, from: u64, to: u64) -> Result<()> {
        let (file, path) = (Arc::clone(&self.file), self.path.clone());
        let mut at = from;
        while at < to {
            let bytes = self.view(at, (to - at).min(WINDOW_BYTES as u64))?;
            file.write_at(at, bytes)
                .map_err(StorageError::io("write", &path))?;
            at += bytes.len() as u64;
        }
        file.sync_data().map_err(StorageError::io("sync", &path))
    }

    /// Up to `bytes` bytes from `offset`; fewer at the end of the file.
    fn view(&mut self, offset: u64, bytes: u64) -> Result<&[u8]> {
        let available = bytes.min(self.len.saturating_sub(offset));
        let wanted = usize::try_from(available)
            .map_err(|_| StorageError::corrupt(&self.path, offset, "frame longer than memory"))?;
        let window_end = self.window_start + self.window.len() as u64;
        if offset < self.window_start || offset + available > window_end {
            let ahead = self.len.saturating_sub(offset).min(WINDOW_BYTES as u64);
            let ahead = usize::try_from(ahead).expect("at most a window");
            // Lengths are the file's, so this never takes more memory than the file has bytes.
            self.window.resize(wanted.max(ahead), 0);
            self.window_start = offset;
            read_exact(&*self.file, &self.path, offset, &mut self.window)?;
        }
        let start = usize::try_from(offset - self.window_start).expect("inside the window");
        Ok(&self.window[start..start + wanted])
    }
}

/// Zeros that `bytes` begin with, to within 255 of how many there are.
fn leading_zeros(bytes: &[u8]) -> usize {
    const BLOCK: usize = 256;
    let (blocks, _) = bytes.as_chunks::<BLOCK>();
    BLOCK
        * blocks
            .iter()
            .take_while(|block| **block == [0; BLOCK])
            .count()
}
