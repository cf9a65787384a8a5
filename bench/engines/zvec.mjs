// zvec: HNSW over f32, or over int8 codes (`quantize`), squared L2.
import { join } from 'node:path'
import { asSql } from '../filtered/workloads.mjs'
import { loadPeer, peerVersion } from '../lib/peers.mjs'
import { folderBytes } from '../lib/places.mjs'

const rowsAtOnce = 1000

/** @type {import('./index.mjs').Create} */
export async function create({ folder, threads }) {
  const zvec = loadPeer('@zvec/zvec')
  const { ZVecDataType, ZVecIndexType, ZVecMetricType, ZVecQuantizeType } = zvec
  zvec.ZVecInitialize({ logLevel: 3, optimizeThreads: threads })
  const path = join(folder, 'zvec')
  let collection
  let refine = false
  return {
    version: peerVersion('@zvec/zvec'),
    async build(base, dim, { m, efConstruction, quantize, refiner = false }, columns = {}) {
      refine = refiner
      const quantizeType = quantize === 'int8' ? ZVecQuantizeType.INT8 : ZVecQuantizeType.UNDEFINED
      const names = Object.keys(columns)
      const schema = new zvec.ZVecCollectionSchema({
        name: 'vectors',
        fields: names.map((name) => ({
          name,
          dataType: ZVecDataType.INT32,
          indexParams: { indexType: ZVecIndexType.INVERT, enableRangeOptimization: true },
        })),
        vectors: {
          name: 'v',
          dataType: ZVecDataType.VECTOR_FP32,
          dimension: dim,
          indexParams: {
            indexType: ZVecIndexType.HNSW,
            metricType: ZVecMetricType.L2,
            m,
            efConstruction,
            quantizeType,
          },
        },
      })
      collection = zvec.ZVecCreateAndOpen(path, schema)
      const started = performance.now()
      for (const docs of batches(base, dim, columns)) requireOk(collection.insertSync(docs))
      collection.optimizeSync({ concurrency: threads })
      const seconds = (performance.now() - started) / 1000
      return { seconds, bytes: folderBytes(path) }
    },
    prepare: (rows) => rows,
    filter: asSql,
    useEf() {},
    searchOne: (vector, k, ef, filter) =>
      collection.querySync({
        fieldName: 'v',
        topk: k,
        vector,
        outputFields: [],
        ...(filter && { filter }),
        params: { indexType: ZVecIndexType.HNSW, ef, isUsingRefiner: refine },
      }),
    ids: (docs) => docs.map(({ id }) => Number(id)),
    close: () => collection?.closeSync(),
  }
}

function* batches(base, dim, columns) {
  const rows = base.length / dim
  const names = Object.keys(columns)
  for (let row = 0; row < rows; row += rowsAtOnce) {
    yield Array.from({ length: Math.min(rowsAtOnce, rows - row) }, (_, at) => ({
      id: String(row + at),
      vectors: { v: base.subarray((row + at) * dim, (row + at + 1) * dim) },
      fields: Object.fromEntries(names.map((name) => [name, columns[name][row + at]])),
    }))
  }
}

/** Fails when one of the statuses of a write is not good. */
export function requireOk(statuses) {
  const bad = [statuses].flat().find(({ ok }) => !ok)
  if (bad) throw new Error(`zvec: ${bad.code} ${bad.message}`)
}
