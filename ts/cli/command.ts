// What a command is: its words, its flags, and what it answers.
import type { Readable, Writable } from 'node:stream'
import type { Settings } from './settings.js'

/** How a run ends, as the caller's shell sees it. 3 (connection) and 4 (authentication) are kept for servers. */
export const exitCodes = {
  ok: 0,
  failure: 1,
  /** The command line, the environment or a settings file must change. */
  usage: 2,
  /** There is no such database, collection, record or file. */
  notFound: 5,
  /** It was done, and something is not as it should be. */
  partial: 6,
  interrupted: 130,
} as const

/** The command line, the environment or a settings file is wrong. */
export class UsageError extends Error {}

/** A flag of a command. */
export interface Flag {
  readonly type: 'string' | 'boolean'
  /** What stands for its value in the help. */
  readonly value?: string
  /** Given several times, all count. */
  readonly multiple?: boolean
  readonly help: string
}

/** A word behind the command's name. */
export interface Argument {
  readonly name: string
  /** `many`: one or more, the last argument. `optional`: may be missing. */
  readonly takes: 'one' | 'many' | 'optional'
}

/** What a command is told. */
export interface Call {
  /** Words by the name of their argument. */
  readonly words: Readonly<Record<string, readonly string[]>>
  /** Flags that were given. */
  readonly flags: Flags
  readonly settings: Settings
  readonly stdin: Readable
  readonly stdout: Writable
  /** Fires when the user interrupts. */
  readonly signal: AbortSignal
  /** A line for the user, beside the data. */
  readonly tell: (line: string) => void
  /** How far it has come; shown on a terminal only. */
  readonly progress: (text: string) => void
}

/** Flags that were given, by name. */
export interface Flags {
  text(name: string): string | undefined
  list(name: string): readonly string[] | undefined
  has(name: string): boolean
  /** A whole number of at least 1. */
  count(name: string): number | undefined
}

/** What a command found. */
export interface Answer {
  /** For `json`; an array is a line for each element in `ndjson`. */
  readonly value: unknown
  /** For `ndjson`, where it is something else than `value`. */
  readonly lines?: readonly unknown[]
  /** For `table` and `csv`. */
  readonly table: Table
  /** Not 0 where something is amiss that is no error. */
  readonly exitCode?: number
}

/** Rows of cells under names. */
export interface Table {
  readonly columns: readonly string[]
  readonly rows: readonly (readonly unknown[])[]
}

/** A command. */
export interface Command {
  readonly name: string
  readonly arguments: readonly Argument[]
  /** One line for the list of commands. */
  readonly summary: string
  /** What else its user must know. */
  readonly details?: string
  readonly flags: Readonly<Record<string, Flag>>
  /** Undefined where the data went out already. */
  run(call: Call): Promise<Answer | undefined>
}

/** A table with a column for each name of `columns`, of objects. */
export function tableOf(
  columns: readonly string[],
  objects: readonly Readonly<Record<string, unknown>>[],
): Table {
  return { columns, rows: objects.map((object) => columns.map((name) => object[name])) }
}

/** One record as an answer. */
export function oneRecord(record: Readonly<Record<string, unknown>>): Answer {
  return { value: record, table: tableOf(Object.keys(record), [record]) }
}
