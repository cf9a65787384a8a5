// Everything an embedded database can do, for as long as one likes, against a model: `npm run soak -- --minutes 60`.
//
// Three kinds of processes at once. One lives from beginning to end on two databases, one of them encrypted, and
// is asked for its memory, handles, files and bytes: none of them may drift. One on two others is killed again
// and again, and what it had acknowledged is compared when it is back. Readers come and go beside the first.
//
// Prints a line a minute, and at the end one TAP line for each promise. Ctrl-C ends it early: what was found until
// then is compared and told.
//
//   --minutes 60    how long; less than 3 prints a line every 10 seconds
//   --seed 1        what is done in which order; drawn and printed when it is not given
//   --directory x   where the databases go; a temporary one, removed when all went well, when it is not given
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { drift } from './soak/drift.mjs'
import { Random } from './soak/records.mjs'

const MiB = 1024 * 1024

/** What may be gained over the whole time: by so much, or by this share of what there is. */
const allowances = {
  rss: { most: 48 * MiB, share: 0.15, shown: (value) => `${(value / MiB).toFixed(1)} MiB` },
  handles: { most: 8, share: 0, shown: (value) => value.toFixed(1) },
  files: { most: 24, share: 0.25, shown: (value) => value.toFixed(1) },
  bytes: { most: 4 * MiB, share: 0.25, shown: (value) => `${(value / MiB).toFixed(1)} MiB` },
}

/** Figures of the first seconds are not held against the others. */
const warmUpSeconds = 120

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    seed: { type: 'string' },
    directory: { type: 'string' },
  },
})
const minutes = Number(values.minutes)
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31))
if (!(minutes > 0) || !Number.isInteger(seed)) {
  console.error('usage: npm run soak -- [--minutes 60] [--seed 1] [--directory x]')
  process.exit(2)
}
const random = new Random(seed)
const home = values.directory ?? mkdtempSync(join(tmpdir(), 'cairn-soak-'))
mkdirSync(home, { recursive: true })
const begun = performance.now()
const until = begun + minutes * 60_000
const sampleMs = Math.min(20_000, Math.max(3000, minutes * 60_000 * 0.04))

const state = {
  samples: [],
  steps: 0,
  kills: 0,
  closes: 0,
  readers: 0,
  mortalSteps: 0,
  failures: [],
}
let ending = false
let interrupted = false
const children = new Set()
const isOver = () => ending || performance.now() >= until || state.failures.length > 0

function fail(who, what) {
  state.failures.push(`${who}: ${what}`)
}

/** A process of `soak/`, and a promise of its end. */
function launch(name, given, onLine) {
  const file = fileURLToPath(new URL(`soak/${name}.mjs`, import.meta.url))
  const args = ['--expose-gc', file, JSON.stringify(given)]
  // In a group of its own: Ctrl-C is for this process to hear.
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  children.add(child)
  let errors = ''
  child.stderr.on('data', (text) => (errors = (errors + text).slice(-4000)))
  createInterface({ input: child.stdout }).on('line', (text) => {
    const line = parsed(text)
    if (line !== undefined) onLine(line)
  })
  const ended = new Promise((resolve) => {
    child.on('close', (code, signal) => {
      children.delete(child)
      resolve({ code, signal, errors })
    })
  })
  return { child, ended }
}

