//! Names of segments: 48 bits of wall time and 80 random ones, as 26 characters that sort by time.

use std::fmt;

use cairn_env::Env;
use serde::{Deserialize, Serialize};

/// A universally unique, lexicographically sortable identifier, as the ULID specification has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Ulid(pub [u8; 16]);

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl Ulid {
    /// A new one.
    pub fn new(env: &Env) -> Self {
        let random = u128::from(env.entropy.next_u64()) << 64 | u128::from(env.entropy.next_u64());
        let value = u128::from(env.clock.unix_ms()) << 80 | random >> 48;
        Self(value.to_be_bytes())
    }
}

impl Ulid {
    /// The identifier that a name of 26 characters spells.
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| ALPHABET.iter().position(|digit| *digit == byte);
        let digits = text.bytes().map(digit).collect::<Option<Vec<_>>>()?;
        let fits = digits.len() == 26 && digits[0] < 8;
        let value = |value: u128, digit: usize| value << 5 | digit as u128;
        fits.then(|| Self(digits.into_iter().fold(0, value).to_be_bytes()))
    }
}

impl fmt::Display for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = u128::from_be_bytes(self.0);
        for shift in (0..26).rev() {
            let digit = (value >> (5 * shift)) as usize & 31;
            write!(f, "{}", char::from(ALPHABET[digit]))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_sorts_as_the_bytes_do() {
        let text = |first: u8| {
            let mut bytes = [0x5a; 16];
            bytes[0] = first;
            Ulid(bytes).to_string()
        };
        assert_eq!(Ulid([0; 16]).to_string(), "0".repeat(26));
        assert_eq!(Ulid([0xff; 16]).to_string(), format!("7{}", "Z".repeat(25)));
        assert!((0..255).all(|first| text(first) < text(first + 1)));
        let parsed = Ulid::parse(&text(0x5a));
        assert_eq!(parsed, Some(Ulid([0x5a; 16])));
        assert_eq!(Ulid::parse(&format!("8{}", "0".repeat(25))), None);
    }
}
