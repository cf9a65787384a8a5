//! One ranking of several.

use super::Candidate;

/// A ranking, nearest first, and what it counts.
pub(super) struct Ranking {
    pub weight: f64,
    pub candidates: Vec<Candidate>,
}

/// Sums `weight / (k + rank)` for each record over the rankings that it is in, the first rank being 1.
///
/// Candidates come by place. Their distance is minus the sum, which is made in the order of the
/// rankings and rounded to 32 bits, so that records that score the same are ties whatever ranks
/// they had.
pub(super) fn fuse(rankings: &[Ranking], k: f64) -> Vec<Candidate> {
    let shares = rankings.iter().flat_map(|ranking| {
        let ranks = (1_u32..).zip(&ranking.candidates);
        ranks.map(move |(rank, it)| (it.place, ranking.weight / (k + f64::from(rank))))
    });
    let mut shares: Vec<_> = shares.collect();
    // Stable: the shares of a record stay in the order of the rankings.
    shares.sort_by_key(|(place, _)| *place);
    let records = shares.chunk_by(|a, b| a.0 == b.0);
    let fused = records.map(|shares| Candidate {
        distance: -(shares.iter().map(|(_, share)| share).sum::<f64>() as f32),
        place: shares[0].0,
    });
    fused.collect()
}

#[cfg(test)]
mod tests {
    use super::{Candidate, Ranking, fuse};
    use crate::view::Place;

    fn ranking(weight: f64, rows: &[u32]) -> Ranking {
        let candidate = |row: &u32| Candidate {
            distance: 0.0,
            place: Place {
                source: 0,
                row: *row,
            },
        };
        Ranking {
            weight,
            candidates: rows.iter().map(candidate).collect(),
        }
    }

    #[test]
    fn shares_of_all_rankings_add_up() {
        let fused = fuse(&[ranking(1.0, &[7, 8]), ranking(2.0, &[8, 9])], 60.0);
        let found: Vec<(u32, f32)> = fused.iter().map(|it| (it.place.row, it.distance)).collect();
        let share = |value: f64| -(value as f32);
        let both = share(1.0 / 62.0 + 2.0 / 61.0);
        assert_eq!(
            found,
            [(7, share(1.0 / 61.0)), (8, both), (9, share(2.0 / 62.0))]
        );
    }
}
