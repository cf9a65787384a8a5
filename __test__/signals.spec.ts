// Every call takes a signal. One that has fired before is an error, and nothing happened; one that fires later ends
// what reads or waits, and what changes something is finished.
import { getEventListeners } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough, Readable, Writable } from 'node:stream'
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import * as embed from '#ts/embed/index.js'
import * as cairn from '#ts/index.js'
import type { CallOptions, Collection, Database, KeyProvider } from '#ts/index.js'
import * as io from '#ts/io/index.js'
import { loadBinding } from '#ts/native/loader.js'
import { openWith } from '#ts/open.js'
import { everyFileOf } from './helpers/directory.js'
import { fails, outcome } from './helpers/expect.js'
import { Gate, heldBinding } from './helpers/held.js'
import { openFor, temporaryDirectory } from './helpers/home.js'

const { open } = cairn
const schema = {
  vectors: { dim: 2, metric: 'l2' },
  fields: { n: 'int', words: 'text' },
} as const
const encryption = { keyId: 'old', key: new Uint8Array(32).fill(7) }
const newKey = { keyId: 'new', key: new Uint8Array(32).fill(8) }
const row = { key: 'z', vector: [3, 4] }
const vector = [1, 1]
const sink = (): Writable => new Writable({ write: (_, __, done) => done() })
const source = (): Readable => Readable.from([Buffer.from('{"key":"y","vector":[1,2]}\n')])

/** Longest that a call may go on after its signal on a machine that has other work. */
const promptMs = 10_000

/** An encrypted database, and directories. */
interface World {
  readonly db: Database
  readonly docs: Collection
  readonly directory: string
  /** Two backups of it, for calls that are about some. */
  readonly backups: string
  /** Nothing is there. */
  readonly nowhere: string
}

async function worldFor(t: ExecutionContext, title = '', gate = new Gate()): Promise<World> {
  const home = temporaryDirectory(t)
  const directory = join(home, 'data')
  const options = { encryption, compaction: 'none' } as const
  const db = await openWith(() => heldBinding(loadBinding(), gate), directory, options)
  t.teardown(() => {
    gate.open()
    return db.close()
  })
  const docs = (await db.collection('docs', schema)) as unknown as Collection
  await docs.upsert([
    { key: 'a', vector: [1, 2], fields: { n: 1, words: 'sea and sky' } },
    { key: 'b', vector: [2, 1], fields: { n: 2, words: 'sky' } },
  ])
  await db.createCollection('spare', schema)
  await db.snapshot('made')
  const backups = join(home, 'backups')
  if (/Backup|restore/.test(title))
    for (const name of ['a', 'b']) await db.backup(backups, { name })
  return { db, docs, directory, backups, nowhere: join(home, 'nowhere') }
}

/** All that calls of the table can change, in a form that can be compared. */
async function stateOf({ db, docs, directory, backups, nowhere }: World): Promise<string> {
  const records: unknown[] = []
  for await (const record of docs.scan({ vectors: true })) records.push(record)
  const all = [
    records,
    docs.schema,
    await db.listCollections(),
    await db.listVersions(),
    (await db.stats()).version,
    existsSync(backups) && (await cairn.listBackups(backups)).map(({ id }) => id),
    existsSync(nowhere),
    everyFileOf(join(directory, 'keys')),
  ]
  return JSON.stringify(all, (_, value: unknown) =>
    typeof value === 'bigint' ? `${value}n` : value,
  )
}

/**
 * What becomes of a call whose signal fires after it began: it `ends` and goes on without its caller; it is `finished`;
 * or it does as it can, by a ticket, and either has ended or is done.
 */
type Kind = 'ends' | 'finished' | 'ticket'

/** A call: its name (and what of it, behind a space), what becomes of it, and how it is made. */
type Row = readonly [title: string, kind: Kind, call: (world: World, given: CallOptions) => unknown]

