// The engines that we are compared with: installed into bench/out/peers, never dependencies of the package.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Missing } from './data.mjs'
import { log } from './log.mjs'
import { outFolder } from './places.mjs'

const listed = JSON.parse(
  readFileSync(fileURLToPath(new URL('../definitions/peers.json', import.meta.url)), 'utf8'),
)
const folder = join(outFolder, 'peers')
const windows = process.platform === 'win32'

/** The Python that has the native peers. */
export const python = join(folder, 'venv', windows ? 'Scripts/python.exe' : 'bin/python')

/** Loads a peer's package. */
export function loadPeer(name) {
  return createRequire(join(folder, 'package.json'))(name)
}

/** The version of a peer, from npm or from PyPI. */
export function peerVersion(name) {
  return listed.npm[name] ?? listed.python[name]
}

/** Installs the packages of npm in the listed versions, once. */
export async function installNpmPeers() {
  const binaries = listed.npmBinaries[`${process.platform}-${process.arch}`] ?? {}
  const dependencies = { ...listed.npm, ...binaries }
  await once(
    'npm',
    { dependencies, compiled: listed.npmCompiled, abi: process.versions.modules },
    async () => {
      mkdirSync(folder, { recursive: true })
      const manifest = { name: 'cairn-bench-peers', private: true, dependencies }
      writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
      // --force: some peers ask for a newer Node than they need. Binaries are listed above, so that nothing
      // optional (model runtimes of hundreds of megabytes) and no install script is wanted.
      await run(npm(), [
        'install',
        '--force',
        '--ignore-scripts',
        '--omit=optional',
        '--omit=dev',
        '--no-audit',
        '--no-fund',
        '--no-package-lock',
        '--loglevel=error',
      ])
      for (const name of listed.npmCompiled) await compile(name)
    },
  )
}

/** Installs the packages of PyPI in the listed versions into a virtual environment, once. */
export async function installPythonPeers() {
  await once('python', listed.python, async () => {
    mkdirSync(folder, { recursive: true })
    if (!existsSync(python)) await run([windows ? 'python' : 'python3'], ['-m', 'venv', 'venv'])
    const exact = Object.entries(listed.python).map(([name, version]) => `${name}==${version}`)
    await run([python], ['-m', 'pip', 'install', '--quiet', '--no-cache-dir', ...exact])
  })
}

async function compile(name) {
  log(`compiling ${name}`)
  const headers = join(dirname(realpathSync(process.execPath)), '..')
  const local = existsSync(join(headers, 'include/node/node.h')) ? [`--nodedir=${headers}`] : []
  const gyp = join(npmFolder(), 'node_modules/node-gyp/bin/node-gyp.js')
  const cwd = join(folder, 'node_modules', name)
  await run([process.execPath], [gyp, 'rebuild', '--silent', ...local], cwd)
}

async function once(what, wanted, install) {
  const stampFile = join(folder, `.${what}-stamp`)
  const stamp = createHash('sha256').update(JSON.stringify(wanted)).digest('hex')
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return
  log(`installing the ${what} peers into bench/out/peers`)
  await install()
  writeFileSync(stampFile, stamp)
}

function run([file, ...first], args, cwd = folder) {
  return new Promise((resolve, reject) => {
    // Compilers and installers may speak, but standard output is for results.
    const child = spawn(file, [...first, ...args], { cwd, stdio: ['ignore', 2, 2] })
    child.on('error', reject)
    child.on('close', (code) => {
      if (code === 0) resolve()
      else reject(new Missing(`${file} ${args.join(' ')} ended with code ${code}`))
    })
  })
}

function npm() {
  return [process.execPath, join(npmFolder(), 'bin/npm-cli.js')]
}

function npmFolder() {
  const self = process.env.npm_execpath
  if (self?.endsWith('npm-cli.js')) return join(dirname(realpathSync(self)), '..')
  const beside = join(dirname(realpathSync(process.execPath)), windows ? '.' : '../lib')
  const found = join(beside, 'node_modules/npm')
  if (!existsSync(found))
    throw new Missing('npm was not found beside node: start with npm run bench')
  return found
}
