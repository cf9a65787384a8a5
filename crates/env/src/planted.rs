//! Deliberate breaks of one promise each, compiled in by the `planted-bugs` feature and
//! chosen by `CAIRN_BUG=<name>`. A suite that stays green with one of them is blind.

/// A rule of the engine that can be broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The log is not synced before the acknowledgement.
    SkipWalSync,
    /// Directories are not synced after a rename.
    SkipDirSync,
    /// CURRENT is renamed before the manifest is synced.
    RenameBeforeSync,
    /// Replay stops one frame early.
    ReplayStopsEarly,
    /// Frame checksums cover the body but not the header.
    ChecksumSkipsHeader,
    /// A failed sync is retried instead of poisoning the collection.
    RetryFailedSync,
    /// Compaction forgets deletions made while it ran.
    CompactionDropsTombstone,
    /// The old log is removed before the manifest that replaces it is durable.
    RemoveWalEarly,
    /// Segments are not synced before the manifest lists them.
    SkipSegmentSync,
    /// A batch is written as one frame per row.
    SplitBatch,
    /// A damaged frame in the middle of a log is skipped instead of reported.
    SkipDamagedFrame,
    /// Block checksums of segments are not compared.
    IgnoreBlockChecksum,
    /// A flush lets the log go without what its keyed writes did.
    ForgetsIdempotencyKey,
    /// A reader beside the writer shows frames that no sync is known to cover.
    ReaderShowsUnsynced,
    /// A reader beside the writer keeps the deletions of an older manifest.
    ReaderMixesVersions,
    /// A reader that opens the segments of a flush forgets what was deleted in them since.
    ReaderForgetsDeletion,
    /// The same nonce seals everything in a file.
    ReusesNonce,
    /// Frames of the log are not encrypted.
    WalInClear,
    /// Files that a recorded version lists are removed with those that nobody lists.
    GarbageIgnoresVersions,
    /// A check of a whole segment does not look at the filling between sections.
    VerifySkipsPadding,
    /// Idempotency keys age by the wall clock, which jumps.
    AgesByWallClock,
    /// Dropping a version removes files that others, or the current state, have as well.
    DropTakesShared,
    /// Files of backups and restored databases are not synced before they count.
    CopySkipsSync,
    /// A backup's record is published before its files are there.
    BackupBeforeFiles,
    /// Files of the oldest backup are removed although it stays.
    PruneTakesShared,
    /// A directory that is being restored into is not marked.
    RestoreUnmarked,
    /// A check of a whole segment ends at the first damage.
    VerifyStopsAtFirst,
    /// A check of a whole segment passes over its last section.
    VerifySkipsLastSection,
    /// A check forgets the files that recorded versions alone hold.
    VerifyForgetsVersions,
    /// A repair saves rows that are damaged.
    RepairKeepsDamaged,
    /// A repair brings back rows of which nobody can tell whether they were deleted.
    RepairKeepsDoubtful,
    /// Figures count the bytes of deleted rows as those of live ones.
    StatsCountDeadAsLive,
    /// Writes are acknowledged, then synced.
    AnswersBeforeSync,
    /// Readers are shown a group before it is synced.
    ShowsBeforeSync,
    /// A batch that comes as the leader ends is left to nobody.
    LosesWakeUp,
    /// Closing does not wait for background work.
    CloseDoesNotWait,
    /// The file of a segment that was merged away goes although a snapshot pins it.
    RemovesPinnedSegment,
    /// Deletions made while a manifest is published do not reach its new segment.
    ForgetsLateDeletion,
    /// A log that failed takes more.
    PoisonedLogAccepts,
    /// The checksum of a manifest is not compared.
    IgnoresManifestChecksum,
    /// Versions begin anew after a restart.
    VersionsRepeat,
    /// Deletions reach memtables and no segment.
    DeleteMissesSegment,
    /// A log file that is used again has the identity it had.
    RecycledLogKeepsId,
    /// A search of a segment returns deleted rows.
    SearchReturnsDeleted,
    /// Idempotency keys are forgotten in half of their time.
    ForgetsKeysEarly,
    /// The version that a write asks for is not looked at.
    IgnoresCondition,
    /// A directory that somebody holds is taken.
    LockIsShared,
    /// A closed database keeps its directory.
    LockOutlivesClose,
    /// A search reads the newest view and not the pinned one.
    SearchReadsNewestView,
    /// A commit leaves out what memory alone holds.
    CommitForgetsMemory,
    /// A merge drops rows whose deletion no flush has made durable.
    MergeTrustsUnflushed,
    /// A write that comes while a collection closes is taken, after all was made durable.
    AcceptsWhileClosing,
    /// Rows that were deleted while their memtable was flushed live on in its segment.
    FlushDropsDeletion,
    /// The cache of blocks takes a block of one segment for that of another.
    CacheMixesSegments,
    /// Blocks of a segment that went stay in the cache.
    CacheKeepsClosedSegments,
    /// A scan in the order of a field goes on with all records of the value where it stopped.
    OrderForgetsKey,
    /// A search by groups looks at the nearest records alone, however few groups they are of.
    GroupsStopEarly,
    /// A search by words returns deleted records.
    WordsFindDeleted,
    /// A measurement of the recall asks for records that are found by their own links.
    RecallAsksForWhatIsStored,
    /// What is stored in 16 bits is cut off instead of rounded.
    HalvesCutOff,
    /// Records of segments are there for good, whatever their time.
    SegmentForgetsExpiry,
    /// Of keys that begin so, the one behind the last is taken as well.
    PrefixTakesNext,
    /// Vectors that are mapped were not compared with their checksums.
    MapsUnchecked,
    /// What a search saw of a mapped file that was cut counts as its vectors.
    IgnoresCutMapping,
    /// The inverted index of a segment lacks the first entry of each vector.
    SparseIndexLosesEntry,
    /// Of several vectors of a record the last one is not searched.
    MultiVectorForgetsLastVector,
    /// A collection has its new structure before that is durable.
    AltersBeforePublishing,
    /// The memtables of each collection may take the whole budget.
    BudgetIsEachOnesOwn,
    /// A search of a quantised graph returns rows that it only walks through.
    QuantisedGraphReturnsDeleted,
}

