// Vectors that are quantised: codes are compared, answers are exact distances, and everything says so.
import test from 'ava'
import { open, type VectorField } from '#ts/index.js'
import { temporaryDirectory } from './helpers/home.js'
import { randomMatrix } from './helpers/random.js'

const dim = 64
const rows = 3000

test('searches go by codes, answer with exact distances, and say so', async (t) => {
  const base = randomMatrix(rows, dim, 5)
  const keys = BigUint64Array.from({ length: rows }, (_, row) => BigInt(row))
  const quantisers: VectorField['quantize'][] = ['sq8', 'sq4', 'pq', 'rabitq']
  for (const quantize of quantisers) {
    for (const index of ['flat', 'hnsw', 'auto'] as const) {
      const folder = temporaryDirectory(t)
      const field = { dim, metric: 'cosine', index, quantize } as const
      const db = await open(folder)
      const docs = await db.collection('docs', { key: 'u64', vectors: { v: field } })
      await docs.upsert({ keys, vectors: base })
      await docs.compact()
      const what = `${JSON.stringify(quantize)} ${index}`
      const vector = base.slice(7 * dim, 8 * dim)
      const [first] = await docs.search({ vector, k: 1 })
      t.is(first?.key, 7n, what)
      const plan = await docs.explain({ vector })
      t.is(plan.stages[0]?.path, index === 'flat' ? 'codes' : 'hnsw', what)
      t.true((await docs.stats()).codeBytes > rows, what)
      const found = await docs.search({ vector, k: 20 })
      const exact = await docs.search({ vector, k: 20, exact: true })
      const right = new Map(exact.map(({ key, distance }) => [key, distance]))
      t.true(found.filter(({ key }) => right.has(key)).length >= 18, what)
      for (const { key, distance } of found) {
        const wanted = right.get(key)
        if (wanted !== undefined) t.is(distance, wanted, what)
      }
      await db.close()

      const again = await open(folder, { mode: 'ro' })
      const reopened = await again.openCollection('docs')
      t.deepEqual(reopened.schema, docs.schema, what)
      t.deepEqual(await reopened.search({ vector, k: 20 }), found, what)
      await again.close()
    }
  }
})
