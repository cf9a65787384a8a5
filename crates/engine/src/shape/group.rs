//! The nearest groups of records: those with the same value of a field.
//!
//! A search is widened until its candidates are of `k` groups, or there are no more. Where groups have room
//! for more than one hit, those that were not filled on the way are searched for among their own records.
//! So there are `min(k, groups)` groups even where one has nearly all records, and under an exact search
//! every group has its nearest records.

use std::time::Duration;

use hashbrown::HashMap;

use cairn_env::{Bug, planted};
use cairn_filter::{Cursor, Filter, Path, ScalarSet, Test, Value};

use crate::error::Result;
use crate::keys::KeyState;
use crate::query::{SearchRequest, SelectFields, Stage};
use crate::search::{Allowed, Candidate, Foreseen, Space, nearer};
use crate::segment::ReadAhead;
use crate::snapshot::Snapshot;
use crate::stop::Stop;
use crate::view::{Place, Source};

use super::{GroupBy, LOOKS_PER_CHECK, field_path};

/// Candidates of the first search, at least; each later one has four times as many.
const WINDOW_MIN: usize = 64;
/// More candidates than this are read in the order in which they lie, past the cache.
const CACHED_MAX: usize = 1_024;

/// Groups by what their records have in the field: its bytes, none where it is missing.
type Groups = HashMap<Option<Box<[u8]>>, Vec<Candidate>, KeyState>;

impl Snapshot {
    /// Leaves the hits of the `k` nearest groups, group by group.
    #[expect(
        clippy::too_many_arguments,
        reason = "a search, and what is left out of it"
    )]
    pub(super) fn choose_groups(
        &self,
        request: &SearchRequest<'_>,
        group_by: GroupBy<'_>,
        without: Option<Place>,
        allowed: Option<&[Allowed]>,
        stop: &Stop,
        space: &mut Space,
        stages: &mut Vec<Stage>,
    ) -> Result<()> {
        let path = self.stored_path(&field_path(group_by.field)?);
        let all = match allowed {
            Some(allowed) => allowed.iter().map(|it| it.rows.count()).sum(),
            None => usize::try_from(self.count()).unwrap_or(usize::MAX),
        };
        let mut window = (request.k * group_by.size).max(WINDOW_MIN);
        let (mut groups, mut is_more);
        loop {
            let asked = window.min(all.max(1));
            is_more = self.near(request, asked, without, allowed, stop, space, stages)?;
            is_more &= asked < all;
            groups = Groups::default();
            self.add_to_groups(&path, &space.candidates, stop, &mut groups)?;
            let is_enough = groups.len() >= request.k || planted(Bug::GroupsStopEarly);
            if is_enough || !is_more {
                break;
            }
            window *= 4;
        }
        self.keep_nearest(&mut groups, request.k, group_by.size);
        if is_more {
            let fill = (request, group_by, &path, without);
            self.fill_groups(fill, allowed, stop, space, stages, &mut groups)?;
        }
        let mut groups: Vec<Vec<Candidate>> = groups.into_values().collect();
        groups.sort_unstable_by(|a, b| nearer(self.view(), &a[0], &b[0]));
        space.candidates.clear();
        space.candidates.extend(groups.into_iter().flatten());
        Ok(())
    }

    /// Searches for the rest of groups among their own records.
    fn fill_groups(
        &self,
        (request, group_by, path, without): (&SearchRequest<'_>, GroupBy<'_>, &Path, Option<Place>),
        allowed: Option<&[Allowed]>,
        stop: &Stop,
        space: &mut Space,
        stages: &mut Vec<Stage>,
        groups: &mut Groups,
    ) -> Result<()> {
        let mut window = WINDOW_MIN;
        loop {
            let open = |hits: &Vec<Candidate>| hits.len() < group_by.size;
            let unfilled = groups.iter().filter(|(_, hits)| open(hits));
            let unfilled: Vec<&Option<Box<[u8]>>> = unfilled.map(|(value, _)| value).collect();
            if unfilled.is_empty() {
                return Ok(());
            }
            window = window.max(unfilled.len() * group_by.size);
            let mut own = Vec::new();
            let members = members(path, &unfilled);
            for (source, rows) in self.matching(&members, stop).enumerate() {
                let (mut rows, looked) = rows?;
                if let Some(allowed) = allowed {
                    rows.intersect(&allowed[source].rows);
                }
                let spent = Duration::ZERO;
                own.push(Allowed {
                    rows,
                    spent,
                    looked,
                    foreseen: Foreseen::default(),
                });
            }
            let all: usize = own.iter().map(|it| it.rows.count()).sum();
            let asked = window.min(all.max(1));
            let is_more =
                self.near(request, asked, without, Some(&own), stop, space, stages)? && asked < all;
            let mut found = Groups::default();
            self.add_to_groups(path, &space.candidates, stop, &mut found)?;
            for (value, hits) in found {
                let Some(known) = groups.get_mut(&value).filter(|known| open(known)) else {
                    continue;
                };
                let is_new = |hit: &Candidate| known.iter().all(|it| it.place != hit.place);
                let new: Vec<Candidate> = hits.into_iter().filter(is_new).collect();
                known.extend(new);
                known.sort_unstable_by(|a, b| nearer(self.view(), a, b));
                known.truncate(group_by.size);
            }
            if !is_more {
                return Ok(());
            }
            window *= 4;
        }
    }

    /// Sorts candidates, which come nearest first, into groups.
    fn add_to_groups(
        &self,
        path: &Path,
        candidates: &[Candidate],
        stop: &Stop,
        groups: &mut Groups,
    ) -> Result<()> {
        let mut values: Vec<Option<Box<[u8]>>> = vec![None; candidates.len()];
        let mut order: Vec<usize> = (0..candidates.len()).collect();
        let is_in_order = candidates.len() > CACHED_MAX;
        if is_in_order {
            order.sort_unstable_by_key(|&at| {
                (candidates[at].place.source, candidates[at].place.row)
            });
        }
        let (mut fields, mut ahead, mut source) = (Vec::new(), ReadAhead::default(), 0);
        for (number, at) in order.into_iter().enumerate() {
            if number.is_multiple_of(LOOKS_PER_CHECK) {
                stop.check()?;
            }
            let place = candidates[at].place;
            if place.source != source {
                (source, ahead) = (place.source, ReadAhead::default());
            }
            fields.clear();
            let all = &SelectFields::All;
            match self.view().source(place.source) {
                Source::Segment(segment) if is_in_order => {
                    segment.payload_in_order(place.row, all, &mut ahead, &mut fields)?;
                }
                _ => self.view().payload(place, all, &mut fields)?,
            }
            values[at] = path.first_value(&fields).map(group_of);
        }
        for (candidate, value) in candidates.iter().zip(values) {
            groups.entry(value).or_default().push(*candidate);
        }
        Ok(())
    }

    /// Leaves `k` groups of `size` hits.
    fn keep_nearest(&self, groups: &mut Groups, k: usize, size: usize) {
        let mut first: Vec<Candidate> = groups.values().map(|hits| hits[0]).collect();
        first.sort_unstable_by(|a, b| nearer(self.view(), a, b));
        first.truncate(k);
        if let Some(last) = first.last() {
            let is_kept = |hits: &[Candidate]| nearer(self.view(), &hits[0], last).is_le();
            groups.retain(|_, hits| is_kept(hits));
        }
        groups.values_mut().for_each(|hits| hits.truncate(size));
    }
}

