// cairndb/embed: whatever stands behind an embedder, unit vectors come out of it, in the order of the texts.
import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { inspect } from 'node:util'
import test from 'ava'
import { embedder, hashing, http, type Embeddings, type EmbedFunction } from '#ts/embed/index.js'
import { murmur3 } from '#ts/embed/murmur.js'
import { pauseMs, retryAfterMs } from '#ts/embed/retry.js'
import type { ErrorCode } from '#ts/index.js'
import { golden, letters, nearly, same, sentences } from './fixtures/texts.js'
import { embeddingServer, vectorOf } from './helpers/embedding-server.js'
import { fails, outcome, type Facts } from './helpers/expect.js'
import { openFor } from './helpers/home.js'
import { seeded } from './helpers/random.js'

type Next = () => number

const anySeed = (): number => Date.now() % 2 ** 31
const rowsOf = (matrix: Float32Array, dim: number): Float32Array[] =>
  Array.from({ length: matrix.length / dim }, (_, at) => matrix.subarray(at * dim, (at + 1) * dim))
const lengthOf = (row: Float32Array): number => Math.hypot(...row)
const cosine = (a: Float32Array, b: Float32Array): number =>
  a.reduce((sum, value, at) => sum + value * (b[at] ?? 0), 0)

/** Of all of Unicode, halves of characters too, with a letter in it. */
function anyText(next: Next): string {
  const points = Array.from({ length: Math.floor(next() * 60) }, () =>
    Math.floor(next() * (next() < 0.5 ? 0x250 : 0x11_0000)),
  )
  return `${String.fromCodePoint(...points)}x${String.fromCharCode(Math.floor(next() * 0x1_0000))}`
}

/** Components of very different sizes, from 1e-30 to 1e30 and a few beyond. */
function anyVector(next: Next, dim: number): number[] {
  const scale = 10 ** (next() * 60 - 30)
  const row = Array.from({ length: dim }, () =>
    next() < 0.2 ? 0 : (next() * 2 - 1) * (next() < 0.5 ? scale : 10 ** (next() * 60 - 30)),
  )
  row[0] = row[0] === 0 ? scale : (row[0] ?? scale)
  return row
}

test('every row of every embedder has the length 1, over any texts', async (t) => {
  const seed = anySeed()
  t.log(`seed ${seed}`)
  const next = seeded(seed)
  const server = await embeddingServer(t, ({ input }) => ({
    body: { data: input.map((_, index) => ({ index, embedding: anyVector(next, 24) })) },
  }))
  const kinds = [
    hashing(),
    hashing({ dim: 1 }),
    hashing({ dim: 2, ngrams: [] }),
    hashing({ dim: 16, ngrams: [1, 2, 5], words: false }),
    embedder({ dim: 24, name: 'rows', embed: (texts) => texts.map(() => anyVector(next, 24)) }),
    embedder({
      dim: 24,
      name: 'floats',
      batch: 7,
      concurrency: 3,
      embed: async (texts) => Float32Array.from(texts.flatMap(() => anyVector(next, 24))),
    }),
    http({ url: server.url, model: 'm', dim: 24, batch: 50 }),
  ]
  const texts = Array.from({ length: 400 }, () => anyText(next))
  for (const one of kinds) {
    const { name, dim } = one
    const matrix = await one.embed(texts)
    t.is(matrix.length, texts.length * dim)
    for (const [index, row] of rowsOf(matrix, dim).entries()) {
      const off = Math.abs(lengthOf(row) - 1)
      if (!(off < 1e-5)) t.fail(`seed ${seed}: ${name}, row ${index} has the length 1 + ${off}`)
    }
  }
})

test('vectors of any scale become unit vectors of their direction', async (t) => {
  const scales = [5e-324, 1e-300, 1e-160, 1e-45, 1e-30, 1, 1e30, 1e38, 1e160, 1e307]
  const rows = scales.map((scale) => [3 * scale, -4 * scale])
  const one = embedder({ dim: 2, name: 'scales', embed: () => rows })
  for (const [at, row] of rowsOf(await one.embed(scales.map(String)), 2).entries()) {
    t.deepEqual([...row], [...new Float32Array([0.6, -0.8])], `scale ${scales[at]}`)
  }
  const mixed = embedder({ dim: 3, name: 'mixed', embed: () => [[1e-30, 1e30, -1e30]] })
  const half = Math.fround(Math.SQRT1_2)
  t.deepEqual([...(await mixed.embed('x'))], [0, half, -half])
})

