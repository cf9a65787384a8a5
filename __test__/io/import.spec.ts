import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import test from 'ava'
import { open, type Collection, type ErrorCode } from '#ts/index.js'
import { exportTo, importFrom, type ImportOptions } from '#ts/io/index.js'
import { ended, start } from '../helpers/child.js'
import { fails, type Facts } from '../helpers/expect.js'
import { openFor, temporaryDirectory } from '../helpers/home.js'
import { recordsOf, same } from './world.js'

const schema = {
  vectors: { dim: 2, metric: 'cosine' },
  fields: { n: 'int', seen: 'date', tags: 'keyword[]' },
} as const

const good = '{"key":"good","vector":[1,2]}'

/** What is wrong with the second row, its code, and facts. */
const wrongRows: readonly [title: string, line: string | Buffer, code: ErrorCode, facts?: Facts][] =
  [
    ['is no JSON', '{"key":', 'ERR_INVALID_ARGUMENT'],
    ['is a line cut short', good.slice(0, -3), 'ERR_INVALID_ARGUMENT'],
    ['is no object', '[1,2]', 'ERR_INVALID_ARGUMENT'],
    [
      'is not UTF-8',
      Buffer.from('{"key":"\xff","vector":[1,2]}', 'latin1'),
      'ERR_INVALID_ARGUMENT',
    ],
    ['has no key', '{"id":"a","vector":[1,2]}', 'ERR_INVALID_KEY', { columns: 'id, vector' }],
    ['has an empty key', '{"key":"","vector":[1,2]}', 'ERR_INVALID_KEY'],
    ['has half a character in its key', '{"key":"\\ud800","vector":[1,2]}', 'ERR_INVALID_KEY'],
    ['has a key that is no text', '{"key":1.5,"vector":[1,2]}', 'ERR_INVALID_KEY'],
    ['has too long a key', `{"key":"${'x'.repeat(1025)}","vector":[1,2]}`, 'ERR_INVALID_KEY'],
    ['has no vector', '{"key":"a"}', 'ERR_INVALID_ARGUMENT'],
    ['has too short a vector', '{"key":"a","vector":[1]}', 'ERR_DIM_MISMATCH'],
    ['has NaN in its vector', '{"key":"a","vector":[1,NaN]}', 'ERR_INVALID_ARGUMENT'],
    ['has too large a number', '{"key":"a","vector":[1,1e39]}', 'ERR_NOT_FINITE'],
    ['has text in its vector', '{"key":"a","vector":[1,"2"]}', 'ERR_INVALID_ARGUMENT'],
    ['has null in its vector', '{"key":"a","vector":[1,null]}', 'ERR_INVALID_ARGUMENT'],
    ['has a vector of text', '{"key":"a","vector":"[1,2]"}', 'ERR_INVALID_ARGUMENT'],
    ['has a zero vector', '{"key":"a","vector":[0,0]}', 'ERR_ZERO_VECTOR'],
    ['has a vector of no field', '{"key":"a","vectors":{"x":[1,2]}}', 'ERR_INVALID_ARGUMENT'],
    ['has a field of another type', '{"key":"a","vector":[1,2],"n":"5"}', 'ERR_INVALID_ARGUMENT'],
    ['has a fraction for an int', '{"key":"a","vector":[1,2],"n":1.5}', 'ERR_INVALID_ARGUMENT'],
    [
      'has an integer beyond 64 bits',
      '{"key":"a","vector":[1,2],"n":9223372036854775808}',
      'ERR_INVALID_ARGUMENT',
      { field: 'n' },
    ],
    [
      'has no date',
      '{"key":"a","vector":[1,2],"seen":"soon"}',
      'ERR_INVALID_ARGUMENT',
      { field: 'seen' },
    ],
    [
      'has mixed types in an array',
      '{"key":"a","vector":[1,2],"tags":["x",1]}',
      'ERR_INVALID_ARGUMENT',
    ],
    ['has a wrong tag', '{"key":"a","vector":[1,2],"x":{"$int":"1.5"}}', 'ERR_INVALID_ARGUMENT'],
    [
      'has fields that are no object',
      '{"key":"a","vector":[1,2],"fields":[]}',
      'ERR_INVALID_ARGUMENT',
    ],
    [
      'is nested too deeply',
      `{"key":"a","vector":[1,2],"x":${'['.repeat(100)}{"$int":"1"}${']'.repeat(100)}}`,
      'ERR_LIMIT_EXCEEDED',
    ],
  ]

