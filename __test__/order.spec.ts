// Scans in the order of a field, against a sort of all records, and their cursors.
import test from 'ava'
import type { Collection, OrderBy, Scan } from '#ts/index.js'
import { startCursor } from '#ts/scan.js'
import { orderedCursor, placeOfCursor } from '#ts/shape.js'
import { ended, start } from './helpers/child.js'
import { fails } from './helpers/expect.js'
import { openFor, temporaryDirectory } from './helpers/home.js'
import { seeded } from './helpers/random.js'

const schema = {
  vectors: { dim: 1, metric: 'l2' },
  fields: { n: 'int', day: 'date', tags: 'keyword[]', word: 'text' },
} as const

type Docs = Collection<typeof schema>

/** Random records, written, replaced and removed, in segments and a memtable. */
async function fill(docs: Docs, seed: number): Promise<void> {
  const next = seeded(seed)
  const below = (bound: number): number => Math.floor(next() * bound)
  const words = ['', 'a', 'ab', 'b', '\u00e9', '\u{1F600}']
  for (let round = 0; round < 8; round += 1) {
    const rows = Array.from({ length: 150 }, () => ({
      key: `k${below(900)}`,
      vector: [1],
      fields: {
        ...(next() < 0.7
          ? { n: next() < 0.1 ? 2n ** 60n + BigInt(below(3)) : below(20) - 10 }
          : {}),
        ...(next() < 0.6 ? { day: new Date(below(30) * 1e9 - 1e10) } : {}),
        ...(next() < 0.5
          ? { tags: Array.from({ length: below(4) }, () => words[below(6)] ?? '') }
          : {}),
        ...(next() < 0.6
          ? { word: words[below(6)] ?? '', other: next() < 0.5 ? below(5) : `${below(5)}` }
          : {}),
      },
    }))
    await docs.upsert(rows)
    if (round % 3 === 1) await docs.compact()
    if (round % 3 === 2) await docs.delete(rows.slice(0, 40).map(({ key }) => key))
  }
}

const bytes = (text: unknown): Buffer => Buffer.from(String(text))
const kindOf = (value: unknown): number =>
  value === null ? 0 : ['boolean', 'number', 'bigint', 'object', 'string'].indexOf(typeof value) + 1

function compare(a: unknown, b: unknown): number {
  const kinds = [kindOf(a), kindOf(b)].map((kind) => (kind === 3 ? 2 : kind)) as [number, number]
  if (kinds[0] !== kinds[1]) return kinds[0] - kinds[1]
  if (typeof a === 'string') return Buffer.compare(bytes(a), bytes(b))
  return (a as number) < (b as number) ? -1 : Number((a as number) > (b as number))
}

/** Keys in order, the slow way. */
async function naive(docs: Docs, field: string, descending: boolean): Promise<string[]> {
  const all: { key: string; value: unknown }[] = []
  const sign = descending ? -1 : 1
  for await (const { key, fields } of docs.scan()) {
    const own = (fields as Record<string, unknown>)[field]
    const values = Array.isArray(own) ? [...(own as unknown[])] : own === undefined ? [] : [own]
    values.sort((a, b) => sign * compare(a, b))
    all.push({ key, value: values[0] })
  }
  const byKey = (a: string, b: string): number => Buffer.compare(bytes(a), bytes(b))
  all.sort((a, b) => {
    if (field === '$key') return sign * byKey(a.key, b.key)
    if (a.value === undefined || b.value === undefined) {
      return Number(a.value === undefined) - Number(b.value === undefined) || byKey(a.key, b.key)
    }
    return sign * compare(a.value, b.value) || byKey(a.key, b.key)
  })
  return all.map(({ key }) => key)
}

test('a scan in an order is a sort of all records, in one go and cursor by cursor', async (t) => {
  const seed = Date.now() % 2 ** 31
  t.log(`seed ${seed}`)
  const docs = await (await openFor(t)).collection('docs', schema)
  await fill(docs, seed)
  for (const field of ['n', 'day', 'tags', 'word', 'other', '$key']) {
    for (const order of ['asc', 'desc'] as const) {
      const expected = await naive(docs, field, order === 'desc')
      const what = `seed ${seed} ${field} ${order}`
      const keys: string[] = []
      for await (const { key } of docs.scan({ orderBy: { field, order } })) keys.push(key)
      t.deepEqual(keys, expected, what)
      const again: string[] = []
      let after: string | null = startCursor
      do {
        const scan: Scan<{ key: string }> = docs.scan({
          orderBy: { field, order },
          limit: 37,
          select: false,
          after,
        })
        for await (const { key } of scan) again.push(key)
        after = scan.cursor
      } while (after !== null)
      t.deepEqual(again, expected, `${what} by cursors`)
    }
    const filtered: (string | bigint)[] = []
    const filter = { n: { gte: 0 } }
    for await (const { key } of docs.scan({ orderBy: field as OrderBy<typeof schema>, filter })) {
      filtered.push(key)
    }
    const holds = await Promise.all((await naive(docs, field, false)).map((key) => docs.get(key)))
    const isIn = (record: (typeof holds)[0]): boolean => (record?.fields.n ?? -1) >= 0
    t.deepEqual(
      filtered,
      holds.filter(isIn).map((record) => record?.key as string),
    )
  }
})

