// The third step: how good the answers are, and how fast they come.
import { dim, rows } from './images.mjs'

/** Neighbours asked for. */
export const k = 10

/** Times that every question is asked, after once to warm up. */
const rounds = 4

/**
 * Searches for images that are not stored, given by their numbers.
 *
 * @returns Recall against the exact answer, microseconds of each search, and the share of images whose
 * label is the one most of their neighbours have.
 */
export async function measure(collection, images, questions) {
  const queries = questions.map((image) => rows(images.matrix, image, image + 1))
  const micros = []
  let answers = []
  for (let round = 0; round <= rounds; round += 1) {
    answers = queries.map((vector) => {
      const start = performance.now()
      const hits = collection.searchSync({ vector, k, select: false })
      if (round > 0) micros.push((performance.now() - start) * 1000)
      return hits.map(({ key }) => key)
    })
  }
  const truth = await exactAnswers(collection, queries)
  const labels = await labelsOf(collection, answers.flat())
  let found = 0
  let right = 0
  for (const [at, keys] of answers.entries()) {
    found += keys.filter((key) => truth[at].has(key)).length
    const winner = mostFrequent(keys.map((key) => labels.get(key)))
    if (winner === images.labels[questions[at]]) right += 1
  }
  return {
    recall: found / (queries.length * k),
    accuracy: right / queries.length,
    micros: micros.sort((a, b) => a - b),
  }
}

/** The value below which that share of a sorted list lies. */
export function percentile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
}

/** A stored image's nearest neighbours with their labels, nearest first. */
export function neighbours(collection, images, image, wanted) {
  const vector = rows(images.matrix, image, image + 1)
  return collection.searchSync({ vector, k: wanted, select: ['label'], vectors: true })
}

/** The keys that comparing with every record finds, for each query. */
async function exactAnswers(collection, queries) {
  const matrix = new Float32Array(queries.length * dim)
  for (const [at, query] of queries.entries()) matrix.set(query, at * dim)
  const { keys, offsets } = await collection.searchBatch({ vectors: matrix, k, exact: true })
  return queries.map((_, at) => new Set(keys.slice(offsets[at], offsets[at + 1])))
}

/** The stored label of each key. */
async function labelsOf(collection, keys) {
  const unique = [...new Set(keys)]
  const records = await collection.get(unique, { select: ['label'] })
  return new Map(records.map(({ key, fields }) => [key, fields.label]))
}

/** The value that comes most often; of several, the one that comes first. */
function mostFrequent(values) {
  const times = new Map()
  for (const value of values) times.set(value, (times.get(value) ?? 0) + 1)
  return [...times].reduce((best, next) => (next[1] > best[1] ? next : best))[0]
}
