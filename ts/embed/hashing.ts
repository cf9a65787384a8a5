// Signed feature hashing: Weinberger et al. 2009, "Feature Hashing for Large Scale Multitask Learning".
import { performance } from 'node:perf_hooks'
import { setImmediate as yieldToLoop } from 'node:timers/promises'
import { flag, optionsOf, wholeNumber, wrong } from '../check.js'
import { CairnError, checked } from '../errors.js'
import { limits } from '../limits.js'
import { embedder } from './embedder.js'
import { countNgrams, countWords, wordsOf, type Counts } from './features.js'
import type { Embedder } from './types.js'

/** What `hashing` looks at. */
export interface HashingOptions {
  /** Components of a vector. Integer 1-65,536, default 1,024. More: fewer features that share a component. */
  readonly dim?: number | undefined
  /**
   * Lengths of the runs of characters that count, within words. Integers 1-16, eight at most, default `[3, 4]`;
   * `[]`: none. They find words that are inflected, compounded or misspelt.
   */
  readonly ngrams?: readonly number[] | undefined
  /** Whether words count. Default true. */
  readonly words?: boolean | undefined
}

const names = new Set(['dim', 'ngrams', 'words'])
const ngramMax = 16
const lengthsMax = 8

/** How long texts are looked at before others get a turn, in milliseconds. */
const turnMs = 8

/**
 * An embedder without a model: texts are near when they share words and runs of characters. It knows spelling and
 * no meaning: "car" and "automobile" are strangers. Good for tests, for a start without a network, and for finding
 * texts that are nearly the same.
 *
 * The same text has the same vector, bit for bit, on every machine and Node, as long as its characters are in
 * Unicode 15, which the oldest Node 20 has. Each feature (a word, or a run of characters; NFKC, lower case) adds
 * `1 + ln(times)` with the sign and to the component that its hash (MurmurHash3) says; words and runs have the
 * same say together. How rare a word is elsewhere does not count, and neither does the order of words.
 *
 * A text without a letter, a digit or a symbol is refused: `ERR_ZERO_VECTOR` with `details.index`. Work is done on
 * the thread of the caller, with turns for others between texts.
 *
 * @throws {CairnError} `ERR_INVALID_ARGUMENT`, `ERR_LIMIT_EXCEEDED`.
 */
export function hashing(options?: HashingOptions): Embedder {
  const { dim, ngrams, words } = checked(() => readOptions(options))
  const parts = [...(words ? ['words'] : []), ...ngrams]
  // Over batches and calls: many short ones are as long as one.
  let turn = performance.now()
  return embedder({
    dim,
    // The number is that of the way vectors are made: a change of it changes them all.
    name: `hashing-1-${dim}-${parts.join('-')}`,
    embed: async (texts, { signal }) => {
      const matrix = new Float64Array(texts.length * dim)
      for (const [at, text] of texts.entries()) {
        const found = wordsOf(text)
        const groups = [
          ...(words ? [countWords(found)] : []),
          ...(ngrams.length > 0 ? [countNgrams(found, ngrams)] : []),
        ]
        putHashed(groups, matrix.subarray(at * dim, (at + 1) * dim))
        if (performance.now() - turn < turnMs) continue
        await yieldToLoop()
        signal.throwIfAborted()
        turn = performance.now()
      }
      return matrix
    },
  })
}

type Checked = { readonly [N in keyof HashingOptions]-?: NonNullable<HashingOptions[N]> }

function readOptions(options: HashingOptions | undefined): Checked {
  const { dim, ngrams, words } = optionsOf(options, names, 'hashing options')
  const read = {
    dim: wholeNumber(dim ?? 1024, 'dim', 1, limits.dimMax),
    ngrams: lengthsOf(ngrams ?? [3, 4]),
    words: flag(words ?? true, 'words'),
  }
  if (!read.words && read.ngrams.length === 0) {
    throw wrong('words or ngrams must count', 'lengths of runs', ngrams, 'ngrams')
  }
  return read
}

/** In their order, each once: how they were written changes no vector and no name. */
function lengthsOf(given: unknown): readonly number[] {
  if (!Array.isArray(given)) throw wrong('ngrams are lengths', 'array of integers', given, 'ngrams')
  const lengths = Array.from(given, (length) => wholeNumber(length, 'ngrams', 1, ngramMax))
  const each = [...new Set(lengths)].sort((a, b) => a - b)
  if (each.length <= lengthsMax) return each
  const details = { path: 'ngrams', limit: lengthsMax, got: each.length }
  throw new CairnError('ERR_LIMIT_EXCEEDED', 'too many lengths', details)
}

function putHashed(groups: readonly Counts[], row: Float64Array): void {
  for (const counts of groups) addHashed(counts, row, true)
  let squares = 0
  for (const value of row) squares += value * value
  // Features that share a component may take each other away to the last one: without signs they cannot.
  if (squares > 1e-12) return
  row.fill(0)
  for (const counts of groups) addHashed(counts, row, false)
}

// As a vector of length 1 of its own, but for what falls together.
function addHashed(counts: Counts, row: Float64Array, signed: boolean): void {
  let squares = 0
  for (const times of counts.values()) {
    const weight = weightOf(times)
    squares += weight * weight
  }
  const length = Math.sqrt(squares)
  for (const [feature, times] of counts) {
    // The lowest bit is the sign and the others are the place.
    const at = (feature >>> 1) % row.length
    const sign = signed && (feature & 1) === 1 ? -1 : 1
    row[at] = (row[at] ?? 0) + (sign * weightOf(times)) / length
  }
}

/**
 * `1 + ln(times)`, from sums, products and quotients alone, which all machines round alike: the last bit of
 * `Math.log` is that of a library.
 */
function weightOf(times: number): number {
  let halvings = 0
  let rest = times
  while (rest > 1.5) {
    rest /= 2
    halvings += 1
  }
  // ln(x) = 2 artanh((x - 1) / (x + 1)), here of at most 0.2: the terms left out are below 1e-18.
  const y = (rest - 1) / (rest + 1)
  let sum = 0
  let power = y
  for (let odd = 1; odd < 25; odd += 2) {
    sum += power / odd
    power *= y * y
  }
  return 1 + halvings * Math.LN2 + 2 * sum
}
