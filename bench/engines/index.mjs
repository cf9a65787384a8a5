// The engines behind one small interface. Modules are loaded when asked for, so that one that cannot be
// loaded on this machine leaves out only itself.

/**
 * @callback Create
 * @param {{ folder: string, threads: number }} options An empty folder, and threads for building.
 * @returns {Promise<Engine>}
 *
 * @typedef {object} Engine
 * @property {string} version
 * @property {number} [buildThreads] Where it cannot use as many as it is given.
 * @property {(base: Float32Array, dim: number, params: object, columns?: Record<string, Int32Array>) => Promise<{ seconds: number, bytes: number, note?: string }>} build
 *   `columns` are numbers by row to filter by, each with the index that the engine has for them.
 * @property {(filter: { column: string, from: number, to: number }) => unknown} [filter] A filter in the form it takes; not timed.
 * @property {(rows: Float32Array[]) => unknown[]} prepare Queries in the form it takes; not timed.
 * @property {(ef: number) => void} useEf Called before a pass; not timed.
 * @property {(query: unknown, k: number, ef: number, filter?: unknown) => unknown} searchOne Timed; its result may be a promise.
 * @property {(result: unknown) => number[]} ids Row numbers out of what `searchOne` gave; not timed.
 * @property {() => unknown} close
 */

const names = ['cairn', 'usearch', 'zvec', 'hnswlib-node', 'lancedb']

/** Creates an engine by name. */
export async function createEngine(name, options) {
  if (!names.includes(name)) throw new Error(`there is no engine ${name}: ${names.join(', ')}`)
  const { create } = await import(`./${name}.mjs`)
  return create(options)
}
