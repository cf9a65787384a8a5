// Runs the fuzz targets of crates/fuzz, two at a time, each for CAIRN_FUZZ_SECONDS (10). Prints one TAP line for
// each, with the number of executions, and one for their sum. What fails leaves its input in crates/fuzz/artifacts.
//
//   npm test -- fuzz                                     the share that continuous integration runs
//   CAIRN_FUZZ_SECONDS=120 node scripts/fuzz.mjs         long, and what was found goes into the corpus
import { spawn } from 'node:child_process'
import { mkdirSync, readdirSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { root } from './process.mjs'

const folder = join(root, 'crates', 'fuzz')
const seconds = Number(process.env['CAIRN_FUZZ_SECONDS'] ?? 10)
/** All of them together in a run of the default length; twice as many were measured on a busy machine. */
const executionsMin = 5_000_000 * Math.min(1, seconds / 10)

const targets = readdirSync(join(folder, 'targets'))
  .map((name) => name.replace(/\.rs$/, ''))
  .sort()

/** A process's exit code and all that it wrote. */
function run(command, ...args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    child.stdout.on('data', (bytes) => (output += bytes))
    child.stderr.on('data', (bytes) => (output += bytes))
    child.on('error', (error) => resolve({ code: 1, output: String(error) }))
    child.on('close', (code) => resolve({ code, output }))
  })
}

const cargoFuzz = (verb, ...args) =>
  run('cargo', 'fuzz', verb, '--sanitizer', 'none', '--fuzz-dir', '.', ...args)

async function fuzz(target) {
  const found = join(process.env['CAIRN_FUZZ_FOUND'] ?? join(tmpdir(), 'cairn-fuzz'), target)
  const corpus = join(folder, 'corpus', target)
  for (const path of [found, corpus]) mkdirSync(path, { recursive: true })
  // The first folder takes what is found.
  const limits = [`-max_total_time=${seconds}`, '-rss_limit_mb=2048', '-timeout=20']
  const { code, output } = await cargoFuzz(
    'run',
    target,
    found,
    corpus,
    '--',
    ...limits,
    '-print_final_stats=1',
  )
  const executions = Number(/number_of_executed_units:\s*(\d+)/.exec(output)?.[1] ?? 0)
  return { target, ok: code === 0 && executions > 0, executions, output }
}

const built = await cargoFuzz('build')
if (built.code !== 0) {
  process.stdout.write(built.output)
  process.exit(1)
}
const waiting = [...targets]
const results = []
const workers = Array.from({ length: Math.min(2, cpus().length) }, async () => {
  for (let target = waiting.shift(); target !== undefined; target = waiting.shift()) {
    const result = await fuzz(target)
    results.push(result)
    const count = result.executions.toLocaleString('en')
    console.log(`${result.ok ? 'ok' : 'not ok'} ${results.length} - ${target}: ${count} executions`)
    if (!result.ok) console.log(result.output.slice(-4000).replace(/^/gm, '# '))
  }
})
await Promise.all(workers)
const total = results.reduce((sum, { executions }) => sum + executions, 0)
const enough = total >= executionsMin
console.log(
  `${enough ? 'ok' : 'not ok'} ${results.length + 1} - ${total.toLocaleString('en')} executions in all`,
)
console.log(`1..${results.length + 1}`)
process.exitCode = enough && results.every(({ ok }) => ok) ? 0 : 1
