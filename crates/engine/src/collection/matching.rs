//! Writes to all records that a filter holds for.
//!
//! The records are found in a snapshot, while other writes go on, and changed by one batch. Those that
//! were changed in between are asked again when it is their turn; what came in between stays out.

use std::sync::Arc;

use cairn_filter::Filter;

use crate::batch::{
    Condition, Matching, Otherwise, Payloads, WriteBatch, WriteKind, WriteOptions, WriteResult,
};
use crate::error::{Code, Error, Result};
use crate::idempotency;
use crate::limits::BATCH_BYTES_MAX;
use crate::payload;

use super::{Asked, Collection};

impl Collection {
    /// Changes all records that `filter` (JSON) holds for, as one atomic batch. Counts as `skipped`
    /// those for which it held when the call began and no longer did when it was their turn. With `as_of`
    /// those that were changed behind that version are left out as well, whatever they are now.
    ///
    /// # Errors
    /// `ERR_INVALID_FILTER`; `ERR_LIMIT_EXCEEDED` when the keys removed, or the records updated, have
    /// more bytes than a batch may; as [`Collection::write`].
    pub fn write_matching(
        self: &Arc<Self>,
        filter: &[u8],
        change: &Matching,
        as_of: Option<u64>,
        options: WriteOptions,
    ) -> Result<WriteResult> {
        self.check_writable()?;
        let digest = idempotency::digest_matching(filter, change);
        let filter = Arc::new(Filter::parse(filter)?);
        if let Matching::Update { fields, .. } = change {
            payload::validate(fields)?;
        }
        let snapshot = self.snapshot()?;
        let structure = self.structure_of(&options);
        let stored = structure.names.stored_filter(&filter);
        let keys = snapshot.keys_matching(&stored, &options.stop)?;
        let (kind, payloads) = match change {
            Matching::Delete => (WriteKind::Delete, None),
            Matching::Update {
                fields,
                replace_fields,
            } => {
                let kind = WriteKind::Update {
                    replace_fields: *replace_fields,
                    skip_missing: true,
                };
                (kind, Some(repeated(fields, keys.len())?))
            }
        };
        let mut conditions = options.conditions;
        // Who says as of when asked more of the records than the filter does.
        let asked_again = match as_of {
            Some(_) => Arc::new(Filter::Or(Vec::new())),
            None => filter,
        };
        conditions.push(Condition {
            filter: asked_again,
            holds_at: as_of.unwrap_or_else(|| snapshot.version()),
            otherwise: Otherwise::Skip,
        });
        let asked = Asked { digest, structure };
        drop(snapshot);
        let vectors = self.schema().vectors.iter().map(|_| None);
        let batch = WriteBatch {
            vectors: match kind {
                WriteKind::Delete => Vec::new(),
                _ => vectors.collect(),
            },
            kind,
            keys,
            payloads,
        };
        let options = WriteOptions {
            conditions,
            ..options
        };
        self.write_as(batch, options, Some(asked))
    }
}

/// The same fields for each of `rows` rows.
fn repeated(fields: &[u8], rows: usize) -> Result<Payloads> {
    let bytes = fields.len().saturating_mul(rows);
    if bytes > BATCH_BYTES_MAX {
        let message = "too many records are updated at once";
        return Err(Error::new(Code::LimitExceeded, message)
            .number("limit", BATCH_BYTES_MAX)
            .number("got", bytes));
    }
    let mut payloads = Payloads::default();
    (0..rows).for_each(|_| payloads.push(fields));
    Ok(payloads)
}
