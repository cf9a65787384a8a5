// Release steps, run by .github/workflows/release.yml in a throw-away checkout: node scripts/release.mjs <step>.
//
//   check <tag>     the tag, package.json, Cargo.toml and every npm/<target> name one version
//   stage <folder>  puts each cairndb.<target>.node found under <folder> into npm/<target>, all eight or none
//   pin             lists the eight platform packages, at exactly this version, as optional dependencies
//
// The list is written at release only: the packages of a version exist after they are published, and an entry that
// no registry knows would break `npm ci` in every clone until then.
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { root } from './process.mjs'
import { binaryOf, packageOf, targets } from './targets.mjs'

const readJson = (path) => JSON.parse(readFileSync(join(root, path), 'utf8'))

/** Every place that states the version, as `[place, version]`. */
export function versions() {
  const cargo = /^version = "(.+)"$/m.exec(readFileSync(join(root, 'Cargo.toml'), 'utf8'))[1]
  const packages = ['package.json', ...targets.map(({ id }) => `npm/${id}/package.json`)]
  return [['Cargo.toml', cargo], ...packages.map((path) => [path, readJson(path).version])]
}

/** The manifest as it is published: the platform packages are optional, so npm installs the one that fits. */
export function pinned(manifest) {
  const optionalDependencies = Object.fromEntries(
    targets.map((target) => [packageOf(target), manifest.version]),
  )
  return { ...manifest, optionalDependencies }
}

function check(tag) {
  const wrong = versions().filter(([, version]) => `v${version}` !== tag)
  if (wrong.length === 0) return
  throw new Error(`the tag is ${tag}, but ${wrong.map((pair) => pair.join(' says ')).join(', ')}`)
}

function stage(folder) {
  const found = new Map(
    readdirSync(folder, { recursive: true }).map((path) => [basename(path), join(folder, path)]),
  )
  const absent = targets.map(binaryOf).filter((name) => !found.has(name))
  if (absent.length > 0) throw new Error(`no ${absent.join(', ')} under ${folder}`)
  for (const target of targets) {
    const name = binaryOf(target)
    copyFileSync(found.get(name), join(root, 'npm', target.id, name))
  }
}

function pin() {
  const path = join(root, 'package.json')
  writeFileSync(path, `${JSON.stringify(pinned(readJson('package.json')), null, 2)}\n`)
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [step, argument] = process.argv.slice(2)
  const steps = { check, stage, pin }
  if (!Object.hasOwn(steps, step ?? '')) throw new Error(`no step "${step}": check, stage or pin`)
  steps[step](argument)
}
