// Every option of every method with every kind of wrong value: named by `path`, and nothing happens.
import { Readable, Writable } from 'node:stream'
import { listBackups, open, pruneBackups } from '#ts/index.js'
import { exportTo, importFrom } from '#ts/io/index.js'
import { arg, beside, good, limit, never, table, type Case } from '../helpers/bad-input.js'
import {
  bags,
  calls,
  flags,
  names,
  never_,
  noNumber,
  noText,
  nothing,
  options,
  signals,
  whole,
  within,
  words,
  type Call,
  type Wrong,
} from '../helpers/bad-options.js'

const row = { key: 'new', vector: good }
const keys: Wrong = [
  ...never_,
  ...noText,
  ['empty', ''],
  ['half a character', '\ud800'],
  ['129 bytes', 'k'.repeat(129), limit],
  ['a megabyte', 'k'.repeat(1 << 20), limit],
]
const version: Wrong = [
  ['null', null],
  ['a text', 'x'],
  ['a number', 5],
  ['an array', []],
  ['a bigint', 5n],
  ['a map', new Map()],
  ['a function', nothing],
]
const writing = { durability: words, signal: signals, idempotencyKey: keys }
const writes: readonly (readonly [string, Call, Readonly<Record<string, Wrong>>?])[] = [
  ['add', ({ cos }, given) => cos.add(row, given)],
  ['upsert', ({ cos }, given) => cos.upsert(row, given)],
  [
    'update',
    ({ cos }, given) => cos.update({ key: 'one', fields: {} }, given),
    { fieldsMode: words, missing: words },
  ],
  ['delete', ({ cos }, given) => cos.delete('one', given)],
]
for (const [method, call, more] of writes) {
  options(method, call, { ...writing, ...more, if: version })
  bags(method, call)
  table(
    `${method}: if.version is not`,
    [
      ['missing', undefined],
      ['null', null],
      ['a number', 1],
      ['a text', '1'],
      ['-1n', -1n],
      ['2n ** 64n', 2n ** 64n],
      ['a boxed bigint', Object(1n)],
    ].map(([title, value]): Case => [
      String(title),
      arg,
      (now) => call(now, never({ if: { version: value } })),
      { path: 'if.version' },
    ]),
  )
}

const ingest: Call = ({ cos }, given) => cos.ingest([row], given)
options('ingest', ingest, {
  mode: words,
  chunkRows: whole(1, 100_000),
  durability: words,
  onProgress: calls,
  signal: signals,
})
options('ingest of updates', ingest, { fieldsMode: words, missing: words }, { mode: 'update' })
bags('ingest', ingest)

const reading = { select: names, vectors: flags, signal: signals }
const get: Call = ({ cos }, given) => cos.get('one', given)
options('get', get, reading)
bags('get', get)
const scan: Call = ({ cos }, given) => cos.scan(given)
const cursors: Wrong = [...never_, ...noText, ['a key', 'one'], ['no letters', '']]
options('scan', scan, { ...reading, after: cursors, limit: whole(1) })
bags('scan', scan)

const effort = {
  k: whole(1, 10_000),
  recall: within(0.5, 1),
  efSearch: whole(1, 100_000),
  exact: flags,
  maxDistance: within(Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY),
  minScore: within(Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY),
  deadlineMs: within(0, Number.POSITIVE_INFINITY),
  signal: signals,
  explain: flags,
}
const query = { vector: good, k: 1 }
const searches: readonly (readonly [string, Call])[] = [
  ['search', ({ cos }, given) => cos.search(given)],
  ['searchSync', ({ cos }, given) => cos.searchSync(given)],
  ['explain', ({ cos }, given) => cos.explain(given)],
]
for (const [method, call] of searches) {
  options(method, call, { ...effort, select: names, vectors: flags }, query)
  bags(method, call)
}
const batch: Call = ({ cos }, given) => cos.searchBatch(given)
options('searchBatch', batch, effort, { vectors: new Float32Array(good), k: 1 })
bags('searchBatch', batch)

