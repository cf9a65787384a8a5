//! BM25, and the counts it is made of.

use crate::Query;

/// The two settings of BM25.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bm25 {
    k1: f64,
    b: f64,
}

impl Bm25 {
    /// `k1`, at least 0: how much a term that stands more often says more. `b`, from 0 to 1: how much
    /// a longer text counts for less. `None` for any other numbers.
    #[must_use]
    pub fn new(k1: f64, b: f64) -> Option<Self> {
        let is_right = k1.is_finite() && k1 >= 0.0 && (0.0..=1.0).contains(&b);
        is_right.then_some(Self { k1, b })
    }
}

impl Default for Bm25 {
    /// 1.2 and 0.75, as everywhere.
    fn default() -> Self {
        Self { k1: 1.2, b: 0.75 }
    }
}

/// How often things are in a collection: what scores depend on beside the row itself.
///
/// Those of the indexes of one collection are added up; then each index scores as if it held all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// By field of the query.
    pub(crate) fields: Vec<FieldStatistics>,
    /// Rows that have a term, in the order of [`Query::parts`]; of a phrase one for each of its terms.
    pub(crate) rows: Vec<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldStatistics {
    /// Rows with a term in the field.
    pub rows: u64,
    /// Terms of all of them.
    pub terms: u64,
}

impl FieldStatistics {
    /// Of rows with so many terms each.
    pub fn of(lengths: &[u32]) -> Self {
        Self {
            rows: lengths.iter().map(|it| u64::from(*it > 0)).sum(),
            terms: lengths.iter().map(|it| u64::from(*it)).sum(),
        }
    }
}

impl Statistics {
    /// Adds what another index counted for the same query.
    pub fn merge(&mut self, other: &Self) {
        if self.fields.len() < other.fields.len() {
            self.fields
                .resize_with(other.fields.len(), Default::default);
        }
        self.rows.resize(self.rows.len().max(other.rows.len()), 0);
        for (mine, theirs) in self.fields.iter_mut().zip(&other.fields) {
            mine.rows = mine.rows.saturating_add(theirs.rows);
            mine.terms = mine.terms.saturating_add(theirs.terms);
        }
        for (mine, theirs) in self.rows.iter_mut().zip(&other.rows) {
            *mine = mine.saturating_add(*theirs);
        }
    }
}

/// Scores one part of a query: a term, a phrase or a prefix in a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scorer {
    /// Weight times logarithm: what no score of the part exceeds.
    limit: f64,
    /// `k1 * (1 - b)`.
    constant: f64,
    /// `k1 * b / average`.
    per_term: f64,
    /// Adding this and taking it away again rounds to the grid.
    magic: f64,
    /// The step of the grid.
    unit: f64,
}

impl Scorer {
    /// Those of all parts of a query, in the order of [`Query::parts`].
    pub fn of(query: &Query, statistics: &Statistics, bm25: Bm25) -> Vec<Self> {
        let mut counts = statistics.rows.iter();
        let scorers = query.parts().map(|(at, part)| {
            let field = statistics.fields.get(at).copied().unwrap_or_default();
            let logarithms = (0..part.terms()).map(|_| {
                let rows = counts.next().copied().unwrap_or(0);
                logarithm(field.rows, rows)
            });
            let limit = f64::from(query.fields[at].weight) * logarithms.sum::<f64>();
            let average = field.terms.max(1) as f64 / field.rows.max(1) as f64;
            Self {
                limit,
                constant: bm25.k1 * (1.0 - bm25.b),
                per_term: bm25.k1 * bm25.b / average,
                magic: 0.0,
                unit: 0.0,
            }
        });
        let mut scorers: Vec<Self> = scorers.collect();
        let most = scorers.iter().map(|scorer| scorer.limit).sum::<f64>();
        let (magic, unit) = grid(most);
        for scorer in &mut scorers {
            (scorer.magic, scorer.unit) = (magic, unit);
        }
        scorers
    }

    /// What the part adds to a row that has it `times` in `length` terms. Never 0: a row that matches
    /// is told from one that does not.
    #[inline]
    pub fn score(&self, times: u32, length: u32) -> f64 {
        let times = f64::from(times);
        let damped = times / (times + (self.constant + self.per_term * f64::from(length)));
        // Rounds to the grid, see `grid`.
        let rounded = (self.limit * damped + self.magic) - self.magic;
        rounded.max(self.unit)
    }

