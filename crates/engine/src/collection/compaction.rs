//! Merging segments: fewer to search, deleted rows gone for good, graphs over what is left.
//!
//! A tier holds segments within a factor of four; four of one tier, or two where the policy is
//! leveled, become one. A
//! segment with more than 30 % dead rows, those that are over among them, is rewritten alone, and one that has grown large enough
//! for a graph and has none is rewritten with it. Readers keep the old segments until they let go.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cairn_env::{Bug, Lane, planted};

use crate::error::{Code, Error, Result};
use crate::keys::Key;
use crate::options::Compaction;
use crate::query::SelectFields;
use crate::schema::VectorField;
use crate::segment::{BuildPlan, GraphPlan, Origin, ReadAhead, RowSource, Segment, build};
use crate::stop::{Job, Pace};
use crate::vectors::GraphConfig;
use crate::view::View;

use super::flush::EnvWorkers;
use super::publish::{Edit, Transfer};
use super::{Collection, Scheduled};

/// Rows of the largest segment of the lowest tier.
const TIER_ROWS: usize = 1_024;
/// Dead rows, of a hundred, above which a segment is rewritten alone.
pub(super) const DEAD_PERCENT: usize = 30;
/// Deletions in segments from which it is worth a flush to let compaction see them.
const BURIED_ROWS_MIN: usize = 4_096;
/// Rows from which a graph answers faster than a scan: at 1,024 rows a scan reads 0.5 MiB at 128
/// dims, about 20 microseconds, which is what a graph takes.
const GRAPH_ROWS_MIN: usize = 1_024;
/// A merge of so many times the rows that have no graph waits until those have one.
const UNINDEXED_FACTOR: usize = 4;
/// Flushes that follow each other within this time are one stream of rows.
const STREAM_PAUSE: Duration = Duration::from_millis(250);
/// Segments that a stream of rows may add before they are merged all the same.
const STREAM_SEGMENTS_MAX: usize = 32;

impl Collection {
    /// Sees to it that the background looks for something to merge.
    pub(super) fn schedule_compaction(self: &Arc<Self>) {
        // What was merged meanwhile may be of an older structure.
        self.schedule_indexes();
        {
            let idle = self.check_open().is_err() || self.plan(&self.view.load()).is_empty();
            let mut backlog = self.backlog.lock();
            if idle || backlog.compaction_scheduled {
                return;
            }
            backlog.compaction_scheduled = true;
        }
        self.spawn(Lane::Background, |this| {
            let compacted = {
                let _until_here = Scheduled(this, |backlog| &mut backlog.compaction_scheduled);
                this.compact_in_background()
            };
            match compacted {
                // A job that merges, or is about to, looks again when it ends.
                Ok(()) if this.compacting.is_locked() || this.is_awaited() => {}
                // What came since the last look found this one still running.
                Ok(()) => this.schedule_compaction(),
                // It is tried again when the next flush ends, not at once.
                Err(error) if error.code() != Code::Aborted => this.note_background_error(&error),
                Err(_) => {}
            }
        });
    }

    fn compact_in_background(self: &Arc<Self>) -> Result<()> {
        // Few threads do this for all collections: none waits for minutes until a job has merged.
        let Some(_one_at_a_time) = self.compacting.try_lock() else {
            return Ok(());
        };
        loop {
            // In this order, and the other way round where a job begins: either it is seen here, or what
            // it sets stays set. Otherwise the two could miss each other, and the job would wait for the
            // lock as long as there is something to merge: as long as writers write.
            self.compaction_cancel.store(false, Ordering::SeqCst);
            if self.is_awaited() {
                return Ok(());
            }
            let mut job = self.background_job();
            job.stop = job.stop.when(Arc::clone(&self.compaction_cancel));
            self.wait_for_pause(&job);
            let view = self.view.load_full();
            let dead = self.dead_segments(&view);
            let inputs = if dead.is_empty() {
                let planned = self.plan(&view);
                self.unindexed_before(&view, &planned).unwrap_or(planned)
            } else {
                dead
            };
            if inputs.is_empty() {
                return Ok(());
            }
            let rate = self.options.compaction_rate_max;
            let pace = rate.map(|rate| Pace::new(Arc::clone(&self.env.clock), rate));
            self.merge(&inputs, pace, &job)?;
        }
    }