const compacts: readonly (readonly [string, Call])[] = [
  ['compact of a database', ({ db }, given) => db.compact(given)],
  ['compact of a collection', ({ cos }, given) => cos.compact(given)],
  ['verify', ({ db }, given) => db.verify(given)],
  ['doctor', ({ db }, given) => db.doctor(given)],
]
for (const [method, call] of compacts) {
  options(method, call, { onProgress: calls, signal: signals })
  bags(method, call)
}

const nowhere = '/nowhere/backups'
const made = { vectors: { dim: 2, metric: 'l2' } } as const
const signalled: readonly (readonly [string, Call, object?])[] = [
  ['collection', ({ db }, given) => db.collection('cos', undefined, given)],
  ['collection with a schema', ({ db }, given) => db.collection('made', made, given)],
  ['createCollection', ({ db }, given) => db.createCollection('made', made, given)],
  ['openCollection', ({ db }, given) => db.openCollection('cos', given)],
  ['dropCollection', ({ db }, given) => db.dropCollection('cos', given)],
  ['renameCollection', ({ db }, given) => db.renameCollection('cos', 'other', given)],
  ['listCollections', ({ db }, given) => db.listCollections(given)],
  ['commit of a database', ({ db }, given) => db.commit(given)],
  ['snapshot', ({ db }, given) => db.snapshot('made', given)],
  ['at', ({ db }, given) => db.at(0n, given)],
  ['listVersions', ({ db }, given) => db.listVersions(given)],
  ['dropVersion', ({ db }, given) => db.dropVersion(0n, given)],
  ['stats of a database', ({ db }, given) => db.stats(given)],
  ['refresh', ({ db }, given) => db.refresh(given)],
  ['rotateKey', ({ db }, given) => db.rotateKey({ key: new Uint8Array(32) }, given)],
  ['has', ({ cos }, given) => cos.has('one', given)],
  ['has of many', ({ cos }, given) => cos.has(['one', 'two'], given)],
  ['commit of a collection', ({ cos }, given) => cos.commit(given)],
  ['stats of a collection', ({ cos }, given) => cos.stats(given)],
  ['listBackups', (_, given) => listBackups(nowhere, given)],
  ['pruneBackups', (_, given) => pruneBackups(nowhere, given), { keep: 1 }],
]
for (const [method, call, beside] of signalled) {
  options(method, call, { signal: signals }, beside)
  bags(method, call)
}

const MiB = 1024 * 1024
const most = Number.MAX_SAFE_INTEGER
const paths: Wrong = [
  ...never_,
  ...noText,
  ['empty', ''],
  ['with a NUL', 'a\0b'],
  ['half a character', '\ud800'],
  ['a URL', new URL('file:///a')],
]
const opening: Call = (_, given) => open(':memory:', given)
options('open', opening, {
  mode: words,
  durability: words,
  lockTimeoutMs: within(0, most),
  memoryBudget: [
    ...noNumber.filter(([title]) => title !== 'a text'),
    ['2 KiB', 2048],
    ['0%', '0%'],
    ['100.1%', '100.1%'],
    ['-1%', '-1%'],
    ['NaN%', 'NaN%'],
    ['1e300', 1e300, limit],
  ],
  memtableBytes: whole(64 * 1024),
  blockCacheBytes: whole(0),
  memoryMap: flags,
  compression: words,
  walDir: paths,
  walBytesMax: whole(MiB),
  compaction: words,
  compactionRateMax: whole(64 * 1024),
  idempotencyWindowMs: whole(1),
  retainVersions: whole(1),
  retainMs: whole(0),
  threads: whole(1, 1024),
  refreshMs: whole(0, 2 ** 31 - 1),
  onWarning: calls,
  slowQueryMs: within(0, most),
  onSlowQuery: calls,
  encryption: names,
  signal: signals,
})
bags('open', opening)

