//! An inverted index as it is stored: FORMAT.md describes the section.

use std::collections::BTreeMap;

use super::{BLOCK, Bound, List, SparseIndex};

/// Version of the layout.
const VERSION: u32 = 1;

/// Bytes before the indexes.
const HEADER: usize = 32;

impl SparseIndex {
    /// Hands over the bytes of the index, some at a time.
    ///
    /// # Errors
    /// What `put` says.
    pub fn write<E>(&self, mut put: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let lists = u32::try_from(self.lists.len()).expect("an index is below 2^32");
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&VERSION.to_le_bytes());
        header[4..8].copy_from_slice(&self.rows.to_le_bytes());
        header[8..12].copy_from_slice(&lists.to_le_bytes());
        header[16..24].copy_from_slice(&(self.entries as u64).to_le_bytes());
        put(&header)?;
        let indexes: Vec<u32> = self.lists.keys().copied().collect();
        put(bytemuck::cast_slice(&indexes))?;
        let ends = self.lists.values().scan(0_u64, |end, list| {
            *end += list.rows.len() as u64;
            Some(*end)
        });
        put(bytemuck::cast_slice(&ends.collect::<Vec<u64>>()))?;
        for list in self.lists.values() {
            put(bytemuck::cast_slice(&list.rows))?;
        }
        for list in self.lists.values() {
            put(bytemuck::cast_slice(&list.values))?;
        }
        Ok(())
    }

    /// Reads the index of `rows` rows with `dim` possible indexes back; `None` where the bytes are no such
    /// index. Takes as much memory as the bytes have, whatever they say.
    #[must_use]
    pub fn from_bytes(bytes: &[u8], rows: u32, dim: u32) -> Option<Self> {
        let (header, bytes) = bytes.split_first_chunk::<HEADER>()?;
        let (numbers, _) = header.as_chunks::<4>();
        let number = |at: usize| u32::from_le_bytes(numbers[at]);
        let is_right = number(0) == VERSION
            && number(1) == rows
            && [3, 6, 7].into_iter().all(|at| number(at) == 0);
        if !is_right {
            return None;
        }
        let lists = number(2) as usize;
        let entries = u64::from(number(4)) | u64::from(number(5)) << 32;
        let entries = usize::try_from(entries).ok()?;
        let expected = lists.checked_mul(12)?;
        let expected = expected.checked_add(entries.checked_mul(8)?)?;
        if bytes.len() != expected {
            return None;
        }
        let (indexes, bytes) = bytes.split_at(lists * 4);
        let (ends, bytes) = bytes.split_at(lists * 8);
        let (list_rows, values) = bytes.split_at(entries * 4);
        let (indexes, _) = indexes.as_chunks::<4>();
        let (ends, _) = ends.as_chunks::<8>();
        let mut read = BTreeMap::new();
        let (mut start, mut next) = (0_usize, 0_u32);
        for (index, end) in indexes.iter().zip(ends) {
            let index = u32::from_le_bytes(*index);
            let end = usize::try_from(u64::from_le_bytes(*end)).ok()?;
            if index < next || index >= dim || end <= start || end > entries {
                return None;
            }
            let of = |bytes: &[u8]| bytes[start * 4..end * 4].to_vec();
            read.insert(index, List::read(&of(list_rows), &of(values), rows)?);
            (start, next) = (end, index + 1);
        }
        (start == entries).then_some(Self {
            lists: read,
            rows,
            entries,
        })
    }
}

impl List {
    /// Rows that rise and stay below `below`, with their finite values.
    fn read(rows: &[u8], values: &[u8], below: u32) -> Option<Self> {
        let (rows, _) = rows.as_chunks::<4>();
        let (values, _) = values.as_chunks::<4>();
        let rows: Vec<u32> = rows.iter().map(|row| u32::from_le_bytes(*row)).collect();
        let values: Vec<f32> = values.iter().map(|it| f32::from_le_bytes(*it)).collect();
        let rises = rows.windows(2).all(|pair| pair[0] < pair[1]);
        let is_right = rises
            && rows.last().is_some_and(|last| *last < below)
            && values.iter().all(|value| value.is_finite());
        let bound = |block: &[f32]| Bound {
            low: block.iter().copied().fold(f32::INFINITY, f32::min),
            high: block.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        };
        is_right.then(|| Self {
            bounds: values.chunks(BLOCK).map(bound).collect(),
            rows,
            values,
        })
    }
}
