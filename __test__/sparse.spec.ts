// Sparse vectors through every call of a collection.
import { join } from 'node:path'
import test from 'ava'
import { exportTo, importFrom } from '#ts/io/index.js'
import { isCairnError, open, type SparseVector } from '#ts/index.js'
import { openFor, temporaryDirectory } from './helpers/home.js'
import { seeded } from './helpers/random.js'

const schema = {
  vectors: {
    dense: { dim: 3, metric: 'l2' },
    terms: { dim: 500, metric: 'dot', type: 'sparse' },
  },
  fields: { n: 'int', text: 'text' },
} as const

function random(next: () => number): { dense: Float32Array; terms: SparseVector } {
  const indices = new Set<number>()
  for (let at = 0; at < 1 + next() * 12; at += 1) indices.add(Math.floor(next() * next() * 500))
  const sorted = Uint32Array.from(indices).sort()
  return {
    dense: Float32Array.from({ length: 3 }, () => Math.floor(next() * 20)),
    terms: {
      indices: sorted,
      values: Float32Array.from(sorted, () => Math.floor(next() * 40 - 8) / 8),
    },
  }
}

/** The inner product; `undefined` where no index is shared. */
function product(a: SparseVector, b: SparseVector): number | undefined {
  let sum: number | undefined
  for (const [at, index] of a.indices.entries()) {
    const other = b.indices.indexOf(index)
    if (other !== -1) sum = (sum ?? 0) + (a.values[at] ?? 0) * (b.values[other] ?? 0)
  }
  return sum === undefined ? undefined : Math.fround(sum)
}

interface Scored {
  readonly key: string
  readonly score: number
}

function naive(
  all: readonly { terms: SparseVector }[],
  query: SparseVector,
  holds: (at: number) => boolean = () => true,
): Scored[] {
  const scored = all.flatMap(({ terms }, at) => {
    const score = holds(at) ? product(query, terms) : undefined
    return score === undefined ? [] : [{ key: keyOf(at), score }]
  })
  return scored.sort((a, b) => b.score - a.score || (a.key < b.key ? -1 : 1))
}

function keyOf(at: number): string {
  return `k${String(at).padStart(3, '0')}`
}

function scored(hits: readonly Scored[]): Scored[] {
  return hits.map(({ key, score }) => ({ key, score }))
}

test('a sparse vector is read as it was written, from memory, disk and log', async (t) => {
  const path = join(temporaryDirectory(t), 'data')
  const db = await open(path)
  const docs = await db.collection('docs', schema)
  const dense = [1, 2, 3]
  await docs.upsert([
    { key: 'a', vectors: { dense, terms: { indices: [3, 70, 499], values: [0.5, -1, 0] } } },
    {
      key: 'b',
      vectors: {
        dense,
        terms: { indices: new Uint32Array([0]), values: new Float32Array([1e-40]) },
      },
    },
  ])
  const a = {
    indices: new Uint32Array([3, 70, 499]),
    values: new Float32Array([0.5, -1, 0]),
  }
  const b = { indices: new Uint32Array([0]), values: new Float32Array([1e-40]) }
  const read = async (from: typeof docs): Promise<void> => {
    const got = await from.get(['a', 'b'], { vectors: true })
    t.deepEqual(
      got.map((record) => record?.vectors.terms),
      [a, b],
    )
    for await (const { key, vectors } of from.scan({ vectors: true })) {
      t.deepEqual(vectors.terms, key === 'a' ? a : b)
    }
    const hits = await from.search({ vector: { terms: a }, vectors: true })
    t.deepEqual(scored(hits), [{ key: 'a', score: 1.25 }])
    t.deepEqual(hits[0]?.vectors, { dense: new Float32Array(dense), terms: a })
    t.is(hits[0]?.distance, -1.25)
  }
  await read(docs)
  await docs.compact()
  await read(docs)
  await docs.update({ key: 'b', vectors: { dense } })
  await read(docs)
  await db.close()
  const again = await openFor(t, path)
  await read(await again.collection('docs', schema))
  const [listed] = await again.listCollections()
  t.is(listed?.schema?.vectors['terms']?.type, 'sparse')
  const other = { ...schema, vectors: { ...schema.vectors, terms: { dim: 500, metric: 'dot' } } }
  const error = await t.throwsAsync(again.collection('docs', other as never))
  t.true(isCairnError(error, 'ERR_SCHEMA_MISMATCH'))
})

