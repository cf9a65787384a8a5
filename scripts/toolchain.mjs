// Is there a Rust toolchain, and is it new enough? The answer is null, or one sentence to act on.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './process.mjs'

/** The lowest Rust version that compiles Cairn, as Cargo.toml states it. */
export function rustVersionMin() {
  const manifest = readFileSync(join(root, 'Cargo.toml'), 'utf8')
  return /^rust-version = "([\d.]+)"$/m.exec(manifest)[1]
}

/** One sentence about what is wrong with the Rust toolchain, or null when nothing is. */
export function rustProblem(versionOf = readVersion, min = rustVersionMin()) {
  for (const program of ['cargo', 'rustc']) {
    const answer = versionOf(program)
    const found = /(\d+)\.(\d+)\.\d+\S*/.exec(answer ?? '')
    if (!found) {
      return (
        `Rust is missing: ${program} ${answer === null ? 'was not found on the PATH' : 'does not answer with a version'}; ` +
        `install Rust ${min} or newer from https://rustup.rs and open a new terminal.`
      )
    }
    const [major, minor] = min.split('.').map(Number)
    if (Number(found[1]) < major || (Number(found[1]) === major && Number(found[2]) < minor)) {
      return `Rust ${found[0]} is too old: Cairn needs Rust ${min} or newer, which \`rustup update stable\` brings.`
    }
  }
  return null
}

/** What `program --version` prints; an empty string when it fails, null when there is no such program. */
function readVersion(program) {
  const { error, status, stdout } = spawnSync(program, ['--version'], {
    cwd: root,
    encoding: 'utf8',
  })
  if (error) return null
  return status === 0 ? stdout : ''
}
