// Wrong fields.
import { type ErrorCode } from '#ts/index.js'
import { arg, good, never, notFinite, table, type Case, type World } from '../helpers/bad-input.js'
import { detached } from '../helpers/weird.js'

const field = (name: string, value: unknown) => (now: World) =>
  now.cos.upsert({ key: 'new', vector: good, fields: { [name]: value } })
const fieldCases: readonly (readonly [string, ErrorCode, unknown])[] = [
  ['text', arg, 5],
  ['text', arg, ['a']],
  ['text', arg, new Date()],
  ['text', arg, '\ud800'],
  ['keyword', arg, true],
  ['keyword', arg, {}],
  ['int', arg, 1.5],
  ['int', arg, 2 ** 53],
  ['int', arg, -(2 ** 53)],
  ['int', arg, Number.NaN],
  ['int', arg, Number.POSITIVE_INFINITY],
  ['int', arg, 2n ** 63n],
  ['int', arg, -(2n ** 63n) - 1n],
  ['int', arg, '5'],
  ['int', arg, true],
  ['float', arg, '1'],
  ['float', arg, 1n],
  ['float', notFinite, Number.NaN],
  ['float', notFinite, Number.NEGATIVE_INFINITY],
  ['bool', arg, 0],
  ['bool', arg, 'true'],
  ['date', arg, '2024-01-01'],
  ['date', arg, 1_700_000_000],
  ['date', arg, new Date(Number.NaN)],
  ['geo', arg, [1, 2]],
  ['geo', arg, { lat: 91, lon: 0 }],
  ['geo', arg, { lat: 0, lon: 181 }],
  ['geo', arg, { lat: Number.NaN, lon: 0 }],
  ['geo', arg, { lat: 1 }],
  ['geo', arg, { lat: 1, lon: 2, alt: 3 }],
  ['geo', arg, 'here'],
  ['json', arg, { a: () => 1 }],
  ['json', arg, new Map()],
  ['bytes', arg, 'bytes'],
  ['bytes', arg, [1, 2]],
  ['bytes', arg, new Uint16Array(1)],
  ['bytes', arg, detached(new Uint8Array(4))],
  ['bytes', arg, new Uint8Array(new SharedArrayBuffer(4))],
  ['tags', arg, 'sea'],
  ['tags', arg, [1]],
  ['tags', arg, ['sea', undefined]],
  ['tags', arg, { 0: 'sea' }],
  ['ints', arg, [1, 2.5]],
  ['ints', arg, [1, null]],
]
table(
  'field',
  fieldCases.map(([name, code, value], at): Case => [
    `${name} is not ${typeof value} (${at})`,
    code,
    field(name, value),
    { index: 0, key: 'new', field: name },
  ]),
)

class Point {
  readonly x = 1
}
const nested = (levels: number): unknown => {
  let value: unknown = 1
  for (let level = 0; level < levels; level += 1) value = [value]
  return value
}
const circle: Record<string, unknown> = {}
circle['self'] = circle
table('undeclared field', [
  ['a function', arg, field('other', () => 1), { field: 'other' }],
  ['a symbol', arg, field('other', Symbol('s')), { field: 'other' }],
  ['a class instance', arg, field('other', new Point()), { field: 'other' }],
  ['a map', arg, field('other', new Map()), { field: 'other' }],
  ['a set', arg, field('other', new Set()), { field: 'other' }],
  ['a regular expression', arg, field('other', /a/), { field: 'other' }],
  ['a typed array of 16 bits', arg, field('other', new Uint16Array(2)), { field: 'other' }],
  ['NaN', notFinite, field('other', Number.NaN), { field: 'other' }],
  ['a bigint beyond 64 bits', arg, field('other', 2n ** 63n), { field: 'other' }],
  [
    'a function deep inside',
    arg,
    field('other', { a: [{ b: () => 1 }] }),
    { field: 'other', path: 'other.a[0].b' },
  ],
  [
    'an undefined element',
    arg,
    field('other', [1, undefined]),
    { field: 'other', path: 'other[1]' },
  ],
  ['a lone surrogate', arg, field('other', { a: '\udfff' }), { field: 'other', path: 'other.a' }],
  ['a name with a lone surrogate', arg, field('\ud800', 1)],
  ['a deep name with a lone surrogate', arg, field('other', { '\ud800': 1 }), { field: 'other' }],
  [
    '33 levels',
    'ERR_LIMIT_EXCEEDED',
    field('other', nested(32)),
    { index: 0, key: 'new', field: 'other', limit: 32 },
  ],
  ['1,000 levels', 'ERR_LIMIT_EXCEEDED', field('other', nested(1000)), { field: 'other' }],
  ['a circle', 'ERR_LIMIT_EXCEEDED', field('other', circle), { field: 'other' }],
  [
    'more than a megabyte',
    'ERR_LIMIT_EXCEEDED',
    field('other', 'x'.repeat(1024 * 1024)),
    { index: 0, key: 'new', limit: 1024 * 1024 },
  ],
  [
    'more than a megabyte of bytes',
    'ERR_LIMIT_EXCEEDED',
    field('bytes', new Uint8Array(1024 * 1024)),
    { limit: 1024 * 1024 },
  ],
  [
    'in a strict schema',
    arg,
    ({ strict }) => strict.upsert({ key: 'n', vector: [1], fields: { other: 1 } }),
    { index: 0, key: 'n', field: 'other' },
  ],
  [
    '__proto__ in a strict schema',
    arg,
    ({ strict }) =>
      strict.upsert({ key: 'n', vector: [1], fields: never(JSON.parse('{"__proto__":1}')) }),
    { field: '__proto__' },
  ],
  [
    'with a getter that throws',
    arg,
    ({ cos }) =>
      cos.upsert({
        key: 'n',
        vector: good,
        fields: {
          get other(): never {
            throw new Error('no')
          },
        },
      }),
    { index: 0 },
  ],
])