    /// Waits while rows stream in: until then the cores are the writers', and what the stream left is
    /// merged once instead of again and again. Segments without a live row cost nothing to remove,
    /// and are not waited with.
    fn wait_for_pause(&self, job: &Job) {
        let most = self.view.load().segments.len() + STREAM_SEGMENTS_MAX;
        let streams = || {
            let flushed_at = Duration::from_millis(self.flushed_at.load(Ordering::Relaxed));
            self.env.clock.now() < flushed_at + STREAM_PAUSE
        };
        while streams() && !job.stop.is_due() {
            let view = self.view.load();
            if view.segments.len() >= most || !self.dead_segments(&view).is_empty() {
                return;
            }
            drop(view);
            self.env.clock.sleep(STREAM_PAUSE / 10);
        }
    }

    /// Segments of which every row is dead, and flushed as such, or over.
    fn dead_segments(&self, view: &View) -> Vec<Arc<Segment>> {
        if self.options.compaction == Compaction::None {
            return Vec::new();
        }
        let at = self.moment(self.flushed_lsn.load(Ordering::Acquire));
        let is_dead = |segment: &&Arc<Segment>| segment.count_gone(at) == segment.rows();
        view.segments.iter().filter(is_dead).cloned().collect()
    }

    /// Merges all segments into one that has no dead rows and every graph it should have.
    pub(super) fn compact_all(self: &Arc<Self>, job: &Job) -> Result<()> {
        let merged = self.merge_all(job);
        // What ran in the background was stopped for this, or found it running; it goes on.
        self.schedule_compaction();
        merged
    }

    fn merge_all(self: &Arc<Self>, job: &Job) -> Result<()> {
        // A merge that runs now would be merged again.
        let _until_the_end = Awaited::of(self);
        self.compaction_cancel.store(true, Ordering::SeqCst);
        let _one_at_a_time = self.compacting.lock();
        let view = self.view.load_full();
        let settled = match &view.segments[..] {
            [] => true,
            [one] => {
                let is_whole = one.count_gone(self.moment(view.lsn)) == 0;
                let is_whole = is_whole && one.has_indexes_stored(&view.structure);
                is_whole && one.tombstones.count() == 0 && !self.lacks_graph(one)
            }
            _ => false,
        };
        if settled {
            return Ok(());
        }
        let mut job = job.clone();
        job.stop = job.stop.when_also(Arc::clone(&self.ending));
        if let Some(first) = self.unindexed_before(&view, &view.segments) {
            let quiet = Job {
                stop: job.stop.clone(),
                ..Job::default()
            };
            self.merge(&first, None, &quiet)?;
        }
        self.merge(&self.view.load_full().segments, None, &job)
    }

    fn is_awaited(&self) -> bool {
        self.compactions_awaited.load(Ordering::SeqCst) > 0
    }

    /// What gets a graph before `inputs` are merged, because that takes much longer: every search
    /// compares with each row that no graph stands over, also all the while that it is built into a
    /// large one. With 20,000 rows of 128 components beside 200,000 a search took four times as long.
    fn unindexed_before(&self, view: &View, inputs: &[Arc<Segment>]) -> Option<Vec<Arc<Segment>>> {
        let rows = |segments: &[Arc<Segment>]| -> usize {
            segments.iter().map(|segment| segment.live()).sum()
        };
        let is_unindexed = |segment: &&Arc<Segment>| self.is_without_graph(segment);
        let unindexed: Vec<_> = view.segments.iter().filter(is_unindexed).cloned().collect();
        let waiting = rows(&unindexed);
        (waiting >= GRAPH_ROWS_MIN && rows(inputs) >= waiting * UNINDEXED_FACTOR)
            .then_some(unindexed)
    }

    /// The segments to merge next; none when all is well.
    fn plan(&self, view: &View) -> Vec<Arc<Segment>> {
        // Segments of one tier that are merged.
        let together = match self.options.compaction {
            Compaction::SizeTiered => 4,
            Compaction::Leveled => 2,
            Compaction::None => return Vec::new(),
        };
        let at = self.moment(self.flushed_lsn.load(Ordering::Acquire));
        let mut tiers: BTreeMap<u32, Vec<Arc<Segment>>> = BTreeMap::new();
        for segment in view.segments.iter() {
            tiers
                .entry(tier_of(segment))
                .or_default()
                .push(Arc::clone(segment));
        }
        for mut tier in tiers.into_values() {
            tier.sort_by_key(|segment| segment.live());
            let mut rows = 0;
            let mut fits = |segment: &Arc<Segment>| {
                rows += segment.live();
                rows <= self.options.segment_rows_max
            };
            tier.truncate(tier.iter().take_while(|it| fits(it)).count());
            if tier.len() >= together {
                return tier;
            }
        }
        let needs_rewrite = |segment: &&Arc<Segment>| {
            // Deletions that are not flushed yet would be kept.
            has_many_dead(segment, segment.count_gone(at))
                // While memtables wait, more segments are coming: a graph now is soon rebuilt.
                || (view.frozen() == 0 && self.lacks_graph(segment))
        };
        let rewritten = view.segments.iter().find(needs_rewrite);
        rewritten.into_iter().cloned().collect()
    }

