// The tasks behind `npm run`: what each one needs in place, and what it then runs.
import { build } from './build.mjs'
import { install } from './install.mjs'
import { Problem } from './problem.mjs'
import { run } from './process.mjs'
import { test } from './test.mjs'
import { rustProblem } from './toolchain.mjs'
import { fix, verify } from './verify.mjs'

const program = (file) => (args) => run([process.execPath, file, ...args])

const tasks = {
  build: () => 0,
  demo: program('demo/demo.mjs'),
  bench: program('bench/run.mjs'),
  soak: program('scripts/soak.mjs'),
  test,
  verify,
  fix,
}

/** Runs one task; the process then ends with its exit code. */
export async function start(args) {
  process.exitCode = await prepareAndRun(args)
}

async function prepareAndRun([task, ...args]) {
  if (!Object.hasOwn(tasks, task ?? '')) {
    console.error(`usage: node scripts/bootstrap.mjs ${Object.keys(tasks).join('|')} [arguments]`)
    return 2
  }
  try {
    const missing = rustProblem()
    if (missing) throw new Problem(missing)
    await install()
    if (task !== 'fix') await build()
    return await tasks[task](args)
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    console.error(error.message)
    return 1
  }
}
