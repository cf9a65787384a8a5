// `npm run demo`: the main job on real data. Writes images, kills a writer, opens the directory again,
// searches, and prints what it measured. Ends with a code other than 0 when something did not hold.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { open, simdLevel, version } from 'cairndb'
import {
  countBatches,
  countExact,
  endWriter,
  expectedDigit,
  expectedStream,
  killWriter,
  reopen,
} from './crash.mjs'
import { digits } from './database.mjs'
import { dim, readImages, rows } from './images.mjs'
import * as paper from './paper.mjs'
import { k, measure, neighbours, percentile } from './quality.mjs'

/** Images stored; every second one of the others is a question. */
const stored = 9_000
const stepOfQuestions = 2

/** Rows of one atomic, synced batch. */
const batchRows = 500

/** Below these the demo fails. */
const recallMin = 0.9
const accuracyMin = 0.9

const { count, duration, percent } = paper

// Beside the repository rather than in the system's temporary directory, which may be in memory: a sync
// should reach a disk.
const cache = fileURLToPath(new URL('../.cache/', import.meta.url))
mkdirSync(cache, { recursive: true })
const directory = mkdtempSync(join(cache, 'demo-'))
const removeDirectory = () => rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
process.on('exit', () => {
  endWriter()
  removeDirectory()
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(130))

let failures = 0
const check = (holds, text) => {
  if (!paper.check(holds, text)) failures += 1
}

await demo(join(directory, 'data'))
process.exitCode = failures === 0 ? 0 : 1

async function demo(data) {
  const started = performance.now()
  const images = readImages()
  paper.title(
    `Cairn ${version}: ${count(images.count)} handwritten digits, ${dim} numbers each`,
    `${process.platform} ${process.arch}, ${availableParallelism()} cores, ${simdLevel()} kernels, Node ${process.version}`,
  )
  const rate = await write(data, images)
  const { db, searched, recovery } = await crash(data, images)
  try {
    const result = await search(searched, images)
    report(rate, recovery, result)
    draw(searched, images)
  } finally {
    await db.close()
  }
  removeDirectory()
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  const verdict = failures === 0 ? 'everything held' : `${failures} checks FAILED`
  paper.title(`Done in ${seconds} s: ${verdict}`, 'Everything that was written is removed again.')
}

/** Step 1. Returns rows a second. */
async function write(data, images) {
  paper.heading(
    1,
    `Write ${count(stored)} images in batches of ${batchRows}, each synced to the disk`,
  )
  const db = await open(data, { durability: 'sync' })
  const collection = await db.collection(digits.name, digits.schema)
  const bar = paper.progress(stored)
  const start = performance.now()
  const rateAt = (done) => (done / (performance.now() - start)) * 1000
  await collection.ingest(batchesOf(images), {
    onProgress: ({ rows: done }) =>
      bar.move(done, `${count(done)} of ${count(stored)}  ${count(rateAt(done))} rows/s`),
  })
  const rate = rateAt(stored)
  bar.end(`${count(stored)} rows in ${duration((stored / rate) * 1000)}  ${count(rate)} rows/s`)
  await db.close()
  return rate
}

function* batchesOf(images) {
  for (let from = 0; from < stored; from += batchRows) {
    const to = Math.min(from + batchRows, stored)
    const keys = Array.from({ length: to - from }, (_, at) => String(from + at))
    const label = images.labels.slice(from, to)
    yield { keys, vectors: rows(images.matrix, from, to), fields: { label } }
  }
}

/** Step 2. Returns the database, open again, and how long that took. */
async function crash(data, images) {
  paper.heading(2, 'Kill a process in the middle of its writes, and open the directory again')
  const { acknowledged, underWay, refused, pid } = await killWriter(data)
  paper.line(
    `SIGKILL: ${count(acknowledged.length)} records were acknowledged, ${underWay.length} batches were under way`,
  )
  const { db, searched, streamed, ms } = await reopen(data)
  paper.line(`open again in ${duration(ms)}, the log replayed`)
  check(
    refused?.code === 'ERR_LOCKED' && refused.details.pid === pid,
    `while it lived, a second writer was refused: ${refused?.code ?? 'no'}, naming pid ${pid}`,
  )
  const kept = await countExact(streamed, acknowledged, expectedStream(images))
  check(
    kept === acknowledged.length && kept > 0,
    `${count(kept)} of ${count(acknowledged.length)} acknowledged records are there, bit for bit`,
  )
  const before = Array.from({ length: stored }, (_, image) => String(image))
  const keptBefore = await countExact(searched, before, expectedDigit(images))
  check(
    keptBefore === stored,
    `so are ${count(keptBefore)} of the ${count(stored)} images written before`,
  )
  const { whole, partial } = await countBatches(streamed)
  check(
    partial === 0,
    `${count(whole)} batches of the killed process are there whole, ${partial} in part`,
  )
  return { db, searched, recovery: { ms, acknowledged: acknowledged.length, kept } }
}

/** Step 3. */
async function search(collection, images) {
  const left = images.count - stored
  const questions = Array.from(
    { length: left / stepOfQuestions },
    (_, at) => stored + at * stepOfQuestions,
  )
  paper.heading(
    3,
    `Search with ${questions.length} images that are not stored, ${k} neighbours each`,
  )
  const bar = paper.progress(stored)
  const start = performance.now()
  await collection.compact({
    onProgress: ({ done, total }) =>
      bar.move(Math.min(stored, (done / Math.max(1, total)) * stored), 'building the graph'),
  })
  bar.end(`graph over ${count(stored)} images built in ${duration(performance.now() - start)}`)
  const result = await measure(collection, images, questions)
  check(
    result.recall >= recallMin,
    `${percent(result.recall)} of the ${k} true neighbours found, an exact search being the judge`,
  )
  check(
    result.accuracy >= accuracyMin,
    `${percent(result.accuracy)} of the digits read right by a vote of their neighbours`,
  )
  return result
}

/** Step 4. */
function report(rate, recovery, { recall, micros, accuracy }) {
  paper.heading(4, 'Measured')
  const micro = (share) => `${percentile(micros, share).toFixed(0)} us`
  paper.table([
    ['written and synced', `${count(rate)} rows/s`, `batches of ${batchRows}, ${dim} floats a row`],
    ['recovery after SIGKILL', duration(recovery.ms), 'from open() to the first answer'],
    ['acknowledged records kept', `${count(recovery.kept)} of ${count(recovery.acknowledged)}`],
    [`recall@${k}`, percent(recall), 'default settings, against exact: true'],
    ['search, p50', micro(0.5), 'searchSync, one thread, keys and distances'],
    ['search, p99', micro(0.99)],
    ['labels right', percent(accuracy), `majority of ${k} neighbours`],
  ])
}

/** Step 5. */
function draw(collection, images) {
  paper.heading(5, 'See: a question at the left, its nearest stored images beside it')
  for (const image of [images.count - 4, images.count - 3, images.count - 2]) {
    const found = neighbours(collection, images, image, paper.imagesAcross - 1)
    const question = rows(images.matrix, image, image + 1)
    paper.line('')
    paper.gallery([
      { pixels: question, caption: `a ${images.labels[image]}?` },
      ...found.map(({ vector, fields, distance }) => {
        return { pixels: vector, caption: `a ${fields.label}, ${distance.toFixed(3)} away` }
      }),
    ])
  }
}
