// Where an export writes: a file that is there whole or not at all, or a stream.
import { once } from 'node:events'
import { open, rename, rm, type FileHandle } from 'node:fs/promises'
import process from 'node:process'
import { createGzip, type Gzip } from 'node:zlib'
import { aborted, listen } from '../signal.js'
import { ioError } from './faults.js'
import type { ByteTarget } from './types.js'

/** Takes bytes, and keeps whoever writes from running ahead. */
export interface Sink {
  /** Bytes that have gone out. */
  readonly bytes: number
  write(bytes: Uint8Array): Promise<void>
  /** Everything is written: what was made counts from here on. */
  end(): Promise<void>
  /** Nothing of it counts. */
  abort(): Promise<void>
}

/** Writes a file beside its name, which it gets at the end. */
export class FileSink implements Sink {
  readonly #path: string
  readonly #part: string
  readonly #file: FileHandle
  bytes = 0

  private constructor(path: string, part: string, file: FileHandle) {
    this.#path = path
    this.#part = part
    this.#file = file
  }

  static async create(path: string): Promise<FileSink> {
    const part = `${path}.${process.pid}.part`
    try {
      return new FileSink(path, part, await open(part, 'w'))
    } catch (error) {
      throw ioError(error, path)
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#put(bytes, this.bytes)
    this.bytes += bytes.length
  }

  /** Writes over what is there already. */
  async patch(bytes: Uint8Array, position: number): Promise<void> {
    await this.#put(bytes, position)
  }

  async end(): Promise<void> {
    try {
      await this.#file.sync()
      await this.#file.close()
      await rename(this.#part, this.#path)
    } catch (error) {
      throw ioError(error, this.#path)
    }
  }

  async abort(): Promise<void> {
    // What led here is the error to tell.
    await this.#file.close().catch(() => undefined)
    await rm(this.#part, { force: true }).catch(() => undefined)
  }

  async #put(bytes: Uint8Array, position: number): Promise<void> {
    try {
      for (let done = 0; done < bytes.length;) {
        const left = bytes.length - done
        done += (await this.#file.write(bytes, done, left, position + done)).bytesWritten
      }
    } catch (error) {
      throw ioError(error, this.#path)
    }
  }
}

/** Writes to a stream of the caller's, and ends it; standard output stays open. */
export class StreamSink implements Sink {
  readonly #stream: ByteTarget
  readonly #unlisten: (() => void) | undefined
  #failure: unknown
  #onFailure: ((error: unknown) => void) | undefined
  bytes = 0

  /** @param signal - Ends every wait, also for a stream that takes nothing. */
  constructor(stream: ByteTarget, signal: AbortSignal | undefined) {
    this.#stream = stream
    this.#unlisten =
      signal === undefined ? undefined : listen(signal, () => this.#fail(aborted(signal)))
    stream.on('error', this.#fail)
    stream.on('close', this.#closed)
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#wait((done) => {
      // Resolved when the stream has taken it: nothing piles up behind a slow reader.
      this.#stream.write(bytes, (error) => done(error ?? undefined))
    })
    this.bytes += bytes.length
  }

  async end(): Promise<void> {
    const isStandard = [process.stdout, process.stderr].includes(this.#stream as never)
    if (!isStandard) await this.#wait((done) => this.#stream.end(() => done()))
    this.#leave()
  }

  async abort(): Promise<void> {
    this.#leave()
    const { destroy } = this.#stream as { destroy?: () => void }
    destroy?.call(this.#stream)
    await Promise.resolve()
  }

  #wait(begin: (done: (error?: unknown) => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (error: unknown): void => reject(ioError(error))
      if (this.#failure !== undefined) return fail(this.#failure)
      this.#onFailure = fail
      begin((error) => {
        this.#onFailure = undefined
        if (error === undefined) resolve()
        else fail(error)
      })
    })
  }

  readonly #fail = (error: unknown): void => {
    this.#failure ??= error
    this.#onFailure?.(error)
  }

  readonly #closed = (): void => this.#fail(new Error('the stream was closed'))

  #leave(): void {
    this.#unlisten?.()
    this.#stream.off('close', this.#closed)
  }
}

/** Compresses on the way to another sink. */
export class GzipSink implements Sink {
  readonly #inner: Sink
  readonly #gzip: Gzip = createGzip()
  readonly #drained: Promise<void>
  #failure: unknown

  constructor(inner: Sink) {
    this.#inner = inner
    this.#drained = this.#drain().catch((error: unknown) => {
      this.#failure = error
      this.#gzip.destroy()
    })
  }

  get bytes(): number {
    return this.#inner.bytes
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#check()
    if (this.#gzip.write(bytes)) return
    await Promise.race([once(this.#gzip, 'drain'), this.#drained])
    this.#check()
  }

  async end(): Promise<void> {
    this.#check()
    this.#gzip.end()
    await this.#drained
    this.#check()
    await this.#inner.end()
  }

  async abort(): Promise<void> {
    this.#gzip.destroy()
    await this.#drained
    await this.#inner.abort()
  }

  async #drain(): Promise<void> {
    for await (const bytes of this.#gzip) await this.#inner.write(bytes as Uint8Array)
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure
  }
}
