// What a user should know about the directory, and may ignore.
import { stat, statfs } from 'node:fs/promises'
import process from 'node:process'
import { clearInterval, setInterval } from 'node:timers'
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

/** Least headroom, whatever the options say. */
const headroomMin = 64 * 1024 * 1024

/** How often free space is looked at. */
const lookMs = 30_000

/** Below so many free bytes a full disk is near: four memtables, the log at its largest. */
export function headroomOf(options: {
  readonly memtableBytes: number
  readonly walBytesMax: number
}): number {
  return Math.max(headroomMin, 4 * options.memtableBytes + options.walBytesMax)
}

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
  for (const warning of await groundWarnings(directory, ground)) tell(warn, warning)
}

/** What {@link warnAbout} tells. */
export async function groundWarnings(
  directory: string,
  ground: Ground = { stat, statfs },
): Promise<CairnWarning[]> {
  return [...(await permissions(directory, ground)), ...(await fileSystem(directory, ground))]
}

/**
 * Warns when the disk of a directory has less free than `headroom`, once until it has more again.
 *
 * It looks when it starts and then twice a minute, on a timer that keeps no process alive.
 */
export class SpaceWatch {
  readonly #directory: string
  readonly #headroom: number
  readonly #warn: (warning: CairnWarning) => void
  readonly #statfs: Ground['statfs']
  #timer: NodeJS.Timeout | undefined
  #isLow = false

  constructor(
    directory: string,
    headroom: number,
    warn: (warning: CairnWarning) => void,
    ground: Pick<Ground, 'statfs'> = { statfs },
  ) {
    this.#directory = directory
    this.#headroom = headroom
    this.#warn = warn
    this.#statfs = ground.statfs
  }

  /** Looks at once, and from now on. */
  start(everyMs: number = lookMs): void {
    // A database that is forgotten without being closed is collected, and the timer ends with it.
    const watch = new WeakRef(this)
    const timer = setInterval(() => {
      const alive = watch.deref()
      if (alive === undefined) clearInterval(timer)
      else void alive.look()
    }, everyMs).unref()
    this.#timer = timer
    void this.look()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** Looks once. Never rejects. */
  async look(): Promise<void> {
    const found = await this.#statfs(this.#directory).catch(() => undefined)
    if (found === undefined) return
    const free = found.bavail * found.bsize
    const wasLow = this.#isLow
    this.#isLow = free < this.#headroom
    if (!this.#isLow || wasLow) return
    const directory = this.#directory
    tell(this.#warn, {
      code: 'WARN_FREE_SPACE',
      message: `little space is left for ${directory}: ${Math.floor(free / 1024 / 1024)} MiB`,
      details: { directory, free, headroom: this.#headroom },
    })
  }
}

/** Hands a warning to `warn`, whose failure is nobody's. */
export function tell(warn: (warning: CairnWarning) => void, warning: CairnWarning): void {
  // An async function, so that what `warn` throws becomes a rejection as well.
  const told = async (): Promise<void> => warn(warning)
  told().catch(() => undefined)
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
  return warnings
}
