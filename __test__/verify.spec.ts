// Checks and repairs through the package: damage is reported, never thrown, and what is whole is saved.
import { cpSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { open, repair, verify, type Encryption } from '#ts/index.js'
import { fails } from './helpers/expect.js'
import { temporaryDirectory } from './helpers/home.js'

const schema = { vectors: { dim: 4, metric: 'l2' }, fields: { n: 'int' } } as const

function rows(from: number, to: number) {
  return Array.from({ length: to - from }, (_, offset) => {
    const n = from + offset
    return { key: `k${n}`, vector: [n, 1, 2, 3], fields: { n } }
  })
}

/** A closed database with a segment, a deletion and a log. */
async function make(t: ExecutionContext, encryption?: Encryption): Promise<string> {
  const directory = join(temporaryDirectory(t), 'data')
  const db = await open(directory, { encryption })
  const docs = await db.collection('docs', schema)
  await docs.upsert(rows(0, 2000))
  await docs.compact()
  await docs.upsert(rows(5000, 5010))
  await docs.delete(['k1', 'k2'])
  await db.close()
  return directory
}

function files(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
}

function flip(file: string, at: number): void {
  const bytes = readFileSync(file)
  bytes[at] = (bytes[at] ?? 0) ^ 4
  writeFileSync(file, bytes)
}

function segmentOf(directory: string): string {
  const found = files(directory).find((file) => file.endsWith('.seg'))
  if (found === undefined) throw new Error('no segment')
  return found
}

test('a database that is whole has no problems, open or not', async (t) => {
  const directory = await make(t)
  const report = await verify(directory)
  t.like(report, { ok: true, problems: [] })
  t.true(report.files >= 6 && report.bytes > 2000 * 16)
  const db = await open(directory)
  const progress: number[] = []
  const live = await db.verify({ onProgress: ({ done }) => progress.push(done) })
  t.like(live, { ok: true, problems: [] })
  t.true(live.files >= 5)
  await fails(t, () => verify(directory), 'ERR_LOCKED')
  await db.close()
})

test('all damage is told with its place, and nothing is written', async (t) => {
  const directory = await make(t)
  const segment = segmentOf(directory)
  flip(segment, 100)
  flip(segment, 9000)
  symlinkSync('/etc/passwd', join(directory, 'link'))
  writeFileSync(join(directory, 'catalog', 'notes.txt'), 'not ours')
  const before = files(directory).map((file) => readFileSync(file).toString('base64'))
  const { ok, problems } = await verify(directory)
  t.false(ok)
  t.deepEqual(
    problems.map(({ kind, file, section, offset, bytes, records }) => [
      kind,
      file,
      section,
      offset,
      bytes,
      records,
    ]),
    [
      ['foreign', join(directory, 'link'), null, 0, 0, null],
      ['foreign', join(directory, 'catalog', 'notes.txt'), null, 0, 0, null],
      ['damaged', segment, 'VECTORS', 64, 4096, 256],
      ['damaged', segment, 'VECTORS', 64 + 8192, 4096, 256],
    ],
  )
  t.deepEqual(
    files(directory).map((file) => readFileSync(file).toString('base64')),
    before,
  )
})

test('a check ends when its signal does, and refuses what is no directory', async (t) => {
  const directory = await make(t)
  await fails(t, () => verify(directory, { signal: AbortSignal.abort() }), 'ERR_ABORTED')
  await fails(t, () => verify(join(directory, 'nothing')), 'ERR_NOT_FOUND')
  await fails(t, () => verify(7 as unknown as string), 'ERR_INVALID_ARGUMENT')
  await fails(t, () => verify(directory, { deep: true } as object), 'ERR_INVALID_ARGUMENT')
})

test('a repair saves all but what is damaged, and says what that is', async (t) => {
  const directory = await make(t)
  flip(segmentOf(directory), 100)
  const target = join(temporaryDirectory(t), 'saved')
  const report = await repair(directory, { target })
  // Two of the damaged rows were deleted since; rows of a segment are counted all the same.
  t.deepEqual(report.collections, [
    { name: 'docs', records: 2000 + 10 - 256, lost: 256, doubtful: 0 },
  ])
  t.is(report.problems.length, 1)
  t.true(report.lost.length > 0 && report.lost.every(({ keys }) => keys.length > 0))
  t.like(await verify(target), { ok: true })
  const db = await open(target)
  const docs = await db.openCollection<typeof schema>('docs')
  t.is(await docs.count(), 2000 + 10 - 256)
  t.is((await docs.get('k1999'))?.fields.n, 1999)
  t.is(await docs.get('k1'), null)
  await db.close()
})

test('a repair refuses a target that is not empty, and one inside the database', async (t) => {
  const directory = await make(t)
  const full = temporaryDirectory(t)
  mkdirSync(join(full, 'something'))
  await fails(t, () => repair(directory, { target: full }), 'ERR_ALREADY_EXISTS')
  await fails(
    t,
    () => repair(directory, { target: join(directory, 'new') }),
    'ERR_INVALID_ARGUMENT',
  )
  await fails(t, () => repair(directory, {} as { target: string }), 'ERR_INVALID_ARGUMENT')
  const copy = join(temporaryDirectory(t), 'copy')
  cpSync(directory, copy, { recursive: true })
  t.like(await verify(copy), { ok: true })
})

test('an encrypted database is checked whole with its key, by its checksums without', async (t) => {
  const encryption = { keyId: 'mine', key: new Uint8Array(32).fill(7) }
  const directory = await make(t, encryption)
  t.like(await verify(directory, { encryption }), { ok: true, encryption: 'decrypted' })
  const blind = await verify(directory)
  t.like(blind, { ok: true, encryption: 'checksums' })
  t.true(blind.notes.some(({ kind }) => kind === 'sealed'))
  const wrong = { keyId: 'mine', key: new Uint8Array(32).fill(8) }
  const error = await fails(
    t,
    () => verify(directory, { encryption: wrong }),
    'ERR_INVALID_ARGUMENT',
  )
  t.is(error?.details['keyId'], 'mine')
  await fails(t, async () => verify(await make(t), { encryption }), 'ERR_INVALID_ARGUMENT')
  const segment = segmentOf(directory)
  flip(segment, 100)
  for (const options of [{ encryption }, {}]) {
    const { problems } = await verify(directory, options)
    t.deepEqual(
      problems.map(({ file, section, offset }) => [file, section, offset]),
      [[segment, 'VECTORS', 64]],
    )
  }
})

test('an encrypted database is repaired with its key, into an encrypted one', async (t) => {
  const keys = new Map([
    ['old', new Uint8Array(32).fill(1)],
    ['new', new Uint8Array(32).fill(2)],
  ])
  const get = (id: string) => keys.get(id) ?? new Uint8Array(32)
  const provider = (id: string) => ({ current: () => ({ id, key: get(id) }), get })
  const directory = await make(t, provider('old'))
  flip(segmentOf(directory), 100)
  const target = join(temporaryDirectory(t), 'saved')
  await fails(t, () => repair(directory, { target }), 'ERR_INVALID_ARGUMENT')
  const report = await repair(directory, { target, encryption: provider('new') })
  t.is(report.collections[0]?.records, 2000 + 10 - 256)
  await fails(t, () => open(target), 'ERR_INVALID_ARGUMENT')
  const db = await open(target, { encryption: { keyId: 'new', key: get('new') } })
  const docs = await db.openCollection<typeof schema>('docs')
  t.is((await docs.get('k1999'))?.fields.n, 1999)
  await db.close()
})

test('versions are checked with the rest, and a repair says that it leaves them', async (t) => {
  const directory = await make(t)
  const db = await open(directory)
  const { version } = await db.snapshot('kept')
  t.like(await db.verify(), { ok: true })
  await db.close()
  const target = join(temporaryDirectory(t), 'saved')
  const report = await repair(directory, { target })
  t.deepEqual(report.versions, [{ version, name: 'kept', isReadable: true }])
  const record = files(directory).find((file) => file.endsWith('.ver')) ?? ''
  flip(record, 60)
  const { problems } = await verify(directory)
  t.deepEqual(
    problems.map(({ kind, file }) => [kind, file]),
    [['damaged', record]],
  )
})
