// Rows in the column form of our package.

/** Batches of a row-major matrix, with row numbers as keys. */
export function* columnBatches(matrix, dim, batchRows) {
  const rows = matrix.length / dim
  for (let row = 0; row < rows; row += batchRows) {
    const count = Math.min(batchRows, rows - row)
    yield {
      keys: BigUint64Array.from({ length: count }, (_, at) => BigInt(row + at)),
      vectors: matrix.subarray(row * dim, (row + count) * dim),
    }
  }
}

/** The schema of collections that are measured here. */
export function schemaOf(dim, { m = 16, efConstruction = 200 } = {}) {
  return { key: 'u64', vectors: { dim, metric: 'l2', index: { kind: 'hnsw', m, efConstruction } } }
}
