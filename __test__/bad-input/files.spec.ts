// Places that are none, and odd things where files of a database belong. Nothing is made, and nothing that a
// link leads to is touched; a pipe is not waited for.
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, dirname, extname, join } from 'node:path'
import process from 'node:process'
import type { ExecutionContext } from 'ava'
import { CairnError, open, type ErrorCode, type OpenOptions } from '#ts/index.js'
import { aroundAll, row } from '../helpers/bad-input.js'
import { everyFileOf } from '../helpers/directory.js'
import { fails, outcome } from '../helpers/expect.js'
import { temporaryDirectory } from '../helpers/home.js'

const isUnix = process.platform !== 'win32'
/** Rows that only some systems can have. */
const unixRow: typeof row = isUnix ? row : () => undefined

const schema = { vectors: { dim: 2, metric: 'l2' } } as const
const key = new Uint8Array(32).fill(7)

/** Puts something at a path where nothing is; `aside` is a directory for what it needs. */
type Put = (t: ExecutionContext, path: string, aside: string) => Promise<void> | void

const run = (t: ExecutionContext, program: string, ...args: string[]): void => {
  t.is(spawnSync(program, args).status, 0, `${program} ${args.join(' ')}`)
}
const pipe: Put = (t, path) => run(t, 'mkfifo', path)
const socket: Put = async (t, path, aside) => {
  // Paths of sockets are short.
  const made = join(aside, 's')
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(made, resolve))
  renameSync(made, path)
  t.teardown(() => new Promise<void>((resolve) => void server.close(() => resolve())))
}
const link: Put = (_, path, aside) => {
  writeFileSync(join(aside, 'target'), 'not yours')
  symlinkSync(join(aside, 'target'), path)
}
const linkToDirectory: Put = (_, path, aside) => {
  mkdirSync(join(aside, 'elsewhere'))
  symlinkSync(join(aside, 'elsewhere'), path)
}
const dangling: Put = (_, path, aside) => symlinkSync(join(aside, 'nothing'), path)
const circle: Put = (_, path) => symlinkSync(path, path)
const twoLinks: Put = (_, path, aside) => {
  symlinkSync(join(aside, 'other'), path)
  symlinkSync(path, join(aside, 'other'))
}
const device: Put = (_, path) => symlinkSync('/dev/zero', path)
const directory: Put = (_, path) => mkdirSync(path)
const file: Put = (_, path) => writeFileSync(path, 'text')
const nothing: Put = () => undefined

const targets: readonly (readonly [string, Put])[] = [
  ['a file', file],
  ['an empty file', (_, path) => writeFileSync(path, '')],
  ['a pipe', pipe],
  ['a socket', socket],
  ['a link to a file', link],
  ['a link to a directory', linkToDirectory],
  ['a link to nothing', dangling],
  ['a link to itself', circle],
  ['two links to each other', twoLinks],
  ['a link to a device', device],
]
const modes: readonly (readonly [string, OpenOptions])[] = [
  ['to write', {}],
  ['to read', { mode: 'ro', refreshMs: 0 }],
  ['with a key', { encryption: { key } }],
]
const ground: ReadonlySet<ErrorCode> = new Set([
  'ERR_INVALID_ARGUMENT',
  'ERR_IO',
  'ERR_NOT_FOUND',
  'ERR_CORRUPT',
])

async function isRefused(t: ExecutionContext, target: string, options?: OpenOptions) {
  const error = await outcome(() => open(target, options))
  t.true(error instanceof CairnError, String(error))
  if (error instanceof CairnError) {
    t.true(ground.has(error.code), error.message)
    t.true(error.message.includes(basename(target)) || error.message.includes(dirname(target)))
  }
}