const ofDatabase: readonly Row[] = [
  ['collection', 'ends', ({ db }, given) => db.collection('docs', undefined, given)],
  ['collection that is new', 'finished', ({ db }, given) => db.collection('new', schema, given)],
  ['createCollection', 'finished', ({ db }, given) => db.createCollection('new', schema, given)],
  ['openCollection', 'ends', ({ db }, given) => db.openCollection('docs', given)],
  ['dropCollection', 'finished', ({ db }, given) => db.dropCollection('spare', given)],
  ['renameCollection', 'finished', ({ db }, given) => db.renameCollection('spare', 'other', given)],
  ['listCollections', 'ends', ({ db }, given) => db.listCollections(given)],
  ['commit', 'ends', ({ db }, given) => db.commit(given)],
  ['compact', 'ticket', ({ db }, given) => db.compact(given)],
  ['snapshot', 'finished', ({ db }, given) => db.snapshot('taken', given)],
  ['snapshot without a name', 'finished', ({ db }, given) => db.snapshot(undefined, given)],
  ['at', 'ends', async ({ db }, given) => (await db.at('made', given)).close()],
  ['listVersions', 'ends', ({ db }, given) => db.listVersions(given)],
  ['dropVersion', 'finished', ({ db }, given) => db.dropVersion('made', given)],
  ['backup', 'ticket', ({ db, backups }, given) => db.backup(backups, given)],
  ['archive', 'ends', ({ db }, given) => db.archive(sink(), given)],
  ['verify', 'ticket', ({ db }, given) => db.verify(given)],
  ['doctor', 'ticket', ({ db }, given) => db.doctor(given)],
  ['stats', 'ends', ({ db }, given) => db.stats(given)],
  ['refresh', 'ends', ({ db }, given) => db.refresh(given)],
  ['rotateKey', 'finished', ({ db }, given) => db.rotateKey(newKey, given)],
]
const ofCollection: readonly Row[] = [
  ['alter', 'ticket', ({ docs }, given) => docs.alter({ addFields: { fresh: 'int' } }, given)],
  ['add', 'ticket', ({ docs }, given) => docs.add(row, given)],
  ['upsert', 'ticket', ({ docs }, given) => docs.upsert(row, given)],
  ['update', 'ticket', ({ docs }, given) => docs.update({ key: 'a', vector }, given)],
  ['delete', 'ticket', ({ docs }, given) => docs.delete('a', given)],
  ['deleteWhere', 'ticket', ({ docs }, given) => docs.deleteWhere({ n: 1 }, given)],
  [
    'deleteWhere of a function',
    'ticket',
    ({ docs }, given) => docs.deleteWhere(({ n }) => n === 1, given),
  ],
  ['updateWhere', 'ticket', ({ docs }, given) => docs.updateWhere({ n: 1 }, { n: 3 }, given)],
  ['ingest', 'ticket', ({ docs }, given) => docs.ingest([row], given)],
  ['get', 'ticket', ({ docs }, given) => docs.get('a', given)],
  ['has', 'ends', ({ docs }, given) => docs.has('a', given)],
  ['has of many', 'ends', ({ docs }, given) => docs.has(['a', 'x'], given)],
  ['count', 'ticket', ({ docs }, given) => docs.count(undefined, given)],
  ['count of some', 'ticket', ({ docs }, given) => docs.count({ n: 1 }, given)],
  ['count by a function', 'ticket', ({ docs }, given) => docs.count(({ n }) => n === 1, given)],
  [
    'scan',
    'ticket',
    async ({ docs }, given) => {
      for await (const record of docs.scan(given)) void record
    },
  ],
  [
    'scan in an order',
    'ticket',
    async ({ docs }, given) => {
      for await (const record of docs.scan({ orderBy: 'n', ...given })) void record
    },
  ],
  ['search', 'ticket', ({ docs }, given) => docs.search({ vector, ...given })],
  [
    'search that explains',
    'ticket',
    ({ docs }, given) => docs.search({ vector, explain: true, ...given }),
  ],
  ['search for words', 'ticket', ({ docs }, given) => docs.search({ text: 'sea', ...given })],
  ['search for nothing', 'ticket', ({ docs }, given) => docs.search({ ...given })],
  [
    'search with a rerank',
    'ticket',
    ({ docs }, given) => docs.search({ vector, rerank: (hits) => hits, ...given }),
  ],
  [
    'search by a function',
    'ticket',
    ({ docs }, given) => docs.search({ vector, filter: ({ n }) => n === 1, ...given }),
  ],
  ['searchSync', 'ticket', async ({ docs }, given) => docs.searchSync({ vector, ...given })],
  [
    'searchBatch',
    'ticket',
    ({ docs }, given) => docs.searchBatch({ vectors: Float32Array.of(1, 1), ...given }),
  ],
  ['explain', 'ticket', ({ docs }, given) => docs.explain({ vector, ...given })],
  ['facet', 'ticket', ({ docs }, given) => docs.facet('n', given)],
  ['aggregate', 'ticket', ({ docs }, given) => docs.aggregate('n', given)],
  ['recall', 'ticket', ({ docs }, given) => docs.recall({ sample: 1, ...given })],
  ['tune', 'ticket', ({ docs }, given) => docs.tune({ recall: 0.9, sample: 1, ...given })],
  ['commit', 'ends', ({ docs }, given) => docs.commit(given)],
  ['compact', 'ticket', ({ docs }, given) => docs.compact(given)],
  ['stats', 'ends', ({ docs }, given) => docs.stats(given)],
]
const functions: readonly Row[] = [
  ['open', 'ticket', async ({ nowhere }, given) => (await open(nowhere, given)).close()],
  ['listBackups', 'ticket', ({ backups }, given) => cairn.listBackups(backups, given)],
  [
    'pruneBackups',
    'ticket',
    ({ backups }, given) => cairn.pruneBackups(backups, { keep: 1, ...given }),
  ],
  [
    'restore',
    'ticket',
    ({ backups, nowhere }, given) => cairn.restore(backups, nowhere, { encryption, ...given }),
  ],
  ['verifyBackup', 'ticket', ({ backups }, given) => cairn.verifyBackup(backups, given)],
  [
    'verify',
    'ticket',
    async ({ db, directory }, given) => {
      await db.close()
      return cairn.verify(directory, { encryption, ...given })
    },
  ],
  ['doctor', 'ticket', ({ directory }, given) => cairn.doctor(directory, { encryption, ...given })],
  [
    'repair',
    'ticket',
    async ({ db, directory, nowhere: target }, given) => {
      await db.close()
      return cairn.repair(directory, { target, encryption, ...given })
    },
  ],
  [
    'exportTo',
    'ticket',
    ({ docs }, given) => io.exportTo(docs, sink(), { format: 'jsonl', ...given }),
  ],
  [
    'importFrom',
    'ticket',
    ({ docs }, given) => io.importFrom(docs, source(), { format: 'jsonl', ...given }),
  ],
  [
    'importFrom into a new collection',
    'ticket',
    ({ db }, given) =>
      io.importFrom({ db, name: 'new', schema }, source(), { format: 'jsonl', ...given }),
  ],
]
const others: readonly Row[] = [
  [
    'embed of an embedder',
    'ticket',
    (_, given) => embed.hashing().embed(['the sea', 'the sky'], given),
  ],
]

