//! What a sample says of the whole.

/// Standard deviations on both sides that hold 95 % of a normal distribution.
const DEVIATIONS: f64 = 1.96;

/// A mean in 0 ... 1 with its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The mean of the sample.
    pub mean: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end of the interval.
    pub high: f64,
}

impl Interval {
    /// Of shares of `k` neighbours each: the score interval (Wilson 1927), which stays within 0 ... 1
    /// and does not shrink to nothing where all were found. Neighbours of one query are found or missed
    /// together, so they count as fewer observations than they are: those whose mean would scatter as
    /// that of the queries does (the effective sample size, Kish 1965).
    pub(super) fn of(shares: &[f64], k: usize) -> Self {
        let queries = shares.len() as f64;
        let mean = shares.iter().sum::<f64>() / queries;
        let squares = shares
            .iter()
            .map(|share| (share - mean).powi(2))
            .sum::<f64>();
        let variance = squares / (queries - 1.0).max(1.0);
        let most = queries * k as f64;
        let observations = match variance > 0.0 {
            true => (queries * mean * (1.0 - mean) / variance).clamp(queries, most),
            false => most,
        };
        let square = DEVIATIONS * DEVIATIONS / observations;
        let centre = (mean + square / 2.0) / (1.0 + square);
        let within = mean * (1.0 - mean) / observations;
        let reach = DEVIATIONS / (1.0 + square) * (within + square / (4.0 * observations)).sqrt();
        Self {
            mean,
            low: (centre - reach).clamp(0.0, mean),
            high: (centre + reach).clamp(mean, 1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_missed_leaves_room_for_a_miss() {
        let sure = Interval::of(&[1.0; 100], 10);
        assert_eq!((sure.mean, sure.high), (1.0, 1.0));
        assert!(sure.low > 0.995 && sure.low < 1.0, "{sure:?}");
        let unsure = Interval::of(&[1.0; 5], 10);
        assert!(unsure.low < 0.95, "{unsure:?}");
    }

    /// Of samples of a thousand known values, about 95 % have the true mean within their interval.
    #[test]
    fn ninety_five_of_a_hundred_intervals_hold_the_truth() {
        let mut state = 7_u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as f64 / f64::from(1_u32 << 31)
        };
        // Most queries find all ten; a fifth of them miss half, together.
        let mut share = || if next() < 0.2 { 0.5 } else { 1.0 };
        let truth = 0.9;
        let held = (0..2_000).filter(|_| {
            let shares: Vec<f64> = (0..100).map(|_| share()).collect();
            let Interval { low, high, .. } = Interval::of(&shares, 10);
            low <= truth && truth <= high
        });
        let held = held.count();
        assert!((1_860..=1_960).contains(&held), "held={held}");
    }
}
