//! Directories for tests that need the real file system.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A fresh directory of the operating system, removed with all its contents on drop.
///
/// # Examples
/// ```
/// use cairn_testkit::TempDir;
///
/// let dir = TempDir::new("example");
/// assert!(dir.path().is_dir());
/// ```
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
}

impl TempDir {
    /// Creates `<temporary directory>/cairn-<name>-<process>-<count>`.
    ///
    /// # Panics
    /// If the directory cannot be created.
    #[must_use]
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("cairn-{name}-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // A process of the same id may have been killed in here before.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).expect("the temporary directory takes a new directory");
        Self { path }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