for (const [title, line, code, facts] of wrongRows) {
  test(`a row that ${title} ends the import, or is left out, and is named`, async (t) => {
    const db = await openFor(t)
    const docs = await db.collection('docs', schema)
    const source = [
      Buffer.from(`${good}\n`),
      Buffer.from(line),
      Buffer.from('\n{"key":"last","vector":[1,2]}'),
    ]
    const wherever = { row: 1, line: 2, offset: good.length + 1, ...facts }
    await fails(t, () => importFrom(docs, source, { format: 'jsonl' }), code, wherever)
    const errors: unknown[] = []
    const result = await importFrom(docs, source, {
      format: 'jsonl',
      onError: 'skip',
      onSkip: (error) => errors.push(error.code, error.details['row']),
    })
    t.deepEqual(errors, [code, 1])
    t.like(result, { rows: 2, skipped: 1 })
    t.deepEqual(await docs.has(['good', 'last']), [true, true])
    t.is(await docs.count(), 2)
  })
}

const packed = gzipSync(`${good}\n`.repeat(1000))

/** Sources that are wrong as a whole. */
const wrongSources: readonly [title: string, source: Buffer, code: ErrorCode][] = [
  ['gzip that is cut short', packed.subarray(0, -20), 'ERR_CORRUPT'],
  ['gzip with a wrong checksum', flipped(packed, packed.length - 6), 'ERR_CORRUPT'],
  ['gzip that is damaged', flipped(packed, 12), 'ERR_CORRUPT'],
  ['a header of a newer version', Buffer.from('{"$cairn":{"format":2}}'), 'ERR_UNSUPPORTED_FORMAT'],
  [
    'a header with a wrong schema',
    Buffer.from('{"$cairn":{"format":1,"schema":{}}}'),
    'ERR_CORRUPT',
  ],
]

for (const [title, source, code] of wrongSources) {
  test(`${title} ends the import, also where rows are left out`, async (t) => {
    const docs = await (await openFor(t)).collection('docs', schema)
    const options = { format: 'jsonl', onError: 'skip' } as const
    await fails(t, () => importFrom(docs, [source], options), code)
  })
}

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes)
  copy[at] = (copy[at] ?? 0) ^ 0x55
  return copy
}

test('an empty source is no rows, and a header alone is a collection', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', schema)
  for (const source of ['', '\uFEFF', '\n\r\n ']) {
    t.like(await importFrom(docs, [Buffer.from(source)], { format: 'jsonl' }), {
      rows: 0,
      skipped: 0,
    })
  }
  const path = join(temporaryDirectory(t), 'empty.jsonl')
  await exportTo(docs, path)
  await importFrom({ db, name: 'copy' }, path)
  await same(t, await db.openCollection('copy'), docs as never)
})

test('of rows with one key the last wins, and add refuses them', async (t) => {
  const docs = await (await openFor(t)).collection('docs', schema)
  const line = (n: number): string => `{"key":"a","vector":[1,2],"n":${n}}\n`
  const source = [Buffer.from(line(1) + line(2) + line(3))]
  await importFrom(docs, source, { format: 'jsonl', chunkRows: 1 })
  t.is((await docs.get('a'))?.fields.n, 3)
  await importFrom(docs, source, { format: 'jsonl', onError: 'skip', chunkRows: 2 })
  t.is((await docs.get('a'))?.fields.n, 3)
  await docs.delete('a')
  const add = { format: 'jsonl', mode: 'add' } as const
  await fails(t, () => importFrom(docs, source, add), 'ERR_ALREADY_EXISTS', { row: 1, line: 2 })
  t.like(await importFrom(docs, source, { ...add, onError: 'skip' }), { rows: 1, skipped: 2 })
  t.is((await docs.get('a'))?.fields.n, 1)
})

