// Where a database of a test lives.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { open, type Database, type OpenOptions } from '#ts/index.js'

/** A place to open databases in. */
export interface Home {
  readonly title: string
  /** Whether a database closed here can be opened again. */
  readonly persistent: boolean
  /** A target that nobody else uses. */
  target(t: Teardown): string
}

type Teardown = Pick<ExecutionContext, 'teardown'>

/** A directory of its own, removed after the test. */
export const directoryHome: Home = {
  title: 'directory',
  persistent: true,
  target: (t) => join(temporaryDirectory(t), 'data'),
}

/** Memory only. */
export const memoryHome: Home = {
  title: 'memory',
  persistent: false,
  target: () => ':memory:',
}

/** A fresh directory, removed after the test. */
export function temporaryDirectory(t: Teardown): string {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** An open database, closed after the test. */
export async function openFor(
  t: Teardown,
  target: string = ':memory:',
  options?: OpenOptions,
): Promise<Database> {
  const db = await open(target, options)
  t.teardown(() => db.close())
  return db
}
