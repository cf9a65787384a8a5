// The database that a command works on, closed behind it.
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { CairnError, open, type Collection, type Database, type OpenOptions } from '../index.js'
import { UsageError, type Call } from './command.js'
import { withKey } from './key.js'

/** Reads a database, beside whatever process writes it. */
export async function reading<T>(call: Call, work: (db: Database) => Promise<T>): Promise<T> {
  // One look is enough, and what is compared by nobody needs no memory.
  return working(call, { mode: 'ro', refreshMs: 0, memoryMap: true }, work)
}

/**
 * Writes a database, as the only one that does.
 *
 * @throws {CairnError} `ERR_NOT_FOUND` where there is none: a slip in a path makes no database.
 */
export async function writing<T>(
  call: Call,
  options: OpenOptions,
  work: (db: Database) => Promise<T>,
): Promise<T> {
  const directory = call.settings.dir.value
  if (!(await isDatabase(directory))) {
    throw new CairnError('ERR_NOT_FOUND', 'there is no database', { directory })
  }
  return working(call, options, work)
}

/** Writes a database, which is made when it is not there. */
export async function making<T>(call: Call, work: (db: Database) => Promise<T>): Promise<T> {
  return working(call, {}, work)
}

async function working<T>(
  call: Call,
  options: OpenOptions,
  work: (db: Database) => Promise<T>,
): Promise<T> {
  const onWarning: OpenOptions['onWarning'] = ({ message }) => call.tell(`warning: ${message}`)
  const db = await withKey(call, (encryption) =>
    open(call.settings.dir.value, { ...options, encryption, onWarning }),
  )
  try {
    return await work(db)
  } finally {
    await db.close()
  }
}

/** Whether a directory has the file by which every database begins (FORMAT.md, section 2). */
async function isDatabase(directory: string): Promise<boolean> {
  return stat(join(directory, 'CURRENT')).then(
    (found) => found.isFile(),
    () => false,
  )
}

/** Keys as the user wrote them, as the collection has them. */
export function keysOf({ schema, name }: Collection, words: readonly string[]): never {
  if (schema.key === 'string') return words as never
  const wrong = words.find((word) => !/^\d+$/.test(word))
  if (wrong === undefined) return words.map(BigInt) as never
  throw new UsageError(`keys of ${name} are whole numbers, not ${JSON.stringify(wrong)}`)
}
