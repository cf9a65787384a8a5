// A field with an index of kind `qg`: found as exact search finds, with filters and deletions, also after a reopen.
import test from 'ava'
import type { Collection } from '#ts/index.js'
import { directoryHome, openFor } from './helpers/home.js'
import { randomMatrix } from './helpers/random.js'

const dim = 48
const rows = 5000
const schema = {
  vectors: { dim, metric: 'cosine', index: 'qg' },
  fields: { n: 'int' },
} as const

const queries = randomMatrix(40, dim, 8)
const queryOf = (at: number): Float32Array => queries.subarray(at * dim, (at + 1) * dim)

async function write(docs: Collection<typeof schema>): Promise<void> {
  const numbers = Array.from({ length: rows }, (_, at) => at)
  await docs.upsert({
    keys: numbers.map((at) => `k${at}`),
    vectors: randomMatrix(rows, dim, 7),
    fields: { n: numbers },
  })
  await docs.compact()
}

/** The mean recall@10 of the default search, which answers with as many records as the exact one. */
async function recallOf(docs: Collection<typeof schema>, below: number): Promise<number> {
  let found = 0
  let wanted = 0
  for (let at = 0; at < 40; at += 1) {
    const query = { vector: queryOf(at), k: 10, filter: { n: { lt: below } } }
    const usual = await docs.search(query)
    const exact = await docs.search({ ...query, exact: true })
    if (usual.length !== exact.length) throw new Error(`${usual.length} of ${exact.length}`)
    if (usual.some(({ fields }) => Number(fields.n) >= below)) throw new Error('a wrong record')
    const keys = new Set(exact.map(({ key }) => key))
    found += usual.filter(({ key }) => keys.has(key)).length
    wanted += exact.length
  }
  return found / Math.max(wanted, 1)
}

test('a quantised graph finds what exact search finds, filtered and not', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', schema)
  await write(docs)
  const { stages } = await docs.explain({ vector: queryOf(0), k: 10 })
  t.deepEqual(
    stages.filter((stage) => stage.rows > 0).map(({ path }) => path),
    ['qg'],
  )
  const { segments } = await docs.stats()
  t.deepEqual(
    segments.map(({ index }) => index),
    ['qg'],
  )
  for (const below of [rows, 3000, 600, 25, 4, 0]) {
    const recall = await recallOf(docs, below)
    t.true(below === 0 || recall >= 0.95, `below ${below}: ${recall}`)
  }
  const { recall } = await docs.recall({ sample: 100 })
  t.true(recall >= 0.93, `${recall}`)
})

test('it is there after a reopen, and what is deleted is not found', async (t) => {
  const target = directoryHome.target(t)
  const db = await openFor(t, target)
  const docs = await db.collection('docs', schema)
  await write(docs)
  const before = await docs.search({ vector: queryOf(1), k: 10 })
  await db.close()

  const again = await openFor(t, target)
  const reopened = await again.collection('docs', schema)
  t.deepEqual(await reopened.search({ vector: queryOf(1), k: 10 }), before)
  const other = { ...schema, vectors: { dim, metric: 'cosine' } } as const
  await t.throwsAsync(() => again.collection('docs', other), { code: 'ERR_SCHEMA_MISMATCH' })

  const gone = before.slice(0, 5).map(({ key }) => key)
  await reopened.delete(gone)
  const rest = await reopened.search({ vector: queryOf(1), k: 10 })
  t.is(rest.length, 10)
  t.false(rest.some(({ key }) => gone.includes(key)))
  await reopened.compact()
  const merged = await reopened.search({ vector: queryOf(1), k: 10, efSearch: 500 })
  const exact = await reopened.search({ vector: queryOf(1), k: 10, exact: true })
  t.deepEqual(merged, exact)
  t.deepEqual((await again.verify()).problems, [])
})
