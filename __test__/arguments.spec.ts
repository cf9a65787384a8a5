// Every method with every argument replaced by every odd value: it works, or it fails with one of
// our errors. It never throws where a promise was promised, and never ends the process.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { CairnError, open, type Collection, type Database } from '#ts/index.js'
import { outcome } from './helpers/expect.js'
import { weirdValues } from './helpers/weird.js'

// To `open` an odd string is a path: let it lead to a folder that goes away.
const home = mkdtempSync(join(tmpdir(), 'cairn-arguments-'))
process.chdir(home)
test.after.always(() => {
  process.chdir(tmpdir())
  rmSync(home, { recursive: true, force: true })
})

interface World {
  readonly db: Database
  readonly docs: Collection
}

type Method = (world: World, ...args: readonly never[]) => unknown

const row = { key: 'a', vector: [1, 2] }
const schema = { vectors: { dim: 2, metric: 'l2' } }

/** Each method with arguments that nothing is wrong with. */
const methods: readonly (readonly [string, Method, readonly unknown[]])[] = [
  [
    'open',
    (_, ...args) => open(...(args as unknown as [string])).then((db) => db.close()),
    [':memory:', {}],
  ],
  [
    'collection',
    ({ db }, ...args) => db.collection(...(args as unknown as [string])),
    ['docs', schema, {}],
  ],
  [
    'createCollection',
    ({ db }, ...args) => db.createCollection(...(args as unknown as [string, never])),
    ['made', schema, {}],
  ],
  [
    'openCollection',
    ({ db }, ...args) => db.openCollection(...(args as unknown as [string])),
    ['docs', {}],
  ],
  [
    'dropCollection',
    ({ db }, ...args) => db.dropCollection(...(args as unknown as [string])),
    ['gone', {}],
  ],
  [
    'renameCollection',
    ({ db }, ...args) => db.renameCollection(...(args as unknown as [string, string])),
    ['gone', 'other', {}],
  ],
  [
    'listCollections',
    ({ db }, ...args) => db.listCollections(...(args as unknown as [never])),
    [{}],
  ],
  ['commit', ({ db }, ...args) => db.commit(...(args as unknown as [never])), [{}]],
  [
    'snapshot',
    ({ db }, ...args) => db.snapshot(...(args as unknown as [string, never])),
    [undefined, {}],
  ],
  [
    'at',
    ({ db }, ...args) => db.at(...(args as unknown as [never, never])).then((past) => past.close()),
    ['made', {}],
  ],
  ['listVersions', ({ db }, ...args) => db.listVersions(...(args as unknown as [never])), [{}]],
  [
    'dropVersion',
    ({ db }, ...args) => db.dropVersion(...(args as unknown as [never, never])),
    ['gone', {}],
  ],
  ['stats', ({ db }, ...args) => db.stats(...(args as unknown as [never])), [{}]],
  ['refresh', ({ db }, ...args) => db.refresh(...(args as unknown as [never])), [{}]],
  [
    'rotateKey',
    ({ db }, ...args) => db.rotateKey(...(args as unknown as [never, never])),
    [{ key: new Uint8Array(32) }, {}],
  ],
  ['compact', ({ db }, ...args) => db.compact(...(args as unknown as [never])), [{}]],
  ['add', ({ docs }, ...args) => docs.add(...(args as unknown as [never, never])), [row, {}]],
  ['upsert', ({ docs }, ...args) => docs.upsert(...(args as unknown as [never, never])), [row, {}]],
  ['update', ({ docs }, ...args) => docs.update(...(args as unknown as [never, never])), [row, {}]],
  [
    'delete',
    ({ docs }, ...args) => docs.delete(...(args as unknown as [never, never])),
    ['gone', {}],
  ],
  [
    'ingest',
    ({ docs }, ...args) => docs.ingest(...(args as unknown as [never, never])),
    [[row], {}],
  ],
  ['get', ({ docs }, ...args) => docs.get(...(args as unknown as [never, never])), ['a', {}]],
  ['has', ({ docs }, ...args) => docs.has(...(args as unknown as [never, never])), ['a', {}]],
  [
    'count',
    ({ docs }, ...args) => (docs.count as (...args: unknown[]) => unknown)(...args),
    [undefined],
  ],
  ['scan', ({ docs }, ...args) => docs.scan(...(args as unknown as [never])).next(), [{}]],
  [
    'search',
    ({ docs }, ...args) => docs.search(...(args as unknown as [never])),
    [{ vector: [1, 2] }],
  ],
  [
    'searchSync',
    ({ docs }, ...args) => docs.searchSync(...(args as unknown as [never])),
    [{ vector: [1, 2] }],
  ],
  [
    'searchBatch',
    ({ docs }, ...args) => docs.searchBatch(...(args as unknown as [never])),
    [{ vectors: new Float32Array(2) }],
  ],
  [
    'explain',
    ({ docs }, ...args) => docs.explain(...(args as unknown as [never])),
    [{ vector: [1, 2] }],
  ],
  [
    'alter',
    ({ docs }, ...args) => docs.alter(...(args as unknown as [never, never])),
    [{ createIndex: 'gone' }, {}],
  ],
  [
    'commit of a collection',
    ({ docs }, ...args) => docs.commit(...(args as unknown as [never])),
    [{}],
  ],
  [
    'stats of a collection',
    ({ docs }, ...args) => docs.stats(...(args as unknown as [never])),
    [{}],
  ],
  [
    'compact of a collection',
    ({ docs }, ...args) => docs.compact(...(args as unknown as [never])),
    [{}],
  ],
]

