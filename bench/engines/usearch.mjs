// usearch: an HNSW graph over f32, squared L2.
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { loadPeer, peerVersion } from '../lib/peers.mjs'

/** @type {import('./index.mjs').Create} */
export async function create({ folder, threads }) {
  const { Index, MetricKind, ScalarKind } = loadPeer('usearch')
  const file = join(folder, 'index.usearch')
  const byEf = new Map()
  let settings
  let index
  return {
    version: peerVersion('usearch'),
    async build(base, dim, { m, efConstruction }) {
      settings = {
        dimensions: dim,
        metric: MetricKind.L2sq,
        quantization: ScalarKind.F32,
        connectivity: m,
        expansion_add: efConstruction,
        expansion_search: efConstruction,
        multi: false,
      }
      const keys = BigUint64Array.from({ length: base.length / dim }, (_, row) => BigInt(row))
      const built = new Index(settings)
      const started = performance.now()
      built.add(keys, base, threads)
      const seconds = (performance.now() - started) / 1000
      built.save(file)
      return { seconds, bytes: statSync(file).size }
    },
    prepare: (rows) => rows,
    // Its JavaScript sets the search width at construction only, so each width is a loaded copy.
    useEf(ef) {
      if (!byEf.has(ef)) {
        const copy = new Index({ ...settings, expansion_search: ef })
        copy.load(file)
        byEf.set(ef, copy)
      }
      index = byEf.get(ef)
    },
    searchOne: (vector, k) => index.search(vector, k, 1),
    ids: ({ keys }) => Array.from(keys, Number),
    close() {},
  }
}
