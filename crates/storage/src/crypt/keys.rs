//! The data keys of a database, wrapped with a key of the provider.
//!
//! `keys/` is published as manifests are: a file a version, then `CURRENT`. A file holds the whole
//! set, sealed as one. Sets only grow: a data key is needed as long as a file of it may be there.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_env::sync::{Mutex, RwLock};
use cairn_env::{
    Access, Entropy, Env, NONCE_BYTES, NoSeal, Nonce, Salt, Seal, Sealing, TAG_BYTES, Tag,
};
use zeroize::Zeroizing;

use super::cipher::Aes;
use super::provider::{KEY_BYTES, KEY_ID_BYTES_MAX, Key, KeyProvider, NamedKey};
use crate::check::{Inspector, inspect};
use crate::current::{
    CURRENT, VERSION_HEADER_BYTES, list_versions, load, publish, read_current, remove_leftovers,
    remove_version, version_path,
};
use crate::error::{Result, StorageError};
use crate::fields::{get_u32, get_u64, mended, put_u64, read_exact, sync_dir};

/// Where key sets stand in a database's directory.
pub const DIR: &str = "keys";
/// And in there.
pub const SUB: &str = "set";
/// What their names end with.
pub const EXTENSION: &str = "key";

/// A data key and its id, sealed.
const ENTRY_BYTES: usize = 8 + KEY_BYTES;

/// In longer sets no bit that turned around is looked for: each guess costs a decryption of it all.
const MENDED_BYTES_MAX: usize = 16 * 1024; // 400 data keys

/// The data keys of an open database.
pub struct DataKeys {
    env: Env,
    /// Of the database.
    root: PathBuf,
    dir: PathBuf,
    set: RwLock<Set>,
    provider: RwLock<Arc<dyn KeyProvider>>,
    /// `false` once a rotation left open which set counts; held while one runs.
    may_rotate: Mutex<bool>,
}

impl fmt::Debug for DataKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataKeys")
            .field("dir", &self.dir)
            .field("wrapped_with", &self.wrapped_with())
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

/// One version of `keys/`.
#[derive(Clone)]
struct Set {
    version: u64,
    /// Id of the key that wraps them.
    wrapped_with: String,
    /// Ids rise; new files take the last.
    keys: Vec<(u64, Key)>,
}

impl Set {
    /// The same with one more data key.
    fn grown(&self, entropy: &dyn Entropy, dir: &Path) -> Result<Self> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        let filled = entropy.fill_secret(&mut *bytes);
        filled.map_err(StorageError::io("random", dir))?;
        let mut next = self.clone();
        next.version += 1;
        let id = next.keys.last().map_or(1, |(id, _)| id + 1);
        next.keys.push((id, Key::new(&bytes)));
        Ok(next)
    }

    fn newest(&self) -> (u64, &Key) {
        let (id, key) = self.keys.last().expect("a set has a key");
        (*id, key)
    }

    /// The set's bytes, wrapped with `key`.
    fn wrap(&self, key: &NamedKey, nonce: Nonce) -> Vec<u8> {
        let mut body = head(&key.id);
        body.extend_from_slice(&nonce);
        let mut entries = Zeroizing::new(Vec::with_capacity(self.keys.len() * ENTRY_BYTES));
        for (id, data_key) in &self.keys {
            entries.extend_from_slice(&id.to_le_bytes());
            entries.extend_from_slice(data_key.bytes());
        }
        let tag = Aes::new(&key.key).seal(&nonce, &beside(&key.id, self.version), &mut entries);
        body.extend_from_slice(&entries);
        body.extend_from_slice(&tag);
        body
    }

    /// Undoes [`Set::wrap`].
    fn unwrap(path: &Path, version: u64, body: &[u8], provider: &dyn KeyProvider) -> Result<Self> {
        let Parts {
            id,
            nonce,
            sealed,
            tag,
        } = Parts::of(path, body)?;
        let mut entries = Zeroizing::new(sealed.to_vec());
        let key = provider.key(id);
        let right = key
            .is_some_and(|key| Aes::new(&key).open(nonce, &beside(id, version), &mut entries, tag));
        if !right {
            return Err(StorageError::key(path, id, WRONG_KEY));
        }
        let entry = |row: &[u8]| {
            let bytes = row[8..].try_into().expect("a key's bytes");
            (get_u64(row, 0), Key::new(bytes))
        };
        let keys: Vec<_> = entries.chunks_exact(ENTRY_BYTES).map(entry).collect();
        if !keys.is_sorted_by(|(before, _), (after, _)| before < after) {
            let what = "ids of data keys do not rise";
            return Err(StorageError::corrupt(path, 0, what));
        }
        Ok(Self {
            version,
            wrapped_with: id.to_owned(),
            keys,
        })
    }
}

