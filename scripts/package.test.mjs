// The packages as they will be published: nothing runs at install, and every platform is described once.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { nodeMajorMin } from './node-version.mjs'
import { root } from './process.mjs'
import { pinned, versions } from './release.mjs'
import { binaryOf, hostId, packageOf, targets } from './targets.mjs'

const read = (path) => JSON.parse(readFileSync(join(root, path), 'utf8'))

test('npm/ holds one package for each target, with the fields npm chooses by', () => {
  assert.deepEqual(readdirSync(join(root, 'npm')).sort(), targets.map(({ id }) => id).sort())
  for (const target of targets) {
    const { name, os, cpu, libc, main, files, engines, license } = read(
      `npm/${target.id}/package.json`,
    )
    assert.deepEqual(
      { name, os, cpu, libc, main, files, engines, license },
      {
        name: packageOf(target),
        os: [target.os],
        cpu: [target.cpu],
        libc: target.libc && [target.libc],
        main: binaryOf(target),
        files: [binaryOf(target)],
        engines: { node: `>=${nodeMajorMin}` },
        license: 'Apache-2.0',
      },
    )
  }
})

test('one version is stated everywhere', () => {
  const [[, first], ...rest] = versions()
  for (const [place, version] of rest) assert.equal(version, first, place)
})

test('no package runs a script at install, and ours has no dependency but its binaries', () => {
  const manifest = read('package.json')
  assert.equal(manifest.dependencies, undefined)
  assert.equal(manifest.optionalDependencies, undefined)
  assert.equal(manifest.engines.node, `>=${nodeMajorMin}`)
  const published = pinned(manifest)
  assert.equal(Object.keys(published.optionalDependencies).length, 8)
  assert.ok(
    Object.values(published.optionalDependencies).every((range) => range === manifest.version),
  )
  const scripts = ['package.json', ...targets.map(({ id }) => `npm/${id}/package.json`)].flatMap(
    (path) => Object.keys(read(path).scripts ?? {}),
  )
  assert.deepEqual(
    scripts.filter((name) => /^(pre|post)?(install|prepare|publish)/.test(name)),
    [],
  )
})

test('a platform is named the way Node names it', () => {
  assert.equal(hostId({ platform: 'darwin', arch: 'arm64' }), 'darwin-arm64')
  assert.equal(hostId({ platform: 'win32', arch: 'x64' }), 'win32-x64-msvc')
  assert.match(hostId(), /^[a-z0-9]+-[a-z0-9]+(-(gnu|musl|msvc))?$/)
})

test('a linked checkout loads by import and by require, as one module', (t) => {
  const app = mkdtempSync(join(tmpdir(), 'cairn-app-'))
  t.after(() => rmSync(app, { recursive: true }))
  mkdirSync(join(app, 'node_modules'))
  symlinkSync(root, join(app, 'node_modules/cairndb'), 'junction')
  writeFileSync(
    join(app, 'app.cjs'),
    `const required = require('cairndb')
     import('cairndb').then((imported) => {
       console.log(imported.version, required.version, Object.keys(imported).every((name) => imported[name] === required[name]))
     })`,
  )
  const { version } = read('package.json')
  assert.equal(
    execFileSync(process.execPath, ['app.cjs'], { cwd: app, encoding: 'utf8' }),
    `${version} ${version} true\n`,
  )
})
