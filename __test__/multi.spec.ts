// Several vectors a record through every call of a collection.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { exportTo, importFrom } from '#ts/io/index.js'
import { isCairnError, open, type Metric } from '#ts/index.js'
import { openFor, temporaryDirectory } from './helpers/home.js'
import { seeded } from './helpers/random.js'

const schema = {
  vectors: {
    dense: { dim: 3, metric: 'l2' },
    tokens: { dim: 5, metric: 'l2', type: 'multi' },
  },
  fields: { n: 'int', text: 'text' },
} as const

const f32 = (...numbers: number[]): Float32Array => Float32Array.from(numbers)

/** Small whole numbers, of which distances are exact; never zero. */
function several(next: () => number, dim: number, most: number): Float32Array[] {
  const count = 1 + Math.floor(next() * most)
  return Array.from({ length: count }, () =>
    Float32Array.from({ length: dim }, (_, at) => Math.floor(next() * 9) - (at === 0 ? -1 : 4)),
  )
}

function random(next: () => number): { dense: Float32Array; tokens: Float32Array[] } {
  return { dense: several(next, 3, 1)[0] ?? f32(1, 1, 1), tokens: several(next, 5, 7) }
}

function between(metric: Metric, a: Float32Array, b: Float32Array): number {
  const sum = (term: (x: number, y: number) => number): number =>
    a.reduce((all, x, at) => all + term(x, b[at] ?? 0), 0)
  const product = sum((x, y) => x * y)
  if (metric === 'l2') return sum((x, y) => (x - y) ** 2)
  if (metric === 'l1') return sum((x, y) => Math.abs(x - y))
  return metric === 'dot' ? -product : 1 - product / (Math.hypot(...a) * Math.hypot(...b))
}

/** The sum of the smallest distances. */
function distanceOf(
  metric: Metric,
  query: readonly Float32Array[],
  record: readonly Float32Array[],
) {
  const least = (one: Float32Array): number =>
    Math.min(...record.map((other) => between(metric, one, other)))
  return query.reduce((sum, one) => sum + least(one), 0)
}

interface Near {
  readonly key: string
  readonly distance: number
}

function naive(
  all: readonly { tokens: readonly Float32Array[] }[],
  query: readonly Float32Array[],
  holds: (at: number) => boolean = () => true,
): Near[] {
  const near = all.flatMap(({ tokens }, at) =>
    holds(at) ? [{ key: keyOf(at), distance: distanceOf('l2', query, tokens) }] : [],
  )
  return near.sort((a, b) => a.distance - b.distance || (a.key < b.key ? -1 : 1))
}

function keyOf(at: number): string {
  return `k${String(at).padStart(3, '0')}`
}

function nearOf(hits: readonly Near[]): Near[] {
  return hits.map(({ key, distance }) => ({ key, distance }))
}

