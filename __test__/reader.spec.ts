// A database opened with `mode: 'ro'`: it shows what another one writes, and changes nothing.
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { PassThrough } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { join } from 'node:path'
import process from 'node:process'
import test, { type ExecutionContext } from 'ava'
import { open, type CairnWarning, type Collection, type Database } from '#ts/index.js'
import { ended, startAs } from './helpers/child.js'
import { fails } from './helpers/expect.js'
import { openFor, temporaryDirectory } from './helpers/home.js'

const schema = { vectors: { dim: 2, metric: 'l2' }, fields: { n: 'int' } } as const
type Docs = Collection<typeof schema>

const row = (n: number) => ({ key: `k${n}`, vector: [n, 0], fields: { n } })

async function writerFor(t: ExecutionContext): Promise<[string, Database, Docs]> {
  const directory = join(temporaryDirectory(t), 'data')
  const writer = await openFor(t, directory)
  const docs = await writer.collection('docs', schema)
  await docs.upsert([row(1), row(2)])
  return [directory, writer, docs]
}

/** A directory as a writer that was killed leaves it: whatever changes there now, the reader did. */
async function unattended(t: ExecutionContext): Promise<string> {
  const [directory, , docs] = await writerFor(t)
  await docs.compact()
  await docs.upsert([row(3), row(4)])
  await docs.delete(['k3', 'k4'])
  await docs.upsert(row(5), { durability: 'os' })
  const copy = join(temporaryDirectory(t), 'copy')
  cpSync(directory, copy, { recursive: true })
  return copy
}

const byHand = { mode: 'ro', refreshMs: 0 } as const

test('a reader sees what is acknowledged once it is refreshed', async (t) => {
  const [directory, writer, docs] = await writerFor(t)
  const reader = await openFor(t, directory, byHand)
  const read = await reader.collection('docs', schema)
  t.is(await read.count(), 2)
  const { version } = await docs.upsert(row(3))
  await writer.createCollection('more', schema)
  t.is(await read.count(), 2)
  t.is(await reader.refresh(), version)
  t.is(await read.count(), 3)
  t.deepEqual((await read.get('k3'))?.fields, { n: 3 })
  const [hit] = await read.search({ vector: [3, 0], k: 1 })
  t.is(hit?.key, 'k3')
  t.deepEqual(
    (await reader.listCollections()).map(({ name, count }) => [name, count]),
    [
      ['docs', 3],
      ['more', 0],
    ],
  )
  t.is(await writer.refresh(), version, 'a writer has seen it all')
})

test('a reader looks by itself, and tells of versions', async (t) => {
  const [directory, , docs] = await writerFor(t)
  const reader = await openFor(t, directory, { mode: 'ro', refreshMs: 20 })
  const read = await reader.openCollection('docs')
  const told: bigint[] = []
  const heard = new Promise<void>((resolve) => {
    reader.on('version', (version) => {
      told.push(version)
      if (told.length === 2) resolve()
    })
  })
  const removed = (): void => t.fail('it was taken away')
  reader.on('version', removed).off('version', removed)
  const first = await docs.upsert(row(3))
  while (told.length === 0) await delay(5)
  const second = await docs.delete('k1')
  await heard
  t.deepEqual(told, [first.version, second.version])
  t.deepEqual(await read.has(['k1', 'k3']), [false, true])
  await delay(60)
  t.is(told.length, 2, 'nothing new, nothing told')
})

test('a writer tells of its own versions', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', schema)
  const told: bigint[] = []
  db.on('version', (version) => told.push(version))
  const { version } = await docs.upsert(row(1))
  t.deepEqual(told, [version])
  await docs.delete('nobody')
  t.deepEqual(told, [version], 'it changed nothing')
  const results = await Promise.all([docs.upsert(row(2)), docs.upsert(row(3))])
  t.is(told.at(-1), results[1].version)
  t.deepEqual(
    [...told],
    [...told].sort((a, b) => Number(a - b)),
  )
})

