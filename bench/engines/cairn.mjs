// Our own engine, as a user has it: the built package, or the addon that CAIRN_NATIVE_PATH names.
import { open, version } from 'cairndb'
import { columnBatches, schemaOf } from '../lib/batches.mjs'

const rowsAtOnce = 1000

/** @type {import('./index.mjs').Create} */
export async function create({ folder, threads }) {
  const db = await open(folder, { threads, durability: 'os' })
  let collection
  let isExact
  return {
    version,
    async build(base, dim, { index, m, efConstruction, exact = false }, columns = {}) {
      isExact = exact
      collection = await db.collection('vectors', {
        ...schemaOf(dim, { index, m, efConstruction }),
        fields: Object.fromEntries(Object.keys(columns).map((name) => [name, 'int'])),
      })
      const started = performance.now()
      await collection.ingest(columnBatches(base, dim, rowsAtOnce, columns))
      await collection.compact()
      const seconds = (performance.now() - started) / 1000
      const { segments } = await collection.stats()
      const bytes = segments.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0)
      return { seconds, bytes, note: `${segments.length} segments` }
    },
    prepare: (rows) => rows,
    filter: ({ column, from, to }) => ({ [column]: from === 0 ? { lt: to } : { gte: from } }),
    useEf() {},
    searchOne(vector, k, ef, filter) {
      const query = { vector, k, select: false }
      if (isExact) query.exact = true
      else query.efSearch = ef
      if (filter) query.filter = filter
      return collection.searchSync(query)
    },
    ids: (hits) => hits.map(({ key }) => Number(key)),
    close: () => db.close(),
  }
}
