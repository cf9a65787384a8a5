// Every kind of file, cut short and with flipped bits: the database opens and answers rightly, or
// refuses and names the file. It never crashes, hangs, or answers wrongly.
import {
  cpSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, extname, join, relative } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import test from 'ava'
import { CairnError, open, type Collection, type CollectionInfo, type Database } from '#ts/index.js'
import { temporaryDirectory } from './helpers/home.js'
import { randomMatrix } from './helpers/random.js'

const dim = 16
const schema = { vectors: { dim, metric: 'l2' }, fields: { n: 'int', text: 'text' } } as const

type Docs = Collection<typeof schema>

/** Records by key: what a whole database answers. */
type Contents = ReadonlyMap<string, string>

let removeAll = (): void => undefined
let image: string
let whole: Contents
/** Versions of the last writes, which a cut log may lack. */
let tail: ReadonlySet<string>

test.before(async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-'))
  removeAll = () => rmSync(directory, { recursive: true, force: true })
  const live = join(directory, 'live')
  const db = await open(live, { memtableBytes: 64 * 1024 })
  const docs = await db.collection('docs', schema)
  await fill(docs, 0, 600)
  await docs.compact()
  // Deletions of flushed records and a second segment, by the background itself.
  await docs.delete(Array.from({ length: 50 }, (_, at) => `k${at}`))
  await fill(docs, 1000, 1600)
  for (let round = 0; round < 200 && (await docs.stats()).frozenMemtables > 0; round += 1)
    await delay(20)
  const flushed = new Set((await contents(docs)).keys())
  // What is in the log alone.
  for (const at of [0, 1, 2]) await docs.upsert(rowAt(5000 + at))
  await docs.delete('k100')
  whole = await contents(docs)
  tail = new Set(
    [...whole.keys(), ...flushed].filter((key) => !whole.has(key) || !flushed.has(key)),
  )
  image = join(directory, 'image')
  cpSync(live, image, { recursive: true })
  await db.close()
  t.true(
    kinds().length >= 7,
    kinds()
      .map(([kind]) => kind)
      .join(),
  )
})

test.after.always(() => removeAll())

async function fill(docs: Docs, from: number, to: number): Promise<void> {
  for (let at = from; at < to; at += 100) {
    await docs.upsert(Array.from({ length: 100 }, (_, offset) => rowAt(at + offset)))
  }
}

function rowAt(at: number) {
  return {
    key: `k${at}`,
    vector: randomMatrix(1, dim, at),
    fields: { n: at, text: `text of ${at} `.repeat(1 + (at % 5)) },
  }
}

async function contents(docs: Docs): Promise<Contents> {
  const found = new Map<string, string>()
  for await (const { key, version, fields, vector } of docs.scan({ vectors: true })) {
    found.set(key, JSON.stringify([String(version), fields, [...vector]]))
  }
  return found
}

/** One file of each kind, the newest. */
function kinds(): [kind: string, file: string][] {
  const files = readdirSync(image, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
  const byKind = new Map<string, string>()
  for (const file of files) {
    const where = relative(image, file).includes('collections') ? 'collection' : 'database'
    byKind.set(
      extname(file) === '' || extname(file) === '.holder'
        ? `${where} ${basename(file)}`
        : extname(file),
      file,
    )
  }
  return [...byKind].map(([kind, file]) => [kind, relative(image, file)])
}

type Mutation = (file: string) => void

function cut(share: number, more = 0): Mutation {
  return (file) =>
    truncateSync(file, Math.max(0, Math.floor(readFileSync(file).length * share) + more))
}

function flip(share: number, more = 0): Mutation {
  return (file) => {
    const bytes = readFileSync(file)
    const at = Math.min(bytes.length - 1, Math.max(0, Math.floor(bytes.length * share) + more))
    if (bytes.length > 0) bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8))
    writeFileSync(file, bytes)
  }
}

