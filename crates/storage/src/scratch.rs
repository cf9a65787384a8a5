//! Bytes that are needed for a while and would be too much in memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_env::{DiskFile, Env};

use crate::error::{Result, StorageError};
use crate::mapping::Mapping;

/// Bytes gathered before a write.
const BUFFER_BYTES: usize = 1024 * 1024;

/// Writes bytes that are read as memory afterwards: into a file without a name, which is gone with its last reader,
/// whatever happens.
///
/// Nothing is synced, and there are no checksums: these bytes never become anybody's data unless they are written
/// again, through those of a segment.
pub struct ScratchWriter {
    file: Arc<dyn DiskFile>,
    dir: PathBuf,
    buffer: Vec<u8>,
    written: u64,
}

impl ScratchWriter {
    /// `None` where there is no such file: on other systems than Linux, on disks that are not the system's, and of
    /// an encrypted database, whose bytes never lie on a disk in clear.
    ///
    /// # Errors
    /// [`StorageError::Io`], [`StorageError::NoSpace`].
    pub fn create(env: &Env, dir: &Path) -> Result<Option<Self>> {
        if env.sealing.is_some() {
            return Ok(None);
        }
        let file = env.disk.create_unnamed(dir);
        let file = file.map_err(StorageError::io("create", dir))?;
        Ok(file.map(|file| Self {
            file,
            dir: dir.to_path_buf(),
            buffer: Vec::with_capacity(BUFFER_BYTES),
            written: 0,
        }))
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// [`StorageError::Io`], [`StorageError::NoSpace`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        match self.buffer.len() {
            BUFFER_BYTES.. => self.flush(),
            _ => Ok(()),
        }
    }

    /// All that was written; `None` where the system maps no more.
    ///
    /// # Errors
    /// [`StorageError::Io`], [`StorageError::NoSpace`].
    pub fn finish(mut self) -> Result<Option<Scratch>> {
        self.flush()?;
        #[cfg(unix)]
        if let Some(descriptor) = self.file.descriptor()
            && let Ok(bytes) = usize::try_from(self.written)
            && let Some(mapping) = Mapping::new(descriptor, 0, bytes)
        {
            return Ok(Some(Scratch { mapping }));
        }
        Ok(None)
    }

    fn flush(&mut self) -> Result<()> {
        let written = self.file.write_at(self.written, &self.buffer);
        written.map_err(StorageError::io("write", &self.dir))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl std::fmt::Debug for ScratchWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScratchWriter")
            .field("bytes", &(self.written + self.buffer.len() as u64))
            .finish_non_exhaustive()
    }
}

/// What a [`ScratchWriter`] wrote.
#[derive(Debug)]
pub struct Scratch {
    mapping: Mapping,
}

impl Scratch {
    /// All bytes, on a page boundary.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.mapping.bytes()
    }

    /// Lets go of the pages of a range: who reads them again has them from the disk.
    pub fn let_go(&self, range: std::ops::Range<usize>) {
        self.mapping.let_go(range);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use cairn_testkit::TempDir;

    use super::*;

    #[test]
    fn what_is_written_is_there_to_be_read_and_leaves_no_name() {
        let (dir, env) = (TempDir::new("scratch"), Env::os(1));
        let Some(mut writer) = ScratchWriter::create(&env, dir.path()).expect("a directory") else {
            return; // A file system that has no such files.
        };
        let bytes: Vec<u8> = (0..3 * BUFFER_BYTES + 77).map(|n| n as u8).collect();
        for part in bytes.chunks(10_007) {
            writer.write(part).expect("room");
        }
        let scratch = writer.finish().expect("room").expect("memory");
        assert!(env.disk.list(dir.path()).expect("a directory").is_empty());
        assert_eq!(scratch.bytes(), bytes);
        scratch.let_go(0..bytes.len());
        assert_eq!(scratch.bytes(), bytes);
    }

    #[test]
    fn disks_that_are_not_the_systems_have_none() {
        let env = Env::memory(1);
        let none = ScratchWriter::create(&env, Path::new("/")).expect("a directory");
        assert!(none.is_none());
    }
}
