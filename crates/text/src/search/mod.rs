//! Asking an index.

mod any;
mod cursor;
mod phrase;
mod top;
mod tree;

use std::cmp::Ordering;

use crate::block::Block;
use crate::postings::{Plain, Postings, Source};
use crate::query::Part;
use crate::score::Scorer;
use crate::{Bm25, Query, Statistics};
use cursor::Cursor;
use top::{Tie, Top};
use tree::Tree;

/// A row that matches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Its number in its index.
    pub row: u32,
    /// Its score, above 0; larger is better.
    pub score: f32,
}

/// The caller's `stop` said so before the search was done; there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the search was stopped by its caller")]
pub struct Stopped;

/// What an index has of a query: what is counted, and what can be searched once all is.
pub struct Gathered<'a> {
    query: &'a Query,
    source: &'a dyn Source,
    /// In the order of [`Query::parts`].
    found: Vec<Found<'a>>,
    statistics: Statistics,
    /// By row without one.
    tie: Option<Tie<'a>>,
}

/// A part of a query in the index.
enum Found<'a> {
    /// Each of its terms.
    Terms(Vec<Option<Postings<'a>>>),
    /// All words that begin so, as one.
    Prefix(Postings<'a>),
}

/// Finds what a query looks for, and counts it.
pub(crate) fn gather<'a>(
    source: &'a dyn Source,
    query: &'a Query,
    stop: &mut dyn FnMut() -> bool,
) -> Result<Gathered<'a>, Stopped> {
    let fields = query.fields.iter();
    let mut statistics = Statistics {
        fields: fields.map(|it| source.statistics(it.field)).collect(),
        rows: Vec::new(),
    };
    let mut count = |rows: usize| statistics.rows.push(rows as u64);
    let parts = query.parts().map(|(at, part)| {
        let field = query.fields[at].field;
        let mut find = |term: &str| {
            let postings = source.find(field, term);
            count(postings.as_ref().map_or(0, Postings::count));
            postings
        };
        Ok(match part {
            Part::Word(term) => Found::Terms(vec![find(term)]),
            Part::Phrase(terms) => Found::Terms(terms.iter().map(|(_, term)| find(term)).collect()),
            Part::Prefix(prefix) => {
                let pairs = starting(source, field, prefix, stop)?;
                count(pairs.len());
                let plain = Plain::found(pairs, source.lengths(field));
                Found::Prefix(Postings::Plain(plain))
            }
        })
    });
    let found = parts.collect::<Result<_, Stopped>>()?;
    Ok(Gathered {
        query,
        source,
        found,
        statistics,
        tie: None,
    })
}

/// The rows that have a word that begins so, and how often they do.
fn starting(
    source: &dyn Source,
    field: usize,
    prefix: &str,
    stop: &mut dyn FnMut() -> bool,
) -> Result<Vec<(u32, u32)>, Stopped> {
    /// With fewer postings for each row than one in so many, they are sorted rather than counted by row.
    const SPARSE: usize = 16;
    /// Postings between two looks at `stop`, some nanoseconds each; a word by itself costs as much as some.
    const PER_LOOK: usize = 20_000;
    const PER_WORD: usize = 32;
    let mut words = Vec::new();
    source.starting(field, prefix, &mut |postings| words.push(postings));
    let total: usize = words.iter().map(Postings::count).sum();
    let mut pairs = Vec::new();
    let mut times_of = Vec::new();
    let is_sparse = total < source.rows() as usize / SPARSE;
    if !is_sparse {
        times_of.resize(source.rows() as usize, 0_u32);
    }
    let mut block = Block::default();
    let mut done = PER_LOOK;
    for postings in &words {
        for number in 0..postings.blocks() {
            if done >= PER_LOOK && stop() {
                return Err(Stopped);
            }
            done = done % PER_LOOK + block.len + PER_WORD;
            postings.read(number, &mut block);
            let read = block.rows().iter().zip(block.times());
            if is_sparse {
                pairs.extend(read.map(|(row, times)| (*row, *times)));
                continue;
            }
            for (row, times) in read {
                let sum = &mut times_of[*row as usize];
                *sum = sum.saturating_add(*times);
            }
        }
    }
    if !is_sparse {
        let rows = (0_u32..).zip(times_of);
        return Ok(rows.filter(|(_, times)| *times > 0).collect());
    }
    pairs.sort_unstable();
    pairs.dedup_by(|next, last| {
        let is_same = next.0 == last.0;
        if is_same {
            last.1 = last.1.saturating_add(next.1);
        }
        is_same
    });
    Ok(pairs)
}

