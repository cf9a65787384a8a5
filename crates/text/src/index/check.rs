//! Whether the bytes of an index are right, to the last one.

use super::dictionary::{ENTRIES, Place};
use super::packed::Packed;
use super::{Field, TextIndex};
use crate::TERM_BYTES_MAX;
use crate::block::{BLOCK, Block, Impact};
use crate::packing::Reader;

pub(super) fn is_right(index: &TextIndex) -> bool {
    let mut fields = index.fields.iter().enumerate();
    fields.all(|(number, field)| check_field(index, number, field).is_some())
}

/// `None` if something is wrong.
fn check_field(index: &TextIndex, number: usize, field: &Field) -> Option<()> {
    let terms = field.lengths.iter().map(|length| u64::from(*length));
    let with_terms = field.lengths.iter().filter(|length| **length > 0).count();
    let is_counted =
        terms.sum::<u64>() == field.statistics.terms && with_terms as u64 == field.statistics.rows;
    let mut place = Place::default();
    // What of each row no term has claimed yet.
    let mut left = field.lengths.clone();
    let mut scratch = Scratch::default();
    if field.terms > 0 {
        let dictionary = index.dictionary(number)?;
        let mut entries = dictionary.entries()?;
        let mut last = Vec::new();
        for term in 0..field.terms {
            if term.is_multiple_of(ENTRIES) {
                let is_there = dictionary.place(term)? == place && entries.next_shares()? == 0;
                is_there.then_some(())?;
            }
            let entry = entries.next()?;
            let is_next = term == 0 || entries.term > last;
            (is_next && entries.term.len() <= TERM_BYTES_MAX).then_some(())?;
            last.clone_from(&entries.term);
            place = entries.place();
            check_postings(
                &index.postings(number, &entry)?,
                &field.lengths,
                &mut left,
                &mut scratch,
            )?;
        }
    }
    let ends = Place {
        entry: field.dictionary.len(),
        postings: field.postings.len(),
        positions: field.positions.len(),
    };
    (is_counted && place == ends && left.iter().all(|left| *left == 0)).then_some(())
}

/// What a term is read into.
#[derive(Default)]
struct Scratch {
    block: Block,
    impacts: Vec<Impact>,
}

/// Each row that a posting names must have so many terms `left`.
fn check_postings(
    packed: &Packed<'_>,
    lengths: &[u32],
    left: &mut [u32],
    Scratch { block, impacts }: &mut Scratch,
) -> Option<()> {
    (packed.count() > 0).then_some(())?;
    let full = packed.count() / BLOCK;
    // Behind the full blocks there are the rows that are left, if only none.
    for number in 0..=full {
        packed.read(number, block)?;
        for (row, times) in block.rows().iter().zip(block.times()) {
            let left = left.get_mut(*row as usize)?;
            *left = left.checked_sub(*times).filter(|_| *times > 0)?;
        }
        let mut positions = Reader(packed.positions_of(number)?);
        block
            .times()
            .iter()
            .try_for_each(|times| check_positions(&mut positions, *times))?;
        positions.0.is_empty().then_some(())?;
        if number < full {
            (block.rows().last() == Some(&packed.last_row(number))).then_some(())?;
            impacts.clear();
            packed.impacts(number, lengths, impacts)?;
            let is_bounded = |(row, times): (&u32, &u32)| {
                let length = lengths[*row as usize];
                let beats = |it: &Impact| it.0 >= *times && it.1 <= length;
                impacts.iter().any(beats)
            };
            let mut postings = block.rows().iter().zip(block.times());
            postings.all(is_bounded).then_some(())?;
        }
    }
    Some(())
}

/// The positions of one row: ascending.
fn check_positions(positions: &mut Reader<'_>, times: u32) -> Option<()> {
    let mut position = positions.small()?;
    for _ in 1..times {
        let further = positions.small().filter(|further| *further > 0)?;
        position = position.checked_add(further)?;
    }
    Some(())
}
