// Backups, restores and archives through the package.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import {
  chmod,
  cp,
  mkdir,
  open as openFile,
  readdir,
  readFile,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import * as zlib from 'node:zlib'
import test, { type ExecutionContext } from 'ava'
import { Schedule, waitMs, type ScheduledWork } from '#ts/schedule.js'
import {
  isCairnError,
  listBackups,
  open,
  pruneBackups,
  restore,
  verifyBackup,
  type CairnWarning,
  type Database,
} from '#ts/index.js'
import { ended, start } from './helpers/child.js'
import { fails } from './helpers/expect.js'
import { openFor, temporaryDirectory } from './helpers/home.js'

const schema = { vectors: { dim: 4, metric: 'cosine' } } as const

async function fill(db: Database, from: number, to: number): Promise<bigint> {
  const docs = await db.collection('docs', schema)
  const rows = Array.from({ length: to - from }, (_, n) => ({
    key: `k${String(from + n).padStart(6, '0')}`,
    vector: [from + n, 1, 2, 3],
    fields: { n: from + n },
  }))
  const { version } = await docs.upsert(rows)
  return version
}

/** Every record, in a form that can be compared. */
async function contents(db: Database): Promise<unknown[]> {
  const docs = await db.openCollection('docs')
  const all: unknown[] = []
  for await (const { key, version, fields, vectors } of docs.scan({ vectors: true })) {
    all.push([key, version, fields, Object.values(vectors ?? {})])
  }
  return all
}

async function restored(t: ExecutionContext, path: string): Promise<Database> {
  return openFor(t, path)
}

async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true })
  return entries.toSorted()
}

test('a backup is restored to what it was made of, and the second one copies new files only', async (t) => {
  const home = temporaryDirectory(t)
  const db = await openFor(t, join(home, 'data'), { compaction: 'none' })
  await fill(db, 0, 5_000)
  const target = join(home, 'backups')
  const seen: number[] = []
  const first = await db.backup(target, {
    name: 'first',
    onProgress: ({ done, total }) => void (done <= total && seen.push(done)),
  })
  t.deepEqual([first.id, first.name], [1, 'first'])
  t.is(first.bytesCopied, first.bytesTotal)
  t.true(first.files > 0 && first.filesCopied === first.files)
  t.is(seen.at(-1), first.bytesTotal)
  const was = await contents(db)

  await fill(db, 5_000, 5_010)
  const docs = await db.openCollection('docs')
  await docs.delete(['k000001'])
  const second = await db.backup(pathToFileURL(target))
  t.is(second.id, 2)
  t.true(second.bytesCopied < first.bytesCopied)
  const is = await contents(db)
  const third = await db.backup(target)
  t.deepEqual([third.filesCopied, third.bytesCopied], [0, 0])
  t.is((await listBackups(target)).length, 3)
  t.like(await verifyBackup(target), { backups: 3 })

  const made = await restore(target, join(home, 'one'), { id: 1 })
  t.is(made.version, first.version)
  t.deepEqual(await contents(await restored(t, join(home, 'one'))), was)
  await restore(target, pathToFileURL(join(home, 'two')))
  const two = await restored(t, join(home, 'two'))
  t.deepEqual(await contents(two), is)
  // It takes writes of its own, and nobody else notices.
  await fill(two, 9_000, 9_001)
  t.deepEqual(await contents(db), is)
  await restore(target, join(home, 'named'), { version: 'first' })
  t.deepEqual(await contents(await restored(t, join(home, 'named'))), was)
})

test('a backup with verify copies again what rots in the directory', async (t) => {
  const home = temporaryDirectory(t)
  const db = await openFor(t, join(home, 'data'))
  await fill(db, 0, 500)
  const target = join(home, 'backups')
  await db.backup(target)
  const name = (await filesBelow(target)).find((path) => path.endsWith('.seg'))
  const file = await openFile(join(target, name ?? ''), 'r+')
  await file.write(Buffer.alloc(8, 0xab), 0, 8, 1_000)
  await file.close()
  t.is((await db.backup(target)).filesCopied, 0)
  await fails(t, () => verifyBackup(target, { id: 1 }), 'ERR_CORRUPT')
  t.is((await db.backup(target, { verify: true })).filesCopied, 1)
  t.like(await verifyBackup(target), { backups: 3 })
})