/// What a set consists of.
struct Parts<'a> {
    id: &'a str,
    nonce: &'a Nonce,
    sealed: &'a [u8],
    tag: &'a Tag,
}

impl<'a> Parts<'a> {
    fn of(path: &Path, body: &'a [u8]) -> Result<Self> {
        let corrupt = |what: &str| StorageError::corrupt(path, 0, what);
        let (id, rest) = split_id(path, body)?;
        let (nonce, rest) = rest
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or_else(|| corrupt("key set is too short"))?;
        let (sealed, tag) = rest
            .split_last_chunk::<TAG_BYTES>()
            .ok_or_else(|| corrupt("key set is too short"))?;
        if sealed.is_empty() || !sealed.len().is_multiple_of(ENTRY_BYTES) {
            return Err(corrupt("key set does not come out even"));
        }
        Ok(Self {
            id,
            nonce,
            sealed,
            tag,
        })
    }
}

const NO_KEY: &str = "the database is encrypted, and no key was given";
const WRONG_KEY: &str = "the key does not open this database";
const NAMESAKE: &str =
    "the key has the id of the current one and is another: it needs an id of its own";
const NOT_ENCRYPTED: &str = "a key was given, and the database is not encrypted";

impl DataKeys {
    /// The data keys of the database in `dir`; `None` if it has none. Nothing is written.
    ///
    /// # Errors
    /// [`StorageError::KeyRefused`] if `provider` is missing or does not open them;
    /// [`StorageError::Corrupt`], [`StorageError::Missing`] for damage.
    pub fn open(
        env: &Env,
        dir: &Path,
        provider: Option<Arc<dyn KeyProvider>>,
    ) -> Result<Option<Arc<Self>>> {
        let keys = dir.join(DIR);
        let Some((version, body)) = stored(env, dir)? else {
            let there = env.disk.entry(&keys);
            let there = there.map_err(StorageError::io("entry", &keys))?;
            // Keys are published before the first catalog.
            if there.is_some() && read_current(env, dir)?.is_some() {
                let file = keys.join(CURRENT);
                return Err(StorageError::Missing { file });
            }
            return Ok(None);
        };
        let wrapped = WrappedKeys { version, body };
        wrapped.unlock(env, dir, provider).map(Some)
    }

    /// As [`open`](Self::open), of a database of which `keys/` may be damaged: without its pointer
    /// the newest set counts that the key opens, and one bit of a set that turned around is turned
    /// back. The tag of a set tells that it is what was written.
    ///
    /// # Errors
    /// As [`open`](Self::open), where nothing is left.
    pub fn salvage(
        env: &Env,
        dir: &Path,
        provider: &Arc<dyn KeyProvider>,
    ) -> Result<Option<Arc<Self>>> {
        let damage = match Self::open(env, dir, Some(Arc::clone(provider))) {
            Err(error @ (StorageError::Corrupt { .. } | StorageError::Missing { .. })) => {
                Err(error)
            }
            Ok(None) => Ok(None),
            other => return other,
        };
        let keys = dir.join(DIR);
        let versions = match list_versions(env, &keys, SUB, EXTENSION) {
            Err(StorageError::Corrupt { .. } | StorageError::Missing { .. }) => Vec::new(),
            other => other?,
        };
        for version in versions.into_iter().rev() {
            let path = version_path(&keys, SUB, EXTENSION, version);
            let file = env.disk.open(&path, Access::Read);
            let file = file.map_err(StorageError::io("open", &path))?;
            let length = file.len().map_err(StorageError::io("len", &path))?;
            let Some(bytes) = length
                .checked_sub(VERSION_HEADER_BYTES as u64)
                .and_then(|bytes| usize::try_from(bytes).ok())
                .filter(|bytes| *bytes <= MENDED_BYTES_MAX)
            else {
                continue;
            };
            let mut body = vec![0; bytes];
            read_exact(&*file, &path, VERSION_HEADER_BYTES as u64, &mut body)?;
            let opens = |body: &[u8]| Set::unwrap(&path, version, body, &**provider).ok();
            let set = opens(&body).or_else(|| mended(&mut body, MENDED_BYTES_MAX, opens));
            if let Some(set) = set {
                return Ok(Some(Self::of(env, dir, set, Arc::clone(provider))));
            }
        }
        damage
    }

