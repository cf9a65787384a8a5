// The platforms a binary is published for, in the words of Node, of Rust and of npm.
import process from 'node:process'

/** One row a platform; `id` names the file `cairndb.<id>.node` and the package `@cairndb/binding-<id>`. */
export const targets = [
  { id: 'linux-x64-gnu', rust: 'x86_64-unknown-linux-gnu', os: 'linux', cpu: 'x64', libc: 'glibc' },
  {
    id: 'linux-arm64-gnu',
    rust: 'aarch64-unknown-linux-gnu',
    os: 'linux',
    cpu: 'arm64',
    libc: 'glibc',
  },
  {
    id: 'linux-x64-musl',
    rust: 'x86_64-unknown-linux-musl',
    os: 'linux',
    cpu: 'x64',
    libc: 'musl',
  },
  {
    id: 'linux-arm64-musl',
    rust: 'aarch64-unknown-linux-musl',
    os: 'linux',
    cpu: 'arm64',
    libc: 'musl',
  },
  { id: 'darwin-x64', rust: 'x86_64-apple-darwin', os: 'darwin', cpu: 'x64' },
  { id: 'darwin-arm64', rust: 'aarch64-apple-darwin', os: 'darwin', cpu: 'arm64' },
  { id: 'win32-x64-msvc', rust: 'x86_64-pc-windows-msvc', os: 'win32', cpu: 'x64' },
  { id: 'win32-arm64-msvc', rust: 'aarch64-pc-windows-msvc', os: 'win32', cpu: 'arm64' },
]

/** The package that carries the binary of a target. */
export const packageOf = (target) => `@cairndb/binding-${target.id}`

/** The file name of the binary of a target. */
export const binaryOf = (target) => `cairndb.${target.id}.node`

/** The id of the platform this process runs on. It need not be in the table: a local build works anywhere. */
export function hostId({ platform, arch } = process) {
  if (platform === 'linux') return `linux-${arch}-${isMusl() ? 'musl' : 'gnu'}`
  return platform === 'win32' ? `win32-${arch}-msvc` : `${platform}-${arch}`
}

function isMusl() {
  // Without this the report looks up the names of all network peers, which can take seconds.
  process.report.excludeNetwork = true
  return process.report.getReport().header.glibcVersionRuntime === undefined
}
