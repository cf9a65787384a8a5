// What is in a directory of backups.
import { listBackups, pruneBackups, verifyBackup, type BackupInfo } from '../../index.js'
import {
  exitCodes,
  oneRecord,
  tableOf,
  UsageError,
  type Answer,
  type Call,
  type Command,
} from '../command.js'
import { percentOf } from '../progress.js'
import { unknownWord } from '../settings.js'

const verbs: Readonly<Record<string, (target: string, call: Call) => Promise<Answer>>> = {
  list,
  verify,
  prune,
}

/** The argument that says what is done. */
const verb = Object.keys(verbs).join('|')

export const backups: Command = {
  name: 'backups',
  arguments: [
    { name: verb, takes: 'one' },
    { name: 'target', takes: 'one' },
  ],
  summary: 'List, check or thin out the backups in the directory <target>.',
  details:
    'list: each with its version, time and size; ends with 6 when the record of one is damaged.\n' +
    'verify: compares every checksum of all of them, or of one, and ends with 1 at the first damage.\n' +
    'prune: removes all but the newest good ones, and prints the numbers of those that went.\n' +
    'Needs no key and no database.',
  flags: {
    id: { type: 'string', value: 'NUMBER', help: 'verify: the backup of this number alone' },
    keep: { type: 'string', value: 'NUMBER', help: 'prune: so many good ones stay, at least 1' },
  },
  run: async (call) => {
    const [wanted = ''] = call.words[verb] ?? []
    const [target = ''] = call.words['target'] ?? []
    const work = Object.hasOwn(verbs, wanted) ? verbs[wanted] : undefined
    if (work === undefined) throw new UsageError(unknownWord('verb', wanted, Object.keys(verbs)))
    for (const [flag, of] of [
      ['id', 'verify'],
      ['keep', 'prune'],
    ] as const) {
      if (call.flags.has(flag) && of !== wanted) throw new UsageError(`--${flag} is for ${of}`)
    }
    return work(target, call)
  },
}

async function list(target: string): Promise<Answer> {
  const infos = await listBackups(target)
  const columns = ['id', 'name', 'version', 'created', 'files', 'bytesTotal', 'error'] as const
  const rows = infos.map((info: BackupInfo) => ({ ...info, error: info.error?.code }))
  const isDamaged = infos.some(({ error }) => error !== undefined)
  return {
    value: infos,
    table: tableOf(columns, rows),
    exitCode: isDamaged ? exitCodes.partial : exitCodes.ok,
  }
}

async function verify(target: string, call: Call): Promise<Answer> {
  const { flags, signal } = call
  const onProgress = percentOf(call, 'checking')
  const checked = await verifyBackup(target, { id: flags.count('id'), signal, onProgress })
  return oneRecord({ ...checked })
}

async function prune(target: string, { flags }: Call): Promise<Answer> {
  const keep = flags.count('keep')
  if (keep === undefined) throw new UsageError('prune needs --keep')
  const removed = await pruneBackups(target, { keep })
  const rows = removed.map((id) => ({ id }))
  return { value: rows, table: tableOf(['id'], rows) }
}
