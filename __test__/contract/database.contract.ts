// What every database keeps, wherever it lives.
import test, { type ExecutionContext } from 'ava'
import { open, type Collection, type Database, type OpenOptions } from '#ts/index.js'
import { fails } from '../helpers/expect.js'
import type { Home } from '../helpers/home.js'
import { randomMatrix } from '../helpers/random.js'

const schema = {
  vectors: { dim: 3, metric: 'l2' },
  fields: { title: 'text', lang: 'keyword', year: 'int', tags: 'keyword[]', seen: 'date' },
} as const

type Docs = Collection<typeof schema>

/** Runs the suite in a home. */
export function databaseContract(home: Home): void {
  const named = (
    title: string,
    run: (t: ExecutionContext, world: World) => Promise<void>,
  ): void => {
    test(`${home.title}: ${title}`, async (t) => run(t, await World.create(t, home)))
  }

  named('what was written can be read, bit for bit', async (t, { docs }) => {
    const vector = new Float32Array([0.1, -0, 1e-40])
    const fields = {
      title: 'Tides',
      lang: 'en',
      year: 2024,
      tags: ['sea', 'moon'],
      seen: new Date(1234),
      extra: { a: [1, null, { b: 2.5 }] },
      nothing: null,
    }
    const written = await docs.upsert({ key: 'a1', vector, fields })
    t.deepEqual(written, {
      version: written.version,
      inserted: 1,
      updated: 0,
      deleted: 0,
      skipped: 0,
    })
    const record = await docs.get('a1', { vectors: true })
    t.deepEqual(record?.fields as unknown, fields)
    t.deepEqual(record?.vector, vector)
    t.deepEqual(record?.vectors, { vector })
    t.is(record?.version, written.version)
    t.is(record?.key, 'a1')
  })

  named('rows, arrays of rows and columns are the same thing', async (t, { docs }) => {
    await docs.upsert({ key: 'a', vector: [1, 2, 3], fields: { year: 1 } })
    await docs.upsert([
      { key: 'b', vectors: { vector: [4, 5, 6] }, fields: { year: 2 } },
      { key: 'c', vector: new Float32Array([7, 8, 9]) },
    ])
    await docs.upsert({
      keys: ['d', 'e'],
      vectors: new Float32Array([1, 1, 1, 2, 2, 2]),
      fields: { year: [4, undefined], title: ['four', 'five'] },
    })
    await docs.upsert({
      keys: ['f'],
      vectors: { vector: new Float32Array([3, 3, 3]) },
      fields: [{ year: 6 }],
    })
    const records = await docs.get(['a', 'b', 'c', 'd', 'e', 'f'], { vectors: true })
    t.deepEqual(
      records.map((record) => [...(record?.vector ?? [])]),
      [
        [1, 2, 3],
        [4, 5, 6],
        [7, 8, 9],
        [1, 1, 1],
        [2, 2, 2],
        [3, 3, 3],
      ],
    )
    t.deepEqual(
      records.map((record) => record?.fields as unknown),
      [{ year: 1 }, { year: 2 }, {}, { year: 4, title: 'four' }, { title: 'five' }, { year: 6 }],
    )
  })

  named('within one upsert the last of a key wins', async (t, { docs }) => {
    const result = await docs.upsert([
      { key: 'a', vector: [1, 0, 0] },
      { key: 'a', vector: [2, 0, 0], fields: { year: 2 } },
    ])
    t.is(await docs.count(), 1)
    t.is(result.inserted, 1)
    const record = await docs.get('a', { vectors: true })
    t.deepEqual([...(record?.vector ?? [])], [2, 0, 0])
    t.is(record?.fields.year, 2)
  })

  named('upsert replaces whole records', async (t, { docs }) => {
    await docs.upsert({ key: 'a', vector: [1, 0, 0], fields: { year: 1, title: 'one' } })
    const result = await docs.upsert({ key: 'a', vector: [2, 0, 0], fields: { year: 2 } })
    t.is(result.updated, 1)
    t.deepEqual((await docs.get('a'))?.fields as unknown, { year: 2 })
  })

  named('add refuses a key that exists, also twice in one batch', async (t, { docs }) => {
    t.is((await docs.add({ key: 'a', vector: [1, 0, 0] })).inserted, 1)
    const add = (keys: string[]) => () => docs.add(keys.map((key) => ({ key, vector: [1, 0, 0] })))
    await fails(t, add(['b', 'a']), 'ERR_ALREADY_EXISTS', { index: 1, key: 'a' })
    await fails(t, add(['b', 'b']), 'ERR_ALREADY_EXISTS', { index: 1, key: 'b' })
    t.is(await docs.count(), 1)
    t.false(await docs.has('b'))
  })

  named('update merges fields and keeps what is not named', async (t, { docs }) => {
    await docs.upsert({
      key: 'a',
      vector: [1, 0, 0],
      fields: { year: 1, title: 'one', lang: 'en' },
    })
    const result = await docs.update({ key: 'a', fields: { year: 2, lang: null } })
    t.is(result.updated, 1)
    const merged = await docs.get('a', { vectors: true })
    t.deepEqual(merged?.fields as unknown, { title: 'one', year: 2, lang: null })
    t.deepEqual([...(merged?.vector ?? [])], [1, 0, 0])
    await docs.update({ key: 'a', vector: [5, 0, 0] })
    t.deepEqual([...((await docs.get('a', { vectors: true }))?.vector ?? [])], [5, 0, 0])
    await docs.update({ key: 'a', fields: { year: 3 } }, { fieldsMode: 'replace' })
    t.deepEqual((await docs.get('a'))?.fields as unknown, { year: 3 })
  })

  named('update of a missing key fails as a whole, or skips it', async (t, { docs }) => {
    await docs.upsert({ key: 'a', vector: [1, 0, 0], fields: { year: 1 } })
    const rows = [
      { key: 'a', fields: { year: 2 } },
      { key: 'gone', fields: { year: 2 } },
    ]
    await fails(t, () => docs.update(rows), 'ERR_NOT_FOUND', { index: 1, key: 'gone' })
    t.is((await docs.get('a'))?.fields.year, 1)
    const result = await docs.update(rows, { missing: 'skip' })
    t.deepEqual([result.updated, result.skipped], [1, 1])
    t.is((await docs.get('a'))?.fields.year, 2)
    t.false(await docs.has('gone'))
  })

  named('a deleted record is gone everywhere', async (t, { docs }) => {
    await docs.upsert(['a', 'b', 'c'].map((key, at) => ({ key, vector: [at, 0, 0] })))
    const result = await docs.delete(['a', 'gone'])
    t.deepEqual([result.deleted, result.skipped], [1, 1])
    t.is(await docs.get('a'), null)
    t.is(await docs.count(), 2)
    t.deepEqual(
      (await docs.search({ vector: [0, 0, 0] })).map(({ key }) => key),
      ['b', 'c'],
    )
    t.is((await docs.delete('b')).deleted, 1)
    t.deepEqual(await all(docs), ['c'])
  })

  named('versions grow, and a condition on one holds or nothing happens', async (t, { docs }) => {
    const first = await docs.upsert({ key: 'a', vector: [1, 0, 0] }, { if: { version: 0n } })
    const row = { key: 'a', vector: [2, 0, 0] }
    await fails(t, () => docs.upsert(row, { if: { version: 0n } }), 'ERR_CONDITION_FAILED', {
      key: 'a',
    })
    const second = await docs.upsert(row, { if: { version: first.version } })
    t.true(second.version > first.version)
    await fails(
      t,
      () => docs.delete('a', { if: { version: first.version } }),
      'ERR_CONDITION_FAILED',
    )
    t.is((await docs.get('a'))?.version, second.version)
  })

  named(
    'the nearest come first, ties by key, and every metric has its score',
    async (t, { db }) => {
      const vectors: Record<string, number[]> = { a: [1, 0], b: [0, 2], c: [1, 0], d: [-3, 0.5] }
      const expected = {
        l2: (v: number[]) => (1 - (v[0] ?? 0)) ** 2 + (v[1] ?? 0) ** 2,
        l1: (v: number[]) => Math.abs(1 - (v[0] ?? 0)) + Math.abs(v[1] ?? 0),
        dot: (v: number[]) => -(v[0] ?? 0),
        cosine: (v: number[]) => 1 - (v[0] ?? 0) / Math.hypot(...v),
      }
      const score = {
        l2: (d: number) => 1 / (1 + d),
        l1: (d: number) => 1 / (1 + d),
        dot: (d: number) => -d,
        cosine: (d: number) => 1 - d,
      }
      for (const metric of ['l2', 'l1', 'dot', 'cosine'] as const) {
        const docs = await db.collection(metric, { vectors: { dim: 2, metric } })
        await docs.upsert(Object.entries(vectors).map(([key, vector]) => ({ key, vector })))
        const hits = await docs.search({ vector: [1, 0], k: 4 })
        const order = Object.entries(vectors)
          .map(([key, vector]) => ({ key, distance: expected[metric](vector) }))
          .sort((a, b) => a.distance - b.distance || (a.key < b.key ? -1 : 1))
        t.deepEqual(
          hits.map(({ key }) => key),
          order.map(({ key }) => key),
          metric,
        )
        for (const [index, hit] of hits.entries()) {
          t.true(Math.abs(hit.distance - (order[index]?.distance ?? 0)) < 1e-5, metric)
          t.true(Math.abs(hit.score - score[metric](hit.distance)) < 1e-5, metric)
        }
      }
    },
  )

  named('search, searchSync and searchBatch agree', async (t, { db }) => {
    const docs = await db.collection('many', { vectors: { dim: 8, metric: 'cosine' } })
    const matrix = randomMatrix(500, 8, 1)
    const keys = Array.from({ length: 500 }, (_, index) => `k${index}`)
    await docs.upsert({ keys, vectors: matrix })
    const queries = randomMatrix(20, 8, 2)
    const batch = await docs.searchBatch({ vectors: queries, k: 7, exact: true })
    t.deepEqual(
      [...batch.offsets],
      Array.from({ length: 21 }, (_, index) => index * 7),
    )
    for (let query = 0; query < 20; query += 1) {
      const vector = queries.slice(query * 8, query * 8 + 8)
      const hits = await docs.search({ vector, k: 7, exact: true })
      t.deepEqual(docs.searchSync({ vector, k: 7, exact: true }), hits)
      const from = batch.offsets[query] ?? 0
      t.deepEqual(
        batch.keys.slice(from, from + 7),
        hits.map(({ key }) => key),
      )
      t.deepEqual(
        batch.distances.slice(from, from + 7),
        Float32Array.from(hits, ({ distance }) => distance),
      )
      t.deepEqual(
        batch.scores.slice(from, from + 7),
        Float32Array.from(hits, ({ score }) => score),
      )
    }
  })

  named(
    'a search gives all records when it asks for more, and none from nothing',
    async (t, { docs }) => {
      t.deepEqual(await docs.search({ vector: [0, 0, 0] }), [])
      t.deepEqual(docs.searchSync({ vector: [0, 0, 0], k: 10_000 }), [])
      const empty = await docs.searchBatch({ vectors: new Float32Array(0) })
      t.deepEqual([...empty.offsets], [0])
      await docs.upsert([1, 2, 3].map((at) => ({ key: `k${at}`, vector: [at, 0, 0] })))
      t.is((await docs.search({ vector: [0, 0, 0], k: 10_000 })).length, 3)
      await docs.delete(['k1', 'k2', 'k3'])
      t.deepEqual(await docs.search({ vector: [0, 0, 0] }), [])
    },
  )

  named('bounds leave out what is beyond them', async (t, { docs }) => {
    await docs.upsert([0, 1, 2, 3].map((at) => ({ key: `k${at}`, vector: [at, 0, 0] })))
    const keys = (hits: readonly { key: string }[]): string[] => hits.map(({ key }) => key)
    t.deepEqual(keys(await docs.search({ vector: [0, 0, 0], maxDistance: 4 })), ['k0', 'k1', 'k2'])
    t.deepEqual(keys(await docs.search({ vector: [0, 0, 0], minScore: 0.5 })), ['k0', 'k1'])
  })

  named('select and vectors say what comes along', async (t, { docs }) => {
    await docs.upsert({ key: 'a', vector: [1, 2, 3], fields: { year: 1, title: 'one', other: 5 } })
    const [plain] = await docs.search({ vector: [0, 0, 0] })
    t.deepEqual(plain?.fields as unknown, { year: 1, title: 'one', other: 5 })
    t.false('vectors' in (plain ?? {}))
    const [some] = await docs.search({
      vector: [0, 0, 0],
      select: ['title', 'absent'],
      vectors: true,
    })
    t.deepEqual(some?.fields as unknown, { title: 'one' })
    t.deepEqual([...(some?.vectors.vector ?? [])], [1, 2, 3])
    const [none] = docs.searchSync({ vector: [0, 0, 0], select: false })
    t.deepEqual(none?.fields as unknown, {})
    t.deepEqual((await docs.get('a', { select: ['year'] }))?.fields as unknown, { year: 1 })
    t.deepEqual((await docs.get('a', { select: [] }))?.fields as unknown, {})
  })

  named('keys may be 64-bit numbers', async (t, { db }) => {
    const ids = await db.collection('ids', { key: 'u64', vectors: { dim: 1, metric: 'l2' } })
    const keys = [0n, 1n, 2n ** 53n + 1n, 2n ** 64n - 1n]
    await ids.upsert(keys.map((key, at) => ({ key, vector: [at] })))
    t.deepEqual(
      (await ids.get(keys)).map((record) => record?.key),
      keys,
    )
    t.deepEqual(
      (await ids.search({ vector: [0] })).map(({ key }) => key),
      keys,
    )
    t.deepEqual(
      ids.searchSync({ vector: [9], k: 1 }).map(({ key }) => key),
      [2n ** 64n - 1n],
    )
    const batch = await ids.searchBatch({ vectors: new Float32Array([0, 9]), k: 1 })
    t.deepEqual(batch.keys, new BigUint64Array([0n, 2n ** 64n - 1n]))
    await ids.upsert({ keys: new BigUint64Array([7n]), vectors: new Float32Array([5]) })
    t.deepEqual(await ids.has([7n, 8n]), [true, false])
    const asked = new BigUint64Array([7n, 1n])
    const reading = ids.get(asked)
    asked.fill(0n)
    t.deepEqual(
      (await reading).map((record) => record?.key),
      [7n, 1n],
    )
    t.is((await ids.delete(new BigUint64Array([0n, 7n]))).deleted, 2)
    t.deepEqual(await all(ids), [1n, 2n ** 53n + 1n, 2n ** 64n - 1n])
    await fails(t, () => ids.add({ key: 1n, vector: [1] }), 'ERR_ALREADY_EXISTS', { key: 1n })
  })

  named('a collection may have several vector fields', async (t, { db }) => {
    const both = await db.collection('both', {
      vectors: { image: { dim: 2, metric: 'l2' }, text: { dim: 3, metric: 'dot' } },
    })
    await both.upsert([
      { key: 'a', vectors: { image: [0, 0], text: [1, 0, 0] } },
      { key: 'b', vectors: { image: [5, 5], text: [9, 0, 0] } },
    ])
    const nearest = async (
      vector: NonNullable<Parameters<typeof both.search>[0]['vector']>,
    ): Promise<string[]> => (await both.search({ vector, k: 1 })).map(({ key }) => key)
    t.deepEqual(await nearest({ image: [0, 0] }), ['a'])
    t.deepEqual(await nearest({ text: [1, 0, 0] }), ['b'])
    const record = await both.get('b', { vectors: true })
    t.deepEqual(record?.vectors, {
      image: new Float32Array([5, 5]),
      text: new Float32Array([9, 0, 0]),
    })
    await both.update({ key: 'a', vectors: { image: [6, 6] } })
    t.deepEqual(await nearest({ image: [6, 6] }), ['a'])
  })

  named('odd keys and names are ordinary', async (t, { db }) => {
    const proto = await db.collection('__proto__', { vectors: { dim: 1, metric: 'l2' } })
    const keys = [
      '__proto__',
      'constructor',
      'toString',
      'a/b\\c',
      ' ',
      '\0',
      '\u00e9',
      '\u{1F600}',
      'x'.repeat(1024),
    ]
    await proto.upsert(keys.map((key, at) => ({ key, vector: [at], fields: { [key]: at } })))
    t.deepEqual(
      (await proto.get(keys)).map((record) => record?.key),
      keys,
    )
    t.deepEqual(
      (await proto.search({ vector: [0], k: 20 })).map(({ key }) => key),
      keys,
    )
    const record = await proto.get('__proto__')
    t.deepEqual(Object.entries(record?.fields ?? {}), [['__proto__', 0]])
    t.is(({} as Record<string, unknown>)['__proto__'], Object.prototype)
    t.deepEqual(
      (await db.listCollections()).map(({ name }) => name),
      ['__proto__', 'docs'],
    )
  })

  named('keys come back in UTF-8 order from a scan, and a cursor goes on', async (t, { docs }) => {
    const keys = Array.from({ length: 700 }, (_, index) => `k${(index * 37) % 700}\u00e9`)
    await docs.upsert({ keys, vectors: randomMatrix(700, 3, 3) })
    const sorted = keys.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    t.deepEqual(await all(docs), sorted)
    const seen: string[] = []
    let after: string | undefined
    for (;;) {
      const scan = docs.scan({ limit: 123, ...(after === undefined ? {} : { after }) })
      for await (const { key } of scan) seen.push(key)
      if (scan.cursor === null) break
      after = scan.cursor
    }
    t.deepEqual(seen, sorted)
  })

  named('a scan sees one version', async (t, { docs }) => {
    const keys = Array.from({ length: 600 }, (_, index) => String(index).padStart(4, '0'))
    await docs.upsert({ keys, vectors: randomMatrix(600, 3, 4) })
    const seen: string[] = []
    for await (const { key } of docs.scan()) {
      if (seen.length === 0) await docs.delete(keys.slice(300))
      if (seen.length === 1) await docs.upsert({ key: '9999', vector: [1, 1, 1] })
      seen.push(key)
    }
    t.deepEqual(seen, keys)
    t.is(await docs.count(), 301)
  })

  named(
    'a thousand rows of one call are all there and all found, or none is',
    async (t, { docs }) => {
      const rows = 1_000
      const keys = Array.from({ length: rows }, (_, at) => `k${at}`)
      const vectors = randomMatrix(rows, 3, 8)
      const wrong = vectors.slice()
      wrong[3 * rows - 1] = Number.NaN
      await fails(t, () => docs.add({ keys, vectors: wrong }), 'ERR_NOT_FINITE', {
        index: rows - 1,
        key: `k${rows - 1}`,
      })
      t.is(await docs.count(), 0)
      const written = await docs.add({ keys, vectors })
      t.is(written.inserted, rows)
      for (const [at, key] of keys.entries()) {
        const [hit] = docs.searchSync({ vector: vectors.subarray(3 * at, 3 * at + 3), k: 1 })
        t.is(hit?.key, key)
      }
    },
  )

  named('batches are atomic for readers', async (t, { docs }) => {
    const rows = (value: number): { key: string; vector: number[]; fields: { year: number } }[] =>
      Array.from({ length: 200 }, (_, at) => ({
        key: `k${at}`,
        vector: [at, 0, 0],
        fields: { year: value },
      }))
    await docs.upsert(rows(0))
    const writing = { done: false }
    const write = async (): Promise<void> => {
      for (let value = 1; value <= 20; value += 1) await docs.upsert(rows(value))
      writing.done = true
    }
    const read = async (): Promise<void> => {
      while (!writing.done) {
        const hits = await docs.search({
          vector: [0, 0, 0],
          k: 1000,
          exact: true,
          select: ['year'],
        })
        t.is(hits.length, 200)
        t.is(new Set(hits.map(({ fields }) => fields.year)).size, 1)
      }
    }
    await Promise.all([write(), read(), read()])
  })

  named('of concurrent upserts of one key the last submitted wins', async (t, { docs }) => {
    const results = await Promise.all(
      Array.from({ length: 64 }, (_, at) =>
        docs.upsert({ key: 'same', vector: [at, 0, 0], fields: { year: at } }),
      ),
    )
    const versions = results.map(({ version }) => version)
    t.true(
      versions.every((version, at) => version > (versions[at - 1] ?? 0n)),
      versions.join(),
    )
    t.deepEqual(
      results.map(({ inserted, updated }) => [inserted, updated]),
      results.map((_, at) => (at === 0 ? [1, 0] : [0, 1])),
    )
    t.is(await docs.count(), 1)
    t.deepEqual(await all(docs), ['same'])
    const record = await docs.get('same', { vectors: true })
    t.is(record?.fields.year, 63)
    t.deepEqual([...(record?.vector ?? [])], [63, 0, 0])
    t.is(record?.version, versions.at(-1))
  })

  named('what was given may change once the call returned', async (t, { docs }) => {
    const vector = new Float32Array([1, 2, 3])
    const fields = { year: 1 }
    const matrix = new Float32Array([4, 5, 6])
    const writes = [
      docs.upsert({ key: 'a', vector, fields }),
      docs.upsert({ keys: ['b'], vectors: matrix }),
    ]
    vector.fill(9)
    matrix.fill(9)
    fields.year = 9
    await Promise.all(writes)
    const query = new Float32Array([1, 2, 3])
    const search = docs.search({ vector: query, k: 1, vectors: true })
    query.fill(0)
    const [hit] = await search
    t.is(hit?.distance, 0)
    t.deepEqual([...(hit?.vector ?? [])], [1, 2, 3])
    t.is((await docs.get('a'))?.fields.year, 1)
    t.deepEqual([...((await docs.get('b', { vectors: true }))?.vector ?? [])], [4, 5, 6])
  })

  named('collections are made, listed, renamed and dropped', async (t, { db }) => {
    const vectors = { dim: 2, metric: 'l2' } as const
    await db.createCollection('one', { vectors })
    await fails(t, () => db.createCollection('one', { vectors }), 'ERR_ALREADY_EXISTS')
    await fails(t, () => db.openCollection('two'), 'ERR_NOT_FOUND')
    await fails(t, () => db.collection('two'), 'ERR_NOT_FOUND')
    const one = await db.openCollection<{ vectors: typeof vectors }>('one')
    await one.upsert({ key: 'a', vector: [1, 2] })
    const another = await db.openCollection('one')
    await db.renameCollection('one', 'two')
    t.deepEqual([one.name, another.name], ['two', 'two'], 'handles have the new name')
    await fails(t, () => db.openCollection('one'), 'ERR_NOT_FOUND')
    t.is(await (await db.openCollection('two')).count(), 1)
    t.is(await one.count(), 1)
    await fails(t, () => db.renameCollection('two', 'docs'), 'ERR_ALREADY_EXISTS')
    await fails(t, () => db.renameCollection('gone', 'other'), 'ERR_NOT_FOUND')
    await db.createCollection('other', { vectors: { dim: 7, metric: 'dot' } })
    t.deepEqual(
      (await db.listCollections()).map(({ name, count }) => [name, count]),
      [
        ['docs', 0],
        ['other', 0],
        ['two', 1],
      ],
    )
    await db.dropCollection('two')
    await fails(t, () => db.dropCollection('two'), 'ERR_NOT_FOUND')
    const query = { vector: [1, 2] }
    for (const call of [
      () => one.get('a'),
      () => one.count(),
      () => one.search(query),
      () => one.searchSync(query),
      () => all(one),
      () => one.upsert({ key: 'b', vector: [1, 2] }),
      () => one.commit(),
      () => one.compact(),
      () => another.stats(),
    ]) {
      const error = await fails(t, call, 'ERR_CLOSED', { name: 'two' })
      t.regex(error?.message ?? '', /^the collection was dropped/)
    }
    t.deepEqual(
      (await db.listCollections()).map(({ name }) => name),
      ['docs', 'other'],
    )
  })

  named('another schema is refused with its first difference', async (t, { db }) => {
    const again = await db.collection('docs', schema)
    t.deepEqual(again.schema.fields, schema.fields)
    const refused = (other: Parameters<Database['createCollection']>[1], path: string) =>
      fails(t, () => db.collection('docs', other), 'ERR_SCHEMA_MISMATCH', { path })
    await refused({ ...schema, vectors: { dim: 4, metric: 'l2' } }, 'vectors.vector.dim')
    await refused({ ...schema, vectors: { dim: 3, metric: 'dot' } }, 'vectors.vector.metric')
    await refused(
      { ...schema, vectors: { dim: 3, metric: 'l2', index: 'flat' } },
      'vectors.vector.index',
    )
    await refused({ ...schema, key: 'u64' }, 'key')
    await refused({ ...schema, extra: 'reject' }, 'extra')
    await refused({ ...schema, fields: { ...schema.fields, year: 'float' } }, 'fields.year')
  })

  named('explain tells what a search did', async (t, { docs }) => {
    await docs.upsert([1, 2, 3].map((at) => ({ key: `k${at}`, vector: [at, 0, 0] })))
    const plan = await docs.explain({ vector: [0, 0, 0], k: 2 })
    t.deepEqual(plan.keys, ['k1', 'k2'])
    t.true(plan.version > 0n)
    t.is(
      plan.stages.reduce((rows, stage) => rows + stage.rows, 0),
      3,
    )
    t.true(plan.stages.every(({ path }) => path === 'flat'))
  })

  named('figures equal an independent count', async (t, { db, docs }) => {
    await docs.upsert({ keys: ['a', 'b', 'c'], vectors: new Float32Array(9) })
    await docs.delete('b')
    const stats = await docs.stats()
    t.is(stats.count, 2)
    t.is(stats.version, await docs.commit())
    t.is((await db.stats()).collections['docs']?.count, 2)
    await db.compact()
    const after = await docs.stats()
    t.is(after.count, 2)
    t.is(after.memtableRows + after.segments.reduce((sum, { live }) => sum + live, 0), 2)
    t.false(after.poisoned)
    t.is(after.lastBackgroundError, null)
  })

  named('compaction keeps every record and search as it was', async (t, { docs }) => {
    const keys = Array.from({ length: 2000 }, (_, index) => `k${index}`)
    await docs.upsert({
      keys,
      vectors: randomMatrix(2000, 3, 5),
      fields: { year: keys.map((_, at) => at) },
    })
    await docs.delete(keys.slice(0, 500))
    const query = { vector: [0.1, 0.2, 0.3], k: 25, exact: true }
    const before = await docs.search(query)
    const progress: number[] = []
    await docs.compact({ onProgress: ({ done }) => progress.push(done) })
    t.deepEqual(await docs.search(query), before)
    t.is(await docs.count(), 1500)
    t.deepEqual(
      (await docs.get(['k0', 'k500'])).map((record) => record?.fields.year),
      [undefined, 500],
    )
    const { keys: found } = await docs.explain(query)
    t.deepEqual(
      found,
      before.map(({ key }) => key),
    )
  })

  named('use after close is ERR_CLOSED, and closing again is harmless', async (t, { db, docs }) => {
    await docs.upsert({ key: 'a', vector: [1, 2, 3] })
    await Promise.all([db.close(), db.close()])
    await db.close()
    await db[Symbol.asyncDispose]()
    const calls: (() => unknown)[] = [
      () => db.collection('docs', schema),
      () => db.collection('docs'),
      () => db.createCollection('x', schema),
      () => db.openCollection('docs'),
      () => db.dropCollection('docs'),
      () => db.renameCollection('docs', 'x'),
      () => db.listCollections(),
      () => db.commit(),
      () => db.compact(),
      () => db.stats(),
      () => docs.add({ key: 'b', vector: [1, 2, 3] }),
      () => docs.upsert({ key: 'b', vector: [1, 2, 3] }),
      () => docs.update({ key: 'a' }),
      () => docs.delete('a'),
      () => docs.ingest([]),
      () => docs.get('a'),
      () => docs.has('a'),
      () => docs.count(),
      () => docs.scan(),
      () => docs.search({ vector: [1, 2, 3] }),
      () => docs.searchSync({ vector: [1, 2, 3] }),
      () => docs.searchBatch({ vectors: new Float32Array(3) }),
      () => docs.explain({ vector: [1, 2, 3] }),
      () => docs.commit(),
      () => docs.compact(),
      () => docs.stats(),
    ]
    for (const call of calls) await fails(t, call, 'ERR_CLOSED')
  })

  named('calls under way settle once when the database closes', async (t, { db, docs }) => {
    await docs.upsert({ keys: ['a'], vectors: new Float32Array(3) })
    const calls = [
      ...Array.from({ length: 20 }, (_, at) => docs.upsert({ key: `k${at}`, vector: [at, 0, 0] })),
      ...Array.from({ length: 20 }, () => docs.search({ vector: [0, 0, 0] })),
      ...Array.from({ length: 5 }, () => docs.get('a')),
    ]
    const closed = db.close()
    const settled = await Promise.allSettled(calls)
    t.true(settled.every(({ status }) => status === 'fulfilled'))
    await closed
  })

  named('a scan that was begun ends with ERR_CLOSED after a close', async (t, { db, docs }) => {
    await docs.upsert({
      keys: Array.from({ length: 600 }, (_, at) => `k${at}`),
      vectors: randomMatrix(600, 3, 6),
    })
    const scan = docs.scan()
    await scan.next()
    await db.close()
    await fails(
      t,
      async () => {
        for await (const _ of scan);
      },
      'ERR_CLOSED',
    )
  })

  if (home.persistent) persistentContract(home)
}

