// When to ask again.

/** The first pause, in milliseconds; each later one may be twice as long, up to `pauseMsMax`. */
const pauseMsFirst = 250
const pauseMsMax = 8000

/**
 * How long to wait before asking again, in milliseconds: half by rule and half by chance, so that many who were sent
 * away together do not come back together; never less than the server asked for.
 *
 * @param attempt - Times it was asked before, less one.
 * @param afterMs - What the server asked for.
 * @param chance - 0 to 1.
 */
export function pauseMs(attempt: number, afterMs: number | undefined, chance: number): number {
  const most = Math.min(pauseMsMax, pauseMsFirst * 2 ** attempt)
  return Math.max(most * (0.5 + chance / 2), afterMs ?? 0)
}

/**
 * The milliseconds that a `Retry-After` asks for: RFC 9110, section 10.2.3, seconds or a date.
 *
 * @param now - Of the clock, in milliseconds.
 */
export function retryAfterMs(value: string | null, now: number): number | undefined {
  if (value === null) return undefined
  const text = value.trim()
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000
  // `Date.parse` takes much for a date that is none; one of HTTP begins with the day.
  const date = /^[A-Z][a-z]/.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}

/** Whether a server that answers so may answer otherwise a little later. */
export function isPassing(status: number): boolean {
  return status === 408 || status === 429 || status >= 500
}
