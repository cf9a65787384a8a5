// Two figures of one large database: how long the event loop waits while it is written, and how soon the
// finished one answers when it is opened again.
import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readdirSync, readSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { isCairnError, open } from 'cairndb'
import { WrongAnswer } from '../lib/answers.mjs'
import { readVectors } from '../lib/data.mjs'
import { figure, worst } from '../lib/figure.mjs'
import { log } from '../lib/log.mjs'
import { grouped } from '../lib/numbers.mjs'
import { newFolder, removeFolder } from '../lib/places.mjs'
import { callInWorker } from '../lib/worker.mjs'

const writer = new URL('stall.mjs', import.meta.url)

/** Writes the database a few times, finishes the last one, and opens that a few times. */
export async function measureStallAndReopen({ settings, data }) {
  const { repetitions, attempts, ...rest } = settings('stall')
  const stalls = []
  let folder
  try {
    for (let undisturbed = 0, run = 1; undisturbed < repetitions && run <= attempts; run += 1) {
      if (folder !== undefined) removeFolder(folder)
      folder = newFolder('stall')
      const found = await callInWorker(writer, 'write', { ...rest, data, folder })
      stalls.push(found)
      if (found.stolen === 0) undisturbed += 1
      log(
        `run ${run}: longest stall ${found.longest.toFixed(1)} ms (ran ${found.ran?.toFixed(1)} ms), without us ${found.beside.toFixed(1)} ms, ` +
          `${grouped(found.rate)} rows/s${found.stolen === 0 ? '' : `; the host took ${found.stolen} ms`}`,
      )
    }
    log(`merged in ${(await callInWorker(writer, 'finish', folder)).toFixed(0)} s`)
    return [
      ...stallFigures(stalls, rest.rows),
      ...(await measureReopen({ ...settings('reopen'), rows: rest.rows, data, folder })),
    ]
  } finally {
    if (folder !== undefined) removeFolder(folder)
  }
}

function stallFigures(stalls, rows) {
  const of = (read) => stalls.map(read)
  const name = `event loop while ${grouped(rows)} rows are ingested in batches`
  const undisturbed = stalls.filter(({ stolen }) => stolen === 0)
  const longest = ({ longest }) => longest
  return [
    figure(
      `${name}: longest stall of a run`,
      'ms',
      (undisturbed.length > 0 ? undisturbed : stalls).map(longest),
      { most: 10 },
      `a timer of 1 ms, garbage collection included; the ${undisturbed.length} of ${stalls.length} runs in which the host of this machine took no core away`,
    ),
    figure(
      `${name}: longest stall of a run, the others included`,
      'ms',
      of(longest),
      {},
      'a host that grants less time than there are cores stops all of them for tens of milliseconds',
    ),
    ...(stalls.some(({ ran }) => ran === null)
      ? []
      : [
          figure(
            `${name}: longest time that its thread ran between two ticks`,
            'ms',
            of(({ ran }) => ran),
            { most: 10 },
            'what we and the collector of garbage did there, whatever the host did: all runs',
          ),
        ]),
    figure(
      'event loop beside one thread that counts, without us, for as long: longest stall of a run',
      'ms',
      of(({ beside }) => beside),
      {},
      'what the machine does to anybody',
    ),
    figure(
      `${name}: p99 of the delay`,
      'ms',
      of(({ p99 }) => p99),
    ),
    figure(
      `${name}: rate, synced`,
      'rows/s',
      of(({ rate }) => rate),
    ),
  ]
}

async function measureReopen({ runs, rows, data, dataset, folder }) {
  const [warm, cold] = [[], []]
  for (let run = 0; run <= runs; run += 1) {
    const isCold = run > 0 && forget(folder)
    const before = await firstAnswer(folder, data, dataset, rows)
    if (isCold) cold.push(before)
    const after = await firstAnswer(folder, data, dataset, rows)
    // The first round warms the page cache.
    if (run > 0) warm.push(after)
    log(
      `${run === 0 ? 'warm-up' : `run ${run} of ${runs}`}: first answer after ${after.toFixed(0)} ms` +
        (isCold ? `, ${before.toFixed(0)} ms with nothing of it in the page cache` : ''),
    )
  }
  const refused = await damageIsSeen(folder, data, dataset)
  const note = `a flipped byte of the segment is refused with ${refused}`
  const name = (how) => `reopen of ${grouped(rows)} rows, ${how}, to the first answer`
  return [
    worst(name('warm'), 'ms', warm, { most: 1000 }, note),
    ...(cold.length === 0
      ? []
      : [figure(name('cold'), 'ms', cold, {}, 'nothing of the database in the page cache')]),
  ]
}

async function firstAnswer(folder, data, dataset, rows) {
  const { opened, count } = await callInWorker(import.meta.url, 'reopen', folder, data, dataset)
  if (count !== rows) throw new WrongAnswer(`${count} of ${rows} rows are there`)
  return opened
}

/** Takes every file of a folder out of the page cache; false where the machine has no `dd` that can. */
function forget(folder) {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
  return files.every((file) => {
    const args = [`if=${file}`, 'iflag=nocache', 'count=0', 'status=none']
    return spawnSync('dd', args, { stdio: 'ignore' }).status === 0
  })
}

/** Flips a byte in the middle of the largest segment: opening or searching must refuse it. */
async function damageIsSeen(folder, data, dataset) {
  const file = largest(join(folder, 'db'))
  const at = statSync(file).size >> 1
  flip(file, at)
  try {
    const code = await callInWorker(import.meta.url, 'refusal', folder, data, dataset)
    if (code !== 'ERR_CORRUPT') {
      throw new WrongAnswer(`a flipped byte at ${at} of a segment was met with ${code}`)
    }
    return code
  } finally {
    flip(file, at)
  }
}

function largest(folder) {
  const segments = readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith('.seg'))
    .map((name) => join(folder, name))
  return segments.sort((a, b) => statSync(b).size - statSync(a).size)[0]
}

function flip(file, at) {
  const byte = Buffer.alloc(1)
  const handle = openSync(file, 'r+')
  readSync(handle, byte, 0, 1, at)
  byte[0] ^= 0x10
  writeSync(handle, byte, 0, 1, at)
  closeSync(handle)
}

/** In a new process: milliseconds from `open` to the first answer. */
export async function reopen(folder, data, dataset) {
  const { matrix } = readVectors(data, dataset, 'query', 1)
  const started = performance.now()
  const db = await open(join(folder, 'db'))
  const collection = await db.collection('v')
  collection.searchSync({ vector: matrix, k: 10 })
  const opened = performance.now() - started
  const count = await collection.count()
  await db.close()
  return { opened, count }
}

/** In a new process: the code with which a damaged database is refused. */
export async function refusal(folder, data, dataset) {
  try {
    await reopen(folder, data, dataset)
    return 'no error'
  } catch (error) {
    if (isCairnError(error)) return error.code
    throw error
  }
}
