// Backups, and databases made of them.
import { restore as restoreFrom, type VersionId } from '../../index.js'
import { oneRecord, UsageError, type Command, type Flags } from '../command.js'
import { writing } from '../database.js'
import { withKey } from '../key.js'
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
    'Every checksum is compared before it counts. The newest backup, when nothing else is said. Of an encrypted\n' +
    'database the key is needed that it had when the backup was made.',
  flags: {
    id: { type: 'string', value: 'NUMBER', help: 'the backup of this number' },
    at: {
      type: 'string',
      value: 'VERSION',
      help: 'of this version: a number, a name, or the newest until a time (2026-01-31T12:00:00Z)',
    },
    name: {
      type: 'string',
      value: 'NAME',
      help: 'of the version of this name, which may look like a number or a time',
    },
  },
  run: async (call) => {
    const { words, flags, settings, signal } = call
    const [source = ''] = words['target'] ?? []
    const [id, version] = [flags.count('id'), versionIn(flags)]
    const restored = await withKey(call, (encryption) =>
      restoreFrom(source, settings.dir.value, {
        id,
        version,
        encryption,
        signal,
        onProgress: percentOf(call, 'restoring'),
      }),
    )
    return oneRecord({ dir: settings.dir.value, ...restored })
  },
}

/** What is restored, by `--name` or `--at`; the newest when neither is given. */
function versionIn(flags: Flags): VersionId | undefined {
  const [name, at] = [flags.text('name'), flags.text('at')]
  if (name !== undefined && at !== undefined) {
    throw new UsageError('--name and --at each say which version; one of them is enough')
  }
  return name ?? versionOf(at)
}

/** A day, or a time of one. Without a zone it is of this machine, a day alone of UTC, as JavaScript has it. */
const timeForm = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?$/

/**
 * A number, a time, or else a name.
 *
 * @throws {UsageError} For text that begins like a time and is none: taken as a name, a slip in a time would
 * be told as a name that is not there.
 */
function versionOf(text: string | undefined): VersionId | undefined {
  if (text === undefined) return undefined
  if (/^\d+$/.test(text)) return BigInt(text)
  if (!/^\d{4}-\d\d-\d\d/.test(text)) return text
  const time = new Date(text)
  if (!timeForm.test(text) || !isDay(text.slice(0, 10)) || Number.isNaN(time.getTime())) {
    throw new UsageError(`--at: there is no such time: ${text}; a name is given by --name`)
  }
  return time
}

/** Whether the calendar has this day: JavaScript takes 2026-02-31 as the third of March. */
function isDay(day: string): boolean {
  const time = new Date(`${day}T00:00:00Z`)
  return !Number.isNaN(time.getTime()) && time.toISOString().startsWith(day)
}