const mutations: readonly (readonly [string, Mutation])[] = [
  ['cut to nothing', cut(0)],
  ['cut to one byte', cut(0, 1)],
  ['cut to 20 bytes', cut(0, 20)],
  ['cut to a half', cut(0.5)],
  ['cut by one byte', cut(1, -1)],
  ['with a bit of its first byte flipped', flip(0)],
  ['with a bit of its 12th byte flipped', flip(0, 11)],
  ['with a bit of its 40th byte flipped', flip(0, 39)],
  ['with a bit at a third flipped', flip(1 / 3)],
  ['with a bit in the middle flipped', flip(0.5)],
  ['with a bit of its last byte flipped', flip(1, -1)],
  [
    'with its second half zeroed',
    (file) => {
      const bytes = readFileSync(file)
      writeFileSync(file, bytes.fill(0, bytes.length >> 1))
    },
  ],
  ['filled with 0xff', (file) => writeFileSync(file, readFileSync(file).fill(0xff))],
  [
    'twice as long',
    (file) => writeFileSync(file, Buffer.concat([readFileSync(file), readFileSync(file)])),
  ],
]

/** Codes that say that a file is not what it was. */
const refusals = new Set(['ERR_CORRUPT', 'ERR_UNSUPPORTED_FORMAT'])

for (const [title, mutate] of mutations) {
  test.serial(`each kind of file ${title}`, async (t) => {
    for (const [kind, file] of kinds()) {
      const directory = join(temporaryDirectory(t), 'data')
      cpSync(image, directory, { recursive: true })
      mutate(join(directory, file))
      const what = `${kind}: `
      let db: Database | undefined
      try {
        db = await open(directory)
        const docs = await db.openCollection<typeof schema>('docs')
        const found = await contents(docs)
        checkRight(what, found)
        const hits = await docs.search({ vector: randomMatrix(1, dim, 1), k: 2000, exact: true })
        t.is(hits.length, found.size, what)
      } catch (error) {
        if (!(error instanceof CairnError)) throw error
        t.true(refusals.has(error.code), `${what}${error.message}`)
        const named = String(error.details['file'])
        t.true(named.startsWith(directory), `${what}${error.message}`)
      } finally {
        await db?.close()
      }

      function checkRight(of: string, found: Contents): void {
        const wrong = [...found].filter(
          ([key, record]) => whole.has(key) && whole.get(key) !== record,
        )
        t.deepEqual(wrong, [], `${of}records changed`)
        const lost = [...whole.keys()].filter((key) => !found.has(key))
        const more = [...found.keys()].filter((key) => !whole.has(key))
        const allowed = kind === '.wal' ? tail : new Set()
        t.deepEqual(
          [...lost, ...more].filter((key) => !allowed.has(key)),
          [],
          `${of}records lost or back`,
        )
      }
    }
  })
}

test.serial(
  'a damaged collection is listed with its error and keeps no other from anything',
  async (t) => {
    const directory = join(temporaryDirectory(t), 'data')
    const before = await open(directory)
    for (const name of ['damaged', 'whole']) {
      await fill(await before.collection(name, schema), 0, 100)
    }
    await before.compact()
    await before.close()
    const manifests = join(directory, 'collections', '0000000000000001', 'manifest')
    for (const name of readdirSync(manifests)) flip(0.5)(join(manifests, name))

    const db = await open(directory)
    const listed = await db.listCollections()
    t.deepEqual(
      listed.map(({ name, count, error }) => [name, count, error?.code]),
      [
        ['damaged', 0, 'ERR_CORRUPT'],
        ['whole', 100, undefined],
      ],
    )
    const [damaged, whole] = listed as [CollectionInfo, CollectionInfo]
    t.true(damaged.error instanceof CairnError)
    t.true(String(damaged.error?.details['file']).startsWith(manifests))
    t.deepEqual(damaged.schema, whole.schema)
    t.false('error' in whole)

    const docs = await db.openCollection<typeof schema>('whole')
    await fill(docs, 100, 200)
    const { collections } = await db.stats()
    t.is(collections['whole']?.count, 200)
    t.is(collections['damaged']?.count, 0)
    t.regex(String(collections['damaged']?.lastBackgroundError), /manifest/)
    await t.throwsAsync(db.compact(), { instanceOf: CairnError, code: 'ERR_CORRUPT' })
    t.like(await docs.stats(), { memtableRows: 0, segments: { length: 1 } })
    t.is((await contents(docs)).size, 200)
    t.is((await docs.search({ vector: randomMatrix(1, dim, 7), k: 1 }))[0]?.key, 'k7')
    await t.throwsAsync(db.openCollection('damaged'), { code: 'ERR_CORRUPT' })
    await db.close()
  },
)
