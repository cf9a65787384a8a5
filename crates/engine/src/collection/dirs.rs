//! Directories: made, listed and removed, with names that last.

use std::io;
use std::path::Path;

use cairn_env::{DirEntry, Disk, EntryKind, Env};
use cairn_storage::StorageError;

use crate::error::{Code, Error, Result};
use crate::verify;

/// Creates `dir` and what is missing above it.
pub(crate) fn make_dirs(env: &Env, dir: &Path) -> Result<()> {
    let shown = || dir.display().to_string();
    let entry = env.disk.entry(dir);
    match entry.map_err(StorageError::io("entry", dir))? {
        Some(EntryKind::Dir) => Ok(()),
        Some(_) => Err(
            Error::new(Code::InvalidArgument, "the path is not a directory").text("path", shown()),
        ),
        None => {
            if let Some(parent) = dir.parent().filter(|p| !p.as_os_str().is_empty()) {
                make_dirs(env, parent)?;
            }
            make_dir(&*env.disk, dir)?;
            if let Some(parent) = dir.parent().filter(|p| !p.as_os_str().is_empty()) {
                sync_dir(&*env.disk, parent)?;
            }
            Ok(())
        }
    }
}

/// Makes the name of a new database durable, and those above it. A process that made them may
/// have been killed before it came to that.
pub(crate) fn sync_names_above(env: &Env, dir: &Path) -> Result<()> {
    let named = |above: &&Path| !above.as_os_str().is_empty();
    for above in dir.ancestors().skip(1).filter(named) {
        match env.disk.sync_dir(above) {
            // A directory that may not be read was not made here.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            other => other.map_err(StorageError::io("sync_dir", above))?,
        }
    }
    Ok(())
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(disk: &dyn Disk, dir: &Path) -> Result<()> {
    Ok(disk
        .sync_dir(dir)
        .map_err(StorageError::io("sync_dir", dir))?)
}

/// What is in a directory, which must exist.
pub(crate) fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<DirEntry>> {
    Ok(cairn_storage::list_dir(disk, dir)?)
}

/// Creates a directory unless it is there.
pub(crate) fn make_dir(disk: &dyn Disk, dir: &Path) -> Result<()> {
    match disk.create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => expect_dir(disk, dir),
        other => Ok(other.map_err(StorageError::io("create_dir", dir))?),
    }
}

/// Refuses what is no directory, a link to one too.
pub(crate) fn expect_dir(disk: &dyn Disk, dir: &Path) -> Result<()> {
    let there = disk.entry(dir).map_err(StorageError::io("entry", dir))?;
    match there {
        Some(EntryKind::Dir) => Ok(()),
        Some(_) => Err(verify::damaged(dir.to_path_buf(), "not a directory")),
        None => Err(StorageError::Missing {
            file: dir.to_path_buf(),
        }
        .into()),
    }
}

/// Removes a directory with everything in it. Used for dropped collections.
///
/// # Errors
/// What the disk says; what was removed until then stays removed.
pub(crate) fn remove_tree(env: &Env, dir: &Path) -> Result<()> {
    let there = env
        .disk
        .entry(dir)
        .map_err(StorageError::io("entry", dir))?;
    if there.is_none() {
        return Ok(());
    }
    for entry in list(&*env.disk, dir)? {
        let path = dir.join(&entry.name);
        match entry.kind {
            EntryKind::Dir => remove_tree(env, &path)?,
            EntryKind::File | EntryKind::Other => remove_file(&*env.disk, &path)?,
        }
    }
    let removed = env.disk.remove_dir(dir);
    Ok(removed.map_err(StorageError::io("remove_dir", dir))?)
}

/// Removes a file. A reader of the handle before may let go of it, and so remove it, meanwhile.
pub(crate) fn remove_file(disk: &dyn Disk, path: &Path) -> Result<()> {
    match disk.remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => Ok(other.map_err(StorageError::io("remove_file", path))?),
    }
}