/// The bytes that all records of a group share: equal numbers have equal ones, however they are stored.
fn group_of(value: &[u8]) -> Box<[u8]> {
    match Cursor::new(value).value() {
        Ok(Value::Scalar(scalar)) => {
            let mut bytes = Vec::with_capacity(value.len());
            scalar.write(&mut bytes);
            bytes.into()
        }
        _ => value.into(),
    }
}

/// A filter that holds for the records of these groups, and maybe for others. However many they are, a
/// record is looked at once.
fn members(path: &Path, groups: &[&Option<Box<[u8]>>]) -> Filter {
    let mut values = ScalarSet::default();
    let (mut has_missing, mut has_others) = (false, false);
    for group in groups {
        let Some(bytes) = group else {
            has_missing = true;
            continue;
        };
        match Cursor::new(bytes).value() {
            Ok(Value::Scalar(scalar)) if !scalar.is_nan() => values.extend([scalar.own()]),
            _ => has_others = true,
        }
    }
    let field = |test| Filter::Field {
        path: path.clone(),
        test,
    };
    let mut filters = Vec::new();
    if has_missing {
        filters.push(Filter::Not(Box::new(field(Test::Exists))));
    }
    if has_others {
        filters.push(field(Test::Exists));
    } else if !values.is_empty() {
        filters.push(field(Test::In(Box::new(values))));
    }
    Filter::Or(filters)
}

#[cfg(test)]
mod tests {
    use cairn_filter::Scalar;

    use super::*;

    fn bytes_of(number: i128) -> Option<Box<[u8]>> {
        let mut bytes = Vec::new();
        Scalar::<&str, &[u8]>::Int(number).write(&mut bytes);
        Some(bytes.into())
    }

    #[test]
    fn the_filter_of_many_groups_looks_at_a_record_once() {
        let path = field_path("a").unwrap();
        let groups: Vec<_> = (0..1000).map(bytes_of).chain([None]).collect();
        let Filter::Or(filters) = members(&path, &groups.iter().collect::<Vec<_>>()) else {
            panic!("not any of some");
        };
        let [Filter::Not(_), Filter::Field { test, .. }] = &filters[..] else {
            panic!("{filters:?}");
        };
        assert!(matches!(test, Test::In(values) if values.len() == 1000));
    }
}
