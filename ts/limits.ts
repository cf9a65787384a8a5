// Every limit of the public contract, in one table; crates/engine/src/limits.rs is its counterpart.
// Beyond one: ERR_LIMIT_EXCEEDED; but a key that is too long is an ERR_INVALID_KEY as any other wrong key,
// and a `levelMult` out of its range, which is no count, an ERR_INVALID_ARGUMENT.

/** The limits. */
export const limits = {
  /** Components of a vector. */
  dimMax: 65_536,
  /** Vectors of one record in a field of type `multi`, and of one query for it. */
  vectorsMax: 4_096,
  /** Results of one search. */
  kMax: 10_000,
  /** Bytes of the words of one search in UTF-8. */
  wordsBytesMax: 65_536 /* 64 KiB */,
  /** Results of one batch of searches: queries times `k`. */
  batchResultsMax: 10_000_000,
  /** Bytes of one answer: keys, fields and vectors of its records, and 24 a record. The engine looks. */
  answerBytesMax: 1_073_741_824 /* 1 GiB */,
  /** Rows of one batch. */
  batchRowsMax: 100_000,
  /** Bytes of one batch: keys, vectors and fields together. */
  batchBytesMax: 268_435_456 /* 256 MiB */,
  /** Bytes of a key in UTF-8. */
  keyBytesMax: 1024,
  /** Bytes of an idempotency key in UTF-8. */
  idempotencyKeyBytesMax: 128,
  /** Idempotency keys that a collection remembers: beyond, the oldest are forgotten. The engine looks. */
  idempotencyKeysMax: 100_000,
  /** Bytes of one record's fields, encoded. */
  fieldsBytesMax: 1_048_576 /* 1 MiB */,
  /** Nesting of one record's fields, the record's own map included. */
  fieldsDepthMax: 32,
  /** Characters of a collection name. The engine looks. */
  nameCharsMax: 128,
  /** Collections of one database. The engine looks. */
  collectionsMax: 10_000,
  /** Vector fields and declared fields of one schema, each. The engine looks. */
  schemaFieldsMax: 1_000,
  /** Filters within filters. */
  filterDepthMax: 32,
  /** Tests of one filter, and what stands between them. The engine looks. */
  filterNodesMax: 4_096,
  /** Values in the lists of one filter. */
  filterValuesMax: 1_000_000,
  /** Buckets of one histogram. */
  bucketsMax: 10_000,
  /** Queries of one measurement of the recall. */
  sampleMax: 10_000,
  /** Candidate list of one search. */
  efMax: 100_000,
  /** Settings of a graph; below the least of one: ERR_INVALID_ARGUMENT. */
  hnsw: {
    m: { min: 2, max: 128 },
    m0: { min: 4, max: 512 },
    mMax: { min: 2, max: 128 },
    efConstruction: { min: 1, max: 10_000 },
    levelMult: { min: 0, max: 4 },
  },
} as const
