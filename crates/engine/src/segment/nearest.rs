//! The nearest rows of one segment: by a walk over its graph, by codes, or one by one, whichever costs least.

use std::cell::Cell;
use std::cmp::Ordering;

use cairn_env::{Bug, planted};
use cairn_filter::Bitmap;
use cairn_index::flat::TopK;
use cairn_index::ivf::SearchError;
use cairn_index::{Coded, Effort as Spent, HOPS_PER_LOOK, Hit, Scratch, Stopped};

use crate::codes::{ALLOWED_MIN, DEVIATIONS, ScanSpace, may_use_codes};
use crate::effort::{self, Growth, Look};
use crate::error::Result;
use crate::expiry::Moment;
use crate::query::Effort;
use crate::stop::Stop;
use crate::vectors::{FieldGraph, FieldQuery};

use super::postings::Clusters;
use super::{Segment, SegmentField, corrupt, sections};

/// Rows that are compared one by one while a list is looked at, about: 256 codes, and its share of the rows that are
/// measured.
const PROBE_DISTANCES: f32 = 16.0;

const CODED: &str = "codes are of vectors of f32";

/// What is asked of one segment.
pub(crate) struct Question<'a> {
    pub field: usize,
    pub query: &'a FieldQuery,
    pub k: usize,
    pub effort: Effort,
    /// The rows that a filter leaves, of those that the snapshot sees.
    pub allowed: Option<&'a Bitmap>,
    /// What the snapshot sees.
    pub at: Moment,
    pub stop: &'a Stop,
}

/// What a search of one segment or memtable did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub path: &'static str,
    /// Rows that could be returned.
    pub matches: usize,
    pub ef: usize,
    pub hops: u64,
    pub distances: u64,
}

impl Segment {
    /// The `k` nearest rows that the snapshot sees, or of those of them that are allowed, nearest first;
    /// at least `min(k, such rows)` of them.
    ///
    /// # Errors
    /// What `stop` says; `ERR_CORRUPT` if the vectors are mapped and their file was cut.
    pub fn search(
        &self,
        question: &Question<'_>,
        scratch: &mut Scratch,
        space: &mut ScanSpace,
        hits: &mut Vec<Hit>,
    ) -> Result<Outcome> {
        let field = &self.fields[question.field];
        let seen = self.rows() - self.count_gone(question.at);
        let search = Nearest {
            segment: self,
            field,
            question,
            seen,
            live: question.allowed.map_or(seen, Bitmap::count),
        };
        let outcome = match (&field.graph, &field.clusters) {
            (Some(graph), _) => search.with_graph(graph, scratch, space, hits),
            (None, Some(clusters)) => search.with_clusters(clusters, space, hits)?,
            (None, None) => search.without_graph(space, hits),
        };
        question.stop.check()?;
        field.check(&self.reader)?;
        Ok(outcome)
    }
}

/// A search of one segment. What it finds counts for nothing if it was stopped.
struct Nearest<'a> {
    segment: &'a Segment,
    field: &'a SegmentField,
    question: &'a Question<'a>,
    /// Rows that the snapshot sees.
    seen: usize,
    /// Those of them that may be returned.
    live: usize,
}

