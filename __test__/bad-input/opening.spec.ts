// Wrong targets and options of open.
import { open, type ErrorCode, type SearchQuery } from '#ts/index.js'
import { arg, beside, good, limit, never, table, type Case } from '../helpers/bad-input.js'

const opens = (target: unknown, options?: unknown) => () => open(never(target), never(options))
table('target', [
  ['empty', arg, opens(''), { path: 'target' }],
  ['NUL', arg, opens('a\0b'), { path: 'target' }],
  ['nothing', arg, opens(undefined), { path: 'target' }],
  ['null', arg, opens(null), { path: 'target' }],
  ['a number', arg, opens(5), { path: 'target' }],
  ['a buffer', arg, opens(Buffer.from('data')), { path: 'target' }],
  ['an object', arg, opens({}), { path: 'target' }],
  ['a lone surrogate', arg, opens('\ud800'), { path: 'target' }],
  ['an http URL', arg, opens(new URL('http://localhost/')), { path: 'target' }],
  ['a file URL with a host', arg, opens(new URL('file://host/data'))],
  ['an s3 text', arg, opens('s3://bucket/prefix'), { path: 'target' }],
  ['a file text', arg, opens('file:///data'), { path: 'target' }],
])

const options: readonly (readonly [string, unknown, ErrorCode?])[] = [
  ['mode', 'ro'],
  ['mode', 'r'],
  ['mode', null],
  ['durability', 'none'],
  ['durability', true],
  ['lockTimeoutMs', -1],
  ['lockTimeoutMs', Number.NaN],
  ['lockTimeoutMs', '5'],
  ['lockTimeoutMs', Number.POSITIVE_INFINITY],
  ['memoryBudget', 0],
  ['memoryBudget', -1],
  ['memoryBudget', 1000],
  ['memoryBudget', 1.5],
  ['memoryBudget', '0%'],
  ['memoryBudget', '101%'],
  ['memoryBudget', '25'],
  ['memoryBudget', '25 %'],
  ['memoryBudget', 'all'],
  ['memoryBudget', 2 ** 60, limit],
  ['memtableBytes', 0],
  ['memtableBytes', 1024],
  ['memtableBytes', Number.NaN],
  ['memtableBytes', '64MiB'],
  ['walDir', 5],
  ['walDir', ''],
  ['walDir', 'a\0b'],
  ['compaction', 'tiered'],
  ['compaction', null],
  ['compactionRateMax', 0],
  ['compactionRateMax', 1.5],
  ['compactionRateMax', -65536],
  ['walBytesMax', 0],
  ['walBytesMax', 1.5],
  ['idempotencyWindowMs', 0],
  ['idempotencyWindowMs', -1],
  ['idempotencyWindowMs', 1.5],
  ['idempotencyWindowMs', Number.NaN],
  ['idempotencyWindowMs', '1000'],
  ['idempotencyWindowMs', null],
  ['idempotencyWindowMs', 2 ** 60, limit],
  ['threads', 0],
  ['threads', -1],
  ['threads', 1.5],
  ['threads', '2'],
  ['threads', 100_000, limit],
  ['cacheDir', './cache'],
  ['cacheBytes', 5],
  ['blockCacheBytes', -1],
  ['blockCacheBytes', 1.5],
  ['blockCacheBytes', '256MiB'],
  ['memoryMap', 'yes'],
  ['memoryMap', 1],
  ['memoryMap', null],
  ['compression', 'zstd'],
  ['compression', null],
  ['retainVersions', 0],
  ['retainVersions', '3'],
  ['retainMs', -1],
  ['retainMs', 1.5],
  ['encryption', {}],
  ['refreshMs', -1],
  ['refreshMs', 1.5],
  ['refreshMs', '5'],
  ['refreshMs', null],
  ['refreshMs', 2 ** 31, limit],
  ['onWarning', 'print'],
  ['onWarning', null],
]
table(
  'option of open',
  options.map(([path, value, code = arg]): Case => [
    `${path} ${typeof value === 'number' ? value : JSON.stringify(value)}`,
    code,
    opens(':memory:', { [path]: value }),
    { path },
  ]),
)
table('options of open', [
  ['unknown', arg, opens(':memory:', { dimension: 3 }), { path: 'dimension' }],
  [
    'misspelt',
    arg,
    opens(':memory:', { durabilty: 'os' }),
    { path: 'durabilty', suggestion: 'durability' },
  ],
  ['__proto__', arg, opens(':memory:', JSON.parse('{"__proto__":1}')), { path: '__proto__' }],
  ['a text', arg, opens(':memory:', 'rw')],
  ['null', arg, opens(':memory:', null)],
  ['an array', arg, opens(':memory:', [])],
])
const wrongListeners: readonly (readonly [string, unknown, unknown, string])[] = [
  ['another event', 'versions', () => undefined, 'event'],
  ['no event', undefined, () => undefined, 'event'],
  ['no listener', 'version', undefined, 'listener'],
  ['a listener that is none', 'version', {}, 'listener'],
]
table(
  'listeners',
  (['on', 'off'] as const).flatMap((name) =>
    wrongListeners.map(([title, event, listener, path]): Case => [
      `${name}: ${title}`,
      arg,
      async ({ db }) => db[name](never(event), never(listener)),
      { path },
    ]),
  ),
)

beside('nothing of this went to the prototypes of objects', (t) => {
  t.deepEqual(Object.keys(Object.prototype), [])
  const query: SearchQuery = { vector: good }
  t.false('filter' in query)
})
