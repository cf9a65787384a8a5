//! A write that is repeated under the same key happens once.
//!
//! Whoever got no answer to a write, because the process died or the outcome is unknown, may write
//! it again under the same key: if the first one happened, the second does nothing and gets the
//! first one's answer. So what a keyed write did is remembered with the write itself, in the same
//! frame of the log; a flush that lets the log go carries it into a file that the manifest lists.
//! One cannot be there without the other.
//!
//! An outcome is forgotten when the window has passed or when there are too many younger ones. Its
//! age is counted by the monotonic clock while the database is open. The wall clock is looked at
//! once, at the open, and never believed to be behind an outcome that is remembered: a clock that
//! was set back makes an outcome last longer, and one that jumps meanwhile changes nothing.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;

use cairn_env::{Bug, Clock, Env, planted};
use cairn_storage::{
    Crc64, Frame, REQUIRED, SectionId, SegmentReader, SegmentWriter, StorageError,
};

use crate::batch::{Matching, WriteBatch, WriteKind, WriteResult};
use crate::error::{Code, Error, Result};
use crate::frame::{Changes, KIND_KEYED_CHANGES, Malformed, Reader};
use crate::keys::{KeyState, Keys};
use crate::limits::{IDEMPOTENCY_KEY_BYTES_MAX, IDEMPOTENCY_KEYS_MAX};
use crate::manifest::OutcomesEntry;
use crate::schema::Schema;

/// What a keyed write did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub key: Arc<str>,
    /// Of what was asked for; see [`digest`].
    pub digest: u64,
    /// When, by the ledger's clock.
    pub unix_ms: u64,
    pub result: WriteResult,
}

impl Outcome {
    /// The bytes of an outcome but for its version, which stands elsewhere.
    pub fn encode(&self) -> Vec<u8> {
        let count = |rows: u64| u32::try_from(rows).expect("a batch has fewer rows than a segment");
        let WriteResult {
            version: _,
            inserted,
            updated,
            deleted,
            skipped,
        } = self.result;
        let counts = [inserted, updated, deleted, skipped].map(count);
        let mut out = Vec::with_capacity(OUTCOME_BYTES_MIN + self.key.len());
        out.extend(self.unix_ms.to_le_bytes());
        out.extend(self.digest.to_le_bytes());
        counts.iter().for_each(|n| out.extend(n.to_le_bytes()));
        out.extend(count(self.key.len() as u64).to_le_bytes());
        out.extend(self.key.as_bytes());
        out
    }

    /// Reads what [`Outcome::encode`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes are not an outcome.
    pub fn decode(reader: &mut Reader<'_>, version: u64) -> Result<Self, Malformed> {
        let (unix_ms, digest) = (reader.long()?, reader.long()?);
        let mut count = || Ok::<_, Malformed>(reader.u32()? as u64);
        let result = WriteResult {
            version,
            inserted: count()?,
            updated: count()?,
            deleted: count()?,
            skipped: count()?,
        };
        let length = reader.u32()?;
        if length == 0 || length > IDEMPOTENCY_KEY_BYTES_MAX {
            return Err("an idempotency key of a wrong length");
        }
        let key = std::str::from_utf8(reader.take(length)?);
        Ok(Self {
            key: key
                .map_err(|_| "an idempotency key that is no text")?
                .into(),
            digest,
            unix_ms,
            result,
        })
    }
}

/// Bytes of an encoded outcome without its key.
const OUTCOME_BYTES_MIN: usize = 8 + 8 + 4 * 4 + 4;

/// Refuses a key that is empty or too long.
///
/// # Errors
/// `ERR_INVALID_ARGUMENT`, `ERR_LIMIT_EXCEEDED`.
pub(crate) fn check_key(key: &str) -> Result<()> {
    if key.is_empty() {
        let message = "an idempotency key is empty";
        return Err(Error::new(Code::InvalidArgument, message));
    }
    if key.len() > IDEMPOTENCY_KEY_BYTES_MAX {
        return Err(
            Error::new(Code::LimitExceeded, "an idempotency key is too long")
                .number("limit", IDEMPOTENCY_KEY_BYTES_MAX)
                .number("got", key.len()),
        );
    }
    Ok(())
}

