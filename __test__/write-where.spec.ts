// Writes to all records that a filter holds for, and writes under the condition of one.
import test from 'ava'
import { open, type Collection, type Database } from '#ts/index.js'
import { fails } from './helpers/expect.js'

const schema = {
  vectors: { dim: 2, metric: 'l2' },
  fields: { tenant: 'keyword', n: 'int', note: 'text' },
} as const
type Docs = Collection<typeof schema>

let db: Database
let collections = 0

test.before(async () => {
  db = await open(':memory:')
})
test.after.always(() => db.close())

/** Ten records of two tenants, half of them in a segment. */
async function some(): Promise<Docs> {
  collections += 1
  const docs = await db.collection(`docs${collections}`, schema)
  for (let n = 0; n < 10; n += 1) {
    const fields = { tenant: n % 2 === 0 ? 'a' : 'b', n, note: 'old' }
    await docs.upsert({ key: `k${n}`, vector: [n, 0], fields })
    if (n === 4) await docs.compact()
  }
  return docs
}

async function all(docs: Docs): Promise<string[]> {
  const found: string[] = []
  for await (const { key, fields } of docs.scan()) {
    found.push(`${key} ${fields.tenant} ${String(fields.n)} ${fields.note}`)
  }
  return found
}

test('deleteWhere removes what the filter holds for, and nothing else', async (t) => {
  const docs = await some()
  const before = await all(docs)
  const { deleted, inserted, updated, skipped, version } = await docs.deleteWhere({
    tenant: 'a',
    n: { lt: 7 },
  })
  t.deepEqual([deleted, inserted, updated, skipped], [4, 0, 0, 0])
  t.is(version, (await docs.stats()).version)
  t.deepEqual(
    await all(docs),
    before.filter((record) => !/^k[0246] /.test(record)),
  )
  t.is((await docs.deleteWhere({ tenant: 'none' })).deleted, 0)
  t.is((await docs.deleteWhere({})).deleted, 6)
  t.is(await docs.count(), 0)
})

test('updateWhere merges fields, or replaces them, and keeps vectors', async (t) => {
  const docs = await some()
  const { updated } = await docs.updateWhere({ n: { gte: 8 } }, { note: 'new' })
  t.is(updated, 2)
  t.deepEqual((await all(docs)).slice(8), ['k8 a 8 new', 'k9 b 9 new'])
  await docs.updateWhere({ $key: 'k8' }, { note: 'only' }, { fieldsMode: 'replace' })
  const record = await docs.get('k8', { vectors: true })
  t.deepEqual(record?.fields, { note: 'only' } as never)
  t.deepEqual([...(record?.vector ?? [])], [8, 0])
  // The index of the field sees it at once.
  t.is(await docs.count({ tenant: 'a' }), 4)
  await docs.compact()
  t.is(await docs.count({ tenant: 'a' }), 4)
  t.is(await docs.count({ note: 'new' }), 1)
})

test('a write by filter happens once under its key', async (t) => {
  const docs = await some()
  const first = await docs.deleteWhere({ tenant: 'a' }, { idempotencyKey: 'once' })
  t.is(first.deleted, 5)
  await docs.upsert({ key: 'again', vector: [0, 0], fields: { tenant: 'a' } })
  t.deepEqual(await docs.deleteWhere({ tenant: 'a' }, { idempotencyKey: 'once' }), first)
  t.true(await docs.has('again'))
  await fails(
    t,
    () => docs.deleteWhere({ tenant: 'b' }, { idempotencyKey: 'once' }),
    'ERR_CONFLICT',
  )
  const update = () => docs.updateWhere({ tenant: 'b' }, { n: 1 }, { idempotencyKey: 'two' })
  t.deepEqual(await update(), await update())
  await fails(
    t,
    () => docs.updateWhere({ tenant: 'b' }, { n: 2 }, { idempotencyKey: 'two' }),
    'ERR_CONFLICT',
  )
})

test('a filter as condition lets a write through, or nothing of it', async (t) => {
  const docs = await some()
  await docs.update({ key: 'k1', fields: { note: 'x' } }, { if: { tenant: 'b', n: 1 } })
  t.is((await docs.get('k1'))?.fields.note, 'x')
  const rows = [1, 2].map((n) => ({ key: `k${n}`, fields: { note: 'y' } }))
  await fails(t, () => docs.update(rows, { if: { tenant: 'b' } }), 'ERR_CONDITION_FAILED', {
    index: 1,
    key: 'k2',
  })
  t.is((await docs.get('k1'))?.fields.note, 'x')
  t.is((await docs.delete('k1', { if: { note: 'x' } })).deleted, 1)
  // A field may be called as the version of a record.
  const odd = await db.collection('odd', { vectors: { dim: 1, metric: 'l2' } })
  await odd.upsert({ key: 'a', vector: [1], fields: { version: 5 } })
  await odd.update({ key: 'a', fields: { x: 1 } }, { if: { version: { eq: 5 } } })
  await fails(t, () => odd.delete('a', { if: { version: 5n } }), 'ERR_CONDITION_FAILED')
})

test('writes by filter beside others change whole records, and only those that still match', async (t) => {
  const docs = await db.collection('busy', schema)
  const rows = Array.from({ length: 2000 }, (_, n) => ({
    key: `k${n}`,
    vector: [n, 0],
    fields: { tenant: 'a', n: 0 },
  }))
  await docs.upsert(rows)
  // Every record goes from a to b by one of two writers at a time, and the other deletes what is b.
  const moves = Array.from({ length: 40 }, (_, at) =>
    docs.update(
      rows.slice(at * 50, (at + 1) * 50).map(({ key }) => ({ key, fields: { tenant: 'b' } })),
    ),
  )
  const removals = Array.from({ length: 5 }, () => docs.deleteWhere({ tenant: 'a' }))
  const results = await Promise.allSettled([...moves, ...removals])
  let removed = 0
  for (const result of results) {
    // An update of a record that was removed before fails as a whole.
    if (result.status === 'rejected') {
      t.is((result.reason as { code: string }).code, 'ERR_NOT_FOUND')
    } else removed += result.value.deleted
  }
  t.is(await docs.count({ tenant: 'a' }), 0)
  t.is(await docs.count(), rows.length - removed)
  t.is(await docs.count({ tenant: 'b' }), rows.length - removed)
})