test('a database in memory is backed up to the disk', async (t) => {
  const home = temporaryDirectory(t)
  const db = await openFor(t)
  await fill(db, 0, 100)
  await db.backup(join(home, 'backups'))
  await restore(join(home, 'backups'), join(home, 'data'))
  t.deepEqual(await contents(await restored(t, join(home, 'data'))), await contents(db))
})

test('a recorded version is backed up by its name', async (t) => {
  const home = temporaryDirectory(t)
  const db = await openFor(t)
  await fill(db, 0, 10)
  const { version } = await db.snapshot('v1')
  const was = await contents(db)
  await fill(db, 0, 100)
  const made = await db.backup(join(home, 'backups'), { version: 'v1' })
  t.is(made.version, version)
  await restore(join(home, 'backups'), join(home, 'data'), { version })
  t.deepEqual(await contents(await restored(t, join(home, 'data'))), was)
  await fails(t, () => db.backup(join(home, 'backups'), { version: 'v2' }), 'ERR_NOT_FOUND')
})

test('a process that is killed while it backs up leaves the backups that it answered', async (t) => {
  const home = temporaryDirectory(t)
  const [data, target] = [join(home, 'data'), join(home, 'backups')]
  const child = start('backups', data, target)
  const end = ended(child)
  let ids = 0
  child.stdout?.on('data', () => {
    ids += 1
    // In the middle of some later one.
    if (ids === 3) setTimeout(() => child.kill('SIGKILL'), 17)
  })
  const { stdout, stderr, signal } = await end
  t.is(signal, 'SIGKILL', stderr)
  const answered = stdout.split('\n').slice(0, -1).map(Number)
  t.true(answered.length > 0, stderr)
  t.true((await verifyBackup(target)).backups >= answered.length)
  await restore(target, join(home, 'restored'))
  const db = await restored(t, join(home, 'restored'))
  const docs = await db.openCollection('docs')
  // The program writes batches of a hundred, so that is what any moment has.
  t.is((await docs.count()) % 100, 0)
  // The next one goes on where that one was cut off, and cleans up.
  const again = await open(data, { lockTimeoutMs: 5_000 })
  await again.backup(target)
  await again.close()
  t.deepEqual(
    (await filesBelow(target)).filter((name) => name.endsWith('.tmp')),
    [],
  )
  await verifyBackup(target)
})

test('an ended backup or restore leaves nothing behind', async (t) => {
  const home = temporaryDirectory(t)
  const db = await openFor(t, join(home, 'data'))
  await fill(db, 0, 50_000)
  const target = join(home, 'backups')
  await fails(t, () => db.backup(target, { signal: AbortSignal.abort() }), 'ERR_ABORTED')
  const controller = new AbortController()
  const running = db.backup(target, { signal: controller.signal })
  controller.abort()
  await fails(t, () => running, 'ERR_ABORTED')
  t.deepEqual(await listBackups(target), [])
  t.deepEqual(
    (await filesBelow(target)).filter((name) => /\.(seg|del|tmp)$/.test(name)),
    [],
  )
  await db.backup(target)
  const stop = new AbortController()
  const restoring = restore(target, join(home, 'restored'), { signal: stop.signal })
  stop.abort()
  await fails(t, () => restoring, 'ERR_ABORTED')
  await t.throwsAsync(stat(join(home, 'restored')), { code: 'ENOENT' })
  const thrown = new Error('mine')
  const failing = db.backup(join(home, 'other'), {
    onProgress: () => {
      throw thrown
    },
  })
  const failure = await failing.catch((error: unknown) => error as Error)
  t.is((failure as Error).cause, thrown)
})

