// Running other programs: their output streams through, their exit code comes back.
import { spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { constants as os } from 'node:os'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** The top of the repository. */
export const root = fileURLToPath(new URL('..', import.meta.url))

/**
 * Runs `command` at the top of the repository and resolves with its exit code.
 *
 * `onLine` is called with every line of standard output. The line is shown as well, unless `hide` is set.
 * A program ended by a signal has the code a shell would give it, 128 plus the signal's number.
 */
export function run([file, ...args], { env, onLine, hide = false } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['inherit', onLine ? 'pipe' : 'inherit', 'inherit'],
      // Windows starts .cmd files through its shell only; the arguments here are our own.
      shell: process.platform === 'win32' && file.endsWith('.cmd'),
    })
    if (onLine) {
      createInterface({ input: child.stdout, crlfDelay: Infinity }).on('line', (line) => {
        if (!hide) console.log(line)
        onLine(line)
      })
    }
    child.on('error', reject)
    child.on('close', (code, signal) => resolve(code ?? 128 + os.signals[signal]))
  })
}

/** Whether a program of this name is on the PATH. */
export function onPath(name) {
  const file = process.platform === 'win32' ? `${name}.exe` : name
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, file), constants.X_OK)
      return folder !== ''
    } catch {
      return false
    }
  })
}