test('answers may be rows or a matrix, of numbers of 32 or 64 bits, at once or later', async (t) => {
  const answers: Embeddings[] = [
    [
      [3, 4],
      [0, 2],
    ],
    [new Float32Array([3, 4]), new Float64Array([0, 2])],
    new Float32Array([3, 4, 0, 2]),
    new Float64Array([3, 4, 0, 2]),
  ]
  const expected = [...new Float32Array([0.6, 0.8, 0, 1])]
  for (const answer of answers) {
    const now = embedder({ dim: 2, name: 'now', embed: () => answer })
    const later = embedder({ dim: 2, name: 'later', embed: async () => answer })
    t.deepEqual([...(await now.embed(['a', 'b']))], expected)
    t.deepEqual([...(await later.embed(['a', 'b']))], expected)
  }
  const given = new Float32Array([3, 4])
  await embedder({ dim: 2, name: 'kept', embed: () => given }).embed('a')
  t.deepEqual([...given], [3, 4], 'what the function has is not changed')
})

test('batches are no larger and no more than allowed, and rows stand in the order of the texts', async (t) => {
  let under = 0
  let most = 0
  const sizes: number[] = []
  const one = embedder({
    dim: 101,
    name: 'places',
    batch: 8,
    concurrency: 3,
    embed: async (texts) => {
      under += 1
      most = Math.max(most, under)
      sizes.push(texts.length)
      // Later batches answer first.
      await delay(20 - Number(texts[0]) / 10)
      under -= 1
      return texts.map((text) => vectorOf(Number(text), 101))
    },
  })
  const texts = Array.from({ length: 101 }, (_, at) => String(at))
  // The bound holds over calls.
  const [first, second] = await Promise.all([one.embed(texts), one.embed(texts)])
  t.is(most, 3)
  t.is(Math.max(...sizes), 8)
  t.is(
    sizes.reduce((sum, size) => sum + size),
    202,
  )
  t.deepEqual(first, second)
  for (const [index, row] of rowsOf(first, 101).entries()) t.is(row.indexOf(1), index)
})

test('no text asks nobody, one text gives one vector, and texts are taken as they were', async (t) => {
  const asked: string[][] = []
  const one = embedder({
    dim: 1,
    name: 'asked',
    batch: 2,
    embed: async (texts) => {
      asked.push([...texts])
      await delay(5)
      return texts.map(() => [1])
    },
  })
  t.is((await one.embed([])).length, 0)
  t.deepEqual(asked, [])
  t.is((await one.embed('alone')).length, 1)
  const texts = ['a', 'b', 'c']
  const running = one.embed(texts)
  texts.fill('changed')
  await running
  t.deepEqual(asked, [['alone'], ['a', 'b'], ['c']])
})

const bad: readonly (readonly [string, unknown, ErrorCode, Facts])[] = [
  ['nothing', undefined, 'ERR_INVALID_ARGUMENT', { got: 'undefined' }],
  ['a number', 5, 'ERR_INVALID_ARGUMENT', { got: '5' }],
  ['a matrix of bytes', new Uint8Array(4), 'ERR_INVALID_ARGUMENT', { got: 'Uint8Array' }],
  ['no rows', [], 'ERR_DIM_MISMATCH', { expected: 2, got: 0 }],
  ['a row too many', [[1, 2], [1, 2], [1]], 'ERR_DIM_MISMATCH', { expected: 2, got: 3 }],
  ['a short matrix', new Float32Array(3), 'ERR_DIM_MISMATCH', { expected: 4, got: 3 }],
  ['a short row', [[1, 2], [1]], 'ERR_DIM_MISMATCH', { index: 5, expected: 2, got: 1 }],
  [
    'a long row',
    [
      [1, 2, 3],
      [1, 2],
    ],
    'ERR_DIM_MISMATCH',
    { index: 4, expected: 2, got: 3 },
  ],
  ['one flat row', [1, 2], 'ERR_INVALID_ARGUMENT', { index: 4, got: '1' }],
  [
    'a row of text',
    [
      [1, 2],
      ['1', 2],
    ],
    'ERR_INVALID_ARGUMENT',
    { index: 5, component: 0 },
  ],
  ['a hole', [[1, 2], [1, , 2].slice(0, 2)], 'ERR_INVALID_ARGUMENT', { index: 5, component: 1 }],
  [
    'a bigint',
    [
      [1, 2n],
      [1, 2],
    ],
    'ERR_INVALID_ARGUMENT',
    { index: 4, component: 1 },
  ],
  ['null', [null, [1, 2]], 'ERR_INVALID_ARGUMENT', { index: 4, got: 'null' }],
  [
    'NaN',
    [
      [1, 2],
      [1, Number.NaN],
    ],
    'ERR_NOT_FINITE',
    { index: 5, component: 1 },
  ],
  [
    'infinity',
    new Float32Array([1, 2, -Infinity, 0]),
    'ERR_NOT_FINITE',
    { index: 5, component: 0 },
  ],
  [
    'a zero row',
    [
      [1, 2],
      [0, -0],
    ],
    'ERR_ZERO_VECTOR',
    { index: 5 },
  ],
  ['a zero matrix', new Float64Array(4), 'ERR_ZERO_VECTOR', { index: 4 }],
  ['shared memory', new Float32Array(new SharedArrayBuffer(16)), 'ERR_INVALID_ARGUMENT', {}],
]

