// Backups that are made by themselves.
import { clearTimeout, setTimeout } from 'node:timers'
import type { BackupInfo } from './backup.js'
import { numberWithin, optionsOf, wholeNumber, wrong } from './check.js'
import { checked, toCairnError, type CairnError } from './errors.js'
import { parseCron, type Cron } from './internal/cron.js'
import type { CairnWarning } from './options.js'
import { callSignal, throwIfAborted } from './signal.js'
import type { CallOptions } from './types.js'

/** When backups are made by themselves: `everyMs` or `cron`, one of them. */
export interface ScheduleOptions {
  /** Milliseconds from the start of one to that of the next. Integer from 1. The first is made after so long. */
  readonly everyMs?: number | undefined
  /**
   * Minute, hour, day of the month, month and day of the week (0-7, Sunday is 0 and 7), in UTC: `'15 3 * * 1-5'` is a quarter
   * past three from Monday to Friday. Numbers, `*`, ranges, lists, steps (`0-30/10`). Where both days are restricted,
   * one of them is enough. What a sleeping machine missed is made up for once.
   */
  readonly cron?: string | undefined
  /** Share by which each wait of `everyMs` is longer or shorter, by chance, so that many machines do not begin as one. 0-1, default 0.1. */
  readonly jitter?: number | undefined
  /** After each, all but so many of the newest good ones are removed. Integer from 1; all stay when it is missing. */
  readonly keep?: number | undefined
}

/** Backups that are made by themselves, until it is stopped or the database closes. */
export interface BackupSchedule {
  /** Makes no more. Resolves when one that runs has ended. Again is harmless. */
  stop(options?: CallOptions): Promise<void>
  /** Whether one is being made. */
  readonly running: boolean
  /** The last one that was made; `created` tells when. */
  readonly last: BackupInfo | null
  /** When the next one begins; null once it is stopped. */
  readonly next: Date | null
  /** Why the last try failed; null once one has succeeded. */
  readonly lastError: CairnError | null
  /** Tries that were left out because the one before still ran. */
  readonly skipped: number
}

/** Figures of a schedule. */
export interface ScheduleStats {
  readonly target: string
  /** Null with `cron`. */
  readonly everyMs: number | null
  /** Null with `everyMs`. */
  readonly cron: string | null
  readonly running: boolean
  readonly made: number
  readonly failed: number
  readonly skipped: number
  readonly lastBackup: number | null
  readonly lastError: string | null
  /** When the next one begins. */
  readonly next: Date | null
}

/** Longest wait of a timer. */
const timerMsMax = 2 ** 31 - 1

/** A time of the wall clock is looked for so often: a machine may sleep, and its clock be set. */
const lookMsMax = 60_000

const names = new Set(['everyMs', 'cron', 'jitter', 'keep'])

/** What a schedule runs. */
export interface ScheduledWork {
  readonly backup: () => Promise<BackupInfo>
  readonly prune: (keep: number) => Promise<unknown>
  /** Hears of each that failed. */
  readonly failed: (error: CairnError) => void
}

/** What is told of a backup that failed. */
export function failedBackup(target: string, error: CairnError): CairnWarning {
  const { code, message, details } = error
  return {
    code: 'WARN_BACKUP',
    message: `a scheduled backup into ${target} failed: ${message}`,
    details: { ...details, target, reason: code },
  }
}

/** Makes backups now and then, one at a time. Its timer keeps no process alive. */
export class Schedule implements BackupSchedule {
  readonly #target: string
  readonly #when: When
  readonly #now: () => number
  readonly #keep: number | undefined
  readonly #work: ScheduledWork
  #timer: NodeJS.Timeout | undefined
  /** In milliseconds since 1970. */
  #due = 0
  #stopped = false
  #run: Promise<void> | undefined
  #made = 0
  #failed = 0
  #skipped = 0
  #last: BackupInfo | null = null
  #lastError: CairnError | null = null

