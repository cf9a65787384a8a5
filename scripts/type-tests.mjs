// The type tests: each file under __test__/types must compile. Prints one TAP line for each.
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './process.mjs'

const folder = '__test__/types'
const files = readdirSync(join(root, folder)).filter((name) => name.endsWith('.ts'))
const tsc = ['node_modules/typescript/bin/tsc', '--project', folder, '--pretty', 'false']
const { status, stdout } = spawnSync(process.execPath, tsc, { cwd: root, encoding: 'utf8' })
const lines = stdout.split('\n').filter((line) => line !== '')
console.log('TAP version 13')

let number = 0
for (const name of files) {
  const errors = lines.filter((line) => line.startsWith(`${folder}/${name}(`))
  number += 1
  console.log(`${errors.length > 0 ? 'not ok' : 'ok'} ${number} - ${name}`)
  for (const error of errors) console.log(`  ${error}`)
}
const elsewhere = lines.filter((line) => !line.startsWith(`${folder}/`))
for (const line of elsewhere) console.log(`# ${line}`)
console.log(`1..${number}`)
process.exitCode = status
