// One process writes and is killed, four others read and are killed, all on one directory. No reader
// ever sees a mixture, goes back, or misses what was acknowledged before it looked.
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { open } from '#ts/index.js'
import { ended, start, type Ended } from './helpers/child.js'
import { temporaryDirectory } from './helpers/home.js'
import { seeded } from './helpers/random.js'

/** What a reader saw: the counter, and when it began to look and was done. */
type Look = readonly [counter: number, before: number, behind: number]

const lifeMs = 3000

async function ready(child: ChildProcess): Promise<void> {
  if (child.stdout) await once(child.stdout, 'data')
}

/** A process that runs for so long and is then killed. */
async function life(program: string, directory: string, milliseconds: number): Promise<Ended> {
  const child = start(program, directory)
  const end = ended(child)
  await Promise.race([ready(child), end])
  await delay(milliseconds)
  child.kill('SIGKILL')
  return end
}

/** Whole lines behind the first; the last one may have been cut short. */
function linesOf(t: ExecutionContext, { stdout, stderr, signal }: Ended): string[] {
  t.is(signal, 'SIGKILL', stderr)
  return stdout.split('\n').slice(1, -1)
}

test('readers beside a writer, killed and killed again', async (t) => {
  const directory = join(temporaryDirectory(t), 'data')
  const next = seeded(7)
  const acknowledged: (readonly [counter: number, time: number])[] = []
  const writing = new AbortController()

  const firstWriter = life('counter-writer', directory, lifeMs)
  const writer = async (): Promise<void> => {
    for (let round = 0; round < 3; round += 1) {
      const end = await (round === 0 ? firstWriter : life('counter-writer', directory, lifeMs))
      for (const line of linesOf(t, end)) {
        const [counter = '', time = ''] = line.split(' ')
        acknowledged.push([Number(counter), Number(time)])
      }
    }
    writing.abort()
  }
  const looks: Look[][] = []
  const reader = async (): Promise<void> => {
    while (!writing.signal.aborted) {
      const lines = linesOf(t, await life('counter-reader', directory, 800 + next() * 2000))
      const wrong = lines.filter((line) => !/^\d+ [\d.]+ [\d.]+$/.test(line))
      t.deepEqual(wrong, [])
      looks.push(lines.map((line) => line.split(' ').map(Number) as unknown as Look))
    }
  }
  const all = writer()
  while (acknowledged.length === 0 && !(await exists(directory))) await delay(20)
  await Promise.all([all, reader(), reader(), reader(), reader()])

  const durations: number[] = []
  for (const life of looks) {
    let last = 0
    for (const [counter, before, behind] of life) {
      t.true(counter >= last, `went back from ${last} to ${counter}`)
      last = counter
      const due = acknowledgedAt(acknowledged, before)
      t.true(counter >= due, `saw ${counter}, acknowledged before it looked: ${due}`)
      durations.push(behind - before)
    }
  }
  durations.sort((a, b) => a - b)
  const at = (share: number): number => durations[Math.floor(durations.length * share)] ?? 0
  t.log(
    `${acknowledged.length} batches, ${durations.length} looks in ${looks.length} lives;`,
    `refresh p50 ${at(0.5).toFixed(1)} ms, p99 ${at(0.99).toFixed(1)} ms`,
  )
  t.true(durations.length > 200, `${durations.length} looks`)
  t.true(at(0.5) <= 50, `half of all refreshes take ${at(0.5)} ms or less`)

  const db = await open(directory)
  t.teardown(() => db.close())
  const docs = await db.openCollection<{
    key: 'u64'
    vectors: { dim: 8; metric: 'l2' }
    fields: { n: 'int' }
  }>('docs')
  const newest = looks.flat().reduce((most, [counter]) => Math.max(most, counter), 0)
  t.true(Number((await docs.get(0n))?.fields.n ?? 0) >= newest, 'nothing that was seen is lost')
})

async function exists(directory: string): Promise<boolean> {
  try {
    const reader = await open(directory, { mode: 'ro', refreshMs: 0 })
    const found = await reader.listCollections()
    await reader.close()
    return found.length > 0
  } catch {
    return false
  }
}

/** The last counter that was acknowledged before `time`. */
function acknowledgedAt(
  acknowledged: readonly (readonly [number, number])[],
  time: number,
): number {
  let [low, high] = [0, acknowledged.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((acknowledged[middle]?.[1] ?? 0) < time) low = middle + 1
    else high = middle
  }
  return acknowledged[low - 1]?.[0] ?? 0
}
