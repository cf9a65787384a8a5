// The program `cairn` and what databases are saved into: directories of backups, and repaired databases.
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { doctor, open, repair, verify } from '#ts/index.js'
import { cairn, placeFor, type Place } from './helpers/cli.js'
import { everyFileOf } from './helpers/directory.js'
import { fails } from './helpers/expect.js'

/** A database with a collection of 100 records in a segment, and three backups, the first of which has a name. */
async function placeWithBackups(t: ExecutionContext): Promise<Place> {
  const place = placeFor(t)
  const db = await open(join(place.cwd, 'cairn-data'))
  const docs = await db.collection('docs', { vectors: { dim: 1, metric: 'l2' } })
  for (let round = 0; round < 3; round += 1) {
    const rows = Array.from({ length: 100 }, (_, n) => ({ key: `k${n}`, vector: [n + round] }))
    // oxlint-disable-next-line no-await-in-loop -- one after another
    await docs.upsert(rows)
    // oxlint-disable-next-line no-await-in-loop
    await db.backup(join(place.cwd, 'backups'), { name: round === 0 ? 'first' : undefined })
  }
  await db.close()
  return place
}

/** Turns one bit around in the middle of the first file below `directory` whose name ends so. */
function damage(directory: string, end: string): void {
  const names = readdirSync(directory, { recursive: true }).map(String)
  const path = join(directory, names.find((name) => name.endsWith(end)) ?? '')
  const bytes = readFileSync(path)
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1
  writeFileSync(path, bytes)
}

test('backups are listed, checked and thinned out', async (t) => {
  const place = await placeWithBackups(t)
  const before = everyFileOf(join(place.cwd, 'backups'))
  const listed = await cairn(place, 'backups', 'list', 'backups', '--output', 'csv')
  t.is(listed.code, 0, listed.stderr)
  t.regex(
    listed.stdout,
    /^id,name,version,created,files,bytesTotal,error\n1,first,1,\d{4}-[^\n]*\n/,
  )
  t.is(listed.stdout.trimEnd().split('\n').length, 4)

  const all = await cairn(place, 'backups', 'verify', 'backups', '--output', 'json')
  t.like(JSON.parse(all.stdout), { backups: 3 })
  const one = await cairn(place, 'backups', 'verify', 'backups', '--id', '2', '--output', 'json')
  t.like(JSON.parse(one.stdout), { backups: 1 })
  t.deepEqual(everyFileOf(join(place.cwd, 'backups')), before)

  const pruned = await cairn(place, 'backups', 'prune', 'backups', '--keep', '1', '--output=csv')
  t.deepEqual([pruned.code, pruned.stdout], [0, 'id\n1\n2\n'])
  const left = await cairn(place, 'backups', 'list', 'backups', '--output', 'json')
  t.deepEqual(
    (JSON.parse(left.stdout) as { id: number }[]).map(({ id }) => id),
    [3],
  )
  damage(join(place.cwd, 'backups'), '.seg')
  const bad = await cairn(place, 'backups', 'verify', 'backups')
  t.deepEqual([bad.code, bad.stdout], [1, ''])
  t.regex(bad.stderr, /^cairn: ERR_CORRUPT: .*file="/)
})

test('backups are asked for by a verb, a directory, and flags that go with the verb', async (t) => {
  const place = await placeWithBackups(t)
  const before = everyFileOf(join(place.cwd, 'backups'))
  for (const args of [
    [],
    ['list'],
    ['lst', 'backups'],
    ['toString', 'backups'],
    ['prune', 'backups'],
    ['prune', 'backups', '--keep', '0'],
    ['prune', 'backups', '--keep', '1', '--id', '1'],
    ['list', 'backups', '--keep', '1'],
    ['verify', 'backups', '--id', 'first'],
  ]) {
    const { code, stdout } = await cairn(place, 'backups', ...args)
    t.deepEqual([code, stdout], [2, ''], args.join(' '))
  }
  for (const args of [
    ['list', 'nowhere'],
    ['verify', 'nowhere'],
    ['verify', 'backups', '--id', '9'],
    ['prune', 'nowhere', '--keep', '1'],
  ]) {
    t.is((await cairn(place, 'backups', ...args)).code, 5, args.join(' '))
  }
  t.deepEqual(everyFileOf(join(place.cwd, 'backups')), before)
})

test('what checks a database says of a directory of backups that it is one, and what checks that', async (t) => {
  const place = await placeWithBackups(t)
  const path = join(place.cwd, 'backups')
  for (const command of [
    ['verify', 'backups'],
    ['doctor', 'backups'],
    ['repair', 'backups', 'new'],
  ]) {
    const { code, stdout, stderr } = await cairn(place, ...command)
    t.deepEqual([code, stdout], [2, ''], command[0])
    t.regex(stderr, /ERR_INVALID_ARGUMENT: this is a directory of backups.*cairn backups verify/)
  }
  for (const call of [
    () => verify(path),
    () => doctor(path),
    () => repair(path, { target: join(place.cwd, 'new') }),
  ]) {
    await fails(t, call, 'ERR_INVALID_ARGUMENT', { directory: path })
  }
  t.deepEqual(readdirSync(place.cwd).toSorted(), ['backups', 'cairn-data'])
})

test('repair saves a damaged database into a new one, and ends with 6 where rows are lost', async (t) => {
  const place = await placeWithBackups(t)
  t.is((await cairn(place, 'compact')).code, 0)
  const whole = await cairn(place, 'repair', 'cairn-data', 'copy', '--output', 'csv')
  t.deepEqual([whole.code, whole.stdout], [0, 'name,records,lost,doubtful\ndocs,100,0,0\n'])
  t.is(whole.stderr, 'cairn: 0 problems\n')
  const [old, young] = [
    await cairn(place, 'export', 'docs', '-'),
    await cairn(place, 'export', 'docs', '-', '--dir', 'copy'),
  ]
  t.is(young.stdout, old.stdout)

  const data = join(place.cwd, 'cairn-data')
  damage(data, '.seg')
  const before = everyFileOf(data)
  rmSync(join(place.cwd, 'copy'), { recursive: true })
  const saved = await cairn(place, 'repair', 'cairn-data', 'copy', '--output', 'json')
  t.deepEqual(everyFileOf(data), before)
  const report = JSON.parse(saved.stdout) as { lost: unknown[]; problems: unknown[] }
  t.true(report.problems.length > 0)
  t.is(saved.code, report.lost.length > 0 ? 6 : 0)
  const again = await cairn(place, 'repair', 'cairn-data', 'copy')
  t.deepEqual([again.code, again.stderr.includes('ERR_ALREADY_EXISTS')], [1, true])
  for (const args of [[], ['cairn-data']]) {
    t.is((await cairn(place, 'repair', ...args)).code, 2)
  }
  t.is((await cairn(place, 'repair', 'nowhere', 'new')).code, 5)
})
