//! Crash images: the disks that may be found after power was lost.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::SimDisk;
use super::choice::{Choice, Fate};
use super::contents::Contents;
use super::enumerate::Images;
use super::log::Change;
use super::state::{
    Dir, File, Names, Node, NodeId, PendingChange, ROOT, Standing, State, apply_change, set,
    touched,
};

/// Whole writes merge with what shares their sectors at the finest size there is.
const MERGE_SECTOR: u32 = 512;

/// A disk at the moment power is lost: what is durable, and a list of operations that may or
/// may not be. Images cost little; preparing the point costs a replay of at most a few dozen
/// operations.
#[derive(Debug)]
pub struct CrashPoint {
    at: usize,
    state: Arc<State>,
    ops: Vec<Undecided>,
    /// Where the pending operations on names stand in `ops`, in their order.
    names: Vec<usize>,
    files: BTreeMap<NodeId, Vec<Step>>,
}

#[derive(Debug)]
struct Undecided {
    /// Its number in the log.
    index: usize,
    /// Positions of older undecided operations without which it cannot have happened.
    needs: Vec<usize>,
    write: Option<WriteShape>,
}

#[derive(Clone, Debug)]
pub(super) struct WriteShape {
    pub(super) range: Range<u64>,
    /// Whether it made the file longer.
    pub(super) grows: bool,
    /// Whether it begins before the old end.
    pub(super) overwrites: bool,
}

/// One pending change of a file.
#[derive(Debug)]
struct Step {
    /// Its position among the undecided operations; `None`: durable, behind an undecided one.
    position: Option<usize>,
    touched: Range<u64>,
    /// The file as the cache held it after this change and all before it.
    after: Contents,
    sets_len: Option<u64>,
}

impl CrashPoint {
    pub(super) fn new(at: usize, state: Arc<State>) -> Self {
        let files = reachable_files(&state);
        let mut point = Self {
            at,
            ops: undecided(&state, &files),
            names: Vec::new(),
            files: BTreeMap::new(),
            state: Arc::clone(&state),
        };
        let positions: BTreeMap<usize, usize> = point
            .ops
            .iter()
            .enumerate()
            .map(|(position, op)| (op.index, position))
            .collect();
        for op in &state.names {
            let position = positions[&op.index];
            let known = op.needs.iter().filter_map(|index| positions.get(index));
            point.ops[position].needs = known.copied().collect();
            point.names.push(position);
        }
        for id in files {
            let file = &state.files[&id];
            if !file.pending.is_empty() {
                let steps = point.plan(file, &positions);
                point.files.insert(id, steps);
            }
        }
        point
    }

    /// How many operations have happened.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }

    /// How many of them are undecided.
    #[must_use]
    pub fn undecided(&self) -> usize {
        self.ops.len()
    }

    /// A disk as `choice` leaves it.
    #[must_use]
    pub fn image(&self, choice: &mut Choice) -> SimDisk {
        self.build(&choice.decide(self))
    }

    /// Like [`CrashPoint::image`], with a record of what was decided.
    #[must_use]
    pub fn recorded_image(&self, choice: &mut Choice) -> CrashImage {
        self.record(choice.decide(self))
    }

    /// See [`SimDisk::enumerate_images`].
    #[must_use]
    pub fn enumerate(self: &Arc<Self>, max_undecided: usize) -> Images {
        Images::new(Arc::clone(self), max_undecided)
    }

    pub(super) fn write(&self, position: usize) -> Option<&WriteShape> {
        self.ops[position].write.as_ref()
    }

    pub(super) fn needs(&self, position: usize) -> &[usize] {
        &self.ops[position].needs
    }

    /// Loses what cannot have happened without something that is lost.
    pub(super) fn make_possible(&self, fates: &mut [Fate]) {
        for (position, op) in self.ops.iter().enumerate() {
            if op.needs.iter().any(|&need| fates[need] == Fate::Lost) {
                fates[position] = Fate::Lost;
            }
        }
    }

