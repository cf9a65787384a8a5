// How many of the true neighbours searches find, and settings that find more.
import test from 'ava'
import type { Collection, ErrorCode } from '#ts/index.js'
import { fails } from './helpers/expect.js'
import { openFor, temporaryDirectory } from './helpers/home.js'
import { seeded } from './helpers/random.js'

const dim = 24
const schema = {
  vectors: { dim, metric: 'l2', index: { kind: 'hnsw', m: 5, efConstruction: 60 } },
  fields: { even: 'bool' },
} as const

const uniform = (seed: number, count: number): Float32Array => {
  const next = seeded(seed)
  return Float32Array.from({ length: count * dim }, next)
}

async function filled(docs: Collection<typeof schema>): Promise<void> {
  const rows = 5_000
  await docs.upsert({
    keys: Array.from({ length: rows }, (_, at) => `k${at}`),
    vectors: uniform(1, rows),
    fields: { even: Array.from({ length: rows }, (_, at) => at % 2 === 0) },
  })
  await docs.compact()
}

test('the recall of a sample is near that of unseen queries, and progress is told', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', schema)
  await filled(docs)
  const heard: number[] = []
  const own = await docs.recall({
    queries: uniform(2, 300),
    efSearch: 20,
    onProgress: ({ done, total }) => {
      heard.push(done)
      t.is(total, 300)
    },
  })
  t.is(heard.at(-1), 300)
  t.is(own.queries, 300)
  t.true(own.low <= own.recall && own.recall <= own.high && own.high - own.low < 0.1)
  t.true(own.recall > 0.3 && own.recall < 0.99, `${own.recall}`)
  t.true(own.searchMicros > 0 && own.exactMicros > 0)
  const drawn = await docs.recall({ sample: 300, efSearch: 20 })
  t.true(Math.abs(own.recall - drawn.recall) < 0.06, `${own.recall} ${drawn.recall}`)
  const filtered = await docs.recall({ filter: { even: true }, recall: 0.9, k: 5 })
  t.true(filtered.recall > 0.8, `${filtered.recall}`)
  t.is((await docs.recall({ recall: 1, sample: 20 })).recall, 1)
})

test('tune proposes, and applies for good when asked', async (t) => {
  const directory = temporaryDirectory(t)
  const db = await openFor(t, directory)
  const docs = await db.collection('docs', schema)
  await filled(docs)
  const queries = uniform(2, 300)
  const proposed = await docs.tune({ recall: 0.97, queries })
  t.false(proposed.applied)
  t.true(proposed.reached && proposed.after.recall >= 0.97)
  t.is(proposed.factorBefore, 1)
  const applied = await docs.tune({ recall: 0.97, queries, apply: true })
  t.true(applied.applied)
  t.is(applied.factor, proposed.factor)

  // A reader of another process would go by it, too.
  const reader = await openFor(t, directory, { mode: 'ro' })
  const read = await reader.openCollection('docs')
  const told = await read.tune({ recall: 0.97, queries: queries.slice(0, dim) })
  t.is(told.factorBefore, applied.factor)
  await fails(t, () => read.tune({ recall: 0.97, apply: true }), 'ERR_READ_ONLY')
  await reader.close()

  await db.close()
  const again = await openFor(t, directory)
  const reopened = await again.collection('docs', schema)
  const after = await reopened.tune({ recall: 0.97, queries: queries.slice(0, dim) })
  t.is(after.factorBefore, applied.factor)
  const found = await reopened.recall({ recall: 0.97, queries })
  t.true(found.recall >= 0.97, `${found.recall}`)
})

test('a measurement ends when it is told to', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', schema)
  await filled(docs)
  const aborting = new AbortController()
  const measuring = docs.recall({ sample: 5_000, signal: aborting.signal })
  aborting.abort()
  await fails(t, () => measuring, 'ERR_ABORTED')
})

const wrong: [title: string, call: (docs: Collection) => Promise<unknown>, code?: ErrorCode][] = [
  ['an unknown option', (docs) => docs.recall({ much: 1 } as never)],
  ['a sample of 0', (docs) => docs.recall({ sample: 0 })],
  ['half a sample', (docs) => docs.recall({ sample: 1.5 })],
  ['too large a sample', (docs) => docs.recall({ sample: 10_001 }), 'ERR_LIMIT_EXCEEDED'],
  ['a k of 0', (docs) => docs.recall({ k: 0 })],
  ['too large a k', (docs) => docs.recall({ k: 10_001 }), 'ERR_LIMIT_EXCEEDED'],
  ['a recall below a half', (docs) => docs.recall({ recall: 0.4 })],
  ['recall and efSearch', (docs) => docs.recall({ recall: 0.9, efSearch: 10 })],
  ['sample and queries', (docs) => docs.recall({ sample: 1, queries: new Float32Array(dim) })],
  ['half a query', (docs) => docs.recall({ queries: new Float32Array(3) }), 'ERR_DIM_MISMATCH'],
  ['no query', (docs) => docs.recall({ queries: new Float32Array(0) }), 'ERR_DIM_MISMATCH'],
  [
    'NaN',
    (docs) => docs.recall({ queries: new Float32Array(dim).fill(Number.NaN) }),
    'ERR_NOT_FINITE',
  ],
  ['another field', (docs) => docs.recall({ field: 'other' })],
  ['a bad filter', (docs) => docs.recall({ filter: { a: { unknown: 1 } } }), 'ERR_INVALID_FILTER'],
  ['no record', (docs) => docs.recall(), 'ERR_NOT_FOUND'],
  ['no target', (docs) => docs.tune({} as never)],
  ['a target of 1', (docs) => docs.tune({ recall: 1 })],
  ['apply that is no flag', (docs) => docs.tune({ recall: 0.9, apply: 1 } as never)],
  ['nothing at all', (docs) => (docs as unknown as { tune(): Promise<unknown> }).tune()],
]

for (const [title, call, code = 'ERR_INVALID_ARGUMENT'] of wrong) {
  test(`refused: ${title}`, async (t) => {
    const db = await openFor(t)
    const docs = (await db.collection('docs', schema)) as unknown as Collection
    await fails(t, () => call(docs), code)
  })
}
