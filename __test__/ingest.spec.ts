import { getEventListeners } from 'node:events'
import process from 'node:process'
import test from 'ava'
import { fails } from './helpers/expect.js'
import { openFor } from './helpers/home.js'
import type { Collection, IngestProgress } from '#ts/index.js'

const schema = { vectors: { dim: 2, metric: 'l2' }, fields: { n: 'int' } } as const

type Docs = Collection<typeof schema>

const rowAt = (at: number) => ({ key: `k${at}`, vector: [at, 0], fields: { n: at } })

async function* rows(count: number): AsyncGenerator<ReturnType<typeof rowAt>> {
  for (let at = 0; at < count; at += 1) yield rowAt(at)
}

const docsFor = async (t: Parameters<typeof openFor>[0]): Promise<Docs> =>
  (await openFor(t)).collection('docs', schema)

test('rows of an async iterable arrive in chunks, with progress', async (t) => {
  const docs = await docsFor(t)
  const progress: IngestProgress[] = []
  const result = await docs.ingest(rows(2500), { onProgress: (now) => progress.push(now) })
  t.is(result.inserted, 2500)
  t.is(await docs.count(), 2500)
  t.deepEqual(
    progress.map((now) => now.rows),
    [1000, 2000, 2500],
  )
  t.deepEqual(
    progress.map((now) => now.chunks),
    [1, 2, 3],
  )
  t.is(progress.at(-1)?.version, result.version)
  t.is((await docs.get('k2499'))?.fields.n, 2499)
})

test('arrays, single rows and columns may be mixed, in order', async (t) => {
  const docs = await docsFor(t)
  const source = [
    rowAt(0),
    [rowAt(1), rowAt(2), rowAt(3)],
    { keys: ['k4', 'k5'], vectors: new Float32Array([4, 0, 5, 0]), fields: { n: [4, 5] } },
    rowAt(6),
    { ...rowAt(0), fields: { n: 100 } },
  ]
  const result = await docs.ingest(source, { chunkRows: 2 })
  t.deepEqual([result.inserted, result.updated], [7, 1])
  t.is((await docs.get('k0'))?.fields.n, 100)
})

test('an empty source writes nothing', async (t) => {
  const docs = await docsFor(t)
  t.deepEqual(await docs.ingest([]), {
    version: 0n,
    inserted: 0,
    updated: 0,
    deleted: 0,
    skipped: 0,
  })
})

test('the mode may be add or update', async (t) => {
  const docs = await docsFor(t)
  await docs.ingest(rows(5), { mode: 'add' })
  await fails(t, () => docs.ingest(rows(5), { mode: 'add' }), 'ERR_ALREADY_EXISTS', { row: 0 })
  const changed = await docs.ingest([{ key: 'k3', fields: { n: 33 } }], { mode: 'update' })
  t.is(changed.updated, 1)
  t.is((await docs.get('k3'))?.fields.n, 33)
})

test('an update may replace fields and skip what is not there', async (t) => {
  const docs = await docsFor(t)
  await docs.upsert({ ...rowAt(3), fields: { n: 3, other: 'x' } })
  const updates = [
    { key: 'k3', fields: { n: 33 } },
    { key: 'gone', fields: { n: 0 } },
  ]
  await fails(t, () => docs.ingest(updates, { mode: 'update' }), 'ERR_NOT_FOUND', { row: 1 })
  const merged = await docs.ingest(updates, { mode: 'update', missing: 'skip' })
  t.deepEqual([merged.updated, merged.skipped], [1, 1])
  t.deepEqual((await docs.get('k3'))?.fields as unknown, { n: 33, other: 'x' })
  await docs.ingest(updates, { mode: 'update', missing: 'skip', fieldsMode: 'replace' })
  t.deepEqual((await docs.get('k3'))?.fields as unknown, { n: 33 })
  t.is(await docs.count(), 1)
})

test('a bad row names its place in the stream; chunks before it stay', async (t) => {
  const docs = await docsFor(t)
  let ended = false
  async function* source(): AsyncGenerator<ReturnType<typeof rowAt>> {
    try {
      for (let at = 0; ; at += 1) yield at === 1234 ? { ...rowAt(at), vector: [1] } : rowAt(at)
    } finally {
      ended = true
    }
  }
  await fails(t, () => docs.ingest(source(), { chunkRows: 100 }), 'ERR_DIM_MISMATCH', {
    row: 1234,
    index: 34,
  })
  t.true(ended)
  t.is(await docs.count(), 1200)
})

test('the source is not read further ahead than the writes allow', async (t) => {
  const docs = await docsFor(t)
  let given = 0
  let acknowledged = 0
  let ahead = 0
  async function* source(): AsyncGenerator<ReturnType<typeof rowAt>> {
    for (; given < 5000; given += 1) {
      ahead = Math.max(ahead, given - acknowledged)
      yield rowAt(given)
    }
  }
  await docs.ingest(source(), { chunkRows: 100, onProgress: ({ rows }) => (acknowledged = rows) })
  t.true(ahead <= 500, String(ahead))
})

test("the source's own error comes through as it is", async (t) => {
  const docs = await docsFor(t)
  const own = new TypeError('mine')
  async function* source(): AsyncGenerator<ReturnType<typeof rowAt>> {
    yield rowAt(0)
    throw own
  }
  t.is(await t.throwsAsync(docs.ingest(source())), own)
})

