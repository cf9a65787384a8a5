// The second step: a writer is killed in the middle of its work, and the database is opened again.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { isCairnError, open } from 'cairndb'
import { batchOf, batchRows, digits, stream } from './database.mjs'
import { rows, streamRecord } from './images.mjs'

const writer = fileURLToPath(new URL('writer.mjs', import.meta.url))

/** The writer is killed after so many milliseconds or so many records, whichever comes first. */
const writingMs = 1500
const recordsMax = 8000

/** Records read at once while they are checked. */
const checkedAtOnce = 500

/** The writer, while it lives. */
let child

/**
 * Lets a child process write to `directory` and kills it.
 *
 * @returns The keys that it acknowledged, the batches it had handed over and heard nothing of, and what
 * a second writer was told while it lived.
 */
export async function killWriter(directory) {
  child = spawn(process.execPath, [writer, directory], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const acknowledged = []
  const underWay = new Set()
  const lines = createInterface({ input: child.stdout })
  const ended = Promise.all([once(child, 'close'), once(lines, 'close')])
  const enough = new AbortController()
  const writing = new Promise((resolve) => {
    lines.on('line', (line) => {
      const [word, what] = line.split(' ')
      if (word === 'begin') underWay.add(Number(what))
      if (word !== 'ack') return
      acknowledged.push(what)
      underWay.delete(batchOf(what))
      if (acknowledged.length === recordsMax) enough.abort()
      resolve(true)
    })
  })
  const refused = writing.then(() => openSecond(directory))
  const killed = refused.then(() => killAfter(writingMs, enough.signal))
  const [[code, signal]] = await ended
  if (signal !== 'SIGKILL') throw new Error(`the writer ended by itself, with code ${code}`)
  await killed
  return { acknowledged, underWay: [...underWay], refused: await refused, pid: child.pid }
}

/** Kills the writer after a while, or at once when it has written enough. */
async function killAfter(milliseconds, enough) {
  await delay(milliseconds, undefined, { signal: enough }).catch(() => {})
  endWriter()
}

/** Ends the writer, should it still live. */
export function endWriter() {
  child?.kill('SIGKILL')
}

/** What a second writer hears: the error, or nothing when it was wrongly let in. */
async function openSecond(directory) {
  try {
    await (await open(directory)).close()
    return undefined
  } catch (error) {
    if (isCairnError(error)) return error
    throw error
  }
}

/** Opens the database again; `ms` is the time until it has answered a first question. */
export async function reopen(directory) {
  const start = performance.now()
  const db = await open(directory)
  const searched = await db.collection(digits.name, digits.schema)
  const streamed = await db.collection(stream.name, stream.schema)
  await searched.count()
  return { db, searched, streamed, ms: performance.now() - start }
}

/** How many of the records under `keys` are there with every bit that was acknowledged. */
export async function countExact(collection, keys, expected) {
  let exact = 0
  for (let from = 0; from < keys.length; from += checkedAtOnce) {
    const part = keys.slice(from, from + checkedAtOnce)
    const records = await collection.get(part, { vectors: true })
    exact += records.filter((record, at) => isExact(record, expected(part[at]))).length
  }
  return exact
}

function isExact(record, { vector, label }) {
  return (
    record !== null && record.fields.label === label && bytes(record.vector).equals(bytes(vector))
  )
}

/** Numbers as bytes, so that a comparison sees every bit. */
function bytes({ buffer, byteOffset, byteLength }) {
  return Buffer.from(buffer, byteOffset, byteLength)
}

/** What stands under a key of the searched collection. */
export function expectedDigit(images) {
  return (key) => {
    const image = Number(key)
    return { vector: rows(images.matrix, image, image + 1), label: images.labels[image] }
  }
}

/** What stands under a key of the writer. */
export function expectedStream(images) {
  return (key) => {
    const row = Number(key.slice(key.indexOf('-') + 1))
    return streamRecord(images, batchOf(key) * batchRows + row)
  }
}

/** How many of the writer's batches are there whole, and how many in part. */
export async function countBatches(streamed) {
  const found = new Map()
  for await (const { key } of streamed.scan({ select: false })) {
    found.set(batchOf(key), (found.get(batchOf(key)) ?? 0) + 1)
  }
  const sizes = [...found.values()]
  const whole = sizes.filter((size) => size === batchRows).length
  return { whole, partial: sizes.length - whole }
}
