// Wrong keys.
import { type Collection } from '#ts/index.js'
import { arg, good, key, never, table, type Case, type World } from '../helpers/bad-input.js'
import { detached } from '../helpers/weird.js'

const stringKeys: readonly (readonly [string, unknown])[] = [
  ['empty', ''],
  ['1,025 bytes', 'x'.repeat(1025)],
  ['513 characters of two bytes', '\u00e9'.repeat(513)],
  ['a megabyte', 'x'.repeat(1024 * 1024)],
  ['a high surrogate alone', 'a\ud800'],
  ['a low surrogate alone', '\udc00a'],
  ['a number', 5],
  ['NaN', Number.NaN],
  ['a bigint', 5n],
  ['undefined', undefined],
  ['null', null],
  ['true', true],
  ['an object', {}],
  ['a String object', new String('a')],
  ['a symbol', Symbol('a')],
  ['a function', () => 'a'],
  ['a date', new Date(0)],
  ['a buffer', Buffer.from('a')],
]
const numberKeys: readonly (readonly [string, unknown])[] = [
  ['-1n', -1n],
  ['2n ** 64n', 2n ** 64n],
  ['2n ** 70n', 2n ** 70n],
  ['1', 1],
  ['-0', -0],
  ['1.5', 1.5],
  ['2 ** 53', 2 ** 53],
  ['a string of digits', '1'],
  ['undefined', undefined],
  ['null', null],
  ['true', true],
  ['an object', {}],
]

function keyTable(
  kind: string,
  keys: typeof stringKeys,
  of: (world: World) => Collection,
  vector: readonly number[],
): void {
  for (const [title, bad] of keys) {
    table(`${kind} key ${title}`, [
      ['upsert', key, (now) => of(now).upsert({ key: never(bad), vector }), { index: 0 }],
      [
        'second of an add',
        key,
        (now) =>
          of(now).add([
            { key: never(kind === 'u64' ? 99n : 'ok'), vector },
            { key: never(bad), vector },
          ]),
        { index: 1 },
      ],
      [
        'columns',
        key,
        (now) => of(now).upsert({ keys: [never(bad)], vectors: Float32Array.from(vector) }),
        { index: 0 },
      ],
      ['update', key, (now) => of(now).update({ key: never(bad), fields: {} }), { index: 0 }],
      ['delete', key, (now) => of(now).delete([never(bad)]), { index: 0 }],
      ['get', key, (now) => of(now).get([never(bad)]), { index: 0 }],
      ['has', key, (now) => of(now).has([never(bad)]), { index: 0 }],
    ])
  }
}
keyTable('string', stringKeys, ({ cos }) => cos, good)
keyTable('u64', numberKeys, ({ ids }) => ids, [1, 2, 3])

/** Calls that take a column of numbers, which here has nothing any more. */
const columnCalls: readonly (readonly [string, (of: Collection, keys: never) => unknown])[] = [
  ['upsert', (of, keys) => of.upsert({ keys, vectors: new Float32Array(0) })],
  ['add', (of, keys) => of.add({ keys, vectors: new Float32Array(0) })],
  ['update', (of, keys) => of.update({ keys, fields: {} })],
  ['delete', (of, keys) => of.delete(keys)],
  ['get', (of, keys) => of.get(keys)],
  ['has', (of, keys) => of.has(keys)],
]
table(
  'a detached column of keys',
  columnCalls.flatMap(([title, call]): Case[] => [
    [title, arg, ({ ids }) => call(ids, never(detached(new BigUint64Array(1)))), { path: 'keys' }],
    [
      `${title} where keys are strings`,
      arg,
      ({ cos }) => call(cos, never(detached(new BigUint64Array(1)))),
      { path: 'keys' },
    ],
  ]),
)

table('keys', [
  [
    'a column of numbers for strings',
    key,
    ({ cos }) =>
      cos.upsert({ keys: never(new BigUint64Array(1)), vectors: new Float32Array(good) }),
  ],
  [
    'a column of the wrong kind',
    arg,
    ({ ids }) => ids.upsert({ keys: never(new Uint32Array(1)), vectors: new Float32Array(3) }),
    { path: 'keys' },
  ],
  [
    'a text as column',
    arg,
    ({ cos }) => cos.upsert({ keys: never('one'), vectors: new Float32Array(good) }),
    { path: 'keys' },
  ],
  [
    'a shared column',
    arg,
    ({ ids }) => ids.delete(never(new BigUint64Array(new SharedArrayBuffer(8)))),
    { path: 'keys' },
  ],
  [
    'a key twice in one add',
    'ERR_ALREADY_EXISTS',
    ({ cos }) => cos.add(['n', 'm', 'n'].map((name) => ({ key: name, vector: good }))),
    { index: 2, key: 'n' },
  ],
  [
    'a u64 key twice in one add',
    'ERR_ALREADY_EXISTS',
    ({ ids }) => ids.add([7n, 7n].map((name) => ({ key: name, vector: [1, 2, 3] }))),
    { index: 1, key: 7n },
  ],
  [
    'add of what exists',
    'ERR_ALREADY_EXISTS',
    ({ cos }) => cos.add({ key: 'one', vector: good }),
    { index: 0, key: 'one' },
  ],
  [
    'update of what does not',
    'ERR_NOT_FOUND',
    ({ cos }) => cos.update({ key: 'nobody', fields: {} }),
    { index: 0, key: 'nobody' },
  ],
  [
    'more rows than a batch may have',
    'ERR_LIMIT_EXCEEDED',
    ({ ids }) => ids.delete(new BigUint64Array(100_001)),
    { limit: 100_000, got: 100_001 },
  ],
  [
    'more bytes than a batch may have',
    'ERR_LIMIT_EXCEEDED',
    ({ cos }) => {
      const text = 'x'.repeat(1_000_000)
      return cos.upsert(
        Array.from({ length: 280 }, (_, at) => ({ key: `k${at}`, vector: good, fields: { text } })),
      )
    },
    { limit: 256 * 1024 * 1024 },
  ],
])
