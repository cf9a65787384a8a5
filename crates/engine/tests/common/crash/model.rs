//! What batches do, what was promised when, and so what a crash may leave behind.
//!
//! Time is the disk's count of operations. A collection's records are its `base` and the batches
//! since, in the order of their versions. After a crash the engine may be at any version `v` from
//! the last one promised to the last one begun; all logged batches up to it are there whole. Of
//! the batches in memory alone, those up to some flush are there, and none after it.

use std::collections::BTreeMap;

use cairn_engine::{Code, Durability, KeyBuf, KeyType, Result, WriteKind, WriteResult};

use super::data::{Planned, Rec, Row, State};

/// Which operation count a crash is taken at, and what dies with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The process: the kernel keeps what it was handed.
    Process,
    /// The machine.
    Power,
}

/// A value that changes as time goes on.
#[derive(Clone, Debug)]
pub struct Steps(Vec<(usize, u64)>);

impl Steps {
    fn from(value: u64) -> Self {
        Self(vec![(0, value)])
    }

    fn rise(&mut self, at: usize, value: u64) {
        if value > self.at(usize::MAX) {
            self.0.push((at, value));
        }
    }

    fn at(&self, at: usize) -> u64 {
        let after = self.0.partition_point(|(ops, _)| *ops <= at);
        self.0[after - 1].1
    }
}

/// One batch that changed something, or may have.
#[derive(Clone, Debug)]
struct Batch {
    started: usize,
    version: u64,
    logged: bool,
    changes: Vec<(KeyBuf, Option<Rec>)>,
}

impl std::fmt::Display for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (started, version) = (self.started, self.version);
        let how = if self.logged { "logged" } else { "in memory" };
        write!(f, "{version} {how}, begun at={started}:")?;
        for (key, rec) in &self.changes {
            let what = if rec.is_some() { "put" } else { "removed" };
            write!(f, " {key:?} {what}")?;
        }
        Ok(())
    }
}

/// A batch that was taken in and not answered yet.
#[derive(Debug)]
pub struct Ticket {
    planned: Planned,
    started: usize,
    effect: Result<Effect, Code>,
}

/// One collection.
#[derive(Clone, Debug)]
pub struct Collection {
    /// Which [`super::data::schema`] it has.
    pub kind: usize,
    pub key_type: KeyType,
    base: State,
    base_version: u64,
    batches: Vec<Batch>,
    /// All acknowledged batches applied.
    pub live: State,
    /// All batches taken in applied, as long as some are outstanding.
    expected: State,
    outstanding: usize,
    /// One of those outstanding failed: what the others found there is not what was expected.
    shaken: bool,
    /// Survives power loss.
    synced: Steps,
    /// Survives the process.
    handed_over: Steps,
    /// Up to here batches in memory survive power loss, too.
    complete: Steps,
}

impl Collection {
    pub fn new(kind: usize, key_type: KeyType, base: State, version: u64) -> Self {
        Self {
            kind,
            key_type,
            live: base.clone(),
            expected: base.clone(),
            outstanding: 0,
            shaken: false,
            base,
            base_version: version,
            batches: Vec::new(),
            synced: Steps::from(version),
            handed_over: Steps::from(version),
            complete: Steps::from(version),
        }
    }

    /// The last version acknowledged or possible.
    pub fn version(&self) -> u64 {
        self.batches
            .last()
            .map_or(self.base_version, |batch| batch.version)
    }

    /// Takes in a batch that is about to be written: works out what it will do. Batches happen in
    /// the order in which they are taken in.
    pub fn submitted(&mut self, planned: Planned, started: usize) -> Ticket {
        if self.outstanding == 0 {
            self.expected.clone_from(&self.live);
            self.shaken = false;
        }
        self.outstanding += 1;
        let effect = effect(&planned, &self.expected);
        if let Ok(effect) = &effect {
            for (key, rec) in &effect.changes {
                set(&mut self.expected, key, rec.clone());
            }
        }
        Ticket {
            planned,
            started,
            effect,
        }
    }

