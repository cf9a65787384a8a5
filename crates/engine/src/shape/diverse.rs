//! Results that differ from each other: maximal marginal relevance.
//!
//! Of a pool of the nearest candidates the nearest is taken first, then again and again the one with the
//! largest `(1 - d) * score(query, it) - d * max score(taken, it)`, where `score` is that of the metric.
//! Source: J. Carbonell, J. Goldstein: The Use of MMR, 1998; their lambda is `1 - d`.

use crate::error::Result;
use crate::query::SearchRequest;
use crate::search::Candidate;
use crate::snapshot::Snapshot;
use crate::stop::Stop;
use crate::vectors::Measure;

/// Candidates of the pool for each hit, and how many there are at least and at most; a pool always has `k`.
const POOL_PER_HIT: usize = 4;
const POOL_MIN: usize = 100;
const POOL_MAX: usize = 10_000;

/// Floats compared between two looks at whether to go on: about 50 microseconds.
const FLOATS_PER_CHECK: usize = 128 * 1024;

/// How many of the nearest records are looked at for `k` diverse ones.
pub(super) fn pool(k: usize) -> usize {
    (k * POOL_PER_HIT).clamp(POOL_MIN, POOL_MAX).max(k)
}

impl Snapshot {
    /// Leaves `k` of the candidates, in the order in which they were taken.
    pub(super) fn diversify(
        &self,
        request: &SearchRequest<'_>,
        diversity: f32,
        stop: &Stop,
        candidates: &mut Vec<Candidate>,
    ) -> Result<()> {
        let field = &self.schema().vectors[request.field];
        let metric = field.metric.metric();
        let measure = Measure::of(metric);
        let dim = request.vector.len();
        let mut vectors = Vec::with_capacity(candidates.len() * dim);
        for candidate in &*candidates {
            self.view()
                .prepared(candidate.place, request.field, &mut vectors)?;
        }
        if metric.normalises() && !field.normalises() {
            for vector in vectors.chunks_exact_mut(dim) {
                let _ = cairn_distance::normalise(vector);
            }
        }
        let vector = |at: usize| &vectors[at * dim..][..dim];
        let score = |distance: f32| f64::from(metric.score(distance));
        let relevant = 1.0 - f64::from(diversity);
        // Those still to be taken, nearest first, with how like a taken one they are at most.
        let mut left: Vec<(usize, f64)> = (0..candidates.len())
            .map(|at| (at, f64::NEG_INFINITY))
            .collect();
        let mut taken: Vec<Candidate> = Vec::with_capacity(request.k.min(candidates.len()));
        let mut compared = 0;
        while taken.len() < request.k && !left.is_empty() {
            let value = |&(at, like): &(usize, f64)| {
                let own = relevant * score(candidates[at].distance);
                match taken.is_empty() || diversity == 0.0 {
                    true => own,
                    false => own - f64::from(diversity) * like,
                }
            };
            // Of equals the nearest: the first. The first of all is the nearest whatever the diversity.
            let mut best = 0;
            if !taken.is_empty() {
                for at in 1..left.len() {
                    if value(&left[at]) > value(&left[best]) {
                        best = at;
                    }
                }
            }
            let (chosen, _) = left.remove(best);
            taken.push(candidates[chosen]);
            if diversity == 0.0 {
                continue;
            }
            for (at, like) in &mut left {
                *like = like.max(score(measure.distance(vector(chosen), vector(*at))));
                compared += dim;
                if compared >= FLOATS_PER_CHECK {
                    compared = 0;
                    stop.check()?;
                }
            }
        }
        *candidates = taken;
        Ok(())
    }
}
