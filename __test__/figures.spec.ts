// Facets and figures, against a look at every record.
import test from 'ava'
import type { Collection, Filter } from '#ts/index.js'
import { fails } from './helpers/expect.js'
import { openFor, temporaryDirectory } from './helpers/home.js'
import { seeded } from './helpers/random.js'

const schema = {
  vectors: { dim: 1, metric: 'l2' },
  fields: {
    n: 'int',
    price: 'float',
    day: 'date',
    tags: 'keyword[]',
    ints: 'int[]',
    fresh: 'bool',
    lang: 'keyword',
  },
} as const

type Docs = Collection<typeof schema>

async function fill(docs: Docs, seed: number): Promise<void> {
  const next = seeded(seed)
  const below = (bound: number): number => Math.floor(next() * bound)
  for (let round = 0; round < 6; round += 1) {
    const rows = Array.from({ length: 120 }, () => ({
      key: `k${below(500)}`,
      vector: [1],
      fields: {
        ...(next() < 0.8 ? { n: below(40) - 20, more: below(10) } : {}),
        ...(next() < 0.8 ? { price: below(100) / 4 } : {}),
        ...(next() < 0.8 ? { day: new Date(below(10) * 86_400_000) } : {}),
        ...(next() < 0.5 ? { tags: Array.from({ length: below(4) }, () => `t${below(5)}`) } : {}),
        ...(next() < 0.5 ? { ints: [below(5), below(5), below(5)] } : {}),
        ...(next() < 0.5
          ? { fresh: next() < 0.5, lang: next() < 0.1 ? null : `l${below(4)}` }
          : {}),
      },
    }))
    await docs.upsert(rows)
    if (round % 3 === 1) await docs.compact()
    if (round % 3 === 2) await docs.delete(rows.slice(0, 30).map(({ key }) => key))
  }
}

/** Values of a field, the elements of arrays one by one, for each record. */
async function valuesOf(
  docs: Docs,
  field: string,
  filter: Filter<typeof schema> = {},
): Promise<unknown[][]> {
  const all: unknown[][] = []
  for await (const { fields } of docs.scan({ filter })) {
    const own = (fields as Record<string, unknown>)[field]
    all.push(own === undefined ? [] : Array.isArray(own) ? (own as unknown[]) : [own])
  }
  return all
}

const plain = (value: unknown): unknown => (value instanceof Date ? value.getTime() : value)

test('a facet counts what the records have, and its values are those of filters', async (t) => {
  const seed = Date.now() % 2 ** 31
  t.log(`seed ${seed}`)
  const docs = await (await openFor(t)).collection('docs', schema)
  await fill(docs, seed)
  for (const field of ['n', 'price', 'day', 'tags', 'ints', 'fresh', 'lang', 'more']) {
    for (const filter of [undefined, { n: { gt: 0 } }, { fresh: true }]) {
      const counts = new Map<unknown, number>()
      for (const values of await valuesOf(docs, field, filter)) {
        for (const value of new Set(values.map(plain)))
          counts.set(value, (counts.get(value) ?? 0) + 1)
      }
      const found = await docs.facet(field, filter === undefined ? {} : { filter })
      const what = `seed ${seed} ${field} ${JSON.stringify(filter)}`
      for (const { value, count } of found) t.is(count, counts.get(plain(value)) ?? 0, what)
      t.is(found.length, counts.size)
      for (let at = 1; at < found.length; at += 1) {
        const [before, own] = [found[at - 1], found[at]] as [(typeof found)[0], (typeof found)[0]]
        const [a, b] = [plain(before.value), plain(own.value)] as [number, number]
        t.true(before.count > own.count || a === null || a < b, what)
      }
      t.deepEqual(await docs.facet(field, { ...(filter && { filter }), k: 2 }), found.slice(0, 2))
    }
    for (const { value, count } of (await docs.facet(field)).slice(0, 5)) {
      t.is(await docs.count({ [field]: { eq: value } }), count, `${field} ${String(value)}`)
    }
  }
})

test('figures are those of the records', async (t) => {
  const seed = Date.now() % 2 ** 31
  t.log(`seed ${seed}`)
  const docs = await (await openFor(t)).collection('docs', schema)
  await fill(docs, seed)
  for (const field of ['n', 'price', 'ints', 'more']) {
    for (const filter of [{}, { n: { gt: 0 } }]) {
      const values = (await valuesOf(docs, field, filter)).flat() as number[]
      const sum = values.reduce((a, b) => a + b, 0)
      t.deepEqual(
        await docs.aggregate(field as 'n', { filter }),
        {
          count: values.length,
          min: Math.min(...values),
          max: Math.max(...values),
          sum,
          mean: sum / values.length,
        },
        `seed ${seed} ${field}`,
      )
    }
  }
  const days = ((await valuesOf(docs, 'day')).flat() as Date[]).map(Number)
  const mean = Math.round(days.reduce((a, b) => a + b, 0) / days.length)
  t.deepEqual(await docs.aggregate('day'), {
    count: days.length,
    min: new Date(Math.min(...days)),
    max: new Date(Math.max(...days)),
    sum: null,
    mean: new Date(mean),
  })
})

