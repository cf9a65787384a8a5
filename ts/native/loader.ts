// Finds the addon. Every `require` has a literal string, so that bundlers see what is loaded.
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { CairnError } from '../errors.js'
import { version } from '../version.js'
import type { Binding } from './binding.js'

const require = createRequire(import.meta.url)

const supported = [
  'linux-x64-gnu',
  'linux-x64-musl',
  'linux-arm64-gnu',
  'linux-arm64-musl',
  'darwin-x64',
  'darwin-arm64',
  'win32-x64-msvc',
  'win32-arm64-msvc',
]

let loaded: Binding | undefined

/**
 * The addon, loaded at the first call and kept.
 *
 * Tried in order: the file that `CAIRN_NATIVE_PATH` names (and then nothing else), a local build
 * beside this package's code, the package `@cairndb/binding-<platform>`.
 *
 * @throws {CairnError} `ERR_UNSUPPORTED_PLATFORM`, with what was tried and what there is.
 */
export function loadBinding(): Binding {
  loaded ??= load(process.env['CAIRN_NATIVE_PATH'])
  return loaded
}

/** Name of the platform this process runs on, such as `linux-x64-gnu`. */
export function platformName(): string {
  const { platform, arch } = process
  if (platform === 'linux') return `linux-${arch}-${isMusl() ? 'musl' : 'gnu'}`
  return platform === 'win32' ? `win32-${arch}-msvc` : `${platform}-${arch}`
}

function load(chosen: string | undefined): Binding {
  const tried: string[] = []
  const failures: unknown[] = []
  for (const { name, find } of candidates(chosen)) {
    try {
      const binding = find()
      if (binding !== undefined) return binding
      tried.push(`${name}: not there`)
    } catch (error) {
      tried.push(`${name}: ${error instanceof Error ? firstLine(error.message) : 'failed'}`)
      failures.push(error)
    }
  }
  throw new CairnError(
    'ERR_UNSUPPORTED_PLATFORM',
    `the native part of cairndb could not be loaded. ${advice(chosen)}`,
    {
      platform: platformName(),
      node: process.version,
      tried: tried.join('; '),
      supported: supported.join(', '),
    },
    failures.at(-1),
  )
}

interface Candidate {
  readonly name: string
  /** Undefined when there is nothing. */
  readonly find: () => Binding | undefined
}

function candidates(chosen: string | undefined): Candidate[] {
  if (chosen !== undefined && chosen !== '') {
    return [{ name: chosen, find: () => require(chosen) as Binding }]
  }
  const local = fileURLToPath(new URL(`../cairndb.${platformName()}.node`, import.meta.url))
  return [
    { name: local, find: () => (existsSync(local) ? (require(local) as Binding) : undefined) },
    { name: `@cairndb/binding-${platformName()}`, find: platformPackage },
  ]
}

function platformPackage(): Binding | undefined {
  switch (platformName()) {
    case 'linux-x64-gnu':
      return require('@cairndb/binding-linux-x64-gnu') as Binding
    case 'linux-x64-musl':
      return require('@cairndb/binding-linux-x64-musl') as Binding
    case 'linux-arm64-gnu':
      return require('@cairndb/binding-linux-arm64-gnu') as Binding
    case 'linux-arm64-musl':
      return require('@cairndb/binding-linux-arm64-musl') as Binding
    case 'darwin-x64':
      return require('@cairndb/binding-darwin-x64') as Binding
    case 'darwin-arm64':
      return require('@cairndb/binding-darwin-arm64') as Binding
    case 'win32-x64-msvc':
      return require('@cairndb/binding-win32-x64-msvc') as Binding
    case 'win32-arm64-msvc':
      return require('@cairndb/binding-win32-arm64-msvc') as Binding
    default:
      return undefined
  }
}

function advice(chosen: string | undefined): string {
  if (chosen !== undefined && chosen !== '')
    return 'CAIRN_NATIVE_PATH names a file that cannot be loaded'
  if (!supported.includes(platformName())) return 'there is no binary for this platform'
  return (
    'the platform is supported, but its package is missing: a lock file made on another system can leave it out; ' +
    `npm install --no-save @cairndb/binding-${platformName()}@${version} brings it back`
  )
}

function isMusl(): boolean {
  const { report } = process
  // Without this the report looks up the names of all network peers, which can take seconds.
  Object.assign(report, { excludeNetwork: true })
  const { header } = report.getReport() as { header?: { glibcVersionRuntime?: string } }
  return header?.glibcVersionRuntime === undefined
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? text
}
