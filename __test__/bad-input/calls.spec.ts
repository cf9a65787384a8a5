// Every call after the end of its database, and every change of one that is only read.
import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { Readable, Writable } from 'node:stream'
import { open, type Collection, type Database } from '#ts/index.js'
import { exportTo, importFrom } from '#ts/io/index.js'
import { beside, row } from '../helpers/bad-input.js'
import { everyFileOf } from '../helpers/directory.js'
import { fails } from '../helpers/expect.js'
import { temporaryDirectory } from '../helpers/home.js'

const schema = { vectors: { dim: 2, metric: 'l2' } } as const
const record = { key: 'b', vector: [1, 2] }
const key = new Uint8Array(32)

/** Where nobody should make anything. */
const nowhere = join(tmpdir(), `cairn-nowhere-${process.pid}`)
const sink = (): Writable => new Writable({ write: (_, __, done) => done() })

interface Open {
  readonly db: Database
  readonly docs: Collection
}

type Calls = readonly (readonly [string, (open: Open) => unknown])[]

const changes: Calls = [
  ['createCollection', ({ db }) => db.createCollection('new', schema)],
  ['collection that is not there', ({ db }) => db.collection('new', schema)],
  ['dropCollection', ({ db }) => db.dropCollection('docs')],
  ['renameCollection', ({ db }) => db.renameCollection('docs', 'other')],
  ['compact of a database', ({ db }) => db.compact()],
  ['commit of a database', ({ db }) => db.commit()],
  ['add', ({ docs }) => docs.add(record)],
  ['upsert', ({ docs }) => docs.upsert(record)],
  ['upsert of nothing', ({ docs }) => docs.upsert([])],
  ['upsert of columns', ({ docs }) => docs.upsert({ keys: ['b'], vectors: new Float32Array(2) })],
  ['update', ({ docs }) => docs.update({ key: 'a', vector: [1, 2] })],
  ['update of what is not there', ({ docs }) => docs.update({ key: 'x' }, { missing: 'skip' })],
  ['delete', ({ docs }) => docs.delete('a')],
  ['delete of what is not there', ({ docs }) => docs.delete('x')],
  ['deleteWhere', ({ docs }) => docs.deleteWhere({})],
  ['deleteWhere of nothing', ({ docs }) => docs.deleteWhere({ or: [] })],
  ['updateWhere', ({ docs }) => docs.updateWhere({}, { a: 1 })],
  ['ingest', ({ docs }) => docs.ingest([record])],
  ['ingest of nothing', ({ docs }) => docs.ingest([])],
  ['compact of a collection', ({ docs }) => docs.compact()],
  ['alter', ({ docs }) => docs.alter({ addFields: { fresh: 'int' } })],
  ['commit of a collection', ({ docs }) => docs.commit()],
  [
    'importFrom',
    ({ docs }) =>
      importFrom(docs, Readable.from([Buffer.from('{"key":"b","vector":[1,2]}\n')]), {
        format: 'jsonl',
      }),
  ],
  [
    'importFrom into a new collection',
    ({ db }) =>
      importFrom(
        { db, name: 'new', schema },
        Readable.from([Buffer.from('{"key":"b","vector":[1,2]}\n')]),
        { format: 'jsonl' },
      ),
  ],
  ['snapshot', ({ db }) => db.snapshot('other')],
  ['snapshot without a name', ({ db }) => db.snapshot()],
  ['dropVersion', ({ db }) => db.dropVersion('made')],
  ['dropVersion that is not there', ({ db }) => db.dropVersion('nobody')],
  ['backup', ({ db }) => db.backup(nowhere)],
  ['scheduleBackup', ({ db }) => db.scheduleBackup(nowhere, { everyMs: 1 })],
  ['archive', ({ db }) => db.archive(sink())],
  ['upsert under a key', ({ docs }) => docs.upsert(record, { idempotencyKey: 'k' })],
  ['upsert under a condition', ({ docs }) => docs.upsert(record, { if: { version: 0n } })],
  [
    'upsert under a signal',
    ({ docs }) => docs.upsert(record, { signal: new AbortController().signal }),
  ],
]
const reads: Calls = [
  ['collection', ({ db }) => db.collection('docs')],
  ['collection with its schema', ({ db }) => db.collection('docs', schema)],
  ['openCollection', ({ db }) => db.openCollection('docs')],
  ['listCollections', ({ db }) => db.listCollections()],
  ['stats of a database', ({ db }) => db.stats()],
  ['refresh', ({ db }) => db.refresh()],
  ['listVersions', ({ db }) => db.listVersions()],
  ['verify', ({ db }) => db.verify()],
  ['doctor', ({ db }) => db.doctor()],
  ['at', async ({ db }) => (await db.at('made')).close()],
  ['get', ({ docs }) => docs.get('a')],
  ['get of many', ({ docs }) => docs.get(['a', 'b'])],
  ['has', ({ docs }) => docs.has('a')],
  ['has of many', ({ docs }) => docs.has(['a', 'b'])],
  ['count', ({ docs }) => docs.count()],
  ['scan', ({ docs }) => docs.scan().next()],
  ['search', ({ docs }) => docs.search({ vector: [1, 2] })],
  ['searchSync', ({ docs }) => docs.searchSync({ vector: [1, 2] })],
  ['searchBatch', ({ docs }) => docs.searchBatch({ vectors: new Float32Array(2) })],
  ['explain', ({ docs }) => docs.explain({ vector: [1, 2] })],
  ['search like a record', ({ docs }) => docs.search({ like: 'a' })],
  ['search by groups', ({ docs }) => docs.search({ vector: [1, 2], groupBy: { field: 'a' } })],
  ['search for what differs', ({ docs }) => docs.search({ vector: [1, 2], diversity: 0.5 })],
  ['search of nothing', ({ docs }) => docs.search({})],
  ['searchSync of nothing', ({ docs }) => docs.searchSync({ filter: {} })],
  ['scan in an order', ({ docs }) => docs.scan({ orderBy: 'a' }).next()],
  ['facet', ({ docs }) => docs.facet('a')],
  ['aggregate', ({ docs }) => docs.aggregate('a')],
  ['aggregate by name', ({ docs }) => docs.aggregate({ a: { op: 'min', field: 'a' } })],
  ['recall', ({ docs }) => docs.recall()],
  ['tune', ({ docs }) => docs.tune({ recall: 0.9 })],
  ['stats of a collection', ({ docs }) => docs.stats()],
  ['exportTo', ({ docs }) => exportTo(docs, sink(), { format: 'jsonl' })],
]

