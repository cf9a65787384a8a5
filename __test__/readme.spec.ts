// The samples of the README do what they say. They stand here as they stand there.
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import test from 'ava'
import { open } from '#ts/index.js'
import { exportTo } from '#ts/io/index.js'
import { cairn, placeFor } from './helpers/cli.js'
import { fails } from './helpers/expect.js'
import { openFor, temporaryDirectory } from './helpers/home.js'

/** Each line of a sample is in it. */
const said = readFileSync('README.md', 'utf8')

test('groups, orders and figures answer as the README says', async (t) => {
  const docs = await (
    await openFor(t)
  ).collection('docs', {
    vectors: { body: { dim: 3, metric: 'cosine' } },
    fields: { title: 'text', lang: 'keyword', year: 'int', tags: 'keyword[]' },
  })
  await docs.upsert([
    { key: 'a1', vector: [0.9, 0.1, 0], fields: { lang: 'en', year: 2024, tags: ['sea', 'sky'] } },
    { key: 'a2', vector: [0, 0.2, 0.9], fields: { lang: 'en', year: 2023, tags: ['sea'] } },
    { key: 'a3', vector: [0.8, 0.3, 0], fields: { lang: 'de', year: 2020 } },
  ])
  const keys = (hits: readonly { readonly key: string }[]): string[] => hits.map(({ key }) => key)
  t.true(said.includes("await docs.search({ like: 'a1', k: 5 })"))
  t.deepEqual(keys(await docs.search({ like: 'a1', k: 5 })), ['a3', 'a2'])
  t.true(
    said.includes(
      "await docs.search({ vector: [1, 0, 0], k: 5, groupBy: { field: 'lang', size: 2 } })",
    ),
  )
  t.deepEqual(
    keys(await docs.search({ vector: [1, 0, 0], k: 5, groupBy: { field: 'lang', size: 2 } })),
    ['a1', 'a2', 'a3'],
  )
  t.true(said.includes('await docs.search({ vector: [1, 0, 0], k: 5, diversity: 0.3 })'))
  t.is((await docs.search({ vector: [1, 0, 0], k: 5, diversity: 0.3 })).length, 3)
  t.true(said.includes("await docs.search({ filter: { lang: 'en' }, k: 5 })"))
  t.deepEqual(keys(await docs.search({ filter: { lang: 'en' }, k: 5 })), ['a1', 'a2'])
  t.true(said.includes("docs.scan({ orderBy: { field: 'year', order: 'desc' }, limit: 20 })"))
  const page = docs.scan({ orderBy: { field: 'year', order: 'desc' }, limit: 20 })
  const years: unknown[] = []
  for await (const { key, fields } of page) years.push([key, fields.year])
  t.deepEqual(years, [
    ['a1', 2024],
    ['a2', 2023],
    ['a3', 2020],
  ])
  t.true(said.includes("await docs.facet('tags', { k: 3 }) // [{ value: 'sea', count: 2 }, ...]"))
  t.deepEqual((await docs.facet('tags', { k: 3 }))[0], { value: 'sea', count: 2 })
  t.true(said.includes("await docs.aggregate('year') // { count, min, max, sum, mean }"))
  t.deepEqual(await docs.aggregate('year'), {
    count: 3,
    min: 2020,
    max: 2024,
    sum: 6067,
    mean: 6067 / 3,
  })
  t.true(said.includes("aggregate({ spread: { op: 'histogram', field: 'year', buckets: 4 } })"))
  const { spread } = await docs.aggregate({
    spread: { op: 'histogram', field: 'year', buckets: 4 },
  })
  t.deepEqual(
    spread?.map(({ from, count }) => [from, count]),
    [
      [2020, 1],
      [2021, 0],
      [2022, 0],
      [2023, 2],
    ],
  )
})

test('functions as filters and records that expire are as the README says', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', {
    vectors: { body: { dim: 3, metric: 'cosine' } },
    fields: { title: 'text', lang: 'keyword', year: 'int', tags: 'keyword[]' },
  })
  await docs.upsert([
    { key: 'a1', vector: [0.9, 0.1, 0], fields: { lang: 'en', year: 2024, tags: ['sea', 'sky'] } },
    { key: 'a2', vector: [0, 0.2, 0.9], fields: { lang: 'en', year: 2023, tags: ['sea'] } },
  ])
  t.true(said.includes('filter: ({ year }) => Number(year) % 2 === 0 })'))
  const even = await docs.search({
    vector: [1, 0, 0],
    filter: ({ year }) => Number(year) % 2 === 0,
  })
  t.deepEqual(
    even.map(({ key }) => key),
    ['a1'],
  )
  t.true(
    said.includes(
      "await docs.count([{ tags: { exists: true } }, ({ tags }, key) => key > 'a' && (tags?.length ?? 0) > 1])",
    ),
  )
  t.is(
    await docs.count([
      { tags: { exists: true } },
      ({ tags }, key) => key > 'a' && (tags?.length ?? 0) > 1,
    ]),
    1,
  )
  t.true(said.includes("expiresAt: 'until',"))
  const sessions = await db.collection('sessions', {
    vectors: { dim: 3, metric: 'cosine' },
    fields: { user: 'keyword', until: 'date' },
    expiresAt: 'until',
  })
  await sessions.add({ key: 's', vector: [1, 0, 0], fields: { until: new Date(0) } })
  t.is(await sessions.count(), 0)
})