impl<'a> Gathered<'a> {
    /// With the order of rows that have the same score, which is theirs by number otherwise.
    #[must_use]
    pub fn ties_by(self, tie: &'a dyn Fn(u32, u32) -> Ordering) -> Self {
        Self {
            tie: Some(tie),
            ..self
        }
    }

    /// What is counted here; to be merged with that of the other indexes of the collection.
    #[must_use]
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Puts the `k` best rows that `accept` takes into `hits`: best first, ties by lower row, or as
    /// [`ties_by`](Self::ties_by) has them.
    ///
    /// `statistics` are those of the whole collection for this query; with those of this index alone
    /// scores are those of this index alone. The same rows get the same scores in every index, bit for
    /// bit.
    ///
    /// Cost: where a query is any of some words, rows that cannot be among the best are skipped
    /// by the bounds that each block has; else each row that matches is scored.
    ///
    /// # Errors
    /// [`Stopped`] if `stop` returned true; it is asked about every 0.1 ms, in an index of some million rows.
    pub fn search(
        &self,
        statistics: &Statistics,
        bm25: Bm25,
        k: usize,
        accept: impl Fn(u32) -> bool,
        mut stop: impl FnMut() -> bool,
        hits: &mut Vec<Hit>,
    ) -> Result<(), Stopped> {
        hits.clear();
        let Some(root) = self.query.root.as_ref().filter(|_| k > 0) else {
            return Ok(());
        };
        let scorers = Scorer::of(self.query, statistics, bm25);
        let mut leaves = self.cursors(&scorers, &mut stop)?;
        let mut top = Top::new(k, self.tie);
        let rows = self.source.rows();
        if let Some(any) = self.query.any_of() {
            let cursors = any
                .into_iter()
                .map(|leaf| std::mem::take(&mut leaves[leaf]));
            let mut cursors: Vec<Cursor<'_>> = cursors.flatten().collect();
            any::search(&mut cursors, rows, accept, stop, &mut top)?;
        } else {
            let mut tree = Tree::new(root, &mut leaves);
            tree::search(&mut tree, rows, accept, stop, &mut top)?;
        }
        top.into_hits(hits);
        Ok(())
    }

    /// By leaf, a cursor for each field that has rows for it.
    fn cursors(
        &self,
        scorers: &[Scorer],
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<Vec<Vec<Cursor<'_>>>, Stopped> {
        let mut found = self.found.iter().zip(scorers);
        let mut leaves = Vec::with_capacity(self.query.leaves.len());
        for leaf in &self.query.leaves {
            let mut cursors = Vec::new();
            for (at, part) in leaf.parts.iter().enumerate() {
                let Some(part) = part else { continue };
                let Some((found, scorer)) = found.next() else {
                    break;
                };
                let lengths = self.source.lengths(self.query.fields[at].field);
                let postings = match (found, part) {
                    (Found::Prefix(postings), _) => Some(postings.borrowed()),
                    (Found::Terms(terms), Part::Phrase(phrase)) => {
                        let terms = phrase.iter().zip(terms);
                        let terms = terms.map(|((at, _), it)| Some((*at, it.clone()?)));
                        match terms.collect() {
                            Some(terms) => {
                                let pairs = phrase::rows(terms, stop)?;
                                Some(Postings::Plain(Plain::found(pairs, lengths)))
                            }
                            None => None,
                        }
                    }
                    (Found::Terms(terms), _) => terms.first().cloned().flatten(),
                };
                let postings = postings.filter(|postings| postings.count() > 0);
                cursors.extend(postings.map(|it| Cursor::new(it, *scorer, lengths)));
            }
            leaves.push(cursors);
        }
        Ok(leaves)
    }
}