test('a cursor goes on in another process', async (t) => {
  const directory = temporaryDirectory(t)
  const docs = await (await openFor(t, directory)).collection('docs', schema)
  await fill(docs, 7)
  await docs.commit()
  const scan = docs.scan({ orderBy: { field: 'n', order: 'desc' }, limit: 100 })
  for await (const _ of scan);
  const { stdout, stderr } = await ended(start('ordered', directory, scan.cursor ?? ''))
  const expected = await naive(docs, 'n', true)
  t.deepEqual(JSON.parse(stdout), expected.slice(100), stderr)
})

test('a scan in an order stays at its version; a resumed one is at the newest, or at the one of its database', async (t) => {
  const db = await openFor(t, temporaryDirectory(t))
  const docs = await db.collection('docs', schema)
  await fill(docs, 8)
  const before = await naive(docs, 'n', false)
  await db.snapshot('then')
  const scan = docs.scan({ orderBy: 'n' })
  const keys: string[] = [(await scan.next()).value?.key as string]
  const after = scan.cursor ?? ''
  await docs.deleteWhere({ n: { gte: 0 } })
  for await (const { key } of scan) keys.push(key)
  t.deepEqual(keys, before)
  const now: string[] = []
  for await (const { key } of docs.scan({ orderBy: 'n', after })) now.push(key)
  t.deepEqual(now, (await naive(docs, 'n', false)).slice(1))
  const past = await db.at('then')
  t.teardown(() => past.close())
  const old = await past.openCollection<typeof schema>('docs')
  const then: string[] = []
  for await (const { key } of old.scan({ orderBy: 'n', after })) then.push(key)
  t.deepEqual(then, before.slice(1))
})

test('a reader gives the same order, and a signal ends it', async (t) => {
  const directory = temporaryDirectory(t)
  const docs = await (await openFor(t, directory)).collection('docs', schema)
  await fill(docs, 9)
  const reader = await openFor(t, directory, { mode: 'ro', refreshMs: 0 })
  const read = await reader.openCollection<typeof schema>('docs')
  const keys: string[] = []
  for await (const { key } of read.scan({ orderBy: 'word' })) keys.push(key)
  t.deepEqual(keys, await naive(docs, 'word', false))
  const controller = new AbortController()
  const scan = docs.scan({ orderBy: 'other', signal: controller.signal })
  await scan.next()
  controller.abort()
  await fails(t, () => scan.next(), 'ERR_ABORTED')
})

test('records come with what was selected, whatever they are ordered by', async (t) => {
  const docs = await (await openFor(t)).collection('docs', schema)
  await docs.upsert([
    { key: 'a', vector: [1], fields: { n: 2, word: 'x' } },
    { key: 'b', vector: [2], fields: { n: 1, word: 'y' } },
    { key: 'c', vector: [3] },
  ])
  const rows: unknown[] = []
  for await (const row of docs.scan({ orderBy: 'n', select: ['word'], vectors: true })) {
    rows.push([row.key, row.fields, [...row.vector]])
  }
  t.deepEqual(rows, [
    ['b', { word: 'y' }, [2]],
    ['a', { word: 'x' }, [1]],
    ['c', {}, [3]],
  ])
})

test('a cursor keeps its place, and what is none or of another order is refused', async (t) => {
  const order = { field: 'n', descending: false }
  const value = Buffer.from([0xd3, 0, 0, 0, 0, 0, 0, 0, 5])
  for (const key of ['a', '\u{1F600}', 'n5']) {
    const place = placeOfCursor(orderedCursor(order, value, key), order, 'string')
    t.is(place.key, key)
    t.deepEqual(place.order.afterValue, value)
    t.is(
      placeOfCursor(orderedCursor(order, new Uint8Array(0), key), order, 'string').order.afterValue,
      undefined,
    )
  }
  t.is(placeOfCursor(orderedCursor(order, value, 7n), order, 'u64').key, 7n)
  const good = orderedCursor(order, value, 'a')
  const spelt = (place: unknown): string =>
    `o${Buffer.from(JSON.stringify(place)).toString('base64url')}`
  const wrong = [
    'a',
    'o',
    'sYQ',
    `${good}=`,
    `${good}A`,
    good.slice(0, -3),
    5,
    null,
    {},
    'oe30',
    orderedCursor({ ...order, descending: true }, value, 'a'),
    orderedCursor({ ...order, field: 'm' }, value, 'a'),
    orderedCursor(order, value, 7n),
    spelt([2, 'n', 'asc', null, 's', 'a']),
    spelt([1, 'n', 'asc', 5, 's', 'a']),
    spelt([1, 'n', 'asc', '!!', 's', 'a']),
    spelt([1, 'n', 'asc', null, 'x', 'a']),
    spelt([1, 'n', 'asc', null, 's', 'a', 1]),
  ]
  for (const cursor of wrong) {
    t.throws(
      () => placeOfCursor(cursor, order, 'string'),
      { code: 'ERR_INVALID_ARGUMENT' },
      JSON.stringify(cursor),
    )
  }
  t.throws(() =>
    placeOfCursor(spelt([1, 'n', 'asc', null, 'n', '18446744073709551616']), order, 'u64'),
  )
  const docs = await (await openFor(t)).collection('docs', schema)
  await docs.upsert({ key: 'a', vector: [1] })
  for (const stored of ['', 'kQ', 'wQ', 'AQE']) {
    const after = spelt([1, 'n', 'asc', stored, 's', 'a'])
    await fails(t, () => docs.scan({ orderBy: 'n', after }).next(), 'ERR_INVALID_ARGUMENT')
  }
})
