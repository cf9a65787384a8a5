//! Writing a segment, front to back, in bounded memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_env::{Bug, DiskFile, Env, KillPoint, Seal, planted};

use super::format::{
    ALIGN, Entry, FOOTER_NONCE, Header, Trailer, block_crc, encode_footer, flags_known, footer_crc,
    footer_proves, nonce,
};
use super::{BLOCK_BYTES, SectionId, SegmentFile};
use crate::checksum::Crc32c;
use crate::crypt::seal_new;
use crate::error::{Result, StorageError};

/// Bytes written at a time, each time synced: a log on the same disk waits for what is ahead of it
/// there, and behind a whole segment that would be long.
const SYNC_BYTES: usize = 128 * 1024;

/// Bytes gathered before a write; larger pieces bypass the buffer.
const BUFFER_BYTES: usize = 1024 * 1024; // 1 MiB: past this a write costs no less per byte

/// A segment being written.
///
/// Memory: one buffer of 1 MiB, and four bytes per block of 4 KiB written. After an error the
/// file is of no use; the caller removes it. So is one that is dropped before
/// [`finish`](Self::finish).
///
/// # Examples
/// ```
/// use cairn_env::Env;
/// use cairn_storage::{REQUIRED, SectionId, SegmentReader, SegmentWriter};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let env = Env::memory(1);
/// let path = std::path::Path::new("/a.seg");
/// let keys = SectionId { kind: 1, field: 0 };
/// let mut writer = SegmentWriter::create(&env, path, [7; 16], 42)?;
/// writer.begin(keys, REQUIRED)?;
/// writer.write(b"alpha")?;
/// writer.write(b"beta")?;
/// writer.end()?;
/// let file = writer.finish()?;
///
/// let reader = SegmentReader::open(&env, path, Some(file), &[1])?;
/// assert_eq!(reader.read(keys)?, b"alphabeta");
/// # Ok(())
/// # }
/// ```
pub struct SegmentWriter {
    env: Env,
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    header: Header,
    buffer: Vec<u8>,
    /// Bytes of the file before the buffer.
    written: u64,
    entries: Vec<Entry>,
    open: Option<OpenBlock>,
    /// The key of an encrypted file.
    seal: Option<Arc<dyn Seal>>,
    /// What the open block of an encrypted file has so far.
    plain: Vec<u8>,
}

/// The block of the open section that takes bytes.
struct OpenBlock {
    crc: Crc32c,
    bytes: usize,
}

impl std::fmt::Debug for SegmentWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SegmentWriter")
            .field("path", &self.path)
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

impl SegmentWriter {
    /// Creates the file at `path`, which must not exist.
    ///
    /// `identity`: the segment's own id, different from every other segment's.
    ///
    /// # Errors
    /// [`StorageError::Io`], [`StorageError::NoSpace`].
    pub fn create(env: &Env, path: &Path, identity: [u8; 16], collection: u64) -> Result<Self> {
        let mut header = Header {
            identity,
            collection,
            origin: None,
        };
        let (origin, seal) = seal_new(env, path, &header.about())?.unzip();
        header.origin = origin;
        let file = env.disk.create(path);
        let mut writer = Self {
            env: env.clone(),
            file: file.map_err(StorageError::io("create", path))?,
            path: path.to_path_buf(),
            header,
            buffer: Vec::with_capacity(BUFFER_BYTES),
            written: 0,
            entries: Vec::new(),
            open: None,
            seal,
            plain: Vec::new(),
        };
        writer.put(&writer.header.encode())?;
        writer.hit(KillPoint::K9SegmentCreated)?;
        Ok(writer)
    }

    /// Begins a section. `flags`: [`REQUIRED`](super::REQUIRED) or 0.
    ///
    /// # Errors
    /// [`StorageError::Limit`] if there is one of this id already, or for unknown flags.
    ///
    /// # Panics
    /// If a section is open.
    pub fn begin(&mut self, id: SectionId, flags: u32) -> Result<()> {
        assert!(self.open.is_none(), "the section before was not ended");
        if self.entries.iter().any(|entry| entry.id == id) {
            return Err(StorageError::limit(format!("section {id} stands twice")));
        }
        if !flags_known(flags) {
            return Err(StorageError::limit(format!("section flags={flags:#x}")));
        }
        let offset = self.align()?;
        self.open = Some(OpenBlock {
            crc: block_crc(&self.header.identity, id, 0),
            bytes: 0,
        });
        self.entries.push(Entry {
            id,
            flags,
            offset,
            bytes: 0,
            checksums: Vec::new(),
            tags: Vec::new(),
        });
        Ok(())
    }

