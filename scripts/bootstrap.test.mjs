// What a person sees who runs a task on a machine that lacks something: one clear sentence.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { nodeMajorMin, nodeProblem } from './node-version.mjs'
import { root } from './process.mjs'
import { rustProblem, rustVersionMin } from './toolchain.mjs'

/** Runs the bootstrap with a PATH that holds nothing but the given programs. */
function bootstrapWith(t, programs) {
  const path = mkdtempSync(join(tmpdir(), 'cairn-path-'))
  t.after(() => rmSync(path, { recursive: true }))
  for (const [name, answer] of Object.entries(programs)) {
    writeFileSync(join(path, name), `#!/bin/sh\n${answer}\n`)
    chmodSync(join(path, name), 0o755)
  }
  const env = { ...process.env, PATH: path, Path: path }
  return spawnSync(process.execPath, ['scripts/bootstrap.mjs', 'build'], {
    cwd: root,
    env,
    encoding: 'utf8',
  })
}

const sentence = /^[^\n]+\.\n$/
const onUnix = { skip: process.platform === 'win32' && 'needs programs that are shell scripts' }

test('without Rust the bootstrap says how to get it, in one sentence', (t) => {
  const { status, stderr } = bootstrapWith(t, {})
  assert.equal(status, 1)
  assert.match(stderr, sentence)
  assert.match(
    stderr,
    /^Rust is missing: cargo was not found on the PATH; install Rust 1\.\d+ or newer/,
  )
})

test('with an old Rust the bootstrap names both versions', onUnix, (t) => {
  const { status, stderr } = bootstrapWith(t, {
    cargo: 'echo "cargo 1.70.0 (ec8a8a0ca 2023-04-25)"',
    rustc: 'echo "rustc 1.70.0 (90c541806 2023-05-31)"',
  })
  assert.equal(status, 1)
  assert.match(stderr, sentence)
  assert.match(stderr, /^Rust 1\.70\.0 is too old: Cairn needs Rust 1\.\d+ or newer/)
})

test('a rustup without a toolchain counts as missing Rust', onUnix, (t) => {
  const { status, stderr } = bootstrapWith(t, { cargo: 'echo "no default toolchain" >&2; exit 1' })
  assert.equal(status, 1)
  assert.match(stderr, /^Rust is missing: cargo does not answer with a version; install/)
})

test('an old rustc beside a new cargo is found', () => {
  const problem = rustProblem(
    (program) => `${program} ${program === 'cargo' ? '1.95.0' : '1.60.1'} (date)`,
    '1.89',
  )
  assert.match(problem, /^Rust 1\.60\.1 is too old: Cairn needs Rust 1\.89 or newer/)
})

test('the lowest Rust, newer ones, beta and nightly are accepted', () => {
  for (const version of ['1.89.0', '1.95.0', '1.100.2-beta.3', '1.97.0-nightly', '2.0.0']) {
    assert.equal(
      rustProblem((program) => `${program} ${version} (0123456 2026-01-01)`, '1.89'),
      null,
      version,
    )
  }
})

test('the lowest Rust is read from Cargo.toml', () => {
  assert.match(rustVersionMin(), /^1\.\d+$/)
})

test('an old Node is told which one is needed', () => {
  for (const version of ['12.22.12', '16.20.2', '18.20.8', '19.9.0']) {
    assert.match(nodeProblem(version), sentenceAbout(version))
  }
  for (const version of ['20.0.0', '20.20.2', '22.23.3', '24.0.0', '100.1.0']) {
    assert.equal(nodeProblem(version), null)
  }
})

function sentenceAbout(version) {
  const dots = version.replaceAll('.', '\\.')
  return new RegExp(
    `^Node ${dots} is too old: Cairn needs Node ${nodeMajorMin} or newer, [^\\n]+\\.$`,
  )
}

test('an unknown task prints the tasks and ends with the code for wrong usage', () => {
  const { status, stderr } = spawnSync(process.execPath, ['scripts/bootstrap.mjs', 'constructor'], {
    cwd: root,
    encoding: 'utf8',
  })
  assert.equal(status, 2)
  assert.match(stderr, /^usage: .*build\|demo\|bench\|soak\|test\|verify\|fix/)
})
