//! The tests of this crate in one program, so that they are linked once: a file for each subject. What needs a
//! process of its own is a program beside this one.

#[path = "../common/mod.rs"]
mod common;

mod encrypted;
mod fail_points;
mod golden_v1;
mod header_fields;
mod lock_second_is_refused;
mod manifest_damage;
mod manifest_publish_atomic;
mod planted_bugs;
mod segment_bit_flips;
mod segment_hostile;
mod segment_survives_power_loss;
mod segment_unknown_sections;
mod wal_crash_images;
mod wal_damaged_middle;
mod wal_every_call_fails;
mod wal_failed_sync_poisons;
mod wal_follower;
mod wal_recycled_file;
mod wal_repeated_recovery;
mod wal_torn_tail;
mod wal_zero_tail;