    /// What no such row, nor one with fewer `times` or more `length`, exceeds.
    pub fn bound(&self, times: u32, length: u32) -> f64 {
        // Rounding of the quotient is not monotone in its last bit.
        self.score(times, length) * (1.0 + 1e-12)
    }
}

/// The inverse document frequency of a term that `rows` of `all` have.
fn logarithm(all: u64, rows: u64) -> f64 {
    let (all, rows) = (all as f64, rows.min(all) as f64);
    (1.0 + (all - rows + 0.5) / (rows + 0.5)).ln()
}

/// A grid for sums of at most `most`: the number that rounds to it, and its step.
///
/// Let `p` be the power of two above `most`. The step is `2^-51 p`: all sums are multiples of it below
/// `2^51` steps, so 53 bits hold each exactly. `3 p` is `1.5 * 2^52` steps; a sum with it is between
/// `2^52` and `2^53` steps, where neighbouring numbers are one step apart.
fn grid(most: f64) -> (f64, f64) {
    const MANTISSA: u64 = (1 << 52) - 1;
    let most = most.max(f64::MIN_POSITIVE);
    let above = f64::from_bits(most.to_bits() & !MANTISSA) * 2.0;
    (above * 3.0, above * 0.5_f64.powi(51))
}

#[cfg(test)]
mod tests {
    use super::{Bm25, FieldStatistics, Scorer, Statistics, grid};
    use crate::{Analyzer, Query, QueryField};

    #[test]
    fn scores_add_up_to_the_same_bits_in_any_order() {
        let rng = &mut cairn_testkit::Rng::new(5);
        for _ in 0..300 {
            let words = 2 + rng.range(0..40);
            let typed = "word ".repeat(words);
            let field = QueryField {
                field: 0,
                analyzer: Analyzer::default(),
                weight: (rng.unit() * 100.0) as f32 + 1e-3,
            };
            let query = Query::parse(&typed, &[field]);
            let statistics = Statistics {
                fields: vec![FieldStatistics {
                    rows: 1_000_000,
                    terms: 77_777_777,
                }],
                rows: (0..words).map(|_| rng.below(1_000_001)).collect(),
            };
            let scorers = Scorer::of(&query, &statistics, Bm25::default());
            assert_eq!(scorers.len(), words);
            let mut score = |scorer: &Scorer| {
                let (times, length) = (1 + rng.below(9) as u32, 9 + rng.below(500) as u32);
                let score = scorer.score(times, length);
                assert!(score > 0.0 && score <= scorer.bound(times, length));
                assert!(scorer.bound(times, length) <= scorer.bound(times + 1, length - 1));
                score
            };
            let mut scores: Vec<f64> = scorers.iter().map(&mut score).collect();
            let sum = scores.iter().sum::<f64>();
            for _ in 0..5 {
                rng.shuffle(&mut scores);
                assert_eq!(scores.iter().sum::<f64>().to_bits(), sum.to_bits());
            }
        }
    }

    #[test]
    fn the_grid_is_finer_than_what_a_score_can_show() {
        let rng = &mut cairn_testkit::Rng::new(6);
        for exponent in -30..40 {
            let most = (1.0 + rng.unit()) * 2.0_f64.powi(exponent);
            let (magic, unit) = grid(most);
            let value = most * rng.unit();
            let rounded = (value + magic) - magic;
            assert!((rounded - value).abs() <= unit, "{value} in {most}");
            assert!(unit <= most * 1e-15);
        }
    }

    #[test]
    fn settings_outside_their_range_are_refused() {
        assert_eq!(Bm25::new(1.2, 0.75), Some(Bm25::default()));
        for (k1, b) in [(-0.1, 0.5), (f64::NAN, 0.5), (f64::INFINITY, 0.5)] {
            assert_eq!(Bm25::new(k1, b), None);
        }
        for b in [-0.1, 1.1, f64::NAN] {
            assert_eq!(Bm25::new(1.2, b), None);
        }
    }
}
