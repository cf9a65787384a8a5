// Writers of batches, one module for all engines; it runs in a process of its own.
import { join } from 'node:path'
import { open } from 'cairndb'
import { arrowTable } from '../engines/lancedb.mjs'
import { requireOk } from '../engines/zvec.mjs'
import { columnBatches, schemaOf } from '../lib/batches.mjs'
import { readVectors } from '../lib/data.mjs'
import { loadPeer } from '../lib/peers.mjs'

/** Each gives `{ prepare, write(batches), count, close }`; turning rows into its form is not timed. */
const writers = {
  cairn: async (folder, dim) => {
    const db = await open(join(folder, 'db'), { durability: 'sync' })
    const collection = await db.collection('v', schemaOf(dim))
    return {
      prepare: (matrix, batchRows) => [...columnBatches(matrix, dim, batchRows)],
      async write(batches) {
        for (const batch of batches) await collection.upsert(batch)
      },
      ingest: (batches) => collection.ingest(batches),
      count: () => collection.count(),
      close: () => db.close(),
    }
  },
  'cairn ingest': async (folder, dim) => {
    const writer = await writers.cairn(folder, dim)
    return { ...writer, write: writer.ingest }
  },
  lancedb: async (folder, dim) => {
    const db = await loadPeer('@lancedb/lancedb').connect(join(folder, 'lance'))
    const empty = arrowTable(new Float32Array(0), dim, 0)
    const table = await db.createEmptyTable('v', empty.schema)
    return {
      prepare: (matrix, batchRows) =>
        slices(matrix, dim, batchRows).map(({ part, first }) => arrowTable(part, dim, first)),
      async write(batches) {
        for (const batch of batches) await table.add(batch)
      },
      count: () => table.countRows(),
      close: () => db.close(),
    }
  },
  zvec: async (folder, dim) => {
    const zvec = loadPeer('@zvec/zvec')
    zvec.ZVecInitialize({ logLevel: 3 })
    const schema = new zvec.ZVecCollectionSchema({
      name: 'vectors',
      vectors: {
        name: 'v',
        dataType: zvec.ZVecDataType.VECTOR_FP32,
        dimension: dim,
        indexParams: {
          indexType: zvec.ZVecIndexType.HNSW,
          metricType: zvec.ZVecMetricType.L2,
          m: 16,
          efConstruction: 200,
        },
      },
    })
    const collection = zvec.ZVecCreateAndOpen(join(folder, 'zvec'), schema)
    return {
      prepare: (matrix, batchRows) =>
        slices(matrix, dim, batchRows).map(({ part, first }) =>
          Array.from({ length: part.length / dim }, (_, at) => ({
            id: String(first + at),
            vectors: { v: part.subarray(at * dim, (at + 1) * dim) },
          })),
        ),
      write(batches) {
        for (const batch of batches) requireOk(collection.insertSync(batch))
      },
      count: () => collection.stats.docCount,
      close: () => collection.closeSync(),
    }
  },
}

/** Writes rows in batches; seconds from the first call to the last acknowledgement. */
export async function writeRows({ name, folder, data, dataset, rows, batchRows }) {
  const { matrix, dim } = readVectors(data, dataset, 'base', rows)
  const writer = await writers[name](folder, dim)
  const batches = writer.prepare(matrix, batchRows)
  globalThis.gc?.()
  const started = performance.now()
  await writer.write(batches)
  const seconds = (performance.now() - started) / 1000
  const count = await writer.count()
  await writer.close()
  return { seconds, count }
}

function slices(matrix, dim, batchRows) {
  const rows = matrix.length / dim
  return Array.from({ length: Math.ceil(rows / batchRows) }, (_, at) => ({
    first: at * batchRows,
    part: matrix.subarray(at * batchRows * dim, Math.min(rows, (at + 1) * batchRows) * dim),
  }))
}