const keyBytes: Wrong = [
  ['missing', undefined],
  ['null', null],
  ['a text of 32 letters', 'k'.repeat(32)],
  ['an array of 32 numbers', Array.from({ length: 32 }, () => 1)],
  ['empty', new Uint8Array(0)],
  ['31 bytes', new Uint8Array(31)],
  ['33 bytes', new Uint8Array(33)],
  ['32 numbers of 16 bits', new Uint16Array(32)],
  ['an ArrayBuffer', new ArrayBuffer(32)],
  ['shared', new Uint8Array(new SharedArrayBuffer(32))],
]
table(
  'a key of encryption is not',
  keyBytes.map(([title, key]): Case => [
    title,
    arg,
    () => open(':memory:', { encryption: { key: never(key) } }),
    { path: 'encryption' },
  ]),
)
const keyIds: Wrong = [
  ...never_,
  ...noText,
  ['empty', ''],
  ['257 bytes', 'k'.repeat(257)],
  ['half a character', '\ud800'],
]
table(
  'an id of a key is not',
  keyIds.map(([title, keyId]): Case => [
    title,
    arg,
    () => open(':memory:', { encryption: { keyId: never(keyId), key: new Uint8Array(32) } }),
    { path: 'encryption' },
  ]),
)
table(
  'an answer of a key provider is not',
  [...keyBytes, ...(['x', 5, true] as const).map((value) => [String(value), value] as const)].map(
    ([title, key]): Case => [
      title,
      arg,
      () =>
        open(':memory:', {
          encryption: { current: async () => never({ id: 'k', key }), get: async () => never(key) },
        }),
      { path: 'encryption' },
    ],
  ),
)

const source = (): Readable => Readable.from([Buffer.from('{"key":"x","vector":[1,1,1,1]}\n')])
const sink = (): Writable => new Writable({ write: (_, __, done) => done() })
const importing: Call = ({ cos }, given) => importFrom(cos, source(), given)
const exporting: Call = ({ cos }, given) => exportTo(cos, sink(), given)
options(
  'importFrom',
  importing,
  {
    mode: words,
    key: never_.concat([
      ['a number', 5],
      ['true', true],
    ]),
    vector: [
      ['null', null],
      ['a number', 5],
      ['true', true],
      ['a function', nothing],
    ],
    resume: [
      ['null', null],
      ['false', false],
      ['a number', 1],
      ['an object', {}],
      ['true without a path', true],
    ],
    chunkRows: whole(1, 100_000),
    durability: words,
    transform: calls,
    onError: words,
    onSkip: calls,
    onProgress: calls,
    signal: signals,
  },
  { format: 'jsonl' },
)
options('importFrom of a stream', importing, { format: words })
options('exportTo of a stream', exporting, { format: words })
options(
  'exportTo',
  exporting,
  {
    select: names,
    after: cursors,
    limit: whole(1),
    transform: calls,
    chunkRows: whole(1, 100_000),
    onProgress: calls,
    signal: signals,
  },
  { format: 'jsonl' },
)
bags('importFrom', ({ cos }, given) => importFrom(cos, source(), given))
bags('exportTo', ({ cos }, given) => exportTo(cos, sink(), given))
const places: Wrong = [
  ['nothing', undefined],
  ['null', null],
  ['a number', 5],
  ['a bare object', {}],
  ['a symbol', Symbol('s')],
  ['empty', ''],
  ['a path with a NUL', 'a\0b'],
  ['half a character', 'a\ud800'],
]
table(
  'the source of an import is not',
  places.map(([title, value]): Case => [
    title,
    arg,
    ({ cos }) => importFrom(cos, never(value), { format: 'jsonl' }),
  ]),
)
table(
  'the target of an export is not',
  places.map(([title, value]): Case => [
    title,
    arg,
    ({ cos }) => exportTo(cos, never(value), { format: 'jsonl' }),
  ]),
)
table(
  'the target of an import is not',
  places
    .slice(0, 5)
    .map(([title, value]: Wrong[number]): Case => [
      title,
      arg,
      () => importFrom(never(value), source(), { format: 'jsonl' }),
    ]),
)

beside('nothing of this went to the prototypes of objects', (t) => {
  t.deepEqual(Object.keys(Object.prototype), [])
  t.false('nope' in {})
})
