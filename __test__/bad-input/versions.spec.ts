// Wrong versions, backups, archives and restores.
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { Readable, Writable } from 'node:stream'
import {
  listBackups,
  open,
  pruneBackups,
  repair,
  restore,
  verify,
  verifyBackup,
  type Database,
  type ErrorCode,
} from '#ts/index.js'
import { arg, aroundAll, beside, never, row, table, type Case } from '../helpers/bad-input.js'
import {
  bags,
  calls,
  flags,
  never_,
  noNumber,
  nothing,
  options,
  signals,
  whole,
  within,
  words,
  type Call,
  type Wrong,
} from '../helpers/bad-options.js'
import { everyFileOf } from '../helpers/directory.js'
import { fails } from '../helpers/expect.js'

/** Where nobody should make anything. */
const nowhere = join(tmpdir(), `cairn-nowhere-versions-${process.pid}`)
const sink = (): Writable => new Writable({ write: (_, __, done) => done() })

const noVersions: Wrong = [
  ...never_.filter(([title]) => title !== 'a date'),
  ['a number', 5],
  ['NaN', Number.NaN],
  ['true', true],
  ['-1n', -1n],
  ['2n ** 64n', 2n ** 64n],
  ['an array', [1n]],
  ['a boxed bigint', Object(1n)],
  ['a boxed text', new String('made')],
  ['an invalid date', new Date(Number.NaN)],
  ['a date before 1970', new Date(-1)],
  ['a function', nothing],
]
const unknown: readonly (readonly [string, bigint | string | Date])[] = [
  ['a name that nobody has', 'nobody'],
  ['no name', ''],
  ['a way up', '../made'],
  ['half a character', '\ud800'],
  ['a NUL', 'made\0'],
  ['a name of a million letters', 'x'.repeat(1_000_000)],
  ['a number that is not there', 12_345n],
  ['the largest number', 2n ** 64n - 1n],
  ['a time before all', new Date(0)],
]
const finding: readonly (readonly [string, (db: Database, version: never) => unknown])[] = [
  ['at', (db, version) => db.at(version)],
  ['dropVersion', (db, version) => db.dropVersion(version)],
]
for (const [method, call] of finding) {
  table(
    `${method}: a version is not`,
    [['nothing', undefined] as const, ...noVersions].map(([title, value]): Case => [
      title,
      arg,
      ({ db }) => call(db, never(value)),
      { path: 'version' },
    ]),
  )
  table(
    `${method}: there is no version of`,
    unknown.map(([title, value]): Case => [
      title,
      'ERR_NOT_FOUND',
      ({ db }) => call(db, never(value)),
    ]),
  )
}

const noPaths: Wrong = [
  ...never_,
  ['nothing', undefined],
  ['a number', 5],
  ['true', true],
  ['empty', ''],
  ['with a NUL', 'a\0b'],
  ['half a character', '\ud800'],
  ['an http URL', new URL('http://localhost/')],
  ['an s3 text', 's3://bucket/prefix'],
  ['a buffer', Buffer.from('data')],
  ['an array', ['data']],
  ['a function', nothing],
]
const places: readonly (readonly [string, (db: Database, path: never) => unknown])[] = [
  ['backup', (db, path) => db.backup(path)],
  ['scheduleBackup', (db, path) => db.scheduleBackup(path, { everyMs: 1e6 })],
  ['listBackups', (_, path) => listBackups(path)],
  ['verifyBackup', (_, path) => verifyBackup(path)],
  ['pruneBackups', (_, path) => pruneBackups(path, { keep: 1 })],
  ['restore into', (_, path) => restore(nowhere, path)],
]
for (const [method, call] of places) {
  table(
    `${method}: a directory is not`,
    noPaths.map(([title, value]): Case => [
      title,
      arg,
      ({ db }) => call(db, never(value)),
      { path: 'target' },
    ]),
  )
}
table(
  'restore from',
  noPaths
    .filter(([title]) => !['an array', 'a map', 'a buffer'].includes(title))
    .map(([title, value]): Case => [title, arg, () => restore(never(value), nowhere)]),
)

const backup: Call = ({ db }, given) => db.backup(nowhere, given)
const jobs = { onProgress: calls, signal: signals }
options('backup', backup, { version: noVersions, verify: flags, ...jobs })
bags('backup', backup)
const archive: Call = ({ db }, given) => db.archive(sink(), given)
options('archive', archive, { compress: words, ...jobs })
bags('archive', archive)
table(
  'archive: version is not',
  noVersions.map(([title, value]): Case => [
    title,
    arg,
    ({ db }) => db.archive(sink(), { version: never(value) }),
  ]),
)
const noSinks: Wrong = [
  ...never_,
  ['nothing', undefined],
  ['a path', 'docs.tar'],
  ['a number', 5],
  ['a readable', Readable.from([])],
  ['an array', []],
  ['a function', nothing],
]
table(
  'archive: a writable is not',
  noSinks.map(([title, value]): Case => [title, arg, ({ db }) => db.archive(never(value))]),
)
const verifying: Call = (_, given) => verifyBackup(nowhere, given)
options('verifyBackup', verifying, { id: [...noNumber, ['0', 0], ['1.5', 1.5]], ...jobs })
bags('verifyBackup', verifying)
const restoring: Call = (_, given) => restore(nowhere, `${nowhere}-target`, given)
options('restore', restoring, {
  id: [...noNumber, ['0', 0], ['1.5', 1.5]],
  version: noVersions,
  encryption: [...never_, ['a text', 'k'], ['a number', 5]],
  ...jobs,
})
bags('restore', restoring)
const prune: Call = (_, given) => pruneBackups(nowhere, given)
options('pruneBackups', prune, { keep: whole(1) })
bags('pruneBackups', prune)
const schedule: Call = ({ db }, given) => db.scheduleBackup(nowhere, given)
options(
  'scheduleBackup',
  schedule,
  { everyMs: whole(1, 2 ** 31 - 1), jitter: within(0, 1), keep: whole(1) },
  { everyMs: 1e6 },
)
bags('scheduleBackup', schedule)

