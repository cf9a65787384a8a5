// What every embedder is, and what a function must give to become one.
import type { Vector } from '../infer.js'

/** Options of one call. */
export interface EmbedOptions {
  /** Ends the call with `ERR_ABORTED`, at once. */
  readonly signal?: AbortSignal | undefined
}

/** Turns texts into vectors. */
export interface Embedder {
  /** Which vectors may be compared: those of embedders with the same name. Worth storing beside them. */
  readonly name: string
  /** Components of a vector. */
  readonly dim: number
  /**
   * The vectors of texts, row-major, `n * dim`, in the order of the texts; every row has the length 1 (within 1e-6).
   *
   * One text gives one vector, for `search({ vector })`; the matrix of many is the `vectors` of a batch of columns.
   *
   * @param texts - One text, or an array of them; copied before anything else happens. None gives an empty matrix.
   * @throws {CairnError} `ERR_INVALID_ARGUMENT`, `ERR_LIMIT_EXCEEDED` (an answer of more than 1 GiB); with
   * `details.index`, which is the place of the text, `ERR_DIM_MISMATCH`, `ERR_NOT_FINITE`, `ERR_ZERO_VECTOR`;
   * `ERR_ABORTED`. What the function behind it throws comes through as it is.
   */
  embed(texts: string | readonly string[], options?: EmbedOptions): Promise<Float32Array>
}

/** Vectors as models give them: a row a text, or all of them end to end. */
export type Embeddings = Float32Array | Float64Array | readonly (Vector | Float64Array)[]

/**
 * Gives the vectors of some texts, in their order, of any length but zero.
 *
 * The signal fires when nobody waits for the answer any more.
 */
export type EmbedFunction = (
  texts: readonly string[],
  options: { readonly signal: AbortSignal },
) => Embeddings | PromiseLike<Embeddings>

/** A function, and what must be known of it. */
export interface EmbedderOptions {
  /** Components of a vector. Integer 1-65,536. */
  readonly dim: number
  /** Of the model and all that changes its vectors. */
  readonly name: string
  /** Asked with one to `batch` texts. */
  readonly embed: EmbedFunction
  /** Texts of one call of `embed`, at most. Integer 1-100,000, default 64. */
  readonly batch?: number | undefined
  /** Calls of `embed` under way at a time, over all calls of this embedder. Integer 1-1,000, default 1. */
  readonly concurrency?: number | undefined
}