test('targets that will not do are refused and left as they were', async (t) => {
  const home = temporaryDirectory(t)
  const db = await openFor(t, join(home, 'data'))
  await fill(db, 0, 10)
  await fails(t, () => db.backup(join(home, 'data')), 'ERR_INVALID_ARGUMENT')
  await fails(t, () => db.backup(':memory:\0'), 'ERR_INVALID_ARGUMENT', { path: 'target' })
  await fails(t, () => db.backup('s3://bucket'), 'ERR_INVALID_ARGUMENT', { path: 'target' })
  await fails(t, () => db.backup(5 as never), 'ERR_INVALID_ARGUMENT', { path: 'target' })
  await fails(t, () => db.backup(join(home, 'b'), { nam: 'x' } as never), 'ERR_INVALID_ARGUMENT', {
    suggestion: 'name',
  })
  await writeFile(join(home, 'file'), 'x')
  await fails(t, () => db.backup(join(home, 'file')), 'ERR_INVALID_ARGUMENT')
  await db.backup(join(home, 'backups'))
  const other = await openFor(t, join(home, 'another'))
  await fails(t, () => other.backup(join(home, 'backups')), 'ERR_INVALID_ARGUMENT')

  await fails(t, () => listBackups(join(home, 'none')), 'ERR_NOT_FOUND')
  await fails(t, () => verifyBackup(join(home, 'backups'), { id: 7 }), 'ERR_NOT_FOUND', { id: 7 })
  await fails(t, () => restore(join(home, 'none'), join(home, 'r')), 'ERR_NOT_FOUND')
  await fails(t, () => restore(join(home, 'backups'), join(home, 'r'), { id: 9 }), 'ERR_NOT_FOUND')
  for (const occupied of ['data', 'backups']) {
    const before = await filesBelow(join(home, occupied))
    await fails(t, () => restore(join(home, 'backups'), join(home, occupied)), 'ERR_ALREADY_EXISTS')
    t.deepEqual(await filesBelow(join(home, occupied)), before)
  }
  await mkdir(join(home, 'empty'))
  await restore(join(home, 'backups'), join(home, 'empty'))
  await fails(t, () => db.backup(join(home, 'b'), { name: 'a/b' }), 'ERR_INVALID_NAME')
  await using at = await db.snapshot('v').then(() => db.at('v'))
  await fails(t, () => at.backup(join(home, 'c')), 'ERR_READ_ONLY')
})

test('backups do not go into the directory that they are of, by whatever way', async (t) => {
  const home = temporaryDirectory(t)
  const data = join(home, 'data')
  const db = await openFor(t, data)
  await fill(db, 0, 10)
  await symlink(data, join(home, 'link'), 'junction')
  await symlink(join(home, 'link'), join(home, 'another'), 'junction')
  await mkdir(join(data, 'there'))
  const before = await filesBelow(data)
  for (const target of [
    data,
    join(data, 'backups'),
    join(data, 'deep', 'in', 'it'),
    join(data, 'there'),
    join(home, 'elsewhere', '..', 'data', 'backups'),
    join(home, 'link'),
    join(home, 'link', 'backups'),
    join(home, 'another', 'backups'),
    pathToFileURL(join(data, 'backups')),
  ]) {
    await fails(t, () => db.backup(target), 'ERR_INVALID_ARGUMENT', { path: 'target' })
    const wanted = { everyMs: 60_000 }
    await fails(t, () => db.scheduleBackup(target, wanted), 'ERR_INVALID_ARGUMENT', {
      path: 'target',
    })
  }
  t.deepEqual(await filesBelow(data), before)
  // Names that only begin so are other directories.
  for (const name of ['data-backups', '..backups']) await db.backup(join(home, name))
})

const isRoot = process.getuid?.() === 0

