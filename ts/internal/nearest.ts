// The word a typing error was probably meant to be.

/** The word of `words` nearest to `text`, when it is near enough to be meant. */
export function nearest(text: string, words: Iterable<string>): string | undefined {
  if (text.length > 64) return undefined
  let best: string | undefined
  let bestSteps = Math.max(1, Math.floor(text.length / 3)) + 1
  for (const word of words) {
    const steps = editSteps(text.toLowerCase(), word.toLowerCase())
    if (steps < bestSteps) {
      best = word
      bestSteps = steps
    }
  }
  return best
}

// Levenshtein 1966, one row at a time, and neighbours that changed places as one step (Damerau 1964).
function editSteps(a: string, b: string): number {
  let before: readonly number[] = []
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const change = at(row, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1)
      const isSwapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      const swap = isSwapped ? at(before, j - 2) + 1 : Number.POSITIVE_INFINITY
      next.push(Math.min(change, swap, at(row, j) + 1, at(next, j - 1) + 1))
    }
    before = row
    row = next
  }
  return at(row, b.length)
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY
}