test('several vectors are read as they were written, from memory, disk and log', async (t) => {
  const path = join(temporaryDirectory(t), 'data')
  const db = await open(path)
  const docs = await db.collection('docs', schema)
  const dense = [1, 2, 3]
  const a = [f32(1, 2, 3, 4, 5), f32(0, -0, 1e-40, 3, -1)]
  const b = [f32(9, 9, 9, 9, 9)]
  await docs.upsert([
    { key: 'a', vectors: { dense, tokens: [[1, 2, 3, 4, 5], f32(0, -0, 1e-40, 3, -1)] } },
    { key: 'b', vectors: { dense, tokens: f32(9, 9, 9, 9, 9) } },
  ])
  const read = async (from: typeof docs): Promise<void> => {
    const got = await from.get(['a', 'b'], { vectors: true })
    t.deepEqual(
      got.map((record) => record?.vectors.tokens),
      [a, b],
    )
    for await (const { key, vectors } of from.scan({ vectors: true })) {
      t.deepEqual(vectors.tokens, key === 'a' ? a : b)
    }
    const hits = await from.search({ vector: { tokens: b }, vectors: true, k: 1 })
    t.deepEqual(nearOf(hits), [{ key: 'b', distance: 0 }])
    t.deepEqual(hits[0]?.vectors, { dense: new Float32Array(dense), tokens: b })
    t.is(hits[0]?.score, 1)
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
  t.is(listed?.schema?.vectors['tokens']?.type, 'multi')
  const other = { ...schema, vectors: { ...schema.vectors, tokens: { dim: 5, metric: 'l2' } } }
  const error = await t.throwsAsync(again.collection('docs', other as never))
  t.true(isCairnError(error, 'ERR_SCHEMA_MISMATCH'))
})

test('every way to search gives the nearest by the sum of the smallest distances', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', schema)
  const seed = 0x3a
  t.log(`seed ${seed}`)
  const next = seeded(seed)
  const all = Array.from({ length: 300 }, () => random(next))
  await docs.upsert({
    keys: all.map((_, at) => keyOf(at)),
    vectors: {
      dense: Float32Array.from(all.flatMap(({ dense }) => [...dense])),
      tokens: all.map(({ tokens }) => tokens),
    },
    fields: { n: all.map((_, at) => at), text: all.map((_, at) => `word${at % 7}`) },
  })
  for (const compacted of [false, true]) {
    if (compacted) await docs.compact()
    const { dense, tokens } = random(next)
    const asked = { vector: { tokens }, k: 7 }
    const hits = await docs.search(asked)
    t.deepEqual(nearOf(hits), naive(all, tokens).slice(0, 7))
    t.deepEqual(docs.searchSync(asked), hits)
    const flat = Float32Array.from(tokens.flatMap((token) => [...token]))
    t.deepEqual(await docs.search({ ...asked, vector: { tokens: flat } }), hits)
    const some = await docs.search({ ...asked, filter: { n: { lt: 90 } } })
    t.deepEqual(nearOf(some), naive(all, tokens, (at) => at < 90).slice(0, 7))
    const chosen = await docs.search({ ...asked, filter: ({ n }) => Number(n) % 2 === 0 })
    t.deepEqual(nearOf(chosen), naive(all, tokens, (at) => at % 2 === 0).slice(0, 7))
    const most = naive(all, tokens)[3]?.distance ?? 0
    const within = await docs.search({ ...asked, maxDistance: most })
    t.true(within.length >= 4 && within.every(({ distance }) => distance <= most))

    const others = [tokens, random(next).tokens, random(next).tokens]
    const batch = await docs.searchBatch({ vectors: { tokens: others }, k: 5 })
    for (const [at, query] of others.entries()) {
      const [from, to] = [batch.offsets[at], batch.offsets[at + 1]]
      const distances = batch.distances.slice(from, to)
      const keys = batch.keys.slice(from, to)
      const found = keys.map((key, rank) => ({ key, distance: distances[rank] ?? 0 }))
      t.deepEqual(found, naive(all, query).slice(0, 5))
    }

    const like = await docs.search({ like: { key: 'k007', field: 'tokens' }, k: 3 })
    const near = naive(all, all[7]?.tokens ?? tokens).filter(({ key }) => key !== 'k007')
    t.deepEqual(nearOf(like), near.slice(0, 3))

    const plan = await docs.explain(asked)
    t.true(plan.stages.every(({ asked, path }) => asked === 'tokens' && path === 'flat'))

    const ranks = (found: readonly { key: string }[]): string[] => found.map(({ key }) => key)
    const lists = [
      ranks(await docs.search({ vector: { dense }, k: 100, exact: true })),
      ranks(naive(all, tokens)).slice(0, 100),
      ranks(await docs.search({ text: 'word3', k: 100 })),
    ]
    const expected = new Map<string, number>()
    for (const list of lists) {
      for (const [at, key] of list.entries()) {
        expected.set(key, (expected.get(key) ?? 0) + 1 / (61 + at))
      }
    }
    const fused = await docs.search({ vector: { dense, tokens }, text: 'word3', k: 20 })
    const best = [...expected.values()].sort((a, b) => b - a).slice(0, 20)
    t.deepEqual(
      fused.map(({ score }) => score),
      best.map(Math.fround),
    )
    t.true(fused.every(({ key, score }) => score === Math.fround(expected.get(key) ?? 0)))
  }
})

for (const metric of ['cosine', 'dot', 'l2', 'l1'] as const) {
  test(`a score under ${metric} is what the documentation says`, async (t) => {
    const db = await openFor(t)
    const docs = await db.collection('docs', { vectors: { dim: 4, metric, type: 'multi' } })
    const next = seeded(17)
    const all = Array.from({ length: 40 }, () => several(next, 4, 6))
    await docs.upsert({ keys: all.map((_, at) => keyOf(at)), vectors: all })
    const query = several(next, 4, 9)
    const expected = all
      .map((record) => distanceOf(metric, query, record))
      .sort((a, b) => a - b)
      .slice(0, 10)
    const hits = await docs.search({ vector: query })
    for (const [rank, { distance, score }] of hits.entries()) {
      const wanted = expected[rank] ?? Number.NaN
      t.true(Math.abs(distance - wanted) < 1e-5)
      const { length } = query
      const scores = { cosine: length - wanted, dot: -wanted, l2: 0, l1: 0 }
      const right = scores[metric] === 0 ? 1 / (1 + wanted) : scores[metric]
      t.true(Math.abs(score - right) < 1e-5, `${score} ${right}`)
    }
    const least = hits[4]?.score ?? 0
    const better = await docs.search({ vector: query, minScore: least })
    t.true(better.length >= 5 && better.every(({ score }) => score >= least))
  })
}

