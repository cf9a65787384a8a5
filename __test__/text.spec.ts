// Searches by words, by several vectors, and by both: what JavaScript sees of them.
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import test from 'ava'
import { CairnError, open, type Collection, type Hit } from '#ts/index.js'
import { fails, outcome } from './helpers/expect.js'
import { openFor, temporaryDirectory } from './helpers/home.js'
import { seeded } from './helpers/random.js'

const schema = {
  vectors: { title: { dim: 2, metric: 'l2' }, body: { dim: 3, metric: 'dot' } },
  fields: {
    head: { type: 'text', weight: 2 },
    text: { type: 'text', language: 'english' },
    notes: 'text[]',
    n: 'int',
  },
} as const
type Docs = Collection<typeof schema>

const rows = [
  ['a', 'Tides', 'The moon pulls the sea.', ['one', 'a sea']],
  ['b', 'Peaks', 'Mountains are running up to the sky.', []],
  ['c', 'The sea', 'Waves run to the shore.', ['spring tide']],
  ['d', 'Nothing', 'At all.', []],
] as const

async function fill(docs: Docs): Promise<void> {
  await docs.upsert(
    rows.map(([key, head, text, notes], n) => ({
      key,
      vectors: { title: [n, 0], body: [n, 1, 0] },
      fields: { head, text, notes: [...notes], n },
    })),
  )
}

async function docsFor(t: Parameters<typeof openFor>[0], target = ':memory:'): Promise<Docs> {
  const db = await openFor(t, target)
  const docs = await db.collection('docs', schema)
  await fill(docs)
  return docs
}

const keysOf = (hits: readonly { readonly key: string }[]): string =>
  hits.map(({ key }) => key).join('')

test('words are found in every text field, best first, before and after a flush', async (t) => {
  const docs = await docsFor(t)
  for (const when of ['in the memtable', 'in a segment']) {
    const hits = await docs.search({ text: 'sea' })
    t.is(keysOf(hits), 'ca', when)
    for (const { distance, score } of hits) t.is(distance, -score)
    t.true((hits[0]?.score ?? 0) > (hits[1]?.score ?? 0))
    t.deepEqual(docs.searchSync({ text: 'sea' }), hits)
    t.is(keysOf(await docs.search({ text: 'runs' })), 'bc', 'by stems; a tie')
    t.is(keysOf(await docs.search({ text: '"spring tide"' })), 'c')
    t.is(keysOf(await docs.search({ text: 'tid*' })), 'ac')
    t.is(keysOf(await docs.search({ text: '+sea -waves' })), 'a')
    t.is(keysOf(await docs.search({ text: 'nowhere' })), '')
    t.is(keysOf(await docs.search({ text: '' })), '')
    t.is(keysOf(await docs.search({ text: { query: 'sea', fields: ['notes'] } })), 'a')
    t.is(keysOf(await docs.search({ text: 'sea', filter: { n: { gt: 1 } } })), 'c')
    t.is(keysOf(await docs.search({ text: 'sea', k: 1 })), 'c')
    const [first] = hits
    t.is(keysOf(await docs.search({ text: 'sea', minScore: first?.score })), 'c')
    const [bare] = await docs.search({ text: 'sea', select: ['n'] })
    t.deepEqual(bare?.fields, { n: 2 })
    await docs.compact()
  }
})

test('what is deleted or replaced is found no more, and a version that has it finds it', async (t) => {
  const db = await openFor(t, join(temporaryDirectory(t), 'data'))
  const docs = await db.collection('docs', schema)
  await fill(docs)
  await db.snapshot('before')
  await docs.delete('c')
  await docs.update({ key: 'a', fields: { text: 'dry land' } })
  t.is(keysOf(await docs.search({ text: 'sea' })), 'a', 'in its notes')
  await docs.update({ key: 'a', fields: { notes: [] } })
  t.is(keysOf(await docs.search({ text: 'sea' })), '')
  t.is(keysOf(await docs.search({ text: 'dry' })), 'a')
  const old = await db.at('before')
  const then = await old.openCollection('docs')
  t.is(keysOf((await then.search({ text: 'sea' })) as Hit<typeof schema>[]), 'ca')
  await old.close()
})

