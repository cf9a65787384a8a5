// What a database has: its collections, their figures, and those after everything was merged.
import type { CollectionInfo, Database, DatabaseStats } from '../../index.js'
import { exitCodes, tableOf, type Answer, type Command } from '../command.js'
import { reading, writing } from '../database.js'
import { percentOf } from '../progress.js'

export const collections: Command = {
  name: 'collections',
  arguments: [{ name: 'dir', takes: 'optional' }],
  summary: 'List the collections: their records, keys, vector fields and fields.',
  details: 'Ends with 6 when one of them is damaged. Works beside a program that writes.',
  flags: {},
  run: async (call) => listed(await reading(call, (db) => db.listCollections())),
}

function listed(infos: readonly CollectionInfo[]): Answer {
  const rows = infos.map(({ name, count, schema, error }) => ({
    name,
    records: count,
    key: schema.key,
    vectors: Object.entries(schema.vectors)
      .map(([field, { metric, dim, type }]) => `${field} ${type} ${dim} ${metric}`)
      .join(', '),
    fields: Object.keys(schema.fields).join(', '),
    error: error?.code,
  }))
  const isDamaged = infos.some(({ error }) => error !== undefined)
  return {
    value: infos,
    table: tableOf(['name', 'records', 'key', 'vectors', 'fields', 'error'], rows),
    exitCode: isDamaged ? exitCodes.partial : exitCodes.ok,
  }
}

export const stats: Command = {
  name: 'stats',
  arguments: [{ name: 'dir', takes: 'optional' }],
  summary: 'Print figures of the database and of each collection; sizes are bytes.',
  details:
    'As json there are all of them; sizes in memory are those of this command, which leaves vectors in their files.\n' +
    'Works beside a program that writes.',
  flags: {},
  run: (call) => reading(call, figuresOf),
}

export const compact: Command = {
  name: 'compact',
  arguments: [{ name: 'dir', takes: 'optional' }],
  summary: 'Flush, merge and index everything at once, and print the figures after it.',
  details: 'Needs the directory for itself. It happens by itself, too, in any program that writes.',
  flags: {},
  run: (call) =>
    writing(call, {}, async (db) => {
      await db.compact({ signal: call.signal, onProgress: percentOf(call, 'compacting') })
      return figuresOf(db)
    }),
}

const figures = [
  'collection',
  'count',
  'memtableRows',
  'segments',
  'liveBytes',
  'deadBytes',
  'walBytes',
  'lastBackgroundError',
] as const

async function figuresOf(db: Database): Promise<Answer> {
  const value: DatabaseStats = await db.stats()
  const lines = Object.entries(value.collections).map(([collection, each]) => ({
    collection,
    ...each,
  }))
  const rows = lines.map((line) => ({ ...line, segments: line.segments.length }))
  return { value, lines, table: tableOf(figures, rows) }
}
