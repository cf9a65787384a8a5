import { spawnSync } from 'node:child_process'
import { availableParallelism, totalmem } from 'node:os'
import { resolve } from 'node:path'
import test from 'ava'
import type { OpenOptions } from '#ts/index.js'
import { resolveOptions } from '#ts/options.js'
import { openFor } from './helpers/home.js'

const MiB = 1024 * 1024

test('defaults are those of the documentation', (t) => {
  const options = resolveOptions(undefined)
  t.is(options.durability, 'sync')
  t.is(options.lockTimeoutMs, 0)
  t.is(options.memtableBytes, 64 * MiB)
  t.is(options.walBytesMax, 512 * MiB)
  t.is(options.blockCacheBytes, 256 * MiB)
  t.false(options.memoryMap)
  t.is(options.compression, 'lz4')
  t.is(options.compaction, 'size-tiered')
  t.is(options.compactionRateMax, 0)
  t.is(options.threads, availableParallelism())
  t.true(options.memoryBudget > 0 && options.memoryBudget <= totalmem() / 2)
  t.is(options.refreshMs, 1000)
  t.false(options.readOnly)
  t.true(Object.isFrozen(options))
})

test('the memory budget is bytes or a share', (t) => {
  t.is(resolveOptions({ memoryBudget: 8 * MiB }).memoryBudget, 8 * MiB)
  const quarter = resolveOptions({ memoryBudget: '25%' }).memoryBudget
  const half = resolveOptions({ memoryBudget: '50%' }).memoryBudget
  t.true(Math.abs(half - 2 * quarter) <= 2)
})

test('options of later versions are accepted at their defaults', (t) => {
  t.notThrows(() =>
    resolveOptions({
      cacheDir: undefined,
      encryption: undefined,
    }),
  )
})

test('a log directory becomes absolute at once', (t) => {
  t.is(resolveOptions({ walDir: 'logs' }).walDir, resolve('logs'))
})

const MiBs: readonly (readonly [OpenOptions, number])[] = [
  [{}, 64],
  [{ memtableBytes: 3 * MiB }, 3],
  [{ walBytesMax: 8 * MiB }, 2],
  [{ memoryBudget: 4 * MiB }, 1],
  [{ memtableBytes: 3 * MiB, walBytesMax: 8 * MiB, memoryBudget: 64 * MiB }, 2],
]

for (const [options, expected] of MiBs) {
  test(`with ${JSON.stringify(options)} a memtable is flushed at ${expected} MiB`, async (t) => {
    const db = await openFor(t, ':memory:', { memoryBudget: 1024 * MiB, ...options })
    const docs = await db.collection('docs', { vectors: { dim: 2, metric: 'l2' } })
    t.is((await docs.stats()).memtableBytesMax, expected * MiB)
  })
}

// Threads are counted by their names in /proc, which is Linux's.
const linux = process.platform === 'linux' ? test : test.skip

for (const threads of [1, 3]) {
  linux(`the first open decides that the process has a pool of ${threads}`, (t) => {
    const program = `
      const { readdirSync, readFileSync } = await import('node:fs')
      const { open } = await import(process.argv[1])
      const db = await open(':memory:', { threads: ${threads} })
      const later = await open(':memory:', { threads: 5 })
      const docs = await later.collection('docs', { key: 'u64', vectors: { dim: 64, metric: 'l2' } })
      const rows = 100_000
      await docs.upsert({ keys: BigUint64Array.from({ length: rows }, (_, at) => BigInt(at)), vectors: new Float32Array(rows * 64) })
      await Promise.all(Array.from({ length: 50 }, () => docs.search({ vector: new Float32Array(64), exact: true })))
      const names = () => readdirSync('/proc/self/task').map((id) => readFileSync('/proc/self/task/' + id + '/comm', 'utf8'))
      const found = () => names().filter((name) => name.startsWith('cairn-search')).length
      // A thread gives itself its name when it first runs, which on a busy machine may be later than now.
      for (let turns = 0; found() < ${threads} && turns < 500; turns++) await new Promise((resolve) => setTimeout(resolve, 10))
      console.log(found())`
    const entry = new URL('../index.js', import.meta.url).href
    const child = spawnSync(process.execPath, ['--input-type=module', '-e', program, entry], {
      encoding: 'utf8',
    })
    t.is(child.stdout, `${threads}\n`, child.stderr)
  })
}

test('what somebody put on Object.prototype is no option', (t) => {
  const prototype = Object.prototype as unknown as Record<string, unknown>
  prototype['durability'] = 'memory'
  try {
    t.is(resolveOptions({}).durability, 'sync')
  } finally {
    delete prototype['durability']
  }
})
