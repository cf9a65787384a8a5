//! Checking recorded versions: their records, and the files that they hold.

use std::collections::BTreeSet;
use std::path::Path;

use cairn_env::{Bug, planted};
use cairn_storage::{check_version, numbered};

use crate::error::Result;
use crate::manifest::Manifest;
use crate::retained::collection_dir;
use crate::schema::Schema;
use crate::segment;
use crate::versions::{self, VersionRecord};

use super::{Checker, Expected};

/// What recorded versions list.
#[derive(Default)]
pub(super) struct Recorded {
    records: Vec<VersionRecord>,
    /// A record cannot be read: nobody knows which files it needs.
    pub unknown: bool,
}

impl Recorded {
    /// What the versions say of a collection.
    fn of(&self, id: u64) -> impl Iterator<Item = (&Schema, &Manifest)> {
        let all = self.records.iter().flat_map(|record| &record.collections);
        all.filter(move |one| one.entry.id == id)
            .map(|one| (&one.entry.schema, &one.manifest))
    }

    /// Whether a version has the collection, or may have it.
    pub fn may_have(&self, id: u64) -> bool {
        self.unknown || self.of(id).next().is_some()
    }

    /// Names of the files of a collection that versions list.
    pub fn files(&self, id: u64) -> BTreeSet<String> {
        let files = self.of(id).flat_map(|(_, manifest)| manifest.files());
        files.map(|file| file.name().to_owned()).collect()
    }
}

impl Checker<'_> {
    /// Checks the records of versions. What they list is remembered, for the checks of collections.
    pub(super) fn records(&mut self, dir: &Path) -> Result<()> {
        let (sub, ext) = (versions::DIR, versions::EXTENSION);
        let names = self.names(&dir.join(sub), |entry| match numbered(&entry.name, ext) {
            Some(_) => Expected::File,
            None if entry.name.ends_with(".tmp") => Expected::Leftover,
            None => Expected::Foreign,
        })?;
        for name in names.unwrap_or_default() {
            let number = numbered(&name, ext).expect("it was one just now");
            self.report.files += 1;
            let body = check_version(self.env, dir, sub, ext, number, self)?;
            let record = match body {
                Some(body) => {
                    self.count(body.len() as u64);
                    self.record(dir, number, &body)?
                }
                None => None,
            };
            match record {
                Some(record) => self.recorded.records.push(record),
                None => self.recorded.unknown = true,
            }
        }
        Ok(())
    }

    fn record(&mut self, dir: &Path, number: u64, body: &[u8]) -> Result<Option<VersionRecord>> {
        if self.is_blind() {
            return Ok(None);
        }
        self.inspect(versions::decode(dir, number, body))
    }

    /// Checks the files of a collection in `root` that versions list and that were not checked so
    /// far.
    pub(super) fn versioned_files(&mut self, root: &Path, id: u64) -> Result<()> {
        let listed: Vec<_> = self
            .recorded
            .of(id)
            .map(|(schema, manifest)| (schema.clone(), manifest.clone()))
            .collect();
        for (schema, manifest) in listed {
            self.files_of(root, &schema, &manifest)?;
        }
        Ok(())
    }

    /// Checks what a version lists and was not checked so far, of a database that is open.
    pub(super) fn version_of(&mut self, dir: &Path, record: &VersionRecord) -> Result<()> {
        for one in &record.collections {
            let root = dir.join(collection_dir(one.entry.id));
            self.files_of(&root, &one.entry.schema, &one.manifest)?;
        }
        Ok(())
    }

    fn files_of(&mut self, root: &Path, schema: &Schema, manifest: &Manifest) -> Result<()> {
        let (segments, deletions) = (root.join("seg"), root.join("del"));
        let forgotten = planted(Bug::VerifyForgetsVersions);
        for entry in manifest.segments.iter().filter(|_| !forgotten) {
            let path = segment::segment_path(&segments, entry.id);
            self.segment(&path, Some(entry), Some(schema))?;
            self.deletions(&deletions, entry)?;
        }
        Ok(())
    }
}
