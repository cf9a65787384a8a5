// `npm run bench -- ingest`: durable writes, the event loop meanwhile, recovery, reopening, call overhead.
import { runParts } from './lib/parts.mjs'
import { measureArrivals } from './ingest/arrivals.mjs'
import { measureBatches } from './ingest/batches.mjs'
import { measureBuild } from './ingest/build.mjs'
import { measureConcurrent } from './ingest/concurrent.mjs'
import { measureOverhead } from './ingest/overhead.mjs'
import { measureRecovery } from './ingest/recovery.mjs'
import { measureScaling } from './ingest/scaling.mjs'
import { measureStallAndReopen } from './ingest/stall-and-reopen.mjs'

const parts = {
  batches: measureBatches,
  concurrent: measureConcurrent,
  build: measureBuild,
  recovery: measureRecovery,
  stall: measureStallAndReopen,
  overhead: measureOverhead,
  scaling: measureScaling,
  arrivals: measureArrivals,
}

/** Runs every part, or the named ones. */
export function benchIngest(options) {
  return runParts('ingest', 'Writing and opening', parts, options)
}
