// `npm run bench -- memory`: bytes per vector against the formula, the caps of log and memtables, the addon.
import { runParts } from './lib/parts.mjs'
import { measureAddon } from './memory/addon.mjs'
import { measureBytes } from './memory/bytes.mjs'
import { measureCaps } from './memory/caps.mjs'

const parts = { bytes: measureBytes, caps: measureCaps, addon: measureAddon }

/** Runs every part, or the named ones. */
export function benchMemory(options) {
  return runParts('memory', 'Memory and size', parts, options)
}
