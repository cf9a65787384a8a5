// Records into files of other programs, and back.
import { access, readFile } from 'node:fs/promises'
import type { Filter, Schema } from '../../index.js'
import { oneOf } from '../../check.js'
import { openError } from '../../io/faults.js'
import { formatOf } from '../../io/format.js'
import { exportTo, importFrom, type Format, type ImportOptions } from '../../io/index.js'
import {
  exitCodes,
  oneRecord,
  UsageError,
  type Call,
  type Command,
  type Flags,
} from '../command.js'
import { making, reading } from '../database.js'

const formatFlag = {
  type: 'string',
  value: 'FORMAT',
  help: 'jsonl, arrow, arrow-stream, parquet, npy, fvecs, bvecs or ivecs; by default what the name says',
} as const

const modes = ['upsert', 'add'] as const

/** Where a file is named, this is stdin or stdout. */
const standard = '-'

export const exportCommand: Command = {
  name: 'export',
  arguments: [
    { name: 'collection', takes: 'one' },
    { name: 'file', takes: 'one' },
  ],
  summary: 'Write the records of a collection to a file, or with - to stdout.',
  details:
    'The file is there whole or as it was before. A name that ends in .gz is compressed. To stdout the format is\n' +
    'jsonl, when nothing else is said. Works beside a program that writes.',
  flags: {
    format: formatFlag,
    select: { type: 'string', value: 'FIELD', multiple: true, help: 'only this field' },
    'no-vectors': { type: 'boolean', help: 'leave out vectors' },
    filter: { type: 'string', value: 'JSON', help: 'only records that this filter holds for' },
    limit: { type: 'string', value: 'NUMBER', help: 'at most so many records' },
  },
  run: async (call) => {
    const { words, flags, stdout, signal, progress, tell } = call
    const { name, file } = placesOf(words)
    const toStdout = file === standard
    const format = formatIn(flags, file)
    const filter = jsonOf('--filter', flags.text('filter')) as Filter | undefined
    const limit = flags.count('limit')
    const { rows, bytes, version } = await reading(call, async (db) =>
      exportTo(await db.openCollection(name), toStdout ? stdout : file, {
        format,
        select: flags.list('select'),
        vectors: !flags.has('no-vectors'),
        filter,
        limit,
        signal,
        onProgress: ({ rows, bytes }) => progress(`exporting: ${rows} records, ${bytes} bytes`),
      }),
    )
    if (!toStdout) return oneRecord({ file, rows, bytes, version })
    tell(`${rows} records, ${bytes} bytes`)
    return undefined
  },
}

export const importCommand: Command = {
  name: 'import',
  arguments: [
    { name: 'collection', takes: 'one' },
    { name: 'file', takes: 'one' },
  ],
  summary: 'Write the records of a file, or with - of stdin, to a collection.',
  details:
    'Makes the data directory and the collection when they are not there, the latter as the file or --schema says.\n' +
    'Ends with 6 when rows were left out because they are wrong. Needs the data directory for itself.',
  flags: {
    format: formatFlag,
    mode: {
      type: 'string',
      value: 'MODE',
      help: 'upsert (default), or add, which fails for a key that exists',
    },
    key: { type: 'string', value: 'COLUMN', help: 'the column with the key; by default key' },
    vector: { type: 'string', value: 'COLUMN', help: 'the column of the one vector field' },
    schema: {
      type: 'string',
      value: 'FILE',
      help: 'a file of JSON with the structure of a new collection',
    },
    resume: { type: 'boolean', help: 'go on where an import with this flag was cut short' },
    'skip-errors': {
      type: 'boolean',
      help: 'leave out rows that are wrong, and tell each on stderr',
    },
  },
  run: async (call) => {
    const { words } = call
    const { name, file } = placesOf(words)
    const options = importOptions(call, file)
    const schema = await schemaOf(call)
    // Before a database is made for it.
    if (file !== standard) await mustExist(file)
    let wrong = 0
    const { rows, skipped } = await making(call, (db) =>
      importFrom({ db, name, schema }, file === standard ? call.stdin : file, {
        ...options,
        onSkip: ({ message }) => {
          wrong += 1
          call.tell(`skipped: ${message}`)
        },
      }),
    )
    const answer = oneRecord({ collection: name, rows, skipped })
    return { ...answer, exitCode: wrong > 0 ? exitCodes.partial : exitCodes.ok }
  },
}

function importOptions(
  { flags, signal, progress }: Call,
  file: string,
): Omit<ImportOptions, 'onSkip'> {
  if (file === standard && flags.has('resume')) {
    throw new UsageError('--resume needs a file: what came from stdin does not come again')
  }
  return {
    format: formatIn(flags, file),
    mode: oneOf(flags.text('mode') ?? 'upsert', modes, '--mode'),
    key: flags.text('key'),
    vector: flags.text('vector'),
    resume: flags.has('resume') ? true : undefined,
    onError: flags.has('skip-errors') ? 'skip' : 'stop',
    signal,
    onProgress: ({ rows, bytes }) => progress(`importing: ${rows} rows, ${bytes} bytes`),
  }
}

function placesOf(words: Call['words']): { name: string; file: string } {
  const [name = ''] = words['collection'] ?? []
  const [file = ''] = words['file'] ?? []
  return { name, file }
}

/** Known before a database is opened, or made; a stream has no name that tells it. */
function formatIn(flags: Flags, file: string): Format {
  const given = flags.text('format') ?? (file === standard ? 'jsonl' : undefined)
  return formatOf(given, file)
}

async function mustExist(file: string): Promise<void> {
  await access(file).catch((cause: unknown) => {
    throw openError(cause, file)
  })
}

async function schemaOf({ flags }: Call): Promise<Schema | undefined> {
  const file = flags.text('schema')
  if (file === undefined) return undefined
  await mustExist(file)
  return jsonOf(file, await readFile(file, 'utf8')) as Schema
}

/** What is in it is checked by the call that takes it. */
function jsonOf(where: string, text: string | undefined): unknown {
  if (text === undefined) return undefined
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new UsageError(`${where}: not JSON: ${(error as Error).message}`, { cause: error })
  }
}
