//! Versioned files and the pointer to the one that counts.
//!
//! ```text
//! <dir>/CURRENT                         which version counts
//! <dir>/<sub>/<version>.<ext>           immutable, self-checking
//! ```
//!
//! [`publish`] is the commit point of everything but the log: the new version is written and
//! made durable, name included, before `CURRENT` is replaced by rename. After a crash at any
//! step `CURRENT` names the old version or the new one, and what it names is complete. What
//! such a crash leaves behind ([`leftovers`]) is never read, only removed.
//!
//! Refused: falling back to an older version when `CURRENT` or the newest version is damaged.
//! The newer one was acknowledged, so going back would lose writes without a word.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_env::{Access, Bug, DiskFile, EntryKind, Env, KillPoint, planted};

use crate::checksum::crc32c;
use crate::crypt::{self, FLAG_SEALED};
use crate::envelope;
use crate::error::{Result, StorageError};
use crate::fields::{
    get_u32, get_u64, list_dir, put_u32, put_u64, read_exact, remove_if_there, sync_dir,
};

pub(crate) const CURRENT: &str = "CURRENT";
const CURRENT_TMP: &str = "CURRENT.tmp";

const CURRENT_MAGIC: [u8; 8] = *b"CAIRNCUR";
const CURRENT_BYTES: usize = 32;

const VERSION_MAGIC: [u8; 8] = *b"CAIRNVER";
pub(crate) const VERSION_HEADER_BYTES: usize = 48;

/// What a crash between two steps of [`publish`] left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The file.
    pub path: PathBuf,
    /// Its version, or `None` for a temporary file.
    pub version: Option<u64>,
}

/// The version `CURRENT` of `dir` names, or `None` if nothing was ever published there.
///
/// # Errors
/// [`StorageError::Corrupt`] if the file is damaged, [`StorageError::Unsupported`] if it is newer.
pub fn read_current(env: &Env, dir: &Path) -> Result<Option<u64>> {
    let path = dir.join(CURRENT);
    let file = match open(env, &path) {
        Err(StorageError::Missing { .. }) => return Ok(None),
        other => other?,
    };
    let length = file.len().map_err(StorageError::io("len", &path))?;
    if length != CURRENT_BYTES as u64 {
        let what = format!("length is {length}, not {CURRENT_BYTES}");
        return Err(StorageError::corrupt(&path, 0, what));
    }
    let mut bytes = [0; CURRENT_BYTES];
    read_exact(&*file, &path, 0, &mut bytes)?;
    envelope::check(&path, 0, &bytes, CURRENT_MAGIC, 0)?;
    Ok(Some(get_u64(&bytes, 16)))
}

