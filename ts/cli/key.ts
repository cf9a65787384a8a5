// The key of an encrypted database, from the file that the settings name. It is in no message and no answer.
import { Buffer } from 'node:buffer'
import { createReadStream } from 'node:fs'
import { CairnError, type Encryption } from '../index.js'
import { UsageError, type Call } from './command.js'
import type { Settings } from './settings.js'

const keyBytes = 32

/** What 64 hex digits and the end of their line take. */
const fileBytesMax = 2 * keyBytes + 2

/** What a new database has its key under; one that is there says the id that it has. */
const newId = 'default'

/**
 * Works with the key, which is overwritten when that is over; with undefined where no file is named.
 *
 * @throws {UsageError} For a file that is no key or cannot be read.
 * @throws {CairnError} `ERR_NOT_FOUND` where there is no file.
 */
export async function withKey<T>(
  { settings }: Pick<Call, 'settings'>,
  work: (encryption: Encryption | undefined) => Promise<T>,
): Promise<T> {
  const { value: file, where } = settings.keyFile
  if (file === null) return work(undefined)
  const bytes = await startOf(file, where)
  const key = keyIn(bytes)
  try {
    if (key === undefined) {
      throw new UsageError(`${where}: ${file}: a key is 32 bytes, or 64 hex digits`)
    }
    // A file has one key, and no word of what it is called.
    return await work({ current: () => ({ id: newId, key }), get: () => key })
  } finally {
    bytes.fill(0)
    key?.fill(0)
  }
}

/** No more than tells whether it is a key: the file may be a device, or a pipe. */
async function startOf(file: string, where: Settings['keyFile']['where']): Promise<Buffer> {
  const parts: Buffer[] = []
  try {
    // As many bytes and one more: `end` counts.
    for await (const part of createReadStream(file, { end: fileBytesMax })) {
      parts.push(part as Buffer)
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw new CairnError('ERR_NOT_FOUND', 'there is no key file', { file, where }, error)
    }
    throw new UsageError(`${where}: ${file} cannot be read: ${message}`, { cause: error })
  }
  const bytes = Buffer.concat(parts)
  for (const part of parts) part.fill(0)
  return bytes
}

function keyIn(bytes: Buffer): Uint8Array | undefined {
  if (bytes.length === keyBytes) return Uint8Array.from(bytes)
  const text = bytes.toString('latin1')
  return /^[\da-f]{64}\r?\n?$/i.test(text) ? Buffer.from(text.slice(0, 64), 'hex') : undefined
}
