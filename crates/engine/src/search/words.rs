//! Searches that ask words, or several vectors at once.

use cairn_env::Clock;
use cairn_filter::Bitmap;
use cairn_text::{Bm25, Gathered, Hit, Query, Statistics, Stopped};

use crate::error::{Code, Error, Result};
use crate::limits::{K_MAX, WORDS_BYTES_MAX};
use crate::memtable::WordsOfChunk;
use crate::query::{Highlight, Hits, SearchRequest, Sources, Stage, WordSource};
use crate::segment::Outcome;
use crate::snapshot::Snapshot;
use crate::stop::Stop;
use crate::text::TextFields;
use crate::view::Place;

use super::fuse::{Ranking, fuse};
use super::{Allowed, Candidate, Space, check_answer, hits_bytes, nearer, over, push_hit, stage};

/// Candidates of each source that is fused with others, at least.
const DEPTH_MIN: usize = 100;

/// Sources that were looked at once.
pub(super) struct Asked<'a> {
    pub sources: &'a Sources<'a>,
    /// Where words are asked.
    pub words: Option<Words>,
}

/// Words, read once for all indexes.
pub(super) struct Words {
    pub fields: TextFields,
    pub query: Query,
    /// Places of the fields in which they are marked.
    pub marked: Vec<usize>,
}

impl SearchRequest<'_> {
    /// Whether hits say where words stand.
    pub(super) fn highlights(&self) -> bool {
        let words = self.sources.and_then(|sources| sources.words.as_ref());
        words.is_some_and(|words| words.highlight.is_some())
    }
}

impl Snapshot {
    pub(super) fn check_sources(
        &self,
        request: &SearchRequest<'_>,
        sources: &Sources<'_>,
    ) -> Result<()> {
        let wrong = |what: &str| Err(Error::new(Code::InvalidArgument, what));
        if sources.vectors.is_empty() && sources.words.is_none() {
            return wrong("a search needs a vector or words");
        }
        if !request.shape.is_plain() {
            return wrong("groups, diversity and like are for a search with one vector");
        }
        let mut weights = Vec::new();
        for (at, source) in sources.vectors.iter().enumerate() {
            self.check_query_vector(source.field, source.vector)?;
            let mut before = sources.vectors[..at].iter();
            if before.any(|it| it.field == source.field) {
                return wrong("a vector field is asked twice");
            }
            weights.push(source.weight);
        }
        if let Some(words) = &sources.words {
            weights.push(words.weight);
            if words.words.len() > WORDS_BYTES_MAX {
                return Err(over("text", WORDS_BYTES_MAX, words.words.len()));
            }
        }
        if !weights.iter().all(|it| *it > 0.0 && it.is_finite()) {
            return wrong("weights must be above 0");
        }
        if !(sources.rrf_k >= 0.0 && sources.rrf_k.is_finite()) {
            return wrong("k of a fusion must be at least 0");
        }
        if request.max_distance.is_some() {
            return wrong("only a search for one vector has distances to limit");
        }
        Ok(())
    }

