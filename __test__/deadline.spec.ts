// Every long read gives up at its deadline and when its signal fires, and soon after.
import test from 'ava'
import { fails } from './helpers/expect.js'
import { openFor } from './helpers/home.js'

const schema = {
  vectors: { dim: 4, metric: 'l2' },
  fields: { n: 'int', body: 'text' },
} as const

const rows = 120_000
/** How late a call may be on a machine that has other work. */
const lateMs = 250

test('reads that would take long end at their deadline or when their signal fires', async (t) => {
  t.timeout(180_000)
  const db = await openFor(t)
  const docs = await db.collection('docs', schema)
  for (let from = 0; from < rows; from += 10_000) {
    const keys = Array.from({ length: 10_000 }, (_, n) => `k${from + n}`)
    const fields = keys.map((key, n) => ({ n, body: `${key} ${'tides and moons '.repeat(8)}` }))
    const vectors = Float32Array.from({ length: 40_000 }, (_, n) => n % 97)
    await docs.upsert({ keys, vectors, fields })
  }
  const keys = Array.from({ length: rows - 20_000 }, (_, n) => `k${n}`)
  const filter = { body: { regex: '(tides|moons).*(nothing|nobody)+$' } }
  type Limits = { readonly deadlineMs?: number; readonly signal?: AbortSignal }
  const reads: Readonly<Record<string, (limits: Limits) => Promise<unknown>>> = {
    get: (limits) => docs.get(keys, limits),
    count: (limits) => docs.count(filter, limits),
    scan: (limits) => docs.scan({ ...limits, filter }).next(),
    ordered: (limits) => docs.scan({ ...limits, orderBy: 'body' }).next(),
    search: (limits) => docs.search({ ...limits, vector: [1, 2, 3, 4], filter }),
    facet: (limits) => docs.facet('body', { ...limits, filter }),
  }
  for (const [name, read] of Object.entries(reads)) {
    const began = performance.now()
    await fails(t, () => read({ deadlineMs: 3 }), 'ERR_DEADLINE')
    const late = performance.now() - began - 3
    t.true(late < lateMs, `${name}: ${late} ms after the deadline`)
    const abort = new AbortController()
    let fired = 0
    setTimeout(() => {
      fired = performance.now()
      abort.abort()
    }, 3)
    await fails(t, () => read({ signal: abort.signal }), 'ERR_ABORTED')
    const after = performance.now() - fired
    t.true(after < lateMs, `${name}: ${after} ms after the signal`)
  }
})

test('the deadline of a scan is for all its pages', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', schema)
  const keys = Array.from({ length: 2_000 }, (_, n) => `k${n}`)
  await docs.upsert({ keys, vectors: new Float32Array(8_000) })
  const scan = docs.scan({ deadlineMs: 60 })
  const { value } = await scan.next()
  t.is(value?.key, 'k0')
  await new Promise((resolve) => setTimeout(resolve, 80))
  await fails(
    t,
    async () => {
      for await (const { key } of scan) t.true(keys.includes(key))
    },
    'ERR_DEADLINE',
  )
  let count = 0
  for await (const record of docs.scan({ deadlineMs: 60_000 })) count += Number('key' in record)
  t.is(count, 2_000)
})