test('a reader beside the writer finds the same, and so does the next start', async (t) => {
  const directory = join(temporaryDirectory(t), 'data')
  const db = await open(directory)
  const docs = await db.collection('docs', schema)
  await fill(docs)
  const before = await docs.search({ text: 'sea tide' })
  t.true(before.length === 2)
  const reader = await openFor(t, directory, { mode: 'ro', refreshMs: 0 })
  const seen = await reader.collection('docs', schema)
  t.deepEqual(await seen.search({ text: 'sea tide' }), before)
  await docs.delete('c')
  await reader.refresh()
  t.is(keysOf(await seen.search({ text: 'sea tide' })), 'a')
  await db.close()
  const again = await openFor(t, directory)
  const reopened = await again.collection('docs', schema)
  t.is(keysOf(await reopened.search({ text: 'sea tide' })), 'a')
})

test('a text field is stored with its language and weight, and another one is refused', async (t) => {
  const db = await openFor(t)
  const vectors = { dim: 1, metric: 'l2' } as const
  const fields = {
    a: { type: 'text' },
    b: { type: 'text[]', language: 'german' },
    c: 'text',
    d: { type: 'text', weight: 0.3 },
  } as const
  const docs = await db.collection('texts', { vectors, fields })
  const stored = {
    a: 'text',
    b: { type: 'text[]', language: 'german', weight: 1 },
    c: 'text',
    d: { type: 'text', language: 'none', weight: 0.3 },
  } as const
  t.deepEqual(docs.schema.fields, stored)
  await db.collection('texts', { vectors, fields: stored })
  const same = { ...fields, a: 'text', c: { type: 'text', language: 'none', weight: 1 } } as const
  await db.collection('texts', { vectors, fields: same })
  const others = [
    ['fields.b.language', { ...fields, b: { type: 'text[]', language: 'french' } }],
    ['fields.b.language', { ...fields, b: 'text[]' }],
    ['fields.d.weight', { ...fields, d: 'text' }],
    ['fields.a', { ...fields, a: 'text[]' }],
  ] as const
  for (const [path, other] of others) {
    await fails(
      t,
      () => db.collection('texts', { vectors, fields: other }),
      'ERR_SCHEMA_MISMATCH',
      {
        path,
      },
    )
  }
})

test('highlights are places in the strings of JavaScript', async (t) => {
  const docs = await docsFor(t)
  const text = '\u{1f30a} Sea, the s\u00e9a and the seas'
  await docs.upsert({
    key: 'x',
    vectors: { title: [0, 0], body: [1, 1, 1] },
    fields: { head: 'sea', text, notes: ['no', 'a sea'] },
  })
  const query = { text: 'sea', filter: { $key: 'x' }, highlight: true } as const
  const [hit] = await docs.search(query)
  t.deepEqual(hit?.highlights, {
    head: [[0, 3]],
    notes: [[], [[2, 5]]],
    text: [
      [3, 6],
      [24, 28],
    ],
  })
  const marked = hit?.highlights?.text?.map(([start, end]) => text.slice(start, end))
  t.deepEqual(marked, ['Sea', 'seas'])
  const [some] = docs.searchSync({ ...query, select: false, highlight: { fields: ['notes'] } })
  t.deepEqual([some?.fields, some?.highlights], [{}, { notes: [[], [[2, 5]]] }])
  const [narrow] = await docs.search({ ...query, text: { query: 'sea', fields: ['head'] } })
  t.deepEqual(narrow?.highlights, { head: [[0, 3]] })
  const [plain] = await docs.search({ ...query, highlight: false })
  t.false('highlights' in (plain ?? {}))
  // With vectors there are hits without any of the words.
  const all = await docs.search({ vector: { title: [0, 0] }, text: 'sea', highlight: true })
  t.is(all.length, 5)
  t.deepEqual(all.find(({ key }) => key === 'd')?.highlights, {})
})

/** Reciprocal rank fusion, written apart. */
function fused(
  rankings: readonly (readonly [number, readonly string[]])[],
  k: number,
): [string, number][] {
  const sums = new Map<string, number>()
  for (const [weight, keys] of rankings) {
    for (const [at, key] of keys.entries())
      sums.set(key, (sums.get(key) ?? 0) + weight / (k + at + 1))
  }
  const all = [...sums].map(([key, sum]): [string, number] => [key, Math.fround(sum)])
  return all.sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))
}