test('several figures come by name, and histograms have buckets', async (t) => {
  const docs = await (await openFor(t)).collection('docs', schema)
  const at = (day: number): Date => new Date(day * 86_400_000)
  await docs.upsert(
    [1, 2, 2, 3, 10].map((n, index) => ({
      key: `k${index}`,
      vector: [1],
      fields: { n, price: n / 2, day: at(n), lang: index === 0 ? null : 'en' },
    })),
  )
  t.deepEqual(
    await docs.aggregate({
      low: { op: 'min', field: 'n' },
      top: { op: 'max', field: 'price' },
      all: { op: 'sum', field: 'n' },
      mid: { op: 'mean', field: 'price' },
      named: { op: 'count', field: 'lang' },
      three: { op: 'histogram', field: 'n', buckets: 3 },
      given: { op: 'histogram', field: 'n', bounds: [2, 3, 5] },
      days: { op: 'histogram', field: 'day', bounds: [at(1), at(3), at(20)] },
      ['__proto__']: { op: 'count', field: 'n' },
    } as never),
    Object.defineProperty(
      {
        low: 1,
        top: 5,
        all: 18,
        mid: 1.8,
        named: 4,
        three: [
          { from: 1, to: 4, count: 4 },
          { from: 4, to: 7, count: 0 },
          { from: 7, to: 10, count: 1 },
        ],
        given: [
          { from: 2, to: 3, count: 2 },
          { from: 3, to: 5, count: 1 },
        ],
        days: [
          { from: at(1), to: at(3), count: 3 },
          { from: at(3), to: at(20), count: 2 },
        ],
      },
      '__proto__',
      { value: 5, enumerable: true, configurable: true, writable: true },
    ) as never,
  )
  t.deepEqual(await docs.aggregate({}), {})
})

test('sums of integers are exact beyond what a number holds', async (t) => {
  const docs = await (await openFor(t)).collection('docs', schema)
  const most = 2n ** 63n - 1n
  await docs.upsert(
    Array.from({ length: 10 }, (_, at) => ({ key: `k${at}`, vector: [1], fields: { n: most } })),
  )
  t.deepEqual(await docs.aggregate('n'), {
    count: 10,
    min: most,
    max: most,
    sum: 10n * most,
    mean: Number(most),
  })
  await docs.compact()
  t.is((await docs.aggregate('n')).sum, 10n * most)
})

test('nothing has no figures', async (t) => {
  const docs = await (await openFor(t)).collection('docs', schema)
  const none = { count: 0, min: null, max: null, sum: null, mean: null }
  t.deepEqual(await docs.aggregate('n'), none)
  t.deepEqual(await docs.facet('n'), [])
  await docs.upsert({ key: 'a', vector: [1], fields: { n: null } })
  t.deepEqual(await docs.aggregate('n'), none)
  t.deepEqual(await docs.facet('n'), [{ value: null, count: 1 }])
  const answers = await docs.aggregate({
    a: { op: 'histogram', field: 'n', buckets: 3 },
    b: { op: 'histogram', field: 'n', bounds: [1, 2] },
    c: { op: 'count', field: 'n' },
    d: { op: 'mean', field: 'n' },
  })
  t.deepEqual(answers, { a: null, b: null, c: 0, d: null })
})

test('readers and the past have their own figures', async (t) => {
  const directory = temporaryDirectory(t)
  const db = await openFor(t, directory)
  const docs = await db.collection('docs', schema)
  await fill(docs, 3)
  const { version } = await db.snapshot('then')
  const ask = (of: Docs): Promise<unknown> => Promise.all([of.facet('n'), of.aggregate('price')])
  const then = await ask(docs)
  const reader = await openFor(t, directory, { mode: 'ro', refreshMs: 0 })
  t.deepEqual(await ask(await reader.openCollection<typeof schema>('docs')), then)
  await docs.deleteWhere({})
  const past = await db.at(version)
  t.teardown(() => past.close())
  t.deepEqual(await ask(await past.openCollection<typeof schema>('docs')), then)
  t.deepEqual(await docs.facet('n'), [])
})

test('deadlines and signals end facets and figures', async (t) => {
  const docs = await (await openFor(t)).collection('docs', schema)
  await fill(docs, 4)
  await fails(t, () => docs.facet('n', { deadlineMs: 1e-9 }), 'ERR_DEADLINE')
  await fails(t, () => docs.aggregate('n', { deadlineMs: 1e-9 }), 'ERR_DEADLINE')
  const { signal } = new AbortController()
  t.is((await docs.facet('lang', { signal, deadlineMs: 60_000 })).length > 0, true)
  await fails(t, () => docs.facet('n', { signal: AbortSignal.abort() }), 'ERR_ABORTED')
  await fails(t, () => docs.aggregate('n', { signal: AbortSignal.abort() }), 'ERR_ABORTED')
})