test('every way to search gives the best by their products', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', schema)
  const seed = 0x5a
  t.log(`seed ${seed}`)
  const next = seeded(seed)
  const all = Array.from({ length: 300 }, () => random(next))
  const keys = all.map((_, at) => keyOf(at))
  await docs.upsert({
    keys,
    vectors: {
      dense: Float32Array.from(all.flatMap(({ dense }) => [...dense])),
      terms: all.map(({ terms }) => terms),
    },
    fields: { n: all.map((_, at) => at), text: all.map((_, at) => `word${at % 7}`) },
  })
  for (const compacted of [false, true]) {
    if (compacted) await docs.compact()
    const { dense, terms } = random(next)
    const asked = { vector: { terms }, k: 7 }
    const hits = await docs.search(asked)
    t.deepEqual(scored(hits), naive(all, terms).slice(0, 7))
    t.deepEqual(docs.searchSync(asked), hits)
    const some = await docs.search({ ...asked, filter: { n: { lt: 90 } } })
    t.deepEqual(scored(some), naive(all, terms, (at) => at < 90).slice(0, 7))
    const chosen = await docs.search({ ...asked, filter: ({ n }) => Number(n) % 2 === 0 })
    t.deepEqual(scored(chosen), naive(all, terms, (at) => at % 2 === 0).slice(0, 7))
    const least = naive(all, terms)[3]?.score ?? 0
    t.true((await docs.search({ ...asked, minScore: least })).every((hit) => hit.score >= least))

    const others = [terms, random(next).terms, random(next).terms]
    const batch = await docs.searchBatch({ vectors: { terms: others }, k: 5 })
    for (const [at, query] of others.entries()) {
      const [from, to] = [batch.offsets[at], batch.offsets[at + 1]]
      const keys = batch.keys.slice(from, to)
      const scores = batch.scores.slice(from, to)
      const found = keys.map((key, rank) => ({ key, score: scores[rank] ?? 0 }))
      t.deepEqual(found, naive(all, query).slice(0, 5))
    }

    const like = await docs.search({ like: { key: 'k007', field: 'terms' }, k: 3 })
    const own = all[7]?.terms ?? terms
    const near = naive(all, own).filter(({ key }) => key !== 'k007')
    t.deepEqual(scored(like), near.slice(0, 3))

    const plan = await docs.explain(asked)
    t.true(plan.stages.every(({ asked, path }) => asked === 'terms' && path === 'sparse'))

    const ranks = (found: readonly { key: string }[]): string[] => found.map(({ key }) => key)
    const lists = [
      ranks(await docs.search({ vector: { dense }, k: 100, exact: true })),
      ranks(naive(all, terms)).slice(0, 100),
      ranks(await docs.search({ text: 'word3', k: 100 })),
    ]
    const expected = new Map<string, number>()
    for (const list of lists) {
      for (const [at, key] of list.entries()) {
        expected.set(key, (expected.get(key) ?? 0) + 1 / (61 + at))
      }
    }
    const fused = await docs.search({ vector: { dense, terms }, text: 'word3', k: 20 })
    const best = [...expected.values()].sort((a, b) => b - a).slice(0, 20)
    t.deepEqual(
      fused.map(({ score }) => score),
      best.map(Math.fround),
    )
    t.true(fused.every(({ key, score }) => score === Math.fround(expected.get(key) ?? 0)))
  }
})