test('a directory that may not be written to is an error with its path', async (t) => {
  const home = temporaryDirectory(t)
  const db = await openFor(t)
  await fill(db, 0, 10)
  const closed = join(home, 'closed')
  await mkdir(closed, { mode: 0o500 })
  t.teardown(() => chmod(closed, 0o700))
  // Nothing is closed to root but what is no directory of a disk.
  const target = isRoot ? '/proc/cairn-backups' : join(closed, 'backups')
  const error = await fails(t, () => db.backup(target), 'ERR_IO')
  t.true(String(error?.details['file']).startsWith(isRoot ? '/proc' : closed))
  await fill(db, 10, 20)
  t.is((await contents(db)).length, 20)
})

test('a full disk is an error, and the backups that were there stay whole', async (t) => {
  const home = temporaryDirectory(t)
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', home])
  if (mounted.status !== 0) {
    t.log('a small disk cannot be mounted here; the simulated one shows it in crates/engine/tests')
    t.pass()
    return
  }
  t.teardown(() => spawnSync('umount', [home]))
  const db = await openFor(t)
  await fill(db, 0, 100)
  const target = join(home, 'backups')
  await db.backup(target)
  await fill(db, 0, 60_000)
  await fails(t, () => db.backup(target), 'ERR_NO_SPACE')
  t.like(await verifyBackup(target), { backups: 1 })
  t.is((await contents(db)).length, 60_000)
})

test('damage is found with file and offset, and never restored', async (t) => {
  const home = temporaryDirectory(t)
  const db = await openFor(t)
  await fill(db, 0, 1_000)
  const target = join(home, 'backups')
  await db.backup(target)
  const name = (await filesBelow(target)).find((file) => file.endsWith('.seg')) ?? ''
  const segment = join(target, name)
  const file = await openFile(segment, 'r+')
  const byte = Buffer.alloc(1)
  await file.read(byte, 0, 1, 5_000)
  byte[0] = (byte[0] ?? 0) ^ 1
  await file.write(byte, 0, 1, 5_000)
  await file.close()
  const error = await fails(t, () => verifyBackup(target), 'ERR_CORRUPT', { file: segment })
  // The second block of the file's first section has it.
  t.is(error?.details['offset'], 64 + 4096)
  await fails(t, () => restore(target, join(home, 'r')), 'ERR_CORRUPT', { file: segment })
  await t.throwsAsync(stat(join(home, 'r')), { code: 'ENOENT' })
})

test('old backups are pruned with the files that only they had', async (t) => {
  const home = temporaryDirectory(t)
  const db = await openFor(t)
  const target = join(home, 'backups')
  for (let n = 0; n < 4; n += 1) {
    await fill(db, n * 10, n * 10 + 10)
    await db.compact()
    await db.backup(target)
  }
  t.deepEqual(await pruneBackups(target, { keep: 2 }), [1, 2])
  t.deepEqual(
    (await listBackups(target)).map(({ id }) => id),
    [3, 4],
  )
  t.is((await filesBelow(target)).filter((name) => name.endsWith('.seg')).length, 2)
  await fails(t, () => pruneBackups(target, { keep: 0 }), 'ERR_INVALID_ARGUMENT', { path: 'keep' })
})

async function archived(db: Database, path: string, options?: object): Promise<void> {
  await db.archive(createWriteStream(path), options)
}

for (const compress of ['none', 'gzip', 'zstd'] as const) {
  test(`an archive (${compress}) is restored from a file and from a stream`, async (t) => {
    const home = temporaryDirectory(t)
    const db = await openFor(t, join(home, 'data'))
    await fill(db, 0, 3_000)
    await db.snapshot('v')
    const was = await contents(db)
    await fill(db, 0, 10)
    const path = join(home, 'archive')
    if (compress === 'zstd' && !('createZstdCompress' in zlib)) {
      await fails(t, () => archived(db, path, { compress }), 'ERR_UNSUPPORTED_PLATFORM')
      await writeFile(path, Buffer.of(0x28, 0xb5, 0x2f, 0xfd, 0))
      await fails(t, () => restore(path, join(home, 'r')), 'ERR_UNSUPPORTED_PLATFORM')
      return
    }
    const result = await db.archive(createWriteStream(path), { compress })
    t.true(result.files > 0 && result.bytes > 0)
    await restore(path, join(home, 'one'))
    t.deepEqual(await contents(await restored(t, join(home, 'one'))), await contents(db))
    await archived(db, path, { compress, version: 'v' })
    await restore(createReadStream(path), join(home, 'two'))
    t.deepEqual(await contents(await restored(t, join(home, 'two'))), was)
    await restore([await readFile(path)], join(home, 'three'))
    t.deepEqual(await contents(await restored(t, join(home, 'three'))), was)
  })
}

