// Records with everything that a record can hold, and what an export and an import make of them.
import type { ExecutionContext } from 'ava'
import type { Collection, Database, Schema } from '#ts/index.js'
import type { AnyVector } from '#ts/infer.js'

/** A schema with a field of every type. */
export const fullSchema = {
  vectors: {
    body: { dim: 3, metric: 'cosine' },
    head: { dim: 2, metric: 'l2' },
    tokens: { dim: 2, metric: 'dot', type: 'multi' },
  },
  fields: {
    title: 'text',
    lang: 'keyword',
    year: 'int',
    price: 'float',
    isNew: 'bool',
    seen: 'date',
    at: 'geo',
    meta: 'json',
    blob: 'bytes',
    tags: 'keyword[]',
    counts: 'int[]',
    weights: 'float[]',
    flags: 'bool[]',
    dates: 'date[]',
    places: 'geo[]',
    metas: 'json[]',
    blobs: 'bytes[]',
    key: 'keyword',
    body: 'keyword',
  },
} as const satisfies Schema

const f32 = (...numbers: number[]): Float32Array => Float32Array.from(numbers)

/** Records of {@link fullSchema}. */
export const fullRows = [
  {
    key: 'all',
    vectors: {
      body: f32(0.1, -0, 1e-45),
      head: f32(3.4028234663852886e38, -16777217),
      tokens: [f32(0.1, -0), f32(1e-45, 3.4028234663852886e38), f32(0, 0)],
    },
    fields: {
      title: 'Tides \u{1F30A} "quoted" \\ \u2028 \n\r\t\0',
      lang: '',
      year: 2n ** 63n - 1n,
      price: -0,
      isNew: false,
      seen: new Date('2024-02-29T12:34:56.789Z'),
      at: { lat: -0, lon: 179.99999999999997 },
      meta: { a: [1, 1.5, null, { $date: 'no date' }, new Date(5)], b: new Uint8Array([1, 2]) },
      blob: new Uint8Array([0, 255, 128]),
      tags: ['b', 'a', ''],
      counts: [1, -(2n ** 63n), 0],
      weights: [0.1, 1e300, -5],
      flags: [true, false],
      dates: [new Date(-8.64e15), new Date(8.64e15), new Date(0)],
      places: [{ lat: 1.5, lon: -2.5 }],
      metas: [null, 1, 'x', [], {}],
      blobs: [new Uint8Array(), new Uint8Array([7])],
      key: 'a field named key',
      body: 'a field named as a vector',
      undeclared: { big: 2n ** 60n, deep: [[['x']]], $int: 'kept', float: 1e20 },
      fields: 'a field named fields',
      _extra: 'a field named as a column of ours',
      when: new Date(1),
      bytes: new Uint8Array([9]),
      minus: -0,
      large: 2 ** 70,
    },
  },
  {
    key: 'nulls',
    vectors: { body: f32(1, 2, 3), head: f32(1, 2), tokens: [f32(1, 2)] },
    fields: {
      ...Object.fromEntries(Object.keys(fullSchema.fields).map((name) => [name, null])),
      undeclared: null,
    },
  },
  {
    key: 'missing',
    vectors: { body: f32(3, 2, 1), head: f32(0, 1), tokens: [f32(0, 1), f32(1, 0)] },
  },
  {
    key: 'empty',
    vectors: { body: f32(1, 0, 0), head: f32(0, 0), tokens: [f32(-1, -2)] },
    fields: {
      tags: [],
      counts: [],
      weights: [],
      flags: [],
      dates: [],
      places: [],
      metas: [],
      blobs: [],
      blob: new Uint8Array(),
      meta: {},
    },
  },
  ...['\u00e9', '\u{10FFFF}', ' ', '\uFEFF', 'x'.repeat(1024), '"\\\n'].map((key, n) => ({
    key,
    vectors: {
      body: f32(n + 0.7, Math.PI * n, 1 / 3),
      head: f32(n, 1 / 7),
      tokens: Array.from({ length: n + 1 }, (_, at) => f32(at / 3, n)),
    },
    fields: { year: n, price: n, meta: n, [key]: n },
  })),
]

/** All records of a collection with every bit of their vectors. */
export async function recordsOf(collection: Collection): Promise<unknown[]> {
  const records: unknown[] = []
  for await (const { key, fields, vectors } of collection.scan({ vectors: true })) {
    records.push({ key, fields, vectors: bitsOf(vectors) })
  }
  return records
}

/** The arrays that a vector is made of. */
function partsOf(vector: AnyVector): (Float32Array | Int8Array | Uint8Array | Uint32Array)[] {
  if (Array.isArray(vector)) return vector
  return 'indices' in vector ? [vector.indices, vector.values] : [vector]
}

function bitsOf(vectors: Readonly<Record<string, AnyVector>>): Record<string, number[]> {
  const bytes = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
    new Uint8Array(buffer.slice(byteOffset, byteOffset + byteLength))
  return Object.fromEntries(
    Object.entries(vectors).map(([name, vector]) => [
      name,
      partsOf(vector).flatMap((part) => [part.length, ...bytes(part)]),
    ]),
  )
}

/** A collection with a record of everything. */
export async function fullCollection(db: Database, name: string = 'full'): Promise<Collection> {
  const full = await db.collection(name, fullSchema)
  await full.upsert(fullRows)
  return full
}

/** Asserts that two collections have the same schema and the same records, bit for bit. */
export async function same(t: ExecutionContext, copy: Collection, original: Collection) {
  t.deepEqual(copy.schema, original.schema)
  t.deepEqual(await recordsOf(copy), await recordsOf(original))
}
