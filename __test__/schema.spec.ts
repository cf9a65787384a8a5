import test from 'ava'
import { fromShape, toShape, type VectorField } from '#ts/schema.js'

test('the shorthand names its one field vector', (t) => {
  const shape = toShape({ vectors: { dim: 3, metric: 'l2' } })
  t.deepEqual(shape, {
    key: 'string',
    vectors: [{ name: 'vector', dim: 3, metric: 'l2', type: 'f32', index: 'auto' }],
    fields: [],
    rejectExtra: false,
  })
})

test('a field may be called dim', (t) => {
  const { vectors } = toShape({ vectors: { dim: { dim: 3, metric: 'l2' } } })
  t.deepEqual(vectors, [{ name: 'dim', dim: 3, metric: 'l2', type: 'f32', index: 'auto' }])
})

test('fields and vectors keep their order', (t) => {
  const shape = toShape({
    key: 'u64',
    vectors: { b: { dim: 1, metric: 'dot' }, a: { dim: 2, metric: 'l1', index: 'flat' } },
    fields: { z: 'int', a: 'keyword[]' },
    extra: 'reject',
  })
  t.deepEqual(
    shape.vectors.map(({ name }) => name),
    ['b', 'a'],
  )
  t.deepEqual(shape.fields, [
    { name: 'z', kind: 'int' },
    { name: 'a', kind: 'keyword[]' },
  ])
  t.true(shape.rejectExtra)
})

test('a listing shows every setting', (t) => {
  const shape = toShape({
    vectors: { v: { dim: 8, metric: 'cosine', index: { kind: 'hnsw', m: 8 } } },
    fields: { title: 'text' },
  })
  t.deepEqual(fromShape(shape), {
    key: 'string',
    vectors: {
      v: {
        dim: 8,
        metric: 'cosine',
        type: 'f32',
        quantize: 'none',
        index: {
          kind: 'hnsw',
          m: 8,
          m0: 16,
          mMax: 8,
          efConstruction: 200,
          levelMult: 1 / Math.log(8),
        },
      },
    },
    fields: { title: 'text' },
    extra: 'allow',
  })
})

test('an index of kind qg is a name without settings', (t) => {
  for (const metric of ['cosine', 'l2'] as const) {
    const shape = toShape({ vectors: { v: { dim: 8, metric, type: 'f32', index: 'qg' } } })
    t.is(shape.vectors[0]?.index, 'qg')
    t.deepEqual(fromShape(shape).vectors, {
      v: { dim: 8, metric, type: 'f32', quantize: 'none', index: 'qg' },
    })
  }
})

test('a quantiser comes back with every setting', (t) => {
  const stored = (quantize: VectorField['quantize']): unknown =>
    fromShape(toShape({ vectors: { v: { dim: 10, metric: 'l2', quantize } } })).vectors['v']
      ?.quantize
  t.is(stored('auto'), 'none')
  t.is(stored('sq8'), 'sq8')
  t.is(stored('sq4'), 'sq4')
  t.deepEqual(stored('pq'), { kind: 'pq', subspaces: 3, bits: 8 })
  t.deepEqual(stored({ kind: 'pq', subspaces: 5, bits: 4 }), { kind: 'pq', subspaces: 5, bits: 4 })
  t.deepEqual(stored('rabitq'), { kind: 'rabitq', bits: 4 })
  t.deepEqual(stored({ kind: 'rabitq', bits: 1 }), { kind: 'rabitq', bits: 1 })
})

test('__proto__ is an ordinary name of a field', (t) => {
  const schema = {
    vectors: { dim: 1, metric: 'l2' },
    fields: JSON.parse('{"__proto__":"int"}') as object,
  }
  const stored = fromShape(toShape(schema))
  t.deepEqual(Object.keys(stored.fields), ['__proto__'])
})