test('what a listener throws is its own affair', (t) => {
  const program = `
    const { open } = await import(process.argv[1])
    process.on('uncaughtException', ({ message }) => console.log(message))
    const db = await open(':memory:')
    const docs = await db.collection('docs', { vectors: { dim: 1, metric: 'l2' } })
    db.on('version', () => { throw new Error('mine') }).on('version', (version) => console.log(version))
    await docs.upsert({ key: 'a', vector: [1] })
    console.log('acknowledged')
    await db.close()`
  const entry = new URL('../index.js', import.meta.url).href
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', program, entry], {
    encoding: 'utf8',
  })
  t.deepEqual(child.stdout.trim().split('\n').sort(), ['1n', 'acknowledged', 'mine'])
})

test('a reader that only waits keeps no process alive', (t) => {
  const directory = join(temporaryDirectory(t), 'data')
  const program = `
    const { open } = await import(process.argv[1])
    const db = await open(process.argv[2])
    await db.collection('docs', { vectors: { dim: 1, metric: 'l2' } })
    await db.close()
    const reader = await open(process.argv[2], { mode: 'ro', refreshMs: 10 })
    reader.on('version', () => {})
    console.log('ready')`
  const entry = new URL('../index.js', import.meta.url).href
  const child = spawnSync(
    process.execPath,
    ['--input-type=module', '-e', program, entry, directory],
    { encoding: 'utf8', timeout: 60_000 },
  )
  t.deepEqual([child.stdout, child.status], ['ready\n', 0], child.stderr)
})

const changes: readonly (readonly [string, (db: Database, docs: Docs) => unknown])[] = [
  ['createCollection', (db) => db.createCollection('new', schema)],
  ['collection of a new name', (db) => db.collection('new', schema)],
  ['dropCollection', (db) => db.dropCollection('docs')],
  ['renameCollection', (db) => db.renameCollection('docs', 'others')],
  ['rotateKey', (db) => db.rotateKey({ key: new Uint8Array(32) })],
  ['commit of the database', (db) => db.commit()],
  ['snapshot', (db) => db.snapshot()],
  ['snapshot of a name', (db) => db.snapshot('here')],
  ['dropVersion', (db) => db.dropVersion(0n)],
  ['backup', (db) => db.backup(join(tmpdir(), 'cairn-no-backups'))],
  [
    'scheduleBackup',
    async (db) => db.scheduleBackup(join(tmpdir(), 'cairn-no-backups'), { everyMs: 60_000 }),
  ],
  ['archive of this moment', (db) => db.archive(new PassThrough())],
  ['compact of the database', (db) => db.compact()],
  ['add', (_, docs) => docs.add(row(9))],
  ['add of many', (_, docs) => docs.add([row(8), row(9)])],
  ['add of none', (_, docs) => docs.add([])],
  ['upsert', (_, docs) => docs.upsert(row(1))],
  ['upsert of many', (_, docs) => docs.upsert([row(1), row(2)])],
  ['upsert of columns', (_, docs) => docs.upsert({ keys: ['k1'], vectors: Float32Array.of(1, 2) })],
  ['upsert under a condition', (_, docs) => docs.upsert(row(1), { if: { version: 0n } })],
  ['upsert to memory', (_, docs) => docs.upsert(row(1), { durability: 'memory' })],
  ['update', (_, docs) => docs.update({ key: 'k1', fields: { n: 5 } })],
  ['update of many', (_, docs) => docs.update([{ key: 'k1' }, { key: 'k2' }])],
  ['update of a missing key', (_, docs) => docs.update({ key: 'no' }, { missing: 'skip' })],
  ['delete', (_, docs) => docs.delete('k1')],
  ['delete of many', (_, docs) => docs.delete(['k1', 'k2'])],
  ['delete of a missing key', (_, docs) => docs.delete('no')],
  ['deleteWhere', (_, docs) => docs.deleteWhere({})],
  ['deleteWhere of nothing', (_, docs) => docs.deleteWhere({ or: [] })],
  ['updateWhere', (_, docs) => docs.updateWhere({}, { n: 1 })],
  ['ingest', (_, docs) => docs.ingest([[row(1)], [row(2)]])],
  ['ingest of nothing', (_, docs) => docs.ingest([])],
  ['commit', (_, docs) => docs.commit()],
  ['compact', (_, docs) => docs.compact()],
  ['tune', (_, docs) => docs.tune({ recall: 0.9, apply: true })],
  ['alter', (_, docs) => docs.alter({ addFields: { fresh: 'int' } })],
]
for (const [title, change] of changes) {
  test(`read-only: ${title} is refused`, async (t) => {
    const directory = await unattended(t)
    const reader = await openFor(t, directory, byHand)
    const docs = await reader.collection('docs', schema)
    const before = files(directory)
    await fails(t, () => change(reader, docs), 'ERR_READ_ONLY')
    t.is(await docs.count(), 2)
    t.deepEqual(files(directory), before)
  })
}