test('what onProgress throws comes through, and the source is ended', async (t) => {
  const docs = await docsFor(t)
  let ended = false
  async function* source(): AsyncGenerator<ReturnType<typeof rowAt>> {
    try {
      yield* rows(10_000)
    } finally {
      ended = true
    }
  }
  const own = new Error('mine')
  const onProgress = (): never => {
    throw own
  }
  t.is(await t.throwsAsync(docs.ingest(source(), { chunkRows: 10, onProgress })), own)
  t.true(ended)
})

test('a signal ends an ingest, and the source with it', async (t) => {
  const docs = await docsFor(t)
  const abort = new AbortController()
  let ended = false
  async function* source(): AsyncGenerator<ReturnType<typeof rowAt>> {
    try {
      for (let at = 0; ; at += 1) yield rowAt(at)
    } finally {
      ended = true
    }
  }
  const ingest = docs.ingest(source(), {
    chunkRows: 10,
    signal: abort.signal,
    onProgress: ({ chunks }) => {
      if (chunks === 3) abort.abort('enough')
    },
  })
  const error = await fails(t, () => ingest, 'ERR_ABORTED')
  t.is(error?.cause, 'enough')
  t.true(ended)
  t.true((await docs.count()) >= 30)
})

const silence = new Promise<never>(() => undefined)

/** Rows, and then neither more of them nor an end. */
async function* thenSilence(count: number): AsyncGenerator<ReturnType<typeof rowAt>> {
  yield* rows(count)
  yield silence
}

test('a signal ends an ingest whose source is silent', async (t) => {
  const docs = await docsFor(t)
  const abort = new AbortController()
  const ingest = docs.ingest(thenSilence(25), {
    chunkRows: 10,
    signal: abort.signal,
    onProgress: ({ chunks }) => {
      if (chunks === 2) setTimeout(() => abort.abort('enough'), 20)
    },
  })
  const error = await fails(t, () => ingest, 'ERR_ABORTED')
  t.is(error?.cause, 'enough')
  t.is(await docs.count(), 20)
  t.is(getEventListeners(abort.signal, 'abort').length, 0)
})

test('closing the database ends an ingest whose source is silent', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', schema)
  const ingest = docs.ingest(thenSilence(25), { chunkRows: 10 })
  const closed = new Promise<void>((resolve) => {
    setTimeout(() => resolve(db.close()), 50)
  })
  await fails(t, () => ingest, 'ERR_CLOSED')
  await closed
})

test('a source may close the database and wait for that', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', schema)
  async function* source(): AsyncGenerator<ReturnType<typeof rowAt>> {
    yield rowAt(0)
    await db.close()
    yield rowAt(1)
  }
  await fails(t, () => docs.ingest(source()), 'ERR_CLOSED')
})

test('many ingests at once are no cause for a warning', async (t) => {
  const docs = await docsFor(t)
  const warnings: Error[] = []
  const note = (warning: Error): void => void warnings.push(warning)
  process.on('warning', note)
  await Promise.all(Array.from({ length: 30 }, () => docs.ingest(rows(20), { chunkRows: 5 })))
  await new Promise(setImmediate)
  process.off('warning', note)
  t.deepEqual(warnings, [])
})

test('a silent source is told to end, and nobody waits until it has', async (t) => {
  const docs = await docsFor(t)
  const abort = new AbortController()
  let returned = 0
  const source = {
    [Symbol.asyncIterator]: () => ({
      next: () => silence,
      return: () => {
        returned += 1
        return silence
      },
    }),
  }
  const ingest = docs.ingest(source, { signal: abort.signal })
  setTimeout(() => abort.abort(), 20)
  await fails(t, () => ingest, 'ERR_ABORTED')
  t.is(returned, 1)
})

test('closing does not wait for a source that will not end', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', schema)
  let asked = (): void => undefined
  const isAsked = new Promise<void>((resolve) => {
    asked = resolve
  })
  const source = {
    [Symbol.asyncIterator]: () => ({
      next: async () => ({ done: false, value: { ...rowAt(0), vector: [1] } }),
      return: () => {
        asked()
        return silence
      },
    }),
  }
  const ingest = docs.ingest(source, { chunkRows: 1 })
  const failure = fails(t, () => ingest, 'ERR_DIM_MISMATCH')
  await isAsked
  await db.close()
  await failure
})

test("a source that fails after it was left is nobody's concern", async (t) => {
  const docs = await docsFor(t)
  const abort = new AbortController()
  let fail = (): void => undefined
  const next = new Promise<never>((_, reject) => {
    fail = () => reject(new Error('late'))
  })
  const source = { [Symbol.asyncIterator]: () => ({ next: () => next }) }
  const ingest = docs.ingest(source, { signal: abort.signal })
  abort.abort()
  await fails(t, () => ingest, 'ERR_ABORTED')
  // Were it not caught, the run would fail.
  fail()
  t.is(await docs.count(), 0)
})

test('closing the database ends an ingest after the chunks under way', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', schema)
  let close: Promise<void> | undefined
  async function* source(): AsyncGenerator<ReturnType<typeof rowAt>> {
    for (let at = 0; ; at += 1) {
      if (at === 500) close = db.close()
      yield rowAt(at)
    }
  }
  await fails(t, () => docs.ingest(source(), { chunkRows: 100 }), 'ERR_CLOSED')
  await close
})
