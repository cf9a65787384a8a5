// `npm run bench -- readme`: the tables of the newest record into README.md, between its two comments.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { definitionsOf } from './lib/definitions.mjs'
import { Missing } from './lib/data.mjs'
import { log } from './lib/log.mjs'
import { replaceBlock } from './lib/markdown.mjs'
import { grouped } from './lib/numbers.mjs'
import { root } from './lib/places.mjs'
import { curves, figures, newest, resultFolder } from './lib/record.mjs'
import { figureTable, speedTable } from './lib/report.mjs'

/** Rewrites the block; of a quick run it only prints it, because those are no results. */
export function writeReadme({ quick }) {
  const block = blockOf(
    newest(curves, quick),
    newest(figures, quick),
    relative(root, resultFolder(quick)),
  )
  if (quick) {
    console.log(block)
    return
  }
  const file = join(root, 'README.md')
  if (!existsSync(file)) throw new Missing('there is no README.md')
  writeFileSync(file, replaceBlock(readFileSync(file, 'utf8'), block))
  log('wrote the tables into README.md')
}

/** Everything that the record says, as Markdown. */
export function blockOf(points, single, folder) {
  if (points.length + single.length === 0)
    throw new Missing('the record has nothing of this machine')
  const [{ date, machine, cpu, cores, memory_gb: memory, os, node }] = [...points, ...single]
  const name = machine === 'unnamed' ? '' : `${machine}: `
  return [
    `Measured on ${date}. ${name}${cpu}, ${cores} cores, ${memory} GB, ${os}, Node ${node}. Queries per second ` +
      'are medians, with the extremes of the repetitions; the engines took turns on one core of one machine. ' +
      'How, and how to repeat it: [bench/README.md](bench/README.md).',
    ...['node', 'native'].flatMap((bench) => sectionsOf(bench, points, folder)),
    ...(single.length === 0 ? [] : ['#### Single figures', figureTable(single)]),
  ].join('\n\n')
}

function sectionsOf(bench, points, folder) {
  return definitionsOf(bench).flatMap(({ dataset, title, targets, k }) => {
    const rows = points.filter((row) => row.bench === bench && row.dataset === dataset)
    if (rows.length === 0) return []
    const [{ date, rows: count, params }] = rows
    return [
      `#### ${title}`,
      `${grouped(Number(count))} vectors, top ${k}, recall@${k} against the exact neighbours; ${params}.`,
      speedTable(rows, targets),
      `![Recall against queries per second](${folder}/${date}-${bench}-${dataset}.svg)`,
    ]
  })
}
