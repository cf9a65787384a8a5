// `npm run bench -- <what> [--quick] [--readme] ...`: see bench/README.md.
import { parseArgs } from 'node:util'
import { WrongAnswer } from './lib/answers.mjs'
import { addonToMeasure } from './lib/addon.mjs'
import { Missing } from './lib/data.mjs'
import { log } from './lib/log.mjs'

const usage = `usage: npm run bench -- node|native|filtered|ingest|memory|trust|all|readme [options]

  --quick            a minute in all: proves the harness, measures nothing
  --engines a,b      node, native and filtered: these peers only (ours always runs)
  --datasets a,b     node, native and filtered: these data sets only
  --sections a,b     ingest, memory and trust: these parts only
  --readme           put the tables of the record into README.md afterwards
  --check            readme: only say which lines of README.md are not those of the record
  --dist             measure the addon in dist/ as it is, in place of a release build

CAIRN_BENCH_DATA names the folder of the data sets.`

const parts = {
  node: async (options) => (await import('./node.mjs')).benchNode(options),
  native: async (options) => (await import('./native.mjs')).benchNative(options),
  filtered: async (options) => (await import('./filtered.mjs')).benchFiltered(options),
  ingest: async (options) => (await import('./ingest.mjs')).benchIngest(options),
  memory: async (options) => (await import('./memory.mjs')).benchMemory(options),
  trust: async (options) => (await import('./trust.mjs')).benchTrust(options),
}

/** What goes through the package, and so through its addon. */
const usesAddon = new Set(['node', 'filtered', 'ingest', 'memory', 'trust'])

process.exitCode = await main(process.argv.slice(2))

async function main(args) {
  let options
  try {
    options = read(args)
  } catch (error) {
    console.error(`${error.message}\n\n${usage}`)
    return 2
  }
  try {
    await run(options)
    return 0
  } catch (error) {
    if (error instanceof WrongAnswer) console.error(`WRONG ANSWER: ${error.message}`)
    else if (error instanceof Missing) console.error(error.message)
    else console.error(error)
    return 1
  }
}

async function run({ what, readme, check, dist, ...options }) {
  if (check) return (await import('./readme.mjs')).checkReadme()
  const chosen = what === 'all' ? Object.keys(parts) : [what]
  if (chosen.some((name) => usesAddon.has(name))) {
    process.env.CAIRN_NATIVE_PATH = await addonToMeasure({ release: !options.quick && !dist })
  }
  for (const name of chosen) {
    if (name === 'readme') continue
    const started = performance.now()
    await parts[name](options)
    log(`${name} took ${((performance.now() - started) / 1000).toFixed(0)} s`)
  }
  if (readme || what === 'readme') (await import('./readme.mjs')).writeReadme(options)
}

function read(args) {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      readme: { type: 'boolean', default: false },
      check: { type: 'boolean', default: false },
      dist: { type: 'boolean', default: false },
      engines: { type: 'string' },
      datasets: { type: 'string' },
      sections: { type: 'string' },
    },
  })
  const [what, ...more] = positionals
  if (what === undefined || more.length > 0) throw new Error('name one benchmark')
  if (!['all', 'readme', ...Object.keys(parts)].includes(what)) {
    throw new Error(`there is no benchmark "${what}"`)
  }
  const list = (text) => text?.split(',')
  const { quick, readme, check, dist } = values
  if (check && (what !== 'readme' || quick)) throw new Error('--check is for readme alone')
  return {
    what,
    quick,
    readme,
    check,
    dist,
    only: list(values.engines),
    datasets: list(values.datasets),
    sections: list(values.sections),
  }
}
