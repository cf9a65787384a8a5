// What errors say to people: each fact once, what was asked for, what was probably meant, and where the call was.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { CairnError } from '#ts/errors.js'
import { open, restore, type Collection, type Database } from '#ts/index.js'
import { fails, outcome } from './helpers/expect.js'
import { openFor, temporaryDirectory } from './helpers/home.js'

const vector = [1, 2, 3]

async function docsFor(t: ExecutionContext, db?: Database): Promise<Collection> {
  const docs = await (db ?? (await openFor(t))).collection('docs', {
    vectors: { dim: 3, metric: 'cosine' },
    fields: { title: 'text', year: 'int' },
  })
  await docs.upsert({ key: 'a', vector, fields: { title: 'x' } })
  return docs
}

async function messageOf(t: ExecutionContext, call: () => unknown): Promise<string> {
  const error = await outcome(call)
  t.true(error instanceof CairnError, String(error))
  return (error as CairnError).message
}

test('a fact stands in a message once', async (t) => {
  const docs = await docsFor(t)
  for (const query of [
    { text: { query: 'a', fields: ['titel'] } },
    { text: 'a', highlight: { fields: ['titel'] } },
  ]) {
    const message = await messageOf(t, () => docs.search(query))
    t.is(message.split('expected="title"').length, 2, message)
    t.true(message.endsWith('; did you mean title?'), message)
  }
})

test('a name of another database is told what it is called here', async (t) => {
  const docs = await docsFor(t)
  const asked = (more: object) => () => docs.search({ vector, ...more } as never)
  const cases: [call: () => unknown, suggestion: string][] = [
    [asked({ topK: 5 }), 'k'],
    [asked({ top_k: 5 }), 'k'],
    [asked({ limit: 5 }), 'k'],
    [asked({ n: 5 }), 'k'],
    [asked({ where: {} }), 'filter'],
    [() => docs.search({ embedding: vector } as never), 'vector'],
    [() => docs.searchBatch({ embeddings: vector } as never), 'vectors'],
    [asked({ includeValues: true }), 'vectors'],
    [asked({ select_: ['title'] }), 'select'],
    [asked({ ef: 100 }), 'efSearch'],
    [() => docs.scan({ where: {} } as never), 'filter'],
    [() => docs.scan({ offset: 5 } as never), 'after'],
    [() => docs.upsert({ id: 'a', values: vector } as never), 'key'],
    [() => docs.upsert({ key: 'a', values: vector } as never), 'vector'],
    [() => docs.upsert({ key: 'a', vector, metadata: {} } as never), 'fields'],
    [asked({ filter: { year: { between: [1, 2] } } }), 'gte and lte'],
    [asked({ filter: { year: { '>=': 1 } } }), 'gte'],
    [asked({ filter: { year: { $neq: 1 } } }), 'ne'],
    [asked({ filter: { title: { startWith: 'a' } } }), 'startsWith'],
    [asked({ filter: { AND: [{ year: 5 }] } }), 'and'],
    [asked({ filter: { $OR: [{ year: 5 }] } }), 'or'],
  ]
  for (const [call, suggestion] of cases) {
    const error = (await outcome(call)) as CairnError
    t.is(error.details?.['suggestion'], suggestion, String(error))
    t.true(error.message.endsWith(`; did you mean ${suggestion}?`), error.message)
  }
  const message = await messageOf(t, asked({ filter: { author: { name: {} } } }))
  t.notRegex(message, /did you mean/)
})

test('instants are told as dates, and durations without a tail of digits', async (t) => {
  const { message, details } = new CairnError('ERR_LOCKED', 'x', { since: 86_400_000, pid: 7 })
  t.is(message, 'x: since=1970-01-02T00:00:00.000Z, pid=7')
  t.is(details['since'], 86_400_000)
  const long = new CairnError('ERR_DEADLINE', 'x', { waitedMs: 1234.567_890_123, time: Infinity })
  t.is(long.message, 'x: waitedMs=1230, time=Infinity')

  const directory = join(temporaryDirectory(t), 'data')
  await openFor(t, directory)
  const locked = await messageOf(t, () => open(directory))
  t.regex(locked, /since=\d{4}-\d\d-\d\dT[\d:.]+Z/)
})

test('what is not there is told as it was asked for', async (t) => {
  const home = temporaryDirectory(t)
  const db = await openFor(t)
  await docsFor(t, db)
  const [path, into] = [join(home, 'backups'), join(home, 'new')]
  await db.backup(path)
  const ids: [version: bigint | string | Date, facts: Record<string, unknown>, text: string][] = [
    ['before-import', { name: 'before-import' }, 'name="before-import"'],
    [77n, { version: 77n }, 'version=77n'],
    [new Date(5), { time: 5 }, 'time=1970-01-01T00:00:00.005Z'],
  ]
  for (const [version, facts, text] of ids) {
    const wanted = { version }
    const error = await fails(t, () => restore(path, into, wanted), 'ERR_NOT_FOUND', facts)
    t.is(error?.details['path'], path)
    t.true(error?.message.includes(text), error?.message)
    await fails(t, () => db.at(version), 'ERR_NOT_FOUND', facts)
    await fails(t, () => db.dropVersion(version), 'ERR_NOT_FOUND', facts)
  }
  await fails(t, () => restore(path, into, { id: 9 }), 'ERR_NOT_FOUND', { id: 9, path })
})

test('the stack of a refused filter, or row, has the call in it, however deep it is wrong', async (t) => {
  const docs = await docsFor(t)
  const filter = { and: [{ or: [{ not: { year: Number.NaN } }] }] }
  const row = { key: 'a', vector: [1] }
  // Named after what is looked for.
  const callOfTheUser = async (call: () => unknown): Promise<unknown> => await call()
  for (const call of [
    () => docs.search({ vector, filter }),
    () => docs.searchSync({ vector, filter }),
    () => docs.count(filter),
    () => docs.scan({ filter }),
    () => docs.deleteWhere(filter),
    () => docs.upsert(row, { if: filter }),
    () => docs.upsert([row]),
    () => docs.search({ vector, filter: { year: { foo: 1 } } }),
  ]) {
    const error = await outcome(() => callOfTheUser(call))
    t.true(error instanceof CairnError)
    t.regex(String((error as Error).stack), /callOfTheUser/)
  }
})

test('hits, records and results are written as JSON by the function of the README', async (t) => {
  const docs = await docsFor(t)
  const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8')
  t.true(readme.includes("(_, value) => (typeof value === 'bigint' ? String(value) : value)"))
  const write = (given: unknown): unknown =>
    JSON.parse(
      JSON.stringify(given, (_, value: unknown) =>
        typeof value === 'bigint' ? String(value) : value,
      ),
    )
  t.like(write(await docs.search({ vector })), { 0: { key: 'a', version: '1' } })
  t.like(write(await docs.get('a')), { version: '1', fields: { title: 'x' } })
  t.like(write(await docs.upsert({ key: 'b', vector })), { version: '2', inserted: 1 })
})
