//! Rows that can be saved: of a segment that may be damaged, and of a log.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use cairn_env::{Bug, planted};
use cairn_storage::{Finding, Inspector, SectionId, SegmentReader};

use crate::error::Result;
use crate::frame::Changes;
use crate::keys::{Key, KeyBuf, KeyType, Keys};
use crate::limits::KEY_BYTES_MAX;
use crate::schema::{Schema, VectorField};
use crate::segment::{self, RowSource};

use super::Identities;
use super::fields::SavedFields;

/// What can be said of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Every byte of it is what was written.
    Whole,
    /// It was deleted.
    Deleted,
    /// Something of it is not what was written.
    Damaged,
    /// It is whole, and nobody can tell whether it was deleted.
    Doubtful,
    /// A newer segment has what counts of it.
    Merged,
}

/// The rows of a segment of which anything may be damaged.
pub(super) struct Saved {
    reader: SegmentReader,
    /// Of each vector field.
    vectors: Vec<SavedVectors>,
    keys: Vec<Option<KeyBuf>>,
    versions: Vec<Option<u64>>,
    /// The highest version that can be read.
    newest: u64,
    fields: SavedFields,
    marks: Vec<Mark>,
    /// Doubtful rows that are kept on demand.
    kept: BTreeSet<usize>,
}

/// Stretches of sections that are damaged, in bytes from the start of the section.
#[derive(Default)]
pub(super) struct Bad(Vec<Finding>);

impl Inspector for Bad {
    fn found(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    fn passed(&mut self, _bytes: u64) -> bool {
        true
    }
}

impl Bad {
    fn of(reader: &SegmentReader) -> Result<Self> {
        let mut bad = Self::default();
        reader.check(&mut bad)?;
        Ok(bad)
    }

    /// Whether the bytes `range` of a section are what was written.
    pub fn spares(&self, reader: &SegmentReader, id: SectionId, range: Range<u64>) -> bool {
        let start = reader.offset(id).unwrap_or(0);
        self.0.iter().all(|finding| {
            let from = finding.offset.saturating_sub(start);
            finding.section != Some(id) || range.end <= from || from + finding.bytes <= range.start
        })
    }
}

/// The numbers of a section of eight bytes each, those that are right.
pub(super) fn numbers(
    reader: &SegmentReader,
    bad: &Bad,
    id: SectionId,
) -> Result<Option<Vec<Option<u64>>>> {
    if reader.len(id).is_none() {
        return Ok(None);
    }
    let bytes = reader.read_unchecked(id)?;
    let (words, _) = bytes.as_chunks::<8>();
    let number = |(row, word): (u64, &[u8; 8])| {
        let right = bad.spares(reader, id, row * 8..row * 8 + 8);
        right.then(|| u64::from_le_bytes(*word))
    };
    Ok(Some((0..).zip(words).map(number).collect()))
}

/// The keys that can be read.
fn keys(
    reader: &SegmentReader,
    bad: &Bad,
    key_type: KeyType,
    rows: usize,
) -> Result<Vec<Option<KeyBuf>>> {
    let id = segment::KEYS;
    if key_type == KeyType::U64 {
        let numbers = numbers(reader, bad, id)?.unwrap_or_default();
        return Ok(numbers.into_iter().map(|n| n.map(KeyBuf::U64)).collect());
    }
    if reader.len(id).is_none_or(|bytes| bytes < rows as u64 * 4) {
        return Ok(Vec::new());
    }
    let bytes = reader.read_unchecked(id)?;
    let (ends, text) = bytes.split_at(rows * 4);
    let (ends, _) = ends.as_chunks::<4>();
    let end = |row: usize| {
        let at = row as u64 * 4;
        let right = bad.spares(reader, id, at..at + 4);
        right.then(|| u32::from_le_bytes(ends[row]) as usize)
    };
    let key = |row: usize| {
        let start = if row == 0 { 0 } else { end(row - 1)? };
        let (end, before) = (end(row)?, rows as u64 * 4);
        let key = text.get(start..end)?;
        let place = before + start as u64..before + end as u64;
        let fits = (1..=KEY_BYTES_MAX).contains(&key.len()) && bad.spares(reader, id, place);
        let key = std::str::from_utf8(key).ok().filter(|_| fits)?;
        Some(KeyBuf::Str(key.into()))
    };
    Ok((0..rows).map(key).collect())
}

/// Where the vectors of a field stand.
struct SavedVectors {
    field: VectorField,
    /// Where each ends, as far as that can be read; none where all have one length.
    ends: Vec<Option<u64>>,
}

impl SavedVectors {
    fn of(reader: &SegmentReader, bad: &Bad, number: usize, field: &VectorField) -> Result<Self> {
        let ends = match field.kind.varies() {
            true => numbers(reader, bad, segment::vector_ends(number))?.unwrap_or_default(),
            false => Vec::new(),
        };
        Ok(Self {
            field: field.clone(),
            ends,
        })
    }

