// What filters mean for values of JavaScript, through every call that takes one, before and after a flush.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { exportTo } from '#ts/io/index.js'
import { open, type Collection, type Database, type Filter } from '#ts/index.js'
import { fails } from './helpers/expect.js'
import { randomMatrix } from './helpers/random.js'

const dim = 4
const schema = {
  vectors: { dim, metric: 'l2' },
  fields: {
    lang: 'keyword',
    title: 'text',
    year: 'int',
    price: 'float',
    fresh: 'bool',
    seen: 'date',
    place: 'geo',
    more: 'json',
    blob: 'bytes',
    tags: 'keyword[]',
  },
} as const
type Docs = Collection<typeof schema>

const big = 2n ** 53n + 1n
/** What each record has, by key. */
const records: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  a: {
    lang: 'en',
    title: 'Tides of the Sea',
    year: 2024,
    price: 0.1,
    fresh: true,
    tags: ['sea', 'moon'],
  },
  b: { lang: 'de', title: 'Gezeiten', year: 2020, price: 5, fresh: false, seen: new Date(1000) },
  c: { lang: null, title: 'SEA and sky', year: big, seen: new Date(2000), tags: [] },
  d: {
    year: 2 ** 53 - 1,
    place: { lat: 52.52, lon: 13.405 },
    more: { deep: [{ er: 'x' }], 'a.b': 1 },
  },
  e: {
    place: { lat: -17.7, lon: 179.9 },
    blob: new Uint8Array([1, 2]),
    undeclared: 5n,
    price: 2 ** 60,
  },
  f: {},
}

/** Filters and the keys of the records that they hold for. */
const answers: readonly (readonly [Filter<typeof schema>, string])[] = [
  [{}, 'abcdef'],
  [{ lang: 'en' }, 'a'],
  [{ lang: ['en', 'de'] }, 'ab'],
  [{ lang: null }, 'c'],
  [{ lang: { isNull: true } }, 'c'],
  [{ lang: { exists: true } }, 'abc'],
  [{ lang: { exists: false } }, 'def'],
  [{ lang: { ne: 'en' } }, 'bcdef'],
  [{ lang: { nin: ['en', null] } }, 'bdef'],
  [{ lang: { $in: [] } }, ''],
  [{ year: { gte: 2020, lt: 2025 } }, 'ab'],
  [{ year: big }, 'c'],
  [{ year: 2 ** 53 }, ''],
  [{ year: { gt: 2n ** 53n } }, 'c'],
  [{ year: 2024.0 }, 'a'],
  [{ price: 0.1 }, 'a'],
  [{ price: 2 ** 60 }, 'e'],
  [{ price: 2n ** 60n }, 'e'],
  [{ price: { gt: 4.999_999_999 } }, 'be'],
  [{ fresh: true }, 'a'],
  [{ fresh: { ne: true } }, 'bcdef'],
  [{ seen: new Date(1000) }, 'b'],
  [{ seen: { gt: new Date(1000) } }, 'c'],
  [{ seen: { $lte: new Date(2000) } }, 'bc'],
  [{ title: { match: 'sea' } }, 'ac'],
  [{ title: { match: 'the tides' } }, 'a'],
  [{ title: { startsWith: 'Tid' } }, 'a'],
  [{ title: { regex: '^[A-S]' } }, 'bc'],
  [{ title: { regex: '(?i)sea' } }, 'ac'],
  [{ title: { not: { match: 'sea' } } }, 'bdef'],
  [{ tags: 'sea' }, 'a'],
  [{ tags: { contains: 'moon' } }, 'a'],
  [{ tags: { all: ['sea', 'moon'] } }, 'a'],
  [{ tags: { all: ['sea', 'sun'] } }, ''],
  [{ tags: { none: ['sea'] } }, 'bcdef'],
  [{ blob: new Uint8Array([1, 2]) }, 'e'],
  [{ 'more.deep.er': 'x' }, 'd'],
  [{ 'more.a\\.b': 1 }, 'd'],
  [{ undeclared: 5 }, 'e'],
  [{ place: { geoRadius: { center: { lat: 52.5, lon: 13.4 }, radius: 5000 } } }, 'd'],
  [
    { place: { geoBox: { topLeft: { lat: 0, lon: 179 }, bottomRight: { lat: -20, lon: -179 } } } },
    'e',
  ],
  [{ and: [{ lang: 'en' }, { year: 2020 }] }, ''],
  [{ or: [{ lang: 'en' }, { year: 2020 }] }, 'ab'],
  [{ $or: [] }, ''],
  [{ $and: [] }, 'abcdef'],
  [{ nor: [{ lang: 'en' }, { year: 2020 }] }, 'cdef'],
  [{ not: { lang: 'en' } }, 'bcdef'],
  [{ $key: 'b' }, 'b'],
  [{ $key: { in: ['a', 'f', 'z'] } }, 'af'],
  [{ $key: { gte: 'd' } }, 'def'],
  [{ $key: { startsWith: 'c' } }, 'c'],
]

let db: Database
/** In memory, in a segment, and half and half. */
let homes: readonly (readonly [string, Docs])[]

test.before(async () => {
  db = await open(':memory:')
  const keys = Object.keys(records)
  const vectors = randomMatrix(keys.length, dim, 5)
  const rows = keys.map((key, at) => ({
    key,
    vector: vectors.slice(at * dim, (at + 1) * dim),
    fields: records[key] as never,
  }))
  const make = async (name: string, before: number): Promise<readonly [string, Docs]> => {
    const docs = await db.collection(name, schema)
    await docs.upsert(rows.slice(0, before))
    if (before > 0) await docs.compact()
    await docs.upsert(rows.slice(before))
    return [name, docs]
  }
  homes = [await make('memory', 0), await make('segment', keys.length), await make('both', 3)]
})