    pub(super) fn is_possible(&self, fates: &[Fate]) -> bool {
        self.ops.iter().zip(fates).all(|(op, fate)| {
            *fate == Fate::Lost || op.needs.iter().all(|&need| fates[need] != Fate::Lost)
        })
    }

    pub(super) fn record(&self, fates: Vec<Fate>) -> CrashImage {
        CrashImage {
            disk: self.build(&fates),
            at: self.at,
            fates: self.ops.iter().map(|op| op.index).zip(fates).collect(),
        }
    }

    /// Replays the pending changes of `file` and fills in what they need.
    fn plan(&mut self, file: &File, positions: &BTreeMap<usize, usize>) -> Vec<Step> {
        let mut after = file.base.clone();
        let mut last_cut = None;
        let mut steps = Vec::with_capacity(file.pending.len());
        for PendingChange { index, change, .. } in &file.pending {
            let old_len = after.len();
            apply_change(&mut after, change);
            let new_len = after.len();
            let position = positions.get(index).copied();
            if let Some(position) = position {
                let op = &mut self.ops[position];
                op.needs
                    .extend(file.born.and_then(|born| positions.get(&born)));
                op.needs.extend(last_cut);
                if let Change::Write { offset, bytes } = change {
                    op.write = Some(WriteShape {
                        range: *offset..*offset + bytes.len() as u64,
                        grows: new_len > old_len,
                        overwrites: *offset < old_len,
                    });
                }
                if new_len < old_len {
                    last_cut = Some(position);
                }
            }
            steps.push(Step {
                position,
                touched: touched(change, old_len),
                after: after.clone(),
                sets_len: (new_len != old_len).then_some(new_len),
            });
        }
        steps
    }

    /// The disk that `fates`, which are possible together, leave behind.
    fn build(&self, fates: &[Fate]) -> SimDisk {
        let mut changed = self.changed_names(fates);
        let mut image = State {
            dirs: BTreeMap::new(),
            files: BTreeMap::new(),
            names: Vec::new(),
            next: self.state.next,
        };
        let mut to_visit = vec![(ROOT, ROOT)];
        while let Some((id, parent)) = to_visit.pop() {
            let names = changed
                .remove(&id)
                .unwrap_or_else(|| Arc::clone(&self.state.dirs[&id].durable));
            for node in names.values() {
                match *node {
                    Node::Dir(inner) => to_visit.push((inner, id)),
                    Node::File(file) => {
                        image.files.insert(file, self.file(file, fates));
                    }
                }
            }
            let dir = Dir {
                live: Arc::clone(&names),
                durable: names,
                parent,
            };
            image.dirs.insert(id, dir);
        }
        SimDisk::from_state(image)
    }

    /// The names in each directory that are other than the durable ones.
    fn changed_names(&self, fates: &[Fate]) -> BTreeMap<NodeId, Arc<Names>> {
        let mut changed = BTreeMap::new();
        for (op, &position) in self.state.names.iter().zip(&self.names) {
            if fates[position] == Fate::Lost {
                continue;
            }
            for (slot, node) in &op.sets {
                let durable = || Arc::clone(&self.state.dirs[&slot.dir].durable);
                set(changed.entry(slot.dir).or_insert_with(durable), slot, *node);
            }
        }
        changed
    }

