// A life of one process: opens its stores, compares them with what it is told they hold, and goes on until it is
// told to end, or killed. Says what it begins and what was acknowledged, one line of JSON each.
import { mkdirSync, readdirSync, readlinkSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { Random } from './records.mjs'
import { Store } from './store.mjs'

const { stores, seed, mortal, sampleMs } = JSON.parse(process.argv[2])
// By hand, so that it is in the pipe before anything else happens.
const say = (line) => void writeSync(1, `${JSON.stringify(line)}\n`)

const told = { toEnd: false }
process.on('SIGINT', () => {})
process.on('SIGTERM', () => {
  told.toEnd = true
})

/** What the operating system holds for this process, and the disk for its stores. */
function sample(all, begun) {
  globalThis.gc?.()
  const { rss } = process.memoryUsage()
  let files = 0
  let bytes = 0
  for (const { directory } of all) {
    for (const name of readdirSync(directory, { recursive: true })) {
      const what = statSync(join(directory, name), { throwIfNoEntry: false })
      if (!what?.isFile()) continue
      files += 1
      bytes += what.size
    }
  }
  const at = (performance.now() - begun) / 1000
  return { at, rss, handles: handles(), files, bytes }
}

/**
 * Open handles, without those of segments that are there: merges change their number, and they are counted as
 * files. One of a segment that was removed is still counted.
 */
function handles() {
  if (process.platform !== 'linux') return 0
  const folder = '/proc/self/fd'
  const isSegment = (name) => {
    try {
      return readlinkSync(join(folder, name)).endsWith('.seg')
    } catch {
      // It was that of the folder itself.
      return true
    }
  }
  return readdirSync(folder).filter((name) => !isSegment(name)).length
}

const random = new Random(seed)
const all = []
for (const [index, { directory, keyed, model, pending, stamp }] of stores.entries()) {
  mkdirSync(`${directory}-files`, { recursive: true })
  const store = new Store({
    directory,
    keyed,
    random,
    mortal,
    begun: (changes) => mortal && say({ begun: index, changes }),
    done: () => mortal && say({ done: index }),
  })
  store.model = new Map(model)
  store.stamp = stamp
  await store.open()
  await store.verify(pending ?? undefined)
  say({ verified: index, model: [...store.model] })
  all.push(store)
}

const begun = performance.now()
let steps = 0
let sampled = begun
while (!told.toEnd) {
  await random.pick(all).step()
  steps += 1
  if (performance.now() - sampled < sampleMs) continue
  // At rest, so that one sample is like the other.
  for (const store of all) {
    await store.verify()
    await store.docs.compact()
  }
  say({ sample: sample(all, begun), steps })
  sampled = performance.now()
}
for (const store of all) {
  await store.verify()
  await store.close()
}
const counts = {}
for (const store of all) {
  for (const [name, count] of Object.entries(store.counts))
    counts[name] = (counts[name] ?? 0) + count
}
say({ ended: steps, counts })
