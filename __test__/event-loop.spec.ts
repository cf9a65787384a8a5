// The event loop never waits for the database: the longest time between two turns stays small.
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { open, type Collection, type Row } from '#ts/index.js'
import { temporaryDirectory } from './helpers/home.js'
import { randomMatrix } from './helpers/random.js'

const dim = 128
const batchRows = 1000
/** Batches of a window; with these memtables each window sees several flushes. */
const batches = 20
const options = { memtableBytes: 4 * 1024 * 1024 }
const limitMs = 10
const windowsMax = 40

const schema = { vectors: { dim, metric: 'l2' }, fields: { n: 'int', title: 'text' } } as const
const matrix = randomMatrix(batchRows, dim, 1)

type Docs = Collection<typeof schema>

/** Longest time between two turns of the loop while `work` runs. */
async function longestTurn(work: () => Promise<unknown>): Promise<number> {
  let running = true
  let longest = 0
  let last = performance.now()
  const turn = (): void => {
    const now = performance.now()
    longest = Math.max(longest, now - last)
    last = now
    if (running) setImmediate(turn)
  }
  setImmediate(turn)
  await work()
  running = false
  return longest
}

/**
 * The longest turn of the quietest window. Another process may take the core in the middle of a
 * window, and does on a busy machine: windows, each with a new database, are tried until one is
 * undisturbed.
 */
async function quietest(
  t: ExecutionContext,
  work: (docs: Docs) => Promise<unknown>,
): Promise<void> {
  const windows: number[] = []
  while (windows.length < windowsMax && !windows.some((longest) => longest < limitMs)) {
    const db = await open(join(temporaryDirectory(t), 'data'), options)
    const docs = await db.collection('docs', schema)
    windows.push(await longestTurn(() => work(docs)))
    await db.close()
  }
  const shown = windows.map((longest) => longest.toFixed(1)).join(', ')
  t.log(`longest stall of each window: ${shown} ms`)
  t.true(
    windows.some((longest) => longest < limitMs),
    shown,
  )
}

test.serial('ingest of rows in batches of 1,000 stalls the loop for less than 10 ms', async (t) => {
  async function* rows(): AsyncGenerator<Row<typeof schema>> {
    for (let at = 0; at < batches * batchRows; at += 1) {
      const start = (at % batchRows) * dim
      const vector = matrix.subarray(start, start + dim)
      yield { key: `k${at}`, vector, fields: { n: at, title: `row ${at}` } }
    }
  }
  await quietest(t, (docs) => docs.ingest(rows()))
})

test.serial('upserts of column batches of 1,000 stall the loop for less than 10 ms', async (t) => {
  await quietest(t, async (docs) => {
    for (let batch = 0; batch < batches; batch += 1) {
      const keys = Array.from({ length: batchRows }, (_, at) => `k${batch}-${at}`)
      await docs.upsert({ keys, vectors: matrix, fields: { n: keys.map((_, at) => at) } })
    }
  })
})

test.serial('compaction and searches leave the loop alone', async (t) => {
  await quietest(t, async (docs) => {
    const keys = Array.from({ length: batchRows }, (_, at) => `k${at}`)
    await docs.upsert({ keys, vectors: matrix })
    const compaction = docs.compact()
    for (let query = 0; query < 50; query += 1) {
      await docs.search({ vector: matrix.subarray(0, dim), k: 10, exact: true })
    }
    await compaction
  })
})
