// The development dependencies, exactly as package-lock.json lists them.
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Problem } from './problem.mjs'
import { root, run } from './process.mjs'

const stampFile = join(root, 'node_modules/.cairn-stamp')

/** Runs `npm ci` when the lock file, the platform or Node's binary interface changed since the last time. */
export async function install() {
  const stamp = lockStamp()
  if (readStamp() === stamp) return
  console.error('installing the development dependencies')
  const flags = ['--ignore-scripts', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error']
  const code = await run([...npm(), 'ci', ...flags])
  if (code !== 0) {
    throw new Problem(
      'npm ci failed (see above): Cairn could not install its development dependencies.',
    )
  }
  writeFileSync(stampFile, stamp)
}

function lockStamp() {
  const { platform, arch, versions } = process
  return createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .update(`${platform} ${arch} ${versions.modules}`)
    .digest('hex')
}

function readStamp() {
  try {
    return readFileSync(stampFile, 'utf8')
  } catch {
    return null
  }
}

/** The npm that started us when there is one, so that its version and settings are kept. */
function npm() {
  const self = process.env.npm_execpath
  if (self?.endsWith('npm-cli.js')) return [process.execPath, self]
  return [process.platform === 'win32' ? 'npm.cmd' : 'npm']
}
