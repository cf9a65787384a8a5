//! Checking the files of a collection that is open.

use std::sync::Arc;

use cairn_storage::{LogFile, Wal};

use crate::error::Result;
use crate::stop::Job;
use crate::verify::{Checker, Problem, ProblemKind, Report, Unreadable};
use crate::view::View;

use super::Collection;

impl Collection {
    /// Checks every byte of every file of the collection, beside everything else that goes on, and
    /// reports all that is wrong.
    ///
    /// Of a log that is being written, what lies behind its last frame is not looked at; of a
    /// collection that was opened for reading, only its segments are; a note says so, and how many
    /// records are in none of them.
    ///
    /// # Errors
    /// `ERR_CLOSED`, `ERR_ABORTED`, `ERR_IO`.
    pub fn verify(self: &Arc<Self>, job: &Job) -> Result<Report> {
        let mut env = self.env.clone();
        let unreadable = Unreadable::watch(&mut env);
        let mut checker = Checker::new(&env, job, self.stored_bytes());
        self.verify_into(&mut checker)?;
        let mut report = checker.report;
        report.problems.extend(unreadable.problems());
        Ok(report)
    }

    pub(crate) fn verify_into(self: &Arc<Self>, checker: &mut Checker<'_>) -> Result<()> {
        self.check_open()?;
        let view = {
            // No file that counts goes while this is held, and all of these are small but a file of many outcomes.
            let manifest = self.manifest.lock();
            if !self.read_only {
                checker.manifest(&self.dirs.root, self.id)?;
                for entry in &manifest.segments {
                    checker.deletions(&self.dirs.deletions, entry)?;
                }
                if let Some(entry) = &manifest.outcomes {
                    checker.outcomes(&self.dirs.outcomes, entry)?;
                }
            }
            self.view.load_full()
        };
        // Files of segments that are merged away meanwhile stay until their last reader lets go.
        for segment in view.segments.iter() {
            let (entry, schema) = (Some(&segment.entry), Some(self.stored()));
            checker.open_segment(segment.reader(), entry, schema)?;
            checker.report.files += 1;
        }
        if self.read_only {
            checker.report.add(self.unchecked(&view));
            return Ok(());
        }
        self.verify_log(checker)
    }

    /// What a check leaves out that may read and no more: the rest is its writer's to change meanwhile.
    fn unchecked(&self, view: &View) -> Problem {
        let at = self.moment(view.lsn);
        let in_log = view
            .memtables
            .iter()
            .map(|it| it.table.visible(it.rows, at));
        let (in_log, segments) = (in_log.sum::<usize>(), view.segments.len());
        let mut what = format!(
            "opened for reading; segments checked: {segments}; not checked: deletions, manifest, log"
        );
        if in_log > 0 {
            what += &format!("; {in_log} records are in the log alone");
        }
        Problem {
            kind: ProblemKind::Unchecked,
            file: self.dirs.root.clone(),
            section: None,
            offset: 0,
            bytes: 0,
            what,
            records: Some(in_log as u64),
        }
    }

    /// Checks the log as far as it is written now. A file may be released, and taken for another
    /// log, while it is read: what is found in one that is gone by then is nothing.
    fn verify_log(&self, checker: &mut Checker<'_>) -> Result<()> {
        for file in self.log_files() {
            let before = checker.report.clone();
            let from_lsn = self.flushed_lsn.load(std::sync::atomic::Ordering::Acquire);
            // The first file that is there may be above what was flushed when it was listed.
            let from_lsn = from_lsn.max(file.first_lsn.saturating_sub(1));
            let (dir, schema) = (self.wal_dir.as_path(), Some(self.stored()));
            checker.log(dir, self.id, Some(from_lsn), Some(&[file]), schema)?;
            let there = |now: &LogFile| now.first_lsn == file.first_lsn;
            if self.log_files().iter().any(there) {
                checker.report.files += 1;
            } else {
                checker.report = before;
            }
        }
        Ok(())
    }

    fn log_files(&self) -> Vec<LogFile> {
        let core = self.core.lock();
        core.wal.as_ref().map_or_else(Vec::new, Wal::files)
    }

    /// Bytes of segments and of the log, about.
    pub(crate) fn stored_bytes(&self) -> u64 {
        let view = self.view.load();
        let segments = view.segments.iter().map(|segment| segment.entry.file.bytes);
        let log = self.core.lock().wal.as_ref().map_or(0, Wal::bytes);
        segments.sum::<u64>() + log
    }
}
