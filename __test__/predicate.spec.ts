// Functions as filters: exactly the records that pass, however few, and their errors as they are.
import test from 'ava'
import { open, type Collection, type Filter, type FilterOrPredicate } from '#ts/index.js'
import { never } from './helpers/bad-input.js'
import { fails, outcome } from './helpers/expect.js'
import { seeded } from './helpers/random.js'

const schema = {
  vectors: { dim: 2, metric: 'l2' },
  fields: { n: 'int', lang: 'keyword', body: 'text' },
} as const

type Docs = Collection<typeof schema>
type Test = FilterOrPredicate<typeof schema>

const opening = open(':memory:')
test.after.always(async () => (await opening).close())

async function filled(name: string, count: number): Promise<Docs> {
  const docs = await (await opening).collection(name, schema)
  const next = seeded(7)
  const rows = Array.from({ length: count }, (_, n) => ({
    key: `k${n}`,
    vector: [next(), next()],
    fields: { n, lang: n % 3 === 0 ? 'en' : 'de', body: `word w${n % 10}`, extra: n % 2 },
  }))
  for (let from = 0; from < count; from += 5_000) {
    // oxlint-disable-next-line no-await-in-loop -- one batch after the other
    await docs.upsert(rows.slice(from, from + 5_000))
  }
  return docs
}

const english: Filter<typeof schema> = { lang: 'en' }

test('a search gives exactly min(k, matches) records that pass, the nearest of them', async (t) => {
  const docs = await filled('search', 3_000)
  for (const place of ['memtable', 'segment']) {
    // oxlint-disable-next-line no-await-in-loop -- one place after the other
    if (place === 'segment') await docs.compact()
    for (const every of [2, 50, 997, 5_000]) {
      const passes = (fields: { readonly n?: number | bigint }): boolean =>
        Number(fields.n) % every === 1
      const cases: readonly (readonly [Test, Filter<typeof schema>])[] = [
        [passes, {}],
        [[english, passes], english],
      ]
      for (const [filter, declared] of cases) {
        const query = { vector: [0.5, 0.5] as const, k: 20 }
        // The truth: everything that the declared part leaves, in order, looked at here.
        // oxlint-disable-next-line no-await-in-loop -- one question after the other
        const all = await docs.search({ ...query, k: 3_000, filter: declared, exact: true })
        const truth = all.filter(({ fields }) => passes(fields)).slice(0, 20)
        // oxlint-disable-next-line no-await-in-loop
        const exact = await docs.search({ ...query, filter, exact: true })
        t.deepEqual(exact, truth, `${place}, one in ${every}`)
        t.deepEqual(docs.searchSync({ ...query, filter, exact: true }), truth)
        // oxlint-disable-next-line no-await-in-loop
        const near = await docs.search({ ...query, filter })
        t.is(near.length, truth.length)
        t.true(near.every(({ fields }) => passes(fields)))
        // oxlint-disable-next-line no-await-in-loop
        const { length } = await docs.search({ ...query, filter, efSearch: 20, k: 5 })
        t.is(length, Math.min(5, truth.length))
        // oxlint-disable-next-line no-await-in-loop
        const count = await docs.count(filter)
        t.is(count, all.filter(({ fields }) => passes(fields)).length)
      }
    }
  }
})

test('records behind the first ten thousand are found, and each is asked about once', async (t) => {
  const docs = await filled('far', 25_000)
  const [farthest] = (await docs.search({ vector: [0, 0], k: 10_000, select: false })).slice(-1)
  const rest = { maxDistance: 1e9, vector: [0, 0], k: 3, exact: true } as const
  let calls = 0
  const asked = new Set<string>()
  const beyond = await docs.search({
    ...rest,
    select: ['lang'],
    filter: (fields, key) => {
      calls += 1
      asked.add(key)
      return Number(fields.n) >= 24_998
    },
  })
  t.deepEqual(beyond.map(({ key }) => key).toSorted(), ['k24998', 'k24999'])
  t.true(beyond.every(({ fields }) => Object.keys(fields).join() === 'lang'))
  t.deepEqual([calls, asked.size], [25_000, 25_000])
  t.truthy(farthest)
})

