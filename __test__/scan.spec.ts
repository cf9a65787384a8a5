import test from 'ava'
import { cursorOf, keyOfCursor } from '#ts/scan.js'
import { openFor } from './helpers/home.js'
import { randomMatrix } from './helpers/random.js'

const schema = { vectors: { dim: 1, metric: 'l2' }, fields: { n: 'int' } } as const

test('a cursor keeps its key, whatever it is', (t) => {
  for (const key of ['a', '', '\u00e9\u{1F600}', '\0', 'n123', 'x'.repeat(1024)]) {
    t.is(keyOfCursor(cursorOf(key), 'string'), key)
  }
  for (const key of [0n, 5n, 2n ** 64n - 1n]) t.is(keyOfCursor(cursorOf(key), 'u64'), key)
  t.throws(() => keyOfCursor(cursorOf('a'), 'u64'), { code: 'ERR_INVALID_ARGUMENT' })
  t.throws(() => keyOfCursor(cursorOf(1n), 'string'), { code: 'ERR_INVALID_ARGUMENT' })
})

test('the cursor follows the records and is null at the end', async (t) => {
  const docs = await (await openFor(t)).collection('docs', schema)
  await docs.upsert(['a', 'b', 'c'].map((key) => ({ key, vector: [1] })))
  const scan = docs.scan()
  t.not(scan.cursor, null)
  await scan.next()
  t.deepEqual(await keysFrom(scan.cursor), ['b', 'c'])
  await scan.next()
  await scan.next()
  t.not(scan.cursor, null)
  t.deepEqual(await scan.next(), { done: true, value: undefined })
  t.is(scan.cursor, null)
  t.deepEqual(await scan.next(), { done: true, value: undefined })

  async function keysFrom(after: string | null): Promise<string[]> {
    const keys: string[] = []
    for await (const { key } of docs.scan({ after: after ?? '' })) keys.push(key)
    return keys
  }
})

test('a limit that meets the end leaves no cursor', async (t) => {
  const docs = await (await openFor(t)).collection('docs', schema)
  await docs.upsert(['a', 'b'].map((key) => ({ key, vector: [1] })))
  const exact = docs.scan({ limit: 2 })
  for await (const _ of exact);
  t.is(exact.cursor, null)
  const short = docs.scan({ limit: 1 })
  for await (const _ of short);
  t.not(short.cursor, null)
})

test('a scan of nothing ends at once', async (t) => {
  const docs = await (await openFor(t)).collection('docs', schema)
  const scan = docs.scan()
  for await (const _ of scan) t.fail()
  t.is(scan.cursor, null)
})

test('a scan that is left early lets its version go', async (t) => {
  const docs = await (await openFor(t)).collection('docs', schema)
  await docs.upsert({
    keys: Array.from({ length: 1000 }, (_, at) => `k${at}`),
    vectors: randomMatrix(1000, 1, 1),
  })
  for await (const _ of docs.scan()) break
  const scan = docs.scan()
  await scan.next()
  await scan.return?.()
  t.deepEqual(await scan.next(), { done: true, value: undefined })
})

test('overlapping calls of next are served in order', async (t) => {
  const docs = await (await openFor(t)).collection('docs', schema)
  await docs.upsert(['a', 'b', 'c'].map((key) => ({ key, vector: [1] })))
  const scan = docs.scan()
  const results = await Promise.all([scan.next(), scan.next(), scan.next(), scan.next()])
  t.deepEqual(
    results.map((result) => (result.done === true ? null : result.value.key)),
    ['a', 'b', 'c', null],
  )
})

test('fields and vectors come along as asked', async (t) => {
  const docs = await (await openFor(t)).collection('docs', schema)
  await docs.upsert({ key: 'a', vector: [5], fields: { n: 1, other: 2 } })
  const { value: record } = await docs.scan({ select: ['n'], vectors: true }).next()
  t.deepEqual(record?.fields, { n: 1 })
  t.deepEqual(record?.vector, new Float32Array([5]))
})
