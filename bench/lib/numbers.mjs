// Order statistics and how numbers are printed.

/** The middle value; the mean of the two in the middle when there are two. */
export function median(values) {
  if (values.length === 0) return Number.NaN
  const sorted = Float64Array.from(values).sort()
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** The smallest value that a share of all values does not exceed (nearest rank). */
export function quantile(values, share) {
  if (values.length === 0) return Number.NaN
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.min(sorted.length, Math.max(1, Math.ceil(share * sorted.length))) - 1]
}

/** Median and extremes. */
export function summary(values) {
  return { median: median(values), min: quantile(values, 0), max: quantile(values, 1) }
}

/** The quantiles of latencies that people ask for, by name. */
export const quantiles = { p50: 0.5, p95: 0.95, p99: 0.99, p999: 0.999 }

/** Those quantiles of some latencies. */
export function latencyOf(values) {
  return Object.fromEntries(
    Object.entries(quantiles).map(([name, share]) => [name, quantile(values, share)]),
  )
}

/** A count or rate with thousands separated; three digits below a thousand. */
export function grouped(value) {
  if (!Number.isFinite(value)) return '-'
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2
  return value.toLocaleString('en-US', { maximumFractionDigits: digits })
}

/** Bytes as MB, the unit of package sizes. */
export function megabytes(bytes) {
  return Number.isFinite(bytes) ? `${grouped(bytes / 1e6)} MB` : '-'
}
