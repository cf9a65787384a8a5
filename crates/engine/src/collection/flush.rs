//! Turning frozen memtables into segments, so that their log can go.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cairn_env::{Bug, Env, Lane, planted};

use crate::error::{Code, Error, Result};
use crate::keys::Key;
use crate::memtable::Memtable;
use crate::query::SelectFields;
use crate::segment::{BuildPlan, Origin, RowSource, build};
use crate::space::Flush;
use crate::stop::Job;
use crate::view::MemtableView;

use super::publish::{Edit, Transfer};
use super::{Collection, Scheduled};

impl Collection {
    /// Sees to it that frozen memtables are flushed some time soon.
    pub(super) fn schedule_flush(self: &Arc<Self>) {
        {
            // Once poisoned, no flush can be published.
            let idle = self.view.load().frozen() == 0 || self.core.lock().is_poisoned();
            let mut backlog = self.backlog.lock();
            if idle || backlog.flush_scheduled {
                return;
            }
            backlog.flush_scheduled = true;
        }
        self.spawn(Lane::Commit, |this| {
            let flushed = {
                let _until_here = Scheduled(this, |backlog| &mut backlog.flush_scheduled);
                this.flush_through(u64::MAX)
            };
            match flushed {
                Ok(()) => {
                    // What froze since the last look found this one still running.
                    this.schedule_flush();
                    this.schedule_compaction();
                }
                // The writer that needs the room tries again, and hears why it has none.
                Err(error) => this.note_background_error(&error),
            }
        });
    }

    /// Flushes everything written so far and waits for it.
    pub(super) fn flush_now(self: &Arc<Self>) -> Result<()> {
        let lsn = {
            let mut core = self.core.lock();
            core.writable()?;
            self.freeze(&mut core)?;
            self.view.load().lsn
        };
        self.flush_through(lsn)
    }

    /// Makes every acknowledged write durable: by a sync when the log has them all, else by a
    /// flush.
    pub(super) fn make_durable(self: &Arc<Self>) -> Result<u64> {
        // Read first: what is written to memory alone meanwhile is not covered.
        let (covered, unlogged) = {
            let view = self.view.load();
            let mut memtables = view.memtables.iter();
            let unlogged = memtables.any(|m| m.table.is_unlogged());
            (view.lsn, unlogged && !planted(Bug::CommitForgetsMemory))
        };
        if unlogged {
            self.flush_now()
                .inspect_err(|error| self.note_background_error(error))?;
            // Segments of a few rows each would add up.
            self.schedule_compaction();
        }
        self.core.lock().writable()?.sync()?;
        Ok(covered)
    }

    /// Flushes what was frozen at `lsn` or before; writers that go on are not waited for.
    pub(super) fn flush_through(self: &Arc<Self>, lsn: u64) -> Result<()> {
        while self.flush_oldest(lsn)? {}
        Ok(())
    }

    /// Flushes the oldest memtable, if it was frozen at `through` or before, or waits for the
    /// flush that runs; whether there was one.
    pub(super) fn flush_oldest(self: &Arc<Self>, through: u64) -> Result<bool> {
        let _one_at_a_time = self.flushing.lock();
        let view = self.view.load_full();
        let oldest = view.memtables.first().expect("a view has a memtable");
        let Some(lsn) = oldest.frozen_at.filter(|&lsn| lsn <= through) else {
            return Ok(false);
        };
        self.core.lock().writable()?;
        self.flush_one(oldest, lsn)?;
        Ok(true)
    }

    /// Writes the rows of `memtable` that are live at `lsn`, its last version, and now, as a segment
    /// without a graph, and publishes it in the memtable's place.
    fn flush_one(self: &Arc<Self>, memtable: &MemtableView, lsn: u64) -> Result<()> {
        let table = Arc::clone(&memtable.table);
        let mut origins = Vec::with_capacity(memtable.rows);
        table.for_each_visible(memtable.rows, self.moment(lsn), |row, _| {
            origins.push(Origin { source: 0, row });
        });
        let mut added = None;
        if !origins.is_empty() {
            // The log holds these rows, so ending early loses nothing; rows that no log holds
            // are flushed to their end.
            let job = if table.is_unlogged() {
                Job::default()
            } else {
                self.background_job()
            };
            let structure = self.structures.newest();
            let built = build(
                &self.env,
                &self.dirs.segments,
                self.id,
                &structure.stored,
                &[&MemtableRows(&table)],
                origins,
                &BuildPlan {
                    compression: self.options.compression,
                    unindexed: &structure.unindexed,
                    ..BuildPlan::default()
                },
                &job,
            )?;
            let origins = built.origins;
            let from = Arc::clone(&table);
            let transfer: Transfer = Box::new(move |segment| {
                if planted(Bug::FlushDropsDeletion) {
                    return;
                }
                let moved = |(new, origin): (u32, &Origin)| {
                    from.deleted_by(origin.row).map(|deleted| (new, deleted))
                };
                let deletions = (0..).zip(&origins).filter_map(moved).collect();
                segment.tombstones.delete_all(deletions);
            });
            added = Some((built.entry, transfer));
        }
        self.publish_edit(Edit {
            added,
            flushed: Some((table, lsn)),
            ..Edit::default()
        })?;
        let now = u64::try_from(self.env.clock.now().as_millis()).unwrap_or(u64::MAX);
        self.flushed_at.store(now, Ordering::Relaxed);
        Ok(())
    }
}

