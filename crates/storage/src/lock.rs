//! One process at a time per directory.
//!
//! The lock is the operating system's lock on the file `LOCK`: freed when the holder dies,
//! however it dies, so there is no stale lock to break. `LOCK.holder` beside it only tells the
//! one who is refused whom to ask; nothing rests on its content. `LOCK` itself is never removed,
//! because a file removed and made anew is a second file that a second process could lock.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cairn_env::{Access, Bug, DirLock, Disk, Env, planted};
use serde::{Deserialize, Serialize};

use crate::error::{Result, StorageError};
use crate::fields::remove_if_there;

const LOCK: &str = "LOCK";
const HOLDER: &str = "LOCK.holder";
const HOLDER_TMP: &str = "LOCK.holder.tmp";

/// A holder file longer than this is not ours.
const HOLDER_BYTES_MAX: usize = 4096;

/// Time between two attempts while another holds the lock.
const POLL: Duration = Duration::from_millis(20);

/// Who holds a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id; 0 if unknown.
    pub pid: u32,
    /// Name of the machine; `unknown` if unknown.
    pub host: String,
    /// When it took the lock, in milliseconds since 1970-01-01 UTC; 0 if unknown.
    pub since_unix_ms: u64,
}

impl Holder {
    /// What is said of a holder whose file cannot be read (yet).
    fn unknown() -> Self {
        Self {
            pid: 0,
            host: "unknown".to_owned(),
            since_unix_ms: 0,
        }
    }
}

/// A held directory; dropping it lets the next one in.
pub struct DirectoryLock {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    _lock: Box<dyn DirLock>,
}

impl std::fmt::Debug for DirectoryLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DirectoryLock")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl DirectoryLock {
    /// Takes the lock of `dir`, waiting up to `timeout` for another holder to leave.
    ///
    /// # Errors
    /// [`StorageError::Locked`] naming the holder; [`StorageError::Io`] if the lock file
    /// cannot be opened.
    pub fn acquire(env: &Env, dir: &Path, timeout: Duration, me: Holder) -> Result<Self> {
        let path = dir.join(LOCK);
        let deadline = env.clock.now().saturating_add(timeout);
        loop {
            let attempt = env
                .disk
                .lock(&path)
                .map_err(StorageError::io("lock", &path))?;
            let shared = || -> Box<dyn DirLock> { Box::new(Shared) };
            let attempt = attempt.or_else(|| planted(Bug::LockIsShared).then(shared));
            if let Some(lock) = attempt {
                // The lock is what counts. A full or read-only disk must not keep anybody from
                // reading, or from deleting to make room.
                let _ = write_holder(&*env.disk, dir, &me);
                return Ok(Self {
                    disk: Arc::clone(&env.disk),
                    dir: dir.to_path_buf(),
                    _lock: lock,
                });
            }
            let left = deadline.saturating_sub(env.clock.now());
            if left.is_zero() {
                let holder = holder_of(env, dir);
                return Err(StorageError::Locked { holder });
            }
            env.clock.sleep(left.min(POLL));
        }
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // While the lock is still held, so that the next holder's file is never the one removed.
        let _ = remove_if_there(&*self.disk, &self.dir.join(HOLDER));
    }
}

/// A planted bug: what somebody has who took a lock that was held.
struct Shared;

impl DirLock for Shared {}

fn write_holder(disk: &dyn Disk, dir: &Path, holder: &Holder) -> Result<()> {
    let tmp = dir.join(HOLDER_TMP);
    let text = serde_json::to_vec(holder).expect("a holder is plain data");
    remove_if_there(disk, &tmp)?;
    let file = disk
        .create(&tmp)
        .map_err(StorageError::io("create", &tmp))?;
    file.write_at(0, &text)
        .map_err(StorageError::io("write", &tmp))?;
    disk.rename(&tmp, &dir.join(HOLDER))
        .map_err(StorageError::io("rename", &tmp))
}

/// Who holds `dir`, as far as its file says; a guess, because nothing rests on that file.
#[must_use]
pub fn holder_of(env: &Env, dir: &Path) -> Holder {
    read_holder(&*env.disk, dir).unwrap_or_else(Holder::unknown)
}

fn read_holder(disk: &dyn Disk, dir: &Path) -> Option<Holder> {
    let file = disk.open(&dir.join(HOLDER), Access::Read).ok()?;
    let mut text = vec![0; HOLDER_BYTES_MAX];
    let bytes = file.read_at(0, &mut text).ok()?;
    serde_json::from_slice(&text[..bytes]).ok()
}
