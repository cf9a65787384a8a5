// Every limit of the public contract, in one table. Beyond any of them: ERR_LIMIT_EXCEEDED.

/** The limits. */
export const limits = {
  /** Components of a vector. */
  dimMax: 65_536,
  /** Results of one search. */
  kMax: 10_000,
  /** Results of one batch of searches: queries times `k`. */
  batchResultsMax: 10_000_000,
  /** Rows of one batch. */
  batchRowsMax: 100_000,
  /** Bytes of one batch: keys, vectors and fields together. */
  batchBytesMax: 268_435_456 /* 256 MiB */,
  /** Bytes of a key in UTF-8. */
  keyBytesMax: 1024,
  /** Bytes of one record's fields, encoded. */
  fieldsBytesMax: 1_048_576 /* 1 MiB */,
  /** Nesting of one record's fields, the record's own map included. */
  fieldsDepthMax: 32,
  /** Characters of a collection name. */
  nameCharsMax: 128,
  /** Candidate list of one search. */
  efMax: 100_000,
} as const
