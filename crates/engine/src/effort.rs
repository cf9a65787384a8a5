//! From the recall a caller wants to the candidate list that reaches it.

use cairn_index::Point;

use crate::limits::EF_MAX;
use crate::query::Effort;

/// Candidate lists for a recall@10 on a million rows of 128-d image descriptors (`m` 16,
/// `ef_construction` 200): a tenth above what was measured there. For graphs without a [`Curve`].
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

/// What a sample of 400 queries leaves open: at a recall of 0.95 a tenth of the list is half a point.
const MARGIN: f32 = 1.1;
/// Easy sets reach a recall of 0.95 with fewer. But then a row that is asked for its own vector is lost
/// too often: of 60,000 images 229 with a list of 10, 71 with 20, 36 with 32.
const MEASURED_MIN: f32 = 20.0;
/// A row is in the list of its nearest centroid, except where lists were divided.
const LISTS_MIN: f32 = 2.0;

/// The recall@10 that lists of candidates reach over one graph, measured when it was built.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Curve {
    points: Vec<Point>,
    /// Each recall that no shorter list reached, and its list.
    steps: Vec<(f32, f32)>,
}

impl Curve {
    /// Points more than [`Graph::calibrate`](cairn_index::Graph::calibrate) ever makes.
    const POINTS_MAX: usize = 64;

    /// `None` without a point.
    pub fn new(points: Vec<Point>) -> Option<Self> {
        let mut steps: Vec<(f32, f32)> = Vec::new();
        for point in &points {
            if steps
                .last()
                .is_none_or(|&(recall, _)| point.recall > recall)
            {
                steps.push((point.recall, point.ef as f32));
            }
        }
        (!points.is_empty()).then_some(Self { points, steps })
    }

    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// Of each point the length of the list, `u32`, and the recall, `f32`, little-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        let bytes = |point: &Point| [point.ef.to_le_bytes(), point.recall.to_le_bytes()].concat();
        self.points.iter().flat_map(bytes).collect()
    }

    /// `None` for bytes that no curve has.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (points, []) = bytes.as_chunks::<8>() else {
            return None;
        };
        let point = |bytes: &[u8; 8]| {
            let (ef, recall) = bytes.split_first_chunk().expect("eight bytes");
            Point {
                ef: u32::from_le_bytes(*ef),
                recall: f32::from_le_bytes(recall.try_into().expect("four bytes")),
            }
        };
        let points: Vec<Point> = points.iter().map(point).collect();
        let rises = points.is_sorted_by(|a, b| a.ef < b.ef);
        let is_sound = |point: &Point| point.ef > 0 && (0.0..=1.0).contains(&point.recall);
        (points.len() <= Self::POINTS_MAX && rises && points.iter().all(is_sound))
            .then(|| Self::new(points))?
    }
}

/// How the list for ten neighbours becomes that for more of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Growth {
    /// It holds what was found: longer by as many, and a little.
    Added,
    /// It says how much farther than the last neighbour a walk looks, by how often it is longer than
    /// there are neighbours: of 4,000 rows of 300 components the nearest hundred were found at 0.94
    /// by a list that was only longer by as many, where the nearest ten were at 0.98.
    InProportion,
    /// It is no list of candidates but a number of lists of rows, each of which has many neighbours or none.
    Lists,
}

impl Growth {
    fn least(self) -> f32 {
        match self {
            Self::Lists => LISTS_MIN,
            Self::Added | Self::InProportion => MEASURED_MIN,
        }
    }
}

/// The candidate list for a graph over `live` rows; `None` means compare with every row.
pub(crate) fn ef_search(
    wanted: Effort,
    k: usize,
    live: usize,
    measured: Option<&Curve>,
    growth: Growth,
) -> Option<usize> {
    match wanted {
        Effort::Exact => None,
        Effort::EfSearch(ef) if growth == Growth::Lists => Some(ef.clamp(1, EF_MAX)),
        Effort::EfSearch(ef) => Some(ef.max(k).min(EF_MAX)),
        Effort::Recall(recall) => {
            ef_search(Effort::Stretched(recall, 1.0), k, live, measured, growth)
        }
        Effort::Stretched(recall, _) if recall >= 1.0 => None,
        Effort::Stretched(recall, factor) => {
            let ef = match measured {
                Some(curve) => (interpolate(&curve.steps, recall) * MARGIN).max(growth.least()),
                None => {
                    let scale = (live as f32 / TABLE_ROWS).powf(ROWS_EXPONENT).max(0.2);
                    interpolate(&TABLE, recall) * scale
                }
            };
            let ef = ef * factor;
            let more = k.saturating_sub(10) as f32;
            let ef = match growth {
                Growth::Added => ef + more * (1.0 + ef / 400.0),
                Growth::InProportion => ef + more * ef / 10.0,
                Growth::Lists => return Some((ef * (1.0 + more / 10.0).sqrt()).ceil() as usize),
            };
            Some((ef.ceil() as usize).max(k).min(EF_MAX))
        }
    }
}

/// How rows that no walk meets are compared with the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// By their vectors.
    Distance,
    /// By codes of one bit a component.
    Code,
}

impl Look {
    /// Rows that are looked at while a graph takes one hop, which costs `hop` distances.
    pub fn rows_per_hop(self, hop: f32) -> f32 {
        match self {
            Self::Distance => hop,
            // Of 784 components a code costs an eighth of a distance.
            Self::Code => hop * 8.0,
        }
    }
}