/** Objects whose members are replaced one at a time. */
const members: readonly (readonly [string, Method, Record<string, unknown>])[] = [
  ['a row', ({ docs }, given) => docs.upsert(given), { ...row, fields: {} }],
  [
    'a row with vectors',
    ({ docs }, given) => docs.upsert(given),
    { key: 'a', vectors: { vector: [1, 2] } },
  ],
  [
    'columns',
    ({ docs }, given) => docs.upsert(given),
    { keys: ['a'], vectors: new Float32Array(2), fields: {} },
  ],
  [
    'options of a write',
    ({ docs }, given) => docs.upsert(row, given),
    { if: undefined, durability: 'os', signal: undefined, idempotencyKey: undefined },
  ],
  [
    'options of an update',
    ({ docs }, given) => docs.update(row, given),
    { fieldsMode: 'merge', missing: 'skip' },
  ],
  [
    'options of an ingest',
    ({ docs }, given) => docs.ingest([row], given),
    { mode: 'upsert', chunkRows: 5, durability: 'os', onProgress: undefined, signal: undefined },
  ],
  [
    'options of an ingest of updates',
    ({ docs }, given) => docs.ingest([row], given),
    { mode: 'update', fieldsMode: 'merge', missing: 'skip' },
  ],
  [
    'a search',
    ({ docs }, given) => docs.search(given),
    {
      vector: [1, 2],
      k: 1,
      recall: 0.9,
      efSearch: undefined,
      exact: false,
      rerank: true,
      maxDistance: 5,
      minScore: 0,
      select: ['a'],
      vectors: true,
      deadlineMs: 1000,
      signal: undefined,
      filter: undefined,
      text: undefined,
      fuse: 'rrf',
      highlight: false,
      explain: true,
    },
  ],
  [
    'a synchronous search',
    ({ docs }, given) => docs.searchSync(given),
    { vector: { vector: [1, 2] }, k: 1, efSearch: 10 },
  ],
  [
    'a batch of searches',
    ({ docs }, given) => docs.searchBatch(given),
    { vectors: new Float32Array(2), k: 1, exact: true },
  ],
  [
    'options of a read',
    ({ docs }, given) => docs.get('a', given),
    { select: ['a'], vectors: true, signal: undefined },
  ],
  [
    'options of a scan',
    ({ docs }, given) => docs.scan(given).next(),
    { select: ['a'], vectors: true, after: undefined, limit: 1, signal: undefined },
  ],
  [
    'options of a compaction',
    ({ docs }, given) => docs.compact(given),
    { onProgress: undefined, signal: undefined },
  ],
  [
    'a schema',
    ({ db }, given) => db.collection('docs', given),
    { key: 'string', vectors: { dim: 2, metric: 'l2' }, fields: {}, extra: 'allow' },
  ],
  [
    'a vector field',
    ({ db }, given) => db.collection('docs', { vectors: given } as never),
    { dim: 2, metric: 'l2', type: 'f32', index: 'auto', quantize: 'none' },
  ],
  [
    'settings of a graph',
    ({ db }, given) =>
      db.collection('docs', { vectors: { dim: 2, metric: 'l2', index: given } } as never),
    { kind: 'hnsw', m: 16, m0: 32, mMax: 16, efConstruction: 200, levelMult: 0.36 },
  ],
  [
    'options of open',
    (_, given) => open(':memory:', given).then((db) => db.close()),
    {
      mode: 'rw',
      refreshMs: 1000,
      durability: 'sync',
      lockTimeoutMs: 0,
      memoryBudget: '50%',
      memtableBytes: 1e6,
      blockCacheBytes: 1e6,
      memoryMap: true,
      compression: 'none',
      walDir: undefined,
      walBytesMax: 2e6,
      compaction: 'leveled',
      compactionRateMax: 1e9,
      threads: 1,
      cacheDir: undefined,
      encryption: undefined,
      onWarning: undefined,
      signal: undefined,
    },
  ],
]