test('vectors and words are fused as a fusion written apart does', async (t) => {
  const seed = Number(process.env['CAIRN_SEED'] ?? Date.now() % 1e6)
  t.log(`CAIRN_SEED=${seed}`)
  const next = seeded(seed)
  const below = (n: number): number => Math.floor(next() * n)
  const words = ['sea', 'tide', 'moon', 'run', 'sky', 'peak']
  const db = await openFor(t)
  const docs = await db.collection('docs', schema)
  const count = 50 + below(300)
  await docs.upsert(
    Array.from({ length: count }, (_, at) => ({
      key: `k${at}`,
      vectors: { title: [below(9), below(9)], body: [below(9), below(9), below(9)] },
      fields: {
        n: below(10),
        head: words[below(6)] as string,
        text: Array.from({ length: below(5) }, () => words[below(6)]).join(' '),
      },
    })),
  )
  if (next() < 0.5) await docs.compact()
  await docs.delete(Array.from({ length: 20 }, () => `k${below(count)}`))
  for (let round = 0; round < 20; round += 1) {
    const k = [1, 10, 150][below(3)] as number
    const depth = Math.max(k, 100)
    const filter = { n: { lt: 1 + below(10) } }
    const title = [below(9), below(9)]
    const body = [below(9), below(9), below(9)]
    const text = `${words[below(6)]} ${words[below(6)]}`
    const rest = { k: depth, filter, exact: true, select: false } as const
    const weights = { title: 1, body: 0.5 + below(3), text: 1 + below(2) }
    const rrf = { k: [60, 1, 7.5][below(3)] as number }
    const single = [
      [weights.title, await docs.search({ ...rest, vector: { title } })],
      [weights.body, await docs.search({ ...rest, vector: { body } })],
      [weights.text, await docs.search({ ...rest, text })],
    ] as const
    const rankings = single.map(([weight, hits]) => [weight, hits.map(({ key }) => key)] as const)
    const expected = fused(rankings, rrf.k).slice(0, k)
    const query = { ...rest, k, vector: { title, body }, text, fuse: { rrf, weights } }
    const hits = await docs.search(query)
    const found = hits.map(({ key, score }): [string, number] => [key, score])
    t.deepEqual(found, expected, `seed=${seed} round=${round}`)
    t.is(hits.length, Math.min(k, await docs.count(filter)))
    for (const { distance, score } of hits) t.is(distance, -score)
    t.deepEqual(docs.searchSync(query), hits)
    const vectors = await docs.search({ ...rest, k, vector: { title, body } })
    t.deepEqual(
      vectors.map(({ key, score }): [string, number] => [key, score]),
      fused(
        [
          [1, rankings[0]?.[1] ?? []],
          [1, rankings[1]?.[1] ?? []],
        ],
        60,
      ).slice(0, k),
    )
  }
})

test('explain tells each source in each place', async (t) => {
  const docs = await docsFor(t)
  await docs.compact()
  const { stages, keys } = await docs.explain({
    vector: { body: [1, 0, 0], title: [0, 0] },
    text: 'sea',
    filter: { n: { gt: 0 } },
  })
  t.is(keys.length, 3)
  const seen = stages.filter(({ rows: all }) => all > 0)
  t.deepEqual(
    seen.map(({ asked, path, matches }) => [asked, path, matches]),
    [
      ['title', 'flat', 3],
      ['body', 'flat', 3],
      ['text', 'text', 3],
    ],
  )
})

test('a function orders hits anew, by scores or as it gives them', async (t) => {
  const docs = await docsFor(t)
  const vector = { title: [0, 0] }
  const query = { vector, k: 2, select: ['n'] } as const
  const scored = await docs.search({
    ...query,
    rerank: async (hits, given) => {
      t.deepEqual(given.vector, vector)
      t.is(keysOf(hits), 'abcd', 'more than k')
      await delay(1)
      return hits.map(({ fields }) => Number(fields.n) % 3)
    },
  })
  t.deepEqual(
    scored.map(({ key, score, distance }) => [key, score, distance]),
    [
      ['c', 2, -2],
      ['b', 1, -1],
    ],
  )
  const turned = await docs.search({ ...query, rerank: (hits) => hits.toReversed() })
  t.is(keysOf(turned), 'dc')
  const fewer = await docs.search({ ...query, rerank: (hits) => hits.slice(3) })
  t.is(keysOf(fewer), 'd')
  const none = await docs.search({
    text: 'nowhere',
    rerank: () => t.fail('nothing to order'),
  })
  t.deepEqual(none, [])
})

