// A collection gets another structure while it is open.
import { setTimeout as delay } from 'node:timers/promises'
import test from 'ava'
import { open } from '#ts/index.js'
import { fails } from './helpers/expect.js'
import { directoryHome, openFor } from './helpers/home.js'

const schema = {
  vectors: { dim: 2, metric: 'l2' },
  fields: { year: 'int', topic: 'keyword', body: 'text' },
} as const

const row = (n: number) => ({
  key: `k${n}`,
  vector: [n, 1],
  fields: {
    year: 2000 + (n % 10),
    topic: n % 2 === 0 ? 'sea' : 'sky',
    body: 'a brown fox',
    extra: n,
  },
})
const rows = Array.from({ length: 20 }, (_, n) => row(n))

test('a field is added, renamed and found by its new name, with its types', async (t) => {
  const target = directoryHome.target(t)
  const db = await open(target)
  const docs = await db.collection('docs', schema)
  await docs.upsert(rows)
  await docs.compact()
  await docs.upsert(row(20))
  const altered = await docs.alter({
    addFields: { extra: 'int', note: { type: 'text', language: 'english' } },
    renameFields: { year: 'published' },
    dropIndex: 'topic',
  })
  t.true(Object.is(altered, docs))
  t.deepEqual(altered.schema.fields, {
    published: 'int',
    topic: 'keyword',
    body: 'text',
    extra: 'int',
    note: { type: 'text', language: 'english', weight: 1 },
  })
  t.deepEqual(altered.schema.unindexed, ['topic'])
  t.is(await altered.count({ published: 2003 }), 2)
  t.is(await altered.count({ topic: 'sea', extra: { lt: 10 } }), 5)
  t.deepEqual((await altered.get('k3'))?.fields, {
    published: 2003,
    topic: 'sky',
    body: 'a brown fox',
    extra: 3,
  })
  await altered.upsert({
    key: 'new',
    vector: [0, 0],
    fields: { published: 1970, note: 'running foxes' },
  })
  const found = await altered.search({ text: { query: 'fox run', fields: ['note'] } })
  t.deepEqual(
    found.map(({ key }) => key),
    ['new'],
  )
  t.is(await altered.count({ year: { exists: true } }), 0)
  await fails(
    t,
    () => altered.upsert({ key: 'x', vector: [0, 0], fields: { published: 'no' } as never }),
    'ERR_INVALID_ARGUMENT',
  )
  const page = altered.scan({ orderBy: 'published', limit: 1, select: ['published'] })
  for await (const { fields } of page) t.deepEqual(fields, { published: 1970 })
  const [facet] = await altered.facet('published')
  t.deepEqual(facet, { value: 2000, count: 3 })
  const { fieldIndexBytes } = await altered.stats()
  t.deepEqual(Object.keys(fieldIndexBytes).includes('topic'), false)

  await altered.alter({ createIndex: ['topic'] })
  t.is(altered.schema.unindexed, undefined)
  await db.close()

  const again = await openFor(t, target)
  const mismatch = await fails(t, () => again.collection('docs', schema), 'ERR_SCHEMA_MISMATCH')
  t.is(mismatch?.details['path'], 'fields.published')
  const same = await again.collection('docs', {
    vectors: { dim: 2, metric: 'l2' },
    fields: {
      published: 'int',
      topic: 'keyword',
      body: 'text',
      extra: 'int',
      note: { type: 'text', language: 'english' },
    },
  })
  t.is(await same.count({ published: 2003 }), 2)
  const [listed] = await again.listCollections()
  t.deepEqual(listed?.schema, same.schema)
})

test('every handle of a collection has the new structure', async (t) => {
  const db = await openFor(t)
  const first = await db.collection('docs', { ...schema, extra: 'reject' })
  const second = await db.openCollection('docs')
  await first.alter({ addFields: { page: 'int' } })
  t.deepEqual(second.schema, first.schema)
  await second.upsert({ key: 'a', vector: [1, 1], fields: { page: 5 } })
  await second.alter({ renameFields: { page: 'sheet' } })
  await fails(
    t,
    () => first.upsert({ key: 'b', vector: [1, 1], fields: { page: 5 } as never }),
    'ERR_INVALID_ARGUMENT',
  )
  t.is(await first.count({ sheet: 5 } as never), 1)
})

test('explain tells that an index is not made yet, until it is', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', schema)
  await docs.upsert(rows)
  await docs.compact()
  const altered = await docs.alter({ addFields: { extra: 'int' } })
  const query = { vector: [0, 0], filter: { extra: { gte: 10 } } }
  for (let tries = 0; ; tries += 1) {
    const { stages, keys } = await altered.explain(query)
    t.is(keys.length, 10)
    const pending = stages.flatMap(({ indexPending }) => indexPending)
    if (pending.length === 0) {
      t.is(stages[0]?.filterRecords, 0)
      break
    }
    t.deepEqual(pending, ['extra'])
    t.true(tries < 1000)
    await delay(5)
  }
})

test('a version and a snapshot have the structure of their time, and a reader follows', async (t) => {
  const target = directoryHome.target(t)
  const db = await openFor(t, target)
  const docs = await db.collection('docs', schema)
  await docs.upsert(rows)
  const { version } = await db.snapshot('before')
  const reader = await openFor(t, target, { mode: 'ro', refreshMs: 0 })
  const seen = await reader.openCollection('docs')
  const altered = await docs.alter({ renameFields: { year: 'published' } })
  await altered.upsert({ key: 'new', vector: [0, 0], fields: { published: 1970 } })
  t.true('year' in seen.schema.fields)
  await reader.refresh()
  t.deepEqual(seen.schema, altered.schema)
  t.is(await seen.count({ published: 1970 }), 1)
  const then = await db.at(version)
  const old = await then.openCollection('docs')
  t.deepEqual(Object.keys(old.schema.fields), ['year', 'topic', 'body'])
  t.is(await old.count({ year: 2003 }), 2)
  await then.close()
})

test('a change that is aborted has not happened', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', schema)
  const before = docs.schema
  const signal = AbortSignal.abort()
  await fails(t, () => docs.alter({ addFields: { a: 'int' } }, { signal }), 'ERR_ABORTED')
  t.is(docs.schema, before)
})

test('writes go on while fields are renamed', async (t) => {
  const db = await openFor(t)
  const docs = await db.openCollection((await db.collection('docs', schema)).name)
  let written = 0
  const over = new AbortController()
  const writing = (async () => {
    while (!over.signal.aborted) {
      const [name = ''] = Object.keys(docs.schema.fields)
      await docs.upsert({ key: `k${written}`, vector: [1, 1], fields: { [name]: written } })
      written += 1
    }
  })()
  for (let n = 0; n < 10; n += 1) {
    const [name = ''] = Object.keys(docs.schema.fields)
    await docs.alter({ renameFields: { [name]: `name${n}` } })
  }
  over.abort()
  await writing
  t.is(await docs.count({ name9: { exists: true } }), written)
})
