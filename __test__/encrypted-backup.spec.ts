// Backups and archives of an encrypted database: nothing to read in them, and the key of their time.
import { randomBytes } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import {
  listBackups,
  open,
  pruneBackups,
  restore,
  verifyBackup,
  type Database,
  type KeyProvider,
  type OpenOptions,
} from '#ts/index.js'
import { fails } from './helpers/expect.js'
import { openFor, temporaryDirectory } from './helpers/home.js'

const schema = { vectors: { dim: 4, metric: 'cosine' }, fields: { secretfield: 'text' } } as const
const marks = ['secretcollection', 'secretkey', 'secretfield', 'a secret value']

async function fill(db: Database, from: number, to: number): Promise<void> {
  const docs = await db.collection('secretcollection', schema)
  const rows = Array.from({ length: to - from }, (_, n) => ({
    key: `secretkey${from + n}`,
    vector: [from + n, 1, 2, 3],
    fields: { secretfield: `a secret value ${from + n}` },
  }))
  await docs.upsert(rows)
}

async function count(directory: string, encryption: OpenOptions['encryption']): Promise<number> {
  await using db = await open(directory, { encryption })
  const docs = await db.openCollection('secretcollection')
  return docs.count()
}

async function readable(path: string): Promise<string[]> {
  if (!(await stat(path)).isDirectory()) {
    const bytes = await readFile(path)
    return marks.filter((mark) => bytes.includes(mark))
  }
  const found = await Promise.all((await readdir(path)).map((name) => readable(join(path, name))))
  return [...new Set(found.flat())]
}

/** A database with two backups and two archives, its key changed in between. */
async function made(t: ExecutionContext) {
  const home = temporaryDirectory(t)
  const [first, second] = [randomBytes(32), randomBytes(32)]
  const path = (name: string) => join(home, name)
  const db = await openFor(t, path('db'), { encryption: { keyId: 'first', key: first } })
  await fill(db, 0, 100)
  await db.backup(path('backups'))
  await db.archive(createWriteStream(path('first.tar')), { compress: 'gzip' })
  await db.rotateKey({ keyId: 'second', key: second })
  await fill(db, 100, 150)
  await db.backup(path('backups'))
  await db.archive(createWriteStream(path('second.tar')))
  return { db, path, first, second }
}

test('a backup of an encrypted database opens with the key of its time and with no other', async (t) => {
  const { path, first, second } = await made(t)
  t.deepEqual(await readable(path('backups')), [])
  const cases = [
    { id: 1, keyId: 'first', key: first, wrong: second, rows: 100 },
    { id: 2, keyId: 'second', key: second, wrong: first, rows: 150 },
  ]
  for (const { id, keyId, key, wrong, rows } of cases) {
    const into = path(`restored-${id}`)
    const refused = (options: object) =>
      fails(t, () => restore(path('backups'), into, { id, ...options }), 'ERR_INVALID_ARGUMENT', {
        keyId,
      })
    await refused({})
    await refused({ encryption: { key: wrong } })
    await t.throwsAsync(() => stat(into), { code: 'ENOENT' })
    await restore(path('backups'), into, { id, encryption: { key } })
    t.deepEqual(await readable(into), [])
    t.is(await count(into, { key }), rows)
  }
})

test('an archive of an encrypted database opens with the key of its time and with no other', async (t) => {
  const { path, first, second } = await made(t)
  t.deepEqual(await readable(path('second.tar')), [])
  for (const [name, key, wrong, rows] of [
    ['first', first, second, 100],
    ['second', second, first, 150],
  ] as const) {
    const into = path(`unpacked-${name}`)
    const source = () => createReadStream(path(`${name}.tar`))
    await fails(t, () => restore(source(), into), 'ERR_INVALID_ARGUMENT', { keyId: name })
    const other = { encryption: { key: wrong } }
    await fails(t, () => restore(source(), into, other), 'ERR_INVALID_ARGUMENT', { keyId: name })
    await t.throwsAsync(() => stat(into), { code: 'ENOENT' })
    await restore(source(), into, { encryption: { key } })
    t.is(await count(into, { key }), rows)
  }
})

test('a key provider is asked for the keys of backups and archives', async (t) => {
  const { path, first, second } = await made(t)
  const keys = new Map<string, Uint8Array>([
    ['first', first],
    ['second', second],
  ])
  const provider: KeyProvider = {
    current: () => ({ id: 'second', key: second }),
    get: async (id) => keys.get(id) ?? Promise.reject(new Error(`no key ${id}`)),
  }
  const options = { encryption: provider }
  await restore(path('backups'), path('a'), { id: 1, ...options })
  await restore(path('backups'), path('b'), options)
  await restore(path('first.tar'), path('c'), options)
  t.deepEqual(
    await Promise.all(['a', 'b', 'c'].map((name) => count(path(name), provider))),
    [100, 150, 100],
  )
  // A key that was given up is missed by the backups of its time alone.
  keys.delete('first')
  await restore(path('backups'), path('d'), { id: 2, ...options })
  await fails(
    t,
    () => restore(path('backups'), path('e'), { id: 1, ...options }),
    'ERR_INVALID_ARGUMENT',
    { keyId: 'first' },
  )
})

test('listing, verifying and pruning need no key', async (t) => {
  const { path } = await made(t)
  const listed = await listBackups(path('backups'))
  t.deepEqual(
    listed.map(({ id, error }) => [id, error]),
    [
      [1, undefined],
      [2, undefined],
    ],
  )
  t.is((await verifyBackup(path('backups'))).backups, 2)
  t.deepEqual(await pruneBackups(path('backups'), { keep: 1 }), [1])
  t.is((await verifyBackup(path('backups'))).backups, 1)
})

test('a key for what is not encrypted is refused', async (t) => {
  const home = temporaryDirectory(t)
  const db = await openFor(t, join(home, 'db'))
  await fill(db, 0, 10)
  await db.backup(join(home, 'backups'))
  await db.archive(createWriteStream(join(home, 'a.tar')))
  const options = { encryption: { key: randomBytes(32) } }
  for (const source of ['backups', 'a.tar']) {
    await fails(
      t,
      () => restore(join(home, source), join(home, 'r'), options),
      'ERR_INVALID_ARGUMENT',
    )
  }
  await t.throwsAsync(() => stat(join(home, 'r')), { code: 'ENOENT' })
})