    /// Adds to the open section.
    ///
    /// # Errors
    /// [`StorageError::Io`], [`StorageError::NoSpace`].
    ///
    /// # Panics
    /// If no section is open.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        // Summed and written while still in the processor's cache.
        for piece in bytes.chunks(BUFFER_BYTES) {
            if self.seal.is_some() {
                self.seal_blocks(piece)?;
            } else {
                self.sum(piece);
                self.put(piece)?;
            }
        }
        Ok(())
    }

    /// Ends the open section.
    ///
    /// # Errors
    /// [`StorageError::Limit`] if it has more blocks than can be counted.
    ///
    /// # Panics
    /// If no section is open.
    pub fn end(&mut self) -> Result<()> {
        if !self.plain.is_empty() {
            self.seal_block()?;
        }
        let block = self.open.take().expect("a section is open");
        let entry = self.entries.last_mut().expect("a section is open");
        if block.bytes > 0 {
            entry.checksums.push(block.crc.finish());
        }
        if u32::try_from(entry.checksums.len()).is_err() {
            return Err(StorageError::limit("section has too many blocks"));
        }
        Ok(())
    }

    /// Writes the footer and makes the contents durable; the name is durable once
    /// [`sync_segment_dir`](super::sync_segment_dir) returned.
    ///
    /// # Errors
    /// [`StorageError::Io`], [`StorageError::NoSpace`].
    ///
    /// # Panics
    /// If a section is open.
    pub fn finish(mut self) -> Result<SegmentFile> {
        assert!(self.open.is_none(), "the last section was not ended");
        let footer_offset = self.align()?;
        let mut footer = encode_footer(&self.entries);
        if let Some(seal) = &self.seal {
            let proves = footer_proves(&self.header.encode(), &footer);
            footer.extend(seal.seal(&FOOTER_NONCE, &proves, &mut []));
        }
        let trailer = Trailer {
            footer_offset,
            footer_bytes: footer.len() as u64,
            footer_crc: footer_crc(&self.header.encode(), &footer),
        };
        self.put(&footer)?;
        self.put(&trailer.encode())?;
        self.flush()?;
        self.hit(KillPoint::K15Footer)?;
        self.sync()?;
        self.hit(KillPoint::K16SegmentSynced)?;
        Ok(trailer.file())
    }

    /// Bytes of the file so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Takes `bytes` into the open section's checksums.
    fn sum(&mut self, bytes: &[u8]) {
        let block = self.open.as_mut().expect("a section is open");
        let entry = self.entries.last_mut().expect("a section is open");
        let mut rest = bytes;
        while !rest.is_empty() {
            if block.bytes == BLOCK_BYTES {
                entry.checksums.push(block.crc.finish());
                let index = entry.checksums.len() as u64;
                block.crc = block_crc(&self.header.identity, entry.id, index);
                block.bytes = 0;
            }
            let (piece, after) = rest.split_at(rest.len().min(BLOCK_BYTES - block.bytes));
            block.crc.update(piece);
            block.bytes += piece.len();
            rest = after;
        }
        entry.bytes += bytes.len() as u64;
    }

    /// Gathers `bytes` into blocks, and puts those that are full.
    fn seal_blocks(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(BLOCK_BYTES - self.plain.len()));
            self.plain.extend_from_slice(piece);
            rest = after;
            if self.plain.len() == BLOCK_BYTES {
                self.seal_block()?;
            }
        }
        Ok(())
    }

    /// Encrypts, sums and puts the block that was gathered.
    fn seal_block(&mut self) -> Result<()> {
        let mut block = std::mem::take(&mut self.plain);
        let seal = self.seal.as_ref().expect("an encrypted file");
        let entry = self.entries.last_mut().expect("a section is open");
        let index = entry.checksums.len() as u64;
        if u32::try_from(index + 1).is_err() {
            return Err(StorageError::limit("section has too many blocks"));
        }
        let tag = seal.seal(&nonce(entry.id, index), &[], &mut block);
        let mut crc = block_crc(&self.header.identity, entry.id, index);
        crc.update(&block);
        entry.tags.push(tag);
        entry.checksums.push(crc.finish());
        entry.bytes += block.len() as u64;
        let put = self.put(&block);
        block.clear();
        self.plain = block;
        put
    }

    /// Fills up with zeros to the next place a section may start.
    fn align(&mut self) -> Result<u64> {
        let end = self.bytes().next_multiple_of(ALIGN);
        let fill = usize::try_from(end - self.bytes()).expect("less than the alignment");
        self.put(&[0; ALIGN as usize][..fill])?;
        Ok(end)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush()?;
        }
        if bytes.len() >= BUFFER_BYTES {
            return self.write_out(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.write_out(&buffer);
        buffer.clear();
        self.buffer = buffer;
        result
    }

    fn write_out(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(SYNC_BYTES) {
            let written = self.file.write_at(self.written, piece);
            written.map_err(StorageError::io("write", &self.path))?;
            self.written += piece.len() as u64;
            if piece.len() == SYNC_BYTES {
                self.sync()?;
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        if !planted(Bug::SkipSegmentSync) {
            let synced = self.file.sync_data();
            synced.map_err(StorageError::io("sync", &self.path))?;
        }
        Ok(())
    }

    fn hit(&self, point: KillPoint) -> Result<()> {
        let failed = StorageError::io("fail_point", &self.path);
        self.env.faults.hit(point).map_err(failed)
    }
}
