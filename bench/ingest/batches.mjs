// Rows per second in batches that are each on the disk before they are acknowledged.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { WrongAnswer } from '../lib/answers.mjs'
import { figure } from '../lib/figure.mjs'
import { log } from '../lib/log.mjs'
import { grouped, median } from '../lib/numbers.mjs'
import { installNpmPeers } from '../lib/peers.mjs'
import { newFolder, removeFolder } from '../lib/places.mjs'
import { startWorker } from '../lib/worker.mjs'

const writersModule = new URL('writers.mjs', import.meta.url)
const peers = ['zvec', 'lancedb']
const engines = ['cairn', 'cairn ingest', ...peers]

/** Engines in turns, each time in a new process and a new folder; the first round is not counted. */
export async function measureBatches({ settings, data, only }) {
  await installNpmPeers()
  const { rows, repetitions, syncedBatches, ...rest } = settings('batches')
  const chosen = engines.filter((name) => !only || name.startsWith('cairn') || only.includes(name))
  const call = { ...rest, data, rows }
  const rates = new Map(chosen.map((name) => [name, []]))
  for (let round = 0; round <= repetitions; round += 1) {
    for (const name of chosen.filter((one) => rates.has(one))) {
      const seconds = await writeOnce(name, call, rates)
      if (seconds !== null && round > 0) rates.get(name).push(rows / seconds)
    }
    log(round === 0 ? 'warm-up round' : `round ${round} of ${repetitions}`)
  }
  const synced = new Map()
  for (const name of rates.keys()) synced.set(name, await syncsPerBatch(name, call, syncedBatches))
  return figuresOf(rates, synced, rest.batchRows)
}

async function writeOnce(name, call, rates) {
  try {
    const { seconds, count } = await inNewFolder((folder) =>
      callIn(startWorker(writersModule, { name }), { ...call, name, folder }),
    )
    if (count !== call.rows) throw new WrongAnswer(`${name} holds ${count} of ${call.rows} rows`)
    return seconds
  } catch (error) {
    if (name.startsWith('cairn') || error instanceof WrongAnswer) throw error
    log(`${name} is LEFT OUT: ${error.message}`)
    rates.delete(name)
    return null
  }
}

function figuresOf(rates, synced, batchRows) {
  const name = (engine) => `${engine}: rows/s, 128-d, batches of ${batchRows}, synced each`
  const wanted = (engine) => (engine === 'cairn' ? { least: 100_000 } : {})
  const rows = [...rates].map(([engine, values]) =>
    figure(name(engine), 'rows/s', values, wanted(engine), synced.get(engine)),
  )
  const speed = (peer) => median(rates.get(peer))
  const best = peers.filter((peer) => rates.has(peer)).sort((a, b) => speed(b) - speed(a))[0]
  if (best !== undefined) {
    const ratio = rates.get('cairn').map((rate) => rate / speed(best))
    const note = `over ${best}: ${synced.get(best)}`
    rows.push(figure('cairn: rows/s over the best peer', 'x', ratio, { least: 1 }, note))
  }
  return rows
}

/**
 * How often the kernel was told to sync, counted in a short run under strace: an engine that is given one
 * batch after the other and syncs less than once for each acknowledges what a power cut can take back.
 */
async function syncsPerBatch(name, call, batches) {
  if (process.platform !== 'linux' || spawnSync('strace', ['-V']).status !== 0) {
    return 'syncs not counted: no strace'
  }
  const count = async (rows) =>
    inNewFolder(async (folder) => {
      const trace = join(folder, 'trace')
      const calls = 'trace=fsync,fdatasync,msync,syncfs,sync_file_range,io_uring_enter'
      const command = ['strace', '-f', '-qq', '-e', calls, '-o', trace, process.execPath]
      await callIn(startWorker(writersModule, { name, command }), { ...call, rows, name, folder })
      return existsSync(trace) ? syncsIn(readFileSync(trace, 'utf8')) : Number.NaN
    })
  try {
    const few = await count(call.batchRows)
    const many = await count(call.batchRows * (batches + 1))
    const each = (many - few) / batches
    return `${grouped(each)} syncs per batch${each < 0.99 ? `: ${fewer(name)}` : ''}`
  } catch (error) {
    return `syncs not counted: ${error.message}`
  }
}

function fewer(name) {
  if (name === 'cairn ingest') return 'up to four batches are under way and share one'
  return 'NOT on the disk when acknowledged'
}

/** Calls that sync in a trace of strace; one that was interrupted and resumed counts once. */
export function syncsIn(trace) {
  return trace.match(/\b(?:fsync|fdatasync|msync|syncfs)\(/g)?.length ?? 0
}

async function callIn(worker, call) {
  try {
    return await worker.call('writeRows', call)
  } finally {
    await worker.stop('SIGKILL')
  }
}

async function inNewFolder(action) {
  const folder = newFolder('batches')
  try {
    return await action(folder)
  } finally {
    removeFolder(folder)
  }
}
