//! Each rule of this crate can be broken on purpose (`--features planted-bugs`,
//! `CAIRN_BUG=<name>`), and then a test here must fail. This table says which; whoever builds
//! with the feature runs the test in the second column and expects it to fail.

use std::path::Path;

use cairn_env::{Bug, Disk, OsDisk};

/// A planted bug, and a test file that must see it.
const WATCHED: [(Bug, &str); 15] = [
    (Bug::SkipWalSync, "wal_crash_images"),
    (Bug::SkipDirSync, "manifest_publish_atomic"),
    (Bug::RenameBeforeSync, "manifest_publish_atomic"),
    (Bug::ReplayStopsEarly, "wal_torn_tail"),
    (Bug::ChecksumSkipsHeader, "wal_damaged_middle"),
    (Bug::RetryFailedSync, "wal_failed_sync_poisons"),
    (Bug::SkipSegmentSync, "segment_survives_power_loss"),
    (Bug::SkipDamagedFrame, "wal_damaged_middle"),
    (Bug::IgnoreBlockChecksum, "segment_bit_flips"),
    (Bug::ReaderShowsUnsynced, "wal_follower"),
    (Bug::ReusesNonce, "encrypted"),
    (Bug::WalInClear, "encrypted"),
    (Bug::IgnoresManifestChecksum, "manifest_damage"),
    (Bug::RecycledLogKeepsId, "wal_recycled_file"),
    (Bug::LockIsShared, "lock_second_is_refused"),
];

/// Those of rules that the engine keeps.
const ELSEWHERE: [Bug; 54] = [
    Bug::QuantisedGraphReturnsDeleted,
    Bug::BudgetIsEachOnesOwn,
    Bug::SparseIndexLosesEntry,
    Bug::MultiVectorForgetsLastVector,
    Bug::AltersBeforePublishing,
    Bug::MapsUnchecked,
    Bug::IgnoresCutMapping,
    Bug::HalvesCutOff,
    Bug::SegmentForgetsExpiry,
    Bug::PrefixTakesNext,
    Bug::OrderForgetsKey,
    Bug::GroupsStopEarly,
    Bug::WordsFindDeleted,
    Bug::RecallAsksForWhatIsStored,
    Bug::CacheMixesSegments,
    Bug::CacheKeepsClosedSegments,
    Bug::CompactionDropsTombstone,
    Bug::RemoveWalEarly,
    Bug::SplitBatch,
    Bug::ForgetsIdempotencyKey,
    Bug::ReaderMixesVersions,
    Bug::ReaderForgetsDeletion,
    Bug::GarbageIgnoresVersions,
    Bug::VerifySkipsPadding,
    Bug::AgesByWallClock,
    Bug::DropTakesShared,
    Bug::CopySkipsSync,
    Bug::BackupBeforeFiles,
    Bug::PruneTakesShared,
    Bug::RestoreUnmarked,
    Bug::VerifyStopsAtFirst,
    Bug::VerifySkipsLastSection,
    Bug::VerifyForgetsVersions,
    Bug::RepairKeepsDamaged,
    Bug::RepairKeepsDoubtful,
    Bug::StatsCountDeadAsLive,
    Bug::AnswersBeforeSync,
    Bug::ShowsBeforeSync,
    Bug::LosesWakeUp,
    Bug::CloseDoesNotWait,
    Bug::RemovesPinnedSegment,
    Bug::ForgetsLateDeletion,
    Bug::PoisonedLogAccepts,
    Bug::VersionsRepeat,
    Bug::DeleteMissesSegment,
    Bug::SearchReturnsDeleted,
    Bug::ForgetsKeysEarly,
    Bug::IgnoresCondition,
    Bug::LockOutlivesClose,
    Bug::SearchReadsNewestView,
    Bug::CommitForgetsMemory,
    Bug::MergeTrustsUnflushed,
    Bug::AcceptsWhileClosing,
    Bug::FlushDropsDeletion,
];

#[test]
fn every_bug_is_watched_by_a_test_that_exists() {
    for bug in Bug::ALL {
        let here = WATCHED
            .iter()
            .filter(|(watched, _)| *watched == bug)
            .count();
        assert_eq!(here, usize::from(!ELSEWHERE.contains(&bug)), "{bug:?}");
    }
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite");
    for (bug, test) in WATCHED {
        let file = tests.join(format!("{test}.rs"));
        assert!(
            OsDisk.entry(&file).unwrap().is_some(),
            "{bug:?}: no {test}.rs"
        );
    }
}
