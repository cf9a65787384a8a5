import { availableParallelism, totalmem } from 'node:os'
import { resolve } from 'node:path'
import test from 'ava'
import { resolveOptions } from '#ts/options.js'

const MiB = 1024 * 1024

test('defaults are those of the documentation', (t) => {
  const options = resolveOptions(undefined)
  t.is(options.durability, 'sync')
  t.is(options.lockTimeoutMs, 0)
  t.is(options.memtableBytes, 64 * MiB)
  t.is(options.walBytesMax, 512 * MiB)
  t.is(options.threads, availableParallelism())
  t.true(options.memoryBudget > 0 && options.memoryBudget <= totalmem() / 2)
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
      mode: 'rw',
      retainVersions: 1,
      retainMs: 0,
      refreshMs: 1000,
      blockCacheBytes: 256 * MiB,
      cacheDir: undefined,
      encryption: undefined,
    }),
  )
})

test('a log directory becomes absolute at once', (t) => {
  t.is(resolveOptions({ walDir: 'logs' }).walDir, resolve('logs'))
})

test('what somebody put on Object.prototype is no option', (t) => {
  const prototype = Object.prototype as unknown as Record<string, unknown>
  prototype['durability'] = 'memory'
  try {
    t.is(resolveOptions({}).durability, 'sync')
  } finally {
    delete prototype['durability']
  }
})
