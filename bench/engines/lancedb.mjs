// LanceDB: IVF_HNSW_SQ with one partition, which is its HNSW, and its refinement by the raw vectors.
import { join } from 'node:path'
import { asSql } from '../filtered/workloads.mjs'
import { loadPeer, peerVersion } from '../lib/peers.mjs'
import { folderBytes } from '../lib/places.mjs'

/** @type {import('./index.mjs').Create} */
export async function create({ folder }) {
  const lancedb = loadPeer('@lancedb/lancedb')
  const path = join(folder, 'lance')
  const db = await lancedb.connect(path)
  let table
  return {
    version: peerVersion('@lancedb/lancedb'),
    async build(base, dim, { m, efConstruction }, columns = {}) {
      const started = performance.now()
      table = await db.createTable('vectors', arrowTable(base, dim, 0, columns))
      await table.createIndex('vector', {
        config: lancedb.Index.hnswSq({ distanceType: 'l2', numPartitions: 1, m, efConstruction }),
        waitTimeoutSeconds: 3600,
      })
      for (const name of Object.keys(columns)) {
        await table.createIndex(name, { config: lancedb.Index.btree(), waitTimeoutSeconds: 3600 })
      }
      const seconds = (performance.now() - started) / 1000
      return { seconds, bytes: folderBytes(path) }
    },
    prepare: (rows) => rows,
    filter: asSql,
    useEf() {},
    searchOne(vector, k, ef, filter) {
      const query = table.query()
      if (filter) query.where(filter)
      return query
        .nearestTo(vector)
        .limit(k)
        .ef(ef)
        .refineFactor(1)
        .select(['id', '_distance'])
        .toArray()
    },
    ids: (rows) => rows.map(({ id }) => id),
    close: () => db.close(),
  }
}

/** Rows as an Arrow table with `id` from `first` on, without a copy of the vectors. */
export function arrowTable(matrix, dim, first, columns = {}) {
  const arrow = loadPeer('apache-arrow')
  const rows = matrix.length / dim
  const float = new arrow.Float32()
  const vectors = arrow.makeData({
    type: new arrow.FixedSizeList(dim, new arrow.Field('item', float, true)),
    length: rows,
    nullCount: 0,
    child: arrow.makeData({ type: float, length: matrix.length, nullCount: 0, data: matrix }),
  })
  const ids = Int32Array.from({ length: rows }, (_, at) => first + at)
  return new arrow.Table({
    id: arrow.makeVector(ids),
    vector: arrow.makeVector(vectors),
    ...Object.fromEntries(
      Object.entries(columns).map(([name, values]) => [name, arrow.makeVector(values)]),
    ),
  })
}
