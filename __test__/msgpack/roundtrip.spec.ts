import test from 'ava'
import { ByteWriter } from '#ts/internal/byte-writer.js'
import { Decoder } from '#ts/msgpack/decode.js'
import { PayloadEncoder } from '#ts/payload.js'
import { seeded } from '../helpers/random.js'

const encoder = new PayloadEncoder({ fields: [], rejectExtra: false })

function encode(fields: Record<string, unknown>): Buffer {
  const out = new ByteWriter(4)
  encoder.encode(out, fields)
  return Buffer.from(out.written())
}

function decode(bytes: Buffer): Record<string, unknown> {
  const decoder = new Decoder()
  decoder.open(bytes)
  return decoder.fields(0, bytes.length)
}

const roundTrip = (value: unknown): unknown => decode(encode({ value }))['value']

const same: unknown[] = [
  null,
  true,
  false,
  '',
  'a',
  '\u00e9'.repeat(20),
  'x'.repeat(31),
  'x'.repeat(32),
  'x'.repeat(255),
  'x'.repeat(256),
  'y'.repeat(65_536),
  '\0',
  '\u{1F600}',
  0,
  -0,
  0.5,
  -1.5e300,
  5e-324,
  Number.MAX_VALUE,
  ...[5, 7, 8, 15, 16, 31, 32, 53].flatMap((bits) => [2 ** bits - 1, -(2 ** bits) + 1]),
  ...[5, 7, 8, 15, 16, 31, 32].flatMap((bits) => [2 ** bits, -(2 ** bits), -(2 ** bits) - 1]),
  2n ** 63n - 1n,
  -(2n ** 63n),
  2n ** 53n,
  new Date(0),
  new Date(1),
  new Date(-1),
  new Date('1969-12-31T23:59:59.999Z'),
  new Date(2 ** 32 * 1000),
  new Date(2 ** 34 * 1000 - 1),
  new Date(2 ** 34 * 1000),
  new Date(8.64e15),
  new Date(-8.64e15),
  new Uint8Array(0),
  new Uint8Array([1, 2, 255]),
  new Uint8Array(70_000).fill(7),
  [],
  Array.from({ length: 15 }, (_, index) => index),
  Array.from({ length: 16 }, (_, index) => index),
  Array.from({ length: 70_000 }, () => null),
  {},
  { a: { b: { c: [1, { d: null }] } } },
  Object.fromEntries(Array.from({ length: 16 }, (_, index) => [`k${index}`, index])),
  Object.fromEntries(Array.from({ length: 70_000 }, (_, index) => [`k${index}`, true])),
]

for (const [index, value] of same.entries()) {
  test(`value ${index} comes back as it was`, (t) => {
    const back = roundTrip(value)
    if (typeof value === 'number') t.true(Object.is(back, value), String(back))
    else t.deepEqual(back, value)
  })
}

test('a bigint that a number holds comes back as a number', (t) => {
  t.is(roundTrip(5n), 5)
  t.is(roundTrip(-(2n ** 53n) + 1n), -(2 ** 53) + 1)
})

test('undefined is missing, in maps at every level', (t) => {
  t.deepEqual(decode(encode({ a: undefined, b: { c: undefined, d: 1 } })), { b: { d: 1 } })
})

test('__proto__ is an ordinary name and the prototype stays as it is', (t) => {
  const fields = JSON.parse('{"__proto__": {"x": 1}, "a": {"__proto__": 2}}') as Record<
    string,
    unknown
  >
  const back = decode(encode(fields))
  t.deepEqual(Object.keys(back), ['__proto__', 'a'])
  t.deepEqual(Object.getOwnPropertyDescriptor(back, '__proto__')?.value, { x: 1 })
  t.is(Object.getPrototypeOf(back), Object.prototype)
  t.is(({} as Record<string, unknown>)['x'], undefined)
})

test('a decoded blob does not share memory with the block', (t) => {
  const bytes = encode({ value: new Uint8Array([1, 2, 3]) })
  const back = decode(bytes)['value'] as Uint8Array
  bytes.fill(0)
  t.deepEqual(back, new Uint8Array([1, 2, 3]))
})

test('random values come back as they were', (t) => {
  const next = seeded(7)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)] as T
  const scalars = same.filter((value) => typeof value !== 'object' || value === null)
  const make = (depth: number): unknown => {
    if (depth === 0 || next() < 0.4) return pick(scalars)
    const length = Math.floor(next() * 6)
    if (next() < 0.5) return Array.from({ length }, () => make(depth - 1))
    return Object.fromEntries(
      Array.from({ length }, (_, index) => [`n${index}\u00e9`, make(depth - 1)]),
    )
  }
  for (let round = 0; round < 500; round += 1) {
    const value = make(5)
    t.deepEqual(roundTrip(value), value)
  }
})

test('every spelling of a value that the format allows can be read', (t) => {
  const read = (...bytes: number[]): unknown =>
    decode(Buffer.from([0x81, 0xa1, 0x61, ...bytes]))['a']
  t.is(read(0xcc, 5), 5)
  t.is(read(0xcd, 0, 5), 5)
  t.is(read(0xcf, 0, 0, 0, 0, 0, 0, 0, 5), 5)
  t.is(read(0xd0, 0xfb), -5)
  t.is(read(0xd1, 0xff, 0xfb), -5)
  t.is(read(0xd3, 255, 255, 255, 255, 255, 255, 255, 0xfb), -5)
  t.is(read(0xca, 0x3f, 0x80, 0, 0), 1)
  t.is(read(0xd9, 1, 0x62), 'b')
  t.is(read(0xdb, 0, 0, 0, 1, 0x62), 'b')
  t.deepEqual(read(0xdc, 0, 1, 1), [1])
  t.deepEqual(read(0xdd, 0, 0, 0, 1, 1), [1])
  t.deepEqual(read(0xde, 0, 1, 0xa1, 0x62, 1), { b: 1 })
  t.deepEqual(read(0xdf, 0, 0, 0, 1, 0xa1, 0x62, 1), { b: 1 })
  t.deepEqual(read(0xd6, 0xff, 0, 0, 0, 1), new Date(1000))
  t.throws(() => read(0xc1), { code: 'ERR_CORRUPT' })
  t.throws(() => read(0xd4, 5, 1), { code: 'ERR_CORRUPT' })
})
