//! The tests of this crate in one program, so that they are linked once: a file for each subject. What needs a
//! process of its own is a program beside this one.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/crash/mod.rs"]
mod crash;
#[path = "../common/documents.rs"]
mod documents;
#[path = "../common/forge.rs"]
mod forge;
#[path = "../common/looks.rs"]
mod looks;
#[path = "../common/mixed.rs"]
mod mixed;
#[path = "../common/rest.rs"]
mod rest;
#[path = "../common/searched.rs"]
mod searched;

mod alter;
mod alter_beside;
mod backup;
mod backup_crash;
mod backup_fields;
mod backup_targets;
mod clock_jumps;
mod close_and_errors;
mod clusters;
mod codes;
mod compaction;
mod compaction_beside_writers;
mod compaction_cost;
mod compaction_quality;
mod crash_every_subset;
mod crash_idempotency;
mod crash_images;
mod crash_kill_points;
mod damage_files;
mod doctor;
mod durability_levels;
mod encrypted_backups;
mod encryption;
mod expiry;
mod facets_and_figures;
mod failed_steps;
mod fault_every_call;
mod filtered_search;
mod foreign_files;
mod free_space;
mod golden_v1;
mod hostile_columns;
mod idempotency;
mod limits;
mod manifest_statistics;
mod model_random;
mod multi;
mod odd_files;
mod ordered_scan;
mod planted_bugs;
mod poisoned;
mod quality;
mod quantised_codes;
mod quantised_graph;
mod read_only;
mod repair;
mod scan_resumes;
mod search_contract;
mod search_times;
mod shaped_search;
mod sparse;
mod statistics_equal_count;
mod stored_fields;
mod tenants;
mod unwritable_files;
mod vector_kinds;
mod verify_directory;
mod versions;
mod versions_crash;
mod versions_model;
mod words;
mod words_index;
mod write_matching;
mod write_semantics;
