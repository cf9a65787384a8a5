// Every block of docs/disaster-recovery.md, run after the disaster that it is for.
import { spawnSync } from 'node:child_process'
import { createWriteStream, readFileSync } from 'node:fs'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import * as cairndb from '#ts/index.js'
import { fails } from './helpers/expect.js'
import { temporaryDirectory } from './helpers/home.js'

const { open, restore, verifyBackup } = cairndb
type Database = cairndb.Database

const schema = { vectors: { dim: 2, metric: 'l2' } } as const

interface Block {
  readonly chapter: string
  readonly language: string
  readonly code: string
}

/** The blocks of the document, by chapter. */
function blocks(): Block[] {
  const path = fileURLToPath(new URL('../../docs/disaster-recovery.md', import.meta.url))
  const found: Block[] = []
  for (const chapter of readFileSync(path, 'utf8').split(/^## /m).slice(1)) {
    for (const [, language, code] of chapter.matchAll(/^```(\w+)\n(.*?)^```$/gms)) {
      found.push({
        chapter: chapter.split('\n', 1)[0] ?? '',
        language: language ?? '',
        code: code ?? '',
      })
    }
  }
  return found
}

const done = new Set<Block>()
const all = blocks()

/** Runs the blocks of a chapter in `home`; what the first one of JavaScript has at its end. */
async function follow(home: string, chapter: string, given: object = {}): Promise<Scope> {
  const mine = all.filter((block) => block.chapter === chapter)
  let scope: Scope = {}
  for (const block of mine) {
    done.add(block)
    if (block.language === 'sh') {
      const { status, stderr } = spawnSync('sh', ['-ec', block.code], { cwd: home })
      if (status !== 0) throw new Error(String(stderr))
    } else {
      scope = await run(home, block.code, given)
    }
  }
  return scope
}

interface Scope {
  readonly db?: Database
  readonly schedule?: cairndb.BackupSchedule
}

async function run(home: string, code: string, given: object): Promise<Scope> {
  const body = code
    .replaceAll(/^import (.*) from 'cairndb'$/gm, 'const $1 = cairndb')
    .replaceAll(/'\.\/([\w.-]+)'/g, (_, name: string) => JSON.stringify(join(home, name)))
  const scope = ['db', 'schedule'].map(
    (name) => `${name}: typeof ${name} === 'undefined' ? undefined : ${name}`,
  )
  const names = ['cairndb', 'console', ...Object.keys(given)]
  const made = `return async (${names.join(', ')}) => { ${body}\nreturn { ${scope.join(', ')} } }`
  const quiet = { log: () => {}, error: () => {} }
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- the document is the test
  const block = new Function(made)() as (...given: unknown[]) => Promise<Scope>
  return block(cairndb, quiet, ...Object.values(given))
}

async function fill(db: Database, from: number, to: number): Promise<void> {
  const docs = await db.collection('docs', schema)
  const rows = Array.from({ length: to - from }, (_, n) => ({
    key: `k${from + n}`,
    vector: [from + n, 1],
    fields: { n: from + n },
  }))
  await docs.upsert(rows)
}

async function contents(db: Database): Promise<unknown[]> {
  const docs = await db.openCollection('docs')
  const found: unknown[] = []
  for await (const { key, fields, vectors } of docs.scan({ vectors: true })) {
    const numbers = Object.values(vectors ?? {}).map((it) => Array.from(it as Float32Array))
    found.push([key, fields, numbers])
  }
  return found
}

/** A database with backups as the document wants them, closed; and what it had. */
async function prepared(t: ExecutionContext) {
  const home = temporaryDirectory(t)
  const path = (name: string) => join(home, name)
  {
    await using db = await open(path('data'))
    await fill(db, 0, 400)
  }
  const { db, schedule } = await follow(home, 'Before')
  t.is(schedule?.lastError, null)
  const was = await contents(db as Database)
  await db?.close()
  const found = async () => {
    await using restored = await open(path('data'))
    return await contents(restored)
  }
  return { home, path, was, found }
}

async function after(t: ExecutionContext, home: string): Promise<void> {
  const { db } = await follow(home, 'After')
  await db?.close()
  t.is((await verifyBackup(join(home, 'backups-of-restored'))).backups, 1)
}

async function oneFile(directory: string, end: string): Promise<string> {
  const names = await readdir(directory, { recursive: true })
  const name = names.toSorted().find((it) => it.endsWith(end))
  if (name === undefined) throw new Error(`no ${end}`)
  return join(directory, name)
}

/** Turns a byte in the middle of a file around. */
async function rot(path: string): Promise<void> {
  const bytes = await readFile(path)
  const at = bytes.length >> 1
  bytes[at] = (bytes[at] ?? 0) ^ 0x55
  await writeFile(path, bytes)
}

const lost = 'The disk died, or the directory is gone'

test('a directory that is gone comes back from the newest backup', async (t) => {
  const { home, path, was, found } = await prepared(t)
  await rm(path('data'), { recursive: true })
  await follow(home, lost)
  t.deepEqual(await found(), was)
  await after(t, home)
})

test('and from an older one when the newest is damaged', async (t) => {
  const { home, path, was, found } = await prepared(t)
  {
    await using db = await open(path('data'))
    await fill(db, 400, 500)
    const { id } = await db.backup(path('backups'))
    await rot(await oneFile(path('backups'), `${id}.bak`))
  }
  await rm(path('data'), { recursive: true })
  await follow(home, lost)
  t.deepEqual(await found(), was)
})

test('a database with a damaged file is replaced', async (t) => {
  const { home, path, was, found } = await prepared(t)
  await rot(await oneFile(path('data'), '.seg'))
  {
    await using db = await open(path('data'))
    await fails(t, () => db.openCollection('docs'), 'ERR_CORRUPT')
  }
  await follow(home, 'A file is damaged')
  t.deepEqual(await found(), was)
  await after(t, home)
})

test('what was deleted by mistake is copied back, and what came later stays', async (t) => {
  const { home, path } = await prepared(t)
  const lastGood = new Date()
  {
    await using db = await open(path('data'))
    const docs = await db.openCollection('docs')
    await docs.delete(Array.from({ length: 300 }, (_, n) => `k${n}`))
    await fill(db, 400, 410)
    await db.backup(path('backups'))
    t.is(await docs.count(), 110)
  }
  const chapter = 'Something was deleted or overwritten by mistake'
  const { db } = await follow(home, chapter, { lastGood })
  const rows = await contents(db as Database)
  await db?.close()
  const expected = Array.from({ length: 410 }, (_, n) => [`k${n}`, { n }, [[n, 1]]])
  t.deepEqual(rows.toSorted(byKey), expected.toSorted(byKey))
})

function byKey(a: unknown, b: unknown): number {
  const [one, other] = [(a as [string])[0], (b as [string])[0]]
  return one < other ? -1 : 1
}

test('an archive comes back', async (t) => {
  const { home, path, was, found } = await prepared(t)
  {
    await using db = await open(path('data'))
    await db.archive(createWriteStream(path('docs.tar.gz')), { compress: 'gzip' })
  }
  await rm(path('data'), { recursive: true })
  await follow(home, 'An archive instead of backups')
  t.deepEqual(await found(), was)
  await after(t, home)
})

test('a restore that was killed does not open, and can be run again', async (t) => {
  const { home, path, was, found } = await prepared(t)
  await rm(path('data'), { recursive: true })
  await restore(path('backups'), path('data'))
  // As a kill would have left it: begun, and without what comes last.
  await rm(path('data/CURRENT'))
  await writeFile(path('data/RESTORING'), '')
  await fails(t, () => open(path('data')), 'ERR_CORRUPT')
  await follow(home, lost)
  t.deepEqual(await found(), was)
})

test.after('every block was run', (t) => {
  t.true(all.length >= 7)
  t.deepEqual(
    all.filter((block) => !done.has(block)).map(({ chapter, code }) => [chapter, code]),
    [],
  )
})