const named = (what: string, rows: readonly Row[]): Row[] =>
  rows.map(([title, ...rest]) => [`${what}: ${title}`, ...rest])
const table = [
  ...named('database', ofDatabase),
  ...named('collection', ofCollection),
  ...named('function', functions),
  ...named('object', others),
]

/** What neither waits nor reads, and `close`, which ends all work itself. */
const withoutSignal = new Set(
  'constructor name schema on off follow close scheduleBackup'.split(' '),
)
/** Functions of the package that answer at once. */
const atOnce = new Set(
  'CairnError isCairnError documentFields documentOf simdLevel hash mask embedder hashing http'.split(
    ' ',
  ),
)

test('every call that there is stands in a table', async (t) => {
  const { db, docs } = await worldFor(t)
  const isIn = (rows: readonly Row[], name: string): boolean =>
    rows.some(([title]) => title.split(' ')[0] === name)
  for (const [object, rows] of [
    [db, ofDatabase],
    [docs, ofCollection],
  ] as const) {
    const names = Object.getOwnPropertyNames(Object.getPrototypeOf(object))
    t.true(names.length > rows.length / 2)
    for (const name of names) {
      t.true(withoutSignal.has(name) || isIn(rows, name), `${name} has no row`)
    }
  }
  for (const [name, value] of Object.entries({ ...cairn, ...io, ...embed })) {
    if (typeof value !== 'function') continue
    t.true(atOnce.has(name) || isIn(functions, name), `${name} has no row`)
  }
})

/** What a call came to, which must be soon. */
async function soon(t: ExecutionContext, what: string, call: Promise<unknown>): Promise<unknown> {
  const late = new AbortController()
  const tooLate = delay(promptMs, 'too late', { signal: late.signal }).catch(() => undefined)
  const came = await Promise.race([call, tooLate])
  late.abort()
  t.not(came, 'too late', what)
  return came
}

function isAborted(t: ExecutionContext, error: unknown, reason: unknown): void {
  t.true(cairn.isCairnError(error, 'ERR_ABORTED'), String(error))
  t.is((error as Error).cause, reason)
}

const listenersOf = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length

