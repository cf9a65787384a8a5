//! Checking a database that is open.

use crate::catalog::CatalogEntry;
use crate::database::{Database, logs_dir};
use crate::error::{Code, Result};
use crate::stop::Job;
use crate::versions::VersionId;

use super::{Checker, Report, Unreadable};

impl Database {
    /// Checks every byte of every file, beside everything else that goes on, and reports all that is
    /// wrong. A collection that could not be opened is checked as its files lie. Of a database that was
    /// opened for reading only open segments are checked; notes say so, and how many records are in none.
    ///
    /// # Errors
    /// `ERR_CLOSED`, `ERR_ABORTED`, `ERR_IO`.
    pub fn verify(&self, job: &Job) -> Result<Report> {
        let (catalog, open) = {
            let state = self.state()?;
            let opened = |entry: &CatalogEntry| (entry.clone(), state.share(entry.id));
            let entries = state.catalog.collections.iter();
            (
                state.catalog.clone(),
                entries.map(opened).collect::<Vec<_>>(),
            )
        };
        let shared = || open.iter().filter_map(|(_, opened)| opened.as_ref().ok());
        let sizes = shared().map(|collection| collection.stored_bytes());
        let total = sizes.fold(0, u64::saturating_add);
        let mut env = self.env.clone();
        let unreadable = Unreadable::watch(&mut env);
        let mut checker = Checker::new(&env, job, total);
        {
            let state = self.state()?;
            // A reader's catalog is its writer's to replace.
            if !state.is_reader() {
                checker.root(&self.dir, &catalog, state.catalog.version)?;
            }
        }
        for (entry, opened) in &open {
            match opened {
                Ok(collection) => {
                    let before = checker.report.clone();
                    let checked = collection.verify_into(&mut checker);
                    self.unless_dropped(collection, checked)?;
                    if collection.check_open().is_err() {
                        // It was dropped meanwhile, and so were its files.
                        drop(self.state()?);
                        checker.report = before;
                    }
                }
                Err(_) => {
                    let logs = logs_dir(&catalog);
                    checker.collection(
                        &self.root_of(entry.id),
                        entry.id,
                        Some(&entry.schema),
                        logs,
                    )?;
                }
            }
            job.stop.check()?;
        }
        if !self.state()?.is_reader() {
            self.verify_versions(&mut checker)?;
        }
        let mut report = checker.report;
        report.problems.extend(unreadable.problems());
        Ok(report)
    }

    /// Checks the recorded versions and what they alone hold. One that is dropped meanwhile is nothing.
    fn verify_versions(&self, checker: &mut Checker<'_>) -> Result<()> {
        for info in self.versions()? {
            checker.report.files += 1;
            match self.pin(&VersionId::Lsn(info.version)) {
                Ok(pinned) => checker.version_of(&self.dir, &pinned.record)?,
                Err(error) if error.code() == Code::NotFound => {}
                Err(error) => {
                    let gone = !self.versions()?.iter().any(|it| it.version == info.version);
                    if !gone {
                        checker.inspect::<()>(Err(error))?;
                    }
                }
            }
            checker.job.stop.check()?;
        }
        Ok(())
    }
}
