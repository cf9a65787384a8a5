// Our own version.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './places.mjs'

/** The version in package.json. */
export const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