for (const [title, , call] of table) {
  test.serial(
    `${title}: nothing happens under a signal that has fired, or a wrong one`,
    async (t) => {
      const world = await worldFor(t, title)
      const before = await stateOf(world)
      const isClosedFirst = /^function: (verify|repair)$/.test(title)
      const state = async (): Promise<string> => {
        if (!isClosedFirst) return stateOf(world)
        const db = await open(world.directory, { encryption })
        const docs = await db.openCollection('docs')
        const now = await stateOf({ ...world, db, docs })
        await db.close()
        return now
      }
      const reason = new Error('enough')
      const fired = AbortSignal.abort(reason)
      isAborted(t, await outcome(() => call(world, { signal: fired })), reason)
      t.is(listenersOf(fired), 0)
      const wrong: readonly unknown[] = [null, 'now', 5, {}, new AbortController()]
      for (const signal of wrong) {
        const given = { signal: signal as AbortSignal }
        await fails(t, () => call(world, given), 'ERR_INVALID_ARGUMENT', { path: 'signal' })
      }
      const unknown = { sgnal: fired } as CallOptions
      await fails(t, () => call(world, unknown), 'ERR_INVALID_ARGUMENT', { path: 'sgnal' })
      t.is(await state(), before)
    },
  )

  test.serial(`${title}: a signal that never fires leaves no listener behind`, async (t) => {
    const { signal } = new AbortController()
    await call(await worldFor(t, title), { signal })
    t.is(listenersOf(signal), 0)
    await t.notThrowsAsync(async () => call(await worldFor(t, title), { signal: undefined }))
  })
}

for (const [title, kind, call] of table.filter(([, each]) => each === 'ticket')) {
  test.serial(`${title}: ${kind} when its signal fires in the middle`, async (t) => {
    const world = await worldFor(t, title)
    const abort = new AbortController()
    const reason = new Error('enough')
    const ended = outcome(() => call(world, { signal: abort.signal }))
    await turn()
    abort.abort(reason)
    const came = await soon(t, title, ended)
    // It may have been done already.
    if (came instanceof Error) isAborted(t, came, reason)
    t.is(listenersOf(abort.signal), 0)
  })
}

for (const [title, kind, call] of table.filter(([, each]) => each === 'ends')) {
  test.serial(
    `${title}: ${kind} at once when its signal fires, and the database waits for the rest`,
    async (t) => {
      const gate = new Gate()
      const world = await worldFor(t, title, gate)
      gate.close()
      const abort = new AbortController()
      const reason = new Error('enough')
      const ended = outcome(() => call(world, { signal: abort.signal }))
      await turn()
      abort.abort(reason)
      isAborted(t, await soon(t, title, ended), reason)
      t.is(listenersOf(abort.signal), 0)
      const closed = world.db.close()
      await delay(20)
      t.false(gate.asked.includes('close'), 'the addon was closed in the middle of a call')
      gate.open()
      await closed
      t.is(gate.asked.at(-1), 'close')
    },
  )
}

for (const [title, kind, call] of table.filter(([, each]) => each === 'finished')) {
  test.serial(`${title}: is ${kind} though its signal fires`, async (t) => {
    const gate = new Gate()
    const world = await worldFor(t, title, gate)
    const before = await stateOf(world)
    gate.close()
    const abort = new AbortController()
    let settled = false
    const ended = outcome(() => call(world, { signal: abort.signal })).finally(() => {
      settled = true
    })
    await turn()
    abort.abort()
    await delay(20)
    t.false(settled, 'its caller was told before it was done')
    gate.open()
    t.regex(String(await soon(t, title, ended)), /^a value/)
    t.is(listenersOf(abort.signal), 0)
    t.not(await stateOf(world), before)
  })
}

test('a version that is opened too late for its caller is closed before the database', async (t) => {
  const gate = new Gate()
  const { db } = await worldFor(t, 'at', gate)
  gate.close()
  const abort = new AbortController()
  const late = outcome(() => db.at('made', { signal: abort.signal }))
  await turn()
  abort.abort()
  isAborted(t, await soon(t, 'at', late), abort.signal.reason)
  const asked = gate.asked.length
  const closed = db.close()
  gate.open()
  await closed
  t.deepEqual(gate.asked.slice(asked), ['close', 'close'])
})