async function filled(directory: string): Promise<Open> {
  const db = await open(directory)
  const docs = await db.collection('docs', schema)
  await docs.upsert({ key: 'a', vector: [1, 2] })
  await db.snapshot('made')
  return { db, docs: docs as unknown as Collection }
}

for (const kind of ['directory', ':memory:']) {
  for (const [title, call] of [
    ...changes,
    ...reads,
    ['rotateKey', ({ db }) => db.rotateKey({ key })] as Calls[number],
  ]) {
    row(`closed, ${kind}: ${title}`, async (t) => {
      const directory = kind === 'directory' ? temporaryDirectory(t) : kind
      const world = await filled(directory)
      await world.db.close()
      const before = kind === 'directory' ? everyFileOf(directory) : {}
      await fails(t, () => call(world), 'ERR_CLOSED')
      await world.db.close()
      t.deepEqual(kind === 'directory' ? everyFileOf(directory) : {}, before)
    })
  }
}
row('closed: a scan that was begun', async (t) => {
  const { db, docs } = await filled(':memory:')
  const scan = docs.scan()
  await db.close()
  await fails(t, () => scan.next(), 'ERR_CLOSED')
})
row('closed: again and again is harmless', async (t) => {
  const { db } = await filled(':memory:')
  await Promise.all([db.close(), db.close(), db[Symbol.asyncDispose]()])
  await db.close()
  t.pass()
})
row('closed: listeners come and go', async (t) => {
  const { db } = await filled(':memory:')
  await db.close()
  const listener = (): void => undefined
  t.notThrows(() => db.on('version', listener).off('version', listener))
})

for (const writerIsThere of [true, false]) {
  const when = writerIsThere ? 'beside a writer' : 'alone'
  for (const [title, call] of changes) {
    row(`read-only, ${when}: ${title}`, async (t) => {
      const directory = temporaryDirectory(t)
      const writer = await filled(directory)
      if (!writerIsThere) await writer.db.close()
      const db = await open(directory, { mode: 'ro', refreshMs: 0 })
      t.teardown(async () => Promise.all([db.close(), writer.db.close()]))
      const docs = await db.openCollection('docs')
      const before = everyFileOf(directory)
      await fails(t, () => call({ db, docs }), 'ERR_READ_ONLY')
      t.deepEqual(everyFileOf(directory), before)
      t.deepEqual((await docs.get('a'))?.key, 'a')
      t.is(await docs.count(), 1)
    })
  }
}
for (const [title, call] of reads) {
  row(`read-only: ${title} writes nothing`, async (t) => {
    const directory = temporaryDirectory(t)
    const writer = await filled(directory)
    await writer.db.close()
    const before = everyFileOf(directory)
    const db = await open(directory, { mode: 'ro', refreshMs: 0 })
    t.teardown(() => db.close())
    const docs = await db.openCollection('docs')
    await t.notThrowsAsync(async () => call({ db, docs }))
    t.deepEqual(everyFileOf(directory), before)
  })
}

beside('nothing was made where nobody should', (t) => {
  t.false(existsSync(nowhere))
})

beside('every method of a database and of a collection is among the calls', async (t) => {
  const { db, docs } = await filled(':memory:')
  t.teardown(() => db.close())
  const elsewhere = new Set(['constructor', 'follow', 'close', 'on', 'off', 'rotateKey'])
  const said = [...changes, ...reads].map(([, call]) => call.toString()).join('\n')
  for (const object of [db, docs]) {
    const methods = Object.getOwnPropertyNames(Object.getPrototypeOf(object)).filter(
      (name) => name !== 'name' && name !== 'schema' && !elsewhere.has(name),
    )
    t.true(methods.length > 5)
    for (const method of methods) t.true(said.includes(`.${method}(`), method)
  }
})