test('bad rows are refused with the place of their text', async (t) => {
  for (const [what, answer, code, facts] of bad) {
    const one = embedder({
      dim: 2,
      name: what,
      batch: 2,
      // The third batch is bad: the places are those among all texts.
      embed: (texts) => (texts[0] === '4' ? (answer as Embeddings) : texts.map(() => [1, 2])),
    })
    const texts = Array.from({ length: 8 }, (_, at) => String(at))
    await fails(t, () => one.embed(texts), code, facts)
  }
})

test('wrong texts and wrong options are refused', async (t) => {
  const embed: EmbedFunction = (texts) => texts.map(() => [1])
  const one = embedder({ dim: 1, name: 'n', embed })
  const calls: readonly (readonly [() => unknown, ErrorCode, Facts])[] = [
    [() => one.embed(5 as never), 'ERR_INVALID_ARGUMENT', { path: 'texts' }],
    [() => one.embed(undefined as never), 'ERR_INVALID_ARGUMENT', { path: 'texts' }],
    [() => one.embed(['a', null] as never), 'ERR_INVALID_ARGUMENT', { index: 1 }],
    [() => one.embed(['a', , 'b'] as never), 'ERR_INVALID_ARGUMENT', { index: 1 }],
    [() => one.embed('a', { signal: 5 } as never), 'ERR_INVALID_ARGUMENT', { path: 'signal' }],
    [() => one.embed('a', { signl: 5 } as never), 'ERR_INVALID_ARGUMENT', { suggestion: 'signal' }],
    [() => embedder(undefined as never), 'ERR_INVALID_ARGUMENT', {}],
    [() => embedder({ dim: 0, name: 'n', embed }), 'ERR_INVALID_ARGUMENT', { path: 'dim' }],
    [() => embedder({ dim: 65_537, name: 'n', embed }), 'ERR_LIMIT_EXCEEDED', { path: 'dim' }],
    [() => embedder({ dim: 1, name: '', embed }), 'ERR_INVALID_ARGUMENT', { path: 'name' }],
    [() => embedder({ dim: 1, name: 'n' } as never), 'ERR_INVALID_ARGUMENT', { path: 'embed' }],
    [
      () => embedder({ dim: 1, name: 'n', embed, batch: 0 }),
      'ERR_INVALID_ARGUMENT',
      { path: 'batch' },
    ],
    [
      () => embedder({ dim: 1, name: 'n', embed, concurrency: 1001 }),
      'ERR_LIMIT_EXCEEDED',
      { path: 'concurrency' },
    ],
    [
      () => embedder({ dim: 65_536, name: 'n', embed }).embed(Array(4097).fill('a')),
      'ERR_LIMIT_EXCEEDED',
      { path: 'texts' },
    ],
    [() => hashing({ dim: 1.5 }), 'ERR_INVALID_ARGUMENT', { path: 'dim' }],
    [() => hashing({ ngrams: 3 as never }), 'ERR_INVALID_ARGUMENT', { path: 'ngrams' }],
    [() => hashing({ ngrams: [0] }), 'ERR_INVALID_ARGUMENT', { path: 'ngrams' }],
    [() => hashing({ ngrams: [17] }), 'ERR_LIMIT_EXCEEDED', { path: 'ngrams' }],
    [
      () => hashing({ ngrams: [1, 2, 3, 4, 5, 6, 7, 8, 9] }),
      'ERR_LIMIT_EXCEEDED',
      { path: 'ngrams' },
    ],
    [() => hashing({ words: 1 as never }), 'ERR_INVALID_ARGUMENT', { path: 'words' }],
    [() => hashing({ words: false, ngrams: [] }), 'ERR_INVALID_ARGUMENT', { path: 'ngrams' }],
    [() => hashing({ word: true } as never), 'ERR_INVALID_ARGUMENT', { suggestion: 'words' }],
  ]
  for (const [call, code, facts] of calls) await fails(t, call, code, facts)
})