test('an archive that tar unpacks opens as a database', async (t) => {
  const home = temporaryDirectory(t)
  const db = await openFor(t)
  await fill(db, 0, 2_000)
  const docs = await db.openCollection('docs')
  await docs.delete(['k000003'])
  await archived(db, join(home, 'a.tar.gz'), { compress: 'gzip' })
  await mkdir(join(home, 'data'))
  const tar = spawnSync('tar', ['xf', join(home, 'a.tar.gz'), '-C', join(home, 'data')])
  t.is(tar.status, 0, String(tar.stderr))
  const unpacked = await restored(t, join(home, 'data'))
  t.deepEqual(await contents(unpacked), await contents(db))
  await fill(unpacked, 5_000, 5_001)
})

test('an archive waits for a slow stream', async (t) => {
  const db = await openFor(t)
  await fill(db, 0, 40_000)
  let [waiting, most, bytes] = [0, 0, 0]
  const slow = new Writable({
    highWaterMark: 1024,
    write(chunk: Uint8Array, _, then) {
      waiting += chunk.length
      most = Math.max(most, slow.writableLength)
      setTimeout(() => {
        bytes += chunk.length
        waiting -= chunk.length
        then()
      }, 1)
    },
  })
  const result = await db.archive(slow)
  t.is(waiting, 0)
  t.true(bytes > result.bytes)
  t.true(most <= 1024 * 1024, `${most} bytes were kept`)
})

test('an archive says what went wrong, and a damaged one makes no database', async (t) => {
  const home = temporaryDirectory(t)
  const db = await openFor(t)
  await fill(db, 0, 3_000)
  const failing = (code?: string): Writable =>
    new Writable({
      write: (_, __, then) => then(Object.assign(new Error('no more'), code ? { code } : {})),
    })
  await fails(t, () => db.archive(failing('ENOSPC')), 'ERR_NO_SPACE', { reason: 'no more' })
  await fails(t, () => db.archive(failing()), 'ERR_IO')
  await fails(t, () => db.archive({} as never), 'ERR_INVALID_ARGUMENT', { path: 'writable' })
  await fails(t, () => db.archive(failing(), { compress: 'rar' as never }), 'ERR_INVALID_ARGUMENT')
  await fails(t, () => db.archive(failing(), { version: 'none' }), 'ERR_NOT_FOUND')
  const stop = new AbortController()
  const never = new Writable({ write: () => stop.abort() })
  await fails(t, () => db.archive(never, { signal: stop.signal }), 'ERR_ABORTED')

  await archived(db, join(home, 'a.tar.gz'), { compress: 'gzip' })
  await archived(db, join(home, 'a.tar'))
  const into = join(home, 'r')
  for (const name of ['a.tar.gz', 'a.tar']) {
    const whole = await readFile(join(home, name))
    const cut = whole.subarray(0, whole.length >> 1)
    await fails(t, () => restore([cut], into), 'ERR_CORRUPT')
    const damaged = Buffer.from(whole)
    damaged[whole.length >> 1] = (damaged[whole.length >> 1] ?? 0) ^ 64
    await fails(t, () => restore([damaged], into), 'ERR_CORRUPT')
  }
  await fails(t, () => restore([], into), 'ERR_CORRUPT')
  await fails(t, () => restore([Buffer.alloc(5_000, 'x')], into), 'ERR_CORRUPT')
  await fails(t, () => restore(['text'] as never, into), 'ERR_INVALID_ARGUMENT')
  await fails(t, () => restore(5 as never, into), 'ERR_INVALID_ARGUMENT', { path: 'source' })
  await fails(t, () => restore([], into, { id: 1 }), 'ERR_INVALID_ARGUMENT')
  await t.throwsAsync(stat(into), { code: 'ENOENT' })
})

