// Errors of files and streams, and of what is in them.
import { CairnError, type ErrorDetails } from '../errors.js'

/** A file or stream that could not be read or written. */
export function ioError(error: unknown, file?: string): CairnError {
  if (error instanceof CairnError) return error
  const { code } = Object(error) as { code?: unknown }
  const details = {
    ...(file === undefined ? {} : { file }),
    ...(code === undefined ? {} : { code }),
  }
  if (code === 'ENOSPC') return new CairnError('ERR_NO_SPACE', 'the disk is full', details, error)
  return new CairnError('ERR_IO', 'a file or stream failed', details, error)
}

/** A file that could not be found, or not be read. */
export function openError(error: unknown, file: string): CairnError {
  const { code } = Object(error) as { code?: unknown }
  if (code !== 'ENOENT') return ioError(error, file)
  return new CairnError('ERR_NOT_FOUND', 'there is no such file', { file }, error)
}

/** The bytes are not what they say they are. */
export function damaged(what: string, details: ErrorDetails = {}, cause?: unknown): CairnError {
  return new CairnError('ERR_CORRUPT', what, details, cause)
}

/** The bytes may be fine, but they are of a kind that is not read here. */
export function unsupported(what: string, details: ErrorDetails = {}, cause?: unknown): CairnError {
  return new CairnError('ERR_UNSUPPORTED_FORMAT', what, details, cause)
}

/** A package that only this format needs. */
export async function peer<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load()
  } catch (error) {
    const { code } = Object(error) as { code?: unknown }
    if (code !== 'ERR_MODULE_NOT_FOUND' && code !== 'MODULE_NOT_FOUND') throw error
    throw unsupported(`this format needs the package ${name}: install it`, { package: name }, error)
  }
}
