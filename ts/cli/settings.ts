// Settings, and where each comes from: flag, environment, project file, user file, default.
//
// A place that is wrong is an error even where a higher one decides: it would be found on another day, by
// somebody who has forgotten it.
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isObject } from '../check.js'
import { checkPath } from '../options.js'
import { nearest } from '../internal/nearest.js'
import { describe } from '../internal/describe.js'
import { UsageError } from './command.js'

/** How answers are written. */
export type Output = 'table' | 'json' | 'ndjson' | 'csv'

export const outputs: readonly Output[] = ['table', 'json', 'ndjson', 'csv']

/** Where a value comes from, highest first. */
export type Source = 'flag' | 'environment' | 'project file' | 'user file' | 'default'

/** A setting that is decided. */
export interface Setting<T> {
  readonly value: T
  readonly source: Source
  /** The flag, the variable or the file; null for a default. */
  readonly where: string | null
}

export interface Settings {
  /** The data directory, absolute. */
  readonly dir: Setting<string>
  readonly output: Setting<Output>
  /** The file with the key of an encrypted database, absolute; null for none. */
  readonly keyFile: Setting<string | null>
}

/** What settings are read from. */
export interface Surroundings {
  readonly cwd: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly platform: NodeJS.Platform
}

/** Values of the command line, where they were given. */
export type GivenSettings = {
  readonly [K in Name]?: { readonly value: string; readonly where: string } | undefined
}

/** Of the working directory, when nothing else is said. */
export const dirDefault = 'cairn-data'

/** The name of a project's file, looked for from the working directory upwards. */
const projectFile = 'cairn.json'

const names = ['dir', 'output', 'keyFile'] as const
type Name = (typeof names)[number]

const variables: Readonly<Record<Name, string>> = {
  dir: 'CAIRN_DIR',
  output: 'CAIRN_OUTPUT',
  keyFile: 'CAIRN_KEY_FILE',
}

/** A value that was found, and the directory that a relative path is relative to. */
interface Found {
  readonly value: unknown
  readonly source: Source
  readonly where: string
  readonly base: string
}

/**
 * Decides every setting.
 *
 * @throws {UsageError} For a value, member or file that is wrong, with its place.
 */
export function readSettings(given: GivenSettings, around: Surroundings): Settings {
  const files = [projectMembers(around), userMembers(around)]
  const found = (name: Name): Found[] => {
    const flag = given[name]
    const variable = variables[name]
    const fromEnv = around.env[variable]
    const all: (Found | undefined)[] = [
      flag && { ...flag, source: 'flag', base: around.cwd },
      // An empty variable is how many shells take one away.
      fromEnv === undefined || fromEnv === ''
        ? undefined
        : { value: fromEnv, source: 'environment', where: variable, base: around.cwd },
      ...files.map((file) => file?.[name]),
    ]
    return all.filter((one) => one !== undefined)
  }
  const byDefault = resolve(around.cwd, dirDefault)
  return {
    dir: decide(found('dir'), directoryOf, byDefault),
    output: decide(found('output'), outputOf, 'table'),
    keyFile: decide<string | null>(found('keyFile'), (one) => pathOf(one, 'keyFile'), null),
  }
}

/** The first one counts; all are checked. */
function decide<T>(found: readonly Found[], read: (one: Found) => T, byDefault: T): Setting<T> {
  const [first] = found.map((one) => ({
    value: read(one),
    source: one.source,
    where: one.where,
  }))
  return first ?? { value: byDefault, source: 'default', where: null }
}

function directoryOf(one: Found): string {
  if (one.value === ':memory:') {
    const { where } = one
    throw new UsageError(`${where}: a database in memory ends with its process; dir is a directory`)
  }
  return pathOf(one, 'dir')
}

function pathOf({ value, where, base }: Found, name: Name): string {
  if (typeof value !== 'string') throw wrongValue(where, name, 'a path', value)
  try {
    if (/^file:/i.test(value)) return checkPath(fileURLToPath(value), name)
    if (/^[a-z][a-z\d+.-]+:\/\//i.test(value)) {
      throw new UsageError('of URLs only those of files are paths')
    }
    return resolve(base, checkPath(value, name))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new UsageError(`${where}: ${reason}: ${describe(value)}`, { cause: error })
  }
}

function outputOf({ value, where }: Found): Output {
  const output = outputs.find((word) => word === value)
  if (output === undefined) throw wrongValue(where, 'output', outputs.join(', '), value)
  return output
}

function wrongValue(where: string, name: Name, expected: string, got: unknown): UsageError {
  return new UsageError(`${where}: ${name} must be ${expected}, not ${describe(got)}`)
}

type Members = { readonly [K in Name]?: Found | undefined }

function projectMembers({ cwd }: Surroundings): Members | undefined {
  for (let folder = resolve(cwd); ; folder = dirname(folder)) {
    const members = membersOf(join(folder, projectFile), 'project file')
    if (members !== undefined || folder === dirname(folder)) return members
  }
}

function userMembers(around: Surroundings): Members | undefined {
  return membersOf(join(configDirectory(around), 'cairn', 'config.json'), 'user file')
}

function configDirectory({ env, platform }: Surroundings): string {
  const own = env[platform === 'win32' ? 'APPDATA' : 'XDG_CONFIG_HOME']
  // The XDG base directory specification has relative ones ignored.
  if (own !== undefined && isAbsolute(own)) return own
  return platform === 'win32' ? join(homedir(), 'AppData', 'Roaming') : join(homedir(), '.config')
}

/** What a file says; undefined where there is none. */
function membersOf(path: string, source: Source): Members | undefined {
  const text = textOf(path)
  if (text === undefined) return undefined
  let value: unknown
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch (error) {
    throw new UsageError(`${path}: not JSON: ${(error as Error).message}`, { cause: error })
  }
  if (!isObject(value)) throw new UsageError(`${path}: must be an object, not ${describe(value)}`)
  const members: { [K in Name]?: Found } = {}
  for (const [name, member] of Object.entries(value)) {
    const known = names.find((one) => one === name)
    if (known === undefined) throw new UsageError(`${path}: ${unknownWord('member', name, names)}`)
    members[known] = { value: member, source, where: path, base: dirname(path) }
  }
  return members
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new UsageError(`${path}: cannot be read: ${message}`, { cause: error })
  }
}

/** Says that there is no such word, and which was probably meant. */
export function unknownWord(what: string, word: string, known: Iterable<string>): string {
  const meant = nearest(word, known)
  const hint = meant === undefined ? '' : `; did you mean ${meant}?`
  return `there is no ${what} ${describe(word)}${hint}`
}