/** A line, or nothing for the half of one that a kill left behind. */
function parsed(text) {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const storesIn = (folder) =>
  [false, true].map((keyed) => ({
    directory: join(home, `${folder}-${keyed ? 'encrypted' : 'clear'}`),
    keyed,
    model: [],
    pending: null,
    stamp: 0,
  }))

/** Lives to the end. */
async function steady(stores) {
  const given = { stores, seed: random.below(2 ** 31), mortal: false, sampleMs }
  const { child, ended } = launch('life', given, (line) => {
    if (line.sample) {
      state.samples.push(line.sample)
      state.steps = line.steps
    }
    if (line.counts) state.counts = line.counts
    if (line.ended) state.steps = line.ended
  })
  const watch = setInterval(() => {
    if (!isOver()) return
    clearInterval(watch)
    child.kill('SIGTERM')
  }, 200)
  const { code, signal, errors } = await ended
  clearInterval(watch)
  if (code !== 0) fail('the one that lives', `ended with ${code ?? signal}: ${errors}`)
  ending = true
}

/** Is killed and comes back; now and then it may close. */
async function mortal(stores) {
  while (!isOver()) {
    const given = { stores, seed: random.below(2 ** 31), mortal: true, sampleMs: 10_000 }
    let verified = 0
    let speaks = false
    const { child, ended } = launch('life', given, (line) => {
      speaks = true
      if (line.verified !== undefined) {
        verified += 1
        Object.assign(stores[line.verified], { model: line.model, pending: null })
      } else if (line.begun !== undefined) {
        const store = stores[line.begun]
        store.pending = line.changes
        for (const [, to] of line.changes) {
          if (to !== null) store.stamp = Math.max(store.stamp, to.v, to.f)
        }
      } else if (line.done !== undefined) {
        const store = stores[line.done]
        const model = new Map(store.model)
        for (const [group, to] of store.pending) {
          if (to === null) model.delete(group)
          else model.set(group, to)
        }
        Object.assign(store, { model: [...model], pending: null })
        state.mortalSteps += 1
      }
    })
    const kills = random.below(5) > 0
    const lives = 500 + random.below(4500)
    const timer = setTimeout(() => child.kill(kills ? 'SIGKILL' : 'SIGTERM'), lives)
    const watch = setInterval(() => isOver() && child.kill('SIGKILL'), 200)
    const { code, signal, errors } = await ended
    clearTimeout(timer)
    clearInterval(watch)
    // Before it listens, a friendly signal is none.
    if (signal === 'SIGKILL' || (signal === 'SIGTERM' && !speaks)) state.kills += 1
    else if (code === 0) state.closes += 1
    else fail('the one that is killed', `ended with ${code ?? signal}: ${errors}`)
    if (code === 0 && verified < stores.length) fail('the one that is killed', 'compared nothing')
  }
}

/** Readers beside the one that lives, one after another. */
async function readers(stores) {
  await delay(2000)
  while (!isOver()) {
    const { directory, keyed } = random.pick(stores)
    const given = { directory, keyed, looks: 5 + random.below(30) }
    const { child, ended } = launch('reader', given, () => {})
    const kills = random.below(4) === 0
    const timer = kills
      ? setTimeout(() => child.kill('SIGKILL'), 1000 + random.below(3000))
      : undefined
    const { code, signal, errors } = await ended
    clearTimeout(timer)
    if (code !== 0 && signal !== 'SIGKILL')
      fail('a reader', `ended with ${code ?? signal}: ${errors}`)
    else state.readers += 1
  }
}

function line() {
  const last = state.samples.at(-1)
  const figures = last
    ? Object.entries(allowances).map(([name, { shown }]) => `${name} ${shown(last[name])}`)
    : ['no sample yet']
  const passed = ((performance.now() - begun) / 60_000).toFixed(1)
  console.log(
    `# minute ${passed}: ${state.steps} steps, ${state.kills} kills, ${state.closes} closes, ` +
      `${state.readers} readers, ${figures.join(', ')}`,
  )
}

process.on('SIGINT', () => {
  if (interrupted) process.exit(130)
  console.log('# ending; again to leave at once')
  interrupted = true
  ending = true
})
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

console.log(`# soak: ${minutes} minutes, seed ${seed}, in ${home}`)
const lines = setInterval(line, minutes < 3 ? 10_000 : 60_000)
const [lasting, dying] = [storesIn('lasting'), storesIn('dying')]
await Promise.all([steady(lasting), mortal(dying), readers(lasting)])
clearInterval(lines)
line()

const done = Object.entries(state.counts ?? {}).map(([name, count]) => `${name} ${count}`)
console.log(`# done: ${done.join(', ')}`)
const results = [
  [state.failures.length === 0, `nothing was lost, torn or wrong over ${state.steps} steps`],
  [
    state.kills > 0,
    `${state.kills} kills and ${state.closes} closes, ${state.mortalSteps} writes acknowledged between them`,
  ],
  [state.readers > 0, `${state.readers} readers beside the writer saw whole versions`],
]
for (const [name, { most, share, shown }] of Object.entries(allowances)) {
  const samples = state.samples.map((sample) => ({ at: sample.at, value: sample[name] }))
  const { gained, from } = drift(samples, warmUpSeconds)
  const allowed = Math.max(most, share * from)
  const what = `${name}: ${shown(from)} in the middle, ${shown(gained)} gained of ${shown(allowed)} allowed`
  results.push([samples.length >= 4 && gained <= allowed, `${what}, ${samples.length} samples`])
}
// What an early end did not come to is no failure, and no proof either.
const isEarly = (index) => interrupted && index > 0
for (const [index, [good, what]] of results.entries()) {
  const left = !good && isEarly(index) ? ' # skip ended early' : ''
  console.log(`${good || left !== '' ? 'ok' : 'not ok'} ${index + 1} - ${what}${left}`)
}
for (const failure of state.failures) console.log(failure.replace(/^/gm, '# '))
console.log(`1..${results.length}`)
const good = results.every(([each], index) => each || isEarly(index))
if (!good) console.log(`# seed ${seed}; the databases are in ${home}`)
else if (values.directory === undefined) rmSync(home, { recursive: true, force: true })
process.exitCode = good ? 0 : 1
