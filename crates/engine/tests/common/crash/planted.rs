//! Bugs planted on purpose, and who must find them.
//!
//! A suite that stays green while a rule of the engine is broken proves nothing about that rule.
//! So each suite that is named here runs itself once more for each of its bugs, with `CAIRN_BUG`
//! set, and expects to fail.

use std::process::{Command, Stdio};
use std::time::Duration;

use cairn_env::{Bug, Clock, OsClock};

/// A bug, and the suite and test that find it.
pub const FOUND_BY: [(Bug, &str, &str); 52] = [
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
];

pub const IMAGES: &str = "crash_images";
pub const DAMAGE: &str = "damage_files";
pub const FAULTS: &str = "fault_every_call";
pub const REPEATED: &str = "crash_idempotency";
pub const ENCRYPTION: &str = "encryption";
pub const ORDERS: &str = "interleavings";
pub const KEYS: &str = "idempotency";
pub const CALLS: &str = "close_and_errors";
pub const READERS: &str = "live_reader";
pub const CHECKS: &str = "verify_directory";
pub const CLOCKS: &str = "clock_jumps";
pub const REPAIRS: &str = "repair";
pub const DOCTORS: &str = "doctor";

pub const VERSIONS: &str = "versions_crash";

pub const BACKUPS: &str = "backup_crash";

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

/// Runs the tests of `suite`, this one, with each of its bugs planted, and expects them to fail.
pub fn expect_all_found(suite: &str) {
    let mine = FOUND_BY.iter().filter(|(_, by, _)| *by == suite);
    let mut missed = Vec::new();
    for (bug, _, test) in mine {
        let clock = OsClock::new();
        match fails_with(*bug, test) {
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
