//! Encryption at rest: the one place where files become plaintext, and where ciphers are made.
//!
//! ```text
//! provider's key  --wraps-->  data keys (keys/)  --HKDF, salt of the file-->  key of one file
//! ```
//!
//! Every file of an encrypted database has a key of its own, made of the newest data key at the
//! time, a random salt in the file's header and what the file is. So a nonce needs to be unique in
//! its file only, and is the place of what it seals: section and block, or the frame's offset.
//! What is right in one place is refused in any other, as damage.
//!
//! Rotation wraps the data keys anew and adds one for new files; no file is rewritten for it.
//!
//! Checksums cover the bytes that are stored. They tell damage, and the log's recovery works on
//! them as ever; the tags tell forgery. Lengths, kinds, versions and checksums stay readable.
//!
//! Not promised: that nobody puts back a whole older state of the directory, or of a file that
//! was valid under the same name.
//!
//! Refused: encrypting below the formats, as a disk of its own (marks of the log are overwritten
//! in place, and a torn block would take durable bytes with it); one key for all files, with
//! random nonces (a bound on how much one key may seal, and a place for each nonce).

mod cipher;
mod keys;
mod provider;
mod unread;

use std::path::Path;
use std::sync::Arc;

use cairn_env::{Env, NONCE_BYTES, NoSeal, Nonce, SALT_BYTES, Salt, Seal, TAG_BYTES};

use crate::error::{Result, StorageError};
use crate::fields::{get_u64, put_u32, put_u64};

pub use keys::{
    DIR as KEYS_DIR, DataKeys, EXTENSION as KEYS_EXTENSION, SUB as KEYS_SUB, WrappedKeys,
    check_keys, wrapping_key_id,
};
pub use provider::{KEY_BYTES, KEY_ID_BYTES_MAX, Key, KeyProvider, NamedKey};
pub use unread::sealing_unread;

/// Flag of every envelope: what follows is encrypted.
pub(crate) const FLAG_SEALED: u16 = 2;

/// Where the key of a file comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Id of the data key.
    pub data_key: u64,
    pub salt: Salt,
}

/// Bytes of an [`Origin`] in a header.
pub(crate) const ORIGIN_BYTES: usize = 8 + SALT_BYTES;

/// The origin of a file's key, and the key.
pub(crate) type Sealed = (Origin, Arc<dyn Seal>);

impl Origin {
    pub(crate) fn put(&self, bytes: &mut [u8], at: usize) {
        put_u64(bytes, at, self.data_key);
        bytes[at + 8..at + ORIGIN_BYTES].copy_from_slice(&self.salt);
    }

    pub(crate) fn get(bytes: &[u8], at: usize) -> Self {
        let salt = &bytes[at + 8..at + ORIGIN_BYTES];
        Self {
            data_key: get_u64(bytes, at),
            salt: salt.try_into().expect("a salt's bytes"),
        }
    }
}

/// A key for a new file; `None` where nothing is encrypted. `about`: what the file is.
pub(crate) fn seal_new(env: &Env, path: &Path, about: &[u8]) -> Result<Option<Sealed>> {
    let Some(sealing) = &env.sealing else {
        return Ok(None);
    };
    let mut salt = [0; SALT_BYTES];
    let filled = env.entropy.fill_secret(&mut salt);
    filled.map_err(StorageError::io("random", path))?;
    let (data_key, seal) = sealing.create(&salt, about);
    Ok(Some((Origin { data_key, salt }, seal)))
}

/// The key of a file that is there; `origin` is `None` for a file that is not encrypted.
///
/// # Errors
/// [`StorageError::Corrupt`] for a file in clear among encrypted ones, for an encrypted one where
/// there are no keys, or of a data key that `keys/` does not have; [`StorageError::KeyRefused`] when
/// the keys were wrapped anew meanwhile, with a key that was not given.
pub(crate) fn open_seal(
    env: &Env,
    path: &Path,
    origin: Option<Origin>,
    about: &[u8],
) -> Result<Option<Sealed>> {
    match (&env.sealing, origin) {
        (None, None) => Ok(None),
        (None, Some(_)) => {
            let what = "encrypted, though its database has no keys";
            Err(StorageError::corrupt(path, 0, what))
        }
        (Some(_), None) => {
            let what = "not encrypted, though its database is";
            Err(StorageError::corrupt(path, 0, what))
        }
        (Some(sealing), Some(origin)) => {
            let seal = sealing.open(origin.data_key, &origin.salt, about);
            let seal = seal.map_err(|none| match none {
                NoSeal::Unknown => {
                    let what = format!("data key {} is not in keys/", origin.data_key);
                    StorageError::corrupt(path, 0, what)
                }
                NoSeal::Refused(id) => StorageError::key(path, &id, CHANGED),
            })?;
            Ok(Some((origin, seal)))
        }
    }
}

