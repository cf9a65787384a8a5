import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import test from 'ava'
import type { Collection, Scan } from '#ts/index.js'
import { cursorOf, keyOfCursor } from '#ts/scan.js'
import { fails } from './helpers/expect.js'
import { openFor, temporaryDirectory } from './helpers/home.js'
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

test('a cursor of no key is refused', async (t) => {
  const cursor = (key: string): string => `n${Buffer.from(key).toString('base64url')}`
  t.is(keyOfCursor(cursor('18446744073709551615'), 'u64'), 2n ** 64n - 1n)
  const wrong = ['18446744073709551616', '99999999999999999999', '007', '00', '+7', '-7', '7.', '']
  for (const key of wrong) {
    t.throws(() => keyOfCursor(cursor(key), 'u64'), { code: 'ERR_INVALID_ARGUMENT' }, key)
  }
  t.throws(() => keyOfCursor(`${cursor('7')}=`, 'u64'), { code: 'ERR_INVALID_ARGUMENT' })
  const ids = await (await openFor(t)).collection('ids', { ...schema, key: 'u64' })
  await ids.upsert({ key: 5n, vector: [1] })
  const after = cursor('18446744073709551616')
  await fails(t, () => ids.scan({ after }), 'ERR_INVALID_ARGUMENT', { path: 'after' })
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

type Docs = Collection<typeof schema>
type Leave = (docs: Docs, pinned: () => Promise<void>) => Promise<Scan<unknown>>

/** Ways to end a scan, each of which has called `pinned` while its version was pinned. */
const leaves: readonly (readonly [string, Leave])[] = [
  [
    'left by break',
    async (docs, pinned) => {
      const scan = docs.scan()
      for await (const _ of scan) {
        await pinned()
        break
      }
      return scan
    },
  ],
  [
    'ended by return',
    async (docs, pinned) => {
      const scan = docs.scan()
      await scan.next()
      await pinned()
      await scan.return?.()
      return scan
    },
  ],
  [
    'ended by return while a page is read',
    async (docs, pinned) => {
      const scan = docs.scan()
      for (let read = 0; read < 256; read += 1) await scan.next()
      await pinned()
      const page = scan.next()
      // By now the addon has been asked.
      for (let tick = 0; tick < 3; tick += 1) await Promise.resolve()
      await scan.return?.()
      await page
      return scan
    },
  ],
  [
    'read to its end',
    async (docs, pinned) => {
      const scan = docs.scan()
      await scan.next()
      await pinned()
      for await (const _ of scan);
      return scan
    },
  ],
  [
    'read to its limit',
    async (docs, pinned) => {
      const scan = docs.scan({ limit: 2 })
      await scan.next()
      await pinned()
      await scan.next()
      return scan
    },
  ],
]

for (const [title, leave] of leaves) {
  test(`a scan that is ${title} lets its version go`, async (t) => {
    const directory = join(temporaryDirectory(t), 'data')
    const segments = (): string[] =>
      readdirSync(directory, { recursive: true })
        .map(String)
        .filter((file) => file.endsWith('.seg'))
        .sort()
    const docs = await (await openFor(t, directory)).collection('docs', schema)
    const keys = Array.from({ length: 1000 }, (_, at) => `k${at}`)
    await docs.upsert({ keys, vectors: randomMatrix(1000, 1, 1) })
    await docs.compact()
    const [old = ''] = segments()
    t.not(old, '')
    const scan = await leave(docs, async () => {
      await docs.delete('k0')
      await docs.compact()
      t.true(segments().includes(old), 'the version is pinned')
    })
    t.deepEqual(await scan.next(), { done: true, value: undefined })
    for (let round = 0; round < 100 && segments().includes(old); round += 1) await delay(20)
    t.false(segments().includes(old), 'the file of the old version is still there')
    t.is(segments().length, 1)
  })
}

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
