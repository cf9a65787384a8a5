// Definitions are data: what is measured, how often, and what is wanted.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { benchFolder } from './places.mjs'

const folder = join(benchFolder, 'definitions')

/** Every definition of a benchmark, by file name. */
export function definitionsOf(bench) {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')))
    .filter((definition) => definition.bench === bench)
}

/** The definition as a quick run takes it: fewer rows, queries, points and rounds. */
export function quickened(definition, quick) {
  if (!quick) return definition
  const { engineQueries, ...less } = definition.quick
  return {
    ...definition,
    ...less,
    engines: definition.engines.map(({ ef, ...engine }) => ({
      ...engine,
      ...(ef === undefined ? {} : { ef: less.ef }),
      ...(engine.queries === undefined ? {} : { queries: engineQueries ?? less.queries }),
    })),
  }
}

/**
 * What is asked of engines that are built once: `{ k, ef, targets }` of the definition itself, then each of `also`.
 */
export function depthsOf({ k, ef, targets, also = [] }) {
  return [{ k, ef, targets }, ...also]
}

/** The settings of one section of a definition, quick or not. */
export function sectionOf(definition, name, quick) {
  return {
    dataset: definition.dataset,
    batchRows: definition.batchRows,
    ...definition.sections[name],
    ...(quick ? definition.quick[name] : {}),
  }
}
