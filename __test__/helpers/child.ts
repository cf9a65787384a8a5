// Programs of tests that run in a process of their own.
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

/** How a process ended and what it printed. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** Starts a program of `helpers/children`. */
export function start(name: string, ...args: string[]): ChildProcess {
  return startUnder([], name, ...args)
}

/** Starts a program of `helpers/children` under options of Node. */
export function startUnder(
  options: readonly string[],
  name: string,
  ...args: string[]
): ChildProcess {
  return spawn(process.execPath, [...options, fileOf(name), ...args], { stdio })
}

/** Starts a program of `helpers/children` as another user, if one is given. */
export function startAs(uid: number | undefined, name: string, ...args: string[]): ChildProcess {
  const user = uid === undefined ? {} : { uid, gid: uid }
  return spawn(process.execPath, [fileOf(name), ...args], { stdio, ...user })
}

const stdio: StdioOptions = ['ignore', 'pipe', 'pipe']

function fileOf(name: string): string {
  return fileURLToPath(new URL(`children/${name}.js`, import.meta.url))
}

/** Waits for the end of a program. */
export function ended(child: ChildProcess): Promise<Ended> {
  let stdout = ''
  let stderr = ''
  child.stdout?.on('data', (text) => (stdout += String(text)))
  child.stderr?.on('data', (text) => (stderr += String(text)))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
}
