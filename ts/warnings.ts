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

/** How often the syncs of the logs are looked at. */
const syncLookMs = 5_000

/** A sync of a log that takes longer than this is told. */
export const slowSyncMs = 1000

/** Slow syncs are told once in so many milliseconds, the longest of them at most. */
const slowSyncPauseMs = 60_000

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

/** Looks now and then, on a timer that keeps no process alive. */
export abstract class Watch {
  #timer: NodeJS.Timeout | undefined

  /** Looks once. Never rejects. */
  abstract look(): Promise<void>

  /** Looks at once, and from now on. */
  start(everyMs: number): void {
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
}

/**
 * Warns when syncs of the logs take long, the one that runs included, once a minute at most.
 *
 * Whoever writes with `'sync'` waits for them, and nobody else does; so nothing but this tells that it is the disk.
 */
export class SyncWatch extends Watch {
  readonly #directory: string
  readonly #warn: (warning: CairnWarning) => void
  readonly #takeLongest: () => number
  readonly #now: () => number
  #quietUntil = Number.NEGATIVE_INFINITY

  constructor(
    directory: string,
    warn: (warning: CairnWarning) => void,
    takeLongest: () => number,
    now: () => number = () => performance.now(),
  ) {
    super()
    this.#directory = directory
    this.#warn = warn
    this.#takeLongest = takeLongest
    this.#now = now
  }

  override start(everyMs: number = syncLookMs): void {
    super.start(everyMs)
  }

  async look(): Promise<void> {
    const now = this.#now()
    if (now < this.#quietUntil) return
    const elapsedMs = this.#takeLongest()
    if (elapsedMs <= slowSyncMs) return
    this.#quietUntil = now + slowSyncPauseMs
    const directory = this.#directory
    tell(this.#warn, {
      code: 'WARN_SLOW_SYNC',
      message: `a sync of a log of ${directory} takes long (${Math.round(elapsedMs)} ms): writes wait for the disk`,
      details: { directory, elapsedMs, slowMs: slowSyncMs },
    })
  }
}

/**
 * Warns when the disk of a directory has less free than `headroom`, once until it has more again.
 *
 * It looks when it starts and then twice a minute.
 */
export class SpaceWatch extends Watch {
  readonly #directory: string
  readonly #headroom: number
  readonly #warn: (warning: CairnWarning) => void
  readonly #statfs: Ground['statfs']
  #isLow = false

  constructor(
    directory: string,
    headroom: number,
    warn: (warning: CairnWarning) => void,
    ground: Pick<Ground, 'statfs'> = { statfs },
  ) {
    super()
    this.#directory = directory
    this.#headroom = headroom
    this.#warn = warn
    this.#statfs = ground.statfs
  }

  override start(everyMs: number = lookMs): void {
    super.start(everyMs)
  }

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
