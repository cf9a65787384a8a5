// What a text consists of, as far as `hashing` looks: words and runs of characters, by their hashes.
import { murmur3 } from './murmur.js'

/** How often each feature stands in a text, by its hash. */
export type Counts = ReadonlyMap<number, number>

// Properties of Unicode and no `Intl.Segmenter`: where that one breaks changes with its dictionaries.
const word = /[\p{L}\p{N}][\p{L}\p{M}\p{N}]*|\p{S}/gu

/** Runs of letters and digits with their marks, and each symbol, in lower case, in the form NFKC. */
export function wordsOf(text: string): readonly string[] {
  // Lower case may take a character out of its normal form.
  const even = text.normalize('NFKC').toLowerCase().normalize('NFKC')
  return even.match(word) ?? []
}

/** Each word. */
export function countWords(words: readonly string[]): Counts {
  const counts = new Map<number, number>()
  for (const each of words) count(counts, murmur3(pointsOf(each), 0))
  return counts
}

/**
 * Runs of so many characters within a word that has a blank on both sides; a word with fewer is one as a whole.
 *
 * A run's length is the seed of its hash, so that it is not the word of the same letters.
 */
export function countNgrams(words: readonly string[], lengths: readonly number[]): Counts {
  const counts = new Map<number, number>()
  for (const each of words) {
    const points = pointsOf(` ${each} `)
    for (const length of lengths) {
      const last = Math.max(0, points.length - length)
      for (let at = 0; at <= last; at += 1) {
        const end = Math.min(at + length, points.length)
        count(counts, murmur3(points, length, at, end))
      }
    }
  }
  return counts
}

function pointsOf(text: string): readonly number[] {
  return Array.from(text, (character) => character.codePointAt(0) ?? 0)
}

function count(counts: Map<number, number>, feature: number): void {
  counts.set(feature, (counts.get(feature) ?? 0) + 1)
}
