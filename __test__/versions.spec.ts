// Versions through the package: recorded, found, read, forgotten.
import { setTimeout as delay } from 'node:timers/promises'
import test from 'ava'
import { open, type Database } from '#ts/index.js'
import { Lifetime } from '#ts/internal/lifetime.js'
import { VersionClock } from '#ts/versions.js'
import { fails } from './helpers/expect.js'
import { directoryHome, memoryHome, openFor } from './helpers/home.js'

const schema = { vectors: { dim: 2, metric: 'l2' } } as const

async function fill(db: Database, from: number, to: number): Promise<void> {
  const docs = await db.collection('docs', schema)
  const rows = Array.from({ length: to - from }, (_, n) => ({
    key: `k${from + n}`,
    vector: [from + n, 1],
    fields: { n: from + n },
  }))
  await docs.upsert(rows)
}

const count = async (db: Database): Promise<number> => (await db.openCollection('docs')).count()

for (const home of [directoryHome, memoryHome]) {
  test(`a version is what the database was, in ${home.title}`, async (t) => {
    const db = await openFor(t, home.target(t))
    await fill(db, 0, 10)
    const first = await db.snapshot('first')
    t.is(first.name, 'first')
    t.true(Math.abs(first.created.getTime() - Date.now()) < 60_000)
    await fill(db, 10, 15)
    const docs = await db.openCollection('docs')
    await docs.delete(['k0'])
    const second = await db.snapshot()
    t.is(second.name, null)
    t.true(second.version > first.version)
    await fill(db, 20, 30)
    await db.compact()

    const one = await db.at('first')
    t.is(await count(one), 10)
    const past = await one.openCollection('docs')
    const hits = await past.search({ vector: [0, 1], k: 1 })
    t.deepEqual(hits[0]?.fields, { n: 0 })
    await fails(t, () => past.upsert({ key: 'x', vector: [1, 1] }), 'ERR_READ_ONLY')
    await fails(t, () => one.snapshot(), 'ERR_READ_ONLY')
    await fails(t, () => one.dropVersion('first'), 'ERR_READ_ONLY')
    const two = await db.at(second.version)
    t.is(await count(two), 14)
    const newest = await db.at(new Date(Date.now() + 1000))
    t.is(await count(newest), 14)
    await newest.close()
    await two.close()
    t.deepEqual(
      (await db.listVersions()).map(({ version, name }) => [version, name]),
      [
        [first.version, 'first'],
        [second.version, null],
      ],
    )

    await db.dropVersion('first')
    t.is(await count(one), 10)
    await one.close()
    await fails(t, () => db.at('first'), 'ERR_NOT_FOUND', { name: 'first' })
    t.is(await count(db), 24)
  })
}

test('a version outlives its process, and so does what it is of', async (t) => {
  const target = directoryHome.target(t)
  {
    await using db = await open(target)
    await fill(db, 0, 5)
    await db.snapshot('kept')
    await db.dropCollection('docs')
  }
  await using db = await open(target)
  t.deepEqual(await db.listCollections(), [])
  await using kept = await db.at('kept')
  t.is(await count(kept), 5)
})

test('an open version reads on when its database is closed', async (t) => {
  const db = await openFor(t)
  await fill(db, 0, 5)
  await db.snapshot('v')
  await using at = await db.at('v')
  await db.close()
  t.is(await count(at), 5)
  await fails(t, () => db.at('v'), 'ERR_CLOSED')
})

test('wrong versions and names are refused', async (t) => {
  const db = await openFor(t)
  await db.snapshot('v1')
  await fails(t, () => db.snapshot('v1'), 'ERR_ALREADY_EXISTS', { name: 'v1' })
  await fails(t, () => db.snapshot('a/b'), 'ERR_INVALID_NAME')
  await fails(t, () => db.snapshot(5 as never), 'ERR_INVALID_NAME')
  for (const version of [1, -1n, 2n ** 64n, null, undefined, {}, new Date(Number.NaN)]) {
    await fails(t, () => db.at(version as never), 'ERR_INVALID_ARGUMENT', { path: 'version' })
    await fails(t, () => db.dropVersion(version as never), 'ERR_INVALID_ARGUMENT')
  }
  await fails(t, () => db.at(10n ** 9n), 'ERR_NOT_FOUND')
  await fails(t, () => db.at(new Date(0)), 'ERR_NOT_FOUND')
})

test('with retention each commit is a version, and old ones go', async (t) => {
  const db = await openFor(t, ':memory:', { retainVersions: 3 })
  for (let n = 0; n < 6; n += 1) {
    await fill(db, n, n + 1)
    await db.commit()
    await db.commit()
  }
  const counts: number[] = []
  for (const { version } of await db.listVersions()) {
    await using at = await db.at(version)
    counts.push(await count(at))
  }
  t.deepEqual(counts, [4, 5, 6])
  t.is((await db.stats()).lastVersionError, null)
})

test('the engine is asked now and then whether a version is due, and not once it is closed', async (t) => {
  let asked = 0
  const lifetime = new Lifetime()
  const native = { recordWhenDue: () => Promise.resolve((asked += 1) > 0) }
  const clock = new VersionClock(native, lifetime, 5)
  const until = performance.now() + 10_000
  for (const enough = () => asked >= 2; !enough() && performance.now() < until;) await delay(5)
  t.true(asked >= 2)
  await lifetime.close(() => Promise.resolve())
  const then = asked
  await delay(30)
  t.is(asked, then)
  clock.stop()
})
