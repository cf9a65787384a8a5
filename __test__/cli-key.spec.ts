// Encrypted databases and the program `cairn`: the key comes from a file, and never goes out again.
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { writeFileSync } from 'node:fs'
import test, { type ExecutionContext } from 'ava'
import { open } from '#ts/index.js'
import { cairn, cairnUnder, placeFor, put, type Place } from './helpers/cli.js'

/** A place with an encrypted database, and its key in `raw.key` and `hex.key`. */
async function placeWithSecret(
  t: ExecutionContext,
): Promise<Place & { readonly key: Uint8Array; readonly directory: string }> {
  const place = placeFor(t)
  const key = randomBytes(32)
  writeFileSync(join(place.cwd, 'raw.key'), key)
  // As `openssl rand -hex 32 > hex.key` writes it.
  put(join(place.cwd, 'hex.key'), `${key.toString('hex')}\n`)
  writeFileSync(join(place.cwd, 'wrong.key'), randomBytes(32))
  const directory = join(place.cwd, 'cairn-data')
  const db = await open(directory, { encryption: { key, keyId: '2026' } })
  const docs = await db.collection('docs', { vectors: { dim: 1, metric: 'l2' } })
  await docs.upsert({ key: 'a', vector: [1] })
  await db.close()
  return { ...place, key, directory }
}

test('an encrypted database is read and written with the key of a file, of bytes or of hex digits', async (t) => {
  const place = await placeWithSecret(t)
  put(join(place.cwd, 'rows.jsonl'), '{"key":"b","vector":[2]}\n')
  const hex = Buffer.from(place.key).toString('hex')
  for (const file of ['raw.key', 'hex.key']) {
    for (const command of [
      ['stats'],
      ['collections'],
      ['get', 'docs', 'a'],
      ['export', 'docs', '-'],
      ['import', 'docs', 'rows.jsonl'],
      ['compact'],
      ['verify'],
      ['doctor'],
      ['backup', `backups-${file}`],
      ['restore', `backups-${file}`, `restored-${file}`],
      ['stats', `restored-${file}`],
      ['settings'],
    ]) {
      const { code, stdout, stderr } = await cairn(place, ...command, '--key-file', file)
      t.is(code, 0, `${command.join(' ')}: ${stderr}`)
      const said = (stdout + stderr).toLowerCase()
      t.false(said.includes(hex) || said.includes(hex.slice(0, 16)), command[0])
    }
  }
  const stats = await cairn(place, 'stats', '--key-file', 'hex.key', '--output', 'csv')
  t.regex(stats.stdout, /^collection,count,[^\n]*\ndocs,2,/)
})

test('the key file is named by CAIRN_KEY_FILE, or by the file of a project', async (t) => {
  const place = await placeWithSecret(t)
  const byVariable = await cairnUnder(place, { CAIRN_KEY_FILE: 'raw.key' }, 'get', 'docs', 'a')
  t.is(byVariable.code, 0, byVariable.stderr)
  put(join(place.cwd, 'cairn.json'), { keyFile: 'raw.key', output: 'json' })
  const byFile = await cairn(place, 'get', 'docs', 'a')
  t.is(byFile.code, 0, byFile.stderr)
  const shown = await cairn(place, 'settings')
  const rows = JSON.parse(shown.stdout) as { setting: string }[]
  t.like(
    rows.find(({ setting }) => setting === 'keyFile'),
    { value: join(place.cwd, 'raw.key'), source: 'project file' },
  )
})

test('a wrong key and a missing one end with 1 and the id of the key that is needed', async (t) => {
  const place = await placeWithSecret(t)
  t.is((await cairn(place, 'backup', 'backups', '--key-file', 'raw.key')).code, 0)
  const id = /^cairn: ERR_INVALID_ARGUMENT: .*keyId="2026"/
  for (const key of [[], ['--key-file', 'wrong.key']]) {
    for (const command of [
      ['stats'],
      ['get', 'docs', 'a'],
      ['compact'],
      ['backup', 'more'],
      ['restore', 'backups', 'restored'],
    ]) {
      const { code, stdout, stderr } = await cairn(place, ...command, ...key)
      t.deepEqual([code, stdout], [1, ''], command.join(' '))
      t.regex(stderr, id, command.join(' '))
    }
  }
})

test('without its key an encrypted database is verified by its checksums, with it as a whole', async (t) => {
  const place = await placeWithSecret(t)
  for (const [key, encryption] of [
    [[], 'checksums'],
    [['--key-file', 'raw.key'], 'decrypted'],
  ] as const) {
    const verified = await cairn(place, 'verify', '--output', 'json', ...key)
    t.is(verified.code, 0, verified.stderr)
    t.like(JSON.parse(verified.stdout), { ok: true, encryption })
  }
})

test('the key of a rotation opens, whatever its id', async (t) => {
  const place = await placeWithSecret(t)
  t.is((await cairn(place, 'backup', 'backups', '--key-file', 'raw.key')).code, 0)
  const db = await open(place.directory, { encryption: { key: place.key, keyId: '2026' } })
  const newer = randomBytes(32)
  await db.rotateKey({ key: newer, keyId: '2027' })
  await db.backup(join(place.cwd, 'backups'))
  await db.close()
  writeFileSync(join(place.cwd, 'newer.key'), newer)
  t.is((await cairn(place, 'stats', '--key-file', 'newer.key')).code, 0)
  t.is((await cairn(place, 'stats', '--key-file', 'raw.key')).code, 1)
  // Each backup opens with the key of its time.
  for (const [id, good, bad] of [
    ['1', 'raw.key', 'newer.key'],
    ['2', 'newer.key', 'raw.key'],
  ] as const) {
    const into = `restored${id}`
    const refused = await cairn(place, 'restore', 'backups', into, '--id', id, '--key-file', bad)
    t.is(refused.code, 1, refused.stderr)
    const restored = await cairn(place, 'restore', 'backups', into, '--id', id, '--key-file', good)
    t.is(restored.code, 0, restored.stderr)
  }
})

test('a database that an import makes is encrypted when there is a key', async (t) => {
  const place = await placeWithSecret(t)
  put(join(place.cwd, 'rows.jsonl'), '{"key":"b","vector":[2]}\n')
  put(join(place.cwd, 'schema.json'), { vectors: { dim: 1, metric: 'l2' } })
  const words = ['import', 'docs', 'rows.jsonl', '--schema', 'schema.json', '--dir', 'new']
  t.is((await cairn(place, ...words, '--key-file', 'raw.key')).code, 0)
  t.is((await cairn(place, 'stats', 'new')).code, 1)
  t.is((await cairn(place, 'stats', 'new', '--key-file', 'hex.key')).code, 0)
})

test('a key for a database that is not encrypted ends with 2, a key file that is not there with 5', async (t) => {
  const place = await placeWithSecret(t)
  await (await open(join(place.cwd, 'clear'))).close()
  const needless = await cairn(place, 'stats', 'clear', '--key-file', 'raw.key')
  t.deepEqual([needless.code, needless.stdout], [2, ''])
  t.regex(needless.stderr, /^cairn: ERR_INVALID_ARGUMENT: /)
  const absent = await cairn(place, 'stats', '--key-file', 'nowhere.key')
  t.deepEqual([absent.code, absent.stdout], [5, ''])
  t.regex(absent.stderr, /^cairn: ERR_NOT_FOUND: .*nowhere\.key/)
  // Nothing reads it where it is not needed.
  t.is((await cairn(place, 'settings', '--key-file', 'nowhere.key')).code, 0)
})
