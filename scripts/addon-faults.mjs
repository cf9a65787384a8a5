// The addon under injected faults: what a panic answers, and what slow disks and long merges must not hold up.
// Builds the addon with fail points, then runs each case in a process of its own. Prints one TAP line for each.
import { ok, rejects, strictEqual } from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Worker, isMainThread, parentPort } from 'node:worker_threads'
import { addonIn } from './build.mjs'
import { run } from './process.mjs'

/** How long a slow step takes here, and how long nobody else may be held up by it. */
const slowMs = 3000
const heldUpMs = 1000

const schema = { vectors: { dim: 8, metric: 'l2' } }

/** Rows of the schema. */
const rows = (count, from = 0) => ({
  keys: Array.from({ length: count }, (_, at) => `k${from + at}`),
  vectors: Float32Array.from({ length: count * 8 }, (_, at) => (from * 8 + at) % 97),
})

/** `fail` is what CAIRN_FAIL says to the process of `work`; crates/env/src/faults.rs has the points. */
const cases = [
  {
    title: 'a panic inside a call is ERR_INTERNAL, and the next call works',
    fail: 'K9:1:panic',
    async work(open, directory) {
      const db = await open(directory)
      const docs = await db.collection('docs', schema)
      await docs.upsert(rows(100))
      await rejects(docs.compact(), (error) => {
        strictEqual(error.code, 'ERR_INTERNAL')
        strictEqual(error.retryable, false)
        ok(error.details.panic.includes('K9'), String(error.details.panic))
        return true
      })
      strictEqual(await docs.count(), 100)
      await docs.upsert(rows(100, 100))
      await docs.compact()
      await db.close()
      const again = await open(directory)
      strictEqual(await (await again.openCollection('docs')).count(), 200)
      await again.close()
    },
  },
  {
    title: 'a panic while a directory is opened is ERR_INTERNAL, and frees it',
    fail: 'K18:1:panic',
    async work(open, directory) {
      await rejects(open(directory), { code: 'ERR_INTERNAL' })
      const db = await open(directory)
      const docs = await db.collection('docs', schema)
      await docs.upsert(rows(100))
      await db.close()
    },
  },
  {
    title: 'a panic of the writer answers the write, and later ones are refused',
    fail: 'K1:2:panic',
    async work(open, directory) {
      const db = await open(directory)
      const docs = await db.collection('docs', schema)
      await docs.upsert(rows(100))
      await rejects(docs.upsert(rows(100, 100)), { code: 'ERR_OUTCOME_UNKNOWN' })
      await rejects(docs.upsert(rows(100, 200)), { code: 'ERR_CLOSED' })
      strictEqual(await docs.count(), 100)
      strictEqual((await docs.search({ vector: new Float32Array(8) })).length, 10)
      await db.close()
      const again = await open(directory)
      strictEqual(await (await again.openCollection('docs')).count(), 100)
      await again.close()
    },
  },
  {
    title: 'eighty merges that wait hold up no write, search or figure',
    fail: `K9:1:sleep${slowMs}`,
    async work(open, directory) {
      const db = await open(directory)
      const docs = await db.collection('docs', schema)
      const others = await db.collection('others', schema)
      await docs.upsert(rows(100))
      await others.upsert(rows(100))
      let ended = 0
      const merges = Array.from({ length: 80 }, () => docs.compact().then(() => (ended += 1)))
      await delay(100)
      const since = performance.now()
      await others.upsert(rows(100, 100))
      await others.search({ vector: new Float32Array(8) })
      await others.commit()
      await others.stats()
      await db.createCollection('more', schema)
      const took = performance.now() - since
      ok(took < heldUpMs, `they took ${took} ms`)
      strictEqual(ended, 0, 'the merges were to wait')
      await Promise.all(merges)
      await db.close()
    },
  },
  {
    title: 'a database that nobody holds is closed beside the event loop',
    fail: `K9:1:sleep${slowMs}`,
    async work(open, directory) {
      await openInFlush(open, directory)
      const longest = await longestTurn(async () => {
        for (let at = 0; at < 20; at += 1) {
          globalThis.gc()
          await delay(20)
        }
      })
      ok(longest < heldUpMs, `the event loop stood for ${longest} ms`)
      await closesByItself(open, directory)
    },
  },
  {
    title: 'a worker that is terminated does not wait for its databases',
    fail: `K9:1:sleep${slowMs}`,
    async work(open, directory) {
      const worker = new Worker(new URL(import.meta.url), { argv: ['worker', directory] })
      await once(worker, 'message')
      const since = performance.now()
      await worker.terminate()
      const took = performance.now() - since
      ok(took < heldUpMs, `it took ${took} ms`)
      await closesByItself(open, directory)
    },
  },
  {
    title: 'a process that leaves does not wait for its databases',
    fail: 'K9:1:sleep50000',
    work: openInFlush,
  },
  {
    title: 'a sync that takes long is warned about while it runs, and only one that does',
    // The fourth sync of a log's frames hangs; looks come every five seconds.
    fail: 'K5:4:sleep8000',
    async work(open, directory) {
      const warnings = []
      const db = await open(directory, { onWarning: (warning) => warnings.push(warning) })
      const docs = await db.collection('docs', schema)
      for (let at = 0; at < 3; at += 1) await docs.upsert(rows(10, at * 10))
      let ended = false
      const slow = docs.upsert(rows(10, 30)).then(() => (ended = true))
      for (let round = 0; round < 700 && warnings.length === 0; round += 1) await delay(10)
      strictEqual(ended, false, 'it was to be told while the write waits')
      strictEqual(warnings.length, 1)
      const [{ code, details }] = warnings
      strictEqual(code, 'WARN_SLOW_SYNC')
      strictEqual(details.directory, directory)
      ok(details.elapsedMs > 1000 && details.elapsedMs < 8000, String(details.elapsedMs))
      await slow
      for (let at = 4; at < 20; at += 1) await docs.upsert(rows(10, at * 10))
      await delay(6000)
      strictEqual(warnings.length, 1, 'once a minute')
      const { longestSyncMs } = await db.stats()
      ok(longestSyncMs >= 8000 && longestSyncMs < 20_000, String(longestSyncMs))
      await db.close()
    },
  },
  {
    title: 'a scan lets merged segments go beside the event loop',
    fail: `K25:2:sleep${slowMs}`,
    async work(open, directory) {
      const db = await open(directory)
      const docs = await db.collection('docs', schema)
      await docs.upsert(rows(500))
      await docs.compact()
      const scan = docs.scan()
      await scan.next()
      await docs.upsert(rows(10, 500))
      await docs.compact()
      const segments = () =>
        readdirSync(directory, { recursive: true }).filter((name) => name.endsWith('.seg')).length
      strictEqual(segments(), 2, 'the scan was to hold a segment')
      const longest = await longestTurn(async () => {
        await scan.return()
        await delay(100)
      })
      ok(longest < heldUpMs, `the event loop stood for ${longest} ms`)
      await db.close()
      strictEqual(segments(), 1)
    },
  },
]