test('a stream that fails before it is read fails the restore and nothing else', async (t) => {
  const into = join(temporaryDirectory(t), 'r')
  const stream = new Readable({ read: () => {} })
  const restored = restore(stream, into)
  // While the target is being taken.
  stream.destroy(new Error('gone'))
  await fails(t, () => restored, 'ERR_IO', { reason: 'gone' })
  await t.throwsAsync(stat(into), { code: 'ENOENT' })
})

test('a schedule makes backups, keeps as many as it was told, and stops', async (t) => {
  const home = temporaryDirectory(t)
  const db = await openFor(t)
  await fill(db, 0, 100)
  const target = join(home, 'backups')
  const schedule = db.scheduleBackup(target, { everyMs: 20, jitter: 0.5, keep: 2 })
  const until = performance.now() + 20_000
  while ((schedule.last?.id ?? 0) < 4 && performance.now() < until) await delay(10)
  const [stats] = (await db.stats()).schedules
  t.like(stats, { target, everyMs: 20, failed: 0, lastError: null })
  t.true((stats?.made ?? 0) >= 4)
  await schedule.stop()
  await schedule.stop()
  t.false(schedule.running)
  t.is(schedule.lastError, null)
  const ids = (await listBackups(target)).map(({ id }) => id)
  t.is(ids.length, 2)
  t.is(ids.at(-1), schedule.last?.id)
  await delay(100)
  t.deepEqual(
    (await listBackups(target)).map(({ id }) => id),
    ids,
  )
  t.deepEqual((await db.stats()).schedules, [])
})

/** Work that takes `ms`, and what was seen of it. */
function slowWork(ms: number) {
  const seen = { running: 0, most: 0, made: 0 }
  const backup = async () => {
    seen.running += 1
    seen.most = Math.max(seen.most, seen.running)
    await delay(ms)
    seen.running -= 1
    seen.made += 1
    return { id: seen.made }
  }
  const work = { backup, prune: async () => [], failed: () => undefined }
  return { seen, work: work as unknown as ScheduledWork }
}

test('a backup that is due while another runs is left out and counted', async (t) => {
  const { seen, work } = slowWork(60)
  const schedule = new Schedule('/backups', { everyMs: 5, jitter: 0 }, work)
  const until = performance.now() + 20_000
  while (seen.made < 3 && performance.now() < until) {
    await delay(1)
    t.is(schedule.running, seen.running === 1)
  }
  await schedule.stop()
  t.is(seen.most, 1, 'never two at once')
  const { made, failed, skipped, running } = schedule.stats()
  t.deepEqual([made, failed, running], [seen.made, 0, false])
  // Twelve are due while one runs; a busy machine wakes later.
  t.true(skipped >= seen.made, `${skipped} of ${seen.made}`)
  t.is(schedule.skipped, skipped)
})

test('stats() tells how many backups of a database were left out', async (t) => {
  const home = temporaryDirectory(t)
  const db = await openFor(t)
  await fill(db, 0, 1_000)
  const schedule = db.scheduleBackup(join(home, 'backups'), { everyMs: 1, jitter: 0, keep: 1 })
  const until = performance.now() + 20_000
  const figures = async () => (await db.stats()).schedules[0]
  while (performance.now() < until) {
    const now = await figures()
    if (now && now.skipped > 0 && now.made > 1) break
    await delay(5)
  }
  const now = await figures()
  t.true((now?.skipped ?? 0) > 0 && (now?.made ?? 0) > 1)
  t.is(now?.failed, 0)
  await schedule.stop()
})

