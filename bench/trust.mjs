// `npm run bench -- trust`: what safety costs. Readers beside a writer, work in the background, backups,
// encryption, and what kills and overwriting leave of the recall.
import { runParts } from './lib/parts.mjs'
import { measureBackground } from './trust/background.mjs'
import { measureBackup } from './trust/backup.mjs'
import { measureChurn } from './trust/churn.mjs'
import { measureEncryption } from './trust/encryption.mjs'
import { measureReaders } from './trust/readers.mjs'

const parts = {
  readers: measureReaders,
  background: measureBackground,
  churn: measureChurn,
  encryption: measureEncryption,
  backup: measureBackup,
}

/** Runs every part, or the named ones. */
export function benchTrust(options) {
  return runParts('trust', 'What safety costs', parts, options)
}
