// Rows in the column form of our package.

/** Batches of a row-major matrix, with row numbers as keys, and numbers by row as fields. */
export function* columnBatches(matrix, dim, batchRows, columns = {}) {
  const rows = matrix.length / dim
  const fields = Object.entries(columns)
  for (let row = 0; row < rows; row += batchRows) {
    const count = Math.min(batchRows, rows - row)
    yield {
      keys: BigUint64Array.from({ length: count }, (_, at) => BigInt(row + at)),
      vectors: matrix.subarray(row * dim, (row + count) * dim),
      fields: Object.fromEntries(
        fields.map(([name, values]) => [name, values.subarray(row, row + count)]),
      ),
    }
  }
}

/** The schema of collections that are measured here: with a graph of that kind. */
export function schemaOf(dim, { index: kind = 'hnsw', m = 16, efConstruction = 200 } = {}) {
  const index = kind === 'hnsw' ? { kind, m, efConstruction } : kind
  return { key: 'u64', vectors: { dim, metric: 'l2', index } }
}
