// Records by key.
import type { Schema, StoredRecord } from '../../index.js'
import { exitCodes, type Answer, type Command } from '../command.js'
import { keysOf, reading } from '../database.js'

export const get: Command = {
  name: 'get',
  arguments: [
    { name: 'collection', takes: 'one' },
    { name: 'key', takes: 'many' },
  ],
  summary: 'Print records by key.',
  details:
    'Keys that are not there are told on stderr; it ends with 5 when none is there, with 6 when some are not.\n' +
    'A key that begins with - stands behind --. Works beside a program that writes.',
  flags: {
    select: { type: 'string', value: 'FIELD', multiple: true, help: 'only this field' },
    vectors: { type: 'boolean', help: 'vectors, too' },
  },
  run: async (call) => {
    const { words, flags, signal, tell } = call
    const [name = ''] = words['collection'] ?? []
    const keys = words['key'] ?? []
    const found = await reading(call, async (db) => {
      const collection = await db.openCollection(name)
      const options = { select: flags.list('select'), vectors: flags.has('vectors'), signal }
      return collection.get(keysOf(collection, keys), options)
    })
    const records = found.filter((record) => record !== null)
    for (const [at, record] of found.entries()) {
      if (record === null) tell(`not found: ${keys[at] ?? ''}`)
    }
    return answerOf(records, found.length - records.length)
  },
}

function answerOf(
  records: readonly StoredRecord<Schema, readonly string[] | undefined, boolean>[],
  missing: number,
): Answer {
  const fields = namesIn(records.map((record) => record.fields))
  const vectorsOf = (record: object): object => (record as { vectors?: object }).vectors ?? {}
  const vectors = namesIn(records.map(vectorsOf))
  const lines = records.map(({ key, version, fields, ...rest }) => {
    const own = Object.entries(vectorsOf(rest)).map(([name, vector]) => [name, plain(vector)])
    const withVectors = own.length === 0 ? {} : { vectors: Object.fromEntries(own) as object }
    return { key, version, fields, ...withVectors }
  })
  const rows = lines.map(({ key, version, fields: own, vectors: drawn = {} }) => [
    key,
    version,
    ...fields.map((name) => ownOf(own, name)),
    ...vectors.map((name) => ownOf(drawn, name)),
  ])
  const none = records.length === 0 ? exitCodes.notFound : exitCodes.partial
  return {
    value: lines,
    table: { columns: ['key', 'version', ...fields, ...vectors], rows },
    exitCode: missing === 0 ? exitCodes.ok : none,
  }
}

/** Bits are bytes of a vector here, not bytes of a field. */
function plain(vector: unknown): unknown {
  return vector instanceof Uint8Array ? [...vector] : vector
}

function namesIn(objects: readonly object[]): string[] {
  return [...new Set(objects.flatMap((object) => Object.keys(object)))]
}

function ownOf(object: object, name: string): unknown {
  return Object.hasOwn(object, name) ? (object as Record<string, unknown>)[name] : undefined
}