test('what the function throws comes through unchanged, ends the other batches, and begins no more', async (t) => {
  const thrown = new TypeError('mine')
  const begun: string[] = []
  const signals: AbortSignal[] = []
  const one = embedder({
    dim: 1,
    name: 'throws',
    batch: 1,
    concurrency: 2,
    embed: async ([text = ''], { signal }) => {
      begun.push(text)
      signals.push(signal)
      if (text === '1') throw thrown
      await delay(30)
      return [[1]]
    },
  })
  t.is(await outcome(() => one.embed(['0', '1', '2', '3'])), thrown)
  await delay(60)
  t.deepEqual(begun, ['0', '1'])
  t.true(signals[0]?.aborted)
  const atOnce = embedder({
    dim: 1,
    name: 'at once',
    embed: () => {
      throw thrown
    },
  })
  t.is(await outcome(() => atOnce.embed('a')), thrown)
  t.is((await one.embed('fine')).length, 1, 'its slots are free again')
})

test('a signal ends a call at once, also one that waits for its turn or whose function does not listen', async (t) => {
  let inner: AbortSignal | undefined
  const free: (() => void)[] = []
  const begun: string[] = []
  const one = embedder({
    dim: 1,
    name: 'stuck',
    embed: async ([text = ''], { signal }) => {
      begun.push(text)
      inner ??= signal
      if (text !== 'free') await new Promise<void>((resolve) => free.push(resolve))
      return [[1]]
    },
  })
  const [first, second] = [new AbortController(), new AbortController()]
  const running = fails(t, () => one.embed('a', { signal: first.signal }), 'ERR_ABORTED')
  const waiting = fails(t, () => one.embed('b', { signal: second.signal }), 'ERR_ABORTED')
  await delay(5)
  second.abort('enough')
  t.is((await waiting)?.cause, 'enough')
  first.abort()
  await running
  t.true(inner?.aborted)
  const after = one.embed('free')
  free.forEach((resolve) => resolve())
  t.is((await after).length, 1)
  t.deepEqual(begun, ['a', 'free'])
  await fails(t, () => one.embed('c', { signal: AbortSignal.abort() }), 'ERR_ABORTED')
  t.deepEqual(begun, ['a', 'free'])
})

test('hashing gives these vectors, everywhere and for ever', async (t) => {
  const one = hashing({ dim: 8 })
  for (const [text, vector] of golden) t.deepEqual([...(await one.embed(text))], vector, text)
  // Many texts of many scripts, to the last bit.
  const next = seeded(1)
  const texts = Array.from({ length: 500 }, () => {
    const some = Array.from({ length: 40 }, () => letters[Math.floor(next() * letters.length)])
    return `x${some.join('')}`
  })
  const bytes = createHash('sha256')
  for (const kind of [hashing(), hashing({ dim: 100, ngrams: [2, 5] })]) {
    const matrix = await kind.embed(texts)
    const view = new DataView(new ArrayBuffer(matrix.byteLength))
    for (const [at, value] of matrix.entries()) view.setFloat32(at * 4, value, true)
    bytes.update(view)
  }
  t.is(bytes.digest('hex'), 'e89dcdddf8622661dafa16ce0010b0f1b28ed1f6e4799e7e41d01722330eae1b')
  // Of the reference implementation: the four bytes of "test", and a vector of its tests.
  t.is(murmur3([0x74_73_65_74], 0), 0xba_6b_d2_13)
  t.is(murmur3([0x87_65_43_21], 0x50_82_ed_ee), 0x23_62_f9_de)
})

