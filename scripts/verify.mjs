// `npm run verify` looks and never writes to a tracked file; `npm run fix` writes what can be mended by a program.
import { Problem } from './problem.mjs'
import { run } from './process.mjs'

const tool = (path, ...args) => [process.execPath, `node_modules/${path}`, ...args]
const clippy = (...what) => {
  return ['cargo', 'clippy', '--locked', '--all-targets', ...what, '--', '-D', 'warnings']
}
const rustdoc = { RUSTDOCFLAGS: '-D warnings' }

/** One row a check: `fix`, where there is one, is the command that mends what `command` finds. */
export const checks = [
  {
    name: 'cargo fmt',
    command: ['cargo', 'fmt', '--all', '--check'],
    fix: ['cargo', 'fmt', '--all'],
  },
  { name: 'clippy', command: clippy('--workspace') },
  {
    name: 'clippy of the fault builds',
    command: clippy('--package', 'cairn-engine', '--features', 'failpoints,planted-bugs'),
  },
  {
    name: 'rustdoc',
    command: ['cargo', 'doc', '--locked', '--workspace', '--no-deps'],
    env: rustdoc,
  },
  { name: 'tidy', command: ['cargo', 'xtask', 'tidy'] },
  { name: 'licences', command: ['cargo', 'xtask', 'licences'] },
  {
    name: 'oxlint',
    command: tool('oxlint/bin/oxlint', '--type-aware'),
    fix: tool('oxlint/bin/oxlint', '--fix'),
  },
  {
    name: 'prettier',
    command: tool('prettier/bin/prettier.cjs', '--check', '.'),
    fix: tool('prettier/bin/prettier.cjs', '--write', '--log-level=warn', '.'),
  },
  { name: 'tsc', command: tool('typescript/bin/tsc', '--build') },
  { name: 'knip', command: tool('knip/bin/knip.js') },
  { name: 'publint', command: tool('publint/src/cli.js', '--strict') },
  {
    name: 'readme',
    command: [process.execPath, 'bench/run.mjs', 'readme', '--check'],
    fix: [process.execPath, 'bench/run.mjs', 'readme'],
  },
  { name: 'attw', command: tool('@arethetypeswrong/cli/dist/index.js', '--pack', '.') },
]

/** Runs the named checks, or all of them; one TAP line for each. */
export async function verify(named) {
  const chosen = choose(checks, named)
  const failed = []
  for (const [index, { name, command, env }] of chosen.entries()) {
    const code = await run(command, { env })
    if (code !== 0) failed.push(name)
    console.log(`${code === 0 ? 'ok' : 'not ok'} ${index + 1} - ${name}`)
  }
  console.log(failed.length === 0 ? 'all checks passed' : `failed: ${failed.join(', ')}`)
  return failed.length === 0 ? 0 : 1
}

/** Runs the fixes in order, and stops at the first that fails. */
export async function fix(named) {
  const fixable = checks.filter((check) => check.fix)
  for (const check of choose(fixable, named)) {
    const code = await run(check.fix, { env: check.env })
    if (code !== 0) throw new Problem(`${check.name} could not write its fixes.`)
  }
  return 0
}

function choose(rows, named) {
  const unknown = named.find((name) => !rows.some((row) => row.name === name))
  if (unknown !== undefined) {
    throw new Problem(
      `there is no "${unknown}"; the names are ${rows.map((row) => row.name).join(', ')}.`,
    )
  }
  return named.length === 0 ? rows : rows.filter((row) => named.includes(row.name))
}
