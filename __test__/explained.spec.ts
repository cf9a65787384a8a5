// A search with `explain` finds what it finds without, and its hits have the plan of that very search.
import { EventEmitter, once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import test from 'ava'
import {
  open,
  type Collection,
  type SearchPlan,
  type SearchQuery,
  type SlowQuery,
} from '#ts/index.js'
import { fails } from './helpers/expect.js'
import { openFor } from './helpers/home.js'
import { randomMatrix } from './helpers/random.js'

const schema = {
  vectors: { near: { dim: 4, metric: 'l2' }, far: { dim: 2, metric: 'dot' } },
  fields: { n: 'int', doc: 'keyword', words: { type: 'text', language: 'english' } },
} as const
type Docs = Collection<typeof schema>
type Query = SearchQuery<typeof schema> & { readonly rerank?: undefined }

const vector = { near: [0.1, 0.2, 0.3, 0.4] }
const said = ['the sea is calm', 'tides of the sea', 'a storm at night', 'calm']

/** Records in a segment with a graph, and in a memtable. */
async function docsFor(t: Parameters<typeof openFor>[0]): Promise<Docs> {
  const db = await openFor(t, ':memory:', { compaction: 'none' })
  const docs = await db.collection('docs', schema)
  const rows = 2_500
  const near = randomMatrix(rows, 4, 1)
  const far = randomMatrix(rows, 2, 2)
  for (const [from, end] of [
    [0, 2_000],
    [2_000, rows],
  ] as const) {
    const own = Array.from({ length: end - from }, (_, at) => from + at)
    await docs.upsert({
      keys: own.map((n) => `k${n}`),
      vectors: { near: near.subarray(from * 4, end * 4), far: far.subarray(from * 2, end * 2) },
      fields: own.map((n) => ({ n, doc: `d${n % 7}`, words: said[n % said.length] })),
    })
    if (from === 0) await docs.compact()
  }
  return docs
}

const filter = { n: { lt: 1_900 } }
const queries: Readonly<Record<string, Query>> = {
  nearest: { vector },
  'nearest, exactly': { vector, exact: true, k: 3 },
  'among some': { vector, filter, k: 50 },
  'with vectors': { vector, filter, vectors: true, select: false },
  'with some fields': { vector, select: ['doc', 'n'] },
  'of nothing': { filter },
  'of nothing, all': { k: 5 },
  'like a record': { like: { key: 'k7', field: 'near' }, filter },
  'in groups': { vector, k: 5, groupBy: { field: 'doc', size: 2 }, filter },
  'unlike each other': { vector, diversity: 0.5 },
  'within a distance': { vector, maxDistance: 0.2, k: 500 },
  words: { text: 'sea', highlight: true, filter },
  'words, with a least score': { text: 'calm', minScore: 0.1 },
  'words and a vector': { text: 'storm', vector, filter },
  'several vectors': { vector: { ...vector, far: [1, 0] } },
}

/** What a plan says but for times, which are others each time. */
function untimed({ version, keys, stages }: SearchPlan<typeof schema>): unknown {
  return { version, keys, stages: stages.map((it) => ({ ...it, filterMicros: 0, micros: 0 })) }
}

for (const [title, query] of Object.entries(queries)) {
  test(`a search ${title} has the hits that it has without a plan`, async (t) => {
    const docs = await docsFor(t)
    const plain = await docs.search(query)
    t.true(plain.length > 0)
    t.false('plan' in plain)
    const began = performance.now()
    const hits = await docs.search({ ...query, explain: true })
    const elapsedMicros = 1000 * (performance.now() - began)
    t.deepEqual(hits, plain)
    const plan = hits.plan as SearchPlan<typeof schema>
    t.deepEqual(
      plan.keys,
      hits.map(({ key }) => key),
    )
    t.is(plan.version, (await docs.stats()).version)
    t.true(plan.stages.length > 0)
    t.deepEqual(untimed(plan), untimed(await docs.explain(query)))
    t.deepEqual(untimed(plan), untimed(await docs.explain({ ...query, explain: true })))

    const { filter: filtering, search, read } = plan.micros
    for (const micros of [filtering, search, read]) {
      t.true(Number.isFinite(micros) && micros >= 0, `${micros}`)
    }
    t.true(filtering + search + read <= elapsedMicros, `${elapsedMicros}`)
    const isFiltered = 'filter' in query
    if (!isFiltered) t.is(filtering, 0)
    const sources = new Set(plan.stages.map(({ asked }) => asked))
    const told = plan.stages.reduce((sum, { filterMicros }) => sum + filterMicros, 0)
    if (!isFiltered) t.is(told, 0)
    // Each source of several goes by the same rows, and so does each round of a search by groups.
    if (!('groupBy' in query)) t.true(told <= filtering * sources.size, `${told} ${filtering}`)
    const searched = plan.stages.reduce((sum, { micros }) => sum + micros, 0)
    t.true(searched <= search, `${searched} ${search}`)
  })
}

test('a plan is no part of what hits are copied to', async (t) => {
  const docs = await docsFor(t)
  const hits = await docs.search({ vector, k: 2, explain: true })
  t.deepEqual(Object.keys(hits), ['0', '1'])
  t.is(hits.length, 2)
  t.false('plan' in hits.slice())
  const numbered = (_: string, value: unknown): unknown =>
    typeof value === 'bigint' ? Number(value) : value
  t.false(JSON.stringify(hits, numbered).includes('stages'))
  for (const explain of [false, undefined] as const) {
    t.false('plan' in (await docs.search({ vector, explain })))
    t.true(docs.searchSync({ vector, explain }).length > 0)
    const vectors = { near: new Float32Array(4) }
    t.true((await docs.searchBatch({ vectors, explain })).keys.length > 0)
  }
})

test('numbers are keys of a plan as well', async (t) => {
  const db = await openFor(t)
  const ids = await db.collection('ids', { key: 'u64', vectors: { dim: 1, metric: 'l2' } })
  await ids.upsert({ keys: [5n, 6n], vectors: Float32Array.of(1, 2) })
  const hits = await ids.search({ vector: [2], explain: true })
  t.deepEqual(hits.plan?.keys, [6n, 5n])
})

test('the version of a plan is that of the call, whatever is written meanwhile', async (t) => {
  const docs = await docsFor(t)
  const { version } = await docs.stats()
  const search = docs.search({ vector, k: 1, explain: true })
  const plan = docs.explain({ vector })
  const row = { key: 'new', vectors: { near: vector.near, far: [0, 0] } }
  const written = docs.upsert(row)
  t.is((await search).plan?.version, version)
  t.not((await search)[0]?.key, 'new')
  t.is((await plan).version, version)
  t.true((await written).version > version)
  const after = await docs.search({ vector, k: 1, explain: true })
  t.deepEqual(after.plan?.keys, ['new'])
})

test('with a function that orders anew, the plan is that of the search before it', async (t) => {
  const docs = await docsFor(t)
  let given: string[] = []
  const hits = await docs.search({
    vector,
    k: 2,
    explain: true,
    rerank: async (found, { explain }) => {
      given = found.map(({ key }) => key)
      t.true(explain)
      await delay(1)
      return found.map((_, at) => at)
    },
  })
  t.is(given.length, 100)
  t.deepEqual(hits.plan?.keys, given)
  t.deepEqual(
    hits.map(({ key }) => key),
    given.slice(-2).toReversed(),
  )
  const none = await docs.search({
    vector,
    filter: { n: -1 },
    explain: true,
    rerank: () => [],
  })
  t.deepEqual([none.length, none.plan?.keys], [0, []])
})

test('a plan is refused where there is none, by its name', async (t) => {
  const docs = await docsFor(t)
  const facts = { path: 'explain' }
  const asks: readonly (() => unknown)[] = [
    () => docs.searchSync({ vector, explain: true } as never),
    () => docs.searchBatch({ vectors: { near: new Float32Array(4) }, explain: true } as never),
    () => docs.search({ vector, explain: true, filter: ({ n }) => n === 1 }),
    () => docs.search({ vector, explain: true, filter: [{ n: 1 }, () => true] }),
    () => docs.search({ vector, explain: 1 } as never),
    () => docs.searchSync({ vector, explain: 'yes' } as never),
    () => docs.searchBatch({ vectors: { near: new Float32Array(4) }, explain: null } as never),
  ]
  for (const ask of asks) await fails(t, ask, 'ERR_INVALID_ARGUMENT', facts)
})

test('a slow search that explains is told with its own plan', async (t) => {
  const told = new EventEmitter()
  const db = await open(':memory:', {
    slowQueryMs: 0,
    onSlowQuery: (slow) => told.emit('slow', slow),
  })
  const docs = await db.collection('docs', { vectors: { dim: 1, metric: 'l2' } })
  await docs.upsert({ keys: ['a', 'b'], vectors: Float32Array.of(1, 2) })
  const heard = once(told, 'slow') as Promise<[SlowQuery]>
  const hits = await docs.search({ vector: [1], explain: true })
  const [slow] = await heard
  t.is<unknown, unknown>(slow.plan, hits.plan)
  t.is(slow.collection, 'docs')
  const { micros } = slow.plan as SearchPlan
  t.true(micros.filter + micros.search + micros.read <= 1000 * slow.elapsedMs)
  await db.close()
})
