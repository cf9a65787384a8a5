//! The best rows of a query with conditions: row by row.

use super::Stopped;
use super::cursor::Cursor;
use super::top::Top;
use crate::postings::END;
use crate::query::{Clause, Node};

/// Rows between two looks at `stop`: about 10 ns each, whatever matches.
const WINDOW: u32 = 8192;

/// A walk over the rows that match a part of a query.
pub(super) enum Tree<'a> {
    List(Cursor<'a>),
    Clause {
        must: Vec<Tree<'a>>,
        /// The least of these, where nothing must be there.
        should: Vec<Tree<'a>>,
        not: Vec<Tree<'a>>,
    },
}

pub(super) fn search(
    tree: &mut Tree<'_>,
    rows: u32,
    accept: impl Fn(u32) -> bool,
    mut stop: impl FnMut() -> bool,
    top: &mut Top<'_>,
) -> Result<(), Stopped> {
    let mut row = 0;
    while row < rows {
        if stop() {
            return Err(Stopped);
        }
        let end = row.saturating_add(WINDOW).min(rows);
        loop {
            row = tree.seek(row, end);
            if row >= end {
                break;
            }
            if accept(row) {
                top.push(row, tree.score(row));
            }
            row += 1;
        }
        row = end;
    }
    Ok(())
}

impl<'a> Tree<'a> {
    /// Takes the cursors of each leaf from `leaves`.
    pub fn new(node: &Node, leaves: &mut [Vec<Cursor<'a>>]) -> Self {
        match node {
            Node::Leaf(leaf) => {
                let lists = std::mem::take(&mut leaves[*leaf]).into_iter();
                let mut should: Vec<Self> = lists.map(Self::List).collect();
                match should.pop() {
                    Some(single) if should.is_empty() => single,
                    last => {
                        should.extend(last);
                        Self::clause(Vec::new(), should, Vec::new())
                    }
                }
            }
            Node::Clause(Clause { must, should, not }) => {
                let mut all = |nodes: &[Node]| {
                    let trees = nodes.iter().map(|node| Self::new(node, leaves));
                    trees.collect::<Vec<Self>>()
                };
                Self::clause(all(must), all(should), all(not))
            }
        }
    }

    fn clause(mut must: Vec<Self>, should: Vec<Self>, not: Vec<Self>) -> Self {
        // The rarest leads.
        must.sort_by_key(Self::count);
        Self::Clause { must, should, not }
    }

    /// At most so many rows match.
    fn count(&self) -> usize {
        match self {
            Self::List(cursor) => cursor.count(),
            Self::Clause { must, should, .. } => match must.first() {
                Some(rarest) => rarest.count(),
                None => should.iter().map(Self::count).sum(),
            },
        }
    }

    /// The first row from `target` on that matches; `end` or more if there is none before `end`.
    fn seek(&mut self, target: u32, end: u32) -> u32 {
        let (must, should, not) = match self {
            Self::List(cursor) => return cursor.walk.seek(target),
            Self::Clause { must, should, not } => (must, should, not),
        };
        let mut row = target;
        while row < end {
            let next = if must.is_empty() {
                let rows = should.iter_mut().map(|tree| tree.seek(row, end));
                rows.min().unwrap_or(END)
            } else {
                let mut rows = must.iter_mut().map(|tree| tree.seek(row, end));
                rows.find(|found| *found != row).unwrap_or(row)
            };
            // Of what must be there, only the row that all were asked for is known to match.
            let is_found = next == row || must.is_empty();
            row = next;
            if is_found && row < end {
                if !not.iter_mut().any(|tree| tree.seek(row, row + 1) == row) {
                    return row;
                }
                row += 1;
            }
        }
        END
    }

    /// The score of a row that was sought and found.
    fn score(&mut self, row: u32) -> f64 {
        match self {
            Self::List(cursor) => cursor.score(row),
            Self::Clause { must, should, .. } => {
                let found = should.iter_mut().filter_map(|tree| {
                    let is_found = tree.seek(row, row + 1) == row;
                    is_found.then(|| tree.score(row))
                });
                let found: f64 = found.sum();
                found + must.iter_mut().map(|tree| tree.score(row)).sum::<f64>()
            }
        }
    }
}