test('a signal that fires ends the wait for a lock at once', async (t) => {
  const directory = join(temporaryDirectory(t), 'data')
  const first = await open(directory)
  const abort = new AbortController()
  const reason = new Error('enough')
  const { signal } = abort
  const waiting = outcome(() => open(directory, { lockTimeoutMs: 600_000, signal }))
  await delay(60)
  abort.abort(reason)
  isAborted(t, await soon(t, 'open', waiting), reason)
  t.is(listenersOf(signal), 0)
  await first.close()
  await (await open(directory, { lockTimeoutMs: 600_000 })).close()
})

for (const mode of ['rw', 'ro'] as const) {
  test(`an opening (${mode}) under way is finished, and closed again before its caller hears of it`, async (t) => {
    const directory = join(temporaryDirectory(t), 'data')
    await (await open(directory)).close()
    const gate = new Gate()
    gate.close()
    const abort = new AbortController()
    const held = (): ReturnType<typeof loadBinding> => heldBinding(loadBinding(), gate)
    let settled = false
    const opening = outcome(() =>
      openWith(held, directory, { mode, signal: abort.signal }),
    ).finally(() => {
      settled = true
    })
    await turn()
    abort.abort()
    await delay(20)
    t.false(settled)
    gate.open()
    isAborted(t, await soon(t, 'open', opening), abort.signal.reason)
    t.is(gate.asked.at(-1), 'close')
    await (await open(directory)).close()
  })
}

test('a signal of an opening is no signal of the database', async (t) => {
  const abort = new AbortController()
  const db = await openFor(t, ':memory:', { signal: abort.signal })
  t.is(listenersOf(abort.signal), 0)
  abort.abort()
  const docs = await db.collection('docs', schema)
  await docs.upsert(row)
  t.true(await docs.has('z'))
})

test('providers of keys that never answer are waited for until the signal fires', async (t) => {
  const { db, directory, backups, nowhere } = await worldFor(t, 'restore')
  const never = new Promise<never>(() => {})
  const silent: KeyProvider = { current: () => never, get: () => never }
  const asks: Readonly<Record<string, (given: CallOptions) => Promise<unknown>>> = {
    open: (given) => open(directory, { encryption: silent, ...given }),
    'open of a new one': (given) => open(nowhere, { encryption: silent, ...given }),
    rotateKey: (given) => db.rotateKey(silent, given),
    restore: (given) => cairn.restore(backups, nowhere, { encryption: silent, ...given }),
    verify: (given) => cairn.verify(directory, { encryption: silent, ...given }),
    doctor: (given) => cairn.doctor(directory, { encryption: silent, ...given }),
    repair: (given) => cairn.repair(directory, { target: nowhere, encryption: silent, ...given }),
  }
  for (const [name, ask] of Object.entries(asks)) {
    const abort = new AbortController()
    const asked = outcome(() => ask({ signal: abort.signal }))
    await delay(30)
    abort.abort()
    isAborted(t, await soon(t, name, asked), abort.signal.reason)
    t.is(listenersOf(abort.signal), 0, name)
  }
  t.false(existsSync(nowhere))
  await db.close()
  await (await open(directory, { encryption })).close()
})

test('an archive that never comes is waited for until the signal fires', async (t) => {
  const target = join(temporaryDirectory(t), 'data')
  const abort = new AbortController()
  const restored = outcome(() => cairn.restore(new PassThrough(), target, { signal: abort.signal }))
  await delay(30)
  abort.abort()
  isAborted(t, await soon(t, 'restore', restored), abort.signal.reason)
  t.is(listenersOf(abort.signal), 0)
  t.false(existsSync(target))
})

test('a schedule whose stop was refused goes on', async (t) => {
  const { db, nowhere } = await worldFor(t)
  const schedule = db.scheduleBackup(nowhere, { everyMs: 3_600_000 })
  const reason = new Error('enough')
  const refused = await outcome(() => schedule.stop({ signal: AbortSignal.abort(reason) }))
  isAborted(t, refused, reason)
  const wrong = { signal: 5 } as object
  await fails(t, () => schedule.stop(wrong), 'ERR_INVALID_ARGUMENT', { path: 'signal' })
  t.true(schedule.next instanceof Date)
  const { signal } = new AbortController()
  await schedule.stop({ signal })
  t.is(schedule.next, null)
  t.is(listenersOf(signal), 0)
})

test('options where a schema belongs are refused by their name', async (t) => {
  const { db } = await worldFor(t)
  const { signal } = new AbortController()
  const misplaced = { signal } as unknown as typeof schema
  await fails(t, () => db.collection('docs', misplaced), 'ERR_INVALID_ARGUMENT', { path: 'signal' })
})
