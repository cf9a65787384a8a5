// The program `cairn` as a process, in surroundings where nobody has set anything.
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import type { ExecutionContext } from 'ava'
import { ended, type Ended } from './child.js'
import { temporaryDirectory } from './home.js'

const program = fileURLToPath(new URL('../../cli/main.js', import.meta.url))

/** A working directory, and what the program finds around it. */
export interface Place {
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  /** Where the user's file is looked for. */
  readonly userFile: string
}

/** A place of its own, removed after the test. */
export function placeFor(t: Pick<ExecutionContext, 'teardown'>): Place {
  const root = temporaryDirectory(t)
  const config = join(root, 'config')
  const cwd = join(root, 'project', 'sub')
  mkdirSync(cwd, { recursive: true })
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('CAIRN_'))
  const env = Object.fromEntries(inherited) as Record<string, string>
  return {
    cwd,
    env: { ...env, XDG_CONFIG_HOME: config, APPDATA: config },
    userFile: join(config, 'cairn', 'config.json'),
  }
}

/** Writes a file, and the directories above it. */
export function put(path: string, content: unknown): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content))
}

/** Starts the program. */
export function startCairn({ cwd, env }: Place, ...args: string[]): ChildProcess {
  return spawn(process.execPath, [program, ...args], { cwd, env, stdio: ['pipe', 'pipe', 'pipe'] })
}

/** Runs the program to its end, with nothing to read. */
export function cairn(place: Place, ...args: string[]): Promise<Ended> {
  const child = startCairn(place, ...args)
  child.stdin?.end()
  return ended(child)
}

/** The same, in surroundings that have some variables more. */
export function cairnUnder(
  place: Place,
  env: Readonly<Record<string, string>>,
  ...args: string[]
): Promise<Ended> {
  return cairn({ ...place, env: { ...place.env, ...env } }, ...args)
}