    /// Takes in what the engine answered.
    ///
    /// # Errors
    /// Why that is not the right answer.
    pub fn answered(
        &mut self,
        ticket: Ticket,
        now: usize,
        answer: &Result<WriteResult>,
    ) -> Result<(), String> {
        self.outstanding -= 1;
        let Ticket {
            planned,
            started,
            effect,
        } = ticket;
        let wrong = |expected| Err(format!("{planned:?}: got {answer:?}, expected {expected}"));
        let (result, effect) = match (answer, effect) {
            (Ok(result), Ok(effect)) => (result, effect),
            (Err(error), Err(code)) if error.code() == code => return Ok(()),
            (_, expected) => return wrong(format!("{expected:?}")),
        };
        let (inserted, updated) = (result.inserted, result.updated);
        let counts = (inserted, updated, result.deleted, result.skipped);
        if counts != effect.counts && !self.shaken {
            return wrong(format!("{:?}", effect.counts));
        }
        if effect.changes.is_empty() {
            return Ok(());
        }
        if result.version <= self.version() {
            return wrong(format!("a version above {}", self.version()));
        }
        self.began(&planned, started, result.version, effect.changes);
        let last = self.batches.last().expect("the batch begun above");
        for (key, rec) in &last.changes {
            set(&mut self.live, key, rec.clone());
        }
        self.acknowledged(planned.durability, now, result.version);
        Ok(())
    }

    /// Takes in a batch that failed: it did not happen, or, with a version, may have.
    pub fn failed(&mut self, ticket: Ticket, version: Option<u64>) {
        self.outstanding -= 1;
        self.shaken = true;
        if let (Some(version), Ok(effect)) = (version, ticket.effect) {
            self.began(&ticket.planned, ticket.started, version, effect.changes);
        }
    }

    fn began(
        &mut self,
        planned: &Planned,
        started: usize,
        version: u64,
        mut changes: Vec<(KeyBuf, Option<Rec>)>,
    ) {
        for (_, rec) in &mut changes {
            if let Some(rec) = rec {
                rec.version = version;
            }
        }
        self.batches.push(Batch {
            started,
            version,
            logged: planned.durability != Durability::Memory,
            changes,
        });
    }

    fn acknowledged(&mut self, durability: Durability, now: usize, version: u64) {
        if durability >= Durability::Os {
            self.handed_over.rise(now, version);
        }
        if durability >= Durability::Sync {
            self.synced.rise(now, version);
        }
    }

    /// Everything up to `version` survives power loss from now on.
    pub fn made_durable(&mut self, now: usize, version: u64) {
        for steps in [&mut self.synced, &mut self.handed_over, &mut self.complete] {
            steps.rise(now, version);
        }
    }

    /// Checks that records found at `version` after a loss at operation `at` are among those that
    /// may be found.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn allows(&self, found: &State, version: u64, at: usize, loss: Loss) -> Result<(), String> {
        let promised = match loss {
            Loss::Power => self.synced.at(at),
            Loss::Process => self.handed_over.at(at),
        };
        if version < promised {
            return Err(format!("version {version} of {promised} acknowledged"));
        }
        let begun: Vec<&Batch> = self
            .batches
            .iter()
            .filter(|batch| batch.started <= at && batch.version <= version)
            .collect();
        let last = begun.last().map_or(self.base_version, |b| b.version);
        if last != version {
            return Err(format!(
                "version {version} was never begun, the last before is {last}"
            ));
        }
        let complete = self.complete.at(at);
        let in_memory = begun.iter().filter(|batch| !batch.logged);
        let bounds = [complete].into_iter().chain(
            in_memory
                .map(|batch| batch.version)
                .filter(|&version| version > complete),
        );
        let mut nearest: Option<String> = None;
        for bound in bounds {
            let mut state = self.base.clone();
            for batch in begun.iter().filter(|b| b.logged || b.version <= bound) {
                for (key, rec) in &batch.changes {
                    set(&mut state, key, rec.clone());
                }
            }
            if state == *found {
                return Ok(());
            }
            nearest.get_or_insert_with(|| difference(&state, found));
        }
        let batches: Vec<String> = begun.iter().map(|batch| batch.to_string()).collect();
        Err(format!(
            "at version {version}, {promised} promised, {complete} complete: {}; batches:\n  {}",
            nearest.unwrap_or_default(),
            batches.join("\n  ")
        ))
    }
}

fn set(state: &mut State, key: &KeyBuf, rec: Option<Rec>) {
    match rec {
        Some(rec) => state.insert(key.clone(), rec),
        None => state.remove(key),
    };
}

/// The first record in which two states differ.
pub fn difference(expected: &State, found: &State) -> String {
    let keys: std::collections::BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    for key in keys {
        let (expected, found) = (expected.get(key), found.get(key));
        if expected != found {
            return format!("{key:?} is {found:?}, expected {expected:?}");
        }
    }
    String::from("no difference")
}