for (const [title, put] of targets) {
  for (const [how, options] of modes) {
    unixRow(`a target that is ${title}, ${how}`, async (t) => {
      const aside = temporaryDirectory(t)
      const target = join(aside, 'data')
      await put(t, target, aside)
      const before = everyFileOf(aside)
      await isRefused(t, target, options)
      await isRefused(t, join(target, 'below'), options)
      t.deepEqual(everyFileOf(aside), before)
    })
    unixRow(`a log directory that is ${title}, ${how}`, async (t) => {
      const aside = temporaryDirectory(t)
      const walDir = join(aside, 'logs')
      await put(t, walDir, aside)
      const before = everyFileOf(aside)
      const data = temporaryDirectory(t)
      // A reader is told by the database where its logs are.
      const { mode: _, ...rest } = options
      const error = await outcome(() => open(join(data, 'db'), { ...rest, walDir }))
      if (title === 'a link to a directory') {
        if (!(error instanceof Error)) t.pass('links above a file are followed')
      }
      t.true(error instanceof CairnError, String(error))
      if (error instanceof CairnError) t.true(ground.has(error.code), error.message)
      t.deepEqual(everyFileOf(aside), before)
    })
  }
}

for (const [how, options] of modes) {
  for (const [title, name] of [
    ['a name of 256 bytes', 'x'.repeat(256)],
    ['a name of 128 characters of two bytes', '\u00e9'.repeat(128)],
    ['a path of 5,000 characters', 'x'.repeat(5000)],
    ['a path of 3,000 directories', 'x/'.repeat(3000)],
  ] as const) {
    row(`${title}, ${how}`, async (t) => {
      const aside = temporaryDirectory(t)
      const error = await outcome(() => open(join(aside, name), options))
      t.true(error instanceof CairnError, String(error))
      if (error instanceof CairnError) {
        t.true(['ERR_IO', 'ERR_NOT_FOUND'].includes(error.code), error.message)
      }
      t.deepEqual(everyFileOf(aside), {})
    })
  }
  if (process.platform === 'linux') {
    for (const place of [
      '/proc/cairn',
      '/sys/cairn',
      '/dev/null',
      '/dev/null/cairn',
      '/proc/1/mem',
    ])
      row(`${place}, ${how}`, async (t) => isRefused(t, place, options))
  }
}

/** A database of every kind of file, in clear and encrypted. */
const images = new Map<string, string>()
let removeAll = (): void => undefined

aroundAll(
  async () => {
    const home = mkdtempSync(join(tmpdir(), 'cairn-files-'))
    removeAll = () => rmSync(home, { recursive: true, force: true })
    for (const kind of ['clear', 'encrypted']) {
      const target = join(home, kind)
      const db = await open(target, kind === 'clear' ? {} : { encryption: { key } })
      const docs = await db.collection('docs', schema)
      const rows = Array.from({ length: 40 }, (_, at) => ({ key: `k${at}`, vector: [at, 1] }))
      await docs.upsert(rows, { idempotencyKey: 'once' })
      await docs.compact()
      await docs.delete('k3')
      await db.commit()
      await docs.upsert({ key: 'last', vector: [1, 1] })
      await db.close()
      images.set(kind, target)
    }
  },
  () => removeAll(),
)

const collection = 'collections/0000000000000001'
/** Where files of each kind are; the newest of a directory. */
const kinds: readonly (readonly [string, string, only?: 'encrypted' | 'write'])[] = [
  ['the lock', 'LOCK', 'write'],
  ['the pointer', 'CURRENT'],
  ['the catalog', 'catalog/*.cat'],
  ['the pointer of a collection', `${collection}/CURRENT`],
  ['the manifest', `${collection}/manifest/*.man`],
  ['the log', `${collection}/wal/*.wal`],
  ['the segment', `${collection}/seg/*.seg`],
  ['the outcomes', `${collection}/idem/*.idm`, 'write'],
  ['the pointer of the keys', 'keys/CURRENT', 'encrypted'],
  ['the keys', 'keys/set/*.key', 'encrypted'],
]
const oddities: readonly (readonly [string, Put])[] = [
  ['a pipe', pipe],
  ['a socket', socket],
  ['a link to a file', link],
  ['a link to nothing', dangling],
  ['a link to itself', circle],
  ['a link to a device', device],
  ['a directory', directory],
  ['nothing', nothing],
  ['an empty file', (_, path) => writeFileSync(path, '')],
  ['a text', file],
  ['a sparse gigabyte', (_, path) => (writeFileSync(path, ''), truncateSync(path, 2 ** 30))],
]