test('hashing takes spellings of the same characters for the same, and order for nothing', async (t) => {
  const one = hashing()
  for (const [a, b] of same) t.deepEqual(await one.embed(a), await one.embed(b), a)
  t.not(cosine(await one.embed('abc'), await one.embed('abd')), 1)
  t.deepEqual(hashing({ ngrams: [4, 3, 4] }).name, hashing().name)
  t.not(hashing({ dim: 512 }).name, hashing().name)
})

test('hashing refuses texts without a letter, a digit or a symbol, by their place', async (t) => {
  for (const empty of ['', ' \n', '.,;-', '\u0000\u200B', '\uD800', '\u0301']) {
    await fails(t, () => hashing().embed(['x', empty]), 'ERR_ZERO_VECTOR', { index: 1 })
  }
  for (const some of ['x', '7', '+', '\u{1F600}', '\u6F22', '\uD800x']) {
    t.true(Math.abs(lengthOf(await hashing({ words: false, ngrams: [9] }).embed(some)) - 1) < 1e-6)
  }
})

test('hashing leaves no text without a direction, even where its features take each other away', async (t) => {
  const one = hashing({ dim: 1, ngrams: [] })
  const words = Array.from({ length: 40 }, (_, at) => `w${at}`)
  const signs = new Map<number, string>()
  for (const word of words) signs.set((await one.embed(word))[0] ?? 0, word)
  t.deepEqual(new Set(signs.keys()), new Set([-1, 1]))
  t.deepEqual([...(await one.embed([...signs.values()].join(' ')))], [1])
})

test('hashing gives others a turn between texts, and ends at a signal', async (t) => {
  // Batches of texts that are short, and many calls of one: neither lasts as long as a turn.
  const one = hashing()
  let turns = 0
  const timer = setInterval(() => (turns += 1), 1)
  for (let call = 0; call < 1000; call += 1) await one.embed(`a text with a few words, ${call}`)
  clearInterval(timer)
  t.true(turns > 0)
  const controller = new AbortController()
  const texts = Array.from({ length: 3000 }, (_, at) => `a longer text with many words, ${at}`)
  setTimeout(() => controller.abort(), 5)
  await fails(t, () => hashing().embed(texts, { signal: controller.signal }), 'ERR_ABORTED')
})

test('texts that are nearly the same are neighbours in a collection', async (t) => {
  const one = hashing()
  const db = await openFor(t)
  const notes = await db.collection('notes', { vectors: { dim: one.dim, metric: 'cosine' } })
  await notes.upsert({
    keys: sentences.map((_, at) => `t${at}`),
    vectors: await one.embed(sentences),
  })
  for (const [at, text] of nearly.entries()) {
    const hits = await notes.search({ vector: await one.embed(text), k: 2 })
    t.is(hits[0]?.key, `t${at}`, text)
    t.true((hits[0]?.score ?? 0) > (hits[1]?.score ?? 0) + 0.2, text)
  }
})

test('http asks as OpenAI is asked, and puts rows in the order of the texts', async (t) => {
  const server = await embeddingServer(t, ({ input }) => ({
    // Backwards, with places.
    body: {
      object: 'list',
      data: input.map((text, index) => ({ index, embedding: vectorOf(+text, 9) })).toReversed(),
    },
  }))
  const one = http({
    url: new URL(`${server.url}?api-version=1`),
    model: 'small',
    dim: 9,
    key: 'sk-secret',
    headers: { 'x-team': 'sea' },
    body: { dimensions: 9 },
    batch: 4,
    concurrency: 2,
  })
  t.is(one.name, 'small')
  const texts = Array.from({ length: 9 }, (_, at) => String(at))
  const matrix = await one.embed(texts)
  for (const [index, row] of rowsOf(matrix, 9).entries()) t.is(row.indexOf(1), index)
  t.deepEqual(
    server.requests.map(({ json }) => json.input.length).sort((a, b) => a - b),
    [1, 4, 4],
  )
  const request = server.requests.find(({ json }) => json.input[0] === '0')
  if (request === undefined) throw new Error('nobody asked')
  const { method, url, headers, json } = request
  t.is(`${method} ${url}`, 'POST /v1/embeddings?api-version=1')
  t.is(headers.authorization, 'Bearer sk-secret')
  t.is(headers['x-team'], 'sea')
  t.is(headers['content-type'], 'application/json')
  t.deepEqual(json, { dimensions: 9, model: 'small', input: ['0', '1', '2', '3'] })
  t.true(server.most <= 2)
})