impl Nearest<'_> {
    /// Walks, unless a look at each row that may be returned costs less.
    fn with_graph(
        &self,
        graph: &FieldGraph,
        scratch: &mut Scratch,
        space: &mut ScanSpace,
        hits: &mut Vec<Hit>,
    ) -> Outcome {
        let (field, asked) = (self.field, self.question);
        let listed = asked.allowed.filter(|_| self.may_code());
        let codes = listed.and_then(|rows| Some((rows, self.codes_by_row()?)));
        let look = match codes {
            Some(_) => Look::Code,
            None => Look::Distance,
        };
        let curve = field.curve.as_ref();
        let ef = effort::ef_search(asked.effort, asked.k, self.seen, curve, graph.growth());
        let rows = |look: Look| look.rows_per_hop(graph.hop_distances());
        let pays = |look| ef.filter(|ef| effort::pays(*ef, self.live, self.seen, rows(look)));
        let walked =
            pays(look).and_then(|ef| self.walk(graph, ef, rows(look), scratch, space, hits));
        let is_wish = listed.is_some() && (walked.is_none() || pays(Look::Code).is_none());
        if is_wish && field.coded.is_none() {
            field.lazy_codes.wish(self.segment.rows(), space);
        }
        match (walked, codes) {
            (Some(outcome), _) => outcome,
            (None, Some((rows, codes))) => self.by_row_codes(codes, rows.iter(), space, hits),
            (None, None) => self.compare_each(hits),
        }
    }

    /// Looks at the nearest lists, unless a look at each row that may be returned costs less.
    fn with_clusters(
        &self,
        clusters: &Clusters,
        space: &mut ScanSpace,
        hits: &mut Vec<Hit>,
    ) -> Result<Outcome> {
        let (field, asked, segment) = (self.field, self.question, self.segment);
        let curve = field.curve.as_ref();
        // The neighbours that a filter leaves are spread over as many more lists.
        let wide = (asked.k * self.seen).div_ceil(self.live.max(1));
        let probes = effort::ef_search(asked.effort, wide, self.seen, curve, Growth::Lists);
        let pays = |probes: &usize| effort::pays(*probes, self.live, self.seen, PROBE_DISTANCES);
        let vectors = field.vectors.as_f32().zip(asked.query.as_f32());
        let Some((probes, (vectors, query))) = probes.filter(pays).zip(vectors) else {
            return Ok(self.compare_each(hits));
        };
        let postings = clusters.of(&segment.reader, &segment.cache);
        let (accept, due) = (|row| self.accepts(row), || self.is_due());
        let (head, k, space) = (&clusters.head, asked.k, &mut space.clusters);
        let spent = head.search(
            &postings, vectors, query, k, probes, accept, space, due, hits,
        );
        let spent = match spent {
            Ok(spent) => spent,
            // Whoever asked says so.
            Err(SearchError::Stopped) => Spent::default(),
            Err(SearchError::Source(error)) => return Err(error),
            Err(SearchError::Damaged { region, list }) => {
                let id = sections::postings(asked.field, region);
                let offset = segment.reader.offset(id).unwrap_or(0);
                let offset = offset + head.part(region, list).start;
                return Err(corrupt(
                    &segment.path,
                    offset,
                    id,
                    "a list with numbers that none has",
                ));
            }
        };
        Ok(Outcome {
            path: "ivf",
            matches: self.live,
            ef: probes,
            hops: u64::from(spent.hops),
            distances: u64::from(spent.distances),
        })
    }

    fn without_graph(&self, space: &mut ScanSpace, hits: &mut Vec<Hit>) -> Outcome {
        let (field, rows) = (self.field, self.segment.rows());
        if let (Some(codes), true) = (&field.coded, self.may_code()) {
            return match self.question.allowed {
                Some(allowed) => self.by_row_codes(codes, allowed.iter(), space, hits),
                None => {
                    let all = 0..u32::try_from(rows).expect("rows are counted in 32 bits");
                    let seen = all.filter(|&row| self.accepts(row));
                    self.by_row_codes(codes, seen, space, hits)
                }
            };
        }
        let many = self.may_code_lazily() && self.live * ALLOWED_MIN >= rows;
        let codes = many.then(|| field.lazy_codes.get(rows, space)).flatten();
        let coded = codes
            .zip(field.vectors.as_f32())
            .zip(self.question.query.as_f32());
        let Some(((codes, vectors), query)) = coded else {
            return self.compare_each(hits);
        };
        self.by_codes(hits, |top| {
            let accept = |row| self.accepts(row);
            let (tie, due) = (|a, b| self.tie(a, b), || self.is_due());
            let space = &mut space.codes;
            codes.scan(vectors, query, DEVIATIONS, accept, tie, due, space, top)
        })
    }

    /// Codes that cost the same whichever rows are looked at: those of the schema, or those that were asked for.
    fn codes_by_row(&self) -> Option<&Coded> {
        let asked_for = || self.field.lazy_codes.by_row();
        self.field.coded.as_ref().or_else(asked_for)
    }

    fn by_row_codes(
        &self,
        codes: &Coded,
        rows: impl Iterator<Item = u32>,
        space: &mut ScanSpace,
        hits: &mut Vec<Hit>,
    ) -> Outcome {
        let vectors = self.field.vectors.as_f32().expect(CODED);
        let query = self.question.query.as_f32().expect(CODED);
        self.by_codes(hits, |top| {
            let (tie, due) = (|a, b| self.tie(a, b), || self.is_due());
            let space = &mut space.coded;
            codes.scan(vectors, query, DEVIATIONS, rows, tie, due, space, top)
        })
    }

    /// `None` if the walk was given up, or found too few: deletions can cut a graph into islands.
    fn walk(
        &self,
        graph: &FieldGraph,
        ef: usize,
        rows_per_hop: f32,
        scratch: &mut Scratch,
        space: &mut ScanSpace,
        hits: &mut Vec<Hit>,
    ) -> Option<Outcome> {
        let asked = self.question;
        let looks = Cell::new(0);
        let most = effort::hops_max(ef, self.live, self.seen, rows_per_hop) / HOPS_PER_LOOK;
        let enough = || self.is_due() || looks.replace(looks.get() + 1) > most;
        let (vectors, query, k) = (&self.field.vectors, asked.query, asked.k);
        let accept = |row| self.accepts(row);
        let spent = match &self.field.coded {
            Some(codes) => {
                let vectors = vectors.as_f32().expect(CODED);
                let query = query.as_f32().expect(CODED);
                let space = &mut space.coded;
                graph.search_coded(
                    vectors, codes, query, k, ef, accept, scratch, space, enough, hits,
                )
            }
            None => graph.search(vectors, query, k, ef, accept, scratch, enough, hits),
        };
        let spent = spent.ok()?;
        (hits.len() >= asked.k.min(self.live)).then(|| Outcome {
            path: graph.name(),
            matches: self.live,
            ef,
            hops: u64::from(spent.hops),
            distances: u64::from(spent.distances),
        })
    }

    fn by_codes(
        &self,
        hits: &mut Vec<Hit>,
        scan: impl FnOnce(&mut TopK) -> Result<Spent, Stopped>,
    ) -> Outcome {
        let mut top = TopK::new(self.question.k);
        let spent = scan(&mut top);
        hits.clear();
        top.finish(|a, b| self.tie(a, b), hits);
        self.compared("codes", spent)
    }

    fn compare_each(&self, hits: &mut Vec<Hit>) -> Outcome {
        let (field, asked) = (self.field, self.question);
        let rows = self.segment.rows();
        let few = asked.allowed.filter(|_| self.live * 2 < rows);
        let rows = 0..u32::try_from(rows).expect("rows are counted in 32 bits");
        let accept = |row| self.accepts(row);
        let (tie, due) = (|a, b| self.tie(a, b), || self.is_due());
        let (vectors, query, k) = (&field.vectors, asked.query, asked.k);
        hits.clear();
        let spent = vectors.search(field.metric, query, k, rows, few, accept, tie, due, hits);
        self.compared(vectors.name(), spent)
    }

    fn compared(&self, path: &'static str, spent: Result<Spent, Stopped>) -> Outcome {
        Outcome {
            path,
            matches: self.live,
            ef: 0,
            hops: 0,
            distances: spent.map_or(0, |spent| u64::from(spent.distances)),
        }
    }

    /// Whether codes may decide what is compared.
    fn may_code(&self) -> bool {
        let has_codes = self.field.coded.is_some() || self.field.may_have_codes;
        has_codes && may_use_codes(self.question.effort)
    }

    fn may_code_lazily(&self) -> bool {
        self.field.may_have_codes && may_use_codes(self.question.effort)
    }

    fn accepts(&self, row: u32) -> bool {
        match self.question.allowed {
            Some(rows) => rows.contains(row),
            None => self.segment.sees(row, self.question.at) || planted(Bug::SearchReturnsDeleted),
        }
    }

    /// Orders rows at one distance.
    fn tie(&self, a: u32, b: u32) -> Ordering {
        self.segment.keys.compare(a as usize, b as usize)
    }

    fn is_due(&self) -> bool {
        self.question.stop.is_due()
    }
}
