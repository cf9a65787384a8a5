// Places where a database cannot live, and disks that fill up.
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { pathToFileURL } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { CairnError, open } from '#ts/index.js'
import { fails, outcome } from './helpers/expect.js'
import { temporaryDirectory } from './helpers/home.js'
import { randomMatrix } from './helpers/random.js'

const schema = { vectors: { dim: 64, metric: 'l2' } } as const

/** Codes for ground that does not hold. */
const ground = new Set(['ERR_IO', 'ERR_INVALID_ARGUMENT', 'ERR_NO_SPACE'])

async function refused(t: ExecutionContext, target: string): Promise<void> {
  const error = await outcome(() => open(target))
  t.true(error instanceof CairnError, String(error))
  if (error instanceof CairnError) t.true(ground.has(error.code), error.message)
}

test('a path that is a file is refused', async (t) => {
  const file = join(temporaryDirectory(t), 'file')
  writeFileSync(file, 'text')
  await refused(t, file)
  await refused(t, join(file, 'below'))
})

test('a path through a circle of links is refused', async (t) => {
  const directory = temporaryDirectory(t)
  symlinkSync(join(directory, 'b'), join(directory, 'a'))
  symlinkSync(join(directory, 'a'), join(directory, 'b'))
  await refused(t, join(directory, 'a'))
})

test('a path of 5,000 characters is refused', async (t) => {
  await refused(t, join(temporaryDirectory(t), 'x'.repeat(5000)))
})

// The place is below /proc, which is Linux's.
const linux = process.platform === 'linux' ? test : test.skip

linux('a directory where nothing can be made is refused', async (t) => {
  await refused(t, '/proc/cairn')
})

test('a directory given as a file URL, or with odd characters, works', async (t) => {
  const directory = join(temporaryDirectory(t), 'a b\u00e9#%?')
  const db = await open(pathToFileURL(directory))
  const docs = await db.collection('docs', schema)
  await docs.upsert({ keys: ['a'], vectors: randomMatrix(1, 64, 1) })
  await db.close()
  const again = await open(directory)
  t.true(await (await again.openCollection('docs')).has('a'))
  await again.close()
})

test('a directory that holds something else is left alone', async (t) => {
  const directory = temporaryDirectory(t)
  writeFileSync(join(directory, 'notes.txt'), 'mine')
  mkdirSync(join(directory, 'folder'))
  const db = await open(directory)
  await db.close()
  t.pass()
})

test('a log directory elsewhere is used', async (t) => {
  const directory = temporaryDirectory(t)
  const [data, walDir] = [join(directory, 'data'), join(directory, 'logs')]
  for (let round = 0; round < 2; round += 1) {
    const db = await open(data, { walDir })
    const docs = await db.collection('docs', schema)
    t.is(await docs.count(), round)
    await docs.upsert({ keys: [`k${round}`], vectors: randomMatrix(1, 64, 1) })
    t.true(logsIn(walDir).length > 0, 'there is no log where it should be')
    t.deepEqual(logsIn(data), [], 'there is a log beside the data')
    await db.close()
  }
})

function logsIn(directory: string): string[] {
  return everythingIn(directory).filter((file) => file.endsWith('.wal'))
}

function everythingIn(directory: string): string[] {
  return readdirSync(directory, { recursive: true }).map(String).sort()
}

// Windows has neither modes of directories nor user ids to give up.
const unix = process.platform === 'win32' ? test.skip : test
const isRoot = process.getuid?.() === 0

/** Tries to open a directory as somebody who may not write there. The addon is loaded before the rights go. */
const strange = `
  const { open, simdLevel } = await import(process.argv[1])
  simdLevel()
  if (process.getuid() === 0) {
    process.setgroups([])
    process.setgid(65534)
    process.setuid(65534)
  }
  const settled = await open(process.argv[2]).then(() => 'opened', ({ code, message }) => ({ code, message }))
  console.log(JSON.stringify(settled))`

/** What is there before. */
const grounds: readonly (readonly [string, (data: string) => Promise<void>])[] = [
  ['nothing', async () => undefined],
  ['an empty directory', async (data) => mkdirSync(data)],
  ['a database', async (data) => (await open(data)).close()],
]

for (const [title, prepare] of grounds) {
  // Whoever owns a database may write to its files, whatever the mode of the directory.
  const possible = isRoot || title !== 'a database' ? unix : test.skip
  possible(`a directory that may not be written is refused by name: ${title}`, async (t) => {
    const directory = temporaryDirectory(t)
    const data = join(directory, 'data')
    await prepare(data)
    const before = everythingIn(directory)
    // Everybody may look; root is no longer root when it tries.
    const [closed, opened] = isRoot ? [0o755, 0o755] : [0o500, 0o700]
    const places = title === 'nothing' ? [directory] : [directory, data]
    for (const place of places.toReversed()) chmodSync(place, closed)
    t.teardown(() => {
      for (const place of places) chmodSync(place, opened)
    })
    const entry = new URL('../index.js', import.meta.url).href
    const child = spawnSync(process.execPath, ['--input-type=module', '-e', strange, entry, data], {
      encoding: 'utf8',
    })
    t.is(child.status, 0, child.stderr)
    const { code, message } = JSON.parse(child.stdout) as { code: string; message: string }
    t.regex(code, /^ERR_(IO|READ_ONLY)$/, message)
    t.true(message.includes(data), message)
    t.deepEqual(everythingIn(directory), before, 'something was written')
  })
}

