// Names of collections, fields and vector fields that are none, in every call that takes one.
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { type ErrorCode } from '#ts/index.js'
import { arg, limit, name, never, table, type Case, type World } from '../helpers/bad-input.js'

const texts: readonly (readonly [string, string, ErrorCode?])[] = [
  ['empty', ''],
  ['a dot', '.'],
  ['two dots', '..'],
  ['three dots', '...'],
  ['a leading dot', '.a'],
  ['a way up', '../a'],
  ['a way up and down', 'a/../b'],
  ['a way up of Windows', '..\\a'],
  ['a slash', 'a/b'],
  ['a backslash', 'a\\b'],
  ['absolute', '/a'],
  ['a drive', 'C:'],
  ['a drive and a path', 'C:\\a'],
  ['a share', '\\\\host\\share'],
  ['a stream of a file', 'a:b'],
  ['an encoded dot', '%2e%2e'],
  ['a NUL', '\0'],
  ['a NUL inside', 'a\0b'],
  ['a NUL behind', 'a\0'],
  ['a tab', 'a\tb'],
  ['a new line', 'a\nb'],
  ['a carriage return', 'a\r'],
  ['an escape', 'a\u001b[2Jb'],
  ['a leading blank', ' a'],
  ['a blank behind', 'a '],
  ['only blanks', '   '],
  ['a no-break space', 'a\u00a0b'],
  ['a zero-width space', 'a\u200bb'],
  ['a byte order mark', '\ufeffa'],
  ['right-to-left override', 'a\u202eb'],
  ['e with an accent, composed', '\u00e9'],
  ['e with an accent, decomposed', 'e\u0301'],
  ['a full-width letter', '\uff21'],
  ['a dotless i', '\u0131'],
  ['a Kelvin sign', '\u212a'],
  ['an emoji', '\u{1F600}'],
  ['a family of emoji', '\u{1F468}\u200d\u{1F469}\u200d\u{1F467}'],
  ['half a character, the first', 'a\ud83d'],
  ['half a character, the second', '\ude00a'],
  ['a star', 'a*'],
  ['a question mark', 'a?'],
  ['quotes', 'a"b'],
  ['less and more', '<a>'],
  ['a pipe', 'a|b'],
  ['a dollar', '$a'],
  ['a comma', 'a,b'],
  ['markup', '<script>'],
  ['a query', "a'; DROP TABLE docs; --"],
  ['129 characters', 'a'.repeat(129), limit],
  ['255 characters', 'a'.repeat(255), limit],
  ['256 characters', 'a'.repeat(256), limit],
  ['4,096 characters', 'a'.repeat(4096), limit],
  ['a million characters', 'a'.repeat(1_000_000), limit],
  ['128 characters of two bytes', '\u00e9'.repeat(128)],
]
const others: readonly (readonly [string, unknown])[] = [
  ['nothing', undefined],
  ['null', null],
  ['a number', 5],
  ['NaN', Number.NaN],
  ['a bigint', 5n],
  ['true', true],
  ['a symbol', Symbol('a')],
  ['an object', {}],
  ['a boxed text', new String('a')],
  ['an object that says it is a text', { toString: () => 'a' }],
  ['an array of a text', ['cos']],
  ['a function', () => 'a'],
  ['bytes', Buffer.from('cos')],
]
/** Devices of Windows, and what it cuts short: no new collection is called so. */
const devices = ['con', 'CON', 'Prn', 'aux', 'nul', 'nul.txt', 'aux.tar.gz', 'com0', 'com1', 'COM9']
const more = ['lpt1', 'LPT9', 'com5.x', 'a.', 'a..', 'con.']

/** Where nobody should make anything. */
const nowhere = join(tmpdir(), `cairn-nowhere-${process.pid}`)

