// Progress on standard error, with the seconds since the start; results go to standard output.

const started = performance.now()

/** One line of progress. */
export function log(text) {
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  console.error(`[${seconds.padStart(7)} s] ${text}`)
}
