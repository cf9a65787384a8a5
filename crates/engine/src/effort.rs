//! From the recall a caller wants to the candidate list that reaches it.

use crate::limits::EF_MAX;
use crate::query::Effort;

/// Candidate lists for a recall@10 on a million rows of 128-d image descriptors (`m` 16,
/// `ef_construction` 200): a tenth above what was measured there. Easier sets exceed the target.
const TABLE: [(f32, f32); 7] = [
    (0.50, 10.0),
    (0.80, 21.0),
    (0.90, 40.0),
    (0.95, 66.0),
    (0.98, 115.0),
    (0.99, 163.0),
    (0.999, 390.0),
];
/// Rows the table was measured on.
const TABLE_ROWS: f32 = 1e6;
/// How the list grows with the rows: from 10,000 to 1,000,000 it tripled at a recall of 0.95 and
/// grew 3.4 times at 0.99.
const ROWS_EXPONENT: f32 = 0.25;

/// The candidate list for a graph over `live` rows; `None` means compare with every row.
pub(crate) fn ef_search(wanted: Effort, k: usize, live: usize) -> Option<usize> {
    match wanted {
        Effort::Exact => None,
        Effort::EfSearch(ef) => Some(ef.max(k).min(EF_MAX)),
        Effort::Recall(recall) if recall >= 1.0 => None,
        Effort::Recall(recall) => {
            // Finding more than ten neighbours takes a list longer by as many.
            let scale = (live as f32 / TABLE_ROWS).powf(ROWS_EXPONENT).max(0.2);
            let ef = interpolate(recall) * scale;
            let more = k.saturating_sub(10) as f32;
            let ef = (ef + more * (1.0 + ef / 400.0)).ceil() as usize;
            Some(ef.max(k).min(EF_MAX))
        }
    }
}

/// Between two rows of the table the list grows geometrically with what is missing to a recall
/// of one.
fn interpolate(recall: f32) -> f32 {
    let missing = |recall: f32| (1.0 - recall).max(1e-5);
    let Some(after) = TABLE.iter().position(|&(r, _)| r >= recall) else {
        let (r, ef) = TABLE[TABLE.len() - 1];
        return ef * (missing(r) / missing(recall)).min(8.0);
    };
    if after == 0 {
        return TABLE[0].1;
    }
    let ((r0, ef0), (r1, ef1)) = (TABLE[after - 1], TABLE[after]);
    let share = (missing(r0) / missing(recall)).ln() / (missing(r0) / missing(r1)).ln();
    ef0 * (ef1 / ef0).powf(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_recall_never_takes_a_shorter_list() {
        for live in [100, 10_000, 1_000_000] {
            let mut last = 0;
            for step in 50..1_000 {
                let recall = step as f32 / 1_000.0;
                let ef = ef_search(Effort::Recall(recall), 10, live).unwrap();
                assert!(ef >= last, "recall={recall}");
                last = ef;
            }
        }
    }

    #[test]
    fn more_rows_and_more_neighbours_take_a_longer_list() {
        let ef = |k, live| ef_search(Effort::Recall(0.95), k, live).unwrap();
        for rows in [10_000, 100_000, 1_000_000] {
            assert!(ef(10, rows) * 3 > ef(10, rows * 10), "rows={rows}");
            assert!(ef(10, rows) < ef(10, rows * 10), "rows={rows}");
            assert!(ef(10, rows) < ef(100, rows), "rows={rows}");
        }
        assert_eq!(ef(10, 1_000_000), 66);
    }

    #[test]
    fn a_recall_of_one_is_exact() {
        assert_eq!(ef_search(Effort::Recall(1.0), 10, 100), None);
        assert_eq!(ef_search(Effort::Exact, 10, 100), None);
        assert_eq!(ef_search(Effort::EfSearch(3), 10, 100), Some(10));
    }
}
