//! Bugs planted on purpose, and who must find them.
//!
//! A suite that stays green while a rule of the engine is broken proves nothing about that rule.
//! So each suite that is named here runs itself once more for each of its bugs, with `CAIRN_BUG`
//! set, and expects to fail.

use std::process::{Command, Stdio};
use std::time::Duration;

use cairn_env::{Bug, Clock, OsClock};

/// A bug, and the suite and test that find it.
pub const FOUND_BY: [(Bug, &str, &str); 69] = [
    (Bug::SkipWalSync, IMAGES, POWER),
    (Bug::SkipDirSync, IMAGES, POWER),
    (Bug::RenameBeforeSync, IMAGES, POWER),
    (Bug::ReplayStopsEarly, IMAGES, POWER),
    (Bug::ChecksumSkipsHeader, DAMAGE, LAST_WRITE),
    (Bug::RetryFailedSync, FAULTS, SYNCS),
    (Bug::CompactionDropsTombstone, IMAGES, POWER),
    (Bug::RemoveWalEarly, IMAGES, POWER),
    (Bug::SkipSegmentSync, IMAGES, POWER),
    (Bug::SplitBatch, IMAGES, POWER),
    (Bug::SkipDamagedFrame, DAMAGE, BITS),
    (Bug::IgnoreBlockChecksum, DAMAGE, BITS),
    (Bug::ForgetsIdempotencyKey, REPEATED, ONCE),
    (Bug::ReaderShowsUnsynced, READERS, LOOK),
    (Bug::ReaderMixesVersions, READERS, LOOK),
    (Bug::ReaderForgetsDeletion, READERS, LOOK),
    (Bug::ReusesNonce, ENCRYPTION, NONCES),
    (Bug::WalInClear, ENCRYPTION, READABLE),
    (Bug::GarbageIgnoresVersions, VERSIONS, VERSIONED),
    (Bug::VerifySkipsPadding, CHECKS, FILLINGS),
    (Bug::AgesByWallClock, CLOCKS, WINDOW),
    (Bug::DropTakesShared, VERSIONS, VERSIONED),
    (Bug::CopySkipsSync, BACKUPS, BACKED_UP),
    (Bug::BackupBeforeFiles, BACKUPS, BACKED_UP),
    (Bug::PruneTakesShared, BACKUPS, BACKED_UP),
    (Bug::RestoreUnmarked, BACKUPS, CUT_SHORT),
    (Bug::VerifyStopsAtFirst, CHECKS, EVERY_PLACE),
    (Bug::VerifySkipsLastSection, CHECKS, UNLISTED),
    (Bug::VerifyForgetsVersions, CHECKS, FLIPS),
    (Bug::RepairKeepsDamaged, REPAIRS, LEFT),
    (Bug::RepairKeepsDoubtful, REPAIRS, NOTHING_BACK),
    (Bug::StatsCountDeadAsLive, DOCTORS, COUNTED),
    (Bug::AnswersBeforeSync, ORDERS, SYNCED),
    (Bug::ShowsBeforeSync, ORDERS, FAILED),
    (Bug::LosesWakeUp, ORDERS, LED),
    (Bug::CloseDoesNotWait, ORDERS, CLOSED),
    (Bug::RemovesPinnedSegment, ORDERS, PINNED),
    (Bug::ForgetsLateDeletion, ORDERS, PINNED),
    (Bug::PoisonedLogAccepts, ORDERS, FAILED),
    (Bug::IgnoresManifestChecksum, DAMAGE, BITS),
    (Bug::VersionsRepeat, IMAGES, POWER),
    (Bug::DeleteMissesSegment, IMAGES, POWER),
    (Bug::RecycledLogKeepsId, IMAGES, POWER),
    (Bug::SearchReturnsDeleted, IMAGES, POWER),
    (Bug::ForgetsKeysEarly, KEYS, REMEMBERED),
    (Bug::IgnoresCondition, IMAGES, POWER),
    (Bug::LockIsShared, CALLS, SECOND),
    (Bug::LockOutlivesClose, CALLS, KEPT),
    (Bug::SearchReadsNewestView, ORDERS, PINNED),
    (Bug::CommitForgetsMemory, IMAGES, POWER),
    (Bug::MergeTrustsUnflushed, IMAGES, POWER),
    (Bug::AcceptsWhileClosing, ORDERS, BESIDE),
    (Bug::FlushDropsDeletion, IMAGES, POWER),
    (Bug::CacheMixesSegments, FIELDS, OWN_FIELDS),
    (Bug::CacheKeepsClosedSegments, FIELDS, GOES_WITH),
    (Bug::OrderForgetsKey, ORDERED, SORTED),
    (Bug::GroupsStopEarly, SHAPES, DOMINATED),
    (Bug::WordsFindDeleted, WORDS, GONE),
    (Bug::RecallAsksForWhatIsStored, QUALITY, UNSEEN),
    (Bug::HalvesCutOff, KINDS, STORED),
    (Bug::SegmentForgetsExpiry, EXPIRED, OVER),
    (Bug::PrefixTakesNext, TENANTS, APART),
    (Bug::MapsUnchecked, MAPPED, UNCHECKED),
    (Bug::IgnoresCutMapping, MAPPED, CUT),
    (Bug::SparseIndexLosesEntry, SPARSE, EXACT),
    (Bug::MultiVectorForgetsLastVector, MULTI, LATE),
    (Bug::AltersBeforePublishing, ALTERED, UNCHANGED),
    (Bug::BudgetIsEachOnesOwn, PRESSURE, ONE_BUDGET),
    (Bug::QuantisedGraphReturnsDeleted, QUANTISED, TOMBSTONES),
];