/// What a batch asks for, in 64 bits: its kind, keys, vectors and fields. Conditions and
/// durability are how it is asked for, and left out. Stored, so it never changes.
pub(crate) fn digest(batch: &WriteBatch) -> u64 {
    let mut crc = Crc64::new();
    let kind = match batch.kind {
        WriteKind::Add => 1,
        WriteKind::Upsert => 2,
        WriteKind::Delete => 3,
        WriteKind::Update {
            replace_fields,
            skip_missing,
        } => 4 | u8::from(replace_fields) << 3 | u8::from(skip_missing) << 4,
    };
    crc.update(&[kind]);
    // Each part is led by its length, so that nothing moves from one into the next unseen.
    let mut part = |bytes: &[u8]| {
        crc.update(&(bytes.len() as u64).to_le_bytes());
        crc.update(bytes);
    };
    match &batch.keys {
        Keys::Str { bytes, ends } => {
            part(bytemuck::cast_slice(ends));
            part(bytes.as_bytes());
        }
        Keys::U64(numbers) => part(bytemuck::cast_slice(numbers)),
    }
    for column in &batch.vectors {
        let Some(column) = column else {
            part(&[]);
            continue;
        };
        let present: Vec<u8> = column.present.iter().flatten().map(|&p| p.into()).collect();
        part(&present);
        part(bytemuck::cast_slice(&column.data));
    }
    if let Some(payloads) = &batch.payloads {
        part(bytemuck::cast_slice(&payloads.ends));
        part(&payloads.bytes);
    }
    crc.finish()
}

/// What a write to the records of a filter asks for, in 64 bits. Stored, so it never changes.
pub(crate) fn digest_matching(filter: &[u8], change: &Matching) -> u64 {
    let mut crc = Crc64::new();
    let (kind, fields) = match change {
        Matching::Delete => (5, &[][..]),
        Matching::Update {
            fields,
            replace_fields,
        } => (6 | u8::from(*replace_fields) << 3, &fields[..]),
    };
    crc.update(&[kind]);
    for part in [filter, fields] {
        crc.update(&(part.len() as u64).to_le_bytes());
        crc.update(part);
    }
    crc.finish()
}

/// The outcomes of one collection that are remembered, those of the running group included.
pub(crate) struct Ledger {
    window_ms: u64,
    by_key: HashMap<Arc<str>, Outcome, KeyState>,
    /// Oldest first. A key that was used again after its time has a line for each use.
    order: VecDeque<(u64, Arc<str>)>,
    /// Bytes of all keys.
    key_bytes: usize,
    /// The time at `since`, on the monotonic clock.
    base_ms: u64,
    since: Duration,
}

impl Ledger {
    /// What is remembered of `outcomes`, oldest first, by somebody who starts now.
    pub fn new(window: Duration, clock: &dyn Clock, outcomes: Vec<Outcome>) -> Self {
        let newest_ms = outcomes.iter().map(|outcome| outcome.unix_ms).max();
        let mut ledger = Self {
            window_ms: u64::try_from(window.as_millis()).unwrap_or(u64::MAX),
            by_key: HashMap::default(),
            order: VecDeque::new(),
            key_bytes: 0,
            base_ms: clock.unix_ms().max(newest_ms.unwrap_or(0)),
            since: clock.now(),
        };
        for outcome in outcomes {
            ledger.insert(outcome);
        }
        ledger.forget_old(clock);
        ledger
    }

    /// The time by which outcomes age. It never goes back.
    pub fn unix_ms(&self, clock: &dyn Clock) -> u64 {
        if planted(Bug::AgesByWallClock) {
            return clock.unix_ms();
        }
        let passed = clock.now().saturating_sub(self.since).as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        self.base_ms.saturating_add(passed)
    }

    /// What the write of this key did, if it is remembered.
    ///
    /// # Errors
    /// `ERR_CONFLICT` when that write asked for something else.
    pub fn find(
        &mut self,
        clock: &dyn Clock,
        key: &str,
        digest: u64,
    ) -> Result<Option<WriteResult>> {
        self.forget_old(clock);
        match self.by_key.get(key) {
            None => Ok(None),
            Some(outcome) if outcome.digest == digest => Ok(Some(outcome.result)),
            Some(outcome) => {
                let message = "the idempotency key stands for another write";
                Err(Error::new(Code::Conflict, message)
                    .text("idempotencyKey", key)
                    .number("version", outcome.result.version))
            }
        }
    }

    /// Remembers an outcome, the newest of all.
    pub fn insert(&mut self, outcome: Outcome) {
        self.key_bytes += outcome.key.len();
        self.order
            .push_back((outcome.result.version, Arc::clone(&outcome.key)));
        if let Some(old) = self.by_key.insert(Arc::clone(&outcome.key), outcome) {
            self.key_bytes -= old.key.len();
        }
        while self.by_key.len() > IDEMPOTENCY_KEYS_MAX {
            self.forget_oldest();
        }
    }

