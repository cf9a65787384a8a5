//! Rows that have words next to each other.

use super::Stopped;
use crate::postings::{END, Postings, Walk};

/// Rows between two looks at `stop`: each reads some positions, below a microsecond.
const ROWS_PER_LOOK: u32 = 256;

/// The rows that have the terms of a phrase, each so far behind the first, and how often.
pub(super) fn rows(
    mut terms: Vec<(u32, Postings<'_>)>,
    stop: &mut dyn FnMut() -> bool,
) -> Result<Vec<(u32, u32)>, Stopped> {
    // The rarest leads, so that most rows of the others are skipped.
    terms.sort_by_key(|(_, postings)| postings.count());
    let walks = terms
        .into_iter()
        .map(|(offset, it)| (offset, Walk::new(it)));
    let mut walks: Vec<(u32, Walk<'_>)> = walks.collect();
    let mut found = Vec::new();
    let mut row = 0;
    let [mut starts, mut positions] = [Vec::new(), Vec::new()];
    let mut looks = 0_u32;
    'rows: loop {
        if looks.is_multiple_of(ROWS_PER_LOOK) && stop() {
            return Err(Stopped);
        }
        looks = looks.wrapping_add(1);
        for (_, walk) in &mut walks {
            match walk.seek(row) {
                END => return Ok(found),
                same if same == row => {}
                further => {
                    row = further;
                    continue 'rows;
                }
            }
        }
        for (at, (offset, walk)) in walks.iter_mut().enumerate() {
            walk.positions(&mut positions);
            if at == 0 {
                starts.clear();
                starts.extend(positions.iter().filter_map(|it| it.checked_sub(*offset)));
            } else {
                keep(&mut starts, &positions, *offset);
            }
            if starts.is_empty() {
                break;
            }
        }
        if !starts.is_empty() {
            found.push((row, u32::try_from(starts.len()).unwrap_or(u32::MAX)));
        }
        row += 1;
    }
}

/// Keeps the starts for which there is a position so far behind. Both are ascending.
fn keep(starts: &mut Vec<u32>, positions: &[u32], offset: u32) {
    let mut rest = positions.iter().peekable();
    starts.retain(|start| {
        let wanted = start.checked_add(offset);
        while rest.next_if(|it| Some(**it) < wanted).is_some() {}
        rest.peek().is_some_and(|it| Some(**it) == wanted)
    });
}
