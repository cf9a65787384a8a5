//! Sets of rows of one segment, one bit each.

/// Rows, as bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bitmap {
    words: Vec<u64>,
    rows: u32,
}

impl Bitmap {
    /// None of `rows` rows.
    #[must_use]
    pub fn none(rows: u32) -> Self {
        Self {
            words: vec![0; (rows as usize).div_ceil(64)],
            rows,
        }
    }

    /// All of `rows` rows.
    #[must_use]
    pub fn all(rows: u32) -> Self {
        let mut all = Self {
            words: vec![u64::MAX; (rows as usize).div_ceil(64)],
            rows,
        };
        all.trim();
        all
    }

    /// The rows whose bits are set in `words`; `None` when there are not as many words as `rows`
    /// need, or a bit is set past them.
    #[must_use]
    pub fn from_words(words: Vec<u64>, rows: u32) -> Option<Self> {
        let given = Self { words, rows };
        let mut trimmed = given.clone();
        trimmed.trim();
        let fits = given.words.len() == (rows as usize).div_ceil(64);
        (fits && given == trimmed).then_some(given)
    }

    /// How many rows there are, in the set or not.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// The bits, row `r` being bit `r % 64` of word `r / 64`.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Whether a row is in the set.
    #[must_use]
    pub fn contains(&self, row: u32) -> bool {
        self.words[row as usize / 64] >> (row % 64) & 1 == 1
    }

    /// Puts a row into the set.
    pub fn insert(&mut self, row: u32) {
        self.words[row as usize / 64] |= 1 << (row % 64);
    }

    /// Takes a row out of the set.
    pub fn remove(&mut self, row: u32) {
        self.words[row as usize / 64] &= !(1 << (row % 64));
    }

    /// Puts rows into the set.
    pub fn insert_all(&mut self, rows: &[u32]) {
        for &row in rows {
            self.insert(row);
        }
    }

    /// Keeps what is in both.
    pub fn intersect(&mut self, other: &Self) {
        debug_assert_eq!(self.rows, other.rows);
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
    }

    /// Adds what is in the other.
    pub fn unite(&mut self, other: &Self) {
        debug_assert_eq!(self.rows, other.rows);
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    /// Removes what is in the other.
    pub fn subtract(&mut self, other: &Self) {
        debug_assert_eq!(self.rows, other.rows);
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= !other;
        }
    }

    /// Exchanges what is in the set for what is not.
    pub fn invert(&mut self) {
        for word in &mut self.words {
            *word = !*word;
        }
        self.trim();
    }

    /// How many rows are in the set.
    #[must_use]
    pub fn count(&self) -> usize {
        let ones = |word: &u64| word.count_ones() as usize;
        self.words.iter().map(ones).sum()
    }

    /// How many rows are in both.
    #[must_use]
    pub fn count_common(&self, other: &Self) -> usize {
        debug_assert_eq!(self.rows, other.rows);
        let both = self.words.iter().zip(&other.words);
        both.map(|(a, b)| (a & b).count_ones() as usize).sum()
    }

    /// Whether no row is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// The rows of the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        let words = (0_u32..).zip(&self.words);
        words.flat_map(|(index, &word)| {
            let rest = std::iter::successors(Some(word), |word| Some(word & word.wrapping_sub(1)));
            rest.take_while(|word| *word != 0)
                .map(move |word| index * 64 + word.trailing_zeros())
        })
    }

    /// Clears the bits past the last row.
    fn trim(&mut self) {
        if let (Some(last), used @ 1..) = (self.words.last_mut(), self.rows % 64) {
            *last &= (1 << used) - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Bitmap;

    #[test]
    fn sets_behave_as_sets_at_every_length() {
        for rows in [0, 1, 63, 64, 65, 200] {
            let thirds: Vec<u32> = (0..rows).filter(|row| row % 3 == 0).collect();
            let mut set = Bitmap::none(rows);
            set.insert_all(&thirds);
            assert_eq!(set.iter().collect::<Vec<_>>(), thirds);
            assert_eq!(set.count(), thirds.len());
            let mut rest = set.clone();
            rest.invert();
            assert_eq!(rest.count(), rows as usize - thirds.len());
            assert!((0..rows).all(|row| rest.contains(row) != set.contains(row)));
            let mut none = set.clone();
            thirds.iter().for_each(|row| none.remove(*row));
            assert!(none.is_empty());
            let mut both = set.clone();
            both.intersect(&rest);
            assert!(both.is_empty());
            both.unite(&set);
            both.unite(&rest);
            assert_eq!(both, Bitmap::all(rows));
            both.subtract(&rest);
            assert_eq!(both, set);
            assert_eq!(Bitmap::from_words(set.words().to_vec(), rows), Some(set));
        }
    }

    #[test]
    fn bits_past_the_end_and_missing_words_are_refused() {
        assert_eq!(Bitmap::from_words(vec![1 << 5], 5), None);
        assert_eq!(Bitmap::from_words(vec![], 5), None);
        assert_eq!(Bitmap::from_words(vec![0, 0], 5), None);
        assert!(Bitmap::from_words(vec![1 << 4], 5).is_some());
    }
}