/// Whether a walk with a list of `ef` costs less than a look at each of the `live` rows that may be
/// returned, of `seen` that are walked: it goes on until `ef` of them were met. `rows_per_hop` is of
/// [`Look`].
pub(crate) fn pays(ef: usize, live: usize, seen: usize, rows_per_hop: f32) -> bool {
    let share = live as f32 / (seen as f32).max(1.0);
    live == seen || ef as f32 * rows_per_hop < live as f32 * share
}

/// How many hops a walk for which [`pays`] spoke may take, before a look at each of the `live` rows is cheaper
/// after all: where the rows that may be returned are far from the query, a walk first goes through
/// all that are near. Half of what those looks cost, so that both cost half as much again at most.
pub(crate) fn hops_max(ef: usize, live: usize, seen: usize, rows_per_hop: f32) -> u32 {
    if live == seen {
        return u32::MAX;
    }
    let expected = ef as f32 * seen as f32 / (live as f32).max(1.0);
    let half = live as f32 / rows_per_hop / 2.0;
    half.max(expected * MARGIN) as u32
}

/// Between two steps the list grows geometrically with what is missing to a recall of one, and so it
/// does beyond the last one.
fn interpolate(steps: &[(f32, f32)], recall: f32) -> f32 {
    let missing = |recall: f32| (1.0 - recall).max(1e-5);
    let Some(after) = steps.iter().position(|&(r, _)| r >= recall) else {
        let (r, ef) = steps[steps.len() - 1];
        return ef * (missing(r) / missing(recall)).min(8.0);
    };
    if after == 0 {
        return steps[0].1;
    }
    let ((r0, ef0), (r1, ef1)) = (steps[after - 1], steps[after]);
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
                let ef = ef_search(Effort::Recall(recall), 10, live, None, Growth::Added).unwrap();
                assert!(ef >= last, "recall={recall}");
                last = ef;
            }
        }
    }

    #[test]
    fn more_rows_and_more_neighbours_take_a_longer_list() {
        let ef = |k, live| ef_search(Effort::Recall(0.95), k, live, None, Growth::Added).unwrap();
        for rows in [10_000, 100_000, 1_000_000] {
            assert!(ef(10, rows) * 3 > ef(10, rows * 10), "rows={rows}");
            assert!(ef(10, rows) < ef(10, rows * 10), "rows={rows}");
            assert!(ef(10, rows) < ef(100, rows), "rows={rows}");
        }
        assert_eq!(ef(10, 1_000_000), 66);
    }

    #[test]
    fn a_recall_of_one_is_exact() {
        for growth in [Growth::Added, Growth::InProportion] {
            let ef = |wanted| ef_search(wanted, 10, 100, None, growth);
            assert_eq!(ef(Effort::Recall(1.0)), None);
            assert_eq!(ef(Effort::Exact), None);
            assert_eq!(ef(Effort::EfSearch(3)), Some(10));
        }
    }

    fn curve(points: &[(u32, f32)]) -> Option<Curve> {
        let point = |&(ef, recall)| Point { ef, recall };
        Curve::new(points.iter().map(point).collect())
    }

    #[test]
    fn a_curve_decides_where_there_is_one() {
        let measured = curve(&[(10, 0.7), (40, 0.9), (50, 0.89), (80, 0.99)]);
        let ef = |recall| {
            ef_search(
                Effort::Recall(recall),
                10,
                1_000_000,
                measured.as_ref(),
                Growth::Added,
            )
        };
        assert_eq!(ef(0.5), Some(20));
        assert_eq!(ef(0.9), Some(44));
        assert_eq!(ef(0.99), Some(88));
        assert!(ef(0.95) > ef(0.9) && ef(0.95) < ef(0.99));
        // Beyond what was measured it goes on growing.
        assert!(ef(0.999) > ef(0.99));
    }

    #[test]
    fn a_list_that_grows_in_proportion_looks_as_far_for_any_number_of_neighbours() {
        let measured = curve(&[(10, 0.7), (40, 0.97)]);
        let ef = |k| {
            let wanted = Effort::Recall(0.97);
            ef_search(wanted, k, 10_000, measured.as_ref(), Growth::InProportion)
        };
        assert_eq!([ef(1), ef(10), ef(100)], [Some(44), Some(44), Some(440)]);
    }

    #[test]
    fn a_curve_comes_back_from_its_bytes_and_from_no_others() {
        let whole = curve(&[(10, 0.7), (15, 0.9)]).unwrap();
        assert_eq!(Curve::from_bytes(&whole.to_bytes()), Some(whole));
        let bytes = |points: &[(u32, f32)]| curve(points).unwrap().to_bytes();
        assert_eq!(Curve::from_bytes(&[]), None);
        assert_eq!(Curve::from_bytes(&bytes(&[(10, 0.7)])[..7]), None);
        for wrong in [f32::NAN, -0.1, 1.1] {
            assert_eq!(Curve::from_bytes(&bytes(&[(10, wrong)])), None);
        }
        assert_eq!(Curve::from_bytes(&bytes(&[(0, 0.5)])), None);
        assert_eq!(Curve::from_bytes(&bytes(&[(10, 0.5), (10, 0.6)])), None);
        let many: Vec<(u32, f32)> = (1..66).map(|ef| (ef, 0.5)).collect();
        assert_eq!(Curve::from_bytes(&bytes(&many)), None);
    }
}
