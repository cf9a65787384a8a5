// A function that gives vectors becomes an embedder: batches, checks, unit rows.
import { callback, optionsOf, wholeNumber, wrong } from '../check.js'
import { CairnError, checked } from '../errors.js'
import { describe } from '../internal/describe.js'
import { limits } from '../limits.js'
import { aborted, callSignal, listen, throwIfAborted } from '../signal.js'
import { Slots } from './slots.js'
import type { Embedder, EmbedderOptions, EmbedFunction, EmbedOptions } from './types.js'
import { putUnitRows } from './unit-rows.js'

/** Texts of one call of a function. */
export const batchMax: number = limits.batchRowsMax
/** Calls of a function at a time. */
export const concurrencyMax = 1000

const names = new Set(['dim', 'name', 'embed', 'batch', 'concurrency'])

/**
 * Makes an embedder of a function: of a model in this process, of a client of a service, of anything.
 *
 * Texts are given to it in batches; its rows are checked and made unit vectors, with sums in 64 bits. After an
 * error no further batch begins, and the signal of those under way fires.
 *
 * @throws {CairnError} `ERR_INVALID_ARGUMENT`, `ERR_LIMIT_EXCEEDED`.
 */
export function embedder(options: EmbedderOptions): Embedder {
  return checked(() => new FunctionEmbedder(options))
}

class FunctionEmbedder implements Embedder {
  readonly name: string
  readonly dim: number
  readonly #embed: EmbedFunction
  readonly #batch: number
  readonly #concurrency: number
  readonly #slots: Slots

  constructor(options: EmbedderOptions) {
    const { dim, name, embed, batch, concurrency } = optionsOf(options, names, 'embedder options')
    this.dim = wholeNumber(dim, 'dim', 1, limits.dimMax)
    this.name = nonEmpty(name, 'name')
    const given = callback(embed, 'embed')
    if (given === undefined) throw wrong('embed must be a function', 'function', embed, 'embed')
    this.#embed = given
    this.#batch = wholeNumber(batch ?? 64, 'batch', 1, batchMax)
    this.#concurrency = wholeNumber(concurrency ?? 1, 'concurrency', 1, concurrencyMax)
    this.#slots = new Slots(this.#concurrency)
  }

  async embed(texts: string | readonly string[], options?: EmbedOptions): Promise<Float32Array> {
    const { all, signal } = checked(() => ({
      all: textsOf(texts),
      signal: callSignal(options, 'embed options'),
    }))
    throwIfAborted(signal)
    const bytes = all.length * this.dim * Float32Array.BYTES_PER_ELEMENT
    if (bytes > limits.answerBytesMax) {
      throw new CairnError('ERR_LIMIT_EXCEEDED', 'the answer would be too large', {
        path: 'texts',
        limit: limits.answerBytesMax,
        got: bytes,
      })
    }
    return this.#all(all, signal)
  }

  // Settles at once when the signal fires, also under a function that does not listen.
  async #all(texts: readonly string[], signal: AbortSignal | undefined): Promise<Float32Array> {
    const matrix = new Float32Array(texts.length * this.dim)
    const starts = everyNth(texts.length, this.#batch)
    const ending = new AbortController()
    const lane = async (): Promise<void> => {
      for (const first of starts) await this.#batchAt(first, texts, matrix, ending)
    }
    const lanes = Math.min(this.#concurrency, Math.ceil(texts.length / this.#batch))
    const work = [Promise.all(Array.from({ length: lanes }, lane))]
    let unlisten = (): void => {}
    if (signal !== undefined) {
      const fired = new Promise<never>((_, reject) => {
        unlisten = listen(signal, () => {
          reject(aborted(signal))
          ending.abort(signal.reason)
        })
      })
      work.push(fired)
    }
    try {
      await Promise.race(work)
      return matrix
    } finally {
      unlisten()
    }
  }

  async #batchAt(
    first: number,
    texts: readonly string[],
    matrix: Float32Array,
    ending: AbortController,
  ): Promise<void> {
    const { signal } = ending
    await this.#slots.take(signal)
    try {
      signal.throwIfAborted()
      const some = texts.slice(first, first + this.#batch)
      const answer = await this.#ask(some, signal)
      signal.throwIfAborted()
      putUnitRows(answer, { matrix, dim: this.dim, first, rows: some.length })
    } catch (error) {
      // Before the slot goes on: to another batch of this call, it would begin.
      ending.abort(error)
      throw error
    } finally {
      this.#slots.give()
    }
  }

  // A signal of its own for each call: functions that never take their listeners back heap up none.
  async #ask(texts: readonly string[], ending: AbortSignal): Promise<unknown> {
    const own = new AbortController()
    const unlisten = listen(ending, () => own.abort(ending.reason))
    try {
      return await this.#embed(texts, { signal: own.signal })
    } finally {
      unlisten()
    }
  }
}

/** A string with something in it. */
export function nonEmpty(value: unknown, path: string): string {
  if (typeof value !== 'string' || value === '') {
    throw wrong(`${path} must be a string`, 'string with something in it', value, path)
  }
  return value
}

function textsOf(texts: unknown): readonly string[] {
  if (typeof texts === 'string') return [texts]
  if (!Array.isArray(texts)) throw wrong('texts are strings', 'string | string[]', texts, 'texts')
  return Array.from(texts, (text: unknown, index) => {
    if (typeof text === 'string') return text
    const details = { index, path: 'texts', expected: 'string', got: describe(text) }
    throw new CairnError('ERR_INVALID_ARGUMENT', 'a text must be a string', details)
  })
}

// One iterator that all lanes take from.
function* everyNth(end: number, step: number): Generator<number, void> {
  for (let at = 0; at < end; at += step) yield at
}