test('what a function needs is read, and what was asked for comes back', async (t) => {
  const docs = await filled('select', 100)
  const filter: Test = ({ n, extra }) => Number(n) < 10 && extra === 1
  const [hit] = await docs.search({ vector: [0, 0], filter, select: ['lang', 'nothing'] })
  t.deepEqual(Object.keys(hit?.fields ?? {}), ['lang'])
  const [bare] = docs.searchSync({ vector: [0, 0], filter, select: false, vectors: true })
  t.deepEqual(bare?.fields, {})
  t.is(bare?.vector.length, 2)
  const scanned: object[] = []
  for await (const { fields } of docs.scan({ filter, select: ['n'] })) scanned.push(fields)
  t.deepEqual(
    scanned,
    [1, 3, 5, 7, 9].map((n) => ({ n })),
  )
})

test('other searches by one source take a function', async (t) => {
  const docs = await filled('sources', 200)
  const filter: Test = [english, (_, key) => key !== 'k0']
  const first = async (query: object): Promise<unknown[]> =>
    (await docs.search({ k: 200, filter, ...query })).map(({ fields: { n } }) => n)
  t.true((await first({ like: 'k0' })).every((n) => Number(n) % 3 === 0 && n !== 0))
  t.is((await first({ text: 'w3' })).length, 7)
  const byKey = await docs.search({ k: 3, filter })
  t.deepEqual(
    byKey.map(({ key }) => key),
    ['k102', 'k105', 'k108'],
  )
  const turned = await docs.search({
    vector: [0, 0],
    k: 2,
    filter,
    rerank: (hits) => hits.toReversed(),
  })
  t.is(turned.length, 2)
})

test('a scan asks page by page, and its cursor goes on behind the last record that passed', async (t) => {
  const docs = await filled('scan', 1_000)
  const filter: Test = ({ n }) => Number(n) % 100 === 7
  for (const orderBy of [undefined, 'n'] as const) {
    const first = docs.scan({ filter, limit: 4, orderBy })
    const keys: string[] = []
    // oxlint-disable-next-line no-await-in-loop -- one order after the other
    for await (const { key } of first) keys.push(key)
    t.is(keys.length, 4)
    const after = first.cursor ?? ''
    // oxlint-disable-next-line no-await-in-loop
    for await (const { key } of docs.scan({ filter, after, orderBy })) keys.push(key)
    t.deepEqual(keys.toSorted(), [
      'k107',
      'k207',
      'k307',
      'k407',
      'k507',
      'k607',
      'k7',
      'k707',
      'k807',
      'k907',
    ])
  }
})

test('deleteWhere removes what passed, and leaves what changed meanwhile', async (t) => {
  const docs = await filled('delete', 600)
  const gone = await docs.deleteWhere([english, ({ n }) => Number(n) < 30])
  t.deepEqual([gone.deleted, gone.skipped], [10, 0])
  t.is(await docs.count(), 590)
  let changed: Promise<unknown> | undefined
  const left = await docs.deleteWhere((_, key) => {
    changed ??= docs.update({ key: 'k31', fields: { extra: 5 } })
    return key === 'k31' || key === 'k32'
  })
  await changed
  t.deepEqual([left.deleted, left.skipped], [1, 1])
  t.deepEqual(await docs.has(['k31', 'k32']), [true, false])
  t.is((await docs.deleteWhere(() => false)).deleted, 0)
  await fails(
    t,
    () => docs.deleteWhere(() => true, { idempotencyKey: 'once' }),
    'ERR_INVALID_ARGUMENT',
    { path: 'filter' },
  )
  t.is((await docs.deleteWhere(() => true)).deleted, 589)
})