function persistentContract(home: Home): void {
  test(`${home.title}: everything is there again after a close`, async (t) => {
    const target = home.target(t)
    const keys = Array.from({ length: 300 }, (_, index) => `k${index}`)
    const matrix = randomMatrix(300, 3, 8)
    await using(target, async (db) => {
      const docs = await db.collection('docs', schema)
      await docs.upsert({ keys, vectors: matrix, fields: { year: keys.map((_, at) => at) } })
      await docs.delete('k7')
    })
    for (const compact of [false, true]) {
      await using(target, async (db) => {
        const docs = await db.collection<typeof schema>('docs')
        t.deepEqual(docs.schema.fields, schema.fields)
        t.is(await docs.count(), 299)
        const record = await docs.get('k8', { vectors: true })
        t.deepEqual(record?.vector, matrix.slice(24, 27))
        t.is(record?.fields.year, 8)
        t.is(await docs.get('k7'), null)
        const [hit] = await docs.search({ vector: matrix.slice(30, 33), k: 1 })
        t.is(hit?.key, 'k10')
        if (compact) await docs.compact()
      })
    }
  })

  test(`${home.title}: a second writer is told who has it, and may wait`, async (t) => {
    const target = home.target(t)
    const first = await open(target)
    const error = await fails(t, () => open(target), 'ERR_LOCKED', { pid: process.pid })
    t.is(typeof error?.details['host'], 'string')
    t.is(typeof error?.details['since'], 'number')
    t.true(error?.retryable)
    const started = performance.now()
    await fails(t, () => open(target, { lockTimeoutMs: 100 }), 'ERR_LOCKED')
    t.true(performance.now() - started >= 95)
    const waiting = open(target, { lockTimeoutMs: 10_000 })
    setTimeout(() => void first.close(), 50)
    const second = await waiting
    await second.close()
  })

  for (const durability of ['memory', 'os', 'sync'] as const) {
    test(`${home.title}: a clean close keeps everything with durability ${durability}`, async (t) => {
      const target = home.target(t)
      await using(
        target,
        async (db) => {
          const docs = await db.collection('docs', schema)
          await docs.upsert({ key: 'a', vector: [1, 2, 3] })
          await docs.upsert({ key: 'b', vector: [1, 2, 3] }, { durability: 'memory' })
        },
        { durability },
      )
      await using(target, async (db) => {
        t.deepEqual(await (await db.openCollection('docs')).has(['a', 'b']), [true, true])
      })
    })
  }

  test(`${home.title}: dropped collections stay dropped, renamed ones renamed`, async (t) => {
    const target = home.target(t)
    await using(target, async (db) => {
      const one = await db.collection('one', schema)
      await one.upsert({ key: 'a', vector: [1, 2, 3] })
      await db.collection('gone', schema)
      await db.renameCollection('one', 'two')
      await db.dropCollection('gone')
    })
    await using(target, async (db) => {
      t.deepEqual(
        (await db.listCollections()).map(({ name, count }) => [name, count]),
        [['two', 1]],
      )
    })
  })
}

/** A database with an empty collection. */
class World {
  readonly db: Database
  readonly docs: Docs

  private constructor(db: Database, docs: Docs) {
    this.db = db
    this.docs = docs
  }

  static async create(t: ExecutionContext, home: Home): Promise<World> {
    const db = await open(home.target(t))
    t.teardown(() => db.close())
    return new World(db, await db.collection('docs', schema))
  }
}

async function using(
  target: string,
  work: (db: Database) => Promise<void>,
  options?: OpenOptions,
): Promise<void> {
  const db = await open(target, options)
  try {
    await work(db)
  } finally {
    await db.close()
  }
}

async function all<K>(docs: { scan(): AsyncIterable<{ key: K }> }): Promise<K[]> {
  const keys: K[] = []
  for await (const { key } of docs.scan()) keys.push(key)
  return keys
}