    /// Makes the first data key of the database in `dir`, durably. To be called before anything
    /// else of it is published.
    ///
    /// # Errors
    /// [`StorageError::Limit`] for an id that cannot be stored; what the disk says.
    pub fn create(env: &Env, dir: &Path, provider: &Arc<dyn KeyProvider>) -> Result<Arc<Self>> {
        let (keys, with) = (dir.join(DIR), provider.current());
        with.check()?;
        make_dirs(env, dir)?;
        let none = Set {
            version: 0,
            wrapped_with: with.id.clone(),
            keys: Vec::new(),
        };
        let first = none.grown(&*env.entropy, &keys)?;
        put(env, &keys, &first, &with)?;
        Ok(Self::of(env, dir, first, Arc::clone(provider)))
    }

    /// Says that a key was given for a database without data keys.
    #[must_use]
    pub fn not_encrypted(dir: &Path) -> StorageError {
        StorageError::key(dir, "", NOT_ENCRYPTED)
    }

    /// Makes sure that the set that was opened is found again, and removes all others: they are
    /// wrapped with keys that may have been given up since. For the holder of the directory's lock.
    ///
    /// # Errors
    /// What the disk says.
    pub fn settle(&self) -> Result<()> {
        let (env, version) = (&self.env, self.set.read().version);
        sync_dir(&*env.disk, &self.dir)?;
        remove_leftovers(env, &self.dir, SUB, EXTENSION, Some(version))?;
        for older in list_versions(env, &self.dir, SUB, EXTENSION)? {
            if older < version {
                remove_version(env, &self.dir, SUB, EXTENSION, older)?;
            }
        }
        Ok(())
    }

    /// Wraps all data keys with the provider's current key, and adds one for files to come. The
    /// database opens with the old key until the set is published, and with the new one after.
    ///
    /// # Errors
    /// [`StorageError::NoSpace`], [`StorageError::Limit`], [`StorageError::KeyRefused`] for another key
    /// under the id of the current one: nothing has changed. After any other
    /// error either key may be the one that opens, and [`StorageError::Poisoned`] is answered to
    /// rotations until the database is opened again; it goes on with the data key that is in both.
    pub fn rotate(&self, provider: &Arc<dyn KeyProvider>) -> Result<()> {
        let may_rotate = &mut *self.may_rotate.lock();
        if !*may_rotate {
            return Err(StorageError::Poisoned);
        }
        let with = provider.current();
        with.check()?;
        self.refuse_namesake(&with)?;
        let mut next = self.set.read().grown(&*self.env.entropy, &self.dir)?;
        next.wrapped_with.clone_from(&with.id);
        if let Err(error) = put(&self.env, &self.dir, &next, &with) {
            *may_rotate = matches!(
                error,
                StorageError::NoSpace { .. } | StorageError::Limit { .. }
            );
            return Err(error);
        }
        let before = next.version - 1;
        *self.set.write() = next;
        self.provider.write().clone_from(provider);
        // What stays behind is removed at the next open.
        let _ = remove_version(&self.env, &self.dir, SUB, EXTENSION, before);
        Ok(())
    }

    /// Refuses a key that is called as the current one and is not it. An id is all that a backup, or whoever
    /// asks which key a directory needs, has to tell one key from another.
    fn refuse_namesake(&self, with: &NamedKey) -> Result<()> {
        if self.wrapped_with() != with.id {
            return Ok(());
        }
        let Some((version, body)) = stored(&self.env, &self.root)? else {
            return Err(StorageError::Missing {
                file: self.dir.join(CURRENT),
            });
        };
        let path = version_path(&self.dir, SUB, EXTENSION, version);
        match Set::unwrap(&path, version, &body, with) {
            Err(StorageError::KeyRefused { .. }) => {
                Err(StorageError::key(&path, &with.id, NAMESAKE))
            }
            other => other.map(drop),
        }
    }

    /// Id of the provider's key that wraps the data keys.
    #[must_use]
    pub fn wrapped_with(&self) -> String {
        self.set.read().wrapped_with.clone()
    }