const [number, directory] = process.argv.slice(2)
if (number === undefined) {
  process.exitCode = await runAll()
} else {
  const { open } = await import('../dist/index.js')
  if (isMainThread) {
    await cases[number].work(open, directory)
  } else {
    await openInFlush(open, directory)
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker has no origin
    parentPort.postMessage('open')
    setInterval(() => undefined, 1000)
  }
}

async function runAll() {
  const addon = await build()
  console.log('TAP version 13')
  let failed = 0
  for (const [index, { title, fail }] of cases.entries()) {
    const directory = mkdtempSync(join(tmpdir(), 'cairn-'))
    const args = ['--expose-gc', fileURLToPath(import.meta.url), String(index), directory]
    const env = { ...process.env, CAIRN_NATIVE_PATH: addon, CAIRN_FAIL: fail }
    const options = { env, encoding: 'utf8', timeout: 30_000 }
    const { status, signal, stderr } = spawnSync(process.execPath, args, options)
    console.log(`${status === 0 ? 'ok' : 'not ok'} ${index + 1} - ${title}`)
    if (status !== 0) {
      failed += 1
      console.log(`  ended with ${signal ?? `code ${status}`}`)
      for (const line of stderr.split('\n')) console.log(`  ${line}`)
    }
    rmSync(directory, { recursive: true, force: true })
  }
  console.log(`1..${cases.length}`)
  return failed === 0 ? 0 : 1
}

/** The path of an addon with fail points. */
async function build() {
  const features = 'failpoints,planted-bugs'
  const command = ['cargo', 'build', '--locked', '--package', 'cairn-napi', '--features', features]
  const libraries = []
  const code = await run([...command, '--quiet', '--message-format=json-render-diagnostics'], {
    hide: true,
    onLine: (line) => libraries.push(addonIn(line)),
  })
  const library = libraries.find(Boolean)
  if (code !== 0 || library === undefined) throw new Error(`cargo ended with code ${code}`)
  const addon = `${library}.node`
  copyFileSync(library, addon)
  return addon
}

/** Opens a database whose first flush takes its time, and holds it no longer. */
async function openInFlush(open, directory) {
  const db = await open(directory, { memtableBytes: 64 * 1024 })
  const docs = await db.collection('docs', schema)
  for (let at = 0; at < 1000; at += 500) await docs.upsert(rows(500, at))
}

/** Waits until what {@link openInFlush} opened is closed, and looks for its rows. */
async function closesByItself(open, directory) {
  // Only a close frees the directory within one process.
  const db = await open(directory, { lockTimeoutMs: 4 * slowMs })
  strictEqual(await (await db.openCollection('docs')).count(), 1000)
  await db.close()
}

/** Milliseconds of the longest time in which the event loop did not turn while `work` went on. */
async function longestTurn(work) {
  let longest = 0
  let last = performance.now()
  const look = () => {
    const now = performance.now()
    longest = Math.max(longest, now - last)
    last = now
  }
  const timer = setInterval(look, 5)
  await work()
  look()
  clearInterval(timer)
  return longest
}
