//! Terms in order, each with where its postings are.

use std::cmp::Ordering;
use std::ops::Range;

use crate::packing::{Reader, put_number};

/// Terms from one place of the table to the next.
pub(super) const ENTRIES: u64 = 16;
/// Bytes of a place.
pub(super) const TABLE_BYTES: usize = 24;

/// The dictionary of a field.
#[derive(Clone, Copy)]
pub(super) struct Dictionary<'a> {
    table: &'a [[u8; TABLE_BYTES]],
    bytes: &'a [u8],
    terms: u64,
}

/// What is said of a term.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Entry {
    /// Rows that have it.
    pub count: u32,
    pub postings: Range<usize>,
    pub positions: Range<usize>,
}

/// Where an entry begins, and what it points to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Place {
    pub entry: usize,
    pub postings: usize,
    pub positions: usize,
}

impl Place {
    fn of(bytes: &[u8; TABLE_BYTES]) -> Option<Self> {
        let mut reader = Reader(bytes);
        Some(Self {
            entry: reader.length()?,
            postings: reader.length()?,
            positions: reader.length()?,
        })
    }
}

impl<'a> Dictionary<'a> {
    pub fn new(table: &'a [u8], bytes: &'a [u8], terms: u64) -> Self {
        let (table, _) = table.as_chunks();
        Self {
            table,
            bytes,
            terms,
        }
    }

    pub fn find(&self, term: &[u8]) -> Option<Entry> {
        let mut entries = self.entries_before(term)?;
        loop {
            let entry = entries.next()?;
            match entries.term[..].cmp(term) {
                Ordering::Less => {}
                Ordering::Equal => return Some(entry),
                Ordering::Greater => return None,
            }
        }
    }

    /// Hands over the terms that begin so.
    pub fn starting(&self, prefix: &[u8], mut each: impl FnMut(&Entry)) {
        // A prefix in front of all terms begins with the first.
        let entries = self.entries_before(prefix).or_else(|| self.entries());
        let Some(mut entries) = entries else {
            return;
        };
        while let Some(entry) = entries.next() {
            if entries.term.starts_with(prefix) {
                each(&entry);
            } else if entries.term[..] > *prefix {
                return;
            }
        }
    }

    /// All entries.
    pub fn entries(&self) -> Option<Entries<'a>> {
        self.entries_from(0)
    }

    /// The place that the table gives for a term.
    pub fn place(&self, term: u64) -> Option<Place> {
        let index = usize::try_from(term / ENTRIES).ok()?;
        Place::of(self.table.get(index)?)
    }

    fn entries_from(&self, index: usize) -> Option<Entries<'a>> {
        let place = Place::of(self.table.get(index)?)?;
        Some(Entries {
            reader: Reader(self.bytes.get(place.entry..)?),
            all: self.bytes.len(),
            left: self.terms.checked_sub(index as u64 * ENTRIES)?,
            term: Vec::new(),
            place,
        })
    }

    /// Entries from the last place whose term is not behind `term`.
    fn entries_before(&self, term: &[u8]) -> Option<Entries<'a>> {
        let (mut low, mut high) = (0, self.table.len());
        while low < high {
            let middle = low.midpoint(high);
            let mut entries = self.entries_from(middle)?;
            entries.next()?;
            if entries.term[..] <= *term {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        self.entries_from(low.checked_sub(1)?)
    }
}

/// Entries, one after the other.
pub(super) struct Entries<'a> {
    reader: Reader<'a>,
    /// Bytes of the dictionary.
    all: usize,
    /// Entries that are left.
    left: u64,
    /// The term of the entry that was read last.
    pub term: Vec<u8>,
    /// That of the next entry.
    place: Place,
}

impl Entries<'_> {
    /// The next entry; `None` at the end, and where there is none.
    pub fn next(&mut self) -> Option<Entry> {
        self.left = self.left.checked_sub(1)?;
        let reader = &mut self.reader;
        let shared = usize::try_from(reader.number()?).ok()?;
        let added = usize::try_from(reader.number()?).ok()?;
        let added = reader.take(added)?;
        let count = reader.small()?;
        let postings = usize::try_from(reader.number()?).ok()?;
        let positions = usize::try_from(reader.number()?).ok()?;
        if shared > self.term.len() {
            return None;
        }
        self.term.truncate(shared);
        self.term.extend_from_slice(added);
        let start = self.place;
        self.place = Place {
            entry: self.all - reader.0.len(),
            postings: start.postings.checked_add(postings)?,
            positions: start.positions.checked_add(positions)?,
        };
        Some(Entry {
            count,
            postings: start.postings..self.place.postings,
            positions: start.positions..self.place.positions,
        })
    }

    /// Where the next entry begins.
    pub fn place(&self) -> Place {
        self.place
    }

    /// How many bytes the next entry shares with the one before, if it can be read.
    pub fn next_shares(&self) -> Option<u64> {
        let mut reader = self.reader;
        reader.number()
    }
}

/// Writes a dictionary, term by term.
#[derive(Default)]
pub(super) struct DictionaryWriter {
    pub table: Vec<u8>,
    pub bytes: Vec<u8>,
    pub terms: u64,
    last: Vec<u8>,
    postings: usize,
    positions: usize,
}

impl DictionaryWriter {
    /// Takes the next term. `postings` and `positions` are where its own end.
    pub fn push(&mut self, term: &[u8], count: u32, postings: usize, positions: usize) {
        let mut shared = term
            .iter()
            .zip(&self.last)
            .take_while(|(a, b)| a == b)
            .count();
        if self.terms.is_multiple_of(ENTRIES) {
            shared = 0;
            for start in [self.bytes.len(), self.postings, self.positions] {
                self.table.extend((start as u64).to_le_bytes());
            }
        }
        put_number(shared as u64, &mut self.bytes);
        put_number((term.len() - shared) as u64, &mut self.bytes);
        self.bytes.extend(&term[shared..]);
        put_number(u64::from(count), &mut self.bytes);
        put_number((postings - self.postings) as u64, &mut self.bytes);
        put_number((positions - self.positions) as u64, &mut self.bytes);
        self.terms += 1;
        (self.postings, self.positions) = (postings, positions);
        self.last.clear();
        self.last.extend(term);
    }
}