test('every call that changes something is in the table above', async (t) => {
  const db = await openFor(t)
  const docs = await db.collection('docs', schema)
  const ofDatabase =
    'close at doctor listCollections listVersions off on openCollection refresh stats verify follow constructor'
  const ofCollection =
    'name schema aggregate count explain facet get has recall scan search searchBatch searchSync'
  const reading = new Set(`${ofDatabase} ${ofCollection}`.split(' '))
  for (const object of [db, docs]) {
    for (const name of Object.getOwnPropertyNames(Object.getPrototypeOf(object))) {
      const known = reading.has(name) || changes.some(([title]) => title.split(' ')[0] === name)
      t.true(known, `${name} neither reads nor is it refused`)
    }
  }
})

/** Every file with its contents and its time of change. */
function files(directory: string): [string, number, string][] {
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort()
  return names.map((name) => {
    const path = join(directory, name)
    const { mtimeMs, mode } = statSync(path)
    const isFile = statSync(path).isFile()
    return [`${name} ${mode}`, mtimeMs, isFile ? readFileSync(path, 'base64') : '']
  })
}

test('a reader writes not a byte', async (t) => {
  const directory = await unattended(t)
  const before = files(directory)
  const reader = await open(directory, { mode: 'ro', refreshMs: 5 })
  const read = await reader.openCollection('docs')
  for (let round = 0; round < 20; round += 1) {
    await reader.refresh()
    await read.search({ vector: [1, 1] })
    await delay(5)
  }
  for await (const { key } of read.scan()) t.true(String(key).startsWith('k'))
  await reader.close()
  t.deepEqual(files(directory), before)
})

// Windows has no modes that keep a process from writing into a directory.
const unix = process.platform === 'win32' ? test.skip : test

unix('a directory that may not be written is read', async (t) => {
  const directory = join(temporaryDirectory(t), 'data')
  const writer = await open(directory)
  const docs = await writer.collection('docs', schema)
  await docs.upsert([row(1), row(2)])
  await docs.compact()
  await docs.upsert(row(3))
  // As a process that was killed leaves it: without the end that `close` gives it.
  const paths = ['', ...readdirSync(directory, { recursive: true, encoding: 'utf8' })]
  const all = paths.map((name) => join(directory, name))
  const modes = all.map((path) => [path, statSync(path).mode] as const)
  t.teardown(() => writer.close())
  t.teardown(() => modes.forEach(([path, mode]) => chmodSync(path, mode)))
  for (const [path] of modes) chmodSync(path, statSync(path).isDirectory() ? 0o555 : 0o444)
  chmodSync(join(directory, '..'), 0o755)
  // Modes say nothing to root; `nobody` has to keep them.
  const isRoot = process.getuid?.() === 0
  const child = startAs(isRoot ? 65_534 : undefined, 'read-only', directory)
  const { stdout, stderr } = await ended(child)
  t.deepEqual(stdout.trim().split('\n'), ['3', 'ERR_READ_ONLY', 'ERR_IO'], stderr)
})

// A mount of its own needs the right to make one.
const mounts =
  process.platform === 'linux' &&
  process.getuid?.() === 0 &&
  spawnSync('unshare', ['--mount', 'true']).status === 0
const mounted = mounts ? test.serial : test.serial.skip

