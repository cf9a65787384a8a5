// Records that end at an instant: hidden from every call, and removed by themselves.
import { setTimeout as delay } from 'node:timers/promises'
import test from 'ava'
import type { Collection } from '#ts/index.js'
import { fails } from './helpers/expect.js'
import { openFor, temporaryDirectory } from './helpers/home.js'

const schema = {
  vectors: { dim: 2, metric: 'l2' },
  fields: { n: 'int', end: 'date' },
  expiresAt: 'end',
} as const

type Sessions = Collection<typeof schema>

/** Half of the records end at `end`, the others never. */
async function fill(sessions: Sessions, count: number, end: Date): Promise<void> {
  const rows = Array.from({ length: count }, (_, n) => ({
    key: `k${n}`,
    vector: [n, 1],
    fields: { n, end: n % 2 === 0 ? end : null },
  }))
  await sessions.add(rows)
}

async function until(instant: Date): Promise<void> {
  while (Date.now() < instant.getTime()) await delay(5)
}

async function keysOf(sessions: Sessions): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of sessions.scan()) keys.push(key)
  return keys
}

test('a record is hidden from every call once its instant has come, and its key is free', async (t) => {
  const db = await openFor(t)
  const sessions = await db.collection('sessions', schema)
  const end = new Date(Date.now() + 700)
  await fill(sessions, 6, end)
  const before = await sessions.count()
  if (Date.now() < end.getTime()) t.is(before, 6)
  await until(end)

  const left = ['k1', 'k3', 'k5']
  t.is(await sessions.count(), 3)
  t.is(await sessions.count({ n: { gte: 0 } }), 3)
  t.is(await sessions.get('k0'), null)
  t.deepEqual(await sessions.has(['k0', 'k1']), [false, true])
  t.deepEqual(await keysOf(sessions), left)
  const query = { vector: [0, 1], k: 6 }
  const found = (hits: readonly { key: string }[]): string[] => hits.map(({ key }) => key)
  t.deepEqual(found(await sessions.search(query)), left)
  t.deepEqual(found(sessions.searchSync({ ...query, filter: { n: { lt: 4 } } })), ['k1', 'k3'])
  t.deepEqual(found(await sessions.search({ k: 9 })), left)
  t.is((await sessions.facet('n')).length, 3)
  t.is((await sessions.aggregate('n')).count, 3)
  t.is((await sessions.stats()).count, 3)
  t.is((await db.listCollections())[0]?.count, 3)

  await fails(t, () => sessions.update({ key: 'k0', fields: { n: 1 } }), 'ERR_NOT_FOUND')
  await fails(t, () => sessions.search({ like: 'k0' }), 'ERR_NOT_FOUND')
  t.is((await sessions.delete('k0')).skipped, 1)
  t.is((await sessions.deleteWhere({ n: 2 })).deleted, 0)
  const { inserted, updated } = await sessions.add({ key: 'k0', vector: [0, 1] })
  t.deepEqual([inserted, updated], [1, 0])
  t.deepEqual(await keysOf(sessions), ['k0', ...left])
})

test('the field is part of the schema', async (t) => {
  const target = temporaryDirectory(t)
  const db = await openFor(t, target)
  const sessions = await db.collection('sessions', schema)
  t.is(sessions.schema.expiresAt, 'end')
  t.is((await db.listCollections())[0]?.schema.expiresAt, 'end')
  const { expiresAt, ...without } = schema
  await fails(t, () => db.collection('sessions', without), 'ERR_SCHEMA_MISMATCH')
  await db.close()
  const again = await openFor(t, target)
  const { schema: stored } = await again.openCollection('sessions')
  t.is(stored.expiresAt, expiresAt)
  await again.collection('sessions', stored)
  const plain = await again.collection('plain', { vectors: { dim: 2, metric: 'l2' } })
  t.false('expiresAt' in plain.schema)
})

test('records that ended leave the disk while nobody calls anything', async (t) => {
  t.timeout(120_000)
  const db = await openFor(t, temporaryDirectory(t))
  const sessions = await db.collection('sessions', schema)
  const end = new Date(Date.now() + 3_000)
  for (let chunk = 0; chunk < 20; chunk += 1) {
    await sessions.upsert(
      Array.from({ length: 1_000 }, (_, n) => ({
        key: `k${chunk}-${n}`,
        vector: [n, 1],
        fields: { n, end: n % 10 === 0 ? null : end, text: 'x'.repeat(50) },
      })),
    )
  }
  await sessions.compact()
  const rows = async (): Promise<number> =>
    (await sessions.stats()).segments.reduce((sum, segment) => sum + segment.rows, 0)
  t.true((await rows()) >= 2_000)
  await until(end)
  t.is(await sessions.count(), 2_000)
  for (let round = 0; round < 600 && (await rows()) > 2_000; round += 1) await delay(100)
  t.is(await rows(), 2_000)
  t.is(await sessions.count(), 2_000)
})