const CHANGED: &str = "the database has another key by now";

/// The nonce of the only thing a file seals.
pub(crate) const ONLY_NONCE: Nonce = [0; NONCE_BYTES];

/// The nonce of block `index` of a section, which no other block of the file has.
pub(crate) fn block_nonce(kind: u32, field: u32, index: u32) -> Nonce {
    let mut nonce = ONLY_NONCE;
    put_u32(&mut nonce, 0, kind);
    put_u32(&mut nonce, 4, field);
    put_u32(&mut nonce, 8, index);
    nonce
}

/// The nonce of what stands at `offset`.
pub(crate) fn offset_nonce(offset: u64) -> Nonce {
    let mut nonce = ONLY_NONCE;
    put_u64(&mut nonce, 0, offset);
    nonce
}

/// Encrypts `bytes` with a nonce of its own: the tag, then the bytes, behind the origin.
pub(crate) fn seal_body((origin, seal): &Sealed, plain: &[u8]) -> Vec<u8> {
    let mut body = vec![0; BODY_PREFIX_BYTES];
    body.extend_from_slice(plain);
    origin.put(&mut body, 0);
    let tag = seal.seal(&ONLY_NONCE, &[], &mut body[BODY_PREFIX_BYTES..]);
    body[ORIGIN_BYTES..BODY_PREFIX_BYTES].copy_from_slice(&tag);
    body
}

/// Bytes before what [`seal_body`] encrypts.
pub(crate) const BODY_PREFIX_BYTES: usize = ORIGIN_BYTES + TAG_BYTES;

/// Undoes [`seal_body`]; `at` is where the body stands in the file.
pub(crate) fn open_body(
    env: &Env,
    path: &Path,
    at: u64,
    mut body: Vec<u8>,
    about: &[u8],
) -> Result<Vec<u8>> {
    if body.len() < BODY_PREFIX_BYTES {
        return Err(StorageError::corrupt(path, at, "shorter than its tag"));
    }
    let origin = Origin::get(&body, 0);
    let tag = &body[ORIGIN_BYTES..BODY_PREFIX_BYTES];
    let tag = tag.try_into().expect("a tag's bytes");
    let sealed = open_seal(env, path, Some(origin), about)?;
    let (_, seal) = sealed.expect("a key for an origin");
    if !seal.open(&ONLY_NONCE, &[], &mut body[BODY_PREFIX_BYTES..], &tag) {
        return Err(StorageError::corrupt(path, at, FORGED));
    }
    body.drain(..BODY_PREFIX_BYTES);
    Ok(body)
}

/// `plain` as a part of a file that is otherwise readable; encrypted where `env` has keys. `about`:
/// what it is.
///
/// # Errors
/// [`StorageError::Io`] when there are no random bytes.
pub fn seal_part(env: &Env, path: &Path, about: &[u8], plain: Vec<u8>) -> Result<Vec<u8>> {
    let sealed = seal_new(env, path, about)?;
    Ok(match &sealed {
        Some(sealed) => seal_body(sealed, &plain),
        None => plain,
    })
}

/// Undoes [`seal_part`].
///
/// # Errors
/// [`StorageError::Corrupt`] if it is not what was written there.
pub fn open_part(env: &Env, path: &Path, about: &[u8], part: Vec<u8>) -> Result<Vec<u8>> {
    match env.sealing {
        Some(_) => open_body(env, path, 0, part, about),
        None => Ok(part),
    }
}

/// What is said of bytes whose tag is not theirs.
pub(crate) const FORGED: &str = "encrypted bytes are not what was written here";
