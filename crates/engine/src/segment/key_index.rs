//! From key to row in one probe: an open-addressing table of row numbers beside one-byte tags.
//!
//! Five bytes a slot at a load of at most four fifths: 6.3 to 12.5 bytes a key. It is made from
//! the keys when a segment opens (about 30 ns a key), so no stored index can ever be stale.

use crate::keys::Keys;

/// A slot nobody uses.
const EMPTY: u32 = u32::MAX;

pub(crate) struct KeyIndex {
    rows: Vec<u32>,
    tags: Vec<u8>,
    mask: usize,
}

impl KeyIndex {
    /// Indexes distinct keys; `None` when a key stands twice.
    pub fn new(keys: &Keys) -> Option<Self> {
        let slots = (keys.len() * 5 / 4 + 1).next_power_of_two();
        let mut index = Self {
            rows: vec![EMPTY; slots],
            tags: vec![0; slots],
            mask: slots - 1,
        };
        for (row, key) in keys.iter().enumerate() {
            let hash = key.hash64();
            let mut slot = index.first_slot(hash);
            while index.rows[slot] != EMPTY {
                let other = index.rows[slot] as usize;
                if index.tags[slot] == tag(hash) && keys.get(other) == key {
                    return None;
                }
                slot = (slot + 1) & index.mask;
            }
            index.rows[slot] = u32::try_from(row).expect("rows are counted in 32 bits");
            index.tags[slot] = tag(hash);
        }
        Some(index)
    }

    /// The row of the key with this hash for which `is_key` holds.
    pub fn find(&self, hash: u64, is_key: impl Fn(u32) -> bool) -> Option<u32> {
        let tag = tag(hash);
        let mut slot = self.first_slot(hash);
        loop {
            let row = self.rows[slot];
            if row == EMPTY {
                return None;
            }
            if self.tags[slot] == tag && is_key(row) {
                return Some(row);
            }
            slot = (slot + 1) & self.mask;
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.rows.len() * 4 + self.tags.len()
    }

    fn first_slot(&self, hash: u64) -> usize {
        // The mask keeps what a slot needs; what a 32-bit machine cuts off is not in it.
        hash as usize & self.mask
    }
}

fn tag(hash: u64) -> u8 {
    hash.to_be_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Key, KeyType};

    fn keys(count: u64) -> Keys {
        let mut keys = Keys::new(KeyType::U64);
        for number in 0..count {
            keys.push(Key::U64(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        }
        keys
    }

    #[test]
    fn a_key_costs_at_most_sixteen_bytes_and_is_found() {
        for count in [0, 1, 3, 4, 100, 4_097, 100_000] {
            let keys = keys(count);
            let index = KeyIndex::new(&keys).unwrap();
            let find = |key: Key<'_>| index.find(key.hash64(), |row| keys.get(row as usize) == key);
            for (row, key) in keys.iter().enumerate() {
                assert_eq!(find(key), Some(u32::try_from(row).unwrap()));
            }
            assert_eq!(find(Key::U64(12_345_678_901)), None);
            assert!(index.bytes() as u64 <= 16 * count.max(1), "count={count}");
        }
    }

    #[test]
    fn a_repeated_key_is_noticed() {
        let mut keys = keys(100);
        keys.push(Key::U64(0));
        assert!(KeyIndex::new(&keys).is_none());
    }
}
