//! A disk at one moment: what programs see, what is durable, and what is in between.
//!
//! [`State::apply`] is the only way a state changes, so that replaying the log from any earlier
//! state leads to the same place. Clones share everything.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use cairn_env::names_of;

use super::contents::Contents;
use super::log::{Change, Damage, Op, Slot, SyncOutcome};

/// A file or directory, whatever its name is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId(pub(super) u32);

pub(super) const ROOT: NodeId = NodeId(0);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    File(NodeId),
    Dir(NodeId),
}

pub(super) type Names = BTreeMap<Arc<str>, Node>;

#[derive(Clone, Debug)]
pub(super) struct Dir {
    pub(super) live: Arc<Names>,
    pub(super) durable: Arc<Names>,
    /// The directory that holds it now.
    pub(super) parent: NodeId,
}

impl Dir {
    fn empty(parent: NodeId) -> Self {
        Self {
            live: Arc::default(),
            durable: Arc::default(),
            parent,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct File {
    /// What programs read.
    pub(super) live: Contents,
    /// What is durable, before `pending`.
    pub(super) base: Contents,
    /// Changes since `base`, oldest first.
    pub(super) pending: Vec<PendingChange>,
    /// The operation that created it, unless it was there from the start.
    pub(super) born: Option<usize>,
    /// Whether a name leads to it.
    pub(super) linked: bool,
}

#[derive(Clone, Debug)]
pub(super) struct PendingChange {
    pub(super) index: usize,
    pub(super) change: Change,
    pub(super) standing: Standing,
}

/// Where a change that is not part of the durable base stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Waits for a sync.
    Dirty,
    /// A sync failed on it: undecided for good.
    Doomed,
    /// Durable, but younger than a doomed change.
    Synced,
}

/// An operation on names that may or may not survive.
#[derive(Clone, Debug)]
pub(super) struct PendingName {
    pub(super) index: usize,
    /// The slots it sets, together or not at all.
    pub(super) sets: Vec<(Slot, Option<Node>)>,
    /// The directory whose sync makes it durable.
    pub(super) decided_by: NodeId,
    /// Older operations (by index) without which it cannot have happened.
    pub(super) needs: Vec<usize>,
    pub(super) doomed: bool,
}

#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) dirs: BTreeMap<NodeId, Dir>,
    pub(super) files: BTreeMap<NodeId, Arc<File>>,
    pub(super) names: Vec<Arc<PendingName>>,
    pub(super) next: u32,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            dirs: BTreeMap::from([(ROOT, Dir::empty(ROOT))]),
            files: BTreeMap::new(),
            names: Vec::new(),
            next: 1,
        }
    }

    /// Takes one operation, which the caller has found to be possible.
    pub(super) fn apply(&mut self, index: usize, op: &Op) {
        match op {
            Op::Create { at, file } => {
                self.next = self.next.max(file.0 + 1);
                let new = File {
                    born: Some(index),
                    linked: true,
                    ..File::default()
                };
                self.files.insert(*file, Arc::new(new));
                self.set_name(index, at, Some(Node::File(*file)), Vec::new());
            }
            Op::CreateDir { at, dir } => {
                self.next = self.next.max(dir.0 + 1);
                self.dirs.insert(*dir, Dir::empty(at.dir));
                self.set_name(index, at, Some(Node::Dir(*dir)), Vec::new());
            }
            Op::RemoveFile { at } => {
                if let Some(node) = self.look(at) {
                    self.unlink(node);
                }
                self.set_name(index, at, None, Vec::new());
            }
            Op::RemoveDir { at } => {
                let needs = self.emptied_by(at);
                self.set_name(index, at, None, needs);
            }
            Op::Rename { from, to } => self.rename(index, from, to),
            Op::Change { file, change } => self.file_mut(*file).change(index, change),
            Op::SyncData { file, outcome } => self.file_mut(*file).sync(*outcome),
            Op::SyncDir { dir, outcome } => self.sync_dir(*dir, *outcome),
            Op::Damage { file, damage } => self.file_mut(*file).damage(damage),
        }
    }

    /// What stands at `path`.
    pub(super) fn find(&self, path: &Path) -> io::Result<Node> {
        let mut node = Node::Dir(ROOT);
        for name in names_of(path)? {
            let Node::Dir(dir) = node else {
                return Err(io::ErrorKind::NotADirectory.into());
            };
            node = *self.dirs[&dir]
                .live
                .get(name)
                .ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(node)
    }

    pub(super) fn find_file(&self, path: &Path) -> io::Result<NodeId> {
        match self.find(path)? {
            Node::File(id) => Ok(id),
            Node::Dir(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    pub(super) fn find_dir(&self, path: &Path) -> io::Result<NodeId> {
        match self.find(path)? {
            Node::Dir(id) => Ok(id),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// The place of the path's last name, and what is there.
    pub(super) fn slot(&self, path: &Path) -> io::Result<(Slot, Option<Node>)> {
        let name = *names_of(path)?.last().ok_or(io::ErrorKind::InvalidInput)?;
        let dir = self.find_dir(path.parent().unwrap_or(Path::new("")))?;
        let slot = Slot {
            dir,
            name: name.into(),
        };
        let node = self.look(&slot);
        Ok((slot, node))
    }

    pub(super) fn is_empty_dir(&self, dir: NodeId) -> bool {
        self.dirs[&dir].live.is_empty()
    }

    /// Whether `dir` is `ancestor` or lies below it.
    pub(super) fn is_within(&self, dir: NodeId, ancestor: NodeId) -> bool {
        let mut dir = dir;
        loop {
            if dir == ancestor {
                return true;
            }
            if dir == ROOT {
                return false;
            }
            dir = self.dirs[&dir].parent;
        }
    }

    fn look(&self, slot: &Slot) -> Option<Node> {
        self.dirs[&slot.dir].live.get(&slot.name).copied()
    }

    fn file_mut(&mut self, file: NodeId) -> &mut File {
        let file = self.files.get_mut(&file);
        Arc::make_mut(file.expect("files are never forgotten"))
    }

    fn dir_mut(&mut self, dir: NodeId) -> &mut Dir {
        let dir = self.dirs.get_mut(&dir);
        dir.expect("directories are never forgotten")
    }

    fn unlink(&mut self, node: Node) {
        if let Node::File(file) = node {
            self.file_mut(file).linked = false;
        }
    }

    fn rename(&mut self, index: usize, from: &Slot, to: &Slot) {
        let node = self.look(from).expect("the caller has found the source");
        // The target directory has to exist wherever the renamed thing does, or it would be
        // nowhere: so do the operations that put that directory and those above it in place.
        let mut needs = self.emptied_by(to);
        let mut dir = to.dir;
        while dir != ROOT {
            needs.extend(self.names.iter().rev().find_map(|op| {
                let places = |(_, node): &(Slot, Option<Node>)| *node == Some(Node::Dir(dir));
                op.sets.iter().any(places).then_some(op.index)
            }));
            dir = self.dirs[&dir].parent;
        }
        if let Some(replaced) = self.look(to) {
            self.unlink(replaced);
        }
        if let Node::Dir(moved) = node {
            self.dir_mut(moved).parent = to.dir;
        }
        let sets = vec![(from.clone(), None), (to.clone(), Some(node))];
        self.push_name(index, sets, to.dir, needs);
    }

    /// Every undecided operation in the directory at `slot`, if there is one: it can only go
    /// once those have left it empty.
    fn emptied_by(&self, slot: &Slot) -> Vec<usize> {
        let Some(Node::Dir(dir)) = self.look(slot) else {
            return Vec::new();
        };
        self.names
            .iter()
            .filter(|op| op.sets.iter().any(|(slot, _)| slot.dir == dir))
            .map(|op| op.index)
            .collect()
    }

    fn set_name(&mut self, index: usize, at: &Slot, node: Option<Node>, needs: Vec<usize>) {
        self.push_name(index, vec![(at.clone(), node)], at.dir, needs);
    }

    fn push_name(
        &mut self,
        index: usize,
        sets: Vec<(Slot, Option<Node>)>,
        decided_by: NodeId,
        mut needs: Vec<usize>,
    ) {
        for (slot, node) in &sets {
            // One entry of a directory changes in order.
            needs.extend(self.names.iter().rev().find_map(|op| {
                let touches = op.sets.iter().any(|(other, _)| other == slot);
                touches.then_some(op.index)
            }));
            set(&mut self.dir_mut(slot.dir).live, slot, *node);
        }
        needs.sort_unstable();
        needs.dedup();
        self.names.push(Arc::new(PendingName {
            index,
            sets,
            decided_by,
            needs,
            doomed: false,
        }));
    }

    fn sync_dir(&mut self, dir: NodeId, outcome: SyncOutcome) {
        match outcome {
            SyncOutcome::Lied => {}
            SyncOutcome::Failed => {
                for op in &mut self.names {
                    if op.decided_by == dir {
                        Arc::make_mut(op).doomed = true;
                    }
                }
            }
            SyncOutcome::Done => self.make_durable(dir),
        }
    }

    /// Makes what `dir` decides durable, together with all it needs.
    fn make_durable(&mut self, dir: NodeId) {
        let mut synced: Vec<usize> = Vec::new();
        // Youngest first: what an operation needs is older.
        for op in self.names.iter().rev() {
            let own = op.decided_by == dir && !op.doomed;
            if own || synced.contains(&op.index) {
                synced.push(op.index);
                synced.extend(&op.needs);
            }
        }
        synced.sort_unstable();
        let (done, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.names)
            .into_iter()
            .partition(|op| synced.binary_search(&op.index).is_ok());
        self.names = left;
        for op in done {
            for (slot, node) in &op.sets {
                set(&mut self.dir_mut(slot.dir).durable, slot, *node);
            }
        }
    }
}

/// Sets one entry of a directory.
pub(super) fn set(names: &mut Arc<Names>, slot: &Slot, node: Option<Node>) {
    let names = Arc::make_mut(names);
    match node {
        Some(node) => names.insert(Arc::clone(&slot.name), node),
        None => names.remove(&slot.name),
    };
}

impl File {
    fn change(&mut self, index: usize, change: &Change) {
        let old_len = self.live.len();
        let blank = match change {
            Change::Write { bytes, .. } => bytes.is_empty(),
            Change::SetLen(len) => *len == old_len,
            Change::Preallocate(len) => *len <= old_len,
        };
        apply_change(&mut self.live, change);
        if blank {
            // Reserved blocks are nobody's promise after a crash.
            return;
        }
        self.pending.push(PendingChange {
            index,
            change: change.clone(),
            standing: Standing::Dirty,
        });
    }

    fn sync(&mut self, outcome: SyncOutcome) {
        match outcome {
            SyncOutcome::Lied => {}
            SyncOutcome::Failed => self.promote_dirty(Standing::Doomed),
            SyncOutcome::Done if self.pending.iter().all(|c| c.standing == Standing::Dirty) => {
                self.base = self.live.clone();
                self.pending.clear();
            }
            SyncOutcome::Done => self.promote_dirty(Standing::Synced),
        }
    }

    fn promote_dirty(&mut self, standing: Standing) {
        for change in &mut self.pending {
            if change.standing == Standing::Dirty {
                change.standing = standing;
            }
        }
    }

    fn damage(&mut self, damage: &Damage) {
        match damage {
            Damage::FlipBit { byte, bit } => self.live.flip(*byte, *bit),
            Damage::Truncate(len) => self.live.set_len(*len),
            Damage::Replace(bytes) => {
                self.live = Contents::default();
                self.live.write(0, bytes);
            }
        }
        self.base = self.live.clone();
        self.pending.clear();
    }
}

pub(super) fn apply_change(contents: &mut Contents, change: &Change) {
    match change {
        Change::Write { offset, bytes } => contents.write(*offset, bytes),
        Change::SetLen(len) => contents.set_len(*len),
        Change::Preallocate(len) => contents.preallocate(*len),
    }
}

/// The bytes whose value `change` decides, in a file of `old_len` bytes.
pub(super) fn touched(change: &Change, old_len: u64) -> Range<u64> {
    match change {
        Change::Write { offset, bytes } => *offset..*offset + bytes.len() as u64,
        // What is cut off reads as zeros if the file grows again.
        Change::SetLen(len) => *len..old_len.max(*len),
        Change::Preallocate(_) => 0..0,
    }
}
