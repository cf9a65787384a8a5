//! What happened to a disk, in order.

use std::fmt;
use std::sync::Arc;

use super::state::NodeId;

/// An operation that changed something, or tried to make a change durable.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Create {
        at: Slot,
        file: NodeId,
    },
    CreateDir {
        at: Slot,
        dir: NodeId,
    },
    RemoveFile {
        at: Slot,
    },
    RemoveDir {
        at: Slot,
    },
    Rename {
        from: Slot,
        to: Slot,
    },
    Change {
        file: NodeId,
        change: Change,
    },
    SyncData {
        file: NodeId,
        outcome: SyncOutcome,
    },
    SyncDir {
        dir: NodeId,
        outcome: SyncOutcome,
    },
    /// The medium changed under the file system; what was there counts as synced.
    Damage {
        file: NodeId,
        damage: Damage,
    },
}

/// A place for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) dir: NodeId,
    pub(super) name: Arc<str>,
}

/// A change of a file's bytes or length.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { offset: u64, bytes: Arc<[u8]> },
    SetLen(u64),
    Preallocate(u64),
}

/// What a sync did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SyncOutcome {
    /// What it promises.
    Done,
    /// Nothing, and said it had.
    Lied,
    /// Nothing, and said so. What it should have written is no longer dirty: later syncs
    /// pass it by.
    Failed,
}

#[derive(Clone, Debug)]
pub(super) enum Damage {
    FlipBit { byte: u64, bit: u8 },
    Truncate(u64),
    Replace(Arc<[u8]>),
}

/// An operation with the path it was called with.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) op: Op,
    pub(super) path: Arc<str>,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match &self.op {
            Op::Create { .. } => write!(f, "create {path}"),
            Op::CreateDir { .. } => write!(f, "create_dir {path}"),
            Op::RemoveFile { .. } => write!(f, "remove_file {path}"),
            Op::RemoveDir { .. } => write!(f, "remove_dir {path}"),
            Op::Rename { to, .. } => write!(f, "rename {path} to=.../{}", to.name),
            Op::Change { change, .. } => match change {
                Change::Write { offset, bytes } => {
                    write!(f, "write {path} offset={offset} bytes={}", bytes.len())
                }
                Change::SetLen(len) => write!(f, "set_len {path} len={len}"),
                Change::Preallocate(len) => write!(f, "preallocate {path} len={len}"),
            },
            Op::SyncData { outcome, .. } => write!(f, "sync_data {path} {outcome:?}"),
            Op::SyncDir { outcome, .. } => write!(f, "sync_dir {path} {outcome:?}"),
            Op::Damage { damage, .. } => match damage {
                Damage::FlipBit { byte, bit } => write!(f, "flip {path} byte={byte} bit={bit}"),
                Damage::Truncate(len) => write!(f, "truncate {path} len={len}"),
                Damage::Replace(bytes) => write!(f, "replace {path} bytes={}", bytes.len()),
            },
        }
    }
}
