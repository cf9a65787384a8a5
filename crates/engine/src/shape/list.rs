//! A search that is near to nothing: records in the order of their keys.

use cairn_filter::Bitmap;

use crate::error::{Code, Error, Result};
use crate::query::{Hits, SearchRequest, Stage};
use crate::scan::Scan;
use crate::search::{Candidate, Foreseen, check_k, push_hit};
use crate::snapshot::Snapshot;
use crate::stop::Stop;

use super::LOOKS_PER_CHECK;

impl Snapshot {
    /// The first `k` records by key that the filter holds for, at distance 0 and with score 0.
    ///
    /// # Errors
    /// As [`Snapshot::search`]; `ERR_INVALID_ARGUMENT` with groups, diversity or a limit on distances,
    /// which ask for a vector.
    pub(crate) fn list(&self, request: &SearchRequest<'_>, stop: &Stop) -> Result<Hits> {
        check_k(request.k)?;
        request.shape.check()?;
        let is_plain = request.shape.group_by.is_none()
            && request.shape.diversity.is_none()
            && request.max_distance.is_none()
            && request.min_score.is_none();
        if !is_plain {
            let message = "groups, diversity and limits of distance need something to be near to";
            return Err(Error::new(Code::InvalidArgument, message));
        }
        let mut hits = self.no_hits(request);
        let mut watch = self.watch(request);
        let (wanted, looked) = self.wanted_looked(request.filter, stop)?;
        let foreseen = request.filter.map(|filter| {
            let filter = self.stored_filter(filter);
            self.foreseen(&filter, request.explain, stop)
        });
        let spent = watch.lap();
        match request.filter {
            Some(_) => hits.times.filter += spent,
            None => hits.times.search += spent,
        }
        if request.explain {
            let micros = u64::try_from(hits.times.filter.as_micros()).unwrap_or(u64::MAX);
            let view = self.view();
            for (source, rows) in wanted.iter().enumerate() {
                let Foreseen {
                    estimate,
                    waited_for,
                } = match &foreseen {
                    Some(foreseen) => foreseen[source].clone(),
                    None => Foreseen {
                        estimate: rows.count(),
                        ..Foreseen::default()
                    },
                };
                let segment = view.segments.get(source);
                hits.stages.push(Stage {
                    source: segment.map_or("memtable".into(), |it| it.id.to_string()),
                    field: None,
                    path: "keys",
                    rows: rows.rows().into(),
                    estimate: estimate as u64,
                    matches: rows.count() as u64,
                    ef: 0,
                    hops: 0,
                    distances: 0,
                    filter_micros: if source == 0 { micros } else { 0 },
                    looked: looked.get(source).copied().unwrap_or_default(),
                    waited_for,
                    micros: 0,
                });
            }
        }
        let found = self.first_by_key(wanted, request.k, stop)?;
        hits.times.search += watch.lap();
        for (number, candidate) in found.iter().enumerate() {
            if number.is_multiple_of(LOOKS_PER_CHECK) {
                stop.check()?;
            }
            let fields = &request.select.fields;
            push_hit(self.view(), fields, candidate, 0.0, &mut hits)?;
        }
        hits.times.read += watch.lap();
        Ok(hits)
    }

    /// The first `k` of these rows of each segment, then of each memtable, by key.
    fn first_by_key(&self, wanted: Vec<Bitmap>, k: usize, stop: &Stop) -> Result<Vec<Candidate>> {
        let mut scan = Scan::new(self.clone(), None, Some(wanted), stop)?;
        let mut found = Vec::new();
        while found.len() < k {
            if found.len().is_multiple_of(LOOKS_PER_CHECK) {
                stop.check()?;
            }
            let Some(place) = scan.next_place(stop)? else {
                break;
            };
            found.push(Candidate {
                distance: 0.0,
                place,
            });
        }
        Ok(found)
    }
}
