// Writes that are repeated under a key happen once, for whoever uses the package.
import test from 'ava'
import { isCairnError, open, type Database } from '#ts/index.js'
import { fails } from './helpers/expect.js'
import { directoryHome, openFor } from './helpers/home.js'

const schema = { vectors: { dim: 2, metric: 'l2' }, fields: { title: 'text' } } as const

const docsOf = (db: Database) => db.collection('docs', schema)

test('every write takes a key, and answers as the first time', async (t) => {
  const db = await openFor(t)
  const docs = await docsOf(db)
  await docs.upsert([
    { key: 'a', vector: [1, 2] },
    { key: 'b', vector: [3, 4] },
  ])
  const writes = [
    () => docs.add({ key: 'c', vector: [5, 6] }, { idempotencyKey: 'add' }),
    () =>
      docs.upsert(
        { keys: ['a', 'd'], vectors: Float32Array.of(1, 2, 3, 4) },
        { idempotencyKey: 'upsert' },
      ),
    () => docs.update({ key: 'a', fields: { title: 'x' } }, { idempotencyKey: 'update' }),
    () => docs.delete(['b', 'nobody'], { idempotencyKey: 'delete' }),
  ]
  const first = []
  for (const write of writes) first.push(await write())
  t.deepEqual(
    first.map(({ inserted, updated, deleted, skipped }) => [inserted, updated, deleted, skipped]),
    [
      [1, 0, 0, 0],
      [1, 1, 0, 0],
      [0, 1, 0, 0],
      [0, 0, 1, 1],
    ],
  )
  await docs.upsert({ key: 'nobody', vector: [7, 8] })
  const { version } = await db.stats()
  for (const [at, write] of writes.entries()) t.deepEqual(await write(), first[at])
  t.is((await db.stats()).version, version)
  t.true(await docs.has('nobody'), 'it was not there when it was deleted')
})

test('a key survives flush and restart, with the answer', async (t) => {
  const target = directoryHome.target(t)
  const row = { key: 'a', vector: [1, 2] }
  const db = await open(target)
  const docs = await docsOf(db)
  const first = await docs.add(row, { idempotencyKey: 'k' })
  await db.compact()
  await db.close()
  const again = await openFor(t, target)
  const reopened = await docsOf(again)
  t.deepEqual(await reopened.add(row, { idempotencyKey: 'k' }), first)
  t.is(await reopened.count(), 1)
  await fails(t, () => reopened.add(row, { idempotencyKey: 'l' }), 'ERR_ALREADY_EXISTS')
})

test('a key of another write is a conflict, and nothing happens', async (t) => {
  const db = await openFor(t)
  const docs = await docsOf(db)
  const { version } = await docs.upsert({ key: 'a', vector: [1, 2] }, { idempotencyKey: 'k' })
  await fails(
    t,
    () => docs.upsert({ key: 'a', vector: [1, 3] }, { idempotencyKey: 'k' }),
    'ERR_CONFLICT',
    { idempotencyKey: 'k', version: Number(version) },
  )
  await fails(t, () => docs.delete('a', { idempotencyKey: 'k' }), 'ERR_CONFLICT')
  const stored = await docs.get('a', { vectors: true })
  t.deepEqual([...(stored?.vector ?? [])], [1, 2])
  t.is(stored?.version, version)
})

test('repetitions that are under way at the same time happen once', async (t) => {
  const db = await openFor(t, directoryHome.target(t))
  const docs = await docsOf(db)
  const write = () => docs.add({ key: 'a', vector: [1, 2] }, { idempotencyKey: 'k' })
  const results = await Promise.all(Array.from({ length: 50 }, write))
  for (const result of results) t.deepEqual(result, results[0])
  t.is(await docs.count(), 1)
})

test('a condition is asked of the first write only', async (t) => {
  const db = await openFor(t)
  const docs = await docsOf(db)
  const options = { if: { version: 0n }, idempotencyKey: 'k' }
  const first = await docs.upsert({ key: 'a', vector: [1, 2] }, options)
  t.deepEqual(await docs.upsert({ key: 'a', vector: [1, 2] }, options), first)
  await fails(
    t,
    () => docs.upsert({ key: 'a', vector: [1, 2] }, { if: { version: 0n } }),
    'ERR_CONDITION_FAILED',
    { index: 0, key: 'a', expected: 0, found: Number(first.version) },
  )
})

test('a condition is asked of every record of a batch', async (t) => {
  const db = await openFor(t)
  const docs = await docsOf(db)
  const rows = ['a', 'b'].map((key) => ({ key, vector: [1, 2] }))
  const { version } = await docs.upsert(rows, { if: { version: 0n } })
  const later = await docs.upsert({ key: 'b', vector: [5, 6] })
  const expected = { index: 1, key: 'b', expected: Number(version), found: Number(later.version) }
  for (const write of [
    () => docs.upsert(rows, { if: { version } }),
    () => docs.update(rows, { if: { version } }),
    () => docs.delete(['a', 'b'], { if: { version } }),
  ]) {
    await fails(t, write, 'ERR_CONDITION_FAILED', expected)
  }
  await fails(t, () => docs.delete(['a', 'nobody'], { if: { version } }), 'ERR_CONDITION_FAILED', {
    index: 1,
    key: 'nobody',
    found: 0,
  })
  t.is(await docs.count(), 2)
  t.is((await docs.delete('a', { if: { version } })).deleted, 1)
})

test('the window is an option', async (t) => {
  const db = await openFor(t, ':memory:', { idempotencyWindowMs: 1 })
  const docs = await docsOf(db)
  const write = () => docs.upsert({ key: 'a', vector: [1, 2] }, { idempotencyKey: 'k' })
  const first = await write()
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.true((await write()).version > first.version, 'it was forgotten')
})

test('a conflict is no use to be tried again', async (t) => {
  const db = await openFor(t)
  const docs = await docsOf(db)
  await docs.upsert({ key: 'a', vector: [1, 2] }, { idempotencyKey: 'k' })
  const error: unknown = await t.throwsAsync(docs.delete('a', { idempotencyKey: 'k' }))
  t.true(isCairnError(error, 'ERR_CONFLICT') && !error.retryable)
})