const IMAGES: &str = "crash_images";
const DAMAGE: &str = "damage_files";
const FAULTS: &str = "fault_every_call";
const REPEATED: &str = "crash_idempotency";
const ENCRYPTION: &str = "encryption";
const ORDERS: &str = "interleavings";
const KEYS: &str = "idempotency";
const CALLS: &str = "close_and_errors";
const READERS: &str = "live_reader";
const CHECKS: &str = "verify_directory";
const CLOCKS: &str = "clock_jumps";
const REPAIRS: &str = "repair";
const DOCTORS: &str = "doctor";
const FIELDS: &str = "stored_fields";
const ORDERED: &str = "ordered_scan";
const SHAPES: &str = "shaped_search";
const WORDS: &str = "words";
const QUALITY: &str = "quality";
const KINDS: &str = "vector_kinds";
const SPARSE: &str = "sparse";
const MULTI: &str = "multi";
const EXPIRED: &str = "expiry";
const TENANTS: &str = "tenants";
const MAPPED: &str = "memory_map";
const ALTERED: &str = "alter_beside";
const PRESSURE: &str = "back_pressure";
const QUANTISED: &str = "quantised_graph";

const VERSIONS: &str = "versions_crash";

const BACKUPS: &str = "backup_crash";

const VERSIONED: &str = "a_recorded_version_is_whole_wherever_power_is_lost";
const BACKED_UP: &str = "a_backup_is_whole_and_exact_wherever_power_is_lost";
const CUT_SHORT: &str = "a_restore_that_was_killed_leaves_nothing_that_opens_as_complete";
const POWER: &str = "nothing_acknowledged_is_lost_wherever_power_is";
const LAST_WRITE: &str = "a_damaged_last_write_is_missing_or_exact";
const BITS: &str = "no_bit_anywhere_can_turn_around_unnoticed";
const LOOK: &str = "a_look_in_the_middle_of_anything_sees_one_durable_version";
const NONCES: &str = "equal_records_do_not_look_equal";
const READABLE: &str = "nothing_that_was_written_is_readable_in_any_file_at_any_moment";
const EVERY_PLACE: &str = "every_damaged_place_is_told";
const FLIPS: &str = "a_flipped_bit_in_any_sector_is_found";
const UNLISTED: &str = "without_a_manifest_every_section_is_checked_all_the_same";
const OWN_FIELDS: &str = "each_record_has_its_own_fields_from_the_cache_and_after_a_reopen";
const GOES_WITH: &str = "blocks_leave_the_cache_with_their_segment";
const SORTED: &str =
    "a_scan_in_the_order_of_a_field_is_a_naive_sort_and_resumes_exactly_behind_its_last_record";