const plain = { vectors: { dim: 2, metric: 'l2' } } as const
type Calls = readonly (readonly [string, (world: World, name: never) => unknown])[]
const making: Calls = [
  ['collection with a schema', ({ db }, bad) => db.collection(bad, plain)],
  ['createCollection', ({ db }, bad) => db.createCollection(bad, plain)],
  ['renameCollection to', ({ db }, bad) => db.renameCollection('cos', bad)],
]
/** Names of what is not a collection. */
const calling: Calls = [
  ['snapshot', ({ db }, bad) => db.snapshot(bad)],
  ['backup', ({ db }, bad) => db.backup(nowhere, { name: bad })],
]
for (const [method, call] of calling) {
  // No name at all is fine.
  const given = others.filter(([title]) => title !== 'nothing')
  table(
    `name in ${method}`,
    [...texts, ...given.map((row) => [...row, undefined] as const)].map(
      ([title, value, code]): Case => [title, code ?? name, (now) => call(now, never(value))],
    ),
  )
}
const finding: Calls = [
  ['collection', ({ db }, bad) => db.collection(bad)],
  ['openCollection', ({ db }, bad) => db.openCollection(bad)],
  ['dropCollection', ({ db }, bad) => db.dropCollection(bad)],
  ['renameCollection from', ({ db }, bad) => db.renameCollection(bad, 'other')],
]
for (const [method, call] of [...making, ...finding]) {
  table(
    `name in ${method}`,
    [...texts, ...others.map((row) => [...row, undefined] as const)].map(
      ([title, value, code]): Case => [title, code ?? name, (now) => call(now, never(value))],
    ),
  )
}
for (const [method, call] of making) {
  table(
    `device in ${method}`,
    [...devices, ...more].map((value): Case => [value, name, (now) => call(now, never(value))]),
  )
}
table(
  'device in openCollection',
  ['con', 'nul.txt', 'a.'].map((value): Case => [
    `${value}, which may be there from before`,
    'ERR_NOT_FOUND',
    ({ db }) => db.openCollection(value),
  ]),
)

/** Field names are free; these are not. */
const fieldNames: readonly (readonly [string, string])[] = [
  ['empty', ''],
  ['a dollar in front', '$a'],
  ['only a dollar', '$'],
  ['a NUL', '\0'],
  ['a NUL inside', 'a\0b'],
  ['1,025 bytes', 'a'.repeat(1025)],
  ['513 characters of two bytes', '\u00e9'.repeat(513)],
  ['a million bytes', 'a'.repeat(1_000_000)],
  ['half a character', 'a\ud800'],
]
for (const [title, bad] of fieldNames) {
  table(`field name: ${title}`, [
    [
      'of a field',
      name,
      ({ db }) => db.createCollection('new', { ...plain, fields: { [bad]: 'int' } }),
    ],
    [
      'of a vector field',
      name,
      ({ db }) => db.createCollection('new', { vectors: { [bad]: { dim: 2, metric: 'l2' } } }),
    ],
    [
      'in collection()',
      name,
      ({ db }) => db.collection('new', { ...plain, fields: { fine: 'int', [bad]: 'int' } }),
    ],
  ])
}

const many = (count: number): Record<string, 'int'> =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [`f${at}`, 'int' as const]))
table('fields', [
  [
    'more than a schema may have',
    limit,
    ({ db }) => db.createCollection('new', { ...plain, fields: many(1001) }),
  ],
  [
    'far more than a schema may have',
    limit,
    ({ db }) => db.createCollection('new', { ...plain, fields: many(100_000) }),
  ],
  [
    'more vector fields than a schema may have',
    limit,
    ({ db }) =>
      db.createCollection('new', {
        vectors: Object.fromEntries(
          Array.from({ length: 1001 }, (_, at) => [`v${at}`, { dim: 1, metric: 'l2' as const }]),
        ),
      }),
  ],
  [
    'a schema that is a proxy that throws',
    arg,
    ({ db }) =>
      db.createCollection(
        'new',
        never(
          new Proxy(
            {},
            {
              ownKeys() {
                throw new Error('do not touch')
              },
            },
          ),
        ),
      ),
  ],
])