mounted('a read-only mount is read beside its writer, and refused to one by name', async (t) => {
  const [directory, , docs] = await writerFor(t)
  const place = join(directory, '..', 'mounted')
  mkdirSync(place)
  const bound = spawnSync('mount', ['--bind', directory, place])
  const sealed = spawnSync('mount', ['-o', 'remount,bind,ro', place])
  t.teardown(() => spawnSync('umount', ['--lazy', place]))
  if (bound.status !== 0 || sealed.status !== 0) {
    t.log('left out: no directory can be mounted read-only here')
    t.pass()
    return
  }
  t.throws(() => writeFileSync(join(place, 'mine'), ''), { code: 'EROFS' })
  const reader = await openFor(t, place, byHand)
  const read = await reader.collection('docs', schema)
  t.is(await read.count(), 2)
  for (let n = 3; n < 30; n += 1) {
    const { version } = await docs.upsert(row(n))
    // The files change under it, too.
    if (n % 7 === 0) await docs.compact()
    t.is(await reader.refresh(), version)
    t.is(await read.count(), n)
    t.is((await read.search({ vector: [n, 0], k: 1 }))[0]?.key, `k${n}`)
  }
  await fails(t, () => read.upsert(row(1)), 'ERR_READ_ONLY')
  const error = await fails(t, () => open(place), 'ERR_IO')
  t.true(String(error?.details['file']).startsWith(place))
  t.regex(String(error?.message), /read-only/i)
  t.is(await docs.count(), 29, 'nobody was disturbed')
})

test('a look that fails is warned of once, counted, and made good', async (t) => {
  const [directory, , docs] = await writerFor(t)
  const warnings: CairnWarning[] = []
  const onWarning = (warning: CairnWarning): void => void warnings.push(warning)
  const reader = await openFor(t, directory, { mode: 'ro', refreshMs: 10, onWarning })
  const read = await reader.openCollection('docs')
  t.is((await reader.stats()).lastRefreshError, null)
  const current = join(directory, 'CURRENT')
  renameSync(current, `${current}.away`)
  const until = async (failed: boolean): Promise<void> => {
    while (((await reader.stats()).lastRefreshError !== null) !== failed) await delay(5)
  }
  await until(true)
  await delay(50)
  const refreshes = warnings.filter(({ code }) => code === 'WARN_REFRESH')
  t.is(refreshes.length, 1)
  t.is(refreshes[0]?.details['reason'], 'ERR_CORRUPT')
  await fails(t, () => reader.refresh(), 'ERR_CORRUPT', { file: current })
  t.is(await read.count(), 2, 'what was seen stays')
  renameSync(`${current}.away`, current)
  await docs.upsert(row(3))
  await until(false)
  await reader.refresh()
  t.is(await read.count(), 3)
})

test('what is not there cannot be read', async (t) => {
  const directory = join(temporaryDirectory(t), 'data')
  await fails(t, () => open(directory, byHand), 'ERR_NOT_FOUND')
  t.throws(() => statSync(directory), { code: 'ENOENT' })
})

test('a closed reader answers that it is closed', async (t) => {
  const [directory] = await writerFor(t)
  const reader = await open(directory, { mode: 'ro', refreshMs: 5 })
  const read = await reader.openCollection('docs')
  await reader.close()
  await fails(t, () => reader.refresh(), 'ERR_CLOSED')
  await fails(t, () => read.count(), 'ERR_CLOSED')
  await fails(t, () => read.upsert(row(1)), 'ERR_CLOSED')
})

test('a collection that the writer drops closes its handles in the reader', async (t) => {
  const [directory, writer] = await writerFor(t)
  const reader = await openFor(t, directory, byHand)
  const read = await reader.openCollection('docs')
  await writer.renameCollection('docs', 'papers')
  await reader.refresh()
  t.is(read.name, 'papers')
  await writer.dropCollection('papers')
  t.is(await read.count(), 2)
  await reader.refresh()
  await fails(t, () => read.count(), 'ERR_CLOSED')
  t.deepEqual(await reader.listCollections(), [])
})
