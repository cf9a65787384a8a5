import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as delay } from 'node:timers/promises'
import test from 'ava'
import { open, type CairnWarning } from '#ts/index.js'
import { temporaryDirectory } from './helpers/home.js'

const unix = process.platform === 'win32' ? test.skip : test

unix('a directory that others may write to is warned about', async (t) => {
  const directory = join(temporaryDirectory(t), 'data')
  mkdirSync(directory)
  chmodSync(directory, 0o777)
  const warnings: CairnWarning[] = []
  const db = await open(directory, { onWarning: (warning) => warnings.push(warning) })
  for (let round = 0; round < 100 && warnings.length === 0; round += 1) await delay(20)
  await db.close()
  t.deepEqual(
    warnings.map(({ code }) => code),
    ['WARN_PERMISSIONS'],
  )
  t.is(warnings[0]?.details['mode'], '777')
})

unix('a directory that the database made is not', async (t) => {
  const warnings: CairnWarning[] = []
  const db = await open(join(temporaryDirectory(t), 'data'), {
    onWarning: (warning) => warnings.push(warning),
  })
  await delay(50)
  await db.close()
  t.deepEqual(warnings, [])
})