test.after.always(() => db.close())

const vector = [0, 0, 0, 0]
const sorted = (keys: readonly string[]): string => [...keys].sort().join('')

test('a filter means the same in every call and in every place', async (t) => {
  for (const [name, docs] of homes) {
    for (const [filter, wanted] of answers) {
      const what = `${name} ${JSON.stringify(filter, (_, it: unknown) => (typeof it === 'bigint' ? `${it}` : it))}`
      const query = { vector, filter, select: false } as const
      t.is(sorted((await docs.search(query)).map(({ key }) => key)), wanted, what)
      t.is(sorted(docs.searchSync(query).map(({ key }) => key)), wanted, what)
      t.is(sorted((await docs.explain({ vector, filter })).keys), wanted, what)
      const { keys } = await docs.searchBatch({ vectors: new Float32Array(2 * dim), filter })
      t.is(sorted(keys), sorted((wanted + wanted).split('')), what)
      t.is(await docs.count(filter), wanted.length, what)
      const scanned: string[] = []
      for await (const { key } of docs.scan({ filter, select: false })) scanned.push(key)
      t.is(scanned.join(''), wanted, what)
    }
  }
})

test('a filtered scan goes on from its cursor and stops at its limit', async (t) => {
  for (const [, docs] of homes) {
    const filter = { lang: { ne: 'en' } }
    const first = docs.scan({ filter, limit: 2 })
    const keys: string[] = []
    for await (const { key } of first) keys.push(key)
    t.deepEqual(keys, ['b', 'c'])
    for await (const { key } of docs.scan({ filter, after: first.cursor ?? '' })) keys.push(key)
    t.deepEqual(keys, ['b', 'c', 'd', 'e', 'f'])
  }
})

test('keys that are numbers can be asked for', async (t) => {
  const ids = await db.collection('ids', { key: 'u64', vectors: { dim: 1, metric: 'l2' } })
  const top = 2n ** 64n - 1n
  await ids.upsert({ keys: [1n, 2n, top], vectors: new Float32Array([1, 2, 3]) })
  for (const state of ['memory', 'segment']) {
    if (state === 'segment') await ids.compact()
    t.is(await ids.count({ $key: top }), 1)
    t.is(await ids.count({ $key: { lt: 3n } }), 2)
    t.is(await ids.count({ $key: [1n, 5n] }), 1)
  }
})

test('explain tells how many rows a filter leaves, and how long it took to find them', async (t) => {
  const [, [, docs]] = homes as [unknown, readonly [string, Docs]]
  const { stages } = await docs.explain({ vector, filter: { lang: ['en', 'de'] } })
  const stage = stages.find(({ rows }) => rows > 0)
  t.is(stage?.matches, 2)
  t.is(stage?.estimate, 2)
  t.true((stage?.filterMicros ?? -1) >= 0)
  const all = await docs.explain({ vector })
  t.deepEqual(
    all.stages
      .filter(({ rows }) => rows > 0)
      .map(({ estimate, matches, filterMicros }) => [estimate, matches, filterMicros]),
    [[6, 6, 0]],
  )
})

test('a filter sees what was written just before, and nothing that was removed', async (t) => {
  const docs = await db.collection('fresh', schema)
  for (let round = 0; round < 3; round += 1) {
    await docs.upsert({ key: `k${round}`, vector, fields: { year: round } })
    t.is(await docs.count({ year: round }), 1)
    await docs.upsert({ key: `k${round}`, vector, fields: { year: 100 } })
    t.is(await docs.count({ year: round }), 0)
    t.is(await docs.count({ year: 100 }), 1)
    await docs.compact()
    t.is(await docs.count({ year: 100 }), 1)
    await docs.delete(`k${round}`)
    t.is(await docs.count({ year: 100 }), 0)
    t.deepEqual(await docs.search({ vector, filter: { year: 100 } }), [])
  }
})

test('an export can leave records out', async (t) => {
  const [, [, docs]] = homes as [unknown, readonly [string, Docs]]
  const folder = mkdtempSync(join(tmpdir(), 'cairn-filter-'))
  try {
    const file = join(folder, 'some.jsonl')
    const { rows } = await exportTo(docs, file, { filter: { lang: { exists: true } } })
    t.is(rows, 3)
    const keys = readFileSync(file, 'utf8').matchAll(/^\{"key":"(\w)"/gm)
    t.is([...keys].map(([, key]) => key).join(''), 'abc')
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('a filtered count that is aborted ends, and one that is not counts', async (t) => {
  const docs = await db.collection('many', { vectors: { dim: 1, metric: 'l2' } })
  const rows = 60_000
  await docs.upsert({
    keys: Array.from({ length: rows }, (_, at) => `k${at}`),
    vectors: new Float32Array(rows),
    fields: { n: Array.from({ length: rows }, (_, at) => at) },
  })
  await docs.compact()
  const aborting = new AbortController()
  // Four million comparisons are not made before the next line.
  const slow = { or: Array.from({ length: 64 }, (_, at) => ({ n: { lt: -at } })) }
  const counting = docs.count(slow, { signal: aborting.signal })
  aborting.abort()
  await fails(t, () => counting, 'ERR_ABORTED')
  t.is(await docs.count({ n: { gt: 5 } }), rows - 6)
})
