//! Blocks of postings: what they hold and what they promise.

/// Postings of a full block.
pub(crate) const BLOCK: usize = 128;

/// Some postings of a term, rows ascending.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub rows: [u32; BLOCK],
    /// How often the term stands in each.
    pub times: [u32; BLOCK],
    pub len: usize,
}

impl Default for Block {
    fn default() -> Self {
        Self {
            rows: [0; BLOCK],
            times: [0; BLOCK],
            len: 0,
        }
    }
}

impl Block {
    pub fn rows(&self) -> &[u32] {
        &self.rows[..self.len]
    }

    pub fn times(&self) -> &[u32] {
        &self.times[..self.len]
    }
}

/// How often a term stands in a row, and how many terms the row has.
pub(crate) type Impact = (u32, u32);

/// The impacts that no other one beats by standing more often in a shorter row: whatever the settings,
/// the best score of all is that of one of these. Ascending in both.
pub(crate) fn frontier(mut impacts: Vec<Impact>) -> Vec<Impact> {
    impacts.sort_unstable_by_key(|&(times, length)| (std::cmp::Reverse(times), length));
    let mut shortest = u32::MAX;
    let mut is_first = true;
    impacts.retain(|&(_, length)| {
        let is_better = is_first || length < shortest;
        is_first = false;
        shortest = shortest.min(length);
        is_better
    });
    impacts.reverse();
    impacts
}

#[cfg(test)]
mod tests {
    use super::frontier;

    #[test]
    fn a_frontier_is_what_nothing_beats() {
        let impacts = vec![(1, 9), (2, 9), (1, 3), (2, 12), (5, 40), (5, 41), (1, 3)];
        assert_eq!(frontier(impacts), [(1, 3), (2, 9), (5, 40)]);
        assert_eq!(frontier(vec![(1, u32::MAX)]), [(1, u32::MAX)]);
        assert_eq!(frontier(vec![]), []);
    }
}
