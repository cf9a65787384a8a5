// Every type of field with every value that it cannot hold, alone, in an array, in a column and in an update.
import { type ErrorCode } from '#ts/index.js'
import { arg, good, limit, never, notFinite, table, type Case } from '../helpers/bad-input.js'
import { detached } from '../helpers/weird.js'

class Point {
  readonly x = 1
}

function circle(): object {
  const value: Record<string, unknown> = {}
  value['self'] = value
  return value
}

function nested(levels: number): unknown {
  let value: unknown = 1
  for (let level = 0; level < levels; level += 1) value = { a: value }
  return value
}

const whole = ['int', 'float', 'json']
const anyNumber = ['float', 'json']

/** A value, the types that hold it, and the code by type where it is not the usual one. */
type Value = readonly [
  title: string,
  make: () => unknown,
  heldBy: readonly string[],
  codes?: Readonly<Record<string, ErrorCode>>,
]

const numbers = { float: notFinite, json: notFinite } as const
const values: readonly Value[] = [
  ['a text', () => 'text', ['text', 'keyword', 'json']],
  ['half a character', () => 'a\ud800', []],
  ['true', () => true, ['bool', 'json']],
  ['5', () => 5, whole],
  ['-0', () => -0, whole],
  ['1.5', () => 1.5, anyNumber],
  ['the smallest number', () => Number.MIN_VALUE, anyNumber],
  ['the largest number', () => Number.MAX_VALUE, ['float', 'json']],
  ['NaN', () => Number.NaN, [], numbers],
  ['Infinity', () => Number.POSITIVE_INFINITY, [], numbers],
  ['-Infinity', () => Number.NEGATIVE_INFINITY, [], numbers],
  ['2 ** 53', () => 2 ** 53, ['float', 'json']],
  ['5n', () => 5n, ['int', 'json']],
  ['2n ** 63n', () => 2n ** 63n, []],
  ['-(2n ** 63n) - 1n', () => -(2n ** 63n) - 1n, []],
  ['2n ** 4000n', () => 2n ** 4000n, []],
  ['a date', () => new Date(0), ['date', 'json']],
  ['an invalid date', () => new Date(Number.NaN), []],
  ['bytes', () => new Uint8Array(2), ['bytes', 'json']],
  ['detached bytes', () => detached(new Uint8Array(2)), []],
  ['shared bytes', () => new Uint8Array(new SharedArrayBuffer(2)), []],
  ['floats', () => new Float32Array(2), []],
  ['numbers of 16 bits', () => new Uint16Array(2), []],
  ['an ArrayBuffer', () => new ArrayBuffer(2), []],
  ['a SharedArrayBuffer', () => new SharedArrayBuffer(2), []],
  ['a DataView', () => new DataView(new ArrayBuffer(2)), []],
  ['an empty object', () => ({}), ['json']],
  ['a place', () => ({ lat: 1, lon: 2 }), ['geo', 'json']],
  ['a place too far north', () => ({ lat: 90.1, lon: 2 }), ['json']],
  ['a place too far east', () => ({ lat: 1, lon: 180.1 }), ['json']],
  ['a place of texts', () => ({ lat: '1', lon: '2' }), ['json']],
  ['a place without a longitude', () => ({ lat: 1 }), ['json']],
  ['a place of NaN', () => ({ lat: Number.NaN, lon: 1 }), [], { json: notFinite }],
  ['a place and more', () => ({ lat: 1, lon: 2, alt: 3 }), ['json']],
  ['an empty array', () => [], ['json']],
  ['an array of a hole', () => [,], []],
  ['an array of undefined', () => [undefined], []],
  ['a map', () => new Map([['a', 1]]), []],
  ['a set', () => new Set([1]), []],
  ['a weak map', () => new WeakMap(), []],
  ['an instance of a class', () => new Point(), []],
  ['an error', () => new Error('no'), []],
  ['a promise', () => Promise.resolve(1), []],
  ['a regular expression', () => /a/, []],
  ['a URL', () => new URL('file:///a'), []],
  ['a function', () => () => 1, []],
  ['a class', () => Point, []],
  ['a symbol', () => Symbol('a'), []],
  ['a boxed text', () => new String('a'), []],
  ['a boxed number', () => new Number(1), []],
  ['a boxed boolean', () => new Boolean(true), []],
  ['a circle', circle, [], { json: limit }],
  ['40 levels', () => nested(40), [], { json: limit }],
  ['100,000 levels', () => nested(100_000), [], { json: limit }],
  [
    'a getter that throws',
    () => ({
      get lat(): never {
        throw new Error('do not touch')
      },
      lon: 1,
    }),
    [],
  ],
  ['a revoked proxy', () => revoked(), []],
]

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

/** The field of each type, and of arrays of it. */
const types: readonly (readonly [type: string, many: string])[] = [
  ['text', 'texts'],
  ['keyword', 'tags'],
  ['int', 'ints'],
  ['float', 'floats'],
  ['bool', 'bools'],
  ['date', 'dates'],
  ['geo', 'geos'],
  ['json', 'jsons'],
  ['bytes', 'blobs'],
]

const codeFor = (type: string, codes: Value[3]): ErrorCode => codes?.[type] ?? arg

for (const [type, many] of types) {
  const wrong = values.filter(([, , heldBy]) => !heldBy.includes(type))
  table(
    `${type} cannot be`,
    wrong.map(([title, make, , codes]): Case => [
      title,
      codeFor(type, codes),
      ({ cos }) => cos.upsert({ key: 'new', vector: good, fields: { [type]: make() } }),
      { index: 0, key: 'new', field: type },
    ]),
  )
  table(
    `${type}[] cannot hold`,
    wrong.map(([title, make, , codes]): Case => [
      title,
      codeFor(type, codes),
      ({ cos }) =>
        cos.upsert([
          { key: 'fine', vector: good },
          { key: 'new', vector: good, fields: { [many]: [make()] } },
        ]),
      { index: 1, key: 'new', field: many },
    ]),
  )
  table(`${type}[] is`, [
    [
      'no text',
      arg,
      ({ cos }) => cos.upsert({ key: 'new', vector: good, fields: { [many]: 'ab' } }),
      { index: 0, key: 'new', field: many },
    ],
    [
      'no object with a length',
      arg,
      ({ cos }) => cos.upsert({ key: 'new', vector: good, fields: { [many]: { length: 1 } } }),
      { index: 0, key: 'new', field: many },
    ],
    [
      'no set',
      arg,
      ({ cos }) => cos.upsert({ key: 'new', vector: good, fields: { [many]: new Set() } }),
      { index: 0, key: 'new', field: many },
    ],
  ])
  const some = wrong.filter(([title]) => /character|NaN|2n|invalid|map|symbol|circle/.test(title))
  table(
    `a column of ${type} cannot hold`,
    some.map(([title, make, , codes]): Case => [
      title,
      codeFor(type, codes),
      ({ cos }) =>
        cos.upsert({
          keys: ['fine', 'new'],
          vectors: new Float32Array([...good, ...good]),
          fields: { [type]: [undefined, make()] },
        }),
      { index: 1, key: 'new', field: type },
    ]),
  )
  table(
    `an update of ${type} cannot hold`,
    some.map(([title, make, , codes]): Case => [
      title,
      codeFor(type, codes),
      ({ cos }) => cos.update({ key: 'one', fields: { [type]: never(make()) } }),
      { index: 0, key: 'one', field: type },
    ]),
  )
}