test('a schema with one sparse field takes it without its name', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', {
    vectors: { dim: 10, metric: 'dot', type: 'sparse' },
  })
  const vector = { indices: [1, 5], values: [1, 2] }
  await docs.upsert({ key: 'a', vector })
  await docs.upsert({ keys: ['b', 'c'], vectors: [vector, { indices: [9], values: [4] }] })
  const hits = await docs.search({ vector, vectors: true })
  t.deepEqual(scored(hits), [
    { key: 'a', score: 5 },
    { key: 'b', score: 5 },
  ])
  t.deepEqual(hits[0]?.vector, {
    indices: new Uint32Array([1, 5]),
    values: new Float32Array([1, 2]),
  })
  const named = await docs.search({ vector: { vector } })
  t.is(named.length, 2)
  const { offsets } = await docs.searchBatch({ vectors: [vector, { indices: [0], values: [1] }] })
  t.deepEqual([...offsets], [0, 2, 2])
  const { recall } = await docs.recall({ sample: 3, k: 1 })
  t.is(recall, 1)
  const diverse = docs.search({ vector, diversity: 0.5 })
  t.true(isCairnError(await t.throwsAsync(diverse), 'ERR_INVALID_ARGUMENT'))
})

test('an older version keeps its sparse vectors, and a backup has them', async (t) => {
  const db = await openFor(t, join(temporaryDirectory(t), 'data'))
  const docs = await db.collection('docs', schema)
  const next = seeded(3)
  const before = random(next)
  await docs.add({ key: 'a', vectors: before })
  const { version } = await db.snapshot('before')
  const terms = { indices: [499], values: [7] }
  await docs.update({ key: 'a', vectors: { terms } })
  t.deepEqual((await docs.search({ vector: { terms } })).length, 1)
  const old = await db.at(version)
  t.teardown(() => old.close())
  const then = await old.collection('docs', schema)
  t.deepEqual((await then.get('a', { vectors: true }))?.vectors.terms, before.terms)
  t.deepEqual(
    scored(await then.search({ vector: { terms: before.terms } })),
    naive([before], before.terms).map(({ score }) => ({ key: 'a', score })),
  )
})

test('records leave as JSON lines and come back the same, and as nothing else', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', schema)
  const next = seeded(9)
  await docs.upsert(
    Array.from({ length: 20 }, (_, at) => ({
      key: keyOf(at),
      vectors: random(next),
      fields: { n: at },
    })),
  )
  const home = temporaryDirectory(t)
  const path = join(home, 'docs.jsonl')
  await exportTo(docs, path)
  await importFrom({ db, name: 'copy' }, path)
  const copy = await db.collection('copy', schema)
  for await (const record of docs.scan({ vectors: true })) {
    t.deepEqual((await copy.get(record.key, { vectors: true }))?.vectors, record.vectors)
  }
  t.is(await copy.count(), 20)
  for (const [name, options] of [
    ['docs.arrow', {}],
    ['docs.parquet', {}],
    ['docs.npy', { vectors: 'terms' }],
    ['docs.fvecs', { vectors: 'terms' }],
  ] as const) {
    const error = await t.throwsAsync(exportTo(docs, join(home, name), options))
    t.true(isCairnError(error, 'ERR_INVALID_ARGUMENT'), name)
  }
  await exportTo(docs, join(home, 'dense.npy'), { vectors: 'dense' })
  await exportTo(docs, join(home, 'none.parquet'), { vectors: false })
})

test('a stream of rows takes sparse vectors', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', schema)
  const next = seeded(10)
  const rows = Array.from({ length: 50 }, (_, at) => ({ key: keyOf(at), vectors: random(next) }))
  await docs.ingest(rows, { chunkRows: 7 })
  const read = await docs.get('k013', { vectors: true })
  t.deepEqual(read?.vectors.terms, rows[13]?.vectors.terms)
})
