//! Every limit of the public contract, in one table.

/// Components of a vector.
pub const DIM_MAX: usize = 65_536;
/// Vectors of one record in a field of type `multi`, and of one query for it.
pub const VECTORS_MAX: usize = 4_096;
/// Results of one search.
pub const K_MAX: usize = 10_000;
/// Rows of one batch.
pub const BATCH_ROWS_MAX: usize = 100_000;
/// Bytes of one batch: keys, vectors and fields together.
pub const BATCH_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes of a key in UTF-8.
pub const KEY_BYTES_MAX: usize = 1_024;
/// Bytes of an idempotency key in UTF-8.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;
/// Idempotency keys that a collection remembers: beyond, the oldest are forgotten.
pub const IDEMPOTENCY_KEYS_MAX: usize = 100_000;
/// Bytes of one record's fields, encoded.
pub const FIELDS_BYTES_MAX: usize = 1024 * 1024;
/// Nesting of one record's fields.
pub const FIELDS_DEPTH_MAX: usize = 32;
/// Characters of a collection name.
pub const NAME_CHARS_MAX: usize = 128;
/// Collections of one database.
pub const COLLECTIONS_MAX: usize = 10_000;
/// Vector fields and declared fields of one schema, each.
pub const SCHEMA_FIELDS_MAX: usize = 1_000;
/// Queries of one measurement of the recall.
pub const SAMPLE_MAX: usize = 10_000;
/// Candidate list of one search.
pub const EF_MAX: usize = 100_000;
/// Bytes of the words of one search in UTF-8.
pub const WORDS_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one answer: keys, fields and vectors of its records, and 24 a record beside them.
pub const ANSWER_BYTES_MAX: usize = 1024 * 1024 * 1024; // 1 GiB
