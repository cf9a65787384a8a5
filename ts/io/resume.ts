// How far an import has come, so that another one can go on there.
import { createHash } from 'node:crypto'
import { open, readFile, rename, rm } from 'node:fs/promises'
import process from 'node:process'
import { wrong } from '../check.js'
import { damaged, ioError } from './faults.js'
import { readAt } from './source.js'

/** Bytes at the beginning of a file that tell it from others. Few, so that a wrong row can be mended in between. */
const headBytes = 4 * 1024

/** Bytes of a token; a state file with more is none of ours. */
const tokenBytesMax = 4096

/** Where an import stands. */
export interface Progress {
  /** Rows of the source that are done with. */
  readonly rows: number
  /** Collection that they went to. */
  readonly collection: string
  /** What the source began with; nothing for a stream. */
  readonly head: SourceHead | null
}

/** What tells a file from others, also after more was appended to it. */
export interface SourceHead {
  readonly bytes: number
  readonly sha256: string
}

/** The opaque text of a state; it carries a checksum. */
export function tokenOf({ rows, collection, head }: Progress): string {
  const body = JSON.stringify({ v: 1, rows, collection, head })
  return Buffer.from(`${checksum(body)}${body}`).toString('base64url')
}

/** The state of a token. */
export function progressOf(token: unknown): Progress {
  const text = typeof token === 'string' ? Buffer.from(token, 'base64url').toString() : ''
  const body = text.slice(16)
  if (body === '' || text.length > tokenBytesMax || checksum(body) !== text.slice(0, 16)) {
    throw wrong('resume takes true, or the token of an earlier import', 'token', token, 'resume')
  }
  return JSON.parse(body) as Progress
}

function checksum(body: string): string {
  return createHash('sha256').update(body).digest('hex').slice(0, 16)
}

/** What a file begins with. */
export async function headOf(path: string, bytes: number = headBytes): Promise<SourceHead> {
  const head = await readAt(path, 0, bytes)
  return { bytes: head.length, sha256: createHash('sha256').update(head).digest('hex') }
}

/** Refuses to go on in another source, or into another collection. */
export async function checkProgress(
  progress: Progress,
  collection: string,
  path: string | undefined,
): Promise<void> {
  if (progress.collection !== collection) {
    throw wrong('the import was into another collection', progress.collection, collection, 'resume')
  }
  const { head } = progress
  if (head === null || path === undefined) return
  const now = await headOf(path, Math.min(head.bytes, headBytes))
  if (now.bytes !== head.bytes || now.sha256 !== head.sha256) {
    throw wrong('the import was from another source', 'the same file', path, 'resume')
  }
}

/** The state of an import, kept beside its source. */
export class StateFile {
  readonly #path: string

  constructor(source: string) {
    this.#path = `${source}.cairn-resume`
  }

  /** What is there; nothing when no import was interrupted. */
  async load(): Promise<Progress | undefined> {
    let text: string
    try {
      text = await readFile(this.#path, 'utf8')
    } catch (error) {
      if ((error as { code?: unknown }).code === 'ENOENT') return undefined
      throw ioError(error, this.#path)
    }
    try {
      return progressOf(text.trim())
    } catch (error) {
      throw damaged('the state of an earlier import is damaged', { file: this.#path }, error)
    }
  }

  /** Old or new, never neither: it is written beside itself, synced, and renamed. */
  async save(progress: Progress): Promise<void> {
    const part = `${this.#path}.${process.pid}.part`
    try {
      const file = await open(part, 'w')
      try {
        await file.writeFile(`${tokenOf(progress)}\n`)
        await file.sync()
      } finally {
        await file.close()
      }
      await rename(part, this.#path)
    } catch (error) {
      throw ioError(error, this.#path)
    }
  }

  async remove(): Promise<void> {
    await rm(this.#path, { force: true })
  }
}
