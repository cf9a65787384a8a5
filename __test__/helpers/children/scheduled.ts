// Schedules a backup for later and ends.
import process from 'node:process'
import { open } from '#ts/index.js'

const [directory = '', target = ''] = process.argv.slice(2)
const db = await open(directory)
db.scheduleBackup(target, { everyMs: 3_600_000 })