    /// The sources of a request, where it has any.
    pub(super) fn asked<'a>(&self, request: &SearchRequest<'a>) -> Result<Option<Asked<'a>>> {
        let Some(sources) = request.sources else {
            return Ok(None);
        };
        let words = sources.words.as_ref().map(|it| self.read_words(it));
        Ok(Some(Asked {
            sources,
            words: words.transpose()?,
        }))
    }

    fn read_words(&self, source: &WordSource<'_>) -> Result<Words> {
        let structure = &self.view().structure;
        let Some(fields) = TextFields::of(&structure.stored) else {
            let message = "the schema has no field of type text";
            return Err(Error::new(Code::InvalidArgument, message));
        };
        let place = |name: &String| {
            let unknown = || {
                let message = "the schema has no such text field";
                Error::new(Code::InvalidArgument, message).text("field", name.clone())
            };
            fields
                .place(structure.names.stored(name))
                .ok_or_else(unknown)
        };
        let places = |names: &[String]| {
            let places = names.iter().map(place).collect::<Result<Vec<usize>>>();
            places.map(|mut places| {
                places.sort_unstable();
                places.dedup();
                places
            })
        };
        let searched = match source.fields {
            Some(names) => places(names)?,
            None => (0..fields.len()).collect(),
        };
        let marked = match source.highlight {
            None => Vec::new(),
            Some(Highlight::Searched) => searched.clone(),
            Some(Highlight::Named(names)) => places(names)?,
        };
        Ok(Words {
            query: fields.query(source.words, searched),
            marked,
            fields,
        })
    }

    /// Asks all sources, and leaves the best candidates of them together in order.
    pub(super) fn gather_all(
        &self,
        asked: &Asked<'_>,
        request: &SearchRequest<'_>,
        allowed: Option<&[Allowed]>,
        stop: &Stop,
        space: &mut Space,
        hits: &mut Hits,
    ) -> Result<()> {
        let Sources { vectors, rrf_k, .. } = asked.sources;
        let stages = &mut hits.stages;
        if let ([], Some(words)) = (&vectors[..], &asked.words) {
            return self.gather_words(words, request.k, request, allowed, stop, space, stages);
        }
        let k = request.k.clamp(DEPTH_MIN, K_MAX);
        let mut rankings = Vec::new();
        for source in vectors {
            let one = SearchRequest {
                field: source.field,
                vector: source.vector,
                k,
                ..request.clone()
            };
            self.gather(&one, allowed, stop, space, stages)?;
            rankings.push(Ranking {
                weight: source.weight,
                candidates: space.candidates.clone(),
            });
        }
        if let (Some(words), Some(source)) = (&asked.words, &asked.sources.words) {
            self.gather_words(words, k, request, allowed, stop, space, stages)?;
            rankings.push(Ranking {
                weight: source.weight,
                candidates: space.candidates.clone(),
            });
        }
        let view = self.view();
        space.candidates = fuse(&rankings, *rrf_k);
        space.candidates.sort_unstable_by(|a, b| nearer(view, a, b));
        space.candidates.truncate(request.k);
        Ok(())
    }

    /// Puts the hits into the answer, with what is marked in them.
    pub(super) fn collect_all(
        &self,
        asked: &Asked<'_>,
        request: &SearchRequest<'_>,
        candidates: &[Candidate],
        stop: &Stop,
        hits: &mut Hits,
    ) -> Result<()> {
        for candidate in candidates {
            let score = -candidate.distance;
            if request.min_score.is_some_and(|min| score < min) {
                continue;
            }
            // To mark words is to take whole texts apart.
            stop.check()?;
            push_hit(self.view(), &request.select.fields, candidate, score, hits)?;
            if let Some(marked) = &mut hits.highlights {
                self.mark(asked, candidate.place, &mut marked.bytes)?;
                marked.end_row();
                check_answer(hits_bytes(hits))?;
            }
        }
        Ok(())
    }

    /// Asks the words of every part of the view; leaves the `k` best candidates in order.
    ///
    /// Counts of all parts are added up before any is searched, so that each scores as if it held
    /// all records of the view.
    #[expect(
        clippy::too_many_arguments,
        reason = "one question, asked by the search alone"
    )]
    fn gather_words(
        &self,
        words: &Words,
        k: usize,
        request: &SearchRequest<'_>,
        allowed: Option<&[Allowed]>,
        stop: &Stop,
        space: &mut Space,
        stages: &mut Vec<Stage>,
    ) -> Result<()> {
        let view = self.view();
        let at = self.moment();
        let clock = request.explain.then_some(&*self.collection().env().clock);
        let due = || stop.is_due();
        let query = &words.query;
        let candidates = &mut space.candidates;
        candidates.clear();

        let mut segments = Vec::new();
        let stored = view.segments.iter().map(|it| it.words_of(&words.fields));
        let stored: Vec<_> = stored.collect();
        for (segment, words) in view.segments.iter().zip(&stored) {
            let index = segment.text_index(words, stop)?;
            segments.push(stopped(index.gather(query, due), stop)?);
        }
        let memtables = view.memtables.iter();
        let chunks: Vec<Vec<WordsOfChunk>> = memtables.map(|it| it.table.words(it.rows)).collect();
        // What is gathered of a chunk borrows from its first rows, and those from its index.
        let indexes: Vec<_> = chunks.iter().flatten().map(WordsOfChunk::index).collect();
        let firsts = indexes.iter().zip(chunks.iter().flatten());
        let firsts: Vec<_> = firsts.map(|(it, chunk)| it.first(chunk.rows())).collect();
        let gathered = firsts.iter().map(|first| first.gather(query, due));
        let gathered: Vec<Gathered<'_>> = stopped(gathered.collect(), stop)?;
        let mut statistics = Statistics::default();
        for part in segments.iter().chain(&gathered) {
            statistics.merge(part.statistics());
        }

        let mut found = Vec::new();
        let allowed = |source: usize| allowed.and_then(|sources| sources.get(source));
        let mut recent = Vec::new();
        // Writers of the chunk that grows wait for whoever holds its words, and other searches for
        // those writers: they are let go before the segments, which may take long.
        let mut gathered = gathered.into_iter();
        for (index, (memtable, chunks)) in view.memtables.iter().zip(&chunks).enumerate() {
            let since = clock.map(Clock::now);
            let source = view.segments.len() + index;
            let allowed = allowed(source);
            let rows = allowed.map(|it| &it.rows);
            for (chunk, gathered) in chunks.iter().zip(&mut gathered) {
                let searched = chunk.search(gathered, &statistics, k, rows, at, stop, &mut found);
                stopped(searched, stop)?;
                push(candidates, source, &mut found);
            }
            if let (Some(clock), Some(since)) = (clock, since) {
                let spent = clock.now().saturating_sub(since);
                let seen = || memtable.table.visible(memtable.rows, at);
                let outcome = by_words(rows.map_or_else(seen, Bitmap::count));
                recent.push(Stage {
                    source: "memtable".into(),
                    rows: memtable.rows as u64,
                    ..stage(outcome, allowed, spent)
                });
            }
        }
        drop(gathered);
        drop(firsts);
        drop(indexes);
        for (source, (segment, gathered)) in view.segments.iter().zip(segments).enumerate() {
            let since = clock.map(Clock::now);
            let allowed = allowed(source);
            let rows = allowed.map(|it| &it.rows);
            let tie = |a: u32, b: u32| segment.key(a).cmp(&segment.key(b));
            let accept = |row: u32| segment.accepts(row, rows, at);
            let gathered = gathered.ties_by(&tie);
            let bm25 = Bm25::default();
            let searched = gathered.search(&statistics, bm25, k, accept, due, &mut found);
            stopped(searched, stop)?;
            if let (Some(clock), Some(since)) = (clock, since) {
                let spent = clock.now().saturating_sub(since);
                let seen = || segment.rows() - segment.count_gone(at);
                let outcome = by_words(rows.map_or_else(seen, Bitmap::count));
                stages.push(Stage {
                    source: segment.id.to_string(),
                    rows: segment.rows() as u64,
                    ..stage(outcome, allowed, spent)
                });
            }
            push(candidates, source, &mut found);
        }
        stages.append(&mut recent);
        candidates.sort_unstable_by(|a, b| nearer(view, a, b));
        candidates.truncate(k);
        Ok(())
    }
}

fn push(candidates: &mut Vec<Candidate>, source: usize, found: &mut Vec<Hit>) {
    candidates.extend(found.drain(..).map(|hit| Candidate {
        distance: -hit.score,
        place: Place {
            source,
            row: hit.row,
        },
    }));
}

/// What a search of words says of a part: rows that could be returned.
fn by_words(matches: usize) -> Outcome {
    Outcome {
        path: "text",
        matches,
        ef: 0,
        hops: 0,
        distances: 0,
    }
}

/// Why a search of words has no answer.
fn stopped<T>(answer: Result<T, Stopped>, stop: &Stop) -> Result<T> {
    answer.map_err(|Stopped| {
        let aborted = || Error::new(Code::Aborted, "the call was aborted");
        stop.check().err().unwrap_or_else(aborted)
    })
}
