//! Threads, snapshots and whole lives of a database in a small program of its own, so that they are quickly
//! compiled with every access to memory watched as well: `scripts/sanitizers.mjs`.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common;

#[path = "suite/reopen.rs"]
mod reopen;
#[path = "suite/snapshot_isolation.rs"]
mod snapshot_isolation;
#[path = "suite/threads_hammer.rs"]
mod threads_hammer;