function newest(home: string, pattern: string): string {
  if (!pattern.includes('*')) return join(home, pattern)
  const folder = dirname(pattern)
  const names = Object.keys(everyFileOf(join(home, folder)))
  const name = names.findLast((each) => extname(each) === extname(pattern))
  return join(home, folder, name ?? 'none')
}

for (const [what, pattern, only] of kinds) {
  for (const [title, put] of oddities) {
    for (const mode of only === 'write' ? (['rw'] as const) : (['rw', 'ro'] as const)) {
      // A lock is made where there is none, and what stands in it is nobody's business.
      if (what === 'the lock' && !/pipe|socket|link|directory/.test(title)) continue
      // The newest log leaves no trace elsewhere: one that was never begun looks the same.
      if (what === 'the log' && title === 'nothing') continue
      // A database without a pointer is not there, for one who only reads.
      const gone = title === 'nothing' && mode === 'ro' && what === 'the pointer'
      unixRow(`${title} in place of ${what}, ${mode}`, async (t) => {
        const kind = only === 'encrypted' ? only : 'clear'
        const aside = temporaryDirectory(t)
        const home = join(aside, 'data')
        cpSync(images.get(kind) ?? '', home, { recursive: true })
        const path = newest(home, pattern)
        rmSync(path)
        await put(t, path, aside)
        const before = { ...everyFileOf(aside) }
        const options: OpenOptions = {
          mode,
          refreshMs: 0,
          onWarning: () => undefined,
          ...(kind === 'encrypted' ? { encryption: { key } } : {}),
        }
        const error = await fails(
          t,
          async () => {
            const db = await open(home, options)
            t.teardown(() => db.close())
            try {
              const docs = await db.openCollection('docs')
              await docs.scan().next()
            } finally {
              await db.close()
            }
          },
          gone ? 'ERR_NOT_FOUND' : 'ERR_CORRUPT',
        )
        const { file: named } = error?.details ?? {}
        if (!gone) {
          const near = title === 'nothing' ? dirname(path) : path
          t.true(String(named).startsWith(near), `${error?.message} names ${String(named)}`)
        }
        t.deepEqual(everyFileOf(aside), before)
      })
    }
  }
}

const isRoot = process.getuid?.() === 0
/** Opens as somebody without rights. The addon is loaded before they go. */
const stranger = `
  const { open, simdLevel } = await import(process.argv[1])
  simdLevel()
  if (process.getuid() === 0) {
    process.setgroups([])
    process.setgid(65534)
    process.setuid(65534)
  }
  const settled = await open(process.argv[2], { mode: process.argv[3], refreshMs: 0 })
    .then(async (db) => (await db.openCollection('docs')).count())
    .then((count) => ({ count }), ({ code, details }) => ({ code, file: details.file }))
  console.log(JSON.stringify(settled))
  process.exit(0)`

for (const [what, pattern, only] of kinds) {
  // What an owner may not read, root may.
  if (!isRoot || only === 'encrypted') continue
  for (const mode of only === 'write' ? (['rw'] as const) : (['rw', 'ro'] as const)) {
    unixRow(`${what} may not be read, ${mode}`, (t) => {
      const aside = temporaryDirectory(t)
      const home = join(aside, 'data')
      cpSync(images.get('clear') ?? '', home, { recursive: true })
      run(t, 'chmod', '-R', 'a+rwX', aside)
      const path = newest(home, pattern)
      chmodSync(path, 0o000)
      const before = everyFileOf(aside)
      const entry = new URL('../../index.js', import.meta.url).href
      const args = ['--input-type=module', '-e', stranger, entry, home, mode]
      const child = spawnSync(process.execPath, args, { encoding: 'utf8' })
      t.is(child.status, 0, child.stderr)
      const { code, file: named } = JSON.parse(child.stdout) as Record<string, string>
      t.is(code, 'ERR_IO', child.stdout)
      t.is(named, path)
      // The stranger's lock file is made by whoever may.
      const after = { ...everyFileOf(aside) }
      delete after['data/LOCK.holder']
      t.deepEqual(after, before)
      return Promise.resolve()
    })
  }
}