    fn file(&self, id: NodeId, fates: &[Fate]) -> Arc<File> {
        let file = &self.state.files[&id];
        let Some(steps) = self.files.get(&id) else {
            // Nothing pending. Share the whole if nothing in it is about the old log.
            if file.linked && file.born.is_none() {
                return Arc::clone(file);
            }
            return settled(file.base.clone());
        };
        let mut contents = file.base.clone();
        let mut len = contents.len();
        for step in steps {
            let fate = step
                .position
                .map_or(&Fate::Kept, |position| &fates[position]);
            match fate {
                Fate::Lost => {}
                Fate::Kept => {
                    contents.take(&step.after, aligned(&step.touched, MERGE_SECTOR));
                    len = step.sets_len.unwrap_or(len);
                }
                Fate::Torn(tear) => {
                    for (sector, range) in sectors(&step.touched, tear.sector_bytes).enumerate() {
                        if tear.kept.get(sector) == Some(&true) {
                            contents.take(&step.after, range);
                        }
                    }
                    if tear.length {
                        len = step.sets_len.unwrap_or(len);
                    }
                }
            }
        }
        contents.finish(len);
        settled(contents)
    }
}

/// A file that is on the disk as it is.
fn settled(contents: Contents) -> Arc<File> {
    Arc::new(File {
        live: contents.clone(),
        base: contents,
        linked: true,
        ..File::default()
    })
}

/// The undecided operations, oldest first, their needs still empty.
fn undecided(state: &State, files: &BTreeSet<NodeId>) -> Vec<Undecided> {
    let names = state.names.iter().map(|op| op.index);
    let changes = files.iter().flat_map(|id| {
        let pending = &state.files[id].pending;
        let open = pending.iter().zip(forced(pending));
        open.filter(|(_, forced)| !forced)
            .map(|(change, _)| change.index)
    });
    let mut indices: Vec<usize> = names.chain(changes).collect();
    indices.sort_unstable();
    indices
        .into_iter()
        .map(|index| Undecided {
            index,
            needs: Vec::new(),
            write: None,
        })
        .collect()
}

/// Which pending changes are durable: the synced ones, and lengths set before synced ones.
fn forced(pending: &[PendingChange]) -> Vec<bool> {
    let mut synced_behind = false;
    let mut forced: Vec<bool> = pending
        .iter()
        .rev()
        .map(|change| {
            let sets_len = matches!(change.change, Change::SetLen(_));
            synced_behind |= change.standing == Standing::Synced;
            change.standing == Standing::Synced || (sets_len && synced_behind)
        })
        .collect();
    forced.reverse();
    forced
}

/// Files that some image may hold.
fn reachable_files(state: &State) -> BTreeSet<NodeId> {
    let durable = state.dirs.values().flat_map(|dir| dir.durable.values());
    let sets = state.names.iter().flat_map(|op| &op.sets);
    let pending = sets.filter_map(|(_, node)| node.as_ref());
    durable
        .chain(pending)
        .filter_map(|node| match node {
            Node::File(id) => Some(*id),
            Node::Dir(_) => None,
        })
        .collect()
}

/// The sectors that `range` touches.
pub(super) fn sectors(range: &Range<u64>, sector_bytes: u32) -> impl Iterator<Item = Range<u64>> {
    let size = u64::from(sector_bytes);
    let aligned = aligned(range, sector_bytes);
    (aligned.start / size..aligned.end / size).map(move |n| n * size..(n + 1) * size)
}

fn aligned(range: &Range<u64>, sector_bytes: u32) -> Range<u64> {
    let size = u64::from(sector_bytes);
    range.start / size * size..range.end.next_multiple_of(size)
}

/// A disk after a crash, and what the crash decided. Printed, it says how to get the same
/// image again.
#[derive(Debug)]
pub struct CrashImage {
    /// The disk as found afterwards; its own log is empty.
    pub disk: SimDisk,
    at: usize,
    fates: Vec<(usize, Fate)>,
}

impl CrashImage {
    /// How many operations had happened.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }

    /// The choice that leads to this image.
    #[must_use]
    pub fn choice(&self) -> Choice {
        Choice::fates(self.fates.iter().map(|(_, fate)| fate.clone()).collect())
    }
}

impl fmt::Display for CrashImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "crash after {} operations:", self.at)?;
        for (index, fate) in &self.fates {
            write!(f, " #{}={fate}", index + 1)?;
        }
        Ok(())
    }
}