    /// The version of the newest outcome up to `lsn`.
    pub fn newest(&mut self, clock: &dyn Clock, lsn: u64) -> Option<u64> {
        self.forget_old(clock);
        let newest = self.lines(lsn).next_back();
        newest.map(|outcome| outcome.result.version)
    }

    /// Outcomes of versions up to `lsn`, oldest first.
    pub fn up_to(&self, lsn: u64) -> Vec<Outcome> {
        self.lines(lsn).cloned().collect()
    }

    fn lines(&self, lsn: u64) -> impl DoubleEndedIterator<Item = &Outcome> {
        let end = self.order.partition_point(|(version, _)| *version <= lsn);
        self.order.range(..end).filter_map(|(version, key)| {
            let outcome = self.by_key.get(key);
            outcome.filter(|outcome| outcome.result.version == *version)
        })
    }

    /// At most so many bytes are written when all of this is.
    pub fn bytes(&self) -> u64 {
        (self.by_key.len() * (8 + OUTCOME_BYTES_MIN) + self.key_bytes) as u64
    }

    fn forget_old(&mut self, clock: &dyn Clock) {
        let now = self.unix_ms(clock);
        while let Some((version, key)) = self.order.front() {
            let current = self.by_key.get(key);
            let current = current.filter(|outcome| outcome.result.version == *version);
            let window_ms = match planted(Bug::ForgetsKeysEarly) {
                true => self.window_ms / 2,
                false => self.window_ms,
            };
            if current.is_some_and(|it| now.saturating_sub(it.unix_ms) < window_ms) {
                return;
            }
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((version, key)) = self.order.pop_front() else {
            return;
        };
        let current = self.by_key.get(&key);
        if current.is_some_and(|outcome| outcome.result.version == version) {
            self.by_key.remove(&key);
            self.key_bytes -= key.len();
        }
    }
}

/// What a frame of a known kind holds: what it changed, and of a keyed write what it did.
///
/// # Errors
/// [`Malformed`] when its body is not that.
pub(crate) fn decode_frame(
    frame: &Frame<'_>,
    schema: &Schema,
) -> Result<(Option<Outcome>, Changes), Malformed> {
    let mut body = Reader::new(frame.body);
    let outcome = (frame.kind == KIND_KEYED_CHANGES)
        .then(|| Outcome::decode(&mut body, frame.lsn))
        .transpose()?;
    Ok((outcome, Changes::decode(body.rest(), schema)?))
}

/// The section of a file of outcomes.
const OUTCOMES: SectionId = SectionId { kind: 9, field: 0 };
/// Kinds of sections that such a file may need.
pub(crate) const KNOWN: [u32; 1] = [OUTCOMES.kind];
/// Where such files stand in a collection's directory.
pub(crate) const DIR: &str = "idem";
/// What their names end with.
pub(crate) const EXTENSION: &str = "idm";

/// A file of outcomes, the newest of which has version `lsn`.
pub(crate) fn path(dir: &Path, lsn: u64) -> PathBuf {
    dir.join(format!("{lsn:020}.{EXTENSION}"))
}

/// Who a file of outcomes says it is. Sectioned files have an identity of 16 bytes; this one's
/// follows from its name.
fn identity(lsn: u64) -> [u8; 16] {
    let mut identity = *b"cairnidm\0\0\0\0\0\0\0\0";
    identity[8..].copy_from_slice(&lsn.to_le_bytes());
    identity
}

/// Writes `outcomes`, of which there is at least one, as a new file, synced.
///
/// # Errors
/// `ERR_NO_SPACE`, `ERR_IO`.
pub(crate) fn write(
    env: &Env,
    dir: &Path,
    collection: u64,
    outcomes: &[Outcome],
) -> Result<OutcomesEntry> {
    let lsn = outcomes.last().expect("at least one").result.version;
    let path = path(dir, lsn);
    // A publication that failed may have left a file of this name that no manifest lists.
    let left = env.disk.entry(&path);
    if left.map_err(StorageError::io("entry", &path))?.is_some() {
        let removed = env.disk.remove_file(&path);
        removed.map_err(StorageError::io("remove_file", &path))?;
    }
    let mut writer = SegmentWriter::create(env, &path, identity(lsn), collection)?;
    writer.begin(OUTCOMES, REQUIRED)?;
    for outcome in outcomes {
        writer.write(&outcome.result.version.to_le_bytes())?;
        writer.write(&outcome.encode())?;
    }
    writer.end()?;
    let file = writer.finish()?;
    cairn_storage::sync_segment_dir(env, dir)?;
    Ok(OutcomesEntry {
        file: file.into(),
        lsn,
        count: u32::try_from(outcomes.len()).expect("at most 100,000 are remembered"),
    })
}

/// Reads the file that `entry` of a manifest describes.
///
/// # Errors
/// `ERR_CORRUPT` naming the file, or `ERR_UNSUPPORTED_FORMAT`.
pub(crate) fn read(env: &Env, dir: &Path, entry: &OutcomesEntry) -> Result<Vec<Outcome>> {
    let path = path(dir, entry.lsn);
    let reader = SegmentReader::open(env, &path, Some(entry.file.into()), &KNOWN)?;
    let bytes = reader.read(OUTCOMES)?;
    let malformed = |what: &str| StorageError::Corrupt {
        file: path.clone(),
        offset: 0,
        section: Some(String::from("OUTCOMES")),
        what: what.to_owned(),
    };
    let outcomes = decode_all(&bytes).map_err(malformed)?;
    let newest = outcomes.last().map(|outcome| outcome.result.version);
    if outcomes.len() != entry.count as usize || newest != Some(entry.lsn) {
        return Err(malformed("other outcomes than the manifest says").into());
    }
    Ok(outcomes)
}

pub(crate) fn decode_all(bytes: &[u8]) -> Result<Vec<Outcome>, Malformed> {
    let mut reader = Reader::new(bytes);
    let mut outcomes: Vec<Outcome> = Vec::new();
    while !reader.is_empty() {
        let version = reader.long()?;
        if outcomes
            .last()
            .is_some_and(|last| last.result.version >= version)
        {
            return Err("outcomes out of order");
        }
        outcomes.push(Outcome::decode(&mut reader, version)?);
    }
    Ok(outcomes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Payloads, VectorColumn};

    fn outcome() -> Outcome {
        Outcome {
            key: "k\u{e9}".into(),
            digest: 0x0102_0304_0506_0708,
            unix_ms: 1_735_689_600_000,
            result: WriteResult {
                version: 9,
                inserted: 1,
                updated: 2,
                deleted: 3,
                skipped: 4,
            },
        }
    }

    /// What stands in files stays what it is.
    #[test]
    fn an_outcome_has_the_bytes_of_the_format() {
        let bytes = outcome().encode();
        let expected = [
            &1_735_689_600_000_u64.to_le_bytes()[..],
            &[8, 7, 6, 5, 4, 3, 2, 1],
            &[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0],
            &[3, 0, 0, 0],
            "k\u{e9}".as_bytes(),
        ]
        .concat();
        assert_eq!(bytes, expected);
        let mut reader = Reader::new(&bytes);
        assert_eq!(Outcome::decode(&mut reader, 9), Ok(outcome()));
        assert!(reader.is_empty());
        for cut in 0..bytes.len() {
            assert!(Outcome::decode(&mut Reader::new(&bytes[..cut]), 9).is_err());
        }
    }

    #[test]
    fn no_byte_pattern_panics_or_takes_memory_for_what_is_not_there() {
        let bytes = outcome().encode();
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] = value;
                let _ = Outcome::decode(&mut Reader::new(&bytes), 9);
                let _ = decode_all(&bytes);
            }
        }
    }

    /// Stored, so the same in every version of the program.
    #[test]
    fn a_digest_is_what_the_format_says() {
        let mut payloads = Payloads::default();
        payloads.push(&[0x80]);
        let batch = WriteBatch {
            kind: WriteKind::Update {
                replace_fields: true,
                skip_missing: true,
            },
            keys: Keys::U64(vec![7]),
            vectors: vec![
                None,
                Some(VectorColumn {
                    data: vec![1.5],
                    present: Some(vec![true]),
                }),
            ],
            payloads: Some(payloads),
        };
        let mut crc = Crc64::new();
        crc.update(&[4 + 8 + 16]);
        let parts: [&[u8]; 6] = [
            &7_u64.to_le_bytes(),
            &[],
            &[1],
            &1.5_f32.to_le_bytes(),
            &1_u32.to_le_bytes(),
            &[0x80],
        ];
        for part in parts {
            crc.update(&(part.len() as u64).to_le_bytes());
            crc.update(part);
        }
        assert_eq!(digest(&batch), crc.finish());
    }
}
