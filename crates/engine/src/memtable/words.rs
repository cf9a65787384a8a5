//! The words of recent records: an index a chunk, which grows with it.
//!
//! A full chunk takes no more rows, so those who search it hold nobody up. The one that grows is held
//! from when its counts are taken until the memtables were searched, never while segments are.
//!
//! A row is in the index of its chunk before it is counted, so whoever sees a row finds its words; rows
//! behind those of a snapshot are to it as if not there.

use std::sync::Arc;

use cairn_env::sync::{RwLock, RwLockReadGuard};
use cairn_env::{Bug, planted};
use cairn_filter::Bitmap;
use cairn_text::{Bm25, Gathered, Hit, MemoryIndex, Statistics, Stopped};

use crate::expiry::Moment;
use crate::stop::Stop;

use super::{Chunk, Memtable, row_number};

/// A chunk whose words are asked for.
pub(crate) struct WordsOfChunk {
    /// Its first row in the memtable.
    first: u32,
    /// Rows of it that belong to the view.
    rows: u32,
    words: Arc<RwLock<MemoryIndex>>,
    chunk: Arc<RwLock<Chunk>>,
}

impl Memtable {
    /// Takes the words of the next row, which is one of chunk `index`; the bytes that took.
    pub(super) fn append_words(&self, index: usize, record: &[u8]) -> usize {
        let Some(texts) = &self.texts else {
            return 0;
        };
        if index == self.words.read().len() {
            let words = MemoryIndex::new(texts.analyzers());
            self.words.write().push(Arc::new(RwLock::new(words)));
        }
        let words = Arc::clone(&self.words.read()[index]);
        texts.with_texts(record, |texts| {
            let mut words = words.write();
            let before = words.memory();
            words.push(texts);
            words.memory() - before
        })
    }

    /// The chunks of the first `rows` rows, where there are text fields.
    pub fn words(&self, rows: usize) -> Vec<WordsOfChunk> {
        let words = self.words.read().clone();
        let chunks = self.chunks_of(rows).into_iter().zip(words);
        let of = |((first, chunk), words)| WordsOfChunk {
            first: row_number(first),
            rows: row_number(rows - first),
            words,
            chunk,
        };
        chunks.map(of).collect()
    }
}

impl WordsOfChunk {
    /// How many of its rows belong to the view, or more.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// The index. Writers of a chunk that grows wait until it is dropped.
    pub fn index(&self) -> RwLockReadGuard<'_, MemoryIndex> {
        self.words.read()
    }

    /// The `k` best rows that a snapshot at `moment` sees, or of those of them that are `allowed`: best
    /// first, ties by key, numbered as in the memtable.
    ///
    /// # Errors
    /// [`Stopped`] by `stop`.
    #[expect(
        clippy::too_many_arguments,
        reason = "one question, asked by the search alone"
    )]
    pub fn search(
        &self,
        gathered: Gathered<'_>,
        statistics: &Statistics,
        k: usize,
        allowed: Option<&Bitmap>,
        moment: Moment,
        stop: &Stop,
        hits: &mut Vec<Hit>,
    ) -> Result<(), Stopped> {
        let chunk = self.chunk.read();
        let accept = |row: u32| match allowed {
            Some(rows) => rows.contains(self.first + row),
            None => chunk.sees(row as usize, moment) || planted(Bug::WordsFindDeleted),
        };
        let tie = |a: u32, b: u32| chunk.keys.compare(a as usize, b as usize);
        let due = || stop.is_due();
        let gathered = gathered.ties_by(&tie);
        gathered.search(statistics, Bm25::default(), k, accept, due, hits)?;
        for hit in hits {
            hit.row += self.first;
        }
        Ok(())
    }
}