let world: World

test.before(async () => {
  const db = await open(':memory:')
  world = { db, docs: (await db.collection('docs', schema as never)) as unknown as Collection }
})

test.after.always(() => world.db.close())

async function check(method: Method, args: readonly unknown[]): Promise<string | undefined> {
  let started: unknown
  const error = await outcome(() => {
    started = method(world, ...(args as readonly never[]))
    return started
  })
  if (error instanceof Error && !(error instanceof CairnError))
    return `${error.name}: ${error.message}`
  if (!(error instanceof Error) && typeof error !== 'string') return 'threw what is no error'
  if (error instanceof CairnError && error.code === 'ERR_INTERNAL') return error.message
  return undefined
}

for (const [name, method, args] of methods) {
  test.serial(`${name} with odd arguments works or fails with one of our errors`, async (t) => {
    t.is(await check(method, []), undefined, 'no arguments')
    for (let position = 0; position < args.length; position += 1) {
      for (const [odd, value] of weirdValues()) {
        // A filter may be a function, and what that throws is the caller's own.
        if (name === 'count' && typeof value === 'function') continue
        const given = args.with(position, value)
        t.is(await check(method, given), undefined, `argument ${position}: ${odd}`)
      }
    }
  })
}

for (const [name, method, given] of members) {
  test.serial(`${name} with odd members works or fails with one of our errors`, async (t) => {
    for (const member of Object.keys(given)) {
      for (const [odd, value] of weirdValues()) {
        // What a callback throws is the caller's own.
        if (['onProgress', 'rerank', 'filter'].includes(member) && typeof value === 'function')
          continue
        t.is(await check(method, [{ ...given, [member]: value }]), undefined, `${member}: ${odd}`)
        const getter = Object.defineProperty({ ...given }, member, {
          enumerable: true,
          get() {
            throw new Error('do not read')
          },
        })
        t.is(await check(method, [getter]), undefined, `${member}: a getter that throws`)
      }
    }
  })
}

test.serial('methods that promise never throw', (t) => {
  for (const [name, method] of methods) {
    if (name === 'searchSync' || name === 'scan') continue
    t.notThrows(() => {
      const promise = method(
        world,
        ...([Symbol('odd'), Symbol('odd')] as unknown as never[]),
      ) as Promise<unknown>
      promise.catch(() => undefined)
    }, name)
  }
})

test.serial('a getter that calls the database again is served', async (t) => {
  const { docs } = world
  const inner: Promise<unknown>[] = []
  await docs.upsert({
    key: 'outer',
    vector: [1, 2],
    fields: {
      first: 'before',
      get second() {
        inner.push(docs.upsert({ key: 'inner', vector: [3, 4], fields: { a: 'x'.repeat(100) } }))
        inner.push(docs.search({ vector: [1, 2] }))
        return 'after'
      },
    },
  })
  await Promise.all(inner)
  t.deepEqual((await docs.get('outer'))?.fields, { first: 'before', second: 'after' })
  t.deepEqual((await docs.get('inner'))?.fields, { a: 'x'.repeat(100) })
})

test.serial(
  'a call from the bottom of the stack fails or works, and leaves no trace',
  async (t) => {
    const { docs } = world
    const results: Promise<unknown>[] = []
    const dive = (): void => {
      try {
        dive()
      } catch {
        try {
          results.push(outcome(() => docs.search({ vector: [1, 2] })))
        } catch {
          // No room even for the test itself.
        }
      }
    }
    dive()
    await Promise.all(results)
    t.is((await docs.search({ vector: [1, 2], k: 1 })).length, 1)
  },
)

test.serial('after all of it the collection works', async (t) => {
  const { docs } = world
  await docs.upsert({ key: 'last', vector: [9, 9] })
  t.is(docs.searchSync({ vector: [9, 9], k: 1 })[0]?.key, 'last')
})
