// Keys of the rows of a matrix, which has no place for them: a line of JSON a key in `<path>.keys.jsonl`.
import { existsSync } from 'node:fs'
import type { CairnError } from '../errors.js'
import { damaged } from './faults.js'
import { linesOf, parseLine } from './jsonl.js'
import { FileSink } from './sink.js'
import { openSource } from './source.js'

const blockChars = 64 * 1024

function nameOf(path: string): string {
  return `${path}.keys.jsonl`
}

/** Writes the keys of a matrix; those of a stream have nowhere to go. */
export class KeysWriter {
  readonly #sink: FileSink | undefined
  #text = ''

  private constructor(sink: FileSink | undefined) {
    this.#sink = sink
  }

  static async create(path: string | undefined): Promise<KeysWriter> {
    return new KeysWriter(path === undefined ? undefined : await FileSink.create(nameOf(path)))
  }

  async write(key: string | bigint): Promise<void> {
    if (this.#sink === undefined) return
    // Unlike in a row, a number has a line of its own, which readers of whole integers read exactly.
    this.#text += typeof key === 'string' ? `${JSON.stringify(key)}\n` : `${key}\n`
    if (this.#text.length >= blockChars) await this.#flush()
  }

  async end(): Promise<void> {
    await this.#flush()
    await this.#sink?.end()
  }

  async abort(): Promise<void> {
    await this.#sink?.abort()
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.from(this.#text)
    this.#text = ''
    await this.#sink?.write(bytes)
  }
}

/** Reads the keys of a matrix; the number of its row where there are none. */
export class KeysReader {
  readonly #path: string | undefined
  readonly #keys: AsyncIterator<unknown[]> | undefined
  #ready: unknown[] = []
  #taken = 0

  private constructor(path: string | undefined, keys: AsyncIterator<unknown[]> | undefined) {
    this.#path = path
    this.#keys = keys
  }

  static async open(matrix: string | undefined): Promise<KeysReader> {
    const path = matrix === undefined ? undefined : nameOf(matrix)
    if (path === undefined || !existsSync(path)) return new KeysReader(undefined, undefined)
    const { bytes } = await openSource(path)
    return new KeysReader(path, keysOf(bytes, path))
  }

  /** Keys of the next rows. */
  async take(rows: number): Promise<readonly unknown[]> {
    const first = this.#taken
    this.#taken += rows
    if (this.#keys === undefined) return Array.from({ length: rows }, (_, at) => first + at)
    while (this.#ready.length < rows) {
      const { done, value } = await this.#keys.next()
      if (done === true) throw this.#uneven(first + this.#ready.length)
      this.#ready = [...this.#ready, ...value]
    }
    const taken = this.#ready.slice(0, rows)
    this.#ready = this.#ready.slice(rows)
    return taken
  }

  /** The matrix has ended: so have its keys. */
  async end(): Promise<void> {
    const isEnd = this.#keys === undefined || (await this.#keys.next()).done === true
    if (this.#ready.length > 0 || !isEnd) throw this.#uneven(this.#taken)
  }

  #uneven(row: number): CairnError {
    return damaged('there is not one key for each row', { file: this.#path, row })
  }
}

async function* keysOf(bytes: AsyncIterable<Buffer>, file: string): AsyncGenerator<unknown[]> {
  for await (const lines of linesOf(bytes)) {
    yield lines.map(({ bytes: text, line }) => {
      try {
        return parseLine(text)
      } catch (error) {
        throw damaged('a key cannot be read', { file, line }, error)
      }
    })
  }
}
