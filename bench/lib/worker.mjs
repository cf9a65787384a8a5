// A module in a process of its own, whose functions are called as if they were here.
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('worker-main.mjs', import.meta.url))

/**
 * Starts a process that imports `module`; its state lives as long as the process.
 *
 * @param options - `name` for messages; `env` to add; `command` to start it under another program (strace).
 */
export function startWorker(module, { name = String(module), env = {}, command } = {}) {
  const child = fork(main, [String(module)], {
    serialization: 'advanced',
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, ...env },
    execArgv: ['--expose-gc', '--max-old-space-size=8192'],
    ...(command === undefined ? {} : { execPath: command[0], execArgv: command.slice(1) }),
  })
  const waiting = new Map()
  let gone
  child.on('message', ({ id, value, error }) => {
    const { resolve, reject } = waiting.get(id)
    waiting.delete(id)
    if (error === undefined) resolve(value)
    else reject(Object.assign(new Error(error.message), error))
  })
  child.on('exit', (code, signal) => {
    gone = new Error(`the process of ${name} ended by itself (${signal ?? `code ${code}`})`)
    for (const { reject } of waiting.values()) reject(gone)
    waiting.clear()
  })
  let next = 0
  return {
    pid: child.pid,
    /** Calls an exported function of the module. */
    call(name, ...args) {
      if (gone) return Promise.reject(gone)
      const id = (next += 1)
      const answer = new Promise((resolve, reject) => waiting.set(id, { resolve, reject }))
      child.send({ id, name, args })
      return answer
    },
    /** Ends the process and waits until it has gone. */
    stop(signal = 'SIGTERM') {
      if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
      const end = new Promise((resolve) => child.once('exit', () => resolve()))
      child.kill(signal)
      // A process started under another program outlives that one, but not its channel.
      if (child.connected) child.disconnect()
      return end
    },
  }
}

/** Calls one function in a process of its own. */
export async function callInWorker(module, name, ...args) {
  const worker = startWorker(module)
  try {
    return await worker.call(name, ...args)
  } finally {
    await worker.stop('SIGKILL')
  }
}