/// Makes `body` the version of `dir` that counts.
///
/// Steps: `<sub>/<version>.<ext>` is written and synced, its directory synced; `CURRENT.tmp` is
/// written and synced, renamed over `CURRENT`, and `dir` synced. A leftover file of the same
/// version from an attempt that never counted is replaced. `<sub>` must exist.
///
/// # Errors
/// [`StorageError::Limit`] if `version` is not above the one that counts, and
/// [`StorageError::NoSpace`]: the one that counted still does, and a later call may succeed.
/// After any other error either version may be the one that counts until the directory is
/// opened anew; the caller must publish no more.
///
/// # Examples
/// ```
/// use cairn_env::Env;
/// use cairn_storage::{load, publish, read_current};
/// use std::path::Path;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let env = Env::memory(1);
/// let dir = Path::new("/db");
/// env.disk.create_dir(dir)?;
/// env.disk.create_dir(&dir.join("manifest"))?;
/// publish(&env, dir, "manifest", "man", 1, b"one")?;
/// publish(&env, dir, "manifest", "man", 2, b"two")?;
/// assert_eq!(read_current(&env, dir)?, Some(2));
/// assert_eq!(load(&env, dir, "manifest", "man", 2)?, b"two");
/// # Ok(())
/// # }
/// ```
pub fn publish(
    env: &Env,
    dir: &Path,
    sub: &str,
    ext: &str,
    version: u64,
    body: &[u8],
) -> Result<()> {
    let before = read_current(env, dir)?;
    if before.is_some_and(|before| version <= before) {
        let what = format!("version {version} is not above the published one");
        return Err(StorageError::limit(what));
    }
    let path = version_path(dir, sub, ext, version);
    let (tmp, current) = (dir.join(CURRENT_TMP), dir.join(CURRENT));
    let hit = |point| {
        let failed = StorageError::io("fail_point", &path);
        env.faults.hit(point).map_err(failed)
    };

    let (header, body) = version_file(env, &path, ext, version, body)?;
    let prepared = write_version(env, &path, &header, &body).and_then(|file| {
        sync_dir(&*env.disk, &dir.join(sub))?;
        hit(KillPoint::K19ManifestSynced)?;
        write_current(env, &tmp, version)?;
        Ok(file)
    });
    let file = prepared.inspect_err(|_| {
        // Nothing names it yet. On a full disk it would only be in the way of the next attempt.
        let _ = remove_if_there(&*env.disk, &path);
        let _ = remove_if_there(&*env.disk, &tmp);
    })?;
    let commit = || {
        env.disk
            .rename(&tmp, &current)
            .map_err(StorageError::io("rename", &current))?;
        hit(KillPoint::K20Renamed)?;
        sync_dir(&*env.disk, dir)?;
        if planted(Bug::RenameBeforeSync) {
            file.sync_data().map_err(StorageError::io("sync", &path))?;
        }
        hit(KillPoint::K21DirSynced)
    };
    commit().map_err(StorageError::into_undecided)
}

/// Header and body of a version's file, encrypted where the database is.
fn version_file<'a>(
    env: &Env,
    path: &Path,
    ext: &str,
    version: u64,
    body: &'a [u8],
) -> Result<([u8; VERSION_HEADER_BYTES], Cow<'a, [u8]>)> {
    let sealed = crypt::seal_new(env, path, &about(ext, version))?;
    let (flags, body) = match &sealed {
        Some(sealed) => (FLAG_SEALED, Cow::Owned(crypt::seal_body(sealed, body))),
        None => (0, Cow::Borrowed(body)),
    };
    Ok((version_header(ext, version, flags, &body), body))
}

/// Writes a version's file, durable but for its name.
fn write_version(env: &Env, path: &Path, header: &[u8], body: &[u8]) -> Result<Arc<dyn DiskFile>> {
    let file = create(env, path)?;
    file.write_at(0, header)
        .map_err(StorageError::io("write", path))?;
    file.write_at(header.len() as u64, body)
        .map_err(StorageError::io("write", path))?;
    env.faults
        .hit(KillPoint::K18ManifestWritten)
        .map_err(StorageError::io("fail_point", path))?;
    if !planted(Bug::RenameBeforeSync) {
        file.sync_data().map_err(StorageError::io("sync", path))?;
    }
    Ok(file)
}

/// Writes `body` as `<sub>/<number>.<ext>` beside the others there, whole or not at all: under
/// another name first, synced, then renamed, and `<sub>` synced. No `CURRENT` names it; being
/// there is what counts. `<sub>` must exist.
///
/// # Errors
/// What the disk says. Unless the file is then removed for good ([`remove_version`], and `<sub>`
/// synced), it may be there after a restart.
pub fn record(env: &Env, dir: &Path, sub: &str, ext: &str, number: u64, body: &[u8]) -> Result<()> {
    let path = version_path(dir, sub, ext, number);
    let tmp = path.with_extension(format!("{ext}.tmp"));
    let hit = |point| {
        let failed = StorageError::io("fail_point", &path);
        env.faults.hit(point).map_err(failed)
    };
    let commit = || {
        let (header, body) = version_file(env, &path, ext, number, body)?;
        write_version(env, &tmp, &header, &body)?;
        hit(KillPoint::K29RecordWritten)?;
        env.disk
            .rename(&tmp, &path)
            .map_err(StorageError::io("rename", &path))?;
        sync_dir(&*env.disk, &dir.join(sub))?;
        hit(KillPoint::K30RecordPublished)
    };
    commit().inspect_err(|_| {
        let _ = remove_if_there(&*env.disk, &tmp);
    })
}

