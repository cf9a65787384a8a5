// Speed at a fixed recall, out of a sweep of operating points.

/** The points that no other beats in both recall and speed, by rising recall. */
export function frontier(points) {
  const byRecall = points.toSorted((a, b) => b.recall - a.recall || b.qps - a.qps)
  const kept = []
  for (const point of byRecall) {
    if (kept.length === 0 || point.qps > kept.at(-1).qps) kept.push(point)
  }
  return kept.toReversed()
}

/**
 * Where `target` recall lies on the frontier.
 *
 * @returns `{ left, right, share, bound }`, two points and how far it is from one to the other; `left` is
 * null when `right` alone counts, and `bound` true when even that, the fastest, recalls more; null when no
 * point recalls as much.
 */
function place(points, target) {
  const line = frontier(points)
  const above = line.findIndex((point) => point.recall >= target)
  if (above === -1) return null
  const [left, right] = [line[above - 1], line[above]]
  const exact = right.recall === target
  if (exact || left === undefined) return { left: null, right, share: 1, bound: !exact }
  const share = (target - left.recall) / (right.recall - left.recall)
  return { left, right, share, bound: false }
}

/** Between two speeds, evenly in their logarithms. */
function between(left, right, share) {
  return Math.exp(Math.log(left) + share * (Math.log(right) - Math.log(left)))
}

/**
 * Queries per second at `target` recall: the logarithm of the speed is interpolated between the two
 * points of the frontier around it. The extremes are interpolated between the same two points.
 *
 * @param points - `{ recall, qps, min?, max? }`.
 * @returns `{ median, min, max, bound }`, with `bound` true when even the fastest point recalls more, so
 * that the true speed is at least this; null when no point reaches the target.
 */
export function speedAt(points, target) {
  const found = place(points, target)
  if (found === null) return null
  const { left, right, share, bound } = found
  const at = (read) => (left === null ? read(right) : between(read(left), read(right), share))
  return {
    median: at(({ qps }) => qps),
    min: at(({ qps, min = qps }) => min),
    max: at(({ qps, max = qps }) => max),
    bound,
  }
}

/** The columns of the record as points. */
export function pointsOf(rows) {
  return rows.map((row) => ({
    recall: Number(row.recall),
    qps: Number(row.qps_median),
    min: Number(row.qps_min),
    max: Number(row.qps_max),
  }))
}