test('a source that is wrong from end to end is left out row by row', async (t) => {
  const docs = await (await openFor(t)).collection('docs', schema)
  const bad = '{"key":"a","vector":[1]}\n'.repeat(500)
  const source = [Buffer.from(`${bad}${good}\n${bad}`)]
  const result = await importFrom(docs, source, { format: 'jsonl', onError: 'skip' })
  t.like(result, { rows: 1, skipped: 1000 })
})

test('arguments that are wrong are refused', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', schema)
  const two = await db.collection('two', {
    vectors: { a: { dim: 1, metric: 'l2' }, b: { dim: 1, metric: 'l2' } },
  })
  const into =
    (options: object, target: object = docs) =>
    () =>
      importFrom(target as Collection, [Buffer.from(good)], {
        format: 'jsonl',
        ...options,
      } as never)
  const cases: readonly [call: () => unknown, path: string][] = [
    [into({ format: 'csv' }), 'format'],
    [into({ format: undefined }), 'format'],
    [into({ mode: 'update' }), 'mode'],
    [into({ mode: 'add', resume: 'x' }), 'mode'],
    [into({ resume: true }), 'resume'],
    [into({ resume: 5 }), 'resume'],
    [into({ resume: 'nonsense' }), 'resume'],
    [into({ chunkRows: 0 }), 'chunkRows'],
    [into({ onError: 'ignore' }), 'onError'],
    [into({ key: 5 }), 'key'],
    [into({ vector: { nope: 'x' } }), 'vector'],
    [into({ vector: 'x' }, two), 'vector'],
    [into({ signal: {} }), 'signal'],
    [into({ chunkrows: 5 }), 'chunkrows'],
    [into({}, { db, name: 'none' }), 'target.schema'],
    [into({}, { db }), 'target'],
    [into({}, []), 'target'],
    [() => importFrom(docs, 5 as never, { format: 'jsonl' }), 'source'],
    [() => importFrom(docs, Buffer.from(good) as never, { format: 'jsonl' }), 'source'],
    [() => importFrom(docs, [5] as never, { format: 'jsonl' }), 'source'],
    [() => exportTo(docs, 5 as never), 'target'],
    [() => exportTo(docs, 'x.csv'), 'format'],
    [() => exportTo(docs, 'x.jsonl', { vectors: 'nope' }), 'vectors'],
    [() => exportTo(docs, 'x.jsonl', { limit: 0 }), 'limit'],
    [() => exportTo(docs, 'x.jsonl', { transform: 5 as never }), 'transform'],
  ]
  for (const [call, path] of cases) await fails(t, call, 'ERR_INVALID_ARGUMENT', { path })
  await fails(t, () => importFrom(docs, 'none.jsonl'), 'ERR_NOT_FOUND', { file: 'none.jsonl' })
  t.is(await docs.count(), 0)
  t.false(existsSync('x.jsonl'))
})

function lines(count: number, from: number = 0): string {
  return Array.from(
    { length: count },
    (_, at) => `{"key":"k${from + at}","vector":[1,${from + at}],"n":${from + at}}\n`,
  ).join('')
}

test('progress is told, and a signal ends an import, also of a silent source', async (t) => {
  const docs = await (await openFor(t)).collection('docs', schema)
  const text = Buffer.from(lines(2500))
  const rows: number[] = []
  await importFrom(docs, [text], {
    format: 'jsonl',
    onProgress: (progress) => {
      rows.push(progress.rows)
      t.is(progress.bytes, text.length)
    },
  })
  t.deepEqual(rows, [1000, 2000, 2500])

  async function* silent(): AsyncGenerator<Buffer> {
    yield text
    await new Promise(() => undefined)
  }
  const controller = new AbortController()
  const { signal } = controller
  // It keeps the process alive, which a silent source does not.
  const timer = setInterval(() => undefined, 1000)
  t.teardown(() => clearInterval(timer))
  const onProgress = ({ rows: done }: { rows: number }): void => {
    if (done === 2000) setTimeout(() => controller.abort(), 10)
  }
  const aborted = await fails(
    t,
    () => importFrom(docs, silent(), { format: 'jsonl', signal, onProgress }),
    'ERR_ABORTED',
  )
  const token = aborted?.details['resumeToken'] as string
  const result = await importFrom(docs, [text], { format: 'jsonl', resume: token })
  t.is(result.rows, 500)
  await fails(
    t,
    () => importFrom(docs, [text], { format: 'jsonl', signal: AbortSignal.abort() }),
    'ERR_ABORTED',
  )
})

