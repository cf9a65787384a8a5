// What a directory holds, to be compared.
import { createHash } from 'node:crypto'
import { lstatSync, readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'

/** Every name below `directory`, with a digest of what stands there. */
export function everyFileOf(directory: string): Readonly<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const name of readdirSync(directory, { recursive: true }).map(String).sort()) {
    found[name] = standing(join(directory, name))
  }
  return found
}

function standing(path: string): string {
  const what = lstatSync(path)
  if (what.isSymbolicLink()) return `link to ${readlinkSync(path)}`
  if (what.isDirectory()) return 'directory'
  if (!what.isFile()) return `something of mode ${what.mode.toString(8)}`
  return createHash('sha256').update(readFileSync(path)).digest('hex')
}
