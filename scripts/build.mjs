// Builds what `import 'cairndb'` loads: the addon by cargo, the JavaScript by tsc, both into dist/.
import { createHash } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { Problem } from './problem.mjs'
import { root, run } from './process.mjs'
import { hostId } from './targets.mjs'

const dist = join(root, 'dist')
const stampFile = join(dist, '.stamp')

/** Brings dist/ up to date with the sources; costs a fraction of a second when it already is. */
export async function build() {
  mkdirSync(dist, { recursive: true })
  await buildAddon()
  await compile()
}

/**
 * Compiles the addon and copies it to dist/cairndb.<platform>.node.
 *
 * cargo itself says where the library lies, so a CARGO_TARGET_DIR or a cargo configuration of the user's is honoured.
 */
async function buildAddon() {
  const command = ['cargo', 'build', '--locked', '--package', 'cairn-napi', '--profile', 'fast']
  const interactive = process.stderr.isTTY === true
  if (!interactive) command.push('--quiet')
  if (!addonExists()) console.error('building the addon (a few minutes the first time)')
  let library
  const code = await run([...command, '--message-format=json-render-diagnostics'], {
    hide: true,
    onLine: (line) => {
      library = addonIn(line) ?? library
    },
  })
  if (code !== 0)
    throw new Problem(`building the addon failed (see above): cargo ended with code ${code}.`)
  if (!library)
    throw new Problem('building the addon failed: cargo named no library for cairn-napi.')
  copyWhenChanged(library, join(dist, `cairndb.${hostId()}.node`))
}

/** The path of the addon's library, when this line of cargo's messages tells it. */
export function addonIn(line) {
  if (!line.startsWith('{')) return undefined
  const message = JSON.parse(line)
  if (message.reason !== 'compiler-artifact' || message.target.name !== 'cairn_napi')
    return undefined
  return message.filenames.find((file) => /\.(so|dylib|dll)$/.test(file))
}

function addonExists() {
  return existsSync(join(dist, `cairndb.${hostId()}.node`))
}

/** Renames a copy into place, because a running process may have the old file mapped. */
function copyWhenChanged(from, to) {
  const source = statSync(from)
  const old = statSync(to, { throwIfNoEntry: false })
  const time = Math.trunc(source.mtimeMs)
  if (old && Math.trunc(old.mtimeMs) === time && old.size === source.size) return
  const part = `${to}.${process.pid}.part`
  copyFileSync(from, part)
  utimesSync(part, new Date(time), new Date(time))
  renameSync(part, to)
}

/** Compiles ts/ and __test__/ when a source was added, removed or edited. */
export async function compile() {
  const stamp = sourceStamp()
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return
  removeCompiled()
  const code = await run([
    process.execPath,
    'node_modules/typescript/bin/tsc',
    '--build',
    'ts',
    '__test__',
  ])
  if (code !== 0)
    throw new Problem(
      `compiling ts/ and __test__/ failed (see above): tsc ended with code ${code}.`,
    )
  // A program that installed this checkout has a link to it, which npm made executable once.
  chmodSync(join(dist, 'cli/main.js'), 0o755)
  writeFileSync(stampFile, stamp)
}

function sourceStamp() {
  const hash = createHash('sha256')
  for (const file of [
    'package.json',
    'package-lock.json',
    'tsconfig.base.json',
    ...walk('ts'),
    ...walk('__test__'),
  ]) {
    const { mtimeMs, size } = statSync(join(root, file))
    hash.update(`${file} ${mtimeMs} ${size}\n`)
  }
  return hash.digest('hex')
}

function walk(folder) {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .flatMap((entry) => {
      const path = `${folder}/${entry.name}`
      return entry.isDirectory() ? walk(path) : [path]
    })
    .sort()
}

/** Removes all but the addon, so that the output of a deleted source cannot linger and be run. */
function removeCompiled() {
  for (const name of readdirSync(dist)) {
    if (!name.endsWith('.node')) rmSync(join(dist, name), { recursive: true })
  }
}
