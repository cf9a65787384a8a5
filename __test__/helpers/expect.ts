// Assertions about errors.
import type { ExecutionContext } from 'ava'
import { CairnError, isCairnError, type ErrorCode } from '#ts/index.js'

/** Facts that an error must carry, at least. */
export type Facts = Readonly<Record<string, unknown>>

/** Asserts that `call` fails with that code and those facts, as a rejection and never by throwing. */
export async function fails(
  t: ExecutionContext,
  call: () => unknown,
  code: ErrorCode,
  facts: Facts = {},
): Promise<CairnError | undefined> {
  const error = await outcome(call)
  if (!(error instanceof CairnError)) {
    t.fail(`expected ${code}, got ${String(error)}`)
    return undefined
  }
  t.is(error.code, code, error.message)
  t.true(isCairnError(error, code))
  for (const [name, value] of Object.entries(facts)) {
    t.deepEqual(error.details[name], value, `${name} of: ${error.message}`)
  }
  return error
}

/** What a call throws or rejects with, or its value in words. */
export async function outcome(call: () => unknown): Promise<unknown> {
  try {
    const value = await call()
    return `a value: ${typeof value}`
  } catch (error) {
    return error
  }
}
