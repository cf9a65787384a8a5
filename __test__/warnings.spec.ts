import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as delay } from 'node:timers/promises'
import test from 'ava'
import { open, type CairnWarning } from '#ts/index.js'
import { warnAbout, type Ground } from '#ts/warnings.js'
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

test('little free space is warned about, with what there is', async (t) => {
  const MiB = 1024 * 1024
  const withFree = (free: number): Promise<CairnWarning[]> =>
    warningsOn({ statfs: async () => ({ type: 0xef53, bavail: free / 4096, bsize: 4096 }) })
  const [warning, ...others] = await withFree(255 * MiB)
  t.is(warning?.code, 'WARN_FREE_SPACE')
  t.deepEqual(warning?.details, { directory: '/data', free: 255 * MiB })
  t.deepEqual(others, [])
  t.deepEqual(await withFree(256 * MiB), [])
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
    t.is(seen.length, process.platform === 'win32' ? 2 : 3)
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
