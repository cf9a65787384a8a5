// Whether everything is as it should be.
import {
  doctor as examine,
  isCairnError,
  repair as save,
  verify as check,
  type Problem,
  type VerifyReport,
} from '../../index.js'
import { exitCodes, tableOf, type Answer, type Call, type Command } from '../command.js'
import { reading } from '../database.js'
import { withKey } from '../key.js'
import { percentOf } from '../progress.js'

export const verify: Command = {
  name: 'verify',
  arguments: [{ name: 'dir', takes: 'optional' }],
  summary: 'Check every byte of every file, and print what is wrong.',
  details:
    'Ends with 6 when something is. Writes nothing. Of a database that another program writes, segments\n' +
    'alone are checked; stderr says so, and how many records are in none. Of an encrypted one without its\n' +
    'key, checksums are.',
  flags: {},
  run: async (call) => {
    const report = await checkBeside(call)
    const { files, bytes, problems, notes } = report
    const left = recordsIn(notes.filter(({ kind }) => kind === 'unchecked'))
    const rest = left === 0 ? '' : `; ${left} records are in logs alone, which were not checked`
    call.tell(`${files} files and ${bytes} bytes checked, ${problems.length} problems${rest}`)
    const rows = [...problems.map(asRow('problem')), ...notes.map(asRow('note'))]
    return {
      value: report,
      lines: rows,
      table: tableOf(
        ['severity', 'kind', 'file', 'section', 'offset', 'bytes', 'what', 'records'],
        rows,
      ),
      exitCode: report.ok ? exitCodes.ok : exitCodes.partial,
    }
  },
}

function recordsIn(problems: readonly Problem[]): number {
  return problems.reduce((sum, { records }) => sum + (records ?? 0), 0)
}

function asRow(severity: 'problem' | 'note') {
  return (problem: Problem) => ({ severity, ...problem })
}

async function checkBeside(call: Call): Promise<VerifyReport> {
  const { signal, settings, tell } = call
  const job = { signal, onProgress: percentOf(call, 'checking') }
  try {
    return await withKey(call, (encryption) => check(settings.dir.value, { ...job, encryption }))
  } catch (error) {
    if (!isCairnError(error, 'ERR_LOCKED')) throw error
    tell('warning: another program writes this database: only its segments are checked')
    return reading(call, (db) => db.verify(job))
  }
}

export const doctor: Command = {
  name: 'doctor',
  arguments: [{ name: 'dir', takes: 'optional' }],
  summary: 'Look at all that verify does and at how the database lives, and say what mends it.',
  details: 'Ends with 6 when there is an error among the findings. Writes nothing.',
  flags: {},
  run: async (call): Promise<Answer> => {
    const { signal, settings } = call
    const job = { signal, onProgress: percentOf(call, 'checking') }
    const findings = await withKey(call, (encryption) =>
      examine(settings.dir.value, { ...job, encryption }),
    )
    const isIll = findings.some(({ severity }) => severity === 'error')
    return {
      value: findings,
      table: tableOf(
        ['severity', 'code', 'what', 'where', 'remedy'],
        findings.map((finding) => ({ ...finding })),
      ),
      exitCode: isIll ? exitCodes.partial : exitCodes.ok,
    }
  },
}

export const repair: Command = {
  name: 'repair',
  arguments: [
    { name: 'dir', takes: 'one' },
    { name: 'target', takes: 'one' },
  ],
  summary: 'Save what is left of a damaged database into a new one in <target>, empty or absent.',
  details:
    'The damaged directory is not changed. Ends with 6 when rows were left behind; json has their keys, as far as they can\n' +
    'be read. Where a backup is whole, restore gives more.',
  flags: {
    'keep-doubtful': {
      type: 'boolean',
      help: 'save records, too, of which nobody can tell any more whether they were deleted',
    },
  },
  run: async (call): Promise<Answer> => {
    const { words, flags, settings, signal, tell } = call
    const [target = ''] = words['target'] ?? []
    const report = await withKey(call, (encryption) =>
      save(settings.dir.value, {
        target,
        keepDoubtful: flags.has('keep-doubtful'),
        encryption,
        signal,
        onProgress: percentOf(call, 'repairing'),
      }),
    )
    const { collections, problems, lost } = report
    tell(`${problems.length} problems`)
    return {
      value: report,
      lines: collections,
      table: tableOf(['name', 'records', 'lost', 'doubtful'], collections),
      exitCode: lost.length > 0 ? exitCodes.partial : exitCodes.ok,
    }
  },
}