test('two databases of one process do not know each other', async (t) => {
  const directory = temporaryDirectory(t)
  const [one, two] = await Promise.all(['one', 'two'].map((name) => open(join(directory, name))))
  const docs = await one?.collection('docs', schema)
  await docs?.upsert({ keys: ['a'], vectors: randomMatrix(1, 64, 1) })
  t.deepEqual(await two?.listCollections(), [])
  await one?.close()
  await two?.close()
})

// A small file system of its own needs the right to mount one.
const mounts =
  process.platform === 'linux' &&
  process.getuid?.() === 0 &&
  spawnSync('unshare', ['--mount', 'true']).status === 0
const small = mounts ? test.serial : test.serial.skip

small(
  'a full disk refuses writes, keeps what it has, and takes more when there is room',
  async (t) => {
    const directory = temporaryDirectory(t)
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', directory])
    if (mounted.status !== 0) {
      t.log('left out: no file system can be mounted here')
      t.pass()
      return
    }
    t.teardown(() => spawnSync('umount', ['--lazy', directory]))
    const data = join(directory, 'data')
    const db = await open(data, {
      memtableBytes: 64 * 1024,
      walBytesMax: 1024 * 1024,
      onWarning: () => undefined,
    })
    const docs = await db.collection('docs', schema)
    const acknowledged: string[] = []
    let refusal: unknown
    for (let batch = 0; batch < 400 && refusal === undefined; batch += 1) {
      const keys = Array.from({ length: 50 }, (_, at) => `k${batch}-${at}`)
      try {
        await docs.upsert({ keys, vectors: randomMatrix(50, 64, batch) })
        acknowledged.push(...keys)
      } catch (error) {
        refusal = error
      }
    }
    t.true(refusal instanceof CairnError)
    if (refusal instanceof CairnError) t.is(refusal.code, 'ERR_NO_SPACE', refusal.message)
    t.true(acknowledged.length > 0)
    t.true((await docs.has(acknowledged)).every(Boolean), 'reads go on')
    await outcome(() => db.close())

    spawnSync('mount', ['-o', 'remount,size=64m', directory])
    const again = await open(data, { onWarning: () => undefined })
    t.teardown(() => again.close())
    const reopened = await again.openCollection<typeof schema>('docs')
    t.true((await reopened.has(acknowledged)).every(Boolean))
    t.is((await reopened.count()) % 50, 0, 'a batch is torn')
    await reopened.upsert({ keys: ['more'], vectors: randomMatrix(1, 64, 1) })
    t.true(await reopened.has('more'))
  },
)

small(
  'a nearly full disk refuses writes, can be flushed, and takes more when there is room',
  async (t) => {
    const directory = temporaryDirectory(t)
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'tmpfs', directory])
    if (mounted.status !== 0) {
      t.log('left out: no file system can be mounted here')
      t.pass()
      return
    }
    t.teardown(() => spawnSync('umount', ['--lazy', directory]))
    const warnings: string[] = []
    const db = await open(join(directory, 'data'), {
      onWarning: ({ code }) => warnings.push(code),
    })
    t.teardown(() => db.close())
    const docs = await db.collection('docs', schema)
    const write = async (batch: number): Promise<void> => {
      const keys = Array.from({ length: 50 }, (_, at) => `k${batch}-${at}`)
      await docs.upsert({ keys, vectors: randomMatrix(50, 64, batch) }, { durability: 'memory' })
    }
    let batches = 0
    const error = await outcome(async () => {
      for (; batches < 1000; batches += 1) await write(batches)
    })
    t.true(error instanceof CairnError, String(error))
    if (error instanceof CairnError) {
      t.is(error.code, 'ERR_NO_SPACE', error.message)
      t.true(error.retryable)
      t.true(Number(error.details['free']) < Number(error.details['needed']), error.message)
    }
    t.true(batches > 10)
    t.is(await docs.count(), 50 * batches)
    await fails(t, () => write(batches), 'ERR_NO_SPACE')
    t.deepEqual(warnings, ['WARN_FREE_SPACE'])

    // What memory alone has finds the room that was kept for it.
    await db.commit()
    const { segments, memtableRows } = await docs.stats()
    t.true(segments.length > 0)
    t.is(memtableRows, 0)
    t.is(await docs.count(), 50 * batches)

    spawnSync('mount', ['-o', 'remount,size=64m', directory])
    await write(batches)
    t.is(await docs.count(), 50 * (batches + 1))
  },
)

test('a database in memory leaves nothing on the disk', async (t) => {
  const directory = temporaryDirectory(t)
  const program = `
    const { open } = await import(process.argv[1])
    const db = await open(':memory:')
    const docs = await db.collection('docs', { vectors: { dim: 2, metric: 'l2' } })
    await docs.upsert({ key: 'a', vector: [1, 2] })
    await db.compact()
    await db.close()`
  const entry = new URL('../index.js', import.meta.url).href
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', program, entry], {
    cwd: directory,
    encoding: 'utf8',
  })
  t.is(child.status, 0, child.stderr)

  t.deepEqual(readdirSync(directory), [])
  await fails(t, () => open(''), 'ERR_INVALID_ARGUMENT')
})