/// The body of one version.
///
/// # Errors
/// [`StorageError::Missing`], [`StorageError::Corrupt`] or [`StorageError::Unsupported`].
pub fn load(env: &Env, dir: &Path, sub: &str, ext: &str, version: u64) -> Result<Vec<u8>> {
    let (path, flags, body) = read_stored(env, dir, sub, ext, version)?;
    let about = about(ext, version);
    if flags & FLAG_SEALED == 0 {
        crypt::open_seal(env, &path, None, &about)?;
        return Ok(body);
    }
    crypt::open_body(env, &path, VERSION_HEADER_BYTES as u64, body, &about)
}

/// Path, flags and body of one version, as they are stored.
fn read_stored(
    env: &Env,
    dir: &Path,
    sub: &str,
    ext: &str,
    version: u64,
) -> Result<(PathBuf, u16, Vec<u8>)> {
    let path = version_path(dir, sub, ext, version);
    let corrupt = |at, what: &str| Err(StorageError::corrupt(&path, at, what));
    let file = open(env, &path)?;
    let length = file.len().map_err(StorageError::io("len", &path))?;
    let Some(body_bytes) = length.checked_sub(VERSION_HEADER_BYTES as u64) else {
        return corrupt(0, "shorter than its header");
    };
    let mut header = [0; VERSION_HEADER_BYTES];
    read_exact(&*file, &path, 0, &mut header)?;
    let flags = envelope::check(&path, 0, &header, VERSION_MAGIC, FLAG_SEALED)?;
    if get_u64(&header, 16) != version {
        return corrupt(16, "holds another version");
    }
    if header[36..40] != tag(ext) {
        return corrupt(36, "holds another kind of file");
    }
    if get_u64(&header, 24) != body_bytes {
        return corrupt(24, "length is not what its header says");
    }
    let Ok(body_bytes) = usize::try_from(body_bytes) else {
        return corrupt(24, "longer than memory");
    };
    let mut body = vec![0; body_bytes];
    read_exact(&*file, &path, VERSION_HEADER_BYTES as u64, &mut body)?;
    if get_u32(&header, 32) != crc32c(&body) && !planted(Bug::IgnoresManifestChecksum) {
        return corrupt(VERSION_HEADER_BYTES as u64, "wrong body checksum");
    }
    Ok((path, flags, body))
}

/// Versions that have a file, ascending. Names of any other form are passed over.
///
/// # Errors
/// [`StorageError::Missing`] or [`StorageError::Io`] if the directory cannot be listed.
pub fn list_versions(env: &Env, dir: &Path, sub: &str, ext: &str) -> Result<Vec<u64>> {
    let sub_dir = dir.join(sub);
    let entries = list_dir(&*env.disk, &sub_dir)?;
    let mut versions: Vec<u64> = entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::File)
        .filter_map(|entry| numbered(&entry.name, ext))
        .collect();
    versions.sort_unstable();
    Ok(versions)
}

/// Removes the file of one version, if it is there. The version that counts must not be removed.
///
/// # Errors
/// [`StorageError::Io`] if it stays.
pub fn remove_version(env: &Env, dir: &Path, sub: &str, ext: &str, version: u64) -> Result<()> {
    remove_if_there(&*env.disk, &version_path(dir, sub, ext, version))
}

