// Backups, and databases made of them.
import { restore as restoreFrom } from '../../index.js'
import { oneRecord, UsageError, type Command } from '../command.js'
import { writing } from '../database.js'
import { percentOf } from '../progress.js'

export const backup: Command = {
  name: 'backup',
  arguments: [{ name: 'target', takes: 'one' }],
  summary: 'Copy what earlier backups in the directory <target> do not have yet.',
  details:
    'Needs the data directory for itself; a program that has it open makes backups with db.backup().',
  flags: {
    name: { type: 'string', value: 'NAME', help: 'something to call it by' },
    verify: { type: 'boolean', help: 'compare all checksums of earlier backups, and heal them' },
  },
  run: (call) => {
    const { words, flags, signal } = call
    const [target = ''] = words['target'] ?? []
    // Nothing is merged on the way: a backup is of what is there.
    return writing(call, { compaction: 'none' }, async (db) => {
      const { id, name, version, files, bytesTotal, filesCopied, bytesCopied } = await db.backup(
        target,
        {
          name: flags.text('name'),
          verify: flags.has('verify'),
          signal,
          onProgress: percentOf(call, 'backing up'),
        },
      )
      return oneRecord({ id, name, version, files, bytesTotal, filesCopied, bytesCopied })
    })
  },
}

export const restore: Command = {
  name: 'restore',
  arguments: [
    { name: 'target', takes: 'one' },
    { name: 'dir', takes: 'one' },
  ],
  summary: 'Make a database in <dir>, empty or absent, of a directory of backups or an archive.',
  details:
    'Every checksum is compared before it counts. The newest backup, when nothing else is said.',
  flags: {
    id: { type: 'string', value: 'NUMBER', help: 'the backup of this number' },
    at: {
      type: 'string',
      value: 'VERSION',
      help: 'of this version: a number, a name, or the newest until a time (2026-01-31T12:00:00Z)',
    },
  },
  run: async (call) => {
    const { words, flags, settings, signal } = call
    const [source = ''] = words['target'] ?? []
    const restored = await restoreFrom(source, settings.dir.value, {
      id: flags.count('id'),
      version: versionOf(flags.text('at')),
      signal,
      onProgress: percentOf(call, 'restoring'),
    })
    return oneRecord({ dir: settings.dir.value, ...restored })
  },
}

/** A number, a time, or else a name. */
function versionOf(text: string | undefined): bigint | Date | string | undefined {
  if (text === undefined) return undefined
  if (/^\d+$/.test(text)) return BigInt(text)
  if (!/^\d{4}-\d\d-\d\d/.test(text)) return text
  const time = new Date(text)
  if (Number.isNaN(time.getTime())) throw new UsageError(`--at: there is no such time: ${text}`)
  return time
}