test('what a function throws comes through as it is', async (t) => {
  const docs = await filled('throws', 10)
  const mine = new RangeError('mine')
  const filter = (): boolean => {
    throw mine
  }
  const calls: readonly (() => unknown)[] = [
    () => docs.search({ vector: [0, 0], filter }),
    async () => docs.searchSync({ vector: [0, 0], filter }),
    () => docs.count(filter),
    () => docs.scan({ filter }).next(),
    () => docs.deleteWhere(filter),
  ]
  for (const call of calls) {
    // oxlint-disable-next-line no-await-in-loop -- one call after the other
    t.is(await outcome(call), mine)
  }
  t.is(await docs.count(), 10)
})

test('a function that does not answer at once, or with something else, is refused', async (t) => {
  const docs = await filled('answers', 10)
  const answers = [undefined, 1, 'true', null, Promise.resolve(true)]
  for (const answer of answers) {
    const filter = never(() => answer)
    const wrong = ['ERR_INVALID_ARGUMENT', { path: 'filter' }] as const
    // oxlint-disable no-await-in-loop -- one answer after the other
    await fails(t, () => docs.search({ vector: [0, 0], filter }), ...wrong)
    await fails(t, async () => docs.searchSync({ vector: [0, 0], filter }), ...wrong)
    await fails(t, () => docs.count(filter), ...wrong)
    await fails(t, () => docs.scan({ filter }).next(), ...wrong)
    await fails(t, () => docs.deleteWhere(filter), ...wrong)
    // oxlint-enable no-await-in-loop
  }
  t.is(await docs.count(), 10)
})

test('calls that cannot ask a function refuse it', async (t) => {
  const docs = await filled('refused', 10)
  const filter = never((): boolean => true)
  const vector = [0, 0]
  const calls: readonly (() => unknown)[] = [
    () => docs.searchBatch({ vectors: new Float32Array(2), filter }),
    () => docs.explain({ vector, filter }),
    () => docs.updateWhere(filter, { n: 1 }),
    () => docs.facet('n', { filter }),
    () => docs.aggregate('n', { filter }),
    () => docs.upsert({ key: 'k0', vector }, { if: filter }),
    () => docs.search({ vector, filter, groupBy: { field: 'lang' } }),
    () => docs.search({ vector, filter, diversity: 0.5 }),
    () => docs.search({ vector, text: 'word', filter }),
  ]
  for (const call of calls) {
    // oxlint-disable-next-line no-await-in-loop -- one call after the other
    await fails(t, call, 'ERR_INVALID_ARGUMENT')
  }
})

test('keys that are numbers, a signal and a deadline go with a function', async (t) => {
  const ids = await (
    await opening
  ).collection('ids', { key: 'u64', vectors: { dim: 1, metric: 'l2' } })
  const keys = BigUint64Array.from({ length: 500 }, (_, n) => 2n ** 63n + BigInt(n))
  await ids.upsert({ keys, vectors: new Float32Array(500) })
  const last = 2n ** 63n + 499n
  const filter = (_: object, key: bigint): boolean => key === last
  const [hit] = await ids.search({ vector: [0], k: 1, filter })
  t.is(hit?.key, last)
  t.is((await ids.deleteWhere(filter)).deleted, 1)
  const slow = (): boolean => {
    const until = performance.now() + 1
    while (performance.now() < until);
    return false
  }
  await fails(t, () => ids.search({ vector: [0], filter: slow, deadlineMs: 20 }), 'ERR_DEADLINE')
  await fails(t, () => ids.count(slow, { deadlineMs: 20 }), 'ERR_DEADLINE')
  const abort = new AbortController()
  const counting = ids.count(
    () => {
      abort.abort()
      return true
    },
    { signal: abort.signal },
  )
  await fails(t, () => counting, 'ERR_ABORTED')
})