impl Flush for Collection {
    /// For whoever needs the memory, in another collection it may be.
    fn flush(self: Arc<Self>) -> Result<()> {
        let flushed = catch_unwind(AssertUnwindSafe(|| self.flush_now()));
        let flushed = flushed.unwrap_or_else(|_| {
            // A bug, and this collection's own: it ends here, as when its writer panics.
            self.core.lock().poisoned = true;
            Err(Error::new(Code::Internal, "a flush panicked"))
        });
        if let Err(error) = &flushed {
            self.note_background_error(error);
            if self.core.lock().is_poisoned() {
                // What it has stays until it is reopened, and nobody gains by asking again.
                self.unflushed.set(0);
            }
        } else {
            self.schedule_compaction();
        }
        flushed
    }
}

/// A memtable as rows for a segment.
struct MemtableRows<'a>(&'a Memtable);

impl RowSource for MemtableRows<'_> {
    fn with_key(&self, row: u32, f: &mut dyn FnMut(Key<'_>)) {
        self.0.with_key(row, f);
    }

    fn version(&self, row: u32) -> u64 {
        self.0.version(row)
    }

    fn vector(&self, row: u32, field: usize, out: &mut Vec<f32>) -> Result<()> {
        self.0
            .with_vector(row, field, |vector| out.extend_from_slice(vector));
        Ok(())
    }

    fn payload(&self, row: u32, out: &mut Vec<u8>) -> Result<()> {
        self.0.payload(row, &SelectFields::All, out)
    }
}

/// How long a worker that gives way waits before it asks again.
const NAP: Duration = Duration::from_millis(2);

/// The environment's threads as an index build wants them.
pub(super) struct EnvWorkers<'a>(pub &'a Env);

impl cairn_index::Workers for EnvWorkers<'_> {
    fn run(&self, work: &(dyn Fn(usize) + Sync)) {
        self.0.threads.run(self.0.threads.parallelism(), work);
    }

    /// The last of several leaves its core to searches while there are any.
    fn gives_way(&self, worker: usize) -> bool {
        let is_spare = worker > 0 && worker + 1 == self.0.threads.parallelism();
        let gives_way = is_spare && self.0.threads.is_serving();
        if gives_way {
            self.0.clock.sleep(NAP);
        }
        gives_way
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use cairn_env::{Task, Threads};
    use cairn_index::Workers;

    use super::*;

    struct Pool {
        workers: usize,
        serves: AtomicBool,
    }

    impl Threads for Pool {
        fn spawn(&self, _lane: Lane, task: Task) {
            task();
        }

        fn parallelism(&self) -> usize {
            self.workers
        }

        fn run(&self, workers: usize, work: &(dyn Fn(usize) + Sync)) {
            (0..workers).for_each(work);
        }

        fn is_serving(&self) -> bool {
            self.serves.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn the_last_of_several_workers_gives_way_while_there_are_searches() {
        for workers in 1..4 {
            let pool = Arc::new(Pool {
                workers,
                serves: AtomicBool::new(true),
            });
            let env = Env {
                threads: Arc::clone(&pool) as Arc<dyn Threads>,
                ..Env::memory(1)
            };
            let polite = || -> Vec<usize> {
                let all = 0..workers;
                all.filter(|&it| EnvWorkers(&env).gives_way(it)).collect()
            };
            let last: Vec<usize> = (1..workers).skip(workers.saturating_sub(2)).collect();
            assert_eq!(polite(), last);
            pool.serves.store(false, Ordering::Relaxed);
            assert!(polite().is_empty());
        }
    }
}