test('a schema with one such field takes it without its name', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', { vectors: { dim: 2, metric: 'dot', type: 'multi' } })
  const vector = [
    [1, 0],
    [0, 2],
  ]
  await docs.upsert({ key: 'a', vector })
  await docs.upsert({ keys: ['b', 'c'], vectors: [vector, f32(4, 4)] })
  const hits = await docs.search({ vector, vectors: true })
  t.deepEqual(nearOf(hits), [
    { key: 'c', distance: -12 },
    { key: 'a', distance: -5 },
    { key: 'b', distance: -5 },
  ])
  t.deepEqual(hits[1]?.vector, [f32(1, 0), f32(0, 2)])
  t.is((await docs.search({ vector: { vector } })).length, 3)
  const { offsets } = await docs.searchBatch({ vectors: [vector, [[0, 1]]], k: 2 })
  t.deepEqual([...offsets], [0, 2, 4])
  const { recall } = await docs.recall({ sample: 3, k: 1 })
  t.is(recall, 1)
  const grouped = await docs.search({ vector, groupBy: { field: 'g' } })
  t.is(grouped.length, 1)
  const diverse = docs.search({ vector, diversity: 0.5 })
  t.true(isCairnError(await t.throwsAsync(diverse), 'ERR_INVALID_ARGUMENT'))
})

test('4,096 vectors are a record, and a query', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', { vectors: { dim: 3, metric: 'cosine', type: 'multi' } })
  const next = seeded(4)
  const all = Float32Array.from({ length: 3 * 4_096 }, () => next() - 0.5)
  await docs.add({ key: 'a', vector: all })
  await docs.compact()
  const [hit] = await docs.search({ vector: all, vectors: true })
  t.true(Math.abs(hit?.distance ?? 1) < 1e-3)
  t.is(hit?.vector.length, 4_096)
  t.deepEqual(hit?.vector[4_095], all.subarray(-3))
})

test('an older version keeps its vectors, and the latest of a batch wins', async (t) => {
  const db = await openFor(t, join(temporaryDirectory(t), 'data'))
  const docs = await db.collection('docs', schema)
  const next = seeded(3)
  const before = random(next)
  await docs.add({ key: 'a', vectors: before })
  const { version } = await db.snapshot('before')
  await docs.update([
    { key: 'a', vectors: { tokens: [[1, 1, 1, 1, 1]] } },
    {
      key: 'a',
      vectors: {
        tokens: [
          [2, 2, 2, 2, 2],
          [3, 3, 3, 3, 3],
        ],
      },
    },
  ])
  const now = [f32(2, 2, 2, 2, 2), f32(3, 3, 3, 3, 3)]
  t.deepEqual((await docs.get('a', { vectors: true }))?.vectors.tokens, now)
  const old = await db.at(version)
  t.teardown(() => old.close())
  const then = await old.collection('docs', schema)
  t.deepEqual((await then.get('a', { vectors: true }))?.vectors.tokens, before.tokens)
  t.deepEqual(nearOf(await then.search({ vector: { tokens: now } })), [
    { key: 'a', distance: distanceOf('l2', now, before.tokens) },
  ])
})

test('records leave as lines and as columns and come back the same, but in no matrix', async (t) => {
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
  for (const name of ['docs.jsonl', 'docs.arrow', 'docs.arrows', 'docs.parquet']) {
    const path = join(home, name)
    await exportTo(docs, path)
    await importFrom({ db, name }, path)
    const copy = await db.collection(name, schema)
    for await (const record of docs.scan({ vectors: true })) {
      t.deepEqual((await copy.get(record.key, { vectors: true }))?.vectors, record.vectors)
    }
    t.is(await copy.count(), 20)
  }
  for (const name of ['docs.npy', 'docs.fvecs']) {
    const error = await t.throwsAsync(exportTo(docs, join(home, name), { vectors: 'tokens' }))
    t.true(isCairnError(error, 'ERR_INVALID_ARGUMENT'), name)
  }
  await exportTo(docs, join(home, 'dense.npy'), { vectors: 'dense' })
})

test('lines of another program have vectors one by one or end to end, and nothing is made up', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', { vectors: { dim: 2, metric: 'l2', type: 'multi' } })
  const path = join(temporaryDirectory(t), 'docs.jsonl')
  const lines = [
    [
      [1, 2],
      [3, 4],
    ],
    [1, 2, 3, 4],
    [[5, 6]],
  ]
  const text = lines.map((vector, at) => JSON.stringify({ key: `k${at}`, vector }))
  writeFileSync(path, text.join('\n'))
  await importFrom(docs, path)
  const got = await docs.get(['k0', 'k1', 'k2'], { vectors: true })
  const two = [f32(1, 2), f32(3, 4)]
  t.deepEqual(
    got.map((record) => record?.vector),
    [two, two, [f32(5, 6)]],
  )
  for (const wrong of [[], [[]], [null, 1], ['1', 2], [1, [2, 3]], [[1, 2], 3], [1, 2, 3], {}]) {
    writeFileSync(path, JSON.stringify({ key: 'wrong', vector: wrong }))
    await t.throwsAsync(importFrom(docs, path), undefined, JSON.stringify(wrong))
    t.is(await docs.count(), 3)
  }
})

test('a stream of rows takes several vectors', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', schema)
  const next = seeded(10)
  const rows = Array.from({ length: 50 }, (_, at) => ({ key: keyOf(at), vectors: random(next) }))
  await docs.ingest(rows, { chunkRows: 7 })
  const read = await docs.get('k013', { vectors: true })
  t.deepEqual(read?.vectors.tokens, rows[13]?.vectors.tokens)
})
