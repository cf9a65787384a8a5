// Whether a figure that is looked at again and again stays where it is.

/** The middle of some numbers. */
function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/**
 * Change a second, as most pairs of samples have it (Theil and Sen): one that is off moves it little, however far.
 *
 * @param samples - `{ at, value }`, `at` in seconds.
 */
export function slope(samples) {
  // Some 200 samples tell as much as thousands, whose pairs are millions.
  const step = Math.max(1, Math.floor(samples.length / 200))
  const some = samples.filter((_, index) => index % step === 0)
  const slopes = []
  for (const [index, first] of some.entries()) {
    for (const second of some.slice(index + 1)) {
      if (second.at > first.at) slopes.push((second.value - first.value) / (second.at - first.at))
    }
  }
  return slopes.length === 0 ? 0 : median(slopes)
}

/**
 * What a figure gained between its first and its last sample, by its slope.
 *
 * @param warmUp - Seconds at the beginning that do not count, but at most a third of all.
 */
export function drift(samples, warmUp) {
  if (samples.length < 2) return { gained: 0, from: samples[0]?.value ?? 0 }
  const [begin, end] = [samples[0].at, samples.at(-1).at]
  const from = begin + Math.min(warmUp, (end - begin) / 3)
  const counted = samples.filter(({ at }) => at >= from)
  const span = counted.at(-1).at - counted[0].at
  return { gained: slope(counted) * span, from: median(counted.map(({ value }) => value)) }
}