    /// How many data keys there are: one, and one for each rotation.
    #[must_use]
    pub fn count(&self) -> usize {
        self.set.read().keys.len()
    }

    /// Takes in what another process may have published since.
    fn reload(&self) -> std::result::Result<(), NoSeal> {
        let unknown = |_| NoSeal::Unknown;
        let found = stored(&self.env, &self.root).map_err(unknown)?;
        let (version, body) = found.ok_or(NoSeal::Unknown)?;
        let provider = Arc::clone(&self.provider.read());
        match Set::unwrap(&self.dir, version, &body, &*provider) {
            Ok(set) => {
                let known = &mut *self.set.write();
                if version > known.version {
                    *known = set;
                }
                Ok(())
            }
            Err(StorageError::KeyRefused { key_id, .. }) => Err(NoSeal::Refused(key_id)),
            Err(_) => Err(NoSeal::Unknown),
        }
    }

    fn of(env: &Env, root: &Path, set: Set, provider: Arc<dyn KeyProvider>) -> Arc<Self> {
        Arc::new(Self {
            env: in_clear(env),
            root: root.to_path_buf(),
            dir: root.join(DIR),
            set: RwLock::new(set),
            provider: RwLock::new(provider),
            may_rotate: Mutex::new(true),
        })
    }
}

impl Sealing for DataKeys {
    fn create(&self, salt: &Salt, about: &[u8]) -> (u64, Arc<dyn Seal>) {
        let set = self.set.read();
        let (id, key) = set.newest();
        (id, Arc::new(Aes::of_file(key, salt, about)))
    }

    fn open(
        &self,
        data_key: u64,
        salt: &Salt,
        about: &[u8],
    ) -> std::result::Result<Arc<dyn Seal>, NoSeal> {
        let find = || -> Option<Arc<dyn Seal>> {
            let set = self.set.read();
            let at = set.keys.binary_search_by_key(&data_key, |(id, _)| *id);
            let (_, key) = &set.keys[at.ok()?];
            Some(Arc::new(Aes::of_file(key, salt, about)))
        };
        if let Some(seal) = find() {
            return Ok(seal);
        }
        // Who reads beside a writer may be behind a rotation.
        self.reload()?;
        find().ok_or(NoSeal::Unknown)
    }
}

/// The data keys of a database at one moment, wrapped as they are stored: what a copy of its files
/// needs beside them. No key is needed to read or to copy them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKeys {
    /// Counts the key sets of the database.
    pub version: u64,
    /// The body of its file.
    pub body: Vec<u8>,
}

impl WrappedKeys {
    /// Those of the database in `dir`; `None` if it is not encrypted. Every file that is there has
    /// its data key among them.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`], [`StorageError::Missing`], [`StorageError::Unsupported`] for
    /// damage.
    pub fn read(env: &Env, dir: &Path) -> Result<Option<Self>> {
        let found = stored(env, dir)?;
        Ok(found.map(|(version, body)| Self { version, body }))
    }

    /// Makes them those of the database in `dir`, durably. To be called before anything else of it
    /// is published.
    ///
    /// # Errors
    /// What the disk says.
    pub fn publish(&self, env: &Env, dir: &Path) -> Result<()> {
        make_dirs(env, dir)?;
        let (env, keys) = (&in_clear(env), dir.join(DIR));
        publish(env, &keys, SUB, EXTENSION, self.version, &self.body)
    }

    /// The data keys, for files below `dir`.
    ///
    /// # Errors
    /// [`StorageError::KeyRefused`] if `provider` is missing or does not open them;
    /// [`StorageError::Corrupt`] for damage.
    pub fn unlock(
        &self,
        env: &Env,
        dir: &Path,
        provider: Option<Arc<dyn KeyProvider>>,
    ) -> Result<Arc<DataKeys>> {
        let path = version_path(&dir.join(DIR), SUB, EXTENSION, self.version);
        let Some(provider) = provider else {
            let (id, _) = split_id(&path, &self.body)?;
            return Err(StorageError::key(&path, id, NO_KEY));
        };
        let set = Set::unwrap(&path, self.version, &self.body, &*provider)?;
        Ok(DataKeys::of(env, dir, set, provider))
    }

    /// Id of the key that wraps them.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] if there is none to read; `path` is where they were.
    pub fn key_id(&self, path: &Path) -> Result<&str> {
        split_id(path, &self.body).map(|(id, _)| id)
    }
}

