// Encrypted databases: nothing readable on disk, the right key and no other, and keys that change.
import { randomBytes } from 'node:crypto'
import { cpSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { CairnError, open, type KeyProvider, type OpenOptions } from '#ts/index.js'
import { fails, outcome } from './helpers/expect.js'
import { directoryHome, openFor, temporaryDirectory } from './helpers/home.js'

const schema = {
  vectors: { dim: 4, metric: 'cosine' },
  fields: { secretfield: 'text' },
} as const

const vector = new Float32Array([1.234_567_8, -8.765_432, 3.333_333_7, 9.876_543])

const marks: readonly (readonly [string, Buffer])[] = [
  ['collection', Buffer.from('secretcollection')],
  ['key', Buffer.from('secretkey')],
  ['field', Buffer.from('secretfield')],
  ['value', Buffer.from('a secret value')],
  ['vector', Buffer.from(vector.buffer)],
]

/** Which of the marks can be read somewhere below `directory`. */
function readable(directory: string): string[] {
  const found = new Set<string>()
  for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    const path = join(directory, name)
    let bytes: Buffer
    try {
      bytes = readFileSync(path)
    } catch {
      continue
    }
    for (const [mark, text] of marks) if (bytes.includes(text)) found.add(mark)
  }
  return [...found].toSorted()
}

/** A database with a segment that has a graph, and something in its log. Left open. */
async function filled(t: Parameters<typeof openFor>[0], target: string, options: OpenOptions) {
  const db = await openFor(t, target, { memtableBytes: 64 * 1024, ...options })
  const docs = await db.collection('secretcollection', schema)
  const rows = (from: number, count: number) =>
    Array.from({ length: count }, (_, at) => ({
      key: `secretkey${from + at}`,
      vector,
      fields: { secretfield: `a secret value ${at}` },
    }))
  await docs.upsert(rows(0, 1500))
  await docs.compact()
  await docs.upsert(rows(2000, 20))
  await docs.delete('secretkey3')
  return db
}

async function count(target: string, encryption?: OpenOptions['encryption']): Promise<number> {
  await using db = await open(target, { encryption })
  const docs = await db.openCollection<typeof schema>('secretcollection')
  const record = await docs.get('secretkey7')
  if (record?.fields.secretfield !== 'a secret value 7') throw new Error('another record')
  return docs.count()
}

test('nothing that was written can be read in the files', async (t) => {
  const [clear, sealed] = [directoryHome.target(t), directoryHome.target(t)]
  const key = randomBytes(32)
  await filled(t, clear, {})
  const db = await filled(t, sealed, { encryption: { key } })
  t.deepEqual(readable(clear), marks.map(([name]) => name).toSorted(), 'the search is blind')
  t.deepEqual(readable(sealed), [])
  // As a process that was killed would leave it.
  const image = join(temporaryDirectory(t), 'image')
  cpSync(sealed, image, { recursive: true })
  t.is(await count(image, { key }), 1519)
  t.deepEqual(readable(image), [])
  await db.close()
  t.deepEqual(readable(sealed), [])
  t.is(await count(sealed, { key }), 1519)
})

test('a key that does not fit is refused, and says which one is needed', async (t) => {
  const target = directoryHome.target(t)
  const db = await filled(t, target, { encryption: { keyId: 'first', key: randomBytes(32) } })
  await db.close()
  const facts = { keyId: 'first', directory: target }
  await fails(t, () => open(target), 'ERR_INVALID_ARGUMENT', facts)
  const wrong = { keyId: 'other', key: randomBytes(32) }
  const error = await fails(
    t,
    () => open(target, { encryption: wrong }),
    'ERR_INVALID_ARGUMENT',
    facts,
  )
  t.regex(error?.message ?? '', /the key does not open this database/)

  const clear = directoryHome.target(t)
  await (await open(clear)).close()
  const given = await fails(t, () => open(clear, { encryption: wrong }), 'ERR_INVALID_ARGUMENT', {
    directory: clear,
  })
  t.regex(given?.message ?? '', /not encrypted/)
})

test('no error shows a key', async (t) => {
  const target = directoryHome.target(t)
  await (await open(target, { encryption: { key: randomBytes(32) } })).close()
  const text = 'q0w9e8r7t6y5u4i3o2p1a0s9d8f7g6h5'
  const key = Buffer.from(text)
  const shapes: unknown[] = [
    { key },
    { key: text },
    { key: [...key] },
    { key: key.subarray(1) },
    { keyId: 'x', key: text.slice(1) },
    { current: () => ({ id: 'a', key: text }), get: () => text },
    text,
  ]
  for (const encryption of shapes) {
    const error = await outcome(() => open(target, { encryption: encryption as never }))
    if (!(error instanceof CairnError)) {
      t.fail(String(error))
      return
    }
    t.is(error.code, 'ERR_INVALID_ARGUMENT')
    const shown = JSON.stringify([error.message, error.details, error.stack])
    for (const secret of [text.slice(4, 20), key.toString('hex'), [...key].slice(4, 9).join(',')])
      t.false(shown.includes(secret), shown)
  }
})

