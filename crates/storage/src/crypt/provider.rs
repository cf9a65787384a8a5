//! Where keys come from.

use std::fmt;

use zeroize::Zeroizing;

use crate::error::{Result, StorageError};

/// Bytes of a key: AES-256.
pub const KEY_BYTES: usize = 32;

/// Bytes a key's id may have.
pub const KEY_ID_BYTES_MAX: usize = 256; // long enough for the name of a key in any key service

/// A key. It is never shown, and overwritten when it is dropped. What `ring` makes of it, to encrypt
/// with, is not: that stays in memory as long as a file is open, and a while after.
#[derive(Clone)]
pub struct Key(Box<Zeroizing<[u8; KEY_BYTES]>>); // boxed, so that moving it leaves no copy behind

impl Key {
    /// A key of these bytes.
    #[must_use]
    pub fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        let mut key = Self(Box::new(Zeroizing::new([0; KEY_BYTES])));
        key.0.copy_from_slice(bytes);
        key
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// A key and what it is called. The name is stored beside what the key wraps, in clear.
#[derive(Clone, Debug)]
pub struct NamedKey {
    /// At most [`KEY_ID_BYTES_MAX`] bytes, and not empty.
    pub id: String,
    /// The key itself.
    pub key: Key,
}

impl NamedKey {
    /// # Errors
    /// [`StorageError::Limit`] if the id is empty or too long.
    pub(crate) fn check(&self) -> Result<()> {
        if self.id.is_empty() || self.id.len() > KEY_ID_BYTES_MAX {
            let what = format!("a key's id has 1 to {KEY_ID_BYTES_MAX} bytes");
            return Err(StorageError::limit(what));
        }
        Ok(())
    }
}

/// Holds the keys that wrap the data keys of databases.
pub trait KeyProvider: fmt::Debug + Send + Sync {
    /// The key that a new database is wrapped with, and an old one after rotation.
    fn current(&self) -> NamedKey;

    /// The key of this id, or whichever may be it; `None` if there is none.
    fn key(&self, id: &str) -> Option<Key>;
}

/// A key alone opens whatever it opens, by any name.
impl KeyProvider for NamedKey {
    fn current(&self) -> NamedKey {
        self.clone()
    }

    fn key(&self, _id: &str) -> Option<Key> {
        Some(self.key.clone())
    }
}
