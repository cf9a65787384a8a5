// Our index without Node around it: the example `bench` of the crate of the index, one process a sweep.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { cargoBuild } from '../lib/addon.mjs'
import { pinned } from '../lib/pin.mjs'

/** Builds the example, and gives its path. */
export function buildExample() {
  return cargoBuild(['--package', 'cairn-index', '--example', 'bench'], (artifact) =>
    artifact.target.name === 'bench' ? (artifact.executable ?? undefined) : undefined,
  )
}

/**
 * Builds a graph and writes it to `graph`.
 *
 * @returns Seconds of the build, the ordering of its nodes included, and bytes of links and vectors.
 */
export async function buildGraph(program, settings, graph) {
  const lines = await run([program], settings, { GRAPH: graph, EF: '10', REPEAT: '1' })
  const { vectors } = numbersOf(lines, /vectors=(?<vectors>[\d.]+) MB/)
  const { build, links } = numbersOf(lines, /build=(?<build>[\d.]+) s links=(?<links>[\d.]+) MB/)
  const { order } = numbersOf(lines, /order=(?<order>[\d.]+) s/, { order: 0 })
  return { seconds: build + order, bytes: (links + vectors) * 1e6 }
}

/** One sweep over a graph that was written, pinned; a first pass over each `ef` is not counted. */
export async function sweepGraph(program, settings, graph, efs) {
  const extra = { GRAPH: graph, EF: efs.join(','), REPEAT: '2' }
  const lines = await run(pinned([program]), settings, extra)
  const results = lines.flatMap((line) => parseSweepLine(line) ?? [])
  if (results.map(({ ef }) => ef).join() !== efs.join()) {
    throw new Error(
      `the example answered something else than ef=${efs.join()}:\n${lines.join('\n')}`,
    )
  }
  return results.map(({ ef, recall, qps }) => ({
    ef,
    recall,
    queries: settings.queries,
    seconds: settings.queries / qps,
  }))
}

/** `hnsw ef=  10 recall=0.9123 qps=   12345 ...` as numbers, or null. */
export function parseSweepLine(line) {
  const match = /^hnsw ef=\s*(\d+) recall=([\d.]+) qps=\s*([\d.]+)/.exec(line)
  if (match === null) return null
  const [ef, recall, qps] = match.slice(1).map(Number)
  return { ef, recall, qps }
}

function numbersOf(lines, pattern, otherwise) {
  const groups = lines.map((line) => pattern.exec(line)?.groups).find(Boolean) ?? otherwise
  if (groups === undefined) throw new Error(`no ${pattern} in\n${lines.join('\n')}`)
  return Object.fromEntries(Object.entries(groups).map(([name, text]) => [name, Number(text)]))
}

async function run(
  [file, ...args],
  { dataset, data, m, efConstruction, threads, queries, k = 10 },
  extra,
) {
  const settings = {
    M: m,
    EFC: efConstruction,
    THREADS: threads,
    QUERIES: queries,
    K: k,
    DATA: data,
    INDEX: 'hnsw',
    ...extra,
  }
  const env = Object.entries(settings).map(([name, value]) => [
    `CAIRN_BENCH_${name}`,
    String(value),
  ])
  const child = spawn(file, [...args, dataset], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...Object.fromEntries(env) },
  })
  const ended = new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', resolve)
  })
  const lines = []
  for await (const line of createInterface({ input: child.stdout })) lines.push(line)
  const code = await ended
  if (code !== 0) throw new Error(`the example ended with code ${code}`)
  return lines
}
