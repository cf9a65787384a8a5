// Numbers that follow from a seed alone (mulberry32), so that a failing test can be run again.

/** A generator of numbers in [0, 1). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** `rows` vectors of `dim` components in [-1, 1), end to end. */
export function randomMatrix(rows: number, dim: number, seed: number): Float32Array {
  const next = seeded(seed)
  return Float32Array.from({ length: rows * dim }, () => next() * 2 - 1)
}
