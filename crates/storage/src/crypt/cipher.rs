//! The cipher: AES-256-GCM and HKDF-SHA256, both of `ring`.

use std::fmt;

use cairn_env::{Bug, Nonce, Salt, Seal, TAG_BYTES, Tag, planted};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce as RingNonce, UnboundKey};
use ring::hkdf;

use super::{Key, ONLY_NONCE};

/// A key of AES-256-GCM. "Less safe" is ring's name for a key whose user sees to the nonces.
pub(super) struct Aes(LessSafeKey);

impl fmt::Debug for Aes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Aes(..)")
    }
}

impl Aes {
    pub(super) fn new(key: &Key) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key.bytes()).expect("a key of 32 bytes");
        Self(LessSafeKey::new(key))
    }

    /// The key of the file with this salt. `about`: what the file is.
    pub(super) fn of_file(data_key: &Key, salt: &Salt, about: &[u8]) -> Self {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(data_key.bytes());
        let info = [b"cairn file key 1".as_slice(), about];
        let okm = prk.expand(&info, &AES_256_GCM).expect("32 bytes");
        Self(LessSafeKey::new(UnboundKey::from(okm)))
    }
}

impl Seal for Aes {
    fn seal(&self, nonce: &Nonce, beside: &[u8], bytes: &mut [u8]) -> Tag {
        let nonce = RingNonce::assume_unique_for_key(effective(nonce));
        let sealed = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(beside), bytes);
        // It refuses nothing below 64 GiB, and no block, frame or body comes near that.
        let tag = sealed.expect("far below the cipher's limit");
        tag.as_ref().try_into().expect("a tag of 16 bytes")
    }

    fn open(&self, nonce: &Nonce, beside: &[u8], bytes: &mut [u8], tag: &Tag) -> bool {
        const _: () = assert!(TAG_BYTES == 16);
        let nonce = RingNonce::assume_unique_for_key(effective(nonce));
        let (beside, tag) = (Aad::from(beside), (*tag).into());
        self.0
            .open_in_place_separate_tag(nonce, beside, tag, bytes, 0..)
            .is_ok()
    }
}

fn effective(nonce: &Nonce) -> Nonce {
    if planted(Bug::ReusesNonce) {
        ONLY_NONCE
    } else {
        *nonce
    }
}

#[cfg(test)]
mod tests {
    use super::Aes;
    use crate::crypt::Key;
    use cairn_env::Seal;

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        let byte = |at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hexadecimal");
        std::array::from_fn(byte)
    }

    #[test]
    fn the_cipher_answers_the_published_vectors_of_gcm() {
        // McGrew and Viega, The Galois/Counter Mode of Operation, test cases 13, 14 and 16.
        let zero = Aes::new(&Key::new(&[0; 32]));
        let tag = zero.seal(&[0; 12], &[], &mut []);
        assert_eq!(tag, bytes("530f8afbc74536b9a963b4f1c4cb738b"));

        let mut block = [0; 16];
        let tag = zero.seal(&[0; 12], &[], &mut block);
        assert_eq!(block, bytes("cea7403d4d606b6e074ec5d3baf39d18"));
        assert_eq!(tag, bytes("d0d1c8a799996bf0265b98b5d48ab919"));

        let half = "feffe9928665731c6d6a8f9467308308";
        let key = Aes::new(&Key::new(&bytes(&format!("{half}{half}"))));
        let nonce = bytes("cafebabefacedbaddecaf888");
        let beside: [u8; 20] = bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2");
        let plain: [u8; 60] = bytes(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
             1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
        );
        let mut text = plain;
        let tag = key.seal(&nonce, &beside, &mut text);
        assert_eq!(
            text,
            bytes::<60>(
                "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
                 8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
            )
        );
        assert_eq!(tag, bytes("76fc6ece0f4e1768cddf8853bb2d551b"));
        assert!(key.open(&nonce, &beside, &mut text, &tag));
        assert_eq!(text, plain);
    }

    #[test]
    fn a_files_key_is_that_of_hkdf() {
        // RFC 5869 has no vector of these lengths; this one is of Python's hmac and hashlib:
        // HKDF-SHA256(ikm = 0..32, salt = 0xa0..0xb0, info = "cairn file key 1" + "about", 32).
        let data_key = Key::new(&std::array::from_fn(|at| at as u8));
        let salt = std::array::from_fn(|at| 0xa0 + at as u8);
        let expected = Key::new(&bytes(HKDF));
        let (made, expected) = (
            Aes::of_file(&data_key, &salt, b"about"),
            Aes::new(&expected),
        );
        let (mut one, mut other) = ([7; 40], [7; 40]);
        let tag = made.seal(&[1; 12], &[], &mut one);
        assert_eq!(tag, expected.seal(&[1; 12], &[], &mut other));
        assert_eq!(one, other);
    }

    const HKDF: &str = "d0cc1176738194f52ce30e550b0f3982493cb0d816fbaccd7930739dedc5baea";

    #[test]
    fn anything_else_is_refused() {
        let key = Aes::new(&Key::new(&[3; 32]));
        let sealed = || {
            let mut bytes = *b"sixteen and more bytes";
            let tag = key.seal(&[9; 12], b"beside", &mut bytes);
            (bytes, tag)
        };
        let (mut bytes, tag) = sealed();
        assert!(key.open(&[9; 12], b"beside", &mut bytes, &tag));
        assert_eq!(bytes, *b"sixteen and more bytes");
        let other = Aes::new(&Key::new(&[4; 32]));
        for (which, key, nonce, beside, flip) in [
            ("key", &other, [9; 12], b"beside", 0),
            ("nonce", &key, [8; 12], b"beside", 0),
            ("beside", &key, [9; 12], b"besidf", 0),
            ("text", &key, [9; 12], b"beside", 1),
        ] {
            let (mut bytes, tag) = sealed();
            bytes[20] ^= flip;
            assert!(!key.open(&nonce, beside, &mut bytes, &tag), "{which}");
        }
        let (mut bytes, mut tag) = sealed();
        tag[15] ^= 128;
        assert!(!key.open(&[9; 12], b"beside", &mut bytes, &tag), "tag");
    }
}
