// What the demo and its writer agree on.

/** The images that are searched. */
export const digits = {
  name: 'digits',
  schema: {
    vectors: { dim: 784, metric: 'cosine' },
    fields: { label: 'int' },
  },
}

/** The records that the writer adds until it is killed. */
export const stream = { name: 'stream', schema: digits.schema }

/** Records of one batch of the writer. A batch is atomic: all of it is there, or nothing. */
export const batchRows = 16

/** The key of row `row` of the writer's batch `batch`. */
export const streamKey = (batch, row) => `${String(batch).padStart(6, '0')}-${row}`

/** The batch a key of the writer belongs to. */
export const batchOf = (key) => Number(key.slice(0, key.indexOf('-')))
