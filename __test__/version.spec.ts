import { readFileSync } from 'node:fs'
import test from 'ava'
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

test('require gives the same instance as import', async (t) => {
  const { createRequire } = await import('node:module')
  const required = createRequire(import.meta.url)('../../index.cjs') as { version: string }
  t.is(required.version, version)
})
