//! Columns of keys: strings or 64-bit integers.

use std::cmp::Ordering;
use std::hash::BuildHasher;
use std::sync::LazyLock;

use crate::error::{Code, Error, Result};
use crate::limits::KEY_BYTES_MAX;

/// Seeded once a process.
static HASHER: LazyLock<KeyState> = LazyLock::new(KeyState::default);

/// Hashes keys, which may come from an adversary.
#[expect(
    clippy::disallowed_types,
    reason = "nothing that is written or found depends on the hash of a key"
)]
pub(crate) type KeyState = foldhash::fast::RandomState;

/// One key, borrowed. Strings order by their UTF-8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key<'a> {
    /// A string of 1 to 1,024 bytes.
    Str(&'a str),
    /// Any 64-bit number.
    U64(u64),
}

impl<'a> Key<'a> {
    /// As filters see it.
    pub(crate) fn for_filter(self) -> cairn_filter::Key<'a> {
        match self {
            Self::Str(text) => cairn_filter::Key::Text(text),
            Self::U64(number) => cairn_filter::Key::Number(number),
        }
    }
}

/// One key, owned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyBuf {
    /// A string of 1 to 1,024 bytes.
    Str(Box<str>),
    /// Any 64-bit number.
    U64(u64),
}

/// Which of the two a collection uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyType {
    /// Strings.
    #[default]
    String,
    /// 64-bit numbers.
    U64,
}

/// A column of keys of one type.
#[derive(Clone, Debug)]
pub enum Keys {
    /// All strings end to end; row `i` is `bytes[ends[i - 1]..ends[i]]`.
    Str {
        /// The strings, UTF-8.
        bytes: String,
        /// Where each ends.
        ends: Vec<u32>,
    },
    /// One number a row.
    U64(Vec<u64>),
}

impl Key<'_> {
    /// Bytes held.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Str(text) => text.len(),
            Self::U64(_) => 8,
        }
    }

    /// A key that a filter names.
    pub(crate) fn of_filter(key: cairn_filter::Key<'_>) -> Key<'_> {
        match key {
            cairn_filter::Key::Text(text) => Key::Str(text),
            cairn_filter::Key::Number(number) => Key::U64(number),
        }
    }

    /// A copy that owns its bytes.
    #[must_use]
    pub fn to_buf(self) -> KeyBuf {
        match self {
            Self::Str(text) => KeyBuf::Str(text.into()),
            Self::U64(number) => KeyBuf::U64(number),
        }
    }

    /// A 64-bit hash. Another one in every process, so that nobody can choose keys that collide;
    /// it is never stored.
    #[must_use]
    pub(crate) fn hash64(self) -> u64 {
        let hasher = &*HASHER;
        match self {
            Self::Str(text) => hasher.hash_one(text.as_bytes()),
            Self::U64(number) => hasher.hash_one(number),
        }
    }
}

impl KeyBuf {
    /// Borrows it.
    #[must_use]
    pub fn as_key(&self) -> Key<'_> {
        match self {
            Self::Str(text) => Key::Str(text),
            Self::U64(number) => Key::U64(*number),
        }
    }
}

impl Keys {
    /// An empty column.
    #[must_use]
    pub fn new(key_type: KeyType) -> Self {
        match key_type {
            KeyType::String => Self::Str {
                bytes: String::new(),
                ends: Vec::new(),
            },
            KeyType::U64 => Self::U64(Vec::new()),
        }
    }

    /// A column of strings from their bytes end to end and where each ends.
    ///
    /// # Errors
    /// [`Code::InvalidKey`] naming the row when a key is empty, over-long or not UTF-8.
    pub fn from_utf8(bytes: Vec<u8>, ends: Vec<u32>) -> Result<Self> {
        let bytes = String::from_utf8(bytes)
            .map_err(|_| Error::new(Code::InvalidKey, "a key is not UTF-8"))?;
        let keys = Self::Str { bytes, ends };
        keys.check()?;
        Ok(keys)
    }

    /// Refuses what is not a column of keys.
    pub(crate) fn check(&self) -> Result<()> {
        let Self::Str { bytes, ends } = self else {
            return Ok(());
        };
        let mut start = 0_usize;
        for (index, &end) in ends.iter().enumerate() {
            let end = end as usize;
            let wrong = |message| Err(Error::new(Code::InvalidKey, message).number("index", index));
            if end < start || bytes.get(start..end).is_none() {
                return wrong("key offsets are not those of strings");
            }
            if end == start {
                return wrong("a key is empty");
            }
            if end - start > KEY_BYTES_MAX {
                return wrong("a key is longer than 1,024 bytes");
            }
            start = end;
        }
        if start != bytes.len() {
            return Err(Error::new(Code::InvalidKey, "bytes follow the last key"));
        }
        Ok(())
    }

    /// Which type of key it holds.
    #[must_use]
    pub fn key_type(&self) -> KeyType {
        match self {
            Self::Str { .. } => KeyType::String,
            Self::U64(_) => KeyType::U64,
        }
    }

    /// How many keys.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Str { ends, .. } => ends.len(),
            Self::U64(numbers) => numbers.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The key of a row.
    ///
    /// # Panics
    /// If `row` is out of range.
    #[must_use]
    pub fn get(&self, row: usize) -> Key<'_> {
        match self {
            Self::Str { bytes, ends } => {
                let start = if row == 0 { 0 } else { ends[row - 1] as usize };
                Key::Str(&bytes[start..ends[row] as usize])
            }
            Self::U64(numbers) => Key::U64(numbers[row]),
        }
    }

    /// Appends a key of this column's type.
    ///
    /// # Panics
    /// If the key is of the other type, or the column would pass 4 GiB.
    pub fn push(&mut self, key: Key<'_>) {
        match (self, key) {
            (Self::Str { bytes, ends }, Key::Str(text)) => {
                bytes.push_str(text);
                ends.push(u32::try_from(bytes.len()).expect("a key column stays below 4 GiB"));
            }
            (Self::U64(numbers), Key::U64(number)) => numbers.push(number),
            _ => panic!("keys of one column are of one type"),
        }
    }

    /// All keys in order.
    pub fn iter(&self) -> impl Iterator<Item = Key<'_>> {
        (0..self.len()).map(|row| self.get(row))
    }

    /// Compares two rows by key.
    #[must_use]
    pub fn compare(&self, a: usize, b: usize) -> Ordering {
        self.get(a).cmp(&self.get(b))
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Str { bytes, ends } => bytes.len() + ends.len() * 4,
            Self::U64(numbers) => numbers.len() * 8,
        }
    }
}
