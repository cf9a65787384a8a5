// hnswlib-node: the C++ hnswlib behind plain arrays; it adds points on one thread only.
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { loadPeer, peerVersion } from '../lib/peers.mjs'

const seed = 100

/** @type {import('./index.mjs').Create} */
export async function create({ folder }) {
  const { HierarchicalNSW } = loadPeer('hnswlib-node')
  let index
  let numbers
  return {
    version: peerVersion('hnswlib-node'),
    buildThreads: 1,
    async build(base, dim, { m, efConstruction }, columns = {}) {
      numbers = columns
      const rows = base.length / dim
      index = new HierarchicalNSW('l2', dim)
      const started = performance.now()
      index.initIndex(rows, m, efConstruction, seed)
      for (let row = 0; row < rows; row += 1) {
        index.addPoint(Array.from(base.subarray(row * dim, (row + 1) * dim)), row)
      }
      const seconds = (performance.now() - started) / 1000
      const file = join(folder, 'index.hnsw')
      index.writeIndexSync(file)
      return { seconds, bytes: statSync(file).size }
    },
    // It takes plain arrays only; turning queries into them is not timed.
    prepare: (rows) => rows.map((row) => Array.from(row)),
    filter: ({ column, from, to }) => {
      const values = numbers[column]
      return (row) => values[row] >= from && values[row] < to
    },
    useEf: (ef) => index.setEf(ef),
    searchOne: (vector, k, ef, filter) => index.searchKnn(vector, k, filter),
    ids: ({ neighbors }) => neighbors,
    close() {},
  }
}
