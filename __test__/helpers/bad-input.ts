// A world to be asked wrong things, and tables of them: each row a code, the facts that must be
// named, and that nothing changed.
import test, { type ExecutionContext } from 'ava'
import { open, type Collection, type Database, type ErrorCode } from '#ts/index.js'
import { fails, type Facts } from './expect.js'

/** What the rows of a table are asked of. */
export interface World {
  readonly db: Database
  readonly cos: Collection
  readonly ids: Collection
  readonly two: Collection
  readonly strict: Collection
  readonly short: Collection
  readonly sparse: Collection
  readonly several: Collection
}

/** One row: its title, its code, the call, and facts of the error. */
export type Case = readonly [
  title: string,
  code: ErrorCode,
  call: (world: World) => unknown,
  facts?: Facts,
]

/** Codes by short names, so that a row fits a line. */
export const arg = 'ERR_INVALID_ARGUMENT'
export const dim = 'ERR_DIM_MISMATCH'
export const notFinite = 'ERR_NOT_FINITE'
export const key = 'ERR_INVALID_KEY'
export const name = 'ERR_INVALID_NAME'
export const limit = 'ERR_LIMIT_EXCEEDED'

/** A vector that nothing is wrong with. */
export const good: readonly number[] = [1, 1, 1, 1]

/** A value where the types would not have it. */
export const never = (value: unknown): never => value as never

let world: World

test.before(async () => {
  const db = await open(':memory:')
  const cos = await db.collection('cos', {
    vectors: { dim: 4, metric: 'cosine' },
    fields: {
      text: 'text',
      keyword: 'keyword',
      int: 'int',
      float: 'float',
      bool: 'bool',
      date: 'date',
      geo: 'geo',
      json: 'json',
      bytes: 'bytes',
      tags: 'keyword[]',
      ints: 'int[]',
      texts: 'text[]',
      floats: 'float[]',
      bools: 'bool[]',
      dates: 'date[]',
      geos: 'geo[]',
      jsons: 'json[]',
      blobs: 'bytes[]',
    },
  })
  const ids = await db.collection('ids', { key: 'u64', vectors: { dim: 3, metric: 'l2' } })
  const two = await db.collection('two', {
    vectors: { a: { dim: 2, metric: 'l2' }, b: { dim: 3, metric: 'dot' } },
  })
  const strict = await db.collection('strict', {
    vectors: { dim: 1, metric: 'l1' },
    fields: { title: 'text' },
    extra: 'reject',
  })
  const short = await db.collection('short', {
    vectors: {
      halves: { dim: 3, metric: 'cosine', type: 'f16' },
      bytes: { dim: 3, metric: 'cosine', type: 'i8' },
      bits: { dim: 24, metric: 'hamming', type: 'binary' },
    },
  })
  const sparse = await db.collection('sparse', {
    vectors: { s: { dim: 10, metric: 'dot', type: 'sparse' } },
  })
  const several = await db.collection('several', {
    vectors: { m: { dim: 2, metric: 'cosine', type: 'multi' } },
  })
  await cos.upsert([
    { key: 'one', vector: [1, 2, 3, 4], fields: { text: 'one', int: 1 } },
    { key: 'two', vector: [4, 3, 2, 1] },
  ])
  await ids.upsert({ key: 1n, vector: [1, 2, 3] })
  await two.upsert({ key: 'one', vectors: { a: [1, 2], b: [1, 2, 3] } })
  await strict.upsert({ key: 'one', vector: [1], fields: { title: 'x' } })
  await short.upsert({
    key: 'one',
    vectors: { halves: [1, 2, 3], bytes: [1, 2, 3], bits: new Uint8Array(3) },
  })
  await sparse.upsert({ key: 'one', vector: { indices: [1, 9], values: [1, 2] } })
  await several.upsert({
    key: 'one',
    vector: [
      [1, 2],
      [3, 4],
    ],
  })
  world = { db, cos, ids, two, strict, short, sparse, several }
})

test.after.always(() => world.db.close())

/** Everything there is, in a form that can be compared. */
async function everything({ db, ...own }: World): Promise<string> {
  const records: unknown[] = []
  for (const collection of Object.values(own)) {
    records.push(await collection.count())
    for await (const record of collection.scan({ vectors: true })) records.push(record)
  }
  const { version, collections } = await db.stats()
  const counts = Object.entries(collections).map(([name, { count, memtableRows }]) => [
    name,
    count,
    memtableRows,
  ])
  return JSON.stringify(
    [records, version, counts, await db.listCollections()],
    (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value),
  )
}

let rows = 0
let onlyCounts = false

/** How many rows all tables have that were made until now. */
export function rowsUntilNow(): number {
  return rows
}

/** From now on tables are counted and make no tests. */
export function onlyCount(): void {
  onlyCounts = true
}

/** What is done before the first row and after the last one. */
export function aroundAll(before: () => Promise<void>, after: () => void): void {
  if (onlyCounts) return
  test.before(before)
  test.after.always(after)
}

/** A test that is no row of a table. */
export function beside(title: string, exec: (t: ExecutionContext) => Promise<void> | void): void {
  if (!onlyCounts) test(title, exec)
}

/** A row of a table of its own: one test. */
export function row(title: string, exec: (t: ExecutionContext) => Promise<void>): void {
  rows += 1
  if (!onlyCounts) test.serial(title, exec)
}

/** A test for each row. */
export function table(what: string, cases: readonly Case[]): void {
  for (const [title, code, call, facts] of cases) {
    row(`${what}: ${title}`, async (t) => {
      const before = await everything(world)
      await fails(t, () => call(world), code, facts)
      t.is(await everything(world), before, 'something changed')
    })
  }
}
