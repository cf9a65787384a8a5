// How far a long command has come.
import type { Call } from './command.js'

/** Shows the share that is done. */
export function percentOf(
  { progress }: Call,
  what: string,
): (of: { readonly done: number; readonly total: number }) => void {
  return ({ done, total }) => {
    if (total > 0) progress(`${what}: ${Math.floor((100 * done) / total)} %`)
  }
}