test('what is not a key is refused before anything is opened', async (t) => {
  const good = new Uint8Array(32)
  const shared = new Uint8Array(new SharedArrayBuffer(32))
  const shapes: unknown[] = [
    null,
    5,
    [],
    {},
    { key: new Uint8Array(31) },
    { key: new Uint8Array(33) },
    { key: new Float32Array(32) },
    { key: shared },
    { keyId: '', key: good },
    { keyId: 5, key: good },
    { keyId: 'x'.repeat(257), key: good },
    { keyId: '\ud800', key: good },
    { key: good, keyid: 'x' },
    { current: () => ({ id: 'a', key: good }) },
    { get: () => good },
    { current: 5, get: () => good },
  ]
  const target = directoryHome.target(t)
  for (const encryption of shapes) {
    const facts = { path: Object(encryption).keyid === undefined ? 'encryption' : 'keyid' }
    await fails(
      t,
      () => open(target, { encryption: encryption as never }),
      'ERR_INVALID_ARGUMENT',
      facts,
    )
  }
  t.throws(() => readdirSync(target), { code: 'ENOENT' })
})

/** Keys by id, and what was asked for. */
function vault(newest: string) {
  const asked: string[] = []
  const keys = new Map<string, Uint8Array>()
  const keyOf = (id: string) => {
    const key = keys.get(id) ?? new Uint8Array(randomBytes(32))
    keys.set(id, key)
    return key
  }
  const provider: KeyProvider = {
    current: async () => {
      asked.push('current')
      return { id: newest, key: keyOf(newest) }
    },
    get: async (id) => {
      asked.push(id)
      if (!keys.has(id)) throw new Error(`no key ${id}`)
      return keyOf(id)
    },
  }
  return { asked, keys, provider, renew: (id: string) => (newest = id) }
}

test('a provider is asked for the key that the database has', async (t) => {
  const target = directoryHome.target(t)
  const { asked, keys, provider, renew } = vault('2025')
  const db = await filled(t, target, { encryption: provider })
  t.deepEqual(asked, ['current'])
  await db.close()
  renew('2026')
  t.is(await count(target, provider), 1519)
  t.deepEqual(asked, ['current', '2025'])

  const again = await open(target, { encryption: provider })
  await again.rotateKey(provider)
  await again.close()
  t.is(await count(target, provider), 1519)
  t.deepEqual(asked.slice(2), ['2025', 'current', '2026'])

  keys.delete('2026')
  const error = await fails(
    t,
    () => open(target, { encryption: provider }),
    'ERR_INVALID_ARGUMENT',
    { keyId: '2026' },
  )
  t.regex(String(error?.cause), /no key 2026/)
})

test('after a rotation the new key opens the database and the old one does not', async (t) => {
  const target = directoryHome.target(t)
  const [first, second] = [randomBytes(32), randomBytes(32)]
  const db = await filled(t, target, { encryption: { keyId: 'first', key: first } })
  await db.rotateKey({ keyId: 'second', key: second })
  const docs = await db.openCollection<typeof schema>('secretcollection')
  await docs.upsert({ key: 'secretkey9999', vector, fields: { secretfield: 'a secret value' } })
  await db.close()
  await fails(
    t,
    () => open(target, { encryption: { keyId: 'first', key: first } }),
    'ERR_INVALID_ARGUMENT',
    { keyId: 'second' },
  )
  t.is(await count(target, { key: second }), 1520)
  t.deepEqual(readable(target), [])
})

test('a key can be overwritten as soon as open was called', async (t) => {
  const target = directoryHome.target(t)
  const key = randomBytes(32)
  const kept = Uint8Array.from(key)
  const opening = open(target, { encryption: { key } })
  key.fill(0)
  const db = await opening
  const other = randomBytes(32)
  const rotated = Uint8Array.from(other)
  const rotating = db.rotateKey({ keyId: 'other', key: other })
  other.fill(0)
  await rotating
  await db.close()
  await fails(t, () => open(target, { encryption: { key: kept } }), 'ERR_INVALID_ARGUMENT')
  await (await open(target, { encryption: { key: rotated } })).close()
})

test('a database that is not encrypted has no key to change', async (t) => {
  const db = await openFor(t, directoryHome.target(t))
  await fails(t, () => db.rotateKey({ key: randomBytes(32) }), 'ERR_INVALID_ARGUMENT')
  await fails(t, () => db.rotateKey(undefined as never), 'ERR_INVALID_ARGUMENT')
  await db.close()
  await fails(t, () => db.rotateKey({ key: randomBytes(32) }), 'ERR_CLOSED')
})

test('memory takes a key, too', async (t) => {
  const db = await openFor(t, ':memory:', { encryption: { key: randomBytes(32) } })
  const docs = await db.collection('secretcollection', schema)
  await docs.upsert({ key: 'a', vector, fields: { secretfield: 'x' } })
  await db.rotateKey({ keyId: 'second', key: randomBytes(32) })
  t.is(await docs.count(), 1)
})

test('a new key under the id of the current one is refused, and changes nothing', async (t) => {
  const target = directoryHome.target(t)
  const [first, second] = [randomBytes(32), randomBytes(32)]
  const db = await filled(t, target, { encryption: { key: first } })
  const namesake = () => db.rotateKey({ key: second })
  const error = await fails(t, namesake, 'ERR_INVALID_ARGUMENT', { keyId: 'default' })
  t.regex(error?.message ?? '', /it needs an id of its own/)
  await db.rotateKey({ key: first })
  await db.rotateKey({ keyId: 'second', key: second })
  await fails(t, () => db.rotateKey({ keyId: 'second', key: first }), 'ERR_INVALID_ARGUMENT', {
    keyId: 'second',
  })
  await db.close()
  await fails(t, () => open(target, { encryption: { key: first } }), 'ERR_INVALID_ARGUMENT')
  t.is(await count(target, { key: second }), 1519)
})
