// Keeping a process on one core.
import { spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'

/** The core that is measured on: the last, because the first serves most interrupts. */
export const measuredCore = availableParallelism() - 1

/** Pins every thread of a process; false where that cannot be done. */
export function pin(pid, cores = String(measuredCore)) {
  if (process.platform !== 'linux') return false
  return spawnSync('taskset', ['-a', '-c', '-p', cores, String(pid)]).status === 0
}

/** A command that runs pinned, where that can be done. */
export function pinned(command) {
  const able = process.platform === 'linux' && spawnSync('taskset', ['--version']).status === 0
  return able ? ['taskset', '-c', String(measuredCore), ...command] : command
}
