// Searches beyond the records nearest to a vector: like a record, by groups, diverse, near to nothing.
import test from 'ava'
import { open, type Collection, type Database, type Filter } from '#ts/index.js'
import { fails } from './helpers/expect.js'
import { openFor, temporaryDirectory } from './helpers/home.js'
import { randomMatrix } from './helpers/random.js'

const dim = 8
const schema = {
  vectors: { dim, metric: 'l2' },
  fields: { doc: 'keyword', n: 'int' },
} as const

type Docs = Collection<typeof schema>

/** 600 chunks of 30 documents, the first of which has half of them; some of none. In segments and a memtable. */
async function fill(docs: Docs): Promise<Float32Array> {
  const rows = 600
  const matrix = randomMatrix(rows, dim, 5)
  const row = (at: number): object => ({
    key: `k${String(at).padStart(3, '0')}`,
    vector: matrix.slice(at * dim, (at + 1) * dim),
    fields: {
      n: at,
      ...(at % 50 === 7 ? {} : { doc: at % 2 === 0 ? 'd0' : `d${at % 30}` }),
    },
  })
  await docs.upsert(Array.from({ length: 400 }, (_, at) => row(at)) as never)
  await docs.compact()
  await docs.upsert(Array.from({ length: 200 }, (_, at) => row(400 + at)) as never)
  await docs.delete(['k001', 'k401'])
  return matrix
}

let db: Database
let docs: Docs
let vector: Float32Array

test.before(async () => {
  db = await open(':memory:')
  docs = await db.collection('docs', schema)
  vector = (await fill(docs)).slice(3 * dim, 4 * dim)
})

test.after.always(() => db.close())

/** The slow way: all hits, put into groups. */
async function grouped(
  k: number,
  size: number,
  filter: Filter<typeof schema> = {},
): Promise<string[]> {
  const all = await docs.search({ vector, k: 10_000, exact: true, filter })
  const groups = new Map<unknown, string[]>()
  for (const { key, fields } of all) {
    const group = groups.get(fields.doc) ?? []
    if (group.length < size) group.push(key)
    groups.set(fields.doc, group)
  }
  return [...groups.values()].slice(0, k).flat()
}

test('groups are those of all hits, k of them even where one has half of the records', async (t) => {
  for (const [k, size] of [
    [1, 1],
    [5, 1],
    [12, 3],
    [100, 2],
    [100, 1000],
  ] as const) {
    for (const filter of [undefined, { n: { lt: 450 } }, { doc: ['d0', 'd3'] }]) {
      const query = { vector, k, exact: true, groupBy: { field: 'doc', size } } as const
      const hits = await docs.search(filter === undefined ? query : { ...query, filter })
      const keys = hits.map(({ key }) => key)
      t.deepEqual(keys, await grouped(k, size, filter), `${k} ${size} ${JSON.stringify(filter)}`)
      if (filter === undefined) t.deepEqual(docs.searchSync(query), hits)
    }
  }
  const { keys, stages } = await docs.explain({ vector, k: 5, groupBy: { field: 'doc' } })
  t.is(keys.length, 5)
  t.true(stages.length > 0)
})

test('the neighbours of a record are those of its vector without itself', async (t) => {
  for (const like of ['k003', 'k450']) {
    const own = (await docs.get(like, { vectors: true }))?.vector as Float32Array
    const near = await docs.search({ vector: own, k: 11, exact: true })
    const expected = near.filter(({ key }) => key !== like)
    t.is(expected.length, 10)
    const hits = await docs.search({ like, k: 10, exact: true })
    t.deepEqual(hits, expected)
    t.deepEqual(docs.searchSync({ like: { key: like }, k: 10, exact: true }), expected)
    t.deepEqual(
      (await docs.explain({ like, exact: true })).keys,
      expected.map(({ key }) => key),
    )
    const filtered = await docs.search({ like, k: 5, filter: { doc: 'd0' } })
    t.true(filtered.every(({ key, fields }) => key !== like && fields.doc === 'd0'))
  }
  await fails(t, () => docs.search({ like: 'nobody' }), 'ERR_NOT_FOUND', { key: 'nobody' })
  await fails(t, () => docs.search({ like: 'k001' }), 'ERR_NOT_FOUND', { key: 'k001' })
  await fails(t, () => docs.searchSync({ like: 'nobody' }), 'ERR_NOT_FOUND')
})

test('a record is like others by the vector field that is named, and by number keys', async (t) => {
  const two = await db.collection('two', {
    key: 'u64',
    vectors: { a: { dim: 1, metric: 'l2' }, b: { dim: 1, metric: 'l2' } },
  })
  await two.upsert([
    { key: 1n, vectors: { a: [0], b: [0] } },
    { key: 2n, vectors: { a: [1], b: [9] } },
    { key: 3n, vectors: { a: [9], b: [1] } },
  ])
  const keys = async (field: 'a' | 'b'): Promise<bigint[]> =>
    (await two.search({ like: { key: 1n, field } })).map(({ key }) => key)
  t.deepEqual(await keys('a'), [2n, 3n])
  t.deepEqual(await keys('b'), [3n, 2n])
  await fails(t, () => two.search({ like: 1n }), 'ERR_INVALID_ARGUMENT', { path: 'like' })
  await fails(t, () => two.search({ like: { key: 7n, field: 'a' } }), 'ERR_NOT_FOUND', { key: 7n })
})

