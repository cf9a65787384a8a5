// All commands, in the order of the help.
import type { Command } from '../command.js'
import { backup, restore } from './backup.js'
import { backups } from './backups.js'
import { doctor, repair, verify } from './check.js'
import { collections, compact, stats } from './figures.js'
import { get } from './get.js'
import { settings } from './settings.js'
import { exportCommand, importCommand } from './transfer.js'

/** A command that is not here does not exist: its name is a usage error. */
export const commands: readonly Command[] = [
  collections,
  stats,
  get,
  importCommand,
  exportCommand,
  verify,
  doctor,
  repair,
  compact,
  backup,
  backups,
  restore,
  settings,
]
