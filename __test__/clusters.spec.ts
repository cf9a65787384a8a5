// An index of kind 'ivf': vectors and their codes stay in the file, and everything says so.
import test from 'ava'
import { open, type Metric } from '#ts/index.js'
import { temporaryDirectory } from './helpers/home.js'
import { randomMatrix } from './helpers/random.js'

const dim = 64
const rows = 3000

test('an ivf index finds what an exact search finds, from its file', async (t) => {
  const base = randomMatrix(rows, dim, 11)
  const keys = BigUint64Array.from({ length: rows }, (_, row) => BigInt(row))
  for (const metric of ['cosine', 'l2', 'dot'] satisfies Metric[]) {
    const folder = temporaryDirectory(t)
    const field = { dim, metric, index: 'ivf' } as const
    const db = await open(folder)
    const docs = await db.collection('docs', { key: 'u64', vectors: { v: field } })
    t.is(docs.schema.vectors['v']?.index, 'ivf')
    await docs.upsert({ keys, vectors: base })
    await docs.compact()
    const stats = await docs.stats()
    t.deepEqual(
      stats.segments.map(({ index }) => index),
      ['ivf'],
    )
    t.true(stats.vectorBytes < (rows * dim * 4) / 8, `${stats.vectorBytes} of vectors in memory`)
    const vector = base.slice(7 * dim, 8 * dim)
    const plan = await docs.explain({ vector })
    t.is(plan.stages[0]?.path, 'ivf')
    t.true((plan.stages[0]?.hops ?? 0) > 0)
    const exact = await docs.search({ vector, k: 20, exact: true })
    const found = await docs.search({ vector, k: 20, recall: 0.99 })
    const near = exact.at(-1)?.distance ?? 0
    t.true(found.filter(({ distance }) => distance <= near + 1e-5).length >= 17, metric)
    if (metric !== 'dot') t.is(found[0]?.key, 7n)
    await docs.delete([7n])
    t.false((await docs.search({ vector, k: 20 })).some(({ key }) => key === 7n))
    const left = await docs.search({ vector, k: 20 })
    await db.close()

    const again = await open(folder, { mode: 'ro' })
    const reopened = await again.openCollection('docs')
    t.deepEqual(reopened.schema, docs.schema)
    t.deepEqual(await reopened.search({ vector, k: 20 }), left)
    await again.close()
  }
})