/// What was never published: temporary files, and versions above `current`.
///
/// # Errors
/// [`StorageError::Io`] if a directory cannot be listed.
pub fn leftovers(
    env: &Env,
    dir: &Path,
    sub: &str,
    ext: &str,
    current: Option<u64>,
) -> Result<Vec<Leftover>> {
    let mut found = Vec::new();
    let tmp = dir.join(CURRENT_TMP);
    let entry = env.disk.entry(&tmp);
    if entry.map_err(StorageError::io("entry", &tmp))?.is_some() {
        found.push(Leftover {
            path: tmp,
            version: None,
        });
    }
    for version in list_versions(env, dir, sub, ext)? {
        if current.is_none_or(|current| version > current) {
            found.push(Leftover {
                path: version_path(dir, sub, ext, version),
                version: Some(version),
            });
        }
    }
    Ok(found)
}

/// Removes what [`leftovers`] lists and returns how many files went. Called at open, by the
/// holder of the directory lock, once the current version was loaded.
///
/// # Errors
/// [`StorageError::Io`] if one stays.
pub fn remove_leftovers(
    env: &Env,
    dir: &Path,
    sub: &str,
    ext: &str,
    current: Option<u64>,
) -> Result<usize> {
    let found = leftovers(env, dir, sub, ext, current)?;
    for leftover in &found {
        remove_if_there(&*env.disk, &leftover.path)?;
    }
    Ok(found.len())
}

/// Writes a `CURRENT` that names `version`, durable but for its name.
fn write_current(env: &Env, path: &Path, version: u64) -> Result<()> {
    let mut bytes = [0; CURRENT_BYTES];
    put_u64(&mut bytes, 16, version);
    envelope::seal(&mut bytes, CURRENT_MAGIC, 0);
    let file = create(env, path)?;
    file.write_at(0, &bytes)
        .map_err(StorageError::io("write", path))?;
    file.sync_data().map_err(StorageError::io("sync", path))
}

fn version_header(ext: &str, version: u64, flags: u16, body: &[u8]) -> [u8; VERSION_HEADER_BYTES] {
    let mut header = [0; VERSION_HEADER_BYTES];
    put_u64(&mut header, 16, version);
    put_u64(&mut header, 24, body.len() as u64);
    put_u32(&mut header, 32, crc32c(body));
    header[36..40].copy_from_slice(&tag(ext));
    envelope::seal(&mut header, VERSION_MAGIC, flags);
    header
}

/// What goes into the key of an encrypted version.
fn about(ext: &str, version: u64) -> [u8; 20] {
    let mut about = [0; 20];
    about[..8].copy_from_slice(&VERSION_MAGIC);
    put_u64(&mut about, 8, version);
    about[16..].copy_from_slice(&tag(ext));
    about
}

/// The file's extension as four bytes, so that a manifest renamed to a catalog is refused.
fn tag(ext: &str) -> [u8; 4] {
    let mut tag = [0; 4];
    let bytes = ext.len().min(4);
    tag[..bytes].copy_from_slice(&ext.as_bytes()[..bytes]);
    tag
}

pub(crate) fn version_path(dir: &Path, sub: &str, ext: &str, version: u64) -> PathBuf {
    dir.join(sub).join(format!("{version:020}.{ext}"))
}

/// The number of a name of twenty digits, a dot and `ext`: what files that count are called.
pub fn numbered(name: &str, ext: &str) -> Option<u64> {
    let digits = name.strip_suffix(ext)?.strip_suffix('.')?;
    let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
}

fn open(env: &Env, path: &Path) -> Result<Arc<dyn DiskFile>> {
    let file = env.disk.open(path, Access::Read);
    file.map_err(StorageError::io("open", path))
}

/// Creates a file in place of a leftover one.
fn create(env: &Env, path: &Path) -> Result<Arc<dyn DiskFile>> {
    remove_if_there(&*env.disk, path)?;
    let file = env.disk.create(path);
    file.map_err(StorageError::io("create", path))
}