test('a schedule of cron is honoured by the wall clock', async (t) => {
  const { seen, work } = slowWork(0)
  // It is 50 ms before a quarter past three of a Friday.
  const ahead = Date.UTC(2027, 0, 1, 3, 14, 59, 950) - Date.now()
  const now = () => Date.now() + ahead
  const schedule = new Schedule('/backups', { cron: '15 3 * * 1-5' }, work, now)
  t.like(schedule.stats(), { everyMs: null, cron: '15 3 * * 1-5' })
  t.deepEqual(schedule.next, new Date(Date.UTC(2027, 0, 1, 3, 15)))
  t.is(seen.made, 0)
  const until = performance.now() + 20_000
  while (seen.made === 0 && performance.now() < until) await delay(5)
  t.true(now() >= Date.UTC(2027, 0, 1, 3, 15))
  await delay(100)
  t.is(seen.made, 1, 'the next one is on Monday')
  t.deepEqual(schedule.next, new Date(Date.UTC(2027, 0, 4, 3, 15)))
  await schedule.stop()
})

test('what a clock that jumps passed over is made up for once', async (t) => {
  const { seen, work } = slowWork(0)
  let ahead = Date.UTC(2027, 0, 1, 2, 59, 59, 900) - Date.now()
  const schedule = new Schedule('/backups', { cron: '0 * * * *' }, work, () => Date.now() + ahead)
  // A day later: it slept.
  ahead += 24 * 60 * 60 * 1000
  const until = performance.now() + 20_000
  while (seen.made === 0 && performance.now() < until) await delay(5)
  await delay(50)
  t.is(seen.made, 1)
  await schedule.stop()
})

test('each wait of a schedule is longer or shorter by its jitter', (t) => {
  t.is(waitMs(1000, 0, 0.9), 1000)
  t.is(waitMs(1000, 0.1, 0), 900)
  t.is(waitMs(1000, 0.1, 0.5), 1000)
  t.is(waitMs(1000, 1, 0.75), 1500)
  t.is(waitMs(2 ** 31 - 1, 1, 0.99), 2 ** 31 - 1, 'as long as a timer can be')
})

test('a schedule says why it fails, and goes on', async (t) => {
  const home = temporaryDirectory(t)
  const warnings: CairnWarning[] = []
  const db = await open(':memory:', { onWarning: (warning) => void warnings.push(warning) })
  const target = join(home, 'file')
  await writeFile(target, 'x')
  const before = Date.now()
  const schedule = db.scheduleBackup(target, { everyMs: 10 })
  const next = schedule.next?.getTime() ?? 0
  t.true(next > before && next < before + 10_000)
  const until = performance.now() + 20_000
  const failed = async (): Promise<number> => (await db.stats()).schedules[0]?.failed ?? 0
  while ((await failed()) < 2 && performance.now() < until) await delay(10)
  t.true((await failed()) >= 2)
  t.is(schedule.lastError?.code, 'ERR_INVALID_ARGUMENT')
  t.is(schedule.last, null)
  const [stats] = (await db.stats()).schedules
  t.true(stats?.next instanceof Date)
  await db.close()
  await schedule.stop()
  t.is(schedule.next, null)
  t.true(warnings.length >= (stats?.failed ?? 1), 'each that failed is told')
  for (const { code, message, details } of warnings) {
    t.is(code, 'WARN_BACKUP')
    t.regex(message, /^a scheduled backup into .*file failed: /)
    t.like(details, { target, reason: 'ERR_INVALID_ARGUMENT' })
  }
  t.throws(() => db.scheduleBackup(target, { everyMs: 10 }), { code: 'ERR_CLOSED' })
})

test('wrong schedules are refused at once', async (t) => {
  const db = await openFor(t)
  for (const options of [
    {},
    { everyMs: 0 },
    { everyMs: 1.5 },
    { everyMs: 5, jitter: 2 },
    { everyMs: 5, keep: 0 },
    { everyMs: 5, cron: '0 0 * * *' },
    { cron: '0 0 * * *', jitter: 0.5 },
    { cron: 5 },
    { cron: '' },
    { cron: '0 0 * *' },
    { cron: '60 0 * * *' },
    { cron: '0 0 30 2 *' },
  ]) {
    t.throws(() => db.scheduleBackup('backups', options as never), { code: 'ERR_INVALID_ARGUMENT' })
  }
})