  /** `now`: wall time in milliseconds since 1970 UTC. */
  constructor(
    target: string,
    options: ScheduleOptions,
    work: ScheduledWork,
    now: () => number = Date.now,
  ) {
    const given = optionsOf<ScheduleOptions>(options, names, 'schedule options')
    this.#target = target
    this.#when = whenOf(given)
    this.#now = now
    this.#keep =
      given.keep === undefined
        ? undefined
        : wholeNumber(given.keep, 'keep', 1, Number.MAX_SAFE_INTEGER)
    this.#work = work
    this.#arm()
  }

  get running(): boolean {
    return this.#run !== undefined
  }

  get last(): BackupInfo | null {
    return this.#last
  }

  get next(): Date | null {
    return this.#stopped ? null : new Date(this.#due)
  }

  get lastError(): CairnError | null {
    return this.#lastError
  }

  get skipped(): number {
    return this.#skipped
  }

  get stopped(): boolean {
    return this.#stopped
  }

  async stop(options?: CallOptions): Promise<void> {
    throwIfAborted(checked(() => callSignal(options)))
    this.#stopped = true
    clearTimeout(this.#timer)
    return this.#run
  }

  stats(): ScheduleStats {
    return {
      target: this.#target,
      everyMs: this.#when.everyMs ?? null,
      cron: this.#when.cron?.text ?? null,
      running: this.running,
      made: this.#made,
      failed: this.#failed,
      skipped: this.#skipped,
      lastBackup: this.#last?.id ?? null,
      lastError: this.#lastError?.message ?? null,
      next: this.next,
    }
  }

  #arm(): void {
    const when = this.#when
    if (when.cron !== undefined) {
      this.#due = when.cron.times.next(new Date(this.#now())).getTime()
      this.#await(this.#due)
      return
    }
    const wait = waitMs(when.everyMs, when.jitter, Math.random())
    this.#due = this.#now() + wait
    this.#timer = setTimeout(() => this.#fire(), wait).unref()
  }

  /** Waits for a time of the wall clock. */
  #await(due: number): void {
    const left = due - this.#now()
    if (left <= 0) {
      this.#fire()
      return
    }
    this.#timer = setTimeout(() => this.#await(due), Math.min(left, lookMsMax)).unref()
  }

  #fire(): void {
    this.#arm()
    if (this.#run !== undefined) {
      this.#skipped += 1
      return
    }
    this.#run = this.#once().finally(() => {
      this.#run = undefined
    })
  }

  async #once(): Promise<void> {
    try {
      this.#last = await this.#work.backup()
      this.#made += 1
      if (this.#keep !== undefined) await this.#work.prune(this.#keep)
      this.#lastError = null
    } catch (error) {
      const ours = toCairnError(error)
      // The end of the database has cut it short.
      if (this.#stopped && ours.code === 'ERR_CLOSED') return
      // The next one tries again.
      this.#failed += 1
      this.#lastError = ours
      this.#work.failed(ours)
    }
  }
}

/** By the clock, or by the calendar. */
type When =
  | { readonly everyMs: number; readonly jitter: number; readonly cron?: undefined }
  | { readonly cron: { readonly text: string; readonly times: Cron }; readonly everyMs?: undefined }

function whenOf({ everyMs, cron, jitter }: Partial<ScheduleOptions>): When {
  if (cron === undefined) {
    return {
      everyMs: wholeNumber(everyMs, 'everyMs', 1, timerMsMax),
      jitter: jitter === undefined ? 0.1 : numberWithin(jitter, 'jitter', 0, 1),
    }
  }
  for (const [path, other] of Object.entries({ everyMs, jitter })) {
    if (other !== undefined) throw wrong(`${path} does not go with cron`, 'cron alone', other, path)
  }
  const times = typeof cron === 'string' ? parseCron(cron) : undefined
  if (times === undefined || typeof cron !== 'string') {
    throw wrong('cron has five fields', "such as '15 3 * * 1-5'", cron, 'cron')
  }
  return { cron: { text: cron, times } }
}

/** How long a timer waits. `random`: from 0 to below 1. */
export function waitMs(everyMs: number, jitter: number, random: number): number {
  return Math.min(everyMs * (1 + jitter * (2 * random - 1)), timerMsMax)
}