test('diverse hits begin with the nearest, differ, and are the nearest without diversity', async (t) => {
  const near = await docs.search({ vector, k: 10, exact: true })
  t.deepEqual(await docs.search({ vector, k: 10, exact: true, diversity: 0 }), near)
  const diverse = await docs.search({ vector, k: 10, exact: true, diversity: 0.9, vectors: true })
  t.is(diverse.length, 10)
  t.is(diverse[0]?.key, near[0]?.key)
  t.is(new Set(diverse.map(({ key }) => key)).size, 10)
  // At 1 each is the one of the pool that is least like those before it.
  const pool = await docs.search({ vector, k: 100, exact: true, vectors: true })
  const hits = await docs.search({ vector, k: 6, exact: true, diversity: 1, vectors: true })
  const far = (a: Float32Array, b: Float32Array): number =>
    a.reduce((sum, x, at) => sum + (x - (b[at] as number)) ** 2, 0)
  for (let at = 1; at < hits.length; at += 1) {
    const before = hits.slice(0, at)
    const apart = (own: Float32Array): number =>
      Math.min(...before.map((it) => far(own, it.vector)))
    const best = Math.max(...pool.map((it) => apart(it.vector)))
    t.true(apart((hits[at] as (typeof hits)[0]).vector) > best - 1e-3)
  }
})

test('a search of nothing gives records by key, with neither distance nor score', async (t) => {
  const hits = await docs.search({ filter: { doc: 'd0' }, k: 3, select: ['n'] })
  t.deepEqual(
    hits.map(({ key, distance, score, fields }) => [key, distance, score, fields.n]),
    [
      ['k000', 0, 0, 0],
      ['k002', 0, 0, 2],
      ['k004', 0, 0, 4],
    ],
  )
  t.deepEqual(docs.searchSync({ filter: { doc: 'd0' }, k: 3, select: ['n'] }), hits)
  t.is((await docs.search({ k: 10_000 })).length, await docs.count())
  const { stages } = await docs.explain({ filter: { doc: 'd0' } })
  t.true(stages.every(({ path }) => path === 'keys'))
  const undefinedVector = { vector: undefined } as never
  await fails(t, () => docs.search(undefinedVector), 'ERR_INVALID_ARGUMENT', { path: 'vector' })
})

test('limits of distance and score hold on every way', async (t) => {
  const maxDistance = 2
  const minScore = 1 / (1 + maxDistance)
  for (const shape of [
    { vector },
    { like: 'k003' },
    { vector, groupBy: { field: 'doc', size: 2 } },
    { vector, diversity: 0.5 },
  ]) {
    for (const limit of [{ maxDistance }, { minScore }]) {
      const hits = await docs.search({ ...shape, ...limit, k: 500 })
      t.true(hits.length > 0 && hits.every(({ distance }) => distance <= maxDistance + 1e-6))
    }
  }
  for (const limit of [{ maxDistance }, { minScore }]) {
    const { distances } = await docs.searchBatch({ vectors: vector, k: 500, ...limit })
    t.true(distances.length > 0 && distances.every((distance) => distance <= maxDistance + 1e-6))
  }
})

test('readers in the past and of another handle shape alike', async (t) => {
  const directory = temporaryDirectory(t)
  const writer = await openFor(t, directory)
  const written = await writer.collection('docs', schema)
  await fill(written)
  const { version } = await writer.snapshot('then')
  const queries = [
    { vector, k: 5, exact: true, groupBy: { field: 'doc', size: 2 } },
    { like: 'k003', k: 5, exact: true },
    { vector, k: 5, exact: true, diversity: 0.7 },
    { filter: { doc: 'd3' }, k: 5 },
  ]
  const then = await Promise.all(queries.map((query) => written.search(query)))
  const reader = await openFor(t, directory, { mode: 'ro', refreshMs: 0 })
  const read = await reader.openCollection<typeof schema>('docs')
  t.deepEqual(await Promise.all(queries.map((query) => read.search(query))), then)
  await written.deleteWhere({})
  const past = await writer.at(version)
  t.teardown(() => past.close())
  const old = await past.openCollection<typeof schema>('docs')
  t.deepEqual(await Promise.all(queries.map((query) => old.search(query))), then)
})

test('deadlines and signals end shaped searches', async (t) => {
  for (const shape of [
    { vector, groupBy: { field: 'doc' } },
    { vector, diversity: 0.5 },
    { like: 'k003' },
    { filter: { doc: 'd0' } },
  ]) {
    await fails(t, () => docs.search({ ...shape, deadlineMs: 1e-9 }), 'ERR_DEADLINE')
    await fails(t, () => docs.search({ ...shape, signal: AbortSignal.abort() }), 'ERR_ABORTED')
  }
})