test('a schedule keeps no process alive', async (t) => {
  const home = temporaryDirectory(t)
  const child = start('scheduled', join(home, 'data'), join(home, 'backups'))
  const { code, stderr } = await ended(child)
  t.is(code, 0, stderr)
})

/** Every record of a database that was copied while it was written to, each read whole. */
async function openedStraight(copy: string): Promise<unknown[]> {
  const db = await open(copy)
  try {
    return await contents(db)
  } finally {
    await db.close()
  }
}

/** A batch that was acknowledged: its version, and the numbers of its records. */
interface Written {
  readonly version: bigint
  readonly from: number
  readonly to: number
}

/** The records are exactly those that the batches up to the newest of them wrote, each as the last one left it. */
function isOneVersion(t: ExecutionContext, records: unknown[], batches: readonly Written[]): void {
  const found = new Map<number, bigint>()
  for (const [key, version, { n }, [vector]] of records as [
    string,
    bigint,
    { n: number },
    number[][],
  ][]) {
    t.is(key, `k${String(n).padStart(6, '0')}`)
    t.is(vector?.length, 4)
    found.set(n, version)
  }
  t.is(found.size, records.length)
  const newest = [...found.values()].reduce((one, other) => (one > other ? one : other), 0n)
  const expected = new Map<number, bigint>()
  for (const { version, from, to } of batches) {
    if (version > newest) continue
    for (let n = from; n < to; n += 1) expected.set(n, version)
  }
  const inOrder = (all: Map<number, bigint>) => [...all].toSorted(([one], [other]) => one - other)
  t.deepEqual(inOrder(found), inOrder(expected))
}

test('what a program copies of a database that is written to has its recorded versions whole', async (t) => {
  const home = temporaryDirectory(t)
  const data = join(home, 'data')
  const db = await openFor(t, data, { memtableBytes: 64 * 1024 })
  const batches: Written[] = [{ version: await fill(db, 0, 2_000), from: 0, to: 2_000 }]
  await db.snapshot('before')
  const was = await contents(db)
  let writes = 0
  const stop = new AbortController()
  const writing = (async () => {
    for (; !stop.signal.aborted; writes += 1) {
      const from = (writes * 300) % 5_000
      batches.push({ version: await fill(db, from, from + 300), from, to: from + 300 })
      if (writes % 5 === 0) await db.compact()
    }
  })()
  let opened = 0
  let refused = 0
  for (let round = 0; round < 6; round += 1) {
    const copy = join(home, `copy${round}`)
    const before = writes
    // Files that go while it looks at them are errors of `cp`, and of no importance.
    const child = spawn('cp', ['-r', data, copy], { stdio: 'ignore' })
    await once(child, 'close')
    for (const more = () => writes > before; !more();) await delay(1)
    const place = join(home, `restored${round}`)
    await restore(copy, place, { version: 'before' })
    await using back = await open(place)
    t.deepEqual(await contents(back), was)
    // As it is, it is one version of its source, or says that it is damaged.
    const whole = await openedStraight(copy).catch((error: unknown) => error)
    if (isCairnError(whole)) {
      refused += 1
      t.is(whole.code, 'ERR_CORRUPT', whole.message)
    } else {
      opened += 1
      isOneVersion(t, whole as unknown[], batches)
    }
  }
  t.is(opened + refused, 6)
  stop.abort()
  await writing
  t.log(`${opened} of 6 copies open as they are, ${refused} say that they are damaged`)
  // Once it is closed, a copy is a database.
  await db.close()
  await cp(data, join(home, 'copy'), { recursive: true })
  const copy = await restored(t, join(home, 'copy'))
  t.true((await contents(copy)).length >= 2_000)
})
