// The addon under test: a copy that nobody rebuilds while it is measured.
import { spawn } from 'node:child_process'
import { copyFileSync, existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Missing } from './data.mjs'
import { log } from './log.mjs'
import { newFolder, removeFolder, root } from './places.mjs'

/**
 * The addon to load, by its path: the one that CAIRN_NATIVE_PATH names, or one built as it is published
 * (`release`), or the one in dist/.
 */
export async function addonToMeasure({ release }) {
  const named = process.env.CAIRN_NATIVE_PATH
  const source = named ?? (release ? await buildRelease() : builtAddon())
  const folder = newFolder('addon')
  process.once('exit', () => removeFolder(folder))
  const copy = join(folder, 'cairndb.node')
  copyFileSync(source, copy)
  log(`addon: ${named ?? (release ? 'release build' : 'dist/')}`)
  return copy
}

/** The addon that `npm run build` left in dist/. */
export function builtAddon() {
  const dist = join(root, 'dist')
  const name = existsSync(dist) && readdirSync(dist).find((entry) => entry.endsWith('.node'))
  if (!name) throw new Missing('there is no addon in dist/: npm run build makes it')
  return join(dist, name)
}

async function buildRelease() {
  log('building the addon as it is published (a few minutes the first time)')
  return cargoBuild(['--package', 'cairn-napi'], ({ target, filenames }) =>
    target.name === 'cairn_napi'
      ? filenames.find((file) => /\.(so|dylib|dll)$/.test(file))
      : undefined,
  )
}

/**
 * Builds something in release mode.
 *
 * @param find - Gives the wanted path out of one artifact that cargo reports, or undefined.
 */
export async function cargoBuild(what, find) {
  const args = ['build', '--locked', '--release', '--quiet', ...what]
  const child = spawn('cargo', [...args, '--message-format=json-render-diagnostics'], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', resolve)
  })
  let found
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.startsWith('{')) continue
    const message = JSON.parse(line)
    if (message.reason === 'compiler-artifact') found = find(message) ?? found
  }
  const code = await ended
  if (code !== 0 || found === undefined) throw new Missing(`cargo ${args.join(' ')} failed`)
  return found
}
