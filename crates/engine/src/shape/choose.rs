//! Which of the candidates of a search are its hits, and in which order.

use crate::error::{Code, Error, Result};
use crate::keys::{Key, KeyType};
use crate::limits::K_MAX;
use crate::query::{Effort, SearchRequest, Stage};
use crate::search::{Allowed, Space, unknown_field};
use crate::snapshot::Snapshot;
use crate::stop::Stop;
use crate::view::Place;

impl Snapshot {
    /// A record that is there, and its vector of a field as it was given.
    ///
    /// # Errors
    /// `ERR_NOT_FOUND` where it is not; `ERR_INVALID_KEY` for a key of the other type.
    pub(crate) fn like(&self, key: Key<'_>, field: usize) -> Result<(Place, Vec<f32>)> {
        self.collection().check_open()?;
        self.check_key_type(match key {
            Key::Str(_) => KeyType::String,
            Key::U64(_) => KeyType::U64,
        })?;
        if field >= self.schema().vectors.len() {
            return Err(unknown_field());
        }
        let Some(place) = self.view().find(key, self.moment()) else {
            let error = Error::new(Code::NotFound, "no record with this key");
            return Err(match key {
                Key::Str(key) => error.text("key", key),
                Key::U64(key) => error.text("key", key.to_string()),
            });
        };
        let mut vector = Vec::new();
        self.view().vector(place, field, &mut vector)?;
        Ok((place, vector))
    }

    /// Asks every part of the view, and leaves the hits in their order.
    pub(crate) fn choose(
        &self,
        request: &SearchRequest<'_>,
        without: Option<Place>,
        allowed: Option<&[Allowed]>,
        stop: &Stop,
        space: &mut Space,
        stages: &mut Vec<Stage>,
    ) -> Result<()> {
        if let Some(group_by) = request.shape.group_by {
            return self.choose_groups(request, group_by, without, allowed, stop, space, stages);
        }
        if without.is_none() && request.shape.diversity.is_none() {
            return self.gather(request, allowed, stop, space, stages);
        }
        let pool = match request.shape.diversity {
            Some(_) => super::diverse::pool(request.k),
            None => request.k,
        };
        self.near(request, pool, without, allowed, stop, space, stages)?;
        match request.shape.diversity {
            Some(diversity) => self.diversify(request, diversity, stop, &mut space.candidates),
            None => Ok(()),
        }
    }

    /// The `k` nearest candidates but for one, without those that are too far. Says whether there may be more.
    #[expect(
        clippy::too_many_arguments,
        reason = "a search, and what is left out of it"
    )]
    pub(super) fn near(
        &self,
        request: &SearchRequest<'_>,
        k: usize,
        without: Option<Place>,
        allowed: Option<&[Allowed]>,
        stop: &Stop,
        space: &mut Space,
        stages: &mut Vec<Stage>,
    ) -> Result<bool> {
        let asked = k + usize::from(without.is_some());
        let wider = SearchRequest {
            k: asked,
            // A walk that keeps so many costs more than comparing all.
            effort: if asked > K_MAX {
                Effort::Exact
            } else {
                request.effort
            },
            ..request.clone()
        };
        self.gather(&wider, allowed, stop, space, stages)?;
        let mut is_more = space.candidates.len() == asked;
        space.candidates.retain(|it| Some(it.place) != without);
        space.candidates.truncate(k);
        let field = &self.schema().vectors[request.field];
        let near = |distance: f32| request.is_within(field, distance);
        if let Some(far) = space.candidates.iter().position(|it| !near(it.distance)) {
            space.candidates.truncate(far);
            is_more = false;
        }
        Ok(is_more)
    }
}