test('what a function throws is thrown, and an answer that is no order is refused', async (t) => {
  const docs = await docsFor(t)
  const query = { text: 'sea' } as const
  const own = new TypeError('my own')
  const thrown = [
    () => {
      throw own
    },
    () => Promise.reject(own),
  ]
  for (const rerank of thrown) t.is(await outcome(() => docs.search({ ...query, rerank })), own)
  const mine = new CairnError('ERR_NOT_FOUND', 'mine', { key: '5' })
  const rejected = () => docs.search({ ...query, rerank: () => Promise.reject(mine) })
  t.is(await outcome(rejected), mine)
  const wrong = [undefined, 5, [1], [1, 2, 3], [1, Number.NaN], [1, 'x'], [{}, {}], ['a', 'c']]
  const facts = { path: 'rerank' }
  for (const answer of wrong) {
    const rerank = () => answer as never
    await fails(t, () => docs.search({ ...query, rerank }), 'ERR_INVALID_ARGUMENT', facts)
  }
  const twice = (hits: readonly Hit[]) => [hits[0], hits[0]] as never
  await fails(t, () => docs.search({ ...query, rerank: twice }), 'ERR_INVALID_ARGUMENT', facts)
})

test('a search whose function does not answer ends with its signal, or with the database', async (t) => {
  const db = await open(':memory:')
  const docs = await db.collection('docs', schema)
  await fill(docs)
  const rerank = () => new Promise<never>(() => undefined)
  const abort = new AbortController()
  const waiting = docs.search({ text: 'sea', rerank, signal: abort.signal })
  setTimeout(() => abort.abort(), 5)
  await fails(t, () => waiting, 'ERR_ABORTED')
  const cut = docs.search({ text: 'sea', rerank })
  const failed = fails(t, () => cut, 'ERR_CLOSED')
  await delay(20)
  await db.close()
  await failed
})

test('signals and deadlines end a search by words', async (t) => {
  const docs = await docsFor(t)
  const signal = AbortSignal.abort()
  await fails(t, () => docs.search({ text: 'sea', signal }), 'ERR_ABORTED')
  await fails(t, () => docs.searchSync({ text: 'sea', signal }), 'ERR_ABORTED')
  await fails(t, () => docs.searchSync({ text: 'sea', deadlineMs: 1e-9 }), 'ERR_DEADLINE')
})

test('memory for words is counted', async (t) => {
  const docs = await docsFor(t)
  t.is((await docs.stats()).textBytes, 0)
  await docs.compact()
  const { textBytes, segments } = await docs.stats()
  t.true(textBytes > 0)
  t.true((segments[0]?.memoryBytes ?? 0) > textBytes)
})

test('the example of the README gives what it says', (t) => {
  const readme = readFileSync('README.md', 'utf8')
  const [, chapter = ''] = readme.split('## Text and hybrid search\n')
  const [, code = ''] = chapter.split(/^```(?:ts)?\n/mu)
  const expected = code.match(/^\/\/ .*$/gmu)?.map((line) => line.slice(3))
  const file = join(temporaryDirectory(t), 'example.mjs')
  const entry = pathToFileURL('dist/index.js').href
  writeFileSync(file, code.replace("'cairndb'", JSON.stringify(entry)))
  const { stdout, stderr } = spawnSync(process.execPath, [file], { encoding: 'utf8' })
  t.deepEqual(stdout.trimEnd().split('\n'), expected, stderr)
})

test('slow searches by words are told with their plan', async (t) => {
  const told = new Promise<string[]>((resolve) => {
    void (async () => {
      const db = await openFor(t, ':memory:', {
        slowQueryMs: 0,
        onSlowQuery: ({ plan }) => resolve(plan?.stages.map(({ asked }) => asked) ?? []),
      })
      const docs = await db.collection('docs', schema)
      await fill(docs)
      await docs.search({ text: 'sea' })
    })()
  })
  t.deepEqual(await told, ['text'])
})
