// The packages as they will be published: nothing runs at install, and every platform is described once.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
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

test('the command cairn runs through a link, as npm makes one, and is published', (t) => {
  const app = mkdtempSync(join(tmpdir(), 'cairn-app-'))
  t.after(() => rmSync(app, { recursive: true }))
  const { bin, files, version } = read('package.json')
  assert.deepEqual(Object.keys(bin), ['cairn'])
  assert.ok(files.includes('dist'))
  const program = join(root, bin.cairn)
  assert.equal(readFileSync(program, 'utf8').split('\n')[0], '#!/usr/bin/env node')
  if (process.platform !== 'win32') assert.equal(statSync(program).mode & 0o111, 0o111)
  mkdirSync(join(app, 'node_modules'))
  symlinkSync(root, join(app, 'node_modules/cairndb'), 'junction')
  const linked = join(app, 'node_modules/cairndb', bin.cairn)
  const answer = execFileSync(process.execPath, [linked, '--version'], {
    cwd: app,
    encoding: 'utf8',
  })
  assert.equal(answer, `${version}\n`)
})

test('cairndb/embed loads by import and by require, as one module, and needs no binary', (t) => {
  const app = mkdtempSync(join(tmpdir(), 'cairn-app-'))
  t.after(() => rmSync(app, { recursive: true }))
  const own = join(app, 'node_modules/cairndb')
  mkdirSync(own, { recursive: true })
  mkdirSync(join(app, 'node_modules/@types'))
  // As it is published, for another platform: without the binary of this one.
  for (const name of ['package.json', 'embed', 'dist']) {
    cpSync(join(root, name), join(own, name), {
      recursive: true,
      filter: (path) => !path.includes('__test__') && !path.endsWith('.node'),
    })
  }
  for (const name of ['@types/node', 'undici-types']) {
    symlinkSync(join(root, 'node_modules', name), join(app, 'node_modules', name), 'junction')
  }
  const code = (from) => `${from}
    const one: Embedder = hashing({ dim: 8 })
    void one.embed('sea').then((row) => console.log(row.length, embedder.name, http.name))`
  const names = 'embedder, hashing, http'
  writeFileSync(
    join(app, 'app.mts'),
    code(`import { ${names}, type Embedder } from 'cairndb/embed'`),
  )
  writeFileSync(
    join(app, 'app.cts'),
    `import type { Embedder } from 'cairndb/embed'
    ${code(`import embed = require('cairndb/embed'); const { ${names} } = embed`)}
    void import('cairndb/embed').then((same) => console.log(same.http === http))`,
  )
  writeFileSync(join(app, 'package.json'), '{}')
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const flags =
    '--strict --target es2022 --module nodenext --lib es2023,esnext.disposable --types node'
  execFileSync(process.execPath, [tsc, ...flags.split(' '), 'app.mts', 'app.cts'], { cwd: app })
  const printed = (file) => execFileSync(process.execPath, [file], { cwd: app, encoding: 'utf8' })
  assert.equal(printed('app.mjs'), '8 embedder http\n')
  assert.deepEqual(printed('app.cjs').trim().split('\n').sort(), ['8 embedder http', 'true'])
})

test('cairndb/io loads and compiles where none of its optional packages is installed', (t) => {
  const app = mkdtempSync(join(tmpdir(), 'cairn-app-'))
  t.after(() => rmSync(app, { recursive: true }))
  const own = join(app, 'node_modules/cairndb')
  mkdirSync(own, { recursive: true })
  mkdirSync(join(app, 'node_modules/@types'))
  // Copied and not linked: from here, no package of the checkout is found.
  for (const name of ['package.json', 'io', 'dist']) {
    cpSync(join(root, name), join(own, name), {
      recursive: true,
      filter: (path) => !path.includes('__test__'),
    })
  }
  for (const name of ['@types/node', 'undici-types']) {
    symlinkSync(join(root, 'node_modules', name), join(app, 'node_modules', name), 'junction')
  }
  const code = `import { open } from 'cairndb'
    import { exportTo, importFrom, type ExportResult } from 'cairndb/io'
    const db = await open(':memory:')
    const docs = await db.collection('docs', { vectors: { dim: 1, metric: 'l2' } })
    const result: ExportResult = await exportTo(docs, 'docs.jsonl')
    console.log(result.rows, (await importFrom(docs, 'docs.jsonl')).rows)
    for (const name of ['docs.arrow', 'docs.parquet']) {
      await exportTo(docs, name).catch((error) => console.log(error.code, error.details.package))
    }
    await db.close()`
  writeFileSync(join(app, 'app.mts'), code)
  writeFileSync(join(app, 'package.json'), '{}')
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const flags =
    '--strict --target es2022 --module nodenext --lib es2023,esnext.disposable --types node'
  execFileSync(process.execPath, [tsc, ...flags.split(' '), 'app.mts'], {
    cwd: app,
    encoding: 'utf8',
  })
  assert.equal(
    execFileSync(process.execPath, ['app.mjs'], { cwd: app, encoding: 'utf8' }),
    '0 0\nERR_UNSUPPORTED_FORMAT apache-arrow\nERR_UNSUPPORTED_FORMAT hyparquet-writer\n',
  )
})