    pub(super) fn lacks_graph(&self, segment: &Segment) -> bool {
        segment.live() >= GRAPH_ROWS_MIN && self.is_without_graph(segment)
    }

    fn is_without_graph(&self, segment: &Segment) -> bool {
        let mut fields = self.stored().vectors.iter().enumerate();
        fields.any(|(i, field)| !segment.is_indexed(i, field))
    }

    /// Writes the live rows of `inputs` as one segment and publishes it in their place.
    ///
    /// Live at the flushed version, not at the newest: what replaced a row since then may be in an
    /// unsynced log or in memory alone, and after a crash the row would be gone with it. Such rows
    /// are kept, deleted as they were. Rows that are over are left out: no later reader sees them.
    fn merge(
        self: &Arc<Self>,
        inputs: &[Arc<Segment>],
        pace: Option<Pace>,
        job: &Job,
    ) -> Result<()> {
        let lsn = if planted(Bug::MergeTrustsUnflushed) {
            self.view.load().lsn
        } else {
            self.flushed_lsn.load(Ordering::Acquire)
        };
        let at = self.moment(lsn);
        let mut origins = Vec::new();
        for (source, segment) in (0..).zip(inputs) {
            let rows = u32::try_from(segment.rows()).expect("rows are counted in 32 bits");
            let live = (0..rows).filter(|&row| segment.sees(row, at));
            origins.extend(live.map(|row| Origin { source, row }));
        }
        let mut edit = Edit {
            removed: inputs.iter().map(|segment| segment.id).collect(),
            ..Edit::default()
        };
        if !origins.is_empty() {
            let room = || self.room_for_merge(inputs);
            room()?;
            let expected = origins.len();
            let workers = EnvWorkers(&self.env);
            let memory = self.options.memory_budget;
            let config = |field: &VectorField| field.graph(self.id, expected, memory);
            let codes = self.stored().vectors.iter().map(VectorField::quantisation);
            let graphs = (expected >= GRAPH_ROWS_MIN).then(|| GraphPlan {
                configs: self.stored().vectors.iter().map(config).collect(),
                codes: codes.collect(),
                workers: &workers,
            });
            let sources: Vec<InOrder<'_>> = inputs.iter().map(|s| InOrder::new(s)).collect();
            let sources: Vec<&dyn RowSource> = sources.iter().map(|s| s as _).collect();
            let structure = self.structures.newest();
            let (env, dir, schema) = (&self.env, &self.dirs.segments, &structure.stored);
            let plan = BuildPlan {
                graphs,
                pace,
                compression: self.options.compression,
                unindexed: &structure.unindexed,
                room: Some(&room),
            };
            let built = build(env, dir, self.id, schema, &sources, origins, &plan, job)?;
            if built.origins.len() != expected {
                return Err(Error::new(Code::Internal, "a merge lost rows"));
            }
            let inputs = inputs.to_vec();
            let transfer: Transfer =
                Box::new(move |merged| transfer_deletions(&inputs, lsn, merged));
            edit.added = Some((built.entry, transfer));
        }
        self.publish_edit(edit)
    }

    /// A merge is as large as its inputs and the graphs that they have not, and what it keeps on the disk
    /// meanwhile, and must leave what flushes need.
    fn room_for_merge(&self, inputs: &[Arc<Segment>]) -> Result<()> {
        let files: u64 = inputs.iter().map(|segment| segment.entry.file.bytes).sum();
        let graphs = self.graph_bytes_missing(inputs) + self.scratch_bytes(inputs);
        let reserve = self.reserve_bytes(&self.view.load(), &self.core.lock().ledger);
        self.room()
            .take(files.saturating_add(graphs), reserve, &self.dirs.root)
    }

