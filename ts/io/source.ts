// Where an import reads: bytes in order, decompressed, each with its offset.
import { createReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { pipeline, Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { wrong } from '../check.js'
import { CairnError } from '../errors.js'
import { damaged, ioError, openError } from './faults.js'
import type { ByteSource } from './types.js'

/** Bytes read at a time. */
const blockBytes = 256 * 1024

/** A source that is open. */
export interface OpenSource {
  readonly path: string | undefined
  /** Bytes of the file where that is known, as they are on the disk. */
  readonly size: number | undefined
  /** Bytes read so far, as they are on the disk. */
  readonly read: () => number
  readonly bytes: AsyncIterable<Buffer>
  /** Whether gzip was found; known after the first block. */
  readonly isGzip: () => boolean
  close(): void
}

/** Opens a path, or takes a stream. */
export async function openSource(source: string | ByteSource): Promise<OpenSource> {
  if (typeof source === 'string') {
    const { size } = await statOf(source)
    const file = createReadStream(source, { highWaterMark: blockBytes })
    return opened(file, source, size)
  }
  const { [Symbol.asyncIterator]: ofAsync, [Symbol.iterator]: ofSync } = Object(source) as Partial<
    AsyncIterable<unknown> & Iterable<unknown>
  >
  if (
    ArrayBuffer.isView(source) ||
    (typeof ofAsync !== 'function' && typeof ofSync !== 'function')
  ) {
    throw wrong('not a path or a stream', 'path | Readable | AsyncIterable', source, 'source')
  }
  return opened(source, undefined, undefined)
}

/** Bytes of a file from a place on; fewer at its end. */
export async function readAt(path: string, start: number, bytes: number): Promise<Buffer> {
  try {
    const file = await open(path, 'r')
    try {
      const into = Buffer.alloc(bytes)
      let done = 0
      while (done < bytes) {
        const { bytesRead } = await file.read(into, done, bytes - done, Math.max(0, start) + done)
        if (bytesRead === 0) break
        done += bytesRead
      }
      return into.subarray(0, done)
    } finally {
      await file.close()
    }
  } catch (error) {
    throw ioError(error, path)
  }
}

async function statOf(path: string): Promise<{ size: number }> {
  try {
    return await stat(path)
  } catch (error) {
    throw openError(error, path)
  }
}

function opened(given: ByteSource, path: string | undefined, size: number | undefined): OpenSource {
  let read = 0
  let gzip = false
  const destroy = (): void => {
    if (given instanceof Readable) given.destroy()
  }

  async function* raw(): AsyncGenerator<Buffer> {
    try {
      for await (const block of given as AsyncIterable<unknown>) {
        const bytes = bufferOf(block)
        read += bytes.length
        yield bytes
      }
    } catch (error) {
      throw ioError(error, path)
    }
  }

  async function* plain(): AsyncGenerator<Buffer> {
    const blocks = raw()
    let head: Buffer = Buffer.alloc(0)
    while (head.length < 2) {
      const { done, value } = await blocks.next()
      if (done === true) break
      head = Buffer.concat([head, value])
    }
    gzip = head[0] === 0x1f && head[1] === 0x8b
    const all = withHead(head, blocks)
    yield* gzip ? inflated(all, path, () => read) : all
  }

  return { path, size, read: () => read, bytes: plain(), isGzip: () => gzip, close: destroy }
}

async function* withHead(head: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  if (head.length > 0) yield head
  yield* rest
}

async function* inflated(
  blocks: AsyncIterable<Buffer>,
  path: string | undefined,
  read: () => number,
): AsyncGenerator<Buffer> {
  const gunzip = createGunzip({ chunkSize: blockBytes })
  // Its end and its errors come out of the iteration.
  pipeline(Readable.from(blocks), gunzip, () => undefined)
  try {
    for await (const block of gunzip) yield block as Buffer
  } catch (error) {
    if (error instanceof CairnError) throw error
    const file = path === undefined ? {} : { file: path }
    throw damaged('the gzip stream is damaged or cut short', { ...file, offset: read() }, error)
  }
}

function bufferOf(block: unknown): Buffer {
  if (typeof block === 'string') return Buffer.from(block)
  if (block instanceof Uint8Array) return Buffer.from(block.buffer, block.byteOffset, block.length)
  throw wrong('a stream gives blocks of bytes', 'Uint8Array', block, 'source')
}

/** Reads exact numbers of bytes from a source. Memory is taken as they come, never because a length says so. */
export class ByteReader {
  readonly #blocks: AsyncIterator<Buffer>
  #parts: Buffer[] = []
  #ready = 0
  /** Bytes taken. */
  offset = 0

  constructor(blocks: AsyncIterable<Buffer>) {
    this.#blocks = blocks[Symbol.asyncIterator]()
  }

  /** Exactly `bytes`; nothing when the source has ended here; `ERR_CORRUPT` when it ends in the middle. */
  async take(bytes: number, what: string): Promise<Buffer | undefined> {
    while (this.#ready < bytes) {
      const { done, value } = await this.#blocks.next()
      if (done === true) break
      this.#parts.push(value)
      this.#ready += value.length
    }
    if (this.#ready < bytes) {
      if (this.#ready === 0) return undefined
      throw damaged(`the source ends in the middle of ${what}`, {
        offset: this.offset,
        expected: bytes,
        got: this.#ready,
      })
    }
    const all = this.#parts.length === 1 ? this.#parts[0] : Buffer.concat(this.#parts)
    const joined = all ?? Buffer.alloc(0)
    this.#parts = joined.length === bytes ? [] : [joined.subarray(bytes)]
    this.#ready = joined.length - bytes
    this.offset += bytes
    return joined.subarray(0, bytes)
  }

  /** Whatever comes next; nothing at the end. */
  async some(): Promise<Buffer | undefined> {
    if (this.#ready === 0) {
      const { done, value } = await this.#blocks.next()
      if (done === true) return undefined
      this.#parts.push(value)
      this.#ready += value.length
    }
    return this.take(this.#ready, 'a block')
  }

  /** As {@link take}, but the end of the source is damage, too. */
  async must(bytes: number, what: string): Promise<Buffer> {
    if (bytes === 0) return Buffer.alloc(0)
    const taken = await this.take(bytes, what)
    if (taken !== undefined) return taken
    throw damaged(`the source ends before ${what}`, {
      offset: this.offset,
      expected: bytes,
      got: 0,
    })
  }
}
