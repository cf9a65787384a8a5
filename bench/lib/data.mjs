// The data sets: gzip over little-endian u32 rows, u32 dim, and rows of bytes or of i32 row numbers.
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'

/** Something the person at the keyboard can put right. */
export class Missing extends Error {}

/** The folder that `CAIRN_BENCH_DATA` names. */
export function dataFolder(env = process.env) {
  const folder = env.CAIRN_BENCH_DATA
  if (!folder) throw new Missing('set CAIRN_BENCH_DATA to the folder of the data sets')
  if (!existsSync(folder)) throw new Missing(`CAIRN_BENCH_DATA: there is no folder ${folder}`)
  return folder
}

/** A base, or its first rows, as one row-major matrix of floats. */
export function readVectors(folder, set, part, most = Infinity) {
  const { rows, dim, body } = readMatrix(join(folder, `${set}.${part}.u8bin.gz`), 1)
  const kept = Math.min(rows, most)
  return { rows: kept, dim, matrix: Float32Array.from(body.subarray(0, kept * dim)), all: rows }
}

/**
 * True neighbours of the first queries: the shipped ones where the whole base is used, else by a scan.
 *
 * @returns `{ ids: Int32Array, depth }`.
 */
export function readTruth(folder, set, base, queries, k) {
  if (base.rows < base.all) return { ids: scan(base, queries, k), depth: k }
  const { rows, dim, body } = readMatrix(join(folder, `${set}.gt100.ibin.gz`), 4)
  if (rows < queries.rows) throw new Missing(`${set}: truth for ${rows} queries only`)
  const ids = new Int32Array(queries.rows * dim)
  for (let at = 0; at < ids.length; at += 1) ids[at] = body.readInt32LE(at * 4)
  return { ids, depth: dim }
}

/** Row numbers of the exact nearest rows under squared L2, nearest first, ties by lower row. */
export function scan(base, queries, k) {
  const ids = new Int32Array(queries.rows * k)
  const distances = new Float64Array(base.rows)
  for (let query = 0; query < queries.rows; query += 1) {
    fillDistances(distances, base, queries.matrix.subarray(query * base.dim))
    const nearest = Array.from({ length: k }, () => -1)
    for (let row = 0; row < base.rows; row += 1) insert(nearest, row, distances)
    ids.set(nearest, query * k)
  }
  return ids
}

/** Squared L2 from a vector to every row, into `distances`. */
export function fillDistances(distances, { rows, dim, matrix }, vector) {
  for (let row = 0; row < rows; row += 1) {
    let sum = 0
    for (let at = 0, from = row * dim; at < dim; at += 1) {
      const gap = matrix[from + at] - vector[at]
      sum += gap * gap
    }
    distances[row] = sum
  }
}

function insert(nearest, row, distances) {
  let at = nearest.length - 1
  if (nearest[at] !== -1 && distances[nearest[at]] <= distances[row]) return
  while (at > 0 && (nearest[at - 1] === -1 || distances[nearest[at - 1]] > distances[row])) {
    nearest[at] = nearest[at - 1]
    at -= 1
  }
  nearest[at] = row
}

/**
 * Writes the first rows and queries of a set uncompressed, for programs that read no gzip.
 *
 * @returns The folder, with `<set>.base.u8bin`, `<set>.query.u8bin` and `<set>.gt100.ibin`.
 */
export function stage(folder, set, target, { rows = Infinity, queries = Infinity } = {}) {
  const place = join(target, `${set}-${rows}-${queries}`)
  mkdirSync(place, { recursive: true })
  const done = (part) => existsSync(join(place, `${set}.${part}`))
  if (done('base.u8bin') && done('query.u8bin') && done('gt100.ibin')) return place
  const base = readMatrix(join(folder, `${set}.base.u8bin.gz`), 1)
  const query = readMatrix(join(folder, `${set}.query.u8bin.gz`), 1)
  const truth =
    rows >= base.rows
      ? readMatrix(join(folder, `${set}.gt100.ibin.gz`), 4)
      : scanned(head(base, rows, 1), head(query, queries, 1), 100)
  writeMatrix(join(place, `${set}.base.u8bin`), head(base, rows, 1))
  writeMatrix(join(place, `${set}.query.u8bin`), head(query, queries, 1))
  writeMatrix(join(place, `${set}.gt100.ibin`), head(truth, queries, 4))
  return place
}

function scanned(base, queries, depth) {
  const floats = ({ rows, dim, body }) => ({ rows, dim, matrix: Float32Array.from(body) })
  const ids = scan(floats(base), floats(queries), depth)
  return { rows: queries.rows, dim: depth, body: Buffer.from(ids.buffer) }
}

function head({ rows, dim, body }, most, bytes) {
  const kept = Math.min(rows, most)
  return { rows: kept, dim, body: body.subarray(0, kept * dim * bytes) }
}

function readMatrix(file, bytes) {
  if (!existsSync(file)) throw new Missing(`there is no ${file}; see bench/README.md`)
  const content = gunzipSync(readFileSync(file), { maxOutputLength: 2 ** 32 })
  const [rows, dim] = [content.readUInt32LE(0), content.readUInt32LE(4)]
  if (content.length !== 8 + rows * dim * bytes) {
    throw new Missing(`${file} has ${content.length} bytes, not those of ${rows} rows of ${dim}`)
  }
  return { rows, dim, body: content.subarray(8) }
}

function writeMatrix(file, { rows, dim, body }) {
  const header = Buffer.alloc(8)
  header.writeUInt32LE(rows, 0)
  header.writeUInt32LE(dim, 4)
  writeFileSync(`${file}.part`, Buffer.concat([header, body]))
  renameSync(`${file}.part`, file)
  if (statSync(file).size !== 8 + body.length) throw new Error(`${file} was cut short`)
}