    /// What lists are made from: the vectors once more, and the codes.
    fn scratch_bytes(&self, inputs: &[Arc<Segment>]) -> u64 {
        let rows: usize = inputs.iter().map(|segment| segment.live()).sum();
        if rows < GRAPH_ROWS_MIN {
            return 0;
        }
        let memory = self.options.memory_budget;
        let of_field = |shape: &VectorField| match shape.graph(self.id, rows, memory) {
            Some(config @ GraphConfig::Clusters(_)) => {
                shape.row_bytes() + config.row_bytes(shape.width())
            }
            _ => 0,
        };
        let row: usize = self.stored().vectors.iter().map(of_field).sum();
        rows as u64 * row as u64
    }

    /// What the graphs over the rows of those inputs take that have none, about.
    fn graph_bytes_missing(&self, inputs: &[Arc<Segment>]) -> u64 {
        let rows: usize = inputs.iter().map(|segment| segment.live()).sum();
        if rows < GRAPH_ROWS_MIN {
            return 0;
        }
        let of_field = |(field, shape): (usize, &VectorField)| {
            let dim = shape.width();
            let config = shape.graph(self.id, rows, self.options.memory_budget);
            let graph = config.map_or(0, |config| config.row_bytes(dim));
            let codes = shape.quantisation().map_or(0, |it| it.row_bytes(dim));
            let without = inputs.iter().filter(|it| !it.is_indexed(field, shape));
            let rows: usize = without.map(|segment| segment.live()).sum();
            rows as u64 * (graph + codes) as u64
        };
        self.stored().vectors.iter().enumerate().map(of_field).sum()
    }
}

/// A compaction that somebody waits for, until it ends in any way.
struct Awaited<'a>(&'a Collection);

impl<'a> Awaited<'a> {
    fn of(collection: &'a Collection) -> Self {
        collection
            .compactions_awaited
            .fetch_add(1, Ordering::SeqCst);
        Self(collection)
    }
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        self.0.compactions_awaited.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether a flush would let a segment be rewritten: it has many dead rows, not many of them flushed.
/// One that can be rewritten already waits for its merge, and no flush makes that come sooner: a
/// program that overwrites faster than merges run would only leave a heap of small segments. `buried`
/// counts the deletions in segments that are not flushed: a flush for a few of them would cost more
/// than the rows do.
pub(super) fn waits_for_flush(view: &View, buried: usize, flushed_lsn: u64) -> bool {
    let waits = |segment: &Arc<Segment>| {
        has_many_dead(segment, segment.tombstones.count())
            && !has_many_dead(segment, segment.tombstones.count_at(flushed_lsn))
    };
    let is_enough = buried >= BURIED_ROWS_MIN && view.frozen() == 0;
    is_enough && view.segments.iter().any(waits)
}

/// The tier of a segment, from 0: segments of one tier are within a factor of four.
pub(super) fn tier_of(segment: &Segment) -> u32 {
    (segment.live() / TIER_ROWS).max(1).ilog(4)
}

pub(super) fn has_many_dead(segment: &Segment, dead: usize) -> bool {
    dead * 100 > segment.rows() * DEAD_PERCENT
}

/// Deletes in `merged` what was deleted in its inputs after version `lsn`.
fn transfer_deletions(inputs: &[Arc<Segment>], lsn: u64, merged: &Segment) {
    if planted(Bug::CompactionDropsTombstone) {
        return;
    }
    let mut deletions = Vec::new();
    for input in inputs {
        for (row, deleted) in input.tombstones.after(lsn) {
            // A key stands at most once among the rows that were live at `lsn`.
            deletions.extend(merged.row_of(input.key(row)).map(|row| (row, deleted)));
        }
    }
    merged.tombstones.delete_all(deletions);
}

/// A segment as rows for a new one, which takes them in their order.
struct InOrder<'a> {
    segment: &'a Segment,
    ahead: RefCell<ReadAhead>,
}

impl<'a> InOrder<'a> {
    fn new(segment: &'a Segment) -> Self {
        let ahead = RefCell::default();
        Self { segment, ahead }
    }
}

impl RowSource for InOrder<'_> {
    fn with_key(&self, row: u32, f: &mut dyn FnMut(Key<'_>)) {
        f(self.segment.key(row));
    }

    fn version(&self, row: u32) -> u64 {
        self.segment.version(row)
    }

    fn vector(&self, row: u32, field: usize, out: &mut Vec<f32>) -> Result<()> {
        let mut ahead = self.ahead.borrow_mut();
        self.segment.vector_in_order(row, field, &mut ahead, out)
    }

    fn payload(&self, row: u32, out: &mut Vec<u8>) -> Result<()> {
        let mut ahead = self.ahead.borrow_mut();
        self.segment
            .payload_in_order(row, &SelectFields::All, &mut ahead, out)
    }
}