    /// Where a row's vector stands in its section; `None` where nobody can tell.
    fn range(&self, row: usize) -> Option<Range<u64>> {
        if !self.field.kind.varies() {
            let bytes = self.field.row_bytes() as u64;
            let start = row as u64 * bytes;
            return Some(start..start + bytes);
        }
        let start = match row.checked_sub(1) {
            Some(before) => (*self.ends.get(before)?)?,
            None => 0,
        };
        let end = (*self.ends.get(row)?)?;
        (start <= end).then_some(start..end)
    }

    fn is_whole(
        &self,
        reader: &SegmentReader,
        bad: &Bad,
        number: usize,
        row: usize,
        rows: usize,
    ) -> Result<bool> {
        let id = segment::vectors(number);
        let (Some(range), Some(length)) = (self.range(row), reader.len(id)) else {
            return Ok(false);
        };
        if range.end > length || !bad.spares(reader, id, range.clone()) {
            return Ok(false);
        }
        if !self.field.kind.varies() {
            return Ok(length == rows as u64 * self.field.row_bytes() as u64);
        }
        let bytes = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        if !bytes.is_multiple_of(4) {
            return Ok(false);
        }
        let mut vector = vec![0.0_f32; bytes / 4];
        reader.read_range(id, range.start, bytemuck::cast_slice_mut(&mut vector))?;
        Ok(self.field.check_varying(&vector).is_ok())
    }
}

impl Saved {
    /// What is left of a segment; `None` where it cannot even be said how many rows it has, or it is of
    /// another schema. `rows`: what its manifest says.
    pub fn new(
        reader: SegmentReader,
        schema: &Schema,
        rows: Option<usize>,
    ) -> Result<Option<Self>> {
        let bad = Bad::of(&reader)?;
        let Some(mut versions) = numbers(&reader, &bad, segment::VERSIONS)? else {
            return Ok(None);
        };
        if rows.is_some_and(|rows| rows != versions.len()) {
            return Ok(None);
        }
        let rows = versions.len();
        let mut keys = keys(&reader, &bad, schema.key, rows)?;
        keys.resize(rows, None);
        versions.resize(rows, None);
        let fields = SavedFields::of(&reader, &bad, rows)?;
        let vectors = schema.vectors.iter().enumerate();
        let vectors = vectors.map(|(number, field)| SavedVectors::of(&reader, &bad, number, field));
        let vectors = vectors.collect::<Result<Vec<_>>>()?;
        let newest = versions.iter().flatten().copied().max().unwrap_or(0);
        let mut saved = Self {
            reader,
            vectors,
            keys,
            versions,
            newest,
            fields,
            marks: vec![Mark::Whole; rows],
            kept: BTreeSet::new(),
        };
        for row in 0..rows {
            if !saved.is_whole(row, &bad)? && !planted(Bug::RepairKeepsDamaged) {
                saved.marks[row] = Mark::Damaged;
            }
        }
        Ok(Some(saved))
    }

    fn is_whole(&self, row: usize, bad: &Bad) -> Result<bool> {
        for (number, saved) in self.vectors.iter().enumerate() {
            if !saved.is_whole(&self.reader, bad, number, row, self.len())? {
                return Ok(false);
            }
        }
        let fields = self.fields.are_whole(&self.reader, bad, row);
        Ok(fields && self.keys[row].is_some() && self.versions[row].is_some())
    }

    /// Marks the rows that the deletion file `reader` says are deleted; all are doubtful without it.
    /// `count`: how many it should say are.
    pub fn mark_deleted(
        &mut self,
        reader: Option<&SegmentReader>,
        count: Option<u32>,
        keep_doubtful: bool,
    ) -> Result<()> {
        let words = match reader {
            Some(reader) => {
                let bad = Bad::of(reader)?;
                numbers(reader, &bad, segment::DELETIONS)?.unwrap_or_default()
            }
            None => Vec::new(),
        };
        let ones = |word: &u64| u64::from(word.count_ones());
        let known: u64 = words.iter().flatten().map(ones).sum();
        // All deletions are known: what cannot be read says nothing more.
        let complete = count.map(u64::from) == Some(known);
        for row in 0..self.len() {
            let word = words.get(row / 64).copied().flatten();
            let deleted = word.map(|word| word >> (row % 64) & 1 == 1);
            match deleted {
                Some(true) => self.marks[row] = Mark::Deleted,
                None if !complete => self.doubt(row, keep_doubtful),
                _ => {}
            }
        }
        Ok(())
    }

    /// Nobody can tell of any row whether it was deleted.
    pub fn doubt_all(&mut self, keep_doubtful: bool) {
        (0..self.len()).for_each(|row| self.doubt(row, keep_doubtful));
    }

    fn doubt(&mut self, row: usize, keep_doubtful: bool) {
        if self.marks[row] == Mark::Whole {
            if keep_doubtful || planted(Bug::RepairKeepsDoubtful) {
                self.kept.insert(row);
            } else {
                self.marks[row] = Mark::Doubtful;
            }
        }
    }