test('a token goes on where an import ended, and only there', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', schema)
  const path = join(temporaryDirectory(t), 'docs.jsonl')
  writeFileSync(path, `${lines(1500)}{"key":"bad"}\n${lines(10, 1500)}`)
  const error = await fails(t, () => importFrom(docs, path), 'ERR_INVALID_ARGUMENT', { row: 1500 })
  const token = error?.details['resumeToken'] as string
  t.is(await docs.count(), 1000)
  writeFileSync(path, `${lines(1500)}{"key":"bad","vector":[1,1]}\n${lines(10, 1500)}`)
  const { rows, resumeToken } = await importFrom(docs, path, { resume: token })
  t.is(rows, 511)
  t.is(await docs.count(), 1511)
  // What is appended later is what is left to do.
  writeFileSync(path, `${readFileSync(path, 'utf8')}${lines(5, 2000)}`)
  t.is((await importFrom(docs, path, { resume: resumeToken })).rows, 5)

  const other = await db.collection('other', schema)
  const wrong: ImportOptions = { resume: token }
  await fails(t, () => importFrom(other, path, wrong), 'ERR_INVALID_ARGUMENT', { path: 'resume' })
  writeFileSync(path, lines(2000, 1))
  await fails(t, () => importFrom(docs, path, wrong), 'ERR_INVALID_ARGUMENT', { path: 'resume' })
  const damaged = `${token.slice(0, -4)}AAAA`
  await fails(t, () => importFrom(docs, path, { resume: damaged }), 'ERR_INVALID_ARGUMENT')
})

test('a damaged state file is refused', async (t) => {
  const docs = await (await openFor(t)).collection('docs', schema)
  const path = join(temporaryDirectory(t), 'docs.jsonl')
  writeFileSync(path, lines(10))
  writeFileSync(`${path}.cairn-resume`, 'nonsense')
  const file = `${path}.cairn-resume`
  await fails(t, () => importFrom(docs, path, { resume: true }), 'ERR_CORRUPT', { file })
})

test.serial(
  'killed at any time and run again, an import ends with the same collection',
  async (t) => {
    const directory = temporaryDirectory(t)
    const path = join(directory, 'docs.jsonl')
    const whole = await openFor(t)
    const docs = await whole.collection('docs', schema)
    // Keys come again and again, so that what is written twice or out of order shows.
    const text = Array.from(
      { length: 30_000 },
      (_, at) => `{"key":"k${at % 7001}","vector":[1,${at}],"n":${at}}\n`,
    )
    await importFrom(
      docs,
      text.map((line) => Buffer.from(line)),
      { format: 'jsonl' },
    )
    await exportTo(docs, path)
    const header = readFileSync(path, 'utf8').split('\n', 1)[0] ?? ''
    writeFileSync(path, `${header}\n${text.join('')}`)

    const home = join(directory, 'data')
    let kills = 0
    const saved = (): number =>
      statSync(`${path}.cairn-resume`, { throwIfNoEntry: false })?.mtimeMs ?? 0
    for (let life = 0; ; life += 1) {
      const child = start('importer', home, path)
      const end = ended(child)
      const before = saved()
      const timer = setInterval(() => {
        if (life < 4 && saved() !== before) setTimeout(() => child.kill('SIGKILL'), 20 * life)
      }, 2)
      const { signal, code, stderr, stdout } = await end
      clearInterval(timer)
      if (signal !== 'SIGKILL') {
        t.is(code, 0, stderr)
        t.true(Number(stdout) < 30_000, 'nothing was resumed')
        break
      }
      kills += 1
    }
    t.true(kills > 1, 'the import was never killed')
    t.false(existsSync(`${path}.cairn-resume`))
    const db = await open(home, { lockTimeoutMs: 10_000 })
    t.teardown(() => db.close())
    t.deepEqual(await recordsOf(await db.openCollection('docs')), await recordsOf(docs as never))
  },
)
