// `npm run bench -- readme`: the tables of the newest record into README.md, between its two comments.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { definitionsOf, depthsOf } from './lib/definitions.mjs'
import { Missing } from './lib/data.mjs'
import { log } from './lib/log.mjs'
import { blockIn, differences, replaceBlock } from './lib/markdown.mjs'
import { grouped } from './lib/numbers.mjs'
import { recordFolder, root } from './lib/places.mjs'
import { curves, figures, newest, resultFolder } from './lib/record.mjs'
import { figureTable, latencyTable, speedTable } from './lib/report.mjs'

const readme = join(root, 'README.md')

/**
 * Rewrites the block; of a quick run it only prints it, because those are no results. Where this machine has no
 * record, the block is that of the machine whose it is already.
 */
export function writeReadme({ quick }) {
  if (quick) {
    console.log(blockFrom(resultFolder(quick)))
    return
  }
  const document = readmeText()
  const own = resultFolder(quick)
  const block = blockFrom(existsSync(own) ? own : folderOf(document))
  writeFileSync(readme, replaceBlock(document, block))
  log('wrote the tables into README.md')
}

/**
 * Compares the block with the record of the machine whose it is, so that any machine can tell.
 *
 * @throws {Missing} With the lines that differ.
 */
export function checkReadme() {
  const document = readmeText()
  const differing = differences(document, replaceBlock(document, blockFrom(folderOf(document))))
  if (differing.length === 0) {
    log('the tables of README.md are those of the record')
    return
  }
  const what = 'README.md is not what the record says; npm run bench -- readme writes it'
  throw new Missing([what, ...differing].join('\n'))
}

function readmeText() {
  if (!existsSync(readme)) throw new Missing('there is no README.md')
  return readFileSync(readme, 'utf8')
}

/** The folder of the record that the images of the block lie in. */
function folderOf(document) {
  const name = /\]\(bench\/record\/([^/)]+)\//.exec(blockIn(document))?.[1]
  if (name === undefined) throw new Missing('README.md does not say whose record it shows')
  return join(recordFolder, name)
}

function blockFrom(folder) {
  const link = relative(root, folder).replaceAll(sep, '/')
  return blockOf(newest(curves, folder), newest(figures, folder), link)
}

/** Everything that the record says, as Markdown. */
export function blockOf(points, single, folder) {
  if (points.length + single.length === 0) throw new Missing(`there are no results in ${folder}`)
  const [{ machine, cpu, cores, memory_gb: memory, os, node }] = [...points, ...single]
  const name = machine === 'unnamed' ? '' : `${machine}: `
  return [
    `${name}${cpu}, ${cores} cores, ${memory} GB, ${os}, Node ${node}. Queries per second are medians, with the ` +
      'extremes of the repetitions; the engines took turns on one core of one machine. ' +
      'How, and how to repeat it: [bench/README.md](bench/README.md).',
    ...['node', 'native'].flatMap((bench) => sectionsOf(bench, points, folder)),
    ...daysOf(single).flatMap((day) => [
      `#### Single figures, ${day}`,
      figureTable(single.filter(({ date }) => date === day)),
    ]),
  ].join('\n\n')
}

/** How long single searches took, where that was measured. */
function latencySection(rows) {
  if (rows.every(({ p50_us: p50 }) => p50 === '')) return []
  const title =
    'How long one search took, in microseconds, at the fastest point that recalls 0.95 or more:'
  return [title, latencyTable(rows, 0.95)]
}

/** The days that rows are of, the newest first. */
function daysOf(rows) {
  return [...new Set(rows.map(({ date }) => date))].toSorted((one, other) =>
    other.localeCompare(one),
  )
}

function sectionsOf(bench, points, folder) {
  return definitionsOf(bench).flatMap((definition) => {
    const { dataset, title } = definition
    const rows = points.filter((row) => row.bench === bench && row.dataset === dataset)
    if (rows.length === 0) return []
    const [{ date, rows: count, params }] = rows
    return [
      `#### ${title}`,
      `Measured on ${date}. ${grouped(Number(count))} vectors; ${params} where an engine does not say otherwise.`,
      ...depthsOf(definition).flatMap(({ k, targets }) => {
        const found = rows.filter((row) => Number(row.k) === k)
        if (found.length === 0) return []
        return [
          `Top ${k}, recall@${k} against the exact neighbours:`,
          speedTable(found, targets),
          ...latencySection(found),
        ]
      }),
      `![Recall against queries per second](${folder}/${date}-${bench}-${dataset}.svg)`,
    ]
  })
}
