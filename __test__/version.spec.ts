import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import * as imported from '#ts/index.js'
import { simdLevel, version } from '#ts/index.js'

test('the version is that of package.json', (t) => {
  const { version: packaged } = JSON.parse(readFileSync('package.json', 'utf8')) as {
    version: string
  }
  t.is(version, packaged)
})

test('the kernels in use have a name', (t) => {
  t.regex(simdLevel(), /^[a-z\d]+$/)
})

const entry = fileURLToPath(new URL('../../index.cjs', import.meta.url))
// Older ones have no `require` of ES modules.
const requires = process.features.require_module ? test : test.skip
const withoutRequire = process.allowedNodeEnvironmentFlags.has('--no-experimental-require-module')
// A Node that lacks `require` of ES modules, or can be told to: others have nothing to say here.
const old = withoutRequire ? test : test.skip

requires('require gives the same instance as import', (t) => {
  const required = createRequire(import.meta.url)(entry) as typeof imported
  t.is(required.CairnError, imported.CairnError)
  t.is(required.open, imported.open)
  t.deepEqual(Object.keys(required).sort(), Object.keys(imported).sort())
})

old('a Node that cannot require an ES module says what to do instead', (t) => {
  const child = spawnSync(
    process.execPath,
    [
      '--no-experimental-require-module',
      '-e',
      'try { require(process.argv[1]) } catch ({ code, message }) { console.log(code, message) }',
      entry,
    ],
    { encoding: 'utf8' },
  )
  t.true(child.stdout.startsWith(`ERR_REQUIRE_ESM Node ${process.version} cannot require`))
  t.true(child.stdout.includes("await import('cairndb')"), child.stdout)
})
