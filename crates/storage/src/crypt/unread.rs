//! Looking at encrypted files whose key is not there.

use std::sync::Arc;

use cairn_env::{NoSeal, Nonce, Salt, Seal, Sealing, Tag};

/// For a check of an encrypted database without its key: checksums are compared as ever, tags are not,
/// and what is read stays encrypted. Nothing of it may be taken for what was written.
#[must_use]
pub fn sealing_unread() -> Arc<dyn Sealing> {
    Arc::new(Unread)
}

#[derive(Debug)]
struct Unread;

impl Sealing for Unread {
    fn create(&self, _salt: &Salt, _about: &[u8]) -> (u64, Arc<dyn Seal>) {
        unreachable!("a check writes nothing")
    }

    fn open(&self, _data_key: u64, _salt: &Salt, _about: &[u8]) -> Result<Arc<dyn Seal>, NoSeal> {
        Ok(Arc::new(Self))
    }
}

impl Seal for Unread {
    fn seal(&self, _nonce: &Nonce, _beside: &[u8], _bytes: &mut [u8]) -> Tag {
        unreachable!("a check writes nothing")
    }

    fn open(&self, _nonce: &Nonce, _beside: &[u8], _bytes: &mut [u8], _tag: &Tag) -> bool {
        true
    }
}