test('a signal ends calls as the README says', async (t) => {
  t.true(said.includes('const signal = AbortSignal.timeout(5000)'))
  t.true(said.includes("await open('./other', { lockTimeoutMs: 60_000, signal })"))
  t.true(said.includes('await other.listVersions({ signal })'))
  const directory = join(temporaryDirectory(t), 'other')
  const { signal } = new AbortController()
  const other = await openFor(t, directory, { lockTimeoutMs: 60_000, signal })
  t.deepEqual(await other.listVersions({ signal }), [])
  const late = AbortSignal.timeout(50)
  const waiting = { lockTimeoutMs: 60_000, signal: late }
  const error = await fails(t, () => open(directory, waiting), 'ERR_ABORTED')
  t.is(error?.cause, late.reason)
})

test('sparse vectors are found as the README says', async (t) => {
  const db = await openFor(t)
  const papers = await db.collection('papers', {
    vectors: {
      dense: { dim: 2, metric: 'cosine' },
      terms: { dim: 30_522, metric: 'dot', type: 'sparse' },
    },
  })
  await papers.upsert([
    { key: 'a', vectors: { dense: [1, 0], terms: { indices: [7, 2024], values: [0.5, 1.5] } } },
    { key: 'b', vectors: { dense: [0, 1], terms: { indices: [7, 9000], values: [2, 1] } } },
  ])
  const query = { indices: new Uint32Array([7]), values: new Float32Array([1]) }
  const byTerms = await papers.search({ vector: { terms: query } })
  t.true(said.includes("// [ [ 'b', 2 ], [ 'a', 0.5 ] ]"))
  t.deepEqual(
    byTerms.map(({ key, score }) => [key, score]),
    [
      ['b', 2],
      ['a', 0.5],
    ],
  )
  t.true(said.includes('await papers.search({ vector: { dense: [1, 0], terms: query }, k: 1 })'))
  const fused = await papers.search({ vector: { dense: [1, 0], terms: query }, k: 1 })
  t.is(fused.length, 1)
})

test('several vectors of a record are found as the README says', async (t) => {
  const db = await openFor(t)
  const pages = await db.collection('pages', {
    vectors: { tokens: { dim: 2, metric: 'dot', type: 'multi' } },
  })
  const unit = [
    [1, 0],
    [0, 1],
  ]
  await pages.upsert([
    { key: 'a', vector: unit },
    { key: 'b', vector: new Float32Array([0.5, 0.5, 0, 0.5]) },
  ])
  const vector = [
    [2, 0],
    [0, 3],
  ]
  const best = await pages.search({ vector })
  t.true(said.includes("// [ [ 'a', 5 ], [ 'b', 2.5 ] ]"))
  t.deepEqual(
    best.map(({ key, score }) => [key, score]),
    [
      ['a', 5],
      ['b', 2.5],
    ],
  )
})

test('the commands of the README run, one after the other', async (t) => {
  const place = placeFor(t)
  const docs = await (
    await openFor(t)
  ).collection('docs', {
    vectors: { body: { dim: 3, metric: 'cosine' } },
    fields: { title: 'text', year: 'int' },
  })
  await docs.upsert([
    { key: 'a1', vector: [0.9, 0.1, 0], fields: { title: 'Tides', year: 2024 } },
    { key: 'a2', vector: [0, 0.2, 0.9], fields: { title: 'Peaks', year: 2023 } },
  ])
  await exportTo(docs, join(place.cwd, 'docs.jsonl'))
  const lines = [...said.matchAll(/^npx cairn (.+?) +# /gm)].map(([, line = '']) => line)
  t.is(lines.length, 3)
  const answers: string[] = []
  for (const line of lines) {
    const words = line.split(' ').map((word) => word.replace(/^'(.*)'$/, '$1'))
    const { code, stdout, stderr } = await cairn(place, ...words)
    t.is(code, 0, `${line}: ${stderr}`)
    answers.push(stdout)
  }
  const [imported = '', got = '', exported = ''] = answers
  t.regex(imported, /^docs +2 +0$/m)
  t.like(JSON.parse(got), [{ key: 'a1', fields: { title: 'Tides', year: 2024 } }])
  t.deepEqual(
    exported.split('\n').map((line) => line.slice(0, 11)),
    ['{"$cairn":{', '{"key":"a1"', ''],
  )
})

test('texts are found by the sample of embedders, which runs as it stands and prints what it says', (t) => {
  const samples = said.split('```ts\n').map((rest) => rest.split('```')[0] ?? '')
  const sample = samples.find((code) => code.includes("from 'cairndb/embed'"))
  if (sample === undefined) throw new Error('the README has no sample of embedders')
  const here = (path: string): string => JSON.stringify(import.meta.resolve(path))
  const code = sample
    .replace("'cairndb'", here('#ts/index.js'))
    .replace("'cairndb/embed'", here('#ts/embed/index.js'))
  const file = join(temporaryDirectory(t), 'sample.mjs')
  writeFileSync(file, code)
  const printed = execFileSync(process.execPath, [file], { encoding: 'utf8' })
  const expected = sample.split('\n').filter((line) => line.startsWith('// '))
  t.true(expected.length > 0)
  t.is(printed, expected.map((line) => `${line.slice(3)}\n`).join(''))
})

test('a schema is changed as the README says', async (t) => {
  const docs = await (
    await openFor(t)
  ).collection('docs', {
    vectors: { body: { dim: 3, metric: 'cosine' } },
    fields: { title: 'text', lang: 'keyword', year: 'int' },
  })
  await docs.upsert({ key: 'a1', vector: [0.9, 0.1, 0], fields: { lang: 'en', year: 2024 } })
  t.true(
    said.includes(`const newer = await docs.alter({
  addFields: { pages: 'int' },
  renameFields: { year: 'published' },
  dropIndex: 'lang',
})
await newer.count({ published: { gte: 2020 } }) // records from before are found by the new name`),
  )
  const newer = await docs.alter({
    addFields: { pages: 'int' },
    renameFields: { year: 'published' },
    dropIndex: 'lang',
  })
  t.is(await newer.count({ published: { gte: 2020 } }), 1)
})