const DOMINATED: &str = "there_are_k_groups_even_where_one_has_nearly_all_records";
const GONE: &str = "a_deleted_record_is_never_found_and_an_older_snapshot_still_finds_it";
const UNSEEN: &str = "stored_records_are_asked_for_as_if_they_were_not";
const STORED: &str = "a_search_is_exact_over_what_is_stored";
const EXACT: &str = "a_search_of_sparse_vectors_is_a_look_at_every_record";
const LATE: &str = "a_search_of_several_vectors_is_a_look_at_every_record";
const APART: &str = "a_tenant_never_sees_the_record_of_another";
const OVER: &str = "whatever_happens_exactly_what_is_not_over_is_seen";
const UNCHECKED: &str = "no_bit_of_a_vector_turns_around_unnoticed_before_it_is_mapped";
const UNCHANGED: &str = "a_change_that_failed_has_changed_nothing";
const CUT: &str = "a_mapped_segment_that_is_cut_fails_the_search_and_not_the_process";
const TOMBSTONES: &str = "deleted_records_are_walked_through_and_never_found";
const ONE_BUDGET: &str = "all_collections_stay_inside_one_budget";
const LEFT: &str = "a_damaged_block_is_left_behind";
const NOTHING_BACK: &str = "versions_are_told_and_bring_nothing_back";
const COUNTED: &str = "figures_equal_what_is_counted_otherwise";
const FILLINGS: &str = "filling_that_is_not_zero_is_found";
const SYNCED: &str = "a_write_is_answered_after_its_sync_and_seen_by_whoever_knows_of_it";
const FAILED: &str = "a_group_whose_sync_failed_is_never_seen_and_nothing_is_taken_after_it";
const PINNED: &str = "what_a_snapshot_pins_stays_and_what_is_deleted_meanwhile_stays_deleted";
const CLOSED: &str = "close_waits_for_everything_and_nothing_happens_after_it";
const LED: &str = "a_batch_is_left_to_somebody_whenever_it_comes";
const BESIDE: &str = "what_is_acknowledged_while_a_collection_closes_is_kept";
const REMEMBERED: &str = "a_key_is_remembered_for_the_window_and_no_longer";
const SECOND: &str = "a_second_writer_is_told_who_has_the_directory";
const KEPT: &str = "a_writer_waits_for_the_lock_as_long_as_it_was_told";
const SYNCS: &str = "an_io_error_at_every_sync";
const WINDOW: &str = "no_jump_backwards_forgets_a_key_before_its_window";
const ONCE: &str = "a_keyed_write_happens_once_wherever_power_is_lost";

/// A bug that takes longer to find is not found.
const PATIENCE: Duration = Duration::from_secs(60);

/// What `--exact` calls `test` of the file that is `module`, its `module_path!()`.
pub fn exact(module: &str, test: &str) -> String {
    match module.split_once("::") {
        Some((_, inside)) => format!("{inside}::{test}"),
        None => test.to_owned(),
    }
}

/// Runs tests of the file that is `module`, its `module_path!()`, with each of its bugs planted,
/// and expects them to fail.
pub fn expect_all_found(module: &str) {
    let suite = module.rsplit("::").next().expect("the last part");
    let mine = FOUND_BY.iter().filter(|(_, by, _)| *by == suite);
    let mut missed = Vec::new();
    for (bug, _, test) in mine {
        let clock = OsClock::new();
        match fails_with(*bug, &exact(module, test)) {
            Some(why) => println!(
                "planted bug {bug:?}: found by {suite}::{test} in {:.1} s: {why}",
                clock.now().as_secs_f64()
            ),
            None => missed.push(*bug),
        }
    }
    assert!(missed.is_empty(), "not found by {suite}: {missed:?}");
}

/// Why `test` of this program fails with `bug` planted; `None` if it does not.
fn fails_with(bug: Bug, test: &str) -> Option<String> {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("CAIRN_BUG", format!("{bug:?}"))
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this program runs again");
    let errors = child.stderr.take().expect("a pipe");
    let (status, text) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| std::io::read_to_string(errors).expect("text"));
        let clock = OsClock::new();
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child") {
                break Some(status);
            }
            if clock.now() > PATIENCE {
                child.kill().expect("a child");
                child.wait().expect("a child that was killed");
                break None;
            }
            clock.sleep(Duration::from_millis(5));
        };
        (status, reader.join().expect("a reader"))
    });
    if status.is_none_or(|status| status.success()) {
        return None;
    }
    // The line behind the first "panicked at" is the suite's own.
    let mut lines = text
        .lines()
        .skip_while(|line| !line.contains("panicked at"));
    let why = lines.nth(1).unwrap_or("it panicked");
    Some(why.chars().take(160).collect())
}
