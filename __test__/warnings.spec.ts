import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as delay } from 'node:timers/promises'
import test from 'ava'
import { open, type CairnWarning } from '#ts/index.js'
import {
  SpaceWatch,
  SyncWatch,
  headroomOf,
  slowSyncMs,
  warnAbout,
  type Ground,
} from '#ts/warnings.js'
import { temporaryDirectory } from './helpers/home.js'

// Windows has no modes to warn about.
const unix = process.platform === 'win32' ? test.skip : test

/** A directory that nothing is wrong with: 700, on ext4, with room. */
const fine: Ground = {
  stat: async () => ({ mode: 0o40_700 }),
  statfs: async () => ({ type: 0xef53, bavail: 1024 * 1024, bsize: 4096 }),
}

async function warningsOn(ground: Partial<Ground>): Promise<CairnWarning[]> {
  const warnings: CairnWarning[] = []
  await warnAbout('/data', (warning) => warnings.push(warning), { ...fine, ...ground })
  return warnings
}

const codes = (warnings: readonly CairnWarning[]): string[] => warnings.map(({ code }) => code)

unix('a directory that others may write to is warned about', async (t) => {
  const directory = join(temporaryDirectory(t), 'data')
  mkdirSync(directory)
  chmodSync(directory, 0o777)
  const warnings: CairnWarning[] = []
  const db = await open(directory, { onWarning: (warning) => warnings.push(warning) })
  for (let round = 0; round < 100 && warnings.length === 0; round += 1) await delay(20)
  await db.close()
  t.deepEqual(codes(warnings), ['WARN_PERMISSIONS'])
  t.is(warnings[0]?.details['mode'], '777')
})

unix('a directory that the database made is not', async (t) => {
  const warnings: CairnWarning[] = []
  const db = await open(join(temporaryDirectory(t), 'data'), {
    onWarning: (warning) => warnings.push(warning),
  })
  await delay(50)
  await db.close()
  t.deepEqual(warnings, [])
})

unix('any permission of the group or of others is warned about', async (t) => {
  for (const bits of [0o777, 0o755, 0o750, 0o740, 0o720, 0o710, 0o704, 0o702, 0o701]) {
    const [warning, ...others] = await warningsOn({ stat: async () => ({ mode: 0o40_000 | bits }) })
    t.is(warning?.code, 'WARN_PERMISSIONS')
    t.deepEqual(warning?.details, { directory: '/data', mode: bits.toString(8) })
    t.deepEqual(others, [])
  }
  t.deepEqual(await warningsOn({ stat: async () => ({ mode: 0o40_700 }) }), [])
})

test('a network file system is warned about by name', async (t) => {
  for (const [type, name] of [
    [0x6969, 'nfs'],
    [0xff534d42, 'cifs'],
    [0xff534d42 | 0, 'cifs'],
    [0x01021997, '9p'],
  ] as const) {
    const warnings = await warningsOn({
      statfs: async () => ({ type, bavail: 1024 * 1024, bsize: 4096 }),
    })
    t.deepEqual(codes(warnings), ['WARN_NETWORK_FILE_SYSTEM'])
    t.deepEqual(warnings[0]?.details, { directory: '/data', fileSystem: name })
  }
})

const MiB = 1024 * 1024

test('the headroom is four memtables and the log, and at least 64 MiB', (t) => {
  t.is(headroomOf({ memtableBytes: 64 * MiB, walBytesMax: 512 * MiB }), 768 * MiB)
  t.is(headroomOf({ memtableBytes: MiB, walBytesMax: MiB }), 64 * MiB)
  t.is(headroomOf({ memtableBytes: 16 * MiB, walBytesMax: MiB }), 65 * MiB)
})

/** A watch over a disk that has what it is told. */
function watchOf(bytes: { free: number }) {
  const warnings: CairnWarning[] = []
  const statfs: Ground['statfs'] = async () => ({
    type: 0xef53,
    bavail: bytes.free / 4096,
    bsize: 4096,
  })
  const warn = (warning: CairnWarning) => warnings.push(warning)
  return { warnings, watch: new SpaceWatch('/data', 100 * MiB, warn, { statfs }) }
}

test('little free space is warned about, with what there is', async (t) => {
  const { warnings, watch } = watchOf({ free: 99 * MiB })
  await watch.look()
  t.deepEqual(codes(warnings), ['WARN_FREE_SPACE'])
  t.deepEqual(warnings[0]?.details, {
    directory: '/data',
    free: 99 * MiB,
    headroom: 100 * MiB,
  })
})

test('little free space is warned about once, until there was more', async (t) => {
  const disk = { free: 100 * MiB }
  const { warnings, watch } = watchOf(disk)
  await watch.look()
  t.deepEqual(warnings, [])
  for (const [free, expected] of [
    [99, 1],
    [50, 1],
    [0, 1],
    [200, 1],
    [99, 2],
    [99, 2],
  ] as const) {
    disk.free = free * MiB
    await watch.look()
    t.is(warnings.length, expected, `${free} MiB`)
  }
})

