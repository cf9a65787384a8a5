// What a user should know about the directory, and may ignore.
import { stat, statfs } from 'node:fs/promises'
import process from 'node:process'
import type { CairnWarning } from './options.js'

/** File systems by their magic numbers (statfs(2)) that lock and sync in ways of their own. */
const networkFileSystems = new Map([
  [0x6969, 'nfs'],
  [0x517b, 'smb'],
  [0xfe534d42, 'smb2'],
  [0xff534d42, 'cifs'],
  [0x01021997, '9p'],
  [0x00c36400, 'ceph'],
  [0x0bd00bd0, 'lustre'],
])

/** Below this a flush may soon fail. */
const freeBytesMin = 256 * 1024 * 1024

/** What is asked of the operating system; a test may stand in for it. */
export interface Ground {
  readonly stat: (path: string) => Promise<{ readonly mode: number }>
  readonly statfs: (
    path: string,
  ) => Promise<{ readonly type: number; readonly bavail: number; readonly bsize: number }>
}

/**
 * Looks at an open database's directory.
 *
 * Never rejects: neither what goes wrong here nor what `warn` throws or rejects with is a reason to
 * fail, and nobody waits for it.
 */
export async function warnAbout(
  directory: string,
  warn: (warning: CairnWarning) => void,
  ground: Ground = { stat, statfs },
): Promise<void> {
  const warnings = [
    ...(await permissions(directory, ground)),
    ...(await fileSystem(directory, ground)),
  ]
  // An async function, so that what `warn` throws becomes a rejection as well.
  const tell = async (warning: CairnWarning): Promise<void> => warn(warning)
  for (const warning of warnings) tell(warning).catch(() => undefined)
}

async function permissions(directory: string, { stat }: Ground): Promise<CairnWarning[]> {
  if (process.platform === 'win32') return []
  const found = await stat(directory).catch(() => undefined)
  if (found === undefined || (found.mode & 0o077) === 0) return []
  const mode = (found.mode & 0o777).toString(8)
  return [
    {
      code: 'WARN_PERMISSIONS',
      message: `${directory} is open to other users: its mode is ${mode}, 700 is safe`,
      details: { directory, mode },
    },
  ]
}

async function fileSystem(directory: string, { statfs }: Ground): Promise<CairnWarning[]> {
  const found = await statfs(directory).catch(() => undefined)
  if (found === undefined) return []
  const warnings: CairnWarning[] = []
  const name = networkFileSystems.get(found.type >>> 0)
  if (name !== undefined) {
    warnings.push({
      code: 'WARN_NETWORK_FILE_SYSTEM',
      message: `${directory} is on a network file system (${name}): locks and syncs may not hold`,
      details: { directory, fileSystem: name },
    })
  }
  const free = found.bavail * found.bsize
  if (free < freeBytesMin) {
    warnings.push({
      code: 'WARN_FREE_SPACE',
      message: `little space is left for ${directory}: ${Math.floor(free / 1024 / 1024)} MiB`,
      details: { directory, free },
    })
  }
  return warnings
}