test('http waits as long as the service asks, and tries again', async (t) => {
  for (const status of [429, 503]) {
    const server = await embeddingServer(t, ({ input }, at) =>
      at === 0
        ? { status, headers: { 'retry-after': '1' } }
        : { body: { data: input.map(() => ({ embedding: [3, 4] })) } },
    )
    const one = http({ url: server.url, model: 'm', dim: 2 })
    t.deepEqual([...(await one.embed('a'))], [...new Float32Array([0.6, 0.8])])
    const [first = 0, second = 0] = server.requests.map(({ at }) => at)
    t.true(second - first >= 990, `${status}: asked again after ${second - first} ms`)
  }
})

test('http tries again when a connection or an answer breaks off, and tells when it was in vain', async (t) => {
  const server = await embeddingServer(t, ({ input }, at) => {
    if (at === 0) return { hangUp: 'before' }
    if (at === 1) return { hangUp: 'within' }
    return { body: { data: input.map(() => ({ embedding: [1, 0] })) } }
  })
  const one = http({ url: server.url, model: 'm', dim: 2 })
  t.deepEqual([...(await one.embed('a'))], [1, 0])
  t.is(server.requests.length, 3)
  await server.close()
  const url = `${server.url}?key=query-9012`
  const gone = http({ url, model: 'm', dim: 2, retries: 1, key: 'sk-key-1234' })
  const error = await fails(t, () => gone.embed('a'), 'ERR_UNAVAILABLE', { attempts: 2 })
  t.true(error?.retryable)
  t.is((error?.cause as Error | undefined)?.constructor.name, 'TypeError')
  t.notRegex(inspect(error, { depth: 9, showHidden: true }), /query-9012|sk-key-1234/)
})

const refusals: readonly (readonly [number, ErrorCode, number])[] = [
  [301, 'ERR_INVALID_ARGUMENT', 1],
  [400, 'ERR_INVALID_ARGUMENT', 1],
  [401, 'ERR_UNAUTHENTICATED', 1],
  [403, 'ERR_FORBIDDEN', 1],
  [404, 'ERR_INVALID_ARGUMENT', 1],
  [408, 'ERR_UNAVAILABLE', 2],
  [429, 'ERR_RATE_LIMITED', 2],
  [500, 'ERR_UNAVAILABLE', 2],
  [503, 'ERR_UNAVAILABLE', 2],
]

test('http has an error for each refusal, with the reason and without a secret', async (t) => {
  const secrets = { key: 'sk-key-1234', headers: { 'api-key': 'header-5678' } }
  for (const [status, code, attempts] of refusals) {
    const server = await embeddingServer(t, (_, at, { headers }) => ({
      status,
      headers: { location: server.url },
      // Whoever refuses says everything that it was told.
      body: { error: { message: 'no such model' }, told: headers, query: 'query-9012', at },
    }))
    const url = `${server.url}?key=query-9012`
    const one = http({ url, model: 'm', dim: 2, retries: 1, ...secrets })
    const error = await fails(t, () => one.embed('a'), code, { status, attempts, url: server.url })
    t.is(server.requests.length, attempts)
    const said = inspect([error, one, error?.details], { depth: 9, showHidden: true })
    for (const secret of ['sk-key-1234', 'header-5678', 'query-9012']) {
      t.false(said.includes(secret), `${status} says ${secret}`)
    }
    t.is(said.includes('no such model'), status !== 401 && status !== 403)
  }
})

test('http does not wait for what comes too late', async (t) => {
  const limited = await embeddingServer(t, () => ({
    status: 429,
    headers: { 'retry-after': '3600' },
  }))
  const one = http({ url: limited.url, model: 'm', dim: 2 })
  await fails(t, () => one.embed('a'), 'ERR_RATE_LIMITED', { retryAfterMs: 3_600_000, attempts: 1 })
  const silent = await embeddingServer(t, () => ({ hangUp: 'never' }))
  const two = http({ url: silent.url, model: 'm', dim: 2, timeoutMs: 100 })
  await fails(t, () => two.embed('a'), 'ERR_DEADLINE', { timeoutMs: 100, url: silent.url })
  const controller = new AbortController()
  const three = http({ url: silent.url, model: 'm', dim: 2 })
  setTimeout(() => controller.abort(), 50)
  await fails(t, () => three.embed('a', { signal: controller.signal }), 'ERR_ABORTED')
})

