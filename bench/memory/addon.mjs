// The size of what is downloaded, and that installing it runs nothing.
import { spawnSync } from 'node:child_process'
import { copyFileSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { builtAddon } from '../lib/addon.mjs'
import { worst } from '../lib/figure.mjs'
import { newFolder, removeFolder, root } from '../lib/places.mjs'

const installScripts = ['preinstall', 'install', 'postinstall', 'prepare']

/** The addon under test, stripped of its symbols. */
export async function measureAddon() {
  const addon = process.env.CAIRN_NATIVE_PATH ?? builtAddon()
  const folder = newFolder('addon')
  try {
    const copy = join(folder, 'stripped.node')
    copyFileSync(addon, copy)
    const { status } = spawnSync(
      'strip',
      process.platform === 'darwin' ? ['-x', copy] : ['-s', copy],
    )
    const note = status === 0 ? '' : 'not stripped: no strip'
    const scripts = manifests().flatMap(scriptsOf)
    return [
      worst('addon, stripped', 'MB', [statSync(copy).size / 1e6], { most: 15 }, note),
      worst('install scripts', '', [scripts.length], { most: 0 }, scripts.join(', ')),
    ]
  } finally {
    removeFolder(folder)
  }
}

function manifests() {
  const npm = join(root, 'npm')
  return [root, ...readdirSync(npm).map((name) => join(npm, name))].map((folder) =>
    join(folder, 'package.json'),
  )
}

function scriptsOf(file) {
  const { name, scripts = {} } = JSON.parse(readFileSync(file, 'utf8'))
  return installScripts.filter((script) => script in scripts).map((script) => `${name}: ${script}`)
}
