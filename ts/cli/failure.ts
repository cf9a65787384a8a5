// What went wrong, for the user and for the shell.
import { isCairnError, type CairnError, type ErrorCode } from '../errors.js'
import { exitCodes, UsageError } from './command.js'
import { printable } from './output.js'

/** Codes that are the fault of the command line, unless they tell of a row of a file or of a key. */
const usageCodes: ReadonlySet<ErrorCode> = new Set([
  'ERR_INVALID_ARGUMENT',
  'ERR_INVALID_NAME',
  'ERR_INVALID_KEY',
  'ERR_INVALID_FILTER',
])

/** What the program ends with. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return exitCodes.usage
  if (!isCairnError(error)) return exitCodes.failure
  if (error.code === 'ERR_NOT_FOUND') return exitCodes.notFound
  return usageCodes.has(error.code) && !isOfData(error) ? exitCodes.usage : exitCodes.failure
}

function isOfData({ details }: CairnError): boolean {
  return details['row'] !== undefined || details['keyId'] !== undefined
}

/** Lines for the user. */
export function explain(error: unknown): string {
  if (error instanceof UsageError) return `cairn: ${printable(error.message)}\n`
  if (!isCairnError(error)) {
    // A bug of this program: where it happened is what helps.
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
    return `cairn: ${stack}\n`
  }
  const { code, message, cause } = error
  const reason = cause instanceof Error ? `cairn: because ${printable(cause.message)}\n` : ''
  return `cairn: ${code}: ${printable(message)}\n${reason}`
}