    /// Leaves only rows of which a newer segment lost the content.
    pub fn keep_only(&mut self, wanted: &Identities) {
        for row in 0..self.len() {
            let identity = self.keys[row].clone().zip(self.versions[row]);
            // What was deleted stays deleted: the mark may be newer than the merge.
            let keep = self.marks[row] == Mark::Deleted
                || identity.is_some_and(|identity| wanted.contains(&identity));
            if !keep {
                self.marks[row] = Mark::Merged;
            }
        }
    }

    /// Key and version of every row of which both can be read.
    pub fn identities(&self) -> impl Iterator<Item = (usize, (KeyBuf, u64))> {
        let both = |row| Some((row, (self.key(row)?.clone(), self.versions[row]?)));
        (0..self.len()).filter_map(both)
    }

    pub fn len(&self) -> usize {
        self.versions.len()
    }

    pub fn path(&self) -> &Path {
        self.reader.path()
    }

    pub fn mark(&self, row: usize) -> Mark {
        self.marks[row]
    }

    pub fn was_doubtful(&self, row: usize) -> bool {
        self.kept.contains(&row)
    }

    pub fn key(&self, row: usize) -> Option<&KeyBuf> {
        self.keys[row].as_ref()
    }

    /// The row's version; the newest of the segment when it cannot be read.
    pub fn version_or_newest(&self, row: usize) -> u64 {
        self.versions[row].unwrap_or(self.newest)
    }
}

impl RowSource for Saved {
    fn with_key(&self, row: u32, f: &mut dyn FnMut(Key<'_>)) {
        let key = self.key(row as usize).expect("only whole rows are saved");
        f(key.as_key());
    }

    fn version(&self, row: u32) -> u64 {
        self.version_or_newest(row as usize)
    }

    fn vector(&self, row: u32, field: usize, out: &mut Vec<f32>) -> Result<()> {
        let saved = &self.vectors[field];
        let range = saved
            .range(row as usize)
            .expect("only whole rows are saved");
        let mut bytes = vec![0; (range.end - range.start) as usize];
        let id = segment::vectors(field);
        self.reader.read_range(id, range.start, &mut bytes)?;
        let at = out.len();
        out.resize(at + bytes.len() / saved.field.kind.value_bytes(), 0.0);
        saved.field.kind.decode(&bytes, &mut out[at..]);
        Ok(())
    }

    fn payload(&self, row: u32, out: &mut Vec<u8>) -> Result<()> {
        self.fields.read(&self.reader, row as usize, out)
    }
}

/// Records that frames of a log put, and keys that they removed.
#[derive(Default)]
pub(super) struct LogRows {
    frames: Vec<(u64, Changes)>,
    /// Frame and place in it of each put and removal, in order.
    rows: Vec<(u32, u32)>,
}

/// One put or removal of a log.
pub(super) struct Place {
    pub key: KeyBuf,
    pub is_put: bool,
}

impl LogRows {
    pub fn push(&mut self, lsn: u64, changes: Changes) {
        let number = |n: usize| u32::try_from(n).expect("rows of a log are counted in 32 bits");
        let frame = number(self.frames.len());
        let rows = changes.keys.len() + changes.removed.len();
        self.rows.extend((0..number(rows)).map(|row| (frame, row)));
        self.frames.push((lsn, changes));
    }

    /// What each of the rows does, and its version.
    pub fn places(&self) -> impl Iterator<Item = (Place, u64)> {
        self.rows.iter().map(|&(frame, row)| {
            let (lsn, changes) = &self.frames[frame as usize];
            let (row, puts) = (row as usize, changes.keys.len());
            let key = |keys: &Keys, row| keys.get(row).to_buf();
            let place = Place {
                key: match row.checked_sub(puts) {
                    None => key(&changes.keys, row),
                    Some(removal) => key(&changes.removed, removal),
                },
                is_put: row < puts,
            };
            (place, *lsn)
        })
    }

    fn at(&self, row: u32) -> (u64, &Changes, usize) {
        let (frame, row) = self.rows[row as usize];
        let (lsn, changes) = &self.frames[frame as usize];
        (*lsn, changes, row as usize)
    }
}

impl RowSource for LogRows {
    fn with_key(&self, row: u32, f: &mut dyn FnMut(Key<'_>)) {
        let (_, changes, row) = self.at(row);
        f(changes.keys.get(row));
    }

    fn version(&self, row: u32) -> u64 {
        self.at(row).0
    }

    fn vector(&self, row: u32, field: usize, out: &mut Vec<f32>) -> Result<()> {
        let (_, changes, row) = self.at(row);
        out.extend_from_slice(changes.vector(row, field));
        Ok(())
    }

    fn payload(&self, row: u32, out: &mut Vec<u8>) -> Result<()> {
        let (_, changes, row) = self.at(row);
        out.extend_from_slice(changes.payload(row));
        Ok(())
    }
}
