//! What the files of an encrypted database are sealed with, as traits: who makes the ciphers and
//! holds the keys is handed in with [`Env`](crate::Env), so that every function that reads or
//! writes a file seals and opens it without being told.

use std::fmt::Debug;
use std::sync::Arc;

/// Bytes of the random number that gives each file a key of its own.
pub const SALT_BYTES: usize = 16;

/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 12;

/// Bytes of a tag: what proves that sealed bytes are those that were written.
pub const TAG_BYTES: usize = 16;

/// A random number, another for every file.
pub type Salt = [u8; SALT_BYTES];

/// A number that is used once under a key.
pub type Nonce = [u8; NONCE_BYTES];

/// Proof that sealed bytes are those that were written.
pub type Tag = [u8; TAG_BYTES];

/// Gives files their keys.
pub trait Sealing: Debug + Send + Sync {
    /// The key of a file that is about to be made, and the id of the data key it comes from.
    /// `about`: what the file is; the same salt in another kind of file gives another key.
    fn create(&self, salt: &Salt, about: &[u8]) -> (u64, Arc<dyn Seal>);

    /// The key of a file that is there.
    ///
    /// # Errors
    /// [`NoSeal`]: why there is none.
    fn open(&self, data_key: u64, salt: &Salt, about: &[u8]) -> Result<Arc<dyn Seal>, NoSeal>;
}

/// Why there is no key for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoSeal {
    /// There is no such data key.
    Unknown,
    /// Data keys were wrapped anew with the key of this id, which was not given.
    Refused(String),
}

/// The key of one file: an authenticated cipher.
pub trait Seal: Debug + Send + Sync {
    /// Encrypts `bytes` in place. The tag also proves `beside`, which stays readable. A nonce
    /// must never come twice for bytes that reach a disk.
    fn seal(&self, nonce: &Nonce, beside: &[u8], bytes: &mut [u8]) -> Tag;

    /// Decrypts `bytes` in place; `false` if they, `beside` or the place are not what was sealed.
    /// Then `bytes` hold nothing of use.
    #[must_use]
    fn open(&self, nonce: &Nonce, beside: &[u8], bytes: &mut [u8], tag: &Tag) -> bool;
}
