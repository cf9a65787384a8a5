// Runs tests under AddressSanitizer, those of the crates with LeakSanitizer as well, and the addon inside Node. Prints
// one TAP line for each part, with the tests that it ran.
//
//   npm test -- sanitizers                                the share that continuous integration runs
//   CAIRN_SANITIZE=long node scripts/sanitizers.mjs       every test of every crate, and every test of the package
//
// The stable compiler has the sanitizer; RUSTC_BOOTSTRAP=1 lets it use it. ThreadSanitizer is left out: with a
// standard library that is not instrumented it reports races within that library in every program.
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { addonIn, compile } from './build.mjs'
import { cargo, none, tap } from './counts.mjs'
import { root, run } from './process.mjs'

const long = process.env['CAIRN_SANITIZE'] === 'long'
const triple = 'x86_64-unknown-linux-gnu'
const leaks = join(root, '.ci', 'leaks.txt')
const targets = process.env['CARGO_TARGET_DIR'] ?? join(root, 'target')

/** Has a target directory of its own, so that neither build undoes the other. */
const instrumented = {
  RUSTC_BOOTSTRAP: '1',
  RUSTFLAGS: '-Zsanitizer=address',
  CARGO_TARGET_DIR: join(targets, 'address'),
}

const watched = {
  // A page that a mapped file lost is for the handler of the crates, or ends the process, as without the sanitizer.
  ASAN_OPTIONS: 'detect_leaks=1:detect_stack_use_after_return=1:handle_sigbus=0',
  LSAN_OPTIONS: `suppressions=${leaks}:print_suppressions=0`,
}

/**
 * Tests of what graphs find and how they are made on average. They take minutes here, and touch no memory that the
 * others do not.
 */
const statistics = [
  'a_measured_recall_is',
  'a_row_is_found_too_easily_while_it_stands_in_the_graph',
  'any_number_of_workers_inserts_all_rows_and_measures_about_the_same',
  'finds_99_of_100_nearest_rows_with_ef_100',
  'larger_ef_finds_more',
  'recall_and_effort_are_those_of_the_baseline',
  'the_histogram_follows_the_geometric_law',
]
const without = long ? [] : ['--', ...statistics.flatMap((name) => ['--skip', name])]

const packages = (...names) => names.flatMap((name) => ['--package', `cairn-${name}`])

const parts = [
  {
    title: 'distance, index, env and storage under AddressSanitizer and LeakSanitizer',
    args: [...packages('distance', 'index', 'env', 'storage'), '--lib', '--tests', ...without],
  },
  {
    title: 'collections under AddressSanitizer and LeakSanitizer',
    args: [...packages('engine'), ...(long ? ['--lib', '--tests'] : ['--test', 'watched'])],
  },
]

/** The counts of a program that prints how many tests passed. */
async function counted(command, env, read) {
  const counts = none()
  const started = Date.now()
  const code = await run(command, {
    env,
    // Lines of TAP would be counted twice: as this program's too.
    hide: read === tap,
    onLine: (line) => {
      read(counts, line)
      if (read === tap && line.startsWith('not ok')) console.log(`  ${line}`)
    },
  })
  const seconds = Math.round((Date.now() - started) / 1000)
  return { ok: code === 0 && counts.failed === 0 && counts.passed > 0, counts, seconds }
}

/** The addon, instrumented. */
async function addon() {
  const command = ['cargo', 'build', '--locked', '--quiet', '--package', 'cairn-napi']
  const libraries = []
  const code = await run(
    [...command, '--target', triple, '--message-format=json-render-diagnostics'],
    {
      env: instrumented,
      hide: true,
      onLine: (line) => libraries.push(addonIn(line)),
    },
  )
  const library = libraries.find(Boolean)
  if (code !== 0 || library === undefined) return null
  copyFileSync(library, `${library}.node`)
  return `${library}.node`
}

/** The runtime of AddressSanitizer as a library: Node must have it before the addon is loaded. */
function runtime() {
  const { stdout } = spawnSync('gcc', ['-print-file-name=libasan.so'], { encoding: 'utf8' })
  const path = stdout?.trim() ?? ''
  return path.startsWith('/') && existsSync(path) ? path : null
}

async function inNode() {
  const path = await addon()
  if (path === null) return { ok: false, counts: none(), seconds: 0 }
  mkdirSync(join(root, 'dist'), { recursive: true })
  await compile()
  const ava = [process.execPath, 'node_modules/ava/entrypoints/cli.mjs', '--tap', '--timeout=5m']
  // What a call may take says nothing when every access to memory is looked at.
  const untimed = '--match=!*microseconds*'
  const files = ['database', 'search', 'scan', 'worker', 'job', 'exit', 'errors']
  const share = files.map((name) => `dist/__test__/${name}.spec.js`)
  const env = {
    CAIRN_NATIVE_PATH: path,
    LD_PRELOAD: runtime(),
    // Node itself lets go of nothing at its end, so leaks are looked for in the tests of the crates alone.
    ASAN_OPTIONS: 'detect_leaks=0:detect_odr_violation=0:handle_sigbus=0',
  }
  return counted([...ava, ...(long ? [untimed] : share)], env, tap)
}

console.log('TAP version 13')
let failed = 0
let number = 0
function report(title, { ok, counts, seconds }) {
  number += 1
  if (!ok) failed += 1
  const what = `${counts.passed} tests passed, ${counts.failed} failed, in ${seconds} s`
  console.log(`${ok ? 'ok' : 'not ok'} ${number} - ${title}: ${what}`)
}
for (const { title, args } of parts) {
  const command = ['cargo', 'test', '--locked', '--no-fail-fast', '--target', triple, ...args]
  report(title, await counted(command, { ...instrumented, ...watched }, cargo))
}
report('the addon inside Node under AddressSanitizer', await inNode())
console.log(`1..${number}`)
process.exitCode = failed === 0 ? 0 : 1