/// Id of the key that opens the database in `dir`; `None` if it is not encrypted. Nothing is
/// written, and no key is needed.
///
/// # Errors
/// [`StorageError::Corrupt`], [`StorageError::Missing`], [`StorageError::Unsupported`] for damage.
pub fn wrapping_key_id(env: &Env, dir: &Path) -> Result<Option<String>> {
    let Some(wrapped) = WrappedKeys::read(env, dir)? else {
        return Ok(None);
    };
    let path = version_path(&dir.join(DIR), SUB, EXTENSION, wrapped.version);
    Ok(Some(wrapped.key_id(&path)?.to_owned()))
}

/// Checks the key set `version` of the database in `dir`, as far as that needs no key; returns its
/// bytes.
///
/// # Errors
/// [`StorageError::Io`].
pub fn check_keys(
    env: &Env,
    dir: &Path,
    version: u64,
    inspector: &mut dyn Inspector,
) -> Result<u64> {
    let keys = dir.join(DIR);
    let path = version_path(&keys, SUB, EXTENSION, version);
    let checked = load(&in_clear(env), &keys, SUB, EXTENSION, version)
        .and_then(|body| Parts::of(&path, &body).map(|_| body.len() as u64));
    let bytes = inspect(checked, inspector)?;
    Ok(bytes.map_or(0, |body| body + VERSION_HEADER_BYTES as u64))
}

/// The set that counts, and its version. A rotation beside a reader may take it away while it is
/// being read; the next one is there then.
fn stored(env: &Env, dir: &Path) -> Result<Option<(u64, Vec<u8>)>> {
    let (env, keys) = (&in_clear(env), dir.join(DIR));
    let mut before = None;
    loop {
        let Some(version) = read_current(env, &keys)? else {
            return Ok(None);
        };
        match load(env, &keys, SUB, EXTENSION, version) {
            Err(StorageError::Missing { .. }) if before != Some(version) => before = Some(version),
            other => return other.map(|body| Some((version, body))),
        }
    }
}

/// Makes the directories that key sets of the database in `dir` are published in.
fn make_dirs(env: &Env, dir: &Path) -> Result<()> {
    let keys = dir.join(DIR);
    for made in [&keys, &keys.join(SUB)] {
        match env.disk.create_dir(made) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            other => other.map_err(StorageError::io("create_dir", made))?,
        }
    }
    sync_dir(&*env.disk, &keys)?;
    sync_dir(&*env.disk, dir)
}

fn put(env: &Env, dir: &Path, set: &Set, with: &NamedKey) -> Result<()> {
    let mut nonce = [0; NONCE_BYTES];
    let filled = env.entropy.fill_secret(&mut nonce);
    filled.map_err(StorageError::io("random", dir))?;
    let body = set.wrap(with, nonce);
    publish(&in_clear(env), dir, SUB, EXTENSION, set.version, &body)
}

/// Key sets are sealed with the provider's key, not with what they hold.
fn in_clear(env: &Env) -> Env {
    Env {
        sealing: None,
        ..env.clone()
    }
}

/// The beginning of a set: the id of the key that wraps it.
fn head(id: &str) -> Vec<u8> {
    let bytes = u32::try_from(id.len()).expect("ids are short");
    [&bytes.to_le_bytes(), id.as_bytes()].concat()
}

/// What the tag of a set proves beside its keys.
fn beside(id: &str, version: u64) -> Vec<u8> {
    let mut beside = b"cairn keys 1".to_vec();
    let at = beside.len();
    beside.resize(at + 8, 0);
    put_u64(&mut beside, at, version);
    beside.extend_from_slice(&head(id));
    beside
}

/// The id at the beginning of a set, and the rest.
fn split_id<'a>(path: &Path, body: &'a [u8]) -> Result<(&'a str, &'a [u8])> {
    let id = body.split_first_chunk::<4>().and_then(|(bytes, rest)| {
        let length = usize::try_from(get_u32(bytes, 0)).ok()?;
        let (id, rest) = rest.split_at_checked(length)?;
        let fits = (1..=KEY_ID_BYTES_MAX).contains(&length);
        fits.then(|| std::str::from_utf8(id).ok().map(|id| (id, rest)))?
    });
    id.ok_or_else(|| StorageError::corrupt(path, 0, "key set has no readable key id"))
}
