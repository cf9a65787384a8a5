import { spawnSync } from 'node:child_process'
import process from 'node:process'
import test from 'ava'
import { platformName } from '#ts/native/loader.js'

const program = `
  const { open, isCairnError } = await import(process.argv[1])
  try { await open(':memory:') } catch (error) {
    console.log(JSON.stringify({ ours: isCairnError(error), code: error.code, message: error.message, details: error.details }))
  }`

interface Failure {
  readonly ours: boolean
  readonly code: string
  readonly message: string
  readonly details: Record<string, string>
}

function load(env: Record<string, string>): Failure {
  const entry = new URL('../../index.js', import.meta.url).href
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ['--input-type=module', '-e', program, entry],
    { encoding: 'utf8', env: { ...process.env, ...env } },
  )
  if (stdout === '') throw new Error(stderr)
  return JSON.parse(stdout) as Failure
}

test('a binary that cannot be loaded is an error that says what was tried and what there is', (t) => {
  const failure = load({ CAIRN_NATIVE_PATH: '/nowhere/cairndb.node' })
  t.true(failure.ours)
  t.is(failure.code, 'ERR_UNSUPPORTED_PLATFORM')
  t.true(failure.message.includes('CAIRN_NATIVE_PATH'))
  t.true(failure.details['tried']?.includes('/nowhere/cairndb.node'))
  t.true(failure.details['supported']?.includes('linux-x64-gnu'))
})

test('a file that is no binary is refused in the same way', (t) => {
  t.is(load({ CAIRN_NATIVE_PATH: '/etc/passwd' }).code, 'ERR_UNSUPPORTED_PLATFORM')
})

test('the platform has the name of its package', (t) => {
  t.regex(platformName(), /^[a-z\d]+-[a-z\d]+(-(gnu|musl|msvc))?$/)
})