impl Bug {
    /// Every planted bug.
    pub const ALL: [Self; 69] = [
        Self::SkipWalSync,
        Self::SkipDirSync,
        Self::RenameBeforeSync,
        Self::ReplayStopsEarly,
        Self::ChecksumSkipsHeader,
        Self::RetryFailedSync,
        Self::CompactionDropsTombstone,
        Self::RemoveWalEarly,
        Self::SkipSegmentSync,
        Self::SplitBatch,
        Self::SkipDamagedFrame,
        Self::IgnoreBlockChecksum,
        Self::ForgetsIdempotencyKey,
        Self::ReaderShowsUnsynced,
        Self::ReaderMixesVersions,
        Self::ReaderForgetsDeletion,
        Self::ReusesNonce,
        Self::WalInClear,
        Self::GarbageIgnoresVersions,
        Self::VerifySkipsPadding,
        Self::AgesByWallClock,
        Self::DropTakesShared,
        Self::CopySkipsSync,
        Self::BackupBeforeFiles,
        Self::PruneTakesShared,
        Self::RestoreUnmarked,
        Self::VerifyStopsAtFirst,
        Self::VerifySkipsLastSection,
        Self::VerifyForgetsVersions,
        Self::RepairKeepsDamaged,
        Self::RepairKeepsDoubtful,
        Self::StatsCountDeadAsLive,
        Self::AnswersBeforeSync,
        Self::ShowsBeforeSync,
        Self::LosesWakeUp,
        Self::CloseDoesNotWait,
        Self::RemovesPinnedSegment,
        Self::ForgetsLateDeletion,
        Self::PoisonedLogAccepts,
        Self::IgnoresManifestChecksum,
        Self::VersionsRepeat,
        Self::DeleteMissesSegment,
        Self::RecycledLogKeepsId,
        Self::SearchReturnsDeleted,
        Self::ForgetsKeysEarly,
        Self::IgnoresCondition,
        Self::LockIsShared,
        Self::LockOutlivesClose,
        Self::SearchReadsNewestView,
        Self::CommitForgetsMemory,
        Self::MergeTrustsUnflushed,
        Self::AcceptsWhileClosing,
        Self::FlushDropsDeletion,
        Self::CacheMixesSegments,
        Self::CacheKeepsClosedSegments,
        Self::OrderForgetsKey,
        Self::GroupsStopEarly,
        Self::WordsFindDeleted,
        Self::RecallAsksForWhatIsStored,
        Self::HalvesCutOff,
        Self::SegmentForgetsExpiry,
        Self::PrefixTakesNext,
        Self::MapsUnchecked,
        Self::IgnoresCutMapping,
        Self::SparseIndexLosesEntry,
        Self::MultiVectorForgetsLastVector,
        Self::AltersBeforePublishing,
        Self::BudgetIsEachOnesOwn,
        Self::QuantisedGraphReturnsDeleted,
    ];
}

/// Whether `bug` is to be committed. A constant `false` in normal builds.
#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
#[must_use]
pub const fn planted(_bug: Bug) -> bool {
    false
}

/// Whether `bug` is to be committed: when `CAIRN_BUG` names it.
#[cfg(feature = "planted-bugs")]
#[must_use]
pub fn planted(bug: Bug) -> bool {
    use std::sync::OnceLock;
    static CHOSEN: OnceLock<Option<Bug>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| {
        let name = std::env::var("CAIRN_BUG").ok()?;
        Bug::ALL.into_iter().find(|bug| format!("{bug:?}") == name)
    });
    *chosen == Some(bug)
}