/** A watch over logs whose longest sync since the last look took as long as it is told. */
function syncWatchOf(times: { longest: number; now: number }) {
  const warnings: CairnWarning[] = []
  const take = () => times.longest
  const watch = new SyncWatch(
    '/data',
    (each) => warnings.push(each),
    take,
    () => times.now,
  )
  return { warnings, watch }
}

test('a slow sync is warned about, with how long it took', async (t) => {
  const { warnings, watch } = syncWatchOf({ longest: slowSyncMs + 1, now: 0 })
  await watch.look()
  t.deepEqual(codes(warnings), ['WARN_SLOW_SYNC'])
  t.deepEqual(warnings[0]?.details, { directory: '/data', elapsedMs: 1001, slowMs: 1000 })
})

test('slow syncs are warned about once a minute at most', async (t) => {
  const times = { longest: 0, now: 0 }
  const { warnings, watch } = syncWatchOf(times)
  for (const [now, longest, expected] of [
    [0, slowSyncMs, 0],
    [5_000, 3_000, 1],
    [10_000, 30_000, 1],
    [64_999, 30_000, 1],
    [65_000, 500, 1],
    [70_000, 2_000, 2],
    [75_000, 2_000, 2],
  ] as const) {
    Object.assign(times, { now, longest })
    await watch.look()
    t.is(warnings.length, expected, `${now} ms`)
  }
})

test('free space is watched until the watch is stopped', async (t) => {
  const disk = { free: 0 }
  const { warnings, watch } = watchOf(disk)
  watch.start(5)
  for (let round = 0; round < 400 && warnings.length < 3; round += 1) {
    disk.free = warnings.length % 2 === round % 2 ? 0 : 200 * MiB
    await delay(10)
  }
  watch.stop()
  t.true(warnings.length >= 3)
  const { length } = warnings
  disk.free = 200 * MiB
  await watch.look()
  disk.free = 0
  await delay(50)
  t.is(warnings.length, length)
})

test('a listener of free space that throws or rejects fails nothing', async (t) => {
  const statfs: Ground['statfs'] = async () => ({ type: 0xef53, bavail: 0, bsize: 4096 })
  const ways: (() => void)[] = [
    () => {
      throw new Error('mine')
    },
    () => Promise.reject(new Error('mine')) as unknown as undefined,
  ]
  for (const way of ways) {
    await t.notThrowsAsync(new SpaceWatch('/data', MiB, way, { statfs }).look())
  }
  const gone = (): never => {
    throw new Error('no')
  }
  await t.notThrowsAsync(new SpaceWatch('/data', MiB, gone, { statfs: async () => gone() }).look())
})

test('a directory that cannot be looked at is warned about by nobody', async (t) => {
  const refuse = async (): Promise<never> => {
    throw new Error('no')
  }
  t.deepEqual(await warningsOn({ stat: refuse, statfs: refuse }), [])
})

test('a listener that throws or rejects misses no other warning, and nobody waits for it', async (t) => {
  const ground: Ground = {
    stat: async () => ({ mode: 0o40_777 }),
    statfs: async () => ({ type: 0x6969, bavail: 0, bsize: 4096 }),
  }
  const ways: (() => unknown)[] = [
    () => {
      throw new Error('mine')
    },
    () => Promise.reject(new Error('mine')),
    () => new Promise(() => undefined),
  ]
  for (const way of ways) {
    const seen: CairnWarning[] = []
    await warnAbout(
      '/data',
      (warning) => {
        seen.push(warning)
        return way()
      },
      ground,
    )
    t.is(seen.length, process.platform === 'win32' ? 1 : 2)
  }
})

for (const how of ["throw new Error('mine')", "return Promise.reject(new Error('mine'))"]) {
  unix(`a process survives a listener that does: ${how}`, (t) => {
    const directory = join(temporaryDirectory(t), 'data')
    mkdirSync(directory)
    chmodSync(directory, 0o777)
    const program = `
      const { open } = await import(process.argv[1])
      const { promise, resolve } = (() => { let resolve; return { promise: new Promise((f) => { resolve = f }), resolve } })()
      const db = await open(process.argv[2], { onWarning() { resolve(); ${how} } })
      await promise
      await new Promise((turn) => setTimeout(turn, 50))
      await db.close()
      console.log('alive')`
    const entry = new URL('../index.js', import.meta.url).href
    const child = spawnSync(
      process.execPath,
      ['--input-type=module', '-e', program, entry, directory],
      { encoding: 'utf8' },
    )
    t.deepEqual([child.status, child.stdout], [0, 'alive\n'], child.stderr)
  })
}