const answers: readonly (readonly [string, ErrorCode, Facts])[] = [
  ['<html>', 'ERR_INVALID_ARGUMENT', {}],
  ['null', 'ERR_INVALID_ARGUMENT', {}],
  ['{"data":{}}', 'ERR_INVALID_ARGUMENT', {}],
  ['{"data":[]}', 'ERR_DIM_MISMATCH', { expected: 2, got: 0 }],
  ['{"data":[{"embedding":[1]},null]}', 'ERR_INVALID_ARGUMENT', { index: 1 }],
  ['{"data":[{"embedding":[1]},{"embedding":"AACA"}]}', 'ERR_INVALID_ARGUMENT', { index: 1 }],
  ['{"data":[{"embedding":[1]},{"embedding":[1,2]}]}', 'ERR_DIM_MISMATCH', { index: 1, got: 2 }],
  ['{"data":[{"embedding":[1]},{"embedding":[0]}]}', 'ERR_ZERO_VECTOR', { index: 1 }],
  ['{"data":[{"embedding":[1]},{"embedding":[1e999]}]}', 'ERR_NOT_FINITE', { index: 1 }],
  ['{"data":[{"embedding":[1]},{"embedding":[null]}]}', 'ERR_INVALID_ARGUMENT', { index: 1 }],
  ['{"data":[{"index":1},{"index":1}]}', 'ERR_INVALID_ARGUMENT', {}],
  ['{"data":[{"index":0},{"index":2}]}', 'ERR_INVALID_ARGUMENT', {}],
  ['{"data":[{"index":0},{"index":"__proto__"}]}', 'ERR_INVALID_ARGUMENT', {}],
]

test('http believes no answer', async (t) => {
  for (const [text, code, facts] of answers) {
    const server = await embeddingServer(t, () => ({ text }))
    const one = http({ url: server.url, model: 'm', dim: 1 })
    await fails(t, () => one.embed(['a', 'b']), code, facts)
    t.is(server.requests.length, 1, text)
  }
})

test('http refuses wrong options, and says no secret of them', async (t) => {
  const fine = { url: 'http://localhost/v1/embeddings', model: 'm', dim: 1 }
  const calls: readonly (readonly [object, string])[] = [
    [{ url: 'nowhere' }, 'url'],
    [{ url: 'file:///hushed' }, 'url'],
    [{ url: 'http://me:hushed@localhost/' }, 'url'],
    [{ url: 5 }, 'url'],
    [{ model: '' }, 'model'],
    [{ dim: 0 }, 'dim'],
    [{ key: '' }, 'key'],
    [{ key: 'hushed\nhushed' }, 'key'],
    [{ key: 'hushed\u2026' }, 'key'],
    [{ headers: { 'x-a': 'hushed\u0000' } }, 'headers.x-a'],
    [{ headers: { 'x-a': 5 } }, 'headers.x-a'],
    [{ headers: [] }, 'headers'],
    [{ key: 'hushed', headers: { Authorization: 'hushed' } }, 'headers.authorization'],
    [{ body: [] }, 'body'],
    [{ body: { input: 'x' } }, 'body.input'],
    [{ timeoutMs: 0 }, 'timeoutMs'],
    [{ retries: -1 }, 'retries'],
    [{ batch: 0 }, 'batch'],
    [{ kye: 'hushed' }, 'kye'],
  ]
  for (const [change, path] of calls) {
    const error = await fails(t, () => http({ ...fine, ...change }), 'ERR_INVALID_ARGUMENT', {
      path,
    })
    t.false(inspect(error).includes('hushed'), path)
  }
})

test('pauses grow, differ by chance, and are never shorter than asked for', (t) => {
  t.deepEqual(
    [0, 1, 2, 5, 50].map((attempt) => pauseMs(attempt, undefined, 1)),
    [250, 500, 1000, 8000, 8000],
  )
  t.is(pauseMs(0, undefined, 0), 125)
  t.is(pauseMs(0, 5000, 0.5), 5000)
  const now = Date.parse('2026-01-01T00:00:00Z')
  t.is(retryAfterMs('2', now), 2000)
  t.is(retryAfterMs('Thu, 01 Jan 2026 00:00:30 GMT', now), 30_000)
  t.is(retryAfterMs('Wed, 31 Dec 2025 00:00:00 GMT', now), 0)
  for (const none of [null, '', '-1', 'soon', '1e9']) t.is(retryAfterMs(none, now), undefined)
})
