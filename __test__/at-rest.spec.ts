import { readdirSync, statSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { join } from 'node:path'
import test from 'ava'
import { CairnError, open } from '#ts/index.js'
import { AtRest } from '#ts/at-rest.js'
import { Lifetime } from '#ts/internal/lifetime.js'
import { ended, start } from './helpers/child.js'
import { openFor, temporaryDirectory } from './helpers/home.js'

/** Rest of the collections below; timers may be a little early. */
const restMs = 50
const leastMs = restMs - 2

/** A collection that notes how long it had rested at each commit. */
class FakeCollection {
  readonly name: string
  readonly rests: number[] = []
  failure: CairnError | undefined
  #written = 0

  constructor(name: string) {
    this.name = name
  }

  write(commits: AtRest<Committed>): void {
    this.#written = performance.now()
    commits.note(this)
  }

  async commit(): Promise<bigint> {
    this.rests.push(performance.now() - this.#written)
    const { failure } = this
    this.failure = undefined
    if (failure !== undefined) throw failure
    return 1n
  }
}

type Committed = { readonly name: string; commit(): Promise<bigint> }

const commitsFor = (lifetime = new Lifetime()): AtRest<Committed> =>
  new AtRest(lifetime, restMs, (collection) => collection.commit())

async function until(holds: () => boolean): Promise<void> {
  for (let round = 0; round < 500 && !holds(); round += 1) await delay(10)
}

test('a collection is committed once, when it has rested', async (t) => {
  const [commits, docs] = [commitsFor(), new FakeCollection('docs')]
  for (let write = 0; write < 20; write += 1) {
    docs.write(commits)
    await delay(10)
  }
  await delay(4 * restMs)
  const { length } = docs.rests
  await delay(4 * restMs)
  t.is(docs.rests.length, length)
  // A stall of this process may have been a rest, so there may be more than one; none was cut short.
  t.true(length > 0)
  t.true(
    docs.rests.every((rest) => rest >= leastMs),
    docs.rests.join(),
  )
})

test('a collection that is busy keeps no other waiting', async (t) => {
  const [commits, busy, quiet] = [commitsFor(), new FakeCollection('a'), new FakeCollection('b')]
  quiet.write(commits)
  const timer = setInterval(() => busy.write(commits), 5)
  await until(() => quiet.rests.length > 0)
  clearInterval(timer)
  t.is(quiet.rests.length, 1)
  t.true((quiet.rests[0] ?? 0) >= leastMs)
})

test('handles of one collection are one', async (t) => {
  const [commits, one, other] = [commitsFor(), new FakeCollection('a'), new FakeCollection('a')]
  one.write(commits)
  other.write(commits)
  await until(() => other.rests.length > 0)
  await delay(2 * restMs)
  t.deepEqual([one.rests.length, other.rests.length], [0, 1])
})

test('a commit that finds the disk full is tried again; another failure is not', async (t) => {
  const [commits, full, broken] = [commitsFor(), new FakeCollection('a'), new FakeCollection('b')]
  full.failure = new CairnError('ERR_NO_SPACE', 'full')
  broken.failure = new CairnError('ERR_CLOSED', 'poisoned')
  full.write(commits)
  broken.write(commits)
  await until(() => full.rests.length > 1)
  await delay(2 * restMs)
  t.deepEqual([full.rests.length, broken.rests.length], [2, 1])
})

test('nothing is committed after the end', async (t) => {
  const lifetime = new Lifetime()
  const [commits, docs] = [commitsFor(lifetime), new FakeCollection('docs')]
  docs.write(commits)
  await lifetime.close(async () => undefined)
  commits.stop()
  docs.write(commits)
  await delay(3 * restMs)
  t.deepEqual(docs.rests, [])
})

test('closing waits for a commit that runs', async (t) => {
  const lifetime = new Lifetime()
  const commits = commitsFor(lifetime)
  const order: string[] = []
  let finish = (): void => undefined
  const running = new Promise<bigint>((resolve) => {
    finish = () => resolve(1n)
  })
  const started = new Promise<void>((resolve) => {
    commits.note({
      name: 'docs',
      commit: () => {
        resolve()
        return running
      },
    })
  })
  await started
  const closed = lifetime.close(async () => void order.push('closed'))
  order.push('finished')
  finish()
  await closed
  t.deepEqual(order, ['finished', 'closed'])
})

for (const scope of ['database', 'write']) {
  test(`a record in memory is on the disk two seconds later (set for the ${scope})`, async (t) => {
    const directory = join(temporaryDirectory(t), 'data')
    const child = start('rest', directory, scope)
    const end = ended(child)
    child.stdout?.once('data', () => setTimeout(() => child.kill('SIGKILL'), 2000))
    const { signal, stderr } = await end
    t.is(signal, 'SIGKILL', stderr)
    const db = await open(directory, { lockTimeoutMs: 5000 })
    t.teardown(() => db.close())
    t.true(await (await db.openCollection('docs')).has('a'))
  })
}

test('a record that the kernel has is synced when its collection has rested, and only then', async (t) => {
  const db = await openFor(t, join(temporaryDirectory(t), 'data'), { durability: 'os' })
  const docs = await db.collection('docs', { vectors: { dim: 2, metric: 'l2' } })
  const syncs = async (): Promise<number> => (await docs.stats()).walSyncs
  await docs.upsert({ key: 'a', vector: [1, 2] }, { durability: 'sync' })
  const before = await syncs()
  await delay(1500)
  t.is(await syncs(), before, 'a write that was synced needs no more')
  await docs.upsert({ key: 'a', vector: [1, 2] })
  t.is(await syncs(), before)
  for (let round = 0; round < 250 && (await syncs()) === before; round += 1) await delay(20)
  t.is(await syncs(), before + 1)
})

test('a process that is killed before may lose it, and nothing else', async (t) => {
  const directory = join(temporaryDirectory(t), 'data')
  const child = start('rest', directory, 'database')
  const end = ended(child)
  child.stdout?.once('data', () => child.kill('SIGKILL'))
  await end
  const db = await open(directory, { lockTimeoutMs: 5000 })
  t.teardown(() => db.close())
  const docs = await db.openCollection('docs')
  t.is(await docs.count(), (await docs.has('a')) ? 1 : 0)
})

test('a process that has nothing else to do does not wait for the rest', async (t) => {
  const end = await ended(start('rest', join(temporaryDirectory(t), 'data'), 'database', 'drain'))
  t.is(end.code, 0, end.stderr)
  const [, stayedMs] = end.stdout.split('\n')
  t.true(Number(stayedMs) < 900, stayedMs)
})

test('keys that were overwritten ten times take little more than they need once at rest', async (t) => {
  const directory = join(temporaryDirectory(t), 'data')
  const db = await openFor(t, directory)
  const docs = await db.collection('docs', { key: 'u64', vectors: { dim: 128, metric: 'l2' } })
  const keys = BigUint64Array.from({ length: 4000 }, (_, key) => BigInt(key))
  for (let round = 0; round < 10; round += 1) {
    const vectors = Float32Array.from({ length: 4000 * 128 }, (_, at) => (at * (round + 1)) % 251)
    await docs.upsert({ keys, vectors })
  }
  const live = 4000 * 128 * 4
  t.true(bytesBelow(directory) > 5 * live, 'the test can see')
  for (let second = 0; second < 60 && bytesBelow(directory) > 1.5 * live; second += 1) {
    await delay(1000)
  }
  t.true(bytesBelow(directory) <= 1.5 * live, `${bytesBelow(directory)} for ${live}`)
  t.is(await docs.count(), 4000)
})

function bytesBelow(directory: string): number {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true })
  const sizes = files.map((file) => {
    // A file may go between the listing and here.
    const found = file.isFile()
      ? statSync(join(file.parentPath, file.name), { throwIfNoEntry: false })
      : undefined
    return found?.size ?? 0
  })
  return sizes.reduce((sum, size) => sum + size, 0)
}