/// What a batch does.
#[derive(Debug)]
struct Effect {
    changes: Vec<(KeyBuf, Option<Rec>)>,
    /// Inserted, updated, deleted, skipped.
    counts: (u64, u64, u64, u64),
}

fn effect(planned: &Planned, live: &State) -> Result<Effect, Code> {
    if let Some(version) = planned.if_version {
        for row in &planned.rows {
            if live.get(&row.key).map_or(0, |rec| rec.version) != version {
                return Err(Code::ConditionFailed);
            }
        }
    }
    let mut changed: BTreeMap<KeyBuf, Option<Rec>> = BTreeMap::new();
    let mut skipped = 0;
    for row in &planned.rows {
        let before = live.get(&row.key);
        let after = match planned.kind {
            WriteKind::Add if before.is_some() || changed.contains_key(&row.key) => {
                return Err(Code::AlreadyExists);
            }
            WriteKind::Add | WriteKind::Upsert => Some(whole(row)),
            WriteKind::Delete | WriteKind::Update { .. } if before.is_none() => {
                if let WriteKind::Update {
                    skip_missing: false,
                    ..
                } = planned.kind
                {
                    return Err(Code::NotFound);
                }
                skipped += 1;
                continue;
            }
            WriteKind::Delete => None,
            WriteKind::Update { replace_fields, .. } => {
                let merged = changed.get(&row.key).cloned().flatten();
                let merged = merged.or_else(|| before.cloned());
                let mut rec = merged.expect("a record that is there");
                merge(&mut rec, row, planned, replace_fields);
                Some(rec)
            }
        };
        changed.insert(row.key.clone(), after);
    }
    let is_new = |key: &KeyBuf| !live.contains_key(key);
    let (mut inserted, mut updated, mut deleted) = (0, 0, 0);
    for (key, rec) in &changed {
        match rec {
            None => deleted += 1,
            Some(_) if is_new(key) => inserted += 1,
            Some(_) => updated += 1,
        }
    }
    Ok(Effect {
        changes: changed.into_iter().collect(),
        counts: (inserted, updated, deleted, skipped),
    })
}

fn whole(row: &Row) -> Rec {
    let vectors = row.vectors.iter().cloned();
    Rec {
        version: 0,
        fields: row.fields.clone().unwrap_or_default(),
        vectors: vectors
            .map(|vector| vector.expect("whole records have vectors"))
            .collect(),
    }
}

fn merge(rec: &mut Rec, row: &Row, planned: &Planned, replace: bool) {
    for (slot, vector) in rec.vectors.iter_mut().zip(&row.vectors) {
        if let Some(vector) = vector {
            slot.clone_from(vector);
        }
    }
    // A batch in which some row has fields has empty ones for the others.
    let any = planned.rows.iter().any(|row| row.fields.is_some());
    if replace {
        rec.fields.clear();
    }
    if any {
        rec.fields.extend(row.fields.clone().unwrap_or_default());
    }
}

/// Which collections there are, by name, as model numbers.
pub type Names = BTreeMap<String, usize>;

/// Everything that was promised about one database since its disk was found.
#[derive(Debug)]
pub struct World {
    pub collections: Vec<Collection>,
    /// Begun after so many operations, done after so many (never, if it failed).
    catalogs: Vec<(usize, usize, Names)>,
    /// The list that counts while the database is open.
    names: Names,
}

impl World {
    pub fn new(collections: Vec<Collection>, names: Names) -> Self {
        Self {
            collections,
            catalogs: vec![(0, 0, names.clone())],
            names,
        }
    }

    pub fn names(&self) -> &Names {
        &self.names
    }

    /// A list of collections that was begun at `started` and is promised from `now` on.
    pub fn catalog(&mut self, started: usize, now: usize, names: Names) {
        self.names.clone_from(&names);
        self.catalogs.push((started, now, names));
    }

    /// A list of collections that was begun at `started` and failed. It may be found after a
    /// restart, and it `counts` already or not.
    pub fn catalog_failed(&mut self, started: usize, names: Names, counts: bool) {
        if counts {
            self.names.clone_from(&names);
        }
        self.catalogs.push((started, usize::MAX, names));
    }

    /// The lists that may be found after a crash at operation `at`.
    pub fn names_at(&self, at: usize) -> Vec<&Names> {
        let done = self.catalogs.iter().rposition(|(_, done, _)| *done <= at);
        self.catalogs[done.expect("the first one is done")..]
            .iter()
            .filter(|(started, _, _)| *started <= at)
            .map(|(_, _, names)| names)
            .collect()
    }
}