const noPlainPaths = noPaths.filter(([title]) => title !== 'an s3 text')
table(
  'verify: a directory is not',
  noPlainPaths.map(([title, value]): Case => [
    title,
    arg,
    () => verify(never(value)),
    { path: 'path' },
  ]),
)
table(
  'repair: a directory is not',
  noPlainPaths.flatMap(([title, value]): Case[] => [
    [title, arg, () => repair(never(value), { target: nowhere }), { path: 'path' }],
    [
      `${title}, to save to`,
      arg,
      () => repair(nowhere, { target: never(value) }),
      { path: 'target' },
    ],
  ]),
)
const noKeys: Wrong = [...never_, ['a text', 'k'], ['a number', 5]]
const checking: Call = (_, given) => verify(nowhere, given)
options('verify of a directory', checking, { encryption: noKeys, ...jobs })
bags('verify of a directory', checking)
const repairing: Call = (_, given) => repair(nowhere, given)
options(
  'repair',
  repairing,
  { keepDoubtful: flags, encryption: noKeys, ...jobs },
  { target: `${nowhere}-target` },
)
bags('repair', repairing)

const missing: readonly (readonly [string, () => unknown])[] = [
  ['listBackups', () => listBackups(nowhere)],
  ['verifyBackup', () => verifyBackup(nowhere)],
  ['pruneBackups', () => pruneBackups(nowhere, { keep: 1 })],
  ['restore', () => restore(nowhere, `${nowhere}-target`)],
  ['verify', () => verify(nowhere)],
  ['repair', () => repair(nowhere, { target: `${nowhere}-target` })],
]
table(
  'where there are no backups',
  missing.map(([title, call]): Case => [title, 'ERR_NOT_FOUND', () => call()]),
)

const schema = { vectors: { dim: 2, metric: 'l2' } } as const
let db: Database
let remove = (): void => undefined
let home = ''
aroundAll(
  async () => {
    home = mkdtempSync(join(tmpdir(), 'cairn-versions-'))
    remove = () => rmSync(home, { recursive: true, force: true })
    db = await open(join(home, 'db'))
    const docs = await db.collection('docs', schema)
    await docs.upsert({ key: 'a', vector: [1, 2] })
    await db.snapshot('made')
    await db.backup(join(home, 'backups'), { name: 'first' })
    await db.close()
    const other = await open(join(home, 'other'))
    await other.close()
    db = await open(join(home, 'db'))
  },
  () => {
    void db.close().then(remove, remove)
  },
)

/** Calls of a real database and its real backups, and how they are refused. */
const refused: readonly (readonly [string, ErrorCode, () => unknown])[] = [
  ['a name that a version has', 'ERR_ALREADY_EXISTS', () => db.snapshot('made')],
  [
    'a version that is not there',
    'ERR_NOT_FOUND',
    () => db.backup(join(home, 'backups'), { version: 'x' }),
  ],
  ['a backup into the database itself', arg, () => db.backup(join(home, 'db'))],
  ['a backup into another database', arg, () => db.backup(join(home, 'other'))],
  [
    'a restore into the database',
    'ERR_ALREADY_EXISTS',
    () => restore(join(home, 'backups'), join(home, 'db')),
  ],
  [
    'a restore into its own backups',
    'ERR_ALREADY_EXISTS',
    () => restore(join(home, 'backups'), join(home, 'backups')),
  ],
  [
    'a restore of a backup that is not there',
    'ERR_NOT_FOUND',
    () => restore(join(home, 'backups'), join(home, 'new'), { id: 77 }),
  ],
  [
    'a restore of a version that is not there',
    'ERR_NOT_FOUND',
    () => restore(join(home, 'backups'), join(home, 'new'), { version: 'x' }),
  ],
  [
    'a restore with a key of what has none',
    arg,
    () =>
      restore(join(home, 'backups'), join(home, 'new'), {
        encryption: { key: new Uint8Array(32) },
      }),
  ],
  [
    'a restore of bytes that are no archive',
    'ERR_CORRUPT',
    () => restore(Readable.from([Buffer.alloc(100_000, 7)]), join(home, 'new')),
  ],
  ['a restore of no bytes', 'ERR_CORRUPT', () => restore(Readable.from([]), join(home, 'new'))],
  [
    'a verification of what is not there',
    'ERR_NOT_FOUND',
    () => verifyBackup(join(home, 'backups'), { id: 9 }),
  ],
]
for (const [title, code, call] of refused) {
  row(`refused: ${title}`, async (t) => {
    const before = everyFileOf(home)
    await fails(t, call, code)
    const after = { ...everyFileOf(home) }
    t.deepEqual(after, before)
  })
}

beside('nothing was made where nobody should', (t) => {
  t.false(existsSync(nowhere))
  t.false(existsSync(`${nowhere}-target`))
  t.true(readdirSync(tmpdir()).every((name) => !name.startsWith(`cairn-nowhere-${process.pid}`)))
})
