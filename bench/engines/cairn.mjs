// Our own engine, as a user has it: the built package, or the addon that CAIRN_NATIVE_PATH names.
import { open, version } from 'cairndb'
import { columnBatches, schemaOf } from '../lib/batches.mjs'

const rowsAtOnce = 1000

/** @type {import('./index.mjs').Create} */
export async function create({ folder, threads }) {
  const db = await open(folder, { threads, durability: 'os' })
  let collection
  return {
    version,
    async build(base, dim, { m, efConstruction }) {
      collection = await db.collection('vectors', schemaOf(dim, { m, efConstruction }))
      const started = performance.now()
      await collection.ingest(columnBatches(base, dim, rowsAtOnce))
      await collection.compact()
      const seconds = (performance.now() - started) / 1000
      const { segments } = await collection.stats()
      const bytes = segments.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0)
      return { seconds, bytes, note: `${segments.length} segments` }
    },
    prepare: (rows) => rows,
    useEf() {},
    searchOne: (vector, k, ef) => collection.searchSync({ vector, k, efSearch: ef, select: false }),
    ids: (hits) => hits.map(({ key }) => Number(key)),
    close: () => db.close(),
  }
}
